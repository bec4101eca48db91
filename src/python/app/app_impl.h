/* What the files that find the application share: app.c and app_*.c.
 *
 * Threads: the main thread, GIL held, no exception pending; none is pending on return.
 */
#ifndef WSGI_FCGI_PYTHON_APP_APP_IMPL_H
#define WSGI_FCGI_PYTHON_APP_APP_IMPL_H

#include <Python.h>
#include <stdbool.h>
#include <stddef.h>

enum { APP_NAME_SIZE = 256, APP_TEXT_SIZE = 700 };

/* What the command line says, cut into its parts. */
struct app_spec {
    char *module;      /* dotted name, or a file's */
    char *file;        /* the absolute path of that file; NULL: it is a module */
    const char *start; /* where the server was started; NULL: not known */
    const char *name;  /* dotted; NULL until one of the default names was found */
    char *name_memory;
    bool factory;              /* what `name` leads to is called for the application, */
    PyObject *args;            /* with these positional arguments, a tuple; NULL: none */
    PyObject *kwargs;          /* and these named ones, a dict; NULL: none */
    char shown[APP_TEXT_SIZE]; /* all of it, for messages */
};

/* Cuts `text` into its parts; `start` becomes the member. Returns 0, or a status after printing. app_spec_fini is called
 * in any case. */
int app_spec_init(struct app_spec *s, const char *text, const char *start);
void app_spec_fini(struct app_spec *s);

/* Dotted name without empty parts, and without what the syntax of a spec is made of? */
bool app_is_dotted(const char *s);

/* Could what stands for the module be a file: has it a slash, or does it end in .py or .wsgi? */
bool app_names_file(const char *module);

/* Looks for the file, in the current directory and then where the server was started, and sets s->file when it is there
 * and meant. Returns 0, or a status after printing. */
int app_find_file(struct app_spec *s);

/* Prints that the file is in none of these. */
void app_report_no_file(const struct app_spec *s);

/* Loads s->file. New reference to its module, or NULL with *status after printing. */
PyObject *app_load_file(const struct app_spec *s, int *status);

/* Imports the module. New reference, or NULL with *status after printing. */
PyObject *app_import(const struct app_spec *s, int *status);

/* Prints the pending exception, which came while `doing` ("importing hello"), and returns the status it means. */
int app_report_exception(const char *doing);

/* Why an object is no WSGI application. */
enum app_fit {
    FIT_WSGI,
    FIT_NOT_CALLABLE,
    FIT_ASGI,
    FIT_FACTORY,   /* takes no arguments, but could be called without */
    FIT_ARGUMENTS, /* takes other arguments */
    FIT_INSTANCES, /* a class whose instances are no iterables */
};

/* Could `obj` be called as a WSGI application? `text` becomes its signature where that is the reason why not, and is
 * empty otherwise. */
enum app_fit app_fit(PyObject *obj, char *text, size_t size);

/* Might what is FIT_WSGI make the application just as well: is it a function that can be called without arguments, and has
 * parameters, none of them start_response? */
bool app_may_be_factory(PyObject *obj);

/* Has a call of `obj` a parameter start_response, as PEP 3333 names it? */
bool app_takes_start_response(PyObject *obj);

/* Writes the signature of `obj`, such as "(name, *, debug=False)"; "" when it has none. */
void app_signature(PyObject *obj, char *out, size_t size);

/* The function that a call of `obj` runs: itself, a method's, or its class's __call__. *bound becomes the number of
 * arguments (0 or 1) that the call binds. New reference, or NULL without an exception. */
PyObject *app_function_of(PyObject *obj, int *bound);

/* What in the module could have been meant, the likeliest first, as "hello:app, hello:create_app()"; empty when nothing
 * could. Where something looks like `wanted` (NULL: nothing), it is that alone, with "or" in between, and true is
 * returned. Nothing that was imported into the module is named, and no object that stands for another one is touched. */
bool app_candidates(char *out, size_t size, const struct app_spec *s, PyObject *module, const char *wanted);

#endif
