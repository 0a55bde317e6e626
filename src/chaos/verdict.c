/* The end: everything is read once more through each member, all are asked for a hash, and the judges speak.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "chaos/inside.h"

enum {
    FINAL_CLIENT = 1000, /* number of the client that reads through endpoint 0 in the end */
    FINAL_MS = 20000,
    JUDGE_BYTES = 256 << 20,
};

/* ------------------------------------------------------------------------ last words ---- */

static const void *ask(qr_chaos *c, const char *endpoint, const char *method, const ProtobufCMessage *request,
                       const ProtobufCMessageDescriptor *descriptor)
{
    const void *answer = NULL;
    qr_chaos_line *l = qr_chaos_line_open(endpoint);
    qr_chaos_outcome end =
        l ? qr_chaos_line_ask(l, method, request, descriptor, FINAL_MS, &c->arena, &answer) : REFUSED;
    if (end != ANSWERED)
        printf("not ok chaos: %s of %s: %s\n", method, endpoint,
               l ? qr_chaos_line_why(l) : "nobody is there");
    qr_chaos_line_close(l);
    return end == ANSWERED ? answer : NULL;
}

/* Each key that was ever used, found or not, as one read; all were asked at one time. */
static bool read_all(qr_chaos *c, uint32_t number)
{
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = qr_chaos_key(c, 0, &c->arena);
    request.range_end = qr_chaos_key(c, (uint64_t)KEY_SLOTS * KEY_STRIDE, &c->arena);
    qr_judge_op op = {.client = FINAL_CLIENT + number, .kind = QR_JUDGE_READ, .known = true};
    op.invoke = qr_chaos_now_us();
    const QrEtcdpb__RangeResponse *answer = ask(c, c->endpoints[number], "etcdserverpb.KV/Range",
                                                &request.base, &qr_etcdpb__range_response__descriptor);
    op.answer = qr_chaos_now_us();
    if (answer == NULL || answer->header == NULL)
        return false;
    op.revision = (uint64_t)answer->header->revision;
    uint64_t generations = atomic_load(&c->page->operations) / (KEY_SLOTS * KEY_OPERATIONS) + 1;
    size_t at = 0;
    for (uint64_t i = 0; i < KEY_SLOTS * generations; i++) {
        op.key = i / generations * KEY_STRIDE + i % generations;
        bool there = at < answer->n_kvs && qr_chaos_key_number(c, answer->kvs[at]->key) == op.key;
        op.value = there ? qr_chaos_value_number(answer->kvs[at]->value) : 0;
        op.mod_revision = there ? (uint64_t)answer->kvs[at]->mod_revision : 0;
        at += there;
        qr_chaos_history_add_op(c, &op);
    }
    if (at != answer->n_kvs)
        printf("not ok chaos: %s has keys that nobody wrote\n", c->endpoints[number]);
    atomic_store(&c->page->until, op.revision);
    return at == answer->n_kvs;
}

/* At the revision up to which the last one read. */
static bool compare_hashes(qr_chaos *c, const bool *asked)
{
    uint32_t first = 0, count = 0;
    bool same = true;
    for (uint32_t i = 0; i < c->endpoint_count; i++) {
        QrEtcdpb__HashKVRequest request = QR_ETCDPB__HASH_KVREQUEST__INIT;
        request.revision = (int64_t)atomic_load(&c->page->until);
        if (!asked[i])
            continue;
        const QrEtcdpb__HashKVResponse *answer = ask(c, c->endpoints[i], "etcdserverpb.Maintenance/HashKV",
                                                     &request.base, &qr_etcdpb__hash_kvresponse__descriptor);
        if (answer == NULL)
            return false;
        first = count++ == 0 ? answer->hash : first;
        same = same && answer->hash == first;
    }
    printf("%s chaos: %u members have %s hash at revision %" PRIu64 "\n", same ? "ok" : "not ok", count,
           same ? "the same" : "not the same", (uint64_t)atomic_load(&c->page->until));
    return same;
}

bool qr_chaos_ask_all(qr_chaos *c)
{
    bool asked[32], good = true;
    qr_arena_reset(&c->arena);
    for (uint32_t i = 0; i < c->endpoint_count; i++) {
        asked[i] = c->options->endpoints != NULL || c->slots[i].used;
        good = good && (!asked[i] || read_all(c, i));
    }
    return good && compare_hashes(c, asked);
}

/* --------------------------------------------------------------------------- judges ---- */

