/* plan: a write as one transaction. Nothing of the tree is judged here for good: earlier writes of the same
 * session may not be applied yet. What is judged by rights, or by what a key is, goes along as conditions;
 * what would be refused by them is sent all the same, with a check at its place that cannot hold. */
#include "door/zookeeper/inside.h"

qr_op *qr__zk_add(qr__zk_plan *plan, size_t index, qr_op_kind kind)
{
    plan->item_of[plan->op_count] = index;
    qr_op *op = &plan->ops[plan->op_count++];
    *op = (qr_op){.kind = kind};
    return op;
}

void qr__zk_check(qr__zk_plan *plan, size_t index, uint8_t space, uint32_t tests, qr_slice key,
                  uint64_t states)
{
    if (index > 0 && QR_BUG(plan->request->bug, MULTI_PARTLY))
        return;
    qr__zk_add(plan, index, QR_OP_CHECK)->check =
        (qr_check){.space = space, .tests = tests, .key = key, .states = states};
}

/* The first of all: that the session is, and is still this connection's. */
static void check_session(qr__zk_plan *plan)
{
    const qr_zookeeper_asker *asker = plan->request->asker;
    uint8_t name[8];
    qr_store_u64(name, __builtin_bswap64((uint64_t)asker->session));
    plan->session_states = asker->session_states;
    uint32_t states = QR_BUG(plan->request->bug, LEFT_WRITES) ? 0 : QR_CHECK_STATES;
    qr__zk_check(plan, 0, QR_SPACE_SESSIONS, QR_CHECK_PRESENT | states,
                 qr_arena_copy(plan->request->arena, qr_slice_of(name, sizeof name)), asker->session_states);
}

static void reset(qr__zk_plan *plan)
{
    qr_arena *arena = plan->request->arena;
    if (plan->ops == NULL) { /* of the first attempt; later ones need no more */
        size_t room = plan->count * QR__ZK_OPS + 2;
        plan->ops = qr_arena_zero(arena, room, sizeof *plan->ops);
        plan->item_of = qr_arena_zero(arena, room, sizeof *plan->item_of);
        plan->conditions =
            qr_arena_zero(arena, plan->count * QR__ZK_CONDITIONS + 1, sizeof *plan->conditions);
    }
    plan->op_count = plan->condition_count = 0;
    plan->root_made = false;
    plan->doomed = SIZE_MAX;
    plan->verdict = QR_ZOOKEEPER_OK;
    plan->failure = QR_OK;
}

/* All items have the same answer's shape: those before the bad one 0, those behind it -2. */
static void refuse_item(qr__zk_plan *plan, size_t index, int32_t err)
{
    qr__zk_refuse(plan->node, plan->request, err);
    if (!plan->multi || plan->request->err != err)
        return;
    qr_buffer out;
    qr_buffer_init(&out);
    for (size_t i = 0; i < plan->count; i++) {
        qr_jute_number number = {.number = i < index    ? QR_ZOOKEEPER_OK
                                           : i == index ? err
                                                        : QR_ZOOKEEPER_RUNTIME_INCONSISTENCY};
        qr_jute_multi_add(&out, QR_JUTE_OP_ERROR, number.number, &qr_jute_record_number, &number);
    }
    qr_jute_multi_end(&out);
    qr__zk_reply_bytes(plan->request, plan->request->revision, &out);
}

/* All but the session's is of nodes, which were called as clients call them. */
static qr_slice *key_of(qr_op *op, uint8_t *space)
{
    switch (op->kind) {
    case QR_OP_CHECK: *space = op->check.space; return &op->check.key;
    case QR_OP_PUT: *space = op->put.space; return &op->put.key;
    case QR_OP_DELETE: *space = op->del.span.space; return &op->del.span.key;
    default:
        QR_ASSERT(op->kind == QR_OP_RANGE);
        *space = op->range.span.space;
        return &op->range.span.key;
    }
}

static bool is_path_in(uint8_t space)
{
    return space != QR_SPACE_SESSIONS && space != QR_SPACE_CATALOGUE;
}

