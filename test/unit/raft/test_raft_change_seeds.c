/* Short random lives of groups that change: members are added, promoted, demoted, replaced and removed,
 * voters lose their disks, leaders die, the network and the disks are as bad as in test_raft_seeds.c. The
 * properties of the paper's figure 3 are looked at all the time; after healing the last configuration must
 * work, with every lost disk replaced. With -Dplanted_bugs=true the same runs must find the bugs. */
#include "cmocka_all.h"
#include "world.h"

#include <stdlib.h>

static uint64_t draw(world *w, uint64_t below)
{
    return qr_prng_below(&w->prng, below);
}

/* ------------------------------------------------------------ faults ---- */

static void isolate_told(world *w, uint64_t id)
{
    world_isolate(w, id, true);
    for (uint64_t peer = 1; peer <= w->count && draw(w, 2); peer++)
        if (peer != id)
            world_link(w, peer, id, false);
}

static void boot_some(world *w)
{
    for (uint64_t id = 1; id <= w->count; id++)
        if (!w->member[id].engine && (w->member[id].life > 0 || !w->member[id].joins) && draw(w, 2))
            world_boot(w, id);
}

static void fault(world *w)
{
    uint64_t id = 1 + draw(w, w->count), other = 1 + draw(w, w->count);
    uint64_t leader = world_leader(w);
    if (leader && draw(w, 3) == 0)
        id = leader;
    bool runs = w->member[id].engine != NULL;
    switch (draw(w, 12)) {
    case 0:
    case 1:
        if (runs)
            world_crash(w, id);
        break;
    case 2:
    case 3:
    case 4: boot_some(w); break;
    case 5: isolate_told(w, id); break;
    case 6: w->cut[id][other] = id != other; break;
    case 7: world_cut_both(w, id, other, id != other); break;
    case 8: memset(w->cut, 0, sizeof w->cut); break;
    case 9: w->member[id].disk_ms = draw(w, 4) ? 1 : 1 + draw(w, 300); break;
    case 10:
        if (runs)
            world_checkpoint(w, id);
        break;
    case 11:
        if (runs)
            world_step(
                w, id,
                &(qr_event){.kind = QR_EVENT_HANDOVER, .handover = {.target = draw(w, 2) ? other : 0}});
        break;
    }
}

/* ------------------------------------------------------------ changes ---- */

/* The leader's configuration, if nothing is under way in it and each voter speaks from the disk that is
 * recorded: only then would an administrator change something, and only then is one more lost disk one of a
 * minority. */
static bool is_whole(const world *w, uint64_t leader, qr_members *members)
{
    if (leader == 0)
        return false;
    const world_member *m = &w->member[leader];
    qr_engine_status status;
    m->engine->ops->status(m->engine, &status);
    *members = status.members;
    if (members->joint || m->applied_term != m->term || status.members_index > m->applied)
        return false; /* on its way, or there and not told yet */
    for (uint64_t index = status.commit_index + 1; index <= status.last_index; index++) {
        qr_entry_kind kind;
        qr_slice bytes;
        if (m->engine->ops->entry(m->engine, index, &kind, &bytes) != 0 && kind == QR_ENTRY_MEMBERS)
            return false; /* in force only once it is committed, in some engines */
    }
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].role == QR_ROLE_RETURNING ||
            (members->list[i].role == QR_ROLE_VOTER &&
             members->list[i].incarnation != w->member[members->list[i].id].incarnation))
            return false;
    return true;
}

static uint32_t voters_of(const qr_members *members)
{
    uint32_t voters = 0;
    for (uint32_t i = 0; i < members->count; i++)
        voters += members->list[i].role == QR_ROLE_VOTER;
    return voters;
}

