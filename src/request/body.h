/* A request body: the event loop fills it as the bytes come, and the application's thread reads it.
 *
 * Unread bytes are kept in memory up to a bound. What comes beyond is appended to an unlinked temporary file until the
 * reader has caught up. The writer never waits, so a connection can always be read from, whatever the application does.
 * The exception: the file cannot take more bytes, and there is a reader that will make room. Then the bytes at hand are
 * held in memory, and the writer must bring no more until the reader has read what came before (BODY_HELD).
 *
 * If the length is known, exactly that many bytes are given to the reader, and the rest is dropped (PEP 3333, "Input
 * and Error Streams": a server simulates the end of file there).
 *
 * Threads: one writer (the owner of the loop) and any number of readers; the functions that both need lock, but for
 * body_begin and body_reset, which are for when there is no reader. The GIL is not needed.
 */
#ifndef WSGI_FCGI_REQUEST_BODY_H
#define WSGI_FCGI_REQUEST_BODY_H

#include "base/buf.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    BODY_KEEP_BYTES = 16384,   /* memory that a body keeps from one request to the next */
    BODY_RESERVE_MAX = 131072, /* the most reserved for bytes only announced, and kept for other bodies */
    BODY_SPARES_MAX = 16
};

/* Memory of finished bodies, for others that outgrow what they keep themselves. Getting it anew from the system would
 * cost more than everything else about a body of 100 KB. It belongs to no request, so whichever few requests are in use
 * find it. All zeros: empty. The writer's. */
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
    off_t spool_start; /* unread bytes in the file: from here... */
    off_t spool_end;   /* ...to here */
    uint64_t spooled;  /* bytes that were written to it; the writer's */
    struct buf held;   /* unread bytes that came after those in the file, for which it had no room */
    int held_error;    /* errno with which the file failed */
    bool unspooled;    /* `error` comes from the file, or from lack of memory */
    bool has_reader;   /* the writer's: the call runs or is about to, so bytes are held instead of failing */
    uint64_t taken;    /* bytes read so far */
    /* Called by the reader, without the lock, when it reads what was held, so that more may come. NULL: nobody asks. */
    void (*room)(struct body *b);
    int64_t expected;  /* CONTENT_LENGTH, or -1 */
    uint64_t received; /* bytes that came so far, without those that were dropped or refused */
    int error;         /* errno that reading ends with; 0: a clean end */
    bool complete;     /* nothing more will come */
    bool abandoned;    /* the call has ended: nobody may read any more */
    unsigned readers;  /* waiting */
};

enum body_status {
    BODY_OK,
    BODY_HELD,      /* taken, but bring no more until body_is_held says that there is room */
    BODY_TOO_LARGE, /* larger than body_limits.total; the reader gets EFBIG */
    BODY_FAILED     /* no memory, or the temporary file cannot be written and there is no reader; who reads gets that
                       errno */
};

void body_init(struct body *b);
void body_fini(struct body *b);

/* Prepares the body for a request whose CONTENT_LENGTH is `expected` (-1: unknown; 0: complete at once). */
void body_begin(struct body *b, int64_t expected);

/* Frees what a finished request left, except memory that the next one will use. `spares`: where memory may go, or NULL.
 * Writer. */
void body_reset(struct body *b, struct body_spares *spares);

/* Takes bytes from the peer. After an error status the body is complete and takes no more. Writer. */
enum body_status body_append(struct body *b, const struct body_limits *limits, const void *data, size_t len);

/* Whether bytes are held because the file cannot take them. *taken: bytes read so far. Any thread. */
bool body_is_held(struct body *b, uint64_t *taken);

/* Gives up a held body that nobody reads: nothing more will come, and the reader gets the error of the file but not
 * what is stored, whose space is free for others. Writer. */
void body_give_up_held(struct body *b);

/* Whether reading ends with an error because neither the file nor memory could take the body. Any thread. */
bool body_unspooled(struct body *b);

/* Ends the body: the peer has sent everything. If that is fewer bytes than expected, the reader gets those, then
 * ECONNABORTED. Writer. */
void body_end(struct body *b);

/* Ends the body and discards unread bytes: the reader gets `error`. Writer. */
void body_abort(struct body *b, int error);

/* Makes an announced body, of which nothing came or will come, a body of 0 bytes, as if that had been announced.
 * Writer. */
void body_begin_empty(struct body *b);

/* The call has ended: whoever reads or waits gets ECONNRESET, now and later. The writer is not affected, and what is
 * stored stays until body_reset. Any thread. */
void body_abandon(struct body *b);

/* Ends the body early: the reader gets the unread bytes, then `error`. Writer. */
void body_cut(struct body *b, int error);

/* Whether nothing more will come. Any thread. */
bool body_complete(struct body *b);

/* Whether all of the body came and was kept. Any thread. */
bool body_whole(struct body *b);

/* The errno with which reading ends; 0: none so far. Any thread. */
int body_error(struct body *b);

/* Whether fewer bytes than expected have come so far. Writer. */
bool body_short(const struct body *b);

/* Whether the body has an open temporary file. Writer. */
static inline bool body_has_file(const struct body *b) {
    return b->spool >= 0;
}

/* Copies up to `len` bytes to `out`. Returns how many; 0 at the end; -1 with errno EAGAIN if nothing is there yet, or
 * with the error that ended the body. Does not wait. */
ssize_t body_read(struct body *b, void *out, size_t len);

/* Waits until body_read would not give EAGAIN. */
void body_wait(struct body *b);

#endif
