/* The toy engine by itself: three engines, a list of messages, no node. Each test drives events by hand and
 * looks at the effects, so the contract of core/engine.h is seen from the engine's side. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixed/fixed.h"

enum { MEMBERS = 3, RECORDS_MAX = 64, LETTERS_MAX = 256 };

typedef struct letter {
    uint64_t from, to;
    qr_slice bytes;
} letter;

typedef struct held {
    uint64_t after;
    letter letter;
} held;

/* A member: an engine, what it has on its disk, and what it waits for. */
typedef struct member {
    uint64_t id;
    qr_engine *engine;
    qr_effects effects;
    qr_slice records[RECORDS_MAX];
    uint64_t record_first[RECORDS_MAX], record_last[RECORDS_MAX];
    size_t record_count, durable_count;
    uint64_t ticket, durable_ticket;
    held held[LETTERS_MAX];
    size_t held_count;
    uint64_t committed; /* the last index of a COMMIT */
    char text[512];     /* the commands committed, in order */
    uint64_t read_tag, read_index, refused, refuse_leader, fetch_from, fetch_to;
    qr_status refuse_why;
    qr_engine_role role;
    bool halted;
} member;

typedef struct world {
    qr_arena arena;
    uint64_t now_ms;
    member members[MEMBERS];
    letter letters[LETTERS_MAX];
    size_t letter_count;
    size_t memory_max;
    bool disks_stand; /* nothing becomes durable */
} world;

static void post(world *w, letter mail)
{
    assert_true(w->letter_count < LETTERS_MAX);
    w->letters[w->letter_count++] = mail;
}

static void carry_out(world *w, member *m)
{
    for (size_t i = 0; i < m->effects.count; i++) {
        const qr_effect *effect = &m->effects.list[i];
        switch (effect->kind) {
        case QR_EFFECT_PERSIST:
            assert_true(effect->persist.ticket == m->ticket + 1);
            m->ticket = effect->persist.ticket;
            m->record_first[m->record_count] = effect->persist.index_first;
            m->record_last[m->record_count] = effect->persist.index_last;
            m->records[m->record_count++] = qr_arena_copy(&w->arena, effect->persist.record);
            break;
        case QR_EFFECT_SEND: {
            letter mail = {m->id, effect->send.to, qr_arena_copy(&w->arena, effect->send.bytes)};
            if (effect->after > m->durable_ticket)
                m->held[m->held_count++] = (held){effect->after, mail};
            else
                post(w, mail);
            break;
        }
        case QR_EFFECT_COMMIT:
            assert_true(effect->commit.index == m->committed + 1);
            m->committed = effect->commit.index;
            strncat(m->text, (const char *)effect->commit.bytes.data, effect->commit.bytes.size);
            break;
        case QR_EFFECT_READ_AT:
            m->read_tag = effect->read_at.tag;
            m->read_index = effect->read_at.index;
            break;
        case QR_EFFECT_REFUSE:
            m->refused++;
            m->refuse_leader = effect->refuse.leader;
            m->refuse_why = effect->refuse.why;
            break;
        case QR_EFFECT_FETCH:
            m->fetch_from = effect->fetch.from;
            m->fetch_to = effect->fetch.to;
            break;
        case QR_EFFECT_ROLE: m->role = effect->role.role; break;
        case QR_EFFECT_HALT: m->halted = true; break;
        case QR_EFFECT_SEND_CHECKPOINT: fail(); break;
        }
    }
}

static void step(world *w, member *m, qr_event event)
{
    event.now_ms = w->now_ms;
    m->engine->ops->step(m->engine, &event, &m->effects);
    carry_out(w, m);
    assert_null(m->engine->ops->broken(m->engine));
}

static void make_durable(world *w, member *m)
{
    if (m->durable_ticket == m->ticket)
        return;
    m->durable_ticket = m->ticket;
    m->durable_count = m->record_count;
    size_t kept = 0;
    for (size_t i = 0; i < m->held_count; i++) {
        if (m->held[i].after <= m->durable_ticket)
            post(w, m->held[i].letter);
        else
            m->held[kept++] = m->held[i];
    }
    m->held_count = kept;
    step(w, m, (qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = m->ticket}});
}

