/* The embedded interpreter: its start, its end, and how an exception becomes lines of the log.
 *
 * Open it for how Python is set up: sys.path, sys.argv, __main__, what it is told by the environment.
 *
 * Threads: interp_start, interp_stop and interp_run_atexit are called by the main thread; the others by any.
 * Errors of the start are printed (log_error) as what is wrong and what to do; the caller only exits with the status.
 */
#ifndef WSGI_FCGI_PYTHON_INTERP_H
#define WSGI_FCGI_PYTHON_INTERP_H

#include <stdbool.h>
#include <stddef.h>

struct interp_config {
    char *const *argv;             /* the command line of the server, at least one word, with a NULL behind */
    const char *venv;              /* the virtual environment, or what is in it (python/venv.h); NULL: none */
    bool venv_from_env;            /* `venv` came from VIRTUAL_ENV, not from --venv: errors name the right one */
    const char *chdir;             /* absolute directory to put on sys.path; NULL: none. Not changed to. */
    const char *const *pythonpath; /* directories to put in front of it, in this order */
    size_t npythonpath;
};

/* Starts Python as `python3` would, environment variables (PYTHONPATH, PYTHONDEVMODE, ...) included, with
 *   - sys.path: the directories of `pythonpath`, `chdir`, then what Python itself puts there;
 *   - sys.argv: the first word of `argv` alone, so that an application that parses its arguments when imported sees
 *     none; sys.orig_argv: all of it, which is what setproctitle looks for in memory;
 *   - sys.executable: a real Python, DIR/bin/python of a virtual environment, so that what runs it (subprocess,
 *     multiprocessing) starts Python and not a second server;
 *   - a __main__ module whose __file__ is the server and that cannot be imported again, as its __spec__ says;
 *   - SIGINT raising KeyboardInterrupt, unless the caller has a handler by now; SIGPIPE and SIGXFSZ ignored;
 *   - faulthandler enabled, unless PYTHONFAULTHANDLER is 0: a crash shows the tracebacks of all threads;
 *   - sys.stdout line-buffered, also into a pipe or a file, so that what an application prints shows up at once
 *     (PYTHONUNBUFFERED still makes it unbuffered).
 * Returns 0 with the GIL held by the calling (main) thread. Otherwise a sysexits status, after printing: EX_CONFIG
 * (the virtual environment is none, or was made by another Python version; the Python installation is incomplete),
 * EX_NOINPUT (its directory does not exist), EX_SOFTWARE (anything else). Nothing of Python may be called then. */
int interp_start(const struct interp_config *config);

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

/* Prints the pending exception as one error line `what` and its traceback, and clears it. GIL held, exception set.
 * Never exits the process, whatever the exception is (SystemExit, KeyboardInterrupt), and prints at least its type
 * when its own methods fail. Any thread. */
void interp_print_error(const char *what);

#endif
