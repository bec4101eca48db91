/* Writes the records that a FastCGI responder sends (FastCGI 1.0, 3.3, 4.1, 4.2 and 5.5), and the one by which a web
 * server begins a request (5.1), for those that the server makes to itself.
 *
 * Records are padded to a multiple of eight bytes, and the padding is zeroed so that no old memory leaks to the peer.
 *
 * Threads: any. Pure: every function writes to the caller's memory only.
 */
#ifndef WSGI_FCGI_PROTO_FCGI_ENCODE_H
#define WSGI_FCGI_PROTO_FCGI_ENCODE_H

#include <fastcgi.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    FCGI_RECORD_HEADER = 8,
    FCGI_RECORD_MAX = 65528,   /* the largest content that needs no padding */
    FCGI_END_REQUEST_LEN = 16, /* an END_REQUEST record */
    FCGI_BEGIN_REQUEST_LEN = 16
};

/* Padding behind a content of `len` bytes: 0 to 7. */
static inline size_t fcgi_padding(size_t len) {
    return -len & 7;
}

/* Writes the eight-byte header of a record with `len` (at most 65,535) bytes of content. The header announces
 * fcgi_padding(len) bytes of padding, which the caller must send behind the content. */
static inline void fcgi_put_header(uint8_t *out, uint8_t type, uint16_t id, size_t len) {
    FCGI_Header header = {
        .version = FCGI_VERSION_1,
        .type = type,
        .requestIdB1 = (uint8_t)(id >> 8),
        .requestIdB0 = (uint8_t)id,
        .contentLengthB1 = (uint8_t)(len >> 8),
        .contentLengthB0 = (uint8_t)len,
        .paddingLength = (uint8_t)fcgi_padding(len),
    };
    memcpy(out, &header, sizeof header);
}

/* Writes an END_REQUEST record: FCGI_END_REQUEST_LEN bytes. */
void fcgi_put_end_request(uint8_t *out, uint16_t id, uint32_t app_status, uint8_t protocol_status);

/* Writes a BEGIN_REQUEST record for a request whose connection is not kept: FCGI_BEGIN_REQUEST_LEN bytes. */
void fcgi_put_begin_request(uint8_t *out, uint16_t id, uint16_t role);

/* Writes an UNKNOWN_TYPE record for the management record type `type`: 16 bytes. */
void fcgi_put_unknown_type(uint8_t *out, uint8_t type);

#endif
