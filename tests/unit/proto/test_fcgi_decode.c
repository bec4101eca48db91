#include "config.h"

#include "proto/fcgi_decode.h"

#include "unit/unit.h"

#include <fastcgi.h>
#include <stdarg.h>
#include <stdio.h>

enum { BYTES_MAX = 3 * 65536, RECORDS_MAX = 8 };

struct record {
    uint8_t type; /* 0: the list ends */
    uint16_t id;
    const char *content; /* NULL: a pattern */
    size_t len;
    uint8_t padding;
    uint8_t bad_version; /* 0: the right one; 0x80: version 0 */
};

#define TEXT(literal) .content = (literal), .len = sizeof(literal) - 1
#define BEGIN(ID, body)                                                                                                \
    { .type = FCGI_BEGIN_REQUEST, .id = (ID), TEXT(body) }
#define RESPONDER_KEEP "\0\1\1\0\0\0\0\0"
#define RESPONDER "\0\1\0\0\0\0\0\0"

static const struct vector {
    const char *name;
    struct record records[RECORDS_MAX];
    const char *expect;
} vectors[] = {
    {"nothing", {{0}}, ""},
    {"a whole request",
     {BEGIN(1, RESPONDER_KEEP),
      {FCGI_PARAMS, 1, TEXT("\1\1ab")},
      {FCGI_PARAMS, 1, TEXT("")},
      {FCGI_STDIN, 1, TEXT("hello")},
      {FCGI_STDIN, 1, TEXT("")}},
     "begin 1 role 1 keep 1;params 1 [..ab];params end 1;stdin 1 [hello];stdin end 1;"},
    {"padding on everything",
     {{FCGI_BEGIN_REQUEST, 7, TEXT(RESPONDER), .padding = 3},
      {FCGI_PARAMS, 7, TEXT("x"), .padding = 255},
      {FCGI_PARAMS, 7, TEXT(""), .padding = 1},
      {FCGI_STDIN, 7, TEXT(""), .padding = 8}},
     "begin 7 role 1 keep 0;params 7 [x];params end 7;stdin end 7;"},
    {"a stream in several records",
     {{FCGI_STDIN, 1, TEXT("one")}, {FCGI_STDIN, 1, TEXT("two"), .padding = 5}, {FCGI_STDIN, 1, TEXT("")}},
     "stdin 1 [onetwo];stdin end 1;"},
    {"multiplexed requests",
     {BEGIN(1, RESPONDER_KEEP),
      BEGIN(0xfffe, RESPONDER_KEEP),
      {FCGI_PARAMS, 1, TEXT("a")},
      {FCGI_PARAMS, 0xfffe, TEXT("b")},
      {FCGI_PARAMS, 1, TEXT("c")},
      {FCGI_STDIN, 256, TEXT("d")}},
     "begin 1 role 1 keep 1;begin 65534 role 1 keep 1;params 1 [a];params 65534 [b];params 1 [c];stdin 256 [d];"},
    {"roles and flags",
     {BEGIN(1, "\0\2\0\0\0\0\0\0"), BEGIN(2, "\0\3\1\0\0\0\0\0"), BEGIN(3, "\xab\xcd\xfe\1\1\1\1\1"),
      BEGIN(4, "\0\0\xff\0\0\0\0\0")},
     "begin 1 role 2 keep 0;begin 2 role 3 keep 1;begin 3 role 43981 keep 0;begin 4 role 0 keep 1;"},
    {"a BEGIN_REQUEST longer than its eight bytes",
     {{FCGI_BEGIN_REQUEST, 1, TEXT(RESPONDER "more"), .padding = 4}, {FCGI_STDIN, 1, TEXT("")}},
     "begin 1 role 1 keep 0;stdin end 1;"},
    {"abort",
     {{FCGI_ABORT_REQUEST, 3, TEXT("")}, {FCGI_ABORT_REQUEST, 4, TEXT("junk"), .padding = 4}},
     "abort 3;abort 4;"},
    {"GET_VALUES",
     {{FCGI_GET_VALUES, 0, TEXT("\1\0x")}, {FCGI_GET_VALUES, 0, TEXT("abc"), .padding = 5}},
     "values 0 [..x];values end 0;values 0 [abc];values end 0;"},
    {"an empty GET_VALUES",
     {{FCGI_GET_VALUES, 0, TEXT("")}, {FCGI_GET_VALUES, 0, TEXT(""), .padding = 8}},
     "values end 0;values end 0;"},
    {"GET_VALUES between the records of a request",
     {{FCGI_STDIN, 1, TEXT("a")}, {FCGI_GET_VALUES, 0, TEXT("v")}, {FCGI_STDIN, 1, TEXT("b")}},
     "stdin 1 [a];values 0 [v];values end 0;stdin 1 [b];"},
    {"management records of other types",
     {{200, 0, TEXT("")},
      {FCGI_GET_VALUES_RESULT, 0, TEXT("content"), .padding = 1},
      {FCGI_PARAMS, 0, TEXT("p")},
      {FCGI_STDIN, 0, TEXT("")},
      {FCGI_ABORT_REQUEST, 0, TEXT("")},
      {255, 0, TEXT("last")}},
     "unknown type 200;unknown type 10;unknown type 4;unknown type 5;unknown type 2;unknown type 255;"},
    {"records of a request that nobody wants",
     {{FCGI_DATA, 1, TEXT("data"), .padding = 4},
      {FCGI_STDOUT, 1, TEXT("")},
      {FCGI_END_REQUEST, 1, TEXT("12345678")},
      {FCGI_GET_VALUES, 1, TEXT("v")},
      {77, 1, TEXT("?"), .padding = 255},
      {FCGI_STDIN, 1, TEXT("x")}},
     "stdin 1 [x];"},
    {"the largest record",
     {{FCGI_STDIN, 65535, .len = 65535, .padding = 255},
      {FCGI_PARAMS, 65535, .len = 65535, .padding = 255},
      {FCGI_STDIN, 65535, TEXT("")}},
     "stdin 65535 65535 bytes;params 65535 65535 bytes;stdin end 65535;"},
    {"the largest skipped record",
     {{FCGI_DATA, 1, .len = 65535, .padding = 255}, {200, 0, .len = 65535, .padding = 255}},
     "unknown type 200;"},
    {"a wrong version",
     {{FCGI_STDIN, 1, TEXT("")}, {FCGI_STDIN, 1, TEXT("x"), .bad_version = 2}},
     "stdin end 1;error 1;"},
    {"another protocol", {{'E', 0x5420, TEXT("HTTP/1.1\r\n"), .bad_version = 'G'}}, "error 1;"},
    {"version 0", {{FCGI_STDIN, 1, TEXT(""), .bad_version = 0x80}}, "error 1;"},
    {"a short BEGIN_REQUEST", {BEGIN(1, "\0\1\1\0\0\0\0"), {FCGI_STDIN, 1, TEXT("")}}, "error 2;"},
    {"an empty BEGIN_REQUEST", {BEGIN(1, "")}, "error 2;"},
    {"a BEGIN_REQUEST with id 0", {BEGIN(0, RESPONDER), {FCGI_STDIN, 1, TEXT("")}}, "unknown type 1;stdin end 1;"},
};

