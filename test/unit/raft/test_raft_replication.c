#include "cmocka_all.h"
#include "raft/raft_internal.h"
#include "world.h"

enum { TERMS_MAX = 16 };

typedef struct golden {
    const char *name;
    uint64_t rpcs; /* appends until the first one is accepted */
    uint64_t terms[TERMS_MAX];
} golden;

static size_t length(const uint64_t *terms)
{
    size_t count = 0;
    while (count < TERMS_MAX && terms[count])
        count++;
    return count;
}

/* Member 1 has less patience than the others, so it stands first. */
static world *led_by_one(uint32_t count, const uint64_t *leader, const golden *followers, uint64_t term)
{
    world *w = world_new(count, 3);
    world_preset(w, 1, leader, length(leader), term, 0);
    for (uint32_t i = 2; i <= count; i++)
        world_preset(w, i, followers[i - 2].terms, length(followers[i - 2].terms), term, 0);
    for (uint32_t i = 1; i <= count; i++)
        w->member[i].election_ms = i == 1 ? 200 : 20000;
    world_boot_all(w);
    assert_true(world_until(w, 2000, world_is_even));
    assert_int_equal(world_leader(w), 1);
    return w;
}

/* facts/scenarios, raft-log-1, raft-log-2 and the paper's figure 7: how many appends it takes to find the
 * agreement. */
static void hints_find_the_agreement(void **state)
{
    static const golden fig7[] = {
        {"a", 2, {1, 1, 1, 4, 4, 5, 5, 6, 6}},
        {"b", 2, {1, 1, 1, 4}},
        {"c", 1, {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6}},
        {"d", 1, {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7}},
        {"e", 2, {1, 1, 1, 4, 4, 4, 4}},
        {"f", 2, {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}},
    };
    static const uint64_t leader7[] = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 0};
    world *w = led_by_one(7, leader7, fig7, 7);
    qr_buffer own = {0}, theirs = {0};
    for (uint32_t i = 2; i <= 7; i++) {
        print_message("figure 7 (%s): %d appends\n", fig7[i - 2].name, (int)w->agreed[1][i]);
        assert_int_equal(w->agreed[1][i], fig7[i - 2].rpcs);
        assert_string_equal(world_terms(w, i, &theirs), world_terms(w, 1, &own));
    }
    assert_string_equal(own.data, "1 1 1 4 4 5 5 6 6 6 8");
    world_free(w);

    static const golden log1[] = {{"raft-log-1", 2, {1, 1, 2, 2, 2}}, {"copy", 1, {1, 1, 2, 3, 3, 3}}};
    static const uint64_t leader1[] = {1, 1, 2, 3, 3, 3, 0};
    w = led_by_one(3, leader1, log1, 3);
    assert_int_equal(w->agreed[1][2], 2);
    assert_string_equal(world_terms(w, 2, &theirs), "1 1 2 3 3 3 4");
    world_free(w);

    static const golden log2[] = {{"raft-log-2", 2, {1, 2, 2, 2}}, {"copy", 1, {1, 2, 2, 3, 3}}};
    static const uint64_t leader2[] = {1, 2, 2, 3, 3, 0};
    w = led_by_one(3, leader2, log2, 3);
    assert_int_equal(w->agreed[1][2], 2);
    assert_string_equal(world_terms(w, 2, &theirs), "1 2 2 3 3 4");
    world_free(w);
    qr_buffer_free(&own);
    qr_buffer_free(&theirs);
}

/* ------------------------------------------------------------ one follower, by hand ---- */

typedef struct bench { /* member 1 of 3; the test plays leader 2 */
    qr_engine *engine;
    qr_effects effects;
    uint64_t now_ms;
} bench;

