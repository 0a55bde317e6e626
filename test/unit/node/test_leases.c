/* When leases end, with whole members and the real tree: doc/design/leases.md, rule by rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/txn.h"
#include "tree/tree.h"
#include "trio.h"

enum { TTL_MS = 2000, GRACE_MS = 500 };

static qr_machine *make_tree(void)
{
    return qr_tree_open(&(qr_tree_config){0});
}

typedef struct answer {
    bool is_there;
    qr_status status;
    uint64_t remaining_ms;
} answer;

static void on_done(void *owner, const qr_reply *reply)
{
    answer *a = owner;
    a->is_there = true;
    a->status = reply->status;
    a->remaining_ms = 0;
}

static void on_time(void *owner, const qr_reply *reply)
{
    on_done(owner, reply);
    if (reply->status == QR_OK)
        ((answer *)owner)->remaining_ms = ((const qr_lease_time *)reply->result)->remaining_ms;
}

static void submit(trio *t, uint32_t number, qr_request request, answer *a)
{
    *a = (answer){0};
    request.owner = a;
    assert_int_equal(qr_node_submit(t->members[number].node, &request), QR_OK);
}

static void wait_for(trio *t, const answer *a)
{
    for (int i = 0; i < 4000 && !a->is_there; i++)
        trio_step(t);
    assert_true(a->is_there);
}

static void submit_grant(trio *t, uint32_t number, int64_t lease, answer *a)
{
    qr_buffer body;
    qr_buffer_init(&body);
    qr_body_encode(&(qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = lease, .ttl_ms = TTL_MS}, &body);
    submit(t, number, (qr_request){.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_done},
           a);
    qr_buffer_free(&body);
}

static qr_status grant(trio *t, uint32_t number, int64_t lease)
{
    answer a;
    submit_grant(t, number, lease, &a);
    wait_for(t, &a);
    return a.status;
}

static answer ask(trio *t, uint32_t number, int64_t lease, qr_request_kind kind)
{
    answer a;
    submit(t, number, (qr_request){.kind = kind, .lease = lease, .done = on_time}, &a);
    wait_for(t, &a);
    return a;
}

static qr_status renew(trio *t, uint32_t number, int64_t lease)
{
    return ask(t, number, lease, QR_REQUEST_LEASE_RENEW).status;
}

static bool lives(trio *t, uint32_t number, int64_t lease)
{
    const qr_machine *machine = qr_node_machine(t->members[number].node);
    qr_machine_lease found;
    return machine->ops->lease_from(machine, lease, &found) && found.id == lease;
}

static uint32_t other_than(uint32_t number)
{
    return (number + 1) % 3;
}

static trio *start(uint32_t count, uint32_t *leader)
{
    trio *t = trio_new_with(count, make_tree);
    *leader = (uint32_t)trio_wait_leader(t);
    for (uint32_t i = 0; i < count; i++)
        while (trio_status(t, i).level < QR_LEVEL_LEASES)
            trio_step(t);
    return t;
}

static void test_ends_by_itself(void **state)
{
    uint32_t leader;
    trio *t = start(3, &leader);
    assert_int_equal(grant(t, other_than(leader), 7), QR_OK);
    uint64_t granted_ms = t->now_ms;
    while (lives(t, leader, 7))
        trio_step(t);
    assert_in_range(t->now_ms - granted_ms, TTL_MS - 100, TTL_MS + 100);
    assert_int_equal(renew(t, other_than(leader), 7), QR_E_LEASE_NOT_FOUND);
    assert_int_equal(ask(t, leader, 7, QR_REQUEST_LEASE_TIME).status, QR_E_LEASE_NOT_FOUND);
    trio_free(t);
}

static void test_renewed_through_any_member(void **state)
{
    uint32_t leader;
    trio *t = start(3, &leader);
    assert_int_equal(grant(t, leader, 7), QR_OK);
    for (uint32_t i = 0; i < 9; i++) {
        trio_run(t, TTL_MS * 3 / 4);
        assert_int_equal(renew(t, i % 3, 7), QR_OK);
        assert_in_range(ask(t, i % 3, 7, QR_REQUEST_LEASE_TIME).remaining_ms, TTL_MS - 100, TTL_MS);
    }
    trio_run(t, TTL_MS + 100);
    assert_false(lives(t, leader, 7));
    trio_free(t);
}

/* The next leader knows when the last one renewed it, to the grace that it adds. */
static void test_survives_a_change_of_leaders(void **state)
{
    uint32_t leader;
    trio *t = start(3, &leader);
    assert_int_equal(grant(t, leader, 7), QR_OK);
    trio_run(t, TTL_MS / 2);
    assert_int_equal(renew(t, other_than(leader), 7), QR_OK);
    uint64_t renewed_ms = t->now_ms;
    trio_stop(t, leader);
    leader = (uint32_t)trio_wait_leader(t);
    while (lives(t, leader, 7))
        trio_step(t);
    assert_in_range(t->now_ms - renewed_ms, TTL_MS, TTL_MS + GRACE_MS + 100);
    trio_free(t);
}

