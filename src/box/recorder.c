#include "box/box.h"
#include "core/redact.h"

enum {
    FLUSH_MS = 200,          /* a member that is killed loses so much of its story */
    FLUSH_BYTES = 32 * 1024, /* or so much */
    RETRY_MS = 2000,         /* after there was no room */
};

const char qr_box_magic[QR_BOX_MAGIC + 1] = "QRBLKBOX";

struct qr_box {
    const qr_box_sink *sink;
    const qr_engine_ops *engine;
    qr_engine_config config;
    uint64_t cluster, group, boot;
    uint64_t sequence;  /* of the segment under way, from 1 */
    bool recording;     /* it can be gone on with */
    bool between;       /* turns: the engine has nothing on its tongue */
    bool begins;        /* nothing of the segment was handed over yet */
    int64_t wall_ahead; /* wall clock minus own clock */
    uint64_t now_ms, flushed_ms, retry_ms;
    uint64_t check;
    size_t size;      /* of the segment, handed over */
    qr_buffer frames; /* ready to be handed over */
    qr_buffer steps;  /* of the frame under way, with room for the frame's header */
    qr_buffer scratch;
};

qr_box *qr_box_new(const qr_box_sink *sink, const qr_engine_ops *engine, const qr_engine_config *config,
                   uint64_t cluster, uint64_t group, uint64_t boot)
{
    if (engine->image == NULL)
        return NULL;
    QR_ASSERT(sink->segment_bytes >= QR_BOX_SEGMENT_MIN);
    qr_box *box = qr_alloc_zero(1, sizeof *box);
    box->sink = sink;
    box->engine = engine;
    box->config = *config;
    box->cluster = cluster;
    box->group = group;
    box->boot = boot;
    box->between = true;
    return box;
}

void qr_box_clock(qr_box *box, uint64_t now_ms, int64_t wall_ms)
{
    if (box != NULL)
        box->wall_ahead = wall_ms - (int64_t)now_ms;
}

/* ------------------------------------------------------------ frames ---- */

static size_t frame_begin(qr_buffer *out, qr_box_part part)
{
    size_t at = out->size;
    qr_buffer_u64(out, 0);
    qr_buffer_u8(out, (uint8_t)part);
    return at;
}

static void frame_end(qr_buffer *out, size_t at)
{
    qr_slice payload =
        qr_slice_of(out->data + at + QR_BOX_FRAME_HEADER, out->size - at - QR_BOX_FRAME_HEADER);
    qr_store_u32(out->data + at, (uint32_t)payload.size);
    qr_store_u32(out->data + at + 4, (uint32_t)qr_hash(payload, payload.size));
}

static void hand_over(qr_box *box)
{
    if (box->steps.size > 0) {
        frame_end(&box->steps, 0);
        qr_buffer_add_slice(&box->frames, qr_buffer_slice(&box->steps));
        qr_buffer_clear(&box->steps);
    }
    box->flushed_ms = box->now_ms;
    if (box->frames.size == 0)
        return;
    if (!box->sink->put(box->sink->self, box->begins, qr_buffer_slice(&box->frames))) {
        box->recording = false;
        box->retry_ms = box->now_ms + RETRY_MS;
    }
    box->size += box->frames.size;
    box->begins = false;
    qr_buffer_shrink(&box->frames, box->sink->segment_bytes);
}

void qr_box_free(qr_box *box)
{
    if (box == NULL)
        return;
    if (box->recording)
        hand_over(box);
    qr_buffer_free(&box->frames);
    qr_buffer_free(&box->steps);
    qr_buffer_free(&box->scratch);
    qr_free(box);
}

/* ------------------------------------------------------------ segments ---- */

