/* Whatever is read as a state is read again, the same, when it is written. */
#include "config.h"

#include "base/descriptors.h"
#include "supervisor/state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What state_write writes, in new memory of exactly that size. */
static char *written(const struct state *s, size_t *n) {
    struct stat st;
    int fd = state_write(s);
    if (fd < 0 || fstat(fd, &st))
        abort();
    *n = (size_t)st.st_size;
    char *bytes = malloc(*n);
    if (!bytes || pread(fd, bytes, *n, 0) != st.st_size)
        abort();
    descriptors_close(fd);
    return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct state s, again;
    char reason[STATE_REASON_SIZE];
    size_t n, m;
    if (!state_decode((const char *)data, size, &s, reason)) {
        char *first = written(&s, &n);
        if (state_decode(first, n, &again, reason))
            abort();
        char *second = written(&again, &m);
        if (n != m || memcmp(first, second, n))
            abort();
        free(first);
        free(second);
        state_fini(&again);
    }
    state_fini(&s);
    return 0;
}
