#include "config.h"

#include "top/number.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *unknown(char *out) {
    return strcpy(out, "-");
}

/* With one decimal below ten, and none from there on. */
static const char *put(char *out, double number, const char *unit) {
    uint64_t tenths = (uint64_t)(number * 10 + 0.5);
    if (tenths < 100 && tenths % 10)
        snprintf(out, NUMBER_SIZE, "%u.%u%s", (unsigned)(tenths / 10), (unsigned)(tenths % 10), unit);
    else
        snprintf(out, NUMBER_SIZE, "%llu%s", (unsigned long long)(number + 0.5), unit);
    return out;
}

static const char *put_two(char *out, uint64_t seconds, uint64_t large, const char *name, uint64_t small,
                           const char *small_name) {
    snprintf(out, NUMBER_SIZE, "%llu %s %llu %s", (unsigned long long)(seconds / large), name,
             (unsigned long long)(seconds % large / small), small_name);
    return out;
}

const char *number_seconds(char out[static NUMBER_SIZE], double seconds) {
    if (!(seconds >= 0 && seconds < 1e12))
        return unknown(out);
    if (seconds < 0.00095)
        return put(out, seconds * 1e6, " us");
    if (seconds < 0.9995)
        return put(out, seconds * 1e3, " ms");
    if (seconds < 59.95)
        return put(out, seconds, " s");
    uint64_t whole = (uint64_t)(seconds + 0.5);
    if (whole < 3600)
        return put_two(out, whole, 60, "m", 1, "s");
    if (whole < 86400)
        return put_two(out, whole, 3600, "h", 60, "m");
    return put_two(out, whole, 86400, "d", 3600, "h");
}

const char *number_bytes(char out[static NUMBER_SIZE], double bytes) {
    static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB"};
    unsigned unit = 0;
    if (!(bytes >= 0 && bytes < 1e18))
        return unknown(out);
    for (; bytes >= 999.5 && unit + 1 < sizeof units / sizeof *units; unit++)
        bytes /= 1024;
    return put(out, bytes, units[unit]);
}

const char *number_plain(char out[static NUMBER_SIZE], double number) {
    if (!(number >= 0 && number < 1e15))
        return unknown(out);
    uint64_t hundredths = (uint64_t)(number * 100 + 0.5);
    if (hundredths && hundredths < 100) {
        snprintf(out, NUMBER_SIZE, "0.%02u", (unsigned)hundredths);
        return out;
    }
    return put(out, number, "");
}
