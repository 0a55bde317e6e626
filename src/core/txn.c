/* Command bodies: encoding, the scan that goes before decoding, and decoding. doc/formats/command.md has the
 * bytes. */
#include "core/txn.h"
#include "core/command.h"

enum {
    BODY_FORMAT = 1,
    /* bits of a range: which of its optional parts follow */
    RANGE_KEYS_ONLY = 1 << 0,
    RANGE_COUNT_ONLY = 1 << 1,
    RANGE_REVISION = 1 << 2,
    RANGE_LIMIT = 1 << 3,
    RANGE_MOD_MIN = 1 << 4,
    RANGE_MOD_MAX = 1 << 5,
    RANGE_CREATE_MIN = 1 << 6,
    RANGE_CREATE_MAX = 1 << 7,
    PUT_OPTIONS_ALL = (QR_PUT_SAME_KEY << 1) - 1,
    OPTIONS_OF_PATHS = QR_PUT_EXPECT_ABSENT | QR_PUT_SAME_KEY,
    CHECKS_ALL = (QR_CHECK_STATES << 1) - 1,
    /* Kinds on the wire beside those of qr_body_kind: a transaction with something of QR_LEVEL_PATHS in it,
     * and a grant with a session. The kind alone tells the level. */
    KIND_TXN_OF_PATHS = 8,
    KIND_GRANT_OF_SESSION = 9,
};

bool qr_txn_writes(const qr_txn *txn)
{
    for (size_t i = 0; i < txn->then_count; i++)
        if (txn->then_ops[i].kind != QR_OP_RANGE)
            return true;
    for (size_t i = 0; i < txn->else_count; i++)
        if (txn->else_ops[i].kind != QR_OP_RANGE)
            return true;
    return false;
}

/* -------------------------------------------------------------- encoding ---- */

/* Signed numbers: zigzag, so that small negative ones stay short. */
static uint64_t zigzag(int64_t number)
{
    return ((uint64_t)number << 1) ^ (number < 0 ? UINT64_MAX : 0);
}
static int64_t unzigzag(uint64_t number)
{
    return (int64_t)((number >> 1) ^ (number & 1 ? UINT64_MAX : 0));
}

static void encode_span(const qr_span *span, qr_buffer *out)
{
    qr_buffer_u8(out, (uint8_t)span->kind);
    qr_buffer_u8(out, span->space);
    qr_buffer_bytes(out, span->key);
    if (span->kind == QR_SPAN_RANGE)
        qr_buffer_bytes(out, span->end);
}

static void encode_condition(const qr_condition *condition, qr_buffer *out)
{
    encode_span(&condition->span, out);
    qr_buffer_u8(out, (uint8_t)condition->target);
    qr_buffer_u8(out, (uint8_t)condition->relation);
    if (condition->target == QR_TARGET_VALUE)
        qr_buffer_bytes(out, condition->value);
    else
        qr_buffer_varint(out, zigzag(condition->number));
}

static void encode_range(const qr_range *range, qr_buffer *out)
{
    const uint64_t parts[] = {range->revision,
                              range->limit,
                              range->mod_revision_min,
                              range->mod_revision_max,
                              range->create_revision_min,
                              range->create_revision_max};
    uint8_t bits =
        (uint8_t)((range->keys_only ? RANGE_KEYS_ONLY : 0) | (range->count_only ? RANGE_COUNT_ONLY : 0));
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++)
        bits |= (uint8_t)(parts[i] ? RANGE_REVISION << i : 0);
    encode_span(&range->span, out);
    qr_buffer_u8(out, (uint8_t)range->order);
    qr_buffer_u8(out, (uint8_t)range->sort);
    qr_buffer_u8(out, bits);
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i])
            qr_buffer_varint(out, parts[i]);
}

