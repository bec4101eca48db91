/* Which request the calling thread runs: for code that was handed none, and has to name it or to send it something.
 *
 * Open it when a line, or an end of the process, should name the request in which it came.
 *
 * Threads: any, with or without the GIL. Each sees what it has set itself.
 */
#ifndef WSGI_FCGI_PYTHON_RUNNING_H
#define WSGI_FCGI_PYTHON_RUNNING_H

#include <stddef.h>

struct request;

/* The calling thread runs this request from now on; NULL: none. The request outlives that. */
void running_set(struct request *r);

/* The request that the calling thread runs, or NULL. Async-signal-safe. */
struct request *running_request(void);

/* Names it, such as "GET /path", in `out` of `size` bytes. Returns `out`, or NULL when the thread runs none.
 * Async-signal-safe. */
char *running_text(char *out, size_t size);

#endif
