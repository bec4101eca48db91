#include "config.h"

#include "sched/sched.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/log.h"
#include "base/thread_limit.h"
#include "sched/sched_impl.h"
#include "sched/taskstat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    POLL_NS = 1000000, /* with jobs waiting the loop looks for events at least so often, between two jobs */
    GATHER_NS = 30000, /* so long the first of several jobs that have ended may wait to be settled with the others */
    HOLD_MS = 20       /* so long others wait for a job that computes: four switch intervals of CPython */
};

/* Notes: from any thread to the owner. */

void sched_post(struct sched *s, struct sched_note *note) {
    struct sched_note *head = atomic_load_explicit(&s->notes, memory_order_relaxed);
    do {
        note->next = head;
    } while (
        !atomic_compare_exchange_weak_explicit(&s->notes, &head, note, memory_order_release, memory_order_relaxed));
    /* Who put the first note on the list wakes the owner for all that follow until it takes the list. */
    if (!head)
        ev_async_send(s->config.loop, &s->async);
}

static void notes_cb(struct ev_loop *loop, ev_async *w, int revents) {
    (void)loop;
    (void)revents;
    struct sched *s = w->data;
    struct sched_note *note = atomic_exchange_explicit(&s->notes, NULL, memory_order_acquire), *oldest = NULL;
    while (note) {
        struct sched_note *next = note->next;
        note->next = oldest;
        oldest = note;
        note = next;
    }
    while (oldest) {
        struct sched_note *next = oldest->next;
        oldest->call(oldest);
        oldest = next;
    }
}

/* Before the callbacks of what the loop has found. */
static void check_cb(struct ev_loop *loop, ev_check *w, int revents) {
    (void)loop;
    (void)revents;
    struct sched *s = w->data;
    s->polled = clock_ns();
}

/* Threads: started on demand, idle ones on a stack. */

static void *thread_main(void *arg);

static struct sched_thread *thread_start_locked(struct sched *s) {
    struct sched_thread *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->s = s;
    t->index = atomic_load_explicit(&s->nthreads, memory_order_relaxed);
    atomic_init(&t->stat_fd, -1);
    atomic_init(&t->tid, 0);
    sem_init(&t->wake, 0, 0);
    s->threads[t->index] = t;
    int error = pthread_create(&t->id, NULL, thread_main, t);
    if (error) {
        s->threads[t->index] = NULL;
        sem_destroy(&t->wake);
        free(t);
        errno = error;
        return NULL;
    }
    atomic_fetch_add_explicit(&s->nthreads, 1, memory_order_release);
    s->nalive++;
    return t;
}

/* One for the loop beside one for each job: those that run without the baton, those that wait for their peers, and the
 * one that is about to lose it. A job that changes from one kind to the other is counted as both for a moment. */
static unsigned threads_needed(struct sched *s) {
    unsigned jobs = atomic_load(&s->nbusy) + atomic_load(&s->nwaits) + 1, least = s->config.threads;
    unsigned most = least + s->waits_max;
    return (jobs < least ? least : jobs > most ? most : jobs) + 1;
}

static struct sched_thread *idle_take_locked(struct sched *s) {
    struct sched_thread *t = LIST_FIRST(&s->idle);
    if (t) {
        LIST_REMOVE(t, idle);
        return t;
    }
    if (atomic_load(&s->quit) || s->nthreads >= threads_needed(s))
        return NULL;
    t = thread_start_locked(s);
    /* The watch tries again at every look: one line says it all. */
    if (!t && !s->start_warned) {
        char limit[THREAD_LIMIT_SIZE];
        log_error("cannot start thread %u of %u: %s: raise that, or lower --threads", s->nthreads + 1,
                  threads_needed(s), thread_limit_explain(errno, limit));
    }
    s->start_warned = !t;
    return t;
}

static struct sched_thread *idle_take(struct sched *s) {
    pthread_mutex_lock(&s->lock);
    struct sched_thread *t = idle_take_locked(s);
    pthread_mutex_unlock(&s->lock);
    return t;
}

/* Whether there will be a thread for the loop beside one more job. `threads` jobs are run in any case. Those that wait for
 * their peers come on top of them, and should there be no more threads, the job has to wait, not the loop. */
