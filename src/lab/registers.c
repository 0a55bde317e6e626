/* registers: one register on N replicas, written with W answers and read with R (Gifford, "Weighted Voting
 * for Replicated Data", SOSP 1979; DeCandia and others, "Dynamo", SOSP 2007; Attiya, Bar-Noy, Dolev, "Sharing
 * Memory Robustly in Message-Passing Systems", JACM 42(1), 1995 = ABD).
 *
 * A writer asks a quorum for the newest version, and stores the next one. A reader asks R replicas and takes
 * the newest version that it hears of. W + R > N makes both meet in a replica (Gifford's first condition),
 * 2W > N two writers (his second). A read that meets a write under way may be followed by one that does not;
 * ABD has the reader store what it is about to return (write-back), and no later read can be older. */

#include "lab/protocols.h"

enum { WRITER, READER, REPLICA };
enum { ASK, TELL, STORE, STORED };
enum { W, R, HOME, WRITE_BACK, QUERY, WRITES, READS };
enum { IDLE, ASKING, STORING };
enum { QUERY_WRITE, QUERY_READ };
enum { REPLICAS_MAX = 7, CLIENTS_MAX = 4 };

/* Ordered first by number; writer breaks ties between writers that chose the same one. 0 is: never written.
 */
typedef struct version {
    uint16_t number;
    uint8_t writer, zero;
} version;

typedef struct client {
    uint8_t phase, done; /* done: operations finished */
    uint8_t heard, zero; /* heard: set of replicas */
    uint16_t request;    /* of which the answers are awaited */
    version best;        /* newest heard of; of STORING: what is stored */
    version result;      /* of the last operation that ended */
} client;

typedef union state {
    client client;
    version replica;
} state;

/* What was over when each client's operation began, and what is over now. */
typedef struct shared {
    version written, read;
    version written_before[CLIENTS_MAX * 2], read_before[CLIENTS_MAX * 2];
    uint8_t broken; /* index into properties, 0 is none */
} shared;

typedef struct message {
    qr_lab_message head;
    version version;
    uint16_t request;
} message;

static const char *const properties[] = {NULL, "stale-read", "new-old-inversion", "write-order"};
enum { STALE_READ = 1, INVERSION, WRITE_ORDER };

static int compare(version a, version b)
{
    return a.number != b.number ? a.number - b.number : a.writer - b.writer;
}

static version newer(version a, version b)
{
    return compare(a, b) > 0 ? a : b;
}

static unsigned parameter(const qr_lab_world *world, unsigned number)
{
    return (unsigned)qr_lab_parameter_of(world, number);
}

static bool is_writer(const qr_lab_world *world, unsigned self)
{
    return qr_lab_role_of(world, self) == WRITER;
}

static bool is_reader(const qr_lab_world *world, unsigned self)
{
    return qr_lab_role_of(world, self) == READER;
}

/* ------------------------------------------------------------- clients ---- */

/* To the replicas that the register lives on; with a sloppy quorum (Dynamo, 4.6) to the others as well, and
 * whoever answers first counts. */
static void ask_replicas(qr_lab_world *world, unsigned self, unsigned kind)
{
    client *c = qr_lab_state(world, self);
    unsigned count = qr_lab_count(world, REPLICA), home = parameter(world, HOME);
    message m;
    qr_lab_message_of(world, &m.head, kind, self);
    c->heard = 0;
    c->phase = kind == ASK ? ASKING : STORING;
    m.request = ++c->request;
    m.version = kind == STORE ? c->best : (version){0};
    for (unsigned i = 0; i < (home ? home : count); i++)
        qr_lab_send(world, &m.head, qr_lab_first(world, REPLICA) + i);
}

static bool begin(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    client *c = qr_lab_state(world, self);
    shared *all = qr_lab_shared(world);
    if (c->phase != IDLE || arguments->count > 0 || c->done == UINT8_MAX)
        return false;
    all->written_before[self] = all->written;
    all->read_before[self] = all->read;
    c->best = (version){0};
    ask_replicas(world, self, ASK);
    return true;
}

static void end_write(qr_lab_world *world, unsigned self, client *c)
{
    shared *all = qr_lab_shared(world);
    if (compare(c->best, all->written_before[self]) <= 0)
        all->broken = WRITE_ORDER;
    all->written = newer(all->written, c->best);
    qr_lab_say(world, self, "has written version %u", c->best.number);
}

