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
 * no job begins while `threads` of them have begun, and the one that has waited for its peer for longest gives way.
 *
 * Nor does a job count that takes too long for anybody to wait for its end (sched_lose), as long as there are not too
 * many: so one that hangs takes no place from the others.
 *
 * The words, each with one meaning:
 *   job         a call of the application; to the scheduler, a few functions and a pointer
 *   queued      submitted and not yet begun; the job begins, or is refused, or is cancelled
 *   refused     of a queued job: no thread is free for it in time, or it makes room, and it will never run
 *   left        of a queued job: its client may be gone
 *   inline      the job runs on the thread that has the baton, which is lent to it: phase APP
 *   detached    the job runs on a thread without the baton, from the start or since the baton was taken from it
 *   caught      of a thread: its job runs detached, and computes with the jobs' lock. Of the scheduler: one of its
 *               threads is, or as many jobs run as may. A hold is over sooner
 *   busy        of a thread: it runs a detached job, and is in no peer wait, nor made up for
 *   peer wait   a job waits for its peer: for input, or for room for output
 *   lost        of a job that runs: nobody waits for its end any more (sched_lose)
 *   made up for of a lost job, and of its thread: another may run in its place, up to its end
 *   lock wait   a job waits for the jobs' lock, the one lock that all jobs share (the interpreter lock)
 *   line        the queued jobs of one sort, in the order in which they came: new ones, those of free kinds, all others
 *   backlog     what is known of a line for the rule of overload (sched/backlog.h). Not that of listen(2)
 *   free        of a job: it computes without that lock, so that others can run meanwhile. Of a kind of jobs: that is
 *               what they do most of the time, as far as they were followed. All others are ordinary
 *   followed    of a thread: the watch looks at what its job does, up to the end of the job, or for half a second
 *   watched     of a thread: it is followed, and its job was found free, or is of a free kind. Not while the job sleeps
 *               for ten looks or more
 *   hold        no job begins for a while, because one computes and has that lock
 *   end         a job ends when it has run; then the owner settles it
 *   poll        the owner looks for events in the loop
 *   watch       the thread that checks whether the owner is stuck; has nothing to do with libev's watchers
 *   look        what the watch does each millisecond. Of the owner, at the queue: before each job that it begins
 *   pause       the owner gives back the jobs' lock that it kept for the next job
 *   note        something that another thread wants the owner to do; it is posted
 *   veteran     a thread that has run a job, or is lent
 *   lent        of a thread: it belongs to somebody else, who has made it the first of the pool (sched_start_here)
 *
 * The scheduler knows nothing of Python or FastCGI, and nothing here takes the GIL. What it must know of the jobs' lock
 * comes from the layer above: by functions that a job calls, and by callbacks of struct sched_config.
 *
 * "Owner only" means: from a callback of the loop, from `settle` or `expired`, or before sched_start.
 */
#ifndef WSGI_FCGI_SCHED_SCHED_H
#define WSGI_FCGI_SCHED_SCHED_H

#include <ev.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct sched;
struct sched_thread;
struct sched_line;
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
    /* The job runs detached from now on: it is about to begin so, or the baton was taken from it a moment ago, and it
     * may have ended since. On the owner, outside of jobs, and never for a job that keeps the baton. May be NULL. */
    void (*detached)(struct sched_job *job);
    /* Such a job has ended; `settle` is next. On the owner. May be NULL. */
    void (*rejoined)(struct sched_job *job);
    /* Called on the owner after the job has ended; other jobs that are known to be quick may run first. The job may be
     * freed or submitted again. */
    void (*settle)(struct sched_job *job);
    /* The job is refused: it was queued for too long, or nobody can serve all that are queued in time, and it has left
     * the queue; it will not run. sched_retry_after tells when to come again. On the owner, never from within
     * sched_submit. Other jobs may be submitted or cancelled. */
    void (*expired)(struct sched_job *job);
    /* The job has waited for its peer for long, and its thread is needed for others: sees to it that the wait ends, and
     * the job soon after it. On the owner, while the job runs in sched_peer_wait_begins or has just left it. */
    void (*gives_way)(struct sched_job *job);
};

