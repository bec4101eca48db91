#include "config.h"

#include "cli/print_config.h"

#include "base/log.h"
#include "cli/help.h"
#include "cli/quote.h"

#include <stdlib.h>
#include <string.h>

/* A line of a comment must not end early: names of files and of variables may have any bytes. */
static void print_source(FILE *out, const struct setting *s) {
    char variable[SETTING_VARIABLE_SIZE];
    char shown[512];
    switch (s->source) {
    case SETTING_FILE:
        fprintf(out, "# %s:%u\n", log_escape(shown, sizeof shown, s->file, strlen(s->file)), s->line);
        break;
    case SETTING_ENVIRONMENT:
        fprintf(out, "# environment: %s\n", setting_variable(s->row, variable));
        break;
    case SETTING_COMMAND_LINE:
        fputs("# command line\n", out);
        break;
    }
}

static void print_value(FILE *out, const struct option_row *row, const char *text) {
    const char *end = row->secret ? strchr(text, '=') : NULL;
    if (end) {
        /* As a comment: a value that is wrong would be worse than none. */
        char shown[128];
        fprintf(out, "# %s = %s=... (the value is not shown)\n", row->name,
                log_escape(shown, sizeof shown, text, (size_t)(end - text)));
        return;
    }
    fprintf(out, "%s = ", row->name);
    quote_write(out, text);
    fputc('\n', out);
}

/* A flag may have been given in several words. */
static void print_flag(FILE *out, const struct options *o, const struct option_row *row) {
    const bool *on = (const bool *)((const char *)o + row->offset);
    print_value(out, row, *on ? "yes" : "no");
}

static void print_default(FILE *out, const struct options *o, const struct option_row *row) {
    const char *environment = row->env ? getenv(row->env) : NULL;
    if (environment && *environment) {
        fprintf(out, "# environment: %s\n", row->env);
        print_value(out, row, environment);
    } else if (!row->arg) {
        fputs("# default\n", out);
        print_flag(out, o, row);
    } else if (row->fallback) {
        fputs("# default\n", out);
        print_value(out, row, row->fallback);
    } else {
        fprintf(out, "# default: %s\n# %s =\n", row->otherwise ? row->otherwise : "none", row->name);
    }
}

/* Whether the setting is one of those that count: of the layer that has won, and the last one unless it is a list. */
static bool counts(const struct options *o, size_t i) {
    const struct setting *s = &o->settings.items[i];
    if (s->source != o->source[option_index(s->row)])
        return false;
    for (size_t k = i + 1; k < o->settings.count && !value_is_list(s->row->parse); k++) {
        if (o->settings.items[k].row == s->row && o->settings.items[k].source == s->source)
            return false;
    }
    return true;
}

static void print_row(FILE *out, const struct options *o, const struct option_row *row) {
    if (!o->where[option_index(row)].count) {
        print_default(out, o, row);
        return;
    }
    for (size_t i = 0; i < o->settings.count; i++) {
        const struct setting *s = &o->settings.items[i];
        if (s->row != row || !counts(o, i))
            continue;
        print_source(out, s);
        if (row->arg)
            print_value(out, row, s->text);
        else
            print_flag(out, o, row);
    }
}

void print_config(FILE *out, const struct options *o) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    fputs("# What the server would do, as a file for --config. A comment says where each value is from.\n[wsgi-fcgi]\n",
          out);
    for (int group = 0; group < OPTION_GROUP_COUNT; group++) {
        bool has_title = false;
        for (const struct option_row *row = rows; row < rows + count; row++) {
            if ((int)row->group != group || row->places & OPTION_NOT_IN_FILE || (row->http && !WSGI_FCGI_HTTP))
                continue;
            if (!has_title)
                fprintf(out, "\n# --- %s\n", help_group_title(row->group));
            has_title = true;
            fputc('\n', out);
            print_row(out, o, row);
        }
    }
}
