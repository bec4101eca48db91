/* The end that comes in any case: on a thread of its own, which needs nothing of Python, no signal and no timer that an
 * application may want for itself. */
#ifndef WSGI_FCGI_PROCESS_EXIT_TIMER_H
#define WSGI_FCGI_PROCESS_EXIT_TIMER_H

enum { EXIT_TIMER_PYTHON = 10 /* seconds that the interpreter may take to end, beyond --graceful-timeout */ };

/* Ends the process with this status after so many seconds, whatever it is doing then. The first call starts the thread. A
 * later call takes the place of an earlier one. Any thread. */
void exit_timer_set(unsigned seconds, int status);

#endif
