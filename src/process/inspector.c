#include "config.h"

#include "process/inspector.h"

#include "base/ascii.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/own_memory.h"
#include "base/text_line.h"
#include "base/thread_create.h"
#include "cli/options.h"
#include "ipc/inspect.h"
#include "ipc/scoreboard.h"
#include "net/running.h"
#include "process/running_log.h"
#include "python/stack.h"
#include "python/stack_doing.h"
#include "sched/sched.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_SIZE = 1000,
    REUSED_NS = 100000000, /* for so long an answer is good for others as well... */
    REUSED_TIMES = 10,     /* ...or for so many times as long as it took */
    AGAIN_NS = 500000,     /* before the next question, when an answer was good for this one */
    PUBLISH_NS = 2000000   /* between two pieces of an answer */
};

/* A block that is to be logged. Who takes the place of one fills it in, and then gives it to the thread. */
enum place { VACANT, TAKEN, READY };

/* Mutable inspector: `wanted` any thread by the states of the places; `started` and `ended` the main thread, which
 * starts the thread; the rest it alone. */
static struct inspector {
    struct inspect *inspect;
    const struct scoreboard *board;
    unsigned slot; /* in both */
    struct lane *lane;
    uint32_t seen; /* the number of the last question */
    pthread_t thread;
    atomic_bool started, ended;
    struct wanted {
        _Atomic(enum place) place;
        char line[LINE_SIZE];
    } wanted[INSPECTOR_REASON_COUNT];
    uint64_t took;         /* nanoseconds, the last answer */
    uint64_t published_at; /* clock_ns: the last piece of one */
    struct running_call calls[INSPECT_CALLS];
    struct inspect_answer answer;
    char stack[STACK_SIZE];
} inspector;

/* What is found out. */

/* The system may not say what a thread waits for (stack_doing.h). */
static uint32_t state_of(enum stack_state doing, const struct sched_thread *thread) {
    switch (doing) {
    case STACK_COMPUTES:
        return INSPECT_COMPUTES;
    case STACK_SLEEPS:
        return !stack_doing_knows_lock() && sched_waits_for_lock(thread) ? INSPECT_WAITS_FOR_LOCK : INSPECT_BLOCKED;
    case STACK_WAITS:
        return INSPECT_WAITS_FOR_LOCK;
    case STACK_GONE:
    case STACK_UNKNOWN:
        break;
    }
    return INSPECT_UNKNOWN;
}

static uint32_t phase_of(const struct running_call *call) {
    if (call->overdue)
        return INSPECT_OVERDUE;
    switch (call->waits) {
    case REQUEST_READS:
        return INSPECT_READS;
    case REQUEST_SENDS:
        return INSPECT_SENDS;
    case REQUEST_WAITS_NOT:
        break;
    }
    return INSPECT_RUNNING;
}

static void describe(const struct running_call *call, struct inspect_call *out) {
    uint64_t now;
    *out = (struct inspect_call){
        .begun_at = call->begun_at,
        .queued = call->queued,
        .processor = INSPECT_NOT_KNOWN,
        .waited = INSPECT_NOT_KNOWN,
        .tid = sched_thread_tid(call->thread),
        .phase = phase_of(call),
    };
    out->state = state_of(stack_doing(out->tid), call->thread);
    out->has_lock = out->state != INSPECT_WAITS_FOR_LOCK && sched_has_lock(call->thread);
    const uint64_t since = out->state == INSPECT_WAITS_FOR_LOCK ? sched_waits_for_lock_since(call->thread) : 0;
    if (since && (now = clock_ns()) >= since)
        out->waited = now - since;
    if (call->processor_from && sched_thread_time(call->thread, &now) && now >= call->processor_from)
        out->processor = now - call->processor_from;
    static_assert(sizeof out->thread >= SCHED_NAME_SIZE, "it has room for the name of a thread");
    sched_thread_name(call->thread, out->thread);
    static_assert(sizeof out->request_id >= sizeof call->id && sizeof out->trace_id >= sizeof call->trace &&
                      sizeof out->method >= sizeof call->method && sizeof out->path >= sizeof call->path,
                  "what is found of a call has room in the answer");
    memcpy(out->request_id, call->id, sizeof call->id);
    memcpy(out->trace_id, call->trace, sizeof call->trace);
    memcpy(out->method, call->method, sizeof call->method);
    memcpy(out->path, call->path, sizeof call->path);
}

static void publish(void) {
    inspector.published_at = clock_ns();
    inspect_answer(inspector.inspect, inspector.slot, &inspector.answer);
}

/* Where the text is in the answer, which is there already if another call is at the same place. Returns false when
 * there is no room for it. */
static bool keep_text(struct inspect_call *call, const char *text) {
    struct inspect_answer *a = &inspector.answer;
    const size_t len = strlen(text);
    for (uint32_t i = 0; i < a->count; i++) {
        const struct inspect_call *other = &a->calls[i];
        if (other->stack_len == len && len && !memcmp(a->stacks + other->stack, text, len)) {
            call->stack = other->stack;
            call->stack_len = (uint32_t)len;
            return true;
        }
    }
    if (len + 1 > INSPECT_STACKS_SIZE - a->stacks_len)
        return false;
    call->stack = a->stacks_len;
    call->stack_len = (uint32_t)len;
    memcpy(a->stacks + a->stacks_len, text, len + 1);
    a->stacks_len += (uint32_t)len + 1;
    return true;
}

