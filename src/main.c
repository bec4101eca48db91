#include "config.h"

#include "base/log.h"
#include "cli/command_line.h"
#include "process/orphans.h"
#include "process/serve.h"
#include "process/show.h"
#include "process/signals.h"
#include "process/standard_files.h"

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

static int resolve_and_serve(struct options *o, char **words) {
    if (!options_resolve(o))
        return serve(o, words);
    log_error("out of memory");
    return EX_OSERR;
}

int main(int argc, char **argv) {
    struct options o;
    log_init();
    int status = standard_files_open();
    if (status)
        return status;
    char **words = copy_words(argc, argv);
    if (!words) {
        log_error("out of memory");
        return EX_OSERR;
    }
    status = command_line_parse(&o, argc, argv);
    if (status < 0) {
        log_max_level = o.log_level;
        if (!o.version)
            signals_start(orphans_leave());
        status = o.version ? show_version() : resolve_and_serve(&o, words);
    }
    options_fini(&o);
    free_words(words);
    return status;
}
