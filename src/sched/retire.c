/* Threads that are not needed any more end: those beyond `threads` + 1, which exist because many jobs waited for their
 * peers at a time, once they have been idle for a while. Their memory goes with them, and what the layer above keeps
 * for them.
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

static const uint64_t IDLE_NS = 10000000000;
static const double TICK = 1; /* seconds */
enum { AT_A_TIME = 32 };

static void timer_start(struct sched *s, double seconds) {
    ev_now_update(s->config.loop);
    ev_timer_set(&s->retire.timer, seconds, 0.);
    ev_timer_start(s->config.loop, &s->retire.timer);
}

static bool is_beyond(const struct sched_thread *t) {
    return t->index > t->s->config.threads;
}

void retire_note_idle(struct sched_thread *t) {
    if (is_beyond(t))
        t->idle_since = clock_ns();
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
    LIST_REMOVE(t, idle);
    t->retires = true;
    t->s->pool.ending++;
    threads_wake(t, SCHED_MAIL_END, NULL, SCHED_NOT_TAKEN);
}

/* Returns after how many seconds to look again; 0: not until a job ends. The lock is held. */
static double look(struct sched *s, uint64_t now) {
    struct sched_thread *t, *next;
    unsigned told = 0;
    uint64_t oldest = UINT64_MAX;
    retire_join_locked(s);
    for (t = LIST_FIRST(&s->pool.idle); t; t = next) {
        next = LIST_NEXT(t, idle);
        if (is_beyond(t) && t->idle_since + s->retire.idle_ns <= now && told < AT_A_TIME) {
            end_thread(t);
            told++;
        } else if (is_beyond(t) && t->idle_since < oldest)
            oldest = t->idle_since;
    }
    bool ends = s->pool.ending || !LIST_EMPTY(&s->pool.ended);
    if (ends || oldest == UINT64_MAX)
        return ends ? TICK : 0;
    uint64_t due = oldest + s->retire.idle_ns;
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
