/* Command bodies: what is encoded is what is decoded; every wrong byte is refused before memory is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/command.h"
#include "core/txn.h"

#include <stdio.h>

static qr_slice some_bytes(qr_prng *prng, qr_arena *arena, size_t size_min)
{
    size_t size = size_min + qr_prng_below(prng, qr_prng_below(prng, 8) ? 12 : 400);
    uint8_t *bytes = qr_arena_alloc(arena, size + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)qr_prng_next(prng);
    return qr_slice_of(size ? bytes : NULL, size);
}

static uint64_t some_number(qr_prng *prng)
{
    return qr_prng_next(prng) >> qr_prng_below(prng, 65 - 1);
}

static qr_span some_span(qr_prng *prng, qr_arena *arena)
{
    qr_span span = {.kind = (qr_span_kind)qr_prng_below(prng, 3),
                    .space = (uint8_t)qr_prng_next(prng),
                    .key = some_bytes(prng, arena, 0)};
    if (span.kind == QR_SPAN_RANGE)
        span.end = some_bytes(prng, arena, 0);
    return span;
}

static qr_put some_put(qr_prng *prng, qr_arena *arena)
{
    qr_put put = {.space = (uint8_t)qr_prng_next(prng),
                  .options = (uint32_t)qr_prng_below(prng, QR_PUT_DETACH_ON_EXPIRY << 1),
                  .key = some_bytes(prng, arena, 1)};
    if (!(put.options & QR_PUT_KEEP_VALUE))
        put.value = some_bytes(prng, arena, 0);
    if (!(put.options & QR_PUT_KEEP_LEASE))
        put.lease = (int64_t)some_number(prng);
    if (put.options & QR_PUT_EXPECT_VERSION)
        put.expected_version = some_number(prng);
    if (put.options & QR_PUT_SET_FLAGS)
        put.flags = some_number(prng);
    if (put.options & QR_PUT_SET_ACL)
        put.acl = some_number(prng);
    if (put.options & QR_PUT_SET_ATTRIBUTE)
        put.attribute = some_bytes(prng, arena, 0);
    return put;
}

static qr_range some_range(qr_prng *prng, qr_arena *arena)
{
    qr_range range = {.span = some_span(prng, arena),
                      .order = (qr_order)qr_prng_below(prng, 3),
                      .sort = (qr_sort)qr_prng_below(prng, 5),
                      .keys_only = qr_prng_below(prng, 2),
                      .count_only = qr_prng_below(prng, 2)};
    uint64_t *parts[] = {&range.revision,
                         &range.limit,
                         &range.mod_revision_min,
                         &range.mod_revision_max,
                         &range.create_revision_min,
                         &range.create_revision_max};
    for (size_t i = 0; i < 6; i++)
        *parts[i] = qr_prng_below(prng, 2) ? some_number(prng) : 0;
    return range;
}

static void some_txn(qr_prng *prng, qr_arena *arena, unsigned depth, qr_txn *txn);

static const qr_op *some_ops(qr_prng *prng, qr_arena *arena, unsigned depth, size_t count)
{
    qr_op *ops = qr_arena_zero(arena, count + 1, sizeof *ops);
    for (size_t i = 0; i < count; i++) {
        ops[i].kind = (qr_op_kind)(1 + qr_prng_below(prng, depth < 5 ? 4 : 3));
        if (ops[i].kind == QR_OP_RANGE) {
            ops[i].range = some_range(prng, arena);
        } else if (ops[i].kind == QR_OP_PUT) {
            ops[i].put = some_put(prng, arena);
        } else if (ops[i].kind == QR_OP_DELETE) {
            ops[i].del = (qr_delete){.span = some_span(prng, arena), .want_previous = qr_prng_below(prng, 2)};
        } else {
            qr_txn *nested = qr_arena_zero(arena, 1, sizeof *nested);
            some_txn(prng, arena, depth + 1, nested);
            ops[i].txn = nested;
        }
    }
    return ops;
}

static void some_txn(qr_prng *prng, qr_arena *arena, unsigned depth, qr_txn *txn)
{
    *txn = (qr_txn){.condition_count = qr_prng_below(prng, 4),
                    .then_count = qr_prng_below(prng, 4),
                    .else_count = qr_prng_below(prng, 4)};
    qr_condition *conditions = qr_arena_zero(arena, txn->condition_count + 1, sizeof *conditions);
    for (size_t i = 0; i < txn->condition_count; i++) {
        conditions[i] = (qr_condition){.span = some_span(prng, arena),
                                       .target = (qr_target)qr_prng_below(prng, 5),
                                       .relation = (qr_relation)qr_prng_below(prng, 4)};
        if (conditions[i].target == QR_TARGET_VALUE)
            conditions[i].value = some_bytes(prng, arena, 0);
        else
            conditions[i].number = (int64_t)some_number(prng);
    }
    txn->conditions = conditions;
    txn->then_ops = some_ops(prng, arena, depth, txn->then_count);
    txn->else_ops = some_ops(prng, arena, depth, txn->else_count);
}

/* -------------------------------------------------------------------- equality ---- */

