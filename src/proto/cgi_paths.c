#include "config.h"

#include "proto/cgi_paths.h"

#include "base/ascii.h"

#include <string.h>

#define EMPTY LITERAL("")

static bool same(struct slice a, struct slice b) {
    return a.n == b.n && (!a.n || !memcmp(a.p, b.p, a.n));
}

static bool is_asterisk(struct slice s) {
    return s.n == 1 && s.p[0] == '*';
}

/* The byte that the three at `p` encode, or -1. */
static int decode(const char *p, const char *end) {
    if (end - p < 3)
        return -1;
    int high = ascii_hex_digit(p[1]), low = ascii_hex_digit(p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* The text of a path: two slices in a row; the second is empty if the path is percent-encoded. */
struct text {
    struct slice part[2];
    bool encoded;
};

static struct text one(struct slice s, bool encoded) {
    return (struct text){.part = {s, EMPTY}, .encoded = encoded};
}

static size_t length(const struct text *t) {
    return t->part[0].n + t->part[1].n;
}

/* Decodes the byte at *at, and moves *at on; -1 at the end. An invalid encoding stands for itself. */
static int next_byte(const struct text *t, size_t *at) {
    if (*at >= length(t))
        return -1;
    bool first = *at < t->part[0].n;
    const char *p = first ? t->part[0].p + *at : t->part[1].p + (*at - t->part[0].n);
    int byte = t->encoded && *p == '%' ? decode(p, t->part[0].p + t->part[0].n) : -1;
    *at += byte < 0 ? 1 : 3;
    return byte < 0 ? (unsigned char)*p : byte;
}

/* Comparison with a mount point. */

enum where { ELSEWHERE, AT, BELOW };

struct place {
    enum where where;
    size_t rest; /* AT, BELOW: where in the text that begins which follows the mount point */
    bool slash;  /* the path ends with a slash, in its resolved form too */
};

/* The segments that remain of a path while its dot segments are removed one by one. */
struct walk {
    struct slice mount;
    size_t matched;       /* bytes of the mount point, whole segments, that the first of them are */
    size_t common, depth; /* how many these are; how many there are */
    size_t rest;
};

/* Where the next segment of the mount point begins. Skips one slash only: skipping many again and again would take time
 * quadratic in what a client sends, and a mount point has no empty segments. */
static size_t next_of_mount(const struct walk *w) {
    return w->matched + (w->matched < w->mount.n && w->mount.p[w->matched] == '/');
}

static void pop(struct walk *w) {
    if (!w->depth || w->depth-- > w->common)
        return;
    w->common--;
    while (w->matched && w->mount.p[--w->matched] != '/')
        ;
}

/* Reads and records a segment. Returns the byte after it, a slash or -1. */
static int walk_segment(struct walk *w, const struct text *t, size_t *at, bool *slash) {
    size_t m = next_of_mount(w), n = 0, before = *at;
    bool dots = true, equal = w->depth == w->common;
    int byte;
    while ((byte = next_byte(t, at)) >= 0 && byte != '/') {
        equal = equal && m < w->mount.n && (unsigned char)w->mount.p[m++] == byte;
        dots = dots && byte == '.';
        n++;
        before = *at;
    }
    *slash = !n || (dots && n <= 2);
    if (dots && n == 2)
        pop(w);
    else if (!*slash && equal && (m == w->mount.n || w->mount.p[m] == '/')) {
        w->matched = m;
        w->common = ++w->depth;
        w->rest = before;
    } else if (!*slash)
        w->depth++;
    return byte;
}

/* Where the path is relative to the mount point, which is not empty. Takes time linear in the length of both. */
static struct place find_place(const struct text *t, struct slice mount) {
    struct walk w = {.mount = mount};
    struct place place = {.where = ELSEWHERE};
    size_t at = 0;
    while (walk_segment(&w, t, &at, &place.slash) >= 0)
        ;
    if (w.common && next_of_mount(&w) == mount.n)
        place.where = w.depth > w.common ? BELOW : AT;
    place.rest = w.rest;
    return place;
}

/* Variables. */

static bool is_scheme_char(char c) {
    char lower = ascii_lower(c);
    return (lower >= 'a' && lower <= 'z') || ascii_is_digit(c) || c == '+' || c == '-' || c == '.';
}

/* The part before the query and the fragment. */
static struct slice before_marks(struct slice s) {
    for (const char *mark = "?#"; s.n && *mark; mark++) {
        const char *end = memchr(s.p, *mark, s.n);
        if (end)
            s.n = (size_t)(end - s.p);
    }
    return s.n ? s : EMPTY;
}

/* The path in a URI, encoded: of "/where?q", or of "http://example.org/where". Empty when it has none. */
static struct slice uri_path(struct slice uri) {
    size_t begin = 0;
    if (uri.n && uri.p[0] != '/') {
        while (begin < uri.n && is_scheme_char(uri.p[begin]))
            begin++;
        if (!begin || uri.n - begin < 3 || memcmp(uri.p + begin, "://", 3))
            return EMPTY;
        for (begin += 3; begin < uri.n && !memchr("/?#", uri.p[begin], 3); begin++)
            ;
        if (begin == uri.n || uri.p[begin] != '/')
            return LITERAL("/");
    }
    return before_marks((struct slice){uri.p + begin, uri.n - begin});
}

static struct place place_of_uri(const struct cgi_paths *sent, struct slice mount) {
    struct text path = one(uri_path(sent->request_uri), true);
    return length(&path) ? find_place(&path, mount) : (struct place){.where = ELSEWHERE};
}

/* Whether REQUEST_URI shows that this is the whole path. */
static bool is_whole(const struct cgi_paths *sent, struct slice path) {
    return same(uri_path(sent->request_uri), path) || place_of_uri(sent, path).where == AT;
}

/* Removes the first `n` bytes of a text, which has that many. */
static void drop_front(struct text *t, size_t n) {
    for (int i = 0; i < 2; i++) {
        size_t part = n < t->part[i].n ? n : t->part[i].n;
        t->part[i].p += part;
        t->part[i].n -= part;
        n -= part;
    }
}

/* PATH_INFO. */

static bool can_be_decoded(struct slice s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && decode(s.p + i, s.p + s.n) <= 0)
            return false;
    }
    return true;
}

