/* PBFT: all 27 ways in which a primary can tell three backups one of two requests or nothing, counted; and,
 * with an argument, long random batteries with f liars (the short ones are scenarios). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lab/scenario.h"

static void run(const char *text, qr_scenario_result *result)
{
    qr_scenario scenario;
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    if (qr_scenario_read(qr_slice_text(text), &scenario, complaint) != QR_OK)
        fail_msg("%s", complaint);
    qr_scenario_run(&scenario, NULL, result);
    qr_scenario_free(&scenario);
}

typedef struct counts {
    unsigned both, one, none;
} counts;

static bool ends_with(unsigned split, const char *variant, const char *expectation)
{
    static const char words[] = "AB-";
    char text[512];
    snprintf(text, sizeof text,
             "name x\ntitle X\nprotocol pbft\nmembers replica 4 client 2\nlet liars 1\nlet variant %s\n"
             "c1 ask A\nc2 ask B\ndeliver request c* -> r*\nr1 tell %c %c %c\nrun\nexpect %s\n",
             variant, words[split % 3], words[split / 3 % 3], words[split / 9], expectation);
    qr_scenario_result result;
    run(text, &result);
    bool as_expected = result.as_expected;
    qr_scenario_result_free(&result);
    return as_expected;
}

static counts count_splits(const char *variant)
{
    counts c = {0};
    for (unsigned split = 0; split < 27; split++) {
        bool both = ends_with(split, variant, "violation agreement");
        bool one = !both && !ends_with(split, variant, "first -");
        c.both += both;
        c.one += one;
        c.none += !both && !one;
    }
    return c;
}

static void no_split_commits_both(void **state)
{
    counts c = count_splits("correct");
    assert_int_equal(c.both, 0);
    assert_int_equal(c.one, 14);
    assert_int_equal(c.none, 13);
}

static void a_small_quorum_commits_both(void **state)
{
    counts c = count_splits("small-quorum");
    assert_int_equal(c.both, 12);
    assert_int_equal(c.none, 1);
}

/* WALKS walks each of four and of seven replicas, with liars of both kinds. */
static int battery(unsigned walks)
{
    for (unsigned i = 0; i < 4; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "name x\ntitle X\nprotocol pbft\nmembers replica %u client 2\nlet liars %u\nlet lie %s\n"
                 "let views 3\nlet requests 2\nlet lies 20\nallow drops 5 duplicates 5\nsample %u 3000\n",
                 i & 1 ? 7u : 4u, i & 1 ? 2u : 1u, i & 2 ? "wild" : "two-faced", walks);
        qr_scenario_result result;
        run(text, &result);
        printf("%u replicas, %s: %u walks, %llu steps, broken: %s\n", i & 1 ? 7u : 4u,
               i & 2 ? "wild" : "two-faced", walks, (unsigned long long)result.finding.moves,
               result.finding.violation ? result.finding.violation : "nothing");
        bool broken = result.finding.violation != NULL;
        qr_scenario_result_free(&result);
        if (broken)
            return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return battery((unsigned)atoi(argv[1]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_split_commits_both),
        cmocka_unit_test(a_small_quorum_commits_both),
    };
    return cmocka_run_group_tests_name("PBFT in the laboratory", tests, NULL, NULL);
}
