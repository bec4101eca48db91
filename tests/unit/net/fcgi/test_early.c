#include "config.h"

#include "net/fcgi/request.h"

#include "unit/net/lane_rig.h"
#include "proto/fcgi_encode.h"
#include "unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How requests that are answered early end, and their connections. Every body is larger than the server takes, so that
 * it is answered as soon as its parameters are there, without a thread; time passes when a test says so. */

enum { BODY_MAX = 100, LONG = 100000 };

static struct fcgi_conn *c;
static uint8_t body[60000];

/* What came, as text: "o" for a record of STDOUT, "." for its end, "e" for END_REQUEST, each with its id; "$" for the
 * end of the connection. */
static char seen[256];

static void setup_sized(int room) {
    const struct lane_config config = {.threads = 1,
                                       .queue_limit = 1,
                                       .max_connections = 10,
                                       .limit_requests = 4,
                                       .limit_params = 1000,
                                       .limit_param_count = 10,
                                       .header_timeout = 30,
                                       .body = {.memory = 65536, .total = BODY_MAX},
                                       .script_name = ""};
    struct conn *conn = rig_open(&config, &fcgi_protocol, room);
    c = (struct fcgi_conn *)(void *)((char *)conn - offsetof(struct fcgi_conn, conn));
    /* They pass when a test says so, however long a busy machine takes from one step to the next. */
    c->fcgi->silence.after *= LONG;
    c->fcgi->stall.after *= LONG;
    seen[0] = '\0';
}

static void setup(void) {
    setup_sized(0);
}

/* The peer. */

static void put(uint8_t type, uint16_t id, const void *content, size_t len) {
    uint8_t header[FCGI_RECORD_HEADER];
    static const uint8_t zeros[8];
    fcgi_put_header(header, type, id, len);
    ck_assert_int_eq(send(peer, header, sizeof header, MSG_NOSIGNAL), sizeof header);
    if (len) {
        ck_assert_int_eq(send(peer, content, len, MSG_NOSIGNAL), (ssize_t)len);
        ck_assert_int_eq(send(peer, zeros, fcgi_padding(len), MSG_NOSIGNAL), (ssize_t)fcgi_padding(len));
    }
}

static void begin(uint16_t id, bool keep) {
    const uint8_t content[8] = {0, FCGI_RESPONDER, keep};
    put(FCGI_BEGIN_REQUEST, id, content, sizeof content);
}

/* A request that is answered at once with a 413, while its body is still to come. */
static void early(uint16_t id, bool keep) {
    static const char params[] = "\016\004CONTENT_LENGTH1000";
    begin(id, keep);
    put(FCGI_PARAMS, id, params, sizeof params - 1);
    put(FCGI_PARAMS, id, NULL, 0);
    turn();
}

static void stdin_comes(uint16_t id, size_t len) {
    put(FCGI_STDIN, id, body, len);
    turn();
}

static ssize_t receive(void *data, size_t len) {
    ssize_t n = recv(peer, data, len, MSG_DONTWAIT);
    turn(); /* there may be room to send more */
    return n;
}

/* Returns false when there is none yet. */
static bool receive_record(void) {
    uint8_t content[65536];
    FCGI_Header header;
    ssize_t n = receive(&header, sizeof header);
    char *at = seen + strlen(seen);
    if (!n)
        strcpy(at, "$");
    if (n <= 0)
        return false;
    ck_assert_int_eq(n, sizeof header);
    size_t len = (size_t)(header.contentLengthB1 << 8 | header.contentLengthB0), left = len + header.paddingLength;
    while (left) {
        n = receive(content, left);
        ck_assert_int_gt(n, 0);
        left -= (size_t)n;
    }
    sprintf(at, "%s%u ",
            header.type == FCGI_STDOUT        ? len ? "o" : "."
            : header.type == FCGI_END_REQUEST ? "e"
                                              : "?",
            header.requestIdB0);
    return true;
}

static void expect(const char *text) {
    seen[0] = '\0';
    while (receive_record())
        ;
    ck_assert_str_eq(seen, text);
}

/* Time passes. */

static void pass(struct timeouts *all) {
    struct timeout *to;
    TAILQ_FOREACH(to, &all->list, link) {
        to->began_at -= all->after;
    }
}

