#include "config.h"

#include "proto/forwarded.h"

#include "base/ascii.h"

#include <arpa/inet.h>
#include <string.h>

#define EMPTY ((struct slice){"", 0})

static struct slice trim(struct slice s) {
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

/* Where the quoted string that begins at s.p[n] ends (RFC 7239, 4), or 0: a quote that nothing closes is a character like
 * any other, or else what a client sends could swallow what a proxy has written behind it. */
static size_t quoted_end(struct slice s, size_t n) {
    while (++n < s.n && s.p[n] != '"') {
        if (s.p[n] == '\\')
            n++;
    }
    return n < s.n ? n : 0;
}

/* Takes what stands in front of the next `separator`, with *quotes outside of quoted strings, off *rest. Behind a quote
 * that nothing closes no other one is closed either: *quotes becomes false, so that nothing is looked at twice. */
static struct slice take(struct slice *rest, char separator, bool *quotes) {
    size_t n = 0;
    for (; n < rest->n && rest->p[n] != separator; n++) {
        if (!*quotes || rest->p[n] != '"')
            continue;
        size_t end = quoted_end(*rest, n);
        *quotes = end > 0;
        if (end)
            n = end;
    }
    struct slice item = {rest->p, n};
    size_t used = n + (n < rest->n);
    rest->p += used;
    rest->n -= used;
    return trim(item);
}

void forwarded_append(struct forwarded_list *list, struct slice value, bool quotes) {
    while (value.n) {
        struct slice item = take(&value, ',', &quotes);
        if (!item.n)
            continue; /* RFC 9110, 5.6.1: empty elements do not count */
        if (list->count == FORWARDED_HOPS) {
            memmove(list->items, list->items + 1, sizeof list->items - sizeof *list->items);
            list->count--;
        }
        list->items[list->count++] = item;
    }
}

static bool take_port(struct slice text, in_port_t *port) {
    unsigned number = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || number > 65535)
            return false;
        number = number * 10 + (unsigned)(text.p[i] - '0');
    }
    *port = htons((uint16_t)number);
    return text.n && number <= 65535;
}

static struct slice unquote(struct slice s) {
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        return (struct slice){s.p + 1, s.n - 2};
    return s;
}

bool forwarded_address(struct slice text, union peer_address *address) {
    char name[INET6_ADDRSTRLEN];
    struct slice host = unquote(text), port = EMPTY;
    const char *close = host.n && host.p[0] == '[' ? memchr(host.p, ']', host.n) : NULL;
    const char *colon = host.n ? memchr(host.p, ':', host.n) : NULL, *end = host.p + host.n;
    bool v6 = close || (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)));
    *address = (union peer_address){0};
    if (close) {
        if (close + 1 < end && (close[1] != ':' || close + 2 == end))
            return false;
        port = close + 1 < end ? (struct slice){close + 2, (size_t)(end - close - 2)} : EMPTY;
        host = (struct slice){host.p + 1, (size_t)(close - host.p) - 1};
    } else if (colon && !v6) {
        port = (struct slice){colon + 1, (size_t)(end - colon) - 1};
        host.n = (size_t)(colon - host.p);
        if (!port.n)
            return false;
    }
    if (!host.n || host.n >= sizeof name ||
        (port.n && !take_port(port, v6 ? &address->in6.sin6_port : &address->in.sin_port)))
        return false;
    memcpy(name, host.p, host.n);
    name[host.n] = '\0';
    address->sa.sa_family = v6 ? AF_INET6 : AF_INET;
    return inet_pton(address->sa.sa_family, name,
                     v6 ? (void *)&address->in6.sin6_addr : (void *)&address->in.sin_addr) == 1;
}

struct slice forwarded_parameter(struct slice element, const char *name) {
    size_t n = strlen(name);
    bool quotes = true;
    while (element.n) {
        struct slice pair = take(&element, ';', &quotes);
        if (pair.n <= n || pair.p[n] != '=' || !ascii_equals_nocase(pair.p, name, n))
            continue;
        struct slice value = unquote((struct slice){pair.p + n + 1, pair.n - n - 1});
        return value.n && memchr(value.p, '\\', value.n) ? EMPTY : value;
    }
    return EMPTY;
}
