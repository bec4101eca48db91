#include "config.h"

#include "proto/cgi.h"

#include "proto/cgi_rules.h"
#include "proto/http_target.h"

#include "cgi_vars.h"
#include "unit/unit.h"

#include <stdio.h>

/* Pairs are written "NAME=value" here. */
enum { PAIRS_MAX = 8, BYTES_MAX = 16384 };

#define SLICE(text) ((struct slice){(text), sizeof(text) - 1})

static char bytes[BYTES_MAX];
static struct guard guard;

static size_t build(const char *const *pairs) {
    size_t n = 0;
    for (int i = 0; i < PAIRS_MAX && pairs[i]; i++) {
        const char *equals = strchr(pairs[i], '=');
        n += params_put(bytes + n, sizeof bytes - n, (struct slice){pairs[i], (size_t)(equals - pairs[i])},
                        (struct slice){equals + 1, strlen(equals + 1)});
        ck_assert_uint_le(n, sizeof bytes);
    }
    return n;
}

/* Scans often enough that what comes is remembered when it is to be, and compared with that. Whatever the memo holds, the
 * result is the same. */
static enum cgi_result scan_with(struct cgi_memo *memo, const char *params, size_t n, struct slice prefix,
                                 struct cgi_vars *vars) {
    struct cgi_vars plain;
    enum cgi_result result = cgi_scan(params, n, prefix, NULL, &plain);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(cgi_scan(params, n, prefix, memo, vars), result);
        ck_assert(result == CGI_MALFORMED || memo->seed || same_vars(&plain, vars));
        ck_assert(result == CGI_MALFORMED || is_likeness_true(memo, params, n, &vars->like));
    }
    return result;
}

static enum cgi_result scan_bytes(const char *params, size_t n, struct slice prefix, struct cgi_vars *vars) {
    static struct cgi_memo memo;
    return scan_with(&memo, params, n, prefix, vars);
}

static struct cgi_vars scan(const char *const *pairs, const char *prefix) {
    struct cgi_vars vars;
    size_t n = build(pairs);
    const char *params = guard_put(&guard, bytes, n);
    ck_assert_int_eq(scan_bytes(params, n, (struct slice){prefix, strlen(prefix)}, &vars), CGI_OK);
    return vars;
}

static void check(const char *what, struct slice is, const char *expect) {
    ck_assert_msg(is.n == strlen(expect) && memcmp(is.p, expect, is.n) == 0, "%s is '%.*s', not '%s'", what, (int)is.n,
                  is.p, expect);
}

static void setup(void) {
    guard_init(&guard, BYTES_MAX);
}

static void teardown(void) {
    guard_fini(&guard);
}

static const struct {
    const char *prefix;
    const char *script, *info; /* as sent; NULL: not sent */
    const char *script_name, *path_info;
} paths[] = {
    /* nginx, Apache and HAProxy with their stock configurations: the path is in SCRIPT_NAME. */
    {"", "/", NULL, "", "/"},
    {"", "/a/b", NULL, "", "/a/b"},
    {"", "/a/b", "", "", "/a/b"},
    {"", "/a/", NULL, "", "/a/"},
    /* Caddy and H2O: it is in PATH_INFO. */
    {"", "", "/a/b", "", "/a/b"},
    {"", NULL, "/a/b", "", "/a/b"},
    /* lighttpd with "/app" => (...): both are right; a bare /app has no PATH_INFO. */
    {"", "/app", "/x", "/app", "/x"},
    {"", "/app", NULL, "", "/app"},
    /* SCRIPT_NAME never ends in a slash. */
    {"", "/", "/x", "", "/x"},
    {"", "/app/", "/x", "/app", "/x"},
    {"", "/app//", "/x", "/app", "/x"},
    {"", "//", "/x", "", "/x"},
    {"", "/", "x", "", "/x"},
    {"", "", "x", "", "/x"},
    {"", "/app", "x", "/app", "/x"},
    /* It begins with one, or it is no mount point. */
    {"", "app", "/x", "", "/x"},
    {"", "app", NULL, "", "/app"},
    /* Kept as sent. */
    {"", "//a//b", NULL, "", "//a//b"},
    {"", "", "//a//b", "", "//a//b"},
    {"", NULL, NULL, "", ""},
    /* RFC 3875, 4.1.5: empty, or with a slash in front. */
    {"", "*", NULL, "", ""},
    {"", "", "*", "", ""},
    {"", "", "*x", "", "/*x"},
    /* A prefix that is in SCRIPT_NAME (nginx), in PATH_INFO (H2O), in both, or across them (lighttpd). */
    {"/app", "/app/x", NULL, "/app", "/x"},
    {"/app", "", "/app/x", "/app", "/x"},
    {"/app", "/app", "/x", "/app", "/x"},
    {"/app", "/app", "/app/x", "/app", "/app/x"},
    {"/one/two", "/one", "/two/x", "/one/two", "/x"},
    {"/one/two", "/one", "/two", "/one/two", ""},
    {"/one/two", "/o", "ne/two/x", "/one/two", "/x"},
    {"/one", "/one/two", "/x", "/one", "/two/x"},
    {"/app", "/", "/app/x", "/app", "/x"},
    {"/app", "/app", NULL, "/app", ""},
    {"/app", "/app/", NULL, "/app", "/"},
    {"/app", "/app//x", NULL, "/app", "//x"},
    {"/app", "/app/", "/x", "/app", "//x"},
    {"/app", "app", "/app/x", "/app", "/x"},
    /* The proxy has taken it off already. */
    {"/app", "/x", NULL, "/app", "/x"},
    {"/app", "", "/x", "/app", "/x"},
    {"/app", "/", NULL, "/app", "/"},
    {"/app", "/", "/", "/app", "/"},
    {"/app", "/", "x", "/app", "/x"},
    {"/app", "/a", "/b", "/app", "/a/b"},
    {"/app", NULL, NULL, "/app", ""},
    {"/app", "*", NULL, "/app", ""},
    /* Only whole segments count. */
    {"/app", "/apple", NULL, "/app", "/apple"},
    {"/app", "/app", "le", "/app", "/apple"},
    {"/app", "/ap", NULL, "/app", "/ap"},
    {"/app", "/ap", "/p", "/app", "/ap/p"},
    {"/one/two", "/one", "/twofold", "/one/two", "/one/twofold"},
    {"/one/two", "/one", "/tw", "/one/two", "/one/tw"},
};

