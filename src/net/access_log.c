#include "config.h"

#include "net/access_log.h"

#include "base/ascii.h"
#include "base/date.h"
#include "base/decimal_text.h"
#include "base/line_writer.h"
#include "net/access_text.h"
#include "net/exchange.h"
#include "net/lane_impl.h"
#include "net/peer.h"
#include "net/who.h"

#include <string.h>

/* How many bytes of a value are shown at most (net/access_text.h). If the line is too long all the same it is made again
 * with less, down to what always fits: as many as there may be steps, beside the text between them. In JSON there are at
 * most six bytes for one. */
static const size_t LIMITS[] = {2048, 512, 128, 24};

enum { LIMIT_COUNT = sizeof LIMITS / sizeof *LIMITS };

enum { ROOM = LINE_WRITER_LINE_MAX - ACCESS_TEXT_SPARE };

_Static_assert(ACCESS_STEPS *(3 * 24 + 2) + ACCESS_TEXT_SIZE < ROOM, "the last limit always fits");
_Static_assert(ACCESS_JSON_COUNT *(6 * 24 + 2 + 16) < ROOM, "also with 16 bytes for each key");

/* In the quotes that only JSON has. */
#define END(word)                                                                                                      \
    { "\"" word "\"", sizeof word + 1 }
static const struct {
    char text[15];
    unsigned char n;
} ends[] = {
    [REQUEST_ANSWERED] = END("answered"), [REQUEST_OVERDUE] = END("overdue"), [REQUEST_REFUSED] = END("refused"),
    [REQUEST_DROPPED] = END("dropped"),   [REQUEST_CUT] = END("cut"),         [REQUEST_ABORTED] = END("aborted"),
};
#undef END

/* --- parameters */

/* One request, and what was found out about it. */
struct subject {
    struct access_log *log;
    const struct exchange *x;
    const struct request *r;
    bool named; /* its parameters were read; else all of its variables are empty */
    uint64_t now, wall;
    struct slice params[ACCESS_PARAMS];
};

/* Notes the last pair of each name, by their index, in the order in which they come. */
static void learn_shape(struct access_shape *shape, const struct cgi_vars *vars, const uint32_t *indices, unsigned n) {
    shape->sample = vars->like.sample;
    shape->count = 0;
    for (uint32_t index = 0; index < vars->npairs; index++)
        for (unsigned param = 0; param < n; param++)
            if (indices[param] == index)
                shape->found[shape->count++] = (struct access_found){(uint8_t)index, (uint8_t)param};
}

/* Parameters that cannot be read any more are those behind the bad one: what was there is shown. */
static __attribute__((noinline)) void search_params(struct subject *s, struct access_shape *shape) {
    const struct access_format *f = s->log->format;
    const struct buf *params = &s->r->params;
    const char *pos = buf_head(params), *end = buf_tail(params);
    uint32_t indices[ACCESS_PARAMS], index = 0;
    memset(indices, 0xff, sizeof indices);
    for (struct params_pair pair; pos && params_next(&pos, end, &pair) == PARAMS_PAIR; index++) {
        if (pair.name.n > ACCESS_NAME_MAX || !(f->lengths >> pair.name.n & 1))
            continue;
        for (unsigned i = 0; i < f->nparams; i++) { /* of several the last one counts (cgi_scan) */
            if (f->params[i].n == pair.name.n && !memcmp(f->params[i].p, pair.name.p, pair.name.n)) {
                s->params[i] = pair.value;
                indices[i] = index;
            }
        }
    }
    if (shape)
        learn_shape(shape, &s->r->vars, indices, f->nparams);
}

/* A request that is like a sample of the memo has the names of that, in the same order: where they are is known since the
 * first one. */