static enum cgi_result set_path(const struct text *t, struct cgi_vars *vars) {
    struct slice first = t->part[0].n ? t->part[0] : t->part[1];
    vars->path_encoded = t->encoded && first.n && memchr(first.p, '%', first.n);
    vars->path_info[0] = first;
    vars->path_info[1] = t->part[0].n ? t->part[1] : EMPTY;
    size_t at = 0;
    if (first.n && next_byte(t, &at) != '/') {
        /* Two parts are a SCRIPT_NAME, which begins with a slash, and what follows. */
        vars->path_info[0] = LITERAL("/");
        vars->path_info[1] = first;
    }
    return vars->path_encoded && !can_be_decoded(first) ? CGI_MALFORMED : CGI_OK;
}

static enum cgi_result set_asterisk(struct cgi_vars *vars) {
    vars->path_encoded = false;
    vars->path_info[0] = vars->path_info[1] = EMPTY;
    return same(vars->method, LITERAL("OPTIONS")) ? CGI_OK : CGI_MALFORMED;
}

/* The path of a request whose SCRIPT_NAME and PATH_INFO are empty or missing. */
static struct text path_of_uris(const struct cgi_paths *sent) {
    if (sent->has_path_info)
        return one(EMPTY, false);
    if (sent->document_uri.n)
        return one(sent->document_uri, false);
    struct slice path = uri_path(sent->request_uri);
    return one(path.n ? path : before_marks(sent->request_uri), true);
}

