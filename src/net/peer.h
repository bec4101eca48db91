/* Reads what proxies say about the client of a request: X-Forwarded-* or X-Real-IP, or Forwarded (RFC 7239). The rules
 * are the same for both protocols; net/fcgi/peer.h and net/http/peer.h apply them.
 *
 * Whom to believe (--forwarded-allow): the fields count if the peer that sent them is trusted. Over HTTP that is the
 * peer of the connection. Over FastCGI the peer of the connection is the web server; the fields come from the web
 * server's own peer, whose address is in REMOTE_ADDR. There, both must be trusted: otherwise any client of a trusted
 * web server could claim what it likes.
 *
 * Threads: owner only.
 */
#ifndef WSGI_FCGI_NET_PEER_H
#define WSGI_FCGI_NET_PEER_H

#include "base/buf.h"
#include "net/lane_config.h"
#include "proto/forwarded.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

enum peer_scheme { PEER_SCHEME_UNSAID, PEER_SCHEME_HTTP, PEER_SCHEME_HTTPS };

enum { PEER_TEXT_SIZE = 256 }; /* longer hosts and prefixes are not believed */

struct peer_said {
    bool known; /* the client's address is known */
    union peer_address address;
    enum peer_scheme scheme;
    unsigned port; /* 0: nothing was said */
    char host[PEER_TEXT_SIZE],
        prefix[PEER_TEXT_SIZE]; /* "": nothing was said; a prefix has the form of --script-name */
};

/* Whether the peer with this address, in a struct sockaddr_storage, is trusted. AF_UNIX, of which only the family is
 * read, stands for peers of Unix sockets. */
bool peer_is_trusted(const struct lane_config *config, const struct sockaddr *sa);

/* The same for an address of IPv4 or IPv6. */
bool peer_is_proxy(const struct lane_config *config, const union peer_address *address);

/* The same for a peer that has just connected; on a Unix socket its address may be incomplete. */
bool peer_connection_is_trusted(const struct lane_config *config, bool is_unix, const struct sockaddr *sa,
                                socklen_t len);

/* Reads what the forwarding fields among the parameters of a request say. The caller has checked that their sender is
 * trusted. */
void peer_read(struct peer_said *said, const struct lane_config *config, const struct buf *params);

/* peer_set_prefix puts the prefix from the fields in front of the SCRIPT_NAME that cgi_scan has found. The result is
 * stored behind the bytes of `params`, which must not grow afterwards. Call peer_reserve_prefix before the scan to make
 * room; returns 0, or -1 with errno ENOMEM. */
int peer_reserve_prefix(const struct peer_said *said, const struct lane_config *config, struct buf *params);
void peer_set_prefix(const struct peer_said *said, struct buf *params, struct slice *script_name);

/* The address as text. An IPv4 peer on a socket for both families is shown as IPv4. "" for AF_UNIX. */
struct slice peer_address_text(const struct sockaddr *sa, char out[static INET6_ADDRSTRLEN]);
struct slice peer_port_text(unsigned port, char out[static 8]);

/* The port of an address of IPv4 or IPv6. */
unsigned peer_port(const struct sockaddr *sa);

/* Appends a parameter. Returns 0, or -1 with errno ENOMEM. */
int peer_put(struct buf *params, struct slice name, struct slice value);

/* Appends who the client is, which must be known. Returns 0, or -1 with errno ENOMEM. */
int peer_put_client(const struct peer_said *said, struct buf *params);

/* Warns about items of --forwarded-allow that have no effect on these listeners. */
void peer_warn(const struct address_set *forwarded, const struct listener *list, size_t count);

#endif
