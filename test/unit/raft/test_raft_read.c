#include "cmocka_all.h"
#include "world.h"

static world *ready(uint32_t count, uint64_t seed)
{
    world *w = world_new(count, seed);
    world_boot_all(w);
    assert_true(world_until(w, 10000, world_is_even));
    return w;
}

static void every_member_can_read(void **state)
{
    world *w = ready(3, 1);
    world_propose(w, world_leader(w), "x");
    world_run(w, 10);
    uint64_t tags[4];
    for (uint64_t id = 1; id <= 3; id++)
        tags[id] = world_read(w, id);
    world_run(w, 10);
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(w->read_at[tags[id]], 3); /* index 2, + 1 */
    assert_fine(w);
    world_free(w);
}

static void a_lone_voter_answers_in_the_same_step(void **state)
{
    world *w = ready(1, 2);
    uint64_t tag = world_read(w, 1);
    assert_int_equal(w->read_at[tag], 2);
    world_free(w);
}

static void many_reads_share_a_round(void **state)
{
    world *w = ready(3, 3);
    uint64_t leader = world_leader(w), other = leader % 3 + 1, sent = w->sent[leader][other][QR_RAFT_APPEND];
    for (int i = 0; i < 1000; i++)
        world_read(w, leader);
    for (int i = 0; i < 1000; i++)
        world_read(w, other);
    world_run(w, 20);
    assert_int_equal(w->member[leader].served_reads, 1000);
    assert_int_equal(w->member[other].served_reads, 1000);
    assert_true(w->sent[leader][other][QR_RAFT_APPEND] - sent <= 3); /* two rounds, perhaps a heartbeat */
    assert_int_equal(w->sent[other][leader][QR_RAFT_READ_ASK], 1);
    world_free(w);
}

/* D 6.4, facts row 10: a leader that was replaced without knowing serves no reads. */
static void a_deposed_leader_serves_nothing(void **state)
{
    world *w = ready(3, 4);
    uint64_t old = world_leader(w);
    world_isolate(w, old, true);
    for (uint64_t peer = 1; peer <= 3; peer++)
        if (peer != old)
            world_link(w, peer, old, false); /* only the others notice */
    world_run(w, 400);
    uint64_t leader = world_leader(w);
    assert_int_not_equal(leader, old);
    assert_int_equal(w->member[old].role, QR_LEADER); /* it still believes so */
    world_propose(w, leader, "news");
    world_run(w, 20);
    uint64_t tag = world_read(w, old);
    world_run(w, 2000);
    assert_int_equal(w->read_at[tag], 0);
    assert_int_equal(w->member[old].refused_reads, 1); /* check-quorum: told, not left hanging */
    assert_fine(w);
    world_free(w);
}

/* D 6.4 step 1, facts row 11: before its first own commit a leader does not know what was answered before. */
static void reads_wait_for_the_first_commit(void **state)
{
    world *w = ready(3, 5);
    uint64_t old = world_leader(w);
    world_propose(w, old, "x");
    world_run(w, 10);
    for (uint64_t id = 1; id <= 3; id++)
        w->member[id].disk_ms = id == old ? 1 : 200;
    world_crash(w, old);
    while (world_leader(w) == 0)
        world_run(w, 1);
    uint64_t leader = world_leader(w);
    uint64_t tag = world_read(w, leader);
    world_run(w, 150); /* rounds would be answered by now; the no-op is not durable */
    assert_int_equal(w->read_at[tag], 0);
    world_run(w, 200);
    assert_int_equal(w->read_at[tag], 4); /* the no-op of the new term, index 3 */
    assert_fine(w);
    world_free(w);
}

static void no_read_hangs_when_leaders_change(void **state)
{
    uint64_t served = 0, refused = 0;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        world *w = ready(3, seed);
        uint64_t old = world_leader(w), other = old % 3 + 1;
        w->delay_max_ms = 20;
        uint64_t tags[50];
        for (int i = 0; i < 50; i++) {
            tags[i] = world_read(w, other);
            if (i == 25)
                world_crash(w, old);
            world_run(w, 3);
        }
        world_run(w, 3000);
        for (int i = 0; i < 50; i++)
            assert_int_equal(w->read_floor[tags[i]], 0); /* answered or refused */
        served += w->member[other].served_reads;
        refused += w->member[other].refused_reads;
        assert_fine(w);
        world_free(w);
    }
    assert_true(served > 30 * 10 && refused > 30);
}

static void lost_questions_are_asked_again(void **state)
{
    world *w = ready(3, 7);
    uint64_t leader = world_leader(w), other = leader % 3 + 1;
    w->cut[other][leader] = true;
    uint64_t tag = world_read(w, other);
    world_run(w, 150);
    assert_int_equal(w->read_at[tag], 0);
    w->cut[other][leader] = false;
    world_run(w, 110);
    assert_int_equal(w->read_at[tag], 2);
    assert_true(w->sent[other][leader][QR_RAFT_READ_ASK] >= 2);
    world_free(w);
}

/* A network slower than the heartbeat: questions are repeated before the first answer can come. */
static void slow_networks_are_answered_too(void **state)
{
    world *w = world_new(3, 8);
    w->config.heartbeat_ms = 20;
    w->delay_min_ms = w->delay_max_ms = 90;
    world_boot_all(w);
    assert_true(world_until(w, 10000, world_is_even));
    uint64_t tag = world_read(w, world_leader(w) % 3 + 1);
    world_run(w, 500);
    assert_int_not_equal(w->read_at[tag], 0);
    world_free(w);
}

static void waiting_reads_are_bounded(void **state)
{
    world *w = ready(3, 9);
    uint64_t leader = world_leader(w);
    world_isolate(w, leader, true);
    static const uint64_t allowed = 65536;
    qr_effects effects = {0};
    for (uint64_t tag = 1000000; tag <= 1000000 + allowed; tag++) {
        qr_effects_clear(&effects);
        qr_raft.step(w->member[leader].engine,
                     &(qr_event){.kind = QR_EVENT_READ, .now_ms = w->now_ms, .read = {.tag = tag}}, &effects);
        assert_int_equal(effects.count, tag == 1000000 + allowed);
    }
    assert_int_equal(effects.list[0].refuse.why, QR_E_BUSY);
    qr_effects_free(&effects);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_can_read),
        cmocka_unit_test(a_lone_voter_answers_in_the_same_step),
        cmocka_unit_test(many_reads_share_a_round),
        cmocka_unit_test(a_deposed_leader_serves_nothing),
        cmocka_unit_test(reads_wait_for_the_first_commit),
        cmocka_unit_test(no_read_hangs_when_leaders_change),
        cmocka_unit_test(lost_questions_are_asked_again),
        cmocka_unit_test(slow_networks_are_answered_too),
        cmocka_unit_test(waiting_reads_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
