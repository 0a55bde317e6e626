/* The header of commands and the table of origins: what makes a command apply once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/command.h"

static qr_command sample(void)
{
    return (qr_command){
        .apply_version = QR_APPLY_VERSION,
        .origin = {.replica = 11, .incarnation = 22, .sequence = 33},
        .stamp_ms = -5,
        .principal = qr_slice_text("alice"),
        .auth_revision = 300,
        .auth_term = 7,
        .body = qr_slice_text("body"),
    };
}

static void a_command_comes_back_as_it_was(void **state)
{
    qr_command in = sample(), out;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_command_encode(&in, &bytes);
    assert_int_equal(qr_command_decode(qr_buffer_slice(&bytes), &out), QR_OK);
    assert_int_equal(out.apply_version, in.apply_version);
    assert_memory_equal(&out.origin, &in.origin, sizeof in.origin);
    assert_int_equal(out.stamp_ms, in.stamp_ms);
    assert_true(qr_slice_equal(out.principal, in.principal));
    assert_int_equal(out.auth_revision, in.auth_revision);
    assert_int_equal(out.auth_term, in.auth_term);
    assert_true(qr_slice_equal(out.body, in.body));

    qr_command_renumber(bytes.data, 44);
    assert_int_equal(qr_command_decode(qr_buffer_slice(&bytes), &out), QR_OK);
    assert_int_equal(out.origin.sequence, 44);
    assert_true(qr_slice_equal(out.body, in.body));
    qr_buffer_free(&bytes);
}

static void no_prefix_of_a_header_is_taken_for_a_command(void **state)
{
    qr_command in = sample(), out;
    in.body = qr_slice_of(NULL, 0);
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_command_encode(&in, &bytes);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_not_equal(qr_command_decode(qr_slice_of(bytes.data, size), &out), QR_OK);
    qr_buffer_free(&bytes);
}

static void newer_rules_are_refused_not_guessed(void **state)
{
    qr_command in = sample(), out;
    in.apply_version = QR_APPLY_VERSION + 1;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_command_encode(&in, &bytes);
    assert_int_equal(qr_command_decode(qr_buffer_slice(&bytes), &out), QR_E_BAD_VERSION);
    in.apply_version = QR_APPLY_VERSION;
    qr_buffer_clear(&bytes);
    qr_command_encode(&in, &bytes);
    bytes.data[0]++;
    assert_int_equal(qr_command_decode(qr_buffer_slice(&bytes), &out), QR_E_BAD_VERSION);
    qr_buffer_free(&bytes);
}

static qr_origin origin(uint64_t replica, uint64_t incarnation, uint64_t sequence)
{
    return (qr_origin){.replica = replica, .incarnation = incarnation, .sequence = sequence};
}

static void each_command_is_admitted_once_and_none_after_a_later_one(void **state)
{
    static qr_origins origins;
    origins = (qr_origins){0};
    assert_true(qr_origins_admit(&origins, origin(1, 1, 1), 10));
    assert_false(qr_origins_admit(&origins, origin(1, 1, 1), 11));
    assert_true(qr_origins_admit(&origins, origin(1, 1, 5), 12));
    assert_false(qr_origins_admit(&origins, origin(1, 1, 3), 13));
    assert_true(qr_origins_admit(&origins, origin(2, 1, 3), 14));
    assert_int_equal(qr_origins_last(&origins, 1, 1), 5);
    assert_int_equal(qr_origins_last(&origins, 1, 2), 0);
}

static void a_replaced_disk_starts_anew_and_the_old_one_is_silenced(void **state)
{
    static qr_origins origins;
    origins = (qr_origins){0};
    assert_true(qr_origins_admit(&origins, origin(1, 5, 9), 1));
    assert_true(qr_origins_admit(&origins, origin(1, 6, 1), 2));
    assert_false(qr_origins_admit(&origins, origin(1, 5, 10), 3));
}

static void the_table_is_bounded_and_survives_encoding(void **state)
{
    static qr_origins origins, back;
    origins = (qr_origins){0};
    for (uint64_t i = 1; i <= QR_ORIGINS_MAX + 10; i++)
        assert_true(qr_origins_admit(&origins, origin(i, 1, 1), i));
    assert_int_equal(origins.count, QR_ORIGINS_MAX);
    assert_int_equal(qr_origins_last(&origins, 1, 1), 0); /* the longest silent one made room */
    assert_int_equal(qr_origins_last(&origins, QR_ORIGINS_MAX + 10, 1), 1);
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_origins_encode(&origins, &bytes);
    qr_reader reader = qr_reader_of(qr_buffer_slice(&bytes));
    assert_int_equal(qr_origins_decode(&reader, &back), QR_OK);
    assert_int_equal(back.digest, origins.digest);
    assert_memory_equal(&back, &origins, sizeof origins);
    qr_store_u32(bytes.data, QR_ORIGINS_MAX + 1);
    reader = qr_reader_of(qr_buffer_slice(&bytes));
    assert_int_equal(qr_origins_decode(&reader, &back), QR_E_INVALID);
    qr_buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_comes_back_as_it_was),
        cmocka_unit_test(no_prefix_of_a_header_is_taken_for_a_command),
        cmocka_unit_test(newer_rules_are_refused_not_guessed),
        cmocka_unit_test(each_command_is_admitted_once_and_none_after_a_later_one),
        cmocka_unit_test(a_replaced_disk_starts_anew_and_the_old_one_is_silenced),
        cmocka_unit_test(the_table_is_bounded_and_survives_encoding),
    };
    return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
