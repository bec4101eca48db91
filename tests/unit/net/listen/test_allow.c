#include "config.h"

#include "net/listen/allow.h"

#include "base/log.h"
#include "unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sysexits.h>

static struct allow_rules rules;
static char output[4096];
static int saved_stderr = -1;
static FILE *captured;

static void capture(void) {
    captured = tmpfile();
    saved_stderr = dup(STDERR_FILENO);
    dup2(fileno(captured), STDERR_FILENO);
}

/* What was logged since capture() goes to `output`. */
static void release(void) {
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    rewind(captured);
    output[fread(output, 1, sizeof output - 1, captured)] = '\0';
    fclose(captured);
}

static unsigned lines(const char *text) {
    unsigned n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Splits `text` at spaces. The pointers are good until the next call for the same list. */
struct words {
    char text[512];
    const char *items[16];
    size_t count;
};

static void split(struct words *w, const char *text) {
    char *rest = w->text, *word;
    w->count = 0;
    if (!text)
        return;
    snprintf(w->text, sizeof w->text, "%s", text);
    while ((word = strsep(&rest, " ")))
        w->items[w->count++] = word;
}

/* As many as a test has words; of --allow-uid the last is from a file. */
static const char *const sources[] = {"--allow", "--allow", "--allow", "--allow"};
static const char *const user_sources[] = {"--allow-uid", "/etc/shop.ini:3: allow-uid"};
static const char *const group_sources[] = {"--allow-gid", "--allow-gid"};

static int init(const char *allow, const char *env, const char *users, const char *groups) {
    static struct words a, u, g;
    split(&a, allow);
    split(&u, users);
    split(&g, groups);
    struct allow_settings settings = {.allow = a.items,
                                      .allow_sources = sources,
                                      .nallow = a.count,
                                      .web_server_addrs = env,
                                      .users = u.items,
                                      .user_sources = user_sources,
                                      .nusers = u.count,
                                      .groups = g.items,
                                      .group_sources = group_sources,
                                      .ngroups = g.count};
    capture();
    int status = allow_init(&rules, &settings);
    release();
    return status;
}

static socklen_t address(const char *text, struct sockaddr_storage *sa) {
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(4321)};
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(4321)};
    memset(sa, 0, sizeof *sa);
    if (inet_pton(AF_INET, text, &sin.sin_addr) == 1) {
        memcpy(sa, &sin, sizeof sin);
        return sizeof sin;
    }
    ck_assert_msg(inet_pton(AF_INET6, text, &sin6.sin6_addr) == 1, "%s", text);
    memcpy(sa, &sin6, sizeof sin6);
    return sizeof sin6;
}

static bool allows_over(enum listener_protocol protocol, const char *peer) {
    struct sockaddr_storage sa;
    socklen_t len = address(peer, &sa);
    return allow_permits_address(&rules, protocol, (const struct sockaddr *)&sa, len);
}

static bool allows(const char *peer) {
    return allows_over(LISTENER_FASTCGI, peer);
}

