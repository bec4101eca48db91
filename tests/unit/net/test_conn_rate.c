#include "config.h"

#include "net/conn.h"

#include "unit/net/bare_conn.h"

#include <signal.h>

/* A peer that takes less of its output than --min-send-rate says. */

enum { LOOK = SEND_RATE * CONN_RATE_SECONDS /* bytes that are due at each look */ };

static void peer_takes(size_t len) {
    static char bytes[SOCKET_ROOM];
    while (len) {
        ssize_t n = recv(peer, bytes, len < sizeof bytes ? len : sizeof bytes, MSG_DONTWAIT);
        if (n > 0)
            len -= (size_t)n;
        else
            ev_run(lane->loop, EVRUN_NOWAIT);
    }
    ev_run(lane->loop, EVRUN_NOWAIT);
}

/* There is always more for the peer. */
static void keep_blocked(void) {
    while (waiting() < LOOK)
        block();
}

/* The timer of the looks runs, `late` seconds after it was due. */
static void look(double late) {
    c.rate.began_at = lane_now(lane) - CONN_RATE_SECONDS - late;
    ev_feed_event(lane->loop, &lane->rates.timer, EV_TIMER);
    ev_run(lane->loop, EVRUN_NOWAIT);
}

START_TEST(a_peer_that_takes_nothing_is_cut)
{
    keep_blocked();
    look(0);
    ck_assert_int_eq(c.state, CONN_CLOSED);
}
END_TEST

START_TEST(a_peer_that_takes_too_little_is_cut)
{
    keep_blocked();
    peer_takes(LOOK - 3 * CONN_RATE_SLACK);
    ck_assert_int_eq(c.state, CONN_OPEN);
    look(0);
    ck_assert_int_eq(c.state, CONN_CLOSED);
}
END_TEST

/* Each time a little less than is due: in the end that is too much. */
START_TEST(what_is_missing_adds_up)
{
    int looks = 0;
    for (; c.state == CONN_OPEN && looks < 100; looks++) {
        keep_blocked();
        peer_takes(LOOK - CONN_RATE_SLACK / 4);
        look(0);
    }
    ck_assert_int_ge(looks, 3);
    ck_assert_int_le(looks, 7);
}
END_TEST

START_TEST(a_peer_that_is_fast_enough_stays)
{
    for (int looks = 0; looks < 20; looks++) {
        keep_blocked();
        peer_takes(LOOK);
        look(0);
        ck_assert_int_eq(c.state, CONN_OPEN);
    }
    ck_assert(conn_blocked(&c));
}
END_TEST

/* What it took early is no credit. */
START_TEST(having_been_fast_does_not_count)
{
    for (int i = 0; i < 4; i++) {
        keep_blocked();
        peer_takes(LOOK / 2);
    }
    look(0);
    ck_assert_int_eq(c.state, CONN_OPEN);
    look(0);
    ck_assert_int_eq(c.state, CONN_CLOSED);
}
END_TEST

/* The process was paused: that time does not count. */
START_TEST(a_late_look_is_no_look)
{
    keep_blocked();
    look(3600);
    ck_assert_int_eq(c.state, CONN_OPEN);
    look(3600);
    ck_assert_int_eq(c.state, CONN_OPEN);
    look(0);
    ck_assert_int_eq(c.state, CONN_CLOSED);
}
END_TEST

/* Nothing is timed while nothing waits, and it begins anew when something does. */
START_TEST(only_while_output_waits)
{
    char seen[1024] = "";
    output("short");
    ck_assert(TAILQ_EMPTY(&lane->rates.list));
    keep_blocked();
    ck_assert(!TAILQ_EMPTY(&lane->rates.list));
    c.behind_for = 100;
    receive_rest(seen);
    ck_assert(TAILQ_EMPTY(&lane->rates.list));
    keep_blocked();
    ck_assert(!(c.behind_for > 0));
    ck_assert(!TAILQ_EMPTY(&lane->rates.list));
}
END_TEST

/* A look finds what was taken since the last one: --idle-timeout must know of it, as it finds nothing then. */
START_TEST(the_idle_time_hears_of_it)
{
    char bytes[SOCKET_ROOM];
    keep_blocked();
    c.out_at -= 100;
    ck_assert_int_gt(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT), 0);
    lane->rates.after = CONN_RATE_SECONDS;
    c.rate.began_at = lane_now(lane);
    c.rate.late(&c.rate);
    ck_assert_int_eq(c.state, CONN_OPEN);
    ck_assert(lane_now(lane) - c.out_at < 50);
}
END_TEST

/* An answer that waits as a whole, its call over. */
START_TEST(a_connection_that_is_to_end_is_timed)
{
    keep_blocked();
    conn_finish(&c, CONN_DONE, CONN_END_CLOSE);
    ck_assert_int_eq(c.state, CONN_FLUSHING);
    look(0);
    ck_assert_int_eq(c.state, CONN_CLOSED);
}
END_TEST

START_TEST(no_rate)
{
    lane->config.min_send_rate = 0;
    keep_blocked();
    ck_assert(TAILQ_EMPTY(&lane->rates.list));
    conn_close(&c, CONN_DONE);
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("conn_rate");
    TCase *tc = tcase_create("rate");
    tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
    tcase_add_test(tc, a_peer_that_takes_nothing_is_cut);
    tcase_add_test(tc, a_peer_that_takes_too_little_is_cut);
    tcase_add_test(tc, what_is_missing_adds_up);
    tcase_add_test(tc, a_peer_that_is_fast_enough_stays);
    tcase_add_test(tc, having_been_fast_does_not_count);
    tcase_add_test(tc, a_late_look_is_no_look);
    tcase_add_test(tc, only_while_output_waits);
    tcase_add_test(tc, the_idle_time_hears_of_it);
    tcase_add_test(tc, a_connection_that_is_to_end_is_timed);
    tcase_add_test(tc, no_rate);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
