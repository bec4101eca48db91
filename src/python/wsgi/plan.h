/* Plans: what successive requests of the same proxy have in common.
 *
 * A proxy sends the same parameters in the same order with every request, and most of the values are the same too. A
 * plan keeps the parameters of one request with the environ that was made of them; the environ of the next request of
 * the same shape (struct cgi_vars) is a copy of that, in which only what differs is set. What identifies a person
 * or lets somebody in (cgi_is_personal, cgi_has_query) is never kept.
 *
 * All functions: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_PLAN_H
#define WSGI_FCGI_PYTHON_WSGI_PLAN_H

#include <Python.h>

#include "base/buf.h"
#include "proto/cgi.h"

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

/* New environ for these parameters, without what is set for each request; or NULL: without an exception when there is no
 * plan for them, else with one. own[key] becomes what the new environ holds for that key, or NULL; borrowed. *complete
 * becomes whether all of these are right already, since the parameters are the same byte for byte; but SCRIPT_NAME may
 * have got another prefix than theirs (net/peer.h). */
PyObject *plan_environ(const struct buf *params, const struct cgi_vars *vars, PyObject *own[static OWN_COUNT],
                       bool *complete);

/* Remembers the environ that was made of these parameters; what differs for each request is not set yet. `own_values`
 * are its values for the keys above (borrowed; NULL: none). */
void plan_remember(const struct buf *params, const struct cgi_vars *vars, PyObject *env,
                   PyObject *const own_values[static OWN_COUNT]);

/* Forgets all plans. */
void plan_fini(void);

#endif
