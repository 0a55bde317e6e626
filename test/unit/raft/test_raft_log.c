#include "cmocka_all.h"
#include "raft/log.h"
#include "raft/raft_internal.h"

enum { MODEL_MAX = 4000 };

typedef struct model {
    uint64_t term[MODEL_MAX];
    uint32_t size[MODEL_MAX], seed[MODEL_MAX];
    uint64_t base, base_term, last;
} model;

static void fill(uint8_t *bytes, uint32_t size, uint32_t seed)
{
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(seed + i * 7);
}

static void compare(const qr_raft_log *log, const model *m)
{
    static uint8_t bytes[70000];
    assert_int_equal(log->last, m->last);
    assert_int_equal(log->base_index, m->base);
    assert_int_equal(qr_raft_log_term(log, m->base), m->base_term);
    assert_int_equal(qr_raft_log_term(log, m->last + 1), 0);
    for (uint64_t i = m->base + 1; i <= m->last; i++) {
        qr_raft_view view;
        assert_int_equal(qr_raft_log_term(log, i), m->term[i]);
        if (!qr_raft_log_read(log, i, &view)) {
            assert_true(i < log->memory_first);
            continue;
        }
        fill(bytes, m->size[i], m->seed[i]);
        assert_int_equal(view.term, m->term[i]);
        assert_true(qr_slice_equal(view.bytes, qr_slice_of(bytes, m->size[i])));
        qr_reader reader = qr_reader_of(view.encoded);
        qr_raft_view again;
        assert_int_equal(qr_raft_entry_decode(&reader, &again), QR_OK);
        assert_int_equal(qr_reader_left(&reader), 0);
        assert_true(qr_slice_equal(again.bytes, view.bytes));
    }
}

static uint64_t slow_find(const model *m, uint64_t max, uint64_t term)
{
    uint64_t i = max < m->last ? max : m->last;
    while (i > m->base && m->term[i] > term)
        i--;
    return i > m->base ? i : m->base;
}

/* Every operation, in random order, against an array. */
static void agrees_with_an_array(void **state)
{
    static uint8_t bytes[70000];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        qr_prng prng;
        qr_prng_seed(&prng, seed);
        qr_raft_log log;
        qr_raft_log_init(&log);
        model m = {0};
        for (int step = 0; step < 400 && m.last < MODEL_MAX - 20; step++) {
            uint64_t draw = qr_prng_below(&prng, 100);
            if (draw < 70) {
                for (uint64_t n = qr_prng_below(&prng, 8); n > 0; n--) {
                    uint64_t term = (m.last > m.base ? m.term[m.last]
                                     : m.base_term   ? m.base_term
                                                     : 1) +
                                    (qr_prng_below(&prng, 5) == 0);
                    uint32_t size = (uint32_t)(qr_prng_below(&prng, 40) ? qr_prng_below(&prng, 300)
                                                                        : qr_prng_below(&prng, 70000));
                    m.last++;
                    m.term[m.last] = term;
                    m.size[m.last] = size;
                    m.seed[m.last] = (uint32_t)step;
                    fill(bytes, size, (uint32_t)step);
                    qr_raft_log_append(&log, term, QR_ENTRY_COMMAND, qr_slice_of(bytes, size));
                }
            } else if (draw < 80 && m.last > m.base) {
                uint64_t from = qr_prng_between(&prng, m.base + 1, m.last);
                qr_raft_log_truncate(&log, from);
                m.last = from - 1;
            } else if (draw < 90) {
                qr_raft_log_trim(&log, qr_prng_between(&prng, m.base, m.last), qr_prng_below(&prng, 20000));
            } else if (draw < 98) {
                uint64_t to = qr_prng_between(&prng, m.base, m.last);
                qr_raft_log_forget(&log, to);
                m.base_term = to > m.base ? m.term[to] : m.base_term;
                m.base = to;
            } else {
                m.base = m.last = m.last + qr_prng_below(&prng, 10);
                m.base_term = m.base ? m.base_term + 40 : 0;
                qr_raft_log_reset(&log, m.base, m.base_term);
            }
            compare(&log, &m);
            for (int i = 0; i < 5; i++) {
                uint64_t max = qr_prng_below(&prng, m.last + 3), term = qr_prng_below(&prng, 60);
                assert_int_equal(qr_raft_log_find(&log, max, term), slow_find(&m, max, term));
            }
        }
        qr_raft_log_free(&log);
    }
}

