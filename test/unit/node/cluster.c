#include "cluster.h"

#include <stdlib.h>

#include "raft/raft.h"

/* --------------------------------------------- a machine that remembers ---- */

typedef struct ledger {
    qr_machine base;
    qr_buffer text;         /* zero-terminated behind its size */
    uint64_t digest;        /* rolls over what is added, and is blind to what becomes of it */
    size_t saved, save_end; /* of the save under way */
} ledger;

static void ledger_add(ledger *machine, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        machine->digest = qr_hash_mix(machine->digest, ((const uint8_t *)bytes)[i]);
    qr_buffer_add(&machine->text, bytes, size);
    *(char *)qr_buffer_reserve(&machine->text, 1) = 0;
}

static qr_status ledger_apply(qr_machine *base, uint64_t index, const qr_command *command, qr_arena *arena,
                              const void **result)
{
    ledger_add((ledger *)base, command->body.data, 1);
    return QR_OK;
}
static qr_status ledger_query(qr_machine *base, const void *query, qr_arena *arena, const void **result)
{
    *result = ((ledger *)base)->text.data;
    return QR_OK;
}
static uint64_t ledger_digest(const qr_machine *base)
{
    return ((const ledger *)base)->digest;
}
static uint64_t ledger_revision(const qr_machine *base)
{
    return ((const ledger *)base)->text.size;
}
static bool ledger_upkeep(qr_machine *machine, int64_t wall_ms, qr_buffer *body)
{
    return false;
}
static bool ledger_work(qr_machine *machine, size_t budget)
{
    return false;
}
static qr_status ledger_save_begin(qr_machine *base)
{
    ledger *machine = (ledger *)base;
    machine->saved = 0;
    machine->save_end = machine->text.size;
    return QR_OK;
}
static qr_status ledger_save_next(qr_machine *base, size_t budget, qr_buffer *out, bool *done)
{
    ledger *machine = (ledger *)base;
    size_t left = machine->save_end - machine->saved, part = left < 50 ? left : 50;
    qr_buffer_u8(out, '!');
    qr_buffer_add(out, machine->text.data + machine->saved, part);
    machine->saved += part;
    *done = machine->saved == machine->save_end;
    return QR_OK;
}
static uint64_t ledger_save_sum(const qr_machine *base)
{
    const ledger *machine = (const ledger *)base;
    return qr_hash(qr_slice_of(machine->text.data, machine->save_end), 0);
}
static void ledger_save_end(qr_machine *base) {}
static qr_status ledger_load(qr_machine *base, qr_slice chunk, bool last)
{
    if (chunk.size == 0 || chunk.data[0] != '!')
        return QR_E_CORRUPT;
    ledger_add((ledger *)base, chunk.data + 1, chunk.size - 1);
    return QR_OK;
}
static const char *ledger_broken(const qr_machine *base)
{
    return NULL;
}
static void ledger_free(qr_machine *base)
{
    qr_buffer_free(&((ledger *)base)->text);
    qr_free(base);
}

static const qr_machine_ops ledger_ops = {
    .name = "ledger",
    .apply = ledger_apply,
    .query = ledger_query,
    .digest = ledger_digest,
    .revision = ledger_revision,
    .upkeep = ledger_upkeep,
    .work = ledger_work,
    .save_begin = ledger_save_begin,
    .save_next = ledger_save_next,
    .save_sum = ledger_save_sum,
    .save_end = ledger_save_end,
    .load = ledger_load,
    .broken = ledger_broken,
    .free = ledger_free,
};

static qr_machine *new_ledger(void *context)
{
    ledger *machine = qr_alloc_zero(1, sizeof *machine);
    machine->base.ops = &ledger_ops;
    qr_buffer_init(&machine->text);
    ledger_add(machine, "", 0);
    return &machine->base;
}

/* ------------------------------------------------------------ the network ---- */

