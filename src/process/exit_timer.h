/* Ends the process in any case, after some time. It uses a thread of its own, and needs nothing of Python, no signal,
 * and no timer that an application may want for itself.
 */
#ifndef WSGI_FCGI_PROCESS_EXIT_TIMER_H
#define WSGI_FCGI_PROCESS_EXIT_TIMER_H

enum { EXIT_TIMER_PYTHON = 10 /* seconds that Python may take to end, after --graceful-timeout */ };

/* Ends the process with this status after `seconds`, whatever it is doing then. The first call starts the thread; a
 * later call replaces an earlier one. If the thread cannot be started, logs a warning and nothing ends the process. Any
 * thread. */
void exit_timer_set(unsigned seconds, int status);

#endif
