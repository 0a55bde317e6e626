#include "sim/model.h"

#include <inttypes.h>

#include "base/status.h"

void qr_sim_model_init(qr_sim_model *model, uint64_t revision)
{
    *model = (qr_sim_model){.revision = revision};
}

void qr_sim_model_free(qr_sim_model *model)
{
    for (size_t i = 0; i < model->count; i++)
        qr_free(model->keys[i].versions);
    qr_free(model->keys);
    *model = (qr_sim_model){0};
}

/* ------------------------------------------------------------------- text ---- */

static void end_text(qr_buffer *text)
{
    qr_buffer_u8(text, 0);
    text->size--;
}

static void say_kv(qr_buffer *text, qr_slice key, qr_slice value, uint64_t create, uint64_t mod,
                   uint64_t version, int64_t lease)
{
    qr_buffer_u8(text, ' ');
    qr_buffer_add_slice(text, key);
    qr_buffer_u8(text, '=');
    if (value.size <= 32)
        qr_buffer_add_slice(text, value);
    else
        qr_buffer_format(text, "%.*s..#%" PRIx64, 24, (const char *)value.data, qr_hash(value, 0));
    qr_buffer_format(text, "@%" PRIu64 "/%" PRIu64 "/%" PRIu64, create, mod, version);
    if (lease)
        qr_buffer_format(text, "L%" PRId64, lease);
}

static void say_result(qr_buffer *text, const qr_txn_result *result)
{
    qr_buffer_format(text, "%s{", result->succeeded ? "then" : "else");
    for (size_t i = 0; i < result->op_count; i++) {
        const qr_op_result *op = &result->ops[i];
        if (i)
            qr_buffer_format(text, "; ");
        switch (op->kind) {
        case QR_OP_RANGE:
            qr_buffer_format(text, "range %" PRIu64 "%s", op->count, op->more ? "+" : "");
            break;
        case QR_OP_PUT: qr_buffer_format(text, "put"); break;
        case QR_OP_DELETE: qr_buffer_format(text, "delete %" PRIu64, op->count); break;
        case QR_OP_TXN: say_result(text, op->txn); break;
        case QR_OP_CHECK: qr_buffer_format(text, "check"); break;
        }
        for (size_t k = 0; op->kind != QR_OP_TXN && k < op->kv_count; k++) {
            const qr_key_value *kv = &op->kvs[k];
            say_kv(text, kv->key, kv->value, kv->create_revision, kv->mod_revision, kv->version, kv->lease);
        }
    }
    qr_buffer_u8(text, '}');
}

void qr_sim_result_text(qr_status status, const qr_txn_result *result, qr_buffer *text)
{
    if (status != QR_OK || result == NULL) {
        qr_buffer_format(text, "%s", qr_status_name(status));
        if (result != NULL && result->failed_op != SIZE_MAX)
            qr_buffer_format(text, " at %zu", result->failed_op);
    } else {
        qr_buffer_format(text, "r%" PRIu64 " ", result->revision);
        say_result(text, result);
    }
    end_text(text);
}

void qr_sim_alarm_text(bool stood, qr_buffer *text)
{
    qr_buffer_format(text, "%s", stood ? "stood" : "did not stand");
    end_text(text);
}

/* ------------------------------------------------------------------- keys ---- */

static size_t position(const qr_sim_model *model, qr_slice name)
{
    size_t at = 0;
    while (at < model->count && qr_slice_compare(model->keys[at].name, name) < 0)
        at++;
    return at;
}

static qr_sim_key *need_key(qr_sim_model *model, qr_slice name)
{
    size_t at = position(model, name);
    if (at < model->count && qr_slice_equal(model->keys[at].name, name))
        return &model->keys[at];
    if (model->count == model->room) {
        model->room = model->room ? model->room * 2 : 16;
        model->keys = qr_realloc(model->keys, model->room * sizeof *model->keys);
    }
    memmove(&model->keys[at + 1], &model->keys[at], (model->count - at) * sizeof *model->keys);
    model->count++;
    model->keys[at] = (qr_sim_key){.name = name};
    return &model->keys[at];
}

