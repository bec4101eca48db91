/* How the application's handlers of signals end the process, as they mean to: most set the signal back to what it does by
 * default, and raise it again (signal.raise_signal, os.kill), or call os._exit. Both would cut the requests in work, and let
 * neither threads be joined nor functions of atexit come. While handlers run they raise SystemExit instead, so that the end
 * is that of sys.exit: status 0, or that of os._exit.
 *
 * What is replaced is the C function behind them, in the method table of Python's own module: that is what the names lead
 * to, wherever they were taken from ("from os import kill"), in whatever copy of a module (ddtrace loads modules of the
 * standard library twice), and behind a wrapper. For the main thread alone, and not in a child that it forks: for all
 * others the replacements call what they stand for. Not reached is who calls the C library itself (ctypes).
 *
 * Everywhere else os._exit ends the process at once, as it does under python3; only that the server hears of it before.
 *
 * Open it when a handler of the application's cuts a stop short, or ends the process in a way that is not known here.
 *
 * Threads: the main thread, GIL held. No exception is left.
 */
#ifndef WSGI_FCGI_PYTHON_EXIT_CALLS_H
#define WSGI_FCGI_PYTHON_EXIT_CALLS_H

/* From now on `ends` is called before os._exit ends the process, with its status. Not in children, nor for handlers of
 * signals as above. Any thread, GIL held. */
void exit_calls_watch(void (*ends)(int status));

void exit_calls_replace(void);
void exit_calls_put_back(void);

#endif
