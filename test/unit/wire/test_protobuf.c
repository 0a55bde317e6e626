/* Unpacking: what is refused before protobuf-c sees it, and how much memory a message can take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sample.pb-c.h"
#include "wire/protobuf.h"

static Sample__Tree *unpack(const qr_buffer *bytes, qr_arena *arena)
{
    return (Sample__Tree *)qr_protobuf_unpack(&sample__tree__descriptor, qr_buffer_slice(bytes), arena);
}

static bool accepted(const void *data, size_t size)
{
    /* A copy of exactly this size, so that a sanitizer sees a step beyond it. */
    uint8_t *copy = qr_alloc(size ? size : 1);
    memcpy(copy, data, size);
    qr_arena arena;
    qr_arena_init(&arena);
    bool result = qr_protobuf_unpack(&sample__tree__descriptor, qr_slice_of(copy, size), &arena) != NULL;
    qr_arena_free(&arena);
    qr_free(copy);
    return result;
}

static void there_and_back(void **state)
{
    Sample__Tree tree = SAMPLE__TREE__INIT;
    Sample__Tree child = SAMPLE__TREE__INIT;
    Sample__Pair pair = SAMPLE__PAIR__INIT;
    Sample__Tree *children[] = {&child, &child};
    int64_t numbers[] = {1, -1, INT64_MAX, INT64_MIN};
    uint32_t words[] = {7, UINT32_MAX};
    char name[] = "root", broken[] = "\xff\xfe no utf-8", *texts[] = {name, broken};
    uint8_t zero[] = {0, 1, 0};
    pair.key.data = zero;
    pair.key.len = sizeof zero;
    child.choice_case = SAMPLE__TREE__CHOICE_PAIR;
    child.pair = &pair;
    tree.name = name;
    tree.child = &child;
    tree.children = children;
    tree.n_children = 2;
    tree.numbers = numbers;
    tree.n_numbers = 4;
    tree.words = words;
    tree.n_words = 2;
    tree.texts = texts;
    tree.n_texts = 2;
    tree.choice_case = SAMPLE__TREE__CHOICE_NUMBER;
    tree.number = -5;
    tree.flag = 1;
    tree.ratio = 0.5;

    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_buffer_add(&bytes, "before", 6);
    qr_protobuf_pack(&tree.base, &bytes);
    assert_memory_equal(bytes.data, "before", 6);
    qr_buffer_drop(&bytes, 6);
    assert_int_equal(bytes.size, protobuf_c_message_get_packed_size(&tree.base));

    qr_arena arena;
    qr_arena_init(&arena);
    Sample__Tree *got = unpack(&bytes, &arena);
    assert_non_null(got);
    assert_string_equal(got->name, "root");
    assert_string_equal(got->texts[1], broken);
    assert_int_equal(got->n_children, 2);
    assert_memory_equal(got->children[1]->pair->key.data, zero, 3);
    assert_int_equal(got->n_numbers, 4);
    assert_true(got->numbers[3] == INT64_MIN);
    assert_int_equal(got->words[1], UINT32_MAX);
    assert_true(got->number == -5 && got->flag && got->ratio == 0.5);
    qr_buffer again;
    qr_buffer_init(&again);
    qr_protobuf_pack(&got->base, &again);
    assert_true(qr_slice_equal(qr_buffer_slice(&bytes), qr_buffer_slice(&again)));

    /* Every cut is either refused or, between two fields, a smaller message; never a step outside. */
    for (size_t size = 0; size < bytes.size; size++)
        accepted(bytes.data, size);
    for (size_t i = 0; i < bytes.size * 8; i++) {
        bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
        accepted(bytes.data, bytes.size);
        bytes.data[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    qr_buffer_free(&again);
    qr_buffer_free(&bytes);
    qr_arena_free(&arena);
}

static void malformed_input(void **state)
{
#define ACCEPTED(bytes) accepted(bytes, sizeof(bytes) - 1)
    assert_true(ACCEPTED(""));
    assert_true(ACCEPTED("\x0a\x01x"));
    assert_false(ACCEPTED("\x0a\x02x"));                             /* length beyond the end */
    assert_false(ACCEPTED("\x0a\xff\xff\xff\xff\x0f"));              /* far beyond the end */
    assert_false(ACCEPTED("\x0a\x81\x80\x80\x80\x80\x00x"));         /* a length of six bytes */
    assert_false(ACCEPTED("\x0a"));                                  /* no length */
    assert_false(ACCEPTED("\x02\x00"));                              /* field 0 */
    assert_false(ACCEPTED("\x08\x01"));                              /* a number where a text belongs */
    assert_false(ACCEPTED("\x5a\x01x"));                             /* a text where a bool belongs */
    assert_true(ACCEPTED("\x2a\x02\x01\x02"));                       /* packed numbers */
    assert_true(ACCEPTED("\x28\x01\x28\x02"));                       /* the same, one by one */
    assert_false(ACCEPTED("\x2a\x02\x01\x82"));                      /* packed, torn */
    assert_true(ACCEPTED("\x32\x04\x01\x02\x03\x04"));               /* packed against the descriptor */
    assert_false(ACCEPTED("\x32\x03\x01\x02\x03"));                  /* no whole number of words */
    assert_false(ACCEPTED("\x5b\x5c"));                              /* a group */
    assert_false(ACCEPTED("\x5e\x00"));                              /* wire type 6 */
    assert_false(ACCEPTED("\x12\x03\x0a\x02x"));                     /* longer than the message around it */
    assert_true(ACCEPTED("\xa0\x06\x01\xa2\x06\x02xy\xa5\x06wxyz")); /* unknown fields */
    assert_false(ACCEPTED("\xa0\x06\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80")); /* an endless varint */
    assert_false(ACCEPTED("\xa1\x06\x01\x02\x03"));                             /* 64 bits, cut */
    assert_false(ACCEPTED("\xff\xff\xff\xff\x1f\x01")); /* a field number above 2^29 */
#undef ACCEPTED
}

/* depth messages, one in the other, by way of a field. */
static void nest(qr_buffer *out, unsigned depth, unsigned field)
{
    qr_buffer inner;
    qr_buffer_init(&inner);
    qr_buffer_clear(out);
    for (unsigned i = 1; i < depth; i++) {
        qr_buffer_clear(&inner);
        qr_buffer_varint(&inner, field << 3 | 2);
        qr_buffer_bytes(&inner, qr_buffer_slice(out));
        qr_buffer_clear(out);
        qr_buffer_add_slice(out, qr_buffer_slice(&inner));
    }
    qr_buffer_free(&inner);
}

static void depth(void **state)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    const unsigned fields[] = {2, 3, 9};
    for (size_t i = 0; i < 3; i++) {
        nest(&bytes, QR_PROTOBUF_DEPTH_MAX, fields[i]);
        assert_true(accepted(bytes.data, bytes.size));
        nest(&bytes, QR_PROTOBUF_DEPTH_MAX + 1, fields[i]);
        assert_false(accepted(bytes.data, bytes.size));
        nest(&bytes, 2000, fields[i]);
        assert_false(accepted(bytes.data, bytes.size));
    }
    /* What no descriptor knows is not descended into. */
    nest(&bytes, 2000, 77);
    assert_true(accepted(bytes.data, bytes.size));
    qr_buffer_free(&bytes);
}

static void repeat(qr_buffer *out, const char *piece, size_t size, size_t times)
{
    qr_buffer_clear(out);
    for (size_t i = 0; i < times; i++)
        qr_buffer_add(out, piece, size);
}

static void number_of_fields(void **state)
{
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    repeat(&bytes, "\x58\x01", 2, QR_PROTOBUF_FIELDS_MAX);
    assert_true(accepted(bytes.data, bytes.size));
    qr_buffer_add(&bytes, "\x58\x01", 2);
    assert_false(accepted(bytes.data, bytes.size));
    /* Over all levels: each child has one field of its own. */
    repeat(&bytes, "\x1a\x02\x58\x01", 4, QR_PROTOBUF_FIELDS_MAX / 2);
    assert_true(accepted(bytes.data, bytes.size));
    qr_buffer_add(&bytes, "\x58\x01", 2);
    assert_false(accepted(bytes.data, bytes.size));
    qr_buffer_free(&bytes);
}

/* The arena's use per byte of input, for the pieces that grow most, stays below the published constant; the
 * ones that would grow with the square of the input are refused. */
static void memory(void **state)
{
    const struct {
        const char *name;
        const char *piece;
        size_t size;
        bool merges;
    } cases[] = {
        {"empty messages", "\x22\x00", 2, false},
        {"empty trees", "\x1a\x00", 2, false},
        {"empty texts", "\x3a\x00", 2, false},
        {"unknown numbers", "\x68\x01", 2, false},
        {"unknown bytes", "\x6a\x01x", 3, false},
        {"packed numbers",
         "\x2a\x7e"
         "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
         "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
         "\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1",
         128, false},
        {"a choice made anew", "\x42\x00", 2, false},
        {"texts in texts", "\x0a\x01x", 3, false},
        {"merged numbers", "\x62\x02\x08\x01", 4, true},
        {"merged empties", "\x62\x02\x12\x00", 4, true},
        {"a larger choice made anew", "\x4a\x02\x28\x01", 4, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t times = 100; times <= 100000; times *= 10) {
            qr_buffer bytes;
            qr_arena arena;
            qr_buffer_init(&bytes);
            qr_arena_init(&arena);
            repeat(&bytes, cases[i].piece, cases[i].size, times);
            bool good = unpack(&bytes, &arena) != NULL;
            if (times >= 10000 && (!cases[i].merges) != good)
                fail_msg("%s: %s", cases[i].name, good ? "accepted" : "refused");
            if (arena.total > QR_PROTOBUF_GROWTH * bytes.size + QR_PROTOBUF_BASE)
                fail_msg("%s: %zu bytes for %zu", cases[i].name, arena.total, bytes.size);
            if (times == 100000)
                print_message("%-26s %6.1f bytes per byte%s\n", cases[i].name,
                              (double)arena.total / (double)bytes.size, good ? "" : ", refused");
            qr_arena_free(&arena);
            qr_buffer_free(&bytes);
        }
    }
}

/* A few occurrences of a field that is not repeated are merged, as the encoding demands. */
static void merging(void **state)
{
    qr_buffer bytes;
    qr_arena arena;
    qr_buffer_init(&bytes);
    qr_arena_init(&arena);
    qr_buffer_add(&bytes, "\x62\x05\x1a\x01x\x08\x01", 7);
    qr_buffer_add(&bytes, "\x62\x02\x08\x02", 4);
    Sample__Tree *tree = unpack(&bytes, &arena);
    assert_non_null(tree);
    assert_string_equal(tree->bag->name, "x");
    assert_int_equal(tree->bag->n_numbers, 2);
    qr_arena_free(&arena);
    qr_buffer_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),   cmocka_unit_test(malformed_input), cmocka_unit_test(depth),
        cmocka_unit_test(number_of_fields), cmocka_unit_test(memory),          cmocka_unit_test(merging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