/* One who leads no more and does not know it can renew nothing, and ends nothing that its successor renews.
 */
static void test_old_leader(void **state)
{
    uint32_t old;
    trio *t = start(3, &old);
    assert_int_equal(grant(t, old, 7), QR_OK);
    t->members[old].cut = true;
    answer late;
    submit(t, old, (qr_request){.kind = QR_REQUEST_LEASE_RENEW, .lease = 7, .done = on_time}, &late);
    uint32_t leader = old;
    while (leader == old || trio_leader(t) < 0) {
        trio_step(t);
        leader = (uint32_t)trio_leader(t);
    }
    for (int i = 0; i < 4; i++) {
        trio_run(t, TTL_MS * 3 / 4);
        assert_int_equal(renew(t, leader, 7), QR_OK);
    }
    assert_false(late.is_there && late.status == QR_OK);
    t->members[old].cut = false;
    trio_run(t, TTL_MS / 2);
    assert_true(lives(t, old, 7) && lives(t, leader, 7));
    trio_free(t);
}

/* Memory is gone: everything begins anew, and ends in its time. */
static void test_all_restart(void **state)
{
    uint32_t leader;
    trio *t = start(3, &leader);
    assert_int_equal(grant(t, leader, 7), QR_OK);
    trio_run(t, TTL_MS / 2);
    for (uint32_t i = 0; i < 3; i++)
        trio_stop(t, i);
    for (uint32_t i = 0; i < 3; i++)
        trio_boot(t, i);
    uint64_t started_ms = t->now_ms;
    leader = (uint32_t)trio_wait_leader(t);
    while (!lives(t, leader, 7)) /* it applies its log again */
        trio_step(t);
    while (lives(t, leader, 7))
        trio_step(t);
    assert_in_range(t->now_ms - started_ms, TTL_MS, TTL_MS + GRACE_MS + 4 * TRIO_ELECTION_MS);
    trio_free(t);
}

/* One restarted member makes nothing longer once two that remember have answered. */
static void test_one_restarts(void **state)
{
    uint32_t leader;
    trio *t = start(3, &leader);
    assert_int_equal(grant(t, leader, 7), QR_OK);
    uint64_t granted_ms = t->now_ms;
    trio_run(t, TTL_MS / 2);
    trio_stop(t, leader);
    trio_boot(t, leader);
    trio_run(t, TRIO_ELECTION_MS);
    leader = (uint32_t)trio_wait_leader(t);
    while (trio_status(t, leader).applied_term != trio_status(t, leader).engine.term)
        trio_step(t); /* it may be the one that restarted, and has nothing yet */
    while (lives(t, leader, 7))
        trio_step(t);
    assert_in_range(t->now_ms - granted_ms, TTL_MS, TTL_MS + GRACE_MS + 200);
    trio_free(t);
}