static void end_read(qr_lab_world *world, unsigned self, client *c)
{
    shared *all = qr_lab_shared(world);
    if (compare(c->best, all->written_before[self]) < 0)
        all->broken = STALE_READ;
    else if (compare(c->best, all->read_before[self]) < 0)
        all->broken = INVERSION;
    all->read = newer(all->read, c->best);
    qr_lab_say(world, self, "reads version %u", c->best.number);
}

static void end(qr_lab_world *world, unsigned self, client *c)
{
    if (is_writer(world, self))
        end_write(world, self, c);
    else
        end_read(world, self, c);
    c->phase = IDLE;
    c->heard = 0;
    c->done++;
    c->result = c->best;
}

/* Enough replicas have told their versions. */
static void go_on(qr_lab_world *world, unsigned self, client *c)
{
    if (is_writer(world, self)) {
        c->best = (version){(uint16_t)(c->best.number + 1), (uint8_t)(self + 1), 0};
        ask_replicas(world, self, STORE);
    } else if (parameter(world, WRITE_BACK))
        ask_replicas(world, self, STORE);
    else
        end(world, self, c);
}

static void on_answer(qr_lab_world *world, unsigned self, const message *m)
{
    client *c = qr_lab_state(world, self);
    if (c->phase == IDLE || m->request != c->request)
        return;
    bool few = c->phase == ASKING && (is_reader(world, self) || parameter(world, QUERY) == QUERY_READ);
    c->heard |= (uint8_t)(1u << (m->head.from - qr_lab_first(world, REPLICA)));
    if (c->phase == ASKING)
        c->best = newer(c->best, m->version);
    if (qr_lab_set_size(c->heard) < parameter(world, few ? R : W))
        return;
    if (c->phase == ASKING)
        go_on(world, self, c);
    else
        end(world, self, c);
}

/* ------------------------------------------------------------ replicas ---- */

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    if (head->kind == TELL || head->kind == STORED) {
        on_answer(world, self, m);
        return;
    }
    version *mine = qr_lab_state(world, self);
    message answer;
    qr_lab_message_of(world, &answer.head, head->kind == ASK ? TELL : STORED, self);
    answer.request = m->request;
    if (head->kind == STORE)
        *mine = newer(*mine, m->version);
    else
        answer.version = *mine;
    qr_lab_send(world, &answer.head, head->from);
}

/* -------------------------------------------------------------- checks ---- */

static const char *check(const qr_lab_world *world)
{
    return properties[((const shared *)qr_lab_shared(world))->broken];
}

static bool may_write(const qr_lab_world *world, unsigned self)
{
    const client *c = qr_lab_state(world, self);
    return is_writer(world, self) && c->phase == IDLE && c->done < parameter(world, WRITES);
}

static bool may_read(const qr_lab_world *world, unsigned self)
{
    const client *c = qr_lab_state(world, self);
    return is_reader(world, self) && c->phase == IDLE && c->done < parameter(world, READS);
}

static bool write_begins(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return is_writer(world, self) && begin(world, self, arguments);
}

static bool read_begins(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return is_reader(world, self) && begin(world, self, arguments);
}

/* Nobody waits for this answer any more. */
static bool spent(const qr_lab_world *world, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    unsigned asker = head->kind == TELL || head->kind == STORED ? head->to : head->from;
    const client *c = qr_lab_state(world, asker);
    return head->kind != STORE && (c->phase == IDLE || m->request != c->request);
}

/* --------------------------------------------------------------- words ---- */

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    static const char *const phases[] = {"idle", "asking", "storing"};
    const state *s = qr_lab_state(world, self);
    if (qr_lab_role_of(world, self) == REPLICA)
        qr_buffer_format(out, "version %u", s->replica.number);
    else
        qr_buffer_format(out, "%s, %u answers", phases[s->client.phase], qr_lab_set_size(s->client.heard));
}

static const char *const kinds[] = {"ask", "tell", "store", "stored", NULL};

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    (void)world;
    qr_buffer_format(out, "%s(", kinds[head->kind]);
    if (head->kind == TELL || head->kind == STORE)
        qr_buffer_format(out, "v%u", m->version.number);
    qr_buffer_format(out, ")");
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    bool busy = world->message_count > 0;
    for (unsigned i = 0; i < qr_lab_first(world, REPLICA); i++)
        busy |= ((const client *)qr_lab_state(world, i))->phase != IDLE;
    qr_buffer_format(out, "%s", busy ? "open" : "rest");
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY)
        return false;
    const state *s = qr_lab_state(world, self);
    bool is_replica = qr_lab_role_of(world, self) == REPLICA;
    if (qr_lab_word_is(name, "version"))
        qr_buffer_format(out, "%u", is_replica ? s->replica.number : s->client.result.number);
    else if (!is_replica && qr_lab_word_is(name, "done"))
        qr_buffer_format(out, "%u", s->client.done);
    else
        return false;
    return true;
}

