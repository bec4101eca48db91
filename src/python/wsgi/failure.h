/* What becomes of a call in which the application has failed: the line of the log, and the answer.
 *
 * Open it for which failures have a traceback, and which statuses are answered.
 *
 * GIL held, and released while lines are written.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_FAILURE_H
#define WSGI_FCGI_PYTHON_WSGI_FAILURE_H

#include "python/wsgi/call.h"

/* Logs the pending exception, and clears it. `what` says what it came from. It is no fault of the application when that
 * writes to a peer that went away, or reads from one that did not send its body as it should: such an exception gets
 * one short line a second at most and no traceback, as peers cause it at will. Nor has a call one that was interrupted since
 * its time was over, as the log has its stack by then. */
void failure_log(struct wsgi_call *call, const char *what);

/* Logs the pending exception, if there is one. Answers with an error page while the head is neither stored nor being
 * sent; else cuts the answer off. */
void failure_answer(struct wsgi_call *call);

#endif
