#include "wire/jute.h"

typedef enum jute_kind {
    KIND_INT,
    KIND_LONG,
    KIND_BOOL,
    KIND_TAIL,
    KIND_BYTES,
    KIND_TEXT,
    KIND_STAT,
    KIND_ACLS,
    KIND_TEXTS,
    KIND_USERS
} jute_kind;

typedef struct jute_field {
    jute_kind kind;
    size_t offset;
    const char *name;
} jute_field;

struct qr_jute_record {
    const jute_field *fields; /* the first with .name == NULL ends them */
    size_t size;              /* of the struct */
};

#define FIELD(type, kind, member) {KIND_##kind, offsetof(type, member), #member},
#define RECORD(record, list)                                                                                 \
    static const jute_field fields_of_##record[] = {QR_JUTE_##list(FIELD, qr_jute_##record){.name = NULL}};  \
    const qr_jute_record qr_jute_record_##record = {fields_of_##record, sizeof(qr_jute_##record)};
QR_JUTE_RECORDS(RECORD)

static const jute_field no_fields[] = {{.name = NULL}};
const qr_jute_record qr_jute_record_empty = {no_fields, 0};
const qr_slice qr_jute_empty = {(const uint8_t *)"", 0};

const qr_jute_record *qr_jute_request_of(int32_t type)
{
    switch (type) {
#define REQUEST(number, name, request, reply)                                                                \
    case number: return &qr_jute_record_##request;
        QR_JUTE_OPS(REQUEST)
    default: return NULL;
    }
}

const qr_jute_record *qr_jute_reply_of(int32_t type)
{
    switch (type) {
#define REPLY(number, name, request, reply)                                                                  \
    case number: return &qr_jute_record_##reply;
        QR_JUTE_OPS(REPLY)
    default: return NULL;
    }
}

size_t qr_jute_record_size(const qr_jute_record *record)
{
    return record->size;
}

/* What is nested in a field, or in each item of it; NULL: it is a plain one. */
static const qr_jute_record *record_in(jute_kind kind)
{
    switch (kind) {
    case KIND_STAT: return &qr_jute_record_stat;
    case KIND_ACLS: return &qr_jute_record_acl;
    case KIND_TEXTS: return &qr_jute_record_name;
    case KIND_USERS: return &qr_jute_record_user;
    default: return NULL;
    }
}

/* Reading */

static uint32_t read_u32(qr_reader *reader)
{
    return __builtin_bswap32(qr_reader_u32(reader));
}

static uint64_t read_u64(qr_reader *reader)
{
    return __builtin_bswap64(qr_reader_u64(reader));
}

static qr_slice read_bytes(qr_reader *reader)
{
    int32_t size = (int32_t)read_u32(reader);
    if (size == QR_JUTE_NULL)
        return (qr_slice){.data = NULL};
    if (size < 0)
        reader->failed = true;
    qr_slice bytes = size > 0 ? qr_reader_take(reader, (size_t)size) : qr_jute_empty;
    return reader->failed ? (qr_slice){.data = NULL} : bytes;
}

/* The fewest bytes that an item of a vector takes: those are records of numbers and texts only. */
static size_t item_size_min(const qr_jute_record *record)
{
    size_t size = 0;
    for (const jute_field *field = record->fields; field->name != NULL; field++)
        size += sizeof(uint32_t);
    return size;
}

static void read_record(const qr_jute_record *record, qr_reader *reader, qr_arena *arena, void *value);

static qr_jute_vector read_vector(const qr_jute_record *item, qr_reader *reader, qr_arena *arena)
{
    qr_jute_vector vector = {.count = (int32_t)read_u32(reader)};
    if (vector.count == QR_JUTE_NULL && !reader->failed)
        return vector;
    if (vector.count < 0 || (size_t)vector.count > qr_reader_left(reader) / item_size_min(item))
        reader->failed = true;
    if (reader->failed || vector.count == 0)
        return (qr_jute_vector){.count = 0};
    uint8_t *items = qr_arena_zero(arena, (size_t)vector.count, item->size);
    for (int32_t i = 0; i < vector.count && !reader->failed; i++)
        read_record(item, reader, arena, items + (size_t)i * item->size);
    vector.items = items;
    return vector;
}

static void read_field(const jute_field *field, qr_reader *reader, qr_arena *arena, void *at)
{
    const qr_jute_record *inside = record_in(field->kind);
    switch (field->kind) {
    case KIND_INT: *(int32_t *)at = (int32_t)read_u32(reader); break;
    case KIND_LONG: *(int64_t *)at = (int64_t)read_u64(reader); break;
    case KIND_BOOL: *(bool *)at = qr_reader_u8(reader) != 0; break;
    case KIND_TAIL:
        *(int8_t *)at = qr_reader_left(reader) == 0 ? QR_JUTE_ABSENT : qr_reader_u8(reader) != 0;
        break;
    case KIND_BYTES:
    case KIND_TEXT: *(qr_slice *)at = read_bytes(reader); break;
    case KIND_STAT: read_record(inside, reader, arena, at); break;
    case KIND_ACLS:
    case KIND_TEXTS:
    case KIND_USERS: *(qr_jute_vector *)at = read_vector(inside, reader, arena); break;
    }
}

