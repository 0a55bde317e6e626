/* The files of a member that is gone as somebody might find them: one of them altered, gone, in the place of
 * another, or sealed again by a program with a bug. They are looked at as `quorate verify` does, which has to
 * come to an end with a verdict. Nothing is written. */
#include "sim/world.h"

/* doc/formats/wal.md, doc/formats/checkpoint.md. */
enum { HEAD_SUM_AT = 104, HEAD_SIZE_AT = 12, HEAD_SIZE = 112, SEGMENT_SEED = 0x77616c31 };
enum { CHECKPOINT_SEED = 0x636b7031, BLOCK_SIZE_AT = 16, BLOCK_HEAD = 24, BLOCK_ALIGN = 4096 };
enum { RECORD_HEAD = 56, RECORD_SIZE_AT = 48 };

typedef struct view {
    qr_sim_world *world;
    qr_disk under, shown;
    char name[QR_DISK_NAME_MAX]; /* the altered file */
    char other[QR_DISK_NAME_MAX];
    uint32_t files;
    qr_buffer bytes;     /* its content */
    uint64_t fails_from; /* offset that cannot be read; UINT64_MAX = all can */
    bool is_gone, is_twice, fails_list;
    void (*visit)(void *context, const char *name, uint64_t size);
    void *context;
} view;

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_malformed, bound);
}

/* ------------------------------------------------------------ the disk that is shown ---- */

static void show(void *context, const char *name, uint64_t size)
{
    view *v = context;
    bool is_it = strcmp(name, v->name) == 0;
    if (!is_it || !v->is_gone)
        v->visit(v->context, name, is_it ? v->bytes.size : size);
}

static qr_status list(void *self, void (*visit)(void *context, const char *name, uint64_t size),
                      void *context)
{
    view *v = self;
    if (v->fails_list)
        return QR_E_IO;
    v->visit = visit;
    v->context = context;
    qr_status status = v->under.list(v->under.self, show, v);
    if (v->is_twice)
        visit(context, "what-is-this", v->bytes.size);
    return status;
}

static void run(void *self, qr_disk_op *op)
{
    view *v = self;
    QR_ASSERT(op->kind == QR_DISK_READ);
    if (strcmp(op->name, v->name) != 0) {
        v->under.run(v->under.self, op);
        return;
    }
    uint64_t left = op->offset < v->bytes.size ? v->bytes.size - op->offset : 0;
    op->got = left < op->size ? left : op->size;
    op->status = v->is_gone                                              ? QR_E_NOT_FOUND
                 : op->size > 0 && op->offset + op->size > v->fails_from ? QR_E_IO
                                                                         : QR_OK;
    if (op->status == QR_OK && op->got > 0)
        memcpy(op->target, v->bytes.data + op->offset, (size_t)op->got);
}

/* ------------------------------------------------------------ what was altered ---- */

/* One of them at random, and another one before it. */
static void choose(void *context, const char *name, uint64_t size)
{
    view *v = context;
    if (below(v->world, ++v->files) > 0)
        return;
    memcpy(v->other, v->name, sizeof v->other);
    qr_disk_op op = {.kind = QR_DISK_READ, .size = size};
    memcpy(op.name, name, strlen(name) + 1);
    memcpy(v->name, op.name, sizeof v->name);
    qr_buffer_clear(&v->bytes);
    op.target = qr_buffer_reserve(&v->bytes, (size_t)size + 1);
    v->under.run(v->under.self, &op);
    v->bytes.size = op.status == QR_OK ? (size_t)op.got : 0;
}

static void alter_number(qr_sim_world *world, uint8_t *at, size_t size)
{
    static const uint8_t odd[] = {0, 1, 2, 3, 0x7f, 0xff};
    uint8_t *byte = at + below(world, size);
    *byte = below(world, 2) ? (uint8_t)(*byte + 1) : odd[below(world, sizeof odd)];
}

/* Often right behind a block, or a little later. */
static void cut(view *v)
{
    size_t end = (size_t)below(v->world, v->bytes.size + 1);
    if (below(v->world, 2))
        end -= end % BLOCK_ALIGN;
    if (below(v->world, 2) && end + RECORD_HEAD < v->bytes.size)
        end += (size_t)below(v->world, RECORD_HEAD);
    v->bytes.size = end;
}

/* Not sealed again; often in the head. */
static void rot(view *v)
{
    size_t most = below(v->world, 3) ? BLOCK_ALIGN : v->bytes.size;
    if (v->bytes.size > 0)
        alter_number(v->world, v->bytes.data, most < v->bytes.size ? most : v->bytes.size);
}

