/* For people with a terminal: in the order of what they need to know first, in 80 columns but for what is longer by
 * itself. */
#include "config.h"

#include "status/forms.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

struct text_form {
    struct buf *out;
    bool failed;
};

__attribute__((format(printf, 2, 3))) static void put(struct text_form *t, const char *format, ...) {
    char line[2048];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    if (buf_append(t->out, line, len))
        t->failed = true;
}

/* Text of others, made safe to show. Each has a buffer of its own in a line. */
enum { SHOWN_SIZE = 4 * INSPECT_PATH_SIZE };

static const char *shown(char out[static SHOWN_SIZE], const char *text) {
    return log_escape(out, SHOWN_SIZE, text, strlen(text));
}

/* "12.3 s", "4 min 05 s", "3 h 07 min", "12 d 3 h". */
enum { SPAN_SIZE = 48 };

static const char *span(char out[static SPAN_SIZE], uint64_t ns) {
    const uint64_t tenths = ns / 100000000, seconds = tenths / 10, minutes = seconds / 60, hours = minutes / 60;
    if (seconds < 60)
        snprintf(out, SPAN_SIZE, "%" PRIu64 ".%" PRIu64 " s", seconds, tenths % 10);
    else if (minutes < 60)
        snprintf(out, SPAN_SIZE, "%" PRIu64 " min %02" PRIu64 " s", minutes, seconds % 60);
    else if (hours < 48)
        snprintf(out, SPAN_SIZE, "%" PRIu64 " h %02" PRIu64 " min", hours, minutes % 60);
    else
        snprintf(out, SPAN_SIZE, "%" PRIu64 " d %" PRIu64 " h", hours / 24, hours % 24);
    return out;
}

static void put_head(struct text_form *t, const struct snapshot *s) {
    const struct status_source *source = &s->source;
    char application[SHOWN_SIZE], up[SPAN_SIZE];
    put(t, "wsgi-fcgi " PACKAGE_VERSION "  %s  pid %d",
        shown(application, source->application ? source->application : "-"), source->pid);
    if (source->python)
        put(t, "  Python %s", source->python);
    if (source->started_at)
        put(t, "  up %s", span(up, s->now > source->started_at ? s->now - source->started_at : 0));
    put(t, "\n");
}

/* Each line of a stack without what it is indented by. */
static void put_stack(struct text_form *t, const char *text) {
    char line[SHOWN_SIZE];
    while (*text) {
        text += strspn(text, " \n");
        const size_t n = strcspn(text, "\n");
        if (n)
            put(t, "      %s\n", log_escape(line, sizeof line, text, n));
        text += n;
    }
}

static void put_call(struct text_form *t, const struct snapshot *s, const struct snapshot_call *c) {
    const struct inspect_call *call = &c->call;
    char method[SHOWN_SIZE], path[SHOWN_SIZE], id[SHOWN_SIZE], file[SHOWN_SIZE], function[SHOWN_SIZE], time[SPAN_SIZE];
    put(t, "%10s  %s %s\n", span(time, c->elapsed), shown(method, call->method), shown(path, call->path));
    put(t, "            worker %u, pid %d", c->worker, c->pid);
    if (call->tid > 0)
        put(t, ", thread %d", call->tid);
    put(t, ": %s%s", inspect_state_text(call->state), call->has_lock ? ", has the interpreter lock" : "");
    if (call->phase != INSPECT_RUNNING)
        put(t, ", %s", inspect_phase_text(call->phase));
    if (call->processor != INSPECT_NOT_KNOWN)
        put(t, ", cpu %s", span(time, call->processor));
    if (*call->request_id)
        put(t, ", request %s", shown(id, call->request_id));
    put(t, "\n");
    const char *stack = snapshot_stack(s, c);
    if (*stack)
        put_stack(t, stack);
    else if (*call->file)
        put(t, "      at %s:%u in %s\n", shown(file, call->file), call->line, shown(function, call->function));
}

static void put_calls(struct text_form *t, const struct snapshot *s) {
    put(t, "\nRUNNING\n");
    for (unsigned i = 0; i < s->call_count; i++)
        put_call(t, s, &s->calls[i]);
    if (s->calls_more)
        put(t, "            and %u more\n", s->calls_more);
    if (!s->call_count)
        put(t, "  no request has run for longer than an instant\n");
}

static void put_workers(struct text_form *t, const struct snapshot *s) {
    put(t, "\nWORKERS\n  %6s %8s %-8s %10s %8s %6s\n", "number", "pid", "state", "memory", "running", "stuck");
    for (unsigned i = 0; i < s->worker_count; i++) {
        const struct snapshot_worker *w = &s->workers[i];
        put(t, "  %6u %8d %-8s %6" PRIu64 " MiB %8u %6u%s%s\n", w->number, w->pid, snapshot_state_text(w->state),
            w->memory >> 20, w->calls, w->stuck, w->caught ? "  no thread free, or the lock is held" : "",
            w->full ? "  --max-connections reached" : "");
    }
    if (!s->worker_count)
        put(t, "  none\n");
}

int form_text(const struct snapshot *s, struct buf *out) {
    struct text_form t = {.out = out};
    put_head(&t, s);
    put_calls(&t, s);
    put_workers(&t, s);
    return t.failed ? -1 : 0;
}
