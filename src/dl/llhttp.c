#include "config.h"

#include "dl/dl.h"

#include <llhttp.h>

/* clang-format off */
#define LLHTTP_FUNCTIONS(VALUE, NOTHING)                                                                               \
    NOTHING(void, llhttp_init, (llhttp_t *parser, llhttp_type_t type, const llhttp_settings_t *settings),              \
            (parser, type, settings))                                                                                  \
    VALUE(llhttp_errno_t, llhttp_execute, (llhttp_t *parser, const char *data, size_t len), (parser, data, len))       \
    VALUE(const char *, llhttp_get_error_reason, (const llhttp_t *parser), (parser))                                   \
    VALUE(const char *, llhttp_get_error_pos, (const llhttp_t *parser), (parser))
/* clang-format on */

DL_DEFINE(LLHTTP_FUNCTIONS, LLHTTP_SONAME)
