/* What tests of the front ends share: a lane without threads, and one connection, whose other end is `peer`. Nothing runs by
 * itself: the loop does when a test says so. */
#ifndef WSGI_FCGI_TESTS_LANE_RIG_H
#define WSGI_FCGI_TESTS_LANE_RIG_H

#include "net/lane_impl.h"
#include "net/protocol.h"
#include "unit/unit.h"

#include <sys/socket.h>
#include <unistd.h>

static struct lane *lane;
static int peer; /* below 0 once a test has closed it */

/* Returns the connection. `room`: of its socket for what is sent (SO_SNDBUF), or 0 for the system's default. */
static struct conn *rig_open(const struct lane_config *config, const struct protocol *protocol, int room) {
    static struct listener_set none;
    struct lane_config own = *config;
    int pair[2];
    own.protocols[0] = protocol;
    lane = lane_new(&own, &none);
    ck_assert_ptr_nonnull(lane);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    if (room)
        ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    protocol->accept(lane->protocol_states[0], pair[0], &(struct listener){.is_unix = true}, NULL, 0);
    return TAILQ_FIRST(&lane->conns);
}

static void turn(void) {
    ev_run(lane->loop, EVRUN_NOWAIT);
}

static void teardown(void) {
    if (peer >= 0)
        close(peer);
    for (int i = 0; i < 10 && atomic_load(&lane->nconns); i++)
        turn();
    ck_assert_uint_eq(atomic_load(&lane->nconns), 0);
    ck_assert_uint_eq(lane->nlive, 0);
    lane_free(lane);
}

#endif