static void equal_slices(qr_slice a, qr_slice b)
{
    assert_true(qr_slice_equal(a, b));
}

static void equal_spans(const qr_span *a, const qr_span *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->space, b->space);
    equal_slices(a->key, b->key);
    equal_slices(a->end, b->end);
}

static void equal_puts(const qr_put *a, const qr_put *b)
{
    assert_int_equal(a->space, b->space);
    assert_int_equal(a->options, b->options);
    equal_slices(a->key, b->key);
    equal_slices(a->value, b->value);
    equal_slices(a->attribute, b->attribute);
    assert_true(a->lease == b->lease && a->expected_version == b->expected_version && a->flags == b->flags);
    assert_true(a->acl == b->acl);
}

static void equal_ranges(const qr_range *a, const qr_range *b)
{
    equal_spans(&a->span, &b->span);
    assert_true(a->revision == b->revision && a->limit == b->limit && a->order == b->order &&
                a->sort == b->sort);
    assert_true(a->keys_only == b->keys_only && a->count_only == b->count_only);
    assert_true(a->mod_revision_min == b->mod_revision_min && a->mod_revision_max == b->mod_revision_max);
    assert_true(a->create_revision_min == b->create_revision_min);
    assert_true(a->create_revision_max == b->create_revision_max);
}

static void equal_txns(const qr_txn *a, const qr_txn *b);

static void equal_ops(const qr_op *a, const qr_op *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(a[i].kind, b[i].kind);
        if (a[i].kind == QR_OP_RANGE) {
            equal_ranges(&a[i].range, &b[i].range);
        } else if (a[i].kind == QR_OP_PUT) {
            equal_puts(&a[i].put, &b[i].put);
        } else if (a[i].kind == QR_OP_DELETE) {
            equal_spans(&a[i].del.span, &b[i].del.span);
            assert_int_equal(a[i].del.want_previous, b[i].del.want_previous);
        } else {
            equal_txns(a[i].txn, b[i].txn);
        }
    }
}

static void equal_txns(const qr_txn *a, const qr_txn *b)
{
    assert_int_equal(a->condition_count, b->condition_count);
    assert_int_equal(a->then_count, b->then_count);
    assert_int_equal(a->else_count, b->else_count);
    for (size_t i = 0; i < a->condition_count; i++) {
        equal_spans(&a->conditions[i].span, &b->conditions[i].span);
        assert_int_equal(a->conditions[i].target, b->conditions[i].target);
        assert_int_equal(a->conditions[i].relation, b->conditions[i].relation);
        assert_true(a->conditions[i].number == b->conditions[i].number);
        equal_slices(a->conditions[i].value, b->conditions[i].value);
    }
    equal_ops(a->then_ops, b->then_ops, a->then_count);
    equal_ops(a->else_ops, b->else_ops, a->else_count);
}

/* ----------------------------------------------------------------------- tests ---- */

