/* Changes of members through one node or two, with an engine that does as the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_disk.h"
#include "node/node.h"

enum { A = 1, B = 2, C = 3, NEW = 9, ENTRIES_MAX = 16, TERM = 5 };
enum { KIND_AT = 1, KIND_CHANGE = 5, KIND_VERDICT = 6 }; /* of an envelope, doc/formats/peer.md */

/* ---- an engine whose configurations are made by hand ---- */

typedef struct puppet {
    qr_engine base;
    uint64_t self, leader, term, told_leader, told_term;
    qr_members members; /* in force, from this entry on */
    uint64_t members_index;
    qr_members log[ENTRIES_MAX]; /* nobody in it: a no-op */
    uint64_t last, commit, emitted;
    uint64_t match[QR_MEMBERS_MAX];
    bool alive[QR_MEMBERS_MAX];
    qr_status refusal; /* of MEMBERS */
    size_t asked;      /* MEMBERS events */
} puppet;

static void copy(qr_members *to, const qr_members *from)
{
    memcpy(to, from, sizeof *to);
}

static bool starts_with_two; /* the log that it finds ends in a configuration of A and B */

static void append(puppet *engine, const qr_members *members)
{
    QR_ASSERT(engine->last < ENTRIES_MAX);
    copy(&engine->members, members);
    copy(&engine->log[engine->last++], members);
    engine->members_index = engine->last;
}

static qr_engine *puppet_open(const qr_engine_config *config)
{
    puppet *engine = qr_alloc_zero(1, sizeof *engine);
    extern const qr_engine_ops puppet_ops;
    engine->base.ops = &puppet_ops;
    engine->self = config->self;
    copy(&engine->members, &config->members);
    for (size_t i = 0; i < QR_MEMBERS_MAX; i++)
        engine->alive[i] = true;
    if (starts_with_two) {
        append(engine, &config->members);
        engine->members.count = 2;
    }
    return &engine->base;
}

static qr_status puppet_recall(qr_engine *engine, qr_slice record, bool is_brief)
{
    return QR_OK;
}

static void puppet_step(qr_engine *base, const qr_event *event, qr_effects *effects)
{
    puppet *engine = (puppet *)base;
    if (event->kind == QR_EVENT_MEMBERS) {
        engine->asked++;
        if (engine->refusal != QR_OK) {
            qr_effect *effect = qr_effects_add(effects, QR_EFFECT_REFUSE, 0);
            effect->refuse.what = QR_EVENT_MEMBERS;
            effect->refuse.tag = event->members.tag;
            effect->refuse.why = engine->refusal;
            return;
        }
        append(engine, event->members.wanted);
    }
    if (event->kind != QR_EVENT_TICK)
        return;
    if (engine->told_leader != engine->leader || engine->told_term != engine->term) {
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_ROLE, 0);
        effect->role.role = engine->leader == engine->self ? QR_LEADER : QR_FOLLOWER;
        effect->role.term = engine->told_term = engine->term;
        effect->role.leader = engine->told_leader = engine->leader;
    }
    for (; engine->emitted < engine->commit; engine->emitted++) {
        qr_buffer bytes;
        qr_buffer_init(&bytes);
        qr_members_encode(&engine->log[engine->emitted], &bytes);
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_COMMIT, 0);
        effect->commit.index = engine->emitted + 1;
        effect->commit.term = engine->term;
        effect->commit.kind = engine->log[engine->emitted].count ? QR_ENTRY_MEMBERS : QR_ENTRY_NOOP;
        effect->commit.bytes = qr_arena_copy(&effects->arena, qr_buffer_slice(&bytes));
        qr_buffer_free(&bytes);
    }
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
    status->members_index = engine->members_index;
    copy(&status->members, &engine->members);
    memcpy(status->match, engine->match, sizeof status->match);
    memcpy(status->alive, engine->alive, sizeof status->alive);
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

/* ---- a machine that does nothing ---- */

