/* What the files of sched/ share, part by part. Private to sched/; the words are those of sched.h.
 *
 *     sched.c      creates the parts, starts and ends them, and gives statistics
 *     post.c       what any thread wants the owner to do
 *     threads.c    the pool: a thread starts, is idle, is woken, and ends
 *     baton.c      the word: who owns the loop; giving the baton, taking it; what stays with it between two jobs
 *     owner.c      what the owner does: polls, runs jobs, settles
 *     queue.c      the ready queue, and admission: which job comes in, which one begins, which one is refused
 *     hold.c       no job begins for a while, because one computes
 *     caught.c     whether a job computes that has lost the loop, or no thread is free, for other processes
 *     job.c        one job, inline or detached, and its end
 *     measure.c    for how long a job would have left the loop without a thread
 *     peer_wait.c  jobs that wait for their peers
 *     lost.c       jobs that take too long: others run in their places
 *     retire.c     threads that are not needed any more
 *     watch.c      checks whether the owner is stuck
 *     follow.c     whether jobs that run detached compute without the jobs' lock
 *     backlog.c    overload, measured in time; needs no scheduler
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

#include "base/log_limit.h"
#include "sched/backlog.h"
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
    SCHED_FREE,      /* it computes without the jobs' lock */
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

/* What a thread has used until a moment. */
struct sched_usage {
    long switches;           /* voluntary context switches */
    uint64_t processor_time; /* nanoseconds */
};

/* A point in time of a job. */
struct sched_moment {
    uint64_t at;              /* clock_ns */
    struct sched_usage usage; /* of its thread until then; 0 when not counted */
};

struct sched_measure {
    bool counts_switches;        /* for this job */
    struct sched_moment begun;   /* moved later by what does not count (measure_skip_begin) */
    struct sched_moment skipped; /* the beginning of what does not count */
    struct sched_moment given;   /* when it gave the baton away itself; at 0: it did not */
    uint64_t lock_waited;        /* for the jobs' lock: nanoseconds, in all */
};

struct sched_thread {
    struct sched *s;
    unsigned index;
    pthread_t id;
    _Atomic(void *) user;
    bool stops; /* thread_stop is next, or was called; changed under watch_lock */

    /* Idle, or woken: threads.c. */
    sem_t wake;
    enum sched_mail mail; /* written by the thread that wakes it, before the post of `wake` */
    enum sched_reason mail_reason;
    struct sched_job *mail_job;
    bool veteran;        /* ran a job at least once, or is lent; changed under pool.lock */
    bool lent;           /* not started here, and so not joined */
    bool retires;        /* it was woken to end as nobody needs it; changed under pool.lock */
    bool joined;         /* it has ended, and another may be started in its place; changed under pool.lock */
    uint64_t idle_since; /* clock_ns; changed under pool.lock. On the stack the lower ones have the earlier times */
    LIST_ENTRY(sched_thread) idle;
    /* From taskstat_open_self; -1: none. Only `threads` + 1 have one, and as many more as make up for lost jobs. Those
     * beyond exist while jobs wait for their peers, and must not take the descriptors that connections need: they are
     * looked at without. */
    atomic_int stat_fd;
    bool stat_tried; /* to open it; the thread's own */
    atomic_int tid;  /* from gettid; 0: not yet known */

    /* Its job. */
    _Atomic(struct sched_job *) inline_job; /* the job that it runs inline, or ran last */
    _Atomic(struct sched_job *) runs;       /* the job that it runs now, inline or not; for sched_visit_jobs */
    struct sched_job *detached_job;         /* the job that it runs detached, or ran so last; the owner's */
    atomic_uint fate;                       /* of enum sched_fate: what its job, if detached, counts as */
    atomic_uint taken;                      /* enum sched_reason: how it lost the baton during that job */
    bool going;                             /* thread_pause is owed */
    bool told;            /* it was told to give way, or is lost; in a peer wait; changed under peer_waits.lock */
    uint64_t waits_since; /* clock_ns: when its peer wait began */
    TAILQ_ENTRY(sched_thread) wait_link; /* in peer_waits.all */
    atomic_bool lock_wait;               /* between sched_lock_wait and sched_lock_taken */
    atomic_ullong lock_from;             /* when that began; 0: nobody has looked at the clock */
    atomic_ullong lock_seen;             /* when the watch has first seen it; 0: it has not. May be of a wait before */
    atomic_ullong taken_at, taken_used;  /* when it lost the baton, and its processor time until then */
    struct sched_measure measure;

