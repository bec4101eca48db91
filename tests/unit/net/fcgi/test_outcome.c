#include "config.h"

#include "net/fcgi/request.h"

#include "proto/fcgi_encode.h"
#include "unit/net/outcome_rig.h"
#include "unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Every request goes by the one end, however it came to it, and says there how that was, when, and with how many bytes. */

static struct fcgi_conn *c;
static bool breaks_off; /* the application does */

static void run_cb(struct request *r, void *user) {
    (void)user;
    snprintf(r->status, sizeof r->status, "200 OK");
    ck_assert_int_eq(request_put(r, "hello", 5), 0);
    r->broken_off = breaks_off;
}

static void setup(void) {
    const struct lane_config config = {.threads = 1,
                                       .queue_limit = 1,
                                       .max_connections = 10,
                                       .limit_requests = 4,
                                       .limit_params = 1000,
                                       .limit_param_count = 10,
                                       .body = {.memory = 1000, .total = 100},
                                       .drop_abandoned = true,
                                       .script_name = "",
                                       .run = run_cb};
    c = fcgi_conn_of(rig_open(&config, &fcgi_protocol, 0));
    breaks_off = false;
}

/* The peer. */

static void put(uint8_t type, const void *content, size_t len) {
    uint8_t record[FCGI_RECORD_HEADER + 1000 + 8] = {0};
    size_t size = FCGI_RECORD_HEADER + len + fcgi_padding(len);
    fcgi_put_header(record, type, 1, len);
    if (len)
        memcpy(record + FCGI_RECORD_HEADER, content, len);
    ck_assert_int_eq(send(peer, record, size, MSG_NOSIGNAL), (ssize_t)size);
    turn();
}

static void begin(void) {
    static const uint8_t content[8] = {0, FCGI_RESPONDER, FCGI_KEEP_CONN};
    nended = 0;
    put(FCGI_BEGIN_REQUEST, content, sizeof content);
}

static void params(const char *text) {
    put(FCGI_PARAMS, text, strlen(text));
    put(FCGI_PARAMS, NULL, 0);
}

/* A request with a body of three bytes, which waits for a thread. */
static struct fcgi_request *whole(void) {
    begin();
    params("\016\001CONTENT_LENGTH3");
    put(FCGI_STDIN, "abc", 3);
    put(FCGI_STDIN, NULL, 0);
    struct fcgi_request *q = TAILQ_FIRST(&c->requests);
    ck_assert_ptr_nonnull(q);
    ck_assert_int_eq(q->state, FCGI_JOB_STATE);
    return q;
}

START_TEST(answered)
{
    struct sched_job *job = call(&whole()->x);
    ck_assert_uint_eq(nended, 0);
    job->ops->settle(job);
    expect(REQUEST_ANSWERED, 3, 5);
}
END_TEST

/* Before it is whole, or since it has waited for too long. */
START_TEST(refused)
{
    if (_i) {
        struct sched_job *job = &whole()->x.r.job;
        ck_assert(sched_cancel(lane->sched, job));
        job->ops->expired(job);
    } else {
        begin();
        params("\016\003CONTENT_LENGTH101");
        put(FCGI_STDIN, NULL, 0);
    }
    expect(REQUEST_REFUSED, _i ? 3 : 0, strlen(_i ? "503 Service Unavailable\n" : "413 Content Too Large\n"));
}
END_TEST

/* Its client has left while it came, or waited. */
START_TEST(dropped)
{
    if (_i)
        whole();
    else
        begin();
    leave();
    expect(REQUEST_DROPPED, _i ? 3 : 0, 0);
}
END_TEST

/* No thread was free for it in time, and its client had left; on this socket that is certain, so nobody is answered. */
START_TEST(turned_away_when_it_has_left)
{
    lane->config.drop_abandoned = false;
    struct sched_job *job = &whole()->x.r.job;
    leave();
    ck_assert_uint_eq(nended, 0);
    ck_assert(sched_cancel(lane->sched, job));
    job->ops->expired(job);
    expect(REQUEST_DROPPED, 3, 0);
    ck_assert_uint_eq(lane->overload.left, 1);
    ck_assert_uint_eq(lane->overload.refused, 0);
}
END_TEST

