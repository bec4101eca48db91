/* The hello and the echo application in C on libfcgi, the protocol's reference implementation: its own request loop, in
 * as many threads as the benchmark has clients, because it ties a thread to every kept connection.
 *
 *     libfcgi-responder /path/of.sock THREADS
 */
#include "config.h"

#include <fcgiapp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { BACKLOG = 1024, THREADS_MAX = 4096, ECHO_MAX = 1 << 20, TEN_KB = 10240 };

static int listener;

static void answer(FCGX_Request *r, char *body, int n, const char *kind) {
    FCGX_FPrintF(r->out, "Status: 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", kind, n);
    FCGX_PutStr(body, n, r->out);
}

static void serve(FCGX_Request *r, char *memory) {
    static char hello[] = "Hello, world\n";
    const char *path = FCGX_GetParam("PATH_INFO", r->envp);
    if (!path || !*path)
        path = FCGX_GetParam("SCRIPT_NAME", r->envp);
    if (path && !strcmp(path, "/echo")) {
        answer(r, memory, FCGX_GetStr(memory, ECHO_MAX, r->in), "application/octet-stream");
    } else if (path && !strcmp(path, "/10k")) {
        memset(memory, 'x', TEN_KB);
        answer(r, memory, TEN_KB, "text/plain");
    } else {
        answer(r, hello, sizeof hello - 1, "text/plain");
    }
}

static void *serve_all(void *unused) {
    FCGX_Request request;
    char *memory = malloc(ECHO_MAX);
    (void)unused;
    if (!memory || FCGX_InitRequest(&request, listener, 0)) {
        fprintf(stderr, "libfcgi-responder: cannot start a thread\n");
        exit(EX_OSERR);
    }
    while (FCGX_Accept_r(&request) == 0) {
        serve(&request, memory);
        FCGX_Finish_r(&request);
    }
    free(memory);
    return NULL;
}

int main(int argc, char **argv) {
    int threads = argc == 3 ? atoi(argv[2]) : 0;
    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "Usage: libfcgi-responder /path/of.sock THREADS\n");
        return EX_USAGE;
    }
    if (FCGX_Init() || (listener = FCGX_OpenSocket(argv[1], BACKLOG)) < 0) {
        fprintf(stderr, "libfcgi-responder: cannot listen at %s\n", argv[1]);
        return EX_OSERR;
    }
    for (int i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_all, NULL)) {
            fprintf(stderr, "libfcgi-responder: cannot start a thread\n");
            return EX_OSERR;
        }
    }
    serve_all(NULL);
    return 0;
}