static void read_record(const qr_jute_record *record, qr_reader *reader, qr_arena *arena, void *value)
{
    for (const jute_field *field = record->fields; field->name != NULL; field++)
        read_field(field, reader, arena, (uint8_t *)value + field->offset);
}

qr_status qr_jute_decode(const qr_jute_record *record, qr_reader *reader, qr_arena *arena, void *value)
{
    read_record(record, reader, arena, value);
    return reader->failed ? QR_E_INVALID : QR_OK;
}

/* Writing */

static void write_u32(qr_buffer *out, uint32_t value)
{
    qr_buffer_u32(out, __builtin_bswap32(value));
}

static void write_bytes(qr_buffer *out, qr_slice bytes)
{
    QR_ASSERT(bytes.size <= INT32_MAX);
    write_u32(out, bytes.data == NULL ? (uint32_t)QR_JUTE_NULL : (uint32_t)bytes.size);
    qr_buffer_add_slice(out, bytes);
}

static void write_vector(const qr_jute_record *item, qr_jute_vector vector, qr_buffer *out)
{
    write_u32(out, (uint32_t)vector.count);
    for (int32_t i = 0; i < vector.count; i++)
        qr_jute_encode(item, (const uint8_t *)vector.items + (size_t)i * item->size, out);
}

static void write_field(const jute_field *field, const void *at, qr_buffer *out)
{
    const qr_jute_record *inside = record_in(field->kind);
    switch (field->kind) {
    case KIND_INT: write_u32(out, (uint32_t) * (const int32_t *)at); break;
    case KIND_LONG: qr_buffer_u64(out, __builtin_bswap64((uint64_t) * (const int64_t *)at)); break;
    case KIND_BOOL: qr_buffer_u8(out, *(const bool *)at); break;
    case KIND_TAIL:
        if (*(const int8_t *)at != QR_JUTE_ABSENT)
            qr_buffer_u8(out, *(const int8_t *)at != 0);
        break;
    case KIND_BYTES:
    case KIND_TEXT: write_bytes(out, *(const qr_slice *)at); break;
    case KIND_STAT: qr_jute_encode(inside, at, out); break;
    case KIND_ACLS:
    case KIND_TEXTS:
    case KIND_USERS: write_vector(inside, *(const qr_jute_vector *)at, out); break;
    }
}

void qr_jute_encode(const qr_jute_record *record, const void *value, qr_buffer *out)
{
    for (const jute_field *field = record->fields; field->name != NULL; field++)
        write_field(field, (const uint8_t *)value + field->offset, out);
}

/* Printing */

static void print_bytes(qr_slice bytes, qr_buffer *out)
{
    if (bytes.data == NULL) {
        qr_buffer_format(out, "null");
        return;
    }
    qr_buffer_u8(out, '"');
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.data[i];
        if (byte < 0x20 || byte > 0x7e || byte == '"' || byte == '\\')
            qr_buffer_format(out, "\\x%02x", byte);
        else
            qr_buffer_u8(out, byte);
    }
    qr_buffer_u8(out, '"');
}

static void print_vector(const qr_jute_record *item, qr_jute_vector vector, qr_buffer *out)
{
    if (vector.count == QR_JUTE_NULL) {
        qr_buffer_format(out, "null");
        return;
    }
    qr_buffer_u8(out, '[');
    for (int32_t i = 0; i < vector.count; i++)
        qr_jute_print(item, (const uint8_t *)vector.items + (size_t)i * item->size, out);
    qr_buffer_u8(out, ']');
}

static void print_field(const jute_field *field, const void *at, qr_buffer *out)
{
    const qr_jute_record *inside = record_in(field->kind);
    switch (field->kind) {
    case KIND_INT: qr_buffer_format(out, "%d", *(const int32_t *)at); break;
    case KIND_LONG: qr_buffer_format(out, "%lld", (long long)*(const int64_t *)at); break;
    case KIND_BOOL: qr_buffer_format(out, "%d", *(const bool *)at); break;
    case KIND_TAIL: qr_buffer_format(out, "%d", *(const int8_t *)at); break;
    case KIND_BYTES:
    case KIND_TEXT: print_bytes(*(const qr_slice *)at, out); break;
    case KIND_STAT: qr_jute_print(inside, at, out); break;
    case KIND_ACLS:
    case KIND_TEXTS:
    case KIND_USERS: print_vector(inside, *(const qr_jute_vector *)at, out); break;
    }
}

void qr_jute_print(const qr_jute_record *record, const void *value, qr_buffer *out)
{
    qr_buffer_u8(out, '{');
    for (const jute_field *field = record->fields; field->name != NULL; field++) {
        qr_buffer_format(out, field == record->fields ? "%s=" : " %s=", field->name);
        print_field(field, (const uint8_t *)value + field->offset, out);
    }
    qr_buffer_u8(out, '}');
}

/* Runs of operations */

