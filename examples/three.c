/* three: consensus without the store. Three members in one program agree on numbers to add; the leader stops,
 * the other two go on.
 *
 *   cc -D_GNU_SOURCE -Isrc examples/three.c build/src/{raft/libraft,core/libcore,base/libbase}.a
 *
 * The engine (core/engine.h) is given events and gives back effects. What a program brings along is here in
 * its simplest form: a network (an inbox for each), a disk (none: all is lost with the process), a clock (a
 * number), a machine (a sum). doc/guides/embedding.md says what each has to become. */
#include <stdio.h>

#include "raft/raft.h"

enum { MEMBERS = 3 };

typedef struct member {
    qr_engine *engine; /* NULL: it has stopped */
    qr_effects effects;
    qr_buffer inbox; /* each message: its sender, its bytes */
    uint64_t sum;    /* the machine */
} member;

static member members[MEMBERS];
static uint64_t now_ms = 1;

static const char *const roles[] = {"follower", "pre-candidate", "candidate", "leader", "learner"};

static void step(member *m, qr_event event);

/* A command that is committed is applied, by every member in the same order. */
static void apply(member *m, const qr_effect *effect)
{
    if (effect->commit.kind == QR_ENTRY_COMMAND) {
        qr_reader reader = qr_reader_of(effect->commit.bytes);
        m->sum += qr_reader_u64(&reader);
    }
}

/* Here every record is durable at once. With a disk, an effect has to wait until the ticket in its `after`
 * is. */
static void carry_out(member *m)
{
    uint64_t self = (uint64_t)(m - members) + 1, ticket = 0;
    for (size_t i = 0; i < m->effects.count; i++) {
        const qr_effect *effect = &m->effects.list[i];
        if (effect->kind == QR_EFFECT_PERSIST)
            ticket = effect->persist.ticket; /* written and synced here, if there were a disk */
        else if (effect->kind == QR_EFFECT_SEND) {
            qr_buffer_u64(&members[effect->send.to - 1].inbox, self);
            qr_buffer_bytes(&members[effect->send.to - 1].inbox, effect->send.bytes);
        } else if (effect->kind == QR_EFFECT_COMMIT)
            apply(m, effect);
        else if (effect->kind == QR_EFFECT_ROLE)
            printf("%5llu ms  member %llu is %s in term %llu\n", (unsigned long long)now_ms,
                   (unsigned long long)self, roles[effect->role.role], (unsigned long long)effect->role.term);
    }
    if (ticket > 0)
        step(m, (qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = ticket}});
}

static void step(member *m, qr_event event)
{
    event.now_ms = now_ms;
    qr_effects_clear(&m->effects);
    m->engine->ops->step(m->engine, &event, &m->effects);
    carry_out(m);
}

/* All messages that are there, and a TICK, which ends each turn. */
static void turn(member *m)
{
    qr_buffer inbox = m->inbox;
    qr_buffer_init(&m->inbox);
    qr_reader reader = qr_reader_of(qr_buffer_slice(&inbox));
    while (m->engine && qr_reader_left(&reader) > 0) {
        qr_event event = {.kind = QR_EVENT_RECV, .recv = {.from = qr_reader_u64(&reader)}};
        event.recv.incarnation = event.recv.from;
        event.recv.bytes = qr_reader_bytes(&reader);
        step(m, event);
    }
    if (m->engine)
        step(m, (qr_event){.kind = QR_EVENT_TICK});
    qr_buffer_free(&inbox);
}

/* Lets time pass, in steps of ten milliseconds. */
static void live(uint64_t ms)
{
    for (uint64_t end = now_ms + ms; now_ms < end; now_ms += 10)
        for (member *m = members; m < members + MEMBERS; m++)
            turn(m);
}

static member *leader(void)
{
    for (;; live(10))
        for (member *m = members; m < members + MEMBERS; m++) {
            qr_engine_status status;
            if (m->engine)
                m->engine->ops->status(m->engine, &status);
            if (m->engine && status.role == QR_LEADER && status.commit_index == status.last_index)
                return m;
        }
}

/* Asks the leader, who alone may propose; others would REFUSE and name him. */
static void add(uint64_t number)
{
    qr_buffer command = {0};
    qr_buffer_u64(&command, number);
    qr_slice bytes = qr_buffer_slice(&command);
    step(leader(), (qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = &bytes, .count = 1}});
    qr_buffer_free(&command);
}

static void stop(member *m)
{
    printf("%5llu ms  member %d stops\n", (unsigned long long)now_ms, (int)(m - members) + 1);
    m->engine->ops->free(m->engine);
    m->engine = NULL;
}

static bool all_have(uint64_t sum)
{
    bool have = true;
    for (member *m = members; m < members + MEMBERS; m++) {
        if (m->engine)
            printf("          member %d has %llu\n", (int)(m - members) + 1, (unsigned long long)m->sum);
        have &= m->engine == NULL || m->sum == sum;
    }
    return have;
}

int main(void)
{
    qr_engine_config config = {.heartbeat_ms = 100, .election_ms = 1000, .now_ms = now_ms};
    for (uint64_t id = 1; id <= MEMBERS; id++)
        if (qr_members_add(&config.members,
                           (qr_member){.id = id, .incarnation = id, .role = QR_ROLE_VOTER}) != QR_OK)
            return 1;
    for (uint64_t id = 1; id <= MEMBERS; id++) {
        config.self = config.incarnation = config.seed = id;
        members[id - 1].engine = qr_raft.open(&config);
        qr_effects_init(&members[id - 1].effects);
    }
    add(5);
    add(7);
    live(200);
    bool good = all_have(12);
    stop(leader());
    add(30);
    live(200);
    good &= all_have(42);
    for (member *m = members; m < members + MEMBERS; m++) {
        if (m->engine)
            m->engine->ops->free(m->engine);
        qr_effects_free(&m->effects);
        qr_buffer_free(&m->inbox);
    }
    return good ? 0 : 1;
}
