/* The machine: commands in, results out. */
#include "tree/private.h"

static const uint8_t space_bytes[QR__SPACE_COUNT] = {
    [QR__SPACE_LEASES] = QR_SPACE_LEASES, [QR__SPACE_SESSIONS] = QR_SPACE_SESSIONS,
    [QR__SPACE_USERS] = QR_SPACE_USERS,   [QR__SPACE_CATALOGUE] = QR_SPACE_CATALOGUE,
    [QR__SPACE_ALARMS] = QR_SPACE_ALARMS, [QR__SPACE_ACLS] = QR_SPACE_ACLS,
    [QR__SPACE_KEYS] = QR_SPACE_KEYS,
};

uint8_t qr__space_byte(qr__space space)
{
    return space_bytes[space];
}

qr__index *qr__space_of(qr_tree *tree, uint8_t space)
{
    for (int i = QR__SPACE_COUNT; i-- > 0;)
        if (space_bytes[i] == space)
            return &tree->spaces[i];
    return NULL;
}

qr__index *qr__space_asked(qr_tree *tree, uint8_t space)
{
    return space == QR_SPACE_ALARMS ? NULL : qr__space_of(tree, space);
}

static qr_tree *tree_of(qr_machine *machine)
{
    return (qr_tree *)machine;
}
static const qr_tree *tree_of_const(const qr_machine *machine)
{
    return (const qr_tree *)machine;
}

static qr_status compact(qr_tree *tree, uint64_t revision, qr_txn_result *result)
{
    if (revision <= tree->compacted)
        return QR_E_COMPACTED;
    if (revision > tree->now.revision)
        return QR_E_FUTURE_REVISION;
    tree->compacted = revision;
    qr__digest_compact(tree);
    *result = (qr_txn_result){.revision = tree->now.revision, .succeeded = true};
    return QR_OK;
}

qr_status qr_tree_advance(qr_machine *machine, uint64_t revision)
{
    qr_tree *tree = tree_of(machine);
    QR_ASSERT(tree->load == NULL && tree->save == NULL);
    if (revision < tree->now.revision)
        return QR_E_FUTURE_REVISION;
    if (revision == tree->compacted)
        return QR_OK;
    tree->now.revision = revision;
    tree->compacted = revision;
    qr__digest_compact(tree);
    while (qr__history_work(tree, SIZE_MAX))
        ;
    return QR_OK;
}

static qr_status tree_apply(qr_machine *machine, uint64_t index, const qr_command *command, qr_arena *arena,
                            const void **result)
{
    qr_tree *tree = tree_of(machine);
    QR_ASSERT(index > tree->applied_index && tree->load == NULL);
    tree->applied_index = index;
    *result = NULL;
    qr_body body;
    qr_status status = qr_body_decode(command->body, arena, &body);
    if (status != QR_OK)
        return status;
    status = qr__alarm_allows(tree, &body);
    if (status != QR_OK)
        return status;
    qr__work work = {.tree = tree,
                     .arena = arena,
                     .index = index,
                     .stamp_ms = command->stamp_ms,
                     .rules = command->apply_version,
                     .base = tree->now.revision,
                     .before = tree->now};
    if (body.kind == QR_BODY_ALARM) {
        qr_alarm_result *done = qr_arena_zero(arena, 1, sizeof *done);
        status = qr__alarm_apply(&work, &body, done);
        *result = status == QR_OK ? done : NULL;
        return status;
    }
    qr_txn_result *answer = qr_arena_zero(arena, 1, sizeof *answer);
    switch (body.kind) {
    case QR_BODY_TXN: status = qr__txn_apply(&work, &body.txn, answer); break;
    case QR_BODY_COMPACT: status = compact(tree, body.revision, answer); break;
    default:
        status = qr__lease_apply(&work, &body);
        *answer = (qr_txn_result){.revision = tree->now.revision, .succeeded = status == QR_OK};
    }
    if (status == QR_OK || body.kind == QR_BODY_TXN)
        *result = answer;
    return status;
}

static void tree_foresee(const qr_machine *machine, const qr_slice *bodies, size_t count)
{
    qr_slice keys[QR_MACHINE_FORESEEN];
    size_t found = 0;
    QR_ASSERT(count <= QR_MACHINE_FORESEEN);
    for (size_t i = 0; i < count; i++) {
        keys[found] = qr_body_first_key(bodies[i]);
        found += keys[found].size > 0;
    }
    qr__index_foresee(&tree_of_const(machine)->spaces[QR__SPACE_KEYS], keys, found);
}

