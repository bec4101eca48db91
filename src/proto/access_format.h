/* The format of the lines of the access log (--access-log-format), compiled once into a list of steps.
 *
 *     combined            as Apache and nginx write it
 *     json                an object with all fields of ACCESS_FIELDS_JSON
 *     text with {fields}  "{{" and "}}" stand for one brace. {header:NAME}, {answer:NAME} and {environ:KEY} take a
 *                         field of the request's header, of the answer's, and a parameter of the request
 *
 * No peer can make a value look like something else than a value: each is escaped, and never contains the character
 * that the format has behind it.
 *
 * Threads: any. Pure: no I/O, no allocation, no lock.
 */
#ifndef WSGI_FCGI_PROTO_ACCESS_FORMAT_H
#define WSGI_FCGI_PROTO_ACCESS_FORMAT_H

#include "proto/params.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(NAME, "name"): what can be asked for without an argument. Those of json, in its order, are the first ones. */
#define ACCESS_FIELDS_JSON(X)                                                                                          \
    X(TIME_ISO, "time_iso") /* when the request began: 2026-11-29T08:15:00.042Z; in json "time" */                     \
    X(CLIENT, "client")     /* as REMOTE_ADDR */                                                                       \
    X(PEER, "peer")         /* of the connection */                                                                    \
    X(USER, "user")         /* as REMOTE_USER */                                                                       \
    X(METHOD, "method")                                                                                                \
    X(HOST, "host")                                                                                                    \
    X(TARGET, "target") /* path and query as the client has sent them */                                               \
    X(PROTOCOL, "protocol")                                                                                            \
    X(STATUS, "status")                                                                                                \
    X(END, "end")                                                                                                      \
    X(BYTES, "bytes")       /* of the answer's body */                                                                 \
    X(BYTES_IN, "bytes_in") /* of the request's */                                                                     \
    X(REFERER, "referer")                                                                                              \
    X(USER_AGENT, "user_agent")                                                                                        \
    X(DURATION, "duration") /* seconds, as those that follow */                                                        \
    X(QUEUE, "queue")                                                                                                  \
    X(APPLICATION, "application")                                                                                      \
    X(FIRST_BYTE, "first_byte")                                                                                        \
    X(CPU, "cpu")                                                                                                      \
    X(WORKER, "worker")                                                                                                \
    X(PID, "pid")                                                                                                      \
    X(THREAD, "thread")                                                                                                \
    X(REQUEST_ID, "request_id") /* empty with --request-id off */                                                      \
    X(TRACE_ID, "trace_id")
#define ACCESS_FIELDS_TEXT(X)                                                                                          \
    X(TIME, "time")           /* 29/Nov/2026:08:15:00 +0000 */                                                         \
    X(TIME_UNIX, "time_unix") /* seconds, with milliseconds */                                                         \
    X(REQUEST, "request")     /* method, target and protocol */                                                        \
    X(PATH, "path")                                                                                                    \
    X(QUERY, "query")                                                                                                  \
    X(SCHEME, "scheme")                                                                                                \
    X(BYTES_CLF, "bytes_clf") /* as bytes, but "-" in place of 0 */

#define ACCESS_FIELD_NAME(name, text) ACCESS_##name,
enum access_field {
    ACCESS_FIELDS_JSON(ACCESS_FIELD_NAME) ACCESS_JSON_COUNT,
    ACCESS_JSON_LAST = ACCESS_JSON_COUNT - 1, /* so that the count takes no number */
    ACCESS_FIELDS_TEXT(ACCESS_FIELD_NAME) ACCESS_NAMED_COUNT,
    ACCESS_PARAM = ACCESS_NAMED_COUNT, /* a parameter of the request: {header:...} and {environ:...} */
    ACCESS_ANSWER,                     /* a field of the answer's header */
    ACCESS_FIELD_COUNT
};
#undef ACCESS_FIELD_NAME

enum { ACCESS_STEPS = 32, ACCESS_PARAMS = 32, ACCESS_TEXT_SIZE = 1536, ACCESS_NAME_MAX = 63, ACCESS_BLOCK = 16 };

struct access_step {
    struct slice before; /* what the format has in front of the field; in JSON its key, and what goes with that */
    enum access_field field;
    unsigned param;     /* index of what it looks for among the parameters, where it does */
    struct slice name;  /* ACCESS_ANSWER: of the field */
    unsigned char stop; /* what the format has behind it, which is escaped in the value; 0: nothing */
};

struct access_format {
    bool json; /* an object: values that are text stand in quotes */
    struct access_step steps[ACCESS_STEPS];
    unsigned count;
    struct slice after;
    struct slice params[ACCESS_PARAMS]; /* names of parameters that are looked for */
    unsigned nparams;
    uint64_t lengths; /* bit N: a name of N bytes is among them */
    bool uses[ACCESS_FIELD_COUNT];
    size_t ntext;
    /* What the slices point to; so the struct must not be moved. What is in front of fields can be read in blocks, also
     * behind its end. */
    char text[ACCESS_TEXT_SIZE + ACCESS_BLOCK];
};

enum access_mistake {
    ACCESS_FINE,
    ACCESS_NO_FIELD,      /* it has no field at all: perhaps it was meant as a name */
    ACCESS_UNKNOWN,       /* no such field: `what` */
    ACCESS_NEEDS_NAME,    /* {header}, without what is asked for: `what` */
    ACCESS_TAKES_NO_NAME, /* {client:x} */
    ACCESS_BAD_NAME,      /* what is asked for cannot be a name: `what` */
    ACCESS_OPEN,          /* a brace that is not closed */
    ACCESS_CLOSED,        /* a brace that was not opened */
    ACCESS_CONTROL,       /* a control character */
    ACCESS_LONG           /* too long, or too many fields */
};

struct access_error {
    struct slice what; /* a part of the text */
    size_t at;         /* where it stands in it */
};

/* Compiles `text`, which must stay as long as *f. Returns ACCESS_FINE, or what is wrong, with *error filled. */
enum access_mistake access_format_compile(struct access_format *f, const char *text, struct access_error *error);

/* The name of a field below ACCESS_NAMED_COUNT. */
const char *access_field_name(enum access_field field);

#endif
