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

typedef struct found_file {
    uint64_t number; /* in the name */
    uint64_t size;
    wal_head head;
} found_file;

typedef struct found_files {
    found_file *list; /* owned */
    size_t count, room;
} found_files;

typedef struct opening {
    qr_wal *wal;
    const qr_disk *disk;
    qr_arena *arena;
    const char *sentence;
    found_files segments, spares;
    qr_wal_visit visit;
    void *visit_context;
    qr_buffer bytes; /* of the segment being walked */
    uint64_t chunk;  /* position where the last chunk of the log begins */
} opening;

static qr_status fail(opening *o, qr_status status, const char *name, uint64_t position, const char *what)
{
    o->sentence = qr_arena_format(o->arena, "log file %s, position %" PRIu64 ": %s", name, position, what);
    return status;
}

/* --------------------------------------------------------- operations ---- */

static qr_status run_op(opening *o, qr_disk_op *op, const char *what)
{
    o->disk->run(o->disk->self, op);
    if (op->status == QR_OK)
        return QR_OK;
    o->sentence = qr_arena_format(o->arena, "%s log file %s failed: %s", what, op->name,
                                  qr_status_sentence(op->status));
    return op->status == QR_E_NO_SPACE ? QR_E_NO_SPACE : QR_E_IO;
}

static qr_status run_folder(opening *o)
{
    qr_disk_op op = {.kind = QR_DISK_SYNC_FOLDER};
    if (QR_BUG(o->wal->config.bug, MISSING_FOLDER_SYNC))
        return QR_OK;
    return run_op(o, &op, "syncing the folder of the");
}

static qr_status run_read(opening *o, const char *name, uint64_t size, qr_buffer *bytes)
{
    qr_buffer_clear(bytes);
    qr_disk_op op = {.kind = QR_DISK_READ, .target = qr_buffer_reserve(bytes, (size_t)size), .size = size};
    memcpy(op.name, name, sizeof op.name);
    qr_status status = run_op(o, &op, "reading");
    if (status == QR_OK)
        bytes->size = (size_t)(op.got < size ? op.got : size);
    return status;
}

/* ------------------------------------------------------------- folder ---- */

static void add_file(found_files *files, uint64_t number, uint64_t size)
{
    if (files->count == files->room) {
        files->room = files->room ? files->room * 2 : 16;
        files->list = qr_realloc(files->list, files->room * sizeof *files->list);
    }
    files->list[files->count++] = (found_file){.number = number, .size = size};
}

static void visit_file(void *context, const char *name, uint64_t size)
{
    opening *o = context;
    uint64_t number;
    if (qr_wal_name_read(name, "", &number))
        add_file(&o->segments, number, size);
    else if (qr_wal_name_read(name, "spare-", &number))
        add_file(&o->spares, number, size);
}

/* -------------------------------------------------------------- heads ---- */

static qr_status check_identity(opening *o, const char *name, const wal_head *head, uint64_t incarnation)
{
    const qr_wal_config *config = &o->wal->config;
    const char *foreign = head->cluster != config->cluster   ? "it belongs to another cluster"
                          : head->group != config->group     ? "it belongs to another group"
                          : head->member != config->member   ? "it belongs to another member"
                          : head->incarnation != incarnation ? "it belongs to another life of this member"
                                                             : NULL;
    return foreign ? fail(o, QR_E_FOREIGN, name, head->sequence * head->segment_size, foreign) : QR_OK;
}

static qr_status read_head(opening *o, found_file *file)
{
    char name[QR_DISK_NAME_MAX];
    qr_wal_name_segment(file->number, name);
    qr_status status = run_read(o, name, WAL_BLOCK, &o->bytes);
    if (status != QR_OK)
        return status;
    status = qr_wal_head_read(qr_buffer_slice(&o->bytes), &file->head);
    if (status == QR_E_BAD_VERSION)
        return fail(o, status, name, 0, "it was written by a newer version, in a format not known here");
    if (status != QR_OK)
        return fail(o, QR_E_CORRUPT, name, 0, "its head is damaged");
    if (file->head.sequence != file->number)
        return fail(o, QR_E_CORRUPT, name, 0, "its head is that of another segment");
    return QR_OK;
}

