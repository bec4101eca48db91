#include "config.h"

#include "base/fdtable.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    OTHERS = 1024,      /* descriptors that are no connections: the application's, above all */
    TABLE_MAX = 1 << 16 /* descriptors that the table is made for in advance */
};

void fdtable_prepare(unsigned connections) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    rlim_t size = (rlim_t)connections + OTHERS;
    if (size > TABLE_MAX)
        size = TABLE_MAX;
    if (size > limit.rlim_cur)
        size = limit.rlim_cur;
    /* The kernel makes the table large enough for the number that is asked for, and never smaller again. */
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)size - 1);
    if (fd < 0)
        log_debug("cannot make the table of open files larger: %s", strerror(errno));
    else
        close(fd);
}