static size_t blocks_of(const qr_raft_log *log)
{
    size_t count = 0;
    for (uint64_t at = 0; at < log->block_room; at++)
        count += log->blocks[at] != NULL;
    return count;
}

static void memory_is_bounded_and_given_back(void **state)
{
    qr_raft_log log;
    qr_raft_log_init(&log);
    uint8_t bytes[1000] = {0};
    for (int i = 0; i < 20000; i++) {
        qr_raft_log_append(&log, 1, QR_ENTRY_COMMAND, qr_slice_of(bytes, sizeof bytes));
        qr_raft_log_trim(&log, log.last, 100000);
        assert_true(log.memory_bytes <= 100000);
    }
    assert_true(blocks_of(&log) <= 2);
    assert_int_equal(log.block_room, 16);
    assert_int_equal(log.run_count, 1);
    qr_raft_log_trim(&log, log.last, 0);
    assert_int_equal(log.memory_bytes, 0);
    assert_null(log.head);
    assert_int_equal(blocks_of(&log), 0);
    qr_raft_log_free(&log);
}

static void append_until(qr_raft_log *log, uint64_t last, uint64_t term)
{
    while (log->last < last) {
        uint64_t number = log->last + 1;
        qr_raft_log_append(log, term, QR_ENTRY_COMMAND, qr_slice_of(&number, 1 + number % sizeof number));
    }
}

static void holds(const qr_raft_log *log, uint64_t first, uint64_t last, uint64_t term)
{
    qr_raft_view view;
    for (uint64_t number = first; number <= last; number++) {
        assert_true(qr_raft_log_read(log, number, &view));
        assert_int_equal(view.term, term);
        assert_int_equal(view.bytes.size, 1 + number % sizeof number);
        assert_memory_equal(view.bytes.data, &number, view.bytes.size);
    }
}

/* More entries need more blocks; none of those that are there moves, and each goes with its last entry, at
 * whichever end. */
static void descriptors_stand_in_blocks(void **state)
{
    (void)state;
    qr_raft_log log;
    qr_raft_log_init(&log);
    append_until(&log, 1, 1);
    const qr_raft_entry *stays = log.blocks[0];
    append_until(&log, 40 * QR_RAFT_BLOCK - 1, 1);
    assert_int_equal(blocks_of(&log), 40);
    assert_ptr_equal(log.blocks[0], stays);
    holds(&log, 1, log.last, 1);
    qr_raft_log_truncate(&log, 20 * QR_RAFT_BLOCK + 1);
    assert_int_equal(blocks_of(&log), 21);
    qr_raft_log_truncate(&log, 20 * QR_RAFT_BLOCK);
    assert_int_equal(blocks_of(&log), 20);
    append_until(&log, 30 * QR_RAFT_BLOCK, 2);
    qr_raft_log_forget(&log, 10 * QR_RAFT_BLOCK - 2);
    assert_int_equal(blocks_of(&log), 22);
    qr_raft_log_forget(&log, 10 * QR_RAFT_BLOCK - 1);
    assert_int_equal(blocks_of(&log), 21);
    holds(&log, 10 * QR_RAFT_BLOCK, 20 * QR_RAFT_BLOCK - 1, 1);
    holds(&log, 20 * QR_RAFT_BLOCK, 30 * QR_RAFT_BLOCK, 2);
    for (uint64_t index = 10 * QR_RAFT_BLOCK; index <= log.last; index += 100)
        assert_int_equal(qr_raft_log_alike(&log, index, log.last), 1); /* sizes differ */
    qr_raft_log_truncate(&log, 10 * QR_RAFT_BLOCK);
    assert_int_equal(blocks_of(&log), 0);
    append_until(&log, 90 * QR_RAFT_BLOCK, 3); /* the places are taken in turn */
    holds(&log, 10 * QR_RAFT_BLOCK, 90 * QR_RAFT_BLOCK, 3);
    qr_raft_log_reset(&log, 7, 4);
    assert_int_equal(blocks_of(&log), 0);
    for (int i = 0; i < 3000; i++)
        qr_raft_log_append(&log, 4 + (i >= 2000), QR_ENTRY_COMMAND, qr_slice_text("equal"));
    assert_int_equal(qr_raft_log_alike(&log, 8, log.last), 2000);
    assert_int_equal(qr_raft_log_alike(&log, 8, 100), 93);
    assert_int_equal(qr_raft_log_alike(&log, 2008, log.last), 1000);
    qr_raft_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(memory_is_bounded_and_given_back),
        cmocka_unit_test(descriptors_stand_in_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
