/* base: slices, buffers and readers, arenas, prng, hash, statuses, slabs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

/* ------------------------------------------------------------- slices ---- */

static void test_slice(void **state)
{
    (void)state;
    qr_slice empty = qr_slice_of(NULL, 0), a = qr_slice_text("a"), ab = qr_slice_text("ab"),
             b = qr_slice_text("b");
    assert_true(qr_slice_equal(empty, qr_slice_text("")));
    assert_true(qr_slice_equal(ab, qr_slice_text("ab")));
    assert_false(qr_slice_equal(a, b));
    assert_false(qr_slice_equal(a, ab));
    assert_int_equal(qr_slice_compare(empty, empty), 0);
    assert_true(qr_slice_compare(empty, a) < 0);
    assert_true(qr_slice_compare(a, ab) < 0);
    assert_true(qr_slice_compare(ab, b) < 0);
    assert_true(qr_slice_compare(b, ab) > 0);
    assert_true(qr_slice_compare(qr_slice_of("\xff", 1), qr_slice_of("\x01", 1)) >
                0); /* bytes are unsigned */
    assert_true(qr_slice_compare(qr_slice_of("a\0", 2), a) > 0);
    assert_true(qr_slice_starts(ab, a) && qr_slice_starts(ab, empty) && qr_slice_starts(ab, ab));
    assert_false(qr_slice_starts(a, ab) || qr_slice_starts(ab, b));
}

/* ------------------------------------------------------------ buffers ---- */

static void test_numbers_are_little_endian(void **state)
{
    (void)state;
    qr_buffer buffer;
    qr_buffer_init(&buffer);
    qr_buffer_u8(&buffer, 0x01);
    qr_buffer_u16(&buffer, 0x0302);
    qr_buffer_u32(&buffer, 0x07060504);
    qr_buffer_u64(&buffer, 0x0f0e0d0c0b0a0908);
    assert_int_equal(buffer.size, 15);
    for (size_t i = 0; i < 15; i++)
        assert_int_equal(buffer.data[i], i + 1);
    qr_reader reader = qr_reader_of(qr_buffer_slice(&buffer));
    assert_int_equal(qr_reader_u8(&reader), 0x01);
    assert_int_equal(qr_reader_u16(&reader), 0x0302);
    assert_int_equal(qr_reader_u32(&reader), 0x07060504);
    assert_int_equal(qr_reader_u64(&reader), 0x0f0e0d0c0b0a0908);
    assert_int_equal(qr_reader_left(&reader), 0);
    assert_false(reader.failed);
    qr_store_u32(buffer.data, 0xfedcba98);
    assert_int_equal(qr_load_u32(buffer.data), 0xfedcba98);
    assert_int_equal(buffer.data[0], 0x98);
    qr_store_u64(buffer.data + 1, UINT64_MAX - 1);
    assert_int_equal(qr_load_u64(buffer.data + 1), UINT64_MAX - 1);
    qr_buffer_free(&buffer);
}

static void test_varint_edges(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        size_t size;
    } rows[] = {{0, 1},
                {1, 1},
                {127, 1},
                {128, 2},
                {16383, 2},
                {16384, 3},
                {UINT32_MAX, 5},
                {1ull << 35, 6},
                {1ull << 56, 9},
                {(1ull << 56) - 1, 8},
                {(1ull << 63) - 1, 9},
                {1ull << 63, 10},
                {UINT64_MAX, 10}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qr_buffer buffer = {0};
        qr_buffer_varint(&buffer, rows[i].value);
        assert_int_equal(buffer.size, rows[i].size);
        qr_reader reader = qr_reader_of(qr_buffer_slice(&buffer));
        assert_int_equal(qr_reader_varint(&reader), rows[i].value);
        assert_false(reader.failed);
        assert_int_equal(qr_reader_left(&reader), 0);
        for (size_t cut = 0; cut < buffer.size; cut++) { /* every shorter piece fails */
            reader = qr_reader_of(qr_slice_of(buffer.data, cut));
            assert_int_equal(qr_reader_varint(&reader), 0);
            assert_true(reader.failed);
        }
        qr_buffer_free(&buffer);
    }
}

