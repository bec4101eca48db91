#include "config.h"

#include "net/listen/address_set.h"

#include "unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sysexits.h>

/* Trusted proxies: the peers of Unix sockets are a set of their own, which "any" does not include. */
static const struct {
    const char *texts[4];
    bool v4, mapped, v6, unix_peer;
} trusted[] = {
    {{NULL}, false, false, false, false},
    {{"192.0.2.0/24"}, true, true, false, false},
    {{"2001:db8::/32"}, false, false, true, false},
    {{"unix"}, false, false, false, true},
    {{"any"}, true, true, true, false},
    {{"192.0.2.7", "unix", "2001:db8::7"}, true, true, true, true},
    {{"192.0.2.8"}, false, false, false, false},
};

static bool has(const struct address_set *set, sa_family_t family, const char *text) {
    struct sockaddr_storage sa = {.ss_family = family};
    if (family == AF_INET)
        ck_assert_int_eq(inet_pton(family, text, &((struct sockaddr_in *)(void *)&sa)->sin_addr), 1);
    if (family == AF_INET6)
        ck_assert_int_eq(inet_pton(family, text, &((struct sockaddr_in6 *)(void *)&sa)->sin6_addr), 1);
    return address_set_has(set, (const struct sockaddr *)&sa, sizeof sa);
}

START_TEST(test_trusted)
{
    struct address_set set;
    const char *const sources[] = {"1", "2", "3"};
    size_t count = 0;
    while (trusted[_i].texts[count])
        count++;
    ck_assert_int_eq(address_set_init(&set, sources, trusted[_i].texts, count), 0);
    ck_assert_int_eq(has(&set, AF_INET, "192.0.2.7"), trusted[_i].v4);
    ck_assert_int_eq(has(&set, AF_INET6, "::ffff:192.0.2.7"), trusted[_i].mapped);
    ck_assert_int_eq(has(&set, AF_INET6, "2001:db8::7"), trusted[_i].v6);
    ck_assert_int_eq(has(&set, AF_UNIX, NULL), trusted[_i].unix_peer);
    address_set_fini(&set);
}
END_TEST

START_TEST(test_trusted_wrong)
{
    struct address_set set;
    const char *const texts[] = {"192.0.2.1", "host"};
    const char *const sources[] = {"--forwarded-allow", "/etc/shop.ini:7: forwarded-allow"};
    char output[1024];
    FILE *captured = tmpfile();
    int saved = dup(STDERR_FILENO);
    dup2(fileno(captured), STDERR_FILENO);
    int status = address_set_init(&set, sources, texts, 2);
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(captured);
    output[fread(output, 1, sizeof output - 1, captured)] = '\0';
    fclose(captured);
    address_set_fini(&set);
    ck_assert_int_eq(status, EX_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "/etc/shop.ini:7: forwarded-allow: \"host\" is not an IP address"));
    ck_assert_ptr_eq(strchr(output, '\n'), output + strlen(output) - 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("address_set");
    TCase *tc = tcase_create("address_set");
    tcase_add_loop_test(tc, test_trusted, 0, COUNT(trusted));
    tcase_add_test(tc, test_trusted_wrong);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
