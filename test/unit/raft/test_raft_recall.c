#include "cmocka_all.h"
#include "raft/raft_internal.h"
#include "world.h"

static world *ready(uint32_t count, uint64_t seed, size_t memory_max)
{
    world *w = world_new(count, seed);
    w->config.memory_max = memory_max;
    w->config.message_max = memory_max;
    world_boot_all(w);
    assert_true(world_until(w, 10000, world_is_even));
    return w;
}

static void propose(world *w, int count)
{
    char text[64];
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof text, "command %d of some length", i);
        world_propose(w, world_leader(w), text);
        world_run(w, 1);
    }
    world_run(w, 50);
}

/* Everybody is killed and comes back: everything is applied again, from index 1 on, in order (world.c looks).
 */
static void a_restart_applies_everything_again(void **state)
{
    static const size_t memories[] = {0, 500};
    for (size_t i = 0; i < 2; i++) {
        world *w = ready(3, 1, memories[i]);
        propose(w, 200);
        uint64_t before = w->committed_max;
        for (uint64_t id = 1; id <= 3; id++)
            world_crash(w, id);
        world_boot_all(w);
        assert_true(world_until(w, 10000, world_is_even));
        assert_int_equal(w->committed_max, before + 1);
        assert_int_equal(w->member[1].applied, before + 1);
        assert_true(memories[i] == 0 ? w->member[1].fetches == 0 : w->member[1].fetches >= 2);
        assert_fine(w);
        world_free(w);
    }
}

/* A follower that was away needs entries that the leader only has on disk. */
static void old_entries_come_from_the_disk(void **state)
{
    world *w = ready(3, 2, 500);
    uint64_t leader = world_leader(w), away = leader % 3 + 1;
    world_crash(w, away);
    propose(w, 300);
    world_boot(w, away);
    world_run(w, 900);
    assert_true(world_is_even(w));
    assert_true(w->member[leader].fetches >= 2);
    assert_int_equal(w->member[leader].checkpoints_sent, 0);
    assert_int_equal(w->elections, 1);
    world_free(w);
}

/* A follower's disk has lost entries that it had acknowledged (its log ended in damage that looks like a torn
 * tail): the leader notices from the rejection and sends them again, instead of insisting on what the
 * follower once had. */
static void what_a_disk_has_lost_is_sent_again(void **state)
{
    world *w = ready(3, 8, 0);
    uint64_t leader = world_leader(w), away = leader % 3 + 1;
    propose(w, 20);
    world_crash(w, away);
    world_member *m = &w->member[away];
    assert_true(m->record_count > 6);
    for (int i = 0; i < 3; i++) {
        qr_buffer_free(&m->records[m->record_count - 1].bytes);
        qr_buffer_free(&m->records[m->record_count - 1].brief);
        m->record_count--;
    }
    m->durable_count = m->record_count;
    world_boot(w, away);
    world_run(w, 900);
    assert_true(world_is_even(w));
    assert_int_equal(w->elections, 1);
    assert_fine(w);
    world_free(w);
}

/* The same, but the log has been shortened behind a checkpoint. */
static void who_is_behind_the_log_gets_a_checkpoint(void **state)
{
    world *w = ready(3, 3, 0);
    uint64_t leader = world_leader(w), away = leader % 3 + 1;
    world_crash(w, away);
    propose(w, 100);
    world_checkpoint(w, leader);
    propose(w, 20);
    qr_engine_status status;
    qr_raft.status(w->member[leader].engine, &status);
    assert_int_equal(status.first_index, 102);
    world_boot(w, away);
    world_run(w, 50);
    assert_true(world_is_even(w));
    assert_true(w->member[leader].checkpoints_sent >= 1 && w->member[leader].checkpoints_sent <= 2);
    qr_raft.status(w->member[away].engine, &status);
    assert_int_equal(status.first_index, 102);
    world_crash(w, away); /* the restarted log comes back as such */
    world_boot(w, away);
    qr_raft.status(w->member[away].engine, &status);
    assert_int_equal(status.first_index, 102);
    assert_true(world_until(w, 2000, world_is_even));
    assert_int_equal(w->elections, 1);
    world_free(w);
}

