/* groups: membership views with virtual synchrony (Birman, Joseph, "Exploiting Virtual Synchrony in
 * Distributed Systems", SOSP 1987; Birman, Schiper, Stephenson, "Lightweight Causal and Atomic Group
 * Multicast", ACM TOCS 9(3), 1991, section 6: the flush).
 *
 * A view is a numbered list of members. What a member sends goes to its view, and counts only in that view.
 * A change of view is a barrier: its coordinator stops the members that stay (flush), gathers what each has
 * delivered, hands round what some have and others have not, and only then does the next view begin; who
 * joins gets the state as it is at the barrier. Only a majority of a view can replace it (primary partition).
 *
 * Four conditions are checked, as the notes have them: (1) a message is delivered in the view it was sent in,
 * (2) all who go on together have delivered the same, (3) who missed something is not in the next view, (4)
 * who joins has the state of those who saw everything. Between two processes messages keep their order. */

#include "lab/protocols.h"

enum { MESSAGE, FLUSH, FLUSHED, VIEW };
enum { MESSAGES, CHANGES, PRIMARY, VARIANT };
enum { CORRECT, NO_FLUSH, DROP_NEWER, NO_STATE };
enum { OUTSIDE, MEMBER, STOPPED };
enum { MEMBERS_MAX = 8, VIEWS_MAX = 200, HELD_MAX = 16 };

/* Of messages, by sender; in a view they come in order and without gaps. */
typedef uint8_t counts[MEMBERS_MAX];

typedef struct held {
    uint8_t view, sender, number;
} held;

typedef struct member {
    uint8_t standing, view, members, sent; /* members: the view's, as a set; sent: in this view */
    uint8_t old;                           /* who was in the view before already */
    counts delivered;                      /* in this view */
    counts state;                          /* in all views: what an application would have made of them */
    held early[HELD_MAX];                  /* sent in a view that is not installed here yet */
    uint8_t early_count, messages, changes;
    uint8_t next_members, answered; /* of the change that is under way; next_members 0: of none */
    uint8_t leader, without; /* plus 1, whom it has last told what it has; and whom that one leaves out */
    uint8_t joining, joining_heard; /* a view that it is to join, and who says that he is in it */
    uint8_t flush_view, flush_members, flush_from; /* a question that came before the view that it is about */
    counts gathered;
    /* For the observer: */
    uint8_t came_along; /* it was in the view before this one */
    counts before;      /* what it had delivered in that */
    counts beginning;   /* its state when this view began */
} member;

typedef struct shared {
    uint8_t broken; /* index into properties, 0 is none */
} shared;

typedef struct message {
    qr_lab_message head;
    uint8_t view, number, members, old; /* VIEW: old, the members of the view before, as far as they stay */
    counts delivered, state;
} message;

static const char *const properties[] = {NULL,     "view-agreement", "sending-view", "same-messages",
                                         "no-gap", "state-transfer", "bound-on-held"};
enum { VIEW_AGREEMENT = 1, SENDING_VIEW, SAME_MESSAGES, NO_GAP, STATE_TRANSFER, BOUND_ON_HELD };

static unsigned variant_of(const qr_lab_world *world)
{
    return (unsigned)qr_lab_parameter_of(world, VARIANT);
}

static member *member_of(const qr_lab_world *world, unsigned self)
{
    return qr_lab_state(world, self);
}

static bool is_in(unsigned set, unsigned self)
{
    return set >> self & 1;
}

static void break_property(qr_lab_world *world, unsigned property)
{
    shared *all = qr_lab_shared(world);
    if (all->broken == 0)
        all->broken = (uint8_t)property;
}

/* ----------------------------------------------------------- multicast ---- */

static void send_set(qr_lab_world *world, unsigned self, message *m, unsigned set)
{
    for (unsigned to = 0; to < world->setting->count; to++)
        if (is_in(set, to) && to != self)
            qr_lab_send(world, &m->head, to);
}

static void deliver(qr_lab_world *world, unsigned self, unsigned sender, unsigned view, unsigned number)
{
    member *p = member_of(world, self);
    if (view != p->view)
        break_property(world, SENDING_VIEW);
    if (number != p->delivered[sender] + 1u)
        break_property(world, NO_GAP);
    p->delivered[sender]++;
    p->state[sender]++;
}

