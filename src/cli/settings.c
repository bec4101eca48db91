#include "config.h"

#include "cli/settings.h"

#include "base/log.h"
#include "cli/option_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_SIZE = 512 };

int settings_add(struct settings *all, const struct setting *setting) {
    struct setting *items = realloc(all->items, (all->count + 1) * sizeof *items);
    if (!items)
        return -1;
    all->items = items;
    items[all->count++] = *setting;
    return 0;
}

char *settings_keep(struct settings *all, char *text) {
    char **texts = text ? realloc(all->texts, (all->text_count + 1) * sizeof *texts) : NULL;
    if (!texts) {
        free(text);
        return NULL;
    }
    all->texts = texts;
    return texts[all->text_count++] = text;
}

void settings_fini(struct settings *all) {
    for (size_t i = 0; i < all->text_count; i++)
        free(all->texts[i]);
    free(all->texts);
    free(all->items);
    *all = (struct settings){0};
}

const char *setting_variable(const struct option_row *row, char out[static SETTING_VARIABLE_SIZE]) {
    size_t n = (size_t)snprintf(out, SETTING_VARIABLE_SIZE, SETTING_PREFIX);
    for (const char *c = row->name; *c && n < SETTING_VARIABLE_SIZE - 1; c++)
        out[n++] = (char)(*c == '-' ? '_' : *c - 'a' + 'A'); /* names are of small letters and dashes */
    out[n] = '\0';
    return out;
}

char *setting_name(const struct setting *setting) {
    char shown[SHOWN_SIZE], variable[SETTING_VARIABLE_SIZE], *name = NULL;
    int n = -1;
    switch (setting->source) {
    case SETTING_FILE:
        n = asprintf(&name, "%s:%u: %s", log_escape(shown, sizeof shown, setting->file, strlen(setting->file)),
                     setting->line, setting->row->name);
        break;
    case SETTING_ENVIRONMENT:
        return strdup(setting_variable(setting->row, variable));
    case SETTING_COMMAND_LINE:
        if (setting->row->places & OPTION_OPERAND)
            return strdup("the application");
        n = asprintf(&name, "--%s", setting->row->name);
        break;
    }
    return n < 0 ? NULL : name;
}
