#include "config.h"

#include "net/listen/address.h"

#include "base/ascii.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sysexits.h>

#define UNIX_PATH_MAX sizeof(((struct sockaddr_un *)NULL)->sun_path)
#define UNIX_HEADER offsetof(struct sockaddr_un, sun_path)
#define DIGITS "0123456789"
#define FORMS "/path, ./path, name.sock, unix:path, @name, port, :port, *:port, host:port, [::1]:port and fd:N"

enum { SHOWN_SIZE = 100 };

static int refuse(char *reason, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(char *reason, int status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason, ADDRESS_REASON_SIZE, format, ap);
    va_end(ap);
    return status;
}

/* All addresses are created here, so that the caller gets an array to free whatever the kind. */
static struct address *new_addresses(size_t count, char *reason, int *status) {
    struct address *list = calloc(count, sizeof(*list));
    if (!list)
        *status = refuse(reason, EX_OSERR, "out of memory");
    for (size_t i = 0; list && i < count; i++)
        list[i].fd = -1;
    return list;
}

static int parse_unix(const char *path, bool abstract, struct address **list, char *reason) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (!len)
        return refuse(reason, EX_USAGE, "the %s is empty", abstract ? "name behind the @" : "path");
    /* A path needs its terminating zero inside sun_path, an abstract name a zero in front of it: unix(7). */
    if (len > UNIX_PATH_MAX - 1)
        return refuse(reason, EX_USAGE,
                      "%zu bytes are too long for a Unix socket, the limit is %zu: choose a shorter %s", len,
                      UNIX_PATH_MAX - 1, abstract ? "name" : "path (a relative one becomes absolute with --chdir)");
    int status = 0;
    struct address *a = new_addresses(1, reason, &status);
    if (!a)
        return status;
    memcpy(sun.sun_path + abstract, path, len);
    a->kind = abstract ? ADDRESS_ABSTRACT : ADDRESS_UNIX;
    a->len = (socklen_t)(UNIX_HEADER + len + 1);
    memcpy(&a->sa, &sun, sizeof(sun));
    *list = a;
    return 0;
}

/* Reads a number of at most `max`, digits only. Returns -1 when it is none. */
static long read_number(const char *text, long max) {
    uint64_t n;
    return ascii_is_number(text, (uint64_t)max, &n) ? (long)n : -1;
}

static int parse_fd(const char *number, struct address **list, char *reason) {
    long fd = read_number(number, INT_MAX);
    if (fd < 0)
        return refuse(reason, EX_USAGE, "a descriptor is written fd:N, N being its number");
    int status = 0;
    struct address *a = new_addresses(1, reason, &status);
    if (!a)
        return status;
    a->kind = ADDRESS_FD;
    a->fd = (int)fd;
    *list = a;
    return 0;
}

static int parse_any(long port, struct address **list, char *reason) {
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_any};
    int status = 0;
    struct address *a = new_addresses(1, reason, &status);
    if (!a)
        return status;
    a->kind = ADDRESS_TCP;
    a->any = true;
    a->len = sizeof(sin6);
    memcpy(&a->sa, &sin6, sizeof(sin6));
    *list = a;
    return 0;
}

static int refuse_host(int error, const char *host, char *reason) {
    char shown[SHOWN_SIZE];
    log_escape(shown, sizeof(shown), host, strlen(host));
    switch (error) {
    case EAI_MEMORY:
    case EAI_SYSTEM:
        return refuse(reason, EX_OSERR, "looking up %s failed: %s", shown,
                      error == EAI_SYSTEM ? strerror(errno) : "out of memory");
    case EAI_AGAIN:
        return refuse(reason, EX_TEMPFAIL, "looking up %s failed for the moment: %s", shown, gai_strerror(error));
    default:
        return refuse(reason, EX_NOHOST, "host %s is unknown: %s", shown, gai_strerror(error));
    }
}

/* getaddrinfo lists an address twice when /etc/hosts does: the second bind would fail. */
static bool is_known(const struct address *list, size_t count, const struct addrinfo *ai) {
    for (size_t i = 0; i < count; i++)
        if (list[i].len == ai->ai_addrlen && memcmp(&list[i].sa, ai->ai_addr, ai->ai_addrlen) == 0)
            return true;
    return false;
}

