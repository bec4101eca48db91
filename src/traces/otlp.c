#include "config.h"

#include "traces/otlp.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KIND_SERVER = 2, STATUS_ERROR = 2, FLAGS_REMOTE_KNOWN = 0x100, FLAGS_REMOTE = 0x200 };

static void begin_attribute(struct json *j, const char *key, const char *type) {
    json_object_begin(j);
    json_member_text(j, "key", key);
    json_key(j, "value");
    json_object_begin(j);
    json_key(j, type);
}

static void end_attribute(struct json *j) {
    json_object_end(j);
    json_object_end(j);
}

static void put_text(struct json *j, const char *key, const char *text) {
    if (!text[0])
        return;
    begin_attribute(j, key, "stringValue");
    json_text(j, text);
    end_attribute(j);
}

/* The values of a field of HTTP are a list, of however many they are (semantic conventions for HTTP). */
static void put_field(struct json *j, const char *key, const char *value) {
    if (!value[0])
        return;
    begin_attribute(j, key, "arrayValue");
    json_object_begin(j);
    json_key(j, "values");
    json_array_begin(j);
    json_object_begin(j);
    json_member_text(j, "stringValue", value);
    json_object_end(j);
    json_array_end(j);
    json_object_end(j);
    end_attribute(j);
}

static void put_number(struct json *j, const char *key, uint64_t number) {
    begin_attribute(j, key, "intValue");
    json_uint_text(j, number);
    end_attribute(j);
}

static void put_id(struct json *j, const char *key, const uint8_t *id, size_t n) {
    char digits[2 * TRACE_ID_SIZE];
    trace_context_put_hex(id, n, digits);
    json_key(j, key);
    json_string(j, digits, 2 * n);
}

static void put_time(struct json *j, const char *key, uint64_t at) {
    json_key(j, key);
    json_uint_text(j, at);
}

static void put_event(struct json *j, const char *name, uint64_t at) {
    if (!at)
        return;
    json_object_begin(j);
    json_member_text(j, "name", name);
    put_time(j, "timeUnixNano", at);
    json_object_end(j);
}

/* What a client makes up is not to become the name of a kind of span (semantic conventions for HTTP, "_OTHER"). */
static bool is_known(const char *method) {
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(method, known[i]))
            return true;
    return false;
}

static void put_attributes(struct json *j, const struct span *s) {
    bool known = is_known(s->method);
    json_key(j, "attributes");
    json_array_begin(j);
    put_text(j, "http.request.method", known ? s->method : "_OTHER");
    if (!known)
        put_text(j, "http.request.method_original", s->method);
    put_text(j, "url.path", s->path);
    put_text(j, "url.scheme", s->https ? "https" : "http");
    if (s->status)
        put_number(j, "http.response.status_code", s->status);
    put_text(j, "client.address", s->client);
    put_text(j, "server.address", s->server);
    put_text(j, "user_agent.original", s->agent);
    if (!strncmp(s->protocol, "HTTP/", 5))
        put_text(j, "network.protocol.version", s->protocol + 5);
    put_field(j, "http.request.header.x-request-id", s->id);
    if (s->error) {
        char type[16];
        snprintf(type, sizeof type, "%u", s->status);
        put_text(j, "error.type", s->status ? type : "no_answer");
    }
    json_array_end(j);
}

static void put_span(struct json *j, const struct span *s) {
    json_object_begin(j);
    put_id(j, "traceId", s->context.trace, sizeof s->context.trace);
    put_id(j, "spanId", s->context.span, sizeof s->context.span);
    if (s->has_parent)
        put_id(j, "parentSpanId", s->parent, sizeof s->parent);
    if (s->state[0])
        json_member_text(j, "traceState", s->state);
    json_member_uint(j, "flags", s->context.flags | FLAGS_REMOTE_KNOWN | (s->has_parent ? FLAGS_REMOTE : 0));
    json_member_text(j, "name", is_known(s->method) ? s->method : "HTTP");
    json_member_uint(j, "kind", KIND_SERVER);
    put_time(j, "startTimeUnixNano", s->begun_at);
    put_time(j, "endTimeUnixNano", s->ended_at);
    put_attributes(j, s);
    json_key(j, "events");
    json_array_begin(j);
    put_event(j, "waits for a thread", s->queued_at);
    put_event(j, "the application is called", s->called_at);
    json_array_end(j);
    if (s->error) {
        json_key(j, "status");
        json_object_begin(j);
        json_member_uint(j, "code", STATUS_ERROR);
        json_object_end(j);
    }
    json_object_end(j);
}

static void put_resource(struct json *j, const struct trace_settings *settings) {
    json_key(j, "resource");
    json_object_begin(j);
    json_key(j, "attributes");
    json_array_begin(j);
    for (size_t i = 0; i < settings->nattributes; i++)
        put_text(j, settings->attributes[i].name, settings->attributes[i].value);
    put_number(j, "process.pid", (uint64_t)getpid());
    json_array_end(j);
    json_object_end(j);
}

int otlp_put(const struct spans *spans, size_t n, const struct trace_settings *settings, struct buf *out) {
    struct json writer = json_begin(out), *j = &writer;
    json_object_begin(j);
    json_key(j, "resourceSpans");
    json_array_begin(j);
    json_object_begin(j);
    put_resource(j, settings);
    json_key(j, "scopeSpans");
    json_array_begin(j);
    json_object_begin(j);
    json_key(j, "scope");
    json_object_begin(j);
    json_member_text(j, "name", PACKAGE_NAME);
    json_member_text(j, "version", PACKAGE_VERSION);
    json_object_end(j);
    json_key(j, "spans");
    json_array_begin(j);
    for (size_t i = 0; i < n; i++)
        put_span(j, spans_at(spans, i));
    json_array_end(j);
    json_object_end(j);
    json_array_end(j);
    json_object_end(j);
    json_array_end(j);
    json_object_end(j);
    return json_end(j);
}

uint64_t otlp_rejected(const char *answer, size_t len) {
    static const char key[] = "\"rejectedSpans\"";
    const char *at = memmem(answer, len, key, sizeof key - 1), *end = answer + len;
    uint64_t n = 0;
    if (!at)
        return 0;
    at += sizeof key - 1;
    while (at < end && (*at == ' ' || *at == ':' || *at == '"'))
        at++;
    for (; at < end && *at >= '0' && *at <= '9' && n < UINT32_MAX; at++)
        n = n * 10 + (uint64_t)(*at - '0');
    return n;
}
