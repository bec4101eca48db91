/* Memory of freed objects, for the next ones of the same size: some objects are made anew for every request. Without it a
 * short request would take 2 % more instructions.
 *
 * Open it when a request makes another kind of object each time. Those that are kept belong to a lane (python/pyapp.h).
 *
 * GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_SPARE_H
#define WSGI_FCGI_PYTHON_SPARE_H

#include <Python.h>

enum { SPARE_MAX = 16 };

struct spare {
    PyObject *objects[SPARE_MAX];
    unsigned count;
};

/* New reference to an object of `type`, which is a static one without garbage collection and items; as with PyObject_New
 * its members are not set. NULL with an exception. All types that share a `spare` have one basic size. */
static inline PyObject *spare_new(struct spare *spare, PyTypeObject *type) {
    return spare->count ? PyObject_Init(spare->objects[--spare->count], type) : _PyObject_New(type);
}

/* Ends tp_dealloc of an object that spare_new made. */
static inline void spare_free(struct spare *spare, PyObject *self) {
    if (spare->count < SPARE_MAX)
        spare->objects[spare->count++] = self;
    else
        PyObject_Free(self);
}

#endif
