/* What the files of sched/ share, part by part. Private to sched/; the words are those of sched.h.
 *
 *     sched.c      creates the parts, starts and ends them, and gives statistics
 *     post.c       what any thread wants the owner to do
 *     threads.c    the pool: a thread starts, is idle, is woken, and ends
 *     baton.c      the word: who owns the loop; giving the baton, taking it; what stays with it between two jobs
 *     owner.c      what the owner does: polls, runs jobs, settles
 *     queue.c      the ready queue, and admission: which job comes in, which one begins, which one has waited too long
 *     hold.c       no job begins for a while, because one computes
 *     job.c        one job, inline or detached, and its end
 *     measure.c    for how long a job would have left the loop without a thread
 *     peer_wait.c  jobs that wait for their peers
 *     watch.c      checks whether the owner is stuck
 *     predict.c    which kinds of calls tend to block; needs no scheduler
 *     taskstat.c   whether a thread sleeps; needs no scheduler
 *
 * Who calls whom: owner.c asks queue.c for a job and has job.c run it; both move the baton (baton.c) and threads
 * (threads.c). There are two circles. A thread of threads.c only does what owner.c and job.c do on it, and these take
 * further threads from there. And when a job ends (job.c), the owner must settle it: job.c puts it on the owner's list
 * when it has the baton, and posts it to the owner (post.c) when it has not.
 */
#ifndef WSGI_FCGI_SCHED_SCHED_IMPL_H
#define WSGI_FCGI_SCHED_SCHED_IMPL_H

#include "sched/predict.h"
#include "sched/sched.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* The word: sequence (44 bits) | index of the owner (16 bits) | phase (4 bits). The sequence grows with every call that
 * starts inline or continues after running the loop, and with every change of owner. So a word of phase APP never
 * repeats. */
enum sched_phase { SCHED_LOOP, SCHED_APP };

static inline uint64_t word_make(uint64_t sequence, unsigned owner, enum sched_phase phase) {
    return sequence << 20 | (uint64_t)owner << 4 | (uint64_t)phase;
}

static inline uint64_t word_sequence(uint64_t word) {
    return word >> 20;
}

static inline unsigned word_owner(uint64_t word) {
    return (word >> 4) & 0xffff;
}

static inline enum sched_phase word_phase(uint64_t word) {
    return (enum sched_phase)(word & 0xf);
}

/* Why a baton was taken from a thread that ran a job inline. */
enum sched_reason {
    SCHED_NOT_TAKEN,
    SCHED_ASLEEP,    /* it sleeps in the kernel */
    SCHED_COMPUTING, /* it computes, or waits for the lock of a thread that does */
    SCHED_GIVEN      /* it gave the baton away itself: sched_will_block */
};

/* What a thread finds when it is woken. */
enum sched_mail {
    SCHED_MAIL_END,   /* end */
    SCHED_MAIL_BATON, /* own the loop; mail_job, unless NULL, lost it */
    SCHED_MAIL_JOB    /* run mail_job without the baton */
};

/* What a thread does next, after the step it has just done. */
enum sched_next {
    SCHED_NEXT_OWN,  /* it has the baton */
    SCHED_NEXT_IDLE, /* it is on the idle stack and sleeps until it is woken */
    SCHED_NEXT_END
};

/* A point in time of a job. */
struct sched_moment {
    uint64_t at;   /* clock_ns */
    long switches; /* voluntary context switches of its thread until then; 0 when not counted */
};

struct sched_measure {
    bool counts_switches;        /* for this job */
    struct sched_moment begun;   /* moved later by what does not count (measure_skip_begin) */
    struct sched_moment skipped; /* the beginning of what does not count */
    struct sched_moment given;   /* when it gave the baton away itself; at 0: it did not */
};

struct sched_thread {
    struct sched *s;
    unsigned index;
    pthread_t id;
    void *user;

    /* Idle, or woken: threads.c. */
    sem_t wake;
    enum sched_mail mail; /* written by the thread that wakes it, before the post of `wake` */
    enum sched_reason mail_reason;
    struct sched_job *mail_job;
    bool veteran; /* ran a job at least once; changed under pool.lock */
    LIST_ENTRY(sched_thread) idle;
    /* From taskstat_open_self; -1: none. Only the first `threads` + 1 have one. Those beyond exist while jobs wait for
     * their peers, and must not take the descriptors that connections need. */
    atomic_int stat_fd;
    atomic_int tid; /* from gettid; 0: not yet known */

    /* Its job. */
    _Atomic(struct sched_job *) inline_job; /* the job that it runs inline, or ran last */
    _Atomic(struct sched_job *) runs;       /* the job that it runs now, inline or not; for sched_visit_jobs */
    atomic_uint taken;                      /* enum sched_reason: how it lost the baton during that job */
    bool going;                             /* thread_pause is owed */
    bool peer_waits;                        /* between sched_peer_wait_begins and sched_peer_wait_ends, and counted */
    atomic_bool lock_wait;                  /* between sched_lock_wait and sched_lock_taken */
    struct sched_measure measure;
};

