#include "config.h"

#include "cli/value.h"

#include "base/ascii.h"
#include "base/error_destinations.h"
#include "cli/nearest.h"
#include "cli/option_table.h"
#include "cli/options.h"
#include "traces/settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { SHOWN_SIZE = 100, SIZE_TEXT = 24, PATH_SIZE = 8000 };

/* The form of all complaints: "VALUE" is not ... */
static int refuse(const char *text, char *reason, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int refuse(const char *text, char *reason, const char *format, ...) {
    char shown[SHOWN_SIZE], rest[VALUE_REASON_SIZE - SHOWN_SIZE - 4];
    va_list ap;
    va_start(ap, format);
    vsnprintf(rest, sizeof(rest), format, ap);
    va_end(ap);
    snprintf(reason, VALUE_REASON_SIZE, "\"%s\" %s", log_escape(shown, sizeof(shown), text, strlen(text)), rest);
    return EX_USAGE;
}

/* The same where only some words will do; names the nearest. */
static int refuse_word(const char *text, char *reason, const char *complaint, const char *const *words, size_t count) {
    const char *nearest = nearest_word(text, words, count);
    return nearest ? refuse(text, reason, "%s: did you mean %s?", complaint, nearest)
                   : refuse(text, reason, "%s", complaint);
}

bool value_is_list(value_parse_fn *parse) {
    return parse == value_parse_list || parse == value_parse_paths || parse == value_parse_env;
}

int value_parse_flag(const struct option_row *row, const char *text, void *field,
                     char reason[static VALUE_REASON_SIZE]) {
    static const char *const names[] = {"yes", "no", "true", "false", "on", "off", "1", "0"};
    (void)row;
    for (size_t i = 0; i < COUNT(names); i++) {
        if (!text || ascii_str_equals_nocase(text, names[i])) {
            *(bool *)field = i % 2 == 0;
            return 0;
        }
    }
    return refuse_word(text, reason, "is not yes or no", names, COUNT(names));
}

int value_parse_application(const struct option_row *row, const char *text, void *field,
                            char reason[static VALUE_REASON_SIZE]) {
    size_t module_len = strcspn(text, ":");
    (void)row;
    if (!module_len || (text[module_len] && !text[module_len + 1]))
        return refuse(text, reason, "has nothing %s the colon: write MODULE:CALLABLE, for example app:app",
                      module_len ? "behind" : "in front of");
    *(const char **)field = text;
    return 0;
}

int value_parse_string(const struct option_row *row, const char *text, void *field,
                       char reason[static VALUE_REASON_SIZE]) {
    if (!*text)
        return refuse(text, reason, "is empty where %s is needed", row->arg);
    *(const char **)field = text;
    return 0;
}

int value_parse_list(const struct option_row *row, const char *text, void *field,
                     char reason[static VALUE_REASON_SIZE]) {
    if (!*text)
        return refuse(text, reason, "is empty where %s is needed", row->arg);
    struct options_list *list = field;
    const char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
    if (!items) {
        snprintf(reason, VALUE_REASON_SIZE, "out of memory");
        return EX_OSERR;
    }
    items[list->count++] = text;
    list->items = items;
    return 0;
}

/* What makes it no path, or NULL. */
static const char *path_problem(const char *text) {
    if (*text != '/')
        return "does not start with \"/\"";
    if (strlen(text) >= PATH_SIZE)
        return "is too long";
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return "has a blank or a control character: write %20 for a blank";
        if (*c == '#')
            return "has a \"#\": what begins there is never sent to a server; write %23 if it is part of the path";
        if (*c != '%')
            continue;
        int high = ascii_hex_digit(c[1]), low = high < 0 ? -1 : ascii_hex_digit(c[2]);
        if (low < 0 || !(high | low))
            return "has a \"%\" that does not begin the code of a byte: write %25 for a percent sign";
    }
    return NULL;
}

int value_parse_paths(const struct option_row *row, const char *text, void *field,
                      char reason[static VALUE_REASON_SIZE]) {
    const char *problem = path_problem(text);
    return problem ? refuse(text, reason, "%s", problem) : value_parse_list(row, text, field, reason);
}

int value_parse_path(const struct option_row *row, const char *text, void *field,
                     char reason[static VALUE_REASON_SIZE]) {
    (void)row;
    const char *problem = path_problem(text);
    if (!problem && strchr(text, '?'))
        problem = "has a query: write the path alone";
    if (!problem && strchr(text, '%'))
        problem = "is encoded: write the path with plain characters";
    if (problem)
        return refuse(text, reason, "%s", problem);
    *(const char **)field = text;
    return 0;
}

/* By these the processes of a server find each other (ipc/control.h, supervisor/state.h, process/supervise.h). */
#define OWN_VARIABLE "WSGI_FCGI_"

/* The value may be a password, and is not shown. */
static int refuse_secret(char *reason, const char *problem) {
    snprintf(reason, VALUE_REASON_SIZE, "%s", problem);
    return EX_USAGE;
}

