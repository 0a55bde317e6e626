#include "door/etcd/catalogue.h"

#include "door/etcd/door.h"

void qr_catalogue_key(uint64_t member, uint8_t key[QR_CATALOGUE_KEY_SIZE])
{
    for (int i = 0; i < QR_CATALOGUE_KEY_SIZE; i++)
        key[i] = (uint8_t)(member >> (56 - 8 * i));
}

void qr_catalogue_encode(const qr_catalogue_entry *entry, qr_buffer *out)
{
    QR_ASSERT(entry->url_count <= QR_ETCD_URLS_MAX);
    qr_buffer_u8(out, QR_CATALOGUE_FORMAT);
    qr_buffer_bytes(out, entry->name);
    qr_buffer_varint(out, entry->url_count);
    for (size_t i = 0; i < entry->url_count; i++)
        qr_buffer_bytes(out, entry->urls[i]);
}

qr_status qr_catalogue_decode(qr_slice bytes, qr_catalogue_entry *entry)
{
    qr_reader reader = qr_reader_of(bytes);
    memset(entry, 0, sizeof *entry);
    uint8_t format = qr_reader_u8(&reader);
    if (!reader.failed && format != QR_CATALOGUE_FORMAT)
        return QR_E_BAD_VERSION;
    entry->name = qr_reader_bytes(&reader);
    uint64_t count = qr_reader_varint(&reader);
    if (reader.failed || entry->name.size > QR_CATALOGUE_NAME_MAX || count > QR_ETCD_URLS_MAX)
        return QR_E_INVALID;
    for (uint64_t i = 0; i < count; i++) {
        entry->urls[i] = qr_reader_bytes(&reader);
        if (entry->urls[i].size > QR_CATALOGUE_NAME_MAX)
            return QR_E_INVALID;
    }
    entry->url_count = (size_t)count;
    return reader.failed || qr_reader_left(&reader) ? QR_E_INVALID : QR_OK;
}

qr_op qr_catalogue_everything(void)
{
    static const uint8_t lowest[QR_CATALOGUE_KEY_SIZE] = {0};
    qr_op op = {.kind = QR_OP_RANGE};
    op.range.span = (qr_span){
        .kind = QR_SPAN_FROM, .space = QR_SPACE_CATALOGUE, .key = qr_slice_of(lowest, sizeof lowest)};
    return op;
}

bool qr_catalogue_find(const qr_op_result *everything, uint64_t member, qr_catalogue_entry *entry)
{
    uint8_t key[QR_CATALOGUE_KEY_SIZE];
    qr_catalogue_key(member, key);
    for (size_t i = 0; i < everything->kv_count; i++)
        if (qr_slice_equal(everything->kvs[i].key, qr_slice_of(key, sizeof key)))
            return qr_catalogue_decode(everything->kvs[i].value, entry) == QR_OK;
    return false;
}

/* ---- publishing ---- */

static void published(void *owner, const qr_reply *reply)
{
    qr_etcd_door *door = owner;
    door->publication.under_way = false;
    if (reply->status == QR_OK) {
        door->publication.done = true;
        if (door->config.published)
            door->config.published(door->config.context);
    }
    qr_etcd_door_release(door);
}

void qr_etcd_door_publish(qr_etcd_door *door, uint64_t now_ms)
{
    if (door->publication.done || door->publication.under_way)
        return;
    qr_catalogue_entry entry = {.name = qr_slice_text(door->config.name),
                                .url_count = door->config.client_url_count};
    for (size_t i = 0; i < entry.url_count; i++)
        entry.urls[i] = qr_slice_text(door->config.client_urls[i]);
    qr_buffer value;
    qr_buffer_init(&value);
    qr_catalogue_encode(&entry, &value);

    uint8_t key[QR_CATALOGUE_KEY_SIZE];
    qr_catalogue_key(door->config.self, key);
    qr_op op = {.kind = QR_OP_PUT};
    op.put = (qr_put){
        .space = QR_SPACE_CATALOGUE, .key = qr_slice_of(key, sizeof key), .value = qr_buffer_slice(&value)};
    qr_txn txn = {.then_ops = &op, .then_count = 1};
    qr_buffer_shrink(&door->body, QR_ETCD_BODY_ROOM_MAX);
    qr_body_encode_txn(&txn, &door->body);
    qr_buffer_free(&value);

    qr_request request = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&door->body), .done = published, .owner = door};
    door->references++;
    door->publication.under_way = true;
    if (qr_node_submit(door->config.node, &request) != QR_OK) {
        door->publication.under_way = false;
        qr_etcd_door_release(door);
    }
}
