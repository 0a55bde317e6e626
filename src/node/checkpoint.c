/* Checkpoints of one's own: when, how, and what may go afterwards. doc/design/checkpoints.md.
 *
 * One is begun at an applied index, when the log has grown enough since the one before; a slice of it is made
 * a turn while entries go on being applied, as fast as the disk takes them. When it is durable the one before
 * it is still kept, with the log from there on: a damaged checkpoint is not the end, and followers a little
 * behind are served from the log. Only what lies before the older of the two may go.
 *
 * The order matters, and every step waits for the one before: the file is durable under its name; the engine
 * forgets its log up to the older checkpoint; the log begins a segment with a brief that says so; that
 * segment is durable; older segments go. */
#include <stdio.h>

#include "core/bugs.h"
#include "node/internal.h"

void qr_keeper__name(uint64_t index, char name[QR_DISK_NAME_MAX])
{
    snprintf(name, QR_DISK_NAME_MAX, "checkpoint-%016llx", (unsigned long long)index);
}

/* Bytes of log between two checkpoints. A large state is saved more rarely: what saving costs stays a part of
 * what writing costs. */
static uint64_t interval(const qr_node *node)
{
    uint64_t least = node->config.checkpoint_bytes ? node->config.checkpoint_bytes : QR_NODE_CHECKPOINT_BYTES;
    uint64_t twice = 2 * node->keeper.newest.content;
    return least > twice ? least : twice;
}

/* ------------------------------------------------------------------ files ---- */

void qr_keeper__note_file(qr_node *node, uint64_t index)
{
    qr_keeper *keeper = &node->keeper;
    for (size_t i = 0; i < keeper->file_count; i++)
        if (keeper->files[i] == index)
            return;
    if (keeper->file_count < QR_NODE_FILES_MAX) /* else the next start finds it */
        keeper->files[keeper->file_count++] = index;
}

static bool is_needed(const qr_node *node, uint64_t index)
{
    const qr_keeper *keeper = &node->keeper;
    return index == keeper->newest.index || index == keeper->previous.index ||
           (keeper->writer != NULL && index == keeper->making.index) ||
           (node->receiving.state >= QR_RECEIVING_KEEP && index == node->receiving.index) ||
           qr_transfer__uses(node, index) || qr_export__uses(node, index);
}

static void on_removed(void *context, qr_status status)
{
    qr_node *node = context;
    node->keeper.remover = NULL;
    if (status == QR_E_IO)
        qr_node__halt(node, "an old checkpoint cannot be removed from the disk");
    qr_node__wake(node);
}

/* One file at a time. */
static void remove_needless(qr_node *node)
{
    qr_keeper *keeper = &node->keeper;
    char name[QR_DISK_NAME_MAX];
    for (size_t i = 0; i < keeper->file_count && keeper->remover == NULL; i++) {
        if (is_needed(node, keeper->files[i]))
            continue;
        qr_keeper__name(keeper->files[i], name);
        keeper->files[i] = keeper->files[--keeper->file_count];
        keeper->remover = qr_checkpoint_remove(&node->config.disk, name, on_removed, node);
    }
    if (keeper->part == node->receiving.index)
        keeper->part = 0; /* it is being received again */
    if (keeper->part != 0 && keeper->remover == NULL) {
        snprintf(name, sizeof name, "received-%016llx.part", (unsigned long long)keeper->part);
        keeper->part = 0;
        keeper->remover = qr_checkpoint_remove(&node->config.disk, name, on_removed, node);
    }
}

/* ----------------------------------------------------------------- making ---- */

static void back_off(qr_node *node)
{
    qr_keeper *keeper = &node->keeper;
    keeper->pause_ms = keeper->pause_ms ? keeper->pause_ms * 2 : QR_NODE_CHECKPOINT_RETRY_MS;
    if (keeper->pause_ms > QR_NODE_CHECKPOINT_RETRY_MS_MAX)
        keeper->pause_ms = QR_NODE_CHECKPOINT_RETRY_MS_MAX;
    keeper->retry_ms = node->now_ms + keeper->pause_ms;
}

static void on_disk_failed(void *context)
{
    qr_node__halt(context, "a checkpoint cannot be written to the disk");
}

static void on_made(void *context, qr_status status, uint64_t bytes)
{
    qr_node *node = context;
    qr_keeper *keeper = &node->keeper;
    keeper->writer = NULL;
    if (!keeper->saved)
        node->machine->ops->save_end(node->machine);
    qr_node__wake(node);
    if (status == QR_E_NO_SPACE) {
        qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_FAIL, keeper->making.index, 0, 0, 0);
        back_off(node);
        qr_export__failed(node, status);
        return;
    }
    if (status != QR_OK) {
        on_disk_failed(node);
        return;
    }
    keeper->making.size = bytes;
    keeper->pause_ms = keeper->retry_ms = 0;
    keeper->forced = false;
    keeper->news = true;
    if (keeper->newest.index != keeper->making.index)
        keeper->previous = keeper->newest;
    keeper->newest = keeper->making;
    qr_keeper__note_file(node, keeper->newest.index);
    qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_DONE, keeper->newest.index, bytes, 0, 0);
}