TAILQ_HEAD(sched_jobs, sched_job);

/* Any thread adds, the owner takes all. */
struct sched_notes {
    _Atomic(struct sched_note *) newest;
    ev_async async;
};

struct sched_pool {
    pthread_mutex_t lock; /* guards what follows; never taken by a job that runs inline and keeps the baton */
    pthread_cond_t thread_ended;
    LIST_HEAD(, sched_thread) idle;
    struct sched_thread **all; /* config.threads + peer_waits.max + 1 pointers; filled up to `started` */
    atomic_uint started;
    unsigned alive, veterans;
    bool stat_warned, start_warned;
};

/* The owner's. */
struct sched_queue {
    struct sched_jobs jobs; /* oldest first */
    atomic_uint count;      /* written by the owner only */
    ev_timer timer;
};

struct sched_hold {
    atomic_uint computing; /* 1 + index of a thread that lost the baton by SCHED_COMPUTING; 0: nothing is held */
    struct sched_job *job; /* its job; the owner's, as the timer is */
    ev_timer timer;
};

/* The owner's. */
struct sched_owner {
    struct sched_jobs ended; /* jobs that ran inline and are still to be settled */
    uint64_t ended_at;       /* when the first of them ended */
    uint64_t now;            /* the last look at the clock between jobs */
    bool now_fresh;          /* `now` is the end of the last of `ended`; nothing was done since */
    bool job_runs_loop;      /* a job runs the loop: its thread is not free for another job */
    uint64_t polled;         /* when the loop last looked for events */
    ev_check check;
};

struct sched_peer_waits {
    atomic_uint count;
    unsigned max;     /* as in config; 0 with a single thread */
    atomic_bool full; /* the maximum was reached, and logged */
    struct sched_note full_note;
};

struct sched {
    struct sched_config config;
    _Atomic uint64_t word;
    atomic_bool quit;         /* changed under pool.lock */
    atomic_bool watch_parked; /* the watch does not look each millisecond: a job that begins wakes it */
    atomic_uint busy;         /* threads that run a job without the baton and are in no peer wait */
    struct sched_notes notes;
    struct sched_pool pool;
    struct sched_owner owner;
    struct sched_queue queue;
    struct sched_hold hold;
    struct sched_peer_waits peer_waits;
    atomic_ullong handed_over, taken_asleep, taken_computing; /* of struct sched_stats */
    struct predict predict;
};

/* post.c */

void post_init(struct sched *s);
void post_fini(struct sched *s);

/* Makes the owner look at the queue again. Any thread. */
void post_wake_owner(struct sched *s);

/* threads.c. A thread that was taken belongs to the caller, who must wake it or put it back. */

int threads_init(struct sched *s); /* 0, or -1 with errno */
void threads_fini(struct sched *s);

/* Sets s->quit, and ends the idle threads. */
void threads_quit(struct sched *s);

/* Takes an idle thread, or starts a new one; NULL if there can be none. The second: with pool.lock held. Any thread. */
struct sched_thread *threads_take(struct sched *s);
struct sched_thread *threads_take_locked(struct sched *s);

/* Takes an idle veteran, or returns NULL. */
struct sched_thread *threads_take_veteran(struct sched *s);

/* Whether threads_take would return a thread; makes sure that there is one. */
bool threads_can_take(struct sched *s);

/* Puts a thread on the idle stack. threads_put is for the calling thread, which may be woken from then on; returns
 * SCHED_NEXT_IDLE, or SCHED_NEXT_END without putting it there when the scheduler quits. threads_put_locked: with
 * pool.lock held. */
enum sched_next threads_put(struct sched_thread *t);
void threads_put_locked(struct sched_thread *t);

/* Wakes a thread that was taken. */
void threads_wake(struct sched_thread *t, enum sched_mail mail, struct sched_job *job, enum sched_reason reason);

void threads_make_veteran(struct sched_thread *t);

/* Whether the thread sleeps in the kernel; false when that cannot be told. Any thread. */
bool threads_is_asleep(struct sched_thread *t);

/* baton.c */

/* Gives the baton to a thread that was taken. Owner only, outside of jobs. */
void baton_give(struct sched *s, struct sched_thread *to);

/* Takes the baton from `from`, which runs a job inline under `word`, and gives it to another, idle or new. Any thread.
 * Returns false if there is no other thread, or if `from` or another taker was faster. */
bool baton_take_over(struct sched *s, struct sched_thread *from, uint64_t word, enum sched_reason reason);

/* Calls thread_pause if it is owed. On thread `t`. */
static inline void baton_pause(struct sched_thread *t) {
    if (t->going) {
        t->going = false;
        t->s->config.thread_pause(t, t->s->config.user);
    }
}

/* Whether the thread runs a job inline, under this word. */
static inline bool baton_is_lent(const struct sched_thread *t, uint64_t word) {
    return word_owner(word) == t->index && word_phase(word) == SCHED_APP;
}

