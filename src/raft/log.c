#include "raft/log.h"

#include "raft/raft_internal.h"

enum { CHUNK_SIZE_MIN = 64 * 1024 - 64, BLOCK_ROOM_MIN = 16 };

struct qr_raft_chunk {
    qr_raft_chunk *before, *behind; /* older, newer */
    uint64_t entries;               /* alive in it */
    size_t used, room;              /* of bytes[] */
    uint8_t bytes[];
};

void qr_raft_log_init(qr_raft_log *log)
{
    *log = (qr_raft_log){.memory_first = 1};
}

static void chunk_remove(qr_raft_log *log, qr_raft_chunk *chunk)
{
    *(chunk->before ? &chunk->before->behind : &log->head) = chunk->behind;
    *(chunk->behind ? &chunk->behind->before : &log->tail) = chunk->before;
    if (log->spare == NULL && chunk->room == CHUNK_SIZE_MIN)
        log->spare = chunk;
    else
        qr_free(chunk);
}

static qr_raft_chunk *chunk_add(qr_raft_log *log, size_t need)
{
    qr_raft_chunk *chunk = need <= CHUNK_SIZE_MIN ? log->spare : NULL;
    if (chunk) {
        log->spare = NULL;
    } else {
        size_t room = need > CHUNK_SIZE_MIN ? need : CHUNK_SIZE_MIN;
        chunk = qr_alloc(sizeof *chunk + room);
        chunk->room = room;
    }
    chunk->used = 0;
    chunk->entries = 0;
    chunk->before = log->tail;
    chunk->behind = NULL;
    *(log->tail ? &log->tail->behind : &log->head) = chunk;
    log->tail = chunk;
    return chunk;
}

/* ------------------------------------------------------------ descriptors ---- */

static qr_raft_entry **block_at(const qr_raft_log *log, uint64_t index)
{
    return &log->blocks[index / QR_RAFT_BLOCK & (log->block_room - 1)];
}

static qr_raft_entry *entry_at(const qr_raft_log *log, uint64_t index)
{
    QR_ASSERT(index >= log->memory_first && index <= log->last);
    return &(*block_at(log, index))[index % QR_RAFT_BLOCK];
}

static void block_free(qr_raft_log *log, uint64_t index)
{
    qr_raft_entry **block = block_at(log, index);
    if (log->spare_block == NULL)
        log->spare_block = *block;
    else
        qr_free(*block);
    *block = NULL;
}

static void blocks_free(qr_raft_log *log)
{
    for (uint64_t at = 0; at < log->block_room; at++)
        if (log->blocks[at] != NULL)
            block_free(log, at * QR_RAFT_BLOCK);
}

static void blocks_grow(qr_raft_log *log)
{
    uint64_t room = log->block_room ? log->block_room * 2 : BLOCK_ROOM_MIN;
    qr_raft_entry **blocks = qr_alloc_zero(room, sizeof(qr_raft_entry *));
    if (log->memory_first <= log->last)
        for (uint64_t b = log->memory_first / QR_RAFT_BLOCK; b <= log->last / QR_RAFT_BLOCK; b++)
            blocks[b & (room - 1)] = *block_at(log, b * QR_RAFT_BLOCK);
    qr_free(log->blocks);
    log->blocks = blocks;
    log->block_room = room;
}

/* There is a block for this entry, the one behind the last. */
static void block_need(qr_raft_log *log, uint64_t index)
{
    uint64_t first = log->memory_first / QR_RAFT_BLOCK;
    if (log->block_room == 0 || index / QR_RAFT_BLOCK - first == log->block_room)
        blocks_grow(log);
    qr_raft_entry **block = block_at(log, index);
    if (*block != NULL)
        return;
    *block = log->spare_block ? log->spare_block : qr_alloc(QR_RAFT_BLOCK * sizeof **block);
    log->spare_block = NULL;
}

void qr_raft_log_free(qr_raft_log *log)
{
    while (log->head)
        chunk_remove(log, log->head);
    qr_free(log->spare);
    blocks_free(log);
    qr_free(log->spare_block);
    qr_free(log->blocks);
    qr_free(log->runs);
    *log = (qr_raft_log){0};
}