/* The beginning of the last line of a stack that is a frame: behind it there may be how often it is repeated. */
static const char *find_innermost(const char *stack) {
    static const char frame[] = "  File \"";
    const char *last = NULL;
    for (const char *at = stack; at && *at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (!strncmp(at, frame, strlen(frame)))
            last = at + strlen(frame);
    }
    return last;
}

/* The end of a file says more than its beginning. */
static void copy_end(char *out, size_t size, const char *from, size_t n) {
    size_t skipped = n < size ? 0 : n - size + 1;
    while (skipped && skipped < n && (from[skipped] & 0xc0) == 0x80)
        skipped++;
    memcpy(out, from + skipped, n - skipped);
    out[n - skipped] = '\0';
}

/* From `  File "/srv/app.py", line 12, in view`. */
static void read_line(struct inspect_call *call, const char *stack) {
    static const char line[] = "\", line ", in[] = ", in ";
    const char *file = find_innermost(stack), *at = NULL;
    uint64_t number;
    if (!file)
        return;
    const char *end = strchrnul(file, '\n');
    for (const char *next = strstr(file, line); next && next < end; next = strstr(next + 1, line))
        at = next;
    const char *rest = at ? ascii_read_number(at + strlen(line), 10, &number) : NULL;
    if (!rest || strncmp(rest, in, strlen(in)) != 0)
        return;
    call->line = (uint32_t)number;
    copy_end(call->file, sizeof call->file, file, (size_t)(at - file));
    snprintf(call->function, sizeof call->function, "%.*s", (int)(end - rest - (ptrdiff_t)strlen(in)),
             rest + strlen(in));
}

static void take_stack(const struct running_call *running, struct inspect_call *call) {
    enum stack_state doing;
    call->frames = stack_take(call->tid, sched_thread_user(running->thread), inspector.stack, &doing);
    /* What was read when the thread had gone on to something else is not this call's. */
    if (!running_goes_on(running)) {
        call->frames = 0;
        (void)keep_text(call, "the call has ended by now");
        return;
    }
    call->state = state_of(doing, running->thread);
    call->has_lock = call->state != INSPECT_WAITS_FOR_LOCK && sched_has_lock(running->thread);
    if (call->frames)
        read_line(call, inspector.stack);
    if (!keep_text(call, inspector.stack)) {
        call->frames = 0;
        (void)keep_text(call, "its stack is left out, since those of others are long");
    }
}

/* Threads that sleep are read at once; one that computes may be asked by a signal, and have no processor to answer. */
static void take_stacks(bool of_those_that_compute) {
    struct inspect_answer *a = &inspector.answer;
    for (uint32_t i = 0; i < a->count; i++) {
        struct inspect_call *call = &a->calls[i];
        if (call->stack_len || (call->state == INSPECT_COMPUTES) != of_those_that_compute)
            continue;
        take_stack(&inspector.calls[i], call);
        if (clock_ns() - inspector.published_at >= PUBLISH_NS)
            publish();
    }
}

/* Somebody has it if others wait for it. It may change hands at any moment, so one look that finds it with no call says
 * nothing: only two that are some time apart. */
static void look_at_lock(bool again) {
    struct inspect_answer *a = &inspector.answer;
    bool waits = false, had = false;
    for (uint32_t i = 0; i < a->count; i++) {
        struct inspect_call *call = &a->calls[i];
        if (again && !call->has_lock && call->state != INSPECT_WAITS_FOR_LOCK && a->lock == INSPECT_LOCK_OTHER)
            call->has_lock = sched_has_lock(inspector.calls[i].thread);
        waits |= call->state == INSPECT_WAITS_FOR_LOCK;
        had |= call->has_lock != 0;
    }
    a->lock = had                                                  ? INSPECT_LOCK_CALL
              : waits && (!again || a->lock == INSPECT_LOCK_OTHER) ? INSPECT_LOCK_OTHER
                                                                   : INSPECT_LOCK_UNKNOWN;
}

static void find_out(uint32_t number) {
    struct inspect_answer *a = &inspector.answer;
    uint64_t begun = clock_ns();
    a->complete = a->stacks_len = a->lock = 0;
    a->at = begun;
    a->pid = (int32_t)getpid();
    a->number = number;
    a->count = running_find(inspector.lane, inspector.calls, INSPECT_CALLS, &a->more);
    for (uint32_t i = 0; i < a->count; i++)
        describe(&inspector.calls[i], &a->calls[i]);
    look_at_lock(false);
    publish();
    take_stacks(false);
    take_stacks(true);
    take_stacks(false); /* those that have begun to compute, or to sleep, in between */
    look_at_lock(true);
    a->complete = 1;
    publish();
    inspector.took = clock_ns() - begun;
}