/* Rules, and peers that they let in or keep out. */
static const struct {
    const char *allow, *env, *in, *out;
} matches[] = {
    {NULL, NULL, "127.0.0.1 127.0.0.2 127.255.255.255 ::1 ::ffff:127.0.0.1",
     "126.255.255.255 128.0.0.0 0.0.0.0 10.0.0.1 ::2 :: ::ffff:10.0.0.1 ::127.0.0.1 fe80::1 7f00::1"},
    {NULL, "", "127.0.0.1 ::1", "10.0.0.1 ::2"},
    {"192.0.2.7", NULL, "192.0.2.7 ::ffff:192.0.2.7", "192.0.2.6 192.0.2.8 127.0.0.1 ::1 c000:207:: ::192.0.2.7"},
    {"192.0.2.7/32", NULL, "192.0.2.7", "192.0.2.6 192.0.3.7 64.0.2.7"},
    {"192.0.2.6/31", NULL, "192.0.2.6 192.0.2.7 ::ffff:192.0.2.7", "192.0.2.5 192.0.2.8"},
    {"192.0.2.0/24", NULL, "192.0.2.0 192.0.2.255", "192.0.1.255 192.0.3.0"},
    {"172.16.0.0/12", NULL, "172.16.0.0 172.31.255.255", "172.15.255.255 172.32.0.0 173.16.0.0"},
    {"128.0.0.0/1", NULL, "128.0.0.0 255.255.255.255", "127.255.255.255 ::1 8000::"},
    {"0.0.0.0/0", NULL, "0.0.0.0 127.0.0.1 255.255.255.255 ::ffff:10.0.0.1", ":: ::1 2001:db8::1"},
    {"::/0", NULL, ":: ::1 2001:db8::1 ffff::", "127.0.0.1 ::ffff:127.0.0.1"},
    {"2001:db8::1", NULL, "2001:db8::1", "2001:db8:: 2001:db8::2 2001:db8:8000::1 ::1"},
    {"2001:db8::1/128", NULL, "2001:db8::1", "2001:db8::"},
    {"2001:db8::2/127", NULL, "2001:db8::2 2001:db8::3", "2001:db8::1 2001:db8::4"},
    {"2001:db8::/32", NULL, "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
     "2001:db7:ffff:: 2001:db9:: 32.1.13.184"},
    {"fe80::/10", NULL, "fe80::1 febf::", "fec0:: fe7f::"},
    {"::ffff:192.0.2.0/120", NULL, "192.0.2.9 ::ffff:192.0.2.9", "192.0.3.9 ::1"},
    {"::ffff:0:0/96", NULL, "192.0.2.9 ::ffff:192.0.2.9", "::1 ::192.0.2.9"},
    {"::fffe:0:0/95", NULL, "::fffe:1:1", "192.0.2.9 ::ffff:192.0.2.9"},
    {"any", NULL, "0.0.0.0 10.0.0.1 ::1 2001:db8::1 ::ffff:10.0.0.1", NULL},
    {"10.0.0.1 any", NULL, "10.0.0.2", NULL},
    {"10.0.0.1 2001:db8::/32 10.0.1.0/24", NULL, "10.0.0.1 10.0.1.99 2001:db8::5", "10.0.0.2 127.0.0.1 ::1"},
    {NULL, "199.170.183.28,199.170.183.71", "199.170.183.28 199.170.183.71", "199.170.183.29 127.0.0.1"},
    {NULL, " 10.0.0.1 ,\t::1/128", "10.0.0.1 ::1", "10.0.0.2"},
    {NULL, "any", "10.0.0.1", NULL},
    {"10.0.0.2", "10.0.0.1", "10.0.0.2", "10.0.0.1"},
    {"10.0.0.2", "nonsense", "10.0.0.2", "10.0.0.1"},
};

/* The status page. "unix" and "unknown" are clients as well. */
static const struct {
    const char *status, *in, *out;
} viewers[] = {
    {NULL, "127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1 unix", "10.0.0.1 ::2 unknown"},
    {"10.0.0.0/8", "10.0.0.1 ::ffff:10.0.0.1", "127.0.0.1 ::1 unix unknown"},
    {"unix ::1", "unix ::1", "127.0.0.1 unknown"},
    {"any", "127.0.0.1 2001:db8::1 unix unknown", NULL},
};

static bool shows(const char *client) {
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof sa;
    if (!strcmp(client, "unix"))
        sa.ss_family = AF_UNIX;
    else if (strcmp(client, "unknown") != 0)
        len = address(client, &sa);
    return allow_permits_status(&rules, (const struct sockaddr *)&sa, len);
}