static bool is_full(const qr_tree *tree)
{
    return tree->config.admit_bytes != 0 && qr__quota_charge(tree) > tree->config.admit_bytes;
}

static qr_tree_status status_of(const qr_tree *tree, qr_arena *arena)
{
    uint64_t bytes = sizeof *tree + tree->records.bytes + tree->directories.bytes;
    bytes += tree->attachments.bytes;
    for (int space = 0; space < QR__SPACE_COUNT; space++)
        bytes += tree->spaces[space].bytes;
    qr_tree_status status = {.revision = tree->now.revision,
                             .compacted = tree->compacted,
                             .keys = tree->spaces[QR__SPACE_KEYS].live,
                             .live_bytes = tree->now.live_bytes,
                             .history_bytes = tree->now.history_bytes,
                             .memory_bytes = bytes,
                             .pages_bytes = qr_slab_held(&tree->records),
                             .pages_used_bytes = qr_slab_used(&tree->records)};
    status.alarms = qr__alarm_list(tree, arena, &status.alarm_count);
    return status;
}

static qr_status tree_query(qr_machine *machine, const void *query_in, qr_arena *arena, const void **result)
{
    qr_tree *tree = tree_of(machine);
    const qr_query *query = query_in;
    tree->queries++;
    *result = NULL;
    switch (query->kind) {
    case QR_QUERY_TXN: {
        qr_txn_result *answer = qr_arena_zero(arena, 1, sizeof *answer);
        *result = answer;
        return qr__txn_query(tree, &query->txn, arena, answer);
    }
    case QR_QUERY_HASH: {
        qr_hash_result *answer = qr_arena_zero(arena, 1, sizeof *answer);
        *result = answer;
        return qr__hash_versions(tree, query->revision, answer);
    }
    case QR_QUERY_STATUS: {
        qr_tree_status *answer = qr_arena_alloc(arena, sizeof *answer);
        *answer = status_of(tree, arena);
        *result = answer;
        return QR_OK;
    }
    case QR_QUERY_DIRECTORY: {
        qr_directory *answer = qr_arena_zero(arena, 1, sizeof *answer);
        const qr_directory *record = qr__directory_find(tree, query->path);
        if (record)
            *answer = *record;
        *result = answer;
        return QR_OK;
    }
    case QR_QUERY_PATH: {
        qr_path_result *answer = qr_arena_alloc(arena, sizeof *answer);
        qr__path_query(tree, query, arena, answer);
        *result = answer;
        return QR_OK;
    }
    case QR_QUERY_SCAN: {
        qr_scan_result *answer = qr_arena_zero(arena, 1, sizeof *answer);
        *result = answer;
        return qr__scan(tree, &query->scan, arena, answer);
    }
    case QR_QUERY_LEASE:
    case QR_QUERY_LEASES: {
        qr_leases_result *answer = qr_arena_zero(arena, 1, sizeof *answer);
        qr__lease_query(tree, query, arena, answer);
        *result = answer;
        return QR_OK;
    }
    }
    return QR_E_INVALID;
}

/* Deletes, compactions and ends of leases pass: they are the way out. */
static qr_status tree_admit(const qr_machine *machine, qr_slice bytes, qr_arena *arena)
{
    const qr_tree *tree = tree_of_const(machine);
    if (!is_full(tree))
        return QR_OK;
    qr_body body;
    qr_status status = qr_body_decode(bytes, arena, &body);
    if (status != QR_OK)
        return status;
    return qr__body_grows(&body) ? QR_E_QUOTA : QR_OK;
}

static qr_status tree_events(const qr_machine *machine, const qr_events_query *query,
                             qr_events_result *result)
{
    return qr__events(tree_of_const(machine), query, result);
}

static uint64_t tree_digest(const qr_machine *machine)
{
    return tree_of_const(machine)->now.digest;
}
static uint64_t tree_revision(const qr_machine *machine)
{
    return tree_of_const(machine)->now.revision;
}