static bench bench_open(const uint64_t *terms, uint64_t term)
{
    world *w = world_new(3, 1);
    world_preset(w, 1, terms, length(terms), term, 0);
    bench b = {.now_ms = 1000};
    qr_engine_config config = w->config;
    config.self = 1;
    config.now_ms = 1000;
    b.engine = qr_raft.open(&config);
    assert_int_equal(qr_raft.recall(b.engine, qr_buffer_slice(&w->member[1].records[0].brief), true), QR_OK);
    assert_int_equal(qr_raft.recall(b.engine, qr_buffer_slice(&w->member[1].records[0].bytes), false), QR_OK);
    world_free(w);
    return b;
}

static void bench_close(bench *b)
{
    qr_raft.free(b->engine);
    qr_effects_free(&b->effects);
}

static void bench_step(bench *b, qr_event event)
{
    event.now_ms = b->now_ms;
    qr_effects_clear(&b->effects);
    qr_raft.step(b->engine, &event, &b->effects);
    assert_null(qr_raft.broken(b->engine));
}

/* An append of leader 2, and the end of the turn. */
static void append(bench *b, uint64_t term, uint64_t prev_index, uint64_t prev_term, uint64_t commit,
                   const uint64_t *terms)
{
    qr_buffer bytes = {0};
    qr_raft_message message = {.kind = QR_RAFT_APPEND,
                               .term = term,
                               .prev_index = prev_index,
                               .prev_term = prev_term,
                               .commit = commit,
                               .count = length(terms)};
    qr_raft_message_encode(&message, &bytes);
    for (size_t i = 0; i < message.count; i++) {
        uint8_t header[QR_RAFT_ENTRY_HEADER_MAX];
        qr_buffer_add(&bytes, header, qr_raft_entry_header(header, terms[i], QR_ENTRY_COMMAND, 0));
    }
    bench_step(b, (qr_event){.kind = QR_EVENT_RECV,
                             .recv = {.from = 2, .incarnation = 1, .bytes = qr_buffer_slice(&bytes)}});
    qr_buffer_free(&bytes);
}

static const qr_effect *effect_of(const bench *b, qr_effect_kind kind)
{
    for (size_t i = 0; i < b->effects.count; i++)
        if (b->effects.list[i].kind == kind)
            return &b->effects.list[i];
    return NULL;
}

static qr_engine_status status_of(const bench *b)
{
    qr_engine_status status;
    qr_raft.status(b->engine, &status);
    return status;
}

#define TERMS(...) ((const uint64_t[TERMS_MAX]){__VA_ARGS__})

/* Facts row 6: late and repeated appends never cut a log that agrees; a real conflict does, and only from
 * there on. */
static void only_conflicts_cut_the_log(void **state)
{
    bench b = bench_open(TERMS(1, 1, 1, 1), 1);
    append(&b, 2, 4, 1, 0, TERMS(2, 2, 2)); /* 1 1 1 1 2 2 2 */
    assert_int_equal(status_of(&b).last_index, 7);
    append(&b, 2, 4, 1, 0, TERMS(2)); /* an old copy of a part */
    append(&b, 2, 2, 1, 0, TERMS(1, 1));
    append(&b, 2, 0, 0, 0, TERMS(0)); /* an old heartbeat */
    assert_int_equal(status_of(&b).last_index, 7);
    append(&b, 3, 5, 2, 0, TERMS(2, 3)); /* entry 6 agrees, 7 does not */
    assert_int_equal(status_of(&b).last_index, 7);
    qr_entry_kind kind;
    qr_slice bytes;
    assert_int_equal(qr_raft.entry(b.engine, 6, &kind, &bytes), 2);
    assert_int_equal(qr_raft.entry(b.engine, 7, &kind, &bytes), 3);
    bench_close(&b);
}

