#include "config.h"

#include "status/snapshot.h"

#include "base/clock.h"
#include "base/process_memory.h"

#include <string.h>
#include <sys/mman.h>

static uint64_t since(uint64_t then, uint64_t now) {
    return now > then ? now - then : 0;
}

/* Returns the place of a call that has run for so long, or NULL if all that are there have run for longer. */
static struct snapshot_call *add_call(struct snapshot *s, uint64_t elapsed) {
    unsigned i = s->call_count;
    struct snapshot_call *place;
    if (i == SNAPSHOT_CALLS) {
        s->calls_more++;
        place = s->calls[--i];
        if (place->elapsed >= elapsed)
            return NULL;
    } else {
        place = &s->call_places[s->call_count++];
    }
    for (; i > 0 && s->calls[i - 1]->elapsed < elapsed; i--)
        s->calls[i] = s->calls[i - 1];
    return s->calls[i] = place;
}

/* Copies the stack of call `i` of the answer. What is equal is there once. `copied`: where those of the calls before it
 * went. */
static void copy_stack(struct snapshot *s, struct inspect_call *call, unsigned i,
                       uint32_t copied[static INSPECT_CALLS]) {
    const struct inspect_answer *a = &s->answer;
    const char *text = inspect_stack(a, &a->calls[i]);
    const size_t n = strlen(text);
    copied[i] = SNAPSHOT_STACKS_SIZE;
    call->stack_len = 0;
    if (!n || !s->source.stacks)
        return;
    for (unsigned other = 0; other < i && copied[i] == SNAPSHOT_STACKS_SIZE; other++) {
        if (a->calls[other].stack == a->calls[i].stack)
            copied[i] = copied[other];
    }
    if (copied[i] == SNAPSHOT_STACKS_SIZE) {
        if (n >= SNAPSHOT_STACKS_SIZE - s->stacks_len)
            return;
        memcpy(s->stacks + s->stacks_len, text, n + 1);
        copied[i] = (uint32_t)s->stacks_len;
        s->stacks_len += n + 1;
    }
    call->stack = copied[i];
    call->stack_len = (uint32_t)n;
}

/* What the process itself has told. Returns false when it has not, for long. */
static bool add_answer(struct snapshot *s, struct snapshot_worker *w, uint64_t now) {
    const struct inspect *inspect = s->source.inspect;
    struct inspect_answer *a = &s->answer;
    struct inspect_head head;
    uint32_t copied[INSPECT_CALLS];
    if (!inspect || !inspect_peek(inspect, w->slot, &head) || head.pid != w->pid ||
        since(head.at, now) > SNAPSHOT_ANSWER_NS || !inspect_read(inspect, w->slot, a))
        return false;
    s->calls_more += a->more;
    w->calls = a->more;
    for (unsigned i = 0; i < a->count; i++) {
        const uint64_t elapsed = since(a->calls[i].begun_at, now), waited = a->calls[i].waited;
        w->calls++;
        w->stuck += elapsed >= SNAPSHOT_STUCK_NS;
        if (waited != INSPECT_NOT_KNOWN && waited > w->lock_waited)
            w->lock_waited = waited;
        struct snapshot_call *c = add_call(s, elapsed);
        copied[i] = SNAPSHOT_STACKS_SIZE;
        if (!c)
            continue;
        *c = (struct snapshot_call){.worker = w->number, .pid = w->pid, .elapsed = elapsed, .call = a->calls[i]};
        copy_stack(s, &c->call, i, copied);
    }
    return true;
}

static void copy_text(char *out, size_t size, const char *from, size_t n) {
    memcpy(out, from, n < size ? n : size - 1); /* behind which there are zero bytes */
}

/* "GET /path?query [ID]", as net/calls.h has put it there. A query may hold secrets. */
static void split_text(struct inspect_call *call, const char text[static SCOREBOARD_TEXT_SIZE]) {
    const size_t n = strnlen(text, SCOREBOARD_TEXT_SIZE - 1);
    const char *end = text + n, *blank = memchr(text, ' ', n);
    copy_text(call->method, sizeof call->method, text, blank ? (size_t)(blank - text) : n);
    if (!blank)
        return;
    const char *path = blank + 1, *id = end > path && end[-1] == ']' ? memrchr(path, '[', (size_t)(end - path)) : NULL;
    if (id && id > path && id[-1] == ' ') {
        copy_text(call->request_id, sizeof call->request_id, id + 1, (size_t)(end - id) - 2);
        end = id - 1;
    }
    for (const char *at = path; at < end; at++) {
        if (*at == '?' || *at == '#')
            end = at;
    }
    copy_text(call->path, sizeof call->path, path, (size_t)(end - path));
}

