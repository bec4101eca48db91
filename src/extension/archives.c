#include "config.h"

#include <stdio.h>

/* The archives of libev and libfcgi that Debian has are made for programs: what they have of their own is found relative
 * to their code, and so is the variable of libc that they print to, of which the linker would put a copy into a program.
 * There are none of these in a module, which the linker refuses for that. So it is linked with --wrap (src/local.mk), and
 * they find this one. */

extern FILE *__real_stderr;

/* Mutable __wrap_stderr: set before anything of the module runs. Where libev prints that there is no memory. */
FILE *__wrap_stderr;

__attribute__((constructor)) static void find_stderr(void) {
    __wrap_stderr = __real_stderr;
}
