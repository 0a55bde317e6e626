#include "core/reads.h"

static void push(qr_readers *readers, uint64_t tag)
{
    if (readers->count == readers->room) {
        readers->room = readers->room ? readers->room * 2 : 16;
        readers->tags = qr_realloc(readers->tags, readers->room * sizeof *readers->tags);
    }
    readers->tags[readers->count++] = tag;
}

static void move(qr_readers *from, qr_readers *to)
{
    for (size_t i = 0; i < from->count; i++)
        push(to, from->tags[i]);
    from->count = 0;
}

static void serve(qr_readers *readers, uint64_t index, qr_effects *effects)
{
    for (size_t i = 0; i < readers->count; i++) {
        qr_effect *effect = qr_effects_add(effects, QR_EFFECT_READ_AT, 0);
        effect->read_at.tag = readers->tags[i];
        effect->read_at.index = index;
    }
    readers->count = 0;
}

static void refuse(qr_readers *readers, uint64_t leader, qr_effects *effects)
{
    for (size_t i = 0; i < readers->count; i++)
        qr_effects_refuse(effects, QR_EVENT_READ, readers->tags[i], leader,
                          leader ? QR_E_NOT_LEADER : QR_E_NO_LEADER);
    readers->count = 0;
}

void qr_reads_init(qr_reads *reads, uint64_t now_ms)
{
    *reads = (qr_reads){.ask_id = (now_ms & ((UINT64_C(1) << 40) - 1)) << 20};
}

void qr_reads_free(qr_reads *reads)
{
    qr_free(reads->waiting.tags);
    qr_free(reads->confirming.tags);
    qr_free(reads->asking.tags);
}

qr_status qr_reads_add(qr_reads *reads, uint64_t tag)
{
    if (reads->waiting.count + reads->confirming.count + reads->asking.count >= QR_READS_MAX)
        return QR_E_BUSY;
    push(&reads->waiting, tag);
    return QR_OK;
}

void qr_reads_refuse(qr_reads *reads, qr_peers *peers, uint64_t leader, qr_effects *effects)
{
    refuse(&reads->confirming, leader, effects);
    refuse(&reads->asking, leader, effects);
    refuse(&reads->waiting, leader, effects);
    reads->round_running = false;
    reads->ask_running = false;
    for (uint32_t i = 0; i < peers->count; i++)
        peers->list[i].question = peers->list[i].question_running = 0;
}

/* ------------------------------------------------------------ leader ---- */

bool qr_reads_want_round(const qr_reads *reads, const qr_peers *peers)
{
    bool somebody = reads->waiting.count > 0;
    for (uint32_t i = 0; i < peers->count; i++)
        somebody = somebody || peers->list[i].question;
    return somebody && !reads->round_running;
}

void qr_reads_begin(qr_reads *reads, qr_peers *peers, uint64_t index)
{
    QR_ASSERT(!reads->round_running && reads->confirming.count == 0);
    reads->round++; /* a context never used before in this term */
    reads->round_running = true;
    reads->round_index = index;
    move(&reads->waiting, &reads->confirming);
    for (uint32_t i = 0; i < peers->count; i++) {
        qr_peer *peer = &peers->list[i];
        peer->question_running = peer->question;
        peer->question = 0;
        peer->answered_any = false;
    }
}

void qr_reads_end(qr_reads *reads, qr_effects *effects)
{
    QR_ASSERT(reads->round_running);
    reads->round_running = false;
    serve(&reads->confirming, reads->round_index, effects);
}

/* ------------------------------------------------------------ asker ---- */

bool qr_reads_ask(qr_reads *reads, uint64_t now_ms, uint64_t pause_ms)
{
    bool again = reads->ask_running && now_ms - reads->ask_ms >= pause_ms;
    if (!again && (reads->ask_running || reads->waiting.count == 0))
        return false;
    QR_ASSERT(!reads->round_running);
    reads->ask_ms = now_ms;
    reads->ask_id++;
    if (!again) {
        QR_ASSERT(reads->asking.count == 0);
        move(&reads->waiting, &reads->asking);
        reads->ask_first = reads->ask_id;
    }
    reads->ask_running = true;
    return true;
}

void qr_reads_answered(qr_reads *reads, uint64_t id, bool refused, uint64_t index, uint64_t leader,
                       qr_effects *effects)
{
    /* Any question since these readers came is good: on a slow network the answer to the first one may be the
     * first. */
    if (!reads->ask_running || id < reads->ask_first || id > reads->ask_id)
        return;
    reads->ask_running = false;
    if (refused)
        refuse(&reads->asking, leader, effects);
    else
        serve(&reads->asking, index, effects);
}