static void add_head(qr_box *box, bool follows)
{
    qr_buffer *out = &box->frames;
    const qr_engine_config *config = &box->config;
    size_t at = frame_begin(out, QR_BOX_HEAD);
    qr_buffer_add(out, qr_box_magic, QR_BOX_MAGIC);
    qr_buffer_u8(out, QR_BOX_FORMAT);
    qr_buffer_u8(out, (uint8_t)(follows | box->sink->whole << 1));
    qr_buffer_u64(out, (uint64_t)(box->wall_ahead + (int64_t)box->now_ms));
    qr_buffer_u64(out, box->now_ms);
    qr_buffer_u64(out, box->cluster);
    qr_buffer_u64(out, box->group);
    qr_buffer_u64(out, config->self);
    qr_buffer_u64(out, config->incarnation);
    qr_buffer_varint(out, box->boot);
    qr_buffer_varint(out, box->sequence);
    qr_buffer_bytes(out, qr_slice_text(box->engine->name));
    qr_buffer_u64(out, config->seed);
    qr_buffer_varint(out, config->heartbeat_ms);
    qr_buffer_varint(out, config->election_ms);
    qr_buffer_varint(out, config->memory_max);
    qr_buffer_varint(out, config->message_max);
    qr_buffer_varint(out, config->bug);
    frame_end(out, at);
}

/* An image is taken between turns only. One that fills most of a segment is of no use: there are too many
 * entries in memory just now. */
static void begin(qr_box *box, const qr_engine *engine)
{
    bool follows = box->recording;
    if (box->recording)
        hand_over(box);
    qr_buffer_clear(&box->frames);
    qr_buffer_clear(&box->steps);
    box->sequence++;
    add_head(box, follows && box->recording);
    size_t at = frame_begin(&box->frames, QR_BOX_IMAGE);
    size_t max = box->sink->segment_bytes / 4 * 3;
    bool is_made = box->engine->image(engine, box->sink->whole, max, &box->frames);
    frame_end(&box->frames, at);
    box->recording = is_made && box->frames.size <= max;
    box->retry_ms = box->now_ms + RETRY_MS;
    box->begins = true;
    box->size = 0;
    box->check = 0;
    if (!box->recording)
        qr_buffer_shrink(&box->frames, box->sink->segment_bytes);
}

void qr_box_before(qr_box *box, const qr_engine *engine, uint64_t now_ms)
{
    if (box == NULL)
        return;
    bool is_full = box->size + box->frames.size + box->steps.size >= box->sink->segment_bytes;
    bool is_due = box->recording ? is_full : now_ms >= box->retry_ms;
    if (!is_due || !box->between) {
        box->now_ms = box->recording ? box->now_ms : now_ms;
        return;
    }
    box->now_ms = now_ms;
    begin(box, engine);
}

/* ------------------------------------------------------------ steps ---- */

static void add_opaque(qr_box *box, qr_opaque what, qr_slice bytes)
{
    if (box->sink->whole) {
        qr_buffer_bytes(&box->steps, bytes);
        return;
    }
    qr_buffer_clear(&box->scratch);
    box->engine->redact(what, bytes, &box->scratch);
    qr_buffer_bytes(&box->steps, qr_buffer_slice(&box->scratch));
}

static void add_numbers(qr_buffer *out, const uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        qr_buffer_varint(out, numbers[i]);
}

static void add_event(qr_box *box, const qr_event *event)
{
    qr_buffer *out = &box->steps;
    switch (event->kind) {
    case QR_EVENT_TICK: break;
    case QR_EVENT_RECV:
        qr_buffer_u64(out, event->recv.from);
        qr_buffer_u64(out, event->recv.incarnation);
        add_opaque(box, QR_OPAQUE_MESSAGE, event->recv.bytes);
        break;
    case QR_EVENT_LINK:
        qr_buffer_u64(out, event->link.peer);
        qr_buffer_u8(out, event->link.up);
        break;
    case QR_EVENT_PROPOSE:
        qr_buffer_varint(out, event->propose.count);
        for (size_t i = 0; i < event->propose.count; i++) {
            qr_buffer_varint(out, event->propose.commands[i].size);
            qr_redact(event->propose.commands[i], box->sink->whole, out);
        }
        break;
    case QR_EVENT_READ: qr_buffer_varint(out, event->read.tag); break;
    case QR_EVENT_DURABLE: qr_buffer_varint(out, event->durable.ticket); break;
    case QR_EVENT_APPLIED:
        qr_buffer_varint(out, event->applied.index);
        qr_buffer_u64(out, event->applied.digest);
        break;
    case QR_EVENT_ENTRIES:
        add_numbers(out,
                    (const uint64_t[]){event->entries.from, event->entries.to,
                                       (uint64_t)event->entries.status, event->entries.count},
                    4);
        for (size_t i = 0; i < event->entries.count; i++)
            add_opaque(box, QR_OPAQUE_RECORD, event->entries.records[i]);
        break;
    case QR_EVENT_CHECKPOINT:
        add_numbers(
            out,
            (const uint64_t[]){event->checkpoint.index, event->checkpoint.term, event->checkpoint.received},
            3);
        qr_buffer_bytes(out, event->checkpoint.brief);
        break;
    case QR_EVENT_MEMBERS:
        qr_buffer_varint(out, event->members.tag);
        qr_members_encode(event->members.wanted, out);
        break;
    case QR_EVENT_HANDOVER: qr_buffer_u64(out, event->handover.target); break;
    }
}

