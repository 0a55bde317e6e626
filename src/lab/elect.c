/* elect: Raft as a sketch of it fits on a page, without pre-votes, hints and the first entry of a term, so
 * that the mistakes of such sketches can be shown, one by one (Ongaro and Ousterhout 2014; section numbers
 * are that paper's). The engine that serves clients is another matter: src/raft, on stage in stage_raft.c. */
#include "lab/protocols.h"

enum { MEMBER };
enum { VOTE, VOTE_ANSWER, APPEND, APPEND_ANSWER };
enum { TERMS, ENTRIES, VARIANT };
enum variant { CORRECT, HALF_QUORUM, NO_LOG_CHECK, STALE_VOTE, BLIND_APPEND, COUNTS_OLD_TERMS };
enum role { FOLLOWER, CANDIDATE, LEADER };
enum { MEMBERS_MAX = 7, LOG_MAX = 8, TERM_MAX = 15 };

typedef struct entry {
    uint8_t term, value; /* value: a letter */
} entry;

typedef struct member {
    uint8_t term, voted; /* for whom in this term, from 1; 0: nobody. On disk with the log */
    uint8_t size;
    entry log[LOG_MAX];  /* entry i is log[i - 1] */
    uint8_t role, votes; /* set of members */
    uint8_t commit;
    uint8_t next[MEMBERS_MAX], match[MEMBERS_MAX]; /* leader */
} member;

typedef struct message {
    qr_lab_message head;
    uint8_t term;
    uint8_t prev, prev_term; /* APPEND: the entry before the first; VOTE: the candidate's last */
    uint8_t commit;          /* APPEND */
    uint8_t good, match;     /* answers */
    uint8_t count;           /* APPEND */
    entry entries[LOG_MAX];
    uint8_t zero;
} message;

typedef struct shared {
    uint8_t leader_of_term[TERM_MAX + 1]; /* from 1 */
    entry committed[LOG_MAX];
    uint8_t committed_size;
    uint8_t broken; /* number of a property, from 1 */
} shared;

enum { ELECTION_SAFETY = 1, LEADER_COMPLETENESS, STATE_MACHINE_SAFETY };
static const char *const properties[] = {NULL, "election-safety", "leader-completeness",
                                         "state-machine-safety"};

static enum variant variant_of(const qr_lab_world *world)
{
    return (enum variant)qr_lab_parameter_of(world, VARIANT);
}

static bool is_quorum(const qr_lab_world *world, unsigned count)
{
    unsigned all = world->setting->count;
    return 2 * count > (variant_of(world) == HALF_QUORUM ? all - 1 : all);
}

static uint8_t term_at(const member *m, unsigned index)
{
    return index ? m->log[index - 1].term : 0;
}

static void note_broken(qr_lab_world *world, uint8_t property)
{
    shared *all = qr_lab_shared(world);
    all->broken = all->broken ? all->broken : property;
}

/* ----------------------------------------------------------- elections ---- */

static void enter_term(member *m, uint8_t term)
{
    if (term > m->term) {
        m->term = term;
        m->voted = 0;
        m->role = FOLLOWER;
        m->votes = 0;
    }
}

/* Leader completeness (5.4): what was committed in earlier terms is in its log. */
static void become_leader(qr_lab_world *world, unsigned self)
{
    shared *all = qr_lab_shared(world);
    member *m = qr_lab_state(world, self);
    m->role = LEADER;
    m->votes = 0;
    qr_lab_say(world, self, "leads term %u", m->term);
    for (unsigned i = 0; i < MEMBERS_MAX; i++) {
        m->next[i] = (uint8_t)(m->size + 1);
        m->match[i] = 0;
    }
    if (all->leader_of_term[m->term] && all->leader_of_term[m->term] != self + 1)
        note_broken(world, ELECTION_SAFETY);
    all->leader_of_term[m->term] = (uint8_t)(self + 1);
    for (unsigned i = 0; i < all->committed_size; i++)
        if (all->committed[i].term < m->term &&
            (i >= m->size || memcmp(&m->log[i], &all->committed[i], sizeof(entry)) != 0))
            note_broken(world, LEADER_COMPLETENESS);
}

