#include "config.h"

#include "proto/http_head.h"

#include "proto/cgi_rules.h"
#include "proto/http_lines.h"
#include "proto/http_token.h"
#include "unit/unit.h"

#include <stdio.h>

/* A header section and what becomes of it. `params` has a line "NAME=value" for each parameter; of a refused one it is
 * NULL, and `status` says with what. */
static const struct good {
    const char *text, *params;
    const char *host; /* NULL: none */
    int64_t length;
    unsigned minor;
    bool keep_alive, expects_continue;
} goods[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
     "REQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\nPATH_INFO=/\n", "a", 0, 1, true,
     false},
    {"GET / HTTP/1.0\r\n\r\n",
     "REQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.0\nREQUEST_URI=/\nQUERY_STRING=\nPATH_INFO=/\n", NULL, 0, 0, false,
     false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "HTTP_CONNECTION=Keep-Alive\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.0\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     NULL, 0, 0, true, false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
     "HTTP_CONNECTION=keep-alive, close\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.0\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     NULL, 0, 0, false, false},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, CLOSE\r\n\r\n",
     "HTTP_CONNECTION=x, CLOSE\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     "a", 0, 1, false, false},
    {"GET /a%20b/%C3%A4?q=%20&r HTTP/1.1\r\nHost: [::1]:80\r\nX-Empty:\r\nX-Space: \t a b \t\r\nAccept: \xff\r\n\r\n",
     "HTTP_X_EMPTY=\nHTTP_X_SPACE=a b\nHTTP_ACCEPT=\xff\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\n"
     "REQUEST_URI=/a%20b/%C3%A4?q=%20&r\nQUERY_STRING=q=%20&r\nPATH_INFO=/a b/\xc3\xa4\n",
     "[::1]:80", 0, 1, true, false},
    {"POST /p HTTP/1.1\r\nHost:\r\nContent-Length: 007\r\nContent-Type: text/plain\r\nCookie: a\r\nCookie: b\r\n\r\n",
     "CONTENT_LENGTH=007\nCONTENT_TYPE=text/plain\nHTTP_COOKIE=a\nHTTP_COOKIE=b\nREQUEST_METHOD=POST\n"
     "SERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/p\nQUERY_STRING=\nPATH_INFO=/p\n",
     "", 7, 1, true, false},
    {"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\nExpect: 100-Continue\r\n\r\n",
     "HTTP_EXPECT=100-Continue\nREQUEST_METHOD=POST\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/p\nQUERY_STRING=\n"
     "PATH_INFO=/p\n",
     "a", -1, 1, true, true},
    /* Nothing to wait for: no body, or a version that does not know it (RFC 9110, 10.1.1). */
    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
     "HTTP_EXPECT=100-continue\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     "a", 0, 1, true, false},
    {"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
     "CONTENT_LENGTH=1\nHTTP_EXPECT=100-continue\nREQUEST_METHOD=POST\nSERVER_PROTOCOL=HTTP/1.0\nREQUEST_URI=/\n"
     "QUERY_STRING=\nPATH_INFO=/\n",
     NULL, 1, 0, false, false},
    /* RFC 9112, 3.2.2: the host of the target counts. */
    {"GET HTTP://b:81?x HTTP/1.1\r\nHost: a\r\n\r\n",
     "REQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=HTTP://b:81?x\nQUERY_STRING=x\nPATH_INFO=/\n", "b:81",
     0, 1, true, false},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
     "REQUEST_METHOD=OPTIONS\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=*\nQUERY_STRING=\nPATH_INFO=*\n", "a", 0, 1, true,
     false},
    /* Names that could stand for another header are left out; an offer to upgrade is not taken. */
    {"GET / HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\nContent_Length: 5\r\nX.Y: 2\r\nConnection: upgrade\r\nUpgrade: "
     "h2c\r\n\r\n",
     "HTTP_X.Y=2\nHTTP_CONNECTION=upgrade\nHTTP_UPGRADE=h2c\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\n"
     "REQUEST_URI=/\nQUERY_STRING=\nPATH_INFO=/\n",
     "a", 0, 1, true, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n",
     "HTTP_CONNECTION=upgrade\nHTTP_UPGRADE=h2c\nCONTENT_LENGTH=3\nREQUEST_METHOD=POST\nSERVER_PROTOCOL=HTTP/1.1\n"
     "REQUEST_URI=/\nQUERY_STRING=\nPATH_INFO=/\n",
     "a", 3, 1, true, false},
    {"PROPFIND / HTTP/1.1\r\nHost: a\r\nTransferEncoding: x\r\nContentxLength: y\r\nContent-Typex: z\r\nExpecx: v\r\n"
     "Hosx: w\r\nContent-Typx: u\r\n\r\n",
     "HTTP_TRANSFERENCODING=x\nHTTP_CONTENTXLENGTH=y\nHTTP_CONTENT_TYPEX=z\nHTTP_EXPECX=v\nHTTP_HOSX=w\n"
     "HTTP_CONTENT_TYPX=u\nREQUEST_METHOD=PROPFIND\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     "a", 0, 1, true, false},
    /* RFC 9110, 2.5: a later minor version is one that speaks 1.1 as well. */
    {"POST / HTTP/1.2\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
     "HTTP_EXPECT=100-continue\nREQUEST_METHOD=POST\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     "a", -1, 1, true, true},
    {"GET / HTTP/1.9\r\nHost: a\r\nConnection: close\r\n\r\n",
     "HTTP_CONNECTION=close\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     "a", 0, 1, false, false},
    /* RFC 9110, 5.6.3: optional white space is spaces and tabs, on both sides of every value. */
    {"POST / HTTP/1.1\r\nX:\t\r\nY: \ty\t \tz \t\r\nContent-Length:\t 5 \t \t\r\nHost:\ta\t\r\n\r\n",
     "HTTP_X=\nHTTP_Y=y\t \tz\nCONTENT_LENGTH=5\nREQUEST_METHOD=POST\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\n"
     "QUERY_STRING=\nPATH_INFO=/\n",
     "a", 5, 1, true, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t\r\n\r\n",
     "CONTENT_LENGTH=5\nREQUEST_METHOD=POST\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\nPATH_INFO=/\n",
     "a", 5, 1, true, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\t\r\n\r\n",
     "CONTENT_LENGTH=0\nREQUEST_METHOD=POST\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\nPATH_INFO=/\n",
     "a", 0, 1, true, false},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\t\r\nExpect:\t100-continue\t\r\n\r\n",
     "HTTP_EXPECT=100-continue\nREQUEST_METHOD=POST\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     "a", -1, 1, true, true},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection:\tx,\tclose\t,y\r\n\r\n",
     "HTTP_CONNECTION=x,\tclose\t,y\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_URI=/\nQUERY_STRING=\n"
     "PATH_INFO=/\n",
     "a", 0, 1, false, false},
    {"GET / HTTP/1.0\r\nConnection: x\r\nConnection: ,keep-alive\t\r\n\r\n",
     "HTTP_CONNECTION=x\nHTTP_CONNECTION=,keep-alive\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.0\n"
     "REQUEST_URI=/\nQUERY_STRING=\nPATH_INFO=/\n",
     NULL, 0, 0, true, false},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, xclose, \"close\", close x, clos\r\n\r\n",
     "HTTP_CONNECTION=closed, xclose, \"close\", close x, clos\nREQUEST_METHOD=GET\nSERVER_PROTOCOL=HTTP/1.1\n"
     "REQUEST_URI=/\nQUERY_STRING=\nPATH_INFO=/\n",
     "a", 0, 1, true, false},
};

