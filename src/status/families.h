/* The list of all metrics: from it come the totals of the json form, what Prometheus reads, and a table of the manual
 * page, which a test compares.
 *
 * Open it to add one: a row in families.c.
 *
 * Names and labels are for ever: dashboards and alerts have them. Names have no prefix here, nor the "_total" of
 * counters.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_STATUS_FAMILIES_H
#define WSGI_FCGI_STATUS_FAMILIES_H

#include "status/snapshot.h"

#define FAMILY_PREFIX "wsgi_fcgi_"

enum family_type { FAMILY_INFO, FAMILY_GAUGE, FAMILY_COUNTER, FAMILY_HISTOGRAM };
enum family_unit { FAMILY_NO_UNIT, FAMILY_SECONDS, FAMILY_BYTES };

enum { FAMILY_LABELS = 2 };

/* Who takes the values of a family: it is called for each. `labels`: the values of its labels, in their order. `value`:
 * of seconds, nanoseconds. */
struct family_sink {
    void (*put)(struct family_sink *sink, const char *const labels[static FAMILY_LABELS], uint64_t value);
};

struct family {
    const char *name, *help;
    enum family_type type;
    enum family_unit unit;
    const char *labels[FAMILY_LABELS]; /* NULL: no more */
    /* Gives all values to the sink, those of the same first label one after the other. NULL: of a histogram, which
     * snapshot.sums.durations[which] has. */
    void (*give)(const struct snapshot *s, const struct family *f, struct family_sink *sink);
    unsigned which; /* counter, gauge or duration of ipc/metrics.h */
};

extern const struct family families[];
extern const unsigned family_count;

/* Whether the snapshot has values of it. */
bool family_is_known(const struct snapshot *s, const struct family *f);

#endif
