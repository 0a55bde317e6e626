#include "door/etcd/message.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* ---- decoding ---- */

static bool take_NUMBER(qr_reader *reader, unsigned wire, int64_t *value)
{
    *value = (int64_t)qr_reader_varint(reader);
    return wire == WIRE_VARINT;
}

static bool take_FLAG(qr_reader *reader, unsigned wire, bool *value)
{
    *value = qr_reader_varint(reader) != 0;
    return wire == WIRE_VARINT;
}

static bool take_BYTES(qr_reader *reader, unsigned wire, qr_slice *value)
{
    if (wire != WIRE_BYTES)
        return false;
    *value = qr_reader_bytes(reader);
    return true;
}

/* A field of a later version: its bytes are stepped over. Groups (wire types 3 and 4) are in no message of
 * this API. */
static bool skip_field(qr_reader *reader, uint64_t tag)
{
    if (tag >> 3 == 0)
        return false;
    switch (tag & 7) {
    case WIRE_VARINT: qr_reader_varint(reader); return true;
    case WIRE_FIXED64: qr_reader_take(reader, 8); return true;
    case WIRE_BYTES: qr_reader_bytes(reader); return true;
    case WIRE_FIXED32: qr_reader_take(reader, 4); return true;
    default: return false;
    }
}

#define TAKE_FIELD(number, kind, member)                                                                     \
    case number:                                                                                             \
        understood = take_##kind(&reader, (unsigned)(tag & 7), &request->member);                            \
        break;

#define DEFINE_DECODER(name, TABLE)                                                                          \
    bool qr_etcd_decode_##name(qr_slice bytes, qr_etcd_##name##_request *request)                            \
    {                                                                                                        \
        qr_reader reader = qr_reader_of(bytes);                                                              \
        bool understood = true;                                                                              \
        memset(request, 0, sizeof *request);                                                                 \
        while (understood && qr_reader_left(&reader) > 0 && !reader.failed) {                                \
            uint64_t tag = qr_reader_varint(&reader);                                                        \
            switch (tag >> 3) {                                                                              \
                TABLE(TAKE_FIELD)                                                                            \
            default: understood = skip_field(&reader, tag);                                                  \
            }                                                                                                \
        }                                                                                                    \
        return understood && !reader.failed;                                                                 \
    }

DEFINE_DECODER(range, QR_ETCD_RANGE_REQUEST)
DEFINE_DECODER(put, QR_ETCD_PUT_REQUEST)
DEFINE_DECODER(delete, QR_ETCD_DELETE_REQUEST)
DEFINE_DECODER(compact, QR_ETCD_COMPACT_REQUEST)

/* ---- encoding ----
 *
 * First the exact size, then the bytes into room taken once. All field numbers of answers are
 * below 16: tags of a byte. */

static inline size_t varint_size(uint64_t value)
{
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits * 9 + 64) / 64;
}

static inline uint8_t *write_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline size_t size_NUMBER(uint64_t value)
{
    return value ? 1 + varint_size(value) : 0;
}

static inline uint8_t *write_NUMBER(uint8_t *at, unsigned number, uint64_t value)
{
    if (!value)
        return at;
    *at++ = (uint8_t)(number << 3 | WIRE_VARINT);
    return write_varint(at, value);
}

static inline size_t size_BYTES(qr_slice value)
{
    return value.size ? 1 + varint_size(value.size) + value.size : 0;
}

static inline uint8_t *write_BYTES(uint8_t *at, unsigned number, qr_slice value)
{
    if (!value.size)
        return at;
    *at++ = (uint8_t)(number << 3 | WIRE_BYTES);
    at = write_varint(at, value.size);
    memcpy(at, value.data, value.size);
    return at + value.size;
}

/* Tag and length of a message inside: present also when it is empty. */
static inline size_t size_inside(size_t size)
{
    return 1 + varint_size(size) + size;
}

static inline uint8_t *write_inside(uint8_t *at, unsigned number, size_t size)
{
    *at++ = (uint8_t)(number << 3 | WIRE_BYTES);
    return write_varint(at, size);
}

#define ADD_SIZE(number, kind, member)    size += size_##kind(QR_ETCD_AS_##kind(it->member));
#define WRITE_FIELD(number, kind, member) at = write_##kind(at, number, QR_ETCD_AS_##kind(it->member));
#define QR_ETCD_AS_NUMBER(value)          ((uint64_t)(value))
#define QR_ETCD_AS_BYTES(value)           (value)

static inline size_t size_header(const qr_etcd_header *it)
{
    size_t size = 0;
    QR_ETCD_HEADER(ADD_SIZE)
    return size;
}

