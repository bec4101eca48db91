/* What the processes of a server share, made up: two workers, one of which is stuck, with everything that a status
 * shows. For the unit tests of status/ and for render, by which the tests from outside look at the forms. */
#ifndef WSGI_FCGI_TESTS_STATUS_SCENE_H
#define WSGI_FCGI_TESTS_STATUS_SCENE_H

#include "base/clock.h"
#include "base/descriptors.h"
#include "ipc/inspect.h"
#include "ipc/log_ring.h"
#include "ipc/metrics.h"
#include "ipc/scoreboard.h"
#include "status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCENE_SECOND UINT64_C(1000000000)

struct scene {
    struct scoreboard *board;
    struct metrics *metrics;
    struct inspect *inspect;
    struct log_ring *log;
    struct inspect_answer *answer; /* in the making */
    struct status_source source;
};

static inline void scene_check(const void *memory) {
    if (!memory)
        abort();
}

static inline void scene_init(struct scene *c) {
    int fds[4];
    scene_check(c->board = scoreboard_new(&fds[0]));
    scene_check(c->metrics = metrics_new(&fds[1]));
    scene_check(c->inspect = inspect_new(&fds[2]));
    scene_check(c->log = log_ring_new(&fds[3]));
    scene_check(c->answer = calloc(1, sizeof *c->answer));
    for (int i = 0; i < 4; i++)
        descriptors_close(fds[i]);
    c->source = (struct status_source){.board = c->board,
                                       .metrics = c->metrics,
                                       .inspect = c->inspect,
                                       .log = c->log,
                                       .application = "shop.wsgi:application",
                                       .python = "3.11.2",
                                       .pid = 1,
                                       .workers = 2,
                                       .threads_max = 8,
                                       .stacks = true};
}

static inline void scene_fini(struct scene *c) {
    scoreboard_unmap(c->board);
    metrics_unmap(c->metrics);
    inspect_unmap(c->inspect);
    log_ring_unmap(c->log);
    free(c->answer);
}

static inline void scene_add_worker(struct scene *c, unsigned slot, unsigned number, int pid,
                                    enum scoreboard_state state) {
    c->board->slots[slot].number = number;
    c->board->slots[slot].pid = pid;
    c->board->slots[slot].state = state;
    metrics_use(c->metrics, slot);
}

/* A call as the scoreboard tells of it. */
static inline void scene_add_told(struct scene *c, unsigned slot, unsigned place, uint64_t ago, const char *text) {
    snprintf(c->board->calls[slot][place].text, SCOREBOARD_TEXT_SIZE, "%s", text);
    c->board->calls[slot][place].begun_at = clock_ns() - ago;
}

/* A call as its process tells of it, when it answers. */
static inline struct inspect_call *scene_add_call(struct scene *c, uint64_t ago, const char *path) {
    struct inspect_call *call = &c->answer->calls[c->answer->count++];
    *call = (struct inspect_call){.begun_at = clock_ns() - ago,
                                  .queued = 1000,
                                  .processor = 2000000,
                                  .waited = INSPECT_NOT_KNOWN,
                                  .tid = 100 + (int)c->answer->count,
                                  .state = INSPECT_BLOCKED,
                                  .method = "GET",
                                  .file = "/srv/app.py",
                                  .line = 12,
                                  .function = "view"};
    snprintf(call->path, sizeof call->path, "%s", path);
    return call;
}

static inline void scene_add_stack(struct scene *c, struct inspect_call *call, unsigned frames, const char *text) {
    struct inspect_answer *a = c->answer;
    call->frames = frames;
    call->stack = a->stacks_len;
    call->stack_len = (uint32_t)strlen(text);
    memcpy(a->stacks + call->stack, text, call->stack_len + 1);
    a->stacks_len += call->stack_len + 1;
}

static inline void scene_answer(struct scene *c, unsigned slot, int pid, uint64_t ago) {
    c->answer->at = clock_ns() - ago;
    c->answer->pid = pid;
    c->answer->complete = 1;
    inspect_answer(c->inspect, slot, c->answer);
    memset(c->answer, 0, sizeof *c->answer);
}

static inline void scene_count(struct metrics_slot *s, uint64_t now, uint64_t ns, const char *path, bool error) {
    uint64_t until = 0;
    metrics_step(s, now, &until);
    metrics_add(s, METRICS_REQUESTS + METRICS_HTTP * METRICS_CLASS_COUNT + (error ? 5 : 2), 1);
    metrics_add(s, METRICS_ENDED + METRICS_END_ANSWERED, 1);
    metrics_record(s, METRICS_REQUEST, ns);
    metrics_record(s, METRICS_APPLICATION, ns - ns / 8);
    metrics_record(s, METRICS_CPU, ns / 4);
    uint32_t key = 0;
    for (const char *p = path; *p; p++)
        key = key * 31 + (unsigned char)*p;
    struct metrics_path *place = metrics_count_path(s, key, ns);
    if (place)
        metrics_name_path(s, place, key, ns, path);
}

#endif
