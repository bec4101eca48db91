#include "config.h"

#include "base/json.h"

#include "base/decimal_text.h"
#include "base/utf8.h"

#include <errno.h>

static void put(struct json *j, const char *bytes, size_t n) {
    if (!j->failed && buf_append(j->out, bytes, n))
        j->failed = true;
}

/* What stands in front of a value or key, and what follows it. */
static void value(struct json *j, const char *bytes, size_t n) {
    if (j->separate)
        put(j, ",", 1);
    put(j, bytes, n);
    j->separate = true;
}

static void begin(struct json *j, const char *bracket) {
    value(j, bracket, 1);
    j->separate = false;
}

static void end(struct json *j, const char *bracket) {
    put(j, bracket, 1);
    j->separate = true;
}

int json_end(struct json *j) {
    if (!j->failed)
        return 0;
    errno = ENOMEM;
    return -1;
}

void json_object_begin(struct json *j) {
    begin(j, "{");
}

void json_object_end(struct json *j) {
    end(j, "}");
}

void json_array_begin(struct json *j) {
    begin(j, "[");
}

void json_array_end(struct json *j) {
    end(j, "]");
}

void json_key(struct json *j, const char *key) {
    value(j, "\"", 1);
    put(j, key, strlen(key));
    put(j, "\":", 2);
    j->separate = false;
}

/* \uXXXX, twice for what is beyond the first plane (RFC 8259, 7). */
static void put_escape(struct json *j, uint32_t code) {
    static const char hex[] = "0123456789abcdef";
    if (code > 0xffff) {
        put_escape(j, 0xd800 + ((code - 0x10000) >> 10));
        code = 0xdc00 + (code & 0x3ff);
    }
    const char escape[] = {'\\', 'u', hex[code >> 12 & 15], hex[code >> 8 & 15], hex[code >> 4 & 15], hex[code & 15]};
    put(j, escape, sizeof escape);
}

static void put_special(struct json *j, uint32_t code) {
    switch (code) {
    case '"':
        put(j, "\\\"", 2);
        break;
    case '\\':
        put(j, "\\\\", 2);
        break;
    case '\n':
        put(j, "\\n", 2);
        break;
    case '\r':
        put(j, "\\r", 2);
        break;
    case '\t':
        put(j, "\\t", 2);
        break;
    default:
        put_escape(j, code);
    }
}

static bool is_as_it_is(uint32_t code) {
    return utf8_is_plain(code) && code != '"' && code != '\\' && code != '<' && code != '>' && code != '&';
}

/* How many bytes at the beginning are ASCII and put as they are, which most of most strings are. */
static size_t plain_run(const char *text, size_t len) {
    /* Bit n of word w: the byte 64 * w + n; all from the blank to ~ but for " & < > and the backslash. */
    static const uint64_t plain[4] = {UINT64_C(0xafffffbb00000000), UINT64_C(0x7fffffffefffffff)};
    size_t i = 0;
    while (i < len && plain[(unsigned char)text[i] / 64] >> (unsigned char)text[i] % 64 & 1)
        i++;
    return i;
}

void json_string(struct json *j, const char *text, size_t len) {
    if (!text) {
        json_null(j);
        return;
    }
    value(j, "\"", 1);
    size_t from = 0; /* the bytes from here on can be put as they are */
    for (size_t i = plain_run(text, len), width; i < len; i += width + plain_run(text + i + width, len - i - width)) {
        uint32_t code;
        width = utf8_read(text + i, len - i, &code);
        if (width && is_as_it_is(code))
            continue;
        put(j, text + from, i - from);
        if (width) {
            put_special(j, code);
        } else {
            put(j, "\xef\xbf\xbd", 3);
            width = 1;
        }
        from = i + width;
    }
    put(j, text + from, len - from);
    put(j, "\"", 1);
}

void json_text(struct json *j, const char *text) {
    json_string(j, text, text ? strlen(text) : 0);
}

void json_uint(struct json *j, uint64_t number) {
    char digits[DECIMAL_TEXT_SIZE];
    value(j, digits, decimal_text(digits, number));
}

void json_int(struct json *j, int64_t number) {
    char digits[1 + DECIMAL_TEXT_SIZE] = "-";
    if (number >= 0)
        json_uint(j, (uint64_t)number);
    else
        value(j, digits, 1 + decimal_text(digits + 1, 0 - (uint64_t)number));
}

void json_uint_text(struct json *j, uint64_t number) {
    char digits[DECIMAL_TEXT_SIZE];
    size_t n = decimal_text(digits, number);
    value(j, "\"", 1);
    put(j, digits, n);
    put(j, "\"", 1);
}

void json_bool(struct json *j, bool is) {
    value(j, is ? "true" : "false", is ? 4 : 5);
}

void json_null(struct json *j) {
    value(j, "null", 4);
}

void json_seconds(struct json *j, uint64_t ns) {
    char digits[DECIMAL_TEXT_SIZE];
    value(j, digits, decimal_text_seconds(digits, ns));
}

void json_member_text(struct json *j, const char *key, const char *text) {
    json_key(j, key);
    json_text(j, text);
}

void json_member_uint(struct json *j, const char *key, uint64_t number) {
    json_key(j, key);
    json_uint(j, number);
}

void json_member_bool(struct json *j, const char *key, bool is) {
    json_key(j, key);
    json_bool(j, is);
}

void json_member_seconds(struct json *j, const char *key, uint64_t ns) {
    json_key(j, key);
    json_seconds(j, ns);
}