/* A variable that is NULL is not sent. Returns how many pairs there are. */
static int put_pairs(const char *pairs[PAIRS_MAX], char text[4][256], const char *const values[4]) {
    static const char *const variables[] = {"SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "DOCUMENT_URI"};
    int n = 0;
    for (int i = 0; i < 4; i++) {
        if (!values[i])
            continue;
        snprintf(text[i], 256, "%s=%s", variables[i], values[i]);
        pairs[n++] = text[i];
    }
    return n;
}

static void check_path(const struct cgi_vars *vars, const char *script_name, const char *path_info) {
    char joined[512], decoded[512], *shown = joined;
    check("script_name", vars->script_name, script_name);
    int len = snprintf(joined, sizeof joined, "%.*s%.*s", (int)vars->path_info[0].n, vars->path_info[0].p,
                       (int)vars->path_info[1].n, vars->path_info[1].p);
    size_t n = (size_t)len;
    if (vars->path_encoded) {
        n = http_target_decode((struct slice){joined, n}, decoded);
        ck_assert_uint_ne(n, SIZE_MAX);
        shown = decoded;
    }
    check("path_info", (struct slice){shown, n}, path_info);
    ck_assert(vars->path_info[0].n || !vars->path_info[1].n);
}

START_TEST(path)
{
    char text[4][256];
    const char *pairs[PAIRS_MAX] = {NULL}, *const values[4] = {paths[_i].script, paths[_i].info};
    pairs[put_pairs(pairs, text, values)] = "REQUEST_METHOD=OPTIONS";
    struct cgi_vars vars = scan(pairs, paths[_i].prefix);
    check_path(&vars, paths[_i].script_name, paths[_i].path_info);
}
END_TEST

static const struct {
    const char *prefix;
    const char *script, *info, *uri, *document; /* as sent; NULL: not sent */
    const char *script_name, *path_info;        /* NULL: outside the mount point */
} uris[] = {
    /* A SCRIPT_NAME that was set on purpose, with nginx, which sends DOCUMENT_URI... */
    {"", "/app", NULL, "/app/x?q", "/app/x", "/app", "/x"},
    {"", "/app", "", "/app/x/?q=/app", "/app/x/", "/app", "/x/"},
    {"", "/app", NULL, "/app/", "/app/", "/app", "/"},
    {"", "/app/", NULL, "/app/x", "/app/x", "/app", "/x"},
    {"", "/app", NULL, "/app/caf%C3%A9%25", "/app/caf\xc3\xa9%", "/app", "/caf\xc3\xa9%"},
    {"", "/app", NULL, "//a/../app//x", "/app/x", "/app", "/x"},
    {"", "/app", NULL, "/old", "/app/x", "/app", "/x"},
    {"", "/one/two", NULL, "/one/two/x", "/one/two/x", "/one/two", "/x"},
    {"", "/", NULL, "/a/b", "/a/b", "", "/a/b"},
    {"", "/", NULL, "/old", "/", "", "/"},
    /* ...or without it. */
    {"", "/app", NULL, "/app/x?q", NULL, "/app", "/x"},
    {"", "/app", NULL, "/app/x?q", "", "/app", "/x"},
    {"", "/app", NULL, "/app/", NULL, "/app", "/"},
    {"", "/app/", NULL, "/app/x", NULL, "/app", "/x"},
    {"", "/app", NULL, "/app/caf%C3%A9%25", NULL, "/app", "/caf\xc3\xa9%"},
    {"", "/caf\xc3\xa9", NULL, "/caf%c3%A9/x+y", NULL, "/caf\xc3\xa9", "/x+y"},
    {"", "/app", NULL, "/app%2Fx", NULL, "/app", "/x"},
    {"", "/app", NULL, "//app//x", NULL, "/app", "//x"},
    {"", "/app", NULL, "/./z/../app/x/../y", NULL, "/app", "/x/../y"},
    {"", "/app", NULL, "/z/%2e%2E/app/x", NULL, "/app", "/x"},
    {"", "/app", NULL, "/app/../app/x", NULL, "/app", "/x"},
    {"", "/app", NULL, "/app/x/..", NULL, "/app", "/x/.."},
    {"", "/app", NULL, "http://example.org:80/app/x?q", NULL, "/app", "/x"},
    {"", "/app", NULL, "/app/x#f", NULL, "/app", "/x"},
    /* The whole path, whatever REQUEST_URI has that the web server has resolved. */
    {"", "/app", NULL, "/app", "/app", "", "/app"},
    {"", "/app", NULL, "/app?/app/x", NULL, "", "/app"},
    {"", "/app/", NULL, "/app/", "/app/", "", "/app/"},
    {"", "/app/", NULL, "/app/", NULL, "", "/app/"},
    {"", "/app/", NULL, "/app//", NULL, "", "/app/"},
    {"", "/app/", NULL, "/app/x/..", NULL, "", "/app/"},
    {"", "/a/b", NULL, "/a//b", NULL, "", "/a/b"},
    {"", "/a", NULL, "/a/b/..%2F../a", "/a", "", "/a"},
    {"", "/a", NULL, "/a/b/..%2F../a", NULL, "", "/a"},
    {"", "/a", NULL, "/a/b/../../a", NULL, "", "/a"},
    {"", "/a/b/../../a", NULL, "/a/b/../../a", NULL, "", "/a/b/../../a"},
    {"", "/a/b/../../a", NULL, "/a/b/../../%61", NULL, "", "/a/b/../../a"},
    {"", "/a//b", NULL, "/a//b%2Fc", NULL, "", "/a//b"},
    {"", "/a%2Fb", NULL, "/a%2Fb", NULL, "", "/a%2Fb"},
    {"", "/a b", NULL, "/a%20b?c", NULL, "", "/a b"},
    {"", "/app", NULL, "/apple", NULL, "", "/app"},
    {"", "/app", NULL, "/apple/x", "/apple/x", "", "/app"},
    {"", "/app", NULL, "/other/app/x", NULL, "", "/app"},
    {"", "/index.py", NULL, "/", "/index.py", "", "/index.py"},
    {"", "/a", NULL, "/a/b", "/a", "", "/a"},
    {"", "/x", NULL, "http://example.org", NULL, "", "/x"},
    {"", "/x", NULL, "x://", NULL, "", "/x"},
    {"", "/x", NULL, "*x/x/y", NULL, "", "/x"},
    {"", "/x", NULL, "a:b//x/y", NULL, "", "/x"},
    {"", "/", NULL, "/x", NULL, "", "/"},
    {"", "//", NULL, "//x", NULL, "", "//"},
    {"", "x", NULL, "/x/y", NULL, "", "/x"},
    /* The same in both. */
    {"", "/x/y", "/x/y", "/x/y?q", NULL, "", "/x/y"},
    {"", "/x y", "/x y", "/x%20y", NULL, "", "/x y"},
    {"", "/x", "/x", "//./x", NULL, "", "/x"},
    {"", "/x", "/x", "http://h/x", NULL, "", "/x"},
    {"", "/x", "/x", "/x/x", NULL, "/x", "/x"},
    {"", "/x", "/x", "", NULL, "/x", "/x"},
    {"", "/x", "/x", "*x", NULL, "/x", "/x"},
    {"", "/", "/", "/", NULL, "", "/"},
    {"", "/app", "/x", "/x", NULL, "/app", "/x"},
    /* Split within a segment. */
    {"", "/app", "le", "/apple", NULL, NULL, NULL},
    {"", "/app", "le", "/app/le", NULL, "/app", "/le"},
    {"", "/app/", "le", "/app/le", NULL, "/app", "/le"},
    /* Neither. */
    {"", NULL, NULL, "/a%20b/%C3%A9?q", NULL, "", "/a b/\xc3\xa9"},
    {"", "", NULL, "/a//b/../c", NULL, "", "/a//b/../c"},
    {"", "", "", "/app", "", "", ""},
    {"", NULL, "", "/app", "/app", "", ""},
    {"", NULL, NULL, "http://example.org/a?b", NULL, "", "/a"},
    {"", NULL, NULL, "http://example.org?b", NULL, "", "/"},
    {"", NULL, NULL, "?b", NULL, "", ""},
    {"", NULL, NULL, "a%20b/c?d/e", NULL, "", "/a b/c"},
    {"", "", NULL, "%61#", NULL, "", "/a"},
    {"", "", "", "a", NULL, "", ""},
    {"/app", NULL, NULL, "app/x", NULL, "/app", "/x"},
    {"/app", NULL, NULL, "x%20y", NULL, "/app", "/x y"},
    {"", NULL, NULL, "/%61", "/a%62", "", "/a%62"},
    {"", NULL, NULL, NULL, "/a/b", "", "/a/b"},
    {"", NULL, NULL, NULL, "a/b", "", "/a/b"},
    {"", NULL, NULL, "*", NULL, "", ""},
    {"", "", "*", "*", NULL, "", ""},
    {"", "*", NULL, "*", "*", "", ""},
    {"", "*", NULL, "/x", NULL, "", "/*"},
    /* Mounted: the path that was sent is below the mount point. */
    {"/app", "/app/x", NULL, "/app/x?q", "/app/x", "/app", "/x"},
    {"/app", "/app", "/x", "/app/x", NULL, "/app", "/x"},
    {"/app", "", "/app/x.y", "/app/x.y", NULL, "/app", "/x.y"},
    {"/app", "", "/app/a..b/...", "/app/a..b/...", NULL, "/app", "/a..b/..."},
    {"/app", "", "/app/a/../b", "/app/a/../b", NULL, "/app", "/a/../b"},
    {"/app", "", "//app//x", "//app//x", NULL, "/app", "//x"},
    {"/app", "", "/./app/x", "/./app/x", NULL, "/app", "/x"},
    {"/app", "", "/../../app/x", "/../../app/x", NULL, "/app", "/x"},
    {"/app", "", "/x/../../app/x", "/x/../../app/x", NULL, "/app", "/x"},
    {"/app", "", "/x/../app/", "/x/../app/", NULL, "/app", "/"},
    {"/app", "", "/app/../app", "/app/../app", NULL, "/app", ""},
    {"/app", "/a", "pp/x.", "/app/x.", NULL, "/app", "/x."},
    {"/app", NULL, NULL, "/%61pp/%78", NULL, "/app", "/x"},
    {"/app", NULL, NULL, "/x", "/app/x", "/app", "/x"},
    {"/app", "/app", "/app/x", "/app/app/x", NULL, "/app", "/app/x"},
    /* REQUEST_URI shows that PATH_INFO is the whole path. */
    {"/app", "/app", "/app/x", "/app/x", NULL, "/app", "/x"},
    {"/app", "/app", "/app/x", "/%61pp/x?q", NULL, "/app", "/x"},
    {"/app", "/app", "/apple", "/apple", NULL, NULL, NULL},
    {"/app", "/app", "/app", "/app", NULL, "/app", ""},
    {"/app", "/app", "/app", "/app/app", NULL, "/app", "/app"},
    /* Rewritten by the web server, on purpose. */
    {"/app", "/app/error", NULL, "/missing", "/app/error", "/app", "/error"},
    {"/app", "", "/app/x", "/old/x", NULL, "/app", "/x"},
    /* Taken off by the web server. */
    {"/app", "", "/x", "/app/x", NULL, "/app", "/x"},
    {"/app", "/x", NULL, "/app/x", "/x", "/app", "/x"},
    {"/app", "", "/x", "/%61pp/x", NULL, "/app", "/x"},
    {"/app", "", "/x", "//app//x", NULL, "/app", "/x"},
    {"/app", "", "/x", "/./app/x", NULL, "/app", "/x"},
    {"/app", "", "/x", "/y/%2e./app/x", NULL, "/app", "/x"},
    {"/app", "", "/x", "/app/y/../x", NULL, "/app", "/x"},
    {"/app", "", "/", "/app", NULL, "/app", "/"},
    {"/app", "", "", "/app", "", "/app", ""},
    {"/app", "", "/", "/app?q", NULL, "/app", "/"},
    {"/app", "", "/x", "https://example.org/app/x", NULL, "/app", "/x"},
    {"/app", "", "x", "/app/x", NULL, "/app", "/x"},
    {"/one/two", "", "/x", "/one//two/x", NULL, "/one/two", "/x"},
    /* And what is left looks as if it had not. */
    {"/app", "", "/app/x", "/app/app/x?q", NULL, "/app", "/app/x"},
    {"/app", "", "/app/x y", "//%61pp/./app/x%20y", NULL, "/app", "/app/x y"},
    {"/app", "", "/app", "/app/app", NULL, "/app", "/app"},
    {"/app", "", "/app/", "/app/app/", NULL, "/app", "/app/"},
    {"/app", "/app/x", NULL, "/app/app/x", "/app/x", "/app", "/app/x"},
    {"/app", "", "/app/x", "/app/other/app/x", NULL, "/app", "/x"},
    {"/app", "", "/app/x", "/app/app/xy", NULL, "/app", "/x"},
    {"/app", "", "/app/app/x", "/app/app/x", NULL, "/app", "/app/x"},
    {"/one/two", "", "/x", "/one/z/../two/x", NULL, "/one/two", "/x"},
    {"/one/two", "", "/x", "/one/two/../../one/two/x", NULL, "/one/two", "/x"},
    /* Outside. */
    {"/app", "/apple", NULL, "/apple", "/apple", NULL, NULL},
    {"/app", "", "/apple", "/apple", NULL, NULL, NULL},
    {"/app", "/app", "le", "/apple", NULL, NULL, NULL},
    {"/app", "", "/apple", "/%61pple", NULL, NULL, NULL},
    {"/app", "", "/ap", "/ap", NULL, NULL, NULL},
    {"/app", "", "/", "/", NULL, NULL, NULL},
    {"/app", "", "/x/app/y", "/x/app/y", NULL, NULL, NULL},
    {"/app", "/x", NULL, "/app/../x", "/x", NULL, NULL},
    {"/app", "", "/app/../x", "/app/../x", NULL, NULL, NULL},
    {"/app", "", "/app/../x", "/app/%2e%2e/x", NULL, NULL, NULL},
    {"/app", "", "/app/..", "/app/..", NULL, NULL, NULL},
    {"/app", "", "/app/x/../../y", "/app/x/../../y", NULL, NULL, NULL},
    {"/app", "", "//x", "//x", NULL, NULL, NULL},
    {"/app", "", "/apple", "http://example.org/apple", NULL, NULL, NULL},
    {"/app", "", "/x", "http://app/x", NULL, NULL, NULL},
    {"/app", "", "/x", "/x?/app/x", NULL, NULL, NULL},
    {"/app", "", "/x", "/app%3fx", NULL, NULL, NULL},
    {"/app", "", "/x", "/%2561pp/x", NULL, NULL, NULL},
    {"/app", NULL, NULL, "/apple", NULL, NULL, NULL},
    {"/app", "", "", "/apple", NULL, NULL, NULL},
    {"/one/two", "", "/one", "/one", NULL, NULL, NULL},
    {"/one/two", "", "/one/twofold", "/one/twofold", NULL, NULL, NULL},
    {"/one/two", "", "/one/two/../x", "/one/two/../x", NULL, NULL, NULL},
    /* REQUEST_URI tells nothing, or that there is no path. */
    {"/app", "", "/apple", NULL, NULL, "/app", "/apple"},
    {"/app", "", "/apple", "", NULL, "/app", "/apple"},
    {"/app", "", "/apple", "apple", NULL, "/app", "/apple"},
    {"/app", "*", NULL, "*", NULL, "/app", ""},
};

START_TEST(path_and_uris)
{
    char text[4][256];
    const char *const values[4] = {uris[_i].script, uris[_i].info, uris[_i].uri, uris[_i].document};
    const char *pairs[PAIRS_MAX] = {NULL};
    pairs[put_pairs(pairs, text, values)] = "REQUEST_METHOD=OPTIONS";
    size_t n = build(pairs);
    struct cgi_vars vars;
    enum cgi_result result =
        scan_bytes(guard_put(&guard, bytes, n), n, (struct slice){uris[_i].prefix, strlen(uris[_i].prefix)}, &vars);
    if (!uris[_i].script_name) {
        ck_assert_int_eq(result, CGI_OUTSIDE);
        return;
    }
    ck_assert_int_eq(result, CGI_OK);
    check_path(&vars, uris[_i].script_name, uris[_i].path_info);
    check("request_uri", vars.request_uri, uris[_i].uri ? uris[_i].uri : "");
}
END_TEST

static const struct {
    const char *pairs[PAIRS_MAX];
    const char *name, *port;
} servers[] = {
    {{"SERVER_NAME=example.org", "SERVER_PORT=8080"}, "example.org", "8080"},
    {{"SERVER_NAME=example.org", "SERVER_PORT=8080", "HTTP_HOST=other:99"}, "example.org", "8080"},
    {{NULL}, "localhost", "80"},
    {{"HTTPS=on"}, "localhost", "443"},
    {{"SERVER_NAME=", "SERVER_PORT="}, "localhost", "80"},
    /* nginx without server_name. */
    {{"SERVER_NAME=", "HTTP_HOST=example.org", "SERVER_PORT=80"}, "example.org", "80"},
    {{"SERVER_NAME=", "HTTP_HOST=example.org:8080", "SERVER_PORT=80"}, "example.org", "80"},
    {{"HTTP_HOST=example.org:8080"}, "example.org", "8080"},
    {{"HTTP_HOST=[::1]:8080"}, "[::1]", "8080"},
    {{"HTTP_HOST=[::1]"}, "[::1]", "80"},
    {{"HTTP_HOST=", "SERVER_ADDR=192.0.2.1"}, "192.0.2.1", "80"},
    {{"HTTP_HOST=:8080", "SERVER_ADDR=192.0.2.1"}, "192.0.2.1", "8080"},
    {{"SERVER_ADDR=2001:db8::1"}, "2001:db8::1", "80"},
    {{"HTTP_HOST=example.org", "SERVER_ADDR=192.0.2.1"}, "example.org", "80"},
    /* HAProxy: the Host header in SERVER_NAME, and port 0. */
    {{"SERVER_NAME=example.org:8080", "SERVER_PORT=0"}, "example.org", "8080"},
    {{"SERVER_NAME=example.org:8080", "SERVER_PORT=81"}, "example.org", "81"},
    {{"SERVER_NAME=example.org:8080", "HTTP_HOST=example.org:99"}, "example.org", "8080"},
    {{"SERVER_NAME=[2001:db8::1]:8080"}, "[2001:db8::1]", "8080"},
    {{"SERVER_NAME=[2001:db8::1]", "SERVER_PORT=0", "HTTPS=on"}, "[2001:db8::1]", "443"},
    {{"SERVER_NAME=2001:db8::1"}, "2001:db8::1", "80"},
    {{"SERVER_NAME=::1"}, "::1", "80"},
    {{"SERVER_NAME=[::1", "HTTP_HOST=h:99"}, "[::1", "99"},
    {{"SERVER_NAME=:8080", "HTTP_HOST=h:99"}, "h", "8080"},
    {{"SERVER_NAME=h:", "HTTP_HOST=h:99"}, "h", "99"},
    {{"SERVER_NAME=h:http"}, "h", "80"},
    {{"SERVER_NAME=:"}, "localhost", "80"},
    /* What is no port. */
    {{"SERVER_PORT=http", "HTTP_HOST=h:99"}, "h", "99"},
    {{"SERVER_PORT=-1"}, "localhost", "80"},
    {{"SERVER_PORT=8o"}, "localhost", "80"},
    {{"SERVER_PORT=65536"}, "localhost", "80"},
    {{"SERVER_PORT=65535"}, "localhost", "65535"},
    {{"SERVER_PORT=1"}, "localhost", "1"},
    {{"SERVER_PORT=99999999999999999999"}, "localhost", "80"},
    {{"SERVER_PORT=0", "HTTP_HOST=h:0", "REQUEST_SCHEME=https"}, "h", "443"},
    {{"SERVER_PORT=0", "HTTP_HOST=h:"}, "h", "80"},
    /* The last one counts. */
    {{"SERVER_NAME=a", "SERVER_PORT=1", "SERVER_NAME=b", "SERVER_PORT=2"}, "b", "2"},
};

START_TEST(server)
{
    struct cgi_vars vars = scan(servers[_i].pairs, "");
    check("server_name", vars.server_name, servers[_i].name);
    check("server_port", vars.server_port, servers[_i].port);
}
END_TEST

static const struct {
    const char *pair;
    int64_t length;
} content_lengths[] = {
    {NULL, -1},
    {"CONTENT_LENGTH=", -1},
    {"CONTENT_LENGTH=0", 0},
    {"CONTENT_LENGTH=00", 0},
    {"CONTENT_LENGTH=7", 7},
    {"CONTENT_LENGTH=007", 7},
    {"CONTENT_LENGTH=1234567890123", 1234567890123},
    {"CONTENT_LENGTH=-1", -1},
    {"CONTENT_LENGTH=-0", -1},
    {"CONTENT_LENGTH=+1", -1},
    {"CONTENT_LENGTH= 1", -1},
    {"CONTENT_LENGTH=1 ", -1},
    {"CONTENT_LENGTH=1,1", -1},
    {"CONTENT_LENGTH=0x10", -1},
    {"CONTENT_LENGTH=ten", -1},
    {"CONTENT_LENGTH=9223372036854775807", INT64_MAX},
    {"CONTENT_LENGTH=9223372036854775808", -1},
    {"CONTENT_LENGTH=9223372036854775810", -1},
    {"CONTENT_LENGTH=18446744073709551617", -1},
    {"CONTENT_LENGTH=99999999999999999999999999999999", -1},
    {"CONTENT_LENGTH=00000000000000000000000000000012", 12},
    {"HTTP_CONTENT_LENGTH=5", -1},
};

START_TEST(content_length)
{
    struct cgi_vars vars = scan((const char *[PAIRS_MAX]){content_lengths[_i].pair}, "");
    ck_assert_int_eq(vars.content_length, content_lengths[_i].length);
}
END_TEST

static const struct {
    const char *pairs[PAIRS_MAX];
    bool https;
} schemes[] = {
    {{NULL}, false},
    {{"HTTPS="}, false},
    {{"HTTPS=off"}, false},
    {{"HTTPS=0"}, false},
    {{"HTTPS=no"}, false},
    {{"HTTPS=\x11"}, false},
    {{"HTTPS=onn"}, false},
    {{"HTTPS=on"}, true},
    {{"HTTPS=On"}, true},
    {{"HTTPS=1"}, true},
    {{"HTTPS=YES"}, true},
    {{"REQUEST_SCHEME=http"}, false},
    {{"REQUEST_SCHEME=https"}, true},
    {{"REQUEST_SCHEME=HTTPS"}, true},
    {{"REQUEST_SCHEME=https", "HTTPS=off"}, true},
    {{"REQUEST_SCHEME=http", "HTTPS=on"}, true},
    {{"REQUEST_SCHEME=httpss"}, false},
    {{"HTTP_HTTPS=on"}, false},
};

START_TEST(scheme)
{ ck_assert_int_eq(scan(schemes[_i].pairs, "").https, schemes[_i].https); }
END_TEST

START_TEST(other_variables)
{
    struct cgi_vars vars =
        scan((const char *[PAIRS_MAX]){"REQUEST_METHOD=POST", "QUERY_STRING=a=1&b=2", "X=y", "REQUEST_URI=/?a",
                                       "REMOTE_ADDR=192.0.2.7", "SERVER_PROTOCOL=HTTP/2.0", "HTTP_X=z"},
             "");
    check("method", vars.method, "POST");
    check("query", vars.query, "a=1&b=2");
    check("request_uri", vars.request_uri, "/?a");
    check("remote_addr", vars.remote_addr, "192.0.2.7");
    check("protocol", vars.protocol, "HTTP/2.0");
    ck_assert_uint_eq(vars.npairs, 7);
    ck_assert(vars.method.p > guard.base && vars.method.p < guard.end);
}
END_TEST

START_TEST(missing_and_empty_variables)
{
    static const char *const missing[PAIRS_MAX] = {NULL};
    static const char *const empty[PAIRS_MAX] = {
        "REQUEST_METHOD=", "QUERY_STRING=", "REQUEST_URI=", "REMOTE_ADDR=", "SERVER_PROTOCOL="};
    struct cgi_vars vars = scan(_i ? empty : missing, "");
    check("method", vars.method, "GET");
    check("query", vars.query, "");
    check("request_uri", vars.request_uri, "");
    check("remote_addr", vars.remote_addr, "");
    check("protocol", vars.protocol, "HTTP/1.0");
    ck_assert_uint_eq(vars.npairs, _i ? 5 : 0);
}
END_TEST

START_TEST(no_bytes_at_all)
{
    struct cgi_vars vars;
    ck_assert_int_eq(scan_bytes(NULL, 0, (struct slice){NULL, 0}, &vars), CGI_OK);
    check("server_name", vars.server_name, "localhost");
    ck_assert_ptr_nonnull(vars.script_name.p);
    ck_assert_ptr_nonnull(vars.query.p);
}
END_TEST

START_TEST(last_one_counts)
{
    struct cgi_vars vars = scan((const char *[PAIRS_MAX]){"SCRIPT_NAME=/first", "PATH_INFO=/one", "REQUEST_METHOD=PUT",
                                                          "SCRIPT_NAME=/second", "PATH_INFO=", "REQUEST_METHOD=GET"},
                                "");
    check("method", vars.method, "GET");
    check("script_name", vars.script_name, "");
    check("path_info", vars.path_info[0], "/second");
    ck_assert_uint_eq(vars.npairs, 6);
}
END_TEST

/* Names that differ from the known ones in one byte, are shorter or longer must not be taken for them. */
START_TEST(similar_names)
{
    static const char *const names[] = {
        "CONTENT_LENGTH",  "DOCUMENT_URI",      "HTTPS",           "HTTP_HOST",
        "PATH_INFO",       "QUERY_STRING",      "REMOTE_ADDR",     "REQUEST_METHOD",
        "REQUEST_SCHEME",  "REQUEST_URI",       "SCRIPT_NAME",     "SERVER_ADDR",
        "SERVER_NAME",     "SERVER_PORT",       "SERVER_PROTOCOL", "HTTP_TRACEPARENT",
        "HTTP_TRACESTATE", "HTTP_X_REQUEST_ID",
    };
    struct cgi_vars none = scan((const char *[PAIRS_MAX]){"X=1"}, "");
    for (int i = 0; i < COUNT(names); i++) {
        size_t n = strlen(names[i]);
        for (size_t k = 0; k <= n; k++) {
            char pair[64];
            snprintf(pair, sizeof pair, "%s%s=1", names[i], k == n ? "Z" : "");
            if (k < n)
                pair[k] = '#';
            struct cgi_vars vars = scan((const char *[PAIRS_MAX]){pair}, "");
            ck_assert_int_eq(vars.content_length, -1);
            ck_assert(!vars.https);
            check(pair, vars.server_name, "localhost");
            check(pair, vars.server_port, "80");
            check(pair, vars.method, "GET");
            check(pair, vars.protocol, "HTTP/1.0");
            ck_assert_uint_eq(vars.query.n + vars.remote_addr.n + vars.request_uri.n + vars.script_name.n +
                                  vars.path_info[0].n + vars.path_info[1].n + vars.request_id.n + vars.traceparent.n +
                                  vars.tracestate.n,
                              0);
            ck_assert_uint_eq(vars.key, none.key);
            ck_assert_int_ne(cgi_classify((struct slice){pair, strlen(pair) - 2}), CGI_OWN);
        }
    }
}
END_TEST

static const struct {
    struct slice bytes;
} malformed[] = {
    {{"\1", 1}},
    {{"\5\1HTTPS", 7}},
    {{"\0\1", 2}},
    {{"\3\0A\0B", 5}},
    {{"\6\0HTTP_\0", 8}},
    {{"\1\0\0", 3}},
    {{"\5\1HTTP\0"
      "1",
      8}},
    {{"\xff\xff\xff\xff\xff\xff\xff\xffxx", 10}},
};

START_TEST(malformed_params)
{
    struct cgi_vars vars;
    struct slice in = malformed[_i].bytes;
    ck_assert_int_eq(scan_bytes(guard_put(&guard, in.p, in.n), in.n, SLICE(""), &vars), CGI_MALFORMED);
}
END_TEST

static const struct {
    struct slice bytes;
} nameless[] = {
    {{"\0\0\4\1NAME1", 9}},
    {{"\0\1x\4\1NAME1", 10}},
    {{"\4\1NAME1\0\1\0", 10}},
    {{"\0\0\0\0", 4}},
};

START_TEST(pairs_without_a_name)
{
    struct cgi_vars vars;
    struct slice in = nameless[_i].bytes;
    ck_assert_int_eq(scan_bytes(guard_put(&guard, in.p, in.n), in.n, SLICE(""), &vars), CGI_OK);
    ck_assert_uint_eq(vars.npairs, 2);
}
END_TEST

#define TEXT(text)                                                                                                     \
    { (text), sizeof(text) - 1 }

static const struct {
    const char *name;
    struct slice value;
    bool good;
} values[] = {
    {"REQUEST_METHOD", TEXT("A!#$%&'*+-.^_`|~z9"), true},
    {"REQUEST_METHOD", TEXT(""), true},
    {"REQUEST_METHOD", TEXT("G T"), false},
    {"REQUEST_METHOD", TEXT(" GET"), false},
    {"REQUEST_METHOD", TEXT("GET/"), false},
    {"REQUEST_METHOD", TEXT("G\0T"), false},
    {"REQUEST_METHOD", TEXT("G\xc3\xa9T"), false},
    {"HTTP_HOST", TEXT(""), true},
    {"HTTP_HOST", TEXT("a_b.example.org:8080"), true},
    {"HTTP_HOST", TEXT("[2001:db8::1]:80"), true},
    {"HTTP_HOST", TEXT("a b"), false},
    {"HTTP_HOST", TEXT("a/b"), false},
    {"HTTP_HOST", TEXT("u@h"), false},
    {"HTTP_HOST", TEXT("h:x"), false},
    {"HTTP_HOST", TEXT("h\0"), false},
    {"HTTP_HOST", TEXT("h?q"), false},
    {"HTTP_X", TEXT("a\tb \x80\xff~"), true},
    {"HTTP_X", TEXT("long enough for eight\tbytes"), true},
    {"HTTP_X", TEXT("a\nb"), false},
    {"HTTP_X", TEXT("a\rb"), false},
    {"HTTP_X", TEXT("a\0b"), false},
    {"HTTP_X", TEXT("\x7f"), false},
    {"HTTP_COOKIE", TEXT("\0\0\0"), false},
    {"CONTENT_TYPE", TEXT("text/html; charset=\"a\""), true},
    {"CONTENT_TYPE", TEXT("a\nb"), false},
    {"REQUEST_URI", TEXT("/\xc3\xa9 ?#|^"), true},
    {"REQUEST_URI", TEXT("/a\tb"), false},
    {"REQUEST_URI", TEXT("/a\0b"), false},
    {"REQUEST_URI", TEXT("*"), false},
    {"QUERY_STRING", TEXT("a=\xff&b= "), true},
    {"QUERY_STRING", TEXT("a\nb"), false},
    {"QUERY_STRING", TEXT("\0"), false},
    {"SCRIPT_NAME", TEXT("/a\n\x01\x7f"), true},
    {"SCRIPT_NAME", TEXT("/a\0"), false},
    {"PATH_INFO", TEXT("/a\n\x01\x7f"), true},
    {"PATH_INFO", TEXT("/a\0"), false},
    {"DOCUMENT_URI", TEXT("/a\0"), false},
    /* The web server's own. */
    {"SSL_CLIENT_CERT", TEXT("-----\n\tx\n\0"), true},
    {"REMOTE_USER", TEXT("\x01"), true},
    {"HTTP", TEXT("\x01"), true},
    {"XHTTP_X", TEXT("\x01"), true},
};

/* Whether a value that is not what it has to be comes first, or after others under the same name. */
START_TEST(rules)
{
    static struct cgi_memo memo;
    struct cgi_vars vars;
    struct slice name = {values[_i].name, strlen(values[_i].name)};
    const struct slice before[] = {SLICE(""), SLICE("T"), values[_i].value, values[_i].value};
    bool host = !strcmp(values[_i].name, "HTTP_HOST");
    memo = (struct cgi_memo){0};
    for (int i = 0; i < COUNT(before); i++) {
        size_t n = params_put(bytes, sizeof bytes, SLICE("HTTP_ACCEPT"), SLICE("x"));
        n += params_put(bytes + n, sizeof bytes - n, name, before[i]);
        n += params_put(bytes + n, sizeof bytes - n, SLICE("X"), SLICE("\n"));
        enum cgi_result result = scan_with(&memo, guard_put(&guard, bytes, n), n, SLICE(""), &vars);
        ck_assert_int_eq(result, i < 2 || values[_i].good ? CGI_OK : CGI_MALFORMED);
        ck_assert(!host || http_is_authority(before[i]) == (result == CGI_OK));
    }
}
END_TEST

/* Zeros in the place of a secret that a memo has left out are none. */
START_TEST(zeros_like_a_secret)
{
    static struct cgi_memo memo;
    struct cgi_vars vars;
    memo = (struct cgi_memo){0};
    for (int i = 0; i < 2; i++) {
        size_t n = params_put(bytes, sizeof bytes, SLICE("HTTP_COOKIE"), i ? SLICE("\0\0\0") : SLICE("a=1"));
        enum cgi_result result = scan_with(&memo, guard_put(&guard, bytes, n), n, SLICE(""), &vars);
        ck_assert_int_eq(result, i ? CGI_MALFORMED : CGI_OK);
        ck_assert_uint_eq(memo.nsamples, 1);
    }
}
END_TEST

/* Each byte, alone and among others. */
START_TEST(characters)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int c = 0; c < 256; c++) {
        bool control = c < 0x20 || c == 0x7f;
        for (size_t at = 0; at < 20; at++) {
            char text[20];
            memset(text, 'x', sizeof text);
            text[at] = (char)c;
            const char *p = guard_put(&guard, text, sizeof text);
            struct slice s = {p, sizeof text};
            ck_assert_int_eq(cgi_is_token(s), c && strchr(token, c));
            ck_assert_int_eq(cgi_is_target(s), !control);
            ck_assert_int_eq(cgi_is_field_value(s), !control || c == '\t');
            ck_assert_int_eq(cgi_has_nul(s), !c);
        }
    }
    ck_assert(!cgi_is_token(SLICE("")) && cgi_is_target(SLICE("")) && cgi_is_field_value(SLICE("")));
}
END_TEST