/* Facts row 5: what a message has not shown to agree is not committed by it. */
static void commit_is_bounded_by_the_match(void **state)
{
    bench b = bench_open(TERMS(1, 1, 1, 1, 1), 1);
    append(&b, 2, 2, 1, 5, TERMS(0));
    assert_int_equal(status_of(&b).commit_index, 2);
    append(&b, 2, 2, 1, 5, TERMS(2));
    assert_int_equal(status_of(&b).commit_index, 3);
    append(&b, 2, 3, 2, 2, TERMS(0)); /* never back */
    assert_int_equal(status_of(&b).commit_index, 3);
    bench_close(&b);
}

/* Facts row 6: a leader that contradicts committed entries is no leader: the member stops rather than obey.
 */
static void committed_entries_are_never_cut(void **state)
{
    bench b = bench_open(TERMS(1, 1, 1), 1);
    append(&b, 2, 3, 1, 3, TERMS(0));
    append(&b, 3, 1, 1, 3, TERMS(3));
    const qr_effect *halt = effect_of(&b, QR_EFFECT_HALT);
    assert_non_null(halt);
    assert_non_null(halt->halt.why);
    bench_step(&b, (qr_event){.kind = QR_EVENT_TICK});
    assert_int_equal(b.effects.count, 0);
    assert_int_equal(status_of(&b).last_index, 3);
    bench_close(&b);
}

/* Facts row 4: an answer that acknowledges entries comes when they are durable, and says so in `after`. */
static void acknowledged_is_durable(void **state)
{
    bench b = bench_open(TERMS(1, 1, 1), 1);
    append(&b, 2, 3, 1, 0, TERMS(2, 2));
    bench_step(&b, (qr_event){.kind = QR_EVENT_TICK});
    const qr_effect *persist = effect_of(&b, QR_EFFECT_PERSIST);
    assert_non_null(persist);
    assert_int_equal(persist->persist.index_first, 4);
    assert_int_equal(persist->persist.index_last, 5);
    uint64_t ticket = persist->persist.ticket;
    for (size_t i = 0; i < b.effects.count; i++) {
        qr_raft_message message;
        if (b.effects.list[i].kind != QR_EFFECT_SEND)
            continue;
        assert_int_equal(qr_raft_message_decode(b.effects.list[i].send.bytes, &message), QR_OK);
        assert_true(message.match <= 3 && b.effects.list[i].after == ticket);
    }
    bench_step(&b, (qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = ticket}});
    bench_step(&b, (qr_event){.kind = QR_EVENT_TICK});
    const qr_effect *answer = effect_of(&b, QR_EFFECT_SEND);
    qr_raft_message message;
    assert_non_null(answer);
    assert_int_equal(answer->after, ticket);
    assert_int_equal(qr_raft_message_decode(answer->send.bytes, &message), QR_OK);
    assert_int_equal(message.match, 5);
    bench_close(&b);
}

/* What was cut before its record was durable does not count as durable afterwards. */
static void a_cut_takes_durability_with_it(void **state)
{
    bench b = bench_open(TERMS(1), 1);
    append(&b, 2, 1, 1, 0, TERMS(2, 2, 2));
    bench_step(&b, (qr_event){.kind = QR_EVENT_TICK});
    append(&b, 3, 2, 2, 0, TERMS(3));
    bench_step(&b, (qr_event){.kind = QR_EVENT_TICK}); /* ticket 2: entry 3 of term 3 */
    bench_step(&b, (qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = 1}});
    bench_step(&b, (qr_event){.kind = QR_EVENT_TICK});
    const qr_effect *answer = effect_of(&b, QR_EFFECT_SEND);
    qr_raft_message message;
    assert_non_null(answer);
    qr_raft_message_decode(answer->send.bytes, &message);
    assert_int_equal(message.match, 2); /* entry 3 on the disk is the one of term 2 */
    bench_close(&b);
}

/* ------------------------------------------------------------ the group ---- */

static uint64_t appends(const world *w)
{
    uint64_t sum = 0;
    for (uint64_t a = 1; a <= w->count; a++)
        for (uint64_t b = 1; b <= w->count; b++)
            sum += w->sent[a][b][QR_RAFT_APPEND] + w->sent[a][b][QR_RAFT_APPEND_ANSWER];
    return sum;
}

