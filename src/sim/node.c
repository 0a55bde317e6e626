/* Processes: a real node over a simulated disk and network, born at boot and gone at a crash. Whatever calls
 * into it goes through here, so that after each call the same things are looked after: did the power fail in
 * the middle, did it halt, is what it says of itself still true, when does it want to be called again. */
#include <inttypes.h>

#include "sim/world.h"

enum { SCRUB_MS = 3000 }; /* a few rounds a run, besides those that the log asks for */

static uint64_t from_local_ms(const qr_sim_node *node, uint64_t local_ms)
{
    if (local_ms <= node->clock_ms)
        return node->born_us;
    uint64_t local_us = (local_ms - node->clock_ms) * 1000;
    int64_t rate = 1000000 + node->rate_ppm;
    return node->born_us + (local_us / (uint64_t)rate) * 1000000 +
           (local_us % (uint64_t)rate) * 1000000 / (uint64_t)rate + 1;
}

uint64_t qr_sim_node_now_ms(const qr_sim_node *node)
{
    uint64_t us = node->world->now_us - node->born_us;
    int64_t drift_us = (int64_t)us / 1000 * node->rate_ppm / 1000;
    return node->clock_ms + (uint64_t)((int64_t)us + drift_us) / 1000;
}

static int64_t wall_ms(const qr_sim_node *node)
{
    return 1700000000000 + (int64_t)(node->world->now_us / 1000) + node->wall_skew_ms;
}

static void schedule(qr_sim_node *node, uint64_t delay_us, qr_sim_event event)
{
    event.node = node->number;
    event.life = node->life;
    qr_sim_after(node->world, delay_us, event);
}

static void want_turn(qr_sim_node *node)
{
    if (node->turn_due)
        return;
    node->turn_due = true;
    uint64_t delay_us = qr_prng_between(&node->world->prng_world, 1, node->world->plan.turn_us_max);
    schedule(node, delay_us, (qr_sim_event){.kind = QR_SIM_TURN});
}

/* ------------------------------------------------------------------ edges ---- */

static void disk_schedule(void *context, uint64_t delay_us)
{
    schedule(context, delay_us, (qr_sim_event){.kind = QR_SIM_DISK});
}

static void disk_durable(void *context, qr_slice bytes)
{
    qr_sim_oracle_durable(context, bytes);
}

static void disk_done(void *context, const qr_disk_op *op)
{
    qr_sim_node *node = context;
    qr_sim_world *world = node->world;
    qr_sim_mix(world, world->now_us ^ (uint64_t)node->number << 56 ^ (uint64_t)op->kind << 48);
    qr_sim_mix(world, op->offset ^ (uint64_t)op->status << 48);
    if (op->bytes.size && op->kind != QR_DISK_READ)
        qr_sim_mix(world, qr_hash(op->bytes, 0));
    if (op->status == QR_E_IO || op->status == QR_E_NO_SPACE)
        qr_sim_story(world, "n%u disk: %s of %s fails: %s", node->number + 1,
                     op->kind == QR_DISK_CREATE ? "create"
                     : op->kind == QR_DISK_READ ? "read"
                                                : "write or sync",
                     op->name, qr_status_name(op->status));
}

static qr_status edge_send(void *self, uint64_t to, qr_slice message)
{
    qr_sim_node *node = self;
    qr_sim_world *world = node->world;
    if (qr_sim_disk_dead(node->disk))
        return QR_OK; /* the power failed earlier in this very call */
    if (qr_sim_disk_failed(node->disk))
        qr_sim_fail(world, "silent-after-failed-sync", "n%u sends a message after its disk has failed",
                    node->number + 1);
    for (uint32_t i = 0; i < world->nodes; i++) {
        if (world->node[i].id != to || i == node->number)
            continue;
        qr_sim_mix(world, world->now_us ^ (uint64_t)node->number << 60 ^ (uint64_t)i << 56);
        qr_sim_mix(world, qr_hash(message, 1));
        if (!qr_sim_members_linked(node, &world->node[i]))
            return QR_E_NOT_FOUND;
        qr_buffer spoilt;
        qr_buffer_init(&spoilt);
        if (qr_sim_transfers_spoil(node, to, message, &spoilt) ||
            qr_sim_malformed_message(node, to, message, &spoilt))
            message = qr_buffer_slice(&spoilt);
        qr_sim_network_send(&world->network, node->number, i, message, world->now_us);
        qr_buffer_free(&spoilt);
        return QR_OK;
    }
    return QR_E_NOT_FOUND;
}

