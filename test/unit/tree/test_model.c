/* Tens of thousands of random commands, each judged by the model: status, every field of every result. Three
 * trees get them: one that is never tidied up, one that is tidied in small slices and asked many questions,
 * and one that is replaced by a loaded image of itself now and then. Their digests and hashes must stay
 * equal. */
#include "events_check.h"
#include "harness.h"
#include "model.h"
#include "tree/private.h"

#include <stdio.h>

enum { COMMANDS = 6000, TREES = 3 };

typedef struct world {
    qr_prng prng;
    model model;
    harness trees[TREES];
    qr_arena arena; /* of the command being made and the model's answer */
    uint64_t seed, commands, rejected, compactions, copies, ranges, ends;
    uint64_t epoch;
    bool saving;
    uint64_t saved_digest, saved_revision;
    model_directory *saved_directories; /* as the model had them when the save began */
    size_t saved_directory_count;
    qr_machine *loading;
    qr_tree_config config;
} world;

static uint64_t below(world *w, uint64_t bound)
{
    return qr_prng_below(&w->prng, bound);
}
static bool one_in(world *w, uint64_t n)
{
    return below(w, n) == 0;
}

/* ------------------------------------------------------------------ generator ---- */

static qr_slice random_key(world *w)
{
    static const char *const forms[] = {
        "/%c", "/%c/%c", "/%c/%c", "/%c/%c/%c", "/%c/x/%c/%c", "%c%c", "/%c/", "//%c", "/%c/..", "%c", "/"};
    char a = (char)('a' + below(w, 5)), b = (char)('a' + below(w, 6)), c = (char)('a' + below(w, 4));
    if (one_in(w, 6)) /* a long common prefix, longer than nodes can take out */
        return qr_slice_text(qr_arena_format(
            &w->arena, "/registry/one-rather-long-name-of-a-kind/and-a-name-space/%c/%c%c", a, b, c));
    return qr_slice_text(
        qr_arena_format(&w->arena, forms[below(w, sizeof forms / sizeof forms[0])], a, b, c));
}

static uint8_t random_space(world *w)
{
    static const uint8_t others[] = {QR_SPACE_CATALOGUE, QR_SPACE_USERS,     QR_SPACE_CATALOGUE,
                                     QR_SPACE_LEASES,    QR_SPACE_DIRECTORY, 0x77};
    if (!one_in(w, 12))
        return QR_SPACE_KEYS;
    return others[one_in(w, 10) ? below(w, 6) : below(w, 4)];
}

static qr_span random_span(world *w)
{
    qr_span span = {.kind = (qr_span_kind)below(w, 3), .space = random_space(w), .key = random_key(w)};
    if (span.kind == QR_SPAN_RANGE)
        span.end = random_key(w);
    if (one_in(w, 6)) { /* everything under a path */
        span.kind = QR_SPAN_RANGE;
        char a = (char)('a' + below(w, 5));
        span.key = qr_slice_text(qr_arena_format(&w->arena, "/%c/", a));
        span.end = qr_slice_text(qr_arena_format(&w->arena, "/%c0", a));
    }
    if (one_in(w, 20))
        span.key = qr_slice_of(NULL, 0);
    return span;
}

static qr_slice random_value(world *w)
{
    size_t size = one_in(w, 10) ? 257 + below(w, 600) : below(w, 4);
    uint8_t *bytes = qr_arena_alloc(&w->arena, size + 1);
    memset(bytes, (int)('0' + below(w, 3)), size + 1);
    return qr_slice_of(bytes, size);
}

static uint64_t random_revision(world *w)
{
    uint64_t newest = w->model.revision;
    if (one_in(w, 4))
        return newest + below(w, 3);
    uint64_t oldest = w->model.compacted > 2 && one_in(w, 10) ? w->model.compacted - 1 : w->model.compacted;
    return oldest + below(w, newest - oldest + 1);
}

