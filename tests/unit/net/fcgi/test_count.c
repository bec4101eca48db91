#include "config.h"

#include "net/fcgi/request.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "ipc/metrics.h"
#include "ipc/metrics_read.h"
#include "net/count.h"
#include "proto/fcgi_encode.h"
#include "unit/net/lane_rig.h"
#include "unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* What a lane counts: each counter by what it is for, and by nothing else. */

#define MS UINT64_C(1000000)

static struct metrics *m;
static struct metrics_slot *slot;
static struct metrics_sums sums, before;
static int fd;
static const char *status;
static bool breaks_off, sends;

static void run_cb(struct request *r, void *user) {
    (void)user;
    snprintf(r->status, sizeof r->status, "%s", status);
    if (sends)
        ck_assert(request_begin_answer(r));
    ck_assert_int_eq(request_put(r, "hello", 5), 0);
    r->broken_off = breaks_off;
}

static void setup(void) {
    m = metrics_new(&fd);
    ck_assert_ptr_nonnull(m);
    metrics_use(m, 5);
    slot = metrics_map_slot(fd, 5);
    ck_assert_ptr_nonnull(slot);
    const struct lane_config config = {.threads = 1,
                                       .queue_limit = 1,
                                       .max_connections = 10,
                                       .limit_requests = 4,
                                       .limit_params = 1000,
                                       .limit_param_count = 10,
                                       .body = {.memory = 4, .total = 100, .spool_dir = "/tmp"},
                                       .drop_abandoned = true,
                                       .script_name = "",
                                       .metrics = slot,
                                       .run = run_cb};
    rig_open(&config, &fcgi_protocol, 0);
    lane->accepts = true;
    status = "200 OK";
    breaks_off = sends = false;
    turn();
    metrics_sum(m, &before);
}

static void fini(void) {
    teardown();
    metrics_unmap_slot(slot);
    metrics_unmap(m);
    descriptors_close(fd);
}

static void put(uint8_t type, const void *content, size_t len) {
    uint8_t record[FCGI_RECORD_HEADER + 1000 + 8] = {0};
    size_t size = FCGI_RECORD_HEADER + len + fcgi_padding(len);
    fcgi_put_header(record, type, 1, len);
    if (len)
        memcpy(record + FCGI_RECORD_HEADER, content, len);
    ck_assert_int_eq(send(peer, record, size, MSG_NOSIGNAL), (ssize_t)size);
    turn();
}

static void begin(const char *params) {
    static const uint8_t content[8] = {0, FCGI_RESPONDER, FCGI_KEEP_CONN};
    put(FCGI_BEGIN_REQUEST, content, sizeof content);
    put(FCGI_PARAMS, params, strlen(params));
    put(FCGI_PARAMS, NULL, 0);
}

#define GET                                                                                                            \
    "\016\003REQUEST_METHODGET\013\017REQUEST_URI/a/b/c?q=secret\011\006PATH_INFO/a/b/c\014\010QUERY_STRINGq=secret"

/* A call that has waited for one millisecond and then takes two, of which one processor time. */
static void answer(void) {
    struct conn *conn = TAILQ_FIRST(&lane->conns);
    struct fcgi_request *q = TAILQ_FIRST(&fcgi_conn_of(conn)->requests);
    struct sched_job *job = &q->x.r.job;
    ck_assert(sched_cancel(lane->sched, job));
    job->queued_at = 1 * MS;
    job->begun_at = 2 * MS;
    job->ops->run(job, NULL);
    job->ended_at = 4 * MS;
    job->processor_time = 1 * MS;
    job->lock_waited = 0;
    job->ops->settle(job);
    turn();
}

static uint64_t grown(unsigned counter) {
    return sums.counters[counter] - before.counters[counter];
}

/* What has grown since: so many different counters. */
static unsigned read_counts(void) {
    unsigned n = 0;
    metrics_sum(m, &sums);
    for (unsigned i = 0; i < METRICS_COUNTERS; i++)
        n += grown(i) > 0;
    return n;
}

static uint64_t recorded(enum metrics_duration which) {
    return sums.durations[which].count - before.durations[which].count;
}

START_TEST(answered)
{
    begin(GET);
    put(FCGI_STDIN, NULL, 0);
    turn(); /* it is told before the loop waits again */
    ck_assert_uint_eq(read_counts(), 0);
    ck_assert_uint_eq(sums.gauges[METRICS_REQUESTS_ACTIVE], 1);
    ck_assert_uint_eq(sums.gauges[METRICS_REQUESTS_QUEUED], 1);
    ck_assert_uint_eq(sums.gauges[METRICS_CONNECTIONS], 1);
    answer();
    ck_assert_uint_eq(read_counts(), 3);
    ck_assert_uint_eq(grown(METRICS_REQUESTS + METRICS_FASTCGI * METRICS_CLASS_COUNT + 2), 1);
    ck_assert_uint_eq(grown(METRICS_ENDED + METRICS_END_ANSWERED), 1);
    ck_assert_uint_eq(grown(METRICS_SENT_BYTES), 5);
    ck_assert_uint_eq(sums.gauges[METRICS_REQUESTS_ACTIVE], 0);
    ck_assert_uint_eq(sums.gauges[METRICS_REQUESTS_QUEUED], 0);
    ck_assert_uint_eq(recorded(METRICS_REQUEST), 1);
    ck_assert_uint_eq(recorded(METRICS_FIRST_BYTE), 1);
    ck_assert_uint_eq(sums.durations[METRICS_QUEUE].sum, 1 * MS);
    ck_assert_uint_eq(sums.durations[METRICS_APPLICATION].sum, 2 * MS);
    ck_assert_uint_eq(sums.durations[METRICS_CPU].sum, 1 * MS);
    ck_assert_uint_eq(recorded(METRICS_LOCK_WAIT), 0);
}
END_TEST

