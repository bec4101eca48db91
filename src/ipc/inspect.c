#include "config.h"

#include "ipc/inspect.h"

#include <assert.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRIES = 16 /* of a reader, beside one who writes */ };

static const struct shared_memory_kind KIND = {
    .name = "wsgi-fcgi inspect",
    .head = {.magic = 0x77666963 /* "wfic" */, .version = 1, .size = sizeof(struct inspect), .count = SCOREBOARD_SLOTS},
};

struct inspect *inspect_new(int *fd) {
    return shared_memory_new(&KIND, fd);
}

struct inspect *inspect_map(int fd) {
    return shared_memory_map(&KIND, fd);
}

void inspect_unmap(struct inspect *inspect) {
    shared_memory_unmap(&KIND, inspect);
}

/* Copying, word by word: the other side may be at it at the same time, which shows in the sequence afterwards. */

static_assert(sizeof(struct inspect_call) % sizeof(uint64_t) == 0 &&
                  offsetof(struct inspect_answer, calls) % sizeof(uint64_t) == 0 &&
                  offsetof(struct inspect_answer, stacks) % sizeof(uint64_t) == 0 &&
                  INSPECT_STACKS_SIZE % sizeof(uint64_t) == 0,
              "all that is copied are whole words");

static void copy(void *to, const void *from, size_t bytes) {
    uint64_t *t = to;
    const uint64_t *f = from;
    for (size_t i = 0; i < (bytes + sizeof *t - 1) / sizeof *t; i++)
        __atomic_store_n(&t[i], __atomic_load_n(&f[i], __ATOMIC_RELAXED), __ATOMIC_RELAXED);
}

static_assert(sizeof(struct inspect_head) == offsetof(struct inspect_answer, calls) &&
                  offsetof(struct inspect_head, stacks_len) == offsetof(struct inspect_answer, stacks_len),
              "an answer begins with its head");

static void copy_head(void *to, const struct inspect_answer *from) {
    copy(to, from, sizeof(struct inspect_head));
}

/* What is used of the rest, as the head in *to says it. */
static void copy_rest(struct inspect_answer *to, const struct inspect_answer *from, const struct inspect_answer *head) {
    copy(to->calls, from->calls, head->count * sizeof *to->calls);
    copy(to->stacks, from->stacks, head->stacks_len);
}

/* Asking. */

static long futex(_Atomic uint32_t *word, int op, uint32_t value) {
    return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

uint32_t inspect_question(struct inspect *inspect, unsigned slot) {
    _Atomic uint32_t *asked = &inspect->slots[slot].asked;
    uint32_t number = atomic_fetch_add(asked, 1) + 1;
    (void)futex(asked, FUTEX_WAKE, INT_MAX);
    return number;
}

static void bound(struct inspect_answer *a) {
    if (a->count > INSPECT_CALLS)
        a->count = INSPECT_CALLS;
    if (a->stacks_len > INSPECT_STACKS_SIZE)
        a->stacks_len = INSPECT_STACKS_SIZE;
}

static void terminate(char *text, size_t size) {
    text[size - 1] = '\0';
}

/* Whatever somebody has written over it. */
static void make_safe(struct inspect_answer *a) {
    if (a->stacks_len)
        a->stacks[a->stacks_len - 1] = '\0';
    for (uint32_t i = 0; i < a->count; i++) {
        struct inspect_call *c = &a->calls[i];
        terminate(c->thread, sizeof c->thread);
        terminate(c->request_id, sizeof c->request_id);
        terminate(c->trace_id, sizeof c->trace_id);
        terminate(c->method, sizeof c->method);
        terminate(c->path, sizeof c->path);
        terminate(c->file, sizeof c->file);
        terminate(c->function, sizeof c->function);
        if (c->stack >= a->stacks_len || c->stack_len >= a->stacks_len - c->stack)
            c->stack = c->stack_len = c->frames = 0;
        else
            c->stack_len = (uint32_t)strnlen(a->stacks + c->stack, c->stack_len);
    }
}

/* Returns false while it is written. */
static bool read_begin(const struct inspect_slot *slot, uint32_t *sequence) {
    *sequence = atomic_load_explicit(&slot->sequence, memory_order_acquire);
    return *sequence % 2 == 0;
}

/* Returns false when it was written meanwhile. */
static bool read_end(const struct inspect_slot *slot, uint32_t sequence) {
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&slot->sequence, memory_order_relaxed) == sequence;
}

bool inspect_read(const struct inspect *inspect, unsigned slot, struct inspect_answer *out) {
    const struct inspect_slot *s = &inspect->slots[slot];
    uint32_t sequence;
    for (int i = 0; i < TRIES; i++) {
        if (!read_begin(s, &sequence))
            continue;
        copy_head(out, &s->answer);
        bound(out);
        copy_rest(out, &s->answer, out);
        if (!read_end(s, sequence))
            continue;
        make_safe(out);
        return out->at != 0;
    }
    return false;
}

bool inspect_peek(const struct inspect *inspect, unsigned slot, struct inspect_head *out) {
    const struct inspect_slot *s = &inspect->slots[slot];
    uint32_t sequence;
    for (int i = 0; i < TRIES; i++) {
        if (!read_begin(s, &sequence))
            continue;
        copy_head(out, &s->answer);
        if (read_end(s, sequence))
            return out->at != 0;
    }
    return false;
}

const char *inspect_stack(const struct inspect_answer *answer, const struct inspect_call *call) {
    return call->stack_len ? answer->stacks + call->stack : "";
}

const char *inspect_state_text(uint32_t state) {
    switch (state) {
    case INSPECT_COMPUTES:
        return "computing";
    case INSPECT_BLOCKED:
        return "blocked";
    case INSPECT_WAITS_FOR_LOCK:
        return "waiting for the lock";
    default:
        return "unknown";
    }
}

const char *inspect_phase_text(uint32_t phase) {
    switch (phase) {
    case INSPECT_OVERDUE:
        return "overdue";
    case INSPECT_READS:
        return "reading the request";
    case INSPECT_SENDS:
        return "sending the answer";
    default:
        return "running";
    }
}

/* Answering. */

static uint32_t write_begin(struct inspect_slot *slot) {
    uint32_t sequence = atomic_load_explicit(&slot->sequence, memory_order_relaxed) | 1;
    atomic_store_explicit(&slot->sequence, sequence, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    return sequence;
}

static void write_end(struct inspect_slot *slot, uint32_t sequence) {
    atomic_store_explicit(&slot->sequence, sequence + 1, memory_order_release);
}

uint32_t inspect_begin(struct inspect *inspect, unsigned slot) {
    static const struct inspect_answer none;
    struct inspect_slot *s = &inspect->slots[slot];
    uint32_t sequence = write_begin(s);
    copy_head(&s->answer, &none);
    write_end(s, sequence);
    return atomic_load(&s->asked);
}

uint32_t inspect_wait(struct inspect *inspect, unsigned slot, uint32_t seen) {
    _Atomic uint32_t *asked = &inspect->slots[slot].asked;
    if (atomic_load(asked) == seen)
        (void)futex(asked, FUTEX_WAIT, seen);
    return atomic_load(asked);
}

void inspect_answer(struct inspect *inspect, unsigned slot, const struct inspect_answer *answer) {
    struct inspect_slot *s = &inspect->slots[slot];
    uint32_t sequence = write_begin(s);
    copy_head(&s->answer, answer);
    copy_rest(&s->answer, answer, answer);
    write_end(s, sequence);
}
