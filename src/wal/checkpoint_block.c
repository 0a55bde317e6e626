/* The bytes of a checkpoint file. */
#include <stdio.h>
#include <string.h>

#include "wal/checkpoint_inside.h"

/* The header:
 *   0 magic   8 version u32   12 header size u32   16 block size u32   20 apply version u32   24 cluster
 *  32 group   40 member   48 incarnation   56 index   64 term   72 digest   80 revision   88 wall clock
 *  96 reserved   104 checksum over the 104 bytes before   112 zeros
 * Magic, version and the checksum's place stay the same in every version, so that a newer file is told from a
 * damaged one. */
static const uint8_t magic[8] = {'Q', 'R', 'C', 'H', 'K', 'P', 'N', 'T'};

enum { HEADER_SEED = 0x636b7031, CHECKSUM_AT = 104, HEADER_END = 112 };

void qr_wal_checkpoint_header_write(const qr_checkpoint_about *about, uint8_t *at, uint64_t *seed)
{
    memset(at, 0, CHECKPOINT_HEADER);
    memcpy(at, magic, sizeof magic);
    qr_store_u32(at + 8, CHECKPOINT_VERSION);
    qr_store_u32(at + 12, CHECKPOINT_HEADER);
    qr_store_u32(at + 16, QR_CHECKPOINT_BLOCK);
    qr_store_u32(at + 20, about->apply_version);
    qr_store_u64(at + 24, about->cluster);
    qr_store_u64(at + 32, about->group);
    qr_store_u64(at + 40, about->member);
    qr_store_u64(at + 48, about->incarnation);
    qr_store_u64(at + 56, about->index);
    qr_store_u64(at + 64, about->term);
    qr_store_u64(at + 72, about->digest);
    qr_store_u64(at + 80, about->revision);
    qr_store_u64(at + 88, (uint64_t)about->wall_ms);
    *seed = qr_hash(qr_slice_of(at, CHECKSUM_AT), HEADER_SEED);
    qr_store_u64(at + CHECKSUM_AT, *seed);
}

static bool is_zero(const uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (at[i] != 0)
            return false;
    return true;
}

qr_status qr_wal_checkpoint_header_read(qr_slice bytes, qr_checkpoint_about *about, uint64_t *seed)
{
    const uint8_t *at = bytes.data;
    if (bytes.size < HEADER_END || memcmp(at, magic, sizeof magic) != 0)
        return QR_E_INVALID;
    *seed = qr_hash(qr_slice_of(at, CHECKSUM_AT), HEADER_SEED);
    if (qr_load_u64(at + CHECKSUM_AT) != *seed)
        return QR_E_INVALID;
    if (qr_load_u32(at + 8) != CHECKPOINT_VERSION)
        return QR_E_BAD_VERSION;
    if (bytes.size < CHECKPOINT_HEADER || qr_load_u32(at + 12) != CHECKPOINT_HEADER ||
        qr_load_u32(at + 16) != QR_CHECKPOINT_BLOCK || qr_load_u32(at + 20) > UINT16_MAX ||
        qr_load_u64(at + 96) != 0 || !is_zero(at + HEADER_END, CHECKPOINT_HEADER - HEADER_END))
        return QR_E_INVALID;
    *about = (qr_checkpoint_about){
        .apply_version = (uint16_t)qr_load_u32(at + 20),
        .cluster = qr_load_u64(at + 24),
        .group = qr_load_u64(at + 32),
        .member = qr_load_u64(at + 40),
        .incarnation = qr_load_u64(at + 48),
        .index = qr_load_u64(at + 56),
        .term = qr_load_u64(at + 64),
        .digest = qr_load_u64(at + 72),
        .revision = qr_load_u64(at + 80),
        .wall_ms = (int64_t)qr_load_u64(at + 88),
    };
    return QR_OK;
}

/* A block:
 *   0 checksum over all that follows, zeros included; the seed is the header's checksum
 *   8 number u64, from 1 on   16 size of the content u32   20 kind u32   24 content, then zeros */

