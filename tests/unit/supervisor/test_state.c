#include "config.h"

#include "supervisor/state.h"

#include "base/descriptors.h"
#include "ipc/fd_socket.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct state full;
static char reason[STATE_REASON_SIZE];

/* But for their control sockets. Static, and copied as bytes: their padding is zero then, as that of what is read. */
static const struct state_worker first = {.slot = 0,
                                          .number = 1,
                                          .generation = 3,
                                          .pid = 4711,
                                          .phase = 2,
                                          .wish = 4,
                                          .started_at = UINT64_MAX,
                                          .served_at = 1,
                                          .retire_at = 2,
                                          .wished_at = 3,
                                          .kill_at = 4,
                                          .peers_told = 2,
                                          .flags = STATE_GREETED | STATE_MEMORY_TOLD};
static const struct state_worker second = {.slot = 1, .number = 0, .generation = 2, .pid = 4712};
static const struct state_zygote zygote = {.generation = 3, .pid = 4713, .phase = 1};

/* A socket that listens at an abstract address which the system chooses. */
static int make_listening(void) {
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, sizeof any.sun_family), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

static int make_pair_end(void) {
    int pair[2];
    ck_assert_int_eq(fd_socket_pair(pair), 0);
    return pair[0];
}

static void add_listeners(void) {
    struct listener l = {.fd = make_listening(),
                         .is_unix = true,
                         .protocol = LISTENER_HTTP,
                         .asked = (char *)(uintptr_t) "a\nb.sock",
                         .path = (char *)(uintptr_t) "/run/a\nb.sock",
                         .dev = 7,
                         .ino = UINT64_C(1) << 40,
                         .owner = getpid(),
                         .text = "/run/a\\x0ab.sock"};
    ck_assert_int_eq(state_add_listener(&full, &l), 0);
    l = (struct listener){.fd = make_listening(), .inherited = true, .given = 5, .activated = true, .text = "*:80"};
    ck_assert_int_eq(state_add_listener(&full, &l), 0);
}

/* One that has everything. Its descriptors are real. */
static void setup(void) {
    int queue[2], board;
    state_init(&full);
    ck_assert_ptr_nonnull(scoreboard_new(&board));
    ck_assert_int_eq(fd_socket_pair(queue), 0);
    full.program = strdup("/usr/bin/wsgi-fcgi");
    full.generation = 3;
    full.chosen = 3;
    full.count = 2;
    full.scoreboard = board;
    full.queue[0] = queue[0];
    full.queue[1] = queue[1];
    full.wake[0] = eventfd(0, EFD_CLOEXEC);
    full.wake[1] = eventfd(0, EFD_CLOEXEC);
    full.nwake = 2;
    full.shared[CONTROL_MEMORY_LOG] = memfd_create("log", MFD_CLOEXEC);
    full.pid_file = memfd_create("pid", MFD_CLOEXEC);
    full.pid_file_path = strdup("/run/app.pid");
    add_listeners();
    memcpy(&full.workers[0], &first, sizeof first);
    full.workers[0].control = make_pair_end();
    memcpy(&full.workers[1], &second, sizeof second);
    full.workers[1].control = make_pair_end();
    full.nworkers = 2;
    memcpy(&full.zygotes[0], &zygote, sizeof zygote);
    full.zygotes[0].control = make_pair_end();
    full.nzygotes = 1;
}

static void teardown(void) {
    state_fini(&full);
}

static void check_listeners(const struct state *s) {
    ck_assert_uint_eq(s->nlisteners, 2);
    for (int i = 0; i < 2; i++) {
        const struct listener *l = &s->listeners[i], *was = &full.listeners[i];
        ck_assert_int_eq(l->fd, was->fd);
        ck_assert_int_eq(l->is_unix, was->is_unix);
        ck_assert_int_eq(l->inherited, was->inherited);
        ck_assert_int_eq(l->activated, was->activated);
        ck_assert_int_eq(l->given, was->given);
        ck_assert_int_eq(l->protocol, was->protocol);
        ck_assert_pstr_eq(l->path, was->path);
        ck_assert_uint_eq(l->dev, was->dev);
        ck_assert_uint_eq(l->ino, was->ino);
        ck_assert_int_eq(l->owner, was->owner);
        ck_assert_str_eq(l->text, was->text);
        ck_assert_pstr_eq(l->asked, was->asked);
    }
}