/* Facts row 23: copies of answers cause nothing. 50 % copies of everything must not multiply. */
static void copies_do_not_multiply(void **state)
{
    for (uint32_t copies = 0; copies <= 500000; copies += 500000) {
        world *w = world_new(3, 21);
        world_boot_all(w);
        assert_true(world_until(w, 5000, world_is_even));
        w->copy_ppm = copies;
        uint64_t before = appends(w);
        world_run(w, 1000);
        uint64_t idle = appends(w) - before;
        print_message("idle second with %d %% copies: %d messages\n", (int)copies / 10000, (int)idle);
        assert_true(idle <= 2 * 2 * 10 + 4 +
                                (copies ? 30 : 0)); /* a heartbeat and its answer, 10 a second, 2 peers */
        before = appends(w);
        for (int i = 0; i < 100; i++) {
            world_propose(w, world_leader(w), "x");
            world_run(w, 10);
        }
        uint64_t busy = appends(w) - before;
        print_message("100 proposals with %d %% copies: %d messages\n", (int)copies / 10000, (int)busy);
        assert_true(busy <= 100 * 2 * 5); /* entry, answer, the news of its commit; heartbeats */
        assert_fine(w);
        world_free(w);
    }
}

/* All proposals of a turn become one record and one message a follower. */
static void a_turn_is_one_record_and_one_message(void **state)
{
    world *w = world_new(3, 22);
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_is_even));
    uint64_t leader = world_leader(w), other = leader % 3 + 1, sent = w->sent[leader][other][QR_RAFT_APPEND];
    size_t records = w->member[leader].record_count, their_records = w->member[other].record_count;
    for (int i = 0; i < 500; i++)
        world_propose(w, leader, "command");
    world_run(w, 1);
    assert_int_equal(w->sent[leader][other][QR_RAFT_APPEND], sent + 1);
    assert_int_equal(w->member[leader].record_count, records + 1);
    world_run(w, 20);
    assert_int_equal(w->member[other].record_count, their_records + 1);
    assert_int_equal(w->member[other].applied, w->member[leader].applied);
    assert_int_equal(w->member[leader].applied, 501);
    world_free(w);
}

/* What the leader sends both others when it is given one command more: the bytes, by member. */
static void sends_of_a_turn(world *w, uint64_t leader, qr_effects *effects, qr_slice *sends)
{
    qr_engine *engine = w->member[leader].engine;
    qr_slice command = qr_slice_text("command");
    qr_event propose = {
        .kind = QR_EVENT_PROPOSE, .now_ms = w->now_ms, .propose = {.commands = &command, .count = 1}};
    qr_event tick = {.kind = QR_EVENT_TICK, .now_ms = w->now_ms};
    qr_raft.step(engine, &propose, effects);
    qr_effects_clear(effects);
    qr_raft.step(engine, &tick, effects);
    for (size_t i = 0; i < effects->count; i++)
        if (effects->list[i].kind == QR_EFFECT_SEND)
            sends[effects->list[i].send.to] = effects->list[i].send.bytes;
}

/* Followers that are equally far are sent the same bytes, made once; one that is asked something else is not.
 */
