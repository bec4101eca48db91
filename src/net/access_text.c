#include "config.h"

#include "net/access_text.h"

#include "base/json.h"

static bool is_plain(unsigned char byte, unsigned char stop) {
    return byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != stop;
}

/* As Apache escapes them; and what would end the value. */
static void put_escape(struct access_text *t, unsigned char byte) {
    static const char hex[] = "0123456789abcdef";
    static const char short_ones[] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\v'] = 'v', ['\r'] = 'r'};
    const bool quoted = byte == '"' || byte == '\\';
    const char letter = quoted ? (char)byte : byte < sizeof short_ones ? short_ones[byte] : '\0';
    const char text[] = {'\\', letter ? letter : 'x', hex[byte >> 4], hex[byte & 15]};
    access_text_put(t, text, letter ? 2 : 4);
}

/* How many bytes at the beginning are shown as they are. */
static size_t plain_run(const char *text, size_t n, unsigned char stop) {
    size_t i = 0;
    while (i < n && is_plain((unsigned char)text[i], stop))
        i++;
    return i;
}

static void escape_text(struct access_text *t, struct slice text) {
    size_t room = t->limit - 3; /* for what tells that it was cut */
    for (size_t i = 0, n; i < text.n; i++, room -= 4) {
        n = plain_run(text.p + i, text.n - i < room ? text.n - i : room, t->stop);
        access_text_put(t, text.p + i, n);
        i += n;
        room -= n;
        if (i == text.n)
            return;
        if (room < 4) {
            access_text_put(t, "...", 3);
            return;
        }
        put_escape(t, (unsigned char)text.p[i]);
    }
}

static void escape_json(struct access_text *t, struct slice text) {
    struct json j = json_begin(t->spare);
    buf_consume(t->spare, buf_len(t->spare));
    json_string(&j, text.p, text.n < t->limit ? text.n : t->limit);
    if (json_end(&j))
        t->full = true;
    else
        access_text_put(t, buf_head(t->spare), buf_len(t->spare));
}

void access_text_escape(struct access_text *t, struct slice text) {
    if (t->json)
        escape_json(t, text);
    else
        escape_text(t, text);
}