/* ------------------------------------------------------------ symmetry ---- */

/* Replicas are alike as long as all are asked: each is hashed with all that concerns it, and the hashes are
 * added up. */
static uint64_t fingerprint(const qr_lab_world *world)
{
    unsigned first = qr_lab_first(world, REPLICA), count = qr_lab_count(world, REPLICA);
    uint64_t each[REPLICAS_MAX] = {0}, sum = 0;
    uint64_t hash = qr_hash(qr_slice_of(qr_lab_shared(world), sizeof(shared)), 0);
    if (parameter(world, HOME)) { /* not alike: their numbers count */
        for (unsigned i = 0; i < count; i++)
            each[i] = i + 1;
    }
    for (size_t i = 0; i < world->message_count; i++) {
        message m = *(const message *)(const void *)qr_lab_pending(world, i);
        uint16_t *self = m.head.to >= first ? &m.head.to : &m.head.from;
        unsigned index = *self - first;
        *self = 0;
        each[index] += qr_lab_message_hash(world, &m.head);
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t sets = 0;
        for (unsigned k = 0; k < first; k++)
            sets = sets << 1 | (((const client *)qr_lab_state(world, k))->heard >> i & 1);
        const qr_lab_process *process = qr_lab_process_of(world, first + i);
        sets = sets << 9 | (uint64_t)process->side << 1 | process->down;
        sum +=
            qr_hash(qr_slice_of(qr_lab_state(world, first + i), sizeof(version)), qr_hash_mix(each[i], sets));
    }
    for (unsigned k = 0; k < first; k++) {
        client c = *(const client *)qr_lab_state(world, k);
        c.heard = 0;
        hash = qr_hash(qr_slice_of(&c, sizeof c), hash);
        const qr_lab_process *process = qr_lab_process_of(world, k);
        hash = qr_hash_mix(hash, (uint64_t)process->side << 1 | process->down);
    }
    return qr_hash_mix(hash, sum);
}

/* --------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [W] = {"w", NULL, 2, 1, REPLICAS_MAX, "answers that end a write"},
    [R] = {"r", NULL, 2, 1, REPLICAS_MAX, "answers that end a read"},
    [HOME] = {"home", NULL, 0, 0, REPLICAS_MAX, "how many replicas are asked, from the first on; 0: all"},
    [WRITE_BACK] = {"write-back", "no|yes", 0, 0, 0, "whether a reader stores what it returns"},
    [QUERY] = {"query", "write|read", QUERY_WRITE, 0, 0,
               "how many answers a writer wants to its question for the newest version: W or R"},
    [WRITES] = {"writes", NULL, 1, 0, 9, "of each writer, in explorations"},
    [READS] = {"reads", NULL, 1, 0, 9, "of each reader, in explorations"},
    {0},
};

static const qr_lab_event events[] = {
    {"write", "begins to write the next version", may_write, write_begins},
    {"read", "begins to read", may_read, read_begins},
    {0},
};

static const char *start(qr_lab_world *world)
{
    unsigned count = qr_lab_count(world, REPLICA), home = parameter(world, HOME);
    unsigned asked = home ? home : count;
    return parameter(world, W) <= asked && parameter(world, R) <= asked && asked <= count
               ? NULL
               : "more answers than replicas";
}

const qr_lab_protocol qr_lab_registers = {
    .name = "registers",
    .title = "quorum registers, N, W and R",
    .roles = {{"writer", "w", 1, CLIENTS_MAX},
              {"reader", "c", 2, CLIENTS_MAX},
              {"replica", "r", 3, REPLICAS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(state),
    .message_size = sizeof(message),
    .shared_size = sizeof(shared),
    .start = start,
    .receive = receive,
    .check = check,
    .describe = describe,
    .describe_message = describe_message,
    .outcome = outcome,
    .observe = observe,
    .fingerprint = fingerprint,
    .spent = spent,
};
