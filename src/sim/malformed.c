/* What a program with a bug, or of another version, would say: malformed although its checksum is right, so
 * that only the decoders stand between it and the member. What a decoder must refuse goes the whole way, to a
 * member that runs or starts; what it may take for something sound is only read, and has to be what would be
 * written. */
#include <stddef.h>

#include "core/command.h"
#include "sim/world.h"

/* doc/formats/peer.md. */
enum { KIND_AT = 1, SENDER_AT = 18, BODY_AT = 34, SUM_SIZE = 8 };
enum { ENGINE = 1, CHECKPOINT = 3, KIND_UNKNOWN = 200 };
enum { NUMBERS_BEGIN = 2 }; /* of an engine's messages and records: behind format and kind */

static uint64_t below(qr_sim_world *world, uint64_t bound)
{
    return qr_prng_below(&world->prng_malformed, bound);
}

static bool happens(qr_sim_world *world)
{
    return world->phase == QR_SIM_FAULTS && world->plan.malformed > 0 &&
           qr_prng_chance(&world->prng_malformed, world->plan.malformed);
}

/* ------------------------------------------------------------ for decoders alone ---- */

static const uint8_t odd_bytes[] = {0, 1, 2, 4, 0x7f, 0x80, 0xff};

/* One to three bytes differ, mostly at the beginning, where the numbers are; or the end is elsewhere. */
static void spoil(qr_sim_world *world, qr_buffer *bytes)
{
    for (uint64_t left = 1 + below(world, 3); left > 0 && bytes->size > 0; left--) {
        size_t at = (size_t)below(world, below(world, 4) && bytes->size > 24 ? 24 : bytes->size);
        switch (below(world, 5)) {
        case 0: bytes->data[at] ^= (uint8_t)(1u << below(world, 8)); break;
        case 1: bytes->data[at]++; break;
        case 2: bytes->data[at] = odd_bytes[below(world, sizeof odd_bytes)]; break;
        case 3: bytes->size = below(world, 2) ? at : bytes->size - 1; break;
        default: qr_buffer_u8(bytes, odd_bytes[below(world, sizeof odd_bytes)]); break;
        }
    }
}

/* Another encoding of a number may become the usual one on the way to a recording, once. */
static void read_engines(qr_sim_world *world, qr_opaque what, qr_slice bytes)
{
    const qr_engine_ops *engine = world->config->engine;
    qr_buffer spoilt = {0}, brief = {0}, whole[2] = {0};
    if (engine->redact == NULL || below(world, 8))
        return;
    qr_buffer_add_slice(&spoilt, bytes);
    spoil(world, &spoilt);
    qr_status status = QR_OK;
    for (size_t i = 0; i < 2 && status == QR_OK; i++) {
        qr_buffer_clear(&brief);
        engine->redact(what, qr_buffer_slice(i ? &whole[0] : &spoilt), &brief);
        status = engine->expand(what, qr_buffer_slice(&brief), &whole[i]);
    }
    if (status != QR_OK || !qr_slice_equal(qr_buffer_slice(&whole[0]), qr_buffer_slice(&whole[1])))
        qr_sim_fail(world, "malformed-is-refused", "a malformed %s is recorded as another one",
                    what == QR_OPAQUE_MESSAGE ? "message" : "record");
    qr_buffer_free(&spoilt);
    qr_buffer_free(&brief);
    qr_buffer_free(&whole[0]);
    qr_buffer_free(&whole[1]);
}

/* What the bytes are read as, written again; false: they are refused. */
static bool rewrite(qr_entry_kind kind, qr_slice bytes, qr_buffer *out)
{
    qr_command command;
    qr_members members;
    qr_reader reader = qr_reader_of(bytes);
    if (kind == QR_ENTRY_MEMBERS &&
        (qr_members_decode(&reader, &members) != QR_OK || qr_reader_left(&reader)))
        return false;
    if (kind == QR_ENTRY_COMMAND && qr_command_decode(bytes, &command) != QR_OK)
        return false;
    if (kind == QR_ENTRY_MEMBERS)
        qr_members_encode(&members, out);
    else
        qr_command_encode(&command, out);
    return true;
}

static void read_entry(qr_sim_world *world, qr_entry_kind kind, qr_slice bytes)
{
    qr_buffer spoilt = {0}, written = {0}, again = {0};
    qr_buffer_add_slice(&spoilt, bytes);
    spoil(world, &spoilt);
    if (rewrite(kind, qr_buffer_slice(&spoilt), &written) &&
        (!rewrite(kind, qr_buffer_slice(&written), &again) ||
         !qr_slice_equal(qr_buffer_slice(&written), qr_buffer_slice(&again))))
        qr_sim_fail(world, "malformed-is-refused", "a malformed entry is read, and written as another one");
    qr_buffer_free(&spoilt);
    qr_buffer_free(&written);
    qr_buffer_free(&again);
}

/* A body has one encoding only. */
static void read_body(qr_sim_world *world, qr_slice bytes)
{
    qr_buffer spoilt = {0}, written = {0};
    qr_arena arena;
    qr_body body;
    qr_arena_init(&arena);
    qr_buffer_add_slice(&spoilt, bytes);
    spoil(world, &spoilt);
    if (qr_body_decode(qr_buffer_slice(&spoilt), &arena, &body) == QR_OK) {
        qr_body_encode(&body, &written);
        if (!qr_slice_equal(qr_buffer_slice(&spoilt), qr_buffer_slice(&written)))
            qr_sim_fail(world, "malformed-is-refused", "a malformed body is read, and written otherwise");
    }
    qr_buffer_free(&spoilt);
    qr_buffer_free(&written);
    qr_arena_free(&arena);
}