    /* What the watch has seen of its job: follow.c. */
    atomic_uint follow; /* whether that is looked at, and counts */
    atomic_ullong followed_at;
    atomic_uint asleep_row; /* the last looks, in a row, at which it was asleep */
    /* Looks: it computed without the jobs' lock; had the lock; was asleep though nobody had the lock. */
    atomic_uint seen_free, seen_held, seen_asleep;

    /* Whether its job, which runs detached, computes: caught.c. Looks in a row, and looks in all. */
    atomic_uint caught, held_row, let_go_row, looks_held, looks_other;
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
    LIST_HEAD(, sched_thread) ended, vacant; /* that were not needed any more: ended; joined as well */
    struct sched_thread **all;               /* `size` pointers; filled up to `started` */
    unsigned size;                           /* config.threads + peer_waits.max + lost.max + 1 */
    atomic_uint started;
    atomic_uint alive; /* changed under `lock` */
    unsigned veterans;
    unsigned ending;   /* of those alive: that were woken to end as nobody needs them */
    unsigned again;    /* threads that were started in the place of another */
    atomic_uint stats; /* of those alive: that have stat_fd */
    bool stat_warned, start_warned;
    sigset_t blocked; /* as in config; for the threads that are started */
};

/* Jobs come into the first line. The owner's look at the queue puts those that stay into the other two: those of kinds
 * that compute without the jobs' lock, and all others. */
enum sched_line_index { LINE_NEW, LINE_ORDINARY, LINE_FREE, LINE_COUNT };

struct sched_line {
    struct sched_jobs jobs; /* oldest first */
    struct sched_jobs left; /* those of them whose clients may have left (left_link), in the order of sched_job_left */
    struct backlog backlog; /* of LINE_NEW only the counters */
};

/* The owner's. */
struct sched_queue {
    struct sched_line lines[LINE_COUNT];
    struct backlog_limits limits;
    atomic_uint count;                 /* of all lines; written by the owner only */
    unsigned owed;                     /* refusals for jobs that came beyond queue_limit since the last look */
    const struct sched_line *refused;  /* in which a job was refused last; NULL: in none of which anything is known */
    const struct sched_job *uncounted; /* by sched_submit_uncounted, queued or not; NULL: there was none */
    ev_timer timer;
};

struct sched_hold {
    atomic_uint computing; /* 1 + index of a thread that lost the baton by SCHED_COMPUTING; 0: nothing is held */
    struct sched_job *job; /* its job; the owner's, as the timer is */
    ev_timer timer;
};

struct sched_caught {
    atomic_uint count;     /* threads that are caught. Whoever changes it lets the owner know of that */
    atomic_uint looked_at; /* these, and others that are looked at */
    bool told;             /* what config.caught was told last; the owner's */
};

/* The owner's. */
struct sched_owner {
    struct sched_jobs ended; /* jobs that ran inline and are still to be settled */
    uint64_t ended_at;       /* when the first of them ended */
    uint64_t now;            /* the last look at the clock between jobs */
    bool now_fresh;          /* `now` is the end of the last of `ended`; nothing was done since */
    bool job_runs_loop;      /* a job runs the loop: its thread is not free for another job */
    uint64_t polled;         /* when the loop last looked for events */
    uint64_t runs_since;     /* when the first job began after that; before `polled`: none has */
    uint64_t called;         /* when notes were last called since then */
    uint64_t last_end;       /* when a job last ended; 0: none did */
    uint64_t last_detached;  /* when the last of those began that run detached */
    ev_check check;
};

