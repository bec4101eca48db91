#include "config.h"

#include "net/conn.h"

#include "unit/net/bare_conn.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WRITERS = 3,
    PIECE = CONN_OUT_LOW + 1,
    FILE_PIECE = 150000, /* a socket takes 64 KiB of a file, however small its buffer is */
    ROUNDS = 5,
    FILE_LEN = 200000
};

static bool must_not_wait; /* no other thread could be started */
static bool no_sendfile;   /* it fails, as for a file system that has none */
static atomic_uint sendfile_calls;
static atomic_size_t sendfile_bytes;
static atomic_uint transmitted; /* pieces */

/* Takes the place of sched_will_block (local.mk: --wrap): the threads here are not the scheduler's. */
bool __wrap_sched_will_block(struct sched_thread *thread);

bool __wrap_sched_will_block(struct sched_thread *thread) {
    (void)thread;
    return !must_not_wait;
}

static bool (*loop_run)(void); /* NULL: others are ready, or the baton is gone */
static _Thread_local bool waits_in_turn;

/* And of sched_run_loop. */
bool __wrap_sched_run_loop(struct sched_thread *thread);

bool __wrap_sched_run_loop(struct sched_thread *thread) {
    (void)thread;
    return loop_run && !waits_in_turn && loop_run();
}

ssize_t __real_sendfile(int out, int in, off_t *offset, size_t len);
ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t len);

ssize_t __wrap_sendfile(int out, int in, off_t *offset, size_t len) {
    errno = EINVAL;
    ssize_t n = no_sendfile ? -1 : __real_sendfile(out, in, offset, len);
    atomic_fetch_add(&sendfile_calls, 1);
    atomic_fetch_add(&sendfile_bytes, n > 0 ? (size_t)n : 0);
    return n;
}

static void setup(void) {
    must_not_wait = no_sendfile = false;
    loop_run = NULL;
    atomic_store(&sendfile_calls, 0);
    atomic_store(&sendfile_bytes, 0);
    atomic_store(&transmitted, 0);
    rig_setup();
}

/* Writers: each transmits pieces of its own letter, from memory or from a file, until it may not any more. */
struct writer {
    pthread_t thread;
    char letter;
    bool file;
    bool waits_in_turn; /* never runs the loop */
    unsigned rounds;
    int error;
};

static int file_of(const void *bytes, size_t len) {
    int fd = memfd_create("file", MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

static void *write_pieces(void *arg) {
    struct writer *w = arg;
    waits_in_turn = w->waits_in_turn;
    size_t len = w->file ? FILE_PIECE : PIECE;
    char *piece = malloc(len);
    memset(piece, w->letter, len);
    int fd = file_of(piece, len);
    for (unsigned i = 0; i < w->rounds && !w->error; i++) {
        const struct iovec v = {piece, len}, head = {piece, 1};
        if (w->file ? conn_transmit_file(&c, &request, &head, fd, 1, len - 1) < 0
                    : conn_transmit(&c, &request, &v, 1) < 0)
            w->error = errno;
        atomic_fetch_add(&transmitted, 1);
    }
    close(fd);
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

/* _i: all from memory, all from files, or some of each. */
static bool has_file(int kind, unsigned writer) {
    return kind == 1 || (kind == 2 && writer % 2);
}

START_TEST(turns_are_taken_in_order)
{
    struct writer writers[WRITERS] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}};
    char seen[1024] = "", expected[1024] = "";
    block();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].rounds = ROUNDS;
        writers[i].file = has_file(_i, i);
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, write_pieces, &writers[i]), 0);
        await_turns(i + 1);
    }
    /* A piece is more than CONN_OUT_LOW: one has its turn, and the next waits until most of that piece is out, or all. */
    for (unsigned sent = 0, in_line = WRITERS; sent < WRITERS * ROUNDS; sent++) {
        while (atomic_load(&transmitted) == sent) {
            if (turns() == in_line && waiting() > (has_file(_i, sent % WRITERS) ? 0 : CONN_OUT_LOW))
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
        writers[i].file = has_file(_i, i);
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

/* The connection goes on: of what nobody wants nothing is sent. */
START_TEST(all_turns_end_with_the_request)
{
    struct writer writers[WRITERS] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}};
    char seen[1024] = "";
    block();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].rounds = 1;
        writers[i].file = has_file(_i, i);
        ck_assert_int_eq(pthread_create(&writers[i].thread, NULL, write_pieces, &writers[i]), 0);
        await_turns(i + 1);
    }
    conn_wake(&c);
    request_close_answer(&request);
    conn_wake(&c);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
        ck_assert_int_eq(writers[i].error, EPIPE);
    }
    ck_assert_uint_eq(turns(), 0);
    output("d");
    receive_rest(seen);
    ck_assert_int_eq(c.state, CONN_OPEN);
    ck_assert_str_eq(seen + 1, "d");                  /* the first are the zeros */
    ck_assert_uint_eq(request.answer, ANSWER_CLOSED); /* and none of it was */
}
END_TEST

