/* The values of all options. They are set in three steps: options_init takes the defaults, options_set (called by
 * cli/configuration.h) takes what the user gives, and options_resolve completes them. After that they are constant.
 *
 * Ownership: strings belong to the struct, or point into what has given them, which must stay unchanged. Threads: the
 * main thread until options_resolve, before Python is started; then any.
 */
#ifndef WSGI_FCGI_CLI_OPTIONS_H
#define WSGI_FCGI_CLI_OPTIONS_H

#include "base/log.h"
#include "cli/config_file.h"
#include "cli/option_table.h"
#include "cli/settings.h"
#include "cli/value.h"
#include "proto/forwarded.h"
#include "proto/request_id.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OPTIONS_WORKERS_MAX = 128,         /* half of the slots of ipc/scoreboard.h: each worker may have a replacement */
    OPTIONS_WORKERS_AUTO = 0x7fffffff, /* as many as there are processors */
};

/* The values of an option that may be given several times, in the order given. */
struct options_list {
    const char **items;
    size_t count;
};

struct options {
    const char *config_path; /* --config, else WSGI_FCGI_CONFIG, else NULL */
    bool print_config;

    /* MODULE:CALLABLE as given; NULL only together with `version`. */
    const char *application;
    const char *chdir;              /* NULL: stay in the current directory */
    struct options_list pythonpath; /* directories; before options_resolve perhaps several in an item, with colons */
    const char *venv;               /* --venv, else VIRTUAL_ENV, else NULL */
    bool venv_from_env;             /* it is that of VIRTUAL_ENV */
    const char *script_name;        /* "" or "/prefix" without a slash at its end; never NULL */
    struct options_list warm_up;    /* paths, each perhaps with a query */
    bool stream_body;               /* call the application before the request body has arrived */
    bool check;
    bool preload; /* load the application once, and fork the workers */

    struct options_list sockets; /* if `http` is empty too, descriptor 0 is the listening socket */
    unsigned socket_mode;        /* permission bits, at most 0777 */
    const char *socket_owner;    /* name or number, or NULL */
    const char *socket_group;    /* name or number, or NULL */
    unsigned backlog;
    struct options_list allow;     /* addresses; empty: the default */
    struct options_list allow_uid; /* names or numbers of users */
    struct options_list allow_gid; /* names or numbers of groups */

    struct options_list forwarded_allow;
    enum forwarded_kind forwarded_fields;

    struct options_list http;  /* addresses */
    const char *server_header; /* NULL: none */
    bool proxy_protocol;
    uint64_t min_body_rate; /* bytes per second; 0: any */

    unsigned threads;
    unsigned queue_limit;            /* requests that may wait for a thread, at least 1 */
    double queue_timeout;            /* seconds; 0: none */
    double request_timeout;          /* seconds that a call may take; 0: any */
    bool request_timeout_interrupts; /* --request-timeout-action interrupt */
    bool drop_abandoned;
    uint64_t limit_request_body; /* bytes; 0: no limit */
    uint64_t limit_params;       /* bytes of all parameters of a request */
    unsigned limit_param_count;
    uint64_t body_memory;        /* bytes of a request's body kept in memory */
    const char *spool_dir;       /* --spool-dir, else TMPDIR, else "/tmp"; never NULL */
    double idle_timeout;         /* seconds; 0: none */
    double header_timeout;       /* seconds; 0: none */
    uint64_t min_send_rate;      /* bytes per second; 0: any */
    unsigned max_connections;    /* 0: from the limit of open files */
    unsigned keepalive_requests; /* 0: no limit */
    double graceful_timeout;     /* seconds; 0: running requests are not waited for */
    double stop_delay;           /* seconds from SIGTERM to the stop; 0: it begins at once */

    unsigned workers;      /* OPTIONS_WORKERS_AUTO, or their number; 0: this process serves */
    unsigned max_requests; /* 0: any */
    unsigned max_requests_jitter;
    uint64_t max_memory;  /* bytes; 0: any */
    double trace_memory;  /* seconds; 0: never */
    double max_lifetime;  /* seconds; 0: any */
    double stuck_timeout; /* seconds; 0: any */

