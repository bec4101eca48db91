#include "config.h"

#include "ipc/metrics_read.h"

#include "base/hash.h"

#include <string.h>

#define REFUSAL_TEXT(name, text) [METRICS_REFUSED_##name] = text,
const char *const metrics_refusal_names[METRICS_REFUSAL_COUNT] = {METRICS_REFUSALS(REFUSAL_TEXT)};
#undef REFUSAL_TEXT

#define REASON_TEXT(name, text) [METRICS_REASON_##name] = text,
const char *const metrics_reason_names[METRICS_REASON_COUNT] = {METRICS_REASONS(REASON_TEXT)};
#undef REASON_TEXT

static uint64_t get(const _Atomic uint64_t *at) {
    return atomic_load_explicit(at, memory_order_relaxed);
}

/* Bounded: it may have been written over. */
static unsigned used(const struct metrics *m) {
    unsigned n = atomic_load_explicit(&m->used, memory_order_acquire);
    return n < SCOREBOARD_SLOTS ? n : SCOREBOARD_SLOTS;
}

/* One look at all that counts at a moment. */
struct look {
    const struct metrics *m;
    uint32_t state;
    unsigned tries, at;
};

enum { TRIES = 100 }; /* it is enough that the supervisor does nothing for some microseconds */

/* Begins to read, again if need be. Returns whether there is anything to be read: not when what was read is whole. */
static bool look_begins(struct look *look) {
    atomic_thread_fence(memory_order_acquire);
    uint32_t state = atomic_load_explicit(&look->m->state, memory_order_acquire);
    if (look->tries && (state == look->state || look->tries == TRIES))
        return false;
    look->tries++;
    look->at = 0;
    look->state = state;
    return true;
}

/* The next slot to be read, of the past first; NULL: that was all. */
static const struct metrics_slot *look_next(struct look *look) {
    if (look->at == 0) {
        look->at = 1;
        return &look->m->pasts[metrics_state_past(look->state)];
    }
    if (look->at == metrics_state_folded(look->state))
        look->at++;
    return look->at <= used(look->m) ? &look->m->slots[look->at++ - 1].slot : NULL;
}

static void sum_slot(struct metrics_sums *out, const struct metrics_slot *s) {
    for (unsigned i = 0; i < METRICS_COUNTERS; i++)
        out->counters[i] += get(&s->counters[i]);
    for (unsigned i = 0; i < METRICS_GAUGES; i++)
        out->gauges[i] += get(&s->gauges[i]);
    for (unsigned i = 0; i < METRICS_DURATIONS; i++) {
        struct metrics_distribution *d = &out->durations[i];
        for (unsigned j = 0; j < METRICS_BUCKETS; j++) {
            uint64_t n = get(&s->durations[i].counts[j]);
            d->counts[j] += n;
            d->count += n;
        }
        d->sum += get(&s->durations[i].sum);
    }
}

void metrics_sum(const struct metrics *m, struct metrics_sums *out) {
    struct look look = {.m = m};
    const struct metrics_slot *s;
    while (look_begins(&look)) {
        memset(out, 0, sizeof *out);
        while ((s = look_next(&look)))
            sum_slot(out, s);
    }
}

/* The duration in the middle of what is left of a bucket: `rank` of its `count`, from 1. */
static uint64_t within(uint64_t from, uint64_t to, uint64_t rank, uint64_t count) {
    return from + (uint64_t)((double)(to - from) * (double)rank / (double)count);
}

/* Which one of `count` it is, from 1. */
static uint64_t rank_of(double share, uint64_t count) {
    uint64_t rank = (uint64_t)(share * (double)count + 0.999999);
    return rank < 1 ? 1 : rank > count ? count : rank;
}

uint64_t metrics_quantile(const struct metrics_distribution *d, double share) {
    if (!d->count)
        return 0;
    uint64_t rank = rank_of(share, d->count), before = 0;
    for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
        if (before + d->counts[i] >= rank)
            return within(metrics_bucket_start(i), metrics_bucket_start(i + 1), rank - before, d->counts[i]);
        before += d->counts[i];
    }
    return 0;
}

uint64_t metrics_up_to(const struct metrics_distribution *d, uint64_t ns) {
    uint64_t count = 0;
    for (unsigned i = 0; i < METRICS_BUCKETS && metrics_bucket_start(i + 1) <= ns; i++)
        count += d->counts[i];
    return count;
}