START_TEST(uri_that_cannot_be_decoded)
{
    static const char *const bad[] = {"/%", "/a%2", "/%zz", "/%00", "/a%1g/b"};
    for (int i = 0; i < COUNT(bad); i++) {
        struct cgi_vars vars;
        size_t n = params_put(bytes, sizeof bytes, SLICE("REQUEST_URI"), (struct slice){bad[i], strlen(bad[i])});
        ck_assert_int_eq(scan_bytes(guard_put(&guard, bytes, n), n, SLICE(""), &vars), CGI_MALFORMED);
        /* Who has a decoded path does not need it. */
        n += params_put(bytes + n, sizeof bytes - n, SLICE("PATH_INFO"), SLICE("/x"));
        ck_assert_int_eq(scan_bytes(guard_put(&guard, bytes, n), n, SLICE(""), &vars), CGI_OK);
    }
}
END_TEST

START_TEST(every_truncation)
{
    static const char *const pairs[PAIRS_MAX] = {"SCRIPT_NAME=/a", "HTTP_HOST=h:1", "SERVER_PORT=80", "X=", "HTTPS=on"};
    size_t n = build(pairs), boundaries = 0;
    for (size_t cut = 0; cut <= n; cut++) {
        struct cgi_vars vars;
        enum cgi_result result = scan_bytes(guard_put(&guard, bytes, cut), cut, SLICE("/a"), &vars);
        if (result == CGI_OK)
            ck_assert_uint_eq(vars.npairs, boundaries++);
        else
            ck_assert_int_eq(result, CGI_MALFORMED);
    }
    ck_assert_uint_eq(boundaries, 6);
}
END_TEST

