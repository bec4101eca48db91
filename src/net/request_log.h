/* Lines of the log about requests: each one at its end (--log-level debug), and those that keep the threads busy,
 * or are cut off.
 *
 * Owner only, but for request_log_describe.
 */
#ifndef WSGI_FCGI_NET_REQUEST_LOG_H
#define WSGI_FCGI_NET_REQUEST_LOG_H

#include "base/log.h"
#include "request/request.h"

struct conn;
struct lane;

/* Logs the end of request `id` of a connection: status, bytes of the body, time, method and path. */
void request_log_write(const struct conn *c, unsigned id, const struct request *r);

/* The same at --log-level debug; costs nothing otherwise. */
static inline void request_log_end(const struct conn *c, unsigned id, const struct request *r) {
    if (log_max_level >= LOG_LEVEL_DEBUG)
        request_log_write(c, id, r);
}

/* Logs `what`, and which calls have run for longest. Returns false, without a line, when none runs. */
bool request_log_oldest(struct lane *lane, const char *what);

/* A request found no thread: a moment later it is logged which calls have run for longest. At the first one of a burst none
 * may have begun. There is one such line in ten seconds as long as it goes on. */
void request_log_busy(struct lane *lane);

/* For lane_new. */
void request_log_init(struct lane *lane);

/* Writes which requests run to `out`, or nothing: the end of a line. `lane`: a struct lane. Any thread, whatever the others do:
 * nothing is locked, and what is there no more is not read. */
void request_log_describe(void *lane, char *out, size_t size);

#endif
