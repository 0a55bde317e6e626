/* Changing the members: what a leader does with QR_EVENT_MEMBERS, who learns of it, and what happens to those
 * who join, leave, or come back on another disk. "D" is Ongaro's dissertation. */
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

static const qr_engine_status *status_of(const world *w, uint64_t id)
{
    static qr_engine_status status;
    qr_raft.status(w->member[id].engine, &status);
    return &status;
}

/* "1v 2l 4v": the members that are committed everywhere, as far as a reader cares: v voter, l learner, r
 * returning, x leaving; a joint configuration begins with "+", and * marks outgoing voters. */
static const char *say(const qr_members *members)
{
    static char text[256];
    char *at = text + snprintf(text, sizeof text, "%s", members->joint ? "+" : "");
    for (uint32_t i = 0; i < members->count; i++)
        at += snprintf(at, sizeof text - (size_t)(at - text), "%s%d%c%s", i == 0 ? "" : " ",
                       (int)members->list[i].id, " vlrx"[members->list[i].role],
                       members -> list[i].voted_before ? "*" : "");
    return text;
}

static const char *members_of(const world *w, uint64_t id)
{
    return say(&status_of(w, id)->members);
}

/* The members in force at the leader, with some changed: "4v 2-" makes 4 a voter and removes 2. */
static qr_members wanted(const world *w, uint64_t leader, const char *changes)
{
    qr_members now = status_of(w, leader)->members, to = {0};
    for (; *changes; changes += changes[2] ? 3 : 2) {
        uint64_t id = (uint64_t)(changes[0] - '0');
        qr_member member = {.id = id};
        qr_members_add(&now, member);
        for (uint32_t i = 0; i < now.count; i++)
            if (now.list[i].id == id)
                now.list[i].role = changes[1] == 'v'   ? QR_ROLE_VOTER
                                   : changes[1] == 'l' ? QR_ROLE_LEARNER
                                                       : 0;
    }
    for (uint32_t i = 0; i < now.count; i++)
        if (now.list[i].role)
            to.list[to.count++] = now.list[i];
    return to;
}

static void change(world *w, const char *changes)
{
    uint64_t leader = world_leader(w), refused = w->member[leader].refused_members;
    qr_members to = wanted(w, leader, changes);
    world_change(w, leader, &to);
    assert_int_equal(w->member[leader].refused_members, refused);
}

static qr_status refusal(world *w, uint64_t id, const qr_members *to)
{
    uint64_t refused = w->member[id].refused_members;
    world_change(w, id, to);
    assert_int_equal(w->member[id].refused_members, refused + 1);
    return w->member[id].refused_why;
}

/* A learner is added with one entry, hears the leader although its own configuration does not say who that is
 * (D 4.1), catches up, and becomes a voter through a joint configuration (D 4.3). */
static void a_learner_joins_and_is_promoted(void **state)
{
    world *w = ready(3, 4, 1);
    for (int i = 0; i < 20; i++)
        world_propose(w, world_leader(w), "x");
    world_boot(w, 4);
    world_run(w, 100);
    uint64_t leader = world_leader(w), changes = w->changes;
    change(w, "4l");
    world_run(w, 300);
    assert_true(world_is_even(w));
    assert_int_equal(w->member[4].applied, w->committed_max);
    assert_int_equal(w->member[4].role, QR_LEARNER);
    assert_string_equal(members_of(w, 4), "1v 2v 3v 4l");
    assert_int_equal(status_of(w, leader)->members.list[3].incarnation, 1); /* recorded at first contact */
    assert_int_equal(status_of(w, leader)->match[3], w->committed_max);
    assert_true(status_of(w, leader)->alive[3]);
    assert_int_equal(w->changes, changes + 2);
    change(w, "4v");
    assert_string_equal(members_of(w, leader), "+1v* 2v* 3v* 4v"); /* in force as soon as it is in the log */
    world_run(w, 300);
    assert_string_equal(say(&w->members), "1v 2v 3v 4v"); /* left by itself */
    assert_int_equal(w->changes, changes + 4);
    assert_int_equal(w->member[4].role, QR_FOLLOWER);
    assert_int_equal(w->elections, 1);
    assert_fine(w);
    world_free(w);
}

/* A voter that is added at once is a learner in truth until it has caught up (D 4.2.1), so that it is never
 * missing: a single member that adds another one before it runs goes on working, also after a restart. */
