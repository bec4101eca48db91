/* Loading the application that the command line names: finding it, with a word in the log when that takes long.
 *
 * Open it for what can be named, and for what a start says that finds no application there.
 *
 * Threads: the main thread, GIL held, no exception pending; none is pending on return.
 */
#ifndef WSGI_FCGI_PYTHON_APP_APP_H
#define WSGI_FCGI_PYTHON_APP_APP_H

#include <Python.h>
#include <stddef.h>

/* Imports the module and finds the application. `spec` is one of
 *   pkg.mod:obj.attr                that attribute;
 *   pkg.mod                         its `application`, or else its `app`;
 *   pkg.mod:create_app()            what this factory returns,
 *   pkg.mod:make('x', debug=True)   and this one, with arguments that are literals of Python.
 * The path of a file can stand in the place of the module when it has a slash, or ends in .py or .wsgi and no such
 * module exists. A relative one is looked for in the current directory, as modules are, and then in `start`, the one in
 * which the server was started (NULL: not known). The directory of the file, or that above its packages, is put in
 * front of sys.path unless it is on it; the module has the file's name where import finds the file by it, packages
 * included. Returns a new reference to something that can be called with two arguments. Otherwise NULL, after printing
 * what is wrong, the traceback where there is one, and what to do; *status is then
 *   EX_USAGE     the spec cannot be read;
 *   EX_NOINPUT   there is no such module or file, or it is no file of text; EX_NOPERM: reading it is not permitted;
 *   EX_CONFIG    the module has no such attribute, it is no WSGI application (not callable, ASGI, a factory), or the
 *                factory does not take these arguments;
 *   EX_OSERR     there is no memory, or the directory of the file cannot be found;
 *   EX_SOFTWARE  importing the module or calling the factory raised an exception, SystemExit included;
 *   128 + N      signal N has interrupted it (python/load_interrupt.h), whatever the application made of that; 130 also when the
 *                application has raised a KeyboardInterrupt by itself.
 * No signal interrupts any more on return. A child that the application forks meanwhile ends instead of returning, lest
 * it goes on as a second server: child_is tells of forks from this call on (python/child.h). Call once. */
PyObject *app_load(const char *spec, const char *start, int *status);

/* Describes the application for people: its type, qualified name, file and line where they are known, such as
 * "function hello.app (/srv/hello.py:12)". Without what cannot be printed, always terminated. */
void app_describe(PyObject *app, char *out, size_t size);

#endif
