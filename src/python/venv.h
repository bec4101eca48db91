/* Finding the virtual environment (PEP 405) that the command line or VIRTUAL_ENV names.
 *
 * Open it for what counts as one, and for what is said of what does not.
 *
 * Threads: the main thread, before Python starts. Errors are printed as what is wrong and what to do.
 */
#ifndef WSGI_FCGI_PYTHON_VENV_H
#define WSGI_FCGI_PYTHON_VENV_H

#include <stdbool.h>
#include <stddef.h>

/* Writes the path of the environment's program, DIR/bin/python, to `out` of `size` bytes. `given` is the environment's
 * directory, or what is named in its place: its bin, a file in that (python, activate), or its pyvenv.cfg. `source`:
 * what has named it, which begins each line about it, for example "--venv"; NULL: VIRTUAL_ENV. `python` is the program
 * to name in advice. Returns 0, or after printing EX_NOINPUT (nothing there, or nothing of a virtual environment) or
 * EX_CONFIG (it is no virtual environment, or was made by another version of Python). */
int venv_find_python(const char *given, const char *source, const char *python, char *out, size_t size);

#endif
