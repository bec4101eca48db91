/* A FastCGI responder written with libfcgi, the protocol's reference implementation: what the tests compare wsgi-fcgi
 * with. It answers the routes of apps/referenceapp.py in the same words.
 *
 * usage: reference SOCKET
 */
#include <fcgiapp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void answer_echo(FCGX_Request *request, const char *status) {
    static char body[1 << 20];
    size_t total = 0;
    int n;
    while (total < sizeof body && (n = FCGX_GetStr(body + total, (int)(sizeof body - total), request->in)) > 0)
        total += (size_t)n;
    FCGX_FPrintF(request->out, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\nStatus: %s\r\n\r\n",
                 (int)total, status);
    FCGX_PutStr(body, (int)total, request->out);
}

static void answer_text(FCGX_Request *request, const char *status, const char *headers, const char *body) {
    FCGX_FPrintF(request->out, "Content-Type: text/plain\r\n%sContent-Length: %d\r\nStatus: %s\r\n\r\n%s", headers,
                 (int)strlen(body), status, body);
}

static void answer(FCGX_Request *request) {
    const char *path = FCGX_GetParam("SCRIPT_NAME", request->envp);
    const char *query = FCGX_GetParam("QUERY_STRING", request->envp);
    const char *name = FCGX_GetParam("HTTP_X_NAME", request->envp);
    if (!path)
        path = "";
    if (!strcmp(path, "/hello"))
        answer_text(request, "200 OK", "", "Hello, world\n");
    else if (!strcmp(path, "/echo"))
        answer_echo(request, "200 OK");
    else if (!strcmp(path, "/created"))
        answer_echo(request, "201 Created");
    else if (!strcmp(path, "/query"))
        answer_text(request, "200 OK", "", query ? query : "");
    else if (!strcmp(path, "/header"))
        answer_text(request, "200 OK", "", name ? name : "none");
    else if (!strcmp(path, "/cookies"))
        answer_text(request, "302 Found", "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nLocation: /there\r\n", "moved\n");
    else if (!strcmp(path, "/empty"))
        answer_text(request, "200 OK", "", "");
    else
        answer_text(request, "404 Not Found", "", "no such route\n");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: reference SOCKET\n");
        return 64;
    }
    if (FCGX_Init())
        return 70;
    FCGX_Request request;
    int sock = FCGX_OpenSocket(argv[1], 64);
    if (sock < 0 || FCGX_InitRequest(&request, sock, 0))
        return 70;
    while (FCGX_Accept_r(&request) == 0) {
        answer(&request);
        FCGX_Finish_r(&request);
    }
    return 0;
}