struct sched_job {
    const struct sched_job_ops *ops;
    uint32_t key;      /* jobs of the same key are expected to behave alike */
    const void *group; /* what sched_settles_more compares; NULL: nothing */
    /* The scheduler's: */
    bool queued, left;
    struct sched_line *line; /* in which it is queued */
    uint64_t queued_at;      /* when it was first seen in the queue; 0: not yet */
    uint64_t begun_at;       /* when it was taken off the queue to be run; for the owner */
    uint64_t waited;         /* since then, for its peer: nanoseconds */
    /* What its thread tells at its end: the moment, the processor time of the call and how long it waited for the jobs'
     * lock, in nanoseconds. Of a call that nobody had a reason to look at, the former is all of the time that it took,
     * and the latter 0. */
    uint64_t ended_at, processor_time, lock_waited;
    struct sched_thread *thread; /* on which it runs detached, or has ended so; NULL: it does not. The owner's */
    bool lost, made_up_for;      /* the owner's */
    TAILQ_ENTRY(sched_job) link, left_link;
    struct sched_note done;
    struct sched *sched;
};

/* Bounded, because each keeps a thread: with what a call has under Python, and output that waits, 170 KiB of memory. */
enum { SCHED_PEER_WAITS_MAX = 1024 };

struct sched_config {
    struct ev_loop *loop;    /* belongs to the caller, outlives the scheduler */
    unsigned threads;        /* jobs that may run at a time: 1 to 1024 */
    unsigned peer_waits_max; /* jobs that may be in a peer wait in addition: 0 to SCHED_PEER_WAITS_MAX */
    unsigned lost_max;       /* lost jobs (sched_lose) that have others in their place: 0 to 1024 */
    unsigned cpus;           /* free jobs (see above) that may run at a time; 0: as many as there are threads */
    unsigned queue_limit;    /* jobs that may be queued because no thread is free: a bound on memory */
    uint64_t queue_timeout;  /* nanoseconds a job may be queued; 0: for ever, and in order of arrival */
    /* On each pool thread before it ends, or NULL. Threads beyond `threads` + 1 end when they were idle for long. */
    void (*thread_stop)(struct sched_thread *thread, void *user);
    /* Called on a pool thread for which sched_goes_on was true, before it polls, gives the baton away, ends, or does
     * something that may take long (sched_pause); or after its job has ended and has lost the baton all the same. Until
     * then it settles jobs, refuses some, and runs further ones. NULL: sched_goes_on is never true. */
    void (*thread_pause)(struct sched_thread *thread, void *user);
    /* Whether the thread, which runs a job, has let go of the jobs' lock; it may be waiting to get it back. Called by
     * the watch at any moment, whatever the thread does then, but never once thread_stop was called for it. Must
     * neither wait nor call the scheduler. NULL: that cannot be told, and a job that computes is taken to have the
     * lock. */
    bool (*thread_released)(struct sched_thread *thread, void *user);
    void *user;
    /* For a process that is one of several which share the work; all NULL: it is alone. Where `caught` is set, jobs
     * that come together and are known to be quick go before the others of them, which may compute.
     * caught: whether the scheduler is caught has changed: a job that comes now would wait, or compete with another
     * one for the jobs' lock. On the owner, outside of jobs.
     * hurries: whether the loop is to be taken from a job that computes as soon as it has been seen twice, and not only
     * after some milliseconds, and before it from one of a kind that does, since another process can do what comes
     * meanwhile. By the watch or the owner; must not wait. */
    void (*caught)(bool caught, void *arg);
    bool (*hurries)(void *arg);
    void *others_arg;
    /* Checks on the process. Called by the watch when it is woken, before it sleeps, and then each second while this
     * returns true. May be NULL. Without the GIL. */
    bool (*guard)(void *arg);
    void *guard_arg;
    int wake_fd; /* a byte written here wakes the watch, see sched_watch; non-blocking */
    /* Signals that the threads of the pool block, but for a lent one; copied. NULL: those that the caller of sched_new
     * blocks. Never those that the thread blocks which happens to start them: it may be the watch, or run a job. */
    const sigset_t *blocked_signals;
};

/* Makes a scheduler; no thread is started. Returns NULL with errno. */
struct sched *sched_new(const struct sched_config *config);

/* Frees it. All pool threads must have ended (sched_join gave 0). */
void sched_free(struct sched *s);

/* Starts the first thread, which becomes the owner. Returns 0; or, after a log line, -1 with errno. */
int sched_start(struct sched *s);

/* Lends the calling thread to the scheduler: it becomes the first of the pool and the owner, as that of sched_start
 * does. Returns 0 when it has left the pool again, after sched_quit and the end of its job; or at once, after a log
 * line, -1 with errno. It keeps the name that it has in the system, and the signals that it blocks.
 *
 * With `threads` of 1 it is the only one that ever runs a job. No job begins while it runs one; when it runs none it is
 * the owner, or idle, and as the only veteran it gets the job from an owner that is none. */
int sched_start_here(struct sched *s);

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

/* A pointer that the layer above keeps with a thread from one job to the next; NULL at first. Set by the thread itself,
 * and read by any. */
