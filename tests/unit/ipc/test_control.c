#include "config.h"

#include "ipc/control.h"

#include "base/descriptors.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

/* As versions of the program have in common: magic, type, slot, length of the text, a, b, text. */
enum { WIRE_SIZE = 32, NUMBERS = 256 };

static int pair[2];

static void setup(void) {
    ck_assert_int_eq(fd_socket_pair(pair), 0);
}

static int count_open(void) {
    int n = 0;
    for (int fd = 0; fd < NUMBERS; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void check_same(const struct control_message *m, const struct control_message *sent) {
    ck_assert_int_eq(m->type, sent->type);
    ck_assert_uint_eq(m->slot, sent->slot);
    ck_assert_uint_eq(m->a, sent->a);
    ck_assert_uint_eq(m->b, sent->b);
    ck_assert_str_eq(m->text, sent->text);
    ck_assert_uint_eq(m->nfds, sent->nfds);
}

static void check_passes(const struct control_message *sent) {
    struct control_message m;
    memset(&m, 0xff, sizeof m);
    int open = count_open();
    ck_assert_int_eq(control_send(pair[0], sent), 0);
    ck_assert_int_eq(control_receive(pair[1], &m), 1);
    check_same(&m, sent);
    control_close_fds(&m);
    ck_assert_uint_eq(m.nfds, 0);
    ck_assert_int_eq(count_open(), open);
}

START_TEST(arrives_as_sent)
{
    struct control_message sent = {.type = CONTROL_STOP};
    check_passes(&sent);
    sent = (struct control_message){.type = CONTROL_LISTENER,
                                    .slot = UINT32_MAX,
                                    .a = UINT64_MAX,
                                    .b = 1,
                                    .text = "/run/app.sock",
                                    .fds = {pair[0], pair[1]},
                                    .nfds = 2};
    check_passes(&sent);
    memset(sent.text, 'x', sizeof sent.text - 1);
    check_passes(&sent);
}
END_TEST

START_TEST(unknown_types_are_given)
{
    struct control_message sent = {.type = (enum control_type)1234567, .fds = {pair[0]}, .nfds = 1};
    check_passes(&sent);
}
END_TEST

START_TEST(taken_descriptors_stay_open)
{
    struct control_message m, sent = {.type = CONTROL_PEER, .fds = {pair[0], pair[1]}, .nfds = 2};
    ck_assert_int_eq(control_send(pair[0], &sent), 0);
    ck_assert_int_eq(control_receive(pair[1], &m), 1);
    int taken = m.fds[0], open = count_open();
    m.fds[0] = -1;
    control_close_fds(&m);
    ck_assert_int_eq(count_open(), open - 1);
    ck_assert_int_ge(fcntl(taken, F_GETFD), 0);
}
END_TEST

static void check_refused(const char *bytes, size_t n) {
    struct control_message m;
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    int open = count_open();
    ck_assert_int_eq(fd_socket_send(pair[0], &part, 1, pair, 2), 0);
    REQUIRE(control_receive(pair[1], &m) == -1);
    REQUIRE(errno == EPROTO);
    REQUIRE(m.nfds == 0);
    REQUIRE(count_open() == open);
}

START_TEST(other_forms_are_refused)
{
    struct control_message sent = {.type = CONTROL_LISTENER, .text = "/run/app.sock"};
    char whole[WIRE_SIZE + sizeof sent.text + 1] = "";
    ck_assert_int_eq(control_send(pair[0], &sent), 0);
    size_t n = (size_t)recv(pair[1], whole, sizeof whole, 0);
    ck_assert_uint_eq(n, WIRE_SIZE + strlen(sent.text));
    for (size_t cut = 1; cut < n; cut++)
        check_refused(whole, cut);
    check_refused(whole, n + 1);
    whole[0] ^= 1;
    check_refused(whole, n);
    whole[0] ^= 1;
    /* A text that would leave no room for the zero behind it. */
    uint32_t length = sizeof sent.text;
    memset(whole + WIRE_SIZE, 'x', length);
    memcpy(whole + 12, &length, sizeof length);
    check_refused(whole, WIRE_SIZE + length);
}
END_TEST

START_TEST(too_long_is_refused)
{
    struct control_message m;
    char bytes[2 * (WIRE_SIZE + CONTROL_TEXT_SIZE)] = "";
    ck_assert_int_eq(send(pair[0], bytes, sizeof bytes, 0), sizeof bytes);
    ck_assert_int_eq(control_receive(pair[1], &m), -1);
    ck_assert_int_eq(errno, EMSGSIZE);
}
END_TEST

START_TEST(nothing_there_and_nobody)
{
    struct control_message m, sent = {.type = CONTROL_LOADED};
    ck_assert_int_eq(control_receive(pair[1], &m), -1);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_eq(m.nfds, 0);
    descriptors_close(pair[0]);
    ck_assert_int_eq(control_receive(pair[1], &m), 0);
    ck_assert_uint_eq(m.nfds, 0);
    ck_assert_int_eq(control_send(pair[1], &sent), -1);
    ck_assert_int_eq(errno, EPIPE);
}
END_TEST

START_TEST(peer_that_does_not_read)
{
    struct control_message sent = {.type = CONTROL_PEER, .fds = {pair[0]}, .nfds = 1};
    int n = 0;
    while (!control_send(pair[0], &sent))
        n++;
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_gt(n, 64); /* CONTROL_PEER of all slots at once must fit */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("control");
    TCase *tc = tcase_create("control");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, arrives_as_sent);
    tcase_add_test(tc, unknown_types_are_given);
    tcase_add_test(tc, taken_descriptors_stay_open);
    tcase_add_test(tc, other_forms_are_refused);
    tcase_add_test(tc, too_long_is_refused);
    tcase_add_test(tc, nothing_there_and_nobody);
    tcase_add_test(tc, peer_that_does_not_read);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