static uint8_t input[BYTES_MAX];

/* Puts together the bytes of a vector. `starts`, when it is not NULL, is told where records begin. */
static size_t build(const struct vector *v, bool *starts) {
    size_t n = 0;
    for (int i = 0; i < RECORDS_MAX && v->records[i].type; i++) {
        const struct record *r = &v->records[i];
        FCGI_Header header = {
            .version = r->bad_version ? (unsigned char)(r->bad_version & 0x7f) : FCGI_VERSION_1,
            .type = r->type,
            .requestIdB1 = (unsigned char)(r->id >> 8),
            .requestIdB0 = (unsigned char)r->id,
            .contentLengthB1 = (unsigned char)(r->len >> 8),
            .contentLengthB0 = (unsigned char)r->len,
            .paddingLength = r->padding,
            .reserved = 0xaa,
        };
        if (starts)
            starts[n] = true;
        memcpy(input + n, &header, sizeof header);
        n += sizeof header;
        for (size_t k = 0; k < r->len; k++)
            input[n + k] = (uint8_t)(r->content ? r->content[k] : (char)(k % 251));
        memset(input + n + r->len, 0xee, r->padding);
        n += r->len + r->padding;
    }
    if (starts)
        starts[n] = true;
    return n;
}

/* The events as text, with the pieces of a stream joined and control characters shown as dots. */
struct transcript {
    char text[8192];
    size_t n;
    struct fcgi_event joined; /* of type MORE: none */
    uint8_t data[2 * 65536];
};

