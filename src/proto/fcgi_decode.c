#include "config.h"

#include "proto/fcgi_decode.h"

#include <fastcgi.h>
#include <string.h>

enum {
    DECODE_HEADER,  /* before or inside a header */
    DECODE_BEGIN,   /* before or inside the body of a BEGIN_REQUEST */
    DECODE_STREAM,  /* inside the content of a PARAMS or STDIN record: at least one byte of it is left */
    DECODE_VALUES,  /* inside or behind the content of a GET_VALUES record: VALUES_END was not given yet */
    DECODE_UNKNOWN, /* inside or behind the content of another management record: UNKNOWN was not given yet */
    DECODE_SKIP,    /* inside content that makes no event, or padding: at least one byte is left */
    DECODE_FAILED
};

static inline size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Returns the next eight bytes: in place if they are all there, else collected in `partial`; NULL while some are
 * missing. */
static inline const uint8_t *take_eight(struct fcgi_decoder *d, const uint8_t **p, const uint8_t *end) {
    size_t left = (size_t)(end - *p);
    if (d->npartial == 0 && left >= sizeof d->partial) {
        *p += sizeof d->partial;
        return *p - sizeof d->partial;
    }
    size_t n = min_size(left, sizeof d->partial - d->npartial);
    if (n)
        memcpy(d->partial + d->npartial, *p, n);
    *p += n;
    d->npartial = (uint8_t)(d->npartial + n);
    if (d->npartial < sizeof d->partial)
        return NULL;
    d->npartial = 0;
    return d->partial;
}

/* Takes up to `left` bytes of the content. Returns how many. */
static inline size_t take_content(struct fcgi_decoder *d, size_t left) {
    size_t n = min_size(left, d->content);
    d->content = (uint16_t)(d->content - n);
    return n;
}

static inline size_t take_padding(struct fcgi_decoder *d, size_t left) {
    size_t n = min_size(left, d->padding);
    d->padding = (uint8_t)(d->padding - n);
    return n;
}

/* What is left of the record makes no event. */
static inline void skip_rest(struct fcgi_decoder *d) {
    d->state = d->content || d->padding ? DECODE_SKIP : DECODE_HEADER;
}

static enum fcgi_event_type fail(struct fcgi_decoder *d, enum fcgi_decode_error error) {
    d->state = DECODE_FAILED;
    d->error = (uint8_t)error;
    return FCGI_EVENT_ERROR;
}

/* An empty record ends its stream (section 3.3, "Types of record: discrete and stream"). */
static inline enum fcgi_event_type start_stream(struct fcgi_decoder *d, enum fcgi_event_type end_event) {
    if (d->content) {
        d->state = DECODE_STREAM;
        return FCGI_EVENT_MORE;
    }
    skip_rest(d);
    return end_event;
}

static enum fcgi_event_type start_begin(struct fcgi_decoder *d) {
    if (d->content < sizeof(FCGI_BeginRequestBody))
        return fail(d, FCGI_DECODE_BEGIN_SHORT);
    d->state = DECODE_BEGIN;
    return FCGI_EVENT_MORE;
}

/* Records with the null request id are about the connection, whatever their type is (section 3.3, "Types of record:
 * management"). */
static enum fcgi_event_type start_management(struct fcgi_decoder *d) {
    d->state = d->type == FCGI_GET_VALUES ? DECODE_VALUES : DECODE_UNKNOWN;
    return FCGI_EVENT_MORE;
}

/* Sets the state that follows a header. Returns the event that the header alone completes, else FCGI_EVENT_MORE. */
static enum fcgi_event_type start_record(struct fcgi_decoder *d, const uint8_t *bytes) {
    const FCGI_Header *header = (const FCGI_Header *)bytes; /* all its members are bytes: any address is aligned */
    if (header->version != FCGI_VERSION_1)
        return fail(d, FCGI_DECODE_VERSION);
    d->type = header->type;
    d->id = (uint16_t)(header->requestIdB1 << 8 | header->requestIdB0);
    d->content = (uint16_t)(header->contentLengthB1 << 8 | header->contentLengthB0);
    d->padding = header->paddingLength;
    if (d->id == FCGI_NULL_REQUEST_ID)
        return start_management(d);
    switch (d->type) {
    case FCGI_BEGIN_REQUEST:
        return start_begin(d);
    case FCGI_PARAMS:
        return start_stream(d, FCGI_EVENT_PARAMS_END);
    case FCGI_STDIN:
        return start_stream(d, FCGI_EVENT_STDIN_END);
    case FCGI_ABORT_REQUEST:
        skip_rest(d);
        return FCGI_EVENT_ABORT;
    default:
        skip_rest(d);
        return FCGI_EVENT_MORE;
    }
}

enum fcgi_event_type fcgi_decode(struct fcgi_decoder *d, const uint8_t **pos, const uint8_t *end,
                                 struct fcgi_event *event) {
    const uint8_t *p = *pos, *eight;
    *event = (struct fcgi_event){.type = FCGI_EVENT_MORE};
    while (event->type == FCGI_EVENT_MORE) {
        size_t left = (size_t)(end - p);
        switch (d->state) {
        case DECODE_HEADER:
            eight = take_eight(d, &p, end);
            if (!eight)
                goto out;
            event->type = start_record(d, eight);
            break;
        case DECODE_BEGIN:
            eight = take_eight(d, &p, end);
            if (!eight)
                goto out;
            event->type = FCGI_EVENT_BEGIN;
            event->role = (uint16_t)(eight[0] << 8 | eight[1]);
            event->keep_conn = eight[2] & FCGI_KEEP_CONN;
            take_content(d, sizeof(FCGI_BeginRequestBody));
            skip_rest(d);
            break;
        case DECODE_STREAM:
            if (!left)
                goto out;
            event->type = d->type == FCGI_STDIN ? FCGI_EVENT_STDIN : FCGI_EVENT_PARAMS;
            event->data = p;
            event->len = take_content(d, left);
            p += event->len;
            if (!d->content)
                skip_rest(d);
            break;
        case DECODE_VALUES:
            if (!d->content) {
                event->type = FCGI_EVENT_VALUES_END;
                skip_rest(d);
                break;
            }
            if (!left)
                goto out;
            event->type = FCGI_EVENT_VALUES;
            event->data = p;
            event->len = take_content(d, left);
            p += event->len;
            break;
        case DECODE_UNKNOWN:
            p += take_content(d, left);
            if (d->content)
                goto out;
            event->type = FCGI_EVENT_UNKNOWN;
            skip_rest(d);
            break;
        case DECODE_SKIP:
            p += take_content(d, left);
            p += take_padding(d, (size_t)(end - p));
            if (d->content || d->padding)
                goto out;
            d->state = DECODE_HEADER;
            break;
        default:
            event->type = FCGI_EVENT_ERROR;
            event->error = d->error;
            goto out;
        }
    }
    event->id = d->id;
    event->record_type = d->type;
    event->error = d->error;
out:
    *pos = p;
    return event->type;
}

bool fcgi_decoder_idle(const struct fcgi_decoder *d) {
    return d->state == DECODE_HEADER && d->npartial == 0;
}

bool fcgi_decoder_begins(const struct fcgi_decoder *d, const uint8_t **bytes, size_t *n) {
    *bytes = d->partial;
    *n = d->npartial;
    return d->state == DECODE_HEADER;
}
