#include "config.h"

#include "ipc/metrics.h"
#include "ipc/metrics_read.h"

#include "base/clock.h"
#include "base/descriptors.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static struct metrics *m;
static int fd;
static struct metrics_sums sums;
static struct metrics_path_table table;

static void setup(void) {
    m = metrics_new(&fd);
    ck_assert_ptr_nonnull(m);
}

static void teardown(void) {
    metrics_unmap(m);
    descriptors_close(fd);
}

static struct metrics_slot *use(unsigned slot) {
    metrics_use(m, slot);
    return &m->slots[slot].slot;
}

/* A request as a lane counts it. */
static void count(struct metrics_slot *s, uint64_t now, unsigned class, uint64_t ns) {
    uint64_t until = 0;
    metrics_step(s, now, &until);
    metrics_add(s, METRICS_REQUESTS + class, 1);
    metrics_record(s, METRICS_REQUEST, ns);
}

static void count_path(struct metrics_slot *s, uint32_t key, uint64_t ns, const char *text) {
    struct metrics_path *p = metrics_count_path(s, key, ns);
    if (p)
        metrics_name_path(s, p, key, ns, text);
}

/* Memory. */

START_TEST(shared_by_processes)
{
    int status;
    ck_assert(descriptors_is_own(fd));
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    use(SCOREBOARD_SLOTS - 1);
    pid_t child = fork();
    if (!child) {
        struct metrics *mapped = metrics_map(fd, false);
        struct metrics_slot *own = metrics_map_slot(fd, SCOREBOARD_SLOTS - 1);
        if (!mapped || !own)
            _exit(1);
        metrics_add(own, METRICS_SPANS_LOST, 7);
        metrics_set(own, METRICS_CONNECTIONS, 3);
        bool seen = mapped->slots[SCOREBOARD_SLOTS - 1].slot.counters[METRICS_SPANS_LOST] == 7;
        metrics_unmap_slot(own);
        metrics_unmap(mapped);
        _exit(seen ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    metrics_sum(m, &sums);
    ck_assert_uint_eq(sums.counters[METRICS_SPANS_LOST], 7);
    ck_assert_uint_eq(sums.gauges[METRICS_CONNECTIONS], 3);
    ck_assert_uint_eq(metrics_gauge(m, SCOREBOARD_SLOTS - 1, METRICS_CONNECTIONS), 3);
}
END_TEST

/* A worker that writes where it should not spoils only its own slot. */
START_TEST(others_cannot_be_written)
{
    int status;
    pid_t child = fork();
    if (!child) {
        struct metrics *mapped = metrics_map(fd, false);
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would report it and exit */
        metrics_add(&mapped->slots[1].slot, METRICS_SPANS_LOST, 7);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}
END_TEST

START_TEST(size_is_sealed)
{
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, 1 << 28), -1);
}
END_TEST

START_TEST(foreign_memory_is_not_mapped)
{
    int other = memfd_create("other", MFD_CLOEXEC);
    ck_assert_ptr_null(metrics_map(other, false));
    ck_assert_int_eq(errno, EPROTO);
    ck_assert_int_eq(ftruncate(other, sizeof *m), 0); /* zeros */
    ck_assert_ptr_null(metrics_map(other, false));
    ck_assert_int_eq(errno, EPROTO);
    m->head.version++;
    ck_assert_ptr_null(metrics_map(fd, true));
    ck_assert_int_eq(errno, EPROTO);
    m->head.version--;
    struct metrics *mapped = metrics_map(fd, true);
    ck_assert_ptr_nonnull(mapped);
    metrics_unmap(mapped);
    close(other);
    ck_assert_ptr_null(metrics_map(-1, true));
    ck_assert_int_eq(errno, EBADF);
}
END_TEST

/* The program before this one had a counter less, and all sizes were the same: those behind it would be taken for
 * others. */
START_TEST(memory_with_other_counters_is_not_mapped)
{
    const uint32_t version = m->head.version, before[] = {1, version - (1 << 16)};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        m->head.version = before[i];
        ck_assert_ptr_null(metrics_map(fd, true));
        ck_assert_int_eq(errno, EPROTO);
    }
    m->head.version = version;
}
END_TEST

