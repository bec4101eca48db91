#include "config.h"

#include <Python.h>

#include "python/async_exc.h"

#include "base/log.h"
#include "base/log_limit.h"

#include <string.h>

void async_exc_drop(const struct request *r, bool its_own) {
    /* Mutable limit: any thread; it is atomic. */
    static struct log_limit limit;
    PyThreadState *state = PyThreadState_Get();
    PyObject *exc = Py_NewRef(compat_async_exc(state));
    compat_async_exc_drop(state);
    const char *type = PyType_Check(exc) ? ((PyTypeObject *)exc)->tp_name : Py_TYPE(exc)->tp_name;
    char text[REQUEST_TEXT_SIZE] = "", name[100], more[LOG_MORE_SIZE];
    log_escape(name, sizeof name, type, strlen(type));
    PyObject *raised = compat_err_take();
    Py_DECREF(exc);
    if (its_own)
        request_text(r, text, sizeof text);
    bool due = log_limit_due(&limit, more);
    Py_BEGIN_ALLOW_THREADS
    if (due)
        log_warning(
            "%s%sthe exception %s, which PyThreadState_SetAsyncExc() had set for the thread when its call had ended, "
            "was dropped: another call would have failed by it%s",
            text, its_own ? ": " : "", name, more);
    Py_END_ALLOW_THREADS
    if (raised)
        compat_err_restore(raised);
}
