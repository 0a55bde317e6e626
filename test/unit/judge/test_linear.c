/* Histories that a correct store could have told, and ones that it could not. Then random ones: of a real
 * register, which must pass, and spoiled ones, on which the search must agree with trying every order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "judge/judge.h"

enum { MEMORY = 1 << 22 };

/* ---- one line an operation: client, from, to ---- */

static qr_judge_op read_op(uint32_t client, uint64_t from, uint64_t to, uint64_t found)
{
    return (qr_judge_op){
        .client = client, .invoke = from, .answer = to, .kind = QR_JUDGE_READ, .value = found, .known = true};
}
static qr_judge_op write_op(uint32_t client, uint64_t from, uint64_t to, uint64_t value)
{
    return (qr_judge_op){.client = client,
                         .invoke = from,
                         .answer = to,
                         .kind = QR_JUDGE_WRITE,
                         .value = value,
                         .known = true,
                         .changed = true};
}
static qr_judge_op delete_op(uint32_t client, uint64_t from, uint64_t to, bool changed)
{
    return (qr_judge_op){.client = client,
                         .invoke = from,
                         .answer = to,
                         .kind = QR_JUDGE_DELETE,
                         .known = true,
                         .changed = changed};
}
static qr_judge_op cas_op(uint32_t client, uint64_t from, uint64_t to, uint64_t expected, uint64_t value,
                          bool changed)
{
    return (qr_judge_op){.client = client,
                         .invoke = from,
                         .answer = to,
                         .kind = QR_JUDGE_CAS,
                         .expected = expected,
                         .value = value,
                         .known = true,
                         .changed = changed};
}
static qr_judge_op lost(qr_judge_op op)
{
    op.known = false;
    return op;
}
static qr_judge_op at(uint64_t revision, uint64_t mod_revision, qr_judge_op op)
{
    op.revision = revision;
    op.mod_revision = mod_revision;
    return op;
}

static qr_judge_finding linear(qr_judge_op *ops, size_t count)
{
    qr_judge_finding finding;
    qr_judge_linear(ops, count, MEMORY, &finding);
    return finding;
}

#define LINEAR(...)                                                                                          \
    linear((qr_judge_op[]){__VA_ARGS__}, sizeof((qr_judge_op[]){__VA_ARGS__}) / sizeof(qr_judge_op))
#define GOOD(...) assert_int_equal(LINEAR(__VA_ARGS__).verdict, QR_JUDGE_OK)
#define BAD(...)  assert_int_equal(LINEAR(__VA_ARGS__).verdict, QR_JUDGE_VIOLATION)

static void reads_find_the_last_write(void **state)
{
    (void)state;
    GOOD(read_op(1, 0, 1, 0));
    GOOD(write_op(1, 0, 1, 5), read_op(2, 2, 3, 5));
    GOOD(write_op(1, 0, 9, 5), read_op(2, 1, 2, 0), read_op(2, 3, 4, 5));
    BAD(write_op(1, 0, 1, 5), read_op(2, 2, 3, 0));
    BAD(read_op(2, 0, 1, 5), write_op(1, 2, 3, 5)); /* from the future */
}

static void two_readers_see_one_order(void **state)
{
    (void)state;
    GOOD(write_op(1, 0, 9, 5), write_op(2, 0, 9, 6), read_op(3, 1, 2, 5), read_op(3, 3, 4, 6));
    BAD(write_op(1, 0, 9, 5), write_op(2, 0, 9, 6), read_op(3, 1, 2, 5), read_op(3, 3, 4, 6),
        read_op(4, 5, 6, 5));
    BAD(write_op(1, 0, 9, 5), read_op(2, 1, 2, 5),
        read_op(3, 3, 4, 0)); /* a deposed leader answers the second */
}

static void an_acknowledged_write_is_not_lost(void **state)
{
    (void)state;
    BAD(write_op(1, 0, 1, 5), write_op(1, 2, 3, 6), read_op(1, 4, 5, 5));
    qr_judge_finding finding = LINEAR(write_op(1, 0, 1, 5), write_op(1, 2, 3, 6), read_op(7, 4, 5, 5));
    assert_non_null(strstr(finding.text, "client 7 reads 5"));
    assert_non_null(strstr(finding.text, "6 is there"));
}

