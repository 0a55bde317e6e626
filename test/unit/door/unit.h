/* What a cmocka test needs, in the order cmocka wants it. */
#ifndef QR_TEST_DOOR_UNIT_H
#define QR_TEST_DOOR_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
