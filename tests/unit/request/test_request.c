#include "config.h"

#include "request/request.h"

#include "base/clock.h"
#include "unit/no_threads.h"
#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>

static struct request request;
static int put_result;

/* A wire format of its own: the status, the head and the body, one after the other. */
static int fake_put(struct request *r, const char *data, size_t len) {
    if (put_result) {
        errno = ENOMEM;
        return put_result;
    }
    if (!r->head_stored) {
        ck_assert_int_eq(buf_append(&r->out, r->status, strlen(r->status)), 0);
        ck_assert_int_eq(buf_append(&r->out, "|", 1), 0);
        ck_assert_int_eq(buf_append(&r->out, buf_head(&r->head), buf_len(&r->head)), 0);
        ck_assert_int_eq(buf_append(&r->out, "|", 1), 0);
        r->head_stored = true;
    }
    return buf_append(&r->out, data, len);
}

static const struct answer_ops fake = {.put = fake_put};

static void setup(void) {
    request_init(&request);
    request.answer_ops = &fake;
}

static void teardown(void) {
    request_fini(&request);
}

static struct slice slice_of(const char *text) {
    return (struct slice){.p = text, .n = strlen(text)};
}

static const char *out_text(void) {
    ck_assert_int_eq(buf_append(&request.out, "", 1), 0);
    return buf_head(&request.out);
}

START_TEST(test_answer)
{
    request.vars.method = slice_of("GET");
    ck_assert_int_eq(request_answer(&request, "404 Not Found", NULL, "Nothing here\n"), 0);
    ck_assert_str_eq(out_text(),
                     "404 Not Found|Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n|Nothing here\n");
}
END_TEST

START_TEST(test_answer_replaces_the_head)
{
    ck_assert_int_eq(buf_append(&request.head, "Set-Cookie: a=b\r\n", 17), 0);
    strcpy(request.status, "200 OK");
    ck_assert_int_eq(request_answer(&request, "503 Service Unavailable", "Retry-After: 5\r\n", ""), 0);
    ck_assert_str_eq(out_text(), "503 Service Unavailable|Content-Type: text/plain; charset=utf-8\r\n"
                                 "Content-Length: 0\r\nRetry-After: 5\r\n|");
}
END_TEST

START_TEST(test_answer_to_head)
{
    request.vars.method = slice_of("HEAD");
    ck_assert_int_eq(request_answer(&request, "400 Bad Request", NULL, "text"), 0);
    ck_assert_str_eq(out_text(), "400 Bad Request|Content-Type: text/plain; charset=utf-8\r\nContent-Length: 4\r\n|");
}
END_TEST

START_TEST(test_answer_to_what_only_looks_like_head)
{
    request.vars.method = slice_of("HEADX");
    ck_assert_int_eq(request_answer(&request, "400 x", NULL, "text"), 0);
    ck_assert_ptr_ne(strstr(out_text(), "|text"), NULL);
}
END_TEST

START_TEST(test_answer_with_long_lines)
{
    char extra[2000], status[500];
    memset(extra, 'x', sizeof extra);
    memcpy(extra, "X: ", 3);
    strcpy(extra + sizeof extra - 3, "\r\n");
    memset(status, '5', sizeof status - 1);
    status[sizeof status - 1] = '\0';
    ck_assert_int_eq(request_answer(&request, status, extra, "t"), 0);
    ck_assert_uint_eq(strlen(request.status), REQUEST_STATUS_MAX);
    const char *text = out_text();
    ck_assert_ptr_ne(strstr(text, extra), NULL);
    ck_assert_str_eq(strrchr(text, '|'), "|t");
}
END_TEST

START_TEST(test_answer_without_memory)
{
    put_result = -1;
    ck_assert_int_eq(request_answer(&request, "500 x", NULL, "text"), -1);
    ck_assert_int_eq(errno, ENOMEM);
}
END_TEST

START_TEST(test_reset)
{
    static const char big[3 * REQUEST_KEEP_BYTES];
    struct body_limits limits = {.memory = SIZE_MAX};
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(buf_append(&request.params, big, 100), 0);
        ck_assert_int_eq(buf_append(&request.out, big, sizeof big), 0);
        body_begin(&request.body, 5);
        ck_assert_int_eq(body_append(&request.body, &limits, big, sizeof big), BODY_OK);
        ck_assert_int_eq(request_answer(&request, "200 OK", NULL, "x"), 0);
        request.broken_off = true;
        request_close_answer(&request);
        request_reset(&request, NULL);
        ck_assert_uint_eq(buf_len(&request.params) + buf_len(&request.head) + buf_len(&request.out), 0);
        ck_assert_ptr_ne(request.params.data, NULL);
        ck_assert_ptr_eq(request.out.data, NULL);
        ck_assert_uint_eq(buf_len(&request.body.memory), 0);
        ck_assert_str_eq(request.status, "");
        ck_assert(!request.head_stored && !request.broken_off && request.answer == ANSWER_UNSENT);
        ck_assert_ptr_eq(request.answer_ops, &fake);
    }
}
END_TEST

