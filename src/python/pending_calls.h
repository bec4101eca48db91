/* Functions that C code leaves to the main thread with Py_AddPendingCall.
 *
 * Python runs them as soon as the main thread runs code of Python. Here that thread sleeps, and has to be woken. Python does
 * not tell whether a function is pending, and to look now and then would take the GIL from those who need it, and wake an
 * idle server. So this module defines Py_AddPendingCall again: it does what Python's does, and wakes the main thread. The
 * dynamic linker finds the program's own first, for extensions and for ctypes.pythonapi. A module that Python imports comes
 * after Python's own: there only functions that the server itself adds wake the thread, and others wait for the next signal
 * or call that runs on it.
 *
 * Open it when such a function runs late, or not at all.
 */
#ifndef WSGI_FCGI_PYTHON_PENDING_CALLS_H
#define WSGI_FCGI_PYTHON_PENDING_CALLS_H

/* Where a byte is written (PENDING_CALLS_BYTE) when a function was added: non-blocking; -1: nowhere, as in a child that the
 * application forks. Any thread. */
void pending_calls_set_wakeup(int fd);

/* The same as Py_AddPendingCall, for those that do not include Python.h: has the main thread call `function`, with the
 * GIL. Returns 0, or -1 when there is no room. Any thread, with or without the GIL. */
int pending_calls_add(int (*function)(void *), void *arg);

enum { PENDING_CALLS_BYTE = 255 }; /* no number of a signal */

/* Writes it, so that the main thread looks. Any thread, with or without the GIL; async-signal-safe. */
void pending_calls_wake(void);

#endif
