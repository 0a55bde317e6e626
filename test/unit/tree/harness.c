#include "harness.h"

void harness_open(harness *h, const qr_tree_config *config)
{
    *h = (harness){.stamp_ms = 1000};
    h->machine = qr_tree_open(config ? config : &(qr_tree_config){0});
    qr_arena_init(&h->arena);
}

void harness_close(harness *h)
{
    qr_arena_free(&h->arena);
    h->machine->ops->free(h->machine);
}

static const void *apply_body(harness *h, qr_buffer *body)
{
    qr_arena_reset(&h->arena);
    qr_command command = {.apply_version = QR_APPLY_VERSION,
                          .stamp_ms = h->stamp_ms,
                          .body = qr_arena_copy(&h->arena, qr_buffer_slice(body))};
    qr_buffer_free(body);
    const void *result = NULL;
    h->machine->ops->foresee(h->machine, &command.body, 1);
    h->status = h->machine->ops->apply(h->machine, ++h->index, &command, &h->arena, &result);
    assert_true(h->status != QR_OK || result != NULL);
    h->rejected = h->status == QR_OK ? NULL : result;
    return h->status == QR_OK ? result : NULL;
}

const qr_txn_result *harness_body(harness *h, const qr_body *body)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_body_encode(body, &bytes);
    return apply_body(h, &bytes);
}

const qr_txn_result *harness_apply(harness *h, const qr_txn *txn)
{
    return harness_body(h, &(qr_body){.kind = QR_BODY_TXN, .txn = *txn});
}

const qr_txn_result *harness_compact(harness *h, uint64_t revision)
{
    return harness_body(h, &(qr_body){.kind = QR_BODY_COMPACT, .revision = revision});
}

static const void *ask(harness *h, const qr_query *query)
{
    qr_arena_reset(&h->arena);
    const void *result = NULL;
    h->status = h->machine->ops->query(h->machine, query, &h->arena, &result);
    return h->status == QR_OK ? result : NULL;
}

const qr_txn_result *harness_query(harness *h, const qr_txn *txn)
{
    return ask(h, &(qr_query){.kind = QR_QUERY_TXN, .txn = *txn});
}

const qr_op_result *harness_op(harness *h, qr_op op)
{
    const qr_txn_result *result = harness_apply(h, &(qr_txn){.then_ops = &op, .then_count = 1});
    return result ? &result->ops[0] : NULL;
}

const qr_op_result *harness_range(harness *h, qr_range range)
{
    qr_op op = {.kind = QR_OP_RANGE, .range = range};
    const qr_txn_result *result = harness_query(h, &(qr_txn){.then_ops = &op, .then_count = 1});
    return result ? &result->ops[0] : NULL;
}

const qr_leases_result *harness_lease(harness *h, int64_t lease)
{
    return ask(
        h, &(qr_query){.kind = lease ? QR_QUERY_LEASE : QR_QUERY_LEASES, .lease = lease, .want_keys = true});
}

qr_tree_status harness_status(harness *h)
{
    return *(const qr_tree_status *)ask(h, &(qr_query){.kind = QR_QUERY_STATUS});
}

qr_hash_result harness_hash(harness *h, uint64_t revision)
{
    const qr_hash_result *result = ask(h, &(qr_query){.kind = QR_QUERY_HASH, .revision = revision});
    return result ? *result : (qr_hash_result){0};
}

qr_directory harness_directory(harness *h, const char *path)
{
    return *(const qr_directory *)ask(h,
                                      &(qr_query){.kind = QR_QUERY_DIRECTORY, .path = qr_slice_text(path)});
}

void harness_work(harness *h)
{
    while (h->machine->ops->work(h->machine, 7))
        continue;
}

void harness_check(harness *h)
{
    const char *broken = h->machine->ops->broken(h->machine);
    if (broken)
        fail_msg("%s", broken);
}

qr_machine *harness_copy(harness *h, size_t budget, const qr_tree_config *config)
{
    const qr_machine_ops *ops = h->machine->ops;
    qr_machine *copy = qr_tree_open(config ? config : &(qr_tree_config){0});
    qr_buffer chunk;
    qr_buffer_init(&chunk);
    assert_int_equal(ops->save_begin(h->machine), QR_OK);
    for (bool done = false; !done;) {
        qr_buffer_clear(&chunk);
        assert_int_equal(ops->save_next(h->machine, budget, &chunk, &done), QR_OK);
        assert_int_equal(ops->load(copy, qr_buffer_slice(&chunk), done), QR_OK);
        while (done && ops->settle(copy, 7))
            continue;
    }
    ops->save_end(h->machine);
    qr_buffer_free(&chunk);
    return copy;
}

qr_span key_span(const char *key)
{
    return (qr_span){.kind = QR_SPAN_KEY, .space = QR_SPACE_KEYS, .key = qr_slice_text(key)};
}

qr_span range_span(const char *from, const char *to)
{
    return (qr_span){
        .kind = QR_SPAN_RANGE, .space = QR_SPACE_KEYS, .key = qr_slice_text(from), .end = qr_slice_text(to)};
}

qr_span from_span(const char *from)
{
    return (qr_span){.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS, .key = qr_slice_text(from)};
}

qr_op put_op(const char *key, const char *value)
{
    return (qr_op){.kind = QR_OP_PUT,
                   .put = {.space = QR_SPACE_KEYS, .key = qr_slice_text(key), .value = qr_slice_text(value)}};
}

qr_op delete_op(qr_span span)
{
    return (qr_op){.kind = QR_OP_DELETE, .del = {.span = span, .want_previous = true}};
}
qr_op range_op(qr_span span)
{
    return (qr_op){.kind = QR_OP_RANGE, .range = {.span = span}};
}
qr_op txn_op(const qr_txn *txn)
{
    return (qr_op){.kind = QR_OP_TXN, .txn = txn};
}

int harness_setup(void **state)
{
    harness *h = qr_alloc_zero(1, sizeof *h);
    harness_open(h, NULL);
    *state = h;
    return 0;
}

int harness_teardown(void **state)
{
    harness *h = *state;
    harness_work(h);
    harness_check(h);
    harness_close(h);
    qr_free(h);
    return 0;
}

uint64_t revision_of(harness *h)
{
    return h->machine->ops->revision(h->machine);
}
uint64_t digest_of(harness *h)
{
    return h->machine->ops->digest(h->machine);
}

void put(harness *h, const char *key, const char *value)
{
    assert_non_null(harness_op(h, put_op(key, value)));
}

uint64_t delete_key(harness *h, const char *key)
{
    return harness_op(h, delete_op(key_span(key)))->count;
}
