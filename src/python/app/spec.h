/* What the command line names as the application: reading it.
 *
 * Threads: the main thread, GIL held, no exception pending; none is pending on return.
 */
#ifndef WSGI_FCGI_PYTHON_APP_SPEC_H
#define WSGI_FCGI_PYTHON_APP_SPEC_H

#include "python/app/frozen.h"

#include <Python.h>
#include <stdbool.h>

enum { SPEC_SHOWN_SIZE = 700 };

/* Cut into its parts. */
struct spec {
    char *module;      /* dotted name, or a file's */
    char *name;        /* dotted, what stands behind the colon; NULL: nothing does, or no default name was found yet */
    bool factory;      /* what `name` leads to is called for the application, */
    PyObject *args;    /* with these positional arguments, a tuple; NULL: none */
    PyObject *kwargs;  /* and these named ones, a dict; NULL: none */
    const char *start; /* where the server was started; NULL: not known */
    char shown[SPEC_SHOWN_SIZE]; /* all of it, for messages */
    struct frozen frozen;
};

/* Cuts `text` into its parts. Returns 0, or a status after printing; spec_fini is called in any case. */
int spec_init(struct spec *s, const char *text, const char *start);
void spec_fini(struct spec *s);

/* Dotted name without empty parts, and without what the syntax of a spec is made of? */
bool spec_is_dotted(const char *s);

/* Could what stands for the module be a file? */
bool spec_names_file(const char *module);

#endif
