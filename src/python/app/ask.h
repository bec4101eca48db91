/* What is asked of finding.py and diagnosis.py about a spec, what they answer, and what is printed when something is wrong.
 *
 * Threads: the main thread, GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_APP_ASK_H
#define WSGI_FCGI_PYTHON_APP_ASK_H

#include "python/app/frozen.h"
#include "python/app/spec.h"

#include <Python.h>

/* Calls a function of finding.py or diagnosis.py; `format` is that of Py_BuildValue, in parentheses. New reference,
 * or NULL with an exception. */
PyObject *ask_python(struct spec *s, enum frozen_file file, const char *function, const char *format, ...);

/* Takes an answer that is a status, after which what is wrong was printed. -1, without an exception, where there was
 * none. */
int ask_status(PyObject *answer);

/* The same of a function that was to print what is wrong. Where it could not, `text` has to do, and the status is
 * `plain`. */
int ask_refusal(const struct spec *s, PyObject *answer, int plain, const char *text);

/* Prints which signal ended the start, and returns the status it means. */
int report_interrupted(const char *doing);

/* Prints the pending exception, which came while `doing` ("importing hello"), and returns the status it means. */
int report_exception(struct spec *s, const char *doing);

/* Prints that there is no memory, and returns the status it means. */
int report_no_memory(void);

#endif
