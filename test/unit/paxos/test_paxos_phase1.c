/* One member as the would-be leader, and peers whose words are written by hand: what it adopts, what it
 * leaves, and what an acceptor takes and tells. */
#include "cmocka_all.h"
#include "paxos/inside.h"

typedef struct one {
    qr_engine *engine;
    qr_effects effects;
    uint64_t now_ms, durable;
} one;

static qr_engine_config config_of(uint64_t members)
{
    qr_engine_config config = {
        .self = 1, .incarnation = 1, .seed = 5, .heartbeat_ms = 100, .election_ms = 1000};
    for (uint64_t id = 1; id <= members; id++)
        qr_members_add(&config.members, (qr_member){.id = id, .incarnation = 1, .role = QR_ROLE_VOTER});
    return config;
}

static const qr_paxos_engine *inside(const one *o)
{
    return (const qr_paxos_engine *)o->engine;
}

static void step(one *o, qr_event event)
{
    event.now_ms = o->now_ms;
    qr_effects_clear(&o->effects);
    qr_paxos.step(o->engine, &event, &o->effects);
    const char *broken = qr_paxos.broken(o->engine);
    if (broken)
        fail_msg("%s", broken);
}

/* The end of a turn, and everything durable. The effects of the turn are left. */
static void turn(one *o)
{
    step(o, (qr_event){.kind = QR_EVENT_TICK});
    uint64_t ticket = 0;
    for (size_t i = 0; i < o->effects.count; i++)
        if (o->effects.list[i].kind == QR_EFFECT_PERSIST)
            ticket = o->effects.list[i].persist.ticket;
    o->durable = ticket > o->durable ? ticket : o->durable;
}

static void sync_disk(one *o)
{
    step(o, (qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = o->durable}});
    turn(o);
}

static void hear(one *o, uint64_t from, qr_paxos_message message, const qr_paxos_view *entries)
{
    qr_buffer bytes = {0};
    qr_paxos_message_encode(&message, &bytes);
    for (uint64_t i = 0; i < message.count; i++)
        qr_paxos_entry_encode(&entries[i], &bytes);
    step(o, (qr_event){.kind = QR_EVENT_RECV,
                       .recv = {.from = from, .incarnation = 1, .bytes = qr_buffer_slice(&bytes)}});
    qr_buffer_free(&bytes);
}

static qr_paxos_view value(uint64_t ballot, uint64_t born, const char *text)
{
    return (qr_paxos_view){
        .ballot = ballot, .born = born, .kind = QR_ENTRY_COMMAND, .bytes = qr_slice_text(text)};
}

/* What the turn has said to that member of that kind; false: nothing. */
static bool said(const one *o, uint64_t to, qr_paxos_message_kind kind, qr_paxos_message *message)
{
    for (size_t i = o->effects.count; i-- > 0;) {
        const qr_effect *effect = &o->effects.list[i];
        if (effect->kind == QR_EFFECT_SEND && effect->send.to == to &&
            qr_paxos_message_decode(effect->send.bytes, message) == QR_OK && message->kind == kind)
            return true;
    }
    return false;
}

static bool slot_is(const one *o, uint64_t index, uint64_t ballot, uint64_t born, const char *text)
{
    qr_paxos_view view;
    return qr_paxos_log_read(&inside(o)->log, index, &view) && view.ballot == ballot && view.born == born &&
           qr_slice_equal(view.bytes, qr_slice_text(text));
}

/* Member 1 of so many asks for the promises of ballot 1, its own one being durable. */
static one candidate(uint64_t members)
{
    qr_engine_config config = config_of(members);
    one o = {.engine = qr_paxos.open(&config), .now_ms = 2000};
    qr_effects_init(&o.effects);
    turn(&o); /* it canvasses */
    for (uint64_t peer = 2; peer <= members; peer++)
        hear(&o, peer,
             (qr_paxos_message){
                 .kind = QR_PAXOS_CANVASS_ANSWER, .ballot = 1, .asked = 1, .flags = QR_PAXOS_GRANTED},
             NULL);
    turn(&o);
    qr_paxos_message prepare;
    assert_true(said(&o, 2, QR_PAXOS_PREPARE, &prepare));
    assert_int_equal(prepare.first, 0);
    sync_disk(&o);
    return o;
}

static void end(one *o)
{
    qr_paxos.free(o->engine);
    qr_effects_free(&o->effects);
}

