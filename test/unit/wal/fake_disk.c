#include "fake_disk.h"

#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512 };

static int find(const fake_entry *entries, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(entries[i].name, name) == 0)
            return i;
    return -1;
}

static void put_bytes(qr_buffer *buffer, uint64_t offset, const void *data, size_t size)
{
    if (buffer->size < offset + size) {
        size_t old = buffer->size;
        qr_buffer_extend(buffer, (size_t)(offset + size) - old);
        memset(buffer->data + old, 0, (size_t)(offset + size) - old);
    }
    if (size)
        memcpy(buffer->data + offset, data, size);
}

static void copy_buffer(qr_buffer *target, const qr_buffer *source)
{
    qr_buffer_clear(target);
    qr_buffer_add(target, source->data, source->size);
}

/* ---------------------------------------------------------- the folder ---- */

static void apply(fake_entry *entries, int *count, const fake_change *change)
{
    int at = find(entries, *count, change->name);
    if (change->kind == QR_DISK_CREATE) {
        if (at < 0) {
            QR_ASSERT(*count < FAKE_ENTRIES_MAX);
            at = (*count)++;
            memcpy(entries[at].name, change->name, sizeof entries[at].name);
        }
        entries[at].file = change->file;
        return;
    }
    if (at < 0 || entries[at].file != change->file)
        return; /* an earlier change was lost, and this one with it */
    if (change->kind == QR_DISK_RENAME) {
        int over = find(entries, *count, change->name_to);
        if (over >= 0) {
            entries[over] = entries[at];
            memcpy(entries[over].name, change->name_to, sizeof entries[over].name);
        } else {
            memcpy(entries[at].name, change->name_to, sizeof entries[at].name);
            return;
        }
    }
    entries[at] = entries[--*count];
}

static void change_folder(fake_disk *disk, const qr_disk_op *op, int file)
{
    QR_ASSERT(disk->change_count < FAKE_CHANGES_MAX);
    fake_change *change = &disk->changes[disk->change_count++];
    *change = (fake_change){.kind = op->kind, .file = file};
    memcpy(change->name, op->name, sizeof change->name);
    memcpy(change->name_to, op->name_to, sizeof change->name_to);
    apply(disk->now, &disk->now_count, change);
}

static void sync_folder(fake_disk *disk)
{
    memcpy(disk->durable, disk->now, sizeof disk->now);
    disk->durable_count = disk->now_count;
    disk->change_count = 0;
}

/* ----------------------------------------------------------- the files ---- */

static fake_file *file_of(const fake_disk *disk, const char *name)
{
    int at = find(disk->now, disk->now_count, name);
    return at < 0 ? NULL : disk->files[disk->now[at].file];
}

static void forget_writes(fake_file *file)
{
    for (size_t i = 0; i < file->write_count; i++)
        qr_buffer_free(&file->writes[i].bytes);
    qr_free(file->writes);
    file->writes = NULL;
    file->write_count = 0;
}

static void write_file(fake_file *file, const qr_disk_op *op)
{
    if (file->write_count == 0)
        copy_buffer(&file->durable, &file->now);
    file->writes = qr_realloc(file->writes, (file->write_count + 1) * sizeof *file->writes);
    fake_write *write = &file->writes[file->write_count++];
    *write = (fake_write){.offset = op->offset};
    qr_buffer_add_slice(&write->bytes, op->bytes);
    put_bytes(&file->now, op->offset, op->bytes.data, op->bytes.size);
}

static void sync_file(fake_file *file)
{
    forget_writes(file);
}

static bool is_full(const fake_disk *disk, const fake_file *file, const qr_disk_op *op)
{
    uint64_t sum = 0, size = op->offset + op->bytes.size;
    for (int i = 0; i < disk->now_count; i++)
        sum += disk->files[disk->now[i].file]->now.size;
    return disk->bytes_max > 0 && size > file->now.size && sum + size - file->now.size > disk->bytes_max;
}