static void enqueue(cluster *c, uint64_t from, uint64_t to, qr_slice bytes)
{
    if (c->queued == c->queue_room) {
        c->queue_room = c->queue_room ? c->queue_room * 2 : 64;
        c->queue = qr_realloc(c->queue, c->queue_room * sizeof *c->queue);
    }
    cluster_message *message = &c->queue[c->queued++];
    *message = (cluster_message){.from = from, .to = to};
    qr_buffer_init(&message->bytes);
    qr_buffer_add_slice(&message->bytes, bytes);
}

static qr_status send(void *self, uint64_t to, qr_slice bytes)
{
    cluster_member *member = self;
    cluster *c = member->cluster;
    c->sent++;
    if (c->lose_each && c->sent % c->lose_each == 0)
        return QR_OK;
    enqueue(c, member->id, to, bytes);
    if (c->double_each && c->sent % c->double_each == 0)
        enqueue(c, member->id, to, bytes);
    return QR_OK;
}

static void deliver(cluster *c)
{
    cluster_message *queue = c->queue;
    size_t count = c->queued;
    c->queue = NULL;
    c->queued = c->queue_room = 0;
    for (size_t i = 0; i < count; i++) {
        cluster_member *from = &c->members[queue[i].from - 1], *to = &c->members[queue[i].to - 1];
        if (to->node != NULL && !from->is_cut && !to->is_cut)
            qr_node_on_message(to->node, from->id, qr_buffer_slice(&queue[i].bytes), c->now_ms);
        qr_buffer_free(&queue[i].bytes);
    }
    qr_free(queue);
}

/* ------------------------------------------------------------ the members ---- */

static void on_restored(void *context, uint64_t index, uint64_t term, uint64_t digest, uint64_t revision,
                        bool received)
{
    ((cluster_member *)context)->restored += received;
}

static qr_node_config config_of(cluster *c, cluster_member *member)
{
    qr_node_config config = {
        .cluster = 7,
        .group = 1,
        .self = member->id,
        .incarnation = member->incarnation,
        .seed = member->id * 77 + c->now_ms,
        .heartbeat_ms = 20,
        .election_ms = 200,
        .now_ms = c->now_ms,
        .segment_size = 16 * 1024,
        .checkpoint_bytes = c->checkpoint_bytes,
        .apply_knows = member->apply_knows,
        .level_max = member->level_max,
        .new_machine = new_ledger,
        .engine_memory_max = 1024,
        .engine_message_max = 512,
        .engine = &qr_raft,
        .machine = new_ledger(NULL),
        .disk = member->disk->disk,
        .bug = c->bug,
        .network = {.self = member, .send = send},
        .restored = on_restored,
        .context = member,
    };
    for (size_t i = 0; i < c->count; i++)
        qr_members_add(&config.members, (qr_member){.id = i + 1, .role = QR_ROLE_VOTER});
    return config;
}

qr_status cluster_open(cluster *c, cluster_member *member, const char **sentence)
{
    qr_node_config config = config_of(c, member);
    return qr_node_open(&config, &c->arena, &member->node, sentence);
}

qr_status cluster_repair(cluster *c, cluster_member *member, bool *put_aside, const char **sentence)
{
    qr_node_config config = config_of(c, member);
    qr_status status = qr_node_prepare(&config, true, &c->arena, sentence);
    QR_CHECK(status == QR_OK, "nothing was begun in this folder");
    status = qr_node_open(&config, &c->arena, &member->node, sentence);
    *put_aside = status == QR_E_CORRUPT;
    if (!*put_aside)
        return status;
    status = qr_node_put_aside(&config, &c->arena, sentence);
    config.machine = new_ledger(NULL);
    return status == QR_OK ? qr_node_open(&config, &c->arena, &member->node, sentence) : status;
}

void cluster_stop(cluster *c, cluster_member *member)
{
    fake_disk *kept = fake_disk_clone(member->disk); /* without what is queued */
    qr_node_free(member->node);
    member->node = NULL;
    fake_disk_free(member->disk);
    member->disk = kept;
}

