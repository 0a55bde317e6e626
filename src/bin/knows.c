/* Compiled twice: for the program, and for one that tests take for the version before it. */
#include "bin/bin.h"
#include "core/command.h"

#ifdef QR_BIN_BEFORE
const uint16_t qr_bin_apply_knows = QR_APPLY_VERSION - 1;
#else
const uint16_t qr_bin_apply_knows = QR_APPLY_VERSION;
#endif