/* Moves the candidate to a later ballot, so that there is room for earlier ones. */
static void preempt(one *o, uint64_t ballot)
{
    hear(o, 2, (qr_paxos_message){.kind = QR_PAXOS_PROMISE, .ballot = ballot - 1, .asked = 1}, NULL);
    turn(o);
    sync_disk(o);
    o->now_ms += 5000;
    turn(o);
    for (uint64_t peer = 2; peer <= inside(o)->config.members.count; peer++)
        hear(o, peer,
             (qr_paxos_message){.kind = QR_PAXOS_CANVASS_ANSWER,
                                .ballot = ballot,
                                .asked = ballot,
                                .flags = QR_PAXOS_GRANTED},
             NULL);
    turn(o);
    sync_disk(o);
    assert_int_equal(inside(o)->ballot, ballot);
    assert_int_equal(inside(o)->role, QR_CANDIDATE);
}

static qr_paxos_message promise(uint64_t ballot, uint64_t first, uint64_t last, uint64_t chosen,
                                uint64_t count)
{
    return (qr_paxos_message){.kind = QR_PAXOS_PROMISE,
                              .ballot = ballot,
                              .asked = ballot,
                              .flags = QR_PAXOS_GRANTED,
                              .first = first,
                              .last = last,
                              .chosen = chosen,
                              .count = count};
}

/* PMS 2.2, P2c: of what a quorum has accepted the highest ballot counts, slot by slot. */
static void the_highest_ballot_is_adopted(void **state)
{
    one o = candidate(5);
    preempt(&o, 9);
    const qr_paxos_view of_two[] = {value(5, 2, "a2"), value(3, 3, "b3")};
    const qr_paxos_view of_three[] = {value(2, 2, "a2"), value(2, 2, "b2"), value(2, 2, "c2")};
    hear(&o, 2, promise(9, 1, 2, 0, 2), of_two);
    assert_int_equal(qr_paxos_role(inside(&o)), QR_CANDIDATE);
    hear(&o, 3, promise(9, 1, 3, 0, 3), of_three);
    assert_int_equal(qr_paxos_role(inside(&o)), QR_LEADER);
    assert_true(slot_is(&o, 1, 9, 2, "a2") && slot_is(&o, 2, 9, 3, "b3"));
    assert_true(slot_is(&o, 3, 9, 9, "")); /* the no-op: c2 stood behind b2, and is dead with it */
    assert_int_equal(inside(&o)->noop_index, 3);
    turn(&o);
    qr_paxos_message accept;
    assert_true(said(&o, 4, QR_PAXOS_ACCEPT, &accept)); /* who has promised nothing gets them, too */
    end(&o);
}

/* A member whose log is behind may lead: it learns what is chosen from a promise. */
static void what_is_chosen_is_learned(void **state)
{
    one o = candidate(3);
    preempt(&o, 9);
    const qr_paxos_view told[] = {value(4, 4, "a"), value(4, 4, "b"), value(7, 4, "c")};
    hear(&o, 2, promise(9, 1, 3, 2, 3), told);
    assert_int_equal(qr_paxos_role(inside(&o)), QR_LEADER);
    assert_int_equal(inside(&o)->chosen, 2);
    assert_true(slot_is(&o, 1, 4, 4, "a") && slot_is(&o, 3, 9, 4, "c"));
    end(&o);
}

/* A promise of many slots comes in pieces; until the last one is there it does not count. */
static void a_promise_may_come_in_pieces(void **state)
{
    one o = candidate(3);
    preempt(&o, 9);
    const qr_paxos_view told[] = {value(4, 4, "a"), value(4, 4, "b")};
    hear(&o, 2, promise(9, 1, 2, 0, 1), told);
    turn(&o);
    qr_paxos_message prepare;
    assert_true(said(&o, 2, QR_PAXOS_PREPARE, &prepare));
    assert_int_equal(prepare.first, 2);
    hear(&o, 2, promise(9, 1, 2, 0, 1), told); /* the first piece, twice */
    turn(&o);
    assert_false(said(&o, 2, QR_PAXOS_PREPARE, &prepare));
    assert_int_equal(qr_paxos_role(inside(&o)), QR_CANDIDATE);
    hear(&o, 2, promise(9, 2, 2, 0, 1), told + 1);
    assert_int_equal(qr_paxos_role(inside(&o)), QR_LEADER);
    end(&o);
}

