/* The scheduler: which thread runs the event loop, which threads run jobs, and when the loop is taken over.
 *
 * A pool of threads shares one libev loop. The thread that holds the baton (the owner) runs the loop. A job that is
 * ready runs inline on the owner, without a hand-off; only a job that blocks loses the loop to another thread:
 *
 *        submit                 run inline                      still the owner: settle
 *     loop ----> ready queue ----------------> APP phase -----------------------------> loop
 *                     |                            |  the watch finds it asleep: baton to another thread
 *                     | predicted to block:        v
 *                     +--------------------> run detached ---> posted to the owner: settle
 *                       baton to another thread first
 *
 * One 64-bit atomic word holds {sequence, owner, phase}. The owner sets phase APP before it runs a job inline, and
 * moves the word back to LOOP by compare-and-swap. The watch takes the baton by compare-and-swap on the same word, so
 * exactly one of them succeeds. A finished detached job is posted to the owner through a lock-free list and ev_async.
 *
 * At most `threads` jobs run at a time. There may be one thread more than jobs that have begun, so that one is left for
 * the loop. Threads are started on demand and reused last-in first-out. A thread that never ran a job leaves jobs to an
 * idle thread that did; so the number of threads that ever run jobs is the number that ever had to run at the same
 * time.
 *
 * A job that waits for its peer (sched_peer_wait_begins) keeps its thread but does not count towards `threads`, so a
 * peer that sends or reads slowly, or not at all, takes nothing from the others. If no further thread can be started,
 * no job begins while `threads` of them have begun.
 *
 * The words, each with one meaning:
 *   job         a call of the application; to the scheduler, a few functions and a pointer
 *   queued      submitted and not yet begun; the job begins, or expires, or is cancelled
 *   inline      the job runs on the thread that has the baton, which is lent to it: phase APP
 *   detached    the job runs on a thread without the baton, from the start or since the baton was taken from it
 *   busy        of a thread: it runs a detached job, and is in no peer wait
 *   peer wait   a job waits for its peer: for input, or for room for output
 *   lock wait   a job waits for the jobs' lock, the one lock that all jobs share (the interpreter lock)
 *   hold        no job begins for a while, because one computes
 *   end         a job ends when it has run; then the owner settles it
 *   poll        the owner looks for events in the loop
 *   watch       the thread that checks whether the owner is stuck; has nothing to do with libev's watchers
 *   look        what the watch does each millisecond
 *   pause       the owner gives back the jobs' lock that it kept for the next job
 *   note        something that another thread wants the owner to do; it is posted
 *   veteran     a thread that has run a job
 *
 * The scheduler knows nothing of Python or FastCGI, and nothing here takes the GIL. What it must know of the jobs' lock
 * comes from the layer above: by functions that a job calls, and by callbacks of struct sched_config.
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

/* Something for the owner to do: posted from any thread, called once. The memory belongs to the poster and must stay
 * until the call. */
struct sched_note {
    struct sched_note *next;
    void (*call)(struct sched_note *note); /* on the owner */
};

