/* The way of a request through one node, with an engine that does as the test says and a machine that counts.
 * The log is the real one, on a disk that does everything at once when the test pumps it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_disk.h"
#include "node/node.h"

enum { SELF = 1, OTHER = 2, ENTRIES_MAX = 64 };

/* ------------------------------------------------- an engine on strings ---- */

typedef struct puppet {
    qr_engine base;
    bool leads;
    uint64_t leader, term, told_term, told_leader;
    bool told_leads;
    struct {
        uint8_t bytes[256];
        size_t size;
    } log[ENTRIES_MAX];
    uint64_t last, commit, emitted;
    uint64_t tags[ENTRIES_MAX];
    size_t tag_count;
    bool refuse_reads;
} puppet;

static qr_engine *puppet_open(const qr_engine_config *config)
{
    puppet *engine = qr_alloc_zero(1, sizeof *engine);
    extern const qr_engine_ops puppet_ops;
    engine->base.ops = &puppet_ops;
    return &engine->base;
}

static qr_status puppet_recall(qr_engine *engine, qr_slice record, bool is_brief)
{
    return QR_OK;
}

static void puppet_propose(puppet *engine, const qr_event *event, qr_effects *effects)
{
    if (!engine->leads) {
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_REFUSE, 0);
        effect->refuse.what = QR_EVENT_PROPOSE;
        effect->refuse.leader = engine->leader;
        effect->refuse.why = QR_E_NOT_LEADER;
        return;
    }
    for (size_t i = 0; i < event->propose.count; i++) {
        qr_slice command = event->propose.commands[i];
        QR_ASSERT(engine->last < ENTRIES_MAX && command.size <= sizeof engine->log[0].bytes);
        memcpy(engine->log[engine->last].bytes, command.data, command.size);
        engine->log[engine->last++].size = command.size;
    }
}

static void puppet_tick(puppet *engine, qr_effects *effects)
{
    if (engine->told_term != engine->term || engine->told_leader != engine->leader ||
        engine->told_leads != engine->leads) {
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_ROLE, 0);
        effect->role.role = engine->leads ? QR_LEADER : QR_FOLLOWER;
        effect->role.term = engine->told_term = engine->term;
        effect->role.leader = engine->told_leader = engine->leader;
        engine->told_leads = engine->leads;
    }
    for (; engine->emitted < engine->commit; engine->emitted++) {
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_COMMIT, 0);
        effect->commit.index = engine->emitted + 1;
        effect->commit.term = 1;
        effect->commit.kind = QR_ENTRY_COMMAND;
        effect->commit.bytes =
            qr_slice_of(engine->log[engine->emitted].bytes, engine->log[engine->emitted].size);
    }
    for (size_t i = 0; i < engine->tag_count; i++) {
        qr_effect *effect =
            qr_effects_add(effects, engine->refuse_reads ? QR_EFFECT_REFUSE : QR_EFFECT_READ_AT, 0);
        if (engine->refuse_reads) {
            effect->refuse.what = QR_EVENT_READ;
            effect->refuse.tag = engine->tags[i];
        } else {
            effect->read_at.tag = engine->tags[i];
            effect->read_at.index = engine->commit;
        }
    }
    engine->tag_count = 0;
}

static void puppet_step(qr_engine *base, const qr_event *event, qr_effects *effects)
{
    puppet *engine = (puppet *)base;
    if (event->kind == QR_EVENT_PROPOSE)
        puppet_propose(engine, event, effects);
    else if (event->kind == QR_EVENT_READ)
        engine->tags[engine->tag_count++] = event->read.tag;
    else if (event->kind == QR_EVENT_TICK)
        puppet_tick(engine, effects);
}

