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

_Static_assert(ACCESS_STEPS *(3 * 24 + 2) + ACCESS_TEXT_SIZE < LINE_WRITER_LINE_MAX, "the last limit always fits");
_Static_assert(ACCESS_JSON_COUNT *(6 * 24 + 2 + 16) < LINE_WRITER_LINE_MAX, "also with 16 bytes for each key");

static const char *const ends[] = {
    [REQUEST_ANSWERED] = "answered", [REQUEST_OVERDUE] = "overdue", [REQUEST_REFUSED] = "refused",
    [REQUEST_DROPPED] = "dropped",   [REQUEST_CUT] = "cut",         [REQUEST_ABORTED] = "aborted",
};

/* --- parameters */

/* One request, and what was found out about it. */
struct subject {
    struct access_log *log;
    const struct exchange *x;
    const struct request *r;
    bool named; /* its parameters were read */
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
static void find_params(struct subject *s) {
    const struct buf *params = &s->r->params;
    const struct cgi_likeness *like = &s->r->vars.like;
    for (unsigned i = 0; i < s->log->format->nparams; i++)
        s->params[i].n = 0;
    struct access_shape *shape = like->sample ? &s->log->shapes[like->place] : NULL;
    if (!shape || shape->sample != like->sample) {
        search_params(s, shape);
        return;
    }
    const char *pos = buf_head(params), *end = buf_tail(params);
    struct params_pair pair;
    for (unsigned i = 0, index = 0; i < shape->count; i++, index++) {
        pos = params_pass(pos, end, shape->found[i].index - index);
        index = shape->found[i].index;
        (void)params_next(&pos, end, &pair);
        s->params[shape->found[i].param] = pair.value;
    }
}

/* --- values */

static void put_string(struct access_text *t, const char *text) {
    access_text_plain(t, text, strlen(text));
}

/* Between two moments; none if one of them never was. */
static void put_between(struct access_text *t, uint64_t from, uint64_t to) {
    if (from && to)
        access_text_seconds(t, to > from ? to - from : 0);
    else
        access_text_none(t);
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

static void put_time(struct access_text *t, struct subject *s, enum access_field field) {
    struct access_log *log = s->log;
    const uint64_t second = s->wall / 1000000000;
    const unsigned ms = (unsigned)(s->wall / 1000000 % 1000);
    char unix_time[DECIMAL_TEXT_SIZE + 4];
    size_t n;
    if (second != log->second)
        show_second(log, second);
    switch (field) {
    case ACCESS_TIME:
        access_text_plain(t, log->time, ACCESS_TIME_LENGTH);
        break;
    case ACCESS_TIME_ISO:
        log->time_iso[20] = (char)('0' + ms / 100);
        decimal_text_pair(log->time_iso + 21, ms % 100);
        access_text_plain(t, log->time_iso, ACCESS_TIME_ISO_LENGTH);
        break;
    default:
        n = decimal_text(unix_time, second);
        unix_time[n] = '.';
        unix_time[n + 1] = (char)('0' + ms / 100);
        decimal_text_pair(unix_time + n + 2, ms % 100);
        access_text_plain(t, unix_time, n + 4);
    }
}

/* Without parameters it is whom the connection is known to be from (net/who.h). */
static void put_client(struct access_text *t, const struct subject *s) {
    char text[INET6_ADDRSTRLEN];
    if (s->named) {
        access_text_value(t, s->r->vars.remote_addr);
        return;
    }
    struct who who = who_find(s->x->conn, s->r);
    access_text_value(t, peer_address_text(&who.client.sa, text));
}

static void put_peer(struct access_text *t, const struct subject *s) {
    char text[INET6_ADDRSTRLEN];
    const struct conn *c = s->x->conn;
    if (c->is_unix)
        access_text_plain(t, "unix", 4);
    else
        access_text_value(t, peer_address_text(&c->peer.sa, text));
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

static void put_first_byte(struct access_text *t, const struct subject *s) {
    const struct request *r = s->r;
    const uint64_t at = r->answered_at;
    if (r->end == REQUEST_DROPPED || (r->end == REQUEST_ABORTED && !at))
        access_text_none(t);
    else
        put_between(t, r->begun_at, at ? at : s->now);
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

static void put_trace(struct access_text *t, const struct request *r) {
    char text[2 * TRACE_ID_SIZE + 1];
    if (!r->traced) {
        access_text_none(t);
        return;
    }
    trace_context_put_hex(r->trace.trace, TRACE_ID_SIZE, text);
    access_text_plain(t, text, 2 * TRACE_ID_SIZE);
}

/* Three values with a blank between them, which none of them contains; "-" when there was no such line. */
static void put_request(struct access_text *t, const struct subject *s) {
    const struct cgi_vars *v = &s->r->vars;
    const unsigned char stop = t->stop;
    if (!s->named) {
        access_text_none(t);
        return;
    }
    t->stop = ' ';
    access_text_value(t, v->method);
    access_text_put(t, " ", 1);
    access_text_value(t, request_target(s->r));
    access_text_put(t, " ", 1);
    t->stop = stop ? stop : ' ';
    access_text_value(t, v->protocol);
}

static void put_variable(struct access_text *t, const struct subject *s, enum access_field field) {
    const struct cgi_vars *v = &s->r->vars;
    if (!s->named) {
        access_text_none(t);
        return;
    }
    switch (field) {
    case ACCESS_METHOD:
        access_text_value(t, v->method);
        break;
    case ACCESS_TARGET:
        access_text_value(t, request_target(s->r));
        break;
    case ACCESS_PATH:
        access_text_value(t, request_target_path(s->r));
        break;
    case ACCESS_QUERY:
        access_text_value(t, v->query);
        break;
    case ACCESS_PROTOCOL:
        access_text_value(t, v->protocol);
        break;
    default:
        put_string(t, v->https ? "https" : "http");
    }
}

/* None if it is less than `least`. */
static void put_number_from(struct access_text *t, int64_t least, int64_t n) {
    if (n < least)
        access_text_none(t);
    else
        access_text_number(t, (uint64_t)n);
}

static void put_field(struct access_text *t, struct subject *s, const struct access_step *step) {
    const struct request *r = s->r;
    switch (step->field) {
    case ACCESS_TIME:
    case ACCESS_TIME_ISO:
    case ACCESS_TIME_UNIX:
        put_time(t, s, step->field);
        break;
    case ACCESS_REQUEST:
        put_request(t, s);
        break;
    case ACCESS_CLIENT:
        put_client(t, s);
        break;
    case ACCESS_PEER:
        put_peer(t, s);
        break;
    case ACCESS_USER:
    case ACCESS_HOST:
    case ACCESS_REFERER:
    case ACCESS_USER_AGENT:
    case ACCESS_PARAM:
        access_text_value(t, s->params[step->param]);
        break;
    case ACCESS_ANSWER:
        access_text_value(t, find_answer(s, step->name));
        break;
    case ACCESS_REQUEST_ID:
        access_text_value(t, r->id);
        break;
    case ACCESS_TRACE_ID:
        put_trace(t, r);
        break;
    case ACCESS_STATUS:
        access_text_number(t, status_of(r));
        break;
    case ACCESS_END:
        put_string(t, ends[r->end]);
        break;
    case ACCESS_BYTES:
        access_text_number(t, r->sent);
        break;
    case ACCESS_BYTES_CLF:
        put_number_from(t, 1, (int64_t)r->sent);
        break;
    case ACCESS_BYTES_IN:
        access_text_number(t, r->body.received);
        break;
    case ACCESS_DURATION:
        put_between(t, r->begun_at, s->now);
        break;
    case ACCESS_QUEUE:
        put_between(t, r->job.queued_at ? r->job.queued_at : r->job.begun_at, r->job.begun_at);
        break;
    case ACCESS_APPLICATION:
        put_between(t, r->job.begun_at, r->job.ended_at);
        break;
    case ACCESS_FIRST_BYTE:
        put_first_byte(t, s);
        break;
    case ACCESS_CPU:
        put_between(t, r->job.ended_at ? 1 : 0, 1 + r->job.processor_time);
        break;
    case ACCESS_WORKER:
        put_number_from(t, 0, s->log->worker);
        break;
    case ACCESS_PID:
        put_number_from(t, 1, s->log->pid);
        break;
    case ACCESS_THREAD:
        put_number_from(t, 1, s->x->called_on);
        break;
    default:
        put_variable(t, s, step->field);
    }
}

/* --- the line */

/* Returns its length with the line feed, or 0 if it is too long. */
static size_t make_line(struct subject *s, char out[static LINE_WRITER_LINE_MAX], size_t limit) {
    const struct access_format *f = s->log->format;
    struct access_text t = {
        .p = out, .end = out + LINE_WRITER_LINE_MAX - 1, .limit = limit, .json = f->json, .spare = &s->log->spare};
    for (const struct access_step *step = f->steps, *end = f->steps + f->count; step < end; step++) {
        access_text_put(&t, step->before.p, step->before.n);
        t.stop = step->stop;
        put_field(&t, s, step);
    }
    access_text_put(&t, f->after.p, f->after.n);
    *t.p++ = '\n';
    return t.full ? 0 : (size_t)(t.p - out);
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