static __attribute__((noinline)) void find_params(struct subject *s) {
    const struct buf *params = &s->r->params;
    const struct cgi_likeness *like = &s->r->vars.like;
    const struct cgi_sample *sample = cgi_memo_sample(&s->x->conn->lane->memo, like);
    struct access_shape *shape = sample ? &s->log->shapes[like->place] : NULL;
    for (unsigned i = 0; i < s->log->format->nparams; i++)
        s->params[i].n = 0;
    if (!shape || shape->sample != like->sample) {
        search_params(s, shape);
        return;
    }
    struct cgi_walk walk = {sample, &like->changed, buf_head(params), buf_tail(params), 0, 0};
    for (unsigned i = 0; i < shape->count; i++)
        s->params[shape->found[i].param] = cgi_walk_to(&walk, shape->found[i].index);
}

/* --- values */

/* All are made for text and for JSON, so that neither asks at each field which of both it is. */
#define FOR_BOTH static inline __attribute__((always_inline))

FOR_BOTH char *put_value(const struct access_text *t, char *out, struct slice text, unsigned char stop, bool json) {
    return json ? access_text_value_json(t, out, text) : access_text_value(t, out, text, stop);
}

/* Between two moments; none if one of them never was. */
FOR_BOTH char *put_between(char *out, uint64_t from, uint64_t to, bool json) {
    if (from && to)
        return access_text_seconds(out, to > from ? to - from : 0);
    return access_text_none(out, json);
}

/* None if it is less than `least`. */
FOR_BOTH char *put_number_from(char *out, int64_t least, int64_t n, bool json) {
    return n < least ? access_text_none(out, json) : access_text_number(out, (uint64_t)n);
}

static char *put_pair(char *out, unsigned n) {
    decimal_text_pair(out, n);
    return out + 2;
}

static char *put_clock(char *out, unsigned second) {
    out = put_pair(out, second / 3600);
    *out++ = ':';
    out = put_pair(out, second / 60 % 60);
    *out++ = ':';
    return put_pair(out, second % 60);
}

/* Both texts of a second, which most requests have in common with the one before. */
static __attribute__((noinline)) void show_second(struct access_log *log, uint64_t second) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const unsigned of_day = (unsigned)(second % 86400);
    log->second = second;
    const struct date date = date_of(second / 86400);
    char *out = put_pair(log->time, date.day);
    *out++ = '/';
    out = mempcpy(out, months + (date.month - 1) * 3, 3);
    *out++ = '/';
    out = put_pair(put_pair(out, date.year / 100), date.year % 100);
    *out++ = ':';
    strcpy(put_clock(out, of_day), " +0000");
    out = put_pair(put_pair(log->time_iso, date.year / 100), date.year % 100);
    *out++ = '-';
    out = put_pair(out, date.month);
    *out++ = '-';
    out = put_pair(out, date.day);
    *out++ = 'T';
    strcpy(put_clock(out, of_day), ".000Z");
}

/* With milliseconds. */
static char *put_time_unix(char *out, uint64_t second, unsigned ms) {
    out += decimal_text(out, second);
    out[0] = '.';
    out[1] = (char)('0' + ms / 100);
    return put_pair(out + 2, ms % 100);
}

FOR_BOTH char *put_time(char *out, struct subject *s, enum access_field field, bool json) {
    struct access_log *log = s->log;
    const uint64_t second = s->wall / 1000000000;
    if (second != log->second)
        show_second(log, second);
    if (field == ACCESS_TIME)
        return access_text_plain(out, log->time, ACCESS_TIME_LENGTH, json);
    const unsigned ms = (unsigned)(s->wall / 1000000 % 1000);
    if (field == ACCESS_TIME_UNIX)
        return put_time_unix(out, second, ms);
    log->time_iso[20] = (char)('0' + ms / 100);
    decimal_text_pair(log->time_iso + 21, ms % 100);
    return access_text_plain(out, log->time_iso, ACCESS_TIME_ISO_LENGTH, json);
}

/* Without parameters it is whom the connection is known to be from (net/who.h). */
static __attribute__((noinline)) struct slice known_client(const struct subject *s, char text[INET6_ADDRSTRLEN]) {
    struct who who = who_find(s->x->conn, s->r);
    return peer_address_text(&who.client.sa, text);
}

static struct slice peer_of(const struct conn *c, char text[INET6_ADDRSTRLEN]) {
    return c->is_unix ? LITERAL("unix") : peer_address_text(&c->peer.sa, text);
}

