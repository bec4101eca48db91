/* What proxies in front say about the client of a request: X-Forwarded-* or X-Real-IP, or Forwarded (RFC 7239). The same
 * rules hold for both protocols; what brings the fields differs.
 *
 * Who is believed (--forwarded-allow): the fields count when the peer that sends them is named. Over HTTP that is the
 * peer of the connection. Over FastCGI the peer is the web server, which has a peer of its own and tells its address in
 * REMOTE_ADDR, while the fields are those of that peer: both have to be named, or else any client of a trusted web server
 * could say what it likes.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_PEER_H
#define WSGI_FCGI_NET_PEER_H

#include "base/buf.h"
#include "net/lane.h"
#include "proto/forwarded.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

enum peer_scheme { PEER_SCHEME_UNSAID, PEER_SCHEME_HTTP, PEER_SCHEME_HTTPS };

enum { PEER_TEXT_SIZE = 256 }; /* longer hosts and prefixes are not believed */

struct peer_said {
    bool known; /* the client's address is */
    union peer_address address;
    enum peer_scheme scheme;
    unsigned port; /* 0: nothing was said */
    char host[PEER_TEXT_SIZE],
        prefix[PEER_TEXT_SIZE]; /* "": nothing was said; a prefix is like that of --script-name */
};

/* Whether the word of the peer with this address counts; AF_UNIX stands for peers of Unix sockets. */
bool peer_is_trusted(const struct lane_config *config, const struct sockaddr *sa);

/* The same of an address of IPv4 or IPv6. */
bool peer_is_proxy(const struct lane_config *config, const union peer_address *address);

/* The same for one that has just connected, whose address may be incomplete for a Unix socket. */
bool peer_connection_is_trusted(const struct lane_config *config, bool is_unix, const struct sockaddr *sa,
                                socklen_t len);

/* Reads what the fields among the parameters of a request say. The peer that has sent them is trusted. */
void peer_read(struct peer_said *said, const struct lane_config *config, const struct buf *params);

/* Puts the prefix that was said in front of the SCRIPT_NAME that cgi_scan has found. The bytes are behind those of
 * `params`, which is not to grow afterwards. peer_reserve_prefix makes room before the scan: returns 0, or -1 with errno
 * ENOMEM. */
int peer_reserve_prefix(const struct peer_said *said, const struct lane_config *config, struct buf *params);
void peer_set_prefix(const struct peer_said *said, struct buf *params, struct slice *script_name);

/* The address as text; that of an IPv4 peer on a socket for both is the IPv4 address. "" for AF_UNIX. */
struct slice peer_address_text(const struct sockaddr *sa, char out[static INET6_ADDRSTRLEN]);
struct slice peer_port_text(unsigned port, char out[static 8]);

/* The port of an address of IPv4 or IPv6. */
unsigned peer_port(const struct sockaddr *sa);

/* Appends a parameter. Returns 0, or -1 with errno ENOMEM. */
int peer_put(struct buf *params, struct slice name, struct slice value);

/* Appends who the client is, which is known. Returns 0, or -1 with errno ENOMEM. */
int peer_put_client(const struct peer_said *said, struct buf *params);

/* Logs what of --forwarded-allow has no effect on these listeners. */
void peer_warn(const struct address_set *forwarded, const struct listener *list, size_t count);

#endif
