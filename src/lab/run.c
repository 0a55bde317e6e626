/* Runs the steps of a scenario, and looks whether what it expects came. */
#include <stdarg.h>
#include <stdio.h>

#include "lab/scenario.h"

enum { STEPS_AT_ONCE_MAX = 1000000, EXPLORE_STATES_MAX = 20000000 };

typedef struct runner {
    const qr_scenario *scenario;
    qr_scenario_result *result;
    const qr_lab_ear *ear; /* when it is not quiet */
    qr_lab_world world;
    qr_lab_choices choices;
    qr_prng prng;
    bool stuck;                           /* a step made no sense: nothing after it does */
    bool violation_awaited;               /* there was a line for it */
    bool partial_awaited;                 /* an exploration need not be complete */
    uint32_t left[QR_SCENARIO_DEPTH_MAX]; /* rounds of the repeats that are open */
    size_t depth;
} runner;

static void complain(runner *r, const qr_scenario_step *step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(runner *r, const qr_scenario_step *step, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (step)
        qr_buffer_format(&r->result->wrong, "line %u: ", step->line);
    qr_buffer_format(&r->result->wrong, "%s\n", text);
}

#define WORD(word) (int)(word).size, (const char *)(word).data

/* --------------------------------------------------- naming processes ---- */

typedef struct some {
    bool in[QR_LAB_PROCESSES_MAX];
    bool star; /* not each by name */
} some;

/* "a1,a3", "a*", "*" */
static bool name_some(const runner *r, qr_slice list, some *set)
{
    *set = (some){0};
    while (list.size > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.size);
        size_t size = comma ? (size_t)(comma - list.data) : list.size;
        qr_slice name = qr_slice_of(list.data, size);
        unsigned first, last;
        if (!qr_lab_processes(&r->scenario->setting, name, &first, &last))
            return false;
        set->star |= name.data[size - 1] == '*';
        for (unsigned i = first; i <= last; i++)
            set->in[i] = true;
        size += comma != NULL;
        list = qr_slice_of(list.data + size, list.size - size);
    }
    return true;
}

static bool name_one(runner *r, const qr_scenario_step *step, qr_slice name, unsigned *self)
{
    unsigned last;
    if (qr_lab_processes(&r->scenario->setting, name, self, &last) && *self == last)
        return true;
    complain(r, step, "'%.*s' is no process", WORD(name));
    return !(r->stuck = true);
}

/* ----------------------------------------------------------- messages ---- */

/* Whether the message reads like the pattern: its text begins with it. */
static bool reads_like(const runner *r, size_t i, qr_slice pattern)
{
    if (qr_lab_word_is(pattern, "*"))
        return true;
    qr_buffer text = {0};
    r->world.setting->protocol->describe_message(&r->world, qr_lab_pending(&r->world, i), &text);
    bool alike = qr_slice_starts(qr_buffer_slice(&text), pattern);
    qr_buffer_free(&text);
    return alike;
}

static void do_to_message(runner *r, qr_scenario_verb verb, size_t i)
{
    if (verb == QR_SCENARIO_DELIVER)
        qr_lab_deliver(&r->world, i);
    else if (verb == QR_SCENARIO_DROP)
        qr_lab_drop(&r->world, i);
    else
        qr_lab_duplicate(&r->world, i);
}

/* Of the messages that are under way now, those that fit: the oldest of each pair when pairs are named, else
 * all. */
static unsigned do_to_some(runner *r, const qr_scenario_step *step, const some *from, const some *to,
                           bool all)
{
    qr_slice pattern = step->words.list[0];
    unsigned done = 0;
    size_t end = r->world.message_count;
    for (size_t i = 0; i < end && !r->world.violation && (all || done == 0);) {
        const qr_lab_message *message = qr_lab_pending(&r->world, i);
        if (!from->in[message->from] || !to->in[message->to] || !reads_like(r, i, pattern) ||
            (step->verb == QR_SCENARIO_DELIVER && !qr_lab_deliverable(&r->world, i))) {
            i++;
            continue;
        }
        do_to_message(r, step->verb, i);
        done++;
        if (step->verb == QR_SCENARIO_DUPLICATE)
            i++;
        else
            end--;
    }
    return done;
}

static void only(some *set, unsigned i)
{
    *set = (some){0};
    set->in[i] = true;
}