/* One that was not answered has none: 499 as nginx has it where the client has left, else what it would have been. */
static unsigned status_of(const struct request *r) {
    const unsigned status = request_status(r);
    if (status >= 100)
        return status;
    switch (r->end) {
    case REQUEST_OVERDUE:
        return 504;
    case REQUEST_ABORTED:
    case REQUEST_DROPPED:
        return 499;
    default:
        return 500;
    }
}

FOR_BOTH char *put_status(char *out, const struct request *r) {
    if (!ascii_is_digit(r->status[0]) || !ascii_is_digit(r->status[1]) || !ascii_is_digit(r->status[2]) ||
        r->status[0] == '0')
        return access_text_number(out, status_of(r));
    return (char *)mempcpy(out, r->status, 3);
}

FOR_BOTH char *put_first_byte(char *out, const struct subject *s, bool json) {
    const struct request *r = s->r;
    const uint64_t at = r->answered_at;
    if (r->end == REQUEST_DROPPED || (r->end == REQUEST_ABORTED && !at))
        return access_text_none(out, json);
    return put_between(out, r->begun_at, at ? at : s->now, json);
}

/* The last one of that name in the head of the answer. Those of one name are not joined. */
static struct slice find_answer(const struct subject *s, struct slice name) {
    const char *line = buf_head(&s->r->head), *end = buf_tail(&s->r->head);
    struct slice found = {NULL, 0};
    for (const char *next; line && line < end; line = next) {
        const char *feed = memmem(line, (size_t)(end - line), "\r\n", 2), *stop = feed ? feed : end;
        next = stop + 2;
        if ((size_t)(stop - line) <= name.n || line[name.n] != ':' || !ascii_equals_nocase(line, name.p, name.n))
            continue;
        const char *from = line + name.n + 1;
        while (from < stop && *from == ' ')
            from++;
        found = (struct slice){from, (size_t)(stop - from)};
    }
    return found;
}

FOR_BOTH char *put_trace(char *out, const struct request *r, bool json) {
    char text[2 * TRACE_ID_SIZE + 1];
    if (!r->traced)
        return access_text_none(out, json);
    trace_context_put_hex(r->trace.trace, TRACE_ID_SIZE, text);
    return access_text_plain(out, text, 2 * TRACE_ID_SIZE, json);
}

FOR_BOTH char *put_end(char *out, enum request_end end, bool json) {
    memcpy(out, ends[end].text + !json, sizeof ends[end].text - 1);
    return out + ends[end].n - 2 * !json;
}

/* Three values with a blank between them, which none of them contains. Only in text. */
static char *put_request(const struct access_text *t, char *out, const struct subject *s, unsigned char stop) {
    const struct cgi_vars *v = &s->r->vars;
    out = access_text_value(t, out, v->method, ' ');
    *out++ = ' ';
    out = access_text_value(t, out, request_target(s->r), ' ');
    *out++ = ' ';
    return access_text_value(t, out, v->protocol, stop ? stop : ' ');
}

