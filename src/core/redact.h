/* redact: commands as a black box keeps them. An engine never looks into a command, so a run of an engine
 * can be recorded and repeated without them: of each command its size and a mark (a hash) are kept.
 *
 *   redacted:  the mark, 8 bytes. Shorter than QR_REDACT_MIN: the bytes themselves, which are no command of
 *              a node's
 *   expanded:  the mark, then zeros up to the size. So it takes its place in every length and bound
 *
 * The mark of an expanded command is that of the command: whoever is given either does the same. */
#ifndef QR_CORE_REDACT_H
#define QR_CORE_REDACT_H

#include "base/base.h"

enum { QR_REDACT_MIN = 16 };

uint64_t qr_redact_mark(qr_slice command);
/* whole: keeps the bytes as they are. The size is not written. */
void qr_redact(qr_slice command, bool whole, qr_buffer *out);
/* Adds the size bytes of a command to out; the reader fails when there are not enough. */
void qr_redact_expand(qr_reader *in, bool whole, size_t size, qr_buffer *out);

#endif