static void encode_put(const qr_put *put, qr_buffer *out)
{
    QR_ASSERT((put->options & ~(uint32_t)PUT_OPTIONS_ALL) == 0);
    qr_buffer_u8(out, put->space);
    qr_buffer_varint(out, put->options);
    qr_buffer_bytes(out, put->key);
    if (!(put->options & QR_PUT_KEEP_VALUE))
        qr_buffer_bytes(out, put->value);
    if (!(put->options & QR_PUT_KEEP_LEASE))
        qr_buffer_varint(out, zigzag(put->lease));
    if (put->options & QR_PUT_EXPECT_VERSION)
        qr_buffer_varint(out, put->expected_version);
    if (put->options & QR_PUT_SET_FLAGS)
        qr_buffer_varint(out, put->flags);
    if (put->options & QR_PUT_SET_ACL)
        qr_buffer_varint(out, put->acl);
    if (put->options & QR_PUT_SET_ATTRIBUTE)
        qr_buffer_bytes(out, put->attribute);
}

static void encode_check(const qr_check *check, qr_buffer *out)
{
    QR_ASSERT((check->tests & ~(uint32_t)CHECKS_ALL) == 0);
    qr_buffer_u8(out, check->space);
    qr_buffer_u8(out, (uint8_t)check->tests);
    qr_buffer_bytes(out, check->key);
    if (check->tests & QR_CHECK_STATES)
        qr_buffer_varint(out, check->states);
}

static bool is_of_paths(const qr_txn *txn);

static bool has_op_of_paths(const qr_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const qr_op *op = &ops[i];
        bool is = false;
        switch (op->kind) {
        case QR_OP_RANGE: is = op->range.span.space == QR_SPACE_ACLS; break;
        case QR_OP_PUT: is = op->put.space == QR_SPACE_ACLS || (op->put.options & OPTIONS_OF_PATHS); break;
        case QR_OP_DELETE: is = op->del.span.space == QR_SPACE_ACLS; break;
        case QR_OP_TXN: is = is_of_paths(op->txn); break;
        case QR_OP_CHECK: is = true; break;
        }
        if (is)
            return true;
    }
    return false;
}

static bool is_of_paths(const qr_txn *txn)
{
    for (size_t i = 0; i < txn->condition_count; i++)
        if (txn->conditions[i].span.space == QR_SPACE_ACLS)
            return true;
    return has_op_of_paths(txn->then_ops, txn->then_count) || has_op_of_paths(txn->else_ops, txn->else_count);
}

static void encode_txn(const qr_txn *txn, unsigned depth, qr_buffer *out);

static void encode_ops(const qr_op *ops, size_t count, unsigned depth, qr_buffer *out)
{
    qr_buffer_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        qr_buffer_u8(out, (uint8_t)ops[i].kind);
        switch (ops[i].kind) {
        case QR_OP_RANGE: encode_range(&ops[i].range, out); break;
        case QR_OP_PUT: encode_put(&ops[i].put, out); break;
        case QR_OP_DELETE:
            encode_span(&ops[i].del.span, out);
            qr_buffer_u8(out, ops[i].del.want_previous);
            break;
        case QR_OP_TXN: encode_txn(ops[i].txn, depth + 1, out); break;
        case QR_OP_CHECK: encode_check(&ops[i].check, out); break;
        }
    }
}

static void encode_txn(const qr_txn *txn, unsigned depth, qr_buffer *out)
{
    QR_ASSERT(depth <= QR_TXN_DEPTH_MAX); /* the door that built it has bounded it */
    qr_buffer_varint(out, txn->condition_count);
    for (size_t i = 0; i < txn->condition_count; i++)
        encode_condition(&txn->conditions[i], out);
    encode_ops(txn->then_ops, txn->then_count, depth, out);
    encode_ops(txn->else_ops, txn->else_count, depth, out);
}

static void encode_ended(const qr_body *body, qr_buffer *out)
{
    QR_ASSERT(body->ended_count > 0 && body->ended_count <= QR_LEASES_MAX);
    qr_buffer_varint(out, body->ended_count);
    for (size_t i = 0; i < body->ended_count; i++) {
        qr_buffer_u64(out, (uint64_t)body->ended[i].id);
        qr_buffer_varint(out, body->ended[i].generation);
    }
}

static uint8_t kind_on_wire(const qr_body *body)
{
    if (body->kind == QR_BODY_TXN && is_of_paths(&body->txn))
        return KIND_TXN_OF_PATHS;
    if (body->kind == QR_BODY_LEASE_GRANT && body->session.size > 0)
        return KIND_GRANT_OF_SESSION;
    return (uint8_t)body->kind;
}