static uint64_t idle_number(const qr_machine *machine)
{
    return 0;
}
static bool idle_upkeep(qr_machine *machine, int64_t wall_ms, qr_buffer *body)
{
    return false;
}
static bool idle_work(qr_machine *machine, size_t budget)
{
    return false;
}
static void idle_free(qr_machine *machine)
{
    qr_free(machine);
}

static const qr_machine_ops idle_ops = {
    .name = "idle",
    .digest = idle_number,
    .revision = idle_number,
    .upkeep = idle_upkeep,
    .work = idle_work,
    .free = idle_free,
};

/* ---- the stage ---- */

typedef struct stage {
    fake_disk *disk;
    qr_arena arena;
    qr_node *node;
    uint64_t self, now_ms;
    uint8_t sent[4096];
    size_t sent_size, sent_count;
    uint64_t sent_to;
    size_t answers;
    qr_status status; /* of the last answer */
    size_t told;      /* of configurations */
    uint32_t told_count;
    bool removed;
} stage;

static qr_status on_send(void *self, uint64_t to, qr_slice message)
{
    stage *s = self;
    QR_ASSERT(message.size > KIND_AT && message.size <= sizeof s->sent);
    if (message.data[KIND_AT] != KIND_CHANGE && message.data[KIND_AT] != KIND_VERDICT)
        return QR_OK; /* what members tell each other about their health is another test's matter */
    memcpy(s->sent, message.data, message.size);
    s->sent_size = message.size;
    s->sent_to = to;
    s->sent_count++;
    return QR_OK;
}

static void on_reconfigured(void *context, const qr_members *members, bool removed)
{
    stage *s = context;
    s->told++;
    s->told_count = members->count;
    s->removed = removed;
}

static void on_answer(void *owner, const qr_reply *reply)
{
    stage *s = owner;
    s->answers++;
    s->status = reply->status;
}

/* Three voters, or for NEW itself alone as a learner. */
static stage *stage_on(uint64_t self, uint64_t incarnation)
{
    stage *s = qr_alloc_zero(1, sizeof *s);
    s->self = self;
    s->now_ms = 1000;
    s->disk = fake_disk_new();
    qr_machine *machine = qr_alloc_zero(1, sizeof *machine);
    machine->ops = &idle_ops;
    qr_node_config config = {
        .cluster = 7,
        .group = 1,
        .self = self,
        .incarnation = incarnation,
        .heartbeat_ms = 100,
        .election_ms = 1000,
        .now_ms = s->now_ms,
        .segment_size = 64 * 1024,
        .engine = &puppet_ops,
        .machine = machine,
        .disk = s->disk->disk,
        .network = {.self = s, .send = on_send},
        .reconfigured = on_reconfigured,
        .context = s,
    };
    for (uint64_t id = A; id <= C && self != NEW; id++)
        qr_members_add(&config.members, (qr_member){.id = id, .role = QR_ROLE_VOTER});
    if (self == NEW)
        qr_members_add(&config.members, (qr_member){.id = NEW, .role = QR_ROLE_LEARNER});
    const char *sentence;
    assert_int_equal(qr_node_open(&config, &s->arena, &s->node, &sentence), QR_OK);
    return s;
}