void qr_sim_malformed_entry(qr_sim_world *world, qr_entry_kind kind, qr_slice bytes)
{
    qr_command command;
    if (kind == QR_ENTRY_NOOP || below(world, 4))
        return;
    read_entry(world, kind, bytes);
    if (kind == QR_ENTRY_COMMAND && qr_command_decode(bytes, &command) == QR_OK)
        read_body(world, command.body);
}

/* ------------------------------------------------------------ for whole members ---- */

/* A message or record of an engine that no engine may take. Cut off or longer, it is so because its parts are
 * counted. */
static void malform(qr_sim_world *world, qr_slice bytes, qr_buffer *out)
{
    size_t begin = out->size;
    qr_buffer_add_slice(out, bytes);
    switch (bytes.size > NUMBERS_BEGIN ? below(world, 5) : 0) {
    case 0: out->size = begin + (size_t)below(world, bytes.size); break;
    case 1: out->data[begin]++; break;
    case 2: out->data[begin + KIND_AT] = below(world, 2) ? 0 : KIND_UNKNOWN; break;
    case 3: qr_buffer_u8(out, odd_bytes[below(world, sizeof odd_bytes)]); break;
    default: { /* the first number is greater than any may be */
        size_t at = NUMBERS_BEGIN;
        while (at + 1 < bytes.size && bytes.data[at] & 0x80)
            at++;
        out->size = begin + NUMBERS_BEGIN;
        qr_buffer_varint(out, UINT64_MAX - below(world, 1000));
        qr_buffer_add(out, bytes.data + at + 1, bytes.size - at - 1);
    }
    }
}

/* Of the other envelopes only their beginnings are known to be necessary. A byte more is part of the file in
 * a chunk of a checkpoint. */
static void malform_envelope(qr_sim_world *world, qr_buffer *out)
{
    uint8_t kind = out->data[KIND_AT];
    switch (below(world, 6)) {
    case 0: out->data[0]++; break;
    case 1: out->data[KIND_AT] = below(world, 2) ? 0 : KIND_UNKNOWN; break;
    case 2: out->data[2 + below(world, SENDER_AT + 8 - 2)] ^= 1; break; /* cluster, group or sender */
    case 3: out->size = (size_t)below(world, BODY_AT); break;
    case 4: out->size = out->size < BODY_AT + 8 ? BODY_AT : BODY_AT + (size_t)below(world, 8); break;
    default:
        if (kind != CHECKPOINT)
            qr_buffer_u8(out, odd_bytes[below(world, sizeof odd_bytes)]);
        else
            out->size = BODY_AT;
    }
}

bool qr_sim_malformed_message(qr_sim_node *node, uint64_t to, qr_slice message, qr_buffer *out)
{
    qr_sim_world *world = node->world;
    QR_ASSERT(message.size >= BODY_AT + SUM_SIZE);
    qr_slice head = qr_slice_of(message.data, BODY_AT);
    qr_slice body = qr_slice_of(message.data + BODY_AT, message.size - BODY_AT - SUM_SIZE);
    bool is_engines = message.data[KIND_AT] == ENGINE;
    if (is_engines)
        read_engines(world, QR_OPAQUE_MESSAGE, body);
    if (!world->config->elects || !happens(world))
        return false;
    qr_buffer_add_slice(out, head);
    if (is_engines && below(world, 4)) {
        malform(world, body, out);
    } else {
        qr_buffer_add_slice(out, body);
        malform_envelope(world, out);
    }
    qr_buffer_u64(out, qr_hash(qr_buffer_slice(out), to));
    world->report->malformed++;
    qr_sim_story(world, "n%u says something malformed", node->number + 1);
    return true;
}

/* ------------------------------------------------------------ for a start ---- */

static qr_sim_node *reader_of(const qr_engine *engine)
{
    return (qr_sim_node *)((char *)engine->ops - offsetof(qr_sim_node, misreads.ops));
}

static qr_status misread(qr_engine *engine, qr_slice record, bool is_brief)
{
    qr_sim_node *node = reader_of(engine);
    const qr_engine_ops *real = node->world->config->engine;
    read_engines(node->world, QR_OPAQUE_RECORD, record);
    if (node->misreads.in == 0 || --node->misreads.in > 0)
        return real->recall(engine, record, is_brief);
    qr_buffer spoilt = {0};
    malform(node->world, record, &spoilt);
    qr_status status = real->recall(engine, qr_buffer_slice(&spoilt), is_brief);
    qr_buffer_free(&spoilt);
    node->misreads.refused = status == QR_E_CORRUPT || status == QR_E_BAD_VERSION;
    if (!node->misreads.refused)
        qr_sim_fail(node->world, "malformed-is-refused", "n%u recalls a malformed record", node->number + 1);
    return status;
}

static qr_engine *open_misreading(const qr_engine_config *config)
{
    qr_sim_node *node = config->trace->context;
    qr_engine *engine = node->world->config->engine->open(config);
    engine->ops = &node->misreads.ops;
    return engine;
}

const qr_engine_ops *qr_sim_malformed_start(qr_sim_node *node)
{
    qr_sim_world *world = node->world;
    if (!world->config->elects)
        return world->config->engine;
    node->misreads.ops = *world->config->engine;
    node->misreads.ops.open = open_misreading;
    node->misreads.ops.recall = misread;
    node->misreads.refused = false;
    node->misreads.in = world->phase == QR_SIM_FAULTS && world->plan.malformed > 0 && below(world, 4) == 0
                            ? (uint32_t)(1 + below(world, below(world, 2) ? 4 : 200))
                            : 0;
    return &node->misreads.ops;
}
