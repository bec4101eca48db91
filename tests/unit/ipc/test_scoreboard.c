#include "config.h"

#include "ipc/scoreboard.h"

#include "base/descriptors.h"

#include "unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

static void set(struct scoreboard *board, unsigned slot, enum scoreboard_state state, uint32_t computing) {
    board->slots[slot].state = state;
    board->slots[slot].computing = computing;
}

START_TEST(shared_by_processes)
{
    int fd, status;
    struct scoreboard *board = scoreboard_new(&fd);
    ck_assert_ptr_nonnull(board);
    ck_assert(descriptors_is_own(fd));
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    pid_t child = fork();
    if (!child) {
        struct scoreboard *mapped = scoreboard_map(fd);
        if (!mapped)
            _exit(1);
        set(mapped, SCOREBOARD_SLOTS - 1, SCOREBOARD_SERVING, 7);
        strcpy(mapped->calls[SCOREBOARD_SLOTS - 1][SCOREBOARD_CALLS - 1].text, "GET /");
        scoreboard_unmap(mapped);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(board->slots[SCOREBOARD_SLOTS - 1].computing, 7);
    ck_assert_str_eq(board->calls[SCOREBOARD_SLOTS - 1][SCOREBOARD_CALLS - 1].text, "GET /");
    scoreboard_unmap(board);
    descriptors_close(fd);
}
END_TEST

START_TEST(starts_empty)
{
    int fd;
    struct scoreboard *board = scoreboard_new(&fd);
    for (unsigned slot = 0; slot < SCOREBOARD_SLOTS; slot++)
        REQUIRE(board->slots[slot].state == SCOREBOARD_FREE);
    ck_assert_int_eq(scoreboard_find_idle(board, 0), -1);
    ck_assert_int_eq(scoreboard_find_serving(board, 0), -1);
}
END_TEST

/* Who cut the file would end every other process by SIGBUS. */
START_TEST(size_is_sealed)
{
    int fd;
    ck_assert_ptr_nonnull(scoreboard_new(&fd));
    ck_assert_int_eq(ftruncate(fd, 0), -1);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ftruncate(fd, 1 << 24), -1);
}
END_TEST

static void check_foreign(int fd) {
    ck_assert_ptr_null(scoreboard_map(fd));
    ck_assert_int_eq(errno, EPROTO);
}

START_TEST(others_are_not_mapped)
{
    int fd;
    struct scoreboard *board = scoreboard_new(&fd);
    int other = memfd_create("other", MFD_CLOEXEC);
    check_foreign(other);
    ck_assert_int_eq(ftruncate(other, sizeof *board), 0);
    check_foreign(other);
    ck_assert_ptr_null(scoreboard_map(-1));
    ck_assert_int_eq(errno, EBADF);
    board->head.version++;
    check_foreign(fd);
    board->head.version--;
    board->head.size--;
    check_foreign(fd);
    board->head.size++;
    board->head.count++;
    check_foreign(fd);
    board->head.count--;
    ck_assert_ptr_nonnull(scoreboard_map(fd));
}
END_TEST

START_TEST(finds_others_only)
{
    int fd;
    struct scoreboard *board = scoreboard_new(&fd);
    set(board, 3, SCOREBOARD_SERVING, 0);
    ck_assert_int_eq(scoreboard_find_idle(board, 3), -1);
    ck_assert_int_eq(scoreboard_find_serving(board, 3), -1);
    ck_assert_int_eq(scoreboard_find_idle(board, 2), 3);
    ck_assert_int_eq(scoreboard_find_idle(board, 4), 3);
    set(board, 5, SCOREBOARD_STARTING, 0);
    set(board, 6, SCOREBOARD_ENDING, 0);
    ck_assert_int_eq(scoreboard_find_serving(board, 3), -1);
}
END_TEST

START_TEST(finds_the_next_one_around)
{
    int fd;
    struct scoreboard *board = scoreboard_new(&fd);
    const unsigned last = SCOREBOARD_SLOTS - 1;
    set(board, 0, SCOREBOARD_SERVING, 0);
    set(board, 1, SCOREBOARD_SERVING, 1);
    set(board, last, SCOREBOARD_SERVING, 0);
    ck_assert_int_eq(scoreboard_find_serving(board, 0), 1);
    ck_assert_int_eq(scoreboard_find_idle(board, 0), (int)last);
    ck_assert_int_eq(scoreboard_find_idle(board, 1), (int)last);
    ck_assert_int_eq(scoreboard_find_idle(board, last), 0);
    board->slots[0].full = 1;
    ck_assert_int_eq(scoreboard_find_idle(board, last), -1);
    board->slots[0].full = 0;
    set(board, 0, SCOREBOARD_SERVING, 2);
    ck_assert_int_eq(scoreboard_find_idle(board, last), -1);
    ck_assert_int_eq(scoreboard_find_serving(board, last), 0);
}
END_TEST

/* Whatever is there: a process that writes anywhere may have written here. */
START_TEST(text_is_safe_to_show)
{
    struct scoreboard_call call = {.text = "GET /a\\x0ab"};
    char out[SCOREBOARD_TEXT_SIZE];
    scoreboard_text(&call, out);
    ck_assert_str_eq(out, "GET /a\\x0ab"); /* as the worker has escaped it */
    memcpy(call.text, "GET /\nwsgi-fcgi\x1b[2J", sizeof "GET /\nwsgi-fcgi\x1b[2J");
    scoreboard_text(&call, out);
    ck_assert(!strpbrk(out, "\n\x1b"));
    ck_assert(!strncmp(out, "GET /\\", 6));
    memset(call.text, 'x', sizeof call.text); /* without an end */
    scoreboard_text(&call, out);
    ck_assert_uint_eq(strlen(out), SCOREBOARD_TEXT_SIZE - 1);
    memset(call.text, '\n', sizeof call.text);
    scoreboard_text(&call, out);
    ck_assert_uint_lt(strnlen(out, sizeof out), SCOREBOARD_TEXT_SIZE);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("scoreboard");
    TCase *tc = tcase_create("scoreboard");
    tcase_add_test(tc, shared_by_processes);
    tcase_add_test(tc, starts_empty);
    tcase_add_test(tc, size_is_sealed);
    tcase_add_test(tc, others_are_not_mapped);
    tcase_add_test(tc, finds_others_only);
    tcase_add_test(tc, finds_the_next_one_around);
    tcase_add_test(tc, text_is_safe_to_show);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
