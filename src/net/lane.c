#include "config.h"

#include "net/lane.h"

#include "base/clock.h"
#include "base/descriptors.h"
#include "base/hash.h"
#include "net/handover.h"
#include "net/lane_impl.h"
#include "net/loop.h"
#include "net/protocol.h"
#include "net/request_log.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* The turns of the loop. */

/* Before all other callbacks of a turn of the loop, but the scheduler's own. */
static void check_cb(struct ev_loop *loop, ev_check *w, int revents) {
    (void)loop;
    (void)revents;
    struct lane *lane = w->data;
    lane->now = (double)sched_polled(lane->sched) / 1e9;
    if (lane->queued && atomic_load_explicit(lane->queued, memory_order_relaxed))
        handover_look(lane);
}

/* Before the loop waits: polls every open connection, and makes sure that idle ones will be noticed. */
static void prepare_cb(struct ev_loop *loop, ev_prepare *w, int revents) {
    (void)loop;
    (void)revents;
    struct lane *lane = w->data;
    struct conn *c, *next;
    for (c = TAILQ_FIRST(&lane->unpolled); c; c = next) {
        next = TAILQ_NEXT(c, unpolled_link);
        conn_settle(c);
    }
    if (lane->retiring)
        lane_retire_settle(lane);
    lane_idle_settle(lane);
    timeouts_settle(lane);
    if (lane->deadlines.used)
        deadlines_settle(lane);
    if (lane->slow.after)
        slow_settle(lane);
    count_settle(lane);
}

static void turns_init(struct lane *lane) {
    ev_prepare_init(&lane->prepare, prepare_cb);
    ev_check_init(&lane->check, check_cb);
    ev_set_priority(&lane->check, SCHED_CHECK_PRIORITY - 1);
    lane->prepare.data = lane->check.data = lane;
    ev_prepare_start(lane->loop, &lane->prepare);
    ev_check_start(lane->loop, &lane->check);
}

/* Life. */

/* Descriptors that the application closes are noticed when calls have run. */
static bool guard(void *arg) {
    struct lane *lane = arg;
    descriptors_check();
    if (lane->config.check)
        lane->config.check(lane->config.check_arg);
    return atomic_load(&lane->nrequests) > 0 || atomic_load(&lane->deadlines.nlate) > 0;
}

static int protocols_open(struct lane *lane) {
    for (int i = 0; i < LISTENER_PROTOCOL_COUNT; i++) {
        const struct protocol *p = lane->config.protocols[i];
        if (p && !(lane->protocol_states[i] = p->state_new(lane)))
            return -1;
    }
    return 0;
}

static void protocols_close(struct lane *lane) {
    for (int i = 0; i < LISTENER_PROTOCOL_COUNT; i++) {
        if (lane->protocol_states[i])
            lane->config.protocols[i]->state_free(lane->protocol_states[i]);
    }
}

static void lists_init(struct lane *lane) {
    TAILQ_INIT(&lane->conns);
    TAILQ_INIT(&lane->lingering);
    TAILQ_INIT(&lane->closed);
    for (int i = 0; i < CONN_REST_COUNT; i++)
        TAILQ_INIT(&lane->rests[i]);
    TAILQ_INIT(&lane->unsent);
    TAILQ_INIT(&lane->unpolled);
    timeouts_init(&lane->headers, lane, lane->config.header_timeout);
    timeouts_init_rare(&lane->rates, lane, CONN_RATE_SECONDS);
    timeouts_init(&lane->draining, lane, CONN_DRAIN_SECONDS);
    timeouts_init(&lane->parting, lane, CONN_PART_SECONDS);
}

/* Those that the process may run on (taskset, cpusets of containers). */
static unsigned count_cpus(void) {
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set))
        return (unsigned)CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more than a cpu_set_t has room for */
    return n > 0 ? (unsigned)n : 1;
}

static struct sched *make_sched(struct lane *lane) {
    const struct lane_config *config = &lane->config;
    struct sched_config sched = {
        .loop = lane->loop,
        .threads = config->threads,
        .peer_waits_max = SCHED_PEER_WAITS_MAX,
        .cpus = count_cpus(),
        .lost_max = config->lost_max,
        .queue_limit = config->queue_limit,
        .queue_timeout = (uint64_t)(config->queue_timeout * 1e9),
        .thread_stop = config->thread_stop,
        .thread_pause = config->thread_pause,
        .thread_released = config->thread_released,
        .user = config->user,
        .guard = guard,
        .guard_arg = lane,
        .wake_fd = config->wake_fd,
        .blocked_signals = config->blocked_signals,
    };
    level_configure(lane, &sched);
    return sched_new(&sched);
}

struct lane *lane_new(const struct lane_config *config, struct listener_set *listeners) {
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane) {
        loop_free(config->loop);
        return NULL;
    }
    lane->config = *config;
    lane->config.body.spares = &lane->body_spares;
    lane->memo.seed = hash_seed();
    lane->log_table.seed = hash_seed();
    lane->chance = hash_seed();
    request_ids_init(&lane->request_ids, hash_seed(), hash_seed());
    lane->listeners = listeners;
    lists_init(lane);
    lane->loop = config->loop ? config->loop : loop_new();
    if (!lane->loop || count_init(lane) || protocols_open(lane) || lane_accept_init(lane) || handover_init(lane) ||
        !(lane->sched = make_sched(lane))) {
        lane_free(lane);
        return NULL;
    }
    descriptors_describe(request_log_describe, lane);
    lane->now = (double)clock_ns() / 1e9;
    lane_idle_init(lane);
    lane_stop_init(lane);
    lane_retire_init(lane);
    overload_init(lane);
    calls_init(lane);
    deadlines_init(lane);
    slow_init(lane);
    level_init(lane);
    turns_init(lane);
    return lane;
}

int lane_start(struct lane *lane) {
    return sched_start(lane->sched);
}

int lane_start_here(struct lane *lane) {
    return sched_start_here(lane->sched);
}

struct ev_loop *lane_loop(struct lane *lane) {
    return lane->loop;
}

bool lane_is_stopping(const struct lane *lane) {
    return lane->stopping;
}

bool lane_is_ending(const struct lane *lane) {
    return lane->stopping || lane->retiring;
}

struct sched *lane_sched(struct lane *lane) {
    return lane->sched;
}

void lane_count(struct lane *lane, unsigned *connections, unsigned *requests) {
    *connections = atomic_load(&lane->nconns);
    *requests = atomic_load(&lane->nrequests);
}

unsigned lane_ended(const struct lane *lane) {
    return atomic_load(&lane->nended);
}

void lane_free(struct lane *lane) {
    if (!lane)
        return;
    descriptors_describe(NULL, NULL);
    sched_free(lane->sched);
    loop_free(lane->loop);
    protocols_close(lane);
    handover_fini(lane);
    body_spares_fini(&lane->body_spares);
    count_fini(lane);
    free(lane->accepting);
    free(lane);
}

const char *lane_backend_name(void) {
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = {{EVBACKEND_EPOLL, "epoll"},
                 {EVBACKEND_KQUEUE, "kqueue"},
                 {EVBACKEND_PORT, "port"},
                 {EVBACKEND_POLL, "poll"},
                 {EVBACKEND_SELECT, "select"}};
    unsigned backends = ev_recommended_backends();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (backends & names[i].flag)
            return names[i].name;
    }
    return "unknown";
}
