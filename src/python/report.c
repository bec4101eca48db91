#include "config.h"

#include "python/report.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread_create.h"
#include "python/stack.h"
#include "python/stack_walk.h"
#include "request/request.h"
#include "sched/sched.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    LINE_SIZE = 1800,
    STOP_NS = 1000000000 /* that an end waits for stacks; of what is left then, lines alone are written */
};

/* What is to be reported. Who takes the place of one fills it in, and then gives it to the thread. */
enum place { VACANT, TAKEN, READY };

/* Mutable reports: any thread by the states of the places; `ended` and `until` the main thread, which starts the thread;
 * the rest it alone. */
static struct reports {
    struct wanted {
        _Atomic(enum place) place;
        uint64_t number; /* in the order of asking */
        struct sched *sched;
        const struct sched_job *job;
        uint64_t begun_at; /* job->begun_at: the call, since memory is used again */
        int tid;
        const void *state;
        char thread[SCHED_NAME_SIZE], line[LINE_SIZE];
    } wanted[REPORTS_MAX];
    atomic_ullong numbers;
    sem_t some;
    pthread_t thread;
    atomic_bool started, ended;
    uint64_t until;
    char stack[STACK_SIZE];
} reports;

/* Whether its call still runs. */

struct search {
    const struct wanted *wanted;
    bool found;
};

static void visit(struct sched_job *job, struct sched_job *_Atomic *at, void *arg) {
    struct search *search = arg;
    uint64_t begun_at;
    if (job != search->wanted->job)
        return;
    /* Where the system does not allow to copy, it may be another call in the same memory; a stack is not read then. */
    bool read = stack_copy(&begun_at, (uintptr_t)job + offsetof(struct sched_job, begun_at), sizeof begun_at);
    search->found |= (!read || begun_at == search->wanted->begun_at) && atomic_load(at) == job;
}

static bool runs(const struct wanted *wanted) {
    struct search search = {.wanted = wanted};
    sched_visit_jobs(wanted->sched, visit, &search);
    return search.found;
}

static void write_report(const struct wanted *w) {
    enum stack_state doing = STACK_UNKNOWN;
    bool late = atomic_load(&reports.ended) && clock_ns() > reports.until, ran = runs(w);
    unsigned found = ran && !late ? stack_take(w->tid, w->state, reports.stack, &doing) : 0;
    /* A stack that was read when the thread had gone on to something else is not this call's. */
    if (ran && !runs(w))
        ran = false;
    if (!ran)
        log_warning("%s; the call has ended by now", w->line);
    else if (late)
        log_warning("%s", w->line);
    else if (found)
        log_block(LOG_LEVEL_WARNING, reports.stack, "%s; %s %s:", w->line, w->thread, stack_state_text(doing));
    else
        log_warning("%s; %s %s, and %s", w->line, w->thread, stack_state_text(doing), reports.stack);
}

/* The oldest, or NULL. */
static struct wanted *next(void) {
    struct wanted *first = NULL;
    for (int i = 0; i < REPORTS_MAX; i++) {
        struct wanted *w = &reports.wanted[i];
        if (atomic_load(&w->place) == READY && (!first || w->number < first->number))
            first = w;
    }
    return first;
}

static void *run(void *unused) {
    for (;;) {
        bool ended = atomic_load(&reports.ended); /* before the look: what is asked for before the end is written */
        struct wanted *w = next();
        if (w) {
            write_report(w);
            atomic_store(&w->place, VACANT);
        } else if (ended) {
            return unused;
        } else {
            while (sem_wait(&reports.some))
                continue;
        }
    }
}

int report_start(void) {
    sem_init(&reports.some, 0, 0);
    atomic_store(&reports.ended, false);
    int error = thread_create(&reports.thread, NULL, "wsgi-fcgi-stack", run, NULL);
    if (error) {
        errno = error;
        return -1;
    }
    atomic_store(&reports.started, true);
    return 0;
}

void report_stop(void) {
    if (!atomic_exchange(&reports.started, false))
        return;
    reports.until = clock_ns() + STOP_NS;
    atomic_store(&reports.ended, true);
    sem_post(&reports.some);
    pthread_join(reports.thread, NULL);
}

static struct wanted *take_place(void) {
    for (int i = 0; i < REPORTS_MAX; i++) {
        enum place vacant = VACANT;
        if (atomic_compare_exchange_strong(&reports.wanted[i].place, &vacant, TAKEN))
            return &reports.wanted[i];
    }
    return NULL;
}

void report(const struct request *r, struct sched_thread *thread, const char *line) {
    if (!atomic_load(&reports.started)) {
        log_warning("%s", line);
        return;
    }
    struct wanted *w = take_place();
    if (!w) {
        log_warning("%s; its stack is left out, since too many others are to be read", line);
        return;
    }
    w->number = atomic_fetch_add(&reports.numbers, 1);
    w->sched = r->job.sched;
    w->job = &r->job;
    w->begun_at = r->job.begun_at;
    w->tid = sched_thread_tid(thread);
    w->state = sched_thread_user(thread);
    sched_thread_name(thread, w->thread);
    snprintf(w->line, sizeof w->line, "%s", line);
    atomic_store(&w->place, READY);
    sem_post(&reports.some);
}
