/* Raft and Multi-Paxos on the same schedule: the same script of a client, the same network and disks. Both
 * must come to the same sequence of commands; what it takes them is counted, for
 * doc/algorithms/multi-paxos.md. */
#include "cmocka_all.h"
#include "paxos/paxos.h"
#include "world.h"

enum { MEMBERS = 3, HOP_MS = 10, DISK_MS = 5, BATCH = 100 };

static world *begin(const qr_engine_ops *engine, uint32_t members, uint64_t seed)
{
    world *w = world_new(members, seed);
    w->engine = engine;
    w->delay_min_ms = w->delay_max_ms = HOP_MS;
    for (uint64_t id = 1; id <= members; id++)
        w->member[id].disk_ms = DISK_MS;
    world_boot_all(w);
    return w;
}

typedef struct cost {
    uint64_t messages, syncs, ms;
} cost;

static cost cost_now(const world *w)
{
    cost sum = {.ms = w->now_ms};
    for (uint64_t a = 1; a <= w->count; a++) {
        sum.syncs += w->member[a].syncs;
        for (uint64_t b = 1; b <= w->count; b++)
            for (int kind = 0; kind < WORLD_KINDS_MAX; kind++)
                sum.messages += w->sent[a][b][kind];
    }
    return sum;
}

static cost since(const world *w, cost before)
{
    cost now = cost_now(w);
    return (cost){now.messages - before.messages, now.syncs - before.syncs, now.ms - before.ms};
}

static uint64_t wanted; /* index that the leader is to have applied */

static bool leader_has_applied(const world *w)
{
    uint64_t leader = world_leader(w);
    return leader && w->member[leader].applied >= wanted;
}

/* One batch, until the leader has applied it. */
static cost write_batch(world *w, size_t count)
{
    char text[32];
    uint64_t leader = world_leader(w);
    cost before = cost_now(w);
    wanted = w->member[leader].applied + count;
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%d", (int)(wanted - i));
        world_propose(w, leader, text);
    }
    assert_true(world_until(w, 5000, leader_has_applied));
    return since(w, before);
}

static uint64_t read_tag;

static bool is_read(const world *w)
{
    return w->read_at[read_tag] != 0;
}

static cost read_once(world *w)
{
    cost before = cost_now(w);
    read_tag = world_read(w, world_leader(w));
    assert_true(world_until(w, 5000, is_read));
    return since(w, before);
}

static void tell(const char *what, cost raft, cost paxos)
{
    print_message("%-44s raft %3d messages %3d syncs %4d ms   paxos %3d messages %3d syncs %4d ms\n", what,
                  (int)raft.messages, (int)raft.syncs, (int)raft.ms, (int)paxos.messages, (int)paxos.syncs,
                  (int)paxos.ms);
}

/* With a stable leader both do the same work: an accept is an append. */
static void a_stable_leader_costs_the_same(void **state)
{
    cost sum[2][4];
    static const qr_engine_ops *const engines[] = {&qr_raft, &qr_paxos};
    for (int e = 0; e < 2; e++) {
        world *w = begin(engines[e], MEMBERS, 3);
        assert_true(world_until(w, 20000, world_is_even));
        world_run(w, 500); /* its members are known, and their disks written down */
        sum[e][0] = write_batch(w, 1);
        world_run(w, 500 - w->now_ms % 100 + 5);
        sum[e][1] = write_batch(w, BATCH);
        world_run(w, 500 - w->now_ms % 100 + 5);
        sum[e][2] = read_once(w);
        world_run(w, 1000 - w->now_ms % 100);
        cost before = cost_now(w);
        world_run(w, 1000);
        sum[e][3] = since(w, before);
        assert_fine(w);
        world_free(w);
    }
    tell("one command", sum[0][0], sum[1][0]);
    tell("a hundred commands in one turn", sum[0][1], sum[1][1]);
    tell("one linearizable read at the leader", sum[0][2], sum[1][2]);
    tell("a second of nothing", sum[0][3], sum[1][3]);
    for (int i = 0; i < 3; i++)
        assert_true(sum[0][i].ms == sum[1][i].ms && sum[0][i].syncs == sum[1][i].syncs);
}

