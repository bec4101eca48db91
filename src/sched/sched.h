/* The baton: which thread runs the event loop, which ones run jobs, and when the loop is taken over.
 *
 * A pool of threads shares one libev loop. The thread that holds the baton (the owner) runs the loop; a job that became
 * ready runs inline on the owner, without any hand-off, and only a job that blocks loses the loop to another thread:
 *
 *        submit                 run inline                      still the owner: settle
 *     loop ----> ready queue ----------------> APP phase -----------------------------> loop
 *                     |                            |  the watch finds it asleep: baton to another thread
 *                     | predicted to block:        v
 *                     +--------------------> run detached ---> posted to the owner: settle
 *                       baton to another thread first
 *
 * One 64-bit atomic word holds {sequence, owner, phase}. The owner sets phase APP before it runs a job inline and moves
 * it back to LOOP by compare-and-swap; the watch takes the baton by compare-and-swap on the same word, so exactly one
 * of them succeeds. A finished detached job is posted to the owner through a lock-free list and ev_async.
 *
 * At most `threads` jobs are run at a time, and there is one pool thread more than jobs have begun, so that one is always
 * left for the loop. Threads are started on demand and reused last-in first-out; a thread that never ran a job leaves jobs
 * to an idle one that did, so the number of threads that ever run jobs is the number that ever had to run at the same
 * time. A job that waits for its peer (sched_peer_wait_begins) keeps its thread, but is none of the `threads`: a peer that
 * sends or reads slowly, or not at all, takes nothing from the others. Where no further thread can be had, no job is
 * started while `threads` of them have begun.
 *
 * The words, each with one meaning:
 *   job         a call of the application, to the scheduler a few functions and a pointer
 *   queued      it was submitted and has not begun; it begins, or expires, or is cancelled
 *   inline      it runs on the thread that has the baton, which is lent to it: phase APP
 *   detached    it runs on a thread without the baton, from the start or since that was taken from it
 *   busy        a thread that runs a detached job; but not during a peer wait
 *   peer wait   a job waits for its peer: for input, or for room for output
 *   lock wait   a job waits for the jobs' lock, which is one that all jobs share (the interpreter lock)
 *   hold        no job begins for a while, because one computes
 *   end         a job ends when it has run; then it is settled by the owner
 *   poll        the owner looks for events in the loop
 *   watch       the thread that looks whether the owner is stuck; libev's watchers are none of this
 *   look        what the watch does each millisecond
 *   pause       the owner gives the jobs' lock back that it kept for the next job
 *   note        what another thread wants the owner to do; it is posted
 *   veteran     a thread that ran a job
 *
 * The scheduler knows nothing of Python or FastCGI, and nothing here takes the GIL: what is to be known of the jobs' lock,
 * the layer above tells, by functions that a job calls and by callbacks of struct sched_config.
 *
 * "Owner only" means: from a callback of the loop, from `settle` or `expired`, or before sched_start.
 */
#ifndef WSGI_FCGI_SCHED_SCHED_H
#define WSGI_FCGI_SCHED_SCHED_H

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct sched;
struct sched_thread;
struct sched_job;

/* Something to be done by the owner: posted from any thread, called once. The poster keeps the memory until then. */
struct sched_note {
    struct sched_note *next;
    void (*call)(struct sched_note *note); /* on the owner */
};

struct sched_job_ops {
    /* On a pool thread, which may lose the baton meanwhile: must not touch anything that belongs to the owner. The job ends
     * when this returns. */
    void (*run)(struct sched_job *job, struct sched_thread *thread);
    /* On the owner, after the end, though others that are known to be quick may run before it: the job may be freed or
     * submitted again. */
    void (*settle)(struct sched_job *job);
    /* On the owner: the job was queued for longer than queue_timeout and was taken off the queue; it will not run. */
    void (*expired)(struct sched_job *job);
};

struct sched_job {
    const struct sched_job_ops *ops;
    uint32_t key;      /* jobs of the same key are expected to behave alike */
    const void *group; /* what sched_settles_more compares; NULL: nothing */
    /* The scheduler's: */
    bool queued;
    uint64_t queued_at; /* when it was first seen in the queue; 0: not yet */
    uint64_t begun_at;  /* when it was taken off the queue to be run; for the owner */
    TAILQ_ENTRY(sched_job) link;
    struct sched_note done;
    struct sched *sched;
};

