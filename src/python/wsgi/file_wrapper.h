/* wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling").
 *
 * Open it for which files can be sent without Python; how they are sent is python/wsgi/file_sending.h.
 *
 * All functions: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_FILE_WRAPPER_H
#define WSGI_FCGI_PYTHON_WSGI_FILE_WRAPPER_H

#include "python/pyapp.h"

#include <stdbool.h>
#include <sys/types.h>

/* Makes the type that environ["wsgi.file_wrapper"] holds, and finds those of the io module whose files can be sent without
 * Python. New reference, or NULL with an exception. Call once. */
PyObject *file_wrapper_init(struct pyapp *app);

/* What is behind a file wrapper, when it can be read without Python. */
struct file_range {
    int fd; /* the server's own: the application may close its one, whose number is then that of another file */
    off_t start;
    off_t end;
};

/* Whether the object is a file_wrapper. */
bool file_wrapper_is(PyObject *iterable);

/* Whether `iterable` is a file_wrapper over an open regular file whose position is known; fills *range with what lies
 * between the position and the end, which the caller ends with file_range_close. No exception is set, whatever the
 * wrapped object does. Runs code of the application. */
bool file_wrapper_range(const struct pyapp *app, PyObject *iterable, struct file_range *range);

/* Closes its descriptor. */
void file_range_close(struct file_range *range);

#endif