static void on_ready(void *context)
{
    qr_node__wake(context);
}

static void add(qr_keeper *keeper, qr_checkpoint_kind kind)
{
    keeper->making.content += keeper->slice.size;
    qr_checkpoint_add(keeper->writer, kind, qr_buffer_slice(&keeper->slice));
    qr_buffer_clear(&keeper->slice);
}

static void release_early(qr_node *node);

void qr_keeper__begin(qr_node *node, bool shared)
{
    qr_keeper *keeper = &node->keeper;
    if (node->machine->ops->save_begin(node->machine) != QR_OK)
        return;
    qr_origins *origins = qr_alloc(sizeof *origins);
    *origins = node->origins;
    if (QR_BUG(node->config.bug, CHECKPOINT_NO_ORIGINS))
        *origins = (qr_origins){0};
    keeper->saved = keeper->finished = false;
    node->scrub.shared = shared;
    node->scrub.vouched = false;
    keeper->making = (qr_kept){.index = node->applied_index,
                               .term = node->applied_term,
                               .written = node->log_written,
                               .wall_ms = node->wall_ms};
    uint16_t level = QR_BUG(node->config.bug, LEVEL_NOT_SAVED) ? QR_APPLY_OLDEST : node->level;
    qr_checkpoint_about about = {
        .cluster = node->config.cluster,
        .group = node->config.group,
        .member = node->config.self,
        .incarnation = node->incarnation,
        .index = node->applied_index,
        .term = node->applied_term,
        .digest = qr_state_digest(node->machine->ops->digest(node->machine), origins, level),
        .revision = node->machine->ops->revision(node->machine),
        .wall_ms = node->wall_ms,
        .apply_version = level,
    };
    qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_BEGIN, about.index, 0, 0, 0);
    keeper->writer = qr_checkpoint_begin(&node->config.disk, &about, on_made, on_ready, node);
    qr_buffer_clear(&keeper->slice);
    qr_recover__brief(node, &keeper->slice);
    add(keeper, QR_CHECKPOINT_BRIEF);
    qr_origins_encode(origins, &keeper->slice);
    keeper->origins_sum = qr_hash(qr_buffer_slice(&keeper->slice), 0);
    add(keeper, QR_CHECKPOINT_ORIGINS);
    qr_free(origins);
    release_early(node);
}

/* When the next slice may be made. A member with other work takes its time, since the rounds (health.md) have
 * all members save at the same index: what saving takes of the processors is spread over half of the way to
 * the next checkpoint, for the file grows as fast as the log. Whoever waits for it gets it sooner. */
static uint64_t next_slice_ms(const qr_node *node)
{
    const qr_keeper *keeper = &node->keeper;
    if (keeper->saved || qr_checkpoint_wants(keeper->writer) == 0)
        return UINT64_MAX;
    bool is_idle = node->applied_index == keeper->sliced_index;
    bool is_late = node->log_written - keeper->sliced_log >= keeper->sliced_bytes;
    uint64_t pause_ms = keeper->forced ? QR_NODE_SLICE_PAUSE_FORCED_MS : QR_NODE_SLICE_PAUSE_MS;
    uint64_t at_ms = keeper->sliced_ms + keeper->sliced_bytes * pause_ms / QR_NODE_SLICE_MAX;
    return is_idle || is_late || at_ms < node->now_ms ? node->now_ms : at_ms;
}

static void make_slice(qr_node *node)
{
    qr_keeper *keeper = &node->keeper;
    if (next_slice_ms(node) <= node->now_ms) {
        size_t wanted = qr_checkpoint_wants(keeper->writer);
        keeper->sliced_index = node->applied_index;
        keeper->sliced_ms = node->now_ms;
        keeper->sliced_log = node->log_written;
        qr_status status = node->machine->ops->save_next(
            node->machine, wanted < QR_NODE_SLICE_MAX ? wanted : QR_NODE_SLICE_MAX, &keeper->slice,
            &keeper->saved);
        keeper->sliced_bytes = keeper->slice.size;
        QR_CHECK(status == QR_OK, "a machine that has begun to save goes on");
        add(keeper, QR_CHECKPOINT_MACHINE);
        qr_buffer_shrink(&keeper->slice, 2 * QR_NODE_SLICE_MAX);
        if (keeper->saved) {
            uint64_t sum = qr_hash_mix(node->machine->ops->save_sum(node->machine), keeper->origins_sum);
            node->machine->ops->save_end(node->machine);
            qr_scrub__saved(node, sum);
        }
    }
    /* Others may have committed what this member has not on its own disk yet. A checkpoint ahead of the log
     * beneath it would meet other entries there after a crash. */
    if (keeper->saved && !keeper->finished && keeper->durable_entry >= keeper->making.index &&
        qr_scrub__lets_keep(node) && !node->halted) {
        keeper->finished = true;
        qr_checkpoint_finish(keeper->writer);
    }
}

bool qr_keeper__can_begin(const qr_node *node)
{
    const qr_keeper *keeper = &node->keeper;
    return keeper->writer == NULL && node->config.checkpoint_bytes < UINT64_MAX &&
           node->machine->ops->save_begin != NULL && node->applied_index > 0 &&
           node->receiving.state < QR_RECEIVING_LOAD && node->durable_position >= node->boot_position;
}

