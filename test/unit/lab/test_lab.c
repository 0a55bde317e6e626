/* The frame of the laboratory: files that make no sense are refused, expectations that fail are seen,
 * searches find what is there, the words of notes find scenarios, and every mistake that a protocol can make
 * is caught by some scenario. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lab/find.h"
#include "lab/narrate.h"
#include "lab/scenario.h"

#define HEAD "name x\ntitle X\nprotocol paxos\nmembers proposer 2 acceptor 3\n"

static void refused(const char *text, const char *complaint_wanted)
{
    qr_scenario scenario;
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    assert_int_not_equal(qr_scenario_read(qr_slice_text(text), &scenario, complaint), QR_OK);
    assert_string_equal(complaint, complaint_wanted);
    qr_scenario_free(&scenario);
}

static void nonsense_is_refused_with_its_line(void **state)
{
    refused("name x\n", "line 1: name, title and protocol are needed");
    refused("name a b\n", "line 1: a name has letters, digits and dashes");
    refused("protocol raffle\n", "line 1: there is no such protocol");
    refused("members acceptor 3\n", "line 1: the protocol comes first");
    refused(HEAD "members doorman 3\n", "line 5: the protocol has no such role");
    refused(HEAD "members acceptor 99\n", "line 5: that many processes of this role are not possible");
    refused(HEAD "let quorum many\n", "line 5: the parameter cannot have this value");
    refused(HEAD "let variant wild\n", "line 5: the parameter cannot have this value");
    refused(HEAD "allow miracles 1\n",
            "line 5: allow takes crashes N, crashing ROLE, drops N, duplicates N and restarts");
    refused(HEAD "\n# no\nrun\nseed 3\n", "line 8: the head comes before the steps");
    refused(HEAD "deliver prepare p1\n", "line 5: too few or too many words for this step");
    refused(HEAD "repeat 3\nrun\n", "line 6: a repeat without an end");
    refused(HEAD "end\n", "line 5: an end without a repeat");
    refused(HEAD "hurry\n", "line 5: neither a step nor an event of a process");
}

/* What was wrong with the run of this scenario; owned by out. */
static const char *wrong_with(const char *text, qr_scenario_result *result)
{
    qr_scenario scenario;
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    if (qr_scenario_read(qr_slice_text(text), &scenario, complaint) != QR_OK)
        fail_msg("%s", complaint);
    qr_scenario_run(&scenario, NULL, result);
    qr_scenario_free(&scenario);
    qr_buffer_u8(&result->wrong, 0);
    assert_int_equal(result->as_expected, result->wrong.size == 1);
    return (const char *)result->wrong.data;
}

static void ends_with(const char *text, const char *wrong_wanted)
{
    qr_scenario_result result;
    assert_string_equal(wrong_with(text, &result), wrong_wanted);
    qr_scenario_result_free(&result);
}

static void steps_that_make_no_sense_end_the_run(void **state)
{
    ends_with(HEAD "deliver prepare p1 -> a1\nexpect a1.promised 9\n",
              "line 5: no such message is under way: prepare from p1 to a1\n");
    ends_with(HEAD "p3 propose\n", "line 5: 'p3' is no process, or 'propose' no event of the protocol\n");
    ends_with(HEAD "a1 propose\n", "line 5: a1 cannot do that\n");
    ends_with(HEAD "crash p1\np1 propose\n", "line 6: p1 cannot do that\n");
    ends_with(HEAD "restart p1\n", "line 5: p1 is up already\n");
    ends_with(HEAD "members acceptor 2\nlet quorum 3\n",
              "it cannot begin: a quorum larger than all acceptors\n");
}

static void expectations_are_looked_at(void **state)
{
    ends_with(HEAD "p1 propose Q\nrun\nexpect p1.learned Q\nexpect p1.learned != A\nexpect sent prepare 3\n"
                   "expect sent * > 5\nexpect steps < 100\nexpect pending 0\nexpect chosen = Q\n",
              "");
    ends_with(HEAD "p1 propose Q\nrun\nexpect p1.learned A\nexpect sent prepare 4\n",
              "line 7: expected p1.learned = A, found Q\nline 8: expected sent = 4, found 3\n");
    ends_with(HEAD "expect p1.hat red\n",
              "line 5: this expectation cannot be looked at: 'p1.hat' has no such value\n");
    ends_with(HEAD "expect states 1\n",
              "line 5: this expectation cannot be looked at: 'states' has no such value\n");
    ends_with(HEAD "expect violation agreement\n", "line 5: expected violation = agreement, found none\n");
}

static void patterns_choose_messages(void **state)
{
    ends_with(HEAD "p1 propose\np2 propose\ndeliver prepare(2 p2 -> a1\ndeliver * * -> a1\n"
                   "expect a1.promised 2\nexpect a2.promised 0\n" /* prepare(1) came and was refused */
                   "expect sent nack 1\ndrop prepare p* -> a2,a3\nexpect pending 2\n"
                   "duplicate promise a1 -> p2\nexpect pending 3\nrun\nexpect p2.learned -\n",
              "");
}

