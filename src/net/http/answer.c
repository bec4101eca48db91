#include "config.h"

#include "net/http/answer.h"

#include "net/lane_impl.h"
#include "proto/http_encode.h"
#include "request/answer.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
    COPY_MAX = 8192, /* a longer piece of body is sent from where it is instead of being copied behind the head */
    /* What the server adds to a head at most, without the value of Server. */
    HEAD_EXTRA = 256
};

static struct http_request *request_of(struct request *r) {
    return (struct http_request *)(void *)((char *)r - offsetof(struct http_request, x.r));
}

static char *put_slice(char *at, struct slice s) {
    memcpy(at, s.p, s.n);
    return at + s.n;
}

static int put_data(struct http_request *q, const char *data, size_t len) {
    struct buf *out = &q->x.r.out;
    if (!len || q->framing == HTTP_NO_BODY)
        return 0; /* an empty chunk would be the last one */
    if (q->framing != HTTP_CHUNKED)
        return buf_append(out, data, len);
    if (buf_reserve(out, HTTP_CHUNK_HEAD_MAX + len + 2))
        return -1;
    out->end += http_put_chunk_head(buf_tail(out), len);
    memcpy(buf_tail(out), data, len);
    memcpy(buf_tail(out) + len, "\r\n", 2);
    out->end += len + 2;
    return 0;
}

/* The time of this second, made once per second and thread.
 * Mutable cache: the thread. */
static struct slice date_now(void) {
    static _Thread_local struct {
        time_t at;
        char text[HTTP_DATE_LEN];
    } cache = {.at = -1};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != cache.at) {
        http_put_date(cache.text, now.tv_sec);
        cache.at = now.tv_sec;
    }
    return (struct slice){cache.text, sizeof cache.text};
}

/* RFC 9112, 6.3. `length`: the head has a Content-Length. */
static enum http_framing choose_framing(const struct http_request *q, bool length) {
    if (q->head_only || answer_content(q->x.r.status) != ANSWER_ANY)
        return HTTP_NO_BODY;
    if (length)
        return HTTP_LENGTH;
    return q->minor ? HTTP_CHUNKED : HTTP_UNTIL_CLOSE;
}

/* An unwanted body is read to its end if that is near. A client that was not told to continue may send the body or not,
 * so nobody can tell what comes next (RFC 9110, 10.1.1). */
static bool may_keep(struct http_request *q) {
    if (q->framing == HTTP_UNTIL_CLOSE || !atomic_load_explicit(&q->keep, memory_order_relaxed))
        return false;
    if (body_complete(&q->x.r.body))
        return true;
    int64_t length = q->x.r.vars.content_length;
    return !atomic_load(&q->owes_continue) && length > 0 && length <= HTTP_DRAIN_MAX;
}

/* Stores the head, with room for `more` bytes behind it. */
static int put_head(struct http_request *q, size_t more) {
    struct request *r = &q->x.r;
    const char *server = q->c->conn.lane->config.server_header;
    size_t status = strlen(r->status), nserver = server ? strlen(server) : 0;
    struct http_fields fields;
    if (answer_settle_head(r))
        return -1;
    http_scan_fields(&fields, buf_len(&r->head) ? buf_head(&r->head) : "", buf_len(&r->head));
    q->framing = choose_framing(q, fields.has_length);
    q->kept = may_keep(q);
    if (buf_reserve(&r->out, buf_len(&r->head) + status + nserver + HEAD_EXTRA + more))
        return -1;
    char *at = put_slice(buf_tail(&r->out), LITERAL("HTTP/1.1 "));
    at = put_slice(at, (struct slice){r->status, status});
    if (status == 3)
        *at++ = ' '; /* the reason may be empty, the space not (RFC 9112, 4) */
    at = put_slice(at, LITERAL("\r\n"));
    if (nserver && !fields.has_server) {
        at = put_slice(at, LITERAL("Server: "));
        at = put_slice(at, (struct slice){server, nserver});
        at = put_slice(at, LITERAL("\r\n"));
    }
    if (!fields.has_date) {
        at = put_slice(at, LITERAL("Date: "));
        at = put_slice(at, date_now());
        at = put_slice(at, LITERAL("\r\n"));
    }
    if (buf_len(&r->head))
        at = put_slice(at, (struct slice){buf_head(&r->head), buf_len(&r->head)});
    if (q->framing == HTTP_CHUNKED)
        at = put_slice(at, LITERAL("Transfer-Encoding: chunked\r\n"));
    if (!q->kept)
        at = put_slice(at, LITERAL("Connection: close\r\n"));
    else if (!q->minor)
        at = put_slice(at, LITERAL("Connection: keep-alive\r\n"));
    at = put_slice(at, LITERAL("\r\n"));
    r->out.end = (size_t)(at - r->out.data);
    r->head_stored = true;
    return 0;
}

