/* A setting: the value of an option as somebody has given it, and where.
 *
 * Ownership: settings point to strings of whoever has made them. Threads: the main thread, before Python is started.
 */
#ifndef WSGI_FCGI_CLI_SETTINGS_H
#define WSGI_FCGI_CLI_SETTINGS_H

#include <stddef.h>

struct option_row;

/* The layers of the configuration: what comes from a later one wins. */
enum setting_source { SETTING_FILE, SETTING_ENVIRONMENT, SETTING_COMMAND_LINE };

struct setting {
    const struct option_row *row;
    const char *text; /* NULL: a flag without a value, which is on */
    enum setting_source source;
    const char *file; /* SETTING_FILE: its name, as it was given, and the line there, from 1 on */
    unsigned line;
};

/* All that were given, in the order in which they were. Zeroed: none. */
struct settings {
    struct setting *items;
    size_t count;
    char **texts; /* to which items may point */
    size_t text_count;
};

/* Appends a setting; its strings are not copied. Returns 0, or -1 if memory runs out. */
int settings_add(struct settings *all, const struct setting *setting);

/* Takes `text`, which is in new memory, for as long as the settings. Returns it; NULL if it is NULL or memory runs out,
 * when it is freed. */
char *settings_keep(struct settings *all, char *text);

void settings_fini(struct settings *all);

/* Where it was given, in the form that begins lines of the log about it: "--threads", "WSGI_FCGI_THREADS" or
 * "/etc/shop.ini:12: threads". New memory, for free(3); NULL if memory runs out. */
char *setting_name(const struct setting *setting);

/* Writes the environment variable of an option, for example WSGI_FCGI_SOCKET_MODE for socket-mode. Returns `out`. */
enum { SETTING_VARIABLE_SIZE = 64 };
#define SETTING_PREFIX "WSGI_FCGI_"
const char *setting_variable(const struct option_row *row, char out[static SETTING_VARIABLE_SIZE]);

#endif
