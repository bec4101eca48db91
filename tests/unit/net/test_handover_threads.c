#include "config.h"

#include "net/handover.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "ipc/fd_socket.h"
#include "ipc/scoreboard.h"
#include "net/fcgi/protocol.h"
#include "net/lane_impl.h"
#include "proto/fcgi_encode.h"
#include "unit/unit.h"

#include <fastcgi.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections that move between two workers that run, each with threads of its own, while requests come on them. Each
 * request is answered with its own path, wherever that happens. */

enum { WORKERS = 2, PEERS = 16, ROUNDS = 200, PATIENCE = 60000 /* milliseconds */ };

static struct worker {
    struct lane *lane;
    struct handover_config config;
    struct listener_set set;
    struct listener listener;
    struct sched_note note;
    atomic_bool noted;
} workers[WORKERS];

static int queue[2], board_fd, peers[PEERS];
static struct scoreboard *board;

static void run_cb(struct request *r, void *user) {
    char answer[100];
    struct slice path = r->vars.path_info[0];
    (void)user;
    snprintf(r->status, sizeof r->status, "200 OK");
    int n = snprintf(answer, sizeof answer, "(%.*s)", (int)path.n, path.p);
    ck_assert_int_eq(r->answer_ops->put(r, answer, (size_t)n), 0);
}

static int adopted(int fd) {
    descriptors_lock();
    fd = descriptors_adopt(fd);
    descriptors_unlock();
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void worker_open(struct worker *w, unsigned i) {
    struct sockaddr any = {.sa_family = AF_UNIX};
    *w = (struct worker){.config = {.send_fd = queue[1], .receive_fd = queue[0], .board = board, .slot = i}};
    w->listener = (struct listener){.fd = adopted(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
                                    .is_unix = true,
                                    .text = "/run/test.sock"};
    ck_assert_int_eq(bind(w->listener.fd, &any, sizeof any.sa_family), 0);
    ck_assert_int_eq(listen(w->listener.fd, PEERS), 0);
    w->set.items = &w->listener;
    w->set.count = 1;
    const struct lane_config config = {.protocols = {[LISTENER_FASTCGI] = &fcgi_protocol},
                                       .threads = 2,
                                       .queue_limit = PEERS,
                                       .max_connections = PEERS,
                                       .limit_requests = 1,
                                       .limit_params = 1000,
                                       .limit_param_count = 10,
                                       .body = {.memory = 1000},
                                       .script_name = "",
                                       .handover = &w->config,
                                       .run = run_cb};
    w->lane = lane_new(&config, &w->set);
    ck_assert_ptr_nonnull(w->lane);
    atomic_store(&board->slots[i].state, SCOREBOARD_SERVING);
}

static void start(void) {
    ck_assert_int_eq(fd_socket_pair(queue), 0);
    board = scoreboard_new(&board_fd);
    ck_assert_ptr_nonnull(board);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_open(&workers[i], i);
    for (unsigned slot = 0; slot < WORKERS; slot++) {
        int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        for (unsigned i = 0; i < WORKERS; i++)
            handover_add_peer(workers[i].lane, slot, adopted(dup(fd)));
        close(fd);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        lane_start_accepting(workers[i].lane);
        ck_assert_int_eq(lane_start(workers[i].lane), 0);
    }
}

static void join(unsigned i) {
    ck_assert_uint_eq(sched_join(lane_sched(workers[i].lane), clock_ns() + PATIENCE * UINT64_C(1000000)), 0);
}

static void finish(void) {
    for (unsigned i = 0; i < WORKERS; i++) {
        lane_free(workers[i].lane);
        if (workers[i].listener.fd >= 0)
            descriptors_close(workers[i].listener.fd);
    }
    scoreboard_unmap(board);
    descriptors_close(board_fd);
    descriptors_close(queue[0]);
    descriptors_close(queue[1]);
}

static void connect_all(void) {
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    ck_assert_int_eq(getsockname(workers[0].listener.fd, (struct sockaddr *)&sa, &len), 0);
    for (int i = 0; i < PEERS; i++) {
        peers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(peers[i], (struct sockaddr *)&sa, len), 0);
    }
}

/* On the loop: whatever rests there goes. */
static void give_cb(struct sched_note *note) {
    struct worker *w = (struct worker *)(void *)((char *)note - offsetof(struct worker, note));
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&w->lane->rests[CONN_RESTING]); c; c = next) {
        next = TAILQ_NEXT(c, rest_link);
        (void)handover_give(c);
    }
    atomic_store(&w->noted, false);
}

static void give_all(struct worker *w) {
    if (atomic_exchange(&w->noted, true))
        return;
    w->note.call = give_cb;
    sched_post(lane_sched(w->lane), &w->note);
}

static size_t put_record(char *at, uint8_t type, const void *content, size_t len) {
    fcgi_put_header((uint8_t *)at, type, 1, len);
    memcpy(at + FCGI_RECORD_HEADER, content, len);
    memset(at + FCGI_RECORD_HEADER + len, 0, fcgi_padding(len));
    return FCGI_RECORD_HEADER + len + fcgi_padding(len);
}

static void ask(int i, int round) {
    static const char begin[8] = {0, FCGI_RESPONDER, FCGI_KEEP_CONN};
    char path[40], params[100], bytes[400];
    size_t n = (size_t)snprintf(path, sizeof path, "/%d/%d", i, round);
    size_t nparams = params_put(params, sizeof params, LITERAL("PATH_INFO"), (struct slice){path, n});
    n = put_record(bytes, FCGI_BEGIN_REQUEST, begin, sizeof begin);
    n += put_record(bytes + n, FCGI_PARAMS, params, nparams);
    n += put_record(bytes + n, FCGI_PARAMS, "", 0);
    n += put_record(bytes + n, FCGI_STDIN, "", 0);
    ck_assert_int_eq(send(peers[i], bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* The answer ends with an END_REQUEST of so many bytes. */
static void expect(int i, int round) {
    char came[1000], wanted[50];
    size_t n = 0;
    int len = snprintf(wanted, sizeof wanted, "(/%d/%d)", i, round);
    while (n < FCGI_END_REQUEST_LEN || came[n - FCGI_END_REQUEST_LEN + 1] != FCGI_END_REQUEST) {
        struct pollfd p = {.fd = peers[i], .events = POLLIN};
        REQUIRE(poll(&p, 1, PATIENCE) == 1);
        ssize_t got = recv(peers[i], came + n, sizeof came - n, 0);
        REQUIRE(got > 0);
        n += (size_t)got;
    }
    REQUIRE(memmem(came, n, wanted, (size_t)len));
}

START_TEST(nothing_is_lost_while_workers_run)
{
    start();
    connect_all();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PEERS; i++) {
            give_all(&workers[(round + i) % WORKERS]);
            ask(i, round);
        }
        for (int i = 0; i < PEERS; i++)
            expect(i, round);
    }
    lane_retire(workers[0].lane);
    for (int i = 0; i < PEERS; i++)
        ask(i, ROUNDS);
    for (int i = 0; i < PEERS; i++)
        expect(i, ROUNDS);
    join(0);
    lane_retire(workers[1].lane); /* the last one: it stops */
    for (int i = 0; i < PEERS; i++) {
        char byte;
        ck_assert_int_eq(recv(peers[i], &byte, 1, 0), 0);
        close(peers[i]);
    }
    join(1);
    finish();
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("handover_threads");
    TCase *tc = tcase_create("threads");
    tcase_set_timeout(tc, 0);
    tcase_add_test(tc, nothing_is_lost_while_workers_run);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
