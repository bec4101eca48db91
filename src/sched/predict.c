#include "config.h"

#include "sched/predict.h"

void predict_record(struct predict_slot *slot, uint64_t duration_ns, bool blocked) {
    unsigned char measure = atomic_load_explicit(&slot->measure, memory_order_relaxed);
    if (measure > 0)
        atomic_store_explicit(&slot->measure, (unsigned char)(measure - 1), memory_order_relaxed);

    int64_t blind = !blocked ? 0 : duration_ns < PREDICT_WATCH_NS ? (int64_t)duration_ns : PREDICT_WATCH_NS;
    int64_t average = atomic_load_explicit(&slot->blind_ns, memory_order_relaxed);
    average += (blind - average) / PREDICT_WEIGHT;
    /* Integer division would never bring the average down from below PREDICT_WEIGHT to 0. */
    if (average < PREDICT_WEIGHT)
        average = 0;
    atomic_store_explicit(&slot->blind_ns, (unsigned)average, memory_order_relaxed);
}
