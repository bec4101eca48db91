#include "config.h"

#include "proto/status_head.h"

#include "base/ascii.h"
#include "proto/http_target.h"

#include <stdint.h>
#include <string.h>

static bool equals(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

static bool is_named(struct slice name, const char *text) {
    return name.n == strlen(text) && ascii_equals_nocase(name.p, text, name.n);
}

/* RFC 9110, 5.5: no control characters but tabs. A method, where a request begins, is in capitals. */
static bool may_come(const char *data, size_t at) {
    char c = data[at];
    if (at == 0)
        return c >= 'A' && c <= 'Z';
    if (data[at - 1] == '\r')
        return c == '\n';
    return c == '\r' || c == '\t' || ((unsigned char)c >= ' ' && c != 0x7f);
}

/* Returns the bytes of the head; 0: it is not complete; SIZE_MAX: it is none. */
static size_t find_end(const char *data, size_t n, size_t *scanned) {
    for (; *scanned < n; ++*scanned) {
        size_t at = *scanned;
        if (!may_come(data, at))
            return SIZE_MAX;
        if (at >= 3 && data[at] == '\n' && !memcmp(data + at - 3, "\r\n\r\n", 4))
            return at + 1;
    }
    return 0;
}

/* Takes the line at *pos, without its end, which is there. */
static struct slice take_line(const char **pos, const char *end) {
    const char *feed = memchr(*pos, '\n', (size_t)(end - *pos));
    struct slice line = {*pos, (size_t)(feed - *pos) - 1};
    *pos = feed + 1;
    return line;
}

/* Takes what is in front of the next `separator`; all, when there is none. */
static struct slice take_word(struct slice *line, char separator) {
    const char *found = line->n ? memchr(line->p, separator, line->n) : NULL;
    size_t n = found ? (size_t)(found - line->p) : line->n;
    struct slice word = {line->p, n};
    n += found != NULL;
    *line = (struct slice){line->p + n, line->n - n};
    return word;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static struct slice trim(struct slice s) {
    while (s.n && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

static bool is_token(struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_is_token_char(s.p[i]))
            return false;
    }
    return s.n > 0;
}

static bool is_visible(struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
            return false;
    }
    return true;
}

/* What of a head is not for the caller. */
struct reading {
    unsigned hosts;
    bool needs_host, has_content;
};

/* RFC 9112, 3. */
static enum status_head_result read_request_line(struct slice line, struct status_head *head, struct reading *reading) {
    struct slice method = take_word(&line, ' '), text = take_word(&line, ' '), version = line;
    struct http_target target;
    if (!is_token(method) || !is_visible(text) || !(equals(version, "HTTP/1.1") || equals(version, "HTTP/1.0")))
        return STATUS_HEAD_BAD;
    reading->needs_host = equals(version, "HTTP/1.1");
    head->head_only = equals(method, "HEAD");
    if (!head->head_only && !equals(method, "GET"))
        return STATUS_HEAD_BAD_METHOD;
    if (http_target_parse(text, &target) || target.path.p[0] != '/')
        return STATUS_HEAD_BAD;
    head->path = target.path;
    head->query = target.query;
    return STATUS_HEAD_OK;
}

/* Returns whether it is a field. */
static bool read_field(struct slice line, struct status_head *head, struct reading *reading) {
    if (!line.n || !memchr(line.p, ':', line.n))
        return false;
    struct slice name = take_word(&line, ':'), value = trim(line);
    if (is_named(name, "Host")) {
        reading->hosts++;
        head->host = value;
        return http_is_authority(value);
    }
    if (is_named(name, "Content-Length"))
        reading->has_content |= !equals(value, "0");
    else if (is_named(name, "Transfer-Encoding"))
        reading->has_content = true;
    else if (is_named(name, "Accept") && !head->accept.n)
        head->accept = value;
    return is_token(name); /* a folded line begins with a blank */
}

enum status_head_result status_head_read(const char *data, size_t n, size_t *scanned, struct status_head *head) {
    size_t len = find_end(data, n, scanned);
    if (!len || len == SIZE_MAX)
        return len ? STATUS_HEAD_BAD : STATUS_HEAD_MORE;
    const char *pos = data, *end = data + len - 2;
    struct reading reading = {0};
    *head = (struct status_head){.accept = LITERAL(""), .host = LITERAL("")};
    enum status_head_result result = read_request_line(take_line(&pos, end), head, &reading);
    while (pos < end) {
        if (!read_field(take_line(&pos, end), head, &reading))
            return STATUS_HEAD_BAD;
    }
    /* RFC 9112, 3.2. */
    if (reading.hosts > 1 || (reading.needs_host && !reading.hosts))
        return STATUS_HEAD_BAD;
    return result == STATUS_HEAD_OK && reading.has_content ? STATUS_HEAD_BAD : result;
}

static bool is_ipv4(struct slice name) {
    for (size_t i = 0; i < name.n; i++) {
        if (!ascii_is_digit(name.p[i]) && name.p[i] != '.')
            return false;
    }
    return true;
}

bool status_host_is_of_here(struct slice host) {
    static const char local[] = ".localhost";
    const size_t n = sizeof local - 1;
    struct slice name = take_word(&host, ':');
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (!name.n || name.p[0] == '[' || !memchr(name.p, '.', name.n) || is_ipv4(name))
        return true;
    return name.n > n && ascii_equals_nocase(name.p + name.n - n, local, n);
}
