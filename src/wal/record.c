#include <string.h>

#include "wal/inside.h"

/* A head, at the beginning of each segment's file:
 *   0 magic   8 version u32   12 size u32   16 cluster   24 group   32 member   40 incarnation   48 sequence
 *  56 segment size   64 previous end   72 chain   80 span u32   84 brief size u32   88 brief checksum   96
 * reserved 104 checksum over the 104 bytes before then the brief, then zeros up to `size`. Magic, version and
 * the checksum's place stay the same in every version, so that a newer file is told from a damaged one. */
static const uint8_t magic[8] = {'Q', 'R', 'W', 'A', 'L', 'S', 'E', 'G'};

enum { HEAD_SEED = 0x77616c31, BRIEF_SEED = 0x77616c32, CHECKSUM_AT = 104 };

uint32_t qr_wal_head_size(uint64_t brief_size)
{
    QR_ASSERT(brief_size <= QR_WAL_BRIEF_MAX);
    return (uint32_t)((WAL_HEAD_SIZE + brief_size + WAL_BLOCK - 1) / WAL_BLOCK * WAL_BLOCK);
}

void qr_wal_head_write(wal_head *head, qr_slice brief, uint8_t *at)
{
    head->size = qr_wal_head_size(brief.size);
    head->brief_size = (uint32_t)brief.size;
    memset(at, 0, head->size);
    if (brief.size)
        memcpy(at + WAL_HEAD_SIZE, brief.data, brief.size);
    head->brief_checksum = qr_hash(qr_slice_of(at + WAL_HEAD_SIZE, head->size - WAL_HEAD_SIZE), BRIEF_SEED);
    memcpy(at, magic, sizeof magic);
    qr_store_u32(at + 8, WAL_VERSION);
    qr_store_u32(at + 12, head->size);
    qr_store_u64(at + 16, head->cluster);
    qr_store_u64(at + 24, head->group);
    qr_store_u64(at + 32, head->member);
    qr_store_u64(at + 40, head->incarnation);
    qr_store_u64(at + 48, head->sequence);
    qr_store_u64(at + 56, head->segment_size);
    qr_store_u64(at + 64, head->previous_end);
    qr_store_u64(at + 72, head->chain);
    qr_store_u32(at + 80, head->span);
    qr_store_u32(at + 84, head->brief_size);
    qr_store_u64(at + 88, head->brief_checksum);
    head->checksum = qr_hash(qr_slice_of(at, CHECKSUM_AT), HEAD_SEED);
    qr_store_u64(at + CHECKSUM_AT, head->checksum);
}

static bool head_is_sane(const wal_head *head)
{
    return head->brief_size <= QR_WAL_BRIEF_MAX && head->size == qr_wal_head_size(head->brief_size) &&
           head->segment_size >= WAL_BLOCK && head->segment_size <= WAL_SEGMENT_SIZE_MAX &&
           head->segment_size % WAL_BLOCK == 0 && head->span > 0 &&
           head->span <= (QR_WAL_RECORD_MAX + QR_WAL_BRIEF_MAX + 2 * WAL_BLOCK) / head->segment_size + 1 &&
           head->sequence <= INT64_MAX / head->segment_size - head->span &&
           head->previous_end <= head->sequence * head->segment_size;
}

