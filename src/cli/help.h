/* The text of --help. */
#ifndef WSGI_FCGI_CLI_HELP_H
#define WSGI_FCGI_CLI_HELP_H

#include "cli/option_table.h"

#include <stddef.h>
#include <stdio.h>

/* Writes the shortest command line that serves something to the log: the first line for whoever has typed too little. */
void help_show_example(void);

/* Prints usage and options, grouped, without those that this build lacks. The caller looks at the stream's error flag. */
void help_print(FILE *out, const struct option_row *rows, size_t count);

#endif
