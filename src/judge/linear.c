/* Linearizability of a register, by search: Wing and Gong, "Testing and verifying concurrent objects" (1993),
 * with the memory of Lowe, "Testing for linearizability" (2017).
 *
 * Calls and returns of one key stand in one list by time. What may be next are the calls before the first
 * return. A call that is taken leaves the list with its return; when the list has no return left, all is
 * explained. Where no call before the first return can be taken, the last decision is undone; with none left
 * to undo, the operation of that return cannot be placed.
 *
 * The calls before the first return are gone through twice: those that were answered first, then those whose
 * end nobody knows. A history that is right is then mostly explained without guessing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "judge/judge.h"

typedef struct entry entry;
struct entry {
    entry *prev, *next;
    entry *match; /* call: its return, NULL if there is none; return: NULL */
    const qr_judge_op *op;
    uint64_t time;
    uint32_t number; /* of the operation, in its key */
    bool is_call;
};

typedef struct frame {
    entry *taken;
    uint64_t value_before;
    bool second; /* it was found in the second pass */
    bool forced; /* there was no alternative */
} frame;

/* What was tried: open addressing over rows of `words` words, the last of which is the value. */
typedef struct memory {
    uint64_t *rows;
    uint32_t *slots; /* row + 1, or 0 */
    size_t words, count, room, slot_count, bytes_max;
} memory;

typedef struct search {
    entry head; /* of the list */
    entry *entries;
    frame *frames;
    uint64_t *taken; /* bits */
    size_t depth, words, answered_left;
    uint64_t value;
    memory tried;
    const qr_judge_op *blocked; /* whose return stopped the longest explanation */
    uint64_t blocked_at, blocked_value;
} search;

/* ------------------------------------------------------------ what was tried ---- */

static void memory_free(memory *m)
{
    qr_free(m->rows);
    qr_free(m->slots);
}

static size_t find_slot(const memory *m, const uint64_t *row)
{
    size_t bytes = m->words * sizeof *row;
    size_t at = (size_t)qr_hash(qr_slice_of(row, bytes), 0) & (m->slot_count - 1);
    while (m->slots[at] != 0 && memcmp(m->rows + (m->slots[at] - 1) * m->words, row, bytes) != 0)
        at = (at + 1) & (m->slot_count - 1);
    return at;
}

static void grow_slots(memory *m)
{
    m->slot_count = m->slot_count ? m->slot_count * 2 : 256;
    qr_free(m->slots);
    m->slots = qr_alloc_zero(m->slot_count, sizeof *m->slots);
    for (size_t i = 0; i < m->count; i++)
        m->slots[find_slot(m, m->rows + i * m->words)] = (uint32_t)i + 1;
}

/* The row behind the last is the one in question. OK: it is new; EXISTS; TOO_LARGE. */
static qr_status remember(memory *m, const uint64_t *bits, uint64_t value)
{
    if (m->count == m->room) {
        m->room = m->room ? m->room * 2 : 128;
        m->rows = qr_realloc(m->rows, m->room * m->words * sizeof *m->rows);
    }
    if (m->count * 2 >= m->slot_count)
        grow_slots(m);
    uint64_t *row = m->rows + m->count * m->words;
    memcpy(row, bits, (m->words - 1) * sizeof *row);
    row[m->words - 1] = value;
    size_t at = find_slot(m, row);
    if (m->slots[at] != 0)
        return QR_E_EXISTS;
    if ((m->count + 1) * m->words * sizeof *row > m->bytes_max || m->count + 1 >= UINT32_MAX / 2)
        return QR_E_TOO_LARGE;
    m->slots[at] = (uint32_t)++m->count;
    return QR_OK;
}

/* -------------------------------------------------------------------- a step ---- */

/* May it take place now? *next is the value afterwards. An operation whose end nobody knows may always; it
 * then does what it can. */
