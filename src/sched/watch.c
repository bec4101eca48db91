/* The watch: the thread that checks whether the owner is stuck in a job. The caller of sched_watch lends it. All that
 * the other files know of it is that it may be parked, and how to wake it. */
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
    COMPUTE_TICKS = 4, /* looks at the same call, awake each time, after which the loop is taken from it; or the first
                          one, if that is of use to others (struct sched_config) */
    /* Looks at the same call, awake but hardly ever on a processor, after which the loop is taken as well. Until then it
     * is one that others keep from the processor: with more processes than processors, a call of 0.2 ms often takes
     * some milliseconds, and the next owner would get no processor sooner. */
    PUT_OFF_TICKS = 20,
    FREE_TICKS = 2,   /* looks in a row at the same call, without the jobs' lock each time, after which it is taken */
    LINGER_TICKS = 10 /* looks without a call after which the watch goes to sleep: a wake-up costs more than a look */
};

static const uint64_t TICK_NS = TICK_MS * UINT64_C(1000000);

/* How it is woken. */

void watch_wake(struct sched *s) {
    if (atomic_exchange(&s->watch_parked, false)) {
        /* A full pipe wakes the watch as well. */
        if (write(s->config.wake_fd, "", 1) < 0 && errno == EBADF)
            descriptors_lost(s->config.wake_fd, "by which the watch is woken");
    }
}

void watch_quit(struct sched *s) {
    ssize_t n = write(s->config.wake_fd, "", 1);
    (void)n;
}

/* What it makes of what it sees. */

/* Whether others have time for what this owner, stuck in a job, does not see. Where nobody has, the price of taking the
 * loop is paid only for calls that take long. */
static bool hurries(const struct sched *s) {
    return s->config.hurries && s->config.hurries(s->config.others_arg);
}

/* Whether it has had a processor for half of the time that so many looks take at least. Nobody asks that of a job that
 * waits for the jobs' lock, nor of one that was put off for too long. */
static bool has_computed(const struct watch *w, const struct sched_thread *t) {
    return w->same >= PUT_OFF_TICKS || atomic_load_explicit(&t->lock_wait, memory_order_relaxed) ||
           threads_used(t) - w->used >= w->same * TICK_NS / 2;
}

static void look_at_call(struct sched *s, struct watch *w, uint64_t word) {
    struct sched_thread *t = s->pool.all[word_owner(word)];
    if (word != w->word) {
        w->word = word;
        w->same = w->free = 0;
        w->used = threads_used(t);
        return;
    }
    w->same++;
    enum follow_sight sight = follow_look(t);
    w->free = sight == FOLLOW_FREE ? w->free + 1 : 0;
    if (sight == FOLLOW_ASLEEP)
        baton_take_over(s, t, word, SCHED_ASLEEP);
    else if (w->free >= FREE_TICKS) {
        bool tells = !follow_lock_is_held(s, NULL);
        follow_note(t, tells ? w->free : 0, w->same - w->free);
        baton_take_over(s, t, word, SCHED_FREE);
    } else if ((w->same >= COMPUTE_TICKS || (sight == FOLLOW_HOLDS && hurries(s))) && has_computed(w, t))
        baton_take_over(s, t, word, SCHED_COMPUTING);
}

/* Ends the hold early: the job that computed and lost the loop has let go now, so nothing has to wait for it. */
static void look_at_computing(struct sched *s, unsigned computing) {
    struct sched_thread *t = s->pool.all[computing - 1];
    if (follow_look(t) != FOLLOW_HOLDS && atomic_compare_exchange_strong(&s->hold.computing, &computing, 0))
        post_wake_owner(s);
}

void watch_look(struct sched *s, struct watch *w) {
    pthread_mutex_lock(&s->watch_lock);
    uint64_t word = atomic_load(&s->word);
    unsigned computing = atomic_load(&s->hold.computing);
    bool call = word_phase(word) == SCHED_APP;
    w->quiet = call || computing || atomic_load(&s->followed) ? 0 : w->quiet + 1;
    follow_look_at_all(s);
    if (computing)
        look_at_computing(s, computing);
    caught_look_at_all(s);
    if (call)
        look_at_call(s, w, word);
    pthread_mutex_unlock(&s->watch_lock);
}

/* When it looks. */

/* Milliseconds to sleep; -1: until something happens. The word is read again after watch_parked was set: a call that
 * starts now, or a thread that is followed from now on, either sees the flag and wakes the watch, or is seen here. */
static int sleep_ms(struct sched *s, struct watch *w, uint64_t deadline) {
    if (w->quiet <= LINGER_TICKS)
        return TICK_MS;
    atomic_store(&s->watch_parked, true);
    if (word_phase(atomic_load(&s->word)) == SCHED_APP || atomic_load(&s->followed) || atomic_load(&s->quit)) {
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
        watch_look(s, &w);
    }
}
