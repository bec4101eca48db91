#include "config.h"

#include "top/page.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <wchar.h>

enum { END_LOOKED_AT = 4096 }; /* bytes at the end of a long text */

void page_begin(struct page *p, unsigned width, bool utf8) {
    buf_reset(&p->text, SIZE_MAX);
    p->width = width < PAGE_LEAST ? PAGE_LEAST : width > PAGE_WIDEST ? PAGE_WIDEST : width;
    p->utf8 = utf8;
    p->column = p->lines = 0;
}

void page_fini(struct page *p) {
    buf_fini(&p->text);
}

void page_style(struct page *p, enum page_style style) {
    char mark = (char)(PAGE_MARK + style);
    (void)buf_append(&p->text, &mark, 1);
}

static void put(struct page *p, const char *bytes, size_t n, unsigned columns) {
    if (p->column + columns <= p->width && !buf_append(&p->text, bytes, n))
        p->column += columns;
}

/* The next character of a text, and how it is shown. */
struct shown {
    const char *bytes;
    size_t n; /* of `bytes` */
    size_t taken;
    unsigned columns;
};

static struct shown show(const struct page *p, const char *text, size_t len) {
    uint32_t code;
    size_t n = utf8_read(text, len, &code);
    int columns = n == 1 ? 1 : n && p->utf8 ? wcwidth((wchar_t)code) : -1;
    if (!n || !utf8_is_plain(code) || columns <= 0)
        return (struct shown){"?", 1, n ? n : 1, 1};
    return (struct shown){text, n, n, (unsigned)columns};
}

static unsigned columns_of(const struct page *p, const char *text, size_t len) {
    unsigned columns = 0;
    for (size_t at = 0; at < len && columns <= PAGE_WIDEST;) {
        struct shown s = show(p, text + at, len - at);
        columns += s.columns;
        at += s.taken;
    }
    return columns;
}

/* As much as fits. Something that is cut ends with a mark. */
static void put_most(struct page *p, const char *text, size_t len, unsigned most) {
    unsigned room = p->width - p->column, at_most = most < room ? most : room;
    bool cut = columns_of(p, text, len) > at_most;
    unsigned used = 0, end = cut && at_most ? at_most - 1 : at_most;
    for (size_t at = 0; at < len;) {
        struct shown s = show(p, text + at, len - at);
        if (used + s.columns > end)
            break;
        put(p, s.bytes, s.n, s.columns);
        used += s.columns;
        at += s.taken;
    }
    if (cut && at_most)
        put(p, p->utf8 ? "\u2026" : "~", p->utf8 ? 3 : 1, 1);
}

void page_print(struct page *p, const char *format, ...) {
    char text[PAGE_WIDEST + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    put_most(p, text, strlen(text), p->width);
}

void page_put(struct page *p, const char *text) {
    put_most(p, text, strlen(text), p->width);
}

void page_to(struct page *p, unsigned column) {
    while (p->column < column && p->column < p->width)
        put(p, " ", 1, 1);
}

void page_cell(struct page *p, const char *text, unsigned columns, bool right) {
    unsigned begin = p->column, needs = columns_of(p, text, strlen(text));
    if (right && needs < columns)
        page_to(p, begin + columns - needs);
    put_most(p, text, strlen(text), columns);
    page_to(p, begin + columns);
}

void page_put_end(struct page *p, const char *text, unsigned columns) {
    size_t len = strlen(text), skip = len > END_LOOKED_AT ? len - END_LOOKED_AT : 0;
    unsigned room = p->width - p->column;
    columns = columns < room ? columns : room;
    if (columns && (skip || columns_of(p, text, len) > columns)) {
        while (skip < len && columns_of(p, text + skip, len - skip) > columns - 1)
            skip += show(p, text + skip, len - skip).taken;
        put(p, p->utf8 ? "\u2026" : "~", p->utf8 ? 3 : 1, 1);
    }
    put_most(p, text + skip, len - skip, columns);
}

void page_bars(struct page *p, const double *values, unsigned count, double most) {
    static const char ascii[] = " _.-=+*#@";
    for (unsigned i = 0; i < count; i++) {
        double part = most > 0 && values[i] > 0 ? values[i] / most : 0;
        unsigned level = part > 0 ? 1 + (unsigned)(part < 1 ? part * 7.999 : 7) : 0;
        char block[] = "\u2581"; /* the lowest of eight, which have numbers in a row */
        block[2] = (char)(block[2] + (int)(level ? level - 1 : 0));
        if (values[i] < 0)
            put(p, " ", 1, 1);
        else if (p->utf8)
            put(p, block, 3, 1);
        else
            put(p, level ? &ascii[level] : "_", 1, 1);
    }
}

void page_end_line(struct page *p) {
    if (!buf_append(&p->text, "\n", 1))
        p->lines++;
    p->column = 0;
}
