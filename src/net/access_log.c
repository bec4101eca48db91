#include "config.h"

#include "net/access_log.h"

#include "base/ascii.h"
#include "base/date.h"
#include "base/decimal_text.h"
#include "base/json.h"
#include "base/line_writer.h"
#include "net/exchange.h"
#include "net/lane_impl.h"
#include "net/peer.h"
#include "net/who.h"

#include <string.h>

/* How many bytes of a value are shown at most, escaped. If the line is too long all the same it is made again with
 * less, down to what always fits: as many as there may be steps, beside the text between them. */
static const size_t LIMITS[] = {2048, 512, 128, 24};

enum { LIMIT_COUNT = sizeof LIMITS / sizeof *LIMITS, ANSWER_MAX = 256 };

_Static_assert(ACCESS_STEPS *(3 * 24 + 2) + ACCESS_TEXT_SIZE < LINE_WRITER_LINE_MAX, "the last limit always fits");

static const char *const ends[] = {
    [REQUEST_ANSWERED] = "answered", [REQUEST_OVERDUE] = "overdue", [REQUEST_REFUSED] = "refused",
    [REQUEST_DROPPED] = "dropped",   [REQUEST_CUT] = "cut",         [REQUEST_ABORTED] = "aborted",
};

/* --- values */

/* A value as it goes to either form. */
struct value {
    enum { VALUE_NONE, VALUE_TEXT, VALUE_NUMBER, VALUE_SECONDS } kind;
    struct slice text;
    uint64_t number; /* nanoseconds of VALUE_SECONDS */
};

static struct value none(void) {
    return (struct value){.kind = VALUE_NONE};
}

static struct value text_of(struct slice text) {
    return text.n ? (struct value){.kind = VALUE_TEXT, .text = text} : none();
}

static struct value string(const char *text) {
    return text_of((struct slice){text, strlen(text)});
}

static struct value number(uint64_t n) {
    return (struct value){.kind = VALUE_NUMBER, .number = n};
}

/* Between two moments; none if one of them never was. */
static struct value seconds(uint64_t from, uint64_t to) {
    return from && to ? (struct value){.kind = VALUE_SECONDS, .number = to > from ? to - from : 0} : none();
}

/* One request, and what was found out about it. */
struct subject {
    struct access_log *log;
    const struct exchange *x;
    const struct request *r;
    bool named; /* its parameters were read */
    uint64_t now, wall;
    struct slice params[ACCESS_PARAMS];
    char scratch[ANSWER_MAX]; /* of the value that is being made */
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

static char *put_digits(char *out, unsigned n, unsigned width) {
    for (unsigned i = width; i; n /= 10)
        out[--i] = (char)('0' + n % 10);
    return out + width;
}

static char *put_clock(char *out, uint64_t second) {
    out = put_digits(out, (unsigned)(second / 3600 % 24), 2);
    *out++ = ':';
    out = put_digits(out, (unsigned)(second / 60 % 60), 2);
    *out++ = ':';
    return put_digits(out, (unsigned)(second % 60), 2);
}

/* Both texts of a second, which most requests have in common with the one before. */
static void show_second(struct access_log *log, uint64_t second) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (second == log->second)
        return;
    log->second = second;
    const struct date date = date_of(second / 86400);
    char *out = put_digits(log->time, date.day, 2);
    *out++ = '/';
    out = mempcpy(out, months + (date.month - 1) * 3, 3);
    *out++ = '/';
    out = put_digits(out, date.year, 4);
    *out++ = ':';
    strcpy(put_clock(out, second), " +0000");
    out = put_digits(log->time_iso, date.year, 4);
    *out++ = '-';
    out = put_digits(out, date.month, 2);
    *out++ = '-';
    out = put_digits(out, date.day, 2);
    *out++ = 'T';
    *put_clock(out, second) = '\0';
}

static struct value time_of(struct subject *s, enum access_field field) {
    struct access_log *log = s->log;
    const uint64_t second = s->wall / 1000000000;
    const unsigned ms = (unsigned)(s->wall / 1000000 % 1000);
    show_second(log, second);
    if (field == ACCESS_TIME)
        return text_of((struct slice){log->time, ACCESS_TIME_LENGTH});
    char *out = s->scratch;
    if (field == ACCESS_TIME_ISO)
        out = stpcpy(out, log->time_iso);
    else
        out += decimal_text(out, second);
    *out++ = '.';
    out = put_digits(out, ms, 3);
    if (field == ACCESS_TIME_ISO)
        *out++ = 'Z';
    return text_of((struct slice){s->scratch, (size_t)(out - s->scratch)});
}

/* Without parameters it is whom the connection is known to be from (net/who.h). */
static struct value client_of(struct subject *s) {
    if (s->named)
        return text_of(s->r->vars.remote_addr);
    struct who who = who_find(s->x->conn, s->r);
    return text_of(peer_address_text(&who.client.sa, s->scratch));
}

