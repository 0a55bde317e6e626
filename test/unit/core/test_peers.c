/* What engines with a leader share: how much may be under way to a peer, who waits for which read, and the
 * first step of a change. The engines' own tests go through all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/reads.h"
#include "core/steps.h"

enum { A = 1, B = 2, C = 3 };

static const qr_engine_config config = {.self = A, .incarnation = 11, .heartbeat_ms = 10, .election_ms = 100};

static qr_members three_voters(void)
{
    qr_members members = {0};
    for (uint64_t id = A; id <= C; id++)
        qr_members_add(&members, (qr_member){.id = id, .incarnation = 10 + id, .role = QR_ROLE_VOTER});
    return members;
}

static void send_all(qr_peer *peer)
{
    while (qr_peer_has_room(peer))
        qr_peer_flies(peer, peer->next, 1);
}

static void who_has_rejected_gets_more_as_it_gets_on(void **state)
{
    qr_peer peer = {.id = B};
    qr_peer_restart(&peer, 12, 101, 0);
    qr_peer_agrees(&peer, 100, 50);
    assert_int_equal(peer.progress, QR_PIPELINE);
    send_all(&peer);
    assert_int_equal(peer.flying_count, QR_FLYING_MAX);
    qr_peer_rejects(&peer, 51);
    assert_true(peer.progress == QR_PROBE && peer.flying_count == 0 && peer.next == 51);
    qr_peer_agrees(&peer, 51, 50);
    for (uint32_t window = 1; window <= 4; window *= 2) {
        send_all(&peer);
        assert_int_equal(peer.flying_count, window);
        qr_peer_agrees(&peer, peer.next - 1, peer.next - 1);
        assert_true(peer.flying_count == 0 && peer.flying_bytes == 0);
    }
    (void)state;
}

/* Readers that come while a round runs share the next one. */
static void a_round_serves_who_came_before_it(void **state)
{
    qr_effects effects;
    qr_effects_init(&effects);
    qr_reads reads;
    qr_reads_init(&reads, 0);
    qr_peers *peers = qr_alloc_zero(1, sizeof *peers);
    const qr_members members = three_voters();
    qr_peers_follow(peers, &members, &config, true, 1, 0);
    assert_int_equal(peers->count, 2);
    assert_false(qr_reads_want_round(&reads, peers));
    qr_reads_add(&reads, 7);
    peers->list[0].question = 70;
    assert_true(qr_reads_want_round(&reads, peers));
    qr_reads_begin(&reads, peers, 40);
    qr_reads_add(&reads, 8);
    assert_false(qr_reads_want_round(&reads, peers));
    qr_reads_end(&reads, &effects);
    assert_int_equal(effects.count, 1);
    assert_true(effects.list[0].read_at.tag == 7 && effects.list[0].read_at.index == 40);
    assert_int_equal(qr_reads_take_question(&peers->list[0]), 70);
    assert_true(qr_reads_want_round(&reads, peers));
    qr_reads_refuse(&reads, peers, B, &effects);
    assert_int_equal(effects.count, 2);
    assert_true(effects.list[1].refuse.tag == 8 && effects.list[1].refuse.why == QR_E_NOT_LEADER);
    qr_reads_free(&reads);
    qr_free(peers);
    qr_effects_free(&effects);
    (void)state;
}

/* A question is asked again under a new number; an answer to either is good, to an earlier one it is not. */
static void an_answer_to_any_copy_of_the_question_is_good(void **state)
{
    qr_effects effects;
    qr_effects_init(&effects);
    qr_reads reads;
    qr_reads_init(&reads, 5);
    uint64_t before = reads.ask_id;
    qr_reads_add(&reads, 7);
    assert_true(qr_reads_ask(&reads, 100, 10));
    uint64_t first = reads.ask_id;
    assert_false(qr_reads_ask(&reads, 105, 10));
    assert_true(qr_reads_ask(&reads, 110, 10));
    qr_reads_answered(&reads, before, false, 30, B, &effects);
    assert_int_equal(effects.count, 0);
    qr_reads_answered(&reads, first, false, 40, B, &effects);
    assert_int_equal(effects.count, 1);
    assert_int_equal(effects.list[0].read_at.index, 40);
    qr_reads_answered(&reads, reads.ask_id, false, 50, B, &effects);
    assert_int_equal(effects.count, 1);
    qr_reads_free(&reads);
    qr_effects_free(&effects);
    (void)state;
}

/* B's disk is another one: B is taken out, let in as one that does not count, and is a voter again. */
static void a_replaced_disk_comes_back_in_three_steps(void **state)
{
    qr_members members = three_voters(), entry;
    qr_peers *peers = qr_alloc_zero(1, sizeof *peers);
    qr_peers_follow(peers, &members, &config, true, 1, 0);
    qr_steps steps = {.config = &config, .members = &members, .peers = peers, .commit = 9, .is_due = true};
    assert_false(qr_steps_next(&steps, &entry));
    assert_int_equal(qr_peers_judge(peers, &members, true, B, 99), QR_E_NOT_FOUND);
    assert_int_equal(qr_peers_judge(peers, &members, true, B, 3), QR_E_FOREIGN);
    for (int step = 0; step < 5; step++) {
        assert_true(qr_steps_next(&steps, &entry));
        assert_true(qr_members_may_follow(&members, &entry));
        members = entry;
        qr_peers_follow(peers, &members, &config, true, 10, 0);
        assert_int_equal(members.joint, step == 0 || step == 3);
        if (step == 2) { /* it is let in, and catches up */
            assert_int_equal(members.list[1].role, QR_ROLE_RETURNING);
            assert_int_equal(members.list[1].incarnation, 99);
            qr_peers_find(peers, B)->answered = true;
            qr_peer_agrees(qr_peers_find(peers, B), 9, 9);
        }
    }
    assert_int_equal(members.list[1].role, QR_ROLE_VOTER);
    assert_false(qr_steps_next(&steps, &entry));
    qr_free(peers);
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_rejected_gets_more_as_it_gets_on),
        cmocka_unit_test(a_round_serves_who_came_before_it),
        cmocka_unit_test(an_answer_to_any_copy_of_the_question_is_good),
        cmocka_unit_test(a_replaced_disk_comes_back_in_three_steps),
    };
    return cmocka_run_group_tests_name("peers", tests, NULL, NULL);
}
