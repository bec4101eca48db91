#include "config.h"

#include <Python.h>

#include "python/venv.h"

#include "base/ascii.h"
#include "base/log.h"
#include "python/compat.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { PATH_SIZE = PATH_MAX };

struct venv {
    char dir[PATH_SIZE];
    const char *source;  /* what named it, for errors, */
    const char *or_else; /* and what else can be done then */
    const char *python;  /* the program to name in advice */
    /* What pyvenv.cfg says (PEP 405; `version_info` is written by virtualenv and uv, `version` by venv). */
    char home[PATH_SIZE];
    char version[64];
    int major;
    int minor;
};

static char *trim(char *s) {
    while (ascii_is_space(*s))
        s++;
    char *end = s + strlen(s);
    while (end > s && ascii_is_space(end[-1]))
        end--;
    *end = '\0';
    return s;
}

/* "3.11.2" and whatever may stand behind it; 0.0 when it does not begin so. */
static void venv_read_version(struct venv *v, const char *text) {
    uint64_t major, minor;
    const char *point = ascii_read_number(text, 10, &major);
    bool good = point && *point == '.' && ascii_read_number(point + 1, 10, &minor) && major < 1000 && minor < 1000;
    v->major = good ? (int)major : 0;
    v->minor = good ? (int)minor : 0;
}

static void venv_read_line(struct venv *v, char *line) {
    char *equals = strchr(line, '=');
    if (!equals)
        return;
    *equals = '\0';
    const char *key = trim(line), *value = trim(equals + 1);
    if (ascii_str_equals_nocase(key, "home")) {
        snprintf(v->home, sizeof v->home, "%s", value);
    } else if (ascii_str_equals_nocase(key, "version_info") || (ascii_str_equals_nocase(key, "version") && !v->major)) {
        venv_read_version(v, value);
        snprintf(v->version, sizeof v->version, "%.*s", (int)strspn(value, "0123456789."), value);
        size_t len = strlen(v->version);
        if (len && v->version[len - 1] == '.')
            v->version[len - 1] = '\0';
    }
}

/* Writes DIR/pyvenv.cfg. False when it is too long. */
static bool venv_file(const char *dir, char out[static PATH_SIZE]) {
    return snprintf(out, PATH_SIZE, "%s/pyvenv.cfg", dir) < PATH_SIZE;
}

static bool is_venv(const char *dir) {
    char path[PATH_SIZE];
    return venv_file(dir, path) && !access(path, F_OK);
}

/* Returns 0, or -1 with errno. */
static int venv_read(struct venv *v) {
    char path[PATH_SIZE];
    if (!venv_file(v->dir, path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, f) >= 0)
        venv_read_line(v, line);
    free(line);
    fclose(f);
    return 0;
}

static void cut_slashes(char *path) {
    for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
        path[n - 1] = '\0';
}

/* People copy the path of the environment's python into --venv, that of its bin out of PATH, or that of activate from
 * where they sourced it: what is there below an environment means the environment. */
static void venv_find_dir(struct venv *v) {
    char dir[PATH_SIZE];
    struct stat st;
    bool below = false;
    cut_slashes(v->dir);
    if (is_venv(v->dir) || lstat(v->dir, &st))
        return;
    snprintf(dir, sizeof dir, "%s", v->dir);
    for (int up = 0; up < 2 && !below; up++) {
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir)
            return;
        below = !strcmp(slash + 1, "bin") || !strcmp(slash + 1, "pyvenv.cfg");
        *slash = '\0';
        cut_slashes(dir);
    }
    if (below && is_venv(dir))
        snprintf(v->dir, sizeof v->dir, "%s", dir);
}

