#include "config.h"

#include "net/listen/address_set.h"

#include "base/ascii.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum {
    SHOWN_SIZE = 100,
    MAPPED_BITS = 96 /* of ::ffff:0:0/96, the IPv4 addresses in IPv6 form (RFC 4291, 2.5.5.2) */
};
#define NET_TEXT_SIZE (INET6_ADDRSTRLEN + sizeof "/128")

static unsigned family_bits(sa_family_t family) {
    return family == AF_INET ? 32 : 128;
}

/* Clears the bits of `addr` beyond the first `len`. Returns whether one of them was set. */
static bool clear_beyond(uint8_t addr[static 16], unsigned len) {
    bool was_set = false;
    for (unsigned i = len / 8; i < 16; i++) {
        uint8_t keep = i > len / 8 ? 0 : (uint8_t)(0xff00u >> len % 8);
        was_set |= (addr[i] & ~keep) != 0;
        addr[i] &= keep;
    }
    return was_set;
}

static void unmap(struct address_net *net) {
    if (net->family != AF_INET6 || net->len < MAPPED_BITS || !IN6_IS_ADDR_V4MAPPED((const void *)net->addr))
        return;
    memmove(net->addr, net->addr + MAPPED_BITS / 8, 4);
    memset(net->addr + 4, 0, sizeof net->addr - 4);
    net->family = AF_INET;
    net->len -= MAPPED_BITS;
}

/* Reads a peer's address into *net, with all of its bits. Returns false when it is not one of IPv4 or IPv6. */
static bool read_peer(struct address_net *net, const struct sockaddr *sa, socklen_t len) {
    struct sockaddr_in sin;
    struct sockaddr_in6 sin6;
    *net = (struct address_net){0};
    if (len >= sizeof sin && sa->sa_family == AF_INET) {
        memcpy(&sin, sa, sizeof sin);
        memcpy(net->addr, &sin.sin_addr, sizeof sin.sin_addr);
    } else if (len >= sizeof sin6 && sa->sa_family == AF_INET6) {
        memcpy(&sin6, sa, sizeof sin6);
        memcpy(net->addr, &sin6.sin6_addr, sizeof sin6.sin6_addr);
    } else {
        return false;
    }
    net->family = sa->sa_family;
    net->len = family_bits(net->family);
    unmap(net);
    return true;
}

static bool net_has(const struct address_net *net, const struct address_net *peer) {
    if (net->family != peer->family)
        return false;
    struct address_net cut = *peer;
    clear_beyond(cut.addr, net->len);
    return !memcmp(cut.addr, net->addr, sizeof cut.addr);
}

bool address_set_has(const struct address_set *set, const struct sockaddr *sa, socklen_t len) {
    struct address_net peer;
    if (sa->sa_family == AF_UNIX)
        return set->unix_peers;
    if (set->any)
        return true;
    if (!set->nnets || !read_peer(&peer, sa, len))
        return false;
    for (size_t i = 0; i < set->nnets; i++)
        if (net_has(&set->nets[i], &peer))
            return true;
    return false;
}

bool address_is_loopback(const struct sockaddr *sa, socklen_t len) {
    static const struct address_net nets[] = {{AF_INET, 8, {127}}, {AF_INET6, 128, {[15] = 1}}};
    struct address_net peer;
    return read_peer(&peer, sa, len) && (net_has(&nets[0], &peer) || net_has(&nets[1], &peer));
}

/* Reads the number behind `slash`; NULL: `max`. Returns false when it is no number of at most `max`. */
static bool read_len(const char *slash, unsigned max, unsigned *len) {
    *len = max;
    if (!slash)
        return true;
    uint64_t n;
    if (strlen(slash + 1) > 3 || !ascii_is_number(slash + 1, max, &n))
        return false;
    *len = (unsigned)n;
    return true;
}

static const char *format_net(const struct address_net *net, char out[static NET_TEXT_SIZE]) {
    char addr[INET6_ADDRSTRLEN];
    inet_ntop(net->family, net->addr, addr, sizeof addr);
    snprintf(out, NET_TEXT_SIZE, "%s/%u", addr, net->len);
    return out;
}

static int refuse_net(const char *source, const char *text, const char *complaint, const char *advice) {
    char shown[SHOWN_SIZE];
    log_error("%s: \"%s\" %s: write %s", source, log_escape(shown, sizeof shown, text, strlen(text)), complaint,
              advice);
    return EX_USAGE;
}

static int parse_net(const char *source, const char *text, struct address_net *net) {
    char addr[INET6_ADDRSTRLEN], complaint[64], advice[NET_TEXT_SIZE + INET6_ADDRSTRLEN + 32];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (text[0] == '[')
        return refuse_net(source, text, "has brackets", "the address without them");
    snprintf(addr, sizeof addr, "%.*s", (int)len, text);
    *net = (struct address_net){.family = strchr(addr, ':') ? AF_INET6 : AF_INET};
    if (len >= sizeof addr || inet_pton(net->family, addr, net->addr) != 1)
        return refuse_net(source, text, "is not an IP address",
                          "one such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32, or any for everybody");
    if (!read_len(slash, family_bits(net->family), &net->len)) {
        snprintf(advice, sizeof advice, "a number of bits from 0 to %u behind the slash", family_bits(net->family));
        return refuse_net(source, text, "has a wrong length", advice);
    }
    if (clear_beyond(net->addr, net->len)) {
        char whole[NET_TEXT_SIZE];
        snprintf(complaint, sizeof complaint, "has bits set behind the first %u", net->len);
        snprintf(advice, sizeof advice, "%s for the network, or %s for one peer", format_net(net, whole), addr);
        return refuse_net(source, text, complaint, advice);
    }
    unmap(net);
    return 0;
}

int address_set_add(struct address_set *set, const char *source, const char *text) {
    struct address_net net;
    if (!strcmp(text, "any")) {
        set->any = true;
        return 0;
    }
    int status = parse_net(source, text, &net);
    if (status)
        return status;
    struct address_net *nets = realloc(set->nets, (set->nnets + 1) * sizeof *nets);
    if (!nets) {
        log_error("out of memory");
        return EX_OSERR;
    }
    nets[set->nnets++] = net;
    set->nets = nets;
    return 0;
}

int address_set_init(struct address_set *set, const char *const *sources, const char *const *texts, size_t count) {
    int status = 0;
    *set = (struct address_set){0};
    for (size_t i = 0; i < count && !status; i++) {
        if (!strcmp(texts[i], "unix"))
            set->unix_peers = true;
        else
            status = address_set_add(set, sources[i], texts[i]);
    }
    return status;
}

void address_set_fini(struct address_set *set) {
    free(set->nets);
    *set = (struct address_set){0};
}
