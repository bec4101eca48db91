/* Lines of text for a terminal, of a width, with styles. Nothing that comes from others can do more than be shown:
 * characters that are not plain (base/utf8.h), or that the terminal cannot show, become question marks, and what is too
 * long is cut.
 *
 * Threads: one at a time for each page; the locale must be that of the terminal (LC_CTYPE). Errors stick: without
 * memory nothing more is added.
 */
#ifndef WSGI_FCGI_TOP_PAGE_H
#define WSGI_FCGI_TOP_PAGE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum page_style { PAGE_PLAIN, PAGE_HEADING, PAGE_DIM, PAGE_GOOD, PAGE_WARNING, PAGE_BAD, PAGE_STYLES };

/* In the text a style is one byte, PAGE_MARK + style, which nothing else in it can be. Lines end with \n. */
enum { PAGE_MARK = 1, PAGE_LEAST = 20, PAGE_WIDEST = 1000 };

struct page {
    struct buf text;
    unsigned width;  /* columns of a line */
    bool utf8;       /* the terminal shows it */
    unsigned column; /* of the line that is written */
    unsigned lines;  /* that have ended */
};

/* Empties it. `width`: from PAGE_LEAST to PAGE_WIDEST, or made so. */
void page_begin(struct page *p, unsigned width, bool utf8);
void page_fini(struct page *p);

void page_style(struct page *p, enum page_style style);

/* Text of the program, ASCII. */
void page_print(struct page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Text of others, as much as fits into the line. */
void page_put(struct page *p, const char *text);

/* The same in `columns` columns, which are filled up with blanks: behind it, or before it if `right`. */
void page_cell(struct page *p, const char *text, unsigned columns, bool right);

/* The end of a long path tells more than its beginning: the same for one. */
void page_put_end(struct page *p, const char *text, unsigned columns);

/* Blanks up to a column. */
void page_to(struct page *p, unsigned column);

/* A bar for each value, from 0 to `most`; negative: a blank. */
void page_bars(struct page *p, const double *values, unsigned count, double most);

void page_end_line(struct page *p);

#endif