void qr_box_step(qr_box *box, const qr_event *event, const qr_effects *effects, uint64_t traces)
{
    if (box == NULL)
        return;
    box->between = event->kind == QR_EVENT_TICK;
    if (!box->recording)
        return;
    if (box->steps.size == 0)
        frame_begin(&box->steps, QR_BOX_STEPS);
    qr_buffer_u8(&box->steps, (uint8_t)event->kind);
    qr_buffer_varint(&box->steps, event->now_ms - box->now_ms);
    box->now_ms = event->now_ms;
    add_event(box, event);
    box->check = qr_box_check(box->check, effects, traces);
    qr_buffer_u32(&box->steps, (uint32_t)box->check);
    bool is_due = box->now_ms >= box->flushed_ms + FLUSH_MS || box->steps.size >= FLUSH_BYTES;
    if (is_due && (box->between || box->steps.size >= 32 * FLUSH_BYTES))
        hand_over(box);
}

/* ------------------------------------------------------------ check ---- */

static uint64_t mix_effect(uint64_t check, const qr_effect *effect)
{
    uint64_t numbers[4] = {0};
    switch (effect->kind) {
    case QR_EFFECT_PERSIST:
        numbers[0] = effect->persist.ticket;
        numbers[1] = effect->persist.index_first;
        numbers[2] = effect->persist.record.size;
        numbers[3] = qr_hash(qr_slice_of(effect->persist.record.data, effect->persist.head), 0);
        break;
    case QR_EFFECT_SEND:
        numbers[0] = effect->send.to;
        numbers[1] = effect->send.bytes.size;
        numbers[2] = qr_hash(qr_slice_of(effect->send.bytes.data, effect->send.head), 0);
        break;
    case QR_EFFECT_COMMIT:
        numbers[0] = effect->commit.index;
        numbers[1] = effect->commit.term;
        numbers[2] = (uint64_t)effect->commit.kind << 32 | effect->commit.bytes.size;
        numbers[3] = qr_redact_mark(effect->commit.bytes);
        break;
    case QR_EFFECT_READ_AT:
        numbers[0] = effect->read_at.tag;
        numbers[1] = effect->read_at.index;
        break;
    case QR_EFFECT_REFUSE:
        numbers[0] = effect->refuse.what;
        numbers[1] = effect->refuse.tag;
        numbers[2] = effect->refuse.leader;
        numbers[3] = (uint64_t)effect->refuse.why;
        break;
    case QR_EFFECT_FETCH:
        numbers[0] = effect->fetch.from;
        numbers[1] = effect->fetch.to;
        break;
    case QR_EFFECT_SEND_CHECKPOINT: numbers[0] = effect->send_checkpoint.to; break;
    case QR_EFFECT_ROLE:
        numbers[0] = effect->role.role;
        numbers[1] = effect->role.term;
        numbers[2] = effect->role.leader;
        break;
    case QR_EFFECT_HALT: numbers[0] = qr_hash(qr_slice_text(effect->halt.why), 0); break;
    }
    uint8_t bytes[6 * 8];
    qr_store_u64(bytes, (uint64_t)effect->kind);
    qr_store_u64(bytes + 8, effect->after);
    for (size_t i = 0; i < 4; i++)
        qr_store_u64(bytes + 16 + i * 8, numbers[i]);
    return qr_hash(qr_slice_of(bytes, sizeof bytes), check);
}

uint64_t qr_box_check(uint64_t check, const qr_effects *effects, uint64_t traces)
{
    check = qr_hash_mix(check, (uint64_t)effects->count << 32 ^ traces);
    for (size_t i = 0; i < effects->count; i++)
        check = mix_effect(check, &effects->list[i]);
    return check;
}