static stage *stage_new(uint64_t self)
{
    return stage_on(self, 100 + self);
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

static void turns(stage *s, int count)
{
    for (int i = 0; i < count; i++) {
        fake_disk_pump(s->disk);
        qr_node_turn(s->node, ++s->now_ms, 5000);
    }
}

static void commit_all(stage *s)
{
    engine_of(s)->commit = engine_of(s)->last;
    turns(s, 2);
}

/* A leader has an entry of its own term in its log; here it is a configuration like the one before. */
static void set_leader(stage *s, uint64_t term, uint64_t leader)
{
    engine_of(s)->term = term;
    engine_of(s)->leader = leader;
    turns(s, 2);
    append(engine_of(s), &engine_of(s)->members);
    commit_all(s);
}

static stage *leader_new(void)
{
    stage *s = stage_new(A);
    set_leader(s, TERM, A);
    return s;
}

static void want(stage *s, qr_change change)
{
    qr_request request = {.kind = QR_REQUEST_MEMBERS, .change = change, .done = on_answer, .owner = s};
    assert_int_equal(qr_node_submit(s->node, &request), QR_OK);
    turns(s, 1);
}

static void expect(stage *s, qr_change change, qr_status status)
{
    size_t before = s->answers, asked = engine_of(s)->asked;
    want(s, change);
    assert_int_equal(s->answers, before + 1);
    assert_int_equal(s->status, status);
    assert_int_equal(engine_of(s)->asked, asked); /* the engine never heard of it */
}

static void make_learner(stage *s, uint64_t id)
{
    want(s, (qr_change){.kind = QR_CHANGE_ADD, .id = id});
    commit_all(s);
    assert_int_equal(s->status, QR_OK);
}

static size_t place(stage *s, uint64_t id)
{
    const qr_members *members = &engine_of(s)->members;
    const qr_member *member = qr_members_find(members, id);
    assert_non_null(member);
    return (size_t)(member - members->list);
}

static void deliver(stage *from, stage *to)
{
    qr_node_on_message(to->node, from->self, qr_slice_of(from->sent, from->sent_size), to->now_ms);
}

/* ---- the leader's own clients ---- */

static void a_configuration_that_was_cut_off_holds_nothing_up(void **state)
{
    starts_with_two = true;
    stage *s = stage_new(A);
    starts_with_two = false;
    turns(s, 1);
    assert_int_equal(s->told_count, 0); /* as at the start */
    puppet *engine = engine_of(s);
    engine->last = engine->members_index = 0; /* the leader of another term has a no-op there */
    engine->members.count = 3;
    turns(s, 1);
    assert_int_equal(s->told_count, 3);
    engine->term = TERM;
    engine->leader = A;
    turns(s, 2);
    memset(&engine->log[engine->last++], 0, sizeof *engine->log);
    commit_all(s);
    want(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = C});
    assert_int_equal(engine->asked, 1);
    commit_all(s);
    assert_int_equal(s->status, QR_OK);
    stage_free(s);
}

static void a_change_is_answered_once_it_is_applied(void **state)
{
    stage *s = leader_new();
    want(s, (qr_change){.kind = QR_CHANGE_ADD, .id = NEW});
    assert_int_equal(engine_of(s)->asked, 1);
    assert_int_equal(s->answers, 0);
    assert_non_null(qr_members_find(&engine_of(s)->members, NEW));
    turns(s, 300); /* asked for again meanwhile, but one change is one change */
    assert_int_equal(engine_of(s)->asked, 1);
    commit_all(s);
    assert_int_equal(s->answers, 1);
    assert_int_equal(s->status, QR_OK);
    expect(s, (qr_change){.kind = QR_CHANGE_ADD, .id = NEW}, QR_E_EXISTS);
    stage_free(s);
}

static void a_joint_configuration_is_not_the_end(void **state)
{
    stage *s = leader_new();
    make_learner(s, NEW);
    engine_of(s)->match[place(s, NEW)] = engine_of(s)->last;
    want(s, (qr_change){.kind = QR_CHANGE_PROMOTE, .id = NEW});
    qr_members *entry = &engine_of(s)->log[engine_of(s)->last - 1], wanted;
    copy(&wanted, entry);
    entry->joint = engine_of(s)->members.joint = 1;
    for (size_t i = 0; i < 3; i++)
        entry->list[i].voted_before = 1;
    size_t before = s->answers;
    commit_all(s);
    assert_int_equal(s->answers, before);
    append(engine_of(s), &wanted);
    commit_all(s);
    assert_int_equal(s->answers, before + 1);
    assert_int_equal(s->status, QR_OK);
    stage_free(s);
}

