#include "trio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/raft.h"

/* ------------------------------------------------------------------ machine ---- */

static qr_status adder_apply(qr_machine *base, uint64_t index, const qr_command *command, qr_arena *arena,
                             const void **result)
{
    adder *machine = (adder *)base;
    machine->digest = qr_hash_mix(machine->digest, qr_hash(command->body, machine->goes_wrong));
    machine->goes_wrong = false;
    machine->count++;
    return QR_OK;
}
static qr_status adder_query(qr_machine *base, const void *query, qr_arena *arena, const void **result)
{
    *result = &((adder *)base)->count;
    return QR_OK;
}
static uint64_t adder_digest(const qr_machine *base)
{
    return ((const adder *)base)->digest;
}
static uint64_t adder_revision(const qr_machine *base)
{
    return ((const adder *)base)->count;
}
static bool adder_upkeep(qr_machine *machine, int64_t wall_ms, qr_buffer *body)
{
    return false;
}
static bool adder_work(qr_machine *machine, size_t budget)
{
    return false;
}
static void adder_free(qr_machine *machine)
{
    qr_free(machine);
}

static const qr_machine_ops adder_ops = {
    .name = "adder",
    .apply = adder_apply,
    .query = adder_query,
    .digest = adder_digest,
    .revision = adder_revision,
    .upkeep = adder_upkeep,
    .work = adder_work,
    .free = adder_free,
};

/* -------------------------------------------------------------------- edges ---- */

static qr_status post(void *self, uint64_t to, qr_slice message)
{
    trio_member *from = self;
    trio *t = from->world;
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->members[i].id != to)
            continue;
        QR_ASSERT(t->mail_count < TRIO_MAIL_MAX);
        trio_letter *letter = &t->mail[t->mail_count++];
        letter->from = (uint32_t)(from - t->members);
        letter->to = i;
        qr_buffer_init(&letter->bytes);
        qr_buffer_add_slice(&letter->bytes, message);
        return QR_OK;
    }
    return QR_E_NOT_FOUND;
}

static qr_status no_new_files(void *context, const qr_disk_op *op)
{
    const trio_member *member = context;
    return member->full && op->kind == QR_DISK_CREATE ? QR_E_NO_SPACE : QR_OK;
}

/* ------------------------------------------------------------------- members ---- */

void trio_boot(trio *t, uint32_t number)
{
    trio_member *member = &t->members[number];
    qr_machine *machine = t->make_machine != NULL ? t->make_machine() : NULL;
    if (machine == NULL) {
        member->machine = qr_alloc_zero(1, sizeof *member->machine);
        member->machine->base.ops = &adder_ops;
        machine = &member->machine->base;
    }
    qr_node_config config = {
        .cluster = 7,
        .group = 1,
        .self = member->id,
        .incarnation = member->incarnation,
        .seed = 11 + number,
        .heartbeat_ms = 50,
        .election_ms = TRIO_ELECTION_MS,
        .now_ms = t->now_ms,
        .segment_size = 64 * 1024,
        .engine = &qr_raft,
        .machine = machine,
        .disk = member->disk->disk,
        .network = {.self = member, .send = post},
    };
    for (uint32_t i = 0; i < t->count; i++)
        qr_members_add(&config.members, (qr_member){.id = t->members[i].id, .role = QR_ROLE_VOTER});
    const char *sentence = NULL;
    qr_status status = qr_node_open(&config, &t->arena, &member->node, &sentence);
    QR_CHECK(status == QR_OK, "a member opens");
}

void trio_stop(trio *t, uint32_t number)
{
    trio_member *member = &t->members[number];
    while (member->disk->queued[QR_LANE_LOG] + member->disk->queued[QR_LANE_BACKGROUND] > 0)
        fake_disk_step(member->disk);
    qr_node_free(member->node);
    member->node = NULL;
}

trio *trio_new(uint32_t count)
{
    return trio_new_with(count, NULL);
}

