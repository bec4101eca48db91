#include "config.h"

#include "net/conn.h"

#include "unit/net/bare_conn.h"

#include <signal.h>
#include <sys/syscall.h>

static unsigned sends;

/* That of conn_out.c alone (local.mk: --wrap). */
long __wrap_syscall(long number, int fd, const void *data, size_t len, int flags, void *to, int to_len);
long __real_syscall(long number, int fd, const void *data, size_t len, int flags, void *to, int to_len);

long __wrap_syscall(long number, int fd, const void *data, size_t len, int flags, void *to, int to_len) {
    sends += number == SYS_sendto;
    return __real_syscall(number, fd, data, len, flags, to, to_len);
}

static bool (*has_loop)(void); /* NULL: it has */

/* Takes the place of sched_has_loop: no thread here is the scheduler's. */
bool __wrap_sched_has_loop(const struct sched_thread *thread);

bool __wrap_sched_has_loop(const struct sched_thread *thread) {
    (void)thread;
    return !has_loop || has_loop();
}

/* Corked connections. */

static bool something_came(void) {
    struct pollfd p = {.fd = peer, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void expect_at_once(const char *text) {
    char bytes[64];
    ck_assert_int_eq(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT), (ssize_t)strlen(text));
    ck_assert_mem_eq(bytes, text, strlen(text));
}

/* Returns since when the peer has had time to take what waits. */
static ev_tstamp time_passes(void) {
    lane->now += 1;
    return c.out_at;
}

START_TEST(corked_output_leaves_together)
{
    for (int round = 0; round < 2; round++) {
        conn_cork(&c);
        output("one,");
        output("two,");
        ck_assert(!something_came());
        output("three");
        conn_uncork(&c);
        expect_at_once("one,two,three");
        ck_assert(!conn_blocked(&c));
        output("four"); /* as ever */
        expect_at_once("four");
    }
    conn_cork(&c);
    conn_uncork(&c);
    ck_assert(!something_came());
    ck_assert_int_eq(c.state, CONN_OPEN);
}
END_TEST

/* What a thread transmits meanwhile comes behind it. */
START_TEST(corked_output_and_that_of_a_thread)
{
    const struct iovec piece = {(void *)(uintptr_t) "two", 3};
    conn_cork(&c);
    output("one,");
    ck_assert_int_eq(conn_transmit(&c, &request, &piece, 1), 0);
    if (_i)
        ev_run(lane->loop, EVRUN_NOWAIT);
    output(",three");
    conn_uncork(&c);
    ev_run(lane->loop, EVRUN_NOWAIT);
    char bytes[64];
    ck_assert_int_eq(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT), 13);
    ck_assert_mem_eq(bytes, "one,two,three", 13);
    ck_assert(!conn_blocked(&c));
}
END_TEST

/* No more than CONN_CORK_MAX is copied. */
START_TEST(a_cork_does_not_hold_much)
{
    static char much[CONN_CORK_MAX];
    char seen[1024] = "";
    memset(much, 'b', sizeof much);
    conn_cork(&c);
    output("a");
    ck_assert(!something_came());
    conn_output(&c, much, sizeof much);
    ck_assert(something_came());
    output("c");
    conn_uncork(&c);
    receive_rest(seen);
    ck_assert_str_eq(seen, "abc");
}
END_TEST

START_TEST(corked_output_waits_behind_other)
{
    char seen[1024] = "";
    block();
    while (waiting() > CONN_CORK_MAX / 2)
        step(seen);
    ev_tstamp since = time_passes();
    conn_cork(&c);
    output("a");
    output("b");
    conn_uncork(&c);
    ck_assert(!(c.out_at > since));
    receive_rest(seen);
    ck_assert_str_eq(seen + 1, "ab"); /* the first are the zeros */
}
END_TEST

/* A socket that has no room for it: the loop goes on. */
START_TEST(corked_output_does_not_fit)
{
    static char much[CONN_CORK_MAX];
    char seen[1024] = "";
    memset(much, 'a', sizeof much);
    conn_cork(&c);
    conn_output(&c, much, sizeof much);
    ck_assert(!something_came());
    conn_uncork(&c);
    ck_assert(conn_blocked(&c));
    ev_tstamp since = time_passes();
    output("b");
    ck_assert(!(c.out_at > since));
    receive_rest(seen);
    ck_assert_str_eq(seen, "ab");
}
END_TEST

START_TEST(a_corked_connection_is_to_end)
{
    char bytes[8];
    conn_cork(&c);
    output("last");
    conn_finish(&c, CONN_DONE, false);
    ck_assert_int_eq(c.state, CONN_FLUSHING);
    conn_uncork(&c);
    ck_assert_int_eq(c.state, CONN_CLOSED);
    expect_at_once("last");
    ck_assert_int_eq(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT), 0);
}
END_TEST

START_TEST(a_corked_connection_ends)
{
    conn_cork(&c);
    output("a");
    if (_i)
        conn_close(&c, CONN_EOF);
    else
        shutdown(peer, SHUT_RD);
    conn_uncork(&c);
    if (!_i) {
        ck_assert(is_lost);
        ev_run(lane->loop, EVRUN_NOWAIT);
    }
    ck_assert_int_eq(c.state, CONN_CLOSED);
}
END_TEST

/* What is left to the end of an answer. */

static bool leave(const char *text) {
    return conn_leave(&c, &request, text, strlen(text));
}

