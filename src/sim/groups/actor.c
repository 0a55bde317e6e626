/* Clients that move money between accounts of different groups or look at them, and the hosts' sweepers. Each
 * drives one task at a time. What an answer leads to is done a moment later, when the oracle has seen the
 * turn that brought it. */
#include <inttypes.h>

#include "sim/groups/groups.h"

typedef struct qr_sim_ask {
    qr_sim_actor *actor; /* NULL: nobody wants the answer any more, and */
    qr_group_task *task; /* this is freed with it: the query borrows from it */
    qr_query query;
    uint32_t group;
} qr_sim_ask;

static void act_in(qr_sim_actor *actor, uint64_t delay_us)
{
    qr_sim_groups *world = actor->world;
    actor->act_us = world->now_us + delay_us;
    qr_sim_groups_after(world, delay_us,
                        (qr_sim_event){.kind = QR_SIM_CLIENT,
                                       .node = actor->host->number,
                                       .life = actor->host->life,
                                       .number = actor->act_us,
                                       .pointer = actor});
}

static uint64_t think_us(qr_sim_groups *world)
{
    return qr_prng_below(&world->prng_client, (uint64_t)world->plan.think_ms * 2000 + 1);
}

/* ------------------------------------------------------------------ calls ---- */

static void on_answer(void *owner, const qr_reply *reply)
{
    qr_sim_ask *ask = owner;
    qr_sim_actor *actor = ask->actor;
    if (actor == NULL)
        qr_group_free(ask->task);
    else {
        actor->ask = NULL;
        qr_sim_groups_mix(actor->world, actor->world->now_us ^ reply->index ^ (uint64_t)reply->status << 56);
        if (!actor->host->dying) {
            qr_group_answer(actor->task, reply->status, reply->result, qr_sim_host_now_ms(actor->host));
            act_in(actor, 1 + qr_prng_below(&actor->world->prng_client, 50));
        }
    }
    qr_free(ask);
}

/* false: nobody takes it. */
static bool submit(qr_sim_actor *actor, const qr_group_call *call)
{
    qr_sim_replica *replica = &actor->host->replicas[call->group];
    qr_sim_ask *ask = qr_alloc_zero(1, sizeof *ask);
    *ask = (qr_sim_ask){.actor = actor, .task = actor->task, .group = call->group};
    ask->query = (qr_query){.kind = QR_QUERY_TXN, .txn = *call->txn};
    qr_buffer body;
    qr_buffer_init(&body);
    if (call->writes)
        qr_body_encode_txn(call->txn, &body);
    qr_request request = {.kind = call->writes ? QR_REQUEST_WRITE : QR_REQUEST_READ,
                          .body = qr_buffer_slice(&body),
                          .query = &ask->query,
                          .done = on_answer,
                          .owner = ask};
    actor->ask = ask;
    qr_status status = qr_sim_replica_submit(replica, &request);
    qr_buffer_free(&body);
    if (status == QR_OK)
        return true;
    bool dead = ask->actor == NULL; /* the host died of it */
    if (dead)
        qr_group_free(ask->task);
    qr_free(ask);
    if (dead)
        return true;
    actor->ask = NULL;
    qr_group_answer(actor->task, status, NULL, qr_sim_host_now_ms(actor->host));
    return false;
}

/* ---------------------------------------------------------------- workload ---- */

static qr_sim_account draw_account(qr_sim_groups *world, const qr_sim_transfer *transfer)
{
    for (;;) {
        qr_sim_account account = {(uint32_t)qr_prng_below(&world->prng_client, world->plan.groups),
                                  (uint32_t)qr_prng_below(&world->prng_client, world->plan.accounts)};
        size_t i = 0;
        while (i < transfer->count && (transfer->accounts[i].group != account.group ||
                                       transfer->accounts[i].number != account.number))
            i++;
        if (i == transfer->count)
            return account;
    }
}

static void begin(qr_sim_actor *actor)
{
    qr_sim_groups *world = actor->world;
    qr_sim_transfer *transfer = actor->transfer = qr_sim_transfer_new(world);
    transfer->host = actor->host->number;
    transfer->reads = qr_prng_below(&world->prng_client, 3) == 0;
    uint64_t all = (uint64_t)world->plan.groups * world->plan.accounts;
    uint64_t most = all < QR_SIM_TOUCHED_MAX ? all : QR_SIM_TOUCHED_MAX;
    uint64_t count = qr_prng_between(&world->prng_client, transfer->reads ? 1 : 2, most);
    qr_group_key keys[QR_SIM_TOUCHED_MAX];
    qr_arena arena;
    qr_arena_init(&arena);
    while (transfer->count < count) {
        qr_sim_account account = draw_account(world, transfer);
        keys[transfer->count] = (qr_group_key){account.group, qr_sim_account_key(account, &arena)};
        transfer->accounts[transfer->count++] = account;
    }
    uint64_t now_ms = qr_sim_host_now_ms(actor->host);
    actor->task = transfer->reads
                      ? qr_group_read(&world->plan.group, keys, count, now_ms, world->plan.limit_ms)
                      : qr_group_update(&world->plan.group, qr_sim_transfer_id(transfer, &arena), keys, count,
                                        now_ms, world->plan.limit_ms);
    qr_arena_free(&arena);
    qr_sim_groups_tell(world, "h%u: op-%" PRIu64 " begins to %s %" PRIu64 " accounts",
                       actor->host->number + 1, transfer->number, transfer->reads ? "read" : "change", count);
}

static void note_values(qr_sim_actor *actor)
{
    qr_sim_transfer *transfer = actor->transfer;
    for (size_t i = 0; i < transfer->count; i++) {
        uint64_t revision;
        transfer->found[i] = qr_sim_balance_read(qr_group_value(actor->task, i, &revision));
    }
}