/* The effects of one step are bounded, however long the log. */
static void commits_come_in_portions(void **state)
{
    world *w = world_new(1, 4);
    world_boot(w, 1);
    world_run(w, 10);
    static uint8_t bytes[1000000];
    qr_slice command = qr_slice_of(bytes, sizeof bytes);
    for (int i = 0; i < 20; i++) {
        world_step(w, 1,
                   &(qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = &command, .count = 1}});
        world_run(w, 5);
    }
    world_crash(w, 1);
    world_boot(w, 1);
    uint64_t most = 0, last = 0;
    for (int i = 0; i < 100; i++) {
        world_run(w, 1);
        uint64_t more = w->member[1].applied - last;
        last = w->member[1].applied;
        most = more > most ? more : most;
    }
    assert_int_equal(w->member[1].applied, 22);
    world_free(w);

    w = world_new(1, 5);
    world_boot(w, 1);
    world_run(w, 10);
    qr_slice *many = qr_alloc_zero(50000, sizeof *many);
    world_step(w, 1, &(qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = many, .count = 50000}});
    qr_free(many);
    world_step(w, 1, &(qr_event){.kind = QR_EVENT_TICK});
    world_step(w, 1, &(qr_event){.kind = QR_EVENT_DURABLE, .durable = {.ticket = 3}});
    world_step(w, 1, &(qr_event){.kind = QR_EVENT_TICK});
    assert_int_equal(w->member[1].applied, 1 + QR_RAFT_COMMIT_COUNT_MAX);
    assert_int_equal(qr_raft.wake_ms(w->member[1].engine), w->now_ms); /* goes on at once */
    world_step(w, 1, &(qr_event){.kind = QR_EVENT_TICK});
    assert_int_equal(w->member[1].applied, 1 + 2 * QR_RAFT_COMMIT_COUNT_MAX);
    world_free(w);
}

/* What a follower lacks goes out over several turns, one right after the other. */
static void appends_are_spread_over_turns(void **state)
{
    (void)state;
    world *w = world_new(2, 5);
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_has_leader));
    uint64_t leader = world_leader(w), follower = 3 - leader;
    for (int i = 0; i < 8; i++) { /* answers make the window wide */
        world_propose(w, leader, "x");
        world_run(w, 100);
    }
    enum { COUNT = 10 };
    static uint8_t bytes[1000000];
    qr_slice commands[COUNT];
    for (int i = 0; i < COUNT; i++)
        commands[i] = qr_slice_of(bytes, sizeof bytes);
    const uint64_t *sent = &w->sent[leader][follower][QR_RAFT_APPEND];
    uint64_t before = *sent;
    world_step(w, leader,
               &(qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = commands, .count = COUNT}});
    world_step(w, leader, &(qr_event){.kind = QR_EVENT_TICK});
    uint64_t first = *sent - before;
    assert_in_range(first * sizeof bytes, QR_TURN_BYTES_MAX, QR_TURN_BYTES_MAX + QR_RAFT_MESSAGE_DEFAULT);
    assert_int_equal(qr_raft.wake_ms(w->member[leader].engine), w->now_ms);
    world_step(w, leader, &(qr_event){.kind = QR_EVENT_TICK});
    assert_int_equal(*sent - before, 2 * first);
    world_free(w);
}

/* ------------------------------------------------------------ bytes ---- */

static qr_engine *empty(void)
{
    qr_engine_config config = {.self = 1, .heartbeat_ms = 100, .election_ms = 1000, .seed = 1};
    qr_members_add(&config.members, (qr_member){.id = 1, .role = QR_ROLE_VOTER});
    qr_members_add(&config.members, (qr_member){.id = 2, .role = QR_ROLE_VOTER});
    return qr_raft.open(&config);
}

static void record_of(qr_buffer *out, uint64_t term, uint64_t first, uint64_t prev_term,
                      const uint64_t *terms, size_t count)
{
    qr_buffer_clear(out);
    qr_buffer_u8(out, QR_RAFT_FORMAT);
    qr_buffer_u8(out, (uint8_t)((term ? 1 : 0) | (count ? 4 : 0)));
    if (term) {
        qr_buffer_varint(out, term);
        qr_buffer_u64(out, 0);
    }
    if (count == 0)
        return;
    qr_buffer_varint(out, first);
    qr_buffer_varint(out, prev_term);
    qr_buffer_varint(out, count);
    for (size_t i = 0; i < count; i++) {
        qr_buffer_varint(out, terms[i]);
        qr_buffer_u8(out, QR_ENTRY_COMMAND);
        qr_buffer_bytes(out, qr_slice_text("x"));
    }
}

