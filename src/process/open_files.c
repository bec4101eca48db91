#include "config.h"

#include "process/open_files.h"

#include "base/fdtable.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

enum { CONNECTIONS_MAX = 65535 /* unless --max-connections says more */ };

/* The usual soft limit, 1,024, exists for programs that use select(2), and a single client can open as many
 * connections. It is raised no further than connections need: in containers the hard limit may be a thousand million,
 * and programs that the application starts inherit the limit; some of them close all descriptors up to it. */
static void raise_limit(const struct options *o) {
    rlim_t connections = o->max_connections > CONNECTIONS_MAX ? o->max_connections : CONNECTIONS_MAX;
    rlim_t wanted = connections / 3 * 4 + 4;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted || limit.rlim_cur >= limit.rlim_max)
        return;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        log_debug("cannot raise the limit of open files above %llu: %s", (unsigned long long)before, strerror(errno));
    else
        log_debug("the limit of open files is %llu now, instead of %llu", (unsigned long long)limit.rlim_cur,
                  (unsigned long long)before);
}

/* By default, three quarters of the descriptors are for connections, and the rest for the application's own files and
 * connections. */
unsigned open_files_connections(const struct options *o) {
    struct rlimit limit;
    if (o->max_connections)
        return o->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 4 * 3 > CONNECTIONS_MAX)
        return CONNECTIONS_MAX;
    return limit.rlim_cur < 8 ? 1 : (unsigned)(limit.rlim_cur / 4 * 3);
}

void open_files_raise(const struct options *o) {
    raise_limit(o);
    fdtable_prepare(open_files_connections(o));
}
