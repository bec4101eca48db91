#include "config.h"

#include "cli/options.h"

#include "base/path.h"
#include "cli/option_table.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static char *field_of(struct options *o, const struct option_row *row) {
    return (char *)o + row->offset;
}

int options_init(struct options *o) {
    char reason[VALUE_REASON_SIZE];
    size_t count;
    const struct option_row *rows = option_table(&count);
    *o = (struct options){.umask = -1};
    for (const struct option_row *row = rows; row < rows + count; row++) {
        const char *text = row->env ? getenv(row->env) : NULL;
        if (!text || !*text)
            text = row->fallback;
        int status = text ? row->parse(row, text, field_of(o, row), reason) : 0;
        if (status) {
            log_error("default of --%s: %s", row->name, reason);
            return status;
        }
    }
    return 0;
}

static int append(struct options_list *list, const char *text) {
    const char **items = realloc(list->items, (list->count + 1) * sizeof *items);
    if (!items)
        return -1;
    list->items = items;
    items[list->count++] = text;
    return 0;
}

/* Returns `text`, which is in new memory, as one of the strings of *o; NULL if it is NULL, or memory runs out. */
static const char *keep(struct options *o, char *text) {
    char **made = text ? realloc(o->made, (o->made_count + 1) * sizeof *made) : NULL;
    if (!made) {
        free(text);
        return NULL;
    }
    o->made = made;
    return made[o->made_count++] = text;
}

static int note_where(struct options *o, const struct setting *setting) {
    struct options_list *where = &o->where[option_index(setting->row)];
    const char *name = keep(o, setting_name(setting));
    if (!value_is_list(setting->row->parse))
        where->count = 0;
    return name ? append(where, name) : -1;
}

/* Returns 0 if this program has the option. */
static int check_built(const struct option_row *row, char *reason) {
    if (row->parse == value_parse_otlp && !WSGI_FCGI_OTLP) {
        snprintf(reason, VALUE_REASON_SIZE,
                 "this program was built without libcurl: install it (apt-get install libcurl4-openssl-dev), and "
                 "configure and "
                 "build it again");
        return EX_USAGE;
    }
    if (row->http && !WSGI_FCGI_HTTP) {
        snprintf(
            reason, VALUE_REASON_SIZE,
            "this program was built without HTTP: install llhttp (apt-get install node-llhttp or libllhttp-dev), and "
            "configure and build it again");
        return EX_USAGE;
    }
    return 0;
}

int options_check(const struct setting *setting, char reason[static VALUE_REASON_SIZE]) {
    const struct option_row *row = setting->row;
    struct options scratch = {0};
    int status = check_built(row, reason);
    if (!status)
        status = row->parse(row, setting->text, field_of(&scratch, row), reason);
    if (value_is_list(row->parse))
        free(((struct options_list *)(void *)field_of(&scratch, row))->items);
    return status;
}

/* Whether the value that was set is another one than the default. */
static bool differs(const struct options *o, const struct setting *setting) {
    const struct option_row *row = setting->row;
    if (!row->arg)
        return *(const bool *)((const char *)o + row->offset);
    return !row->fallback || strcmp(setting->text, row->fallback) != 0;
}

int options_set(struct options *o, const struct setting *setting, char reason[static VALUE_REASON_SIZE]) {
    const struct option_row *row = setting->row;
    int status = check_built(row, reason);
    if (!status)
        status = row->parse(row, setting->text, field_of(o, row), reason);
    if (status)
        return status;
    if (note_where(o, setting)) {
        snprintf(reason, VALUE_REASON_SIZE, "out of memory");
        return EX_OSERR;
    }
    o->given[option_index(row)] = differs(o, setting);
    o->source[option_index(row)] = setting->source;
    return 0;
}

const char *const *options_where(const struct options *o, const char *option) {
    const struct option_row *row = option_find(option + 2, strlen(option + 2));
    return row ? o->where[option_index(row)].items : NULL;
}

const char *options_name(const struct options *o, const char *option) {
    const char *const *where = options_where(o, option);
    return where ? where[0] : option;
}

int options_status(const struct options *o, const char *option, int status) {
    const struct option_row *row = option_find(option + 2, strlen(option + 2));
    const bool is_file = row && options_where(o, option) && o->source[option_index(row)] == SETTING_FILE;
    return status == EX_USAGE && is_file ? EX_CONFIG : status;
}

/* Returns `path` made absolute, in memory of *o; NULL if memory runs out. */
static const char *from_start(struct options *o, const char *path) {
    return keep(o, path_absolute(o->start_directory, path));
}

