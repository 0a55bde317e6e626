/* The nine properties of a watch, each kept and each broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "judge/judge.h"

static qr_judge_note begin(uint64_t revision)
{
    return (qr_judge_note){.kind = QR_JUDGE_BEGIN, .revision = revision};
}
static qr_judge_note progress(uint64_t revision)
{
    return (qr_judge_note){.kind = QR_JUDGE_PROGRESS, .revision = revision};
}
static qr_judge_note compacted(uint64_t revision)
{
    return (qr_judge_note){.kind = QR_JUDGE_COMPACTED, .revision = revision};
}
static const qr_judge_note answer = {.kind = QR_JUDGE_ANSWER};

/* The truth: key 1 is made at 2, changed at 4, deleted at 6, made again at 8; key 2 is made at 3, changed
 * at 7. */
static qr_judge_note event(uint64_t revision)
{
    static const qr_judge_note all[] = {
        {.key = 1, .value = 12, .create_revision = 2, .version = 1},
        {.key = 2, .value = 23, .create_revision = 3, .version = 1},
        {.key = 1, .value = 14, .create_revision = 2, .version = 2, .previous = 12, .previous_mod = 2},
        {0},
        {.key = 1, .previous = 14, .previous_mod = 4},
        {.key = 2, .value = 27, .create_revision = 3, .version = 2, .previous = 23, .previous_mod = 3},
        {.key = 1, .value = 18, .create_revision = 8, .version = 1},
    };
    qr_judge_note one = all[revision - 2];
    one.kind = QR_JUDGE_EVENT;
    one.revision = revision;
    return one;
}

enum { NOTES_MAX = 16 };
typedef struct record {
    size_t count;
    qr_judge_note notes[NOTES_MAX];
} record;

#define RECORD(...)                                                                                          \
    ((record){.count = sizeof((qr_judge_note[]){__VA_ARGS__}) / sizeof(qr_judge_note),                       \
              .notes = {__VA_ARGS__}})

static qr_judge_finding judge_ops(const record *whole, const record *one, qr_judge_watch how,
                                  const qr_judge_op *ops, size_t op_count)
{
    qr_judge_watch watches[2] = {
        {.end = 100, .wants_previous = true, .notes = whole->notes, .count = whole->count}, how};
    watches[1].notes = one->notes;
    watches[1].count = one->count;
    qr_judge_finding finding;
    qr_judge_watches(watches, 2, ops, op_count, &finding);
    return finding;
}

static qr_judge_finding judge(record one, qr_judge_watch how)
{
    record whole =
        RECORD(begin(1), event(2), event(3), answer, event(4), answer, event(6), event(7), event(8), answer);
    return judge_ops(&whole, &one, how, NULL, 0);
}

static const qr_judge_watch everything = {.end = 100, .wants_previous = true},
                            of_key_1 = {.first = 1, .end = 2};

static void assert_good(qr_judge_finding finding)
{
    if (finding.verdict != QR_JUDGE_OK)
        fail_msg("%s", finding.text);
}
static void assert_bad(qr_judge_finding finding, const char *why)
{
    assert_int_equal(finding.verdict, QR_JUDGE_VIOLATION);
    if (strstr(finding.text, why) == NULL)
        fail_msg("%s", finding.text);
}

static void a_right_record_passes(void **state)
{
    (void)state;
    assert_good(judge(RECORD(begin(1), event(2), answer, event(3), event(4), answer, progress(5), event(6),
                             event(7), answer),
                      everything));
    assert_good(judge(RECORD(begin(1), event(2), event(4), answer, event(6), event(8), answer), of_key_1));
    assert_good(judge(RECORD(begin(9)), everything));
}

static void ordered(void **state)
{
    (void)state;
    assert_bad(judge(RECORD(begin(1), event(3), event(2)), everything), "not told of a change");
    assert_bad(judge(RECORD(begin(4), event(6), answer, event(4)), of_key_1), "not told of a change");
    assert_bad(judge(RECORD(begin(2), event(2), event(4), event(2)), of_key_1), "out of order");
}

static void unique(void **state)
{
    (void)state;
    assert_bad(judge(RECORD(begin(1), event(2), event(2)), everything), "told twice");
    assert_bad(judge(RECORD(begin(1), event(2), answer, event(2)), everything), "told again");
}

static void atomic(void **state)
{
    (void)state;
    qr_judge_note other = event(2);
    other.key = 2;
    record whole = RECORD(begin(1), event(2), other, answer);
    record torn = RECORD(begin(1), event(2), answer, other, answer);
    assert_bad(judge_ops(&whole, &torn, everything, NULL, 0), "not told of a change");
    assert_good(judge_ops(&whole, &whole, everything, NULL, 0));
}