    double slow_request; /* seconds; 0: never, as the next one */
    double stuck_log;

    const char *pid_file;     /* NULL: none */
    const char *user, *group; /* names or numbers, or NULL */
    struct options_list env;  /* NAME=VALUE, in the order given */
    int umask;                /* of the processes that run the application; -1: that of the start */

    bool reload;                      /* load the application anew when its files change; then there are workers */
    struct options_list reload_extra; /* patterns of base/glob.h, as they were given */

    struct options_list status;       /* addresses */
    struct options_list status_allow; /* likewise; empty: the default */
    const char *status_path;          /* begins with a slash; NULL: none */
    enum request_id_mode request_id;
    const char *otlp; /* a URL, or "env"; NULL: no spans are sent */

    enum log_level log_level;
    const char *access_log; /* NULL: none; options_access_log says where */
    const char *access_log_format;
    const char *log_file; /* NULL: standard error as it is */
    unsigned app_stderr;  /* a set of base/error_destinations.h */

    bool given[OPTIONS_MAX];                /* by option_index: set to something else than the default */
    struct options_list where[OPTIONS_MAX]; /* likewise: setting_name of each value that was set */

    enum setting_source source[OPTIONS_MAX]; /* of those that have a `where` */
    struct settings settings;                /* all that was given, also what does not count */
    struct config_file config;               /* what was read from config_path */

    const char *start_directory; /* where the program was started; NULL: not known */
    char **made;                 /* strings that were allocated */
    size_t made_count;

    bool version; /* the caller prints the version (it needs Python for that) and ends */
};

/* Fills *o from the defaults, some of which variables of the system give. Returns 0; or, after one log_error line,
 * EX_USAGE or EX_OSERR. The caller calls options_fini in every case. */
int options_init(struct options *o);

/* Sets an option to a value that somebody has given, or appends that to a list. Not for --help. Returns 0; or EX_USAGE or
 * EX_OSERR, with what is wrong with the value in `reason`. */
int options_set(struct options *o, const struct setting *setting, char reason[static VALUE_REASON_SIZE]);

/* Where the values of `option` ("--allow") were given, for lines of the log about what shows later to be wrong with them:
 * setting_name of each, in the order of the list. NULL if nobody has given any. Valid until options_fini. */
const char *const *options_where(const struct options *o, const char *option);

/* The same for an option that has one value; `option` itself if nobody has given it. */
const char *options_name(const struct options *o, const char *option);

/* Finds out whether options_set would refuse the value, and why. */
int options_check(const struct setting *setting, char reason[static VALUE_REASON_SIZE]);

/* The exit status for a wrong value of `option`: `status`, but EX_CONFIG if it is EX_USAGE and the value is from a
 * file. */
int options_status(const struct options *o, const char *option, int status);

/* Where --access-log goes: "-", "syslog" or "syslog:PATH", or else a file. It is given. */
enum options_access { OPTIONS_ACCESS_STDOUT, OPTIONS_ACCESS_SYSLOG, OPTIONS_ACCESS_FILE };
enum options_access options_access_log(const struct options *o);

/* Completes the options once all are set. Makes `spool_dir`, `venv`, `log_file`, the file of `access_log`, `pid_file`
 * and `pythonpath` absolute, from the directory in which the program was started, and splits the values of
 * `pythonpath`. Leaves sockets alone, because only net/listen/address.h knows which of these are paths, and `chdir`,
 * which is relative to that directory anyway. Copies the strings of the environment. Call it before the process changes
 * its directory. Returns 0, or -1 when memory runs out. */
int options_resolve(struct options *o);

/* Logs a warning about each option that was given and has no effect. `have` has the bit 1 << OPTION_NEEDS_* for
 * everything that this process has. */
void options_warn(const struct options *o, unsigned have);

/* Frees what belongs to *o. The struct must have gone through options_init. */
void options_fini(struct options *o);

#endif