void qr_raft_log_reset(qr_raft_log *log, uint64_t index, uint64_t term)
{
    while (log->head)
        chunk_remove(log, log->head);
    blocks_free(log);
    log->base_index = log->last = index;
    log->base_term = term;
    log->memory_first = index + 1;
    log->memory_bytes = 0;
    log->run_count = 0;
}

/* Releases the bytes of one entry at either end of what is in memory. */
static void entry_release(qr_raft_log *log, qr_raft_entry *entry)
{
    QR_ASSERT(entry->home->entries > 0);
    log->memory_bytes -= entry->size + sizeof *entry;
    if (--entry->home->entries == 0)
        chunk_remove(log, entry->home);
}

static void release_first(qr_raft_log *log)
{
    uint64_t index = log->memory_first;
    entry_release(log, entry_at(log, index));
    if (index == log->last || (index + 1) % QR_RAFT_BLOCK == 0)
        block_free(log, index);
    log->memory_first++;
}

static void release_last(qr_raft_log *log)
{
    uint64_t index = log->last;
    qr_raft_entry *entry = entry_at(log, index);
    entry->home->used = entry->offset; /* what follows is written over it: runs of bytes stay without holes */
    entry_release(log, entry);
    if (index == log->memory_first || index % QR_RAFT_BLOCK == 0)
        block_free(log, index);
    log->last--;
}

void qr_raft_log_forget(qr_raft_log *log, uint64_t index)
{
    QR_ASSERT(index >= log->base_index && index <= log->last);
    uint64_t term = qr_raft_log_term(log, index);
    while (log->memory_first <= index)
        release_first(log);
    size_t gone = 0; /* runs that end at or before index */
    while (gone < log->run_count &&
           (gone + 1 < log->run_count ? log->runs[gone + 1].first - 1 : log->last) <= index)
        gone++;
    if (gone > 0 && gone < log->run_count)
        memmove(log->runs, log->runs + gone, (log->run_count - gone) * sizeof *log->runs);
    log->run_count -= gone;
    if (log->run_count && log->runs[0].first <= index)
        log->runs[0].first = index + 1;
    log->base_index = index;
    log->base_term = term;
}

static void run_add(qr_raft_log *log, uint64_t first, uint64_t term)
{
    if (log->run_count == log->run_room) {
        log->run_room = log->run_room ? log->run_room * 2 : 16;
        log->runs = qr_realloc(log->runs, log->run_room * sizeof *log->runs);
    }
    log->runs[log->run_count++] = (qr_raft_run){.first = first, .term = term};
}

static void note_term(qr_raft_log *log, uint64_t index, uint64_t term)
{
    if (log->run_count == 0 || log->runs[log->run_count - 1].term != term)
        run_add(log, index, term);
}

static size_t varint_write(uint8_t *at, uint64_t value)
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7)
        at[size++] = (uint8_t)(value | 0x80);
    at[size++] = (uint8_t)value;
    return size;
}

size_t qr_raft_entry_header(uint8_t *at, uint64_t term, qr_entry_kind kind, uint64_t size)
{
    size_t used = varint_write(at, term);
    at[used++] = (uint8_t)kind;
    return used + varint_write(at + used, size);
}

qr_status qr_raft_entry_decode(qr_reader *reader, qr_raft_view *view)
{
    const uint8_t *start = reader->at;
    view->term = qr_reader_varint(reader);
    uint8_t kind = qr_reader_u8(reader);
    view->bytes = qr_reader_bytes(reader);
    if (reader->failed || view->term == 0 || view->term > QR_RAFT_NUMBER_MAX ||
        view->bytes.size > QR_RAFT_ENTRY_MAX)
        return QR_E_INVALID;
    if (kind != QR_ENTRY_COMMAND && kind != QR_ENTRY_MEMBERS && kind != QR_ENTRY_NOOP)
        return QR_E_INVALID;
    view->kind = (qr_entry_kind)kind;
    view->encoded = qr_slice_of(start, (size_t)(reader->at - start));
    return QR_OK;
}