static void look_at(struct timeouts *all) {
    ev_timer_stop(lane->loop, &all->timer);
    ev_invoke(lane->loop, &all->timer, EV_TIMER);
}

static void silence(void) {
    pass(&c->fcgi->silence);
    look_at(&c->fcgi->silence);
}

/* Of a connection without a request, by half-closing it if the peer `goes_on` with the body. */
static void expect_end(bool goes_on) {
    ck_assert_int_eq(c->conn.state, CONN_OPEN);
    look_at(&c->fcgi->stall);
    expect("");
    pass(&c->fcgi->stall);
    look_at(&c->fcgi->stall);
    expect("$");
    ck_assert_int_eq(c->conn.state, goes_on ? CONN_LINGERING : CONN_CLOSED);
}

/* A request that is answered early. */

START_TEST(a_peer_that_falls_silent_has_the_end)
{
    early(1, true);
    expect("o1 ");
    ck_assert_uint_eq(c->nrequests, 1);
    look_at(&c->fcgi->silence); /* not yet */
    expect("");
    silence();
    expect(".1 e1 ");
    if (_i < 2)
        stdin_comes(1, 1000); /* of an id that is not active */
    expect_end(_i < 2);
    if (_i < 2)
        stdin_comes(1, 1000); /* is dropped */
    if (_i == 1) {            /* a peer that stays */
        ck_assert_int_eq(c->conn.state, CONN_LINGERING);
        pass(&lane->draining);
        look_at(&lane->draining);
        ck_assert_uint_eq(atomic_load(&lane->nconns), 0);
    }
}
END_TEST

START_TEST(a_body_that_comes_is_read_to_its_end)
{
    early(1, true);
    expect("o1 ");
    for (int i = 0; i < 4; i++) {
        pass(&c->fcgi->silence);
        stdin_comes(1, sizeof body);
        look_at(&c->fcgi->silence);
        expect("");
    }
    stdin_comes(1, 0);
    expect(".1 e1 ");
    early(1, true); /* the connection is kept */
    expect("o1 ");
    stdin_comes(1, 0);
    expect(".1 e1 ");
    ck_assert_int_eq(c->conn.state, CONN_OPEN);
    ck_assert(TAILQ_EMPTY(&c->fcgi->silence.list) && TAILQ_EMPTY(&c->fcgi->stall.list));
}
END_TEST

/* More than was under way before the answer came has come since: a pause of such a peer has another reason. */
START_TEST(a_peer_that_goes_on_has_more_time)
{
    early(1, true);
    expect("o1 ");
    for (int i = 0; i < 5; i++)
        stdin_comes(1, sizeof body);
    ck_assert(c->fcgi->stall.after > c->fcgi->silence.after);
    silence();
    expect("");
    pass(&c->fcgi->stall);
    stdin_comes(1, 1);
    look_at(&c->fcgi->stall);
    expect("");
    pass(&c->fcgi->stall);
    look_at(&c->fcgi->stall);
    expect(".1 e1 ");
    expect_end(false);
}
END_TEST

/* The loop had no time to read for so long. */
START_TEST(a_body_that_has_come_unseen_counts)
{
    early(1, true);
    expect("o1 ");
    pass(&c->fcgi->silence);
    put(FCGI_STDIN, 1, body, 1000);
    look_at(&c->fcgi->silence);
    expect("");
    put(FCGI_STDIN, 1, NULL, 0);
    turn();
    expect(".1 e1 ");
    ck_assert_int_eq(c->conn.state, CONN_OPEN);
}
END_TEST

static void setup_small(void) {
    setup_sized(4096);
}

/* A peer that is busy with its own output, or lets its client take what there is, is not silent on purpose. */
START_TEST(the_time_does_not_run_while_output_waits)
{
    static const uint8_t much[LONG];
    uint8_t bytes[4096];
    size_t left = sizeof much;
    while (!conn_blocked(&c->conn)) {
        conn_output(&c->conn, much, sizeof much);
        left += sizeof much;
    }
    left -= sizeof much;
    early(1, true);
    for (int i = 0; i < 3; i++) {
        pass(&c->fcgi->silence);
        if (!TAILQ_EMPTY(&c->fcgi->silence.list))
            look_at(&c->fcgi->silence);
    }
    ck_assert_uint_eq(c->nrequests, 1);
    while (left) {
        ssize_t n = receive(bytes, left < sizeof bytes ? left : sizeof bytes);
        ck_assert_int_gt(n, 0);
        left -= (size_t)n;
    }
    expect("o1 ");
    ck_assert(!conn_blocked(&c->conn));
    look_at(&c->fcgi->silence); /* it begins now */
    expect("");
    silence();
    expect(".1 e1 ");
    expect_end(false);
}
END_TEST

