#include "config.h"

#include "proto/fcgi_encode.h"

#include <fastcgi.h>
#include <string.h>

void fcgi_put_end_request(uint8_t *out, uint16_t id, uint32_t app_status, uint8_t protocol_status) {
    FCGI_EndRequestBody body = {
        .appStatusB3 = (uint8_t)(app_status >> 24),
        .appStatusB2 = (uint8_t)(app_status >> 16),
        .appStatusB1 = (uint8_t)(app_status >> 8),
        .appStatusB0 = (uint8_t)app_status,
        .protocolStatus = protocol_status,
    };
    fcgi_put_header(out, FCGI_END_REQUEST, id, sizeof body);
    memcpy(out + FCGI_HEADER_LEN, &body, sizeof body);
}

void fcgi_put_begin_request(uint8_t *out, uint16_t id, uint16_t role) {
    FCGI_BeginRequestBody body = {.roleB1 = (uint8_t)(role >> 8), .roleB0 = (uint8_t)role};
    fcgi_put_header(out, FCGI_BEGIN_REQUEST, id, sizeof body);
    memcpy(out + FCGI_HEADER_LEN, &body, sizeof body);
}

void fcgi_put_unknown_type(uint8_t *out, uint8_t type) {
    FCGI_UnknownTypeBody body = {.type = type};
    fcgi_put_header(out, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, sizeof body);
    memcpy(out + FCGI_HEADER_LEN, &body, sizeof body);
}