static qr_range random_range(world *w)
{
    qr_range range = {.span = random_span(w),
                      .order = (qr_order)below(w, 3),
                      .sort = one_in(w, 2) ? QR_SORT_KEY : (qr_sort)below(w, 5),
                      .keys_only = one_in(w, 5),
                      .count_only = one_in(w, 8)};
    if (one_in(w, 3))
        range.revision = random_revision(w);
    if (one_in(w, 3))
        range.limit = 1 + below(w, 6);
    if (one_in(w, 8))
        range.mod_revision_min = random_revision(w);
    if (one_in(w, 8))
        range.mod_revision_max = random_revision(w);
    if (one_in(w, 10))
        range.create_revision_min = random_revision(w);
    if (one_in(w, 10))
        range.create_revision_max = random_revision(w);
    return range;
}

static qr_put random_put(world *w)
{
    qr_put put = {.space = random_space(w), .key = random_key(w), .value = random_value(w)};
    if (one_in(w, 3))
        put.options |= QR_PUT_WANT_PREVIOUS;
    if (one_in(w, 12)) {
        put.options |= QR_PUT_NUMBERED;
        put.key = qr_slice_text(
            qr_arena_format(&w->arena, one_in(w, 3) ? "/%c/" : "/%c/n-", 'a' + (int)below(w, 5)));
        put.space = one_in(w, 20) ? QR_SPACE_USERS : QR_SPACE_KEYS;
    }
    if (one_in(w, 8)) {
        put.options |= QR_PUT_KEEP_VALUE;
        put.value = qr_slice_of(NULL, 0);
    }
    if (one_in(w, 8))
        put.options |= QR_PUT_KEEP_LEASE;
    else if (one_in(w, 5))
        put.lease = (int64_t)below(w, 6) - 1;
    if (one_in(w, 8)) {
        put.options |= QR_PUT_SET_FLAGS;
        put.flags = below(w, 3);
    }
    if (one_in(w, 8)) {
        put.options |= QR_PUT_SET_ACL;
        put.acl = below(w, 3);
    }
    if (one_in(w, 8)) {
        put.options |= QR_PUT_SET_ATTRIBUTE;
        put.attribute = random_value(w);
        put.attribute.size = put.attribute.size > QR_ATTRIBUTE_MAX ? QR_ATTRIBUTE_MAX : put.attribute.size;
    }
    if (one_in(w, 10)) {
        put.options |= QR_PUT_EXPECT_VERSION;
        put.expected_version = below(w, 4);
    }
    if (one_in(w, 10))
        put.options |= QR_PUT_DETACH_ON_EXPIRY;
    return put;
}

static void random_txn(world *w, qr_txn *txn, unsigned depth, bool writes);

static qr_op random_op(world *w, unsigned depth, bool writes)
{
    uint64_t dice = below(w, 100);
    if (!writes || dice < 25) {
        w->ranges++;
        return (qr_op){.kind = QR_OP_RANGE, .range = random_range(w)};
    }
    if (dice < 78)
        return (qr_op){.kind = QR_OP_PUT, .put = random_put(w)};
    if (dice < 92 || depth >= 4) {
        qr_delete del = {.span = random_span(w), .want_previous = one_in(w, 2)};
        if (!one_in(w, 4)) /* mostly single keys, so that the tree does not stay empty */
            del.span.kind = QR_SPAN_KEY;
        return (qr_op){.kind = QR_OP_DELETE, .del = del};
    }
    qr_txn *nested = qr_arena_zero(&w->arena, 1, sizeof *nested);
    random_txn(w, nested, depth + 1, true);
    return (qr_op){.kind = QR_OP_TXN, .txn = nested};
}

static void random_condition(world *w, qr_condition *condition)
{
    *condition = (qr_condition){
        .span = random_span(w), .target = (qr_target)below(w, 5), .relation = (qr_relation)below(w, 4)};
    if (condition->target == QR_TARGET_VALUE)
        condition->value = random_value(w);
    else if (condition->target == QR_TARGET_CREATE || condition->target == QR_TARGET_MOD)
        condition->number = (int64_t)random_revision(w);
    else
        condition->number = (int64_t)below(w, 4) - 1;
}

