/* Finding the WSGI application that the command line names.
 *
 * Threads: the main thread, GIL held, no exception pending; none is pending on return.
 */
#ifndef WSGI_FCGI_PYTHON_APP_H
#define WSGI_FCGI_PYTHON_APP_H

#include <Python.h>
#include <stddef.h>

/* Imports the module and finds the application. `spec` is one of
 *   pkg.mod:obj.attr       that attribute;
 *   pkg.mod                its `application`, or else its `app`;
 *   pkg.mod:create_app()   what this factory returns, called without arguments.
 * Returns a new reference to something that can be called with two arguments. Otherwise NULL, after printing what is
 * wrong, the traceback where there is one, and what to do; *status is then
 *   EX_USAGE     the spec cannot be read;
 *   EX_NOINPUT   there is no such module;
 *   EX_CONFIG    the module has no such attribute, or it is no WSGI application (not callable, ASGI, a factory);
 *   EX_SOFTWARE  importing the module or calling the factory raised an exception, SystemExit included;
 *   128 + N      signal N has interrupted it (python/interrupt.h), whatever the application made of that; 130 also when the
 *                application has raised a KeyboardInterrupt by itself.
 * No signal interrupts any more on return. */
PyObject *app_load(const char *spec, int *status);

/* Describes the application for people: its type, qualified name, file and line where they are known, such as
 * "function hello.app (/srv/hello.py:12)". Printable ASCII, always terminated. */
void app_describe(PyObject *app, char *out, size_t size);

#endif
