/* Checkpoints as a member makes them, starts from them, and sends them to one that is too far behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cluster.h"

enum { INTERVAL = 8 * 1024 };

static size_t count_of(const char *text, char letter)
{
    size_t count = 0;
    for (; *text; text++)
        count += *text == letter;
    return count;
}

static void restart(cluster *c, cluster_member *member)
{
    const char *sentence = NULL;
    cluster_stop(c, member);
    assert_int_equal(cluster_open(c, member, &sentence), QR_OK);
}

static void name_of(uint64_t index, char name[QR_DISK_NAME_MAX])
{
    snprintf(name, QR_DISK_NAME_MAX, "checkpoint-%016llx", (unsigned long long)index);
}

static size_t checkpoint_files(const cluster_member *member, uint64_t newest_first[8])
{
    size_t count = 0;
    for (uint64_t index = 2000; index > 0 && count < 8; index--) {
        char name[QR_DISK_NAME_MAX];
        name_of(index, name);
        if (fake_disk_file(member->disk, name) != NULL)
            newest_first[count++] = index;
    }
    return count;
}

static void damage(cluster_member *member, uint64_t index)
{
    char name[QR_DISK_NAME_MAX];
    name_of(index, name);
    qr_buffer *file = fake_disk_file(member->disk, name);
    assert_non_null(file);
    file->data[file->size / 2] ^= 0x10;
}

/* ------------------------------------------------------------- one member ---- */

static void a_restart_begins_with_the_checkpoint_and_goes_on_with_the_log(void **state)
{
    cluster *c = cluster_new(1, INTERVAL);
    cluster_member *member = &c->members[0];
    cluster_leader(c);
    cluster_write_many(c, member, 'a', 300);
    cluster_run(c, 20);
    qr_node_status before = cluster_status(member);
    assert_true(before.checkpoint_index > 100);
    assert_true(before.checkpoint_index < before.applied_index);
    assert_true(before.engine.first_index > 1);
    assert_true(before.engine.first_index <= before.checkpoint_index);
    restart(c, member);
    qr_node_status after = cluster_status(member);
    assert_int_equal(after.applied_index, before.checkpoint_index);
    assert_int_equal(after.engine.commit_index, before.checkpoint_index);
    assert_int_equal(after.engine.last_index, before.engine.last_index);
    cluster_leader(c);
    cluster_run(c, 20);
    assert_int_equal(count_of(cluster_text(member), 'a'), 300);
    cluster_write_many(c, member, 'b', 1);
    assert_int_equal(cluster_text(member)[300], 'b');
    cluster_free(c);
}

static void the_log_and_old_checkpoints_do_not_grow_without_end(void **state)
{
    cluster *c = cluster_new(1, INTERVAL);
    cluster_member *member = &c->members[0];
    cluster_leader(c);
    cluster_write_many(c, member, 'a', 1200);
    cluster_run(c, 50);
    uint64_t files[8];
    assert_int_equal(checkpoint_files(member, files), 2);
    qr_node_status status = cluster_status(member);
    /* Two intervals, a segment begun at each, and spare ones. */
    assert_in_range(status.log_bytes, 1, 8 * 16 * 1024);
    assert_int_equal(status.checkpoint_index, files[0]);
    assert_int_equal(status.engine.first_index, files[1] + 1);
    cluster_free(c);
}

/* Each start is ready to let the log in front of the checkpoint go, but begins a segment only if one can. */
static void starts_do_not_make_the_log_longer(void **state)
{
    cluster *c = cluster_new(1, INTERVAL);
    cluster_member *member = &c->members[0];
    cluster_leader(c);
    cluster_write_many(c, member, 'a', 300);
    cluster_run(c, 20);
    uint64_t before = cluster_status(member).log_segments;
    for (int start = 0; start < 10; start++) {
        restart(c, member);
        cluster_leader(c);
        cluster_write_many(c, member, 'b', 1);
        cluster_run(c, 20);
    }
    assert_in_range(cluster_status(member).log_segments, 1, before + 1);
    cluster_free(c);
}

