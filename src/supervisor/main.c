/* wsgi-fcgi-supervisor, which wsgi-fcgi executes when it is given --workers (process/supervise.h). */
#include "config.h"

#include "base/log.h"
#include "cli/configuration.h"
#include "process/access_output.h"
#include "process/log_output.h"
#include "process/standard_files.h"
#include "process/supervise.h"
#include "process/title.h"
#include "supervisor/supervisor.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* The words in their order, which getopt_long(3) changes, and in memory of their own, since a title is written over
 * that of the system (process/title.h); options refer to these. NULL if memory runs out. */
static char **copy_words(int argc, char **argv) {
    char **words = calloc((size_t)argc + 1, sizeof *words);
    for (int i = 0; words && i < argc; i++) {
        words[i] = strdup(argv[i]);
        if (!words[i])
            return NULL;
        argv[i] = words[i];
    }
    return words;
}

static void free_words(char **words) {
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
}

/* Nobody but the supervisor is to see the variable. NULL if it is not set, or memory runs out. */
static char *take_program(void) {
    const char *value = getenv(SUPERVISE_PROGRAM_ENV);
    char *program = value && *value == '/' ? strdup(value) : NULL;
    unsetenv(SUPERVISE_PROGRAM_ENV);
    return program;
}

static int parse_and_supervise(int argc, char **argv, char *const *words, const char *program) {
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
            status = supervise(&o, &user, words, program);
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
    char **words = copy_words(argc, argv);
    char *program = take_program();
    if (words && program)
        status = parse_and_supervise(argc, argv, words, program);
    else {
        log_error("this is a part of wsgi-fcgi, which starts it: wsgi-fcgi --workers N [OPTIONS] MODULE:CALLABLE");
        status = EX_USAGE;
    }
    free(program);
    free_words(words);
    return status;
}
