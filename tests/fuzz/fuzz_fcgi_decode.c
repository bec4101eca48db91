/* The events do not depend on how the bytes are cut. The first byte is the size of the pieces. */
#include "config.h"

#include "proto/fcgi_decode.h"
#include "proto/fcgi_values.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t mix(uint64_t h, uint64_t n) {
    return (h ^ n) * 1099511628211u;
}

/* Returns a hash of the events; pieces of a stream count byte by byte. */
static uint64_t decode(const uint8_t *data, size_t size, size_t piece) {
    struct fcgi_decoder d = {0};
    struct fcgi_values values = {0};
    struct fcgi_event e;
    uint8_t answer[FCGI_VALUES_RESULT_MAX];
    uint64_t h = 0;
    for (size_t i = 0; i < size; i += piece) {
        const uint8_t *pos = data + i, *begin = pos, *end = size - i < piece ? data + size : pos + piece;
        while (fcgi_decode(&d, &pos, end, &e) != FCGI_EVENT_MORE) {
            if (pos > end || (e.len && (e.data < begin || e.data + e.len != pos)))
                abort();
            for (size_t k = 0; k < e.len; k++)
                h = mix(h, (uint64_t)e.type << 32 | (uint64_t)e.id << 8 | e.data[k]);
            if (e.type == FCGI_EVENT_VALUES)
                fcgi_values_feed(&values, e.data, e.len);
            else if (e.type == FCGI_EVENT_VALUES_END)
                h = mix(h, fcgi_values_result(&values, answer, 1, 10, true));
            if (!e.len)
                h = mix(h, (uint64_t)e.type << 40 | (uint64_t)e.id << 24 | (uint64_t)e.role << 8 | e.keep_conn);
            if (e.type == FCGI_EVENT_ERROR)
                return h;
        }
        if (pos != end)
            abort();
    }
    return mix(h, fcgi_decoder_idle(&d));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 1 && decode(data + 1, size - 1, size - 1) != decode(data + 1, size - 1, data[0] % 32 + 1u))
        abort();
    return 0;
}