static void expect_bad_varint(const char *bytes, size_t size)
{
    qr_reader reader = qr_reader_of(qr_slice_of(bytes, size));
    assert_int_equal(qr_reader_varint(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(qr_reader_u8(&reader), 0); /* and stays failed */
    assert_true(reader.failed);
}

static void test_varint_too_large(void **state)
{
    (void)state;
    expect_bad_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x00", 11);     /* 65 bits */
    expect_bad_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00\x00", 12); /* eleven bytes */
    expect_bad_varint("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x81\x00\x00", 12);
    qr_reader reader =
        qr_reader_of(qr_slice_of("\x80\x80\x00", 3)); /* longer than needed is fine: protobuf allows it */
    assert_int_equal(qr_reader_varint(&reader), 0);
    assert_false(reader.failed);
}

static void test_reader_never_passes_the_end(void **state)
{
    (void)state;
    uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (size_t size = 0; size <= 8; size++) {
        qr_reader reader = qr_reader_of(qr_slice_of(bytes, size));
        uint64_t value = qr_reader_u64(&reader);
        assert_int_equal(reader.failed, size < 8);
        assert_int_equal(value, size < 8 ? 0 : 0x0807060504030201);
        reader = qr_reader_of(qr_slice_of(bytes, size));
        assert_int_equal(qr_reader_u32(&reader), size < 4 ? 0 : 0x04030201);
        assert_int_equal(reader.failed, size < 4);
        reader = qr_reader_of(qr_slice_of(bytes, size));
        assert_int_equal(qr_reader_u16(&reader), size < 2 ? 0 : 0x0201);
        assert_int_equal(reader.failed, size < 2);
    }
    qr_reader reader = qr_reader_of(qr_slice_of(NULL, 0));
    assert_int_equal(qr_reader_left(&reader), 0);
    assert_int_equal(qr_reader_take(&reader, 0).size, 0);
    assert_false(reader.failed);
    assert_int_equal(qr_reader_u8(&reader), 0);
    assert_true(reader.failed);
    reader = qr_reader_of(qr_slice_of(bytes, 8));
    assert_int_equal(qr_reader_take(&reader, SIZE_MAX).size, 0); /* no wrap-around */
    assert_true(reader.failed);
    assert_int_equal(qr_reader_take(&reader, 1).size, 0);
}

static void test_bytes(void **state)
{
    (void)state;
    qr_buffer buffer = {0};
    qr_buffer_bytes(&buffer, qr_slice_text("hello"));
    qr_buffer_bytes(&buffer, qr_slice_of(NULL, 0));
    qr_reader reader = qr_reader_of(qr_buffer_slice(&buffer));
    assert_true(qr_slice_equal(qr_reader_bytes(&reader), qr_slice_text("hello")));
    assert_int_equal(qr_reader_bytes(&reader).size, 0);
    assert_false(reader.failed);
    reader = qr_reader_of(qr_slice_of("\x05hell", 5)); /* says five, has four */
    assert_int_equal(qr_reader_bytes(&reader).size, 0);
    assert_true(reader.failed);
    reader = qr_reader_of(qr_slice_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 11)); /* says 2^64 - 1 */
    assert_int_equal(qr_reader_bytes(&reader).size, 0);
    assert_true(reader.failed);
    qr_buffer_free(&buffer);
}

static void test_buffer_growth(void **state)
{
    (void)state;
    qr_buffer buffer = {0};
    for (uint32_t i = 0; i < 100000; i++)
        qr_buffer_u32(&buffer, i);
    assert_int_equal(buffer.size, 400000);
    for (uint32_t i = 0; i < 100000; i += 777)
        assert_int_equal(qr_load_u32(buffer.data + 4 * i), i);
    qr_buffer_drop(&buffer, 4 * 99999);
    assert_int_equal(buffer.size, 4);
    assert_int_equal(qr_load_u32(buffer.data), 99999);
    qr_buffer_drop(&buffer, 4);
    assert_int_equal(buffer.size, 0);
    assert_true(buffer.room >= 400000);
    qr_buffer_shrink(&buffer, 1 << 20);
    assert_true(buffer.room >= 400000);
    qr_buffer_shrink(&buffer, 1000);
    assert_int_equal(buffer.room, 0);
    qr_buffer_add(&buffer, NULL, 0);
    qr_buffer_format(&buffer, "%s-%d", "x", 42);
    qr_buffer_format(&buffer, "%s", "");
    assert_true(qr_slice_equal(qr_buffer_slice(&buffer), qr_slice_text("x-42")));
    size_t size = buffer.size;
    assert_non_null(qr_buffer_reserve(&buffer, 100000));
    assert_int_equal(buffer.size, size);
    qr_buffer_format(&buffer, "%0300d", 7);
    assert_int_equal(buffer.size, size + 300);
    qr_buffer_free(&buffer);
    assert_null(buffer.data);
}

/* -------------------------------------------------------------- arena ---- */

static void test_arena(void **state)
{
    (void)state;
    qr_arena arena;
    qr_arena_init(&arena);
    qr_prng prng;
    qr_prng_seed(&prng, 5);
    enum { COUNT = 500 };
    uint8_t *pieces[COUNT];
    size_t sizes[COUNT];
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            sizes[i] = (size_t)qr_prng_below(&prng, i % 50 == 0 ? 20000 : 200);
            pieces[i] = qr_arena_alloc(&arena, sizes[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)(i & 0xff), sizes[i]);
        }
        for (size_t i = 0; i < COUNT; i++)
            for (size_t at = 0; at < sizes[i]; at++)
                assert_int_equal(pieces[i][at], i & 0xff);
        assert_true(arena.total > 0);
        qr_arena_reset(&arena);
        assert_int_equal(arena.total, 0);
    }
    uint64_t *zeros = qr_arena_zero(&arena, 100, sizeof *zeros);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
    qr_slice copy = qr_arena_copy(&arena, qr_slice_text("copy"));
    assert_true(qr_slice_equal(copy, qr_slice_text("copy")));
    assert_int_equal(qr_arena_copy(&arena, qr_slice_of(NULL, 0)).size, 0);
    assert_string_equal(qr_arena_text(&arena, qr_slice_of("textual", 4)), "text");
    assert_string_equal(qr_arena_text(&arena, qr_slice_of(NULL, 0)), "");
    assert_string_equal(qr_arena_format(&arena, "%s %05d", "n", 17), "n 00017");
    assert_int_equal(strlen(qr_arena_format(&arena, "%05000d", 1)), 5000);
    qr_arena_free(&arena);
    assert_null(arena.chunks);
    qr_arena_reset(&arena); /* an empty one is fine */
    qr_arena_free(&arena);
}

