#include "config.h"

#include "dl/dl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

static void fail(const char *soname) {
    const char *reason = dlerror();
    dprintf(STDERR_FILENO, "wsgi-fcgi: error: cannot load %s: %s: install the library\n", soname,
            reason ? reason : "unknown error");
    _exit(EX_UNAVAILABLE);
}

void *dl_library(const char *soname) {
    void *library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail(soname);
    return library;
}

void *dl_function(void *library, const char *soname, const char *name) {
    void *function = dlsym(library, name);
    if (!function)
        fail(soname);
    return function;
}