/* The memory of a long body is there for another request. */
START_TEST(test_spare_body)
{
    static const char big[2 * BODY_KEEP_BYTES];
    struct body_spares spares = {0};
    body_begin(&request.body, -1);
    ck_assert_int_eq(body_append(&request.body, &(struct body_limits){.memory = SIZE_MAX}, big, sizeof big), BODY_OK);
    request_reset(&request, &spares);
    ck_assert_uint_eq(spares.count, 1);
    body_spares_fini(&spares);
}
END_TEST

START_TEST(test_text)
{
    char text[600];
    request.vars.method = slice_of("GET");
    request.vars.path_info[0] = slice_of("/path");
    ck_assert_str_eq(request_text(&request, text, sizeof text), "GET /path");
    request.vars.request_uri = slice_of("/uri?q=\"1\"");
    ck_assert_str_eq(request_text(&request, text, sizeof text), "GET /uri?q=\"1\"");
}
END_TEST

START_TEST(test_text_is_escaped)
{
    char text[600];
    request.vars.method = slice_of("G\nT");
    request.vars.request_uri = slice_of("/\r\nwsgi-fcgi[1] error: \x1b[31m\\\xc3\xa9");
    ck_assert_str_eq(request_text(&request, text, sizeof text),
                     "G\\x0aT /\\x0d\\x0awsgi-fcgi[1] error: \\x1b[31m\\x5c\xc3\xa9");
}
END_TEST

START_TEST(test_text_is_cut)
{
    char uri[4000], method[100], text[600], small[8];
    memset(uri, 'u', sizeof uri);
    memset(method, 'm', sizeof method);
    request.vars.method = (struct slice){.p = method, .n = sizeof method};
    request.vars.request_uri = (struct slice){.p = uri, .n = sizeof uri};
    request_text(&request, text, sizeof text);
    ck_assert_uint_lt(strlen(text), 32 + 512);
    ck_assert_str_eq(strrchr(text, ' ') - 3, strstr(text, "... "));
    ck_assert_str_eq(text + strlen(text) - 3, "...");
    ck_assert_str_eq(request_text(&request, small, sizeof small), "mmmm...");
}
END_TEST

START_TEST(test_text_of_nothing)
{
    char text[600];
    ck_assert_str_eq(request_text(&request, text, sizeof text), " ");
}
END_TEST

START_TEST(test_read_without_waiting)
{
    struct body_limits limits = {.memory = 100};
    char bytes[8];
    body_begin(&request.body, 20);
    ck_assert_int_eq(body_append(&request.body, &limits, "0123456789", 10), BODY_OK);
    body_end(&request.body);
    ck_assert_int_eq(request_read(&request, bytes, sizeof bytes), 8);
    ck_assert_mem_eq(bytes, "01234567", 8);
    ck_assert_int_eq(request_read(&request, bytes, sizeof bytes), 2);
    ck_assert_int_eq(request_read(&request, bytes, sizeof bytes), -1);
    ck_assert_int_eq(errno, ECONNABORTED);
    body_begin(&request.body, 0);
    ck_assert_int_eq(request_read(&request, bytes, sizeof bytes), 0);
}
END_TEST

/* A request that waits for its body, while the only one who can bring it is the loop that the job ran on. */

static char got[64];
static size_t ngot;
static int read_error;
static struct sched *sched;
static struct sched_note feed_note;
static sem_t settled, fed, quit_called;
static bool no_thread; /* as for a thread that the application started before the request has one */

static void run(struct sched_job *job, struct sched_thread *thread) {
    (void)job;
    request.thread = no_thread ? NULL : thread;
    if (no_thread)
        sched_will_block(thread);
    ssize_t n;
    while ((n = request_read(&request, got + ngot, sizeof got - ngot)) > 0)
        ngot += (size_t)n;
    read_error = n ? errno : 0;
}

static void settle(struct sched_job *job) {
    (void)job;
    sem_post(&settled);
}

static void quit_cb(struct sched_note *note) {
    (void)note;
    sched_quit(sched);
    sem_post(&quit_called);
}

