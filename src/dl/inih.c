#include "config.h"

#include "dl/dl.h"

#include <ini.h>

/* clang-format off */
#define INIH_FUNCTIONS(VALUE, NOTHING)                                                                                 \
    VALUE(int, ini_parse_stream, (ini_reader reader, void *stream, ini_handler handler, void *user),                   \
          (reader, stream, handler, user))
/* clang-format on */

DL_DEFINE(INIH_FUNCTIONS, INIH_SONAME)
