#include "config.h"

#include "unit/python/python_rig.h"

#include "python/report.h"

#include "base/log.h"
#include "python/stack.h"
#include "request/request.h"
#include "sched/sched.h"

#include <fcntl.h>
#include <sys/mman.h>

/* The scheduler, as far as reports know it: threads that run one job each. */

struct sched_thread {
    struct runner runner;
    struct sched_job *_Atomic runs;
};

static struct sched_thread threads[2];

/* Called at the second look for a job; then the thread is at something else. */
static struct sched_job *_Atomic goes_on_to;
static atomic_int looks;

void sched_visit_jobs(struct sched *s, sched_visit *visit, void *arg) {
    (void)s;
    if (atomic_fetch_add(&looks, 1) == 1 && atomic_load(&goes_on_to))
        atomic_store(&threads[0].runs, atomic_load(&goes_on_to));
    for (int i = 0; i < COUNT(threads); i++) {
        struct sched_job *job = atomic_load(&threads[i].runs);
        if (job)
            visit(job, &threads[i].runs, arg);
    }
}

int sched_thread_tid(const struct sched_thread *thread) {
    return atomic_load(&thread->runner.tid);
}

void *sched_thread_user(const struct sched_thread *thread) {
    return thread->runner.state;
}

void sched_thread_name(const struct sched_thread *thread, char out[static SCHED_NAME_SIZE]) {
    snprintf(out, SCHED_NAME_SIZE, "wsgi-fcgi-%d", (int)(thread - threads) + 1);
}

/* The log. */

static int file;
static char logged[1 << 20];
static struct request requests[2];

static void setup(void) {
    char why[STACK_REASON_SIZE];
    file = memfd_create("log", 0);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(fcntl(file, F_SETFL, O_APPEND), 0); /* threads write to it at the same time */
    ck_assert_int_ge(dup2(file, STDERR_FILENO), 0);
    Py_InitializeEx(0);
    ck_assert_msg(!stack_init(why), "%s", why);
    PyEval_SaveThread();
}

static void read_log(void) {
    ssize_t n = pread(file, logged, sizeof logged - 1, 0);
    ck_assert_int_ge(n, 0);
    logged[n] = '\0';
}

/* The thread sleeps in the call of the request when this returns. */
static void start(int i) {
    static char text[STACK_SIZE];
    enum stack_state doing;
    struct sched_thread *thread = &threads[i];
    runner_start(&thread->runner, "/srv/app.py", "import time\nhere()\ntime.sleep(1000)\n");
    do
        stack_take(sched_thread_tid(thread), thread->runner.state, text, &doing);
    while (doing != STACK_SLEEPS || !strstr(text, "line 3"));
    requests[i].job.begun_at = 4711;
    atomic_store(&threads[i].runs, &requests[i].job);
}

#define BEGINNING "wsgi-fcgi: warning: "
#define STACK "  File \"/srv/app.py\", line 3, in <module>\n"

START_TEST(test_report)
{
    start(0);
    start(1);
    ck_assert_int_eq(report_start(), 0);
    report(&requests[0], &threads[0], "GET /1: no answer");
    report(&requests[1], &threads[1], "GET /2: no answer");
    report_stop();
    read_log();
    ck_assert_str_eq(logged, BEGINNING "GET /1: no answer; wsgi-fcgi-1 sleeps:\n" STACK BEGINNING
                                       "GET /2: no answer; wsgi-fcgi-2 sleeps:\n" STACK);
}
END_TEST

/* Nobody's, or another one's. */
START_TEST(test_ended_before)
{
    start(0);
    report_start();
    atomic_store(&threads[0].runs, NULL);
    report(&requests[0], &threads[0], "GET /1: no answer");
    report_stop();
    read_log();
    ck_assert_str_eq(logged, BEGINNING "GET /1: no answer; the call has ended by now\n");
}
END_TEST

/* In the same memory, by the same thread. */
START_TEST(test_begun_anew)
{
    start(0);
    report(&requests[0], &threads[0], "GET /0: no answer");
    ck_assert_int_eq(report_start(), 0);
    /* The thread reads it only when the first is done: the looks for that are waited for. */
    report(&requests[0], &threads[0], "GET /1: no answer");
    while (atomic_load(&looks) < 2)
        continue;
    report_stop();
    atomic_store(&looks, 0);
    requests[1] = requests[0];
    requests[1].job.begun_at++;
    ck_assert_int_eq(report_start(), 0);
    atomic_store(&goes_on_to, &requests[1].job);
    report(&requests[0], &threads[0], "GET /2: no answer");
    report_stop();
    read_log();
    ck_assert_str_eq(logged, BEGINNING "GET /0: no answer\n" BEGINNING
                                       "GET /1: no answer; wsgi-fcgi-1 sleeps:\n" STACK BEGINNING
                                       "GET /2: no answer; the call has ended by now\n");
}
END_TEST

/* Whoever asks does not wait: those that have no place have no stack, and no line is lost. */
START_TEST(test_many)
{
    enum { MANY = 10 * REPORTS_MAX };
    unsigned lines = 0;
    start(0);
    ck_assert_int_eq(report_start(), 0);
    for (int i = 0; i < MANY; i++)
        report(&requests[0], &threads[0], "GET /1: no answer");
    report_stop();
    read_log();
    for (const char *p = logged; (p = strstr(p, BEGINNING "GET /1: no answer; ")); p++)
        lines++;
    ck_assert_uint_eq(lines, MANY);
    ck_assert_ptr_nonnull(strstr(logged, "GET /1: no answer; its stack is left out, since too many others"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("report");
    TCase *c = tcase_create("report");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, NULL);
    suite_add_tcase(suite, c);
    tcase_add_test(c, test_report);
    tcase_add_test(c, test_ended_before);
    tcase_add_test(c, test_begun_anew);
    tcase_add_test(c, test_many);
    return unit_run(suite);
}
