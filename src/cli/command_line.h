/* Parses the command line.
 *
 * Threads: called once, by the main thread, before Python is started.
 */
#ifndef WSGI_FCGI_CLI_COMMAND_LINE_H
#define WSGI_FCGI_CLI_COMMAND_LINE_H

#include "cli/options.h"

/* Fills *o from the command line, the environment and the defaults; options_resolve comes next.
 *
 * Returns -1 if the program should go on; otherwise the exit status to end with: 0 after --help was printed on standard
 * output, EX_USAGE after the mistake was logged, EX_OSERR when memory ran out or standard output could not be written.
 * The caller calls options_fini in every case. argv is permuted (operands go last). */
int command_line_parse(struct options *o, int argc, char **argv);

#endif