qr_status qr_wal_head_read(qr_slice bytes, wal_head *head)
{
    if (bytes.size < WAL_HEAD_SIZE || memcmp(bytes.data, magic, sizeof magic) != 0)
        return QR_E_INVALID;
    const uint8_t *at = bytes.data;
    if (qr_load_u64(at + CHECKSUM_AT) != qr_hash(qr_slice_of(at, CHECKSUM_AT), HEAD_SEED))
        return QR_E_INVALID;
    if (qr_load_u32(at + 8) != WAL_VERSION)
        return QR_E_BAD_VERSION;
    *head = (wal_head){
        .size = qr_load_u32(at + 12),
        .cluster = qr_load_u64(at + 16),
        .group = qr_load_u64(at + 24),
        .member = qr_load_u64(at + 32),
        .incarnation = qr_load_u64(at + 40),
        .sequence = qr_load_u64(at + 48),
        .segment_size = qr_load_u64(at + 56),
        .previous_end = qr_load_u64(at + 64),
        .chain = qr_load_u64(at + 72),
        .span = qr_load_u32(at + 80),
        .brief_size = qr_load_u32(at + 84),
        .brief_checksum = qr_load_u64(at + 88),
        .checksum = qr_load_u64(at + CHECKSUM_AT),
    };
    return head_is_sane(head) ? QR_OK : QR_E_INVALID;
}

bool qr_wal_brief_read(const wal_head *head, qr_slice bytes, qr_slice *brief)
{
    if (bytes.size < head->size)
        return false;
    *brief = qr_slice_of(bytes.data + WAL_HEAD_SIZE, head->brief_size);
    return qr_hash(qr_slice_of(bytes.data + WAL_HEAD_SIZE, head->size - WAL_HEAD_SIZE), BRIEF_SEED) ==
           head->brief_checksum;
}

/* A record:
 *   0 checksum over all that follows, padding included, seeded with the log's identity
 *   8 position   16 durable   24 chain   32 first index   40 last index   48 payload size u32   52 kind u32
 * (1) 56 payload, zeros up to a multiple of 8 */
enum { RECORD_KIND = 1 };

uint64_t qr_wal_seed(uint64_t cluster, uint64_t group, uint64_t member, uint64_t incarnation)
{
    return qr_hash_mix(qr_hash_mix(qr_hash_mix(qr_hash_mix(WAL_VERSION, cluster), group), member),
                       incarnation);
}

void qr_wal_record_write(wal_record *record, uint64_t seed, uint8_t *at)
{
    QR_ASSERT(record->payload.size <= QR_WAL_RECORD_MAX);
    record->total = qr_wal_record_total(record->payload.size);
    qr_store_u64(at + 8, record->position);
    qr_store_u64(at + 16, record->durable);
    qr_store_u64(at + 24, record->chain);
    qr_store_u64(at + 32, record->index_first);
    qr_store_u64(at + 40, record->index_last);
    qr_store_u32(at + 48, (uint32_t)record->payload.size);
    qr_store_u32(at + 52, RECORD_KIND);
    size_t written = WAL_RECORD_HEAD + record->payload.size;
    if (record->payload.size)
        memcpy(at + WAL_RECORD_HEAD, record->payload.data, record->payload.size);
    memset(at + written, 0, record->total - written);
    record->checksum = qr_hash(qr_slice_of(at + 8, record->total - 8), seed);
    qr_store_u64(at, record->checksum);
}

bool qr_wal_record_read(qr_slice bytes, uint64_t seed, wal_record *record)
{
    if (bytes.size < WAL_RECORD_HEAD)
        return false;
    const uint8_t *at = bytes.data;
    uint32_t size = qr_load_u32(at + 48);
    if (qr_load_u32(at + 52) != RECORD_KIND || size > QR_WAL_RECORD_MAX)
        return false;
    *record = (wal_record){
        .checksum = qr_load_u64(at),
        .position = qr_load_u64(at + 8),
        .durable = qr_load_u64(at + 16),
        .chain = qr_load_u64(at + 24),
        .index_first = qr_load_u64(at + 32),
        .index_last = qr_load_u64(at + 40),
        .payload = qr_slice_of(at + WAL_RECORD_HEAD, size),
        .total = qr_wal_record_total(size),
    };
    return record->total <= bytes.size && record->index_first <= record->index_last &&
           (record->index_first == 0) == (record->index_last == 0) && record->durable <= record->position &&
           qr_hash(qr_slice_of(at + 8, record->total - 8), seed) == record->checksum;
}
