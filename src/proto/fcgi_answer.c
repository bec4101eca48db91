#include "config.h"

#include "proto/fcgi_answer.h"

#include "base/ascii.h"

/* "Status: 404 Not Found". Returns the number, or 0 if the line is no such field. */
static unsigned read_status(const char *line, size_t len) {
    static const char name[] = "Status:";
    size_t i = sizeof name - 1;
    unsigned status = 0;
    if (len < i || !ascii_equals_nocase(line, name, i))
        return 0;
    while (i < len && line[i] == ' ')
        i++;
    for (; i < len && ascii_is_digit(line[i]); i++)
        status = status * 10 + (unsigned)(line[i] - '0');
    return status;
}

static void line_ends(struct fcgi_answer *a) {
    if (a->line_len && a->line[a->line_len - 1] == '\r')
        a->line_len--;
    unsigned status = read_status(a->line, a->line_len);
    if (status)
        a->named = status;
    if (!a->line_len)
        a->status = a->named ? a->named : 200;
    a->line_len = 0;
}

static void take_stdout(struct fcgi_answer *a, const uint8_t *data, size_t len) {
    for (size_t i = 0; i < len && !a->status; i++) {
        if (data[i] == '\n')
            line_ends(a);
        else if (a->line_len < FCGI_ANSWER_LINE)
            a->line[a->line_len++] = (char)data[i];
    }
}

/* Returns how many of the bytes belong to the header. */
static size_t take_header(struct fcgi_answer *a, const uint8_t *data, size_t len) {
    size_t n = len < FCGI_RECORD_HEADER - a->have ? len : FCGI_RECORD_HEADER - a->have;
    memcpy(a->header + a->have, data, n);
    a->have += n;
    if (a->have < FCGI_RECORD_HEADER)
        return n;
    FCGI_Header header;
    memcpy(&header, a->header, sizeof header);
    a->bad = header.version != FCGI_VERSION_1;
    a->content = (size_t)header.contentLengthB1 << 8 | header.contentLengthB0;
    a->padding = header.paddingLength;
    return n;
}

static uint8_t type_of(const struct fcgi_answer *a) {
    FCGI_Header header;
    memcpy(&header, a->header, sizeof header);
    return header.type;
}

/* Returns how many of the bytes belong to the record, behind its header. */
static size_t take_rest(struct fcgi_answer *a, const uint8_t *data, size_t len, fcgi_answer_stderr *errors, void *arg) {
    size_t *left = a->content ? &a->content : &a->padding;
    size_t n = len < *left ? len : *left;
    if (a->content && type_of(a) == FCGI_STDOUT)
        take_stdout(a, data, n);
    if (a->content && type_of(a) == FCGI_STDERR && errors)
        errors(arg, data, n);
    *left -= n;
    return n;
}

void fcgi_answer_feed(struct fcgi_answer *a, const uint8_t *data, size_t len, fcgi_answer_stderr *errors, void *arg) {
    while (len && !a->ended && !a->bad) {
        size_t n = a->have < FCGI_RECORD_HEADER ? take_header(a, data, len) : take_rest(a, data, len, errors, arg);
        data += n;
        len -= n;
        if (a->have < FCGI_RECORD_HEADER || a->content || a->padding)
            continue;
        a->ended = type_of(a) == FCGI_END_REQUEST;
        a->have = 0;
    }
}
