/* For people with a terminal: in the order of what they need to know first, in 80 columns but for what is longer by
 * itself. */
#include "config.h"

#include "status/forms.h"

#include "base/log.h"
#include "status/words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

/* The same for text that was made safe once, so that its backslashes mean something. */
static const char *plain(char out[static SHOWN_SIZE], const char *text) {
    size_t n = 0;
    while (*text && n + 5 < SHOWN_SIZE) {
        const size_t len = strcspn(text, "\\");
        log_escape(out + n, SHOWN_SIZE - n, text, len);
        n += strlen(out + n);
        text += len;
        if (*text && n + 1 < SHOWN_SIZE)
            out[n++] = *text++;
    }
    out[n] = '\0';
    return out;
}

static void put_head(struct text_form *t, const struct snapshot *s) {
    const struct status_source *source = &s->source;
    char application[SHOWN_SIZE], up[WORDS_SIZE];
    put(t, "wsgi-fcgi " PACKAGE_VERSION "  %s  pid %d",
        shown(application, source->application ? source->application : "-"), source->pid);
    if (source->python)
        put(t, "  Python %s", source->python);
    if (source->started_at)
        put(t, "  up %s", words_age(up, s->now, source->started_at));
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
    char method[SHOWN_SIZE], path[SHOWN_SIZE], id[SHOWN_SIZE], file[SHOWN_SIZE], function[SHOWN_SIZE], time[WORDS_SIZE];
    put(t, "%10s  %s %s\n", words_span(time, c->elapsed), shown(method, call->method), shown(path, call->path));
    put(t, "            worker %u, pid %d", c->worker, c->pid);
    if (call->tid > 0)
        put(t, ", thread %d", call->tid);
    put(t, ": %s%s", inspect_state_text(call->state), call->has_lock ? ", has the interpreter lock" : "");
    if (call->phase != INSPECT_RUNNING)
        put(t, ", %s", inspect_phase_text(call->phase));
    if (call->processor != INSPECT_NOT_KNOWN)
        put(t, ", cpu %s", words_span(time, call->processor));
    put(t, "\n");
    if (*call->request_id)
        put(t, "            request %s\n", shown(id, call->request_id));
    const char *stack = snapshot_stack(s, c);
    if (*stack)
        put_stack(t, stack);
    else if (*call->file)
        put(t, "      at %s:%u in %s\n", shown(file, call->file), call->line, shown(function, call->function));
}

static void put_calls(struct text_form *t, const struct snapshot *s) {
    put(t, "\nRUNNING\n");
    for (unsigned i = 0; i < s->call_count; i++)
        put_call(t, s, s->calls[i]);
    if (s->calls_more)
        put(t, "            and %u more\n", s->calls_more);
    if (!s->call_count)
        put(t, "  no request has run for longer than an instant\n");
}

static void put_workers(struct text_form *t, const struct snapshot *s) {
    char age[WORDS_SIZE];
    put(t, "\nWORKERS\n  %3s %8s %-8s %-11s %9s %5s %5s %4s %5s %4s\n", "no", "pid", "state", "age", "memory", "conns",
        "queue", "run", "stuck", "lost");
    for (unsigned i = 0; i < s->worker_count; i++) {
        const struct snapshot_worker *w = &s->workers[i];
        put(t, "  %3u %8d %-8s %-11s %5" PRIu64 " MiB %5" PRIu64 " %5" PRIu64 " %4u %5u %4" PRIu64 "%s%s\n", w->number,
            w->pid, snapshot_state_text(w->state), words_age(age, s->now, w->started_at), w->memory >> 20,
            w->connections, w->queued, w->calls, w->stuck, w->lost, w->caught ? " caught" : "", w->full ? " full" : "");
    }
    if (!s->worker_count)
        put(t, "  none\n");
}

static void put_distribution(struct text_form *t, const struct snapshot *s, const char *name,
                             enum metrics_duration which) {
    char p50[WORDS_SIZE], p90[WORDS_SIZE], p99[WORDS_SIZE], most[WORDS_SIZE];
    const struct metrics_distribution *d = &s->sums.durations[which];
    put(t, "  %-24s %10" PRIu64 " %9s %9s %9s %9s\n", name, d->count, words_duration(p50, metrics_quantile(d, 0.5)),
        words_duration(p90, metrics_quantile(d, 0.9)), words_duration(p99, metrics_quantile(d, 0.99)),
        words_duration(most, metrics_quantile(d, 1)));
}