cluster *cluster_of(fake_disk *const disks[], size_t count, uint64_t checkpoint_bytes)
{
    cluster *c = qr_alloc_zero(1, sizeof *c);
    c->count = count;
    c->now_ms = 1000;
    c->checkpoint_bytes = checkpoint_bytes;
    qr_arena_init(&c->arena);
    for (size_t i = 0; i < count; i++)
        c->members[i] = (cluster_member){.cluster = c, .id = i + 1, .incarnation = 101 + i, .disk = disks[i]};
    return c;
}

cluster *cluster_new(size_t count, uint64_t checkpoint_bytes)
{
    fake_disk *disks[CLUSTER_NODES_MAX] = {0};
    for (size_t i = 0; i < count; i++)
        disks[i] = fake_disk_new();
    cluster *c = cluster_of(disks, count, checkpoint_bytes);
    for (size_t i = 0; i < count; i++) {
        const char *sentence;
        QR_CHECK(cluster_open(c, &c->members[i], &sentence) == QR_OK, "a new folder opens");
    }
    return c;
}

void cluster_free(cluster *c)
{
    for (size_t i = 0; i < c->count; i++) {
        qr_node_free(c->members[i].node);
        fake_disk_free(c->members[i].disk);
    }
    for (size_t i = 0; i < c->queued; i++)
        qr_buffer_free(&c->queue[i].bytes);
    qr_free(c->queue);
    qr_arena_free(&c->arena);
    qr_free(c);
}

void cluster_run(cluster *c, int turns)
{
    for (int i = 0; i < turns; i++) {
        c->now_ms += 2;
        deliver(c);
        for (size_t m = 0; m < c->count; m++) {
            cluster_member *member = &c->members[m];
            if (member->node == NULL)
                continue;
            for (int step = 0; step < 4; step++)
                fake_disk_step(member->disk);
            qr_node_turn(member->node, c->now_ms, (int64_t)c->now_ms);
        }
    }
}

cluster_member *cluster_leader(cluster *c)
{
    for (int patience = 0; patience < 10000; patience++) {
        for (size_t i = 0; i < c->count; i++) {
            cluster_member *member = &c->members[i];
            if (member->node != NULL && !member->is_cut && cluster_status(member).engine.role == QR_LEADER)
                return member;
        }
        cluster_run(c, 1);
    }
    QR_CHECK(false, "there is a leader after a while");
}

typedef struct asker {
    cluster *c;
    size_t number;
} asker;

static void answered(void *owner, const qr_reply *reply)
{
    asker *a = owner;
    a->c->answers[a->number % CLUSTER_ANSWERS_MAX] = reply->status;
    a->c->answered++;
    qr_free(a);
}

size_t cluster_write(cluster_member *member, char letter)
{
    cluster *c = member->cluster;
    asker *a = qr_alloc(sizeof *a);
    *a = (asker){.c = c, .number = c->asked++};
    char body[64];
    memset(body, letter, sizeof body);
    qr_request request = {.kind = QR_REQUEST_WRITE,
                          .body = qr_slice_of(body, sizeof body),
                          .deadline_ms = c->now_ms + 100000,
                          .done = answered,
                          .owner = a};
    QR_CHECK(qr_node_submit(member->node, &request) == QR_OK, "a write is taken");
    return c->asked - 1;
}

void cluster_write_many(cluster *c, cluster_member *member, char letter, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t before = c->answered;
        cluster_write(member, letter);
        for (int patience = 0; patience < 2000 && c->answered == before; patience++)
            cluster_run(c, 1);
        QR_CHECK(c->answered > before, "a write is answered");
    }
}

const char *cluster_text(const cluster_member *member)
{
    return (const char *)((const ledger *)qr_node_machine(member->node))->text.data;
}

qr_node_status cluster_status(const cluster_member *member)
{
    qr_node_status status;
    qr_node_status_of(member->node, &status);
    return status;
}
