/* The memory of what requests have in common. A proxy sends the same parameters in the same order with every request, and
 * most of the values are the same too: samples of earlier parameters let a scan pass over what has not changed, and tell
 * whoever makes something of the parameters (python/wsgi/plan.h) which ones have.
 *
 * A sample is the parameters of one request, with blanks in place of what identifies a person or lets somebody in
 * (cgi_is_personal, cgi_has_query). Requests have the same shape when they have the same names in the same order. There is
 * one sample of a shape at most, and only of one that has come twice while it was remembered: who sends other names with
 * each request gets none, and takes none from others.
 *
 * Instructions that a request of hello takes, all told, without it and with it (callgrind, Python 3.11): over FastCGI
 * 24,400 and 9,700; when client, path, query and cookie are others each time 31,600 and 17,200; over HTTP with 12 header
 * fields 31,000 and 18,700. With a memo and plans that each compared for themselves: 9,800, 18,500 and 18,800.
 *
 * Pure: no I/O, no allocation, no lock. One user at a time.
 */
#ifndef WSGI_FCGI_PROTO_CGI_MEMO_H
#define WSGI_FCGI_PROTO_CGI_MEMO_H

#include "proto/params.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    CGI_MEMO_SAMPLES = 32,
    CGI_MEMO_PAIRS = 100,  /* parameters with more pairs, or... */
    CGI_MEMO_BYTES = 8192, /* ...more bytes of them have no sample */
    CGI_MEMO_SEEN = 256,   /* shapes without a sample that were seen */
    CGI_MEMO_MISSES = 8    /* after so many requests of other shapes in succession another sample is compared first */
};

/* A set of pairs, by their number. */
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

/* The first one from this number on, or CGI_MEMO_PAIRS. */
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

/* How the parameters of a request compare with a sample. They have its names in its order; a pair that is not in
 * `changed` has its value, byte for byte. Two requests that were compared with the same sample differ at most in what
 * changed in one of them. */
struct cgi_likeness {
    uint64_t sample;          /* its number, which no other ever has; 0: there is none, and the rest means nothing */
    uint32_t place;           /* below CGI_MEMO_SAMPLES: another sample that takes its place has a higher number */
    bool read_changed;        /* and some of what changed is read by the server (enum cgi_var) */
    struct cgi_pairs changed; /* what the sample does not keep always counts */
};

struct cgi_sample_pair {
    uint16_t name, value, end; /* where these begin in `params`, and where the pair ends */
    uint16_t var;              /* enum cgi_var */
    uint16_t read;             /* the first pair from this one on whose variable the server reads, or npairs */
    uint64_t shape;            /* hash of the names up to this one */
};

struct cgi_sample {
    uint64_t number;
    uint32_t npairs, nbytes;
    struct cgi_pairs blanked;                         /* always count as changed */
    struct cgi_pairs read;                            /* whose variable the server reads */
    struct cgi_sample_pair pairs[CGI_MEMO_PAIRS + 1]; /* of the one behind the last only `read` counts */
    char params[CGI_MEMO_BYTES];
};

/* All zeros but for `seed`: nothing yet. More than 300 KiB, of which only what is needed is touched. */
struct cgi_memo {
    uint64_t seed;  /* the key of all hashes (base/hash.h), so that nobody can choose what they are */
    uint64_t taken; /* samples since the beginning */
    uint32_t nsamples, misses;
    /* In the order of success, from which one that is new is never far: a shape that comes changes places with the one
     * before it, a new one comes in the middle, and the last one goes. So one that comes again and again stays, whatever
     * else comes, unless many others come more often. The first is compared before the names are known. */
    struct cgi_memo_place {
        uint64_t shape;
        uint32_t place; /* in `samples` */
    } order[CGI_MEMO_SAMPLES];
    uint64_t seen[CGI_MEMO_SEEN];
    struct cgi_sample samples[CGI_MEMO_SAMPLES];
};

/* The sample that is to be compared first, when only the bytes of a request are known; NULL: there is none. */
static inline const struct cgi_sample *cgi_memo_first(const struct cgi_memo *memo) {
    return memo->nsamples ? &memo->samples[memo->order[0].place] : NULL;
}

/* The request has its names. */
static inline void cgi_memo_hit(struct cgi_memo *memo) {
    memo->misses = 0;
}

/* It has others: the sample of a request of this shape; NULL: there is none. As different names may have the same hash, the
 * names are to be compared. */
const struct cgi_sample *cgi_memo_find(struct cgi_memo *memo, uint64_t shape);

/* There is none: takes one of these parameters, which were found good. Returns it, or NULL when the shape is new, or they
 * are too many. */
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

#endif
