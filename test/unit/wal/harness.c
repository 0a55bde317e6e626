#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void harness_fail(const harness *h, const char *what)
{
    fprintf(stderr, "%s %llu: %s (appended %u, durable %u, first %u; log says: %s)\n",
            h->where ? h->where : "", (unsigned long long)h->number, what, h->model.count, h->model.durable,
            h->model.first, h->sentence);
    abort();
}

bool harness_has_entry(uint32_t record)
{
    return record % 7 != 3;
}

uint64_t harness_entry(uint32_t record)
{
    return record + 1 - (record + 4) / 7;
}

void harness_contents(const harness *h, uint32_t record, uint64_t salt, qr_buffer *out)
{
    qr_prng prng;
    qr_prng_seed(&prng, record * 1000003u + salt);
    uint64_t shape = qr_prng_below(&prng, 16);
    uint64_t size = shape == 0   ? 0
                    : shape == 1 ? qr_prng_below(&prng, 6000)
                    : shape == 2 ? 256
                                 : qr_prng_below(&prng, 300);
    if (h->largest > 0 && record % 97 == 50)
        size = h->largest;
    qr_buffer_clear(out);
    qr_buffer_reserve(out, size + 8);
    while (out->size < size)
        qr_buffer_u64(out, qr_prng_next(&prng));
    out->size = size;
}

static void brief_contents(uint32_t count, qr_buffer *out)
{
    uint64_t filler = qr_hash_mix(7, count) % 10 == 0 ? 5000 : qr_hash_mix(7, count) % 300;
    qr_buffer_u32(out, count);
    for (uint64_t i = 0; i < filler; i++)
        qr_buffer_u8(out, (uint8_t)(count + i));
}

/* -------------------------------------------------------------- callbacks ---- */

static void on_brief(void *context, qr_buffer *out)
{
    harness *h = context;
    brief_contents(h->model.count, out);
}

static void on_durable(void *context, uint64_t position)
{
    harness *h = context;
    DEMAND(h, h->broken == 0);
    DEMAND(h, position > h->durable_position);
    h->durable_position = position;
    while (h->model.durable < h->model.count && h->model.end[h->model.durable] <= position)
        h->model.durable++;
}

static void on_broken(void *context, qr_status status, const char *sentence)
{
    harness *h = context;
    h->broken++;
    h->broken_status = status;
    snprintf(h->broken_sentence, sizeof h->broken_sentence, "%s", sentence);
}

static void on_space(void *context, bool full)
{
    harness *h = context;
    if (full)
        h->full++;
    else
        h->relieved++;
}

static qr_status on_visit(void *context, bool is_brief, qr_slice bytes, uint64_t position, uint64_t first,
                          uint64_t last)
{
    harness *h = context;
    qr_buffer want = {0};
    if (is_brief) {
        DEMAND(h, !h->brief_seen && bytes.size >= 4 && first == 0 && last == 0);
        h->brief_seen = true;
        h->visited = qr_load_u32(bytes.data);
        DEMAND(h, h->visited <= h->model.first); /* nothing that was not released is missing */
        brief_contents(h->visited, &want);
    } else {
        DEMAND(h, h->brief_seen);
        DEMAND(h, h->visited < h->model.count);
        uint32_t record = h->visited++;
        harness_contents(h, record, h->model.salt[record], &want);
        uint64_t entry = harness_has_entry(record) ? harness_entry(record) : 0;
        DEMAND(h, first == entry && last == entry);
        DEMAND(h, position + 56 + bytes.size <= h->model.end[record] &&
                      h->model.end[record] < position + 56 + bytes.size + 8);
    }
    DEMAND(h, qr_slice_equal(bytes, qr_buffer_slice(&want)));
    qr_buffer_free(&want);
    return QR_OK;
}

/* ------------------------------------------------------------------ life ---- */

void harness_init(harness *h, fake_disk *disk, uint64_t segment_size)
{
    *h = (harness){.disk = disk};
    h->config = (qr_wal_config){
        .disk = &disk->disk,
        .cluster = 11,
        .group = 22,
        .member = 33,
        .incarnation = 44,
        .segment_size = segment_size,
        .brief = on_brief,
        .durable = on_durable,
        .broken = on_broken,
        .space = on_space,
        .context = h,
    };
}

qr_status harness_open(harness *h)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    DEMAND(h, h->wal == NULL);
    h->config.disk = &h->disk->disk;
    h->config.context = h;
    h->visited = 0;
    h->brief_seen = false;
    h->sentence[0] = '\0';
    qr_status status = qr_wal_open(&h->config, on_visit, h, &arena, &h->wal, &sentence);
    if (status != QR_OK) {
        DEMAND(h, sentence != NULL && h->wal == NULL);
        snprintf(h->sentence, sizeof h->sentence, "%s", sentence);
    } else {
        qr_wal_status facts;
        qr_wal_status_of(h->wal, &facts);
        DEMAND(h, h->brief_seen && h->visited >= h->model.durable && h->visited <= h->model.count);
        DEMAND(h, facts.durable_position == facts.next_position);
        if (h->visited > 0 && facts.next_position != facts.first_position)
            DEMAND(h, facts.next_position >= h->model.end[h->visited - 1]);
        h->model.count = h->model.durable = h->visited;
        h->durable_position = facts.durable_position;
        h->broken = 0;
        DEMAND(h, qr_wal_idle(h->wal));
    }
    qr_arena_free(&arena);
    return status;
}

void harness_close(harness *h)
{
    qr_wal_close(h->wal);
    h->wal = NULL;
}

void harness_append(harness *h, uint64_t salt)
{
    qr_buffer bytes = {0};
    uint32_t record = h->model.count;
    QR_ASSERT(record < RECORDS_MAX);
    harness_contents(h, record, salt, &bytes);
    uint64_t entry = harness_has_entry(record) ? harness_entry(record) : 0;
    h->model.salt[record] = salt;
    uint64_t end = qr_wal_append(h->wal, qr_buffer_slice(&bytes), entry, entry);
    h->model.end[record] = end;
    h->model.count++;
    qr_buffer_free(&bytes);
}

void harness_append_many(harness *h, uint32_t count, uint64_t salt)
{
    for (uint32_t i = 0; i < count; i++)
        harness_append(h, salt);
}

void harness_release(harness *h, uint32_t record)
{
    if (record == 0)
        return;
    /* A record without entries goes with the entries before it: the next brief stands for it. */
    uint32_t first = harness_has_entry(record) ? record : record + 1;
    if (h->model.first < first)
        h->model.first = first;
    qr_wal_release(h->wal, harness_entry(record - 1));
}

void harness_settle(harness *h)
{
    qr_wal_flush(h->wal);
    fake_disk_pump(h->disk);
    DEMAND(h, h->broken > 0 || h->model.durable == h->model.count);
}