/* deliver PATTERN FROM -> TO */
static void step_messages(runner *r, const qr_scenario_step *step)
{
    some from, to, one_from, one_to;
    const qr_slice *words = step->words.list;
    if (!name_some(r, words[1], &from) || !name_some(r, words[3], &to) || !qr_lab_word_is(words[2], "->")) {
        complain(r, step, "this step is written PATTERN FROM -> TO, with names of processes");
        r->stuck = true;
        return;
    }
    bool all = from.star || to.star || qr_lab_word_is(words[0], "*");
    bool found = true;
    if (all)
        found = do_to_some(r, step, &from, &to, true) > 0;
    for (unsigned f = 0; !all && f < r->world.setting->count; f++)
        for (unsigned t = 0; t < r->world.setting->count; t++) {
            if (!from.in[f] || !to.in[t] || r->world.violation)
                continue;
            only(&one_from, f);
            only(&one_to, t);
            found = do_to_some(r, step, &one_from, &one_to, false) > 0 && found;
        }
    if (!found && !r->world.violation) {
        complain(r, step, "no such message is under way: %.*s from %.*s to %.*s", WORD(words[0]),
                 WORD(words[1]), WORD(words[3]));
        r->stuck = true;
    }
}

static void step_run(runner *r, const qr_scenario_step *step)
{
    int64_t steps = STEPS_AT_ONCE_MAX;
    if (step->words.count && !qr_lab_number(step->words.list[0], &steps)) {
        complain(r, step, "run takes a number of steps");
        r->stuck = true;
        return;
    }
    size_t i = 0;
    while (steps > 0 && i < r->world.message_count && !r->world.violation) {
        if (!qr_lab_deliverable(&r->world, i)) {
            i++;
            continue;
        }
        qr_lab_deliver(&r->world, i);
        steps--;
        i = 0;
    }
    if (steps == 0 && step->words.count == 0)
        complain(r, step, "no rest came within %d steps", STEPS_AT_ONCE_MAX);
}

static void step_random(runner *r, const qr_scenario_step *step)
{
    int64_t steps;
    if (!qr_lab_number(step->words.list[0], &steps)) {
        complain(r, step, "random takes a number of steps");
        r->stuck = true;
        return;
    }
    while (steps-- > 0 && !r->world.violation && qr_lab_random_step(&r->world, &r->choices, &r->prng))
        continue;
}

/* ---------------------------------------------------------- processes ---- */

static void step_event(runner *r, const qr_scenario_step *step)
{
    const qr_lab_event *events = r->scenario->protocol->events;
    const qr_slice *words = step->words.list;
    some set;
    size_t k = 0;
    while (events[k].name && !qr_lab_word_is(words[1], events[k].name))
        k++;
    if (!name_some(r, words[0], &set) || events[k].name == NULL) {
        complain(r, step, "'%.*s' is no process, or '%.*s' no event of the protocol", WORD(words[0]),
                 WORD(words[1]));
        r->stuck = true;
        return;
    }
    qr_lab_words arguments = {words + 2, step->words.count - 2};
    for (unsigned self = 0; self < r->world.setting->count && !r->world.violation; self++) {
        if (!set.in[self])
            continue;
        if (!qr_lab_up(&r->world, self) || !qr_lab_fire(&r->world, self, &events[k], &arguments)) {
            complain(r, step, "%s cannot do that", qr_lab_name_of(&r->world, self).text);
            r->stuck = true;
            return;
        }
    }
}

static void step_life(runner *r, const qr_scenario_step *step)
{
    unsigned self;
    bool crash = step->verb == QR_SCENARIO_CRASH;
    if (!name_one(r, step, step->words.list[0], &self))
        return;
    if (qr_lab_up(&r->world, self) != crash) {
        complain(r, step, "%s is %s already", qr_lab_name_of(&r->world, self).text, crash ? "down" : "up");
        r->stuck = true;
    } else if (crash)
        qr_lab_crash(&r->world, self);
    else
        qr_lab_restart(&r->world, self);
}

/* partition a1,a2,p1 | a3 | a4: who is not named is with the first. */
static void step_partition(runner *r, const qr_scenario_step *step)
{
    uint8_t sides[QR_LAB_PROCESSES_MAX] = {0}, side = 0;
    qr_buffer text = {0};
    for (size_t i = 0; i < step->words.count && !r->stuck; i++) {
        qr_slice word = step->words.list[i];
        some set;
        qr_buffer_format(&text, "%s%.*s", i ? " " : "", WORD(word));
        if (qr_lab_word_is(word, "|"))
            side++;
        else if (name_some(r, word, &set)) {
            for (unsigned k = 0; k < r->world.setting->count; k++)
                sides[k] = set.in[k] ? side : sides[k];
        } else {
            complain(r, step, "'%.*s' is no process", WORD(word));
            r->stuck = true;
        }
    }
    qr_buffer_u8(&text, 0);
    if (!r->stuck)
        qr_lab_part(&r->world, sides, (const char *)text.data);
    qr_buffer_free(&text);
}