static void senseless_changes_are_refused(void **state)
{
    stage *s = leader_new();
    expect(s, (qr_change){.kind = QR_CHANGE_ADD, .id = B}, QR_E_EXISTS);
    expect(s, (qr_change){.kind = QR_CHANGE_ADD, .id = 0}, QR_E_INVALID);
    expect(s, (qr_change){.kind = QR_CHANGE_PROMOTE, .id = NEW}, QR_E_NOT_FOUND);
    expect(s, (qr_change){.kind = QR_CHANGE_PROMOTE, .id = B}, QR_E_EXISTS);
    expect(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = NEW}, QR_E_NOT_FOUND);
    expect(s, (qr_change){.kind = QR_CHANGE_REPLACE, .id = NEW, .id_new = B}, QR_E_NOT_FOUND);
    expect(s, (qr_change){.kind = QR_CHANGE_REPLACE, .id = B, .id_new = NEW}, QR_E_NOT_FOUND);
    expect(s, (qr_change){.kind = QR_CHANGE_REPLACE, .id = B, .id_new = C}, QR_E_EXISTS);
    expect(s, (qr_change){.kind = 0}, QR_E_INVALID);
    stage_free(s);
}

static void a_learner_must_have_caught_up(void **state)
{
    static const qr_change promote = {.kind = QR_CHANGE_PROMOTE, .id = NEW};
    static const qr_change replace = {.kind = QR_CHANGE_REPLACE, .id = C, .id_new = NEW};
    stage *s = leader_new();
    make_learner(s, NEW);
    size_t at = place(s, NEW);
    expect(s, promote, QR_E_NOT_READY); /* it has nothing */
    expect(s, replace, QR_E_NOT_READY);
    engine_of(s)->match[at] = 1;
    engine_of(s)->alive[at] = false; /* it had much, but does not answer */
    expect(s, promote, QR_E_NOT_READY);
    engine_of(s)->alive[at] = true;
    engine_of(s)->match[at] = engine_of(s)->commit;
    want(s, replace);
    commit_all(s);
    assert_int_equal(s->status, QR_OK);
    assert_null(qr_members_find(&engine_of(s)->members, C));
    assert_int_equal(engine_of(s)->members.list[place(s, NEW)].role, QR_ROLE_VOTER);
    stage_free(s);
}

static void a_majority_of_the_new_voters_must_be_alive(void **state)
{
    stage *s = leader_new();
    engine_of(s)->alive[place(s, C)] = false;
    expect(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = B}, QR_E_QUORUM);
    make_learner(s, NEW);                                    /* learners do not count */
    want(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = C}); /* nor does the dead one, once it is gone */
    commit_all(s);
    assert_int_equal(s->status, QR_OK);
    want(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = NEW});
    commit_all(s);
    assert_int_equal(s->status, QR_OK);
    want(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = B});
    commit_all(s);
    assert_int_equal(s->status, QR_OK);
    expect(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = A}, QR_E_QUORUM); /* the last one */
    stage_free(s);
}

static void a_busy_engine_is_asked_again_until_the_deadline(void **state)
{
    stage *s = leader_new();
    engine_of(s)->refusal = QR_E_BUSY;
    want(s, (qr_change){.kind = QR_CHANGE_ADD, .id = NEW});
    turns(s, 500);
    assert_int_equal(s->answers, 0);
    assert_in_range(engine_of(s)->asked, 2, 4);
    qr_request second = {.kind = QR_REQUEST_MEMBERS, .done = on_answer, .owner = s};
    assert_int_equal(qr_node_submit(s->node, &second), QR_E_BUSY); /* one at a time */
    engine_of(s)->refusal = QR_OK;
    turns(s, 250);
    commit_all(s);
    assert_int_equal(s->status, QR_OK);
    engine_of(s)->refusal = QR_E_BUSY;
    want(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = NEW});
    s->now_ms += QR_NODE_REQUEST_MS;
    turns(s, 60);
    assert_int_equal(s->answers, 2);
    assert_int_equal(s->status, QR_E_BUSY); /* nothing was done */
    stage_free(s);
}

