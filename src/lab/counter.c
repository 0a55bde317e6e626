/* counter: several clients count in one key of a linearizable store. The store is right; whether an increment
 * can get lost is a matter of how a client reads and writes (the store stands for any that has transactions
 * with a condition on the key's version). */
#include "lab/protocols.h"

enum { CLIENT, STORE };
enum { READ, VALUE, WRITE, WRITTEN, REFUSED };
enum { TIMES, VARIANT };
enum variant { CORRECT, BLIND_WRITE, IGNORES_ANSWER };
enum phase { IDLE, READING, WRITING };
enum { CLIENTS_MAX = 16 };

typedef struct client {
    uint16_t done; /* increments that it takes for carried out */
    uint16_t phase;
} client;

typedef struct store {
    uint32_t value, version;
} store;

typedef union state {
    client client;
    store store;
} state;

typedef struct message {
    qr_lab_message head;
    uint16_t zero;
    uint32_t value, version;
} message;

static enum variant variant_of(const qr_lab_world *world)
{
    return (enum variant)qr_lab_parameter_of(world, VARIANT);
}

static void send(qr_lab_world *world, unsigned self, unsigned to, unsigned kind, uint32_t value,
                 uint32_t version)
{
    message m;
    qr_lab_message_of(world, &m.head, kind, self);
    m.value = value;
    m.version = version;
    qr_lab_send(world, &m.head, to);
}

static bool may_increment(const qr_lab_world *world, unsigned self)
{
    const client *c = qr_lab_state(world, self);
    return qr_lab_role_of(world, self) == CLIENT && c->phase == IDLE &&
           c->done < qr_lab_parameter_of(world, TIMES);
}

static bool increment(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    client *c = qr_lab_state(world, self);
    if (qr_lab_role_of(world, self) != CLIENT || c->phase != IDLE || arguments->count)
        return false;
    c->phase = READING;
    send(world, self, qr_lab_first(world, STORE), READ, 0, 0);
    return true;
}

static void done(qr_lab_world *world, unsigned self)
{
    client *c = qr_lab_state(world, self);
    c->done++;
    c->phase = IDLE;
    qr_lab_say(world, self, "has counted %u times, it thinks", c->done);
}

static void receive_client(qr_lab_world *world, unsigned self, const message *m)
{
    client *c = qr_lab_state(world, self);
    if (m->head.kind == VALUE) {
        c->phase = WRITING;
        send(world, self, m->head.from, WRITE, m->value + 1, m->version);
    } else if (m->head.kind == WRITTEN || variant_of(world) == IGNORES_ANSWER)
        done(world, self);
    else { /* somebody was faster: once more from the beginning */
        c->phase = READING;
        send(world, self, m->head.from, READ, 0, 0);
    }
}

static void receive_store(qr_lab_world *world, unsigned self, const message *m)
{
    store *s = qr_lab_state(world, self);
    if (m->head.kind == READ) {
        send(world, self, m->head.from, VALUE, s->value, s->version);
        return;
    }
    if (m->version != s->version && variant_of(world) != BLIND_WRITE) {
        send(world, self, m->head.from, REFUSED, s->value, s->version);
        return;
    }
    s->value = m->value;
    s->version++;
    send(world, self, m->head.from, WRITTEN, s->value, s->version);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    if (qr_lab_role_of(world, self) == CLIENT)
        receive_client(world, self, m);
    else
        receive_store(world, self, m);
}

static const char *start(qr_lab_world *world)
{
    return qr_lab_count(world, STORE) == 1 && qr_lab_count(world, CLIENT) > 0 ? NULL
                                                                              : "clients, and one store";
}

static const char *const kinds[] = {"read", "value", "write", "written", "refused", NULL};

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    static const char *const phases[] = {"idle", "reading", "writing"};
    const state *s = qr_lab_state(world, self);
    if (qr_lab_role_of(world, self) == CLIENT)
        qr_buffer_format(out, "%s, has counted %u times", phases[s->client.phase], s->client.done);
    else
        qr_buffer_format(out, "value %u, version %u", s->store.value, s->store.version);
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    if (head->kind == READ)
        qr_buffer_format(out, "read");
    else
        qr_buffer_format(out, "%s(%u,version:%u)", kinds[head->kind], m->value, m->version);
}

static uint32_t count_done(const qr_lab_world *world)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < qr_lab_count(world, CLIENT); i++)
        sum += ((const client *)qr_lab_state(world, i))->done;
    return sum;
}

static uint32_t value_of(const qr_lab_world *world)
{
    return ((const store *)qr_lab_state(world, qr_lab_first(world, STORE)))->value;
}

static const char *check(const qr_lab_world *world)
{
    return count_done(world) > value_of(world) ? "no-lost-update" : NULL;
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    qr_buffer_format(out, "value=%u,counted=%u", value_of(world), count_done(world));
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self != QR_LAB_NOBODY)
        return false;
    if (qr_lab_word_is(name, "value"))
        qr_buffer_format(out, "%u", value_of(world));
    else if (qr_lab_word_is(name, "counted"))
        qr_buffer_format(out, "%u", count_done(world));
    return out->size > 0;
}

static const qr_lab_parameter parameters[] = {
    [TIMES] = {"times", NULL, 1, 1, 1000, "how often each client counts in explorations and random runs"},
    [VARIANT] =
        {"variant", "correct|blind-write|ignores-answer", CORRECT, 0, 0,
         "the mistake: the write has no condition; the answer that the condition failed is not looked at"},
    {0},
};

static const qr_lab_event events[] = {
    {"increment", "a client reads, adds one, and writes", may_increment, increment},
    {0},
};

const qr_lab_protocol qr_lab_counter = {
    .name = "counter",
    .title = "clients that count in one key",
    .roles = {{"client", "k", 2, CLIENTS_MAX}, {"store", "s", 1, 1}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(state),
    .message_size = sizeof(message),
    .start = start,
    .receive = receive,
    .describe = describe,
    .describe_message = describe_message,
    .check = check,
    .outcome = outcome,
    .observe = observe,
};