static void put_times(struct text_form *t, const struct snapshot *s) {
    put(t, "\nTIMES SINCE THE START         count       p50       p90       p99       max\n");
    put_distribution(t, s, "request", METRICS_REQUEST);
    put_distribution(t, s, "waiting for a thread", METRICS_QUEUE);
    put_distribution(t, s, "to the first byte", METRICS_FIRST_BYTE);
    put_distribution(t, s, "application", METRICS_APPLICATION);
    put_distribution(t, s, "its processor time", METRICS_CPU);
    put_distribution(t, s, "waiting for the lock", METRICS_LOCK_WAIT);
}

/* The last minutes, half a minute a line: what a plot shows elsewhere. */
enum { STEPS_A_LINE = 6, HISTORY_LINES = 10 };

static void put_history(struct text_form *t, const struct snapshot *s) {
    char at[WORDS_SIZE], rate[WORDS_SIZE], p50[WORDS_SIZE], p99[WORDS_SIZE];
    put(t, "\nLAST MINUTES (UTC)  requests/s   errors  worst p50  worst p99\n");
    unsigned first = s->step_count % STEPS_A_LINE;
    if (s->step_count - first > HISTORY_LINES * STEPS_A_LINE)
        first = s->step_count - HISTORY_LINES * STEPS_A_LINE;
    for (unsigned i = first; i < s->step_count; i += STEPS_A_LINE) {
        uint64_t requests = 0, errors = 0, median = 0, slow = 0;
        for (unsigned step = i; step < i + STEPS_A_LINE; step++) {
            const struct metrics_moment *m = &s->steps[step];
            requests += m->requests;
            errors += m->errors;
            median = m->p50 > median ? m->p50 : median;
            slow = m->p99 > slow ? m->p99 : slow;
        }
        const uint64_t tenths = requests * 10 / (STEPS_A_LINE * METRICS_STEP_NS / 1000000000u);
        words_tenths(rate, tenths);
        put(t, "  %s          %10s %8" PRIu64 "  %9s  %9s\n", words_moment(at, s->steps_at + i * METRICS_STEP_NS), rate,
            errors, words_duration(p50, median), words_duration(p99, slow));
    }
}

static void put_paths(struct text_form *t, const char *title, const struct metrics_path_sum *const *paths,
                      unsigned count) {
    char mean[WORDS_SIZE], most[WORDS_SIZE], text[SHOWN_SIZE];
    if (!count)
        return;
    put(t, "\n%-22s count      mean       max\n", title);
    for (unsigned i = 0; i < count; i++) {
        const struct metrics_path_sum *p = paths[i];
        put(t, "  %25" PRIu64 " %9s %9s  %s\n", p->count, words_duration(mean, p->count ? p->sum / p->count : 0),
            words_duration(most, p->max), plain(text, p->text));
    }
}

static void put_ends(struct text_form *t, const struct snapshot *s) {
    char at[WORDS_SIZE], text[SHOWN_SIZE];
    if (!s->end_count)
        return;
    put(t, "\nWORKERS THAT HAVE ENDED (UTC)\n");
    for (unsigned i = 0; i < s->end_count; i++) {
        const struct metrics_end_told *e = &s->ends[i];
        put(t, "  %s worker %u, pid %d: %s (%s)\n", words_moment(at, e->at), e->number, e->pid, plain(text, e->text),
            metrics_reason_names[e->reason]);
    }
}

static void put_lines(struct text_form *t, const struct snapshot *s) {
    char at[WORDS_SIZE], text[SHOWN_SIZE];
    if (!s->line_count)
        return;
    put(t, "\nLOG (UTC)\n");
    for (size_t i = 0; i < s->line_count; i++)
        put(t, "  %s [%d] %s: %s\n", words_moment(at, s->lines[i].at), (int)s->lines[i].pid,
            log_level_name(s->lines[i].level), plain(text, s->lines[i].text));
}

int form_text(const struct snapshot *s, struct buf *out) {
    struct text_form t = {.out = out};
    put_head(&t, s);
    for (unsigned i = 0; i < s->note_count; i++)
        put(&t, "%s! %s\n", i ? "" : "\n", s->notes[i]);
    put_calls(&t, s);
    put_workers(&t, s);
    if (s->has_metrics) {
        put_history(&t, s);
        put_times(&t, s);
    }
    put_paths(&t, "SLOWEST PATHS", s->slowest, s->slowest_count);
    put_paths(&t, "MOST FREQUENT PATHS", s->frequent, s->frequent_count);
    put_ends(&t, s);
    put_lines(&t, s);
    return t.failed ? -1 : 0;
}
