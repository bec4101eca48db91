/* The files that the application consists of: those of the modules that are loaded, and those that a load which has failed
 * was about or has looked for. --reload watches them.
 *
 * Left out are the standard library, which changes with Python only, and what is no file.
 *
 * Threads: the main thread, GIL held, no exception pending; none is pending on return.
 */
#ifndef WSGI_FCGI_PYTHON_APP_LOADED_FILES_H
#define WSGI_FCGI_PYTHON_APP_LOADED_FILES_H

#include <stddef.h>

struct buf;

/* From now on exceptions are kept that a load has ended with. `spec`, and `start`, as app_load takes them, outlive
 * it. */
void loaded_files_begin(const char *spec, const char *start);

/* A load has ended with this exception. Does nothing before loaded_files_begin. */
struct _object; /* PyObject: whoever tells the files has none */
void loaded_files_keep(struct _object *exc);

/* Appends the absolute paths by which the application itself may be found, each with a zero byte behind it. Some are
 * not there. Returns 0, or -1 when memory runs out. */
int loaded_files_put_first(struct buf *out);

/* The same for all: the files of the application first, those of installed packages behind them. `size` bytes and
 * `count` paths at most: what is beyond is left out. After a load that has failed, with the files that it was about,
 * and its exception is let go. */
int loaded_files_put_all(struct buf *out, size_t size, size_t count);

/* How many modules there are: when this grows, there are more files. */
long loaded_files_modules(void);

#endif
