/* The black box by itself: a voter that is alone, recorded and repeated; what is left out; the ring of files;
 * damage. That images are whole is the simulator's to show, which repeats every process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../wal/fake_disk.h"
#include "box/replay.h"
#include "box/ring.h"
#include "core/redact.h"
#include "raft/raft.h"

static const char secret[] = "the secret value of a client, which nobody is to read";

/* ---- one member that is alone ---- */

typedef struct loner {
    qr_engine *engine;
    qr_box *box;
    qr_effects effects;
    qr_trace trace;
    uint64_t now_ms, ticket, turns;
} loner;

static void loner_open(loner *one, const qr_box_sink *sink)
{
    *one = (loner){.now_ms = 1000};
    qr_trace_init(&one->trace, 0);
    qr_engine_config config = {.self = 7,
                               .incarnation = 3,
                               .seed = 11,
                               .heartbeat_ms = 100,
                               .election_ms = 1000,
                               .now_ms = one->now_ms,
                               .trace = &one->trace};
    qr_members_add(&config.members, (qr_member){.id = 7, .role = QR_ROLE_VOTER});
    one->engine = qr_raft.open(&config);
    one->box = qr_box_new(sink, &qr_raft, &config, 1, 2, 5);
    qr_effects_init(&one->effects);
    qr_box_clock(one->box, one->now_ms, 1700000000000);
}

static void step(loner *one, qr_event event)
{
    event.now_ms = one->now_ms;
    uint64_t traces = one->trace.count;
    one->trace.now_ms = one->now_ms;
    qr_box_before(one->box, one->engine, one->now_ms);
    qr_effects_clear(&one->effects);
    qr_raft.step(one->engine, &event, &one->effects);
    qr_box_step(one->box, &event, &one->effects, one->trace.count - traces);
    for (size_t i = 0; i < one->effects.count; i++)
        if (one->effects.list[i].kind == QR_EFFECT_PERSIST)
            one->ticket = one->effects.list[i].persist.ticket;
}

/* Takes the lead, then proposes one command a turn. */
static void live(loner *one, uint32_t turns)
{
    for (; turns > 0; turns--) {
        char command[100];
        int size = snprintf(command, sizeof command, "%u %s", (unsigned)one->turns, secret);
        bool leads = one->turns++ >= 3;
        one->now_ms += leads ? 10 : 2000;
        qr_slice bytes = qr_slice_of(command, (size_t)size);
        if (leads)
            step(one, (qr_event){.kind = QR_EVENT_PROPOSE, .propose = {.commands = &bytes, .count = 1}});
        step(one, (qr_event){.kind = QR_EVENT_TICK});
        step(one, (qr_event){.kind = QR_EVENT_DURABLE, .durable.ticket = one->ticket});
        step(one, (qr_event){.kind = QR_EVENT_TICK});
    }
}

static void loner_close(loner *one)
{
    qr_box_free(one->box);
    qr_raft.free(one->engine);
    qr_effects_free(&one->effects);
}

static bool keep(void *self, bool begins, qr_slice bytes)
{
    (void)begins;
    qr_buffer_add_slice(self, bytes);
    return true;
}

static void record(qr_buffer *out, bool whole, uint32_t turns)
{
    qr_buffer_init(out);
    qr_box_sink sink = {.segment_bytes = QR_BOX_SEGMENT_MIN, .whole = whole, .self = out, .put = keep};
    loner one;
    loner_open(&one, &sink);
    live(&one, turns);
    loner_close(&one);
}

static bool holds(qr_slice bytes, const char *text)
{
    return memmem(bytes.data, bytes.size, text, strlen(text)) != NULL;
}

/* ---- repeating ---- */

typedef struct outcome {
    qr_replay_result result;
    uint32_t segments, differing;
    bool lost;
} outcome;

static const qr_engine_ops *engine_of(void *context, const char *name)
{
    return strcmp(name, "raft") == 0 ? &qr_raft : NULL;
}

