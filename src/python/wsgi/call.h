/* The state of one WSGI call, and the pieces of its answer.
 *
 * Open it for what may be sent when, how much of it, and who waits for whom meanwhile.
 *
 * It is the Python object that the application gets as start_response (python/wsgi/start_response.h); wsgi.input, write and
 * wsgi_fcgi.client_connected hold a reference to it. When the request ends its `r` becomes NULL: objects that an
 * application keeps longer stay valid, do nothing, and never touch the next request.
 *
 * All functions: GIL held, which call_leave takes. "New reference" and errors (NULL or -1 with an exception set) as
 * usual in the C API.
 */
#ifndef WSGI_FCGI_PYTHON_WSGI_CALL_H
#define WSGI_FCGI_PYTHON_WSGI_CALL_H

#include <Python.h>

#include "python/pyapp.h"
#include "request/request.h"

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct wsgi_call {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    struct pylane *lane; /* also after the end of the request */
    struct request *r;
    unsigned users;  /* threads that use `r` without the GIL right now */
    sem_t *last;     /* where the last of them says that it has left, once `r` is NULL */
    bool sending;    /* a thread is inside call_send, or sends a file (file_sending_send) */
    bool called;     /* start_response was called, whether that went well or not */
    bool started;    /* its last call went well: there is a head to send */
    bool ended;      /* the answer is complete, or was given up: nothing can be added to it */
    bool head_only;  /* the request is a HEAD */
    bool no_body;    /* HEAD, or a status without content: nothing of the body is sent */
    bool beyond;     /* the body is longer than length */
    bool length_set; /* the head has a Content-Length, from the application or from call_set_length */
    uint64_t length; /* it, if length_set */
    uint64_t sent;   /* bytes of the body given to the front end (or left out, for no_body) */
};

/* Begins the call of a request, whose object start_response_new makes. */
static inline void call_begin(struct wsgi_call *call, struct pylane *lane, struct request *r) {
    call->lane = lane;
    call->r = r;
    call->users = 0;
    call->sending = call->called = call->started = call->ended = call->length_set = call->beyond = false;
    call->head_only = call->no_body = r->vars.method.n == 4 && !memcmp(r->vars.method.p, "HEAD", 4);
    call->length = call->sent = 0;
}

/* Ends it: objects that refer to it become inert. Waits for threads of the application that are still inside one. */
void call_end(struct wsgi_call *call);

/* Between these two the GIL is released and call->r stays valid. */
PyThreadState *call_enter(struct wsgi_call *call);
void call_leave(struct wsgi_call *call, PyThreadState *state);

/* Adds "Content-Length: length" when there is none, the head is not stored yet, and the answer may have one. Returns 0,
 * also when it adds nothing; or -1 with an exception, also while another thread is sending. */
int call_set_length(struct wsgi_call *call, uint64_t length);

/* Whether a piece of the body may be sent now; otherwise an exception is set. */
bool call_may_send(struct wsgi_call *call);

enum call_sent {
    CALL_SENT,
    CALL_FULL,  /* nothing more is to be sent: as many bytes as Content-Length says are out, what came beyond was left
                   out; or the answer has no body */
    CALL_GONE,  /* the peer is gone, or this is a child (python/child.h); no exception is set */
    CALL_FAILED /* an exception is set */
};

/* Sends a piece of the body now, the head before it when it is still to be sent (PEP 3333, "Buffering and Streaming").
 * An empty piece does nothing. The GIL is released meanwhile. */
enum call_sent call_send(struct wsgi_call *call, const char *data, size_t len);

/* Only stores a piece, and the head before it: for what is to leave together with later pieces, or with the end. An
 * empty piece stores the head alone. */
enum call_sent call_put(struct wsgi_call *call, const char *data, size_t len);

/* The application has given all of its answer: completes it, or says what is wrong with it. */
enum call_sent call_finish(struct wsgi_call *call);

#endif