struct sched_peer_waits {
    pthread_mutex_t lock;           /* guards the changes of what follows, up to `told` */
    TAILQ_HEAD(, sched_thread) all; /* that wait, in the order in which they began; without those that were `told` */
    atomic_uint count;              /* with those */
    unsigned told;
    unsigned max;          /* as in config; 0 with a single thread. Beyond it jobs are told to give way */
    uint64_t pause;        /* nanoseconds between two times that jobs are told for want of a thread */
    uint64_t patience;     /* nanoseconds for which a job may wait in any case */
    uint64_t paused_until; /* owner.now: no job is told for want of a thread; the owner's */
    ev_timer timer;        /* for the next look; the owner's */
    struct log_limit log;
    atomic_bool noted; /* `note` is posted */
    struct sched_note note;
};

struct sched_lost {
    unsigned max;        /* as in config; 0 with a single thread */
    atomic_uint count;   /* lost jobs that have not ended */
    atomic_uint made_up; /* those of them that are made up for, and such as the owner has not settled; changed by it */
    struct sched_jobs rest; /* lost jobs that are not, the oldest first; the owner's */
};

/* The owner's. */
struct sched_retire {
    uint64_t idle_ns; /* for so long a thread may be idle */
    ev_timer timer;
};

struct sched {
    struct sched_config config;
    _Atomic uint64_t word;
    atomic_bool quit;         /* changed under pool.lock */
    atomic_bool watch_parked; /* the watch does not look each millisecond: a job that begins wakes it */
    atomic_uint busy;         /* threads whose fate_counts */
    /* Threads that are watched: jobs that run now and compute without the jobs' lock. Whoever takes one off lets the
     * owner look at the queue afterwards: the job's end is posted, or post_wake_owner is called. */
    atomic_uint watched;
    atomic_uint followed; /* threads for which the watch looks each millisecond: these, others that are followed, and
                             those that it looks at for caught.c */
    atomic_uint sampled;  /* threads that are followed though their jobs are not known to be free */
    /* Held by the watch during a look, and by a thread that is about to call thread_stop: thread_released is not called
     * from then on. Taken before pool.lock. */
    pthread_mutex_t watch_lock;
    struct sched_notes notes;
    struct sched_pool pool;
    struct sched_owner owner;
    struct sched_queue queue;
    struct sched_hold hold;
    struct sched_caught caught;
    struct sched_peer_waits peer_waits;
    struct sched_lost lost;
    struct sched_retire retire;
    atomic_uint moves; /* grows behind each change of what sched_look_stats tells, but of the queue */
    atomic_ullong handed_over, taken_asleep, taken_computing, taken_free; /* of struct sched_stats */
    struct predict predict;
};

/* What a thread counts as. Its job runs detached, and then may wait for its peer, and be lost: each of these is told by
 * another thread, at any moment. So they are bits of one word, each change of which is one atomic step, and whoever
 * makes a change by which the word begins to count, or no longer does, changes `busy`, before or after it. */
enum sched_fate {
    FATE_DETACHED =
        1, /* set by the owner, or by who takes the baton; taken off at the end of the job with all others */
    FATE_PEER_WAIT = 2, /* by the thread, with peer_waits.lock held */
    FATE_LOST = 4,      /* by the owner, with that lock held */
    FATE_MADE_UP = 8    /* by the owner */
};

static inline bool fate_counts(unsigned fate) {
    return (fate & (FATE_DETACHED | FATE_PEER_WAIT | FATE_MADE_UP)) == FATE_DETACHED;
}

static inline void note_move(struct sched *s) {
    atomic_fetch_add(&s->moves, 1);
}

/* The job is about to run detached on the thread, or the baton was just taken from the thread: then with pool.lock
 * held. It may be in a peer wait already. */