static const char *feed_text;
static int feed_abort;

static void feed_cb(struct sched_note *note) {
    static const struct body_limits limits = {.memory = 100};
    (void)note;
    if (feed_text)
        REQUIRE(body_append(&request.body, &limits, feed_text, strlen(feed_text)) == BODY_OK);
    else if (feed_abort)
        body_abort(&request.body, feed_abort);
    else
        body_end(&request.body);
    sem_post(&fed);
}

static void feed(const char *text) {
    feed_text = text;
    feed_note.call = feed_cb;
    sched_post(sched, &feed_note);
    sem_wait(&fed);
}

static struct ev_loop *loop;
static int wake[2];

static struct sched_job other;

static void run_other(struct sched_job *job, struct sched_thread *thread) {
    (void)job;
    (void)thread;
}

/* Without a watch nobody takes the loop away from the request: it runs it itself, or gives it away. */
static void start(void) {
    static const struct sched_job_ops ops = {.run = run, .settle = settle};
    static const struct sched_job_ops other_ops = {.run = run_other, .settle = settle};
    ck_assert_int_eq(pipe2(wake, O_NONBLOCK | O_CLOEXEC), 0);
    loop = ev_loop_new(EVFLAG_AUTO);
    struct sched_config config = {.loop = loop, .threads = 1, .queue_limit = 1, .wake_fd = wake[1]};
    sched = sched_new(&config);
    ck_assert_ptr_ne(sched, NULL);
    sem_init(&settled, 0, 0);
    sem_init(&fed, 0, 0);
    sem_init(&quit_called, 0, 0);
    request.job.ops = &ops;
    other.ops = &other_ops;
    body_begin(&request.body, -1);
    ck_assert_int_eq(sched_start(sched), 0);
}

static void submit_cb(struct sched_note *note) {
    (void)note;
    REQUIRE(sched_submit(sched, &request.job));
}

/* With another job behind it the request may not have the loop for itself. */
static void submit_both_cb(struct sched_note *note) {
    submit_cb(note);
    REQUIRE(sched_submit(sched, &other));
}

static void finish(void) {
    struct sched_note quit_note = {.call = quit_cb};
    sched_post(sched, &quit_note);
    sem_wait(&quit_called);
    ck_assert_uint_eq(sched_join(sched, clock_ns() + 60000000000u), 0);
    sched_free(sched);
    ev_loop_destroy(loop);
    close(wake[0]);
    close(wake[1]);
}

enum { WAIT_ALONE, WAIT_NOT_ALONE, WAIT_UNKNOWN_THREAD, WAIT_ABORTED, WAIT_CASES };

START_TEST(test_read_waits)
{
    struct sched_note submit_note = {.call = _i == WAIT_NOT_ALONE ? submit_both_cb : submit_cb};
    no_thread = _i == WAIT_UNKNOWN_THREAD;
    feed_abort = _i == WAIT_ABORTED ? ECONNRESET : 0;
    start();
    sched_post(sched, &submit_note);
    feed("one,");
    feed("two,");
    feed("three");
    feed(NULL);
    sem_wait(&settled);
    if (_i == WAIT_NOT_ALONE)
        sem_wait(&settled);
    ck_assert_int_eq(read_error, feed_abort);
    if (!feed_abort)
        ck_assert_str_eq(got, "one,two,three");
    struct sched_stats stats;
    sched_get_stats(sched, &stats);
    ck_assert_uint_eq(stats.threads, _i == WAIT_ALONE || _i == WAIT_ABORTED ? 1 : 2);
    finish();
}
END_TEST

/* The thread that waits runs the loop. */
START_TEST(test_read_alone_without_another_thread)
{
    struct sched_note submit_note = {.call = submit_cb};
    start();
    forbid_threads(true);
    sched_post(sched, &submit_note);
    feed("one");
    feed(NULL);
    sem_wait(&settled);
    forbid_threads(false);
    ck_assert_int_eq(read_error, 0);
    ck_assert_str_eq(got, "one");
    finish();
}
END_TEST

/* Nobody could bring the body and run the other job. */
START_TEST(test_read_without_another_thread)
{
    struct sched_note submit_note = {.call = submit_both_cb};
    start();
    forbid_threads(true);
    sched_post(sched, &submit_note);
    sem_wait(&settled);
    sem_wait(&settled);
    forbid_threads(false);
    ck_assert_int_eq(read_error, EAGAIN);
    finish();
}
END_TEST

/* Threads that send take turns. */

static sem_t came;
static atomic_int sends;
static int send_error;

