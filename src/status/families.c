#include "config.h"

#include "status/families.h"

#include "base/decimal_text.h"

static void give_one(struct family_sink *sink, const char *first, const char *second, uint64_t value) {
    const char *const labels[FAMILY_LABELS] = {first, second};
    sink->put(sink, labels, value);
}

static const char *const protocols[METRICS_PROTOCOL_COUNT] = {[METRICS_FASTCGI] = "fastcgi", [METRICS_HTTP] = "http"};
static const char *const classes[METRICS_CLASS_COUNT] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
static const char *const ends[METRICS_END_COUNT] = {
    [METRICS_END_ANSWERED] = "answered", [METRICS_END_OVERDUE] = "overdue", [METRICS_END_REFUSED] = "refused",
    [METRICS_END_DROPPED] = "dropped",   [METRICS_END_CUT] = "cut",         [METRICS_END_ABORTED] = "aborted",
};

static void give_info(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    (void)f;
    give_one(sink, PACKAGE_VERSION, s->source.python ? s->source.python : "", 1);
}

static void give_start(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    (void)f;
    give_one(sink, NULL, NULL, s->source.started_at);
}

static void give_counter(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    give_one(sink, NULL, NULL, s->sums.counters[f->which]);
}

static void give_gauge(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    give_one(sink, NULL, NULL, s->sums.gauges[f->which]);
}

static void give_accepted(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    for (unsigned i = 0; i < METRICS_PROTOCOL_COUNT; i++)
        give_one(sink, protocols[i], NULL, s->sums.counters[f->which + i]);
}

static void give_requests(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    for (unsigned i = 0; i < METRICS_PROTOCOL_COUNT; i++) {
        for (unsigned class = 0; class < METRICS_CLASS_COUNT; class ++)
            give_one(sink, protocols[i], classes[class], s->sums.counters[f->which + i * METRICS_CLASS_COUNT + class]);
    }
}

static void give_ends(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    for (unsigned i = 0; i < METRICS_END_COUNT; i++)
        give_one(sink, ends[i], NULL, s->sums.counters[f->which + i]);
}

static void give_refused(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    for (unsigned i = METRICS_REFUSED_NONE + 1; i < METRICS_REFUSAL_COUNT; i++)
        give_one(sink, metrics_refusal_names[i], NULL, s->sums.counters[f->which + i]);
}

static void give_threads(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    uint64_t sums[SNAPSHOT_THREADS] = {0}, counts[SNAPSHOT_THREADS];
    (void)f;
    for (unsigned i = 0; i < s->worker_count; i++) {
        snapshot_threads(&s->workers[i], counts);
        for (unsigned state = 0; state < SNAPSHOT_THREADS; state++)
            sums[state] += counts[state];
    }
    for (unsigned state = 0; state < SNAPSHOT_THREADS; state++)
        give_one(sink, snapshot_thread_names[state], NULL, sums[state]);
}

static void give_workers(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    (void)f;
    for (enum scoreboard_state state = SCOREBOARD_STARTING; state <= SCOREBOARD_ENDING; state++) {
        uint64_t count = 0;
        for (unsigned i = 0; i < s->worker_count; i++)
            count += s->workers[i].state == state;
        give_one(sink, snapshot_state_text(state), NULL, count);
    }
}

static void give_started(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    (void)f;
    give_one(sink, NULL, NULL, s->workers_started);
}

static void give_ended(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    (void)f;
    for (unsigned i = 0; i < METRICS_REASON_COUNT; i++)
        give_one(sink, metrics_reason_names[i], NULL, s->workers_ended[i]);
}

static void give_reloads(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    give_one(sink, NULL, NULL, f->which ? s->reloads_failed : s->reloads);
}

/* Workers stand in the order of their numbers, and while one is replaced two have the same: together they have so much
 * memory... */
static void give_memory(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    char number[DECIMAL_TEXT_SIZE];
    uint64_t sum = 0;
    (void)f;
    for (unsigned i = 0; i < s->worker_count; i++) {
        sum += s->workers[i].memory;
        if (i + 1 < s->worker_count && s->workers[i + 1].number == s->workers[i].number)
            continue;
        decimal_text(number, s->workers[i].number);
        if (sum)
            give_one(sink, number, NULL, sum);
        sum = 0;
    }
}

/* ...and the one that has started last is the one that stays. */
static void give_worker_start(const struct snapshot *s, const struct family *f, struct family_sink *sink) {
    char number[DECIMAL_TEXT_SIZE];
    uint64_t latest = 0;
    (void)f;
    for (unsigned i = 0; i < s->worker_count; i++) {
        if (s->workers[i].started_at > latest)
            latest = s->workers[i].started_at;
        if (i + 1 < s->worker_count && s->workers[i + 1].number == s->workers[i].number)
            continue;
        decimal_text(number, s->workers[i].number);
        if (latest)
            give_one(sink, number, NULL, latest);
        latest = 0;
    }
}

#define COUNTER(name, unit, which, help)                                                                               \
    { name, help, FAMILY_COUNTER, unit, {NULL, NULL}, give_counter, which }
#define GAUGE(name, which, help)                                                                                       \
    { name, help, FAMILY_GAUGE, FAMILY_NO_UNIT, {NULL, NULL}, give_gauge, which }
#define HISTOGRAM(name, which, help)                                                                                   \
    { name, help, FAMILY_HISTOGRAM, FAMILY_SECONDS, {NULL, NULL}, NULL, which }

