/* How many processors this process may use, for --workers auto.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_CPUS_H
#define WSGI_FCGI_SUPERVISOR_CPUS_H

/* Those that sched_setaffinity(2) leaves to it; or what the quotas of its control groups come to, if that is less:
 * cpu.max, or cpu.cfs_quota_us of version 1, of its own group and of those above it, rounded up. At least 1. */
unsigned cpus_count(void);

/* What the quotas come to, with `root` in front of file names; 0: there are none. For tests. */
unsigned cpus_quota_at(const char *root);

#endif
