#include "config.h"

#include "proto/fcgi_values.h"

#include "proto/decimal.h"
#include "proto/fcgi_encode.h"
#include "proto/params.h"

#include <fastcgi.h>
#include <string.h>

enum { VALUES_NAME_LENGTH, VALUES_VALUE_LENGTH, VALUES_NAME, VALUES_VALUE };

static const struct {
    const char *name;
    uint8_t bit;
} known[] = {
    {FCGI_MAX_CONNS, FCGI_ASKED_MAX_CONNS},
    {FCGI_MAX_REQS, FCGI_ASKED_MAX_REQS},
    {FCGI_MPXS_CONNS, FCGI_ASKED_MPXS_CONNS},
};

enum { KNOWN = sizeof known / sizeof known[0] };

static void end_pair(struct fcgi_values *v) {
    for (size_t i = 0; i < KNOWN && !v->name_long; i++)
        if (strlen(known[i].name) == v->nname && memcmp(known[i].name, v->name, v->nname) == 0)
            v->asked |= known[i].bit;
    v->nname = 0;
    v->name_long = false;
    v->state = VALUES_NAME_LENGTH;
}

/* Takes one byte of a length of one or four bytes. True when the length is complete. */
static bool take_length(struct fcgi_values *v, uint32_t *length, uint8_t byte) {
    if (v->nlength == 0) {
        *length = byte & 0x7f;
        v->nlength = 1;
        if (byte & 0x80)
            return false;
    } else {
        *length = *length << 8 | byte;
        if (++v->nlength < 4)
            return false;
    }
    v->nlength = 0;
    return true;
}

static size_t take_name(struct fcgi_values *v, const uint8_t *data, size_t len) {
    size_t n = len < v->name_left ? len : v->name_left;
    if (n > sizeof v->name - v->nname) {
        v->name_long = true;
    } else {
        memcpy(v->name + v->nname, data, n);
        v->nname = (uint8_t)(v->nname + n);
    }
    v->name_left -= (uint32_t)n;
    return n;
}

void fcgi_values_feed(struct fcgi_values *v, const uint8_t *data, size_t len) {
    const uint8_t *end = data + len;
    while (data < end) {
        size_t left = (size_t)(end - data);
        switch (v->state) {
        case VALUES_NAME_LENGTH:
            if (take_length(v, &v->name_left, *data++))
                v->state = VALUES_VALUE_LENGTH;
            continue;
        case VALUES_VALUE_LENGTH:
            if (!take_length(v, &v->value_left, *data++))
                continue;
            v->state = VALUES_NAME;
            break;
        case VALUES_NAME:
            data += take_name(v, data, left);
            break;
        default:
            left = left < v->value_left ? left : v->value_left;
            v->value_left -= (uint32_t)left;
            data += left;
            break;
        }
        /* Lengths of zero end their part without a byte of it. */
        if (v->state == VALUES_NAME && v->name_left == 0)
            v->state = VALUES_VALUE;
        if (v->state == VALUES_VALUE && v->value_left == 0)
            end_pair(v);
    }
}

size_t fcgi_values_result(struct fcgi_values *v, uint8_t *out, unsigned max_conns, unsigned max_reqs, bool mpxs_conns) {
    const unsigned numbers[KNOWN] = {max_conns, max_reqs, mpxs_conns};
    char content[FCGI_VALUES_RESULT_MAX - FCGI_RECORD_HEADER], digits[DECIMAL_MAX];
    size_t n = 0;
    for (size_t i = 0; i < KNOWN; i++)
        if (v->asked & known[i].bit)
            n += params_put(content + n, sizeof content - n, (struct slice){known[i].name, strlen(known[i].name)},
                            decimal(digits, numbers[i]));
    *v = (struct fcgi_values){0};
    fcgi_put_header(out, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID, n);
    memcpy(out + FCGI_RECORD_HEADER, content, n);
    memset(out + FCGI_RECORD_HEADER + n, 0, fcgi_padding(n));
    return FCGI_RECORD_HEADER + n + fcgi_padding(n);
}
