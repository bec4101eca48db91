#include "config.h"

#include "process/program.h"

#include "base/log.h"
#include "base/notify.h"
#include "cli/command_line.h"
#include "cli/configuration.h"
#include "process/access_output.h"
#include "process/activation.h"
#include "process/log_output.h"
#include "process/orphans.h"
#include "process/serve.h"
#include "process/show.h"
#include "process/signals.h"
#include "process/standard_files.h"
#include "process/supervise.h"
#include "process/user.h"
#include "process/worker.h"
#include "python/interp_start.h"

#include <sysexits.h>

/* What it is told to do. */
struct program {
    struct options o;
    struct worker worker;
    struct user user;
    char **words;
    const struct interp_life *life;
};

static int open_log_and_serve(struct program *p) {
    int status = user_read(&p->user, &p->o);
    if (worker_is(&p->worker))
        log_output_inherit(&p->o);
    else if (!status) {
        status = log_output_open(&p->o, &p->user);
        status = status ? status : access_output_open(&p->o, &p->user);
    }
    return status ? status : serve(&p->o, &p->user, &p->worker, p->words, p->life);
}

/* With workers, all processes parse the same command line, and nobody else is told that this one is a worker. */
static bool is_supervisor(const struct options *o, const struct worker *worker) {
    return o->workers && !o->check && !worker_is(worker);
}

/* What was a supervisor cannot become a process that serves: it has no Python, and its workers would have no parent. */
static int complain_no_workers(void) {
    log_error("a reload cannot turn a server with --workers into one without: say --workers 1, or restart the server");
    return EX_CONFIG;
}

/* Before there is anything that another program, executed in the place of this one, would have to be given. What a
 * supervisor has started is there already. */
static int settle(const struct program *p) {
    if (!p->life->settle || worker_is(&p->worker) || supervise_role() != SUPERVISE_FIRST)
        return 0;
    return p->life->settle(p->o.venv, p->o.venv_from_env ? NULL : options_name(&p->o, "--venv"), p->words);
}

static int run(struct program *p) {
    if (p->o.version)
        return show_version();
    if (options_resolve(&p->o)) {
        log_error("out of memory");
        return EX_OSERR;
    }
    int status = settle(p);
    if (status)
        return status;
    if (is_supervisor(&p->o, &p->worker))
        return supervise_execute(&p->o.config, p->words);
    if (supervise_role() != SUPERVISE_FIRST)
        return complain_no_workers();
    config_file_fini(&p->o.config);
    notify_take();
    status = activation_take();
    if (status)
        return status;
    signals_start(orphans_leave(), worker_is(&p->worker) ? p->worker.supervisor : 0);
    return open_log_and_serve(p);
}

int program_main(int argc, char **argv, const struct interp_life *life) {
    /* As long as the process: the interpreter may end after this function, and what runs then looks at it.
     * Mutable program: the main thread, before there is another; struct worker says what is of others. */
    static struct program program;
    program.life = life;
    log_init();
    int status = standard_files_open();
    if (!status)
        status = worker_find(&program.worker);
    if (status)
        return status;
    program.words = command_line_copy(argc, argv);
    if (!program.words) {
        log_error("out of memory");
        return EX_OSERR;
    }
    const bool warns = !worker_is(&program.worker) && supervise_role() != SUPERVISE_GO_ON;
    status = configuration_read(&program.o, argc, argv, warns);
    if (status < 0) {
        log_max_level = program.o.log_level;
        status = run(&program);
    }
    return status;
}
