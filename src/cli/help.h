/* Prints --help, and the example for a command line that is too short.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_CLI_HELP_H
#define WSGI_FCGI_CLI_HELP_H

#include "cli/option_table.h"

#include <stddef.h>
#include <stdio.h>

/* Logs the shortest command line that serves something: the first line for a user who has typed too little. */
void help_show_example(void);

/* "Limits and time-outs" and so on. */
const char *help_group_title(enum option_group group);

/* Prints usage and options, grouped, without the options that this build lacks. The caller checks the error flag of the
 * stream. */
void help_print(FILE *out, const struct option_row *rows, size_t count);

#endif
