/* Whatever is read as a traceparent is the same when it is written and read again; and a label that is taken is safe.
 */
#include "config.h"

/* A promise that is not kept is a finding. */
#undef NDEBUG
#include <assert.h>

#include "proto/request_id.h"
#include "proto/trace_context.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice value = {(const char *)data, size};
    struct trace_context context, again;
    if (request_id_is_good(value))
        assert(size <= REQUEST_ID_MAX && !memchr(data, ']', size) && !memchr(data, '\n', size));
    if (!trace_context_read(value, &context))
        return 0;
    char *text = malloc(TRACE_PARENT_LEN);
    assert(text);
    trace_context_put(&context, text);
    assert(trace_context_read((struct slice){text, TRACE_PARENT_LEN}, &again));
    assert(!memcmp(context.trace, again.trace, sizeof again.trace) &&
           !memcmp(context.span, again.span, sizeof again.span) && context.flags == again.flags);
    assert(!memcmp(text + 3, data + 3, TRACE_PARENT_LEN - 5));
    free(text);
    return 0;
}
