/* lock: a lock with a lease, and something that it protects (Kleppmann, "How to do distributed locking",
 * 2016; the token is Chubby's sequencer, Burrows 2006, 2.4).
 *
 * A holder that stands still - a long garbage collection, a suspended machine, a message that takes its time
 * - does not notice that its lease has ended. No lock can prevent that it writes after that; what is written
 * to can, when every lock has a number and a smaller one than the greatest seen is refused. */
#include "lab/protocols.h"

enum { CLIENT, LOCK, RESOURCE };
enum { ACQUIRE, GRANTED, WRITE, OK, REFUSED };
enum { VARIANT };
enum { CORRECT, NO_TOKEN };
enum { CLIENTS_MAX = 8 };

typedef struct client {
    uint16_t token; /* of the lock that it thinks it holds; 0: none */
    uint16_t asks;
} client;

typedef struct lock {
    uint16_t token; /* the newest that was given out */
    uint16_t held;
} lock;

typedef struct resource {
    uint16_t seen;   /* the greatest token of a write */
    uint16_t writer; /* the client that wrote last, from 1; 0: none yet */
} resource;

typedef union state {
    client client;
    lock lock;
    resource resource;
} state;

typedef struct message {
    qr_lab_message head;
    uint16_t token;
} message;

typedef struct shared {
    uint16_t newest; /* token of the newest write that was taken */
    uint16_t stale;  /* an older one was taken after it */
} shared;

static void send(qr_lab_world *world, unsigned self, unsigned to, unsigned kind, uint16_t token)
{
    message m;
    qr_lab_message_of(world, &m.head, kind, self);
    m.token = token;
    qr_lab_send(world, &m.head, to);
}

static bool may_acquire(const qr_lab_world *world, unsigned self)
{
    const client *c = qr_lab_state(world, self);
    return qr_lab_role_of(world, self) == CLIENT && c->token == 0 && !c->asks &&
           !((const lock *)qr_lab_state(world, qr_lab_first(world, LOCK)))->held;
}

static bool acquire(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    client *c = qr_lab_state(world, self);
    if (qr_lab_role_of(world, self) != CLIENT || c->asks || arguments->count)
        return false;
    c->asks = 1;
    send(world, self, qr_lab_first(world, LOCK), ACQUIRE, 0);
    return true;
}

static bool may_write(const qr_lab_world *world, unsigned self)
{
    return qr_lab_role_of(world, self) == CLIENT && ((const client *)qr_lab_state(world, self))->token > 0;
}

/* One write, then it forgets the lock. */
static bool write_once(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    client *c = qr_lab_state(world, self);
    if (!may_write(world, self) || arguments->count)
        return false;
    send(world, self, qr_lab_first(world, RESOURCE), WRITE, c->token);
    c->token = 0;
    return true;
}

static bool may_expire(const qr_lab_world *world, unsigned self)
{
    return qr_lab_role_of(world, self) == LOCK && ((const lock *)qr_lab_state(world, self))->held &&
           ((const lock *)qr_lab_state(world, self))->token < qr_lab_count(world, CLIENT);
}

static bool expire(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (qr_lab_role_of(world, self) != LOCK || !((lock *)qr_lab_state(world, self))->held || arguments->count)
        return false;
    ((lock *)qr_lab_state(world, self))->held = 0;
    return true;
}

