/* Connections as TCP gives them: bytes in order or not at all, in pieces of any size, late while the way is
 * cut; each end may learn of the other's end much later. */
#include <inttypes.h>

#include "sim/door/inside.h"

enum { LOOK_US = 10000, PIECE_MAX = 200 };

typedef struct packet { /* of the arena */
    qr_simd_wire *wire;
    qr_slice bytes;
    bool ends; /* the sender has closed behind it */
} packet;

static qr_sim_node *node_of(const qr_simd_wire *wire)
{
    return &wire->all->world->node[wire->node];
}

static const qr_stream_ops *ops_of(const qr_simd_wire *wire)
{
    return qr_zookeeper_door_stream(wire->all->doors[wire->node]).ops;
}

/* ------------------------------------------------------------------ the way ---- */

static void send_piece(qr_simd_wire *wire, qr_simd_act act, qr_slice bytes, bool ends)
{
    qr_simd *all = wire->all;
    qr_sim_world *world = all->world;
    packet *one = qr_arena_zero(&world->arena, 1, sizeof *one);
    *one = (packet){.wire = wire, .bytes = qr_arena_copy(&world->arena, bytes), .ends = ends};
    uint64_t *newest_us = act == QR_SIMD_ACT_UP ? &wire->up_us : &wire->down_us;
    uint64_t at_us = world->now_us + 50 + qr_simd_below(all, 400);
    if (at_us < all->cut_us[wire->node])
        at_us = all->cut_us[wire->node] + qr_simd_below(all, 1000);
    if (at_us <= *newest_us)
        at_us = *newest_us + 1;
    *newest_us = at_us;
    qr_simd_after(all, at_us - world->now_us, act, one);
}

static void send_bytes(qr_simd_wire *wire, qr_simd_act act, qr_slice bytes)
{
    bool torn = qr_simd_below(wire->all, 4) == 0;
    while (bytes.size > 0) {
        size_t size = torn ? 1 + qr_simd_below(wire->all, PIECE_MAX) : bytes.size;
        size = size < bytes.size ? size : bytes.size;
        send_piece(wire, act, qr_slice_of(bytes.data, size), false);
        bytes = qr_slice_of(bytes.data + size, bytes.size - size);
    }
}

void qr_simd_wire_send(qr_simd_wire *wire, qr_slice bytes)
{
    send_bytes(wire, QR_SIMD_ACT_UP, bytes);
}

void qr_simd_wire_drop(qr_simd_wire *wire)
{
    qr_simd *all = wire->all;
    wire->open = false;
    qr_buffer_free(&wire->in);
    qr_buffer_init(&wire->in);
    /* A host that is gone says nothing: the server finds out by itself. */
    if (!qr_simd_stormy(all) || qr_simd_below(all, 3) > 0)
        send_piece(wire, QR_SIMD_ACT_UP, qr_slice_of(NULL, 0), true);
}

/* ----------------------------------------------------------- the server's end ---- */

static void close_stream(qr_simd_wire *wire)
{
    ops_of(wire)->close(wire->stream);
    wire->stream = NULL;
}

static void want_drain(qr_simd_wire *wire)
{
    if (wire->drain_due || wire->stream == NULL)
        return;
    wire->drain_due = true;
    qr_simd_after(wire->all, 1 + qr_simd_below(wire->all, 50), QR_SIMD_ACT_DRAIN, wire);
}

static void on_wake(void *self)
{
    want_drain(self);
}

static void drain(qr_simd_wire *wire)
{
    wire->drain_due = false;
    if (wire->stream == NULL)
        return;
    size_t piece = 1 + qr_simd_below(wire->all, 2000);
    qr_buffer out;
    qr_buffer_init(&out);
    ops_of(wire)->drain(wire->stream, &out, piece);
    size_t size = out.size;
    if (size > 0)
        send_bytes(wire, QR_SIMD_ACT_DOWN, qr_buffer_slice(&out));
    qr_buffer_free(&out);
    if (size == piece) {
        want_drain(wire);
    } else if (ops_of(wire)->finished(wire->stream)) {
        close_stream(wire);
        send_piece(wire, QR_SIMD_ACT_DOWN, qr_slice_of(NULL, 0), true);
    }
    qr_sim_node_called(node_of(wire));
}

static void tick(qr_simd_wire *wire)
{
    if (wire->stream == NULL)
        return;
    uint64_t now_ms = qr_sim_node_now_ms(node_of(wire));
    if (ops_of(wire)->wake_ms(wire->stream) <= now_ms) {
        ops_of(wire)->tick(wire->stream, now_ms);
        want_drain(wire);
    }
    qr_simd_after(wire->all, LOOK_US, QR_SIMD_ACT_TICK, wire);
    qr_sim_node_called(node_of(wire));
}

