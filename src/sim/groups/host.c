/* Hosts: one process each, with a replica of every group in it, over a disk each. They are born together and
 * die together; when the power fails in the middle of an operation of one disk it fails for all. */
#include <inttypes.h>

#include "sim/groups/groups.h"

static uint64_t from_local_ms(const qr_sim_host *host, uint64_t local_ms)
{
    if (local_ms <= host->clock_ms)
        return host->born_us;
    uint64_t local_us = (local_ms - host->clock_ms) * 1000, rate = (uint64_t)(1000000 + host->rate_ppm);
    return host->born_us + local_us / rate * 1000000 + local_us % rate * 1000000 / rate + 1;
}

uint64_t qr_sim_host_now_ms(const qr_sim_host *host)
{
    uint64_t us = host->world->now_us - host->born_us;
    int64_t drift_us = (int64_t)us / 1000 * host->rate_ppm / 1000;
    return host->clock_ms + (uint64_t)((int64_t)us + drift_us) / 1000;
}

uint64_t qr_sim_host_us_until(const qr_sim_host *host, uint64_t local_ms)
{
    uint64_t at_us = from_local_ms(host, local_ms), now_us = host->world->now_us;
    return at_us > now_us ? at_us - now_us : 0;
}

static int64_t wall_ms(const qr_sim_host *host)
{
    return 1700000000000 + (int64_t)(host->world->now_us / 1000) + host->wall_skew_ms;
}

static void schedule(qr_sim_replica *replica, uint64_t delay_us, qr_sim_event event)
{
    event.node = replica->host->number;
    event.life = replica->host->life;
    event.pointer = replica;
    qr_sim_groups_after(replica->host->world, delay_us, event);
}

static void want_turn(qr_sim_replica *replica)
{
    qr_sim_groups *world = replica->host->world;
    if (replica->turn_due)
        return;
    replica->turn_due = true;
    schedule(replica, qr_prng_between(&world->prng_world, 1, world->plan.turn_us_max),
             (qr_sim_event){.kind = QR_SIM_TURN});
}

/* ------------------------------------------------------------------ edges ---- */

static void disk_schedule(void *context, uint64_t delay_us)
{
    schedule(context, delay_us, (qr_sim_event){.kind = QR_SIM_DISK});
}

static void disk_done(void *context, const qr_disk_op *op)
{
    qr_sim_replica *replica = context;
    qr_sim_groups *world = replica->host->world;
    qr_sim_groups_mix(world, world->now_us ^ (uint64_t)replica->host->number << 56 ^
                                 (uint64_t)replica->group << 52 ^ (uint64_t)op->kind << 48);
    qr_sim_groups_mix(world, op->offset ^ (uint64_t)op->status << 48);
    if (op->bytes.size && op->kind != QR_DISK_READ)
        qr_sim_groups_mix(world, qr_hash(op->bytes, 0));
}

static qr_status edge_send(void *self, uint64_t to, qr_slice message)
{
    qr_sim_replica *replica = self;
    qr_sim_groups *world = replica->host->world;
    if (qr_sim_disk_dead(replica->disk))
        return QR_OK; /* the power failed earlier in this very call */
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++) {
        if (world->hosts[i].id != to || i == replica->host->number)
            continue;
        qr_sim_groups_mix(world, qr_hash(message, world->now_us ^ replica->host->number));
        qr_sim_network_send(&world->networks[replica->group], replica->host->number, i, message,
                            world->now_us);
        return QR_OK;
    }
    return QR_E_NOT_FOUND;
}

static void on_halted(void *context, const char *sentence)
{
    qr_sim_replica *replica = context;
    replica->halted = true;
    if (!qr_sim_disk_dead(replica->disk))
        qr_sim_groups_fail(replica->host->world, "halts-only-for-a-cause", "h%u, group %u: %s",
                           replica->host->number + 1, replica->group + 1, sentence);
}

static void on_role(void *context, qr_engine_role role, uint64_t term, uint64_t leader)
{
    qr_sim_replica *replica = context;
    if (role != QR_LEADER)
        return;
    replica->host->world->report->elections++;
    qr_sim_groups_tell(replica->host->world, "h%u leads group %u in term %" PRIu64, replica->host->number + 1,
                       replica->group + 1, term);
}

static void on_wake(void *context)
{
    want_turn(context);
}

static qr_machine *new_machine(void *context)
{
    const qr_sim_replica *replica = context;
    return replica->host->world->config->machine(replica->host->world->config->bug, 0);
}

/* ---------------------------------------------------------------- calling ---- */

static void plan_wake(qr_sim_replica *replica)
{
    uint64_t wake_ms = qr_node_wake_ms(replica->node);
    if (wake_ms == UINT64_MAX || replica->turn_due)
        return;
    uint64_t delay_us = qr_sim_host_us_until(replica->host, wake_ms);
    uint64_t at_us = replica->host->world->now_us + delay_us;
    if (delay_us == 0)
        want_turn(replica);
    else if (at_us != replica->wake_us) {
        replica->wake_us = at_us;
        schedule(replica, delay_us, (qr_sim_event){.kind = QR_SIM_WAKE, .number = at_us});
    }
}

