#include "config.h"

#include "top/view.h"

#include "top/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What runs, in order. */

static int compare(double a, double b) {
    return a < b ? 1 : a > b ? -1 : 0;
}

static int by_time(const void *a, const void *b) {
    const json_t *const *x = a, *const *y = b;
    return compare(doc_number(*x, "seconds", 0), doc_number(*y, "seconds", 0));
}

static int by_cpu(const void *a, const void *b) {
    const json_t *const *x = a, *const *y = b;
    int order = compare(doc_number(*x, "cpu_seconds", 0), doc_number(*y, "cpu_seconds", 0));
    return order ? order : by_time(a, b);
}

static int by_path(const void *a, const void *b) {
    const json_t *const *x = a, *const *y = b;
    int order = strcmp(doc_text(*x, "path"), doc_text(*y, "path"));
    return order ? order : by_time(a, b);
}

static const struct {
    const char *name;
    int (*compare)(const void *a, const void *b);
} orders[VIEW_ORDERS] = {{"time", by_time}, {"CPU time", by_cpu}, {"path", by_path}};

const char *view_order_name(enum view_order order) {
    return orders[order].name;
}

unsigned view_running(const struct view *v, const json_t *sorted[static VIEW_RUNNING_MOST]) {
    const json_t *all = doc_at(v->doc, "running"), *one;
    unsigned count = 0;
    size_t index;
    json_array_foreach(all, index, one) {
        if (count < VIEW_RUNNING_MOST)
            sorted[count++] = one;
    }
    qsort(sorted, count, sizeof *sorted, orders[v->order].compare);
    return count;
}

int view_find(const struct view *v, double pid, double thread, const char *path) {
    const json_t *sorted[VIEW_RUNNING_MOST];
    unsigned count = view_running(v, sorted);
    for (unsigned i = 0; i < count; i++) {
        if (doc_number(sorted[i], "pid", 0) == pid && doc_number(sorted[i], "thread", 0) == thread &&
            !strcmp(doc_text(sorted[i], "path"), path))
            return (int)i;
    }
    return -1;
}

/* Pieces. */

static void heading(struct page *p, const char *text) {
    page_end_line(p);
    page_style(p, PAGE_HEADING);
    page_print(p, "%s", text);
    page_style(p, PAGE_PLAIN);
}

static void put_seconds(struct page *p, double seconds, unsigned columns) {
    char text[NUMBER_SIZE];
    page_cell(p, number_seconds(text, seconds), columns, true);
}

static void put_number(struct page *p, double number, unsigned columns) {
    char text[NUMBER_SIZE];
    page_cell(p, number_plain(text, number), columns, true);
}

/* A number that should be 0. */
static void put_bad(struct page *p, double number, unsigned columns) {
    if (number > 0)
        page_style(p, PAGE_BAD);
    put_number(p, number, columns);
    page_style(p, PAGE_PLAIN);
}

