/* The engines that the store runs on, by name. */
#ifndef QR_BIN_ENGINES_H
#define QR_BIN_ENGINES_H

#include "core/engine.h"

const qr_engine_ops *qr_bin_engine(const char *name); /* NULL: there is none of that name */

#endif
