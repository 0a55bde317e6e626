/* What goes bad on a disk that was promised to keep it: bytes that rot or cannot be read any more, and writes
 * that are said to be durable and are lost or stand somewhere else. */
#include "sim/disk_inside.h"

enum { BLOCK = 4096 };

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_part(const char *name)
{
    size_t size = strlen(name);
    return size > 5 && strcmp(name + size - 5, ".part") == 0;
}

bool qr_sim_rot_is_segment(const char *name)
{
    return strlen(name) == 20 && strspn(name, "0123456789abcdef") == 16 && strcmp(name + 16, ".wal") == 0;
}

static const sim_file *newest_segment(const qr_sim_disk *disk)
{
    const sim_file *newest = NULL;
    for (size_t i = 0; i < disk->durable.count; i++)
        if (qr_sim_rot_is_segment(disk->durable.list[i].name))
            newest = disk->durable.list[i].file;
    return newest;
}

/* Bytes at the beginning that stay: without the head of its only segment nobody could tell any more which
 * life of the member a log was, and the wall clock may have gone back (doc/design/members.md). */
static uint64_t spared(const qr_sim_disk *disk, const sim_file *file)
{
    size_t segments = 0;
    for (size_t i = 0; i < disk->durable.count; i++)
        segments += qr_sim_rot_is_segment(disk->durable.list[i].name);
    return segments == 1 && file == newest_segment(disk) ? BLOCK : 0;
}

/* ------------------------------------------------------------ writes astray ---- */

static void undo_free(sim_file *file)
{
    for (size_t i = 0; i < file->undo_count; i++)
        qr_free(file->undo[i].bytes);
    file->undo_count = 0;
}

void qr_sim_rot_free(sim_file *file)
{
    undo_free(file);
}

static void write_both(sim_file *file, uint64_t offset, const uint8_t *bytes, size_t size)
{
    qr_sim_image_write(&file->durable, offset, bytes, size);
    qr_sim_image_write(&file->current, offset, bytes, size);
}

static sim_write copy_of(const sim_image *image, uint64_t offset, size_t size)
{
    sim_write copy = {.offset = offset, .size = size, .bytes = qr_alloc_zero(1, size)};
    size_t there = image->size > offset ? image->size - (size_t)offset : 0;
    if (there > 0)
        memcpy(copy.bytes, image->data + offset, there < size ? there : size);
    return copy;
}

bool qr_sim_rot_lies(qr_sim_disk *disk, const qr_disk_op *op)
{
    bool appends =
        op->kind == QR_DISK_WRITE_SYNC && op->lane == QR_LANE_LOG && qr_sim_rot_is_segment(op->name);
    return (appends || is_part(op->name)) && disk->faults.lies_in > 0 && --disk->faults.lies_in == 0;
}

void qr_sim_rot_before_lie(qr_sim_disk *disk, const sim_file *file, sim_write *old)
{
    const sim_write *write = &file->writes[file->write_count - 1];
    uint64_t from = write->offset + qr_prng_below(&disk->prng, write->size);
    from -= from % QR_SIM_SECTOR;
    uint64_t to = from + QR_SIM_SECTOR, end = write->offset + write->size;
    from = from > write->offset ? from : write->offset;
    *old = copy_of(&file->durable, from, (size_t)((to < end ? to : end) - from));
}

/* It goes astray to a place before its own, so that whatever proves the one proves the other. */
void qr_sim_rot_lie(qr_sim_disk *disk, sim_file *file, sim_write *old)
{
    undo_free(file);
    sim_write right = copy_of(&file->current, old->offset, old->size);
    write_both(file, old->offset, old->bytes, old->size);
    qr_free(old->bytes);
    file->undo[file->undo_count++] = right;
    uint64_t first = spared(disk, file) / QR_SIM_SECTOR, end = right.offset / QR_SIM_SECTOR;
    if (!disk->faults.misdirects || end <= first)
        return;
    uint64_t target = (first + qr_prng_below(&disk->prng, end - first)) * QR_SIM_SECTOR;
    file->undo[file->undo_count++] = copy_of(&file->durable, target, right.size);
    write_both(file, target, right.bytes, right.size);
}

void qr_sim_rot_appended(sim_file *file, uint64_t offset)
{
    file->proved = offset;
    if (file->undo_count > 0 && offset > file->undo[0].offset)
        undo_free(file);
}