/* It starts with a long end of entries that nobody else has, loses them, and leads: the log is shorter now
 * than at its start, and leases are renewed all the same. */
static void test_leads_with_less_than_it_started_with(void **state)
{
    enum { LOST = 40 };
    uint32_t old;
    trio *t = start(3, &old);
    assert_int_equal(grant(t, old, 7), QR_OK);
    t->members[old].cut = true;
    answer lost[LOST];
    for (int i = 0; i < LOST; i++)
        submit_grant(t, old, 100 + i, &lost[i]);
    trio_run(t, 20);
    trio_stop(t, old);
    uint32_t leader = (uint32_t)trio_wait_leader(t);
    trio_boot(t, old);
    assert_true(trio_status(t, old).engine.last_index > trio_status(t, leader).engine.last_index);
    t->members[old].cut = false;
    trio_run(t, TRIO_ELECTION_MS / 2);
    answer handed;
    qr_request over = {.kind = QR_REQUEST_HANDOVER, .target = t->members[old].id, .done = on_done};
    submit(t, (uint32_t)trio_wait_leader(t), over, &handed);
    wait_for(t, &handed);
    assert_int_equal(trio_wait_leader(t), old);
    assert_int_equal(renew(t, old, 7), QR_OK);
    assert_int_equal(renew(t, other_than(old), 7), QR_OK);
    trio_free(t);
}

enum { /* peer.md */
       ENVELOPE_KIND_AT = 1,
       ENVELOPE_LEASE = 8,
       LEASE_WORD_AT = 34,
       LEASE_ANSWER = 2,
       LEASE_RECALLED = 6
};

static bool says(const trio_letter *letter, uint8_t word)
{
    const uint8_t *bytes = letter->bytes.data;
    return bytes[ENVELOPE_KIND_AT] == ENVELOPE_LEASE && bytes[LEASE_WORD_AT] == word;
}

/* Of the answers to a survey only those of one member arrive. */
static void step_hearing(trio *t, int told_by)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->mail_count; i++) {
        if (says(&t->mail[i], LEASE_RECALLED) && (int)t->mail[i].from != told_by)
            qr_buffer_free(&t->mail[i].bytes);
        else
            t->mail[kept++] = t->mail[i];
    }
    t->mail_count = kept;
    trio_step(t);
}

static void run_hearing(trio *t, int told_by, uint64_t ms)
{
    for (uint64_t end = t->now_ms + ms; t->now_ms < end;)
        step_hearing(t, told_by);
}

/* Two answers make a quorum with the leader, but they were given in two configurations: the first one is
 * asked for again, and until it comes no lease ends. */
static void test_survey_of_two_configurations(void **state)
{
    uint32_t old;
    trio *t = start(5, &old);
    assert_int_equal(grant(t, old, 7), QR_OK);
    trio_stop(t, old);
    while (trio_leader(t) < 0)
        step_hearing(t, -1);
    uint32_t leader = (uint32_t)trio_leader(t), others[3], count = 0;
    for (uint32_t i = 0; i < 5; i++)
        if (i != old && i != leader)
            others[count++] = i;
    run_hearing(t, (int)others[0], TTL_MS / 4);
    qr_change change = {.kind = QR_CHANGE_REMOVE, .id = t->members[old].id};
    answer removed;
    submit(t, leader, (qr_request){.kind = QR_REQUEST_MEMBERS, .change = change, .done = on_done}, &removed);
    while (!removed.is_there)
        step_hearing(t, -1);
    assert_int_equal(removed.status, QR_OK);
    run_hearing(t, (int)others[1], 2 * TTL_MS);
    assert_int_equal(trio_leader(t), leader);
    assert_true(lives(t, leader, 7));
    run_hearing(t, (int)others[0], 10 * TRIO_ELECTION_MS);
    assert_false(lives(t, leader, 7));
    trio_free(t);
}