/* One member twice is no quorum, and a promise of another ballot is none. */
static void promises_are_counted_by_member_and_ballot(void **state)
{
    one o = candidate(5);
    preempt(&o, 9);
    hear(&o, 2, promise(9, 1, 0, 0, 0), NULL);
    hear(&o, 2, promise(9, 1, 0, 0, 0), NULL);
    hear(&o, 3, promise(8, 1, 0, 0, 0), NULL);
    assert_int_equal(qr_paxos_role(inside(&o)), QR_CANDIDATE);
    hear(&o, 4, promise(9, 1, 0, 0, 0), NULL);
    assert_int_equal(qr_paxos_role(inside(&o)), QR_LEADER);
    end(&o);
}

/* Behind a change of members that is adopted nothing is proposed before it is chosen, and then not before a
 * quorum of the new members has promised. */
static void a_change_closes_the_window(void **state)
{
    one o = candidate(3);
    preempt(&o, 9);
    qr_members wider = config_of(3).members, joint;
    qr_members_add(&wider, (qr_member){.id = 4, .incarnation = 1, .role = QR_ROLE_VOTER});
    qr_members_add(&wider, (qr_member){.id = 5, .incarnation = 1, .role = QR_ROLE_VOTER});
    const qr_members narrow = config_of(3).members;
    assert_int_equal(qr_members_join(&narrow, &wider, &joint), QR_OK);
    qr_buffer bytes = {0};
    qr_members_encode(&joint, &bytes);
    qr_paxos_view told[] = {value(4, 4, ""), value(4, 4, "behind")};
    told[0].kind = QR_ENTRY_MEMBERS;
    told[0].bytes = qr_buffer_slice(&bytes);
    hear(&o, 2, promise(9, 1, 2, 0, 2), told);
    assert_int_equal(inside(&o)->role, QR_LEADER);
    assert_int_equal(qr_paxos_role(inside(&o)), QR_CANDIDATE); /* to all others it is none yet */
    assert_int_equal(inside(&o)->taken, 1);
    turn(&o);
    sync_disk(&o);
    hear(&o, 2, (qr_paxos_message){.kind = QR_PAXOS_ACCEPTED, .ballot = 9, .last = 2, .taken = 1, .match = 1},
         NULL);
    turn(&o);
    assert_int_equal(inside(&o)->chosen, 1);
    assert_int_equal(qr_paxos_members(inside(&o))->count, 5);
    qr_paxos_message prepare;
    assert_true(said(&o, 4, QR_PAXOS_PREPARE, &prepare));
    assert_int_equal(prepare.chosen, 1);
    hear(&o, 2, promise(9, 2, 2, 1, 1), told + 1);
    assert_int_equal(inside(&o)->taken, 1); /* two of five */
    hear(&o, 4, promise(9, 2, 1, 0, 0), NULL);
    assert_int_equal(qr_paxos_role(inside(&o)), QR_LEADER);
    assert_true(slot_is(&o, 2, 9, 4, "behind") && slot_is(&o, 3, 9, 9, ""));
    qr_buffer_free(&bytes);
    end(&o);
}

/* ------------------------------------------------------------ acceptor ---- */

static qr_paxos_message accept(uint64_t ballot, uint64_t first, uint64_t count, uint64_t chosen)
{
    return (qr_paxos_message){
        .kind = QR_PAXOS_ACCEPT, .ballot = ballot, .first = first, .count = count, .chosen = chosen};
}

static one acceptor(void)
{
    qr_engine_config config = config_of(3);
    one o = {.engine = qr_paxos.open(&config), .now_ms = 100};
    qr_effects_init(&o.effects);
    turn(&o);
    return o;
}

/* Nothing behind a gap is acknowledged, and nothing below the promise accepted. */
static void an_acceptor_takes_in_order(void **state)
{
    one o = acceptor();
    const qr_paxos_view values[] = {value(3, 3, "a"), value(3, 3, "b"), value(3, 3, "c")};
    qr_paxos_message answer;
    hear(&o, 2, accept(3, 1, 1, 0), values);
    hear(&o, 2, accept(3, 3, 1, 0), values + 2);
    turn(&o);
    assert_true(said(&o, 2, QR_PAXOS_ACCEPTED, &answer));
    assert_true(answer.flags == QR_PAXOS_REJECTED && answer.taken == 1 && answer.match == 0);
    sync_disk(&o);
    assert_true(said(&o, 2, QR_PAXOS_ACCEPTED, &answer));
    assert_int_equal(answer.match, 1);
    hear(&o, 3, accept(2, 2, 1, 0), values + 1); /* an earlier ballot */
    turn(&o);
    assert_true(said(&o, 3, QR_PAXOS_ACCEPTED, &answer));
    assert_int_equal(answer.ballot, 3);
    assert_int_equal(inside(&o)->log.last, 1);
    end(&o);
}