/* The same by ABORT_REQUEST: then the end of the request is all that is sent. */
START_TEST(turned_away_when_it_was_aborted)
{
    uint8_t record[100];
    lane->config.drop_abandoned = false;
    struct sched_job *job = &whole()->x.r.job;
    put(FCGI_ABORT_REQUEST, NULL, 0);
    ck_assert_uint_eq(nended, 0);
    ck_assert_int_lt(recv(peer, record, sizeof record, 0), 0);
    ck_assert(sched_cancel(lane->sched, job));
    job->ops->expired(job);
    expect(REQUEST_DROPPED, 3, 0);
    ck_assert_uint_eq(lane->overload.left, 1);
    ck_assert_int_eq(recv(peer, record, sizeof record, 0), FCGI_RECORD_HEADER + 8);
    ck_assert_uint_eq(record[1], FCGI_END_REQUEST);
}
END_TEST

START_TEST(cut)
{
    breaks_off = true;
    struct sched_job *job = call(&whole()->x);
    job->ops->settle(job);
    expect(REQUEST_CUT, 3, 5);
}
END_TEST

/* While it came, or ran. */
START_TEST(aborted)
{
    if (_i) {
        struct sched_job *job = call(&whole()->x);
        put(FCGI_ABORT_REQUEST, NULL, 0);
        ck_assert_uint_eq(nended, 0);
        job->ops->settle(job);
    } else {
        begin();
        put(FCGI_ABORT_REQUEST, NULL, 0);
    }
    expect(REQUEST_ABORTED, _i ? 3 : 0, _i ? 5 : 0);
}
END_TEST

/* By ABORT_REQUEST, while it waited, whole. */
START_TEST(dropped_as_it_was_aborted)
{
    whole();
    put(FCGI_ABORT_REQUEST, NULL, 0);
    expect(REQUEST_DROPPED, 3, 0);
}
END_TEST

/* Its peer has left while it ran: nobody takes its end, nor sees that the answer is cut. */
START_TEST(left_while_it_ran)
{
    breaks_off = _i;
    struct sched_job *job = call(&whole()->x);
    leave();
    ck_assert_uint_eq(nended, 0);
    job->ops->settle(job);
    expect(REQUEST_ABORTED, 3, 5);
}
END_TEST

/* All of the answer was sent before; the rest of the body was still to come. */
START_TEST(gone_behind_the_answer)
{
    lane->config.stream_body = true;
    begin();
    params("\016\001CONTENT_LENGTH3");
    struct fcgi_request *q = TAILQ_FIRST(&c->requests);
    struct sched_job *job = call(&q->x);
    job->ops->settle(job);
    ck_assert_int_eq(q->state, FCGI_STDIN_STATE);
    if (_i)
        put(FCGI_ABORT_REQUEST, NULL, 0);
    else
        leave();
    expect(REQUEST_ANSWERED, 0, 5);
}
END_TEST

/* What a request says is its own, and not that of the one whose memory it has. */
START_TEST(nothing_is_left_for_the_next)
{
    struct sched_job *job = call(&whole()->x);
    job->begun_at = 1;
    job->ops->settle(job);
    begin();
    const struct fcgi_request *q = TAILQ_FIRST(&c->requests);
    ck_assert_ptr_eq(&q->x.r.job, job);
    ck_assert_uint_eq(job->begun_at, 0);
    put(FCGI_ABORT_REQUEST, NULL, 0);
    ck_assert_uint_eq(nended, 1);
    ck_assert_int_eq(ended.end, REQUEST_ABORTED);
    ck_assert_uint_eq(ended.received, 0);
    ck_assert_uint_eq(ended.sent, 0);
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("fcgi_outcome");
    TCase *tc = tcase_create("outcome");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, answered);
    tcase_add_loop_test(tc, refused, 0, 2);
    tcase_add_loop_test(tc, dropped, 0, 2);
    tcase_add_test(tc, turned_away_when_it_has_left);
    tcase_add_test(tc, turned_away_when_it_was_aborted);
    tcase_add_test(tc, cut);
    tcase_add_loop_test(tc, aborted, 0, 2);
    tcase_add_test(tc, dropped_as_it_was_aborted);
    tcase_add_loop_test(tc, left_while_it_ran, 0, 2);
    tcase_add_loop_test(tc, gone_behind_the_answer, 0, 2);
    tcase_add_test(tc, nothing_is_left_for_the_next);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