static void a_damaged_checkpoint_is_replaced_by_the_one_before(void **state)
{
    cluster *c = cluster_new(1, INTERVAL);
    cluster_member *member = &c->members[0];
    cluster_leader(c);
    cluster_write_many(c, member, 'a', 500);
    cluster_run(c, 50);
    uint64_t files[8];
    assert_int_equal(checkpoint_files(member, files), 2);
    damage(member, files[0]);
    restart(c, member);
    qr_node_status status = cluster_status(member);
    assert_int_equal(status.checkpoint_index, files[1]);
    assert_int_equal(status.checkpoint_damaged, files[0]);
    cluster_leader(c);
    cluster_run(c, 50);
    assert_int_equal(count_of(cluster_text(member), 'a'), 500);
    /* Without any the log alone is not enough, and the member says so. */
    checkpoint_files(member, files);
    damage(member, files[0]);
    damage(member, files[1]);
    cluster_stop(c, member);
    const char *sentence = NULL;
    assert_int_equal(cluster_open(c, member, &sentence), QR_E_CORRUPT);
    assert_non_null(strstr(sentence, "checkpoint-"));
    cluster_free(c);
}

static void a_missing_checkpoint_is_noticed(void **state)
{
    cluster *c = cluster_new(1, INTERVAL);
    cluster_member *member = &c->members[0];
    cluster_leader(c);
    cluster_write_many(c, member, 'a', 500);
    cluster_run(c, 50);
    uint64_t files[8];
    size_t count = checkpoint_files(member, files);
    cluster_stop(c, member);
    for (size_t i = 0; i < count; i++) {
        qr_disk_op op = {.kind = QR_DISK_REMOVE};
        name_of(files[i], op.name);
        member->disk->disk.run(member->disk->disk.self, &op);
    }
    const char *sentence = NULL;
    assert_int_equal(cluster_open(c, member, &sentence), QR_E_CORRUPT);
    assert_non_null(strstr(sentence, "no checkpoint"));
    cluster_free(c);
}

static qr_status full(void *context, const qr_disk_op *op)
{
    bool takes = op->kind == QR_DISK_CREATE || op->kind == QR_DISK_WRITE;
    return takes && strncmp(op->name, "checkpoint-", 11) == 0 ? QR_E_NO_SPACE : QR_OK;
}

static void a_full_disk_costs_a_checkpoint_and_nothing_else(void **state)
{
    cluster *c = cluster_new(1, INTERVAL);
    cluster_member *member = &c->members[0];
    member->disk->before = full;
    cluster_leader(c);
    cluster_write_many(c, member, 'a', 300);
    assert_int_equal(cluster_status(member).checkpoint_index, 0);
    assert_false(cluster_status(member).halted);
    member->disk->before = NULL;
    c->now_ms += 60 * 1000; /* it waits before it tries again */
    cluster_leader(c);
    cluster_write_many(c, member, 'b', 5);
    cluster_run(c, 50);
    assert_true(cluster_status(member).checkpoint_index > 300);
    cluster_free(c);
}

/* ------------------------------------------------------------- transfers ---- */

static cluster_member *follower_of(cluster *c)
{
    cluster_member *leader = cluster_leader(c);
    return leader == &c->members[0] ? &c->members[1] : &c->members[0];
}

/* A follower that is so far behind that the log does not reach back to where it stands. */
static cluster_member *leave_behind(cluster *c)
{
    cluster_member *slow = follower_of(c);
    cluster_run(c, 50);
    slow->is_cut = true;
    cluster_write_many(c, cluster_leader(c), 'a', 600);
    assert_true(cluster_status(cluster_leader(c)).engine.first_index >
                cluster_status(slow).engine.last_index + 1);
    return slow;
}

static void run_until_equal(cluster *c, cluster_member *slow)
{
    for (int i = 0; i < 20000; i++) {
        if (cluster_status(slow).applied_index == cluster_status(cluster_leader(c)).applied_index &&
            cluster_status(slow).digest == cluster_status(cluster_leader(c)).digest)
            return;
        cluster_run(c, 1);
    }
    fail_msg("the slow member never catches up");
}