/* The records that hold what was asked for, as the node would read them. */
static void answer_fetch(world *w, member *m)
{
    qr_slice found[RECORDS_MAX];
    size_t count = 0;
    uint64_t from = m->fetch_from, to = m->fetch_to;
    if (from == 0)
        return;
    for (size_t i = 0; i < m->record_count; i++)
        if (m->record_last[i] >= from && m->record_first[i] <= to)
            found[count++] = m->records[i];
    m->fetch_from = 0;
    step(w, m,
         (qr_event){.kind = QR_EVENT_ENTRIES,
                    .entries = {.from = from, .to = to, .records = found, .count = count}});
}

static member *member_of(world *w, uint64_t id)
{
    return &w->members[id / 10 - 1];
}

/* A turn of everybody, with all messages of the turn before delivered; lost: no message to or from that id.
 */
static void turn(world *w, uint64_t lost)
{
    letter letters[LETTERS_MAX];
    size_t count = w->letter_count;
    memcpy(letters, w->letters, count * sizeof *letters);
    w->letter_count = 0;
    for (size_t i = 0; i < count; i++) {
        member *to = member_of(w, letters[i].to);
        if (letters[i].from != lost && letters[i].to != lost && to->engine != NULL)
            step(w, to,
                 (qr_event){.kind = QR_EVENT_RECV,
                            .recv = {.from = letters[i].from, .bytes = letters[i].bytes}});
    }
    for (int i = 0; i < MEMBERS; i++) {
        member *m = &w->members[i];
        if (m->engine == NULL)
            continue;
        answer_fetch(w, m);
        if (!w->disks_stand)
            make_durable(w, m);
        step(w, m, (qr_event){.kind = QR_EVENT_TICK});
    }
    w->now_ms += 10;
}

static void turns(world *w, int count, uint64_t lost)
{
    for (int i = 0; i < count; i++)
        turn(w, lost);
}

static void open_member(world *w, member *m)
{
    qr_engine_config config = {
        .self = m->id,
        .seed = m->id,
        .heartbeat_ms = 50,
        .election_ms = 500,
        .now_ms = w->now_ms,
        .memory_max = w->memory_max,
    };
    for (uint64_t id = 10; id <= MEMBERS * 10; id += 10)
        assert_int_equal(qr_members_add(&config.members, (qr_member){.id = id, .role = QR_ROLE_VOTER}),
                         QR_OK);
    m->engine = qr_fixed.open(&config);
    assert_non_null(m->engine);
}

/* Dies, loses what was not durable, and comes back from its records. */
static void restart(world *w, member *m)
{
    m->engine->ops->free(m->engine);
    m->record_count = m->durable_count;
    m->ticket = m->durable_ticket = m->committed = m->held_count = 0;
    m->text[0] = 0;
    open_member(w, m);
    for (size_t i = 0; i < m->record_count; i++)
        assert_int_equal(m->engine->ops->recall(m->engine, m->records[i], false), QR_OK);
}

static void init(world *w, size_t memory_max)
{
    memset(w, 0, sizeof *w);
    qr_arena_init(&w->arena);
    w->now_ms = 1000;
    w->memory_max = memory_max;
    for (int i = 0; i < MEMBERS; i++) {
        w->members[i].id = (uint64_t)(i + 1) * 10;
        qr_effects_init(&w->members[i].effects);
        open_member(w, &w->members[i]);
    }
    turn(w, 0);
}

static void done(world *w)
{
    for (int i = 0; i < MEMBERS; i++) {
        if (w->members[i].engine != NULL)
            w->members[i].engine->ops->free(w->members[i].engine);
        qr_effects_free(&w->members[i].effects);
    }
    qr_arena_free(&w->arena);
}

static void propose(world *w, member *m, const char *text)
{
    qr_slice command = qr_slice_text(text);
    step(w, m, (qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = &command, .count = 1}});
}

/* ---------------------------------------------------------------- stories ---- */

static void smallest_voter_leads(void **state)
{
    world w;
    init(&w, 0);
    assert_int_equal(w.members[0].role, QR_LEADER);
    assert_int_equal(w.members[1].role, QR_FOLLOWER);
    qr_engine_status status;
    w.members[2].engine->ops->status(w.members[2].engine, &status);
    assert_true(status.leader == 10 && status.term == 1);
    done(&w);
}