static bool is_fresh(void) {
    uint64_t good = inspector.took * REUSED_TIMES;
    return inspector.answer.at && clock_ns() - inspector.answer.at < (good > REUSED_NS ? good : REUSED_NS);
}

/* The same answer, with another number. */
static void answer_again(uint32_t number) {
    inspector.answer.number = number;
    publish();
    nanosleep(&(struct timespec){.tv_nsec = AGAIN_NS}, NULL);
}

/* Who asks has the scoreboard as well, which says more where nothing can be read. */
static void answer(uint32_t number) {
    if (own_memory_is_forbidden())
        return;
    if (is_fresh())
        answer_again(number);
    else
        find_out(number);
}

/* What is logged. */

/* Takes what is wanted out of its place: who wants a block from now on may have another one, which tells what runs
 * then. Returns whether it was. */
static bool take_wanted(struct wanted *w, char line[static LINE_SIZE]) {
    if (atomic_load(&w->place) != READY)
        return false;
    memcpy(line, w->line, LINE_SIZE);
    atomic_store(&w->place, VACANT);
    return true;
}

/* Where nothing can be read: the requests of calls that run without the loop, as the scoreboard has them. Mutable block:
 * the thread, which alone calls this. */
static void log_told(const char *line) {
    static char block[SCOREBOARD_CALLS * (SCOREBOARD_TEXT_SIZE + 32)];
    struct text_line lines = text_line_in(block, sizeof block);
    const uint64_t now = clock_ns();
    unsigned count = 0;
    for (unsigned i = 0; i < SCOREBOARD_CALLS; i++) {
        const struct scoreboard_call *told = &inspector.board->calls[inspector.slot][i];
        const uint64_t begun_at = atomic_load(&told->begun_at), age = now > begun_at ? (now - begun_at) / 1000000 : 0;
        char text[SCOREBOARD_TEXT_SIZE];
        scoreboard_text(told, text);
        if (!begun_at || atomic_load(&told->begun_at) != begun_at)
            continue;
        count++;
        text_line_add(&lines, "  %llu.%03llu s %s\n", (unsigned long long)(age / 1000),
                      (unsigned long long)(age % 1000), text);
    }
    log_block(LOG_LEVEL_WARNING, block, "%s: %u call%s without the loop; what they do cannot be told: %s", line, count,
              count == 1 ? " runs" : "s run", OWN_MEMORY_FORBIDDEN);
}

/* Returns whether something was wanted. It is found out anew for that: what was there a moment ago may be over. */
static bool log_wanted(uint32_t number) {
    char line[LINE_SIZE];
    bool any = false;
    for (int i = 0; i < INSPECTOR_REASON_COUNT; i++) {
        if (!take_wanted(&inspector.wanted[i], line))
            continue;
        any = true;
        if (own_memory_is_forbidden()) {
            log_told(line);
            continue;
        }
        find_out(number);
        running_log(line, &inspector.answer, clock_ns());
    }
    return any;
}

void inspector_log(enum inspector_reason reason, const char *line) {
    struct wanted *w = &inspector.wanted[reason];
    enum place vacant = VACANT;
    if (!atomic_load(&inspector.started)) {
        log_warning("%s", line);
        return;
    }
    if (!atomic_compare_exchange_strong(&w->place, &vacant, TAKEN))
        return;
    snprintf(w->line, sizeof w->line, "%s", line);
    atomic_store(&w->place, READY);
    (void)inspect_question(inspector.inspect, inspector.slot);
}

/* Life. */

static void *run(void *unused) {
    for (;;) {
        bool ended = atomic_load(&inspector.ended); /* before the look: what is asked for before the end is logged */
        uint32_t seen = inspector.seen, asked = seen;
        if (!ended)
            asked = inspect_wait(inspector.inspect, inspector.slot, seen);
        if (!log_wanted(asked)) {
            if (ended)
                return unused;
            if (asked == seen)
                continue;
            answer(asked);
        }
        inspector.seen = asked;
    }
}

void inspector_prepare(const struct options *o) {
    char why[STACK_REASON_SIZE];
    if (!stack_init(why))
        return;
    if (o->request_timeout > 0 || o->slow_request > 0)
        log_warning("%s: the log will not have the stack of each call: %s",
                    o->request_timeout > 0 ? "--request-timeout" : "--slow-request", why);
    else
        log_debug("the stacks of some calls cannot be told: %s", why);
}

int inspector_start(struct inspect *inspect, const struct scoreboard *board, unsigned slot, struct lane *lane) {
    inspector.inspect = inspect;
    inspector.board = board;
    inspector.slot = slot;
    inspector.lane = lane;
    inspector.seen = inspect_begin(inspect, slot);
    atomic_store(&inspector.ended, false);
    int error = thread_create(&inspector.thread, NULL, "wsgi-fcgi-look", run, NULL);
    if (error) {
        errno = error;
        return -1;
    }
    atomic_store(&inspector.started, true);
    return 0;
}

void inspector_stop(void) {
    if (!atomic_exchange(&inspector.started, false))
        return;
    atomic_store(&inspector.ended, true);
    (void)inspect_question(inspector.inspect, inspector.slot);
    pthread_join(inspector.thread, NULL);
}
