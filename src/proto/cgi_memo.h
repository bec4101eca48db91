/* Remembers what earlier requests looked like, so that repeated parameters need not be read again. A proxy sends the
 * same parameters in the same order with every request, and most values are the same too. Samples of earlier parameters
 * let a scan skip what has not changed, and tell later steps that use the parameters (python/wsgi/plan.h) what has.
 *
 * A sample is the parameters of one request, with blanks in place of what identifies a person or lets somebody in
 * (cgi_is_personal, cgi_has_query). Requests have the same shape if they have the same names in the same order. There
 * is at most one sample of a shape, taken only when the shape comes a second time while it is remembered. So a client
 * that sends other names with each request gets no sample, and takes none from others.
 *
 * Instructions for a request of hello, everything included, without the memo and with it (callgrind, Python 3.11): over
 * FastCGI 24,400 and 9,700; when client, path, query and cookie are others each time 31,600 and 17,200; over HTTP with
 * 12 header fields 31,000 and 18,700. With a memo and plans that each compared for themselves: 9,800, 18,500 and
 * 18,800.
 *
 * Threads: one at a time for each memo. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_CGI_MEMO_H
#define WSGI_FCGI_PROTO_CGI_MEMO_H

#include "proto/params.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CGI_MEMO_SAMPLES = 32,
    CGI_MEMO_PAIRS = 100,  /* parameters with more pairs, or... */
    CGI_MEMO_BYTES = 8192, /* ...more bytes of them have no sample */
    CGI_MEMO_SEEN = 256,   /* shapes remembered that have no sample yet */
    CGI_MEMO_MISSES = 8    /* after this many requests of other shapes in a row, another sample is compared first */
};

/* A set of pairs, by their index. */
struct cgi_pairs {
    uint64_t bits[2];
};
static_assert(CGI_MEMO_PAIRS <= 128, "each pair has a bit");

static inline void cgi_pairs_add(struct cgi_pairs *set, uint32_t i) {
    set->bits[i / 64] |= UINT64_C(1) << i % 64;
}

static inline bool cgi_pairs_has(const struct cgi_pairs *set, uint32_t i) {
    return set->bits[i / 64] >> i % 64 & 1;
}

/* The first pair from this index on, or CGI_MEMO_PAIRS. */
static inline uint32_t cgi_pairs_next(const struct cgi_pairs *set, uint32_t i) {
    for (; i < CGI_MEMO_PAIRS; i = (i / 64 + 1) * 64) {
        uint64_t bits = set->bits[i / 64] >> i % 64;
        if (bits)
            return i + (uint32_t)__builtin_ctzll(bits);
    }
    return CGI_MEMO_PAIRS;
}

static inline bool cgi_pairs_meet(const struct cgi_pairs *a, const struct cgi_pairs *b) {
    return ((a->bits[0] & b->bits[0]) | (a->bits[1] & b->bits[1])) != 0;
}

static inline bool cgi_pairs_any(const struct cgi_pairs *set) {
    return (set->bits[0] | set->bits[1]) != 0;
}

static inline struct cgi_pairs cgi_pairs_union(const struct cgi_pairs *a, const struct cgi_pairs *b) {
    return (struct cgi_pairs){{a->bits[0] | b->bits[0], a->bits[1] | b->bits[1]}};
}

/* How the parameters of a request compare with a sample. They have the same names in the same order; every pair that is
 * not in `changed` has the same value, byte for byte. So two requests compared with the same sample differ at most in
 * what changed in either of them. */
struct cgi_likeness {
    uint64_t sample;          /* its number, never used again; 0: no sample, and the rest is meaningless */
    uint32_t place;           /* below CGI_MEMO_SAMPLES; a sample that replaces this one has a higher number */
    bool read_changed;        /* the server reads some of what changed (enum cgi_var) */
    struct cgi_pairs changed; /* always includes what the sample does not keep */
};

struct cgi_sample_pair {
    uint16_t name, value, end; /* where these begin in `params`, and where the pair ends */
    uint16_t var;              /* enum cgi_var */
    uint16_t read;             /* the first pair from here on whose variable the server reads, or npairs */
    uint64_t shape;            /* hash of the names up to this one */
};

