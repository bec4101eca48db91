#include "config.h"

#include "proto/http_encode.h"

#include "base/ascii.h"

#include <string.h>

size_t http_put_chunk_head(char *out, size_t len) {
    unsigned digits = 1;
    while (digits < 16 && len >> (4 * digits))
        digits++;
    for (unsigned i = 0; i < digits; i++)
        out[i] = "0123456789abcdef"[len >> (4 * (digits - 1 - i)) & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}

static char *put_number(char *out, int number, int digits) {
    for (int i = digits; i--; number /= 10)
        out[i] = (char)('0' + number % 10);
    return out + digits;
}

static char *put_text(char *out, const char *text, size_t len) {
    memcpy(out, text, len);
    return out + len;
}

/* Not with strftime: its names of days and months depend on the locale. */
void http_put_date(char *out, time_t seconds) {
    static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = {0};
    gmtime_r(&seconds, &tm);
    out = put_text(out, days + 3 * tm.tm_wday, 3);
    out = put_text(out, ", ", 2);
    out = put_number(out, tm.tm_mday, 2);
    *out++ = ' ';
    out = put_text(out, months + 3 * tm.tm_mon, 3);
    *out++ = ' ';
    out = put_number(out, tm.tm_year + 1900, 4);
    *out++ = ' ';
    out = put_number(out, tm.tm_hour, 2);
    *out++ = ':';
    out = put_number(out, tm.tm_min, 2);
    *out++ = ':';
    out = put_number(out, tm.tm_sec, 2);
    put_text(out, " GMT", 4);
}

static bool begins(const char *line, size_t len, const char *name, size_t n) {
    return len > n && ascii_equals_nocase(line, name, n);
}

void http_scan_fields(struct http_fields *fields, const char *lines, size_t len) {
    const char *pos = lines, *end = lines + len;
    *fields = (struct http_fields){0};
    while (pos < end) {
        const char *feed = memchr(pos, '\n', (size_t)(end - pos));
        size_t n = feed ? (size_t)(feed - pos) + 1 : (size_t)(end - pos);
        switch (*pos | 0x20) {
        case 'c':
            fields->has_length |= begins(pos, n, "content-length:", 15);
            break;
        case 'd':
            fields->has_date |= begins(pos, n, "date:", 5);
            break;
        case 's':
            fields->has_server |= begins(pos, n, "server:", 7);
            break;
        }
        pos += n;
    }
}