/* As far as a crash goes, a write of zeros. */
static qr_status reserve(fake_disk *disk, fake_file *file, const qr_disk_op *op)
{
    if (disk->reserves_nothing)
        return QR_E_UNSUPPORTED;
    qr_disk_op write = *op;
    write.offset = file->now.size;
    size_t size = op->size > write.offset ? (size_t)(op->size - write.offset) : 0;
    uint8_t *zeros = qr_alloc_zero(1, size + 1);
    write.bytes = qr_slice_of(zeros, size);
    bool full = is_full(disk, file, &write);
    if (!full)
        write_file(file, &write);
    qr_free(zeros);
    return full ? QR_E_NO_SPACE : QR_OK;
}

/* ---------------------------------------------------------- operations ---- */

static qr_status carry_out(fake_disk *disk, qr_disk_op *op)
{
    fake_file *file = op->name[0] ? file_of(disk, op->name) : NULL;
    int at = op->name[0] ? find(disk->now, disk->now_count, op->name) : -1;
    switch (op->kind) {
    case QR_DISK_CREATE:
        if (file)
            return QR_E_EXISTS;
        QR_ASSERT(disk->file_count < FAKE_FILES_MAX);
        disk->files[disk->file_count] = qr_alloc_zero(1, sizeof(fake_file));
        change_folder(disk, op, disk->file_count++);
        return QR_OK;
    case QR_DISK_SYNC_FOLDER: sync_folder(disk); return QR_OK;
    default: break;
    }
    if (file == NULL)
        return QR_E_NOT_FOUND;
    switch (op->kind) {
    case QR_DISK_RESERVE: return reserve(disk, file, op);
    case QR_DISK_WRITE:
    case QR_DISK_WRITE_SYNC:
        if (is_full(disk, file, op))
            return QR_E_NO_SPACE;
        write_file(file, op);
        if (op->kind == QR_DISK_WRITE_SYNC)
            sync_file(file);
        break;
    case QR_DISK_SYNC: sync_file(file); break;
    case QR_DISK_READ:
        op->got = op->offset >= file->now.size ? 0 : file->now.size - op->offset;
        op->got = op->got < op->size ? op->got : op->size;
        if (op->got)
            memcpy(op->target, file->now.data + op->offset, (size_t)op->got);
        break;
    case QR_DISK_RENAME:
    case QR_DISK_REMOVE: change_folder(disk, op, disk->now[at].file); break;
    default: abort();
    }
    return QR_OK;
}

static void perform(fake_disk *disk, qr_disk_op *op)
{
    op->status = disk->before ? disk->before(disk->context, op) : QR_OK;
    op->got = 0;
    disk->ops++;
    if (op->status == QR_OK)
        op->status = carry_out(disk, op);
}

static void disk_run(void *self, qr_disk_op *op)
{
    perform(self, op);
}

static void disk_submit(void *self, qr_disk_op *op)
{
    fake_disk *disk = self;
    int *count = &disk->queued[op->lane];
    QR_ASSERT(*count < FAKE_QUEUE_MAX);
    for (int lane = 0; lane < QR_LANE_COUNT; lane++)
        for (int i = 0; i < disk->queued[lane]; i++)
            QR_CHECK(disk->queue[lane][i] != op, "an operation was submitted twice");
    disk->promised[op->lane][*count] = qr_hash(op->bytes, 0);
    disk->queue[op->lane][(*count)++] = op;
}

bool fake_disk_step(fake_disk *disk)
{
    int lane = disk->queued[QR_LANE_LOG] > 0 ? QR_LANE_LOG : QR_LANE_BACKGROUND;
    if (disk->queued[lane] == 0)
        return false;
    qr_disk_op *op = disk->queue[lane][0];
    QR_CHECK(disk->promised[lane][0] == qr_hash(op->bytes, 0),
             "bytes changed while an operation was under way");
    disk->queued[lane]--;
    memmove(&disk->queue[lane][0], &disk->queue[lane][1],
            sizeof disk->queue[lane] - sizeof disk->queue[lane][0]);
    memmove(&disk->promised[lane][0], &disk->promised[lane][1],
            sizeof disk->promised[lane] - sizeof disk->promised[lane][0]);
    perform(disk, op);
    op->done(op);
    return true;
}

void fake_disk_pump(fake_disk *disk)
{
    while (fake_disk_step(disk))
        ;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const fake_entry *)a)->name, ((const fake_entry *)b)->name);
}