void qr_body_encode(const qr_body *body, qr_buffer *out)
{
    qr_buffer_u8(out, BODY_FORMAT);
    qr_buffer_u8(out, kind_on_wire(body));
    switch (body->kind) {
    case QR_BODY_TXN: encode_txn(&body->txn, 1, out); break;
    case QR_BODY_COMPACT: qr_buffer_varint(out, body->revision); break;
    case QR_BODY_LEASE_GRANT:
        qr_buffer_u64(out, (uint64_t)body->lease);
        qr_buffer_varint(out, body->ttl_ms);
        if (body->session.size > 0)
            qr_buffer_bytes(out, body->session);
        break;
    case QR_BODY_LEASE_REVOKE: qr_buffer_u64(out, (uint64_t)body->lease); break;
    case QR_BODY_LEASE_EXPIRE:
        qr_buffer_varint(out, body->epoch);
        encode_ended(body, out);
        break;
    case QR_BODY_LEASE_EPOCH: qr_buffer_varint(out, body->epoch); break;
    case QR_BODY_ALARM:
        qr_buffer_u8(out, (uint8_t)body->alarm_act);
        qr_buffer_varint(out, body->alarm.kind);
        qr_buffer_u64(out, body->alarm.member);
        break;
    }
}

void qr_body_encode_txn(const qr_txn *txn, qr_buffer *out)
{
    qr_body_encode(&(qr_body){.kind = QR_BODY_TXN, .txn = *txn}, out);
}

void qr_body_encode_compact(uint64_t revision, qr_buffer *out)
{
    qr_body_encode(&(qr_body){.kind = QR_BODY_COMPACT, .revision = revision}, out);
}

/* 0: none. */
static uint8_t kind_of(qr_slice bytes)
{
    return bytes.size >= 2 && bytes.data[0] == BODY_FORMAT ? bytes.data[1] : 0;
}

bool qr_body_is_of_leases(qr_slice bytes)
{
    uint8_t kind = kind_of(bytes);
    return (kind >= QR_BODY_LEASE_GRANT && kind <= QR_BODY_LEASE_EPOCH) || kind == KIND_GRANT_OF_SESSION;
}

bool qr_body_is_of_alarms(qr_slice bytes)
{
    return kind_of(bytes) == QR_BODY_ALARM;
}

uint16_t qr_body_level(qr_slice bytes)
{
    if (kind_of(bytes) == KIND_TXN_OF_PATHS || kind_of(bytes) == KIND_GRANT_OF_SESSION)
        return QR_LEVEL_PATHS;
    if (qr_body_is_of_alarms(bytes))
        return QR_LEVEL_ALARMS;
    return qr_body_is_of_leases(bytes) ? QR_LEVEL_LEASES : QR_APPLY_OLDEST;
}

/* --------------------------------------------------------- reading parts ----
 * The same functions serve the scan and the decoder proper, so the two cannot disagree. */

typedef struct body_reader {
    qr_reader bytes;
    qr_status status; /* the first thing that was wrong */
    bool of_paths;    /* something of QR_LEVEL_PATHS was read */
} body_reader;

static void fail(body_reader *reader, qr_status status)
{
    if (reader->status == QR_OK)
        reader->status = status;
    reader->bytes.failed = true;
}

static bool failed(body_reader *reader)
{
    if (reader->bytes.failed && reader->status == QR_OK)
        reader->status = QR_E_INVALID;
    return reader->bytes.failed;
}

/* Only the shortest form of a number is accepted: equal bodies have equal bytes. */
static uint64_t read_number(body_reader *reader)
{
    const uint8_t *from = reader->bytes.at;
    uint64_t number = qr_reader_varint(&reader->bytes);
    size_t size = 1;
    for (uint64_t rest = number >> 7; rest; rest >>= 7)
        size++;
    if (!reader->bytes.failed && (size_t)(reader->bytes.at - from) != size)
        fail(reader, QR_E_INVALID);
    return reader->bytes.failed ? 0 : number;
}

