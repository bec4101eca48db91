#include "config.h"

#include "process/zygote.h"

#include "base/descriptors.h"
#include "base/log.h"
#include "ipc/control.h"
#include "ipc/scoreboard.h"
#include "process/log_output.h"
#include "process/signals.h"
#include "process/worker.h"
#include "python/preload.h"
#include "python/signal_handlers.h"
#include "python/thread.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

struct zygote {
    struct worker *worker; /* the process that was executed: whose socket is that of the zygote */
    bool ends;             /* forks no more */
    int status;            /* of its end */
    pid_t workers[SCOREBOARD_SLOTS];
    size_t count;
};

/* Only wakes the zygote: which child it was is asked for there. */
static void child_cb(int number) {
    int error = errno;
    (void)number;
    signals_wake();
    errno = error;
}

/* The application may have had a handler, which gets back its place in workers. */
static void watch_children(struct sigaction *before) {
    struct sigaction action = {.sa_handler = child_cb, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, before);
}

/* Its own children may be anybody's, so each of the workers is asked for. */
static void reap(struct zygote *z) {
    for (size_t i = 0; i < z->count;) {
        int status = 0;
        pid_t pid = waitpid(z->workers[i], &status, WNOHANG);
        if (!pid || (pid < 0 && errno == EINTR)) {
            i++;
            continue;
        }
        if (pid < 0)
            log_warning("how the worker with process %d has ended is not known: the application has waited for it, "
                        "which is not its child",
                        (int)z->workers[i]);
        (void)worker_tell(z->worker, &(struct control_message){.type = CONTROL_DIED,
                                                               .a = (uint64_t)z->workers[i],
                                                               .b = (uint64_t)(unsigned)status});
        z->workers[i] = z->workers[--z->count];
    }
}

/* The message that a fork is answered with. */
static void tell_forked(const struct zygote *z, unsigned slot, pid_t pid, int error) {
    (void)worker_tell(z->worker, &(struct control_message){.type = CONTROL_FORKED,
                                                           .slot = slot,
                                                           .a = pid > 0 ? (uint64_t)pid : 0,
                                                           .b = pid > 0 ? 0 : (uint64_t)error});
}

/* Returns whether this is the new worker. `socket` is the end of its pair. No signal finds the worker with what is the
 * zygote's: it waits for the moment when it is the worker's. */
static bool fork_worker(struct zygote *z, unsigned slot, int socket) {
    sigset_t all, mask;
    descriptors_lock();
    descriptors_forget(socket);
    descriptors_unlock();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    pid_t pid = preload_fork();
    int error = errno;
    if (!pid) {
        worker_begin_forked(z->worker, socket);
        signals_begin_forked();
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (!pid)
        return true;
    close(socket);
    if (pid > 0)
        z->workers[z->count++] = pid;
    else
        log_error("cannot fork a worker: %s", strerror(error));
    tell_forked(z, slot, pid, error);
    return false;
}

/* Returns whether this is a new worker. */
static bool act(struct zygote *z, struct control_message *m) {
    bool is_worker = false;
    switch ((int)m->type) {
    case CONTROL_FORK:
        if (m->nfds != 1 || z->ends || z->count == SCOREBOARD_SLOTS) {
            tell_forked(z, m->slot, -1, m->nfds != 1 ? EPROTO : EAGAIN);
            break;
        }
        int socket = m->fds[0];
        m->fds[0] = -1;
        is_worker = fork_worker(z, m->slot, socket);
        break;
    case CONTROL_REOPEN_LOG:
        log_output_reopen(m->nfds ? m->fds[0] : -1);
        break;
    case CONTROL_STOP:
    case CONTROL_RETIRE:
        z->ends = true;
        break;
    default:
        break; /* for workers, or of another version */
    }
    if (!is_worker)
        control_close_fds(m);
    return is_worker;
}

/* Acts on all messages that are there. Returns whether this is a new worker. */
static bool act_on_all(struct zygote *z) {
    struct control_message m;
    int n;
    while ((n = control_receive(z->worker->socket, &m)) > 0) {
        if (act(z, &m))
            return true;
    }
    if (n < 0 && errno == EAGAIN)
        return false;
    z->status = worker_complain(z->worker, n);
    z->ends = true;
    return false;
}

/* Without the GIL, since threads of the application may want it. */
static void wait_for_something(const struct zygote *z) {
    bool heard = !z->status; /* else there is nobody to be heard any more */
    struct pollfd p[] = {{.fd = signals_read_fd(), .events = POLLIN}, {.fd = z->worker->socket, .events = POLLIN}};
    thread_release_main();
    (void)poll(p, heard ? 2 : 1, -1);
    thread_attach_main();
    (void)signals_drain();
}

static bool run(struct zygote *z) {
    while (!z->ends || z->count) {
        wait_for_something(z);
        reap(z);
        if (!z->status && act_on_all(z))
            return true;
    }
    return false;
}

bool zygote_fork_workers(struct worker *w, int *status) {
    struct zygote z = {.worker = w};
    struct sigaction before;
    preload_tell_threads();
    preload_freeze();
    signals_install(signal_handlers_has(SIGTERM), signal_handlers_has(SIGINT));
    signals_leave_to_supervisor();
    watch_children(&before);
    worker_tell_loaded(w);
    bool is_worker = run(&z);
    sigaction(SIGCHLD, &before, NULL);
    *status = z.status;
    return is_worker;
}
