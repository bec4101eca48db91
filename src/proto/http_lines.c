#include "config.h"

#include "proto/http_lines.h"

#include <string.h>

enum http_lines_result http_lines_scan(struct http_lines *lines, const char *data, size_t len, size_t *used) {
    const char *pos = data, *end = data + len;
    *used = len;
    while (pos < end) {
        if (!lines->length && (*pos == ' ' || *pos == '\t'))
            return HTTP_LINES_FOLDED;
        if (!lines->length && *pos == ':')
            return HTTP_LINES_NAMELESS;
        const char *feed = memchr(pos, '\n', (size_t)(end - pos));
        if (!feed) {
            lines->length += (size_t)(end - pos);
            lines->last = end[-1];
            return HTTP_LINES_MORE;
        }
        size_t length = lines->length + (size_t)(feed - pos);
        if (!length || (feed > pos ? feed[-1] : lines->last) != '\r')
            return HTTP_LINES_BARE_LF;
        pos = feed + 1;
        lines->length = 0;
        lines->nlines++;
        if (length == 1) {
            *used = (size_t)(pos - data);
            return HTTP_LINES_END;
        }
    }
    return HTTP_LINES_MORE;
}

const char *http_lines_problem(enum http_lines_result result) {
    switch (result) {
    case HTTP_LINES_FOLDED:
        return "a line begins with white space";
    case HTTP_LINES_NAMELESS:
        return "a field without a name";
    default:
        return "a line ends in a bare LF";
    }
}
