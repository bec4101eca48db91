#include "config.h"

#include "base/glob.h"

#include <string.h>

static size_t part_length(const char *s) {
    return strcspn(s, "/");
}

/* Behind the slash, or at the end. */
static const char *next_part(const char *s) {
    s += part_length(s);
    return s + (*s == '/');
}

static bool is_any_depth(const char *part) {
    return !strncmp(part, "**", 2) && (part[2] == '/' || !part[2]);
}

/* Behind the set that begins at `p`, or NULL when it has no end. A ] in front is one of the set. */
static const char *set_end(const char *p, const char *end) {
    p++;
    if (p < end && *p == '!')
        p++;
    if (p < end && *p == ']')
        p++;
    while (p < end && *p != ']')
        p++;
    return p < end ? p + 1 : NULL;
}

static bool is_in_set(const char *p, const char *end, unsigned char c) {
    bool negated = p[1] == '!', found = false;
    for (p += negated ? 2 : 1; p < end - 1; p++) {
        const unsigned char first = (unsigned char)*p;
        unsigned char last = first;
        if (p + 2 < end - 1 && p[1] == '-') {
            last = (unsigned char)p[2];
            p += 2;
        }
        found = found || (first <= c && c <= last);
    }
    return found != negated;
}

/* The bytes of a character; 1 for one that is none. */
static size_t character_length(const char *s, const char *end) {
    const unsigned char lead = (unsigned char)*s;
    size_t n = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4, has = 1;
    while (has < n && s + has < end && ((unsigned char)s[has] & 0xc0) == 0x80)
        has++;
    return has == n ? n : 1;
}

/* One element of a pattern that is no star against the beginning of `s`. Returns the bytes of `s` that it takes, 0 when
 * it does not match, and moves *p behind the element. */
static size_t take(const char **p, const char *pend, const char *s, const char *send) {
    const char *end = **p == '[' ? set_end(*p, pend) : NULL, *element = *p;
    *p = end ? end : *p + 1;
    if (end)
        return is_in_set(element, end, (unsigned char)*s) ? character_length(s, send) : 0;
    if (*element == '?')
        return character_length(s, send);
    return *element == *s;
}

/* A part of the pattern against a name. The last star alone has to be tried with more characters: what an earlier one
 * could take instead, this one can. */
static bool match_part(const char *p, size_t plen, const char *s, size_t slen) {
    const char *pend = p + plen, *send = s + slen, *star = NULL, *tried = NULL;
    if (slen && *s == '.' && (!plen || *p != '.'))
        return false;
    while (s < send) {
        if (p < pend && *p == '*') {
            star = ++p;
            tried = s;
            continue;
        }
        const size_t n = p < pend ? take(&p, pend, s, send) : 0;
        if (n) {
            s += n;
        } else if (star) {
            tried += character_length(tried, send);
            s = tried;
            p = star;
        } else {
            return false;
        }
    }
    while (p < pend && *p == '*')
        p++;
    return p == pend;
}

/* Part by part, and ** as a star of parts. `below`: the path is that of a directory, and something in it is to match. */
static bool match(const char *p, const char *s, bool below) {
    const char *star = NULL, *tried = NULL;
    for (;;) {
        if (!*s && (below ? *p != '\0' : !*p))
            return true;
        if (*p && is_any_depth(p)) {
            p = next_part(p);
            star = p;
            tried = s;
            if (!*p && !below)
                return false; /* names directories only */
            continue;
        }
        if (*s && *p && match_part(p, part_length(p), s, part_length(s)) &&
            (below || !p[part_length(p)] == !s[part_length(s)])) {
            p = next_part(p);
            s = next_part(s);
            continue;
        }
        if (!star || !*tried || *tried == '.')
            return false;
        tried = next_part(tried);
        s = tried;
        p = star;
    }
}

bool glob_match(const char *pattern, const char *path) {
    return match(pattern, path, false);
}

bool glob_may_match_below(const char *pattern, const char *path) {
    return match(pattern, path, true);
}

size_t glob_base(const char *pattern) {
    size_t special = strcspn(pattern, "*?["), len = 0;
    for (size_t i = 0; i < special && pattern[i]; i++) {
        if (pattern[i] == '/')
            len = i;
    }
    return len;
}

const char *glob_complain(const char *pattern) {
    for (const char *part = pattern; *part; part = next_part(part)) {
        const char *end = part + part_length(part);
        for (const char *p = part; p < end; p++) {
            const char *set = *p == '[' ? set_end(p, end) : NULL;
            if (*p == '[' && !set)
                return "has a [ without a ] in the same part of the path";
            p = set ? set - 1 : p;
        }
        if (is_any_depth(part) && !*end)
            return "ends in **, which stands for directories: write **/* for the files in them";
        if (part == end && part != pattern)
            return "has two slashes behind each other";
        if (*end == '/' && !end[1])
            return "ends in a slash: write /* for the files in the directory";
    }
    return NULL;
}
