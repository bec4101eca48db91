#include "config.h"

#include "process/memory_trace.h"

#include "base/ascii.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process_memory.h"
#include "base/thread_create.h"
#include "base/thread_limit.h"
#include "process/memory_growth.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STOP_NS UINT64_C(5000000000) /* that the end of the process waits for the list */

enum {
    LOOK_NS = 100000000,     /* between looks how many blocks there are */
    ENOUGH_BLOCKS = 1 << 17, /* a list of so many tells what leaks, and takes 20 MiB and a tenth of a second */
    LIST_BYTES = 64 << 20,   /* that the system has to have left for one */
    LET_GO_NS = 1000000000   /* between allocations_find and allocations_end */
};

/* Mutable tracer: under its lock; `ms`, `has` and `growth` before the thread starts, and then its. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t told;
    pthread_t thread;
    bool started, stops, ended;
    uint64_t ms, has, begun_at;
    struct memory_growth growth;
} tracer = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Waits until then, or until the process ends. Returns whether it does. */
static bool wait_until(uint64_t at) {
    struct timespec until = clock_timespec(at);
    pthread_mutex_lock(&tracer.lock);
    while (!tracer.stops && clock_ns() < at)
        pthread_cond_timedwait(&tracer.told, &tracer.lock, &until);
    bool stops = tracer.stops;
    pthread_mutex_unlock(&tracer.lock);
    return stops;
}

static void set(bool *what) {
    pthread_mutex_lock(&tracer.lock);
    *what = true;
    pthread_cond_broadcast(&tracer.told);
    pthread_mutex_unlock(&tracer.lock);
}

/* Bytes that a group leaves to its processes; what it has of files can be given back. */
static bool look_at_group(void *arg, const char *root, const char *path, bool version_2) {
    uint64_t *left = arg, most, used, inactive = 0;
    char name[600], text[8192];
    if (!version_2)
        return true;
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/memory.max", path);
    if (!cgroup_read_number(root, name, &most))
        return true;
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/memory.stat", path);
    cgroup_read_text(root, name, text, sizeof text);
    const char *at = strstr(text, "\ninactive_file ");
    if (at)
        (void)ascii_read_number(at + strlen("\ninactive_file "), 10, &inactive);
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/memory.current", path);
    if (cgroup_read_number(root, name, &used)) {
        used -= inactive < used ? inactive : used;
        if (most - (used < most ? used : most) < *left)
            *left = most - (used < most ? used : most);
    }
    return true;
}

/* /proc/meminfo has "MemAvailable:   1234 kB". */
static bool has_memory_left(void) {
    char text[2048];
    uint64_t left = UINT64_MAX, kib;
    cgroup_read_text("", "/proc/meminfo", text, sizeof text);
    const char *at = strstr(text, "MemAvailable:");
    if (at && ascii_read_number(at + strcspn(at, "0123456789"), 10, &kib))
        left = kib << 10;
    cgroup_each("", "memory", look_at_group, &left);
    return left >= LIST_BYTES;
}

/* Returns false after a line of the log. */
static bool begin(void) {
    char seconds[ASCII_SECONDS_SIZE];
    struct memory_growth *g = &tracer.growth;
    g->before = process_memory_resident(getpid());
    g->result = allocations_begin();
    if (g->result == ALLOCATIONS_FAILED) {
        log_warning("--trace-memory: Python's tracemalloc does not begin: memory that grows is not traced");
        return false;
    }
    ascii_put_seconds(seconds, (double)tracer.ms / 1000);
    log_info("memory is traced for up to %s s (--trace-memory), as the process has %llu MiB, most of what --max-memory "
             "allows%s",
             seconds, (unsigned long long)(tracer.has >> 20),
             g->result == ALLOCATIONS_FOREIGN ? "; the application does so already" : "");
    return true;
}

static void look(void) {
    struct memory_growth *g = &tracer.growth;
    g->after = process_memory_resident(getpid());
    g->ns = clock_ns() - tracer.begun_at;
    if (has_memory_left()) {
        g->result = allocations_find(&g->found);
        return;
    }
    log_warning("--trace-memory: there is no list of what was allocated, as the system has less than %d MiB left",
                LIST_BYTES >> 20);
    g->result = ALLOCATIONS_FAILED;
}

/* Mutable line, block: the thread, which alone calls this. */
static void tell(void) {
    static char line[MEMORY_GROWTH_LINE_SIZE], block[MEMORY_GROWTH_BLOCK_SIZE];
    enum log_level level = memory_growth_describe(&tracer.growth, line, block);
    if (*block)
        log_block(level, block, "%s", line);
    else
        log_printf(level, "%s", line);
}

static void trace(void) {
    const uint64_t end = tracer.begun_at + tracer.ms * 1000000;
    const bool own = tracer.growth.result == ALLOCATIONS_OK;
    for (uint64_t now = tracer.begun_at; now < end; now = clock_ns()) {
        if (wait_until(now + LOOK_NS < end ? now + LOOK_NS : end) || (own && allocations_blocks() >= ENOUGH_BLOCKS))
            break;
    }
    look();
    tell();
    if (!wait_until(clock_ns() + LET_GO_NS))
        allocations_end();
}

static void *run(void *unused) {
    tracer.begun_at = clock_ns();
    if (begin())
        trace();
    set(&tracer.ended);
    return unused;
}

void memory_trace_begin(uint64_t ms, uint64_t has) {
    char limit[THREAD_LIMIT_SIZE];
    if (tracer.started || !ms)
        return;
    clock_cond_init(&tracer.told);
    tracer.ms = ms;
    tracer.has = has;
    int error = thread_create(&tracer.thread, NULL, "wsgi-fcgi-mem", run, NULL);
    if (error)
        log_warning("--trace-memory: cannot start a thread: %s", thread_limit_explain(error, limit));
    tracer.started = !error;
}

void memory_trace_stop(void) {
    struct timespec until = clock_timespec(clock_ns() + STOP_NS);
    if (!tracer.started)
        return;
    set(&tracer.stops);
    pthread_mutex_lock(&tracer.lock);
    int waited = 0;
    while (!tracer.ended && !waited)
        waited = pthread_cond_timedwait(&tracer.told, &tracer.lock, &until);
    bool ended = tracer.ended;
    pthread_mutex_unlock(&tracer.lock);
    if (ended)
        pthread_join(tracer.thread, NULL);
    else
        pthread_detach(tracer.thread);
}