static void puppet_brief(const qr_engine *engine, qr_buffer *out)
{
    qr_buffer_u8(out, 1);
}
static uint64_t puppet_wake(const qr_engine *engine)
{
    return 0;
}
static const char *puppet_broken(const qr_engine *engine)
{
    return NULL;
}
static void puppet_status(const qr_engine *base, qr_engine_status *status)
{
    const puppet *engine = (const puppet *)base;
    *status =
        (qr_engine_status){.commit_index = engine->commit, .last_index = engine->last, .term = engine->term};
}
static uint64_t puppet_entry(const qr_engine *engine, uint64_t index, qr_entry_kind *kind, qr_slice *bytes)
{
    return 0;
}
static void puppet_free(qr_engine *engine)
{
    qr_free(engine);
}

extern const qr_engine_ops puppet_ops;
const qr_engine_ops puppet_ops = {
    .name = "puppet",
    .format = 1,
    .open = puppet_open,
    .recall = puppet_recall,
    .step = puppet_step,
    .brief = puppet_brief,
    .wake_ms = puppet_wake,
    .broken = puppet_broken,
    .status = puppet_status,
    .entry = puppet_entry,
    .free = puppet_free,
};

/* --------------------------------------------- a machine that remembers ---- */

typedef struct memory {
    qr_machine base;
    char text[ENTRIES_MAX * 2]; /* first byte of every body, in order */
    size_t size, worked;
    bool has_work;
} memory;

static qr_status memory_apply(qr_machine *base, uint64_t index, const qr_command *command, qr_arena *arena,
                              const void **result)
{
    memory *machine = (memory *)base;
    machine->text[machine->size++] = (char)command->body.data[0];
    *result = machine->text;
    return QR_OK;
}
static qr_status memory_query(qr_machine *base, const void *query, qr_arena *arena, const void **result)
{
    if (strcmp(query, "huge") == 0)
        qr_arena_alloc(arena, 640 * 1024); /* of the budget of a turn, 1 MiB */
    *result = ((memory *)base)->text;
    return QR_OK;
}
static uint64_t memory_digest(const qr_machine *base)
{
    return ((const memory *)base)->size;
}
static bool memory_upkeep(qr_machine *machine, int64_t wall_ms, qr_buffer *body)
{
    return false;
}
static bool memory_work(qr_machine *base, size_t budget)
{
    memory *machine = (memory *)base;
    machine->worked++;
    return machine->has_work;
}
static void memory_free(qr_machine *machine)
{
    qr_free(machine);
}

static const qr_machine_ops memory_ops = {
    .name = "memory",
    .apply = memory_apply,
    .query = memory_query,
    .digest = memory_digest,
    .revision = memory_digest,
    .upkeep = memory_upkeep,
    .work = memory_work,
    .free = memory_free,
};

/* ------------------------------------------------------------ the stage ---- */

typedef struct stage {
    fake_disk *disk;
    qr_arena arena;
    qr_node *node;
    uint64_t now_ms;
    /* the last message sent, and to whom */
    uint8_t sent[4096];
    size_t sent_size, sent_count;
    uint64_t sent_to;
    char answers[ENTRIES_MAX * 2]; /* owner's letter, then + or - */
    size_t answer_count;
    qr_status last_status;
} stage;

static qr_status stage_send(void *self, uint64_t to, qr_slice message)
{
    stage *s = self;
    QR_ASSERT(message.size <= sizeof s->sent);
    memcpy(s->sent, message.data, message.size);
    s->sent_size = message.size;
    s->sent_to = to;
    s->sent_count++;
    return QR_OK;
}

static void stage_open(stage *s, uint64_t self)
{
    memory *machine = qr_alloc_zero(1, sizeof *machine);
    machine->base.ops = &memory_ops;
    qr_node_config config = {
        .cluster = 7,
        .group = 1,
        .self = self,
        .incarnation = 100 + self,
        .heartbeat_ms = 100,
        .election_ms = 1000,
        .now_ms = s->now_ms,
        .segment_size = 64 * 1024,
        .engine = &puppet_ops,
        .machine = &machine->base,
        .disk = s->disk->disk,
        .network = {.self = s, .send = stage_send},
    };
    qr_members_add(&config.members, (qr_member){.id = SELF, .role = QR_ROLE_VOTER});
    qr_members_add(&config.members, (qr_member){.id = OTHER, .role = QR_ROLE_VOTER});
    const char *sentence;
    assert_int_equal(qr_node_open(&config, &s->arena, &s->node, &sentence), QR_OK);
}

