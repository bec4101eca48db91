/* Whom a line of the log is about: the peer of a connection, and the client of a request, which is what a program that bans
 * clients (fail2ban) looks for. Both stand in front of all bytes that the peer can choose.
 *
 * The client is what the application would see as REMOTE_ADDR. Of a request of which that is not known, as not all of its
 * parameters have come or can be read, it is only named where it cannot be a proxy that is to be believed
 * (--forwarded-allow): nobody must be banned for what another one did.
 *
 * Owner only.
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
    union peer_address client; /* AF_UNSPEC: it is not known, or has no address */
};

/* `r`: a request of the connection whose parameters have ended, whether they could be read or not; NULL: none. */
struct who who_find(const struct conn *c, const struct request *r);

/* Reads REMOTE_ADDR among those of the parameters that have come. Returns whether it is an address; *address is left alone
 * when not. */
bool who_read_remote(const struct buf *params, union peer_address *address);

/* Whether a line about this topic is due; see base/log_limit.h. `about`: any address that stands for the topic, such as that
 * of the row of a table; there is room for LANE_TOPICS. Of a client's network of IPv6 all 2^64 addresses count as one, and
 * so do all processes of this machine. */
bool who_log_due(const struct who *who, const void *about, char more[static LOG_TABLE_MORE_SIZE]);

/* "client 203.0.113.9, peer 192.0.2.1:4711", without what is not known. Two system calls at most. Returns `out`. */
const char *who_text(const struct who *who, char out[static WHO_TEXT_SIZE]);

#endif
