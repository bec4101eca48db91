/* Whatever pairs are read are read again when they are written. */
#include "config.h"

#include "proto/params.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *pos = (const char *)data, *end = pos + size;
    struct params_pair pair, again;
    while (params_next(&pos, end, &pair) == PARAMS_PAIR) {
        size_t n = params_put(NULL, 0, pair.name, pair.value);
        char *copy = malloc(n);
        if (!copy || params_put(copy, n, pair.name, pair.value) != n)
            abort();
        const char *copied = copy;
        if (params_next(&copied, copy + n, &again) != PARAMS_PAIR || copied != copy + n ||
            again.name.n != pair.name.n || memcmp(again.name.p, pair.name.p, pair.name.n) ||
            again.value.n != pair.value.n || memcmp(again.value.p, pair.value.p, pair.value.n))
            abort();
        free(copy);
    }
    return 0;
}
