/* The characters of the names in HTTP: tokens (RFC 9110, 5.6.2: tchar).
 *
 * Pure.
 */
#ifndef WSGI_FCGI_PROTO_HTTP_TOKEN_H
#define WSGI_FCGI_PROTO_HTTP_TOKEN_H

#include <stdbool.h>

/* Each as it is in the name of a parameter; 0: it is none of them. */
extern const char http_token_chars[256];

static inline bool http_is_token_char(char c) {
    return http_token_chars[(unsigned char)c] != 0;
}

#endif
