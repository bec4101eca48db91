#include "config.h"

#include "net/status_server.h"

#include "base/log.h"
#include "net/loop.h"
#include "net/listen/address.h"
#include "net/status_page.h"
#include "unit/unit.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct ev_loop *loop;
static struct listener_set listeners;
static struct allow_rules rules;
static struct status_page page;
static struct status_server *server;
static char path[64];

static const char request[] = "GET /?format=json HTTP/1.1\r\nHost: a\r\n\r\n";

static void setup(void) {
    static const struct allow_settings settings = {0};
    static const struct status_source source = {.application = "app"};
    struct listener_settings listening = {.mode = 0600, .backlog = 128, .protocol = LISTENER_STATUS};
    char reason[ADDRESS_REASON_SIZE];
    struct address *list;
    size_t count;
    log_max_level = LOG_LEVEL_ERROR;
    snprintf(path, sizeof path, "/tmp/wsgi-fcgi-status-%d", (int)getpid());
    loop = loop_new();
    ck_assert_ptr_nonnull(loop);
    ck_assert_int_eq(address_parse(path, &list, &count, reason), 0);
    ck_assert_int_eq(listener_open(&listeners, list, count, &listening), 0);
    free(list);
    ck_assert_int_eq(allow_init(&rules, &settings), 0);
    status_page_init(&page, loop, &source, NULL);
    server = status_server_new(loop, &listeners, &rules, &page);
    ck_assert_ptr_nonnull(server);
}

static void teardown(void) {
    status_server_free(server);
    status_page_fini(&page);
    listener_close_all(&listeners);
    allow_fini(&rules);
    loop_free(loop);
}

static int dial(void) {
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    REQUIRE(fd >= 0 && !connect(fd, (struct sockaddr *)&sa, sizeof sa));
    return fd;
}

static void say(int fd, const char *text) {
    REQUIRE(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void turn(void) {
    ev_run(loop, EVRUN_NOWAIT);
}

/* Lets the loop run until the peer has an answer, and reads what there is of it; 0: the end came instead. */
static size_t hear(int fd, char *out, size_t size) {
    for (;;) {
        ssize_t n = recv(fd, out, size - 1, 0);
        out[n > 0 ? n : 0] = '\0';
        if (n >= 0)
            return (size_t)n;
        if (errno == ECONNRESET)
            return 0;
        REQUIRE(errno == EAGAIN);
        ev_run(loop, EVRUN_ONCE);
    }
}

static bool begins(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

START_TEST(answer)
{
    char text[8192];
    int fd = dial();
    say(fd, request);
    ck_assert_uint_gt(hear(fd, text, sizeof text), 0);
    ck_assert(begins(text, "HTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "Content-Type: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\n{\"version\":1,"));
    ck_assert_uint_eq(hear(fd, text, sizeof text), 0);
    close(fd);
    turn();
    ck_assert(!status_server_is_busy(server));
}
END_TEST

/* In whatever state it is when its peer leaves, or the server ends. */
static const struct {
    const char *text;
    unsigned turns;
} moments[] = {{"", 0},      {"", 1},      {"GET /", 1}, {request, 1}, {request, 2},
               {request, 3}, {request, 9}, {"\n", 1},    {"\n", 9},    {"POST / HTTP/1.0\r\n\r\n", 2}};

static int at_moment(int i) {
    int fd = dial();
    say(fd, moments[i].text);
    for (unsigned n = 0; n < moments[i].turns; n++)
        turn();
    return fd;
}

START_TEST(peer_leaves)
{
    close(at_moment(_i));
    for (int i = 0; i < 20; i++)
        turn();
    int other = dial();
    char text[8192];
    say(other, request);
    ck_assert_uint_gt(hear(other, text, sizeof text), 0);
    close(other);
}
END_TEST

START_TEST(server_ends)
{
    int fd = at_moment(_i);
    status_server_free(server);
    server = NULL;
    turn();
    close(fd);
}
END_TEST

START_TEST(server_stops)
{
    char text[8192];
    int fd = dial(), late = dial();
    say(fd, request);
    turn();
    status_server_stop(server);
    status_server_stop(server);
    ck_assert_int_eq(access(path, F_OK), -1);
    say(late, request);
    ck_assert_uint_gt(hear(fd, text, sizeof text), 0);
    ck_assert(begins(text, "HTTP/1.1 200 OK\r\n"));
    ck_assert_uint_gt(hear(late, text, sizeof text), 0);
    ck_assert(begins(text, "HTTP/1.1 200 OK\r\n"));
    close(fd);
    close(late);
}
END_TEST

/* The oldest gives way; one that has asked does not, however many come. */
START_TEST(more_than_there_is_room_for)
{
    enum { MANY = 3 * STATUS_SERVER_CLIENTS };
    char text[8192];
    int asked = dial(), idle[MANY];
    say(asked, request);
    for (int i = 0; i < MANY; i++)
        idle[i] = dial();
    ck_assert_uint_gt(hear(asked, text, sizeof text), 0);
    ck_assert(begins(text, "HTTP/1.1 200 OK\r\n"));
    for (int i = 0; i < MANY - STATUS_SERVER_CLIENTS; i++)
        ck_assert_uint_eq(hear(idle[i], text, sizeof text), 0);
    say(idle[MANY - 1], request);
    ck_assert_uint_gt(hear(idle[MANY - 1], text, sizeof text), 0);
    for (int i = 0; i < MANY; i++)
        close(idle[i]);
    close(asked);
}
END_TEST

/* All of them wait for the page: then others wait in the backlog, and are served. */
START_TEST(all_wait_for_the_page)
{
    enum { MANY = 2 * STATUS_SERVER_CLIENTS + 1 };
    char text[8192];
    int fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial();
        say(fds[i], request);
    }
    for (int i = 0; i < MANY; i++) {
        ck_assert_uint_gt(hear(fds[i], text, sizeof text), 0);
        ck_assert(begins(text, "HTTP/1.1 200 OK\r\n"));
    }
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("status_server");
    TCase *tc = tcase_create("core");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, answer);
    tcase_add_loop_test(tc, peer_leaves, 0, COUNT(moments));
    tcase_add_loop_test(tc, server_ends, 0, COUNT(moments));
    tcase_add_test(tc, server_stops);
    tcase_add_test(tc, more_than_there_is_room_for);
    tcase_add_test(tc, all_wait_for_the_page);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
