/* --reload: replaces workers when files change.
 *
 * The supervisor watches, because it goes on whatever becomes of the workers. Which files count is what they tell
 * (CONTROL_FILES): those that they have loaded, or would have. The patterns of --reload-extra are its own.
 *
 * Several files that are saved together are one change: it has come to its end when nothing was written for a moment.
 * A worker that was started before that is outdated, and another one is started in its place, at once and whatever its
 * predecessors do: files_look says so from the state alone. So a change while one loads is followed by one
 * more.
 *
 * Threads: the main thread.
 */
#ifndef WSGI_FCGI_SUPERVISOR_FILES_H
#define WSGI_FCGI_SUPERVISOR_FILES_H

#include "ipc/control.h"
#include "supervisor/supervisor.h"

/* Begins to watch, with --reload; else does nothing. Returns 0, or a sysexits status after a log line. */
int files_open(struct supervisor *s);

/* A worker has sent CONTROL_FILES. They are kept for files_take. */
void files_told(struct worker *w, const struct control_message *m, uint64_t now);

/* What is to be done now: wishes that outdated workers be replaced, and lets those start at once that were to wait
 * because they have failed. */
void files_look(struct supervisor *s, uint64_t now);

/* Watches what workers have told: not while one is on its way to serve, since somebody waits for that, but within a
 * tenth of a second. What changes until then is found by its time. To be called when workers were told what they are
 * to do. */
void files_take(struct supervisor *s, uint64_t now);

/* Whether a worker that has ended with `status` of wait(2) does not end the server, although none has served yet: it
 * came as far as the application, and a change may mend that. */
bool files_may_mend(const struct worker *w, int status);

void files_close(struct supervisor *s);

#endif
