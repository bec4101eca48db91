#include "config.h"

#include "base/text_line.h"

#include <stdarg.h>
#include <stdio.h>

void text_line_add(struct text_line *l, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->len, l->size - l->len, format, args);
    va_end(args);
    l->len += n > 0 ? (size_t)n : 0;
    if (l->len >= l->size)
        l->len = l->size - 1;
}