void *sched_thread_user(const struct sched_thread *thread);
void sched_thread_set_user(struct sched_thread *thread, void *user);

/* The queue. */

/* The ready queue. Nobody is refused for having come, however many are queued: overload is a matter of time, and so are
 * the order and who is refused (sched/backlog.h). Jobs that are free, of kinds that are known to compute without the
 * jobs' lock, have a line of their own. No more of them run at a time than there are CPUs, and the others overtake
 * those that wait for one.
 *
 * A job's time begins when the owner first looks at the queue and the job stays in it: a slow callback of the loop is
 * no wait for a thread. */

/* Appends a job to the ready queue. Owner only. When the queue is full (queue_limit jobs are queued, not counting one
 * for each free thread), one whose client has left makes room, or else the oldest one if that has waited for more than
 * half of the time for which people are patient (backlog_is_late). The owner refuses it at its next look at the queue;
 * until then at most 256 more are queued than queue_limit says. If neither is there, returns false and does not take
 * the job.
 */
bool sched_submit(struct sched *s, struct sched_job *job);

/* Appends a job in any case, which does not count towards queue_limit: something of the layer above's own, that no peer
 * brings about. There is one such job at most. Owner only. */
void sched_submit_uncounted(struct sched *s, struct sched_job *job);

/* Takes a job off the queue. Owner only. Returns false when it is not queued (any more). */
bool sched_cancel(struct sched *s, struct sched_job *job);

/* The client of this job may have left. Such a job is run like any other, unless somebody has to be refused: then it is
 * the first, before jobs that have waited for longer, but for those that have waited for queue_timeout. No effect when
 * it is not queued (any more). Owner only. */
void sched_job_left(struct sched *s, struct sched_job *job);

/* Refuses all that is queued, but for the uncounted job: nothing will begin any more. Owner only, from a callback of the
 * loop. */
void sched_refuse_all(struct sched *s);

/* Whether a thread is free for every queued job, so that they only wait for the owner to get to them. Owner only. */
bool sched_has_threads(const struct sched *s);

/* For the client of the job that was just refused (from `expired`), or that sched_submit has just not taken: after how
 * many seconds it should come again, 1 to 30. It is how long the queue is, or 30 when no job has begun for a while. Who
 * asks adds something at random, lest all come again at once. Owner only. */
unsigned sched_retry_after(const struct sched *s);

/* How many jobs are queued but for the uncounted one, and in *oldest for how long the oldest has been, in nanoseconds; 0 if
 * none is. Owner only. */
unsigned sched_queued(const struct sched *s, uint64_t *oldest);

/* When a job last ended, as far as the owner knows (clock_ns); 0: none has. A job that was made up for is none: its end
 * lets no other begin. Owner only. */
uint64_t sched_last_end(const struct sched *s);

/* Since when no job has ended nor begun, although as many run as may (clock_ns); 0: a thread is free. Jobs that come
 * have to wait for one of those that run, and if these are stuck it does not help to have more threads. Owner only. */
uint64_t sched_stuck_since(const struct sched *s);

/* How long jobs took on average of late, in nanoseconds, but for those that were lost; 0: nothing is known. Owner
 * only. */
uint64_t sched_usual(const struct sched *s);

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

/* The latest moment (clock_ns) that the owner knows of without a look at the clock. Owner only. */
uint64_t sched_moment(const struct sched *s);

/* The baton. */

/* Gives the baton away now, instead of waiting to be found asleep. A job calls this when it is about to wait for
 * something that the loop must bring (input, room for output), or knows that it is going to block. Cheap if the job no
 * longer has the baton. Returns false if the job still has it because no other thread could be started; it must not
 * wait for the loop then. Threads that a job started may call it for the job's thread. */
bool sched_will_block(struct sched_thread *thread);

/* Whether the calling thread runs the job of `thread` inline: then the loop goes on when the job ends, or, on another
 * thread, when the watch has found that it takes long; `detached` tells of that. Any thread. */
bool sched_has_loop(const struct sched_thread *thread);

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

/* The thread of such an `at`. Threads of the pool are not freed before their scheduler; the same one may run another
 * job, or have ended. Any thread. */
struct sched_thread *sched_thread_running(struct sched_job *_Atomic *at);

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
 * If more than peer_waits_max jobs wait, or one that is queued has no thread because the system has no more, those that
 * have waited for longest are told to give way (struct sched_job_ops), if that was a second or longer.
 *
 * They have no effect for a job whose thread has the baton; with a single thread, whose jobs may rely on it that no
 * other begins before they end; on another thread than the job's own, which may be doing something else; and for NULL.
 * sched_peer_wait_ends knows. Neither of them waits for anything. */
