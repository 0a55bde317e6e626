/* The feature level: who raises it, when, and who stays out. doc/design/level.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster.h"

enum { OLD = QR_APPLY_VERSION - 1, NEW = QR_APPLY_VERSION, TURNS = 3000 /* six seconds */ };

static void start_again(cluster *c, size_t number, uint16_t knows, uint16_t hold)
{
    cluster_member *member = &c->members[number];
    const char *sentence = NULL;
    if (member->node != NULL)
        cluster_stop(c, member);
    member->apply_knows = knows;
    member->level_max = hold;
    assert_int_equal(cluster_open(c, member, &sentence), QR_OK);
}

/* Three members, the last of which runs the program before. */
static cluster *mixed_cluster(void)
{
    cluster *c = cluster_new(3, 4096);
    start_again(c, 2, OLD, 0);
    return c;
}

static void expect_level(cluster *c, uint16_t level)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->members[i].node != NULL && !c->members[i].is_cut)
            assert_int_equal(qr_node_level(c->members[i].node), level);
}

static void expect_same_state(cluster *c)
{
    for (size_t i = 1; i < c->count; i++) {
        assert_int_equal(cluster_status(&c->members[i]).applied_index,
                         cluster_status(&c->members[0]).applied_index);
        assert_true(cluster_status(&c->members[i]).digest == cluster_status(&c->members[0]).digest);
    }
}

static void it_is_raised_once_all_know_and_stays(void **state)
{
    cluster *c = cluster_new(3, UINT64_MAX);
    expect_level(c, QR_APPLY_OLDEST);
    cluster_leader(c);
    cluster_run(c, TURNS);
    expect_level(c, NEW);
    expect_same_state(c);
    for (size_t i = 0; i < 3; i++)
        start_again(c, i, NEW, 0);
    cluster_write_many(c, cluster_leader(c), 'a', 3);
    cluster_run(c, 100);
    expect_level(c, NEW); /* out of the log */
    cluster_free(c);
}

static void one_alone_raises_it(void **state)
{
    cluster *c = cluster_new(1, UINT64_MAX);
    cluster_leader(c);
    cluster_run(c, TURNS);
    expect_level(c, NEW);
    cluster_free(c);
}

static void an_old_member_keeps_it_down_and_applies_all(void **state)
{
    cluster *c = mixed_cluster();
    cluster_leader(c);
    cluster_run(c, TURNS);
    cluster_write_many(c, &c->members[0], 'b', 5);
    cluster_write_many(c, &c->members[2], 'c', 5);
    cluster_run(c, 100);
    expect_level(c, OLD);
    expect_same_state(c);
    qr_node_status leads = cluster_status(cluster_leader(c));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(leads.level_known[i], leads.engine.members.list[i].id == 3 ? OLD : NEW);
    start_again(c, 2, NEW, 0);
    cluster_run(c, TURNS);
    expect_level(c, NEW);
    expect_same_state(c);
    cluster_free(c);
}

static void a_silent_member_keeps_it_down(void **state)
{
    cluster *c = mixed_cluster();
    cluster_leader(c);
    cluster_run(c, TURNS);
    c->members[2].is_cut = true;
    cluster_run(c, TURNS);
    expect_level(c, OLD);
    cluster_stop(c, &c->members[2]);
    cluster_run(c, TURNS);
    expect_level(c, OLD);
    c->members[2].is_cut = false;
    start_again(c, 2, NEW, 0);
    cluster_run(c, TURNS);
    expect_level(c, NEW);
    cluster_free(c);
}

static void a_member_holds_it_only_before(void **state)
{
    cluster *c = cluster_new(3, UINT64_MAX);
    start_again(c, 0, NEW, OLD);
    cluster_leader(c);
    cluster_run(c, TURNS);
    expect_level(c, OLD);
    assert_int_equal(cluster_status(&c->members[0]).level_told, OLD);
    start_again(c, 0, NEW, 0);
    cluster_leader(c);
    cluster_run(c, TURNS);
    expect_level(c, NEW);
    start_again(c, 0, NEW, OLD);
    cluster_run(c, TURNS);
    expect_level(c, NEW);
    assert_int_equal(cluster_status(&c->members[0]).level_told, NEW);
    cluster_free(c);
}