/* -------------------------------------------------------- exploration ---- */

static void forget_finding(qr_scenario_result *result)
{
    qr_free(result->finding.path);
    result->finding.path = NULL;
}

/* The way to what was found is walked before everybody's ears. */
static void walk_path(runner *r)
{
    qr_scenario_result *result = r->result;
    for (size_t i = 0; i < result->finding.path_length; i++) {
        qr_lab_choose(&r->world, &result->finding.path[i]);
        qr_lab_forget_spent(&r->world);
    }
    QR_ASSERT(r->world.violation == result->finding.violation);
}

static void step_explore(runner *r, const qr_scenario_step *step)
{
    int64_t states = EXPLORE_STATES_MAX;
    bool given = step && step->words.count > 0;
    if (r->scenario->protocol->opaque || (given && (!qr_lab_number(step->words.list[0], &states) ||
                                                    states < 1 || states > EXPLORE_STATES_MAX))) {
        complain(r, step, "this cannot be explored, or not within that many states");
        r->stuck = true;
        return;
    }
    forget_finding(r->result);
    qr_lab_explore(&r->world, (uint64_t)states, &r->result->finding);
    r->result->explored = true;
    r->result->sampled = false;
    if (r->result->finding.violation)
        walk_path(r);
    forget_finding(r->result);
}

static void step_sample(runner *r, const qr_scenario_step *step)
{
    int64_t walks, steps;
    if (r->scenario->protocol->opaque || !qr_lab_number(step->words.list[0], &walks) ||
        !qr_lab_number(step->words.list[1], &steps) || walks < 1 || walks > STEPS_AT_ONCE_MAX || steps < 1) {
        complain(r, step, "sample takes a number of walks and one of steps");
        r->stuck = true;
        return;
    }
    forget_finding(r->result);
    qr_lab_sample(&r->world, (uint64_t)walks, (uint64_t)steps, &r->result->finding);
    r->result->explored = r->result->sampled = r->partial_awaited = true;
    if (r->result->finding.violation)
        r->world.violation = r->result->finding.violation;
}

/* ------------------------------------------------------- expectations ---- */

