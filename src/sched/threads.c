/* The pool: threads are started on demand, and idle ones are on a stack. */
#include "config.h"

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
#include <unistd.h>

/* What one thread does. */

/* An index has 16 bits (word_make). */
void sched_thread_name(const struct sched_thread *t, char out[static SCHED_NAME_SIZE]) {
    snprintf(out, SCHED_NAME_SIZE, "wsgi-fcgi-%hu", (unsigned short)(t->index + 1));
}

void *sched_thread_user(const struct sched_thread *t) {
    return atomic_load_explicit(&t->user, memory_order_acquire);
}

void sched_thread_set_user(struct sched_thread *t, void *user) {
    atomic_store_explicit(&t->user, user, memory_order_release);
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

/* Lost jobs do not need theirs any more, but whoever runs in their places does. */
static bool stat_takes(struct sched *s) {
    unsigned most = s->config.threads + 1 + atomic_load(&s->lost.made_up);
    if (atomic_load(&s->pool.stats) >= most)
        return false;
    bool takes = atomic_fetch_add(&s->pool.stats, 1) < most;
    if (!takes)
        atomic_fetch_sub(&s->pool.stats, 1);
    return takes;
}

void threads_open_stat(struct sched_thread *t) {
    struct sched *s = t->s;
    if (t->stat_tried || !stat_takes(s))
        return;
    t->stat_tried = true;
    int fd = taskstat_open_self(), error = errno;
    atomic_store(&t->stat_fd, fd);
    if (fd >= 0)
        return;
    atomic_fetch_sub(&s->pool.stats, 1);
    pthread_mutex_lock(&s->pool.lock);
    bool warn = !s->pool.stat_warned;
    s->pool.stat_warned = true;
    pthread_mutex_unlock(&s->pool.lock);
    if (warn)
        log_warning("cannot open /proc/thread-self/stat: %s: blocked requests are noticed late%s", strerror(error),
                    stat_advice(error));
}

/* The watch, which may have read it, reads it no more once the lock is had. */
static void stat_close(struct sched_thread *t) {
    pthread_mutex_lock(&t->s->watch_lock);
    int fd = atomic_exchange(&t->stat_fd, -1);
    pthread_mutex_unlock(&t->s->watch_lock);
    t->stat_tried = false;
    if (fd < 0)
        return;
    descriptors_close(fd);
    atomic_fetch_sub(&t->s->pool.stats, 1);
}

bool threads_is_asleep(struct sched_thread *t) {
    int fd = atomic_load(&t->stat_fd), tid = atomic_load(&t->tid);
    char state = 0;
    if (fd >= 0)
        state = taskstat_state(fd);
    else if (tid)
        state = taskstat_state_of(tid);
    return taskstat_is_asleep(state);
}

uint64_t threads_used(const struct sched_thread *t) {
    uint64_t ns = 0;
    return sched_thread_time(t, &ns) ? ns : 0;
}

static enum sched_next read_mail(struct sched_thread *t) {
    switch (t->mail) {
    case SCHED_MAIL_BATON:
        threads_open_stat(t);
        if (t->mail_reason == SCHED_COMPUTING)
            hold_begin(t->s, t->mail_job);
        caught_tell(t->s);
        if (t->mail_job) {
            t->s->owner.last_detached = t->s->owner.now; /* when it began inline */
            job_note_detached(t->mail_job);
        }
        return owner_run(t);
    case SCHED_MAIL_JOB:
        return job_run_detached(t, t->mail_job, t->mail_reason);
    case SCHED_MAIL_END:
        break;
    }
    return SCHED_NEXT_END;
}

static void set_stops(struct sched_thread *t, bool stops) {
    pthread_mutex_lock(&t->s->watch_lock);
    t->stops = stops;
    pthread_mutex_unlock(&t->s->watch_lock);
}

void threads_run(struct sched_thread *t) {
    struct sched *s = t->s;
    set_stops(t, false);
    atomic_store(&t->tid, (int)gettid());
    threads_open_stat(t);
    do {
        while (sem_wait(&t->wake))
            ; /* EINTR */
    } while (read_mail(t) != SCHED_NEXT_END);
    set_stops(t, true);
    if (s->config.thread_stop)
        s->config.thread_stop(t, s->config.user);
    stat_close(t);
    pthread_mutex_lock(&s->pool.lock);
    s->pool.alive--;
    note_move(s);
    if (t->retires) {
        s->pool.ending--;
        LIST_INSERT_HEAD(&s->pool.ended, t, idle);
    }
    pthread_cond_signal(&s->pool.thread_ended);
    pthread_mutex_unlock(&s->pool.lock);
}

static void *thread_main(void *arg) {
    struct sched_thread *t = arg;
    char name[SCHED_NAME_SIZE];
    sched_thread_name(t, name);
    pthread_setname_np(pthread_self(), name);
    threads_run(t);
    return NULL;
}

void threads_wake(struct sched_thread *t, enum sched_mail mail, struct sched_job *job, enum sched_reason reason) {
    t->mail = mail;
    t->mail_job = job;
    t->mail_reason = reason;
    sem_post(&t->wake);
}

void threads_make_veteran(struct sched_thread *t) {
    pthread_mutex_lock(&t->s->pool.lock);
    t->veteran = true;
    t->s->pool.veterans++;
    pthread_mutex_unlock(&t->s->pool.lock);
}

/* Threads are taken from the stack or started, and put back. */

/* What a thread has that was not used yet. Returns NULL with errno when there is no memory, or no place until those
 * that have ended are joined. */
static struct sched_thread *make_locked(struct sched *s) {
    unsigned index = atomic_load_explicit(&s->pool.started, memory_order_relaxed);
    struct sched_thread *t = index < s->pool.size ? calloc(1, sizeof *t) : NULL;
    if (!t) {
        errno = index < s->pool.size ? ENOMEM : EAGAIN;
        return NULL;
    }
    t->s = s;
    t->index = index;
    atomic_init(&t->stat_fd, -1);
    atomic_init(&t->tid, 0);
    sem_init(&t->wake, 0, 0);
    s->pool.all[index] = t; /* and not again when it is vacant: the watch reads it */
    return t;
}

/* The same for one that has ended. Its successor has its index, and thus its name. */
static struct sched_thread *take_vacant_locked(struct sched *s) {
    if (LIST_EMPTY(&s->pool.vacant))
        retire_join_locked(s);
    struct sched_thread *t = LIST_FIRST(&s->pool.vacant);
    if (!t)
        return NULL;
    LIST_REMOVE(t, idle);
    sched_thread_set_user(t, NULL);
    t->veteran = t->retires = false;
    atomic_store(&t->tid, 0);
    return t;
}

static void unmake_locked(struct sched_thread *t) {
    if (t->joined) {
        LIST_INSERT_HEAD(&t->s->pool.vacant, t, idle);
        return;
    }
    t->s->pool.all[t->index] = NULL;
    sem_destroy(&t->wake);
    free(t);
}

static struct sched_thread *start_locked(struct sched *s) {
    struct sched_thread *vacant = take_vacant_locked(s), *t = vacant ? vacant : make_locked(s);
    sigset_t mask;
    if (!t)
        return NULL;
    t->idle_since = clock_ns();
    pthread_sigmask(SIG_SETMASK, &s->pool.blocked, &mask);
    int error = pthread_create(&t->id, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (error) {
        unmake_locked(t);
        errno = error;
        return NULL;
    }
    t->joined = false;
    if (vacant)
        s->pool.again++;
    else
        atomic_fetch_add_explicit(&s->pool.started, 1, memory_order_release);
    s->pool.alive++;
    note_move(s);
    return t;
}

struct sched_thread *threads_lend(struct sched *s) {
    pthread_mutex_lock(&s->pool.lock);
    bool quit = atomic_load(&s->quit);
    struct sched_thread *t = quit ? NULL : make_locked(s);
    if (t) {
        t->id = pthread_self();
        t->lent = t->veteran = true;
        s->pool.veterans++;
        atomic_fetch_add_explicit(&s->pool.started, 1, memory_order_release);
        s->pool.alive++;
        note_move(s);
    }
    pthread_mutex_unlock(&s->pool.lock);
    if (!t)
        errno = quit ? ECANCELED : ENOMEM;
    if (!t && !quit)
        log_error("cannot start: out of memory");
    return t;
}

/* One thread for the loop in addition to one for each job: jobs that run without the baton, jobs that wait for their
 * peers, lost ones that are made up for, and the job that is about to lose the baton. A job that changes from one kind
 * to the other counts as both for a moment, and as long as it is of two. */
static unsigned threads_needed(struct sched *s) {
    unsigned beside = atomic_load(&s->peer_waits.count) + atomic_load(&s->lost.made_up);
    unsigned jobs = atomic_load(&s->busy) + beside + 1, least = s->config.threads;
    unsigned most = least + s->peer_waits.max + s->lost.max;
    return (jobs < least ? least : jobs > most ? most : jobs) + 1;
}

struct sched_thread *threads_take_locked(struct sched *s) {
    struct sched_thread *t = LIST_FIRST(&s->pool.idle);
    if (t) {
        LIST_REMOVE(t, idle);
        return t;
    }
    if (atomic_load(&s->quit) || s->pool.alive - s->pool.ending >= threads_needed(s))
        return NULL;
    t = start_locked(s);
    /* The watch tries again at every look, so one line is enough. */
    if (!t && !s->pool.start_warned) {
        char limit[THREAD_LIMIT_SIZE];
        log_error("cannot start thread %u of %u: %s: raise that, or lower --threads", s->pool.alive + 1,
                  threads_needed(s), thread_limit_explain(errno, limit));
    }
    s->pool.start_warned = !t;
    return t;
}

void threads_put_locked(struct sched_thread *t) {
    LIST_INSERT_HEAD(&t->s->pool.idle, t, idle);
}

struct sched_thread *threads_take(struct sched *s) {
    pthread_mutex_lock(&s->pool.lock);
    struct sched_thread *t = threads_take_locked(s);
    pthread_mutex_unlock(&s->pool.lock);
    return t;
}

struct sched_thread *threads_take_veteran(struct sched *s) {
    pthread_mutex_lock(&s->pool.lock);
    struct sched_thread *t;
    LIST_FOREACH(t, &s->pool.idle, idle) {
        if (t->veteran) {
            LIST_REMOVE(t, idle);
            break;
        }
    }
    pthread_mutex_unlock(&s->pool.lock);
    return t;
}

bool threads_can_take(struct sched *s) {
    pthread_mutex_lock(&s->pool.lock);
    struct sched_thread *t = threads_take_locked(s);
    if (t)
        threads_put_locked(t);
    pthread_mutex_unlock(&s->pool.lock);
    return t != NULL;
}

/* With the lock held, the taker of the baton has done all that baton_take_over does; and nobody can take the thread, to
 * let it be followed for another job. A thread is on the idle stack before it counts as free, so that the owner never
 * starts another because it finds none. */
enum sched_next threads_put(struct sched_thread *t) {
    struct sched *s = t->s;
    pthread_mutex_lock(&s->pool.lock);
    follow_end(t);
    caught_end(t);
    unsigned fate = atomic_exchange(&t->fate, 0);
    bool quit = atomic_load(&s->quit);
    if (!quit) {
        t->idle_since = clock_ns();
        threads_put_locked(t);
    }
    pthread_mutex_unlock(&s->pool.lock);
    if (fate_counts(fate))
        atomic_fetch_sub(&s->busy, 1);
    if (fate & FATE_LOST)
        atomic_fetch_sub(&s->lost.count, 1);
    if (fate)
        note_move(s);
    return quit ? SCHED_NEXT_END : SCHED_NEXT_IDLE;
}

/* The pool. */

int threads_init(struct sched *s) {
    s->pool.size = s->config.threads + s->peer_waits.max + s->lost.max + 1;
    s->pool.all = calloc(s->pool.size, sizeof *s->pool.all);
    if (!s->pool.all)
        return -1;
    LIST_INIT(&s->pool.idle);
    LIST_INIT(&s->pool.ended);
    LIST_INIT(&s->pool.vacant);
    pthread_mutex_init(&s->pool.lock, NULL);
    pthread_mutex_init(&s->watch_lock, NULL);
    clock_cond_init(&s->pool.thread_ended);
    if (s->config.blocked_signals)
        s->pool.blocked = *s->config.blocked_signals;
    else
        pthread_sigmask(SIG_SETMASK, NULL, &s->pool.blocked);
    return 0;
}

void threads_fini(struct sched *s) {
    for (unsigned i = 0; i < s->pool.started; i++) {
        struct sched_thread *t = s->pool.all[i];
        if (!t->lent && !t->joined)
            pthread_join(t->id, NULL);
        sem_destroy(&t->wake);
        if (t->stat_fd >= 0)
            descriptors_close(t->stat_fd);
        free(t);
    }
    pthread_cond_destroy(&s->pool.thread_ended);
    pthread_mutex_destroy(&s->watch_lock);
    pthread_mutex_destroy(&s->pool.lock);
    free(s->pool.all);
}

void threads_quit(struct sched *s) {
    pthread_mutex_lock(&s->pool.lock);
    atomic_store(&s->quit, true);
    struct sched_thread *t;
    while ((t = LIST_FIRST(&s->pool.idle))) {
        LIST_REMOVE(t, idle);
        threads_wake(t, SCHED_MAIL_END, NULL, SCHED_NOT_TAKEN);
    }
    pthread_mutex_unlock(&s->pool.lock);
}

unsigned sched_join(struct sched *s, uint64_t deadline) {
    struct timespec until = clock_timespec(deadline);
    pthread_mutex_lock(&s->pool.lock);
    while (s->pool.alive && pthread_cond_timedwait(&s->pool.thread_ended, &s->pool.lock, &until) != ETIMEDOUT)
        ;
    unsigned alive = s->pool.alive;
    pthread_mutex_unlock(&s->pool.lock);
    return alive;
}