/* A large first request leaves nothing of it behind; a steady stream of small ones keeps its one chunk. */
static void test_arena_reset_keeps_one_chunk(void **state)
{
    (void)state;
    qr_arena arena;
    qr_arena_init(&arena);
    void *first = qr_arena_alloc(&arena, 100);
    qr_arena_reset(&arena);
    assert_ptr_equal(qr_arena_alloc(&arena, 100), first);
    qr_arena_alloc(&arena, 100000);
    qr_arena_reset(&arena);
    assert_ptr_equal(qr_arena_alloc(&arena, 100), first);
    qr_arena_free(&arena);
    qr_arena_alloc(&arena, 100000);
    qr_arena_reset(&arena);
    assert_null(arena.chunks);
    qr_arena_free(&arena);
}

/* --------------------------------------------------------------- prng ---- */

static void test_prng(void **state)
{
    (void)state;
    /* From Vigna's reference code: splitmix64 of seed 0 begins e220a839 7b1dcdaf, 6e789e6a a1b965f4, 06c45d18
     * 8009454f, f88bb8a8 724c81ec; xoshiro256** over that state begins with rotl(s1 * 5, 7) * 9. */
    qr_prng prng;
    qr_prng_seed(&prng, 0);
    assert_int_equal(prng.state[0], 0xe220a8397b1dcdafull);
    assert_int_equal(prng.state[1], 0x6e789e6aa1b965f4ull);
    assert_int_equal(prng.state[2], 0x06c45d188009454full);
    assert_int_equal(prng.state[3], 0xf88bb8a8724c81ecull);
    uint64_t x = 0x6e789e6aa1b965f4ull * 5;
    assert_int_equal(qr_prng_next(&prng), ((x << 7) | (x >> 57)) * 9);
    qr_prng_seed(&prng, 42);
    qr_prng twin = prng;
    for (int i = 0; i < 1000; i++) {
        uint64_t bound = 1 + (uint64_t)i * 37;
        uint64_t value = qr_prng_below(&prng, bound);
        assert_true(value < bound);
        assert_int_equal(qr_prng_below(&twin, bound), value);
        value = qr_prng_between(&prng, 10, 12);
        assert_true(value >= 10 && value <= 12);
        qr_prng_between(&twin, 10, 12);
    }
    qr_prng_between(&prng, 0, UINT64_MAX); /* the width wraps to 0 */
    assert_int_equal(qr_prng_between(&prng, 9, 9), 9);
    uint32_t hits = 0;
    for (int i = 0; i < 100000; i++)
        hits += qr_prng_chance(&prng, 250000);
    assert_in_range(hits, 24000, 26000);
    for (int i = 0; i < 1000; i++) {
        assert_false(qr_prng_chance(&prng, 0));
        assert_true(qr_prng_chance(&prng, 1000000));
    }
}

/* --------------------------------------------------------------- hash ---- */

