/* The controlling terminal of the process.
 *
 * Threads: any. Async-signal-safe.
 */
#ifndef WSGI_FCGI_PROCESS_TERMINAL_H
#define WSGI_FCGI_PROCESS_TERMINAL_H

#include <stdbool.h>

/* Whether there is one. `otherwise`: the answer when the system does not say (a container without /dev/tty). */
bool terminal_is_there(bool otherwise);

#endif
