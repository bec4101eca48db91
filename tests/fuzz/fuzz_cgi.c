/* What cgi.h promises of every request. The first byte chooses the prefix, and how many 64ths of the rest are parameters
 * that came before and are remembered. */
#include "config.h"

#include "cgi_vars.h"
#include "proto/cgi_rules.h"
#include "proto/http_target.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is remembered makes no difference, and what is said of it is true. */
static void check_memo(const char *before, const char *pos, const char *end, struct slice prefix,
                       enum cgi_result result, const struct cgi_vars *v) {
    static struct cgi_memo memo;
    struct cgi_vars again;
    memo.nsamples = memo.misses = 0;
    memset(memo.seen, 0, sizeof memo.seen);
    for (int i = 0; i < 2; i++)
        (void)cgi_scan(before, (size_t)(pos - before), prefix, &memo, &again);
    for (int i = 0; i < 2 * CGI_MEMO_MISSES; i++) {
        if (cgi_scan(pos, (size_t)(end - pos), prefix, &memo, &again) != result)
            abort();
        if (result != CGI_MALFORMED &&
            (!same_vars(v, &again) || !is_likeness_true(&memo, pos, (size_t)(end - pos), &again.like)))
            abort();
    }
}

/* PATH_INFO is empty or begins with a slash, can be decoded, and has no NUL; nor has what else the rules are for. */
static bool is_path_good(const struct cgi_vars *v) {
    char out[4096];
    for (int i = 0; i < 2; i++) {
        struct slice part = v->path_info[i];
        if (part.n > sizeof out)
            return true;
        if (v->path_encoded)
            part = (struct slice){out, http_target_decode(part, out)};
        if (part.n == SIZE_MAX || cgi_has_nul(part) || (!i && part.n && part.p[0] != '/'))
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct slice prefixes[] = {{"", 0}, {"/app", 4}, {"/a/b", 4}, {"/a", 2}};
    struct cgi_vars v;
    if (size == 0)
        return 0;
    struct slice prefix = prefixes[data[0] % 4], script;
    const char *before = (const char *)data + 1, *end = before + size - 1,
               *pos = before + (size - 1) * (data[0] / 4) / 64;
    enum cgi_result result = cgi_scan(pos, (size_t)(end - pos), prefix, NULL, &v);
    check_memo(before, pos, end, prefix, result, &v);
    if (result == CGI_MALFORMED)
        return 0;
    script = v.script_name;
    if (!v.method.n || !v.server_name.n || !v.server_port.n || !v.protocol.n || v.content_length < -1 ||
        (script.n && (script.p[0] != '/' || script.p[script.n - 1] == '/')) ||
        (prefix.n && (script.n != prefix.n || memcmp(script.p, prefix.p, prefix.n))) ||
        (v.path_info[1].n && !v.path_info[0].n) || !is_path_good(&v) || !cgi_is_token(v.method) ||
        !cgi_is_target(v.query) || !cgi_is_target(v.request_uri))
        abort();
    struct params_pair pair;
    uint32_t npairs = 0;
    for (; params_next(&pos, end, &pair) == PARAMS_PAIR; npairs++)
        if (pair.name.n >= 5 && memcmp(pair.name.p, "wsgi.", 5) == 0 && cgi_classify(pair.name) != CGI_DROP)
            abort();
    if (pos != end || npairs != v.npairs)
        abort();
    return 0;
}
