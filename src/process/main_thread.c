#include "config.h"

#include "process/main_thread.h"

#include "net/lane.h"
#include "process/signals.h"
#include "python/signal_handlers.h"

#include <stddef.h>

/* Running handlers. */

/* On `thread` of the scheduler; NULL: on the main thread, which is none. */
static void run_wanted(struct main_thread *m, struct sched_thread *thread) {
    pthread_mutex_lock(&m->lock);
    bool wanted = m->handling = m->wanted;
    m->wanted = false;
    m->interrupted &= !m->old;
    m->old = m->interrupted;
    pthread_mutex_unlock(&m->lock);
    if (!wanted)
        return;
    signal_handlers_run(thread);
    pthread_mutex_lock(&m->lock);
    m->handling = false;
    pthread_mutex_unlock(&m->lock);
}

static void drain_locked(struct main_thread *m) {
    unsigned seen = signals_drain();
    m->signals |= seen;
    m->terminated |= (seen & SIGNALS_PYTHON_TERM) != 0;
    if (seen & SIGNALS_PYTHON_INT) {
        m->interrupted = true;
        m->old = false;
    }
}

unsigned main_thread_drain(struct main_thread *m) {
    pthread_mutex_lock(&m->lock);
    drain_locked(m);
    unsigned signals = m->signals;
    m->signals = 0;
    pthread_mutex_unlock(&m->lock);
    return signals;
}

/* Who simulates a signal has the GIL until its number is in the pipe. So it is there, or the watch has taken it, before the
 * handler runs; but perhaps in a round that began before. Both functions below look for it, with the GIL. */

/* The watch leaves handlers alone once a SIGTERM was simulated, but it may have asked for this round before. */
static bool waits_cb(void *arg) {
    struct main_thread *m = arg;
    pthread_mutex_lock(&m->lock);
    drain_locked(m);
    bool waits = m->terminated;
    pthread_mutex_unlock(&m->lock);
    signals_wake(); /* for what was drained here */
    return waits;
}

static bool interrupted_cb(void *arg) {
    struct main_thread *m = arg;
    pthread_mutex_lock(&m->lock);
    drain_locked(m);
    bool interrupted = m->interrupted;
    m->interrupted = false;
    pthread_mutex_unlock(&m->lock);
    signals_wake(); /* for what was drained here */
    return interrupted;
}

/* With the GIL, so nothing here may wait. */
static void end_cb(int status, void *arg) {
    struct main_thread *m = arg;
    pthread_mutex_lock(&m->lock);
    m->end_wanted = true;
    if (!m->status)
        m->status = status;
    pthread_mutex_unlock(&m->lock);
    signals_wake();
}

bool main_thread_wants_end(struct main_thread *m, int *status) {
    pthread_mutex_lock(&m->lock);
    bool end = m->end_wanted;
    if (!*status)
        *status = m->status;
    pthread_mutex_unlock(&m->lock);
    return end;
}

bool main_thread_is_handling(struct main_thread *m) {
    pthread_mutex_lock(&m->lock);
    bool handling = m->handling;
    pthread_mutex_unlock(&m->lock);
    return handling;
}

/* As a job. */

static bool is_wanted(struct main_thread *m) {
    pthread_mutex_lock(&m->lock);
    bool wanted = m->wanted;
    pthread_mutex_unlock(&m->lock);
    return wanted;
}

static struct main_thread *of_job(struct sched_job *job) {
    return (struct main_thread *)(void *)((char *)job - offsetof(struct main_thread, job));
}

/* At the end of the queue, since Python runs what is due in any call that begins before. */
static void submit(struct main_thread *m) {
    m->job_is_there = is_wanted(m);
    if (m->job_is_there)
        sched_submit_uncounted(lane_sched(m->lane), &m->job);
}

static void job_run(struct sched_job *job, struct sched_thread *thread) {
    run_wanted(of_job(job), thread);
}

static void job_over(struct sched_job *job) {
    submit(of_job(job));
}

static void post_cb(struct sched_note *note) {
    struct main_thread *m = (struct main_thread *)(void *)((char *)note - offsetof(struct main_thread, note));
    pthread_mutex_lock(&m->lock);
    m->posted = false;
    pthread_mutex_unlock(&m->lock);
    if (!m->job_is_there)
        submit(m);
}

void main_thread_run_handlers(struct main_thread *m) {
    pthread_mutex_lock(&m->lock);
    bool posts = m->runs_calls && !m->posted;
    m->wanted = true;
    m->posted |= posts;
    pthread_cond_signal(&m->told);
    pthread_mutex_unlock(&m->lock);
    if (posts)
        sched_post(lane_sched(m->lane), &m->note);
}

/* The main thread. */

void main_thread_init(struct main_thread *m, struct lane *lane, bool runs_calls) {
    static const struct sched_job_ops ops = {.run = job_run, .settle = job_over, .expired = job_over};
    *m = (struct main_thread){.lane = lane, .runs_calls = runs_calls, .note.call = post_cb, .job.ops = &ops};
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->told, NULL);
    signal_handlers_report(
        &(struct signal_handlers_report){.end = end_cb, .interrupted = interrupted_cb, .waits = waits_cb, .arg = m});
}

int main_thread_serve(struct main_thread *m) {
    if (m->runs_calls)
        return lane_start_here(m->lane);
    if (lane_start(m->lane))
        return -1;
    pthread_mutex_lock(&m->lock);
    while (!m->over) {
        if (!m->wanted) {
            pthread_cond_wait(&m->told, &m->lock);
            continue;
        }
        pthread_mutex_unlock(&m->lock);
        run_wanted(m, NULL);
        pthread_mutex_lock(&m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return 0;
}

void main_thread_let_go(struct main_thread *m) {
    pthread_mutex_lock(&m->lock);
    m->over = true;
    pthread_cond_signal(&m->told);
    pthread_mutex_unlock(&m->lock);
}
