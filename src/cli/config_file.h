/* The configuration file: --config.
 *
 * The processes of one server use the same bytes, whatever becomes of the file meanwhile: the first one reads it, and
 * leaves the bytes in sealed memory to the programs that it executes, which find that by CONFIG_FILE_ENV. A reload reads
 * the file anew.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_CLI_CONFIG_FILE_H
#define WSGI_FCGI_CLI_CONFIG_FILE_H

#include "cli/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { CONFIG_FILE_MAX = 1 << 20, CONFIG_FILE_MISTAKES = 20 };

/* The number of the descriptor. Not for the application: whoever reads the variable removes it. */
#define CONFIG_FILE_ENV "WSGI_FCGI_CONFIG_FD"

/* Zeroed: none. */
struct config_file {
    const char *path; /* as it was given; the caller's */
    char *bytes;      /* NULL: none were read */
    size_t len;
    bool writable; /* by others than its owner */
    bool foreign;  /* the owner is neither root nor this process's user */
    uid_t owner;
};

/* Reads the file into *f, or what CONFIG_FILE_ENV names in its place. Returns 0; or EX_CONFIG or EX_OSERR after one
 * log_error line. The caller calls config_file_fini in either case. */
int config_file_read(struct config_file *f, const char *path);

/* Logs a warning if somebody may write the file who is not to decide what the server runs. */
void config_file_warn(const struct config_file *f);

/* Appends what is in it to the settings. Logs what is wrong, each mistake in a line, up to CONFIG_FILE_MISTAKES. Returns
 * 0, EX_CONFIG, or EX_OSERR. */
int config_file_parse(const struct config_file *f, struct settings *all);

/* Puts the bytes into sealed memory. Returns a descriptor, close-on-exec; or -1 with errno. */
int config_file_seal(const struct config_file *f);

void config_file_fini(struct config_file *f);

#endif