static bool has_spare(struct sched *s) {
    if (atomic_load(&s->nbusy) + atomic_load(&s->nwaits) < s->config.threads)
        return true;
    pthread_mutex_lock(&s->lock);
    struct sched_thread *t = idle_take_locked(s);
    if (t)
        LIST_INSERT_HEAD(&s->idle, t, idle);
    pthread_mutex_unlock(&s->lock);
    return t != NULL;
}

static struct sched_thread *idle_take_veteran(struct sched *s) {
    pthread_mutex_lock(&s->lock);
    struct sched_thread *t;
    LIST_FOREACH(t, &s->idle, idle) {
        if (t->veteran) {
            LIST_REMOVE(t, idle);
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return t;
}

/* Returns false when the thread is to end instead. */
static bool idle_put(struct sched_thread *t) {
    struct sched *s = t->s;
    pthread_mutex_lock(&s->lock);
    bool quit = atomic_load(&s->quit);
    if (!quit)
        LIST_INSERT_HEAD(&s->idle, t, idle);
    pthread_mutex_unlock(&s->lock);
    return !quit;
}

static void become_veteran(struct sched_thread *t) {
    pthread_mutex_lock(&t->s->lock);
    t->veteran = true;
    t->s->nveterans++;
    pthread_mutex_unlock(&t->s->lock);
}

static void thread_mail(struct sched_thread *t, enum sched_mail mail, struct sched_job *job, enum sched_reason reason) {
    t->mail = mail;
    t->mail_job = job;
    t->mail_reason = reason;
}

/* The baton. */

static void baton_give(struct sched *s, struct sched_thread *to) {
    thread_mail(to, SCHED_MAIL_BATON, NULL, SCHED_GIVEN);
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    atomic_store(&s->word, word_make(word_sequence(word) + 1, to->index, SCHED_LOOP));
    sem_post(&to->wake);
}

/* The lock is held from taking a thread to putting it back: an owner that looks for one must not miss it. And nbusy and
 * computing change only when the baton was won, before the new owner wakes: an owner that saw them changed for a moment
 * would wait in the loop for an event that nobody sends. `from`, should it end its job meanwhile, waits for the lock in
 * idle_put before it takes itself off nbusy. */
bool sched_take_over(struct sched *s, struct sched_thread *from, uint64_t word, enum sched_reason reason) {
    bool taken = false;
    pthread_mutex_lock(&s->lock);
    struct sched_thread *to = atomic_load(&s->word) == word ? idle_take_locked(s) : NULL;
    if (to) {
        atomic_store(&from->taken, reason);
        uint64_t expected = word, next = word_make(word_sequence(word) + 1, to->index, SCHED_LOOP);
        taken = atomic_compare_exchange_strong(&s->word, &expected, next);
        if (!taken)
            LIST_INSERT_HEAD(&s->idle, to, idle);
    }
    if (taken) {
        thread_mail(to, SCHED_MAIL_BATON, atomic_load(&from->job), reason);
        atomic_fetch_add(&s->nbusy, 1);
        if (reason == SCHED_COMPUTING)
            atomic_store(&s->computing, from->index + 1);
        if (reason != SCHED_GIVEN)
            atomic_fetch_add_explicit(reason == SCHED_ASLEEP ? &s->taken_asleep : &s->taken_computing, 1,
                                      memory_order_relaxed);
        sem_post(&to->wake);
    }
    pthread_mutex_unlock(&s->lock);
    return taken;
}

bool sched_goes_on(struct sched_thread *t) {
    struct sched *s = t->s;
    t->going = s->config.thread_pause && !atomic_load_explicit(&s->nbusy, memory_order_relaxed) &&
               sched_has_baton(t, atomic_load_explicit(&s->word, memory_order_relaxed));
    return t->going;
}

static void thread_pause(struct sched_thread *t) {
    if (!t->going)
        return;
    t->going = false;
    t->s->config.thread_pause(t, t->s->config.user);
}

void sched_pause(struct sched *s) {
    struct sched_thread *t = s->threads[word_owner(atomic_load_explicit(&s->word, memory_order_relaxed))];
    if (t) /* there is none before sched_start */
        thread_pause(t);
}

/* Measuring a job. */

static struct predict_kind *job_kind(struct sched *s, const struct sched_job *job) {
    return predict_kind(predict_slot(&s->predict, job->key), job->key);
}

static long voluntary_switches(void) {
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

static void job_begin(struct sched_thread *t, bool measured, uint64_t now) {
    t->measured = measured;
    t->started = now;
    t->given_at = 0;
    if (measured)
        t->switches = voluntary_switches();
}

/* What is between these two neither leaves the loop alone nor says how long such a job takes. */

static void uncounted_begin(struct sched_thread *t) {
    t->uncounted_at = clock_ns();
    if (t->measured)
        t->uncounted_switches = voluntary_switches();
}

static void uncounted_end(struct sched_thread *t) {
    t->started += clock_ns() - t->uncounted_at;
    if (t->measured)
        t->switches += voluntary_switches() - t->uncounted_switches;
}

void sched_lock_wait(struct sched_thread *t) {
    atomic_store_explicit(&t->lock_wait, true, memory_order_relaxed);
    if (t->measured)
        uncounted_begin(t);
}

void sched_lock_taken(struct sched_thread *t) {
    atomic_store_explicit(&t->lock_wait, false, memory_order_relaxed);
    if (t->measured)
        uncounted_end(t);
}

/* A job that has given the baton away does not leave the loop alone any more. To give it away may take its time, too. */
static bool give(struct sched_thread *t, uint64_t word) {
    bool counts = pthread_equal(t->id, pthread_self());
    uint64_t now = clock_ns();
    long switches = counts && t->measured ? voluntary_switches() : 0;
    if (!sched_take_over(t->s, t, word, SCHED_GIVEN))
        return false;
    if (counts) {
        t->given_at = now;
        t->given_switches = switches;
    }
    return true;
}

bool sched_will_block(struct sched_thread *t) {
    struct sched *s = t->s;
    uint64_t word = atomic_load(&s->word);
    while (sched_has_baton(t, word)) {
        uint64_t tried = word;
        if (give(t, tried))
            return true;
        word = atomic_load(&s->word);
        if (word == tried)
            return false; /* there is no thread */
    }
    return true;
}

/* Looks its kind up again: the slot may have got another owner since the job began. */
static void job_record(struct sched_thread *t, const struct sched_job *job, uint64_t now, enum sched_reason taken) {
    struct predict_slot *slot = predict_slot(&t->s->predict, job->key);
    struct predict_kind *kind = predict_kind(slot, job->key);
    bool gave = taken == SCHED_GIVEN && t->given_at;
    uint64_t duration = (gave ? t->given_at : now) - t->started;
    predict_record_duration(kind, duration);
    if (t->measured)
        predict_record(kind, duration, (gave ? t->given_switches : voluntary_switches()) > t->switches);
    else if (taken == SCHED_ASLEEP)
        predict_record(kind, duration, true);
    else
        predict_record_unmeasured(kind, duration);
    predict_count(slot, job->key);
}

/* Holding the queue back while a job computes. */

static void hold_release(struct sched *s) {
    s->hold_job = NULL;
    atomic_store(&s->computing, 0);
    ev_timer_stop(s->config.loop, &s->hold_timer);
}

static void hold_timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    hold_release(w->data);
}

static void job_done(struct sched_note *note) {
    struct sched_job *job = (struct sched_job *)(void *)((char *)note - offsetof(struct sched_job, done));
    if (job->sched->hold_job == job)
        hold_release(job->sched);
    job->ops->settle(job);
}

static inline void job_call(struct sched_thread *t, struct sched_job *job) {
    atomic_store_explicit(&t->runs, job, memory_order_release);
    job->ops->run(job, t);
    atomic_store_explicit(&t->runs, NULL, memory_order_release);
}

/* Ends a job that runs without the baton. Returns false when the thread is to end. The order matters: a thread is on
 * the idle stack before it counts as free, so that the owner never starts another one for want of it. */
static bool detached_end(struct sched_thread *t, struct sched_job *job) {
    struct sched *s = t->s;
    bool again = idle_put(t);
    atomic_fetch_sub(&s->nbusy, 1);
    sched_post(s, &job->done);
    return again;
}

static bool run_detached(struct sched_thread *t, struct sched_job *job) {
    if (!t->veteran)
        become_veteran(t);
    job_begin(t, true, clock_ns());
    job_call(t, job);
    job_record(t, job, clock_ns(), SCHED_NOT_TAKEN);
    return detached_end(t, job);
}

static void wake_watch(struct sched *s) {
    if (atomic_exchange(&s->watch_parked, false)) {
        /* A full pipe wakes the watch as well. */
        if (write(s->config.wake_fd, "", 1) < 0 && errno == EBADF)
            descriptors_lost(s->config.wake_fd, "by which the main thread is woken");
    }
}

/* The job is the thread's own business from here on, under a word that the watch has not seen. */
static void app_begin(struct sched_thread *t) {
    struct sched *s = t->s;
    uint64_t word = atomic_load_explicit(&s->word, memory_order_relaxed);
    atomic_store(&s->word, word_make(word_sequence(word) + 1, t->index, SCHED_APP));
    if (atomic_load(&s->watch_parked))
        wake_watch(s);
}

/* Back to the loop. Returns false when the baton was lost meanwhile. */
static bool app_end(struct sched_thread *t) {
    struct sched *s = t->s;
    uint64_t word = atomic_load(&s->word);
    return sched_has_baton(t, word) &&
           atomic_compare_exchange_strong(&s->word, &word, word_make(word_sequence(word), t->index, SCHED_LOOP));
}

enum inline_end { INLINE_KEPT, INLINE_LOST, INLINE_LOST_QUIT };

static enum inline_end run_inline(struct sched_thread *t, struct sched_job *job, uint64_t now, bool measured) {
    struct sched *s = t->s;
    job_begin(t, measured, now);
    atomic_store_explicit(&t->job, job, memory_order_relaxed);
    t->going = false; /* the job has it now */
    app_begin(t);
    job_call(t, job);

    now = clock_ns();
    if (app_end(t)) {
        s->now = now;
        s->now_fresh = true;
        job_record(t, job, now, SCHED_NOT_TAKEN);
        if (TAILQ_EMPTY(&s->ended))
            s->ended_at = now;
        TAILQ_INSERT_TAIL(&s->ended, job, link);
        return INLINE_KEPT;
    }
    thread_pause(t);
    job_record(t, job, now, atomic_load(&t->taken));
    return detached_end(t, job) ? INLINE_LOST : INLINE_LOST_QUIT;
}

/* The ready queue. */

static unsigned free_threads(const struct sched *s) {
    unsigned busy = atomic_load(&s->nbusy) + s->job_runs_loop;
    return busy < s->config.threads ? s->config.threads - busy : 0;
}

bool sched_has_threads(const struct sched *s) {
    return s->nready <= free_threads(s);
}

bool sched_submit(struct sched *s, struct sched_job *job) {
    if (s->nready >= s->config.queue_limit + free_threads(s))
        return false;
    job->sched = s;
    job->done.call = job_done;
    job->queued = true;
    job->queued_at = 0;
    TAILQ_INSERT_TAIL(&s->ready, job, link);
    atomic_store_explicit(&s->nready, s->nready + 1, memory_order_relaxed);
    return true;
}

static void ready_remove(struct sched *s, struct sched_job *job) {
    TAILQ_REMOVE(&s->ready, job, link);
    job->queued = false;
    atomic_store_explicit(&s->nready, s->nready - 1, memory_order_relaxed);
}

bool sched_cancel(struct sched *s, struct sched_job *job) {
    if (!job->queued)
        return false;
    ready_remove(s, job);
    return true;
}

/* A job's wait begins with the first look at the queue that finds it there and leaves it there. A callback that is held up
 * (a slow disk, a full pipe) is no wait for a thread, and jobs that came meanwhile must not be turned away for it when
 * they could run. The new ones are the last ones. */
static void ready_stamp(struct sched *s, uint64_t now) {
    struct sched_job *job;
    TAILQ_FOREACH_REVERSE(job, &s->ready, sched_queue, link) {
        if (job->queued_at)
            return;
        job->queued_at = now;
    }
}

/* Takes jobs off that waited too long. Returns the oldest of the others, still in the queue. `expired` may submit jobs,
 * which are then new. */
static struct sched_job *ready_expire(struct sched *s, uint64_t now) {
    struct sched_job *job;
    while ((job = TAILQ_FIRST(&s->ready)) && s->config.queue_timeout && job->queued_at &&
           job->queued_at + s->config.queue_timeout < now) {
        ready_remove(s, job);
        job->ops->expired(job);
    }
    return job;
}

static void queue_timer_start(struct sched *s, const struct sched_job *oldest, uint64_t now) {
    if (!s->config.queue_timeout || ev_is_active(&s->queue_timer))
        return;
    uint64_t due = oldest->queued_at + s->config.queue_timeout;
    ev_now_update(s->config.loop);
    ev_timer_set(&s->queue_timer, due > now ? (double)(due - now) / 1e9 + 0.001 : 0.001, 0.);
    ev_timer_start(s->config.loop, &s->queue_timer);
}

/* Only wakes the owner, which looks at the queue after every event. */
static void queue_timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)w;
    (void)revents;
}