void qr_sim_rot_crash(qr_sim_disk *disk)
{
    const sim_file *newest = newest_segment(disk);
    for (size_t i = 0; i < disk->file_count; i++) {
        sim_file *file = disk->files[i];
        for (size_t n = 0; file == newest && n < file->undo_count; n++)
            write_both(file, file->undo[n].offset, file->undo[n].bytes, file->undo[n].size);
        undo_free(file);
    }
}

/* ------------------------------------------------------------ bytes that rot ---- */

bool qr_sim_rot_hides(const sim_file *file, uint64_t offset, uint64_t size)
{
    return offset < file->hole.to && offset + size > file->hole.from;
}

static bool is_in_zone(const qr_sim_disk *disk, const sim_name *name, qr_sim_zone zone)
{
    bool segment = qr_sim_rot_is_segment(name->name);
    bool newest = segment && name->file == newest_segment(disk);
    switch (zone) {
    case QR_SIM_ZONE_LOG_HEAD: return segment;
    case QR_SIM_ZONE_LOG_MIDDLE: return segment && !newest;
    case QR_SIM_ZONE_LOG_TAIL: return newest;
    case QR_SIM_ZONE_NEWEST:
    case QR_SIM_ZONE_OLDER: return has_prefix(name->name, "checkpoint-") && !is_part(name->name);
    case QR_SIM_ZONE_PART: return is_part(name->name);
    default: return has_prefix(name->name, "spare-");
    }
}

static sim_file *choose(qr_sim_disk *disk, qr_sim_zone zone)
{
    size_t count = 0;
    for (size_t i = 0; i < disk->current.count; i++)
        count += is_in_zone(disk, &disk->current.list[i], zone);
    size_t wanted = zone == QR_SIM_ZONE_NEWEST  ? count - 1
                    : zone == QR_SIM_ZONE_OLDER ? count - 2
                    : count                     ? (size_t)qr_prng_below(&disk->prng, count)
                                                : 0;
    if (wanted >= count)
        return NULL;
    for (size_t i = 0;; i++)
        if (is_in_zone(disk, &disk->current.list[i], zone) && wanted-- == 0)
            return disk->current.list[i].file;
}

static void spoil(sim_image *image, uint64_t from, uint64_t to, uint8_t keep, uint8_t flip)
{
    for (; from < to && from < image->size; from++)
        image->data[from] = (uint8_t)((image->data[from] & keep) ^ flip);
}

static uint64_t size_of(qr_sim_disk *disk, qr_sim_rot rot)
{
    switch (rot) {
    case QR_SIM_ROT_FLIP: return 1;
    case QR_SIM_ROT_SECTOR: return QR_SIM_SECTOR;
    case QR_SIM_ROT_SCRAMBLE: return qr_prng_between(&disk->prng, 1, BLOCK);
    default: return BLOCK;
    }
}

bool qr_sim_disk_rot(qr_sim_disk *disk, qr_sim_zone zone, qr_sim_rot rot)
{
    sim_file *file = choose(disk, zone);
    if (file == NULL)
        return false;
    uint64_t end = file->current.size;
    if (file == newest_segment(disk) && rot != QR_SIM_ROT_UNREADABLE)
        end = file->proved;
    uint64_t limit = zone == QR_SIM_ZONE_LOG_HEAD && end > BLOCK ? BLOCK : end, first = spared(disk, file);
    if (limit <= first)
        return false;
    uint64_t from = first + qr_prng_below(&disk->prng, limit - first), size = size_of(disk, rot);
    if (rot == QR_SIM_ROT_SECTOR || rot == QR_SIM_ROT_BLOCK || rot == QR_SIM_ROT_UNREADABLE)
        from -= from % size;
    uint64_t to = from + size < end ? from + size : end;
    bool zero = rot == QR_SIM_ROT_SECTOR || rot == QR_SIM_ROT_BLOCK;
    if (rot == QR_SIM_ROT_UNREADABLE) {
        file->hole.from = from;
        file->hole.to = to;
        return true;
    }
    uint8_t flip = zero ? 0 : (uint8_t)(1 << qr_prng_below(&disk->prng, 8));
    spoil(&file->current, from, to, zero ? 0 : 0xff, flip);
    spoil(&file->durable, from, to, zero ? 0 : 0xff, flip);
    return true;
}
