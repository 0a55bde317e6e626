/* The planted bugs of core/bugs.h by the names that people type. Private to simulate.c and serve.c. */
#ifndef QR_BIN_PLANTED_H
#define QR_BIN_PLANTED_H

#include "core/bugs.h"

typedef struct qr_planted_bug {
    int row; /* as in bugs.h */
    const char *name, *what;
} qr_planted_bug;

extern const qr_planted_bug qr_planted_bugs[QR_BUG_COUNT]; /* by number; 0 is no bug */

/* Its number; 0: no bug has that name (NULL has none), or this build has no bugs. */
unsigned qr_planted_find(const char *name);

#endif
