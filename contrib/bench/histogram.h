/* Counts of durations in buckets whose width grows with the value: exact below 256, within 1/128 above. */
#ifndef WSGI_FCGI_BENCH_HISTOGRAM_H
#define WSGI_FCGI_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HIST_BITS = 7, HIST_SIZE = (64 - HIST_BITS + 1) << HIST_BITS };

struct histogram {
    uint64_t count[HIST_SIZE];
    uint64_t total;
    uint64_t max;
};

static inline unsigned histogram_index(uint64_t value) {
    if (value < 1u << HIST_BITS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HIST_BITS;
    return ((shift + 1) << HIST_BITS) + (unsigned)((value >> shift) - (1u << HIST_BITS));
}

static inline uint64_t histogram_value(unsigned index) {
    if (index < 1u << HIST_BITS)
        return index;
    unsigned shift = (index >> HIST_BITS) - 1;
    uint64_t low = (uint64_t)((1u << HIST_BITS) + (index & ((1u << HIST_BITS) - 1))) << shift;
    return low + (((uint64_t)1 << shift) >> 1);
}

static inline void histogram_add(struct histogram *h, uint64_t value) {
    h->count[histogram_index(value)]++;
    h->total++;
    if (value > h->max)
        h->max = value;
}

/* The least value at or below which `part` (0 to 1) of all lie; 0 when there are none. */
static inline uint64_t histogram_quantile(const struct histogram *h, double part) {
    double exact = (double)h->total * part;
    uint64_t rank = (uint64_t)exact;
    rank += (double)rank < exact;
    rank += !rank;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HIST_SIZE; i++) {
        seen += h->count[i];
        if (h->total && seen >= rank) {
            uint64_t value = histogram_value(i);
            return value < h->max ? value : h->max;
        }
    }
    return 0;
}

#endif