/* The first is remembered, the others are scanned with that. */
static const char *const successive[][PAIRS_MAX] = {
    {"QUERY_STRING=a=1", "REQUEST_METHOD=GET", "HTTP_HOST=h", "SCRIPT_NAME=/a/b", "HTTP_COOKIE=secret", "X=long value"},
    {"QUERY_STRING=a=1", "REQUEST_METHOD=GET", "HTTP_HOST=h", "SCRIPT_NAME=/a/b", "HTTP_COOKIE=secret", "X=long value"},
    {"QUERY_STRING=a=2", "REQUEST_METHOD=GET", "HTTP_HOST=h", "SCRIPT_NAME=/a/c", "HTTP_COOKIE=secret", "X=long value"},
    {"QUERY_STRING=", "REQUEST_METHOD=DELETE", "HTTP_HOST=", "SCRIPT_NAME=/", "HTTP_COOKIE=", "X="},
    {"QUERY_STRING=a=1&b=2", "REQUEST_METHOD=GE", "HTTP_HOST=g:81", "SCRIPT_NAME=/a", "HTTP_COOKIE=x", "X=long valu"},
    {"QUERY_STRING=a=1", "REQUEST_METHOD=GET", "HTTP_HOST=h", "SCRIPT_NAME=/a/b"},
    {"QUERY_STRING=a=1", "REQUEST_METHOD=GET", "HTTP_HOST=h", "SCRIPT_NAME=/a/b", "HTTP_COOKIE=secret", "X=long value",
     "REQUEST_METHOD=PUT"},
    {"QUERY_STRING=a=1", "REQUEST_METHOD=GET", "HTTP_HOST=h", "SCRIPT_NAMF=/a/b", "HTTP_COOKIE=secret", "X=long value"},
    {"REQUEST_METHOD=GET", "QUERY_STRING=a=1", "HTTP_HOST=h", "SCRIPT_NAME=/a/b", "HTTP_COOKIE=secret", "X=long value"},
    {"QUERY_STRING=a=1", "QUERY_STRING=a=2", "HTTP_HOST=h", "SCRIPT_NAME=/a/b", "HTTP_COOKIE=secret", "X=long value"},
    {"X=1"},
    {NULL},
};

