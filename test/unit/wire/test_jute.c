/* Byte strings written by hand from the protocol's description, then round trips and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/jute.h"

static qr_arena arena;
static qr_buffer out;

#define BYTES(text)  qr_slice_of("" text, sizeof(text) - 1)
#define EXPECT(text) assert_true(qr_slice_equal(qr_buffer_slice(&out), BYTES(text)))

static int set_up(void **state)
{
    (void)state;
    qr_arena_init(&arena);
    qr_buffer_init(&out);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    qr_arena_free(&arena);
    qr_buffer_free(&out);
    return 0;
}

static qr_status decode(const qr_jute_record *record, qr_slice bytes, void *value)
{
    qr_reader reader = qr_reader_of(bytes);
    return qr_jute_decode(record, &reader, &arena, value);
}

/* Decodes, and demands the same bytes back. */
static void same(const qr_jute_record *record, qr_slice bytes, void *value)
{
    assert_int_equal(decode(record, bytes, value), QR_OK);
    qr_buffer_clear(&out);
    qr_jute_encode(record, value, &out);
    assert_true(qr_slice_equal(qr_buffer_slice(&out), bytes));
}

#define PASSWORD                                                                                             \
    "\0\0\0\x10"                                                                                             \
    "0123456789abcdef"
#define CONNECT                                                                                              \
    "\0\0\0\0"                                                                                               \
    "\0\0\0\0\0\0\0\x05"                                                                                     \
    "\0\0\x27\x10"                                                                                           \
    "\x01\0\0\0\0\0\0\x02" PASSWORD

static void connect_with_and_without_the_last_byte(void **state)
{
    (void)state;
    qr_jute_connect_request request;
    same(&qr_jute_record_connect_request, BYTES(CONNECT "\x01"), &request);
    assert_int_equal(out.size, 45);
    assert_int_equal(request.last_zxid_seen, 5);
    assert_int_equal(request.timeout, 10000);
    assert_int_equal(request.session_id, 0x0100000000000002);
    assert_int_equal(request.password.size, 16);
    assert_int_equal(request.read_only, 1);
    same(&qr_jute_record_connect_request, BYTES(CONNECT), &request);
    assert_int_equal(request.read_only, QR_JUTE_ABSENT);
    qr_jute_connect_reply reply;
    same(&qr_jute_record_connect_reply, BYTES("\0\0\0\0\0\0\x0f\xa0\0\0\0\0\0\0\0\x01" PASSWORD "\0"),
         &reply);
    assert_int_equal(out.size, 37);
    assert_int_equal(reply.timeout, 4000);
}

static void null_and_empty_differ(void **state)
{
    (void)state;
    qr_jute_create create;
    same(&qr_jute_record_create, BYTES("\0\0\0\x02/a\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x03"), &create);
    assert_null(create.data.data);
    assert_int_equal(create.acl.count, QR_JUTE_NULL);
    assert_int_equal(create.flags, 3);
    same(&qr_jute_record_create, BYTES("\0\0\0\x02/a\0\0\0\0\0\0\0\0\0\0\0\0"), &create);
    assert_non_null(create.data.data);
    assert_int_equal(create.acl.count, 0);
}

static void vectors(void **state)
{
    (void)state;
    qr_jute_create_ttl create;
    same(&qr_jute_record_create_ttl,
         BYTES("\0\0\0\x02/a\0\0\0\x01x\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06"
               "anyone"
               "\0\0\0\x05\0\0\0\0\0\0\x03\xe8"),
         &create);
    const qr_jute_acl *acl = create.acl.items;
    assert_int_equal(acl->perms, 31);
    assert_true(qr_slice_equal(acl->id, BYTES("anyone")));
    assert_int_equal(create.ttl, 1000);
    qr_buffer_clear(&out);
    qr_jute_print(&qr_jute_record_create_ttl, &create, &out);
    EXPECT("{path=\"/a\" data=\"x\" acl=[{perms=31 scheme=\"world\" id=\"anyone\"}] flags=5 ttl=1000}");
    qr_jute_set_watches2 watches;
    same(
        &qr_jute_record_set_watches2,
        BYTES("\0\0\0\0\0\0\0\x07\0\0\0\x02\0\0\0\x02/a\0\0\0\x02/b\0\0\0\0\xff\xff\xff\xff\0\0\0\x01\0\0\0\0"
              "\0\0\0\0"),
        &watches);
    assert_int_equal(watches.data.count, 2);
    assert_int_equal(watches.child.count, QR_JUTE_NULL);
}

