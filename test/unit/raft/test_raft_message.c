#include "cmocka_all.h"
#include "raft/raft_internal.h"
#include "world.h"

static qr_raft_message append_with(qr_buffer *entries, uint64_t count)
{
    uint8_t header[QR_RAFT_ENTRY_HEADER_MAX];
    for (uint64_t i = 0; i < count; i++) {
        size_t size = qr_raft_entry_header(header, 3 + i, QR_ENTRY_COMMAND, 5);
        qr_buffer_add(entries, header, size);
        qr_buffer_add(entries, "hello", 5);
    }
    return (qr_raft_message){.kind = QR_RAFT_APPEND,
                             .term = 9,
                             .flags = QR_RAFT_WANTED,
                             .prev_index = 400,
                             .prev_term = 3,
                             .commit = 17,
                             .round = 300,
                             .count = count};
}

static void every_kind_there_and_back(void **state)
{
    for (int kind = 1; kind < QR_RAFT_MESSAGE_KINDS; kind++) {
        qr_raft_message message = {.kind = (qr_raft_message_kind)kind, .term = 1000}, back;
        qr_buffer bytes = {0};
        qr_raft_message_encode(&message, &bytes);
        assert_int_equal(qr_raft_message_decode(qr_buffer_slice(&bytes), &back), QR_OK);
        assert_int_equal(back.kind, kind);
        assert_int_equal(back.term, 1000);
        for (size_t size = 0; size < bytes.size; size++)
            assert_int_not_equal(qr_raft_message_decode(qr_slice_of(bytes.data, size), &back), QR_OK);
        bytes.data[0] = 2;
        assert_int_equal(qr_raft_message_decode(qr_buffer_slice(&bytes), &back), QR_E_BAD_VERSION);
        qr_buffer_free(&bytes);
    }
    qr_raft_message answer = {.kind = QR_RAFT_APPEND_ANSWER,
                              .term = 7,
                              .flags = 1,
                              .accepted = 5,
                              .match = 4,
                              .round = 3,
                              .prev_index = 2,
                              .last_index = 1,
                              .last_term = 6},
                    back;
    qr_buffer bytes = {0};
    qr_raft_message_encode(&answer, &bytes);
    assert_int_equal(qr_raft_message_decode(qr_buffer_slice(&bytes), &back), QR_OK);
    assert_memory_equal(&answer, &back, offsetof(qr_raft_message, entries));
    qr_buffer_free(&bytes);
}

static void bad_numbers_are_refused(void **state)
{
    qr_buffer bytes = {0}, entries = {0};
    qr_raft_message good = append_with(&entries, 3), back;
    qr_raft_message_encode(&good, &bytes);
    qr_buffer_add_slice(&bytes, qr_buffer_slice(&entries));
    assert_int_equal(qr_raft_message_decode(qr_buffer_slice(&bytes), &back), QR_OK);
    assert_int_equal(back.entries.size, entries.size);
    qr_raft_message bad[8] = {good, good, good, good, good, good, good, good};
    bad[0].term = 4;                        /* an entry of a later term than the message */
    bad[1].prev_term = 4;                   /* terms fall */
    bad[2].count = 4;                       /* fewer entries than promised */
    bad[3].count = 2;                       /* more */
    bad[4].commit = QR_RAFT_NUMBER_MAX + 1; /* would overflow */
    bad[5].prev_index = 0;                  /* the beginning has no term */
    bad[6].flags = 2;
    bad[7].term = 0;
    for (int i = 0; i < 8; i++) {
        qr_buffer_clear(&bytes);
        qr_raft_message_encode(&bad[i], &bytes);
        qr_buffer_add_slice(&bytes, qr_buffer_slice(&entries));
        assert_int_equal(qr_raft_message_decode(qr_buffer_slice(&bytes), &back), QR_E_INVALID);
    }
    qr_buffer_free(&bytes);
    qr_buffer_free(&entries);
}

/* Random and half-right bytes at a member in every role: nothing but a note in the trace, and never a crash.
 */
static void nonsense_does_no_harm(void **state)
{
    world *w = world_new(3, 5);
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_has_leader));
    qr_prng prng;
    qr_prng_seed(&prng, 77);
    qr_buffer bytes = {0};
    for (int i = 0; i < 20000; i++) {
        qr_buffer_clear(&bytes);
        qr_buffer_u8(&bytes, QR_RAFT_FORMAT);
        for (uint64_t n = qr_prng_below(&prng, 24); n > 0; n--)
            qr_buffer_u8(&bytes, (uint8_t)qr_prng_below(&prng, qr_prng_below(&prng, 2) ? 256 : 12));
        uint64_t to = 1 + qr_prng_below(&prng, 3), from = qr_prng_below(&prng, 5);
        /* Terms of the future are believed (peers are not liars); keep them within the oracle's tables. */
        qr_raft_message message;
        if (qr_raft_message_decode(qr_buffer_slice(&bytes), &message) == QR_OK)
            continue;
        world_step(w, to,
                   &(qr_event){.kind = QR_EVENT_RECV,
                               .recv = {.from = from, .incarnation = 1, .bytes = qr_buffer_slice(&bytes)}});
        if (i % 50 == 0)
            world_run(w, 20);
    }
    world_run(w, 3000);
    assert_fine(w);
    assert_int_equal(w->elections, 1);
    qr_buffer_free(&bytes);
    world_free(w);
}