static outcome repeat(qr_slice bytes)
{
    outcome out = {0};
    qr_replay *replay = qr_replay_new(&(qr_replay_config){.engine = engine_of});
    qr_reader file = qr_reader_of(bytes);
    qr_box_segment segment;
    while (qr_box_next(&file, &segment, &out.lost)) {
        out.segments++;
        out.differing += !qr_replay_segment(replay, &segment, &out.result);
    }
    qr_replay_free(replay);
    return out;
}

static void test_a_recording_is_repeated(void **state)
{
    for (int whole = 0; whole <= 1; whole++) {
        qr_buffer bytes;
        record(&bytes, whole, 2000);
        outcome out = repeat(qr_buffer_slice(&bytes));
        assert_true(out.segments > 2 && out.differing == 0 && !out.lost);
        assert_int_equal(out.result.steps, 3 * 3 + 1997 * 4);
        assert_int_equal(holds(qr_buffer_slice(&bytes), "secret"), whole);
        qr_buffer_free(&bytes);
    }
}

/* Whoever finds only the newest segments can begin there. */
static void test_any_segment_is_a_beginning(void **state)
{
    qr_buffer bytes;
    record(&bytes, false, 2000);
    qr_reader file = qr_reader_of(qr_buffer_slice(&bytes));
    qr_box_segment segment;
    bool lost = false;
    for (uint32_t left = repeat(qr_buffer_slice(&bytes)).segments; left > 0; left--) {
        outcome out = repeat(qr_slice_of(file.at, qr_reader_left(&file)));
        assert_true(out.segments == left && out.differing == 0);
        assert_true(qr_box_next(&file, &segment, &lost));
    }
    qr_buffer_free(&bytes);
}

/* The frame that holds this byte gets a checksum that is right again. */
static void mend(qr_buffer *bytes, size_t at)
{
    for (size_t frame = 0; frame < bytes->size;) {
        uint32_t size = qr_load_u32(bytes->data + frame);
        if (at < frame + QR_BOX_FRAME_HEADER + size) {
            qr_slice payload = qr_slice_of(bytes->data + frame + QR_BOX_FRAME_HEADER, size);
            qr_store_u32(bytes->data + frame + 4, (uint32_t)qr_hash(payload, size));
            return;
        }
        frame += QR_BOX_FRAME_HEADER + size;
    }
}

static void test_what_was_tampered_with_differs(void **state)
{
    qr_buffer bytes;
    record(&bytes, false, 40);
    char command[100];
    int size = snprintf(command, sizeof command, "20 %s", secret);
    uint64_t mark = qr_redact_mark(qr_slice_of(command, (size_t)size));
    uint8_t wanted[8];
    qr_store_u64(wanted, mark);
    const uint8_t *found = memmem(bytes.data, bytes.size, wanted, 8);
    assert_non_null(found);
    size_t at = (size_t)(found - bytes.data);
    bytes.data[at] ^= 1;
    assert_true(repeat(qr_buffer_slice(&bytes)).differing > 0); /* the sum tells */
    mend(&bytes, at);
    outcome out = repeat(qr_buffer_slice(&bytes));
    assert_int_equal(out.differing, 1);
    assert_string_equal(out.result.difference, "its effects are not those that were recorded");
    assert_true(out.result.step > 3 * 3 + 17 * 4); /* where the command is committed, not before */
    qr_buffer_free(&bytes);
}

static void test_every_damage_is_told(void **state)
{
    qr_buffer bytes, wrong;
    record(&bytes, false, 6);
    qr_buffer_init(&wrong);
    for (size_t at = 0; at < bytes.size; at++) {
        qr_buffer_clear(&wrong);
        qr_buffer_add_slice(&wrong, qr_buffer_slice(&bytes));
        wrong.data[at] ^= 0x10;
        outcome out = repeat(qr_buffer_slice(&wrong));
        assert_true(out.lost || out.differing > 0);
        out = repeat(qr_slice_of(bytes.data, at)); /* cut off */
        assert_true(out.segments <= 1 && out.result.steps <= 3 * 3 + 3 * 4);
    }
    qr_buffer_free(&bytes);
    qr_buffer_free(&wrong);
}

/* ---- redacting ---- */

