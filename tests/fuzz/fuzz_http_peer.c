/* What proxies say about the client: PROXY headers, and the fields of header sections. */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "proto/http_target.h"
#include "proto/proxy_header.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const union peer_address *a) {
    assert(a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6);
}

/* A header is the same whatever stands behind it, and every beginning of it may become one. */
static void check_proxy(const char *data, size_t size) {
    struct proxy_header header, shorter;
    size_t used = 0, ignored;
    enum proxy_result result = proxy_header_parse(data, size, &header, &used);
    if (result == PROXY_BAD)
        return;
    size_t whole = result == PROXY_OK ? used : size;
    assert(whole <= size && whole <= PROXY_V2_MAX);
    for (size_t n = 0; n < whole; n++)
        assert(proxy_header_parse(data, n, &shorter, &ignored) == PROXY_MORE);
    if (result == PROXY_MORE)
        return;
    assert(proxy_header_parse(data, used, &shorter, &ignored) == PROXY_OK && ignored == used);
    assert(!memcmp(&header, &shorter, sizeof header));
    if (!header.local && !header.unknown) {
        check_address(&header.source);
        check_address(&header.destination);
    }
}

static void check_list(const char *data, size_t size) {
    static const char *const names[] = {"for", "proto", "host"};
    struct forwarded_list list = {.count = 0};
    union peer_address address;
    size_t cut = size / 2;
    forwarded_append_elements(&list, (struct slice){data, cut});
    forwarded_append(&list, (struct slice){data + cut, size - cut});
    assert(list.count <= FORWARDED_HOPS);
    for (size_t i = 0; i < list.count; i++) {
        struct slice item = list.items[i];
        assert(item.n && item.p >= data && item.p + item.n <= data + size);
        if (forwarded_address(item, &address))
            check_address(&address);
        for (int k = 0; k < 3; k++) {
            struct slice value = forwarded_parameter(item, names[k]);
            assert(!value.n || (value.p >= item.p && value.p + value.n <= item.p + item.n));
        }
    }
}

static bool equals(struct slice s, const char *text) {
    return s.n == strlen(text) && !memcmp(s.p, text, s.n);
}

/* What is written behind anything else means what it means alone. */
static void check_appended(const char *data, size_t size) {
    static const char *const elements[] = {
        "for=9.9.9.9;proto=http",
        "for=\"9.9.9.9\" ; host=\"a,b;c\\\"=\\\\\";PROTO=\"http\"",
        ";by=x;for=9.9.9.9;proto=http;",
    };
    for (int k = 0; k < 3; k++) {
        struct forwarded_list list = {.count = 0};
        size_t n = strlen(elements[k]);
        char *text = malloc(size + 2 + n);
        assert(text);
        memcpy(text, data, size);
        memcpy(text + size, ", ", 2);
        memcpy(text + size + 2, elements[k], n);
        forwarded_append_elements(&list, (struct slice){text, size + 2 + n});
        assert(list.count);
        struct slice last = list.items[list.count - 1];
        assert(last.p >= text + size + 2);
        assert(equals(forwarded_parameter(last, "for"), "9.9.9.9"));
        assert(equals(forwarded_parameter(last, "proto"), "http"));
        free(text);
    }
}

static void check_target(const char *data, size_t size) {
    struct http_target target;
    struct slice text = {data, size};
    char *out = malloc(size + 1);
    assert(out);
    http_is_authority(text);
    if (!http_target_parse(text, &target)) {
        size_t n = http_target_decode(target.path, out);
        assert(target.path.n && (n == SIZE_MAX || n <= target.path.n));
        assert(target.absolute == (target.authority.n > 0));
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0] & 3) {
    case 0:
        check_list(text, size - 1);
        check_appended(text, size - 1);
        break;
    case 1:
        check_target(text, size - 1);
        break;
    default:
        check_proxy(text, size - 1);
        break;
    }
    return 0;
}