/* A promise tells what was accepted, waits for the disk, and binds. */
static void a_promise_tells_and_binds(void **state)
{
    one o = acceptor();
    const qr_paxos_view values[] = {value(3, 3, "a"), value(3, 3, "b")};
    hear(&o, 2, accept(3, 1, 2, 1), values);
    turn(&o);
    sync_disk(&o);
    o.now_ms += 1500; /* the leader is silent */
    hear(&o, 3, (qr_paxos_message){.kind = QR_PAXOS_PREPARE, .ballot = 5, .first = 1}, NULL);
    turn(&o);
    qr_paxos_message told;
    assert_true(said(&o, 3, QR_PAXOS_PROMISE, &told));
    assert_true(told.chosen == 1 && told.last == 2 && told.count == 2);
    for (size_t i = 0; i < o.effects.count; i++)
        if (o.effects.list[i].kind == QR_EFFECT_SEND)
            assert_true(o.effects.list[i].after == o.durable); /* the record of this turn */
    hear(&o, 2, (qr_paxos_message){.kind = QR_PAXOS_PREPARE, .ballot = 5, .first = 1}, NULL);
    turn(&o);
    assert_true(said(&o, 2, QR_PAXOS_PROMISE, &told)); /* to one member only */
    assert_int_equal(told.flags, 0);
    hear(&o, 2, accept(3, 3, 0, 2), NULL);
    turn(&o);
    assert_int_equal(inside(&o)->chosen, 1);
    end(&o);
}

/* The record of this turn as a log would give it back at a start. */
static qr_status recalled(const one *o, qr_engine *later)
{
    qr_status status = QR_OK;
    for (size_t i = 0; status == QR_OK && i < o->effects.count; i++)
        if (o->effects.list[i].kind == QR_EFFECT_PERSIST)
            status = qr_paxos.recall(later, o->effects.list[i].persist.record, false);
    return status;
}

/* A received checkpoint reaches less far than what was accepted, whose records stand in a segment that goes
 * when a later checkpoint is there: the log then begins behind a gap (seed 5701). */
static void what_stays_behind_a_checkpoint_may_go_with_its_segment(void **state)
{
    one o = acceptor();
    const qr_paxos_view values[] = {value(3, 3, "a"), value(3, 3, "b"), value(3, 3, "c")};
    hear(&o, 2, accept(3, 1, 2, 0), values);
    turn(&o);
    sync_disk(&o);
    qr_engine_config config = config_of(3);
    qr_engine *later = qr_paxos.open(&config);
    step(&o,
         (qr_event){.kind = QR_EVENT_CHECKPOINT, .checkpoint = {.index = 1, .term = 3, .received = true}});
    turn(&o);
    assert_int_equal(inside(&o)->log.last, 2);
    qr_buffer brief = {0};
    qr_paxos.brief(o.engine, &brief);
    assert_int_equal(qr_paxos.recall(later, qr_buffer_slice(&brief), true), QR_OK);
    assert_int_equal(recalled(&o, later), QR_OK);
    hear(&o, 2, accept(3, 3, 1, 2), values + 2);
    turn(&o);
    assert_int_equal(recalled(&o, later), QR_OK);
    assert_int_equal(((const qr_paxos_engine *)later)->log.last, 3);
    qr_paxos.free(later);
    qr_buffer_free(&brief);
    end(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_ballot_is_adopted),
        cmocka_unit_test(what_is_chosen_is_learned),
        cmocka_unit_test(a_promise_may_come_in_pieces),
        cmocka_unit_test(promises_are_counted_by_member_and_ballot),
        cmocka_unit_test(a_change_closes_the_window),
        cmocka_unit_test(an_acceptor_takes_in_order),
        cmocka_unit_test(what_stays_behind_a_checkpoint_may_go_with_its_segment),
        cmocka_unit_test(a_promise_tells_and_binds),
    };
    return cmocka_run_group_tests_name("paxos-phase1", tests, NULL, NULL);
}
