#include "door/zookeeper/acl.h"

#include "door/zookeeper/address.h"
#include "wire/sha256.h"

static bool is(qr_slice slice, const char *text)
{
    return qr_slice_equal(slice, qr_slice_text(text));
}

/* -------------------------------------------------------------------- terms ---- */

static bool term_valid(const qr_jute_acl *term)
{
    if (term->scheme.data == NULL || term->id.data == NULL)
        return false;
    if (is(term->scheme, "world"))
        return is(term->id, "anyone");
    if (is(term->scheme, "ip"))
        return qr__zk_address_of(term->id).size > 0;
    if (!is(term->scheme, "digest"))
        return false;
    const uint8_t *colon = memchr(term->id.data, ':', term->id.size);
    return colon && memchr(colon + 1, ':', (size_t)(term->id.data + term->id.size - colon - 1)) == NULL;
}

static bool term_matches(const qr_jute_acl *term, const qr_zookeeper_id *id)
{
    if (!qr_slice_equal(term->scheme, id->scheme))
        return false;
    return is(term->scheme, "ip") ? qr__zk_address_within(id->id, term->id)
                                  : qr_slice_equal(term->id, id->id);
}

static void add_term(qr_jute_acl *terms, int32_t *count, qr_jute_acl term)
{
    for (int32_t i = 0; i < *count; i++)
        if (terms[i].perms == term.perms && qr_slice_equal(terms[i].scheme, term.scheme) &&
            qr_slice_equal(terms[i].id, term.id))
            return;
    terms[(*count)++] = term;
}

qr_status qr__zk_acl_normal(const qr_jute_vector *sent, const qr_zookeeper_asker *asker, qr_arena *arena,
                            qr_jute_vector *acl)
{
    if (sent->count <= 0)
        return QR_E_INVALID;
    const qr_jute_acl *terms = sent->items;
    size_t room = 0;
    for (int32_t i = 0; i < sent->count; i++)
        room += terms[i].scheme.data && is(terms[i].scheme, "auth") ? asker->id_count : 1;
    qr_jute_acl *kept = qr_arena_zero(arena, room + 1, sizeof *kept);
    int32_t count = 0;
    for (int32_t i = 0; i < sent->count; i++) {
        if (terms[i].scheme.data == NULL || !is(terms[i].scheme, "auth")) {
            if (!term_valid(&terms[i]))
                return QR_E_INVALID;
            add_term(kept, &count, terms[i]);
            continue;
        }
        bool any = false;
        for (size_t j = 0; j < asker->id_count; j++) {
            if (is(asker->ids[j].scheme, "ip"))
                continue;
            any = true;
            add_term(kept, &count,
                     (qr_jute_acl){
                         .perms = terms[i].perms, .scheme = asker->ids[j].scheme, .id = asker->ids[j].id});
        }
        if (!any)
            return QR_E_INVALID;
    }
    *acl = (qr_jute_vector){.items = kept, .count = count};
    return QR_OK;
}

bool qr__zk_acl_is_open(const qr_jute_vector *acl)
{
    const qr_jute_acl *terms = acl->items;
    return acl->count == 1 && terms->perms == QR_ZOOKEEPER_ALL && is(terms->scheme, "world");
}

bool qr__zk_acl_allows(const qr_jute_vector *acl, const qr_zookeeper_asker *asker, uint32_t permission)
{
    if (asker->is_super)
        return true;
    const qr_jute_acl *terms = acl->items;
    for (int32_t i = 0; i < acl->count; i++) {
        if (((uint32_t)terms[i].perms & permission) == 0)
            continue;
        if (is(terms[i].scheme, "world"))
            return true;
        for (size_t j = 0; j < asker->id_count; j++)
            if (term_matches(&terms[i], &asker->ids[j]))
                return true;
    }
    return false;
}

/* ------------------------------------------------------------------ records ---- */

qr_slice qr__zk_acl_encode(const qr_jute_vector *acl, bool born, qr_arena *arena)
{
    qr_buffer out;
    qr_buffer_init(&out);
    qr_buffer_u8(&out, born);
    const qr_jute_acl *terms = acl->items;
    for (int32_t i = 0; i < acl->count; i++) {
        qr_buffer_varint(&out, (uint32_t)terms[i].perms);
        qr_buffer_bytes(&out, terms[i].scheme);
        qr_buffer_bytes(&out, terms[i].id);
    }
    qr_slice record = qr_arena_copy(arena, qr_buffer_slice(&out));
    qr_buffer_free(&out);
    return record;
}

