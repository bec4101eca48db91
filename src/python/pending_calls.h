/* Functions that C code leaves to the main thread with Py_AddPendingCall. Python runs them where the main thread runs code of
 * Python, which it does not do here: it sleeps, and has to be told. No function of Python tells whether any is pending, and to
 * ask for the GIL now and then would disturb those who need it, and an idle server. So this module defines
 * Py_AddPendingCall again: the dynamic linker finds that of the program first, for extensions and for ctypes.pythonapi. It
 * does what Python's does, and wakes the main thread.
 *
 * Open it when such a function runs late, or not at all.
 */
#ifndef WSGI_FCGI_PYTHON_PENDING_CALLS_H
#define WSGI_FCGI_PYTHON_PENDING_CALLS_H

/* Where a byte is written (PENDING_CALLS_BYTE) when a function was added: non-blocking; -1: nowhere, as in a child that the
 * application forks. Any thread. */
void pending_calls_set_wakeup(int fd);

enum { PENDING_CALLS_BYTE = 255 }; /* no number of a signal */

/* Writes it: the main thread is to look. Any thread, with or without the GIL; async-signal-safe. */
void pending_calls_wake(void);

#endif