/* Decodes an exact copy, so that a read past the end is seen; and encodes what came out: equal bytes. */
static qr_status decode_copy(const qr_buffer *bytes, size_t size, qr_arena *arena, qr_body *body)
{
    uint8_t *copy = qr_alloc(size ? size : 1);
    if (size)
        memcpy(copy, bytes->data, size);
    qr_status status = qr_body_decode(qr_slice_of(copy, size), arena, body);
    if (status == QR_OK) {
        qr_buffer again;
        qr_buffer_init(&again);
        qr_body_encode(body, &again);
        assert_int_equal(again.size, size);
        assert_memory_equal(again.data, copy, size);
        qr_buffer_free(&again);
    }
    qr_free(copy);
    return status;
}

static void test_round_trip(void **state)
{
    (void)state;
    qr_prng prng;
    qr_prng_seed(&prng, 11);
    qr_arena arena;
    qr_arena_init(&arena);
    for (int i = 0; i < 1000; i++) {
        qr_arena_reset(&arena);
        qr_txn txn;
        some_txn(&prng, &arena, 0, &txn);
        qr_buffer bytes;
        qr_buffer_init(&bytes);
        qr_body_encode_txn(&txn, &bytes);
        qr_body body;
        assert_int_equal(decode_copy(&bytes, bytes.size, &arena, &body), QR_OK);
        assert_int_equal(qr_body_decode(qr_buffer_slice(&bytes), &arena, &body), QR_OK);
        assert_int_equal(body.kind, QR_BODY_TXN);
        equal_txns(&txn, &body.txn);
        qr_buffer_free(&bytes);
    }
    for (int i = 0; i < 100; i++) {
        uint64_t revision = some_number(&prng);
        qr_buffer bytes;
        qr_buffer_init(&bytes);
        qr_body_encode_compact(revision, &bytes);
        qr_body body;
        assert_int_equal(decode_copy(&bytes, bytes.size, &arena, &body), QR_OK);
        assert_int_equal(body.kind, QR_BODY_COMPACT);
        assert_true(body.revision == revision);
        qr_buffer_free(&bytes);
    }
    qr_arena_free(&arena);
}

/* Every one comes back; cut or longer it is refused, and so are what no proposer says. */
static void test_leases(void **state)
{
    (void)state;
    const qr_lease_name names[] = {{1, 7}, {2, 1}, {-1, UINT64_MAX}};
    const qr_lease_name twice[] = {{2, 1}, {2, 2}}, falling[] = {{-1, 1}, {5, 1}};
    const struct {
        qr_body body;
        qr_status status;
    } cases[] = {
        {{.kind = QR_BODY_LEASE_GRANT, .lease = INT64_MIN, .ttl_ms = 1}, QR_OK},
        {{.kind = QR_BODY_LEASE_GRANT, .lease = 1, .ttl_ms = QR_LEASE_TTL_MS_MAX}, QR_OK},
        {{.kind = QR_BODY_LEASE_GRANT, .lease = 1, .ttl_ms = QR_LEASE_TTL_MS_MAX + 1}, QR_E_INVALID},
        {{.kind = QR_BODY_LEASE_GRANT, .lease = 1}, QR_E_INVALID},
        {{.kind = QR_BODY_LEASE_GRANT, .ttl_ms = 1}, QR_E_INVALID},
        {{.kind = QR_BODY_LEASE_REVOKE, .lease = 3}, QR_OK},
        {{.kind = QR_BODY_LEASE_REVOKE}, QR_E_INVALID},
        {{.kind = QR_BODY_LEASE_EXPIRE, .epoch = 4, .ended = names, .ended_count = 3}, QR_OK},
        {{.kind = QR_BODY_LEASE_EXPIRE, .ended = names, .ended_count = 3}, QR_E_INVALID},
        {{.kind = QR_BODY_LEASE_EXPIRE, .epoch = 4, .ended = twice, .ended_count = 2}, QR_E_INVALID},
        {{.kind = QR_BODY_LEASE_EXPIRE, .epoch = 4, .ended = falling, .ended_count = 2}, QR_E_INVALID},
        {{.kind = QR_BODY_LEASE_EPOCH, .epoch = UINT64_MAX}, QR_OK},
        {{.kind = QR_BODY_LEASE_EPOCH}, QR_E_INVALID},
        {{.kind = QR_BODY_ALARM, .alarm_act = QR_ALARM_RAISE}, QR_OK},
        {{.kind = QR_BODY_ALARM, .alarm_act = QR_ALARM_CLEAR, .alarm = {UINT64_MAX, UINT32_MAX, false}},
         QR_OK},
        {{.kind = QR_BODY_ALARM}, QR_E_INVALID},
        {{.kind = QR_BODY_ALARM, .alarm_act = QR_ALARM_CLEAR + 1}, QR_E_INVALID},
    };
    qr_arena arena;
    qr_arena_init(&arena);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qr_buffer bytes;
        qr_buffer_init(&bytes);
        qr_body_encode(&cases[i].body, &bytes);
        qr_body body;
        bool of_alarms = cases[i].body.kind == QR_BODY_ALARM;
        assert_int_equal(qr_body_is_of_leases(qr_buffer_slice(&bytes)), !of_alarms);
        assert_int_equal(qr_body_is_of_alarms(qr_buffer_slice(&bytes)), of_alarms);
        assert_int_equal(qr_body_level(qr_buffer_slice(&bytes)),
                         of_alarms ? QR_LEVEL_ALARMS : QR_LEVEL_LEASES);
        assert_int_equal(decode_copy(&bytes, bytes.size, &arena, &body), cases[i].status);
        for (size_t size = 0; size < bytes.size; size++)
            assert_int_equal(decode_copy(&bytes, size, &arena, &body), QR_E_INVALID);
        qr_buffer_u8(&bytes, 0);
        assert_int_equal(decode_copy(&bytes, bytes.size, &arena, &body), QR_E_INVALID);
        qr_buffer_free(&bytes);
    }
    qr_arena_free(&arena);
}