static void random_txn(world *w, qr_txn *txn, unsigned depth, bool writes)
{
    *txn = (qr_txn){.condition_count = one_in(w, 2) ? below(w, 3) : 0,
                    .then_count = depth == 0 && one_in(w, 2) ? 1 : below(w, 5),
                    .else_count = one_in(w, 2) ? below(w, 4) : 0};
    qr_condition *conditions = qr_arena_zero(&w->arena, txn->condition_count + 1, sizeof *conditions);
    qr_op *then_ops = qr_arena_zero(&w->arena, txn->then_count + 1, sizeof *then_ops);
    qr_op *else_ops = qr_arena_zero(&w->arena, txn->else_count + 1, sizeof *else_ops);
    for (size_t i = 0; i < txn->condition_count; i++)
        random_condition(w, &conditions[i]);
    for (size_t i = 0; i < txn->then_count; i++)
        then_ops[i] = random_op(w, depth, writes);
    for (size_t i = 0; i < txn->else_count; i++)
        else_ops[i] = random_op(w, depth, writes);
    txn->conditions = conditions;
    txn->then_ops = then_ops;
    txn->else_ops = else_ops;
}

/* ----------------------------------------------------------------- comparison ---- */

static void equal_kvs(const qr_key_value *got, const qr_key_value *want)
{
    assert_true(qr_slice_equal(got->key, want->key));
    assert_true(qr_slice_equal(got->value, want->value));
    assert_true(qr_slice_equal(got->attribute, want->attribute));
    assert_int_equal(got->create_revision, want->create_revision);
    assert_int_equal(got->mod_revision, want->mod_revision);
    assert_int_equal(got->version, want->version);
    assert_int_equal(got->lease, want->lease);
    assert_int_equal(got->created_ms, want->created_ms);
    assert_int_equal(got->modified_ms, want->modified_ms);
    assert_int_equal(got->flags, want->flags);
    assert_int_equal(got->acl, want->acl);
    assert_int_equal(got->acl_version, want->acl_version);
}

static void equal_results(const qr_txn_result *got, const qr_txn_result *want)
{
    assert_int_equal(got->revision, want->revision);
    assert_int_equal(got->succeeded, want->succeeded);
    assert_int_equal(got->op_count, want->op_count);
    for (size_t i = 0; i < want->op_count; i++) {
        const qr_op_result *a = &got->ops[i], *b = &want->ops[i];
        assert_int_equal(a->kind, b->kind);
        assert_int_equal(a->revision, b->revision);
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->more, b->more);
        assert_int_equal(a->kv_count, b->kv_count);
        assert_true(qr_slice_equal(a->key, b->key));
        for (size_t k = 0; k < b->kv_count; k++)
            equal_kvs(&a->kvs[k], &b->kvs[k]);
        if (b->txn)
            equal_results(a->txn, b->txn);
    }
}

/* The events from the watermark on, whatever has been freed below it: what watchers will be told. */
static void equal_events(const harness *a, const harness *b)
{
    const qr_tree *left = (const qr_tree *)a->machine, *right = (const qr_tree *)b->machine;
    uint64_t i = qr__history_find(left, left->compacted), j = qr__history_find(right, right->compacted);
    assert_int_equal(left->history.end - i, right->history.end - j);
    for (; i < left->history.end; i++, j++) {
        const qr__event *x = qr__ring_at(&left->history, i), *y = qr__ring_at(&right->history, j);
        assert_true(qr_slice_equal(qr__key_of(x->entry), qr__key_of(y->entry)));
        assert_true(qr_slice_equal(qr__value_of(x->version), qr__value_of(y->version)));
        assert_int_equal(qr__mod_of(x->version), qr__mod_of(y->version));
        assert_int_equal(x->version->sub, y->version->sub);
        assert_int_equal(qr__number_of(x->version), qr__number_of(y->version));
        assert_int_equal(qr__index_of(x->version), qr__index_of(y->version));
    }
}

/* A save that ran over many commands gives the events that there were when it began. */
static void equal_saved_events(const qr_machine *now, const qr_machine *then)
{
    const qr_tree *left = (const qr_tree *)now, *right = (const qr_tree *)then;
    uint64_t i = qr__history_find(left, right->compacted), j = qr__history_find(right, right->compacted);
    for (; j < right->history.end; i++, j++) {
        const qr__version *x = qr__ring_at(&left->history, i)->version,
                          *y = qr__ring_at(&right->history, j)->version;
        assert_int_equal(qr__mod_of(x), qr__mod_of(y));
        assert_int_equal(x->sub, y->sub);
        assert_int_equal(qr__number_of(x), qr__number_of(y));
    }
}