int value_parse_env(const struct option_row *row, const char *text, void *field,
                    char reason[static VALUE_REASON_SIZE]) {
    const char *value = strchr(text, '=');
    if (!value)
        return refuse_secret(reason, "a value has no \"=\": write NAME=VALUE, or NAME= for an empty value");
    if (value == text)
        return refuse_secret(reason, "a value has no name in front of \"=\": write NAME=VALUE");
    if (!strncmp(text, OWN_VARIABLE, sizeof OWN_VARIABLE - 1))
        return refuse_secret(reason,
                             "variables that begin with " OWN_VARIABLE " are the server's own: choose another name");
    return value_parse_list(row, text, field, reason);
}

int value_parse_prefix(const struct option_row *row, const char *text, void *field,
                       char reason[static VALUE_REASON_SIZE]) {
    (void)row;
    size_t len = strlen(text);
    if (len && text[0] != '/')
        return refuse(text, reason, "does not start with \"/\"");
    if (len && text[len - 1] == '/')
        return refuse(text, reason,
                      len == 1 ? "is the root: write \"\" for an application that is mounted there"
                               : "ends with \"/\": write it without");
    *(const char **)field = text;
    return 0;
}

int value_parse_number(const struct option_row *row, const char *text, void *field,
                       char reason[static VALUE_REASON_SIZE]) {
    uint64_t n;
    const char *end = ascii_read_number(text, 10, &n);
    if (!end || *end || n < row->min || n > row->max)
        return refuse(text, reason, "is not a number from %llu to %llu", (unsigned long long)row->min,
                      (unsigned long long)row->max);
    *(unsigned *)field = (unsigned)n;
    return 0;
}

int value_parse_workers(const struct option_row *row, const char *text, void *field,
                        char reason[static VALUE_REASON_SIZE]) {
    if (!strcmp(text, "auto")) {
        *(unsigned *)field = OPTIONS_WORKERS_AUTO;
        return 0;
    }
    if (!value_parse_number(row, text, field, reason))
        return 0;
    return refuse(text, reason, "is neither auto nor a number from %llu to %llu", (unsigned long long)row->min,
                  (unsigned long long)row->max);
}

int value_parse_mode(const struct option_row *row, const char *text, void *field,
                     char reason[static VALUE_REASON_SIZE]) {
    uint64_t n;
    const char *end = ascii_read_number(text, 8, &n);
    if (!end || *end || n < row->min || n > row->max)
        return refuse(text, reason, "is not an octal mode from 0 to %llo, such as 0660", (unsigned long long)row->max);
    *(unsigned *)field = (unsigned)n;
    return 0;
}

int value_parse_umask(const struct option_row *row, const char *text, void *field,
                      char reason[static VALUE_REASON_SIZE]) {
    unsigned mode;
    if (value_parse_mode(row, text, &mode, reason))
        return refuse(text, reason, "is not an octal mask from 0 to %llo, such as 027", (unsigned long long)row->max);
    *(int *)field = (int)mode;
    return 0;
}

/* Whether `text` may follow the letter of a unit of 1024^n bytes, as in K, KB or KiB; in any letter case. */
static bool is_unit_end(const char *text) {
    return !*text || ascii_str_equals_nocase(text, "B") || ascii_str_equals_nocase(text, "iB");
}

/* The unit as a number of bits to shift by, or -1. */
static int unit_shift(const char *text) {
    static const char letters[] = "kmg";
    const char *letter = *text ? strchr(letters, ascii_lower(*text)) : NULL;
    if (letter)
        return is_unit_end(text + 1) ? 10 * (int)(letter - letters + 1) : -1;
    return !*text || ascii_str_equals_nocase(text, "B") ? 0 : -1;
}

static const char *format_size(uint64_t n, char out[static SIZE_TEXT]) {
    static const char suffixes[] = "\0KMG";
    unsigned i = 0;
    for (; n && n % 1024 == 0 && i < 3; i++)
        n /= 1024;
    snprintf(out, SIZE_TEXT, "%llu%.1s", (unsigned long long)n, &suffixes[i]);
    return out;
}

int value_parse_size(const struct option_row *row, const char *text, void *field,
                     char reason[static VALUE_REASON_SIZE]) {
    uint64_t n = 0;
    const char *end = ascii_read_number(text, 10, &n);
    int shift = end ? unit_shift(end) : -1;
    if (shift < 0 || n > UINT64_MAX >> shift || n << shift < row->min || n << shift > row->max) {
        char min[SIZE_TEXT], max[SIZE_TEXT];
        return refuse(text, reason, "is not a size from %s to %s: write bytes, or a number with K, M or G, such as 10M",
                      format_size(row->min, min), format_size(row->max, max));
    }
    *(uint64_t *)field = n << shift;
    return 0;
}

/* The unit in seconds; 0: no unit. A capital M is refused, because somebody may mean a month. */
static double time_unit(const char *text) {
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!strcmp(text, units[i].name))
            return units[i].seconds;
    }
    return 0;
}

