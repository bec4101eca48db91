/* The control groups of this process (cgroups(7)), of version 1 or 2.
 *
 * `root` is put in front of all file names: "", or another directory for tests.
 *
 * Threads: any, with any lock but that of the descriptors. errno is not preserved.
 */
#ifndef WSGI_FCGI_BASE_CGROUP_H
#define WSGI_FCGI_BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A group of the controller, whose directory below /sys/fs/cgroup is `path`. Returns whether to go on. */
typedef bool cgroup_cb(void *arg, const char *root, const char *path, bool version_2);

/* Calls `visit` for the group of this process in each hierarchy that has the controller ("pids"; version 2 may have
 * any), and for each group above it. In a container the path may be the host's, and name nothing here; then the
 * container's own group is at the top. */
void cgroup_each(const char *root, const char *controller, cgroup_cb *visit, void *arg);

/* Reads the beginning of a small file, such as those of groups and of /proc, as a string: "" when it cannot be read. */
void cgroup_read_text(const char *root, const char *name, char *out, size_t size);

/* The number at its beginning. Returns false for "max", and where there is no such file. */
bool cgroup_read_number(const char *root, const char *name, uint64_t *number);

#endif
