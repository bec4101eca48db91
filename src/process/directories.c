#include "config.h"

#include "process/directories.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* Checks this because Python ignores what it cannot read, and a failing import does not tell why. */
static void warn_unreadable(const char *path, const char *source) {
    char shown[PATH_MAX];
    if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS))
        log_warning("%s: nothing is imported from %s: %s%s", source,
                    log_escape(shown, sizeof shown, path, strlen(path)), strerror(errno),
                    strchr(path, ',') ? ": between directories stands a colon" : "");
}

static int check_spool_dir(const char *path, const char *const *where) {
    if (!faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS))
        return 0;
    /* A container with a read-only root has this one all the same. */
    int error = errno;
    bool shm = !faccessat(AT_FDCWD, "/dev/shm", W_OK | X_OK, AT_EACCESS);
    log_error(
        "%s%scannot write to the directory for request bodies, %s: %s: give another one with --spool-dir%s, or mount "
        "a tmpfs there",
        where ? *where : "", where ? ": " : "", path, strerror(error),
        shm ? ", such as /dev/shm, which is memory" : "");
    return error == EACCES ? EX_NOPERM : EX_CANTCREAT;
}

int directories_check(const struct options *o, char cwd[static PATH_MAX]) {
    const char *const *where = options_where(o, "--pythonpath");
    for (size_t i = 0; i < o->pythonpath.count; i++)
        warn_unreadable(o->pythonpath.items[i], where[i]);
    if (o->chdir && chdir(o->chdir)) {
        char shown[PATH_MAX];
        const int error = errno;
        log_error("%s: cannot change to %s: %s", options_name(o, "--chdir"),
                  log_escape(shown, sizeof shown, o->chdir, strlen(o->chdir)), strerror(error));
        errno = error;
        return errno == EACCES ? EX_NOPERM : EX_NOINPUT;
    }
    if (!getcwd(cwd, PATH_MAX)) {
        log_error("cannot find the current directory: %s: give one with --chdir", strerror(errno));
        return EX_OSERR;
    }
    return check_spool_dir(o->spool_dir, options_where(o, "--spool-dir"));
}