static void equal_directories(const qr_machine *machine, const model_directory *want, size_t count)
{
    const qr_tree *tree = (const qr_tree *)machine;
    assert_int_equal(tree->directories.live, count);
    for (size_t i = 0; i < count; i++) {
        const qr_directory *a = qr__directory_find(tree, want[i].path), *b = &want[i].record;
        assert_non_null(a);
        assert_int_equal(a->created, b->created);
        assert_int_equal(a->changes, b->changes);
        assert_int_equal(a->children, b->children);
        assert_int_equal(a->last_revision, b->last_revision);
        assert_int_equal(a->first_revision, b->first_revision);
        assert_int_equal(a->bare_revision, b->bare_revision);
        assert_int_equal(a->versions, b->versions);
        assert_int_equal(a->first_ms, b->first_ms);
        assert_int_equal(a->bare_ms, b->bare_ms);
    }
}

/* The pieces of a scan are the range, wherever they are cut. */
static void equal_scan(world *w, qr_machine *machine, qr_span span, uint64_t revision)
{
    qr_op op = {.kind = QR_OP_RANGE, .range = {.span = span, .revision = revision}};
    const qr_query whole = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    qr_query piece = {.kind = QR_QUERY_SCAN,
                      .scan = {.span = span, .revision = revision, .bytes_max = 1 + below(w, 500)}};
    const void *answer;
    assert_int_equal(machine->ops->query(machine, &whole, &w->arena, &answer), QR_OK);
    const qr_op_result *want = ((const qr_txn_result *)answer)->ops;
    size_t at = 0;
    for (bool is_end = false; !is_end;) {
        piece.scan.keys_max = 1 + below(w, 10);
        assert_int_equal(machine->ops->query(machine, &piece, &w->arena, &answer), QR_OK);
        const qr_scan_result *got = answer;
        assert_true(got->kv_count <= want->kv_count - at);
        for (size_t k = 0; k < got->kv_count; k++)
            equal_kvs(&got->kvs[k], &want->kvs[at++]);
        is_end = got->is_end;
        piece.scan.span.key = got->next;
    }
    assert_int_equal(at, want->kv_count);
}

static void equal_trees(world *w)
{
    uint64_t live = model_live_keys(&w->model), bytes = model_live_bytes(&w->model);
    qr_hash_result hash = harness_hash(&w->trees[0], 0);
    uint64_t past = w->model.compacted + below(w, w->model.revision - w->model.compacted + 1);
    qr_hash_result past_hash = harness_hash(&w->trees[0], past);
    for (int t = 0; t < TREES; t++) {
        harness *h = &w->trees[t];
        harness_check(h);
        equal_events(&w->trees[0], h);
        qr_span span = random_span(w);
        span.space = QR_SPACE_KEYS;
        uint64_t from = one_in(w, 8) ? below(w, w->model.revision + 3) : past;
        events_check(&w->model, h->machine, span, one_in(w, 4) ? w->model.compacted : from, &w->prng);
        if (span.kind != QR_SPAN_KEY && past > 0)
            equal_scan(w, h->machine, span, past);
        qr_tree_status status = harness_status(h);
        assert_int_equal(status.revision, w->model.revision);
        assert_int_equal(status.compacted, w->model.compacted);
        assert_int_equal(status.keys, live);
        assert_int_equal(status.live_bytes, bytes);
        assert_int_equal(harness_hash(h, 0).hash, hash.hash);
        assert_int_equal(harness_hash(h, past).hash, past_hash.hash);
        assert_int_equal(h->machine->ops->digest(h->machine),
                         w->trees[0].machine->ops->digest(w->trees[0].machine));
    }
    for (int t = 0; t < TREES; t++)
        equal_directories(w->trees[t].machine, w->model.directories, w->model.directory_count);
}

/* ------------------------------------------------------------------- the run ---- */

