/* Converts the text of an option's value to a field of struct options, wherever the text comes from.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_CLI_VALUE_H
#define WSGI_FCGI_CLI_VALUE_H

#include <stdbool.h>

enum { VALUE_REASON_SIZE = 256 };

struct option_row;

/* Parses `text` into *field, whose type is given beside each function below. Returns 0; or EX_USAGE or EX_OSERR, with
 * what is wrong with the value in `reason`. */
typedef int value_parse_fn(const struct option_row *row, const char *text, void *field,
                           char reason[static VALUE_REASON_SIZE]);

/* Whether it appends, so that the option may be given several times. */
bool value_is_list(value_parse_fn *parse);

value_parse_fn value_parse_flag;        /* bool; NULL is yes, and true, on and 1 are as well, in any letter case */
value_parse_fn value_parse_application; /* const char *, MODULE, MODULE:CALLABLE or a file */
value_parse_fn value_parse_string;      /* const char *, not empty */
value_parse_fn value_parse_list;        /* struct options_list, appends; not empty */
value_parse_fn value_parse_paths;   /* struct options_list, appends; of URLs, perhaps with a query, below 8,000 bytes */
value_parse_fn value_parse_env;     /* struct options_list, appends; NAME=VALUE */
value_parse_fn value_parse_path;    /* const char *, "/path" of a URL, decoded and without a query */
value_parse_fn value_parse_prefix;  /* const char *, "" or "/path" */
value_parse_fn value_parse_number;  /* unsigned */
value_parse_fn value_parse_workers; /* unsigned; "auto" is OPTIONS_WORKERS_AUTO */
value_parse_fn value_parse_mode;    /* unsigned, octal */
value_parse_fn value_parse_umask;   /* int, octal */
value_parse_fn value_parse_size;    /* uint64_t, "10", "10K", "10MB", "10GiB": units of 1024, in any letter case */
value_parse_fn value_parse_seconds; /* double, "30", "30s", "500ms", "5m", "2h", "1d" */
value_parse_fn value_parse_level;   /* enum log_level, in any letter case */
value_parse_fn value_parse_stderr;  /* unsigned, a set of base/error_destinations.h */
value_parse_fn value_parse_field;   /* const char *, the value of a header field; NULL for "none" */
value_parse_fn value_parse_fields;  /* enum forwarded_kind */
value_parse_fn value_parse_otlp;    /* const char *, a URL or "env" */
value_parse_fn value_parse_request_id; /* enum request_id_mode */
value_parse_fn value_parse_action;     /* bool: "interrupt", not "answer" */

#endif