static void test_hash(void **state)
{
    (void)state;
    /* XXH3_64bits of the empty input, seed 0: published in xxHash's own specification and tests. */
    assert_int_equal(qr_hash(qr_slice_of(NULL, 0), 0), 0x2d06800538d394c2ull);
    assert_true(qr_hash(qr_slice_text("a"), 0) != qr_hash(qr_slice_text("b"), 0));
    assert_true(qr_hash(qr_slice_text("a"), 0) != qr_hash(qr_slice_text("a"), 1));
    uint8_t bytes[1000] = {0};
    uint64_t clean = qr_hash(qr_slice_of(bytes, sizeof bytes), 3);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) { /* each single bit counts */
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(qr_hash(qr_slice_of(bytes, sizeof bytes), 3) != clean);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(qr_hash_mix(0, 0) != 0);
    assert_true(qr_hash_mix(qr_hash_mix(0, 1), 2) != qr_hash_mix(qr_hash_mix(0, 2), 1));
    assert_true(qr_hash_mix(qr_hash_mix(0, 0), 0) != qr_hash_mix(0, 0));
}

/* ------------------------------------------------------------ the rest ---- */

static void test_status(void **state)
{
    (void)state;
    for (unsigned i = 0; i < QR_STATUS_COUNT; i++) {
        assert_true(strlen(qr_status_name((qr_status)i)) > 0);
        assert_true(strlen(qr_status_sentence((qr_status)i)) > 0);
    }
    assert_string_equal(qr_status_name(QR_OK), "OK");
    assert_string_equal(qr_status_name(QR_E_CORRUPT), "CORRUPT");
    assert_string_equal(qr_status_name((qr_status)QR_STATUS_COUNT), "UNKNOWN");
    assert_string_equal(qr_status_sentence((qr_status)9999), "unknown status");
}

static void test_memory(void **state)
{
    (void)state;
    char *text = qr_strdup("text");
    assert_string_equal(text, "text");
    text = qr_realloc(text, 1000);
    assert_string_equal(text, "text");
    qr_free(text);
    qr_free(NULL);
    void *nothing = qr_alloc(0), *zero = qr_alloc_zero(0, 8);
    assert_non_null(nothing);
    assert_non_null(zero);
    qr_free(nothing);
    qr_free(zero);
}

/* Objects of many sizes come and go in any order; none may touch another, and nothing may be left. */
static void test_slab(void **state)
{
    (void)state;
    enum { OBJECTS = 20000, ROUNDS = 5 };
    qr_slab slab = {0};
    qr_prng prng;
    qr_prng_seed(&prng, 11);
    uint8_t **objects = qr_alloc_zero(OBJECTS, sizeof *objects);
    size_t *sizes = qr_alloc_zero(OBJECTS, sizeof *sizes);
    for (int round = 0; round < ROUNDS * OBJECTS; round++) {
        size_t i = (size_t)qr_prng_below(&prng, OBJECTS);
        if (objects[i]) {
            for (size_t k = 0; k < sizes[i]; k++)
                assert_int_equal(objects[i][k], (uint8_t)(i + sizes[i]));
            qr_slab_free(&slab, objects[i], sizes[i]);
            objects[i] = NULL;
            continue;
        }
        sizes[i] = (size_t)qr_prng_below(&prng, QR_SLAB_MAX + 20);
        objects[i] = qr_slab_alloc(&slab, sizes[i]);
        assert_int_equal((uintptr_t)objects[i] % QR_SLAB_STEP, 0);
        memset(objects[i], (int)(uint8_t)(i + sizes[i]), sizes[i]);
    }
    assert_true(slab.bytes > 0);
    for (size_t i = 0; i < OBJECTS; i++)
        if (objects[i])
            qr_slab_free(&slab, objects[i], sizes[i]);
    assert_int_equal(slab.bytes, 0);
    qr_slab_end(&slab);
    qr_free(objects);
    qr_free(sizes);
}

enum { SMALL = 88, SMALL_COUNT = 100000 };

/* Nine of ten objects go, at random: hardly a page is empty. Those left are moved together, and all the other
 * pages go back. */