static void a_voter_that_is_not_there_is_not_counted(void **state)
{
    world *w = ready(1, 2, 2);
    change(w, "2v");
    world_run(w, 50);
    assert_string_equal(say(&w->members), "1v 2r");
    world_crash(w, 1);
    world_boot(w, 1);
    assert_true(world_until(w, 5000, world_is_even));
    world_propose(w, 1, "still works");
    world_run(w, 50);
    assert_int_equal(status_of(w, 1)->commit_index, status_of(w, 1)->last_index);
    assert_false(status_of(w, 1)->alive[1]);
    world_boot(w, 2);
    world_run(w, 500);
    assert_string_equal(say(&w->members), "1v 2v"); /* by itself */
    assert_int_equal(w->member[2].role, QR_FOLLOWER);
    assert_fine(w);
    world_free(w);
}

static void changes_are_refused_with_a_reason(void **state)
{
    world *w = world_new_of(3, 5, 3);
    world_boot(w, 1);
    qr_members to = w->config.members;
    qr_members_add(&to, (qr_member){.id = 4, .role = QR_ROLE_LEARNER});
    assert_int_equal(refusal(w, 1, &to), QR_E_NO_LEADER);
    world_boot(w, 2);
    world_boot(w, 3);
    assert_true(world_until(w, 10000, world_has_leader));
    uint64_t leader = world_leader(w), other = leader % 3 + 1;
    assert_true(world_until(w, 10000, world_is_even));
    assert_int_equal(refusal(w, other, &to), QR_E_NOT_LEADER);
    qr_members joint = to;
    joint.joint = joint.list[0].voted_before = 1;
    assert_int_equal(refusal(w, leader, &joint), QR_E_INVALID);
    qr_members unsorted = to;
    unsorted.list[0].id = 9;
    assert_int_equal(refusal(w, leader, &unsorted), QR_E_INVALID);
    qr_members other_disk = to;
    other_disk.list[0].incarnation = 7; /* a voter's disk is not changed by a wish */
    assert_int_equal(refusal(w, leader, &other_disk), QR_E_INVALID);
    qr_members only_new = {0}; /* nobody who could vote for it now */
    qr_members_add(&only_new, (qr_member){.id = 4, .role = QR_ROLE_VOTER});
    assert_int_equal(refusal(w, leader, &only_new), QR_E_INVALID);
    qr_members crowd = {0}; /* with those who leave they are more than a group may have */
    for (uint64_t id = 10; id < 10 + QR_MEMBERS_MAX - 1; id++)
        qr_members_add(&crowd, (qr_member){.id = id, .role = QR_ROLE_LEARNER});
    qr_members_add(&crowd, (qr_member){.id = leader, .role = QR_ROLE_VOTER});
    assert_int_equal(refusal(w, leader, &crowd), QR_E_INVALID);
    change(w, "4l");
    qr_members next = wanted(w, leader, "5l");
    assert_int_equal(refusal(w, leader, &next), QR_E_BUSY); /* the first one is not committed */
    world_run(w, 100);
    change(w, "3-");
    next = wanted(w, leader, "5l");
    next.joint = 0;
    world_run(w, 1);
    assert_int_equal(refusal(w, leader, &to), QR_E_BUSY); /* a joint one is in force */
    world_run(w, 200);
    change(w, "5l");
    world_run(w, 200);
    assert_string_equal(say(&w->members)[0] == '1' ? "ok" : "no", "ok");
    assert_int_equal(w->members.count, 4);
    assert_fine(w);
    world_free(w);
}

/* Facts row 1, the erratum to D 4.1: a leader changes nothing before an entry of its own term is committed.
 */
static void not_before_the_own_term_is_committed(void **state)
{
    world *w = ready(3, 4, 4);
    uint64_t old = world_leader(w);
    world_crash(w, old);
    for (uint64_t id = 1; id <= 3; id++)
        w->member[id].disk_ms = 40;
    for (int i = 0; i < 5000 && (world_leader(w) == 0 || world_leader(w) == old); i++)
        world_run(w, 1);
    uint64_t leader = world_leader(w);
    assert_true(status_of(w, leader)->commit_index < status_of(w, leader)->last_index);
    qr_members to = wanted(w, leader, "4l");
    assert_int_equal(refusal(w, leader, &to), QR_E_BUSY);
    world_run(w, 300);
    change(w, "4l");
    world_run(w, 300);
    assert_string_equal(say(&w->members), "1v 2v 3v 4l");
    world_free(w);
}

/* D 4.2.2: the leader that is removed leads until that is committed, without counting itself. Then another
 * one takes over at once: nobody waits for a timeout. */
