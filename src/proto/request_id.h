/* The label of a request, by which lines of several logs are joined: that of its X-Request-ID field, or one that is
 * made.
 *
 * Anybody may send one, since it decides nothing. What is taken has no byte that could end or imitate a part of a log
 * line, and no more of them than a line has room for.
 *
 * Threads: any; each `struct request_ids` one at a time. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_REQUEST_ID_H
#define WSGI_FCGI_PROTO_REQUEST_ID_H

#include "proto/params.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum {
    REQUEST_ID_MAX = 128, /* bytes of one that is taken: several UUIDs in a row */
    REQUEST_ID_MADE = 32  /* digits of one that is made: as many as a trace id or a UUID has */
};

enum request_id_mode {
    REQUEST_ID_OFF,  /* none is made, and none is taken */
    REQUEST_ID_ON,   /* the application and the log have it */
    REQUEST_ID_ECHO, /* so does the client, in the answer */
};

/* Whether a label that somebody has sent is taken: 1 to REQUEST_ID_MAX letters, digits and bytes of "-._~+/=:@". */
bool request_id_is_good(struct slice id);

/* Labels that are made: the next one, in hexadecimal digits. They are counted up from a number that was drawn, so that
 * each costs a few instructions and no system call, and processes hardly ever make the same. Whoever knows one can tell
 * the next one: they are no secrets. */
struct request_ids {
    char next[REQUEST_ID_MADE];
};

/* `chance`: two numbers that were drawn for this process. */
void request_ids_init(struct request_ids *ids, uint64_t chance, uint64_t more);

/* The part of request_ids_make for all but the last digit. */
void request_ids_carry(struct request_ids *ids);

/* Writes a new one to `out`, not terminated. */
static inline void request_ids_make(struct request_ids *ids, char out[static REQUEST_ID_MADE]) {
    char *last = &ids->next[REQUEST_ID_MADE - 1];
    memcpy(out, ids->next, REQUEST_ID_MADE);
    if (*last == '9')
        *last = 'a';
    else if (*last != 'f')
        ++*last;
    else
        request_ids_carry(ids);
}

#endif
