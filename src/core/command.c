#include "core/command.h"

enum { FLAG_PRINCIPAL = 1, FLAGS_KNOWN = FLAG_PRINCIPAL };

/* doc/formats/command.md. Fixed part first, so that a resent command gets its new sequence in place. */
void qr_command_encode(const qr_command *command, qr_buffer *out)
{
    QR_ASSERT(command->principal.size <= QR_PRINCIPAL_MAX);
    bool has_principal = command->principal.size || command->auth_revision || command->auth_term;
    qr_buffer_u8(out, QR_COMMAND_FORMAT);
    qr_buffer_u8(out, has_principal ? FLAG_PRINCIPAL : 0);
    qr_buffer_u16(out, command->apply_version);
    qr_buffer_u64(out, command->origin.replica);
    qr_buffer_u64(out, command->origin.incarnation);
    qr_buffer_u64(out, command->origin.sequence);
    qr_buffer_u64(out, (uint64_t)command->stamp_ms);
    if (has_principal) {
        qr_buffer_bytes(out, command->principal);
        qr_buffer_varint(out, command->auth_revision);
        qr_buffer_varint(out, command->auth_term);
    }
    qr_buffer_add_slice(out, command->body);
}

qr_status qr_command_decode(qr_slice bytes, qr_command *command)
{
    *command = (qr_command){0};
    if (bytes.size > QR_COMMAND_MAX)
        return QR_E_TOO_LARGE;
    qr_reader reader = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&reader);
    uint8_t flags = qr_reader_u8(&reader);
    command->apply_version = qr_reader_u16(&reader);
    if (reader.failed)
        return QR_E_INVALID;
    if (format != QR_COMMAND_FORMAT || (flags & ~FLAGS_KNOWN) || command->apply_version > QR_APPLY_VERSION)
        return QR_E_BAD_VERSION;
    command->origin.replica = qr_reader_u64(&reader);
    command->origin.incarnation = qr_reader_u64(&reader);
    command->origin.sequence = qr_reader_u64(&reader);
    command->stamp_ms = (int64_t)qr_reader_u64(&reader);
    if (flags & FLAG_PRINCIPAL) {
        command->principal = qr_reader_bytes(&reader);
        command->auth_revision = qr_reader_varint(&reader);
        command->auth_term = qr_reader_varint(&reader);
    }
    if (reader.failed || command->principal.size > QR_PRINCIPAL_MAX)
        return QR_E_INVALID;
    command->body = qr_reader_take(&reader, qr_reader_left(&reader));
    return QR_OK;
}

void qr_command_renumber(uint8_t *encoded, uint64_t sequence)
{
    qr_store_u64(encoded + QR_COMMAND_SEQUENCE_AT, sequence);
}

static struct qr_origin_slot *slot_of(qr_origins *origins, uint64_t replica)
{
    for (uint32_t i = 0; i < origins->count; i++)
        if (origins->slots[i].last.replica == replica)
            return &origins->slots[i];
    return NULL;
}

static struct qr_origin_slot *make_slot(qr_origins *origins)
{
    if (origins->count < QR_ORIGINS_MAX)
        return &origins->slots[origins->count++];
    struct qr_origin_slot *silent = &origins->slots[0];
    for (uint32_t i = 1; i < origins->count; i++)
        if (origins->slots[i].index < silent->index)
            silent = &origins->slots[i];
    return silent;
}

bool qr_origins_admit(qr_origins *origins, qr_origin origin, uint64_t index)
{
    struct qr_origin_slot *slot = slot_of(origins, origin.replica);
    if (slot != NULL) {
        if (origin.incarnation < slot->last.incarnation)
            return false;
        if (origin.incarnation == slot->last.incarnation && origin.sequence <= slot->last.sequence)
            return false;
    } else {
        slot = make_slot(origins);
    }
    slot->last = origin;
    slot->index = index;
    origins->digest = qr_hash_mix(origins->digest, origin.replica);
    origins->digest = qr_hash_mix(origins->digest, origin.incarnation);
    origins->digest = qr_hash_mix(origins->digest, origin.sequence);
    return true;
}

uint64_t qr_origins_last(const qr_origins *origins, uint64_t replica, uint64_t incarnation)
{
    for (uint32_t i = 0; i < origins->count; i++)
        if (origins->slots[i].last.replica == replica && origins->slots[i].last.incarnation == incarnation)
            return origins->slots[i].last.sequence;
    return 0;
}

void qr_origins_encode(const qr_origins *origins, qr_buffer *out)
{
    qr_buffer_u32(out, origins->count);
    qr_buffer_u64(out, origins->digest);
    for (uint32_t i = 0; i < origins->count; i++) {
        const struct qr_origin_slot *slot = &origins->slots[i];
        qr_buffer_u64(out, slot->last.replica);
        qr_buffer_u64(out, slot->last.incarnation);
        qr_buffer_u64(out, slot->last.sequence);
        qr_buffer_u64(out, slot->index);
    }
}

qr_status qr_origins_decode(qr_reader *reader, qr_origins *origins)
{
    *origins = (qr_origins){0};
    uint32_t count = qr_reader_u32(reader);
    origins->digest = qr_reader_u64(reader);
    if (reader->failed || count > QR_ORIGINS_MAX)
        return QR_E_INVALID;
    for (uint32_t i = 0; i < count; i++) {
        struct qr_origin_slot *slot = &origins->slots[i];
        slot->last.replica = qr_reader_u64(reader);
        slot->last.incarnation = qr_reader_u64(reader);
        slot->last.sequence = qr_reader_u64(reader);
        slot->index = qr_reader_u64(reader);
    }
    origins->count = count;
    return reader->failed ? QR_E_INVALID : QR_OK;
}