/* The oldest job that may run at s->now, still in the queue, or NULL. */
static struct sched_job *ready_first(struct sched *s) {
    if (TAILQ_EMPTY(&s->ready))
        return NULL;
    /* The end of a job is the beginning of the next one. */
    if (!s->now_fresh)
        s->now = clock_ns();
    s->now_fresh = false;
    struct sched_job *job = ready_expire(s, s->now);
    if (!job)
        return NULL;
    bool held = s->hold_job && atomic_load(&s->computing);
    bool runs = !held && atomic_load(&s->nbusy) < s->config.threads && has_spare(s);
    if (!runs || TAILQ_NEXT(job, link))
        ready_stamp(s, s->now);
    if (!runs) {
        queue_timer_start(s, job, s->now);
        return NULL;
    }
    if (s->hold_job)
        hold_release(s);
    return job;
}

/* The owner. */

enum own_end { OWN_GO_ON, OWN_IDLE, OWN_QUIT };

static void settle_ended(struct sched *s) {
    struct sched_job *job;
    while ((job = TAILQ_FIRST(&s->ended))) {
        TAILQ_REMOVE(&s->ended, job, link);
        s->now_fresh = false;
        job->ops->settle(job);
    }
}

bool sched_settles_more(const struct sched *s, const struct sched_job *job) {
    const struct sched_job *next = TAILQ_FIRST(&s->ended);
    return next && job->group && next->group == job->group;
}

