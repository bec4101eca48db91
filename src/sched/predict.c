#include "config.h"

#include "sched/predict.h"

void predict_record(struct predict_kind *kind, uint64_t duration_ns, bool blocked) {
    unsigned char measure = atomic_load_explicit(&kind->measure, memory_order_relaxed);
    if (measure > 0)
        atomic_store_explicit(&kind->measure, (unsigned char)(measure - 1), memory_order_relaxed);

    unsigned char calm = atomic_load_explicit(&kind->calm, memory_order_relaxed);
    if (blocked)
        atomic_store_explicit(&kind->calm, 0, memory_order_relaxed);
    else if (calm < PREDICT_CALM_CALLS)
        atomic_store_explicit(&kind->calm, (unsigned char)(calm + 1), memory_order_relaxed);

    int64_t blind = !blocked ? 0 : duration_ns < PREDICT_WATCH_NS ? (int64_t)duration_ns : PREDICT_WATCH_NS;
    int64_t average = atomic_load_explicit(&kind->blind_ns, memory_order_relaxed);
    average += (blind - average) / PREDICT_WEIGHT;
    /* Integer division would never bring the average down from below PREDICT_WEIGHT to 0. */
    if (average < PREDICT_WEIGHT) {
        average = 0;
        predict_record_free(kind, false);
    }
    atomic_store_explicit(&kind->blind_ns, (unsigned)average, memory_order_relaxed);
}

void predict_notice(struct predict_kind *kind) {
    if (atomic_load_explicit(&kind->calm, memory_order_relaxed) < PREDICT_CALM_CALLS) {
        atomic_store_explicit(&kind->measure, PREDICT_MEASURE_CALLS, memory_order_relaxed);
        return;
    }
    unsigned char notices = atomic_load_explicit(&kind->notices, memory_order_relaxed);
    atomic_store_explicit(&kind->notices, (unsigned char)(notices + 1), memory_order_relaxed);
    if (notices % PREDICT_CALM_SHARE == PREDICT_CALM_SHARE - 1)
        atomic_store_explicit(&kind->measure, 1, memory_order_relaxed);
}

void predict_count_other(struct predict_slot *slot, uint32_t key) {
    unsigned standing = atomic_load_explicit(&slot->standing, memory_order_relaxed);
    if (standing > 0) {
        atomic_store_explicit(&slot->standing, standing - 1, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&slot->own.blind_ns, atomic_load_explicit(&slot->crowd.blind_ns, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->own.measure, atomic_load_explicit(&slot->crowd.measure, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->own.calm, atomic_load_explicit(&slot->crowd.calm, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->own.quick, atomic_load_explicit(&slot->crowd.quick, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->own.free, atomic_load_explicit(&slot->crowd.free, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->own.holds, atomic_load_explicit(&slot->crowd.holds, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&slot->standing, PREDICT_STANDING_CALL, memory_order_relaxed);
    atomic_store_explicit(&slot->owner, key, memory_order_relaxed);
}
