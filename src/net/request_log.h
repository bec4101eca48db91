/* Log lines about requests: about each one at its end (--log-level debug), and about those that keep the threads busy
 * or are cut off. Add a field to these lines here.
 *
 * Threads: owner only, except for request_log_describe.
 */
#ifndef WSGI_FCGI_NET_REQUEST_LOG_H
#define WSGI_FCGI_NET_REQUEST_LOG_H

#include "base/log.h"
#include "request/request.h"

struct conn;
struct lane;

/* Logs the end of request `id` of a connection: status, bytes of the answer's body, time, method and target. */
void request_log_write(const struct conn *c, unsigned id, const struct request *r);

/* The same, but only at --log-level debug; costs nothing otherwise. */
static inline void request_log_end(const struct conn *c, unsigned id, const struct request *r) {
    if (log_max_level >= LOG_LEVEL_DEBUG)
        request_log_write(c, id, r);
}

/* Logs `what`, and which calls have run for longest. Returns false, without logging, if none runs. */
bool request_log_oldest(struct lane *lane, const char *what);

/* Writes to `out` which requests run, as the end of a log line; leaves it alone if none runs. `lane`: a struct lane.
 * Any thread, whatever the others do: it takes no lock, and reads by a system call what may be gone. */
void request_log_describe(void *lane, char *out, size_t size);

#endif