/* Whether the jobs that have ended are settled after the next one, rather than before it. Answers that leave together
 * find the peer awake: to wake it for each costs more than to run a quick job. Only for jobs of a kind that was quick many
 * times in a row; should one of them block nevertheless, who takes the loop over settles what has ended before it. */
static bool gathers(struct sched *s, const struct sched_job *next) {
    return s->now - s->ended_at < GATHER_NS && predict_is_quick(job_kind(s, next));
}

static void look_for_events(struct sched_thread *t, int flags) {
    settle_ended(t->s);
    thread_pause(t);
    ev_run(t->s->config.loop, flags);
}

static bool may_stay(struct sched *s) {
    return TAILQ_EMPTY(&s->ready) && !atomic_load(&s->quit);
}

bool sched_run_loop(struct sched_thread *t) {
    struct sched *s = t->s;
    if (!pthread_equal(t->id, pthread_self()) || !app_end(t))
        return false;
    uncounted_begin(t);
    s->job_runs_loop = true;
    bool settled = !TAILQ_EMPTY(&s->ended);
    settle_ended(s);
    if (!settled && may_stay(s)) /* what was waited for may have come by settling */
        ev_run(s->config.loop, EVRUN_ONCE);
    bool stays = may_stay(s);
    s->job_runs_loop = false;
    uncounted_end(t);
    app_begin(t);
    return stays;
}