/* Well-formed messages with absurd numbers, from real members. They may cost elections, never a crash. */
static void absurd_messages_never_crash(void **state)
{
    qr_prng prng;
    qr_prng_seed(&prng, 78);
    for (int round = 0; round < 300; round++) {
        world *w = world_new(3, (uint64_t)round);
        world_boot_all(w);
        world_until(w, 5000, world_has_leader);
        for (int i = 0; i < 40; i++) {
            qr_buffer bytes = {0};
            qr_buffer_u8(&bytes, QR_RAFT_FORMAT);
            qr_buffer_u8(&bytes, (uint8_t)(1 + qr_prng_below(&prng, QR_RAFT_MESSAGE_KINDS - 1)));
            qr_buffer_varint(&bytes, qr_prng_below(&prng, 4));
            for (uint64_t n = qr_prng_below(&prng, 8); n > 0; n--)
                qr_buffer_varint(&bytes, qr_prng_below(&prng, 2) ? qr_prng_below(&prng, 5)
                                                                 : qr_prng_next(&prng) >> 40);
            qr_slice slice = qr_buffer_slice(&bytes);
            uint64_t to = 1 + qr_prng_below(&prng, 3), from = 1 + qr_prng_below(&prng, 3);
            qr_effects effects = {0};
            if (w->member[to].engine)
                qr_raft.step(
                    w->member[to].engine,
                    &(qr_event){.kind = QR_EVENT_RECV, .now_ms = w->now_ms, .recv = {from, 1, slice}},
                    &effects);
            qr_effects_clear(&effects);
            qr_raft.step(w->member[to].engine, &(qr_event){.kind = QR_EVENT_TICK, .now_ms = w->now_ms},
                         &effects);
            qr_effects_free(&effects);
            qr_buffer_free(&bytes);
        }
        world_free(w);
    }
}

static void say_as(world *w, uint64_t from, uint64_t incarnation, uint64_t to, const qr_raft_message *message)
{
    qr_buffer bytes = {0};
    qr_raft_message_encode(message, &bytes);
    world_step(
        w, to,
        &(qr_event){.kind = QR_EVENT_RECV,
                    .recv = {.from = from, .incarnation = incarnation, .bytes = qr_buffer_slice(&bytes)}});
    qr_buffer_free(&bytes);
}

/* A disk that was replaced is not heard at all. A newer one than is known here is a stranger: its answers are
 * not heard and bring no later term; its appends and questions for votes are, as those of any server are that
 * this member's configuration does not know yet (D 4.1). */
static void another_disk_under_an_old_name_is_not_heard(void **state)
{
    world *w = world_new(3, 9);
    for (uint32_t i = 0; i < 3; i++)
        w->config.members.list[i].incarnation = w->member[i + 1].incarnation = 5;
    world_boot_all(w);
    assert_true(world_until(w, 5000, world_has_leader));
    uint64_t leader = world_leader(w), other = leader % 3 + 1, term = w->member[leader].term;
    qr_raft_message append = {.kind = QR_RAFT_APPEND, .term = term + 5};
    say_as(w, leader, 4, other, &append);
    assert_int_equal(w->member[other].term, term);
    static const qr_raft_message_kind answers[] = {QR_RAFT_PREVOTE_ANSWER, QR_RAFT_VOTE_ANSWER,
                                                   QR_RAFT_APPEND_ANSWER,  QR_RAFT_READ_ASK,
                                                   QR_RAFT_READ_ANSWER,    QR_RAFT_TIMEOUT_NOW};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        say_as(w, other, 6, leader, &(qr_raft_message){.kind = answers[i], .term = term + 5});
        assert_int_equal(w->member[leader].term, term);
    }
    say_as(w, leader, 6, other, &append);
    assert_int_equal(w->member[other].term, term + 5);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_there_and_back),
        cmocka_unit_test(bad_numbers_are_refused),
        cmocka_unit_test(nonsense_does_no_harm),
        cmocka_unit_test(absurd_messages_never_crash),
        cmocka_unit_test(another_disk_under_an_old_name_is_not_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
