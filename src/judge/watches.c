/* What watchers were told, held against each other and against what clients know was done. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "judge/judge.h"

/* Of one watcher while its notes are gone through. */
typedef struct listener {
    const qr_judge_watch *watch;
    uint32_t number;
    uint64_t next;     /* everything before was told, or was not asked for */
    uint64_t told;     /* revision of the last event */
    uint64_t answered; /* and of the last one of an earlier answer */
    uint64_t last_key; /* of the last event */
    size_t at;         /* in the history */
} listener;

typedef struct court {
    const qr_judge_note **history; /* every event that anybody was told of: by revision and key, each once */
    size_t count;
    uint64_t compacted; /* a COMPACTED says that all before is gone */
    qr_judge_finding *finding;
} court;

static void violation(court *c, const listener *who, uint64_t key, const char *rule, uint64_t a, uint64_t b)
{
    if (c->finding->verdict != QR_JUDGE_OK)
        return;
    c->finding->verdict = QR_JUDGE_VIOLATION;
    c->finding->key = key;
    snprintf(c->finding->text, sizeof c->finding->text,
             "watcher %u of keys %" PRIu64 "..%" PRIu64 ": %s (key %" PRIu64 ", %" PRIu64 ", %" PRIu64 ")",
             who->number, who->watch->first, who->watch->end, rule, key, a, b);
}

/* ------------------------------------------------------------------ the history ---- */

static int compare_events(const void *a, const void *b)
{
    const qr_judge_note *const *left = a, *const *right = b;
    if ((*left)->revision != (*right)->revision)
        return (*left)->revision < (*right)->revision ? -1 : 1;
    return ((*left)->key > (*right)->key) - ((*left)->key < (*right)->key);
}

static bool same_event(const qr_judge_note *a, const qr_judge_note *b)
{
    return a->value == b->value && a->create_revision == b->create_revision && a->version == b->version;
}

/* Everything told by anybody, once. Where two were told different things, one of them is wrong. */
static void merge(court *c, const qr_judge_watch *watches, size_t count)
{
    size_t total = 0, kept = 0;
    for (size_t w = 0; w < count; w++)
        total += watches[w].count;
    c->history = qr_alloc_zero(total + 1, sizeof *c->history);
    for (size_t w = 0; w < count; w++)
        for (size_t i = 0; i < watches[w].count; i++) {
            const qr_judge_note *note = &watches[w].notes[i];
            if (note->kind == QR_JUDGE_EVENT)
                c->history[c->count++] = note;
            if (note->kind == QR_JUDGE_COMPACTED && note->revision > c->compacted)
                c->compacted = note->revision;
        }
    qsort(c->history, c->count, sizeof *c->history, compare_events);
    for (size_t i = 0; i < c->count; i++) {
        const qr_judge_note *note = c->history[i];
        if (kept == 0 || compare_events(&c->history[kept - 1], &note) != 0) {
            c->history[kept++] = note;
        } else if (!same_event(c->history[kept - 1], note)) {
            listener nobody = {.watch = &watches[0]};
            violation(c, &nobody, note->key, "two watchers are told different things of one change",
                      note->revision, note->value);
        } else if (note->previous != 0) {
            c->history[kept - 1] = note; /* the one that says most */
        }
    }
    c->count = kept;
}

/* The first event of that revision or a later one. */
static size_t first_from(const court *c, uint64_t revision)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c->history[middle]->revision < revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* -------------------------------------------------- does the history hang together? ---- */

static int compare_key_then_revision(const void *a, const void *b)
{
    const qr_judge_note *const *left = a, *const *right = b;
    if ((*left)->key != (*right)->key)
        return (*left)->key < (*right)->key ? -1 : 1;
    return compare_events(a, b);
}

/* Flags and previous values follow from the change before. If somebody missed events for good (compacted
 * before anybody read them), an event may name one before it that nobody was told of; then it says so. */
