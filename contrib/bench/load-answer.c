#include "config.h"

#include "load-answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of a chunk's line: what is behind the size is not looked at. */
#define EXTENSION SIZE_MAX

void answer_reset(struct answer *a) {
    a->state = ANSWER_HEAD;
    a->text_len = a->line = 0;
    a->body = a->left = 0;
}

/* The value when the line is this field, without blanks before it; else NULL. */
static const char *field_value(const char *line, const char *name) {
    size_t n = strlen(name);
    if (strncasecmp(line, name, n) || line[n] != ':')
        return NULL;
    line += n + 1;
    return line + strspn(line, " \t");
}

/* RFC 3875 section 6.2.1: without a Status it is 200. */
static struct head head_parse(const char *text, bool http) {
    struct head h = {.status = http ? 0 : 200, .length = -1};
    if (http && !strncmp(text, "HTTP/1.", 7) && text[8] == ' ') {
        h.status = atoi(text + 9);
        h.closes = text[7] == '0';
    }
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *value;
        if (!http && (value = field_value(line, "Status")))
            h.status = atoi(value);
        else if ((value = field_value(line, "Content-Length")))
            h.length = strtoll(value, NULL, 10);
        else if (http && (value = field_value(line, "Transfer-Encoding")))
            h.chunked = !strncasecmp(value, "chunked", 7);
        else if (http && (value = field_value(line, "Connection")))
            h.closes = !strncasecmp(value, "close", 5);
    }
    return h;
}

/* As head_parse; the heads of a run are mostly the same, byte by byte. */
static struct head head_recall(const struct answer *a, bool http) {
    static char text[HEAD_MAX];
    static size_t length;
    static struct head head;
    if (a->text_len != length || memcmp(text, a->text, length)) {
        head = head_parse(a->text, http);
        length = a->text_len;
        memcpy(text, a->text, length);
    }
    return head;
}

/* The first byte after the empty line, looked for from `from` on; NULL when it has not come. */
static const char *head_end(const char *text, size_t from, size_t n) {
    const char *end = text + n;
    for (const char *p = text + from; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++) {
        if (end - p > 1 && p[1] == '\n')
            return p + 2;
        if (end - p > 2 && p[1] == '\r' && p[2] == '\n')
            return p + 3;
    }
    return NULL;
}

/* Returns how many of the bytes belong to the head, or -1 when it is too long. At its end the state becomes
 * ANSWER_BODY. */
static ssize_t take_head(struct answer *a, const char *p, size_t n, bool http) {
    size_t before = a->text_len;
    size_t room = HEAD_MAX - 1 - before;
    size_t part = n < room ? n : room;
    memcpy(a->text + before, p, part);
    const char *end = head_end(a->text, before < 2 ? 0 : before - 2, before + part);
    a->text_len = end ? (size_t)(end - a->text) : before + part;
    a->text[a->text_len] = 0;
    if (!end)
        return part == room ? -1 : (ssize_t)part;
    a->head = head_recall(a, http);
    a->state = ANSWER_BODY;
    return (ssize_t)(a->text_len - before);
}

int answer_take_stdout(struct answer *a, const char *p, size_t n) {
    if (a->state == ANSWER_HEAD) {
        ssize_t taken = take_head(a, p, n, false);
        if (taken < 0)
            return -1;
        n -= (size_t)taken;
    }
    a->body += n;
    return 0;
}

/* RFC 9112 section 6.3. */
static enum answer_state state_after_head(struct answer *a) {
    const struct head *h = &a->head;
    if (h->status >= 100 && h->status < 200) {
        answer_reset(a);
        return ANSWER_HEAD;
    }
    if (h->status == 204 || h->status == 304)
        return ANSWER_DONE;
    if (h->chunked)
        return ANSWER_CHUNK_SIZE;
    if (h->length < 0) {
        a->head.closes = true;
        return ANSWER_TO_CLOSE;
    }
    a->left = (uint64_t)h->length;
    return a->left ? ANSWER_BODY : ANSWER_DONE;
}

/* One byte of the line with a chunk's size. Returns 0, or -1 when it is none. */
static int take_chunk_size(struct answer *a, char byte) {
    static const char digits[] = "0123456789abcdef";
    if (byte == '\n') {
        a->state = a->left ? ANSWER_CHUNK : ANSWER_TRAILER;
        a->line = 0;
        return 0;
    }
    if (byte == ';')
        a->line = EXTENSION;
    if (byte == '\r' || a->line == EXTENSION)
        return 0;
    const char *digit = memchr(digits, byte | 0x20, 16);
    if (!digit || ++a->line > 15)
        return -1;
    a->left = a->left << 4 | (uint64_t)(digit - digits);
    return 0;
}

/* One byte between chunks or behind the last. */
static int take_framing(struct answer *a, char byte) {
    switch (a->state) {
    case ANSWER_CHUNK_SIZE:
        return take_chunk_size(a, byte);
    case ANSWER_CHUNK_END:
        if (byte == '\n')
            a->state = ANSWER_CHUNK_SIZE;
        return byte == '\n' || byte == '\r' ? 0 : -1;
    default: /* ANSWER_TRAILER: lines up to an empty one */
        if (byte == '\n') {
            if (!a->line)
                a->state = ANSWER_DONE;
            a->line = 0;
        } else if (byte != '\r') {
            a->line++;
        }
        return 0;
    }
}

static void take_content(struct answer *a, const char *p, size_t n) {
    if (a->content && a->body < a->content_max) {
        size_t room = a->content_max - (size_t)a->body;
        memcpy(a->content + a->body, p, n < room ? n : room);
    }
    a->body += n;
}

static size_t take_body(struct answer *a, const char *p, size_t n, enum answer_state next) {
    size_t part = a->left < n ? (size_t)a->left : n;
    take_content(a, p, part);
    a->left -= part;
    if (!a->left)
        a->state = next;
    return part;
}

ssize_t answer_take_http(struct answer *a, const char *p, size_t n) {
    size_t used = 0;
    while (used < n && a->state != ANSWER_DONE) {
        switch (a->state) {
        case ANSWER_HEAD: {
            ssize_t taken = take_head(a, p + used, n - used, true);
            if (taken < 0)
                return -1;
            used += (size_t)taken;
            if (a->state == ANSWER_BODY) {
                if (!a->head.status)
                    return -1;
                a->state = state_after_head(a);
            }
            break;
        }
        case ANSWER_BODY:
            used += take_body(a, p + used, n - used, ANSWER_DONE);
            break;
        case ANSWER_CHUNK:
            used += take_body(a, p + used, n - used, ANSWER_CHUNK_END);
            break;
        case ANSWER_TO_CLOSE:
            take_content(a, p + used, n - used);
            used = n;
            break;
        default:
            if (take_framing(a, p[used++]))
                return -1;
        }
    }
    return (ssize_t)used;
}

enum answer_verdict answer_judge(const struct answer *a, int64_t length) {
    if (a->state == ANSWER_HEAD)
        return ANSWER_BROKEN;
    if (a->head.status != 200)
        return ANSWER_NOT_200;
    bool as_said = a->head.length < 0 || a->head.chunked || a->body == (uint64_t)a->head.length;
    return as_said && (length < 0 || a->body == (uint64_t)length) ? ANSWER_GOOD : ANSWER_BAD_LENGTH;
}
