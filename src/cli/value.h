/* What an option is, and how the text of its value becomes a field of struct options. */
#ifndef WSGI_FCGI_CLI_VALUE_H
#define WSGI_FCGI_CLI_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VALUE_REASON_SIZE = 256 };

enum option_group {
    OPTION_GROUP_APPLICATION,
    OPTION_GROUP_SOCKETS,
    OPTION_GROUP_HTTP,
    OPTION_GROUP_LIMITS,
    OPTION_GROUP_LOGGING,
    OPTION_GROUP_INFORMATION,
    OPTION_GROUP_COUNT,
};

struct option_row;

/* Parses `text` into *field, whose type is the one its function below names.
 * Returns 0; or EX_USAGE or EX_OSERR with what is wrong with the value in `reason`. */
typedef int value_parse_fn(const struct option_row *row, const char *text, void *field,
                           char reason[static VALUE_REASON_SIZE]);

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

value_parse_fn value_parse_flag;    /* bool; text is ignored */
value_parse_fn value_parse_string;  /* const char *, not empty */
value_parse_fn value_parse_list;    /* struct options_list, appends; not empty */
value_parse_fn value_parse_prefix;  /* const char *, "" or "/path" */
value_parse_fn value_parse_number;  /* unsigned */
value_parse_fn value_parse_mode;    /* unsigned, octal */
value_parse_fn value_parse_size;    /* uint64_t, "10", "10K", "10MB", "10GiB": units of 1024 in any case */
value_parse_fn value_parse_seconds; /* double, "30", "30s", "500ms", "5m", "2h", "1d" */
value_parse_fn value_parse_level;   /* enum log_level, in any case */
value_parse_fn value_parse_stderr;  /* unsigned, a set of OPTION_STDERR_* */
value_parse_fn value_parse_field;   /* const char *, the value of a header field; NULL for "none" */
value_parse_fn value_parse_fields;  /* unsigned, one of OPTION_FIELDS_* */

enum { OPTION_FIELDS_X_FORWARDED, OPTION_FIELDS_X_REAL_IP, OPTION_FIELDS_FORWARDED };
enum { OPTION_STDERR_LOG = 1, OPTION_STDERR_FASTCGI = 2 };

#endif
