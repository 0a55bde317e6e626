/* Private to src/wal: what the files of the checkpoints share. The bytes are in doc/formats/checkpoint.md.
 *
 * checkpoint_block.c   header, blocks and footer as bytes, and their checks; names
 * checkpoint_write.c   chunks into blocks, blocks into a file that gets its name last
 * checkpoint_decode.c  blocks back into chunks: what both readers share
 * checkpoint_read.c    reading at once, and between turns
 * checkpoint_copy.c    the bytes of a file, out of it and into another one
 * checkpoint_list.c    finding, removing
 * checkpoint_check.c   reading for people
 *
 * Everything that is under way lives in a struct of its own with its one operation. Whoever gives one up
 * while its operation is under way sets a flag, and the completion frees it. */
#ifndef QR_WAL_CHECKPOINT_INSIDE_H
#define QR_WAL_CHECKPOINT_INSIDE_H

#include <inttypes.h>

#include "wal/checkpoint.h"

enum {
    CHECKPOINT_VERSION = 1,
    CHECKPOINT_ALIGN = 4096,         /* header and blocks are multiples of it */
    CHECKPOINT_HEADER = 4096,        /* bytes of the header, its zeros included */
    CHECKPOINT_BLOCK_HEAD = 24,      /* bytes of a block before its content */
    CHECKPOINT_CHUNK_HEAD = 8,       /* bytes of a chunk before its own */
    CHECKPOINT_SLICE = 256 * 1024,   /* bytes of one background write: how long a log sync waits for it */
    CHECKPOINT_WAITING = 512 * 1024, /* bytes on their way from which on no more are wanted */
    CHECKPOINT_SENTENCE_MAX = 256,
};

/* ---------------------------------------------------- checkpoint_block.c ---- */

typedef enum wal_block_kind { WAL_BLOCK_CHUNKS = 1, WAL_BLOCK_FOOTER = 2 } wal_block_kind;

typedef struct wal_block {
    wal_block_kind kind;
    qr_slice content;
    uint64_t checksum;
    size_t total; /* bytes with head and zeros */
} wal_block;

typedef struct wal_footer {
    uint64_t blocks, bytes; /* of chunks; bytes are those of the contents */
    uint64_t chunks;
    uint64_t checksum; /* over the checksums of all blocks before, from the seed on */
} wal_footer;

/* The seed of every block's checksum: it stands for the header. */
void qr_wal_checkpoint_header_write(const qr_checkpoint_about *about, uint8_t *at, uint64_t *seed);
/* INVALID: not a header, or damaged. BAD_VERSION: a whole one of another version. */
qr_status qr_wal_checkpoint_header_read(qr_slice bytes, qr_checkpoint_about *about, uint64_t *seed);

size_t qr_wal_block_total(size_t content);
/* Puts the head before the content that already stands in its place, and zeros behind it: total bytes in all.
 * Returns the checksum. */
uint64_t qr_wal_block_seal(uint8_t *at, wal_block_kind kind, uint64_t seed, uint64_t number, size_t content);
/* Whether the bytes begin with the whole block of that number. */
bool qr_wal_block_read(qr_slice bytes, uint64_t seed, uint64_t number, wal_block *block);

enum { CHECKPOINT_FOOTER = 32 }; /* bytes of its content */
void qr_wal_footer_write(const wal_footer *footer, uint8_t *at);
bool qr_wal_footer_read(qr_slice content, wal_footer *footer);

/* The kind of the chunk of that number, from 0 on. */
static inline qr_checkpoint_kind qr_wal_kind_at(uint64_t number)
{
    return number == 0 ? QR_CHECKPOINT_BRIEF : number == 1 ? QR_CHECKPOINT_ORIGINS : QR_CHECKPOINT_MACHINE;
}

typedef enum wal_checkpoint_name {
    WAL_NAME_OTHER,
    WAL_NAME_WHOLE,    /* checkpoint-<index> */
    WAL_NAME_PART,     /* checkpoint-<index>.part */
    WAL_NAME_RECEIVED, /* received-<index>.part */
} wal_checkpoint_name;

void qr_wal_checkpoint_name_write(wal_checkpoint_name what, uint64_t index, char name[QR_DISK_NAME_MAX]);
wal_checkpoint_name qr_wal_checkpoint_name_read(const char *name, uint64_t *index);

/* --------------------------------------------------- checkpoint_decode.c ---- */

/* Takes a file block by block, in order. Owned by a reader. */
typedef struct wal_decoder {
    char name[QR_DISK_NAME_MAX];
    uint64_t cluster, group; /* wanted; 0 = any */
    qr_checkpoint_visit visit;
    qr_checkpoint_about about; /* once the header was read */
    bool has_about;
    uint64_t seed, checksum; /* running, as the footer's */
    uint64_t offset;         /* in the file: where the next block begins */
    uint64_t number;         /* of the next block; 0 = the header */
    uint64_t bytes, chunks;  /* so far, as the footer's */
    bool is_last;            /* the block before was not full: the footer must follow */
    bool is_done;            /* the footer was whole and all was visited */
    bool is_stopped;         /* the reader was closed by what it visited: no more visits */
    /* the chunk being put together, or the whole one that waits to hear whether it is the last one */
    uint8_t head[CHECKPOINT_CHUNK_HEAD];
    size_t head_got;
    qr_buffer chunk;
    size_t chunk_size;
    qr_checkpoint_kind kind;
    bool is_whole;
    char what[CHECKPOINT_SENTENCE_MAX / 2]; /* of a failure: its last part */
    char sentence[CHECKPOINT_SENTENCE_MAX]; /* the whole of it */
} wal_decoder;

void qr_wal_decoder_init(wal_decoder *decoder, const char *name, uint64_t cluster, uint64_t group,
                         const qr_checkpoint_visit *visit);
/* How many bytes it wants at .offset; there may be fewer in the file. */
uint64_t qr_wal_decoder_wants(const wal_decoder *decoder);
/* Not QR_OK: with a sentence. The bytes are borrowed for the call. */
qr_status qr_wal_decoder_feed(wal_decoder *decoder, qr_slice bytes);
/* An operation on the file failed. Returns NOT_FOUND or IO. */
qr_status qr_wal_decoder_failed(wal_decoder *decoder, qr_status status);
void qr_wal_decoder_free(wal_decoder *decoder); /* what it owns */

/* Reads the whole file into the decoder at once. */
qr_status qr_wal_decoder_run(wal_decoder *decoder, const qr_disk *disk);

/* --------------------------------------------------------------- all ---- */

/* Background lane, for all of them. */
static inline void qr_wal_submit(const qr_disk *disk, qr_disk_op *op, qr_disk_kind kind,
                                 void (*done)(qr_disk_op *op), void *owner)
{
    op->kind = kind;
    op->lane = QR_LANE_BACKGROUND;
    op->done = done;
    op->owner = owner;
    disk->submit(disk->self, op);
}

#endif
