#include "config.h"

#include "net/access_text.h"

#include "base/json.h"

typedef uint8_t block __attribute__((vector_size(16)));
typedef int8_t signs __attribute__((vector_size(16)));

static inline block block_at(const char *text) {
    block b;
    memcpy(&b, text, sizeof b);
    return b;
}

/* Not zero where a byte has to be escaped. Those from the blank to ~ become -34 to -128, and all others more. */
static inline __attribute__((always_inline)) block odd_of(block b, bool json, block stops) {
    const block odd = (block)((signs)(0xfe - b) > -34) | (block)(b == '\\');
    if (json) /* quote and &, < and > differ by one bit */
        return odd | (block)((b | 4) == '&') | (block)((b | 2) == '>');
    return odd | (block)(b == '"') | (block)(b == stops);
}

/* Up to 16 bytes, at least one, twice where they overlap. */
static inline __attribute__((always_inline)) block copy_short(char *to, const char *from, size_t n) {
    uint64_t halves[2];
    if (n >= 8) {
        memcpy(&halves[0], from, 8);
        memcpy(&halves[1], from + n - 8, 8);
        memcpy(to, &halves[0], 8);
        memcpy(to + n - 8, &halves[1], 8);
    } else if (n >= 4) {
        uint32_t words[2];
        memcpy(&words[0], from, 4);
        memcpy(&words[1], from + n - 4, 4);
        memcpy(to, &words[0], 4);
        memcpy(to + n - 4, &words[1], 4);
        halves[0] = halves[1] = (uint64_t)words[0] << 32 | words[1];
    } else {
        const unsigned char first = (unsigned char)from[0], middle = (unsigned char)from[n / 2],
                            last = (unsigned char)from[n - 1];
        to[0] = (char)first;
        to[n / 2] = (char)middle;
        to[n - 1] = (char)last;
        const uint32_t word = (uint32_t)first << 24 | (uint32_t)first << 16 | (uint32_t)middle << 8 | last;
        halves[0] = halves[1] = (uint64_t)word << 32 | word;
    }
    block b;
    memcpy(&b, halves, sizeof b);
    return b;
}

/* Copies `n` bytes, at least one. Returns whether they are all shown as they are. */
static inline __attribute__((always_inline)) bool copy(char *to, const char *from, size_t n, bool json,
                                                       unsigned char stop) {
    const block stops = (block){0} + stop;
    block odd = {0};
    uint64_t halves[2];
    if (n <= sizeof odd) {
        odd = odd_of(copy_short(to, from, n), json, stops);
    } else {
        for (size_t i = 0; i < n - sizeof odd; i += sizeof odd) {
            const block b = block_at(from + i);
            memcpy(to + i, &b, sizeof b);
            odd |= odd_of(b, json, stops);
        }
        const block last = block_at(from + n - sizeof odd);
        memcpy(to + n - sizeof odd, &last, sizeof last);
        odd |= odd_of(last, json, stops);
    }
    memcpy(halves, &odd, sizeof halves);
    return !(halves[0] | halves[1]);
}

/* --- byte by byte */

static char *put(const struct access_text *t, char *out, const char *bytes, size_t n) {
    return access_text_is_full(t, out, n) ? t->end + 1 : (char *)mempcpy(out, bytes, n);
}

static bool is_plain(unsigned char byte, unsigned char stop) {
    return byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != stop;
}

/* As Apache escapes them; and what would end the value. */
static char *put_escape(const struct access_text *t, char *out, unsigned char byte) {
    static const char hex[] = "0123456789abcdef";
    static const char short_ones[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\v'] = 'v', ['\r'] = 'r'};
    const bool quoted = byte == '"' || byte == '\\';
    const char letter = quoted ? (char)byte : byte < sizeof short_ones ? short_ones[byte] : '\0';
    const char text[] = {'\\', letter ? letter : 'x', hex[byte >> 4], hex[byte & 15]};
    return put(t, out, text, letter ? 2 : 4);
}

/* How many bytes at the beginning are shown as they are. */
static size_t plain_run(const char *text, size_t n, unsigned char stop) {
    size_t i = 0;
    while (i < n && is_plain((unsigned char)text[i], stop))
        i++;
    return i;
}

char *access_text_escape(const struct access_text *t, char *out, struct slice text, unsigned char stop) {
    size_t room = t->limit - 3; /* for what tells that it was cut */
    if (!text.n)
        return access_text_none(out, false);
    for (size_t i = 0, n; i < text.n; i++, room -= 4) {
        n = plain_run(text.p + i, text.n - i < room ? text.n - i : room, stop);
        out = put(t, out, text.p + i, n);
        i += n;
        room -= n;
        if (i == text.n)
            break;
        if (room < 4)
            return put(t, out, "...", 3);
        out = put_escape(t, out, (unsigned char)text.p[i]);
    }
    return out;
}

char *access_text_escape_json(const struct access_text *t, char *out, struct slice text) {
    struct json j = json_begin(t->spare);
    if (!text.n)
        return access_text_none(out, true);
    buf_consume(t->spare, buf_len(t->spare));
    json_string(&j, text.p, text.n < t->limit ? text.n : t->limit);
    return json_end(&j) ? t->end + 1 : put(t, out, buf_head(t->spare), buf_len(t->spare));
}

/* --- most of them */

char *access_text_value(const struct access_text *t, char *out, struct slice text, unsigned char stop) {
    if (!text.n)
        return access_text_none(out, false);
    if (text.n + 3 > t->limit || access_text_is_full(t, out, text.n) || !copy(out, text.p, text.n, false, stop))
        return access_text_escape(t, out, text, stop);
    return out + text.n;
}

char *access_text_value_json(const struct access_text *t, char *out, struct slice text) {
    if (!text.n)
        return access_text_none(out, true);
    if (text.n + 3 > t->limit || access_text_is_full(t, out, text.n + 2) || !copy(out + 1, text.p, text.n, true, 0))
        return access_text_escape_json(t, out, text);
    out[0] = out[text.n + 1] = '"';
    return out + text.n + 2;
}