static bool frame_value(const runner *r, qr_slice name, qr_buffer *out)
{
    const qr_lab_finding *finding = &r->result->finding;
    const struct {
        const char *name;
        uint64_t value;
        bool is_finding;
    } values[] = {
        {"states", finding->states, true},
        {"moves", finding->moves, true},
        {"ends", finding->ends, true},
        {"depth", finding->depth, true},
        {"outcomes", finding->outcome_count, true},
        {"pending", r->world.message_count, false},
        {"steps", r->world.steps, false},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (qr_lab_word_is(name, values[i].name)) {
            qr_buffer_format(out, "%llu", (unsigned long long)values[i].value);
            return r->result->explored || !values[i].is_finding;
        }
    if (!qr_lab_word_is(name, "violation"))
        return false;
    qr_buffer_format(out, "%s", r->world.violation ? r->world.violation : "none");
    return true;
}

/* sent KIND, or the total for "*". */
static bool sent_value(const runner *r, qr_slice kind, qr_buffer *out)
{
    const char *const *kinds = r->scenario->protocol->kinds;
    uint64_t sent = 0;
    bool known = false;
    for (size_t i = 0; kinds[i]; i++)
        if (qr_lab_word_is(kind, "*") || qr_lab_word_is(kind, kinds[i])) {
            sent += r->world.sent[i];
            known = true;
        }
    qr_buffer_format(out, "%llu", (unsigned long long)sent);
    return known;
}

/* p1.decided, or a name of the whole. */
static bool protocol_value(const runner *r, qr_slice name, qr_buffer *out)
{
    const qr_lab_protocol *protocol = r->scenario->protocol;
    const uint8_t *dot = memchr(name.data, '.', name.size);
    if (dot == NULL)
        return protocol->observe(&r->world, QR_LAB_NOBODY, name, out);
    size_t size = (size_t)(dot - name.data);
    unsigned self, last;
    return qr_lab_processes(&r->scenario->setting, qr_slice_of(name.data, size), &self, &last) &&
           self == last &&
           protocol->observe(&r->world, self, qr_slice_of(dot + 1, name.size - size - 1), out);
}

static bool holds(qr_slice found, qr_slice operator, qr_slice wanted, bool *makes_sense)
{
    int64_t a, b;
    bool numbers = qr_lab_number(found, &a) && qr_lab_number(wanted, &b);
    *makes_sense = true;
    if (qr_lab_word_is(operator, "="))
        return qr_slice_equal(found, wanted);
    if (qr_lab_word_is(operator, "!="))
        return !qr_slice_equal(found, wanted);
    *makes_sense = numbers;
    if (numbers && qr_lab_word_is(operator, "<"))
        return a < b;
    if (numbers && qr_lab_word_is(operator, ">"))
        return a > b;
    return *makes_sense = false;
}

/* expect outcome TEXT STATES ENDS, or ENDS alone; "*" stands for any number above 0. */
static void expect_outcome(runner *r, const qr_scenario_step *step)
{
    const qr_slice *words = step->words.list;
    const qr_lab_finding *finding = &r->result->finding;
    qr_lab_outcome found = {0};
    for (size_t i = 0; i < finding->outcome_count; i++)
        if (qr_lab_word_is(words[1], finding->outcomes[i].text))
            found = finding->outcomes[i];
    const uint64_t numbers[] = {found.states, found.ends};
    for (size_t i = 2; i < step->words.count && i < 4; i++) {
        int64_t wanted;
        uint64_t number = numbers[i - 2];
        bool fits = qr_lab_word_is(words[i], "*")
                        ? number > 0
                        : qr_lab_number(words[i], &wanted) && wanted >= 0 && (uint64_t)wanted == number;
        if (!fits)
            complain(r, step, "expected of outcome %.*s %s %.*s, found %llu", WORD(words[1]),
                     i == 2 ? "states" : "ends", WORD(words[i]), (unsigned long long)number);
    }
}

/* What the scenario looks at answers its question, so it is told when all else is quiet, too; in a repeat
 * only in the last round. */
static void tell_value(const runner *r, const qr_slice *words, size_t used, qr_slice found)
{
    bool last_round = true;
    for (size_t i = 0; i < r->depth; i++)
        last_round &= r->left[i] == 1;
    if (r->ear == NULL || !last_round)
        return;
    qr_buffer text = {0};
    for (size_t i = 0; i < used; i++)
        qr_buffer_format(&text, "%s%.*s", i ? " " : "", WORD(words[i]));
    qr_buffer_format(&text, ": %.*s", (int)found.size, (const char *)found.data);
    qr_buffer_u8(&text, 0);
    r->ear->hear(r->ear->context, &(qr_lab_telling){.what = QR_LAB_LOOKED,
                                                    .world = &r->world,
                                                    .self = QR_LAB_NOBODY,
                                                    .text = (const char *)text.data});
    qr_buffer_free(&text);
}

static void step_expect(runner *r, const qr_scenario_step *step)
{
    const qr_slice *words = step->words.list;
    size_t count = step->words.count;
    r->result->expectations++;
    r->violation_awaited |= qr_lab_word_is(words[0], "violation");
    if (qr_lab_word_is(words[0], "partial")) { /* expect partial exploration */
        r->partial_awaited = true;
        return;
    }
    if (qr_lab_word_is(words[0], "outcome") && r->result->explored) {
        expect_outcome(r, step);
        return;
    }
    size_t used = qr_lab_word_is(words[0], "sent") ? 2 : 1;
    qr_buffer found = {0};
    bool of_frame = used == 1 && frame_value(r, words[0], &found);
    if (!of_frame)
        qr_buffer_clear(&found);
    bool known =
        of_frame || (used == 2 ? sent_value(r, words[1], &found) : protocol_value(r, words[0], &found));
    if (known && !of_frame) /* the end of the story has those of the frame */
        tell_value(r, words, used, qr_buffer_slice(&found));
    bool makes_sense = known && count >= used + 1 && count <= used + 2;
    if (makes_sense) {
        qr_slice operator= count == used + 2 ? words[used] : qr_slice_text("=");
        if (!holds(qr_buffer_slice(&found), operator, words[count - 1], &makes_sense) && makes_sense)
            complain(r, step, "expected %.*s %.*s %.*s, found %.*s", WORD(words[0]), WORD(operator),
                     WORD(words[count - 1]), (int)found.size, (const char *)found.data);
    }
    if (!makes_sense)
        complain(r, step, "this expectation cannot be looked at: '%.*s' has no such value", WORD(words[0]));
    qr_buffer_free(&found);
}

/* ---------------------------------------------------------------- all ---- */

/* The number of the step that follows. */
static size_t step_repeat(runner *r, const qr_scenario_step *step, size_t at)
{
    int64_t rounds;
    if (step->verb == QR_SCENARIO_END) {
        if (--r->left[r->depth - 1] > 0)
            return step->partner + 1;
        r->depth--;
        return at + 1;
    }
    if (!qr_lab_number(step->words.list[0], &rounds) || rounds < 1 || rounds > STEPS_AT_ONCE_MAX) {
        complain(r, step, "repeat takes a number of rounds");
        r->stuck = true;
        return at + 1;
    }
    r->left[r->depth++] = (uint32_t)rounds;
    return at + 1;
}

static void do_step(runner *r, const qr_scenario_step *step)
{
    switch (step->verb) {
    case QR_SCENARIO_EVENT: step_event(r, step); break;
    case QR_SCENARIO_DELIVER:
    case QR_SCENARIO_DROP:
    case QR_SCENARIO_DUPLICATE: step_messages(r, step); break;
    case QR_SCENARIO_CRASH:
    case QR_SCENARIO_RESTART: step_life(r, step); break;
    case QR_SCENARIO_PARTITION: step_partition(r, step); break;
    case QR_SCENARIO_HEAL: qr_lab_heal(&r->world); break;
    case QR_SCENARIO_RUN: step_run(r, step); break;
    case QR_SCENARIO_RANDOM: step_random(r, step); break;
    case QR_SCENARIO_SAMPLE: step_sample(r, step); break;
    case QR_SCENARIO_EXPLORE: step_explore(r, step); break;
    case QR_SCENARIO_NOTE: qr_lab_say(&r->world, QR_LAB_NOBODY, "%.*s", WORD(step->rest)); break;
    case QR_SCENARIO_QUIET: r->world.ear = NULL; break;
    case QR_SCENARIO_LOUD: r->world.ear = r->ear; break;
    case QR_SCENARIO_EXPECT: step_expect(r, step); break;
    case QR_SCENARIO_REPEAT:
    case QR_SCENARIO_END: QR_ASSERT(!"do_steps() has them"); break;
    }
}

/* When a property is broken, only the expectations are still of interest. */
static void do_steps(runner *r)
{
    for (size_t at = 0; at < r->scenario->step_count && !r->stuck;) {
        const qr_scenario_step *step = &r->scenario->steps[at];
        bool is_loop = step->verb == QR_SCENARIO_REPEAT || step->verb == QR_SCENARIO_END;
        if (is_loop && !r->world.violation) {
            at = step_repeat(r, step, at);
            continue;
        }
        if (!is_loop && (!r->world.violation || step->verb == QR_SCENARIO_EXPECT))
            do_step(r, step);
        at++;
    }
}

static void conclude(runner *r)
{
    qr_scenario_result *result = r->result;
    if (r->world.violation && !r->violation_awaited)
        complain(r, NULL, "broken: %s", r->world.violation);
    if (result->explored && !result->finding.complete && !result->finding.violation && !r->partial_awaited)
        complain(r, NULL, "the exploration was not complete");
    result->violation = r->world.violation;
    result->steps = r->world.steps;
    for (size_t i = 0; i < QR_LAB_KINDS_MAX; i++)
        result->sent += r->world.sent[i];
    result->as_expected = result->wrong.size == 0;
}

static void run(const qr_scenario *scenario, const qr_lab_ear *ear, qr_scenario_result *result, bool explore)
{
    *result = (qr_scenario_result){0};
    runner r = {.scenario = scenario, .result = result, .ear = ear};
    qr_prng_seed(&r.prng, scenario->setting.seed);
    const char *why = qr_lab_world_init(&r.world, &scenario->setting, ear);
    if (why)
        complain(&r, NULL, "it cannot begin: %s", why);
    else if (explore)
        step_explore(&r, NULL);
    else
        do_steps(&r);
    conclude(&r);
    qr_free(r.choices.list);
    qr_lab_world_free(&r.world);
}

void qr_scenario_run(const qr_scenario *scenario, const qr_lab_ear *ear, qr_scenario_result *result)
{
    run(scenario, ear, result, false);
}

void qr_scenario_explore(const qr_scenario *scenario, const qr_lab_ear *ear, qr_scenario_result *result)
{
    run(scenario, ear, result, true);
}

void qr_scenario_result_free(qr_scenario_result *result)
{
    qr_buffer_free(&result->wrong);
    forget_finding(result);
    *result = (qr_scenario_result){0};
}