static void a_write_takes_place_once(void **state)
{
    (void)state;
    BAD(write_op(1, 0, 1, 5), write_op(2, 2, 3, 6), read_op(3, 4, 5, 6), read_op(3, 6, 7, 5));
    BAD(lost(write_op(1, 0, 0, 5)), read_op(3, 1, 2, 5), write_op(2, 3, 4, 6), read_op(3, 5, 6, 6),
        read_op(3, 7, 8, 5));
}

static void an_unknown_write_may_come_late_or_never(void **state)
{
    (void)state;
    GOOD(lost(write_op(1, 0, 0, 5)), read_op(2, 1, 2, 0), read_op(2, 3, 4, 0));
    GOOD(lost(write_op(1, 0, 0, 5)), write_op(2, 1, 2, 6), read_op(2, 3, 4, 6), read_op(2, 9, 10, 5));
    BAD(read_op(2, 1, 2, 5), lost(write_op(1, 3, 0, 5))); /* but not before it was asked for */
    GOOD(lost(delete_op(1, 0, 0, false)), write_op(2, 1, 2, 6), read_op(2, 3, 4, 0));
    GOOD(write_op(2, 0, 1, 6), lost(cas_op(1, 2, 0, 6, 7, false)), read_op(2, 3, 4, 6), read_op(2, 5, 6, 7));
    BAD(write_op(2, 0, 1, 6), lost(cas_op(1, 2, 0, 5, 7, false)), read_op(2, 5, 6, 7));
}

static void only_one_swap_of_a_value_wins(void **state)
{
    (void)state;
    GOOD(write_op(1, 0, 1, 5), cas_op(1, 2, 9, 5, 6, true), cas_op(2, 2, 9, 5, 7, false));
    BAD(write_op(1, 0, 1, 5), cas_op(1, 2, 9, 5, 6, true), cas_op(2, 2, 9, 5, 7, true));
    GOOD(cas_op(1, 0, 9, 0, 6, true), cas_op(2, 0, 9, 6, 7, true), read_op(3, 10, 11, 7));
    BAD(cas_op(1, 0, 1, 0, 6, false));
}

static void deletions_tell_whether_something_was_there(void **state)
{
    (void)state;
    GOOD(write_op(1, 0, 1, 5), delete_op(1, 2, 9, true), delete_op(2, 2, 9, false), read_op(1, 10, 11, 0));
    BAD(write_op(1, 0, 1, 5), delete_op(1, 2, 9, true), delete_op(2, 2, 9, true));
    BAD(delete_op(1, 2, 9, true));
    BAD(write_op(1, 0, 1, 5), delete_op(1, 2, 3, false));
}

static void keys_are_judged_apart(void **state)
{
    (void)state;
    qr_judge_op mine = write_op(1, 0, 1, 5), theirs = write_op(1, 2, 3, 6), found = read_op(2, 4, 5, 5);
    mine.key = found.key = 8;
    theirs.key = 9;
    GOOD(mine, theirs, found);
    found.key = 9;
    qr_judge_finding finding = LINEAR(mine, theirs, found);
    assert_int_equal(finding.verdict, QR_JUDGE_VIOLATION);
    assert_int_equal(finding.key, 9);
}

static void what_is_too_hard_is_no_pass(void **state)
{
    (void)state;
    qr_judge_op ops[42];
    for (uint32_t i = 0; i < 40; i++)
        ops[i] = lost(write_op(i, 0, 0, i + 1));
    ops[40] = read_op(50, 1, 2, 99); /* nobody wrote that: every subset is in question */
    ops[41] = read_op(50, 3, 4, 98);
    qr_judge_finding finding;
    qr_judge_linear(ops, 42, 1 << 16, &finding);
    assert_int_equal(finding.verdict, QR_JUDGE_TOO_HARD);
}

/* ---- random histories, and trying every order ---- */

static bool step(const qr_judge_op *op, uint64_t *value)
{
    uint64_t before = *value;
    switch (op->kind) {
    case QR_JUDGE_READ: return !op->known || op->value == before;
    case QR_JUDGE_WRITE: *value = op->value; return true;
    case QR_JUDGE_DELETE: *value = 0; return !op->known || op->changed == (before != 0);
    default: break;
    }
    if (before == op->expected)
        *value = op->value;
    return !op->known || op->changed == (before == op->expected);
}

