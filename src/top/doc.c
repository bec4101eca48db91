#include "config.h"

#include "top/doc.h"

#include <stdint.h>
#include <stdio.h>

static int check(const json_t *doc, char *error, size_t size) {
    const json_t *version = doc_at(doc, "version");
    if (!json_is_integer(version) || !json_is_object(doc_at(doc, "server")))
        snprintf(error, size, "what is there is JSON, but not the status of a wsgi-fcgi: tell the path with --path");
    else if (json_integer_value(version) != DOC_VERSION)
        snprintf(error, size,
                 "the status has version %lld, and this program knows version %d: use the wsgi-fcgi-top that was "
                 "installed with the server",
                 (long long)json_integer_value(version), DOC_VERSION);
    else
        return 0;
    return -1;
}

json_t *doc_read(const char *text, size_t len, char *error, size_t size) {
    json_error_t where;
    json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (!doc)
        snprintf(error, size, "what is there is not the status of a wsgi-fcgi: tell the path with --path");
    else if (check(doc, error, size)) {
        json_decref(doc);
        doc = NULL;
    }
    return doc;
}

json_t *doc_at(const json_t *value, const char *key) {
    return json_object_get(value, key);
}

double doc_number(const json_t *value, const char *key, double otherwise) {
    const json_t *member = doc_at(value, key);
    return json_is_number(member) ? json_number_value(member) : otherwise;
}

long long doc_integer(const json_t *value, const char *key, long long otherwise) {
    double number = doc_number(value, key, (double)otherwise);
    return number > 1e15 ? 1000000000000000 : number > -1e15 ? (long long)number : -1000000000000000;
}

const char *doc_text(const json_t *value, const char *key) {
    const char *text = json_string_value(doc_at(value, key));
    return text ? text : "";
}

bool doc_true(const json_t *value, const char *key) {
    return json_is_true(doc_at(value, key));
}

double doc_sum(const json_t *value) {
    double sum = json_is_number(value) ? json_number_value(value) : 0;
    const char *key;
    json_t *member;
    size_t index;
    if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, key, member) {
            sum += doc_sum(member);
        }
    }
    json_array_foreach(value, index, member) {
        sum += doc_sum(member);
    }
    return sum;
}
