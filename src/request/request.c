#include "config.h"

#include "request/request.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_METHOD = 32, TEXT_TARGET = 512 }; /* sizes of the parts of request_text */

void request_init(struct request *r) {
    *r = (struct request){.deadline = REQUEST_NOT_BEGUN};
    body_init(&r->body);
    pthread_mutex_init(&r->out_lock, NULL);
}

void request_reset(struct request *r, struct body_spares *spares) {
    buf_reset(&r->params, REQUEST_KEEP_BYTES);
    buf_reset(&r->head, REQUEST_KEEP_BYTES);
    buf_reset(&r->out, REQUEST_KEEP_BYTES);
    body_reset(&r->body, spares);
    r->status[0] = '\0';
    r->thread = NULL;
    r->sent = r->answered_at = 0;
    r->job.queued_at = r->job.begun_at = r->job.ended_at = r->job.waited = 0;
    r->end = REQUEST_ANSWERED;
    r->id.n = 0;
    r->traced = r->recorded = false;
    r->head_stored = r->broken_off = false;
    r->located = false;
    atomic_store_explicit(&r->answer, ANSWER_UNSENT, memory_order_relaxed);
    atomic_store_explicit(&r->status_sent, 0, memory_order_relaxed);
    atomic_store_explicit(&r->body_sent, 0, memory_order_relaxed);
    atomic_store_explicit(&r->left, false, memory_order_relaxed);
    atomic_store_explicit(&r->unsent, false, memory_order_relaxed);
    atomic_store_explicit(&r->deadline, REQUEST_NOT_BEGUN, memory_order_relaxed);
    atomic_store_explicit(&r->overdue, false, memory_order_relaxed);
}

/* What points into the parameters of one request points to the same place in those of the other. */
static void rebase(struct slice *s, const struct buf *from, const struct buf *to) {
    if (buf_len(from) && s->p >= buf_head(from) && s->p <= buf_head(from) + buf_len(from))
        s->p = buf_head(to) + (s->p - buf_head(from));
}

void request_stand_in(struct request *to, const struct request *from) {
    to->role = from->role;
    to->begun_at = from->begun_at;
    to->job.key = from->job.key;
    to->job.queued_at = from->job.queued_at;
    to->job.begun_at = from->job.begun_at;
    body_begin(&to->body, 0);
    to->vars = from->vars;
    to->id = from->id;
    to->echoes_id = from->echoes_id;
    to->traced = from->traced;
    to->trace = from->trace;
    to->recorded = from->recorded;
    to->has_parent = from->has_parent;
    memcpy(to->parent, from->parent, sizeof to->parent);
    if (from->id.p == from->made_id) {
        memcpy(to->made_id, from->made_id, sizeof to->made_id);
        to->id.p = to->made_id;
    }
    if (buf_len(&from->params) && buf_append(&to->params, buf_head(&from->params), buf_len(&from->params))) {
        bool head = from->vars.method.n == 4 && !memcmp(from->vars.method.p, "HEAD", 4);
        to->vars = (struct cgi_vars){.method = head ? (struct slice){"HEAD", 4} : (struct slice){NULL, 0}};
        if (to->id.p != to->made_id)
            to->id.n = 0;
        return;
    }
    struct slice *slices[] = {&to->vars.method,       &to->vars.script_name, &to->vars.path_info[0],
                              &to->vars.path_info[1], &to->vars.query,       &to->vars.request_uri,
                              &to->vars.server_name,  &to->vars.server_port, &to->vars.remote_addr,
                              &to->vars.protocol,     &to->vars.bad,         &to->vars.request_id,
                              &to->vars.traceparent,  &to->vars.tracestate,  &to->id};
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++)
        rebase(slices[i], &from->params, &to->params);
}

void request_take_sent(struct request *to, const struct request *from) {
    const unsigned status = atomic_load_explicit(&from->status_sent, memory_order_relaxed);
    to->answered_at = from->answered_at;
    to->sent = atomic_load_explicit(&from->body_sent, memory_order_relaxed);
    if (status)
        snprintf(to->status, sizeof to->status, "%03u", status);
}

void request_fini(struct request *r) {
    buf_fini(&r->params);
    buf_fini(&r->head);
    buf_fini(&r->out);
    body_fini(&r->body);
    pthread_mutex_destroy(&r->out_lock);
}

int request_answer(struct request *r, const char *status, const char *extra, const char *text) {
    bool head_only = r->vars.method.n == 4 && !memcmp(r->vars.method.p, "HEAD", 4);
    char lines[128];
    int n = snprintf(lines, sizeof lines, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\n",
                     strlen(text));
    buf_reset(&r->head, REQUEST_KEEP_BYTES);
    r->located = false;
    snprintf(r->status, sizeof r->status, "%s", status);
    if (buf_append(&r->head, lines, (size_t)n) || (extra && buf_append(&r->head, extra, strlen(extra))))
        return -1;
    return request_put(r, text, head_only ? 0 : strlen(text));
}

