/* Recordings of anybody: files of segments, images and messages as they are kept, and steps. The first byte
 * says what the rest is. Steps go to an engine that does nothing: a real one may rely on what its node
 * promises. */
#include "box/replay.h"
#include "raft/raft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SELF = 7 };

/* An engine that does nothing. */
typedef struct nobody {
    qr_engine base;
    qr_trace *trace;
} nobody;

static qr_engine *open_nobody(const qr_engine_config *config)
{
    nobody *engine = qr_alloc_zero(1, sizeof *engine);
    engine->trace = config->trace;
    return &engine->base;
}

static void free_nobody(qr_engine *engine)
{
    qr_free(engine);
}

static const char *never_broken(const qr_engine *engine)
{
    return NULL;
}

static qr_status restore_nothing(qr_engine *engine, bool whole, qr_slice image)
{
    return QR_OK;
}

static void step_nothing(qr_engine *engine, const qr_event *event, qr_effects *effects)
{
    uint64_t sum = 0; /* of all that the event points at: a sanitizer looks whether it is there */
    if (event->kind == QR_EVENT_RECV)
        sum = qr_hash(event->recv.bytes, 0);
    for (size_t i = 0; event->kind == QR_EVENT_PROPOSE && i < event->propose.count; i++)
        sum ^= qr_hash(event->propose.commands[i], 0);
    for (size_t i = 0; event->kind == QR_EVENT_ENTRIES && i < event->entries.count; i++)
        sum ^= qr_hash(event->entries.records[i], 0);
    qr_trace_add(((nobody *)engine)->trace, QR_TRACE_DROP, sum, 0, 0, 0);
}

static const qr_engine_ops *mute(void *context, const char *name)
{
    return context;
}

static qr_engine *open_raft(void)
{
    qr_engine_config config = {
        .self = SELF, .incarnation = 1, .seed = 1, .heartbeat_ms = 100, .election_ms = 1000};
    qr_members_add(&config.members, (qr_member){.id = SELF, .role = QR_ROLE_VOTER});
    return qr_raft.open(&config);
}

static void take_image(qr_slice bytes)
{
    qr_engine *engine = open_raft(), *again = open_raft();
    qr_buffer image;
    qr_buffer_init(&image);
    if (qr_raft.restore(engine, false, bytes) == QR_OK) {
        QR_ASSERT(qr_raft.image(engine, false, SIZE_MAX, &image));
        QR_ASSERT(qr_raft.restore(again, false, qr_buffer_slice(&image)) == QR_OK);
    }
    qr_buffer_free(&image);
    qr_raft.free(engine);
    qr_raft.free(again);
}

static void take_opaque(qr_opaque what, qr_slice bytes)
{
    qr_buffer whole, kept, again;
    qr_buffer_init(&whole);
    qr_buffer_init(&kept);
    qr_buffer_init(&again);
    if (qr_raft.expand(what, bytes, &whole) == QR_OK) {
        qr_raft.redact(what, qr_buffer_slice(&whole), &kept);
        QR_ASSERT(qr_raft.expand(what, qr_buffer_slice(&kept), &again) == QR_OK);
    }
    qr_buffer_clear(&kept);
    qr_raft.redact(what, bytes, &kept);
    QR_ASSERT(qr_raft.expand(what, qr_buffer_slice(&kept), &again) == QR_OK);
    qr_buffer_free(&whole);
    qr_buffer_free(&kept);
    qr_buffer_free(&again);
}

static void take_file(qr_slice bytes)
{
    qr_reader file = qr_reader_of(bytes);
    qr_box_segment segment;
    bool lost = false;
    while (qr_box_next(&file, &segment, &lost))
        QR_ASSERT(segment.bytes.size <= bytes.size && segment.config.self != 0);
}

static void take_steps(qr_slice bytes)
{
    qr_engine_ops ops = qr_raft;
    ops.restore = restore_nothing;
    ops.open = open_nobody;
    ops.step = step_nothing;
    ops.broken = never_broken;
    ops.free = free_nobody;
    qr_box_segment segment = {.engine = "raft",
                              .config = {.self = SELF, .heartbeat_ms = 100, .election_ms = 1000}};
    qr_buffer frame;
    qr_buffer_init(&frame);
    qr_buffer_u32(&frame, (uint32_t)bytes.size + 1);
    qr_buffer_u32(&frame, 0);
    qr_buffer_u8(&frame, QR_BOX_STEPS);
    qr_buffer_add_slice(&frame, bytes);
    segment.steps = qr_buffer_slice(&frame);
    qr_replay *replay = qr_replay_new(&(qr_replay_config){.engine = mute, .context = &ops});
    qr_replay_result result = {0};
    qr_replay_segment(replay, &segment, &result);
    qr_replay_free(replay);
    qr_buffer_free(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    qr_slice bytes = qr_slice_of(data + 1, size - 1);
    switch (data[0] % 5) {
    case 0: take_file(bytes); break;
    case 1: take_image(bytes); break;
    case 2: take_opaque(QR_OPAQUE_MESSAGE, bytes); break;
    case 3: take_opaque(QR_OPAQUE_RECORD, bytes); break;
    default: take_steps(bytes);
    }
    return 0;
}
