#include "config.h"

#include "base/ascii.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *ascii_put_seconds(char out[static ASCII_SECONDS_SIZE], double seconds) {
    uint64_t ms = (uint64_t)(seconds * 1000 + 0.5);
    snprintf(out, ASCII_SECONDS_SIZE, "%" PRIu64 ".%03u", ms / 1000, (unsigned)(ms % 1000));
    size_t n = strlen(out);
    while (out[n - 1] == '0')
        n--;
    out[n - (out[n - 1] == '.')] = '\0';
    return out;
}
