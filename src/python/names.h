/* A cache from parameter names to interned Python strings, with the value that each had last.
 *
 * Bounded: NAMES_MAX names of at most NAMES_LENGTH_MAX bytes, and values of at most NAMES_VALUE_MAX bytes; what is
 * beyond is made anew each time. All functions: GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_NAMES_H
#define WSGI_FCGI_PYTHON_NAMES_H

#include <Python.h>

#include "proto/cgi.h"

#include <stdbool.h>
#include <stdint.h>

enum { NAMES_SLOTS = 1024, NAMES_MAX = 512, NAMES_LENGTH_MAX = 64, NAMES_VALUE_MAX = 256, NAMES_PROBES = 8 };

struct name {
    PyObject *key; /* interned; NULL: a free slot */
    const char *text;
    uint32_t length;
    enum cgi_class class;
    bool personal;   /* its values are not kept (cgi.h) */
    PyObject *value; /* the last one, or NULL */
};

/* The entry of a name, made when it is new; NULL without an exception when the cache is full, NULL with one when there
 * is no memory. The entry stays valid for the life of the process. */
struct name *names_find(struct slice text);

/* New reference to the string of a value (latin-1), the same object as last time when the bytes are the same. */
PyObject *names_value(struct name *name, struct slice value);

/* New reference to a native string (PEP 3333, "A Note on String Types"): bytes decoded as latin-1. */
static inline PyObject *native_string_new(struct slice s) {
    return PyUnicode_DecodeLatin1(s.p ? s.p : "", (Py_ssize_t)s.n, NULL);
}

#endif