static void a_stat_has_68_bytes(void **state)
{
    (void)state;
    const qr_jute_stat stat = {.czxid = 1, .cversion = -1, .pzxid = 0x0102030405060708};
    qr_jute_encode(&qr_jute_record_stat, &stat, &out);
    assert_int_equal(out.size, 68);
    assert_memory_equal(out.data + 60, "\1\2\3\4\5\6\7\x08", 8);
    assert_memory_equal(out.data + 36, "\xff\xff\xff\xff", 4);
    qr_jute_stat copy;
    same(&qr_jute_record_stat, qr_arena_copy(&arena, qr_buffer_slice(&out)), &copy);
}

static void refused(void **state)
{
    (void)state;
    qr_jute_create create;
    qr_jute_path path;
    qr_jute_watcher_event event;
    assert_int_equal(decode(&qr_jute_record_path, BYTES(""), &path), QR_E_INVALID);
    assert_int_equal(decode(&qr_jute_record_path, BYTES("\0\0\0\x03/a"), &path), QR_E_INVALID);
    assert_int_equal(decode(&qr_jute_record_path, BYTES("\xff\xff\xff\xfe"), &path), QR_E_INVALID);
    assert_int_equal(decode(&qr_jute_record_watcher_event, BYTES("\0\0\0\x01\0\0"), &event), QR_E_INVALID);
    /* More items than bytes: no memory is taken for them. */
    assert_int_equal(decode(&qr_jute_record_create, BYTES("\0\0\0\x02/a\0\0\0\0\x7f\xff\xff\xff"), &create),
                     QR_E_INVALID);
    assert_int_equal(decode(&qr_jute_record_create, BYTES("\0\0\0\x02/a\0\0\0\0\x80\0\0\0"), &create),
                     QR_E_INVALID);
    assert_int_equal(arena.total, 0);
}

