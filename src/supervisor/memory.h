/* How much memory processes have: workers, for --max-memory, and the supervisor itself.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_SUPERVISOR_MEMORY_H
#define WSGI_FCGI_SUPERVISOR_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

/* Its resident memory in bytes, each page that n processes have counted as an nth (PSS), for a worker that was forked;
 * 0 when it cannot be found out. It takes milliseconds for one with much memory: what base/process_memory.h tells does
 * not. */
uint64_t memory_proportional(pid_t pid);

/* From how many bytes on the memory of a worker is traced that had `first` when it began to serve, and may have `most`. */
uint64_t memory_trace_from(uint64_t first, uint64_t most);

/* Lets go of the pages of program and libraries that this process has read so far: they are those of its start or of a
 * reload, which looks up users and hosts, and is many times as large as what it does afterwards. What is needed again
 * is read again from the file. */
void memory_forget_start(void);

#endif
