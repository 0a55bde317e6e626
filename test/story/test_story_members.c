/* Scenes of changing members, from chapter 4 of Ongaro's dissertation ("D"). Each one is a schedule of
 * changes, cuts and deaths, and what must come of it; the worst moment is chosen, not hit by luck. */
#include "cmocka_all.h"
#include "raft/raft_internal.h"
#include "world.h"

static world *ready(uint32_t voters, uint32_t count, uint64_t seed)
{
    world *w = world_new_of(voters, count, seed);
    for (uint64_t id = 1; id <= voters; id++)
        world_boot(w, id);
    assert_true(world_until(w, 10000, world_is_even));
    return w;
}

static const qr_raft_engine *raft_of(const world *w, uint64_t id)
{
    return (const qr_raft_engine *)w->member[id].engine;
}

static void set_role(qr_members *members, uint64_t id, uint8_t role)
{
    qr_members_add(members, (qr_member){.id = id});
    for (uint32_t i = 0; i < members->count; i++)
        if (members->list[i].id == id)
            members->list[i].role = role;
}

static void ask(world *w, uint64_t leader, const qr_members *wanted)
{
    uint64_t refused = w->member[leader].refused_members;
    world_change(w, leader, wanted);
    assert_int_equal(w->member[leader].refused_members, refused);
}

static void remove_member(world *w, uint64_t id)
{
    uint64_t leader = world_leader(w);
    qr_members now = *qr_raft_members(raft_of(w, leader)), wanted = {0};
    for (uint32_t i = 0; i < now.count; i++)
        if (now.list[i].id != id)
            qr_members_add(&wanted, now.list[i]);
    ask(w, leader, &wanted);
}

/* Lets id join as a learner and catch up. */
static void take_in(world *w, uint64_t id)
{
    uint64_t leader = world_leader(w);
    qr_members wanted = *qr_raft_members(raft_of(w, leader));
    world_boot(w, id);
    set_role(&wanted, id, QR_ROLE_LEARNER);
    ask(w, leader, &wanted);
    world_run(w, 500);
    assert_int_equal(w->member[id].applied, w->committed_max);
    assert_true(qr_members_find(&w->members, id)->incarnation > 0);
}

/* Two sides that don't hear each other: those named ("125"), and the others. */
static void split(world *w, const char *names)
{
    for (uint64_t a = 1; a <= w->count; a++)
        for (uint64_t b = 1; b <= w->count; b++)
            w->cut[a][b] = !strchr(names, (int)('0' + a)) != !strchr(names, (int)('0' + b));
}

/* Figure 4.2 of the dissertation: going from three servers straight to five would let {1, 2} decide by the
 * old configuration and {3, 4, 5} by the new one. Here the same cut comes in the worst moment: 3, 4 and 5
 * know the joint configuration, 1 and 2 do not. Neither side may decide without the other's majority. */
static void figure_4_2_two_majorities(void **state)
{
    world *w = ready(3, 5, 42);
    take_in(w, 4);
    take_in(w, 5);
    uint64_t leader = world_leader(w);
    char side[8] = "45";
    side[2] = (char)('0' + leader);
    split(w, side); /* the leader and the two new ones on one side */
    qr_members wanted = w->members;
    set_role(&wanted, 4, QR_ROLE_VOTER);
    set_role(&wanted, 5, QR_ROLE_VOTER);
    ask(w, leader, &wanted);
    world_propose(w, leader, "by the new majority?");
    uint64_t before = w->committed_max;
    world_run(w, 100);
    const qr_raft_engine *raft = raft_of(w, leader);
    assert_true(qr_raft_members(raft)->joint && raft->peers.list[2].match == raft->log.last &&
                raft->peers.list[3].match == raft->log.last); /* three of five have it */
    assert_int_equal(w->committed_max, before);               /* and one of the old three: not committed */
    world_run(w, 5000); /* the other two decide by the old configuration, as they may */
    assert_true(world_leader(w) != leader && world_leader(w) < 4);
    world_propose(w, world_leader(w), "by the old majority");
    world_run(w, 100);
    assert_int_equal(w->committed_max, before + 2);
    memset(w->cut, 0, sizeof w->cut);
    assert_true(world_until(w, 5000, world_is_even));
    assert_int_equal(qr_members_find(qr_raft_members(raft_of(w, leader)), 4)->role, QR_ROLE_LEARNER);
    assert_int_equal(w->member[4].role, QR_LEARNER); /* 4 and 5 were voters in their logs, and are not now */
    assert_fine(w);
    world_free(w);
}

