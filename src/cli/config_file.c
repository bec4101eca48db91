#include "config.h"

#include "cli/config_file.h"

#include "base/ascii.h"
#include "base/log.h"
#include "base/sealed_file.h"
#include "cli/ini_file.h"
#include "cli/nearest.h"
#include "cli/options.h"
#include "cli/other_servers.h"
#include "cli/quote.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define SECTION "wsgi-fcgi"

enum { SHOWN_SIZE = 100, PATH_SHOWN_SIZE = 512, WORD_SIZE = 104, COMPLAINT_SIZE = 512 };

/* --- from the file to its bytes */

static int refuse(const char *path, const char *problem) {
    char shown[PATH_SHOWN_SIZE];
    log_error("%s: %s", log_escape(shown, sizeof shown, path, strlen(path)), problem);
    return EX_CONFIG;
}

static int no_memory(void) {
    log_error("out of memory");
    return EX_OSERR;
}

/* Reads all of it from its beginning, whoever else has the descriptor. */
static int read_bytes(struct config_file *f, int fd) {
    f->bytes = malloc(CONFIG_FILE_MAX + 1);
    if (!f->bytes)
        return no_memory();
    ssize_t n;
    while ((n = pread(fd, f->bytes + f->len, CONFIG_FILE_MAX + 1 - f->len, (off_t)f->len)) > 0 ||
           (n < 0 && errno == EINTR))
        f->len += n > 0 ? (size_t)n : 0;
    if (n < 0)
        return refuse(f->path, strerror(errno));
    if (f->len > CONFIG_FILE_MAX)
        return refuse(f->path, "is larger than 1 MiB, and cannot be a configuration file");
    char *fitting = realloc(f->bytes, f->len + 1);
    f->bytes = fitting ? fitting : f->bytes;
    return 0;
}

static int read_file(struct config_file *f) {
    char problem[COMPLAINT_SIZE];
    struct stat st;
    int fd = open(f->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), status;
    if (fd < 0) {
        snprintf(problem, sizeof problem, "cannot open the configuration file: %s", strerror(errno));
        return refuse(f->path, problem);
    }
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        status = refuse(f->path, "is no file, so it cannot be the configuration");
    } else {
        f->writable = st.st_mode & (S_IWGRP | S_IWOTH);
        f->owner = st.st_uid;
        f->foreign = st.st_uid && st.st_uid != geteuid();
        status = read_bytes(f, fd);
    }
    close(fd);
    return status;
}

/* What another program of this server has left. */
static int read_sealed(struct config_file *f, const char *text) {
    uint64_t fd;
    int status = EX_CONFIG, seals = ascii_is_number(text, INT_MAX, &fd) ? fcntl((int)fd, F_GET_SEALS) : -1;
    if (seals >= 0 && seals & F_SEAL_WRITE) {
        status = read_bytes(f, (int)fd);
        close((int)fd);
    } else {
        log_error("the environment variable " CONFIG_FILE_ENV " is for the server itself: remove it");
    }
    unsetenv(CONFIG_FILE_ENV);
    return status;
}

int config_file_read(struct config_file *f, const char *path) {
    const char *sealed = getenv(CONFIG_FILE_ENV);
    *f = (struct config_file){.path = path};
    return sealed ? read_sealed(f, sealed) : read_file(f);
}

void config_file_warn(const struct config_file *f) {
    char shown[PATH_SHOWN_SIZE];
    log_escape(shown, sizeof shown, f->path, strlen(f->path));
    if (f->foreign)
        log_warning("%s: belongs to user %u, who decides what this server runs: make it root's, or that of whom the "
                    "server is started as",
                    shown, (unsigned)f->owner);
    if (f->writable)
        log_warning("%s: others than its owner may write it, and so decide what this server runs: chmod go-w", shown);
}

int config_file_seal(const struct config_file *f) {
    return sealed_file_make("wsgi-fcgi-config", f->bytes, f->len);
}

void config_file_fini(struct config_file *f) {
    free(f->bytes);
    *f = (struct config_file){0};
}

/* --- from the bytes to settings */

struct parsing {
    const struct config_file *f;
    struct settings *all;
    unsigned mistakes, number;  /* the line */
    unsigned line[OPTIONS_MAX]; /* by option_index: the first one that has it; 0: none */
};

