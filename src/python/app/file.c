#include "config.h"

#define PY_SSIZE_T_CLEAN /* for "s#", until 3.12 */
#include <Python.h>

#include "python/app/app_impl.h"

#include "base/ascii.h"
#include "base/log.h"
#include "python/compat.h"
#include "python/app/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { PATH_SIZE = PATH_MAX };

static bool ends_in(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return n > m && !strcmp(s + n - m, suffix);
}

bool app_names_file(const char *module) {
    return strchr(module, '/') || ends_in(module, ".py") || ends_in(module, ".wsgi");
}

static const char *escape(const char *path, char out[static APP_TEXT_SIZE]) {
    return log_escape(out, APP_TEXT_SIZE, path, strlen(path));
}

/* What the import system knows about a module, without importing it or a package that it is in: a ModuleSpec, new
 * reference, or NULL without an exception. */
static PyObject *find_spec(const char *dotted) {
    PyObject *util = PyImport_ImportModule("importlib.util"), *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *finder = machinery ? PyObject_GetAttrString(machinery, "PathFinder") : NULL, *spec = NULL;
    size_t n = strcspn(dotted, ".");
    if (util && finder)
        spec = PyObject_CallMethod(util, "find_spec", "s#", dotted, (Py_ssize_t)n);
    while (spec && spec != Py_None && dotted[n]) {
        PyObject *path = PyObject_GetAttrString(spec, "submodule_search_locations");
        n += 1 + strcspn(dotted + n + 1, ".");
        if (path && path != Py_None)
            Py_SETREF(spec, PyObject_CallMethod(finder, "find_spec", "s#O", dotted, (Py_ssize_t)n, path));
        else
            Py_CLEAR(spec);
        Py_XDECREF(path);
    }
    if (spec == Py_None)
        Py_CLEAR(spec);
    Py_XDECREF(util);
    Py_XDECREF(machinery);
    Py_XDECREF(finder);
    PyErr_Clear();
    return spec;
}

static bool module_exists(const char *dotted) {
    PyObject *spec = find_spec(dotted);
    Py_XDECREF(spec);
    return spec;
}

/* Does importing `dotted` run the file `path`? Not when another module of that name comes first, such as one of Python's
 * own that is loaded already. */
