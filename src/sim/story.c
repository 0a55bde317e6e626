/* The run as sentences, for whoever has to understand a failing seed. Costs nothing when nobody listens. */
#include <inttypes.h>
#include <stdarg.h>

#include "sim/world.h"

static void begin(qr_sim_world *world)
{
    fprintf(world->config->story, "[%6" PRIu64 ".%03" PRIu64 "] ", world->now_us / 1000,
            world->now_us % 1000);
}

void qr_sim_story(qr_sim_world *world, const char *format, ...)
{
    if (world->config->story == NULL)
        return;
    begin(world);
    va_list list;
    va_start(list, format);
    vfprintf(world->config->story, format, list);
    va_end(list);
    fputc('\n', world->config->story);
}

static const char *name_of(void *context, uint64_t id)
{
    static const char *const names[QR_SIM_NODES_MAX] = {"n1", "n2", "n3", "n4", "n5", "n6", "n7"};
    qr_sim_world *world = context;
    for (uint32_t i = 0; i < world->nodes; i++)
        if (world->node[i].id == id)
            return names[i];
    return "a stranger";
}

void qr_sim_story_trace(qr_sim_node *node, const qr_trace_record *record)
{
    qr_sim_world *world = node->world;
    if (world->config->story == NULL)
        return;
    qr_buffer text;
    qr_buffer_init(&text);
    qr_trace_say(record, name_of, world, &text);
    begin(world);
    fprintf(world->config->story, "n%u %.*s\n", node->number + 1, (int)text.size, (const char *)text.data);
    qr_buffer_free(&text);
}

static void say_txn(FILE *out, const qr_txn *txn)
{
    if (txn->condition_count)
        fprintf(out, " if %zu conditions", txn->condition_count);
    for (size_t i = 0; i < txn->then_count; i++) {
        const qr_op *op = &txn->then_ops[i];
        switch (op->kind) {
        case QR_OP_PUT:
            fprintf(out, " put %.*s=%.*s%s", (int)op->put.key.size, (const char *)op->put.key.data,
                    (int)(op->put.value.size < 20 ? op->put.value.size : 20),
                    (const char *)op->put.value.data, op->put.value.size > 20 ? ".." : "");
            break;
        case QR_OP_DELETE:
            fprintf(out, " delete %.*s", (int)op->del.span.key.size, (const char *)op->del.span.key.data);
            break;
        case QR_OP_RANGE:
            fprintf(out, " range %.*s", (int)op->range.span.key.size, (const char *)op->range.span.key.data);
            break;
        case QR_OP_TXN: say_txn(out, op->txn); break;
        case QR_OP_CHECK:
            fprintf(out, " check %.*s", (int)op->check.key.size, (const char *)op->check.key.data);
            break;
        }
    }
}

void qr_sim_story_op(const qr_sim_op *op, const char *what)
{
    static const char *const kinds[] = {"write",  "read",    "local read",     "handover",
                                        "change", "renewal", "time of a lease"};
    qr_sim_world *world = op->world;
    if (world->config->story == NULL)
        return;
    FILE *out = world->config->story;
    begin(world);
    fprintf(out, "c%u %s at n%u: %s %s", op->client + 1, what, op->node + 1, kinds[op->kind], op->mark);
    if (!op->has_reply && op->compacts)
        fprintf(out, " compact to %" PRIu64, op->compact_revision);
    else if (!op->has_reply && op->txn)
        say_txn(out, op->txn);
    if (!op->has_reply && op->kind == QR_REQUEST_MEMBERS)
        fprintf(out, " kind %d of %s by %s%s", op->change.kind, name_of(op->world, op->change.id),
                name_of(op->world, op->change.id_new), op->change.voter ? ", to vote" : "");
    if (op->lease)
        fprintf(out, " lease %" PRId64, op->lease);
    if (op->has_reply)
        fprintf(out, " -> %s at %" PRIu64 ": %s", qr_status_name(op->status), op->reply_index,
                op->reply_text);
    fputc('\n', out);
}
