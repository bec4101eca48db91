/* The module wsgi_fcgi, which is part of the program, or of what the package of that name imports (src/extension): what the application can ask of the server and have it do, wherever it
 * is. These are its hooks, functions to be called where a process begins and ends to serve; and how much time the request
 * has that a thread runs.
 *
 * Open it for what `import wsgi_fcgi` gives, and for when the hooks run.
 *
 * Hooks are for what each process must have of its own, such as connections and threads: with --preload the processes
 * that serve are copies of one in which the application was loaded. They run without workers as well, so that an
 * application need not know how it is run.
 *
 * Threads: the main thread, GIL held, no exception pending; none is pending on return.
 */
#ifndef WSGI_FCGI_PYTHON_MODULE_H
#define WSGI_FCGI_PYTHON_MODULE_H

/* Lets Python find the module, before its own files. Before Python starts; the GIL is not needed. Returns 0, or -1 when
 * there is no memory. */
int module_add(void);

struct _object;

/* Gives a module, which need not have the name, what `import wsgi_fcgi` gives. Returns 0, or -1 with an exception. */
int module_fill(struct _object *module);

/* From now on wsgi_fcgi.worker() returns this number, and no longer None. The GIL is not needed. */
void module_set_worker(unsigned number);

/* Runs the hooks for the start in the order in which they were registered, up to the first that fails. Call it once in
 * each process that is about to serve. From then on one that is registered is called at once. A signal that ends the
 * start interrupts them if the caller has seen to that (signals_load_resumes). Returns 0; or a status after printing
 * what is wrong:
 *   EX_SOFTWARE  a hook has raised an exception, SystemExit included;
 *   128 + N      signal N has interrupted it, whatever the application made of that; 130 also for a KeyboardInterrupt
 *                that it has raised by itself.
 * A child that a hook forks ends where the hook returns. */
int module_run_start_hooks(void);

/* Runs the hooks for the end, the last registered one first, if those for the start have gone well. The traceback of
 * one that raises is printed, and the others run. Each runs once, however often this is called. Children end
 * likewise. */
void module_run_stop_hooks(void);

/* Forgets all hooks. */
void module_fini(void);

#endif
