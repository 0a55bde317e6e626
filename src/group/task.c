/* The steps of a transaction, one call after another. */
#include "group/inside.h"

/* ------------------------------------------------------------------ object ---- */

qr_group_task *qr_group_task_new(const qr_group_config *config, uint64_t now_ms, uint32_t limit_ms)
{
    qr_group_task *task = qr_alloc_zero(1, sizeof *task);
    task->config = *config;
    task->limit_ms = now_ms + limit_ms;
    qr_arena_init(&task->arena);
    qr_arena_init(&task->values);
    qr_arena_init(&task->scratch);
    qr_arena_init(&task->met.arena);
    return task;
}

void qr_group_free(qr_group_task *task)
{
    if (task == NULL)
        return;
    qr_arena_free(&task->arena);
    qr_arena_free(&task->values);
    qr_arena_free(&task->scratch);
    qr_arena_free(&task->met.arena);
    qr_free(task);
}

static bool is_before(const qr_group_key *a, const qr_group_key *b)
{
    return a->group != b->group ? a->group < b->group : qr_slice_compare(a->key, b->key) < 0;
}

static void take_keys(qr_group_task *task, const qr_group_key *keys, size_t count)
{
    QR_ASSERT(count > 0 && count <= QR_GROUP_KEYS_MAX);
    task->count = count;
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && is_before(&keys[i], &task->items[at - 1].key); at--)
            task->items[at] = task->items[at - 1];
        task->items[at] =
            (qr_group_item){.key = {keys[i].group, qr_arena_copy(&task->arena, keys[i].key)}, .given = i};
    }
    qr_group_write *writes = qr_arena_zero(&task->arena, count, sizeof *writes);
    qr_group_record *record = &task->record;
    for (size_t i = 0; i < count; i++) {
        writes[i].key = task->items[i].key.key;
        if (record->count == 0 || record->parts[record->count - 1].group != task->items[i].key.group) {
            QR_ASSERT(record->count < QR_GROUP_GROUPS_MAX);
            record->parts[record->count++] =
                (qr_group_part){.group = task->items[i].key.group, .writes = &writes[i]};
        }
        record->parts[record->count - 1].count++;
    }
}

qr_group_task *qr_group_update(const qr_group_config *config, qr_slice id, const qr_group_key *keys,
                               size_t count, uint64_t now_ms, uint32_t limit_ms)
{
    QR_ASSERT(id.size > 0 && id.size <= QR_GROUP_ID_MAX && limit_ms < config->forget_ms / 2);
    qr_group_task *task = qr_group_task_new(config, now_ms, limit_ms);
    task->id = qr_arena_copy(&task->arena, id);
    take_keys(task, keys, count);
    task->step = QR_GROUP_LOCK;
    return task;
}

qr_group_task *qr_group_read(const qr_group_config *config, const qr_group_key *keys, size_t count,
                             uint64_t now_ms, uint32_t limit_ms)
{
    qr_group_task *task = qr_group_task_new(config, now_ms, limit_ms);
    take_keys(task, keys, count);
    task->step = QR_GROUP_LOOK;
    return task;
}

/* The items of a part of the record. */
static qr_group_item *items_of(qr_group_task *task, const qr_group_part *part)
{
    qr_group_item *item = task->items;
    while (item->key.group != part->group)
        item++;
    return item;
}

qr_group_state qr_group_state_of(const qr_group_task *task)
{
    return task->state;
}

bool qr_group_is_finished(const qr_group_task *task)
{
    return task->step == QR_GROUP_END;
}

qr_slice qr_group_value(const qr_group_task *task, size_t i, uint64_t *mod_revision)
{
    const qr_group_item *item = task->items;
    while (item->given != i)
        item++;
    *mod_revision = item->mod_revision;
    return item->value;
}

uint64_t qr_group_wake_ms(const qr_group_task *task)
{
    bool waits = task->asked || task->step == QR_GROUP_HOLD || task->step == QR_GROUP_END;
    return waits ? UINT64_MAX : task->wake_ms;
}

void qr_group_pause(qr_group_task *task, uint64_t now_ms)
{
    task->wake_ms = now_ms + task->config.retry_ms;
}

/* ---------------------------------------------------------------- decisions ---- */

