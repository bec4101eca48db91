#include "config.h"

#include "net/deadline.h"

#include "base/clock.h"
#include "net/fcgi/request.h"
#include "net/request_log.h"
#include "proto/fcgi_encode.h"
#include "unit/net/lane_rig.h"
#include "unit/unit.h"

#include <errno.h>
#include <fastcgi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Which calls are overdue, when, and what becomes of them: without threads, and with a clock that the tests set. */

enum { CALLS = 4 };
static const uint64_t SECOND = 1000000000;

static struct fcgi_conn *c;
static struct fcgi_request *requests[CALLS]; /* with the ids 1, 2... */
static uint64_t passed;                      /* nanoseconds that the clock is ahead */
static bool no_memory;
static struct sched_job *looping;
static unsigned running; /* a bit for each request that a thread runs */
static unsigned nlost;   /* that the scheduler was told of */
static struct {
    unsigned count, lost_told, lost;
    char line[1000];
} told;

/* What stands before that of the server and of libc (local.mk: --wrap). */
int __real_clock_gettime(clockid_t which, struct timespec *now);
int __wrap_clock_gettime(clockid_t which, struct timespec *now);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
struct sched_job *__wrap_sched_looping(const struct sched *s);
struct sched_thread *__wrap_sched_thread_of(const struct sched *s, const struct sched_job *job);
bool __wrap_sched_thread_time(const struct sched_thread *thread, uint64_t *ns);
void __wrap_sched_lose(struct sched *s, struct sched_job *job);
unsigned __wrap_sched_lost(const struct sched *s);

int __wrap_clock_gettime(clockid_t which, struct timespec *now) {
    int failed = __real_clock_gettime(which, now);
    uint64_t ns = (uint64_t)now->tv_nsec + passed;
    now->tv_sec += (time_t)(ns / SECOND);
    now->tv_nsec = (long)(ns % SECOND);
    return failed;
}

void *__wrap_malloc(size_t size) {
    return no_memory && size == sizeof(struct fcgi_request) ? NULL : __real_malloc(size);
}

struct sched_job *__wrap_sched_looping(const struct sched *s) {
    (void)s;
    return looping;
}

struct sched_thread *__wrap_sched_thread_of(const struct sched *s, const struct sched_job *job) {
    (void)s;
    for (unsigned i = 0; i < CALLS; i++) {
        if (running & 1U << i && job == &requests[i]->x.r.job)
            return (struct sched_thread *)(void *)&requests[i];
    }
    return NULL;
}

bool __wrap_sched_thread_time(const struct sched_thread *thread, uint64_t *ns) {
    (void)thread;
    (void)ns;
    return false;
}

void __wrap_sched_lose(struct sched *s, struct sched_job *job) {
    (void)s;
    (void)job;
    nlost++;
}

unsigned __wrap_sched_lost(const struct sched *s) {
    (void)s;
    return nlost;
}

static void run_cb(struct request *r, void *user) {
    (void)user;
    snprintf(r->status, sizeof r->status, "200 OK");
    ck_assert_int_eq(request_put(r, "LATE", 4), 0);
}

static void overdue_cb(struct request *r, struct sched_thread *thread, const char *line, void *arg) {
    ck_assert(atomic_load(&r->overdue));
    ck_assert_ptr_nonnull(thread);
    ck_assert_ptr_eq(arg, &told);
    told.count++;
    snprintf(told.line, sizeof told.line, "%s", line);
}

static void lost_cb(unsigned count, void *arg) {
    ck_assert_ptr_eq(arg, &told);
    told.lost_told++;
    told.lost = count;
}

static void setup(void) {
    const struct lane_config config = {.threads = CALLS,
                                       .queue_limit = CALLS,
                                       .request_timeout = 10,
                                       .max_connections = 10,
                                       .limit_requests = 2 * CALLS,
                                       .limit_params = 1000,
                                       .limit_param_count = 10,
                                       .body = {.memory = 1000, .total = 100},
                                       .script_name = "",
                                       .run = run_cb,
                                       .overdue = overdue_cb,
                                       .lost = lost_cb,
                                       .overdue_arg = &told};
    passed = 0;
    no_memory = false;
    looping = NULL;
    running = nlost = 0;
    memset(&told, 0, sizeof told);
    c = fcgi_conn_of(rig_open(&config, &fcgi_protocol, 0));
    lane_start_accepting(lane);
    for (unsigned i = 0; i < CALLS; i++)
        requests[i] = NULL;
}

/* A libev that is loaded at run time has another clock: then it is told what is due. */
static void pass(uint64_t ns) {
    ev_timer *timer = &lane->deadlines.timer;
    passed += ns;
    turn(); /* in which the loop learns the time... */
    turn(); /* ...and what is due by then */
    if (!ev_is_active(timer) || lane->deadlines.timer_due > clock_ns())
        return;
    ev_timer_stop(lane->loop, timer);
    ev_cb(timer)(lane->loop, timer, EV_TIMER);
    turn();
}

