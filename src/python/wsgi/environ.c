#include "config.h"

#include "python/wsgi/environ.h"

#include "proto/decimal.h"
#include "proto/http_target.h"
#include "python/compat.h"
#include "python/name_cache.h"
#include "python/wsgi/callables.h"
#include "python/wsgi/input.h"
#include "python/wsgi/plan.h"

static const char *const own_names[OWN_COUNT] = {"REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO",       "QUERY_STRING",
                                                 "SERVER_NAME",    "SERVER_PORT", "SERVER_PROTOCOL", "CONTENT_LENGTH"};

/* Mutable own, key_input, key_connected, key_scheme, key_role, scheme_https, role_authorizer, key_id, key_parent,
 * key_state: environ_init, before the first request. */
static struct name *own[OWN_COUNT];
static PyObject *key_input, *key_connected, *key_scheme, *key_role, *scheme_https, *role_authorizer;
static PyObject *key_id, *key_parent, *key_state;

/* Sets a new reference, which is consumed; NULL passes its exception on. */
static int set_new(PyObject *dict, PyObject *key, PyObject *value) {
    int failed = value ? PyDict_SetItem(dict, key, value) : -1;
    Py_XDECREF(value);
    return failed;
}

static int set_named(PyObject *dict, const char *name, PyObject *value) {
    int failed = value ? PyDict_SetItemString(dict, name, value) : -1;
    Py_XDECREF(value);
    return failed;
}

/* A parameter that comes again: header fields are joined, of the others the last one counts. */
static int set_repeated(PyObject *env, PyObject *key, enum cgi_class class, PyObject *value) {
    PyObject *old = NULL, *joined = NULL;
    if (class == CGI_PASS)
        return PyDict_SetItem(env, key, value);
    if (compat_dict_get(env, key, &old) > 0)
        joined = PyUnicode_FromFormat("%U%s%U", old, class == CGI_COOKIE ? "; " : ", ", value);
    Py_XDECREF(old);
    return set_new(env, key, joined);
}

/* Sets `key`. When it is there already, as a key of the prototype is, it counts as one that comes again. */
static int set_parameter(PyObject *env, PyObject *key, enum cgi_class class, PyObject *value) {
    Py_ssize_t before = PyDict_GET_SIZE(env);
    if (!compat_dict_set_default(env, key, value))
        return -1;
    return PyDict_GET_SIZE(env) > before ? 0 : set_repeated(env, key, class, value);
}

static int add_pair(PyObject *env, const struct params_pair *pair) {
    struct name *name = name_cache_get(pair->name);
    int failed = name ? 0 : -1;
    if (name && name->class != CGI_DROP && name->class != CGI_OWN) {
        PyObject *value = name_cache_value(name, pair->value);
        failed = value ? set_parameter(env, name->key, name->class, value) : -1;
        Py_XDECREF(value);
    }
    name_cache_put(name);
    return failed;
}

/* An environ in the making. */
struct making {
    PyObject *env;
    PyObject *planned[OWN_COUNT]; /* what a plan has set for the own keys already; borrowed from env */
    PyObject *values[OWN_COUNT];  /* what is set; borrowed from env */
};

static int add_own_string(struct making *m, enum own_key which, PyObject *value) {
    m->values[which] = value;
    if (value && m->planned[which] == value) {
        Py_DECREF(value);
        return 0;
    }
    return set_new(m->env, own[which]->key, value);
}

static bool is_text(PyObject *string, struct slice value) {
    return (size_t)PyUnicode_GET_LENGTH(string) == value.n &&
           (!value.n || !memcmp(PyUnicode_1BYTE_DATA(string), value.p, value.n));
}

static int add_own(struct making *m, enum own_key which, struct slice value) {
    PyObject *planned = m->planned[which];
    if (planned && is_text(planned, value)) {
        m->values[which] = planned;
        return 0;
    }
    return add_own_string(m, which, name_cache_value(own[which], value));
}

/* New reference, or NULL with an exception. */
static PyObject *decoded_path(const struct slice path[static 2]) {
    PyObject *text = NULL;
    char *out = PyMem_Malloc(path[0].n + path[1].n);
    if (!out)
        return PyErr_NoMemory();
    size_t n = http_target_decode(path[0], out), more = n != SIZE_MAX ? http_target_decode(path[1], out + n) : SIZE_MAX;
    if (more != SIZE_MAX)
        text = native_string_new((struct slice){out, n + more});
    else
        PyErr_SetString(PyExc_ValueError, "the path is badly encoded");
    PyMem_Free(out);
    return text;
}