static void a_member_far_behind_gets_a_checkpoint(void **state)
{
    cluster *c = cluster_new(3, INTERVAL);
    cluster_member *slow = leave_behind(c);
    slow->is_cut = false;
    run_until_equal(c, slow);
    assert_int_equal(slow->restored, 1);
    assert_string_equal(cluster_text(slow), cluster_text(cluster_leader(c)));
    cluster_write_many(c, cluster_leader(c), 'b', 10);
    run_until_equal(c, slow);
    assert_int_equal(slow->restored, 1);
    /* What it was given is its own now: it starts from it. */
    restart(c, slow);
    run_until_equal(c, slow);
    assert_string_equal(cluster_text(slow), cluster_text(cluster_leader(c)));
    cluster_free(c);
}

static void a_transfer_survives_loss_and_repetition(void **state)
{
    for (uint64_t lose = 2; lose <= 5; lose++) {
        cluster *c = cluster_new(3, INTERVAL);
        cluster_member *slow = leave_behind(c);
        slow->is_cut = false;
        c->lose_each = lose * 2 + 1;
        c->double_each = lose;
        run_until_equal(c, slow);
        assert_true(slow->restored >= 1);
        c->lose_each = c->double_each = 0;
        run_until_equal(c, slow);
        assert_string_equal(cluster_text(slow), cluster_text(cluster_leader(c)));
        cluster_free(c);
    }
}

static void a_transfer_survives_a_restart_after_each_chunk(void **state)
{
    cluster *c = cluster_new(3, INTERVAL);
    cluster_member *slow = leave_behind(c);
    slow->is_cut = false;
    uint64_t size = 0, chunks = 0;
    for (uint64_t upto = 1; size == 0 || upto < size; upto += 4096) {
        qr_node_status status = cluster_status(slow);
        for (int i = 0; i < 5000 && status.receiving.bytes < upto && slow->restored == 0; i++) {
            cluster_run(c, 1);
            status = cluster_status(slow);
        }
        if (slow->restored > 0)
            break;
        size = status.receiving.size;
        chunks++;
        restart(c, slow);
        assert_int_equal(cluster_status(slow).receiving.bytes, 0);
    }
    assert_true(chunks >= 2);
    run_until_equal(c, slow);
    assert_string_equal(cluster_text(slow), cluster_text(cluster_leader(c)));
    cluster_free(c);
}

/* Its write is in the log of the others, and in the checkpoint; nobody can tell it the result any more. */
static void a_write_inside_a_received_checkpoint_is_answered_as_unknown(void **state)
{
    cluster *c = cluster_new(3, INTERVAL);
    cluster_member *slow = follower_of(c);
    cluster_run(c, 50);
    size_t number = cluster_write(slow, 'x');
    c->answers[number] = QR_STATUS_COUNT;
    cluster_run(c, 1); /* it leaves */
    for (int i = 0; i < 1000 && count_of(cluster_text(cluster_leader(c)), 'x') == 0; i++) {
        cluster_run(c, 1);
        slow->is_cut = true; /* and the answer never comes */
    }
    assert_int_equal(count_of(cluster_text(cluster_leader(c)), 'x'), 1);
    cluster_write_many(c, cluster_leader(c), 'a', 60);
    cluster_write_many(c, cluster_leader(c), 'b', 600);
    size_t later = cluster_write(slow, 'y');
    slow->is_cut = false;
    run_until_equal(c, slow);
    cluster_run(c, 200);
    assert_int_equal(slow->restored, 1);
    assert_int_equal(c->answers[number], QR_E_TIMEOUT);
    assert_int_equal(c->answers[later % CLUSTER_ANSWERS_MAX], QR_OK);
    assert_int_equal(count_of(cluster_text(cluster_leader(c)), 'x'), 1);
    assert_int_equal(count_of(cluster_text(cluster_leader(c)), 'y'), 1);
    cluster_free(c);
}

static void a_damaged_checkpoint_is_not_taken_over_and_made_anew(void **state)
{
    cluster *c = cluster_new(3, INTERVAL);
    cluster_member *slow = leave_behind(c), *leader = cluster_leader(c);
    uint64_t before = cluster_status(leader).checkpoint_index;
    damage(leader, before);
    slow->is_cut = false;
    run_until_equal(c, slow);
    assert_true(slow->restored >= 1);
    assert_true(cluster_status(leader).checkpoint_index > before);
    assert_string_equal(cluster_text(slow), cluster_text(leader));
    cluster_free(c);
}

/* ------------------------------------------------------- memory that rots ---- */

static void let_rot(cluster_member *member)
{
    ((char *)(uintptr_t)cluster_text(member))[3] ^= 0x10;
}

