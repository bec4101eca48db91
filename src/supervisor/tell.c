#include "config.h"

#include "supervisor/tell.h"

#include "ipc/control.h"
#include "process/access_output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AGAIN_NS UINT64_C(50000000)    /* between attempts to send a message, */
#define STUCK_NS UINT64_C(10000000000) /* of which one has to succeed within this time */

_Static_assert((int)ADDRESS_TEXT_SIZE <= (int)CONTROL_TEXT_SIZE, "a listener's text fits a message");

const struct control_message tell_reopen_log = {.type = CONTROL_REOPEN_LOG, .fds = {STDERR_FILENO}, .nfds = 1};

static bool hello(struct worker *w) {
    struct supervisor *s = w->supervisor;
    struct control_message m = {.type = CONTROL_HELLO,
                                .slot = worker_slot(w),
                                .a = w->number,
                                .b = w->generation,
                                .fds = {s->board_fd, s->queue[0], s->queue[1]},
                                .nfds = 3};
    return !control_send(w->control, &m);
}

struct control_message tell_memory(const struct supervisor *s, unsigned kind) {
    return (struct control_message){.type = CONTROL_MEMORY, .a = kind, .fds = {s->shared[kind]}, .nfds = 1};
}

static bool memories(struct worker *w) {
    for (; w->shared_told < CONTROL_MEMORY_COUNT; w->shared_told++) {
        struct control_message m = tell_memory(w->supervisor, w->shared_told);
        if (control_send(w->control, &m))
            return false;
    }
    return true;
}

static bool access_log(struct worker *w) {
    struct control_message m = {.type = CONTROL_ACCESS_LOG, .fds = {access_output_fd()}, .nfds = 1};
    if (!w->access_log_told)
        w->access_log_told = m.fds[0] < 0 || !control_send(w->control, &m);
    return w->access_log_told;
}

static bool peer(struct worker *w, unsigned slot) {
    struct control_message m = {
        .type = CONTROL_PEER, .slot = slot, .fds = {w->supervisor->workers[slot].wake}, .nfds = 1};
    return !control_send(w->control, &m);
}

static bool listener(struct worker *w, const struct listener *l) {
    struct control_message m = {.type = CONTROL_LISTENER,
                                .a = l->protocol,
                                .b = (l->is_unix ? CONTROL_LISTENER_UNIX : 0u) |
                                     (l->inherited ? CONTROL_LISTENER_INHERITED : 0u),
                                .fds = {l->fd},
                                .nfds = 1};
    snprintf(m.text, sizeof m.text, "%s", l->text);
    return !control_send(w->control, &m);
}

static bool order(struct worker *w, enum control_type type, uint64_t a, uint64_t b) {
    struct control_message m = {.type = type, .a = a, .b = b};
    return !control_send(w->control, &m);
}

static bool tell_listeners(struct worker *w) {
    const struct listener_set *set = &w->supervisor->sockets.opened;
    for (; w->listeners_told < set->count; w->listeners_told++) {
        const struct listener *l = &set->items[w->listeners_told];
        if (l->protocol != LISTENER_STATUS && !listener(w, l)) /* the supervisor itself shows the status page */
            return false;
    }
    return w->serve_told || (w->serve_told = order(w, CONTROL_SERVE, 0, 0));
}

static bool tell_order(struct worker *w, bool *due, enum control_type type, uint64_t a) {
    if (*due)
        *due = !order(w, type, a, 0);
    return !*due;
}

/* The worker may not be allowed to open the file. */
static bool tell_reopen(struct worker *w) {
    if (w->reopen_due)
        w->reopen_due = control_send(w->control, &tell_reopen_log) != 0;
    return !w->reopen_due;
}

static bool tell_trace(struct worker *w) {
    const struct options *o = w->supervisor->o;
    if (w->trace_due)
        w->trace_due = !order(w, CONTROL_TRACE_MEMORY, (uint64_t)(o->trace_memory * 1000), w->traced_from);
    return !w->trace_due;
}

/* Returns false when a message could not be sent; errno says why. */
static bool tell_all(struct worker *w) {
    const struct supervisor *s = w->supervisor;
    if (!w->greeted && !(w->greeted = hello(w)))
        return false;
    if (!memories(w) || !access_log(w))
        return false;
    for (; w->peers_told < s->slots_made; w->peers_told++) {
        if (!peer(w, w->peers_told))
            return false;
    }
    if (w->state == WORKER_LOADED && !tell_listeners(w))
        return false;
    return tell_reopen(w) && tell_trace(w) && tell_order(w, &w->stacks_due, CONTROL_LOG_STACKS, 0) &&
           tell_order(w, &w->retire_due, CONTROL_RETIRE, 0) &&
           tell_order(w, &w->stop_due, CONTROL_STOP, (uint64_t)(s->stop_signal ? s->stop_signal : SIGTERM));
}

/* Room comes when the worker reads. */
static bool is_full(int error) {
    return error == EAGAIN || error == ETOOMANYREFS || error == ENOBUFS || error == ENOMEM;
}

void tell_worker(struct worker *w, uint64_t now) {
    if (w->control < 0 || w->waits || w->zygote)
        return;
    if (tell_all(w) || !is_full(errno)) { /* else it has ended, which its socket tells as well */
        w->stuck_since = 0;
        return;
    }
    if (!w->stuck_since)
        w->stuck_since = now;
    if (!w->kill_at && now - w->stuck_since > STUCK_NS) {
        w->kill_at = now;
        w->kill_text = "takes no message of the supervisor";
    }
    supervisor_is_due(w->supervisor, now + AGAIN_NS, now);
}
