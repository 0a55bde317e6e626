/* Sessions, and leases of the other door: when they began, when they were surely renewed, and what went with
 * them. */
#include <inttypes.h>

#include "sim/door/inside.h"

enum { DRIFT_PER_MILLION = 1000, COARSE_US = 5000, ROUND_US = 100000, PARTS_OF_RENEWAL = 6 };

qr_simd_lease *qr_simd_lease_of(qr_simd *all, int64_t id)
{
    for (size_t i = all->lease_count; i-- > 0;)
        if (all->leases[i].id == id)
            return &all->leases[i];
    return NULL;
}

void qr_simd_lease_renewed(void *self, int64_t id, uint64_t generation)
{
    qr_simd *all = self;
    qr_simd_lease *lease = qr_simd_lease_of(all, id);
    if (lease != NULL && lease->generation == generation && lease->ended_us == 0)
        lease->renewed_us = all->world->now_us;
}

static void begin(qr_simd *all, const qr_body *body, uint64_t index)
{
    QR_ASSERT(all->lease_count < QR_SIMD_LEASES_MAX);
    all->leases[all->lease_count++] = (qr_simd_lease){.id = body->lease,
                                                      .generation = index,
                                                      .ttl_ms = body->ttl_ms,
                                                      .session = body->session.size > 0,
                                                      .granted_us = all->world->now_us};
}

/* ------------------------------------------------------------------- the end ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Not before its time, from the last renewal that a leader has confirmed. */
static void judge_time(qr_simd *all, const qr_simd_lease *lease)
{
    uint64_t from_us = later(lease->granted_us, lease->renewed_us), length_us = lease->ttl_ms * 1000;
    uint64_t slack_us = length_us * DRIFT_PER_MILLION / 1000000 + COARSE_US;
    if (all->world->now_us + slack_us < from_us + length_us)
        qr_sim_fail(all->world, "leases-last-their-time",
                    "lease %" PRIx64 " of %" PRIu64 " ms ends %" PRIu64 " us after its last renewal",
                    (uint64_t)lease->id, lease->ttl_ms, all->world->now_us - from_us);
}

/* In calm weather: every packet of a client keeps its session, to a sixth of its time. */
static void judge_service(qr_simd *all, const qr_simd_lease *lease)
{
    const qr_sim_world *world = all->world;
    uint64_t length_us = lease->ttl_ms * 1000, part_us = length_us / PARTS_OF_RENEWAL;
    for (uint32_t i = 0; i < all->client_count && world->phase == QR_SIM_CALM; i++) {
        const qr_simd_client *client = &all->clients[i];
        if (client->session != lease->id || client->standing != QR_SIMD_ATTACHED ||
            client->since_us > world->calm_since_us ||
            client->wire->fed_us < world->calm_since_us + part_us + ROUND_US)
            continue;
        if (world->now_us + ROUND_US < client->wire->fed_us + length_us - part_us)
            qr_sim_fail(all->world, "sessions-live-by-packets",
                        "the session of z%u, of %" PRIu64 " ms, ends %" PRIu64 " us after a packet", i + 1,
                        lease->ttl_ms, world->now_us - client->wire->fed_us);
    }
}

/* All that hung on it has gone with it, in one revision. */
static void judge_ephemerals(qr_simd *all, const qr_simd_lease *lease)
{
    for (uint32_t i = 0; i < all->tree.count; i++)
        if (qr_simd_now(&all->tree, i)->owner == lease->id)
            qr_sim_fail(all->world, "ephemerals-go-with-their-session", "%.*s outlives lease %" PRIx64,
                        (int)all->tree.paths[i].name.size, (const char *)all->tree.paths[i].name.data,
                        (uint64_t)lease->id);
}

static void end(qr_simd *all, qr_simd_lease *lease, const qr_body *body)
{
    qr_sim_world *world = all->world;
    qr_sim_story(world, "lease %" PRIx64 " ends", (uint64_t)lease->id);
    lease->ended_us = world->now_us;
    bool by_time = body->kind == QR_BODY_LEASE_EXPIRE;
    if (by_time) {
        judge_time(all, lease);
        judge_service(all, lease);
    }
    if (!by_time && lease->session && !lease->close_asked)
        qr_sim_fail(world, "sessions-end-for-a-cause", "session %" PRIx64 " is closed by nobody",
                    (uint64_t)lease->id);
    judge_ephemerals(all, lease);
}

/* Nothing else went: each change is of a key that hung on one of those that have ended just now. */
static void judge_row(qr_simd *all, qr_simd_row *row)
{
    for (size_t i = 0; i < row->change_count; i++) {
        const qr_simd_change *change = &row->changes[i];
        int64_t owner = qr_simd_at(&all->tree, change->path, row->revision - 1)->owner;
        const qr_simd_lease *lease = owner ? qr_simd_lease_of(all, owner) : NULL;
        if (!change->deleted || lease == NULL || lease->ended_us != all->world->now_us)
            qr_sim_fail(all->world, "ephemerals-go-with-their-session",
                        "%.*s goes at %" PRIu64 " and hung on nothing that ends",
                        (int)all->tree.paths[change->path].name.size,
                        (const char *)all->tree.paths[change->path].name.data, row->revision);
    }
    row->explained = true;
}

void qr_simd_lease_learn(qr_simd *all, qr_sim_node *node, const qr_body *body, uint64_t index,
                         qr_simd_row *row)
{
    const qr_machine *machine = qr_node_machine(node->node);
    qr_machine_lease found;
    if (body->kind == QR_BODY_LEASE_GRANT && !qr_sim_lease_is_own(body->lease) &&
        machine->ops->lease_from(machine, body->lease, &found) && found.id == body->lease &&
        found.generation == index)
        begin(all, body, index);
    for (size_t i = 0; i < all->lease_count; i++) {
        qr_simd_lease *lease = &all->leases[i];
        bool lives = lease->ended_us == 0 && machine->ops->lease_from(machine, lease->id, &found) &&
                     found.id == lease->id && found.generation == lease->generation;
        if (lease->ended_us == 0 && !lives)
            end(all, lease, body);
    }
    if (row != NULL)
        judge_row(all, row);
}
