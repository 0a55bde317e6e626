/* Which server each member is, and what a change of members may ask for. Errors are what a real ensemble was
 * seen to answer. */
#include "unit.h"

#include "door/zookeeper/ensemble.h"
#include "door/zookeeper/request.h"

static qr_arena arena;
static qr_zookeeper_ensemble three;

static int begin(void **state)
{
    qr_arena_init(&arena);
    three = (qr_zookeeper_ensemble){.version = 26};
    for (uint32_t number = 3; number >= 1; number--) {
        struct qr_zookeeper_seat *seat = qr_zookeeper_seat_add(&three, 0x50 + number, number);
        assert_null(qr_zookeeper_server_read("localhost:1:2;127.0.0.1:3", &arena, &seat->server));
        seat->server.id = number;
        seat->server.peer_port = (uint16_t)(2000 + number);
    }
    return 0;
}

static int end(void **state)
{
    qr_arena_free(&arena);
    return 0;
}

static void the_text_is_that_of_zookeeper(void **state)
{
    three.seats[1].server.client_port = 0;
    three.seats[2].server.client_host = "::1";
    three.seats[2].server.host = "fe80::1";
    qr_slice text = qr_zookeeper_ensemble_text(&three, &arena);
    assert_string_equal(qr_arena_text(&arena, text), "server.1=localhost:2001:2:participant;127.0.0.1:3\n"
                                                     "server.2=localhost:2002:2:participant\n"
                                                     "server.3=[fe80::1]:2003:2:participant;[::1]:3\n"
                                                     "version=1a");
}

static void a_record_is_read_as_it_was_written(void **state)
{
    qr_buffer record, again;
    qr_buffer_init(&record);
    qr_buffer_init(&again);
    three.seats[0].server.observer = true;
    qr_zookeeper_ensemble_encode(&three, &record);
    qr_zookeeper_ensemble *read = qr_arena_zero(&arena, 1, sizeof *read);
    assert_int_equal(qr_zookeeper_ensemble_decode(qr_buffer_slice(&record), &arena, read), QR_OK);
    qr_zookeeper_ensemble_encode(read, &again);
    assert_true(qr_slice_equal(qr_buffer_slice(&record), qr_buffer_slice(&again)));
    assert_int_equal(read->seats[0].member, 0x51);
    for (size_t size = 0; size < record.size; size++)
        assert_int_equal(qr_zookeeper_ensemble_decode(qr_slice_of(record.data, size), &arena, read),
                         QR_E_INVALID);
    record.data[0]++;
    assert_int_equal(qr_zookeeper_ensemble_decode(qr_buffer_slice(&record), &arena, read), QR_E_BAD_VERSION);
    assert_int_equal(read->count, 0);
    qr_buffer_free(&record);
    qr_buffer_free(&again);
}

static void a_number_that_is_taken_is_replaced(void **state)
{
    assert_int_equal(qr_zookeeper_seat_add(&three, 9, 2)->server.id, 4);
    qr_zookeeper_seat_remove(&three, qr_zookeeper_seat_numbered(&three, 2));
    assert_int_equal(qr_zookeeper_seat_add(&three, 10, 0)->server.id, 2);
    assert_null(qr_zookeeper_seat_of(&three, 0x52));
    while (three.count < QR_MEMBERS_MAX)
        assert_non_null(qr_zookeeper_seat_add(&three, 100 + three.count, 0));
    assert_null(qr_zookeeper_seat_add(&three, 11, 0));
}

static qr_slice text_or_null(const char *text)
{
    return text ? qr_slice_text(text) : qr_slice_of(NULL, 0);
}