static void on_trace(void *context, const qr_trace_record *record)
{
    qr_sim_node *node = context;
    qr_sim_story_trace(node, record);
    if (record->kind == QR_TRACE_ROLE || record->kind == QR_TRACE_VOTE_ASK)
        node->world->report->elections += record->kind == QR_TRACE_ROLE && record->number[1] == QR_LEADER;
    if (record->kind == QR_TRACE_DIVERGE || record->kind == QR_TRACE_ALARM)
        qr_sim_oracle_diverges(node, record);
    if (record->kind == QR_TRACE_SAVED)
        qr_sim_oracle_saved(node, record->number[0], record->number[1]);
    if (record->kind == QR_TRACE_TROUBLE && qr_sim_disk_overloaded(node->disk))
        node->world->calm_overload = true; /* the clients ask for more than this disk can do */
    if (record->kind == QR_TRACE_LEASE_RENEW)
        qr_sim_lease_renewed(node, record);
    node->world->report->checkpoints += record->kind == QR_TRACE_CHECKPOINT_DONE;
    qr_sim_configs_trace(node, record);
    qr_sim_transfers_trace(node, record);
    qr_sim_nemesis_trace(node, record);
}

static void on_halted(void *context, const char *sentence)
{
    qr_sim_node *node = context;
    node->halted = true;
    qr_sim_story(node->world, "n%u halts: %s", node->number + 1, sentence);
    /* Who was removed may still get what was decided behind its removal, and need not know it. */
    bool belongs = qr_members_find(qr_sim_configs_last(node->world), node->id) != NULL;
    if (belongs && !qr_sim_disk_failed(node->disk) && !qr_sim_disk_dead(node->disk) && !node->rots)
        qr_sim_fail(node->world, "halts-only-for-a-cause", "n%u: %s", node->number + 1, sentence);
}

static void on_role(void *context, qr_engine_role role, uint64_t term, uint64_t leader)
{
    qr_sim_node *node = context;
    if (role == QR_LEADER && !node->leads)
        node->leads_since_us = node->world->now_us;
    node->leads = role == QR_LEADER;
    qr_sim_oracle_role(node, role, term);
}

static void on_reconfigured(void *context, const qr_members *members, bool removed)
{
    qr_sim_node *node = context;
    if (!qr_sim_disk_dead(node->disk))
        qr_sim_members_reconfigured(node, removed);
}

static void on_wake(void *context)
{
    want_turn(context);
}

static void on_applied(void *context, uint64_t index, uint64_t term, qr_entry_kind kind, qr_slice bytes,
                       uint64_t digest)
{
    qr_sim_node *node = context;
    if (!qr_sim_disk_dead(node->disk))
        qr_sim_oracle_applied(node, index, term, kind, bytes, digest);
}

static void on_restored(void *context, uint64_t index, uint64_t term, uint64_t digest, uint64_t revision,
                        bool received)
{
    qr_sim_node *node = context;
    if (!qr_sim_disk_dead(node->disk))
        qr_sim_oracle_restored(node, index, term, digest, revision, received);
}

static qr_machine *new_machine(void *context)
{
    const qr_sim_node *node = context;
    return node->world->config->machine(node->world->config->bug, node->world->plan.admit_bytes);
}

/* --------------------------------------------------------------- settling ---- */

static void plan_wake(qr_sim_node *node)
{
    uint64_t wake_ms = qr_node_wake_ms(node->node);
    if (wake_ms == UINT64_MAX || node->turn_due)
        return;
    uint64_t at_us = from_local_ms(node, wake_ms), now_us = node->world->now_us;
    if (at_us <= now_us) {
        want_turn(node);
        return;
    }
    if (at_us == node->wake_us)
        return;
    node->wake_us = at_us;
    schedule(node, at_us - now_us, (qr_sim_event){.kind = QR_SIM_WAKE, .number = at_us});
}