START_TEST(the_end_takes_along_what_was_left)
{
    for (int round = 0; round < 2; round++) {
        ck_assert(leave("answer,"));
        ck_assert(!something_came());
        ck_assert_int_eq(request.answer, ANSWER_SENT);
        sends = 0;
        output("end");
        ck_assert_uint_eq(sends, 1);
        expect_at_once("answer,end");
        ck_assert(!conn_blocked(&c));
    }
}
END_TEST

/* _i: 0: the call has lost the loop; 1: another answer of the connection ends it. */
START_TEST(what_was_left_goes_without_an_end)
{
    ck_assert(leave("answer"));
    if (_i) {
        conn_finish(&c, CONN_DONE, CONN_END_CLOSE);
        ck_assert_int_eq(c.state, CONN_CLOSED);
    } else
        conn_uncork(&c);
    expect_at_once("answer");
    if (!_i) {
        output("more");
        expect_at_once("more");
    }
}
END_TEST

static unsigned looks;

static bool has_loop_at_first(void) {
    return !looks++;
}

static bool has_none(void) {
    return false;
}

/* It is lost while the thread is about to leave something: who has it may have looked before. */
START_TEST(loop_is_lost_meanwhile)
{
    looks = 0;
    has_loop = has_loop_at_first;
    ck_assert(leave("answer"));
    while (!something_came())
        ev_run(lane->loop, EVRUN_NOWAIT);
    expect_at_once("answer");
    has_loop = has_none;
    ck_assert(!leave("more"));
    has_loop = NULL;
    ck_assert(!something_came());
}
END_TEST

/* The thread that has left it runs the loop. */
START_TEST(loop_runs_within_the_call)
{
    ck_assert(leave("answer"));
    conn_note_left(&c);
    while (!something_came())
        ev_run(lane->loop, EVRUN_NOWAIT);
    expect_at_once("answer");
    conn_note_left(&c);
    ev_run(lane->loop, EVRUN_NOWAIT);
    ck_assert(!something_came() && !conn_blocked(&c));
}
END_TEST

/* Nor what nobody waits for. */
START_TEST(what_is_not_left)
{
    static char much[CONN_CORK_MAX + 1];
    ck_assert(!conn_leave(&c, &request, much, sizeof much));
    block();
    ck_assert(!leave("a"));
    char seen[1024] = "";
    receive_rest(seen);
    request_close_answer(&request);
    ck_assert(!leave("b"));
    ck_assert(!something_came());
}
END_TEST

/* Of two answers on a connection. */
START_TEST(what_two_have_left)
{
    const struct iovec piece = {(void *)(uintptr_t) "three,", 6};
    char bytes[64];
    ck_assert(leave("one,") && leave("two,"));
    if (_i)
        ck_assert_int_eq(conn_transmit(&c, &request, &piece, 1), 0);
    output("end");
    ev_run(lane->loop, EVRUN_NOWAIT);
    ck_assert_int_eq(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT), _i ? 17 : 11);
    ck_assert_mem_eq(bytes, _i ? "one,two,three,end" : "one,two,end", _i ? 17 : 11);
    ck_assert(!conn_blocked(&c));
}
END_TEST

/* The peer takes nothing any more: what it has sent by then still counts, however long the front end pauses, and the
 * connection ends behind it. _i: 1: paused; 2: the peer is gone altogether. */
START_TEST(what_came_before_a_write_that_fails_is_input)
{
    static uint8_t bytes[10000];
    if (_i == 1)
        conn_pause(&c);
    ck_assert_int_eq(send(peer, bytes, sizeof bytes, MSG_DONTWAIT), sizeof bytes);
    if (_i == 2) {
        close(peer);
        peer = -1;
    } else
        shutdown(peer, SHUT_RD);
    output("answer");
    ck_assert(is_lost && conn_is_lost(&c));
    ck_assert_int_eq(c.state, CONN_OPEN);
    ck_assert_uint_eq(came, 0);
    output("another");
    ck_assert(!conn_blocked(&c));
    ev_run(lane->loop, EVRUN_NOWAIT);
    if (_i == 1) {
        ck_assert_int_eq(c.state, CONN_OPEN);
        ck_assert_uint_eq(came, 0);
        conn_resume(&c);
    }
    while (c.state != CONN_CLOSED)
        ev_run(lane->loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(came, sizeof bytes);
    ck_assert(c.left);
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("conn_out");
    TCase *tc = tcase_create("out");
    tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
    tcase_add_test(tc, corked_output_leaves_together);
    tcase_add_loop_test(tc, corked_output_and_that_of_a_thread, 0, 2);
    tcase_add_test(tc, a_cork_does_not_hold_much);
    tcase_add_test(tc, corked_output_waits_behind_other);
    tcase_add_test(tc, corked_output_does_not_fit);
    tcase_add_test(tc, a_corked_connection_is_to_end);
    tcase_add_loop_test(tc, a_corked_connection_ends, 0, 2);
    tcase_add_test(tc, the_end_takes_along_what_was_left);
    tcase_add_loop_test(tc, what_was_left_goes_without_an_end, 0, 2);
    tcase_add_test(tc, loop_is_lost_meanwhile);
    tcase_add_test(tc, loop_runs_within_the_call);
    tcase_add_test(tc, what_is_not_left);
    tcase_add_loop_test(tc, what_two_have_left, 0, 2);
    tcase_add_loop_test(tc, what_came_before_a_write_that_fails_is_input, 0, 3);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
