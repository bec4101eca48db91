/* Whom a log line is about: the peer of a connection, and the client of a request. Programs that ban clients (fail2ban)
 * look for the client. Both come before any bytes that the peer can choose.
 *
 * The client is what the application would see as REMOTE_ADDR. It may be unknown because not all parameters have come,
 * or because they cannot be read. Then the line names a client only if that cannot be a trusted proxy
 * (--forwarded-allow): nobody must be banned for what somebody else did.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_WHO_H
#define WSGI_FCGI_NET_WHO_H

#include "base/log_limit.h"
#include "net/conn.h"
#include "request/request.h"

#include <netinet/in.h>

enum { WHO_TEXT_SIZE = 2 * INET6_ADDRSTRLEN + 64 };

struct who {
    const struct conn *conn;
    union peer_address client; /* AF_UNSPEC: not known, or without an address */
};

/* Finds peer and client. `r`: a request of the connection whose parameters have ended, readable or not; NULL: none. */
struct who who_find(const struct conn *c, const struct request *r);

/* Reads REMOTE_ADDR from the parameters that have come so far. Returns whether it is an address; if not, *address is
 * unchanged. */
bool who_read_remote(const struct buf *params, union peer_address *address);

/* Whether a line about this topic is due; see base/log_limit.h. `about`: any address that stands for the topic, such as
 * that of a table row; there is room for LANE_TOPICS. All 2^64 addresses of an IPv6 network count as one client, and so
 * do all processes of this machine. */
bool who_log_due(const struct who *who, const void *about, char more[static LOG_TABLE_MORE_SIZE]);

/* Writes "client 203.0.113.9, peer 192.0.2.1:4711", without what is not known. At most one system call. Returns
 * `out`. */
const char *who_text(const struct who *who, char out[static WHO_TEXT_SIZE]);

#endif