bool qr_keeper__has_grown(const qr_node *node, uint64_t times)
{
    return node->log_written - node->keeper.newest.written > times * interval(node);
}

void qr_keeper__give_up(qr_node *node)
{
    qr_keeper *keeper = &node->keeper;
    qr_checkpoint_abandon(keeper->writer, on_disk_failed, &keeper->abandoned);
    keeper->writer = NULL;
    if (!keeper->saved)
        node->machine->ops->save_end(node->machine);
}

/* Where a round decides, a member goes ahead alone only when the others leave it waiting. */
static bool is_due(const qr_node *node)
{
    const qr_keeper *keeper = &node->keeper;
    if (node->applied_index == keeper->newest.index)
        return keeper->forced;
    /* A full disk may be one that only a checkpoint can make room on. */
    bool crowded = node->no_space && keeper->durable_entry >= node->applied_index;
    return keeper->forced || crowded || qr_keeper__has_grown(node, qr_scrub__decides(node) ? 2 : 1);
}

/* ------------------------------------------------------------ letting go ---- */

static void tell_engine(qr_node *node, const qr_kept *tail)
{
    qr_keeper *keeper = &node->keeper;
    if (tail->index <= keeper->told_index)
        return;
    keeper->told_index = tail->index;
    qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_TOLD, tail->index, 0, 0, 0);
    qr_event event = {.kind = QR_EVENT_CHECKPOINT, .checkpoint = {.index = tail->index, .term = tail->term}};
    qr_node__step(node, &event);
    qr_wal_begin_segment(node->wal);
    keeper->release_index = tail->index;
    keeper->release_position = 0;
}

/* The planted bug: as if the checkpoint that was just begun were durable, and the one before were not
 * needed. */
static void release_early(qr_node *node)
{
    if (!QR_BUG(node->config.bug, CHECKPOINT_EARLY))
        return;
    tell_engine(node, &node->keeper.making);
}

/* The log is needed from here on. Who is being sent a checkpoint has to find what follows it, unless that
 * takes too long. */
static const qr_kept *tail_of(const qr_node *node)
{
    const qr_kept *tail = &node->keeper.previous;
    for (size_t i = 0; i < QR_NODE_SENDINGS_MAX; i++) {
        const qr_sending *sending = &node->sendings[i];
        if (sending->peer != 0 && sending->file.index < tail->index &&
            node->log_written - sending->file.written <= QR_NODE_LAG_MAX * interval(node))
            tail = &sending->file;
    }
    return tail;
}

void qr_keeper__appended(qr_node *node, uint64_t position, uint64_t bytes)
{
    node->log_written += bytes;
    if (node->keeper.release_index > 0 && node->keeper.release_position == 0)
        node->keeper.release_position = position;
}

static void let_go(qr_node *node)
{
    qr_keeper *keeper = &node->keeper;
    if (keeper->news) {
        keeper->news = false;
        tell_engine(node, tail_of(node));
    }
    if (keeper->release_position > 0 && node->durable_position >= keeper->release_position) {
        qr_wal_release(node->wal, keeper->release_index);
        keeper->release_index = keeper->release_position = 0;
    }
}

void qr_keeper__adopt(qr_node *node, const qr_kept *kept)
{
    qr_keeper *keeper = &node->keeper;
    keeper->newest = *kept;
    keeper->previous = (qr_kept){0};
    keeper->news = false;
    keeper->told_index = kept->index;
    keeper->durable_entry = kept->index;
    qr_keeper__note_file(node, kept->index);
    qr_wal_begin_segment(node->wal);
    keeper->release_index = kept->index;
    keeper->release_position = 0;
}

/* ------------------------------------------------------------------ turns ---- */

void qr_keeper__turn(qr_node *node)
{
    if (node->halted)
        return;
    qr_keeper *keeper = &node->keeper;
    let_go(node);
    if (qr_keeper__can_begin(node) && is_due(node) && node->now_ms >= keeper->retry_ms)
        qr_keeper__begin(node, false);
    if (keeper->writer != NULL)
        make_slice(node);
    remove_needless(node);
}

uint64_t qr_keeper__wake_ms(const qr_node *node)
{
    const qr_keeper *keeper = &node->keeper;
    if (keeper->news)
        return node->now_ms;
    if (keeper->writer != NULL && next_slice_ms(node) != UINT64_MAX)
        return next_slice_ms(node);
    return qr_keeper__can_begin(node) && is_due(node) ? keeper->retry_ms : UINT64_MAX;
}

void qr_keeper__free(qr_node *node)
{
    qr_keeper *keeper = &node->keeper;
    qr_checkpoint_writer_drop(keeper->writer);
    qr_checkpoint_writer_drop(keeper->abandoned);
    if (keeper->writer != NULL && !keeper->saved)
        node->machine->ops->save_end(node->machine);
    if (keeper->remover != NULL)
        qr_checkpoint_remover_drop(keeper->remover);
    qr_buffer_free(&keeper->slice);
}