static bool imports_file(const char *dotted, const char *path) {
    PyObject *spec = find_spec(dotted);
    PyObject *origin = spec ? PyObject_GetAttrString(spec, "origin") : NULL;
    PyObject *bytes = origin && PyUnicode_Check(origin) ? PyUnicode_EncodeFSDefault(origin) : NULL;
    struct stat a, b;
    bool same =
        bytes && !stat(PyBytes_AS_STRING(bytes), &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
    Py_XDECREF(bytes);
    Py_XDECREF(origin);
    Py_XDECREF(spec);
    PyErr_Clear();
    return same;
}

/* Writes DIR/NAME, or NAME alone when it is absolute, and looks what is there. Returns 0 or errno. */
static int look(const char *dir, const char *name, char path[static PATH_SIZE], struct stat *st) {
    int n = name[0] == '/' ? snprintf(path, PATH_SIZE, "%s", name) : snprintf(path, PATH_SIZE, "%s/%s", dir, name);
    if (n >= PATH_SIZE)
        return ENAMETOOLONG;
    return stat(path, st) ? errno : 0;
}

static bool is_absent(int error) {
    return error == ENOENT || error == ENOTDIR;
}

/* The names in the directory in which `name` was looked for that are like its own: " (did you mean ...?)", or "". */
static const char *similar_files(const char *name, char out[static APP_TEXT_SIZE]) {
    char prefix[APP_NAME_SIZE], found[APP_TEXT_SIZE - 32];
    const char *slash = strrchr(name, '/');
    int n = slash ? (int)(slash + 1 - name) : 0;
    snprintf(prefix, sizeof prefix, "%.*s", n, name);
    PyObject *os = PyImport_ImportModule("os");
    PyObject *names = os ? PyObject_CallMethod(os, "listdir", "s", n ? prefix : ".") : NULL;
    PyErr_Clear();
    text_similar(found, sizeof found, prefix, name + n, names);
    snprintf(out, APP_TEXT_SIZE, found[0] ? " (did you mean %s?)" : "%s", found);
    Py_XDECREF(names);
    Py_XDECREF(os);
    return out;
}

void app_report_no_file(const struct app_spec *s) {
    char cwd[PATH_SIZE] = "?", name[APP_TEXT_SIZE], here[APP_TEXT_SIZE], there[APP_TEXT_SIZE], similar[APP_TEXT_SIZE];
    bool relative = s->module[0] != '/';
    if (relative && !getcwd(cwd, sizeof cwd))
        snprintf(cwd, sizeof cwd, ".");
    bool two = relative && s->start && strcmp(cwd, s->start) != 0;
    log_error("there is no file %s%s%s%s%s%s: is its path misspelt?", escape(s->module, name), relative ? " in " : "",
              relative ? escape(cwd, here) : "", two ? ", nor in " : "", two ? escape(s->start, there) : "",
              similar_files(s->module, similar));
}

/* Can the file be read, and could it be Python? Returns 0, or a status after printing. */
static int check_file(const char *path, const struct stat *st) {
    char shown[APP_TEXT_SIZE], head[4096];
    escape(path, shown);
    if (!S_ISREG(st->st_mode)) {
        log_error(S_ISDIR(st->st_mode) ? "%s is a directory: name the file in it that has the application"
                                       : "%s is no regular file: name the file that has the application",
                  shown);
        return EX_NOINPUT;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        log_error("cannot read %s: %s", shown, strerror(error));
        return error == EACCES ? EX_NOPERM : EX_NOINPUT;
    }
    if (memchr(head, '\0', (size_t)n)) {
        log_error("%s is no Python source, it has bytes that text has not: name the file with the application's source",
                  shown);
        return EX_NOINPUT;
    }
    return 0;
}

/* Prints why `path` was not found. */
static int report_lookup(const struct app_spec *s, const char *path, int error) {
    char shown[APP_TEXT_SIZE];
    if (is_absent(error))
        app_report_no_file(s);
    else
        log_error("cannot read %s: %s", escape(path, shown), strerror(error));
    return error == EACCES ? EX_NOPERM : EX_NOINPUT;
}

int app_find_file(struct app_spec *s) {
    char path[PATH_SIZE], cwd[PATH_SIZE], dir[PATH_SIZE];
    struct stat st;
    if (!app_names_file(s->module))
        return 0;
    bool certain = strchr(s->module, '/') || !app_is_dotted(s->module);
    if (!getcwd(cwd, sizeof cwd))
        snprintf(cwd, sizeof cwd, ".");
    int error = look(cwd, s->module, path, &st);
    if (is_absent(error) && s->start)
        error = look(s->start, s->module, path, &st);
    /* Otherwise a module of a package; its import says so when there is none either. */
    if (!certain && (is_absent(error) || module_exists(s->module)))
        return 0;
    if (error)
        return report_lookup(s, path, error);
    int status = check_file(path, &st);
    if (status)
        return status;
    char *base = strrchr(path, '/');
    *base = '\0';
    /* As getcwd tells it for --chdir. A link that is the file itself is not followed, as import does not either. */
    if (!realpath(base == path ? "/" : path, dir) || asprintf(&s->file, "%s/%s", dir[1] ? dir : "", base + 1) < 0) {
        s->file = NULL;
        log_error("cannot find the directory of \"%s\": %s", s->shown, strerror(errno));
        return EX_OSERR;
    }
    return 0;
}

/* Moves the last part of the directory `dir` to the front of the dotted name in `name`. False when it would be no name. */
static bool climb(char dir[static PATH_SIZE], char name[static PATH_SIZE]) {
    char longer[2 * PATH_SIZE];
    char *slash = strrchr(dir, '/');
    if (!slash[1] || strchr(slash, '.'))
        return false;
    int n = snprintf(longer, sizeof longer, "%s%s%s", slash + 1, name[0] ? "." : "", name);
    if (n >= PATH_SIZE)
        return false;
    memcpy(name, longer, (size_t)n + 1);
    slash[slash == dir] = '\0';
    return true;
}

static bool is_package(const char *dir) {
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/__init__.py", dir);
    return !access(path, F_OK);
}

/* Under which name, and from which directory, import finds a file whose name ends in .py, the packages that it is in
 * included. False when there is no such name: the file's is none, such as my.app.py. */
static bool name_module(const char *file, char dir[static PATH_SIZE], char name[static PATH_SIZE]) {
    const char *base = strrchr(file, '/') + 1;
    size_t stem = strlen(base) - strlen(".py");
    snprintf(dir, PATH_SIZE, "%.*s", base - file > 1 ? (int)(base - file) - 1 : 1, file);
    if (!ends_in(base, ".py") || memchr(base, '.', stem))
        return false;
    bool init = !strcmp(base, "__init__.py");
    snprintf(name, PATH_SIZE, "%.*s", init ? 0 : (int)stem, base);
    if (init && !climb(dir, name))
        return false;
    while (is_package(dir) && climb(dir, name))
        continue;
    return true;
}

/* Puts a directory in front of sys.path, unless it is somewhere on it: with `python FILE` it is there too. Returns 0, or
 * -1 with an exception. */
static int add_to_path(const char *dir) {
    PyObject *path = PySys_GetObject("path"), *item = PyUnicode_DecodeFSDefault(dir); /* the list is borrowed */
    int has = item && path && PyList_Check(path) ? PySequence_Contains(path, item) : -1;
    int failed = has ? has < 0 : PyList_Insert(path, 0, item);
    if (failed && !PyErr_Occurred())
        PyErr_SetString(PyExc_RuntimeError, "sys.path is no list");
    Py_XDECREF(item);
    return failed ? -1 : 0;
}

/* Reads and compiles. No .pyc is written: that of site.wsgi would have the name of that of site.py. New reference, or
 * NULL with an exception. */
static PyObject *compile_file(PyObject *path) {
    PyObject *io = PyImport_ImportModule("io"), *builtins = PyImport_ImportModule("builtins");
    PyObject *file = NULL, *source = NULL, *closed = NULL, *code = NULL;
    if (io && builtins)
        file = PyObject_CallMethod(io, "open_code", "O", path);
    if (file)
        source = PyObject_CallMethod(file, "read", NULL);
    if (source)
        closed = PyObject_CallMethod(file, "close", NULL);
    if (closed)
        code = PyObject_CallMethod(builtins, "compile", "OOsiO", source, path, "exec", 0, Py_True);
    Py_XDECREF(io);
    Py_XDECREF(builtins);
    Py_XDECREF(file);
    Py_XDECREF(source);
    Py_XDECREF(closed);
    return code;
}

/* A module that is described by its name, file and loader, and is empty yet. New reference, or NULL with an exception. */
static PyObject *make_module(PyObject *name, PyObject *path) {
    PyObject *util = PyImport_ImportModule("importlib.util"), *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *loader = NULL, *spec = NULL, *module = NULL;
    if (util && machinery)
        loader = PyObject_CallMethod(machinery, "SourceFileLoader", "OO", name, path);
    if (loader)
        spec = PyObject_CallMethod(util, "spec_from_loader", "OO", name, loader);
    if (spec)
        module = PyObject_CallMethod(util, "module_from_spec", "O", spec);
    Py_XDECREF(util);
    Py_XDECREF(machinery);
    Py_XDECREF(loader);
    Py_XDECREF(spec);
    return module;
}

/* The name of a module that is not imported by it: all of the file's, such as site_wsgi, and never that of another
 * module, as "site" is Python's. New reference, or NULL with an exception. */
static PyObject *free_name(const char *file) {
    char text[NAME_MAX + 1];
    snprintf(text, sizeof text, "%s", strrchr(file, '/') + 1);
    for (char *p = text; *p; p++) {
        char c = ascii_lower(*p);
        if (!ascii_is_digit(c) && (c < 'a' || c > 'z'))
            *p = '_';
    }
    PyObject *name = PyUnicode_FromString(text);
    while (name && PyMapping_HasKey(PyImport_GetModuleDict(), name))
        Py_SETREF(name, PyUnicode_FromFormat("%U_", name));
    return name;
}

/* Loads a file that import does not find, as mod_wsgi and uWSGI do. Not by the loader's exec_module: tracebacks would
 * begin with its frames. New reference, or NULL with an exception. */
static PyObject *run_file(const char *file) {
    PyObject *modules = PyImport_GetModuleDict(); /* borrowed */
    PyObject *path = PyUnicode_DecodeFSDefault(file), *code = path ? compile_file(path) : NULL;
    PyObject *name = code ? free_name(file) : NULL, *module = name ? make_module(name, path) : NULL, *result = NULL;
    if (module && !PyObject_SetItem(modules, name, module)) {
        PyObject *dict = PyModule_GetDict(module); /* borrowed */
        if (!PyDict_SetItemString(dict, "__builtins__", PyEval_GetBuiltins()))
            result = PyEval_EvalCode(code, dict, dict);
        if (!result) {
            PyObject *exc = compat_err_take();
            if (PyObject_DelItem(modules, name))
                PyErr_Clear();
            compat_err_restore(exc);
        }
    }
    if (!result)
        Py_CLEAR(module);
    Py_XDECREF(path);
    Py_XDECREF(code);
    Py_XDECREF(name);
    Py_XDECREF(result);
    return module;
}

PyObject *app_load_file(const struct app_spec *s, int *status) {
    char dir[PATH_SIZE], dotted[PATH_SIZE], shown[APP_TEXT_SIZE], doing[APP_TEXT_SIZE + 32];
    bool named = name_module(s->file, dir, dotted);
    PyObject *module = NULL;
    if (!add_to_path(dir) && named && imports_file(dotted, s->file)) {
        PyObject *name = PyUnicode_DecodeFSDefault(dotted);
        module = name ? PyImport_Import(name) : NULL;
        Py_XDECREF(name);
    } else if (!PyErr_Occurred()) {
        module = run_file(s->file);
    }
    if (module)
        return module;
    snprintf(doing, sizeof doing, "loading %s", escape(s->file, shown));
    *status = app_report_exception(doing);
    return NULL;
}