static stage *stage_new(uint64_t self)
{
    stage *s = qr_alloc_zero(1, sizeof *s);
    s->now_ms = 1000;
    s->disk = fake_disk_new();
    stage_open(s, self);
    return s;
}

static void stage_free(stage *s)
{
    qr_node_free(s->node);
    fake_disk_free(s->disk);
    qr_arena_free(&s->arena);
    qr_free(s);
}

static puppet *engine_of(stage *s)
{
    return (puppet *)qr_node_engine(s->node);
}
static const char *text_of(stage *s)
{
    return ((const memory *)qr_node_machine(s->node))->text;
}

static void turns(stage *s, int count)
{
    for (int i = 0; i < count; i++) {
        fake_disk_pump(s->disk);
        qr_node_turn(s->node, ++s->now_ms, 5000);
    }
}

static void set_leader(stage *s, uint64_t term, uint64_t leader, uint64_t self)
{
    engine_of(s)->term = term;
    engine_of(s)->leader = leader;
    engine_of(s)->leads = leader == self;
    turns(s, 2);
}

typedef struct asker {
    stage *s;
    char letter;
} asker;

static void answered(void *owner, const qr_reply *reply)
{
    asker *a = owner;
    a->s->answers[a->s->answer_count++] = a->letter;
    a->s->answers[a->s->answer_count++] = reply->status == QR_OK ? '+' : '-';
    a->s->last_status = reply->status;
    qr_free(a);
}

static asker *ask(stage *s, char letter)
{
    asker *a = qr_alloc(sizeof *a);
    *a = (asker){.s = s, .letter = letter};
    return a;
}

static void write_letter(stage *s, char letter)
{
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_slice_of(&letter, 1), .done = answered, .owner = ask(s, letter)};
    assert_int_equal(qr_node_submit(s->node, &request), QR_OK);
}

static void read_letter(stage *s, char letter, qr_request_kind kind)
{
    qr_request request = {
        .kind = kind, .query = letter == 'H' ? "huge" : "", .done = answered, .owner = ask(s, letter)};
    assert_int_equal(qr_node_submit(s->node, &request), QR_OK);
}

/* Carries the last message of one stage to the other one. */
static void deliver(stage *from, uint64_t from_id, stage *to)
{
    qr_node_on_message(to->node, from_id, qr_slice_of(from->sent, from->sent_size), to->now_ms);
}

/* --------------------------------------------------------------- stories ---- */

static void a_leader_answers_once_a_write_is_applied(void **state)
{
    stage *s = stage_new(SELF);
    set_leader(s, 1, SELF, SELF);
    write_letter(s, 'a');
    write_letter(s, 'b');
    turns(s, 1);
    assert_int_equal(engine_of(s)->last, 2);
    assert_int_equal(s->answer_count, 0);
    engine_of(s)->commit = 1;
    turns(s, 1);
    assert_memory_equal(s->answers, "a+", 2);
    engine_of(s)->commit = 2;
    turns(s, 1);
    assert_memory_equal(s->answers, "a+b+", 4);
    assert_string_equal(text_of(s), "ab");
    stage_free(s);
}

static void nothing_is_proposed_before_the_boot_is_on_the_disk(void **state)
{
    stage *s = stage_new(SELF);
    engine_of(s)->term = 1;
    engine_of(s)->leader = SELF;
    engine_of(s)->leads = true;
    write_letter(s, 'a');
    for (int i = 0; i < 5; i++)
        qr_node_turn(s->node, ++s->now_ms, 5000); /* the disk is not pumped */
    assert_int_equal(engine_of(s)->last, 0);
    turns(s, 2);
    assert_int_equal(engine_of(s)->last, 1);
    stage_free(s);
}

