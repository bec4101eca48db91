#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "base/clock.h"
#include "fake_sched.h"

#include <stdlib.h>

struct sched_thread {
    struct sched *sched;
};

struct sched {
    struct sched_config config;
    struct sched_thread thread;
    TAILQ_HEAD(, sched_job) queue;
    unsigned queued, busy;
    unsigned lost;
    uint64_t last_begin, last_end;
    const struct sched_job *settles_next;
    struct sched_note *notes, **last_note;
    bool quit;
};

struct sched *sched_new(const struct sched_config *config) {
    struct sched *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->config = *config;
    s->thread.sched = s;
    s->last_note = &s->notes;
    TAILQ_INIT(&s->queue);
    return s;
}

void sched_free(struct sched *s) {
    free(s);
}

int sched_start(struct sched *s) {
    (void)s;
    return 0;
}

int sched_start_here(struct sched *s) {
    (void)s;
    return 0;
}

bool sched_submit(struct sched *s, struct sched_job *job) {
    assert(!s->quit);
    if (s->busy >= s->config.threads && s->queued >= s->config.queue_limit)
        return false;
    job->sched = s;
    job->queued = true;
    job->left = false;
    TAILQ_INSERT_TAIL(&s->queue, job, link);
    s->queued++;
    return true;
}

bool sched_has_threads(const struct sched *s) {
    return s->busy + s->queued <= s->config.threads;
}

static void take(struct sched *s, struct sched_job *job) {
    TAILQ_REMOVE(&s->queue, job, link);
    job->queued = false;
    s->queued--;
}

bool sched_cancel(struct sched *s, struct sched_job *job) {
    if (!job->queued)
        return false;
    take(s, job);
    return true;
}

void sched_job_left(struct sched *s, struct sched_job *job) {
    assert(!s->quit);
    if (job->queued)
        job->left = true;
}

unsigned sched_retry_after(const struct sched *s) {
    return 1 + s->queued % 30;
}

unsigned sched_queued(const struct sched *s, uint64_t *oldest) {
    *oldest = s->queued ? 1000000000 : 0;
    return s->queued;
}

uint64_t sched_last_end(const struct sched *s) {
    return s->last_end;
}

uint64_t sched_stuck_since(const struct sched *s) {
    return s->busy < s->config.threads ? 0 : s->last_end > s->last_begin ? s->last_end : s->last_begin;
}

uint64_t sched_usual(const struct sched *s) {
    (void)s;
    return 0;
}

void sched_post(struct sched *s, struct sched_note *note) {
    for (const struct sched_note *posted = s->notes; posted; posted = posted->next)
        assert(posted != note);
    note->next = NULL;
    *s->last_note = note;
    s->last_note = &note->next;
}

void sched_visit_jobs(struct sched *s, sched_visit *visit, void *arg) {
    (void)s;
    (void)visit;
    (void)arg;
}

void sched_pause(struct sched *s) {
    (void)s;
}

uint64_t sched_polled(const struct sched *s) {
    (void)s;
    return clock_ns();
}

uint64_t sched_moment(const struct sched *s) {
    return sched_polled(s);
}

int sched_thread_tid(const struct sched_thread *thread) {
    (void)thread;
    return 0;
}

uint64_t sched_moves(const struct sched *s) {
    (void)s;
    return 0;
}

void sched_look_stats(const struct sched *s, struct sched_stats *stats) {
    (void)s;
    *stats = (struct sched_stats){0};
}

void sched_quit(struct sched *s) {
    assert(!s->quit && !s->queued && !s->busy && !s->lost);
    s->quit = true;
}

/* The loop is the fuzzer's. */
bool sched_run_loop(struct sched_thread *thread) {
    assert(thread->sched != NULL);
    return false;
}

/* There is no other thread for the loop, so a job must not wait. */
bool sched_will_block(struct sched_thread *thread) {
    assert(thread->sched != NULL);
    return false;
}

/* For the same reason none does. */
void sched_peer_wait_begins(struct sched_thread *thread) {
    (void)thread;
    abort();
}

void sched_peer_wait_ends(struct sched_thread *thread) {
    (void)thread;
    abort();
}

void fake_sched_call_notes(struct sched *s) {
    struct sched_note *note = s->notes;
    s->notes = NULL;
    s->last_note = &s->notes;
    while (note) {
        struct sched_note *next = note->next; /* the call may give the memory back */
        note->call(note);
        note = next;
    }
}

bool fake_sched_run(struct sched *s) {
    struct sched_job *job = TAILQ_FIRST(&s->queue);
    if (!job || s->busy >= s->config.threads)
        return false;
    take(s, job);
    s->busy++;
    s->last_begin = job->begun_at = clock_ns();
    job->thread = &s->thread;
    job->lost = false;
    job->ops->detached(job);
    job->ops->run(job, &s->thread);
    return true;
}

struct sched_job *sched_looping(const struct sched *s) {
    (void)s;
    return NULL;
}

struct sched_thread *sched_thread_of(const struct sched *s, const struct sched_job *job) {
    (void)s;
    return job->thread;
}

bool sched_thread_time(const struct sched_thread *thread, uint64_t *ns) {
    (void)thread;
    (void)ns;
    return false;
}

struct sched_thread *sched_thread_running(struct sched_job *_Atomic *at) {
    (void)at;
    return NULL;
}

bool sched_has_lock(struct sched_thread *thread) {
    (void)thread;
    return false;
}

bool sched_has_loop(const struct sched_thread *thread) {
    (void)thread;
    return false;
}

/* Others run in its place. */
void sched_lose(struct sched *s, struct sched_job *job) {
    assert(job->thread && !job->lost);
    job->lost = true;
    s->busy--;
    s->lost++;
}

unsigned sched_lost(const struct sched *s) {
    return s->lost;
}

bool sched_settles_more(const struct sched *s, const struct sched_job *job) {
    return s->settles_next && job->group && job->group == s->settles_next->group;
}

void fake_sched_settle(struct sched *s, struct sched_job *job, const struct sched_job *next) {
    if (job->lost)
        s->lost--;
    else
        s->busy--;
    s->last_end = clock_ns();
    s->settles_next = next;
    job->thread = NULL;
    job->lost = false;
    job->ops->rejoined(job);
    job->ops->settle(job);
    s->settles_next = NULL;
}

bool fake_sched_expire(struct sched *s) {
    struct sched_job *job;
    TAILQ_FOREACH(job, &s->queue, link) {
        if (job->left)
            break;
    }
    if (!job && !(job = TAILQ_FIRST(&s->queue)))
        return false;
    take(s, job);
    job->ops->expired(job);
    return true;
}

bool fake_sched_has_quit(const struct sched *s) {
    return s->quit;
}