static void nothing_is_judged_before_the_term_has_an_entry(void **state)
{
    stage *s = stage_new(A);
    engine_of(s)->term = TERM;
    engine_of(s)->leader = A;
    turns(s, 2);
    want(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = NEW});
    turns(s, 300);
    assert_int_equal(s->answers, 0);
    append(engine_of(s), &engine_of(s)->members);
    commit_all(s);
    turns(s, 300);
    assert_int_equal(s->status, QR_E_NOT_FOUND);
    stage_free(s);
}

/* A new voter does not count before it has caught up, so nobody need be alive for it, and the change has
 * arrived when the engine has taken it in as one that will vote. */
static void a_voter_may_be_added_at_any_time(void **state)
{
    stage *s = leader_new();
    engine_of(s)->alive[place(s, C)] = false;
    want(s, (qr_change){.kind = QR_CHANGE_ADD, .id = NEW, .voter = true});
    size_t at = place(s, NEW);
    assert_int_equal(engine_of(s)->members.list[at].role, QR_ROLE_VOTER);
    engine_of(s)->members.list[at].role = QR_ROLE_RETURNING; /* as raft does */
    engine_of(s)->log[engine_of(s)->last - 1].list[at].role = QR_ROLE_RETURNING;
    commit_all(s);
    assert_int_equal(s->answers, 1);
    assert_int_equal(s->status, QR_OK);
    expect(s, (qr_change){.kind = QR_CHANGE_PROMOTE, .id = NEW}, QR_E_EXISTS);
    stage_free(s);
}

/* Under load the one that takes a voter's place lacks something most of the time: that is waited for. */
static void a_replacement_waits_for_what_is_committed(void **state)
{
    stage *s = leader_new();
    make_learner(s, NEW);
    engine_of(s)->match[place(s, NEW)] = 1;
    assert_in_range(engine_of(s)->commit, 2, 9);
    size_t before = s->answers;
    want(s, (qr_change){.kind = QR_CHANGE_REPLACE, .id = C, .id_new = NEW});
    turns(s, 300);
    assert_int_equal(s->answers, before);
    engine_of(s)->match[place(s, NEW)] = engine_of(s)->commit;
    turns(s, 250);
    commit_all(s);
    assert_int_equal(s->answers, before + 1);
    assert_int_equal(s->status, QR_OK);
    stage_free(s);
}

/* ---- through another member ---- */

static stage *follower_on(uint64_t self, uint64_t incarnation)
{
    stage *s = stage_on(self, incarnation);
    engine_of(s)->alive[0] = false; /* nobody but the leader knows such things */
    set_leader(s, TERM, A);
    return s;
}

static stage *follower_new(uint64_t self)
{
    return follower_on(self, 100 + self);
}

static void a_follower_sends_it_to_the_leader(void **state)
{
    stage *leader = leader_new(), *follower = follower_new(B);
    want(follower, (qr_change){.kind = QR_CHANGE_ADD, .id = NEW});
    assert_int_equal(follower->sent_to, A);
    deliver(follower, leader);
    deliver(follower, leader); /* a network may repeat it */
    assert_int_equal(engine_of(leader)->asked, 1);
    commit_all(leader);
    assert_int_equal(leader->sent_to, B);
    deliver(leader, follower); /* the verdict, before the entry */
    turns(follower, 1);
    assert_int_equal(follower->answers, 0);
    append(engine_of(follower), &engine_of(leader)->members);
    commit_all(follower);
    assert_int_equal(follower->answers, 1);
    assert_int_equal(follower->status, QR_OK);
    stage_free(leader);
    stage_free(follower);
}

static void refusals_come_back(void **state)
{
    stage *leader = leader_new(), *follower = follower_new(B);
    want(follower, (qr_change){.kind = QR_CHANGE_REMOVE, .id = NEW});
    deliver(follower, leader);
    deliver(leader, follower);
    assert_int_equal(follower->status, QR_E_NOT_FOUND);
    deliver(leader, follower); /* late, and for nobody */
    assert_int_equal(follower->answers, 1);
    stage_free(leader);
    stage_free(follower);
}

/* A disk in the place of a lost one counts its boots, and the changes of a boot, from one again: what was
 * said of a change that the lost one asked for is no word about what is asked for now. */
