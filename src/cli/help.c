#include "config.h"

#include "cli/help.h"

#include "base/log.h"

#include <string.h>

#if WSGI_FCGI_HTTP
#define EXAMPLE "For example: wsgi-fcgi --http :8000 app:app\n"
#define PROTOCOLS "over HTTP, or over FastCGI behind a web server"
#else
#define EXAMPLE "For example: wsgi-fcgi -s /run/app.sock app:app\n"
#define PROTOCOLS "over FastCGI, behind nginx, Caddy or another proxy"
#endif

enum { HELP_WIDTH = 80, HELP_COLUMN = 29 };

static const char *const group_titles[OPTION_GROUP_COUNT] = {
    [OPTION_GROUP_CONFIGURATION] = "Configuration",
    [OPTION_GROUP_APPLICATION] = "Application",
    [OPTION_GROUP_SOCKETS] = "Sockets",
    [OPTION_GROUP_HTTP] = "HTTP",
    [OPTION_GROUP_LIMITS] = "Limits and time-outs",
    [OPTION_GROUP_WORKERS] = "Workers",
    [OPTION_GROUP_USER] = "User and process",
    [OPTION_GROUP_DEVELOPMENT] = "Development",
    [OPTION_GROUP_OBSERVING] = "Observing",
    [OPTION_GROUP_LOGGING] = "Logging",
    [OPTION_GROUP_INFORMATION] = "Information",
};

/* Prints `len` bytes at the help column or behind what is there, on a new line when this one is full; *column is where
 * the line is. */
static void print_unit(FILE *out, const char *text, size_t len, int *column) {
    if (*column > HELP_COLUMN && *column + 1 + (int)len > HELP_WIDTH) {
        fputc('\n', out);
        *column = 0;
    }
    int gap = *column < HELP_COLUMN ? HELP_COLUMN - *column : *column > HELP_COLUMN;
    *column += fprintf(out, "%*s%.*s", gap, "", (int)len, text);
}

static void print_words(FILE *out, const char *text, int *column) {
    while (*text) {
        size_t len = strcspn(text, " ");
        print_unit(out, text, len, column);
        text += len + (text[len] == ' ');
    }
}

/* "(default: $ENV, else VALUE)", or "" when there is none. */
static void format_default(const struct option_row *row, char *out, size_t size) {
    const char *value = row->otherwise ? row->otherwise : row->fallback;
    out[0] = '\0';
    if (row->env && value)
        snprintf(out, size, "(default: $%s, else %s)", row->env, value);
    else if (row->env)
        snprintf(out, size, "(default: $%s)", row->env);
    else if (value)
        snprintf(out, size, "(default: %s)", value);
}

static void print_row(FILE *out, const struct option_row *row) {
    char text[128];
    const char letter[] = {'-', row->letter, ',', '\0'};
    int column = fprintf(out, "  %3s --%s%s%s", row->letter ? letter : "", row->name, row->arg ? " " : "",
                         row->arg ? row->arg : "");
    if (column > HELP_COLUMN - 2) {
        fputc('\n', out);
        column = 0;
    }
    print_words(out, row->help, &column);
    format_default(row, text, sizeof(text));
    /* Better a short line than "(default:" on one and its value on the next. */
    if (*text && strlen(text) <= HELP_WIDTH - HELP_COLUMN)
        print_unit(out, text, strlen(text), &column);
    else
        print_words(out, text, &column);
    fputc('\n', out);
}

const char *help_group_title(enum option_group group) {
    return group_titles[group];
}

void help_show_example(void) {
    log_text(LOG_LEVEL_ERROR, EXAMPLE, sizeof EXAMPLE - 1);
}

void help_print(FILE *out, const struct option_row *rows, size_t count) {
    fputs("Usage: wsgi-fcgi [OPTIONS] MODULE:CALLABLE\n" EXAMPLE "\n"
          "Serves a WSGI application " PROTOCOLS ".\n"
          "\n"
          "MODULE:CALLABLE is \"pkg.mod:obj.attr\"; \"mod\" alone, whose \"application\" or \"app\"\n"
          "is served; or \"mod:create_app('x', debug=True)\", which is called once and\n"
          "returns it. A file can stand for the module: \"path/site.wsgi\", \"app.py:app\".\n",
          out);
    for (int group = 0; group < OPTION_GROUP_COUNT; group++) {
        fprintf(out, "\n%s:\n", group_titles[group]);
        for (size_t i = 0; i < count; i++)
            if ((int)rows[i].group == group && !(rows[i].places & OPTION_OPERAND) && (WSGI_FCGI_HTTP || !rows[i].http))
                print_row(out, &rows[i]);
        if (group == OPTION_GROUP_HTTP && !WSGI_FCGI_HTTP)
            fputs("  not in this build: install llhttp, and configure and build it again\n", out);
    }
    fputs("\nSIZE is in bytes, or 64K, 10M, 1G; SECONDS are 30 or 1.5, or 500ms, 5m, 2h.\n"
          "Behind nginx: wsgi-fcgi -s /run/app.sock --socket-group www-data app:app\n",
          out);
}