/* Pairs that have changed: the personal ones always, and each whose value is another. */
static const uint64_t changed_pairs[] = {0x11, 0x11, 0x19, 0x3f, 0x3f};

START_TEST(successive_parameters)
{
    static struct cgi_memo memo;
    const struct cgi_sample *first = memo.samples;
    struct cgi_vars plain, vars;
    size_t n = build(successive[0]);
    memo = (struct cgi_memo){0};
    ck_assert_int_eq(scan_with(&memo, guard_put(&guard, bytes, n), n, SLICE(""), &vars), CGI_OK);
    ck_assert_uint_eq(first->npairs, 6);
    ck_assert_ptr_nonnull(memmem(first->params, first->nbytes, "long value", 10));
    ck_assert_ptr_null(memmem(first->params, first->nbytes, "secret", 6));
    n = build(successive[_i]);
    const char *params = guard_put(&guard, bytes, n);
    ck_assert_int_eq(cgi_scan(params, n, SLICE(""), NULL, &plain), CGI_OK);
    ck_assert_int_eq(cgi_scan(params, n, SLICE(""), &memo, &vars), CGI_OK);
    ck_assert(same_vars(&plain, &vars) && is_likeness_true(&memo, params, n, &vars.like));
    ck_assert_uint_eq(memo.nsamples, 1);
    ck_assert_uint_eq(first->npairs, 6);
    ck_assert_int_eq(!memo.misses, _i < COUNT(changed_pairs));
    ck_assert_int_eq(vars.like.sample == first->number, _i < COUNT(changed_pairs));
    if (_i < COUNT(changed_pairs))
        ck_assert(vars.like.changed.bits[0] == changed_pairs[_i] && !vars.like.changed.bits[1]);
}
END_TEST