static void a_verdict_for_a_lost_disk_is_none(void **state)
{
    stage *leader = leader_new(), *lost = follower_new(B), *follower = follower_on(B, 200 + B);
    want(lost, (qr_change){.kind = QR_CHANGE_REMOVE, .id = NEW});
    deliver(lost, leader); /* which refuses */
    want(follower, (qr_change){.kind = QR_CHANGE_REMOVE, .id = C});
    deliver(leader, follower);
    assert_int_equal(follower->answers, 0);
    deliver(follower, leader);
    assert_int_equal(engine_of(leader)->asked, 1);
    commit_all(leader);
    append(engine_of(follower), &engine_of(leader)->members);
    commit_all(follower);
    deliver(leader, follower);
    assert_int_equal(follower->answers, 1);
    assert_int_equal(follower->status, QR_OK);
    stage_free(leader);
    stage_free(lost);
    stage_free(follower);
}

/* It is under way for the lost disk, and another change is asked for on the new one, which is told nothing of
 * the former. */
static void a_change_of_a_lost_disk_is_no_other(void **state)
{
    stage *leader = leader_new(), *lost = follower_new(B), *follower = follower_on(B, 200 + B);
    want(lost, (qr_change){.kind = QR_CHANGE_ADD, .id = NEW});
    deliver(lost, leader);
    want(follower, (qr_change){.kind = QR_CHANGE_REMOVE, .id = B});
    deliver(follower, leader);
    size_t sent = leader->sent_count;
    commit_all(leader);
    if (leader->sent_count > sent)
        deliver(leader, follower);
    assert_int_equal(follower->answers, 0);
    stage_free(leader);
    stage_free(lost);
    stage_free(follower);
}

/* B adds a member; then B and the new one go. A copy of B's request that comes late must not bring it back,
 * though nothing is known of B any more. */
static void a_late_copy_of_one_that_is_gone_does_nothing(void **state)
{
    stage *leader = leader_new(), *follower = follower_new(B);
    want(follower, (qr_change){.kind = QR_CHANGE_ADD, .id = NEW});
    deliver(follower, leader);
    commit_all(leader);
    want(leader, (qr_change){.kind = QR_CHANGE_REMOVE, .id = NEW});
    commit_all(leader);
    want(leader, (qr_change){.kind = QR_CHANGE_REMOVE, .id = B});
    commit_all(leader);
    assert_int_equal(leader->answers, 2);
    turns(leader, 2);
    size_t asked = engine_of(leader)->asked;
    deliver(follower, leader);
    turns(leader, 2);
    assert_int_equal(engine_of(leader)->asked, asked);
    stage_free(leader);
    stage_free(follower);
}

/* A leader whose log ends in the removal of somebody has not said so before that is committed, and it may be
 * cut off again (quorate sim, seed 6638 with faults for a minute). */
static void a_removal_is_told_to_who_is_gone_once_it_is_committed(void **state)
{
    starts_with_two = true;
    stage *leader = stage_new(A), *follower = NULL;
    starts_with_two = false;
    engine_of(leader)->log[0].count = 2;
    engine_of(leader)->term = TERM;
    engine_of(leader)->leader = A;
    turns(leader, 2);
    follower = follower_new(C);
    want(follower, (qr_change){.kind = QR_CHANGE_REMOVE, .id = C});
    deliver(follower, leader);
    assert_int_equal(leader->sent_count, 0);
    append(engine_of(leader), &engine_of(leader)->members);
    commit_all(leader);
    follower->now_ms += 300;
    turns(follower, 1);
    deliver(follower, leader);
    assert_int_equal(leader->sent_count, 1);
    deliver(leader, follower);
    assert_int_equal(follower->answers, 1);
    assert_int_equal(follower->status, QR_OK);
    stage_free(leader);
    stage_free(follower);
}

/* The verdict is lost and the change is asked for again: it has happened, and that is no mistake of the
 * client.
 */
