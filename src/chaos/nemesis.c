/* The nemesis: one fault at a time. Each is begun, lasts, and is healed; then every member takes a write
 * again. */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chaos/inside.h"

enum { LASTS_MIN_MS = 1000, LASTS_MAX_MS = 5000, HALT_MS = 20000 };

/* ----------------------------------------------------------------------- victims ---- */

static qr_chaos_slot *draw_member(qr_chaos *c)
{
    return &c->slots[qr_prng_below(&c->prng, c->options->members)];
}

/* For whoever reads along. */
static qr_chaos_slot *tell(qr_chaos *c, qr_chaos_slot *s)
{
    qr_buffer_format(&c->told, " %s", s->name);
    return s;
}

/* One, the leader, a majority, or all; returns how many, in victims. */
static uint32_t draw_victims(qr_chaos *c, qr_chaos_slot **victims, bool may_be_all)
{
    uint32_t members = c->options->members, draw = (uint32_t)qr_prng_below(&c->prng, may_be_all ? 4 : 3);
    uint32_t count = draw == 3 ? members : draw == 2 ? members / 2 + 1 : 1;
    qr_chaos_slot *leader = draw == 1 ? qr_chaos_cluster_leader(c) : NULL;
    uint32_t first = leader ? (uint32_t)(leader - c->slots) : (uint32_t)(draw_member(c) - c->slots);
    for (uint32_t i = 0; i < count; i++)
        victims[i] = tell(c, &c->slots[(first + i) % members]);
    return count;
}

static void last(qr_chaos *c)
{
    qr_chaos_sleep_ms(qr_prng_between(&c->prng, LASTS_MIN_MS, LASTS_MAX_MS));
}

static bool start_all(qr_chaos *c, qr_chaos_slot *const *victims, uint32_t count)
{
    bool good = true;
    for (uint32_t i = 0; i < count; i++)
        good = qr_chaos_member_start(c, victims[i]) && good;
    return good;
}

/* ----------------------------------------------------------------------- processes ---- */

static bool do_kill(qr_chaos *c)
{
    qr_chaos_slot *victims[SLOTS_MAX];
    uint32_t count = draw_victims(c, victims, true);
    for (uint32_t i = 0; i < count; i++)
        qr_chaos_member_end(victims[i], SIGKILL);
    last(c);
    return start_all(c, victims, count);
}

static bool do_pause(qr_chaos *c)
{
    qr_chaos_slot *victims[SLOTS_MAX];
    uint32_t count = draw_victims(c, victims, false);
    for (uint32_t i = 0; i < count; i++)
        qr_chaos_member_pause(victims[i], true);
    last(c);
    for (uint32_t i = 0; i < count; i++)
        qr_chaos_member_pause(victims[i], false);
    return true;
}

static bool do_links(qr_chaos *c, qr_chaos_fault fault)
{
    qr_chaos_links_break(c, fault);
    last(c);
    qr_chaos_links_heal(c);
    return true;
}

static bool do_rolling(qr_chaos *c)
{
    bool good = true;
    for (uint32_t i = 0; i < c->options->members && good; i++) {
        qr_chaos_member_end(&c->slots[i], SIGTERM);
        good = qr_chaos_member_start(c, &c->slots[i]) && qr_chaos_member_wait_ready(c, &c->slots[i]);
    }
    return good;
}

static bool do_compact(qr_chaos *c)
{
    qr_chaos_slot *victim = tell(c, draw_member(c));
    qr_chaos_member_end(victim, SIGKILL);
    last(c);
    QrEtcdpb__RangeRequest range = QR_ETCDPB__RANGE_REQUEST__INIT;
    range.key = qr_chaos_key(c, 0, &c->arena);
    const QrEtcdpb__RangeResponse *now = qr_chaos_cluster_ask(c, victim, "etcdserverpb.KV/Range", &range.base,
                                                              &qr_etcdpb__range_response__descriptor);
    QrEtcdpb__CompactionRequest compact = QR_ETCDPB__COMPACTION_REQUEST__INIT;
    if (now != NULL && now->header != NULL) {
        compact.revision = now->header->revision;
        qr_chaos_cluster_ask(c, victim, "etcdserverpb.KV/Compact", &compact.base,
                             &qr_etcdpb__compaction_response__descriptor);
    }
    return qr_chaos_member_start(c, victim);
}

/* ------------------------------------------------------------------------- members ---- */

/* The id of the member that is announced at that place; 0: there is none. False: nobody says. */
static bool find_member(qr_chaos *c, const qr_chaos_slot *s, const char *url, uint64_t *id)
{
    QrEtcdpb__MemberListRequest request = QR_ETCDPB__MEMBER_LIST_REQUEST__INIT;
    request.linearizable = true;
    const QrEtcdpb__MemberListResponse *answer = qr_chaos_cluster_ask(
        c, s, "etcdserverpb.Cluster/MemberList", &request.base, &qr_etcdpb__member_list_response__descriptor);
    *id = 0;
    for (size_t i = 0; answer != NULL && i < answer->n_members; i++)
        if (answer->members[i]->n_peerurls > 0 && strcmp(answer->members[i]->peerurls[0], url) == 0)
            *id = answer->members[i]->id;
    return answer != NULL;
}

