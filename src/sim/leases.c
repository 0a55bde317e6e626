/* Leases in the workload, and what has to be true of them (rows 27 and 28). Their state is the model's
 * business; here is their time, the world's own, which no member knows. Members' clocks drift, so a lease may
 * last shorter or longer by the drift of the clocks that measure it, and by their coarseness. */
#include <inttypes.h>

#include "sim/world.h"

enum {
    DRIFT_PER_MILLION = 1000, /* two clocks, each wrong by as much as node.c draws */
    COARSE_US = 5000,
    GRACE_US = 500000, /* of a new leader, for a renewal that was confirmed late */
    SLOW_US = 2000000,
};

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_lease, bound);
}

/* ------------------------------------------------------------ the requests ---- */

static void draft_attached(qr_sim_world *world, qr_sim_op *op, int64_t lease)
{
    uint64_t number = below(world, world->plan.keys);
    qr_op *put = qr_arena_zero(&world->arena, 1, sizeof *put);
    qr_txn *txn = qr_arena_zero(&world->arena, 1, sizeof *txn);
    put->kind = QR_OP_PUT;
    put->put = (qr_put){.space = QR_SPACE_KEYS, .lease = lease};
    put->put.key = qr_slice_text(qr_arena_format(&world->arena, "k%" PRIu64, number));
    put->put.value = qr_slice_text(qr_arena_format(&world->arena, "v%" PRIu64, op->id));
    if (below(world, 4) == 0)
        put->put.options = QR_PUT_DETACH_ON_EXPIRY;
    *txn = (qr_txn){.then_ops = put, .then_count = 1};
    op->txn = txn;
    qr_sim_write_body(op, &(qr_body){.kind = QR_BODY_TXN, .txn = *txn});
}

bool qr_sim_lease_draft(qr_sim_world *world, qr_sim_op *op)
{
    uint64_t draw = below(world, 100);
    int64_t lease = (int64_t)(1 + below(world, QR_SIM_LEASES_MAX));
    uint64_t ttl_ms = 100 + below(world, QR_SIM_TTL_MS_MAX - 100);
    if (draw < 6) {
        qr_body body = {.kind = QR_BODY_LEASE_GRANT, .lease = lease, .ttl_ms = ttl_ms};
        if (world->plan.paths && below(world, 2))
            body.session = qr_slice_text(op->mark);
        qr_sim_write_body(op, &body);
    } else if (draw < 7) {
        qr_sim_write_body(op, &(qr_body){.kind = QR_BODY_LEASE_REVOKE, .lease = lease});
    } else if (draw < 13) {
        draft_attached(world, op, lease);
    } else if (draw < 30) {
        op->kind = QR_REQUEST_LEASE_RENEW;
        op->lease = lease;
    } else if (draw < 34) {
        op->kind = QR_REQUEST_LEASE_TIME;
        op->lease = lease;
    } else {
        return false;
    }
    return true;
}

/* ---------------------------------------------------------------- their time ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t drift_us(uint64_t span_us)
{
    return span_us * DRIFT_PER_MILLION / 1000000 + COARSE_US;
}

/* An expiry ends it now. Not before its time, counted from the last renewal that anybody was told of. */
static void judge_end(qr_sim_world *world, int64_t id, const qr_sim_lease *lease)
{
    const qr_sim_life *life = &world->lives[id];
    uint64_t from_us = later(life->granted_us, life->renewed_us);
    uint64_t due_us = from_us + lease->ttl_ms * 1000;
    uint64_t slack_us = drift_us(due_us - from_us);
    if (world->now_us + slack_us < due_us)
        qr_sim_fail(world, "leases-last-their-time",
                    "lease %" PRId64 " of %" PRIu64 " ms ends %" PRIu64 " us after its last renewal, %" PRIu64
                    " us early",
                    id, lease->ttl_ms, world->now_us - from_us, due_us - world->now_us);
}

void qr_sim_lease_applied(qr_sim_world *world, const qr_body *body, uint64_t index, qr_buffer *text)
{
    qr_sim_model *model = &world->oracle.model;
    qr_sim_lease before[QR_SIM_LEASES_MAX + 1];
    memcpy(before, model->leases, sizeof before);
    qr_sim_model_lease(model, body, index, text);
    for (int64_t id = 1; id <= QR_SIM_LEASES_MAX; id++) {
        uint64_t was = before[id].generation, is = model->leases[id].generation;
        if (was == is)
            continue;
        if (is == 0 && body->kind == QR_BODY_LEASE_EXPIRE)
            judge_end(world, id, &before[id]);
        qr_sim_life *life = &world->lives[id];
        life->granted_us = is != 0 ? world->now_us : 0;
        if (is == 0) {
            life->revoked_us = body->kind == QR_BODY_LEASE_REVOKE ? world->now_us : 0;
            life->revoked_generation = was;
        }
    }
}