static uint8_t read_enum(body_reader *reader, uint8_t low, uint8_t high)
{
    uint8_t value = qr_reader_u8(&reader->bytes);
    if (!reader->bytes.failed && (value < low || value > high))
        fail(reader, QR_E_INVALID);
    return reader->bytes.failed ? low : value;
}

static qr_slice read_bytes(body_reader *reader, size_t size_max)
{
    uint64_t size = read_number(reader);
    if (!reader->bytes.failed && size > size_max)
        fail(reader, QR_E_TOO_LARGE);
    if (reader->bytes.failed || size == 0)
        return qr_slice_of(NULL, 0);
    return qr_reader_take(&reader->bytes, (size_t)size);
}

static uint8_t read_space(body_reader *reader)
{
    uint8_t space = qr_reader_u8(&reader->bytes);
    reader->of_paths |= space == QR_SPACE_ACLS;
    return space;
}

static void read_span(body_reader *reader, qr_span *span)
{
    *span = (qr_span){.kind = (qr_span_kind)read_enum(reader, QR_SPAN_KEY, QR_SPAN_FROM)};
    span->space = read_space(reader);
    span->key = read_bytes(reader, QR_KEY_MAX);
    if (span->kind == QR_SPAN_RANGE)
        span->end = read_bytes(reader, QR_KEY_MAX);
}

static void read_condition(body_reader *reader, qr_condition *condition)
{
    *condition = (qr_condition){0};
    read_span(reader, &condition->span);
    condition->target = (qr_target)read_enum(reader, QR_TARGET_VERSION, QR_TARGET_LEASE);
    condition->relation = (qr_relation)read_enum(reader, QR_IS_EQUAL, QR_IS_NOT_EQUAL);
    if (condition->target == QR_TARGET_VALUE)
        condition->value = read_bytes(reader, QR_VALUE_MAX);
    else
        condition->number = unzigzag(read_number(reader));
}

static uint64_t read_present(body_reader *reader, uint8_t bits, uint8_t bit)
{
    if (!(bits & bit))
        return 0;
    uint64_t number = read_number(reader);
    if (number == 0)
        fail(reader, QR_E_INVALID); /* zero is written by leaving the bit out */
    return number;
}

static void read_range(body_reader *reader, qr_range *range)
{
    *range = (qr_range){0};
    read_span(reader, &range->span);
    range->order = (qr_order)read_enum(reader, QR_ORDER_NONE, QR_ORDER_DOWN);
    range->sort = (qr_sort)read_enum(reader, QR_SORT_KEY, QR_SORT_VALUE);
    uint8_t bits = qr_reader_u8(&reader->bytes);
    range->keys_only = bits & RANGE_KEYS_ONLY;
    range->count_only = bits & RANGE_COUNT_ONLY;
    range->revision = read_present(reader, bits, RANGE_REVISION);
    range->limit = read_present(reader, bits, RANGE_LIMIT);
    range->mod_revision_min = read_present(reader, bits, RANGE_MOD_MIN);
    range->mod_revision_max = read_present(reader, bits, RANGE_MOD_MAX);
    range->create_revision_min = read_present(reader, bits, RANGE_CREATE_MIN);
    range->create_revision_max = read_present(reader, bits, RANGE_CREATE_MAX);
}

static void read_put(body_reader *reader, qr_put *put)
{
    *put = (qr_put){.space = read_space(reader)};
    uint64_t options = read_number(reader);
    if (options & ~(uint64_t)PUT_OPTIONS_ALL)
        fail(reader, QR_E_INVALID);
    put->options = (uint32_t)options;
    reader->of_paths |= (options & OPTIONS_OF_PATHS) != 0;
    put->key = read_bytes(reader, QR_KEY_MAX);
    if (put->key.size == 0)
        fail(reader, QR_E_INVALID);
    if (!(put->options & QR_PUT_KEEP_VALUE))
        put->value = read_bytes(reader, QR_VALUE_MAX);
    if (!(put->options & QR_PUT_KEEP_LEASE))
        put->lease = unzigzag(read_number(reader));
    if (put->options & QR_PUT_EXPECT_VERSION)
        put->expected_version = read_number(reader);
    if (put->options & QR_PUT_SET_FLAGS)
        put->flags = read_number(reader);
    if (put->options & QR_PUT_SET_ACL)
        put->acl = read_number(reader);
    if (put->options & QR_PUT_SET_ATTRIBUTE)
        put->attribute = read_bytes(reader, QR_ATTRIBUTE_MAX);
}