/* Like request_is_gone, before something is sent. */
static bool is_in_vain(struct request *r) {
    if (!request_is_gone(r))
        return false;
    atomic_store_explicit(&r->unsent, true, memory_order_relaxed);
    return true;
}

int request_send(struct request *r, const char *data, size_t len) {
    if (is_in_vain(r))
        return -1;
    pthread_mutex_lock(&r->out_lock);
    /* Again, for one that has waited for its turn. */
    int failed = -1;
    if (!request_is_gone(r)) {
        r->sent += len;
        failed = r->answer_ops->send(r, data, len);
    }
    int error = errno;
    if (failed)
        atomic_store_explicit(&r->unsent, true, memory_order_relaxed);
    pthread_mutex_unlock(&r->out_lock);
    errno = error;
    return failed;
}

/* A thread of the application may be sending text to the log of the web server. */
bool request_leave(struct request *r, const char *data, size_t *len) {
    if (!r->answer_ops->leave || *len > REQUEST_LEAVE_MAX || request_is_gone(r) || pthread_mutex_trylock(&r->out_lock))
        return false;
    bool left = false;
    if (!r->answer_ops->put(r, data, *len)) {
        r->sent += *len;
        *len = 0;
        left = r->answer_ops->leave(r);
    }
    pthread_mutex_unlock(&r->out_lock);
    return left;
}

ssize_t request_send_file(struct request *r, int fd, off_t offset) {
    if (is_in_vain(r))
        return -1;
    pthread_mutex_lock(&r->out_lock);
    ssize_t n = -1;
    if (!request_is_gone(r)) {
        r->sent += REQUEST_FILE_BLOCK;
        n = r->answer_ops->send_file(r, fd, offset);
    }
    int error = errno;
    if (n < 0)
        atomic_store_explicit(&r->unsent, true, memory_order_relaxed);
    pthread_mutex_unlock(&r->out_lock);
    errno = error;
    return n;
}

int request_error(struct request *r, const char *text, size_t len) {
    pthread_mutex_lock(&r->out_lock);
    int failed = r->answer_ops->error(r, text, len), error = errno;
    pthread_mutex_unlock(&r->out_lock);
    errno = error;
    return failed;
}

void request_give_up(struct request *r) {
    request_close_answer(r);
    body_abandon(&r->body);
    r->answer_ops->given_up(r);
}

ssize_t request_read(struct request *r, void *out, size_t len) {
    ssize_t n;
    while ((n = body_read(&r->body, out, len)) < 0 && errno == EAGAIN) {
        atomic_store_explicit(&r->waits, REQUEST_READS, memory_order_relaxed);
        if (r->answer_ops->body_wanted)
            r->answer_ops->body_wanted(r);
        if (r->thread && sched_run_loop(r->thread))
            continue;
        if (r->thread && !sched_will_block(r->thread)) {
            errno = EAGAIN;
            n = -1;
            break;
        }
        sched_peer_wait_begins(r->thread);
        body_wait(&r->body);
        sched_peer_wait_ends(r->thread);
    }
    atomic_store_explicit(&r->waits, REQUEST_WAITS_NOT, memory_order_relaxed);
    return n;
}

void request_take_id(struct request *r) {
    if (r->id.n && request_id_is_good(r->vars.request_id))
        r->id = r->vars.request_id;
}

void request_take_trace(struct request *r) {
    r->traced = r->vars.traceparent.n && trace_context_read(r->vars.traceparent, &r->trace);
}

/* Adds " [ID]" behind the `n` bytes that are there. */
static void add_id(char *out, size_t n, size_t size, struct slice id) {
    if (!id.n || n + id.n + 4 > size)
        return;
    memcpy(out + n, " [", 2);
    memcpy(out + n + 2, id.p, id.n);
    memcpy(out + n + 2 + id.n, "]", 2);
}

char *request_text(const struct request *r, char *out, size_t size) {
    struct slice target = r->vars.request_uri.n ? r->vars.request_uri : r->vars.path_info[0];
    log_escape(out, size < TEXT_METHOD ? size : TEXT_METHOD, r->vars.method.p, r->vars.method.n);
    size_t n = strlen(out);
    if (n + 1 >= size)
        return out;
    out[n++] = ' ';
    size -= n;
    log_escape(out + n, size < TEXT_TARGET ? size : TEXT_TARGET, target.p, target.n);
    add_id(out, n + strlen(out + n), n + size, r->id);
    return out;
}
