/* Lines of the log about an application that takes long to load.
 *
 * Open it for when they come, and what they say.
 *
 * After 5 seconds, 10, 20 and so on there is a line that says so, and one that says at which line of Python the application
 * is, and in which module that is being imported. The second has to wait for the GIL, and so for C code that keeps it.
 *
 * A thread of its own does this. It waits without the GIL, takes no signals, and is gone when the application is loaded
 * or forks (unless it waits for the GIL at that moment); `threading` does not know it. Nothing is told after a fork.
 *
 * Threads: the main thread, GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_APP_SLOW_LOAD_H
#define WSGI_FCGI_PYTHON_APP_SLOW_LOAD_H

/* `spec` names the application in what is told. Without a thread, nothing is told. */
void slow_load_begin(const char *spec);

/* Waits for the thread to end, without the GIL. If it has told something, logs that loading has ended. Not in a
 * child. */
void slow_load_end(void);

#endif
