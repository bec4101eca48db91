#include "config.h"

#include "python/wsgi/start_response.h"

#include "base/ascii.h"
#include "base/log.h"
#include "python/compat.h"
#include "python/wsgi/callables.h"
#include "request/answer.h"

#include <stddef.h>

/* Which bytes a field name and a field value may have (RFC 9110, sections 5.6.2 "tchar" and 5.5: no control characters
 * but the tab; with CR and LF a value could add header fields of its own). */
enum { TOKEN = 1, VALUE = 2 };
static unsigned char allowed[256]; /* Mutable allowed: start_response_init, before the first request. */

static void init_allowed(void) {
    for (int c = 0; c < 256; c++) {
        bool token = ascii_is_token_char((char)c);
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
        /* The code of a subclass may take it out of where it was found. */
        PyObject *held = Py_NewRef(s);
        PyErr_Format(PyExc_ValueError, "%s %R has a character beyond latin-1", what, held);
        Py_DECREF(held);
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

/* Of the characters that a value may have. */
static inline bool is_blank(char c) {
    return (unsigned char)c <= ' ';
}

static inline struct slice without_last_blanks(struct slice s) {
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Without the blanks around it, which are no part of a field's value (RFC 9110, 5.5). */
static struct slice trimmed(struct slice s) {
    s = without_last_blanks(s);
    while (s.n && is_blank(*s.p)) {
        s.p++;
        s.n--;
    }
    return s;
}

static bool is_status(struct slice s) {
    return s.n >= 3 && s.p[0] >= '1' && s.p[0] <= '9' && s.p[1] >= '0' && s.p[1] <= '9' && s.p[2] >= '0' &&
           s.p[2] <= '9' && (s.n == 3 || s.p[3] == ' ');
}

/* PEP 3333, "The start_response() Callable": "999 Message here"; the reason may be left out. */
static bool take_status(struct wsgi_call *call, PyObject *status) {
    struct slice s;
    if (!native_string(status, "the status", &s))
        return false;
    if (!only(VALUE, s)) {
        PyErr_Format(PyExc_ValueError, "the status %R has a character that it must not have", status);
        return false;
    }
    s = without_last_blanks(s);
    if (s.n > REQUEST_STATUS_MAX) {
        PyErr_Format(PyExc_ValueError, "the status is longer than %d characters", REQUEST_STATUS_MAX);
        return false;
    }
    if (!is_status(s)) {
        PyErr_Format(PyExc_ValueError, "the status %R is not of the form '200 OK'", status);
        return false;
    }
    /* RFC 9110, 15.2: an interim response, of which the protocol may have several in front of the answer. */
    if (s.p[0] == '1') {
        PyErr_Format(PyExc_ValueError, "a status of 1xx, such as %R, is not the application's to send", status);
        return false;
    }
    char *out = call->r->status;
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
    call->no_body = call->head_only || answer_content(out) != ANSWER_ANY;
    return true;
}

static bool name_is(struct slice name, const char *other) {
    return ascii_equals_nocase(name.p, other, name.n) && !other[name.n];
}

/* Headers that are left out of an answer. PEP 3333, "Other HTTP Features", forbids an application to set hop-by-hop headers
 * (RFC 2616, section 13.5.1, which writes "Trailers" for "Trailer"), and so others about the connection. It would have
 * start_response raise an error; but views that pass on what another server has answered have them, and nothing else of
 * such an answer is wrong. "Status" is the name that CGI keeps for itself (RFC 3875, section 6.3.3). */
#define HOP_BY_HOP "it is about the connection, which is the server's (PEP 3333)"
static const struct foreign {
    const char *name;
    size_t len;
    const char *why;
} foreign[] = {
#define FOREIGN(name, why)                                                                                             \
    { name, sizeof(name) - 1, why }
    FOREIGN("TE", HOP_BY_HOP),
    FOREIGN("Status", "the status is given by itself (RFC 3875)"),
    FOREIGN("Trailer", HOP_BY_HOP),
    FOREIGN("Upgrade", HOP_BY_HOP),
    FOREIGN("Trailers", HOP_BY_HOP),
    FOREIGN("Connection", HOP_BY_HOP),
    FOREIGN("Keep-Alive", HOP_BY_HOP),
    FOREIGN("Proxy-Connection", HOP_BY_HOP),
    FOREIGN("Transfer-Encoding", HOP_BY_HOP),
    FOREIGN("Proxy-Authenticate", HOP_BY_HOP),
    FOREIGN("Proxy-Authorization", HOP_BY_HOP),
#undef FOREIGN
};

enum { FOREIGN_COUNT = sizeof foreign / sizeof *foreign };

/* A bit for the length of each name that take_known() knows. */
#define BIT(n) (UINT64_C(1) << (n))
static const uint64_t known_lengths =
    BIT(2) | BIT(6) | BIT(7) | BIT(8) | BIT(10) | BIT(14) | BIT(16) | BIT(17) | BIT(18) | BIT(19);

/* Which of them the name is, as a set of one; 0: none. */
static unsigned find_foreign(struct slice name) {
    for (unsigned i = 0; i < FOREIGN_COUNT; i++) {
        if (foreign[i].len == name.n && name_is(name, foreign[i].name))
            return 1U << i;
    }
    return 0;
}

/* One line about each of them as long as the process lives: a view that sets one does so each time. */
static void tell_left_out(struct wsgi_call *call, unsigned names) {
    unsigned *told = &call->lane->app->told_foreign;
    char text[REQUEST_TEXT_SIZE];
    names &= ~*told;
    if (!names)
        return;
    *told |= names;
    request_text(call->r, text, sizeof text);
    Py_BEGIN_ALLOW_THREADS
    for (unsigned i = 0; i < FOREIGN_COUNT; i++) {
        if (names >> i & 1)
            log_warning("%s: the application's header %s was left out: %s; further ones are, without a line", text,
                        foreign[i].name, foreign[i].why);
    }
    Py_END_ALLOW_THREADS
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

/* Looks for the names that mean something here; called only for names of their lengths. True: the header is to be sent.
 * False: it is left out, or an exception is set. */
static bool take_known(struct wsgi_call *call, struct slice name, struct slice value, unsigned *left_out) {
    if (name.n == 14 && ascii_equals_nocase(name.p, "content-length", 14)) {
        bool again = call->length_set;
        return take_length(call, value) && !again;
    }
    if (name.n == 8 && name_is(name, "location")) {
        call->r->located = true;
        return true;
    }
    unsigned found = find_foreign(name);
    *left_out |= found;
    return !found;
}

static bool put_header(struct buf *head, struct slice name, struct slice value) {
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

static bool take_header(struct wsgi_call *call, PyObject *item, unsigned *left_out) {
    struct slice name, value;
    PyObject *first, *second;
    if (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2) {
        first = PyTuple_GET_ITEM(item, 0);
        second = PyTuple_GET_ITEM(item, 1);
    } else if (PyList_Check(item) && PyList_GET_SIZE(item) == 2) {
        first = PyList_GET_ITEM(item, 0);
        second = PyList_GET_ITEM(item, 1);
    } else {
        PyErr_Format(PyExc_TypeError, "a header must be (name, value), not %R%s", item,
                     PyUnicode_Check(item) ? "; of a mapping give list(headers.items())" : "");
        return false;
    }
    if (!native_string(first, "a header name", &name) || !native_string(second, "a header value", &value))
        return false;
    if (!name.n || !only(TOKEN, name) || !only(VALUE, value)) {
        PyErr_Format(PyExc_ValueError, "the header %R has a character that headers must not have", item);
        return false;
    }
    if (value.n && (is_blank(*value.p) || is_blank(value.p[value.n - 1])))
        value = trimmed(value);
    if (name.n < 20 && known_lengths >> name.n & 1 && !take_known(call, name, value, left_out))
        return !PyErr_Occurred();
    return put_header(&call->r->head, name, value);
}

static bool take_headers(struct wsgi_call *call, PyObject *headers, unsigned *left_out) {
    call->length_set = call->r->located = false;
    buf_reset(&call->r->head, REQUEST_KEEP_BYTES);
    /* The size is read anew each time: formatting an error runs the application's code. */
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(headers, i));
        bool taken = take_header(call, item, left_out);
        Py_DECREF(item);
        if (!taken)
            return false;
    }
    return true;
}

/* New list of the headers. PEP 3333 wants a list; whatever else gives pairs is asked for them, which runs code of the
 * application. */
static PyObject *list_headers(PyObject *headers) {
    bool dict = PyDict_Check(headers);
    if (dict || PyUnicode_Check(headers) || PyBytes_Check(headers) ||
        (!Py_TYPE(headers)->tp_iter && !PySequence_Check(headers)))
        return PyErr_Format(PyExc_TypeError, "the headers are of type %.100s, not a list of (name, value)%s",
                            Py_TYPE(headers)->tp_name, dict ? ": give list(headers.items())" : "");
    return PySequence_List(headers);
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

/* Whether the call may set the answer now; otherwise an exception is set. `before`: it was set before. */
static inline bool may_start(const struct wsgi_call *call, PyObject *exc_info, bool before) {
    if (!call->r || call->ended)
        PyErr_SetString(PyExc_RuntimeError, "start_response() after the answer has ended");
    else if (exc_info && (call->sending || call->r->head_stored))
        raise_exc_info(exc_info); /* a head that another thread is sending counts as sent */
    else if (before && !exc_info)
        PyErr_SetString(PyExc_AssertionError,
                        "start_response() was called before; pass exc_info to replace the answer");
    else
        return true;
    return false;
}

static PyObject *start_response(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names) {
    struct wsgi_call *call = (struct wsgi_call *)self;
    PyObject *exc_info;
    if (!take_arguments(args, nargsf, names, &exc_info) || !may_start(call, exc_info, call->called))
        return NULL;
    call->called = true;
    call->started = false;
    PyObject *headers = args[1], *made = NULL;
    if (!PyList_Check(headers)) {
        made = headers = list_headers(headers);
        /* What gave them may have done anything meanwhile, start_response() included. */
        if (!made || !may_start(call, exc_info, call->started)) {
            Py_XDECREF(made);
            return NULL;
        }
        call->started = false;
    }
    unsigned left_out = 0;
    bool taken = take_status(call, args[0]) && take_headers(call, headers, &left_out);
    Py_XDECREF(made);
    if (!taken)
        return NULL;
    call->started = true;
    if (left_out)
        tell_left_out(call, left_out);
    return write_new(call);
}

static void call_dealloc(PyObject *self) {
    spare_free(&((struct wsgi_call *)self)->lane->calls, self);
}

/* Mutable call_type: CPython, GIL held. */
static PyTypeObject call_type = {
    .ob_base = COMPAT_TYPE_HEAD,
    .tp_name = "wsgi_fcgi.start_response",
    .tp_basicsize = sizeof(struct wsgi_call),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(struct wsgi_call, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_dealloc = call_dealloc,
};

struct wsgi_call *start_response_new(struct pylane *lane, struct request *r) {
    struct wsgi_call *call = (struct wsgi_call *)spare_new(&lane->calls, &call_type);
    if (!call)
        return NULL;
    call->vectorcall = start_response;
    call_begin(call, lane, r);
    return call;
}

int start_response_init(void) {
    init_allowed();
    return compat_type_ready(&call_type);
}
