#include "config.h"

#include "base/log.h"
#include "base/notify.h"
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
#include "process/title.h"
#include "process/worker.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* The words of the command line in their order, with a NULL behind them. Options refer to these, and not to what the
 * system has put there: that belongs to the application, which may write another title over it (setproctitle). NULL if
 * memory runs out. */
static char **copy_words(int argc, char **argv) {
    char **words = calloc((size_t)argc + 1, sizeof *words);
    for (int i = 0; words && i < argc; i++) {
        words[i] = strdup(argv[i]);
        if (!words[i])
            return NULL;
        argv[i] = words[i]; /* in an array that getopt_long(3) may put in another order */
    }
    return words;
}

static void free_words(char **words) {
    for (char **word = words; *word; word++)
        free(*word);
    free(words);
}

static int resolve_and_serve(struct options *o, struct worker *worker, char **words) {
    if (options_resolve(o)) {
        log_error("out of memory");
        return EX_OSERR;
    }
    struct user user;
    int status = user_read(&user, o);
    if (worker_is(worker))
        log_output_inherit(o);
    else if (!status) {
        status = log_output_open(o, &user);
        status = status ? status : access_output_open(o, &user);
    }
    if (!status)
        status = serve(o, &user, worker, words);
    user_fini(&user);
    return status;
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

static int run(struct options *o, struct worker *worker, char **words) {
    if (o->version)
        return show_version();
    if (is_supervisor(o, worker))
        return supervise_execute(&o->config, words);
    if (supervise_role() != SUPERVISE_FIRST)
        return complain_no_workers();
    config_file_fini(&o->config);
    notify_take();
    int status = activation_take();
    if (status)
        return status;
    signals_start(orphans_leave(), worker_is(worker) ? worker->supervisor : 0);
    return resolve_and_serve(o, worker, words);
}

int main(int argc, char **argv) {
    struct options o;
    struct worker worker;
    title_init(argc, argv);
    log_init();
    int status = standard_files_open();
    if (!status)
        status = worker_find(&worker);
    if (status)
        return status;
    char **words = copy_words(argc, argv);
    if (!words) {
        log_error("out of memory");
        return EX_OSERR;
    }
    status = configuration_read(&o, argc, argv, !worker_is(&worker) && supervise_role() != SUPERVISE_GO_ON);
    if (status < 0) {
        log_max_level = o.log_level;
        status = run(&o, &worker, words);
    }
    options_fini(&o);
    free_words(words);
    return status;
}
