/* What the revisions in answers must say: a store gives each change the next number, so they are the order in
 * which things took place, told by the store itself. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "judge/judge.h"

static bool is_change(const qr_judge_op *op)
{
    return op->known && op->revision != 0 &&
           (op->kind == QR_JUDGE_WRITE || (op->kind != QR_JUDGE_READ && op->changed));
}

static void violation(qr_judge_finding *finding, const qr_judge_op *op, const char *rule,
                      const qr_judge_op *other)
{
    char first[150], second[150] = "";
    qr_judge_describe(op, first, sizeof first);
    if (other != NULL)
        qr_judge_describe(other, second, sizeof second);
    finding->verdict = QR_JUDGE_VIOLATION;
    finding->key = op->key;
    snprintf(finding->text, sizeof finding->text, "%s: %s%s", first, rule, second);
}

/* ----------------------------------------------------------------- real time ---- */

static int compare_invokes(const void *a, const void *b)
{
    const qr_judge_op *const *left = a, *const *right = b;
    return ((*left)->invoke > (*right)->invoke) - ((*left)->invoke < (*right)->invoke);
}

static int compare_answers(const void *a, const void *b)
{
    const qr_judge_op *const *left = a, *const *right = b;
    return ((*left)->answer > (*right)->answer) - ((*left)->answer < (*right)->answer);
}

/* Goes through the operations as they were asked; what was answered before has the highest revision so far.
 */
static void judge_time(const qr_judge_op **asked, size_t count, qr_judge_finding *finding)
{
    const qr_judge_op **answered = qr_alloc_zero(count + 1, sizeof(qr_judge_op *)), *highest = NULL;
    memcpy(answered, asked, count * sizeof *asked);
    qsort(asked, count, sizeof *asked, compare_invokes);
    qsort(answered, count, sizeof *answered, compare_answers);
    for (size_t i = 0, done = 0; i < count && finding->verdict == QR_JUDGE_OK; i++) {
        for (; done < count && answered[done]->answer < asked[i]->invoke; done++)
            if (highest == NULL || answered[done]->revision > highest->revision)
                highest = answered[done];
        if (highest == NULL)
            continue;
        if (asked[i]->revision < highest->revision)
            violation(finding, asked[i], "an older revision than was told before to ", highest);
        else if (asked[i]->revision == highest->revision && is_change(asked[i]))
            violation(finding, asked[i], "a change without a revision of its own, told before to ", highest);
    }
    qr_free(answered);
}

static int compare_revisions(const void *a, const void *b)
{
    const qr_judge_op *const *left = a, *const *right = b;
    return ((*left)->revision > (*right)->revision) - ((*left)->revision < (*right)->revision);
}

/* Changes, sorted by revision: each has its own. */
static void judge_unique(const qr_judge_op **changes, size_t count, qr_judge_finding *finding)
{
    qsort(changes, count, sizeof *changes, compare_revisions);
    for (size_t i = 1; i < count; i++)
        if (changes[i]->revision == changes[i - 1]->revision) {
            violation(finding, changes[i], "has the revision of ", changes[i - 1]);
            return;
        }
}

/* ------------------------------------------------------------------ one key ---- */

/* The newest of the changes up to that revision, or NULL. */
static const qr_judge_op *newest(const qr_judge_op *const *changes, size_t count, uint64_t revision)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (changes[middle]->revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? changes[low - 1] : NULL;
}

/* Could somebody who got no answer have left this value there? */
static bool may_be_unknown(const qr_judge_op *ops, size_t count, uint64_t value)
{
    for (size_t i = 0; i < count; i++)
        if (!ops[i].known && (value == 0 ? ops[i].kind == QR_JUDGE_DELETE
                                         : ops[i].kind != QR_JUDGE_READ && ops[i].value == value))
            return true;
    return false;
}

static void judge_read(const qr_judge_op *op, const qr_judge_op *ops, size_t count,
                       const qr_judge_op *const *changes, size_t change_count, qr_judge_finding *finding)
{
    const qr_judge_op *last = newest(changes, change_count, op->revision);
    uint64_t there = last == NULL || last->kind == QR_JUDGE_DELETE ? 0 : last->value;
    if (op->value == there && (there == 0 || op->mod_revision == 0 || op->mod_revision == last->revision))
        return;
    if (op->value != 0 && op->mod_revision != 0 && last != NULL && op->mod_revision <= last->revision)
        violation(finding, op, "the newest change before is ", last);
    else if (op->value != 0 && op->mod_revision > op->revision)
        violation(finding, op, "changed after what it says it is", NULL);
    else if (!may_be_unknown(ops, count, op->value))
        violation(finding, op, last ? "nobody wrote that after " : "nobody wrote that", last);
}

static void judge_key(const qr_judge_op *ops, size_t count, qr_judge_finding *finding)
{
    const qr_judge_op **changes = qr_alloc_zero(count, sizeof(qr_judge_op *));
    size_t change_count = 0;
    for (size_t i = 0; i < count; i++)
        if (is_change(&ops[i]))
            changes[change_count++] = &ops[i];
    qsort(changes, change_count, sizeof *changes, compare_revisions);
    for (size_t i = 0; i < count && finding->verdict == QR_JUDGE_OK; i++)
        if (ops[i].kind == QR_JUDGE_READ && ops[i].known && ops[i].revision != 0)
            judge_read(&ops[i], ops, count, changes, change_count, finding);
    qr_free(changes);
}

static int compare_keys(const void *a, const void *b)
{
    const qr_judge_op *left = a, *right = b;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return (left->invoke > right->invoke) - (left->invoke < right->invoke);
}

void qr_judge_revisions(qr_judge_op *ops, size_t count, qr_judge_finding *finding)
{
    *finding = (qr_judge_finding){.verdict = QR_JUDGE_OK};
    if (count == 0)
        return;
    qsort(ops, count, sizeof *ops, compare_keys);
    const qr_judge_op **some = qr_alloc_zero(count, sizeof(qr_judge_op *));
    size_t told = 0, changes = 0;
    for (size_t i = 0; i < count; i++)
        if (ops[i].known && ops[i].revision != 0)
            some[told++] = &ops[i];
    judge_time(some, told, finding);
    for (size_t i = 0; i < count && finding->verdict == QR_JUDGE_OK; i++)
        if (is_change(&ops[i]))
            some[changes++] = &ops[i];
    if (finding->verdict == QR_JUDGE_OK)
        judge_unique(some, changes, finding);
    for (size_t i = 0, size; i < count && finding->verdict == QR_JUDGE_OK; i += size) {
        for (size = 1; i + size < count && ops[i + size].key == ops[i].key;)
            size++;
        judge_key(ops + i, size, finding);
    }
    qr_free(some);
}