static void complain(struct parsing *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void complain(struct parsing *p, const char *format, ...) {
    char text[COMPLAINT_SIZE], shown[PATH_SHOWN_SIZE];
    va_list ap;
    if (++p->mistakes > CONFIG_FILE_MISTAKES)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    log_error("%s:%u: %s", log_escape(shown, sizeof shown, p->f->path, strlen(p->f->path)), p->number, text);
}

static void complain_section(struct parsing *p, const char *name) {
    char shown[SHOWN_SIZE];
    complain(p, "[%s] is no section of this file: write [" SECTION "], or none",
             log_escape(shown, sizeof shown, name, strlen(name)));
}

/* Whether it is the name of an option of another server, whichever dashes it has; if so, says what to write here. */
static bool complain_foreign(struct parsing *p, const char *name) {
    char word[WORD_SIZE];
    size_t n = (size_t)snprintf(word, sizeof word, "--%s", name);
    for (char *c = word; *c; c++)
        *c = *c == '_' ? '-' : *c;
    const struct other_servers_row *row = n < sizeof word ? other_servers_find(word, n) : NULL;
    if (row)
        complain(p, "%s is %s: here %s", name, row->whose, row->here);
    return row != NULL;
}

static void complain_key(struct parsing *p, const char *name) {
    char shown[SHOWN_SIZE];
    if (complain_foreign(p, name))
        return;
    const char *nearest = nearest_option(name, strlen(name), OPTION_NOT_IN_FILE);
    log_escape(shown, sizeof shown, name, strlen(name));
    if (nearest)
        complain(p, "unknown key \"%s\": did you mean %s?", shown, nearest);
    else
        complain(p, "unknown key \"%s\": the keys are the long options of wsgi-fcgi --help, and application", shown);
}

/* Returns the value, which belongs to the settings; NULL after it was refused, or when memory has run out (*status). */
static const char *take_value(struct parsing *p, const struct option_row *row, const struct ini_line *line,
                              int *status) {
    const char *problem = NULL;
    char shown[SHOWN_SIZE], *text = malloc(line->len + 1);
    if (text && (!line->len || *line->value != '"')) {
        memcpy(text, line->value, line->len);
        text[line->len] = '\0';
    } else if (text) {
        size_t n = quote_read(line->value, line->len, text, &problem);
        if (n && n < line->len)
            problem = "goes on behind the quote that ends it: write \\\" for a quote within quotes";
    }
    if (problem) {
        log_escape(shown, sizeof shown, line->value, line->len);
        complain(p, "%s: %s %s", row->name, row->secret ? "a value" : shown, problem);
        free(text);
        return NULL;
    }
    const char *kept = settings_keep(p->all, text);
    *status = kept ? 0 : no_memory();
    return kept;
}

static int take_key(struct parsing *p, const struct option_row *row, const struct ini_line *line) {
    char reason[VALUE_REASON_SIZE];
    unsigned *first = &p->line[option_index(row)];
    int status = 0;
    if (*first && !value_is_list(row->parse)) {
        complain(p, "%s: line %u gives it already: leave one of them out", row->name, *first);
        return 0;
    }
    *first = *first ? *first : line->number;
    const char *text = take_value(p, row, line, &status);
    if (!text)
        return status;
    const struct setting setting = {row, text, SETTING_FILE, p->f->path, line->number};
    status = options_check(&setting, reason);
    if (status == EX_USAGE)
        complain(p, "%s: %s", row->name, reason);
    else if (status || settings_add(p->all, &setting))
        return no_memory();
    return 0;
}

static int line_cb(const struct ini_line *line, void *user) {
    struct parsing *p = user;
    char shown[SHOWN_SIZE];
    p->number = line->number;
    if (line->kind == INI_WRONG) {
        complain(p, "\"%s\" %s", log_escape(shown, sizeof shown, line->value, line->len), line->name);
        return 0;
    }
    if (line->kind == INI_SECTION) {
        if (strcmp(line->name, SECTION) != 0)
            complain_section(p, line->name);
        return 0;
    }
    const struct option_row *row = option_find(line->name, strlen(line->name));
    if (row && !(row->places & OPTION_NOT_IN_FILE))
        return take_key(p, row, line);
    if (row)
        complain(p, "%s is for the command line alone", row->name);
    else
        complain_key(p, line->name);
    return 0;
}

int config_file_parse(const struct config_file *f, struct settings *all) {
    struct parsing p = {.f = f, .all = all};
    int status = ini_file_read(f->bytes, f->len, line_cb, &p);
    if (p.mistakes > CONFIG_FILE_MISTAKES)
        log_error("%s: and %u more mistakes", f->path, p.mistakes - CONFIG_FILE_MISTAKES);
    if (!status && p.mistakes)
        status = EX_CONFIG;
    return status;
}