/* What the scoreboard tells of calls, which is always true, and less. */
static void add_told(struct snapshot *s, struct snapshot_worker *w, uint64_t now) {
    for (unsigned i = 0; i < SCOREBOARD_CALLS; i++) {
        const struct scoreboard_call *told = &s->source.board->calls[w->slot][i];
        const uint64_t begun_at = atomic_load_explicit(&told->begun_at, memory_order_acquire);
        char text[SCOREBOARD_TEXT_SIZE];
        memcpy(text, told->text, sizeof text);
        if (!begun_at || atomic_load_explicit(&told->begun_at, memory_order_acquire) != begun_at)
            continue;
        const uint64_t elapsed = since(begun_at, now);
        w->calls++;
        w->stuck += elapsed >= SNAPSHOT_STUCK_NS;
        struct snapshot_call *c = add_call(s, elapsed);
        if (!c)
            continue;
        *c = (struct snapshot_call){.worker = w->number, .pid = w->pid, .elapsed = elapsed};
        c->call.begun_at = begun_at;
        c->call.queued = c->call.processor = c->call.waited = INSPECT_NOT_KNOWN;
        split_text(&c->call, text);
    }
}

static void add_gauges(struct snapshot_worker *w, const struct metrics *m) {
    w->started_at = metrics_gauge(m, w->slot, METRICS_STARTED_AT);
    w->connections = metrics_gauge(m, w->slot, METRICS_CONNECTIONS);
    w->requests = metrics_gauge(m, w->slot, METRICS_REQUESTS_ACTIVE);
    w->queued = metrics_gauge(m, w->slot, METRICS_REQUESTS_QUEUED);
    w->threads = metrics_gauge(m, w->slot, METRICS_THREADS);
    w->running = metrics_gauge(m, w->slot, METRICS_THREADS_RUNNING);
    w->lost = metrics_gauge(m, w->slot, METRICS_THREADS_LOST);
    w->threads_max = metrics_gauge(m, w->slot, METRICS_THREADS_MAX);
}

static void add_worker(struct snapshot *s, unsigned slot, uint64_t now) {
    const struct scoreboard_slot *told = &s->source.board->slots[slot];
    const uint32_t state = atomic_load_explicit(&told->state, memory_order_relaxed);
    if (state != SCOREBOARD_STARTING && state != SCOREBOARD_SERVING && state != SCOREBOARD_ENDING)
        return;
    struct snapshot_worker *w = &s->workers[s->worker_count++];
    *w = (struct snapshot_worker){
        .slot = slot,
        .number = atomic_load_explicit(&told->number, memory_order_relaxed),
        .generation = atomic_load_explicit(&told->generation, memory_order_relaxed),
        .pid = atomic_load_explicit(&told->pid, memory_order_relaxed),
        .state = (enum scoreboard_state)state,
        .caught = atomic_load_explicit(&told->computing, memory_order_relaxed),
        .full = atomic_load_explicit(&told->full, memory_order_relaxed),
    };
    if (w->pid > 0)
        w->memory = process_memory_resident(w->pid);
    if (s->has_metrics)
        add_gauges(w, s->source.metrics);
    if (!add_answer(s, w, now))
        add_told(s, w, now);
}

static void sort_workers(struct snapshot *s) {
    for (unsigned i = 1; i < s->worker_count; i++) {
        const struct snapshot_worker w = s->workers[i];
        unsigned at = i;
        for (; at > 0 && s->workers[at - 1].number > w.number; at--)
            s->workers[at] = s->workers[at - 1];
        s->workers[at] = w;
    }
}

