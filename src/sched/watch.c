/* The watch: the thread that checks whether the owner is stuck in a job. The caller of sched_watch decides which thread
 * that is. All that the other files know of it is that it may be parked, and how to wake it. */
#include "config.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "sched/sched_impl.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

enum {
    TICK_MS = 1,
    GUARD_MS = 1000,   /* between two calls of the guard while calls run */
    COMPUTE_TICKS = 4, /* looks at the same call, awake each time, after which the loop is taken from it */
    LINGER_TICKS = 10  /* looks without a call after which the watch goes to sleep: a wake-up costs more than a look */
};

struct watch {
    uint64_t word;  /* the call seen at the last look */
    unsigned same;  /* looks at it before */
    unsigned quiet; /* looks in a row without a call */
};

/* How it is woken. */

void watch_wake(struct sched *s) {
    if (atomic_exchange(&s->watch_parked, false)) {
        /* A full pipe wakes the watch as well. */
        if (write(s->config.wake_fd, "", 1) < 0 && errno == EBADF)
            descriptors_lost(s->config.wake_fd, "by which the main thread is woken");
    }
}

void watch_quit(struct sched *s) {
    ssize_t n = write(s->config.wake_fd, "", 1);
    (void)n;
}

/* What it makes of what it sees. */

/* A thread that sleeps because it waits for the jobs' lock has not let go of anything. If the layer above should tell
 * whether a thread that is awake has let go of that lock, by a callback of struct sched_config, this function would
 * ask. */
static bool has_let_go(struct sched_thread *t) {
    return threads_is_asleep(t) && !atomic_load_explicit(&t->lock_wait, memory_order_relaxed);
}

static void look_at_call(struct sched *s, struct watch *w, uint64_t word) {
    if (word != w->word) {
        w->word = word;
        w->same = 0;
        return;
    }
    w->same++;
    struct sched_thread *t = s->pool.all[word_owner(word)];
    if (has_let_go(t))
        baton_take_over(s, t, word, SCHED_ASLEEP);
    else if (w->same >= COMPUTE_TICKS)
        baton_take_over(s, t, word, SCHED_COMPUTING);
}

/* Ends the hold early: the job that computed and lost the loop has let go now, so nothing has to wait for it. */
static void look_at_computing(struct sched *s, unsigned computing) {
    struct sched_thread *t = s->pool.all[computing - 1];
    if (has_let_go(t) && atomic_compare_exchange_strong(&s->hold.computing, &computing, 0))
        post_wake_owner(s);
}

static void look(struct sched *s, struct watch *w) {
    uint64_t word = atomic_load(&s->word);
    unsigned computing = atomic_load(&s->hold.computing);
    bool call = word_phase(word) == SCHED_APP;
    w->quiet = call || computing ? 0 : w->quiet + 1;
    if (computing)
        look_at_computing(s, computing);
    if (call)
        look_at_call(s, w, word);
}

/* When it looks. */

/* Milliseconds to sleep; -1: until something happens. The word is read again after watch_parked was set: a call that
 * starts now either sees the flag and wakes the watch, or is seen here. */
static int sleep_ms(struct sched *s, struct watch *w, uint64_t deadline) {
    if (w->quiet <= LINGER_TICKS)
        return TICK_MS;
    atomic_store(&s->watch_parked, true);
    if (word_phase(atomic_load(&s->word)) == SCHED_APP || atomic_load(&s->quit)) {
        atomic_store(&s->watch_parked, false);
        w->quiet = 0;
        return TICK_MS;
    }
    int most = s->config.guard && s->config.guard(s->config.guard_arg) ? GUARD_MS : -1;
    if (!deadline)
        return most;
    uint64_t now = clock_ns(), left = now >= deadline ? 0 : (deadline - now) / 1000000 + 1;
    uint64_t limit = most < 0 ? INT_MAX : (uint64_t)most;
    return (int)(left > limit ? limit : left);
}

void sched_watch(struct sched *s, int fd, uint64_t deadline, bool (*on_wake)(void *arg), void *arg) {
    struct watch w = {0};
    while (!atomic_load(&s->quit) && (!deadline || clock_ns() < deadline)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, sleep_ms(s, &w, deadline));
        atomic_store(&s->watch_parked, false);
        if (n > 0 && s->config.guard)
            s->config.guard(s->config.guard_arg);
        if (n > 0 && on_wake(arg))
            return;
        if (n > 0)
            w.quiet = 0;
        look(s, &w);
    }
}
