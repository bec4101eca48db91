/* Reads what a FastCGI responder sends: the records of one answer (FastCGI 1.0, 3.3 and 5.5), of which only the status
 * matters (RFC 3875, 6.3.3). For requests that the server makes to itself.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_FCGI_ANSWER_H
#define WSGI_FCGI_PROTO_FCGI_ANSWER_H

#include "proto/fcgi_encode.h"

#include <stdbool.h>

enum { FCGI_ANSWER_LINE = 16 }; /* "Status: 200", with some spaces */

/* All zero: nothing was read yet. */
struct fcgi_answer {
    unsigned status; /* of the answer; 200 if its head names none; 0: the head has not ended */
    bool ended;      /* END_REQUEST came: the answer is whole */
    bool bad;        /* what came is no record: an answer that was cut (net/fcgi/answer.h), or no FastCGI */
    /* The decoder's: */
    uint8_t header[FCGI_RECORD_HEADER];
    size_t have;             /* bytes of it */
    size_t content, padding; /* bytes of the record that are to come */
    char line[FCGI_ANSWER_LINE];
    size_t line_len; /* of the line of the head that is read; only its beginning is kept */
    unsigned named;  /* the status that the head has named so far; 0: none */
};

/* Gets what the answer has of STDERR, piece by piece. */
typedef void fcgi_answer_stderr(void *arg, const uint8_t *text, size_t len);

/* Reads `len` bytes. `errors` may be NULL. Once the answer has ended or is bad, bytes are ignored. */
void fcgi_answer_feed(struct fcgi_answer *a, const uint8_t *data, size_t len, fcgi_answer_stderr *errors, void *arg);

#endif
