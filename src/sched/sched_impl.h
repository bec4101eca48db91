/* What owner.c, peer_wait.c and watch.c share. Private to sched/. */
#ifndef WSGI_FCGI_SCHED_SCHED_IMPL_H
#define WSGI_FCGI_SCHED_SCHED_IMPL_H

#include "sched/predict.h"
#include "sched/sched.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* The word: sequence (44 bits) | index of the owner (16 bits) | phase (4 bits). The sequence grows with every call that
 * starts inline or goes on after it has run the loop, and with every change of owner, so that a word of phase APP never
 * comes back. */
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
    SCHED_COMPUTING, /* it computes, or waits for the lock of one that does */
    SCHED_GIVEN      /* by itself: sched_will_block */
};

/* What a thread finds when it is woken. */
enum sched_mail {
    SCHED_MAIL_NONE,
    SCHED_MAIL_BATON, /* it owns the loop; mail_job, unless NULL, lost it */
    SCHED_MAIL_JOB    /* it is to run mail_job without the baton */
};

struct sched_thread {
    struct sched *s;
    unsigned index;
    pthread_t id;
    sem_t wake;
    /* Of taskstat_open_self; -1 when there is none. Only the first threads have one: those beyond `threads` are there while
     * jobs wait for their peers, and must not take the descriptors that connections need. */
    atomic_int stat_fd;
    atomic_int tid; /* of gettid; 0: not yet known */
    void *user;
    bool veteran; /* ran a job at least once; changed under s->lock */

    _Atomic(struct sched_job *) job;  /* the one that it runs inline */
    _Atomic(struct sched_job *) runs; /* the one that it runs now, inline or not; for sched_visit_jobs */
    atomic_uint taken;                /* enum sched_reason: how it lost the baton during that job, if it did */
    atomic_bool lock_wait;            /* between sched_lock_wait and sched_lock_taken */
    bool going;                       /* thread_pause is owed */
    bool waits;                       /* between sched_peer_wait_begins and sched_peer_wait_ends, and counted */
    bool measured;
    uint64_t started; /* when the job began; later by the time that does not count (uncounted_begin) */
    long switches;    /* voluntary context switches before the job, and in that time */
    uint64_t uncounted_at;
    long uncounted_switches;
    uint64_t given_at; /* when it gave the baton away by itself; 0: it did not */
    long given_switches;

    enum sched_mail mail; /* written by who wakes it, before the post of `wake` */
    enum sched_reason mail_reason;
    struct sched_job *mail_job;
    LIST_ENTRY(sched_thread) idle;
};

struct sched {
    struct sched_config config;
    _Atomic uint64_t word;
    atomic_bool quit;
    atomic_bool watch_parked; /* the watch sleeps without a time-out */
    atomic_uint computing;  /* 1 + index of a thread that lost the baton by SCHED_COMPUTING and still holds the queue */
    atomic_uint nbusy;      /* threads that run a job without the baton, and do not wait for its peer */
    atomic_uint nwaits;     /* those that wait */
    unsigned waits_max;     /* as in config; 0 with a single thread */
    atomic_bool waits_full; /* was reached, and said */
    struct sched_note waits_full_note;

    /* The owner's: */
    TAILQ_HEAD(sched_queue, sched_job) ready;
    atomic_uint nready;       /* written by the owner only */
    bool job_runs_loop;       /* so that its thread is not free for another one */
    struct sched_queue ended; /* jobs that ran inline and are still to be settled */
    uint64_t ended_at;        /* when the first of them ended */
    struct sched_job *hold_job;
    uint64_t now;    /* the last look at the clock between jobs */
    bool now_fresh;  /* it was at the end of the last of `ended`, and nothing has been done since */
    uint64_t polled; /* when the loop last looked for events */
    ev_check check;
    ev_async async;
    ev_timer hold_timer;
    ev_timer queue_timer;

    _Atomic(struct sched_note *) notes; /* newest first */

    pthread_mutex_t lock; /* guards what follows; never taken by a job that runs inline and keeps the baton */
    pthread_cond_t thread_ended;
    LIST_HEAD(, sched_thread) idle;
    struct sched_thread **threads; /* config.threads + waits_max + 1 pointers; filled up to `nthreads` */
    atomic_uint nthreads;
    unsigned nveterans, nalive;
    bool stat_warned, start_warned;
    atomic_ullong handed_over, taken_asleep, taken_computing;

    struct predict predict;
};

/* Whether it runs a job inline, under this word. */
static inline bool sched_has_baton(const struct sched_thread *t, uint64_t word) {
    return word_owner(word) == t->index && word_phase(word) == SCHED_APP;
}

/* Whether it sleeps in the kernel; false when that cannot be told. Any thread. */
bool sched_is_asleep(struct sched_thread *t);

/* Prepares what sched_peer_wait_begins and sched_peer_wait_ends need. */
void sched_waits_init(struct sched *s);

/* Takes the baton from `from`, which runs a job inline under `word`, and gives it to an idle thread. Any thread.
 * Returns false when no thread is to be had, or when `from` or another taker was faster. */
bool sched_take_over(struct sched *s, struct sched_thread *from, uint64_t word, enum sched_reason reason);

#endif
