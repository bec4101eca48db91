/* For programs: version 1 of the document. What is there keeps its name and meaning; readers pass over what they do not
 * know. What is not known is null. */
#include "config.h"

#include "status/forms.h"

#include "base/json.h"

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

int form_json(const struct snapshot *s, struct buf *out) {
    struct json j = json_begin(out);
    json_object_begin(&j);
    json_member_uint(&j, "version", 1);
    put_server(&j, s);
    json_key(&j, "workers");
    json_array_begin(&j);
    for (unsigned i = 0; i < s->worker_count; i++)
        put_worker(&j, &s->workers[i]);
    json_array_end(&j);
    json_key(&j, "running");
    json_array_begin(&j);
    for (unsigned i = 0; i < s->call_count; i++)
        put_call(&j, s, &s->calls[i]);
    json_array_end(&j);
    json_member_uint(&j, "running_more", s->calls_more);
    json_object_end(&j);
    return json_end(&j) || buf_append(out, "\n", 1) ? -1 : 0;
}