START_TEST(classes)
{
    static const struct {
        const char *status;
        unsigned class;
    } cases[] = {{"404 Not Found", 4}, {"302 Found", 3}, {"500 Internal Server Error", 5}, {"999 Odd", 0}, {"", 0}};
    status = cases[_i].status;
    begin(GET);
    put(FCGI_STDIN, NULL, 0);
    answer();
    read_counts();
    ck_assert_uint_eq(grown(METRICS_REQUESTS + cases[_i].class), 1);
    ck_assert_uint_eq(recorded(METRICS_REQUEST), 1);
    ck_assert_uint_eq(recorded(METRICS_FIRST_BYTE), cases[_i].class > 0);
}
END_TEST

/* The first byte of an answer that is sent before its end. */
START_TEST(first_byte)
{
    sends = true;
    begin(GET);
    put(FCGI_STDIN, NULL, 0);
    uint64_t from = clock_ns();
    answer();
    read_counts();
    ck_assert_uint_eq(recorded(METRICS_FIRST_BYTE), 1);
    ck_assert_uint_le(sums.durations[METRICS_FIRST_BYTE].sum, clock_ns() - from + 60000 * MS);
}
END_TEST

START_TEST(refused)
{
    begin("\016\003CONTENT_LENGTH101");
    put(FCGI_STDIN, NULL, 0);
    turn();
    read_counts();
    ck_assert_uint_eq(grown(METRICS_REQUESTS + 4), 1);
    ck_assert_uint_eq(grown(METRICS_ENDED + METRICS_END_REFUSED), 1);
    ck_assert_uint_eq(grown(METRICS_REFUSED + METRICS_REFUSED_BODY_LARGE), 1);
    ck_assert_uint_eq(recorded(METRICS_APPLICATION), 0);
    ck_assert_uint_eq(recorded(METRICS_QUEUE), 0);
}
END_TEST

START_TEST(cut_off)
{
    breaks_off = true;
    begin(GET);
    put(FCGI_STDIN, NULL, 0);
    answer();
    read_counts();
    ck_assert_uint_eq(grown(METRICS_ENDED + METRICS_END_CUT), 1);
    ck_assert_uint_eq(grown(METRICS_ENDED + METRICS_END_ANSWERED), 0);
}
END_TEST

/* A body of which four bytes stay in memory: all others go to a file. */
START_TEST(bodies)
{
    begin("\016\001CONTENT_LENGTH9");
    put(FCGI_STDIN, "abc", 3);
    put(FCGI_STDIN, "defghi", 6);
    put(FCGI_STDIN, NULL, 0);
    answer();
    read_counts();
    ck_assert_uint_eq(grown(METRICS_RECEIVED_BYTES), 9);
    ck_assert_uint_eq(grown(METRICS_SPOOLED_BODIES), 1);
    ck_assert_uint_eq(grown(METRICS_SPOOLED_BYTES), 6);
    ck_assert_uint_eq(grown(METRICS_SPOOL_FAILURES), 0);
    before = sums;
    begin("\016\001CONTENT_LENGTH3");
    put(FCGI_STDIN, "abc", 3);
    put(FCGI_STDIN, NULL, 0);
    answer();
    read_counts();
    ck_assert_uint_eq(grown(METRICS_RECEIVED_BYTES), 3);
    ck_assert_uint_eq(grown(METRICS_SPOOLED_BODIES), 0);
}
END_TEST

/* With no file to keep it in. */
START_TEST(no_spool)
{
    lane->config.body.spool_dir = "/proc/nothing";
    begin("\016\001CONTENT_LENGTH9");
    put(FCGI_STDIN, "abcdefghi", 9);
    put(FCGI_STDIN, NULL, 0);
    turn();
    read_counts();
    ck_assert_uint_eq(grown(METRICS_REFUSED + METRICS_REFUSED_NO_SPOOL), 1);
    ck_assert_uint_eq(grown(METRICS_SPOOL_FAILURES), 1);
    ck_assert_uint_eq(grown(METRICS_SPOOLED_BODIES), 0);
}
END_TEST

/* Requests that the server makes to itself before it accepts. */
START_TEST(warm_up)
{
    lane->accepts = false;
    begin(GET);
    put(FCGI_STDIN, NULL, 0);
    answer();
    ck_assert_uint_eq(read_counts(), 0);
    ck_assert_uint_eq(recorded(METRICS_REQUEST), 0);
}
END_TEST

/* The path has no query, and no more segments than those by which requests are told apart. */
START_TEST(path)
{
    static struct metrics_path_table table;
    const struct metrics_path_sum *top[1];
    for (int i = 0; i < 3; i++) {
        begin(GET);
        put(FCGI_STDIN, NULL, 0);
        answer();
    }
    metrics_read_paths(m, clock_ns(), &table);
    ck_assert_uint_eq(metrics_top_paths(&table, METRICS_BY_COUNT, top, 1), 1);
    ck_assert_str_eq(top[0]->text, "GET /a/b");
    ck_assert_uint_eq(top[0]->count, 3);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("count");
    TCase *tc = tcase_create("count");
    signal(SIGPIPE, SIG_IGN);
    tcase_add_checked_fixture(tc, setup, fini);
    tcase_add_test(tc, answered);
    tcase_add_loop_test(tc, classes, 0, 5);
    tcase_add_test(tc, first_byte);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, cut_off);
    tcase_add_test(tc, bodies);
    tcase_add_test(tc, no_spool);
    tcase_add_test(tc, warm_up);
    tcase_add_test(tc, path);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
