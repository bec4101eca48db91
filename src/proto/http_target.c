#include "config.h"

#include "proto/http_target.h"

#include "base/ascii.h"

#include <string.h>

/* RFC 3986, 3.2.3: digits, or none. */
static bool is_port(struct slice s) {
    unsigned port = 0;
    if (s.n > 5)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_is_digit(s.p[i]))
            return false;
        port = port * 10 + (unsigned)(s.p[i] - '0');
    }
    return port <= 65535;
}

/* RFC 3986, 3.2.2: unreserved, sub-delims, percent-encoded. */
static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ascii_is_digit(c) ||
           (c && strchr("-._~!$&'()*+,;=%", c) != NULL);
}

/* RFC 3986, 3.2.2, IP-literal. */
static bool is_literal_char(char c) {
    return is_name_char(c) || c == ':';
}

bool http_is_authority(struct slice s) {
    size_t i = 0;
    if (s.n && s.p[0] == '[') {
        for (i = 1; i < s.n && is_literal_char(s.p[i]); i++)
            ;
        if (i < 2 || i == s.n || s.p[i++] != ']')
            return false;
    } else {
        while (i < s.n && is_name_char(s.p[i]))
            i++;
    }
    if (i == s.n)
        return true;
    return s.p[i] == ':' && is_port((struct slice){s.p + i + 1, s.n - i - 1});
}

static const char *parse_absolute(struct slice text, struct http_target *target) {
    size_t scheme = 0;
    if (text.n > 7 && ascii_equals_nocase(text.p, "http://", 7))
        scheme = 7;
    /* A load balancer that has decrypted TLS may send this; it says nothing about the connection here. */
    else if (text.n > 8 && ascii_equals_nocase(text.p, "https://", 8))
        scheme = 8;
    else
        return "the target is neither a path nor an http URL";
    struct slice rest = {text.p + scheme, text.n - scheme};
    size_t n = 0;
    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    target->authority = (struct slice){rest.p, n};
    target->path = (struct slice){rest.p + n, rest.n - n};
    target->absolute = true;
    return n && http_is_authority(target->authority) ? NULL : "the target has no valid host";
}

const char *http_target_parse(struct slice text, struct http_target *target) {
    *target = (struct http_target){.path = text, .authority = LITERAL(""), .query = LITERAL("")};
    if (text.n == 1 && text.p[0] == '*')
        return NULL;
    if (text.n && memchr(text.p, '#', text.n))
        return "the target has a fragment";
    const char *problem = text.n && text.p[0] == '/' ? NULL : parse_absolute(text, target);
    if (problem)
        return problem;
    const char *mark = target->path.n ? memchr(target->path.p, '?', target->path.n) : NULL;
    if (mark) {
        size_t path = (size_t)(mark - target->path.p);
        target->query = (struct slice){mark + 1, target->path.n - path - 1};
        target->path.n = path;
    }
    if (!target->path.n)
        target->path = LITERAL("/");
    return NULL;
}

size_t http_target_decode(struct slice path, char *out) {
    const char *end = path.p + path.n, *p = path.p;
    char *o = out;
    while (p < end) {
        const char *percent = memchr(p, '%', (size_t)(end - p));
        size_t plain = (size_t)((percent ? percent : end) - p);
        memcpy(o, p, plain);
        o += plain;
        if (!percent)
            break;
        if (end - percent < 3)
            return SIZE_MAX;
        int high = ascii_hex_digit(percent[1]), low = ascii_hex_digit(percent[2]);
        if (high < 0 || low < 0 || !(high | low))
            return SIZE_MAX;
        *o++ = (char)(high << 4 | low);
        p = percent + 3;
    }
    return (size_t)(o - out);
}
