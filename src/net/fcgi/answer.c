#include "config.h"

#include "net/fcgi/answer.h"

#include "net/deadline.h"
#include "proto/fcgi_encode.h"
#include "request/answer.h"

#include <assert.h>
#include <errno.h>
#include <fastcgi.h>
#include <string.h>

enum {
    COPY_MAX = 8192,    /* a longer piece of body is sent from where it is instead of being copied behind the head */
    STDERR_KEPT = 65536 /* so much may be stored before text for the web server's log is transmitted */
};

static struct fcgi_request *request_of(struct request *r) {
    return (struct fcgi_request *)(void *)((char *)r - offsetof(struct fcgi_request, x.r));
}

/* Stores a record of `len` bytes, for whose content this makes room; the caller writes it. */
static char *record_begin(struct fcgi_request *q, uint8_t type, size_t len) {
    struct buf *out = &q->x.r.out;
    if (buf_reserve(out, FCGI_RECORD_HEADER + len + fcgi_padding(len)))
        return NULL;
    fcgi_put_header((uint8_t *)buf_tail(out), type, q->x.id, len);
    out->end += FCGI_RECORD_HEADER;
    return buf_tail(out);
}

static void record_end(struct fcgi_request *q, size_t len) {
    size_t padding = fcgi_padding(len);
    memset(buf_tail(&q->x.r.out) + len, 0, padding);
    q->x.r.out.end += len + padding;
}

static char *put(char *at, const void *data, size_t len) {
    memcpy(at, data, len);
    return at + len;
}

static int put_data(struct fcgi_request *q, uint8_t type, const char *data, size_t len) {
    while (len) {
        size_t n = len < FCGI_RECORD_MAX ? len : FCGI_RECORD_MAX;
        char *at = record_begin(q, type, n);
        if (!at)
            return -1;
        memcpy(at, data, n);
        record_end(q, n);
        data += n;
        len -= n;
    }
    return 0;
}

static char *put_status(char *at, const struct request *r, size_t len) {
    at = put(at, "Status: ", 8);
    at = put(at, r->status, len);
    return put(at, "\r\n", 2);
}

/* A head larger than a record takes several records. */
static int put_long_head(struct fcgi_request *q, bool status_first, const char *data, size_t len) {
    char line[8 + REQUEST_STATUS_MAX + 2];
    size_t n = (size_t)(put_status(line, &q->x.r, strlen(q->x.r.status)) - line);
    size_t head = buf_len(&q->x.r.head), records = head / FCGI_RECORD_MAX + 4;
    /* All or nothing: then none of these fails. */
    if (buf_reserve(&q->x.r.out, n + head + 2 + len + records * (FCGI_RECORD_HEADER + 7)))
        return -1;
    if (status_first)
        put_data(q, FCGI_STDOUT, line, n);
    put_data(q, FCGI_STDOUT, buf_head(&q->x.r.head), head);
    if (!status_first)
        put_data(q, FCGI_STDOUT, line, n);
    put_data(q, FCGI_STDOUT, "\r\n", 2);
    put_data(q, FCGI_STDOUT, data, len);
    q->x.r.head_stored = true;
    return 0;
}

/* The head and the first `len` bytes of the body in one record. "Status" is its first line, because some clients look
 * at nothing else. With a Location that is not of a 302 it is the last one: HAProxy turns every answer in which
 * Location comes after Status into a 302. */
static int put_head(struct fcgi_request *q, const char *data, size_t len) {
    struct request *r = &q->x.r;
    if (answer_settle_head(r))
        return -1;
    bool status_first = !r->located || !memcmp(r->status, "302", 3);
    size_t status = strlen(r->status), head = buf_len(&r->head);
    size_t total = head + 8 + status + 4 + len;
    if (total > FCGI_RECORD_MAX)
        return put_long_head(q, status_first, data, len);
    char *at = record_begin(q, FCGI_STDOUT, total);
    if (!at)
        return -1;
    if (status_first)
        at = put_status(at, r, status);
    if (head)
        at = put(at, buf_head(&r->head), head);
    if (!status_first)
        at = put_status(at, r, status);
    at = put(at, "\r\n", 2);
    if (len)
        put(at, data, len);
    record_end(q, total);
    r->head_stored = true;
    return 0;
}

static int fcgi_put(struct request *r, const char *data, size_t len) {
    struct fcgi_request *q = request_of(r);
    if (r->head_stored)
        return put_data(q, FCGI_STDOUT, data, len);
    if (len <= COPY_MAX)
        return put_head(q, data, len);
    return put_head(q, NULL, 0) || put_data(q, FCGI_STDOUT, data, len) ? -1 : 0;
}

