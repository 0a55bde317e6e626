/* Atomic commitment, counted: of all ways that a crash or a split can go, which ones block or break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lab/scenario.h"

enum { ALL = 7, SETS = 8 }; /* sets of three participants */

static void put_set(qr_buffer *out, unsigned set, const char *before)
{
    const char *comma = before;
    for (unsigned i = 0; i < 3; i++)
        if (set >> i & 1) {
            qr_buffer_format(out, "%sp%u", comma, i + 1);
            comma = ",";
        }
}

/* A line for the messages of this kind from the coordinator to the set: "deliver" or "drop". */
static void put_step(qr_buffer *out, const char *verb, const char *kind, unsigned set)
{
    if (set == 0)
        return;
    qr_buffer_format(out, "%s %s c1 -> ", verb, kind);
    put_set(out, set, "");
    qr_buffer_format(out, "\n");
}

static qr_buffer begin(int phases)
{
    qr_buffer text = {0};
    qr_buffer_format(&text, "name x\ntitle x\nprotocol commit\nlet phases %d\nc1 begin\n", phases);
    return text;
}

/* Runs it until nothing happens any more; whether it is as expected. Frees the text. */
static bool holds(qr_buffer *text, const char *expectation)
{
    qr_buffer_format(text, "random 10000\nexpect %s\n", expectation);
    qr_scenario scenario;
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    if (qr_scenario_read(qr_buffer_slice(text), &scenario, complaint) != QR_OK)
        fail_msg("%s in %.*s", complaint, (int)text->size, (const char *)text->data);
    qr_scenario_result result;
    qr_scenario_run(&scenario, NULL, &result);
    bool good = result.as_expected;
    if (!good && !memmem(result.wrong.data, result.wrong.size, "expected", 8))
        fail_msg("%.*s", (int)result.wrong.size, (const char *)result.wrong.data);
    qr_scenario_result_free(&result);
    qr_scenario_free(&scenario);
    qr_buffer_free(text);
    return good;
}

/* The coordinator has asked some, or has decided and told some: all have voted and nobody was told is the
 * only one of these 15 crashes that blocks. */
static void two_phases_block_at_one_point(void **state)
{
    unsigned cases = 0, blocked = 0;
    for (unsigned asked = 0; asked < SETS; asked++)
        for (unsigned told = 0; told < SETS; told++) {
            if (asked != ALL && told)
                continue;
            qr_buffer text = begin(2);
            put_step(&text, "deliver", "prepare", asked);
            put_step(&text, "drop", "prepare", ALL & ~asked);
            if (asked == ALL) {
                qr_buffer_format(&text, "deliver yes p* -> c1\n");
                put_step(&text, "deliver", "commit", told);
                put_step(&text, "drop", "commit", ALL & ~told);
            }
            qr_buffer_format(&text, "crash c1\n");
            cases++;
            blocked += !holds(&text, "waiting 0");
        }
    assert_int_equal(cases, 15);
    assert_int_equal(blocked, 1);
}

/* Some were told, and some, not all, die with the coordinator: blocked is who is left if all that knew died.
 */
static void two_phases_block_when_those_who_know_die(void **state)
{
    unsigned cases = 0, blocked = 0;
    for (unsigned told = 0; told < SETS; told++)
        for (unsigned dead = 0; dead < ALL; dead++) {
            qr_buffer text = begin(2);
            qr_buffer_format(&text, "deliver prepare c1 -> *\ndeliver yes p* -> c1\n");
            put_step(&text, "deliver", "commit", told);
            put_step(&text, "drop", "commit", ALL & ~told);
            qr_buffer_format(&text, "crash c1\n");
            for (unsigned i = 0; i < 3; i++)
                if (dead >> i & 1)
                    qr_buffer_format(&text, "crash p%u\n", i + 1);
            cases++;
            blocked += !holds(&text, "waiting 0");
        }
    assert_int_equal(cases, 56);
    assert_int_equal(blocked, 19);
}

static qr_buffer begin_three(unsigned told)
{
    qr_buffer text = begin(3);
    qr_buffer_format(&text, "deliver prepare c1 -> *\ndeliver yes p* -> c1\n");
    put_step(&text, "deliver", "precommit", told);
    put_step(&text, "drop", "precommit", ALL & ~told);
    qr_buffer_format(&text, "crash c1\n");
    return text;
}

static void three_phases_never_block(void **state)
{
    for (unsigned told = 0; told < SETS; told++) {
        qr_buffer text = begin_three(told);
        assert_true(holds(&text, "waiting 0"));
    }
}

/* Whoever got the precommit, however those that are left are split in two: it breaks when one side knows and
 * the other does not. */
static void three_phases_break_in_half_of_all_splits(void **state)
{
    unsigned cases = 0, broken = 0;
    for (unsigned told = 0; told < SETS; told++)
        for (unsigned side = 1; side < ALL; side++) {
            qr_buffer text = begin_three(told);
            put_set(&text, side, "partition ");
            put_set(&text, ALL & ~side, " | ");
            qr_buffer_format(&text, "\n");
            bool breaks = holds(&text, "violation atomicity");
            assert_int_equal(breaks, !(told & side) != !(told & ~side));
            cases++;
            broken += breaks;
        }
    assert_int_equal(cases, 48);
    assert_int_equal(broken, 24);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_phases_block_at_one_point),
        cmocka_unit_test(two_phases_block_when_those_who_know_die),
        cmocka_unit_test(three_phases_never_block),
        cmocka_unit_test(three_phases_break_in_half_of_all_splits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
