#include "fixed/internal.h"

static void release(fixed_log *log, size_t at)
{
    log->bytes -= log->list[at].bytes.size;
    qr_free((void *)(uintptr_t)log->list[at].bytes.data);
}

void qr_fixed_log_restart(fixed_log *log, uint64_t first)
{
    for (size_t i = 0; i < log->count; i++)
        release(log, i);
    log->count = 0;
    log->first = first;
    QR_ASSERT(log->bytes == 0);
}

void qr_fixed_log_free(fixed_log *log)
{
    qr_fixed_log_restart(log, 1);
    qr_free(log->list);
    *log = (fixed_log){.first = 1};
}

void qr_fixed_log_add(fixed_log *log, qr_entry_kind kind, qr_slice bytes)
{
    QR_ASSERT(log->first > 0);
    if (log->count == log->room) {
        log->room = log->room ? log->room * 2 : 64;
        log->list = qr_realloc(log->list, log->room * sizeof *log->list);
    }
    uint8_t *copy = qr_alloc(bytes.size);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    log->list[log->count++] = (fixed_entry){.kind = kind, .bytes = qr_slice_of(copy, bytes.size)};
    log->bytes += bytes.size;
}

void qr_fixed_log_drop_before(fixed_log *log, uint64_t index)
{
    if (index <= log->first)
        return;
    size_t gone = index - log->first < log->count ? (size_t)(index - log->first) : log->count;
    for (size_t i = 0; i < gone; i++)
        release(log, i);
    log->count -= gone;
    log->first += gone;
    memmove(log->list, log->list + gone, log->count * sizeof *log->list);
}

void qr_fixed_log_drop_from(fixed_log *log, uint64_t index)
{
    QR_ASSERT(index >= log->first);
    while (qr_fixed_log_next(log) > index)
        release(log, --log->count);
}

const fixed_entry *qr_fixed_log_find(const fixed_log *log, uint64_t index)
{
    if (index < log->first || index - log->first >= log->count)
        return NULL;
    return &log->list[index - log->first];
}

void qr_fixed_encode_record(const fixed_log *log, uint64_t first, uint64_t last, qr_buffer *out)
{
    QR_ASSERT(first >= 1 && first <= last + 1);
    qr_buffer_u8(out, QR_FIXED_FORMAT);
    qr_buffer_u64(out, first);
    qr_buffer_varint(out, last + 1 - first);
    for (uint64_t index = first; index <= last; index++) {
        const fixed_entry *entry = qr_fixed_log_find(log, index);
        QR_ASSERT(entry != NULL);
        qr_buffer_u8(out, (uint8_t)entry->kind);
        qr_buffer_bytes(out, entry->bytes);
    }
}

qr_status qr_fixed_decode_entries(qr_reader *reader, uint64_t first, uint64_t wanted, fixed_log *log)
{
    uint64_t count = qr_reader_varint(reader);
    if (reader->failed || count > QR_FIXED_BATCH_MAX || first == 0)
        return QR_E_INVALID;
    for (uint64_t index = first; index < first + count; index++) {
        uint8_t kind = qr_reader_u8(reader);
        qr_slice bytes = qr_reader_bytes(reader);
        if (reader->failed || kind < QR_ENTRY_COMMAND || kind > QR_ENTRY_NOOP)
            return QR_E_INVALID;
        if (index < wanted)
            continue;
        QR_ASSERT(qr_fixed_log_next(log) == index);
        qr_fixed_log_add(log, (qr_entry_kind)kind, bytes);
    }
    return qr_reader_left(reader) == 0 ? QR_OK : QR_E_INVALID;
}

void qr_fixed_encode_message(const fixed_message *message, qr_buffer *out)
{
    qr_buffer_u8(out, QR_FIXED_FORMAT);
    qr_buffer_u8(out, (uint8_t)message->kind);
    qr_buffer_u64(out, message->life);
    qr_buffer_u64(out, message->round);
    qr_buffer_u64(out, message->commit);
    qr_buffer_u64(out, message->first);
}

qr_status qr_fixed_decode_message(qr_slice bytes, fixed_message *message)
{
    qr_reader reader = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&reader);
    uint8_t kind = qr_reader_u8(&reader);
    *message = (fixed_message){.kind = (fixed_message_kind)kind};
    message->life = qr_reader_u64(&reader);
    message->round = qr_reader_u64(&reader);
    message->commit = qr_reader_u64(&reader);
    message->first = qr_reader_u64(&reader);
    message->entries = qr_slice_of(reader.at, qr_reader_left(&reader));
    if (reader.failed || format != QR_FIXED_FORMAT || kind < FIXED_APPEND || kind > FIXED_TELL)
        return QR_E_INVALID;
    return QR_OK;
}
