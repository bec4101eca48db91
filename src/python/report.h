/* Lines of the log about a call that runs, with its Python stack. They are written by a thread of their own, since it may take
 * milliseconds to read a stack, and neither the owner of the loop nor anybody who needs the GIL is to wait for that.
 *
 * Open it when such a line lacks something, or comes too late.
 *
 * Threads: report_start and report_stop the main thread; report any, without waiting.
 */
#ifndef WSGI_FCGI_PYTHON_REPORT_H
#define WSGI_FCGI_PYTHON_REPORT_H

struct request;
struct sched_thread;

/* Starts the thread, in a process that serves. It sleeps until something is to be reported, takes no lock of Python's, and
 * blocks all signals. Returns 0; or -1 with errno. */
int report_start(void);

/* Ends it; what was asked for before is written. */
void report_stop(void);

/* Logs `line` as a warning, with what `thread` is doing and, on further lines of the same block, its Python stack: provided
 * that it still runs the call of `r` then (else with the word that it has ended). `line` is copied. At most REPORTS_MAX wait;
 * of more the line is logged without the stack, with the words that there were too many. */
enum { REPORTS_MAX = 64 };
void report(const struct request *r, struct sched_thread *thread, const char *line);

#endif