/* After each call into a node. */
static void settle(qr_sim_replica *replica, bool was_turn)
{
    qr_sim_host *host = replica->host;
    qr_sim_groups *world = host->world;
    if (world->report->failed)
        return;
    if (qr_sim_disk_dead(replica->disk)) {
        qr_sim_host_crash(host, false, qr_prng_between(&world->prng_nemesis, 1000, 1000000));
        return;
    }
    qr_sim_groups_mix(world, qr_node_trace(replica->node)->hash);
    if (!was_turn) {
        want_turn(replica);
        return;
    }
    qr_sim_ledger_look(replica);
    plan_wake(replica);
}

void qr_sim_replica_turn(qr_sim_replica *replica)
{
    replica->turn_due = false;
    qr_node_turn(replica->node, qr_sim_host_now_ms(replica->host), wall_ms(replica->host));
    settle(replica, true);
}

void qr_sim_replica_disk(qr_sim_replica *replica)
{
    qr_sim_disk_finish(replica->disk);
    settle(replica, false);
}

void qr_sim_replica_link(qr_sim_replica *replica, uint32_t peer, bool up)
{
    const qr_sim_host *other = &replica->host->world->hosts[peer];
    if (replica->sees[peer] == up || (up && !other->up))
        return;
    replica->sees[peer] = up;
    qr_node_on_link(replica->node, other->id, up, qr_sim_host_now_ms(replica->host));
    settle(replica, false);
}

void qr_sim_replica_arrival(qr_sim_replica *replica, const qr_sim_message *message)
{
    qr_node_on_message(replica->node, message->from_id, qr_slice_of(message->bytes, message->size),
                       qr_sim_host_now_ms(replica->host));
    settle(replica, false);
}

qr_status qr_sim_replica_submit(qr_sim_replica *replica, const qr_request *request)
{
    qr_status status = qr_node_submit(replica->node, request);
    settle(replica, false);
    return status;
}

/* ---------------------------------------------------------- birth and death ---- */

static qr_status open_replica(qr_sim_replica *replica, qr_arena *arena, const char **sentence)
{
    const qr_sim_host *host = replica->host;
    const qr_sim_groups *world = host->world;
    const qr_sim_group_plan *plan = &world->plan;
    qr_node_config config = {
        .cluster = 0xc1a57e4,
        .group = replica->group + 1,
        .self = host->id,
        .incarnation = (uint64_t)wall_ms(host),
        .seed = qr_hash_mix(qr_hash_mix(world->config->seed, host->id + replica->group), host->life),
        .heartbeat_ms = plan->heartbeat_ms,
        .election_ms = plan->election_ms,
        .now_ms = qr_sim_host_now_ms(host),
        .wall_ms = wall_ms(host),
        .members = world->members,
        .segment_size = plan->segment_size,
        .checkpoint_bytes = plan->checkpoint_bytes,
        .new_machine = new_machine,
        .request_ms = plan->request_ms,
        .engine = world->config->engine,
        .machine = new_machine(replica),
        .disk = qr_sim_disk_edge(replica->disk),
        .network = {.self = replica, .send = edge_send},
        .bug = world->config->bug,
        .halted = on_halted,
        .role = on_role,
        .wake = on_wake,
        .context = replica,
    };
    return qr_node_open(&config, arena, &replica->node, sentence);
}

/* Both ends learn of the new connections within some milliseconds. */
static void connect_links(qr_sim_replica *replica)
{
    qr_sim_groups *world = replica->host->world;
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++) {
        qr_sim_host *peer = &world->hosts[i];
        if (peer == replica->host || !peer->up)
            continue;
        qr_sim_replica *theirs = &peer->replicas[replica->group];
        uint64_t delay_us = qr_prng_between(&world->prng_world, 500, 20000);
        uint64_t self = (uint64_t)replica->host->number * 2;
        schedule(replica, delay_us, (qr_sim_event){.kind = QR_SIM_LINK, .number = (uint64_t)i * 2 + 1});
        schedule(theirs, delay_us, (qr_sim_event){.kind = QR_SIM_LINK, .number = self});
        schedule(theirs, delay_us + 100, (qr_sim_event){.kind = QR_SIM_LINK, .number = self + 1});
    }
}

void qr_sim_host_pick_up(qr_sim_host *host, uint64_t delay_us)
{
    qr_sim_groups_after(host->world, delay_us,
                        (qr_sim_event){.kind = QR_SIM_BOOT, .node = host->number, .life = host->life});
}

