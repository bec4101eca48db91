/* A line of the log that is put together piece by piece, in memory of the caller's. What has no room is left out.
 *
 * Threads: any, each with its own line. errno is not preserved.
 */
#ifndef WSGI_FCGI_BASE_TEXT_LINE_H
#define WSGI_FCGI_BASE_TEXT_LINE_H

#include <stddef.h>

struct text_line {
    char *text; /* always terminated */
    size_t size, len;
};

/* An empty one. `size` is not 0. */
static inline struct text_line text_line_in(char *text, size_t size) {
    text[0] = '\0';
    return (struct text_line){.text = text, .size = size};
}

void text_line_add(struct text_line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
