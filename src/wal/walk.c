/* Walking a log without changing it: what opening and inspecting share. The rules are told in recover.c. */
#include <string.h>

#include "wal/inside.h"

qr_status qr_wal_walk_fail(wal_walk *o, qr_status status, const char *name, uint64_t position,
                           const char *what)
{
    o->sentence = qr_arena_format(o->arena, "log file %s, position %" PRIu64 ": %s", name, position, what);
    o->what = what;
    o->failed_at = position;
    return status;
}

/* --------------------------------------------------------- operations ---- */

qr_status qr_wal_walk_run(wal_walk *o, qr_disk_op *op, const char *what)
{
    o->disk->run(o->disk->self, op);
    if (op->status == QR_OK)
        return QR_OK;
    o->sentence = qr_arena_format(o->arena, "%s log file %s failed: %s", what, op->name,
                                  qr_status_sentence(op->status));
    o->what = qr_status_sentence(op->status);
    o->failed_at = 0;
    return op->status == QR_E_NO_SPACE ? QR_E_NO_SPACE : QR_E_IO;
}

static qr_status run_read(wal_walk *o, const char *name, uint64_t size, qr_buffer *bytes)
{
    qr_buffer_clear(bytes);
    qr_disk_op op = {.kind = QR_DISK_READ, .target = qr_buffer_reserve(bytes, (size_t)size), .size = size};
    memcpy(op.name, name, sizeof op.name);
    qr_status status = qr_wal_walk_run(o, &op, "reading");
    if (status == QR_OK)
        bytes->size = (size_t)(op.got < size ? op.got : size);
    return status;
}

/* ------------------------------------------------------------- folder ---- */

static void add_file(wal_files *files, uint64_t number, uint64_t size)
{
    if (files->count == files->room) {
        files->room = files->room ? files->room * 2 : 16;
        files->list = qr_realloc(files->list, files->room * sizeof *files->list);
    }
    files->list[files->count++] = (wal_file){.number = number, .size = size};
}

bool qr_wal_walk_file(wal_walk *o, const char *name, uint64_t size)
{
    uint64_t number;
    if (qr_wal_name_read(name, "", &number))
        add_file(&o->segments, number, size);
    else if (qr_wal_name_read(name, "spare-", &number))
        add_file(&o->spares, number, size);
    else
        return false;
    return true;
}

/* -------------------------------------------------------------- heads ---- */

qr_status qr_wal_walk_head(wal_walk *o, wal_file *file)
{
    char name[QR_DISK_NAME_MAX];
    qr_wal_name_segment(file->number, name);
    qr_status status = run_read(o, name, WAL_BLOCK, &o->bytes);
    if (status != QR_OK)
        return status;
    status = qr_wal_head_read(qr_buffer_slice(&o->bytes), &file->head);
    if (status == QR_E_BAD_VERSION)
        return qr_wal_walk_fail(o, status, name, 0,
                                "it was written by a newer version, in a format not known here");
    if (status != QR_OK)
        return qr_wal_walk_fail(o, QR_E_CORRUPT, name, 0, "its head is damaged");
    if (file->head.sequence != file->number)
        return qr_wal_walk_fail(o, QR_E_CORRUPT, name, 0, "its head is that of another segment");
    return QR_OK;
}

qr_status qr_wal_walk_identity(wal_walk *o, const wal_head *head, const wal_head *oldest)
{
    const qr_wal_config *config = &o->wal->config;
    uint64_t place = head->sequence * head->segment_size;
    char name[QR_DISK_NAME_MAX];
    qr_wal_name_segment(head->sequence, name);
    const char *foreign = head->cluster != config->cluster ? "it belongs to another cluster"
                          : head->group != config->group   ? "it belongs to another group"
                          : head->member != config->member ? "it belongs to another member"
                          : head->incarnation != oldest->incarnation
                              ? "it belongs to another life of this member"
                              : NULL;
    if (foreign)
        return qr_wal_walk_fail(o, QR_E_FOREIGN, name, place, foreign);
    if (head->segment_size != oldest->segment_size)
        return qr_wal_walk_fail(o, QR_E_CORRUPT, name, place, "its segment size is not that of the others");
    return QR_OK;
}

qr_status qr_wal_walk_neighbour(wal_walk *o, const wal_head *head, const wal_head *before)
{
    if (head->sequence == before->sequence + before->span)
        return QR_OK;
    char name[QR_DISK_NAME_MAX];
    qr_wal_name_segment(head->sequence, name);
    return qr_wal_walk_fail(o, QR_E_CORRUPT, name, head->sequence * head->segment_size,
                            "the segment before it is missing");
}