static struct transcript transcript;
static struct fcgi_decoder decoder;
static struct guard guard;

__attribute__((format(printf, 1, 2))) static void write_text(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(transcript.text + transcript.n, sizeof transcript.text - transcript.n, format, args);
    va_end(args);
    transcript.n += (size_t)n;
    REQUIRE(transcript.n < sizeof transcript.text);
}

static void check_pattern(const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (data[i] != i % 251)
            ck_abort_msg("byte %zu of %zu is %d", i, len, data[i]);
}

static void write_joined(void) {
    const struct fcgi_event *e = &transcript.joined;
    if (e->type == FCGI_EVENT_MORE)
        return;
    write_text("%s %d ",
               e->type == FCGI_EVENT_PARAMS  ? "params"
               : e->type == FCGI_EVENT_STDIN ? "stdin"
                                             : "values",
               e->id);
    if (e->len > 1000) {
        check_pattern(transcript.data, e->len);
        write_text("%zu bytes;", e->len);
    } else {
        write_text("[");
        for (size_t i = 0; i < e->len; i++)
            write_text("%c", transcript.data[i] < ' ' ? '.' : transcript.data[i]);
        write_text("];");
    }
    transcript.joined = (struct fcgi_event){0};
}

static void join(const struct fcgi_event *e) {
    struct fcgi_event *j = &transcript.joined;
    if (j->type != e->type || j->id != e->id) {
        write_joined();
        *j = *e;
        j->len = 0;
    }
    REQUIRE(e->len > 0);
    REQUIRE(j->len + e->len <= sizeof transcript.data);
    memcpy(transcript.data + j->len, e->data, e->len);
    j->len += e->len;
}

static void write_event(const struct fcgi_event *e) {
    if (e->type == FCGI_EVENT_PARAMS || e->type == FCGI_EVENT_STDIN || e->type == FCGI_EVENT_VALUES) {
        join(e);
        return;
    }
    write_joined();
    ck_assert_uint_eq(e->len, 0);
    switch (e->type) {
    case FCGI_EVENT_BEGIN:
        write_text("begin %d role %d keep %d;", e->id, e->role, e->keep_conn);
        break;
    case FCGI_EVENT_PARAMS_END:
        write_text("params end %d;", e->id);
        break;
    case FCGI_EVENT_STDIN_END:
        write_text("stdin end %d;", e->id);
        break;
    case FCGI_EVENT_ABORT:
        write_text("abort %d;", e->id);
        break;
    case FCGI_EVENT_VALUES_END:
        write_text("values end %d;", e->id);
        break;
    case FCGI_EVENT_UNKNOWN:
        write_text("unknown type %d;", e->record_type);
        break;
    case FCGI_EVENT_ERROR:
        write_text("error %d;", e->error);
        break;
    default:
        ck_abort_msg("event %d", e->type);
    }
}

static void restart(void) {
    transcript.n = 0;
    transcript.text[0] = '\0';
    transcript.joined = (struct fcgi_event){0};
    decoder = (struct fcgi_decoder){0};
}

/* Decodes `n` bytes that end at the unmapped page. False when they are not FastCGI. */
static bool feed(const uint8_t *bytes, size_t n) {
    const uint8_t *begin = (const uint8_t *)guard_put(&guard, bytes, n), *end = begin + n, *pos = begin;
    struct fcgi_event event;
    while (fcgi_decode(&decoder, &pos, end, &event) != FCGI_EVENT_MORE) {
        REQUIRE(pos <= end);
        write_event(&event);
        if (event.type == FCGI_EVENT_ERROR) {
            const uint8_t *stopped = pos;
            ck_assert_int_eq(fcgi_decode(&decoder, &pos, end, &event), FCGI_EVENT_ERROR);
            ck_assert_ptr_eq(pos, stopped);
            ck_assert_int_ne(event.error, FCGI_DECODE_OK);
            ck_assert(!fcgi_decoder_idle(&decoder));
            return false;
        }
        if (event.len) {
            REQUIRE(event.data >= begin);
            REQUIRE(event.data + event.len == pos);
        }
    }
    REQUIRE(event.type == FCGI_EVENT_MORE);
    REQUIRE(pos == end);
    return true;
}

