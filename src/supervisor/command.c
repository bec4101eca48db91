#include "config.h"

#include "supervisor/command.h"

#include "base/ascii.h"
#include "base/log.h"
#include "base/path.h"
#include "cli/command_line.h"
#include "process/supervise.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sysexits.h>
#include <unistd.h>

/* The supervisor was executed by a path, which is absolute unless somebody else did so. */
static char *find_own(void) {
    char here[PATH_MAX];
    const char *executed = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    return executed ? path_absolute(getcwd(here, sizeof here), executed) : NULL;
}

/* Whether the variables make sense. */
static bool read_environment(struct command *p, int argc) {
    const char *file = getenv(SUPERVISE_PROGRAM_ENV), *words = getenv(SUPERVISE_WORDS_ENV);
    uint64_t n = 0;
    if (!file || *file != '/' || argc < 1 || (words && !ascii_is_number(words, (uint64_t)argc - 1, &n)))
        return false;
    p->words = (int)n;
    return true;
}

static int take(struct command *p, int argc, char **argv) {
    if (!read_environment(p, argc)) {
        log_error("this is a part of wsgi-fcgi, which starts it: wsgi-fcgi --workers N [OPTIONS] MODULE:CALLABLE");
        return EX_USAGE;
    }
    p->file = strdup(getenv(SUPERVISE_PROGRAM_ENV));
    p->name = strdup(argv[0]);
    p->own = find_own();
    p->argv = command_line_copy(argc, argv);
    if (p->file && p->name && p->own && p->argv)
        return 0;
    log_error("out of memory");
    return EX_OSERR;
}

int command_take(struct command *p, int *argc, char ***argv) {
    *p = (struct command){.words = 0};
    int status = take(p, *argc, *argv);
    unsetenv(SUPERVISE_PROGRAM_ENV);
    unsetenv(SUPERVISE_WORDS_ENV);
    if (status)
        return status;
    p->shown = p->words ? p->argv[p->words] : p->file;
    *argc -= p->words;
    *argv += p->words;
    (*argv)[0] = p->name;
    if (!p->words)
        return 0;
    free(p->argv[0]);
    p->argv[0] = strdup(p->file); /* by which an interpreter finds what belongs to it */
    if (p->argv[0])
        return 0;
    log_error("out of memory");
    return EX_OSERR;
}

void command_fini(struct command *p) {
    /* Those behind one for which memory ran out stay with the process, which ends. */
    for (char **word = p->argv; word && *word; word++)
        free(*word);
    free(p->argv);
    free(p->file);
    free(p->name);
    free(p->own);
    *p = (struct command){.words = 0};
}

int command_look(const struct command *p) {
    return p->words && access(p->shown, R_OK) ? errno : 0;
}

static int execute_own(const struct command *p) {
    char number[16], *first = p->argv[0];
    snprintf(number, sizeof number, "%d", p->words);
    if (setenv(SUPERVISE_PROGRAM_ENV, p->file, 1) || setenv(SUPERVISE_WORDS_ENV, number, 1))
        return errno;
    p->argv[0] = p->name;
    execve(p->own, p->argv, environ);
    int error = errno;
    p->argv[0] = first;
    unsetenv(SUPERVISE_PROGRAM_ENV);
    unsetenv(SUPERVISE_WORDS_ENV);
    return error;
}

const char *command_of_reload(const struct command *p) {
    return p->words ? p->own : p->file;
}

int command_execute(const struct command *p) {
    if (p->words)
        return execute_own(p);
    execve(p->file, p->argv, environ);
    return errno;
}
