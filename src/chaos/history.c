/* The history file: text, one line a thing that happened, appended by many processes with one write each.
 *
 *   op CLIENT KIND KEY VALUE EXPECTED INVOKE ANSWER KNOWN CHANGED REVISION MOD_REVISION
 *   watch NUMBER FIRST END SKIPS_PUTS SKIPS_DELETES WANTS_PREVIOUS
 *   note NUMBER KIND REVISION KEY VALUE CREATE_REVISION VERSION PREVIOUS PREVIOUS_MOD
 *   fault KIND BEGIN END
 *
 * Numbers all; those of kinds are the enums of judge.h and chaos.h, times are microseconds. */
#include <inttypes.h>
#include <unistd.h>

#include "chaos/inside.h"

enum { LINE_SIZE = 320, NUMBERS_MAX = 12 };

static void append(const qr_chaos *c, const void *bytes, size_t size)
{
    ssize_t written = write(c->history, bytes, size);
    QR_CHECK(written == (ssize_t)size, "the history cannot be written");
}

void qr_chaos_history_add_lines(const qr_chaos *c, const qr_buffer *lines)
{
    if (lines->size > 0)
        append(c, lines->data, lines->size);
}

void qr_chaos_history_add_op(const qr_chaos *c, const qr_judge_op *op)
{
    char text[LINE_SIZE];
    int size = snprintf(text, sizeof text,
                        "op %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d %d %" PRIu64
                        " %" PRIu64 "\n",
                        op->client, op->kind, op->key, op->value, op->expected, op->invoke, op->answer,
                        op->known, op->changed, op->revision, op->mod_revision);
    append(c, text, (size_t)size);
}

void qr_chaos_history_add_watch(const qr_chaos *c, uint32_t number, const qr_judge_watch *watch)
{
    char text[LINE_SIZE];
    int size =
        snprintf(text, sizeof text, "watch %u %" PRIu64 " %" PRIu64 " %d %d %d\n", number, watch->first,
                 watch->end, watch->skip_puts, watch->skip_deletes, watch->wants_previous);
    append(c, text, (size_t)size);
}

void qr_chaos_history_format_note(qr_buffer *lines, uint32_t number, const qr_judge_note *note)
{
    qr_buffer_format(lines,
                     "note %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                     " %" PRIu64 "\n",
                     number, note->kind, note->revision, note->key, note->value, note->create_revision,
                     note->version, note->previous, note->previous_mod);
}

void qr_chaos_history_add_fault(const qr_chaos *c, const qr_chaos_span *fault)
{
    char text[LINE_SIZE];
    int size = snprintf(text, sizeof text, "fault %u %" PRIu64 " %" PRIu64 "\n", fault->fault, fault->begin,
                        fault->end);
    append(c, text, (size_t)size);
}

/* ------------------------------------------------------------------------ loading ---- */

static void *room_for(void *items, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return items;
    *room = *room ? *room * 2 : 1024;
    return qr_realloc(items, *room * size);
}

static bool load_op(qr_chaos_history *h, const uint64_t *n)
{
    if (n[1] > QR_JUDGE_CAS)
        return false;
    h->ops = room_for(h->ops, h->op_count, &h->op_room, sizeof *h->ops);
    h->ops[h->op_count++] = (qr_judge_op){.client = (uint32_t)n[0],
                                          .kind = (uint8_t)n[1],
                                          .key = n[2],
                                          .value = n[3],
                                          .expected = n[4],
                                          .invoke = n[5],
                                          .answer = n[6],
                                          .known = n[7] != 0,
                                          .changed = n[8] != 0,
                                          .revision = n[9],
                                          .mod_revision = n[10]};
    return true;
}

static bool load_watch(qr_chaos_history *h, const uint64_t *n)
{
    if (n[0] >= WATCHERS)
        return false;
    qr_judge_watch *watch = &h->watches[n[0]];
    watch->first = n[1];
    watch->end = n[2];
    watch->skip_puts = n[3] != 0;
    watch->skip_deletes = n[4] != 0;
    watch->wants_previous = n[5] != 0;
    h->watch_count = n[0] >= h->watch_count ? n[0] + 1 : h->watch_count;
    return true;
}

static bool load_note(qr_chaos_history *h, const uint64_t *n)
{
    if (n[0] >= WATCHERS || n[1] > QR_JUDGE_COMPACTED)
        return false;
    qr_judge_watch *watch = &h->watches[n[0]];
    h->notes[n[0]] = room_for(h->notes[n[0]], watch->count, &h->note_room[n[0]], sizeof *watch->notes);
    h->notes[n[0]][watch->count++] = (qr_judge_note){.kind = (uint8_t)n[1],
                                                     .revision = n[2],
                                                     .key = n[3],
                                                     .value = n[4],
                                                     .create_revision = n[5],
                                                     .version = n[6],
                                                     .previous = n[7],
                                                     .previous_mod = n[8]};
    watch->notes = h->notes[n[0]];
    return true;
}

static bool load_fault(qr_chaos_history *h, const uint64_t *n)
{
    if (n[0] >= QR_CHAOS_FAULT_COUNT)
        return false;
    h->faults = room_for(h->faults, h->fault_count, &h->fault_room, sizeof *h->faults);
    h->faults[h->fault_count++] = (qr_chaos_span){.fault = (uint32_t)n[0], .begin = n[1], .end = n[2]};
    return true;
}

/* How many numbers follow the word. */
static size_t read_numbers(const char *text, uint64_t *numbers)
{
    size_t count = 0;
    for (int used = 0; count < NUMBERS_MAX && sscanf(text, "%" SCNu64 "%n", &numbers[count], &used) == 1;
         text += used)
        count++;
    return count;
}

bool qr_chaos_history_load(const char *path, qr_chaos_history *h)
{
    static const struct {
        const char *word;
        size_t numbers;
        bool (*load)(qr_chaos_history *h, const uint64_t *numbers);
    } kinds[] = {
        {"op ", 11, load_op}, {"note ", 9, load_note}, {"watch ", 6, load_watch}, {"fault ", 3, load_fault}};
    *h = (qr_chaos_history){0};
    FILE *file = fopen(path, "r");
    bool good = file != NULL;
    char text[LINE_SIZE];
    while (good && fgets(text, sizeof text, file) != NULL) {
        uint64_t numbers[NUMBERS_MAX];
        size_t kind = 0, count = sizeof kinds / sizeof *kinds;
        while (kind < count && strncmp(text, kinds[kind].word, strlen(kinds[kind].word)) != 0)
            kind++;
        good = kind < count &&
               read_numbers(text + strlen(kinds[kind].word), numbers) == kinds[kind].numbers &&
               kinds[kind].load(h, numbers);
    }
    if (file != NULL)
        fclose(file);
    return good;
}

void qr_chaos_history_free(qr_chaos_history *h)
{
    qr_free(h->ops);
    qr_free(h->faults);
    for (size_t i = 0; i < WATCHERS; i++)
        qr_free(h->notes[i]);
}
