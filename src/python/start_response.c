#include "config.h"

#include "base/ascii.h"
#include "python/call.h"
#include "python/compat.h"

/* Which bytes a field name and a field value may have (RFC 9110, sections 5.6.2 "tchar" and 5.5: no control characters
 * but the tab; with CR and LF a value could add header fields of its own). */
enum { TOKEN = 1, VALUE = 2 };
static unsigned char allowed[256];

void start_response_init(void) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        bool token =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(others, c));
        bool value = (c >= 0x20 && c != 0x7f) || c == '\t';
        allowed[c] = (unsigned char)((token ? TOKEN : 0) | (value ? VALUE : 0));
    }
}

/* PEP 3333, "A Note on String Types": native strings that hold code points up to U+00FF. Borrows the bytes of `s`. */
static bool native_string(PyObject *s, const char *what, struct slice *out) {
    if (!PyUnicode_Check(s)) {
        PyErr_Format(PyExc_TypeError, "%s must be str, not %.100s", what, Py_TYPE(s)->tp_name);
        return false;
    }
    if (compat_str_ready(s))
        return false;
    if (PyUnicode_KIND(s) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "%s %R has a character beyond latin-1", what, s);
        return false;
    }
    *out = (struct slice){(const char *)PyUnicode_1BYTE_DATA(s), (size_t)PyUnicode_GET_LENGTH(s)};
    return true;
}

static inline bool only(unsigned char kind, struct slice s) {
    unsigned char all = kind;
    for (size_t i = 0; i < s.n; i++)
        all &= allowed[(unsigned char)s.p[i]];
    return all;
}

/* PEP 3333, "The start_response() Callable": "999 Message here"; the reason may be left out. */
static bool take_status(struct wsgi_call *call, PyObject *status) {
    struct slice s;
    if (!native_string(status, "the status", &s))
        return false;
    bool digits = s.n >= 3 && s.p[0] >= '2' && s.p[0] <= '9' && s.p[1] >= '0' && s.p[1] <= '9' && s.p[2] >= '0' &&
                  s.p[2] <= '9' && (s.n == 3 || s.p[3] == ' ');
    if (s.n > REQUEST_STATUS_MAX) {
        PyErr_Format(PyExc_ValueError, "the status is longer than %d characters", REQUEST_STATUS_MAX);
        return false;
    }
    if (!digits || !only(VALUE, s)) {
        PyErr_Format(PyExc_ValueError, "the status %R is not of the form '200 OK'", status);
        return false;
    }
    char *out = call->r->status;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    call->no_body = call->head_only || !strncmp(out, "204", 3) || !strncmp(out, "304", 3);
    return true;
}

static bool name_is(struct slice name, const char *other) {
    return ascii_equals_nocase(name.p, other, name.n) && !other[name.n];
}

/* PEP 3333, "Other HTTP Features": hop-by-hop headers (RFC 2616, section 13.5.1, which writes "Trailers" for "Trailer")
 * are an error, and so are others about the connection. "Status" is the name that CGI keeps for itself (RFC 3875,
 * section 6.3.3). */
static bool is_forbidden(struct slice name) {
    switch (name.n) {
    case 2:
        return name_is(name, "te");
    case 6:
        return name_is(name, "status");
    case 7:
        return name_is(name, "upgrade") || name_is(name, "trailer");
    case 8:
        return name_is(name, "trailers");
    case 10:
        return name_is(name, "connection") || name_is(name, "keep-alive");
    case 16:
        return name_is(name, "proxy-connection");
    case 17:
        return name_is(name, "transfer-encoding");
    case 18:
        return name_is(name, "proxy-authenticate");
    case 19:
        return name_is(name, "proxy-authorization");
    default:
        return false;
    }
}

static bool take_length(struct wsgi_call *call, struct slice value) {
    uint64_t length = 0;
    bool good = value.n > 0 && value.n < 19;
    for (size_t i = 0; good && i < value.n; i++) {
        good = value.p[i] >= '0' && value.p[i] <= '9';
        length = length * 10 + (uint64_t)(value.p[i] - '0');
    }
    if (!good || (call->length_set && call->length != length)) {
        PyErr_SetString(PyExc_ValueError, good ? "two Content-Length headers" : "Content-Length is not a number");
        return false;
    }
    call->length_set = true;
    call->length = length;
    return true;
}