static void a_repeated_change_is_well(void **state)
{
    stage *leader = leader_new(), *follower = follower_new(B);
    want(follower, (qr_change){.kind = QR_CHANGE_REMOVE, .id = C});
    deliver(follower, leader);
    commit_all(leader);
    follower->now_ms += 300;
    turns(follower, 1);
    assert_int_equal(follower->sent_count, 2);
    deliver(follower, leader);
    deliver(leader, follower);
    append(engine_of(follower), &engine_of(leader)->members);
    commit_all(follower);
    assert_int_equal(follower->status, QR_OK);
    assert_int_equal(engine_of(leader)->asked, 1);
    stage_free(leader);
    stage_free(follower);
}

/* The leader dies before it answers; the member that was asked sees the change come in anyway. */
/* It may be another's doing, long ago, that a member that lags comes to see; only who goes himself may never
 * hear the leader's word (quorate sim, seed 2536). */
static void seeing_it_applied_is_no_answer_but_to_who_goes(void **state)
{
    for (uint64_t gone = B; gone <= C; gone++) {
        stage *follower = follower_new(B);
        want(follower, (qr_change){.kind = QR_CHANGE_REMOVE, .id = gone});
        engine_of(follower)->leader = 0;
        turns(follower, 1);
        qr_members left;
        copy(&left, &engine_of(follower)->members);
        if (gone == B)
            left.list[1] = left.list[2];
        left.count = 2;
        append(engine_of(follower), &left);
        commit_all(follower);
        assert_int_equal(follower->answers, gone == B);
        if (gone == B)
            assert_int_equal(follower->status, QR_OK);
        stage_free(follower);
    }
}

static void deadlines_tell_what_is_known(void **state)
{
    stage *follower = follower_new(B);
    want(follower, (qr_change){.kind = QR_CHANGE_REMOVE, .id = C});
    follower->now_ms += QR_NODE_REQUEST_MS;
    turns(follower, 60);
    assert_int_equal(follower->status, QR_E_TIMEOUT);
    engine_of(follower)->leader = 0;
    turns(follower, 2);
    want(follower, (qr_change){.kind = QR_CHANGE_REMOVE, .id = C});
    follower->now_ms += QR_NODE_REQUEST_MS;
    turns(follower, 60);
    assert_int_equal(follower->status, QR_E_NO_LEADER);
    stage_free(follower);
}

static void bad_changes_are_dropped(void **state)
{
    stage *leader = leader_new(), *follower = follower_new(B);
    want(follower, (qr_change){.kind = 77, .id = C});
    deliver(follower, leader);
    assert_int_equal(leader->sent_count, 0);
    assert_int_equal(engine_of(leader)->asked, 0);
    stage_free(leader);
    stage_free(follower);
}

/* ---- what is told ---- */

static void configurations_are_told(void **state)
{
    stage *s = leader_new();
    size_t before = s->told;
    want(s, (qr_change){.kind = QR_CHANGE_ADD, .id = NEW});
    turns(s, 1);
    assert_int_equal(s->told, before + 1); /* in force */
    assert_int_equal(s->told_count, 4);
    commit_all(s);
    assert_int_equal(s->told, before + 2); /* and applied */
    turns(s, 10);
    assert_int_equal(s->told, before + 2);
    assert_int_equal(qr_node_members_applied(s->node)->count, 4);
    stage_free(s);
}

static void a_removed_member_is_told(void **state)
{
    stage *s = leader_new();
    want(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = A});
    turns(s, 1);
    assert_false(s->removed); /* not committed */
    commit_all(s);
    assert_true(s->removed);
    assert_int_equal(s->status, QR_OK); /* its own client still hears of it */
    stage_free(s);
}

/* A joiner applies the log from its beginning, when it was no member yet. */
static void entries_from_before_its_time_do_not_remove_a_joiner(void **state)
{
    stage *s = stage_new(NEW);
    qr_members members = {0};
    for (uint64_t id = A; id <= C; id++)
        qr_members_add(&members, (qr_member){.id = id, .role = QR_ROLE_VOTER});
    append(engine_of(s), &members);
    commit_all(s);
    assert_false(s->removed);
    qr_members_add(&members, (qr_member){.id = NEW, .role = QR_ROLE_LEARNER});
    append(engine_of(s), &members);
    commit_all(s);
    assert_false(s->removed);
    members.count = 3;
    append(engine_of(s), &members);
    commit_all(s);
    assert_true(s->removed);
    stage_free(s);
}