enum { SCHED_PEER_WAITS_MAX = 1024 }; /* each keeps a thread, which is why there is a bound */

struct sched_config {
    struct ev_loop *loop;    /* belongs to the caller, outlives the scheduler */
    unsigned threads;        /* jobs that may run at a time: 1 to 1024 */
    unsigned peer_waits_max; /* peer waits that may be beside them: 0 to SCHED_PEER_WAITS_MAX */
    unsigned queue_limit;    /* jobs that may be queued for want of a thread */
    uint64_t queue_timeout;  /* nanoseconds a job may be queued; 0: for ever */
    void (*thread_stop)(struct sched_thread *thread, void *user); /* on each pool thread before it ends, or NULL */
    /* On a pool thread for which sched_goes_on was true, and that polls, gives the baton away, ends, or is about to do what
     * may take long (sched_pause): before that. Until then it settles jobs, takes off those that expire, and runs further
     * ones. */
    void (*thread_pause)(struct sched_thread *thread, void *user);
    void *user;
    /* Looks after the process: called by the watch when it is woken, before it sleeps, and then each second while it returns
     * true. May be NULL. On the watch, without the GIL. */
    bool (*guard)(void *arg);
    void *guard_arg;
    int wake_fd; /* a byte written here wakes the watch, see sched_watch; non-blocking */
};

/* Makes a scheduler; no thread is started. Returns NULL with errno. */
struct sched *sched_new(const struct sched_config *config);

/* Frees it. All pool threads must have ended (sched_join gave 0). */
void sched_free(struct sched *s);

/* Starts the first thread, which becomes the owner. Returns 0; or, after a log line, -1 with errno. */
int sched_start(struct sched *s);

/* Ends the scheduler: the owner leaves the loop, idle threads end, busy ones end after their job. Owner only. */
void sched_quit(struct sched *s);

/* Waits until every pool thread has ended, or until `deadline` (clock_ns). Returns how many have not. Not from a pool
 * thread. */
unsigned sched_join(struct sched *s, uint64_t deadline);

/* Notes. */

/* Lets the owner call note->call. Any thread; the note must not be posted already. */
void sched_post(struct sched *s, struct sched_note *note);

/* Threads. */

/* The name of a thread, for the system (`top -H`) and for the layers above: "wsgi-fcgi-1" and so on, in the order in which
 * they were started. */
enum { SCHED_NAME_SIZE = 16 }; /* what the system takes, with the end */
void sched_thread_name(const struct sched_thread *thread, char out[static SCHED_NAME_SIZE]);

/* A pointer of the job's layer, kept with a thread between its jobs; NULL at first. */
void *sched_thread_user(const struct sched_thread *thread);
void sched_thread_set_user(struct sched_thread *thread, void *user);

/* The queue. */

/* Appends a job to the ready queue. Owner only. Returns false when the queue is full (queue_limit jobs are queued, beside
 * one for each thread that is free): the job was not taken. */
bool sched_submit(struct sched *s, struct sched_job *job);

/* Takes a job off the queue. Owner only. Returns false when it is not queued (any more). */
bool sched_cancel(struct sched *s, struct sched_job *job);

/* Whether a thread is free for every job that is queued: these only wait for the owner to come to them. Owner only. */
bool sched_has_threads(const struct sched *s);

/* The owner. */

/* Whether another job of the same group is settled right after this one. Owner only, from `settle`. */
bool sched_settles_more(const struct sched *s, const struct sched_job *job);

/* Called by a job that waits for something that the loop must bring, before sched_will_block: when its thread has the
 * baton and no other job is queued, runs the loop until something has happened, whatever that is, and returns true: the
 * job looks again. That is what the loop would do anyway, and no other thread has to be woken, neither for the loop nor
 * for the job. Returns false when the job has to give the baton away: others are queued; or has none to give; or when this
 * is not the job's thread. The caller must hold nothing that a callback of the loop or `settle` of another job takes. */
bool sched_run_loop(struct sched_thread *thread);

