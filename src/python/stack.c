#include "config.h"

#include <Python.h>

#include "python/stack.h"

#include "base/own_memory.h"
#include "python/stack_ask.h"
#include "python/stack_check.h"
#include "python/stack_doing.h"
#include "python/stack_fallback.h"
#include "python/stack_layout.h"
#include "python/stack_walk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    LOOKS = 4, /* at a thread that runs, and does not move */
    LOOKS_NS = 250000,
    TAKES = 40, /* of a stack that changes */
    BETWEEN_NS = 500000
};

/* Mutable layout, reason, fallback: stack_init, before there is another thread that asks. */
static struct stack_layout layout;
static bool fallback; /* there is a reason, but faulthandler helps */
static char reason[STACK_REASON_SIZE] = "nobody has looked how to read it";
/* Of stacks that were found; NULL: none. Mutable counter: stack_count, before there is another thread that asks. */
static _Atomic uint64_t *counter;

/* What is being read. Mutable taking: whoever has the lock. */
static struct taking {
    pthread_mutex_t lock;
    struct stack_frame frames[STACK_FRAMES_MAX], again[STACK_FRAMES_MAX];
    struct stack_scratch scratch;
    struct stack_known known[STACK_KNOWN];
} taking = {.lock = PTHREAD_MUTEX_INITIALIZER, .scratch = {.known = taking.known}};

int stack_init(char why[static STACK_REASON_SIZE]) {
    (void)stack_doing_init();
    reason[0] = '\0';
    if (own_memory_init())
        snprintf(reason, sizeof reason, "%s", OWN_MEMORY_FORBIDDEN);
    else if (!stack_layout_find(&layout, reason, sizeof reason) && !stack_check(&layout))
        snprintf(reason, sizeof reason, "the frames of this Python are not those of Python %d.%d", PY_MAJOR_VERSION,
                 PY_MINOR_VERSION);
    fallback = reason[0] && stack_fallback_init();
    if (fallback)
        snprintf(why, STACK_REASON_SIZE, "%.220s; those of threads that sleep come from faulthandler", reason);
    else if (!reason[0] && !stack_ask_init(&layout))
        snprintf(why, STACK_REASON_SIZE, "no real-time signal is free: calls that compute cannot be asked");
    else
        memcpy(why, reason, sizeof reason);
    return why[0] ? -1 : 0;
}

const char *stack_state_text(enum stack_state doing) {
    switch (doing) {
    case STACK_COMPUTES:
        return "is computing";
    case STACK_SLEEPS:
        return stack_doing_knows_lock() ? "sleeps" : "sleeps, or waits for the interpreter lock";
    case STACK_WAITS:
        return "waits for the interpreter lock";
    case STACK_GONE:
        return "has ended";
    case STACK_UNKNOWN:
        break;
    }
    return "does what cannot be told";
}

static unsigned cannot(char out[static STACK_SIZE], const char *why) {
    snprintf(out, STACK_SIZE, "its stack cannot be told: %s", why);
    return 0;
}