static qr_status recall(qr_engine *engine, uint64_t term, uint64_t first, uint64_t prev_term,
                        const uint64_t *terms, size_t count)
{
    qr_buffer record = {0};
    record_of(&record, term, first, prev_term, terms, count);
    qr_status status = qr_raft.recall(engine, qr_buffer_slice(&record), false);
    qr_buffer_free(&record);
    return status;
}

#define TERMS(...) (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t)

static void later_records_override_earlier_ones(void **state)
{
    qr_engine *engine = empty();
    assert_int_equal(recall(engine, 3, 1, 0, TERMS(1, 1, 2)), QR_OK);
    assert_int_equal(recall(engine, 0, 4, 2, TERMS(2, 2)), QR_OK);
    assert_int_equal(recall(engine, 0, 3, 1, TERMS(3)), QR_OK); /* from entry 3 on everything is new */
    qr_engine_status status;
    qr_raft.status(engine, &status);
    assert_int_equal(status.last_index, 3);
    qr_entry_kind kind;
    qr_slice bytes;
    assert_int_equal(qr_raft.entry(engine, 3, &kind, &bytes), 3);
    assert_int_equal(recall(engine, 0, 5, 3, TERMS(3)), QR_E_CORRUPT); /* a gap */
    assert_int_equal(recall(engine, 0, 4, 2, TERMS(3)),
                     QR_E_CORRUPT); /* behind another entry than there is */
    assert_int_equal(recall(engine, 0, 4, 3, TERMS(4)), QR_E_CORRUPT); /* of a term that never was */
    qr_raft.free(engine);
}

/* After segments were freed the oldest brief may speak of an earlier beginning than the records that are
 * left. */
static void the_log_may_begin_behind_its_brief(void **state)
{
    qr_engine *engine = empty(), *source = empty();
    qr_buffer brief = {0};
    recall(source, 5, 0, 0, NULL, 0);
    qr_raft.brief(source, &brief);
    assert_int_equal(qr_raft.recall(engine, qr_buffer_slice(&brief), true), QR_OK);
    assert_int_equal(recall(engine, 0, 1001, 4, TERMS(4, 4)), QR_OK);
    assert_int_equal(recall(engine, 0, 990, 3, TERMS(5, 5)), QR_OK); /* replaces freed entries too */
    qr_engine_status status;
    qr_raft.status(engine, &status);
    assert_int_equal(status.first_index, 990);
    assert_int_equal(status.last_index, 991);
    assert_int_equal(recall(engine, 0, 993, 5, TERMS(5)), QR_E_CORRUPT);
    qr_raft.free(engine);
    qr_raft.free(source);
    qr_buffer_free(&brief);
}

/* What the machine has from its checkpoint is known by its terms, but its bytes stay on the disk: also where
 * a later record replaces it. */
static void what_is_in_the_checkpoint_stays_on_the_disk(void **state)
{
    qr_engine_config config = {
        .self = 1, .heartbeat_ms = 100, .election_ms = 1000, .seed = 1, .applied_index = 4};
    qr_members_add(&config.members, (qr_member){.id = 1, .role = QR_ROLE_VOTER});
    qr_engine *engine = qr_raft.open(&config);
    assert_int_equal(recall(engine, 3, 1, 0, TERMS(1, 1, 1)), QR_OK);
    assert_int_equal(recall(engine, 0, 4, 1, TERMS(1, 2, 2)), QR_OK);
    qr_entry_kind kind;
    qr_slice bytes;
    for (uint64_t index = 1; index <= 6; index++)
        assert_int_equal(qr_raft.entry(engine, index, &kind, &bytes), index <= 4 ? 0 : 2);
    assert_int_equal(recall(engine, 0, 3, 1, TERMS(3, 3, 3)), QR_OK); /* anew from the third one on */
    for (uint64_t index = 1; index <= 5; index++)
        assert_int_equal(qr_raft.entry(engine, index, &kind, &bytes), index <= 4 ? 0 : 3);
    assert_int_equal(recall(engine, 0, 5, 2, TERMS(3)),
                     QR_E_CORRUPT); /* the fourth one is of term 3 by now */
    qr_engine_status status;
    qr_raft.status(engine, &status);
    assert_int_equal(status.first_index, 1);
    assert_int_equal(status.last_index, 5);
    assert_null(qr_raft.broken(engine));
    qr_raft.free(engine);
}