static qr_status read_heads(opening *o)
{
    qr_wal *wal = o->wal;
    for (size_t i = 0; i < o->segments.count; i++) {
        found_file *file = &o->segments.list[i];
        char name[QR_DISK_NAME_MAX];
        qr_wal_name_segment(file->number, name);
        qr_status status = read_head(o, file);
        if (status != QR_OK)
            return status;
        const wal_head *head = &file->head, *oldest = &o->segments.list[0].head;
        status = check_identity(o, name, head, oldest->incarnation);
        if (status != QR_OK)
            return status;
        uint64_t place = head->sequence * head->segment_size;
        if (head->segment_size != oldest->segment_size)
            return fail(o, QR_E_CORRUPT, name, place, "its segment size is not that of the others");
        if (i > 0 && head->sequence != file[-1].head.sequence + file[-1].head.span)
            return fail(o, QR_E_CORRUPT, name, place, "the segment before it is missing");
    }
    wal->incarnation = o->segments.list[0].head.incarnation;
    wal->segment_size = o->segments.list[0].head.segment_size;
    wal->seed = qr_wal_seed(wal->config.cluster, wal->config.group, wal->config.member, wal->incarnation);
    return QR_OK;
}

/* ------------------------------------------------------------ records ---- */

/* Whether a good record stands at the log's position, `at` in the file. */
static bool read_next(const opening *o, uint64_t at, wal_record *record)
{
    const qr_wal *wal = o->wal;
    qr_slice left = qr_slice_of(o->bytes.data + at, (size_t)(o->bytes.size - at));
    if (!qr_wal_record_read(left, wal->seed, record))
        return false;
    if (QR_BUG(wal->config.bug, STALE_RECORD))
        return true;
    return record->position == wal->position && record->chain == wal->chain;
}

static qr_status walk_records(opening *o, const found_file *file, uint64_t end)
{
    qr_wal *wal = o->wal;
    uint64_t place = file->head.sequence * wal->segment_size;
    wal_segment *segment = qr_wal_segment_last(wal);
    wal_record record;
    while (wal->position < end && wal->position - place < o->bytes.size &&
           read_next(o, wal->position - place, &record)) {
        if (o->visit != NULL) {
            qr_status status = o->visit(o->visit_context, false, record.payload, wal->position,
                                        record.index_first, record.index_last);
            if (status != QR_OK) {
                char name[QR_DISK_NAME_MAX];
                qr_wal_name_segment(file->number, name);
                return fail(o, status, name, wal->position, "its record was refused by what reads the log");
            }
        }
        if (record.index_first > 0)
            qr_wal_index_add(&wal->index, record.index_first, record.index_last, wal->position, record.total,
                             place);
        if (segment->index_max < record.index_last)
            segment->index_max = record.index_last;
        o->chunk = record.durable > place + file->head.size ? record.durable : place + file->head.size;
        wal->chain = record.checksum;
        wal->position += record.total;
    }
    return QR_OK;
}

/* One segment: its brief, its records, its end. `next` is NULL for the last one. */
static qr_status walk_segment(opening *o, const found_file *file, const found_file *next, bool is_oldest)
{
    qr_wal *wal = o->wal;
    const wal_head *head = &file->head;
    uint64_t place = head->sequence * wal->segment_size, room = head->span * wal->segment_size;
    char name[QR_DISK_NAME_MAX];
    qr_wal_name_segment(file->number, name);
    qr_status status = run_read(o, name, file->size < room ? file->size : room, &o->bytes);
    if (status != QR_OK)
        return status;
    qr_slice brief;
    if (!qr_wal_brief_read(head, qr_buffer_slice(&o->bytes), &brief))
        return fail(o, QR_E_CORRUPT, name, place, "its brief is damaged");
    if (is_oldest && o->visit != NULL)
        status = o->visit(o->visit_context, true, brief, place, 0, 0);
    if (status != QR_OK)
        return fail(o, status, name, place, "its brief was refused by what reads the log");
    wal_segment *segment = qr_wal_segment_add(wal);
    *segment = (wal_segment){
        .sequence = head->sequence, .span = head->span, .head_size = head->size, .on_disk = true};
    wal->position = o->chunk = place + head->size;
    wal->chain = head->checksum;
    status = walk_records(o, file, next ? next->head.previous_end : place + room);
    if (status != QR_OK || next == NULL)
        return status;
    if (wal->position != next->head.previous_end)
        return fail(o, QR_E_CORRUPT, name, wal->position, "a record that had been durable is damaged");
    if (wal->chain != next->head.chain && !QR_BUG(wal->config.bug, STALE_RECORD))
        return fail(o, QR_E_CORRUPT, name, wal->position, "the next segment does not continue its chain");
    return QR_OK;
}

/* --------------------------------------------------------------- tail ---- */

/* Looks behind the end for records of this very place: whole ones prove what was durable, and must be wiped.
 * Returns the position behind the last one, or the log's end; *proof is the greatest durable position that
 * any of them claims. */
