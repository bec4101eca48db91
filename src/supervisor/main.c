/* wsgi-fcgi-supervisor, which wsgi-fcgi executes when it is given --workers (process/supervise.h). */
#include "config.h"

#include "base/log.h"
#include "cli/configuration.h"
#include "process/access_output.h"
#include "process/log_output.h"
#include "process/standard_files.h"
#include "process/title.h"
#include "supervisor/command.h"
#include "supervisor/supervisor.h"

#include <sysexits.h>

static int parse_and_supervise(int argc, char **argv, const struct command *command) {
    struct options o;
    struct user user = {.changes = false};
    int status = configuration_read(&o, argc, argv, false);
    if (status < 0) {
        log_max_level = o.log_level;
        if (options_resolve(&o)) {
            log_error("out of memory");
            status = EX_OSERR;
        } else
            status = user_read(&user, &o);
        if (!status)
            status = log_output_open(&o, &user);
        if (!status)
            status = access_output_open(&o, &user);
        if (!status)
            status = supervise(&o, &user, command);
    }
    user_fini(&user);
    options_fini(&o);
    return status;
}

int main(int argc, char **argv) {
    title_init(argc, argv);
    log_init();
    int status = standard_files_open();
    if (status)
        return status;
    struct command command;
    status = command_take(&command, &argc, &argv);
    if (!status)
        status = parse_and_supervise(argc, argv, &command);
    command_fini(&command);
    return status;
}
