/* Which entries are where. One row of 32 bytes stands for up to 64 KiB of neighbouring records, so that a
 * million small records cost a few hundred kilobytes. */
#include <string.h>

#include "wal/inside.h"

static void make_room(wal_index *index)
{
    if (index->end < index->room)
        return;
    size_t count = index->end - index->begin;
    if (index->begin > index->room / 2) {
        memmove(index->runs, index->runs + index->begin, count * sizeof *index->runs);
    } else {
        index->room = index->room ? index->room * 2 : 64;
        wal_run *runs = qr_alloc(index->room * sizeof *runs);
        if (count)
            memcpy(runs, index->runs + index->begin, count * sizeof *runs);
        qr_free(index->runs);
        index->runs = runs;
    }
    index->begin = 0;
    index->end = count;
}

/* A newer record holds entries from `first` on: whatever older ones say about those is void. */
static void cut(wal_index *index, uint64_t first)
{
    bool is_cut = false;
    while (index->end > index->begin && index->runs[index->end - 1].first >= first) {
        index->end--;
        is_cut = true;
    }
    if (index->end == index->begin)
        return;
    wal_run *last = &index->runs[index->end - 1];
    if (last->last >= first) {
        last->last = first - 1;
        is_cut = true;
    }
    /* Void records lie behind this run now: growing over them would bring them back. */
    last->is_cut = last->is_cut || is_cut;
}

void qr_wal_index_add(wal_index *index, uint64_t first, uint64_t last, uint64_t position, uint64_t total,
                      uint64_t segment_begin)
{
    QR_ASSERT(first > 0 && first <= last);
    QR_ASSERT(total > 0 && total <= UINT32_MAX);
    cut(index, first);
    if (index->end > index->begin) {
        wal_run *newest = &index->runs[index->end - 1];
        QR_ASSERT(newest->position < position);
        if (!newest->is_cut && newest->last + 1 == first && newest->position >= segment_begin &&
            position + total - newest->position <= WAL_RUN_MAX) {
            newest->last = last;
            newest->size = (uint32_t)(position + total - newest->position);
            return;
        }
    }
    make_room(index);
    index->runs[index->end++] =
        (wal_run){.first = first, .last = last, .position = position, .size = (uint32_t)total};
}

const wal_run *qr_wal_index_find(const wal_index *index, uint64_t entry)
{
    size_t low = index->begin, high = index->end;
    while (low < high) { /* the first run that does not end before the entry */
        size_t middle = low + (high - low) / 2;
        if (index->runs[middle].last < entry)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->end && index->runs[low].first <= entry ? &index->runs[low] : NULL;
}

void qr_wal_index_drop(wal_index *index, uint64_t position)
{
    while (index->begin < index->end && index->runs[index->begin].position < position)
        index->begin++;
}