static void step_txn(world *w)
{
    qr_txn txn;
    bool writes = !one_in(w, 4);
    random_txn(w, &txn, 0, writes);
    int64_t stamp_ms = (int64_t)(w->commands * 10 + below(w, 100)); /* does go back now and then */
    qr_txn_result want;
    qr_status status = model_txn(&w->model, &txn, stamp_ms, &w->arena, &want);
    w->rejected += status != QR_OK;
    for (int t = 0; t < TREES; t++) {
        harness *h = &w->trees[t];
        h->stamp_ms = stamp_ms;
        if (!qr_txn_writes(&txn)) {
            const qr_txn_result *read = harness_query(h, &txn);
            assert_int_equal(h->status, status);
            if (read)
                equal_results(read, &want);
            if (t == 1)
                harness_query(h, &txn);
        }
        const qr_txn_result *got = harness_apply(h, &txn);
        assert_int_equal(h->status, status);
        if (got)
            equal_results(got, &want);
    }
}

static void step_compact(world *w)
{
    uint64_t revision = one_in(w, 5)
                            ? below(w, w->model.revision + 3)
                            : w->model.compacted + below(w, w->model.revision - w->model.compacted + 1);
    qr_status status = model_compact(&w->model, revision);
    w->compactions += status == QR_OK;
    for (int t = 0; t < TREES; t++) {
        harness_compact(&w->trees[t], revision);
        assert_int_equal(w->trees[t].status, status);
    }
}

static int64_t random_lease(world *w)
{
    return one_in(w, 6) ? -1 : (int64_t)(1 + below(w, 4));
}

/* Some of them are right: of the present epoch and the present generation. */
static void random_ends(world *w, qr_body *body)
{
    const qr_leases_result *all = harness_lease(&w->trees[0], 0);
    qr_lease_name *names = qr_arena_zero(&w->arena, all->count + 1, sizeof *names);
    body->ended = names;
    body->epoch = w->epoch - one_in(w, 4) + one_in(w, 6);
    for (size_t i = 0; i < all->count; i++)
        if (!one_in(w, 3))
            names[body->ended_count++] = (qr_lease_name){
                .id = all->leases[i].id, .generation = all->leases[i].generation + one_in(w, 5)};
    if (body->ended_count == 0)
        names[body->ended_count++] = (qr_lease_name){.id = 77, .generation = 1};
}

static void step_lease(world *w)
{
    qr_body body = {.kind = QR_BODY_LEASE_GRANT, .lease = random_lease(w), .ttl_ms = 1 + below(w, 5000)};
    switch (below(w, 10)) {
    case 0: body = (qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = random_lease(w)}; break;
    case 1: body = (qr_body){.kind = QR_BODY_LEASE_EPOCH, .epoch = w->epoch + below(w, 3) - 1}; break;
    case 2:
        body = (qr_body){.kind = QR_BODY_LEASE_EXPIRE};
        random_ends(w, &body);
        break;
    default: break;
    }
    if (body.kind == QR_BODY_LEASE_EPOCH && body.epoch > w->epoch)
        w->epoch = body.epoch;
    int64_t stamp_ms = (int64_t)(w->commands * 10 + below(w, 100));
    uint64_t before = w->model.revision;
    qr_status status = model_lease(&w->model, &body, w->trees[0].index + 1, stamp_ms, &w->arena);
    w->ends += body.kind == QR_BODY_LEASE_EXPIRE && w->model.revision > before;
    for (int t = 0; t < TREES; t++) {
        w->trees[t].stamp_ms = stamp_ms;
        const qr_txn_result *got = harness_body(&w->trees[t], &body);
        assert_int_equal(w->trees[t].status, status);
        if (got)
            assert_int_equal(got->revision, w->model.revision);
    }
}

/* The third tree saves itself over many commands. The loaded image must be as the tree was when the save
 * began; then the whole tree is replaced by a copy of itself. */