static uint64_t scan_leftovers(const opening *o, uint64_t place, uint64_t *proof)
{
    const qr_wal *wal = o->wal;
    uint64_t end = wal->position;
    *proof = 0;
    for (uint64_t at = wal->position - place; at + WAL_RECORD_HEAD <= o->bytes.size; at += 8) {
        wal_record record;
        if (qr_load_u64(o->bytes.data + at + 8) != place + at)
            continue;
        if (end < place + at + WAL_RECORD_HEAD)
            end = place + at + WAL_RECORD_HEAD; /* torn, by the look of it */
        if (!qr_wal_record_read(qr_slice_of(o->bytes.data + at, o->bytes.size - at), wal->seed, &record))
            continue;
        if (end < place + at + record.total)
            end = place + at + record.total;
        if (*proof < record.durable)
            *proof = record.durable;
    }
    return end;
}

/* Writes `size` bytes at a place of the last segment; NULL: zeros. */
static qr_status rewrite(opening *o, const char *name, uint64_t offset, const uint8_t *bytes, uint64_t size)
{
    const qr_wal *wal = o->wal;
    for (uint64_t at = 0; at < size; at += wal->slice) {
        uint64_t part = size - at < wal->slice ? size - at : wal->slice;
        qr_disk_op op = {.kind = QR_DISK_WRITE,
                         .offset = offset + at,
                         .bytes = qr_slice_of(bytes ? bytes + at : wal->zeros, (size_t)part)};
        memcpy(op.name, name, sizeof op.name);
        qr_status status = run_op(o, &op, "writing");
        if (status != QR_OK)
            return status;
    }
    return QR_OK;
}

static qr_status settle_tail(opening *o, const found_file *file)
{
    qr_wal *wal = o->wal;
    uint64_t place = file->head.sequence * wal->segment_size, proof;
    uint64_t end = scan_leftovers(o, place, &proof);
    qr_disk_op sync = {.kind = QR_DISK_SYNC};
    qr_wal_name_segment(file->number, sync.name);
    if (proof > wal->position && !QR_BUG(wal->config.bug, STALE_RECORD))
        return fail(o, QR_E_CORRUPT, sync.name, wal->position,
                    "a record is damaged, and later ones show that it had been durable");
    QR_ASSERT(o->chunk >= place + file->head.size && o->chunk <= wal->position);
    qr_status status =
        rewrite(o, sync.name, o->chunk - place, o->bytes.data + (o->chunk - place), wal->position - o->chunk);
    if (status == QR_OK && end > wal->position) {
        qr_trace_add(wal->config.trace, QR_TRACE_WAL_CUT, wal->position, end - wal->position, 0, 0);
        status = rewrite(o, sync.name, wal->position - place, NULL, end - wal->position);
    }
    return status == QR_OK ? run_op(o, &sync, "syncing") : status;
}

/* -------------------------------------------------------- a new folder ---- */

static qr_status make_first(opening *o)
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
    qr_status status = run_op(o, &op, "making");
    if (status == QR_OK)
        status = rewrite(o, op.name, 0, NULL, head.span * wal->segment_size);
    if (status == QR_OK)
        status = rewrite(o, op.name, 0, o->bytes.data, o->bytes.size);
    op.kind = QR_DISK_SYNC;
    if (status == QR_OK)
        status = run_op(o, &op, "syncing");
    op.kind = QR_DISK_RENAME;
    qr_wal_name_segment(0, op.name_to);
    if (status == QR_OK)
        status = run_op(o, &op, "naming");
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

static qr_status remove_spares(opening *o)
{
    for (size_t i = 0; i < o->spares.count; i++) {
        qr_disk_op op = {.kind = QR_DISK_REMOVE};
        qr_wal_name_spare(o->spares.list[i].number, op.name);
        qr_status status = run_op(o, &op, "removing");
        if (status != QR_OK)
            return status;
        if (o->wal->spare_number <= o->spares.list[i].number)
            o->wal->spare_number = o->spares.list[i].number + 1;
    }
    return QR_OK;
}

static qr_status recover(opening *o)
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
        const found_file *file = &o->segments.list[i];
        status = walk_segment(o, file, i + 1 < o->segments.count ? file + 1 : NULL, i == 0);
    }
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
    opening o = {
        .wal = made, .disk = config->disk, .arena = arena, .visit = visit, .visit_context = visit_context};
    qr_status status = recover(&o);
    qr_buffer_free(&o.bytes);
    qr_free(o.segments.list);
    qr_free(o.spares.list);
    *sentence = NULL;
    *wal = made;
    if (status != QR_OK) {
        *sentence = o.sentence ? o.sentence : "what reads the log refused its first brief";
        *wal = NULL;
        qr_wal_close(made);
    }
    return status;
}