static void a_follower_forwards_and_answers_when_it_has_applied(void **state)
{
    stage *leader = stage_new(SELF), *follower = stage_new(OTHER);
    set_leader(leader, 1, SELF, SELF);
    set_leader(follower, 1, SELF, OTHER);
    write_letter(follower, 'x');
    turns(follower, 1);
    assert_int_equal(follower->sent_to, SELF);
    deliver(follower, OTHER, leader);
    deliver(follower, OTHER, leader); /* a network may repeat it */
    turns(leader, 1);
    assert_int_equal(engine_of(leader)->last, 1);
    engine_of(leader)->commit = 1;
    turns(leader, 1);
    assert_int_equal(leader->answer_count, 0);
    /* The entry reaches the follower by replication. */
    engine_of(follower)->log[0] = engine_of(leader)->log[0];
    engine_of(follower)->last = engine_of(follower)->commit = 1;
    turns(follower, 1);
    assert_memory_equal(follower->answers, "x+", 2);
    stage_free(leader);
    stage_free(follower);
}

static void a_gap_in_forwards_is_refused_and_mended(void **state)
{
    stage *leader = stage_new(SELF), *follower = stage_new(OTHER);
    set_leader(leader, 1, SELF, SELF);
    set_leader(follower, 1, SELF, OTHER);
    write_letter(follower, 'x');
    turns(follower, 1); /* this message is lost */
    write_letter(follower, 'y');
    turns(follower, 1);
    deliver(follower, OTHER, leader);
    turns(leader, 1);
    assert_int_equal(engine_of(leader)->last, 0);
    /* After a while without progress everything is offered again, in order. */
    follower->now_ms += 600;
    turns(follower, 1);
    deliver(follower, OTHER, leader);
    turns(leader, 1);
    assert_int_equal(engine_of(leader)->last, 2);
    engine_of(leader)->commit = 2;
    turns(leader, 1);
    assert_string_equal(text_of(leader), "xy");
    stage_free(leader);
    stage_free(follower);
}

static void a_command_proposed_twice_is_applied_once(void **state)
{
    stage *s = stage_new(SELF);
    set_leader(s, 1, SELF, SELF);
    write_letter(s, 'a');
    turns(s, 1);
    set_leader(s, 2, SELF, SELF); /* leads again in a new term: offers it again */
    assert_int_equal(engine_of(s)->last, 2);
    engine_of(s)->commit = 2;
    turns(s, 1);
    assert_string_equal(text_of(s), "a");
    assert_memory_equal(s->answers, "a+", 2);
    assert_int_equal(s->answer_count, 2);
    stage_free(s);
}

static void a_write_that_was_passed_over_is_tried_again(void **state)
{
    stage *s = stage_new(SELF);
    set_leader(s, 1, SELF, SELF);
    write_letter(s, 'a');
    write_letter(s, 'b');
    turns(s, 1);
    /* A new leader's log has only the second one. */
    engine_of(s)->log[0] = engine_of(s)->log[1];
    engine_of(s)->last = engine_of(s)->commit = 1;
    turns(s, 2);
    assert_string_equal(text_of(s), "b");
    assert_memory_equal(s->answers, "b+", 2);
    engine_of(s)->commit = engine_of(s)->last;
    turns(s, 2);
    assert_string_equal(text_of(s), "ba");
    assert_memory_equal(s->answers, "b+a+", 4);
    stage_free(s);
}

static void deadlines_tell_what_is_known(void **state)
{
    stage *s = stage_new(SELF);
    turns(s, 2);
    write_letter(s, 'n'); /* no leader: surely not applied */
    turns(s, 1);
    s->now_ms += QR_NODE_REQUEST_MS + 100;
    turns(s, 1);
    assert_memory_equal(s->answers, "n-", 2);
    assert_int_equal(s->last_status, QR_E_NO_LEADER);
    set_leader(s, 1, SELF, SELF);
    write_letter(s, 't'); /* proposed, never committed: who knows */
    turns(s, 1);
    s->now_ms += QR_NODE_REQUEST_MS + 100;
    turns(s, 1);
    assert_int_equal(s->last_status, QR_E_TIMEOUT);
    /* It may still be applied later, and is not answered twice. */
    engine_of(s)->commit = 1;
    turns(s, 1);
    assert_string_equal(text_of(s), "t");
    assert_int_equal(s->answer_count, 4);
    stage_free(s);
}