/* What nobody has used takes no memory, and what was folded gives it back. */
START_TEST(is_sparse)
{
    struct stat file;
    ck_assert_int_eq(fstat(fd, &file), 0);
    blkcnt_t few = 64 * 1024 / 512;
    ck_assert_int_le(file.st_blocks, few);
    memset(&m->slots[9].slot, 1, sizeof m->slots[9].slot);
    ck_assert_int_eq(fstat(fd, &file), 0);
    ck_assert_int_gt(file.st_blocks, few / 2);
    blkcnt_t most = file.st_blocks;
    metrics_use(m, 9);
    m->slots[9].slot.history.step = 0;
    metrics_fold(m, 9);
    ck_assert_int_eq(fstat(fd, &file), 0);
    ck_assert_int_lt(file.st_blocks, most + few);
    ck_assert_uint_eq(m->slots[9].slot.counters[0], 0);
}
END_TEST

/* Histograms. */

START_TEST(buckets_are_where_they_begin)
{
    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        uint64_t start = metrics_bucket_start(i), next = metrics_bucket_start(i + 1);
        REQUIRE(next > start);
        REQUIRE(metrics_bucket(start) == i);
        REQUIRE(metrics_bucket(next - 1) == i);
        REQUIRE(i < 2 * METRICS_SUB || (next - start) * METRICS_SUB <= start);
    }
    ck_assert_uint_eq(metrics_bucket(0), 0);
    ck_assert_uint_eq(metrics_bucket(UINT64_MAX), METRICS_BUCKETS - 1);
    ck_assert_uint_gt(metrics_bucket_start(METRICS_BUCKETS - 1), 30 * 60 * SECOND);
}
END_TEST

START_TEST(quantiles)
{
    struct metrics_slot *s = use(0);
    const struct metrics_distribution *d = &sums.durations[METRICS_REQUEST];
    metrics_sum(m, &sums);
    ck_assert_uint_eq(metrics_quantile(d, 0.5), 0);
    for (unsigned i = 1; i <= 1000; i++)
        metrics_record(s, METRICS_REQUEST, i * MS);
    metrics_sum(m, &sums);
    ck_assert_uint_eq(d->count, 1000);
    ck_assert_uint_eq(d->sum, 500500 * MS);
    for (unsigned i = 1; i <= 10; i++) {
        uint64_t is = i * 100 * MS, told = metrics_quantile(d, i / 10.0);
        ck_assert_uint_le(told, is + is / 8);
        ck_assert_uint_ge(told, is - is / 8);
    }
    ck_assert_uint_eq(metrics_up_to(d, UINT64_MAX), 1000);
    ck_assert_uint_eq(metrics_up_to(d, 0), 0);
    uint64_t up_to = metrics_up_to(d, metrics_bucket_start(160));
    ck_assert_uint_eq(up_to, (metrics_bucket_start(160) - 1) / MS);
    ck_assert_uint_eq(sums.durations[METRICS_QUEUE].count, 0);
}
END_TEST

/* Sums and the past. */

START_TEST(sums_never_go_back)
{
    count(use(0), clock_ns(), 2, MS);
    count(use(3), clock_ns(), 5, 2 * MS);
    metrics_set(use(3), METRICS_REQUESTS_ACTIVE, 4);
    metrics_fold(m, 3);
    metrics_sum(m, &sums);
    ck_assert_uint_eq(sums.counters[METRICS_REQUESTS + 2], 1);
    ck_assert_uint_eq(sums.counters[METRICS_REQUESTS + 5], 1);
    ck_assert_uint_eq(sums.durations[METRICS_REQUEST].count, 2);
    ck_assert_uint_eq(sums.durations[METRICS_REQUEST].sum, 3 * MS);
    ck_assert_uint_eq(sums.gauges[METRICS_REQUESTS_ACTIVE], 0); /* it has ended */
    ck_assert_uint_eq(m->slots[3].slot.counters[METRICS_REQUESTS + 5], 0);
    count(use(3), clock_ns(), 5, MS);
    metrics_fold(m, 3);
    metrics_fold(m, 3); /* adds nothing more */
    metrics_sum(m, &sums);
    ck_assert_uint_eq(sums.counters[METRICS_REQUESTS + 5], 2);
}
END_TEST

