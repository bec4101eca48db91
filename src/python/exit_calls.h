/* How the application's handlers of signals end the process without cutting off what runs.
 *
 * Open it when such a handler cuts a stop short, or ends the process in a way that is not known here.
 *
 * Many set the signal back to what it does by default, and raise it again (signal.raise_signal, os.kill), or call
 * os._exit. That would cut off requests, and neither join threads nor run functions of atexit. So while handlers run
 * these functions raise SystemExit instead: the process ends as by sys.exit, with status 0 or that of os._exit.
 *
 * Replaced is the C function behind each, in the method table of Python's own module. So it does not matter where a
 * name was taken from ("from os import kill"), in which copy of a module it is (ddtrace loads modules of the standard
 * library twice), or whether it has a wrapper. A replacement is for the main thread; in other threads, and in a child
 * that is forked, it calls what it stands for. Whoever calls the C library itself (ctypes) is not reached.
 *
 * Everywhere else os._exit ends the process at once, as under python3; but the server hears of it first.
 *
 * Threads: the main thread, GIL held. No exception is left.
 */
#ifndef WSGI_FCGI_PYTHON_EXIT_CALLS_H
#define WSGI_FCGI_PYTHON_EXIT_CALLS_H

/* From now on `ends` is called with the status before os._exit ends the process. Not in children, nor for handlers of
 * signals as above. `ends`: any thread, GIL held. */
void exit_calls_report(void (*ends)(int status));

/* Around running the handlers. */
void exit_calls_replace(void);
void exit_calls_put_back(void);

/* From now on what is replaced stays so, and does what it stands for unless it is called between these two: which then
 * cost nothing. */
void exit_calls_stay(void);

#endif
