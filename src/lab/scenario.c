#include "lab/scenario.h"

#include <stdio.h>

/* -------------------------------------------------------------- words ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static qr_slice trimmed(qr_slice text)
{
    while (text.size > 0 && is_space(text.data[0]))
        text = qr_slice_of(text.data + 1, text.size - 1);
    while (text.size > 0 && is_space(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* Cuts the first word off. */
static qr_slice next_word(qr_slice *text)
{
    *text = trimmed(*text);
    size_t size = 0;
    while (size < text->size && !is_space(text->data[size]))
        size++;
    qr_slice word = qr_slice_of(text->data, size);
    *text = trimmed(qr_slice_of(text->data + size, text->size - size));
    return word;
}

static bool split(qr_slice text, qr_arena *arena, qr_lab_words *words)
{
    qr_slice list[QR_SCENARIO_WORDS_MAX];
    *words = (qr_lab_words){0};
    while (text.size > 0) {
        if (words->count == QR_SCENARIO_WORDS_MAX)
            return false;
        list[words->count++] = next_word(&text);
    }
    if (words->count) {
        qr_slice *kept = qr_arena_alloc(arena, words->count * sizeof *kept);
        memcpy(kept, list, words->count * sizeof *kept);
        words->list = kept;
    }
    return true;
}

/* --------------------------------------------------------------- head ---- */

