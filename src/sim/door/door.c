#include "sim/door/door.h"

#include <inttypes.h>

#include "sim/door/inside.h"

enum { TICK_MS = 50, SESSION_MIN_MS = 200, TROUBLE_US_MAX = 800000, REAP_MS = 100 };

void qr_simd_after(qr_simd *all, uint64_t delay_us, qr_simd_act act, void *pointer)
{
    qr_sim_after(all->world, delay_us,
                 (qr_sim_event){.kind = QR_SIM_DOOR, .number = act, .pointer = pointer});
}

static uint32_t pick(qr_simd *all, const uint32_t *list, size_t count)
{
    return list[qr_simd_below(all, count)];
}

static void *open_doors(qr_sim_world *world)
{
    static const uint32_t think[] = {10, 30, 80}, watch[] = {0, 30, 60}, hand[] = {20, 100, 400},
                          trouble[] = {200, 500, 2000};
    qr_simd *all = qr_alloc_zero(1, sizeof *all);
    all->world = world;
    qr_prng_seed(&all->prng, qr_hash_mix(world->config->seed, 20));
    qr_simd_tree_init(&all->tree, &world->arena);
    all->client_count = 2 + (uint32_t)qr_simd_below(all, QR_SIMD_CLIENTS_MAX - 1);
    all->think_ms = pick(all, think, 3);
    all->watch_percent = pick(all, watch, 3);
    all->hand_ms = pick(all, hand, 3);
    all->trouble_ms = pick(all, trouble, 3);
    for (uint32_t i = 0; i < all->client_count; i++) {
        qr_simd_client *client = &all->clients[i];
        client->all = all;
        client->number = i;
        qr_simd_client_init(client);
    }
    qr_simd_after(all, 1, QR_SIMD_ACT_HAND, all);
    qr_simd_after(all, 1, QR_SIMD_ACT_TROUBLE, all);
    qr_simd_after(all, REAP_MS * 1000, QR_SIMD_ACT_REAP, all);
    all->linearizable = qr_simd_below(all, 4) == 0;
    world->report->doors++;
    return all;
}

static void close_doors(void *self)
{
    qr_simd *all = self;
    for (qr_simd_wire *wire = all->wires; wire != NULL; wire = wire->next)
        qr_buffer_free(&wire->in);
    qr_simd_tree_free(&all->tree);
    qr_simd_view_free(&all->view);
    qr_free(all->lost);
    qr_free(all);
}

static int64_t wall_ms(void *context)
{
    const qr_simd *all = context;
    return 1700000000000 + (int64_t)(all->world->now_us / 1000);
}

static void booted(void *self, qr_sim_node *node)
{
    qr_simd *all = self;
    const qr_sim_config *config = all->world->config;
    QR_ASSERT(all->doors[node->number] == NULL);
    all->doors[node->number] = qr_zookeeper_door_new(
        &(qr_zookeeper_config){.node = node->node,
                               .server = (uint8_t)(node->number + 1),
                               .tick_ms = TICK_MS,
                               .session_min_ms = SESSION_MIN_MS,
                               .session_max_ms = QR_SIM_TTL_MS_MAX,
                               .ttl_nodes = true,
                               .reap_ms = REAP_MS,
                               .linearizable_reads = all->linearizable,
                               .seed = qr_hash_mix(qr_hash_mix(config->seed, node->id), node->life),
                               .wall_ms = wall_ms,
                               .context = all,
                               .bug = config->bug});
}

static void dying(void *self, qr_sim_node *node)
{
    qr_simd_wire_leave(self, node);
}

static void dead(void *self, qr_sim_node *node)
{
    qr_simd *all = self;
    qr_zookeeper_door_free(all->doors[node->number]);
    all->doors[node->number] = NULL;
}

/* For a while clients and one node do not reach each other. */
static void trouble(qr_simd *all)
{
    qr_sim_world *world = all->world;
    if (!qr_simd_stormy(all))
        return;
    uint64_t node = qr_simd_below(all, world->nodes), length_us = qr_simd_below(all, TROUBLE_US_MAX);
    uint64_t next_us = 1 + qr_simd_below(all, 2 * (uint64_t)all->trouble_ms * 1000);
    all->cut_us[node] = world->now_us + length_us;
    qr_sim_story(world, "clients do not reach n%" PRIu64 " for %" PRIu64 " us", node + 1, length_us);
    qr_simd_after(all, next_us, QR_SIMD_ACT_TROUBLE, all);
}

static void reap(qr_simd *all)
{
    qr_sim_world *world = all->world;
    for (uint32_t i = 0; i < world->nodes; i++) {
        qr_sim_node *node = &world->node[i];
        if (!qr_sim_node_up(node) || node->paused_us > world->now_us)
            continue;
        qr_zookeeper_door_look(all->doors[i], qr_sim_node_now_ms(node));
        qr_sim_node_called(node);
    }
    qr_simd_after(all, REAP_MS * 1000, QR_SIMD_ACT_REAP, all);
}

static void on_event(void *self, qr_sim_event *event)
{
    qr_simd *all = self;
    switch ((qr_simd_act)event->number) {
    case QR_SIMD_ACT_CLIENT: qr_simd_client_act(event->pointer); break;
    case QR_SIMD_ACT_HAND: qr_simd_hand_act(all); break;
    case QR_SIMD_ACT_HAND_TOLD: qr_simd_hand_told(event->pointer); break;
    case QR_SIMD_ACT_TROUBLE: trouble(all); break;
    case QR_SIMD_ACT_REAP: reap(all); break;
    default: qr_simd_wire_event(all, (qr_simd_act)event->number, event);
    }
}

