#include "config.h"

#include "net/conn.h"

#include "net/fcgi.h"
#include "net/lane_impl.h"
#include "proto/fcgi_encode.h"
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WRITERS = 3,
    PIECE = CONN_OUT_LOW + 1,
    ROUNDS = 5,
    SOCKET_ROOM = 4096 /* far less than CONN_OUT_LOW, so that the output never runs dry in one step */
};

static struct lane *lane;
static struct conn c;
static int peer;
static bool freed;
static atomic_uint transmitted; /* pieces */

/* Takes the place of sched_will_block (local.mk: --wrap): the threads here are not the scheduler's. */
bool __wrap_sched_will_block(struct sched_thread *thread);

bool __wrap_sched_will_block(struct sched_thread *thread) {
    (void)thread;
    return true;
}

static bool on_input(struct conn *conn, const uint8_t *data, size_t len) {
    (void)conn;
    (void)data;
    (void)len;
    return true;
}

static void on_gone(struct conn *conn) {
    (void)conn;
}

static void on_free(struct conn *conn) {
    (void)conn;
    freed = true;
}

static const struct conn_ops ops = {.input = on_input, .gone = on_gone, .free = on_free};

static void setup(void) {
    static struct listener_set none;
    int pair[2];
    const struct lane_config config = {.threads = 1, .queue_limit = 1, .max_connections = 10, .script_name = ""};
    lane = lane_new(&config, &none);
    ck_assert_ptr_nonnull(lane);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &(int){SOCKET_ROOM}, sizeof(int)), 0);
    freed = false;
    atomic_store(&transmitted, 0);
    conn_alloc_init(&c);
    conn_init(&c, lane, pair[0], true, &ops);
}

static void teardown(void) {
    conn_close(&c, CONN_DONE);
    ev_run(lane->loop, EVRUN_NOWAIT); /* notes that were posted */
    ck_assert(freed);
    conn_alloc_fini(&c);
    close(peer);
    lane_free(lane);
}

/* Writers: each transmits pieces of its own letter, until it may not any more. */
struct writer {
    pthread_t thread;
    char letter;
    unsigned rounds;
    int error;
};

static void *write_pieces(void *arg) {
    struct writer *w = arg;
    char *piece = malloc(PIECE);
    memset(piece, w->letter, PIECE);
    for (unsigned i = 0; i < w->rounds && !w->error; i++) {
        const struct iovec v = {piece, PIECE};
        if (conn_transmit(&c, NULL, &v, 1))
            w->error = errno;
        atomic_fetch_add(&transmitted, 1);
    }
    free(piece);
    return NULL;
}

static unsigned turns(void) {
    unsigned n = 0;
    struct conn_turn *turn;
    pthread_mutex_lock(&c.out_lock);
    TAILQ_FOREACH(turn, &c.out_turns, link)
    n++;
    pthread_mutex_unlock(&c.out_lock);
    return n;
}

static void await_turns(unsigned n) {
    while (turns() != n)
        sched_yield();
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

START_TEST(turns_are_taken_in_order)
{
    struct writer writers[WRITERS] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}};
    char seen[1024] = "", expected[1024] = "";
    block();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].rounds = ROUNDS;
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, write_pieces, &writers[i]), 0);
        await_turns(i + 1);
    }
    /* A piece is more than CONN_OUT_LOW: one has its turn, and the next waits until most of that piece is out. */
    for (unsigned sent = 0, in_line = WRITERS; sent < WRITERS * ROUNDS; sent++) {
        while (atomic_load(&transmitted) == sent) {
            if (turns() == in_line && waiting() > CONN_OUT_LOW)
                step(seen);
            else
                sched_yield();
        }
        in_line -= sent >= WRITERS * (ROUNDS - 1);
        await_turns(in_line);
        expected[sent] = (char)('a' + sent % WRITERS);
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        ck_assert_int_eq(writers[i].error, 0);
    }
    receive_rest(seen);
    ck_assert_str_eq(seen + 1, expected); /* the first are the zeros */
}
END_TEST

START_TEST(all_turns_end_with_the_connection)
{
    struct writer writers[WRITERS] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}};
    block();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].rounds = 1;
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, write_pieces, &writers[i]), 0);
        await_turns(i + 1);
    }
    conn_close(&c, CONN_EOF);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        ck_assert_int_eq(writers[i].error, EPIPE);
    }
    ck_assert_uint_eq(turns(), 0);
}
END_TEST

START_TEST(a_short_piece_waits_behind_others)
{
    struct writer first = {.letter = 'a', .rounds = 1};
    char seen[1024] = "";
    block();
    ck_assert_int_eq(pthread_create(&first.thread, NULL, write_pieces, &first), 0);
    await_turns(1);
    struct writer second = {.letter = 'b', .rounds = 1};
    ck_assert_int_eq(pthread_create(&second.thread, NULL, write_pieces, &second), 0);
    await_turns(2);
    while (turns())
        step(seen);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    receive_rest(seen);
    ck_assert_str_eq(seen + 1, "ab"); /* the first are the zeros */
}
END_TEST

/* A FastCGI request that goes away in the middle of its body: the memory is there for the next one. */
START_TEST(a_long_body_leaves_its_memory)
{
    enum { BODY = 2 * BODY_KEEP_BYTES };
    static const uint8_t begin[8] = {0, FCGI_RESPONDER}, body[BODY];
    struct buf sent = {0};
    uint8_t header[FCGI_RECORD_HEADER];
    int pair[2];
    lane->config.limit_requests = 1;
    lane->config.body.memory = BODY;
    const struct {
        uint8_t type;
        const void *content;
        size_t len;
    } records[] = {{FCGI_BEGIN_REQUEST, begin, sizeof begin}, {FCGI_PARAMS, NULL, 0}, {FCGI_STDIN, body, BODY}};
    for (int i = 0; i < COUNT(records); i++) {
        fcgi_put_header(header, records[i].type, 1, records[i].len);
        ck_assert_int_eq(buf_append(&sent, header, sizeof header), 0);
        ck_assert_int_eq(buf_append(&sent, records[i].content, records[i].len), 0);
    }
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_int_eq(send(pair[1], buf_head(&sent), buf_len(&sent), MSG_NOSIGNAL), (ssize_t)buf_len(&sent));
    fcgi_protocol.accept(lane, pair[0], &(struct listener){.is_unix = true}, NULL, 0);
    ck_assert_uint_eq(lane->nrequests, 1);
    ck_assert_uint_eq(lane->body_spares.count, 0);
    close(pair[1]);
    while (lane->nrequests)
        ev_run(lane->loop, EVRUN_ONCE);
    ck_assert_uint_eq(lane->body_spares.count, 1);
    ck_assert_ptr_eq(lane->config.body.spares, &lane->body_spares); /* where the next one looks */
    buf_fini(&sent);
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("conn");
    TCase *tc = tcase_create("conn");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, turns_are_taken_in_order);
    tcase_add_test(tc, all_turns_end_with_the_connection);
    tcase_add_test(tc, a_short_piece_waits_behind_others);
    tcase_add_test(tc, a_long_body_leaves_its_memory);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
