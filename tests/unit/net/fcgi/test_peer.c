#include "config.h"

#include "net/fcgi/peer.h"

#include "unit/unit.h"

#include <arpa/inet.h>
#include <stdio.h>

static struct address_set trusted;
static struct lane_config config = {.forwarded = &trusted, .script_name = ""};

static void setup(void) {
    static const char *const texts[] = {"unix", "10.0.0.0/8"}, *const sources[] = {"first", "second"};
    ck_assert_int_eq(address_set_init(&trusted, sources, texts, COUNT(texts)), 0);
}

static void teardown(void) {
    address_set_fini(&trusted);
}

/* Parameters from lines "NAME=value", in exactly as much memory as they take. */
static void make_params(struct buf *params, const char *lines) {
    *params = (struct buf){0};
    while (*lines) {
        const char *equals = strchr(lines, '='), *end = strchr(lines, '\n');
        struct slice name = {lines, (size_t)(equals - lines)}, value = {equals + 1, (size_t)(end - equals) - 1};
        ck_assert_int_eq(peer_put(params, name, value), 0);
        lines = end + 1;
    }
    if (params->data) {
        params->data = realloc(params->data, params->end);
        ck_assert_ptr_nonnull(params->data);
        params->size = params->end;
    }
}

static const char *show(const struct buf *params) {
    static char text[2048];
    const char *pos = buf_head(params), *end = buf_tail(params);
    struct params_pair pair;
    size_t n = 0;
    text[0] = '\0';
    while (pos && params_next(&pos, end, &pair) == PARAMS_PAIR)
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s=%.*s\n", (int)pair.name.n, pair.name.p,
                              (int)pair.value.n, pair.value.p);
    return text;
}

#define FROM_BALANCER "REMOTE_ADDR=10.0.0.1\n"

static const struct {
    enum forwarded_kind kind;
    const char *sent, *becomes; /* NULL: the same */
} changes[] = {
    {FORWARDED_X, "", NULL},
    {FORWARDED_X, "A=b\nHTTP_X_FORWARDED_FOR=192.0.2.7\n", NULL},
    {FORWARDED_X, FROM_BALANCER "HTTP_X_FORWARDED_FO=192.0.2.7\nHTTP_X=y\nHTTP_HOST=a\n", NULL},
    {FORWARDED_X, "REMOTE_ADDR=192.0.2.1\nHTTP_X_FORWARDED_FOR=192.0.2.7\n", NULL},
    {FORWARDED_X, FROM_BALANCER "REMOTE_ADDR=192.0.2.1\nHTTP_X_FORWARDED_FOR=192.0.2.7\n", NULL},
    {FORWARDED_X, "REMOTE_PORT=1\n" FROM_BALANCER "REMOTE_HOST=b\nHTTP_X_FORWARDED_FOR=192.0.2.7\nA=b\n",
     "HTTP_X_FORWARDED_FOR=192.0.2.7\nA=b\nREMOTE_ADDR=192.0.2.7\n"},
    {FORWARDED_X, "REMOTE_ADDR=unix:\nHTTP_X_FORWARDED_FOR=[2001:db8::7]:80\n",
     "HTTP_X_FORWARDED_FOR=[2001:db8::7]:80\nREMOTE_ADDR=2001:db8::7\nREMOTE_PORT=80\n"},
    {FORWARDED_X, FROM_BALANCER "HTTPS=on\nREQUEST_SCHEME=https\nSERVER_PORT=443\nHTTP_X_FORWARDED_PROTO=ws\n",
     FROM_BALANCER "HTTP_X_FORWARDED_PROTO=ws\nREQUEST_SCHEME=http\n"},
    {FORWARDED_X, FROM_BALANCER "SERVER_PORT=80\nHTTP_X_FORWARDED_PROTO=WSS\n",
     FROM_BALANCER "HTTP_X_FORWARDED_PROTO=WSS\nHTTPS=on\n"},
    {FORWARDED_X, FROM_BALANCER "SERVER_PORT=80\nHTTP_X_FORWARDED_PROTO=wsss\n", NULL},
    {FORWARDED_X, FROM_BALANCER "SERVER_PORT=80\nHTTP_X_FORWARDED_PORT=81\n",
     FROM_BALANCER "HTTP_X_FORWARDED_PORT=81\nSERVER_PORT=81\n"},
    {FORWARDED_X, FROM_BALANCER "SERVER_NAME=a\nSERVER_PORT=80\nHTTP_HOST=a\nHTTP_X_FORWARDED_HOST=b:1\n",
     FROM_BALANCER "HTTP_X_FORWARDED_HOST=b:1\nHTTP_HOST=b:1\n"},
    {FORWARDED_X, FROM_BALANCER "HTTP_FORWARDED=for=192.0.2.7\nHTTP_X_REAL_IP=192.0.2.7\n", NULL},
    {FORWARDED_X_REAL_IP, FROM_BALANCER "HTTP_X_FORWARDED_FOR=192.0.2.6\nHTTP_X_REAL_IP=192.0.2.7\n",
     "HTTP_X_FORWARDED_FOR=192.0.2.6\nHTTP_X_REAL_IP=192.0.2.7\nREMOTE_ADDR=192.0.2.7\n"},
    {FORWARDED_X_REAL_IP, FROM_BALANCER "HTTP_X_FORWARDED_FOR=192.0.2.6\n", NULL},
    {FORWARDED_RFC7239, FROM_BALANCER "HTTP_FORWARDED=for=192.0.2.7;proto=https;host=b\nHTTP_HOST=a\n",
     "HTTP_FORWARDED=for=192.0.2.7;proto=https;host=b\nREMOTE_ADDR=192.0.2.7\nHTTPS=on\nHTTP_HOST=b\n"},
    {FORWARDED_RFC7239, FROM_BALANCER "HTTP_X_FORWARDED_FOR=192.0.2.7\nHTTP_X_FORWARDED_PROTO=https\n", NULL},
};

