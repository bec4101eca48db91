#include "config.h"

#include "load-base.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sysexits.h>
#include <time.h>

_Noreturn void fail(int status, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(status);
}

void *allocate(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (!p)
        fail(EX_OSERR, "out of memory");
    return p;
}

uint64_t clock_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

long parse_count(const char *what, const char *text, long min, long max) {
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < min || value > max)
        fail(EX_USAGE, "%s: \"%s\" is not a number from %ld to %ld", what, text, min, max);
    return value;
}

void raise_file_limit(void) {
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

void address_parse(const char *text, struct sockaddr_storage *address, socklen_t *length) {
    if (*text == '/' || *text == '@') {
        struct sockaddr_un *u = (struct sockaddr_un *)address;
        size_t n = strlen(text);
        if (n >= sizeof u->sun_path)
            fail(EX_USAGE, "%s: longer than a Unix socket's address can be", text);
        u->sun_family = AF_UNIX;
        memcpy(u->sun_path, text, n);
        if (*text == '@')
            u->sun_path[0] = 0;
        *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (*text == '/'));
        return;
    }
    char *host = strdup(text);
    char *port = host ? strrchr(host, ':') : NULL;
    if (!port)
        fail(EX_USAGE, "%s: neither /path, @abstract nor host:port", text);
    *port++ = 0;
    char *name = host;
    if (*name == '[' && port[-2] == ']') {
        port[-2] = 0;
        name++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(name, port, &hints, &found);
    if (error)
        fail(EX_NOHOST, "%s: %s", text, gai_strerror(error));
    memcpy(address, found->ai_addr, found->ai_addrlen);
    *length = found->ai_addrlen;
    freeaddrinfo(found);
    free(host);
}