/* The next answer of the leader to that member, which stays under way. */
static trio_letter hold_answer(trio *t, uint32_t number)
{
    for (int i = 0; i < 4000; i++) {
        for (size_t k = 0; k < t->mail_count; k++) {
            trio_letter letter = t->mail[k];
            if (letter.to != number || !says(&letter, LEASE_ANSWER))
                continue;
            t->mail[k] = t->mail[--t->mail_count];
            return letter;
        }
        trio_step(t);
    }
    fail_msg("the leader does not answer");
    return (trio_letter){0};
}

static void lose_disk(trio *t, uint32_t number)
{
    trio_member *member = &t->members[number];
    trio_stop(t, number);
    fake_disk_free(member->disk);
    member->disk = fake_disk_new();
    member->incarnation += 100;
    trio_boot(t, number);
}

/* A disk in the place of a lost one counts its boots, and the questions of a boot, from one again. What is
 * still under way to the old one answers nothing that is asked on the new one (seed 5065 of paxos). */
static void test_answer_to_a_lost_disk(void **state)
{
    uint32_t leader;
    trio *t = start(3, &leader);
    uint32_t asker = other_than(leader);
    assert_int_equal(grant(t, leader, 7), QR_OK);
    answer before, after;
    submit(t, asker, (qr_request){.kind = QR_REQUEST_LEASE_RENEW, .lease = 7, .done = on_time}, &before);
    trio_letter late = hold_answer(t, asker);
    lose_disk(t, asker);
    while (lives(t, leader, 7))
        trio_step(t);
    submit(t, asker, (qr_request){.kind = QR_REQUEST_LEASE_RENEW, .lease = 7, .done = on_time}, &after);
    qr_node_on_message(t->members[asker].node, t->members[late.from].id, qr_buffer_slice(&late.bytes),
                       t->now_ms);
    qr_buffer_free(&late.bytes);
    wait_for(t, &after);
    assert_int_equal(after.status, QR_E_LEASE_NOT_FOUND);
    trio_free(t);
}

static void test_many(void **state)
{
    uint32_t leader;
    trio *t = start(1, &leader);
    enum { MANY = 5000 };
    static answer answers[MANY];
    for (int64_t id = 1; id <= MANY; id++) {
        qr_buffer body;
        qr_buffer_init(&body);
        qr_body_encode(&(qr_body){.kind = QR_BODY_LEASE_GRANT, .lease = id, .ttl_ms = TTL_MS}, &body);
        submit(t, 0, (qr_request){.kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&body), .done = on_done},
               &answers[id - 1]);
        qr_buffer_free(&body);
    }
    wait_for(t, &answers[MANY - 1]);
    trio_run(t, TTL_MS / 2);
    for (int64_t id = 2; id <= MANY; id += 2)
        submit(t, 0, (qr_request){.kind = QR_REQUEST_LEASE_RENEW, .lease = id, .done = on_time},
               &answers[id - 1]);
    wait_for(t, &answers[MANY - 1]);
    trio_run(t, TTL_MS * 3 / 4);
    for (int64_t id = 1; id <= MANY; id++)
        assert_int_equal(lives(t, 0, id), id % 2 == 0);
    trio_run(t, TTL_MS);
    qr_machine_lease found;
    const qr_machine *machine = qr_node_machine(t->members[0].node);
    assert_false(machine->ops->lease_from(machine, 1, &found));
    trio_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_by_itself),
        cmocka_unit_test(test_renewed_through_any_member),
        cmocka_unit_test(test_survives_a_change_of_leaders),
        cmocka_unit_test(test_old_leader),
        cmocka_unit_test(test_all_restart),
        cmocka_unit_test(test_one_restarts),
        cmocka_unit_test(test_leads_with_less_than_it_started_with),
        cmocka_unit_test(test_survey_of_two_configurations),
        cmocka_unit_test(test_answer_to_a_lost_disk),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests_name("node: leases", tests, NULL, NULL);
}