static void a_schedule_may_not_fill_the_memory(void **state)
{
    ends_with(HEAD "repeat 20000\np1 propose\np2 propose\nend\nexpect violation bound-on-messages\n", "");
}

static void a_split_holds_messages_back(void **state)
{
    ends_with(HEAD "partition p1,a1 | a2,a3,p2\np1 propose\nrun\nexpect a1.promised 1\nexpect a2.promised 0\n"
                   "expect pending 2\nheal\nrun\nexpect p1.learned A\n",
              "");
}

static void repeats_repeat(void **state)
{
    ends_with(HEAD "repeat 3\nrepeat 2\np1 propose\nend\np2 propose\nend\nexpect p1.ballot 11\n"
                   "expect p2.ballot 6\n",
              "");
}

static uint64_t print_after(const qr_lab_setting *setting, unsigned acceptor, bool answers, int crashes)
{
    qr_lab_world world;
    assert_null(qr_lab_world_init(&world, setting, NULL));
    assert_true(qr_lab_fire(&world, 0, &setting->protocol->events[0], &(qr_lab_words){0}));
    qr_lab_deliver(&world, acceptor); /* prepare */
    if (answers)
        qr_lab_deliver(&world, world.message_count - 1); /* promise */
    if (crashes >= 0)
        qr_lab_crash(&world, qr_lab_first(&world, 1) + (unsigned)crashes);
    uint64_t fingerprint = qr_lab_world_fingerprint(&world);
    qr_lab_world_free(&world);
    return fingerprint;
}

/* Acceptors that change places make no difference; that something differs at one of them does. */
static void alike_processes_may_change_places(void **state)
{
    qr_scenario scenario;
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    assert_int_equal(qr_scenario_read(qr_slice_text(HEAD), &scenario, complaint), QR_OK);
    const qr_lab_setting *setting = &scenario.setting;
    for (unsigned a = 0; a < 3; a++) {
        assert_int_equal(print_after(setting, a, false, -1), print_after(setting, 0, false, -1));
        assert_int_equal(print_after(setting, a, true, -1), print_after(setting, 0, true, -1));
        assert_int_equal(print_after(setting, a, true, (int)a), print_after(setting, 0, true, 0));
    }
    assert_int_not_equal(print_after(setting, 0, false, -1), print_after(setting, 0, true, -1));
    assert_int_not_equal(print_after(setting, 0, true, 0), print_after(setting, 0, true, 1));
    qr_scenario_free(&scenario);
}

/* What a scenario that ends as expected tells, as a string. */
static qr_narrator story_of(const char *text, qr_scenario_result *result)
{
    qr_scenario scenario;
    char complaint[QR_SCENARIO_COMPLAINT_MAX];
    assert_int_equal(qr_scenario_read(qr_slice_text(text), &scenario, complaint), QR_OK);
    qr_narrator narrator = {0};
    qr_lab_ear ear = qr_narrator_ear(&narrator);
    qr_scenario_run(&scenario, &ear, result);
    assert_true(result->as_expected);
    qr_buffer_u8(&narrator.out, 0);
    qr_scenario_free(&scenario);
    return narrator;
}

/* The story of the shortest way to a broken property is told with the same steps that led there. */
static void what_a_search_finds_is_told(void **state)
{
    qr_scenario_result result;
    qr_narrator narrator =
        story_of(HEAD "let variant one-promise\nexplore\nexpect violation agreement\n", &result);
    assert_string_equal(result.violation, "agreement");
    assert_int_equal(result.steps, narrator.told);
    assert_non_null(strstr((const char *)narrator.out.data, "!! broken: agreement"));
    qr_buffer_free(&narrator.out);
    qr_scenario_result_free(&result);
}

static void a_search_knows_when_it_was_cut_short(void **state)
{
    ends_with(HEAD "explore 10\n", "the exploration was not complete\n");
    ends_with(HEAD "explore 10\nexpect partial yes\nexpect states 10\n", "");
}

static void walks_are_the_same_under_the_same_seed(void **state)
{
    const char *text = HEAD "seed 7\nlet rounds 3\nsample 20 500\nexpect states 20\n";
    qr_scenario_result first, second;
    assert_string_equal(wrong_with(text, &first), "");
    assert_string_equal(wrong_with(text, &second), "");
    assert_int_equal(first.finding.moves, second.finding.moves);
    assert_true(first.finding.moves > 0);
    qr_scenario_result_free(&first);
    qr_scenario_result_free(&second);
}

static const qr_lab_parameter *variants_of(const qr_lab_protocol *protocol, size_t *number)
{
    for (*number = 0; protocol->parameters[*number].name; ++*number)
        if (strcmp(protocol->parameters[*number].name, "variant") == 0)
            return &protocol->parameters[*number];
    return NULL;
}

/* Values that are looked at are the answer: they are told while all is quiet, in a repeat in the last round.
 */