#define OK "Host: a\r\n\r\n"

static const struct bad {
    const char *text, *status;
} bads[] = {
    {"\r\n", "400"},
    {"/ HTTP/1.1\r\n" OK, "400"},
    {"GET\r\n\r\n", "400"},
    {"GET \r\n\r\n", "400"},
    {"GET HTTP/1.1\r\n" OK, "400"},
    {"GET  HTTP/1.1\r\n" OK, "400"},
    {"HTTP/1.1\r\n" OK, "400"},
    {"CONNECT a:80 HTTP/1.1\r\n" OK, "501"},
    {"CONNECT / HTTP/1.1\r\n" OK, "501"},
    {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" OK, "400"},
    {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 HTTP/1.1\r\n" OK, "400"},
    {"G@T / HTTP/1.1\r\n" OK, "400"},
    {"GET\t/ HTTP/1.1\r\n" OK, "400"},
    {"GET  / HTTP/1.1\r\n" OK, "400"},
    {"GET /  HTTP/1.1\r\n" OK, "400"},
    {"GET / HTTP/1.1 \r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nX: \x7f\r\n" OK, "400"},
    {"GET / \r\n" OK, "400"},
    {"GET /\r\n\r\n", "400"},
    {"GET / HTTP/2.0\r\n" OK, "505"},
    {"GET / HTTP/0.9\r\n" OK, "505"},
    {"GET / HTTP/3.1\r\n" OK, "505"},
    {"GET / HTTP/0.1\r\n" OK, "505"},
    {"GET / HTTP/1.:\r\n" OK, "400"},
    {"GET / HTTP/1.\r\n" OK, "400"},
    {"GET / HTTP/1-1\r\n" OK, "400"},
    {"GET / HTTP1.1\r\n" OK, "400"},
    {"GET / HTTP/11\r\n" OK, "400"},
    {"PRI * HTTP/2.0\r\n\r\n", "505"},
    {"GET / HTTP/1.x\r\n" OK, "400"},
    {"GET / http/1.1\r\n" OK, "400"},
    {"GET / HTTP/1.10\r\n" OK, "400"},
    {"GET / FTP/1.1\r\n" OK, "400"},
    {"DESCRIBE / RTSP/1.0\r\n" OK, "400"},
    {"GET a HTTP/1.1\r\n" OK, "400"},
    {"GET * HTTP/1.1\r\n" OK, "400"},
    {"GET ftp://a/ HTTP/1.1\r\n" OK, "400"},
    {"GET http://u@a/ HTTP/1.1\r\n" OK, "400"},
    {"GET http:///x HTTP/1.1\r\n" OK, "400"},
    {"GET /#f HTTP/1.1\r\n" OK, "400"},
    {"GET /%0 HTTP/1.1\r\n" OK, "400"},
    {"GET /%zz HTTP/1.1\r\n" OK, "400"},
    {"GET /%00 HTTP/1.1\r\n" OK, "400"},
    {"GET \xc3\xa4 HTTP/1.1\r\n" OK, "400"},
    {"GET http://\xc3\xa4/ HTTP/1.1\r\n" OK, "400"},
    {"GET http://a:65536/ HTTP/1.1\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a\r\n" OK, "400"},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"},
    {"GET / HTTP/1.1\r\nHost\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nX Y: x\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nX: a\x01\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nX: a\rb\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length:\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: -1\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: +1\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 0x1\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1 2\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\t2\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\t,\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length:\t\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\x0b\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\t\r\nContent-Length: 1\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\t\r\nTransfer-Encoding: chunked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\t\r\nX\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\t\r\nX\t\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length\t: 1\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\tx\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\t,\tidentity\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chun\tked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\t\r\nContent-Length: 1\t\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n" OK, "400"},
    {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunkedx\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: identity\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: \x0b"
     "chunked\r\n" OK,
     "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding:\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding\t: chunked\r\n" OK, "400"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" OK, "501"},
    {"GET / HTTP/1.1\r\nTransfer-Encoding: ,chunked\r\n" OK, "501"},
    {"POST / HTTP/1.1\r\nContent-Length: 1\r\nExpect: 200-ok\r\n" OK, "417"},
};

static void unfold(char *out, const char *params, size_t len) {
    const char *pos = params, *end = params + len;
    struct params_pair pair;
    enum params_result result;
    while ((result = params_next(&pos, end, &pair)) == PARAMS_PAIR)
        out += sprintf(out, "%.*s=%.*s\n", (int)pair.name.n, pair.name.p, (int)pair.value.n, pair.value.p);
    *out = '\0';
    ck_assert_int_eq(result, PARAMS_END);
}

static bool parse(const char *text, size_t len, struct http_head *head, char *shown, struct http_body *body,
                  struct http_refusal *refusal) {
    struct guard in, out;
    size_t n, used;
    guard_init(&in, len);
    guard_init(&out, http_params_max(len));
    char *room = out.end - http_params_max(len);
    struct http_lines lines = {0};
    ck_assert_int_eq(http_lines_scan(&lines, text, len, &used), HTTP_LINES_END);
    ck_assert_uint_eq(used, len);
    const char *copy = guard_put(&in, text, len);
    bool good = http_parse_head(copy, len, head, room, &n, body, refusal);
    /* Slices point into memory that goes now. */
    if (good) {
        unfold(shown, room, n);
        head->host.p = head->has_host ? text + (head->host.p - copy) : NULL;
    }
    guard_fini(&in);
    guard_fini(&out);
    return good;
}

START_TEST(good)
{
    const struct good *g = &goods[_i];
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {0};
    char shown[2048];
    if (!parse(g->text, strlen(g->text), &head, shown, &body, &refusal))
        ck_abort_msg("%s: %s", refusal.status, refusal.why);
    ck_assert_str_eq(shown, g->params);
    ck_assert_int_eq(head.has_host, g->host != NULL);
    if (g->host && *g->host)
        ck_assert_msg(head.host.n == strlen(g->host) && !memcmp(head.host.p, g->host, head.host.n), "host");
    ck_assert_int_eq(head.content_length, g->length);
    ck_assert_uint_eq(head.minor, g->minor);
    ck_assert_int_eq(head.keep_alive, g->keep_alive);
    ck_assert_int_eq(head.expects_continue, g->expects_continue);
    ck_assert_int_eq(head.head_only, false);
    ck_assert_int_eq(body.ended, g->length == 0);
    ck_assert_int_eq(body.chunked, g->length < 0);
}
END_TEST

START_TEST(bad)
{
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {0};
    char shown[2048];
    const char *text = bads[_i].text;
    ck_assert_msg(!parse(text, strlen(text), &head, shown, &body, &refusal), "taken: %s", text);
    ck_assert_msg(!strncmp(refusal.status, bads[_i].status, 3) && strlen(refusal.status) > 6,
                  "%s answered with %s (%s)", text, refusal.status, refusal.why);
    ck_assert_msg(refusal.why && *refusal.why, "no reason for %s", text);
}
END_TEST

START_TEST(nul)
{
    static const char text[] = "GET / HTTP/1.1\r\nX: a\0b\r\n" OK, name[] = "GET / HTTP/1.1\r\nX\0Y: a\r\n" OK,
                      target[] = "GET /\0 HTTP/1.1\r\n" OK;
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {0};
    char shown[2048];
    ck_assert(!parse(text, sizeof text - 1, &head, shown, &body, &refusal));
    ck_assert(!parse(name, sizeof name - 1, &head, shown, &body, &refusal));
    ck_assert(!parse(target, sizeof target - 1, &head, shown, &body, &refusal));
    ck_assert_str_eq(refusal.status, "400 Bad Request");
}
END_TEST

/* The method is any token (RFC 9110, 9.1), and what it means is the application's business: there is a body when a
 * length says so, and none when the method is HEAD, in capitals, of the answer. */
static const char *const methods[] = {
    "GET",      "HEAD",   "POST",     "PUT",      "QUERY",  "CHECKIN",       "UPDATE",
    "PATCH",    "BREW",   "X",        "get",      "head",   "Head",          "HEADX",
    "HEA",      "POSTAL", "SOURCE",   "DESCRIBE", "PRI",    "PROPFIND",      "connect",
    "CONNECTX", "CONNEC", "M-SEARCH", "ACL",      "UNBIND", "GET_PARAMETER", "!#$%&'*+-.^_`|~09azAZ",
};

START_TEST(method)
{
    char text[256], shown[2048], wanted[64];
    const char *m = methods[_i];
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {0};
    sprintf(wanted, "REQUEST_METHOD=%s\n", m);
    for (int version = 0; version < 2; version++) {
        int n = sprintf(text, "%s /p?q HTTP/1.%d\r\nHost: a\r\n\r\n", m, version);
        if (!parse(text, (size_t)n, &head, shown, &body, &refusal))
            ck_abort_msg("%s: %s", m, refusal.why);
        ck_assert_int_eq(head.head_only, !strcmp(m, "HEAD"));
        ck_assert_uint_eq(head.nfields, 1);
        ck_assert(body.ended && head.keep_alive == (version > 0));
        ck_assert_ptr_eq(strstr(shown, wanted), shown);
    }
    int n =
        sprintf(text, "%s / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", m);
    ck_assert(parse(text, (size_t)n, &head, shown, &body, &refusal));
    ck_assert(head.content_length == 5 && !body.ended && !body.chunked && head.keep_alive);
    n = sprintf(text, "%s / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", m);
    ck_assert(parse(text, (size_t)n, &head, shown, &body, &refusal));
    ck_assert(head.content_length == -1 && body.chunked && head.keep_alive);
}
END_TEST

START_TEST(long_method)
{
    char *text = malloc(30000), *shown = malloc(30000);
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {0};
    memset(text, 'M', 20000);
    size_t n = 20000 + (size_t)sprintf(text + 20000, " / HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert(parse(text, n, &head, shown, &body, &refusal));
    ck_assert_uint_eq(head.method.n, 20000);
    free(text);
    free(shown);
}
END_TEST

/* Every byte but those of a token ends the method, or is refused in it. */
START_TEST(byte_of_a_method)
{
    char text[64], shown[2048];
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal;
    for (int c = 0; c < 256; c++) {
        int n = sprintf(text, "AxB / HTTP/1.1\r\nHost: a\r\n\r\n");
        text[1] = (char)c;
        if (c == '\n')
            continue; /* no line any more */
        bool taken = parse(text, (size_t)n, &head, shown, &body, &refusal);
        ck_assert_msg(taken == http_is_token_char((char)c), "byte 0x%02x", (unsigned)c);
        /* FastCGI takes the same methods. */
        ck_assert_msg(taken == cgi_is_token((struct slice){&(char){(char)c}, 1}), "byte 0x%02x", (unsigned)c);
        if (!taken)
            ck_assert_str_eq(refusal.status, "400 Bad Request");
    }
}
END_TEST

/* What nginx 1.22, HAProxy 2.6 and Caddy 2.6 pass on to an HTTP server, byte by byte, in a path and in a query:
 *     0x00 to 0x20   none of them
 *     "#"            nginx as it is, Caddy in a path as %23, HAProxy 400
 *     "%"            in a path in front of two hexadecimal digits; HAProxy any; in a query all of them any
 *     0x7f           HAProxy
 *     0x80 to 0xff   nginx as they are, Caddy in a path encoded, HAProxy up to 0xa3
 *     others         all of them as they are, "<>\^`{|} and " in a path Caddy encoded
 * Served is what has one meaning: not "#", which is the beginning of what no target has (RFC 9112, 3.2), not a path that
 * cannot be decoded, no control. */
START_TEST(byte_of_a_target)
{
    char text[64], shown[2048], wanted[64];
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal;
    for (int c = 0; c < 256; c++) {
        int at = _i ? 7 : 5;
        int n = sprintf(text, _i ? "GET /?axb HTTP/1.1\r\nHost: a\r\n\r\n" : "GET /axb HTTP/1.1\r\nHost: a\r\n\r\n");
        text[at + !_i] = (char)c;
        if (c == '\n')
            continue; /* no line any more */
        bool served = c > 0x20 && c != 0x7f && c != '#' && (_i || c != '%');
        ck_assert_msg(parse(text, (size_t)n, &head, shown, &body, &refusal) == served, "byte 0x%02x", (unsigned)c);
        if (!served) {
            ck_assert_str_eq(refusal.status, "400 Bad Request");
            continue;
        }
        if (_i)
            sprintf(wanted, "REQUEST_URI=/?a%cb\nQUERY_STRING=a%cb\nPATH_INFO=/\n", c, c);
        else if (c == '?')
            strcpy(wanted, "REQUEST_URI=/a?b\nQUERY_STRING=b\nPATH_INFO=/a\n");
        else
            sprintf(wanted, "REQUEST_URI=/a%cb\nQUERY_STRING=\nPATH_INFO=/a%cb\n", c, c);
        ck_assert_msg(strstr(shown, wanted) != NULL, "%s", shown);
    }
}
END_TEST

/* Of all targets that those three pass on: what each part of RFC 3986 becomes here. NULL: refused. */
static const struct {
    const char *target, *path, *query;
} targets[] = {
    {"/-._~", "/-._~", ""},                /* unreserved */
    {"/:/?#[]@", NULL, NULL},              /* gen-delims, and a fragment */
    {"/:/[]@?:/?[]@", "/:/[]@", ":/?[]@"}, /* the same without it */
    {"/!$&'()*+,;=", "/!$&'()*+,;=", ""},  /* sub-delims */
    {"/\"<>\\^`{|}", "/\"<>\\^`{|}", ""},  /* none of these: to be encoded, and seldom are */
    {"/?\"<>\\^`{|}", "/", "\"<>\\^`{|}"},
    {"/\xc3\xa0?\xc3\xa0", "/\xc3\xa0", "\xc3\xa0"},
    {"/%c3\xa0", "/\xc3\xa0", ""},
    {"/\xff\xfe\x80", "/\xff\xfe\x80", ""}, /* no UTF-8 */
    {"http://a/\xc3\xa0", "/\xc3\xa0", ""},
    {"/%2f%2F%25%0a%0D%7f%80", "///%\n\r\x7f\x80", ""},
    {"/?%zz%4%", "/", "%zz%4%"}, /* a query is not decoded */
    {"/?%00", "/", "%00"},
    {"/%zz", NULL, NULL},
    {"/%4", NULL, NULL},
    {"/%", NULL, NULL},
    {"/%00", NULL, NULL},
    {"/a#", NULL, NULL},
    {"/?a#b", NULL, NULL},
    {"/a?b?c", "/a", "b?c"},
    {"//a", "//a", ""},
    {"/../a/./b/..", "/../a/./b/..", ""},
    {"?a", NULL, NULL},
    {"a", NULL, NULL},
};

START_TEST(target)
{
    char text[128], shown[2048], wanted[128];
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal;
    int n = sprintf(text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", targets[_i].target);
    bool taken = parse(text, (size_t)n, &head, shown, &body, &refusal);
    ck_assert_msg(taken == (targets[_i].path != NULL), "%s", targets[_i].target);
    if (!taken) {
        ck_assert_str_eq(refusal.status, "400 Bad Request");
        return;
    }
    sprintf(wanted, "REQUEST_URI=%s\nQUERY_STRING=%s\nPATH_INFO=%s\n", targets[_i].target, targets[_i].query,
            targets[_i].path);
    ck_assert_msg(strstr(shown, wanted) != NULL, "%s", shown);
}
END_TEST

/* --limit-param-count counts fields, also where they are read twice for a tab. */
START_TEST(fields_are_counted_once)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\nHost: a\r\nX_Y: z\r\nContent-Length: 5\r\n\r\n",
                                        "GET / HTTP/1.1\r\nHost: a\r\nX:\t\r\nContent-Length: 5\t\r\n\r\n"};
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {0};
    char shown[2048];
    ck_assert(parse(texts[_i], strlen(texts[_i]), &head, shown, &body, &refusal));
    ck_assert_uint_eq(head.nfields, 3);
}
END_TEST

/* The parameters of the most awkward sections fit into what http_params_max says. */
START_TEST(room)
{
    static const char *const units[] = {"a:\r\n", "a:b\r\n", "abc: d\r\n"};
    char *text = malloc(30000), *shown = malloc(200000);
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {0};
    size_t n = (size_t)sprintf(text, "GET /%%41%%41?q HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 3000; i++)
        n += (size_t)sprintf(text + n, "%s", units[_i]);
    n += (size_t)sprintf(text + n, "\r\n");
    ck_assert(parse(text, n, &head, shown, &body, &refusal));
    ck_assert_uint_eq(head.nfields, 3001);
    free(text);
    free(shown);
}
END_TEST

/* Lengths of names and values around those whose own length changes; paths that shrink when they are decoded. */
START_TEST(lengths)
{
    char text[4096], shown[8192], wanted[512];
    struct http_head head;
    struct http_body body;
    struct http_refusal refusal = {0};
    for (int n = 120; n < 136; n++) {
        int len = sprintf(text, "GET /");
        for (int i = 0; i < n; i++)
            len += sprintf(text + len, _i ? "%%61" : "a");
        len += sprintf(text + len, " HTTP/1.1\r\nHost: a\r\nX%0*d: %0*d\r\n\r\n", n, 7, n, 8);
        ck_assert(parse(text, (size_t)len, &head, shown, &body, &refusal));
        sprintf(wanted, "HTTP_X%0*d=%0*d\n", n, 7, n, 8);
        ck_assert_ptr_nonnull(strstr(shown, wanted));
        memset(wanted, 0, sizeof wanted);
        strcpy(wanted, "\nPATH_INFO=/");
        memset(wanted + strlen(wanted), 'a', (size_t)n);
        strcat(wanted, "\n");
        ck_assert_ptr_nonnull(strstr(shown, wanted));
    }
}
END_TEST

START_TEST(first_bytes)
{
    ck_assert(http_is_token_char('G') && http_is_token_char('_') && http_is_token_char('!'));
    ck_assert(!http_is_token_char(0x16) && !http_is_token_char(1) && !http_is_token_char(' ') &&
              !http_is_token_char('\r') && !http_is_token_char('\0') && !http_is_token_char((char)0xff));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http_head");
    TCase *tc = tcase_create("http_head");
    tcase_add_loop_test(tc, good, 0, COUNT(goods));
    tcase_add_loop_test(tc, bad, 0, COUNT(bads));
    tcase_add_test(tc, nul);
    tcase_add_loop_test(tc, method, 0, COUNT(methods));
    tcase_add_test(tc, long_method);
    tcase_add_test(tc, byte_of_a_method);
    tcase_add_loop_test(tc, byte_of_a_target, 0, 2);
    tcase_add_loop_test(tc, target, 0, COUNT(targets));
    tcase_add_loop_test(tc, fields_are_counted_once, 0, 2);
    tcase_add_loop_test(tc, room, 0, 3);
    tcase_add_loop_test(tc, lengths, 0, 2);
    tcase_add_test(tc, first_bytes);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
