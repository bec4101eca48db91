/* Reads the head of a request to the socket of --status (net/status_server.h). That one speaks HTTP also where HTTP was
 * left out of the build, and needs little of it: GET and HEAD, one request on a connection, no content. Everything else
 * is refused, and so is whatever other programs may read in another way (RFC 9112, 2.2, 5.1 and 5.2): bare line feeds,
 * folded lines, blanks in front of a colon.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock. Slices point into the caller's bytes.
 */
#ifndef WSGI_FCGI_PROTO_STATUS_HEAD_H
#define WSGI_FCGI_PROTO_STATUS_HEAD_H

#include "proto/params.h"

#include <stdbool.h>
#include <stddef.h>

enum { STATUS_HEAD_MAX = 8192 /* bytes of a head, with the empty line at its end */ };

enum status_head_result {
    STATUS_HEAD_MORE,      /* it is not complete */
    STATUS_HEAD_OK,        /* *head is set */
    STATUS_HEAD_BAD,       /* it is not what is spoken here: 400 */
    STATUS_HEAD_BAD_METHOD /* it is neither GET nor HEAD: 405 */
};

struct status_head {
    bool head_only;      /* HEAD */
    struct slice path;   /* percent-encoded, begins with a slash */
    struct slice query;  /* without the question mark */
    struct slice accept; /* value of the first Accept field; empty: none */
    struct slice host;   /* value of the Host field; empty: none */
};

/* Reads the `n` bytes that have come so far, of which the first *scanned (0 at first) were looked at before. Bytes that
 * no head has are noticed at once, everything else when the head is complete. What comes behind it is not looked at.
 * The caller gives up when STATUS_HEAD_MAX bytes are no complete head. */
enum status_head_result status_head_read(const char *data, size_t n, size_t *scanned, struct status_head *head);

/* Whether a Host that was read is an address, localhost, a name below that, or a name without a dot: none that somebody
 * elsewhere could have in the DNS, and turn towards this machine so that a browser here shows his page what it gets
 * from us (DNS rebinding). An empty one is none. */
bool status_host_is_of_here(struct slice host);

/* What the log says of a request that is refused for that. */
#define STATUS_HOST_REFUSED                                                                                            \
    "its Host is a name in the DNS, as if a page of another site had asked: use localhost, or name who may see the "   \
    "page with --status-allow"

#endif