static void test_marks_stay_what_they_are(void **state)
{
    qr_buffer kept, back, again;
    qr_buffer_init(&kept);
    qr_buffer_init(&back);
    qr_buffer_init(&again);
    for (size_t size = 0; size <= strlen(secret); size++) {
        qr_buffer_clear(&kept);
        qr_buffer_clear(&back);
        qr_buffer_clear(&again);
        qr_slice command = qr_slice_of(secret, size);
        qr_redact(command, false, &kept);
        assert_int_equal(kept.size, size < QR_REDACT_MIN ? size : 8);
        qr_reader reader = qr_reader_of(qr_buffer_slice(&kept));
        qr_redact_expand(&reader, false, size, &back);
        assert_false(reader.failed);
        assert_int_equal(back.size, size);
        assert_true(qr_redact_mark(qr_buffer_slice(&back)) == qr_redact_mark(command));
        qr_redact(qr_buffer_slice(&back), false, &again);
        assert_true(qr_slice_equal(qr_buffer_slice(&again), qr_buffer_slice(&kept)));
    }
    qr_buffer_free(&kept);
    qr_buffer_free(&back);
    qr_buffer_free(&again);
}

/* ---- the ring ---- */

typedef struct ring_state {
    fake_disk *disk;
    qr_ring *ring;
    uint32_t stopped;
    qr_status why;
} ring_state;

static void on_stopped(void *context, qr_status status)
{
    ring_state *self = context;
    self->stopped++;
    self->why = status;
}

static void ring_open(ring_state *self)
{
    self->ring = qr_ring_open(&(qr_ring_config){
        .disk = &self->disk->disk, .bytes = QR_RING_BYTES_MIN, .stopped = on_stopped, .context = self});
}

/* A life of a member, with its disk as fast as it is. */
static void ring_live(ring_state *self, uint32_t lives, uint32_t turns)
{
    loner one;
    loner_open(&one, qr_ring_sink(self->ring));
    qr_box_clock(one.box, one.now_ms, 1700000000000 + lives * 1000000);
    for (uint32_t i = 0; i < turns; i += 10) {
        live(&one, 10);
        fake_disk_pump(self->disk);
    }
    qr_ring_hold(self->ring);
    loner_close(&one);
    qr_ring_close(self->ring);
}

static qr_slice file_of(ring_state *self, uint32_t file)
{
    char name[QR_DISK_NAME_MAX];
    qr_ring_name(file, name);
    const qr_buffer *bytes = fake_disk_file(self->disk, name);
    return bytes ? qr_buffer_slice(bytes) : (qr_slice){0};
}

static void test_the_ring_is_bounded_and_goes_round(void **state)
{
    ring_state self = {.disk = fake_disk_new()};
    ring_open(&self);
    ring_live(&self, 0, 4000);
    uint64_t newest = 0, oldest = UINT64_MAX, total = 0;
    for (uint32_t i = 0; i < QR_RING_FILES; i++) {
        qr_slice bytes = file_of(&self, i);
        qr_reader file = qr_reader_of(bytes);
        qr_box_segment segment;
        bool lost = false;
        assert_true(qr_box_next(&file, &segment, &lost));
        newest = segment.sequence > newest ? segment.sequence : newest;
        oldest = segment.sequence < oldest ? segment.sequence : oldest;
        total += bytes.size;
        assert_int_equal(repeat(bytes).differing, 0);
    }
    assert_true(newest > QR_RING_FILES && newest - oldest == QR_RING_FILES - 1);
    assert_true(total < 2 * QR_RING_BYTES_MIN);
    assert_int_equal(self.stopped, 0);
    fake_disk_free(self.disk);
}

/* A new life begins in the oldest file, and leaves the newest of the one before. */
static void test_a_new_life_spares_the_last_one(void **state)
{
    ring_state self = {.disk = fake_disk_new()};
    ring_open(&self);
    ring_live(&self, 0, 20);
    qr_slice before = file_of(&self, 0);
    assert_true(before.size > 0 && file_of(&self, 1).size == 0);
    for (uint32_t life = 1; life < QR_RING_FILES; life++) {
        ring_open(&self);
        ring_live(&self, life, 20);
        assert_true(file_of(&self, life).size > 0);
    }
    int64_t first, last;
    assert_true(qr_box_begun(file_of(&self, 0), &first) && qr_box_begun(file_of(&self, 3), &last));
    assert_true(first < last);
    ring_open(&self);
    ring_live(&self, 4, 20);
    assert_true(qr_box_begun(file_of(&self, 0), &first) && first > last);
    fake_disk_free(self.disk);
}

