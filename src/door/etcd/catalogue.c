#include "door/etcd/catalogue.h"

#include "door/etcd/door.h"

static uint64_t member_of(qr_slice key)
{
    uint64_t member = 0;
    for (size_t i = 0; i < key.size; i++)
        member = member << 8 | key.data[i];
    return member;
}

/* ---- publishing ---- */

static bool are_equal(const qr_catalogue_urls *a, const qr_catalogue_urls *b)
{
    bool equal = a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = qr_slice_equal(a->list[i], b->list[i]);
    return equal;
}

static void add_texts(qr_catalogue_urls *urls, const char *const *texts, size_t count)
{
    for (urls->count = 0; urls->count < count; urls->count++)
        urls->list[urls->count] = qr_slice_text(texts[urls->count]);
}

static void published(qr_etcd_door *door)
{
    door->publication.done = true;
    if (door->config.published)
        door->config.published(door->config.context);
}

static void on_published(void *owner, const qr_reply *reply)
{
    qr_etcd_door *door = owner;
    door->publication.under_way = false;
    if (reply->status == QR_OK)
        published(door);
    qr_etcd_door_release(door);
}

static bool publish_write(qr_etcd_door *door, const qr_catalogue_entry *entry, uint64_t version)
{
    qr_buffer_shrink(&door->body, QR_ETCD_BODY_ROOM_MAX);
    qr_catalogue_body(door->config.self, entry, version, &door->body);
    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&door->body), .done = on_published, .owner = door};
    return qr_node_submit(door->config.node, &request) == QR_OK;
}

/* What stands there now: peer URLs are kept, since an operator may have changed them; the flags give them to
 * an entry that has none. */
static void on_looked(void *owner, const qr_reply *reply)
{
    qr_etcd_door *door = owner;
    const qr_etcd_config *config = &door->config;
    bool goes_on = false;
    if (reply->status == QR_OK) {
        const qr_op_result *everything = ((const qr_txn_result *)reply->result)->ops;
        qr_catalogue_entry present, wanted = {.name = qr_slice_text(config->name)};
        uint64_t version;
        bool found = qr_catalogue_find(everything, config->self, &present, &version);
        wanted.peer = present.peer;
        const qr_etcd_member *self = qr_etcd_door_configured(door, config->self);
        if (!wanted.peer.count && self)
            add_texts(&wanted.peer, self->peer_urls, self->peer_url_count);
        add_texts(&wanted.client, config->client_urls, config->client_url_count);
        if (found && qr_slice_equal(present.name, wanted.name) &&
            are_equal(&present.client, &wanted.client) && are_equal(&present.peer, &wanted.peer))
            published(door);
        else
            goes_on = publish_write(door, &wanted, version);
    }
    if (goes_on)
        return;
    door->publication.under_way = false;
    qr_etcd_door_release(door);
}

void qr_etcd_door_publish(qr_etcd_door *door, uint64_t now_ms)
{
    qr_etcd_publication *publication = &door->publication;
    if (publication->done || publication->under_way)
        return;
    publication->op = qr_catalogue_everything();
    publication->query =
        (qr_query){.kind = QR_QUERY_TXN, .txn = {.then_ops = &publication->op, .then_count = 1}};
    qr_request request = {
        .kind = QR_REQUEST_READ_LOCAL, .query = &publication->query, .done = on_looked, .owner = door};
    door->references++;
    publication->under_way = true;
    if (qr_node_submit(door->config.node, &request) != QR_OK) {
        publication->under_way = false;
        qr_etcd_door_release(door);
    }
}

/* ---- listing ---- */

static size_t list_entries(const qr_op_result *everything, qr_arena *arena, qr_etcd_member *list)
{
    size_t count = 0;
    for (size_t i = 0; i < everything->kv_count && count < QR_ETCD_LISTED_MAX; i++) {
        const qr_key_value *kv = &everything->kvs[i];
        qr_catalogue_entry entry;
        if (kv->key.size != QR_CATALOGUE_KEY_SIZE || qr_catalogue_decode(kv->value, &entry) != QR_OK)
            continue;
        qr_etcd_member *member = &list[count++];
        *member = (qr_etcd_member){.id = member_of(kv->key),
                                   .name = qr_arena_text(arena, entry.name),
                                   .peer_url_count = entry.peer.count};
        for (size_t j = 0; j < entry.peer.count; j++)
            member->peer_urls[j] = qr_arena_text(arena, entry.peer.list[j]);
    }
    return count;
}

static void on_listed(void *owner, const qr_reply *reply)
{
    qr_etcd_door *door = owner;
    door->listing.under_way = false;
    if (reply->status == QR_OK && door->config.listed) {
        const qr_op_result *everything = ((const qr_txn_result *)reply->result)->ops;
        qr_arena arena;
        qr_arena_init(&arena);
        qr_etcd_member *list = qr_arena_zero(&arena, everything->kv_count + 1, sizeof *list);
        door->config.listed(door->config.context, list, list_entries(everything, &arena, list));
        qr_arena_free(&arena);
    }
    qr_etcd_door_release(door);
}

void qr_etcd_door_list(qr_etcd_door *door)
{
    qr_etcd_listing *listing = &door->listing;
    if (listing->under_way || !door->config.listed)
        return;
    listing->op = qr_catalogue_everything();
    listing->query = (qr_query){.kind = QR_QUERY_TXN, .txn = {.then_ops = &listing->op, .then_count = 1}};
    qr_request request = {
        .kind = QR_REQUEST_READ_LOCAL, .query = &listing->query, .done = on_listed, .owner = door};
    door->references++;
    listing->under_way = true;
    if (qr_node_submit(door->config.node, &request) != QR_OK) {
        listing->under_way = false;
        qr_etcd_door_release(door);
    }
}