size_t qr_wal_block_total(size_t content)
{
    QR_ASSERT(content <= QR_CHECKPOINT_BLOCK - CHECKPOINT_BLOCK_HEAD);
    return (CHECKPOINT_BLOCK_HEAD + content + CHECKPOINT_ALIGN - 1) / CHECKPOINT_ALIGN * CHECKPOINT_ALIGN;
}

uint64_t qr_wal_block_seal(uint8_t *at, wal_block_kind kind, uint64_t seed, uint64_t number, size_t content)
{
    size_t total = qr_wal_block_total(content), written = CHECKPOINT_BLOCK_HEAD + content;
    qr_store_u64(at + 8, number);
    qr_store_u32(at + 16, (uint32_t)content);
    qr_store_u32(at + 20, kind);
    memset(at + written, 0, total - written);
    uint64_t checksum = qr_hash(qr_slice_of(at + 8, total - 8), seed);
    qr_store_u64(at, checksum);
    return checksum;
}

bool qr_wal_block_read(qr_slice bytes, uint64_t seed, uint64_t number, wal_block *block)
{
    const uint8_t *at = bytes.data;
    if (bytes.size < CHECKPOINT_BLOCK_HEAD)
        return false;
    uint32_t size = qr_load_u32(at + 16), kind = qr_load_u32(at + 20);
    if (size > QR_CHECKPOINT_BLOCK - CHECKPOINT_BLOCK_HEAD || qr_load_u64(at + 8) != number ||
        (kind != WAL_BLOCK_CHUNKS && kind != WAL_BLOCK_FOOTER))
        return false;
    *block = (wal_block){
        .kind = (wal_block_kind)kind,
        .content = qr_slice_of(at + CHECKPOINT_BLOCK_HEAD, size),
        .checksum = qr_load_u64(at),
        .total = qr_wal_block_total(size),
    };
    return block->total <= bytes.size &&
           qr_hash(qr_slice_of(at + 8, block->total - 8), seed) == block->checksum;
}

void qr_wal_footer_write(const wal_footer *footer, uint8_t *at)
{
    qr_store_u64(at, footer->blocks);
    qr_store_u64(at + 8, footer->bytes);
    qr_store_u64(at + 16, footer->chunks);
    qr_store_u64(at + 24, footer->checksum);
}

bool qr_wal_footer_read(qr_slice content, wal_footer *footer)
{
    if (content.size != CHECKPOINT_FOOTER)
        return false;
    *footer = (wal_footer){
        .blocks = qr_load_u64(content.data),
        .bytes = qr_load_u64(content.data + 8),
        .chunks = qr_load_u64(content.data + 16),
        .checksum = qr_load_u64(content.data + 24),
    };
    return true;
}

/* ------------------------------------------------------------- names ---- */

static const char *const prefixes[] = {"", "checkpoint-", "checkpoint-", "received-"};
static const char *const suffixes[] = {"", "", ".part", ".part"};

void qr_wal_checkpoint_name_write(wal_checkpoint_name what, uint64_t index, char name[QR_DISK_NAME_MAX])
{
    QR_ASSERT(what != WAL_NAME_OTHER);
    memset(name, 0, QR_DISK_NAME_MAX);
    snprintf(name, QR_DISK_NAME_MAX, "%s%016" PRIx64 "%s", prefixes[what], index, suffixes[what]);
}

wal_checkpoint_name qr_wal_checkpoint_name_read(const char *name, uint64_t *index)
{
    for (wal_checkpoint_name what = WAL_NAME_WHOLE; what <= WAL_NAME_RECEIVED; what++) {
        size_t skip = strlen(prefixes[what]);
        if (strncmp(name, prefixes[what], skip) != 0 || strspn(name + skip, "0123456789abcdef") != 16 ||
            strcmp(name + skip + 16, suffixes[what]) != 0)
            continue;
        *index = 0;
        for (const char *digit = name + skip; digit < name + skip + 16; digit++)
            *index = *index << 4 | (uint64_t)(*digit <= '9' ? *digit - '0' : *digit - 'a' + 10);
        return what;
    }
    return WAL_NAME_OTHER;
}
