/* What a FastCGI peer knows of its connection, for fuzz_conn: keeps account of what was sent, and looks at every byte
 * of the answers. */
#ifndef WSGI_FCGI_TESTS_PEER_H
#define WSGI_FCGI_TESTS_PEER_H

#include "base/buf.h"
#include "proto/fcgi_decode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_IDS = 8 /* below this it keeps account of every id */ };

struct peer {
    struct buf in; /* the begin of a record of an answer */
    struct fcgi_decoder sent;
    unsigned begun[PEER_IDS]; /* requests sent with this id */
    unsigned ended[PEER_IDS]; /* and those answered */
    bool stdout_ended[PEER_IDS], stderr_ended[PEER_IDS], stdout_used[PEER_IDS], stderr_used[PEER_IDS];
    unsigned asked, told; /* management records */
};

/* A new connection. The memory is zero, or was a peer before. */
void peer_begin(struct peer *p);

void peer_sent(struct peer *p, const uint8_t *data, size_t len);

/* A record that FastCGI 1.0 does not allow here ends the program. */
void peer_received(struct peer *p, const uint8_t *data, size_t len);

void peer_fini(struct peer *p);

#endif
