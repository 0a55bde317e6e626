/* What members tell each other about themselves, and what they do about disks in trouble. Whole members: the
 * real engine and log. doc/design/health.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "trio.h"

/* ----------------------------------------------------------------- divergence ---- */

static void run_until_halted(trio *t, uint32_t odd)
{
    for (int i = 0; i < 400 && !trio_status(t, odd).halted; i++)
        trio_write_many(t, 4);
    assert_true(trio_status(t, odd).halted);
}

static void the_odd_one_halts_and_the_others_name_it(trio *t, uint32_t odd)
{
    trio_write_many(t, 300);
    assert_false(trio_status(t, odd).halted);
    t->members[odd].machine->goes_wrong = true;
    uint64_t began = trio_status(t, odd).applied_index;
    run_until_halted(t, odd);
    trio_run(t, 100);
    uint64_t found = (began / 256 + 1) * 256;
    char sentence[128];
    snprintf(sentence, sizeof sentence, "this member's state differs from that of the majority at index %llu",
             (unsigned long long)found);
    assert_string_equal(trio_status(t, odd).halt_sentence, sentence);
    for (uint32_t i = 0; i < t->count; i++) {
        if (i == odd)
            continue;
        assert_false(trio_status(t, i).halted);
        assert_int_equal(trio_status(t, i).divergent, t->members[odd].id);
        assert_int_equal(trio_status(t, i).divergent_index, found);
        assert_false(trio_status(t, i).corrupt);
        /* Found within 1,000 entries: facts, goal 17. */
        assert_true(trio_status(t, i).applied_index < began + 1000);
    }
    trio_write_many(t, 50); /* the others go on */
}

static void a_follower_with_another_state_halts(void **state)
{
    trio *t = trio_new(3);
    uint32_t odd = (uint32_t)(trio_wait_leader(t) + 1) % 3;
    the_odd_one_halts_and_the_others_name_it(t, odd);
    /* Its log is right: started again it has the right state, and is named no more. */
    trio_stop(t, odd);
    trio_boot(t, odd);
    trio_write_many(t, 300);
    trio_run(t, 2000);
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(trio_status(t, i).halted);
        assert_int_equal(trio_status(t, i).divergent, 0);
    }
    trio_free(t);
}

static void a_leader_with_another_state_halts(void **state)
{
    trio *t = trio_new(3);
    the_odd_one_halts_and_the_others_name_it(t, (uint32_t)trio_wait_leader(t));
    trio_free(t);
}

static void of_two_nobody_knows_and_writes_are_refused(void **state)
{
    trio *t = trio_new(2);
    uint32_t leader = (uint32_t)trio_wait_leader(t);
    trio_write_many(t, 100);
    t->members[!leader].machine->goes_wrong = true;
    for (int i = 0; i < 400 && t->refused == 0; i++) {
        trio_write(t, leader, 8);
        trio_step(t);
    }
    assert_int_equal(t->status, QR_E_CORRUPT);
    trio_run(t, 100);
    for (uint32_t i = 0; i < 2; i++) {
        assert_false(trio_status(t, i).halted);
        assert_true(trio_status(t, i).corrupt);
        assert_int_equal(trio_status(t, i).corrupt_index, 256);
        assert_int_equal(trio_status(t, i).divergent, 0);
        trio_read(t, i, QR_REQUEST_READ);
        trio_read(t, i, QR_REQUEST_READ_LOCAL);
    }
    trio_run(t, 200);
    assert_int_equal(t->read, 4);
    /* The one that was wrong comes back right. */
    trio_stop(t, !leader);
    trio_boot(t, !leader);
    trio_run(t, 5000);
    assert_false(trio_status(t, 0).corrupt);
    assert_false(trio_status(t, 1).corrupt);
    trio_write_many(t, 300);
    trio_free(t);
}

/* While the third one is down, two cannot tell; when it is back, it decides. */
static void a_third_one_decides_late(void **state)
{
    trio *t = trio_new(3);
    uint32_t leader = (uint32_t)trio_wait_leader(t), odd = (leader + 1) % 3, third = (leader + 2) % 3;
    trio_write_many(t, 100);
    trio_stop(t, third);
    t->members[odd].machine->goes_wrong = true;
    trio_write_many(t, 250);
    assert_false(trio_status(t, leader).corrupt); /* the third one could still speak */
    trio_run(t, 4000);
    assert_true(trio_status(t, leader).corrupt);
    trio_boot(t, third);
    trio_run(t, 3000);
    assert_true(trio_status(t, odd).halted);
    assert_false(trio_status(t, leader).corrupt);
    assert_int_equal(trio_status(t, leader).divergent, t->members[odd].id);
    trio_write_many(t, 10);
    trio_free(t);
}

static void a_log_applied_again_gives_the_same_digests(void **state)
{
    trio *t = trio_new(3);
    trio_wait_leader(t);
    trio_write_many(t, 2000);
    for (uint32_t i = 0; i < 3; i++) {
        trio_stop(t, i);
        trio_run(t, 100);
        trio_boot(t, i);
        trio_wait_leader(t);
        trio_write_many(t, 600);
        trio_run(t, 2500);
    }
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(trio_status(t, i).halted);
        assert_int_equal(trio_status(t, i).divergent, 0);
        assert_false(trio_status(t, i).corrupt);
    }
    trio_free(t);
}