START_TEST(test_viewers)
{
    static struct words given, in, out;
    split(&given, viewers[_i].status);
    split(&in, viewers[_i].in);
    split(&out, viewers[_i].out);
    struct allow_settings settings = {0};
    ck_assert_int_eq(allow_init(&rules, &settings), 0);
    ck_assert_int_eq(allow_init_status(&rules, sources, given.items, given.count), 0);
    for (size_t i = 0; i < in.count; i++)
        ck_assert_msg(shows(in.items[i]), "%s is in", in.items[i]);
    for (size_t i = 0; i < out.count; i++)
        ck_assert_msg(!shows(out.items[i]), "%s is out", out.items[i]);
    allow_fini(&rules);
}
END_TEST

START_TEST(test_addresses)
{
    struct words in, out;
    ck_assert_int_eq(init(matches[_i].allow, matches[_i].env, NULL, NULL), 0);
    ck_assert_str_eq(output, "");
    split(&in, matches[_i].in);
    split(&out, matches[_i].out);
    for (size_t i = 0; i < in.count; i++) {
        ck_assert_msg(allows(in.items[i]), "rule %d keeps %s out", _i, in.items[i]);
        ck_assert_msg(allows_over(LISTENER_HTTP, in.items[i]), "rule %d keeps %s out of HTTP", _i, in.items[i]);
    }
    for (size_t i = 0; i < out.count; i++) {
        ck_assert_msg(!allows(out.items[i]), "rule %d lets %s in", _i, out.items[i]);
        /* HTTP is for whoever can reach it; --allow narrows it, FCGI_WEB_SERVER_ADDRS is about FastCGI. */
        ck_assert_msg(allows_over(LISTENER_HTTP, out.items[i]) == !matches[_i].allow, "rule %d and %s over HTTP", _i,
                      out.items[i]);
    }
    allow_fini(&rules);
}
END_TEST

/* A rule for each length: the last bit that counts does, the first that does not does not. */
START_TEST(test_every_length)
{
    bool v4 = _i <= 32;
    unsigned len = v4 ? (unsigned)_i : (unsigned)_i - 33, max = v4 ? 32 : 128;
    char text[INET6_ADDRSTRLEN], rule[INET6_ADDRSTRLEN + 8];
    uint8_t addr[16] = {0};
    snprintf(rule, sizeof rule, "%s/%u", v4 ? "0.0.0.0" : "::", len);
    ck_assert_int_eq(init(rule, NULL, NULL, NULL), 0);
    for (unsigned bit = 0; bit < max; bit++) {
        addr[bit / 8] = (uint8_t)(0x80u >> bit % 8);
        inet_ntop(v4 ? AF_INET : AF_INET6, addr, text, sizeof text);
        REQUIRE(allows(text) == (bit >= len));
        addr[bit / 8] = 0;
    }
    allow_fini(&rules);
}
END_TEST

START_TEST(test_odd_peers)
{
    struct sockaddr_storage sa;
    const struct sockaddr *p = (const struct sockaddr *)&sa;
    ck_assert_int_eq(init("0.0.0.0/0 ::/0", NULL, NULL, NULL), 0);
    socklen_t len = address("10.0.0.1", &sa);
    ck_assert(allow_permits_address(&rules, LISTENER_FASTCGI, p, len));
    ck_assert(!allow_permits_address(&rules, LISTENER_FASTCGI, p, len - 1));
    ck_assert(!allow_permits_address(&rules, LISTENER_FASTCGI, p, 0));
    len = address("2001:db8::1", &sa);
    ck_assert(allow_permits_address(&rules, LISTENER_FASTCGI, p, len));
    ck_assert(!allow_permits_address(&rules, LISTENER_FASTCGI, p, sizeof(struct sockaddr_in)));
    sa.ss_family = AF_PACKET;
    ck_assert(!allow_permits_address(&rules, LISTENER_FASTCGI, p, sizeof sa));
    allow_fini(&rules);
}
END_TEST

