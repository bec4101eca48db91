/* What has to hold of scans, for the tests that scan the same bytes in several ways. */
#ifndef WSGI_FCGI_TESTS_CGI_VARS_H
#define WSGI_FCGI_TESTS_CGI_VARS_H

#include "proto/cgi.h"

#include <string.h>

/* Whether two scans have found the same. The slices, which come first, have to be the same bytes and not only equal ones. */
static inline bool same_vars(const struct cgi_vars *a, const struct cgi_vars *b) {
    return !memcmp(a, b, offsetof(struct cgi_vars, content_length)) && a->content_length == b->content_length &&
           a->https == b->https && a->path_encoded == b->path_encoded && a->npairs == b->npairs && a->key == b->key;
}

/* Whether a walk that stops at each pair of so many finds there what reading all of them finds. */
static inline bool walk_finds(const struct cgi_sample *sample, const char *params, size_t len,
                              const struct cgi_likeness *like, uint32_t each) {
    const char *end = len ? params + len : params;
    struct cgi_walk walk = {sample, &like->changed, params, end, 0, 0};
    struct params_pair pair;
    for (uint32_t i = 0; params_next(&params, end, &pair) == PARAMS_PAIR; i++) {
        if (i % each)
            continue;
        const struct slice found = cgi_walk_to(&walk, i);
        if (found.p != pair.value.p || found.n != pair.value.n)
            return false;
    }
    return true;
}

/* Whether the parameters, which are whole, have the names of the sample that they are said to be like, the values that are
 * said to be the same, and nothing personal among these. */
static inline bool is_likeness_true(const struct cgi_memo *memo, const char *pos, size_t len,
                                    const struct cgi_likeness *like) {
    const struct cgi_sample *sample = &memo->samples[like->sample ? like->place : 0];
    const char *end = len ? pos + len : pos, *old = sample->params, *old_end = old + sample->nbytes;
    struct params_pair pair, known;
    bool read_changed = false;
    uint32_t i = 0;
    if (!like->sample)
        return true;
    if (cgi_memo_sample(memo, like) != sample || !walk_finds(sample, pos, len, like, 1) ||
        !walk_finds(sample, pos, len, like, 3))
        return false;
    for (; params_next(&pos, end, &pair) == PARAMS_PAIR; i++) {
        if (params_next(&old, old_end, &known) != PARAMS_PAIR || pair.name.n != known.name.n ||
            memcmp(pair.name.p, known.name.p, known.name.n))
            return false;
        bool same = pair.value.n == known.value.n && !memcmp(pair.value.p, known.value.p, known.value.n);
        bool changed = cgi_pairs_has(&like->changed, i);
        if (!changed && (!same || (pair.value.n && (cgi_is_personal(pair.name) || cgi_has_query(pair.value)))))
            return false;
        read_changed |= changed && cgi_var_counts(cgi_find_var(pair.name));
    }
    return sample->number == like->sample && pos == end && old == old_end && i == sample->npairs &&
           like->read_changed == read_changed && cgi_pairs_next(&like->changed, i) == CGI_MEMO_PAIRS;
}

#endif
