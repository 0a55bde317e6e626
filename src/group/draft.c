#include "group/inside.h"

qr_group_draft *qr_group_draft_new(qr_arena *arena)
{
    qr_group_draft *draft = qr_arena_zero(arena, 1, sizeof *draft);
    draft->arena = arena;
    draft->conditions = qr_arena_zero(arena, QR_GROUP_DRAFT_OPS_MAX, sizeof *draft->conditions);
    draft->then_ops = qr_arena_zero(arena, QR_GROUP_DRAFT_OPS_MAX, sizeof *draft->then_ops);
    draft->else_ops = qr_arena_zero(arena, QR_GROUP_DRAFT_OPS_MAX, sizeof *draft->else_ops);
    draft->txn.conditions = draft->conditions;
    draft->txn.then_ops = draft->then_ops;
    draft->txn.else_ops = draft->else_ops;
    return draft;
}

static qr_span key_span(qr_slice key)
{
    return (qr_span){.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = key};
}

void qr_group_draft_if(qr_group_draft *draft, qr_slice key, uint64_t mod_revision)
{
    QR_ASSERT(draft->txn.condition_count < QR_GROUP_DRAFT_OPS_MAX);
    draft->conditions[draft->txn.condition_count++] = (qr_condition){.span = key_span(key),
                                                                     .target = QR_TARGET_MOD,
                                                                     .relation = QR_IS_EQUAL,
                                                                     .number = (int64_t)mod_revision};
}

static void add(qr_group_draft *draft, bool otherwise, qr_op op)
{
    size_t *count = otherwise ? &draft->txn.else_count : &draft->txn.then_count;
    QR_ASSERT(*count < QR_GROUP_DRAFT_OPS_MAX);
    (otherwise ? draft->else_ops : draft->then_ops)[(*count)++] = op;
}

void qr_group_draft_put(qr_group_draft *draft, qr_slice key, qr_slice value)
{
    add(draft, false,
        (qr_op){.kind = QR_OP_PUT, .put = {.space = QR_SPACE_KEYS, .key = key, .value = value}});
}

void qr_group_draft_delete(qr_group_draft *draft, qr_slice key)
{
    add(draft, false, (qr_op){.kind = QR_OP_DELETE, .del = {.span = key_span(key)}});
}

static qr_op get(qr_slice key)
{
    return (qr_op){.kind = QR_OP_RANGE, .range = {.span = key_span(key)}};
}

void qr_group_draft_get(qr_group_draft *draft, qr_slice key)
{
    add(draft, false, get(key));
}

void qr_group_draft_get_else(qr_group_draft *draft, qr_slice key)
{
    add(draft, true, get(key));
}

void qr_group_draft_list(qr_group_draft *draft, qr_slice prefix, uint64_t limit)
{
    uint8_t *end = (uint8_t *)qr_arena_copy(draft->arena, prefix).data;
    end[prefix.size - 1]++; /* our prefixes end with a slash */
    qr_span span = {
        .kind = QR_SPAN_RANGE, .space = QR_SPACE_KEYS, .key = prefix, .end = qr_slice_of(end, prefix.size)};
    add(draft, false, (qr_op){.kind = QR_OP_RANGE, .range = {.span = span, .limit = limit}});
}

void qr_group_draft_apply(qr_group_draft *draft, const qr_group_part *part)
{
    for (size_t i = 0; i < part->count; i++) {
        const qr_group_write *write = &part->writes[i];
        qr_slice lock = qr_group_lock_name(draft->arena, write->key);
        qr_group_draft_if(draft, lock, part->lock_revision);
        if (write->changes)
            qr_group_draft_put(draft, write->key, write->value);
        qr_group_draft_delete(draft, lock);
    }
}

const qr_key_value *qr_group_found(const qr_txn_result *result, size_t op)
{
    return op < result->op_count && result->ops[op].kv_count > 0 ? &result->ops[op].kvs[0] : NULL;
}
