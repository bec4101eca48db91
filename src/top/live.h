/* The page in a terminal, over and over.
 *
 * Threads: main only.
 */
#ifndef WSGI_FCGI_TOP_LIVE_H
#define WSGI_FCGI_TOP_LIVE_H

#include "top/fetch.h"

/* Shows what `f`, which was begun and is FETCH_DONE, has brought, and asks again every `interval_ms`, until somebody
 * quits. `name`: of the server. Returns the exit status; what is wrong with the terminal was said. */
int live_run(struct fetch *f, const char *name, unsigned interval_ms, bool utf8);

#endif
