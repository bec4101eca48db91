/* The FastCGI record decoder: bytes in, events out (FastCGI 1.0, 3.3).
 *
 *      0         1         2         3         4         5         6         7
 *     +---------+---------+---------+---------+---------+---------+---------+---------+
 *     | version | type    | requestId         | contentLength     | padding | reserved|
 *     +---------+---------+---------+---------+---------+---------+---------+---------+
 *     contentData[contentLength] paddingData[padding]
 *
 * Resumable: the bytes may be cut anywhere, down to one byte per call. The decoder keeps at most a header, or the eight
 * bytes of a BEGIN_REQUEST body, between calls. It buffers nothing else: stream contents are handed out as slices of
 * the caller's bytes as they come.
 *
 * The decoder knows records, not requests: whether an id is active is the caller's business.
 *
 * Threads: one at a time for each decoder. Pure: no I/O, no allocation, no lock, no log. Structures and constants are
 * those of <fastcgi.h> (libfcgi).
 */
#ifndef WSGI_FCGI_PROTO_FCGI_DECODE_H
#define WSGI_FCGI_PROTO_FCGI_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed decoder stands before the first byte of a connection. */
struct fcgi_decoder {
    uint8_t partial[8]; /* the header, or a BEGIN_REQUEST body, as far as it came */
    uint8_t npartial;   /* bytes of it */
    uint8_t state;      /* enum in fcgi_decode.c */
    uint8_t type;       /* of the current record */
    uint8_t padding;    /* padding bytes left of the current record */
    uint8_t error;      /* enum fcgi_decode_error */
    uint16_t id;        /* of the current record */
    uint16_t content;   /* content bytes left of the current record */
};

enum fcgi_event_type {
    FCGI_EVENT_MORE,       /* all bytes were taken, and no event is complete */
    FCGI_EVENT_BEGIN,      /* a BEGIN_REQUEST with its whole body: id, role, keep_conn */
    FCGI_EVENT_PARAMS,     /* a piece of the PARAMS stream of `id`: data, len > 0 */
    FCGI_EVENT_PARAMS_END, /* its empty record */
    FCGI_EVENT_STDIN,      /* a piece of the STDIN stream of `id`: data, len > 0 */
    FCGI_EVENT_STDIN_END,  /* its empty record */
    FCGI_EVENT_ABORT,      /* ABORT_REQUEST for `id` */
    FCGI_EVENT_VALUES,     /* a piece of the content of a GET_VALUES record: data, len > 0 */
    FCGI_EVENT_VALUES_END, /* the GET_VALUES record is complete (also when it was empty) */
    FCGI_EVENT_UNKNOWN,    /* a management record (id 0) of another type is complete; `record_type` says which.
                              A BEGIN_REQUEST or any other record with the null request id is one */
    FCGI_EVENT_ERROR,      /* the bytes are not FastCGI; `error` says why. The decoder stays in this state. */
};

enum fcgi_decode_error {
    FCGI_DECODE_OK,
    FCGI_DECODE_VERSION,     /* the version byte is not FCGI_VERSION_1 */
    FCGI_DECODE_BEGIN_SHORT, /* a BEGIN_REQUEST with fewer than eight bytes of content */
};

struct fcgi_event {
    enum fcgi_event_type type;
    enum fcgi_decode_error error;
    uint8_t record_type; /* the type byte of the record */
    uint8_t keep_conn;   /* BEGIN: whether FCGI_KEEP_CONN is set */
    uint16_t id;
    uint16_t role;       /* BEGIN: FCGI_RESPONDER, FCGI_AUTHORIZER, FCGI_FILTER or any other number */
    const uint8_t *data; /* points into the caller's bytes */
    size_t len;
};

/* Takes bytes from *pos (before `end`) up to and including those of the next event, writes the event to *event, and
 * moves *pos behind them. Call it until it returns FCGI_EVENT_MORE. Returns event->type.
 *
 * Skipped without an event: padding (0 to 255 bytes on any record); the content of a BEGIN_REQUEST beyond its eight
 * bytes, of an ABORT_REQUEST, and of management records of other types; and whole records with a nonzero id whose type
 * is none of BEGIN_REQUEST, ABORT_REQUEST, PARAMS and STDIN (DATA among them: the FILTER role is not served). An event
 * is given as soon as its bytes are there; the padding behind it may come later. */
enum fcgi_event_type fcgi_decode(struct fcgi_decoder *d, const uint8_t **pos, const uint8_t *end,
                                 struct fcgi_event *event);

/* True between records: an end of the connection here cuts nothing in half. */
bool fcgi_decoder_idle(const struct fcgi_decoder *d);

/* The same, or within a header: then *bytes and *n are what came of it, which another decoder could be given. */
bool fcgi_decoder_begins(const struct fcgi_decoder *d, const uint8_t **bytes, size_t *n);

#endif
