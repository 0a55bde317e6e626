/* A checkpoint becomes the state of this member: at the start from its own folder, later from what a leader
 * has sent. Chunks come in the order of the file: the brief, the origins, the machine. */
#include "node/internal.h"

enum { BRIEF_HEAD = 1 + 8 + 8 }; /* what the node puts before the engine's brief: see recover.c */

/* ---------------------------------------------------------------- loading ---- */

qr_restore *qr_restore__begin(qr_node *node, qr_machine *machine)
{
    qr_restore *restore = qr_alloc_zero(1, sizeof *restore);
    restore->node = node;
    restore->machine = machine;
    qr_buffer_init(&restore->brief);
    return restore;
}

void qr_restore__free(qr_restore *restore)
{
    if (restore == NULL)
        return;
    if (restore->machine != NULL)
        qr_node__retire(restore->node, restore->machine);
    qr_buffer_free(&restore->brief);
    qr_free(restore);
}

static qr_status visit_about(void *context, const qr_checkpoint_about *about)
{
    qr_restore *restore = context;
    restore->about = *about;
    if (about->apply_version > qr_level__known(restore->node))
        return QR_E_BAD_VERSION;
    bool sound = about->index > 0 && about->term > 0 && about->apply_version >= QR_APPLY_OLDEST;
    return sound ? QR_OK : QR_E_CORRUPT;
}

static qr_status load_brief(qr_restore *restore, qr_slice chunk)
{
    if (chunk.size <= BRIEF_HEAD)
        return QR_E_CORRUPT;
    if (chunk.data[0] != QR_NODE_FORMAT)
        return QR_E_BAD_VERSION;
    qr_buffer_add_slice(&restore->brief, qr_slice_of(chunk.data + BRIEF_HEAD, chunk.size - BRIEF_HEAD));
    return QR_OK;
}

static qr_status visit_chunk(void *context, qr_checkpoint_kind kind, qr_slice chunk, bool last)
{
    qr_restore *restore = context;
    if (restore->is_over)
        return QR_E_STOPPED;
    restore->content += chunk.size;
    if (kind == QR_CHECKPOINT_MACHINE)
        return restore->machine->ops->load(restore->machine, chunk, last);
    if (last)
        return QR_E_CORRUPT;
    if (kind == QR_CHECKPOINT_BRIEF)
        return load_brief(restore, chunk);
    qr_reader reader = qr_reader_of(chunk);
    qr_status status = qr_origins_decode(&reader, &restore->origins);
    return status == QR_OK && qr_reader_left(&reader) == 0 ? QR_OK : QR_E_CORRUPT;
}

qr_checkpoint_visit qr_restore__visit(qr_restore *restore)
{
    return (qr_checkpoint_visit){.about = visit_about, .chunk = visit_chunk, .context = restore};
}

bool qr_restore__settle(qr_restore *restore, size_t budget)
{
    const qr_machine_ops *ops = restore->machine->ops;
    return ops->settle != NULL && ops->settle(restore->machine, budget);
}

qr_status qr_restore__end(qr_restore *restore)
{
    while (qr_restore__settle(restore, SIZE_MAX))
        continue;
    uint64_t digest = qr_state_digest(restore->machine->ops->digest(restore->machine), &restore->origins,
                                      restore->about.apply_version);
    bool same = digest == restore->about.digest &&
                restore->machine->ops->revision(restore->machine) == restore->about.revision;
    return same ? QR_OK : QR_E_CORRUPT;
}

void qr_restore__take(qr_restore *restore)
{
    qr_node *node = restore->node;
    if (restore->machine != node->machine)
        qr_node__retire(node, node->machine);
    qr_node__end_holds(node);
    node->machine = restore->machine;
    restore->machine = NULL;
    node->origins = restore->origins;
    node->level = restore->about.apply_version;
    node->applied_index = restore->about.index;
    node->applied_term = restore->about.term;
}

void qr_restore__tell_engine(qr_restore *restore, bool received)
{
    qr_node *node = restore->node;
    const qr_checkpoint_about *about = &restore->about;
    if (node->config.restored != NULL)
        node->config.restored(node->config.context, about->index, about->term, about->digest, about->revision,
                              received);
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    /* One's own is never ahead of the log beneath it (checkpoint.c), so the entries up to it are there and
     * are the ones that were applied. A foreign one may meet a log that knows nothing of it yet. */
    bool own = about->member == node->config.self && about->incarnation == node->incarnation;
    if (!received && own && about->index <= engine.last_index) {
        node->told_applied = about->index;
        qr_event event = {.kind = QR_EVENT_APPLIED,
                          .applied = {.index = about->index, .digest = about->digest}};
        qr_node__step(node, &event);
        return;
    }
    qr_event event = {.kind = QR_EVENT_CHECKPOINT,
                      .checkpoint = {.index = about->index,
                                     .term = about->term,
                                     .received = true,
                                     .brief = qr_buffer_slice(&restore->brief)}};
    qr_node__step(node, &event);
}

/* ---------------------------------------------------------------- opening ---- */

static qr_kept kept_of(const qr_restore *restore, const qr_checkpoint_row *row)
{
    return (qr_kept){.index = restore->about.index,
                     .term = restore->about.term,
                     .size = row->size,
                     .content = restore->content,
                     .wall_ms = restore->about.wall_ms};
}

