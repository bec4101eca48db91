/* Whatever message is read is the same when it is written again, and no part of it is one. */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "proto/handover.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const uint8_t *data, size_t size, const struct handover_message *m) {
    uint8_t head[HANDOVER_HEAD_MAX];
    struct handover_message part;
    size_t n = handover_put(m, head);
    head[1] = data[1]; /* how often it was passed on */
    assert(n + m->leftover.n == size && !memcmp(data, head, n));
    assert(!m->leftover.n || m->leftover.p == (const char *)data + n);
    for (size_t cut = size; cut-- > 0;) {
        uint8_t *copy = malloc(cut ? cut : 1);
        assert(copy);
        memcpy(copy, data, cut);
        assert(handover_parse(copy, cut, &part) == HANDOVER_BAD);
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct handover_message m;
    enum handover_result result = handover_parse(data, size, &m);
    if (result == HANDOVER_OK)
        check_message(data, size, &m);
    else if (result == HANDOVER_OTHER_VERSION)
        assert(size >= 2 && data[0] != HANDOVER_VERSION);
    return 0;
}