static uint64_t counted(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_metrics(struct snapshot *s, uint64_t now) {
    const struct metrics *m = s->source.metrics;
    metrics_sum(m, &s->sums);
    s->workers_started = counted(&m->supervisor.workers_started);
    for (unsigned i = 0; i < METRICS_REASON_COUNT; i++)
        s->workers_ended[i] = counted(&m->supervisor.workers_ended[i]);
    s->reloads = counted(&m->supervisor.reloads);
    s->reloads_failed = counted(&m->supervisor.reloads_failed);
    if (!s->source.started_at)
        s->source.started_at = counted(&m->supervisor.started_at);
    s->step_count = SNAPSHOT_STEPS;
    metrics_read_history(m, now, s->steps, SNAPSHOT_STEPS);
    s->steps_at = s->now - since(s->steps[0].step * METRICS_STEP_NS, now);
    metrics_read_paths(m, now, &s->paths);
    s->slowest_count = metrics_top_paths(&s->paths, METRICS_BY_MAX, s->slowest, SNAPSHOT_PATHS);
    s->frequent_count = metrics_top_paths(&s->paths, METRICS_BY_COUNT, s->frequent, SNAPSHOT_PATHS);
    s->end_count = metrics_read_ends(m, s->ends, METRICS_ENDS);
}

/* Of "GET /path?query: refused" the query, up to the next blank but for a mark of the line's own; whoever reads the log
 * may see it, but not all who may see the page. */
static void hide_queries(struct log_ring_line *line) {
    static const char marks[] = ":,;.)]'\"";
    bool in_path = false, in_query = false;
    size_t to = 0;
    for (size_t i = 0; i < line->len; i++) {
        const char c = line->text[i];
        const bool ends = i + 1 == line->len || line->text[i + 1] == ' ' || line->text[i + 1] == '\n';
        if (c == ' ' || c == '\n')
            in_path = in_query = false;
        if (!in_query || (ends && memchr(marks, c, sizeof marks - 1)))
            line->text[to++] = c;
        in_path |= c == '/';
        in_query |= in_path && c == '?';
    }
    line->len = to;
    line->text[to] = '\0';
}

static void add_lines(struct snapshot *s) {
    if (s->source.log)
        s->line_count = log_ring_read(s->source.log, s->lines, SNAPSHOT_LINES);
    for (size_t i = 0; i < s->line_count; i++)
        hide_queries(&s->lines[i]);
}

struct snapshot *snapshot_take(const struct status_source *source) {
    struct snapshot *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s == MAP_FAILED)
        return NULL;
    const uint64_t now = clock_ns();
    s->source = *source;
    s->now = clock_unix_ns();
    s->has_metrics = source->metrics != NULL;
    if (s->has_metrics)
        add_metrics(s, now);
    add_lines(s);
    s->leaving = source->board && atomic_load_explicit(&source->board->leaving, memory_order_relaxed);
    for (unsigned slot = 0; source->board && slot < SCOREBOARD_SLOTS; slot++)
        add_worker(s, slot, now);
    sort_workers(s);
    snapshot_note(s);
    return s;
}

void snapshot_free(struct snapshot *s) {
    munmap(s, sizeof *s);
}

const char *snapshot_state_text(enum scoreboard_state state) {
    switch (state) {
    case SCOREBOARD_FREE:
        break;
    case SCOREBOARD_STARTING:
        return "starting";
    case SCOREBOARD_SERVING:
        return "serving";
    case SCOREBOARD_ENDING:
        return "ending";
    }
    return "unknown";
}

const char *snapshot_stack(const struct snapshot *s, const struct snapshot_call *c) {
    return c->call.stack_len ? s->stacks + c->call.stack : "";
}

const char *const snapshot_thread_names[SNAPSHOT_THREADS] = {"running", "idle", "stuck", "lost"};

void snapshot_threads(const struct snapshot_worker *w, uint64_t counts[static SNAPSHOT_THREADS]) {
    /* A call that is overdue has its place among those that have run for long, and its thread is lost. */
    const uint64_t stuck = since(w->lost, w->stuck);
    counts[SNAPSHOT_LOST] = w->lost;
    counts[SNAPSHOT_STUCK] = stuck < w->running ? stuck : w->running;
    counts[SNAPSHOT_RUNNING] = w->running - counts[SNAPSHOT_STUCK];
    counts[SNAPSHOT_IDLE] = since(w->running + w->lost, w->threads);
}