static void add(world *w, qr_members *to)
{
    for (uint64_t id = 1; id <= w->count; id++) {
        if (w->member[id].life > 0 || !w->member[id].joins)
            continue; /* an id is never used again */
        qr_members_add(to, (qr_member){.id = id, .role = draw(w, 2) ? QR_ROLE_VOTER : QR_ROLE_LEARNER});
        if (draw(w, 3)) /* or it starts some time later */
            world_boot(w, id);
        else
            w->member[id].life = 1;
        return;
    }
}

static void drop(qr_members *to, uint32_t at)
{
    memmove(&to->list[at], &to->list[at + 1], (to->count - at - 1) * sizeof *to->list);
    to->count--;
}

static void alter(world *w, qr_members *to)
{
    uint32_t at = (uint32_t)draw(w, to->count);
    qr_member *member = &to->list[at];
    switch (draw(w, 5)) {
    case 0: add(w, to); break;
    case 1:
        if (member->role == QR_ROLE_LEARNER)
            member->role = QR_ROLE_VOTER;
        break;
    case 2:
        if (voters_of(to) > 1)
            member->role = QR_ROLE_LEARNER;
        break;
    case 3:
        if (voters_of(to) > 1 || member->role != QR_ROLE_VOTER)
            drop(to, at);
        break;
    case 4: /* one in the place of another */
        add(w, to);
        if (voters_of(to) > 2)
            drop(to, (uint32_t)draw(w, to->count));
        break;
    }
}

static void change(world *w)
{
    qr_members to;
    uint64_t leader = world_leader(w);
    if (!is_whole(w, leader, &to))
        return;
    for (uint64_t n = 1 + draw(w, 3); n > 0; n--)
        alter(w, &to);
    if (!w->violation && w->member[leader].engine && voters_of(&to) > 0)
        world_change(w, leader, &to);
}

static uint64_t wipe(world *w)
{
    qr_members members;
    if (!is_whole(w, world_leader(w), &members) || voters_of(&members) < 3)
        return 0;
    uint64_t id = members.list[draw(w, members.count)].id;
    world_wipe(w, id);
    if (draw(w, 2))
        world_boot(w, id);
    return 1;
}

/* ------------------------------------------------------------ lives ---- */

static void work(world *w)
{
    char text[32];
    for (uint64_t n = draw(w, 3); n > 0 && world_leader(w); n--) {
        snprintf(text, sizeof text, "%d-%d", (int)w->now_ms, (int)n);
        world_propose(w, world_leader(w), text);
    }
    uint64_t id = 1 + draw(w, w->count);
    if (w->member[id].engine)
        world_read(w, id);
}

static bool is_restored(const world *w)
{
    qr_members members;
    return world_is_even(w) && is_whole(w, world_leader(w), &members);
}

static void heal(world *w)
{
    memset(w->cut, 0, sizeof w->cut);
    w->loss_ppm = w->copy_ppm = w->late_ppm = 0;
    for (uint64_t id = 1; id <= w->count; id++) {
        w->member[id].disk_ms = 1;
        if (!w->member[id].engine && (w->member[id].life > 0 || !w->member[id].joins))
            world_boot(w, id);
    }
    for (uint64_t a = 1; a <= w->count; a++)
        for (uint64_t b = 1; b <= w->count; b++)
            if (a != b && w->member[b].engine)
                world_link(w, a, b, true);
}

static void must_work(world *w)
{
    heal(w);
    if (!world_until(w, 40 * w->config.election_ms, is_restored)) {
        world_fail(w, "converges after healing", "leader %d", (int)world_leader(w));
        return;
    }
    world_run(w, 2 * w->config.election_ms); /* a handover, or news for the removed, may be under way */
    uint64_t leader = world_leader(w), before = w->committed_max, elections = w->elections;
    if (leader == 0 || w->violation) {
        world_fail(w, "works after healing", "no leader");
        return;
    }
    world_propose(w, leader, "last");
    uint64_t tag = world_read(w, leader);
    world_run(w, 4000);
    if (w->committed_max < before + 1 || !w->read_at[tag] || w->elections != elections)
        world_fail(w, "works after healing", "%d entries, %d elections", (int)w->committed_max,
                   (int)(w->elections - elections));
}

