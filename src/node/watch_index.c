#include "node/watch_index.h"

#include "base/base.h"

enum { POINTS_ROOM_MIN = 64 };

static qr_track *track_new(const qr_span *span, uint64_t hash)
{
    bool has_end = span->kind == QR_SPAN_RANGE;
    qr_track *track = qr_alloc_zero(1, sizeof *track + span->key.size + (has_end ? span->end.size : 0));
    uint8_t *bytes = (uint8_t *)(track + 1);
    track->span =
        (qr_span){.kind = span->kind, .space = span->space, .key = qr_slice_of(bytes, span->key.size)};
    if (span->key.size > 0)
        memcpy(bytes, span->key.data, span->key.size);
    bytes += span->key.size;
    if (has_end && span->end.size > 0)
        memcpy(bytes, span->end.data, span->end.size);
    if (has_end)
        track->span.end = qr_slice_of(bytes, span->end.size);
    track->hash = hash;
    return track;
}

/* ------------------------------------------------------------- single keys ---- */

static qr_track **bucket_of(const qr_watch_index *index, uint64_t hash)
{
    return &index->points[hash & (index->point_room - 1)];
}

static qr_track **find_point(const qr_watch_index *index, qr_slice key, uint64_t hash)
{
    qr_track **at = bucket_of(index, hash);
    while (*at != NULL && ((*at)->hash != hash || !qr_slice_equal((*at)->span.key, key)))
        at = &(*at)->chain;
    return at;
}

static void grow_points(qr_watch_index *index)
{
    qr_watch_index grown = {.point_room = index->point_room ? index->point_room * 2 : POINTS_ROOM_MIN};
    grown.points = qr_alloc_zero(grown.point_room, sizeof(qr_track *));
    for (size_t i = 0; i < index->point_room; i++) {
        while (index->points[i] != NULL) {
            qr_track *track = index->points[i];
            index->points[i] = track->chain;
            qr_track **bucket = bucket_of(&grown, track->hash);
            track->chain = *bucket;
            *bucket = track;
        }
    }
    qr_free(index->points);
    index->points = grown.points;
    index->point_room = grown.point_room;
}

static qr_track *enter_point(qr_watch_index *index, const qr_span *span)
{
    if (index->point_count == index->point_room)
        grow_points(index);
    uint64_t hash = qr_hash(span->key, index->seed);
    qr_track **at = find_point(index, span->key, hash);
    if (*at == NULL) {
        *at = track_new(span, hash);
        index->point_count++;
    }
    return *at;
}

/* ------------------------------------------------------------------ ranges ---- */

/* Ends in their order; that of a range to the end of the space is the greatest. */
static int compare_ends(const qr_span *a, const qr_span *b)
{
    if (a->kind == QR_SPAN_FROM || b->kind == QR_SPAN_FROM)
        return (a->kind == QR_SPAN_FROM) - (b->kind == QR_SPAN_FROM);
    return qr_slice_compare(a->end, b->end);
}

static int compare_spans(const qr_span *a, const qr_span *b)
{
    int order = qr_slice_compare(a->key, b->key);
    return order ? order : compare_ends(a, b);
}

static bool ends_behind(const qr_span *span, qr_slice key)
{
    return span->kind == QR_SPAN_FROM || qr_slice_compare(key, span->end) < 0;
}

static void renew_farthest(qr_track *track)
{
    track->farthest = track;
    const qr_track *below[] = {track->left, track->right};
    for (int i = 0; i < 2; i++)
        if (below[i] != NULL && compare_ends(&below[i]->farthest->span, &track->farthest->span) > 0)
            track->farthest = below[i]->farthest;
}

/* Those before the span, and the others. */
static void split(qr_track *tree, const qr_span *span, qr_track **before, qr_track **others)
{
    if (tree == NULL) {
        *before = *others = NULL;
        return;
    }
    if (compare_spans(&tree->span, span) < 0) {
        *before = tree;
        split(tree->right, span, &tree->right, others);
    } else {
        *others = tree;
        split(tree->left, span, before, &tree->left);
    }
    renew_farthest(tree);
}

static qr_track *join(qr_track *left, qr_track *right)
{
    if (left == NULL || right == NULL)
        return left ? left : right;
    if (left->hash >= right->hash) {
        left->right = join(left->right, right);
        renew_farthest(left);
        return left;
    }
    right->left = join(left, right->left);
    renew_farthest(right);
    return right;
}

static qr_track *find_range(qr_track *tree, const qr_span *span)
{
    while (tree != NULL) {
        int order = compare_spans(span, &tree->span);
        if (order == 0)
            return tree;
        tree = order < 0 ? tree->left : tree->right;
    }
    return NULL;
}

static qr_track *enter_range(qr_watch_index *index, const qr_span *span)
{
    qr_track *track = find_range(index->ranges, span);
    if (track != NULL)
        return track;
    uint64_t hash = qr_hash(span->key, index->seed);
    if (span->kind == QR_SPAN_RANGE)
        hash = qr_hash(span->end, hash);
    track = track_new(span, hash);
    qr_track *before, *others;
    split(index->ranges, span, &before, &others);
    renew_farthest(track);
    index->ranges = join(join(before, track), others);
    return track;
}

static qr_track *without(qr_track *tree, const qr_track *track)
{
    if (tree == track)
        return join(tree->left, tree->right);
    QR_ASSERT(tree != NULL);
    if (compare_spans(&track->span, &tree->span) < 0)
        tree->left = without(tree->left, track);
    else
        tree->right = without(tree->right, track);
    renew_farthest(tree);
    return tree;
}

static void visit_ranges(qr_track *tree, qr_slice key, void (*visit)(void *, qr_track *), void *context)
{
    while (tree != NULL && ends_behind(&tree->farthest->span, key)) {
        visit_ranges(tree->left, key, visit, context);
        if (qr_slice_compare(tree->span.key, key) > 0)
            return; /* this one and all to its right begin behind the key */
        if (ends_behind(&tree->span, key))
            visit(context, tree);
        tree = tree->right;
    }
}

/* ------------------------------------------------------------------ both ---- */

qr_track *qr_watch_index__enter(qr_watch_index *index, const qr_span *span)
{
    qr_track *track = span->kind == QR_SPAN_KEY ? enter_point(index, span) : enter_range(index, span);
    track->users++;
    return track;
}

void qr_watch_index__leave(qr_watch_index *index, qr_track *track)
{
    QR_ASSERT(track->users > 0);
    if (--track->users > 0)
        return;
    QR_ASSERT(track->idle.first == NULL && track->future.first == NULL);
    if (track->span.kind == QR_SPAN_KEY) {
        qr_track **at = find_point(index, track->span.key, track->hash);
        QR_ASSERT(*at == track);
        *at = track->chain;
        index->point_count--;
    } else {
        index->ranges = without(index->ranges, track);
    }
    qr_free(track);
}

void qr_watch_index__visit(const qr_watch_index *index, qr_slice key,
                           void (*visit)(void *context, qr_track *track), void *context)
{
    if (index->point_count > 0) {
        qr_track *track = *find_point(index, key, qr_hash(key, index->seed));
        if (track != NULL)
            visit(context, track);
    }
    visit_ranges(index->ranges, key, visit, context);
}

void qr_watch_index__free(qr_watch_index *index)
{
    QR_ASSERT(index->point_count == 0 && index->ranges == NULL);
    qr_free(index->points);
    *index = (qr_watch_index){0};
}