static void the_leader_removes_itself(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint32_t voters = 2 + (uint32_t)(seed % 4);
        world *w = ready(voters, voters, seed);
        uint64_t leader = world_leader(w), term = w->member[leader].term;
        world_propose(w, leader, "before");
        char text[] = {(char)('0' + leader), '-', 0};
        change(w, text);
        uint64_t start = w->now_ms;
        while (world_leader(w) == leader || world_leader(w) == 0)
            world_run(w, 1);
        assert_in_range(w->now_ms - start, 0, 30);
        assert_int_equal(w->member[world_leader(w)].term, term + 1);
        world_propose(w, world_leader(w), "after");
        world_run(w, 200);
        assert_true(world_is_even(w));
        assert_int_equal(w->member[leader].applied, w->committed_max); /* it was told, and may go */
        assert_null(qr_members_find(&w->member[leader].members, leader));
        assert_int_equal(w->member[leader].role, QR_LEARNER);
        assert_int_equal(w->elections, 2);
        assert_fine(w);
        world_free(w);
    }
}

/* While the leader that goes waits for the commit of its removal it does not count itself: of {1,2,3} with 1
 * leaving, 1 and 2 are no quorum of {2,3}. */
static void a_leaving_leader_does_not_count_itself(void **state)
{
    world *w = ready(3, 3, 5);
    uint64_t leader = world_leader(w), beside = leader % 3 + 1, other = 6 - leader - beside;
    char text[] = {(char)('0' + leader), '-', 0};
    world_cut_both(w, leader, other, true);
    world_cut_both(w, beside, other, true);
    change(w, text);
    world_run(w, 800);
    assert_true(status_of(w, leader)->members.joint); /* needs both halves */
    assert_int_equal(w->member[leader].role, QR_LEADER);
    memset(w->cut, 0, sizeof w->cut);
    world_run(w, 3000);
    assert_int_equal(w->members.count, 2);
    assert_null(qr_members_find(&w->members, leader));
    assert_fine(w);
    world_free(w);
}

/* D 4.2.3: a removed member that was cut off and knows nothing asks for votes again and again. Nobody gives
 * it one, no term grows, and the leader stays. One that is within reach is told by the leader instead. */
static void the_removed_disturb_nobody(void **state)
{
    world *w = ready(4, 4, 6);
    uint64_t leader = world_leader(w), term = w->member[leader].term, gone = leader % 4 + 1;
    world_isolate(w, gone, true);
    char text[] = {(char)('0' + gone), '-', 0};
    change(w, text);
    world_run(w, 20000);
    assert_int_equal(w->members.count, 3);
    uint64_t told = w->sent[leader][gone][QR_RAFT_APPEND];
    world_run(w, 5000);
    assert_int_equal(w->sent[leader][gone][QR_RAFT_APPEND], told); /* the leader's patience has an end */
    world_isolate(w, gone, false);
    for (int i = 0; i < 50; i++) {
        world_propose(w, world_leader(w), "x");
        world_run(w, 400);
    }
    assert_true(w->sent[gone][leader][QR_RAFT_PREVOTE_ASK] > 5);
    assert_int_equal(world_leader(w), leader);
    assert_int_equal(w->member[leader].term, term);
    assert_int_equal(w->member[gone].term, term);
    assert_int_equal(w->elections, 1);

    uint64_t next = leader % 4 + 1 == gone ? gone % 4 + 1 : leader % 4 + 1;
    text[0] = (char)('0' + next);
    change(w, text);
    world_run(w, 300);
    assert_null(qr_members_find(&w->member[next].members, next)); /* committed by itself */
    assert_int_equal(w->member[next].role, QR_LEARNER);
    assert_fine(w);
    world_free(w);
}

/* Facts row 31. A voter's disk is lost, and an empty one speaks under its name. It is made RETURNING, gets
 * everything, and votes again, all by itself; meanwhile it counts nowhere. */