START_TEST(the_others_come_to_their_ends)
{
    early(1, true);
    begin(2, true);
    begin(3, true);
    turn();
    expect("o1 ");
    silence();
    expect(".1 e1 ");
    stdin_comes(1, 1000); /* of an id that is not active */
    stdin_comes(1, 0);
    expect("");
    early(1, true); /* it may be used again (FastCGI 1.0, 3.3) */
    expect("o1 ");
    stdin_comes(1, 0);
    expect(".1 e1 ");
    put(FCGI_ABORT_REQUEST, 2, NULL, 0);
    turn();
    expect("e2 ");
    ck_assert_int_eq(c->conn.state, CONN_OPEN);
    put(FCGI_ABORT_REQUEST, 3, NULL, 0);
    turn();
    expect("e3 ");
    begin(4, true); /* comes in time */
    turn();
    pass(&c->fcgi->stall);
    look_at(&c->fcgi->stall);
    put(FCGI_ABORT_REQUEST, 4, NULL, 0);
    turn();
    expect("e4 ");
    expect_end(true);
}
END_TEST

/* _i: a request that is not kept, or the end of the peer's side: nothing is left to wait for. */
START_TEST(a_connection_that_rests_ends_at_once)
{
    early(1, true);
    silence();
    expect("o1 .1 e1 ");
    if (_i) {
        shutdown(peer, SHUT_WR);
        turn();
        expect("$");
        ck_assert_uint_eq(atomic_load(&lane->nconns), 0);
    } else {
        early(1, false);
        expect("o1 .1 e1 $");
    }
    ck_assert(TAILQ_EMPTY(&c->fcgi->stall.list));
}
END_TEST

START_TEST(two_that_are_silent_end_together)
{
    early(1, true);
    early(2, true);
    expect("o1 o2 ");
    pass(&c->fcgi->silence);
    stdin_comes(2, 1000);
    look_at(&c->fcgi->silence);
    expect(".1 e1 ");
    silence();
    expect(".2 e2 ");
    expect_end(false);
}
END_TEST

/* However it ends, nobody is late afterwards. */
START_TEST(nothing_is_waited_for_when_it_has_ended)
{
    early(1, true);
    expect("o1 ");
    switch (_i) {
    case 0:
        put(FCGI_ABORT_REQUEST, 1, NULL, 0);
        break;
    case 1:
        put(FCGI_STDIN, 1, NULL, 0);
        break;
    case 2:
        shutdown(peer, SHUT_WR);
        break;
    case 3:
        put(FCGI_BEGIN_REQUEST, 1, body, 8); /* its id is in use */
        break;
    default:
        close(peer);
        peer = -1;
    }
    turn();
    ck_assert(TAILQ_EMPTY(&c->fcgi->silence.list));
    look_at(&c->fcgi->silence);
}
END_TEST

/* What is read for nothing is bounded: the connection ends, or only the request when there are others. */
START_TEST(a_body_without_an_end_is_cut_off)
{
    early(1, true);
    if (_i)
        begin(2, true);
    turn();
    expect("o1 ");
    TAILQ_FIRST(&c->requests)->x.dropped = CONN_DROP_MAX - 1000;
    stdin_comes(1, 1000);
    expect("");
    stdin_comes(1, 1);
    expect(_i ? ".1 e1 " : "$");
    ck_assert_uint_eq(atomic_load(&lane->nconns), _i);
}
END_TEST

/* Connections that linger. */

START_TEST(who_sends_at_a_good_pace_may_go_on)
{
    early(1, false);
    expect("o1 .1 e1 $");
    ck_assert_int_eq(c->conn.state, CONN_LINGERING);
    c->conn.linger_since -= CONN_DROP_SECONDS / 2;
    stdin_comes(1, 1000); /* some time to get going */
    ck_assert_int_eq(c->conn.state, CONN_LINGERING);
    c->conn.linger_since -= 3600;
    c->conn.drained = 3600 * CONN_DROP_PACE;
    stdin_comes(1, 1000);
    ck_assert_int_eq(c->conn.state, CONN_LINGERING);
    if (_i)
        c->conn.drained = 3500 * CONN_DROP_PACE; /* too slow */
    else
        c->conn.drained = CONN_DROP_MAX; /* too much */
    stdin_comes(1, 1000);
    ck_assert_uint_eq(atomic_load(&lane->nconns), 0);
}
END_TEST