static void on_message(qr_lab_world *world, unsigned self, unsigned sender, unsigned view, unsigned number)
{
    member *p = member_of(world, self);
    if (view < p->view || (view == p->view && p->standing == STOPPED))
        return; /* the barrier is down: the flush has counted it, or nobody ever delivers it */
    if (view > p->view && variant_of(world) == DROP_NEWER)
        return;
    if (view > p->view) {
        if (p->early_count == HELD_MAX)
            break_property(world, BOUND_ON_HELD);
        else
            p->early[p->early_count++] = (held){(uint8_t)view, (uint8_t)sender, (uint8_t)number};
        return;
    }
    deliver(world, self, sender, view, number);
}

static bool may_send(const qr_lab_world *world, unsigned self)
{
    const member *p = member_of(world, self);
    return p->standing == MEMBER && p->messages < qr_lab_parameter_of(world, MESSAGES);
}

static bool send(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    member *p = member_of(world, self);
    if (p->standing != MEMBER || arguments->count > 0 || p->state[self] == UINT8_MAX)
        return false;
    message m;
    qr_lab_message_of(world, &m.head, MESSAGE, self);
    m.view = p->view;
    m.number = ++p->sent;
    p->messages++;
    send_set(world, self, &m, p->members);
    deliver(world, self, self, p->view, p->sent);
    return true;
}

/* ------------------------------------------------------ change of view ---- */

/* What came too early for the old view may be due in the new one. */
static void deliver_early(qr_lab_world *world, unsigned self)
{
    member *p = member_of(world, self);
    held early[HELD_MAX];
    unsigned count = p->early_count;
    memcpy(early, p->early, sizeof early);
    memset(p->early, 0, sizeof p->early);
    p->early_count = 0;
    for (unsigned i = 0; i < count; i++)
        on_message(world, self, early[i].sender, early[i].view, early[i].number);
}

static void on_flush(qr_lab_world *world, unsigned self, const message *m);

/* The view as it was installed here, for somebody who is to have it. */
static message view_of(const qr_lab_world *world, unsigned self)
{
    const member *p = member_of(world, self);
    message m;
    qr_lab_message_of(world, &m.head, VIEW, self);
    m.view = p->view;
    m.members = p->members;
    m.old = p->old;
    memcpy(m.delivered, p->before, sizeof m.delivered);
    memcpy(m.state, p->beginning, sizeof m.state);
    return m;
}

static void answer_early_flush(qr_lab_world *world, unsigned self)
{
    member *p = member_of(world, self);
    if (p->flush_view != p->view)
        return;
    message m;
    qr_lab_message_of(world, &m.head, FLUSH, p->flush_from);
    m.view = p->flush_view;
    m.members = p->flush_members;
    p->flush_view = p->flush_members = p->flush_from = 0;
    on_flush(world, self, &m);
}

/* The barrier lifts: what the others had is made up for in the old view, and the new one begins. */
static void install(qr_lab_world *world, unsigned self, const message *m)
{
    member *p = member_of(world, self);
    p->came_along = is_in(m->old, self);
    for (unsigned sender = 0; p->came_along && sender < MEMBERS_MAX; sender++)
        while (p->delivered[sender] < m->delivered[sender])
            deliver(world, self, sender, p->view, p->delivered[sender] + 1u);
    if (!p->came_along && variant_of(world) != NO_STATE)
        memcpy(p->state, m->state, sizeof p->state);
    memcpy(p->before, p->delivered, sizeof p->before);
    memcpy(p->beginning, p->state, sizeof p->beginning);
    memset(p->delivered, 0, sizeof p->delivered);
    p->standing = MEMBER;
    p->view = m->view;
    p->members = m->members;
    p->old = m->old;
    p->sent = p->next_members = p->answered = p->leader = p->without = 0;
    qr_lab_say(world, self, "is in view %u", p->view);
    message invitation = view_of(world, self);
    if (p->came_along)
        send_set(world, self, &invitation, p->members & ~p->old);
    deliver_early(world, self);
    answer_early_flush(world, self);
}

/* All who stay have stopped, and what any of them has is known. */
static void announce(qr_lab_world *world, unsigned self)
{
    member *p = member_of(world, self);
    message m;
    qr_lab_message_of(world, &m.head, VIEW, self);
    m.view = (uint8_t)(p->view + 1);
    m.members = p->next_members;
    m.old = p->members & p->next_members;
    memcpy(m.delivered, p->gathered, sizeof m.delivered);
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        m.state[i] = (uint8_t)(p->state[i] + p->gathered[i] - p->delivered[i]);
    send_set(world, self, &m, m.old);
    install(world, self, &m);
}

static void gather(qr_lab_world *world, unsigned self, unsigned from, const uint8_t *delivered)
{
    member *p = member_of(world, self);
    p->answered |= (uint8_t)(1u << from);
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        if (p->gathered[i] < delivered[i])
            p->gathered[i] = delivered[i];
    if (p->answered == (p->members & p->next_members))
        announce(world, self);
}