trio *trio_new_with(uint32_t count, qr_machine *(*make_machine)(void))
{
    trio *t = qr_alloc_zero(1, sizeof *t);
    t->count = count;
    t->make_machine = make_machine;
    t->now_ms = 1000;
    qr_arena_init(&t->arena);
    for (uint32_t i = 0; i < count; i++) {
        t->members[i] = (trio_member){.world = t, .id = i + 1, .incarnation = 100 + i};
        t->members[i].disk = fake_disk_new();
        t->members[i].disk->before = no_new_files;
        t->members[i].disk->context = &t->members[i];
    }
    for (uint32_t i = 0; i < count; i++)
        trio_boot(t, i);
    return t;
}

void trio_free(trio *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->members[i].node != NULL)
            qr_node_free(t->members[i].node);
        fake_disk_free(t->members[i].disk);
    }
    for (size_t i = 0; i < t->mail_count; i++)
        qr_buffer_free(&t->mail[i].bytes);
    qr_arena_free(&t->arena);
    qr_free(t);
}

/* ---------------------------------------------------------------------- time ---- */

static void deliver(trio *t)
{
    size_t count = t->mail_count;
    for (size_t i = 0; i < count; i++) {
        trio_letter letter = t->mail[i];
        const trio_member *from = &t->members[letter.from], *to = &t->members[letter.to];
        if (to->node != NULL && !to->cut && !from->cut)
            qr_node_on_message(to->node, from->id, qr_buffer_slice(&letter.bytes), t->now_ms);
        qr_buffer_free(&letter.bytes);
    }
    t->mail_count -= count;
    memmove(t->mail, t->mail + count, t->mail_count * sizeof *t->mail);
}

void trio_step(trio *t)
{
    t->now_ms += TRIO_STEP_MS;
    deliver(t);
    for (uint32_t i = 0; i < t->count; i++) {
        trio_member *member = &t->members[i];
        if (member->node == NULL)
            continue;
        if (!member->hangs)
            fake_disk_pump(member->disk);
        qr_node_turn(member->node, t->now_ms, 5000);
    }
}

void trio_run(trio *t, uint64_t ms)
{
    for (uint64_t end = t->now_ms + ms; t->now_ms < end;)
        trio_step(t);
}

qr_node_status trio_status(trio *t, uint32_t number)
{
    qr_node_status status;
    qr_node_status_of(t->members[number].node, &status);
    return status;
}

int trio_leader(trio *t)
{
    int leader = -1;
    uint64_t term = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->members[i].node == NULL)
            continue;
        qr_node_status status = trio_status(t, i);
        if (status.halted || status.engine.role != QR_LEADER || status.engine.term < term)
            continue;
        leader = (int)i;
        term = status.engine.term;
    }
    return leader;
}

int trio_wait_leader(trio *t)
{
    for (int i = 0; i < 2000 && trio_leader(t) < 0; i++)
        trio_step(t);
    assert_true(trio_leader(t) >= 0);
    return trio_leader(t);
}

/* ------------------------------------------------------------------- requests ---- */

static void written(void *owner, const qr_reply *reply)
{
    trio *t = owner;
    t->written += reply->status == QR_OK;
    t->failed += reply->status != QR_OK;
    if (reply->status != QR_OK)
        t->status = reply->status;
}

void trio_write(trio *t, uint32_t number, size_t size)
{
    static const uint8_t zeros[4096];
    QR_ASSERT(size <= sizeof zeros);
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_slice_of(zeros, size), .done = written, .owner = t};
    qr_status status = qr_node_submit(t->members[number].node, &request);
    t->refused += status != QR_OK;
    if (status != QR_OK)
        t->status = status;
}

void trio_write_many(trio *t, uint64_t count)
{
    uint64_t goal = t->written + count;
    for (int i = 0; i < 100000 && t->written < goal; i++) {
        int leader = trio_leader(t);
        for (int n = 0; leader >= 0 && n < 4; n++)
            trio_write(t, (uint32_t)leader, 8);
        trio_step(t);
    }
    assert_true(t->written >= goal);
}

static void was_read(void *owner, const qr_reply *reply)
{
    trio *t = owner;
    t->read += reply->status == QR_OK;
    if (reply->status != QR_OK)
        t->status = reply->status;
}

void trio_read(trio *t, uint32_t number, qr_request_kind kind)
{
    qr_request request = {.kind = kind, .query = "", .done = was_read, .owner = t};
    assert_int_equal(qr_node_submit(t->members[number].node, &request), QR_OK);
}