/* Cut anywhere, a body is refused; changed anywhere, it is refused or is another body in its one form. */
static void test_cut_and_changed(void **state)
{
    (void)state;
    qr_prng prng;
    qr_prng_seed(&prng, 12);
    qr_arena arena;
    qr_arena_init(&arena);
    qr_body body;
    uint64_t refused = 0, accepted = 0;
    for (int i = 0; i < 60; i++) {
        qr_arena_reset(&arena);
        qr_txn txn;
        some_txn(&prng, &arena, 3, &txn);
        qr_buffer bytes;
        qr_buffer_init(&bytes);
        qr_body_encode_txn(&txn, &bytes);
        for (size_t size = 0; size < bytes.size; size += 1 + bytes.size / 200)
            assert_int_not_equal(decode_copy(&bytes, size, &arena, &body), QR_OK);
        for (int change = 0; change < 200; change++) {
            size_t at = qr_prng_below(&prng, bytes.size);
            uint8_t was = bytes.data[at];
            bytes.data[at] = (uint8_t)(qr_prng_below(&prng, 2) ? qr_prng_next(&prng)
                                                               : was ^ 1u << qr_prng_below(&prng, 8));
            if (decode_copy(&bytes, bytes.size, &arena, &body) == QR_OK)
                accepted++;
            else
                refused++;
            bytes.data[at] = was;
        }
        qr_buffer_u8(&bytes, 0);
        assert_int_equal(decode_copy(&bytes, bytes.size, &arena, &body), QR_E_INVALID);
        qr_buffer_free(&bytes);
    }
    assert_true(refused > 1000 && accepted > 1000);
    qr_arena_free(&arena);
}

static qr_status decode_nested(unsigned depth)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_buffer_add(&bytes, "\x01\x01", 2);
    for (unsigned i = 1; i < depth; i++)
        qr_buffer_add(&bytes, "\x00\x01\x04", 3); /* no conditions, one operation: a txn */
    qr_buffer_add(&bytes, "\x00\x00", 2);
    for (unsigned i = 0; i < depth; i++)
        qr_buffer_u8(&bytes, 0);
    qr_body body;
    qr_status status = qr_body_decode(qr_buffer_slice(&bytes), &arena, &body);
    if (status != QR_OK)
        assert_int_equal(arena.total, 0);
    qr_buffer_free(&bytes);
    qr_arena_free(&arena);
    return status;
}

static void test_depth(void **state)
{
    (void)state;
    assert_int_equal(decode_nested(1), QR_OK);
    assert_int_equal(decode_nested(QR_TXN_DEPTH_MAX), QR_OK);
    assert_int_equal(decode_nested(QR_TXN_DEPTH_MAX + 1), QR_E_TOO_DEEP);
    assert_int_equal(decode_nested(300000), QR_E_TOO_DEEP);
}