/* What is remembered of parameters holds nothing that tells who a person is, or lets somebody in. */
static const struct {
    const char *name;
    bool personal;
} names[] = {
    {"HTTP_COOKIE", true},
    {"HTTP_COOKIE2", true},
    {"HTTP_AUTHORIZATION", true},
    {"AUTH_TYPE", true},
    {"REMOTE_USER", true},
    {"REMOTE_IDENT", true},
    {"HTTP_X_TOKEN_1", true},
    {"HTTP_X_CSRF", true},
    {"HTTP_X_XSRF", true},
    {"HTTP_X_API_KEY", true},
    {"HTTP_X_SECRET", true},
    {"PASSWORD", true},
    {"SSL_CLIENT_S_DN", true},
    {"HTTP_X_CLIENT_CERT", true},
    {"HTTP_X_SESSION", true},
    {"QUERY_STRING", true},
    {"HTTP_X_JWT_BODY", true},
    {"OIDC_CLAIM_NAME", true},
    {"SAML_NAME", true},
    {"HTTP_X_EMAIL", true},
    {"AWS_CREDENTIAL", true},
    {"HTTP_USER_AGENT", false},
    {"HTTP_HOST", false},
    {"REQUEST_URI", false},
    {"HTTP_ACCEPT_LANGUAGE", false},
    {"HTTP_CONNECTION", false},
    {"SERVER_SOFTWARE", false},
    {"SSL_CLIEN", false},
    {"USE", false},
    {"", false},
    {"REMOTE_ADDR", false},
    {"PATH_INFO", false},
};

START_TEST(personal_names)
{
    size_t n = strlen(names[_i].name);
    const char *name = guard_put(&guard, names[_i].name, n);
    ck_assert_int_eq(cgi_is_personal((struct slice){name, n}), names[_i].personal);
}
END_TEST

static const char *const secrets[] = {
    "HTTP_COOKIE=secret",         "HTTP_AUTHORIZATION=secret",
    "REMOTE_USER=secret",         "HTTP_X_API_KEY=secret",
    "HTTP_X_XSRF_TOKEN=secret",   "SSL_CLIENT_CERT=secret",
    "SSL_SESSION_ID=secret",      "QUERY_STRING=t=secret",
    "REQUEST_URI=/path?t=secret", "HTTP_REFERER=https://host/path?t=secret",
};

START_TEST(memo_without_secrets)
{
    static struct cgi_memo memo;
    const char *const pairs[PAIRS_MAX] = {"HTTP_USER_AGENT=shown", secrets[_i], "HTTP_ACCEPT=plain"};
    struct cgi_vars vars;
    size_t n = build(pairs);
    memo = (struct cgi_memo){0};
    ck_assert_int_eq(scan_with(&memo, guard_put(&guard, bytes, n), n, SLICE(""), &vars), CGI_OK);
    ck_assert_uint_eq(memo.nsamples, 1);
    ck_assert_uint_eq(memo.samples[0].npairs, 3);
    ck_assert_ptr_null(memmem(&memo, sizeof memo, "secret", 6));
    ck_assert_ptr_nonnull(memmem(memo.samples[0].params, memo.samples[0].nbytes, "shown", 5));
    ck_assert_ptr_nonnull(memmem(memo.samples[0].params, memo.samples[0].nbytes, "plain", 5));
    ck_assert(cgi_pairs_has(&vars.like.changed, 1) && vars.like.changed.bits[0] == 2);
}
END_TEST

/* What comes cut off, or has a bad name, is malformed for all that is remembered. */
START_TEST(truncations_after_the_whole)
{
    static struct cgi_memo memo;
    size_t n = build(successive[0]);
    struct cgi_vars plain, vars;
    memo = (struct cgi_memo){0};
    ck_assert_int_eq(scan_with(&memo, guard_put(&guard, bytes, n), n, SLICE(""), &vars), CGI_OK);
    for (size_t cut = 0; cut < n; cut++) {
        const char *params = guard_put(&guard, bytes, cut);
        enum cgi_result result = cgi_scan(params, cut, SLICE(""), NULL, &plain);
        ck_assert_int_eq(cgi_scan(params, cut, SLICE(""), &memo, &vars), result);
        ck_assert(result != CGI_OK || (same_vars(&plain, &vars) && !vars.like.sample));
    }
    bytes[2 + 12 + 3 + 2] = '\0'; /* in REQUEST_METHOD */
    ck_assert_int_eq(cgi_scan(guard_put(&guard, bytes, n), n, SLICE(""), &memo, &vars), CGI_MALFORMED);
    ck_assert_uint_eq(memo.nsamples, 1);
    ck_assert_uint_eq(memo.samples[0].npairs, 6);
}
END_TEST

