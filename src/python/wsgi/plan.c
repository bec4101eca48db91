#include "config.h"

#include "python/wsgi/plan.h"

#include <stdlib.h>
#include <string.h>

struct plan {
    uint64_t sample;          /* the number of the one that its parameters were like */
    PyObject *env;            /* NULL: there can be no plan for these names */
    bool whole;               /* the own values of the sample are in it, all of them */
    struct cgi_pairs changed; /* from the sample: the values are left out */
    unsigned npairs;
    struct name **names;      /* of each pair, when it is in the environ under its own name, else NULL */
    PyObject *own[OWN_COUNT]; /* in `env`, which holds the references */
};

int plan_init(struct pylane *lane) {
    lane->plans = calloc(CGI_MEMO_SAMPLES, sizeof *lane->plans);
    if (!lane->plans)
        PyErr_NoMemory();
    return lane->plans ? 0 : -1;
}

/* Sets the values of these pairs. Returns 0, or -1 with an exception. */
static int set_changed(const struct plan *plan, const struct buf *params, const struct cgi_pairs *changed,
                       PyObject *env) {
    const char *pos = buf_head(params), *end = pos + buf_len(params);
    struct params_pair pair;
    for (unsigned i, at = 0; (i = cgi_pairs_next(changed, at)) < plan->npairs; at = i + 1) {
        struct name *name = plan->names[i];
        pos = params_pass(pos, end, i - at);
        if (params_next(&pos, end, &pair) != PARAMS_PAIR || !name)
            continue;
        PyObject *value = name_cache_value(name, pair.value);
        int failed = value ? PyDict_SetItem(env, name->key, value) : -1;
        Py_XDECREF(value);
        if (failed)
            return -1;
    }
    return 0;
}

PyObject *plan_environ(const struct pylane *lane, const struct buf *params, const struct cgi_likeness *like,
                       PyObject *own[static OWN_COUNT], bool *complete) {
    struct plan *plan = &lane->plans[like->place];
    if (!like->sample || plan->sample != like->sample || !plan->env)
        return NULL;
    /* A copy may run the garbage collector, that finalizers of the application, and these let another thread replace the
     * plan. Nothing from here to the return can. */
    PyObject *source = Py_NewRef(plan->env), *env = PyDict_Copy(source);
    bool same = plan->env == source;
    Py_DECREF(source);
    struct cgi_pairs changed = cgi_pairs_union(&plan->changed, &like->changed);
    if (env && (!same || (cgi_pairs_any(&changed) && set_changed(plan, params, &changed, env))))
        Py_CLEAR(env);
    if (env) {
        *complete = plan->whole && !like->read_changed;
        memcpy(own, plan->own, sizeof plan->own);
    }
    return env;
}

/* Whether an earlier pair has this name, too. */
static bool is_repeated(const struct plan *plan, unsigned i) {
    for (unsigned k = 0; k < i; k++)
        if (plan->names[k] && plan->names[k]->length == plan->names[i]->length &&
            !memcmp(plan->names[k]->text, plan->names[i]->text, plan->names[i]->length))
            return true;
    return false;
}

/* Fills the names of a plan, and takes the values of what changed out of its environ. Returns whether it can be used; not
 * when a name comes twice, since the environ has one value of both, nor with an exception. */
static bool fill_names(struct plan *plan, const struct buf *params) {
    const char *pos = buf_head(params), *end = pos + buf_len(params);
    struct params_pair pair;
    for (unsigned i = 0; params_next(&pos, end, &pair) == PARAMS_PAIR; i++) {
        struct name *name = name_cache_get(pair.name);
        if (!name)
            return false;
        if (name->class == CGI_DROP || name->class == CGI_OWN) {
            name_cache_put(name);
            continue;
        }
        plan->names[i] = name;
        if (is_repeated(plan, i) || (cgi_pairs_has(&plan->changed, i) && PyDict_SetItem(plan->env, name->key, Py_None)))
            return false;
    }
    return true;
}

static bool is_kept(const struct name *name, PyObject *value) {
    struct slice text = {(const char *)PyUnicode_1BYTE_DATA(value), (size_t)PyUnicode_GET_LENGTH(value)};
    return !text.n || (!name->personal && !cgi_has_query(text));
}

/* Notes the own values, and takes those that are not to be kept out of the environ. Returns 0, or -1 with an exception. */
static int fill_own(struct plan *plan, struct name *const own[static OWN_COUNT],
                    PyObject *const values[static OWN_COUNT]) {
    for (unsigned i = 0; i < OWN_COUNT; i++) {
        if (!values[i])
            continue;
        if (is_kept(own[i], values[i]))
            plan->own[i] = values[i];
        else if (PyDict_SetItem(plan->env, own[i]->key, Py_None))
            return -1;
        else
            plan->whole = false;
    }
    return 0;
}

/* Its copy of the prototype's label goes with it. */
static void drop_env(struct pylane *lane, struct plan *plan) {
    if (plan->env)
        lane->label_refs--;
    Py_CLEAR(plan->env);
}

static void plan_clear(struct pylane *lane, struct plan *plan) {
    drop_env(lane, plan);
    for (unsigned i = 0; plan->names && i < plan->npairs; i++)
        name_cache_put(plan->names[i]);
    free(plan->names);
    *plan = (struct plan){0};
}

void plan_remember(struct pylane *lane, const struct buf *params, const struct cgi_vars *vars, PyObject *env,
                   struct name *const own[static OWN_COUNT], PyObject *const values[static OWN_COUNT]) {
    const struct cgi_likeness *like = &vars->like;
    struct plan *place = &lane->plans[like->place];
    if (!like->sample || place->sample >= like->sample)
        return;
    struct plan plan = {
        .sample = like->sample,
        .env = PyDict_Copy(env),
        .changed = like->changed,
        .whole = !like->read_changed,
        .npairs = vars->npairs,
        .names = calloc(vars->npairs, sizeof *plan.names),
    };
    if (plan.env)
        lane->label_refs++;
    if (!plan.env || !plan.names || !fill_names(&plan, params) || fill_own(&plan, own, values))
        drop_env(lane, &plan);
    /* The copy may have let another thread make the same plan (plan_environ). */
    if (plan.names && !PyErr_Occurred() && place->sample < like->sample) {
        struct plan old = *place;
        *place = plan;
        plan = old;
    }
    plan_clear(lane, &plan);
    PyErr_Clear();
}

void plan_fini(struct pylane *lane) {
    for (unsigned i = 0; lane->plans && i < CGI_MEMO_SAMPLES; i++)
        plan_clear(lane, &lane->plans[i]);
    free(lane->plans);
    lane->plans = NULL;
}