/* A job that is expected to block goes to a thread without the baton: to this one, when it is a veteran, after another
 * has got the baton; else to an idle veteran. Returns OWN_GO_ON with *taken false when there is no other thread. */
static enum own_end run_blocking(struct sched_thread *t, struct sched_job *job, bool *taken) {
    struct sched *s = t->s;
    struct sched_thread *other = t->veteran ? NULL : idle_take_veteran(s);
    bool keep_baton = other != NULL;
    if (!other)
        other = idle_take(s);
    *taken = other != NULL;
    if (!other)
        return OWN_GO_ON;
    ready_remove(s, job);
    job->begun_at = s->now;
    atomic_fetch_add(&s->nbusy, 1);
    atomic_fetch_add_explicit(&s->handed_over, 1, memory_order_relaxed);
    if (keep_baton) {
        thread_mail(other, SCHED_MAIL_JOB, job, SCHED_NOT_TAKEN);
        sem_post(&other->wake);
        return OWN_GO_ON;
    }
    baton_give(s, other);
    return run_detached(t, job) ? OWN_IDLE : OWN_QUIT;
}

static enum own_end own_job(struct sched_thread *t, struct sched_job *job, uint64_t now) {
    struct sched *s = t->s;
    struct predict_kind *kind = job_kind(s, job);
    if (predict_blocks(kind)) {
        bool taken;
        thread_pause(t);
        enum own_end end = run_blocking(t, job, &taken);
        if (taken)
            return end;
    }
    if (!t->veteran) {
        struct sched_thread *veteran = idle_take_veteran(s);
        if (veteran) {
            bool again = idle_put(t);
            baton_give(s, veteran);
            return again ? OWN_IDLE : OWN_QUIT;
        }
        become_veteran(t);
    }
    ready_remove(s, job);
    job->begun_at = now;
    enum inline_end end = run_inline(t, job, now, predict_wants_measure(kind));
    if (end != INLINE_KEPT)
        return end == INLINE_LOST ? OWN_IDLE : OWN_QUIT;
    if (s->polled < now && now - s->polled > POLL_NS) /* it may have run the loop itself */
        look_for_events(t, EVRUN_NOWAIT);
    return OWN_GO_ON;
}

