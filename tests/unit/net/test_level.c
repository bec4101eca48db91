#include "config.h"

#include "net/level.h"

#include "ipc/scoreboard.h"
#include "net/handover.h"
#include "net/lane_impl.h"
#include "net/protocol.h"
#include "unit/unit.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* What one of two processes leaves to the other while a call computes in it. */

enum { SLOT = 3, OTHER = 4 };

static struct scoreboard *board;
static struct lane *lane;
static struct sched_config others; /* what the scheduler is told to call */
static struct listener listener;
static struct listener_set listeners = {.items = &listener, .count = 1};
static int accepted;

/* A protocol that has nothing to say. */

static void *state_new(struct lane *l) {
    return l;
}

static void state_free(void *state) {
    (void)state;
}

static void accept_one(void *state, int fd, const struct listener *l, const struct sockaddr *peer, socklen_t len) {
    (void)state;
    (void)l;
    (void)peer;
    (void)len;
    close(fd);
    accepted++;
}

static const struct protocol protocol = {.state_new = state_new, .state_free = state_free, .accept = accept_one};

static void make_lane(struct scoreboard *shared) {
    static struct handover_config handover;
    handover = (struct handover_config){.send_fd = -1, .receive_fd = -1, .board = shared, .slot = SLOT};
    const struct lane_config config = {.protocols[LISTENER_FASTCGI] = &protocol,
                                       .threads = 1,
                                       .queue_limit = 1,
                                       .max_connections = 10,
                                       .handover = shared ? &handover : NULL};
    lane = lane_new(&config, &listeners);
    ck_assert_ptr_nonnull(lane);
    others = (struct sched_config){0};
    level_configure(lane, &others);
    lane_start_accepting(lane);
}

static void setup(void) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd;
    board = scoreboard_new(&fd);
    ck_assert_ptr_nonnull(board);
    close(fd);
    board->slots[SLOT].state = board->slots[OTHER].state = SCOREBOARD_SERVING;
    accepted = 0;
    listener = (struct listener){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), .given = -1};
    ck_assert_int_eq(bind(listener.fd, (struct sockaddr *)&any, sizeof any), 0);
    ck_assert_int_eq(listen(listener.fd, 8), 0);
}

static void teardown(void) {
    lane_free(lane);
    scoreboard_unmap(board);
    if (listener.fd >= 0)
        close(listener.fd);
}

static void caught(bool is_caught) {
    others.caught(is_caught, others.others_arg);
}

static void turn(void) {
    ev_run(lane->loop, EVRUN_NOWAIT);
}

/* Returns when it waits to be accepted, or was. */
static void join(void) {
    struct sockaddr_in to;
    socklen_t len = sizeof to;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(getsockname(listener.fd, (struct sockaddr *)&to, &len), 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, len), 0);
    close(fd);
}

/* Nothing but the look at the others wakes the loop. */
static void wait_accepted(int count) {
    while (accepted < count)
        ev_run(lane->loop, EVRUN_ONCE);
    ck_assert_int_eq(accepted, count);
}

static void expect_left(void) {
    join();
    for (int i = 0; i < 5; i++)
        turn();
    ck_assert_int_eq(accepted, 0);
}

START_TEST(the_others_know)
{
    board->slots[SLOT].computing = 1; /* by a process that has died */
    make_lane(board);
    ck_assert_uint_eq(board->slots[SLOT].computing, 0);
    caught(true);
    ck_assert_uint_eq(board->slots[SLOT].computing, 1);
    caught(false);
    ck_assert_uint_eq(board->slots[SLOT].computing, 0);
    ck_assert_uint_eq(board->slots[OTHER].computing, 0);
}
END_TEST

START_TEST(new_connections_are_left_to_who_is_idle)
{
    make_lane(board);
    caught(true);
    expect_left();
    caught(false);
    wait_accepted(1);
    ck_assert(!ev_is_active(&lane->level.timer));
}
END_TEST

START_TEST(all_compute)
{
    board->slots[OTHER].computing = 1;
    make_lane(board);
    caught(true);
    join();
    wait_accepted(1);
}
END_TEST

/* Asked again and again, while the call computes. */
START_TEST(the_idle_one_begins_to_compute)
{
    make_lane(board);
    caught(true);
    expect_left();
    board->slots[OTHER].computing = 1;
    wait_accepted(1);
    board->slots[OTHER].computing = 0;
    while (!lane->level.leaves)
        ev_run(lane->loop, EVRUN_ONCE);
    board->slots[OTHER].state = SCOREBOARD_ENDING;
    join();
    wait_accepted(2);
}
END_TEST

START_TEST(the_watch_hurries_when_another_is_idle)
{
    make_lane(board);
    ck_assert(others.hurries(others.others_arg));
    board->slots[OTHER].computing = 1;
    ck_assert(!others.hurries(others.others_arg));
    board->slots[OTHER].computing = 0;
    board->slots[OTHER].state = SCOREBOARD_STARTING;
    ck_assert(!others.hurries(others.others_arg));
}
END_TEST

/* Whatever else begins or ends accepting. */

START_TEST(room_does_not_begin_it)
{
    make_lane(board);
    caught(true);
    lane->accept_paused = true;
    lane_conn_closed(lane);
    expect_left();
    caught(false);
    wait_accepted(1);
}
END_TEST

START_TEST(the_end_of_the_call_does_not_make_room)
{
    make_lane(board);
    lane->accept_paused = true;
    caught(true);
    caught(false);
    ck_assert(!ev_is_active(&lane->accepting[0].io));
    lane_conn_closed(lane);
    join();
    wait_accepted(1);
}
END_TEST

START_TEST(nothing_is_accepted_after_the_stop)
{
    make_lane(board);
    caught(true);
    lane_accept_end(lane);
    caught(false);
    ck_assert(!ev_is_active(&lane->accepting[0].io));
}
END_TEST

START_TEST(alone_nothing_is_left)
{
    make_lane(NULL);
    ck_assert(!others.caught && !others.hurries);
    ck_assert_uint_eq(board->slots[0].computing, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("level");
    TCase *c = tcase_create("level");
    suite_add_tcase(suite, c);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_others_know);
    tcase_add_test(c, new_connections_are_left_to_who_is_idle);
    tcase_add_test(c, all_compute);
    tcase_add_test(c, the_idle_one_begins_to_compute);
    tcase_add_test(c, the_watch_hurries_when_another_is_idle);
    tcase_add_test(c, room_does_not_begin_it);
    tcase_add_test(c, the_end_of_the_call_does_not_make_room);
    tcase_add_test(c, nothing_is_accepted_after_the_stop);
    tcase_add_test(c, alone_nothing_is_left);
    return unit_run(suite);
}
