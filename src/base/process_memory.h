/* How much memory a process has.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_BASE_PROCESS_MEMORY_H
#define WSGI_FCGI_BASE_PROCESS_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

/* Its resident memory in bytes; 0 when it cannot be found out. It takes some microseconds, whatever it has. */
uint64_t process_memory_resident(pid_t pid);

#endif
