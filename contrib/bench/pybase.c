/* Starts the Python that wsgi-fcgi embeds, as python3 does, and waits: what the interpreter alone takes of memory. */
#include "config.h"

#include <Python.h>
#include <sysexits.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc > 2) {
        fprintf(stderr, "Usage: pybase [PYTHON]\nPYTHON is the interpreter whose installation is used.\n");
        return EX_USAGE;
    }
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    PyStatus status = {0};
    if (argc == 2)
        status = PyConfig_SetBytesString(&config, &config.program_name, argv[1]);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    puts("ready");
    fflush(stdout);
    /* Python handles SIGINT by setting a flag, so this ends by SIGTERM. */
    for (;;)
        pause();
}
