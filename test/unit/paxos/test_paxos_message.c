/* Messages and records: what is written is read again, and nothing cut off or changed in its numbers is. */
#include "cmocka_all.h"
#include "paxos/inside.h"

static void add_entry(qr_buffer *out, uint64_t ballot, uint64_t born, const char *text)
{
    qr_paxos_entry_encode(
        &(qr_paxos_view){
            .ballot = ballot, .born = born, .kind = QR_ENTRY_COMMAND, .bytes = qr_slice_text(text)},
        out);
}

static void messages_come_back(void **state)
{
    for (int kind = 1; kind < QR_PAXOS_MESSAGE_KINDS; kind++) {
        bool carries = kind == QR_PAXOS_PROMISE || kind == QR_PAXOS_ACCEPT || kind == QR_PAXOS_CHOSEN;
        qr_paxos_message said = {.kind = (qr_paxos_message_kind)kind,
                                 .ballot = 300,
                                 .flags = 1,
                                 .asked = 300,
                                 .first = 7,
                                 .last = 20,
                                 .chosen = 6,
                                 .round = 4,
                                 .taken = 18,
                                 .match = 17,
                                 .id = 99,
                                 .index = 5,
                                 .count = carries ? 2 : 0};
        qr_buffer bytes = {0}, again = {0};
        qr_paxos_message_encode(&said, &bytes);
        if (carries) {
            add_entry(&bytes, 300, 200, "one");
            add_entry(&bytes, 299, 299, "");
        }
        qr_paxos_message heard;
        assert_int_equal(qr_paxos_message_decode(qr_buffer_slice(&bytes), &heard), QR_OK);
        qr_paxos_message_encode(&heard, &again);
        qr_buffer_add_slice(&again, heard.entries);
        assert_true(qr_slice_equal(qr_buffer_slice(&bytes), qr_buffer_slice(&again)));
        for (size_t size = 0; size < bytes.size; size++)
            assert_true(qr_paxos_message_decode(qr_slice_of(bytes.data, size), &heard) != QR_OK);
        qr_buffer_u8(&bytes, 1);
        assert_int_equal(qr_paxos_message_decode(qr_buffer_slice(&bytes), &heard), QR_E_INVALID);
        bytes.data[0]++;
        assert_int_equal(qr_paxos_message_decode(qr_buffer_slice(&bytes), &heard), QR_E_BAD_VERSION);
        qr_buffer_free(&bytes);
        qr_buffer_free(&again);
    }
}

static qr_status hear(qr_paxos_message message)
{
    qr_buffer bytes = {0};
    qr_paxos_message_encode(&message, &bytes);
    qr_status status = qr_paxos_message_decode(qr_buffer_slice(&bytes), &message);
    qr_buffer_free(&bytes);
    return status;
}

static void contradictions_are_refused(void **state)
{
    const qr_paxos_message accepted = {
        .kind = QR_PAXOS_ACCEPTED, .ballot = 3, .last = 9, .chosen = 4, .taken = 8, .match = 7};
    assert_int_equal(hear(accepted), QR_OK);
    qr_paxos_message wrong = accepted;
    wrong.match = 9;
    assert_int_equal(hear(wrong), QR_E_INVALID);
    wrong = accepted;
    wrong.taken = 10;
    assert_int_equal(hear(wrong), QR_E_INVALID);
    wrong = accepted;
    wrong.ballot = QR_PAXOS_NUMBER_MAX + 1;
    assert_int_equal(hear(wrong), QR_E_INVALID);
    const qr_paxos_message promise = {
        .kind = QR_PAXOS_PROMISE, .ballot = 3, .asked = 3, .flags = 1, .first = 5, .last = 4, .chosen = 4};
    assert_int_equal(hear(promise), QR_OK);
    wrong = promise;
    wrong.asked = 2;
    assert_int_equal(hear(wrong), QR_E_INVALID);
    wrong = promise;
    wrong.count = 1; /* and no entry */
    assert_int_equal(hear(wrong), QR_E_INVALID);
    wrong = (qr_paxos_message){.kind = QR_PAXOS_CANVASS, .ballot = 3};
    assert_int_equal(hear(wrong), QR_E_INVALID);
}

static void records_are_whole_or_refused(void **state)
{
    qr_engine_config config = {.self = 1, .incarnation = 1, .heartbeat_ms = 100, .election_ms = 1000};
    qr_members_add(&config.members, (qr_member){.id = 1, .role = QR_ROLE_VOTER});
    qr_engine *engine = qr_paxos.open(&config);
    qr_effects effects;
    qr_effects_init(&effects);
    qr_paxos.step(engine, &(qr_event){.kind = QR_EVENT_TICK, .now_ms = 1}, &effects);
    size_t seen = 0;
    for (size_t i = 0; i < effects.count; i++) {
        if (effects.list[i].kind != QR_EFFECT_PERSIST)
            continue;
        qr_slice bytes = effects.list[i].persist.record;
        qr_paxos_record record;
        assert_int_equal(qr_paxos_record_decode(bytes, &record), QR_OK);
        assert_int_equal(record.ballot, 1);
        assert_int_equal(record.promised_to, 1);
        qr_paxos_record_free(&record);
        for (size_t size = 0; size < bytes.size; size++) {
            assert_true(qr_paxos_record_decode(qr_slice_of(bytes.data, size), &record) != QR_OK);
            qr_paxos_record_free(&record);
        }
        seen++;
    }
    assert_int_equal(seen, 1);
    qr_buffer brief = {0};
    qr_paxos.brief(engine, &brief);
    for (size_t size = 0; size < brief.size; size++) {
        qr_paxos_record record;
        assert_true(qr_paxos_record_decode(qr_slice_of(brief.data, size), &record) != QR_OK);
        qr_paxos_record_free(&record);
    }
    qr_buffer_free(&brief);
    qr_effects_free(&effects);
    qr_paxos.free(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_back),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(records_are_whole_or_refused),
    };
    return cmocka_run_group_tests_name("paxos-message", tests, NULL, NULL);
}
