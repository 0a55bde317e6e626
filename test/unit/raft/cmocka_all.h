/* What cmocka wants before it. */
#ifndef QR_TEST_RAFT_CMOCKA_ALL_H
#define QR_TEST_RAFT_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_fine(w)                                                                                       \
    do {                                                                                                     \
        if ((w)->violation)                                                                                  \
            fail_msg("%s: %s", (w)->violation, (w)->detail);                                                 \
    } while (0)

#endif
