/* Scheduler slices.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_SLICES_H
#define WSGI_FCGI_SUPERVISOR_SLICES_H

/* Asks for slices of 0.1 ms for this thread, and what it starts from now on: threads and processes. So a thread that is
 * woken gets a processor at once, although calls compute on all of them: since Linux 6.12 it would wait for the end of
 * their slices, of several milliseconds. Its share of the processor stays the same. Nothing changes for a process whose
 * scheduling policy somebody has chosen, nor where the kernel knows no such slices. */
void slices_shorten(void);

#endif
