#include "lab/lab.h"

#include <stdarg.h>
#include <stdio.h>

static const qr_lab_protocol *protocol_of(const qr_lab_world *world)
{
    return world->setting->protocol;
}

/* ------------------------------------------------------------- layout ---- */

enum { ALIGNMENT = 8 };

static size_t aligned(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t states_at(const qr_lab_setting *setting)
{
    return aligned(setting->count * sizeof(qr_lab_process));
}

static size_t shared_at(const qr_lab_setting *setting)
{
    return states_at(setting) + setting->count * aligned(setting->protocol->state_size);
}

qr_lab_process *qr_lab_process_of(const qr_lab_world *world, unsigned self)
{
    QR_ASSERT(self < world->setting->count);
    return (qr_lab_process *)(void *)world->flat + self;
}

void *qr_lab_state(const qr_lab_world *world, unsigned self)
{
    QR_ASSERT(self < world->setting->count);
    return world->flat + states_at(world->setting) + self * aligned(protocol_of(world)->state_size);
}

void *qr_lab_shared(const qr_lab_world *world)
{
    return world->flat + shared_at(world->setting);
}

int32_t qr_lab_parameter_of(const qr_lab_world *world, unsigned number)
{
    return world->setting->parameters[number];
}

bool qr_lab_up(const qr_lab_world *world, unsigned self)
{
    return !qr_lab_process_of(world, self)->down;
}

/* -------------------------------------------------------------- names ---- */

unsigned qr_lab_role_of(const qr_lab_world *world, unsigned self)
{
    unsigned role = 0;
    while (self >= world->setting->counts[role])
        self -= world->setting->counts[role++];
    return role;
}

unsigned qr_lab_first(const qr_lab_world *world, unsigned role)
{
    unsigned first = 0;
    for (unsigned i = 0; i < role; i++)
        first += world->setting->counts[i];
    return first;
}

unsigned qr_lab_count(const qr_lab_world *world, unsigned role)
{
    return world->setting->counts[role];
}

qr_lab_name qr_lab_name_of(const qr_lab_world *world, unsigned self)
{
    qr_lab_name name = {"nobody"};
    if (self >= world->setting->count)
        return name;
    unsigned role = qr_lab_role_of(world, self);
    snprintf(name.text, sizeof name.text, "%s%u", protocol_of(world)->roles[role].prefix,
             self - qr_lab_first(world, role) + 1);
    return name;
}

bool qr_lab_processes(const qr_lab_setting *setting, qr_slice name, unsigned *first, unsigned *last)
{
    if (qr_lab_word_is(name, "*")) {
        *first = 0;
        *last = setting->count - 1u;
        return setting->count > 0;
    }
    unsigned begin = 0;
    for (unsigned role = 0; role < QR_LAB_ROLES_MAX && setting->protocol->roles[role].name; role++) {
        qr_slice prefix = qr_slice_text(setting->protocol->roles[role].prefix);
        unsigned count = setting->counts[role];
        qr_slice rest = qr_slice_of(name.data + prefix.size, name.size - prefix.size);
        int64_t number;
        if (qr_slice_starts(name, prefix) && rest.size > 0 && count > 0) {
            bool all = qr_lab_word_is(rest, "*");
            if (all || (qr_lab_number(rest, &number) && number >= 1 && number <= count)) {
                *first = begin + (all ? 0 : (unsigned)number - 1);
                *last = all ? begin + count - 1 : *first;
                return true;
            }
        }
        begin += count;
    }
    return false;
}

bool qr_lab_word_is(qr_slice word, const char *text)
{
    return qr_slice_equal(word, qr_slice_text(text));
}

bool qr_lab_number(qr_slice word, int64_t *number)
{
    size_t i = word.size > 0 && word.data[0] == '-';
    int64_t value = 0;
    if (word.size == i || word.size - i > 15) /* far from the end of int64_t */
        return false;
    for (size_t k = i; k < word.size; k++) {
        if (word.data[k] < '0' || word.data[k] > '9')
            return false;
        value = value * 10 + (word.data[k] - '0');
    }
    *number = i ? -value : value;
    return true;
}

/* -------------------------------------------------------------- birth ---- */

const char *qr_lab_world_init(qr_lab_world *world, const qr_lab_setting *setting, const qr_lab_ear *ear)
{
    const qr_lab_protocol *protocol = setting->protocol;
    QR_ASSERT(setting->count > 0 && setting->count <= QR_LAB_PROCESSES_MAX);
    QR_ASSERT(protocol->message_size >= sizeof(qr_lab_message) &&
              protocol->message_size <= QR_LAB_MESSAGE_MAX);
    *world = (qr_lab_world){.setting = setting, .ear = ear};
    world->flat_size = shared_at(setting) + aligned(protocol->shared_size);
    world->flat = qr_alloc_zero(1, world->flat_size);
    return protocol->start(world);
}

void qr_lab_world_free(qr_lab_world *world)
{
    if (world->flat && protocol_of(world)->finish)
        protocol_of(world)->finish(world);
    qr_free(world->flat);
    qr_free(world->messages);
    *world = (qr_lab_world){0};
}

void qr_lab_world_copy(qr_lab_world *target, const qr_lab_world *source)
{
    QR_ASSERT(!protocol_of(source)->opaque);
    uint8_t *flat = target->flat ? target->flat : qr_alloc(source->flat_size);
    uint8_t *messages = target->messages;
    size_t room = target->message_room;
    if (room < source->message_count) {
        room = source->message_room;
        messages = qr_realloc(messages, room * protocol_of(source)->message_size);
    }
    memcpy(flat, source->flat, source->flat_size);
    if (source->message_count)
        memcpy(messages, source->messages, source->message_count * protocol_of(source)->message_size);
    *target = *source;
    target->flat = flat;
    target->messages = messages;
    target->message_room = room;
}

/* ------------------------------------------------------------ telling ---- */

static void tell(const qr_lab_world *world, qr_lab_what what, unsigned self, const qr_lab_message *message,
                 const char *text)
{
    if (world->ear)
        world->ear->hear(
            world->ear->context,
            &(qr_lab_telling){
                .what = what, .world = world, .self = (uint16_t)self, .message = message, .text = text});
}

void qr_lab_say(qr_lab_world *world, unsigned self, const char *format, ...)
{
    if (!world->ear)
        return;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    tell(world, QR_LAB_SAID, self, NULL, text);
}

/* Only the first broken property counts: what comes after it proves nothing. */
static void violate(qr_lab_world *world, const char *property)
{
    if (world->violation || property == NULL)
        return;
    world->violation = property;
    tell(world, QR_LAB_VIOLATED, QR_LAB_NOBODY, NULL, property);
}

/* What every step ends with. */
static void settle(qr_lab_world *world, unsigned self)
{
    world->steps++;
    if (self != QR_LAB_NOBODY)
        tell(world, QR_LAB_STATE, self, NULL, NULL);
    if (!world->violation && protocol_of(world)->check)
        violate(world, protocol_of(world)->check(world));
}

/* ----------------------------------------------------------- messages ---- */

qr_lab_message *qr_lab_pending(const qr_lab_world *world, size_t i)
{
    QR_ASSERT(i < world->message_count);
    return (qr_lab_message *)(void *)(world->messages + i * protocol_of(world)->message_size);
}

void qr_lab_message_of(const qr_lab_world *world, qr_lab_message *message, unsigned kind, unsigned from)
{
    memset(message, 0, protocol_of(world)->message_size);
    message->kind = (uint16_t)kind;
    message->from = (uint16_t)from;
}

static void put_under_way(qr_lab_world *world, const qr_lab_message *message)
{
    size_t size = protocol_of(world)->message_size;
    if (world->message_count == QR_LAB_PENDING_MAX) {
        violate(world, "bound-on-messages"); /* a schedule may ask for anything */
        return;
    }
    if (world->message_count == world->message_room) {
        world->message_room = world->message_room ? 2 * world->message_room : 16;
        world->messages = qr_realloc(world->messages, world->message_room * size);
    }
    memcpy(world->messages + world->message_count++ * size, message, size);
}

static void take(qr_lab_world *world, size_t i, qr_lab_message *message)
{
    size_t size = protocol_of(world)->message_size;
    memcpy(message, qr_lab_pending(world, i), size);
    memmove(world->messages + i * size, world->messages + (i + 1) * size,
            (--world->message_count - i) * size);
}

void qr_lab_forget_spent(qr_lab_world *world)
{
    size_t size = protocol_of(world)->message_size, kept = 0;
    if (protocol_of(world)->spent == NULL)
        return;
    for (size_t i = 0; i < world->message_count; i++)
        if (!protocol_of(world)->spent(world, qr_lab_pending(world, i)))
            memmove(world->messages + kept++ * size, world->messages + i * size, size);
    world->message_count = kept;
}

void qr_lab_send(qr_lab_world *world, qr_lab_message *message, unsigned to)
{
    QR_ASSERT(to < world->setting->count && message->kind < QR_LAB_KINDS_MAX);
    message->to = (uint16_t)to;
    world->sent[message->kind]++;
    put_under_way(world, message);
    tell(world, QR_LAB_SENT, message->from, message, NULL);
}

void qr_lab_send_role(qr_lab_world *world, qr_lab_message *message, unsigned role)
{
    unsigned first = qr_lab_first(world, role);
    for (unsigned i = 0; i < qr_lab_count(world, role); i++)
        if (first + i != message->from)
            qr_lab_send(world, message, first + i);
}

bool qr_lab_deliverable(const qr_lab_world *world, size_t i)
{
    const qr_lab_message *message = qr_lab_pending(world, i);
    if (qr_lab_process_of(world, message->from)->side != qr_lab_process_of(world, message->to)->side)
        return false;
    for (size_t k = 0; protocol_of(world)->ordered && k < i; k++) {
        const qr_lab_message *earlier = qr_lab_pending(world, k);
        if (earlier->from == message->from && earlier->to == message->to)
            return false;
    }
    return true;
}

typedef union message_room {
    qr_lab_message head;
    uint8_t bytes[QR_LAB_MESSAGE_MAX];
    uint64_t alignment;
} message_room;

void qr_lab_deliver(qr_lab_world *world, size_t i)
{
    message_room message;
    take(world, i, &message.head);
    unsigned to = message.head.to;
    if (!qr_lab_up(world, to)) {
        tell(world, QR_LAB_LOST, to, &message.head, NULL);
        settle(world, QR_LAB_NOBODY);
        return;
    }
    tell(world, QR_LAB_DELIVERED, to, &message.head, NULL);
    protocol_of(world)->receive(world, to, &message.head);
    settle(world, to);
}

void qr_lab_drop(qr_lab_world *world, size_t i)
{
    message_room message;
    take(world, i, &message.head);
    world->drops++;
    tell(world, QR_LAB_DROPPED, message.head.to, &message.head, NULL);
    settle(world, QR_LAB_NOBODY);
}

void qr_lab_duplicate(qr_lab_world *world, size_t i)
{
    message_room message;
    memcpy(&message, qr_lab_pending(world, i), protocol_of(world)->message_size);
    put_under_way(world, &message.head);
    world->duplicates++;
    tell(world, QR_LAB_DUPLICATED, message.head.to, &message.head, NULL);
    settle(world, QR_LAB_NOBODY);
}

/* ---------------------------------------------------------- processes ---- */

void qr_lab_crash(qr_lab_world *world, unsigned self)
{
    QR_ASSERT(qr_lab_up(world, self));
    qr_lab_process_of(world, self)->down = 1;
    world->crashes++;
    tell(world, QR_LAB_CRASHED, self, NULL, NULL);
    if (protocol_of(world)->crash)
        protocol_of(world)->crash(world, self);
    settle(world, QR_LAB_NOBODY);
}

void qr_lab_restart(qr_lab_world *world, unsigned self)
{
    QR_ASSERT(!qr_lab_up(world, self));
    qr_lab_process_of(world, self)->down = 0;
    tell(world, QR_LAB_RESTARTED, self, NULL, NULL);
    if (protocol_of(world)->restart)
        protocol_of(world)->restart(world, self);
    settle(world, self);
}

void qr_lab_part(qr_lab_world *world, const uint8_t *sides, const char *text)
{
    for (unsigned i = 0; i < world->setting->count; i++)
        qr_lab_process_of(world, i)->side = sides[i];
    tell(world, QR_LAB_PARTED, QR_LAB_NOBODY, NULL, text);
    settle(world, QR_LAB_NOBODY);
}

void qr_lab_heal(qr_lab_world *world)
{
    for (unsigned i = 0; i < world->setting->count; i++)
        qr_lab_process_of(world, i)->side = 0;
    tell(world, QR_LAB_HEALED, QR_LAB_NOBODY, NULL, NULL);
    settle(world, QR_LAB_NOBODY);
}

bool qr_lab_fire(qr_lab_world *world, unsigned self, const qr_lab_event *event, const qr_lab_words *arguments)
{
    QR_ASSERT(qr_lab_up(world, self));
    if (world->ear) {
        qr_buffer text = {0};
        qr_buffer_format(&text, "%s", event->name);
        for (size_t i = 0; i < arguments->count; i++)
            qr_buffer_format(&text, " %.*s", (int)arguments->list[i].size,
                             (const char *)arguments->list[i].data);
        qr_buffer_u8(&text, 0);
        tell(world, QR_LAB_EVENT, self, NULL, (const char *)text.data);
        qr_buffer_free(&text);
    }
    if (!event->run(world, self, arguments))
        return false;
    settle(world, self);
    return true;
}

/* ----------------------------------------------------------- equality ---- */

uint64_t qr_lab_message_hash(const qr_lab_world *world, const qr_lab_message *message)
{
    return qr_hash(qr_slice_of(message, protocol_of(world)->message_size), 1);
}

/* Messages are a set of which each may be there more than once, so their hashes are added up; where order
 * counts, each with its place in the queue of its two processes. */
uint64_t qr_lab_world_fingerprint(const qr_lab_world *world)
{
    const qr_lab_protocol *protocol = protocol_of(world);
    uint64_t faults = (uint64_t)world->crashes << 32 | (uint64_t)world->drops << 16 | world->duplicates;
    if (protocol->fingerprint)
        return qr_hash_mix(protocol->fingerprint(world), faults);
    uint64_t sum = 0;
    for (size_t i = 0; i < world->message_count; i++) {
        const qr_lab_message *message = qr_lab_pending(world, i);
        uint64_t place = 0;
        for (size_t k = 0; protocol->ordered && k < i; k++)
            place += qr_lab_pending(world, k)->from == message->from &&
                     qr_lab_pending(world, k)->to == message->to;
        sum += qr_hash(qr_slice_of(message, protocol->message_size), place);
    }
    return qr_hash_mix(qr_hash_mix(qr_hash(qr_slice_of(world->flat, world->flat_size), 0), sum), faults);
}

/* ------------------------------------------------------------ choices ---- */

static void offer(qr_lab_choices *choices, qr_lab_act act, size_t which, size_t event)
{
    if (choices->count == choices->room) {
        choices->room = choices->room ? 2 * choices->room : 64;
        choices->list = qr_realloc(choices->list, choices->room * sizeof *choices->list);
    }
    choices->list[choices->count++] =
        (qr_lab_choice){.act = act, .which = (uint32_t)which, .event = (uint32_t)event};
}

static bool seen_before(const qr_lab_world *world, size_t i)
{
    size_t size = protocol_of(world)->message_size;
    for (size_t k = 0; k < i; k++)
        if (memcmp(qr_lab_pending(world, k), qr_lab_pending(world, i), size) == 0)
            return true;
    return false;
}

static void offer_messages(const qr_lab_world *world, qr_lab_choices *choices)
{
    const qr_lab_setting *setting = world->setting;
    for (size_t i = 0; i < world->message_count; i++) {
        if (seen_before(world, i))
            continue;
        if (qr_lab_deliverable(world, i))
            offer(choices, QR_LAB_DELIVER, i, 0);
        if (world->drops < setting->drops_max)
            offer(choices, QR_LAB_DROP, i, 0);
        if (world->duplicates < setting->duplicates_max)
            offer(choices, QR_LAB_DUPLICATE, i, 0);
    }
}

static bool may_crash(const qr_lab_world *world, unsigned self)
{
    unsigned roles = world->setting->crash_roles;
    return roles == 0 || roles >> qr_lab_role_of(world, self) & 1;
}

void qr_lab_choices_of(const qr_lab_world *world, qr_lab_choices *choices)
{
    const qr_lab_setting *setting = world->setting;
    const qr_lab_event *events = setting->protocol->events;
    choices->count = 0;
    offer_messages(world, choices);
    for (unsigned self = 0; self < setting->count; self++) {
        if (!qr_lab_up(world, self)) {
            if (setting->restarts)
                offer(choices, QR_LAB_RESTART, self, 0);
            continue;
        }
        for (size_t k = 0; events[k].name; k++)
            if (events[k].enabled && events[k].enabled(world, self))
                offer(choices, QR_LAB_FIRE, self, k);
        if (world->crashes < setting->crashes_max && may_crash(world, self))
            offer(choices, QR_LAB_CRASH, self, 0);
    }
}

void qr_lab_choose(qr_lab_world *world, const qr_lab_choice *choice)
{
    switch (choice->act) {
    case QR_LAB_DELIVER: qr_lab_deliver(world, choice->which); break;
    case QR_LAB_DROP: qr_lab_drop(world, choice->which); break;
    case QR_LAB_DUPLICATE: qr_lab_duplicate(world, choice->which); break;
    case QR_LAB_CRASH: qr_lab_crash(world, choice->which); break;
    case QR_LAB_RESTART: qr_lab_restart(world, choice->which); break;
    case QR_LAB_FIRE: {
        bool done =
            qr_lab_fire(world, choice->which, &protocol_of(world)->events[choice->event], &(qr_lab_words){0});
        QR_ASSERT(done);
        break;
    }
    }
}
