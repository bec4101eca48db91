#include "config.h"

#include "python/wsgi/plan.h"

#include "python/names.h"

#include <stdlib.h>
#include <string.h>

enum {
    PLANS = 32,        /* shapes of requests that are remembered at a time */
    PLAN_PAIRS = 100,  /* requests with more parameters, or... */
    PLAN_BYTES = 8192, /* ...more bytes of them are made without a plan */
    SEEN = 256,        /* shapes without a plan that were seen */
    REFUSED_TIMES = 64 /* requests of a shape that could have no plan, before it is tried again */
};

struct plan_pair {
    unsigned start, end; /* in `params`: the pair with its lengths */
    unsigned name_length;
    unsigned name;
    bool shown; /* in the environ under its own name */
    struct name *cached;
};

struct plan {
    PyObject *env; /* NULL: an empty place */
    uint64_t shape;
    unsigned npairs;
    unsigned nbytes;
    struct plan_pair *pairs;
    char *params;
    PyObject *own[OWN_COUNT]; /* in `env`, which holds the references */
};

/* In the order of success, from which one that is new is never far: a plan that fits changes places with the one before
 * it, a new one comes in the middle, and the last one goes. So a plan that is needed again and again stays, whatever else
 * comes, unless many others are needed more often. */
static struct plan plans[PLANS], *order[PLANS];
static unsigned nplans;

/* Only a shape that comes again while it is remembered here gets a plan: who sends other names with each request makes
 * none, and takes none from others. */
static struct seen {
    uint64_t shape;
    unsigned refused; /* it could not have one: so many requests of this shape are made without another try */
} seen[SEEN];

static struct plan *plan_find(uint64_t shape) {
    for (unsigned i = 0; i < nplans; i++) {
        struct plan *plan = order[i];
        if (plan->shape != shape)
            continue;
        if (i) {
            order[i] = order[i - 1];
            order[i - 1] = plan;
        }
        return plan;
    }
    return NULL;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static int set_value(PyObject *env, const struct plan_pair *p, struct slice value) {
    PyObject *text = names_value(p->cached, value);
    int failed = text ? PyDict_SetItem(env, p->cached->key, text) : -1;
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
        if (p->shown && set_value(env, p, pair.value))
            return APPLY_FAILED;
        same = pos + params_common(plan->params + p->end, pos, min_size(plan->nbytes - p->end, (size_t)(end - pos)));
    }
    return pos == end ? APPLY_DIFFERS : APPLY_OTHER;
}

PyObject *plan_environ(const struct buf *params, const struct cgi_vars *vars, PyObject *own[static OWN_COUNT],
                       bool *complete) {
    struct plan *plan = plan_find(vars->shape);
    if (!plan)
        return NULL;
    /* A copy may run the garbage collector, that finalizers of the application, and these let another thread replace the
     * plan. Nothing from here to the return can. */
    PyObject *source = Py_NewRef(plan->env), *env = PyDict_Copy(source);
    bool same = plan->env == source;
    Py_DECREF(source);
    enum applied applied = env && same ? apply(plan, buf_head(params), buf_len(params), env) : APPLY_OTHER;
    if (applied >= APPLY_DIFFERS) {
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

/* Whether the environ has a pair of this name from before. */
static bool is_shown(const struct plan *plan, unsigned npairs, const struct name *name) {
    for (const struct plan_pair *p = plan->pairs; p < plan->pairs + npairs; p++) {
        if (p->shown && p->name_length == name->length && !memcmp(plan->params + p->name, name->text, name->length))
            return true;
    }
    return false;
}

/* Fills the pairs of a plan. Returns false when these parameters cannot have one: a name comes twice, or what other keys
 * may have been made of would have to be left out; or with an exception. */
static bool fill_pairs(struct plan *plan) {
    const char *pos = plan->params, *end = pos + plan->nbytes;
    struct params_pair pair;
    for (unsigned i = 0; i < plan->npairs; i++) {
        unsigned start = (unsigned)(pos - plan->params);
        if (params_next(&pos, end, &pair) != PARAMS_PAIR)
            return false;
        struct name *name = names_get(pair.name);
        if (!name)
            return false;
        bool shown = name->class != CGI_DROP && name->class != CGI_OWN;
        plan->pairs[i] = (struct plan_pair){
            .start = start,
            .end = (unsigned)(pos - plan->params),
            .name = (unsigned)(pair.name.p - plan->params),
            .name_length = (unsigned)pair.name.n,
            .shown = shown,
            .cached = name,
        };
        if (shown && is_shown(plan, i, name))
            return false;
        if ((name->personal || cgi_has_query(pair.value)) &&
            (cgi_names_server(pair.name) || blank(plan, name, pair.value)))
            return false;
    }
    return true;
}

static void plan_clear(struct plan *plan) {
    Py_CLEAR(plan->env);
    for (unsigned i = 0; plan->pairs && i < plan->npairs; i++)
        names_put(plan->pairs[i].cached);
    free(plan->pairs);
    free(plan->params);
    *plan = (struct plan){0};
}

/* Where a new plan comes. */
static struct plan *plan_place(void) {
    unsigned at = nplans / 2, last = nplans < PLANS ? nplans++ : PLANS - 1;
    struct plan *place = order[last] ? order[last] : &plans[last];
    memmove(order + at + 1, order + at, (last - at) * sizeof *order);
    return order[at] = place;
}

/* Whether a plan is to be made for this shape. */
static bool is_due(uint64_t shape) {
    struct seen *s = &seen[shape % SEEN];
    if (s->shape != shape) {
        *s = (struct seen){.shape = shape};
        return false;
    }
    if (!s->refused)
        return true;
    s->refused--;
    return false;
}

void plan_remember(const struct buf *params, const struct cgi_vars *vars, PyObject *env,
                   PyObject *const own_values[static OWN_COUNT]) {
    if (!vars->npairs || vars->npairs > PLAN_PAIRS || buf_len(params) > PLAN_BYTES || !is_due(vars->shape))
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
    bool filled = plan.env && plan.pairs && plan.params && fill_pairs(&plan);
    /* The copy may have let another thread make the same plan (plan_environ). */
    if (filled && !plan_find(vars->shape)) {
        struct plan *place = plan_place(), old = *place;
        *place = plan;
        plan = old;
    } else
        seen[vars->shape % SEEN].refused = REFUSED_TIMES;
    plan_clear(&plan);
    PyErr_Clear();
}

void plan_fini(void) {
    while (nplans)
        plan_clear(order[--nplans]);
}
