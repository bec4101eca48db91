/* Where a status page is: the argument of wsgi-fcgi-top.
 *
 *     /run/app.sock, unix:/run/app.sock        a Unix socket
 *     localhost:9000, [::1]:9000               TCP
 *     http://localhost:9000/status             the same, with protocol and path
 *     fcgi:///run/app.sock?path=/status
 *
 * Threads: any. Pure.
 */
#ifndef WSGI_FCGI_TOP_TARGET_H
#define WSGI_FCGI_TOP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#define TARGET_DEFAULT_PATH "/status"

enum target_protocol {
    TARGET_UNKNOWN, /* to be found by trying */
    TARGET_FASTCGI,
    TARGET_HTTP
};

enum {
    TARGET_SOCKET = 108, /* sun_path, and so with the NUL byte */
    TARGET_HOST = 256,
    TARGET_PATH = 1024
};

struct target {
    enum target_protocol protocol;
    char socket[TARGET_SOCKET]; /* path of a Unix socket; "": TCP */
    char host[TARGET_HOST], port[6];
    char path[TARGET_PATH]; /* of the page: "/status" */
    bool guessed;           /* nobody has said so: a socket of --status has it at / */
};

/* Reads `text`. `path`: that of the page where the text has none; NULL: TARGET_DEFAULT_PATH, which is a guess. Returns
 * NULL, or what is wrong with which of them, as the end of a line that begins with it. */
const char *target_parse(struct target *t, const char *text, const char *path);

/* The same for a path alone. */
const char *target_check_path(const char *path);

#endif