static void say_keys(qr__zk_plan *plan)
{
    qr_slice root = plan->request->root;
    qr_arena *arena = plan->request->arena;
    for (size_t i = 0; i < plan->op_count; i++) {
        uint8_t space;
        qr_slice *key = key_of(&plan->ops[i], &space);
        if (is_path_in(space))
            *key = qr_zookeeper_path_key(root, *key, arena);
    }
    for (size_t i = 0; i < plan->condition_count; i++) {
        qr_span *span = &plan->conditions[i].span;
        if (is_path_in(span->space))
            span->key = qr_zookeeper_path_key(root, span->key, arena);
    }
}

static void encode(qr__zk_plan *plan)
{
    say_keys(plan);
    /* If it is stale: writes of the session that are on their way already shall not come before it. */
    const qr_check *session = &plan->ops[0].check;
    qr_op recall[] = {plan->ops[0],
                      {.kind = QR_OP_PUT,
                       .put = {.space = QR_SPACE_SESSIONS,
                               .key = session->key,
                               .value = plan->request->asker->session_record}}};
    bool recalls = plan->request->asker->session_record.size > 0 && !QR_BUG(plan->request->bug, RECALL_NOT);
    qr_txn txn = {.conditions = plan->conditions,
                  .condition_count = plan->condition_count,
                  .then_ops = plan->ops,
                  .then_count = plan->op_count,
                  .else_ops = recall,
                  .else_count = recalls ? 2 : 0};
    qr_buffer out;
    qr_buffer_init(&out);
    qr_body_encode_txn(&txn, &out);
    plan->request->command = qr_arena_copy(plan->request->arena, qr_buffer_slice(&out));
    qr_buffer_free(&out);
}

qr_zookeeper_step qr__zk_plan_make(qr__zk_plan *plan)
{
    reset(plan);
    check_session(plan);
    for (size_t i = 0; i < plan->count && plan->verdict == QR_ZOOKEEPER_OK; i++) {
        plan->verdict = qr__zk_item_plan(plan, i);
        if (plan->verdict != QR_ZOOKEEPER_OK)
            plan->doomed = i;
    }
    if (plan->failure != QR_OK) {
        qr__zk_refuse(plan->node, plan->request, QR_ZOOKEEPER_CONNECTION_LOSS);
        return QR_ZOOKEEPER_DONE;
    }
    if (plan->doomed != SIZE_MAX) {
        if (plan->op_count == 1 && plan->condition_count == 0) { /* whatever the tree is like */
            refuse_item(plan, plan->doomed, plan->verdict);
            return QR_ZOOKEEPER_DONE;
        }
        /* That there is no session; that there is one was the first check of all. */
        qr__zk_check(plan, plan->doomed, QR_SPACE_SESSIONS, QR_CHECK_ABSENT, plan->ops[0].check.key, 0);
    }
    encode(plan);
    return QR_ZOOKEEPER_WRITE;
}

static qr_zookeeper_step failed(qr__zk_plan *plan, qr_status status, size_t op)
{
    int32_t err = qr__zk_error_of(status);
    if (op >= plan->op_count) {
        qr__zk_refuse(plan->node, plan->request, err);
    } else if (op == 0) {
        qr__zk_refuse(plan->node, plan->request,
                      status == QR_E_VERSION_MISMATCH ? QR_ZOOKEEPER_SESSION_MOVED
                                                      : QR_ZOOKEEPER_SESSION_EXPIRED);
    } else {
        bool doomed = plan->doomed != SIZE_MAX && op == plan->op_count - 1;
        refuse_item(plan, plan->item_of[op], doomed ? plan->verdict : err);
    }
    return QR_ZOOKEEPER_DONE;
}

qr_zookeeper_step qr__zk_plan_applied(qr__zk_plan *plan, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    size_t failed_op = reply->status != QR_OK && result ? result->failed_op : SIZE_MAX;
    if (reply->status == QR_E_VERSION_MISMATCH && failed_op == 0 &&
        qr_zookeeper_request_overtaken(plan->request))
        return qr__zk_plan_make(plan);
    bool again = reply->status == QR_OK && !result->succeeded;
    if (again && ++plan->attempts < QR__ZK_ATTEMPTS_MAX)
        return qr__zk_plan_make(plan);
    if (again) {
        qr__zk_refuse(plan->node, plan->request, QR_ZOOKEEPER_OPERATION_TIMEOUT);
        return QR_ZOOKEEPER_DONE;
    }
    if (reply->status != QR_OK)
        return failed(plan, reply->status, failed_op);
    qr__zk_answer(plan, result);
    return QR_ZOOKEEPER_DONE;
}
