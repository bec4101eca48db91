#include "config.h"

#include "process/standard_files.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

int standard_files_open(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        /* The lowest that is free, which is this one; for both directions, as daemons have it. */
        if (open("/dev/null", O_RDWR) != fd) {
            log_error("cannot open /dev/null in the place of descriptor %d, which is closed: %s: start the server with "
                      "its standard input, output and error open",
                      fd, strerror(errno));
            return EX_OSERR;
        }
    }
    return 0;
}
