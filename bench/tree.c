/* How fast the key tree is, beside two plain structures of the same keys: a red-black tree of libc (tsearch)
 * and a sorted array. Run it alone: build/bench/bench_tree [keys]. Times are CPU time, so that a busy machine
 * disturbs them less. */
#include <inttypes.h>
#include <malloc.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/txn.h"
#include "tree/private.h"

enum {
    KEY_SIZE = 24,
    KEYS_USUAL = 300000, /* a run of a few seconds */
    LOOKUPS = 200000,
};

typedef struct bench {
    size_t count;
    char (*keys)[KEY_SIZE]; /* in order */
    uint32_t *order;        /* a random order of them */
    qr_machine *machine;
    qr_arena arena;
    qr_buffer body;
    uint64_t index;
} bench;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void say(const char *what, double from, double times)
{
    printf("%-58s %9.0f ns\n", what, (now() - from) * 1e9 / times);
}

static double heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)(info.uordblks + info.hblkhd);
}

static void make_keys(bench *b, uint64_t seed)
{
    qr_prng prng;
    qr_prng_seed(&prng, seed);
    b->keys = qr_alloc(b->count * sizeof *b->keys);
    b->order = qr_alloc(b->count * sizeof *b->order);
    for (size_t i = 0; i < b->count; i++) {
        snprintf(b->keys[i], KEY_SIZE, "/jobs/%03u/task-%07u", (unsigned)(i * 500 / b->count), (unsigned)i);
        b->order[i] = (uint32_t)i;
    }
    for (size_t i = b->count; i-- > 1;) {
        size_t j = (size_t)qr_prng_below(&prng, i + 1);
        uint32_t swap = b->order[i];
        b->order[i] = b->order[j];
        b->order[j] = swap;
    }
}

static void put(bench *b, const char *key, qr_slice value)
{
    qr_op op = {.kind = QR_OP_PUT,
                .put = {.space = QR_SPACE_KEYS, .key = qr_slice_text(key), .value = value}};
    qr_buffer_clear(&b->body);
    qr_body_encode_txn(&(qr_txn){.then_ops = &op, .then_count = 1}, &b->body);
    qr_command command = {.stamp_ms = (int64_t)b->index, .body = qr_buffer_slice(&b->body)};
    const void *result;
    qr_arena_reset(&b->arena);
    QR_ASSERT(b->machine->ops->apply(b->machine, ++b->index, &command, &b->arena, &result) == QR_OK);
}

static const qr_op_result *range(bench *b, const qr_range *what)
{
    qr_op op = {.kind = QR_OP_RANGE, .range = *what};
    qr_query query = {.kind = QR_QUERY_TXN, .txn = {.then_ops = &op, .then_count = 1}};
    const void *result;
    qr_arena_reset(&b->arena);
    QR_ASSERT(b->machine->ops->query(b->machine, &query, &b->arena, &result) == QR_OK);
    return &((const qr_txn_result *)result)->ops[0];
}

static qr_span span_of(const char *from, const char *to)
{
    return (qr_span){.kind = to ? QR_SPAN_RANGE : QR_SPAN_KEY,
                     .space = QR_SPACE_KEYS,
                     .key = qr_slice_text(from),
                     .end = to ? qr_slice_text(to) : qr_slice_of(NULL, 0)};
}

static void bench_machine(bench *b, bool shuffled)
{
    double heap = heap_bytes(), from = now();
    printf("\nkey tree, whole path from encoding to result, keys in %s order\n",
           shuffled ? "random" : "rising");
    b->machine = qr_tree_open(&(qr_tree_config){0});
    b->index = 0;
    qr_slice value = qr_slice_text("12345678");
    for (size_t i = 0; i < b->count; i++)
        put(b, b->keys[shuffled ? b->order[i] : i], value);
    say("put of a new key", from, (double)b->count);
    printf("%-58s %9.0f bytes (with its version, value of 8 and event)\n", "memory a key",
           (heap_bytes() - heap) / (double)b->count);
}