/* A quorum noted a renewal, somebody revoked the lease by way of a new leader, and only then does the old one
 * hear that it was noted: the renewal came before, and may be confirmed as long as a round may take. */
static bool was_renewed_before(const qr_sim_world *world, const qr_sim_life *life, uint64_t generation)
{
    return life->revoked_generation == generation && life->revoked_us != 0 &&
           world->now_us <= life->revoked_us + GRACE_US;
}

/* A leader has what it needs to tell a client so. */
void qr_sim_lease_renewed(qr_sim_node *node, const qr_trace_record *record)
{
    qr_sim_world *world = node->world;
    uint64_t id = record->number[0], generation = record->number[1];
    if (qr_sim_disk_dead(node->disk) || node->dying)
        return;
    if (!qr_sim_lease_is_own((int64_t)id)) {
        if (world->door != NULL)
            world->config->door->renewed(world->door, (int64_t)id, generation);
        return;
    }
    qr_sim_life *life = &world->lives[id];
    life->said_us = world->now_us;
    if (world->oracle.model.leases[id].generation == generation)
        life->renewed_us = world->now_us;
    else if (!was_renewed_before(world, life, generation))
        qr_sim_fail(world, "renewed-is-not-gone",
                    "n%u renews lease %" PRIu64 " of entry %" PRIu64 ", which has ended", node->number + 1,
                    id, generation);
}

void qr_sim_lease_answered(qr_sim_op *op, const qr_reply *reply)
{
    qr_sim_world *world = op->world;
    qr_sim_life *life = &world->lives[op->lease];
    bool lived_all_the_time = world->oracle.model.leases[op->lease].generation != 0 &&
                              life->granted_us != 0 && life->granted_us < op->invoked_us;
    if (op->kind == QR_REQUEST_LEASE_RENEW)
        life->touched_us = world->now_us;
    if (reply->status == QR_E_LEASE_NOT_FOUND && lived_all_the_time)
        qr_sim_fail(world, "gone-is-gone", "%s was told that lease %" PRId64 " has ended, and it has not",
                    op->mark, op->lease);
    if (reply->status != QR_OK)
        return;
    const qr_lease_time *time = reply->result;
    bool had_ended = life->granted_us == 0 && life->revoked_us != 0 && life->revoked_us < op->invoked_us;
    if (op->kind == QR_REQUEST_LEASE_RENEW && had_ended)
        qr_sim_fail(world, "renewed-is-not-gone",
                    "%s was told that lease %" PRId64 " is renewed, which had ended before it asked",
                    op->mark, op->lease);
    if (op->kind == QR_REQUEST_LEASE_RENEW && life->said_us < op->invoked_us)
        qr_sim_fail(world, "renewals-are-confirmed",
                    "%s was told that lease %" PRId64 " is renewed, and it is not", op->mark, op->lease);
    if (time->remaining_ms > time->ttl_ms + GRACE_US / 1000 + QR_SIM_TTL_MS_MAX)
        qr_sim_fail(world, "leases-end", "%s was told that lease %" PRId64 " lasts %" PRIu64 " ms", op->mark,
                    op->lease, time->remaining_ms);
}

/* No member is down and none restarts: a lease that nobody renews ends when its time is over. */
void qr_sim_lease_look(qr_sim_world *world)
{
    uint64_t slow_us = GRACE_US + SLOW_US + (uint64_t)world->plan.election_ms * 4 * 1000;
    for (int64_t id = 1; id <= QR_SIM_LEASES_MAX; id++) {
        const qr_sim_lease *lease = &world->oracle.model.leases[id];
        const qr_sim_life *life = &world->lives[id];
        uint64_t from_us =
            later(later(life->granted_us, life->renewed_us), later(life->touched_us, world->calm_since_us));
        uint64_t due_us = from_us + lease->ttl_ms * 1000;
        if (lease->generation != 0 && world->now_us > due_us + drift_us(due_us - from_us) + slow_us)
            qr_sim_fail(world, "leases-end",
                        "lease %" PRId64 " of %" PRIu64 " ms lasts %" PRIu64 " us too long", id,
                        lease->ttl_ms, world->now_us - due_us);
    }
}

uint32_t qr_sim_lease_count(const qr_sim_world *world)
{
    uint32_t count = 0;
    for (int64_t id = 1; id <= QR_SIM_LEASES_MAX; id++)
        count += world->oracle.model.leases[id].generation != 0;
    return count;
}
