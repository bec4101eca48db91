#include "config.h"

#include "cli/command_line.h"

#include "base/glob.h"
#include "base/log.h"
#include "cli/other_servers.h"
#include "cli/help.h"
#include "cli/option_table.h"

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { LONG_BASE = 256, SHOWN_SIZE = 100 };

static const struct option_row *find_row(int code) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    if (code >= LONG_BASE)
        return &rows[code - LONG_BASE];
    for (const struct option_row *row = rows; row < rows + count; row++)
        if (row->letter == code)
            return row;
    return NULL;
}

static int print_help(void) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    help_print(stdout, rows, count);
    if (fflush(stdout) || ferror(stdout)) {
        log_error("--help: standard output cannot be written");
        return EX_OSERR;
    }
    return 0;
}

/* The last value counts, as wrappers expect that append options of their own. *before is the value given before this
 * one, or NULL. */
static void warn_twice(const struct option_row *row, const char **before, const char *text) {
    char first[SHOWN_SIZE], last[SHOWN_SIZE];
    if (!row->arg || value_is_list(row->parse))
        return;
    if (*before && strcmp(*before, text) != 0)
        log_warning("--%s is given twice, \"%s\" and \"%s\": the last one counts", row->name,
                    log_escape(first, sizeof first, *before, strlen(*before)),
                    log_escape(last, sizeof last, text, strlen(text)));
    *before = text;
}

/* Returns -1 when there is more to parse. */
static int apply(struct options *o, const struct option_row *row, const char *text, const char **before) {
    char reason[VALUE_REASON_SIZE];
    if (!row->parse)
        return print_help();
    warn_twice(row, before, text);
    int status = options_set(o, &(struct setting){.row = row, .text = text, .source = SETTING_COMMAND_LINE}, reason);
    if (status)
        log_error("--%s: %s", row->name, reason);
    return status ? status : -1;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Levenshtein distance; SIZE_MAX when a text is longer than any option. */
static size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t line[64];
    if (a_len >= 64 || b_len >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_len; j++)
        line[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = line[0];
        line[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = line[j];
            line[j] = min_size(replace, min_size(line[j], line[j - 1]) + 1);
        }
    }
    return line[b_len];
}

static const char *nearest_option(const char *name, size_t len) {
    const char *nearest = NULL;
    size_t count;
    const struct option_row *rows = option_table(&count);
    size_t best = len / 3 < 3 ? len / 3 + 1 : 4;
    for (const struct option_row *row = rows; row < rows + count; row++) {
        size_t distance = edit_distance(name, len, row->name, strlen(row->name));
        if (distance < best) {
            best = distance;
            nearest = row->name;
        }
    }
    return nearest;
}

/* Writes the long options that start with `name`; "" if there are fewer than two. */
static const char *ambiguous_options(const char *name, size_t len, char *out, size_t size) {
    size_t matches = 0, used = 0, count;
    const struct option_row *rows = option_table(&count);
    for (const struct option_row *row = rows; row < rows + count; row++) {
        if (strncmp(row->name, name, len) != 0)
            continue;
        int n = snprintf(out + used, size - used, "%s--%s", matches++ ? ", " : "", row->name);
        used = min_size(used + (size_t)n, size - 1);
    }
    return matches > 1 ? out : "";
}

/* Whether the word, with its dashes, is an option of another server; if so, logs what to type here. */
static bool complain_foreign(const char *word) {
    size_t len = strcspn(word, "=");
    const struct other_servers_row *row = other_servers_find(word, len);
    if (row)
        log_error("%.*s is %s: here %s", (int)len, word, row->whose, row->here);
    return row != NULL;
}

static int complain_long(const char *arg) {
    char shown[SHOWN_SIZE], candidates[512];
    size_t len = strcspn(arg, "=") - 2;
    const char *name = arg + 2, *nearest = nearest_option(name, len);
    if (complain_foreign(arg))
        return EX_USAGE;
    log_escape(shown, sizeof(shown), arg, len + 2);
    if (*ambiguous_options(name, len, candidates, sizeof(candidates)))
        log_error("%s may mean any of %s: write it in full", shown, candidates);
    else if (nearest)
        log_error("unknown option %s: did you mean --%s?", shown, nearest);
    else
        log_error("unknown option %s: see wsgi-fcgi --help", shown);
    return EX_USAGE;
}

/* Logs what getopt_long refused: `code` is '?' or ':', and optopt tells which of its cases it is. */
static int complain(int code, const char *last) {
    char shown[SHOWN_SIZE];
    const char letter[] = {'-', (char)optopt, '\0'};
    const struct option_row *row = optopt ? find_row(optopt) : NULL;
    if (row && code == ':')
        log_error("--%s: %s is missing behind it", row->name, row->arg);
    else if (row)
        log_error("--%s: takes no value", row->name);
    else if (!optopt)
        return complain_long(last);
    else if (!complain_foreign(letter))
        log_error("unknown option %s: see wsgi-fcgi --help", log_escape(shown, sizeof(shown), letter, 2));
    return EX_USAGE;
}

