/* Opening. In order: list the folder; check every head against the configuration and its neighbours; walk
 * every segment and hand its records out; settle the tail; remove the spares; sync the folder.
 *
 * Only the last chunk of the last segment may be torn (inside.h says why), so a bad record anywhere before it
 * is damage of something acknowledged. In the last segment the first bad record at position p is the end of
 * the log, unless a record behind it says that the log had been durable beyond p (why the two must be told
 * apart: R. Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). What lies
 * behind a cut is wiped: the next life may append the very same bytes at p, and a leftover behind them would
 * then fit the chain.
 *
 * The last chunk is written and synced again before open() returns: if the process died, its bytes may stand
 * in the cache of the operating system only, and after a failed sync even count as written (A. Rebello et
 * al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
 *
 * Spares are removed, not reused: one of them may hold the records of a segment that was being begun. */
#include <string.h>

#include "wal/inside.h"

/* --------------------------------------------------------- operations ---- */

static qr_status run_folder(wal_walk *o)
{
    qr_disk_op op = {.kind = QR_DISK_SYNC_FOLDER};
    if (QR_BUG(o->wal->config.bug, MISSING_FOLDER_SYNC))
        return QR_OK;
    return qr_wal_walk_run(o, &op, "syncing the folder of the");
}

/* -------------------------------------------------------------- heads ---- */

static void visit_file(void *context, const char *name, uint64_t size)
{
    (void)qr_wal_walk_file(context, name, size);
}

static qr_status read_heads(wal_walk *o)
{
    for (size_t i = 0; i < o->segments.count; i++) {
        wal_file *file = &o->segments.list[i];
        qr_status status = qr_wal_walk_head(o, file);
        if (status == QR_OK)
            status = qr_wal_walk_identity(o, &file->head, &o->segments.list[0].head);
        if (status == QR_OK && i > 0)
            status = qr_wal_walk_neighbour(o, &file->head, &file[-1].head);
        if (status != QR_OK)
            return status;
    }
    qr_wal_walk_begin(o, &o->segments.list[0].head);
    return QR_OK;
}

/* --------------------------------------------------------------- tail ---- */

/* Writes `size` bytes at a place of the last segment; NULL: zeros. */
static qr_status rewrite(wal_walk *o, const char *name, uint64_t offset, const uint8_t *bytes, uint64_t size)
{
    const qr_wal *wal = o->wal;
    for (uint64_t at = 0; at < size; at += wal->slice) {
        uint64_t part = size - at < wal->slice ? size - at : wal->slice;
        qr_disk_op op = {.kind = QR_DISK_WRITE,
                         .offset = offset + at,
                         .bytes = qr_slice_of(bytes ? bytes + at : wal->zeros, (size_t)part)};
        memcpy(op.name, name, sizeof op.name);
        qr_status status = qr_wal_walk_run(o, &op, "writing");
        if (status != QR_OK)
            return status;
    }
    return QR_OK;
}

static qr_status settle_tail(wal_walk *o, const wal_file *file)
{
    qr_wal *wal = o->wal;
    uint64_t place = file->head.sequence * wal->segment_size, end;
    qr_disk_op sync = {.kind = QR_DISK_SYNC};
    qr_wal_name_segment(file->number, sync.name);
    qr_status status = qr_wal_walk_tail(o, file, &end);
    if (status != QR_OK)
        return status;
    QR_ASSERT(o->chunk >= place + file->head.size && o->chunk <= wal->position);
    status =
        rewrite(o, sync.name, o->chunk - place, o->bytes.data + (o->chunk - place), wal->position - o->chunk);
    if (status == QR_OK && end > wal->position) {
        qr_trace_add(wal->config.trace, QR_TRACE_WAL_CUT, wal->position, end - wal->position, 0, 0);
        status = rewrite(o, sync.name, wal->position - place, NULL, end - wal->position);
    }
    return status == QR_OK ? qr_wal_walk_run(o, &sync, "syncing") : status;
}

/* -------------------------------------------------------- a new folder ---- */

static qr_status make_room(wal_walk *o, const char *name, uint64_t size)
{
    qr_disk_op op = {.kind = QR_DISK_RESERVE, .size = size};
    memcpy(op.name, name, sizeof op.name);
    qr_status status = qr_wal_walk_run(o, &op, "making");
    return op.status == QR_E_UNSUPPORTED ? rewrite(o, name, 0, NULL, size) : status;
}

