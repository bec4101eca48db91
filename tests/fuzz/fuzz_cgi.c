/* What cgi.h promises of every request. The first byte chooses the prefix. */
#include "config.h"

#include "proto/cgi.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct slice prefixes[] = {{"", 0}, {"/app", 4}, {"/a/b", 4}, {"/a", 2}};
    struct cgi_vars v;
    if (size == 0)
        return 0;
    struct slice prefix = prefixes[data[0] % 4], script;
    const char *pos = (const char *)data + 1, *end = pos + size - 1;
    if (cgi_scan(pos, size - 1, prefix, &v) != CGI_OK)
        return 0;
    script = v.script_name;
    if (!v.method.n || !v.server_name.n || !v.server_port.n || !v.protocol.n || v.content_length < -1 ||
        (script.n && (script.p[0] != '/' || script.p[script.n - 1] == '/')) ||
        (prefix.n && (script.n != prefix.n || memcmp(script.p, prefix.p, prefix.n))) ||
        (v.path_info[1].n && !v.path_info[0].n))
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
