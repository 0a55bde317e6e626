/* qr_etcd_changes_twice: may one key be changed twice in a txn?
 *
 * The rule, as probed on etcd 3.4.23. Take two changes of one key, and the smallest list of operations that
 * holds both. Two puts collide; so do a put and a deleted range around it, unless both are inside nested txns
 * of that list and the delete's comes later. If instead the smallest thing that holds both is a txn, one in
 * its `success` and one in its `failure`, they never run together and do not collide.
 *
 * So the walk visits of each list first its deletes, then its nested txns in order, then its puts: then "the
 * delete came before" is all that must be asked. Deletes are kept as a sum over the ranks of the put keys (a
 * Fenwick tree: add to a range, ask at a point). The two branches of a nested txn must not see each other:
 * what the first one left is taken out while the second one is walked, and put back after. Walking the
 * smaller branch first makes that O(n log^2 n) in the worst case, and O(n log n) without nesting. */
#include <stdlib.h>

#include "door/etcd/check.h"
#include "wire/protobuf.h"

typedef struct twig {
    enum { TWIG_PUT, TWIG_DELETE, TWIG_TXN } kind;
    uint32_t low, high;    /* PUT: rank low; DELETE: ranks low <= r < high */
    qr_slice key, end;     /* end: DELETE; empty = the key alone */
    struct branch *halves; /* TXN: success and failure */
} twig;

typedef struct branch {
    twig *twigs;
    size_t count;
    size_t weight; /* twigs of all levels below */
} branch;

typedef struct survey {
    qr_arena *arena;
    qr_slice *keys; /* of all puts, sorted, each once */
    size_t key_count, key_room;
    int32_t *covered; /* Fenwick tree over the ranks */
    uint32_t *puts;   /* puts in force of a rank */
} survey;

/* Mirrors what changes something; ranges are left out. */
static void mirror(survey *walk, QrEtcdpb__RequestOp *const *ops, size_t count, branch *into)
{
    into->twigs = qr_arena_zero(walk->arena, count + 1, sizeof *into->twigs);
    into->count = into->weight = 0;
    for (size_t i = 0; i < count; i++) {
        twig *next = &into->twigs[into->count];
        switch (ops[i]->request_case) {
        case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT:
            next->kind = TWIG_PUT;
            next->key = qr_protobuf_slice(ops[i]->request_put->key);
            walk->key_room++;
            break;
        case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
            next->kind = TWIG_DELETE;
            next->key = qr_protobuf_slice(ops[i]->request_delete_range->key);
            next->end = qr_protobuf_slice(ops[i]->request_delete_range->range_end);
            break;
        case QR_ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN: {
            const QrEtcdpb__TxnRequest *txn = ops[i]->request_txn;
            next->kind = TWIG_TXN;
            next->halves = qr_arena_zero(walk->arena, 2, sizeof *next->halves);
            mirror(walk, txn->success, txn->n_success, &next->halves[0]);
            mirror(walk, txn->failure, txn->n_failure, &next->halves[1]);
            into->weight += next->halves[0].weight + next->halves[1].weight;
            break;
        }
        default: continue;
        }
        into->count++;
        into->weight++;
    }
}

static void collect_keys(survey *walk, const branch *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const twig *next = &from->twigs[i];
        if (next->kind == TWIG_PUT) {
            walk->keys[walk->key_count++] = next->key;
        } else if (next->kind == TWIG_TXN) {
            collect_keys(walk, &next->halves[0]);
            collect_keys(walk, &next->halves[1]);
        }
    }
}

static int compare_keys(const void *a, const void *b)
{
    return qr_slice_compare(*(const qr_slice *)a, *(const qr_slice *)b);
}