/* ------------------------------------------------------------------- messages ---- */

static void say(trio *t, uint32_t from, uint32_t to, qr_slice body)
{
    qr_buffer out;
    qr_buffer_init(&out);
    qr_buffer_u8(&out, 1);
    qr_buffer_u8(&out, 4);
    qr_buffer_u64(&out, 7);
    qr_buffer_u64(&out, 1);
    qr_buffer_u64(&out, t->members[from].id);
    qr_buffer_u64(&out, t->members[from].incarnation);
    qr_buffer_add_slice(&out, body);
    qr_buffer_u64(&out, qr_hash(qr_buffer_slice(&out), t->members[to].id));
    qr_node_on_message(t->members[to].node, t->members[from].id, qr_buffer_slice(&out), t->now_ms);
    qr_buffer_free(&out);
}

static void say_marks(trio *t, uint32_t from, uint32_t to, uint64_t newest, uint8_t count, size_t there)
{
    qr_buffer body;
    qr_buffer_init(&body);
    qr_buffer_u8(&body, 0);
    qr_buffer_u16(&body, 1);
    qr_buffer_u16(&body, 1);
    qr_buffer_u64(&body, newest);
    qr_buffer_u8(&body, count);
    for (size_t i = 0; i < there; i++)
        qr_buffer_u64(&body, 0xbad);
    say(t, from, to, qr_buffer_slice(&body));
    qr_buffer_free(&body);
}

static void malformed_messages_say_nothing(void **state)
{
    trio *t = trio_new(3);
    trio_wait_leader(t);
    trio_write_many(t, 600);
    trio_run(t, 200);
    t->members[1].cut = t->members[2].cut = true;
    for (uint32_t from = 1; from < 3; from++) {
        say_marks(t, from, 0, 255, 1, 1);   /* not a multiple */
        say_marks(t, from, 0, 256, 2, 2);   /* more of them than there are indexes */
        say_marks(t, from, 0, 512, 2, 1);   /* one is missing */
        say_marks(t, from, 0, 512, 1, 2);   /* one too many */
        say_marks(t, from, 0, 512, 65, 65); /* more than are kept */
        say(t, from, 0, qr_slice_of(NULL, 0));
    }
    trio_step(t);
    assert_false(trio_status(t, 0).halted);
    say_marks(t, 1, 0, 512, 1, 1);
    assert_false(trio_status(t, 0).halted);
    say_marks(t, 2, 0, 512, 1, 1); /* well-formed, and both say the same */
    assert_true(trio_status(t, 0).halted);
    trio_free(t);
}

/* ---------------------------------------------------------------- disks in trouble ---- */

static int leader_other_than(trio *t, int old, uint64_t ms)
{
    for (uint64_t end = t->now_ms + ms; t->now_ms < end;) {
        if (trio_leader(t) >= 0 && trio_leader(t) != old)
            return trio_leader(t);
        trio_write(t, (uint32_t)old, 8);
        trio_step(t);
    }
    return -1;
}

static void a_leader_whose_disk_hangs_hands_over(void **state)
{
    trio *t = trio_new(3);
    int old = trio_wait_leader(t);
    trio_write_many(t, 50);
    trio_run(t, 1500); /* everybody has heard of everybody */
    t->members[old].hangs = true;
    int leader = leader_other_than(t, old, 3 * TRIO_ELECTION_MS);
    assert_true(leader >= 0);
    trio_write_many(t, 50);
    assert_true(trio_status(t, (uint32_t)old).disk_slow);
    assert_true(trio_status(t, (uint32_t)old).oldest_sync_ms > TRIO_ELECTION_MS);
    /* The one whose disk hangs cannot say durably that it knows the new term, so it hears nothing new; what
     * it has it still shows. */
    uint64_t read = t->read;
    trio_read(t, (uint32_t)old, QR_REQUEST_READ_LOCAL);
    trio_run(t, 100);
    assert_int_equal(t->read, read + 1);
    /* And the leader that is well stays, also when the disk is back. */
    t->members[old].hangs = false;
    trio_run(t, 20 * TRIO_ELECTION_MS);
    assert_int_equal(trio_leader(t), leader);
    assert_false(trio_status(t, (uint32_t)old).disk_slow);
    trio_free(t);
}

/* Within a term nothing but its acknowledgements waits for the disk (as long as the leader's pipeline lasts).
 */
