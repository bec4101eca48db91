/* The peer of a connection, for fuzz_conn: sends what it is told to, and looks at every byte of the answers. */
#ifndef WSGI_FCGI_TESTS_PEER_H
#define WSGI_FCGI_TESTS_PEER_H

#include "base/buf.h"
#include "proto/fcgi_decode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_IDS = 8 /* below this it keeps account of every id */ };

struct peer {
    int fd; /* -1: not connected */
    struct buf in;
    struct fcgi_decoder sent;
    unsigned begun[PEER_IDS]; /* requests sent with this id */
    unsigned ended[PEER_IDS]; /* and those answered */
    bool stdout_ended[PEER_IDS], stderr_ended[PEER_IDS], stdout_used[PEER_IDS], stderr_used[PEER_IDS];
    unsigned asked, told; /* management records */
};

/* Takes over a connected, non-blocking descriptor. */
void peer_begin(struct peer *p, int fd);

/* Sends what there is room for. Returns how many bytes. */
size_t peer_send(struct peer *p, const uint8_t *data, size_t len);

/* Receives up to `max` bytes; a record that FastCGI 1.0 does not allow here ends the program. Returns how many. */
size_t peer_receive(struct peer *p, size_t max);

void peer_half_close(struct peer *p);
void peer_close(struct peer *p);
void peer_fini(struct peer *p);

#endif
