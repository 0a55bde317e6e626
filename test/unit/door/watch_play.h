/* A watch stream played from bytes, against a list of everything that ever happened. */
#ifndef QR_TEST_DOOR_WATCH_PLAY_H
#define QR_TEST_DOOR_WATCH_PLAY_H

#include <stddef.h>
#include <stdint.h>

/* Requests of all kinds, writes, compactions, turns, and a client that reads or does not; in the end
 * everything is read. Asserts whatever must hold; returns how many events were told. */
size_t watch_play(const uint8_t *data, size_t size);

#endif
