/* A request body: filled by the event loop as the bytes come, read by the application's thread.
 *
 * Unread bytes are kept in memory up to a bound; what comes beyond is appended to an unlinked temporary file until the
 * reader has caught up. The writer never waits, so a connection can always be read from, whatever the application does.
 * Only when the file cannot take them, and a reader is there that will make room, the bytes at hand are held in memory,
 * and the writer is to bring no more until that has read what came before (BODY_HELD).
 *
 * When the length is known, exactly that many bytes are given to the reader and the rest is dropped (PEP 3333, "Input
 * and Error Streams": a server simulates the end of file there).
 *
 * Threads: one writer (the owner of the loop) and any number of readers; the functions lock. No GIL.
 */
#ifndef WSGI_FCGI_REQUEST_BODY_H
#define WSGI_FCGI_REQUEST_BODY_H

#include "base/buf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    BODY_KEEP_BYTES = 16384,   /* memory that stays with a body from one request to the next */
    BODY_RESERVE_MAX = 131072, /* taken for bytes that are only announced; no more is kept for other bodies */
    BODY_SPARES_MAX = 16
};

/* The memory of bodies that are over, for others that outgrow what stays with them: to get it anew from the system costs
 * more than all else about a body of 100 KB. It belongs to no request, so that the few that are in use find it, whichever
 * these are. All zeros: none. The writer's. */
struct body_spares {
    unsigned count;
    struct buf memory[BODY_SPARES_MAX]; /* the last one is used first */
};

void body_spares_fini(struct body_spares *s);

struct body_limits {
    size_t memory;              /* unread bytes that stay in memory */
    uint64_t total;             /* bytes of one body; 0: no limit */
    const char *spool_dir;      /* where the temporary files are made */
    struct body_spares *spares; /* NULL: none */
};

struct body {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct buf memory; /* unread bytes that came before those in the file */
    int spool;         /* descriptor of the file, or -1 */
    off_t spool_start; /* unread bytes in the file: from here */
    off_t spool_end;   /* to here */
    struct buf held;   /* unread bytes that came after those in the file, which could not take them */
    int held_error;    /* why: errno of the file */
    bool unspooled;    /* `error` is that of the file, or of memory */
    bool has_reader;   /* the writer's: its call runs, or is about to: what the file cannot take is held, no error */
    uint64_t taken;    /* bytes read so far */
    /* What was held is being read, so that more may come; NULL: nobody asks. Called by the reader, without the lock. */
    void (*room)(struct body *b);
    int64_t expected;  /* CONTENT_LENGTH, or -1 */
    uint64_t received; /* bytes taken so far */
    int error;         /* errno that reading ends with; 0: a clean end */
    bool complete;     /* nothing more will come */
    bool abandoned;    /* nobody is to read any more */
    unsigned readers;  /* waiting */
};

enum body_status {
    BODY_OK,
    BODY_HELD,      /* taken, but no more should come before body_is_held says that there is room */
    BODY_TOO_LARGE, /* beyond body_limits.total; the reader gets EFBIG */
    BODY_FAILED     /* no memory, or the temporary file cannot be written and there is no reader; who reads gets that
                       errno */
};

void body_init(struct body *b);
void body_fini(struct body *b);

/* Makes the body empty for a request whose CONTENT_LENGTH is `expected` (-1: unknown; 0: it is complete at once). */
void body_begin(struct body *b, int64_t expected);

/* Frees what a finished request left, but for memory that the next one will use. `spares`: where it may go, or NULL.
 * Writer. */
void body_reset(struct body *b, struct body_spares *spares);

/* Takes bytes from the peer. After an error status the body is complete and takes no more. Writer. */
enum body_status body_append(struct body *b, const struct body_limits *limits, const void *data, size_t len);

/* Whether bytes are held for want of a file that takes them. *taken: bytes that were read so far. Any thread. */
bool body_is_held(struct body *b, uint64_t *taken);

/* Nobody reads what is held: nothing more will come, and the reader gets the error of the file, without what is there, so
 * that its space is free for others. Writer. */
void body_give_up_held(struct body *b);

/* Whether reading ends with an error because neither the file nor memory could take the body. Any thread. */
bool body_unspooled(struct body *b);

/* The peer has sent everything. With fewer bytes than expected the reader gets those, then ECONNABORTED. Writer. */
void body_end(struct body *b);

/* Nothing more will come, and what is unread does not count: the reader gets `error`. Writer. */
void body_abort(struct body *b, int error);

/* It was announced, but nothing of it came or will come: it is one of no bytes, as if that had been said. Writer. */
void body_begin_empty(struct body *b);

/* The call has ended: who still reads or waits gets ECONNRESET, now and later. The writer goes on as it was, and what is
 * there stays until body_reset. Any thread. */
void body_abandon(struct body *b);

/* Nothing more will come: the reader gets what is there, then `error`. Writer. */
void body_cut(struct body *b, int error);

/* Whether nothing more will come. Any thread. */
bool body_complete(struct body *b);

/* Whether all of it came, and was kept. Any thread. */
bool body_whole(struct body *b);

/* The errno that reading ends with; 0: none so far. Any thread. */
int body_error(struct body *b);

/* Whether it ended with fewer bytes than expected. Writer. */
bool body_short(const struct body *b);

/* Whether bytes are, or were, kept in a file that is still open. Writer. */
static inline bool body_has_file(const struct body *b) {
    return b->spool >= 0;
}

/* Copies up to `len` bytes to `out`. Returns how many; 0 at the end; -1 with errno EAGAIN when nothing is there yet,
 * or with the error that ended the body. Does not wait. */
ssize_t body_read(struct body *b, void *out, size_t len);

/* Waits until body_read would not give EAGAIN. */
void body_wait(struct body *b);

#endif
