#include "config.h"

#include "ipc/log_ring.h"

#include "unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

static struct log_ring *ring;
static struct log_ring_line lines[LOG_RING_READ_MAX];

static void setup(void) {
    int fd;
    ring = log_ring_new(&fd);
    ck_assert_ptr_nonnull(ring);
}

static void put(unsigned slot, const char *text) {
    log_ring_put(ring, slot, LOG_LEVEL_WARNING, text, strlen(text));
}

static void check_texts(size_t count, const char *const texts[]) {
    ck_assert_uint_eq(log_ring_read(ring, lines, LOG_RING_READ_MAX), count);
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(lines[i].text, texts[i]);
}

START_TEST(lines_come_in_the_order_of_time)
{
    ck_assert_uint_eq(log_ring_read(ring, lines, LOG_RING_READ_MAX), 0);
    put(3, "one");
    put(LOG_RING_SUPERVISOR, "two");
    put(3, "three");
    put(LOG_RING_ZYGOTES, "four");
    check_texts(4, (const char *[]){"one", "two", "three", "four"});
    ck_assert_uint_eq(log_ring_read(ring, lines, 2), 2);
    ck_assert_str_eq(lines[0].text, "three");
    ck_assert_int_eq(lines[0].pid, getpid());
    ck_assert_int_eq(lines[0].level, LOG_LEVEL_WARNING);
    ck_assert_uint_ge(lines[1].at, lines[0].at);
    ck_assert_uint_eq(log_ring_read(ring, lines, 0), 0);
}
END_TEST

START_TEST(the_last_lines_stay)
{
    char text[32];
    for (int i = 0; i < 3 * LOG_RING_LINES + 5; i++) {
        snprintf(text, sizeof text, "line %d", i);
        put(0, text);
    }
    ck_assert_uint_eq(log_ring_read(ring, lines, LOG_RING_READ_MAX), LOG_RING_LINES);
    ck_assert_str_eq(lines[LOG_RING_LINES - 1].text, text);
    snprintf(text, sizeof text, "line %d", 2 * LOG_RING_LINES + 5);
    ck_assert_str_eq(lines[0].text, text);
}
END_TEST

START_TEST(texts_are_bounded)
{
    static char text[1000];
    memset(text, 'x', sizeof text);
    memcpy(text + LOG_RING_TEXT_MAX - 1, "\xc3\xa4", 2);
    log_ring_put(ring, 0, LOG_LEVEL_ERROR, text, sizeof text);
    ck_assert_uint_eq(log_ring_read(ring, lines, 1), 1);
    ck_assert_uint_eq(lines[0].len, LOG_RING_TEXT_MAX - 1); /* not within a character */
    ck_assert_uint_eq(strlen(lines[0].text), lines[0].len);
    put(0, "");
    check_texts(1, (const char *[]){lines[0].text});
}
END_TEST

START_TEST(long_texts_keep_both_ends)
{
    char text[1000] = "", *end = text;
    for (int i = 0; i < 40; i++)
        end += sprintf(end, "%d\n", i);
    put(0, text);
    ck_assert_uint_eq(log_ring_read(ring, lines, LOG_RING_READ_MAX), LOG_RING_FIRST_LINES + 1 + LOG_RING_LAST_LINES);
    ck_assert_str_eq(lines[LOG_RING_FIRST_LINES - 1].text, "7");
    ck_assert_str_eq(lines[LOG_RING_FIRST_LINES].text, "... (8 more lines)");
    ck_assert_str_eq(lines[LOG_RING_FIRST_LINES + 1].text, "16");
    ck_assert_str_eq(lines[LOG_RING_FIRST_LINES + LOG_RING_LAST_LINES].text, "39");
    put(0, "a\nb");
    ck_assert_uint_eq(log_ring_read(ring, lines, 2), 2);
    ck_assert_str_eq(lines[0].text, "a");
    ck_assert_str_eq(lines[1].text, "b");
}
END_TEST

START_TEST(what_is_shown_is_plain)
{
    put(0, "a\x1b[2Jb\tc \xff\\x41 \xe2\x80\xae \xc3\xa4");
    check_texts(1, (const char *[]){"a?[2Jb?c ?\\x41 ??? \xc3\xa4"});
}
END_TEST