/* Writes until the log has grown enough for the next round, and what follows from it. */
static void run_a_round(cluster *c)
{
    uint64_t before = cluster_status(cluster_leader(c)).checkpoint_index;
    for (int i = 0; i < 2000 && cluster_status(cluster_leader(c)).checkpoint_index == before; i++)
        cluster_write_many(c, cluster_leader(c), 'r', 1);
    assert_true(cluster_status(cluster_leader(c)).checkpoint_index > before);
    cluster_run(c, 200);
}

static void members_save_at_the_same_index(void **state)
{
    cluster *c = cluster_new(3, INTERVAL);
    for (int round = 0; round < 4; round++) {
        run_a_round(c);
        for (size_t i = 1; i < c->count; i++)
            assert_int_equal(cluster_status(&c->members[i]).checkpoint_index,
                             cluster_status(&c->members[0]).checkpoint_index);
    }
    cluster_free(c);
}

static void memory_that_rots_is_named_and_not_kept(void **state)
{
    for (int leads = 0; leads < 2; leads++) {
        cluster *c = cluster_new(3, INTERVAL);
        run_a_round(c);
        cluster_member *leader = cluster_leader(c), *other = &c->members[leader == &c->members[0]];
        cluster_member *victim = leads ? leader : other;
        uint64_t kept = cluster_status(victim).checkpoint_index;
        let_rot(victim);
        for (int i = 0; i < 2000 && !cluster_status(victim).halted; i++) {
            cluster_member *writer = victim == other ? leader : other;
            cluster_write(writer, 'x');
            cluster_run(c, 2);
        }
        assert_non_null(cluster_status(victim).halt_sentence);
        assert_non_null(strstr(cluster_status(victim).halt_sentence, "state in memory differs"));
        assert_int_equal(cluster_status(victim).checkpoint_index, kept);
        cluster_run(c, 3000);
        for (size_t i = 0; i < c->count; i++)
            if (&c->members[i] != victim) {
                assert_false(cluster_status(&c->members[i]).halted);
                assert_int_equal(cluster_status(&c->members[i]).divergent, victim->id);
            }
        /* What it kept is from before; the log has the rest. */
        restart(c, victim);
        run_a_round(c);
        run_until_equal(c, victim);
        for (size_t i = 0; i < c->count; i++) {
            assert_int_equal(cluster_status(&c->members[i]).divergent, 0);
            assert_string_equal(cluster_text(&c->members[i]), cluster_text(victim));
        }
        cluster_free(c);
    }
}

static void rounds_go_on_without_a_member(void **state)
{
    cluster *c = cluster_new(3, INTERVAL);
    run_a_round(c);
    cluster_member *leader = cluster_leader(c), *slow = &c->members[leader == &c->members[0]];
    slow->is_cut = true; /* two of three agree */
    run_a_round(c);
    run_a_round(c);
    assert_int_equal(cluster_status(slow).halted, false);
    slow->is_cut = false;
    run_until_equal(c, slow);
    run_a_round(c);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_begins_with_the_checkpoint_and_goes_on_with_the_log),
        cmocka_unit_test(starts_do_not_make_the_log_longer),
        cmocka_unit_test(the_log_and_old_checkpoints_do_not_grow_without_end),
        cmocka_unit_test(a_damaged_checkpoint_is_replaced_by_the_one_before),
        cmocka_unit_test(a_missing_checkpoint_is_noticed),
        cmocka_unit_test(a_full_disk_costs_a_checkpoint_and_nothing_else),
        cmocka_unit_test(a_member_far_behind_gets_a_checkpoint),
        cmocka_unit_test(a_transfer_survives_loss_and_repetition),
        cmocka_unit_test(a_transfer_survives_a_restart_after_each_chunk),
        cmocka_unit_test(a_write_inside_a_received_checkpoint_is_answered_as_unknown),
        cmocka_unit_test(a_damaged_checkpoint_is_not_taken_over_and_made_anew),
        cmocka_unit_test(members_save_at_the_same_index),
        cmocka_unit_test(memory_that_rots_is_named_and_not_kept),
        cmocka_unit_test(rounds_go_on_without_a_member),
    };
    return cmocka_run_group_tests_name("node_checkpoint", tests, NULL, NULL);
}
