/* Listening sockets: opens them, takes them over from a parent process, and closes them. Knows nothing of the event
 * loop. Add a kind of socket here.
 *
 * Threads: one, at start-up and shut-down only, except for listener_is_own, listener_refuse, listener_leave and
 * listener_stop. But any
 * thread may call listener_unlink_all meanwhile, even from a signal handler.
 */
#ifndef WSGI_FCGI_NET_LISTEN_LISTENER_H
#define WSGI_FCGI_NET_LISTEN_LISTENER_H

#include "net/listen/address.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What the peers of a socket speak. The numbers are left to other versions (supervisor/state.h). */
enum listener_protocol {
    LISTENER_FASTCGI,
    LISTENER_HTTP,
    LISTENER_STATUS, /* HTTP, for the status page alone (net/status_server.h): no lane accepts there */
    LISTENER_PROTOCOL_COUNT
};

struct listener {
    int fd;         /* non-blocking, close-on-exec; -1 once closed */
    bool is_unix;   /* AF_UNIX, abstract ones too: TCP options do not apply */
    bool inherited; /* handed over by a parent process (fd:N, descriptor 0)... */
    int given;      /* ...under this number */
    bool activated; /* so by systemd: it is served whatever the options say */
    enum listener_protocol protocol;
    char *asked; /* what listener_settings says; NULL: descriptor 0, or activated */
    char *path;  /* absolute path of the socket file that this listener made and must remove, or NULL */
    dev_t dev;   /* the file made at `path`; any other file there is not removed */
    ino_t ino;
    /* The process that removes the file and shuts the socket down for everybody who has it: the one that made it, not a
     * child that has inherited it. 0: none; the socket is a parent's, or closed. */
    _Atomic pid_t owner;
    char text[ADDRESS_TEXT_SIZE]; /* for log lines; with the real port where 0 was asked for */
};

/* A growing array; start with {0}. A pointer to an item is valid until something is appended, but the memory stays
 * until listener_close_all. */
struct listener_set {
    struct listener *_Atomic items; /* at least `count`, when that is read first */
    atomic_size_t count;
};

struct listener_user {
    uid_t uid;
    gid_t gid;
};

struct listener_settings {
    unsigned mode;                           /* permission bits of a socket file */
    const char *owner;                       /* user name or number, or NULL: that of `user` */
    const char *group;                       /* group name or number, or NULL: likewise */
    const struct listener_user *user;        /* NULL: as the process makes it */
    const char *owner_source, *group_source; /* where they were given, for the log */
    unsigned backlog;
    enum listener_protocol protocol;
    const char *asked; /* the address as it was given; for whoever looks for its sockets later */
};

/* Opens (or, for fd:N, takes over) the listening sockets of one address, the `count` ones that address_parse found, and
 * appends them to *set. A relative path means the current directory of this call.
 *
 * A Unix socket accepts connections only once its file has its final mode and owner. A stale socket file is replaced. A
 * live one, and anything that is no socket, is left alone and refused.
 *
 * Returns 0; or, after one log_error line that says what to do, a sysexits status, with *set unchanged:
 *   EX_USAGE        the set listens on the address already, or the path names a directory
 *   EX_NOUSER       no such user or group      EX_NOPERM       a permission is missing
 *   EX_UNAVAILABLE  in use by another process, or not an address of this machine
 *   EX_CANTCREAT    something else is at the path, or its directory does not exist
 *   EX_CONFIG       fd:N is not a listening stream socket
 *   EX_OSERR        anything else */
int listener_open(struct listener_set *set, const struct address *list, size_t count,
                  const struct listener_settings *settings);

/* Takes over descriptor 0, as FastCGI hands a socket to a responder (FastCGI 1.0, 2.2). The socket moves to another
 * descriptor and /dev/null takes its place, so that nothing in the application reads from it. Returns and logs as
 * listener_open does; EX_USAGE means that descriptor 0 is no listening socket. */
int listener_open_stdin(struct listener_set *set);

/* Takes over descriptor `fd`, which systemd has passed under this name, shown as it is. Returns and logs as listener_open
 * does. */
int listener_open_activated(struct listener_set *set, int fd, const char *name, enum listener_protocol protocol);

/* Appends a listener that this process had open already when it executed this program. *l is the set's from then on, in
 * case of an error too. Returns 0, or EX_OSERR after one log_error line. */
int listener_resume(struct listener_set *set, struct listener *l);

/* A socket that another process of the same server has opened, and has sent to this one. */
struct listener_sent {
    int fd;           /* one of the server's descriptors */
    const char *text; /* as struct listener has it there, as are the next three; copied, and cut if it is too long */
    enum listener_protocol protocol;
    bool is_unix, inherited;
};

/* Appends it to *set. It stays the other's: this process neither shuts it down nor removes its file. Returns 0; or -1
 * with errno and *set unchanged, and the descriptor is closed: EPROTO if it is no listening stream socket; ENOMEM,
 * after a log line. */
int listener_add_sent(struct listener_set *set, const struct listener_sent *sent);

/* Whether one of them speaks this protocol. */
bool listener_set_has(const struct listener_set *set, enum listener_protocol protocol);

/* Whether descriptor 0 is a listening stream socket. */
bool listener_stdin_is_socket(void);

/* Whether this process is the owner of *l. Async-signal-safe. */
bool listener_is_own(const struct listener *l);

/* Lets nobody connect any more, while those who have can still be accepted: before the last of them is, so that nobody
 * comes in between and is cut off. Only a Unix socket that this process owns; over TCP the system would cut off those
 * who wait, and the socket of a parent process may serve others. */
void listener_refuse(const struct listener *l);

/* Only closes the descriptor of this process: others who have the socket go on accepting. */
void listener_leave(struct listener *l);

/* As listener_close, but keeps the memory that listener_unlink_all may be reading in a signal handler. Any thread. */
void listener_stop(struct listener *l);

/* Closes one listener, and removes the socket file if it is still the one that was made. May be called again. */
void listener_close(struct listener *l);

/* Closes all of them and frees the array. */
void listener_close_all(struct listener_set *set);

/* Only removes the socket files, by the same rule. While listener_open* runs, these are the files of the listeners that
 * are in the set by then. Async-signal-safe. */
void listener_unlink_all(const struct listener_set *set);

/* Logs one warning if none of the usual web server users on this machine can connect to the socket file of `l`, and
 * says which option or directory to change. Does nothing for other listeners. */
void listener_warn_web_user(const struct listener *l);

#endif