static qr_jute_vector open_to_all(qr_arena *arena)
{
    qr_jute_acl *term = qr_arena_zero(arena, 1, sizeof *term);
    *term = (qr_jute_acl){
        .perms = QR_ZOOKEEPER_ALL, .scheme = qr_slice_text("world"), .id = qr_slice_text("anyone")};
    return (qr_jute_vector){.items = term, .count = 1};
}

qr_jute_vector qr__zk_acl_of(const qr_key_value *record, qr_arena *arena)
{
    if (record == NULL)
        return open_to_all(arena);
    qr_reader reader = qr_reader_of(record->value);
    qr_reader_u8(&reader);
    /* A term takes three bytes at least. */
    qr_jute_acl *terms = qr_arena_zero(arena, record->value.size / 3 + 1, sizeof *terms);
    int32_t count = 0;
    while (!reader.failed && qr_reader_left(&reader) > 0) {
        qr_jute_acl *term = &terms[count];
        term->perms = (int32_t)qr_reader_varint(&reader);
        term->scheme = qr_reader_bytes(&reader);
        term->id = qr_reader_bytes(&reader);
        count += !reader.failed;
    }
    return (qr_jute_vector){.items = terms, .count = reader.failed ? 0 : count};
}

bool qr__zk_acl_born(const qr_key_value *record)
{
    return record && record->value.size > 0 && record->value.data[0] == 1;
}

int32_t qr__zk_acl_changes(const qr_key_value *record)
{
    return record ? (int32_t)(record->version - qr__zk_acl_born(record)) : 0;
}

qr_slice qr__zk_user(qr_slice scheme, qr_slice id)
{
    const uint8_t *colon = is(scheme, "digest") && id.size ? memchr(id.data, ':', id.size) : NULL;
    return colon ? qr_slice_of(id.data, (size_t)(colon - id.data)) : id;
}

qr_jute_vector qr__zk_acl_hidden(const qr_jute_vector *acl, qr_arena *arena)
{
    const qr_jute_acl *terms = acl->items;
    qr_jute_acl *hidden = qr_arena_zero(arena, (size_t)acl->count + 1, sizeof *hidden);
    for (int32_t i = 0; i < acl->count; i++) {
        hidden[i] = terms[i];
        if (!is(terms[i].scheme, "digest"))
            continue;
        qr_slice user = qr__zk_user(terms[i].scheme, terms[i].id);
        uint8_t *text = qr_arena_alloc(arena, user.size + 2);
        if (user.size)
            memcpy(text, user.data, user.size);
        memcpy(text + user.size, ":x", 2);
        hidden[i].id = qr_slice_of(text, user.size + 2);
    }
    return (qr_jute_vector){.items = hidden, .count = acl->count};
}

bool qr_zookeeper_allows(const qr_key_value *acl, const qr_zookeeper_asker *asker, uint32_t permission)
{
    if (acl == NULL)
        return true;
    qr_arena arena;
    qr_arena_init(&arena);
    qr_jute_vector list = qr__zk_acl_of(acl, &arena);
    bool allows = qr__zk_acl_allows(&list, asker, permission);
    qr_arena_free(&arena);
    return allows;
}

/* ------------------------------------------------------------------- digest ---- */

qr_status qr_zookeeper_digest(qr_slice auth, qr_arena *arena, qr_slice *id)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *colon = auth.size ? memchr(auth.data, ':', auth.size) : NULL;
    if (colon == NULL)
        return QR_E_INVALID;
    uint8_t sum[QR_SHA1_SIZE + 1] = {0}; /* whole groups of three */
    qr_sha1(auth, sum);
    size_t user = (size_t)(colon - auth.data) + 1;
    uint8_t *text = qr_arena_alloc(arena, user + 28);
    memcpy(text, auth.data, user);
    for (size_t i = 0; i < 7; i++) {
        uint32_t group = (uint32_t)sum[3 * i] << 16 | (uint32_t)sum[3 * i + 1] << 8 | sum[3 * i + 2];
        for (size_t j = 0; j < 4; j++)
            text[user + 4 * i + j] = (uint8_t)letters[group >> (18 - 6 * j) & 63];
    }
    text[user + 27] = '=';
    *id = qr_slice_of(text, user + 28);
    return QR_OK;
}