/* clang-format off */
const struct family families[] = {
    {"info", "The server and its Python.", FAMILY_INFO, FAMILY_NO_UNIT, {"version", "python"}, give_info, 0},
    {"start_time_seconds", "When the server has started, in Unix time.", FAMILY_GAUGE, FAMILY_SECONDS, {NULL, NULL}, give_start, 0},
    {"connections_accepted", "Connections that were accepted.", FAMILY_COUNTER, FAMILY_NO_UNIT, {"protocol", NULL}, give_accepted, METRICS_ACCEPTED},
    GAUGE("connections", METRICS_CONNECTIONS, "Open connections."),
    {"requests", "Requests that have ended, by the class of their status.", FAMILY_COUNTER, FAMILY_NO_UNIT, {"protocol", "status"}, give_requests, METRICS_REQUESTS},
    GAUGE("requests_active", METRICS_REQUESTS_ACTIVE, "Requests that have begun and not ended."),
    GAUGE("requests_queued", METRICS_REQUESTS_QUEUED, "Requests that wait for a thread."),
    {"refused", "Requests that the server has answered by itself, by the reason.", FAMILY_COUNTER, FAMILY_NO_UNIT, {"reason", NULL}, give_refused, METRICS_REFUSED},
    {"requests_ended", "Requests that have ended, by how they did.", FAMILY_COUNTER, FAMILY_NO_UNIT, {"end", NULL}, give_ends, METRICS_ENDED},
    HISTOGRAM("request_duration_seconds", METRICS_REQUEST, "From the first bytes of a request to its end."),
    HISTOGRAM("request_queue_seconds", METRICS_QUEUE, "How long requests have waited for a thread."),
    HISTOGRAM("request_first_byte_seconds", METRICS_FIRST_BYTE, "From the first bytes of a request to the first ones of its answer."),
    HISTOGRAM("application_seconds", METRICS_APPLICATION, "How long calls of the application have taken."),
    HISTOGRAM("application_cpu_seconds", METRICS_CPU, "Time of a processor that calls of the application have taken."),
    HISTOGRAM("lock_wait_seconds", METRICS_LOCK_WAIT, "How long calls have waited for the interpreter lock, where noticeable."),
    COUNTER("received_bytes", FAMILY_BYTES, METRICS_RECEIVED_BYTES, "Bytes of request bodies."),
    COUNTER("sent_bytes", FAMILY_BYTES, METRICS_SENT_BYTES, "Bytes of answers, without their heads."),
    COUNTER("spooled_bodies", FAMILY_NO_UNIT, METRICS_SPOOLED_BODIES, "Request bodies that were kept in a file."),
    COUNTER("spooled_bytes", FAMILY_BYTES, METRICS_SPOOLED_BYTES, "Bytes of these."),
    COUNTER("spool_failures", FAMILY_NO_UNIT, METRICS_SPOOL_FAILURES, "Request bodies for which there was no room in the spool directory."),
    {"threads", "Threads for calls of the application, by what they do. Stuck: in a call of more than 10 seconds.", FAMILY_GAUGE, FAMILY_NO_UNIT, {"state", NULL}, give_threads, 0},
    GAUGE("threads_max", METRICS_THREADS_MAX, "How many threads there may be, of all workers."),
    COUNTER("batons_given", FAMILY_NO_UNIT, METRICS_BATONS_GIVEN, "Calls that began on a thread without the loop."),
    COUNTER("batons_taken", FAMILY_NO_UNIT, METRICS_BATONS_TAKEN, "Calls that had the loop taken from them, since they blocked or computed."),
    {"workers", "Workers, by state.", FAMILY_GAUGE, FAMILY_NO_UNIT, {"state", NULL}, give_workers, 0},
    {"workers_started", "Workers that were started.", FAMILY_COUNTER, FAMILY_NO_UNIT, {NULL, NULL}, give_started, 0},
    {"workers_ended", "Workers that have ended, by the reason.", FAMILY_COUNTER, FAMILY_NO_UNIT, {"reason", NULL}, give_ended, 0},
    {"worker_memory_bytes", "Resident memory of a worker.", FAMILY_GAUGE, FAMILY_BYTES, {"worker", NULL}, give_memory, 0},
    {"worker_start_time_seconds", "When a worker has begun to serve, in Unix time.", FAMILY_GAUGE, FAMILY_SECONDS, {"worker", NULL}, give_worker_start, 0},
    {"reloads", "Reloads of the configuration and the application.", FAMILY_COUNTER, FAMILY_NO_UNIT, {NULL, NULL}, give_reloads, 0},
    {"reloads_failed", "Reloads that were given up.", FAMILY_COUNTER, FAMILY_NO_UNIT, {NULL, NULL}, give_reloads, 1},
    COUNTER("handovers_given", FAMILY_NO_UNIT, METRICS_HANDOVERS_GIVEN, "Connections that one worker has left to another."),
    COUNTER("handovers_taken", FAMILY_NO_UNIT, METRICS_HANDOVERS_TAKEN, "Connections that a worker has taken from another."),
    COUNTER("log_lines_lost", FAMILY_NO_UNIT, METRICS_LOG_LINES_LOST, "Lines of the log that nobody took in time."),
    COUNTER("access_log_lost", FAMILY_NO_UNIT, METRICS_ACCESS_LOG_LOST, "Lines of the access log that nobody took in time."),
    COUNTER("spans_lost", FAMILY_NO_UNIT, METRICS_SPANS_LOST, "Spans that no collector took."),
    COUNTER("stacks_taken", FAMILY_NO_UNIT, METRICS_STACKS_TAKEN, "Stacks of calls that were read."),
};
/* clang-format on */
const unsigned family_count = sizeof families / sizeof families[0];

bool family_is_known(const struct snapshot *s, const struct family *f) {
    if (f->give == give_info)
        return true;
    if (f->give == give_start)
        return s->source.started_at != 0;
    return s->has_metrics;
}