START_TEST(change)
{
    struct buf params;
    struct peer_said said;
    config.forwarded_kind = changes[_i].kind;
    make_params(&params, changes[_i].sent);
    ck_assert_int_eq(fcgi_peer_params(&said, &config, &params), 0);
    ck_assert_str_eq(show(&params), changes[_i].becomes ? changes[_i].becomes : changes[_i].sent);
    buf_fini(&params);
}
END_TEST

/* A pair that is cut off is still there for the scan to refuse. */
START_TEST(malformed)
{
    struct buf params;
    struct peer_said said;
    config.forwarded_kind = FORWARDED_X;
    make_params(&params, "REMOTE_PORT=1\n" FROM_BALANCER "HTTP_X_FORWARDED_FOR=192.0.2.7\n");
    ck_assert_int_eq(buf_append(&params, "\5\5cut", 5), 0);
    ck_assert_int_eq(fcgi_peer_params(&said, &config, &params), 0);
    struct cgi_vars vars;
    ck_assert_int_eq(cgi_scan(buf_head(&params), buf_len(&params), (struct slice){"", 0}, NULL, &vars), CGI_MALFORMED);
    buf_fini(&params);
}
END_TEST

static const struct {
    const char *prefix, *mount, *sent, *script_name;
} prefixes[] = {
    {"/p", "", "", "/p"},
    {"/p", "/m", "", "/p/m"},
    {"/p", "", "SCRIPT_NAME=/s\nPATH_INFO=/a\n", "/p/s"},
    {"/p/", "", "SCRIPT_NAME=/s/\nPATH_INFO=/a\n", "/p/s"},
    {"/", "", "SCRIPT_NAME=/s\nPATH_INFO=/a\n", "/s"},
    {"//p", "/m", "", "/m"},
};

START_TEST(prefix)
{
    char lines[256];
    struct buf params;
    struct peer_said said;
    struct cgi_vars vars;
    struct slice mount = {prefixes[_i].mount, strlen(prefixes[_i].mount)};
    config.forwarded_kind = FORWARDED_X;
    config.script_name = prefixes[_i].mount;
    snprintf(lines, sizeof lines, FROM_BALANCER "%sHTTP_X_FORWARDED_PREFIX=%s\n", prefixes[_i].sent,
             prefixes[_i].prefix);
    make_params(&params, lines);
    ck_assert_int_eq(fcgi_peer_params(&said, &config, &params), 0);
    ck_assert_int_eq(cgi_scan(buf_head(&params), buf_len(&params), mount, NULL, &vars), CGI_OK);
    peer_set_prefix(&said, &params, &vars.script_name);
    ck_assert_uint_eq(vars.script_name.n, strlen(prefixes[_i].script_name));
    ck_assert_mem_eq(vars.script_name.p, prefixes[_i].script_name, vars.script_name.n);
    ck_assert_str_eq(show(&params), lines);
    buf_fini(&params);
}
END_TEST

START_TEST(connections)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    const struct sockaddr *any = (const struct sockaddr *)&sa;
    struct sockaddr_in *in = (void *)&sa;
    struct lane_config nobody = {.script_name = ""};
    ck_assert(peer_connection_is_trusted(&config, true, any, 2));
    ck_assert(peer_connection_is_trusted(&config, true, any, 0));
    ck_assert(!peer_connection_is_trusted(&nobody, true, any, 2));
    ck_assert(!peer_connection_is_trusted(&config, false, NULL, 0));
    in->sin_family = AF_INET;
    inet_pton(AF_INET, "10.9.9.9", &in->sin_addr);
    ck_assert(peer_connection_is_trusted(&config, false, any, sizeof *in));
    ck_assert(!peer_connection_is_trusted(&nobody, false, any, sizeof *in));
    inet_pton(AF_INET, "192.0.2.7", &in->sin_addr);
    ck_assert(!peer_connection_is_trusted(&config, false, any, sizeof *in));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fcgi_peer");
    TCase *tc = tcase_create("peer");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, change, 0, COUNT(changes));
    tcase_add_test(tc, malformed);
    tcase_add_loop_test(tc, prefix, 0, COUNT(prefixes));
    tcase_add_test(tc, connections);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
