/* Alarms: a record each in the space of alarms, named by kind and member, most significant byte first, so
 * that those of a kind lie together. Its value is one byte: 0 = noted, 1 = raised. doc/design/alarms.md. */
#include "tree/private.h"

enum { KIND_SIZE = 4, NAME_SIZE = KIND_SIZE + 8, VALUE_SIZE = 1 };

static void store_name(uint32_t kind, uint64_t member, uint8_t name[NAME_SIZE])
{
    for (int i = 0; i < NAME_SIZE; i++)
        name[i] = (uint8_t)(i < KIND_SIZE ? kind >> (24 - 8 * i) : member >> (56 - 8 * (i - KIND_SIZE)));
}

static qr_alarm alarm_of(const qr__entry *entry)
{
    qr_alarm alarm = {.noted = qr__value_of(entry->newest).data[0] == 0};
    for (int i = 0; i < KIND_SIZE; i++)
        alarm.kind = alarm.kind << 8 | entry->key[i];
    for (int i = KIND_SIZE; i < NAME_SIZE; i++)
        alarm.member = alarm.member << 8 | entry->key[i];
    return alarm;
}

static qr__entry *find(const qr_tree *tree, uint64_t member, uint32_t kind)
{
    uint8_t name[NAME_SIZE];
    store_name(kind, member, name);
    qr__entry *entry = qr__index_find(&tree->spaces[QR__SPACE_ALARMS], qr_slice_of(name, sizeof name));
    return entry && qr__is_live(entry->newest) ? entry : NULL;
}

bool qr__alarm_stands(const qr_tree *tree, uint64_t member, uint32_t kind, bool raised)
{
    const qr__entry *entry = find(tree, member, kind);
    return entry && !(raised && alarm_of(entry).noted);
}

bool qr__alarm_holds(const qr_tree *tree, uint32_t kind)
{
    const qr__index *index = &tree->spaces[QR__SPACE_ALARMS];
    if (index->live == 0)
        return false;
    uint8_t name[NAME_SIZE];
    store_name(kind, 0, name);
    qr__cursor cursor = qr__cursor_seek(index, qr_slice_of(name, sizeof name));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        if (memcmp(entry->key, name, KIND_SIZE) != 0)
            return false;
        if (qr__is_live(entry->newest) && !alarm_of(entry).noted)
            return true;
    }
    return false;
}

const qr_alarm *qr__alarm_list(const qr_tree *tree, qr_arena *arena, size_t *count)
{
    const qr__index *index = &tree->spaces[QR__SPACE_ALARMS];
    *count = 0;
    if (index->live == 0)
        return NULL;
    qr_alarm *list = qr_arena_alloc(arena, index->live * sizeof *list);
    qr__cursor cursor = qr__cursor_seek(index, qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor))
        if (qr__is_live(qr__cursor_entry(&cursor)->newest))
            list[(*count)++] = alarm_of(qr__cursor_entry(&cursor));
    return list;
}

/* --------------------------------------------------------- what they refuse ---- */

static bool puts_any(const qr_txn *txn);

static bool puts_any_of(const qr_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((ops[i].kind == QR_OP_PUT &&
             (ops[i].put.space == QR_SPACE_KEYS || ops[i].put.space == QR_SPACE_ACLS)) ||
            (ops[i].kind == QR_OP_TXN && puts_any(ops[i].txn)))
            return true;
    return false;
}

static bool puts_any(const qr_txn *txn)
{
    return puts_any_of(txn->then_ops, txn->then_count) || puts_any_of(txn->else_ops, txn->else_count);
}

bool qr__body_grows(const qr_body *body)
{
    return (body->kind == QR_BODY_TXN && puts_any(&body->txn)) || body->kind == QR_BODY_LEASE_GRANT;
}

/* What leaders do about leases goes on under any alarm: their time is a promise of its own. */
static bool is_write_of_a_client(const qr_body *body)
{
    switch (body->kind) {
    case QR_BODY_TXN: return qr_txn_writes(&body->txn);
    case QR_BODY_COMPACT:
    case QR_BODY_LEASE_GRANT:
    case QR_BODY_LEASE_REVOKE: return true;
    default: return false;
    }
}

qr_status qr__alarm_allows(const qr_tree *tree, const qr_body *body)
{
    if (tree->spaces[QR__SPACE_ALARMS].live == 0)
        return QR_OK;
    if (is_write_of_a_client(body) && qr__alarm_holds(tree, QR_ALARM_CORRUPT))
        return QR_E_CORRUPT;
    bool grows = qr__body_grows(body) && !QR_BUG(tree->config.bug, ALARM_IGNORED);
    return grows && qr__alarm_holds(tree, QR_ALARM_NO_SPACE) ? QR_E_QUOTA : QR_OK;
}

/* ----------------------------------------------------------------- commands ---- */

static void put_record(qr__work *work, const qr_alarm *alarm)
{
    uint8_t name[NAME_SIZE], value[VALUE_SIZE] = {!alarm->noted};
    store_name(alarm->kind, alarm->member, name);
    qr_put put = {.space = QR_SPACE_ALARMS,
                  .key = qr_slice_of(name, sizeof name),
                  .value = qr_slice_of(value, sizeof value)};
    qr_op_result ignored;
    QR_CHECK(qr__put_key(work, &put, &ignored) == QR_OK, "a record of an alarm can always be written");
}

qr_status qr__alarm_apply(qr__work *work, const qr_body *body, qr_alarm_result *result)
{
    qr_tree *tree = work->tree;
    qr_alarm alarm = body->alarm;
    qr__entry *entry = find(tree, alarm.member, alarm.kind);
    alarm.noted = body->alarm_act == QR_ALARM_NOTE;
    *result = (qr_alarm_result){.revision = tree->now.revision, .stood = entry != NULL};
    if (body->alarm_act == QR_ALARM_CLEAR) {
        if (entry)
            qr__delete_key(work, QR_SPACE_ALARMS, entry);
        return QR_OK;
    }
    if (entry == NULL && tree->spaces[QR__SPACE_ALARMS].live >= QR_ALARMS_MAX)
        return QR_E_BUSY;
    if (entry == NULL || (alarm_of(entry).noted && !alarm.noted))
        put_record(work, &alarm);
    return QR_OK;
}

/* --------------------------------------------------------------- invariants ---- */

const char *qr__alarms_broken(const qr_tree *tree)
{
    qr__cursor cursor = qr__cursor_seek(&tree->spaces[QR__SPACE_ALARMS], qr_slice_of(NULL, 0));
    for (; cursor.leaf; qr__cursor_next(&cursor)) {
        const qr__entry *entry = qr__cursor_entry(&cursor);
        if (qr__is_live(entry->newest) &&
            (entry->key_size != NAME_SIZE || qr__value_of(entry->newest).size != VALUE_SIZE))
            return "alarm: record of another size";
    }
    return NULL;
}