static void read_delete(body_reader *reader, qr_delete *del)
{
    *del = (qr_delete){0};
    read_span(reader, &del->span);
    del->want_previous = read_enum(reader, 0, 1);
}

static void read_check(body_reader *reader, qr_check *check)
{
    *check = (qr_check){.space = read_space(reader)};
    check->tests = qr_reader_u8(&reader->bytes);
    if (check->tests == 0 || check->tests > CHECKS_ALL)
        fail(reader, QR_E_INVALID);
    check->key = read_bytes(reader, QR_KEY_MAX);
    if (check->tests & QR_CHECK_STATES)
        check->states = read_number(reader);
    reader->of_paths = true;
}

static void read_first_op(body_reader *reader, uint8_t *space, qr_slice *key)
{
    switch (qr_reader_u8(&reader->bytes)) {
    case QR_OP_PUT: {
        qr_put put;
        read_put(reader, &put);
        *space = put.space;
        *key = put.key;
        break;
    }
    case QR_OP_DELETE: {
        qr_delete del;
        read_delete(reader, &del);
        *space = del.span.space;
        *key = del.span.key;
        break;
    }
    default: break;
    }
}

qr_slice qr_body_first_key(qr_slice bytes)
{
    uint8_t kind = kind_of(bytes), space = 0;
    const qr_slice none = {0};
    if (kind != QR_BODY_TXN && kind != KIND_TXN_OF_PATHS)
        return none;
    body_reader reader = {.bytes = qr_reader_of(qr_slice_of(bytes.data + 2, bytes.size - 2))};
    qr_slice key = none;
    if (read_number(&reader) > 0) {
        qr_condition condition;
        read_condition(&reader, &condition);
        space = condition.span.space;
        key = condition.span.key;
    } else if (read_number(&reader) > 0) {
        read_first_op(&reader, &space, &key);
    }
    return failed(&reader) || space != QR_SPACE_KEYS ? none : key;
}

/* ------------------------------------------------------------------ scan ---- */

typedef struct scan_level {
    uint64_t left; /* operations of the list being read */
    bool in_else;
} scan_level;

/* A count of things that are still to come: each takes a byte at least, and all together are bounded. */
static uint64_t scan_count(body_reader *reader, uint64_t *total)
{
    uint64_t count = read_number(reader);
    if (!reader->bytes.failed && (count > QR_TXN_OPS_MAX || (*total += count) > QR_TXN_OPS_MAX))
        fail(reader, QR_E_TOO_LARGE);
    return reader->bytes.failed ? 0 : count;
}

static void scan_head(body_reader *reader, scan_level *level, uint64_t *total)
{
    qr_condition condition;
    uint64_t count = scan_count(reader, total);
    while (count-- > 0 && !reader->bytes.failed)
        read_condition(reader, &condition);
    *level = (scan_level){.left = scan_count(reader, total)};
}

static void scan_plain(body_reader *reader, qr_op_kind kind)
{
    union {
        qr_range range;
        qr_put put;
        qr_delete del;
        qr_check check;
    } op;
    switch (kind) {
    case QR_OP_RANGE: read_range(reader, &op.range); break;
    case QR_OP_PUT: read_put(reader, &op.put); break;
    case QR_OP_CHECK: read_check(reader, &op.check); break;
    default: read_delete(reader, &op.del); break;
    }
}

/* Walks a whole txn with a stack of its own, so that no input makes the C stack or the arena grow before it
 * is known to be within bounds. Everything that can be wrong with a body is found here. */