/* The history. */

struct step_sum {
    uint64_t requests, errors, durations[METRICS_COARSE_BUCKETS];
};

static void add_step(struct step_sum *sum, const struct metrics_slot *s, uint64_t number) {
    const struct metrics_step *step = &s->history.steps[number % METRICS_STEPS];
    if (atomic_load_explicit(&step->number, memory_order_acquire) != number)
        return;
    sum->errors += get(&step->errors);
    for (unsigned i = 0; i < METRICS_COARSE_BUCKETS; i++)
        sum->durations[i] += atomic_load_explicit(&step->durations[i], memory_order_relaxed);
}

static uint64_t beyond(uint64_t all, uint64_t mark) {
    return all > mark ? all - mark : 0; /* it may have been marked in between */
}

/* What the latest step of a process has so far. */
static void add_latest(struct step_sum *sum, const struct metrics_slot *s, uint64_t number) {
    const struct metrics_history *h = &s->history;
    if (get(&h->step) != number)
        return;
    uint64_t errors = 0;
    for (unsigned i = 0; i < METRICS_PROTOCOL_COUNT; i++)
        errors += get(&s->counters[METRICS_REQUESTS + i * METRICS_CLASS_COUNT + 5]);
    sum->errors += beyond(errors, get(&h->mark_errors));
    for (unsigned i = 0; i < METRICS_COARSE_BUCKETS; i++) {
        uint64_t mark = get(&h->mark_durations[i]), all = 0;
        for (unsigned j = 0; j < METRICS_COARSE; j++)
            all += get(&s->durations[METRICS_REQUEST].counts[i * METRICS_COARSE + j]);
        sum->durations[i] += beyond(all, mark);
    }
}

static uint64_t coarse_quantile(const struct step_sum *sum, double share) {
    uint64_t before = 0, rank = rank_of(share, sum->requests);
    for (unsigned i = 0; i < METRICS_COARSE_BUCKETS; i++) {
        if (sum->durations[i] && before + sum->durations[i] >= rank)
            return within(metrics_bucket_start(i * METRICS_COARSE), metrics_bucket_start((i + 1) * METRICS_COARSE),
                          rank - before, sum->durations[i]);
        before += sum->durations[i];
    }
    return 0;
}

static void read_step(const struct metrics *m, uint64_t number, struct metrics_moment *out) {
    struct step_sum sum;
    struct look look = {.m = m};
    const struct metrics_slot *s;
    while (look_begins(&look)) {
        memset(&sum, 0, sizeof sum);
        while ((s = look_next(&look))) {
            add_step(&sum, s, number);
            add_latest(&sum, s, number);
        }
    }
    for (unsigned i = 0; i < METRICS_COARSE_BUCKETS; i++)
        sum.requests += sum.durations[i];
    *out = (struct metrics_moment){number, sum.requests, sum.errors, 0, 0};
    if (sum.requests) {
        out->p50 = coarse_quantile(&sum, 0.5);
        out->p99 = coarse_quantile(&sum, 0.99);
    }
}

void metrics_read_history(const struct metrics *m, uint64_t now, struct metrics_moment *out, unsigned n) {
    uint64_t latest = now / METRICS_STEP_NS;
    for (unsigned i = 0; i < n; i++) {
        uint64_t ago = n - 1 - i;
        if (ago < latest && ago < METRICS_STEPS - 1)
            read_step(m, latest - ago, &out[i]);
        else
            out[i] = (struct metrics_moment){0};
    }
}

/* Paths. */

static struct metrics_path_sum *gather(struct metrics_path_table *table, const char *text) {
    for (uint64_t at = hash_bytes(0, text, strlen(text));; at++) {
        uint16_t *place = &table->places[at % (2 * METRICS_PATHS_KEPT)];
        if (*place && !strcmp(table->paths[*place - 1].text, text))
            return &table->paths[*place - 1];
        if (*place)
            continue;
        if (table->count == METRICS_PATHS_KEPT)
            return NULL;
        struct metrics_path_sum *sum = &table->paths[table->count++];
        *place = (uint16_t)table->count;
        *sum = (struct metrics_path_sum){0};
        memcpy(sum->text, text, sizeof sum->text);
        return sum;
    }
}