START_TEST(a_larger_limit_of_bodies_is_one_of_what_is_dropped)
{
    lane->config.body.total = 2 * (uint64_t)CONN_DROP_MAX;
    ck_assert_uint_eq(conn_drop_max(&c->conn), lane->config.body.total);
    lane->config.body.total = 0;
    ck_assert_uint_eq(conn_drop_max(&c->conn), CONN_DROP_MAX);
}
END_TEST

/* _i: the peer sent all of its request; it has less time to go than one that did not. */
START_TEST(a_peer_that_stays_is_left)
{
    struct timeouts *short_time = &lane->parting, *long_time = &lane->draining;
    if (_i) {
        static const char params[] = "\016\002CONTENT_LENGTH50";
        begin(1, false);
        put(FCGI_PARAMS, 1, params, sizeof params - 1);
        put(FCGI_PARAMS, 1, NULL, 0);
        put(FCGI_STDIN, 1, body, 10); /* which is too short */
        put(FCGI_STDIN, 1, NULL, 0);
        turn();
    } else
        early(1, false);
    expect("o1 .1 e1 $");
    ck_assert_int_eq(TAILQ_EMPTY(&short_time->list), !_i);
    ck_assert_int_eq(TAILQ_EMPTY(&long_time->list), _i);
    ck_assert(short_time->after < long_time->after);
    put(FCGI_DATA, 1, NULL, 0); /* no error */
    pass(_i ? short_time : long_time);
    turn();
    look_at(_i ? short_time : long_time); /* the time begins anew with it */
    ck_assert_int_eq(c->conn.state, CONN_LINGERING);
    pass(_i ? short_time : long_time);
    look_at(_i ? short_time : long_time);
    ck_assert_uint_eq(atomic_load(&lane->nconns), 0);
}
END_TEST

/* Its peer goes away in the middle: the memory is there for the next one. */
START_TEST(a_long_body_leaves_its_memory)
{
    lane->config.body.total = 0;
    begin(1, false);
    put(FCGI_PARAMS, 1, NULL, 0);
    put(FCGI_STDIN, 1, body, 2 * BODY_KEEP_BYTES);
    turn();
    ck_assert_uint_eq(lane->nrequests, 1);
    ck_assert_uint_eq(lane->body_spares.count, 0);
    close(peer);
    peer = -1;
    while (lane->nrequests)
        turn();
    ck_assert_uint_eq(lane->body_spares.count, 1);
    ck_assert_ptr_eq(lane->config.body.spares, &lane->body_spares); /* where the next one looks */
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("fcgi_early");
    TCase *tc = tcase_create("early"), *small = tcase_create("small");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_peer_that_falls_silent_has_the_end, 0, 3);
    tcase_add_test(tc, a_body_that_comes_is_read_to_its_end);
    tcase_add_test(tc, a_peer_that_goes_on_has_more_time);
    tcase_add_test(tc, a_body_that_has_come_unseen_counts);
    tcase_add_test(tc, the_others_come_to_their_ends);
    tcase_add_loop_test(tc, a_connection_that_rests_ends_at_once, 0, 2);
    tcase_add_test(tc, two_that_are_silent_end_together);
    tcase_add_loop_test(tc, nothing_is_waited_for_when_it_has_ended, 0, 5);
    tcase_add_loop_test(tc, a_body_without_an_end_is_cut_off, 0, 2);
    tcase_add_loop_test(tc, who_sends_at_a_good_pace_may_go_on, 0, 2);
    tcase_add_test(tc, a_larger_limit_of_bodies_is_one_of_what_is_dropped);
    tcase_add_loop_test(tc, a_peer_that_stays_is_left, 0, 2);
    tcase_add_test(tc, a_long_body_leaves_its_memory);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(small, setup_small, teardown);
    tcase_add_test(small, the_time_does_not_run_while_output_waits);
    suite_add_tcase(suite, small);
    return unit_run(suite);
}