static struct cgi_vars scan_successive(struct cgi_memo *memo, int i) {
    struct cgi_vars vars;
    size_t n = build(successive[i]);
    const char *params = guard_put(&guard, bytes, n);
    ck_assert_int_eq(cgi_scan(params, n, SLICE(""), memo, &vars), CGI_OK);
    ck_assert(is_likeness_true(memo, params, n, &vars.like));
    return vars;
}

/* The second time that a shape comes it is remembered, and all such requests are known for alike, whichever shape is
 * compared first. That is another one after many misses in succession. */
START_TEST(memo_follows)
{
    static struct cgi_memo memo;
    memo = (struct cgi_memo){0};
    for (int i = 0; i < 2; i++)
        ck_assert_uint_eq(scan_successive(&memo, 0).like.sample, i ? 1 : 0);
    for (int i = 0; i < 20 * CGI_MEMO_MISSES; i++) {
        ck_assert_uint_eq(scan_successive(&memo, 10).like.sample, i ? 2 : 0);
        ck_assert_uint_eq(scan_successive(&memo, 0).like.sample, 1);
        ck_assert_ptr_eq(cgi_memo_first(&memo), &memo.samples[0]);
    }
    for (int i = 1; i <= 2 * CGI_MEMO_MISSES; i++) {
        ck_assert_uint_eq(scan_successive(&memo, 10).like.sample, 2);
        ck_assert_ptr_eq(cgi_memo_first(&memo), &memo.samples[i >= CGI_MEMO_MISSES]);
    }
}
END_TEST

/* Each request has others: they must not cost a scan of what they say nothing about. */
START_TEST(memo_and_labels)
{
    static struct cgi_memo memo;
    struct cgi_vars vars = {0};
    memo = (struct cgi_memo){.seed = 1};
    for (int i = 0; i < 4; i++) {
        char id[] = "HTTP_X_REQUEST_ID=a0", parent[] = "HTTP_TRACEPARENT=b0", state[] = "HTTP_TRACESTATE=c0";
        id[sizeof id - 2] = parent[sizeof parent - 2] = state[sizeof state - 2] = (char)('0' + i);
        size_t n = build((const char *[PAIRS_MAX]){"PATH_INFO=/x", id, parent, state});
        const char *params = guard_put(&guard, bytes, n);
        ck_assert_int_eq(cgi_scan(params, n, SLICE(""), &memo, &vars), CGI_OK);
        ck_assert(is_likeness_true(&memo, params, n, &vars.like));
        check("request_id", vars.request_id, strchr(id, '=') + 1);
        check("traceparent", vars.traceparent, strchr(parent, '=') + 1);
        check("tracestate", vars.tracestate, strchr(state, '=') + 1);
    }
    ck_assert(vars.like.sample && !vars.like.read_changed);
}
END_TEST

static struct cgi_vars scan_name(struct cgi_memo *memo, int number) {
    char name[16];
    struct cgi_vars vars;
    int length = snprintf(name, sizeof name, "HTTP_X_%04d", number);
    size_t n = params_put(bytes, sizeof bytes, (struct slice){name, (size_t)length}, SLICE("x"));
    const char *params = guard_put(&guard, bytes, n);
    ck_assert_int_eq(cgi_scan(params, n, SLICE(""), memo, &vars), CGI_OK);
    ck_assert(is_likeness_true(memo, params, n, &vars.like));
    return vars;
}

/* Names that never come again are not remembered, however many there are; what comes again and again stays. */
START_TEST(memo_of_what_comes_again)
{
    static struct cgi_memo memo;
    memo = (struct cgi_memo){.seed = 1};
    for (int i = 0; i < 2; i++)
        scan_successive(&memo, 0);
    for (int i = 0; i < 20 * CGI_MEMO_SAMPLES; i++) {
        ck_assert_uint_eq(scan_name(&memo, i).like.sample, 0);
        ck_assert_uint_eq(memo.nsamples, 1);
    }
    uint64_t before = 1;
    for (int i = 0; i < 20 * CGI_MEMO_SAMPLES; i++) {
        scan_name(&memo, 9000 - i);
        uint64_t sample = scan_name(&memo, 9000 - i).like.sample;
        ck_assert_uint_gt(sample, before);
        before = sample;
        ck_assert_uint_eq(scan_successive(&memo, 0).like.sample, 1);
    }
    ck_assert_uint_eq(memo.nsamples, CGI_MEMO_SAMPLES);
}
END_TEST

/* What has another sample's hash is like none. */
START_TEST(memo_with_a_collision)
{
    static struct cgi_memo memo;
    memo = (struct cgi_memo){0};
    for (int i = 0; i < 2; i++)
        scan_successive(&memo, 0);
    uint64_t shape = memo.order[0].shape;
    memo = (struct cgi_memo){0};
    for (int i = 0; i < 2; i++)
        scan_successive(&memo, 8);
    memo.order[0].shape = shape;
    struct cgi_vars plain, vars = scan_successive(&memo, 0);
    size_t n = build(successive[0]);
    ck_assert_int_eq(cgi_scan(guard_put(&guard, bytes, n), n, SLICE(""), NULL, &plain), CGI_OK);
    ck_assert(same_vars(&plain, &vars) && !vars.like.sample);
}
END_TEST

START_TEST(sets_of_pairs)
{
    static const uint32_t members[] = {0, 1, 62, 63, 64, 65, CGI_MEMO_PAIRS - 1};
    struct cgi_pairs all = {{0}}, none = {{0}};
    uint32_t next = 0;
    for (int i = 0; i < COUNT(members); i++) {
        struct cgi_pairs one = {{0}};
        cgi_pairs_add(&one, members[i]);
        ck_assert(!cgi_pairs_meet(&all, &one));
        all = cgi_pairs_union(&all, &one);
        ck_assert(cgi_pairs_meet(&all, &one) && cgi_pairs_any(&one) && !cgi_pairs_meet(&one, &none));
    }
    for (int i = 0; i < COUNT(members); i++, next++) {
        next = cgi_pairs_next(&all, next);
        ck_assert_uint_eq(next, members[i]);
        ck_assert(cgi_pairs_has(&all, next) && !cgi_pairs_has(&none, next));
    }
    ck_assert_uint_eq(cgi_pairs_next(&all, next), CGI_MEMO_PAIRS);
    ck_assert(!cgi_pairs_any(&none) && cgi_pairs_next(&none, 0) == CGI_MEMO_PAIRS);
}
END_TEST

static struct cgi_vars scan_with_seed(uint64_t seed, const char *const pairs[], uint64_t *shape) {
    static struct cgi_memo memo;
    struct cgi_vars vars;
    memo = (struct cgi_memo){.seed = seed};
    size_t n = build(pairs);
    ck_assert_int_eq(scan_with(&memo, guard_put(&guard, bytes, n), n, SLICE(""), &vars), CGI_OK);
    *shape = memo.order[0].shape;
    return vars;
}

/* Both hashes depend on the key, so that nobody can choose what falls together; and the shape on all of each name. */
START_TEST(hashes)
{
    static const char *const pairs[PAIRS_MAX] = {"REQUEST_METHOD=GET", "PATH_INFO=/a", "HTTP_X_A=1"};
    static const char *const others[PAIRS_MAX] = {"REQUEST_METHOD=GET", "PATH_INFO=/a", "HTTP_X_B=1"};
    uint64_t shape[3];
    struct cgi_vars one = scan_with_seed(1, pairs, &shape[0]), two = scan_with_seed(2, pairs, &shape[1]),
                    other = scan_with_seed(1, others, &shape[2]);
    ck_assert(shape[0] != shape[1] && one.key != two.key);
    ck_assert(shape[0] != shape[2] && one.key == other.key);
}
END_TEST

