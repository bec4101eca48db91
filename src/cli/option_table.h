/* The one table of options: what each is called, what its values are, where they go. The parser of the command line, --help
 * and with it the check of the man page follow it, and so does whatever else gives values.
 *
 * It names the fields of struct options (cli/options.h), whose functions walk over it in turn.
 *
 * Any thread: nothing of it changes.
 */
#ifndef WSGI_FCGI_CLI_OPTION_TABLE_H
#define WSGI_FCGI_CLI_OPTION_TABLE_H

#include "cli/value.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OPTIONS_MAX = 64 };

enum option_group {
    OPTION_GROUP_APPLICATION,
    OPTION_GROUP_SOCKETS,
    OPTION_GROUP_HTTP,
    OPTION_GROUP_LIMITS,
    OPTION_GROUP_LOGGING,
    OPTION_GROUP_INFORMATION,
    OPTION_GROUP_COUNT,
};

/* What an option is about: it has no effect where that is missing. */
enum option_need {
    OPTION_NEEDS_NOTHING,
    OPTION_NEEDS_FILE,       /* a Unix socket with a path that the server makes */
    OPTION_NEEDS_OWN_SOCKET, /* one that the server makes */
    OPTION_NEEDS_TCP,
    OPTION_NEEDS_UNIX,
    OPTION_NEEDS_HTTP,
    OPTION_NEEDS_FASTCGI,
    OPTION_NEEDS_FORWARDED, /* proxies that are trusted */
};

struct option_row {
    const char *name;      /* without the dashes */
    const char *arg;       /* name of the argument; NULL: a flag */
    const char *fallback;  /* the default as it would be given, or NULL: the field stays zero */
    const char *otherwise; /* the default in words, where `fallback` alone would not tell a reader */
    const char *env;       /* the environment variable that is asked before the default */
    const char *help;      /* words separated by single spaces; --help wraps them */
    value_parse_fn *parse; /* NULL: prints the help */
    uint64_t min, max;     /* of numbers; bytes for sizes, milliseconds for seconds */
    size_t offset;         /* of the field in struct options */
    enum option_group group;
    char letter; /* 0: none */
    bool http;   /* only where HTTP is built in */
    enum option_need need;
};

/* All rows, in the order of --help. */
const struct option_row *option_table(size_t *count);

/* The place of a row among them. */
size_t option_index(const struct option_row *row);

#endif
