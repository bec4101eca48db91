/* Values in double quotes, as the configuration file and lists in the environment have them: \" and \\ stand for the
 * character, \n, \r and \t for control characters, and \xHH for any byte but 0.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_CLI_QUOTE_H
#define WSGI_FCGI_CLI_QUOTE_H

#include <stddef.h>
#include <stdio.h>

/* Reads from `text`, `len` bytes of which the first is a quote, up to the quote that ends the value. Writes the value
 * and a null byte to `out`, which has room for `len` bytes. Returns the number of bytes read; or 0, with *problem a text
 * that follows the value in a message. */
size_t quote_read(const char *text, size_t len, char *out, const char **problem);

/* Writes the value so that it is read as it is: in quotes where it has to be. The caller checks the stream. */
void quote_write(FILE *out, const char *text);

#endif