static void stop(qr_lab_world *world, unsigned self)
{
    if (variant_of(world) != NO_FLUSH)
        member_of(world, self)->standing = STOPPED;
}

/* A coordinator that suspects another member meanwhile begins again, with a view that is smaller still. */
static bool change(qr_lab_world *world, unsigned self, unsigned members)
{
    member *p = member_of(world, self);
    unsigned staying = p->members & members;
    bool primary = 2 * qr_lab_set_size(staying) > qr_lab_set_size(p->members);
    if (p->view + 1 >= VIEWS_MAX || (qr_lab_parameter_of(world, PRIMARY) && !primary))
        return false;
    p->changes++;
    p->next_members = (uint8_t)members;
    p->leader = (uint8_t)(self + 1);
    p->without = (uint8_t)(p->members & ~members);
    p->answered = 0;
    memset(p->gathered, 0, sizeof p->gathered);
    stop(world, self);
    message m;
    qr_lab_message_of(world, &m.head, FLUSH, self);
    m.view = p->view;
    m.members = p->next_members;
    if (variant_of(world) == NO_FLUSH) {
        memcpy(p->gathered, p->delivered, sizeof p->gathered);
        announce(world, self);
        return true;
    }
    send_set(world, self, &m, staying);
    gather(world, self, self, p->delivered);
    return true;
}

static void on_flush(qr_lab_world *world, unsigned self, const message *m)
{
    member *p = member_of(world, self);
    if (p->standing == OUTSIDE || m->view > p->view) {
        p->flush_view = m->view;
        p->flush_members = m->members;
        p->flush_from = (uint8_t)m->head.from;
        return;
    }
    if (m->view < p->view) { /* a new coordinator has to take the view over that is here already */
        message mine = view_of(world, self);
        if (m->view + 1 == p->view && is_in(p->old, m->head.from))
            qr_lab_send(world, &mine.head, m->head.from);
        return;
    }
    if (is_in(p->without, m->head.from))
        return; /* late: another has taken over since */
    stop(world, self);
    p->leader = (uint8_t)(m->head.from + 1);
    p->without = (uint8_t)(p->members & ~m->members);
    message answer;
    qr_lab_message_of(world, &answer.head, FLUSHED, self);
    answer.view = p->view;
    answer.members = m->members;
    memcpy(answer.delivered, p->delivered, sizeof answer.delivered);
    qr_lab_send(world, &answer.head, m->head.from);
}

static void on_flushed(qr_lab_world *world, unsigned self, const message *m)
{
    member *p = member_of(world, self);
    if (p->next_members && m->view == p->view && m->members == p->next_members)
        gather(world, self, m->head.from, m->delivered);
}

/* A newcomer goes in when a majority of those who were there say that they have: a coordinator that crashed
 * may have told nobody else, and the others would make another view of the same number. */
static bool is_welcome(member *p, const message *m)
{
    if (p->joining != m->view)
        p->joining_heard = 0;
    p->joining = m->view;
    p->joining_heard |= (uint8_t)(1u << m->head.from);
    return 2 * qr_lab_set_size(p->joining_heard) > qr_lab_set_size(m->old);
}

/* From whom it was told to stop last, or whoever shows one that is installed somewhere. */
static void on_view(qr_lab_world *world, unsigned self, const message *m)
{
    member *p = member_of(world, self);
    message copy = *m;
    bool is_newcomer =
        !is_in(m->old, self); /* perhaps one that was suspected wrongly, and is in an old view */
    bool is_overtaken = p->leader && p->leader != m->head.from + 1u && !p->next_members;
    if (m->view <= p->view || (is_newcomer ? !is_welcome(p, m) : is_overtaken))
        return;
    p->joining = p->joining_heard = 0;
    if (variant_of(world) == NO_FLUSH) /* nothing was gathered: each leaves with what it has */
        memset(copy.delivered, 0, sizeof copy.delivered);
    if (p->next_members && !is_newcomer) {
        copy.head.from = (uint16_t)self;
        send_set(world, self, &copy, copy.old);
    }
    install(world, self, &copy);
}

static void receive(qr_lab_world *world, unsigned self, const qr_lab_message *head)
{
    const message *m = (const message *)(const void *)head;
    switch (head->kind) {
    case MESSAGE: on_message(world, self, head->from, m->view, m->number); break;
    case FLUSH: on_flush(world, self, m); break;
    case FLUSHED: on_flushed(world, self, m); break;
    case VIEW: on_view(world, self, m); break;
    }
}

