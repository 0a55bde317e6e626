/* A client: one operation after the other on keys that all clients share, each with its line in the history.
 * It stays with one member as long as that one answers, mostly, and goes on at the next one. */
#include "chaos/inside.h"

enum {
    PAUSE_MS = 20,  /* before the next member is tried */
    MOVES_IN = 200, /* operations, on average, before it goes elsewhere of its own will */
};

typedef struct client {
    qr_chaos *c;
    uint32_t number;
    qr_prng prng;
    qr_arena arena; /* of one operation */
    qr_chaos_line *line;
    uint32_t endpoint;
    uint64_t written;                /* values that were handed out */
    uint64_t seen_keys[KEY_SLOTS];   /* what it read last, for swaps: of which key, ... */
    uint64_t seen_values[KEY_SLOTS]; /* ... and what */
} client;

/* ------------------------------------------------------------------------ what it does ---- */

static uint32_t draw_kind(client *self)
{
    uint64_t draw = qr_prng_below(&self->prng, 100);
    return draw < 40   ? QR_JUDGE_READ
           : draw < 70 ? QR_JUDGE_WRITE
           : draw < 90 ? QR_JUDGE_CAS
                       : QR_JUDGE_DELETE;
}

static qr_judge_op draw_op(client *self)
{
    uint64_t begun = atomic_fetch_add(&self->c->page->operations, 1);
    uint64_t slot = qr_prng_below(&self->prng, KEY_SLOTS);
    uint64_t generation = begun / (KEY_SLOTS * KEY_OPERATIONS);
    qr_judge_op op = {.client = self->number, .kind = (uint8_t)draw_kind(self)};
    op.key = slot * KEY_STRIDE + generation;
    if (op.kind == QR_JUDGE_CAS && self->seen_keys[slot] == op.key)
        op.expected = self->seen_values[slot];
    if (op.kind == QR_JUDGE_WRITE || op.kind == QR_JUDGE_CAS)
        op.value = ((uint64_t)self->number + 1) << 32 | ++self->written;
    return op;
}

static void remember(client *self, const qr_judge_op *op, uint64_t value)
{
    self->seen_keys[op->key / KEY_STRIDE] = op->key;
    self->seen_values[op->key / KEY_STRIDE] = value;
}

/* ------------------------------------------------------------------------ how it asks ---- */

static bool take_range(client *self, qr_judge_op *op, const QrEtcdpb__RangeResponse *answer)
{
    op->kind = QR_JUDGE_READ;
    op->value = op->mod_revision = 0;
    if (answer->n_kvs > 0) {
        op->value = qr_chaos_value_number(answer->kvs[0]->value);
        op->mod_revision = (uint64_t)answer->kvs[0]->mod_revision;
    }
    remember(self, op, op->value);
    return answer->header != NULL;
}

static qr_chaos_outcome ask_read(client *self, qr_judge_op *op)
{
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    const void *answer = NULL;
    request.key = qr_chaos_key(self->c, op->key, &self->arena);
    qr_chaos_outcome end =
        qr_chaos_line_ask(self->line, "etcdserverpb.KV/Range", &request.base,
                          &qr_etcdpb__range_response__descriptor, ASK_MS, &self->arena, &answer);
    const QrEtcdpb__RangeResponse *range = answer;
    if (end != ANSWERED || !take_range(self, op, range))
        return end == ANSWERED ? UNSURE : end;
    op->revision = (uint64_t)range->header->revision;
    return ANSWERED;
}

static qr_chaos_outcome ask_write(client *self, qr_judge_op *op)
{
    QrEtcdpb__PutRequest request = QR_ETCDPB__PUT_REQUEST__INIT;
    const void *answer = NULL;
    request.key = qr_chaos_key(self->c, op->key, &self->arena);
    request.value = qr_chaos_value(op->value, &self->arena);
    qr_chaos_outcome end =
        qr_chaos_line_ask(self->line, "etcdserverpb.KV/Put", &request.base,
                          &qr_etcdpb__put_response__descriptor, ASK_MS, &self->arena, &answer);
    const QrEtcdpb__PutResponse *put = answer;
    if (end != ANSWERED || put->header == NULL)
        return end == ANSWERED ? UNSURE : end;
    op->revision = (uint64_t)put->header->revision;
    op->changed = true;
    return ANSWERED;
}

static qr_chaos_outcome ask_delete(client *self, qr_judge_op *op)
{
    QrEtcdpb__DeleteRangeRequest request = QR_ETCDPB__DELETE_RANGE_REQUEST__INIT;
    const void *answer = NULL;
    request.key = qr_chaos_key(self->c, op->key, &self->arena);
    qr_chaos_outcome end =
        qr_chaos_line_ask(self->line, "etcdserverpb.KV/DeleteRange", &request.base,
                          &qr_etcdpb__delete_range_response__descriptor, ASK_MS, &self->arena, &answer);
    const QrEtcdpb__DeleteRangeResponse *gone = answer;
    if (end != ANSWERED || gone->header == NULL)
        return end == ANSWERED ? UNSURE : end;
    op->revision = (uint64_t)gone->header->revision;
    op->changed = gone->deleted > 0;
    return ANSWERED;
}

