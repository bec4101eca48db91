#include "config.h"

#include <Python.h>

#include "python/interrupt.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_create.h"
#include "python/compat.h"
#include "python/interrupt_aim.h"
#include "python/stack_doing.h"
#include "python/switch_interval.h"
#include "request/request.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    LOOK_NS = 10000000,  /* between two looks at a call, which must find it at the same place */
    LOCK_NS = 100000000, /* the same after it was found to wait for a lock, where hundreds may stay for long */
    TAKEN_NS = 20000000, /* between looks whether what is set was raised */
    /* After that until the next one, and then twice as long each time, as what it has set off may take long. */
    REPEAT_NS = 500000000,
    PLACE_NS = 1000000000, /* for which a place that does no harm is looked for */
    STOP_NS = 1000000000   /* that the end waits for whoever has the GIL */
};

/* Mutable interrupt_is_on: interrupt_start, before the first call. */
bool interrupt_is_on;

/* Mutable type: the first that asks, GIL held. */
static PyObject *type;

/* The call that a thread runs. Whoever has the GIL may change it, and look at its request. */
struct running {
    struct request *r; /* NULL: none */
    PyThreadState *state;
    int tid;
    bool held;     /* nothing is to be set now */
    bool set;      /* an exception was, and is not known to be raised yet */
    bool given_up; /* the grace is over */
    unsigned raised;
    enum interrupt_place place; /* at the last look at which it stood still */
    uint64_t begun_at;          /* when it was first seen to be overdue; 0: it is not */
    uint64_t bad_at;            /* when it was first at a bad place, since it last waited for a lock; 0: it was not */
    uint64_t next, rest;        /* the next look; and how long it is left alone after the next exception */
    uint64_t mark;              /* where it was at the last one; 0: there was none */
    LIST_ENTRY(running) link;
};

/* Mutable mine: as struct running says.
 * Mutable all: whoever has the GIL. */
static _Thread_local struct running mine;
static LIST_HEAD(, running) all = LIST_HEAD_INITIALIZER(all);

/* The thread that interrupts. Static, as a call finds nothing that leads to it.
 *
 * Mutable raiser: under its lock, but for what is atomic. */
static struct raiser {
    pthread_mutex_t lock; /* never held while waiting for the GIL */
    pthread_cond_t told;
    pthread_t thread;
    bool started, wanted, stops, ended;
    _Atomic uint64_t waits_since; /* for the GIL; 0: it does not */
    atomic_bool short_turns;
} raiser = {.lock = PTHREAD_MUTEX_INITIALIZER};

PyObject *interrupt_type(void) {
    if (!type)
        type = PyErr_NewExceptionWithDoc("wsgi_fcgi.RequestTimeout",
                                         "The time of a request is over (--request-timeout-action interrupt).\n\n"
                                         "Its client has been answered already. A BaseException, so that no\n"
                                         "\"except Exception\" stops it: let it pass, and clean up in \"finally\".",
                                         PyExc_BaseException, NULL);
    return Py_XNewRef(type);
}

static void wake(void) {
    pthread_mutex_lock(&raiser.lock);
    raiser.wanted = true;
    if (raiser.started)
        pthread_cond_signal(&raiser.told);
    pthread_mutex_unlock(&raiser.lock);
}

/* The call. */

/* Whether something of ours is set for the thread and was not raised yet. */
static bool is_set(const struct running *c) {
    return c->set && compat_async_exc(c->state) == type;
}

/* Takes back what is set, for the calling thread or another. */
static void take_back(struct running *c) {
    if (is_set(c))
        compat_async_exc_drop(c->state);
    else
        c->raised += c->set;
    c->set = false;
    c->mark = 0;
}

void interrupt_note_begin(struct request *r) {
    int tid = mine.tid ? mine.tid : gettid();
    mine = (struct running){.r = r, .tid = tid, .state = PyThreadState_Get(), .rest = REPEAT_NS};
    LIST_INSERT_HEAD(&all, &mine, link);
    if (atomic_load(&r->overdue)) /* it has waited for the GIL for that long */
        wake();
}

void interrupt_note_end(void) {
    if (!mine.r)
        return;
    take_back(&mine);
    LIST_REMOVE(&mine, link);
    mine.r = NULL;
}

void interrupt_put_off(void) {
    take_back(&mine);
    mine.held = true;
}

void interrupt_admit(void) {
    mine.held = false;
    if (mine.raised) /* what is cleaned up after that is to have its time */
        mine.next = clock_ns() + mine.rest;
}

bool interrupt_is_pending(void) {
    return type && mine.r && mine.begun_at && PyErr_ExceptionMatches(type);
}

/* The thread. */

/* Whether the last place will do. One that is only bad does so after a while; but what has waited for a lock is just about to
 * get it, however long its time has been over, and then has that while to get away from there. */
static bool has_place(struct running *c, uint64_t now) {
    if (c->place == INTERRUPT_LOCK)
        c->bad_at = 0;
    else if (c->place == INTERRUPT_BAD && !c->bad_at)
        c->bad_at = now;
    return c->place == INTERRUPT_GOOD || (c->place == INTERRUPT_BAD && now - c->bad_at >= PLACE_NS);
}

/* Sets the exception if the call stands still, at a place that is good for it. */
static void aim(struct running *c, uint64_t now) {
    uint64_t before = c->mark;
    c->mark = interrupt_aim_mark(c->state);
    c->next = now + LOOK_NS;
    if (before != c->mark)
        return;
    c->place = interrupt_aim_judge(c->state, c->tid);
    if (c->place == INTERRUPT_LOCK)
        c->next = now + LOCK_NS;
    if (!has_place(c, now))
        return;
    if (!compat_async_exc(c->state) && compat_async_exc_finds(c->state) &&
        PyThreadState_SetAsyncExc(c->state->thread_id, type) == 1) {
        c->set = true;
        c->next = now + TAKEN_NS;
    }
}