/* Money goes from the first account to the others; some of them are only looked at. */
static void decide(qr_sim_actor *actor)
{
    qr_sim_groups *world = actor->world;
    qr_sim_transfer *transfer = actor->transfer;
    note_values(actor);
    if (qr_prng_below(&world->prng_client, 12) == 0) {
        qr_group_abort(actor->task);
        return;
    }
    qr_arena arena;
    qr_arena_init(&arena);
    qr_slice values[QR_SIM_TOUCHED_MAX] = {{0}};
    int64_t sum = 0;
    for (size_t i = transfer->count; i-- > 0;) {
        int64_t amount = i == 0 ? -sum : (int64_t)qr_prng_below(&world->prng_client, 100);
        transfer->writes[i] = i < 2 || qr_prng_below(&world->prng_client, 4) > 0;
        if (!transfer->writes[i])
            continue;
        sum += amount;
        transfer->made[i] = (qr_sim_balance){transfer->found[i].amount + amount, transfer->number};
        values[i] = qr_sim_balance_write(transfer->made[i], &arena);
    }
    QR_CHECK(qr_group_commit(actor->task, values), "balances are small");
    qr_arena_free(&arena);
}

static void put_down(qr_sim_actor *actor)
{
    if (actor->ask != NULL)
        actor->ask->actor = NULL; /* the task is freed with it */
    else
        qr_group_free(actor->task);
    actor->ask = NULL;
    actor->task = NULL;
    actor->transfer = NULL;
}

/* ------------------------------------------------------------------ acting ---- */

/* The owner's part, whenever the task has come further. */
static void look_at_task(qr_sim_actor *actor)
{
    qr_group_state state = qr_group_state_of(actor->task);
    qr_sim_transfer *transfer = actor->transfer;
    if (state == QR_GROUP_HOLDING)
        decide(actor);
    else if (transfer != NULL && transfer->told == QR_GROUP_RUNNING && state != QR_GROUP_RUNNING) {
        if (transfer->reads && state == QR_GROUP_COMMITTED)
            note_values(actor);
        qr_sim_transfer_told(actor->world, transfer, state);
    }
}

static void drive(qr_sim_actor *actor)
{
    qr_group_call call;
    uint64_t life = actor->host->life;
    while (actor->ask == NULL && actor->host->life == life) {
        look_at_task(actor);
        if (!qr_group_next(actor->task, qr_sim_host_now_ms(actor->host), &call)) {
            look_at_task(actor); /* its time may be over */
            break;
        }
        if (submit(actor, &call))
            return;
    }
}

void qr_sim_actor_act(qr_sim_actor *actor)
{
    qr_sim_groups *world = actor->world;
    actor->act_us = UINT64_MAX;
    if (actor->task == NULL) {
        if (!actor->sweeps && !qr_sim_groups_open(world)) {
            act_in(actor, 50000);
            return;
        }
        if (actor->sweeps)
            actor->task = qr_group_sweep(&world->plan.group, actor->number);
        else
            begin(actor);
    }
    if (actor->ask != NULL)
        return; /* it acts when it is answered */
    drive(actor);
    if (actor->task == NULL || actor->ask != NULL)
        return;
    if (qr_group_is_finished(actor->task)) {
        put_down(actor);
        act_in(actor, 1 + think_us(world));
        return;
    }
    uint64_t wake_ms = qr_group_wake_ms(actor->task);
    QR_ASSERT(wake_ms != UINT64_MAX);
    act_in(actor, 1 + qr_sim_host_us_until(actor->host, wake_ms));
}

void qr_sim_actor_desert(qr_sim_actor *actor)
{
    if (actor->task == NULL || actor->sweeps)
        return;
    qr_sim_groups_tell(actor->world, "h%u: the client of op-%" PRIu64 " is gone", actor->host->number + 1,
                       actor->transfer->number);
    put_down(actor);
    act_in(actor, 1 + think_us(actor->world));
}

bool qr_sim_actors_rest(const qr_sim_groups *world)
{
    for (size_t i = 0; i < world->actor_count; i++)
        if (!world->actors[i].sweeps && world->actors[i].task != NULL)
            return false;
    return true;
}

/* ------------------------------------------------------------------ object ---- */

void qr_sim_actors_init(qr_sim_groups *world)
{
    const qr_sim_group_plan *plan = &world->plan;
    world->actor_count = plan->tellers + QR_SIM_HOSTS * plan->groups;
    world->actors = qr_alloc_zero(world->actor_count, sizeof *world->actors);
    for (uint32_t i = 0; i < world->actor_count; i++) {
        bool sweeps = i >= plan->tellers;
        uint32_t of_sweepers = i - plan->tellers;
        world->actors[i] = (qr_sim_actor){
            .world = world,
            .host = &world->hosts[sweeps ? of_sweepers / plan->groups : i % QR_SIM_HOSTS],
            .number = sweeps ? of_sweepers % plan->groups : i,
            .sweeps = sweeps,
        };
    }
}

void qr_sim_actors_boot(qr_sim_host *host)
{
    for (size_t i = 0; i < host->world->actor_count; i++)
        if (host->world->actors[i].host == host)
            act_in(&host->world->actors[i], 1 + think_us(host->world));
}

void qr_sim_actors_die(qr_sim_host *host)
{
    for (size_t i = 0; i < host->world->actor_count; i++) {
        qr_sim_actor *actor = &host->world->actors[i];
        if (actor->host == host && actor->task != NULL)
            put_down(actor);
    }
}

void qr_sim_actors_free(qr_sim_groups *world)
{
    qr_free(world->actors);
}