/* Any process may have written over it. */
START_TEST(nothing_is_believed)
{
    put(0, "good");
    put(0, "bad");
    struct log_ring_place *place = &ring->places[0][1];
    const uint64_t what = place->what;
    place->what = what | 0xffff;
    check_texts(1, (const char *[]){"good"});
    place->what = what | 0xff0000;
    check_texts(1, (const char *[]){"good"});
    place->what = 0;
    check_texts(1, (const char *[]){"good"});
    place->what = what;
    memset(ring->next, 0xff, sizeof ring->next);
    (void)log_ring_read(ring, lines, LOG_RING_READ_MAX);
    memset((char *)ring + sizeof ring->head, 0xff, sizeof *ring - sizeof ring->head);
    (void)log_ring_read(ring, lines, LOG_RING_READ_MAX);
    memset((char *)ring + sizeof ring->head, 0xfe, sizeof *ring - sizeof ring->head);
    (void)log_ring_read(ring, lines, LOG_RING_READ_MAX);
}
END_TEST

START_TEST(a_place_left_half_written_is_used_again)
{
    put(0, "one");
    ring->places[0][1].turn = 1; /* somebody has died there */
    put(0, "lost");
    check_texts(1, (const char *[]){"one"});
    log_ring_keep(ring, 0);
    ring->next[0] = 1;
    put(0, "two");
    check_texts(2, (const char *[]){"one", "two"});
    log_keep_lines(NULL);
}
END_TEST

/* Without what stands in front of lines in the log. */
START_TEST(keeps_what_is_logged)
{
    log_ring_keep(ring, 5);
    log_error("it is %d", 1);
    log_block(LOG_LEVEL_INFO, "  at a\n  at b\n", "block");
    log_text(LOG_LEVEL_WARNING, "text\nof the application\n", 24);
    log_debug("nobody wants that");
    log_last(LOG_LEVEL_ERROR, "the end");
    log_keep_lines(NULL);
    log_error("not kept");
    check_texts(7, (const char *[]){"it is 1", "block", "  at a", "  at b", "text", "of the application", "the end"});
    ck_assert_int_eq(lines[0].level, LOG_LEVEL_ERROR);
    ck_assert_int_eq(lines[3].level, LOG_LEVEL_INFO);
    ck_assert_uint_eq(ring->next[5], 7);
}
END_TEST

START_TEST(lines_outlive_their_process)
{
    int status;
    pid_t child = fork();
    if (!child) {
        log_ring_keep(ring, 1);
        log_error("the last words");
        abort();
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    check_texts(1, (const char *[]){"the last words"});
    ck_assert_int_eq(lines[0].pid, child);
}
END_TEST

enum { WRITERS = 4, ROUNDS = 20000 };

static void *write_lines(void *arg) {
    char text[LOG_RING_TEXT_MAX];
    memset(text, 'a' + *(const int *)arg, sizeof text);
    for (int i = 0; i < ROUNDS; i++)
        log_ring_put(ring, 0, LOG_LEVEL_INFO, text, sizeof text);
    return NULL;
}

/* No line that is read is put together from two. */
START_TEST(lines_are_whole)
{
    pthread_t threads[WRITERS];
    int names[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        names[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, &names[i]), 0);
    }
    for (size_t read = 0; read < ROUNDS;) {
        size_t n = log_ring_read(ring, lines, LOG_RING_LINES);
        for (size_t i = 0; i < n; i++) {
            REQUIRE(lines[i].len == LOG_RING_TEXT_MAX);
            REQUIRE(strspn(lines[i].text, (char[]){lines[i].text[0], '\0'}) == LOG_RING_TEXT_MAX);
        }
        read += n + 1;
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("log_ring");
    TCase *tc = tcase_create("log_ring");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, lines_come_in_the_order_of_time);
    tcase_add_test(tc, the_last_lines_stay);
    tcase_add_test(tc, texts_are_bounded);
    tcase_add_test(tc, long_texts_keep_both_ends);
    tcase_add_test(tc, what_is_shown_is_plain);
    tcase_add_test(tc, nothing_is_believed);
    tcase_add_test(tc, a_place_left_half_written_is_used_again);
    tcase_add_test(tc, keeps_what_is_logged);
    tcase_add_test(tc, lines_outlive_their_process);
    tcase_add_test(tc, lines_are_whole);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
