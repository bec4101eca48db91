/* For programs: version 1 of the document. What is there keeps its name and meaning; readers pass over what they do not
 * know. What is not known is null. */
#include "config.h"

#include "status/forms.h"

#include "base/json.h"
#include "status/families.h"

#include <stdio.h>
#include <string.h>

static void put_server(struct json *j, const struct snapshot *s) {
    const struct status_source *source = &s->source;
    json_key(j, "server");
    json_object_begin(j);
    json_member_text(j, "version", PACKAGE_VERSION);
    json_member_text(j, "python", source->python);
    json_member_uint(j, "pid", (uint64_t)source->pid);
    json_member_text(j, "application", source->application);
    json_member_seconds(j, "started_at", source->started_at);
    json_member_seconds(j, "now", s->now);
    json_member_uint(j, "workers", source->workers);
    json_member_uint(j, "threads_max", source->threads_max);
    json_object_end(j);
}

static void put_threads(struct json *j, const struct snapshot_worker *w) {
    uint64_t counts[SNAPSHOT_THREADS];
    snapshot_threads(w, counts);
    json_key(j, "threads");
    json_object_begin(j);
    for (unsigned i = 0; i < SNAPSHOT_THREADS; i++)
        json_member_uint(j, snapshot_thread_names[i], counts[i]);
    json_object_end(j);
}

static void put_worker(struct json *j, const struct snapshot_worker *w) {
    json_object_begin(j);
    json_member_uint(j, "number", w->number);
    json_key(j, "pid");
    json_int(j, w->pid);
    json_member_uint(j, "generation", w->generation);
    json_member_text(j, "state", snapshot_state_text(w->state));
    json_key(j, "memory_bytes");
    if (w->memory)
        json_uint(j, w->memory);
    else
        json_null(j);
    json_key(j, "started_at");
    if (w->started_at)
        json_seconds(j, w->started_at);
    else
        json_null(j);
    json_member_uint(j, "connections", w->connections);
    json_member_uint(j, "requests", w->requests);
    json_member_uint(j, "queued", w->queued);
    put_threads(j, w);
    json_member_bool(j, "caught", w->caught);
    json_member_bool(j, "full", w->full);
    json_member_seconds(j, "lock_waited_seconds", w->lock_waited);
    json_object_end(j);
}

static void put_known_seconds(struct json *j, const char *key, uint64_t ns) {
    json_key(j, key);
    if (ns == INSPECT_NOT_KNOWN)
        json_null(j);
    else
        json_seconds(j, ns);
}

/* NULL for text that is not there. */
static const char *text_of(const char *text) {
    return *text ? text : NULL;
}

static void put_line(struct json *j, const struct inspect_call *call) {
    json_key(j, "line");
    if (!*call->file) {
        json_null(j);
        return;
    }
    json_object_begin(j);
    json_member_text(j, "file", call->file);
    json_member_uint(j, "line", call->line);
    json_member_text(j, "function", text_of(call->function));
    json_object_end(j);
}

/* An array of lines; or null, and `no_stack` says why. */
static void put_stack(struct json *j, const struct snapshot *s, const struct snapshot_call *c) {
    const char *text = snapshot_stack(s, c);
    json_key(j, "stack");
    if (!c->call.frames) {
        json_null(j);
        json_member_text(j, "no_stack", text_of(text));
        return;
    }
    if (!*text) {
        json_null(j);
        json_member_text(j, "no_stack", NULL);
        return;
    }
    json_array_begin(j);
    while (*text) {
        text += strspn(text, " \n");
        const size_t n = strcspn(text, "\n");
        if (n)
            json_string(j, text, n);
        text += n;
    }
    json_array_end(j);
    json_member_text(j, "no_stack", NULL);
}