/* What is refused at start-up, and what the one line has to say. */
static const struct {
    const char *allow, *env, *users, *groups;
    int status;
    const char *said;
} refused[] = {
    {"localhost", NULL, NULL, NULL, EX_USAGE, "--allow: \"localhost\" is not an IP address: write one such as"},
    {"ANY", NULL, NULL, NULL, EX_USAGE, "or any for everybody"},
    {"10/8", NULL, NULL, NULL, EX_USAGE, "is not an IP address"},
    {"/8", NULL, NULL, NULL, EX_USAGE, "is not an IP address"},
    {"10.0.0.1:9000", NULL, NULL, NULL, EX_USAGE, "is not an IP address"},
    {"10.0.0.01", NULL, NULL, NULL, EX_USAGE, "is not an IP address"},
    {"10.0.0.256", NULL, NULL, NULL, EX_USAGE, "is not an IP address"},
    {"fe80::1%lo", NULL, NULL, NULL, EX_USAGE, "is not an IP address"},
    {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", NULL, NULL, NULL, EX_USAGE, "is not an IP address"},
    {"::1\n", NULL, NULL, NULL, EX_USAGE, "\"::1\\x0a\" is not an IP address"},
    {"[::1]", NULL, NULL, NULL, EX_USAGE, "\"[::1]\" has brackets: write the address without them"},
    {"10.0.0.0/33", NULL, NULL, NULL, EX_USAGE, "wrong length: write a number of bits from 0 to 32"},
    {"10.0.0.0/", NULL, NULL, NULL, EX_USAGE, "from 0 to 32"},
    {"10.0.0.0/-1", NULL, NULL, NULL, EX_USAGE, "from 0 to 32"},
    {"10.0.0.0/8x", NULL, NULL, NULL, EX_USAGE, "from 0 to 32"},
    {"10.0.0.0/0008", NULL, NULL, NULL, EX_USAGE, "from 0 to 32"},
    {"10.0.0.0/255.0.0.0", NULL, NULL, NULL, EX_USAGE, "from 0 to 32"},
    {"::/129", NULL, NULL, NULL, EX_USAGE, "from 0 to 128"},
    {"10.1.2.3/8", NULL, NULL, NULL, EX_USAGE,
     "has bits set behind the first 8: write 10.0.0.0/8 for the network, or 10.1.2.3 for one peer"},
    {"192.0.2.7/31", NULL, NULL, NULL, EX_USAGE, "write 192.0.2.6/31"},
    {"192.0.2.7/0", NULL, NULL, NULL, EX_USAGE, "write 0.0.0.0/0"},
    {"2001:db8::1/32", NULL, NULL, NULL, EX_USAGE, "write 2001:db8::/32 for the network, or 2001:db8::1 for one peer"},
    {"::ffff:10.0.0.1/104", NULL, NULL, NULL, EX_USAGE, "has bits set behind the first 104"},
    {"10.0.0.1 10.0.0.2 bad", NULL, NULL, NULL, EX_USAGE, "\"bad\""},
    {NULL, "10.0.0.1,bad", NULL, NULL, EX_USAGE, "FCGI_WEB_SERVER_ADDRS: \"bad\" is not an IP address"},
    {NULL, "10.0.0.1,", NULL, NULL, EX_USAGE, "FCGI_WEB_SERVER_ADDRS: \"\" is not"},
    {NULL, NULL, "no-such-user", NULL, EX_NOUSER, "--allow-uid: there is no user \"no-such-user\" on this machine"},
    {NULL, NULL, "0 4294967295", NULL, EX_NOUSER, "no user \"4294967295\""},
    {NULL, NULL, "-1", NULL, EX_NOUSER, "no user \"-1\""},
    {NULL, NULL, "12x", NULL, EX_NOUSER, "no user \"12x\""},
    {NULL, NULL, "99999999999999999999", NULL, EX_NOUSER, "no user"},
    {NULL, NULL, NULL, "no-such-group", EX_NOUSER, "--allow-gid: there is no group \"no-such-group\" on this machine"},
    {NULL, NULL, "1", "1 ", EX_NOUSER, "no group \"\""},
};

START_TEST(test_refused)
{
    int status = init(refused[_i].allow, refused[_i].env, refused[_i].users, refused[_i].groups);
    ck_assert_int_eq(status, refused[_i].status);
    ck_assert_msg(strstr(output, refused[_i].said) != NULL, "case %d: got %s", _i, output);
    ck_assert_msg(strncmp(output, "wsgi-fcgi: error: ", 18) == 0, "case %d: got %s", _i, output);
    ck_assert_msg(lines(output) == 1, "case %d: got %s", _i, output);
    allow_fini(&rules);
}
END_TEST

enum { OWN = 4000, ROOT = 0 };

static const struct {
    const char *users, *groups;
    uid_t uid;
    gid_t gids[3];
    bool allowed;
} users[] = {
    {NULL, NULL, 1000, {1000}, true},
    {"1000", NULL, 1000, {1}, true},
    {"1000", NULL, 1001, {1000}, false},
    {"1000 1002", NULL, 1002, {1}, true},
    {"1000 1002", NULL, 1001, {1}, false},
    {NULL, "50", 1000, {50}, true},
    {NULL, "50", 50, {51}, false},
    {NULL, "50", 1000, {7, 8, 50}, true},
    {NULL, "50 60", 1000, {7, 60}, true},
    {NULL, "50 60", 1000, {7, 8, 9}, false},
    {"1000", "50", 1000, {7}, true},
    {"1000", "50", 1001, {50}, true},
    {"1000", "50", 1001, {51}, false},
    {"1000", "50", ROOT, {7}, true},
    {"1000", "50", OWN, {7}, true},
    {"root", NULL, 1000, {0}, false},
    {NULL, "root", 1000, {7, 8, 9}, false},
    {NULL, "root", 1000, {7, 0}, true},
    {"4294967294", NULL, 4294967294, {7}, true},
};

START_TEST(test_users)
{
    ck_assert_int_eq(init(NULL, NULL, users[_i].users, users[_i].groups), 0);
    rules.own = OWN;
    ck_assert_int_eq(allow_permits_user(&rules, users[_i].uid, users[_i].gids, 3), users[_i].allowed);
    allow_fini(&rules);
}
END_TEST

static bool check(const struct listener *l, int fd, const char *peer) {
    struct sockaddr_storage sa = {0};
    socklen_t len = peer ? address(peer, &sa) : 0;
    return allow_check(&rules, l, fd, (const struct sockaddr *)&sa, len);
}

START_TEST(test_report)
{
    const struct listener l = {.fd = -1, .text = "0.0.0.0:9000"};
    ck_assert_int_eq(init("10.0.0.1", NULL, NULL, NULL), 0);
    capture();
    ck_assert(check(&l, -1, "10.0.0.1"));
    ck_assert(!check(&l, -1, "10.0.0.2"));
    for (int i = 0; i < 5; i++)
        ck_assert(!check(&l, -1, "10.0.0.3"));
    release();
    ck_assert_str_eq(
        output,
        "wsgi-fcgi: info: refused 10.0.0.2:4321 on 0.0.0.0:9000: not named by --allow: add its address to let it in\n"
        "wsgi-fcgi: info: refused 10.0.0.3:4321 on 0.0.0.0:9000: not named by --allow: add its address to let it in\n");

    for (unsigned i = 0; i < LOG_TABLE_SETS * LOG_TABLE_WAYS; i++) /* a second later */
        rules.log_table.places[i / LOG_TABLE_WAYS][i % LOG_TABLE_WAYS].at -= 1000000000;
    capture();
    ck_assert(!check(&l, -1, "10.0.0.3"));
    ck_assert(!check(&l, -1, "10.0.0.2"));
    release();
    ck_assert_str_eq(
        output,
        "wsgi-fcgi: info: refused 10.0.0.3:4321 on 0.0.0.0:9000: not named by --allow: add its address to let it in "
        "(and 4 more "
        "since the last line about this)\n"
        "wsgi-fcgi: info: refused 10.0.0.2:4321 on 0.0.0.0:9000: not named by --allow: add its address to let it in\n");
    allow_fini(&rules);

    ck_assert_int_eq(init(NULL, NULL, NULL, NULL), 0);
    capture();
    ck_assert(!check(&l, -1, "::ffff:10.0.0.2"));
    release();
    ck_assert_ptr_nonnull(
        strstr(output, "over FastCGI only loopback peers may connect: name the web server with --allow\n"));
    allow_fini(&rules);

    ck_assert_int_eq(init(NULL, "10.0.0.1", NULL, NULL), 0);
    capture();
    ck_assert(!check(&l, -1, "10.0.0.2"));
    release();
    ck_assert_ptr_nonnull(
        strstr(output, ": not in FCGI_WEB_SERVER_ADDRS: add its address there, or give --allow instead\n"));
    allow_fini(&rules);
}
END_TEST

START_TEST(test_unix)
{
    const struct listener l = {.fd = -1, .is_unix = true, .text = "/run/app.sock"};
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(init("10.0.0.1", NULL, NULL, NULL), 0);
    ck_assert(check(&l, pair[0], NULL)); /* rules for addresses are not for Unix sockets */
    ck_assert(check(&l, -1, NULL));      /* without rules the peer is not even asked for */
    allow_fini(&rules);

    ck_assert_int_eq(init(NULL, NULL, "123456", NULL), 0);
    ck_assert(check(&l, pair[0], NULL)); /* the server's own user */
    capture();
    ck_assert(!check(&l, -1, NULL));
    release();
    ck_assert_ptr_nonnull(strstr(output, "refused a peer on /run/app.sock: its user is unknown"));
    allow_fini(&rules);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

/* A listening TCP socket bound to `host`. */
static struct listener listener(const char *host) {
    struct sockaddr_storage sa;
    socklen_t len = address(host, &sa);
    memset((char *)&sa + offsetof(struct sockaddr_in, sin_port), 0, sizeof(in_port_t));
    struct listener l = {.fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ck_assert_int_eq(bind(l.fd, (struct sockaddr *)&sa, len), 0);
    snprintf(l.text, sizeof l.text, "%s:9000", host);
    return l;
}

#define CLOSED "only peers from 127.0.0.0/8 and ::1 may connect over FastCGI: name the web server with --allow"
#define NOT_NARROWED "everybody is served: FCGI_WEB_SERVER_ADDRS is for FastCGI, name the clients of HTTP with --allow"

static const struct {
    const char *allow, *env, *users, *host; /* host NULL: a Unix socket */
    const char *fastcgi, *http;             /* the warnings; NULL: none */
} warnings[] = {
    {NULL, NULL, NULL, "127.0.0.1", NULL, NULL},
    {NULL, NULL, NULL, "127.0.0.2", NULL, NULL},
    {NULL, NULL, NULL, "0.0.0.0", "0.0.0.0:9000: " CLOSED, NULL},
    {"10.0.0.1", NULL, NULL, "0.0.0.0", NULL, NULL},
    {"127.0.0.1", NULL, NULL, "0.0.0.0", NULL, NULL},
    {NULL, "10.0.0.1", NULL, "0.0.0.0", NULL, "0.0.0.0:9000: " NOT_NARROWED},
    {NULL, "10.0.0.1", NULL, "127.0.0.1", NULL, NULL},
    {"10.0.0.1", "10.0.0.1", NULL, "0.0.0.0", NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
    {"10.0.0.1", NULL, NULL, NULL, NULL, NULL},
    {NULL, "10.0.0.1", NULL, NULL, NULL, NULL},
    {NULL, NULL, "0", NULL, NULL, NULL},
    {NULL, NULL, "0", "127.0.0.1", NULL, NULL},
};

/* What the line about a socket says of its protocol and of whom it serves. */
static const struct {
    const char *allow, *env, *host;
    const char *fastcgi, *http;
} descriptions[] = {
    {NULL, NULL, NULL, "", " (HTTP)"},
    {"10.0.0.1", NULL, NULL, "", " (HTTP)"},
    {NULL, NULL, "127.0.0.1", "", " (HTTP)"},
    {NULL, NULL, "::1", "", " (HTTP)"},
    {"any", NULL, "127.0.0.1", "", " (HTTP)"},
    {NULL, NULL, "0.0.0.0", " (only loopback peers)", " (HTTP, everybody)"},
    {NULL, NULL, "::", " (only loopback peers)", " (HTTP, everybody)"},
    {"any", NULL, "0.0.0.0", " (everybody)", " (HTTP, everybody)"},
    {"10.0.0.1", NULL, "0.0.0.0", " (only those in --allow)", " (HTTP, only those in --allow)"},
    {NULL, "10.0.0.1", "0.0.0.0", " (only those in FCGI_WEB_SERVER_ADDRS)", " (HTTP, everybody)"},
    {NULL, "any", "0.0.0.0", " (everybody)", " (HTTP, everybody)"},
};

static struct listener listener_or_unix(const char *host) {
    return host ? listener(host) : (struct listener){.fd = -1, .is_unix = true, .text = "/run/app.sock"};
}

static void check_warning(struct listener *l, enum listener_protocol protocol, const char *said) {
    l->protocol = protocol;
    capture();
    allow_warn(&rules, l, 1);
    release();
    ck_assert_uint_eq(lines(output), said ? 1 : 0);
    if (said) {
        ck_assert_msg(strncmp(output, "wsgi-fcgi: warning: ", 20) == 0, "%s", output);
        ck_assert_msg(strstr(output, said) != NULL, "%s", output);
    }
}

START_TEST(test_warnings)
{
    struct listener l = listener_or_unix(warnings[_i].host);
    ck_assert_int_eq(init(warnings[_i].allow, warnings[_i].env, warnings[_i].users, NULL), 0);
    check_warning(&l, LISTENER_FASTCGI, warnings[_i].fastcgi);
    check_warning(&l, LISTENER_HTTP, warnings[_i].http);
    allow_fini(&rules);
    if (l.fd >= 0)
        close(l.fd);
}
END_TEST

START_TEST(test_descriptions)
{
    struct listener l = listener_or_unix(descriptions[_i].host);
    char out[ALLOW_TEXT_SIZE];
    ck_assert_int_eq(init(descriptions[_i].allow, descriptions[_i].env, NULL, NULL), 0);
    ck_assert_str_eq(allow_describe(&rules, &l, out), descriptions[_i].fastcgi);
    l.protocol = LISTENER_HTTP;
    ck_assert_str_eq(allow_describe(&rules, &l, out), descriptions[_i].http);
    allow_fini(&rules);
    if (l.fd >= 0)
        close(l.fd);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("allow");
    TCase *tc = tcase_create("allow");
    tcase_add_loop_test(tc, test_addresses, 0, COUNT(matches));
    tcase_add_loop_test(tc, test_viewers, 0, COUNT(viewers));
    tcase_add_loop_test(tc, test_every_length, 0, 33 + 129);
    tcase_add_test(tc, test_odd_peers);
    tcase_add_loop_test(tc, test_refused, 0, COUNT(refused));
    tcase_add_loop_test(tc, test_users, 0, COUNT(users));
    tcase_add_test(tc, test_report);
    tcase_add_test(tc, test_unix);
    tcase_add_loop_test(tc, test_warnings, 0, COUNT(warnings));
    tcase_add_loop_test(tc, test_descriptions, 0, COUNT(descriptions));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