/* A half-loaded machine is of no use to the next attempt. */
static qr_status renew_machine(qr_node *node)
{
    if (node->config.new_machine == NULL)
        return QR_E_CORRUPT;
    node->machine->ops->free(node->machine);
    node->machine = node->config.new_machine(node->config.context);
    return QR_OK;
}

static qr_status load_row(qr_node *node, const qr_checkpoint_row *row, qr_arena *arena, const char **sentence)
{
    qr_restore *restore = qr_restore__begin(node, node->machine);
    qr_checkpoint_visit visit = qr_restore__visit(restore);
    const qr_node_config *config = &node->config;
    qr_status status =
        qr_checkpoint_read(&config->disk, row->name, config->cluster, config->group, &visit, arena, sentence);
    if (status == QR_OK && (restore->about.index != row->index || qr_restore__end(restore) != QR_OK)) {
        status = QR_E_CORRUPT;
        *sentence = qr_arena_format(arena, "the state in %s is not what its header says", row->name);
    }
    if (status == QR_E_BAD_VERSION && restore->about.apply_version > qr_level__known(node))
        *sentence =
            qr_arena_format(arena, "the state in %s needs a newer version of this program", row->name);
    if (status == QR_OK) {
        qr_restore__take(restore);
        node->keeper.newest = kept_of(restore, row);
        node->opened = restore;
        return QR_OK;
    }
    restore->machine = NULL; /* still the node's */
    qr_restore__free(restore);
    return status;
}

/* Stops once it knows what the header says. */
static qr_status only_about(void *context, const qr_checkpoint_about *about)
{
    *(qr_checkpoint_about *)context = *about;
    return QR_E_STOPPED;
}

static void note_previous(qr_node *node, const qr_checkpoint_row *row, qr_arena *arena)
{
    qr_checkpoint_about about = {0};
    qr_checkpoint_visit visit = {.about = only_about, .context = &about};
    const char *sentence;
    const qr_node_config *config = &node->config;
    qr_status status = qr_checkpoint_read(&config->disk, row->name, config->cluster, config->group, &visit,
                                          arena, &sentence);
    if (status == QR_E_STOPPED && about.index == row->index)
        node->keeper.previous =
            (qr_kept){.index = about.index, .term = about.term, .size = row->size, .wall_ms = about.wall_ms};
}

static qr_status load_newest(qr_node *node, const qr_checkpoint_row *rows, size_t count, qr_arena *arena,
                             const char **sentence)
{
    qr_keeper *keeper = &node->keeper;
    for (size_t i = 0; i < count; i++) {
        qr_keeper__note_file(node, rows[i].index);
        if (keeper->newest.index != 0) {
            if (keeper->previous.index == 0)
                note_previous(node, &rows[i], arena);
            continue;
        }
        const char *why = NULL;
        qr_status status = load_row(node, &rows[i], arena, &why);
        if (status == QR_OK)
            continue;
        *sentence = why;
        bool is_lost = status == QR_E_CORRUPT || status == QR_E_IO; /* rotten, or not to be read any more */
        if (!is_lost || renew_machine(node) != QR_OK)
            return status;
        qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_DAMAGED, rows[i].index, status, 0, 0);
        if (keeper->damaged_index == 0) {
            keeper->damaged_index = rows[i].index;
            node->damage = why;
        }
    }
    return QR_OK;
}

qr_status qr_restore__open(qr_node *node, qr_arena *arena, const char **sentence)
{
    if (node->machine->ops->load == NULL)
        return QR_OK;
    const qr_disk *disk = &node->config.disk;
    qr_checkpoint_row *rows = qr_alloc(QR_NODE_FILES_MAX * sizeof *rows);
    size_t count = 0;
    qr_status status = qr_checkpoint_sweep(disk);
    if (status == QR_OK)
        status = qr_checkpoint_list(disk, rows, QR_NODE_FILES_MAX, &count);
    if (status == QR_OK)
        status = load_newest(node, rows, count, arena, sentence);
    else
        *sentence =
            qr_arena_format(arena, "the checkpoints cannot be listed: %s", qr_status_sentence(status));
    qr_free(rows);
    return status;
}

/* The log was recalled: does it begin where the checkpoint ends, or before? */
qr_status qr_restore__opened(qr_node *node, qr_arena *arena, const char **sentence)
{
    qr_keeper *keeper = &node->keeper;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    if (engine.first_index > keeper->newest.index + 1) {
        *sentence = qr_arena_format(
            arena, "the log begins with entry %llu, and %s%s", (unsigned long long)engine.first_index,
            node->damage ? "what lies before it is lost: " : "there is no checkpoint that reaches that far",
            node->damage ? node->damage : "");
        return QR_E_CORRUPT;
    }
    keeper->durable_entry = engine.last_index;
    if (node->opened == NULL)
        return QR_OK;
    const qr_checkpoint_about *about = &node->opened->about;
    qr_trace_add(&node->trace, QR_TRACE_CHECKPOINT_LOAD, about->index, about->revision, about->digest, 0);
    keeper->told_index = engine.first_index - 1;
    /* The life before may have ended before it could say so. It costs a segment: each of a row of starts must
     * not begin one for nothing. */
    keeper->news = qr_wal_has_before(node->wal, keeper->previous.index);
    qr_restore__tell_engine(node->opened, false);
    qr_restore__free(node->opened);
    node->opened = NULL;
    return QR_OK;
}
