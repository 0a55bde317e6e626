/* sites: voters in three datacentres: what a commit costs wherever the leader stands, and what may be lost.
 *
 * A leader commits when a majority has stored an entry, itself included: so the wait is the round trip to the
 * last of the nearest majority that is up. No message is needed to know it; crashes are what a scenario or an
 * exploration plays. Times are tenths of a millisecond. */

#include "lab/protocols.h"

enum { LOCAL, AB, AC, BC };
enum { SITES = 3, VOTERS_MAX = 7 };

typedef struct voter {
    uint8_t present;
} voter;

static unsigned round_trip(const qr_lab_world *world, unsigned from, unsigned to)
{
    unsigned x = qr_lab_role_of(world, from), y = qr_lab_role_of(world, to);
    static const unsigned between[SITES][SITES] = {{LOCAL, AB, AC}, {AB, LOCAL, BC}, {AC, BC, LOCAL}};
    return from == to ? 0 : (unsigned)qr_lab_parameter_of(world, between[x][y]);
}

/* What `leader` waits for; false: there is no majority. */
static bool commit_of(const qr_lab_world *world, unsigned leader, unsigned *wait)
{
    unsigned count = world->setting->count, quorum = count / 2 + 1;
    for (unsigned i = 0; i < count; i++) {
        unsigned within = 0, candidate = round_trip(world, leader, i), nearer = 0;
        for (unsigned k = 0; k < count; k++) {
            within += qr_lab_up(world, k) && round_trip(world, leader, k) <= candidate;
            nearer += qr_lab_up(world, k) && round_trip(world, leader, k) < candidate;
        }
        *wait = candidate;
        if (within >= quorum && nearer < quorum)
            return qr_lab_up(world, leader);
    }
    return false;
}

static bool is_available(const qr_lab_world *world)
{
    unsigned up = 0;
    for (unsigned i = 0; i < world->setting->count; i++)
        up += qr_lab_up(world, i);
    return 2 * up > world->setting->count;
}

static bool lose(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    unsigned role = qr_lab_role_of(world, self);
    for (unsigned i = 0; i < qr_lab_count(world, role); i++)
        if (qr_lab_first(world, role) + i != self && qr_lab_up(world, qr_lab_first(world, role) + i))
            qr_lab_crash(world, qr_lab_first(world, role) + i);
    if (qr_lab_up(world, self))
        qr_lab_crash(world, self);
    return arguments->count == 0;
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *message)
{
    (void)world, (void)self, (void)message; /* nobody sends any */
}

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    unsigned wait;
    if (commit_of(world, self, &wait))
        qr_buffer_format(out, "as leader commits after %u.%u ms", wait / 10, wait % 10);
    else
        qr_buffer_format(out, "cannot commit");
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *message, qr_buffer *out)
{
    (void)world, (void)message, (void)out;
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    qr_buffer_format(out, "%s", is_available(world) ? "available" : "lost");
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    unsigned wait;
    if (self == QR_LAB_NOBODY && qr_lab_word_is(name, "available"))
        qr_buffer_format(out, "%s", is_available(world) ? "yes" : "no");
    else if (self != QR_LAB_NOBODY && qr_lab_word_is(name, "commit") && commit_of(world, self, &wait))
        qr_buffer_format(out, "%u.%ums", wait / 10, wait % 10);
    else if (self != QR_LAB_NOBODY && qr_lab_word_is(name, "commit"))
        qr_buffer_format(out, "never");
    else
        return false;
    return true;
}

static const qr_lab_parameter parameters[] = {
    [LOCAL] = {"local", NULL, 2, 0, 100000, "round trip within a datacentre, in tenths of a millisecond"},
    [AB] = {"ab", NULL, 200, 0, 100000, "between the first and the second"},
    [AC] = {"ac", NULL, 350, 0, 100000, "between the first and the third"},
    [BC] = {"bc", NULL, 500, 0, 100000, "between the second and the third"},
    {0},
};

static const qr_lab_event events[] = {
    {"burns", "its datacentre is lost, with all voters in it", NULL, lose},
    {0},
};

static const char *const kinds[] = {NULL};

static const char *start(qr_lab_world *world)
{
    return world->setting->count <= VOTERS_MAX ? NULL : "too many voters";
}

const qr_lab_protocol qr_lab_sites = {
    .name = "sites",
    .title = "voters in three datacentres",
    .roles = {{"site-a", "a", 1, VOTERS_MAX}, {"site-b", "b", 1, VOTERS_MAX}, {"site-c", "c", 1, VOTERS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(voter),
    .message_size = sizeof(qr_lab_message),
    .start = start,
    .receive = receive,
    .describe = describe,
    .describe_message = describe_message,
    .outcome = outcome,
    .observe = observe,
};