/* Gives the locks back that are known to be held, the primary first. */
static void release(qr_group_task *task)
{
    bool holds = task->record.parts[0].lock_revision != 0;
    task->state = QR_GROUP_ABORTED;
    task->errand = QR_GROUP_NO_ERRAND;
    task->step = holds ? QR_GROUP_RELEASE : QR_GROUP_END;
    task->part = 0;
    task->wake_ms = 0;
}

bool qr_group_commit(qr_group_task *task, const qr_slice *values)
{
    QR_ASSERT(task->state == QR_GROUP_HOLDING);
    qr_group_write *writes = qr_arena_zero(&task->arena, task->count, sizeof *writes);
    size_t at = 0, bytes = 0;
    for (size_t p = 0; p < task->record.count; p++) {
        qr_group_part *part = &task->record.parts[p];
        part->writes = &writes[at];
        for (size_t i = 0; i < part->count; i++, at++) {
            qr_slice value = values[task->items[at].given];
            writes[at] = (qr_group_write){.key = task->items[at].key.key,
                                          .changes = value.data != NULL,
                                          .value = qr_arena_copy(&task->arena, value)};
            bytes += writes[at].key.size + value.size;
        }
    }
    if (bytes > QR_GROUP_RECORD_MAX) {
        release(task);
        return false;
    }
    task->state = QR_GROUP_RUNNING;
    task->step = QR_GROUP_DECIDE;
    return true;
}

void qr_group_abort(qr_group_task *task)
{
    QR_ASSERT(task->state == QR_GROUP_HOLDING);
    release(task);
}

static void end(qr_group_task *task, qr_group_state state)
{
    task->state = state;
    task->step = QR_GROUP_END;
}

/* Time is up. What is left then is for others. */
static void give_up(qr_group_task *task)
{
    switch (task->step) {
    case QR_GROUP_LOCK:
    case QR_GROUP_HOLD:
        release(task);
        task->limit_ms = UINT64_MAX; /* each lock once */
        break;
    case QR_GROUP_DECIDE:
        if (!task->has_asked_to_decide) {
            release(task);
            task->limit_ms = UINT64_MAX;
        } else
            end(task, QR_BUG(task->config.bug, GROUP_GUESSES) ? QR_GROUP_ABORTED : QR_GROUP_UNKNOWN);
        break;
    case QR_GROUP_LOOK:
    case QR_GROUP_LOOK_AGAIN: end(task, QR_GROUP_ABORTED); break;
    default: end(task, task->state);
    }
}

/* ------------------------------------------------------------------- calls ---- */

static void call_lock(qr_group_task *task, qr_group_draft *draft, const qr_group_part *part)
{
    const qr_group_part *home = &task->record.parts[0];
    qr_group_lock lock = {.id = task->id,
                          .home = home->group,
                          .primary = home->writes[0].key,
                          .primary_revision = part == home ? 0 : home->lock_revision};
    qr_slice value = qr_group_lock_encode(draft->arena, &lock);
    for (size_t i = 0; i < part->count; i++) {
        qr_slice key = part->writes[i].key, name = qr_group_lock_name(draft->arena, key);
        qr_group_draft_if(draft, name, 0);
        qr_group_draft_put(draft, name, value);
        qr_group_draft_get_else(draft, name);
    }
    for (size_t i = 0; i < part->count; i++) {
        qr_group_draft_get(draft, part->writes[i].key);
        qr_group_draft_get_else(draft, part->writes[i].key);
    }
}

static void call_decide(qr_group_task *task, qr_group_draft *draft)
{
    const qr_group_part *home = &task->record.parts[0];
    qr_slice name = qr_group_record_name(draft->arena, task->id);
    qr_slice primary = qr_group_lock_name(draft->arena, home->writes[0].key);
    if (!QR_BUG(task->config.bug, GROUP_DECIDES_BLIND))
        qr_group_draft_if(draft, primary, home->lock_revision);
    qr_group_draft_if(draft, name, 0);
    qr_group_draft_put(draft, name, qr_group_record_encode(draft->arena, &task->record));
    qr_group_draft_get_else(draft, name);
}

static void call_release(qr_group_draft *draft, const qr_group_part *part)
{
    for (size_t i = 0; i < part->count; i++) {
        qr_slice name = qr_group_lock_name(draft->arena, part->writes[i].key);
        qr_group_draft_if(draft, name, part->lock_revision);
        qr_group_draft_delete(draft, name);
    }
}

