/* The interpreter while it runs, whoever has started it: its paths and output, its end, and how an exception becomes lines
 * of the log.
 *
 * Open it for sys.path and sys.stdout, for tracebacks in the log, and for the status of an end. How the program starts
 * Python is python/interp_start.h.
 *
 * Threads: interp_gil_is_unwanted, interp_wants_faulthandler, interp_describe_main, interp_prepare, interp_stop and
 * interp_run_atexit are called by the main thread; the others by any.
 */
#ifndef WSGI_FCGI_PYTHON_INTERP_H
#define WSGI_FCGI_PYTHON_INTERP_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the environment asks for a Python without its GIL; says so then in the log. GIL not needed. */
bool interp_gil_is_unwanted(void);

/* Whether Python's fault handler is to be on: unless PYTHONFAULTHANDLER is 0. Python itself takes every value but an empty
 * one for a yes; here that is the default, and "0" the way to say no. GIL not needed. */
bool interp_wants_faulthandler(void);

struct _object;

/* Makes __main__ like that of a program which consists of a directory: `file`, a str, is its file, and its own name stands
 * in its __spec__, by which a spawned child of multiprocessing knows that there is nothing to import again. Without a file
 * it would be taken for an interactive session (python-dotenv). GIL held. Returns 0, or -1 with an exception. */
int interp_describe_main(struct _object *file);

/* Puts `n` directories, and behind them `last`, in front of sys.path (NULL is left out), and lets sys.stdout write each
 * line at once. GIL held. Returns 0, or -1 with an exception. */
int interp_prepare(const char *const *directories, size_t n, const char *last);

/* Writes "Python 3.11.2", and once Python runs also " (/usr/bin/python3.11)" or the interpreter that stands for it.
 * The GIL is held, or Python was not started. Always terminated. */
void interp_describe(char *out, size_t size);

/* Ends Python: joins the threads of `threading` that are no daemons, runs atexit, flushes sys.stdout and sys.stderr,
 * frees the interpreter. GIL held on entry, no interpreter on return.
 * Returns 0, or EX_SOFTWARE when flushing failed (Python has printed why). */
int interp_stop(void);

/* Writes out what the application has printed: sys.stdout, sys.stderr, and the calling thread's incomplete line
 * (python/error_lines.h). GIL held. */
void interp_flush(void);

/* For an end with application threads that are stuck in Python: runs atexit's functions and flushes sys.stdout and
 * sys.stderr, joins and frees nothing. The caller then calls _exit. GIL held, before and after. */
void interp_run_atexit(void);

/* Takes the pending exception, if there is one, and returns the status with which python3 ends because of it: that of a
 * SystemExit, or 1 for another one, which it prints as python3 does; 0 without one. GIL held, before and after. */
int interp_take_exit_status(void);

/* Prints the pending exception as one error line `what` and its traceback, and clears it; only the line, when no
 * exception is pending. GIL held, and released while lines are written. Never exits the process, whatever the exception
 * is (SystemExit, KeyboardInterrupt), and prints at least its type when its own methods fail. Any thread. */
void interp_print_error(const char *what);

#endif