static void an_append_is_made_once_for_all_that_are_equally_far(void **state)
{
    world *w = world_new(3, 26);
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_is_even));
    uint64_t leader = world_leader(w), one = leader % 3 + 1, other = one % 3 + 1;
    qr_effects effects;
    qr_effects_init(&effects);
    qr_slice sends[4] = {{0}};
    sends_of_a_turn(w, leader, &effects, sends);
    assert_non_null(sends[one].data);
    assert_ptr_equal(sends[one].data, sends[other].data);
    assert_int_equal(sends[one].size, sends[other].size);
    for (int up = 0; up < 2; up++) {
        qr_event link = {.kind = QR_EVENT_LINK, .now_ms = w->now_ms, .link = {.peer = other, .up = up}};
        qr_effects_clear(&effects);
        qr_raft.step(w->member[leader].engine, &link, &effects);
    }
    sends_of_a_turn(w, leader, &effects, sends);
    assert_ptr_not_equal(sends[one].data, sends[other].data);
    qr_raft_message to_one, to_other;
    assert_int_equal(qr_raft_message_decode(sends[one], &to_one), QR_OK);
    assert_int_equal(qr_raft_message_decode(sends[other], &to_other), QR_OK);
    assert_int_equal(to_one.count, 1);   /* in the stream */
    assert_int_equal(to_other.count, 2); /* a probe, from what is known to be there */
    qr_effects_free(&effects);
    world_free(w);
}

/* A follower knows of a commit one message after the leader does, not a heartbeat later. */
static void followers_hear_of_commits_at_once(void **state)
{
    world *w = world_new(3, 23);
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_is_even));
    for (int i = 0; i < 20; i++) {
        world_propose(w, world_leader(w), "x");
        world_run(w, 8); /* to the follower 1, its disk 1, back 1, on 1 */
        assert_true(world_is_even(w));
    }
    world_free(w);
}

static void a_slow_minority_does_not_matter(void **state)
{
    world *w = world_new(3, 24);
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_is_even));
    uint64_t leader = world_leader(w);
    w->member[leader].disk_ms = 500; /* not even the leader's own disk */
    world_propose(w, leader, "x");
    world_run(w, 10);
    assert_int_equal(w->member[leader].applied, 2);
    w->member[leader % 3 + 1].disk_ms = 500; /* now it is the majority */
    world_run(w, 600);
    world_propose(w, leader, "y");
    world_run(w, 100);
    assert_int_equal(w->member[leader].applied, 2);
    world_run(w, 600);
    assert_true(world_is_even(w));
    assert_int_equal(w->member[leader].applied, 3);
    assert_int_equal(w->elections, 1);
    world_free(w);
}

/* Lost appends are noticed with the next message and sent again; a follower far behind catches up in large
 * steps. */
static void losses_are_made_up_for(void **state)
{
    world *w = world_new(3, 25);
    w->config.message_max = 1000;
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_is_even));
    uint64_t leader = world_leader(w), other = leader % 3 + 1;
    world_cut_both(w, leader, other, true);
    for (int i = 0; i < 300; i++) {
        world_propose(w, leader, "a command of some length");
        world_run(w, 1);
    }
    world_run(w, 300);
    assert_int_equal(w->member[leader].applied, 301);
    uint64_t sent = w->sent[leader][other][QR_RAFT_APPEND];
    world_cut_both(w, leader, other, false);
    assert_true(world_until(w, 250, world_is_even));
    assert_int_equal(w->member[other].applied, 301);
    assert_true(w->sent[leader][other][QR_RAFT_APPEND] - sent < 300 * 30 / 1000 + 10);
    assert_int_equal(w->elections, 1);
    world_free(w);
}

