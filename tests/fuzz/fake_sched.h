/* A scheduler without threads, in the place of src/sched: what would happen at any time happens here when it is asked
 * for. Jobs may be started, settled and expired in any order. */
#ifndef WSGI_FCGI_TESTS_FAKE_SCHED_H
#define WSGI_FCGI_TESTS_FAKE_SCHED_H

#include "sched/sched.h"

/* Calls the notes posted so far. */
void fake_sched_call_notes(struct sched *s);

/* Calls `run` of the job that is queued for longest; it counts as running until it is settled. Returns false when none is,
 * or as many run as there are threads. */
bool fake_sched_run(struct sched *s);

/* The job has run: calls `settle`. `next`: the one that has run, too, and is settled right afterwards, or NULL. */
void fake_sched_settle(struct sched *s, struct sched_job *job, const struct sched_job *next);

/* Calls `expired` of the first job whose client may have left, or else of the one that is queued for longest. Returns
 * false when none is. */
bool fake_sched_expire(struct sched *s);

/* Whether sched_quit was called. */
bool fake_sched_has_quit(const struct sched *s);

#endif