static int take_application(struct options *o, char *const *operands) {
    char shown[SHOWN_SIZE];
    const char *given = operands[0];
    if (!given || !*given) {
        help_show_example();
        log_error("no application given: write MODULE:CALLABLE behind the options; see wsgi-fcgi --help");
        return EX_USAGE;
    }
    if (operands[1]) {
        log_error("\"%s\" is one operand too many: only one MODULE:CALLABLE is served",
                  log_escape(shown, sizeof(shown), operands[1], strlen(operands[1])));
        return EX_USAGE;
    }
    size_t module_len = strcspn(given, ":");
    if (!module_len || (given[module_len] && !given[module_len + 1])) {
        log_error("\"%s\" has nothing %s the colon: write MODULE:CALLABLE, for example app:app",
                  log_escape(shown, sizeof(shown), given, strlen(given)), module_len ? "behind" : "in front of");
        return EX_USAGE;
    }
    o->application = given;
    return -1;
}

/* --reload needs a worker, which can be replaced, and none that is forked from what was loaded before. */
static int check_reload(struct options *o) {
    char shown[SHOWN_SIZE];
    const char *const *where = options_where(o, "--reload-extra");
    for (size_t i = 0; i < o->reload_extra.count; i++) {
        const char *pattern = o->reload_extra.items[i], *wrong = glob_complain(pattern);
        if (!wrong && o->reload)
            continue;
        if (wrong)
            log_error("%s: \"%s\" %s", where[i], log_escape(shown, sizeof shown, pattern, strlen(pattern)), wrong);
        else
            log_error("%s is for --reload, which is not given: give --reload as well", where[i]);
        return EX_USAGE;
    }
    if (o->reload && o->preload) {
        log_error("%s loads the application anew for each worker, and %s once for all: leave one of them out",
                  options_name(o, "--reload"), options_name(o, "--preload"));
        return EX_USAGE;
    }
    if (o->reload && !o->workers)
        o->workers = 1;
    return -1;
}

/* Options about workers without any are a mistake: the server would not do what they ask for. */
static int check_workers(const struct options *o) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    for (size_t i = 0; i < count && !o->workers; i++) {
        if (rows[i].group != OPTION_GROUP_WORKERS || !o->given[i])
            continue;
        log_error("--%s is for workers, and there are none: give --workers N as well", rows[i].name);
        return EX_USAGE;
    }
    if (o->max_requests_jitter && !o->max_requests) {
        log_error("--max-requests-jitter is added to --max-requests, and there is none: give --max-requests N as well");
        return EX_USAGE;
    }
    return -1;
}

/* Likewise what is about calls that take too long, where they may take any time. */
static int check_request_timeout(const struct options *o) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    for (size_t i = 0; i < count && o->request_timeout <= 0; i++) {
        bool depends = rows[i].offset == offsetof(struct options, request_timeout_interrupts) ||
                       rows[i].offset == offsetof(struct options, stuck_timeout);
        if (!depends || !o->given[i])
            continue;
        log_error("--%s is about calls beyond --request-timeout, and there is none: give --request-timeout SECONDS as "
                  "well",
                  rows[i].name);
        return EX_USAGE;
    }
    return -1;
}

/* The table in the form getopt_long wants: the code of a long option is LONG_BASE plus its row. */
static void make_getopt_tables(struct option *longs, char *letters) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    *letters++ = ':';
    for (int i = 0; i < (int)count; i++) {
        longs[i] = (struct option){rows[i].name, rows[i].arg ? required_argument : no_argument, NULL, LONG_BASE + i};
        if (!rows[i].letter)
            continue;
        *letters++ = rows[i].letter;
        if (rows[i].arg)
            *letters++ = ':';
    }
    longs[count] = (struct option){0};
    *letters = '\0';
}

/* The word of the option that getopt_long has just returned: its value may be in the same word or in the next one. */
static const char *typed_word(char **argv) {
    const char *last = argv[optind - 1];
    return optarg == last ? argv[optind - 2] : last;
}

int command_line_parse(struct options *o, int argc, char **argv) {
    struct option longs[OPTIONS_MAX + 1];
    const char *before[OPTIONS_MAX] = {0}; /* by row */
    char letters[2 * OPTIONS_MAX + 2];
    int status = options_init(o);
    if (status)
        return status;
    make_getopt_tables(longs, letters);
    opterr = 0;
    optind = 0; /* glibc: start afresh, whoever parsed before */
    for (int code; (code = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        /* --keepalive is not short for --keepalive-requests. */
        if (code >= LONG_BASE && complain_foreign(typed_word(argv)))
            return EX_USAGE;
        const struct option_row *row = code == '?' || code == ':' ? NULL : find_row(code);
        status = row ? apply(o, row, optarg, &before[option_index(row)]) : complain(code, argv[optind - 1]);
        if (status != -1)
            return status;
    }
    if (o->version)
        return -1;
    status = check_reload(o);
    if (status < 0)
        status = check_workers(o);
    if (status < 0)
        status = check_request_timeout(o);
    return status < 0 ? take_application(o, argv + optind) : status;
}