/* The monotonic time (clock_ns) at which the owner last polled; 0: it has not. A check watcher with SCHED_CHECK_PRIORITY
 * notes it, so that those with a lower one find it: no look at the clock is needed. Owner only. */
enum { SCHED_CHECK_PRIORITY = EV_MAXPRI };
uint64_t sched_polled(const struct sched *s);

/* The baton. */

/* Called by a job that is about to wait for something that the loop must bring (input, room for output), or that knows
 * that it is going to block: gives the baton away now instead of waiting to be found asleep. Cheap when the job has no
 * baton any more. Returns false when the job still has it because no other thread could be started: then it must not
 * wait for the loop. Threads that a job started may call it for the job's thread. */
bool sched_will_block(struct sched_thread *thread);

/* Called by a job at its end: whether its thread may keep the jobs' lock for the next job. That is so while the thread has
 * the baton and no other is busy: when several jobs are queued, each of them would give the lock back only to take it again
 * at once. thread_pause says when to give it back. */
bool sched_goes_on(struct sched_thread *thread);

/* The owner is about to do what may take long (to write to the log, to close a file): gives back what its thread keeps for
 * the next job, as thread_pause does. Cheap when there is nothing. Owner only. */
void sched_pause(struct sched *s);

/* Jobs that run. */

/* Calls `visit` for the job that each thread runs at this moment, without a lock: it may end at any time, and its memory be
 * used for something else, or be gone. *at is `job` as long as that has not happened. Any thread. */
typedef void sched_visit(struct sched_job *job, struct sched_job *_Atomic *at, void *arg);
void sched_visit_jobs(struct sched *s, sched_visit *visit, void *arg);

/* Called by a job around its wait for the jobs' lock. That is no sign of a job that blocks, but of others that compute: such
 * a wait does not count as blocking, and when it lasts the loop is taken over, but no further job begins for a while. On the
 * job's thread. */
void sched_lock_wait(struct sched_thread *thread);
void sched_lock_taken(struct sched_thread *thread);

/* Called by a job around its wait for its peer (input, room for output), which may take as long as the peer likes, after
 * sched_will_block: meanwhile it is none of `threads`, and another job may be started in its place. Afterwards it goes on
 * at once, although more than `threads` jobs may run then for a while, and none is started until fewer do: a job that has
 * begun may hold a lock that those which were started meanwhile wait for, so that it must not wait for one of them to end.
 *
 * Nothing changes for a job whose thread has the baton; when there are peer_waits_max such waits already (the log says so,
 * once); with a single thread, whose jobs may rely on it that no other one begins before they end; and for other threads
 * than the job's own, which is then doing something else; and for NULL. sched_peer_wait_ends knows; neither waits for
 * anything. */
void sched_peer_wait_begins(struct sched_thread *thread);
void sched_peer_wait_ends(struct sched_thread *thread);

/* The watch. */

/* The thread that calls this is the watch while it does: today the main thread (process/serve.c). It sleeps in poll(2) on
 * `fd` (the other end of wake_fd), and looks about every millisecond, while jobs run inline, whether one is stuck. Without
 * jobs there are no wake-ups. When `fd` is readable, on_wake is called; it reads the bytes and returns true to end the
 * watch. Returns when on_wake says so, when the scheduler has quit, or at `deadline` (clock_ns; 0: never). Not from a pool
 * thread, and from one thread at a time. */
void sched_watch(struct sched *s, int fd, uint64_t deadline, bool (*on_wake)(void *arg), void *arg);

/* Figures for the log and for tests. Any thread. */
struct sched_stats {
    unsigned threads;         /* pool threads that were started and have not ended */
    unsigned veterans;        /* those of them, ended or not, that ever ran a job */
    unsigned busy;            /* those that run a job without the baton, and are in no peer wait */
    unsigned peer_waits;      /* those that are in one */
    unsigned queued;          /* jobs in the ready queue */
    uint64_t handed_over;     /* jobs that ran detached from the start */
    uint64_t taken_asleep;    /* batons taken from a job that slept */
    uint64_t taken_computing; /* batons taken from a job that computed */
};
void sched_get_stats(struct sched *s, struct sched_stats *stats);

#endif
