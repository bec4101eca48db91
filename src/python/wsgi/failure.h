/* What becomes of a call in which the application has failed: the line of the log, and the answer.
 *
 * Open it for which failures have a traceback, and which statuses are answered.
 *
 * GIL held.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_FAILURE_H
#define WSGI_FCGI_PYTHON_WSGI_FAILURE_H

#include "python/wsgi/call.h"

/* Logs the pending exception, and clears it. That of an application that writes to a peer that went away, or reads from
 * one that did not send its body as it should (which has a line of its own), is no fault and gets a line without a
 * traceback; peers cause it at will. `what` says what it came from. */
void failure_log(struct wsgi_call *call, const char *what);

/* Logs the pending exception, if there is one, and answers: with an error page while nothing was sent, else the answer is
 * cut off. */
void failure_answer(struct wsgi_call *call);

#endif