static bool time_out(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    member *m = qr_lab_state(world, self);
    if (m->role == LEADER || m->term == TERM_MAX || arguments->count)
        return false;
    enter_term(m, (uint8_t)(m->term + 1));
    m->role = CANDIDATE;
    m->voted = (uint8_t)(self + 1);
    m->votes = (uint8_t)(1u << self);
    message v;
    qr_lab_message_of(world, &v.head, VOTE, self);
    v.term = m->term;
    v.prev = m->size;
    v.prev_term = term_at(m, m->size);
    qr_lab_send_role(world, &v.head, MEMBER);
    return true;
}

static bool may_time_out(const qr_lab_world *world, unsigned self)
{
    const member *m = qr_lab_state(world, self);
    return m->role != LEADER && m->term < qr_lab_parameter_of(world, TERMS);
}

/* 5.4.1: the later last term wins, then the longer log. */
static bool is_up_to_date(const member *m, const message *v)
{
    uint8_t own = term_at(m, m->size);
    return v->prev_term > own || (v->prev_term == own && v->prev >= m->size);
}

static void on_vote(qr_lab_world *world, unsigned self, const message *v)
{
    member *m = qr_lab_state(world, self);
    enter_term(m, v->term);
    bool good = (v->term == m->term || variant_of(world) == STALE_VOTE) &&
                (m->voted == 0 || m->voted == v->head.from + 1) &&
                (is_up_to_date(m, v) || variant_of(world) == NO_LOG_CHECK);
    if (good)
        m->voted = (uint8_t)(v->head.from + 1);
    message answer;
    qr_lab_message_of(world, &answer.head, VOTE_ANSWER, self);
    answer.term = good ? v->term : m->term;
    answer.good = good;
    qr_lab_send(world, &answer.head, v->head.from);
}

static void on_vote_answer(qr_lab_world *world, unsigned self, const message *v)
{
    member *m = qr_lab_state(world, self);
    enter_term(m, v->term);
    if (m->role != CANDIDATE || v->term != m->term || !v->good)
        return;
    m->votes |= (uint8_t)(1u << v->head.from);
    if (is_quorum(world, qr_lab_set_size(m->votes)))
        become_leader(world, self);
}

/* --------------------------------------------------------- replication ---- */

static void send_append(qr_lab_world *world, unsigned self, unsigned to)
{
    const member *m = qr_lab_state(world, self);
    message a;
    qr_lab_message_of(world, &a.head, APPEND, self);
    a.term = m->term;
    a.prev = (uint8_t)(m->next[to] - 1);
    a.prev_term = term_at(m, a.prev);
    a.commit = m->commit;
    a.count = (uint8_t)(m->size - a.prev);
    memcpy(a.entries, m->log + a.prev, a.count * sizeof(entry));
    qr_lab_send(world, &a.head, to);
}

static bool replicate(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    if (((member *)qr_lab_state(world, self))->role != LEADER || arguments->count)
        return false;
    for (unsigned i = 0; i < world->setting->count; i++)
        if (i != self)
            send_append(world, self, i);
    return true;
}

static bool may_propose(const qr_lab_world *world, unsigned self)
{
    const member *m = qr_lab_state(world, self);
    return m->role == LEADER && m->size < qr_lab_parameter_of(world, ENTRIES);
}

/* propose VALUE; without one it is the letter of the member. */
static bool propose(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    member *m = qr_lab_state(world, self);
    if (m->role != LEADER || m->size == LOG_MAX || arguments->count > 1)
        return false;
    uint8_t value = (uint8_t)('A' + self);
    if (arguments->count == 1) {
        if (arguments->list[0].size != 1 || arguments->list[0].data[0] < 'A' ||
            arguments->list[0].data[0] > 'z')
            return false;
        value = arguments->list[0].data[0];
    }
    m->log[m->size++] = (entry){m->term, value};
    return replicate(world, self, &(qr_lab_words){0});
}

static void note_commit(qr_lab_world *world, const member *m)
{
    shared *all = qr_lab_shared(world);
    for (unsigned i = 0; i < m->commit; i++) {
        if (i >= all->committed_size)
            all->committed[all->committed_size++] = m->log[i];
        else if (memcmp(&all->committed[i], &m->log[i], sizeof(entry)) != 0)
            note_broken(world, STATE_MACHINE_SAFETY);
    }
}