static void take_write(qr_lab_world *world, unsigned self, const message *m)
{
    resource *r = qr_lab_state(world, self);
    shared *all = qr_lab_shared(world);
    if (m->token < r->seen && qr_lab_parameter_of(world, VARIANT) != NO_TOKEN) {
        send(world, self, m->head.from, REFUSED, r->seen);
        return;
    }
    r->seen = m->token > r->seen ? m->token : r->seen;
    r->writer = (uint16_t)(m->head.from + 1);
    all->stale |= m->token < all->newest;
    all->newest = m->token > all->newest ? m->token : all->newest;
    send(world, self, m->head.from, OK, m->token);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    state *s = qr_lab_state(world, self);
    switch (head->kind) {
    case ACQUIRE:
        if (!s->lock.held) { /* else it has to ask again */
            s->lock.held = 1;
            send(world, self, head->from, GRANTED, ++s->lock.token);
        } else
            send(world, self, head->from, REFUSED, s->lock.token);
        break;
    case GRANTED:
        s->client.token = m->token;
        s->client.asks = 0;
        break;
    case REFUSED:
        s->client.asks = 0;
        qr_lab_say(world, self, "is refused: lock %u is newer", m->token);
        break;
    case WRITE: take_write(world, self, m); break;
    case OK: break;
    }
}

static const char *start(qr_lab_world *world)
{
    return qr_lab_count(world, LOCK) == 1 && qr_lab_count(world, RESOURCE) == 1 && qr_lab_count(world, CLIENT)
               ? NULL
               : "clients, one lock and one resource";
}

static const char *const kinds[] = {"acquire", "granted", "write", "ok", "refused", NULL};

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    const state *s = qr_lab_state(world, self);
    switch (qr_lab_role_of(world, self)) {
    case CLIENT:
        if (s->client.token)
            qr_buffer_format(out, "thinks that it holds lock %u", s->client.token);
        else
            qr_buffer_format(out, s->client.asks ? "asks for the lock" : "has no lock");
        break;
    case LOCK:
        qr_buffer_format(out, s->lock.held ? "lock %u is held" : "free, lock %u was the last", s->lock.token);
        break;
    default:
        qr_buffer_format(
            out, "written by %s last, greatest lock %u",
            qr_lab_name_of(world, s->resource.writer ? s->resource.writer - 1u : QR_LAB_NOBODY).text,
            s->resource.seen);
    }
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    qr_buffer_format(out, "%s", kinds[head->kind]);
    if (head->kind != ACQUIRE)
        qr_buffer_format(out, "(lock:%u)", m->token);
}

static const char *check(const qr_lab_world *world)
{
    return ((const shared *)qr_lab_shared(world))->stale ? "no-stale-write" : NULL;
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    const resource *r = qr_lab_state(world, qr_lab_first(world, RESOURCE));
    qr_buffer_format(out, "writer=%s",
                     qr_lab_name_of(world, r->writer ? r->writer - 1u : QR_LAB_NOBODY).text);
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY && qr_lab_word_is(name, "writer")) {
        const resource *r = qr_lab_state(world, qr_lab_first(world, RESOURCE));
        qr_buffer_format(out, "%s", qr_lab_name_of(world, r->writer ? r->writer - 1u : QR_LAB_NOBODY).text);
        return true;
    }
    if (self == QR_LAB_NOBODY || qr_lab_role_of(world, self) != CLIENT || !qr_lab_word_is(name, "lock"))
        return false;
    qr_buffer_format(out, "%u", ((const client *)qr_lab_state(world, self))->token);
    return true;
}

static const qr_lab_parameter parameters[] = {
    [VARIANT] = {"variant", "correct|no-token", CORRECT, 0, 0,
                 "the mistake: what is protected does not look at the lock's number"},
    {0},
};

static const qr_lab_event events[] = {
    {"acquire", "a client asks for the lock", may_acquire, acquire},
    {"write", "a client that thinks it holds the lock writes, once", may_write, write_once},
    {"expire", "the lease of the lock ends", may_expire, expire},
    {0},
};

const qr_lab_protocol qr_lab_lock = {
    .name = "lock",
    .title = "a lock with a lease, and what it protects",
    .roles = {{"client", "k", 2, CLIENTS_MAX}, {"lock", "s", 1, 1}, {"resource", "r", 1, 1}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(state),
    .message_size = sizeof(message),
    .shared_size = sizeof(shared),
    .start = start,
    .receive = receive,
    .describe = describe,
    .describe_message = describe_message,
    .check = check,
    .outcome = outcome,
    .observe = observe,
};
