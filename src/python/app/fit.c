#include "config.h"

#include <Python.h>

#include "python/app/app_impl.h"

#include "python/compat.h"
#include "python/app/text.h"

#include <string.h>

PyObject *app_function_of(PyObject *obj, int *bound) {
    *bound = 0;
    if (PyFunction_Check(obj))
        return Py_NewRef(obj);
    *bound = 1;
    if (PyMethod_Check(obj) && PyFunction_Check(PyMethod_GET_FUNCTION(obj)))
        return Py_NewRef(PyMethod_GET_FUNCTION(obj));
    if (PyType_Check(obj) || PyMethod_Check(obj))
        return NULL;
    PyObject *call;
    if (compat_getattr_optional((PyObject *)Py_TYPE(obj), "__call__", &call) < 0)
        PyErr_Clear();
    if (call && PyFunction_Check(call))
        return call;
    Py_XDECREF(call);
    return NULL;
}

/* Can it be seen without the inspect module, which costs two megabytes, that two arguments fit? */
static bool fits_plainly(PyObject *obj) {
    int bound;
    PyObject *function = app_function_of(obj, &bound);
    if (!function)
        return false;
    const PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(function);
    PyObject *defaults = PyFunction_GET_DEFAULTS(function);
    int most = code->co_argcount - bound;
    int least = most - (defaults ? (int)PyTuple_GET_SIZE(defaults) : 0);
    bool fits = least <= 2 && (most >= 2 || code->co_flags & CO_VARARGS) && !code->co_kwonlyargcount &&
                !(code->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR));
    Py_DECREF(function);
    return fits;
}

/* Truth of inspect.NAME(obj); false when it raises. */
static bool inspect_says(PyObject *inspect, const char *name, PyObject *obj) {
    PyObject *answer = obj ? PyObject_CallMethod(inspect, name, "O", obj) : NULL;
    bool yes = answer && PyObject_IsTrue(answer) == 1;
    Py_XDECREF(answer);
    PyErr_Clear();
    return yes;
}

static bool is_async(PyObject *inspect, PyObject *obj) {
    PyObject *call = PyObject_GetAttrString((PyObject *)Py_TYPE(obj), "__call__");
    PyErr_Clear();
    bool yes = inspect_says(inspect, "iscoroutinefunction", obj) || inspect_says(inspect, "isasyncgenfunction", obj) ||
               inspect_says(inspect, "iscoroutinefunction", call);
    Py_XDECREF(call);
    return yes;
}

/* Is it certain that `signature` does not take `n` arguments? */
static bool refuses(PyObject *signature, int n) {
    PyObject *bound = n ? PyObject_CallMethod(signature, "bind", "OO", Py_None, Py_None)
                        : PyObject_CallMethod(signature, "bind", NULL);
    bool refused = !bound && PyErr_ExceptionMatches(PyExc_TypeError);
    Py_XDECREF(bound);
    PyErr_Clear();
    return refused;
}

/* inspect.signature(obj, follow_wrapped=False): a decorator's own parameters count, not those of what it wraps. New
 * reference, or NULL without an exception. */
static PyObject *signature_of(PyObject *inspect, PyObject *obj) {
    PyObject *signature = NULL, *method = PyObject_GetAttrString(inspect, "signature");
    PyObject *args = PyTuple_Pack(1, obj), *options = Py_BuildValue("{s:O}", "follow_wrapped", Py_False);
    if (method && args && options)
        signature = PyObject_Call(method, args, options);
    Py_XDECREF(method);
    Py_XDECREF(args);
    Py_XDECREF(options);
    PyErr_Clear();
    return signature;
}

static void text_of_signature(PyObject *signature, char *out, size_t size) {
    PyObject *str = PyObject_Str(signature);
    text_of(str, out, size);
    Py_XDECREF(str);
}

void app_signature(PyObject *obj, char *out, size_t size) {
    PyObject *inspect = PyImport_ImportModule("inspect");
    PyObject *signature = inspect ? signature_of(inspect, obj) : NULL;
    out[0] = '\0';
    if (signature)
        text_of_signature(signature, out, size);
    Py_XDECREF(signature);
    Py_XDECREF(inspect);
    PyErr_Clear();
}

/* Is it certain that a call of this class returns no iterable, as that of an application must (PEP 3333)? What it returns is
 * an instance, unless its metaclass or a __new__ that is not of C says otherwise. */
static bool makes_no_iterables(PyTypeObject *type) {
    PyObject *made;
    if (type->tp_iter || (type->tp_as_sequence && type->tp_as_sequence->sq_item) ||
        Py_TYPE(type)->tp_call != PyType_Type.tp_call)
        return false;
    if (compat_getattr_optional((PyObject *)type, "__new__", &made) < 0)
        PyErr_Clear();
    bool certain = made && PyCFunction_Check(made);
    Py_XDECREF(made);
    return certain;
}

bool app_may_be_factory(PyObject *obj) {
    int bound;
    PyObject *function = PyFunction_Check(obj) || PyMethod_Check(obj) ? app_function_of(obj, &bound) : NULL;
    if (!function)
        return false;
    PyObject *defaults = PyFunction_GET_DEFAULTS(function);
    int most = ((PyCodeObject *)PyFunction_GET_CODE(function))->co_argcount - bound;
    bool may = most > 0 && defaults && PyTuple_GET_SIZE(defaults) >= most && !app_takes_start_response(obj);
    Py_DECREF(function);
    return may;
}

enum app_fit app_fit(PyObject *obj, char *text, size_t size) {
    text[0] = '\0';
    if (!PyCallable_Check(obj))
        return FIT_NOT_CALLABLE;
    if (fits_plainly(obj))
        return FIT_WSGI;
    PyObject *inspect = PyImport_ImportModule("inspect");
    if (!inspect) {
        PyErr_Clear();
        return FIT_WSGI;
    }
    enum app_fit fit = FIT_WSGI;
    PyObject *signature = signature_of(inspect, obj);
    if (is_async(inspect, obj)) {
        fit = FIT_ASGI;
    } else if (signature && refuses(signature, 2)) {
        text_of_signature(signature, text, size);
        static const char asgi[] = "(scope, receive, send";
        if (!strncmp(text, asgi, sizeof asgi - 1))
            fit = FIT_ASGI;
        else
            fit = refuses(signature, 0) ? FIT_ARGUMENTS : FIT_FACTORY;
    } else if (PyType_Check(obj) && makes_no_iterables((PyTypeObject *)obj)) {
        fit = FIT_INSTANCES;
    }
    Py_XDECREF(signature);
    Py_DECREF(inspect);
    return fit;
}