/* Parameters beyond the room of a memo are scanned all the same. */
START_TEST(too_much_for_a_memo)
{
    static struct cgi_memo memo;
    static char value[CGI_MEMO_BYTES];
    struct cgi_vars vars;
    size_t n = 0;
    memset(value, 'x', sizeof value);
    memo = (struct cgi_memo){0};
    if (_i == 0)
        n = params_put(bytes, sizeof bytes, SLICE("X"), (struct slice){value, sizeof value});
    else
        for (uint32_t i = 0; i <= CGI_MEMO_PAIRS; i++)
            n += params_put(bytes + n, sizeof bytes - n, SLICE("X"), SLICE("1"));
    ck_assert_int_eq(scan_with(&memo, guard_put(&guard, bytes, n), n, SLICE(""), &vars), CGI_OK);
    ck_assert_uint_eq(vars.npairs, _i ? CGI_MEMO_PAIRS + 1 : 1);
    ck_assert_uint_eq(memo.nsamples, 0);
    n -= _i ? 4 : 9;
    if (_i == 0)
        n = params_put(bytes, sizeof bytes, SLICE("X"), (struct slice){value, sizeof value - 9});
    ck_assert_int_eq(scan_with(&memo, guard_put(&guard, bytes, n), n, SLICE(""), &vars), CGI_OK);
    ck_assert_uint_eq(memo.samples[0].npairs, _i ? CGI_MEMO_PAIRS : 1);
    ck_assert(vars.like.sample && !cgi_pairs_any(&vars.like.changed));
}
END_TEST

static uint32_t key(const char *method, const char *script, const char *info, const char *prefix) {
    char pairs[3][8192];
    snprintf(pairs[0], sizeof pairs[0], "REQUEST_METHOD=%s", method);
    snprintf(pairs[1], sizeof pairs[1], "SCRIPT_NAME=%s", script);
    snprintf(pairs[2], sizeof pairs[2], "PATH_INFO=%s", info);
    return scan((const char *[PAIRS_MAX]){pairs[0], pairs[1], pairs[2]}, prefix).key;
}

START_TEST(keys)
{
    uint32_t k = key("GET", "", "/a/b", "");
    ck_assert_uint_eq(k, key("GET", "", "/a/b/c", ""));
    ck_assert_uint_eq(k, key("GET", "", "/a/b/d/e/f", ""));
    ck_assert_uint_eq(k, key("GET", "/a/b", "", ""));
    ck_assert_uint_eq(k, key("GET", "/mount", "/a/b", ""));
    /* In whichever of the two variables, or across them, the prefix comes. */
    ck_assert_uint_eq(k, key("GET", "/m", "/a/b/x", "/m"));
    ck_assert_uint_eq(k, key("GET", "/m/a", "/b/x", "/m"));
    ck_assert_uint_eq(k, key("GET", "/m/a/b/y", "/z", "/m"));
    ck_assert_uint_eq(k, key("GET", "/a", "/b/x", "/m"));

    ck_assert_uint_ne(k, key("POST", "", "/a/b", ""));
    ck_assert_uint_ne(k, key("GET", "", "/a/c", ""));
    ck_assert_uint_ne(k, key("GET", "", "/b/b", ""));
    ck_assert_uint_ne(k, key("GET", "", "/a", ""));
    ck_assert_uint_ne(k, key("GET", "", "/", ""));
    ck_assert_uint_ne(k, key("GET", "", "", ""));
}
END_TEST

START_TEST(keys_of_long_paths)
{
    char uri[2][4096];
    memset(uri, 'x', sizeof uri);
    uri[0][0] = uri[1][0] = '/';
    uri[0][4000] = uri[1][4000] = '\0';
    uri[1][3000] = 'y';
    ck_assert_uint_eq(key("GET", "", uri[0], ""), key("GET", "", uri[1], ""));
    uri[1][50] = 'y';
    ck_assert_uint_ne(key("GET", "", uri[0], ""), key("GET", "", uri[1], ""));
}
END_TEST

static const struct {
    const char *name;
    enum cgi_class class;
} classes[] = {
    {"SCRIPT_NAME", CGI_OWN},
    {"PATH_INFO", CGI_OWN},
    {"QUERY_STRING", CGI_OWN},
    {"CONTENT_LENGTH", CGI_OWN},
    {"REQUEST_METHOD", CGI_OWN},
    {"SERVER_NAME", CGI_OWN},
    {"SERVER_PORT", CGI_OWN},
    {"SERVER_PROTOCOL", CGI_OWN},
    {"HTTP_X_REQUEST_ID", CGI_OWN},
    {"HTTP_TRACEPARENT", CGI_OWN},
    {"HTTP_TRACESTATE", CGI_HEADER},
    {"CONTENT_TYPE", CGI_PASS},
    {"GATEWAY_INTERFACE", CGI_PASS},
    {"REQUEST_URI", CGI_PASS},
    {"REMOTE_ADDR", CGI_PASS},
    {"SERVER_ADDR", CGI_PASS},
    {"REQUEST_SCHEME", CGI_PASS},
    {"HTTPS", CGI_PASS},
    {"DOCUMENT_ROOT", CGI_PASS},
    {"SCRIPT_FILENAME", CGI_PASS},
    {"PROXY", CGI_PASS},
    {"HTTP", CGI_PASS},
    {"http_host", CGI_PASS},
    {"path_info", CGI_PASS},
    {"", CGI_DROP},
    {"DOCUMENT_URI", CGI_PASS},
    {"HTTP_HOST", CGI_PASS},
    {"HTTP_", CGI_HEADER},
    {"HTTP_X", CGI_HEADER},
    {"HTTP_ACCEPT", CGI_HEADER},
    {"HTTP_PROXY_CONNECTION", CGI_HEADER},
    {"HTTP_COOKIE2", CGI_HEADER},
    {"HTTP_CONTENT_ENCODING", CGI_HEADER},
    {"HTTP_TRANSFER_ENCODING_X", CGI_HEADER},
    {"HTTP_COOKIE", CGI_COOKIE},
    {"HTTP_PROXY", CGI_DROP},
    {"HTTP_CONTENT_LENGTH", CGI_DROP},
    {"HTTP_CONTENT_TYPE", CGI_DROP},
    {"HTTP_TRANSFER_ENCODING", CGI_DROP},
    {"FCGI_ROLE", CGI_DROP},
    {"wsgi.input", CGI_DROP},
    {"wsgi.", CGI_DROP},
    {"wsgi.anything", CGI_DROP},
    {"wsgi_fcgi.x", CGI_DROP},
    {"wsgi", CGI_PASS},
    {"wsgi_fcgi", CGI_PASS},
    {"WSGI.input", CGI_PASS},
};

START_TEST(classify)
{
    size_t n = strlen(classes[_i].name);
    enum cgi_class class = cgi_classify((struct slice){guard_put(&guard, classes[_i].name, n), n});
    ck_assert_msg(class == classes[_i].class, "%s: %d", classes[_i].name, class);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cgi");
    TCase *tc = tcase_create("cgi");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, path, 0, COUNT(paths));
    tcase_add_loop_test(tc, path_and_uris, 0, COUNT(uris));
    tcase_add_loop_test(tc, server, 0, COUNT(servers));
    tcase_add_loop_test(tc, content_length, 0, COUNT(content_lengths));
    tcase_add_loop_test(tc, scheme, 0, COUNT(schemes));
    tcase_add_test(tc, other_variables);
    tcase_add_loop_test(tc, missing_and_empty_variables, 0, 2);
    tcase_add_test(tc, no_bytes_at_all);
    tcase_add_test(tc, last_one_counts);
    tcase_add_test(tc, similar_names);
    tcase_add_loop_test(tc, malformed_params, 0, COUNT(malformed));
    tcase_add_loop_test(tc, pairs_without_a_name, 0, COUNT(nameless));
    tcase_add_loop_test(tc, rules, 0, COUNT(values));
    tcase_add_test(tc, zeros_like_a_secret);
    tcase_add_test(tc, characters);
    tcase_add_test(tc, uri_that_cannot_be_decoded);
    tcase_add_test(tc, every_truncation);
    tcase_add_loop_test(tc, successive_parameters, 0, COUNT(successive));
    tcase_add_test(tc, truncations_after_the_whole);
    tcase_add_loop_test(tc, personal_names, 0, COUNT(names));
    tcase_add_loop_test(tc, memo_without_secrets, 0, COUNT(secrets));
    tcase_add_test(tc, memo_and_labels);
    tcase_add_test(tc, memo_follows);
    tcase_add_test(tc, memo_of_what_comes_again);
    tcase_add_test(tc, memo_with_a_collision);
    tcase_add_test(tc, sets_of_pairs);
    tcase_add_test(tc, hashes);
    tcase_add_loop_test(tc, too_much_for_a_memo, 0, 2);
    tcase_add_test(tc, keys);
    tcase_add_test(tc, keys_of_long_paths);
    tcase_add_loop_test(tc, classify, 0, COUNT(classes));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