static qr_status scan_txn(qr_slice bytes, bool of_paths)
{
    scan_level levels[QR_TXN_DEPTH_MAX];
    body_reader reader = {.bytes = qr_reader_of(bytes)};
    unsigned depth = 1;
    uint64_t total = 0;
    scan_head(&reader, &levels[0], &total);
    while (depth > 0 && !failed(&reader)) {
        scan_level *level = &levels[depth - 1];
        if (level->left == 0 && level->in_else) {
            depth--;
        } else if (level->left == 0) {
            *level = (scan_level){.left = scan_count(&reader, &total), .in_else = true};
        } else {
            level->left--;
            qr_op_kind kind = (qr_op_kind)read_enum(&reader, QR_OP_RANGE, QR_OP_CHECK);
            if (kind != QR_OP_TXN)
                scan_plain(&reader, kind);
            else if (depth == QR_TXN_DEPTH_MAX)
                fail(&reader, QR_E_TOO_DEEP);
            else
                scan_head(&reader, &levels[depth++], &total);
        }
    }
    if (!failed(&reader) && (qr_reader_left(&reader.bytes) != 0 || reader.of_paths != of_paths))
        fail(&reader, QR_E_INVALID);
    return reader.status;
}

/* ---------------------------------------------------------------- decode ---- */

static void decode_txn(body_reader *reader, qr_arena *arena, qr_txn *txn);

static const qr_op *decode_ops(body_reader *reader, qr_arena *arena, size_t *count)
{
    *count = (size_t)read_number(reader);
    qr_op *ops = *count ? qr_arena_zero(arena, *count, sizeof *ops) : NULL;
    for (size_t i = 0; i < *count; i++) {
        ops[i].kind = (qr_op_kind)read_enum(reader, QR_OP_RANGE, QR_OP_CHECK);
        switch (ops[i].kind) {
        case QR_OP_RANGE: read_range(reader, &ops[i].range); break;
        case QR_OP_PUT: read_put(reader, &ops[i].put); break;
        case QR_OP_DELETE: read_delete(reader, &ops[i].del); break;
        case QR_OP_TXN: {
            qr_txn *nested = qr_arena_zero(arena, 1, sizeof *nested);
            decode_txn(reader, arena, nested);
            ops[i].txn = nested;
            break;
        }
        case QR_OP_CHECK: read_check(reader, &ops[i].check); break;
        }
    }
    return ops;
}

/* Runs only on bytes that scan_txn() has accepted: the depth of the recursion and all sizes are known to be
 * bounded. */
static void decode_txn(body_reader *reader, qr_arena *arena, qr_txn *txn)
{
    txn->condition_count = (size_t)read_number(reader);
    if (txn->condition_count) {
        qr_condition *conditions = qr_arena_zero(arena, txn->condition_count, sizeof *conditions);
        for (size_t i = 0; i < txn->condition_count; i++)
            read_condition(reader, &conditions[i]);
        txn->conditions = conditions;
    }
    txn->then_ops = decode_ops(reader, arena, &txn->then_count);
    txn->else_ops = decode_ops(reader, arena, &txn->else_count);
}

/* A number that is never 0. */
static uint64_t read_positive(body_reader *reader, uint64_t max)
{
    uint64_t number = read_number(reader);
    if (!reader->bytes.failed && (number == 0 || number > max))
        fail(reader, QR_E_INVALID);
    return number;
}

static int64_t read_lease(body_reader *reader)
{
    int64_t lease = (int64_t)qr_reader_u64(&reader->bytes);
    if (!reader->bytes.failed && lease == 0)
        fail(reader, QR_E_INVALID);
    return lease;
}

/* Nothing is allocated for names that are not all there. */
static void read_ended(body_reader *reader, qr_arena *arena, qr_body *body)
{
    uint64_t count = read_positive(reader, QR_LEASES_MAX);
    qr_lease_name ended[QR_LEASES_MAX];
    for (size_t i = 0; i < count && !reader->bytes.failed; i++) {
        ended[i].id = read_lease(reader);
        ended[i].generation = read_positive(reader, UINT64_MAX);
        if (i > 0 && (uint64_t)ended[i].id <= (uint64_t)ended[i - 1].id)
            fail(reader, QR_E_INVALID);
    }
    if (reader->bytes.failed || qr_reader_left(&reader->bytes) != 0)
        return;
    body->ended = memcpy(qr_arena_alloc(arena, count * sizeof *ended), ended, count * sizeof *ended);
    body->ended_count = (size_t)count;
}

