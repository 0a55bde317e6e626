#include "core/redact.h"

static bool is_expanded(qr_slice command)
{
    for (size_t i = 8; i < command.size; i++)
        if (command.data[i] != 0)
            return false;
    return true;
}

uint64_t qr_redact_mark(qr_slice command)
{
    if (command.size < QR_REDACT_MIN || !is_expanded(command))
        return qr_hash(command, 0);
    return qr_load_u64(command.data);
}

void qr_redact(qr_slice command, bool whole, qr_buffer *out)
{
    if (whole || command.size < QR_REDACT_MIN)
        qr_buffer_add_slice(out, command);
    else
        qr_buffer_u64(out, qr_redact_mark(command));
}

void qr_redact_expand(qr_reader *in, bool whole, size_t size, qr_buffer *out)
{
    if (whole || size < QR_REDACT_MIN) {
        qr_buffer_add_slice(out, qr_reader_take(in, size));
        return;
    }
    uint64_t mark = qr_reader_u64(in);
    if (in->failed)
        return;
    uint8_t *at = qr_buffer_extend(out, size);
    memset(at, 0, size);
    qr_store_u64(at, mark);
}
