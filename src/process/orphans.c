#include "config.h"

#include "process/orphans.h"

#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reaps all children that have ended. Returns the status of `child` if it is one of them, or -1. */
static int reap(pid_t child) {
    pid_t pid;
    int how, status = -1;
    while ((pid = waitpid(-1, &how, WNOHANG)) > 0) {
        if (pid == child)
            status = WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
    }
    return status;
}

/* Signals from a terminal (Ctrl-C) go to all processes in its foreground, including the server. But that the terminal
 * is gone is reported to the session leader only. */
static bool is_for_both(const siginfo_t *info) {
    return info->si_code == SI_KERNEL && info->si_signo != SIGHUP;
}

/* All signals are blocked: process 1 has no handlers, and the kernel drops its unblocked signals. */
static _Noreturn void run(pid_t child, const sigset_t *all) {
    siginfo_t info;
    int status = -1;
    close_range(0, UINT_MAX, 0); /* so that an end of a pipe or a socket is the server's alone */
    while (status < 0) {
        if (sigwaitinfo(all, &info) < 0)
            continue;
        if (info.si_signo == SIGCHLD)
            status = reap(child);
        else if (!is_for_both(&info))
            kill(child, info.si_signo);
    }
    _exit(status);
}

bool orphans_leave(void) {
    sigset_t all, mask;
    if (getpid() != 1)
        return false;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &mask);
    signal(SIGCHLD, SIG_DFL); /* ignored, it would not tell of the server's end */
    pid_t child = fork();
    if (child > 0)
        run(child, &all);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (child < 0)
        log_warning(
            "cannot make a process beside process 1: %s: children that processes of the application leave behind "
            "will stay as zombies",
            strerror(errno));
    return !child;
}
