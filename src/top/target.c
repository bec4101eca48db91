#include "config.h"

#include "top/target.h"

#include "base/ascii.h"

#include <string.h>

static bool copy(char *to, size_t size, const char *from, size_t n) {
    if (n >= size)
        return false;
    memcpy(to, from, n);
    to[n] = '\0';
    return true;
}

static bool begins(const char **text, const char *with) {
    size_t n = strlen(with);
    if (strncmp(*text, with, n) != 0)
        return false;
    *text += n;
    return true;
}

const char *target_check_path(const char *path) {
    if (*path != '/')
        return "a path has to begin with a slash, as that of --status-path";
    for (const char *p = path; *p; p++) {
        if (*p <= ' ' || *p >= 0x7f || *p == '?' || *p == '#')
            return "a path has neither blanks, ?, # nor other characters than ASCII";
    }
    return strlen(path) < TARGET_PATH ? NULL : "the path is too long";
}

static const char *set_path(struct target *t, const char *path) {
    const char *problem = target_check_path(path);
    if (!problem)
        (void)copy(t->path, sizeof t->path, path, strlen(path));
    t->guessed = false;
    return problem;
}

static const char *set_socket(struct target *t, const char *path, size_t n) {
    if (!n)
        return "it names no socket";
    return copy(t->socket, sizeof t->socket, path, n) ? NULL : "the path of a Unix socket has 107 bytes at most";
}

static const char *set_port(struct target *t, const char *port, size_t n) {
    uint64_t number;
    if (!copy(t->port, sizeof t->port, port, n) || !ascii_is_number(t->port, 65535, &number) || !number)
        return "a port is a number from 1 to 65535";
    return NULL;
}

/* HOST:PORT, [V6]:PORT or :PORT, which is the local host. */
static const char *set_tcp(struct target *t, const char *text, size_t n) {
    const char *end = text + n, *colon = memrchr(text, ':', n);
    if (!colon)
        return "it names no port: write HOST:PORT, or the path of a Unix socket with a slash in it";
    if (*text == '[') {
        if (colon == text || colon[-1] != ']')
            return "an address of IPv6 is written [ADDRESS]:PORT";
        if (!copy(t->host, sizeof t->host, text + 1, (size_t)(colon - text) - 2))
            return "the host is too long";
    } else if (memchr(text, ':', (size_t)(colon - text)))
        return "an address of IPv6 is written [ADDRESS]:PORT";
    else if (colon == text)
        strcpy(t->host, "localhost");
    else if (!copy(t->host, sizeof t->host, text, (size_t)(colon - text)))
        return "the host is too long";
    return set_port(t, colon + 1, (size_t)(end - colon) - 1);
}

/* What follows "http://" or "fcgi://": a socket and perhaps ?path=, or a host and perhaps a path. */
static const char *set_url(struct target *t, const char *rest) {
    const char *query = strchr(rest, '?'), *slash = strchr(rest, '/');
    const char *problem;
    if (*rest == '/') {
        problem = set_socket(t, rest, query ? (size_t)(query - rest) : strlen(rest));
        if (problem || !query)
            return problem;
        query++;
        if (!begins(&query, "path="))
            return "behind a socket only ?path=/... is known";
        return set_path(t, query);
    }
    problem = set_tcp(t, rest, slash ? (size_t)(slash - rest) : strlen(rest));
    return problem || !slash ? problem : set_path(t, slash);
}

const char *target_parse(struct target *t, const char *text, const char *path) {
    *t = (struct target){.protocol = TARGET_UNKNOWN};
    const char *problem = set_path(t, path ? path : TARGET_DEFAULT_PATH);
    if (problem)
        return problem;
    t->guessed = !path;
    if (begins(&text, "https://"))
        return "https is not spoken here: name the server's own socket, not a proxy in front of it";
    if (begins(&text, "http://")) {
        t->protocol = TARGET_HTTP;
        return set_url(t, text);
    }
    if (begins(&text, "fcgi://") || begins(&text, "fastcgi://")) {
        t->protocol = TARGET_FASTCGI;
        return set_url(t, text);
    }
    if (begins(&text, "unix:") || strchr(text, '/'))
        return set_socket(t, text, strlen(text));
    return set_tcp(t, text, strlen(text));
}
