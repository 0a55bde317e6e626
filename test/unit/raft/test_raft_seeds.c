/* Short random lives: loss, copies, reordering, cuts, crashes that keep a part of what was not synced, slow
 * disks, checkpoints, tiny memory, handovers and reads. Safety is looked at all the time, and after healing
 * everything must converge. With -Dplanted_bugs=true the same runs must find the bugs. */
#include "cmocka_all.h"
#include "world.h"

#include <stdlib.h>

static void fault(world *w)
{
    uint64_t id = 1 + qr_prng_below(&w->prng, w->count), other = 1 + qr_prng_below(&w->prng, w->count);
    switch (qr_prng_below(&w->prng, 14)) {
    case 0:
    case 1:
        if (w->member[id].engine)
            world_crash(w, id);
        break;
    case 2:
    case 3:
    case 4:
        for (uint64_t i = 1; i <= w->count; i++)
            if (!w->member[i].engine && qr_prng_below(&w->prng, 2))
                world_boot(w, i);
        break;
    case 5: world_cut_both(w, id, other, id != other); break;
    case 6: w->cut[id][other] = id != other; break;
    case 7: { /* its connections may break with it: then the others act at once */
        bool told = qr_prng_below(&w->prng, 2), one_way = qr_prng_below(&w->prng, 3) == 0;
        for (uint64_t peer = 1; peer <= w->count; peer++) {
            if (peer == id)
                continue;
            w->cut[id][peer] = true;
            w->cut[peer][id] = !one_way;
            if (told)
                world_link(w, peer, id, false);
        }
        break;
    }
    case 8:
    case 9: memset(w->cut, 0, sizeof w->cut); break;
    case 10:
        w->member[id].disk_ms = qr_prng_below(&w->prng, 4) ? 1 : qr_prng_between(&w->prng, 1, 400);
        break;
    case 11:
        if (w->member[id].engine)
            world_checkpoint(w, id);
        break;
    case 12:
        if (w->member[id].engine && id != other) {
            world_link(w, id, other, false);
            if (qr_prng_below(&w->prng, 2))
                world_link(w, id, other, true);
        }
        break;
    case 13:
        if (w->member[id].engine)
            world_step(w, id,
                       &(qr_event){.kind = QR_EVENT_HANDOVER,
                                   .handover = {.target = qr_prng_below(&w->prng, 2) ? other : 0}});
        break;
    }
}

static void work(world *w)
{
    char text[32];
    for (uint64_t n = qr_prng_below(&w->prng, 4); n > 0; n--) {
        uint64_t id = qr_prng_below(&w->prng, 4) ? world_leader(w) : 1 + qr_prng_below(&w->prng, w->count);
        if (id == 0 || !w->member[id].engine)
            continue;
        snprintf(text, sizeof text, "%d-%d", (int)w->now_ms, (int)n);
        world_propose(w, id, text);
    }
    for (uint64_t n = qr_prng_below(&w->prng, 3); n > 0; n--) {
        uint64_t id = 1 + qr_prng_below(&w->prng, w->count);
        if (w->member[id].engine)
            world_read(w, id);
    }
}

static void heal(world *w)
{
    memset(w->cut, 0, sizeof w->cut);
    w->loss_ppm = w->copy_ppm = w->late_ppm = 0;
    for (uint64_t id = 1; id <= w->count; id++) {
        w->member[id].disk_ms = 1;
        if (!w->member[id].engine)
            world_boot(w, id);
    }
    for (uint64_t a = 1; a <= w->count; a++)
        for (uint64_t b = 1; b <= w->count; b++)
            if (a != b)
                world_link(w, a, b, true);
}

typedef struct totals {
    uint64_t elections, entries, reads, fetches, checkpoints, steps, hash;
} totals;

