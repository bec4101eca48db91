/* Tells of an application that takes long to load: a line after 5 seconds, 10, 20 and so on, and one that says at which line
 * of Python it is, and of the module that is imported, as soon as that can be seen. C code that keeps the interpreter lock
 * keeps the second to itself as well.
 *
 * It takes a thread of its own, which waits outside of Python, takes no signals, and is gone when the application is loaded or
 * forks; `threading` knows nothing of it. What comes after a fork is not told.
 *
 * Threads: the main thread, GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_APP_LOAD_WATCH_H
#define WSGI_FCGI_PYTHON_APP_LOAD_WATCH_H

/* `spec` names the application in what is told. Without a thread, nothing is told. */
void load_watch_begin(const char *spec);

/* Waits for the thread to end, without the GIL. Not in a child. */
void load_watch_end(void);

#endif
