/* base: what every other room stands on.
 *
 * Knows libc and xxHash, nothing else: no clock, no disk, no socket, no thread, no rand(). Everything here is
 * either a plain value or owned by whoever made it. Small allocations never fail: the process ends with a
 * sentence instead (DESIGN.md, "Conduct"); whatever a peer or a client sizes is checked against a named bound
 * *before* memory is asked for. */
#ifndef QR_BASE_BASE_H
#define QR_BASE_BASE_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/prng.h"
#include "base/slab.h"
#include "base/slice.h"
#include "base/status.h"

#endif
