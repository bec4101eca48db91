/* Whether two scans have found the same, for the tests that scan the same bytes in several ways. */
#ifndef WSGI_FCGI_TESTS_CGI_VARS_H
#define WSGI_FCGI_TESTS_CGI_VARS_H

#include "proto/cgi.h"

#include <string.h>

/* The slices, which come first, have to be the same bytes and not only equal ones. */
static inline bool same_vars(const struct cgi_vars *a, const struct cgi_vars *b) {
    return !memcmp(a, b, offsetof(struct cgi_vars, content_length)) && a->content_length == b->content_length &&
           a->https == b->https && a->path_encoded == b->path_encoded && a->npairs == b->npairs &&
           a->shape == b->shape && a->key == b->key;
}

#endif