/* No byte may be missing from any request or reply that a client can see, bar the byte that may. */
static void every_record_cut_short(void **state)
{
    (void)state;
    const uint8_t zeroes[256] = {0};
#define CUT(name, fields)                                                                                    \
    if (&qr_jute_record_##name != &qr_jute_record_connect_request &&                                         \
        &qr_jute_record_##name != &qr_jute_record_connect_reply) {                                           \
        qr_jute_##name value;                                                                                \
        qr_reader reader = qr_reader_of(qr_slice_of(zeroes, sizeof zeroes));                                 \
        assert_int_equal(qr_jute_decode(&qr_jute_record_##name, &reader, &arena, &value), QR_OK);            \
        size_t size = sizeof zeroes - qr_reader_left(&reader);                                               \
        assert_int_equal(decode(&qr_jute_record_##name, qr_slice_of(zeroes, size - 1), &value),              \
                         QR_E_INVALID);                                                                      \
    }
    QR_JUTE_RECORDS(CUT)
}

static void a_multi_and_its_answer(void **state)
{
    (void)state;
    const qr_jute_path_version check = {.path = BYTES("/a"), .version = 2};
    const qr_jute_number bad = {.number = -103};
    qr_jute_multi_item item;
    qr_jute_multi_add(&out, QR_JUTE_OP_CHECK, -1, qr_jute_request_of(QR_JUTE_OP_CHECK), &check);
    qr_jute_multi_end(&out);
    EXPECT("\0\0\0\x0d\0\xff\xff\xff\xff\0\0\0\x02/a\0\0\0\x02\xff\xff\xff\xff\x01\xff\xff\xff\xff");
    qr_reader reader = qr_reader_of(qr_buffer_slice(&out));
    assert_int_equal(qr_jute_multi_next(&reader, &arena, false, &item), QR_OK);
    assert_int_equal(((qr_jute_path_version *)item.value)->version, 2);
    assert_int_equal(qr_jute_multi_next(&reader, &arena, false, &item), QR_OK);
    assert_true(item.header.done);
    qr_buffer_clear(&out);
    qr_jute_multi_add(&out, QR_JUTE_OP_ERROR, -103, &qr_jute_record_number, &bad);
    EXPECT("\xff\xff\xff\xff\0\xff\xff\xff\x99\xff\xff\xff\x99");
    reader = qr_reader_of(qr_buffer_slice(&out));
    assert_int_equal(qr_jute_multi_next(&reader, &arena, false, &item), QR_E_UNSUPPORTED);
    reader = qr_reader_of(qr_buffer_slice(&out));
    assert_int_equal(qr_jute_multi_next(&reader, &arena, true, &item), QR_OK);
    assert_int_equal(((qr_jute_number *)item.value)->number, -103);
    assert_int_equal(qr_jute_multi_next(&reader, &arena, true, &item), QR_E_INVALID);
}

static void operations(void **state)
{
    (void)state;
    assert_ptr_equal(qr_jute_request_of(106), &qr_jute_record_path_type);
    assert_ptr_equal(qr_jute_reply_of(106), &qr_jute_record_number);
    assert_ptr_equal(qr_jute_reply_of(-11), &qr_jute_record_empty);
    assert_null(qr_jute_request_of(20)); /* between servers only */
    assert_null(qr_jute_request_of(500));
}

static void packets_in_pieces(void **state)
{
    (void)state;
    const size_t begin = qr_jute_packet_begin(&out);
    qr_buffer_add(&out, "hello", 5);
    qr_jute_packet_end(&out, begin);
    qr_buffer_add(&out,
                  "\0\0\0\0"
                  "ruok",
                  8); /* an empty packet, and a word that comes too late */
    EXPECT("\0\0\0\x05hello\0\0\0\0ruok");
    for (size_t piece = 1; piece <= out.size; piece++) {
        qr_jute_splitter splitter = {.head_size = 0};
        size_t sizes[2], packets = 0;
        qr_jute_split verdict = QR_JUTE_SPLIT_NOTHING;
        for (size_t at = 0; at < out.size; at += piece) {
            qr_slice packet,
                input = qr_slice_of(out.data + at, piece < out.size - at ? piece : out.size - at);
            while ((verdict = qr_jute_splitter_next(&splitter, &input, 5, &packet)) == QR_JUTE_SPLIT_PACKET)
                sizes[packets++] = packet.size;
        }
        assert_int_equal(packets, 2);
        assert_int_equal(sizes[0], 5);
        assert_int_equal(sizes[1], 0);
        assert_int_equal(verdict, QR_JUTE_SPLIT_INVALID);
        qr_jute_splitter_free(&splitter);
    }
}

static void words_and_bounds(void **state)
{
    (void)state;
    qr_slice packet, input = BYTES("ru");
    qr_jute_splitter word = {.head_size = 0}, large = word, negative = word;
    assert_int_equal(qr_jute_splitter_next(&word, &input, QR_JUTE_PACKET_MAX, &packet),
                     QR_JUTE_SPLIT_NOTHING);
    input = BYTES("ok");
    assert_int_equal(qr_jute_splitter_next(&word, &input, QR_JUTE_PACKET_MAX, &packet), QR_JUTE_SPLIT_WORD);
    assert_true(qr_slice_equal(packet, BYTES("ruok")));
    input = BYTES("\0\x10\0\0");
    assert_int_equal(qr_jute_splitter_next(&large, &input, QR_JUTE_PACKET_MAX, &packet),
                     QR_JUTE_SPLIT_INVALID);
    input = BYTES("\xff\xff\xff\xff");
    assert_int_equal(qr_jute_splitter_next(&negative, &input, QR_JUTE_PACKET_MAX, &packet),
                     QR_JUTE_SPLIT_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(connect_with_and_without_the_last_byte),
        TEST(null_and_empty_differ),
        TEST(vectors),
        TEST(a_stat_has_68_bytes),
        TEST(refused),
        TEST(every_record_cut_short),
        TEST(a_multi_and_its_answer),
        TEST(operations),
        TEST(packets_in_pieces),
        TEST(words_and_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