static void what_is_looked_at_is_told(void **state)
{
    qr_scenario_result result;
    qr_narrator narrator = story_of(
        HEAD "quiet\nrepeat 3\np1 propose A\nexpect p1.ballot > 0\nend\nrun\nexpect chosen A\n", &result);
    assert_string_equal((const char *)narrator.out.data, "        = p1.ballot: 5\n        = chosen: A\n");
    qr_buffer_free(&narrator.out);
    qr_scenario_result_free(&result);
}

/* Whether these words mean a scenario. */
static bool means(const char *words, qr_scenario_manner manner, const char *name)
{
    bool meant = false;
    for (const qr_scenario_file *file = qr_scenario_files; file->name; file++) {
        qr_scenario scenario;
        char complaint[QR_SCENARIO_COMPLAINT_MAX];
        assert_int_equal(qr_scenario_read(qr_slice_text(file->text), &scenario, complaint), QR_OK);
        qr_arena arena;
        qr_arena_init(&arena);
        if (strcmp(file->name, name) == 0)
            meant = qr_scenario_is_meant(qr_scenario_folded(words, &arena), manner,
                                         &qr_scenario_topics[file->topic], &scenario);
        qr_arena_free(&arena);
        qr_scenario_free(&scenario);
    }
    return meant;
}

static void scenarios_are_found_by_the_words_of_notes(void **state)
{
    assert_true(means("Exercise 2", QR_SCENARIO_AS_THEY_STAND, "raft-log-2"));
    assert_false(means("Exercise 2", QR_SCENARIO_AS_THEY_STAND, "raft-log-1"));
    assert_true(means("PARTI\xC3\x87\xC3\x83O de rede", QR_SCENARIO_AS_THEY_STAND, "part-even"));
    assert_true(means("tr\xC3\xAAs fases", QR_SCENARIO_AS_THEY_STAND, "3pc-crash"));
    assert_true(means("Problema dos Generais", QR_SCENARIO_AS_THEY_STAND, "om1-3-story"));
    assert_false(means("generals, traitors of oral messages", QR_SCENARIO_AS_THEY_STAND, "om0-4"));
    assert_true(means("generals, traitors of oral messages", QR_SCENARIO_ALL_OF_THEM, "om0-4"));
    assert_false(means("of a", QR_SCENARIO_ALL_OF_THEM, "om0-4"));
    assert_false(means("contador", QR_SCENARIO_ALL_OF_THEM, "om0-4"));
    assert_string_equal(qr_scenario_name_like("paxos5-A-firts"), "paxos5-a-first");
    assert_null(qr_scenario_name_like("fencing"));
}

/* Whether some scenario of this variant is as expected and ends in a broken property. */
static bool is_caught(const qr_lab_protocol *protocol, size_t number, int32_t variant)
{
    bool caught = false;
    for (const qr_scenario_file *file = qr_scenario_files; file->name && !caught; file++) {
        qr_scenario scenario;
        char complaint[QR_SCENARIO_COMPLAINT_MAX];
        if (qr_scenario_read(qr_slice_text(file->text), &scenario, complaint) != QR_OK)
            fail_msg("%s: %s", file->name, complaint);
        if (scenario.protocol == protocol && scenario.setting.parameters[number] == variant) {
            qr_scenario_result result;
            qr_scenario_run(&scenario, NULL, &result);
            caught = result.as_expected && result.violation;
            qr_scenario_result_free(&result);
        }
        qr_scenario_free(&scenario);
    }
    return caught;
}

static void every_mistake_is_caught_by_a_scenario(void **state)
{
    for (size_t i = 0; qr_lab_protocols[i]; i++) {
        size_t number;
        const qr_lab_parameter *variants = variants_of(qr_lab_protocols[i], &number);
        if (variants == NULL)
            continue;
        assert_true(strncmp(variants->words, "correct", 7) == 0);
        int32_t variant = 0;
        for (const char *bar = strchr(variants->words, '|'); bar; bar = strchr(bar + 1, '|'))
            if (!is_caught(qr_lab_protocols[i], number, ++variant))
                fail_msg("%s: no scenario catches variant %s", qr_lab_protocols[i]->name, bar + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nonsense_is_refused_with_its_line),
        cmocka_unit_test(steps_that_make_no_sense_end_the_run),
        cmocka_unit_test(expectations_are_looked_at),
        cmocka_unit_test(what_is_looked_at_is_told),
        cmocka_unit_test(scenarios_are_found_by_the_words_of_notes),
        cmocka_unit_test(patterns_choose_messages),
        cmocka_unit_test(a_schedule_may_not_fill_the_memory),
        cmocka_unit_test(a_split_holds_messages_back),
        cmocka_unit_test(repeats_repeat),
        cmocka_unit_test(alike_processes_may_change_places),
        cmocka_unit_test(what_a_search_finds_is_told),
        cmocka_unit_test(a_search_knows_when_it_was_cut_short),
        cmocka_unit_test(walks_are_the_same_under_the_same_seed),
        cmocka_unit_test(every_mistake_is_caught_by_a_scenario),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