/* After each call into the node. */
static void settle(qr_sim_node *node, bool was_turn)
{
    qr_sim_world *world = node->world;
    if (qr_sim_failed(world))
        return;
    if (qr_sim_disk_dead(node->disk)) {
        qr_sim_story(world, "n%u: the power fails in the middle of an operation", node->number + 1);
        qr_sim_node_crash(node, false, qr_prng_between(&world->prng_nemesis, 1000, 1000000));
        return;
    }
    qr_sim_mix(world, qr_node_trace(node->node)->hash);
    if (node->halted) {
        if (!was_turn)
            want_turn(node); /* so that what waits is told */
        else
            schedule(node, qr_prng_between(&world->prng_nemesis, 1, 500000),
                     (qr_sim_event){.kind = QR_SIM_CRASH});
        return;
    }
    qr_sim_oracle_look(node);
    if (!was_turn)
        want_turn(node);
    else
        plan_wake(node);
}

/* ---------------------------------------------------------------- calling ---- */

void qr_sim_node_turn(qr_sim_node *node)
{
    node->turn_due = false;
    qr_node_turn(node->node, qr_sim_node_now_ms(node), wall_ms(node));
    settle(node, true);
}

void qr_sim_node_arrival(qr_sim_node *node, const qr_sim_message *message)
{
    const qr_sim_node *from = &node->world->node[message->from];
    if (from->id == message->from_id && !qr_sim_members_linked(from, node))
        return; /* the connection was closed meanwhile */
    qr_node_on_message(node->node, message->from_id, qr_slice_of(message->bytes, message->size),
                       qr_sim_node_now_ms(node));
    settle(node, false);
}

void qr_sim_node_link(qr_sim_node *node, uint32_t peer, bool up)
{
    qr_sim_world *world = node->world;
    if (up && (!qr_sim_node_up(&world->node[peer]) || !qr_sim_members_linked(node, &world->node[peer]) ||
               qr_sim_network_is_cut(&world->network, peer, node->number)))
        return;
    if (node->sees[peer] == up)
        return;
    node->sees[peer] = up;
    qr_node_on_link(node->node, world->node[peer].id, up, qr_sim_node_now_ms(node));
    settle(node, false);
}

void qr_sim_node_disk(qr_sim_node *node)
{
    qr_sim_disk_finish(node->disk);
    settle(node, false);
}

qr_status qr_sim_node_submit(qr_sim_node *node, const qr_request *request)
{
    qr_status status = qr_node_submit(node->node, request);
    settle(node, false);
    return status;
}

void qr_sim_node_called(qr_sim_node *node)
{
    settle(node, false);
}

/* ---------------------------------------------------------- birth and death ---- */

static qr_node_config config_of(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    const qr_sim_plan *plan = &world->plan;
    qr_node_config config = {
        .cluster = 0xc1a57e4,
        .group = 1,
        .self = node->id,
        .incarnation = (uint64_t)wall_ms(node),
        .seed = qr_hash_mix(qr_hash_mix(world->config->seed, node->id), node->life),
        .heartbeat_ms = plan->heartbeat_ms,
        .election_ms = plan->election_ms,
        .now_ms = qr_sim_node_now_ms(node),
        .wall_ms = wall_ms(node),
        .members = world->members,
        .segment_size = plan->segment_size,
        .checkpoint_bytes = plan->checkpoint_bytes,
        .scrub_ms = SCRUB_MS,
        .apply_knows = node->apply_knows,
        .level_max = node->level_max,
        .new_machine = new_machine,
        .engine_memory_max = plan->engine_memory_max,
        .engine_message_max = plan->engine_message_max,
        .request_ms = plan->request_ms,
        .engine = qr_sim_malformed_start(node),
        .disk = qr_sim_disk_edge(node->disk),
        .network = {.self = node, .send = edge_send},
        .trace_sink = on_trace,
        .trace_context = node,
        .box = &node->box,
        .bug = world->config->bug,
        .halted = on_halted,
        .role = on_role,
        .reconfigured = on_reconfigured,
        .wake = on_wake,
        .applied = on_applied,
        .restored = on_restored,
        .context = node,
    };
    qr_sim_members_configure(node, &config);
    return config;
}

/* Both ends learn of the new connections within some milliseconds. */
static void connect_links(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node *peer = &world->node[i];
        if (peer == node || !qr_sim_node_up(peer))
            continue;
        uint64_t delay_us = qr_prng_between(&world->prng_world, 500, 20000);
        schedule(node, delay_us, (qr_sim_event){.kind = QR_SIM_LINK, .number = i * 4 + 1});
        schedule(peer, delay_us, (qr_sim_event){.kind = QR_SIM_LINK, .number = node->number * 4});
        schedule(peer, delay_us + 100, (qr_sim_event){.kind = QR_SIM_LINK, .number = node->number * 4 + 1});
    }
}