static inline void fate_begin(struct sched *s, struct sched_thread *t, struct sched_job *job) {
    t->detached_job = job;
    job->thread = t;
    unsigned before = atomic_fetch_or(&t->fate, FATE_DETACHED);
    if (fate_counts(before | FATE_DETACHED))
        atomic_fetch_add(&s->busy, 1);
    note_move(s);
}

/* post.c */

void post_init(struct sched *s);
void post_fini(struct sched *s);

/* Makes the owner look at the queue again. Any thread. */
void post_wake_owner(struct sched *s);

/* Calls the notes that are posted. Owner only, outside of jobs. */
void post_call(struct sched *s);

static inline bool post_is_due(const struct sched *s) {
    return atomic_load_explicit(&s->notes.newest, memory_order_relaxed);
}

/* threads.c. A thread that was taken belongs to the caller, who must wake it or put it back. */

int threads_init(struct sched *s); /* 0, or -1 with errno */
void threads_fini(struct sched *s);

/* Sets s->quit, and ends the idle threads. */
void threads_quit(struct sched *s);

/* Takes an idle thread, or starts a new one; NULL if there can be none. The second: with pool.lock held. Any thread. */
struct sched_thread *threads_take(struct sched *s);
struct sched_thread *threads_take_locked(struct sched *s);

/* Makes the calling thread one of the pool: lent, and a veteran. It is taken. Returns NULL with errno. */
struct sched_thread *threads_lend(struct sched *s);

/* What a thread of the pool does from its beginning to its end. */
void threads_run(struct sched_thread *t);

/* Takes an idle veteran, or returns NULL. */
struct sched_thread *threads_take_veteran(struct sched *s);

/* Whether threads_take would return a thread; makes sure that there is one. */
bool threads_can_take(struct sched *s);

/* Puts a thread on the idle stack. threads_put is for the calling thread, whose job, if it had one, has ended; it is
 * followed no more, counts no more, and may be woken from then on; returns SCHED_NEXT_IDLE, or SCHED_NEXT_END without
 * putting it there when the scheduler quits. threads_put_locked: with pool.lock held. */
enum sched_next threads_put(struct sched_thread *t);
void threads_put_locked(struct sched_thread *t);

/* Wakes a thread that was taken. */
void threads_wake(struct sched_thread *t, enum sched_mail mail, struct sched_job *job, enum sched_reason reason);

void threads_make_veteran(struct sched_thread *t);

/* Opens stat_fd, if the thread may have one now and has none. On that thread. */
void threads_open_stat(struct sched_thread *t);

/* Whether the thread sleeps in the kernel; false when that cannot be told. Any thread. */
bool threads_is_asleep(struct sched_thread *t);

/* Nanoseconds for which the thread has had a processor since it began; 0 when that cannot be told. Any thread. */
uint64_t threads_used(const struct sched_thread *t);

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

/* Wakes the watch if it is parked; part of baton_lend, which looks at that first. */
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

/* The latest moment that the owner knows of without a look at the clock. */
static inline uint64_t owner_time(const struct sched *s) {
    return s->owner.now > s->owner.polled ? s->owner.now : s->owner.polled;
}

/* A job has ended, at owner.now. */
static inline void owner_settle_later(struct sched *s, struct sched_job *job) {
    if (TAILQ_EMPTY(&s->owner.ended))
        s->owner.ended_at = s->owner.now;
    TAILQ_INSERT_TAIL(&s->owner.ended, job, link);
}

/* queue.c. Owner only. */

void queue_init(struct sched *s);
void queue_fini(struct sched *s);

/* How many jobs are queued that somebody waits for: but for the uncounted one. */
unsigned queue_counted(const struct sched *s);

/* The part of queue_first for a queue that is not empty. */
struct sched_job *queue_admit(struct sched *s);

static inline bool queue_is_empty(const struct sched *s) {
    return !atomic_load_explicit(&s->queue.count, memory_order_relaxed);
}

