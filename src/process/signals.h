/* The signals that end the server, and the pipe that wakes the main thread.
 *
 * Handlers are installed, not blocked: a blocked signal would be inherited by every program that the application runs.
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PROCESS_SIGNALS_H
#define WSGI_FCGI_PROCESS_SIGNALS_H

#include "net/listener.h"

#include <stdbool.h>

/* Makes the pipe. Returns 0, or -1 with errno. */
int signals_open(void);

/* Its ends: bytes written to the one make the other readable. Both are non-blocking. */
int signals_wake_fd(void);
int signals_read_fd(void);

/* Takes SIGTERM and SIGINT from now on. The first one sets signals_stop; the second removes the socket files of
 * `listeners`, which must stay valid, and ends the process at once. What `chain_term` and `chain_int` say was installed
 * by the application before is called as well. In children that the application forks the signals do what they did
 * before. */
void signals_install(const struct listener_set *listeners, bool chain_term, bool chain_int);

/* The number of the signal that asked for an end, or 0. */
int signals_stop(void);

/* Empties the pipe. Returns whether Python wrote to it: it writes the number of a signal, all others write zeros. */
bool signals_drain(void);

/* Ends the process with this status after so many seconds, whatever it is doing then. */
void signals_exit_after(unsigned seconds, int status);

#endif
