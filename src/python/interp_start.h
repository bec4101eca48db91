/* How Python comes to be there, and how it ends: the program starts one, and an extension module is run by one. It is not
 * part of python/interp.h, because code that a running Python calls does not need it.
 *
 * Open it for how Python is set up: sys.argv, sys.executable, __main__, virtual environments, what the environment tells it.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_PYTHON_INTERP_START_H
#define WSGI_FCGI_PYTHON_INTERP_START_H

#include <stdbool.h>
#include <stddef.h>

struct interp_config {
    char *const *argv;             /* the command line of the server, at least one word, with a NULL behind */
    const char *venv;              /* the virtual environment, or what is in it (python/venv.h); NULL: none */
    const char *venv_source;       /* what has named it, for errors; NULL: VIRTUAL_ENV */
    const char *chdir;             /* absolute directory to put on sys.path; NULL: none. Not changed to. */
    const char *const *pythonpath; /* directories to put in front of it, in this order */
    size_t npythonpath;
};

/* Starts Python as `python3` would, environment variables (PYTHONPATH, PYTHONDEVMODE, ...) included, with
 *   - sys.path: the directories of `pythonpath`, `chdir`, then what Python itself puts there;
 *   - sys.argv: the first word of `argv` alone, so that an application that parses its arguments when imported sees
 *     none; sys.orig_argv: all of it, which is what setproctitle looks for in memory;
 *   - sys.executable: a real Python, DIR/bin/python of a virtual environment, so that what runs it (subprocess,
 *     multiprocessing) starts Python and not a second server;
 *   - a __main__ module whose __file__ is the server and that cannot be imported again, as its __spec__ says;
 *   - SIGINT raising KeyboardInterrupt, unless the caller has a handler by now; SIGPIPE and SIGXFSZ ignored;
 *   - faulthandler enabled, unless PYTHONFAULTHANDLER is 0: a crash shows the tracebacks of all threads;
 *   - sys.stdout line-buffered, also into a pipe or a file, so that what an application prints shows up at once
 *     (PYTHONUNBUFFERED still makes it unbuffered).
 * Returns 0 with the GIL held by the calling (main) thread. Otherwise prints what is wrong and what to do, and returns
 * a sysexits status for the caller to exit with: EX_CONFIG (the virtual environment is none, or was made by another
 * Python version; PYTHON_GIL is 0; Python does not start, as when its installation is incomplete), EX_NOINPUT (there is
 * no virtual environment, as venv_find_python says), EX_SOFTWARE (Python has started, and could not be set up). Nothing
 * of Python may be called then. */
int interp_start(const struct interp_config *config);

/* For a Python that runs already, and whose code has called this module: makes it, as far as that is possible then, what
 * interp_start would have started. What is different: sys.argv and sys.path lose what Python's own command line has put
 * there; sys.executable and sys.orig_argv stay; a virtual environment has to be that of sys.prefix, or it is EX_CONFIG;
 * __main__ is replaced by an empty one, with the file of the old. Variables that the server has removed from the
 * environment are removed from os.environ. Returns the same. Call it once. */
int interp_adopt(const struct interp_config *config);

/* Where Python comes from. */
struct interp_life {
    /* Makes this process one of the interpreter that `venv` wants, as it is in struct interp_config, with the command line
     * `argv`: does not return if that is another one than that which runs already. Returns 0, or a status after printing,
     * that of interp_start. NULL: `begin` does that. GIL held. */
    int (*settle)(const char *venv, const char *venv_source, char *const *argv);
    int (*begin)(const struct interp_config *config); /* as interp_start says */
    /* What is left to do with an interpreter that `begin` has made ready. `last` is called with `arg` once it has ended,
     * without one, on the main thread; also if the process is a child by then. `status`: what the process is to end with.
     * Returns that, or another one if it was 0 and something failed. GIL held. */
    int (*end)(int status, void (*last)(void *arg), void *arg);
};

/* Started here and ended by `end`. */
extern const struct interp_life interp_embedded;

/* There before, and afterwards: it ends, and `last` is called, after whoever has called this module has got the status
 * back. */
extern const struct interp_life interp_adopted;

#endif