static void reliable(void **state)
{
    (void)state;
    assert_bad(judge(RECORD(begin(1), event(2), event(4), answer), everything), "not told of a change");
    qr_judge_op op = {.kind = QR_JUDGE_WRITE, .key = 9, .value = 95, .revision = 5, .known = true};
    record whole = RECORD(begin(1), event(2), event(3), event(4), event(6), event(7), event(8), answer);
    assert_bad(judge_ops(&whole, &whole, everything, &op, 1), "nobody was told");
    op = (qr_judge_op){.kind = QR_JUDGE_WRITE, .key = 1, .value = 15, .revision = 4, .known = true};
    assert_bad(judge_ops(&whole, &whole, everything, &op, 1), "another value than was written");
    op.value = 14;
    assert_good(judge_ops(&whole, &whole, everything, &op, 1));
    op = (qr_judge_op){.kind = QR_JUDGE_WRITE, .key = 1, .value = 15, .revision = 9, .known = true};
    assert_good(judge_ops(&whole, &whole, everything, &op, 1)); /* nobody listened that long */
}

static void resumable(void **state)
{
    (void)state;
    assert_good(judge(RECORD(begin(1), event(2), answer, begin(3), event(3), answer), everything));
    assert_bad(judge(RECORD(begin(1), event(2), answer, begin(3), event(4)), everything),
               "not told of a change");
    assert_bad(judge(RECORD(begin(4), event(3)), everything), "before its beginning");
}

static void bookmarkable(void **state)
{
    (void)state;
    assert_bad(judge(RECORD(begin(1), event(2), answer, progress(3)), everything), "not told of a change");
    assert_bad(judge(RECORD(begin(2), event(2), answer, progress(4)), of_key_1), "not told of a change");
    assert_bad(judge(RECORD(begin(5), progress(7), progress(5)), of_key_1), "not told of a change");
    assert_bad(judge(RECORD(begin(7), progress(7), progress(5)), of_key_1), "progress goes back");
}

static void previous_values(void **state)
{
    (void)state;
    qr_judge_note bare = event(4), wrong = event(4);
    bare.previous = bare.previous_mod = 0;
    wrong.previous = 99;
    record whole = RECORD(begin(1), event(2), event(3), answer, wrong, answer);
    assert_bad(judge(RECORD(begin(4), bare), everything), "without the previous value");
    assert_good(judge(RECORD(begin(4), bare), of_key_1)); /* it did not ask */
    assert_bad(judge_ops(&whole, &whole, everything, NULL, 0), "previous value is not that");
}

static void flags(void **state)
{
    (void)state;
    qr_judge_note wrong = event(4);
    wrong.version = 3;
    record whole = RECORD(begin(1), event(2), event(3), answer, wrong, answer);
    assert_bad(judge_ops(&whole, &whole, everything, NULL, 0), "do not follow");
    wrong.version = 1;
    wrong.create_revision = 4;
    whole = RECORD(begin(1), event(2), event(3), answer, wrong, answer);
    assert_bad(judge_ops(&whole, &whole, everything, NULL, 0), "told as created");
    assert_bad(judge(RECORD(begin(4), wrong), everything), "different things");
}

static void filtered(void **state)
{
    (void)state;
    qr_judge_watch no_deletes = of_key_1;
    no_deletes.skip_deletes = true;
    assert_good(judge(RECORD(begin(1), event(2), event(4), answer, event(8), answer), no_deletes));
    assert_bad(judge(RECORD(begin(1), event(2), event(4), answer, event(6)), no_deletes), "did not ask for");
    assert_bad(judge(RECORD(begin(1), event(3)), of_key_1), "did not ask for");
}

static void compaction_ends_what_is_behind_it(void **state)
{
    (void)state;
    assert_good(
        judge(RECORD(begin(1), event(2), answer, compacted(6), begin(6), event(6), answer), of_key_1));
    assert_bad(judge(RECORD(begin(6), event(6), answer, compacted(6)), of_key_1),
               "a compaction that is behind it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_right_record_passes),
        cmocka_unit_test(ordered),
        cmocka_unit_test(unique),
        cmocka_unit_test(atomic),
        cmocka_unit_test(reliable),
        cmocka_unit_test(resumable),
        cmocka_unit_test(bookmarkable),
        cmocka_unit_test(previous_values),
        cmocka_unit_test(flags),
        cmocka_unit_test(filtered),
        cmocka_unit_test(compaction_ends_what_is_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
