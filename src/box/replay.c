#include "box/replay.h"

#include "core/redact.h"

enum { SLICES_MAX = 1 << 20, EXPANDED_MAX = 1024 * 1024 * 1024 };

struct qr_replay {
    qr_replay_config config;
    const qr_engine_ops *ops;
    qr_engine *engine; /* NULL: nothing to go on with */
    uint64_t member, boot, sequence;
    const qr_box_segment *segment;
    qr_trace trace;
    qr_effects effects;
    qr_buffer image;
    qr_buffer bytes; /* of the event, expanded */
    struct {
        size_t offset, size;
    } * parts; /* of bytes */
    qr_slice *slices;
    size_t count, room;
    qr_members members;
};

static void on_trace(void *context, const qr_trace_record *record)
{
    qr_replay *replay = context;
    const qr_box_segment *segment = replay->segment;
    int64_t wall_ms = segment->wall_ms + (int64_t)(record->now_ms - segment->now_ms);
    if (replay->config.traced)
        replay->config.traced(replay->config.context, segment, wall_ms, record);
}

qr_replay *qr_replay_new(const qr_replay_config *config)
{
    qr_replay *replay = qr_alloc_zero(1, sizeof *replay);
    replay->config = *config;
    qr_trace_init(&replay->trace, 0);
    replay->trace.sink = on_trace;
    replay->trace.context = replay;
    qr_effects_init(&replay->effects);
    return replay;
}

static void forget_engine(qr_replay *replay)
{
    if (replay->engine)
        replay->ops->free(replay->engine);
    replay->engine = NULL;
}

void qr_replay_free(qr_replay *replay)
{
    forget_engine(replay);
    qr_effects_free(&replay->effects);
    qr_trace_free(&replay->trace);
    qr_buffer_free(&replay->image);
    qr_buffer_free(&replay->bytes);
    qr_free(replay->parts);
    qr_free(replay->slices);
    qr_free(replay);
}

