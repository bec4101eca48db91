/* --print-config: all values, and where they are from, as a configuration file that means the same.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_CLI_PRINT_CONFIG_H
#define WSGI_FCGI_CLI_PRINT_CONFIG_H

#include "cli/options.h"

#include <stdio.h>

/* Prints the values. What is secret is left out: of NAME=VALUE, a comment has the name. The caller checks the error flag
 * of the stream. */
void print_config(FILE *out, const struct options *o);

#endif
