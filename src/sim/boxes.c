/* Black boxes: every process is recorded, and when it is gone its recording is repeated. It must come to the
 * same effects at every step, and to the same state wherever another segment begins. */
#include <inttypes.h>

#include "box/replay.h"
#include "sim/world.h"

static bool put(void *self, bool begins, qr_slice bytes)
{
    (void)begins;
    qr_buffer_add_slice(self, bytes);
    return true;
}

void qr_sim_box_open(qr_sim_node *node)
{
    const qr_sim_world *world = node->world;
    qr_buffer_clear(&node->recording);
    node->box = (qr_box_sink){.segment_bytes = QR_BOX_SEGMENT_MIN << (world->config->seed & 3),
                              .whole = world->config->seed & 4,
                              .self = &node->recording,
                              .put = put};
}

static const qr_engine_ops *engine_of(void *context, const char *name)
{
    const qr_engine_ops *engine = ((const qr_sim_world *)context)->config->engine;
    return strcmp(name, engine->name) == 0 ? engine : NULL;
}

void qr_sim_box_repeat(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    if (qr_sim_failed(world) || node->recording.size == 0)
        return;
    qr_replay *replay = qr_replay_new(&(qr_replay_config){.engine = engine_of, .context = world});
    qr_replay_result result = {0};
    qr_box_segment segment;
    qr_reader file = qr_reader_of(qr_buffer_slice(&node->recording));
    bool same = true, lost = false;
    while (same && qr_box_next(&file, &segment, &lost)) {
        same = qr_replay_segment(replay, &segment, &result);
        if (!same)
            qr_sim_fail(world, "replays-the-same", "n%u, segment %" PRIu64 ", step %" PRIu64 " (%s): %s",
                        node->number + 1, segment.sequence, result.step, qr_event_name(result.event),
                        result.difference);
    }
    if (lost)
        qr_sim_fail(world, "replays-the-same", "n%u: a part of the recording cannot be read",
                    node->number + 1);
    world->report->recorded += result.steps;
    qr_replay_free(replay);
}
