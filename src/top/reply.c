#include "config.h"

#include "top/reply.h"

#include "base/ascii.h"
#include "proto/fcgi_encode.h"

#include <string.h>

/* Heads: those of HTTP, and of CGI (RFC 3875, 6), are lines of the same form. */

struct head {
    struct slice status, type, length, coding;
};

static struct slice trim(const char *p, const char *end) {
    while (p < end && ascii_is_space(*p))
        p++;
    while (end > p && ascii_is_space(end[-1]))
        end--;
    return (struct slice){p, (size_t)(end - p)};
}

static void note_field(struct head *h, struct slice name, struct slice value) {
    const struct {
        const char *name;
        struct slice *to;
    } fields[] = {{"status", &h->status},
                  {"content-type", &h->type},
                  {"content-length", &h->length},
                  {"transfer-encoding", &h->coding}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (name.n == strlen(fields[i].name) && ascii_equals_nocase(name.p, fields[i].name, name.n))
            *fields[i].to = value;
    }
}

/* Reads fields up to the empty line. Returns what follows, or NULL if that line is missing. */
static char *read_fields(char *p, char *end, struct head *h) {
    *h = (struct head){.status = {NULL, 0}};
    for (char *line; (line = memchr(p, '\n', (size_t)(end - p))) != NULL; p = line + 1) {
        const char *colon = memchr(p, ':', (size_t)(line - p));
        if (!trim(p, line).n)
            return line + 1;
        if (colon)
            note_field(h, trim(p, colon), trim(colon + 1, line));
    }
    return NULL;
}

/* The first three bytes as a status; 0: they are none. */
static unsigned read_status(struct slice text) {
    unsigned n = 0;
    if (text.n < 3)
        return 0;
    for (size_t i = 0; i < 3; i++) {
        if (!ascii_is_digit(text.p[i]))
            return 0;
        n = n * 10 + (unsigned)(text.p[i] - '0');
    }
    return n;
}

static bool read_length(struct slice text, size_t *length) {
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (!ascii_is_digit(text.p[i]) || n > SIZE_MAX / 10 - 10)
            return false;
        n = n * 10 + (size_t)(text.p[i] - '0');
    }
    *length = n;
    return text.n > 0;
}

/* FastCGI. */

/* Moves the contents of STDOUT to the beginning. Returns how many bytes that are; SIZE_MAX: the end of the answer is
 * missing, or what came are no records. */
static size_t join_stdout(char *data, size_t len) {
    size_t joined = 0;
    for (size_t at = 0; len - at >= FCGI_RECORD_HEADER;) {
        FCGI_Header header;
        memcpy(&header, data + at, sizeof header);
        size_t content = (size_t)header.contentLengthB1 << 8 | header.contentLengthB0;
        if (header.version != FCGI_VERSION_1)
            return SIZE_MAX;
        at += FCGI_RECORD_HEADER;
        if (len - at < content + header.paddingLength)
            return SIZE_MAX;
        if (header.type == FCGI_END_REQUEST)
            return joined;
        if (header.type == FCGI_STDOUT) {
            memmove(data + joined, data + at, content);
            joined += content;
        }
        at += content + header.paddingLength;
    }
    return SIZE_MAX;
}

static enum reply_result read_fastcgi(char *data, size_t len, struct reply *r) {
    struct head head;
    size_t joined = join_stdout(data, len);
    char *body = joined == SIZE_MAX ? NULL : read_fields(data, data + joined, &head);
    if (!body)
        return REPLY_CUT;
    r->status = head.status.n ? read_status(head.status) : 200; /* RFC 3875, 6.3.3 */
    r->type = head.type;
    r->body = (struct slice){body, (size_t)(data + joined - body)};
    return r->status ? REPLY_WHOLE : REPLY_BAD;
}

/* HTTP/1.1. */

/* Reads the size of a chunk. Returns what follows its line, or NULL. */
static char *chunk_size(char *p, const char *end, size_t *size) {
    size_t n = 0;
    int digit;
    char *line = memchr(p, '\n', (size_t)(end - p)), *first = p;
    for (; line && p < line && (digit = ascii_hex_digit(*p)) >= 0; p++) {
        if (n > SIZE_MAX >> 8)
            return NULL;
        n = n << 4 | (size_t)digit;
    }
    *size = n;
    return line && p > first ? line + 1 : NULL;
}

/* Moves the chunks of a body together (RFC 9112, 7.1). Returns how many bytes they have; SIZE_MAX: the last is missing.
 */
static size_t join_chunks(char *body, char *end) {
    size_t joined = 0, size;
    for (char *p = body; (p = chunk_size(p, end, &size)) != NULL; p += size) {
        if (!size)
            return joined;
        if ((size_t)(end - p) < size)
            break;
        memmove(body + joined, p, size);
        joined += size;
        char *line = memchr(p + size, '\n', (size_t)(end - p) - size);
        if (!line)
            break;
        p = line + 1 - size;
    }
    return SIZE_MAX;
}

static enum reply_result read_http(char *data, size_t len, struct reply *r) {
    struct head head;
    char *end = data + len, *line = memchr(data, '\n', len);
    char *body = line ? read_fields(line + 1, end, &head) : NULL;
    if (!body)
        return REPLY_CUT;
    r->status = read_status(trim(memchr(data, ' ', (size_t)(line - data)), line));
    r->type = head.type;
    size_t n = (size_t)(end - body), announced;
    if (head.coding.n)
        n = join_chunks(body, end);
    else if (read_length(head.length, &announced))
        n = announced <= n ? announced : SIZE_MAX;
    r->body = (struct slice){body, n == SIZE_MAX ? 0 : n};
    return n == SIZE_MAX ? REPLY_CUT : r->status ? REPLY_WHOLE : REPLY_BAD;
}

/* The line "HTTP/1.1 200 ...", with the blank. */
static bool looks_like_http(const char *data, size_t len) {
    return len > 9 && !memcmp(data, "HTTP/1.", 7) && ascii_is_digit(data[7]) && data[8] == ' ';
}

/* Version 1, and a type. */
static bool looks_like_fastcgi(const char *data, size_t len) {
    return len >= FCGI_RECORD_HEADER && data[0] == FCGI_VERSION_1 && data[1] >= FCGI_BEGIN_REQUEST &&
           data[1] <= FCGI_MAXTYPE;
}

enum reply_result reply_read(enum target_protocol protocol, char *data, size_t len, struct reply *r) {
    *r = (struct reply){.status = 0};
    if (!len)
        return REPLY_NOTHING;
    bool http = looks_like_http(data, len), fastcgi = looks_like_fastcgi(data, len);
    if (protocol == TARGET_HTTP)
        return http ? read_http(data, len, r) : fastcgi ? REPLY_FASTCGI : REPLY_NEITHER;
    return fastcgi ? read_fastcgi(data, len, r) : http ? REPLY_HTTP : REPLY_NEITHER;
}
