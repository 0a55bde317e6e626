/* One run: transactions while things go wrong, then while one host stays dead and the others have to finish
 * everything without it, then with all of them, and some work in calm weather at last. */
#include <inttypes.h>
#include <stdarg.h>

#include "sim/groups/groups.h"

enum { STEPS_MAX = 20000000 };

void qr_sim_groups_fail(qr_sim_groups *world, const char *invariant, const char *format, ...)
{
    qr_sim_report *report = world->report;
    if (report->failed)
        return; /* the first one counts */
    report->failed = true;
    report->invariant = invariant;
    report->failed_at_ms = world->now_us / 1000;
    va_list list;
    va_start(list, format);
    vsnprintf(report->detail, sizeof report->detail, format, list);
    va_end(list);
    qr_sim_groups_tell(world, "VIOLATED: %s: %s", invariant, report->detail);
}

void qr_sim_groups_tell(qr_sim_groups *world, const char *format, ...)
{
    if (world->config->story == NULL)
        return;
    fprintf(world->config->story, "[%7" PRIu64 ".%03" PRIu64 "] ", world->now_us / 1000,
            world->now_us % 1000);
    va_list list;
    va_start(list, format);
    vfprintf(world->config->story, format, list);
    va_end(list);
    fputc('\n', world->config->story);
}

void qr_sim_groups_after(qr_sim_groups *world, uint64_t delay_us, qr_sim_event event)
{
    event.at_us = world->now_us + delay_us;
    qr_sim_queue_push(&world->queue, event);
}

static void on_arrival(void *context, qr_sim_message *message, uint64_t at_us)
{
    const qr_sim_replica *sender = context; /* of the first host: it stands for its group */
    qr_sim_groups *world = sender->host->world;
    message->from_id = world->hosts[message->from].id;
    qr_sim_queue_push(&world->queue, (qr_sim_event){.kind = QR_SIM_ARRIVAL,
                                                    .at_us = at_us,
                                                    .node = message->to,
                                                    .number = sender->group,
                                                    .pointer = message});
}

/* ------------------------------------------------------------------ faults ---- */

static uint64_t between(qr_sim_groups *world, uint64_t low, uint64_t high)
{
    return qr_prng_between(&world->prng_nemesis, low, high);
}

static void apply_cut(qr_sim_groups *world, qr_sim_cut cut, bool mend)
{
    for (uint32_t g = 0; g < world->plan.groups; g++)
        qr_sim_cut_apply(&world->networks[g], cut, mend);
}

static void make_cut(qr_sim_groups *world, uint32_t victim)
{
    uint32_t slot = 0;
    while (slot < QR_SIM_GROUP_CUTS_MAX && world->cuts[slot].active)
        slot++;
    qr_sim_cut_shape shape = (qr_sim_cut_shape)between(world, 0, QR_SIM_CUT_SHAPES - 1);
    qr_sim_cut cut = qr_sim_cut_make(&world->networks[0], shape, victim);
    if (slot == QR_SIM_GROUP_CUTS_MAX || cut == 0)
        return;
    uint64_t length_us = between(world, 10000, 2000000);
    world->cuts[slot].cut = cut;
    world->cuts[slot].active = true;
    apply_cut(world, cut, false);
    qr_sim_groups_tell(world, "the network is cut (%s) for %" PRIu64 " ms", qr_sim_cut_name(shape),
                       length_us / 1000);
    qr_sim_groups_after(world, length_us, (qr_sim_event){.kind = QR_SIM_MEND, .number = slot});
}

static void mend(qr_sim_groups *world, uint64_t slot)
{
    if (!world->cuts[slot].active)
        return;
    world->cuts[slot].active = false;
    apply_cut(world, world->cuts[slot].cut, true);
}

static void die(qr_sim_groups *world, qr_sim_host *host, bool kill)
{
    if (host->up)
        qr_sim_host_crash(host, kill,
                          between(world, 1000, qr_sim_one_in(&world->prng_nemesis, 2) ? 60000 : 2000000));
}

void qr_sim_groups_moment(qr_sim_groups *world, const qr_sim_transfer *transfer)
{
    qr_sim_host *host = &world->hosts[transfer->host];
    if (world->phase != QR_SIM_G_FAULTS || !host->up || world->plan.moments == 0 ||
        !qr_prng_chance(&world->prng_nemesis, world->plan.moments))
        return;
    qr_sim_groups_after(world, between(world, 0, 3000),
                        (qr_sim_event){.kind = QR_SIM_CRASH, .node = host->number, .life = host->life});
}

static void all_die(qr_sim_groups *world)
{
    bool kill = qr_sim_one_in(&world->prng_nemesis, 2);
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++)
        die(world, &world->hosts[i], kill);
}

