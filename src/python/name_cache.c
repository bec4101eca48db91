#include "config.h"

#include "python/name_cache.h"

#include "base/hash.h"
#include "python/compat.h"

#include <string.h>

/* A name is in one set only, in the order of success: a name that is found changes places with the one before it, a new
 * one comes in the middle, and the last one goes. */
enum { WAYS = 8, SETS = NAME_CACHE_MAX / WAYS };

/* Mutable table: who has the GIL.
 * Mutable seed: name_cache_init, before the first request. */
static struct name *table[SETS][WAYS];
static uint64_t seed;

void name_cache_init(void) {
    seed = hash_seed();
}

void name_cache_put(struct name *name) {
    if (!name || --name->refs)
        return;
    Py_DECREF(name->key);
    Py_XDECREF(name->value);
    PyMem_Free(name);
}

void name_cache_intern(struct name *name) {
    static unsigned stay; /* Mutable stay: who has the GIL. */
    if (name->interned || (COMPAT_INTERNED_STAY && stay == NAME_CACHE_INTERNED_MAX))
        return;
    stay += COMPAT_INTERNED_STAY;
    PyUnicode_InternInPlace(&name->key);
    name->text = (const char *)PyUnicode_1BYTE_DATA(name->key);
    name->interned = true;
}

static struct name *name_new(struct slice text) {
    PyObject *key = native_string_new(text);
    struct name *name = key ? PyMem_Malloc(sizeof *name) : NULL;
    if (!name) {
        Py_XDECREF(key);
        return key ? (struct name *)PyErr_NoMemory() : NULL;
    }
    *name = (struct name){
        .refs = 1,
        .length = (uint32_t)text.n,
        .text = (const char *)PyUnicode_1BYTE_DATA(key),
        .key = key,
        .class = cgi_classify(text),
        .personal = cgi_is_personal(text),
    };
    return name;
}

static struct name *found(struct name **set, unsigned i) {
    struct name *name = set[i];
    if (i) {
        set[i] = set[i - 1];
        set[i - 1] = name;
    }
    name_cache_intern(name);
    name->refs++;
    return name;
}

struct name *name_cache_get(struct slice text) {
    if (text.n > NAME_CACHE_LENGTH_MAX)
        return name_new(text);
    struct name **set = table[hash_bytes(seed, text.p, text.n) % SETS];
    unsigned i = 0;
    for (; i < WAYS && set[i]; i++) {
        if (set[i]->length == text.n && !memcmp(set[i]->text, text.p, text.n))
            return found(set, i);
    }
    struct name *name = name_new(text);
    if (!name)
        return NULL;
    unsigned last = i < WAYS ? i : WAYS - 1, at = last < WAYS / 2 ? last : WAYS / 2;
    name_cache_put(set[last]);
    memmove(set + at + 1, set + at, (last - at) * sizeof *set);
    set[at] = name;
    name->refs++;
    return name;
}

PyObject *name_cache_value(struct name *name, struct slice value) {
    PyObject *old = name->value;
    if (old && (size_t)PyUnicode_GET_LENGTH(old) == value.n &&
        !memcmp(PyUnicode_1BYTE_DATA(old), value.p ? value.p : "", value.n))
        return Py_NewRef(old);
    PyObject *fresh = native_string_new(value);
    if (fresh && !name->personal && value.n <= NAME_CACHE_VALUE_MAX && !cgi_has_query(value)) {
        name->value = Py_NewRef(fresh);
        Py_XDECREF(old);
    }
    return fresh;
}
