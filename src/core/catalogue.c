#include "core/catalogue.h"

void qr_catalogue_key(uint64_t member, uint8_t key[QR_CATALOGUE_KEY_SIZE])
{
    for (int i = 0; i < QR_CATALOGUE_KEY_SIZE; i++)
        key[i] = (uint8_t)(member >> (56 - 8 * i));
}

static void encode_urls(const qr_catalogue_urls *urls, qr_buffer *out)
{
    QR_ASSERT(urls->count <= QR_CATALOGUE_URLS_MAX);
    qr_buffer_varint(out, urls->count);
    for (size_t i = 0; i < urls->count; i++)
        qr_buffer_bytes(out, urls->list[i]);
}

void qr_catalogue_encode(const qr_catalogue_entry *entry, qr_buffer *out)
{
    qr_buffer_u8(out, QR_CATALOGUE_FORMAT);
    qr_buffer_bytes(out, entry->name);
    encode_urls(&entry->client, out);
    encode_urls(&entry->peer, out);
}

static void decode_urls(qr_reader *reader, qr_catalogue_urls *urls)
{
    uint64_t count = qr_reader_varint(reader);
    if (count > QR_CATALOGUE_URLS_MAX)
        reader->failed = true;
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        urls->list[i] = qr_reader_bytes(reader);
        if (urls->list[i].size > QR_CATALOGUE_NAME_MAX)
            reader->failed = true;
    }
    urls->count = reader->failed ? 0 : (size_t)count;
}

qr_status qr_catalogue_decode(qr_slice bytes, qr_catalogue_entry *entry)
{
    qr_reader reader = qr_reader_of(bytes);
    memset(entry, 0, sizeof *entry);
    uint8_t format = qr_reader_u8(&reader);
    if (reader.failed || format == 0)
        return QR_E_INVALID;
    if (format > QR_CATALOGUE_FORMAT)
        return QR_E_BAD_VERSION;
    entry->name = qr_reader_bytes(&reader);
    if (entry->name.size > QR_CATALOGUE_NAME_MAX)
        return QR_E_INVALID;
    decode_urls(&reader, &entry->client);
    if (format >= 2)
        decode_urls(&reader, &entry->peer);
    return reader.failed || qr_reader_left(&reader) ? QR_E_INVALID : QR_OK;
}

void qr_catalogue_body(uint64_t member, const qr_catalogue_entry *entry, uint64_t version, qr_buffer *out)
{
    qr_buffer value;
    qr_buffer_init(&value);
    qr_catalogue_encode(entry, &value);
    uint8_t key[QR_CATALOGUE_KEY_SIZE];
    qr_catalogue_key(member, key);
    qr_op op = {.kind = QR_OP_PUT};
    op.put = (qr_put){.space = QR_SPACE_CATALOGUE,
                      .options = QR_PUT_EXPECT_VERSION,
                      .key = qr_slice_of(key, sizeof key),
                      .value = qr_buffer_slice(&value),
                      .expected_version = version};
    qr_txn txn = {.then_ops = &op, .then_count = 1};
    qr_body_encode_txn(&txn, out);
    qr_buffer_free(&value);
}

qr_op qr_catalogue_everything(void)
{
    static const uint8_t lowest[QR_CATALOGUE_KEY_SIZE] = {0};
    qr_op op = {.kind = QR_OP_RANGE};
    op.range.span = (qr_span){
        .kind = QR_SPAN_FROM, .space = QR_SPACE_CATALOGUE, .key = qr_slice_of(lowest, sizeof lowest)};
    return op;
}

bool qr_catalogue_find(const qr_op_result *everything, uint64_t member, qr_catalogue_entry *entry,
                       uint64_t *version)
{
    uint8_t key[QR_CATALOGUE_KEY_SIZE];
    qr_catalogue_key(member, key);
    memset(entry, 0, sizeof *entry);
    if (version)
        *version = 0;
    for (size_t i = 0; i < everything->kv_count; i++) {
        if (!qr_slice_equal(everything->kvs[i].key, qr_slice_of(key, sizeof key)))
            continue;
        if (version)
            *version = everything->kvs[i].version;
        return qr_catalogue_decode(everything->kvs[i].value, entry) == QR_OK;
    }
    return false;
}

uint64_t qr_catalogue_new_id(const qr_catalogue_urls *peer, uint64_t cluster, int64_t wall_ms)
{
    uint64_t id = qr_hash_mix(cluster, (uint64_t)wall_ms);
    for (size_t i = 0; i < peer->count; i++)
        id = qr_hash(peer->list[i], id);
    return id ? id : 1;
}

bool qr_catalogue_is_peer_url(qr_slice url)
{
    static const char scheme[] = "http://";
    if (url.size > QR_CATALOGUE_NAME_MAX || !qr_slice_starts(url, qr_slice_text(scheme)))
        return false;
    size_t at = sizeof scheme - 1, colon = 0;
    for (size_t i = at; i < url.size; i++) {
        uint8_t byte = url.data[i];
        if (byte <= ' ' || byte >= 0x7F || strchr("/?#@,=\"\\", byte))
            return false;
        colon = byte == ':' ? i : colon;
    }
    if (colon <= at || colon + 1 >= url.size || url.size - colon > 6)
        return false;
    uint32_t port = 0;
    for (size_t i = colon + 1; i < url.size; i++) {
        if (url.data[i] < '0' || url.data[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(url.data[i] - '0');
    }
    /* An IPv6 address stands in brackets. */
    bool colon_inside = memchr(url.data + at, ':', colon - at) != NULL;
    bool brackets = url.data[at] == '[' && url.data[colon - 1] == ']' && colon - at > 2;
    return port >= 1 && port <= UINT16_MAX && (!colon_inside || brackets);
}