static int parse_host(const char *host, int family, const char *port, struct address **list, size_t *count,
                      char *reason) {
    struct addrinfo hints = {.ai_family = family,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV | (family == AF_INET6 ? AI_NUMERICHOST : 0)};
    struct addrinfo *found = NULL;
    size_t n = 0;
    int error = getaddrinfo(host, port, &hints, &found);
    if (family == AF_INET6 && (error == EAI_NONAME || error == EAI_ADDRFAMILY))
        return refuse(reason, EX_USAGE, "between [ and ] there has to be an IPv6 address");
    if (error)
        return refuse_host(error, host, reason);
    for (const struct addrinfo *ai = found; ai; ai = ai->ai_next)
        n++;
    int status = 0;
    struct address *a = new_addresses(n, reason, &status);
    n = 0;
    for (const struct addrinfo *ai = found; a && ai; ai = ai->ai_next) {
        if (ai->ai_addrlen > sizeof(a->sa) || is_known(a, n, ai))
            continue;
        a[n].kind = ADDRESS_TCP;
        a[n].len = ai->ai_addrlen;
        memcpy(&a[n++].sa, ai->ai_addr, ai->ai_addrlen);
    }
    freeaddrinfo(found);
    *list = a;
    *count = n;
    return status;
}

/* A single word may mean a file name or a host name. */
static int refuse_word(const char *word, char *reason) {
    char shown[SHOWN_SIZE];
    if (!*word)
        return refuse(reason, EX_USAGE, "it is none of " FORMS);
    log_escape(shown, sizeof(shown), word, strlen(word));
    return refuse(reason, EX_USAGE, "write ./%s for a Unix socket, %s:PORT for TCP; the forms are " FORMS, shown,
                  shown);
}

static int parse_tcp(const char *text, struct address **list, size_t *count, char *reason) {
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';
    char host[256], shown[SHOWN_SIZE];
    if (text[0] == '[' && text[strlen(text) - 1] == ']')
        return refuse(reason, EX_USAGE, "the port is missing: write %s:PORT",
                      log_escape(shown, sizeof(shown), text, strlen(text)));
    if (!colon)
        return refuse_word(text, reason);
    if (read_number(colon + 1, 65535) < 0)
        return refuse(reason, EX_USAGE, "the port has to be a number from 0 to 65535");
    if (!len || (len == 1 && text[0] == '*'))
        return parse_any(read_number(colon + 1, 65535), list, reason);
    if (bracketed) {
        text++;
        len -= 2;
    } else if (memchr(text, ':', len)) {
        return refuse(reason, EX_USAGE,
                      "host:port has one colon, and an IPv6 address is written in brackets: [::1]:port");
    }
    if (!len || len >= sizeof(host))
        return refuse(reason, EX_USAGE, "the host name is %s", len ? "too long" : "empty");
    memcpy(host, text, len);
    host[len] = '\0';
    return parse_host(host, bracketed ? AF_INET6 : AF_UNSPEC, colon + 1, list, count, reason);
}

static int parse_port(const char *port, struct address **list, size_t *count, char *reason) {
    if (read_number(port, 65535) < 0)
        return refuse(reason, EX_USAGE, "the port has to be a number from 0 to 65535");
    return parse_host("127.0.0.1", AF_INET, port, list, count, reason);
}

/* The length of `text` without a colon and a number at its end. */
static size_t len_without_number(const char *text) {
    const char *colon = strrchr(text, ':');
    bool has_number = colon && colon[1] && !colon[1 + strspn(colon + 1, DIGITS)];
    return has_number ? (size_t)(colon - text) : strlen(text);
}

static bool ends_in_sock(const char *text, size_t len) {
    return len >= 5 && memcmp(text + len - 5, ".sock", 5) == 0;
}

/* A number after "app.sock" is not a port, and not the mode of the file, which some programs accept there. */
static int parse_path(const char *path, struct address **list, char *reason) {
    char shown[SHOWN_SIZE];
    size_t len = len_without_number(path);
    const char *number = path[len] ? path + len + 1 : "";
    if (!*number || !ends_in_sock(path, len))
        return parse_unix(path, false, list, reason);
    log_escape(shown, sizeof(shown), path, len);
    if (strlen(number) <= 4 && !number[strspn(number, "01234567")])
        return refuse(reason, EX_USAGE, "write %s, with --socket-mode %s", shown, number);
    return refuse(reason, EX_USAGE, "a Unix socket has no port: write %s", shown);
}

/* What follows the scheme of a URL, or NULL if `text` is not a URL. */
static const char *behind_scheme(const char *text) {
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz");
    return strncmp(text + len, "://", 3) == 0 ? text + len + 3 : NULL;
}

static int refuse_url(const char *text, const char *rest, char *reason) {
    char shown[SHOWN_SIZE];
    const bool is_unix = strncmp(text, "unix:", 5) == 0;
    size_t len = is_unix ? strlen(rest) : strcspn(rest, "/");
    if (!len)
        return refuse_word("", reason);
    log_escape(shown, sizeof(shown), rest, len);
    if (is_unix) /* for some programs it is a relative path, for others an absolute one */
        return refuse(reason, EX_USAGE, "write unix:%s, or unix:/%s for an absolute path", shown, shown);
    return refuse(reason, EX_USAGE, "it is a URL%s: write %s%s",
                  strncmp(text, "https:", 6) == 0 ? ", and TLS is for a proxy in front" : "",
                  strncmp(text, "http", 4) == 0 ? "--http " : "", shown);
}