/* UTC, as nobody knows where the server is. */
static void put_time(struct page *p, double at) {
    uint64_t s = at > 0 && at < 1e12 ? (uint64_t)at % 86400 : 0;
    page_print(p, "%02u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}

/* Head. */

static void put_head(struct page *p, const struct view *v) {
    const json_t *server = doc_at(v->doc, "server");
    char text[NUMBER_SIZE];
    double now = doc_number(server, "now", -1), begun = doc_number(server, "started_at", -1);
    page_style(p, PAGE_HEADING);
    page_print(p, "wsgi-fcgi ");
    page_put(p, doc_text(server, "version"));
    page_print(p, "  ");
    page_put(p, doc_text(server, "application"));
    page_style(p, PAGE_PLAIN);
    page_print(p, "  pid %lld  up %s  Python ", doc_integer(server, "pid", 0),
               number_seconds(text, begun > 0 ? now - begun : -1));
    page_put(p, doc_text(server, "python"));
    page_print(p, "  ");
    put_time(p, now);
    page_print(p, " UTC");
    page_end_line(p);
}

/* Rates. */

static double sum_of(const json_t *doc, const char *name) {
    return doc_sum(doc_at(doc_at(doc, "totals"), name));
}

static long long count_of(const json_t *doc, const char *name) {
    double sum = sum_of(doc, name);
    return sum > 0 && sum < 1e15 ? (long long)sum : 0;
}

struct rates {
    double requests, errors; /* per second; negative: not known */
    double p50, p99;
};

/* Of the last minute, as far as the history goes. The bucket that is being filled does not count unless it is the only
 * one. */
static struct rates of_history(const json_t *doc) {
    const json_t *history = doc_at(doc, "history"), *buckets = doc_at(history, "buckets");
    double seconds = doc_number(history, "seconds", 5), requests = 0, errors = 0, time = 0;
    size_t count = json_array_size(buckets), last = count > 1 ? count - 1 : count;
    struct rates r = {-1, -1, -1, -1};
    for (size_t i = last; i > 0 && time < 60; i--) {
        const json_t *bucket = json_array_get(buckets, i - 1);
        requests += doc_number(bucket, "requests", 0);
        errors += doc_number(bucket, "errors", 0);
        time += seconds > 0 ? seconds : 5;
        if (r.p99 < 0 && doc_number(bucket, "requests", 0) > 0) {
            r.p50 = doc_number(bucket, "p50", -1);
            r.p99 = doc_number(bucket, "p99", -1);
        }
    }
    if (time > 0) {
        r.requests = requests / time;
        r.errors = errors / time;
    }
    return r;
}

static double errors_of(const json_t *requests) {
    double sum = 0;
    const char *key;
    json_t *member;
    if (json_is_object(requests)) {
        json_object_foreach((json_t *)(uintptr_t)requests, key, member) {
            sum += !strcmp(key, "5xx") ? doc_sum(member) : errors_of(member);
        }
    }
    return sum;
}

/* Since the document before, if it is of the same server. */
static void since_before(const struct view *v, struct rates *r) {
    const json_t *now = doc_at(v->doc, "server"), *then = doc_at(v->before, "server");
    double time = doc_number(now, "now", 0) - doc_number(then, "now", 0);
    double requests = sum_of(v->doc, "requests_total") - sum_of(v->before, "requests_total");
    const json_t *totals = doc_at(v->doc, "totals"), *before = doc_at(v->before, "totals");
    if (!v->before || !(time > 0) || requests < 0 ||
        doc_number(now, "started_at", 0) != doc_number(then, "started_at", 0))
        return;
    r->requests = requests / time;
    r->errors = (errors_of(doc_at(totals, "requests_total")) - errors_of(doc_at(before, "requests_total"))) / time;
}

static void put_rates(struct page *p, const struct view *v) {
    struct rates r = of_history(v->doc);
    const json_t *all = doc_at(doc_at(v->doc, "histograms"), "request_duration_seconds");
    char text[4][NUMBER_SIZE];
    since_before(v, &r);
    if (r.p99 < 0) {
        r.p50 = doc_number(all, "p50", -1);
        r.p99 = doc_number(all, "p99", -1);
    }
    page_print(p, "%s requests/s, ", number_plain(text[0], r.requests));
    if (r.errors > 0)
        page_style(p, PAGE_BAD);
    page_print(p, "%s errors/s", number_plain(text[1], r.errors));
    page_style(p, PAGE_PLAIN);
    page_print(p, ", p50 %s, p99 %s, %lld connections, ", number_seconds(text[2], r.p50),
               number_seconds(text[3], r.p99), count_of(v->doc, "connections"));
    long long queued = count_of(v->doc, "requests_queued");
    if (queued > 0)
        page_style(p, PAGE_WARNING);
    page_print(p, "%lld queued", queued);
    page_style(p, PAGE_PLAIN);
    page_end_line(p);
}

enum { BARS_MOST = 120, BARS_BEGIN = 12, BARS_BEHIND = 14 };

static void put_bars(struct page *p, const struct view *v, const char *name, const char *key) {
    const json_t *buckets = doc_at(doc_at(v->doc, "history"), "buckets");
    double values[BARS_MOST], most = 0, seconds = doc_number(doc_at(v->doc, "history"), "seconds", 5);
    bool rate = !strcmp(key, "requests");
    size_t count = json_array_size(buckets), room = p->width - BARS_BEGIN;
    room = room > BARS_BEHIND + 8 ? room - BARS_BEHIND : room;
    room = room < BARS_MOST ? room : BARS_MOST;
    unsigned shown = (unsigned)(count < room ? count : room);
    char text[NUMBER_SIZE];
    if (!shown)
        return;
    for (unsigned i = 0; i < shown; i++) {
        values[i] = doc_number(json_array_get(buckets, count - shown + i), key, -1) / (rate ? seconds : 1);
        most = values[i] > most ? values[i] : most;
    }
    page_cell(p, name, BARS_BEGIN, false);
    page_bars(p, values, shown, most);
    page_print(p, " to %s", rate ? number_plain(text, most) : number_seconds(text, most));
    page_end_line(p);
}

/* What the server itself thinks that somebody should know first. */
static void put_notes(struct page *p, const struct view *v) {
    const json_t *notes = doc_at(v->doc, "notes"), *note;
    size_t index;
    json_array_foreach(notes, index, note) {
        const char *text = json_string_value(note);
        if (v->rows && index >= v->rows / 6 + 1)
            break;
        page_style(p, PAGE_BAD);
        page_print(p, "! ");
        page_put(p, text ? text : "");
        page_style(p, PAGE_PLAIN);
        page_end_line(p);
    }
}

/* What runs. */

static enum page_style style_of_state(const char *state) {
    return !strcmp(state, "computing") ? PAGE_WARNING : !strcmp(state, "waiting for the lock") ? PAGE_BAD : PAGE_PLAIN;
}

static void put_line_of(struct page *p, const json_t *request) {
    const json_t *line = doc_at(request, "line");
    const char *file = doc_text(line, "file"), *function = doc_text(line, "function");
    char number[32];
    page_print(p, "      ");
    if (!*file) {
        page_style(p, PAGE_DIM);
        page_print(p, "(its line of Python is not known)");
        page_style(p, PAGE_PLAIN);
        page_end_line(p);
        return;
    }
    int n = snprintf(number, sizeof number, ":%lld ", doc_integer(line, "line", 0));
    unsigned left = p->width - p->column, behind = (unsigned)n + 12;
    page_style(p, PAGE_GOOD);
    page_put_end(p, file, left > behind + 10 ? left - behind : left);
    page_print(p, "%s", number);
    page_style(p, PAGE_PLAIN);
    page_put(p, function);
    page_end_line(p);
}

static void put_stack(struct page *p, const json_t *request, unsigned scroll, unsigned most) {
    const json_t *stack = doc_at(request, "stack"), *line;
    size_t index, count = json_array_size(stack);
    if (!count) {
        page_print(p, "      (its stack is not known)");
        page_end_line(p);
    }
    json_array_foreach(stack, index, line) {
        const char *text = json_string_value(line);
        if (index < scroll || index - scroll >= most)
            continue;
        page_print(p, "      ");
        if (index + 1 == count)
            page_style(p, PAGE_GOOD);
        page_put(p, text ? text : "");
        page_style(p, PAGE_PLAIN);
        page_end_line(p);
    }
}

enum { STATE_COLUMNS = 20, STATE_COLUMNS_NARROW = 9, NARROW = 70 };

static unsigned state_columns(const struct page *p) {
    return p->width < NARROW ? STATE_COLUMNS_NARROW : STATE_COLUMNS;
}

static void put_columns(struct page *p) {
    page_style(p, PAGE_DIM);
    page_print(p, "%10s%9s  ", "TIME", "CPU");
    page_cell(p, "STATE", state_columns(p), false);
    page_print(p, " NO REQUEST");
    page_style(p, PAGE_PLAIN);
    page_end_line(p);
}

static void put_request(struct page *p, const json_t *request, bool selected) {
    const char *state = doc_text(request, "state");
    page_print(p, selected ? ">" : " ");
    put_seconds(p, doc_number(request, "seconds", -1), 9);
    put_seconds(p, doc_number(request, "cpu_seconds", -1), 9);
    page_print(p, "  ");
    page_style(p, style_of_state(state));
    page_cell(p, state, state_columns(p), false);
    page_style(p, PAGE_PLAIN);
    put_number(p, doc_number(request, "worker", -1), 3);
    page_print(p, " ");
    if (!strcmp(doc_text(request, "phase"), "overdue")) {
        page_style(p, PAGE_BAD);
        page_print(p, "overdue ");
        page_style(p, PAGE_PLAIN);
    }
    page_put(p, doc_text(request, "method"));
    page_print(p, " ");
    page_put(p, doc_text(request, "path"));
    page_end_line(p);
}

/* As many as `rows` lines have room for, so that the selected one is among them. */
static void put_running(struct page *p, const struct view *v, unsigned rows) {
    const json_t *sorted[VIEW_RUNNING_MOST];
    unsigned count = view_running(v, sorted), room = rows > 7 ? (rows - 3) / 2 : 2, first = 0;
    long long more =
        doc_integer(v->doc, "running_more", 0) + (long long)json_array_size(doc_at(v->doc, "running")) - count;
    if (!v->rows)
        room = count;
    else if (v->selected >= 0 && (unsigned)v->selected >= room)
        first = (unsigned)v->selected - room + 1;
    heading(p, "RUNNING");
    page_print(p, " %u", count);
    if (more > 0)
        page_print(p, " and %lld more", more);
    if (v->rows)
        page_print(p, ", by %s", view_order_name(v->order));
    page_end_line(p);
    if (count)
        put_columns(p);
    for (unsigned i = first; i < count && i < first + room; i++) {
        put_request(p, sorted[i], (int)i == v->selected);
        if (v->stacks && !v->rows && json_array_size(doc_at(sorted[i], "stack")))
            put_stack(p, sorted[i], 0, UINT32_MAX);
        else
            put_line_of(p, sorted[i]);
    }
}

static void put_selected_stack(struct page *p, const struct view *v) {
    const json_t *sorted[VIEW_RUNNING_MOST];
    unsigned count = view_running(v, sorted);
    if (v->selected < 0 || (unsigned)v->selected >= count) {
        heading(p, "STACK: nothing is selected");
        page_end_line(p);
        return;
    }
    const json_t *request = sorted[v->selected];
    heading(p, "STACK");
    page_print(p, " of thread %lld in process %lld, innermost last", doc_integer(request, "thread", 0),
               doc_integer(request, "pid", 0));
    const char *id = doc_text(request, "request_id");
    if (*id) {
        page_print(p, ", request ");
        page_put(p, id);
    }
    page_end_line(p);
    unsigned left = v->rows > p->lines + 2 ? v->rows - p->lines - 2 : 1;
    put_stack(p, request, v->scroll, left);
}

/* Workers. */

/* What is wrong with it, on a line of its own. */
static void put_flags(struct page *p, const json_t *worker) {
    double waited = doc_number(worker, "lock_waited_seconds", 0);
    bool full = doc_true(worker, "full"), caught = doc_true(worker, "caught");
    char text[NUMBER_SIZE];
    if (waited < 0.1 && !full && !caught)
        return;
    page_print(p, "      ");
    page_style(p, waited >= 0.1 || full ? PAGE_BAD : PAGE_WARNING);
    if (waited >= 0.1)
        page_print(p, "the interpreter lock is held for %s%s", number_seconds(text, waited),
                   full || caught ? ", " : "");
    if (full || caught)
        page_print(p, full ? "--max-connections is reached" : "a call computes, or no thread is free");
    page_style(p, PAGE_PLAIN);
    page_end_line(p);
}

static void put_worker(struct page *p, const json_t *worker, double now) {
    const json_t *threads = doc_at(worker, "threads");
    char text[NUMBER_SIZE];
    put_number(p, doc_number(worker, "number", -1), 3);
    put_number(p, doc_number(worker, "pid", -1), 8);
    page_print(p, " ");
    page_cell(p, doc_text(worker, "state"), 9, false);
    put_seconds(p, now - doc_number(worker, "started_at", now + 1), 10);
    page_cell(p, number_bytes(text, doc_number(worker, "memory_bytes", -1)), 9, true);
    put_number(p, doc_number(worker, "connections", -1), 6);
    put_bad(p, doc_number(worker, "queued", -1), 7);
    put_number(p, doc_number(threads, "running", -1), 8);
    put_number(p, doc_number(threads, "idle", -1), 5);
    put_bad(p, doc_number(threads, "stuck", -1), 6);
    put_bad(p, doc_number(threads, "lost", -1), 5);
    page_end_line(p);
    put_flags(p, worker);
}

static void put_workers(struct page *p, const struct view *v, unsigned most) {
    const json_t *workers = doc_at(v->doc, "workers"), *worker;
    double now = doc_number(doc_at(v->doc, "server"), "now", 0);
    size_t index, count = json_array_size(workers);
    heading(p, "WORKERS");
    page_print(p, " %zu, with %lld threads each at most", count,
               doc_integer(doc_at(v->doc, "server"), "threads_max", 0));
    page_end_line(p);
    page_style(p, PAGE_DIM);
    page_print(p, "%3s%8s %-9s%10s%9s%6s%7s%8s%5s%6s%5s", "NO", "PID", "STATE", "AGE", "MEMORY", "CONN", "QUEUED",
               "RUNNING", "IDLE", "STUCK", "LOST");
    page_style(p, PAGE_PLAIN);
    page_end_line(p);
    json_array_foreach(workers, index, worker) {
        if (index < most)
            put_worker(p, worker, now);
    }
    if (count > most) {
        page_print(p, "       and %zu more", count - most);
        page_end_line(p);
    }
}

/* Paths, ends of workers, the log. */

static void put_paths(struct page *p, const struct view *v, const char *title, const char *key, unsigned most) {
    const json_t *paths = doc_at(doc_at(v->doc, "paths"), key), *one;
    size_t index;
    if (!json_array_size(paths))
        return;
    heading(p, title);
    page_to(p, 16);
    page_style(p, PAGE_DIM);
    page_print(p, "%9s%9s%9s", "LONGEST", "MEAN", "REQUESTS");
    page_style(p, PAGE_PLAIN);
    page_end_line(p);
    json_array_foreach(paths, index, one) {
        if (index >= most)
            break;
        page_to(p, 16);
        put_seconds(p, doc_number(one, "max", -1), 9);
        put_seconds(p, doc_number(one, "mean", -1), 9);
        put_number(p, doc_number(one, "count", -1), 9);
        page_print(p, "  ");
        page_put(p, doc_text(one, "method"));
        page_print(p, " ");
        page_put(p, doc_text(one, "path"));
        page_end_line(p);
    }
}

static void put_ends(struct page *p, const struct view *v, unsigned most) {
    const json_t *ends = doc_at(v->doc, "ends");
    size_t count = json_array_size(ends), first = count > most ? count - most : 0;
    if (!count)
        return;
    heading(p, "ENDS OF WORKERS");
    page_end_line(p);
    for (size_t i = first; i < count; i++) {
        const json_t *end = json_array_get(ends, i);
        put_time(p, doc_number(end, "at", 0));
        page_print(p, "  worker %lld (process %lld): ", doc_integer(end, "worker", -1), doc_integer(end, "pid", 0));
        page_put(p, doc_text(end, "reason"));
        page_print(p, "  ");
        page_put(p, doc_text(end, "text"));
        page_end_line(p);
    }
}

static enum page_style style_of_level(const char *level) {
    return !strcmp(level, "error") ? PAGE_BAD : !strcmp(level, "warning") ? PAGE_WARNING : PAGE_PLAIN;
}

static void put_log(struct page *p, const struct view *v, unsigned most) {
    const json_t *log = doc_at(v->doc, "log");
    size_t count = json_array_size(log), first = count > most ? count - most : 0;
    if (!count || !most)
        return;
    heading(p, "LOG");
    page_end_line(p);
    for (size_t i = first; i < count; i++) {
        const json_t *line = json_array_get(log, i);
        put_time(p, doc_number(line, "at", 0));
        page_print(p, " %lld ", doc_integer(line, "pid", 0));
        page_style(p, style_of_level(doc_text(line, "level")));
        page_put(p, doc_text(line, "text"));
        page_style(p, PAGE_PLAIN);
        page_end_line(p);
    }
}

/* All of it. */

static unsigned left(const struct page *p, const struct view *v) {
    return v->rows > p->lines + 1 ? v->rows - p->lines - 1 : 0;
}

/* The rest of a screen goes to the log, from which paths and ends of workers take some. */
static void put_rest(struct page *p, const struct view *v) {
    put_workers(p, v, left(p, v) > 12 ? left(p, v) / 3 : 2);
    if (left(p, v) > 8)
        put_paths(p, v, "SLOWEST PATHS", "slowest", left(p, v) / 3);
    if (left(p, v) > 8)
        put_ends(p, v, 2);
    if (left(p, v) > 3)
        put_log(p, v, left(p, v) - 2);
}

void view_put(struct page *p, const struct view *v) {
    put_head(p, v);
    put_notes(p, v);
    put_rates(p, v);
    put_bars(p, v, "requests/s", "requests");
    put_bars(p, v, "p99", "p99");
    if (v->rows) {
        put_running(p, v, v->stacks ? 9 : v->rows / 2);
        if (v->stacks)
            put_selected_stack(p, v);
        else
            put_rest(p, v);
        return;
    }
    put_running(p, v, 0);
    put_workers(p, v, UINT32_MAX);
    put_paths(p, v, "SLOWEST PATHS", "slowest", UINT32_MAX);
    put_paths(p, v, "MOST FREQUENT", "frequent", UINT32_MAX);
    put_ends(p, v, UINT32_MAX);
    put_log(p, v, UINT32_MAX);
}