static void begin_life(qr_sim_host *host)
{
    qr_sim_groups *world = host->world;
    host->life++;
    host->up = true;
    host->born_us = world->now_us;
    host->clock_ms = qr_prng_between(&world->prng_world, 1, 10000000);
    host->rate_ppm = (int32_t)qr_prng_below(&world->prng_world, 1001) - 500;
    host->paused_us = 0;
}

void qr_sim_host_boot(qr_sim_host *host)
{
    qr_sim_groups *world = host->world;
    if (host->stays_down)
        return;
    begin_life(host);
    qr_arena arena;
    qr_arena_init(&arena);
    for (uint32_t g = 0; g < world->plan.groups && host->up; g++) {
        qr_sim_replica *replica = &host->replicas[g];
        const char *sentence = "";
        replica->halted = replica->turn_due = false;
        replica->wake_us = UINT64_MAX;
        memset(replica->sees, 0, sizeof replica->sees);
        qr_status status = open_replica(replica, &arena, &sentence);
        if (status == QR_OK)
            continue;
        replica->node = NULL;
        if (!qr_sim_disk_dead(replica->disk))
            qr_sim_groups_fail(world, "recovers-after-crash", "h%u, group %u does not start: %s",
                               host->number + 1, g + 1, sentence);
        qr_sim_host_crash(host, false, qr_prng_between(&world->prng_nemesis, 1000, 300000));
    }
    qr_arena_free(&arena);
    if (!host->up)
        return;
    qr_sim_groups_tell(world, "h%u starts", host->number + 1);
    for (uint32_t g = 0; g < world->plan.groups; g++) {
        connect_links(&host->replicas[g]);
        want_turn(&host->replicas[g]);
    }
    qr_sim_actors_boot(host);
}

static void tell_peers(qr_sim_host *host)
{
    qr_sim_groups *world = host->world;
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++) {
        bool told = qr_prng_below(&world->prng_world, 10) > 0;
        qr_sim_host *peer = &world->hosts[i];
        if (peer == host || !peer->up || !told)
            continue;
        uint64_t delay_us = qr_prng_between(&world->prng_world, 100, 20000);
        for (uint32_t g = 0; g < world->plan.groups; g++)
            schedule(&peer->replicas[g], delay_us,
                     (qr_sim_event){.kind = QR_SIM_LINK, .number = (uint64_t)host->number * 2});
    }
}

static void stop(qr_sim_host *host, bool kill)
{
    host->dying = true;
    for (uint32_t g = 0; g < host->world->plan.groups; g++) {
        qr_sim_replica *replica = &host->replicas[g];
        qr_sim_disk_crash(replica->disk, kill && !qr_sim_disk_dead(replica->disk));
        if (replica->node != NULL)
            qr_node_free(replica->node);
        replica->node = NULL;
    }
    qr_sim_actors_die(host);
    host->dying = host->up = false;
}

void qr_sim_host_crash(qr_sim_host *host, bool kill, uint64_t down_us)
{
    qr_sim_groups *world = host->world;
    world->report->crashes++;
    qr_sim_groups_tell(world, "h%u %s", host->number + 1, kill ? "is killed" : "loses power");
    stop(host, kill);
    tell_peers(host);
    host->life++; /* events for the dead process are void */
    qr_sim_host_pick_up(host, down_us);
}

void qr_sim_host_init(qr_sim_groups *world, uint32_t number)
{
    qr_sim_host *host = &world->hosts[number];
    uint64_t seed = qr_hash_mix(qr_hash_mix(world->config->seed, 2), number);
    *host = (qr_sim_host){.world = world, .number = number, .id = qr_hash_mix(seed, 3) | 1};
    host->replicas = &world->replicas[number * world->plan.groups];
    qr_prng prng;
    qr_prng_seed(&prng, seed);
    host->wall_skew_ms = (int64_t)qr_prng_below(&prng, 2000) - 1000;
    for (uint32_t g = 0; g < world->plan.groups; g++) {
        qr_sim_replica *replica = &host->replicas[g];
        *replica = (qr_sim_replica){.host = host, .group = g, .wake_us = UINT64_MAX};
        uint64_t draw = qr_prng_next(&prng);
        qr_sim_disk_config config = {
            .seed = qr_hash_mix(seed, 100 + g),
            .sync_us_min = 100,
            .sync_us_max = draw & 1 ? 1000 : 5000,
            .stale_writes = draw & 2,
            .folder_prefix = draw & 4,
            .schedule = disk_schedule,
            .done = disk_done,
            .context = replica,
        };
        replica->disk = qr_sim_disk_open(&config);
    }
    qr_sim_host_pick_up(host, qr_prng_below(&world->prng_world, 20000));
}

void qr_sim_host_free(qr_sim_host *host)
{
    stop(host, true);
    for (uint32_t g = 0; g < host->world->plan.groups; g++)
        qr_sim_disk_free(host->replicas[g].disk);
}
