/* What the dead have left behind: locks that nobody waits for, and records that nobody has taken away. Lists
 * both again and again; what is there unchanged for long enough is dealt with, one at a time. */
#include "group/inside.h"

qr_group_task *qr_group_sweep(const qr_group_config *config, uint32_t group)
{
    qr_group_task *task = qr_group_task_new(config, 0, 0);
    task->sweeps = true;
    task->limit_ms = UINT64_MAX;
    task->step = QR_GROUP_SWEEP_LOCKS;
    task->group = group;
    return task;
}

void qr_group_sweep_call(qr_group_task *task, qr_group_call *call)
{
    qr_group_draft *draft = qr_group_draft_new(&task->scratch);
    *call = (qr_group_call){.group = task->group, .txn = &draft->txn};
    qr_slice prefix = task->step == QR_GROUP_SWEEP_LOCKS
                          ? qr_group_lock_name(&task->scratch, (qr_slice){0})
                          : qr_group_record_name(&task->scratch, (qr_slice){0});
    qr_group_draft_list(draft, prefix, QR_GROUP_SEEN_MAX);
}

/* Which of those listed is there for at least age_ms; NULL: none. Remembers them all. */
static const qr_key_value *overdue(qr_group_task *task, unsigned list, const qr_op_result *found,
                                   uint64_t now_ms, uint32_t age_ms)
{
    qr_group_seen now[QR_GROUP_SEEN_MAX];
    const qr_key_value *oldest = NULL;
    size_t count = found->kv_count < QR_GROUP_SEEN_MAX ? found->kv_count : QR_GROUP_SEEN_MAX;
    for (size_t i = 0; i < count; i++) {
        const qr_key_value *kv = &found->kvs[i];
        now[i] = (qr_group_seen){.hash = qr_hash(kv->key, kv->mod_revision), .since_ms = now_ms};
        for (size_t s = 0; s < task->seen_count[list]; s++)
            if (task->seen[list][s].hash == now[i].hash)
                now[i].since_ms = task->seen[list][s].since_ms;
        if (oldest == NULL && now_ms - now[i].since_ms >= age_ms)
            oldest = kv;
    }
    memcpy(task->seen[list], now, count * sizeof *now);
    task->seen_count[list] = count;
    return oldest;
}

static void take_record(qr_group_task *task, const qr_key_value *kv)
{
    qr_slice id;
    qr_arena_reset(&task->values);
    if (!qr_group_is_record(kv->key, &id) ||
        !qr_group_record_decode(qr_arena_copy(&task->values, kv->value), &task->values, &task->record))
        return;
    task->id = qr_arena_copy(&task->values, id);
    task->part = 0;
    task->step = QR_GROUP_APPLY; /* in all groups, then it goes; then this begins anew (task.c) */
}

void qr_group_sweep_answer(qr_group_task *task, const qr_txn_result *result, uint64_t now_ms)
{
    const qr_key_value *kv;
    if (task->step == QR_GROUP_SWEEP_LOCKS) {
        qr_slice key;
        kv = overdue(task, 0, &result->ops[0], now_ms, task->config.push_ms);
        if (kv != NULL && qr_group_is_lock(kv->key, &key))
            qr_group_resolve(task, task->group, key, kv, now_ms, true);
        else
            task->step = QR_GROUP_SWEEP_RECORDS;
        return;
    }
    kv = overdue(task, 1, &result->ops[0], now_ms, task->config.forget_ms);
    task->step = QR_GROUP_SWEEP_LOCKS;
    qr_group_pause(task, now_ms);
    if (kv != NULL)
        take_record(task, kv);
}