/* The peer. */

static void put(uint8_t type, unsigned id, const void *content, size_t len) {
    uint8_t record[FCGI_RECORD_HEADER + 100] = {0};
    size_t size = FCGI_RECORD_HEADER + len + fcgi_padding(len);
    fcgi_put_header(record, type, (uint16_t)id, len);
    if (len)
        memcpy(record + FCGI_RECORD_HEADER, content, len);
    ck_assert_int_eq(send(peer, record, size, MSG_NOSIGNAL), (ssize_t)size);
    turn();
}

static void put_begin(unsigned i) {
    static const uint8_t content[8] = {0, FCGI_RESPONDER, FCGI_KEEP_CONN};
    put(FCGI_BEGIN_REQUEST, i + 1, content, sizeof content);
}

/* A thread takes the request that has come last. */
static struct sched_job *take(unsigned i) {
    requests[i] = TAILQ_LAST(&c->requests, fcgi_requests);
    struct sched_job *job = &requests[i]->x.r.job;
    ck_assert(sched_cancel(lane->sched, job));
    job->begun_at = clock_ns();
    running |= 1U << i;
    return job;
}

/* A request that a thread is about to run. */
static struct sched_job *call(unsigned i) {
    static const char uri[] = "\013\003REQUEST_URI/me";
    put_begin(i);
    put(FCGI_PARAMS, i + 1, uri, sizeof uri - 1);
    put(FCGI_PARAMS, i + 1, NULL, 0);
    put(FCGI_STDIN, i + 1, NULL, 0);
    return take(i);
}

static void runs(unsigned i) {
    struct sched_job *job = call(i);
    job->ops->detached(job);
    job->ops->run(job, NULL);
}

/* The call has ended. */
static void ends(unsigned i, bool detached) {
    struct sched_job *job = &requests[i]->x.r.job;
    running &= ~(1U << i);
    if (detached) {
        nlost -= requests[i]->x.lost;
        job->ops->rejoined(job);
    }
    job->ops->settle(job);
}

/* The next answer that the peer gets, in one piece; returns its id, or 0 if there is none. */
static unsigned answer(const char *expected) {
    char bytes[1000];
    ssize_t n = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT | MSG_PEEK);
    if (n <= 0)
        return 0;
    unsigned id = (unsigned char)bytes[2] << 8 | (unsigned char)bytes[3];
    /* One answer: up to END_REQUEST. */
    size_t len = 0;
    for (bool last = false; !last; len += FCGI_RECORD_HEADER +
                                          (size_t)((unsigned char)bytes[len + 4] << 8 | (unsigned char)bytes[len + 5]) +
                                          (unsigned char)bytes[len + 6])
        last = bytes[len + 1] == FCGI_END_REQUEST;
    ck_assert_int_eq(recv(peer, bytes, len, 0), (ssize_t)len);
    ck_assert_ptr_nonnull(memmem(bytes, len, expected, strlen(expected)));
    return id;
}

static void expect_silence(void) {
    char byte;
    ck_assert_int_lt(recv(peer, &byte, 1, MSG_DONTWAIT), 0);
    ck_assert_int_eq(errno, EAGAIN);
}

/* It is answered, once; and what the call says at its end nobody hears. */
START_TEST(answered)
{
    runs(0);
    pass(9 * SECOND);
    expect_silence();
    ck_assert_uint_eq(told.count, 0);
    pass(2 * SECOND);
    ck_assert_uint_eq(answer("504 Gateway Timeout"), 1);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_ptr_nonnull(strstr(told.line, "request 1: 504 Gateway Timeout"));
    ck_assert_ptr_nonnull(strstr(told.line, "in time (--request-timeout)"));
    ck_assert_ptr_nonnull(strstr(told.line, "GET /me"));
    ck_assert_uint_eq(nlost, 1);
    ck_assert_uint_eq(told.lost, 1);
    ck_assert_uint_eq(atomic_load(&lane->nrequests), 0);
    ck_assert_uint_eq(lane_ended(lane), 1);
    ck_assert_uint_eq(atomic_load(&lane->deadlines.nlate), 1);
    ck_assert(TAILQ_EMPTY(&c->requests) && c->conn.refs == 2);
    pass(100 * SECOND);
    ends(0, true);
    expect_silence();
    ck_assert_uint_eq(told.count, 1);
    ck_assert_uint_eq(told.lost_told, 2);
    ck_assert_uint_eq(told.lost, 0);
    ck_assert_uint_eq(lane_ended(lane), 1);
    ck_assert_uint_eq(atomic_load(&lane->deadlines.nlate), 0);
    ck_assert_uint_eq(c->conn.refs, 1);
}
END_TEST