const char *address_path(const char *text) {
    if (strncmp(text, "unix:", 5) == 0 && (strncmp(text + 5, "//", 2) != 0 || text[7] == '/'))
        return text + 5;
    if (text[0] == '@' || strncmp(text, "fd:", 3) == 0 || behind_scheme(text))
        return NULL;
    return strchr(text, '/') || ends_in_sock(text, len_without_number(text)) ? text : NULL;
}

int address_parse(const char *text, struct address **list, size_t *count, char reason[static ADDRESS_REASON_SIZE]) {
    *list = NULL;
    *count = 0;
    const char *path = address_path(text), *url = behind_scheme(text);
    int status;
    if (path)
        status = parse_path(path, list, reason);
    else if (text[0] == '@')
        status = parse_unix(text + 1, true, list, reason);
    else if (strncmp(text, "fd:", 3) == 0)
        status = parse_fd(text + 3, list, reason);
    else if (url)
        status = refuse_url(text, url, reason);
    else if (text[0] && !text[strspn(text, DIGITS)])
        status = parse_port(text, list, count, reason);
    else
        status = parse_tcp(text, list, count, reason);
    if (*list && !*count)
        *count = 1;
    return status;
}

int address_read(const char *source, const char *text, struct address **list, size_t *count) {
    char reason[ADDRESS_REASON_SIZE];
    int status = address_parse(text, list, count, reason);
    if (status)
        log_error("%s %s: %s", source, text, reason);
    return status;
}

static const char *format_unix(const struct sockaddr *sa, socklen_t len, char *out) {
    struct sockaddr_un sun = {0};
    memcpy(&sun, sa, len < sizeof(sun) ? len : sizeof(sun));
    size_t size = len > UNIX_HEADER ? len - UNIX_HEADER : 0;
    if (size > UNIX_PATH_MAX)
        size = UNIX_PATH_MAX;
    if (!size || (size == 1 && !sun.sun_path[0])) {
        snprintf(out, ADDRESS_TEXT_SIZE, "unnamed Unix socket");
    } else if (sun.sun_path[0]) {
        log_escape(out, ADDRESS_TEXT_SIZE, sun.sun_path, strnlen(sun.sun_path, size));
    } else {
        out[0] = '@';
        log_escape(out + 1, ADDRESS_TEXT_SIZE - 1, sun.sun_path + 1, size - 1);
    }
    return out;
}

const char *address_format(const struct sockaddr *sa, socklen_t len, char out[static ADDRESS_TEXT_SIZE]) {
    char host[INET6_ADDRSTRLEN];
    struct sockaddr_in sin;
    struct sockaddr_in6 sin6;
    if (len < offsetof(struct sockaddr, sa_data) || sa->sa_family == AF_UNIX)
        return format_unix(sa, len, out);
    if (sa->sa_family == AF_INET && len >= sizeof(sin)) {
        memcpy(&sin, sa, sizeof(sin));
        inet_ntop(AF_INET, &sin.sin_addr, host, sizeof(host));
        snprintf(out, ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(sin.sin_port));
    } else if (sa->sa_family == AF_INET6 && len >= sizeof(sin6)) {
        memcpy(&sin6, sa, sizeof(sin6));
        /* RFC 4291, 2.5.5.2: an IPv4 peer of a socket that takes both. */
        const bool mapped = IN6_IS_ADDR_V4MAPPED(&sin6.sin6_addr);
        inet_ntop(mapped ? AF_INET : AF_INET6, sin6.sin6_addr.s6_addr + (mapped ? 12 : 0), host, sizeof(host));
        snprintf(out, ADDRESS_TEXT_SIZE, mapped ? "%s:%u" : "[%s]:%u", host, ntohs(sin6.sin6_port));
    } else {
        snprintf(out, ADDRESS_TEXT_SIZE, "socket of address family %d", sa->sa_family);
    }
    return out;
}

size_t address_identity(const struct sockaddr *sa, socklen_t len, uint8_t out[static ADDRESS_IDENTITY_SIZE]) {
    struct sockaddr_in sin;
    struct sockaddr_in6 sin6;
    if (len >= sizeof sin && sa->sa_family == AF_INET) {
        memcpy(&sin, sa, sizeof sin);
        memcpy(out, &sin.sin_addr, 4);
        return 4;
    }
    if (len < sizeof sin6 || sa->sa_family != AF_INET6)
        return 0;
    memcpy(&sin6, sa, sizeof sin6);
    bool mapped = IN6_IS_ADDR_V4MAPPED(&sin6.sin6_addr);
    memcpy(out, &sin6.sin6_addr.s6_addr[mapped ? 12 : 0], mapped ? 4 : 8);
    return mapped ? 4 : 8;
}