static qr_status decode_text(const char *text, size_t size)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_body body;
    qr_status status = qr_body_decode(qr_slice_of(text, size), &arena, &body);
    if (status != QR_OK)
        assert_int_equal(arena.total, 0); /* nothing is allocated for what is refused */
    qr_arena_free(&arena);
    return status;
}

#define DECODE(text) decode_text(text, sizeof(text) - 1)

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(DECODE(""), QR_E_INVALID);
    assert_int_equal(DECODE("\x01"), QR_E_INVALID);
    assert_int_equal(DECODE("\x02\x01"), QR_E_BAD_VERSION);
    assert_int_equal(DECODE("\x01\x03"), QR_E_INVALID);
    assert_int_equal(DECODE("\x01\x00"), QR_E_INVALID);
    assert_int_equal(DECODE("\x01\x02\x05"), QR_OK);
    assert_int_equal(DECODE("\x01\x02\x85\x00"), QR_E_INVALID); /* not the shortest form */
    assert_int_equal(DECODE("\x01\x02\x05\x00"), QR_E_INVALID);
    assert_int_equal(DECODE("\x01\x01\x00\x00\x00"), QR_OK);
    assert_int_equal(DECODE("\x01\x01\x00\x81\x80\x04"), QR_E_TOO_LARGE); /* 65537 operations */
    assert_int_equal(DECODE("\x01\x01\x81\x80\x04"), QR_E_TOO_LARGE);
    assert_int_equal(DECODE("\x01\x01\x00\x80\x80\x04"), QR_E_INVALID); /* 65536 announced, none there */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x00\x00\x00\x00\x00"),
                     QR_E_INVALID); /* put of no key */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x00\x01k\x00\x00\x00"), QR_OK);
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x80\x04\x01k\x00\x00\x00"),
                     QR_E_INVALID); /* unknown option */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x00\x81\x80\x60"),
                     QR_E_TOO_LARGE); /* key of 1.5 MiB + 1 */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x00\x01k\x81\x80\x80\x01"), QR_E_TOO_LARGE); /* value */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x40\x01k\x00\x00\x81\x04"),
                     QR_E_TOO_LARGE); /* attribute */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x01\x00\x10\x01k\x00\x00\x04\x00\x00"),
                     QR_E_INVALID); /* revision 0 */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x01\x00\x10\x01k\x00\x00\x04\x01\x00"), QR_OK);
    assert_int_equal(DECODE("\x01\x01\x00\x01\x01\x00\x10\x01k\x03\x00\x00\x00"), QR_E_INVALID); /* order */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x01\x03\x10\x01k\x00\x00\x00\x00"), QR_E_INVALID); /* span */
}

static void test_many_ops_in_all_levels_together(void **state)
{
    (void)state;
    /* Each level stays within the bound, all together do not. */
    qr_op *ranges = qr_alloc_zero(40000, sizeof *ranges);
    for (size_t i = 0; i < 40000; i++)
        ranges[i].kind = QR_OP_RANGE;
    qr_txn inner = {.then_ops = ranges, .then_count = 40000};
    qr_op nested[2] = {{.kind = QR_OP_TXN, .txn = &inner}, {.kind = QR_OP_TXN, .txn = &inner}};
    qr_txn outer = {.then_ops = nested, .then_count = 1};
    qr_arena arena;
    qr_arena_init(&arena);
    qr_body body;
    for (size_t count = 1; count <= 2; count++) {
        qr_buffer bytes;
        qr_buffer_init(&bytes);
        outer.then_count = count;
        qr_body_encode_txn(&outer, &bytes);
        assert_int_equal(qr_body_decode(qr_buffer_slice(&bytes), &arena, &body),
                         count == 1 ? QR_OK : QR_E_TOO_LARGE);
        qr_buffer_free(&bytes);
    }
    qr_arena_free(&arena);
    qr_free(ranges);
}