static void plan_boot(qr_sim_node *node, uint64_t down_us)
{
    qr_sim_after(node->world, down_us,
                 (qr_sim_event){.kind = QR_SIM_BOOT, .node = node->number, .life = node->life});
}

/* As bin/serve does it: a log that was damaged is put aside. */
static qr_status open_node(qr_sim_node *node, qr_arena *arena, const char **sentence)
{
    qr_sim_world *world = node->world;
    qr_node_config config = config_of(node);
    qr_status status = qr_node_prepare(&config, true, arena, sentence);
    if (status != QR_OK)
        return status;
    config.machine = new_machine(node);
    status = qr_node_open(&config, arena, &node->node, sentence);
    if (node->misreads.refused && !qr_sim_disk_dead(node->disk)) { /* then comes one that reads it well */
        qr_sim_story(world, "n%u refuses to start: %s", node->number + 1, *sentence);
        world->report->malformed++;
        node->misreads.in = 0;
        config.machine = new_machine(node);
        status = qr_node_open(&config, arena, &node->node, sentence);
    }
    if (status != QR_E_CORRUPT || !node->damaged)
        return status;
    qr_sim_story(world, "n%u finds its log damaged and puts it aside: %s", node->number + 1, *sentence);
    world->report->put_aside++;
    node->misreads.in = 0; /* what was to be misread is not read any more */
    status = qr_node_put_aside(&config, arena, sentence);
    if (status != QR_OK)
        return status;
    config.machine = new_machine(node);
    return qr_node_open(&config, arena, &node->node, sentence);
}

void qr_sim_node_boot(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    QR_ASSERT(node->node == NULL);
    if (!qr_sim_members_may_boot(node))
        return;
    node->life++;
    node->born_us = world->now_us;
    qr_sim_level_boot(node);
    node->clock_ms = qr_prng_between(&world->prng_world, 1, 10000000);
    node->rate_ppm = (int32_t)qr_prng_below(&world->prng_world, 1001) - 500;
    node->halted = node->turn_due = node->leads = node->rots = false;
    node->applied = node->commit = node->term = node->local_index = 0;
    node->wake_us = UINT64_MAX;
    memset(node->sees, 0, sizeof node->sees);
    node->seat.removed = false;
    node->spoils = 0;
    if (world->phase == QR_SIM_FAULTS && world->plan.boot_crashes &&
        qr_prng_below(&world->prng_nemesis, 4) == 0)
        qr_sim_disk_faults_of(node->disk)->crash_in = qr_prng_between(&world->prng_nemesis, 1, 40);
    if (node->damage_due) {
        node->damage_due = false;
        if (qr_sim_damage_at_rest(node)) {
            node->damaged = true;
            node->seat.lost_incarnation = node->incarnation;
        }
    }
    qr_sim_box_open(node);
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence = NULL;
    qr_status status = open_node(node, &arena, &sentence);
    if (status != QR_OK) {
        node->node = NULL;
        if (!qr_sim_disk_dead(node->disk))
            qr_sim_fail(world, "recovers-after-crash", "n%u does not start: %s: %s", node->number + 1,
                        qr_status_name(status), sentence ? sentence : "");
        qr_sim_story(world, "n%u: the power fails while it starts", node->number + 1);
        qr_sim_disk_crash(node->disk, false);
        world->report->crashes++;
        plan_boot(node, qr_prng_between(&world->prng_nemesis, 1000, 300000));
    }
    qr_arena_free(&arena);
    if (node->node == NULL)
        return;
    qr_node_status now;
    qr_node_status_of(node->node, &now);
    node->incarnation = now.incarnation;
    connect_links(node);
    if (world->door != NULL)
        world->config->door->booted(world->door, node);
    want_turn(node);
    settle(node, false);
}

/* With all that it had under way. */
static void free_process(qr_sim_node *node)
{
    const qr_sim_world *world = node->world;
    node->dying = true;
    if (world->door != NULL)
        world->config->door->dying(world->door, node);
    qr_node_free(node->node);
    node->node = NULL;
    if (world->door != NULL)
        world->config->door->dead(world->door, node);
    node->dying = false;
}

/* When a process dies its peers mostly hear of it; when the power fails, sometimes never. */
static void tell_peers(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node *peer = &world->node[i];
        bool told = qr_prng_below(&world->prng_world, 10) > 0;
        if (peer == node || !qr_sim_node_up(peer) || !told)
            continue;
        uint64_t delay_us = qr_prng_between(&world->prng_world, 100, 20000);
        schedule(peer, delay_us, (qr_sim_event){.kind = QR_SIM_LINK, .number = node->number * 4});
    }
}

