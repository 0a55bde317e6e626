/* fixed: a toy engine that keeps the contract of core/engine.h honest. The voter with the smallest id is the
 * leader for ever; an entry is committed when a majority has it on disk. No elections: if the leader is down,
 * nothing is decided until it is back. Safe, not available: a second engine for the same simulator, not for
 * use. */
#ifndef QR_FIXED_FIXED_H
#define QR_FIXED_FIXED_H

#include "core/engine.h"

extern const qr_engine_ops qr_fixed;

#endif