/* Digits, with a point among them or not, and a unit: no sign, exponent, blank, "inf" or "nan". */
static bool read_seconds(const char *text, double *seconds) {
    double digits = 0, scale = 1;
    size_t count = 0;
    bool fraction = false;
    for (; ascii_is_digit(*text) || (*text == '.' && !fraction); text++) {
        if (*text == '.') {
            fraction = true;
            continue;
        }
        count++;
        if (fraction && scale >= 1e9)
            continue; /* less than a nanosecond */
        digits = digits * 10 + (*text - '0');
        scale *= fraction ? 10 : 1;
    }
    double unit = time_unit(text);
    *seconds = digits / scale * unit;
    return count && unit > 0;
}

int value_parse_seconds(const struct option_row *row, const char *text, void *field,
                        char reason[static VALUE_REASON_SIZE]) {
    const double min = (double)row->min / 1000, max = (double)row->max / 1000;
    double n;
    if (!read_seconds(text, &n) || n < min || n > max) {
        char shown_min[ASCII_SECONDS_SIZE], shown_max[ASCII_SECONDS_SIZE];
        return refuse(text, reason, "is not a time from %s to %s seconds: write 30 or 30s, 500ms, 5m or 2h",
                      ascii_put_seconds(shown_min, min), ascii_put_seconds(shown_max, max));
    }
    *(double *)field = n;
    return 0;
}

int value_parse_level(const struct option_row *row, const char *text, void *field,
                      char reason[static VALUE_REASON_SIZE]) {
    /* What Python and other programs call them. There is nothing above an error here. */
    static const char *const others[][2] = {{"warn", "warning"}, {"err", "error"}, {"critical", "error"}};
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char name[16];
    size_t len = 0;
    (void)row;
    for (; text[len] && len < sizeof name - 1; len++)
        name[len] = ascii_lower(text[len]);
    name[len] = '\0';
    const char *known = name;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (!strcmp(name, others[i][0]))
            known = others[i][1];
    }
    if (text[len] || log_level_parse(known, field))
        return refuse_word(text, reason, "is not error, warning, info or debug", names, COUNT(names));
    return 0;
}

int value_parse_stderr(const struct option_row *row, const char *text, void *field,
                       char reason[static VALUE_REASON_SIZE]) {
    static const char *const names[] = {
        [ERRORS_TO_LOG] = "log",
        [ERRORS_TO_PEER] = "fastcgi",
        [ERRORS_TO_LOG | ERRORS_TO_PEER] = "both",
    };
    (void)row;
    for (unsigned i = ERRORS_TO_LOG; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(text, names[i])) {
            *(unsigned *)field = i;
            return 0;
        }
    }
    return refuse_word(text, reason, "is not log, fastcgi or both", names + 1, COUNT(names) - 1);
}

int value_parse_field(const struct option_row *row, const char *text, void *field,
                      char reason[static VALUE_REASON_SIZE]) {
    (void)row;
    for (const char *c = text; *c; c++) {
        if (*c < ' ' || *c > '~')
            return refuse(text, reason, "has a character that is not printable ASCII");
    }
    if (!*text || *text == ' ' || strlen(text) > 200)
        return refuse(text, reason, "is no text of 1 to 200 characters, and not none either");
    *(const char **)field = strcmp(text, "none") ? text : NULL;
    return 0;
}

int value_parse_fields(const struct option_row *row, const char *text, void *field,
                       char reason[static VALUE_REASON_SIZE]) {
    static const char *const names[] = {
        [FORWARDED_X] = "x-forwarded", [FORWARDED_X_REAL_IP] = "x-real-ip", [FORWARDED_RFC7239] = "forwarded"};
    (void)row;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp(text, names[i])) {
            *(enum forwarded_kind *)field = (enum forwarded_kind)i;
            return 0;
        }
    }
    return refuse_word(text, reason, "is not x-forwarded, x-real-ip or forwarded", names, COUNT(names));
}

int value_parse_otlp(const struct option_row *row, const char *text, void *field,
                     char reason[static VALUE_REASON_SIZE]) {
    const char *complaint = trace_settings_complaint(text);
    (void)row;
    if (complaint)
        return refuse(text, reason, "%s", complaint);
    *(const char **)field = text;
    return 0;
}

int value_parse_request_id(const struct option_row *row, const char *text, void *field,
                           char reason[static VALUE_REASON_SIZE]) {
    static const char *const names[] = {[REQUEST_ID_OFF] = "off", [REQUEST_ID_ON] = "on", [REQUEST_ID_ECHO] = "echo"};
    (void)row;
    for (unsigned i = 0; i < COUNT(names); i++) {
        if (!strcmp(text, names[i])) {
            *(enum request_id_mode *)field = (enum request_id_mode)i;
            return 0;
        }
    }
    return refuse_word(text, reason, "is not on, off or echo", names, COUNT(names));
}

int value_parse_action(const struct option_row *row, const char *text, void *field,
                       char reason[static VALUE_REASON_SIZE]) {
    (void)row;
    static const char *const names[] = {"answer", "interrupt"};
    bool interrupts = !strcmp(text, "interrupt");
    if (!interrupts && strcmp(text, "answer") != 0)
        return refuse_word(text, reason, "is not answer or interrupt", names, COUNT(names));
    *(bool *)field = interrupts;
    return 0;
}