/* -------------------------------------------------------------- events ---- */

static bool name_one(const qr_lab_world *world, const qr_lab_words *arguments, unsigned *first,
                     unsigned *last)
{
    return arguments->count == 1 && qr_lab_processes(world->setting, arguments->list[0], first, last);
}

static bool without(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    member *p = member_of(world, self);
    unsigned members = p->next_members ? p->next_members : p->members, first, last;
    for (size_t i = 0; i < arguments->count; i++) {
        qr_lab_words one = {arguments->list + i, 1};
        if (!name_one(world, &one, &first, &last) || first == self || !is_in(members, first))
            return false;
        members &= ~(1u << first);
    }
    return p->standing != OUTSIDE && arguments->count > 0 && change(world, self, members);
}

static bool with(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    member *p = member_of(world, self);
    unsigned members = p->members, first, last;
    for (size_t i = 0; i < arguments->count; i++) {
        qr_lab_words one = {arguments->list + i, 1};
        if (!name_one(world, &one, &first, &last) || is_in(members, first))
            return false;
        members |= 1u << first;
    }
    return p->standing == MEMBER && arguments->count > 0 && change(world, self, members);
}

/* In explorations the oldest member that is up leads, and suspects who is down. */
static unsigned missing(const qr_lab_world *world, unsigned self)
{
    const member *p = member_of(world, self);
    unsigned down = 0, members = p->next_members ? p->next_members : p->members;
    for (unsigned i = 0; i < world->setting->count; i++)
        if (is_in(members, i) && !qr_lab_up(world, i))
            down |= 1u << i;
        else if (is_in(members, i) && i < self)
            return 0;
    return down;
}

static bool may_notice(const qr_lab_world *world, unsigned self)
{
    const member *p = member_of(world, self);
    unsigned members = p->next_members ? p->next_members : p->members;
    members &= ~missing(world, self);
    return p->standing != OUTSIDE && missing(world, self) != 0 && p->view + 1 < VIEWS_MAX &&
           (!qr_lab_parameter_of(world, PRIMARY) ||
            2 * qr_lab_set_size(members & p->members) > qr_lab_set_size(p->members));
}

static bool notice(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    const member *p = member_of(world, self);
    unsigned members = p->next_members ? p->next_members : p->members;
    return arguments->count == 0 && may_notice(world, self) &&
           change(world, self, members & ~missing(world, self));
}

static bool may_invite(const qr_lab_world *world, unsigned self)
{
    const member *p = member_of(world, self);
    unsigned everybody = (1u << world->setting->count) - 1;
    return self == 0 && p->standing == MEMBER && p->members != everybody &&
           p->changes < qr_lab_parameter_of(world, CHANGES);
}

static bool invite(qr_lab_world *world, unsigned self, const qr_lab_words *arguments)
{
    return arguments->count == 0 && may_invite(world, self) &&
           change(world, self, (1u << world->setting->count) - 1);
}

/* --------------------------------------------------------------- words ---- */

static void put_set(const qr_lab_world *world, unsigned set, qr_buffer *out)
{
    const char *between = "";
    for (unsigned i = 0; i < world->setting->count; i++)
        if (is_in(set, i)) {
            qr_buffer_format(out, "%s%s", between, qr_lab_name_of(world, i).text);
            between = ",";
        }
}

static unsigned sum_of(const uint8_t *numbers)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        sum += numbers[i];
    return sum;
}

static void describe(const qr_lab_world *world, unsigned self, qr_buffer *out)
{
    const member *p = member_of(world, self);
    if (p->standing == OUTSIDE) {
        qr_buffer_format(out, "outside");
        return;
    }
    qr_buffer_format(out, "view %u {", p->view);
    put_set(world, p->members, out);
    qr_buffer_format(out, "}%s, %u delivered in it, %u in all", p->standing == STOPPED ? " stopped" : "",
                     sum_of(p->delivered), sum_of(p->state));
    if (p->early_count)
        qr_buffer_format(out, ", %u held", p->early_count);
}

static const char *const kinds[] = {"message", "flush", "flushed", "view", NULL};

static void describe_message(const qr_lab_world *world, const qr_lab_message *head, qr_buffer *out)
{
    const message *m = (const message *)(const void *)head;
    qr_buffer_format(out, "%s(%u", kinds[head->kind], m->view);
    if (head->kind == MESSAGE)
        qr_buffer_format(out, ",%s:%u", qr_lab_name_of(world, head->from).text, m->number);
    else if (head->kind == FLUSHED)
        qr_buffer_format(out, ",has:%u", sum_of(m->delivered));
    else {
        qr_buffer_format(out, ",");
        put_set(world, m->members, out);
    }
    qr_buffer_format(out, ")");
}