static void test_slab_gives_back(void **state)
{
    (void)state;
    static uint32_t *objects[SMALL_COUNT];
    qr_slab slab = {0};
    qr_prng prng;
    qr_prng_seed(&prng, 12);
    for (uint32_t i = 0; i < SMALL_COUNT; i++) {
        objects[i] = qr_slab_alloc(&slab, SMALL);
        *objects[i] = i;
    }
    uint64_t full = qr_slab_held(&slab);
    assert_true(full < (uint64_t)SMALL_COUNT * SMALL * 11 / 10);
    for (uint32_t i = 0; i < SMALL_COUNT; i++)
        if (qr_prng_below(&prng, 10) > 0) {
            qr_slab_free(&slab, objects[i], SMALL);
            objects[i] = NULL;
        }
    while (qr_slab_trim(&slab, 0))
        continue;
    assert_true(qr_slab_held(&slab) > full * 9 / 10);
    for (uint32_t i = 0; i < SMALL_COUNT; i++)
        if (objects[i])
            objects[i] = qr_slab_move(&slab, objects[i], SMALL, false);
    assert_int_equal(qr_slab_held(&slab), full);
    assert_true(qr_slab_trim(&slab, 10));
    assert_true(qr_slab_held(&slab) >= full - QR_SLAB_TRIMMED * (uint64_t)QR_SLAB_PAGE);
    assert_true(qr_slab_held(&slab) < full);
    while (qr_slab_trim(&slab, 0))
        continue;
    assert_true(qr_slab_held(&slab) < qr_slab_used(&slab) * 11 / 10);
    void *page = qr_slab_page_alloc(&slab); /* given back, and taken again */
    memset(page, 1, QR_SLAB_PAGE);
    qr_slab_page_free(&slab, page);
    for (uint32_t i = 0; i < SMALL_COUNT; i++)
        if (objects[i]) {
            assert_int_equal(*objects[i], i);
            qr_slab_free(&slab, objects[i], SMALL);
        }
    qr_slab_end(&slab);
}

/* Of two pages with room the one that is more than half full is filled. */
static void test_slab_fills_the_fuller_page(void **state)
{
    (void)state;
    enum { SIZE = 512, A_PAGE = QR_SLAB_PAGE / SIZE - 1 };
    qr_slab slab = {0};
    void *first[A_PAGE], *second[A_PAGE];
    for (size_t i = 0; i < A_PAGE; i++)
        first[i] = qr_slab_alloc(&slab, SIZE);
    for (size_t i = 0; i < A_PAGE; i++)
        second[i] = qr_slab_alloc(&slab, SIZE);
    qr_slab_free(&slab, first[0], SIZE);
    for (size_t i = 1; i < A_PAGE; i++)
        qr_slab_free(&slab, second[i], SIZE);
    assert_ptr_equal(qr_slab_alloc(&slab, SIZE), first[0]);
    qr_slab_free(&slab, second[0], SIZE);
    for (size_t i = 0; i < A_PAGE; i++)
        qr_slab_free(&slab, first[i], SIZE);
    qr_slab_end(&slab);
}

static void test_pool(void **state)
{
    (void)state;
    qr_pool pool = {0};
    void *blocks[200];
    for (size_t size = 0; size < 200; size++) {
        blocks[size] = memset(qr_pool_alloc(&pool, size * 10), (int)size, size * 10);
        assert_int_equal((uintptr_t)blocks[size] % _Alignof(max_align_t), 0);
    }
    for (size_t size = 0; size < 200; size++) {
        blocks[size] = qr_pool_realloc(&pool, blocks[size], size * 10 + 1);
        for (size_t i = 0; i < size * 10; i++)
            assert_int_equal(((uint8_t *)blocks[size])[i], size);
        qr_pool_free(&pool, blocks[size]);
    }
    qr_pool_free(&pool, NULL);
    size_t kept = pool.kept;
    void *one = qr_pool_realloc(&pool, NULL, 100), *large = qr_pool_alloc(&pool, 1024 * 1024);
    qr_pool_free(&pool, large);
    assert_true(pool.kept <= kept);
    qr_pool_free(&pool, one);
    assert_int_equal(pool.kept, kept);
    qr_pool_end(&pool);
    assert_int_equal(pool.kept, 0);
}

/* However much is given back, no more than the bound is kept. */
static void test_pool_is_bounded(void **state)
{
    (void)state;
    enum { COUNT = 2 * QR_POOL_KEPT_MAX / QR_POOL_STEP };
    static void *blocks[COUNT];
    qr_pool pool = {0};
    for (size_t i = 0; i < COUNT; i++)
        blocks[i] = qr_pool_alloc(&pool, 1);
    for (size_t i = 0; i < COUNT; i++)
        qr_pool_free(&pool, blocks[i]);
    assert_true(pool.kept <= QR_POOL_KEPT_MAX);
    qr_pool_end(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_numbers_are_little_endian),
        cmocka_unit_test(test_varint_edges),
        cmocka_unit_test(test_varint_too_large),
        cmocka_unit_test(test_reader_never_passes_the_end),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_buffer_growth),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_reset_keeps_one_chunk),
        cmocka_unit_test(test_prng),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_slab),
        cmocka_unit_test(test_slab_gives_back),
        cmocka_unit_test(test_slab_fills_the_fuller_page),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
