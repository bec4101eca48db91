#include "config.h"

#include "python/plan.h"

#include "python/names.h"

#include <stdlib.h>
#include <string.h>

enum {
    PLANS = 16,        /* shapes of requests that are remembered at a time */
    PLAN_PAIRS = 100,  /* requests with more parameters, or... */
    PLAN_BYTES = 8192, /* ...more bytes of them are made without a plan */
    PLAN_MISSES = 8    /* requests of another kind in the same place before a plan is replaced */
};

struct plan_pair {
    unsigned start, end; /* in `params`: the pair with its lengths */
    unsigned name_length;
    unsigned name;
    PyObject *key; /* owned by the cache of names; NULL: not in the environ under its own name */
    struct name *cached;
};

struct plan {
    PyObject *env; /* NULL: an empty place */
    uint32_t shape;
    unsigned npairs, misses;
    unsigned nbytes;
    struct plan_pair *pairs;
    char *params;
    PyObject *own[OWN_COUNT]; /* in `env`, which holds the references */
};

static struct plan plans[PLANS];

static struct plan *plan_of(const struct cgi_vars *vars) {
    return &plans[vars->shape % PLANS];
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static int set_value(PyObject *env, const struct plan_pair *p, struct slice value) {
    PyObject *text = names_value(p->cached, value);
    int failed = text ? PyDict_SetItem(env, p->key, text) : -1;
    Py_XDECREF(text);
    return failed;
}

enum applied {
    APPLY_FAILED,  /* with an exception */
    APPLY_OTHER,   /* the names are not those of the plan */
    APPLY_DIFFERS, /* what differs was set */
    APPLY_SAME     /* nothing differs */
};

/* Sets in `env` what differs between the plan and the parameters. */
static enum applied apply(const struct plan *plan, const char *params, size_t len, PyObject *env) {
    const char *pos = params, *end = params + len;
    const char *same = params + params_common(plan->params, params, min_size(plan->nbytes, len));
    if (same == end && len == plan->nbytes)
        return APPLY_SAME;
    for (const struct plan_pair *p = plan->pairs; p < plan->pairs + plan->npairs; p++) {
        bool equal = (size_t)(p->end - p->start) <= (size_t)(same - pos);
        if (equal) {
            pos += p->end - p->start;
            continue;
        }
        struct params_pair pair;
        if (params_next(&pos, end, &pair) != PARAMS_PAIR || pair.name.n != p->name_length ||
            memcmp(pair.name.p, plan->params + p->name, pair.name.n))
            return APPLY_OTHER;
        if (p->key && set_value(env, p, pair.value))
            return APPLY_FAILED;
        same = pos + params_common(plan->params + p->end, pos, min_size(plan->nbytes - p->end, (size_t)(end - pos)));
    }
    return pos == end ? APPLY_DIFFERS : APPLY_OTHER;
}

PyObject *plan_environ(const struct buf *params, const struct cgi_vars *vars, PyObject *own[static OWN_COUNT],
                       bool *complete) {
    struct plan *plan = plan_of(vars);
    if (!plan->env || plan->shape != vars->shape || plan->npairs != vars->npairs)
        return NULL;
    /* A copy may run the garbage collector, that finalizers of the application, and these let another thread replace the
     * plan. Nothing from here to the return can. */
    PyObject *source = Py_NewRef(plan->env), *env = PyDict_Copy(source);
    bool same = plan->env == source;
    Py_DECREF(source);
    enum applied applied = env && same ? apply(plan, buf_head(params), buf_len(params), env) : APPLY_OTHER;
    if (applied >= APPLY_DIFFERS) {
        plan->misses = 0;
        *complete = applied == APPLY_SAME;
        memcpy(own, plan->own, sizeof plan->own);
        return env;
    }
    Py_XDECREF(env);
    return NULL;
}

/* Puts zeros in the place of a personal value, in the parameters and in the environ: the plan is then that of a request
 * which has sent them. Returns 0, or -1 with an exception. */
static int blank(struct plan *plan, const struct name *name, struct slice value) {
    bool query = name->class == CGI_OWN && name->personal; /* QUERY_STRING */
    /* The others come from struct cgi_vars, and tell nothing of the kind; a dropped one is not in the environ. */
    if (name->class == CGI_OWN && !query)
        return 0;
    memset(plan->params + (value.p - plan->params), 0, value.n);
    if (name->class == CGI_DROP)
        return 0;
    PyObject *zeros = native_string_new(value);
    int failed = zeros ? PyDict_SetItem(plan->env, name->key, zeros) : -1;
    if (query)
        plan->own[OWN_QUERY_STRING] = zeros;
    Py_XDECREF(zeros);
    return failed;
}

/* Fills the pairs of a plan. Returns false when these parameters cannot have one: a name is not in the cache, or comes
 * twice, or what other keys may have been made of would have to be left out. */
static bool fill_pairs(struct plan *plan) {
    const char *pos = plan->params, *end = pos + plan->nbytes;
    struct params_pair pair;
    for (unsigned i = 0; i < plan->npairs; i++) {
        unsigned start = (unsigned)(pos - plan->params);
        if (params_next(&pos, end, &pair) != PARAMS_PAIR)
            return false;
        struct name *name = names_find(pair.name);
        if (!name)
            return false;
        bool shown = name->class != CGI_DROP && name->class != CGI_OWN;
        plan->pairs[i] = (struct plan_pair){
            .start = start,
            .end = (unsigned)(pos - plan->params),
            .name = (unsigned)(pair.name.p - plan->params),
            .name_length = (unsigned)pair.name.n,
            .key = shown ? name->key : NULL,
            .cached = name,
        };
        for (unsigned j = 0; shown && j < i; j++) {
            if (plan->pairs[j].key == name->key)
                return false;
        }
        if ((name->personal || cgi_has_query(pair.value)) &&
            (cgi_names_server(pair.name) || blank(plan, name, pair.value)))
            return false;
    }
    return true;
}

static void plan_clear(struct plan *plan) {
    Py_CLEAR(plan->env);
    free(plan->pairs);
    free(plan->params);
    *plan = (struct plan){0};
}

void plan_remember(const struct buf *params, const struct cgi_vars *vars, PyObject *env,
                   PyObject *const own_values[static OWN_COUNT]) {
    struct plan *place = plan_of(vars);
    if (!vars->npairs || vars->npairs > PLAN_PAIRS || buf_len(params) > PLAN_BYTES ||
        (place->env && ++place->misses < PLAN_MISSES))
        return;
    struct plan plan = {
        .shape = vars->shape,
        .npairs = vars->npairs,
        .nbytes = (unsigned)buf_len(params),
        .env = PyDict_Copy(env),
        .pairs = calloc(vars->npairs, sizeof *plan.pairs),
        .params = malloc(buf_len(params)),
    };
    memcpy(plan.own, own_values, sizeof plan.own);
    if (plan.params)
        memcpy(plan.params, buf_head(params), buf_len(params));
    if (plan.env && plan.pairs && plan.params && fill_pairs(&plan)) {
        plan_clear(place);
        *place = plan;
    } else
        plan_clear(&plan);
    PyErr_Clear();
}

void plan_fini(void) {
    for (unsigned i = 0; i < PLANS; i++)
        plan_clear(&plans[i]);
}