static qr_status disk_list(void *self, void (*visit)(void *context, const char *name, uint64_t size),
                           void *context)
{
    fake_disk *disk = self;
    qsort(disk->now, (size_t)disk->now_count, sizeof disk->now[0], by_name);
    for (int i = 0; i < disk->now_count; i++)
        visit(context, disk->now[i].name, disk->files[disk->now[i].file]->now.size);
    return QR_OK;
}

/* -------------------------------------------------------------- crashes ---- */

void fake_disk_begin(fake_disk *disk, const qr_disk_op *op)
{
    qr_disk_op begun = *op;
    if (op->kind == QR_DISK_WRITE_SYNC)
        begun.kind = QR_DISK_WRITE;
    if (op->kind != QR_DISK_SYNC && op->kind != QR_DISK_SYNC_FOLDER && op->kind != QR_DISK_READ)
        carry_out(disk, &begun);
}

static void tear(qr_buffer *image, const fake_write *write, qr_prng *prng)
{
    uint64_t at = write->offset, end = write->offset + write->bytes.size;
    while (at < end) {
        uint64_t next = (at / SECTOR + 1) * SECTOR;
        if (next > end)
            next = end;
        if (qr_prng_chance(prng, 500000))
            put_bytes(image, at, write->bytes.data + (at - write->offset), (size_t)(next - at));
        at = next;
    }
}

static void crash_file(fake_file *file, fake_crash how, qr_prng *prng)
{
    if (file->write_count == 0)
        return;
    for (size_t i = 0; i < file->write_count; i++) {
        const fake_write *write = &file->writes[i];
        uint64_t chance = how == CRASH_RANDOM ? qr_prng_below(prng, 4) : 0;
        bool kept = how == CRASH_KEEP_ALL || how == CRASH_KEEP_DATA || (how == CRASH_RANDOM && chance == 1);
        if (kept)
            put_bytes(&file->durable, write->offset, write->bytes.data, write->bytes.size);
        else if (how == CRASH_RANDOM && chance == 2)
            tear(&file->durable, write, prng);
        else if (how == CRASH_RANDOM && chance == 3) /* the size came through, the bytes did not */
            put_bytes(&file->durable, write->offset + write->bytes.size, NULL, 0);
    }
    forget_writes(file);
    copy_buffer(&file->now, &file->durable);
}

void fake_disk_crash(fake_disk *disk, fake_crash how, qr_prng *prng)
{
    memset(disk->queued, 0, sizeof disk->queued);
    for (int i = 0; i < disk->file_count; i++)
        crash_file(disk->files[i], how, prng);
    for (int i = 0; i < disk->change_count; i++)
        if (how == CRASH_KEEP_ALL || how == CRASH_KEEP_FOLDER ||
            (how == CRASH_RANDOM && qr_prng_chance(prng, 500000)))
            apply(disk->durable, &disk->durable_count, &disk->changes[i]);
    memcpy(disk->now, disk->durable, sizeof disk->durable);
    disk->now_count = disk->durable_count;
    disk->change_count = 0;
}

static uint32_t sectors_of(const fake_write *write)
{
    return (uint32_t)((write->offset % SECTOR + write->bytes.size + SECTOR - 1) / SECTOR);
}

size_t fake_disk_unsynced(const fake_disk *disk, uint32_t sectors[], size_t room)
{
    size_t count = 0;
    for (int i = 0; i < disk->file_count; i++)
        for (size_t w = 0; w < disk->files[i]->write_count; w++, count++)
            if (count < room)
                sectors[count] = sectors_of(&disk->files[i]->writes[w]);
    for (int i = 0; i < disk->change_count; i++, count++)
        if (count < room)
            sectors[count] = 0;
    return count;
}

/* The part of the write in its n-th sector. */
static void put_sector(qr_buffer *image, const fake_write *write, uint32_t n)
{
    uint64_t begin = (write->offset / SECTOR + n) * SECTOR, end = begin + SECTOR;
    begin = begin > write->offset ? begin : write->offset;
    end = end < write->offset + write->bytes.size ? end : write->offset + write->bytes.size;
    put_bytes(image, begin, write->bytes.data + (begin - write->offset), (size_t)(end - begin));
}