/* 5.3: what conflicts goes, the rest stays; an answer that is late or doubled changes nothing. */
static void take_entries(qr_lab_world *world, member *m, const message *a)
{
    if (variant_of(world) == BLIND_APPEND) {
        for (unsigned i = 0; i < a->count && m->size < LOG_MAX; i++)
            m->log[m->size++] = a->entries[i];
        return;
    }
    for (unsigned i = 0; i < a->count; i++) {
        unsigned index = a->prev + i + 1u;
        if (index <= m->size && term_at(m, index) != a->entries[i].term) {
            memset(m->log + index - 1, 0, (m->size - index + 1) * sizeof(entry));
            m->size = (uint8_t)(index - 1);
        }
        if (index > m->size)
            m->log[m->size++] = a->entries[i];
    }
}

static void on_append(qr_lab_world *world, unsigned self, const message *a)
{
    member *m = qr_lab_state(world, self);
    enter_term(m, a->term);
    message answer;
    qr_lab_message_of(world, &answer.head, APPEND_ANSWER, self);
    answer.term = m->term;
    answer.prev = a->prev;
    answer.good = a->term == m->term && ((a->prev <= m->size && term_at(m, a->prev) == a->prev_term) ||
                                         variant_of(world) == BLIND_APPEND);
    if (a->term == m->term)
        m->role = FOLLOWER;
    if (answer.good) {
        take_entries(world, m, a);
        answer.match = (uint8_t)(a->prev + a->count);
        uint8_t commit = a->commit < answer.match ? a->commit : answer.match;
        m->commit = commit > m->commit ? commit : m->commit;
        note_commit(world, m);
    }
    qr_lab_send(world, &answer.head, a->head.from);
}

/* 5.4.2: only an entry of the own term is committed by counting. */
static void advance(qr_lab_world *world, unsigned self)
{
    member *m = qr_lab_state(world, self);
    for (unsigned index = m->size; index > m->commit; index--) {
        unsigned count = 1;
        for (unsigned i = 0; i < world->setting->count; i++)
            count += i != self && m->match[i] >= index;
        if (is_quorum(world, count) &&
            (term_at(m, index) == m->term || variant_of(world) == COUNTS_OLD_TERMS)) {
            m->commit = (uint8_t)index;
            qr_lab_say(world, self, "commits up to %u", index);
            note_commit(world, m);
            return;
        }
    }
}

static void on_append_answer(qr_lab_world *world, unsigned self, const message *a)
{
    member *m = qr_lab_state(world, self);
    unsigned from = a->head.from;
    enter_term(m, a->term);
    if (m->role != LEADER || a->term != m->term)
        return;
    if (a->good) {
        m->match[from] = a->match > m->match[from] ? a->match : m->match[from];
        m->next[from] = (uint8_t)(m->match[from] + 1);
        advance(world, self);
    } else if (a->prev + 1 == m->next[from] && a->prev > 0) { /* one entry back, and again */
        m->next[from]--;
        send_append(world, self, from);
    }
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    switch (head->kind) {
    case VOTE: on_vote(world, self, m); break;
    case VOTE_ANSWER: on_vote_answer(world, self, m); break;
    case APPEND: on_append(world, self, m); break;
    case APPEND_ANSWER: on_append_answer(world, self, m); break;
    }
}

/* ------------------------------------------------- beginning and disks ---- */

static const char *start(qr_lab_world *world)
{
    return world->setting->count > 0 ? NULL : "no members";
}

static void restart(qr_lab_world *world, unsigned self)
{
    member *m = qr_lab_state(world, self);
    m->role = FOLLOWER;
    m->votes = m->commit = 0;
    memset(m->next, 0, sizeof m->next);
    memset(m->match, 0, sizeof m->match);
}

/* --------------------------------------------------------------- words ---- */

static const char *const kinds[] = {"vote", "vote-answer", "append", "append-answer", NULL};
static const char *const roles[] = {"follower", "candidate", "leader"};

