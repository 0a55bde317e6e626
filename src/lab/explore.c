#include "lab/explore.h"

#include <stdlib.h>

/* ----------------------------------------------------------- outcomes ---- */

static qr_lab_outcome *outcome_of(qr_lab_finding *finding, const char *text)
{
    size_t low = 0, high = finding->outcome_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(text, finding->outcomes[middle].text);
        if (order == 0)
            return &finding->outcomes[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    static const char rest[] = "(others)"; /* what there is no room for by its own name */
    if (finding->outcome_count + 1 >= QR_LAB_OUTCOMES_MAX && strcmp(text, rest) != 0)
        return outcome_of(finding, rest);
    memmove(&finding->outcomes[low + 1], &finding->outcomes[low],
            (finding->outcome_count++ - low) * sizeof *finding->outcomes);
    finding->outcomes[low] = (qr_lab_outcome){0};
    memcpy(finding->outcomes[low].text, text, strlen(text) + 1);
    return &finding->outcomes[low];
}

static void count_outcome(qr_lab_finding *finding, const qr_lab_world *world, bool is_end, qr_buffer *text)
{
    qr_buffer_clear(text);
    world->setting->protocol->outcome(world, text);
    QR_ASSERT(text->size < QR_LAB_OUTCOME_MAX);
    qr_buffer_u8(text, 0);
    qr_lab_outcome *outcome = outcome_of(finding, (const char *)text->data);
    outcome->states++;
    outcome->ends += is_end;
    finding->ends += is_end;
}

/* ------------------------------------------- worlds waiting to be seen ---- */

/* Packed one behind the other in chunks, which go as soon as they are read. */
enum { CHUNK = 1 << 20 };

typedef struct chunk {
    struct chunk *next;
    qr_buffer bytes;
} chunk;

typedef struct waiting {
    chunk *first, *last;
    size_t read; /* bytes of the first chunk */
} waiting;

typedef struct packed_head {
    uint64_t message_count;
    uint16_t crashes, drops, duplicates;
} packed_head;

static void wait_put(waiting *queue, const qr_lab_world *world)
{
    if (queue->last == NULL || queue->last->bytes.size > CHUNK) {
        chunk *fresh = qr_alloc_zero(1, sizeof *fresh);
        qr_buffer_reserve(&fresh->bytes, CHUNK + CHUNK / 8);
        *(queue->last ? &queue->last->next : &queue->first) = fresh;
        queue->last = fresh;
    }
    packed_head head = {world->message_count, world->crashes, world->drops, world->duplicates};
    qr_buffer *bytes = &queue->last->bytes;
    qr_buffer_add(bytes, &head, sizeof head);
    qr_buffer_add(bytes, world->flat, world->flat_size);
    qr_buffer_add(bytes, world->messages, world->message_count * world->setting->protocol->message_size);
}

/* Into a world that was copied from one of the same setting. */
static void wait_take(waiting *queue, qr_lab_world *world)
{
    size_t message_size = world->setting->protocol->message_size;
    packed_head head;
    const uint8_t *at = queue->first->bytes.data + queue->read;
    memcpy(&head, at, sizeof head);
    memcpy(world->flat, at + sizeof head, world->flat_size);
    world->message_count = head.message_count;
    world->crashes = head.crashes;
    world->drops = head.drops;
    world->duplicates = head.duplicates;
    if (world->message_room < head.message_count) {
        world->message_room = head.message_count;
        world->messages = qr_realloc(world->messages, world->message_room * message_size);
    }
    if (head.message_count)
        memcpy(world->messages, at + sizeof head + world->flat_size, head.message_count * message_size);
    queue->read += sizeof head + world->flat_size + head.message_count * message_size;
    if (queue->read == queue->first->bytes.size) {
        chunk *done = queue->first;
        queue->first = done->next;
        queue->last = queue->first ? queue->last : NULL;
        queue->read = 0;
        qr_buffer_free(&done->bytes);
        qr_free(done);
    }
}

static void wait_free(waiting *queue)
{
    while (queue->first) {
        chunk *done = queue->first;
        queue->first = done->next;
        qr_buffer_free(&done->bytes);
        qr_free(done);
    }
}

/* -------------------------------------------------------- worlds seen ---- */

typedef struct node {
    uint64_t fingerprint;
    uint32_t parent, choice; /* numbers of the node it was first reached from, and of what was chosen there */
} node;

typedef struct seen {
    node *nodes; /* in the order of discovery, which is also the order of expansion */
    size_t count, room;
    uint32_t *table;   /* open addressing: number of the node + 1; 0 = free */
    size_t table_size; /* a power of two, at least twice the room */
} seen;

static void table_add(seen *all, size_t number)
{
    size_t mask = all->table_size - 1, at = all->nodes[number].fingerprint & mask;
    while (all->table[at] != 0)
        at = (at + 1) & mask;
    all->table[at] = (uint32_t)number + 1;
}

static bool seen_has(const seen *all, uint64_t fingerprint)
{
    size_t mask = all->table_size - 1;
    for (size_t at = fingerprint & mask; all->table[at] != 0; at = (at + 1) & mask)
        if (all->nodes[all->table[at] - 1].fingerprint == fingerprint)
            return true;
    return false;
}

static void seen_add(seen *all, node fresh)
{
    if (all->count == all->room) {
        all->room = all->room ? 2 * all->room : 4096;
        all->nodes = qr_realloc(all->nodes, all->room * sizeof *all->nodes);
        qr_free(all->table);
        all->table_size = 2 * all->room;
        all->table = qr_alloc_zero(all->table_size, sizeof *all->table);
        for (size_t i = 0; i < all->count; i++)
            table_add(all, i);
    }
    all->nodes[all->count] = fresh;
    table_add(all, all->count++);
}

/* ------------------------------------------------------------- search ---- */

/* The way to the last node: back by the parents, then forth through the same choices. */
static void trace_path(const qr_lab_world *from, const seen *all, qr_lab_finding *finding)
{
    for (size_t at = all->count - 1; at != 0; at = all->nodes[at].parent)
        finding->path_length++;
    finding->path = qr_alloc((finding->path_length + 1) * sizeof *finding->path);
    uint32_t *numbers = qr_alloc((finding->path_length + 1) * sizeof *numbers);
    size_t step = finding->path_length;
    for (size_t at = all->count - 1; at != 0; at = all->nodes[at].parent)
        numbers[--step] = all->nodes[at].choice;
    qr_lab_world world = {0};
    qr_lab_choices choices = {0};
    qr_lab_world_copy(&world, from);
    world.ear = NULL;
    for (step = 0; step < finding->path_length; step++) {
        qr_lab_choices_of(&world, &choices);
        finding->path[step] = choices.list[numbers[step]];
        qr_lab_choose(&world, &finding->path[step]);
        qr_lab_forget_spent(&world);
    }
    qr_free(choices.list);
    qr_free(numbers);
    qr_free(world.flat);
    qr_free(world.messages);
}

typedef struct search {
    seen all;
    waiting queue;
    qr_lab_world parent, child;
    qr_lab_choices choices;
    qr_buffer text;
    qr_lab_finding *finding;
    uint64_t states_max;
} search;

/* Everything that may follow the node of this number; false: the search is over. */
static bool expand(search *s, size_t number)
{
    wait_take(&s->queue, &s->parent);
    qr_lab_choices_of(&s->parent, &s->choices);
    count_outcome(s->finding, &s->parent, s->choices.count == 0, &s->text);
    for (size_t i = 0; i < s->choices.count; i++) {
        qr_lab_world_copy(&s->child, &s->parent);
        qr_lab_choose(&s->child, &s->choices.list[i]);
        qr_lab_forget_spent(&s->child);
        s->finding->moves++;
        uint64_t fingerprint = qr_lab_world_fingerprint(&s->child);
        if (seen_has(&s->all, fingerprint))
            continue;
        if (s->all.count >= s->states_max) {
            s->finding->complete = false;
            return false;
        }
        seen_add(&s->all, (node){fingerprint, (uint32_t)number, (uint32_t)i});
        if (s->child.violation) {
            s->finding->violation = s->child.violation;
            s->finding->complete = false;
            return false;
        }
        wait_put(&s->queue, &s->child);
    }
    return true;
}

void qr_lab_explore(const qr_lab_world *from, uint64_t states_max, qr_lab_finding *finding)
{
    QR_ASSERT(states_max < UINT32_MAX && !from->violation);
    *finding = (qr_lab_finding){.complete = true};
    search s = {.finding = finding, .states_max = states_max};
    qr_lab_world_copy(&s.parent, from);
    s.parent.ear = NULL;
    seen_add(&s.all, (node){qr_lab_world_fingerprint(from), 0, 0});
    wait_put(&s.queue, &s.parent);
    size_t level_end = 1; /* nodes up to here are as near to the beginning as the current one, or nearer */
    for (size_t number = 0; number < s.all.count; number++) {
        if (number == level_end) {
            finding->depth++;
            level_end = s.all.count;
        }
        if (!expand(&s, number))
            break;
    }
    finding->states = s.all.count;
    if (finding->violation)
        trace_path(from, &s.all, finding);
    wait_free(&s.queue);
    qr_free(s.all.nodes);
    qr_free(s.all.table);
    qr_free(s.choices.list);
    qr_buffer_free(&s.text);
    qr_free(s.parent.flat);
    qr_free(s.parent.messages);
    qr_free(s.child.flat);
    qr_free(s.child.messages);
}

/* -------------------------------------------------------- random walks ---- */

bool qr_lab_random_step(qr_lab_world *world, qr_lab_choices *choices, qr_prng *prng)
{
    qr_lab_choices_of(world, choices);
    if (choices->count == 0)
        return false;
    qr_lab_choose(world, &choices->list[qr_prng_below(prng, choices->count)]);
    return true;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void qr_lab_sample(const qr_lab_world *from, uint64_t walks, uint64_t steps_max, qr_lab_finding *finding)
{
    QR_ASSERT(walks > 0);
    *finding = (qr_lab_finding){0};
    qr_lab_world world = {0};
    qr_lab_choices choices = {0};
    qr_buffer text = {0};
    uint64_t *lengths = qr_alloc(walks * sizeof *lengths);
    for (uint64_t walk = 0; walk < walks; walk++) {
        qr_prng prng;
        qr_prng_seed(&prng, from->setting->seed + walk);
        qr_lab_world_copy(&world, from);
        world.ear = NULL;
        bool is_end = false;
        uint64_t steps = 0;
        while (steps < steps_max && !world.violation && !is_end) {
            is_end = !qr_lab_random_step(&world, &choices, &prng);
            steps += !is_end;
        }
        finding->states++;
        finding->moves += steps;
        lengths[walk] = steps;
        count_outcome(finding, &world, is_end, &text);
        if (world.violation && !finding->violation)
            finding->violation = world.violation;
    }
    qsort(lengths, walks, sizeof *lengths, by_size);
    finding->depth = lengths[walks / 2];
    qr_free(lengths);
    qr_free(choices.list);
    qr_buffer_free(&text);
    qr_free(world.flat);
    qr_free(world.messages);
}
