#include "config.h"

#include "status/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *words_span(char out[static WORDS_SIZE], uint64_t ns) {
    const uint64_t tenths = ns / 100000000, seconds = tenths / 10, minutes = seconds / 60, hours = minutes / 60;
    if (seconds < 60)
        snprintf(out, WORDS_SIZE, "%" PRIu64 ".%" PRIu64 " s", seconds, tenths % 10);
    else if (minutes < 60)
        snprintf(out, WORDS_SIZE, "%" PRIu64 " min %02" PRIu64 " s", minutes, seconds % 60);
    else if (hours < 48)
        snprintf(out, WORDS_SIZE, "%" PRIu64 " h %02" PRIu64 " min", hours, minutes % 60);
    else
        snprintf(out, WORDS_SIZE, "%" PRIu64 " d %" PRIu64 " h", hours / 24, hours % 24);
    return out;
}

const char *words_duration(char out[static WORDS_SIZE], uint64_t ns) {
    const uint64_t us = ns / 1000;
    if (us < 1000)
        snprintf(out, WORDS_SIZE, "%" PRIu64 " us", us);
    else if (us < 10000)
        snprintf(out, WORDS_SIZE, "%" PRIu64 ".%" PRIu64 " ms", us / 1000, us / 100 % 10);
    else if (us < 1000000)
        snprintf(out, WORDS_SIZE, "%" PRIu64 " ms", us / 1000);
    else
        snprintf(out, WORDS_SIZE, "%" PRIu64 ".%02" PRIu64 " s", us / 1000000, us / 10000 % 100);
    return out;
}

const char *words_moment(char out[static WORDS_SIZE], uint64_t unix_ns) {
    const unsigned seconds = (unsigned)(unix_ns / 1000000000u % 86400);
    snprintf(out, WORDS_SIZE, "%02u:%02u:%02u", seconds / 3600, seconds / 60 % 60, seconds % 60);
    return out;
}

const char *words_tenths(char out[static WORDS_SIZE], uint64_t tenths) {
    snprintf(out, WORDS_SIZE, "%" PRIu64 ".%" PRIu64, tenths / 10, tenths % 10);
    return out;
}

const char *words_age(char out[static WORDS_SIZE], uint64_t now, uint64_t then) {
    return then ? words_span(out, now > then ? now - then : 0) : strcpy(out, "-");
}