FOR_BOTH char *put_field(const struct access_text *t, char *out, struct subject *s, const struct access_step *step,
                         bool json) {
    const struct request *r = s->r;
    const struct cgi_vars *v = &r->vars;
    char own[INET6_ADDRSTRLEN];
    struct slice text;
    switch (step->field) {
    case ACCESS_TIME:
    case ACCESS_TIME_ISO:
    case ACCESS_TIME_UNIX:
        return put_time(out, s, step->field, json);
    case ACCESS_REQUEST:
        return s->named ? put_request(t, out, s, step->stop) : access_text_none(out, json);
    case ACCESS_TRACE_ID:
        return put_trace(out, r, json);
    case ACCESS_STATUS:
        return put_status(out, r);
    case ACCESS_END:
        return put_end(out, r->end, json);
    case ACCESS_BYTES:
        return access_text_number(out, r->sent);
    case ACCESS_BYTES_CLF:
        return put_number_from(out, 1, (int64_t)r->sent, json);
    case ACCESS_BYTES_IN:
        return access_text_number(out, r->body.received);
    case ACCESS_DURATION:
        return put_between(out, r->begun_at, s->now, json);
    case ACCESS_QUEUE:
        return put_between(out, r->job.queued_at ? r->job.queued_at : r->job.begun_at, r->job.begun_at, json);
    case ACCESS_APPLICATION:
        return put_between(out, r->job.begun_at, r->job.ended_at, json);
    case ACCESS_FIRST_BYTE:
        return put_first_byte(out, s, json);
    case ACCESS_CPU:
        return put_between(out, r->job.ended_at ? 1 : 0, 1 + r->job.processor_time, json);
    case ACCESS_WORKER:
        return put_number_from(out, 0, s->log->worker, json);
    case ACCESS_PID:
        return put_number_from(out, 1, s->log->pid, json);
    case ACCESS_THREAD:
        return put_number_from(out, 1, s->x->called_on, json);
    case ACCESS_CLIENT:
        text = s->named ? v->remote_addr : known_client(s, own);
        break;
    case ACCESS_PEER:
        text = peer_of(s->x->conn, own);
        break;
    case ACCESS_ANSWER:
        text = find_answer(s, step->name);
        break;
    case ACCESS_REQUEST_ID:
        text = r->id;
        break;
    case ACCESS_METHOD:
        text = v->method;
        break;
    case ACCESS_TARGET:
        text = request_target(r);
        break;
    case ACCESS_PATH:
        text = request_target_path(r);
        break;
    case ACCESS_QUERY:
        text = v->query;
        break;
    case ACCESS_PROTOCOL:
        text = v->protocol;
        break;
    case ACCESS_SCHEME:
        text = !s->named ? (struct slice){NULL, 0} : v->https ? LITERAL("https") : LITERAL("http");
        break;
    default:
        text = s->params[step->param];
    }
    return put_value(t, out, text, step->stop, json);
}

/* --- the line */

FOR_BOTH size_t put_line(struct subject *s, char line[static LINE_WRITER_LINE_MAX], size_t limit, bool json) {
    const struct access_format *f = s->log->format;
    const struct access_text t = {line + ROOM, limit, &s->log->spare};
    char *out = line;
    for (const struct access_step *step = f->steps, *end = f->steps + f->count; step < end; step++) {
        if (access_text_is_full(&t, out, step->before.n))
            return 0;
        out = put_field(&t, access_text_put(out, step->before), s, step, json);
    }
    if (access_text_is_full(&t, out, f->after.n))
        return 0;
    out = access_text_put(out, f->after);
    *out++ = '\n';
    return (size_t)(out - line);
}

static __attribute__((noinline)) size_t put_line_text(struct subject *s, char line[static LINE_WRITER_LINE_MAX],
                                                      size_t limit) {
    return put_line(s, line, limit, false);
}

static __attribute__((noinline)) size_t put_line_json(struct subject *s, char line[static LINE_WRITER_LINE_MAX],
                                                      size_t limit) {
    return put_line(s, line, limit, true);
}

/* Returns its length with the line feed, or 0 if it is too long. */
static size_t make_line(struct subject *s, char line[static LINE_WRITER_LINE_MAX], size_t limit) {
    return s->log->format->json ? put_line_json(s, line, limit) : put_line_text(s, line, limit);
}

void access_log_write(struct access_log *log, const struct exchange *x) {
    const struct lane *lane = x->conn->lane;
    struct subject s; /* most of it is memory that is filled when it is needed */
    char *line = line_writer_begin(log->writer);
    size_t n = 0;
    if (!line)
        return;
    s.log = log;
    s.x = x;
    s.r = &x->r;
    s.named = x->r.vars.method.n > 0;
    s.now = sched_moment(lane->sched);
    s.wall = (uint64_t)(ev_now(lane->loop) * 1e9) - (s.now > x->r.begun_at ? s.now - x->r.begun_at : 0);
    find_params(&s);
    for (unsigned i = 0; i < LIMIT_COUNT && !n; i++)
        n = make_line(&s, line, LIMITS[i]);
    if (n) /* else there is no memory */
        line_writer_end(log->writer, n);
}
