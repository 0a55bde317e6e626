#include "bin/roster.h"

enum { CHECKSUM_SIZE = 8, CHECKSUM_SEED = 3, FLAG_JOINED = 1, FLAG_REMOVED = 2 };

void qr_roster_init(qr_roster *roster)
{
    memset(roster, 0, sizeof *roster);
    qr_arena_init(&roster->arena);
}

void qr_roster_free(qr_roster *roster)
{
    qr_arena_free(&roster->arena);
    memset(roster, 0, sizeof *roster);
}

bool qr_roster_add(qr_roster *roster, const qr_etcd_member *member)
{
    if (roster->count == QR_ROSTER_MAX)
        return false;
    qr_etcd_member *made = &roster->list[roster->count++];
    const char *name = member->name && strlen(member->name) <= QR_ROSTER_TEXT_MAX ? member->name : "";
    *made = (qr_etcd_member){.id = member->id, .name = qr_arena_text(&roster->arena, qr_slice_text(name))};
    for (size_t i = 0; i < member->peer_url_count && made->peer_url_count < QR_ETCD_URLS_MAX; i++)
        if (strlen(member->peer_urls[i]) <= QR_ROSTER_TEXT_MAX)
            made->peer_urls[made->peer_url_count++] =
                qr_arena_text(&roster->arena, qr_slice_text(member->peer_urls[i]));
    return true;
}

const qr_etcd_member *qr_roster_find(const qr_roster *roster, uint64_t id)
{
    for (size_t i = 0; i < roster->count; i++)
        if (roster->list[i].id == id)
            return &roster->list[i];
    return NULL;
}

static bool are_alike(const qr_etcd_member *a, const qr_etcd_member *b)
{
    bool alike = a->id == b->id && strcmp(a->name, b->name) == 0 && a->peer_url_count == b->peer_url_count;
    for (size_t i = 0; alike && i < a->peer_url_count; i++)
        alike = strcmp(a->peer_urls[i], b->peer_urls[i]) == 0;
    return alike;
}

bool qr_roster_equal(const qr_roster *a, const qr_roster *b)
{
    bool equal = a->cluster == b->cluster && a->self == b->self && a->joined == b->joined &&
                 a->removed == b->removed && a->count == b->count;
    for (size_t i = 0; equal && i < a->count; i++)
        equal = are_alike(&a->list[i], &b->list[i]);
    return equal;
}

void qr_roster_encode(const qr_roster *roster, qr_buffer *out)
{
    size_t begin = out->size;
    qr_buffer_u8(out, QR_ROSTER_FORMAT);
    qr_buffer_u8(out, (uint8_t)((roster->joined ? FLAG_JOINED : 0) | (roster->removed ? FLAG_REMOVED : 0)));
    qr_buffer_u64(out, roster->cluster);
    qr_buffer_u64(out, roster->self);
    qr_buffer_varint(out, roster->count);
    for (size_t i = 0; i < roster->count; i++) {
        const qr_etcd_member *member = &roster->list[i];
        qr_buffer_u64(out, member->id);
        qr_buffer_bytes(out, qr_slice_text(member->name));
        qr_buffer_varint(out, member->peer_url_count);
        for (size_t j = 0; j < member->peer_url_count; j++)
            qr_buffer_bytes(out, qr_slice_text(member->peer_urls[j]));
    }
    qr_buffer_u64(out, qr_hash(qr_slice_of(out->data + begin, out->size - begin), CHECKSUM_SEED));
    QR_ASSERT(out->size - begin <= QR_ROSTER_SIZE_MAX);
}

/* Printable ASCII without blanks in URLs; names may hold whatever is text. Everything ends in log lines. */
static const char *read_text(qr_roster *roster, qr_reader *reader)
{
    qr_slice bytes = qr_reader_bytes(reader);
    bool good = bytes.size <= QR_ROSTER_TEXT_MAX;
    for (size_t i = 0; good && i < bytes.size; i++)
        good = bytes.data[i] >= ' ' && bytes.data[i] != 0x7F;
    reader->failed |= !good;
    return reader->failed ? "" : qr_arena_text(&roster->arena, bytes);
}

static void read_member(qr_roster *roster, qr_reader *reader)
{
    qr_etcd_member *member = &roster->list[roster->count];
    *member = (qr_etcd_member){.id = qr_reader_u64(reader)};
    bool known = member->id == 0 || qr_roster_find(roster, member->id) != NULL;
    roster->count++;
    member->name = read_text(roster, reader);
    uint64_t urls = qr_reader_varint(reader);
    reader->failed |= known || urls > QR_ETCD_URLS_MAX;
    for (uint64_t i = 0; i < urls && !reader->failed; i++)
        member->peer_urls[member->peer_url_count++] = read_text(roster, reader);
}

qr_status qr_roster_decode(qr_slice bytes, qr_roster *roster)
{
    if (bytes.size < 1 + CHECKSUM_SIZE || bytes.size > QR_ROSTER_SIZE_MAX)
        return QR_E_INVALID;
    qr_slice covered = qr_slice_of(bytes.data, bytes.size - CHECKSUM_SIZE);
    if (qr_load_u64(bytes.data + covered.size) != qr_hash(covered, CHECKSUM_SEED))
        return QR_E_CORRUPT;
    qr_reader reader = qr_reader_of(covered);
    if (qr_reader_u8(&reader) != QR_ROSTER_FORMAT)
        return QR_E_BAD_VERSION;
    uint8_t flags = qr_reader_u8(&reader);
    roster->joined = (flags & FLAG_JOINED) != 0;
    roster->removed = (flags & FLAG_REMOVED) != 0;
    roster->cluster = qr_reader_u64(&reader);
    roster->self = qr_reader_u64(&reader);
    uint64_t count = qr_reader_varint(&reader);
    reader.failed |= count > QR_ROSTER_MAX || flags > (FLAG_JOINED | FLAG_REMOVED) || roster->cluster == 0 ||
                     roster->self == 0;
    for (uint64_t i = 0; i < count && !reader.failed; i++)
        read_member(roster, &reader);
    return reader.failed || qr_reader_left(&reader) > 0 ? QR_E_INVALID : QR_OK;
}
