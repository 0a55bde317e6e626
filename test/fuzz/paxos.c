/* Messages and records of the engine paxos: random bytes go to both decoders, and to an engine as messages of
 * two peers, between ticks. It must stay whole: no crash, no broken invariant. What a record is read as is
 * recalled by a fresh engine, which refuses it or is sound.
 *
 * Input: a row of {u8 how, u16 size, bytes}. how: bit 0 = a peer says it (else it is a record), bit 1 = which
 * peer, bit 2 = a tick afterwards, bit 3 = everything is durable then, bits 4 to 7 = milliseconds that pass,
 * times 100. */
#include "paxos/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 64 };

static qr_engine *open_engine(void)
{
    qr_engine_config config = {
        .self = 1, .incarnation = 1, .seed = 5, .heartbeat_ms = 100, .election_ms = 1000};
    for (uint64_t id = 1; id <= 3; id++)
        qr_members_add(&config.members, (qr_member){.id = id, .role = QR_ROLE_VOTER});
    return qr_paxos.open(&config);
}

static uint64_t step(qr_engine *engine, qr_event event, qr_effects *effects, uint64_t ticket)
{
    qr_effects_clear(effects);
    qr_paxos.step(engine, &event, effects);
    for (size_t i = 0; i < effects->count; i++)
        if (effects->list[i].kind == QR_EFFECT_PERSIST)
            ticket = effects->list[i].persist.ticket;
    return ticket;
}

/* A record alone cannot show whether what it says is true; whoever recalls it goes on, or refuses it. */
static void recall(qr_slice bytes)
{
    for (int is_brief = 0; is_brief < 2; is_brief++) {
        qr_engine *engine = open_engine();
        qr_effects effects;
        qr_effects_init(&effects);
        if (qr_paxos.recall(engine, bytes, is_brief) == QR_OK)
            step(engine, (qr_event){.kind = QR_EVENT_TICK, .now_ms = 1}, &effects, 0);
        qr_effects_free(&effects);
        qr_paxos.free(engine);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_engine *engine = open_engine();
    qr_effects effects;
    qr_effects_init(&effects);
    qr_reader reader = qr_reader_of(qr_slice_of(data, size));
    uint64_t now_ms = 1, ticket = 0;
    for (int i = 0; i < STEPS_MAX && qr_reader_left(&reader) > 0; i++) {
        uint8_t how = qr_reader_u8(&reader);
        size_t wanted = qr_reader_u16(&reader), left = qr_reader_left(&reader);
        qr_slice bytes = qr_reader_take(&reader, wanted < left ? wanted : left);
        now_ms += (uint64_t)(how >> 4) * 100;
        if (how & 1) {
            qr_event event = {.kind = QR_EVENT_RECV,
                              .now_ms = now_ms,
                              .recv = {.from = how & 2 ? 2 : 3, .incarnation = 1, .bytes = bytes}};
            ticket = step(engine, event, &effects, ticket);
        } else {
            recall(bytes);
        }
        if (how & 4)
            ticket = step(engine, (qr_event){.kind = QR_EVENT_TICK, .now_ms = now_ms}, &effects, ticket);
        if (how & 8)
            step(engine,
                 (qr_event){.kind = QR_EVENT_DURABLE, .now_ms = now_ms, .durable = {.ticket = ticket}},
                 &effects, ticket);
        if (!((qr_paxos_engine *)engine)->halted)
            QR_ASSERT(qr_paxos.broken(engine) == NULL);
    }
    qr_effects_free(&effects);
    qr_paxos.free(engine);
    return 0;
}