const char *qr_event_name(qr_event_kind kind)
{
    static const char *const names[] = {
        [QR_EVENT_TICK] = "TICK",
        [QR_EVENT_RECV] = "RECV",
        [QR_EVENT_LINK] = "LINK",
        [QR_EVENT_PROPOSE] = "PROPOSE",
        [QR_EVENT_READ] = "READ",
        [QR_EVENT_DURABLE] = "DURABLE",
        [QR_EVENT_APPLIED] = "APPLIED",
        [QR_EVENT_ENTRIES] = "ENTRIES",
        [QR_EVENT_CHECKPOINT] = "CHECKPOINT",
        [QR_EVENT_MEMBERS] = "MEMBERS",
        [QR_EVENT_HANDOVER] = "HANDOVER",
    };
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

/* ------------------------------------------------------------ events ---- */

static void part_begin(qr_replay *replay)
{
    if (replay->count == replay->room) {
        replay->room = replay->room ? replay->room * 2 : 64;
        replay->parts = qr_realloc(replay->parts, replay->room * sizeof *replay->parts);
        replay->slices = qr_realloc(replay->slices, replay->room * sizeof *replay->slices);
    }
    replay->parts[replay->count].offset = replay->bytes.size;
}

static void part_end(qr_replay *replay)
{
    replay->parts[replay->count].size = replay->bytes.size - replay->parts[replay->count].offset;
    replay->count++;
}

static void take_opaque(qr_replay *replay, qr_opaque what, qr_reader *in)
{
    part_begin(replay);
    qr_slice kept = qr_reader_bytes(in);
    if (replay->segment->whole)
        qr_buffer_add_slice(&replay->bytes, kept);
    else if (replay->ops->expand(what, kept, &replay->bytes) != QR_OK)
        in->failed = true;
    part_end(replay);
}

static void take_command(qr_replay *replay, qr_reader *in)
{
    uint64_t size = qr_reader_varint(in);
    if (size > EXPANDED_MAX - replay->bytes.size)
        in->failed = true;
    if (in->failed)
        return;
    part_begin(replay);
    qr_redact_expand(in, replay->segment->whole, (size_t)size, &replay->bytes);
    part_end(replay);
}

static uint64_t take_count(qr_reader *in)
{
    uint64_t count = qr_reader_varint(in);
    if (count > qr_reader_left(in) || count > SLICES_MAX)
        in->failed = true;
    return in->failed ? 0 : count;
}

static void take_members(qr_replay *replay, qr_reader *in, qr_event *event)
{
    event->members.tag = qr_reader_varint(in);
    if (qr_members_decode(in, &replay->members) != QR_OK)
        in->failed = true;
    event->members.wanted = &replay->members;
}

static void take_event(qr_replay *replay, qr_reader *in, qr_event *event)
{
    switch (event->kind) {
    case QR_EVENT_TICK: break;
    case QR_EVENT_RECV:
        event->recv.from = qr_reader_u64(in);
        event->recv.incarnation = qr_reader_u64(in);
        take_opaque(replay, QR_OPAQUE_MESSAGE, in);
        break;
    case QR_EVENT_LINK:
        event->link.peer = qr_reader_u64(in);
        event->link.up = qr_reader_u8(in) != 0;
        break;
    case QR_EVENT_PROPOSE:
        for (uint64_t count = take_count(in); count > 0 && !in->failed; count--)
            take_command(replay, in);
        break;
    case QR_EVENT_READ: event->read.tag = qr_reader_varint(in); break;
    case QR_EVENT_DURABLE: event->durable.ticket = qr_reader_varint(in); break;
    case QR_EVENT_APPLIED:
        event->applied.index = qr_reader_varint(in);
        event->applied.digest = qr_reader_u64(in);
        break;
    case QR_EVENT_ENTRIES:
        event->entries.from = qr_reader_varint(in);
        event->entries.to = qr_reader_varint(in);
        event->entries.status = (qr_status)qr_reader_varint(in);
        for (uint64_t count = take_count(in); count > 0 && !in->failed; count--)
            take_opaque(replay, QR_OPAQUE_RECORD, in);
        break;
    case QR_EVENT_CHECKPOINT:
        event->checkpoint.index = qr_reader_varint(in);
        event->checkpoint.term = qr_reader_varint(in);
        event->checkpoint.received = qr_reader_varint(in) != 0;
        event->checkpoint.brief = qr_reader_bytes(in);
        break;
    case QR_EVENT_MEMBERS: take_members(replay, in, event); break;
    case QR_EVENT_HANDOVER: event->handover.target = qr_reader_u64(in); break;
    default: in->failed = true;
    }
}

/* Only when all bytes are there it is certain where they lie. */
static void point(qr_replay *replay, qr_event *event)
{
    for (size_t i = 0; i < replay->count; i++)
        replay->slices[i] = qr_slice_of(replay->bytes.data + replay->parts[i].offset, replay->parts[i].size);
    if (event->kind == QR_EVENT_RECV)
        event->recv.bytes = replay->slices[0];
    if (event->kind == QR_EVENT_PROPOSE) {
        event->propose.commands = replay->slices;
        event->propose.count = replay->count;
    }
    if (event->kind == QR_EVENT_ENTRIES) {
        event->entries.records = replay->slices;
        event->entries.count = replay->count;
    }
}

/* ------------------------------------------------------------ steps ---- */

static const char *repeat(qr_replay *replay, qr_event *event, uint64_t *check)
{
    uint64_t traces = replay->trace.count;
    replay->trace.now_ms = event->now_ms;
    if (event->kind == QR_EVENT_LINK) /* which is the node's to tell */
        on_trace(replay, &(qr_trace_record){.now_ms = event->now_ms,
                                            .number = {event->link.peer, event->link.up},
                                            .kind = QR_TRACE_LINK});
    if (event->kind == QR_EVENT_APPLIED && replay->config.applied)
        replay->config.applied(replay->config.context, replay->segment, event->applied.index,
                               event->applied.digest);
    qr_effects_clear(&replay->effects);
    replay->ops->step(replay->engine, event, &replay->effects);
    *check = qr_box_check(*check, &replay->effects, replay->trace.count - traces);
    return replay->ops->broken(replay->engine);
}

static const char *repeat_frame(qr_replay *replay, qr_reader *in, uint64_t *now_ms, uint64_t *check,
                                qr_replay_result *result)
{
    while (qr_reader_left(in) > 0) {
        qr_event event = {.kind = (qr_event_kind)qr_reader_u8(in)};
        *now_ms = event.now_ms = *now_ms + qr_reader_varint(in);
        replay->count = 0;
        qr_buffer_clear(&replay->bytes);
        take_event(replay, in, &event);
        uint32_t recorded = qr_reader_u32(in);
        result->step++;
        result->event = event.kind;
        result->wall_ms = replay->segment->wall_ms + (int64_t)(event.now_ms - replay->segment->now_ms);
        if (in->failed || (event.kind == QR_EVENT_PROPOSE && replay->count == 0))
            return "the event is malformed";
        point(replay, &event);
        const char *broken = repeat(replay, &event, check);
        result->steps++;
        if (broken != NULL)
            return broken;
        if ((uint32_t)*check != recorded)
            return "its effects are not those that were recorded";
    }
    return NULL;
}

/* The engine as it was at the head. One that has come here by itself must be in that state; the image goes on
 * all the same, so that nothing is only in the engine that it replaces. */
static const char *at_head(qr_replay *replay, const qr_box_segment *segment)
{
    const qr_engine_config *config = &segment->config;
    bool goes_on = segment->follows && replay->engine != NULL && replay->member == config->self &&
                   replay->boot == segment->boot && replay->sequence + 1 == segment->sequence;
    if (goes_on) {
        qr_buffer_clear(&replay->image);
        if (!replay->ops->image(replay->engine, segment->whole, SIZE_MAX, &replay->image) ||
            !qr_slice_equal(qr_buffer_slice(&replay->image), segment->image))
            return "the state at the end of the segment before is another one";
    }
    forget_engine(replay);
    replay->ops = replay->config.engine(replay->config.context, segment->engine);
    if (replay->ops == NULL || replay->ops->restore == NULL)
        return "it was recorded with an engine that is not known here";
    qr_engine_config open = *config;
    open.trace = &replay->trace;
    open.members.count = 1; /* those in force are in the image */
    open.members.list[0] = (qr_member){.id = config->self, .role = QR_ROLE_VOTER};
    replay->engine = replay->ops->open(&open);
    qr_status status = replay->ops->restore(replay->engine, segment->whole, segment->image);
    return status == QR_OK              ? NULL
           : status == QR_E_BAD_VERSION ? "its image was written by another version of this program"
                                        : "its image is malformed";
}

bool qr_replay_segment(qr_replay *replay, const qr_box_segment *segment, qr_replay_result *result)
{
    replay->segment = segment;
    result->step = 0;
    result->wall_ms = segment->wall_ms;
    result->segments++;
    uint64_t now_ms = segment->now_ms, check = 0;
    result->difference = at_head(replay, segment);
    qr_reader frames = qr_reader_of(segment->steps);
    while (result->difference == NULL && qr_reader_left(&frames) > 0) {
        uint32_t size = qr_reader_u32(&frames); /* its sum was looked at by qr_box_next() */
        qr_reader_u32(&frames);
        qr_reader steps = qr_reader_of(qr_reader_take(&frames, size));
        qr_reader_u8(&steps);
        result->difference = repeat_frame(replay, &steps, &now_ms, &check, result);
    }
    if (result->difference == NULL)
        result->difference = segment->damage;
    replay->member = segment->config.self;
    replay->boot = segment->boot;
    replay->sequence = segment->sequence;
    replay->segment = NULL;
    if (result->difference != NULL)
        forget_engine(replay);
    return result->difference == NULL;
}