static bool may_happen(const qr_judge_op *op, uint64_t value, uint64_t *next)
{
    *next = value;
    switch ((qr_judge_kind)op->kind) {
    case QR_JUDGE_READ: return !op->known || op->value == value;
    case QR_JUDGE_WRITE: *next = op->value; return true;
    case QR_JUDGE_DELETE: *next = 0; return !op->known || op->changed == (value != 0);
    case QR_JUDGE_CAS:
        if (value == op->expected && (op->changed || !op->known))
            *next = op->value;
        return !op->known || op->changed == (value == op->expected);
    }
    return false;
}

static void lift(search *s, entry *call)
{
    call->prev->next = call->next;
    call->next->prev = call->prev;
    if (call->match != NULL) {
        call->match->prev->next = call->match->next;
        call->match->next->prev = call->match->prev;
        s->answered_left--;
    }
    s->taken[call->number / 64] |= (uint64_t)1 << call->number % 64;
}

static void put_back(search *s, entry *call)
{
    s->taken[call->number / 64] &= ~((uint64_t)1 << call->number % 64);
    if (call->match != NULL) {
        call->match->prev->next = call->match;
        call->match->next->prev = call->match;
        s->answered_left++;
    }
    call->prev->next = call;
    call->next->prev = call;
}

/* Takes the call if that leads to something new. */
static qr_status take(search *s, entry *call, bool second)
{
    uint64_t next;
    if (!may_happen(call->op, s->value, &next) || (second && next == s->value))
        return QR_E_EXISTS; /* what nobody saw end and what changes nothing explains nothing */
    bool forced = next == s->value && call->op->kind != QR_JUDGE_WRITE;
    lift(s, call);
    qr_status status = forced ? QR_OK : remember(&s->tried, s->taken, next);
    if (status != QR_OK) {
        put_back(s, call);
        return status;
    }
    s->frames[s->depth++] =
        (frame){.taken = call, .value_before = s->value, .second = second, .forced = forced};
    s->value = next;
    return QR_OK;
}

/* Undoes decisions up to one that has alternatives; NULL: there is none. What finds the value and leaves it
 * had none: moved to the front of a solution, it leaves a solution. (A write of the value that is there is
 * another matter: moved, it may be missing later.) */
static entry *undo(search *s, bool *second)
{
    while (s->depth > 0) {
        frame last = s->frames[--s->depth];
        s->value = last.value_before;
        *second = last.second;
        put_back(s, last.taken);
        if (!last.forced)
            return last.taken->next;
    }
    return NULL;
}

static qr_judge_verdict explain(search *s)
{
    bool second = false;
    entry *at = s->head.next;
    while (s->answered_left > 0) {
        if (at->is_call) {
            bool in_pass = at->op->known != second;
            qr_status status = in_pass ? take(s, at, second) : QR_E_EXISTS;
            if (status == QR_E_TOO_LARGE)
                return QR_JUDGE_TOO_HARD;
            at = status == QR_OK ? s->head.next : at->next;
            second = status == QR_OK ? false : second;
            continue;
        }
        if (at->time >= s->blocked_at) {
            s->blocked_at = at->time;
            s->blocked = at->op;
            s->blocked_value = s->value;
        }
        if (!second) {
            second = true;
            at = s->head.next;
            continue;
        }
        at = undo(s, &second);
        if (at == NULL)
            return QR_JUDGE_VIOLATION;
    }
    return QR_JUDGE_OK;
}

/* ------------------------------------------------------------------- one key ---- */

/* By time; calls before returns of the same time, so that these overlap. */
static int compare_entries(const void *a, const void *b)
{
    const entry *left = a, *right = b;
    if (left->time != right->time)
        return left->time < right->time ? -1 : 1;
    if (left->is_call != right->is_call)
        return left->is_call ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

/* Calls and returns, sorted and linked. */
static void make_list(search *s, const qr_judge_op *ops, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!ops[i].known && ops[i].kind == QR_JUDGE_READ)
            continue;
        s->entries[n++] =
            (entry){.op = &ops[i], .number = (uint32_t)i, .time = ops[i].invoke, .is_call = true};
        if (!ops[i].known)
            continue;
        s->entries[n++] = (entry){.op = &ops[i], .number = (uint32_t)i, .time = ops[i].answer};
        s->answered_left++;
    }
    qsort(s->entries, n, sizeof *s->entries, compare_entries);
    entry **call_of = qr_alloc_zero(count, sizeof(entry *)), *last = &s->head;
    for (size_t i = 0; i < n; i++) {
        entry *one = &s->entries[i];
        if (one->is_call)
            call_of[one->number] = one;
        else
            call_of[one->number]->match = one;
        one->prev = last;
        last->next = one;
        last = one;
    }
    last->next = &s->head;
    s->head.prev = last;
    qr_free(call_of);
}