/* If what is expected is there, it is replaced; else what is there is told: that is a read then. */
static qr_chaos_outcome ask_swap(client *self, qr_judge_op *op)
{
    ProtobufCBinaryData key = qr_chaos_key(self->c, op->key, &self->arena);
    QrEtcdpb__Compare compare = QR_ETCDPB__COMPARE__INIT, *compares[] = {&compare};
    compare.key = key;
    if (op->expected == 0) {
        compare.target = QR_ETCDPB__COMPARE__COMPARE_TARGET__CREATE;
        compare.target_union_case = QR_ETCDPB__COMPARE__TARGET_UNION_CREATE_REVISION;
    } else {
        compare.target = QR_ETCDPB__COMPARE__COMPARE_TARGET__VALUE;
        compare.target_union_case = QR_ETCDPB__COMPARE__TARGET_UNION_VALUE;
        compare.value = qr_chaos_value(op->expected, &self->arena);
    }
    QrEtcdpb__PutRequest put = QR_ETCDPB__PUT_REQUEST__INIT;
    put.key = key;
    put.value = qr_chaos_value(op->value, &self->arena);
    QrEtcdpb__RangeRequest range = QR_ETCDPB__RANGE_REQUEST__INIT;
    range.key = key;
    QrEtcdpb__RequestOp then = QR_ETCDPB__REQUEST_OP__INIT, otherwise = QR_ETCDPB__REQUEST_OP__INIT;
    then.request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    then.request_put = &put;
    otherwise.request_case = QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    otherwise.request_range = &range;
    QrEtcdpb__RequestOp *success[] = {&then}, *failure[] = {&otherwise};
    QrEtcdpb__TxnRequest request = QR_ETCDPB__TXN_REQUEST__INIT;
    request.n_compare = request.n_success = request.n_failure = 1;
    request.compare = compares;
    request.success = success;
    request.failure = failure;
    const void *answer = NULL;
    qr_chaos_outcome end =
        qr_chaos_line_ask(self->line, "etcdserverpb.KV/Txn", &request.base,
                          &qr_etcdpb__txn_response__descriptor, ASK_MS, &self->arena, &answer);
    const QrEtcdpb__TxnResponse *txn = answer;
    if (end != ANSWERED || txn->header == NULL || txn->n_responses != 1)
        return end == ANSWERED ? UNSURE : end;
    op->revision = (uint64_t)txn->header->revision;
    op->changed = txn->succeeded;
    if (!txn->succeeded &&
        txn->responses[0]->response_case == QR_ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE)
        take_range(self, op, txn->responses[0]->response_range);
    return ANSWERED;
}

/* ------------------------------------------------------------------------ its life ---- */

static void hang_up(client *self)
{
    qr_chaos_line_close(self->line);
    self->line = NULL;
    self->endpoint = (self->endpoint + 1) % self->c->endpoint_count;
}

static void operate(client *self)
{
    static qr_chaos_outcome (*const asks[])(client *, qr_judge_op *) = {
        [QR_JUDGE_READ] = ask_read,
        [QR_JUDGE_WRITE] = ask_write,
        [QR_JUDGE_DELETE] = ask_delete,
        [QR_JUDGE_CAS] = ask_swap,
    };
    qr_arena_reset(&self->arena);
    qr_judge_op op = draw_op(self);
    bool reads = op.kind == QR_JUDGE_READ;
    op.invoke = qr_chaos_now_us();
    qr_chaos_outcome end = asks[op.kind](self, &op);
    op.answer = qr_chaos_now_us();
    op.known = end == ANSWERED;
    if (end == ANSWERED || (end == UNSURE && !reads))
        qr_chaos_history_add_op(self->c, &op);
    if (end == ANSWERED && op.kind != QR_JUDGE_READ) {
        remember(self, &op, op.kind == QR_JUDGE_DELETE ? 0 : op.value);
        atomic_fetch_add(&self->c->page->changes, 1);
    }
    if (end != ANSWERED || qr_prng_below(&self->prng, MOVES_IN) == 0)
        hang_up(self);
}

void qr_chaos_client(qr_chaos *c, uint32_t number)
{
    client self = {.c = c, .number = number, .endpoint = number % c->endpoint_count};
    qr_prng_seed(&self.prng, c->options->seed * 1000 + number);
    qr_arena_init(&self.arena);
    memset(self.seen_keys, 0xff, sizeof self.seen_keys);
    uint64_t pace_us = c->options->rate ? 1000000ULL * c->options->clients / c->options->rate : 0;
    uint64_t due_us = qr_chaos_now_us();
    while (!atomic_load(&c->page->stopping)) {
        uint64_t now_us = qr_chaos_now_us();
        if (due_us > now_us)
            qr_chaos_sleep_ms((due_us - now_us) / 1000 + 1);
        due_us = (due_us > now_us ? due_us : now_us) + pace_us; /* what was missed is not made up for */
        if (self.line == NULL)
            self.line = qr_chaos_line_open(c->endpoints[self.endpoint]);
        if (self.line != NULL) {
            operate(&self);
            continue;
        }
        hang_up(&self);
        qr_chaos_sleep_ms(PAUSE_MS);
    }
    qr_chaos_line_close(self.line);
    qr_arena_free(&self.arena);
}