static qr_status refuse_writes(void *context, const qr_disk_op *op)
{
    return op->kind == QR_DISK_WRITE ? QR_E_NO_SPACE : QR_OK;
}

static void test_a_full_disk_ends_the_recording_once(void **state)
{
    ring_state self = {.disk = fake_disk_new()};
    self.disk->before = refuse_writes;
    ring_open(&self);
    ring_live(&self, 0, 2000);
    assert_int_equal(self.stopped, 1);
    assert_int_equal(self.why, QR_E_NO_SPACE);
    fake_disk_free(self.disk);
}

/* A disk that does nothing for a while costs a part of the story, and no memory without bound. */
static void test_a_slow_disk_makes_a_gap(void **state)
{
    ring_state self = {.disk = fake_disk_new()};
    ring_open(&self);
    const qr_box_sink *sink = qr_ring_sink(self.ring);
    static uint8_t bytes[1024 * 1024];
    uint32_t taken = 0;
    while (sink->put(sink->self, taken == 0, qr_slice_of(bytes, sizeof bytes)))
        taken++;
    assert_true(taken * sizeof bytes <= QR_RING_WAITING_MAX);
    fake_disk_pump(self.disk);
    assert_true(sink->put(sink->self, true, qr_slice_of(bytes, 10)));
    assert_false(sink->put(sink->self, true, qr_slice_of(bytes, 10))); /* its file is not begun yet */
    fake_disk_pump(self.disk);
    assert_int_equal(file_of(&self, 0).size, taken * sizeof bytes);
    assert_int_equal(file_of(&self, 1).size, 10);
    qr_ring_hold(self.ring);
    qr_ring_close(self.ring);
    fake_disk_free(self.disk);
}

typedef struct reader_state {
    uint32_t told;
    size_t size;
    qr_status status;
} reader_state;

static void on_read(void *owner, qr_status status, qr_slice bytes)
{
    reader_state *self = owner;
    self->told++;
    self->size = bytes.size;
    self->status = status;
}

static void test_the_ring_is_read_and_readers_may_leave(void **state)
{
    ring_state self = {.disk = fake_disk_new()};
    reader_state stays = {0}, leaves = {0};
    ring_open(&self);
    const qr_box_sink *sink = qr_ring_sink(self.ring);
    assert_true(sink->put(sink->self, true, qr_slice_of(secret, 10)));
    fake_disk_pump(self.disk);
    qr_ring_read(self.ring, 0, 4, on_read, &stays);
    qr_ring_read(self.ring, 0, 0, on_read, &leaves);
    qr_ring_read_end(self.ring, &leaves);
    fake_disk_pump(self.disk);
    assert_true(stays.told == 1 && stays.size == 6 && stays.status == QR_OK && leaves.told == 0);
    qr_ring_read(self.ring, 1, 0, on_read, &stays);
    fake_disk_pump(self.disk);
    assert_true(stays.told == 2 && stays.size == 0 && stays.status == QR_E_NOT_FOUND);
    qr_ring_hold(self.ring);
    qr_ring_close(self.ring);
    fake_disk_free(self.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_recording_is_repeated),
        cmocka_unit_test(test_any_segment_is_a_beginning),
        cmocka_unit_test(test_what_was_tampered_with_differs),
        cmocka_unit_test(test_every_damage_is_told),
        cmocka_unit_test(test_marks_stay_what_they_are),
        cmocka_unit_test(test_the_ring_is_bounded_and_goes_round),
        cmocka_unit_test(test_a_new_life_spares_the_last_one),
        cmocka_unit_test(test_a_full_disk_ends_the_recording_once),
        cmocka_unit_test(test_a_slow_disk_makes_a_gap),
        cmocka_unit_test(test_the_ring_is_read_and_readers_may_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