static void bench_reads(bench *b)
{
    double from = now();
    uint64_t sum = 0;
    for (size_t i = 0; i < LOOKUPS; i++)
        sum += range(b, &(qr_range){.span = span_of(b->keys[b->order[i % b->count]], NULL)})->count;
    say("range of one key", from, LOOKUPS);
    QR_ASSERT(sum == LOOKUPS);
    from = now();
    for (size_t i = 0; i < LOOKUPS / 4; i++) {
        size_t a = b->order[i % b->count], c = b->order[(i + 1) % b->count];
        size_t low = a < c ? a : c, high = a < c ? c : a;
        sum = range(b, &(qr_range){.span = span_of(b->keys[low], b->keys[high]), .count_only = true})->count;
        QR_ASSERT(sum == high - low);
    }
    say("count of a random span (a third of all keys)", from, LOOKUPS / 4);
    from = now();
    for (size_t i = 0; i < LOOKUPS / 100; i++)
        range(b, &(qr_range){.span = span_of(b->keys[b->order[i % b->count]], "0"), .limit = 100});
    say("range of 100 keys, with the count of all behind", from, LOOKUPS / 100);
    from = now();
    for (size_t i = 0; i < 1; i++)
        range(b, &(qr_range){.span = span_of("/", "0")});
    say("range of everything, a key", from, (double)b->count);
}

static void bench_image(bench *b)
{
    const qr_machine_ops *on = b->machine->ops;
    qr_machine *copy = qr_tree_open(&(qr_tree_config){0});
    qr_buffer chunk;
    qr_buffer_init(&chunk);
    double saving = 0, loading = 0, from = now();
    uint64_t saved = 0;
    QR_ASSERT(on->save_begin(b->machine) == QR_OK);
    for (bool done = false; !done; saved += chunk.size) {
        from = now();
        qr_buffer_clear(&chunk);
        QR_ASSERT(on->save_next(b->machine, 65536, &chunk, &done) == QR_OK);
        saving += now() - from;
        from = now();
        QR_ASSERT(on->load(copy, qr_buffer_slice(&chunk), done) == QR_OK);
        loading += now() - from;
    }
    on->save_end(b->machine);
    qr_buffer_free(&chunk);
    from = now();
    while (on->settle(copy, 65536))
        continue;
    say("save, a key", now() - saving, (double)b->count);
    say("load, a key", now() - loading, (double)b->count);
    say("putting the event log in order, a key", from, (double)b->count);
    QR_ASSERT(on->digest(copy) == on->digest(b->machine));
    copy->ops->free(copy);
    printf("%-58s %9.0f bytes\n", "image, a key", (double)saved / (double)b->count);
}

/* Keys with a history of larger values, written in another order than that of the keys. */
static void bench_history(bench *b)
{
    enum { VERSIONS = 2, VALUE_SIZE = 250 };
    uint8_t bytes[VALUE_SIZE];
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < VERSIONS * b->count; i++)
        put(b, b->keys[b->order[i * 7 % b->count]], qr_slice_of(bytes, sizeof bytes));
    printf("with %d more versions of %d bytes for each key:\n", VERSIONS, VALUE_SIZE);
    bench_image(b);
}

static void bench_writes(bench *b)
{
    qr_slice value = qr_slice_text("87654321");
    double from = now();
    for (size_t i = 0; i < b->count; i++)
        put(b, b->keys[b->order[i]], value);
    say("put of a known key", from, (double)b->count);
    uint64_t revision = b->machine->ops->revision(b->machine) - 1000;
    from = now();
    for (size_t i = 0; i < LOOKUPS / 1000; i++)
        range(b, &(qr_range){.span = span_of(b->keys[b->order[i % b->count]], "0"),
                             .limit = 100,
                             .revision = revision});
    say("range of 100 keys, 1000 changes ago", from, LOOKUPS / 1000);
    qr_buffer_clear(&b->body);
    qr_body_encode_compact(b->machine->ops->revision(b->machine), &b->body);
    qr_command command = {.body = qr_buffer_slice(&b->body)};
    const void *result;
    from = now();
    QR_ASSERT(b->machine->ops->apply(b->machine, ++b->index, &command, &b->arena, &result) == QR_OK);
    say("compaction of everything, as a command", from, 1);
    from = now();
    uint64_t slices = 0;
    while (b->machine->ops->work(b->machine, 100))
        slices++;
    say("freeing, a slice of 100", from, (double)slices);
}

/* A member that takes a received checkpoint over frees its old state between turns. */
static void bench_retire(bench *b)
{
    double from = now(), longest = 0;
    for (bool more = true; more;) {
        double began = now();
        more = b->machine->ops->retire(b->machine, 4096);
        longest = now() - began > longest ? now() - began : longest;
    }
    say("freeing all, a key", from, (double)b->count);
    printf("%-58s %9.2f ms\n", "the longest slice of 4096 records", longest * 1e3);
}

