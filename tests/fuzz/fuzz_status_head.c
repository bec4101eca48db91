/* A head that comes in two pieces is read as one that comes whole, all of it is within what came, and what was refused
 * before its end stays refused. */
#include "config.h"

#include "proto/status_head.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct slice s, const char *text, size_t n) {
    if (s.n && (s.p < text || s.p + s.n > text + n) && !(s.n == 1 && *s.p == '/')) /* "/" may be a constant */
        abort();
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' || s.p[i] == '\n' || !s.p[i])
            abort();
    }
}

static void check_equal(struct slice a, struct slice b) {
    if (a.n != b.n || (a.n && memcmp(a.p, b.p, a.n) != 0))
        abort();
}

/* The first byte says where the other ones are cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    const char *text = (const char *)data + 1;
    size_t n = size - 1, cut = n * data[0] / 255, scanned = 0;
    struct status_head whole, again;
    enum status_head_result result = status_head_read(text, n, &scanned, &whole);
    scanned = 0;
    enum status_head_result early = status_head_read(text, cut, &scanned, &again);
    if (early == STATUS_HEAD_MORE && status_head_read(text, n, &scanned, &again) != result)
        abort();
    if (early != STATUS_HEAD_MORE && early != result)
        abort();
    if (result != STATUS_HEAD_OK)
        return 0;
    check_within(whole.path, text, n);
    check_within(whole.query, text, n);
    check_within(whole.accept, text, n);
    check_within(whole.host, text, n);
    if (status_host_is_of_here(whole.host) != status_host_is_of_here(again.host))
        abort();
    if (!whole.path.n || whole.path.p[0] != '/' || whole.head_only != again.head_only)
        abort();
    check_equal(whole.path, again.path);
    check_equal(whole.query, again.query);
    check_equal(whole.accept, again.accept);
    return 0;
}