static qr_status make_first(wal_walk *o)
{
    qr_wal *wal = o->wal;
    qr_buffer_clear(&wal->brief);
    wal->config.brief(wal->config.context, &wal->brief);
    QR_CHECK(wal->brief.size <= QR_WAL_BRIEF_MAX,
             "the brief of a log segment is larger than QR_WAL_BRIEF_MAX");
    wal_head head = {
        .cluster = wal->config.cluster,
        .group = wal->config.group,
        .member = wal->config.member,
        .incarnation = wal->incarnation,
        .segment_size = wal->segment_size,
        .span = (uint32_t)((qr_wal_head_size(wal->brief.size) + wal->segment_size - 1) / wal->segment_size),
        .chain = wal->seed,
    };
    qr_buffer_clear(&o->bytes);
    qr_wal_head_write(&head, qr_buffer_slice(&wal->brief),
                      qr_buffer_extend(&o->bytes, qr_wal_head_size(wal->brief.size)));
    qr_disk_op op = {.kind = QR_DISK_CREATE};
    qr_wal_name_spare(wal->spare_number++, op.name);
    qr_status status = qr_wal_walk_run(o, &op, "making");
    if (status == QR_OK)
        status = make_room(o, op.name, head.span * wal->segment_size);
    if (status == QR_OK)
        status = rewrite(o, op.name, 0, o->bytes.data, o->bytes.size);
    op.kind = QR_DISK_SYNC;
    if (status == QR_OK)
        status = qr_wal_walk_run(o, &op, "syncing");
    op.kind = QR_DISK_RENAME;
    qr_wal_name_segment(0, op.name_to);
    if (status == QR_OK)
        status = qr_wal_walk_run(o, &op, "naming");
    if (status != QR_OK)
        return status;
    wal_segment *segment = qr_wal_segment_add(wal);
    *segment = (wal_segment){.span = head.span, .head_size = head.size, .on_disk = true};
    wal->position = head.size;
    wal->chain = head.checksum;
    qr_slice brief = qr_buffer_slice(&wal->brief);
    return o->visit != NULL ? o->visit(o->visit_context, true, brief, 0, 0, 0) : QR_OK;
}

/* ---------------------------------------------------------------- open ---- */

static qr_status remove_spares(wal_walk *o)
{
    for (size_t i = 0; i < o->spares.count; i++) {
        qr_disk_op op = {.kind = QR_DISK_REMOVE};
        qr_wal_name_spare(o->spares.list[i].number, op.name);
        qr_status status = qr_wal_walk_run(o, &op, "removing");
        if (status != QR_OK)
            return status;
        if (o->wal->spare_number <= o->spares.list[i].number)
            o->wal->spare_number = o->spares.list[i].number + 1;
    }
    return QR_OK;
}

static qr_status recover(wal_walk *o)
{
    qr_wal *wal = o->wal;
    if (o->disk->list(o->disk->self, visit_file, o) != QR_OK) {
        o->sentence = "the log's folder can't be listed";
        return QR_E_IO;
    }
    qr_status status = o->segments.count > 0 ? read_heads(o) : QR_OK;
    wal->slice = wal->segment_size < WAL_SLICE ? wal->segment_size : WAL_SLICE;
    wal->zeros = qr_alloc_zero(1, (size_t)wal->slice);
    for (size_t i = 0; i < o->segments.count && status == QR_OK; i++) {
        const wal_file *file = &o->segments.list[i];
        status = qr_wal_walk_segment(o, file, i + 1 < o->segments.count ? file + 1 : NULL, i == 0);
    }
    if (status == QR_E_IO) /* nothing but reads so far: what cannot be read is as lost as what has rotted */
        status = QR_E_CORRUPT;
    if (status == QR_OK && o->segments.count > 0)
        status = settle_tail(o, &o->segments.list[o->segments.count - 1]);
    if (status == QR_OK)
        status = remove_spares(o);
    if (status == QR_OK && o->segments.count == 0)
        status = make_first(o);
    if (status == QR_OK)
        status = run_folder(o);
    wal->durable = wal->position;
    return status;
}

qr_status qr_wal_open(const qr_wal_config *config, qr_wal_visit visit, void *visit_context, qr_arena *arena,
                      qr_wal **wal, const char **sentence)
{
    QR_ASSERT(config->disk != NULL && config->brief != NULL && config->durable != NULL);
    QR_ASSERT(config->broken != NULL && config->space != NULL);
    QR_ASSERT(config->segment_size % WAL_BLOCK == 0 && config->segment_size <= WAL_SEGMENT_SIZE_MAX);
    qr_wal *made = qr_alloc_zero(1, sizeof *made);
    made->config = *config;
    if (made->config.segments_ready == 0)
        made->config.segments_ready = 1;
    if (made->config.segments_ready > WAL_SPARES_MAX - 2)
        made->config.segments_ready = WAL_SPARES_MAX - 2;
    made->incarnation = config->incarnation;
    made->segment_size = config->segment_size ? config->segment_size : QR_WAL_SEGMENT_SIZE;
    made->seed = qr_wal_seed(config->cluster, config->group, config->member, made->incarnation);
    wal_walk o = {
        .wal = made, .disk = config->disk, .arena = arena, .visit = visit, .visit_context = visit_context};
    qr_status status = recover(&o);
    qr_wal_walk_free(&o);
    *sentence = NULL;
    *wal = made;
    if (status != QR_OK) {
        *sentence = o.sentence ? o.sentence : "what reads the log refused its first brief";
        *wal = NULL;
        qr_wal_close(made);
    }
    return status;
}