typedef struct totals {
    uint64_t elections, entries, changes, wipes, steps, hash;
} totals;

static world *setting(uint64_t seed, uint32_t bug)
{
    static const uint32_t sizes[] = {1, 2, 3, 3, 3, 4, 5, 5};
    uint32_t voters = sizes[seed % 8];
    world *w = world_new_of(voters, voters + 5, seed);
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
        w->delay_max_ms = 1 + draw(w, 40);
        w->loss_ppm = (uint32_t)draw(w, 100000);
        w->copy_ppm = (uint32_t)draw(w, 100000);
        w->late_ppm = seed % 5 == 0 ? 30000 : 0;
    }
    for (uint64_t id = 1; id <= voters; id++)
        world_boot(w, id);
    return w;
}

static world *life(uint64_t seed, uint32_t bug, totals *sum)
{
    world *w = setting(seed, bug);
    uint64_t pace = 10 + draw(w, 150);
    while (w->now_ms < 12000 && !w->violation) {
        world_run(w, draw(w, pace));
        if (!w->violation)
            work(w);
        if (!w->violation && draw(w, 5) == 0)
            fault(w);
        if (!w->violation && draw(w, 4) == 0)
            change(w);
        if (!w->violation && draw(w, 6) == 0)
            sum->wipes += wipe(w);
    }
    if (!w->violation)
        must_work(w);
    sum->elections += w->elections;
    sum->entries += w->committed_max;
    sum->changes += w->changes;
    sum->steps += w->steps;
    sum->hash = qr_hash_mix(sum->hash, w->message_number);
    return w;
}

static uint64_t seeds(void)
{
    const char *text = getenv("RAFT_SEEDS");
    return text ? strtoull(text, NULL, 10) : 40;
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
    print_message("%d seeds: %d elections, %d entries, %d configurations, %d disks lost, %d steps\n",
                  (int)seeds(), (int)sum.elections, (int)sum.entries, (int)sum.changes, (int)sum.wipes,
                  (int)sum.steps);
    assert_true(sum.changes > 10 * seeds() && sum.wipes > seeds() && sum.elections > 2 * seeds());
}

static void the_same_seed_is_the_same_life(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        totals a = {0}, b = {0};
        world_free(life(seed, 0, &a));
        world_free(life(seed, 0, &b));
        assert_true(a.hash == b.hash && a.steps == b.steps);
    }
}

#if defined(QR_PLANTED_BUGS) && defined(WORLD_RAFT)
/* Something was lost or decided twice, or would be; not only that the group does not get on. */
static bool is_breach(const char *violation)
{
    return violation && !strstr(violation, "after healing");
}

static void planted_bugs_are_found(void **state)
{
    static const struct {
        uint32_t bug;
        const char *name;
    } bugs[] = {
        {QR_BUG_CHANGE_EARLY, "change-before-commit"}, {QR_BUG_JOINT_ONE_HALF, "joint-in-one-half"},
        {QR_BUG_LEARNER_COUNTED, "learner-counted"},   {QR_BUG_CONFIG_NOT_RESTORED, "members-not-restored"},
        {QR_BUG_WIPED_VOTES, "wiped-disk-votes"},
    };
    for (size_t i = 0; i < sizeof bugs / sizeof *bugs; i++) {
        const char *found = NULL;
        uint64_t seed = 0;
        totals sum = {0};
        char detail[256] = "";
        while (!is_breach(found) && seed < 3000) {
            world *w = life(++seed, bugs[i].bug, &sum);
            found = w->violation;
            memcpy(detail, w->detail, sizeof detail);
            world_free(w);
        }
        print_message("%-28s seed %4d: %s: %s\n", bugs[i].name, (int)seed, found ? found : "not found",
                      detail);
        assert_true(is_breach(found));
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