static int http_put(struct request *r, const char *data, size_t len) {
    struct http_request *q = request_of(r);
    if (!r->head_stored && put_head(q, len + HTTP_CHUNK_HEAD_MAX + 2))
        return -1;
    return put_data(q, data, len);
}

/* A long piece is sent straight from the caller's memory, after the stored bytes. */
static int transmit_data(struct http_request *q, const char *data, size_t len) {
    char head[HTTP_CHUNK_HEAD_MAX];
    bool chunked = q->framing == HTTP_CHUNKED;
    struct iovec pieces[] = {
        {buf_head(&q->x.r.out), buf_len(&q->x.r.out)},
        {head, chunked ? http_put_chunk_head(head, len) : 0},
        {(void *)(uintptr_t)data, len},
        {(void *)(uintptr_t) "\r\n", chunked ? 2 : 0},
    };
    int failed = exchange_transmit(&q->x, pieces, sizeof pieces / sizeof *pieces);
    buf_reset(&q->x.r.out, REQUEST_KEEP_BYTES);
    return failed;
}

static int http_send(struct request *r, const char *data, size_t len) {
    struct http_request *q = request_of(r);
    if (len <= COPY_MAX)
        return http_put(r, data, len) ? -1 : exchange_transmit_stored(&q->x);
    if (!r->head_stored && put_head(q, 0))
        return -1;
    if (q->framing == HTTP_NO_BODY)
        return exchange_transmit_stored(&q->x);
    return transmit_data(q, data, len);
}

/* The length was announced, and it alone frames the body (RFC 9112, 6.3). */
static ssize_t http_send_file(struct request *r, int fd, off_t offset) {
    return exchange_transmit_file(exchange_of(r), NULL, fd, offset);
}

static int http_error(struct request *r, const char *text, size_t len) {
    (void)r;
    (void)text;
    (void)len;
    errno = ENOTSUP;
    return -1;
}

static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

void http_send_continue(struct http_request *q) {
    if (atomic_exchange(&q->owes_continue, false))
        conn_output(&q->c->conn, go_on, sizeof go_on - 1);
}

/* RFC 9110, 10.1.1: the client may send its body now. After an answer, "100 Continue" would refer to the next
 * request. */
static void http_body_wanted(struct request *r) {
    struct http_request *q = request_of(r);
    struct iovec piece = {(void *)(uintptr_t)go_on, sizeof go_on - 1};
    if (!atomic_load(&q->owes_continue))
        return;
    pthread_mutex_lock(&r->out_lock);
    if (atomic_exchange(&q->owes_continue, false) && !r->head_stored)
        conn_transmit_interim(&q->c->conn, r, &piece, 1); /* an error shows when the answer is sent */
    pthread_mutex_unlock(&r->out_lock);
}

const struct answer_ops http_answer_ops = {.put = http_put,
                                           .send = http_send,
                                           .send_file = http_send_file,
                                           .error = http_error,
                                           .given_up = exchange_given_up,
                                           .deadline_set = deadline_set,
                                           .body_wanted = http_body_wanted};

int http_put_end(struct http_request *q) {
    return q->framing == HTTP_CHUNKED ? buf_append(&q->x.r.out, "0\r\n\r\n", 5) : 0;
}