static void desert(qr_sim_groups *world)
{
    qr_sim_actor *actor = &world->actors[between(world, 0, world->plan.tellers - 1)];
    if (actor->host->up)
        qr_sim_actor_desert(actor);
}

static void pause_host(qr_sim_groups *world, qr_sim_host *host)
{
    uint64_t length_us = between(world, 10000, 3000000);
    qr_sim_groups_tell(world, "h%u stands still for %" PRIu64 " ms", host->number + 1, length_us / 1000);
    host->paused_us = world->now_us + length_us;
}

/* The power fails in the midst of one of the next operations of one of its disks. */
static void crash_soon(qr_sim_groups *world, qr_sim_host *host)
{
    const qr_sim_replica *replica = &host->replicas[between(world, 0, world->plan.groups - 1)];
    qr_sim_disk_faults_of(replica->disk)->crash_in = between(world, 1, 20);
}

static void strike(qr_sim_groups *world)
{
    const qr_sim_group_plan *plan = &world->plan;
    if (world->phase != QR_SIM_G_FAULTS)
        return;
    qr_sim_host *host = &world->hosts[between(world, 0, QR_SIM_HOSTS - 1)];
    switch (between(world, 0, 7)) {
    case 0: plan->kills ? die(world, host, true) : (void)0; break;
    case 1: plan->power_cuts ? die(world, host, false) : (void)0; break;
    case 2: plan->io_crashes && host->up ? crash_soon(world, host) : (void)0; break;
    case 3: plan->cuts ? make_cut(world, host->number) : (void)0; break;
    case 4: plan->pauses && host->up ? pause_host(world, host) : (void)0; break;
    case 5: plan->all_die ? all_die(world) : (void)0; break;
    default: plan->deserts ? desert(world) : (void)0; break;
    }
    qr_sim_groups_after(world, between(world, 1, (uint64_t)plan->nemesis_ms * 2000),
                        (qr_sim_event){.kind = QR_SIM_NEMESIS});
}

/* ------------------------------------------------------------------ phases ---- */

static uint64_t patience_us(const qr_sim_groups *world)
{
    const qr_sim_group_plan *plan = &world->plan;
    return ((uint64_t)plan->election_ms * 20 + plan->limit_ms + plan->group.forget_ms + plan->request_ms +
            (uint64_t)plan->group.push_ms * 10 + 3000) *
           1000;
}

static void enter(qr_sim_groups *world, qr_sim_group_phase phase, const char *sentence, uint64_t length_us)
{
    qr_sim_groups_tell(world, "---- %s", sentence);
    world->phase = phase;
    world->phase_end_us = world->now_us + length_us;
    qr_sim_groups_after(world, 20000, (qr_sim_event){.kind = QR_SIM_LOOK});
}

static void end_faults(qr_sim_groups *world)
{
    for (uint32_t i = 0; i < QR_SIM_GROUP_CUTS_MAX; i++)
        mend(world, i);
    for (uint32_t g = 0; g < world->plan.groups; g++)
        world->networks[g].weather = (qr_sim_weather){.delay_us_min = 50, .delay_us_max = 500};
    for (uint32_t i = 0; i < QR_SIM_HOSTS * world->plan.groups; i++)
        qr_sim_disk_faults_of(world->replicas[i].disk)->crash_in = 0;
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++)
        world->hosts[i].paused_us = 0;
}

static void begin_core(qr_sim_groups *world)
{
    end_faults(world);
    world->report->cores += world->plan.core;
    if (!world->plan.core) {
        enter(world, QR_SIM_G_HEALING, "all faults end", patience_us(world));
        return;
    }
    qr_sim_host *dead = &world->hosts[between(world, 0, QR_SIM_HOSTS - 1)];
    dead->stays_down = true;
    enter(world, QR_SIM_G_CORE, "all faults end, but one host dies for good", patience_us(world));
    if (dead->up)
        qr_sim_host_crash(dead, true, 1000);
}

static void heal(qr_sim_groups *world)
{
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++)
        if (world->hosts[i].stays_down) {
            world->hosts[i].stays_down = false;
            qr_sim_host_pick_up(&world->hosts[i], 1000);
        }
    enter(world, QR_SIM_G_HEALING, "everybody comes back", patience_us(world));
}

