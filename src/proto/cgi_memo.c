#include "config.h"

#include "proto/cgi_memo.h"

#include "base/hash.h"
#include "proto/cgi_names.h"

#include <string.h>

const struct cgi_sample *cgi_memo_find(struct cgi_memo *memo, uint64_t shape) {
    struct cgi_memo_place *order = memo->order, found;
    memo->misses++;
    uint32_t i = 0;
    while (i < memo->nsamples && order[i].shape != shape)
        i++;
    if (i == memo->nsamples)
        return NULL;
    found = order[i];
    /* Two shapes that come in turns must not keep displacing each other from the first place. */
    if (i > 1 || (i == 1 && memo->misses >= CGI_MEMO_MISSES)) {
        order[i] = order[i - 1];
        order[i - 1] = found;
        memo->misses = 0;
    }
    return &memo->samples[found.place];
}

/* Where a new sample comes. */
static struct cgi_sample *make_place(struct cgi_memo *memo, uint64_t shape) {
    bool full = memo->nsamples == CGI_MEMO_SAMPLES;
    uint32_t at = (memo->nsamples + 1) / 2, last = full ? memo->nsamples - 1 : memo->nsamples++;
    uint32_t place = full ? memo->order[last].place : last;
    memmove(memo->order + at + 1, memo->order + at, (last - at) * sizeof *memo->order);
    memo->order[at] = (struct cgi_memo_place){shape, place};
    return &memo->samples[place];
}

/* Replaces the bytes of a personal value. A value of blanks is then taken for one that was seen before and found valid;
 * and it is valid, whatever its name. */
enum { BLANK = ' ' };

static void fill(struct cgi_sample *sample, uint64_t shape) {
    const char *pos = sample->params, *end = pos + sample->nbytes;
    struct params_pair pair;
    uint32_t n = 0;
    sample->blanked = sample->read = (struct cgi_pairs){{0}};
    for (; params_next(&pos, end, &pair) == PARAMS_PAIR; n++) {
        shape = hash_bytes(shape, pair.name.p, pair.name.n);
        sample->pairs[n] = (struct cgi_sample_pair){
            .name = (uint16_t)(pair.name.p - sample->params),
            .value = (uint16_t)(pair.value.p - sample->params),
            .end = (uint16_t)(pos - sample->params),
            .var = (uint16_t)cgi_find_var(pair.name),
            .shape = shape,
        };
        if (cgi_var_counts(sample->pairs[n].var))
            cgi_pairs_add(&sample->read, n);
        if (pair.value.n && (cgi_is_personal(pair.name) || cgi_has_query(pair.value))) {
            memset(sample->params + sample->pairs[n].value, BLANK, pair.value.n);
            cgi_pairs_add(&sample->blanked, n);
        }
    }
    sample->npairs = n;
    sample->pairs[n].read = (uint16_t)n;
    for (uint32_t i = n; i--;)
        sample->pairs[i].read = sample->pairs[i].var <= CGI_VAR_FIELD ? sample->pairs[i + 1].read : (uint16_t)i;
}

const struct cgi_sample *cgi_memo_take(struct cgi_memo *memo, uint64_t shape, const char *params, size_t len,
                                       uint32_t npairs) {
    if (!npairs || npairs > CGI_MEMO_PAIRS || len > CGI_MEMO_BYTES)
        return NULL;
    uint64_t *seen = &memo->seen[shape % CGI_MEMO_SEEN];
    if (*seen != shape) {
        *seen = shape;
        return NULL;
    }
    struct cgi_sample *sample = make_place(memo, shape);
    sample->number = ++memo->taken;
    sample->nbytes = (uint32_t)len;
    memcpy(sample->params, params, len);
    fill(sample, memo->seed);
    return sample;
}