static bool loop_forgets(void) {
    request_close_answer(&request);
    return true;
}

START_TEST(the_request_ends_in_the_loop)
{
    struct writer writer = {.letter = 'a', .rounds = 1, .file = _i};
    block();
    loop_run = loop_forgets;
    write_pieces(&writer);
    ck_assert_int_eq(writer.error, EPIPE);
    ck_assert_int_eq(c.state, CONN_OPEN);
    ck_assert_uint_eq(request.answer, ANSWER_CLOSED);
}
END_TEST

/* What comes before an answer is no part of it, and not sent behind its end either. */
START_TEST(interim)
{
    struct iovec piece = {(void *)(uintptr_t) "1", 1};
    char byte;
    ck_assert_int_eq(conn_transmit_interim(&c, &request, &piece, 1), 0);
    ck_assert_uint_eq(request.answer, ANSWER_UNSENT);
    ck_assert_int_eq(recv(peer, &byte, 1, 0), 1);
    request_close_answer(&request);
    ck_assert_int_eq(conn_transmit_interim(&c, &request, &piece, 1), -1);
    ck_assert_int_eq(errno, EPIPE);
    ck_assert_int_lt(recv(peer, &byte, 1, 0), 0);
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

static char loop_seen[1024];
static unsigned loop_runs;

static bool loop_steps(void) {
    loop_runs++;
    step(loop_seen);
    return true;
}

static atomic_bool loop_is_run;

/* The loop is the test's thread's. */
static bool loop_waits(void) {
    atomic_store(&loop_is_run, true);
    sched_yield();
    return true;
}

/* Who runs the loop has no turn: another thread that began to wait meanwhile is first. */
START_TEST(who_runs_the_loop_is_behind_those_who_wait)
{
    struct writer first = {.letter = 'a', .rounds = 1, .file = _i};
    struct writer second = {.letter = 'b', .rounds = 1, .waits_in_turn = true};
    char seen[1024] = "";
    block();
    loop_run = loop_waits;
    ck_assert_int_eq(pthread_create(&first.thread, NULL, write_pieces, &first), 0);
    while (!atomic_load(&loop_is_run))
        sched_yield();
    ck_assert_int_eq(pthread_create(&second.thread, NULL, write_pieces, &second), 0);
    await_turns(1);
    while (atomic_load(&transmitted) < 2)
        step(seen);
    pthread_join(first.thread, NULL);
    pthread_join(second.thread, NULL);
    receive_rest(seen);
    ck_assert_str_eq(seen + 1, "ba"); /* the first are the zeros */
}
END_TEST

static bool loop_closes(void) {
    conn_close(&c, CONN_EOF);
    return true;
}

/* With only the two of them there is no other thread to be woken. */
START_TEST(who_waits_runs_the_loop)
{
    struct writer writer = {.letter = 'a', .rounds = 1, .file = _i};
    block();
    loop_run = loop_steps;
    must_not_wait = true;
    write_pieces(&writer);
    ck_assert_int_eq(writer.error, 0);
    ck_assert_uint_gt(loop_runs, 0);
    ck_assert_uint_le(waiting(), _i ? FILE_PIECE : CONN_OUT_LOW + PIECE);
    receive_rest(loop_seen);
    ck_assert_str_eq(loop_seen + 1, "a"); /* the first are the zeros */
}
END_TEST

START_TEST(the_connection_ends_in_the_loop)
{
    struct writer writer = {.letter = 'a', .rounds = 1, .file = _i};
    block();
    loop_run = loop_closes;
    write_pieces(&writer);
    ck_assert_int_eq(writer.error, EPIPE);
}
END_TEST

/* Files. */

static const struct iovec head = {(char[]){"head"}, 4};
static char pattern[FILE_LEN];

/* A file that nowhere repeats itself. */
static int pattern_file(void) {
    for (size_t i = 0; i < FILE_LEN; i++)
        pattern[i] = (char)(i / 7 * 31 + i / 1000 + i + 1);
    return file_of(pattern, FILE_LEN);
}

/* Receives what is there behind what came before, and lets the loop send more. */
static void receive(char *bytes, size_t size, size_t *have) {
    ssize_t n = recv(peer, bytes + *have, size - *have, MSG_DONTWAIT);
    *have += n > 0 ? (size_t)n : 0;
    ev_run(lane->loop, EVRUN_NOWAIT);
}

/* Returns how many bytes there are in all. */
static size_t receive_all(char *bytes, size_t size, size_t have) {
    struct pollfd p = {.fd = peer, .events = POLLIN};
    while (waiting() || poll(&p, 1, 0) == 1)
        receive(bytes, size, &have);
    return have;
}

/* _i: the file system has no sendfile. */
START_TEST(a_file_is_sent_behind_its_head)
{
    static char got[FILE_LEN + 5];
    int fd = pattern_file();
    ck_assert_int_eq(lseek(fd, 5, SEEK_SET), 5);
    no_sendfile = _i;
    ck_assert_int_eq(conn_transmit_file(&c, &request, &head, fd, 1, FILE_LEN - 2), FILE_LEN - 2);
    ck_assert_uint_eq(receive_all(got, sizeof got, 0), 4 + FILE_LEN - 2);
    ck_assert_mem_eq(got, "head", 4);
    ck_assert_mem_eq(got + 4, pattern + 1, FILE_LEN - 2);
    ck_assert_uint_eq(atomic_load(&sendfile_bytes) > 0, !_i);
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 5);
    close(fd);
}
END_TEST