static void a_wiped_voter_comes_back_by_itself(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        world *w = ready(3 + 2 * (uint32_t)(seed % 2), 5, seed);
        for (int i = 0; i < 10; i++)
            world_propose(w, world_leader(w), "x");
        world_run(w, 50);
        if (seed % 3 == 0)
            for (uint64_t id = 1; id <= 3; id++)
                world_checkpoint(w, id);
        uint64_t leader = world_leader(w), wiped = seed % 4 == 1 ? leader : leader % 3 + 1;
        world_wipe(w, wiped);
        uint64_t before = w->committed_max;
        world_boot(w, wiped);
        assert_int_equal(w->member[wiped].role, QR_LEARNER);
        if (!world_until(w, 8000, world_is_even))
            fail_msg("seed %d: leader %d, %s %s", (int)seed, (int)world_leader(w),
                     w->violation ? w->violation : "", w->detail);
        world_run(w, 2000);
        const qr_member *member = qr_members_find(&w->members, wiped);
        assert_int_equal(member->role, QR_ROLE_VOTER);
        assert_int_equal(member->incarnation, 2);
        assert_false(w->members.joint);
        assert_int_equal(w->member[wiped].applied, w->committed_max);
        assert_true(w->committed_max > before);
        assert_int_equal(w->member[wiped].role, QR_FOLLOWER);
        assert_int_equal(w->elections, 1 + (wiped == leader));
        assert_fine(w);
        world_free(w);
    }
}

/* What is behind the last scene: a leader that dies in the middle leaves the rest to the next one. */
static void the_next_leader_goes_on_with_it(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        world *w = ready(5, 5, seed);
        uint64_t leader = world_leader(w), wiped = leader % 5 + 1;
        world_wipe(w, wiped);
        world_boot(w, wiped);
        world_run(w, seed % 30); /* somewhere between two steps */
        world_crash(w, leader);
        if (!world_until(w, 8000, world_is_even))
            fail_msg("seed %d: leader %d", (int)seed, (int)world_leader(w));
        world_run(w, 3000);
        assert_int_equal(qr_members_find(&w->members, wiped)->role, QR_ROLE_VOTER);
        assert_int_equal(qr_members_find(&w->members, wiped)->incarnation, 2);
        assert_false(w->members.joint);
        assert_fine(w);
        world_free(w);
    }
}

/* A disk that was replaced is void for good: put back, it is heard by nobody, and has no vote. */
static void the_old_disk_is_void(void **state)
{
    world *w = ready(3, 3, 7);
    uint64_t leader = world_leader(w), wiped = leader % 3 + 1;
    world_wipe(w, wiped);
    world_boot(w, wiped);
    world_run(w, 3000);
    assert_int_equal(qr_members_find(&w->members, wiped)->incarnation, 2);
    world_crash(w, wiped);
    w->member[wiped].incarnation = 1; /* the same log, but on the old disk */
    world_boot(w, wiped);
    world_propose(w, leader, "x");
    world_run(w, 3000);
    assert_int_equal(w->member[wiped].role, QR_LEARNER); /* its log names another disk */
    const qr_engine_status *status = status_of(w, leader);
    assert_true(status->match[wiped - 1] < status->last_index);
    assert_false(status->alive[wiped - 1]);
    world_crash(w, leader);
    world_run(w, 5000);
    assert_int_equal(world_leader(w), 0); /* the third one gets no vote of it */
    assert_fine(w);
    world_free(w);
}

/* Fresh clusters know no disks. The first leader writes down all of them in one entry, a heartbeat after its
 * start at the latest, and only when its own term has committed something. */
static void the_first_leader_records_the_disks(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        world *w = world_new(5, seed);
        for (uint32_t i = 0; i < 5; i++) {
            w->config.members.list[i].incarnation = 0;
            w->member[i + 1].incarnation = 10 + i;
        }
        w->members = w->config.members;
        world_boot_all(w);
        assert_true(world_until(w, 10000, world_has_leader));
        world_run(w, 250);
        assert_int_equal(w->changes, 1);
        assert_int_equal(w->committed_max, 2);
        for (uint32_t i = 0; i < 5; i++)
            assert_int_equal(w->members.list[i].incarnation, 10 + i);
        world_run(w, 3000);
        assert_int_equal(w->committed_max, 2);
        assert_fine(w);
        world_free(w);
    }
}

/* Who is not there at the start is recorded later; until then a change of the same leader goes first. */
static void late_disks_are_recorded_later(void **state)
{
    world *w = world_new(3, 8);
    for (uint32_t i = 0; i < 3; i++)
        w->config.members.list[i].incarnation = 0;
    w->members = w->config.members;
    world_boot(w, 1);
    world_boot(w, 2);
    assert_true(world_until(w, 10000, world_has_leader));
    world_run(w, 500);
    assert_int_equal(w->members.list[0].incarnation, 1);
    assert_int_equal(w->members.list[2].incarnation, 0);
    world_boot(w, 3);
    world_run(w, 500);
    assert_int_equal(w->members.list[2].incarnation, 1);
    assert_int_equal(w->changes, 2);
    assert_fine(w);
    world_free(w);
}