/* A supervisor that goes no further in the midst of a fold keeps nobody waiting, and hides nothing. */
START_TEST(broken_fold)
{
    count(use(0), clock_ns(), 2, MS);
    count(use(1), clock_ns(), 2, MS);
    metrics_fold(m, 0);
    unsigned past = metrics_state_past(m->state);
    memset(&m->pasts[!past], 0xa5, sizeof m->pasts[0]);
    metrics_sum(m, &sums);
    ck_assert_uint_eq(sums.counters[METRICS_REQUESTS + 2], 2);
    m->state = metrics_state_make(m->state, 1 + 1, past); /* not cleared yet */
    metrics_sum(m, &sums);
    ck_assert_uint_eq(sums.counters[METRICS_REQUESTS + 2], 1);
    metrics_fold(m, 0);
    metrics_sum(m, &sums);
    ck_assert_uint_eq(sums.counters[METRICS_REQUESTS + 2], 2);
}
END_TEST

/* While one process folds again and again, another one never sees less than before, nor more than there was. */
START_TEST(folded_while_it_is_read)
{
    enum { ROUNDS = 300 };
    count(use(0), clock_ns(), 2, MS);
    pid_t child = fork();
    if (!child) {
        for (unsigned i = 0; i < ROUNDS; i++) {
            metrics_fold(m, 0);
            count(&m->slots[0].slot, clock_ns(), 2, MS);
        }
        _exit(0);
    }
    uint64_t before = 0;
    int status;
    while (!waitpid(child, &status, WNOHANG)) {
        metrics_sum(m, &sums);
        uint64_t now = sums.counters[METRICS_REQUESTS + 2];
        REQUIRE(now >= before && now <= ROUNDS + 1);
        before = now;
    }
    metrics_sum(m, &sums);
    ck_assert_uint_eq(sums.counters[METRICS_REQUESTS + 2], ROUNDS + 1);
}
END_TEST

START_TEST(nonsense_is_survived)
{
    use(0);
    memset(&m->slots[0].slot, 0xa5, sizeof m->slots[0].slot);
    m->used = UINT32_MAX;
    struct metrics_moment moments[120];
    const struct metrics_path_sum *top[8];
    metrics_sum(m, &sums);
    metrics_read_history(m, clock_ns(), moments, 120);
    metrics_read_paths(m, clock_ns(), &table);
    metrics_top_paths(&table, METRICS_BY_MAX, top, 8);
    memset(m->supervisor.ends, 0xa5, sizeof m->supervisor.ends);
    m->supervisor.ends_told = UINT64_MAX;
    struct metrics_end_told ends[METRICS_ENDS];
    unsigned n = metrics_read_ends(m, ends, METRICS_ENDS);
    for (unsigned i = 0; i < n; i++) {
        ck_assert_int_eq(ends[i].reason, METRICS_REASON_OTHER);
        ck_assert_uint_lt(strlen(ends[i].text), METRICS_END_TEXT_SIZE);
    }
    metrics_fold(m, 0);
    metrics_read_history(m, clock_ns(), moments, 120);
    count(use(0), clock_ns(), 2, MS);
    metrics_read_history(m, clock_ns(), moments, 2);
    ck_assert_uint_eq(moments[0].requests + moments[1].requests, 1);
}
END_TEST

/* The history. */

