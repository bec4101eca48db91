#include "config.h"

#include "python/names.h"

#include <string.h>

static struct name slots[NAMES_SLOTS];
static unsigned used;

/* The first and the last eight bytes tell almost all names apart; the rest is left to the comparison. */
static uint32_t hash(struct slice s) {
    uint64_t head = 0, tail = 0;
    size_t n = s.n < 8 ? s.n : 8;
    memcpy(&head, s.p, n);
    memcpy(&tail, s.p + s.n - n, n);
    uint64_t h = (head ^ (tail << 1 | tail >> 63) ^ s.n) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

static struct name *fill_slot(struct name *slot, struct slice text) {
    PyObject *key = native_string_new(text);
    if (!key)
        return NULL;
    PyUnicode_InternInPlace(&key);
    *slot = (struct name){
        .key = key,
        .text = (const char *)PyUnicode_1BYTE_DATA(key),
        .length = (uint32_t)text.n,
        .class = cgi_classify(text),
    };
    slot->personal = cgi_is_personal(text);
    used++;
    return slot;
}

struct name *names_find(struct slice text) {
    if (text.n > NAMES_LENGTH_MAX || !text.n)
        return NULL;
    uint32_t h = hash(text);
    for (unsigned i = 0; i < NAMES_PROBES; i++) {
        struct name *slot = &slots[(h + i) % NAMES_SLOTS];
        if (!slot->key)
            return used < NAMES_MAX ? fill_slot(slot, text) : NULL;
        if (slot->length == text.n && !memcmp(slot->text, text.p, text.n))
            return slot;
    }
    return NULL;
}

PyObject *names_value(struct name *name, struct slice value) {
    PyObject *old = name->value;
    if (old && (size_t)PyUnicode_GET_LENGTH(old) == value.n &&
        !memcmp(PyUnicode_1BYTE_DATA(old), value.p ? value.p : "", value.n))
        return Py_NewRef(old);
    PyObject *fresh = native_string_new(value);
    if (fresh && !name->personal && value.n <= NAMES_VALUE_MAX && !cgi_has_query(value)) {
        name->value = Py_NewRef(fresh);
        Py_XDECREF(old);
    }
    return fresh;
}
