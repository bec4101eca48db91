#include "config.h"

#include "dl/dl.h"

#include <fcgios.h>

#define FCGI_FUNCTIONS(VALUE, NOTHING) VALUE(int, OS_IsFcgi, (int sock), (sock))

DL_DEFINE(FCGI_FUNCTIONS, FCGI_SONAME)
