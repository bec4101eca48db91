/* Parameter names as Python strings, each with the value that it had last: most requests bring the same ones.
 *
 * Open it for which names and values are kept, and for how long.
 *
 * A table remembers NAME_CACHE_MAX names of at most NAME_CACHE_LENGTH_MAX bytes. It is small and forgets. A new name takes the place
 * of one that was seldom asked for, and goes soon when nobody asks for it again: a peer that sends other names with each
 * request makes nobody else's slower. A name that somebody holds a reference to lives on when the table has forgotten it.
 *
 * All functions: GIL held. None runs code of the application.
 */
#ifndef WSGI_FCGI_PYTHON_NAME_CACHE_H
#define WSGI_FCGI_PYTHON_NAME_CACHE_H

#include <Python.h>

#include "proto/cgi_names.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    NAME_CACHE_MAX = 256,
    NAME_CACHE_LENGTH_MAX = 64,    /* a longer name is made anew each time */
    NAME_CACHE_VALUE_MAX = 256,    /* bytes of a value that is kept */
    NAME_CACHE_INTERNED_MAX = 4096 /* where COMPAT_INTERNED_STAY: so many are interned in the life of the process */
};

struct name {
    unsigned refs;
    uint32_t length;
    const char *text; /* of `key` */
    PyObject *key;
    PyObject *value; /* the last one, or NULL */
    enum cgi_class class;
    bool personal; /* its values are not kept (proto/cgi_names.h) */
    bool interned; /* `key` is, so that what the application looks up is the same object: from the second request on */
};

/* Once, before all others. */
void name_cache_init(void);

/* New reference to a name, for name_cache_put; NULL with an exception. */
struct name *name_cache_get(struct slice text);

/* Gives a reference back; NULL: does nothing. */
void name_cache_put(struct name *name);

/* Interns its string at once; does nothing once NAME_CACHE_INTERNED_MAX are interned, where that counts. */
void name_cache_intern(struct name *name);

/* New reference to the string of a value (latin-1), the same object as last time when the bytes are the same and that
 * one was kept: not that of a personal name, nor one that has a query or is longer than NAME_CACHE_VALUE_MAX. NULL with
 * an exception. */
PyObject *name_cache_value(struct name *name, struct slice value);

/* New reference to a native string (PEP 3333, "A Note on String Types"): bytes decoded as latin-1. */
static inline PyObject *native_string_new(struct slice s) {
    return PyUnicode_DecodeLatin1(s.p ? s.p : "", (Py_ssize_t)s.n, NULL);
}

#endif
