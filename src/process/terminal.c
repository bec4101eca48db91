#include "config.h"

#include "process/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* ENXIO is what it says when there is none. Within handlers of signals, which cannot take the lock of
 * base/descriptors.h. */
bool terminal_is_there(bool otherwise) {
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || (errno != ENXIO && otherwise);
}
