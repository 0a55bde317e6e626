/* What the protocols of the laboratory refuse, and that a schedule which asks for too much ends by name. What
 * they promise is tested by the scenarios. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab/scenario.h"
#include "lab/swim.h"

static void ends_with(const char *text, const char *wrong_wanted)
{
    qr_scenario scenario;
    qr_scenario_result result;
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    if (qr_scenario_read(qr_slice_text(text), &scenario, complaint) != QR_OK)
        fail_msg("%s", complaint);
    qr_scenario_run(&scenario, NULL, &result);
    qr_buffer_u8(&result.wrong, 0);
    assert_string_equal((const char *)result.wrong.data, wrong_wanted);
    qr_scenario_result_free(&result);
    qr_scenario_free(&scenario);
}

#define GENERALS  "name x\ntitle X\nprotocol generals\nmembers general 4\n"
#define REGISTERS "name x\ntitle X\nprotocol registers\nmembers writer 1 reader 1 replica 3\n"
#define GROUPS    "name x\ntitle X\nprotocol groups\nmembers member 3 newcomer 1\n"

static void generals_turn_before_the_order_and_lie_only_when_they_owe(void **state)
{
    ends_with(GENERALS "g1 order-attack\ng4 turn\n", "line 6: g4 cannot do that\n");
    ends_with(GENERALS "g4 turn\ng4 attack\n", "line 6: g4 cannot do that\n");
    ends_with(GENERALS "g2 order-attack\n", "line 5: g2 cannot do that\n");
    ends_with(GENERALS "let messages signed\ng4 turn\ng1 order-attack\nrun\ng4 retreat\n",
              "line 9: g4 cannot do that\n"); /* he has no signature for it */
}

static void a_quorum_is_not_larger_than_what_is_asked(void **state)
{
    ends_with(REGISTERS "let w 4\nc1 read\n", "it cannot begin: more answers than replicas\n");
    ends_with(REGISTERS "let home 1\nc1 read\n", "it cannot begin: more answers than replicas\n");
    ends_with(REGISTERS "c1 write\n", "line 5: c1 cannot do that\n");
    ends_with(REGISTERS "c1 read\nc1 read\n", "line 6: c1 cannot do that\n");
}

static void only_a_majority_of_a_view_replaces_it(void **state)
{
    ends_with(GROUPS "m1 without m2 m3\n", "line 5: m1 cannot do that\n");
    ends_with(GROUPS "n1 send\n", "line 5: n1 cannot do that\n");
    ends_with(GROUPS "m1 with m2\n", "line 5: m1 cannot do that\n");
}

static void who_holds_too_much_for_a_view_to_come_ends_the_run(void **state)
{
    ends_with(GROUPS
              "m1 with n1\ndeliver flush m1 -> m2,m3\ndeliver flushed m2,m3 -> m1\nrepeat 17\nm1 send\nend\n"
              "deliver view m1 -> n1\ndeliver message m1 -> n*\nexpect violation bound-on-held\n",
              "");
}

static void a_run_of_swim_is_the_same_each_time(void **state)
{
    const qr_swim_plan plan = {.members = 20,
                               .periods = 40,
                               .crash_at = 5,
                               .loss = 100,
                               .helpers = 2,
                               .carried = 4,
                               .suspicion = true};
    qr_swim_result first, second;
    qr_swim_run(&plan, 7, &first);
    qr_swim_run(&plan, 7, &second);
    assert_memory_equal(&first, &second, sizeof first);
    assert_true(first.first > 0 && first.all >= first.first);
    qr_swim_run(&plan, 8, &second);
    assert_int_not_equal(first.messages, second.messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generals_turn_before_the_order_and_lie_only_when_they_owe),
        cmocka_unit_test(a_quorum_is_not_larger_than_what_is_asked),
        cmocka_unit_test(only_a_majority_of_a_view_replaces_it),
        cmocka_unit_test(who_holds_too_much_for_a_view_to_come_ends_the_run),
        cmocka_unit_test(a_run_of_swim_is_the_same_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
