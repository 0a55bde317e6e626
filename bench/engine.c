/* What consensus costs besides network and disk: three engines in one program, whose messages arrive at once
 * and whose records are durable at once. Batches of commands of 320 bytes; figures are for each command, all
 * three engines together. */
#include "core/engine.h"
#include "meter.h"
#include "raft/raft.h"

enum { MEMBERS = 3, COMMAND_SIZE = 320, COMMANDS = 400000, BATCH_MAX = 1000 };

typedef struct member {
    qr_engine *engine;
    qr_effects effects;
    qr_buffer inbox; /* each message: sender u64, bytes */
    uint64_t ticket, committed;
} member;

typedef struct bench {
    member members[MEMBERS];
    uint64_t now_ms;
    uint64_t messages, message_bytes;
} bench;

static void step(bench *b, member *m, qr_event event);

/* The record is on the disk before anybody hears of it. */
static void carry_out(bench *b, member *m)
{
    uint64_t ticket = 0;
    for (size_t i = 0; i < m->effects.count; i++) {
        const qr_effect *effect = &m->effects.list[i];
        QR_ASSERT(effect->kind != QR_EFFECT_HALT && effect->kind != QR_EFFECT_FETCH);
        if (effect->kind == QR_EFFECT_PERSIST) {
            ticket = effect->persist.ticket;
        } else if (effect->kind == QR_EFFECT_SEND) {
            qr_buffer *inbox = &b->members[effect->send.to - 1].inbox;
            qr_buffer_u64(inbox, (uint64_t)(m - b->members) + 1);
            qr_buffer_bytes(inbox, effect->send.bytes);
            b->messages++;
            b->message_bytes += effect->send.bytes.size;
        } else if (effect->kind == QR_EFFECT_COMMIT) {
            m->committed = effect->commit.index;
        }
    }
    if (ticket > 0)
        step(b, m, (qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = ticket}});
}

static void step(bench *b, member *m, qr_event event)
{
    event.now_ms = b->now_ms;
    qr_effects_clear(&m->effects);
    m->engine->ops->step(m->engine, &event, &m->effects);
    carry_out(b, m);
}

static void turn(bench *b, member *m)
{
    qr_buffer inbox = m->inbox;
    qr_buffer_init(&m->inbox);
    qr_reader reader = qr_reader_of(qr_buffer_slice(&inbox));
    while (qr_reader_left(&reader) > 0) {
        qr_event event = {.kind = QR_EVENT_RECV, .recv = {.from = qr_reader_u64(&reader)}};
        event.recv.incarnation = event.recv.from;
        event.recv.bytes = qr_reader_bytes(&reader);
        step(b, m, event);
    }
    step(b, m, (qr_event){.kind = QR_EVENT_TICK});
    qr_buffer_free(&inbox);
}

static void settle(bench *b)
{
    for (bool busy = true; busy;) {
        for (int i = 0; i < MEMBERS; i++)
            turn(b, &b->members[i]);
        busy = false;
        for (int i = 0; i < MEMBERS; i++)
            busy |= b->members[i].inbox.size > 0;
    }
}

static member *leader_of(bench *b)
{
    for (;;) {
        for (int i = 0; i < MEMBERS; i++) {
            qr_engine_status status;
            b->members[i].engine->ops->status(b->members[i].engine, &status);
            if (status.role == QR_LEADER && status.commit_index == status.last_index)
                return &b->members[i];
        }
        b->now_ms += 10;
        settle(b);
    }
}

static void open_all(bench *b)
{
    qr_engine_config config = {.heartbeat_ms = 100, .election_ms = 1000, .now_ms = 1};
    b->now_ms = 1;
    for (uint64_t id = 1; id <= MEMBERS; id++)
        QR_ASSERT(qr_members_add(&config.members,
                                 (qr_member){.id = id, .incarnation = id, .role = QR_ROLE_VOTER}) == QR_OK);
    for (uint64_t id = 1; id <= MEMBERS; id++) {
        member *m = &b->members[id - 1];
        config.self = config.incarnation = config.seed = id;
        m->engine = qr_raft.open(&config);
        qr_effects_init(&m->effects);
        qr_buffer_init(&m->inbox);
    }
}

static void run(meter *m, bench *b, size_t batch)
{
    static uint8_t bytes[COMMAND_SIZE];
    static qr_slice commands[BATCH_MAX];
    for (size_t i = 0; i < batch; i++)
        commands[i] = qr_slice_of(bytes, sizeof bytes);
    member *leader = leader_of(b);
    uint64_t committed = leader->committed;
    b->messages = b->message_bytes = 0;
    meter_begin(m);
    for (size_t done = 0; done < COMMANDS; done += batch) {
        step(b, leader,
             (qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = commands, .count = batch}});
        settle(b);
    }
    char what[64];
    snprintf(what, sizeof what, "a command, batches of %zu", batch);
    meter_say(m, what, COMMANDS);
    printf("%-44s %9.2f of %.0f bytes\n", "messages a command", (double)b->messages / COMMANDS,
           (double)b->message_bytes / (double)b->messages);
    QR_ASSERT(leader->committed == committed + COMMANDS);
}

int main(void)
{
    meter m;
    meter_open(&m);
    bench b = {.messages = 0};
    open_all(&b);
    for (size_t batch = 1; batch <= BATCH_MAX; batch *= 10)
        run(&m, &b, batch);
    for (int i = 0; i < MEMBERS; i++) {
        b.members[i].engine->ops->free(b.members[i].engine);
        qr_effects_free(&b.members[i].effects);
        qr_buffer_free(&b.members[i].inbox);
    }
    return 0;
}