static bool tree_upkeep(qr_machine *machine, int64_t wall_ms, qr_buffer *body)
{
    return qr__history_upkeep(tree_of(machine), wall_ms, body);
}

static bool tree_work(qr_machine *machine, size_t budget)
{
    qr_tree *tree = tree_of(machine);
    return qr__history_work(tree, budget) || qr__tidy(tree, budget);
}

static bool tree_lease_from(const qr_machine *machine, int64_t id, qr_machine_lease *lease)
{
    return qr__lease_from(tree_of_const(machine), id, lease);
}

static uint64_t tree_lease_epoch(const qr_machine *machine, uint64_t *index)
{
    return qr__lease_epoch(tree_of_const(machine), index);
}

static bool tree_has_alarm(const qr_machine *machine, uint64_t member, uint32_t kind, bool raised)
{
    return qr__alarm_stands(tree_of_const(machine), member, kind, raised);
}

static qr_status tree_save_begin(qr_machine *machine)
{
    return qr__save_begin(tree_of(machine));
}

static qr_status tree_save_next(qr_machine *machine, size_t budget, qr_buffer *out, bool *done)
{
    return qr__save_next(tree_of(machine), budget, out, done);
}

static uint64_t tree_save_sum(const qr_machine *machine)
{
    return qr__save_sum(tree_of_const(machine));
}

static void tree_save_end(qr_machine *machine)
{
    qr__save_end(tree_of(machine));
}

static qr_status tree_load(qr_machine *machine, qr_slice chunk, bool last)
{
    return qr__load_chunk(tree_of(machine), chunk, last);
}

static bool tree_settle(qr_machine *machine, size_t budget)
{
    return qr__load_settle(tree_of(machine), budget);
}

static const char *tree_broken(const qr_machine *machine)
{
    return qr__broken(tree_of_const(machine));
}

static bool tree_retire(qr_machine *machine, size_t budget)
{
    qr_tree *tree = tree_of(machine);
    qr__save_end(tree);
    qr__load_end(tree);
    if (qr__history_free(tree, budget)) {
        qr_slab_trim(&tree->records, 0);
        return true;
    }
    qr__cursor cursor = qr__cursor_seek(&tree->directories, qr_slice_of(NULL, 0));
    while (cursor.leaf) {
        qr__entry *entry = qr__cursor_entry(&cursor);
        qr__cursor_next(&cursor);
        qr_slab_free(&tree->records, entry->directory, sizeof *entry->directory);
        qr__entry_free(entry, &tree->records);
    }
    qr__index_free(&tree->directories);
    qr__leases_free(tree);
    for (int space = 0; space < QR__SPACE_COUNT; space++)
        qr__index_free(&tree->spaces[space]);
    qr_buffer_free(&tree->tidying.place);
    qr_slab_end(&tree->records);
    qr_free(tree);
    return false;
}

static void tree_free(qr_machine *machine)
{
    tree_retire(machine, SIZE_MAX);
}

static const qr_machine_ops ops = {
    .name = "tree",
    .apply = tree_apply,
    .foresee = tree_foresee,
    .admit = tree_admit,
    .query = tree_query,
    .events = tree_events,
    .digest = tree_digest,
    .revision = tree_revision,
    .upkeep = tree_upkeep,
    .work = tree_work,
    .lease_from = tree_lease_from,
    .lease_epoch = tree_lease_epoch,
    .has_alarm = tree_has_alarm,
    .save_begin = tree_save_begin,
    .save_next = tree_save_next,
    .save_sum = tree_save_sum,
    .save_end = tree_save_end,
    .load = tree_load,
    .settle = tree_settle,
    .broken = tree_broken,
    .free = tree_free,
    .retire = tree_retire,
};

qr_machine *qr_tree_open(const qr_tree_config *config)
{
    qr_tree *tree = qr_alloc_zero(1, sizeof *tree);
    tree->machine.ops = &ops;
    tree->config = *config;
    tree->now.revision = 1; /* of an empty store; the first write makes 2 */
    for (int space = 0; space < QR__SPACE_COUNT; space++)
        qr__index_init(&tree->spaces[space], &tree->records);
    tree->history.records = tree->hidden.records = &tree->records;
    qr__index_init(&tree->directories, &tree->records);
    qr__index_init(&tree->attachments, &tree->records);
    return &tree->machine;
}
