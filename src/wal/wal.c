#include "wal/wal.h"

#include <stdio.h>

#include "wal/inside.h"

uint64_t qr_wal_incarnation(const qr_wal *wal)
{
    return wal->incarnation;
}

bool qr_wal_idle(const qr_wal *wal)
{
    bool nothing_waits = wal->broken || wal->batches[wal->waiting].count == 0;
    return nothing_waits && wal->flying == FLYING_NOTHING && wal->workshop.state == MAKING_NOTHING &&
           !wal->fetch.active;
}

void qr_wal_break(qr_wal *wal, const qr_disk_op *op, const char *what)
{
    QR_ASSERT(op->status != QR_OK);
    if (wal->broken)
        return;
    wal->broken = true;
    if (wal->flying == FLYING_SPARE) /* none will come */
        wal->flying = FLYING_NOTHING;
    snprintf(wal->sentence, sizeof wal->sentence, "%s log file %s at byte %" PRIu64 " failed: %s", what,
             op->name, op->offset, qr_status_sentence(op->status));
    wal->config.broken(wal->config.context, op->status, wal->sentence);
}

void qr_wal_status_of(const qr_wal *wal, qr_wal_status *status)
{
    QR_ASSERT(wal->segment_count > 0);
    const wal_segment *first = &wal->segments[0];
    *status = (qr_wal_status){
        .spare = wal->spare_count,
        .first_position = first->sequence * wal->segment_size + first->head_size,
        .next_position = wal->position,
        .durable_position = wal->durable,
        .flushes = wal->flushes,
        .records = wal->records,
    };
    for (size_t i = 0; i < wal->segment_count; i++) {
        status->segments += wal->segments[i].on_disk;
        status->bytes += wal->segments[i].on_disk ? wal->segments[i].span * wal->segment_size : 0;
    }
    for (size_t i = 0; i < wal->spare_count; i++)
        status->bytes += wal->spares[i].span * wal->segment_size;
}

void qr_wal_close(qr_wal *wal)
{
    if (wal == NULL)
        return;
    for (int i = 0; i < 2; i++) {
        qr_buffer_free(&wal->batches[i].bytes);
        qr_free(wal->batches[i].chunks);
    }
    qr_buffer_free(&wal->brief);
    qr_buffer_free(&wal->fetch.bytes);
    qr_free(wal->fetch.pieces);
    qr_free(wal->index.runs);
    qr_free(wal->segments);
    qr_free(wal->zeros);
    qr_free(wal);
}