/* A new leader: canvass or pre-vote, promises or votes, the no-op. */
static void a_new_leader_costs(void **state)
{
    enum { RUNS = 100 };
    cost sum[2] = {{0}};
    static const qr_engine_ops *const engines[] = {&qr_raft, &qr_paxos};
    for (int e = 0; e < 2; e++) {
        for (uint64_t seed = 1; seed <= RUNS; seed++) {
            world *w = begin(engines[e], MEMBERS, seed);
            assert_true(world_until(w, 20000, world_is_even));
            world_run(w, 500);
            write_batch(w, 10);
            world_crash(w, world_leader(w));
            cost before = cost_now(w);
            assert_true(world_until(w, 20000, world_has_leader));
            cost one = since(w, before);
            sum[e].messages += one.messages;
            sum[e].syncs += one.syncs;
            sum[e].ms += one.ms;
            assert_fine(w);
            world_free(w);
        }
        sum[e] = (cost){sum[e].messages / RUNS, sum[e].syncs / RUNS, sum[e].ms / RUNS};
    }
    tell("from kill -9 of the leader to the next (mean)", sum[0], sum[1]);
    assert_true(sum[1].ms < sum[0].ms * 2 && sum[0].ms < sum[1].ms * 2);
}

/* ------------------------------------------------------------ differential ---- */

static bool is_chosen(const world *w)
{
    return w->committed[w->committed_max].state != wanted && world_leader(w);
}

/* Proposes until it is committed; the script goes on only then, so nothing comes twice. */
static void write_surely(world *w, const char *text)
{
    wanted = w->committed[w->committed_max].state;
    world_until(w, 60000, world_has_leader);
    world_propose(w, world_leader(w), text);
    if (!world_until(w, 60000, is_chosen))
        fail_msg("%s was not committed: %s", text, w->violation ? w->violation : "no leader");
}

/* Members fall and rise between the commands, links break, checkpoints are made: by the seed, on both engines
 * at the same places of the script. */
static uint64_t play(const qr_engine_ops *engine, uint64_t seed)
{
    world *w = begin(engine, seed % 2 ? 3 : 5, seed);
    w->config.memory_max = seed % 3 ? 0 : 600;
    qr_prng script;
    qr_prng_seed(&script, seed);
    char text[32];
    for (int n = 0; n < 60; n++) {
        uint64_t id = 1 + qr_prng_below(&script, w->count);
        switch (qr_prng_below(&script, 6)) {
        case 0:
            if (w->member[id].engine)
                world_crash(w, id);
            break;
        case 1: world_isolate(w, id, true); break;
        case 2: memset(w->cut, 0, sizeof w->cut); break;
        case 3:
            if (w->member[id].engine)
                world_checkpoint(w, id);
            break;
        default: break;
        }
        world_run(w, qr_prng_below(&script, 300));
        for (uint64_t other = 1; other <= w->count; other++) /* one is away at most */
            if (!w->member[other].engine && (other != id || qr_prng_below(&script, 2)))
                world_boot(w, other);
        if (qr_prng_below(&script, 2))
            memset(w->cut, 0, sizeof w->cut);
        uint32_t away = 0;
        for (uint64_t other = 1; other <= w->count; other++)
            away += !w->member[other].engine || w->cut[other][other == 1 ? 2 : 1];
        if (away)
            memset(w->cut, 0, sizeof w->cut);
        snprintf(text, sizeof text, "command %d", n);
        write_surely(w, text);
    }
    assert_fine(w);
    uint64_t digest = w->committed[w->committed_max].state;
    world_free(w);
    return digest;
}

static void both_come_to_the_same_state(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++)
        assert_true(play(&qr_raft, seed) == play(&qr_paxos, seed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stable_leader_costs_the_same),
        cmocka_unit_test(a_new_leader_costs),
        cmocka_unit_test(both_come_to_the_same_state),
    };
    return cmocka_run_group_tests_name("paxos-same-schedule", tests, NULL, NULL);
}