static bool is_name(qr_slice word)
{
    for (size_t i = 0; i < word.size; i++) {
        uint8_t c = word.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return word.size > 0 && word.size <= 60;
}

static void count_processes(qr_lab_setting *setting)
{
    setting->count = 0;
    for (unsigned role = 0; role < QR_LAB_ROLES_MAX && setting->protocol->roles[role].name; role++)
        setting->count = (uint16_t)(setting->count + setting->counts[role]);
}

static const char *take_protocol(qr_scenario *scenario, qr_slice rest)
{
    qr_slice name = next_word(&rest);
    const qr_lab_protocol *protocol = qr_lab_protocol_find(name);
    if (protocol == NULL || rest.size > 0)
        return "there is no such protocol";
    scenario->protocol = scenario->setting.protocol = protocol;
    for (unsigned role = 0; protocol->roles[role].name; role++)
        scenario->setting.counts[role] = protocol->roles[role].count;
    count_processes(&scenario->setting);
    for (size_t i = 0; protocol->parameters[i].name; i++)
        scenario->setting.parameters[i] = protocol->parameters[i].value;
    return NULL;
}

/* ROLES_MAX: there is none of that name. */
static unsigned role_named(const qr_scenario *scenario, qr_slice name)
{
    const qr_lab_role *roles = scenario->protocol->roles;
    unsigned role = 0;
    while (roles[role].name && !qr_lab_word_is(name, roles[role].name))
        role++;
    return roles[role].name ? role : QR_LAB_ROLES_MAX;
}

/* members proposer 2 acceptor 5 */
static const char *take_members(qr_scenario *scenario, qr_slice rest)
{
    const qr_lab_role *roles = scenario->protocol->roles;
    while (rest.size > 0) {
        qr_slice name = next_word(&rest), word = next_word(&rest);
        int64_t number;
        unsigned role = role_named(scenario, name);
        if (role == QR_LAB_ROLES_MAX)
            return "the protocol has no such role";
        if (!qr_lab_number(word, &number) || number < 0 || number > roles[role].count_max)
            return "that many processes of this role are not possible";
        scenario->setting.counts[role] = (uint16_t)number;
    }
    count_processes(&scenario->setting);
    return scenario->setting.count > 0 && scenario->setting.count <= QR_LAB_PROCESSES_MAX
               ? NULL
               : "no processes, or too many";
}

/* Index of a word in "correct|amnesia"; -1: not in there. */
static int32_t word_among(qr_slice word, const char *words)
{
    int32_t index = 0;
    for (const char *at = words; at != NULL; index++) {
        const char *bar = strchr(at, '|');
        if (qr_slice_equal(word, qr_slice_of(at, bar ? (size_t)(bar - at) : strlen(at))))
            return index;
        at = bar ? bar + 1 : NULL;
    }
    return -1;
}

/* let quorum 2 */
static const char *take_parameter(qr_scenario *scenario, qr_slice rest)
{
    const qr_lab_parameter *parameters = scenario->protocol->parameters;
    qr_slice name = next_word(&rest), word = next_word(&rest);
    size_t i = 0;
    while (parameters[i].name && !qr_lab_word_is(name, parameters[i].name))
        i++;
    if (parameters[i].name == NULL)
        return "the protocol has no such parameter";
    int64_t number = -1;
    if (parameters[i].words)
        number = word_among(word, parameters[i].words);
    else if (!qr_lab_number(word, &number) || number < parameters[i].min || number > parameters[i].max)
        return "the parameter cannot have this value";
    if (rest.size > 0 || (parameters[i].words && number < 0))
        return "the parameter cannot have this value";
    scenario->setting.parameters[i] = (int32_t)number;
    return NULL;
}

/* allow crashes 1 crashing acceptor drops 2 duplicates 1 restarts */
static const char *take_allowance(qr_scenario *scenario, qr_slice rest)
{
    while (rest.size > 0) {
        qr_slice what = next_word(&rest);
        if (qr_lab_word_is(what, "restarts")) {
            scenario->setting.restarts = true;
            continue;
        }
        if (qr_lab_word_is(what, "crashing")) {
            unsigned role = role_named(scenario, next_word(&rest));
            if (role == QR_LAB_ROLES_MAX)
                return "the protocol has no such role";
            scenario->setting.crash_roles |= (uint8_t)(1u << role);
            continue;
        }
        uint16_t *max = qr_lab_word_is(what, "crashes")      ? &scenario->setting.crashes_max
                        : qr_lab_word_is(what, "drops")      ? &scenario->setting.drops_max
                        : qr_lab_word_is(what, "duplicates") ? &scenario->setting.duplicates_max
                                                             : NULL;
        int64_t number;
        if (max == NULL || !qr_lab_number(next_word(&rest), &number) || number < 0 || number > 1000)
            return "allow takes crashes N, crashing ROLE, drops N, duplicates N and restarts";
        *max = (uint16_t)number;
    }
    return NULL;
}

static const char *take_seed(qr_scenario *scenario, qr_slice rest)
{
    int64_t number;
    if (!qr_lab_number(rest, &number) || number < 0)
        return "a seed is a number";
    scenario->setting.seed = (uint64_t)number;
    return NULL;
}

static const char *take_name(qr_scenario *scenario, qr_slice rest)
{
    scenario->name = rest;
    return is_name(rest) ? NULL : "a name has letters, digits and dashes";
}

static const char *take_title(qr_scenario *scenario, qr_slice rest)
{
    scenario->title = rest;
    return NULL;
}

static const char *take_source(qr_scenario *scenario, qr_slice rest)
{
    scenario->source = rest;
    return NULL;
}

static const char *take_about(qr_scenario *scenario, qr_slice rest)
{
    const uint8_t *begin = scenario->about.size ? scenario->about.data : rest.data;
    scenario->about = qr_slice_of(begin, (size_t)(rest.data + rest.size - begin));
    return NULL;
}

static const struct head_line {
    const char *word;
    bool needs_protocol;
    const char *(*take)(qr_scenario *scenario, qr_slice rest);
} head_lines[] = {
    {"name", false, take_name},    {"title", false, take_title},       {"source", false, take_source},
    {"about", false, take_about},  {"protocol", false, take_protocol}, {"members", true, take_members},
    {"let", true, take_parameter}, {"allow", true, take_allowance},    {"seed", false, take_seed},
};

/* -------------------------------------------------------------- steps ---- */

static const struct verb {
    const char *word;
    qr_scenario_verb verb;
    size_t words_min, words_max;
} verbs[] = {
    {"deliver", QR_SCENARIO_DELIVER, 4, 4},
    {"drop", QR_SCENARIO_DROP, 4, 4},
    {"duplicate", QR_SCENARIO_DUPLICATE, 4, 4},
    {"crash", QR_SCENARIO_CRASH, 1, 1},
    {"restart", QR_SCENARIO_RESTART, 1, 1},
    {"partition", QR_SCENARIO_PARTITION, 3, QR_SCENARIO_WORDS_MAX},
    {"heal", QR_SCENARIO_HEAL, 0, 0},
    {"run", QR_SCENARIO_RUN, 0, 1},
    {"random", QR_SCENARIO_RANDOM, 1, 1},
    {"sample", QR_SCENARIO_SAMPLE, 2, 2},
    {"explore", QR_SCENARIO_EXPLORE, 0, 1},
    {"repeat", QR_SCENARIO_REPEAT, 1, 1},
    {"end", QR_SCENARIO_END, 0, 0},
    {"note", QR_SCENARIO_NOTE, 0, QR_SCENARIO_WORDS_MAX},
    {"quiet", QR_SCENARIO_QUIET, 0, 0},
    {"loud", QR_SCENARIO_LOUD, 0, 0},
    {"expect", QR_SCENARIO_EXPECT, 2, 6},
};

static const char *add_step(qr_scenario *scenario, qr_slice word, qr_slice whole, qr_slice rest,
                            uint32_t line)
{
    if (scenario->step_count == scenario->step_room) {
        scenario->step_room = scenario->step_room ? 2 * scenario->step_room : 32;
        scenario->steps = qr_realloc(scenario->steps, scenario->step_room * sizeof *scenario->steps);
    }
    qr_scenario_step *step = &scenario->steps[scenario->step_count];
    *step = (qr_scenario_step){.verb = QR_SCENARIO_EVENT, .line = line, .rest = rest};
    const struct verb *verb = NULL;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        verb = qr_lab_word_is(word, verbs[i].word) ? &verbs[i] : verb;
    if (verb)
        step->verb = verb->verb;
    if (step->verb == QR_SCENARIO_NOTE) {
        scenario->step_count++;
        return NULL;
    }
    if (!split(verb ? rest : whole, &scenario->arena, &step->words))
        return "too many words in a line";
    if (verb && (step->words.count < verb->words_min || step->words.count > verb->words_max))
        return "too few or too many words for this step";
    if (!verb && step->words.count < 2)
        return "neither a step nor an event of a process";
    scenario->step_count++;
    return NULL;
}

/* Each repeat finds its end. */
static const char *pair_repeats(qr_scenario *scenario, uint32_t *line)
{
    size_t open[QR_SCENARIO_DEPTH_MAX], depth = 0;
    for (size_t i = 0; i < scenario->step_count; i++) {
        qr_scenario_step *step = &scenario->steps[i];
        *line = step->line;
        if (step->verb == QR_SCENARIO_REPEAT) {
            if (depth == QR_SCENARIO_DEPTH_MAX)
                return "too many repeats inside each other";
            open[depth++] = i;
        } else if (step->verb == QR_SCENARIO_END) {
            if (depth == 0)
                return "an end without a repeat";
            step->partner = open[--depth];
            scenario->steps[step->partner].partner = i;
        }
    }
    return depth ? "a repeat without an end" : NULL;
}

static const char *take_line(qr_scenario *scenario, qr_slice whole, uint32_t number)
{
    qr_slice rest = whole, word = next_word(&rest);
    if (word.size == 0 || word.data[0] == '#')
        return NULL;
    for (size_t i = 0; i < sizeof head_lines / sizeof *head_lines; i++) {
        if (!qr_lab_word_is(word, head_lines[i].word))
            continue;
        if (scenario->step_count > 0)
            return "the head comes before the steps";
        if (head_lines[i].needs_protocol && scenario->protocol == NULL)
            return "the protocol comes first";
        return head_lines[i].take(scenario, rest);
    }
    if (scenario->protocol == NULL)
        return "no protocol is named before the first step";
    return add_step(scenario, word, whole, rest, number);
}

qr_status qr_scenario_read(qr_slice text, qr_scenario *scenario, char *complaint)
{
    *scenario = (qr_scenario){.setting.seed = 1};
    qr_arena_init(&scenario->arena);
    complaint[0] = 0;
    if (text.size > QR_SCENARIO_SIZE_MAX) {
        snprintf(complaint, QR_SCENARIO_COMPLAINT_MAX, "larger than %d bytes", QR_SCENARIO_SIZE_MAX);
        return QR_E_TOO_LARGE;
    }
    const char *wrong = NULL;
    uint32_t number = 0;
    while (text.size > 0 && wrong == NULL) {
        const uint8_t *newline = memchr(text.data, '\n', text.size);
        size_t size = newline ? (size_t)(newline - text.data) : text.size;
        number++;
        wrong = take_line(scenario, trimmed(qr_slice_of(text.data, size)), number);
        size += newline != NULL;
        text = qr_slice_of(text.data + size, text.size - size);
    }
    if (wrong == NULL &&
        (scenario->name.size == 0 || scenario->title.size == 0 || scenario->protocol == NULL))
        wrong = "name, title and protocol are needed";
    if (wrong == NULL)
        wrong = pair_repeats(scenario, &number);
    if (wrong == NULL)
        return QR_OK;
    snprintf(complaint, QR_SCENARIO_COMPLAINT_MAX, "line %u: %s", number, wrong);
    return QR_E_INVALID;
}

void qr_scenario_free(qr_scenario *scenario)
{
    qr_free(scenario->steps);
    qr_arena_free(&scenario->arena);
    *scenario = (qr_scenario){0};
}