void qr_judge_describe(const qr_judge_op *op, char *text, size_t size)
{
    static const char *const verbs[] = {"reads", "writes", "deletes", "swaps"};
    char what[80], end[80];
    snprintf(what, sizeof what, "%s %" PRIu64, verbs[op->kind], op->value);
    if (op->kind == QR_JUDGE_DELETE)
        snprintf(what, sizeof what, "deletes %s", op->changed ? "what was there" : "nothing");
    if (op->kind == QR_JUDGE_CAS)
        snprintf(what, sizeof what, "swaps %" PRIu64 " for %" PRIu64 "%s", op->expected, op->value,
                 op->changed || !op->known ? "" : ", which is not there,");
    snprintf(end, sizeof end, "no answer");
    if (op->known)
        snprintf(end, sizeof end, "%" PRIu64 ", revision %" PRIu64 ", changed at %" PRIu64, op->answer,
                 op->revision, op->mod_revision);
    snprintf(text, size, "client %u %s at key %" PRIu64 " (%" PRIu64 "..%s)", op->client, what, op->key,
             op->invoke, end);
}

static void judge_key(const qr_judge_op *ops, size_t count, size_t memory_max, qr_judge_finding *finding)
{
    search s = {.words = (count + 63) / 64};
    s.entries = qr_alloc_zero(2 * count, sizeof *s.entries);
    s.frames = qr_alloc_zero(count + 1, sizeof *s.frames);
    s.taken = qr_alloc_zero(s.words, sizeof *s.taken);
    s.tried = (memory){.words = s.words + 1, .bytes_max = memory_max};
    make_list(&s, ops, count);
    finding->verdict = explain(&s);
    finding->key = ops[0].key;
    char blocked[240];
    if (s.blocked != NULL)
        qr_judge_describe(s.blocked, blocked, sizeof blocked);
    if (finding->verdict == QR_JUDGE_VIOLATION)
        snprintf(finding->text, sizeof finding->text,
                 "%s: it cannot be placed; in the longest explanation of what was before, %" PRIu64
                 " is there",
                 blocked, s.blocked_value);
    if (finding->verdict == QR_JUDGE_TOO_HARD)
        snprintf(finding->text, sizeof finding->text,
                 "%zu operations at key %" PRIu64 ": no verdict within %zu bytes", count, ops[0].key,
                 memory_max);
    memory_free(&s.tried);
    qr_free(s.taken);
    qr_free(s.frames);
    qr_free(s.entries);
}

static int compare_ops(const void *a, const void *b)
{
    const qr_judge_op *left = a, *right = b;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    if (left->invoke != right->invoke)
        return left->invoke < right->invoke ? -1 : 1;
    return (left->client > right->client) - (left->client < right->client);
}

void qr_judge_linear(qr_judge_op *ops, size_t count, size_t memory_max, qr_judge_finding *finding)
{
    *finding = (qr_judge_finding){.verdict = QR_JUDGE_OK};
    if (count > 0)
        qsort(ops, count, sizeof *ops, compare_ops);
    qr_judge_finding hard = *finding;
    for (size_t i = 0, size; i < count; i += size) {
        for (size = 1; i + size < count && ops[i + size].key == ops[i].key;)
            size++;
        judge_key(ops + i, size, memory_max, finding);
        if (finding->verdict == QR_JUDGE_VIOLATION)
            return;
        if (finding->verdict == QR_JUDGE_TOO_HARD)
            hard = *finding; /* a later key may have a violation, which says more */
    }
    *finding = hard;
}