static int add_path(struct making *m, const struct cgi_vars *vars) {
    if (vars->path_encoded)
        return add_own_string(m, OWN_PATH_INFO, decoded_path(vars->path_info));
    if (!vars->path_info[1].n)
        return add_own(m, OWN_PATH_INFO, vars->path_info[0]);
    PyObject *head = native_string_new(vars->path_info[0]), *tail = native_string_new(vars->path_info[1]);
    PyObject *path = head && tail ? PyUnicode_Concat(head, tail) : NULL;
    Py_XDECREF(head);
    Py_XDECREF(tail);
    return add_own_string(m, OWN_PATH_INFO, path);
}

/* Set after the parameters, so that none of them can stand in for one of these. */
static int add_vars(struct making *m, const struct cgi_vars *vars) {
    return add_own(m, OWN_REQUEST_METHOD, vars->method) || add_own(m, OWN_SCRIPT_NAME, vars->script_name) ||
                   add_path(m, vars) || add_own(m, OWN_QUERY_STRING, vars->query) ||
                   add_own(m, OWN_SERVER_NAME, vars->server_name) || add_own(m, OWN_SERVER_PORT, vars->server_port) ||
                   add_own(m, OWN_SERVER_PROTOCOL, vars->protocol)
               ? -1
               : 0;
}

static int add_length(PyObject *env, int64_t length) {
    char digits[DECIMAL_MAX];
    if (length < 0)
        return 0;
    return set_new(env, own[OWN_CONTENT_LENGTH]->key,
                   name_cache_value(own[OWN_CONTENT_LENGTH], decimal(digits, (uint64_t)length)));
}

/* New reference, or NULL with an exception. */
static PyObject *ascii_new(const char *text, size_t n) {
    PyObject *string = PyUnicode_New((Py_ssize_t)n, 0x7f);
    if (string)
        memcpy(PyUnicode_1BYTE_DATA(string), text, n);
    return string;
}

/* The label, which has been checked; or what was sent, where labels are none of the server's business.
 *
 * A string of its own for each request would cost 3 % of a hello. But most have given it back when the next one comes,
 * and then this environ has the only reference beside those of the lane: nobody sees that it is written. */
static int add_id(PyObject *env, const struct wsgi_call *call) {
    const struct request *r = call->r;
    const struct pylane *lane = call->lane;
    if (r->id.n == REQUEST_ID_MADE && lane->label &&
        compat_rewrite(lane->label, lane->label_refs + 1, r->id.p, r->id.n))
        return 0;
    if (r->id.n)
        return set_new(env, key_id, ascii_new(r->id.p, r->id.n));
    return r->vars.request_id.p ? set_new(env, key_id, native_string_new(r->vars.request_id)) : 0;
}

/* Whether it has a place in its trace, and only a valid one. */
static int add_trace(PyObject *env, const struct request *r) {
    char parent[TRACE_PARENT_LEN];
    if (!r->traced)
        return PyDict_Contains(env, key_state) > 0 ? PyDict_DelItem(env, key_state) : 0;
    trace_context_put(&r->trace, parent);
    return set_new(env, key_parent, ascii_new(parent, sizeof parent));
}

/* What no plan can hold. */
static int add_rest(PyObject *env, struct wsgi_call *call) {
    if ((call->r->vars.https && PyDict_SetItem(env, key_scheme, scheme_https)) ||
        (call->r->role == REQUEST_NO_ROLE && PyDict_DelItem(env, key_role)) ||
        (call->r->role == REQUEST_AUTHORIZER && PyDict_SetItem(env, key_role, role_authorizer)) ||
        add_length(env, call->r->vars.content_length) || add_id(env, call) ||
        ((call->r->traced || call->r->vars.tracestate.p) && add_trace(env, call->r)))
        return -1;
    return set_new(env, key_input, input_new(call)) || set_new(env, key_connected, connected_new(call)) ? -1 : 0;
}

static void from_parameters(struct making *m, PyObject *prototype, const struct buf *params) {
    const char *pos = buf_len(params) ? buf_head(params) : "", *end = pos + buf_len(params);
    struct params_pair pair;
    m->env = PyDict_Copy(prototype);
    while (m->env && params_next(&pos, end, &pair) == PARAMS_PAIR) {
        if (add_pair(m->env, &pair))
            Py_CLEAR(m->env);
    }
}