static void an_old_program_halts_at_the_command(void **state)
{
    cluster *c = cluster_new(3, UINT64_MAX);
    cluster_leader(c);
    cluster_run(c, TURNS);
    start_again(c, 2, OLD, 0);
    cluster_run(c, TURNS);
    assert_true(cluster_status(&c->members[2]).halted);
    assert_string_equal(cluster_status(&c->members[2]).halt_sentence,
                        "a committed command needs a newer version of this program: upgrade this member");
    start_again(c, 2, NEW, 0);
    cluster_run(c, TURNS);
    expect_level(c, NEW);
    expect_same_state(c);
    cluster_free(c);
}

/* Until its own newest checkpoint holds the level. */
static void write_past_checkpoints(cluster *c)
{
    cluster_member *leader = cluster_leader(c);
    for (int i = 0; i < 8; i++)
        cluster_write_many(c, leader, 'd', 40);
    cluster_run(c, TURNS);
    for (size_t i = 0; i < c->count; i++)
        if (c->members[i].node != NULL)
            assert_true(cluster_status(&c->members[i]).checkpoint_index > 100);
}

static void a_checkpoint_carries_it(void **state)
{
    cluster *c = cluster_new(3, 4096);
    cluster_leader(c);
    cluster_run(c, TURNS);
    expect_level(c, NEW);
    write_past_checkpoints(c);
    start_again(c, 2, NEW, 0);
    assert_int_equal(qr_node_level(c->members[2].node), NEW); /* before anything is applied */
    cluster_stop(c, &c->members[2]);
    c->members[2].apply_knows = OLD;
    const char *sentence = NULL;
    assert_int_equal(cluster_open(c, &c->members[2], &sentence), QR_E_BAD_VERSION);
    assert_non_null(strstr(sentence, "needs a newer version of this program"));
    c->members[2].apply_knows = NEW;
    assert_int_equal(cluster_open(c, &c->members[2], &sentence), QR_OK);
    cluster_run(c, TURNS);
    expect_same_state(c);
    cluster_free(c);
}

/* Another disk, and a log of the others that does not reach back far enough. */
static void an_old_program_halts_at_a_checkpoint_it_is_sent(void **state)
{
    cluster *c = cluster_new(3, 4096);
    cluster_leader(c);
    cluster_run(c, TURNS);
    cluster_stop(c, &c->members[2]);
    write_past_checkpoints(c);
    fake_disk_free(c->members[2].disk);
    c->members[2].disk = fake_disk_new();
    c->members[2].incarnation += 100;
    start_again(c, 2, OLD, 0);
    cluster_run(c, TURNS);
    assert_true(cluster_status(&c->members[2]).halted);
    assert_string_equal(
        cluster_status(&c->members[2]).halt_sentence,
        "the state of the cluster needs a newer version of this program: upgrade this member");
    start_again(c, 2, NEW, 0);
    cluster_run(c, TURNS);
    assert_true(c->members[2].restored > 0);
    expect_level(c, NEW);
    expect_same_state(c);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_raised_once_all_know_and_stays),
        cmocka_unit_test(one_alone_raises_it),
        cmocka_unit_test(an_old_member_keeps_it_down_and_applies_all),
        cmocka_unit_test(a_silent_member_keeps_it_down),
        cmocka_unit_test(a_member_holds_it_only_before),
        cmocka_unit_test(an_old_program_halts_at_the_command),
        cmocka_unit_test(a_checkpoint_carries_it),
        cmocka_unit_test(an_old_program_halts_at_a_checkpoint_it_is_sent),
    };
    return cmocka_run_group_tests_name("level", tests, NULL, NULL);
}
