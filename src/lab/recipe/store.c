#include "lab/recipe/recipe.h"

qr_recipe_store *qr_recipe_store_of(const qr_lab_world *world)
{
    return qr_lab_state(world, qr_lab_first(world, QR_RECIPE_STORE));
}

bool qr_recipe_store_has(const qr_lab_world *world, uint8_t number)
{
    const qr_recipe_store *store = qr_recipe_store_of(world);
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX; i++)
        if (number != 0 && store->nodes[i].number == number)
            return true;
    return false;
}

/* Tells those who watch it; number: of the node that goes, 0: one has come. */
static void fire(qr_lab_world *world, uint8_t number)
{
    qr_recipe_store *store = qr_recipe_store_of(world);
    qr_recipe_shared *all = qr_lab_shared(world);
    uint8_t fired = 0;
    for (unsigned i = 0; i < qr_lab_count(world, QR_RECIPE_CLIENT); i++) {
        bool concerns = store->watch[i] == QR_RECIPE_ANY || (number != 0 && store->watch[i] == number);
        if (!concerns)
            continue;
        store->watch[i] = 0;
        qr_recipe_message m;
        qr_lab_message_of(world, &m.head, QR_RECIPE_FIRED, qr_lab_first(world, QR_RECIPE_STORE));
        qr_lab_send(world, &m.head, i);
        fired++;
    }
    all->fired = fired > all->fired ? fired : all->fired;
}

void qr_recipe_store_add(qr_recipe_store *store, uint8_t dir, uint8_t value, uint8_t owner)
{
    unsigned i = 0;
    while (i < QR_RECIPE_NODES_MAX && store->nodes[i].number)
        i++;
    QR_ASSERT(i < QR_RECIPE_NODES_MAX);
    store->nodes[i] = (qr_recipe_node){++store->last, dir, owner, value};
}

static void take(qr_lab_world *world, uint8_t number)
{
    qr_recipe_store *store = qr_recipe_store_of(world);
    unsigned kept = 0;
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX; i++)
        if (store->nodes[i].number != number)
            store->nodes[kept++] = store->nodes[i];
    for (; kept < QR_RECIPE_NODES_MAX; kept++)
        store->nodes[kept] = (qr_recipe_node){0};
    fire(world, number);
}

void qr_recipe_store_end(qr_lab_world *world, unsigned client)
{
    qr_recipe_store *store = qr_recipe_store_of(world);
    store->ended |= (uint8_t)(1u << client);
    store->watch[client] = 0;
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX;)
        if (store->nodes[i].number && store->nodes[i].owner == client + 1)
            take(world, store->nodes[i].number);
        else
            i++;
}

static bool is_there(const qr_recipe_store *store, const qr_recipe_message *m)
{
    for (unsigned i = 0; i < QR_RECIPE_NODES_MAX; i++)
        if (store->nodes[i].number && store->nodes[i].dir == m->dir && m->once &&
            (m->once == 2 || store->nodes[i].value == m->value))
            return true;
    return false;
}

static bool put(qr_lab_world *world, const qr_recipe_message *m)
{
    qr_recipe_store *store = qr_recipe_store_of(world);
    if (is_there(store, m))
        return false;
    qr_recipe_store_add(store, m->dir, m->value, m->ephemeral ? (uint8_t)(m->head.from + 1) : 0);
    fire(world, 0);
    return true;
}

static bool delete_both(qr_lab_world *world, const qr_recipe_message *m)
{
    if (!qr_recipe_store_has(world, m->number) || (m->other && !qr_recipe_store_has(world, m->other)))
        return false;
    take(world, m->number);
    if (m->other)
        take(world, m->other);
    return true;
}

void qr_recipe_store_receive(qr_lab_world *world, const qr_recipe_message *m)
{
    qr_recipe_store *store = qr_recipe_store_of(world);
    qr_recipe_message answer;
    unsigned client = m->head.from;
    qr_lab_message_of(world, &answer.head, QR_RECIPE_ANSWER, qr_lab_first(world, QR_RECIPE_STORE));
    bool ended = store->ended >> client & 1;
    if (ended)
        qr_lab_say(world, m->head.to, "knows no session of %s", qr_lab_name_of(world, client).text);
    else if (m->head.kind == QR_RECIPE_PUT) {
        answer.ok = put(world, m);
        answer.number = store->last;
    } else if (m->head.kind == QR_RECIPE_LIST) {
        answer.ok = true;
        store->watch[client] = m->watches ? QR_RECIPE_ANY : 0;
    } else if (m->head.kind == QR_RECIPE_WATCH) {
        answer.ok = qr_recipe_store_has(world, m->number) || m->watches;
        store->watch[client] = answer.ok ? m->number : 0;
    } else
        answer.ok = delete_both(world, m);
    answer.dir = ended; /* "your session has ended" */
    memcpy(answer.nodes, store->nodes, sizeof answer.nodes);
    qr_lab_send(world, &answer.head, client);
}
