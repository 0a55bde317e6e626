/* Who needs old slots: COMMIT after a restart, and followers far behind. One FETCH is under way at a time;
 * what comes back is kept until the next one, and serves whoever finds his slot there. Only chosen slots are
 * ever missing in memory, and these never change. */
#include "paxos/inside.h"

bool qr_paxos_entry_read(const qr_paxos_engine *paxos, uint64_t index, qr_paxos_view *view)
{
    return qr_paxos_log_read(&paxos->log, index, view) ||
           (index > paxos->log.base && index < paxos->log.memory_first &&
            qr_paxos_shelf_read(&paxos->fetched, index, view));
}

void qr_paxos_want(qr_paxos_engine *paxos, uint64_t from, uint64_t to, bool for_self)
{
    if (paxos->want_from && !for_self) /* applying comes first; among peers, whoever is looked at first */
        return;
    paxos->want_from = from;
    paxos->want_to = to < paxos->log.memory_first - 1 ? to : paxos->log.memory_first - 1;
    QR_ASSERT(paxos->want_from <= paxos->want_to);
}

/* A configuration is told once the slot behind it is chosen as well. That was accepted by a quorum of the new
 * members, who then have on their disks that the configuration is chosen. Told before, who was removed might
 * be gone for good while all others, after a crash, would still need its promise. */
static uint64_t emit_max(const qr_paxos_engine *paxos)
{
    return paxos->configs[paxos->config_count - 1].index == paxos->chosen ? paxos->chosen - 1 : paxos->chosen;
}

/* What is chosen goes out in order, each index once. The bytes stay in the log until the next step. */
void qr_paxos_emit(qr_paxos_engine *paxos)
{
    size_t bytes = 0, count = 0;
    while (paxos->chosen > 0 && paxos->emitted < emit_max(paxos)) {
        qr_paxos_view view;
        if (!qr_paxos_entry_read(paxos, paxos->emitted + 1, &view)) {
            qr_paxos_want(paxos, paxos->emitted + 1, paxos->chosen, true);
            return;
        }
        if (bytes >= QR_PAXOS_COMMIT_BYTES_MAX || count >= QR_PAXOS_COMMIT_COUNT_MAX) {
            paxos->more = true;
            return;
        }
        paxos->emitted++;
        bytes += view.bytes.size;
        count++;
        qr_effect *effect = qr_effects_add(paxos->effects, QR_EFFECT_COMMIT, 0);
        effect->commit.index = paxos->emitted;
        effect->commit.term = qr_paxos_log_term(&paxos->log, paxos->emitted);
        effect->commit.kind = view.kind;
        effect->commit.bytes = view.bytes;
    }
}

void qr_paxos_fetch_tick(qr_paxos_engine *paxos)
{
    if (paxos->want_from && !paxos->fetch_running) {
        QR_ASSERT(paxos->want_from > paxos->log.base && paxos->want_to <= paxos->chosen);
        paxos->fetch_running = true;
        paxos->fetch_from = paxos->want_from;
        paxos->fetch_to = paxos->want_to;
        paxos->fetch_turn++;
        qr_paxos_trace(paxos, QR_TRACE_FETCH, paxos->fetch_from, paxos->fetch_to, 0, 0);
        qr_effect *effect = qr_effects_add(paxos->effects, QR_EFFECT_FETCH, 0);
        effect->fetch.from = paxos->fetch_from;
        effect->fetch.to = paxos->fetch_to;
    }
    paxos->want_from = 0;
}

static bool keep_record(qr_paxos_engine *paxos, qr_slice bytes)
{
    qr_paxos_shelf *fetched = &paxos->fetched;
    qr_paxos_record record;
    qr_status status = qr_paxos_record_decode(bytes, &record);
    qr_paxos_record_free(&record);
    if (status != QR_OK)
        return false;
    uint64_t index = record.first;
    for (uint64_t i = 0; i < record.count; i++, index++) {
        qr_paxos_view view;
        qr_paxos_entry_decode(&record.entries, &view);
        if (index < fetched->first || index > paxos->fetch_to)
            continue;
        if (index - fetched->first > fetched->count) /* a gap: the rest is asked for again */
            return true;
        fetched->count = index - fetched->first; /* a later record overrides an earlier one */
        qr_paxos_shelf_put(fetched, index, &view);
    }
    return true;
}

/* The log's disk has them no more: a peer that needs them gets a checkpoint. */
static void fetch_missed(qr_paxos_engine *paxos)
{
    if (paxos->emitted + 1 == paxos->fetch_from && paxos->emitted < paxos->chosen) {
        qr_paxos_halt(paxos, "chosen slots that were not applied yet are missing from the own log");
        return;
    }
    if (paxos->role == QR_LEADER)
        qr_peers_miss(&paxos->peers, paxos->fetch_to, paxos->log.memory_first);
}

void qr_paxos_on_entries(qr_paxos_engine *paxos, const qr_event *event)
{
    if (!paxos->fetch_running || event->entries.from != paxos->fetch_from) /* of something given up */
        return;
    paxos->fetch_running = false;
    if (event->entries.status == QR_E_NOT_FOUND) {
        fetch_missed(paxos);
        return;
    }
    if (event->entries.status != QR_OK) {
        qr_paxos_halt(paxos, "the own log can't be read back");
        return;
    }
    qr_paxos_shelf_clear(&paxos->fetched, paxos->fetch_from);
    for (size_t i = 0; i < event->entries.count; i++) {
        if (!keep_record(paxos, event->entries.records[i])) {
            qr_paxos_halt(paxos, "the own log gave back a malformed record");
            return;
        }
    }
    qr_paxos_view view;
    if (paxos->fetch_from > paxos->log.base && !qr_paxos_entry_read(paxos, paxos->fetch_from, &view))
        qr_paxos_halt(paxos, "the own log gave back other slots than were written");
}
