/* What tests of the ends of requests share: what a request says at its one end, and what leads to it. */
#ifndef WSGI_FCGI_TESTS_OUTCOME_RIG_H
#define WSGI_FCGI_TESTS_OUTCOME_RIG_H

#include "net/exchange.h"
#include "unit/net/lane_rig.h"

static unsigned nended, all; /* since a test has set it to 0, and in all */
static struct {
    enum request_end end;
    uint64_t begun_at, received, sent;
} ended;

/* Stands before that of the server (local.mk: --wrap). */
void __real_request_reset(struct request *r, struct body_spares *spares);
void __wrap_request_reset(struct request *r, struct body_spares *spares);

void __wrap_request_reset(struct request *r, struct body_spares *spares) {
    nended++;
    ended.end = r->end;
    ended.begun_at = r->begun_at;
    ended.received = r->body.received;
    ended.sent = r->sent;
    ck_assert_uint_eq(lane->nrequests, 0); /* it does not count any more */
    ck_assert_uint_eq(lane_ended(lane), ++all);
    __real_request_reset(r, spares);
}

/* The call begins; the caller settles it. */
static struct sched_job *call(struct exchange *x) {
    struct sched_job *job = &x->r.job;
    ck_assert(sched_cancel(lane->sched, job));
    job->ops->run(job, NULL);
    return job;
}

/* The peer does. */
static void leave(void) {
    close(peer);
    peer = -1;
    turn();
}

static void expect(enum request_end end, uint64_t received, uint64_t sent) {
    ck_assert_uint_eq(nended, 1);
    ck_assert_int_eq(ended.end, end);
    ck_assert_uint_gt(ended.begun_at, 0);
    ck_assert_uint_eq(ended.received, received);
    ck_assert_uint_eq(ended.sent, sent);
}

#endif