void sched_peer_wait_begins(struct sched_thread *thread);
void sched_peer_wait_ends(struct sched_thread *thread);

/* Jobs that take too long. */

/* The job that runs the loop at this moment, from within (sched_run_loop), or NULL: such a job is inline, and none of
 * the callbacks of struct sched_job_ops tells of it. Owner only. */
struct sched_job *sched_looping(const struct sched *s);

/* Nobody waits for this job any more, which runs detached: it is lost. From now on, until it ends, it does not count
 * among `threads`, and another may begin in its place, unless lost_max of them have others in their places already, or
 * with a single thread, whose jobs may rely on it that no other begins before they end. Those for which there was no
 * room follow in the order in which they were lost, as others of them end. A lost job is neither followed nor waited
 * for by a hold, and never told to give way: the caller sees to it that it waits for its peer no longer. When it ends
 * it is settled as ever. No effect if it does not run detached, has just ended, or was lost before. Owner only; also
 * from `detached`. */
void sched_lose(struct sched *s, struct sched_job *job);

/* How many jobs are lost and have not ended, with those for which nothing makes up. Any thread. */
unsigned sched_lost(const struct sched *s);

/* The thread that runs this job, detached or as sched_looping, or NULL when none does (any more). It may end the job
 * meanwhile, but begins no other one before the caller has returned to the loop. Owner only. */
struct sched_thread *sched_thread_of(const struct sched *s, const struct sched_job *job);

/* Whether the job that the thread runs has the jobs' lock at this moment, as far as thread_released tells; one that
 * waits for it has not. Waits for a look of the watch at most. Owner, with a thread of sched_thread_of; or any thread,
 * with one of sched_thread_running. */
bool sched_has_lock(struct sched_thread *thread);

/* Whether the thread waits for the jobs' lock, as sched_lock_wait has said: a wait of which that was not said does not
 * show. Any thread. */
bool sched_waits_for_lock(const struct sched_thread *thread);

/* Since when it does (clock_ns). 0: it does not, or nobody knows. Any thread. */
uint64_t sched_waits_for_lock_since(const struct sched_thread *thread);

/* The number of the thread in the system, gettid(2); 0: not known yet. Any thread. */
int sched_thread_tid(const struct sched_thread *thread);

/* How long the thread has been on a processor, in nanoseconds. Returns false when it has ended, or its number is not
 * known yet. Any thread. */
bool sched_thread_time(const struct sched_thread *thread, uint64_t *ns);

/* The watch. */

/* Makes the calling thread the watch until this returns: a thread that does nothing else (process/watch_thread.c), so
 * that nothing of the application's keeps it from looking. The watch sleeps in poll(2) on `fd` (the other end of
 * wake_fd). While jobs run inline it checks about every millisecond whether one is stuck, and what those threads do
 * that are followed; without either there are no wake-ups. When `fd` is readable it calls on_wake, which reads the
 * bytes and returns true to end the watch. Returns when on_wake says so, when the scheduler has quit, or at `deadline`
 * (clock_ns; 0: never). Also before the scheduler starts. Not from a pool thread, and from one thread at a time. */
void sched_watch(struct sched *s, int fd, uint64_t deadline, bool (*on_wake)(void *arg), void *arg);

/* Statistics for the log and for tests. Any thread. */
struct sched_stats {
    unsigned threads;         /* pool threads that were started and have not ended */
    unsigned veterans;        /* pool threads, ended or not, that ever ran a job or were lent */
    unsigned busy;            /* threads that run a job without the baton, are in no peer wait, and not made up for */
    unsigned peer_waits;      /* threads that are in one */
    unsigned lost;            /* lost jobs that run */
    unsigned made_up;         /* those of them that are made up for */
    unsigned queued;          /* jobs in the ready queue */
    uint64_t handed_over;     /* jobs that ran detached from the start */
    uint64_t taken_asleep;    /* batons taken from a job that slept */
    uint64_t taken_computing; /* batons taken from a job that computed */
    uint64_t taken_free;      /* batons taken from a job that computed without the jobs' lock */
};
void sched_get_stats(struct sched *s, struct sched_stats *stats);

/* Those of them that change while it runs, without a lock: `veterans` is 0, and `queued` leaves the uncounted job out,
 * for which nobody waits. Nothing of that has changed as long as sched_moves returns the same, to an owner that is about
 * to wait. Owner only. */
uint64_t sched_moves(const struct sched *s);
void sched_look_stats(const struct sched *s, struct sched_stats *stats);

#endif
