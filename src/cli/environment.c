#include "config.h"

#include "cli/environment.h"

#include "base/ascii.h"
#include "base/log.h"
#include "cli/nearest.h"
#include "cli/options.h"
#include "cli/quote.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { SHOWN_SIZE = 100, PREFIX_LEN = sizeof SETTING_PREFIX - 1 };

const char *const environment_internal[] = {"CONFIG_FD", "CONTROL",   "PROGRAM", "PROGRAM_WORDS", "STATE",   "LOCALE",
                                            "REFERENCE", "SANITIZED", "TAMPER",  "UNITS",         "CHROOTS", "MIRROR",
                                            "TOP",       NULL};

static int no_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
}

/* `text`: new memory. */
static int take_value(struct settings *all, const struct option_row *row, char *text) {
    char reason[VALUE_REASON_SIZE], variable[SETTING_VARIABLE_SIZE];
    const struct setting setting = {.row = row, .text = settings_keep(all, text), .source = SETTING_ENVIRONMENT};
    if (!setting.text)
        return no_memory();
    int status = options_check(&setting, reason);
    if (status)
        log_error("%s: %s", setting_variable(row, variable), reason);
    else if (settings_add(all, &setting))
        status = no_memory();
    return status;
}

/* Reads the value at the begin of `text`, of which *used is the length, into new memory. NULL: memory has run out, or
 * there is a *problem. */
static char *take_word(const char *text, size_t *used, const char **problem) {
    if (*text != '"') {
        *used = strcspn(text, " \t\n");
        return strndup(text, *used);
    }
    char *out = malloc(strlen(text) + 1);
    *used = out ? quote_read(text, strlen(text), out, problem) : 0;
    if (out && *used && text[*used] && !strchr(" \t\n", text[*used]))
        *problem = "goes on behind the quote that ends it: put a blank between two values";
    if (!*problem)
        return out;
    free(out);
    return NULL;
}

static int take_list(struct settings *all, const struct option_row *row, const char *text) {
    char shown[SHOWN_SIZE], variable[SETTING_VARIABLE_SIZE];
    int status = 0;
    while (!status && *(text += strspn(text, " \t\n"))) {
        const char *problem = NULL;
        size_t used;
        char *word = take_word(text, &used, &problem);
        if (problem) {
            log_escape(shown, sizeof shown, text, strlen(text));
            log_error("%s: %s %s", setting_variable(row, variable), row->secret ? "a value" : shown, problem);
            return EX_USAGE;
        }
        status = take_value(all, row, word);
        text += used;
    }
    return status;
}

int environment_read(struct settings *all) {
    char variable[SETTING_VARIABLE_SIZE];
    size_t count;
    const struct option_row *rows = option_table(&count);
    int status = 0;
    for (const struct option_row *row = rows; row < rows + count && status != EX_OSERR; row++) {
        const char *text = row->places & OPTION_NOT_IN_ENVIRONMENT ? NULL : getenv(setting_variable(row, variable));
        if (!text || !*text)
            continue;
        int failed = value_is_list(row->parse) ? take_list(all, row, text) : take_value(all, row, strdup(text));
        status = failed ? failed : status;
    }
    return status;
}

/* --- variables that are none of ours */

static bool is_option(const char *name, size_t len) {
    char variable[SETTING_VARIABLE_SIZE];
    size_t count;
    const struct option_row *rows = option_table(&count);
    for (const struct option_row *row = rows; row < rows + count; row++) {
        setting_variable(row, variable);
        if (!(row->places & OPTION_NOT_IN_ENVIRONMENT) && strlen(variable) == PREFIX_LEN + len &&
            !memcmp(variable + PREFIX_LEN, name, len))
            return true;
    }
    return false;
}

static bool is_internal(const char *name, size_t len) {
    for (const char *const *internal = environment_internal; *internal; internal++) {
        if (strlen(*internal) == len && !memcmp(*internal, name, len))
            return true;
    }
    return false;
}

/* Whether `name` is `end`, or has that at its end, behind an underscore. */
static bool ends_in(const char *name, size_t len, const char *end) {
    const size_t n = strlen(end);
    return len >= n && !memcmp(name + len - n, end, n) && (len == n || name[len - n - 1] == '_');
}

/* Removes NAME_ and digits from the end, as in PORT_80. */
static size_t without_number(const char *name, size_t len) {
    size_t n = len;
    while (n && ascii_is_digit(name[n - 1]))
        n--;
    return n < len && n && name[n - 1] == '_' ? n - 1 : len;
}

/* Whether Kubernetes makes such a variable for each service in the namespace: if one is called wsgi-fcgi or wsgi-fcgi-x,
 * there are WSGI_FCGI_SERVICE_HOST, WSGI_FCGI_X_SERVICE_PORT_HTTP, WSGI_FCGI_PORT=tcp://..., WSGI_FCGI_PORT_80_TCP_ADDR
 * and so on. */
static bool is_of_kubernetes(const char *name, size_t len) {
    static const char *const parts[] = {"PROTO", "PORT", "ADDR"}, *const protocols[] = {"TCP", "UDP", "SCTP"};
    const char *value = name + len + 1;
    if (ends_in(name, len, "SERVICE_HOST") || memmem(name, len, "SERVICE_PORT", strlen("SERVICE_PORT")))
        return true;
    if (ends_in(name, len, "PORT") && strstr(value, "://"))
        return true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (ends_in(name, len, parts[i]) && len > strlen(parts[i])) {
            len -= strlen(parts[i]) + 1;
            break;
        }
    }
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++) {
        if (!ends_in(name, len, protocols[i]) || len == strlen(protocols[i]))
            continue;
        const size_t port = len - strlen(protocols[i]) - 1, n = without_number(name, port);
        return n < port && ends_in(name, n, "PORT");
    }
    return false;
}

static void warn(const char *name, size_t len) {
    char shown[SHOWN_SIZE];
    const char *nearest = nearest_option(name, len, OPTION_NOT_IN_ENVIRONMENT);
    const struct option_row *row = nearest ? option_find(nearest, strlen(nearest)) : NULL;
    char variable[SETTING_VARIABLE_SIZE];
    log_escape(shown, sizeof shown, name, len);
    if (row)
        log_warning("environment: " SETTING_PREFIX
                    "%s is no option of this program, and has no effect: did you mean %s?",
                    shown, setting_variable(row, variable));
    else
        log_warning("environment: " SETTING_PREFIX "%s is no option of this program, and has no effect", shown);
}

void environment_warn(void) {
    for (char **variable = environ; *variable; variable++) {
        const char *name = *variable + PREFIX_LEN;
        if (strncmp(*variable, SETTING_PREFIX, PREFIX_LEN) != 0)
            continue;
        const size_t len = strcspn(name, "=");
        if (name[len] && !is_option(name, len) && !is_internal(name, len) && !is_of_kubernetes(name, len))
            warn(name, len);
    }
}
