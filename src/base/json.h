/* Writes JSON (RFC 8259) to the end of a buffer, as the calls come: commas are put where they belong, and nothing is
 * kept.
 *
 * Open it when something is to be told to programs.
 *
 * What is written is compact, of one line, and safe in a log, on a terminal and within <script>: whatever does not show
 * as one character, and <, > and &, are written as \uXXXX, which means the same. Bytes that are no UTF-8 become U+FFFD,
 * one each. Numbers have no locale.
 *
 * Errors stick: when there is no memory the rest is not written, and json_end says so. Keys are trusted: text of the
 * program, without quotes or controls.
 *
 * Threads: one at a time for each writer. Allocates nothing but room in the buffer.
 */
#ifndef WSGI_FCGI_BASE_JSON_H
#define WSGI_FCGI_BASE_JSON_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    struct buf *out;
    bool separate; /* a comma comes before the next value or key */
    bool failed;   /* no memory: nothing more is written */
};

static inline struct json json_begin(struct buf *out) {
    return (struct json){.out = out};
}

/* Returns 0; or -1 with errno ENOMEM, and the buffer has a part, which is of no use. */
int json_end(struct json *j);

void json_object_begin(struct json *j);
void json_object_end(struct json *j);
void json_array_begin(struct json *j);
void json_array_end(struct json *j);

/* The name of the next value. */
void json_key(struct json *j, const char *key);

/* A string of `len` bytes, which may be anything; NULL: null. */
void json_string(struct json *j, const char *text, size_t len);
/* The same, up to its end. */
void json_text(struct json *j, const char *text);

void json_uint(struct json *j, uint64_t number);
void json_int(struct json *j, int64_t number);
/* The same in quotes: 64 bits are more than JavaScript's numbers have (OTLP). */
void json_uint_text(struct json *j, uint64_t number);
void json_bool(struct json *j, bool value);
void json_null(struct json *j);
/* Nanoseconds as seconds, without zeros at the end: 1.5, 0.00025, 0. */
void json_seconds(struct json *j, uint64_t ns);

/* Both at once, which is most of what objects have. */
void json_member_text(struct json *j, const char *key, const char *text);
void json_member_uint(struct json *j, const char *key, uint64_t number);
void json_member_bool(struct json *j, const char *key, bool value);
void json_member_seconds(struct json *j, const char *key, uint64_t ns);

#endif
