/* For a browser: the page of page.html with tables of everything in it. Its script makes the same of the json form, so
 * that it keeps itself up to date: who changes a table here changes it there. */
#include "config.h"

#include "status/forms.h"

#include "base/utf8.h"
#include "status/families.h"
#include "status/page.h"
#include "status/words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct html {
    const struct snapshot *s;
    struct buf *out;
    bool failed;
};

static void put_bytes(struct html *h, const char *bytes, size_t n) {
    if (!h->failed && buf_append(h->out, bytes, n))
        h->failed = true;
}

/* Markup and numbers of the server's own. Text of others goes through put_text. */
__attribute__((format(printf, 2, 3))) static void put(struct html *h, const char *format, ...) {
    char line[512];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    put_bytes(h, line, n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* What has a meaning in markup is escaped; what does not show as one character is shown as what it is, \u202e. */
static void put_special(struct html *h, uint32_t code) {
    switch (code) {
    case '<':
        put(h, "&lt;");
        break;
    case '>':
        put(h, "&gt;");
        break;
    case '&':
        put(h, "&amp;");
        break;
    case '"':
        put(h, "&quot;");
        break;
    case '\'':
        put(h, "&#39;");
        break;
    case '\n':
        put(h, "\n");
        break;
    default:
        put(h, "\\u%04x", code);
    }
}

static void put_text_of(struct html *h, const char *text, size_t len) {
    size_t from = 0;
    for (size_t i = 0, width; i < len; i += width) {
        uint32_t code;
        width = utf8_read(text + i, len - i, &code);
        if (width && utf8_is_plain(code) && !strchr("<>&\"'", code < 0x80 ? (int)code : 'a'))
            continue;
        put_bytes(h, text + from, i - from);
        if (width)
            put_special(h, code);
        else
            put_bytes(h, "\xef\xbf\xbd", 3);
        width = width ? width : 1;
        from = i + width;
    }
    put_bytes(h, text + from, len - from);
}

static void put_text(struct html *h, const char *text) {
    put_text_of(h, text, strlen(text));
}

static void put_none(struct html *h, unsigned columns, const char *text) {
    put(h, "<tr><td colspan=%u class=none>%s</td></tr>", columns, text);
}

static void put_application(struct html *h) {
    put_text(h, h->s->source.application ? h->s->source.application : "-");
}

static void put_server(struct html *h) {
    const struct status_source *source = &h->s->source;
    char text[WORDS_SIZE];
    put(h, "wsgi-fcgi %s, pid %d", PACKAGE_VERSION, source->pid);
    if (source->python) {
        put(h, ", Python ");
        put_text(h, source->python);
    }
    if (source->started_at)
        put(h, ", up %s", words_age(text, h->s->now, source->started_at));
    put(h, ", seen at %s UTC", words_moment(text, h->s->now));
}

static void put_notes(struct html *h) {
    for (unsigned i = 0; i < h->s->note_count; i++) {
        put(h, "<li>");
        put_text(h, h->s->notes[i]);
        put(h, "</li>");
    }
}

/* Without what its lines are indented by. */
static void put_stack(struct html *h, const char *text) {
    put(h, "<pre>");
    while (*text) {
        text += strspn(text, " \n");
        const size_t n = strcspn(text, "\n");
        if (n) {
            put_text_of(h, text, n);
            put(h, "\n");
        }
        text += n;
    }
    put(h, "</pre>");
}

/* Begins what is folded; the script knows it again by its key. */
static void put_fold(struct html *h, const struct snapshot_call *c) {
    put(h, "<details data-key=\"%d-%d-", c->pid, c->call.tid);
    put_text(h, c->call.request_id);
    put(h, "\"><summary>");
}

static void put_where(struct html *h, const struct snapshot_call *c) {
    const char *stack = snapshot_stack(h->s, c);
    if (*stack)
        put_fold(h, c);
    if (*c->call.file) {
        put(h, "<code>");
        put_text(h, c->call.file);
        put(h, ":%u</code> in <code>", c->call.line);
        put_text(h, c->call.function);
        put(h, "</code>");
    } else {
        put(h, "not known");
    }
    if (*stack) {
        put(h, "</summary>");
        put_stack(h, stack);
        put(h, "</details>");
    }
}

static void put_call(struct html *h, const struct snapshot_call *c) {
    const struct inspect_call *call = &c->call;
    char text[WORDS_SIZE];
    put(h, "<tr><td class=n>%s</td><td><b>", words_span(text, c->elapsed));
    put_text(h, call->method);
    put(h, "</b> ");
    put_text(h, call->path);
    put(h, "<small>worker %u, pid %d", c->worker, c->pid);
    if (call->tid > 0)
        put(h, ", thread %d", call->tid);
    if (*call->request_id) {
        put(h, ", request ");
        put_text(h, call->request_id);
    }
    put(h, "</small></td><td>%s", inspect_state_text(call->state));
    if (call->has_lock)
        put(h, "<br>has the lock");
    if (call->phase != INSPECT_RUNNING)
        put(h, "<br>%s", inspect_phase_text(call->phase));
    if (call->processor != INSPECT_NOT_KNOWN)
        put(h, "<small>cpu %s</small>", words_span(text, call->processor));
    put(h, "</td><td>");
    put_where(h, c);
    put(h, "</td></tr>");
}

static void put_running(struct html *h) {
    for (unsigned i = 0; i < h->s->call_count; i++)
        put_call(h, h->s->calls[i]);
    if (h->s->calls_more)
        put(h, "<tr><td colspan=4 class=none>and %u more</td></tr>", h->s->calls_more);
    if (!h->s->call_count)
        put_none(h, 4, "no request has run for longer than an instant");
}

static void put_worker(struct html *h, const struct snapshot_worker *w) {
    char text[WORDS_SIZE];
    uint64_t threads[SNAPSHOT_THREADS];
    put(h, "<tr><td class=n>%u</td><td class=n>%d</td><td>%s%s%s</td>", w->number, w->pid,
        snapshot_state_text(w->state), w->caught ? ", caught" : "", w->full ? ", full" : "");
    put(h, "<td class=n>%s</td>", words_age(text, h->s->now, w->started_at));
    if (w->memory)
        put(h, "<td class=n>%" PRIu64 " MiB</td>", w->memory >> 20);
    else
        put(h, "<td class=n>-</td>");
    put(h, "<td class=n>%" PRIu64 "</td><td class=n>%" PRIu64 "</td><td class=n>%" PRIu64 "</td>", w->connections,
        w->requests, w->queued);
    snapshot_threads(w, threads);
    for (unsigned i = 0; i < SNAPSHOT_THREADS; i++)
        put(h, "<td class=n>%" PRIu64 "</td>", threads[i]);
    put(h, "</tr>");
}

static void put_workers(struct html *h) {
    for (unsigned i = 0; i < h->s->worker_count; i++)
        put_worker(h, &h->s->workers[i]);
    if (!h->s->worker_count)
        put_none(h, 12, "none");
}

/* The latest first; a step that nothing has happened in is left out. */
static void put_history(struct html *h) {
    char at[WORDS_SIZE], rate[WORDS_SIZE], p50[WORDS_SIZE], p99[WORDS_SIZE];
    unsigned shown = 0;
    for (unsigned i = h->s->step_count; i-- > 0;) {
        const struct metrics_moment *m = &h->s->steps[i];
        if (!m->requests)
            continue;
        shown++;
        put(h,
            "<tr><td>%s</td><td class=n>%s</td><td class=n>%" PRIu64 "</td><td class=n>%s</td><td class=n>%s</td></tr>",
            words_moment(at, h->s->steps_at + i * METRICS_STEP_NS),
            words_tenths(rate, m->requests * 10 / (METRICS_STEP_NS / 1000000000u)), m->errors,
            words_duration(p50, m->p50), words_duration(p99, m->p99));
    }
    if (!shown)
        put_none(h, 5, "no requests in the last ten minutes");
}

static void put_times(struct html *h) {
    char text[WORDS_SIZE];
    static const double shares[] = {0.5, 0.9, 0.99, 1};
    for (unsigned i = 0; i < family_count; i++) {
        const struct family *f = &families[i];
        if (f->type != FAMILY_HISTOGRAM)
            continue;
        const struct metrics_distribution *d = &h->s->sums.durations[f->which];
        put(h, "<tr><td title=\"%s\">%s</td><td class=n>%" PRIu64 "</td>", f->help, f->name, d->count);
        for (unsigned k = 0; k < sizeof shares / sizeof shares[0]; k++)
            put(h, "<td class=n>%s</td>", words_duration(text, metrics_quantile(d, shares[k])));
        put(h, "</tr>");
    }
}

static void put_paths(struct html *h, const struct metrics_path_sum *const *paths, unsigned count) {
    char mean[WORDS_SIZE], most[WORDS_SIZE];
    for (unsigned i = 0; i < count; i++) {
        const struct metrics_path_sum *p = paths[i];
        put(h, "<tr><td>");
        put_text(h, p->text);
        put(h, "</td><td class=n>%" PRIu64 "</td><td class=n>%s</td><td class=n>%s</td></tr>", p->count,
            words_duration(mean, p->count ? p->sum / p->count : 0), words_duration(most, p->max));
    }
    if (!count)
        put_none(h, 4, "none in the last minutes");
}

static void put_slowest(struct html *h) {
    put_paths(h, h->s->slowest, h->s->slowest_count);
}

static void put_frequent(struct html *h) {
    put_paths(h, h->s->frequent, h->s->frequent_count);
}

static void put_ends(struct html *h) {
    char at[WORDS_SIZE];
    for (unsigned i = 0; i < h->s->end_count; i++) {
        const struct metrics_end_told *e = &h->s->ends[i];
        put(h, "<tr><td>%s</td><td class=n>%u</td><td class=n>%d</td><td>%s</td><td>", words_moment(at, e->at),
            e->number, e->pid, metrics_reason_names[e->reason]);
        put_text(h, e->text);
        put(h, "</td></tr>");
    }
    if (!h->s->end_count)
        put_none(h, 5, "none");
}

static void put_log(struct html *h) {
    char at[WORDS_SIZE];
    for (size_t i = 0; i < h->s->line_count; i++) {
        const struct log_ring_line *line = &h->s->lines[i];
        put(h, "<tr class=%s><td>%s</td><td class=n>%d</td><td>%s</td><td>", log_level_name(line->level),
            words_moment(at, line->at), (int)line->pid, log_level_name(line->level));
        put_text_of(h, line->text, line->len);
        put(h, "</td></tr>");
    }
    if (!h->s->line_count)
        put_none(h, 4, "none");
}

struct totals {
    struct family_sink sink;
    struct html *h;
    const struct family *family;
};

static void put_total(struct family_sink *sink, const char *const labels[static FAMILY_LABELS], uint64_t value) {
    struct totals *t = (struct totals *)sink;
    struct html *h = t->h;
    const struct family *f = t->family;
    if (!value)
        return;
    put(h, "<tr><td title=\"%s\">%s%s", f->help, f->name, f->type == FAMILY_COUNTER ? "_total" : "");
    for (unsigned i = 0; i < FAMILY_LABELS && f->labels[i]; i++)
        put(h, " %s", labels[i]);
    put(h, "</td><td class=n>%" PRIu64 "</td></tr>", value);
}

/* Of what was counted, all that is not zero; what is so at present is in other tables. */
static void put_totals(struct html *h) {
    for (unsigned i = 0; i < family_count; i++) {
        struct totals t = {.sink = {put_total}, .h = h, .family = &families[i]};
        if (families[i].type == FAMILY_COUNTER && family_is_known(h->s, &families[i]))
            families[i].give(h->s, &families[i], &t.sink);
    }
}

static void (*const parts[])(struct html *) = {
    [PAGE_APPLICATION] = put_application,
    [PAGE_SERVER] = put_server,
    [PAGE_NOTES] = put_notes,
    [PAGE_RUNNING] = put_running,
    [PAGE_WORKERS] = put_workers,
    [PAGE_HISTORY] = put_history,
    [PAGE_TIMES] = put_times,
    [PAGE_SLOWEST] = put_slowest,
    [PAGE_FREQUENT] = put_frequent,
    [PAGE_ENDS] = put_ends,
    [PAGE_LOG] = put_log,
    [PAGE_TOTALS] = put_totals,
};

int form_html(const struct snapshot *s, struct buf *out) {
    struct html h = {.s = s, .out = out};
    const struct page_piece *piece = page_pieces;
    for (;; piece++) {
        put_bytes(&h, (const char *)piece->text, piece->len);
        if (piece->part == PAGE_END)
            return h.failed ? -1 : 0;
        parts[piece->part](&h);
    }
}