enum options_access options_access_log(const struct options *o) {
    if (!strcmp(o->access_log, "-"))
        return OPTIONS_ACCESS_STDOUT;
    const bool is_syslog = !strncmp(o->access_log, "syslog", 6) && (!o->access_log[6] || o->access_log[6] == ':');
    return is_syslog ? OPTIONS_ACCESS_SYSLOG : OPTIONS_ACCESS_FILE;
}

static int resolve_path(struct options *o, const char **path) {
    const char *absolute = *path ? from_start(o, *path) : NULL;
    if (*path && !absolute)
        return -1;
    *path = absolute;
    return 0;
}

/* Appends the directories in `text`, separated by colons as in PYTHONPATH; or `text` itself, if it names something that
 * exists. Returns 0, or -1 if memory runs out. */
static int split_path(struct options *o, const char *text) {
    struct options_list *list = &o->pythonpath;
    const bool whole = !access(text, F_OK);
    for (size_t len; *text; text += len + (text[len] == ':')) {
        len = whole ? strlen(text) : strcspn(text, ":");
        if (!len)
            continue;
        char *part = strndup(text, len);
        const char *absolute = part ? from_start(o, part) : NULL;
        free(part);
        if (!absolute || append(list, absolute))
            return -1;
    }
    return 0;
}

/* What was given once, and is several directories, is where each of them was given. */
static int resolve_pythonpath(struct options *o) {
    struct options_list *where = &o->where[option_index(option_find("pythonpath", strlen("pythonpath")))];
    struct options_list given = o->pythonpath, sources = {0};
    int failed = 0;
    o->pythonpath = (struct options_list){0};
    for (size_t i = 0; i < given.count && !failed; i++) {
        failed = split_path(o, given.items[i]);
        while (!failed && sources.count < o->pythonpath.count)
            failed = append(&sources, where->items[i]);
    }
    free(given.items);
    free(where->items);
    *where = sources;
    return failed;
}

int options_resolve(struct options *o) {
    char start[PATH_MAX];
    const char *environment = getenv("VIRTUAL_ENV");
    if (getcwd(start, sizeof start) && !(o->start_directory = from_start(o, start)))
        return -1;
    if (environment && *environment && !(environment = from_start(o, environment)))
        return -1;
    if (o->access_log && options_access_log(o) == OPTIONS_ACCESS_FILE && resolve_path(o, &o->access_log))
        return -1;
    if (resolve_path(o, &o->spool_dir) || resolve_path(o, &o->venv) || resolve_path(o, &o->log_file) ||
        resolve_path(o, &o->pid_file) || resolve_pythonpath(o))
        return -1;
    o->venv_from_env = o->venv && environment && !strcmp(environment, o->venv);
    return 0;
}

void options_warn(const struct options *o, unsigned have) {
    static const char *const lacks[] = {
        [OPTION_NEEDS_FILE] = "no socket file is made",
        [OPTION_NEEDS_OWN_SOCKET] = "all sockets were made by the parent process",
        [OPTION_NEEDS_TCP] = "it is for TCP, and no TCP socket listens: see --socket-mode and --allow-uid",
        [OPTION_NEEDS_UNIX] = "it is for Unix sockets, and none listens: see --allow",
        [OPTION_NEEDS_HTTP] = "no socket speaks HTTP: see --http",
        [OPTION_NEEDS_FASTCGI] = "no socket speaks FastCGI: see --socket",
        [OPTION_NEEDS_FORWARDED] = "no proxy is named with --forwarded-allow",
        [OPTION_NEEDS_STATUS] = "there is no status page: see --status and --status-path",
    };
    size_t count;
    const struct option_row *rows = option_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (o->given[i] && rows[i].need && !(have >> rows[i].need & 1))
            log_warning("%s has no effect: %s", o->where[i].items[0], lacks[rows[i].need]);
    }
}

void options_fini(struct options *o) {
    free(o->sockets.items);
    free(o->http.items);
    free(o->status.items);
    free(o->status_allow.items);
    free(o->forwarded_allow.items);
    free(o->allow.items);
    free(o->allow_uid.items);
    free(o->allow_gid.items);
    free(o->pythonpath.items);
    free(o->warm_up.items);
    free(o->env.items);
    for (size_t i = 0; i < OPTIONS_MAX; i++)
        free(o->where[i].items);
    free(o->reload_extra.items);
    for (size_t i = 0; i < o->made_count; i++)
        free(o->made[i]);
    free(o->made);
    settings_fini(&o->settings);
    config_file_fini(&o->config);
    *o = (struct options){0};
}
