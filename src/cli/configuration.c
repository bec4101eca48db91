#include "config.h"

#include "cli/configuration.h"

#include "base/glob.h"
#include "base/log.h"
#include "cli/command_line.h"
#include "cli/environment.h"
#include "cli/help.h"
#include "cli/print_config.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { SHOWN_SIZE = 512 };

/* The last setting of an option, which is in the layer that wins; NULL: none. */
static const struct setting *last_of(const struct settings *all, const struct option_row *row) {
    const struct setting *last = NULL;
    for (const struct setting *s = all->items; s < all->items + all->count; s++) {
        if (s->row == row && (!last || s->source >= last->source))
            last = s;
    }
    return last;
}

static bool is_set(const struct settings *all, const char *name) {
    return last_of(all, option_find(name, strlen(name))) != NULL;
}

static int read_file(struct options *o, bool warns) {
    const struct setting *path = last_of(&o->settings, option_find("config", strlen("config")));
    if (!path)
        return 0;
    int status = config_file_read(&o->config, path->text);
    if (!status && warns)
        config_file_warn(&o->config);
    return status ? status : config_file_parse(&o->config, &o->settings);
}

/* All mistakes of the environment and of the file are told. */
static int read_layers(struct options *o, bool warns) {
    int environment = environment_read(&o->settings);
    int file = read_file(o, warns);
    return file ? file : environment;
}

/* Sets what counts. */
static int apply(struct options *o) {
    char reason[VALUE_REASON_SIZE];
    for (size_t i = 0; i < o->settings.count; i++) {
        const struct setting *s = &o->settings.items[i];
        if (s->source != last_of(&o->settings, s->row)->source)
            continue;
        int status = options_set(o, s, reason);
        if (status) {
            log_error("--%s: %s", s->row->name, reason); /* was checked before: memory has run out */
            return status;
        }
    }
    return 0;
}

/* Logs that an option that was given lacks another one. */
static int complain_lacks(const struct options *o, const struct option_row *row, const char *why) {
    char option[SHOWN_SIZE];
    snprintf(option, sizeof option, "--%s", row->name);
    log_error("%s %s", options_name(o, option), why);
    return options_status(o, option, EX_USAGE);
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
        return options_status(o, "--reload-extra", EX_USAGE);
    }
    if (o->reload && o->preload) {
        log_error("%s loads the application anew for each worker, and %s once for all: leave one of them out",
                  options_name(o, "--reload"), options_name(o, "--preload"));
        return options_status(o, "--reload", EX_USAGE);
    }
    if (o->reload && !o->workers)
        o->workers = 1;
    return 0;
}

/* Options about workers without any are a mistake: the server would not do what they ask for. */
static int check_workers(const struct options *o) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    for (size_t i = 0; i < count && !o->workers; i++) {
        if (rows[i].group == OPTION_GROUP_WORKERS && o->given[i])
            return complain_lacks(o, &rows[i], "is for workers, and there are none: give --workers N as well");
    }
    if (o->max_requests_jitter && !o->max_requests)
        return complain_lacks(o, option_find("max-requests-jitter", strlen("max-requests-jitter")),
                              "is added to --max-requests, and there is none: give --max-requests N as well");
    const struct option_row *trace = option_find("trace-memory", strlen("trace-memory"));
    if (o->given[option_index(trace)] && o->trace_memory > 0 && !o->max_memory)
        return complain_lacks(o, trace,
                              "is for workers that come near --max-memory, and there is none: give "
                              "--max-memory SIZE as well");
    return 0;
}

/* Likewise what is about calls that take too long, where they may take any time. */
static int check_request_timeout(const struct options *o) {
    size_t count;
    const struct option_row *rows = option_table(&count);
    for (size_t i = 0; i < count && o->request_timeout <= 0; i++) {
        bool depends = rows[i].offset == offsetof(struct options, request_timeout_interrupts) ||
                       rows[i].offset == offsetof(struct options, stuck_timeout);
        if (depends && o->given[i])
            return complain_lacks(o, &rows[i],
                                  "is about calls beyond --request-timeout, and there is none: give --request-timeout "
                                  "SECONDS as well");
    }
    return 0;
}

static int check_application(const struct options *o) {
    if (o->application || o->print_config)
        return 0;
    help_show_example();
    log_error("no application given: write MODULE:CALLABLE behind the options; see wsgi-fcgi --help");
    return EX_USAGE;
}

static int check_all(struct options *o) {
    int status = check_reload(o);
    if (!status)
        status = check_workers(o);
    if (!status)
        status = check_request_timeout(o);
    return status ? status : check_application(o);
}

static int print(const struct options *o) {
    print_config(stdout, o);
    if (!fflush(stdout) && !ferror(stdout))
        return 0;
    log_error("--print-config: standard output cannot be written");
    return EX_OSERR;
}

int configuration_read(struct options *o, int argc, char **argv, bool warns) {
    int status = options_init(o);
    if (status)
        return status;
    status = command_line_read(&o->settings, argc, argv, warns);
    if (status >= 0)
        return status;
    if (is_set(&o->settings, "version")) {
        o->version = true;
        return -1;
    }
    status = read_layers(o, warns);
    if (!status && warns)
        environment_warn();
    if (!status)
        status = apply(o);
    if (!status)
        status = check_all(o);
    if (!status && o->print_config)
        return print(o);
    return status ? status : -1;
}
