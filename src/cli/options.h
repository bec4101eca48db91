/* The command line: one table describes every option, and the parser, --help and the man page check all follow it.
 *
 * Memory: strings point into argv or the environment, which must stay as they are; only the lists are allocated.
 * Threads: called once, by the main thread, before Python is started.
 */
#ifndef WSGI_FCGI_CLI_OPTIONS_H
#define WSGI_FCGI_CLI_OPTIONS_H

#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The values of an option that may be given several times, in the order given. */
struct options_list {
    const char **items;
    size_t count;
};

enum { OPTIONS_MAX = 64 };

struct options {
    /* MODULE:CALLABLE as given; NULL only together with `version`. */
    const char *application;
    const char *chdir;              /* NULL: stay in the current directory */
    struct options_list pythonpath; /* each with colons between several directories, perhaps */
    const char *venv;               /* --venv, else VIRTUAL_ENV, else NULL */
    const char *script_name;        /* "" or "/prefix" without a slash at its end; never NULL */
    bool stream_body;               /* call the application before the body of a request is there */
    bool check;

    struct options_list sockets; /* empty: descriptor 0 is the listening socket */
    unsigned socket_mode;        /* permission bits, at most 0777 */
    const char *socket_owner;    /* name or number, or NULL */
    const char *socket_group;    /* name or number, or NULL */
    unsigned backlog;
    struct options_list allow;     /* addresses; empty: the default */
    struct options_list allow_uid; /* names or numbers of users */
    struct options_list allow_gid; /* names or numbers of groups */

    struct options_list forwarded_allow;
    unsigned forwarded_fields; /* one of OPTION_FIELDS_* of cli/value.h */

    struct options_list http;  /* addresses */
    const char *server_header; /* NULL: none */
    bool proxy_protocol;
    uint64_t min_body_rate; /* bytes per second; 0: any */

    unsigned threads;
    unsigned queue_limit; /* requests that may wait for a thread, at least 1 */
    double queue_timeout; /* seconds, above 0 */
    bool drop_abandoned;
    uint64_t limit_request_body; /* bytes; 0: no limit */
    uint64_t limit_params;       /* bytes of all parameters of a request */
    unsigned limit_param_count;
    uint64_t body_memory;        /* bytes of a request's body kept in memory */
    const char *spool_dir;       /* --spool-dir, else TMPDIR, else "/tmp"; never NULL */
    double idle_timeout;         /* seconds; 0: none */
    double header_timeout;       /* seconds; 0: none */
    unsigned max_connections;    /* 0: from the limit of open files */
    unsigned keepalive_requests; /* 0: no limit */
    double graceful_timeout;     /* seconds; 0: running requests are not waited for */

    enum log_level log_level;
    unsigned app_stderr; /* OPTION_STDERR_LOG and OPTION_STDERR_FASTCGI of cli/value.h */

    uint64_t given; /* which rows of the table were given on the command line another value than their default */

    bool version; /* the caller prints the version (it needs Python for that) and ends */
};

/* Fills *o from the command line, the environment and the defaults.
 * Returns -1 when the program shall go on; otherwise the exit status with which it ends: 0 after --help was printed on
 * standard output, EX_USAGE after one line was printed on standard error, EX_OSERR when memory ran out or standard
 * output could not be written. The caller calls options_fini in every case. argv is permuted (operands go last). */
int options_parse(struct options *o, int argc, char **argv);

/* Logs a warning about each option that was given and has no effect. `have` has the bit 1 << OPTION_NEEDS_* for all that
 * is there. */
void options_warn(const struct options *o, unsigned have);

/* Frees the lists. The struct must have gone through options_parse. */
void options_fini(struct options *o);

#endif