static void wait(long ns) {
    nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* Reads the stack from here, as that of a thread that sleeps: it is one if it has slept all the time, which is certain when it
 * has not run and sleeps in the end. It may have woken before, and been put off the processor anywhere. What it does in the
 * end is in *doing when the stack is one. Returns how many frames; or -1. */
static int take_asleep(int tid, const void *state, char out[static STACK_SIZE], enum stack_state *doing) {
    struct stack_walk walk = {.frames = taking.frames, .most = STACK_FRAMES_MAX};
    uint64_t before, after;
    if (!stack_doing_time(tid, &before) || !stack_walk(&layout, state, &walk))
        return -1;
    int found = stack_text(&layout, &walk, &taking.scratch, out, STACK_SIZE);
    if (found < 0 || !stack_doing_time(tid, &after) || before != after)
        return -1;
    enum stack_state now = stack_doing(tid);
    if (now == STACK_COMPUTES || now == STACK_GONE)
        return -1;
    *doing = now;
    return found;
}

/* The same of a thread that runs, and is never seen to be anywhere else: it is in C code then. What is read while it runs in
 * Python may be put together from several moments, and still look right. That it has run is asked of it lest it was put off
 * the processor just when it changed its frames. */
static int take_running(int tid, const void *state, char out[static STACK_SIZE]) {
    struct stack_walk walk = {.frames = taking.frames, .most = STACK_FRAMES_MAX};
    struct stack_walk again = {.frames = taking.again, .most = STACK_FRAMES_MAX};
    uint64_t before, after;
    if (!stack_doing_time(tid, &before) || !stack_walk(&layout, state, &walk))
        return -1;
    int found = stack_text(&layout, &walk, &taking.scratch, out, STACK_SIZE);
    for (int i = 0; found >= 0 && i < LOOKS; i++) {
        wait(LOOKS_NS);
        if (!stack_walk(&layout, state, &again) || !stack_walk_is_same(&walk, &again))
            return -1;
    }
    return stack_doing_time(tid, &after) && before != after ? found : -1;
}

/* Asks it by a signal. It has to be computing at this moment: see stack_ask.h. */
static int ask(int tid, const void *state, bool strict, char out[static STACK_SIZE], const char **refused) {
    unsigned found;
    if (stack_doing(tid) != STACK_COMPUTES)
        return -1;
    switch (stack_ask(tid, state, strict, out, &found)) {
    case STACK_ANSWERED:
        return (int)found;
    case STACK_BLOCKED:
        *refused = "it changes all the time, and blocks the signal by which it would be asked";
        break;
    case STACK_SILENT:
        *refused = "it changes all the time, and the thread did not answer in time";
        break;
    case STACK_TAKEN:
        *refused = "it changes all the time, and the application uses the signal by which it would be asked";
        break;
    case STACK_TORN:
        break;
    }
    return -1;
}

/* Most threads that are asked for sleep: what they do is looked at once, behind their stack. */
static unsigned take(int tid, const void *state, char out[static STACK_SIZE], enum stack_state *doing) {
    const char *refused = NULL;
    for (int i = 0; i < TAKES && !refused; i++) {
        int found = take_asleep(tid, state, out, doing);
        if (found < 0) {
            *doing = stack_doing(tid);
            if (*doing == STACK_GONE)
                return cannot(out, "the thread has ended");
            if (*doing == STACK_COMPUTES)
                found = take_running(tid, state, out);
            if (found < 0 && *doing == STACK_COMPUTES)
                found = ask(tid, state, i < TAKES / 2, out, &refused);
        }
        if (found > 0)
            return (unsigned)found;
        if (!found)
            return cannot(out, "it has yet to call the application, or has done so");
        wait(BETWEEN_NS);
    }
    return cannot(out, refused ? refused : "it changes all the time");
}

/* It sleeps, and is not about to wake as far as can be seen. */
static unsigned take_by_fallback(int tid, char out[static STACK_SIZE], enum stack_state doing) {
    unsigned found = 0;
    pthread_mutex_lock(&taking.lock);
    if (fallback && doing == STACK_SLEEPS)
        found = stack_fallback_take(tid, out);
    pthread_mutex_unlock(&taking.lock);
    return found ? found : cannot(out, reason);
}

static unsigned take_any(int tid, const void *state, char out[static STACK_SIZE], enum stack_state *doing) {
    if (reason[0] || !state)
        *doing = stack_doing(tid);
    if (reason[0])
        return take_by_fallback(tid, out, *doing);
    if (!state)
        return cannot(out, "it has yet to get the interpreter lock, to call the application");
    *doing = STACK_UNKNOWN;
    pthread_mutex_lock(&taking.lock);
    unsigned found = take(tid, state, out, doing);
    pthread_mutex_unlock(&taking.lock);
    return found;
}

unsigned stack_take(int tid, const void *state, char out[static STACK_SIZE], enum stack_state *doing) {
    unsigned found = take_any(tid, state, out, doing);
    if (found && counter)
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    return found;
}

void stack_count(_Atomic uint64_t *taken) {
    counter = taken;
}
