/* Bytes in a file in memory (memfd_create(2)) that nobody can change any more: for a program that is executed, or another
 * process.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_BASE_SEALED_FILE_H
#define WSGI_FCGI_BASE_SEALED_FILE_H

#include <stddef.h>

/* Returns a new descriptor, close-on-exec, which the caller closes; or -1 with errno. `name` is shown in /proc. */
int sealed_file_make(const char *name, const void *bytes, size_t len);

#endif
