/* detectors: the runs of swim.h as a protocol of the stage: one process, the group, and an event for a run.
 */

#include "lab/protocols.h"
#include "lab/swim.h"

enum { MEMBERS, PERIODS, CRASH_AT, LOSS, SLOW, LATENESS, HELPERS, CARRIED, SUSPICION, LIFEGUARD };

static bool run(qr_lab_world *world, unsigned self, const qr_lab_words *arguments, bool heartbeats)
{
    qr_swim_result *result = qr_lab_state(world, self);
    const qr_swim_plan plan = {
        .members = (uint32_t)qr_lab_parameter_of(world, MEMBERS),
        .periods = (uint32_t)qr_lab_parameter_of(world, PERIODS),
        .crash_at = (uint32_t)qr_lab_parameter_of(world, CRASH_AT),
        .loss = (uint32_t)qr_lab_parameter_of(world, LOSS),
        .slow = (uint32_t)qr_lab_parameter_of(world, SLOW),
        .lateness = (uint32_t)qr_lab_parameter_of(world, LATENESS),
        .helpers = (uint32_t)qr_lab_parameter_of(world, HELPERS),
        .carried = (uint32_t)qr_lab_parameter_of(world, CARRIED),
        .suspicion = qr_lab_parameter_of(world, SUSPICION),
        .lifeguard = qr_lab_parameter_of(world, LIFEGUARD),
        .heartbeats = heartbeats,
    };
    if (arguments->count > 0)
        return false;
    qr_swim_run(&plan, world->setting->seed, result);
    return true;
}

static bool swim(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return run(world, self, arguments, false);
}

static bool heartbeats(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return run(world, self, arguments, true);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *message)
{
    (void)world, (void)self, (void)message; /* nobody sends any */
}

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    const qr_swim_result *result = qr_lab_state(world, self);
    qr_buffer_format(out,
                     "%llu messages; the crash known to one after %u periods, to all after %u; of the living "
                     "%llu suspected, %llu declared dead",
                     (unsigned long long)result->messages, result->first, result->all,
                     (unsigned long long)result->suspicions, (unsigned long long)result->mistakes);
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *message, qr_buffer *out)
{
    (void)world, (void)message, (void)out;
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    (void)world;
    qr_buffer_format(out, "run");
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY)
        return false;
    const qr_swim_result *result = qr_lab_state(world, self);
    const struct {
        const char *name;
        uint64_t value;
    } values[] = {
        {"messages", result->messages},
        {"per-member-period", result->messages / (uint64_t)qr_lab_parameter_of(world, MEMBERS) /
                                  (uint64_t)qr_lab_parameter_of(world, PERIODS)},
        {"first", result->first},
        {"all", result->all},
        {"suspicions", result->suspicions},
        {"mistakes", result->mistakes},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (qr_lab_word_is(name, values[i].name)) {
            qr_buffer_format(out, "%llu", (unsigned long long)values[i].value);
            return true;
        }
    return false;
}

static const qr_lab_parameter parameters[] = {
    [MEMBERS] = {"members", NULL, 100, 2, QR_SWIM_MEMBERS_MAX, "of the group"},
    [PERIODS] = {"periods", NULL, 100, 1, 10000, "of the run"},
    [CRASH_AT] = {"crash-at", NULL, 20, 0, 10000, "the period in which the first member crashes"},
    [LOSS] = {"loss", NULL, 50, 0, 1000, "messages that are lost, per mille"},
    [SLOW] = {"slow", NULL, 50, 0, 1000, "members that are slow, per mille"},
    [LATENESS] = {"lateness", NULL, 200, 0, 1000, "messages that a slow member misses, per mille"},
    [HELPERS] = {"helpers", NULL, 3, 0, 100, "who are asked to probe as well; SWIM's k"},
    [CARRIED] = {"carried", NULL, 16, 1, 64, "rumours that a message carries at most"},
    [SUSPICION] = {"suspicion", "no|yes", 1, 0, 0, "whether who does not answer is suspected first"},
    [LIFEGUARD] = {"lifeguard", "no|yes", 0, 0, 0, "whether who gets no answers at all doubts itself"},
    {0},
};

static const qr_lab_event events[] = {
    {"swim", "a run of SWIM", NULL, swim},
    {"heartbeats", "a run of heartbeats of all to all", NULL, heartbeats},
    {0},
};

static const char *const kinds[] = {NULL};

static const char *start(qr_lab_world *world)
{
    (void)world;
    return NULL;
}

const qr_lab_protocol qr_lab_detectors = {
    .name = "detectors",
    .title = "failure detectors: SWIM beside heartbeats",
    .roles = {{"group", "g", 1, 1}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(qr_swim_result),
    .message_size = sizeof(qr_lab_message),
    .start = start,
    .receive = receive,
    .describe = describe,
    .describe_message = describe_message,
    .outcome = outcome,
    .observe = observe,
};
