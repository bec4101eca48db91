#include "config.h"

#include "process/log_output.h"

#include "base/log_file.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>

int log_output_open(const struct options *o) {
    char shown[PATH_MAX];
    if (!o->log_file || o->check || !log_file_open(o->log_file))
        return 0;
    log_error("%s: cannot open %s: %s: its directory must be there, and the server be allowed to write it",
              options_name(o, "--log-file"), log_escape(shown, sizeof shown, o->log_file, strlen(o->log_file)),
              strerror(errno));
    return EX_CANTCREAT;
}

void log_output_reopen(void) {
    const char *path = log_file_path();
    char shown[PATH_MAX];
    if (!path)
        return;
    log_escape(shown, sizeof shown, path, strlen(path));
    if (log_file_reopen())
        log_error("SIGUSR1: cannot open %s anew: %s: the log goes on in the file that was open", shown,
                  strerror(errno));
    else
        log_info("%s was opened anew (SIGUSR1)", shown);
}
