#include "sim/disk_inside.h"

/* Every file is kept twice: as the process sees it (current) and as it would be found after a power failure
 * in which nothing was lucky (durable), with the writes between the two. */

enum {
    NEIGHBOURHOOD = 64,           /* bytes around a write that .durable() is shown */
    OVERLOADED = 12,              /* operations without a break */
    LATENCY_US_MAX = 2 * 1000000, /* of one operation, however slow the disk is */
};

/* ---------------------------------------------------------------- images ---- */

void qr_sim_image_write(sim_image *image, uint64_t offset, const uint8_t *bytes, size_t size)
{
    size_t end = (size_t)offset + size;
    if (size == 0)
        return;
    if (end > image->room) {
        size_t room = image->room ? image->room : 4096;
        while (room < end)
            room *= 2;
        image->data = qr_realloc(image->data, room);
        image->room = room;
    }
    if (end > image->size) {
        if (offset > image->size)
            memset(image->data + image->size, 0, (size_t)offset - image->size);
        image->size = end;
    }
    memcpy(image->data + offset, bytes, size);
}

static void image_copy(sim_image *target, const sim_image *source)
{
    target->size = 0;
    qr_sim_image_write(target, 0, source->data, source->size);
}

static void tell_durable(qr_sim_disk *disk, const sim_file *file, uint64_t offset, size_t size)
{
    if (disk->config.durable == NULL || size == 0)
        return;
    size_t from = offset > NEIGHBOURHOOD ? (size_t)offset - NEIGHBOURHOOD : 0;
    size_t to = (size_t)offset + size + NEIGHBOURHOOD;
    if (to > file->durable.size)
        to = file->durable.size;
    disk->config.durable(disk->config.context, qr_slice_of(file->durable.data + from, to - from));
}

/* --------------------------------------------------------------- folders ---- */

