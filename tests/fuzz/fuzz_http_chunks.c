/* The framing of chunks, compared with llhttp's. Ours takes off extensions, which the releases of llhttp read in ways of
 * their own; so llhttp gets what ours has taken with the lines of sizes cut short, by a third reading of them. Then both
 * have to see the same bytes of the body, and the same end. What ours refuses though llhttp takes it has a reason. */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "proto/http_head.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char head_text[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

struct outcome {
    enum http_body_result result;
    size_t taken; /* when it has ended */
    size_t n;
    char *bytes; /* of the body */
    const char *why;
};

static void put(void *arg, const char *data, size_t len) {
    struct outcome *o = arg;
    assert(len > 0);
    memcpy(o->bytes + o->n, data, len);
    o->n += len;
}

static struct outcome outcome_new(size_t size) {
    struct outcome o = {.result = HTTP_BODY_MORE, .bytes = malloc(size + 1)};
    assert(o.bytes);
    return o;
}

/* Ours. */
static struct outcome decode(const char *data, size_t size, size_t piece) {
    struct outcome o = outcome_new(size);
    struct http_body body;
    struct http_head head;
    struct http_refusal refusal;
    char params[1024];
    size_t nparams;
    assert(http_parse_head(head_text, sizeof head_text - 1, &head, params, &nparams, &body, &refusal));
    const char *pos = data, *end = data + size;
    while (o.result == HTTP_BODY_MORE && pos < end) {
        const char *stop = (size_t)(end - pos) < piece ? end : pos + piece;
        o.result = http_body_decode(&body, &pos, stop, put, &o, &o.why);
        assert(o.result != HTTP_BODY_MORE || pos == stop);
    }
    o.taken = (size_t)(pos - data);
    return o;
}

/* llhttp's. */

static int on_body(llhttp_t *llhttp, const char *data, size_t len) {
    if (len)
        put(llhttp->data, data, len);
    return 0;
}

static int on_message_complete(llhttp_t *llhttp) {
    struct outcome *o = llhttp->data;
    o->result = HTTP_BODY_END;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {.on_body = on_body, .on_message_complete = on_message_complete};

static struct outcome decode_reference(const char *data, size_t size) {
    struct outcome o = outcome_new(size);
    llhttp_t llhttp;
    llhttp_init(&llhttp, HTTP_REQUEST, &settings);
    llhttp.data = &o;
    assert(llhttp_execute(&llhttp, head_text, sizeof head_text - 1) == HPE_OK);
    if (llhttp_execute(&llhttp, data, size) == HPE_OK || o.result == HTTP_BODY_END)
        o.taken = o.result == HTTP_BODY_END ? (size_t)(llhttp_get_error_pos(&llhttp) - data) : size;
    else
        o.result = HTTP_BODY_BAD;
    return o;
}

/* Copies well-formed chunks without their extensions. Returns the length, and in *dropped by how much it is shorter up
 * to the trailers. */
static size_t without_extensions(const char *data, size_t size, char *out, size_t *dropped) {
    const char *pos = data, *end = data + size;
    char *o = out;
    *dropped = 0;
    while (pos < end) {
        size_t digits = 0, left = (size_t)(end - pos);
        unsigned long long n = 0;
        while (digits < left && strchr("0123456789abcdefABCDEF", pos[digits]) && pos[digits])
            digits++;
        const char *cr = memchr(pos, '\r', left);
        for (size_t i = 0; i < digits; i++)
            n = n << 4 | (unsigned)strtoul((char[2]){pos[i], 0}, NULL, 16);
        memcpy(o, pos, digits);
        o += digits;
        if (!cr)
            return (size_t)(o - out); /* cut within the line */
        *dropped += (size_t)(cr - pos) - digits;
        pos = cr;
        left = (size_t)(end - pos);
        size_t rest = !n || n > left || n + 4 > left ? left : (size_t)n + 4; /* two line ends, or all of the trailers */
        memcpy(o, pos, rest);
        o += rest;
        pos += rest;
        if (!n)
            break;
    }
    return (size_t)(o - out);
}

static void check_same(const struct outcome *a, const struct outcome *b) {
    assert(a->result == b->result && a->n == b->n && !memcmp(a->bytes, b->bytes, a->n));
}

/* Those for which ours refuses on purpose what llhttp may take. */
static bool is_own_reason(const char *why) {
    static const char *const reasons[] = {"too many bytes", "chunk size is too large", "chunk extension", "trailer"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (strstr(why, reasons[i]))
            return true;
    }
    return false;
}

/* Blanks behind a size are what releases of llhttp disagree about. */
static bool has_blanks(const char *data, size_t size) {
    return memchr(data, ' ', size) || memchr(data, '\t', size);
}

static void compare(const char *data, size_t size, const struct outcome *ours) {
    size_t dropped = 0;
    if (ours->result == HTTP_BODY_BAD) {
        struct outcome raw = decode_reference(data, size);
        assert(ours->why && *ours->why);
        assert(raw.result == HTTP_BODY_BAD || is_own_reason(ours->why) || has_blanks(data, size));
        free(raw.bytes);
        return;
    }
    char *stripped = malloc(size + 1);
    assert(stripped);
    size_t n = without_extensions(data, size, stripped, &dropped);
    struct outcome reference = decode_reference(stripped, n);
    check_same(ours, &reference);
    if (ours->result == HTTP_BODY_END)
        assert(ours->taken == reference.taken + dropped);
    free(reference.bytes);
    free(stripped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    const char *text = (const char *)data + 1;
    size_t pieces[] = {SIZE_MAX, 1, data[0] ? data[0] : 1};
    struct outcome first = decode(text, size - 1, pieces[0]);
    for (int i = 1; i < 3; i++) {
        struct outcome other = decode(text, size - 1, pieces[i]);
        check_same(&first, &other);
        assert(first.result != HTTP_BODY_END || first.taken == other.taken);
        free(other.bytes);
    }
    compare(text, size - 1, &first);
    free(first.bytes);
    return 0;
}