/* The erratum to D 4.1 (raft-dev, 2015; facts row 1). Leader S1 appends a configuration and is cut off; S2
 * leads, and appends another one; S1 comes back. Had S2 not waited for its own no-op, and were changes not
 * joint, the two would have quorums that never meet. Here S2 is refused until it knows that nobody can
 * overtake it. */
static void the_bug_of_single_server_changes(void **state)
{
    world *w = ready(4, 5, 43);
    take_in(w, 5);
    uint64_t first = world_leader(w), gone = first % 4 + 1;
    world_isolate(w, first, true);
    qr_members wanted = w->members; /* S1: 5 comes */
    set_role(&wanted, 5, QR_ROLE_VOTER);
    ask(w, first, &wanted);
    world_run(w, 3000);
    uint64_t second = world_leader(w);
    assert_int_not_equal(second, first);
    if (gone == second)
        gone = gone % 4 + 1 == first ? first % 4 + 1 : gone % 4 + 1;
    remove_member(w, gone); /* S2: one goes */
    world_run(w, 300);
    assert_null(qr_members_find(&w->members, gone));
    world_isolate(w, first, false);
    world_isolate(w, second, true); /* S1 is back and has 5 and one more, and a longer log for them */
    world_run(w, 5000);
    assert_null(qr_members_find(&w->members, gone));
    memset(w->cut, 0, sizeof w->cut);
    assert_true(world_until(w, 5000, world_is_even));
    assert_int_equal(qr_members_find(&w->members, 5)->role, QR_ROLE_LEARNER);
    assert_fine(w);
    world_free(w);
}

/* D 4.2.2, figure 4.6: S1 leads, is removed, and dies with C_new in the logs of those only who are removed
 * with it or may not decide alone. Who has it in the log stands for election although it is no member of it,
 * without counting itself: without that nobody could finish the change. */
static void the_removed_may_be_needed_for_its_removal(void **state)
{
    world *w = ready(4, 4, 44);
    uint64_t leader = world_leader(w), gone = leader % 4 + 1;
    remove_member(w, gone);
    /* The joint configuration is committed everywhere; C_new reaches the removed one only. */
    while (qr_raft_members(raft_of(w, leader))->joint == 1 || w->members.joint == 0)
        world_run(w, 1);
    for (uint64_t id = 1; id <= 4; id++)
        if (id != gone && id != leader)
            w->cut[leader][id] = true;
    while (w->message_count) /* nothing of it is under way to others: the leader says it again to `gone` */
        qr_buffer_free(&w->messages[--w->message_count].bytes);
    world_run(w, 150);
    assert_false(qr_raft_members(raft_of(w, gone))->joint);
    uint64_t others = 0;
    for (uint64_t id = 1; id <= 4; id++)
        others += id != gone && id != leader && qr_raft_members(raft_of(w, id))->joint;
    assert_int_equal(others, 2);
    assert_int_equal(w->member[gone].role, QR_LEARNER);
    world_crash(w, leader);
    memset(w->cut, 0, sizeof w->cut);
    /* Three of four: the two others lack the last entry, so only `gone` can win their joint vote. */
    assert_true(world_until(w, 10000, world_has_leader));
    world_run(w, 3000);
    bool has_led = false;
    for (uint64_t term = 1; term < 100; term++)
        has_led = has_led || w->leader_of_term[term] == gone;
    assert_true(has_led);
    assert_int_not_equal(world_leader(w), gone); /* it led, finished, and went */
    assert_int_not_equal(world_leader(w), 0);
    assert_null(qr_members_find(&w->members, gone));
    assert_null(qr_members_find(&w->member[gone].members, gone));
    assert_fine(w);
    world_free(w);
}

/* D 4.1, last paragraphs: three servers, a fourth is promoted, the leader dies before the fourth has heard of
 * its promotion. Its vote is needed, and it gives it without knowing why. */
