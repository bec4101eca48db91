#include "config.h"

#include "net/http/request.h"

#include "unit/net/outcome_rig.h"
#include "unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Every request goes by the one end, however it came to it, and says there how that was, when, and with how many bytes. */

enum { LONG = 10000 /* bytes: a piece that is sent from where it is */ };

static const char get[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
static const char post[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n";

static struct http_conn *c;
static bool breaks_off; /* the application does */
static bool sends;      /* a long answer, of a length that it has announced, and not a short one, which is stored */

static void run_cb(struct request *r, void *user) {
    static const char length[] = "Content-Length: 10000\r\n", bytes[LONG];
    (void)user;
    snprintf(r->status, sizeof r->status, "200 OK");
    if (sends) {
        ck_assert_int_eq(buf_append(&r->head, length, sizeof length - 1), 0);
        (void)request_send(r, bytes, sizeof bytes);
    } else
        ck_assert_int_eq(request_put(r, "hello", 5), 0);
    r->broken_off = breaks_off;
}

static void setup(void) {
    const struct lane_config config = {.threads = 1,
                                       .queue_limit = 1,
                                       .max_connections = 10,
                                       .limit_requests = 1,
                                       .limit_params = 1000,
                                       .limit_param_count = 10,
                                       .idle_timeout = 10,
                                       .header_timeout = 30,
                                       .body = {.memory = 1000, .total = 100},
                                       .drop_abandoned = true,
                                       .script_name = "",
                                       .run = run_cb};
    c = http_conn_of(rig_open(&config, &http_protocol, 0));
    breaks_off = sends = false;
}

/* The peer. */

static void say(const char *text) {
    ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    turn();
}

/* A request with a body of three bytes, which waits for a thread. */
static struct http_request *whole(void) {
    say(post);
    say("abc");
    ck_assert_ptr_nonnull(c->q);
    ck_assert_int_eq(c->state, HTTP_JOB_STATE);
    return c->q;
}

START_TEST(answered)
{
    struct sched_job *job = call(&whole()->x);
    ck_assert_uint_eq(nended, 0);
    job->ops->settle(job);
    expect(REQUEST_ANSWERED, 3, 5);
}
END_TEST

/* Since it has waited for too long, is too long, or is none. */
START_TEST(refused)
{
    static const char *const texts[] = {"503 Service Unavailable\n", "413 Content Too Large\n", "400 Bad Request\n"};
    if (_i == 0) {
        struct sched_job *job = &whole()->x.r.job;
        ck_assert(sched_cancel(lane->sched, job));
        job->ops->expired(job);
    } else
        say(_i == 1 ? "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n" : "?");
    expect(REQUEST_REFUSED, _i ? 0 : 3, strlen(texts[_i]));
}
END_TEST

/* Its client has left while it came, or waited. */
START_TEST(dropped)
{
    if (_i)
        whole();
    else
        say(post);
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

START_TEST(cut)
{
    breaks_off = true;
    struct sched_job *job = call(&whole()->x);
    job->ops->settle(job);
    expect(REQUEST_CUT, 3, 5);
}
END_TEST

/* Its peer has left while it ran: nobody takes what is stored, nor sees that the answer is cut. */
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

/* The same of what is sent: as the server knows before, or by sending. Nothing is stored when the call ends. */
START_TEST(left_before_it_is_sent)
{
    struct http_request *q = whole();
    struct sched_job *job = &q->x.r.job;
    sends = true;
    ck_assert(sched_cancel(lane->sched, job));
    close(peer);
    peer = -1;
    if (_i)
        turn();
    job->ops->run(job, NULL);
    turn();
    job->ops->settle(job);
    ck_assert_uint_eq(nended, 1);
    ck_assert_int_eq(ended.end, REQUEST_ABORTED);
}
END_TEST

/* A client that has all of the answer need not wait for the end of the call. */
START_TEST(left_with_the_answer)
{
    sends = true;
    struct sched_job *job = call(&whole()->x);
    leave();
    ck_assert_uint_eq(nended, 0);
    job->ops->settle(job);
    expect(REQUEST_ANSWERED, 3, LONG);
}
END_TEST

/* Nor for that of its own body. */
START_TEST(left_behind_the_answer)
{
    lane->config.stream_body = true;
    say(post);
    struct sched_job *job = call(&c->q->x);
    job->ops->settle(job);
    ck_assert_int_eq(c->state, HTTP_DRAIN_STATE);
    leave();
    expect(REQUEST_ANSWERED, 0, 5);
}
END_TEST

/* What a request says is its own, and not that of the one whose memory it has. */
START_TEST(nothing_is_left_for_the_next)
{
    struct http_request *q = whole();
    struct sched_job *job = call(&q->x);
    job->begun_at = 1;
    job->ops->settle(job);
    nended = 0;
    say(get);
    ck_assert_ptr_eq(c->q, q);
    ck_assert_uint_eq(job->begun_at, 0);
    leave();
    expect(REQUEST_DROPPED, 0, 0);
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("http_outcome");
    TCase *tc = tcase_create("outcome");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, answered);
    tcase_add_loop_test(tc, refused, 0, 3);
    tcase_add_loop_test(tc, dropped, 0, 2);
    tcase_add_test(tc, turned_away_when_it_has_left);
    tcase_add_test(tc, cut);
    tcase_add_loop_test(tc, left_while_it_ran, 0, 2);
    tcase_add_loop_test(tc, left_before_it_is_sent, 0, 2);
    tcase_add_test(tc, left_with_the_answer);
    tcase_add_test(tc, left_behind_the_answer);
    tcase_add_test(tc, nothing_is_left_for_the_next);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