static void check_same(const struct state *s) {
    ck_assert_str_eq(s->program, full.program);
    ck_assert_uint_eq(s->generation, full.generation);
    ck_assert_uint_eq(s->chosen, full.chosen);
    ck_assert_uint_eq(s->count, full.count);
    ck_assert_int_eq(s->scoreboard, full.scoreboard);
    ck_assert_mem_eq(s->shared, full.shared, sizeof s->shared);
    ck_assert_mem_eq(s->queue, full.queue, sizeof s->queue);
    ck_assert_uint_eq(s->nwake, full.nwake);
    ck_assert_mem_eq(s->wake, full.wake, sizeof s->wake);
    ck_assert_int_eq(s->pid_file, full.pid_file);
    ck_assert_pstr_eq(s->pid_file_path, full.pid_file_path);
    check_listeners(s);
    ck_assert_uint_eq(s->nworkers, full.nworkers);
    ck_assert_mem_eq(s->workers, full.workers, sizeof s->workers);
    ck_assert_uint_eq(s->nzygotes, full.nzygotes);
    ck_assert_mem_eq(s->zygotes, full.zygotes, sizeof s->zygotes);
}

START_TEST(read_as_written)
{
    struct state s;
    int fd = state_write(&full);
    ck_assert_int_ge(fd, 0);
    ck_assert(descriptors_is_own(fd));
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    ck_assert_msg(!state_read(fd, &s, reason), "%s", reason);
    check_same(&s);
    state_fini(&s);
    descriptors_close(fd);
}
END_TEST

START_TEST(nobody_changes_it)
{
    int fd = state_write(&full);
    ck_assert_int_eq(write(fd, "x", 1), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}
END_TEST

/* All of its bytes, and how many. */
static char *bytes_of(const struct state *s, size_t *n) {
    struct stat st;
    int fd = state_write(s);
    ck_assert_int_eq(fstat(fd, &st), 0);
    *n = (size_t)st.st_size;
    char *bytes = malloc(*n);
    ck_assert_int_eq(pread(fd, bytes, *n, 0), st.st_size);
    descriptors_close(fd);
    return bytes;
}

static void check_refused(const char *bytes, size_t n) {
    struct state s;
    reason[0] = '\0';
    REQUIRE(state_decode(bytes, n, &s, reason) == -1);
    REQUIRE(reason[0] && !s.program && !s.listeners && !s.nworkers && !s.nzygotes);
    state_fini(&s);
}

START_TEST(every_cut_is_noticed)
{
    size_t n;
    struct guard g;
    char *bytes = bytes_of(&full, &n);
    guard_init(&g, n);
    for (size_t cut = 0; cut < n; cut++)
        check_refused(guard_put(&g, bytes, cut), cut);
    guard_fini(&g);
    free(bytes);
}
END_TEST

/* Any single byte may be anything: nothing is read or written outside, which the sanitizers would see. */
START_TEST(no_byte_is_trusted)
{
    size_t n;
    struct guard g;
    struct state s;
    char *bytes = bytes_of(&full, &n);
    guard_init(&g, n);
    for (size_t i = 0; i < n; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (char)(1 << bit);
            state_decode(guard_put(&g, bytes, n), n, &s, reason);
            state_fini(&s);
            bytes[i] ^= (char)(1 << bit);
        }
    }
    guard_fini(&g);
    free(bytes);
}
END_TEST

START_TEST(later_versions_say_more)
{
    struct state s;
    size_t n;
    char *bytes = bytes_of(&full, &n), *more = malloc(n + 12);
    const uint32_t unknown[] = {4711, 4, 0};
    memcpy(more, bytes, 8);
    memcpy(more + 8, unknown, sizeof unknown);
    memcpy(more + 8 + sizeof unknown, bytes + 8, n - 8);
    ck_assert_msg(!state_decode(more, n + sizeof unknown, &s, reason), "%s", reason);
    check_same(&s);
    state_fini(&s);
    more[4]++; /* the version */
    check_refused(more, n + sizeof unknown);
    ck_assert_ptr_nonnull(strstr(reason, "restart"));
    free(more);
    free(bytes);
}
END_TEST

static void check_not_written_like_this(void) {
    size_t n;
    char *bytes = bytes_of(&full, &n);
    check_refused(bytes, n);
    free(bytes);
}