/* Two that are in the same view. A process that is down does not count: of what it alone has seen nobody
 * hears. */
static unsigned compare(const member *a, const member *b)
{
    if (a->members != b->members)
        return VIEW_AGREEMENT;
    if (a->came_along && b->came_along && memcmp(a->before, b->before, sizeof(counts)) != 0)
        return SAME_MESSAGES;
    return memcmp(a->beginning, b->beginning, sizeof(counts)) != 0 ? STATE_TRANSFER : 0;
}

static const char *check(const qr_lab_world *world)
{
    unsigned broken = ((const shared *)qr_lab_shared(world))->broken;
    for (unsigned i = 0; i < world->setting->count; i++)
        for (unsigned k = 0; k < i && broken == 0; k++) {
            const member *a = member_of(world, i), *b = member_of(world, k);
            if (qr_lab_up(world, i) && qr_lab_up(world, k) && a->view == b->view && a->standing != OUTSIDE &&
                b->standing != OUTSIDE)
                broken = compare(a, b);
        }
    return properties[broken];
}

static void outcome(const qr_lab_world *world, qr_buffer *out)
{
    unsigned newest = 0;
    bool stopped = false;
    for (unsigned i = 0; i < world->setting->count; i++) {
        const member *p = member_of(world, i);
        newest = p->view > newest ? p->view : newest;
        stopped |= qr_lab_up(world, i) && p->standing == STOPPED;
    }
    qr_buffer_format(out, "view=%u%s", newest, stopped ? ",stopped" : "");
}

static bool observe(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out)
{
    if (self == QR_LAB_NOBODY)
        return false;
    const member *p = member_of(world, self);
    if (qr_lab_word_is(name, "view"))
        qr_buffer_format(out, "%u", p->view);
    else if (qr_lab_word_is(name, "members"))
        put_set(world, p->members, out);
    else if (qr_lab_word_is(name, "delivered"))
        qr_buffer_format(out, "%u", sum_of(p->delivered));
    else if (qr_lab_word_is(name, "state"))
        qr_buffer_format(out, "%u", sum_of(p->state));
    else
        return false;
    return true;
}

/* --------------------------------------------------------------- table ---- */

static const qr_lab_parameter parameters[] = {
    [MESSAGES] = {"messages", NULL, 1, 0, 9, "that each sends, in explorations"},
    [CHANGES] = {"invitations", NULL, 0, 0, 9, "how often the first may invite who is outside, likewise"},
    [PRIMARY] = {"primary", "no|yes", 1, 0, 0, "whether only a majority of a view may replace it"},
    [VARIANT] =
        {"variant", "correct|no-flush|drop-newer|no-state", CORRECT, 0, 0,
         "the mistake: a view begins without the barrier; messages of a view that is not installed yet "
         "are thrown away; who joins gets no state"},
    {0},
};

static const qr_lab_event events[] = {
    {"send", "to all of its view", may_send, send},
    {"without", "begins a change to a view without these", NULL, without},
    {"with", "begins a change to a view with these as well", NULL, with},
    {"notice", "begins a change to a view without those that are down", may_notice, notice},
    {"invite", "begins a change to a view of all", may_invite, invite},
    {0},
};

/* The first role begins in view 1, the other outside. */
static const char *start(qr_lab_world *world)
{
    unsigned members = qr_lab_count(world, 0);
    if (world->setting->count > MEMBERS_MAX || members == 0)
        return "too many, or nobody to begin with";
    for (unsigned i = 0; i < members; i++) {
        member *p = member_of(world, i);
        p->standing = MEMBER;
        p->view = 1;
        p->members = (uint8_t)((1u << members) - 1);
    }
    return NULL;
}

const qr_lab_protocol qr_lab_groups = {
    .name = "groups",
    .title = "group membership with virtual synchrony",
    .roles = {{"member", "m", 3, MEMBERS_MAX}, {"newcomer", "n", 0, MEMBERS_MAX}},
    .parameters = parameters,
    .events = events,
    .kinds = kinds,
    .state_size = sizeof(member),
    .message_size = sizeof(message),
    .shared_size = sizeof(shared),
    .ordered = true,
    .start = start,
    .receive = receive,
    .check = check,
    .describe = describe,
    .describe_message = describe_message,
    .outcome = outcome,
    .observe = observe,
};