static void a_hold_puts_off_what_frees_the_history(void **state)
{
    stage *s = stage_new(SELF);
    memory *machine = (memory *)(uintptr_t)qr_node_machine(s->node);
    machine->has_work = true;
    uint64_t first = qr_node_hold(s->node), second = qr_node_hold(s->node);
    machine->worked = 0;
    turns(s, 3);
    qr_node_let_go(s->node, first);
    turns(s, 1);
    assert_int_equal(machine->worked, 0);
    assert_true(qr_node_holds(s->node, second));
    qr_node_let_go(s->node, second);
    turns(s, 1);
    assert_int_equal(machine->worked, 1);
    stage_free(s);
}

static void a_hold_has_an_end(void **state)
{
    stage *s = stage_new(SELF);
    memory *machine = (memory *)(uintptr_t)qr_node_machine(s->node);
    machine->has_work = true;
    uint64_t first = qr_node_hold(s->node);
    s->now_ms += QR_NODE_HOLD_MS / 2;
    turns(s, 1);
    assert_int_equal(qr_node_hold(s->node), first); /* ends with the first */
    s->now_ms += QR_NODE_HOLD_MS / 2;
    machine->worked = 0;
    turns(s, 1);
    assert_true(!qr_node_holds(s->node, first) && machine->worked == 1);
    assert_int_equal(qr_node_hold(s->node), 0); /* not before all is freed that waited */
    qr_node_let_go(s->node, 0);
    machine->has_work = false;
    turns(s, 1);
    uint64_t next = qr_node_hold(s->node);
    assert_true(next != 0 && qr_node_holds(s->node, next));
    qr_node_let_go(s->node, first);
    assert_true(qr_node_holds(s->node, next));
    qr_node_let_go(s->node, next);
    stage_free(s);
}

static void reads_wait_for_the_index_and_survive_a_refusal(void **state)
{
    stage *s = stage_new(SELF);
    set_leader(s, 1, SELF, SELF);
    engine_of(s)->refuse_reads = true;
    read_letter(s, 'r', QR_REQUEST_READ);
    turns(s, 3);
    assert_int_equal(s->answer_count, 0);
    engine_of(s)->refuse_reads = false;
    s->now_ms += 50;
    turns(s, 2);
    assert_memory_equal(s->answers, "r+", 2);
    stage_free(s);
}

static void huge_reads_are_spread_over_turns(void **state)
{
    static const qr_request_kind kinds[] = {QR_REQUEST_READ, QR_REQUEST_READ_LOCAL};
    for (int kind = 0; kind < 2; kind++) {
        stage *s = stage_new(SELF);
        set_leader(s, 1, SELF, SELF);
        write_letter(s, 'w');
        turns(s, 1);
        engine_of(s)->commit = 1;
        turns(s, 2);
        size_t before = s->answer_count;
        for (int i = 0; i < 5; i++)
            read_letter(s, 'H', kinds[kind]);
        turns(s, 1);
        assert_int_equal(s->answer_count - before, 2 * 2); /* the second one passes the budget */
        assert_true(qr_node_wake_ms(s->node) <= s->now_ms);
        turns(s, 2);
        assert_int_equal(s->answer_count - before, 2 * 5);
        stage_free(s);
    }
}

