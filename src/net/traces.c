#include "config.h"

#include "net/traces.h"

#include "base/clock.h"
#include "base/hash.h"
#include "net/exchange.h"
#include "net/lane_impl.h"
#include "traces/settings.h"
#include "traces/spans.h"

#include <stdio.h>
#include <string.h>

/* Bytes that look random, and are not all zeros. */
static void draw(struct lane *lane, uint8_t *out, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        uint64_t number = hash_next(&lane->chance) | 1;
        memcpy(out + i, &number, 8);
    }
}

void traces_begin(struct exchange *x) {
    struct request *r = &x->r;
    struct lane *lane = x->conn->lane;
    bool continued = r->traced;
    r->has_parent = false;
    if (!continued) {
        draw(lane, r->trace.trace, sizeof r->trace.trace);
        r->trace.flags = 0;
    }
    r->recorded = trace_settings_sample(lane->config.trace_settings, continued ? &r->trace : NULL, r->trace.trace);
    if (r->recorded)
        r->trace.flags |= TRACE_SAMPLED;
    else
        r->trace.flags &= (uint8_t)~TRACE_SAMPLED;
    r->traced = true;
    if (continued && !r->recorded)
        return;
    if (continued) {
        memcpy(r->parent, r->trace.span, sizeof r->parent);
        r->has_parent = true;
    }
    draw(lane, r->trace.span, sizeof r->trace.span);
}

static void put(char *out, size_t size, struct slice from) {
    size_t n = from.n < size ? from.n : size - 1;
    if (n)
        memcpy(out, from.p, n);
    out[n] = '\0';
}

#define PUT(member, from) put((member), sizeof(member), (from))

/* The one field that nobody else reads. */
static struct slice find_agent(const struct buf *params) {
    static const char name[] = "HTTP_USER_AGENT";
    const char *pos = buf_head(params), *end = buf_tail(params);
    struct params_pair pair;
    while (pos && params_next(&pos, end, &pair) == PARAMS_PAIR)
        if (pair.name.n == sizeof name - 1 && !memcmp(pair.name.p, name, pair.name.n))
            return pair.value;
    return (struct slice){"", 0};
}

void traces_end(struct exchange *x) {
    const struct request *r = &x->r;
    struct spans *spans = x->conn->lane->config.spans;
    struct span *s = spans_room(spans);
    if (!s)
        return;
    uint64_t now = clock_unix_ns(), ago = now - clock_ns(); /* what is between the two clocks */
    s->context = r->trace;
    s->has_parent = r->has_parent;
    memcpy(s->parent, r->parent, sizeof s->parent);
    s->https = r->vars.https;
    s->status = r->end == REQUEST_DROPPED ? 0 : request_status(r);
    s->error = s->status >= 500 || r->end == REQUEST_CUT || r->end == REQUEST_OVERDUE;
    s->begun_at = r->begun_at + ago;
    s->queued_at = r->job.queued_at ? r->job.queued_at + ago : 0;
    s->called_at = r->job.begun_at ? r->job.begun_at + ago : 0;
    s->ended_at = now > s->begun_at ? now : s->begun_at;
    PUT(s->method, r->vars.method);
    PUT(s->protocol, r->vars.protocol);
    PUT(s->path, request_target_path(r));
    PUT(s->client, r->vars.remote_addr);
    PUT(s->server, r->vars.server_name);
    PUT(s->agent, find_agent(&r->params));
    PUT(s->state, r->has_parent ? r->vars.tracestate : LITERAL(""));
    PUT(s->id, r->id);
    spans_put(spans);
}
