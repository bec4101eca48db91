/* What tests of a connection share that speaks no protocol: its other end is `peer`. Nothing runs by itself: the loop does
 * when a test says so. */
#ifndef WSGI_FCGI_TESTS_BARE_CONN_H
#define WSGI_FCGI_TESTS_BARE_CONN_H

#include "net/lane_impl.h"
#include "unit/unit.h"

#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SEND_RATE = 100000 }; /* bytes a second */
enum { SOCKET_ROOM = 4096 /* far less than CONN_OUT_LOW, so that the output never runs dry in one step */ };

static struct lane *lane;
static struct conn c;
static int peer;
static bool freed;
static struct request request; /* whose answer is transmitted */
static size_t came;            /* bytes of input */

static bool on_input(struct conn *conn, const uint8_t *data, size_t len) {
    (void)conn;
    (void)data;
    came += len;
    return true;
}

static bool is_lost;

static void on_lost(struct conn *conn) {
    (void)conn;
    is_lost = true;
}

static void on_gone(struct conn *conn) {
    (void)conn;
}

static void on_free(struct conn *conn) {
    (void)conn;
    freed = true;
}

static const struct conn_ops ops = {.input = on_input, .lost = on_lost, .gone = on_gone, .free = on_free};

static void rig_setup(void) {
    static struct listener_set none;
    int pair[2];
    const struct lane_config config = {
        .threads = 1, .queue_limit = 1, .max_connections = 10, .script_name = "", .min_send_rate = SEND_RATE};
    lane = lane_new(&config, &none);
    ck_assert_ptr_nonnull(lane);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){SOCKET_ROOM}, sizeof(int)), 0);
    freed = is_lost = false;
    came = 0;
    request = (struct request){0};
    conn_alloc_init(&c);
    conn_init(&c, lane, pair[0], NULL, &ops);
}

static void rig_teardown(void) {
    conn_close(&c, CONN_DONE);
    ev_run(lane->loop, EVRUN_NOWAIT); /* notes that were posted */
    ck_assert(freed);
    conn_alloc_fini(&c);
    close(peer);
    lane_free(lane);
}

static size_t waiting(void) {
    pthread_mutex_lock(&c.out_lock);
    size_t n = buf_len(&c.out);
    pthread_mutex_unlock(&c.out_lock);
    return n;
}

/* The peer takes something, and the loop sends more. The letters that came go to `seen`, one for each change. */
static void step(char *seen) {
    char bytes[SOCKET_ROOM];
    ssize_t n = recv(peer, bytes, sizeof bytes, MSG_DONTWAIT);
    size_t len = strlen(seen);
    for (ssize_t i = 0; i < n; i++)
        if (!len || seen[len - 1] != bytes[i])
            seen[len++] = bytes[i];
    seen[len] = '\0';
    ev_run(lane->loop, EVRUN_NOWAIT);
}

static void receive_rest(char *seen) {
    struct pollfd p = {.fd = peer, .events = POLLIN};
    while (waiting() || poll(&p, 1, 0) == 1)
        step(seen);
}

/* Fills the socket and the buffer, so that whoever comes next has to wait. */
static void block(void) {
    static char zeros[CONN_OUT_HIGH];
    memset(zeros, '0', sizeof zeros);
    while (!conn_blocked(&c))
        conn_output(&c, zeros, sizeof zeros);
    conn_output(&c, zeros, sizeof zeros);
    ev_run(lane->loop, EVRUN_NOWAIT);
}

static void output(const char *text) {
    conn_output(&c, text, strlen(text));
}

#endif
