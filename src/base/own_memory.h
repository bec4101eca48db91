/* Reads memory of this process that may be gone, or change meanwhile: a bad address is an error and no crash.
 *
 * By process_vm_readv(2); where a profile of seccomp(2) forbids that, by /proc/self/mem, which is as good.
 *
 * Threads: any, also in handlers of signals; own_memory_init the main thread, before another one reads.
 */
#ifndef WSGI_FCGI_BASE_OWN_MEMORY_H
#define WSGI_FCGI_BASE_OWN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* Why own_memory_init has failed, and what helps, for the log. */
#define OWN_MEMORY_FORBIDDEN                                                                                           \
    "the system allows neither process_vm_readv(2) nor /proc/self/mem: allow the first one in the profile of "         \
    "seccomp(2), with systemd by SystemCallFilter="

/* Finds out which way it goes in this process. Returns 0; or -1 if none does, and then nothing can be copied. It can be
 * called again, and has to be in a child that reads. */
int own_memory_init(void);

/* Whether none does. */
bool own_memory_is_forbidden(void);

/* Copies bytes. Returns whether all of them were there. */
bool own_memory_copy(void *to, const void *from, size_t n);

/* Copies `count` pieces, one behind the other, by one call where that goes. Returns whether all of them were there. */
bool own_memory_gather(void *to, const struct iovec *from, unsigned count);

#endif