START_TEST(history)
{
    struct metrics_moment moments[4];
    uint64_t now = 1000 * METRICS_STEP_NS + 1;
    struct metrics_slot *s = use(0), *other = use(1);
    for (unsigned i = 0; i < 100; i++)
        count(s, now, 2, MS);
    count(s, now + METRICS_STEP_NS, 5, SECOND);
    count(other, now, 2, MS);
    count(other, now + 3 * METRICS_STEP_NS, 2, MS);
    metrics_read_history(m, now + 3 * METRICS_STEP_NS, moments, 4);
    ck_assert_uint_eq(moments[0].step, 1000);
    ck_assert_uint_eq(moments[0].requests, 101);
    ck_assert_uint_eq(moments[0].errors, 0);
    ck_assert_uint_le(moments[0].p50, MS * 3 / 2);
    ck_assert_uint_ge(moments[0].p50, MS * 2 / 3);
    ck_assert_uint_eq(moments[1].requests, 1); /* it is the latest of its process */
    ck_assert_uint_eq(moments[1].errors, 1);
    ck_assert_uint_ge(moments[1].p99, SECOND * 2 / 3);
    ck_assert_uint_eq(moments[2].requests, 0);
    ck_assert_uint_eq(moments[2].p99, 0);
    ck_assert_uint_eq(moments[3].requests, 1);
    ck_assert_uint_eq(moments[3].errors, 0);
    /* Ten minutes later nothing is left of it, whatever stands in its place. */
    metrics_read_history(m, now + METRICS_STEPS * METRICS_STEP_NS, moments, 1);
    ck_assert_uint_eq(moments[0].requests, 0);
    count(s, now + METRICS_STEPS * METRICS_STEP_NS, 2, MS);
    metrics_read_history(m, now + METRICS_STEPS * METRICS_STEP_NS, moments, 1);
    ck_assert_uint_eq(moments[0].requests, 1);
    /* Before there was a history. */
    metrics_read_history(m, METRICS_STEP_NS, moments, 4);
    ck_assert_uint_eq(moments[0].step, 0);
}
END_TEST

START_TEST(history_of_the_past)
{
    struct metrics_moment moments[3];
    uint64_t now = clock_ns();
    if (now < 4 * METRICS_STEP_NS)
        return; /* the machine has only just been started */
    count(use(0), now - METRICS_STEP_NS, 2, MS);
    count(use(0), now, 5, MS);
    count(use(1), now, 2, MS);
    metrics_fold(m, 0);
    count(use(0), now, 2, MS);
    metrics_fold(m, 0);
    metrics_read_history(m, now, moments, 3);
    ck_assert_uint_eq(moments[0].requests, 0);
    ck_assert_uint_eq(moments[1].requests, 1);
    ck_assert_uint_eq(moments[2].requests, 3);
    ck_assert_uint_eq(moments[2].errors, 1);
}
END_TEST

/* Paths. */

static const struct metrics_path_sum *top[8];

static unsigned read_top(enum metrics_path_order order, uint64_t now) {
    metrics_read_paths(m, now, &table);
    return metrics_top_paths(&table, order, top, 8);
}

START_TEST(paths)
{
    uint64_t now = clock_ns(), until = 0;
    struct metrics_slot *s = use(0), *other = use(1);
    metrics_step(s, now, &until);
    until = 0;
    metrics_step(other, now, &until);
    for (unsigned i = 0; i < 10; i++)
        count_path(s, 1, MS, "GET /often");
    count_path(s, 2, SECOND, "GET /slow");
    count_path(other, 3, 3 * MS, "GET /often");
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now), 2);
    ck_assert_str_eq(top[0]->text, "GET /often");
    ck_assert_uint_eq(top[0]->count, 11);
    ck_assert_uint_eq(top[0]->sum, 13 * MS);
    ck_assert_uint_eq(top[0]->max, 3 * MS);
    ck_assert_uint_eq(read_top(METRICS_BY_MAX, now), 2);
    ck_assert_str_eq(top[0]->text, "GET /slow");
    ck_assert_uint_eq(metrics_top_paths(&table, METRICS_BY_MAX, top, 1), 1);
    ck_assert_str_eq(top[0]->text, "GET /slow");
    metrics_fold(m, 0);
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now), 2);
    ck_assert_str_eq(top[0]->text, "GET /often");
    ck_assert_uint_eq(top[0]->count, 11);
}
END_TEST

