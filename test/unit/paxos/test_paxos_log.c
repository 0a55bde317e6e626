/* The slots: terms that follow from the first ballots, what is dead behind a fresh value, memory. */
#include "cmocka_all.h"
#include "paxos/inside.h"

static void put(qr_paxos_log *log, uint64_t index, uint64_t ballot, uint64_t born, const char *text)
{
    qr_paxos_log_put(
        log, index,
        &(qr_paxos_view){
            .ballot = ballot, .born = born, .kind = QR_ENTRY_COMMAND, .bytes = qr_slice_text(text)});
}

static const char *text_of(const qr_paxos_log *log, uint64_t index)
{
    static char text[16];
    qr_paxos_view view;
    if (!qr_paxos_log_read(log, index, &view))
        return "";
    memcpy(text, view.bytes.data, view.bytes.size);
    text[view.bytes.size] = 0;
    return text;
}

/* The example of doc/design/paxos.md: first ballots that fall along the log make terms that do not. */
static void terms_never_fall(void **state)
{
    qr_paxos_log log;
    qr_paxos_log_init(&log);
    put(&log, 1, 4, 2, "a");
    put(&log, 2, 4, 3, "b");
    put(&log, 3, 4, 2, "c");
    put(&log, 4, 4, 4, "d");
    assert_int_equal(qr_paxos_log_term(&log, 1), 2);
    assert_int_equal(qr_paxos_log_term(&log, 2), 3);
    assert_int_equal(qr_paxos_log_term(&log, 3), 3);
    assert_int_equal(qr_paxos_log_term(&log, 4), 4);
    put(&log, 2, 5, 2, "B"); /* another value */
    assert_int_equal(qr_paxos_log_term(&log, 2), 2);
    assert_int_equal(qr_paxos_log_term(&log, 3), 0);
    assert_string_equal(text_of(&log, 2), "B");
    qr_paxos_log_free(&log);
}

/* What is behind a slot that gets another value is dead; behind one that keeps it in a later ballot it is
 * not. */
static void only_what_is_dead_is_dropped(void **state)
{
    qr_paxos_log log;
    qr_paxos_log_init(&log);
    for (uint64_t i = 1; i <= 6; i++)
        put(&log, i, i <= 3 ? 3 : 2, 2, "old");
    put(&log, 1, 7, 2, "old");
    put(&log, 2, 7, 2, "old");
    assert_int_equal(log.last, 6);
    put(&log, 3, 7, 3, "three");
    assert_int_equal(log.last, 3);
    put(&log, 4, 7, 7, "fresh");
    assert_int_equal(log.last, 4);
    qr_paxos_log_free(&log);
}

static void old_slots_keep_their_terms(void **state)
{
    qr_paxos_log log;
    qr_paxos_log_init(&log);
    for (uint64_t i = 1; i <= 300; i++)
        put(&log, i, 9, 1 + i / 50, "x");
    qr_paxos_log_trim(&log, 250, 0);
    assert_int_equal(log.memory_first, 251);
    assert_string_equal(text_of(&log, 250), "");
    for (uint64_t i = 1; i <= 300; i++)
        assert_int_equal(qr_paxos_log_term(&log, i), 1 + i / 50);
    qr_paxos_log_forget(&log, 120, 3);
    for (uint64_t i = 120; i <= 300; i++)
        assert_int_equal(qr_paxos_log_term(&log, i), 1 + i / 50);
    assert_int_equal(qr_paxos_log_term(&log, 119), 0);
    qr_paxos_log_forget(&log, 270, 8); /* a checkpoint of a member that had another value there */
    assert_int_equal(qr_paxos_log_term(&log, 271), 8);
    assert_int_equal(log.memory_first, 271);
    qr_paxos_log_reset(&log, 500, 9);
    assert_int_equal(qr_paxos_log_term(&log, 500), 9);
    assert_int_equal(log.last, 500);
    qr_paxos_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_never_fall),
        cmocka_unit_test(only_what_is_dead_is_dropped),
        cmocka_unit_test(old_slots_keep_their_terms),
    };
    return cmocka_run_group_tests_name("paxos-log", tests, NULL, NULL);
}