/* Later forwards that get through do not set back the clock of the one that was lost. */
static void a_lost_forward_is_mended_under_traffic(void **state)
{
    stage *leader = stage_new(SELF), *follower = stage_new(OTHER);
    set_leader(leader, 1, SELF, SELF);
    set_leader(follower, 1, SELF, OTHER);
    write_letter(follower, 'a');
    turns(follower, 1); /* this message is lost */
    for (char letter = 'b'; letter < 'k'; letter++) {
        follower->now_ms += 100;
        write_letter(follower, letter);
        turns(follower, 1);
        deliver(follower, OTHER, leader);
        turns(leader, 1);
    }
    assert_in_range(engine_of(leader)->last, 6, 10);
    engine_of(leader)->commit = engine_of(leader)->last;
    turns(leader, 1);
    assert_memory_equal(text_of(leader), "abcdef", 6);
    stage_free(leader);
    stage_free(follower);
}

static void local_reads_wait_until_a_restart_has_caught_up(void **state)
{
    stage *s = stage_new(SELF);
    read_letter(s, 'l', QR_REQUEST_READ_LOCAL);
    turns(s, 2);
    assert_int_equal(s->answer_count, 0);
    set_leader(s, 1, SELF, SELF);
    write_letter(s, 'w');
    turns(s, 1);
    engine_of(s)->commit = 1;
    turns(s, 2);
    assert_memory_equal(s->answers, "w+l+", 4);
    stage_free(s);
}

static void foreign_damaged_and_old_messages_are_dropped(void **state)
{
    stage *leader = stage_new(SELF), *follower = stage_new(OTHER);
    set_leader(leader, 1, SELF, SELF);
    set_leader(follower, 1, SELF, OTHER);
    write_letter(follower, 'x');
    turns(follower, 1);
    for (size_t i = 0; i < follower->sent_size; i++) {
        follower->sent[i] ^= 0x40;
        deliver(follower, OTHER, leader);
        follower->sent[i] ^= 0x40;
        qr_node_on_message(leader->node, OTHER, qr_slice_of(follower->sent, i), leader->now_ms);
    }
    deliver(follower, 3, leader); /* not who it says */
    turns(leader, 1);
    assert_int_equal(engine_of(leader)->last, 0);
    deliver(follower, OTHER, leader);
    turns(leader, 1);
    assert_int_equal(engine_of(leader)->last, 1);
    stage_free(leader);
    stage_free(follower);
}

static void sequences_of_a_new_boot_are_above_all_earlier_ones(void **state)
{
    stage *s = stage_new(SELF);
    set_leader(s, 1, SELF, SELF);
    write_letter(s, 'a');
    turns(s, 3);
    qr_node_status before, after;
    qr_node_status_of(s->node, &before);
    qr_node_free(s->node);
    assert_memory_equal(s->answers, "a-", 2);
    stage_open(s, SELF);
    qr_node_status_of(s->node, &after);
    assert_int_equal(after.boot, before.boot + 1);
    assert_int_equal(after.incarnation, before.incarnation);
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_answers_once_a_write_is_applied),
        cmocka_unit_test(nothing_is_proposed_before_the_boot_is_on_the_disk),
        cmocka_unit_test(a_follower_forwards_and_answers_when_it_has_applied),
        cmocka_unit_test(a_gap_in_forwards_is_refused_and_mended),
        cmocka_unit_test(a_command_proposed_twice_is_applied_once),
        cmocka_unit_test(a_write_that_was_passed_over_is_tried_again),
        cmocka_unit_test(deadlines_tell_what_is_known),
        cmocka_unit_test(reads_wait_for_the_index_and_survive_a_refusal),
        cmocka_unit_test(huge_reads_are_spread_over_turns),
        cmocka_unit_test(a_hold_puts_off_what_frees_the_history),
        cmocka_unit_test(a_hold_has_an_end),
        cmocka_unit_test(a_lost_forward_is_mended_under_traffic),
        cmocka_unit_test(local_reads_wait_until_a_restart_has_caught_up),
        cmocka_unit_test(foreign_damaged_and_old_messages_are_dropped),
        cmocka_unit_test(sequences_of_a_new_boot_are_above_all_earlier_ones),
    };
    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