static void put_log(const entry *log, unsigned size, qr_buffer *out)
{
    for (unsigned i = 0; i < size; i++)
        qr_buffer_format(out, "%s%u%c", i ? "," : "", log[i].term, log[i].value);
    if (size == 0)
        qr_buffer_format(out, "-");
}

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    const member *m = qr_lab_state(world, self);
    qr_buffer_format(out, "%s of term %u, log ", roles[m->role], m->term);
    put_log(m->log, m->size, out);
    qr_buffer_format(out, ", committed to %u", m->commit);
}

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    qr_buffer_format(out, "%s(term:%u", kinds[head->kind], m->term);
    if (head->kind == VOTE)
        qr_buffer_format(out, ",last:%u/%u", m->prev, m->prev_term);
    else if (head->kind == APPEND) {
        qr_buffer_format(out, ",prev:%u/%u,entries:", m->prev, m->prev_term);
        put_log(m->entries, m->count, out);
        qr_buffer_format(out, ",commit:%u", m->commit);
    } else
        qr_buffer_format(out, ",%s", m->good ? "yes" : "no");
    qr_buffer_format(out, ")");
}

/* -------------------------------------------------------------- checks ---- */

/* 5.3: the same index and term, the same entry and everything before it. */
static bool logs_match(const member *a, const member *b)
{
    unsigned both = a->size < b->size ? a->size : b->size;
    for (unsigned i = both; i > 0; i--)
        if (a->log[i - 1].term == b->log[i - 1].term)
            return memcmp(a->log, b->log, i * sizeof(entry)) == 0;
    return true;
}

static const char *check(const qr_lab_world *world)
{
    const shared *all = qr_lab_shared(world);
    if (all->broken)
        return properties[all->broken];
    for (unsigned i = 0; i < world->setting->count; i++)
        for (unsigned k = 0; k < i; k++)
            if (!logs_match(qr_lab_state(world, i), qr_lab_state(world, k)))
                return "log-matching";
    return NULL;
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    const shared *all = qr_lab_shared(world);
    qr_buffer_format(out, "committed=");
    put_log(all->committed, all->committed_size, out);
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    const shared *all = qr_lab_shared(world);
    if (self == QR_LAB_NOBODY) {
        if (!qr_lab_word_is(name, "committed"))
            return false;
        put_log(all->committed, all->committed_size, out);
        return true;
    }
    const member *m = qr_lab_state(world, self);
    if (qr_lab_word_is(name, "role"))
        qr_buffer_format(out, "%s", roles[m->role]);
    else if (qr_lab_word_is(name, "term"))
        qr_buffer_format(out, "%u", m->term);
    else if (qr_lab_word_is(name, "commit"))
        qr_buffer_format(out, "%u", m->commit);
    else if (qr_lab_word_is(name, "log"))
        put_log(m->log, m->size, out);
    return out->size > 0;
}

/* An answer of a term that is over here, to a question that nobody asks any more, or a no: terms only go up,
 * and who is no longer a candidate or a leader in one does not become it again. */
static bool spent(const qr_lab_world *world, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    const member *to = qr_lab_state(world, head->to);
    if (m->term != to->term || (head->kind != VOTE_ANSWER && head->kind != APPEND_ANSWER))
        return m->term < to->term && (head->kind == VOTE_ANSWER || head->kind == APPEND_ANSWER);
    if (head->kind == VOTE_ANSWER)
        return to->role != CANDIDATE || !m->good;
    return to->role != LEADER;
}

/* --------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [TERMS] = {"terms", NULL, 2, 1, TERM_MAX, "the last term in explorations and random runs"},
    [ENTRIES] = {"entries", NULL, 1, 0, LOG_MAX, "the longest log in explorations and random runs"},
    [VARIANT] =
        {"variant", "correct|half-quorum|no-log-check|stale-vote|blind-append|counts-old-terms", CORRECT, 0,
         0,
         "the mistake: more than half of the others is taken for a majority; votes do not look at logs; "
         "votes are given for a term that is over; entries are added without looking at the one before; "
         "entries of earlier terms are committed by counting"},
    {0},
};

static const qr_lab_event events[] = {
    {"timeout", "a member stands for election in the next term", may_time_out, time_out},
    {"propose", "a leader appends, with a letter that one, and sends", may_propose, propose},
    {"replicate", "a leader sends what each member lacks, or a heartbeat", NULL, replicate},
    {0},
};

const qr_lab_protocol qr_lab_elect = {
    .name = "elect",
    .title = "a sketch of Raft, and the mistakes of such sketches",
    .roles = {{"member", "n", 3, MEMBERS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(member),
    .message_size = sizeof(message),
    .shared_size = sizeof(shared),
    .start = start,
    .receive = receive,
    .restart = restart,
    .describe = describe,
    .describe_message = describe_message,
    .check = check,
    .outcome = outcome,
    .observe = observe,
    .spent = spent,
};