struct cgi_sample {
    uint64_t number;
    uint32_t npairs, nbytes;
    struct cgi_pairs blanked;                         /* pairs that always count as changed */
    struct cgi_pairs read;                            /* pairs whose variable the server reads */
    struct cgi_sample_pair pairs[CGI_MEMO_PAIRS + 1]; /* behind the last pair, one of which only `read` counts */
    char params[CGI_MEMO_BYTES];
};

/* Starts as all zeros except `seed`. More than 300 KiB, of which only what is needed is touched. */
struct cgi_memo {
    uint64_t seed;  /* the key of all hashes (base/hash.h), so that nobody can choose what they are */
    uint64_t taken; /* samples since the beginning */
    uint32_t nsamples, misses;
    /* Samples in the order in which they are tried, roughly the most used first. A shape that comes again swaps places
     * with the one before it; a new one is put in the middle; the last one goes. So a shape that keeps coming stays,
     * whatever else comes, unless many others come more often. The first one is compared before the names are known. */
    struct cgi_memo_place {
        uint64_t shape;
        uint32_t place; /* in `samples` */
    } order[CGI_MEMO_SAMPLES];
    uint64_t seen[CGI_MEMO_SEEN];
    struct cgi_sample samples[CGI_MEMO_SAMPLES];
};

/* The sample to compare first, when only the bytes of a request are known; NULL: none. */
static inline const struct cgi_sample *cgi_memo_first(const struct cgi_memo *memo) {
    return memo->nsamples ? &memo->samples[memo->order[0].place] : NULL;
}

/* The request has the names of that first sample. */
static inline void cgi_memo_hit(struct cgi_memo *memo) {
    memo->misses = 0;
}

/* The request has other names: returns the sample of this shape, or NULL. Different names may have the same hash, so
 * the caller must compare them. */
const struct cgi_sample *cgi_memo_find(struct cgi_memo *memo, uint64_t shape);

/* There is no sample of this shape: takes one of these parameters, which must be valid. Returns it; or NULL if the
 * shape is new, or the parameters are too many. */
const struct cgi_sample *cgi_memo_take(struct cgi_memo *memo, uint64_t shape, const char *params, size_t len,
                                       uint32_t npairs);

static inline struct cgi_likeness cgi_memo_likeness(const struct cgi_memo *memo, const struct cgi_sample *sample,
                                                    const struct cgi_pairs *changed) {
    return (struct cgi_likeness){
        .sample = sample->number,
        .place = (uint32_t)(sample - memo->samples),
        .read_changed = cgi_pairs_meet(changed, &sample->read),
        .changed = *changed,
    };
}

/* What the request was compared with; NULL if it was nothing, or has been replaced. */
static inline const struct cgi_sample *cgi_memo_sample(const struct cgi_memo *memo, const struct cgi_likeness *like) {
    const struct cgi_sample *sample = &memo->samples[like->place];
    return like->sample && sample->number == like->sample ? sample : NULL;
}

/* Finds pairs of a request that is like a sample, in their order, without a look at those in between that are as the
 * sample has them. */
struct cgi_walk {
    const struct cgi_sample *sample;
    const struct cgi_pairs *changed;
    const char *params, *end; /* of the request */
    ptrdiff_t moved;          /* by how many bytes the next pair that has not changed is further from the beginning */
    uint32_t next;            /* pairs from here on have not been passed */
};

/* The value of a pair that is behind those it was asked for before. */
static inline struct slice cgi_walk_to(struct cgi_walk *w, uint32_t index) {
    const struct cgi_sample_pair *pairs = w->sample->pairs;
    for (uint32_t i; (i = cgi_pairs_next(w->changed, w->next)) <= index; w->next = i + 1) {
        const char *pos = w->params + (i ? pairs[i - 1].end : 0) + w->moved;
        struct params_pair pair = {{NULL, 0}, {NULL, 0}};
        (void)params_next(&pos, w->end, &pair);
        w->moved = pos - w->params - pairs[i].end;
        if (i == index) {
            w->next = i + 1;
            return pair.value;
        }
    }
    return (struct slice){w->params + pairs[index].value + w->moved, (size_t)(pairs[index].end - pairs[index].value)};
}

#endif
