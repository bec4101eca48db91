/* Memory that the processes of one server share (memfd_create(2)): how each kind of it is made and found again.
 *
 * Each begins with a head, so that a process of another version notices when it would read it wrongly. Its size is
 * fixed: who cut it would end all others, with SIGBUS. It is sparse: only what is used takes memory. Nothing in it is
 * trusted to be sensible: a process that writes anywhere in its memory may have written here.
 *
 * Threads: any.
 */
#ifndef WSGI_FCGI_IPC_SHARED_MEMORY_H
#define WSGI_FCGI_IPC_SHARED_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* What the struct begins with. */
struct shared_memory_head {
    uint32_t magic, version, size;
    uint32_t count; /* of what it has an array of */
};

/* One kind: what its head says, and its name, which /proc shows. */
struct shared_memory_kind {
    const char *name;
    struct shared_memory_head head;
};

/* Makes one, zeroed behind its head. Returns it, and its descriptor, which is close-on-exec and the server's
 * (base/descriptors.h), in *fd; or NULL with errno. */
void *shared_memory_new(const struct shared_memory_kind *kind, int *fd);

/* Maps one that another process has made; the descriptor stays the caller's. Returns NULL with errno; EPROTO if it is
 * none of this kind, or of another version. */
void *shared_memory_map(const struct shared_memory_kind *kind, int fd);

void shared_memory_unmap(const struct shared_memory_kind *kind, void *memory);

#endif
