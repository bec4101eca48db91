/* Tells whether a thread runs or sleeps, from /proc/PID/task/TID/stat (proc(5), field 3).
 *
 * Threads: any. The GIL is not needed.
 */
#ifndef WSGI_FCGI_SCHED_TASKSTAT_H
#define WSGI_FCGI_SCHED_TASKSTAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Opens the state of the calling thread. Returns a descriptor that any thread may pass to taskstat_state, or -1 with
 * errno (for example, no /proc in this root directory). Close it with descriptors_close. */
int taskstat_open_self(void);

/* The current state letter of the thread behind `fd`: 'R' running or runnable, 'S' and 'D' asleep in the kernel; 0 if
 * it cannot be told (`fd` is -1, or the thread has ended). If `fd` is something else by now, it was lost
 * (base/descriptors.h). About 10 us. */
char taskstat_state(int fd);

/* The same for a thread of this process without such a descriptor; 0 also if none can be opened. About 20 us. */
char taskstat_state_of(pid_t tid);

/* How long a thread of this process has been on a processor, in nanoseconds. Returns false when there is none. A system
 * call, which opens nothing. */
bool taskstat_time_of(pid_t tid, uint64_t *ns);

/* True for 'S' and 'D': the thread waits in the kernel, which a preempted or computing thread does not. */
static inline bool taskstat_is_asleep(char state) {
    return state == 'S' || state == 'D';
}

#endif