/* What counts is the list afterwards: an answer may be lost. */
static bool remove_member(qr_chaos *c, qr_chaos_slot *s)
{
    QrEtcdpb__MemberRemoveRequest request = QR_ETCDPB__MEMBER_REMOVE_REQUEST__INIT;
    const char *url = qr_arena_format(&c->arena, "http://127.0.0.1:%u", s->proxy_port);
    request.id = atomic_load(&c->page->ids[s - c->slots]);
    qr_chaos_cluster_ask(c, s, "etcdserverpb.Cluster/MemberRemove", &request.base,
                         &qr_etcdpb__member_remove_response__descriptor);
    uint64_t id;
    if (!find_member(c, s, url, &id) || id != 0)
        return false;
    qr_chaos_member_end(s, SIGKILL); /* it would end by itself, once it hears of it */
    s->used = false;
    return true;
}

/* An empty member in that place; it gets its vote by itself once it has caught up. */
static bool add_member(qr_chaos *c, qr_chaos_slot *s)
{
    QrEtcdpb__MemberAddRequest request = QR_ETCDPB__MEMBER_ADD_REQUEST__INIT;
    char *urls[] = {qr_arena_format(&c->arena, "http://127.0.0.1:%u", s->proxy_port)};
    request.n_peerurls = 1;
    request.peerurls = urls;
    qr_chaos_cluster_ask(c, s, "etcdserverpb.Cluster/MemberAdd", &request.base,
                         &qr_etcdpb__member_add_response__descriptor);
    uint64_t id;
    if (!find_member(c, s, urls[0], &id) || id == 0)
        return false;
    atomic_store(&c->page->ids[s - c->slots], id);
    qr_chaos_remove_tree(s->data);
    s->used = s->joins = true;
    return qr_chaos_member_start(c, s) && qr_chaos_member_wait_ready(c, s);
}

static bool do_members(qr_chaos *c)
{
    qr_chaos_slot *spare = &c->slots[c->options->members], *victim = draw_member(c);
    qr_chaos_slot *leader = qr_prng_below(&c->prng, 2) ? qr_chaos_cluster_leader(c) : NULL;
    if (qr_prng_below(&c->prng, 2)) {
        bool good = add_member(c, tell(c, spare));
        last(c);
        return good && remove_member(c, spare);
    }
    victim = tell(c, leader != NULL ? leader : victim);
    bool gone = remove_member(c, victim);
    last(c);
    return gone && add_member(c, victim);
}

/* --------------------------------------------------------------------------- disks ---- */

static bool do_full(qr_chaos *c)
{
    qr_chaos_slot *victim = tell(c, draw_member(c));
    qr_chaos_member_end(victim, SIGKILL);
    qr_chaos_disk_remove_spares(victim); /* what was set aside would last for a while */
    bool good = qr_chaos_disk_fill(victim) && qr_chaos_member_start(c, victim);
    last(c);
    qr_chaos_disk_give_back(victim);
    if (qr_chaos_member_wait_end(victim, 0)) /* it may refuse to start without any space; that is lawful */
        good = qr_chaos_member_start(c, victim) && good;
    return good;
}

static bool do_power(qr_chaos *c)
{
    qr_chaos_slot *victims[SLOTS_MAX];
    uint32_t count = draw_victims(c, victims, true);
    bool good = true;
    for (uint32_t i = 0; i < count; i++)
        good = qr_chaos_disk_cut_power(victims[i]) && good;
    for (uint32_t i = 0; i < count; i++)
        qr_chaos_member_end(victims[i], SIGKILL);
    last(c);
    for (uint32_t i = 0; i < count; i++) {
        qr_chaos_disk_unmount(victims[i]);
        good = qr_chaos_disk_mount(victims[i]) && good;
    }
    return start_all(c, victims, count) && good;
}

static bool do_eio(qr_chaos *c)
{
    qr_chaos_slot *victim = tell(c, draw_member(c));
    int fault = open(victim->fault, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool halted = fault >= 0 && qr_chaos_member_wait_end(victim, HALT_MS);
    if (fault >= 0)
        close(fault);
    if (!halted)
        printf("not ok chaos: %s goes on although its syncs fail\n", victim->name);
    last(c);
    unlink(victim->fault);
    return halted && qr_chaos_member_start(c, victim);
}

/* --------------------------------------------------------------------------- rounds ---- */

static bool perform(qr_chaos *c, qr_chaos_fault fault)
{
    switch (fault) {
    case QR_CHAOS_KILL: return do_kill(c);
    case QR_CHAOS_PAUSE: return do_pause(c);
    case QR_CHAOS_ISOLATE:
    case QR_CHAOS_HALVES:
    case QR_CHAOS_ONEWAY:
    case QR_CHAOS_BRIDGE:
    case QR_CHAOS_DELAY: return do_links(c, fault);
    case QR_CHAOS_ROLLING: return do_rolling(c);
    case QR_CHAOS_COMPACT: return do_compact(c);
    case QR_CHAOS_MEMBERS: return do_members(c);
    case QR_CHAOS_FULL: return do_full(c);
    case QR_CHAOS_POWER: return do_power(c);
    case QR_CHAOS_EIO: return do_eio(c);
    case QR_CHAOS_FAULT_COUNT: break;
    }
    return false;
}

bool qr_chaos_round(qr_chaos *c, qr_chaos_fault fault)
{
    qr_chaos_span span = {.fault = fault, .begin = qr_chaos_now_us()};
    qr_arena_reset(&c->arena);
    bool good = perform(c, fault);
    printf("%.*s\n", (int)c->told.size, (const char *)c->told.data);
    fflush(stdout);
    if (!good)
        printf("not ok chaos: this fault could not be done as planned\n");
    good = qr_chaos_cluster_wait_ready(c) && good;
    span.end = qr_chaos_now_us();
    qr_chaos_history_add_fault(c, &span);
    return good;
}
