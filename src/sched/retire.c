/* Threads that are not needed any more end. Those are as many as there are beyond `threads` + 1, which exist because
 * many jobs waited for their peers at a time; and of all that are idle the ones that have been so for longest, once
 * that is a while, whichever were started first: the idle ones are on a stack, so a few jobs go on with what is on top
 * of it. Their memory goes with them, and what the layer above keeps for them.
 *
 * A struct sched_thread stays where it is, and serves again for a thread that is started later: whoever reads an old
 * word (struct sched) may still look at it. The thread itself is joined, so that its stack is freed.
 *
 * The timer runs only while there is such a thread, idle or ending. It ends few at a time, since their ends take the
 * jobs' lock.
 */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

#include <assert.h>

static const uint64_t IDLE_NS = 10000000000;
static const double TICK = 1; /* seconds */
enum { AT_A_TIME = 32 };

static void timer_start(struct sched *s, double seconds) {
    ev_now_update(s->config.loop);
    ev_timer_set(&s->retire.timer, seconds, 0.);
    ev_timer_start(s->config.loop, &s->retire.timer);
}

/* Without waiting: libraries of the application may have something to do at the end of a thread, as destructors of what
 * C calls thread-local. */
static void join_locked(struct sched_thread *t) {
    if (pthread_tryjoin_np(t->id, NULL))
        return;
    LIST_REMOVE(t, idle);
    t->joined = true;
    LIST_INSERT_HEAD(&t->s->pool.vacant, t, idle);
}

void retire_join_locked(struct sched *s) {
    struct sched_thread *t, *next;
    for (t = LIST_FIRST(&s->pool.ended); t; t = next) {
        next = LIST_NEXT(t, idle);
        join_locked(t);
    }
}

/* The lock is held. */
static void end_thread(struct sched_thread *t) {
    assert(!t->lent); /* there is one with `threads` of 1, and then none beyond that and one more */
    LIST_REMOVE(t, idle);
    t->retires = true;
    t->s->pool.ending++;
    threads_wake(t, SCHED_MAIL_END, NULL, SCHED_NOT_TAKEN);
}

/* How many threads there are beyond those that stay: jobs that wait for their peers, and lost ones that are made up
 * for, keep theirs. The lock is held. */
static unsigned count_beyond(struct sched *s) {
    unsigned alive = atomic_load(&s->pool.alive) - s->pool.ending;
    unsigned stay = s->config.threads + 1 + atomic_load(&s->peer_waits.count) + atomic_load(&s->lost.made_up);
    return alive > stay ? alive - stay : 0;
}

static unsigned count_idle(const struct sched *s) {
    const struct sched_thread *t;
    unsigned count = 0;
    LIST_FOREACH(t, &s->pool.idle, idle)
    count++;
    return count;
}

/* Ends those of `most` that have been idle for long enough, from the bottom of the stack. Returns when the next one
 * will have been; UINT64_MAX: there is none. The lock is held. */
static uint64_t end_oldest(struct sched *s, unsigned most, uint64_t now) {
    const unsigned idle = count_idle(s);
    const unsigned first = idle > most ? idle - most : 0;
    struct sched_thread *t, *next;
    unsigned at = 0, told = 0;
    uint64_t due = UINT64_MAX;
    for (t = LIST_FIRST(&s->pool.idle); t; t = next, at++) {
        next = LIST_NEXT(t, idle);
        if (at < first)
            continue;
        if (t->idle_since + s->retire.idle_ns > now || told == AT_A_TIME) {
            due = t->idle_since + s->retire.idle_ns; /* those below are older */
            continue;
        }
        end_thread(t);
        told++;
    }
    return due;
}

/* Returns after how many seconds to look again; 0: not until a job ends. The lock is held. */
static double look(struct sched *s, uint64_t now) {
    retire_join_locked(s);
    const unsigned beyond = count_beyond(s);
    const uint64_t due = beyond ? end_oldest(s, beyond, now) : UINT64_MAX;
    if (s->pool.ending || !LIST_EMPTY(&s->pool.ended))
        return TICK;
    if (due == UINT64_MAX)
        return 0;
    double left = due > now ? (double)(due - now) / 1e9 : 0;
    return left > TICK ? left : TICK;
}

static void timer_cb(struct ev_loop *loop, ev_timer *w, int revents) {
    (void)loop;
    (void)revents;
    struct sched *s = w->data;
    pthread_mutex_lock(&s->pool.lock);
    double again = look(s, clock_ns());
    pthread_mutex_unlock(&s->pool.lock);
    if (again > 0)
        timer_start(s, again);
}

void retire_later(struct sched *s) {
    if (!ev_is_active(&s->retire.timer) && !ev_is_pending(&s->retire.timer))
        timer_start(s, (double)s->retire.idle_ns / 1e9);
}

void retire_init(struct sched *s) {
    s->retire.idle_ns = IDLE_NS;
    ev_timer_init(&s->retire.timer, timer_cb, 0., 0.);
    s->retire.timer.data = s;
}

void retire_fini(struct sched *s) {
    ev_timer_stop(s->config.loop, &s->retire.timer);
}
