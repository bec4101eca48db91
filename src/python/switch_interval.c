#include "config.h"

#include <Python.h>

#include "python/switch_interval.h"

/* Mutable interval: GIL held. */
static struct {
    bool is_short;
    double before; /* 0: it was short already */
} interval;

/* Returns a negative number when there is none, as the application has removed it. */
static double get(void) {
    PyObject *function = PySys_GetObject("getswitchinterval");
    PyObject *seconds = function ? PyObject_CallNoArgs(function) : NULL;
    double value = seconds ? PyFloat_AsDouble(seconds) : -1;
    Py_XDECREF(seconds);
    PyErr_Clear();
    return value;
}

static void set(double seconds) {
    PyObject *function = PySys_GetObject("setswitchinterval");
    PyObject *result = function ? PyObject_CallFunction(function, "d", seconds) : NULL;
    Py_XDECREF(result);
    PyErr_Clear();
}

/* Python keeps it in microseconds. */
static bool is_above_short(double seconds) {
    return seconds > SWITCH_INTERVAL_SHORT * 1.02;
}

bool switch_interval_set_short(bool wanted) {
    if (interval.is_short == wanted)
        return false;
    interval.is_short = wanted;
    double now = get();
    if (wanted) {
        interval.before = is_above_short(now) ? now : 0;
        if (interval.before > 0)
            set(SWITCH_INTERVAL_SHORT);
    } else if (interval.before > 0 && now > SWITCH_INTERVAL_SHORT * 0.98 && !is_above_short(now)) {
        set(interval.before);
    }
    return true;
}