/* How many put keys are below key. */
static uint32_t rank_of(const survey *walk, qr_slice key)
{
    size_t low = 0, high = walk->key_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (qr_slice_compare(walk->keys[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (uint32_t)low;
}

static void rank(survey *walk, branch *from)
{
    for (size_t i = 0; i < from->count; i++) {
        twig *next = &from->twigs[i];
        if (next->kind == TWIG_TXN) {
            rank(walk, &next->halves[0]);
            rank(walk, &next->halves[1]);
            continue;
        }
        next->low = next->high = rank_of(walk, next->key);
        if (next->kind == TWIG_PUT)
            continue;
        if (next->end.size)
            next->high =
                rank_of(walk, next->end); /* below low when the range is empty: then it covers nothing */
        else if (next->low < walk->key_count && qr_slice_equal(walk->keys[next->low], next->key))
            next->high = next->low + 1;
    }
}

static void cover(survey *walk, size_t from, int32_t sign)
{
    for (size_t at = from + 1; at <= walk->key_count + 1; at += at & (~at + 1))
        walk->covered[at] += sign;
}

static bool is_covered(const survey *walk, size_t position)
{
    int32_t sum = 0;
    for (size_t at = position + 1; at > 0; at -= at & (~at + 1))
        sum += walk->covered[at];
    QR_ASSERT(sum >= 0);
    return sum > 0;
}

static void count_in(survey *walk, const twig *change, int32_t sign)
{
    if (change->kind == TWIG_PUT) {
        walk->puts[change->low] += (uint32_t)sign;
    } else if (change->kind == TWIG_DELETE && change->low < change->high) {
        cover(walk, change->low, sign);
        cover(walk, change->high, -sign);
    }
}

/* Puts in force, or takes out again, everything of a branch. */
static void count_all(survey *walk, const branch *from, int32_t sign)
{
    for (size_t i = 0; i < from->count; i++) {
        const twig *next = &from->twigs[i];
        if (next->kind == TWIG_TXN) {
            count_all(walk, &next->halves[0], sign);
            count_all(walk, &next->halves[1], sign);
        } else {
            count_in(walk, next, sign);
        }
    }
}

static bool collides(survey *walk, const branch *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->twigs[i].kind == TWIG_DELETE)
            count_in(walk, &list->twigs[i], 1);
    for (size_t i = 0; i < list->count; i++) {
        const twig *next = &list->twigs[i];
        if (next->kind != TWIG_TXN)
            continue;
        bool swap = next->halves[1].weight < next->halves[0].weight;
        const branch *smaller = &next->halves[swap], *larger = &next->halves[!swap];
        if (collides(walk, smaller))
            return true;
        count_all(walk, smaller, -1);
        if (collides(walk, larger))
            return true;
        count_all(walk, smaller, 1);
    }
    for (size_t i = 0; i < list->count; i++) {
        const twig *next = &list->twigs[i];
        if (next->kind != TWIG_PUT)
            continue;
        if (walk->puts[next->low] > 0 || is_covered(walk, next->low))
            return true;
        count_in(walk, next, 1);
    }
    return false;
}

bool qr_etcd_changes_twice(QrEtcdpb__RequestOp *const *ops, size_t count, qr_arena *arena)
{
    survey walk = {.arena = arena};
    branch root;
    mirror(&walk, ops, count, &root);
    if (walk.key_room == 0 || root.weight < 2)
        return false; /* one change, or only deletes, which may overlap */

    walk.keys = qr_arena_alloc(arena, walk.key_room * sizeof *walk.keys);
    collect_keys(&walk, &root);
    QR_ASSERT(walk.key_count == walk.key_room);
    qsort(walk.keys, walk.key_count, sizeof *walk.keys, compare_keys);
    size_t kept = 1;
    for (size_t i = 1; i < walk.key_count; i++)
        if (!qr_slice_equal(walk.keys[i], walk.keys[kept - 1]))
            walk.keys[kept++] = walk.keys[i];
    walk.key_count = kept;

    walk.covered = qr_arena_zero(arena, walk.key_count + 2, sizeof *walk.covered);
    walk.puts = qr_arena_zero(arena, walk.key_count, sizeof *walk.puts);
    rank(&walk, &root);
    return collides(&walk, &root);
}