void qr_wal_walk_begin(wal_walk *o, const wal_head *oldest)
{
    qr_wal *wal = o->wal;
    wal->incarnation = oldest->incarnation;
    wal->segment_size = oldest->segment_size;
    wal->seed = qr_wal_seed(wal->config.cluster, wal->config.group, wal->config.member, wal->incarnation);
}

/* ------------------------------------------------------------ records ---- */

/* Whether a good record stands at the log's position, `at` in the file. */
static bool read_next(const wal_walk *o, uint64_t at, wal_record *record)
{
    const qr_wal *wal = o->wal;
    qr_slice left = qr_slice_of(o->bytes.data + at, (size_t)(o->bytes.size - at));
    if (!qr_wal_record_read(left, wal->seed, record))
        return false;
    if (QR_BUG(wal->config.bug, STALE_RECORD))
        return true;
    return record->position == wal->position && record->chain == wal->chain;
}

static qr_status walk_records(wal_walk *o, const wal_file *file, uint64_t end)
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
                return qr_wal_walk_fail(o, status, name, wal->position,
                                        "its record was refused by what reads the log");
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

qr_status qr_wal_walk_segment(wal_walk *o, const wal_file *file, const wal_file *next, bool is_oldest)
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
        return qr_wal_walk_fail(o, QR_E_CORRUPT, name, place, "its brief is damaged");
    if (is_oldest && o->visit != NULL)
        status = o->visit(o->visit_context, true, brief, place, 0, 0);
    if (status != QR_OK)
        return qr_wal_walk_fail(o, status, name, place, "its brief was refused by what reads the log");
    wal_segment *segment = qr_wal_segment_add(wal);
    *segment = (wal_segment){
        .sequence = head->sequence, .span = head->span, .head_size = head->size, .on_disk = true};
    wal->position = o->chunk = place + head->size;
    wal->chain = head->checksum;
    status = walk_records(o, file, next ? next->head.previous_end : place + room);
    if (status != QR_OK || next == NULL)
        return status;
    if (wal->position != next->head.previous_end)
        return qr_wal_walk_fail(o, QR_E_CORRUPT, name, wal->position,
                                "a record that had been durable is damaged");
    if (wal->chain != next->head.chain && !QR_BUG(wal->config.bug, STALE_RECORD))
        return qr_wal_walk_fail(o, QR_E_CORRUPT, name, wal->position,
                                "the next segment does not continue its chain");
    return QR_OK;
}

/* --------------------------------------------------------------- tail ---- */

/* Looks behind the end for records of this very place: whole ones prove what was durable, and must be wiped.
 * Returns the position behind the last one, or the log's end; *proof is the greatest durable position that
 * any of them claims. */
static uint64_t scan_leftovers(const wal_walk *o, uint64_t place, uint64_t *proof)
{
    const qr_wal *wal = o->wal;
    const uint8_t *bytes = o->bytes.data;
    uint64_t end = wal->position, size = o->bytes.size;
    *proof = 0;
    for (uint64_t at = wal->position - place; at + WAL_RECORD_HEAD <= size; at += 8) {
        wal_record record;
        if (qr_load_u64(bytes + at + 8) != place + at)
            continue;
        if (end < place + at + WAL_RECORD_HEAD)
            end = place + at + WAL_RECORD_HEAD; /* torn, by the look of it */
        if (!qr_wal_record_read(qr_slice_of(bytes + at, size - at), wal->seed, &record))
            continue;
        if (end < place + at + record.total)
            end = place + at + record.total;
        if (*proof < record.durable)
            *proof = record.durable;
    }
    return end;
}

qr_status qr_wal_walk_tail(wal_walk *o, const wal_file *file, uint64_t *end)
{
    const qr_wal *wal = o->wal;
    uint64_t proof;
    *end = scan_leftovers(o, file->head.sequence * wal->segment_size, &proof);
    if (proof <= wal->position || QR_BUG(wal->config.bug, STALE_RECORD) ||
        QR_BUG(wal->config.bug, DAMAGE_CUT))
        return QR_OK;
    char name[QR_DISK_NAME_MAX];
    qr_wal_name_segment(file->number, name);
    return qr_wal_walk_fail(o, QR_E_CORRUPT, name, wal->position,
                            "a record is damaged, and later ones show that it had been durable");
}

void qr_wal_walk_free(wal_walk *o)
{
    qr_buffer_free(&o->bytes);
    qr_free(o->segments.list);
    qr_free(o->spares.list);
}
