/* Measures for how long a job would have left the loop without a thread, and what that says of the next job with its
 * key. */
#include "config.h"

#include "base/clock.h"
#include "sched/sched_impl.h"

#include <sys/resource.h>

long measure_switches(void) {
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

struct sched_moment measure_moment(const struct sched_thread *t) {
    struct sched_moment now = {.at = clock_ns()};
    if (t->measure.counts_switches)
        now.switches = measure_switches();
    return now;
}

void measure_skip_begin(struct sched_thread *t) {
    t->measure.skipped = measure_moment(t);
}

void measure_skip_end(struct sched_thread *t) {
    struct sched_measure *m = &t->measure;
    struct sched_moment now = measure_moment(t);
    m->begun.at += now.at - m->skipped.at;
    m->begun.switches += now.switches - m->skipped.switches;
}

void sched_lock_wait(struct sched_thread *t) {
    atomic_store_explicit(&t->lock_wait, true, memory_order_relaxed);
    if (t->measure.counts_switches)
        measure_skip_begin(t);
}

void sched_lock_taken(struct sched_thread *t) {
    atomic_store_explicit(&t->lock_wait, false, memory_order_relaxed);
    if (t->measure.counts_switches)
        measure_skip_end(t);
}

/* Looks the kind up again, because the slot may have another owner since the job began. Of a thread that was
 * followed, what was seen counts, and not its context switches: waits for the jobs' lock that nobody has marked are
 * among these. */
void measure_end(struct sched_thread *t, uint32_t key, uint64_t now, enum sched_reason taken) {
    const struct sched_measure *m = &t->measure;
    struct predict_slot *slot = predict_slot(&t->s->predict, key);
    struct predict_kind *kind = predict_kind(slot, key);
    bool gave = taken == SCHED_GIVEN && m->given.at;
    struct follow_verdict seen;
    uint64_t duration = (gave ? m->given.at : now) - m->begun.at;
    predict_record_duration(kind, duration);
    if (taken == SCHED_COMPUTING)
        predict_record_free(kind, false);
    if (taken == SCHED_FREE && follow_judge(t, &seen)) {
        predict_record_free(kind, seen.free);
        predict_record(kind, duration, seen.apart);
    } else if (m->counts_switches)
        predict_record(kind, duration, (gave ? m->given.switches : measure_switches()) > m->begun.switches);
    else if (taken == SCHED_ASLEEP || taken == SCHED_FREE)
        predict_record(kind, duration, true);
    else
        predict_record_unmeasured(kind, duration);
    predict_count(slot, key);
}
