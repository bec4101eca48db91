/* How soon a thread that computes lets another have the interpreter lock which waits for it: sys.setswitchinterval(), 5 ms
 * unless the application sets it. A thread that serves quick requests waits that long each time it has to wait in C and
 * comes back, beside a call that computes.
 *
 * Open it when quick requests are slow beside a call that computes for long, or the interval is not what the application set.
 *
 * Threads: any, GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_SWITCH_INTERVAL_H
#define WSGI_FCGI_PYTHON_SWITCH_INTERVAL_H

#include <stdbool.h>

/* Seconds. Computing takes some percent longer beside others that compute, and quick requests are nearly as quick as
 * alone. */
#define SWITCH_INTERVAL_SHORT 0.00005

/* Makes it short, or as it was before. What the application sets meanwhile stays; so does one that is shorter. The same as
 * the time before: no effect, and returns false. */
bool switch_interval_set_short(bool wanted);

#endif