/* Every order that respects time, with every subset of the unknown ones. */
static bool try_all(const qr_judge_op *ops, size_t count, uint32_t done, uint64_t value)
{
    bool all = true;
    uint64_t first_answer = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if (!(done >> i & 1) && ops[i].known) {
            all = false;
            first_answer = ops[i].answer < first_answer ? ops[i].answer : first_answer;
        }
    if (all)
        return true;
    for (size_t i = 0; i < count; i++) {
        uint64_t next = value;
        if (!(done >> i & 1) && ops[i].invoke <= first_answer && step(&ops[i], &next) &&
            try_all(ops, count, done | 1U << i, next))
            return true;
    }
    return false;
}

static uint64_t below(qr_prng *prng, uint64_t bound)
{
    return qr_prng_below(prng, bound);
}

/* What a real register does: each operation takes place at one moment between its times, or, if its answer is
 * lost, perhaps later or not at all. few: values are drawn from that many, so that they come again. */
static void play(qr_prng *prng, qr_judge_op *ops, size_t count, uint64_t few, uint32_t lost_per_million)
{
    uint64_t *moments = qr_alloc_zero(count, sizeof *moments);
    for (size_t i = 0; i < count; i++) {
        uint64_t from = below(prng, 20 * count), length = 1 + below(prng, 60);
        ops[i] = (qr_judge_op){.client = (uint32_t)i, .invoke = from, .answer = from + length, .known = true};
        ops[i].kind = (uint8_t)below(prng, 4);
        ops[i].value = few ? 1 + below(prng, few) : i + 1;
        ops[i].expected = few ? below(prng, few + 1) : below(prng, count + 1);
        moments[i] = from + below(prng, length + 1);
        if (qr_prng_chance(prng, lost_per_million)) {
            ops[i].known = false;
            moments[i] = below(prng, 2) ? UINT64_MAX : from + below(prng, 20 * count);
        }
    }
    uint64_t value = 0;
    for (size_t round = 0; round < count; round++) {
        size_t next = 0;
        for (size_t i = 0; i < count; i++)
            next = moments[i] < moments[next] ? i : next;
        qr_judge_op *op = &ops[next];
        uint64_t before = value;
        if (moments[next] == UINT64_MAX)
            break;
        moments[next] = UINT64_MAX;
        if (op->kind == QR_JUDGE_READ)
            op->value = before;
        op->changed = op->kind == QR_JUDGE_DELETE ? before != 0 : before == op->expected;
        step(op, &value);
    }
    qr_free(moments);
}

static void what_a_register_does_passes(void **state)
{
    (void)state;
    qr_prng prng;
    qr_prng_seed(&prng, 1);
    for (int round = 0; round < 300; round++) {
        qr_judge_op ops[200];
        size_t count = 1 + below(&prng, 200);
        play(&prng, ops, count, round % 2 ? 0 : 3, round % 3 ? 20000 : 0);
        qr_judge_finding finding = linear(ops, count);
        if (finding.verdict != QR_JUDGE_OK)
            fail_msg("round %d: %s", round, finding.text);
    }
}

static void spoil(qr_prng *prng, qr_judge_op *ops, size_t count)
{
    qr_judge_op *op = &ops[below(prng, count)];
    switch (below(prng, 4)) {
    case 0: op->value = below(prng, 4); break;
    case 1: op->changed = !op->changed; break;
    case 2: op->invoke = op->answer = below(prng, 20 * count); break;
    default: op->known = !op->known; break;
    }
}

static void the_search_agrees_with_trying_every_order(void **state)
{
    (void)state;
    qr_prng prng;
    qr_prng_seed(&prng, 2);
    int bad = 0;
    for (int round = 0; round < 20000; round++) {
        qr_judge_op ops[8];
        size_t count = 1 + below(&prng, 8);
        play(&prng, ops, count, 3, 250000);
        for (uint64_t times = below(&prng, 4); times > 0; times--)
            spoil(&prng, ops, count);
        bool good = try_all(ops, count, 0, 0);
        bad += !good;
        qr_judge_finding finding = linear(ops, count);
        if ((finding.verdict == QR_JUDGE_OK) != good)
            fail_msg("round %d: %s, but trying says %d", round, finding.text, good);
    }
    assert_true(bad > 2000); /* else the spoiling spoils nothing */
}