/* A long piece is sent record by record straight from the caller's memory, after the stored bytes. */
static int transmit_data(struct fcgi_request *q, const char *data, size_t len) {
    static const char zeros[8];
    while (len) { /* nobody may wait any more in the middle of a long piece, too (FastCGI 1.0, 5.4) */
        if (request_is_gone(&q->x.r))
            return -1;
        size_t n = len < FCGI_RECORD_MAX ? len : FCGI_RECORD_MAX;
        uint8_t header[FCGI_RECORD_HEADER];
        fcgi_put_header(header, FCGI_STDOUT, q->x.id, n);
        struct iovec pieces[] = {
            {buf_head(&q->x.r.out), buf_len(&q->x.r.out)},
            {header, sizeof header},
            {(void *)(uintptr_t)data, n},
            {(void *)(uintptr_t)zeros, fcgi_padding(n)},
        };
        bool stored = pieces[0].iov_len > 0;
        int failed = exchange_transmit(&q->x, pieces + !stored, stored ? 4 : 3);
        buf_reset(&q->x.r.out, REQUEST_KEEP_BYTES);
        if (failed)
            return -1;
        data += n;
        len -= n;
    }
    return 0;
}

static int fcgi_send(struct request *r, const char *data, size_t len) {
    struct fcgi_request *q = request_of(r);
    if (len <= COPY_MAX)
        return fcgi_put(r, data, len) ? -1 : exchange_transmit_stored(&q->x);
    if (!r->head_stored && put_head(q, NULL, 0))
        return -1;
    return transmit_data(q, data, len);
}

static bool fcgi_leave(struct request *r) {
    return exchange_leave_stored(&request_of(r)->x);
}

static void fcgi_body_wanted(struct request *r) {
    conn_note_left(request_of(r)->x.conn);
}

static ssize_t fcgi_send_file(struct request *r, int fd, off_t offset) {
    static_assert((int)REQUEST_FILE_BLOCK <= (int)FCGI_RECORD_MAX && REQUEST_FILE_BLOCK % 8 == 0,
                  "a block is a record without padding");
    struct fcgi_request *q = request_of(r);
    uint8_t header[FCGI_RECORD_HEADER];
    struct iovec piece = {header, sizeof header};
    fcgi_put_header(header, FCGI_STDOUT, q->x.id, REQUEST_FILE_BLOCK);
    return exchange_transmit_file(&q->x, &piece, fd, offset);
}

static int fcgi_error(struct request *r, const char *text, size_t len) {
    struct fcgi_request *q = request_of(r);
    if (request_is_gone(&q->x.r))
        return -1;
    q->stderr_used = true;
    if (put_data(q, FCGI_STDERR, text, len))
        return -1;
    return buf_len(&r->out) > STDERR_KEPT ? exchange_transmit_stored(&q->x) : 0;
}

const struct answer_ops fcgi_answer_ops = {.put = fcgi_put,
                                           .send = fcgi_send,
                                           .leave = fcgi_leave,
                                           .send_file = fcgi_send_file,
                                           .error = fcgi_error,
                                           .given_up = exchange_given_up,
                                           .deadline_set = deadline_set,
                                           .body_wanted = fcgi_body_wanted};

/* Streams that were used end with an empty record (FastCGI 1.0, 5.3). */
static void put_stream_end(struct fcgi_request *q, uint8_t type) {
    fcgi_put_header((uint8_t *)buf_tail(&q->x.r.out), type, q->x.id, 0);
    q->x.r.out.end += FCGI_RECORD_HEADER;
}

int fcgi_put_end(struct fcgi_request *q, uint32_t app_status, uint8_t protocol_status) {
    struct buf *out = &q->x.r.out;
    /* An aborted request may have no answer at all; END_REQUEST alone is then right. */
    if (buf_reserve(out, 2 * FCGI_RECORD_HEADER + FCGI_END_REQUEST_LEN))
        return -1;
    if (q->stderr_used)
        put_stream_end(q, FCGI_STDERR);
    if (q->x.r.head_stored)
        put_stream_end(q, FCGI_STDOUT);
    fcgi_put_end_request((uint8_t *)buf_tail(out), q->x.id, app_status, protocol_status);
    out->end += FCGI_END_REQUEST_LEN;
    return 0;
}