static void the_vote_of_one_that_does_not_know_its_right(void **state)
{
    world *w = ready(3, 4, 45);
    take_in(w, 4);
    uint64_t leader = world_leader(w);
    qr_members wanted = w->members;
    set_role(&wanted, 4, QR_ROLE_VOTER);
    w->cut[leader][4] = true;
    ask(w, leader, &wanted);
    world_run(w, 200);
    assert_int_equal(qr_members_find(&w->members, 4)->role, QR_ROLE_VOTER); /* three of four: committed */
    assert_int_equal(w->member[4].role, QR_LEARNER);
    world_crash(w, leader);
    memset(w->cut, 0, sizeof w->cut);
    assert_true(world_until(w, 10000, world_has_leader));
    world_run(w, 300);
    assert_int_equal(w->member[4].role, QR_FOLLOWER);
    assert_fine(w);
    world_free(w);
}

/* Facts row 31, the scene that loses data where a name votes and not a disk: an entry is on 1 and 2; 2 loses
 * its disk; 1 is away. 3, that never saw the entry, asks the empty disk for its vote. */
static world *amnesia(uint32_t bug)
{
    world *w = ready(3, 3, 46);
    w->config.bug = bug;
    uint64_t leader = world_leader(w), second = leader % 3 + 1, third = 6 - leader - second;
    for (uint64_t id = 1; id <= 3; id++) { /* the bug is there from the next start on */
        world_crash(w, id);
        world_boot(w, id);
    }
    assert_true(world_until(w, 10000, world_is_even));
    leader = world_leader(w), second = leader % 3 + 1, third = 6 - leader - second;
    world_isolate(w, third, true);
    world_propose(w, leader, "on two of three");
    world_run(w, 100);
    world_wipe(w, second);
    world_isolate(w, leader, true);
    world_cut_both(w, second, third, false);
    world_boot(w, second);
    world_run(w, 10000);
    if (bug == 0) {
        assert_int_equal(w->member[third].role == QR_LEADER, false);
        assert_int_equal(w->member[second].role, QR_LEARNER);
        memset(w->cut, 0, sizeof w->cut);
        assert_true(world_until(w, 5000, world_is_even));
        world_run(w, 3000);
        assert_int_equal(qr_members_find(&w->members, second)->role, QR_ROLE_VOTER);
        assert_int_equal(qr_members_find(&w->members, second)->incarnation, 2);
        assert_int_equal(w->member[second].applied, w->committed_max);
    }
    return w;
}

static void an_empty_disk_does_not_vote(void **state)
{
    world *w = amnesia(0);
    assert_fine(w);
    world_free(w);
}

#ifdef QR_PLANTED_BUGS
static void an_empty_disk_that_votes_loses_data(void **state)
{
    world *w = amnesia(QR_BUG_WIPED_VOTES);
    assert_non_null(w->violation);
    print_message("found: %s (%s)\n", w->violation, w->detail);
    world_free(w);
}
#endif

/* All three disks of a group are replaced one after the other, under load, and nothing is lost. */
static void every_disk_is_replaced_in_turn(void **state)
{
    world *w = ready(3, 3, 47);
    for (uint64_t round = 0; round < 6; round++) {
        uint64_t id = 1 + round % 3;
        world_wipe(w, id);
        for (int i = 0; i < 20; i++) {
            if (world_leader(w))
                world_propose(w, world_leader(w), "x");
            world_run(w, 20);
        }
        world_boot(w, id);
        world_run(w, 4000);
        assert_true(world_is_even(w));
        assert_int_equal(qr_members_find(&w->members, id)->role, QR_ROLE_VOTER);
        assert_int_equal(qr_members_find(&w->members, id)->incarnation, 2 + round / 3);
    }
    assert_true(w->committed_max > 100);
    assert_fine(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figure_4_2_two_majorities),
        cmocka_unit_test(the_bug_of_single_server_changes),
        cmocka_unit_test(the_removed_may_be_needed_for_its_removal),
        cmocka_unit_test(the_vote_of_one_that_does_not_know_its_right),
        cmocka_unit_test(an_empty_disk_does_not_vote),
#ifdef QR_PLANTED_BUGS
        cmocka_unit_test(an_empty_disk_that_votes_loses_data),
#endif
        cmocka_unit_test(every_disk_is_replaced_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