/* Every byte of every kind of record, changed and cut short: refused or understood, never a crash. */
static void damaged_records_do_no_harm(void **state)
{
    qr_engine *source = empty();
    qr_buffer brief = {0}, record = {0};
    qr_raft.brief(source, &brief);
    record_of(&record, 5, 1, 0, TERMS(1, 2, 300));
    const qr_buffer *whole[] = {&brief, &record};
    uint64_t refused = 0, tried = 0;
    for (int kind = 0; kind < 2; kind++) {
        for (size_t at = 0; at < whole[kind]->size; at++) {
            for (int change = 0; change < 256; change += 23) {
                uint8_t copy[256];
                memcpy(copy, whole[kind]->data, whole[kind]->size);
                copy[at] ^= (uint8_t)change;
                qr_engine *engine = empty();
                tried++;
                refused += qr_raft.recall(engine, qr_slice_of(copy, whole[kind]->size), kind == 0) != QR_OK;
                qr_raft.free(engine);
            }
            qr_engine *engine = empty();
            qr_status status = qr_raft.recall(engine, qr_slice_of(whole[kind]->data, at), kind == 0);
            assert_int_not_equal(status, QR_OK);
            qr_raft.free(engine);
        }
    }
    assert_true(refused > tried / 4);
    brief.data[0] = QR_RAFT_FORMAT + 1;
    assert_int_equal(qr_raft.recall(source, qr_buffer_slice(&brief), true), QR_E_BAD_VERSION);
    qr_raft.free(source);
    qr_buffer_free(&brief);
    qr_buffer_free(&record);
}

/* Facts row 16: the configuration in force is the last one in the log, also when the log is cut. */
static void configurations_follow_the_log(void **state)
{
    world *w = world_new(3, 6);
    world_boot(w, 1);
    qr_members wanted = w->config.members;
    qr_members_add(&wanted, (qr_member){.id = 4, .role = QR_ROLE_LEARNER});
    qr_buffer entry = {0}, bytes = {0};
    qr_members_encode(&wanted, &entry);
    for (uint64_t term = 1; term <= 2;
         term++) { /* leader 2 appends a configuration, leader 3 something else over it */
        qr_buffer_clear(&bytes);
        qr_raft_message_encode(
            &(qr_raft_message){.kind = QR_RAFT_APPEND, .term = term, .prev_index = 0, .count = 1}, &bytes);
        uint8_t header[QR_RAFT_ENTRY_HEADER_MAX];
        size_t size = term == 1 ? entry.size : 0;
        qr_entry_kind kind = term == 1 ? QR_ENTRY_MEMBERS : QR_ENTRY_NOOP;
        qr_buffer_add(&bytes, header, qr_raft_entry_header(header, term, kind, size));
        qr_buffer_add(&bytes, entry.data, size);
        world_step(w, 1, &(qr_event){.kind = QR_EVENT_RECV, .recv = {term + 1, 1, qr_buffer_slice(&bytes)}});
        world_run(w, 5);
        qr_engine_status status;
        qr_raft.status(w->member[1].engine, &status);
        assert_int_equal(status.members.count, term == 1 ? 4 : 3);
        if (term == 1) { /* also after a restart */
            world_crash(w, 1);
            world_boot(w, 1);
            qr_raft.step(w->member[1].engine, &(qr_event){.kind = QR_EVENT_APPLIED, .now_ms = w->now_ms},
                         &w->member[1].effects);
            qr_raft.status(w->member[1].engine, &status);
            assert_int_equal(status.members.count, 4);
        }
    }
    assert_fine(w);
    qr_buffer_free(&entry);
    qr_buffer_free(&bytes);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_are_spread_over_turns),
        cmocka_unit_test(a_restart_applies_everything_again),
        cmocka_unit_test(old_entries_come_from_the_disk),
        cmocka_unit_test(what_a_disk_has_lost_is_sent_again),
        cmocka_unit_test(who_is_behind_the_log_gets_a_checkpoint),
        cmocka_unit_test(commits_come_in_portions),
        cmocka_unit_test(later_records_override_earlier_ones),
        cmocka_unit_test(the_log_may_begin_behind_its_brief),
        cmocka_unit_test(what_is_in_the_checkpoint_stays_on_the_disk),
        cmocka_unit_test(damaged_records_do_no_harm),
        cmocka_unit_test(configurations_follow_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