/* The memory of a late request is used by the next one, which knows nothing of that. */
START_TEST(nothing_is_left_for_the_next)
{
    runs(0);
    struct fcgi_request *before = requests[0];
    pass(11 * SECOND);
    ck_assert_uint_eq(answer("504"), 1);
    ends(0, true);
    runs(0);
    ck_assert_ptr_eq(requests[0], before);
    ck_assert(!atomic_load(&before->x.r.overdue) && !before->x.late && !before->x.lost);
    ends(0, true);
    ck_assert_uint_eq(answer("200 OK"), 1);
}
END_TEST

START_TEST(in_time)
{
    runs(0);
    pass(9 * SECOND);
    ends(0, true);
    pass(9 * SECOND);
    ck_assert_uint_eq(answer("LATE"), 1);
    ck_assert_uint_eq(told.count + nlost + told.lost_told, 0);
}
END_TEST

/* Each at its own time, and the others do not notice. */
START_TEST(one_by_one)
{
    runs(0);
    pass(4 * SECOND);
    runs(1);
    pass(4 * SECOND);
    runs(2);
    pass(3 * SECOND);
    ck_assert_uint_eq(answer("504"), 1);
    expect_silence();
    ends(2, true);
    ck_assert_uint_eq(answer("LATE"), 3);
    pass(4 * SECOND);
    ck_assert_uint_eq(answer("504"), 2);
    pass(4 * SECOND);
    expect_silence();
    ends(0, true);
    ends(1, true);
    expect_silence();
}
END_TEST

/* More time, which nobody hears of before the old time is over. */
START_TEST(later)
{
    runs(0);
    runs(1);
    atomic_fetch_add(&requests[0]->x.r.deadline, 10 * SECOND);
    pass(11 * SECOND);
    ck_assert_uint_eq(answer("504"), 2);
    expect_silence();
    pass(10 * SECOND);
    ck_assert_uint_eq(answer("504"), 1);
    ends(0, true);
    ends(1, true);
}
END_TEST

/* Less time; or none for one whose time was limited, and a time for one that had any. */
START_TEST(sooner)
{
    runs(0);
    runs(1);
    atomic_store(&requests[1]->x.r.deadline, clock_ns() + SECOND);
    requests[1]->x.r.answer_ops->deadline_set(&requests[1]->x.r);
    requests[1]->x.r.answer_ops->deadline_set(&requests[1]->x.r);
    turn();
    pass(2 * SECOND);
    ck_assert_uint_eq(answer("504"), 2);
    ck_assert_ptr_nonnull(strstr(told.line, "in time (wsgi_fcgi.set_timeout)"));
    atomic_store(&requests[0]->x.r.deadline, 0);
    requests[0]->x.r.answer_ops->deadline_set(&requests[0]->x.r);
    turn();
    pass(1000 * SECOND);
    expect_silence();
    atomic_store(&requests[0]->x.r.deadline, 1);
    requests[0]->x.r.answer_ops->deadline_set(&requests[0]->x.r);
    turn();
    ck_assert_uint_eq(answer("504"), 1);
    ends(0, true);
    ends(1, true);
}
END_TEST

/* Its thread has yet to wake, which it does with the deadline. */
START_TEST(not_begun)
{
    struct sched_job *job = call(0);
    job->ops->detached(job);
    pass(11 * SECOND);
    expect_silence();
    ck_assert_uint_eq(told.count, 0);
    job->ops->run(job, NULL);
    pass(SECOND);
    ck_assert_uint_eq(answer("504"), 1);
    ends(0, true);
}
END_TEST

/* The thread is through with it, and the owner learns of that next. */
START_TEST(has_just_ended)
{
    runs(0);
    running = 0;
    pass(11 * SECOND);
    expect_silence();
    ends(0, true);
    ck_assert_uint_eq(answer("LATE"), 1);
    ck_assert_uint_eq(told.count + nlost, 0);
}
END_TEST

/* It runs the loop itself: it is timed while it does, and lost only if it goes on without. */
START_TEST(runs_the_loop)
{
    looping = call(0);
    looping->ops->run(looping, NULL);
    turn();
    pass(11 * SECOND);
    ck_assert_uint_eq(answer("504"), 1);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_uint_eq(nlost, 0);
    struct sched_job *job = looping;
    looping = NULL;
    if (_i) {
        job->ops->detached(job);
        ck_assert_uint_eq(nlost, 1);
        ck_assert_uint_eq(told.lost, 1);
    }
    pass(11 * SECOND);
    ends(0, _i);
    ck_assert_uint_eq(told.lost_told, _i ? 2 : 0);
    ck_assert_uint_eq(told.count, 1);
    expect_silence();
}
END_TEST