static void put_call(struct json *j, const struct snapshot *s, const struct snapshot_call *c) {
    const struct inspect_call *call = &c->call;
    json_object_begin(j);
    json_member_uint(j, "worker", c->worker);
    json_key(j, "pid");
    json_int(j, c->pid);
    json_key(j, "thread");
    if (call->tid > 0)
        json_int(j, call->tid);
    else
        json_null(j);
    json_member_text(j, "request_id", text_of(call->request_id));
    json_member_text(j, "trace_id", text_of(call->trace_id));
    json_member_text(j, "method", call->method);
    json_member_text(j, "path", call->path);
    json_member_seconds(j, "seconds", c->elapsed);
    put_known_seconds(j, "cpu_seconds", call->processor);
    put_known_seconds(j, "queue_seconds", call->queued);
    put_known_seconds(j, "lock_waited_seconds", call->waited);
    json_member_bool(j, "has_lock", call->has_lock);
    json_member_text(j, "state", inspect_state_text(call->state));
    json_member_text(j, "phase", inspect_phase_text(call->phase));
    put_line(j, call);
    put_stack(j, s, c);
    json_object_end(j);
}

/* Values of a family: a number, or an object by its first label, or objects of these by the second one. */
struct totals {
    struct family_sink sink;
    struct json *j;
    const struct family *family;
    char first[32]; /* the label whose object is open; "" at first */
};

static void put_number(struct totals *t, uint64_t value) {
    if (t->family->unit == FAMILY_SECONDS)
        json_seconds(t->j, value);
    else
        json_uint(t->j, value);
}

static void put_total(struct family_sink *sink, const char *const labels[static FAMILY_LABELS], uint64_t value) {
    struct totals *t = (struct totals *)sink;
    if (t->family->labels[1] && strcmp(t->first, labels[0]) != 0) {
        if (*t->first)
            json_object_end(t->j);
        strncpy(t->first, labels[0], sizeof t->first - 1);
        json_key(t->j, labels[0]);
        json_object_begin(t->j);
    }
    if (t->family->labels[0])
        json_key(t->j, t->family->labels[1] ? labels[1] : labels[0]);
    put_number(t, value);
}

static void put_family(struct json *j, const struct snapshot *s, const struct family *f) {
    struct totals t = {.sink = {put_total}, .j = j, .family = f};
    char name[64];
    snprintf(name, sizeof name, "%s%s", f->name, f->type == FAMILY_COUNTER ? "_total" : "");
    json_key(j, name);
    if (f->labels[0])
        json_object_begin(j);
    f->give(s, f, &t.sink);
    if (*t.first)
        json_object_end(j);
    if (f->labels[0])
        json_object_end(j);
}

static bool is_by_worker(const struct family *f) {
    return f->labels[0] && strcmp(f->labels[0], "worker") == 0;
}

static void put_totals(struct json *j, const struct snapshot *s) {
    json_key(j, "totals");
    json_object_begin(j);
    for (unsigned i = 0; i < family_count; i++) {
        const struct family *f = &families[i];
        if (f->give && f->type != FAMILY_INFO && !is_by_worker(f) && family_is_known(s, f))
            put_family(j, s, f);
    }
    json_object_end(j);
}

static void put_histogram(struct json *j, const char *name, const struct metrics_distribution *d) {
    json_key(j, name);
    json_object_begin(j);
    json_member_uint(j, "count", d->count);
    json_member_seconds(j, "sum", d->sum);
    json_member_seconds(j, "p50", metrics_quantile(d, 0.5));
    json_member_seconds(j, "p90", metrics_quantile(d, 0.9));
    json_member_seconds(j, "p99", metrics_quantile(d, 0.99));
    json_member_seconds(j, "max", metrics_quantile(d, 1));
    json_object_end(j);
}

static void put_histograms(struct json *j, const struct snapshot *s) {
    json_key(j, "histograms");
    json_object_begin(j);
    for (unsigned i = 0; i < family_count; i++) {
        if (families[i].type == FAMILY_HISTOGRAM && family_is_known(s, &families[i]))
            put_histogram(j, families[i].name, &s->sums.durations[families[i].which]);
    }
    json_object_end(j);
}