static struct value peer_of(struct subject *s) {
    const struct conn *c = s->x->conn;
    return c->is_unix ? string("unix") : text_of(peer_address_text(&c->peer.sa, s->scratch));
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

static struct value first_byte_of(const struct subject *s) {
    const struct request *r = s->r;
    const uint64_t at = r->answered_at;
    if (r->end == REQUEST_DROPPED || (r->end == REQUEST_ABORTED && !at))
        return none();
    return seconds(r->begun_at, at ? at : s->now);
}

/* The last one of that name in the head of the answer. Those of one name are not joined. */
static struct value answer_of(const struct subject *s, struct slice name) {
    const char *line = buf_head(&s->r->head), *end = buf_tail(&s->r->head);
    struct value found = none();
    for (const char *next; line && line < end; line = next) {
        const char *feed = memmem(line, (size_t)(end - line), "\r\n", 2), *stop = feed ? feed : end;
        next = stop + 2;
        if ((size_t)(stop - line) <= name.n || line[name.n] != ':' || !ascii_equals_nocase(line, name.p, name.n))
            continue;
        const char *from = line + name.n + 1;
        while (from < stop && *from == ' ')
            from++;
        found = text_of((struct slice){from, (size_t)(stop - from)});
    }
    return found;
}

static struct value trace_of(struct subject *s) {
    if (!s->r->traced)
        return none();
    trace_context_put_hex(s->r->trace.trace, TRACE_ID_SIZE, s->scratch);
    return text_of((struct slice){s->scratch, 2 * TRACE_ID_SIZE});
}

static struct value value_of_vars(struct subject *s, enum access_field field) {
    const struct cgi_vars *v = &s->r->vars;
    if (!s->named)
        return none();
    switch (field) {
    case ACCESS_METHOD:
        return text_of(v->method);
    case ACCESS_TARGET:
        return text_of(request_target(s->r));
    case ACCESS_PATH:
        return text_of(request_target_path(s->r));
    case ACCESS_QUERY:
        return text_of(v->query);
    case ACCESS_PROTOCOL:
        return text_of(v->protocol);
    default:
        return string(v->https ? "https" : "http");
    }
}

static struct value value_of_process(const struct subject *s, enum access_field field) {
    switch (field) {
    case ACCESS_WORKER:
        return s->log->worker >= 0 ? number((unsigned)s->log->worker) : none();
    case ACCESS_PID:
        return number((uint64_t)s->log->pid);
    default:
        return s->x->called_on ? number((unsigned)s->x->called_on) : none();
    }
}

static inline __attribute__((always_inline)) struct value value_of(struct subject *s, const struct access_step *step) {
    const struct request *r = s->r;
    switch (step->field) {
    case ACCESS_TIME:
    case ACCESS_TIME_ISO:
    case ACCESS_TIME_UNIX:
        return time_of(s, step->field);
    case ACCESS_CLIENT:
        return client_of(s);
    case ACCESS_PEER:
        return peer_of(s);
    case ACCESS_USER:
    case ACCESS_HOST:
    case ACCESS_REFERER:
    case ACCESS_USER_AGENT:
    case ACCESS_PARAM:
        return text_of(s->params[step->param]);
    case ACCESS_ANSWER:
        return answer_of(s, step->name);
    case ACCESS_REQUEST_ID:
        return text_of(r->id);
    case ACCESS_TRACE_ID:
        return trace_of(s);
    case ACCESS_STATUS:
        return number(status_of(r));
    case ACCESS_END:
        return string(ends[r->end]);
    case ACCESS_BYTES:
        return number(r->sent);
    case ACCESS_BYTES_CLF:
        return r->sent ? number(r->sent) : none();
    case ACCESS_BYTES_IN:
        return number(r->body.received);
    case ACCESS_DURATION:
        return seconds(r->begun_at, s->now);
    case ACCESS_QUEUE:
        return seconds(r->job.queued_at ? r->job.queued_at : r->job.begun_at, r->job.begun_at);
    case ACCESS_APPLICATION:
        return seconds(r->job.begun_at, r->job.ended_at);
    case ACCESS_FIRST_BYTE:
        return first_byte_of(s);
    case ACCESS_CPU:
        return r->job.ended_at ? (struct value){.kind = VALUE_SECONDS, .number = r->job.processor_time} : none();
    case ACCESS_WORKER:
    case ACCESS_PID:
    case ACCESS_THREAD:
        return value_of_process(s, step->field);
    default:
        return value_of_vars(s, step->field);
    }
}

/* --- text */

struct line {
    char *p, *end; /* where the next byte goes, and where none goes any more: there is room for a line feed */
    bool full;
};

/* Most pieces are short: in two steps that overlap. What a request does not have is nowhere, and `n` is 0. */
static inline char *copy(char *to, const char *from, size_t n) {
    if (n > 16)
        return mempcpy(to, from, n);
    if (n >= 8) {
        uint64_t first, rest;
        memcpy(&first, from, 8);
        memcpy(&rest, from + n - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + n - 8, &rest, 8);
    } else if (n >= 4) {
        uint32_t first, rest;
        memcpy(&first, from, 4);
        memcpy(&rest, from + n - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &rest, 4);
    } else if (n) {
        to[0] = from[0];
        to[n / 2] = from[n / 2];
        to[n - 1] = from[n - 1];
    }
    return to + n;
}

static inline void put(struct line *l, const char *bytes, size_t n) {
    if (n > (size_t)(l->end - l->p)) {
        l->full = true;
        return;
    }
    l->p = copy(l->p, bytes, n);
}

static inline void put_byte(struct line *l, char byte) {
    if (l->p == l->end)
        l->full = true;
    else
        *l->p++ = byte;
}

/* As Apache escapes them; and what would end the value. */
static void put_escape(struct line *l, unsigned char byte) {
    static const char hex[] = "0123456789abcdef";
    static const char short_ones[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\v'] = 'v', ['\r'] = 'r'};
    const bool quoted = byte == '"' || byte == '\\';
    const char letter = quoted ? (char)byte : byte < sizeof short_ones ? short_ones[byte] : '\0';
    const char text[] = {'\\', letter ? letter : 'x', hex[byte >> 4], hex[byte & 15]};
    put(l, text, letter ? 2 : 4);
}

static bool is_as_it_is(unsigned char byte, unsigned char stop) {
    /* Bit n of word w: the byte 64 * w + n. What is printable in ASCII, but for quote and backslash. */
    static const uint64_t plain[4] = {UINT64_C(0xfffffffb00000000), UINT64_C(0x7fffffffefffffff)};
    return (plain[byte / 64] >> (byte % 64) & 1) && byte != stop;
}

typedef uint8_t block __attribute__((vector_size(16)));

/* Whether all 16 bytes are shown as they are. */
static inline bool is_plain_block(block b, block stops) {
    uint64_t halves[2];
    /* Those from DEL on, and those below the blank, are outside of 95 in a row. */
    block odd = (block)(b - ' ' > 0x7e - ' ') | (block)(b == '"') | (block)(b == '\\') | (block)(b == stops);
    memcpy(halves, &odd, sizeof halves);
    return !(halves[0] | halves[1]);
}

static inline block block_at(const char *text) {
    block b;
    memcpy(&b, text, sizeof b);
    return b;
}

/* All of a text of 4 to 16 bytes, of which some come twice. */
static inline block block_of(const char *text, size_t n) {
    uint64_t halves[2];
    if (n >= 8) {
        memcpy(&halves[0], text, 8);
        memcpy(&halves[1], text + n - 8, 8);
    } else {
        uint32_t first, rest;
        memcpy(&first, text, 4);
        memcpy(&rest, text + n - 4, 4);
        halves[0] = halves[1] = (uint64_t)rest << 32 | first;
    }
    block b;
    memcpy(&b, halves, sizeof b);
    return b;
}

/* Whether all of it is shown as it is. */
static inline bool is_plain(const char *text, size_t n, unsigned char stop) {
    const block stops = (block){0} + stop;
    if (n < 4) {
        for (size_t i = 0; i < n; i++)
            if (!is_as_it_is((unsigned char)text[i], stop))
                return false;
        return true;
    }
    if (n <= 16)
        return is_plain_block(block_of(text, n), stops);
    for (size_t i = 0; i + 16 < n; i += 16)
        if (!is_plain_block(block_at(text + i), stops))
            return false;
    return is_plain_block(block_at(text + n - 16), stops);
}

/* How many bytes at the beginning are shown as they are. */
static size_t plain_run(const char *text, size_t n, unsigned char stop) {
    size_t i = 0;
    while (i < n && is_as_it_is((unsigned char)text[i], stop))
        i++;
    return i;
}

/* `stop` is escaped as well; `limit`: bytes that it may take. */
static __attribute__((noinline)) void put_escaped(struct line *l, struct slice text, unsigned char stop, size_t limit) {
    size_t room = limit - 3; /* for what tells that it was cut */
    for (size_t i = 0, n; i < text.n; i++, room -= 4) {
        n = plain_run(text.p + i, text.n - i < room ? text.n - i : room, stop);
        put(l, text.p + i, n);
        i += n;
        room -= n;
        if (i == text.n)
            return;
        if (room < 4) {
            put(l, "...", 3);
            return;
        }
        put_escape(l, (unsigned char)text.p[i]);
    }
}

static inline void put_text(struct line *l, struct slice text, unsigned char stop, size_t limit) {
    if (text.n <= limit - 3 && is_plain(text.p, text.n, stop))
        put(l, text.p, text.n);
    else
        put_escaped(l, text, stop, limit);
}

/* Seconds with six digits behind the point, as nothing in front tells how precise they are. */
static void put_seconds(struct line *l, uint64_t ns) {
    char text[DECIMAL_TEXT_SIZE + 8], *out = text + decimal_text(text, ns / 1000000000);
    *out++ = '.';
    out = put_digits(out, (unsigned)(ns / 1000 % 1000000), 6);
    put(l, text, (size_t)(out - text));
}

static void put_number(struct line *l, uint64_t n) {
    char text[DECIMAL_TEXT_SIZE];
    put(l, text, decimal_text(text, n));
}

static inline __attribute__((always_inline)) void put_value(struct line *l, struct value v, unsigned char stop,
                                                            size_t limit) {
    switch (v.kind) {
    case VALUE_NONE:
        put_byte(l, '-');
        break;
    case VALUE_TEXT:
        put_text(l, v.text, stop, limit);
        break;
    case VALUE_NUMBER:
        put_number(l, v.number);
        break;
    case VALUE_SECONDS:
        put_seconds(l, v.number);
    }
}

/* Three values with a blank between them, which none of them contains; "-" when there was no such line. */
static void put_request(struct line *l, struct subject *s, unsigned char stop, size_t limit) {
    const struct cgi_vars *v = &s->r->vars;
    if (!s->named) {
        put_byte(l, '-');
        return;
    }
    const struct slice parts[] = {v->method, request_target(s->r), v->protocol};
    for (unsigned i = 0; i < 3; i++) {
        if (i)
            put_byte(l, ' ');
        put_value(l, text_of(parts[i]), i < 2 || stop == 0 ? ' ' : stop, limit);
    }
}

/* Returns its length, or 0 if it is too long. */
static size_t make_text(struct subject *s, char out[static LINE_WRITER_LINE_MAX], size_t limit) {
    const struct access_format *f = s->log->format;
    struct line l = {.p = out, .end = out + LINE_WRITER_LINE_MAX - 1};
    for (const struct access_step *step = f->steps; step < f->steps + f->count; step++) {
        put(&l, step->before.p, step->before.n);
        if (step->field == ACCESS_REQUEST)
            put_request(&l, s, step->stop, limit);
        else
            put_value(&l, value_of(s, step), step->stop, limit);
    }
    put(&l, f->after.p, f->after.n);
    *l.p++ = '\n';
    return l.full ? 0 : (size_t)(l.p - out);
}

/* --- JSON */

static void put_member(struct json *j, const char *key, struct value v, size_t limit) {
    json_key(j, key);
    switch (v.kind) {
    case VALUE_NONE:
        json_null(j);
        break;
    case VALUE_TEXT:
        json_string(j, v.text.p, v.text.n < limit ? v.text.n : limit);
        break;
    case VALUE_NUMBER:
        json_uint(j, v.number);
        break;
    case VALUE_SECONDS:
        json_seconds(j, v.number / 1000 * 1000);
    }
}

/* Returns 0 if it is too long. */
static size_t make_json(struct subject *s, char out[static LINE_WRITER_LINE_MAX], size_t limit) {
    const struct access_format *f = s->log->format;
    struct buf *buf = &s->log->json;
    struct json j = json_begin(buf);
    buf_consume(buf, buf_len(buf));
    json_object_begin(&j);
    for (const struct access_step *step = f->steps; step < f->steps + f->count; step++)
        put_member(&j, step->field == ACCESS_TIME_ISO ? "time" : access_field_name(step->field), value_of(s, step),
                   limit);
    json_object_end(&j);
    const size_t n = buf_len(buf);
    if (json_end(&j) || n >= LINE_WRITER_LINE_MAX)
        return 0;
    *(char *)mempcpy(out, buf_head(buf), n) = '\n';
    return n + 1;
}

/* --- the line */

void access_log_write(struct access_log *log, const struct exchange *x) {
    const struct lane *lane = x->conn->lane;
    struct subject s; /* most of it is memory that is filled when it is needed */
    char line[LINE_WRITER_LINE_MAX];
    size_t n = 0;
    s.log = log;
    s.x = x;
    s.r = &x->r;
    s.named = x->r.vars.method.n > 0;
    s.now = sched_moment(lane->sched);
    s.wall = (uint64_t)(ev_now(lane->loop) * 1e9) - (s.now > x->r.begun_at ? s.now - x->r.begun_at : 0);
    find_params(&s);
    for (unsigned i = 0; i < LIMIT_COUNT && !n; i++)
        n = log->format->json ? make_json(&s, line, LIMITS[i]) : make_text(&s, line, LIMITS[i]);
    if (n) /* else there is no memory */
        line_writer_put(log->writer, line, n);
}