/* Looks at a call that is overdue. */
static void look_at(struct running *c, uint64_t now) {
    if (c->held)
        c->next = now + LOOK_NS;
    else if (is_set(c))
        c->next = now + TAKEN_NS;
    else if (c->set) { /* it was raised */
        c->set = false;
        c->mark = 0;
        c->raised++;
        c->next = now + c->rest;
        c->rest *= 2;
    } else
        aim(c, now);
}

struct line {
    char request[REQUEST_TEXT_SIZE], why[200];
};

static void describe(const struct running *c, struct line *out) {
    static const char *const reasons[] = {
        [INTERRUPT_GOOD] = "nothing could be raised in it, as it never stands still",
        [INTERRUPT_BAD] = "nothing could be raised in it, as it never stands still",
        [INTERRUPT_LOCK] = "nothing could be raised in it, as it waits for a lock, which would stay locked",
    };
    request_text(c->r, out->request, sizeof out->request);
    if (c->raised)
        snprintf(out->why, sizeof out->why, "wsgi_fcgi.RequestTimeout was raised in it %u time%s", c->raised,
                 ascii_plural(c->raised));
    else
        snprintf(out->why, sizeof out->why, "%s",
                 is_set(c) ? "it is in a function in C, which does not return" : reasons[c->place]);
}

/* Returns when to look again, 0: not until told; or, with *line, at once. */
static uint64_t look_at_all(struct line *line) {
    uint64_t now = clock_ns(), next = 0;
    struct running *c;
    LIST_FOREACH(c, &all, link) {
        if (c->given_up || !atomic_load(&c->r->overdue))
            continue;
        if (!c->begun_at)
            c->begun_at = now;
        if (now - c->begun_at > INTERRUPT_GRACE_NS) {
            c->given_up = true;
            describe(c, line);
            return now;
        }
        if (c->next <= now)
            look_at(c, now);
        if (!next || c->next < next)
            next = c->next;
    }
    return next;
}

/* With a thread state that lives only for so long: one that stays would be shown by debuggers. */
static uint64_t take_a_turn(void) {
    struct line line = {.request = ""};
    atomic_store(&raiser.waits_since, clock_ns());
    PyGILState_STATE gil = PyGILState_Ensure();
    atomic_store(&raiser.waits_since, 0);
    bool is_short = atomic_load(&raiser.short_turns), changed = switch_interval_set_short(is_short);
    uint64_t next = interrupt_is_on ? look_at_all(&line) : 0;
    PyGILState_Release(gil);
    if (changed)
        log_debug("the switch interval is %s", is_short ? "short, as a call computes" : "as it was before");
    if (*line.request)
        log_warning("%s: goes on in spite of --request-timeout-action interrupt: %s", line.request, line.why);
    return next;
}

static void *raiser_main(void *unused) {
    uint64_t next = 0;
    pthread_mutex_lock(&raiser.lock);
    while (!raiser.stops) {
        if (!raiser.wanted && (!next || clock_ns() < next)) {
            struct timespec until = clock_timespec(next);
            if (next)
                pthread_cond_timedwait(&raiser.told, &raiser.lock, &until);
            else
                pthread_cond_wait(&raiser.told, &raiser.lock);
            continue;
        }
        raiser.wanted = false;
        pthread_mutex_unlock(&raiser.lock);
        next = take_a_turn();
        pthread_mutex_lock(&raiser.lock);
    }
    raiser.ended = true;
    pthread_cond_signal(&raiser.told);
    pthread_mutex_unlock(&raiser.lock);
    return unused;
}

static void prepare(void) {
    PyGILState_STATE state = PyGILState_Ensure();
    interrupt_aim_init();
    PyGILState_Release(state);
    if (!stack_doing_knows_lock())
        log_warning("--request-timeout-action interrupt: the system does not show what threads wait for, so calls that "
                    "wait for a lock are interrupted as well, which may leave it locked");
}

int interrupt_start(bool interrupts) {
    clock_cond_init(&raiser.told);
    int error = thread_create(&raiser.thread, NULL, "wsgi-fcgi-time", raiser_main, NULL);
    if (error) {
        errno = error;
        return -1;
    }
    pthread_mutex_lock(&raiser.lock);
    raiser.started = true;
    pthread_mutex_unlock(&raiser.lock);
    interrupt_is_on = interrupts && type;
    if (interrupt_is_on)
        prepare();
    return 0;
}

void interrupt_stop(void) {
    struct timespec until = clock_timespec(clock_ns() + STOP_NS);
    if (!raiser.started)
        return;
    pthread_mutex_lock(&raiser.lock);
    raiser.stops = true;
    raiser.started = false;
    pthread_cond_signal(&raiser.told);
    int waited = 0;
    while (!raiser.ended && !waited)
        waited = pthread_cond_timedwait(&raiser.told, &raiser.lock, &until);
    bool ended = raiser.ended;
    pthread_mutex_unlock(&raiser.lock);
    if (ended)
        pthread_join(raiser.thread, NULL);
    else
        pthread_detach(raiser.thread);
}

void interrupt_begin(void) {
    if (interrupt_is_on)
        wake();
}

void interrupt_probe(void) {
    wake();
}

void interrupt_shorten_turns(bool wanted) {
    if (atomic_exchange(&raiser.short_turns, wanted) != wanted)
        wake();
}

uint64_t interrupt_waits(void) {
    uint64_t since = atomic_load(&raiser.waits_since), now = clock_ns();
    return since && now > since ? now - since : 0;
}