static void everybody_commits_in_order(void **state)
{
    world w;
    init(&w, 0);
    propose(&w, &w.members[0], "a");
    propose(&w, &w.members[0], "b");
    turns(&w, 3, 0);
    propose(&w, &w.members[0], "c");
    turns(&w, 12, 0);
    for (int i = 0; i < MEMBERS; i++)
        assert_string_equal(w.members[i].text, "abc");
    done(&w);
}

static void only_the_leader_takes_proposals(void **state)
{
    world w;
    init(&w, 0);
    propose(&w, &w.members[1], "a");
    assert_true(w.members[1].refused == 1 && w.members[1].refuse_leader == 10);
    assert_int_equal(w.members[1].refuse_why, QR_E_NOT_LEADER);
    turns(&w, 12, 0);
    assert_true(w.members[0].committed == 0);
    done(&w);
}

static void nothing_is_committed_without_a_majority(void **state)
{
    world w;
    init(&w, 0);
    w.members[1].engine->ops->free(w.members[1].engine);
    w.members[1].engine = NULL;
    propose(&w, &w.members[0], "a");
    turns(&w, 30, 30); /* 20 is dead, 30 is cut off */
    assert_true(w.members[0].committed == 0);
    turns(&w, 30, 0);
    assert_string_equal(w.members[0].text, "a");
    assert_string_equal(w.members[2].text, "a");
    done(&w);
}

static void nothing_is_acknowledged_before_it_is_durable(void **state)
{
    world w;
    init(&w, 0);
    w.disks_stand = true;
    propose(&w, &w.members[0], "a");
    turns(&w, 30, 0);
    assert_true(w.members[0].committed == 0 &&
                w.members[1].record_count == 0); /* the leader sends what it has on disk */
    make_durable(&w, &w.members[0]);
    turns(&w, 30, 0);
    assert_true(w.members[0].committed == 0 && w.members[1].record_count == 1);
    make_durable(&w, &w.members[1]); /* now it is on two disks */
    turns(&w, 12, 0);
    assert_string_equal(w.members[0].text, "a");
    done(&w);
}

static void what_was_lost_is_sent_again(void **state)
{
    world w;
    init(&w, 0);
    propose(&w, &w.members[0], "a");
    turns(&w, 3, 20);
    propose(&w, &w.members[0], "b");
    turns(&w, 3, 20);
    assert_true(w.members[1].committed == 0);
    turns(&w, 30, 0);
    assert_string_equal(w.members[1].text, "ab");
    done(&w);
}

static void a_read_waits_for_a_fresh_round(void **state)
{
    world w;
    init(&w, 0);
    propose(&w, &w.members[0], "a");
    turns(&w, 12, 0);
    step(&w, &w.members[0], (qr_event){.kind = QR_EVENT_READ, .read = {.tag = 7}});
    assert_true(w.members[0].read_tag == 0);
    turns(&w, 3, 0);
    assert_true(w.members[0].read_tag == 7 && w.members[0].read_index == 1);
    /* A follower asks the leader. */
    step(&w, &w.members[2], (qr_event){.kind = QR_EVENT_READ, .read = {.tag = 9}});
    turns(&w, 6, 0);
    assert_true(w.members[2].read_tag == 9 && w.members[2].read_index == 1);
    /* Nobody answers the leader: no read. */
    w.members[1].engine->ops->free(w.members[1].engine);
    w.members[1].engine = NULL;
    step(&w, &w.members[0], (qr_event){.kind = QR_EVENT_READ, .read = {.tag = 11}});
    turns(&w, 20, 30);
    assert_true(w.members[0].read_tag == 7);
    done(&w);
}

static void a_restarted_member_learns_again(void **state)
{
    world w;
    init(&w, 0);
    propose(&w, &w.members[0], "a");
    propose(&w, &w.members[0], "b");
    turns(&w, 12, 0);
    restart(&w, &w.members[0]);
    restart(&w, &w.members[1]);
    assert_true(w.members[0].committed == 0);
    /* A read of the new life sees what was acknowledged in the old one. */
    step(&w, &w.members[0], (qr_event){.kind = QR_EVENT_READ, .read = {.tag = 1}});
    turns(&w, 20, 0);
    assert_true(w.members[0].read_tag == 1 && w.members[0].read_index == 2);
    assert_string_equal(w.members[0].text, "ab");
    assert_string_equal(w.members[1].text, "ab");
    propose(&w, &w.members[0], "c");
    turns(&w, 12, 0);
    assert_string_equal(w.members[2].text, "abc");
    done(&w);
}

