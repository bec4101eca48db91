#include "config.h"

#include "ipc/fd_socket.h"

#include "base/descriptors.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { NUMBERS = 256, MESSAGE_SIZE = 64 };

static int count_open(void) {
    int n = 0;
    for (int fd = 0; fd < NUMBERS; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static bool is_same_file(int a, int b) {
    struct stat st_a, st_b;
    return !fstat(a, &st_a) && !fstat(b, &st_b) && st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

static int send_text(int socket, const char *text, const int *fds, unsigned nfds) {
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    return fd_socket_send(socket, &part, 1, fds, nfds);
}

/* Both ends, a place for what arrives, and how many descriptors are open with them. */
struct rig {
    int pair[2];
    int open;
    char buf[MESSAGE_SIZE];
    int fds[FD_SOCKET_FDS];
    unsigned nfds;
};

static void rig_init(struct rig *r) {
    *r = (struct rig){.nfds = 99};
    ck_assert_int_eq(fd_socket_pair(r->pair), 0);
    r->open = count_open();
}

static ssize_t receive(struct rig *r) {
    return fd_socket_receive(r->pair[1], r->buf, sizeof r->buf, r->fds, &r->nfds);
}

static void check_refused(struct rig *r, int error) {
    ck_assert_int_eq(receive(r), -1);
    ck_assert_int_eq(errno, error);
    ck_assert_uint_eq(r->nfds, 0);
    ck_assert_int_eq(count_open(), r->open);
}

static void close_received(struct rig *r) {
    for (unsigned i = 0; i < r->nfds; i++)
        descriptors_close(r->fds[i]);
    ck_assert_int_eq(count_open(), r->open);
}

START_TEST(pair_is_the_servers)
{
    struct rig r;
    rig_init(&r);
    for (int i = 0; i < 2; i++) {
        ck_assert(descriptors_is_own(r.pair[i]));
        ck_assert_int_eq(fcntl(r.pair[i], F_GETFD), FD_CLOEXEC);
        ck_assert_int_ne(fcntl(r.pair[i], F_GETFL) & O_NONBLOCK, 0);
    }
}
END_TEST

START_TEST(messages_stay_apart)
{
    struct rig r;
    rig_init(&r);
    char on[] = "on", e[] = "e";
    struct iovec parts[] = {{on, 2}, {on, 0}, {e, 1}};
    ck_assert_int_eq(fd_socket_send(r.pair[0], parts, 3, NULL, 0), 0);
    ck_assert_int_eq(send_text(r.pair[0], "second", NULL, 0), 0);
    ck_assert_int_eq(receive(&r), 3);
    ck_assert_mem_eq(r.buf, "one", 3);
    ck_assert_uint_eq(r.nfds, 0);
    ck_assert_int_eq(receive(&r), 6);
    check_refused(&r, EAGAIN);
}
END_TEST

START_TEST(descriptors_come_in_order)
{
    struct rig r;
    int ends[4];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(ends + 2, 0), 0);
    rig_init(&r);
    ck_assert_int_eq(send_text(r.pair[0], "four", ends, 4), 0);
    ck_assert_int_eq(count_open(), r.open);
    ck_assert_int_eq(receive(&r), 4);
    ck_assert_uint_eq(r.nfds, 4);
    for (int i = 0; i < 4; i++) {
        ck_assert(is_same_file(ends[i], r.fds[i]));
        ck_assert(descriptors_is_own(r.fds[i]));
        ck_assert_int_eq(fcntl(r.fds[i], F_GETFD), FD_CLOEXEC);
    }
    close_received(&r);
}
END_TEST

START_TEST(too_long_is_refused)
{
    struct rig r;
    rig_init(&r);
    char text[MESSAGE_SIZE + 2] = "";
    memset(text, 'x', sizeof text - 1);
    ck_assert_int_eq(send_text(r.pair[0], text, r.pair, 2), 0);
    check_refused(&r, EMSGSIZE);
    text[MESSAGE_SIZE] = '\0';
    ck_assert_int_eq(send_text(r.pair[0], text, NULL, 0), 0);
    ck_assert_int_eq(receive(&r), MESSAGE_SIZE);
}
END_TEST

/* Sends `count` copies of a descriptor, more than fd_socket_send does. */
static void send_many(int socket, const void *text, size_t length, int fd, int count) {
    union {
        char space[CMSG_SPACE(sizeof(int) * 16)];
        struct cmsghdr align;
    } rights = {.space = ""};
    struct iovec part = {.iov_base = (void *)(uintptr_t)text, .iov_len = length};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = rights.space,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    for (int i = 0; i < count; i++)
        memcpy(CMSG_DATA(header) + sizeof(int) * (size_t)i, &fd, sizeof fd);
    ck_assert_int_eq(sendmsg(socket, &message, 0), (int)length);
}

START_TEST(too_many_descriptors_are_refused)
{
    struct rig r;
    rig_init(&r);
    send_many(r.pair[0], "five", 4, r.pair[0], FD_SOCKET_FDS + 1);
    check_refused(&r, EMFILE);
}
END_TEST

START_TEST(no_room_for_descriptors)
{
    struct rig r;
    rig_init(&r);
    int both[] = {r.pair[0], r.pair[0]};
    struct rlimit limit, before;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(r.pair[0]);
    close(highest);
    for (int room = 0; room < 2; room++) {
        ck_assert_int_eq(send_text(r.pair[0], "two", both, 2), 0);
        limit = before;
        limit.rlim_cur = (rlim_t)(highest + room);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        check_refused(&r, EMFILE);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    }
    ck_assert_int_eq(send_text(r.pair[0], "two", both, 2), 0);
    ck_assert_int_eq(receive(&r), 3);
    close_received(&r);
}
END_TEST

/* Not to be told from the end of the peer but by its descriptors, which must not stay. */
START_TEST(empty_message_leaves_nothing)
{
    struct rig r;
    rig_init(&r);
    send_many(r.pair[0], "", 0, r.pair[0], 2);
    ck_assert_int_eq(receive(&r), 0);
    ck_assert_uint_eq(r.nfds, 0);
    ck_assert_int_eq(count_open(), r.open);
}
END_TEST

START_TEST(full_queue_takes_nothing)
{
    struct rig r;
    int sent = 0, received = 0;
    rig_init(&r);
    while (!send_text(r.pair[0], "message", r.pair, 1))
        sent++;
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_gt(sent, 1);
    while (receive(&r) == 7) {
        ck_assert_uint_eq(r.nfds, 1);
        close_received(&r);
        received++;
    }
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(received, sent);
}
END_TEST

/* The error that says so comes before them. */
START_TEST(last_words_of_a_peer_that_has_not_read)
{
    struct rig r;
    rig_init(&r);
    ck_assert_int_eq(send_text(r.pair[1], "unread", NULL, 0), 0);
    ck_assert_int_eq(send_text(r.pair[0], "last", NULL, 0), 0);
    descriptors_close(r.pair[0]);
    ck_assert_int_eq(receive(&r), 4);
    ck_assert_int_eq(receive(&r), 0);
}
END_TEST

START_TEST(end_of_the_peer)
{
    struct rig r;
    rig_init(&r);
    ck_assert_int_eq(send_text(r.pair[0], "last", NULL, 0), 0);
    descriptors_close(r.pair[0]);
    ck_assert_int_eq(receive(&r), 4);
    ck_assert_int_eq(receive(&r), 0);
    ck_assert_uint_eq(r.nfds, 0);
    ck_assert_int_eq(send_text(r.pair[1], "nobody", NULL, 0), -1);
    ck_assert_int_eq(errno, EPIPE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fd_socket");
    TCase *tc = tcase_create("fd_socket");
    tcase_add_test(tc, pair_is_the_servers);
    tcase_add_test(tc, messages_stay_apart);
    tcase_add_test(tc, descriptors_come_in_order);
    tcase_add_test(tc, too_long_is_refused);
    tcase_add_test(tc, too_many_descriptors_are_refused);
    tcase_add_test(tc, no_room_for_descriptors);
    tcase_add_test(tc, empty_message_leaves_nothing);
    tcase_add_test(tc, full_queue_takes_nothing);
    tcase_add_test(tc, last_words_of_a_peer_that_has_not_read);
    tcase_add_test(tc, end_of_the_peer);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