static void read_alarm(body_reader *reader, qr_body *body)
{
    body->alarm_act = (qr_alarm_act)read_enum(reader, QR_ALARM_RAISE, QR_ALARM_CLEAR);
    uint64_t kind = read_number(reader);
    if (kind > UINT32_MAX)
        fail(reader, QR_E_INVALID);
    body->alarm = (qr_alarm){.kind = (uint32_t)kind, .member = qr_reader_u64(&reader->bytes)};
}

/* A body of a few numbers. */
static qr_status decode_plain(body_reader *reader, qr_arena *arena, bool of_session, qr_body *body)
{
    switch (body->kind) {
    case QR_BODY_COMPACT: body->revision = read_number(reader); break;
    case QR_BODY_LEASE_GRANT:
        body->lease = read_lease(reader);
        body->ttl_ms = read_positive(reader, QR_LEASE_TTL_MS_MAX);
        if (of_session) {
            body->session = read_bytes(reader, QR_SESSION_MAX);
            if (body->session.size == 0)
                fail(reader, QR_E_INVALID);
        }
        break;
    case QR_BODY_LEASE_REVOKE: body->lease = read_lease(reader); break;
    case QR_BODY_LEASE_EXPIRE:
        body->epoch = read_positive(reader, UINT64_MAX);
        read_ended(reader, arena, body);
        break;
    case QR_BODY_LEASE_EPOCH: body->epoch = read_positive(reader, UINT64_MAX); break;
    default: read_alarm(reader, body);
    }
    if (!failed(reader) && qr_reader_left(&reader->bytes) != 0)
        fail(reader, QR_E_INVALID);
    return reader->status;
}

/* What most commands are, one put and nothing else, is read once; false: something else, or wrong, and
 * nothing of it was taken. */
static bool decode_lone_put(body_reader reader, bool of_paths, qr_arena *arena, qr_txn *txn)
{
    static const uint8_t head[] = {0, 1, QR_OP_PUT}; /* no conditions; one operation */
    qr_slice before = qr_reader_take(&reader.bytes, sizeof head);
    if (failed(&reader) || memcmp(before.data, head, sizeof head) != 0)
        return false;
    qr_op op = {.kind = QR_OP_PUT};
    read_put(&reader, &op.put);
    uint8_t else_count = qr_reader_u8(&reader.bytes);
    if (failed(&reader) || else_count != 0 || qr_reader_left(&reader.bytes) != 0 ||
        reader.of_paths != of_paths)
        return false;
    qr_op *kept = qr_arena_alloc(arena, sizeof *kept);
    *kept = op;
    *txn = (qr_txn){.then_ops = kept, .then_count = 1};
    return true;
}

qr_status qr_body_decode(qr_slice bytes, qr_arena *arena, qr_body *body)
{
    *body = (qr_body){0};
    body_reader reader = {.bytes = qr_reader_of(bytes)};
    uint8_t format = qr_reader_u8(&reader.bytes);
    if (failed(&reader))
        return QR_E_INVALID;
    if (format != BODY_FORMAT)
        return QR_E_BAD_VERSION;
    uint8_t kind = read_enum(&reader, QR_BODY_TXN, KIND_GRANT_OF_SESSION);
    if (failed(&reader))
        return reader.status;
    bool of_paths = kind == KIND_TXN_OF_PATHS, of_session = kind == KIND_GRANT_OF_SESSION;
    body->kind = of_paths ? QR_BODY_TXN : of_session ? QR_BODY_LEASE_GRANT : (qr_body_kind)kind;
    if (body->kind != QR_BODY_TXN)
        return decode_plain(&reader, arena, of_session, body);
    if (decode_lone_put(reader, of_paths, arena, &body->txn))
        return QR_OK;
    qr_status status = scan_txn(qr_slice_of(reader.bytes.at, qr_reader_left(&reader.bytes)), of_paths);
    if (status != QR_OK)
        return status;
    decode_txn(&reader, arena, &body->txn);
    QR_ASSERT(!failed(&reader) && qr_reader_left(&reader.bytes) == 0);
    return QR_OK;
}
