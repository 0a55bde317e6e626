#include "events_check.h"

#include <stdlib.h>

typedef struct expected {
    const model_key *key;
    const model_version *version;
    const model_version *before; /* NULL: none, or compacted */
} expected;

typedef struct reading {
    qr_events_query query;
    expected *list;
    size_t count, next;
    uint64_t told_bytes;
} reading;

static bool inside(const qr_span *span, qr_slice key)
{
    if (span->kind == QR_SPAN_KEY)
        return qr_slice_equal(key, span->key);
    return qr_slice_compare(key, span->key) >= 0 &&
           (span->kind == QR_SPAN_FROM || qr_slice_compare(key, span->end) < 0);
}

static int in_order(const void *a, const void *b)
{
    const model_version *x = ((const expected *)a)->version, *y = ((const expected *)b)->version;
    if (x->mod != y->mod)
        return x->mod < y->mod ? -1 : 1;
    return (x->sub > y->sub) - (x->sub < y->sub);
}

static const model_version *before_revision(const model *m, const model_key *key, size_t at)
{
    uint64_t revision = key->versions[at].mod;
    while (at > 0 && key->versions[at].mod == revision)
        at--;
    const model_version *before = &key->versions[at];
    return before->mod < revision && before->version && revision > m->compacted ? before : NULL;
}

static void expect(const model *m, reading *r)
{
    size_t room = 0;
    for (size_t k = 0; k < m->count; k++)
        room += m->keys[k]->count;
    r->list = qr_alloc((room + 1) * sizeof *r->list);
    for (size_t k = 0; k < m->count; k++) {
        const model_key *key = m->keys[k];
        if (key->space != QR_SPACE_KEYS || !inside(&r->query.span, key->key))
            continue;
        for (size_t i = 0; i < key->count; i++) {
            const model_version *version = &key->versions[i];
            bool skipped = version->version ? r->query.skip_puts : r->query.skip_deletes;
            if (version->mod >= r->query.from && !skipped)
                r->list[r->count++] = (expected){key, version, before_revision(m, key, i)};
        }
    }
    qsort(r->list, r->count, sizeof *r->list, in_order);
}

static void equal_kv(const qr_key_value *kv, const model_key *key, const model_version *version)
{
    assert_true(qr_slice_equal(kv->key, key->key));
    assert_true(qr_slice_equal(kv->value, version->value));
    assert_int_equal(kv->create_revision, version->create);
    assert_int_equal(kv->mod_revision, version->mod);
    assert_int_equal(kv->version, version->version);
    assert_int_equal(kv->lease, version->lease);
}

static void on_told(void *context, const qr_kv_event *event)
{
    reading *r = context;
    assert_true(r->next < r->count);
    const expected *want = &r->list[r->next++];
    assert_int_equal(event->deleted, want->version->version == 0);
    assert_int_equal(event->kv.mod_revision, want->version->mod);
    if (event->deleted)
        assert_true(qr_slice_equal(event->kv.key, want->key->key) && event->kv.version == 0);
    else
        equal_kv(&event->kv, want->key, want->version);
    bool has_previous = r->query.want_previous && want->before;
    assert_int_equal(event->has_previous, has_previous);
    if (has_previous)
        equal_kv(&event->previous, want->key, want->before);
}

void events_check(const model *m, qr_machine *machine, qr_span span, uint64_t from, qr_prng *prng)
{
    uint64_t draw = qr_prng_next(prng);
    reading r = {.query = {.span = span,
                           .from = from,
                           .skip_puts = (draw & 7) == 1,
                           .skip_deletes = (draw & 7) == 2,
                           .want_previous = draw & 8,
                           .tell = on_told,
                           .context = &r}};
    expect(m, &r);
    qr_events_result result;
    do {
        r.query.bytes_max = 1 + qr_prng_below(prng, 200);
        r.query.look_max = 1 + qr_prng_below(prng, 200);
        size_t told = r.next;
        qr_status status = machine->ops->events(machine, &r.query, &result);
        assert_int_equal(result.revision, m->revision);
        assert_int_equal(result.compacted, m->compacted);
        assert_int_equal(status, from < m->compacted ? QR_E_COMPACTED : QR_OK);
        if (status != QR_OK) {
            assert_int_equal(r.next, told);
            r.next = r.count;
            break;
        }
        assert_true(result.next > r.query.from || r.query.from > m->revision);
        /* Whole revisions: all that is told lies before .next, all that is not told does not. */
        assert_true(r.next == told || r.list[r.next - 1].version->mod < result.next);
        assert_true(r.next == r.count || r.list[r.next].version->mod >= result.next);
        r.query.from = result.next;
    } while (result.next <= m->revision);
    assert_int_equal(r.next, r.count);
    qr_free(r.list);
}
