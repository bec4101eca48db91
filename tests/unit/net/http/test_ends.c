#include "config.h"

#include "net/http/request.h"

#include "unit/net/file_rig.h"
#include "unit/net/lane_rig.h"
#include "unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How requests end when memory or the disk is full, or the rest of a body does not come. Nothing runs by itself: the loop
 * and the application do when a test says so. */

enum { BODY = 1000, KEPT = 100 /* bytes of a body that stay in memory */, LARGE = 1 << 20 };

static struct http_conn *c;
static size_t answer; /* bytes that the application answers with */

static void run_cb(struct request *r, void *user) {
    static const char bytes[LARGE];
    (void)user;
    snprintf(r->status, sizeof r->status, "200 OK");
    ck_assert_int_eq(r->answer_ops->put(r, bytes, answer), 0);
}

static void setup(void) {
    const struct lane_config config = {.threads = 2,
                                       .queue_limit = 1,
                                       .max_connections = 10,
                                       .limit_requests = 1,
                                       .limit_params = 1000,
                                       .limit_param_count = 10,
                                       .idle_timeout = 10,
                                       .header_timeout = 30,
                                       .body = {.memory = KEPT, .total = LARGE, .spool_dir = "/tmp"},
                                       .stream_body = true,
                                       .script_name = "",
                                       .run = run_cb};
    struct conn *conn = rig_open(&config, &http_protocol, 0);
    c = (struct http_conn *)(void *)((char *)conn - offsetof(struct http_conn, conn));
}

/* What stands before functions of the server (local.mk: --wrap). */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_conn_output(struct conn *conn, const void *data, size_t len);
void __wrap_conn_output(struct conn *conn, const void *data, size_t len);
static bool no_memory;
static int outputs;

/* There is none for one that is asked for, and then there is again. */
void *__wrap_malloc(size_t size) {
    if (!no_memory)
        return __real_malloc(size);
    no_memory = false;
    errno = ENOMEM;
    return NULL;
}

void __wrap_conn_output(struct conn *conn, const void *data, size_t len) {
    outputs++;
    __real_conn_output(conn, data, len);
}

/* The peer. */

static void say(const char *text) {
    ck_assert_int_eq(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    turn();
}

static void body_comes(size_t len) {
    static const char bytes[BODY];
    ck_assert_int_eq(send(peer, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
    turn();
}

/* A request with a body of BODY bytes, which is called. */
static void post(void) {
    say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
    ck_assert_int_eq(c->state, HTTP_JOB_STATE);
}

/* The application runs, and its answer is sent. */
static void call(void) {
    struct sched_job *job = &c->q->x.r.job;
    ck_assert(sched_cancel(lane->sched, job));
    job->ops->run(job, NULL);
    lock_held = true;
    job->ops->settle(job);
}

/* Takes what there is. Returns how much. */
static size_t receive(void) {
    static char bytes[65536];
    size_t all = 0;
    ssize_t n;
    while ((n = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
        all += (size_t)n;
        turn();
    }
    return all;
}

static bool at_end(void) {
    struct pollfd p = {.fd = peer, .events = POLLIN};
    char byte;
    return poll(&p, 1, 0) > 0 && recv(peer, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* No memory for the head of an answer: the request is a used one, whose last answer was one in chunks. */
START_TEST(a_refusal_without_memory_says_nothing)
{
    say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    answer = 10;
    call();
    ck_assert_uint_gt(receive(), 0);
    struct http_request *used = c->http->requests.items[0];
    ck_assert_ptr_nonnull(used);
    ck_assert_int_eq(used->framing, HTTP_CHUNKED);
    buf_fini(&used->x.r.out);
    buf_fini(&used->x.r.head);
    outputs = 0;
    ck_assert_int_eq(send(peer, "?", 1, MSG_NOSIGNAL), 1);
    no_memory = true;
    turn();
    ck_assert(!no_memory);
    ck_assert_int_eq(outputs, 0);
    ck_assert_uint_eq(receive(), 0);
    ck_assert_int_eq(c->conn.state, CONN_CLOSED);
}
END_TEST

/* The answer waits for the peer, which has ended its side within the body: that is the end of the connection, once the
 * answer is there. */
START_TEST(a_body_that_ends_while_output_is_owed)
{
    post();
    answer = LARGE;
    call();
    ck_assert_int_eq(c->state, HTTP_DRAIN_STATE);
    ck_assert(ev_is_active(&c->conn.write_io));
    body_comes(BODY / 2);
    ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
    turn();
    ck_assert_int_eq(c->state, HTTP_ENDED_STATE);
    ck_assert_ptr_null(c->q);
    ck_assert_uint_gt(receive(), LARGE);
    ck_assert(at_end());
}
END_TEST

/* A body with a file, of which the rest does not come, or is not read. */

static void spooled(void) {
    post();
    body_comes(BODY / 2);
    ck_assert(body_has_file(&c->q->x.r.body));
    files_closed = 0;
    lock_held = true;
}

START_TEST(its_file_is_closed_when_the_answer_has_ended)
{
    spooled();
    answer = 10;
    call();
    ck_assert_int_eq(files_closed, 1);
}
END_TEST

START_TEST(its_file_is_closed_when_nobody_reads)
{
    spooled();
    disk_full = true;
    body_comes(100);
    ck_assert(c->q->x.body_held);
    disk_full = false;
    lock_held = true; /* the line in the log has ended that */
    ck_assert_ptr_eq(c->conn.ops->idle(&c->conn), CONN_DONE);
    ck_assert_int_eq(files_closed, 1);
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("http_ends");
    TCase *tc = tcase_create("ends");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_refusal_without_memory_says_nothing);
    tcase_add_test(tc, a_body_that_ends_while_output_is_owed);
    tcase_add_test(tc, its_file_is_closed_when_the_answer_has_ended);
    tcase_add_test(tc, its_file_is_closed_when_nobody_reads);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