/* The version in force at that revision, NULL if the key does not exist then. */
static const qr_sim_version *version_at(const qr_sim_key *key, uint64_t revision)
{
    size_t count = key ? key->count : 0;
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (key->versions[middle].revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && key->versions[low - 1].live ? &key->versions[low - 1] : NULL;
}

/* A key may change more than once in a revision: reads see the last change, watches are told of each. */
static void set_version(qr_sim_key *key, qr_sim_version version)
{
    if (key->count == key->room) {
        key->room = key->room ? key->room * 2 : 16;
        key->versions = qr_realloc(key->versions, key->room * sizeof *key->versions);
    }
    key->versions[key->count++] = version;
}

static bool in_span(const qr_span *span, qr_slice name)
{
    switch (span->kind) {
    case QR_SPAN_KEY: return qr_slice_equal(span->key, name);
    case QR_SPAN_RANGE:
        return qr_slice_compare(span->key, name) <= 0 && qr_slice_compare(name, span->end) < 0;
    default: return qr_slice_compare(span->key, name) <= 0;
    }
}

/* ------------------------------------------------------------- conditions ---- */

static bool relate(int order, qr_relation relation)
{
    switch (relation) {
    case QR_IS_EQUAL: return order == 0;
    case QR_IS_GREATER: return order > 0;
    case QR_IS_LESS: return order < 0;
    default: return order != 0;
    }
}

static bool one_holds(const qr_condition *condition, const qr_sim_version *version)
{
    int64_t number = 0;
    switch (condition->target) {
    case QR_TARGET_VALUE:
        return version && relate(qr_slice_compare(version->value, condition->value), condition->relation);
    case QR_TARGET_VERSION: number = version ? (int64_t)version->version : 0; break;
    case QR_TARGET_CREATE: number = version ? (int64_t)version->create_revision : 0; break;
    case QR_TARGET_MOD: number = version ? (int64_t)version->revision : 0; break;
    case QR_TARGET_LEASE: number = version ? version->lease : 0; break;
    }
    int order = (number > condition->number) - (number < condition->number);
    return relate(order, condition->relation);
}

static bool holds(const qr_sim_model *model, const qr_condition *condition, uint64_t revision)
{
    bool any = false;
    for (size_t i = 0; i < model->count; i++) {
        const qr_sim_version *version = version_at(&model->keys[i], revision);
        if (version == NULL || !in_span(&condition->span, model->keys[i].name))
            continue;
        any = true;
        if (!one_holds(condition, version))
            return false;
    }
    return any || one_holds(condition, NULL);
}

/* ------------------------------------------------------------- operations ---- */

/* One transaction. Conditions are judged at `before`; the operations see and write `now`. */
typedef struct sim_run {
    const qr_sim_model *seen;
    qr_sim_model *model; /* NULL: a query */
    uint64_t before, now;
    bool changed;
    qr_status status; /* of the operation that failed */
    qr_buffer *text;
} sim_run;

static void run_range(sim_run *run, const qr_range *range)
{
    uint64_t count = 0, at = range->revision ? range->revision : run->now;
    for (size_t i = 0; i < run->seen->count; i++)
        count += version_at(&run->seen->keys[i], at) && in_span(&range->span, run->seen->keys[i].name);
    bool more = range->limit && count > range->limit;
    qr_buffer_format(run->text, "range %" PRIu64 "%s", count, more ? "+" : "");
    uint64_t said = 0;
    for (size_t i = 0; i < run->seen->count && !range->count_only; i++) {
        const qr_sim_key *key = &run->seen->keys[i];
        const qr_sim_version *version = version_at(key, at);
        if (version == NULL || !in_span(&range->span, key->name) || (range->limit && said == range->limit))
            continue;
        said++;
        say_kv(run->text, key->name, version->value, version->create_revision, version->revision,
               version->version, version->lease);
    }
}

/* A record that stands with a key or a lease. */
static qr_status put_record(sim_run *run, const qr_put *put)
{
    uint64_t *count = NULL;
    if (put->space == QR_SPACE_ACLS) {
        qr_sim_key *key = need_key(run->model, put->key);
        count = version_at(key, run->now) ? &key->rights : NULL;
    } else {
        qr_sim_lease *lease = &run->model->leases[put->key.data[7]];
        count = lease->generation ? &lease->session : NULL;
    }
    if (count == NULL)
        return QR_E_KEY_NOT_FOUND;
    ++*count;
    return QR_OK;
}

static void run_put(sim_run *run, const qr_put *put)
{
    qr_buffer_format(run->text, "put");
    if (put->space != QR_SPACE_KEYS) {
        run->status = put_record(run, put);
        return;
    }
    qr_sim_key *key = need_key(run->model, put->key);
    const qr_sim_version *old = version_at(key, run->now);
    if (old && (put->options & QR_PUT_EXPECT_ABSENT)) {
        run->status = QR_E_EXISTS;
        return;
    }
    if (old && (put->options & QR_PUT_WANT_PREVIOUS))
        say_kv(run->text, key->name, old->value, old->create_revision, old->revision, old->version,
               old->lease);
    qr_sim_version version = {
        .revision = run->now,
        .live = true,
        .create_revision = old ? old->create_revision : run->now,
        .version = old ? old->version + 1 : 1,
        .lease = put->lease,
        .detach = put->options & QR_PUT_DETACH_ON_EXPIRY,
        .value = put->value,
    };
    set_version(key, version);
    run->changed = true;
}

static void run_delete(sim_run *run, const qr_delete *del)
{
    uint64_t count = 0;
    for (size_t i = 0; i < run->model->count; i++)
        count += version_at(&run->model->keys[i], run->now) && in_span(&del->span, run->model->keys[i].name);
    qr_buffer_format(run->text, "delete %" PRIu64, count);
    for (size_t i = 0; i < run->model->count; i++) {
        qr_sim_key *key = &run->model->keys[i];
        const qr_sim_version *old = version_at(key, run->now);
        if (old == NULL || !in_span(&del->span, key->name))
            continue;
        if (del->want_previous)
            say_kv(run->text, key->name, old->value, old->create_revision, old->revision, old->version,
                   old->lease);
        set_version(key, (qr_sim_version){.revision = run->now});
        key->rights = 0;
        run->changed = true;
    }
}

/* The keys of the workload are no paths: they have no children, and are there while they live. */
static void run_check(sim_run *run, const qr_check *check)
{
    qr_buffer_format(run->text, "check");
    const qr_sim_key *key = check->space == QR_SPACE_SESSIONS ? NULL : need_key(run->model, check->key);
    const qr_sim_version *version = key ? version_at(key, run->now) : NULL;
    uint64_t states = version ? version->version - 1 : 0;
    bool present = version != NULL;
    if (check->space != QR_SPACE_KEYS) {
        states = key ? key->rights : run->model->leases[check->key.data[7]].session;
        present = states > 0;
    }
    bool must_be = (check->tests & QR_CHECK_PRESENT) ||
                   ((check->tests & QR_CHECK_STATES) && check->space == QR_SPACE_KEYS);
    if (must_be && !present)
        run->status = QR_E_KEY_NOT_FOUND;
    else if ((check->tests & QR_CHECK_ABSENT) && present)
        run->status = QR_E_EXISTS;
    else if ((check->tests & QR_CHECK_UNLEASED) && version && version->lease)
        run->status = QR_E_HAS_LEASE;
    else if ((check->tests & QR_CHECK_STATES) && states != check->states)
        run->status = QR_E_VERSION_MISMATCH;
}

/* Nested conditions are judged on the state before the whole txn, like the outer ones. Depth is the
 * workload's: small. */
static void run_txn(sim_run *run, const qr_txn *txn)
{
    bool succeeded = true;
    for (size_t i = 0; i < txn->condition_count; i++)
        succeeded &= holds(run->seen, &txn->conditions[i], run->before);
    const qr_op *ops = succeeded ? txn->then_ops : txn->else_ops;
    size_t count = succeeded ? txn->then_count : txn->else_count;
    qr_buffer_format(run->text, "%s{", succeeded ? "then" : "else");
    for (size_t i = 0; i < count; i++) {
        if (i)
            qr_buffer_format(run->text, "; ");
        QR_ASSERT(run->model != NULL || ops[i].kind == QR_OP_RANGE || ops[i].kind == QR_OP_TXN);
        switch (ops[i].kind) {
        case QR_OP_RANGE: run_range(run, &ops[i].range); break;
        case QR_OP_PUT: run_put(run, &ops[i].put); break;
        case QR_OP_DELETE: run_delete(run, &ops[i].del); break;
        case QR_OP_TXN: run_txn(run, ops[i].txn); break;
        case QR_OP_CHECK: run_check(run, &ops[i].check); break;
        }
        if (run->status != QR_OK) {
            qr_buffer_clear(run->text);
            qr_buffer_format(run->text, "%s at %zu", qr_status_name(run->status), i);
            return;
        }
    }
    qr_buffer_u8(run->text, '}');
}

/* What has to come back when an operation fails, and how it does: the versions of this revision go. */
static void keep(qr_sim_model *model)
{
    for (size_t i = 0; i < model->count; i++)
        model->keys[i].rights_kept = model->keys[i].rights;
    memcpy(model->leases_kept, model->leases, sizeof model->leases);
}

static void undo(qr_sim_model *model, uint64_t revision)
{
    for (size_t i = 0; i < model->count; i++) {
        qr_sim_key *key = &model->keys[i];
        key->rights = key->rights_kept;
        while (key->count > 0 && key->versions[key->count - 1].revision == revision)
            key->count--;
    }
    memcpy(model->leases, model->leases_kept, sizeof model->leases);
}

static bool lease_lives(const qr_sim_model *model, int64_t lease)
{
    return lease >= 1 && lease <= QR_SIM_LEASES_MAX && model->leases[lease].generation > 0;
}

/* The workload puts with a lease alone and without conditions. */
static bool lacks_lease(const qr_sim_model *model, const qr_txn *txn)
{
    for (size_t i = 0; i < txn->then_count; i++)
        if (txn->then_ops[i].kind == QR_OP_PUT && txn->then_ops[i].put.lease != 0)
            return !lease_lives(model, txn->then_ops[i].put.lease);
    return false;
}

/* Of the workload's transactions, which are not nested. */
static bool writes(const qr_txn *txn, bool growth_only)
{
    for (size_t i = 0; i < txn->then_count + txn->else_count; i++) {
        bool then = i < txn->then_count;
        const qr_op *op = then ? &txn->then_ops[i] : &txn->else_ops[i - txn->then_count];
        bool grows = op->kind == QR_OP_PUT && op->put.space != QR_SPACE_SESSIONS;
        if (grows || (op->kind != QR_OP_RANGE && !growth_only))
            return true;
    }
    return false;
}

/* Does an alarm refuse what a client writes, or what makes the store grow? */
static qr_status refused(const qr_sim_model *model, bool is_written, bool grows)
{
    qr_status status = QR_OK;
    for (size_t i = 0; i < model->alarm_count && status != QR_E_CORRUPT; i++) {
        const qr_alarm *alarm = &model->alarms[i];
        if (!alarm->noted && alarm->kind == QR_ALARM_CORRUPT && is_written)
            status = QR_E_CORRUPT;
        if (!alarm->noted && alarm->kind == QR_ALARM_NO_SPACE && grows)
            status = QR_E_QUOTA;
    }
    return status;
}

/* The workload looks into the past first and without conditions. */
static qr_status past_of(const qr_sim_model *model, const qr_txn *txn)
{
    for (size_t i = 0; i < txn->then_count; i++) {
        uint64_t revision = txn->then_ops[i].kind == QR_OP_RANGE ? txn->then_ops[i].range.revision : 0;
        if (revision > model->revision)
            return QR_E_FUTURE_REVISION;
        if (revision != 0 && revision < model->compacted)
            return QR_E_COMPACTED;
    }
    return QR_OK;
}

static void say_status(qr_buffer *text, qr_status status)
{
    qr_buffer_format(text, "%s", qr_status_name(status));
    end_text(text);
}

void qr_sim_model_apply(qr_sim_model *model, const qr_txn *txn, qr_buffer *text)
{
    qr_status refusal = refused(model, writes(txn, false), writes(txn, true));
    if (refusal != QR_OK) {
        say_status(text, refusal);
        return;
    }
    refusal = lacks_lease(model, txn) ? QR_E_LEASE_NOT_FOUND : past_of(model, txn);
    if (refusal != QR_OK) {
        qr_buffer_format(text, "%s at 0", qr_status_name(refusal));
        end_text(text);
        return;
    }
    keep(model);
    qr_buffer body;
    qr_buffer_init(&body);
    sim_run run = {
        .seen = model, .model = model, .before = model->revision, .now = model->revision + 1, .text = &body};
    run_txn(&run, txn);
    if (run.status != QR_OK)
        undo(model, run.now);
    else if (run.changed)
        model->revision++;
    if (run.status == QR_OK)
        qr_buffer_format(text, "r%" PRIu64 " ", model->revision);
    qr_buffer_add_slice(text, qr_buffer_slice(&body));
    end_text(text);
    qr_buffer_free(&body);
}

void qr_sim_model_compact(qr_sim_model *model, uint64_t revision, qr_buffer *text)
{
    qr_status status = refused(model, true, false);
    if (status == QR_OK && revision <= model->compacted)
        status = QR_E_COMPACTED;
    else if (status == QR_OK && revision > model->revision)
        status = QR_E_FUTURE_REVISION;
    if (status == QR_OK)
        model->compacted = revision;
    say_status(text, status);
}

static void end_lease(qr_sim_model *model, int64_t lease, bool *changed)
{
    for (size_t i = 0; i < model->count; i++) {
        const qr_sim_version *old = version_at(&model->keys[i], model->revision + 1);
        if (old == NULL || old->lease != lease)
            continue;
        qr_sim_version version = {.revision = model->revision + 1};
        if (old->detach) {
            version = *old;
            version.revision = model->revision + 1;
            version.version++;
            version.lease = 0;
            version.detach = false;
        }
        if (!old->detach)
            model->keys[i].rights = 0;
        set_version(&model->keys[i], version); /* old is gone */
        *changed = true;
    }
    model->leases[lease].generation = model->leases[lease].session = 0;
}

void qr_sim_model_lease(qr_sim_model *model, const qr_body *body, uint64_t index, qr_buffer *text)
{
    bool lives = lease_lives(model, body->lease), changed = false;
    bool granted = body->kind == QR_BODY_LEASE_GRANT;
    qr_status status = refused(model, granted || body->kind == QR_BODY_LEASE_REVOKE, granted);
    if (status != QR_OK) {
        say_status(text, status);
        return;
    }
    switch (body->kind) {
    case QR_BODY_LEASE_GRANT:
        if (lives)
            status = QR_E_LEASE_EXISTS;
        else
            model->leases[body->lease] = (qr_sim_lease){
                .generation = index, .ttl_ms = body->ttl_ms, .session = body->session.size > 0};
        break;
    case QR_BODY_LEASE_REVOKE:
        if (lives)
            end_lease(model, body->lease, &changed);
        else
            status = QR_E_LEASE_NOT_FOUND;
        break;
    case QR_BODY_LEASE_EXPIRE:
        for (size_t i = 0; i < body->ended_count && body->epoch == model->epoch; i++)
            if (lease_lives(model, body->ended[i].id) &&
                model->leases[body->ended[i].id].generation == body->ended[i].generation)
                end_lease(model, body->ended[i].id, &changed);
        break;
    default: model->epoch = body->epoch > model->epoch ? body->epoch : model->epoch;
    }
    model->revision += changed;
    say_status(text, status);
}

void qr_sim_model_alarm(qr_sim_model *model, const qr_body *body, qr_buffer *text)
{
    size_t at = 0;
    while (at < model->alarm_count &&
           (model->alarms[at].member != body->alarm.member || model->alarms[at].kind != body->alarm.kind))
        at++;
    bool stood = at < model->alarm_count;
    if (body->alarm_act == QR_ALARM_CLEAR && stood)
        model->alarms[at] = model->alarms[--model->alarm_count];
    if (body->alarm_act != QR_ALARM_CLEAR && !stood) {
        QR_ASSERT(at < QR_SIM_ALARMS_MAX);
        model->alarms[model->alarm_count++] = body->alarm;
        model->alarms[at].noted = body->alarm_act == QR_ALARM_NOTE;
    }
    if (body->alarm_act == QR_ALARM_RAISE)
        model->alarms[at].noted = false;
    qr_sim_alarm_text(stood, text);
}

void qr_sim_model_query(const qr_sim_model *model, const qr_txn *txn, uint64_t revision, qr_buffer *text)
{
    sim_run run = {.seen = model, .before = revision, .now = revision, .text = text};
    qr_buffer_format(text, "r%" PRIu64 " ", revision);
    run_txn(&run, txn);
    end_text(text);
}