static void old_entries_come_from_the_log(void **state)
{
    world w;
    init(&w, 1); /* a byte of memory */
    for (int i = 0; i < 5; i++) {
        propose(&w, &w.members[0], "x");
        turns(&w, 6, 30);
    }
    assert_true(w.members[0].committed == 5);
    assert_true(w.members[2].committed == 0);
    qr_entry_kind kind;
    qr_slice bytes;
    assert_true(w.members[0].engine->ops->entry(w.members[0].engine, 1, &kind, &bytes) == 0);
    turns(&w, 60, 0);
    assert_string_equal(w.members[2].text, "xxxxx");
    restart(&w, &w.members[2]);
    turns(&w, 60, 0);
    assert_string_equal(w.members[2].text, "xxxxx");
    done(&w);
}

static void a_lost_record_halts(void **state)
{
    world w;
    init(&w, 1);
    for (int i = 0; i < 3; i++) {
        propose(&w, &w.members[0], "x");
        turns(&w, 6, 30);
    }
    w.members[0].fetch_from = 0;
    step(&w, &w.members[0],
         (qr_event){.kind = QR_EVENT_ENTRIES, .entries = {.from = 1, .to = 1, .status = QR_E_CORRUPT}});
    assert_true(w.members[0].halted);
    done(&w);
}

static void the_brief_carries_the_members(void **state)
{
    world w;
    init(&w, 0);
    qr_buffer brief;
    qr_buffer_init(&brief);
    w.members[0].engine->ops->brief(w.members[0].engine, &brief);
    qr_engine_config config = {.self = 20, .heartbeat_ms = 50, .election_ms = 500};
    qr_engine *engine = qr_fixed.open(&config);
    assert_int_equal(engine->ops->recall(engine, qr_buffer_slice(&brief), true), QR_OK);
    qr_engine_status status;
    engine->ops->status(engine, &status);
    assert_true(status.members.count == 3 && status.leader == 10);
    brief.data[0] ^= 0x40;
    assert_int_equal(engine->ops->recall(engine, qr_buffer_slice(&brief), true), QR_E_BAD_VERSION);
    brief.data[0] ^= 0x40;
    assert_int_equal(engine->ops->recall(engine, qr_slice_of(brief.data, brief.size - 1), true),
                     QR_E_CORRUPT);
    engine->ops->free(engine);
    qr_buffer_free(&brief);
    done(&w);
}

/* Whatever a peer sends: nothing happens, nothing breaks. */
static void random_messages_are_dropped(void **state)
{
    world w;
    init(&w, 0);
    propose(&w, &w.members[0], "a");
    turns(&w, 12, 0);
    qr_prng prng;
    qr_prng_seed(&prng, 1);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[80];
        size_t size = (size_t)qr_prng_below(&prng, sizeof bytes);
        for (size_t k = 0; k < size; k++)
            bytes[k] = (uint8_t)qr_prng_next(&prng);
        if (size > 2 && qr_prng_below(&prng, 4)) {
            bytes[0] = 1;
            bytes[1] =
                2; /* an acknowledgement of nonsense; an append is believed, as the leader is trusted */
        }
        step(&w, &w.members[0],
             (qr_event){.kind = QR_EVENT_RECV, .recv = {.from = 20, .bytes = qr_slice_of(bytes, size)}});
    }
    assert_true(w.members[0].committed == 1);
    step(&w, &w.members[0], (qr_event){.kind = QR_EVENT_HANDOVER});
    assert_int_equal(w.members[0].refuse_why, QR_E_UNSUPPORTED);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_voter_leads),
        cmocka_unit_test(everybody_commits_in_order),
        cmocka_unit_test(only_the_leader_takes_proposals),
        cmocka_unit_test(nothing_is_committed_without_a_majority),
        cmocka_unit_test(nothing_is_acknowledged_before_it_is_durable),
        cmocka_unit_test(what_was_lost_is_sent_again),
        cmocka_unit_test(a_read_waits_for_a_fresh_round),
        cmocka_unit_test(a_restarted_member_learns_again),
        cmocka_unit_test(old_entries_come_from_the_log),
        cmocka_unit_test(a_lost_record_halts),
        cmocka_unit_test(the_brief_carries_the_members),
        cmocka_unit_test(random_messages_are_dropped),
    };
    return cmocka_run_group_tests_name("fixed", tests, NULL, NULL);
}
