#include "config.h"

#include "process/leave.h"

#include "process/pid_file.h"
#include "process/sockets.h"

void leave_nothing(void) {
    sockets_unlink();
    pid_file_remove();
}