/* It has run the loop for a while, and ends in time. */
START_TEST(ran_the_loop)
{
    looping = call(0);
    looping->ops->run(looping, NULL);
    turn();
    ck_assert(requests[0]->x.timed);
    looping = NULL;
    ends(0, false);
    ck_assert(TAILQ_EMPTY(&lane->deadlines.timed));
    ck_assert_uint_eq(answer("LATE"), 1);
    pass(11 * SECOND);
}
END_TEST

START_TEST(of_a_warm_up)
{
    atomic_store(&lane->deadlines.allowed, 0);
    runs(0);
    ck_assert_uint_eq(requests[0]->x.r.deadline, 0);
    lane_start_accepting(lane);
    pass(1000 * SECOND);
    expect_silence();
    ends(0, true);
    ck_assert_uint_eq(answer("LATE"), 1);
}
END_TEST

/* Nothing can stand in for it: its connection ends, and the call with it. */
START_TEST(no_memory_is_there)
{
    runs(0);
    no_memory = true;
    pass(11 * SECOND);
    no_memory = false;
    ck_assert_int_eq(c->conn.state, CONN_CLOSED);
    ck_assert_uint_eq(told.count, 1);
    ck_assert_ptr_nonnull(strstr(told.line, "nobody waits for it"));
    ck_assert(request_is_gone(&requests[0]->x.r));
    ck_assert_uint_eq(told.lost, 1);
    ck_assert_uint_eq(lane_ended(lane), 0);
    ends(0, true);
    ck_assert_uint_eq(told.lost, 0);
    ck_assert_uint_eq(lane_ended(lane), 1);
}
END_TEST

/* The scheduler needs its thread while it leaves its wait. */
START_TEST(is_to_give_way)
{
    runs(0);
    runs(1);
    pass(11 * SECOND);
    struct sched_job *job = &requests[_i]->x.r.job;
    job->ops->gives_way(job);
    ck_assert_int_eq(c->conn.state, CONN_OPEN);
    ends(0, true);
    ends(1, true);
}
END_TEST

/* Its peer leaves, and the call goes on without a connection. */
START_TEST(outlives_its_connection)
{
    runs(0);
    pass(11 * SECOND);
    close(peer);
    peer = -1;
    turn();
    ck_assert_int_eq(c->conn.state, CONN_CLOSED);
    ck_assert_uint_eq(lane->nlive, 1);
    ends(0, true);
    ck_assert_uint_eq(lane->nlive, 0);
}
END_TEST

/* The rest of its body is read and dropped, before the end of the answer (as behind every answer that comes early). */
START_TEST(body_to_come)
{
    static const char parameters[] = "\016\001CONTENT_LENGTH3";
    lane->config.stream_body = true;
    put_begin(0);
    put(FCGI_PARAMS, 1, parameters, sizeof parameters - 1);
    put(FCGI_PARAMS, 1, NULL, 0);
    struct sched_job *job = take(0);
    job->ops->detached(job);
    job->ops->run(job, NULL);
    pass(11 * SECOND);
    struct fcgi_request *instead = TAILQ_FIRST(&c->requests);
    ck_assert_ptr_nonnull(instead);
    ck_assert_int_eq(instead->state, FCGI_STDIN_STATE);
    put(FCGI_STDIN, 1, "abc", 3);
    ck_assert_uint_eq(instead->x.dropped, 3);
    put(FCGI_STDIN, 1, NULL, 0);
    ck_assert(TAILQ_EMPTY(&c->requests));
    ck_assert_uint_eq(answer("504"), 1);
    char byte;
    ck_assert_int_lt(request_read(&requests[0]->x.r, &byte, 1), 0);
    ck_assert_int_eq(errno, ECONNRESET);
    ends(0, true);
}
END_TEST

/* They count as what has run for longest. */
START_TEST(is_named)
{
    runs(0);
    ck_assert(request_log_oldest(lane, "what runs"));
    pass(11 * SECOND);
    ck_assert(request_log_oldest(lane, "what runs"));
    ends(0, true);
    ck_assert(!request_log_oldest(lane, "what runs"));
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("deadline");
    TCase *tc = tcase_create("deadline");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, answered);
    tcase_add_test(tc, nothing_is_left_for_the_next);
    tcase_add_test(tc, in_time);
    tcase_add_test(tc, one_by_one);
    tcase_add_test(tc, later);
    tcase_add_test(tc, sooner);
    tcase_add_test(tc, not_begun);
    tcase_add_test(tc, has_just_ended);
    tcase_add_loop_test(tc, runs_the_loop, 0, 2);
    tcase_add_test(tc, ran_the_loop);
    tcase_add_test(tc, of_a_warm_up);
    tcase_add_test(tc, no_memory_is_there);
    tcase_add_loop_test(tc, is_to_give_way, 0, 2);
    tcase_add_test(tc, outlives_its_connection);
    tcase_add_test(tc, body_to_come);
    tcase_add_test(tc, is_named);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