static void call_look(qr_group_draft *draft, const qr_group_part *part)
{
    for (size_t i = 0; i < part->count; i++) {
        qr_group_draft_get(draft, qr_group_lock_name(draft->arena, part->writes[i].key));
        qr_group_draft_get(draft, part->writes[i].key);
    }
}

static void call_step(qr_group_task *task, qr_group_call *call, uint64_t now_ms)
{
    qr_group_draft *draft = qr_group_draft_new(&task->scratch);
    const qr_group_part *part = &task->record.parts[task->part];
    *call = (qr_group_call){.group = part->group, .txn = &draft->txn, .writes = true};
    switch (task->step) {
    case QR_GROUP_LOCK:
        call_lock(task, draft, part);
        if (QR_BUG(task->config.bug, GROUP_STEALS_LOCKS))
            draft->txn.condition_count = 0;
        break;
    case QR_GROUP_DECIDE:
        if (!task->has_asked_to_decide) {
            task->has_asked_to_decide = true;
            task->decided_ms = now_ms;
        }
        call->group = task->record.parts[0].group;
        call_decide(task, draft);
        break;
    case QR_GROUP_APPLY:
        qr_group_draft_apply(draft, part);
        if (QR_BUG(task->config.bug, GROUP_APPLIES_BLIND))
            draft->txn.condition_count = 0;
        break;
    case QR_GROUP_FORGET:
        call->group = task->record.parts[0].group;
        qr_group_draft_delete(draft, qr_group_record_name(draft->arena, task->id));
        break;
    case QR_GROUP_RELEASE: call_release(draft, part); break;
    default: call->writes = false; call_look(draft, part);
    }
}

bool qr_group_next(qr_group_task *task, uint64_t now_ms, qr_group_call *call)
{
    if (now_ms >= task->limit_ms && !task->asked && task->step != QR_GROUP_END)
        give_up(task);
    if (now_ms < qr_group_wake_ms(task))
        return false;
    qr_arena_reset(&task->scratch);
    if (task->errand != QR_GROUP_NO_ERRAND)
        qr_group_errand_call(task, call);
    else if (task->step >= QR_GROUP_SWEEP_LOCKS)
        qr_group_sweep_call(task, call);
    else
        call_step(task, call, now_ms);
    task->asked = true;
    return true;
}

/* ----------------------------------------------------------------- answers ---- */

static void keep_value(qr_group_task *task, qr_group_item *item, const qr_key_value *kv)
{
    item->mod_revision = kv == NULL ? 0 : kv->mod_revision;
    item->value = kv == NULL ? (qr_slice){0} : qr_arena_copy(&task->values, kv->value);
}

static bool is_own(const qr_group_task *task, const qr_key_value *kv)
{
    qr_group_lock lock;
    return kv != NULL && qr_group_lock_decode(kv->value, &lock) && qr_slice_equal(lock.id, task->id);
}

static void has_locked(qr_group_task *task, qr_group_part *part, const qr_txn_result *result,
                       uint64_t revision)
{
    qr_group_item *items = items_of(task, part);
    part->lock_revision = revision;
    for (size_t i = 0; i < part->count; i++)
        keep_value(task, &items[i], qr_group_found(result, part->count + i));
    if (++task->part < task->record.count)
        return;
    task->state = QR_GROUP_HOLDING;
    task->step = QR_GROUP_HOLD;
}

/* Of the locks, if all of them are its own and of one command; else 0. */
static uint64_t own_revision(const qr_group_task *task, const qr_group_part *part,
                             const qr_txn_result *result)
{
    uint64_t revision = 0;
    for (size_t i = 0; i < part->count; i++) {
        const qr_key_value *kv = qr_group_found(result, i);
        if (!is_own(task, kv) || (i > 0 && kv->mod_revision != revision))
            return 0;
        revision = kv->mod_revision;
    }
    return revision;
}

static void answer_lock(qr_group_task *task, const qr_txn_result *result, uint64_t now_ms)
{
    qr_group_part *part = &task->record.parts[task->part];
    if (result->succeeded) {
        has_locked(task, part, result, result->revision);
        return;
    }
    uint64_t own = own_revision(task, part, result);
    if (own != 0) { /* by a call that was thought to have failed */
        has_locked(task, part, result, own);
        return;
    }
    for (size_t i = 0; i < part->count; i++) {
        const qr_key_value *kv = qr_group_found(result, i);
        if (kv != NULL && !is_own(task, kv)) {
            qr_group_resolve(task, part->group, part->writes[i].key, kv, now_ms, false);
            return;
        }
    }
    release(task); /* some of its own are gone: it was pushed */
}