/* Facts row 16: what a cut takes away of a configuration it takes away everywhere: members, peers, role. */
static void a_cut_restores_the_former_configuration(void **state)
{
    world *w = ready(3, 4, 9);
    uint64_t old = world_leader(w), demoted = old % 3 + 1;
    world_isolate(w, old, true);
    char text[] = {(char)('0' + demoted), 'l', ' ', '4', 'l', 0};
    change(w, text);
    world_run(w, 3);
    assert_true(status_of(w, old)->members.joint);
    assert_int_equal(status_of(w, old)->members.count, 4);
    world_run(w, 3000);
    assert_true(world_has_leader(w));
    assert_int_not_equal(world_leader(w), old);
    world_isolate(w, old, false);
    assert_true(world_until(w, 5000, world_is_even));
    assert_string_equal(members_of(w, old), "1v 2v 3v");
    qr_raft_engine *raft = (qr_raft_engine *)w->member[old].engine;
    assert_int_equal(raft->peers.count, 2);
    assert_int_equal(raft->config_count, 1);
    assert_int_equal(w->member[old].role, QR_FOLLOWER);
    assert_int_equal(w->changes, 0);
    assert_fine(w);
    world_free(w);
}

/* D 4.1: a member that was away while everybody else was replaced still learns of it: it takes appends of a
 * leader that it does not know. */
static void a_member_that_missed_everything_learns_of_it(void **state)
{
    world *w = ready(3, 5, 10);
    uint64_t leader = world_leader(w), away = leader % 3 + 1, third = 6 - leader - away;
    world_crash(w, away);
    world_boot(w, 4);
    world_boot(w, 5);
    change(w, "4v 5v");
    world_run(w, 1000);
    assert_string_equal(say(&w->members), "1v 2v 3v 4v 5v");
    char text[] = {(char)('0' + third), '-', 0};
    change(w, text);
    world_run(w, 500);
    text[0] = (char)('0' + leader);
    change(w, text);
    world_run(w, 500);
    world_crash(w, leader);
    world_crash(w, third);
    assert_true(world_leader(w) >= 4);
    world_wipe(w, 9 - world_leader(w)); /* so the one that was away is needed */
    world_boot(w, away);
    assert_true(world_until(w, 5000, world_has_leader));
    world_propose(w, world_leader(w), "x");
    world_run(w, 500);
    assert_int_equal(w->member[away].applied, w->committed_max);
    assert_int_equal(w->members.count, 3);
    assert_fine(w);
    world_free(w);
}

/* Learners: reads are answered, handovers to them are not. */
static void learners_may_read_but_not_lead(void **state)
{
    world *w = ready(3, 4, 11);
    world_boot(w, 4);
    change(w, "4l");
    world_run(w, 300);
    uint64_t leader = world_leader(w);
    world_propose(w, leader, "x");
    uint64_t tag = world_read(w, 4);
    world_run(w, 100);
    assert_true(w->read_at[tag] > 0);
    uint64_t refused = w->member[leader].refused_handovers;
    world_step(w, leader, &(qr_event){.kind = QR_EVENT_HANDOVER, .handover = {.target = 4}});
    assert_int_equal(w->member[leader].refused_handovers, refused + 1);
    assert_int_equal(w->member[leader].refused_why, QR_E_INVALID);
    assert_fine(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_learner_joins_and_is_promoted),
        cmocka_unit_test(a_voter_that_is_not_there_is_not_counted),
        cmocka_unit_test(changes_are_refused_with_a_reason),
        cmocka_unit_test(not_before_the_own_term_is_committed),
        cmocka_unit_test(the_leader_removes_itself),
        cmocka_unit_test(a_leaving_leader_does_not_count_itself),
        cmocka_unit_test(the_removed_disturb_nobody),
        cmocka_unit_test(a_wiped_voter_comes_back_by_itself),
        cmocka_unit_test(the_next_leader_goes_on_with_it),
        cmocka_unit_test(the_old_disk_is_void),
        cmocka_unit_test(the_first_leader_records_the_disks),
        cmocka_unit_test(late_disks_are_recorded_later),
        cmocka_unit_test(a_cut_restores_the_former_configuration),
        cmocka_unit_test(a_member_that_missed_everything_learns_of_it),
        cmocka_unit_test(learners_may_read_but_not_lead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