static bool speak(const qr_judge_finding *finding, const char *what)
{
    bool good = finding->verdict == QR_JUDGE_OK;
    printf("%s chaos: %s\n", good ? "ok" : "not ok", what);
    if (!good)
        printf("    %s%s\n", finding->verdict == QR_JUDGE_TOO_HARD ? "no verdict: " : "", finding->text);
    return good;
}

static bool judge(qr_chaos_history *h)
{
    qr_judge_finding finding;
    qr_judge_linear(h->ops, h->op_count, JUDGE_BYTES, &finding);
    bool good = speak(&finding, "every key is linearizable");
    qr_judge_revisions(h->ops, h->op_count, &finding);
    good = speak(&finding, "revisions follow time, each change has its own, and reads find what they say") &&
           good;
    qr_judge_watches(h->watches, h->watch_count, h->ops, h->op_count, &finding);
    return speak(&finding, "watches tell everything, once, in order, whole, and with the right values") &&
           good;
}

/* --------------------------------------------------------------------------- figures ---- */

static int compare_times(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* The longest time without an acknowledged change, milliseconds, between two moments. */
static uint64_t longest_pause(const uint64_t *times, size_t count, uint64_t begin, uint64_t end)
{
    uint64_t longest = 0, last = begin;
    for (size_t i = 0; i < count && last < end; i++) {
        if (times[i] <= begin)
            continue;
        uint64_t until = times[i] < end ? times[i] : end;
        longest = until - last > longest ? until - last : longest;
        last = until;
    }
    return longest / 1000;
}

static void show_faults(const qr_chaos_history *h, const uint64_t *times, size_t count)
{
    static const char *const names[] = {
#define NAME(id, name, what, needs) name,
        QR_CHAOS_FAULT_LIST(NAME)
#undef NAME
    };
    for (uint32_t fault = 0; fault < QR_CHAOS_FAULT_COUNT; fault++) {
        uint64_t times_done = 0, operations = 0, unknown = 0, pause = 0;
        for (size_t f = 0; f < h->fault_count; f++) {
            const qr_chaos_span *span = &h->faults[f];
            if (span->fault != fault)
                continue;
            times_done++;
            uint64_t one = longest_pause(times, count, span->begin, span->end);
            pause = one > pause ? one : pause;
            for (size_t i = 0; i < h->op_count; i++)
                if (h->ops[i].answer >= span->begin && h->ops[i].answer < span->end) {
                    operations++;
                    unknown += !h->ops[i].known;
                }
        }
        if (times_done > 0)
            printf("%-10s %6" PRIu64 " %12" PRIu64 " %8.2f %% %12" PRIu64 " ms\n", names[fault], times_done,
                   operations, operations ? 100.0 * (double)unknown / (double)operations : 0.0, pause);
    }
}

static void show(const qr_chaos_history *h)
{
    uint64_t *times = qr_alloc_zero(h->op_count + 1, sizeof *times), unknown = 0, events = 0;
    size_t count = 0;
    for (size_t i = 0; i < h->op_count; i++) {
        unknown += !h->ops[i].known;
        if (h->ops[i].known && h->ops[i].kind != QR_JUDGE_READ)
            times[count++] = h->ops[i].answer;
    }
    for (size_t w = 0; w < h->watch_count; w++)
        for (size_t i = 0; i < h->watches[w].count; i++)
            events += h->watches[w].notes[i].kind == QR_JUDGE_EVENT;
    qsort(times, count, sizeof *times, compare_times);
    if (h->fault_count > 0)
        printf("\n%-10s %6s %12s %10s %15s\n", "fault", "times", "operations", "unknown", "longest pause");
    show_faults(h, times, count);
    printf("\n%zu operations, %.2f %% of them with unknown end; %zu watchers were told %" PRIu64 " events\n",
           h->op_count, h->op_count ? 100.0 * (double)unknown / (double)h->op_count : 0.0, h->watch_count,
           events);
    qr_free(times);
}

bool qr_chaos_verdict(const char *path)
{
    qr_chaos_history h;
    bool good = qr_chaos_history_load(path, &h);
    if (!good)
        printf("not ok chaos: %s cannot be read\n", path);
    if (good) {
        good = judge(&h);
        show(&h);
    }
    qr_chaos_history_free(&h);
    return good;
}

int qr_chaos_judge(const char *path)
{
    return qr_chaos_verdict(path) ? 0 : 1;
}