static inline uint8_t *write_header(uint8_t *at, const qr_etcd_header *it)
{
    at = write_inside(at, 1, size_header(it));
    QR_ETCD_HEADER(WRITE_FIELD)
    return at;
}

static inline size_t size_key_value(const qr_key_value *it)
{
    size_t size = 0;
    QR_ETCD_KEY_VALUE(ADD_SIZE)
    return size;
}

static inline uint8_t *write_key_value(uint8_t *at, unsigned number, const qr_key_value *it)
{
    at = write_inside(at, number, size_key_value(it));
    QR_ETCD_KEY_VALUE(WRITE_FIELD)
    return at;
}

static size_t size_key_values(const qr_op_result *result)
{
    size_t size = 0;
    for (size_t i = 0; i < result->kv_count; i++)
        size += size_inside(size_key_value(&result->kvs[i]));
    return size;
}

static uint8_t *write_key_values(uint8_t *at, unsigned number, const qr_op_result *result)
{
    for (size_t i = 0; i < result->kv_count; i++)
        at = write_key_value(at, number, &result->kvs[i]);
    return at;
}

/* The three answers of one operation, alone or inside a txn. */

static size_t size_operation(const qr_etcd_header *header, const qr_op_result *result)
{
    size_t size = size_inside(size_header(header)) + size_key_values(result);
    switch (result->kind) {
    case QR_OP_RANGE: return size + (result->more ? 2 : 0) + size_NUMBER(result->count);
    case QR_OP_DELETE: return size + size_NUMBER(result->count);
    default: QR_ASSERT(result->kind == QR_OP_PUT && result->kv_count <= 1); return size;
    }
}

static uint8_t *write_operation(uint8_t *at, const qr_etcd_header *header, const qr_op_result *result)
{
    at = write_header(at, header);
    switch (result->kind) {
    case QR_OP_RANGE:
        at = write_key_values(at, 2, result);
        at = write_NUMBER(at, 3, result->more);
        return write_NUMBER(at, 4, result->count);
    case QR_OP_DELETE: at = write_NUMBER(at, 2, result->count); return write_key_values(at, 3, result);
    default: return write_key_values(at, 2, result);
    }
}

static void encode_operation(qr_buffer *out, const qr_etcd_header *header, const qr_op_result *result)
{
    size_t size = size_operation(header, result);
    uint8_t *start = qr_buffer_extend(out, size);
    uint8_t *end = write_operation(start, header, result);
    QR_ASSERT(end == start + size);
}

void qr_etcd_encode_range(qr_buffer *out, const qr_etcd_header *header, const qr_op_result *result)
{
    QR_ASSERT(result->kind == QR_OP_RANGE);
    encode_operation(out, header, result);
}

size_t qr_etcd_range_frame_bytes(const qr_etcd_header *header, bool more, uint64_t count)
{
    return size_inside(size_header(header)) + size_NUMBER(more) + size_NUMBER(count);
}

void qr_etcd_encode_range_tail(qr_buffer *out, bool more, uint64_t count)
{
    uint8_t *at = qr_buffer_extend(out, size_NUMBER(more) + size_NUMBER(count));
    write_NUMBER(write_NUMBER(at, 3, more), 4, count);
}

size_t qr_etcd_key_values_bytes(const qr_key_value *kvs, size_t count)
{
    return size_key_values(&(qr_op_result){.kvs = kvs, .kv_count = count});
}

void qr_etcd_encode_key_values(qr_buffer *out, const qr_key_value *kvs, size_t count)
{
    qr_op_result result = {.kvs = kvs, .kv_count = count};
    write_key_values(qr_buffer_extend(out, size_key_values(&result)), 2, &result);
}

void qr_etcd_encode_put(qr_buffer *out, const qr_etcd_header *header, const qr_op_result *result)
{
    QR_ASSERT(result->kind == QR_OP_PUT);
    encode_operation(out, header, result);
}

void qr_etcd_encode_delete(qr_buffer *out, const qr_etcd_header *header, const qr_op_result *result)
{
    QR_ASSERT(result->kind == QR_OP_DELETE);
    encode_operation(out, header, result);
}

void qr_etcd_encode_header(qr_buffer *out, const qr_etcd_header *header)
{
    write_header(qr_buffer_extend(out, size_inside(size_header(header))), header);
}

/* ---- watch ---- */

enum { EVENTS_FIELD = 11 };

void qr_etcd_encode_event(qr_buffer *out, const qr_kv_event *event)
{
    size_t kv = size_inside(size_key_value(&event->kv));
    size_t previous = event->has_previous ? size_inside(size_key_value(&event->previous)) : 0;
    size_t size = size_NUMBER(event->deleted) + kv + previous;
    uint8_t *start = qr_buffer_extend(out, size_inside(size));
    uint8_t *at = write_inside(start, EVENTS_FIELD, size);
    at = write_NUMBER(at, 1, event->deleted);
    at = write_key_value(at, 2, &event->kv);
    if (event->has_previous)
        at = write_key_value(at, 3, &event->previous);
    QR_ASSERT(at == start + size_inside(size));
}

