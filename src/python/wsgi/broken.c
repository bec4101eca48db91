#include "config.h"

#include <Python.h>

#include "python/wsgi/broken.h"

#include "base/buf.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { PART_MAX = 32768 /* bytes at the beginning, and as many at the end, that are shown of a text that is longer */ };

static const char HEAD[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>The application does not load</title>\n"
    "<style>body{font:100%/1.5 sans-serif;margin:2em}"
    "pre{font:.9em/1.4 monospace;background:#f4f4f4;color:#111;padding:1em;overflow-x:auto}</style>\n"
    "</head>\n"
    "<body>\n"
    "<h1>The application does not load</h1>\n"
    "<pre>";
static const char TAIL[] = "</pre>\n"
                           "<p>It is loaded again as soon as one of its files changes: then reload this page. "
                           "wsgi-fcgi shows it because of --reload.</p>\n"
                           "</body>\n"
                           "</html>\n";

static int put_text(struct buf *b, const char *text) {
    return buf_append(b, text, strlen(text));
}

/* Everything that could begin or end something in HTML, and controls, which are no characters of it. */
static int put_escaped(struct buf *b, const char *text, size_t len) {
    int failed = 0;
    for (size_t i = 0; i < len && !failed; i++) {
        const unsigned char c = (unsigned char)text[i];
        const char *special = c == '&'                                           ? "&amp;"
                              : c == '<'                                         ? "&lt;"
                              : c == '>'                                         ? "&gt;"
                              : c == '"'                                         ? "&quot;"
                              : c == '\''                                        ? "&#39;"
                              : (c < ' ' && c != '\n' && c != '\t') || c == 0x7f ? "&#xfffd;"
                                                                                 : NULL;
        failed = special ? put_text(b, special) : buf_append(b, text + i, 1);
    }
    return failed;
}

/* The beginning says where it began, and the end what has happened. Both are whole lines. */
static int put_shown(struct buf *b, const char *text, size_t len) {
    char left_out[100];
    if (len <= 2 * PART_MAX)
        return put_escaped(b, text, len);
    const char *head = memrchr(text, '\n', PART_MAX), *tail = memchr(text + len - PART_MAX, '\n', PART_MAX);
    const size_t head_len = head ? (size_t)(head + 1 - text) : 0, tail_at = tail ? (size_t)(tail + 1 - text) : len;
    snprintf(left_out, sizeof left_out, "\n[%zu bytes are left out here: the log has them]\n\n", tail_at - head_len);
    return put_escaped(b, text, head_len) || put_escaped(b, left_out, strlen(left_out)) ||
           put_escaped(b, text + tail_at, len - tail_at);
}

/* The application: `page` is what it was made with. */
static PyObject *answer(PyObject *page, PyObject *const *args, Py_ssize_t count) {
    char length[24];
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "a WSGI application takes two arguments");
        return NULL;
    }
    snprintf(length, sizeof length, "%zd", PyBytes_GET_SIZE(page));
    PyObject *write = PyObject_CallFunction(
        args[1], "s[(ss)(ss)(ss)(ss)(ss)]", "500 Internal Server Error", "Content-Type", "text/html; charset=utf-8",
        "Content-Length", length, "Cache-Control", "no-store", "X-Content-Type-Options", "nosniff",
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    if (!write)
        return NULL;
    Py_DECREF(write);
    return Py_BuildValue("[O]", page);
}

PyObject *broken_new(const char *text, size_t len) {
    static PyMethodDef method = {"application", (PyCFunction)(void (*)(void))answer, METH_FASTCALL, NULL};
    struct buf b = {0};
    const bool failed = put_text(&b, HEAD) || put_shown(&b, text, len) || put_text(&b, TAIL);
    PyObject *page = failed ? PyErr_NoMemory() : PyBytes_FromStringAndSize(buf_head(&b), (Py_ssize_t)buf_len(&b));
    PyObject *application = page ? PyCFunction_New(&method, page) : NULL;
    Py_XDECREF(page);
    buf_fini(&b);
    return application;
}