#if !WSGI_FCGI_EXTENSION
/* Same program behind both names? */
static bool same_file(const char *a, const char *b) {
    struct stat sa, sb;
    return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Python takes the standard library from where `home` points. It is the embedded one's in nearly all cases; where it is
 * not, say so, since the library and the interpreter may be of different patch releases. */
static void venv_warn(const struct venv *v) {
    char program[PATH_SIZE + 64];
    snprintf(program, sizeof program, "%s/" COMPAT_PYTHON_NAME, v->home);
    if (access(program, X_OK))
        log_warning("the Python that the virtual environment %s was made by (%s) is not there any more: programs that "
                    "run sys.executable will fail; make the environment anew with %s -m venv --clear %s",
                    v->dir, program, v->python, v->dir);
    else if (strchr(v->python, '/') && !same_file(program, v->python))
        log_warning(
            "the virtual environment %s takes the standard library from %s (Python %s), not from the Python %d.%d.%d "
            "that wsgi-fcgi embeds (%s); should modules fail to load, make it anew with %s -m venv --clear %s",
            v->dir, v->home, v->version, PY_MAJOR_VERSION, PY_MINOR_VERSION, PY_MICRO_VERSION, v->python, v->python,
            v->dir);
}

#endif

/* The environment in a project's directory, where that was named instead: " (did you mean ...?)", or nothing. */
static const char *likely_inside(const struct venv *v, char *out, size_t size) {
    static const char *const usual[] = {"venv", ".venv", "env"};
    out[0] = '\0';
    for (size_t i = 0; i < sizeof usual / sizeof usual[0] && !out[0]; i++) {
        char dir[PATH_SIZE + 8];
        snprintf(dir, sizeof dir, "%s/%s", v->dir, usual[i]);
        if (is_venv(dir))
            snprintf(out, size, " (did you mean %s?)", dir);
    }
    return out;
}

/* Reads the environment's pyvenv.cfg. Returns 0, or a sysexits status after printing. */
static int venv_open(struct venv *v) {
    char inside[PATH_SIZE + 64];
    struct stat st;
    if (stat(v->dir, &st)) {
        if (errno == ENOENT)
            log_error("%s: there is no file or directory %s: make a virtual environment with %s -m venv %s%s",
                      v->source, v->dir, v->python, strstr(v->dir, "/bin/") ? "DIR" : v->dir, v->or_else);
        else
            log_error("%s: %s: %s", v->source, v->dir, strerror(errno));
        return EX_NOINPUT;
    }
    if (!S_ISDIR(st.st_mode)) {
        log_error("%s: %s is not in a virtual environment: name the directory of one%s", v->source, v->dir, v->or_else);
        return EX_NOINPUT;
    }
    if (!venv_read(v))
        return 0;
    if (errno == ENOENT)
        log_error("%s: %s is not a virtual environment%s: it has no pyvenv.cfg; make one with %s -m venv %s%s",
                  v->source, v->dir, likely_inside(v, inside, sizeof inside), v->python, v->dir, v->or_else);
    else
        log_error("%s: cannot read %s/pyvenv.cfg: %s", v->source, v->dir, strerror(errno));
    return EX_CONFIG;
}

static void complain_version(const struct venv *v) {
#if WSGI_FCGI_EXTENSION
    log_error(
        "%s: the virtual environment %s was made by Python %d.%d, this wsgi-fcgi is a module of Python %d.%d: make it "
        "anew with %s -m venv --clear %s%s, or install wsgi-fcgi in it",
        v->source, v->dir, v->major, v->minor, PY_MAJOR_VERSION, PY_MINOR_VERSION, v->python, v->dir, v->or_else);
#else
    log_error("%s: the virtual environment %s was made by Python %d.%d, this wsgi-fcgi embeds Python %d.%d: make it "
              "anew with %s -m venv --clear %s%s, or build wsgi-fcgi with PYTHON=%s/python%d.%d",
              v->source, v->dir, v->major, v->minor, PY_MAJOR_VERSION, PY_MINOR_VERSION, v->python, v->dir, v->or_else,
              v->home, v->major, v->minor);
#endif
}

/* A usable virtual environment? Returns 0, or a sysexits status after printing. Python itself would quietly go on without
 * the environment, or with modules of another version. */
static int venv_check(struct venv *v) {
    int failed = venv_open(v);
    if (failed)
        return failed;
    if (!v->home[0]) {
        log_error("%s: %s/pyvenv.cfg has no line \"home = DIRECTORY\": make the virtual environment anew with "
                  "%s -m venv --clear %s%s",
                  v->source, v->dir, v->python, v->dir, v->or_else);
        return EX_CONFIG;
    }
    if (v->major && (v->major != PY_MAJOR_VERSION || v->minor != PY_MINOR_VERSION)) {
        complain_version(v);
        return EX_CONFIG;
    }
#if !WSGI_FCGI_EXTENSION /* which executes the environment's own */
    venv_warn(v);
#endif
    return 0;
}

int venv_find_python(const char *given, const char *source, const char *python, char *out, size_t size) {
    struct venv v = {
        .source = source ? source : "VIRTUAL_ENV",
        .or_else = source ? "" : ", name another with --venv, or unset VIRTUAL_ENV",
        .python = python,
    };
    int status = 0;
    if (snprintf(v.dir, sizeof v.dir, "%s", given) < (int)sizeof v.dir) {
        venv_find_dir(&v);
        status = venv_check(&v);
    }
    if (!status && snprintf(out, size, "%s/bin/python", v.dir) >= (int)size) {
        log_error("%s: %s: %s", v.source, given, strerror(ENAMETOOLONG));
        status = EX_NOINPUT;
    }
    return status;
}