void qr_raft_log_append(qr_raft_log *log, uint64_t term, qr_entry_kind kind, qr_slice bytes)
{
    QR_ASSERT(bytes.size <= QR_RAFT_ENTRY_MAX);
    QR_ASSERT(term > 0 && log->last < QR_RAFT_NUMBER_MAX); /* that terms rise is for broken() to say */
    size_t need = QR_RAFT_ENTRY_HEADER_MAX + bytes.size;
    qr_raft_chunk *chunk = log->tail;
    if (chunk == NULL || chunk->room - chunk->used < need)
        chunk = chunk_add(log, need);
    uint64_t index = log->last + 1;
    block_need(log, index);
    uint8_t *at = chunk->bytes + chunk->used;
    size_t header = qr_raft_entry_header(at, term, kind, bytes.size);
    if (bytes.size)
        memcpy(at + header, bytes.data, bytes.size);
    note_term(log, index, term);
    log->last = index;
    *entry_at(log, index) = (qr_raft_entry){.home = chunk,
                                            .term = term,
                                            .offset = (uint32_t)chunk->used,
                                            .size = (uint32_t)(header + bytes.size),
                                            .header = (uint8_t)header,
                                            .kind = (uint8_t)kind};
    chunk->used += header + bytes.size;
    chunk->entries++;
    log->memory_bytes += header + bytes.size + sizeof(qr_raft_entry);
}

void qr_raft_log_skip(qr_raft_log *log, uint64_t term)
{
    QR_ASSERT(log->memory_first > log->last && term > 0 && log->last < QR_RAFT_NUMBER_MAX);
    log->last++;
    log->memory_first = log->last + 1;
    note_term(log, log->last, term);
}

void qr_raft_log_truncate(qr_raft_log *log, uint64_t index)
{
    QR_ASSERT(index > log->base_index);
    while (log->last >= index && log->last >= log->memory_first)
        release_last(log);
    if (log->last >= index) { /* the rest was not in memory */
        log->last = index - 1;
        log->memory_first = index;
    }
    while (log->run_count && log->runs[log->run_count - 1].first > log->last)
        log->run_count--;
}

void qr_raft_log_trim(qr_raft_log *log, uint64_t index_max, size_t memory_max)
{
    while (log->memory_bytes > memory_max && log->memory_first <= index_max && log->memory_first <= log->last)
        release_first(log);
}

/* The row of the run that holds index, which is above base_index and at most last. */
static size_t run_of(const qr_raft_log *log, uint64_t index)
{
    QR_ASSERT(log->run_count > 0);
    size_t low = 0, high = log->run_count - 1;
    if (log->runs[high].first <= index) /* nearly every question is about the newest term */
        return high;
    while (low < high) {
        size_t middle = (low + high + 1) / 2;
        if (log->runs[middle].first <= index)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

uint64_t qr_raft_log_term(const qr_raft_log *log, uint64_t index)
{
    if (index < log->base_index || index > log->last)
        return 0;
    return index == log->base_index ? log->base_term : log->runs[run_of(log, index)].term;
}

bool qr_raft_log_read(const qr_raft_log *log, uint64_t index, qr_raft_view *view)
{
    if (index < log->memory_first || index > log->last)
        return false;
    const qr_raft_entry *entry = entry_at(log, index);
    const uint8_t *at = entry->home->bytes + entry->offset;
    *view = (qr_raft_view){.term = entry->term,
                           .kind = (qr_entry_kind)entry->kind,
                           .bytes = qr_slice_of(at + entry->header, entry->size - entry->header),
                           .encoded = qr_slice_of(at, entry->size)};
    return true;
}

/* An image of the engine asks it of all entries in memory in one turn: hence without views. The terms and
 * kinds being equal, equal encodings have equal headers. */
uint64_t qr_raft_log_alike(const qr_raft_log *log, uint64_t index, uint64_t last)
{
    QR_ASSERT(last <= log->last);
    const qr_raft_entry *first = entry_at(log, index);
    uint64_t count = 1;
    for (; index + count <= last; count++) {
        const qr_raft_entry *next = entry_at(log, index + count);
        if (next->size != first->size || next->term != first->term || next->kind != first->kind)
            break;
    }
    return count;
}

uint64_t qr_raft_log_find(const qr_raft_log *log, uint64_t index_max, uint64_t term)
{
    uint64_t index = index_max < log->last ? index_max : log->last;
    if (index <= log->base_index)
        return log->base_index;
    for (size_t row = run_of(log, index);; row--) {
        if (log->runs[row].term <= term)
            return index;
        index = log->runs[row].first - 1;
        if (row == 0)
            return index; /* base_index */
    }
}