/* Takes the place of pthread_mutex_lock (local.mk: --wrap): `came` tells who waits for a turn. */
int __real_pthread_mutex_lock(pthread_mutex_t *lock);
int __wrap_pthread_mutex_lock(pthread_mutex_t *lock);

int __wrap_pthread_mutex_lock(pthread_mutex_t *lock) {
    if (lock == &request.out_lock)
        sem_post(&came);
    return __real_pthread_mutex_lock(lock);
}

static size_t puts_bytes; /* that were to be stored */
static bool put_fails;

static int counted_send(struct request *r, const char *data, size_t len) {
    (void)r;
    (void)data;
    (void)len;
    sends++;
    return 0;
}

static ssize_t counted_send_file(struct request *r, int fd, off_t offset) {
    (void)fd;
    (void)offset;
    return counted_send(r, NULL, 0);
}

static const struct answer_ops counted = {.send = counted_send, .send_file = counted_send_file};

static void *send_main(void *unused) {
    (void)unused;
    send_error = request_send(&request, "a", 1) ? errno : 0;
    return NULL;
}

static void *send_file_main(void *unused) {
    (void)unused;
    send_error = request_send_file(&request, STDIN_FILENO, 0) < 0 ? errno : 0;
    return NULL;
}

/* Nobody wants the answer any more when it comes. */
START_TEST(test_turn_that_comes_too_late)
{
    pthread_t thread;
    request.answer_ops = &counted;
    sem_init(&came, 0, 0);
    ck_assert_int_eq(__real_pthread_mutex_lock(&request.out_lock), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, _i ? send_file_main : send_main, NULL), 0);
    sem_wait(&came);
    request_close_answer(&request);
    ck_assert_int_eq(pthread_mutex_unlock(&request.out_lock), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(send_error, EPIPE);
    ck_assert_int_eq(sends, 0);
}
END_TEST

static int counted_put(struct request *r, const char *data, size_t len) {
    (void)r;
    (void)data;
    puts_bytes += len;
    return put_fails ? -1 : 0;
}

static bool may_leave;

static bool asked_leave(struct request *r) {
    (void)r;
    return may_leave;
}

static const struct answer_ops leaving = {.put = counted_put, .send = counted_send, .leave = asked_leave};

/* The bytes are stored once, whoever sends them. */
START_TEST(test_leave)
{
    size_t len = 3;
    request.answer_ops = &leaving;
    may_leave = true;
    ck_assert(request_leave(&request, "abc", &len));
    ck_assert_uint_eq(puts_bytes, 3);
    ck_assert_uint_eq(request.sent, 3);
    may_leave = false;
    len = 2;
    ck_assert(!request_leave(&request, "de", &len));
    ck_assert_uint_eq(len, 0);
    ck_assert_uint_eq(puts_bytes, 5);
    ck_assert_int_eq(request_send(&request, "de", len), 0);
    ck_assert_uint_eq(request.sent, 5);
    ck_assert_int_eq(sends, 1);
}
END_TEST

/* Then nothing is stored: request_send has it all. _i: why. */
START_TEST(test_not_left)
{
    size_t len = _i == 0 ? REQUEST_LEAVE_MAX + 1 : 3;
    may_leave = true;
    request.answer_ops = _i == 1 ? &counted : &leaving;
    put_fails = _i == 2;
    if (_i == 3)
        request_close_answer(&request);
    if (_i == 4)
        ck_assert_int_eq(__real_pthread_mutex_lock(&request.out_lock), 0);
    const size_t all = len;
    ck_assert(!request_leave(&request, "abc", &len));
    ck_assert_uint_eq(len, all);
    if (_i != 4)
        ck_assert_int_eq(pthread_mutex_trylock(&request.out_lock), 0);
    pthread_mutex_unlock(&request.out_lock);
    ck_assert_uint_eq(puts_bytes, _i == 2 ? 3 : 0);
    ck_assert_uint_eq(request.sent, 0);
}
END_TEST

/* Whoever is first has it: the application that begins to send, or who closes it before. */
START_TEST(test_owner_of_the_answer)
{
    ck_assert_int_eq(request.answer, ANSWER_UNSENT);
    if (_i == 0) {
        request_begin_answer(&request);
        request_begin_answer(&request);
        ck_assert(!request_is_gone(&request));
    }
    ck_assert_int_eq(request_close_answer(&request), _i == 0 ? ANSWER_SENT : ANSWER_UNSENT);
    request_begin_answer(&request);
    ck_assert(request_is_gone(&request));
    ck_assert_int_eq(errno, EPIPE);
    ck_assert_int_eq(request_close_answer(&request), _i == 0 ? ANSWER_SENT_CLOSED : ANSWER_CLOSED);
    request_reset(&request, NULL);
    ck_assert(!request_is_gone(&request));
}
END_TEST