/* The job that is to begin now, at owner.now, still in the queue; or NULL. Others may be refused during the call. */
static inline struct sched_job *queue_first(struct sched *s) {
    return queue_is_empty(s) ? NULL : queue_admit(s);
}

/* Takes a job out of its line. */
static inline void queue_remove(struct sched *s, struct sched_job *job) {
    struct sched_line *line = job->line;
    TAILQ_REMOVE(&line->jobs, job, link);
    if (job->left)
        TAILQ_REMOVE(&line->left, job, left_link);
    job->queued = false;
    line->backlog.waiting--;
    atomic_store_explicit(&s->queue.count, s->queue.count - 1, memory_order_relaxed);
}

/* A job has ended that ran detached. */
void queue_note_end(struct sched *s, struct sched_job *job, bool was_lost);

/* Takes the one off that queue_first gave: it begins. */
static inline void queue_take(struct sched *s, struct sched_job *job) {
    queue_remove(s, job);
    job->line->backlog.taken++;
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

/* caught.c. Without config.caught none of them does anything. */

/* The watch has just taken the baton from the thread by SCHED_COMPUTING: with pool.lock held. */
void caught_begin(struct sched_thread *t);

/* The thread is about to run a job detached. By the owner. */
void caught_begin_detached(struct sched_thread *t, const struct sched_job *job);

/* Its job has ended. On the thread: caught_judge records what was seen, and then caught_end ends it, with pool.lock
 * held. */
void caught_judge(struct sched_thread *t, uint32_t key);
void caught_end(struct sched_thread *t);

/* On the thread of the watch. */
void caught_look_at_all(struct sched *s);

/* Tells what has changed. Owner only, outside of jobs. */
void caught_tell(struct sched *s);

/* job.c */

/* Run a job that queue_take has taken: inline, with the baton, which may be lost; or detached, without it. On thread
 * `t`.
 *
 * A job ends when its run() returns. One that goes on afterwards, as a coroutine does, needs a run() that says so when
 * it returns. The thread is then free, as it is now (`runs`, the measure, `busy`), but does not post `done`: whoever
 * ends the job does that, on any thread, perhaps before run() has returned. The job may then be gone already, so
 * everything done after run() is about the thread and the key. `threads` does not bound such jobs. */
enum sched_next job_run_inline(struct sched_thread *t, struct sched_job *job, bool counts_switches);

/* `reason`: SCHED_FREE if the thread is followed for this job, else SCHED_NOT_TAKEN. */
enum sched_next job_run_detached(struct sched_thread *t, struct sched_job *job, enum sched_reason reason);

/* It runs detached from now on. By the owner, who has not settled it. */
static inline void job_note_detached(struct sched_job *job) {
    if (job->ops->detached)
        job->ops->detached(job);
}

/* What sched_job.done calls. */
void job_done(struct sched_note *note);

/* measure.c. On the thread of the job. */

/* What the calling thread has used until now. About 0.3 us. */
struct sched_usage measure_usage(void);

/* A job begins at `now`. `counts_switches`: count its thread's context switches, which takes about 0.3 us each time. */
static inline void measure_begin(struct sched_thread *t, bool counts_switches, uint64_t now) {
    t->measure.counts_switches = counts_switches;
    t->measure.begun.at = now;
    t->measure.given.at = t->measure.lock_waited = 0;
    if (counts_switches)
        t->measure.begun.usage = measure_usage();
}

/* The current moment of the thread's job. */
struct sched_moment measure_moment(const struct sched_thread *t);

/* Excludes what is between these two calls. It does not count as time in which the loop had no thread, nor as time that
 * such a job takes. */
void measure_skip_begin(struct sched_thread *t);
void measure_skip_end(struct sched_thread *t);

/* The baton is about to be taken from the thread, which runs a job inline. Any thread; another may be faster. */
void measure_take_over(struct sched_thread *t);

/* A job of this key has ended at `now`; `taken` says how it lost the baton. SCHED_FREE: the thread was followed.
 * Returns the processor time of the job. */
uint64_t measure_end(struct sched_thread *t, uint32_t key, uint64_t now, enum sched_reason taken);

/* What is known of jobs of this kind. */
static inline struct predict_kind *measure_kind(struct sched *s, const struct sched_job *job) {
    return predict_kind(predict_slot(&s->predict, job->key), job->key);
}

/* peer_wait.c */

void peer_wait_init(struct sched *s);
void peer_wait_fini(struct sched *s);

/* A job that is queued has no thread, as too many wait for their peers: those that have waited for longest give way.
 * Owner only. */
void peer_wait_give_way(struct sched *s);

/* Adds these bits to the fate of a thread whose job is lost, if it has not ended: it does not give way any more.
 * Returns what the fate was. Owner only. */
unsigned peer_wait_lose(struct sched_thread *t, unsigned mark);

/* lost.c. Owner only. */

void lost_init(struct sched *s);

/* A job has ended that ran detached. Returns whether it was made up for: then its end lets no other begin. */
bool lost_note_end(struct sched *s, struct sched_job *job);

/* retire.c. Owner only, but for what is called with pool.lock held. */

void retire_init(struct sched *s);
void retire_fini(struct sched *s);

/* A job has ended: sees to it that threads are looked at that nobody may need any more. */
void retire_later(struct sched *s);

/* Joins those threads of pool.ended that are gone: they are vacant then. With pool.lock held. Any thread. */
void retire_join_locked(struct sched *s);

/* follow.c. The counters are changed before a job begins, or when the loop is taken from it, and after it has ended. */

enum follow_sight {
    FOLLOW_HOLDS, /* the thread has the jobs' lock, or waits for it */
    FOLLOW_FREE,  /* it computes without that lock */
    FOLLOW_ASLEEP
};

/* What a thread does that runs a job. On the thread of the watch, as the functions that look all are. */
enum follow_sight follow_look(struct sched_thread *t);

/* Whether a job has the jobs' lock at this moment, but for that of one thread (NULL: none). Who is without it then may
 * be waiting for it in the midst of a job, and nobody has said so (sched_lock_wait): asleep, or awake and without a
 * processor. So that tells nothing of the job. */
bool follow_lock_is_held(struct sched *s, const struct sched_thread *but);

/* Forgets what was seen, but for so many looks at its present job. By whoever calls follow_begin next. */
void follow_note(struct sched_thread *t, unsigned free, unsigned held);

/* Whether one more job may be followed that is not known to be free. */
bool follow_has_room(const struct sched *s);

/* Begins to follow a thread: it is about to run a job detached, or the watch has just taken the baton from it. `free`:
 * it counts in sched.watched, while it does not sleep for long. By whoever has taken the thread, or its baton. */
void follow_begin(struct sched_thread *t, bool free);

/* Ends that. Returns whether the thread counted: then, unless its job has ended, the owner must be woken. Any
 * thread. */
bool follow_end(struct sched_thread *t);

void follow_look_at_all(struct sched *s);

/* What was seen of its job, for the thread itself when that has ended. False: too little to tell. */
struct follow_verdict {
    bool free;  /* most of the time it computed without the jobs' lock */
    bool apart; /* most of the time it did not have it: the loop should be handed over before the next */
};
bool follow_judge(struct sched_thread *t, struct follow_verdict *verdict);

/* watch.c */

/* What it knows from one look to the next. */
struct watch {
    uint64_t word;  /* the call seen at the last look */
    unsigned same;  /* looks at it before */
    uint64_t used;  /* what its thread had used of processors at the first of them, in nanoseconds */
    unsigned free;  /* the last of them, in a row, that found it computing without the jobs' lock */
    unsigned quiet; /* looks in a row without a call */
};

/* One look. On the thread of the watch. */
void watch_look(struct sched *s, struct watch *w);

/* Ends sched_watch, after threads_quit. */
void watch_quit(struct sched *s);

#endif
