#include "config.h"

#include "supervisor/slices.h"

#include "base/log.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLICE_NS = 100000 };

void slices_shorten(void) {
    struct sched_attr now = {.size = sizeof now};
    if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) || now.sched_policy != SCHED_NORMAL)
        return;
    struct sched_attr wanted = {.size = sizeof wanted,
                                .sched_policy = SCHED_NORMAL,
                                .sched_nice = now.sched_nice,
                                .sched_flags = now.sched_flags & SCHED_FLAG_RESET_ON_FORK,
                                .sched_runtime = SLICE_NS};
    if (syscall(SYS_sched_setattr, 0, &wanted, 0))
        log_debug("cannot shorten the slices of the scheduler: %s", strerror(errno));
}