/* However many paths a peer invents, those that come often remain, and so do the slow ones. */
START_TEST(invented_paths)
{
    uint64_t now = clock_ns(), until = 0;
    char text[40];
    struct metrics_slot *s = use(0);
    metrics_step(s, now, &until);
    count_path(s, 7, SECOND, "GET /slow");
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "GET /invented/%u", i);
        count_path(s, 1000 + i * 7919, MS, text);
        count_path(s, 1, MS, "GET /often");
    }
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now), 8);
    ck_assert_str_eq(top[0]->text, "GET /often");
    ck_assert_uint_ge(top[0]->count, 19000);
    read_top(METRICS_BY_MAX, now);
    ck_assert_str_eq(top[0]->text, "GET /slow");
    ck_assert_uint_eq(top[0]->max, SECOND);
}
END_TEST

START_TEST(paths_are_forgotten)
{
    const uint64_t epoch = METRICS_EPOCH_STEPS * METRICS_STEP_NS;
    uint64_t now = 100 * epoch, until = 0;
    struct metrics_slot *s = use(0);
    metrics_step(s, now, &until);
    count_path(s, 1, MS, "GET /a");
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now), 1);
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now + epoch), 1);
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now + 2 * epoch), 0);
    metrics_step(s, now + epoch, &until);
    count_path(s, 1, 2 * MS, "GET /a");
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now + epoch), 1);
    ck_assert_uint_eq(top[0]->count, 2);
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now + 2 * epoch), 1);
    ck_assert_uint_eq(top[0]->count, 1);
    metrics_step(s, now + 3 * epoch, &until);
    ck_assert_uint_eq(s->paths.frequent[1].named, 0);
    ck_assert_uint_eq(read_top(METRICS_BY_COUNT, now + 3 * epoch), 0);
}
END_TEST

/* What the supervisor counts. */

START_TEST(ends_of_workers)
{
    struct metrics_end_told ends[METRICS_ENDS];
    ck_assert_uint_eq(metrics_read_ends(m, ends, METRICS_ENDS), 0);
    for (unsigned i = 1; i <= METRICS_ENDS + 3; i++)
        metrics_worker_ended(m, i * SECOND, i, (int)(100 + i), METRICS_REASON_CRASH, "was killed by SIGSEGV");
    ck_assert_uint_eq(metrics_read_ends(m, ends, METRICS_ENDS), METRICS_ENDS);
    ck_assert_uint_eq(ends[0].at, (METRICS_ENDS + 3) * SECOND);
    ck_assert_uint_eq(ends[0].number, METRICS_ENDS + 3);
    ck_assert_int_eq(ends[METRICS_ENDS - 1].pid, 104);
    ck_assert_str_eq(ends[0].text, "was killed by SIGSEGV");
    ck_assert_str_eq(metrics_reason_names[ends[0].reason], "crash");
    ck_assert_uint_eq(m->supervisor.workers_ended[METRICS_REASON_CRASH], METRICS_ENDS + 3);
    ck_assert_uint_eq(metrics_read_ends(m, ends, 2), 2);
}
END_TEST

START_TEST(names)
{
    ck_assert_str_eq(metrics_refusal_names[METRICS_REFUSED_QUEUE_FULL], "queue_full");
    for (unsigned i = 0; i < METRICS_REASON_COUNT; i++)
        ck_assert_ptr_nonnull(metrics_reason_names[i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("metrics");
    TCase *tc = tcase_create("metrics");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, shared_by_processes);
    tcase_add_test(tc, others_cannot_be_written);
    tcase_add_test(tc, size_is_sealed);
    tcase_add_test(tc, foreign_memory_is_not_mapped);
    tcase_add_test(tc, memory_with_other_counters_is_not_mapped);
    tcase_add_test(tc, is_sparse);
    tcase_add_test(tc, buckets_are_where_they_begin);
    tcase_add_test(tc, quantiles);
    tcase_add_test(tc, sums_never_go_back);
    tcase_add_test(tc, broken_fold);
    tcase_add_test(tc, folded_while_it_is_read);
    tcase_add_test(tc, nonsense_is_survived);
    tcase_add_test(tc, history);
    tcase_add_test(tc, history_of_the_past);
    tcase_add_test(tc, paths);
    tcase_add_test(tc, invented_paths);
    tcase_add_test(tc, paths_are_forgotten);
    tcase_add_test(tc, ends_of_workers);
    tcase_add_test(tc, names);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