static struct slice without_slashes(struct slice s) {
    while (s.n && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

/* Whether SCRIPT_NAME, which came alone, is a mount point, and what follows it then. Unlike REQUEST_URI, the whole path
 * has no dot segments or extra slashes left: the client must not choose the mount point. */
static bool split_script(const struct cgi_paths *sent, struct text *rest) {
    struct slice script = sent->script_name, mount = without_slashes(script), document = sent->document_uri;
    if (same(document, script) || script.p[0] != '/')
        return false;
    if (document.n > script.n && !memcmp(document.p, script.p, script.n) &&
        (mount.n < script.n || document.p[script.n] == '/')) {
        *rest = one((struct slice){document.p + mount.n, document.n - mount.n}, false);
        return true;
    }
    /* Everything is below "/", so REQUEST_URI tells nothing: the path may have been rewritten to it. */
    struct slice path = uri_path(sent->request_uri);
    if (!mount.n || same(path, script))
        return false;
    struct place place = place_of_uri(sent, mount);
    if (place.where == ELSEWHERE || (place.where == AT && (!place.slash || mount.n < script.n)))
        return false;
    *rest = one((struct slice){path.p + place.rest, path.n - place.rest}, true);
    return true;
}

static enum cgi_result set_script_alone(const struct cgi_paths *sent, struct cgi_vars *vars) {
    struct text path = one(sent->script_name, false);
    vars->script_name = EMPTY;
    if (!sent->script_name.n)
        path = path_of_uris(sent);
    else if (split_script(sent, &path))
        vars->script_name = without_slashes(sent->script_name);
    return set_path(&path, vars);
}

static enum cgi_result set_both(const struct cgi_paths *sent, struct slice script, struct cgi_vars *vars) {
    struct text info = one(sent->path_info, false);
    struct slice mount = without_slashes(script);
    bool elsewhere = false;
    if (mount.n && same(script, sent->path_info) && is_whole(sent, script))
        mount = EMPTY;
    else if (mount.n && mount.n == script.n && sent->path_info.p[0] != '/')
        /* "/app" and "le": a path that was split within a segment is not below the mount point. */
        elsewhere = uri_path(sent->request_uri).n && place_of_uri(sent, mount).where == ELSEWHERE;
    vars->script_name = mount;
    enum cgi_result result = set_path(&info, vars);
    return elsewhere ? CGI_OUTSIDE : result;
}

/* Whether the text is below the prefix without decoding; true for nearly all. */
static bool begins_plainly(const struct text *t, struct slice prefix) {
    struct slice s = t->part[0].n ? t->part[0] : t->part[1];
    if (t->encoded || (t->part[0].n && t->part[1].n) || s.n < prefix.n || memcmp(s.p, prefix.p, prefix.n))
        return false;
    return (s.n == prefix.n || s.p[prefix.n] == '/') && !memchr(s.p, '.', s.n);
}

/* Whether REQUEST_URI is the mount point followed by this path, which itself begins with the mount point: "/app/app/x"
 * and "/app/x". */
static bool is_taken_off(const struct cgi_paths *sent, const struct text *t, struct slice prefix) {
    struct slice uri = uri_path(sent->request_uri), path = t->part[0].n ? t->part[0] : t->part[1];
    if (t->encoded || length(t) > path.n || uri.n < path.n + prefix.n)
        return false;
    struct place place = place_of_uri(sent, prefix);
    struct text rest = one((struct slice){uri.p + place.rest, uri.n - place.rest}, true);
    return place.where == BELOW && find_place(&rest, path).where == AT;
}

static enum cgi_result set_mounted(const struct cgi_paths *sent, struct slice script, struct slice prefix,
                                   struct cgi_vars *vars) {
    struct text path = {.part = {script, sent->path_info}};
    vars->script_name = prefix;
    if (!sent->path_info.n)
        path = sent->script_name.n ? one(sent->script_name, false) : path_of_uris(sent);
    else if (script.n && is_whole(sent, sent->path_info))
        path.part[0] = EMPTY;
    if (is_taken_off(sent, &path, prefix))
        return set_path(&path, vars);
    if (begins_plainly(&path, prefix)) {
        drop_front(&path, prefix.n);
        return set_path(&path, vars);
    }
    struct place place = find_place(&path, prefix);
    if (place.where != ELSEWHERE) {
        drop_front(&path, place.rest);
        return set_path(&path, vars);
    }
    bool outside = uri_path(sent->request_uri).n && place_of_uri(sent, prefix).where == ELSEWHERE;
    enum cgi_result result = set_path(&path, vars);
    return result == CGI_OK && outside ? CGI_OUTSIDE : result;
}

enum cgi_result cgi_set_paths(const struct cgi_paths *sent, struct slice prefix, struct cgi_vars *vars) {
    struct slice script = sent->script_name, info = sent->path_info, path = info.n ? info : script;
    if (path.n ? is_asterisk(path) && (!sent->request_uri.n || is_asterisk(sent->request_uri))
               : is_asterisk(sent->request_uri)) {
        vars->script_name = prefix;
        return set_asterisk(vars);
    }
    /* PEP 3333: SCRIPT_NAME is empty or the path of a mount point. A proxy that sends "/" means none. */
    if (script.n && (script.p[0] != '/' || (script.n == 1 && info.n && info.p[0] == '/')))
        script = EMPTY;
    if (prefix.n)
        return set_mounted(sent, script, prefix, vars);
    return info.n ? set_both(sent, script, vars) : set_script_alone(sent, vars);
}