static void wishes_that_cannot_be(void **state)
{
    static const struct {
        const char *joining, *leaving, *members;
        int32_t err;
    } rows[] = {
        {"rubbish", NULL, NULL, QR_ZOOKEEPER_BAD_ARGUMENTS},
        {"server.9=a:1", NULL, NULL, QR_ZOOKEEPER_BAD_ARGUMENTS},
        {"server.9=a:1:2", NULL, NULL, QR_ZOOKEEPER_BAD_ARGUMENTS}, /* no client port */
        {"server.9=a:1:2;3=4", NULL, NULL, QR_ZOOKEEPER_BAD_ARGUMENTS},
        {"server.9=a b:1:2;3", NULL, NULL, QR_ZOOKEEPER_BAD_ARGUMENTS},
        {"server.x=a:1:2;3", NULL, NULL, QR_ZOOKEEPER_MARSHALLING},
        {"server.9=localhost:2001:2;3", NULL, NULL, QR_ZOOKEEPER_BAD_ARGUMENTS}, /* server.1 is there */
        {NULL, "x", NULL, QR_ZOOKEEPER_MARSHALLING},
        {NULL, "2,3", NULL, QR_ZOOKEEPER_BAD_ARGUMENTS}, /* one would be left */
        {NULL, NULL, "server.1=a:1:2;3", QR_ZOOKEEPER_BAD_ARGUMENTS},
        {NULL, NULL, "server.1=a:1:2;3,server.2=b:1:2:observer;3", QR_ZOOKEEPER_BAD_ARGUMENTS},
        {NULL, NULL, "", QR_ZOOKEEPER_BAD_ARGUMENTS},
        {NULL, "3", "server.1=a:1:2;3,server.2=b:1:2;3", QR_ZOOKEEPER_BAD_ARGUMENTS},
    };
    qr_zookeeper_wishes wishes;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t err =
            qr_zookeeper_wishes_read(&three, text_or_null(rows[i].joining), text_or_null(rows[i].leaving),
                                     text_or_null(rows[i].members), &arena, &wishes);
        if (err != rows[i].err)
            fail_msg("row %zu: %d", i, err);
    }
}

static void wishes_that_can(void **state)
{
    qr_zookeeper_wishes wishes;
    qr_slice none = qr_slice_of(NULL, 0);
    assert_int_equal(qr_zookeeper_wishes_read(&three, none, none, none, &arena, &wishes), 0);
    assert_int_equal(wishes.joining_count + wishes.leaving_count, 0);
    assert_int_equal(qr_zookeeper_wishes_read(&three, qr_slice_text("server.4=a:1:2;3, server.5=b:1:2;3"),
                                              qr_slice_text("1,77,,1"), none, &arena, &wishes),
                     0);
    assert_int_equal(wishes.joining_count, 2);
    assert_int_equal(wishes.joining[1].id, 5);
    assert_int_equal(wishes.leaving_count, 1);
    assert_int_equal(wishes.leaving[0], 1);
    /* Who leaves and joins moves; a whole list says who leaves. */
    assert_int_equal(qr_zookeeper_wishes_read(&three, qr_slice_text("server.2=c:1:2;3"), qr_slice_text("2"),
                                              none, &arena, &wishes),
                     0);
    assert_int_equal(wishes.leaving_count, 0);
    assert_int_equal(qr_zookeeper_wishes_read(&three, none, none,
                                              qr_slice_text("server.3=localhost:2003:2;3\nserver.7=d:1:2;3"),
                                              &arena, &wishes),
                     0);
    assert_int_equal(wishes.leaving_count, 2);
    assert_false(wishes.too_much);
    assert_int_equal(qr_zookeeper_wishes_read(&three, qr_slice_text("server.999=a:1:2:observer;3"), none,
                                              none, &arena, &wishes),
                     0);
    assert_true(wishes.too_much && wishes.joining[0].observer);
    assert_int_equal(qr_zookeeper_wishes_read(&three, none, none,
                                              qr_slice_text("server.3=localhost:2003:2;3\nserver.7=d:1:2;3"),
                                              &arena, &wishes),
                     0);
    assert_int_equal(wishes.joining_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_text_is_that_of_zookeeper, begin, end),
        cmocka_unit_test_setup_teardown(a_record_is_read_as_it_was_written, begin, end),
        cmocka_unit_test_setup_teardown(a_number_that_is_taken_is_replaced, begin, end),
        cmocka_unit_test_setup_teardown(wishes_that_cannot_be, begin, end),
        cmocka_unit_test_setup_teardown(wishes_that_can, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
