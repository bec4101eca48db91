#include "config.h"

#include "proto/proxy_header.h"

#include "unit/unit.h"

#include <arpa/inet.h>
#include <stdio.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TEXT(text) text, sizeof(text) - 1
#define V4_ADDRESSES "\xc0\0\2\7\xc0\0\2\x8\x9c\x40\0\x50"
#define V6_ADDRESSES                                                                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"                                                                         \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x8\x9c\x40\0\x50"

static const struct vector {
    const char *text;
    size_t len;
    enum proxy_result result;
    size_t rest;       /* bytes behind the header */
    const char *shown; /* source and destination; NULL: local */
} vectors[] = {
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 40000 80\r\nGET"), PROXY_OK, 3, "192.0.2.7 40000 192.0.2.8 80"},
    {TEXT("PROXY TCP6 2001:db8::7 2001:db8::8 40000 80\r\n"), PROXY_OK, 0, "2001:db8::7 40000 2001:db8::8 80"},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 0 65535\r\n"), PROXY_OK, 0, "192.0.2.7 0 192.0.2.8 65535"},
    {TEXT("PROXY UNKNOWN\r\nGET"), PROXY_OK, 3, NULL},
    {TEXT("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), PROXY_OK, 0, NULL},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 40000 80\r"), PROXY_MORE, 0, NULL},
    {TEXT("PROXY "), PROXY_MORE, 0, NULL},
    {TEXT("PRO"), PROXY_MORE, 0, NULL},
    {TEXT(""), PROXY_MORE, 0, NULL},
    {TEXT("GET / HTTP/1.1\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 40000 80\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY \r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY \n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY UNKNOWNX\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP5 192.0.2.7 192.0.2.8 40000 80\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 40000\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 40000 80 \r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 40000 80 1\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4  192.0.2.7 192.0.2.8 40000 80\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 65536 80\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 040 80\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 192.0.2.7 192.0.2.8 4x 80\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 2001:db8::7 2001:db8::8 40000 80\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP6 192.0.2.7 192.0.2.8 40000 80\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 1234567890123456789012345678901234567890123456789 192.0.2.8 40000 80\r\n"), PROXY_BAD, 0, NULL},
    {TEXT("PROXY TCP4 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaaaaaa"),
     PROXY_BAD, 0, NULL},
    {TEXT(SIGNATURE "\x21\x11\0\x0c" V4_ADDRESSES "GET"), PROXY_OK, 3, "192.0.2.7 40000 192.0.2.8 80"},
    {TEXT(SIGNATURE "\x21\x21\0\x24" V6_ADDRESSES), PROXY_OK, 0, "2001:db8::7 40000 2001:db8::8 80"},
    {TEXT(SIGNATURE "\x21\x11\0\x0f" V4_ADDRESSES "\4\0\0GET"), PROXY_OK, 3, "192.0.2.7 40000 192.0.2.8 80"},
    {TEXT(SIGNATURE "\x20\0\0\0GET"), PROXY_OK, 3, NULL},
    {TEXT(SIGNATURE "\x20\x11\0\x0c" V4_ADDRESSES), PROXY_OK, 0, NULL},
    {TEXT(SIGNATURE "\x21\x31\0\2ab"), PROXY_OK, 0, NULL},
    {TEXT(SIGNATURE "\x21\x11\0\x0c\xc0\0\2"), PROXY_MORE, 0, NULL},
    {TEXT(SIGNATURE "\x21"), PROXY_MORE, 0, NULL},
    {TEXT("\r\n\r\n"), PROXY_MORE, 0, NULL},
    {TEXT(SIGNATURE "\x11\x11\0\x0c" V4_ADDRESSES), PROXY_BAD, 0, NULL},
    {TEXT(SIGNATURE "\x22\x11\0\x0c" V4_ADDRESSES), PROXY_BAD, 0, NULL},
    {TEXT(SIGNATURE "\x21\x11\0\x0b\xc0\0\2\7\xc0\0\2\x8\x9c\x40\0"), PROXY_BAD, 0, NULL},
    {TEXT(SIGNATURE "\x21\x21\0\x0c" V4_ADDRESSES), PROXY_BAD, 0, NULL},
    {TEXT(SIGNATURE "\x21\x11\x10\0"), PROXY_BAD, 0, NULL},
    {TEXT("\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" V4_ADDRESSES), PROXY_BAD, 0, NULL},
};

static void show(const struct proxy_header *h, char *out) {
    const union peer_address *addresses[] = {&h->source, &h->destination};
    for (int i = 0; i < 2; i++) {
        const union peer_address *a = addresses[i];
        char text[INET6_ADDRSTRLEN];
        bool v4 = a->sa.sa_family == AF_INET;
        inet_ntop(a->sa.sa_family, v4 ? (const void *)&a->in.sin_addr : (const void *)&a->in6.sin6_addr, text,
                  sizeof text);
        out += sprintf(out, "%s%s %u", i ? " " : "", text, ntohs(v4 ? a->in.sin_port : a->in6.sin6_port));
    }
}

START_TEST(whole)
{
    const struct vector *v = &vectors[_i];
    struct proxy_header header;
    size_t used = 0;
    char shown[128];
    struct guard g;
    guard_init(&g, v->len);
    ck_assert_int_eq(proxy_header_parse(guard_put(&g, v->text, v->len), v->len, &header, &used), v->result);
    if (v->result == PROXY_OK) {
        ck_assert_uint_eq(used, v->len - v->rest);
        ck_assert_int_eq(header.local || header.unknown, v->shown == NULL);
        ck_assert(!header.local || !header.unknown);
        if (v->shown) {
            show(&header, shown);
            ck_assert_str_eq(shown, v->shown);
        }
    }
    guard_fini(&g);
}
END_TEST

/* Every beginning of a header may become one, and no beginning of something else is taken for a header. */
START_TEST(growing)
{
    const struct vector *v = &vectors[_i];
    struct proxy_header header;
    size_t used, header_len = v->len - v->rest;
    for (size_t n = 0; n <= v->len; n++) {
        struct guard g;
        guard_init(&g, n);
        enum proxy_result result = proxy_header_parse(guard_put(&g, v->text, n), n, &header, &used);
        if (v->result == PROXY_BAD)
            REQUIRE(result != PROXY_OK);
        else
            REQUIRE(result == (n < header_len ? PROXY_MORE : v->result));
        guard_fini(&g);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("proxy_header");
    TCase *tc = tcase_create("proxy_header");
    tcase_add_loop_test(tc, whole, 0, COUNT(vectors));
    tcase_add_loop_test(tc, growing, 0, COUNT(vectors));
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