static size_t folder_find(const sim_folder *folder, const char *name, bool *found)
{
    size_t low = 0, high = folder->count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(folder->list[middle].name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static sim_file *folder_get(const sim_folder *folder, const char *name)
{
    bool found;
    size_t at = folder_find(folder, name, &found);
    return found ? folder->list[at].file : NULL;
}

static void folder_set(sim_folder *folder, const char *name, sim_file *file)
{
    bool found;
    size_t at = folder_find(folder, name, &found);
    if (!found) {
        if (folder->count == folder->room) {
            folder->room = folder->room ? folder->room * 2 : 16;
            folder->list = qr_realloc(folder->list, folder->room * sizeof *folder->list);
        }
        memmove(&folder->list[at + 1], &folder->list[at], (folder->count - at) * sizeof *folder->list);
        folder->count++;
        memset(folder->list[at].name, 0, QR_DISK_NAME_MAX);
        memcpy(folder->list[at].name, name, strlen(name));
    }
    folder->list[at].file = file;
}

static void folder_remove(sim_folder *folder, const char *name)
{
    bool found;
    size_t at = folder_find(folder, name, &found);
    if (!found)
        return;
    folder->count--;
    memmove(&folder->list[at], &folder->list[at + 1], (folder->count - at) * sizeof *folder->list);
}

static void folder_copy(sim_folder *target, const sim_folder *source)
{
    if (target->room < source->count) {
        target->room = source->count;
        target->list = qr_realloc(target->list, target->room * sizeof *target->list);
    }
    target->count = source->count;
    if (source->count)
        memcpy(target->list, source->list, source->count * sizeof *target->list);
}

static void folder_apply(sim_folder *folder, const sim_change *change)
{
    switch (change->kind) {
    case QR_DISK_CREATE: folder_set(folder, change->name, change->file); break;
    case QR_DISK_REMOVE: folder_remove(folder, change->name); break;
    default:
        QR_ASSERT(change->kind == QR_DISK_RENAME);
        folder_remove(folder, change->name);
        folder_set(folder, change->name_to, change->file);
    }
}

static void file_free(sim_file *file)
{
    for (size_t i = 0; i < file->write_count; i++)
        qr_free(file->writes[i].bytes);
    qr_free(file->writes);
    qr_free(file->synced.bytes);
    qr_sim_rot_free(file);
    qr_free(file->current.data);
    qr_free(file->durable.data);
    qr_free(file);
}

/* Frees the files that no name leads to any more. Only when no change is pending. */
static void collect(qr_sim_disk *disk)
{
    QR_ASSERT(disk->change_count == 0);
    for (size_t i = 0; i < disk->current.count; i++)
        disk->current.list[i].file->seen = true;
    size_t kept = 0;
    for (size_t i = 0; i < disk->file_count; i++) {
        sim_file *file = disk->files[i];
        if (!file->seen) {
            file_free(file);
            continue;
        }
        file->seen = false;
        disk->files[kept++] = file;
    }
    disk->file_count = kept;
}

static void change(qr_sim_disk *disk, const qr_disk_op *op, sim_file *file)
{
    if (disk->change_count == disk->change_room) {
        disk->change_room = disk->change_room ? disk->change_room * 2 : 16;
        disk->changes = qr_realloc(disk->changes, disk->change_room * sizeof *disk->changes);
    }
    sim_change *added = &disk->changes[disk->change_count++];
    *added = (sim_change){.kind = op->kind, .file = file};
    memcpy(added->name, op->name, QR_DISK_NAME_MAX);
    memcpy(added->name_to, op->name_to, QR_DISK_NAME_MAX);
    folder_apply(&disk->current, added);
}

/* ------------------------------------------------------------ operations ---- */

static qr_status do_create(qr_sim_disk *disk, const qr_disk_op *op)
{
    if (folder_get(&disk->current, op->name) != NULL)
        return QR_E_EXISTS;
    if (disk->file_count == disk->file_room) {
        disk->file_room = disk->file_room ? disk->file_room * 2 : 16;
        disk->files = qr_realloc(disk->files, disk->file_room * sizeof(sim_file *));
    }
    sim_file *file = qr_alloc_zero(1, sizeof *file);
    disk->files[disk->file_count++] = file;
    change(disk, op, file);
    return QR_OK;
}

static qr_status do_write(qr_sim_disk *disk, const qr_disk_op *op, size_t size)
{
    sim_file *file = folder_get(&disk->current, op->name);
    if (file == NULL)
        return QR_E_NOT_FOUND;
    if (size == 0)
        return QR_OK;
    if (file->write_count == file->write_room) {
        file->write_room = file->write_room ? file->write_room * 2 : 8;
        file->writes = qr_realloc(file->writes, file->write_room * sizeof *file->writes);
    }
    sim_write *added = &file->writes[file->write_count++];
    *added = (sim_write){.offset = op->offset, .size = size, .bytes = qr_alloc(size)};
    memcpy(added->bytes, op->bytes.data, size);
    if (qr_sim_rot_hides(file, op->offset, size))
        file->hole.from = file->hole.to = 0;
    qr_sim_image_write(&file->current, op->offset, op->bytes.data, size);
    return QR_OK;
}

/* As far as a crash goes, a write of zeros. */
static qr_status do_reserve(qr_sim_disk *disk, const qr_disk_op *op)
{
    sim_file *file = folder_get(&disk->current, op->name);
    if (file == NULL)
        return QR_E_NOT_FOUND;
    if (disk->config.reserves_nothing)
        return QR_E_UNSUPPORTED;
    qr_disk_op write = *op;
    write.offset = file->current.size;
    size_t size = op->size > write.offset ? (size_t)(op->size - write.offset) : 0;
    uint8_t *zeros = qr_alloc_zero(1, size + 1);
    write.bytes = qr_slice_of(zeros, size);
    qr_status status = do_write(disk, &write, size);
    qr_free(zeros);
    return status;
}

static qr_status do_sync(qr_sim_disk *disk, const qr_disk_op *op)
{
    sim_file *file = folder_get(&disk->current, op->name);
    if (file == NULL)
        return QR_E_NOT_FOUND;
    bool fails = disk->faults.sync_fails_in > 0 && --disk->faults.sync_fails_in == 0;
    bool lies = !fails && file->write_count > 0 && qr_sim_rot_lies(disk, op);
    sim_write old = {0};
    if (lies)
        qr_sim_rot_before_lie(disk, file, &old);
    size_t kept = 0;
    for (size_t i = 0; i < file->write_count; i++) {
        sim_write write = file->writes[i];
        if (fails || write.doomed) {
            write.doomed = true;
            file->writes[kept++] = write;
            continue;
        }
        qr_sim_image_write(&file->durable, write.offset, write.bytes, write.size);
        tell_durable(disk, file, write.offset, write.size);
        qr_free(file->synced.bytes);
        file->synced = write;
    }
    file->write_count = kept;
    bool appends = op->kind == QR_DISK_WRITE_SYNC && op->lane == QR_LANE_LOG;
    if (!fails && appends && qr_sim_rot_is_segment(op->name))
        qr_sim_rot_appended(file, op->offset);
    if (lies)
        qr_sim_rot_lie(disk, file, &old);
    return fails ? QR_E_IO : QR_OK;
}

static qr_status do_read(qr_sim_disk *disk, qr_disk_op *op)
{
    const sim_file *file = folder_get(&disk->current, op->name);
    if (file == NULL)
        return QR_E_NOT_FOUND;
    if (op->offset >= file->current.size)
        return QR_OK;
    uint64_t left = file->current.size - op->offset;
    if (qr_sim_rot_hides(file, op->offset, op->size))
        return QR_E_IO;
    op->got = op->size < left ? op->size : left;
    if (op->got)
        memcpy(op->target, file->current.data + op->offset, (size_t)op->got);
    return QR_OK;
}

static qr_status do_folder(qr_sim_disk *disk, const qr_disk_op *op)
{
    if (op->kind == QR_DISK_SYNC_FOLDER) {
        folder_copy(&disk->durable, &disk->current);
        disk->change_count = 0;
        collect(disk);
        return QR_OK;
    }
    sim_file *file = folder_get(&disk->current, op->name);
    if (file == NULL)
        return QR_E_NOT_FOUND;
    change(disk, op, file);
    return QR_OK;
}

static bool lacks_space(qr_sim_disk *disk, const qr_disk_op *op)
{
    bool takes_space = op->kind == QR_DISK_CREATE || op->kind == QR_DISK_RESERVE ||
                       op->kind == QR_DISK_WRITE || op->kind == QR_DISK_WRITE_SYNC;
    return takes_space && op->lane == QR_LANE_BACKGROUND && disk->faults.no_space_per_million > 0 &&
           qr_prng_chance(&disk->prng, disk->faults.no_space_per_million);
}

static void carry_out(qr_sim_disk *disk, qr_disk_op *op, bool may_lack_space)
{
    bool writes = op->kind == QR_DISK_WRITE || op->kind == QR_DISK_WRITE_SYNC;
    op->got = 0;
    if (may_lack_space && lacks_space(disk, op)) {
        if (writes) /* the part that still fitted */
            do_write(disk, op, (size_t)qr_prng_below(&disk->prng, op->bytes.size + 1));
        op->status = QR_E_NO_SPACE;
    } else if (writes && disk->faults.write_fails_in > 0 && --disk->faults.write_fails_in == 0) {
        do_write(disk, op, (size_t)qr_prng_below(&disk->prng, op->bytes.size + 1));
        op->status = QR_E_IO;
    } else {
        switch (op->kind) {
        case QR_DISK_CREATE: op->status = do_create(disk, op); break;
        case QR_DISK_RESERVE: op->status = do_reserve(disk, op); break;
        case QR_DISK_WRITE: op->status = do_write(disk, op, op->bytes.size); break;
        case QR_DISK_SYNC: op->status = do_sync(disk, op); break;
        case QR_DISK_WRITE_SYNC:
            op->status = do_write(disk, op, op->bytes.size);
            if (op->status == QR_OK)
                op->status = do_sync(disk, op);
            break;
        case QR_DISK_READ: op->status = do_read(disk, op); break;
        default: op->status = do_folder(disk, op); break;
        }
    }
    disk->operations++;
    if (disk->config.done)
        disk->config.done(disk->config.context, op);
}

/* ------------------------------------------------------------------- edge ---- */

/* One more point at which the power may fail; false: it has failed. */
static bool alive(qr_sim_disk *disk)
{
    if (!disk->dead && disk->faults.crash_in > 0 && --disk->faults.crash_in == 0)
        disk->dead = true;
    return !disk->dead;
}

static uint64_t latency_us(qr_sim_disk *disk, const qr_disk_op *op)
{
    bool syncs =
        op->kind == QR_DISK_SYNC || op->kind == QR_DISK_WRITE_SYNC || op->kind == QR_DISK_SYNC_FOLDER;
    uint64_t us = syncs ? qr_prng_between(&disk->prng, disk->config.sync_us_min, disk->config.sync_us_max)
                        : qr_prng_between(&disk->prng, 5, 100);
    if (!disk->faults.steady && disk->config.slow_per_million &&
        qr_prng_chance(&disk->prng, disk->config.slow_per_million))
        us = qr_prng_between(&disk->prng, us, 1000 * 1000);
    if (disk->faults.slow_factor)
        us *= disk->faults.slow_factor;
    us = us < LATENCY_US_MAX ? us : LATENCY_US_MAX;
    us += disk->faults.stall_us;
    disk->faults.stall_us = 0;
    return us;
}

static void start_next(qr_sim_disk *disk)
{
    if (disk->busy != NULL || disk->dead)
        return;
    qr_disk_lane lane = disk->head[QR_LANE_LOG] ? QR_LANE_LOG : QR_LANE_BACKGROUND;
    qr_disk_op *op = disk->head[lane];
    if (op == NULL)
        return;
    disk->head[lane] = op->next;
    if (op->next == NULL)
        disk->tail[lane] = NULL;
    disk->busy = op;
    disk->config.schedule(disk->config.context, latency_us(disk, op));
}

static void edge_submit(void *self, qr_disk_op *op)
{
    qr_sim_disk *disk = self;
    QR_ASSERT(op->lane < QR_LANE_COUNT && op->done != NULL);
    op->next = NULL;
    if (disk->tail[op->lane])
        disk->tail[op->lane]->next = op;
    else
        disk->head[op->lane] = op;
    disk->tail[op->lane] = op;
    if (alive(disk))
        start_next(disk);
}

static void edge_run(void *self, qr_disk_op *op)
{
    qr_sim_disk *disk = self;
    op->status = QR_E_IO;
    op->got = 0;
    if (!alive(disk))
        return;
    carry_out(disk, op, false);
    if (!alive(disk)) /* done, but nobody is left to hear of it */
        op->status = QR_E_IO;
}

static qr_status edge_list(void *self, void (*visit)(void *context, const char *name, uint64_t size),
                           void *context)
{
    qr_sim_disk *disk = self;
    if (!alive(disk))
        return QR_E_IO;
    for (size_t i = 0; i < disk->current.count; i++)
        visit(context, disk->current.list[i].name, disk->current.list[i].file->current.size);
    return QR_OK;
}

void qr_sim_disk_finish(qr_sim_disk *disk)
{
    qr_disk_op *op = disk->busy;
    if (disk->dead || op == NULL)
        return;
    carry_out(disk, op, true);
    if (!alive(disk)) {
        disk->busy = NULL; /* it was done before the power failed */
        return;
    }
    disk->busy = NULL;
    if (op->status == QR_E_IO && op->kind != QR_DISK_READ)
        disk->failed = true;
    op->done(op);
    start_next(disk);
    disk->row = disk->busy ? disk->row + 1 : 0;
}

bool qr_sim_disk_overloaded(const qr_sim_disk *disk)
{
    return disk->row >= OVERLOADED;
}

/* ------------------------------------------------------------------ crash ---- */

typedef enum sim_luck { LUCK_NONE, LUCK_ALL, LUCK_MIXED } sim_luck;

static sim_luck draw_luck(qr_sim_disk *disk)
{
    uint64_t draw = qr_prng_below(&disk->prng, 10);
    return draw < 4 ? LUCK_NONE : draw < 6 ? LUCK_ALL : LUCK_MIXED;
}

/* Opening a log writes its last chunk again, which may be acknowledged: the same bytes over the same bytes,
 * at whatever sector the power fails. */
static bool repeats(const sim_file *file, const sim_write *write)
{
    return file->durable.size >= write->offset + write->size &&
           memcmp(file->durable.data + write->offset, write->bytes, write->size) == 0;
}

/* The write went wrong in a way that leaves well-formed bytes: those of the write before it, once more. */
static void leave_stale(sim_file *file, const sim_write *write)
{
    const sim_write *old = &file->synced;
    if (file->durable.size >= write->offset && !repeats(file, write))
        qr_sim_image_write(&file->durable, write->offset, old->bytes,
                           old->size < write->size ? old->size : write->size);
}

/* Sector by sector: some of a write is on the disk, some is not. */
static void tear(qr_sim_disk *disk, sim_file *file, const sim_write *write)
{
    uint64_t at = write->offset, end = write->offset + write->size;
    while (at < end) {
        uint64_t border = (at / QR_SIM_SECTOR + 1) * QR_SIM_SECTOR;
        uint64_t stop = border < end ? border : end;
        if (qr_prng_below(&disk->prng, 2))
            qr_sim_image_write(&file->durable, at, write->bytes + (at - write->offset), (size_t)(stop - at));
        at = stop;
    }
}

static void crash_file(qr_sim_disk *disk, sim_file *file, bool keep_all)
{
    if (file->write_count == 0)
        return;
    sim_luck luck = keep_all ? LUCK_ALL : draw_luck(disk);
    for (size_t i = 0; i < file->write_count; i++) {
        const sim_write *write = &file->writes[i];
        uint64_t draw = luck == LUCK_MIXED ? qr_prng_below(&disk->prng, 3) : 0;
        if (luck == LUCK_ALL || (luck == LUCK_MIXED && draw == 0))
            qr_sim_image_write(&file->durable, write->offset, write->bytes, write->size);
        else if (luck == LUCK_MIXED && draw == 1)
            tear(disk, file, write);
        else if (disk->config.stale_writes && (luck == LUCK_MIXED || qr_prng_below(&disk->prng, 2)))
            leave_stale(file, write);
        if (file->durable.size > write->offset) {
            size_t there = file->durable.size - (size_t)write->offset;
            tell_durable(disk, file, write->offset, write->size < there ? write->size : there);
        }
        qr_free(write->bytes);
    }
    file->write_count = 0;
    image_copy(&file->current, &file->durable);
}

static void crash_folder(qr_sim_disk *disk, bool keep_all)
{
    sim_luck luck = keep_all ? LUCK_ALL : draw_luck(disk);
    size_t prefix = luck == LUCK_ALL    ? disk->change_count
                    : luck == LUCK_NONE ? 0
                                        : (size_t)qr_prng_below(&disk->prng, disk->change_count + 1);
    for (size_t i = 0; i < disk->change_count; i++) {
        bool kept =
            luck == LUCK_MIXED && !disk->config.folder_prefix ? qr_prng_below(&disk->prng, 2) : i < prefix;
        if (kept)
            folder_apply(&disk->durable, &disk->changes[i]);
    }
    disk->change_count = 0;
    folder_copy(&disk->current, &disk->durable);
    collect(disk);
}

/* The operation under way when the power failed may or may not have been done. */
static void crash_busy(qr_sim_disk *disk, bool kill)
{
    qr_disk_op *op = disk->busy;
    disk->busy = NULL;
    if (op == NULL)
        return;
    bool whole = kill || qr_prng_below(&disk->prng, 2);
    if (op->kind == QR_DISK_WRITE_SYNC && !whole)
        do_write(disk, op, op->bytes.size);
    else if (op->kind != QR_DISK_READ && (whole || op->kind == QR_DISK_WRITE))
        carry_out(disk, op, false);
}

void qr_sim_disk_crash(qr_sim_disk *disk, bool kill)
{
    disk->faults.sync_fails_in = disk->faults.write_fails_in = 0;
    crash_busy(disk, kill);
    for (int lane = 0; lane < QR_LANE_COUNT; lane++)
        disk->head[lane] = disk->tail[lane] = NULL;
    if (!kill) {
        for (size_t i = 0; i < disk->file_count; i++)
            crash_file(disk, disk->files[i], false);
        crash_folder(disk, false);
    }
    qr_sim_rot_crash(disk);
    disk->dead = disk->failed = false;
    disk->faults.crash_in = disk->faults.lies_in = 0;
}

/* ------------------------------------------------------------------ object ---- */

qr_sim_disk *qr_sim_disk_open(const qr_sim_disk_config *config)
{
    QR_ASSERT(config->schedule != NULL && config->sync_us_min <= config->sync_us_max);
    qr_sim_disk *disk = qr_alloc_zero(1, sizeof *disk);
    disk->config = *config;
    qr_prng_seed(&disk->prng, config->seed);
    return disk;
}

void qr_sim_disk_free(qr_sim_disk *disk)
{
    if (disk == NULL)
        return;
    for (size_t i = 0; i < disk->file_count; i++)
        file_free(disk->files[i]);
    qr_free(disk->files);
    qr_free(disk->current.list);
    qr_free(disk->durable.list);
    qr_free(disk->changes);
    qr_free(disk);
}

qr_disk qr_sim_disk_edge(qr_sim_disk *disk)
{
    return (qr_disk){.self = disk, .submit = edge_submit, .run = edge_run, .list = edge_list};
}

qr_sim_disk_faults *qr_sim_disk_faults_of(qr_sim_disk *disk)
{
    return &disk->faults;
}
bool qr_sim_disk_dead(const qr_sim_disk *disk)
{
    return disk->dead;
}
bool qr_sim_disk_failed(const qr_sim_disk *disk)
{
    return disk->failed;
}
uint64_t qr_sim_disk_operations(const qr_sim_disk *disk)
{
    return disk->operations;
}

uint64_t qr_sim_disk_digest(const qr_sim_disk *disk)
{
    uint64_t digest = 0;
    for (size_t i = 0; i < disk->durable.count; i++) {
        const sim_name *name = &disk->durable.list[i];
        digest = qr_hash_mix(digest, qr_hash(qr_slice_text(name->name), 0));
        digest =
            qr_hash_mix(digest, qr_hash(qr_slice_of(name->file->durable.data, name->file->durable.size), 0));
    }
    return digest;
}
