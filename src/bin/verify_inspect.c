/* verify: the look at a disk, real or simulated. */
#include "bin/verify.h"

void qr_verify_init(verify *v)
{
    *v = (verify){0};
    qr_arena_init(&v->arena);
    qr_buffer_init(&v->reports);
    qr_buffer_init(&v->checkpoints);
}

void qr_verify_free(verify *v)
{
    qr_buffer_free(&v->reports);
    qr_buffer_free(&v->checkpoints);
    qr_arena_free(&v->arena);
}

static void visit(void *context, const qr_wal_report *report)
{
    verify *v = context;
    qr_buffer_add(&v->reports, report, sizeof *report);
    v->segments += report->verdict < QR_WAL_SPARE;
    v->damaged += report->verdict == QR_WAL_DAMAGED;
    v->torn += report->verdict == QR_WAL_TORN;
    v->records += report->records;
    if (report->index_first > 0 && (v->index_first == 0 || v->index_first > report->index_first))
        v->index_first = report->index_first;
    if (v->index_last < report->index_last)
        v->index_last = report->index_last;
    if (report->has_head && !v->known.has_head)
        v->known = *report;
    if (v->segments == 1)
        v->begins_well = report->verdict <= QR_WAL_TORN;
}

static void visit_checkpoint(void *context, const qr_checkpoint_report *report)
{
    verify *v = context;
    qr_buffer_add(&v->checkpoints, report, sizeof *report);
    v->whole += report->verdict != QR_CHECKPOINT_UNFINISHED;
    v->whole_damaged += report->verdict == QR_CHECKPOINT_DAMAGED;
    v->whole_unchecked += report->verdict == QR_CHECKPOINT_UNCHECKED;
    if (report->verdict == QR_CHECKPOINT_SOUND) { /* they come in order */
        v->has_sound = true;
        v->sound_index = report->index;
    }
}

/* What stands before the log must be in a checkpoint. Nothing is said when either can't be known. */
static void look_for_gap(verify *v)
{
    if (!v->begins_well || v->index_first == 0 || v->whole_unchecked > 0 ||
        v->index_first <= v->sound_index + 1)
        return;
    v->gap_first = v->sound_index + 1;
    v->gap_last = v->index_first - 1;
}

/* The log's trouble comes first; the checkpoints are looked at all the same. */
const char *qr_verify_inspect(verify *v, const qr_disk *disk)
{
    const char *of_log, *of_checkpoints;
    (void)qr_wal_inspect(disk, visit, v, &v->arena, &of_log);
    (void)qr_checkpoint_inspect(disk, v->known.cluster, v->known.group, visit_checkpoint, v, &v->arena,
                                &of_checkpoints);
    look_for_gap(v);
    return of_log != NULL ? of_log : of_checkpoints;
}

bool qr_verify_is_damaged(const verify *v)
{
    return v->damaged > 0 || v->whole_damaged > 0 || v->gap_first > 0;
}
