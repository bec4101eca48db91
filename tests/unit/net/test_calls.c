#include "config.h"

#include "net/calls.h"

#include "ipc/scoreboard.h"
#include "net/exchange.h"
#include "net/lane_impl.h"
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Calls that run without the loop, in memory that outlives the process. */

enum { SLOT = 3, MORE = 2 };

static struct scoreboard *board;
static struct lane *lane;
static struct conn conn;
static struct exchange exchanges[SCOREBOARD_CALLS + MORE];
static char paths[SCOREBOARD_CALLS + MORE][300];

static void make_lane(struct scoreboard *shared) {
    static struct listener_set none;
    const struct lane_config config = {
        .threads = 1, .queue_limit = 1, .max_connections = 10, .board = shared, .slot = SLOT};
    lane = lane_new(&config, &none);
    ck_assert_ptr_nonnull(lane);
    conn.lane = lane;
    for (unsigned i = 0; i < SCOREBOARD_CALLS + MORE; i++) {
        struct exchange *x = &exchanges[i];
        exchange_init(x, NULL, NULL);
        x->conn = &conn;
        x->r.job.begun_at = 1000 + i;
        x->r.vars.method = (struct slice){"GET", 3};
        snprintf(paths[i], sizeof paths[i], "/%u", i);
        x->r.vars.request_uri = (struct slice){paths[i], strlen(paths[i])};
    }
}

static void setup(void) {
    int fd;
    board = scoreboard_new(&fd);
    ck_assert_ptr_nonnull(board);
    close(fd);
}

static void teardown(void) {
    for (unsigned i = 0; i < SCOREBOARD_CALLS + MORE; i++)
        exchange_fini(&exchanges[i]);
    lane_free(lane);
    scoreboard_unmap(board);
}

static void begin(unsigned i) {
    exchange_detached(&exchanges[i].r.job);
}

static void end(unsigned i) {
    exchange_rejoined(&exchanges[i].r.job);
}

static unsigned count(unsigned slot) {
    unsigned n = 0;
    for (unsigned i = 0; i < SCOREBOARD_CALLS; i++)
        n += board->calls[slot][i].begun_at != 0;
    return n;
}

/* What is told of the request; NULL: nothing. */
static const char *told(unsigned i) {
    for (unsigned place = 0; place < SCOREBOARD_CALLS; place++) {
        if (board->calls[SLOT][place].begun_at == 1000 + i)
            return board->calls[SLOT][place].text;
    }
    return NULL;
}

START_TEST(told_while_they_run)
{
    make_lane(board);
    begin(0);
    begin(1);
    ck_assert_uint_eq(count(SLOT), 2);
    ck_assert_str_eq(told(0), "GET /0");
    ck_assert_str_eq(told(1), "GET /1");
    end(0);
    ck_assert_ptr_null(told(0));
    ck_assert_str_eq(told(1), "GET /1");
    begin(2);
    begin(0); /* its memory serves for another request */
    ck_assert_str_eq(told(2), "GET /2");
    ck_assert_str_eq(told(0), "GET /0");
    for (unsigned i = 0; i < 3; i++)
        end(i);
    for (unsigned slot = 0; slot < SCOREBOARD_SLOTS; slot++)
        ck_assert_uint_eq(count(slot), 0);
}
END_TEST

START_TEST(more_than_there_are_places)
{
    make_lane(board);
    for (unsigned i = 0; i < SCOREBOARD_CALLS + MORE; i++)
        begin(i);
    ck_assert_uint_eq(count(SLOT), SCOREBOARD_CALLS);
    ck_assert_uint_eq(count(SLOT - 1), 0);
    ck_assert_uint_eq(count(SLOT + 1), 0);
    ck_assert_ptr_null(told(SCOREBOARD_CALLS));
    end(SCOREBOARD_CALLS);
    ck_assert_uint_eq(count(SLOT), SCOREBOARD_CALLS);
    end(7);
    for (unsigned i = 0; i < SCOREBOARD_CALLS; i++)
        ck_assert_int_eq(told(i) == NULL, i == 7);
    begin(SCOREBOARD_CALLS);
    ck_assert_ptr_nonnull(told(SCOREBOARD_CALLS));
    end(SCOREBOARD_CALLS);
    for (unsigned i = 0; i < SCOREBOARD_CALLS; i++)
        end(i);
    ck_assert_uint_eq(count(SLOT), 0);
}
END_TEST

START_TEST(nothing_that_a_peer_sends_breaks_a_line)
{
    make_lane(board);
    paths[0][1] = '\n';
    memset(paths[0] + 2, 'x', sizeof paths[0] - 2);
    exchanges[0].r.vars.request_uri.n = sizeof paths[0];
    begin(0);
    const char *text = told(0);
    ck_assert_ptr_nonnull(memchr(text, '\0', SCOREBOARD_TEXT_SIZE));
    ck_assert_ptr_null(strchr(text, '\n'));
    ck_assert_uint_gt(strlen(text), SCOREBOARD_TEXT_SIZE - 10);
    ck_assert_int_eq(strncmp(text, "GET /", 5), 0);
    end(0);
}
END_TEST

/* What a process has left that died. */
START_TEST(a_new_process_begins_with_none)
{
    board->calls[SLOT][5].begun_at = 17;
    board->calls[SLOT + 1][5].begun_at = 17;
    make_lane(board);
    ck_assert_uint_eq(count(SLOT), 0);
    ck_assert_uint_eq(count(SLOT + 1), 1);
}
END_TEST

START_TEST(alone_nobody_is_told)
{
    make_lane(NULL);
    begin(0);
    ck_assert_uint_eq(count(0), 0);
    ck_assert_uint_eq(count(SLOT), 0);
    end(0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("calls");
    TCase *c = tcase_create("calls");
    suite_add_tcase(suite, c);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, told_while_they_run);
    tcase_add_test(c, more_than_there_are_places);
    tcase_add_test(c, nothing_that_a_peer_sends_breaks_a_line);
    tcase_add_test(c, a_new_process_begins_with_none);
    tcase_add_test(c, alone_nobody_is_told);
    return unit_run(suite);
}
