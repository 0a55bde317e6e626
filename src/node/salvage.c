/* What a stopped member's folder holds, for a new group to start from when the old one can't be had back.
 *
 * Every entry of the log is applied, whether or not this member knew it committed: what was acknowledged may
 * stand in this one log only, and what was not may be kept as well as lost. */
#include "node/internal.h"

static bool apply_entry(qr_node *node, uint64_t index)
{
    qr_effect effect = {.kind = QR_EFFECT_COMMIT, .commit = {.index = index}};
    effect.commit.term =
        node->engine->ops->entry(node->engine, index, &effect.commit.kind, &effect.commit.bytes);
    if (effect.commit.term == 0)
        return false; /* not in memory: more than the configuration allowed */
    qr_node__apply(node, &effect);
    return !node->halted;
}

qr_status qr_node_salvage(const qr_node_config *config, qr_arena *arena, qr_node_salvaged *found,
                          const char **sentence)
{
    qr_node_config whole = *config;
    whole.engine_memory_max = SIZE_MAX;
    qr_node *node;
    qr_status status = qr_node_open(&whole, arena, &node, sentence);
    if (status != QR_OK)
        return status;
    qr_engine_status engine;
    node->engine->ops->status(node->engine, &engine);
    bool all = true;
    for (uint64_t index = node->applied_index + 1; all && index <= engine.last_index; index++)
        all = apply_entry(node, index);
    if (all && node->applied_index > 0) {
        *found = (qr_node_salvaged){.machine = node->machine,
                                    .index = node->applied_index,
                                    .term = node->applied_term,
                                    .level = node->level,
                                    .entries = engine.last_index - engine.first_index + 1};
        node->machine = config->new_machine(config->context);
    } else {
        status = all ? QR_E_NOT_FOUND : QR_E_CORRUPT;
        *sentence = all                   ? "there is nothing in it: neither a checkpoint nor an entry"
                    : node->halt_sentence ? node->halt_sentence
                                          : "an entry of the log cannot be read";
    }
    qr_node_free(node);
    return status;
}
