/* Takes answers apart: the head of a CGI or HTTP/1.1 answer, and HTTP/1.1's framing of the body. No I/O. */
#ifndef WSGI_FCGI_BENCH_LOAD_ANSWER_H
#define WSGI_FCGI_BENCH_LOAD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HEAD_MAX = 8192 };

struct head {
    int status;     /* 0 when it has none that can be read */
    int64_t length; /* Content-Length; -1 when it is not said */
    bool chunked;
    bool closes; /* HTTP: the connection ends after this answer */
};

enum answer_state {
    ANSWER_HEAD,
    ANSWER_BODY,       /* FastCGI: until END_REQUEST; HTTP: `left` bytes */
    ANSWER_TO_CLOSE,   /* HTTP: until the connection ends */
    ANSWER_CHUNK_SIZE, /* RFC 9112 section 7.1, and the states below */
    ANSWER_CHUNK,
    ANSWER_CHUNK_END,
    ANSWER_TRAILER,
    ANSWER_DONE, /* HTTP only: FastCGI says the end in another record */
};

struct answer {
    enum answer_state state;
    char *text; /* the head, in HEAD_MAX bytes that whoever made this provides */
    size_t text_len;
    struct head head;
    char *
        content; /* where the first `content_max` bytes of an HTTP answer's body go, if not NULL; its maker provides it */
    size_t content_max;
    uint64_t body; /* bytes of body so far, without framing */
    uint64_t left; /* HTTP: of the body or chunk */
    size_t line;   /* HTTP: bytes of the chunk's size line or trailer line so far */
};

enum answer_verdict {
    ANSWER_GOOD,
    ANSWER_BROKEN,
    ANSWER_NOT_200,
    ANSWER_BAD_LENGTH,
    ANSWER_REFUSED,     /* a 503, where visitors are counted; see load-visitors.h */
    ANSWER_UNREACHABLE, /* none, since no connection could be made */
};

/* Begins the next answer; `text` and `content` stay. */
void answer_reset(struct answer *a);

/* Takes bytes of a FastCGI STDOUT stream. Returns 0, or -1 when the head is longer than HEAD_MAX. */
int answer_take_stdout(struct answer *a, const char *p, size_t n);

/* Takes bytes of a connection, at most to the end of one answer (state ANSWER_DONE). Returns how many, or -1 when they
 * break the protocol. Interim answers (1xx) are skipped. */
ssize_t answer_take_http(struct answer *a, const char *p, size_t n);

/* Of an answer whose end was seen: whether it is a 200 with the length that it says, and with `length` bytes of body
 * unless that is -1. */
enum answer_verdict answer_judge(const struct answer *a, int64_t length);

#endif
