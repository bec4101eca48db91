#include "config.h"

#include "cli/command_line.h"

#include "base/log.h"
#include "cli/help.h"
#include "cli/nearest.h"
#include "cli/option_table.h"
#include "cli/options.h"
#include "cli/other_servers.h"

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { LONG_BASE = 256, SHOWN_SIZE = 100 };

char **command_line_copy(int argc, char **argv) {
    char **words = calloc((size_t)argc + 1, sizeof *words);
    for (int i = 0; words && i < argc; i++) {
        words[i] = strdup(argv[i]);
        if (!words[i])
            return NULL;
        argv[i] = words[i];
    }
    return words;
}

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

static int no_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
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
static int take(struct settings *all, const struct setting *setting, const char **before, bool warns) {
    const struct option_row *row = setting->row;
    char reason[VALUE_REASON_SIZE];
    if (!row->parse)
        return print_help();
    if (warns)
        warn_twice(row, before, setting->text);
    int status = options_check(setting, reason);
    if (status)
        log_error("--%s: %s", row->name, reason);
    else if (settings_add(all, setting))
        status = no_memory();
    return status ? status : -1;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Writes the long options that start with `name`; "" if there are fewer than two. */
static const char *ambiguous_options(const char *name, size_t len, char *out, size_t size) {
    size_t matches = 0, used = 0, count;
    const struct option_row *rows = option_table(&count);
    for (const struct option_row *row = rows; row < rows + count; row++) {
        if (strncmp(row->name, name, len) != 0 || row->places & OPTION_OPERAND)
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
    const char *name = arg + 2, *nearest = nearest_option(name, len, OPTION_OPERAND);
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

static int take_application(struct settings *all, char *const *operands) {
    char shown[SHOWN_SIZE], reason[VALUE_REASON_SIZE];
    const struct option_row *row = option_find("application", strlen("application"));
    const struct setting setting = {.row = row, .text = operands[0], .source = SETTING_COMMAND_LINE};
    if (!operands[0] || !*operands[0])
        return -1;
    if (operands[1]) {
        log_error("\"%s\" is one operand too many: only one MODULE:CALLABLE is served",
                  log_escape(shown, sizeof(shown), operands[1], strlen(operands[1])));
        return EX_USAGE;
    }
    int status = options_check(&setting, reason);
    if (status)
        log_error("%s", reason);
    else if (settings_add(all, &setting))
        status = no_memory();
    return status ? status : -1;
}

/* The table in the form getopt_long wants: the code of a long option is LONG_BASE plus its row. */
static void make_getopt_tables(struct option *longs, char *letters) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    *letters++ = ':';
    for (int i = 0; i < (int)count; i++) {
        if (rows[i].places & OPTION_OPERAND)
            continue;
        const int argument = rows[i].arg ? required_argument : rows[i].parse ? optional_argument : no_argument;
        *longs++ = (struct option){rows[i].name, argument, NULL, LONG_BASE + i};
        if (!rows[i].letter)
            continue;
        *letters++ = rows[i].letter;
        if (rows[i].arg)
            *letters++ = ':';
    }
    *longs = (struct option){0};
    *letters = '\0';
}

/* The word of the option that getopt_long has just returned: its value may be in the same word or in the next one. */
static const char *typed_word(char **argv) {
    const char *last = argv[optind - 1];
    return optarg == last ? argv[optind - 2] : last;
}

int command_line_read(struct settings *all, int argc, char **argv, bool warns) {
    struct option longs[OPTIONS_MAX + 1];
    const char *before[OPTIONS_MAX] = {0}; /* by row */
    char letters[2 * OPTIONS_MAX + 2];
    make_getopt_tables(longs, letters);
    opterr = 0;
    optind = 0; /* glibc: start afresh, whoever parsed before */
    for (int code; (code = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
        /* --keepalive is not short for --keepalive-requests. */
        if (code >= LONG_BASE && complain_foreign(typed_word(argv)))
            return EX_USAGE;
        const struct option_row *row = code == '?' || code == ':' ? NULL : find_row(code);
        const struct setting setting = {.row = row, .text = optarg, .source = SETTING_COMMAND_LINE};
        int status = row ? take(all, &setting, &before[option_index(row)], warns) : complain(code, argv[optind - 1]);
        if (status != -1)
            return status;
    }
    return take_application(all, argv + optind);
}
