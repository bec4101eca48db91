#include "config.h"

#include "process/running_log.h"

#include "base/ascii.h"
#include "base/log.h"
#include "base/text_line.h"

#include <stdbool.h>
#include <string.h>

enum {
    NAMED = 3, /* requests of those at the same place */
    TEXT_SIZE = 160,
    SECONDS_SIZE = 32,
    LINE_SIZE = 1400,
    BLOCK_SIZE = LOG_BLOCK_MAX - 2000 /* what stands in front of it has room as well */
};

/* What is put together. Mutable block: whoever logs. */
static struct block {
    const char *line; /* in front of it */
    char text[BLOCK_SIZE];
    size_t len;
    bool logged; /* some of it */
} block;

static void flush_block(void) {
    if (block.len)
        log_block(LOG_LEVEL_WARNING, block.text, "%s%s", block.line, block.logged ? " (goes on)" : "");
    block.logged |= block.len > 0;
    block.len = 0;
}

/* The stack comes behind its line in any case. */
static void put(const char *line, const char *stack, size_t n) {
    size_t len = strlen(line);
    if (len + n >= sizeof block.text - block.len)
        flush_block();
    if (len + n >= sizeof block.text)
        n = sizeof block.text - 1 - len;
    memcpy(block.text + block.len, line, len);
    memcpy(block.text + block.len + len, stack, n);
    block.len += len + n;
    block.text[block.len] = '\0';
}

static void add_seconds(struct text_line *l, uint64_t ns) {
    text_line_add(l, "%llu.%03llu s", (unsigned long long)(ns / 1000000000), (unsigned long long)(ns / 1000000 % 1000));
}

static uint64_t age(const struct inspect_call *call, uint64_t now) {
    return now > call->begun_at ? now - call->begun_at : 0;
}

/* "12.345 s GET /path [id]", with what came from the peer made safe. */
static void add_call(struct text_line *l, const struct inspect_call *call, uint64_t now) {
    char method[TEXT_SIZE], path[TEXT_SIZE], id[TEXT_SIZE];
    add_seconds(l, age(call, now));
    text_line_add(l, " %s %s", log_escape(method, sizeof method, call->method, strlen(call->method)),
                  log_escape(path, sizeof path, call->path, strlen(call->path)));
    if (*call->request_id)
        text_line_add(l, " [%s]", log_escape(id, sizeof id, call->request_id, strlen(call->request_id)));
    if (call->phase != INSPECT_RUNNING)
        text_line_add(l, " (%s)", inspect_phase_text(call->phase));
}

/* Whether two of them are at the same place, and do the same. */
static bool are_alike(const struct inspect_answer *a, const struct inspect_call *one,
                      const struct inspect_call *other) {
    return one->state == other->state && one->has_lock == other->has_lock && one->frames == other->frames &&
           !strcmp(inspect_stack(a, one), inspect_stack(a, other));
}

static const char *say_what(const struct inspect_call *call, bool many) {
    switch (call->state) {
    case INSPECT_COMPUTES:
        return call->has_lock ? "has the interpreter lock, and computes" : many ? "compute" : "computes";
    case INSPECT_BLOCKED:
        return call->has_lock ? "has the interpreter lock, and sleeps" : many ? "sleep" : "sleeps";
    case INSPECT_WAITS_FOR_LOCK:
        return many ? "wait for the interpreter lock" : "waits for the interpreter lock";
    default:
        return many ? "do what cannot be told" : "does what cannot be told";
    }
}

/* Those from the i-th on that are like it. Returns how many. */
static unsigned add_alike(struct text_line *l, const struct inspect_answer *a, unsigned i, uint64_t now) {
    unsigned count = 0;
    for (unsigned k = i; k < a->count; k++) {
        if (!are_alike(a, &a->calls[i], &a->calls[k]) || count++ >= NAMED)
            continue;
        text_line_add(l, "%s", count > 1 ? ", " : "");
        add_call(l, &a->calls[k], now);
    }
    if (count > NAMED)
        text_line_add(l, " and %u more", count - NAMED);
    return count;
}