static void answer_decide(qr_group_task *task, const qr_txn_result *result, uint64_t now_ms)
{
    task->part = 0;
    if (result->succeeded || qr_group_found(result, 0) != NULL) {
        task->state = QR_GROUP_COMMITTED;
        task->step = QR_GROUP_APPLY;
    } else if (now_ms - task->decided_ms < task->config.forget_ms / 2)
        release(task);
    else /* an earlier call may have committed it, and all was done by others */
        end(task, QR_GROUP_UNKNOWN);
}

static void answer_apply(qr_group_task *task)
{
    if (++task->part == task->record.count || QR_BUG(task->config.bug, GROUP_FORGETS_EARLY))
        task->step = QR_GROUP_FORGET;
}

static void answer_release(qr_group_task *task)
{
    do
        task->part++;
    while (task->part < task->record.count && task->record.parts[task->part].lock_revision == 0);
    if (task->part >= task->record.count)
        end(task, QR_GROUP_ABORTED);
}

static bool is_unchanged(qr_group_task *task, const qr_group_part *part, const qr_txn_result *result)
{
    const qr_group_item *items = items_of(task, part);
    for (size_t i = 0; i < part->count; i++) {
        const qr_key_value *kv = qr_group_found(result, 2 * i + 1);
        if (items[i].mod_revision != (kv == NULL ? 0 : kv->mod_revision))
            return false;
    }
    return true;
}

static void look_anew(qr_group_task *task)
{
    task->step = QR_GROUP_LOOK;
    task->part = 0;
    qr_arena_reset(&task->values);
}

static void answer_look(qr_group_task *task, const qr_txn_result *result, uint64_t now_ms)
{
    const qr_group_part *part = &task->record.parts[task->part];
    bool first = task->step == QR_GROUP_LOOK;
    for (size_t i = 0; i < part->count && !QR_BUG(task->config.bug, GROUP_READS_LOCKED); i++) {
        const qr_key_value *lock = qr_group_found(result, 2 * i);
        if (lock == NULL)
            continue;
        look_anew(task);
        qr_group_resolve(task, part->group, part->writes[i].key, lock, now_ms, false);
        return;
    }
    if (!first && !is_unchanged(task, part, result)) {
        look_anew(task);
        return;
    }
    for (size_t i = 0; first && i < part->count; i++)
        keep_value(task, &items_of(task, part)[i], qr_group_found(result, 2 * i + 1));
    if (++task->part < task->record.count)
        return;
    task->part = 0;
    if (first && task->record.count > 1 && !QR_BUG(task->config.bug, GROUP_LOOKS_ONCE))
        task->step = QR_GROUP_LOOK_AGAIN;
    else
        end(task, QR_GROUP_COMMITTED);
}

static void answer_step(qr_group_task *task, const qr_txn_result *result, uint64_t now_ms)
{
    switch (task->step) {
    case QR_GROUP_LOCK: answer_lock(task, result, now_ms); break;
    case QR_GROUP_DECIDE: answer_decide(task, result, now_ms); break;
    case QR_GROUP_APPLY: answer_apply(task); break;
    case QR_GROUP_FORGET:
        if (task->sweeps)
            task->step = QR_GROUP_SWEEP_LOCKS;
        else
            end(task, QR_GROUP_COMMITTED);
        break;
    case QR_GROUP_RELEASE: answer_release(task); break;
    case QR_GROUP_LOOK:
    case QR_GROUP_LOOK_AGAIN: answer_look(task, result, now_ms); break;
    default: qr_group_sweep_answer(task, result, now_ms);
    }
}

void qr_group_answer(qr_group_task *task, qr_status status, const qr_txn_result *result, uint64_t now_ms)
{
    QR_ASSERT(task->asked);
    task->asked = false;
    if (status != QR_OK) {
        if (task->step == QR_GROUP_RELEASE)
            answer_release(task); /* whoever meets the lock will end it */
        else
            qr_group_pause(task, now_ms);
        return;
    }
    if (task->errand != QR_GROUP_NO_ERRAND)
        qr_group_errand_answer(task, result, now_ms);
    else
        answer_step(task, result, now_ms);
}
