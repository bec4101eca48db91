/* The connections of the load: requests out, answers in. */
#ifndef WSGI_FCGI_BENCH_LOAD_CONN_H
#define WSGI_FCGI_BENCH_LOAD_CONN_H

#include "load-answer.h"
#include "load.h"

#include <fastcgi.h>

struct stream {
    uint64_t start; /* when the request was sent, or due */
    struct answer answer;
    bool active;
};

enum conn_state {
    CONN_CLOSED,  /* no descriptor */
    CONN_WAITING, /* connect could not be tried for now: it is tried again */
    CONN_OPEN,
};

struct conn {
    enum conn_state state;
    int fd;
    bool want_out;
    bool connected; /* since it was opened: the peer has taken something, or the kernel says so */
    bool answered;  /* since it was opened */
    unsigned inflight;
    struct stream *streams; /* by request id - 1 */
    uint16_t *queue;        /* ring of `mux` ids whose request is still to be sent; the first may be sent in part */
    unsigned queue_first, queue_len;
    size_t queue_off;
    FCGI_Header header; /* record being read */
    FCGI_EndRequestBody end;
    size_t header_len, content_len, content_left, padding_left;
};

void conn_init(const struct load *l, struct conn *c);

/* Puts a request into the queue of the connection, `start` being the time its latency counts from. Nothing is sent
 * before conn_push. */
void conn_issue(struct load *l, struct conn *c, unsigned id, uint64_t start);

/* Sends what is queued, connecting first when that is needed. */
void conn_push(struct load *l, struct conn *c);

/* Ends the connection, and forgets the request that is under way on it. */
void conn_abandon(struct load *l, struct conn *c);

/* The kernel says that the connection can be written to. */
void conn_writable(struct load *l, struct conn *c);

/* Of a connection for slow reading: from now on as much may come at a time as comes to others. */
void conn_widen(const struct load *l, const struct conn *c);

/* Reads once. Every answer that is whole, and every request that is lost, is handed to load_settle. */
void conn_read(struct load *l, struct conn *c);

/* Provided by load.c: the request's fate is known. It may issue the next, which the caller pushes. */
void load_settle(struct load *l, struct conn *c, unsigned id, enum answer_verdict verdict);

#endif