static void arrive_up(const packet *one)
{
    qr_simd_wire *wire = one->wire;
    if (wire->stream == NULL)
        return;
    if (one->ends) {
        close_stream(wire);
    } else {
        wire->fed_us = wire->all->world->now_us;
        bool ok = ops_of(wire)->feed(wire->stream, one->bytes, qr_sim_node_now_ms(node_of(wire))) == QR_OK;
        if (!ok)
            qr_sim_fail(wire->all->world, "well-formed-is-taken", "n%u refuses the bytes of connection %u",
                        wire->node + 1, wire->number);
        want_drain(wire);
    }
    qr_sim_node_called(node_of(wire));
}

/* ----------------------------------------------------------- the client's end ---- */

static void take_packets(qr_simd_wire *wire)
{
    while (wire->open && wire->in.size >= 4) {
        const uint8_t *head = wire->in.data;
        size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
        if (wire->in.size - 4 < size)
            break;
        qr_slice bytes = qr_arena_copy(&wire->all->world->arena, qr_slice_of(head + 4, size));
        qr_buffer_drop(&wire->in, 4 + size);
        qr_sim_mix(wire->all->world, qr_hash(bytes, wire->number));
        qr_simd_client_hear(wire, bytes);
    }
}

/* In calm weather nothing is closed but by the client, or in the name of an alarm. */
static void judge_end(const qr_simd_wire *wire)
{
    const qr_sim_world *world = wire->all->world;
    const qr_sim_plan *plan = &world->plan;
    bool disturbed = plan->alarms || plan->changes || plan->handovers || world->calm_overload;
    if (world->phase == QR_SIM_CALM && wire->opened_us > world->calm_since_us && wire->greeted &&
        !wire->impostor && !wire->closing && !disturbed)
        qr_sim_fail(wire->all->world, "works-when-calm", "n%u closes the connection %u of z%u",
                    wire->node + 1, wire->number, wire->client->number + 1);
}

static void arrive_down(const packet *one)
{
    qr_simd_wire *wire = one->wire;
    if (!wire->open)
        return;
    if (one->ends) {
        wire->open = false;
        judge_end(wire);
        qr_simd_client_cut(wire->client);
        return;
    }
    qr_buffer_add_slice(&wire->in, one->bytes);
    take_packets(wire);
}

/* ------------------------------------------------------------------- events ---- */

/* What concerns the server waits while it is paused, and is void when its process is gone. */
static bool reaches_server(qr_simd *all, qr_simd_wire *wire, qr_sim_event *event)
{
    const qr_sim_node *node = node_of(wire);
    if (wire->stream == NULL || !qr_sim_node_up(node) || node->life != wire->life)
        return false;
    if (node->paused_us > wire->held_us) /* a pause may be cut short: what waits already stays ahead */
        wire->held_us = node->paused_us;
    if (wire->held_us <= all->world->now_us)
        return true;
    qr_sim_queue_delay(&all->world->queue, *event, wire->held_us);
    return false;
}

void qr_simd_wire_event(qr_simd *all, qr_simd_act act, qr_sim_event *event)
{
    bool is_packet = act == QR_SIMD_ACT_UP || act == QR_SIMD_ACT_DOWN;
    packet *one = is_packet ? event->pointer : NULL;
    qr_simd_wire *wire = is_packet ? one->wire : event->pointer;
    if (act == QR_SIMD_ACT_DOWN) {
        arrive_down(one);
        return;
    }
    if (!reaches_server(all, wire, event))
        return;
    if (act == QR_SIMD_ACT_UP)
        arrive_up(one);
    else if (act == QR_SIMD_ACT_DRAIN)
        drain(wire);
    else
        tick(wire);
}

qr_simd_wire *qr_simd_wire_open(qr_simd_client *client, uint32_t number)
{
    qr_simd *all = client->all;
    qr_sim_world *world = all->world;
    qr_sim_node *node = &world->node[number];
    if (!qr_sim_node_up(node) || node->halted || node->paused_us > world->now_us ||
        all->cut_us[number] > world->now_us)
        return NULL;
    qr_simd_wire *wire = qr_arena_zero(&world->arena, 1, sizeof *wire);
    *wire = (qr_simd_wire){.next = all->wires,
                           .all = all,
                           .client = client,
                           .number = ++all->wire_count,
                           .node = number,
                           .life = node->life,
                           .open = true,
                           .opened_us = world->now_us};
    all->wires = wire;
    wire->stream = ops_of(wire)->open(qr_zookeeper_door_stream(all->doors[number]).self, "127.0.0.1:4711",
                                      (qr_stream_waker){wire, on_wake}, qr_sim_node_now_ms(node));
    QR_ASSERT(wire->stream != NULL);
    qr_simd_after(all, LOOK_US, QR_SIMD_ACT_TICK, wire);
    return wire;
}

void qr_simd_wire_leave(qr_simd *all, qr_sim_node *node)
{
    for (qr_simd_wire *wire = all->wires; wire != NULL; wire = wire->next) {
        if (wire->stream == NULL || wire->node != node->number)
            continue;
        close_stream(wire);
        if (wire->open) /* the client hears of it, or nothing at all */
            send_piece(wire, QR_SIMD_ACT_DOWN, qr_slice_of(NULL, 0), true);
    }
}
