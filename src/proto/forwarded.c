#include "config.h"

#include "proto/forwarded.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

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

/* Takes what stands in front of the next `separator` outside of quotes off *rest (RFC 7239, 4: quoted-string). */
static struct slice take(struct slice *rest, char separator) {
    bool quoted = false;
    size_t n = 0;
    for (; n < rest->n && (quoted || rest->p[n] != separator); n++) {
        if (quoted && rest->p[n] == '\\' && n + 1 < rest->n)
            n++;
        else if (rest->p[n] == '"')
            quoted = !quoted;
    }
    struct slice item = {rest->p, n};
    size_t used = n + (n < rest->n);
    rest->p += used;
    rest->n -= used;
    return trim(item);
}

void forwarded_append(struct forwarded_list *list, struct slice value) {
    while (value.n) {
        struct slice item = take(&value, ',');
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
    while (element.n) {
        struct slice pair = take(&element, ';');
        if (pair.n <= n || pair.p[n] != '=' || strncasecmp(pair.p, name, n) != 0)
            continue;
        struct slice value = unquote((struct slice){pair.p + n + 1, pair.n - n - 1});
        return value.n && memchr(value.p, '\\', value.n) ? EMPTY : value;
    }
    return EMPTY;
}