static void proposals_are_refused_with_a_reason(void **state)
{
    world *w = world_new(3, 26);
    world_boot_all(w);
    world_propose(w, 1, "too early");
    assert_int_equal(w->member[1].refused_why, QR_E_NO_LEADER);
    assert_true(world_until(w, 5000, world_is_even));
    uint64_t leader = world_leader(w), other = leader % 3 + 1;
    world_propose(w, other, "to the wrong one");
    assert_int_equal(w->member[other].refused_why, QR_E_NOT_LEADER);
    assert_int_equal(w->member[other].leader, leader);
    qr_members nobody = {0};
    world_step(w, leader, &(qr_event){.kind = QR_EVENT_MEMBERS, .members = {.wanted = &nobody, .tag = 1}});
    assert_int_equal(w->member[leader].refused_why, QR_E_INVALID); /* without a voter */
    static uint8_t large[QR_RAFT_ENTRY_MAX];
    qr_slice commands[QR_RAFT_UNCOMMITTED_MAX / QR_RAFT_ENTRY_MAX];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        commands[i] = qr_slice_of(large, sizeof large);
    qr_event propose = {.kind = QR_EVENT_PROPOSE, .propose = {.commands = commands, .count = 1}};
    world_isolate(w, leader, true);
    uint64_t refused = w->member[leader].refused_proposals;
    world_step(w, leader, &propose);
    assert_int_equal(w->member[leader].refused_proposals, refused);
    propose.propose.count =
        sizeof commands / sizeof *commands - 1; /* with the one before: all that may wait */
    world_step(w, leader, &propose);
    assert_int_equal(w->member[leader].refused_proposals, refused + 1);
    assert_int_equal(w->member[leader].refused_why, QR_E_BUSY); /* and nothing of it was taken */
    qr_engine_status status;
    qr_raft.status(w->member[leader].engine, &status);
    assert_int_equal(status.last_index, 2);
    commands[0] = qr_slice_of(large, QR_RAFT_ENTRY_MAX + 1); /* never read: refused by its size */
    propose.propose.count = 1;
    world_step(w, leader, &propose);
    assert_int_equal(w->member[leader].refused_why, QR_E_INVALID);
    world_free(w);
}

static void a_lone_voter_commits_with_its_own_record(void **state)
{
    world *w = world_new(1, 27);
    w->member[1].disk_ms = 50;
    world_boot(w, 1);
    world_run(w, 49);
    assert_int_equal(w->member[1].role, QR_CANDIDATE); /* its own vote is not durable yet */
    world_run(w, 60);
    assert_int_equal(w->member[1].role, QR_LEADER);
    assert_int_equal(w->member[1].applied, 1);
    world_propose(w, 1, "x");
    world_run(w, 49);
    assert_int_equal(w->member[1].applied, 1);
    world_run(w, 2);
    assert_int_equal(w->member[1].applied, 2);
    world_free(w);
}

static void learners_follow_and_never_count(void **state)
{
    world *w = world_new(4, 28);
    w->config.members.list[2].role = w->config.members.list[3].role = QR_ROLE_LEARNER;
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_is_even));
    assert_int_equal(w->member[3].role, QR_LEARNER);
    uint64_t leader = world_leader(w), voter = 3 - leader;
    world_propose(w, leader, "x");
    world_run(w, 20);
    assert_int_equal(w->member[3].applied, 2);
    world_crash(w, voter);
    world_propose(w, leader, "y"); /* three of four have it, but one of two voters */
    world_run(w, 500);
    assert_int_equal(w->member[leader].applied, 2);
    world_crash(w, leader);
    world_run(w, 10000);
    assert_int_equal(world_leader(w), 0); /* learners never stand */
    assert_int_equal(w->member[3].leader, 0);
    assert_fine(w);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hints_find_the_agreement),
        cmocka_unit_test(only_conflicts_cut_the_log),
        cmocka_unit_test(commit_is_bounded_by_the_match),
        cmocka_unit_test(committed_entries_are_never_cut),
        cmocka_unit_test(acknowledged_is_durable),
        cmocka_unit_test(a_cut_takes_durability_with_it),
        cmocka_unit_test(copies_do_not_multiply),
        cmocka_unit_test(a_turn_is_one_record_and_one_message),
        cmocka_unit_test(an_append_is_made_once_for_all_that_are_equally_far),
        cmocka_unit_test(followers_hear_of_commits_at_once),
        cmocka_unit_test(a_slow_minority_does_not_matter),
        cmocka_unit_test(losses_are_made_up_for),
        cmocka_unit_test(proposals_are_refused_with_a_reason),
        cmocka_unit_test(a_lone_voter_commits_with_its_own_record),
        cmocka_unit_test(learners_follow_and_never_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