/* Part of baton_lend: wakes the watch. */
void watch_wake(struct sched *s);

/* Lends the baton to the job that the thread is about to run, under a word that the watch has not seen. */
static inline void baton_lend(struct sched_thread *t) {
    struct sched *s = t->s;
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    atomic_store(&s->word, word_make(word_sequence(word) + 1, t->index, SCHED_APP));
    if (atomic_load(&s->watch_parked))
        watch_wake(s);
}

/* Takes the baton back from the job, for the loop. Returns false if it was lost meanwhile. */
static inline bool baton_return(struct sched_thread *t) {
    struct sched *s = t->s;
    uint64_t word = atomic_load(&s->word);
    return baton_is_lent(t, word) &&
           atomic_compare_exchange_strong(&s->word, &word, word_make(word_sequence(word), t->index, SCHED_LOOP));
}

/* owner.c. Owner only. */

void owner_init(struct sched *s);
void owner_fini(struct sched *s);

/* Polls and runs jobs until the baton is gone, or the scheduler quits. */
enum sched_next owner_run(struct sched_thread *t);

/* A job has ended, at owner.now. */
static inline void owner_settle_later(struct sched *s, struct sched_job *job) {
    if (TAILQ_EMPTY(&s->owner.ended))
        s->owner.ended_at = s->owner.now;
    TAILQ_INSERT_TAIL(&s->owner.ended, job, link);
}

/* queue.c. Owner only. */

void queue_init(struct sched *s);
void queue_fini(struct sched *s);

/* The part of queue_first for a queue that is not empty. */
struct sched_job *queue_admit(struct sched *s);

/* The job that is to begin now, at owner.now, still in the queue; or NULL. Others may expire during the call. */
static inline struct sched_job *queue_first(struct sched *s) {
    return TAILQ_EMPTY(&s->queue.jobs) ? NULL : queue_admit(s);
}

/* Takes a job off. */
static inline void queue_remove(struct sched *s, struct sched_job *job) {
    TAILQ_REMOVE(&s->queue.jobs, job, link);
    job->queued = false;
    atomic_store_explicit(&s->queue.count, s->queue.count - 1, memory_order_relaxed);
}

/* Takes the first one off: it begins. */
static inline void queue_take(struct sched *s, struct sched_job *job) {
    queue_remove(s, job);
    job->begun_at = s->owner.now;
}

/* hold.c. Owner only; but baton_take_over sets hold.computing, and the watch may clear it. */

void hold_init(struct sched *s);
void hold_fini(struct sched *s);

/* Begins a hold: the caller has got the loop that was taken from a thread that computes, in `job`. */
void hold_begin(struct sched *s, struct sched_job *job);
void hold_end(struct sched *s);

static inline bool hold_is_on(const struct sched *s) {
    return s->hold.job && atomic_load(&s->hold.computing);
}

/* job.c */

/* Run a job that queue_take has taken: inline, with the baton, which may be lost; or detached, without it. On thread
 * `t`.
 *
 * A job ends when its run() returns. One that goes on afterwards, as a coroutine does, needs a run() that says so when it
 * returns. The thread is then free, as it is now (`runs`, the measure, `busy`), but does not post `done`: whoever ends the
 * job does that, on any thread, perhaps before run() has returned. The job may then be gone already, so everything done
 * after run() is about the thread and the key. `threads` does not bound such jobs. */
enum sched_next job_run_inline(struct sched_thread *t, struct sched_job *job, bool counts_switches);
enum sched_next job_run_detached(struct sched_thread *t, struct sched_job *job);

/* What sched_job.done calls. */
void job_done(struct sched_note *note);

/* measure.c. On the thread of the job. */

/* The calling thread's voluntary context switches until now. About 0.3 us. */
long measure_switches(void);

/* A job begins at `now`. `counts_switches`: count its thread's context switches, which takes about 0.3 us each time. */
static inline void measure_begin(struct sched_thread *t, bool counts_switches, uint64_t now) {
    t->measure.counts_switches = counts_switches;
    t->measure.begun.at = now;
    t->measure.given.at = 0;
    if (counts_switches)
        t->measure.begun.switches = measure_switches();
}

/* The current moment of the thread's job. */
struct sched_moment measure_moment(const struct sched_thread *t);

/* Excludes what is between these two calls. It does not count as time in which the loop had no thread, nor as time that
 * such a job takes. */
void measure_skip_begin(struct sched_thread *t);
void measure_skip_end(struct sched_thread *t);

/* A job of this key has ended at `now`; `taken` says how it lost the baton. */
void measure_end(struct sched_thread *t, uint32_t key, uint64_t now, enum sched_reason taken);

/* What is known of jobs of this kind. */
static inline struct predict_kind *measure_kind(struct sched *s, const struct sched_job *job) {
    return predict_kind(predict_slot(&s->predict, job->key), job->key);
}

/* peer_wait.c */

void peer_wait_init(struct sched *s);

/* watch.c */

/* Ends sched_watch, after threads_quit. */
void watch_quit(struct sched *s);

#endif