void qr_etcd_encode_watch(qr_buffer *out, const qr_etcd_header *header, int64_t watch_id, bool fragment,
                          qr_slice events)
{
    size_t size = size_inside(size_header(header)) + size_NUMBER((uint64_t)watch_id) + size_NUMBER(fragment);
    uint8_t *start = qr_buffer_extend(out, size);
    uint8_t *at = write_header(start, header);
    at = write_NUMBER(at, 2, (uint64_t)watch_id);
    at = write_NUMBER(at, 7, fragment);
    QR_ASSERT(at == start + size);
    qr_buffer_add_slice(out, events);
}

size_t qr_etcd_events_cut(qr_slice events, size_t size_max)
{
    size_t cut = 0;
    qr_reader reader = qr_reader_of(events);
    while (qr_reader_left(&reader) > 0) {
        qr_reader_varint(&reader);
        qr_reader_bytes(&reader);
        QR_ASSERT(!reader.failed);
        size_t end = events.size - qr_reader_left(&reader);
        if (cut > 0 && end > size_max)
            break;
        cut = end;
    }
    return cut;
}

enum { ANSWER_OVERHEAD = 80 }; /* bytes at most: header, count, more, tags and lengths around them */

uint64_t qr_etcd_operation_bytes(const qr_op_result *result)
{
    return ANSWER_OVERHEAD + size_key_values(result);
}

uint64_t qr_etcd_txn_bytes(const qr_txn_result *result)
{
    uint64_t size = ANSWER_OVERHEAD;
    for (size_t i = 0; i < result->op_count; i++)
        size += result->ops[i].kind == QR_OP_TXN ? qr_etcd_txn_bytes(result->ops[i].txn)
                                                 : qr_etcd_operation_bytes(&result->ops[i]);
    return size;
}

/* ---- txn ----
 *
 * The sizes of the messages inside are measured once, in the order in which they are written, and
 * kept in a list: measuring them again at each level would cost the depth times the size. */

static size_t count_operations(const qr_txn_result *result)
{
    size_t count = result->op_count;
    for (size_t i = 0; i < result->op_count; i++)
        if (result->ops[i].kind == QR_OP_TXN)
            count += count_operations(result->ops[i].txn);
    return count;
}

static size_t measure_txn(const qr_etcd_header *header, const qr_txn_result *result, size_t **sizes)
{
    size_t total = size_inside(size_header(header)) + (result->succeeded ? 2 : 0);
    for (size_t i = 0; i < result->op_count; i++) {
        const qr_op_result *op = &result->ops[i];
        size_t *own = (*sizes)++;
        qr_etcd_header inner = {.revision = op->kind == QR_OP_TXN ? 0 : (int64_t)op->revision};
        *own = op->kind == QR_OP_TXN ? measure_txn(&inner, op->txn, sizes) : size_operation(&inner, op);
        total += size_inside(size_inside(*own));
    }
    return total;
}

static uint8_t *write_txn(uint8_t *at, const qr_etcd_header *header, const qr_txn_result *result,
                          const size_t **sizes)
{
    at = write_header(at, header);
    at = write_NUMBER(at, 2, result->succeeded);
    for (size_t i = 0; i < result->op_count; i++) {
        const qr_op_result *op = &result->ops[i];
        qr_etcd_header inner = {.revision = op->kind == QR_OP_TXN ? 0 : (int64_t)op->revision};
        size_t size = *(*sizes)++;
        at = write_inside(at, 3, size_inside(size));
        at = write_inside(at, (unsigned)op->kind, size); /* the oneof's numbers are those of qr_op_kind */
        at = op->kind == QR_OP_TXN ? write_txn(at, &inner, op->txn, sizes) : write_operation(at, &inner, op);
    }
    return at;
}

void qr_etcd_encode_txn(qr_buffer *out, const qr_etcd_header *header, const qr_txn_result *result,
                        qr_arena *arena)
{
    size_t count = count_operations(result);
    size_t *sizes = qr_arena_alloc(arena, (count + 1) * sizeof *sizes);
    size_t *next = sizes;
    size_t size = measure_txn(header, result, &next);
    QR_ASSERT(next == sizes + count);

    const size_t *measured = sizes;
    uint8_t *start = qr_buffer_extend(out, size);
    uint8_t *end = write_txn(start, header, result, &measured);
    QR_ASSERT(end == start + size && measured == sizes + count);
}
