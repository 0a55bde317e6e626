#include "bin/planted.h"

#include <stddef.h>
#include <string.h>

const qr_planted_bug qr_planted_bugs[QR_BUG_COUNT] = {{0, "none", "no bug"},
#define BUG_ROW(id, row, text, explanation) {row, text, explanation},
                                                      QR_BUG_LIST(BUG_ROW)
#undef BUG_ROW
};

unsigned qr_planted_find(const char *name)
{
    unsigned found = 0;
#ifdef QR_PLANTED_BUGS
    for (unsigned i = 1; name != NULL && i < QR_BUG_COUNT; i++)
        if (strcmp(name, qr_planted_bugs[i].name) == 0)
            found = i;
#else
    (void)name;
#endif
    return found;
}
