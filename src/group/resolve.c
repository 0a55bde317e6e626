/* A lock of somebody else is in the way. How its transaction stands is asked in its home group, where record
 * and primary lock are read at one moment; then the lock is applied, deleted, waited for, or pushed. */
#include "group/inside.h"

/* What a lock that was left alone says, or one that cannot be read: nothing but time helps. */
static void leave(qr_group_task *task, uint64_t now_ms)
{
    task->errand = QR_GROUP_NO_ERRAND;
    qr_group_pause(task, now_ms);
}

void qr_group_resolve(qr_group_task *task, uint32_t group, qr_slice key, const qr_key_value *kv,
                      uint64_t now_ms, bool push_at_once)
{
    qr_group_met *met = &task->met;
    bool again = met->revision == kv->mod_revision && met->group == group && qr_slice_equal(met->key, key);
    if (!again) {
        qr_arena_reset(&met->arena);
        met->group = group;
        met->revision = kv->mod_revision;
        met->since_ms = now_ms;
        met->key = qr_arena_copy(&met->arena, key);
        if (!qr_group_lock_decode(qr_arena_copy(&met->arena, kv->value), &met->lock)) {
            met->revision = 0;
            leave(task, now_ms);
            return;
        }
    }
    if (push_at_once)
        met->since_ms = now_ms - task->config.push_ms;
    task->errand = QR_GROUP_ASK;
}

static uint64_t primary_revision(const qr_group_met *met)
{
    return met->lock.primary_revision ? met->lock.primary_revision : met->revision;
}

void qr_group_errand_call(qr_group_task *task, qr_group_call *call)
{
    qr_group_met *met = &task->met;
    const qr_group_lock *lock = &met->lock;
    qr_group_draft *draft = qr_group_draft_new(&task->scratch);
    qr_slice record = qr_group_record_name(&task->scratch, lock->id);
    qr_slice primary = qr_group_lock_name(&task->scratch, lock->primary);
    *call = (qr_group_call){.group = lock->home, .txn = &draft->txn};
    if (task->errand == QR_GROUP_ASK) {
        qr_group_draft_get(draft, record);
        qr_group_draft_get(draft, primary);
    } else if (task->errand == QR_GROUP_PUSH) {
        qr_group_draft_if(draft, primary, primary_revision(met));
        if (!QR_BUG(task->config.bug, GROUP_PUSH_BLIND))
            qr_group_draft_if(draft, record, 0);
        qr_group_draft_delete(draft, primary);
        call->writes = true;
    } else
        *call = (qr_group_call){.group = met->group, .txn = &met->clear->txn, .writes = true};
}

static void clear_by_deleting(qr_group_met *met)
{
    qr_slice name = qr_group_lock_name(&met->arena, met->key);
    qr_group_draft_if(met->clear, name, met->revision);
    qr_group_draft_delete(met->clear, name);
}

static void clear_committed(qr_group_task *task, const qr_key_value *kv)
{
    qr_group_met *met = &task->met;
    qr_group_record *record = qr_arena_zero(&met->arena, 1, sizeof *record);
    bool good = qr_group_record_decode(qr_arena_copy(&met->arena, kv->value), &met->arena, record);
    for (size_t i = 0; good && i < record->count; i++)
        if (record->parts[i].group == met->group && record->parts[i].lock_revision == met->revision) {
            qr_group_draft_apply(met->clear, &record->parts[i]);
            return;
        }
    if (good)
        clear_by_deleting(met);
}

/* record: of its transaction; primary: what is there now; either may be missing. */
static void judge(qr_group_task *task, const qr_key_value *record, const qr_key_value *primary,
                  uint64_t now_ms)
{
    qr_group_met *met = &task->met;
    bool undecided = record == NULL && primary != NULL && primary->mod_revision == primary_revision(met);
    if (QR_BUG(task->config.bug, GROUP_ASSUMES_ABORT) && met->lock.primary_revision != 0)
        undecided = false;
    if (undecided) {
        bool may_push = !QR_BUG(task->config.bug, GROUP_NEVER_PUSHES);
        if (may_push && now_ms >= met->since_ms + task->config.push_ms)
            task->errand = QR_GROUP_PUSH;
        else
            leave(task, now_ms);
        return;
    }
    met->clear = qr_group_draft_new(&met->arena);
    if (record != NULL)
        clear_committed(task, record);
    else
        clear_by_deleting(met);
    task->errand = QR_GROUP_CLEAR;
    if (met->clear->txn.then_count == 0) /* a record that cannot be read */
        leave(task, now_ms);
}

void qr_group_errand_answer(qr_group_task *task, const qr_txn_result *result, uint64_t now_ms)
{
    switch (task->errand) {
    case QR_GROUP_ASK: judge(task, qr_group_found(result, 0), qr_group_found(result, 1), now_ms); break;
    case QR_GROUP_PUSH: task->errand = QR_GROUP_ASK; break; /* whoever was first: what is the word now? */
    default:                                                /* it is gone, by this or by another hand */
        task->errand = QR_GROUP_NO_ERRAND;
        task->met.revision = 0;
    }
}