static void alter_head(view *v)
{
    if (v->bytes.size < HEAD_SIZE)
        return;
    uint8_t *at = v->bytes.data;
    bool is_segment = memcmp(at, "QRWAL", 5) == 0;
    alter_number(v->world, at + 8 + 4 * below(v->world, (HEAD_SUM_AT - 8) / 4), 4);
    qr_store_u64(at + HEAD_SUM_AT,
                 qr_hash(qr_slice_of(at, HEAD_SUM_AT), is_segment ? SEGMENT_SEED : CHECKPOINT_SEED));
}

static void alter_block(view *v)
{
    uint8_t *file = v->bytes.data;
    size_t head = qr_load_u32(file + HEAD_SIZE_AT), block = qr_load_u32(file + BLOCK_SIZE_AT);
    size_t count = (v->bytes.size - head + block - 1) / block;
    size_t begin = head + block * (size_t)below(v->world, count), left = v->bytes.size - begin;
    uint8_t *at = file + begin;
    if (left < BLOCK_ALIGN)
        return;
    if (below(v->world, 4) == 0)
        qr_store_u32(at + BLOCK_SIZE_AT, (uint32_t)below(v->world, 2) * 1000);
    alter_number(v->world, at + (below(v->world, 2) ? 16 : BLOCK_HEAD), below(v->world, 2) ? 8 : 24);
    size_t total = BLOCK_HEAD + qr_load_u32(at + BLOCK_SIZE_AT);
    total = (total + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    qr_store_u64(
        at, qr_hash(qr_slice_of(at + 8, (total < left ? total : left) - 8), qr_load_u64(file + HEAD_SUM_AT)));
}

/* The first one behind the head. */
static void alter_record(view *v)
{
    uint8_t *file = v->bytes.data;
    size_t head = qr_load_u32(file + HEAD_SIZE_AT), left = v->bytes.size - head;
    uint64_t seed = qr_load_u32(file + 8);
    for (size_t i = 0; i < 4; i++) /* cluster, group, member, incarnation */
        seed = qr_hash_mix(seed, qr_load_u64(file + 16 + 8 * i));
    uint8_t *at = file + head;
    alter_number(v->world, at + 8, RECORD_HEAD - 8);
    size_t total = (RECORD_HEAD + (size_t)qr_load_u32(at + RECORD_SIZE_AT) + 7) / 8 * 8;
    qr_store_u64(at, qr_hash(qr_slice_of(at + 8, (total < left ? total : left) - 8), seed));
}

/* Behind a head that has not rotted itself. */
static void alter_inside(view *v)
{
    const uint8_t *at = v->bytes.data;
    size_t head = v->bytes.size < HEAD_SIZE ? 0 : qr_load_u32(at + HEAD_SIZE_AT);
    if (head < HEAD_SIZE || v->bytes.size < head + 2 * (size_t)BLOCK_ALIGN)
        return;
    if (memcmp(at, "QRWAL", 5) == 0)
        alter_record(v);
    else if (memcmp(at, "QRCHKPNT", 8) == 0 && qr_load_u32(at + BLOCK_SIZE_AT) >= BLOCK_ALIGN)
        alter_block(v);
}

static void alter(view *v)
{
    static const uint8_t zeros[BLOCK_ALIGN];
    qr_sim_world *world = v->world;
    switch (below(world, 12)) {
    case 0: memcpy(v->name, v->other[0] ? v->other : v->name, sizeof v->name); break; /* in its place */
    case 1: v->is_gone = true; break;
    case 2: cut(v); break;
    case 3: v->fails_from = below(world, v->bytes.size + 1); break;
    case 4: v->is_twice = true; break;
    case 5: v->fails_list = true; break;
    case 6: qr_buffer_add(&v->bytes, zeros, sizeof zeros); break;
    case 7: alter_head(v); break;
    case 8: rot(v); break;
    default: alter_inside(v);
    }
}

void qr_sim_altered_look(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    for (int looks = 0; looks < 4; looks++) {
        view v = {.world = world, .under = qr_sim_disk_edge(node->disk), .fails_from = UINT64_MAX};
        v.shown = (qr_disk){.self = &v, .run = run, .list = list};
        qr_buffer_init(&v.bytes);
        v.under.list(v.under.self, choose, &v);
        if (v.files > 0) {
            alter(&v);
            world->config->verify(&v.shown);
        }
        qr_buffer_free(&v.bytes);
    }
}