static void put_history(struct json *j, const struct snapshot *s) {
    json_key(j, "history");
    json_object_begin(j);
    json_member_seconds(j, "seconds", METRICS_STEP_NS);
    json_key(j, "buckets");
    json_array_begin(j);
    for (unsigned i = 0; i < s->step_count; i++) {
        const struct metrics_moment *m = &s->steps[i];
        json_object_begin(j);
        json_member_uint(j, "at", (s->steps_at + i * METRICS_STEP_NS) / 1000000000u);
        json_member_uint(j, "requests", m->requests);
        json_member_uint(j, "errors", m->errors);
        json_member_seconds(j, "p50", m->p50);
        json_member_seconds(j, "p99", m->p99);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

static void put_paths(struct json *j, const char *key, const struct metrics_path_sum *const *paths, unsigned count) {
    json_key(j, key);
    json_array_begin(j);
    for (unsigned i = 0; i < count; i++) {
        const struct metrics_path_sum *p = paths[i];
        const size_t method = strcspn(p->text, " ");
        json_object_begin(j);
        json_key(j, "method");
        json_string(j, p->text, method);
        json_member_text(j, "path", p->text + method + (p->text[method] == ' '));
        json_member_uint(j, "count", p->count);
        json_member_seconds(j, "mean", p->count ? p->sum / p->count : 0);
        json_member_seconds(j, "max", p->max);
        json_object_end(j);
    }
    json_array_end(j);
}

static void put_ends(struct json *j, const struct snapshot *s) {
    json_key(j, "ends");
    json_array_begin(j);
    for (unsigned i = 0; i < s->end_count; i++) {
        const struct metrics_end_told *e = &s->ends[i];
        json_object_begin(j);
        json_member_seconds(j, "at", e->at);
        json_member_uint(j, "worker", e->number);
        json_key(j, "pid");
        json_int(j, e->pid);
        json_member_text(j, "reason", metrics_reason_names[e->reason]);
        json_member_text(j, "text", e->text);
        json_object_end(j);
    }
    json_array_end(j);
}

static void put_lines(struct json *j, const struct snapshot *s) {
    json_key(j, "log");
    json_array_begin(j);
    for (size_t i = 0; i < s->line_count; i++) {
        const struct log_ring_line *line = &s->lines[i];
        json_object_begin(j);
        json_member_seconds(j, "at", line->at);
        json_key(j, "pid");
        json_int(j, line->pid);
        json_member_text(j, "level", log_level_name(line->level));
        json_key(j, "text");
        json_string(j, line->text, line->len);
        json_object_end(j);
    }
    json_array_end(j);
}

int form_json(const struct snapshot *s, struct buf *out) {
    struct json j = json_begin(out);
    json_object_begin(&j);
    json_member_uint(&j, "version", 1);
    put_server(&j, s);
    json_key(&j, "notes");
    json_array_begin(&j);
    for (unsigned i = 0; i < s->note_count; i++)
        json_text(&j, s->notes[i]);
    json_array_end(&j);
    json_key(&j, "workers");
    json_array_begin(&j);
    for (unsigned i = 0; i < s->worker_count; i++)
        put_worker(&j, &s->workers[i]);
    json_array_end(&j);
    json_key(&j, "running");
    json_array_begin(&j);
    for (unsigned i = 0; i < s->call_count; i++)
        put_call(&j, s, s->calls[i]);
    json_array_end(&j);
    json_member_uint(&j, "running_more", s->calls_more);
    put_totals(&j, s);
    put_histograms(&j, s);
    put_history(&j, s);
    json_key(&j, "paths");
    json_object_begin(&j);
    put_paths(&j, "slowest", s->slowest, s->slowest_count);
    put_paths(&j, "frequent", s->frequent, s->frequent_count);
    json_object_end(&j);
    put_ends(&j, s);
    put_lines(&j, s);
    json_object_end(&j);
    return json_end(&j) || buf_append(out, "\n", 1) ? -1 : 0;
}