static void entries_from_before_its_time_are_no_removal_that_was_asked_for(void **state)
{
    stage *s = stage_new(NEW);
    engine_of(s)->term = TERM;
    engine_of(s)->leader = A;
    turns(s, 2);
    memset(&engine_of(s)->log[engine_of(s)->last++], 0, sizeof *engine_of(s)->log); /* of the leader's term */
    commit_all(s);
    qr_members members = {0};
    for (uint64_t id = A; id <= C; id++)
        qr_members_add(&members, (qr_member){.id = id, .role = QR_ROLE_VOTER});
    want(s, (qr_change){.kind = QR_CHANGE_REMOVE, .id = NEW});
    assert_int_equal(s->sent_to, A);
    append(engine_of(s), &members);
    commit_all(s);
    assert_int_equal(s->answers, 0);
    qr_members_add(&members, (qr_member){.id = NEW, .role = QR_ROLE_LEARNER});
    append(engine_of(s), &members);
    commit_all(s);
    members.count = 3;
    append(engine_of(s), &members);
    commit_all(s);
    assert_int_equal(s->answers, 1);
    assert_int_equal(s->status, QR_OK);
    stage_free(s);
}

static void a_stopping_node_answers(void **state)
{
    stage *s = stage_new(B);
    qr_request request = {.kind = QR_REQUEST_MEMBERS, .done = on_answer, .owner = s};
    assert_int_equal(qr_node_submit(s->node, &request), QR_OK);
    stage copied = *s;
    qr_node_free(s->node);
    assert_int_equal(s->answers, copied.answers + 1);
    assert_int_equal(s->status, QR_E_STOPPED);
    fake_disk_free(s->disk);
    qr_arena_free(&s->arena);
    qr_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_configuration_that_was_cut_off_holds_nothing_up),
        cmocka_unit_test(a_change_is_answered_once_it_is_applied),
        cmocka_unit_test(a_joint_configuration_is_not_the_end),
        cmocka_unit_test(senseless_changes_are_refused),
        cmocka_unit_test(a_learner_must_have_caught_up),
        cmocka_unit_test(a_majority_of_the_new_voters_must_be_alive),
        cmocka_unit_test(a_busy_engine_is_asked_again_until_the_deadline),
        cmocka_unit_test(a_voter_may_be_added_at_any_time),
        cmocka_unit_test(a_replacement_waits_for_what_is_committed),
        cmocka_unit_test(nothing_is_judged_before_the_term_has_an_entry),
        cmocka_unit_test(a_follower_sends_it_to_the_leader),
        cmocka_unit_test(refusals_come_back),
        cmocka_unit_test(a_verdict_for_a_lost_disk_is_none),
        cmocka_unit_test(a_change_of_a_lost_disk_is_no_other),
        cmocka_unit_test(a_late_copy_of_one_that_is_gone_does_nothing),
        cmocka_unit_test(a_removal_is_told_to_who_is_gone_once_it_is_committed),
        cmocka_unit_test(a_repeated_change_is_well),
        cmocka_unit_test(seeing_it_applied_is_no_answer_but_to_who_goes),
        cmocka_unit_test(deadlines_tell_what_is_known),
        cmocka_unit_test(bad_changes_are_dropped),
        cmocka_unit_test(configurations_are_told),
        cmocka_unit_test(a_removed_member_is_told),
        cmocka_unit_test(entries_from_before_its_time_do_not_remove_a_joiner),
        cmocka_unit_test(entries_from_before_its_time_are_no_removal_that_was_asked_for),
        cmocka_unit_test(a_stopping_node_answers),
    };
    return cmocka_run_group_tests_name("members of a node", tests, NULL, NULL);
}