static void check_transcript(const struct vector *v, const char *how, size_t cut) {
    write_joined();
    ck_assert_msg(strcmp(transcript.text, v->expect) == 0, "%s, %s %zu: %s", v->name, how, cut, transcript.text);
}

static void setup(void) {
    guard_init(&guard, BYTES_MAX);
}

static void teardown(void) {
    guard_fini(&guard);
}

START_TEST(whole)
{
    size_t n = build(&vectors[_i], NULL);
    restart();
    feed(input, n);
    check_transcript(&vectors[_i], "whole", n);
}
END_TEST

/* Long inputs are cut everywhere near their ends and the records' borders, and at some places between. */
START_TEST(two_pieces)
{
    static bool starts[BYTES_MAX];
    memset(starts, 0, sizeof starts);
    size_t n = build(&vectors[_i], starts), since = 0;
    for (size_t cut = 0; cut <= n; cut++) {
        since = starts[cut] ? 0 : since + 1;
        if (n > 4000 && since > 40 && cut % 503 && !(n - cut < 700))
            continue;
        restart();
        if (feed(input, cut)) {
            REQUIRE(fcgi_decoder_idle(&decoder) == starts[cut]);
            feed(input + cut, n - cut);
        }
        check_transcript(&vectors[_i], "cut at", cut);
    }
}
END_TEST

START_TEST(pieces_of_equal_size)
{
    size_t n = build(&vectors[_i], NULL);
    for (size_t size = 1; size <= 17; size++) {
        restart();
        for (size_t i = 0; i < n; i += size)
            if (!feed(input + i, n - i < size ? n - i : size))
                break;
        check_transcript(&vectors[_i], "pieces of", size);
    }
}
END_TEST

/* An event comes with its last byte, not with the padding behind it. */
START_TEST(events_do_not_wait_for_padding)
{
    static const struct vector v = {"",
                                    {{FCGI_BEGIN_REQUEST, 1, TEXT(RESPONDER "xx"), .padding = 9},
                                     {FCGI_PARAMS, 1, TEXT("p"), .padding = 9},
                                     {FCGI_PARAMS, 1, TEXT(""), .padding = 9},
                                     {FCGI_ABORT_REQUEST, 1, TEXT("abc"), .padding = 9},
                                     {FCGI_GET_VALUES, 0, TEXT("v"), .padding = 9},
                                     {200, 0, TEXT("abc"), .padding = 9}},
                                    NULL};
    static const struct {
        size_t cut;
        const char *expect;
    } points[] = {
        {16, "begin 1 role 1 keep 0;"},     {36, "params 1 [p];"},      {53, "params end 1;"}, {70, "abort 1;"},
        {91, "values 0 [v];values end 0;"}, {111, "unknown type 200;"},
    };
    size_t n = build(&v, NULL), from = 0;
    ck_assert_uint_eq(n, 120);
    restart();
    for (int i = 0; i < COUNT(points); i++) {
        feed(input + from, points[i].cut - 1 - from);
        write_joined();
        size_t before = transcript.n;
        feed(input + points[i].cut - 1, 1);
        write_joined();
        ck_assert_str_eq(transcript.text + before, points[i].expect);
        ck_assert(!fcgi_decoder_idle(&decoder));
        from = points[i].cut;
    }
    feed(input + from, n - from);
    ck_assert(fcgi_decoder_idle(&decoder));
}
END_TEST

START_TEST(no_input)
{
    struct fcgi_event event;
    const uint8_t *pos = input;
    restart();
    ck_assert(fcgi_decoder_idle(&decoder));
    ck_assert_int_eq(fcgi_decode(&decoder, &pos, input, &event), FCGI_EVENT_MORE);
    ck_assert_ptr_eq(pos, input);
    ck_assert(fcgi_decoder_idle(&decoder));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fcgi_decode");
    TCase *tc = tcase_create("fcgi_decode");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, whole, 0, COUNT(vectors));
    tcase_add_loop_test(tc, two_pieces, 0, COUNT(vectors));
    tcase_add_loop_test(tc, pieces_of_equal_size, 0, COUNT(vectors));
    tcase_add_test(tc, events_do_not_wait_for_padding);
    tcase_add_test(tc, no_input);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
