/* Checkpoints on their way. Each chunk is a moment at which the sender, the receiver or the way between them
 * may go, and the parts of a transfer in which that was tried are counted: its first chunk, one in the
 * middle, the last one, and the time when the receiver has all bytes and loads them. */
#include <inttypes.h>

#include "sim/world.h"

static qr_sim_part part_of(uint64_t begin, uint64_t end, uint64_t size)
{
    if (begin == size)
        return QR_SIM_PART_LOAD;
    return begin == 0 ? QR_SIM_PART_FIRST : end == size ? QR_SIM_PART_LAST : QR_SIM_PART_MIDDLE;
}

static qr_sim_node *node_of(qr_sim_world *world, uint64_t id)
{
    for (uint32_t i = 0; i < world->nodes; i++)
        if (world->node[i].id == id)
            return &world->node[i];
    return NULL;
}

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_members, bound);
}

static void die_soon(qr_sim_world *world, qr_sim_node *node, bool kill)
{
    qr_sim_after(
        world, 1 + below(world, 3000),
        (qr_sim_event){.kind = QR_SIM_CRASH, .node = node->number, .life = node->life, .number = kill});
}

/* a: the peer, b to c: the bytes that are sent, d: size of the file; the same for a receiver. */
void qr_sim_transfers_trace(qr_sim_node *node, const qr_trace_record *record)
{
    qr_sim_world *world = node->world;
    bool sends = record->kind == QR_TRACE_CHECKPOINT_CHUNK;
    if (!sends && record->kind != QR_TRACE_CHECKPOINT_PART)
        return;
    world->caught_up += !sends;
    qr_sim_node *peer = node_of(world, record->number[0]);
    if (world->phase != QR_SIM_FAULTS || !world->plan.transfer_cuts || peer == NULL ||
        !qr_sim_node_up(peer) || !qr_sim_node_up(node) ||
        !qr_prng_chance(&world->prng_members, world->plan.transfer_cut_per_million))
        return;
    uint64_t begin = record->number[1], end = record->number[2], size = record->number[3];
    world->report->transfers_cut[part_of(sends ? begin : end, end, size)]++;
    switch (below(world, 6)) {
    case 0: die_soon(world, node, below(world, 2)); break;
    case 1: die_soon(world, peer, below(world, 2)); break;
    case 2: qr_sim_disk_faults_of(node->disk)->crash_in = 1 + below(world, 4); break;
    case 3: qr_sim_disk_faults_of(peer->disk)->crash_in = 1 + below(world, 4); break;
    case 4: qr_sim_nemesis_part(world, node, peer, 50000 + below(world, 2000000)); break;
    default: node->spoils = sends ? peer->id : 0; break;
    }
}

bool qr_sim_transfers_spoil(qr_sim_node *node, uint64_t to, qr_slice message, qr_buffer *spoilt)
{
    if (node->spoils != to || to == 0 || message.size == 0)
        return false;
    node->spoils = 0;
    qr_sim_story(node->world, "a byte of a chunk of n%u goes bad on its way", node->number + 1);
    qr_buffer_add_slice(spoilt, message);
    spoilt->data[spoilt->size - 1] ^= 0x40;
    return true;
}
