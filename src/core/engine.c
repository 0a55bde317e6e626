#include "core/engine.h"

void qr_effects_init(qr_effects *effects)
{
    *effects = (qr_effects){0};
}

void qr_effects_clear(qr_effects *effects)
{
    effects->count = 0;
    qr_arena_reset(&effects->arena);
}

void qr_effects_free(qr_effects *effects)
{
    qr_free(effects->list);
    qr_arena_free(&effects->arena);
    *effects = (qr_effects){0};
}

qr_effect *qr_effects_add(qr_effects *effects, qr_effect_kind kind, uint64_t after)
{
    if (effects->count == effects->room) {
        effects->room = effects->room ? effects->room * 2 : 64;
        effects->list = qr_realloc(effects->list, effects->room * sizeof *effects->list);
    }
    qr_effect *effect = &effects->list[effects->count++];
    memset(effect, 0, sizeof *effect);
    effect->kind = kind;
    effect->after = after;
    return effect;
}

void qr_effects_refuse(qr_effects *effects, qr_event_kind what, uint64_t tag, uint64_t leader, qr_status why)
{
    qr_effect *effect = qr_effects_add(effects, QR_EFFECT_REFUSE, 0);
    effect->refuse.what = what;
    effect->refuse.tag = tag;
    effect->refuse.leader = leader;
    effect->refuse.why = why;
}
