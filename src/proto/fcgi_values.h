/* GET_VALUES: reads the names in a query piece by piece, and writes the answer (FastCGI 1.0, 4.1).
 *
 * Bounded: the state is a few bytes, whatever the peer sends. Unknown names are ignored, and so are values in the
 * query. A known name is answered once, however often it is asked.
 *
 * Threads: one at a time for each reader. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_FCGI_VALUES_H
#define WSGI_FCGI_PROTO_FCGI_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed reader stands before the first byte of a query. */
struct fcgi_values {
    uint32_t name_left;  /* bytes of the current name to come */
    uint32_t value_left; /* bytes of the current value to come */
    uint8_t state;       /* enum in fcgi_values.c */
    uint8_t nlength;     /* bytes of a four-byte length that came */
    uint8_t nname;       /* bytes of `name` that are filled */
    char name[16];       /* the current name as far as it came and fits (FCGI_MPXS_CONNS is the longest known one) */
    bool name_long;      /* the current name does not fit: it is unknown */
    uint8_t asked;       /* bit set of the known names, in the order of the constants below */
};

enum { FCGI_ASKED_MAX_CONNS = 1, FCGI_ASKED_MAX_REQS = 2, FCGI_ASKED_MPXS_CONNS = 4 };

/* Takes a piece of the content of a GET_VALUES record. */
void fcgi_values_feed(struct fcgi_values *v, const uint8_t *data, size_t len);

/* Enough bytes for any answer. */
enum { FCGI_VALUES_RESULT_MAX = 128 };

/* Writes the GET_VALUES_RESULT record for what was asked, and zeroes the reader for the next query. Names whose pair
 * was cut off do not count. Returns the bytes written, at most FCGI_VALUES_RESULT_MAX. Values are decimal numbers. */
size_t fcgi_values_result(struct fcgi_values *v, uint8_t *out, unsigned max_conns, unsigned max_reqs, bool mpxs_conns);

#endif
