/* Inspecting: the walk of an opening, for people. An opening ends at the first damage; this one goes on,
 * since every segment can be walked by itself: its head begins a chain. Only operations that read are carried
 * out. */
#include <string.h>

#include "wal/checkpoint_inside.h"
#include "wal/inside.h"

typedef struct stranger {
    char name[QR_DISK_NAME_MAX];
    uint64_t size;
} stranger;

typedef struct inspection {
    wal_walk walk;
    qr_wal_report *reports; /* owned; one a segment */
    qr_wal_report *now;     /* of the segment being walked */
    qr_buffer strangers;    /* stranger, one after another */
    const wal_head *oldest; /* whole one; NULL = none */
    qr_status status;       /* the first reason why something can't be checked */
    const char *sentence;
} inspection;

static void visit_file(void *context, const char *name, uint64_t size)
{
    inspection *i = context;
    uint64_t index;
    if (qr_wal_walk_file(&i->walk, name, size) || qr_wal_checkpoint_name_read(name, &index) != WAL_NAME_OTHER)
        return;
    stranger found = {.size = size};
    QR_ASSERT(strlen(name) < sizeof found.name);
    memcpy(found.name, name, strlen(name));
    qr_buffer_add(&i->strangers, &found, sizeof found);
}

static qr_status visit_record(void *context, bool is_brief, qr_slice bytes, uint64_t position,
                              uint64_t index_first, uint64_t index_last)
{
    (void)bytes, (void)position;
    inspection *i = context;
    QR_ASSERT(i->now != NULL && !is_brief);
    i->now->records++;
    if (index_first > 0 && (i->now->index_first == 0 || i->now->index_first > index_first))
        i->now->index_first = index_first;
    if (i->now->index_last < index_last)
        i->now->index_last = index_last;
    return QR_OK;
}

/* The first thing found about a segment stays. */
static void judge(inspection *i, qr_wal_report *report, qr_status status)
{
    QR_ASSERT(status != QR_OK);
    if (report->verdict != QR_WAL_SOUND)
        return;
    bool unchecked = status == QR_E_IO || status == QR_E_BAD_VERSION;
    report->verdict = unchecked ? QR_WAL_UNCHECKED : QR_WAL_DAMAGED;
    report->status = status;
    report->what = i->walk.what;
    report->position = i->walk.failed_at;
    if (unchecked && i->status == QR_OK) {
        i->status = status;
        i->sentence = i->walk.sentence;
    }
}

static void inspect_head(inspection *i, wal_file *file, qr_wal_report *report)
{
    qr_wal_name_segment(file->number, report->name);
    report->size = file->size;
    report->sequence = file->number;
    qr_status status = qr_wal_walk_head(&i->walk, file);
    if (status != QR_OK) {
        judge(i, report, status);
        return;
    }
    const wal_head *head = &file->head;
    report->has_head = true;
    report->span = head->span;
    report->segment_size = head->segment_size;
    report->cluster = head->cluster;
    report->group = head->group;
    report->member = head->member;
    report->incarnation = head->incarnation;
    report->first_position = report->next_position = head->sequence * head->segment_size + head->size;
    if (i->oldest == NULL) {
        i->oldest = head;
        qr_wal_config *config = &i->walk.wal->config;
        config->cluster = head->cluster;
        config->group = head->group;
        config->member = head->member;
        qr_wal_walk_begin(&i->walk, head);
    }
    status = qr_wal_walk_identity(&i->walk, head, i->oldest);
    if (status != QR_OK)
        judge(i, report, status);
}

/* A segment of this log whose neighbours may be anything. */
static void inspect_records(inspection *i, size_t at)
{
    wal_walk *walk = &i->walk;
    const wal_file *file = &walk->segments.list[at];
    qr_wal_report *report = &i->reports[at];
    bool is_last = at + 1 == walk->segments.count;
    const wal_file *next = !is_last && report[1].verdict == QR_WAL_SOUND &&
                                   file[1].head.sequence == file->head.sequence + file->head.span
                               ? file + 1
                               : NULL;
    if (at > 0 && report[-1].has_head && qr_wal_walk_neighbour(walk, &file->head, &file[-1].head) != QR_OK)
        judge(i, report, QR_E_CORRUPT);
    walk->wal->position = report->first_position;
    i->now = report;
    qr_status status = qr_wal_walk_segment(walk, file, next, false);
    i->now = NULL;
    report->next_position = walk->wal->position;
    uint64_t end = walk->wal->position;
    if (status == QR_OK && next == NULL)
        status = qr_wal_walk_tail(walk, file, &end);
    if (status == QR_OK && !is_last && end > walk->wal->position)
        status = qr_wal_walk_fail(walk, QR_E_CORRUPT, report->name, walk->wal->position,
                                  "a record that had been durable is damaged");
    if (status != QR_OK) {
        judge(i, report, status);
    } else if (end > walk->wal->position && report->verdict == QR_WAL_SOUND) {
        report->verdict = QR_WAL_TORN;
        report->position = walk->wal->position;
        report->torn = end - walk->wal->position;
    }
}

static void inspect_segments(inspection *i)
{
    wal_walk *walk = &i->walk;
    size_t count = walk->segments.count;
    i->reports = qr_alloc_zero(count, sizeof *i->reports);
    for (size_t at = 0; at < count; at++)
        inspect_head(i, &walk->segments.list[at], &i->reports[at]);
    /* In order: each segment looks at the head behind it, whose own records have not been judged yet. */
    for (size_t at = 0; at < count; at++)
        if (i->reports[at].verdict == QR_WAL_SOUND)
            inspect_records(i, at);
}

static void tell(const inspection *i, void (*visit)(void *context, const qr_wal_report *report),
                 void *context)
{
    for (size_t at = 0; at < i->walk.segments.count; at++)
        visit(context, &i->reports[at]);
    for (size_t at = 0; at < i->walk.spares.count; at++) {
        const wal_file *file = &i->walk.spares.list[at];
        qr_wal_report report = {.size = file->size, .verdict = QR_WAL_SPARE};
        qr_wal_name_spare(file->number, report.name);
        visit(context, &report);
    }
    for (size_t at = 0; at < i->strangers.size; at += sizeof(stranger)) {
        stranger found;
        memcpy(&found, i->strangers.data + at, sizeof found);
        qr_wal_report report = {.size = found.size, .verdict = QR_WAL_STRANGER};
        memcpy(report.name, found.name, sizeof report.name);
        visit(context, &report);
    }
}

qr_status qr_wal_inspect(const qr_disk *disk, void (*visit)(void *context, const qr_wal_report *report),
                         void *context, qr_arena *arena, const char **sentence)
{
    qr_wal *wal = qr_alloc_zero(1, sizeof *wal);
    inspection i = {.walk = {.wal = wal, .disk = disk, .arena = arena, .visit = visit_record}};
    i.walk.visit_context = &i;
    if (disk->list(disk->self, visit_file, &i) != QR_OK) {
        i.status = QR_E_IO;
        i.sentence = "the log's folder can't be listed";
    } else if (i.walk.segments.count == 0) {
        i.status = QR_E_NOT_FOUND;
        i.sentence = "the folder holds no segment of a log";
    } else {
        inspect_segments(&i);
    }
    if (i.reports != NULL || i.status == QR_E_NOT_FOUND)
        tell(&i, visit, context);
    *sentence = i.sentence;
    qr_wal_walk_free(&i.walk);
    qr_buffer_free(&i.strangers);
    qr_free(i.reports);
    qr_wal_close(wal);
    return i.status;
}
