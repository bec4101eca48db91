/* Reads the command line.
 *
 * Threads: called once, by the main thread, before Python is started.
 */
#ifndef WSGI_FCGI_CLI_COMMAND_LINE_H
#define WSGI_FCGI_CLI_COMMAND_LINE_H

#include "cli/settings.h"

#include <stdbool.h>

/* Copies the words of the command line, which are given to argv as well, in an array of their own with a NULL at its
 * end: that stays in their order when command_line_read permutes argv. Options refer to the copies, and not to what the
 * system has put there: that belongs to the application, which may write another title over it (setproctitle). The
 * caller frees each and the array. Returns NULL if memory runs out; what argv has by then stays with the process. */
char **command_line_copy(int argc, char **argv);

/* Appends what is on the command line to the settings, which point to its words. `warns`: whether to log what is no
 * mistake.
 *
 * Returns -1 if the program should go on; otherwise the exit status to end with: 0 after --help was printed on standard
 * output, EX_USAGE after the mistake was logged, EX_OSERR when memory ran out or standard output could not be written.
 * argv is permuted (operands go last). */
int command_line_read(struct settings *all, int argc, char **argv, bool warns);

#endif