/* NULL: everybody that is to be up is, all replicas of a group are equal, and nothing is left anywhere. */
static const char *unrest(const qr_sim_groups *world, char *text, size_t size)
{
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++)
        if (!world->hosts[i].up && !world->hosts[i].stays_down) {
            snprintf(text, size, "h%u is not up", i + 1);
            return text;
        }
    for (uint32_t g = 0; g < world->plan.groups; g++) {
        qr_node_status first = {0}, status;
        for (uint32_t i = 0; i < QR_SIM_HOSTS; i++) {
            if (!world->hosts[i].up)
                continue;
            qr_node_status_of(world->hosts[i].replicas[g].node, &status);
            if (first.applied_index == 0)
                first = status;
            if (status.applied_index != first.applied_index || status.revision != world->ledgers[g].known) {
                snprintf(text, size, "h%u has applied %" PRIu64 " of group %u, another one %" PRIu64, i + 1,
                         status.applied_index, g + 1, first.applied_index);
                return text;
            }
            if (status.digest != first.digest) {
                snprintf(text, size, "group %u differs between hosts", g + 1);
                return text;
            }
        }
    }
    if (!qr_sim_actors_rest(world)) {
        snprintf(text, size, "a transaction of a client has not ended");
        return text;
    }
    return qr_sim_ledgers_left(world, text, size);
}

/* With nothing broken, a transaction is committed unless its client has changed its mind or others were in
 * its way. */
static void judge_calm(qr_sim_groups *world)
{
    uint64_t committed = 0, all = 0;
    for (uint64_t i = world->calm_first; i < world->transfer_count; i++) {
        all++;
        committed += world->transfers[i]->told == QR_GROUP_COMMITTED;
        /* Members that are asked for an answer in no time may have none. */
        if (world->transfers[i]->told == QR_GROUP_UNKNOWN && world->plan.request_ms >= 300)
            qr_sim_groups_fail(world, "works-when-calm", "op-%" PRIu64 " ends as unknown", i + 1);
    }
    if (committed * (world->plan.group.push_ms < 50 ? all : 4) < all) /* the impatient end each other */
        qr_sim_groups_fail(world, "works-when-calm", "%" PRIu64 " of %" PRIu64 " transactions are committed",
                           committed, all);
}

static void look(qr_sim_groups *world)
{
    char text[200];
    if (world->phase == QR_SIM_G_CALM) {
        enter(world, QR_SIM_G_SETTLING, "no more work", patience_us(world));
        return;
    }
    const char *missing = unrest(world, text, sizeof text);
    if (missing != NULL) {
        if (world->now_us >= world->phase_end_us)
            qr_sim_groups_fail(world, world->phase == QR_SIM_G_CORE ? "no-single-crash-blocks" : "heals",
                               "%s", missing);
        qr_sim_groups_after(world, 20000, (qr_sim_event){.kind = QR_SIM_LOOK});
        return;
    }
    switch (world->phase) {
    case QR_SIM_G_CORE: heal(world); break;
    case QR_SIM_G_HEALING:
        world->calm_first = world->transfer_count;
        qr_sim_groups_tell(world, "---- whole again; some work without faults");
        world->phase = QR_SIM_G_CALM;
        qr_sim_groups_after(world, 600000, (qr_sim_event){.kind = QR_SIM_LOOK});
        break;
    default:
        judge_calm(world);
        qr_sim_ledgers_final(world);
        world->phase = QR_SIM_G_OVER;
    }
}

/* ------------------------------------------------------------------ events ---- */

static void handle_for_host(qr_sim_groups *world, const qr_sim_event *event)
{
    qr_sim_host *host = &world->hosts[event->node];
    qr_sim_replica *replica = event->pointer;
    if (event->life != host->life || host->up == (event->kind == QR_SIM_BOOT))
        return;
    if (event->kind == QR_SIM_CRASH) {
        if (world->phase == QR_SIM_G_FAULTS)
            die(world, host, qr_sim_one_in(&world->prng_nemesis, 2));
        return;
    }
    if (host->paused_us > world->now_us) {
        qr_sim_queue_delay(&world->queue, *event, host->paused_us);
        return;
    }
    switch (event->kind) {
    case QR_SIM_TURN: qr_sim_replica_turn(replica); break;
    case QR_SIM_WAKE:
        if (event->number == replica->wake_us && !replica->turn_due) {
            replica->wake_us = UINT64_MAX;
            qr_sim_replica_turn(replica);
        }
        break;
    case QR_SIM_DISK: qr_sim_replica_disk(replica); break;
    case QR_SIM_LINK: qr_sim_replica_link(replica, (uint32_t)(event->number / 2), event->number & 1); break;
    case QR_SIM_CLIENT: {
        qr_sim_actor *actor = event->pointer;
        if (event->number == actor->act_us)
            qr_sim_actor_act(actor);
        break;
    }
    default: QR_ASSERT(event->kind == QR_SIM_BOOT); qr_sim_host_boot(host);
    }
}

