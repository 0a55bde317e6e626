#include "group/group.h"

enum { FORMAT = 1 }; /* of locks and records, their first byte */

static const char lock_prefix[] = "~lock/", record_prefix[] = "~txn/";

static qr_slice name_of(qr_arena *arena, const char *prefix, qr_slice rest)
{
    size_t size = strlen(prefix);
    uint8_t *name = qr_arena_alloc(arena, size + rest.size);
    memcpy(name, prefix, size);
    if (rest.size)
        memcpy(name + size, rest.data, rest.size);
    return qr_slice_of(name, size + rest.size);
}

static bool is_named(qr_slice name, const char *prefix, qr_slice *rest)
{
    size_t size = strlen(prefix);
    if (!qr_slice_starts(name, qr_slice_text(prefix)))
        return false;
    *rest = qr_slice_of(name.data + size, name.size - size);
    return true;
}

qr_slice qr_group_lock_name(qr_arena *arena, qr_slice key)
{
    return name_of(arena, lock_prefix, key);
}

qr_slice qr_group_record_name(qr_arena *arena, qr_slice id)
{
    return name_of(arena, record_prefix, id);
}

bool qr_group_is_lock(qr_slice name, qr_slice *key)
{
    return is_named(name, lock_prefix, key);
}

bool qr_group_is_record(qr_slice name, qr_slice *id)
{
    return is_named(name, record_prefix, id);
}

static qr_slice into(qr_arena *arena, qr_buffer *buffer)
{
    qr_slice copy = qr_arena_copy(arena, qr_buffer_slice(buffer));
    qr_buffer_free(buffer);
    return copy;
}

qr_slice qr_group_lock_encode(qr_arena *arena, const qr_group_lock *lock)
{
    qr_buffer out;
    qr_buffer_init(&out);
    qr_buffer_u8(&out, FORMAT);
    qr_buffer_bytes(&out, lock->id);
    qr_buffer_varint(&out, lock->home);
    qr_buffer_bytes(&out, lock->primary);
    qr_buffer_varint(&out, lock->primary_revision);
    return into(arena, &out);
}

bool qr_group_lock_decode(qr_slice bytes, qr_group_lock *lock)
{
    qr_reader in = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&in);
    lock->id = qr_reader_bytes(&in);
    lock->home = (uint32_t)qr_reader_varint(&in);
    lock->primary = qr_reader_bytes(&in);
    lock->primary_revision = qr_reader_varint(&in);
    return format == FORMAT && !in.failed && qr_reader_left(&in) == 0;
}

qr_slice qr_group_record_encode(qr_arena *arena, const qr_group_record *record)
{
    qr_buffer out;
    qr_buffer_init(&out);
    qr_buffer_u8(&out, FORMAT);
    qr_buffer_varint(&out, record->count);
    for (const qr_group_part *part = record->parts; part < record->parts + record->count; part++) {
        qr_buffer_varint(&out, part->group);
        qr_buffer_varint(&out, part->lock_revision);
        qr_buffer_varint(&out, part->count);
        for (size_t i = 0; i < part->count; i++) {
            qr_buffer_bytes(&out, part->writes[i].key);
            qr_buffer_u8(&out, part->writes[i].changes);
            if (part->writes[i].changes)
                qr_buffer_bytes(&out, part->writes[i].value);
        }
    }
    return into(arena, &out);
}

static bool decode_part(qr_reader *in, qr_arena *arena, qr_group_part *part)
{
    part->group = (uint32_t)qr_reader_varint(in);
    part->lock_revision = qr_reader_varint(in);
    uint64_t count = qr_reader_varint(in);
    if (in->failed || count == 0 || count > QR_GROUP_KEYS_MAX)
        return false;
    qr_group_write *writes = qr_arena_zero(arena, count, sizeof *writes);
    for (size_t i = 0; i < count; i++) {
        writes[i].key = qr_reader_bytes(in);
        writes[i].changes = qr_reader_u8(in) != 0;
        if (writes[i].changes)
            writes[i].value = qr_reader_bytes(in);
    }
    part->writes = writes;
    part->count = count;
    return !in->failed;
}

bool qr_group_record_decode(qr_slice bytes, qr_arena *arena, qr_group_record *record)
{
    qr_reader in = qr_reader_of(bytes);
    uint8_t format = qr_reader_u8(&in);
    uint64_t count = qr_reader_varint(&in);
    if (in.failed || format != FORMAT || count == 0 || count > QR_GROUP_GROUPS_MAX)
        return false;
    record->count = count;
    for (size_t i = 0; i < count; i++)
        if (!decode_part(&in, arena, &record->parts[i]))
            return false;
    return qr_reader_left(&in) == 0;
}
