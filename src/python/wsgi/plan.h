/* Plans: a request that looks like an earlier one gets a copy of that one's environ, in which only what differs is set.
 * What that is worth is in proto/cgi_memo.h.
 *
 * Open it for what is copied, and for what a plan must not keep.
 *
 * Which requests look alike is found before, when their parameters are scanned: each is compared with samples of
 * earlier ones (proto/cgi_memo.h). There is at most one plan for each sample. It is the environ of the first request
 * that was like that sample, without the values in which the two differ: a sample holds nothing that is secret, and so
 * no plan does. The environ of a later request is a copy, with those values set, and those in which the later request
 * differs.
 *
 * All functions: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_PLAN_H
#define WSGI_FCGI_PYTHON_WSGI_PLAN_H

#include <Python.h>

#include "base/buf.h"
#include "proto/cgi.h"
#include "python/name_cache.h"
#include "python/pyapp.h"

#include <stdbool.h>

/* Keys whose values come from struct cgi_vars instead of from one parameter. */
enum own_key {
    OWN_REQUEST_METHOD,
    OWN_SCRIPT_NAME,
    OWN_PATH_INFO,
    OWN_QUERY_STRING,
    OWN_SERVER_NAME,
    OWN_SERVER_PORT,
    OWN_SERVER_PROTOCOL,
    OWN_CONTENT_LENGTH,
    OWN_COUNT
};

/* Once for each lane, before the others. Returns 0, or -1 with an exception. */
int plan_init(struct pylane *lane);

/* New environ for these parameters, without what is set for each request; or NULL: without an exception when there is
 * no plan for them, else with one. own[key] becomes what the new environ holds for that key, or NULL; borrowed.
 * *complete becomes whether all of these are right already, since the parameters that the server reads are the same
 * byte for byte; but SCRIPT_NAME may have got another prefix than theirs (net/peer.h). */
PyObject *plan_environ(const struct pylane *lane, const struct buf *params, const struct cgi_likeness *like,
                       PyObject *own[static OWN_COUNT], bool *complete);

/* Remembers the environ that was made of these parameters; what differs for each request is not set yet. `values` are its
 * values for the keys above, whose names are `own` (borrowed; NULL: none). */
void plan_remember(struct pylane *lane, const struct buf *params, const struct cgi_vars *vars, PyObject *env,
                   struct name *const own[static OWN_COUNT], PyObject *const values[static OWN_COUNT]);

/* Forgets all plans of the lane. */
void plan_fini(struct pylane *lane);

#endif