/* ----------------------------------------------------------------- learning ---- */

static void on_change(void *context, const qr_kv_event *event)
{
    qr_simd *all = context;
    const qr_key_value *kv = &event->kv;
    uint32_t path = qr_simd_path_of(&all->tree, kv->key);
    uint8_t kind = kv->attribute.size > 0 ? kv->attribute.data[0] & (QR_SIMD_CONTAINER | QR_SIMD_TTL) : 0;
    if (event->deleted)
        qr_simd_delete(&all->view, path);
    else
        qr_simd_put(&all->view, path, qr_arena_copy(&all->world->arena, kv->value), kv->lease, kind);
}

/* What the newest revision changed at paths; NULL: nothing. */
static qr_simd_row *learn_paths(qr_simd *all, qr_sim_node *node, uint64_t revision)
{
    const qr_machine *machine = qr_node_machine(node->node);
    qr_events_query query = {.span = {.kind = QR_SPAN_RANGE,
                                      .space = QR_SPACE_KEYS,
                                      .key = qr_slice_text("/"),
                                      .end = qr_slice_text("0")}, /* right behind "/" */
                             .from = revision,
                             .bytes_max = SIZE_MAX,
                             .look_max = SIZE_MAX,
                             .tell = on_change,
                             .context = all};
    qr_events_result result;
    qr_simd_view_begin(&all->view, &all->tree, revision - 1, revision);
    QR_CHECK(machine->ops->events(machine, &query, &result) == QR_OK, "what was just applied can be told");
    return all->view.change_count ? qr_simd_view_learn(&all->view) : NULL;
}

static void tell_row(const qr_simd *all, const qr_simd_row *row)
{
    if (all->world->config->story == NULL)
        return;
    qr_buffer text;
    qr_buffer_init(&text);
    for (size_t i = 0; i < row->event_count; i++)
        qr_buffer_format(&text, " %d %.*s", row->events[i].type,
                         (int)all->tree.paths[row->events[i].path].name.size,
                         (const char *)all->tree.paths[row->events[i].path].name.data);
    qr_sim_story(all->world, "revision %" PRIu64 " means:%.*s", row->revision, (int)text.size,
                 (const char *)text.data);
    qr_buffer_free(&text);
}

static bool learned(void *self, qr_sim_node *node, uint64_t index, const qr_command *command)
{
    qr_simd *all = self;
    qr_sim_world *world = all->world;
    qr_sim_model *model = &world->oracle.model;
    const qr_machine *machine = qr_node_machine(node->node);
    uint64_t revision = machine->ops->revision(machine), before = model->revision;
    qr_body body;
    qr_arena arena;
    qr_arena_init(&arena);
    bool known = qr_body_decode(command->body, &arena, &body) == QR_OK && body.kind != QR_BODY_COMPACT;
    if (known) {
        bool moved = revision == before + 1 || (revision == before && revision > all->tree.revision);
        qr_simd_row *row = moved ? learn_paths(all, node, revision) : NULL;
        if (row != NULL) {
            model->revision = revision;
            world->door_requests++; /* what goes by itself is asked for by a member */
            tell_row(all, row);
        }
        if (qr_body_is_of_leases(command->body))
            qr_simd_lease_learn(all, node, &body, index, row);
    }
    qr_arena_free(&arena);
    return known;
}

static void calm(void *self)
{
    qr_simd_look(self);
}

static void final(void *self)
{
    qr_simd_look_final(self);
}

static const char *missing(void *self, char *text, size_t size)
{
    qr_simd *all = self;
    const qr_sim_world *world = all->world;
    bool ends = world->phase == QR_SIM_SETTLING;
    for (uint32_t i = 0; i < all->client_count && !world->plan.alarms; i++) {
        const qr_simd_client *client = &all->clients[i];
        if (client->standing == (ends ? QR_SIMD_GONE : QR_SIMD_ATTACHED) && client->under_way == 0)
            continue;
        snprintf(text, size, "z%u is not %s, or has %zu requests under way", i + 1,
                 ends ? "gone" : "attached", client->under_way);
        return text;
    }
    for (size_t i = 0; ends && i < all->lease_count; i++) {
        if (all->leases[i].ended_us != 0)
            continue;
        snprintf(text, size, "lease %" PRIx64 " has not ended", (uint64_t)all->leases[i].id);
        return text;
    }
    for (uint32_t path = 1; ends && path < all->tree.count && !world->plan.alarms; path++) {
        const qr_simd_state *state = qr_simd_now(&all->tree, path);
        if (!(state->kind & QR_SIMD_CONTAINER) || state->born == 0 || state->children > 0)
            continue;
        snprintf(text, size, "%.*s is still there", (int)all->tree.paths[path].name.size,
                 (const char *)all->tree.paths[path].name.data);
        return text;
    }
    if (all->hand_under_way == 0)
        return NULL;
    snprintf(text, size, "%zu requests of the other door are unanswered", all->hand_under_way);
    return text;
}

const qr_sim_door_ops qr_sim_door_zookeeper = {.open = open_doors,
                                               .close = close_doors,
                                               .booted = booted,
                                               .dying = dying,
                                               .dead = dead,
                                               .event = on_event,
                                               .calm = calm,
                                               .final = final,
                                               .learned = learned,
                                               .renewed = qr_simd_lease_renewed,
                                               .missing = missing};
