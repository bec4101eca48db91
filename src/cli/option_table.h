/* The table of all options: the name of each, its values, and the field of struct options (cli/options.h) where the
 * value goes. Add an option here.
 *
 * The command-line parser and --help follow the table, and so does the check of the man page against --help. Whatever
 * else gives values uses it too, as do the functions of cli/options.h.
 *
 * Threads: any; nothing in it changes.
 */
#ifndef WSGI_FCGI_CLI_OPTION_TABLE_H
#define WSGI_FCGI_CLI_OPTION_TABLE_H

#include "cli/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_MAX = 96 };

enum option_group {
    OPTION_GROUP_CONFIGURATION,
    OPTION_GROUP_APPLICATION,
    OPTION_GROUP_SOCKETS,
    OPTION_GROUP_HTTP,
    OPTION_GROUP_LIMITS,
    OPTION_GROUP_WORKERS, /* a mistake without --workers */
    OPTION_GROUP_USER,
    OPTION_GROUP_DEVELOPMENT,
    OPTION_GROUP_OBSERVING,
    OPTION_GROUP_LOGGING,
    OPTION_GROUP_INFORMATION,
    OPTION_GROUP_COUNT,
};

/* What an option applies to: without it, the option has no effect. */
enum option_need {
    OPTION_NEEDS_NOTHING,
    OPTION_NEEDS_FILE,       /* a Unix socket with a path that the server makes */
    OPTION_NEEDS_OWN_SOCKET, /* a socket that the server makes */
    OPTION_NEEDS_TCP,
    OPTION_NEEDS_UNIX,
    OPTION_NEEDS_HTTP,
    OPTION_NEEDS_FASTCGI,
    OPTION_NEEDS_FORWARDED, /* proxies that are trusted */
    OPTION_NEEDS_STATUS,    /* a status page */
};

/* Where an option cannot be given. */
enum option_places {
    OPTION_NOT_IN_FILE = 1,
    OPTION_NOT_IN_ENVIRONMENT = 2,
    OPTION_OPERAND = 4,                                                 /* on the command line it has no name */
    OPTION_IS_COMMAND = OPTION_NOT_IN_FILE | OPTION_NOT_IN_ENVIRONMENT, /* what the program is to do this time */
};

struct option_row {
    const char *name;      /* without the dashes */
    const char *arg;       /* name of the argument; NULL: a flag */
    const char *fallback;  /* the default as a user would give it; NULL: the field stays zero */
    const char *otherwise; /* the default in words, where `fallback` alone would not be clear */
    const char *env;       /* the environment variable that comes before the default */
    const char *help;      /* words separated by single spaces; --help wraps them */
    value_parse_fn *parse; /* NULL: prints the help */
    uint64_t min, max;     /* of numbers; bytes for sizes, milliseconds for seconds */
    size_t offset;         /* of the field in struct options */
    enum option_group group;
    char letter;     /* 0: none */
    bool http;       /* only where HTTP is built in */
    bool secret;     /* what is behind a "=" in its value is not shown */
    unsigned places; /* a set of OPTION_NOT_IN_*, or OPTION_OPERAND */
    enum option_need need;
};

/* All rows, in the order of --help. */
const struct option_row *option_table(size_t *count);

/* The index of a row in the table. */
size_t option_index(const struct option_row *row);

/* The row of a name of `len` bytes, without dashes, or NULL. */
const struct option_row *option_find(const char *name, size_t len);

#endif
