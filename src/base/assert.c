#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void qr_panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "quorate: %s:%d: broken promise: %s\n", file, line, what);
    fflush(stderr);
    abort();
}