/* The label stands behind the target, or not at all. */
START_TEST(test_text_has_the_label)
{
    char text[REQUEST_TEXT_SIZE];
    request.vars.method = slice_of("GET");
    request.vars.path_info[0] = slice_of("/x");
    request.id = slice_of("abc");
    ck_assert_str_eq(request_text(&request, text, sizeof text), "GET /x [abc]");
    ck_assert_str_eq(request_text(&request, text, 13), "GET /x [abc]");
    ck_assert_str_eq(request_text(&request, text, 12), "GET /x");
}
END_TEST

/* With all that a peer can send. */
START_TEST(test_text_has_room)
{
    static char target[2000], id[REQUEST_ID_MAX];
    char text[REQUEST_TEXT_SIZE];
    memset(target, '\n', sizeof target);
    memset(id, 'x', sizeof id);
    request.vars.method = (struct slice){target, 100};
    request.vars.path_info[0] = (struct slice){target, sizeof target};
    request.id = (struct slice){id, sizeof id};
    request_text(&request, text, sizeof text);
    ck_assert(strlen(text) > sizeof id && text[strlen(text) - 1] == ']');
}
END_TEST

START_TEST(test_label_of_the_client)
{
    memcpy(request.made_id, "0123456789abcdef0123456789abcdef", REQUEST_ID_MADE);
    request.id = (struct slice){request.made_id, REQUEST_ID_MADE};
    request.vars.request_id = slice_of("not good");
    request_take_id(&request);
    ck_assert_ptr_eq(request.id.p, request.made_id);
    request.vars.request_id = slice_of("good");
    request_take_id(&request);
    ck_assert_uint_eq(request.id.n, 4);
    request_reset(&request, NULL);
    ck_assert_uint_eq(request.id.n, 0);
    request_take_id(&request);
    ck_assert_uint_eq(request.id.n, 0); /* --request-id off */
}
END_TEST

/* One that stands in for another has its label, wherever that is kept. */
START_TEST(test_label_of_a_stand_in)
{
    static struct request stand_in;
    char text[REQUEST_TEXT_SIZE];
    request_init(&stand_in);
    request.vars.method = slice_of("GET");
    request.vars.path_info[0] = slice_of("/x");
    if (_i) {
        memset(request.made_id, 'm', REQUEST_ID_MADE);
        request.id = (struct slice){request.made_id, REQUEST_ID_MADE};
    } else {
        ck_assert_int_eq(buf_append(&request.params, "abcd", 4), 0);
        request.id = (struct slice){buf_head(&request.params) + 1, 3};
    }
    request_stand_in(&stand_in, &request);
    memset(request.made_id, 0, REQUEST_ID_MADE);
    request_reset(&request, NULL);
    ck_assert_str_eq(request_text(&stand_in, text, sizeof text),
                     _i ? "GET /x [mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm]" : "GET /x [bcd]");
    request_fini(&stand_in);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("request");
    TCase *c = tcase_create("request");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, test_answer);
    tcase_add_test(c, test_answer_replaces_the_head);
    tcase_add_test(c, test_answer_to_head);
    tcase_add_test(c, test_answer_to_what_only_looks_like_head);
    tcase_add_test(c, test_answer_with_long_lines);
    tcase_add_test(c, test_answer_without_memory);
    tcase_add_test(c, test_reset);
    tcase_add_loop_test(c, test_owner_of_the_answer, 0, 2);
    tcase_add_test(c, test_spare_body);
    tcase_add_test(c, test_text);
    tcase_add_test(c, test_text_is_escaped);
    tcase_add_test(c, test_text_is_cut);
    tcase_add_test(c, test_text_of_nothing);
    tcase_add_test(c, test_text_has_the_label);
    tcase_add_test(c, test_text_has_room);
    tcase_add_test(c, test_label_of_the_client);
    tcase_add_loop_test(c, test_label_of_a_stand_in, 0, 2);
    tcase_add_test(c, test_read_without_waiting);
    tcase_add_loop_test(c, test_read_waits, 0, WAIT_CASES);
    tcase_add_test(c, test_read_alone_without_another_thread);
    tcase_add_test(c, test_read_without_another_thread);
    tcase_add_loop_test(c, test_turn_that_comes_too_late, 0, 2);
    tcase_add_test(c, test_leave);
    tcase_add_loop_test(c, test_not_left, 0, 5);
    return unit_run(suite);
}
