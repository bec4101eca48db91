#include "config.h"

#include "sched/sched.h"

#include "sched_rig.h"

/* What other threads want the owner to do. */

enum { POSTERS = 4, NOTES = 5000 };

struct numbered {
    struct sched_note note;
    int poster, number;
};

static struct numbered notes[POSTERS][NOTES];
static int nnotes, next_number[POSTERS];
static sem_t all_notes;

static void numbered_cb(struct sched_note *note) {
    struct numbered *n = (struct numbered *)note;
    check_owner();
    REQUIRE(n->number == next_number[n->poster]++);
    if (++nnotes == POSTERS * NOTES)
        sem_post(&all_notes);
}

static void *poster_main(void *arg) {
    struct numbered *mine = arg;
    for (int i = 0; i < NOTES; i++)
        sched_post(sched, &mine[i].note);
    return NULL;
}

START_TEST(test_post)
{
    pthread_t posters[POSTERS];
    struct task task;
    start_watched(2);
    sem_init(&all_notes, 0, 0);
    for (int i = 0; i < POSTERS; i++) {
        for (int k = 0; k < NOTES; k++)
            notes[i][k] = (struct numbered){.note.call = numbered_cb, .poster = i, .number = k};
        ck_assert_int_eq(pthread_create(&posters[i], NULL, poster_main, notes[i]), 0);
    }
    task_init(&task, 1, give_and_sleep_body);
    for (int i = 0; i < 100; i++) {
        sem_post(&task.go);
        run_one(&task);
    }
    sem_wait(&all_notes);
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i], NULL);
    finish();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sched_notes");
    TCase *c = tcase_create("sched_notes");
    suite_add_tcase(suite, c);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, test_post);
    return unit_run(suite);
}
