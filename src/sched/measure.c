/* Measures for how long a job would have left the loop without a thread, and what that says of the next job with its
 * key. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

#include <sys/resource.h>

static uint64_t in_ns(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

struct sched_usage measure_usage(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage))
        return (struct sched_usage){0};
    return (struct sched_usage){usage.ru_nvcsw, in_ns(usage.ru_utime) + in_ns(usage.ru_stime)};
}

struct sched_moment measure_moment(const struct sched_thread *t) {
    struct sched_moment now = {.at = clock_ns()};
    if (t->measure.counts_switches)
        now.usage = measure_usage();
    return now;
}

void measure_skip_begin(struct sched_thread *t) {
    t->measure.skipped = measure_moment(t);
}

void measure_skip_end(struct sched_thread *t) {
    struct sched_measure *m = &t->measure;
    struct sched_moment now = measure_moment(t);
    m->begun.at += now.at - m->skipped.at;
    m->begun.usage.switches += now.usage.switches - m->skipped.usage.switches;
    m->begun.usage.processor_time += now.usage.processor_time - m->skipped.usage.processor_time;
}

/* The jobs' lock. A look at the clock on the way to a lock that is free would cost as much as taking it. So when no
 * other thread runs a job, which would have it, the wait is timed from when the watch has seen it; one that is over
 * before is none to speak of. The watch may write down what it has seen when the wait is over already: that is then
 * there at the next one, which did not begin before its job. */

static __attribute__((noinline)) uint64_t lock_wait_begin(struct sched_thread *t) {
    struct sched_measure *m = &t->measure;
    if (!m->counts_switches)
        return clock_ns();
    measure_skip_begin(t);
    return m->skipped.at;
}

void sched_lock_wait(struct sched_thread *t) {
    uint64_t from = 0;
    if (t->measure.counts_switches || atomic_load_explicit(&t->s->busy, memory_order_relaxed))
        from = lock_wait_begin(t);
    atomic_store_explicit(&t->lock_from, from, memory_order_relaxed);
    atomic_store_explicit(&t->lock_wait, true, memory_order_release);
}

static __attribute__((noinline)) void lock_wait_end(struct sched_thread *t, uint64_t from, uint64_t seen) {
    struct sched_measure *m = &t->measure;
    if (m->counts_switches)
        measure_skip_end(t);
    if (!from && seen)
        from = seen > m->begun.at ? seen : m->begun.at;
    if (from) {
        uint64_t now = clock_ns();
        m->lock_waited += now > from ? now - from : 0;
    }
    if (seen)
        atomic_store_explicit(&t->lock_seen, 0, memory_order_relaxed);
}

void sched_lock_taken(struct sched_thread *t) {
    uint64_t from = atomic_load_explicit(&t->lock_from, memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&t->lock_seen, memory_order_relaxed);
    atomic_store_explicit(&t->lock_wait, false, memory_order_relaxed);
    if (t->measure.counts_switches || from || seen)
        lock_wait_end(t, from, seen);
}

/* Processor time. That of a job that was not measured from its beginning, as none of its kind had taken long, is
 * counted from when it lost the baton. Until then it has computed, unless it is asleep. */

void measure_take_over(struct sched_thread *t) {
    atomic_store_explicit(&t->taken_at, clock_ns(), memory_order_relaxed);
    atomic_store_explicit(&t->taken_used, threads_used(t), memory_order_relaxed);
}

static uint64_t count_processor_time(const struct sched_thread *t, const struct sched_usage *usage, uint64_t now,
                                     enum sched_reason taken) {
    const struct sched_measure *m = &t->measure;
    if (m->counts_switches)
        return usage->processor_time - m->begun.usage.processor_time;
    if (taken == SCHED_NOT_TAKEN)
        return now - m->begun.at;
    uint64_t taken_at = atomic_load_explicit(&t->taken_at, memory_order_relaxed);
    uint64_t before = taken != SCHED_ASLEEP && taken_at > m->begun.at ? taken_at - m->begun.at : 0;
    uint64_t then = atomic_load_explicit(&t->taken_used, memory_order_relaxed), used = threads_used(t);
    return before + (used > then ? used - then : 0);
}

/* Looks the kind up again, because the slot may have another owner since the job began. Of a thread that was
 * followed, what was seen counts, and not its context switches: waits for the jobs' lock that nobody has marked are
 * among these. */
uint64_t measure_end(struct sched_thread *t, uint32_t key, uint64_t now, enum sched_reason taken) {
    const struct sched_measure *m = &t->measure;
    struct predict_slot *slot = predict_slot(&t->s->predict, key);
    struct predict_kind *kind = predict_kind(slot, key);
    bool gave = taken == SCHED_GIVEN && m->given.at;
    struct follow_verdict seen;
    struct sched_usage usage = {0};
    if (m->counts_switches)
        usage = measure_usage();
    uint64_t duration = (gave ? m->given.at : now) - m->begun.at;
    predict_record_duration(kind, duration);
    if (taken == SCHED_COMPUTING)
        predict_record_free(kind, false);
    if (taken == SCHED_FREE && follow_judge(t, &seen)) {
        predict_record_free(kind, seen.free);
        predict_record(kind, duration, seen.apart);
    } else if (m->counts_switches)
        predict_record(kind, duration, (gave ? m->given.usage.switches : usage.switches) > m->begun.usage.switches);
    else if (taken == SCHED_ASLEEP || taken == SCHED_FREE)
        predict_record(kind, duration, true);
    else
        predict_record_unmeasured(kind, duration);
    predict_count(slot, key);
    return count_processor_time(t, &usage, now, taken);
}