static void meet_fate(qr_buffer *image, const fake_write *write, const fake_fate *fate)
{
    for (uint32_t n = 0; n < sectors_of(write); n++)
        if (fate->kind == FATE_KEPT || (fate->kind == FATE_HEAD && n < fate->sector) ||
            (fate->kind == FATE_HOLE && n != fate->sector))
            put_sector(image, write, n);
    if (fate->kind == FATE_SIZE || fate->kind == FATE_HOLE)
        put_bytes(image, write->offset + write->bytes.size, NULL, 0);
}

void fake_disk_crash_as(fake_disk *disk, const fake_fate fates[])
{
    size_t number = 0;
    memset(disk->queued, 0, sizeof disk->queued);
    for (int i = 0; i < disk->file_count; i++) {
        fake_file *file = disk->files[i];
        if (file->write_count == 0)
            continue;
        for (size_t w = 0; w < file->write_count; w++)
            meet_fate(&file->durable, &file->writes[w], &fates[number++]);
        forget_writes(file);
        copy_buffer(&file->now, &file->durable);
    }
    for (int i = 0; i < disk->change_count; i++)
        if (fates[number++].kind == FATE_KEPT)
            apply(disk->durable, &disk->durable_count, &disk->changes[i]);
    memcpy(disk->now, disk->durable, sizeof disk->durable);
    disk->now_count = disk->durable_count;
    disk->change_count = 0;
}

/* ---------------------------------------------------------------- life ---- */

fake_disk *fake_disk_new(void)
{
    fake_disk *disk = qr_alloc_zero(1, sizeof *disk);
    disk->disk = (qr_disk){.self = disk, .submit = disk_submit, .run = disk_run, .list = disk_list};
    return disk;
}

static bool is_named(const fake_disk *disk, int file)
{
    bool named = false;
    for (int i = 0; i < disk->now_count; i++)
        named = named || disk->now[i].file == file;
    for (int i = 0; i < disk->durable_count; i++)
        named = named || disk->durable[i].file == file;
    for (int i = 0; i < disk->change_count; i++)
        named = named || disk->changes[i].file == file;
    return named;
}

fake_disk *fake_disk_clone(const fake_disk *disk)
{
    fake_disk *copy = qr_alloc(sizeof *copy);
    *copy = *disk;
    copy->disk.self = copy;
    copy->before = NULL;
    copy->context = NULL;
    copy->ops = 0;
    memset(copy->queued, 0, sizeof copy->queued);
    for (int i = 0; i < disk->file_count; i++) {
        const fake_file *from = disk->files[i];
        fake_file *file = copy->files[i] = qr_alloc_zero(1, sizeof *file);
        if (!is_named(disk, i))
            continue;
        copy_buffer(&file->now, &from->now);
        if (from->write_count > 0)
            copy_buffer(&file->durable, &from->durable);
        file->write_count = from->write_count;
        file->writes = qr_alloc_zero(from->write_count, sizeof *file->writes);
        for (size_t w = 0; w < from->write_count; w++) {
            file->writes[w].offset = from->writes[w].offset;
            copy_buffer(&file->writes[w].bytes, &from->writes[w].bytes);
        }
    }
    return copy;
}

void fake_disk_free(fake_disk *disk)
{
    for (int i = 0; i < disk->file_count; i++) {
        forget_writes(disk->files[i]);
        qr_buffer_free(&disk->files[i]->now);
        qr_buffer_free(&disk->files[i]->durable);
        qr_free(disk->files[i]);
    }
    qr_free(disk);
}

qr_buffer *fake_disk_file(fake_disk *disk, const char *name)
{
    fake_file *file = file_of(disk, name);
    return file ? &file->now : NULL;
}

static void digest_file(void *context, const char *name, uint64_t size)
{
    uint64_t *digest = ((void **)context)[0];
    fake_disk *disk = ((void **)context)[1];
    *digest = qr_hash_mix(*digest, qr_hash(qr_slice_text(name), size));
    *digest = qr_hash_mix(*digest, qr_hash(qr_buffer_slice(fake_disk_file(disk, name)), 0));
}

uint64_t fake_disk_digest(const fake_disk *disk)
{
    uint64_t digest = 0;
    void *context[2] = {&digest, (void *)disk};
    disk_list((void *)disk, digest_file, context);
    return digest;
}