static world *life(uint64_t seed, uint32_t bug, totals *sum)
{
    static const uint32_t sizes[] = {1, 2, 3, 3, 3, 3, 5, 5};
    world *w = world_new(sizes[seed % 8], seed);
    w->engine = &WORLD_ENGINE;
    w->config.bug = bug;
    if (getenv("RAFT_STORY") && strtoull(getenv("RAFT_STORY"), NULL, 10) == seed)
        w->story = stderr;
    w->config.election_ms = 300 + 100 * (seed % 5);
    w->config.heartbeat_ms = 30 + 10 * (seed % 7);
    if (seed % 3 == 0) {
        w->config.memory_max = 600;
        w->config.message_max = 200;
    }
    if (seed % 4) {
        w->delay_max_ms = 1 + qr_prng_below(&w->prng, 60);
        w->loss_ppm = (uint32_t)qr_prng_below(&w->prng, 200000);
        w->copy_ppm = (uint32_t)qr_prng_below(&w->prng, 200000);
        w->late_ppm = seed % 5 == 0 ? 50000 : 0;
    }
    world_boot_all(w);
    uint64_t pace = 10 + qr_prng_below(&w->prng, 150);
    while (w->now_ms < 16000 && !w->violation) {
        world_run(w, qr_prng_below(&w->prng, pace));
        if (w->violation)
            break;
        work(w);
        if (!w->violation && qr_prng_below(&w->prng, 4) == 0)
            fault(w);
    }
    if (!w->violation) {
        heal(w);
        world_run(w, 2 * w->config.election_ms); /* a handover may be under way */
        if (!world_until(w, 20 * w->config.election_ms, world_is_even))
            world_fail(w, "converges after healing", "leader %d", (int)world_leader(w));
    }
    if (!w->violation) {
        uint64_t leader = world_leader(w), before = w->committed_max, elections = w->elections;
        world_propose(w, leader, "last");
        uint64_t tags[WORLD_MEMBERS_MAX + 1];
        for (uint64_t id = 1; id <= w->count; id++)
            tags[id] = world_read(w, id);
        world_run(w, 1000);
        bool answered = true;
        for (uint64_t id = 1; id <= w->count; id++)
            answered = answered && w->read_at[tags[id]];
        if (w->committed_max < before + 1 || !answered || w->elections != elections)
            world_fail(w, "works after healing", "%d entries, reads %d", (int)w->committed_max, answered);
    }
    sum->elections += w->elections;
    sum->entries += w->committed_max;
    sum->steps += w->steps;
    sum->hash = qr_hash_mix(sum->hash, w->message_number);
    for (uint64_t id = 1; id <= w->count; id++) {
        sum->reads += w->member[id].served_reads;
        sum->fetches += w->member[id].fetches;
        sum->checkpoints += w->member[id].checkpoints_sent;
        sum->hash = qr_hash_mix(sum->hash, w->member[id].engine ? w->member[id].trace.hash : 0);
    }
    return w;
}

static uint64_t seeds(void)
{
    const char *text = getenv("RAFT_SEEDS");
    return text ? strtoull(text, NULL, 10) : 80;
}

static void safe_and_alive(void **state)
{
    totals sum = {0};
    for (uint64_t seed = 1; seed <= seeds(); seed++) {
        world *w = life(seed, 0, &sum);
        if (w->violation)
            fail_msg("seed %d: %s: %s (at %d ms)", (int)seed, w->violation, w->detail, (int)w->now_ms);
        world_free(w);
    }
    print_message("%d seeds: %d elections, %d entries, %d reads, %d fetches, %d checkpoints sent, %d steps\n",
                  (int)seeds(), (int)sum.elections, (int)sum.entries, (int)sum.reads, (int)sum.fetches,
                  (int)sum.checkpoints, (int)sum.steps);
    /* The runs do what they are for. */
    assert_true(sum.elections > seeds() && sum.reads > 10 * seeds() && sum.fetches > seeds() &&
                sum.checkpoints > seeds() / 20);
}

static void the_same_seed_is_the_same_life(void **state)
{
    for (uint64_t seed = 1; seed <= 16; seed++) {
        totals a = {0}, b = {0};
        world_free(life(seed, 0, &a));
        world_free(life(seed, 0, &b));
        assert_true(a.hash == b.hash && a.steps == b.steps);
    }
}

#if defined(QR_PLANTED_BUGS) && defined(WORLD_RAFT)
static void planted_bugs_are_found(void **state)
{
    static const struct {
        uint32_t bug;
        const char *name;
        bool must;
    } bugs[] = {
        {QR_BUG_VOTE_NOT_DURABLE, "vote-not-durable", true},
        {QR_BUG_COMMIT_OLD_TERM, "commit-old-term", false}, /* rare here: test/story plays figure 8 */
        {QR_BUG_NO_LOG_CHECK, "no-log-check-on-vote", true},
        {QR_BUG_READ_NO_QUORUM, "read-without-quorum", true},
        {QR_BUG_TRUNCATE_ALWAYS, "truncate-on-old-append", true},
        {QR_BUG_COMMIT_UNMATCHED, "commit-beyond-match", true},
        {QR_BUG_VOTE_COUNTED_TWICE, "vote-counted-twice", true},
        {QR_BUG_READ_BEFORE_NOOP, "read-before-own-commit", true},
        {QR_BUG_READ_OLD_ROUND, "read-confirmed-by-old-round", true},
        {QR_BUG_LOST_TRUNCATION, "prefix-not-checked", true},
    };
    for (size_t i = 0; i < sizeof bugs / sizeof *bugs; i++) {
        const char *found = NULL;
        uint64_t seed = 0;
        totals sum = {0};
        char detail[256] = "";
        while (!found && seed < 3000) {
            world *w = life(++seed, bugs[i].bug, &sum);
            found = w->violation;
            memcpy(detail, w->detail, sizeof detail);
            world_free(w);
        }
        print_message("%-28s seed %4d: %s: %s\n", bugs[i].name, (int)seed, found ? found : "not found",
                      detail);
        if (bugs[i].must)
            assert_non_null(found);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_and_alive),
        cmocka_unit_test(the_same_seed_is_the_same_life),
#if defined(QR_PLANTED_BUGS) && defined(WORLD_RAFT)
        cmocka_unit_test(planted_bugs_are_found),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