/* Runs the loop and jobs until the baton is gone. Returns false when the thread is to end. */
static bool own(struct sched_thread *t) {
    struct sched *s = t->s;
    for (;;) {
        if (atomic_load(&s->quit)) {
            settle_ended(s);
            thread_pause(t);
            return false;
        }
        struct sched_job *job = ready_first(s);
        if (!TAILQ_EMPTY(&s->ended) && !(job && gathers(s, job))) {
            settle_ended(s); /* which may cancel the job */
            continue;
        }
        if (!job) {
            if (!atomic_load(&s->quit)) /* `expired` may have ended the last request */
                look_for_events(t, EVRUN_ONCE);
            continue;
        }
        enum own_end end = own_job(t, job, s->now);
        if (end != OWN_GO_ON)
            return end == OWN_IDLE;
    }
}

static void baton_received(struct sched_thread *t) {
    struct sched *s = t->s;
    if (t->mail_reason == SCHED_COMPUTING) {
        s->hold_job = t->mail_job;
        ev_now_update(s->config.loop);
        ev_timer_stop(s->config.loop, &s->hold_timer);
        ev_timer_set(&s->hold_timer, HOLD_MS / 1000., 0.);
        ev_timer_start(s->config.loop, &s->hold_timer);
    }
}

/* What to do about a file of /proc that cannot be opened (open(2), "ERRORS"). */
static const char *stat_advice(int error) {
    switch (error) {
    case EMFILE:
        return "; raise the limit of open files (ulimit -n, LimitNOFILE of systemd)";
    case ENFILE:
        return "; raise the machine's limit of open files (fs.file-max)";
    case ENOENT:
    case ENOTDIR:
        return "; mount /proc here";
    default:
        return "";
    }
}

static void thread_stat_open(struct sched_thread *t) {
    struct sched *s = t->s;
    atomic_store(&t->tid, (int)gettid());
    if (t->index > s->config.threads)
        return;
    int fd = taskstat_open_self(), error = errno;
    atomic_store(&t->stat_fd, fd);
    if (fd >= 0)
        return;
    pthread_mutex_lock(&s->lock);
    bool warn = !s->stat_warned;
    s->stat_warned = true;
    pthread_mutex_unlock(&s->lock);
    if (warn)
        log_warning("cannot open /proc/thread-self/stat: %s: blocked requests are noticed late%s", strerror(error),
                    stat_advice(error));
}

/* An index has 16 bits (word_make). */
void sched_thread_name(const struct sched_thread *t, char out[static SCHED_NAME_SIZE]) {
    snprintf(out, SCHED_NAME_SIZE, "wsgi-fcgi-%hu", (unsigned short)(t->index + 1));
}

