#include "config.h"

#include "process/supervise.h"

#include "base/log.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sysexits.h>
#include <unistd.h>

#define NAME "wsgi-fcgi-supervisor"

/* A script whose first line names this program is not the program. */
static bool is_program(const char *path) {
    char start[2] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return !access(path, X_OK); /* it may be executed, and not read */
    ssize_t n = read(fd, start, sizeof start);
    close(fd);
    return n == (ssize_t)sizeof start && memcmp(start, "#!", sizeof start) != 0 && !access(path, X_OK);
}

/* The file of this program, whichever link it was executed by. */
static bool read_own_path(char out[static PATH_MAX]) {
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The path by which it was executed, absolute, in new memory. NULL if memory runs out. */
static char *find_program(const char *own) {
    char here[PATH_MAX];
    const char *executed = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    if (!executed || !is_program(executed))
        executed = own;
    return path_absolute(getcwd(here, sizeof here), executed);
}

/* NULL: this is a program of its own.
 * Mutable interpreter: the main thread. */
static char *const *interpreter;

void supervise_by(char *const *words) {
    interpreter = words;
}

static void execute(const char *directory, size_t len, char *const *argv) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%.*s/" NAME, (int)len, directory) < (int)sizeof path)
        execv(path, argv);
}

enum supervise_role supervise_role(void) {
    const char *state = getenv(SUPERVISE_STATE_ENV);
    if (!state)
        return SUPERVISE_FIRST;
    return strncmp(state, SUPERVISE_STATE_CHECK, strlen(SUPERVISE_STATE_CHECK)) ? SUPERVISE_GO_ON : SUPERVISE_CHECK;
}

/* Returns -1 with errno. */
static int leave_config(const struct config_file *config) {
    char number[16];
    int fd = config->bytes ? config_file_seal(config) : -1;
    if (!config->bytes)
        return 0;
    snprintf(number, sizeof number, "%d", fd);
    return fd < 0 || fcntl(fd, F_SETFD, 0) ? -1 : setenv(CONFIG_FILE_ENV, number, 1);
}

static int complain_config(void) {
    log_error("cannot keep the configuration file in memory (memfd_create): %s", strerror(errno));
    return EX_OSERR;
}

static int execute_program(const struct config_file *config, char *const *argv) {
    char own[PATH_MAX];
    const char *slash = read_own_path(own) ? strrchr(own, '/') : NULL;
    char *program = slash ? find_program(own) : NULL;
    if (!program || setenv(SUPERVISE_PROGRAM_ENV, program, 1)) {
        log_error("cannot find the file of this program: %s: --workers needs /proc", strerror(errno));
        free(program);
        return EX_OSERR;
    }
    free(program);
    if (leave_config(config))
        return complain_config();
    execute(own, (size_t)(slash - own), argv);
    if (errno == ENOENT)
        execute(LIBEXECDIR, strlen(LIBEXECDIR), argv);
    log_error("cannot execute " NAME ", neither beside %s nor in " LIBEXECDIR ": %s: install both programs", own,
              strerror(errno));
    return EX_OSERR;
}

static size_t count_words(char *const *words) {
    size_t n = 0;
    while (words[n])
        n++;
    return n;
}

/* The first of argv, the other words of the interpreter, the other ones of argv. NULL if memory runs out. */
static char **join_words(char *const *argv, size_t nwords) {
    const size_t nargv = count_words(argv);
    char **joined = calloc(nargv + nwords, sizeof *joined);
    if (!joined)
        return NULL;
    joined[0] = argv[0];
    memcpy(joined + 1, interpreter + 1, (nwords - 1) * sizeof *joined);
    memcpy(joined + nwords, argv + 1, (nargv - 1) * sizeof *joined);
    return joined;
}

/* As Python has found them; they would stay ignored. */
static void restore_signals(void) {
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
}

static int execute_beside_module(const struct config_file *config, char *const *argv) {
    char number[16];
    const size_t nwords = count_words(interpreter);
    char **joined = join_words(argv, nwords);
    snprintf(number, sizeof number, "%zu", nwords - 1);
    if (!joined || setenv(SUPERVISE_PROGRAM_ENV, interpreter[0], 1) || setenv(SUPERVISE_WORDS_ENV, number, 1)) {
        log_error("out of memory");
        free(joined);
        return EX_OSERR;
    }
    if (leave_config(config)) {
        free(joined);
        return complain_config();
    }
    restore_signals();
    const char *file = interpreter[nwords - 1], *slash = strrchr(file, '/');
    execute(file, slash ? (size_t)(slash - file) : 0, joined);
    log_error("cannot execute " NAME " beside %s: %s: install wsgi-fcgi again", file, strerror(errno));
    free(joined);
    return EX_OSERR;
}

int supervise_execute(const struct config_file *config, char *const *argv) {
    return interpreter ? execute_beside_module(config, argv) : execute_program(config, argv);
}