void qr_sim_node_crash(qr_sim_node *node, bool kill, uint64_t down_us)
{
    qr_sim_world *world = node->world;
    QR_ASSERT(node->node != NULL);
    world->report->crashes++;
    kill = kill && !qr_sim_disk_failed(node->disk) && !qr_sim_disk_dead(node->disk);
    qr_sim_story(world, "n%u %s", node->number + 1, kill ? "is killed" : "loses power");
    qr_sim_mix(world, qr_node_trace(node->node)->hash);
    qr_sim_disk_crash(node->disk, kill);
    free_process(node);
    qr_sim_box_repeat(node);
    if (node->taken != NULL)
        qr_sim_fail(world, "every-request-is-answered-once", "n%u dies and never calls done() of %s",
                    node->number + 1, node->taken->mark);
    tell_peers(node);
    node->life++; /* events for the dead process are void */
    plan_boot(node, down_us);
}

static uint64_t seed_of(const qr_sim_node *node)
{
    uint64_t seed = qr_hash_mix(qr_hash_mix(node->world->config->seed, 2), node->number);
    return node->seat.births ? qr_hash_mix(seed, node->seat.births + 100) : seed;
}

static qr_sim_disk *new_disk(qr_sim_node *node, uint64_t draw)
{
    const qr_sim_world *world = node->world;
    qr_sim_disk_config config = {
        .seed = seed_of(node),
        .sync_us_min = 100,
        .sync_us_max = draw & 1 ? 1000 : 5000,
        .slow_per_million = world->plan.slow_disks ? 2000 : 0,
        .stale_writes = draw & 2,
        .folder_prefix = draw & 4,
        .reserves_nothing = (draw & 24) == 0,
        .schedule = disk_schedule,
        .durable = disk_durable,
        .done = disk_done,
        .context = node,
    };
    return qr_sim_disk_open(&config);
}

void qr_sim_node_renew(qr_sim_node *node, bool is_new)
{
    qr_sim_world *world = node->world;
    QR_ASSERT(node->node == NULL);
    bool steady = qr_sim_disk_faults_of(node->disk)->steady;
    qr_sim_disk_free(node->disk);
    node->disk = new_disk(node, qr_prng_next(&world->prng_members));
    qr_sim_disk_faults_of(node->disk)->steady = steady;
    node->life++; /* events for the old disk and its process are void */
    node->damaged = node->damage_due = false;
    if (!is_new)
        return;
    node->incarnation = 0;
    node->id = qr_hash_mix(seed_of(node), 3) | 1;
    for (uint32_t i = 0; i < world->nodes; i++)
        world->node[i].sees[node->number] = false; /* it was somebody else */
}

void qr_sim_node_init(qr_sim_world *world, uint32_t number)
{
    qr_sim_node *node = &world->node[number];
    *node = (qr_sim_node){.world = world, .number = number, .wake_us = UINT64_MAX};
    uint64_t seed = seed_of(node);
    node->id = qr_hash_mix(seed, 3) | 1;
    qr_sim_level_init(node);
    qr_prng prng;
    qr_prng_seed(&prng, seed);
    node->wall_skew_ms = (int64_t)qr_prng_below(&prng, 2000) - 1000;
    node->disk = new_disk(node, qr_prng_next(&prng));
    plan_boot(node, qr_prng_below(&world->prng_world, 20000));
}

/* What is left is what `quorate verify` calls sound, if nothing has rotted. */
static void verify(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    if (qr_sim_failed(world) || world->config->verify == NULL)
        return;
    qr_disk disk = qr_sim_disk_edge(node->disk);
    const char *sentence = world->config->verify(&disk);
    if (sentence != NULL && world->report->damages == 0)
        qr_sim_fail(world, "verify-finds-no-damage", "the files of n%u: %s", node->number + 1, sentence);
    qr_sim_altered_look(node);
}

void qr_sim_node_free(qr_sim_node *node)
{
    if (node->node != NULL) {
        qr_sim_disk_crash(node->disk, node->world->config->seed & 1);
        free_process(node);
        qr_sim_box_repeat(node);
    }
    verify(node);
    qr_buffer_free(&node->recording);
    qr_sim_disk_free(node->disk);
}