static void test_writes(void **state)
{
    (void)state;
    qr_op range = {.kind = QR_OP_RANGE}, put = {.kind = QR_OP_PUT}, del = {.kind = QR_OP_DELETE};
    qr_txn empty = {0};
    qr_op nested = {.kind = QR_OP_TXN, .txn = &empty};
    assert_false(qr_txn_writes(&empty));
    assert_false(
        qr_txn_writes(&(qr_txn){.then_ops = &range, .then_count = 1, .else_ops = &range, .else_count = 1}));
    assert_true(qr_txn_writes(&(qr_txn){.then_ops = &put, .then_count = 1}));
    assert_true(qr_txn_writes(&(qr_txn){.else_ops = &del, .else_count = 1}));
    assert_true(qr_txn_writes(&(qr_txn){.else_ops = &nested, .else_count = 1}));
}

static qr_slice first_key_of(const qr_txn *txn, qr_buffer *bytes)
{
    bytes->size = 0;
    qr_body_encode_txn(txn, bytes);
    return qr_body_first_key(qr_buffer_slice(bytes));
}

static void test_first_key(void **state)
{
    (void)state;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_slice a = qr_slice_text("a"), b = qr_slice_text("b");
    qr_op put = {.kind = QR_OP_PUT, .put = {.space = QR_SPACE_KEYS, .key = a, .value = b}};
    qr_op del = {.kind = QR_OP_DELETE, .del = {.span = {.space = QR_SPACE_KEYS, .key = b}}};
    qr_op elsewhere = {.kind = QR_OP_PUT, .put = {.space = QR_SPACE_ACLS, .key = a}};
    qr_op range = {.kind = QR_OP_RANGE, .range = {.span = {.space = QR_SPACE_KEYS, .key = a}}};
    qr_condition is = {
        .span = {.space = QR_SPACE_KEYS, .key = b}, .target = QR_TARGET_VERSION, .relation = QR_IS_EQUAL};
    assert_true(qr_slice_equal(first_key_of(&(qr_txn){.then_ops = &put, .then_count = 1}, &bytes), a));
    for (size_t size = 0; size < bytes.size - 3;
         size++) /* the value's last byte, the lease, the other branch */
        assert_int_equal(qr_body_first_key(qr_slice_of(bytes.data, size)).size, 0);
    assert_true(qr_slice_equal(first_key_of(&(qr_txn){.then_ops = &del, .then_count = 1}, &bytes), b));
    qr_txn conditional = {.conditions = &is, .condition_count = 1, .then_ops = &put, .then_count = 1};
    assert_true(qr_slice_equal(first_key_of(&conditional, &bytes), b));
    assert_int_equal(first_key_of(&(qr_txn){.then_ops = &elsewhere, .then_count = 1}, &bytes).size, 0);
    assert_int_equal(first_key_of(&(qr_txn){.then_ops = &range, .then_count = 1}, &bytes).size, 0);
    assert_int_equal(first_key_of(&(qr_txn){0}, &bytes).size, 0);
    bytes.size = 0;
    qr_body_encode_compact(5, &bytes);
    assert_int_equal(qr_body_first_key(qr_buffer_slice(&bytes)).size, 0);
    qr_buffer_free(&bytes);
}

/* The shape that is read once obeys what all others do. */
static void test_lone_put(void **state)
{
    (void)state;
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x00\x01k\x00\x00\x00"), QR_OK);
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x00\x01k\x00\x00"), QR_E_INVALID);         /* cut */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x00\x01k\x00\x00\x00\x00"), QR_E_INVALID); /* longer */
    assert_int_equal(DECODE("\x01\x01\x00\x01\x02\x10\x00\x01k\x00\x00\x01"),
                     QR_E_INVALID); /* another branch */
    assert_int_equal(DECODE("\x01\x08\x00\x01\x02\x10\x00\x01k\x00\x00\x00"),
                     QR_E_INVALID); /* not of paths */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_leases),
        cmocka_unit_test(test_cut_and_changed), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_bounds),          cmocka_unit_test(test_many_ops_in_all_levels_together),
        cmocka_unit_test(test_writes),          cmocka_unit_test(test_first_key),
        cmocka_unit_test(test_lone_put),
    };
    return cmocka_run_group_tests_name("core: txn", tests, NULL, NULL);
}