START_TEST(values_have_bounds)
{
    struct state was = full;
#define REFUSED(member, value)                                                                                         \
    full.member = (value);                                                                                             \
    check_not_written_like_this();                                                                                     \
    full = was;
    REFUSED(generation, 0)
    REFUSED(count, 0)
    REFUSED(count, SCOREBOARD_SLOTS + 1)
    REFUSED(chosen, SCOREBOARD_SLOTS + 1)
    REFUSED(workers[0].slot, full.nwake)
    REFUSED(workers[0].number, SCOREBOARD_SLOTS)
    REFUSED(workers[0].slot, full.workers[1].slot)
    REFUSED(workers[0].pid, full.workers[1].pid)
    REFUSED(workers[0].pid, 1)
    REFUSED(workers[0].pid, -1)
    REFUSED(zygotes[0].pid, 0)
    full.pid_file_path[0] = 'x';
    check_not_written_like_this();
    full.pid_file_path[0] = '/';
    full.program[0] = 'x';
    check_not_written_like_this();
    full.program[0] = '\0';
    check_not_written_like_this();
    full.program[0] = '/';
    full.listeners[0].protocol = LISTENER_PROTOCOL_COUNT;
    check_not_written_like_this();
}
END_TEST

/* --- descriptors */

static void check_descriptor_refused(int *place, int fd) {
    struct state s;
    int was = *place;
    *place = fd;
    int file = state_write(&full);
    ck_assert_int_eq(state_read(file, &s, reason), -1);
    ck_assert_ptr_null(s.program);
    if (fd > 0) {
        char number[16];
        snprintf(number, sizeof number, " %d ", fd);
        ck_assert_msg(strstr(reason, number), "%s", reason);
    }
    state_fini(&s);
    descriptors_close(file);
    *place = was;
}

START_TEST(descriptors_are_looked_at)
{
    int *places[] = {&full.scoreboard,      &full.queue[0],           &full.queue[1],           &full.wake[1],
                     &full.listeners[1].fd, &full.workers[0].control, &full.zygotes[0].control, &full.pid_file};
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC), talks = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int closed = dup(file);
    close(closed);
    for (int i = 0; i < COUNT(places); i++) {
        check_descriptor_refused(places[i], file);
        check_descriptor_refused(places[i], talks);
        check_descriptor_refused(places[i], closed + 1000);
        if (places[i] != &full.workers[0].control && places[i] != &full.zygotes[0].control &&
            places[i] != &full.pid_file)
            check_descriptor_refused(places[i], -1);
    }
    check_descriptor_refused(&full.workers[0].control, full.queue[0]); /* of this kind, but somebody else's */
    check_descriptor_refused(&full.wake[0], full.wake[1]);
    check_descriptor_refused(&full.listeners[1].fd, full.listeners[0].fd);
}
END_TEST

START_TEST(other_files_are_refused)
{
    struct state s;
    int files[] = {-1, open("/dev/null", O_RDWR | O_CLOEXEC), memfd_create("empty", MFD_CLOEXEC), full.scoreboard,
                   full.queue[0]};
    for (int i = 0; i < COUNT(files); i++) {
        reason[0] = '\0';
        ck_assert_int_eq(state_read(files[i], &s, reason), -1);
        ck_assert_str_ne(reason, "");
        state_fini(&s);
    }
}
END_TEST

static void check_flag_cb(int fd, void *arg) {
    ck_assert_int_eq(fcntl(fd, F_GETFD), *(const int *)arg);
}

START_TEST(all_are_passed_on)
{
    int cloexec = FD_CLOEXEC, none = 0;
    state_visit(&full, check_flag_cb, &cloexec);
    state_pass_on(&full, true);
    state_visit(&full, check_flag_cb, &none);
    state_pass_on(&full, false);
    state_visit(&full, check_flag_cb, &cloexec);
}
END_TEST

static void check_own_cb(int fd, void *unused) {
    (void)unused;
    ck_assert(descriptors_is_own(fd));
}

START_TEST(all_are_adopted)
{
    int cloexec = FD_CLOEXEC;
    ck_assert(!descriptors_is_own(full.wake[0]));
    state_pass_on(&full, true);
    ck_assert_int_eq(state_adopt(&full), 0);
    state_visit(&full, check_flag_cb, &cloexec);
    state_visit(&full, check_own_cb, NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("state");
    TCase *tc = tcase_create("state");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, read_as_written);
    tcase_add_test(tc, nobody_changes_it);
    tcase_add_test(tc, every_cut_is_noticed);
    tcase_add_test(tc, no_byte_is_trusted);
    tcase_add_test(tc, later_versions_say_more);
    tcase_add_test(tc, values_have_bounds);
    tcase_add_test(tc, descriptors_are_looked_at);
    tcase_add_test(tc, other_files_are_refused);
    tcase_add_test(tc, all_are_passed_on);
    tcase_add_test(tc, all_are_adopted);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
