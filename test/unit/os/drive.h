/* Helpers of the os tests: loops are driven until a thing has happened or a deadline has passed; nothing
 * sleeps. */
#ifndef QR_TEST_OS_DRIVE_H
#define QR_TEST_OS_DRIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "os/room.h"

enum { DRIVE_MAX_MS = 8000 };

/* Runs every loop once without waiting. */
void drive_once(qr_os *const *list, size_t count);
/* Until holds(context), or it fails the test after DRIVE_MAX_MS. */
void drive_until(qr_os *const *list, size_t count, bool (*holds)(void *context), void *context,
                 const char *what);

uint16_t drive_free_port(void);   /* of 127.0.0.1, free a moment ago */
int drive_connect(uint16_t port); /* a non-blocking socket to 127.0.0.1; connected */
char *drive_folder(void);         /* a fresh temporary folder, 0700; to be given back with drive_remove */
void drive_remove(char *folder);
/* Sends what the socket takes; how much it was. */
size_t drive_send(int socket, const void *bytes, size_t size);

#endif