/* ---- revisions ---- */

static qr_judge_finding revisions(qr_judge_op *ops, size_t count)
{
    qr_judge_finding finding;
    qr_judge_revisions(ops, count, &finding);
    return finding;
}

#define REVISIONS(...)                                                                                       \
    revisions((qr_judge_op[]){__VA_ARGS__}, sizeof((qr_judge_op[]){__VA_ARGS__}) / sizeof(qr_judge_op))
#define REVISIONS_GOOD(...) assert_int_equal(REVISIONS(__VA_ARGS__).verdict, QR_JUDGE_OK)
#define REVISIONS_BAD(...)  assert_int_equal(REVISIONS(__VA_ARGS__).verdict, QR_JUDGE_VIOLATION)

static void revisions_follow_time(void **state)
{
    (void)state;
    REVISIONS_GOOD(at(2, 0, write_op(1, 0, 1, 5)), at(3, 0, write_op(1, 2, 3, 6)),
                   at(3, 3, read_op(2, 4, 5, 6)));
    REVISIONS_GOOD(at(3, 0, write_op(1, 0, 9, 5)), at(2, 0, write_op(2, 2, 3, 6)));
    REVISIONS_BAD(at(3, 0, write_op(1, 0, 1, 5)), at(2, 0, write_op(1, 2, 3, 6)));
    REVISIONS_BAD(at(3, 0, write_op(1, 0, 9, 5)), at(3, 0, write_op(2, 0, 9, 6)));
    REVISIONS_BAD(at(3, 0, write_op(1, 0, 1, 5)), at(2, 0, read_op(2, 2, 3, 0)));
}

static void a_read_finds_the_change_that_it_says(void **state)
{
    (void)state;
    REVISIONS_GOOD(at(2, 0, write_op(1, 0, 9, 5)), at(3, 0, write_op(2, 0, 9, 6)),
                   at(2, 2, read_op(3, 0, 9, 5)));
    REVISIONS_BAD(at(2, 0, write_op(1, 0, 9, 5)), at(3, 0, write_op(2, 0, 9, 6)),
                  at(3, 2, read_op(3, 0, 9, 5)));
    REVISIONS_BAD(at(2, 0, write_op(1, 0, 9, 5)), at(3, 2, read_op(3, 0, 9, 8)));
    REVISIONS_BAD(at(3, 3, read_op(3, 0, 9, 8)));
    REVISIONS_GOOD(lost(write_op(1, 0, 0, 8)), at(3, 3, read_op(3, 0, 9, 8)));
    REVISIONS_BAD(at(2, 0, write_op(1, 0, 9, 5)), at(3, 0, read_op(3, 0, 9, 0)));
    REVISIONS_GOOD(at(2, 0, write_op(1, 0, 9, 5)), lost(delete_op(2, 0, 0, false)),
                   at(3, 0, read_op(3, 0, 9, 0)));
    REVISIONS_GOOD(at(2, 0, write_op(1, 0, 9, 5)), at(3, 0, delete_op(2, 0, 9, true)),
                   at(3, 0, read_op(3, 0, 9, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_find_the_last_write),
        cmocka_unit_test(two_readers_see_one_order),
        cmocka_unit_test(an_acknowledged_write_is_not_lost),
        cmocka_unit_test(a_write_takes_place_once),
        cmocka_unit_test(an_unknown_write_may_come_late_or_never),
        cmocka_unit_test(only_one_swap_of_a_value_wins),
        cmocka_unit_test(deletions_tell_whether_something_was_there),
        cmocka_unit_test(keys_are_judged_apart),
        cmocka_unit_test(what_is_too_hard_is_no_pass),
        cmocka_unit_test(what_a_register_does_passes),
        cmocka_unit_test(the_search_agrees_with_trying_every_order),
        cmocka_unit_test(revisions_follow_time),
        cmocka_unit_test(a_read_finds_the_change_that_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
