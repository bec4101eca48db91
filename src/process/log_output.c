#include "config.h"

#include "process/log_output.h"

#include "base/log_file.h"
#include "base/trusted_open.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

int log_output_open(const struct options *o, const struct user *user) {
    char shown[PATH_MAX];
    if (!o->log_file || o->check || !log_file_open(o->log_file, user_owner(user), user_owning_group(user)))
        return 0;
    int error = errno;
    const char *advice = trusted_open_advice(error);
    log_error("%s: cannot open %s: %s%s", options_name(o, "--log-file"),
              log_escape(shown, sizeof shown, o->log_file, strlen(o->log_file)), strerror(error),
              *advice ? advice : ": its directory must be there, and the server be allowed to write it");
    return EX_CANTCREAT;
}

void log_output_inherit(const struct options *o) {
    if (o->log_file && !o->check)
        (void)log_file_inherit(o->log_file); /* one that is too long was no file of the supervisor's either */
}

static void complain(const char *shown, int error) {
    const char *advice = trusted_open_advice(error);
    if ((error == EACCES || error == EPERM) && geteuid() != 0)
        advice = ": let whoever rotates it make the new one for the user of this process";
    log_error("SIGUSR1: cannot open %s anew: %s: the log goes on in the file that was open%s", shown, strerror(error),
              advice);
}

void log_output_reopen(int sent) {
    const char *path = log_file_path();
    char shown[PATH_MAX];
    if (!path)
        return;
    log_escape(shown, sizeof shown, path, strlen(path));
    if (sent >= 0 ? log_file_take(sent) : log_file_reopen())
        complain(shown, errno);
    else
        log_info("%s was opened anew (SIGUSR1)", shown);
}