static void add_path(struct metrics_path_table *table, const struct metrics_path *p, uint64_t epoch, uint64_t present) {
    char text[METRICS_PATH_SIZE];
    if (!atomic_load_explicit(&p->named, memory_order_acquire))
        return;
    uint32_t key = atomic_load_explicit(&p->key, memory_order_relaxed);
    memcpy(text, p->text, sizeof text);
    text[sizeof text - 1] = '\0';
    uint64_t count = 0, sum = 0, max = 0;
    for (unsigned i = 0; i < 2; i++) {
        const struct metrics_path_half *half = &p->halves[i];
        if (epoch != present && i != epoch % 2)
            continue;
        count += get(&half->count);
        sum += get(&half->sum);
        max = get(&half->max) > max ? get(&half->max) : max;
    }
    atomic_thread_fence(memory_order_acquire);
    if (!count || !atomic_load_explicit(&p->named, memory_order_relaxed) ||
        atomic_load_explicit(&p->key, memory_order_relaxed) != key)
        return;
    struct metrics_path_sum *to = gather(table, text);
    if (!to)
        return;
    to->count += count;
    to->sum += sum;
    to->max = max > to->max ? max : to->max;
}

static void add_paths(struct metrics_path_table *table, const struct metrics_paths *paths, uint64_t present) {
    uint64_t epoch = get(&paths->epoch);
    if (epoch != present && epoch + 1 != present)
        return;
    for (unsigned i = 0; i < METRICS_FREQUENT; i++)
        add_path(table, &paths->frequent[i], epoch, present);
    for (unsigned i = 0; i < METRICS_SLOW; i++)
        add_path(table, &paths->slow[i], epoch, present);
}

static bool is_before(const struct metrics_path_sum *a, const struct metrics_path_sum *b,
                      enum metrics_path_order order) {
    return order == METRICS_BY_COUNT ? a->count > b->count : a->max > b->max;
}

void metrics_read_paths(const struct metrics *m, uint64_t now, struct metrics_path_table *out) {
    uint64_t present = now / METRICS_STEP_NS / METRICS_EPOCH_STEPS;
    struct look look = {.m = m};
    const struct metrics_slot *s;
    while (look_begins(&look)) {
        out->count = 0;
        memset(out->places, 0, sizeof out->places);
        while ((s = look_next(&look)))
            add_paths(out, &s->paths, present);
    }
}

unsigned metrics_top_paths(const struct metrics_path_table *table, enum metrics_path_order order,
                           const struct metrics_path_sum **out, unsigned n) {
    unsigned found = 0;
    for (unsigned i = 0; i < table->count; i++) {
        unsigned at = found < n ? found++ : n;
        for (; at > 0 && is_before(&table->paths[i], out[at - 1], order); at--) {
            if (at < n)
                out[at] = out[at - 1];
        }
        if (at < n)
            out[at] = &table->paths[i];
    }
    return found;
}

/* Workers that have ended. */

static bool read_end(const struct metrics_worker_end *from, struct metrics_end_told *to) {
    to->at = atomic_load_explicit(&from->at, memory_order_acquire);
    to->number = atomic_load_explicit(&from->number, memory_order_relaxed);
    to->pid = atomic_load_explicit(&from->pid, memory_order_relaxed);
    uint32_t reason = atomic_load_explicit(&from->reason, memory_order_relaxed);
    to->reason = reason < METRICS_REASON_COUNT ? (enum metrics_reason)reason : METRICS_REASON_OTHER;
    memcpy(to->text, from->text, sizeof to->text);
    to->text[sizeof to->text - 1] = '\0';
    atomic_thread_fence(memory_order_acquire);
    return to->at && atomic_load_explicit(&from->at, memory_order_relaxed) == to->at;
}

unsigned metrics_read_ends(const struct metrics *m, struct metrics_end_told *out, unsigned n) {
    uint64_t told = get(&m->supervisor.ends_told);
    unsigned found = 0;
    for (uint64_t i = 1; i <= METRICS_ENDS && found < n; i++) {
        if (i <= told && read_end(&m->supervisor.ends[(told - i) % METRICS_ENDS], &out[found]))
            found++;
    }
    return found;
}