struct sched_job_ops {
    /* Runs the job. On a pool thread, which may lose the baton meanwhile: must not touch anything that belongs to the
     * owner. The job ends when this returns. */
    void (*run)(struct sched_job *job, struct sched_thread *thread);
    /* Called on the owner after the job has ended; other jobs that are known to be quick may run first. The job may be
     * freed or submitted again. */
    void (*settle)(struct sched_job *job);
    /* The job was queued for longer than queue_timeout and has left the queue; it will not run. On the owner. */
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

enum { SCHED_PEER_WAITS_MAX = 1024 }; /* bounded, because each keeps a thread */

struct sched_config {
    struct ev_loop *loop;    /* belongs to the caller, outlives the scheduler */
    unsigned threads;        /* jobs that may run at a time: 1 to 1024 */
    unsigned peer_waits_max; /* jobs that may be in a peer wait in addition: 0 to SCHED_PEER_WAITS_MAX */
    unsigned queue_limit;    /* jobs that may be queued because no thread is free */
    uint64_t queue_timeout;  /* nanoseconds a job may be queued; 0: for ever */
    void (*thread_stop)(struct sched_thread *thread, void *user); /* on each pool thread before it ends, or NULL */
    /* Called on a pool thread for which sched_goes_on was true, before it polls, gives the baton away, ends, or does
     * something that may take long (sched_pause); or after its job has ended and has lost the baton all the same. Until
     * then it settles jobs, takes off those that expire, and runs further ones. NULL: sched_goes_on is never true. */
    void (*thread_pause)(struct sched_thread *thread, void *user);
    void *user;
    /* Checks on the process. Called by the watch when it is woken, before it sleeps, and then each second while this
     * returns true. May be NULL. Without the GIL. */
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

/* Ends the scheduler: the owner leaves the loop, idle threads end, and busy ones end after their job. Owner only. */
void sched_quit(struct sched *s);

/* Waits until every pool thread has ended, or until `deadline` (clock_ns). Returns how many have not. Not from a pool
 * thread. */
unsigned sched_join(struct sched *s, uint64_t deadline);

/* Notes. */

/* Lets the owner call note->call. Any thread; the note must not be posted already. */
void sched_post(struct sched *s, struct sched_note *note);

/* Threads. */

/* The name of a thread, for the system (`top -H`) and the layers above: "wsgi-fcgi-1" and so on, in the order of their
 * start. */
enum { SCHED_NAME_SIZE = 16 }; /* the longest that the system accepts, with the terminating zero */
void sched_thread_name(const struct sched_thread *thread, char out[static SCHED_NAME_SIZE]);

/* A pointer that the layer above keeps with a thread from one job to the next; NULL at first. */
void *sched_thread_user(const struct sched_thread *thread);
void sched_thread_set_user(struct sched_thread *thread, void *user);

/* The queue. */

/* Appends a job to the ready queue. Owner only. Returns false when the queue is full (queue_limit jobs are queued, not
 * counting one for each free thread), and does not take the job. */
bool sched_submit(struct sched *s, struct sched_job *job);

/* Takes a job off the queue. Owner only. Returns false when it is not queued (any more). */
bool sched_cancel(struct sched *s, struct sched_job *job);

/* Whether a thread is free for every queued job, so that they only wait for the owner to get to them. Owner only. */
bool sched_has_threads(const struct sched *s);

/* The owner. */

/* Whether another job of the same group is settled right after this one. Owner only, from `settle`. */
bool sched_settles_more(const struct sched *s, const struct sched_job *job);

/* Runs the loop from within a job until something happens in it. A job calls this before sched_will_block when it waits
 * for something that the loop must bring.
 *
 * Runs the loop only if the job's thread has the baton and no other job is queued. The loop would do the same anyway,
 * and no other thread has to be woken, either for the loop or for the job. Returns true once anything has happened; the
 * job then looks again. Returns false if the job must give the baton away because others are queued or the scheduler
 * quits, if it has no baton, or if this is not the job's thread.
 *
 * The caller must hold nothing that a callback of the loop, or `settle` of another job, takes. */
bool sched_run_loop(struct sched_thread *thread);

/* The monotonic time (clock_ns) at which the owner last polled; 0: it has not. A check watcher of priority
 * SCHED_CHECK_PRIORITY records it, so watchers of lower priority find it without reading the clock. Owner only. */
enum { SCHED_CHECK_PRIORITY = EV_MAXPRI };
uint64_t sched_polled(const struct sched *s);

/* The baton. */

/* Gives the baton away now, instead of waiting to be found asleep. A job calls this when it is about to wait for
 * something that the loop must bring (input, room for output), or knows that it is going to block. Cheap if the job no
 * longer has the baton. Returns false if the job still has it because no other thread could be started; it must not
 * wait for the loop then. Threads that a job started may call it for the job's thread. */
bool sched_will_block(struct sched_thread *thread);

/* Whether a job's thread may keep the jobs' lock for the next job; a job calls this at its end. True while the thread
 * has the baton and no other thread is busy: with several jobs queued, each would otherwise give the lock back only to
 * take it again at once. thread_pause tells when to give it back. */
bool sched_goes_on(struct sched_thread *thread);

/* Gives back what the owner's thread keeps for the next job, as thread_pause does. Call it before something that may
 * take long, such as writing to the log or closing a file. Cheap if there is nothing to give back. Owner only. */
void sched_pause(struct sched *s);

/* Jobs that run. */

/* Calls `visit` for the job that each thread runs at this moment. Takes no lock: a job may end at any time, and its
 * memory may be reused or freed. As long as *at is `job`, that has not happened. Any thread. */
typedef void sched_visit(struct sched_job *job, struct sched_job *_Atomic *at, void *arg);
void sched_visit_jobs(struct sched *s, sched_visit *visit, void *arg);

/* Call these around a job's wait for the jobs' lock. Such a wait does not mean that the job blocks, but that others
 * compute. It does not count as blocking; if it lasts, the loop is taken over, but no further job begins for a while.
 * On the job's thread. */
void sched_lock_wait(struct sched_thread *thread);
void sched_lock_taken(struct sched_thread *thread);

/* Call these around a job's wait for its peer (input, room for output), after sched_will_block. The wait may take as
 * long as the peer likes; meanwhile the job does not count towards `threads`, and another may begin in its place.
 *
 * Afterwards the job goes on at once, even though more than `threads` jobs may then run for a while; none begins until
 * fewer do. The job must not wait for another one to end, because it may hold a lock for which jobs begun meanwhile
 * wait.
 *
 * They have no effect for a job whose thread has the baton; when there are peer_waits_max such waits already (logged
 * once); with a single thread, whose jobs may rely on it that no other begins before they end; on another thread than
 * the job's own, which may be doing something else; and for NULL. sched_peer_wait_ends knows. Neither of them waits for
 * anything. */
void sched_peer_wait_begins(struct sched_thread *thread);
void sched_peer_wait_ends(struct sched_thread *thread);

/* The watch. */

/* Makes the calling thread the watch until this returns: today the main thread (process/run.c). The watch sleeps in
 * poll(2) on `fd` (the other end of wake_fd). While jobs run inline it checks about every millisecond whether one is
 * stuck; without jobs there are no wake-ups. When `fd` is readable it calls on_wake, which reads the bytes and returns
 * true to end the watch. Returns when on_wake says so, when the scheduler has quit, or at `deadline` (clock_ns; 0:
 * never). Not from a pool thread, and from one thread at a time. */
void sched_watch(struct sched *s, int fd, uint64_t deadline, bool (*on_wake)(void *arg), void *arg);

/* Statistics for the log and for tests. Any thread. */
struct sched_stats {
    unsigned threads;         /* pool threads that were started and have not ended */
    unsigned veterans;        /* pool threads, ended or not, that ever ran a job */
    unsigned busy;            /* threads that run a job without the baton, and are in no peer wait */
    unsigned peer_waits;      /* threads that are in one */
    unsigned queued;          /* jobs in the ready queue */
    uint64_t handed_over;     /* jobs that ran detached from the start */
    uint64_t taken_asleep;    /* batons taken from a job that slept */
    uint64_t taken_computing; /* batons taken from a job that computed */
};
void sched_get_stats(struct sched *s, struct sched_stats *stats);

#endif
