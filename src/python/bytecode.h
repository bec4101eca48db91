/* When the import system writes .pyc files.
 *
 * A .pyc file is taken for that of a source whose size and whole seconds of its time of modification are those that it
 * has noted. So for a source that is saved twice within a second, with the same size, Python runs the first version
 * from then on. With --reload that is no rare case.
 */
#ifndef WSGI_FCGI_PYTHON_BYTECODE_H
#define WSGI_FCGI_PYTHON_BYTECODE_H

/* From now on none is written for a source that was modified less than 3 seconds ago. Main thread, GIL held. Returns 0,
 * or -1 with an exception. */
int bytecode_write_late(void);

#endif