static void a_follower_whose_disk_hangs_still_answers(void **state)
{
    trio *t = trio_new(3);
    int leader = trio_wait_leader(t);
    uint32_t follower = (uint32_t)(leader + 1) % 3;
    trio_write_many(t, 50);
    t->members[follower].hangs = true;
    trio_write_many(t, 50);
    trio_run(t, 2 * TRIO_ELECTION_MS);
    assert_true(trio_status(t, follower).disk_slow);
    uint64_t read = t->read, written = t->written;
    trio_read(t, follower, QR_REQUEST_READ);
    trio_read(t, follower, QR_REQUEST_READ_LOCAL);
    trio_write(t, follower, 8);
    trio_run(t, 200);
    assert_int_equal(t->read, read + 2);
    assert_int_equal(t->written, written + 1);
    assert_int_equal(trio_leader(t), leader);
    trio_free(t);
}

static void a_leader_stays_when_nobody_is_well(void **state)
{
    trio *t = trio_new(3);
    int old = trio_wait_leader(t);
    trio_write_many(t, 50);
    trio_run(t, 1500);
    uint64_t term = trio_status(t, (uint32_t)old).engine.term;
    for (uint32_t i = 0; i < 3; i++)
        t->members[i].hangs = true;
    for (int i = 0; i < 20 * TRIO_ELECTION_MS / TRIO_STEP_MS; i++) {
        trio_write(t, (uint32_t)old, 8);
        trio_step(t);
    }
    assert_int_equal(trio_leader(t), old);
    assert_int_equal(trio_status(t, (uint32_t)old).engine.term, term);
    for (uint32_t i = 0; i < 3; i++)
        t->members[i].hangs = false;
    trio_write_many(t, 10);
    trio_free(t);
}

/* Only one is well beside the leader, and both are needed for a quorum: a leader that cannot vote stays. */
static void a_hanging_leader_stays_when_the_others_are_no_quorum(void **state)
{
    trio *t = trio_new(3);
    int old = trio_wait_leader(t);
    trio_write_many(t, 50);
    trio_run(t, 1500);
    trio_stop(t, (uint32_t)(old + 1) % 3);
    trio_run(t, 3000);
    t->members[old].hangs = true;
    assert_int_equal(leader_other_than(t, old, 10 * TRIO_ELECTION_MS), -1);
    t->members[old].hangs = false;
    trio_write_many(t, 10);
    trio_free(t);
}

static void a_full_leader_hands_over(void **state)
{
    trio *t = trio_new(3);
    int old = trio_wait_leader(t);
    trio_write_many(t, 50);
    trio_run(t, 1500);
    t->members[old].full = true;
    int leader = -1;
    for (int i = 0; i < 1000 && leader < 0; i++) {
        trio_write(t, (uint32_t)old, 4000);
        trio_step(t);
        if (trio_leader(t) >= 0 && trio_leader(t) != old)
            leader = trio_leader(t);
    }
    assert_true(leader >= 0);
    assert_true(trio_status(t, (uint32_t)old).no_space);
    trio_write_many(t, 50);
    uint64_t refused = t->refused;
    trio_write(t, (uint32_t)old, 8);
    assert_int_equal(t->refused, refused + 1);
    assert_int_equal(t->status, QR_E_NO_SPACE);
    t->members[old].full = false; /* it ends by itself */
    trio_run(t, 5000);
    assert_false(trio_status(t, (uint32_t)old).no_space);
    assert_int_equal(trio_leader(t), leader);
    uint64_t written = t->written;
    trio_write(t, (uint32_t)old, 8);
    trio_run(t, 500);
    assert_int_equal(t->written, written + 1);
    trio_free(t);
}

static void a_full_leader_stays_when_all_are_full(void **state)
{
    trio *t = trio_new(3);
    trio_wait_leader(t);
    trio_write_many(t, 50);
    trio_run(t, 1500);
    for (uint32_t i = 0; i < 3; i++)
        t->members[i].full = true;
    for (int i = 0; i < 1000; i++) { /* the first one to notice may take another one for well */
        if (trio_leader(t) >= 0)
            trio_write(t, (uint32_t)trio_leader(t), 4000);
        trio_step(t);
    }
    int leader = trio_wait_leader(t);
    uint64_t term = trio_status(t, (uint32_t)leader).engine.term;
    for (uint32_t i = 0; i < 3; i++)
        assert_true(trio_status(t, i).no_space);
    trio_run(t, 60000);
    assert_int_equal(trio_leader(t), leader);
    assert_int_equal(trio_status(t, (uint32_t)leader).engine.term, term);
    trio_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_follower_with_another_state_halts),
        cmocka_unit_test(a_leader_with_another_state_halts),
        cmocka_unit_test(of_two_nobody_knows_and_writes_are_refused),
        cmocka_unit_test(a_third_one_decides_late),
        cmocka_unit_test(a_log_applied_again_gives_the_same_digests),
        cmocka_unit_test(malformed_messages_say_nothing),
        cmocka_unit_test(a_leader_whose_disk_hangs_hands_over),
        cmocka_unit_test(a_follower_whose_disk_hangs_still_answers),
        cmocka_unit_test(a_leader_stays_when_nobody_is_well),
        cmocka_unit_test(a_hanging_leader_stays_when_the_others_are_no_quorum),
        cmocka_unit_test(a_full_leader_hands_over),
        cmocka_unit_test(a_full_leader_stays_when_all_are_full),
    };
    return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