static void *send_pattern(void *arg) {
    int *fd = arg;
    ck_assert_int_eq(conn_transmit_file(&c, &request, NULL, *fd, 0, FILE_LEN), FILE_LEN);
    return NULL;
}

START_TEST(a_file_waits_until_nothing_is_kept)
{
    static char got[8 * CONN_OUT_HIGH];
    size_t n = 0;
    int fd = pattern_file();
    pthread_t thread;
    block();
    ck_assert_int_eq(pthread_create(&thread, NULL, send_pattern, &fd), 0);
    await_turns(1);
    ck_assert_uint_eq(atomic_load(&sendfile_calls), 0);
    while (turns())
        receive(got, sizeof got, &n);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(atomic_load(&sendfile_calls), 1); /* it is left out when there is something to wait behind */
    n = receive_all(got, sizeof got, n);
    ck_assert_uint_ge(n, FILE_LEN);
    ck_assert_mem_eq(got + n - FILE_LEN, pattern, FILE_LEN);
    close(fd);
}
END_TEST

START_TEST(a_file_is_kept_behind_others_by_who_must_not_wait)
{
    static char got[8 * CONN_OUT_HIGH];
    int fd = pattern_file();
    block();
    must_not_wait = true;
    send_pattern(&fd);
    ck_assert_uint_eq(atomic_load(&sendfile_calls), 0);
    size_t n = receive_all(got, sizeof got, 0);
    ck_assert_uint_ge(n, FILE_LEN);
    ck_assert_mem_eq(got + n - FILE_LEN, pattern, FILE_LEN);
    close(fd);
}
END_TEST

/* Lengths of the file: none of it, some of what the socket takes at once, and of what it does not. */
static const unsigned lengths[] = {0, 1, 2, 30000, 100000, FILE_LEN - 1};

