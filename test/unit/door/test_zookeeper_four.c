/* The four-letter words, and the setting that allows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "door/zookeeper/four.h"

static void words(void **state)
{
    (void)state;
    assert_int_equal(qr_zookeeper_word_of(qr_slice_text("ruok")), QR_ZOOKEEPER_WORD_ruok);
    assert_int_equal(qr_zookeeper_word_of(qr_slice_text("RUOK")), QR_ZOOKEEPER_WORD_COUNT);
    assert_int_equal(qr_zookeeper_word_of(qr_slice_text("ruo")), QR_ZOOKEEPER_WORD_COUNT);
    assert_int_equal(qr_zookeeper_word_of(qr_slice_text("")), QR_ZOOKEEPER_WORD_COUNT);
}

static void settings(void **state)
{
    (void)state;
    const uint32_t srvr = 1U << QR_ZOOKEEPER_WORD_srvr, ruok = 1U << QR_ZOOKEEPER_WORD_ruok;
    assert_int_equal(qr_zookeeper_words_allowed(qr_slice_text("srvr")), srvr);
    assert_int_equal(qr_zookeeper_words_allowed(qr_slice_text(" srvr ,\truok,,")), srvr | ruok);
    assert_int_equal(qr_zookeeper_words_allowed(qr_slice_text("none, srvr")), srvr);
    assert_int_equal(qr_zookeeper_words_allowed(qr_slice_text("")), 0);
    assert_int_equal(qr_zookeeper_words_allowed(qr_slice_of(NULL, 0)), 0);
    const qr_zookeeper_word_set all = qr_zookeeper_words_allowed(qr_slice_text("srvr, *"));
    for (int word = 0; word < QR_ZOOKEEPER_WORD_COUNT; word++)
        assert_true(qr_zookeeper_word_in(all, (qr_zookeeper_word)word));
    assert_false(qr_zookeeper_word_in(srvr, QR_ZOOKEEPER_WORD_ruok));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