static const char *judge_pair(const qr_judge_note *before, const qr_judge_note *event)
{
    bool lived = before != NULL && before->value != 0;
    bool created = event->value != 0 && event->create_revision == event->revision;
    if (event->value != 0 && created != (event->version == 1))
        return "a creation has version 1, and nothing else has";
    if (created && lived)
        return "told as created, but it was there";
    if (before == NULL)
        return NULL;
    if (event->value != 0 && !created && !lived)
        return "told as modified, but it was not there";
    if (event->value != 0 && lived &&
        (event->version != before->version + 1 || event->create_revision != before->create_revision))
        return "version or creation do not follow from the change before";
    if (event->value == 0 && !lived)
        return "a deletion of what is not there";
    if (event->previous != 0 && (event->previous != before->value || event->previous_mod != before->revision))
        return "the previous value is not that of the change before";
    return NULL;
}

static bool wants(const qr_judge_watch *watch, const qr_judge_note *event)
{
    return event->key >= watch->first && event->key < watch->end &&
           !(event->value != 0 ? watch->skip_puts : watch->skip_deletes);
}

/* As far as the first watcher goes: there the history has no holes that are not compacted. */
static void judge_history(court *c, const qr_judge_watch *watches)
{
    const qr_judge_note **by_key = qr_alloc_zero(c->count + 1, sizeof(qr_judge_note *));
    uint64_t first = UINT64_MAX, last = 0;
    for (size_t i = 0; i < watches[0].count; i++) {
        if (watches[0].notes[i].kind == QR_JUDGE_BEGIN && watches[0].notes[i].revision < first)
            first = watches[0].notes[i].revision;
        if (watches[0].notes[i].kind == QR_JUDGE_EVENT)
            last = watches[0].notes[i].revision;
    }
    size_t count = 0;
    for (size_t i = 0; i < c->count; i++)
        if (wants(&watches[0], c->history[i]) && c->history[i]->revision >= first &&
            c->history[i]->revision <= last)
            by_key[count++] = c->history[i];
    qsort(by_key, count, sizeof *by_key, compare_key_then_revision);
    for (size_t i = 0; i < count; i++) {
        const qr_judge_note *before = i > 0 && by_key[i - 1]->key == by_key[i]->key ? by_key[i - 1] : NULL;
        /* What was compacted may have been told to nobody: then the one before is not the one before. */
        if (before != NULL && before->revision < c->compacted && by_key[i]->previous_mod != before->revision)
            before = NULL;
        const char *rule = judge_pair(before, by_key[i]);
        listener nobody = {.watch = &watches[0]};
        if (rule != NULL)
            violation(c, &nobody, by_key[i]->key, rule, by_key[i]->revision, before ? before->revision : 0);
    }
    qr_free(by_key);
}

/* ------------------------------------------------------------------ one watcher ---- */

/* All that it wants before that revision (and key) it was told, since its place in the history moves with
 * what it is told. */
static void judge_complete(court *c, listener *who, uint64_t revision, uint64_t key)
{
    for (; who->at < c->count; who->at++) {
        const qr_judge_note *event = c->history[who->at];
        if (event->revision > revision || (event->revision == revision && event->key >= key))
            return;
        if (wants(who->watch, event))
            violation(c, who, event->key, "it was not told of a change", event->revision, revision);
    }
}

static void on_event(court *c, listener *who, const qr_judge_note *event)
{
    if (!wants(who->watch, event))
        violation(c, who, event->key, "told of what it did not ask for", event->revision, event->value);
    if (event->revision < who->next)
        violation(c, who, event->key, "told of what is before its beginning, or after a word of progress",
                  event->revision, who->next);
    if (event->revision < who->told)
        violation(c, who, event->key, "out of order", event->revision, who->told);
    if (event->revision <= who->answered)
        violation(c, who, event->key, "told again, or a revision in two answers", event->revision,
                  who->answered);
    judge_complete(c, who, event->revision, event->key);
    const qr_judge_note *own = who->at < c->count ? c->history[who->at] : NULL;
    if (own == NULL || own->revision != event->revision || own->key != event->key)
        violation(c, who, event->key, "told twice, or keys of one revision out of order", event->revision,
                  event->value);
    else
        who->at++;
    bool modified = event->value == 0 || event->version > 1;
    if (who->watch->wants_previous && modified && event->previous == 0 && event->revision > c->compacted)
        violation(c, who, event->key, "without the previous value", event->revision, event->version);
    who->told = event->revision;
}