/* ------------------------------------------------------------------ comparison ---- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void keep(void *key)
{
    (void)key;
}

static void bench_search(bench *b)
{
    printf("\nthe ordered structures alone, keys in random order\n");
    double heap = heap_bytes(), from = now();
    void *root = NULL;
    for (size_t i = 0; i < b->count; i++)
        tsearch(b->keys[b->order[i]], &root, compare_text);
    say("tsearch: insert", from, (double)b->count);
    printf("%-58s %9.0f bytes\n", "tsearch: memory a key, without the key",
           (heap_bytes() - heap) / (double)b->count);
    from = now();
    for (size_t i = 0; i < LOOKUPS; i++)
        QR_ASSERT(tfind(b->keys[b->order[(i * 7) % b->count]], &root, compare_text));
    say("tsearch: lookup", from, LOOKUPS);
    tdestroy(root, keep);
}

static void bench_array(bench *b)
{
    double from = now();
    for (size_t i = 0; i < LOOKUPS; i++)
        QR_ASSERT(
            bsearch(b->keys[b->order[(i * 7) % b->count]], b->keys, b->count, sizeof *b->keys, compare_text));
    say("sorted array: lookup", from, LOOKUPS);
    /* An insert moves half of the array on average: measured on pointers, as a kinder form of it. */
    void **pointers = qr_alloc_zero(b->count + 1, sizeof *pointers);
    from = now();
    for (size_t i = 0; i < 100; i++)
        memmove(&pointers[b->order[i] + 1], &pointers[b->order[i]],
                (b->count - b->order[i]) * sizeof *pointers);
    say("sorted array of pointers: the moving for an insert", from, 100);
    qr_free(pointers);
}

static void bench_index(bench *b)
{
    qr__index index;
    qr_slab records = {0};
    qr__index_init(&index, &records);
    qr__entry **entries = qr_alloc(b->count * sizeof(qr__entry *));
    for (size_t i = 0; i < b->count; i++)
        entries[i] = qr__entry_new(qr_slice_text(b->keys[i]), &records);
    double from = now();
    for (size_t i = 0; i < b->count; i++) {
        qr__path path;
        qr__index_path(&index, qr_slice_text(b->keys[b->order[i]]), &path);
        qr__index_insert(&index, &path, entries[b->order[i]], true, i);
    }
    say("B+tree: insert", from, (double)b->count);
    printf("%-58s %9.0f bytes\n", "B+tree: memory a key, without the key",
           (double)index.bytes / (double)b->count);
    from = now();
    for (size_t i = 0; i < LOOKUPS; i++)
        QR_ASSERT(qr__index_find(&index, qr_slice_text(b->keys[b->order[(i * 7) % b->count]])));
    say("B+tree: lookup", from, LOOKUPS);
    from = now();
    for (size_t i = 0; i < b->count; i++) {
        qr__path path;
        qr__index_path(&index, qr_slice_text(b->keys[b->order[i]]), &path);
        qr__index_remove(&index, &path);
    }
    say("B+tree: remove", from, (double)b->count);
    for (size_t i = 0; i < b->count; i++)
        qr__entry_free(entries[i], &records);
    qr_free(entries);
    qr__index_free(&index);
    qr_slab_end(&records);
}

int main(int argc, char **argv)
{
    bench b = {.count = argc > 1 ? strtoul(argv[1], NULL, 10) : KEYS_USUAL};
    if (b.count < 1000 || b.count > 100000000) {
        fprintf(stderr, "usage: %s [keys, 1000 to 100000000]\n", argv[0]);
        return 2;
    }
    make_keys(&b, 1);
    printf("%zu keys of %zu bytes\n", b.count, strlen(b.keys[0]));
    bench_machine(&b, true);
    bench_image(&b);
    bench_reads(&b);
    bench_history(&b);
    bench_writes(&b);
    bench_retire(&b);
    bench_machine(&b, false);
    bench_image(&b);
    b.machine->ops->free(b.machine);
    bench_search(&b);
    bench_array(&b);
    bench_index(&b);
    qr_buffer_free(&b.body);
    qr_arena_free(&b.arena);
    qr_free(b.keys);
    qr_free(b.order);
    return 0;
}