static const qr_jute_record *record_of_item(int32_t type, bool answers)
{
    if (type == QR_JUTE_OP_ERROR)
        return answers ? &qr_jute_record_number : NULL;
    switch (type) {
    case QR_JUTE_OP_CREATE:
    case QR_JUTE_OP_DELETE:
    case QR_JUTE_OP_SET_DATA:
    case QR_JUTE_OP_CHECK:
    case QR_JUTE_OP_CREATE2:
    case QR_JUTE_OP_CREATE_CONTAINER:
    case QR_JUTE_OP_CREATE_TTL:
    case QR_JUTE_OP_GET_DATA:
    case QR_JUTE_OP_GET_CHILDREN: return answers ? qr_jute_reply_of(type) : qr_jute_request_of(type);
    default: return NULL;
    }
}

qr_status qr_jute_multi_next(qr_reader *reader, qr_arena *arena, bool answers, qr_jute_multi_item *item)
{
    *item = (qr_jute_multi_item){.record = &qr_jute_record_empty};
    qr_status status = qr_jute_decode(&qr_jute_record_multi_header, reader, arena, &item->header);
    if (status != QR_OK || item->header.done)
        return status;
    item->record = record_of_item(item->header.type, answers);
    if (item->record == NULL)
        return QR_E_UNSUPPORTED;
    if (item->record->size == 0)
        return QR_OK;
    item->value = qr_arena_zero(arena, 1, item->record->size);
    return qr_jute_decode(item->record, reader, arena, item->value);
}

void qr_jute_multi_add(qr_buffer *out, int32_t type, int32_t err, const qr_jute_record *record,
                       const void *value)
{
    const qr_jute_multi_header header = {.type = type, .done = false, .err = err};
    qr_jute_encode(&qr_jute_record_multi_header, &header, out);
    qr_jute_encode(record, value, out);
}

void qr_jute_multi_end(qr_buffer *out)
{
    const qr_jute_multi_header header = {.type = -1, .done = true, .err = -1};
    qr_jute_encode(&qr_jute_record_multi_header, &header, out);
}

/* Packets */

size_t qr_jute_packet_begin(qr_buffer *out)
{
    size_t begin = out->size;
    write_u32(out, 0);
    return begin;
}

void qr_jute_packet_end(qr_buffer *out, size_t begin)
{
    size_t size = out->size - begin - sizeof(uint32_t);
    QR_ASSERT(size <= INT32_MAX);
    qr_store_u32(out->data + begin, __builtin_bswap32((uint32_t)size));
}

static void advance(qr_slice *input, size_t size)
{
    if (size == 0) /* the slice may be a NULL one */
        return;
    input->data += size;
    input->size -= size;
}

static bool is_word(const uint8_t *head)
{
    for (size_t i = 0; i < 4; i++)
        if (head[i] < 'a' || head[i] > 'z')
            return false;
    return true;
}

/* Takes what is missing of the length; the verdict on it once it is whole, else NOTHING. */
static qr_jute_split take_head(qr_jute_splitter *splitter, qr_slice *input, uint32_t packet_max)
{
    while (splitter->head_size < sizeof splitter->head) {
        if (input->size == 0)
            return QR_JUTE_SPLIT_NOTHING;
        splitter->head[splitter->head_size++] = input->data[0];
        advance(input, 1);
    }
    if (!splitter->started && is_word(splitter->head))
        return QR_JUTE_SPLIT_WORD;
    splitter->started = true;
    bool fits =
        __builtin_bswap32(qr_load_u32(splitter->head)) <= packet_max; /* negative: above every bound */
    return fits ? QR_JUTE_SPLIT_PACKET : QR_JUTE_SPLIT_INVALID;
}

qr_jute_split qr_jute_splitter_next(qr_jute_splitter *splitter, qr_slice *input, uint32_t packet_max,
                                    qr_slice *packet)
{
    QR_ASSERT(packet_max < 1 << 24); /* or a word could be a length */
    if (splitter->handed_over) {
        splitter->handed_over = false;
        qr_buffer_shrink(&splitter->body, QR_JUTE_BODY_KEPT);
    }
    qr_jute_split verdict = take_head(splitter, input, packet_max);
    if (verdict == QR_JUTE_SPLIT_WORD)
        *packet = qr_slice_of(splitter->head, sizeof splitter->head);
    if (verdict != QR_JUTE_SPLIT_PACKET)
        return verdict;
    size_t size = __builtin_bswap32(qr_load_u32(splitter->head));
    if (splitter->body.size == 0 && input->size >= size) {
        *packet = size ? qr_slice_of(input->data, size) : qr_jute_empty;
        advance(input, size);
        splitter->head_size = 0;
        return QR_JUTE_SPLIT_PACKET;
    }
    size_t missing = size - splitter->body.size;
    size_t taken = input->size < missing ? input->size : missing;
    qr_buffer_add(&splitter->body, input->data, taken);
    advance(input, taken);
    if (taken < missing)
        return QR_JUTE_SPLIT_NOTHING;
    *packet = qr_buffer_slice(&splitter->body);
    splitter->head_size = 0;
    splitter->handed_over = true;
    return QR_JUTE_SPLIT_PACKET;
}

void qr_jute_splitter_free(qr_jute_splitter *splitter)
{
    qr_buffer_free(&splitter->body);
}
