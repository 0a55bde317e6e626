/* Which spans does an event concern? The index against a look at every span, and its order of cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"
#include "node/watch_index.h"

enum { TRACKS = 400, STEPS = 20000, KEY_SIZE = 3 };

typedef struct entry {
    qr_track *track; /* NULL: free */
    qr_span span;
    uint8_t key[KEY_SIZE], end[KEY_SIZE];
    size_t visits;
} entry;

typedef struct scene {
    qr_watch_index index;
    qr_prng prng;
    entry entries[TRACKS];
} scene;

static qr_slice draw_key(scene *s, uint8_t *bytes)
{
    size_t size = qr_prng_below(&s->prng, KEY_SIZE + 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)('a' + qr_prng_below(&s->prng, 4));
    return qr_slice_of(bytes, size);
}

static bool same_span(const qr_span *a, const qr_span *b)
{
    return a->kind == b->kind && qr_slice_equal(a->key, b->key) &&
           (a->kind != QR_SPAN_RANGE || qr_slice_equal(a->end, b->end));
}

static void enter(scene *s, entry *e)
{
    e->span = (qr_span){.kind = (qr_span_kind)qr_prng_below(&s->prng, 3), .space = QR_SPACE_KEYS};
    e->span.key = draw_key(s, e->key);
    if (e->span.kind == QR_SPAN_RANGE)
        e->span.end = draw_key(s, e->end);
    e->track = qr_watch_index__enter(&s->index, &e->span);
    assert_true(same_span(&e->track->span, &e->span));
}

static void on_visit(void *context, qr_track *track)
{
    scene *s = context;
    for (entry *e = s->entries; e < s->entries + TRACKS; e++)
        e->visits += e->track == track;
}

static bool concerns(const qr_span *span, qr_slice key)
{
    if (span->kind == QR_SPAN_KEY)
        return qr_slice_equal(span->key, key);
    return qr_slice_compare(span->key, key) <= 0 &&
           (span->kind == QR_SPAN_FROM || qr_slice_compare(key, span->end) < 0);
}

static void visit(scene *s)
{
    uint8_t bytes[KEY_SIZE];
    qr_slice key = draw_key(s, bytes);
    for (entry *e = s->entries; e < s->entries + TRACKS; e++)
        e->visits = 0;
    qr_watch_index__visit(&s->index, key, on_visit, s);
    for (const entry *e = s->entries; e < s->entries + TRACKS; e++)
        assert_int_equal(e->visits, e->track && concerns(&e->span, key) ? 1 : 0);
}

static void test_against_a_look_at_all(void **state)
{
    static scene s;
    qr_prng_seed(&s.prng, 1);
    for (int step = 0; step < STEPS; step++) {
        entry *e = &s.entries[qr_prng_below(&s.prng, TRACKS)];
        if (!e->track) {
            enter(&s, e);
        } else if (qr_prng_below(&s.prng, 2)) {
            qr_watch_index__leave(&s.index, e->track);
            e->track = NULL;
        }
        if (step % 8 == 0)
            visit(&s);
    }
    for (entry *e = s.entries; e < s.entries + TRACKS; e++)
        if (e->track)
            qr_watch_index__leave(&s.index, e->track);
    qr_watch_index__free(&s.index);
}

static size_t depth_of(const qr_track *tree)
{
    if (!tree)
        return 0;
    size_t left = depth_of(tree->left), right = depth_of(tree->right);
    return 1 + (left > right ? left : right);
}

static void test_rising_ranges_stay_shallow(void **state)
{
    enum { RANGES = 20000 };
    static qr_track *tracks[RANGES];
    qr_watch_index index = {.seed = 7};
    for (uint32_t i = 0; i < RANGES; i++) {
        uint8_t key[] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        uint8_t end[] = {key[0], key[1], key[2], 0xff};
        tracks[i] = qr_watch_index__enter(&index, &(qr_span){.kind = QR_SPAN_RANGE,
                                                             .space = QR_SPACE_KEYS,
                                                             .key = qr_slice_of(key, sizeof key),
                                                             .end = qr_slice_of(end, sizeof end)});
    }
    assert_true(depth_of(index.ranges) < 60);
    for (uint32_t i = 0; i < RANGES; i++)
        qr_watch_index__leave(&index, tracks[i]);
    qr_watch_index__free(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_look_at_all),
        cmocka_unit_test(test_rising_ranges_stay_shallow),
    };
    return cmocka_run_group_tests_name("node: watch index", tests, NULL, NULL);
}