static void arrive(qr_sim_groups *world, const qr_sim_event *event)
{
    qr_sim_host *host = &world->hosts[event->node];
    if (host->up && host->paused_us > world->now_us) {
        qr_sim_queue_delay(&world->queue, *event, host->paused_us);
        return;
    }
    qr_sim_message *message = event->pointer;
    world->report->messages++;
    if (host->up)
        qr_sim_replica_arrival(&host->replicas[event->number], message);
    qr_sim_message_drop(message);
}

static void handle(qr_sim_groups *world, const qr_sim_event *event)
{
    switch (event->kind) {
    case QR_SIM_ARRIVAL: arrive(world, event); break;
    case QR_SIM_NEMESIS: strike(world); break;
    case QR_SIM_MEND: mend(world, event->number); break;
    case QR_SIM_LOOK: look(world); break;
    default: handle_for_host(world, event);
    }
}

static void run(qr_sim_groups *world)
{
    uint64_t end_us = world->plan.fault_ms * 1000;
    qr_sim_event event;
    while (!world->report->failed && world->phase != QR_SIM_G_OVER) {
        if (world->phase == QR_SIM_G_FAULTS && qr_sim_queue_next_us(&world->queue) >= end_us) {
            world->now_us = end_us;
            begin_core(world);
            continue;
        }
        if (!qr_sim_queue_pop(&world->queue, &event)) {
            qr_sim_groups_fail(world, "heals", "nothing will ever happen again");
            break;
        }
        world->now_us = event.at_us;
        handle(world, &event);
        if (++world->steps > STEPS_MAX)
            qr_sim_groups_fail(world, "heals", "%" PRIu64 " events and no end", world->steps);
    }
}

/* ------------------------------------------------------------------ object ---- */

static void open_world(qr_sim_groups *world)
{
    uint64_t seed = world->config->seed;
    qr_sim_groups_plan_draw(world);
    uint32_t groups = world->plan.groups;
    qr_prng_seed(&world->prng_nemesis, qr_hash_mix(seed, 10));
    qr_prng_seed(&world->prng_client, qr_hash_mix(seed, 11));
    qr_prng_seed(&world->prng_world, qr_hash_mix(seed, 12));
    world->replicas = qr_alloc_zero((size_t)groups * QR_SIM_HOSTS, sizeof *world->replicas);
    world->networks = qr_alloc_zero(groups, sizeof *world->networks);
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++) {
        qr_sim_host_init(world, i);
        qr_member member = {.id = world->hosts[i].id, .role = QR_ROLE_VOTER};
        QR_CHECK(qr_members_add(&world->members, member) == QR_OK, "ids of hosts are different");
    }
    for (uint32_t g = 0; g < groups; g++) {
        qr_sim_network_init(&world->networks[g], QR_SIM_HOSTS, qr_hash_mix(seed, 20 + g));
        world->networks[g].weather = world->plan.weather;
        world->networks[g].arrival = on_arrival;
        world->networks[g].context = &world->hosts[0].replicas[g];
    }
    qr_sim_ledgers_init(world);
    qr_sim_actors_init(world);
    qr_sim_groups_after(world, between(world, 1, 1000000), (qr_sim_event){.kind = QR_SIM_NEMESIS});
}

static void close_world(qr_sim_groups *world)
{
    for (uint32_t i = 0; i < QR_SIM_HOSTS; i++)
        qr_sim_host_free(&world->hosts[i]);
    qr_sim_event event;
    while (qr_sim_queue_pop(&world->queue, &event))
        if (event.kind == QR_SIM_ARRIVAL)
            qr_sim_message_drop(event.pointer);
    qr_sim_queue_free(&world->queue);
    qr_sim_actors_free(world);
    qr_sim_ledgers_free(world);
    qr_free(world->replicas);
    qr_free(world->networks);
}

void qr_sim_groups_run(const qr_sim_config *config, qr_sim_report *report)
{
    *report = (qr_sim_report){.invariant = ""};
    qr_sim_groups *world = qr_alloc_zero(1, sizeof *world);
    world->config = config;
    world->report = report;
    open_world(world);
    qr_sim_groups_tell(
        world, "seed %" PRIu64 ": %u groups on %u hosts, %u clients, faults for %" PRIu64 " ms", config->seed,
        world->plan.groups, QR_SIM_HOSTS, world->plan.tellers, world->plan.fault_ms);
    run(world);
    report->trace_hash = world->hash;
    report->simulated_ms = world->now_us / 1000;
    report->events = world->steps;
    report->transactions = world->transfer_count;
    report->decisions = world->version_count;
    close_world(world);
    qr_free(world);
}
