#include "config.h"

#include "process/memory_growth.h"

#include "base/ascii.h"
#include "base/text_line.h"

#define MIB (UINT64_C(1) << 20)

enum {
    GROWN_PART = 30, /* of what there was: less may come and go */
    OTHER_PART = 10, /* of the growth: less is nothing */
};

/* "12.3 MiB" */
static void add_size(struct text_line *l, uint64_t bytes) {
    const uint64_t tenths = (bytes * 10 + MIB / 2) / MIB;
    text_line_add(l, "%llu.%llu MiB", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10));
}

static uint64_t grown(const struct memory_growth *g) {
    return g->after > g->before ? g->after - g->before : 0;
}

static void add_places(struct text_line *l, const struct allocations *found) {
    for (unsigned i = 0; i < found->count; i++) {
        const struct allocations_line *at = &found->lines[i];
        if (at->line)
            text_line_add(l, "  File \"%s\", line %u: ", at->file, at->line);
        else
            text_line_add(l, "  outside of code in Python: ");
        add_size(l, at->bytes);
        text_line_add(l, " in %llu block%s\n", (unsigned long long)at->blocks, ascii_plural(at->blocks));
    }
}

/* The rest was allocated where Python does not see it; or it was Python's, and is free, but not for the system. */
static void add_other(struct text_line *l, const struct memory_growth *g) {
    const struct allocations *found = &g->found;
    const uint64_t by = grown(g);
    if (found->bytes >= by || by - found->bytes < by / OTHER_PART || by < MIB)
        return;
    const uint64_t freed = found->peak - found->bytes;
    if (found->peak > found->bytes && freed >= (by - found->bytes) / 2) {
        text_line_add(l, "; up to ");
        add_size(l, found->peak);
        text_line_add(l, " were in use by it at a time, and what it frees may stay with the process");
        return;
    }
    text_line_add(l, "; ");
    add_size(l, by - found->bytes);
    text_line_add(l, " were allocated elsewhere (C extensions, libraries)");
}

static void add_found(struct text_line *l, const struct memory_growth *g) {
    const struct allocations *found = &g->found;
    const char *whose = g->result == ALLOCATIONS_FOREIGN ? "since the application has begun to trace memory itself, "
                                                         : "of what came since ";
    if (g->result == ALLOCATIONS_MANY) {
        text_line_add(l, "; Python holds ");
        add_size(l, found->bytes);
        text_line_add(l, " in too many blocks for a list of them (%llu)", (unsigned long long)found->blocks);
        return;
    }
    if (g->result == ALLOCATIONS_FAILED) {
        text_line_add(l, "; which lines have allocated it cannot be told: tracemalloc has failed, or was stopped");
        return;
    }
    if (g->result == ALLOCATIONS_OK && grown(g) >= MIB && found->bytes < grown(g) / OTHER_PART)
        text_line_add(l, "; none of it by Python");
    else {
        text_line_add(l, "; %sPython holds ", whose);
        add_size(l, found->bytes);
    }
    add_other(l, g);
}

enum log_level memory_growth_describe(const struct memory_growth *g, char line[static MEMORY_GROWTH_LINE_SIZE],
                                      char block[static MEMORY_GROWTH_BLOCK_SIZE]) {
    struct text_line l = text_line_in(line, MEMORY_GROWTH_LINE_SIZE);
    struct text_line places = text_line_in(block, MEMORY_GROWTH_BLOCK_SIZE);
    char seconds[ASCII_SECONDS_SIZE];
    const bool much = grown(g) >= g->before / GROWN_PART;
    ascii_put_seconds(seconds, (double)(g->ns / 100000000) / 10);
    text_line_add(&l, "memory has grown by ");
    add_size(&l, grown(g));
    text_line_add(&l, " in %s s (--trace-memory), to ", seconds);
    add_size(&l, g->after);
    add_found(&l, g);
    if (!much)
        text_line_add(&l, "; that is little, and what leaks may not be told from what comes and goes: let "
                          "--trace-memory be longer");
    add_places(&places, &g->found);
    if (*block)
        text_line_add(&l, "; most at:");
    return much ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;
}