PyObject *environ_new(struct wsgi_call *call) {
    const struct buf *params = &call->r->params;
    const struct cgi_vars *vars = &call->r->vars;
    struct making m = {0};
    bool complete = false;
    m.env = plan_environ(call->lane, params, &vars->like, m.planned, &complete);
    bool planned = m.env != NULL;
    /* Parameters that are the same may mean another SCRIPT_NAME: a prefix counts only from a trusted sender. */
    if (complete && !is_text(m.planned[OWN_SCRIPT_NAME], vars->script_name))
        complete = false;
    if (!m.env && PyErr_Occurred())
        return NULL;
    if (!m.env)
        from_parameters(&m, call->lane->prototype, params);
    if (m.env && !complete && add_vars(&m, vars))
        Py_CLEAR(m.env);
    if (m.env && !planned)
        plan_remember(call->lane, params, vars, m.env, own, m.values);
    if (m.env && add_rest(m.env, call))
        Py_CLEAR(m.env);
    return m.env;
}

static int init_prototype(struct pylane *lane, PyObject *errors, PyObject *file_wrapper, bool multithread,
                          bool multiprocess) {
    PyObject *prototype = lane->prototype = PyDict_New();
    if (!prototype)
        return -1;
    /* The keys that each request sets anew come first: their places in the dictionary are made once, here. */
    for (unsigned i = 0; i < OWN_CONTENT_LENGTH; i++) {
        if (PyDict_SetItem(prototype, own[i]->key, Py_None))
            return -1;
    }
    if (PyDict_SetItem(prototype, key_input, Py_None) || PyDict_SetItem(prototype, key_connected, Py_None) ||
        set_new(prototype, key_scheme, PyUnicode_InternFromString("http")) ||
        set_new(prototype, key_role, PyUnicode_InternFromString("RESPONDER")))
        return -1;
    /* RFC 3875, 4.1.4 and 4.1.17: always there. What the web server sends comes in their place. */
    if (set_named(prototype, "GATEWAY_INTERFACE", PyUnicode_InternFromString("CGI/1.1")) ||
        set_named(prototype, "SERVER_SOFTWARE", PyUnicode_InternFromString("wsgi-fcgi/" PACKAGE_VERSION)))
        return -1;
    if (set_named(prototype, "wsgi.version", Py_BuildValue("(ii)", 1, 0)) ||
        set_named(prototype, "wsgi.errors", Py_NewRef(errors)) ||
        set_named(prototype, "wsgi.file_wrapper", Py_NewRef(file_wrapper)) ||
        set_named(prototype, "wsgi.multithread", PyBool_FromLong(multithread)) ||
        set_named(prototype, "wsgi.multiprocess", PyBool_FromLong(multiprocess)) ||
        set_named(prototype, "wsgi.run_once", Py_NewRef(Py_False)) ||
        set_named(prototype, "wsgi.input_terminated", Py_NewRef(Py_True)))
        return -1;
    return 0;
}

int environ_init(struct pylane *lane, PyObject *errors, PyObject *file_wrapper, bool multithread, bool multiprocess) {
    name_cache_init();
    for (unsigned i = 0; i < OWN_COUNT; i++) {
        own[i] = name_cache_get((struct slice){own_names[i], strlen(own_names[i])});
        if (!own[i])
            return -1;
        name_cache_intern(own[i]);
    }
    key_input = PyUnicode_InternFromString("wsgi.input");
    key_connected = PyUnicode_InternFromString("wsgi_fcgi.client_connected");
    key_scheme = PyUnicode_InternFromString("wsgi.url_scheme");
    key_role = PyUnicode_InternFromString("FCGI_ROLE");
    scheme_https = PyUnicode_InternFromString("https");
    role_authorizer = PyUnicode_InternFromString("AUTHORIZER");
    key_id = PyUnicode_InternFromString("HTTP_X_REQUEST_ID");
    key_parent = PyUnicode_InternFromString("HTTP_TRACEPARENT");
    key_state = PyUnicode_InternFromString("HTTP_TRACESTATE");
    if (!key_id || !key_parent || !key_state)
        return -1;
    if (!key_input || !key_connected || !key_scheme || !key_role || !scheme_https || !role_authorizer)
        return -1;
    return plan_init(lane) ? -1 : init_prototype(lane, errors, file_wrapper, multithread, multiprocess);
}

int environ_set_worker(struct pylane *lane, unsigned number) {
    return set_named(lane->prototype, "wsgi_fcgi.worker", PyLong_FromUnsignedLong(number));
}

int environ_label_requests(struct pylane *lane) {
    lane->label = PyUnicode_New(REQUEST_ID_MADE, 0x7f);
    if (!lane->label)
        return -1;
    memset(PyUnicode_1BYTE_DATA(lane->label), '0', REQUEST_ID_MADE);
    lane->label_refs = 2;
    return PyDict_SetItem(lane->prototype, key_id, lane->label);
}

void environ_fini(struct pylane *lane) {
    plan_fini(lane);
    Py_CLEAR(lane->prototype);
    Py_CLEAR(lane->label);
}