static void judge_watch(court *c, const qr_judge_watch *watch, uint32_t number)
{
    listener who = {.watch = watch, .number = number};
    for (size_t i = 0; i < watch->count && c->finding->verdict == QR_JUDGE_OK; i++) {
        const qr_judge_note *note = &watch->notes[i];
        switch ((qr_judge_note_kind)note->kind) {
        case QR_JUDGE_BEGIN:
            who.next = note->revision;
            who.told = who.answered = 0;
            who.at = first_from(c, note->revision);
            break;
        case QR_JUDGE_EVENT: on_event(c, &who, note); break;
        case QR_JUDGE_ANSWER:
            judge_complete(c, &who, who.told, UINT64_MAX);
            who.answered = who.told;
            break;
        case QR_JUDGE_PROGRESS:
            if (note->revision + 1 < who.next)
                violation(c, &who, 0, "progress goes back", note->revision, who.next);
            judge_complete(c, &who, note->revision, UINT64_MAX);
            who.next = note->revision + 1;
            break;
        case QR_JUDGE_COMPACTED:
            if (who.next >= note->revision || who.told + 1 >= note->revision)
                violation(c, &who, 0, "it ends for a compaction that is behind it", note->revision, who.next);
            break;
        }
    }
}

/* --------------------------------------------------- what clients know was done ---- */

/* Somebody who listened up to there and wants the key. */
static bool must_be_told(const qr_judge_watch *watches, size_t count, const qr_judge_op *op)
{
    qr_judge_note event = {.key = op->key, .value = op->kind == QR_JUDGE_DELETE ? 0 : op->value};
    for (size_t w = 0; w < count; w++) {
        uint64_t begun = 0;
        for (size_t i = 0; wants(&watches[w], &event) && i < watches[w].count; i++) {
            const qr_judge_note *note = &watches[w].notes[i];
            if (note->kind == QR_JUDGE_BEGIN)
                begun = note->revision;
            if ((note->kind == QR_JUDGE_EVENT || note->kind == QR_JUDGE_PROGRESS) && begun <= op->revision &&
                note->revision >= op->revision)
                return true;
        }
    }
    return false;
}

static void judge_done(court *c, const qr_judge_watch *watches, size_t count, const qr_judge_op *op)
{
    uint64_t value = op->kind == QR_JUDGE_DELETE ? 0 : op->value;
    listener nobody = {.watch = &watches[0]};
    for (size_t at = first_from(c, op->revision); at < c->count; at++) {
        const qr_judge_note *event = c->history[at];
        if (event->revision != op->revision)
            break;
        if (event->key != op->key)
            continue;
        if (event->value != value)
            violation(c, &nobody, op->key, "told with another value than was written", event->revision,
                      event->value);
        return;
    }
    if (must_be_told(watches, count, op))
        violation(c, &nobody, op->key, "nobody was told of an acknowledged change", op->revision, value);
}

void qr_judge_watches(const qr_judge_watch *watches, size_t count, const qr_judge_op *ops, size_t op_count,
                      qr_judge_finding *finding)
{
    *finding = (qr_judge_finding){.verdict = QR_JUDGE_OK};
    if (count == 0)
        return;
    court c = {.finding = finding};
    merge(&c, watches, count);
    for (size_t i = 0; i < count; i++)
        judge_watch(&c, &watches[i], (uint32_t)i);
    if (finding->verdict == QR_JUDGE_OK)
        judge_history(&c, watches);
    for (size_t i = 0; i < op_count && finding->verdict == QR_JUDGE_OK; i++)
        if (ops[i].known && ops[i].revision != 0 && ops[i].kind != QR_JUDGE_READ &&
            (ops[i].kind == QR_JUDGE_WRITE || ops[i].changed))
            judge_done(&c, watches, count, &ops[i]);
    qr_free(c.history);
}
