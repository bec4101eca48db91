/* WSGI (PEP 3333): loads the application, and calls it for each request.
 *
 * Open it for what happens in which order in a call, from the request to the end of its answer. Each part of that has a
 * file of its own in this folder.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_WSGI_H
#define WSGI_FCGI_PYTHON_WSGI_WSGI_H

#include <stdbool.h>

struct pylane;
struct request;

/* Loads the application named by `spec`, relative paths also from `start` (see python/app/app.h), and prepares what its
 * calls share. `multithread` and `multiprocess` become wsgi.multithread and wsgi.multiprocess. Main thread, GIL held,
 * once. Returns what wsgi_run takes as `user`; or NULL, with a status as app_load gives it, after printing what is
 * wrong. */
struct pylane *wsgi_init(const char *spec, const char *start, bool multithread, bool multiprocess, int *status);

/* In the place of an application that could not be loaded, or whose hooks for the start have failed: one that answers
 * every request with a page which shows `text` (python/wsgi/broken.h). Main thread, GIL held, before the first call.
 * Returns what wsgi_init returns, or NULL after printing what is wrong. */
struct pylane *wsgi_init_broken(const char *text, unsigned long len, bool multithread, bool multiprocess);

/* From now on environ["wsgi_fcgi.worker"] is this number. Before the first call; main thread, GIL held. Returns 0, or
 * -1 with an exception. */
int wsgi_set_worker(struct pylane *lane, unsigned number);

/* Each request has a label from now on (--request-id), which the environ holds. Before the first call; main thread, GIL
 * held. Returns 0, or -1 with an exception. */
int wsgi_label_requests(struct pylane *lane);

/* Describes the loaded application for people, in `out` of `size` bytes. GIL held. */
void wsgi_describe(const struct pylane *lane, char *out, unsigned long size);

/* Calls the application: struct lane_config.run. A scheduler's thread, without the GIL, or with it from its last call
 * (python/thread.h). */
void wsgi_run(struct request *r, void *user);

/* The same where the main thread is the one that runs calls. */
void wsgi_run_on_main(struct request *r, void *user);

/* Frees the application and what is large of what wsgi_init made. Main thread, GIL held, after all scheduler threads
 * have ended. */
void wsgi_fini(struct pylane *lane);

#endif
