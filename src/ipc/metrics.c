#include "config.h"

#include "ipc/metrics.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* Another number of counters leaves all sizes as they are, since slots have room at their ends. */
static const struct shared_memory_kind kind = {.name = "wsgi-fcgi metrics",
                                               .head = {.magic = 0x7766736d /* "wfsm" */,
                                                        .version = METRICS_VERSION,
                                                        .size = sizeof(struct metrics),
                                                        .count = SCOREBOARD_SLOTS}};

/* Life. */

struct metrics *metrics_new(int *fd) {
    return shared_memory_new(&kind, fd);
}

struct metrics *metrics_map(int fd, bool writes) {
    struct metrics *m = shared_memory_map(&kind, fd);
    if (!m || writes || !mprotect(m, sizeof *m, PROT_READ))
        return m;
    int error = errno;
    metrics_unmap(m);
    errno = error;
    return NULL;
}

void metrics_unmap(struct metrics *m) {
    shared_memory_unmap(&kind, m);
}

struct metrics_slot *metrics_map_slot(int fd, unsigned slot) {
    off_t offset = (off_t)offsetof(struct metrics, slots) + (off_t)slot * METRICS_SLOT_SIZE;
    void *memory = mmap(NULL, METRICS_SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    return memory == MAP_FAILED ? NULL : memory;
}

void metrics_unmap_slot(struct metrics_slot *s) {
    munmap(s, METRICS_SLOT_SIZE);
}

/* Numbers that one thread alone writes, or nobody any more. */

static uint64_t get(const _Atomic uint64_t *at) {
    return atomic_load_explicit(at, memory_order_relaxed);
}

static void set(_Atomic uint64_t *at, uint64_t value) {
    atomic_store_explicit(at, value, memory_order_relaxed);
}

static void add(_Atomic uint64_t *at, uint64_t n) {
    set(at, get(at) + n);
}

/* The history. */

static uint32_t coarse(const struct metrics_slot *s, unsigned i, uint64_t *all) {
    const _Atomic uint64_t *counts = &s->durations[METRICS_REQUEST].counts[i * METRICS_COARSE];
    const struct metrics_history *h = &s->history;
    *all = 0;
    for (unsigned j = 0; j < METRICS_COARSE; j++)
        *all += get(&counts[j]);
    return (uint32_t)(*all - get(&h->mark_durations[i]));
}

static uint64_t count_errors(const struct metrics_slot *s) {
    uint64_t errors = 0;
    for (unsigned i = 0; i < METRICS_PROTOCOL_COUNT; i++)
        errors += get(&s->counters[METRICS_REQUESTS + i * METRICS_CLASS_COUNT + 5]);
    return errors;
}

/* The place of a step. What stood there is over. */
static struct metrics_step *take_step(struct metrics_history *h, uint64_t number) {
    struct metrics_step *step = &h->steps[number % METRICS_STEPS];
    if (get(&step->number) == number)
        return step;
    set(&step->number, 0);
    set(&step->errors, 0);
    for (unsigned i = 0; i < METRICS_COARSE_BUCKETS; i++)
        atomic_store_explicit(&step->durations[i], 0, memory_order_relaxed);
    atomic_store_explicit(&step->number, number, memory_order_release);
    return step;
}

/* Writes what has happened in the latest step to its place, and marks where the next one begins. */
static void end_step(struct metrics_slot *s) {
    struct metrics_history *h = &s->history;
    struct metrics_step *step = take_step(h, get(&h->step));
    uint64_t errors = count_errors(s), all;
    add(&step->errors, errors - get(&h->mark_errors));
    set(&h->mark_errors, errors);
    for (unsigned i = 0; i < METRICS_COARSE_BUCKETS; i++) {
        uint32_t n = coarse(s, i, &all);
        if (!n)
            continue;
        n += atomic_load_explicit(&step->durations[i], memory_order_relaxed);
        atomic_store_explicit(&step->durations[i], n, memory_order_relaxed);
        set(&h->mark_durations[i], all);
    }
}

/* Paths. */

static uint64_t longest(const struct metrics_path *p) {
    uint64_t one = get(&p->halves[0].max), other = get(&p->halves[1].max);
    return one > other ? one : other;
}

static bool is_empty(const struct metrics_path *p) {
    return !get(&p->halves[0].count) && !get(&p->halves[1].count);
}

static void clear_half(struct metrics_path_half *half) {
    set(&half->count, 0);
    set(&half->sum, 0);
    set(&half->max, 0);
}

static void forget(struct metrics_path *p) {
    atomic_store_explicit(&p->named, 0, memory_order_relaxed);
    atomic_store_explicit(&p->key, 0, memory_order_relaxed);
    atomic_store_explicit(&p->standing, 0, memory_order_relaxed);
    clear_half(&p->halves[0]);
    clear_half(&p->halves[1]);
}

/* The place of `slow` whose longest request is the shortest; an empty one first. */
static struct metrics_path *shortest(struct metrics_paths *paths) {
    struct metrics_path *least = &paths->slow[0];
    for (unsigned i = 1; i < METRICS_SLOW; i++) {
        if (longest(&paths->slow[i]) < longest(least))
            least = &paths->slow[i];
    }
    return least;
}

static void age(struct metrics_path *p, unsigned half, bool both) {
    clear_half(&p->halves[half]);
    if (both)
        clear_half(&p->halves[!half]);
    if (is_empty(p))
        forget(p);
}

static void epoch_begins(struct metrics_paths *paths, uint64_t epoch) {
    uint64_t before = get(&paths->epoch);
    if (epoch == before)
        return;
    for (unsigned i = 0; i < METRICS_FREQUENT; i++)
        age(&paths->frequent[i], epoch % 2, epoch != before + 1);
    for (unsigned i = 0; i < METRICS_SLOW; i++)
        age(&paths->slow[i], epoch % 2, epoch != before + 1);
    set(&paths->slow_from, longest(shortest(paths)));
    set(&paths->epoch, epoch);
}

void metrics_step_begins(struct metrics_slot *s, uint64_t step) {
    if (get(&s->history.step))
        end_step(s);
    set(&s->history.step, step);
    epoch_begins(&s->paths, step / METRICS_EPOCH_STEPS);
}

static void copy_half(struct metrics_path_half *to, const struct metrics_path_half *from) {
    set(&to->count, get(&from->count));
    set(&to->sum, get(&from->sum));
    set(&to->max, get(&from->max));
}

static void begin_naming(struct metrics_path *p) {
    forget(p);
    atomic_thread_fence(memory_order_release);
}

static void end_naming(struct metrics_path *p, uint32_t key, const char *text) {
    snprintf(p->text, sizeof p->text, "%s", text);
    atomic_store_explicit(&p->key, key, memory_order_relaxed);
    atomic_store_explicit(&p->standing, 1, memory_order_relaxed);
    atomic_store_explicit(&p->named, 1, memory_order_release);
}

/* Another path is about to take this place of `frequent`: if it was among the slowest, it remains there. */
static void move_to_slow(struct metrics_paths *paths, const struct metrics_path *p) {
    struct metrics_path *to = shortest(paths);
    if (!atomic_load_explicit(&p->named, memory_order_relaxed) || longest(p) <= longest(to))
        return;
    begin_naming(to);
    copy_half(&to->halves[0], &p->halves[0]);
    copy_half(&to->halves[1], &p->halves[1]);
    end_naming(to, atomic_load_explicit(&p->key, memory_order_relaxed), p->text);
}

static struct metrics_path *count_slow(struct metrics_paths *paths, uint32_t key, uint64_t ns) {
    for (unsigned i = 0; i < METRICS_SLOW; i++) {
        struct metrics_path *p = &paths->slow[i];
        if (atomic_load_explicit(&p->key, memory_order_relaxed) != key || is_empty(p))
            continue;
        metrics_path_add(p, get(&paths->epoch), ns);
        set(&paths->slow_from, longest(shortest(paths)));
        return NULL;
    }
    return ns > get(&paths->slow_from) ? shortest(paths) : NULL;
}

struct metrics_path *metrics_count_other(struct metrics_slot *s, uint32_t key, uint64_t ns) {
    struct metrics_path *p = &s->paths.frequent[key % METRICS_FREQUENT];
    uint32_t standing = atomic_load_explicit(&p->standing, memory_order_relaxed);
    if (!standing) {
        move_to_slow(&s->paths, p);
        return p;
    }
    atomic_store_explicit(&p->standing, standing - 1, memory_order_relaxed);
    return count_slow(&s->paths, key, ns);
}

void metrics_name_path(struct metrics_slot *s, struct metrics_path *p, uint32_t key, uint64_t ns, const char *text) {
    begin_naming(p);
    metrics_path_add(p, get(&s->paths.epoch), ns);
    end_naming(p, key, text);
    set(&s->paths.slow_from, longest(shortest(&s->paths)));
}

/* The past. Of a slot nothing is believed: it may say that it is from the future. */

static void fold_history(struct metrics_history *past, struct metrics_slot *s, uint64_t present) {
    if (get(&s->history.step))
        end_step(s);
    for (unsigned i = 0; i < METRICS_STEPS; i++) {
        const struct metrics_step *from = &s->history.steps[i];
        uint64_t number = get(&from->number);
        if (!number || number > present || get(&past->steps[number % METRICS_STEPS].number) > number)
            continue;
        struct metrics_step *to = take_step(past, number);
        add(&to->errors, get(&from->errors));
        for (unsigned j = 0; j < METRICS_COARSE_BUCKETS; j++)
            atomic_store_explicit(&to->durations[j], to->durations[j] + from->durations[j], memory_order_relaxed);
    }
}

static void add_half(struct metrics_path_half *to, const struct metrics_path_half *from) {
    add(&to->count, get(&from->count));
    add(&to->sum, get(&from->sum));
    if (get(&from->max) > get(&to->max))
        set(&to->max, get(&from->max));
}

static struct metrics_path *find_path(struct metrics_path *paths, unsigned n, const char *text) {
    for (unsigned i = 0; i < n; i++) {
        if (paths[i].named && !strcmp(paths[i].text, text))
            return &paths[i];
    }
    return NULL;
}

static uint64_t count_of(const struct metrics_path *p) {
    return get(&p->halves[0].count) + get(&p->halves[1].count);
}

/* A place in the past for what is not there yet, or NULL. */
static struct metrics_path *make_place(struct metrics_paths *past, const struct metrics_path *from, bool slow) {
    struct metrics_path *least = slow ? shortest(past) : &past->frequent[0];
    for (unsigned i = 1; !slow && i < METRICS_FREQUENT; i++) {
        if (count_of(&past->frequent[i]) < count_of(least))
            least = &past->frequent[i];
    }
    if (slow ? longest(from) <= longest(least) : count_of(from) <= count_of(least))
        return NULL;
    if (!slow)
        move_to_slow(past, least);
    begin_naming(least);
    return least;
}

static void fold_path(struct metrics_paths *past, const struct metrics_path *from, bool slow) {
    char text[METRICS_PATH_SIZE]; /* a child of the process that has ended may write there still */
    memcpy(text, from->text, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct metrics_path *to = find_path(past->frequent, METRICS_FREQUENT, text);
    if (!to)
        to = find_path(past->slow, METRICS_SLOW, text);
    bool is_new = !to;
    if (is_new && !(to = make_place(past, from, slow)))
        return;
    add_half(&to->halves[0], &from->halves[0]);
    add_half(&to->halves[1], &from->halves[1]);
    if (is_new)
        end_naming(to, 0, text);
}

static void fold_paths(struct metrics_paths *past, struct metrics_paths *s, uint64_t present) {
    epoch_begins(past, present);
    if (get(&s->epoch) > present)
        return;
    epoch_begins(s, present); /* leaves what is of the last ten minutes, and puts it into the same halves */
    for (unsigned i = 0; i < METRICS_FREQUENT; i++) {
        if (s->frequent[i].named && !is_empty(&s->frequent[i]))
            fold_path(past, &s->frequent[i], false);
    }
    for (unsigned i = 0; i < METRICS_SLOW; i++) {
        if (s->slow[i].named && !is_empty(&s->slow[i]))
            fold_path(past, &s->slow[i], true);
    }
}

static void add_up(struct metrics_slot *past, struct metrics_slot *s) {
    uint64_t step = clock_ns() / METRICS_STEP_NS;
    for (unsigned i = 0; i < METRICS_COUNTERS; i++)
        add(&past->counters[i], get(&s->counters[i]));
    for (unsigned i = 0; i < METRICS_DURATIONS; i++) {
        struct metrics_histogram *to = &past->durations[i], *from = &s->durations[i];
        for (unsigned j = 0; j < METRICS_BUCKETS; j++)
            add(&to->counts[j], get(&from->counts[j]));
        add(&to->sum, get(&from->sum));
    }
    fold_history(&past->history, s, step);
    fold_paths(&past->paths, &s->paths, step / METRICS_EPOCH_STEPS);
}

static void clear(struct metrics_slot *s) {
    if (madvise(s, METRICS_SLOT_SIZE, MADV_REMOVE))
        memset(s, 0, METRICS_SLOT_SIZE);
}

void metrics_use(struct metrics *m, unsigned slot) {
    if (slot >= m->used)
        atomic_store(&m->used, slot + 1);
}

/* What is written afterwards is not seen by who still finds the state before. */
static void change_state(struct metrics *m, unsigned folded, unsigned past) {
    atomic_store(&m->state, metrics_state_make(atomic_load(&m->state), folded, past));
    atomic_thread_fence(memory_order_seq_cst);
}

void metrics_fold(struct metrics *m, unsigned slot) {
    unsigned past = !metrics_state_past(atomic_load(&m->state));
    struct metrics_slot *s = &m->slots[slot].slot;
    memcpy(&m->pasts[past], &m->pasts[!past], sizeof *s);
    add_up(&m->pasts[past], s);
    change_state(m, slot + 1, past);
    clear(s);
    change_state(m, 0, past);
    /* The supervisor is to stay small: what it has read goes out of its memory, not out of the file. */
    (void)madvise(m, offsetof(struct metrics, slots), MADV_DONTNEED);
}

void metrics_worker_ended(struct metrics *m, uint64_t now, unsigned number, int pid, enum metrics_reason reason,
                          const char *text) {
    struct metrics_supervisor *s = &m->supervisor;
    struct metrics_worker_end *end = &s->ends[get(&s->ends_told) % METRICS_ENDS];
    metrics_count(&s->workers_ended[reason]);
    atomic_store(&end->at, 0);
    atomic_store(&end->number, number);
    atomic_store(&end->reason, reason);
    atomic_store(&end->pid, pid);
    snprintf(end->text, sizeof end->text, "%s", text);
    atomic_store(&end->at, now);
    metrics_count(&s->ends_told);
}