static bool is_first(const struct inspect_answer *a, unsigned i) {
    unsigned k = 0;
    while (k < i && !are_alike(a, &a->calls[i], &a->calls[k]))
        k++;
    return k == i;
}

static void put_place(const struct inspect_answer *a, unsigned i, unsigned count, uint64_t now) {
    const struct inspect_call *call = &a->calls[i];
    char l_text[LINE_SIZE];
    struct text_line l = text_line_in(l_text, sizeof l_text);
    const char *stack = inspect_stack(a, call);
    if (count > 1)
        text_line_add(&l, "%u threads %s: ", count, say_what(call, true));
    else
        text_line_add(&l, "%s %s: ", *call->thread ? call->thread : "a thread", say_what(call, false));
    (void)add_alike(&l, a, i, now);
    if (!call->frames)
        text_line_add(&l, "; %s\n", *stack ? stack : "the stack could not be read in time");
    else
        text_line_add(&l, "\n");
    l.text[l.len - 1] = '\n';
    put(l.text, stack, call->frames ? call->stack_len : 0);
}

static unsigned count_alike(const struct inspect_answer *a, unsigned i) {
    unsigned count = 0;
    for (unsigned k = i; k < a->count; k++)
        count += are_alike(a, &a->calls[i], &a->calls[k]);
    return count;
}

/* Those of which there are most come first. */
static void put_all(const struct inspect_answer *a, uint64_t now) {
    for (unsigned most = a->count; most; most--) {
        for (unsigned i = 0; i < a->count; i++) {
            if (is_first(a, i) && count_alike(a, i) == most)
                put_place(a, i, most, now);
        }
    }
}

static void add_lock(struct text_line *l, const struct inspect_answer *a, uint64_t now) {
    unsigned waiting = 0;
    const struct inspect_call *holder = NULL;
    for (unsigned i = 0; i < a->count; i++) {
        waiting += a->calls[i].state == INSPECT_WAITS_FOR_LOCK;
        if (a->calls[i].has_lock)
            holder = &a->calls[i];
    }
    if (!waiting)
        return;
    text_line_add(l, "; %u wait%s for the interpreter lock", waiting, waiting == 1 ? "s" : "");
    if (holder) {
        text_line_add(l, ", which %s has: ", *holder->thread ? holder->thread : "a thread");
        add_call(l, holder, now);
        if (holder->line) {
            char file[TEXT_SIZE];
            text_line_add(l, " at %s:%u", log_escape(file, sizeof file, holder->file, strlen(holder->file)),
                          holder->line);
        }
    } else if (a->lock == INSPECT_LOCK_OTHER)
        text_line_add(l, ", which none of them has, but a thread of the application's own");
}

void running_log(const char *line, const struct inspect_answer *answer, uint64_t now) {
    char l_text[LINE_SIZE];
    struct text_line l = text_line_in(l_text, sizeof l_text);
    unsigned total = answer->count + answer->more;
    if (!total) {
        log_warning("%s: no call runs", line);
        return;
    }
    text_line_add(&l, "%s: %u call%s", line, total, total == 1 ? " runs" : "s run");
    if (answer->count) {
        text_line_add(&l, "%s", total == 1 ? ", for " : ", the oldest for ");
        add_seconds(&l, age(&answer->calls[0], now));
    }
    add_lock(&l, answer, now);
    block.line = l.text;
    block.len = 0;
    block.logged = false;
    put_all(answer, now);
    if (answer->more) {
        char rest_text[LINE_SIZE];
        struct text_line rest = text_line_in(rest_text, sizeof rest_text);
        text_line_add(&rest, "%u more, of which nothing is known here\n", answer->more);
        put(rest.text, "", 0);
    }
    flush_block();
}
