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
    assert_true(log.ring_room <= 256);
    assert_int_equal(log.run_count, 1);
    qr_raft_log_trim(&log, log.last, 0);
    assert_int_equal(log.memory_bytes, 0);
    assert_null(log.head);
    qr_raft_log_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_an_array),
        cmocka_unit_test(memory_is_bounded_and_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
