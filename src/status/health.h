/* Whether the server is fit to get requests: what health checks of balancers, containers and Kubernetes ask for, who do
 * no more with the answer than to stop sending requests, or to start the server anew.
 *
 * So it tells of what does not pass by itself, and of nothing that a start would not mend: not of overload, not of
 * errors of the application. Whoever wants to know whether a database answers asks the application.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_STATUS_HEALTH_H
#define WSGI_FCGI_STATUS_HEALTH_H

#include "base/buf.h"
#include "status/snapshot.h"

/* Appends a line, with numbers and words of the server alone. Returns 200 if a process serves in which some thread is
 * free or becomes free now and then, and the server is not about to stop; else 503; or -1 with errno ENOMEM. */
int health_put(const struct snapshot *s, struct buf *out);

#endif