static void step_save(world *w)
{
    harness *h = &w->trees[2];
    const qr_machine_ops *ops = h->machine->ops;
    if (!w->saving) {
        if (!one_in(w, 150))
            return;
        assert_int_equal(ops->save_begin(h->machine), QR_OK);
        w->saving = true;
        w->saved_digest = ops->digest(h->machine);
        w->saved_revision = ops->revision(h->machine);
        w->loading = qr_tree_open(&w->config);
        size_t bytes = w->model.directory_count * sizeof *w->saved_directories;
        w->saved_directory_count = w->model.directory_count;
        w->saved_directories = qr_realloc(w->saved_directories, bytes + 1);
        if (bytes)
            memcpy(w->saved_directories, w->model.directories, bytes);
    }
    qr_buffer chunk;
    qr_buffer_init(&chunk);
    bool done = false;
    assert_int_equal(ops->save_next(h->machine, 100 + below(w, 800), &chunk, &done), QR_OK);
    assert_int_equal(ops->load(w->loading, qr_buffer_slice(&chunk), done), QR_OK);
    while (done && ops->settle(w->loading, 7))
        continue;
    qr_buffer_free(&chunk);
    if (!done)
        return;
    ops->save_end(h->machine);
    w->saving = false;
    if (ops->broken(w->loading))
        fail_msg("%s", ops->broken(w->loading));
    equal_saved_events(h->machine, w->loading);
    equal_directories(w->loading, w->saved_directories, w->saved_directory_count);
    assert_int_equal(ops->digest(w->loading), w->saved_digest);
    assert_int_equal(ops->revision(w->loading), w->saved_revision);
    ops->free(w->loading);
    w->loading = NULL;
    qr_machine *copy = harness_copy(h, 1 + below(w, 5000), &w->config);
    /* An image holds no version that only waits to be freed. */
    harness_work(h);
    uint64_t history_bytes = harness_status(h).history_bytes;
    ops->free(h->machine);
    h->machine = copy;
    assert_int_equal(harness_status(h).history_bytes, history_bytes);
    w->copies++;
}

static void run_seed(uint64_t seed, uint64_t quota)
{
    world w = {.seed = seed, .config = {.quota_bytes = quota}, .epoch = 2};
    qr_prng_seed(&w.prng, seed);
    model_init(&w.model);
    w.model.quota = quota;
    for (int t = 0; t < TREES; t++) {
        w.config.move_always = t > 0; /* where records lie is seen by nobody */
        harness_open(&w.trees[t], &w.config);
    }
    for (w.commands = 1; w.commands <= COMMANDS; w.commands++) {
        qr_arena_reset(&w.arena);
        if (one_in(&w, 60))
            step_compact(&w);
        else if (one_in(&w, 8))
            step_lease(&w);
        else
            step_txn(&w);
        w.trees[1].machine->ops->work(w.trees[1].machine, 1 + below(&w, 4));
        w.trees[2].machine->ops->work(w.trees[2].machine, below(&w, 40));
        step_save(&w);
        if (one_in(&w, 40))
            equal_trees(&w);
    }
    equal_trees(&w);
    harness_work(&w.trees[0]);
    equal_trees(&w);
    print_message(
        "seed %llu: %d commands, %llu rejected, %llu ranges, %llu compactions, %llu copies, %zu keys, "
        "revision %llu\n",
        (unsigned long long)seed, COMMANDS, (unsigned long long)w.rejected, (unsigned long long)w.ranges,
        (unsigned long long)w.compactions, (unsigned long long)w.copies, w.model.count,
        (unsigned long long)w.model.revision);
    assert_true(w.rejected > 100 && w.compactions > 20 && w.copies > 2 && w.ends > 5);
    if (w.loading)
        w.loading->ops->free(w.loading);
    for (int t = 0; t < TREES; t++)
        harness_close(&w.trees[t]);
    model_free(&w.model);
    qr_free(w.saved_directories);
    qr_arena_free(&w.arena);
}

static void test_seed_1(void **state)
{
    run_seed(1, 0);
}
static void test_seed_2(void **state)
{
    run_seed(2, 0);
}
static void test_seed_3(void **state)
{
    run_seed(3, 0);
}
static void test_seed_4_with_quota(void **state)
{
    run_seed(4, 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seed_1),
        cmocka_unit_test(test_seed_2),
        cmocka_unit_test(test_seed_3),
        cmocka_unit_test(test_seed_4_with_quota),
    };
    return cmocka_run_group_tests_name("tree: model", tests, NULL, NULL);
}
