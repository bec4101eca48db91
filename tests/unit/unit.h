/* What the unit tests share: a main for one suite, and memory that ends where nothing is mapped. */
#ifndef WSGI_FCGI_TESTS_UNIT_H
#define WSGI_FCGI_TESTS_UNIT_H

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

/* A ck_assert for inner loops: that one writes to a file each time it holds. */
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("not so: %s", #condition);                                                                    \
    } while (0)

/* Memory of at least `size` bytes whose end is followed by a page that must not be touched. */
struct guard {
    char *base;
    char *end;
};

static inline void guard_init(struct guard *g, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size = (size + page - 1) / page * page;
    g->base = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(g->base, MAP_FAILED);
    g->end = g->base + size;
    ck_assert_int_eq(mprotect(g->end, page, PROT_NONE), 0);
}

/* Copies `n` bytes so that they end right before the unmapped page. Valid until the next call. */
static inline char *guard_put(struct guard *g, const void *bytes, size_t n) {
    REQUIRE(n <= (size_t)(g->end - g->base));
    if (n)
        memcpy(g->end - n, bytes, n);
    return g->end - n;
}

static inline void guard_fini(struct guard *g) {
    munmap(g->base, (size_t)(g->end - g->base) + (size_t)sysconf(_SC_PAGESIZE));
}

static inline int unit_run(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
