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
    return t->user;
}

void sched_thread_set_user(struct sched_thread *t, void *user) {
    t->user = user;
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

static void stat_open(struct sched_thread *t) {
    struct sched *s = t->s;
    atomic_store(&t->tid, (int)gettid());
    if (t->index > s->config.threads)
        return;
    int fd = taskstat_open_self(), error = errno;
    atomic_store(&t->stat_fd, fd);
    if (fd >= 0)
        return;
    pthread_mutex_lock(&s->pool.lock);
    bool warn = !s->pool.stat_warned;
    s->pool.stat_warned = true;
    pthread_mutex_unlock(&s->pool.lock);
    if (warn)
        log_warning("cannot open /proc/thread-self/stat: %s: blocked requests are noticed late%s", strerror(error),
                    stat_advice(error));
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

static enum sched_next read_mail(struct sched_thread *t) {
    switch (t->mail) {
    case SCHED_MAIL_BATON:
        if (t->mail_reason == SCHED_COMPUTING)
            hold_begin(t->s, t->mail_job);
        return owner_run(t);
    case SCHED_MAIL_JOB:
        return job_run_detached(t, t->mail_job);
    case SCHED_MAIL_END:
        break;
    }
    return SCHED_NEXT_END;
}

static void *thread_main(void *arg) {
    struct sched_thread *t = arg;
    struct sched *s = t->s;
    char name[SCHED_NAME_SIZE];
    sched_thread_name(t, name);
    pthread_setname_np(pthread_self(), name);
    stat_open(t);
    do {
        while (sem_wait(&t->wake))
            ; /* EINTR */
    } while (read_mail(t) != SCHED_NEXT_END);
    if (s->config.thread_stop)
        s->config.thread_stop(t, s->config.user);
    pthread_mutex_lock(&s->pool.lock);
    s->pool.alive--;
    pthread_cond_signal(&s->pool.thread_ended);
    pthread_mutex_unlock(&s->pool.lock);
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

static struct sched_thread *start_locked(struct sched *s) {
    struct sched_thread *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->s = s;
    t->index = atomic_load_explicit(&s->pool.started, memory_order_relaxed);
    atomic_init(&t->stat_fd, -1);
    atomic_init(&t->tid, 0);
    sem_init(&t->wake, 0, 0);
    s->pool.all[t->index] = t;
    int error = pthread_create(&t->id, NULL, thread_main, t);
    if (error) {
        s->pool.all[t->index] = NULL;
        sem_destroy(&t->wake);
        free(t);
        errno = error;
        return NULL;
    }
    atomic_fetch_add_explicit(&s->pool.started, 1, memory_order_release);
    s->pool.alive++;
    return t;
}

/* One thread for the loop in addition to one for each job: jobs that run without the baton, jobs that wait for their
 * peers, and the job that is about to lose the baton. A job that changes from one kind to the other counts as both for
 * a moment. */
static unsigned threads_needed(struct sched *s) {
    unsigned jobs = atomic_load(&s->busy) + atomic_load(&s->peer_waits.count) + 1, least = s->config.threads;
    unsigned most = least + s->peer_waits.max;
    return (jobs < least ? least : jobs > most ? most : jobs) + 1;
}

struct sched_thread *threads_take_locked(struct sched *s) {
    struct sched_thread *t = LIST_FIRST(&s->pool.idle);
    if (t) {
        LIST_REMOVE(t, idle);
        return t;
    }
    if (atomic_load(&s->quit) || s->pool.started >= threads_needed(s))
        return NULL;
    t = start_locked(s);
    /* The watch tries again at every look, so one line is enough. */
    if (!t && !s->pool.start_warned) {
        char limit[THREAD_LIMIT_SIZE];
        log_error("cannot start thread %u of %u: %s: raise that, or lower --threads", s->pool.started + 1,
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

enum sched_next threads_put(struct sched_thread *t) {
    struct sched *s = t->s;
    pthread_mutex_lock(&s->pool.lock);
    bool quit = atomic_load(&s->quit);
    if (!quit)
        threads_put_locked(t);
    pthread_mutex_unlock(&s->pool.lock);
    return quit ? SCHED_NEXT_END : SCHED_NEXT_IDLE;
}

/* The pool. */

int threads_init(struct sched *s) {
    s->pool.all = calloc(s->config.threads + s->peer_waits.max + 1, sizeof *s->pool.all);
    if (!s->pool.all)
        return -1;
    LIST_INIT(&s->pool.idle);
    pthread_mutex_init(&s->pool.lock, NULL);
    clock_cond_init(&s->pool.thread_ended);
    return 0;
}

void threads_fini(struct sched *s) {
    for (unsigned i = 0; i < s->pool.started; i++) {
        struct sched_thread *t = s->pool.all[i];
        pthread_join(t->id, NULL);
        sem_destroy(&t->wake);
        if (t->stat_fd >= 0)
            descriptors_close(t->stat_fd);
        free(t);
    }
    pthread_cond_destroy(&s->pool.thread_ended);
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