static void *thread_main(void *arg) {
    struct sched_thread *t = arg;
    struct sched *s = t->s;
    char name[SCHED_NAME_SIZE];
    sched_thread_name(t, name);
    pthread_setname_np(pthread_self(), name);
    thread_stat_open(t);
    for (bool again = true; again;) {
        while (sem_wait(&t->wake))
            ; /* EINTR */
        if (t->mail == SCHED_MAIL_BATON) {
            baton_received(t);
            again = own(t);
        } else if (t->mail == SCHED_MAIL_JOB)
            again = run_detached(t, t->mail_job);
        else
            again = false;
    }
    if (s->config.thread_stop)
        s->config.thread_stop(t, s->config.user);
    pthread_mutex_lock(&s->lock);
    s->nalive--;
    pthread_cond_signal(&s->thread_ended);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Life cycle. */

struct sched *sched_new(const struct sched_config *config) {
    struct sched *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->config = *config;
    sched_waits_init(s);
    s->threads = calloc(config->threads + s->waits_max + 1, sizeof *s->threads);
    if (!s->threads) {
        free(s);
        return NULL;
    }
    TAILQ_INIT(&s->ready);
    TAILQ_INIT(&s->ended);
    LIST_INIT(&s->idle);
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->thread_ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    ev_async_init(&s->async, notes_cb);
    ev_timer_init(&s->hold_timer, hold_timer_cb, 0., 0.);
    ev_timer_init(&s->queue_timer, queue_timer_cb, 0., 0.);
    ev_check_init(&s->check, check_cb);
    ev_set_priority(&s->check, SCHED_CHECK_PRIORITY);
    ev_check_start(config->loop, &s->check);
    s->async.data = s->hold_timer.data = s->check.data = s;
    ev_async_start(config->loop, &s->async);
    return s;
}

void sched_free(struct sched *s) {
    if (!s)
        return;
    ev_check_stop(s->config.loop, &s->check);
    ev_async_stop(s->config.loop, &s->async);
    ev_timer_stop(s->config.loop, &s->hold_timer);
    ev_timer_stop(s->config.loop, &s->queue_timer);
    for (unsigned i = 0; i < s->nthreads; i++) {
        struct sched_thread *t = s->threads[i];
        pthread_join(t->id, NULL);
        sem_destroy(&t->wake);
        if (t->stat_fd >= 0)
            descriptors_close(t->stat_fd);
        free(t);
    }
    pthread_cond_destroy(&s->thread_ended);
    pthread_mutex_destroy(&s->lock);
    free(s->threads);
    free(s);
}

int sched_start(struct sched *s) {
    struct sched_thread *first = idle_take(s);
    if (!first)
        return -1;
    baton_give(s, first);
    return 0;
}

uint64_t sched_polled(const struct sched *s) {
    return s->polled;
}

void sched_quit(struct sched *s) {
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->quit, true);
    struct sched_thread *t;
    while ((t = LIST_FIRST(&s->idle))) {
        LIST_REMOVE(t, idle);
        thread_mail(t, SCHED_MAIL_NONE, NULL, SCHED_NOT_TAKEN);
        sem_post(&t->wake);
    }
    pthread_mutex_unlock(&s->lock);
    ev_break(s->config.loop, EVBREAK_ALL);
    ssize_t n = write(s->config.wake_fd, "", 1);
    (void)n;
}

unsigned sched_join(struct sched *s, uint64_t deadline) {
    struct timespec until = {.tv_sec = (time_t)(deadline / 1000000000u), .tv_nsec = (long)(deadline % 1000000000u)};
    pthread_mutex_lock(&s->lock);
    while (s->nalive && pthread_cond_timedwait(&s->thread_ended, &s->lock, &until) != ETIMEDOUT)
        ;
    unsigned alive = s->nalive;
    pthread_mutex_unlock(&s->lock);
    return alive;
}

void *sched_thread_user(const struct sched_thread *t) {
    return t->user;
}

void sched_thread_set_user(struct sched_thread *t, void *user) {
    t->user = user;
}

void sched_visit_jobs(struct sched *s, sched_visit *visit, void *arg) {
    unsigned count = atomic_load_explicit(&s->nthreads, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        struct sched_job *job = atomic_load(&s->threads[i]->runs);
        if (job)
            visit(job, &s->threads[i]->runs, arg);
    }
}

void sched_get_stats(struct sched *s, struct sched_stats *stats) {
    pthread_mutex_lock(&s->lock);
    stats->threads = s->nalive;
    stats->veterans = s->nveterans;
    pthread_mutex_unlock(&s->lock);
    stats->busy = atomic_load(&s->nbusy);
    stats->peer_waits = atomic_load(&s->nwaits);
    stats->queued = atomic_load(&s->nready);
    stats->handed_over = atomic_load(&s->handed_over);
    stats->taken_asleep = atomic_load(&s->taken_asleep);
    stats->taken_computing = atomic_load(&s->taken_computing);
}
