/* The text of --help. */
#ifndef WSGI_FCGI_CLI_HELP_H
#define WSGI_FCGI_CLI_HELP_H

#include "cli/value.h"

#include <stddef.h>
#include <stdio.h>

/* Prints usage and options, grouped. The caller looks at the stream's error flag. */
void help_print(FILE *out, const struct option_row *rows, size_t count);

#endif