START_TEST(zeros_stand_in_for_what_a_file_has_not)
{
    static char got[FILE_LEN + 5], expected[FILE_LEN];
    unsigned have = lengths[_i] ? lengths[_i] - 1 : 0;
    int fd = pattern_file();
    ck_assert_int_eq(ftruncate(fd, lengths[_i]), 0);
    ck_assert_int_eq(conn_transmit_file(&c, &request, &head, fd, 1, FILE_LEN), have);
    ck_assert_uint_eq(receive_all(got, sizeof got, 0), 4 + FILE_LEN);
    memcpy(expected, pattern + 1, have);
    ck_assert_mem_eq(got + 4, expected, FILE_LEN);
    close(fd);
}
END_TEST

/* Without a record there is nothing to make whole. */
START_TEST(nothing_stands_in_without_a_head)
{
    static char got[FILE_LEN + 1];
    unsigned have = lengths[_i];
    int fd = pattern_file();
    ck_assert_int_eq(ftruncate(fd, have), 0);
    ck_assert_int_eq(conn_transmit_file(&c, &request, NULL, fd, 0, FILE_LEN), have);
    if (have)
        ck_assert_uint_eq(receive_all(got, have, 0), have);
    ck_assert_mem_eq(got, pattern, have);
    ck_assert_uint_eq(buf_len(&c.out), 0);
    close(fd);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_zeros)
{
    static char got[1005], expected[1000];
    ck_assert_int_eq(conn_transmit_file(&c, &request, &head, -1, 0, 1000), 0);
    ck_assert_uint_eq(receive_all(got, sizeof got, 0), 1004);
    ck_assert_mem_eq(got + 4, expected, 1000);
}
END_TEST

/* Whatever an application has made of SIGPIPE: the peer is gone, and that is all. */
START_TEST(a_peer_that_is_gone_sends_no_signal)
{
    int fd = pattern_file();
    sigset_t mask;
    signal(SIGPIPE, SIG_DFL);
    close(peer);
    peer = -1;
    if (_i) /* sendfile is the first to know */
        ck_assert_int_eq(conn_transmit_file(&c, &request, NULL, fd, 0, FILE_LEN), FILE_LEN);
    else {
        ck_assert_int_eq(conn_transmit_file(&c, &request, &head, fd, 0, FILE_LEN), -1);
        ck_assert_int_eq(errno, EPIPE);
    }
    ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    ck_assert_int_eq(sigismember(&mask, SIGPIPE), 0);
    while (c.state != CONN_CLOSED)
        ev_run(lane->loop, EVRUN_ONCE);
    ck_assert_int_eq(conn_transmit_file(&c, &request, &head, fd, 0, FILE_LEN), -1);
    ck_assert_int_eq(errno, EPIPE);
    close(fd);
}
END_TEST

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("conn_transmit");
    TCase *tc = tcase_create("transmit");
    tcase_add_checked_fixture(tc, setup, rig_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, turns_are_taken_in_order, 0, 3);
    tcase_add_loop_test(tc, all_turns_end_with_the_connection, 0, 3);
    tcase_add_loop_test(tc, all_turns_end_with_the_request, 0, 3);
    tcase_add_test(tc, a_short_piece_waits_behind_others);
    tcase_add_loop_test(tc, who_waits_runs_the_loop, 0, 2);
    tcase_add_loop_test(tc, who_runs_the_loop_is_behind_those_who_wait, 0, 2);
    tcase_add_loop_test(tc, the_connection_ends_in_the_loop, 0, 2);
    tcase_add_loop_test(tc, the_request_ends_in_the_loop, 0, 2);
    tcase_add_test(tc, interim);
    tcase_add_loop_test(tc, a_file_is_sent_behind_its_head, 0, 2);
    tcase_add_test(tc, a_file_waits_until_nothing_is_kept);
    tcase_add_test(tc, a_file_is_kept_behind_others_by_who_must_not_wait);
    tcase_add_loop_test(tc, zeros_stand_in_for_what_a_file_has_not, 0, COUNT(lengths));
    tcase_add_loop_test(tc, nothing_stands_in_without_a_head, 0, COUNT(lengths));
    tcase_add_test(tc, a_file_that_cannot_be_read_is_zeros);
    tcase_add_loop_test(tc, a_peer_that_is_gone_sends_no_signal, 0, 2);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