static bool take_header(struct wsgi_call *call, PyObject *item) {
    struct slice name, value;
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2) {
        PyErr_Format(PyExc_TypeError, "a header must be a tuple (name, value), not %R", item);
        return false;
    }
    if (!native_string(PyTuple_GET_ITEM(item, 0), "a header name", &name) ||
        !native_string(PyTuple_GET_ITEM(item, 1), "a header value", &value))
        return false;
    if (!name.n || !only(TOKEN, name) || !only(VALUE, value)) {
        PyErr_Format(PyExc_ValueError, "the header %R has a character that headers must not have", item);
        return false;
    }
    if (is_forbidden(name)) {
        PyErr_Format(PyExc_ValueError, "the header %R is not the application's to set (PEP 3333)", item);
        return false;
    }
    if (name.n == 14 && ascii_equals_nocase(name.p, "content-length", 14)) {
        bool again = call->length_set;
        if (!take_length(call, value) || again)
            return !PyErr_Occurred();
    }
    struct buf *head = &call->r->head;
    if (buf_reserve(head, name.n + value.n + 4)) {
        PyErr_NoMemory();
        return false;
    }
    char *at = buf_tail(head);
    memcpy(at, name.p, name.n);
    memcpy(at + name.n, ": ", 2);
    if (value.n)
        memcpy(at + name.n + 2, value.p, value.n);
    memcpy(at + name.n + 2 + value.n, "\r\n", 2);
    head->end += name.n + value.n + 4;
    return true;
}

static bool take_headers(struct wsgi_call *call, PyObject *headers) {
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "the headers must be a list, not %.100s", Py_TYPE(headers)->tp_name);
        return false;
    }
    call->length_set = false;
    buf_reset(&call->r->head, REQUEST_KEEP_BYTES);
    /* The size is read anew each time: formatting an error runs the application's code. */
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(headers, i));
        bool taken = take_header(call, item);
        Py_DECREF(item);
        if (!taken)
            return false;
    }
    return true;
}

/* PEP 3333, "The start_response() Callable": with exc_info after the headers were sent, the exception is raised, as
 * exc_info[1].with_traceback(exc_info[2]). */
static void raise_exc_info(PyObject *exc_info) {
    PyObject *value = PyTuple_GET_ITEM(exc_info, 1), *traceback = PyTuple_GET_ITEM(exc_info, 2);
    if (!PyExceptionInstance_Check(value))
        PyErr_SetString(PyExc_RuntimeError, "start_response() with exc_info after the headers were sent");
    else if (!PyTraceBack_Check(traceback) || !PyException_SetTraceback(value, traceback))
        compat_err_restore(Py_NewRef(value));
}

/* The argument exc_info: *given becomes whether there is one. As in PEP 3333's own gateway, what is false is none. */
static bool take_exc_info(PyObject *exc_info, bool *given) {
    int truth = PyObject_IsTrue(exc_info);
    *given = truth > 0;
    if (truth <= 0)
        return !truth;
    if (PyTuple_Check(exc_info) && PyTuple_GET_SIZE(exc_info) == 3)
        return true;
    PyErr_Format(PyExc_TypeError, "exc_info must be a tuple as sys.exc_info() returns it, not %.100s",
                 Py_TYPE(exc_info)->tp_name);
    return false;
}

/* Gives start_response(status, headers[, exc_info]); exc_info may be given by its name. */
static bool take_arguments(PyObject *const *args, size_t nargsf, PyObject *names, PyObject **exc_info) {
    Py_ssize_t n = PyVectorcall_NARGS(nargsf), named = names ? PyTuple_GET_SIZE(names) : 0;
    if (n == 2 && named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "exc_info") == 0)
        *exc_info = args[2];
    else if (!named && (n == 2 || n == 3))
        *exc_info = n == 3 ? args[2] : NULL;
    else {
        PyErr_SetString(PyExc_TypeError, "start_response() takes (status, headers, exc_info=None)");
        return false;
    }
    bool given = false;
    if (*exc_info && *exc_info != Py_None && !take_exc_info(*exc_info, &given))
        return false;
    if (!given)
        *exc_info = NULL;
    return true;
}

PyObject *start_response(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names) {
    struct wsgi_call *call = (struct wsgi_call *)self;
    PyObject *exc_info;
    if (!take_arguments(args, nargsf, names, &exc_info))
        return NULL;
    if (!call->r || call->ended) {
        PyErr_SetString(PyExc_RuntimeError, "start_response() after the answer has ended");
        return NULL;
    }
    /* A head that another thread is sending counts as sent. */
    if (exc_info && (call->sending || call->r->head_stored)) {
        raise_exc_info(exc_info);
        return NULL;
    }
    if (call->called && !exc_info) {
        PyErr_SetString(PyExc_AssertionError,
                        "start_response() was called before; pass exc_info to replace the answer");
        return NULL;
    }
    call->called = true;
    call->started = false;
    if (!take_status(call, args[0]) || !take_headers(call, args[1]))
        return NULL;
    call->started = true;
    return call_new_write(call);
}
