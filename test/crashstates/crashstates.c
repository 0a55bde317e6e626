/* crashstates: every state that a crash may leave of a member's files, at every operation of a run, started
 * on by the production code.
 *
 *   crashstates [--states N] [--seed S] [--bug NAME]
 *
 * Runs are scripts of a whole member (node, engine, log, checkpoints): alone, writing, with segments that
 * change, checkpoints, and restarts; or one of three, which votes, falls behind, and takes a checkpoint over.
 * At each operation of its disk, as it begins, what is not synced by then may be there or not: with at most
 * eight such things all subsets are tried, else 256 drawn ones; and each write torn at each sector of 512
 * bytes, or with one sector missing, or with its size alone, while all others are kept, and while all others
 * are lost. States that were seen before in the run are not tried again. Of every 16th state each operation
 * of the start is a crash, too.
 *
 * What must hold each time: the member starts; a second start finds the same; its state is a prefix of what
 * was asked for, with all that was acknowledged; or, of three, its log reaches at least to what the leader
 * counts as stored there, its term is not older than the one in which it told the leader so, and its state is
 * a prefix of the leader's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "core/bugs.h"

enum {
    UNITS_MAX = 256, /* not synced at a time */
    SUBSETS_OF = 8,
    SUBSETS_DRAWN = 256,
    TEARS_MAX = 16,
    SEEN_ROOM = 1 << 20,
    INNER_EACH = 16,
    INTERVAL = 4 * 1024,
};

static const char *const bugs[] = {"none",
#define BUG_NAME(id, row, text, explanation) text,
                                   QR_BUG_LIST(BUG_NAME)
#undef BUG_NAME
};

typedef struct campaign {
    uint64_t wanted, tried, distinct, inner, points, violations, scripts;
    uint64_t *seen;
    size_t seen_count;
    cluster *live;
    cluster_member *victim;
    qr_prng prng;
    uint32_t bug;
    uint64_t number; /* of the script */
} campaign;

/* ---------------------------------------------------------------- what must hold ---- */

typedef struct floor_of {
    uint64_t last_index, term; /* what others have been told */
    size_t acknowledged;       /* letters, of a member alone */
    const char *text;          /* the leader's state; NULL: there is none */
} floor_of;

static const cluster_member *leader_now(const cluster *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (c->members[i].node != NULL && cluster_status(&c->members[i]).engine.role == QR_LEADER)
            return &c->members[i];
    return NULL;
}

static floor_of find_floor(const campaign *all)
{
    floor_of floor = {.acknowledged = all->live->answered};
    const cluster_member *leader = all->live->count > 1 ? leader_now(all->live) : NULL;
    if (leader == NULL || leader == all->victim)
        return floor;
    qr_node_status status = cluster_status(leader);
    floor.text = cluster_text(leader);
    floor.last_index = status.engine.match[all->victim->id - 1];
    floor.term = floor.last_index > 0 ? status.engine.term : 0;
    return floor;
}

static void violated(campaign *all, const char *what)
{
    all->violations++;
    printf("VIOLATED in script %" PRIu64 ", operation %" PRIu64 ": %s\n", all->number, all->victim->disk->ops,
           what);
}

/* NULL: as it must be. */
static const char *judge(const cluster *twin, const cluster_member *member, const floor_of *floor)
{
    const char *text = cluster_text(member);
    qr_node_status status = cluster_status(member);
    size_t size = strlen(text);
    if (twin->count > 1) {
        if (status.engine.last_index < floor->last_index)
            return "entries are missing that the leader counts";
        if (status.engine.term < floor->term)
            return "a term is forgotten in which it has answered";
        return floor->text && strncmp(text, floor->text, size) != 0 ? "a state that the leader never had"
                                                                    : NULL;
    }
    for (size_t i = 0; i < size; i++)
        if (text[i] != (char)('a' + i % 26))
            return "a state that nobody asked for";
    return size < floor->acknowledged ? "an acknowledged write is missing" : NULL;
}

/* The member on that disk, which the twin owns from now on. */
static cluster *twin_of(const campaign *all, fake_disk *disk)
{
    fake_disk *disks[CLUSTER_NODES_MAX] = {0};
    const cluster *live = all->live;
    for (size_t i = 0; i < live->count; i++)
        disks[i] = i + 1 == all->victim->id ? disk : fake_disk_new();
    cluster *twin = cluster_of(disks, live->count, live->checkpoint_bytes);
    twin->now_ms = live->now_ms;
    twin->bug = live->bug;
    return twin;
}

static bool start(campaign *all, cluster *twin, const floor_of *floor)
{
    cluster_member *member = &twin->members[all->victim->id - 1];
    const char *sentence = "";
    if (cluster_open(twin, member, &sentence) != QR_OK) {
        violated(all, sentence);
        return false;
    }
    if (twin->count == 1) { /* it leads at once, and applies what its log has */
        cluster_leader(twin);
        cluster_run(twin, 40);
    }
    const char *wrong = judge(twin, member, floor);
    if (wrong != NULL)
        violated(all, wrong);
    return wrong == NULL;
}

static void start_twice(campaign *all, fake_disk *disk, const floor_of *floor)
{
    cluster *twin = twin_of(all, disk);
    cluster_member *member = &twin->members[all->victim->id - 1];
    if (start(all, twin, floor)) {
        qr_node_status first = cluster_status(member);
        floor_of again = {.last_index = first.engine.last_index,
                          .term = first.engine.term,
                          .acknowledged = strlen(cluster_text(member)),
                          .text = floor->text};
        cluster_run(twin, 4);
        cluster_stop(twin, member);
        start(all, twin, &again);
    }
    cluster_free(twin);
}

/* ------------------------------------------------------------- crashes of a start ---- */

typedef struct inner {
    campaign *all;
    fake_disk *disk;
    const floor_of *floor;
} inner;

static qr_status crash_of_start(void *context, const qr_disk_op *op)
{
    const inner *in = context;
    if (op->kind == QR_DISK_READ)
        return QR_OK;
    for (int how = CRASH_KEEP_ALL; how <= CRASH_RANDOM; how++) {
        fake_disk *disk = fake_disk_clone(in->disk);
        fake_disk_begin(disk, op);
        fake_disk_crash(disk, (fake_crash)how, &in->all->prng);
        start_twice(in->all, disk, in->floor);
        in->all->inner++;
    }
    return QR_OK;
}

static void crash_starts(campaign *all, fake_disk *disk, const floor_of *floor)
{
    inner in = {.all = all, .disk = disk, .floor = floor};
    cluster *twin = twin_of(all, disk);
    disk->before = crash_of_start;
    disk->context = &in;
    start(all, twin, floor);
    disk->before = NULL;
    cluster_free(twin);
}

/* ----------------------------------------------------------------- every state ---- */

static bool is_new(campaign *all, uint64_t digest)
{
    size_t at = digest & (SEEN_ROOM - 1);
    digest |= 1;
    while (all->seen[at] != 0 && all->seen[at] != digest)
        at = (at + 1) & (SEEN_ROOM - 1);
    if (all->seen[at] == digest || all->seen_count > SEEN_ROOM / 2)
        return all->seen[at] != digest;
    all->seen[at] = digest;
    all->seen_count++;
    return true;
}

/* begun: the disk with the operation under way. */
static void try_state(campaign *all, const fake_disk *begun, const fake_fate fates[], const floor_of *floor)
{
    fake_disk *disk = fake_disk_clone(begun);
    fake_disk_crash_as(disk, fates);
    all->tried++;
    if (!is_new(all,
                qr_hash_mix(fake_disk_digest(disk), qr_hash_mix(floor->last_index, floor->acknowledged)))) {
        fake_disk_free(disk);
        return;
    }
    if (++all->distinct % INNER_EACH == 0)
        crash_starts(all, fake_disk_clone(disk), floor);
    start_twice(all, disk, floor);
}

static void try_subsets(campaign *all, const fake_disk *begun, size_t count, const floor_of *floor)
{
    fake_fate fates[UNITS_MAX];
    uint64_t rounds = count <= SUBSETS_OF ? UINT64_C(1) << count : SUBSETS_DRAWN;
    for (uint64_t n = 0; n < rounds; n++) {
        for (size_t i = 0; i < count; i++) {
            bool kept = count <= SUBSETS_OF ? n >> i & 1 : qr_prng_below(&all->prng, 2);
            fates[i] = (fake_fate){.kind = kept ? FATE_KEPT : FATE_LOST};
        }
        try_state(all, begun, fates, floor);
    }
}

static void try_tears(campaign *all, const fake_disk *begun, size_t count, const uint32_t sectors[],
                      const floor_of *floor)
{
    fake_fate fates[UNITS_MAX];
    for (int others = FATE_LOST; others <= FATE_KEPT; others++)
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < count; k++)
                fates[k] = (fake_fate){.kind = others};
            uint32_t tears = sectors[i] < TEARS_MAX ? sectors[i] : TEARS_MAX;
            for (uint32_t n = 0; n < tears; n++) {
                uint32_t at = tears == sectors[i] ? n : (uint32_t)qr_prng_below(&all->prng, sectors[i]);
                fates[i] = (fake_fate){.kind = FATE_HEAD, .sector = at};
                try_state(all, begun, fates, floor);
                fates[i] = (fake_fate){.kind = FATE_HOLE, .sector = at};
                try_state(all, begun, fates, floor);
            }
            fates[i] = (fake_fate){.kind = FATE_SIZE};
            if (tears)
                try_state(all, begun, fates, floor);
        }
}

static qr_status crash_here(void *context, const qr_disk_op *op)
{
    campaign *all = context;
    if (op->kind == QR_DISK_READ || all->distinct >= all->wanted)
        return QR_OK;
    uint32_t sectors[UNITS_MAX];
    fake_disk *begun = fake_disk_clone(all->victim->disk);
    fake_disk_begin(begun, op);
    size_t count = fake_disk_unsynced(begun, sectors, UNITS_MAX);
    QR_CHECK(count <= UNITS_MAX, "so much is never left unsynced");
    floor_of floor = find_floor(all);
    all->points++;
    try_subsets(all, begun, count, &floor);
    try_tears(all, begun, count, sectors, &floor);
    fake_disk_free(begun);
    return QR_OK;
}

/* ------------------------------------------------------------------- scripts ---- */

static void watch_disk(campaign *all, cluster_member *victim)
{
    all->victim = victim;
    victim->disk->before = crash_here;
    victim->disk->context = all;
}

static void restart(campaign *all, cluster_member *member)
{
    const char *sentence = "";
    cluster_stop(all->live, member);
    watch_disk(all, member);
    QR_CHECK(cluster_open(all->live, member, &sentence) == QR_OK, "a member starts that was stopped");
}

static bool goes_on(const campaign *all)
{
    return all->distinct < all->wanted && all->violations == 0;
}

static void alone(campaign *all)
{
    cluster *c = all->live;
    cluster_member *member = &c->members[0];
    for (int round = 0; round < 24 && goes_on(all); round++) {
        cluster_leader(c);
        size_t burst = 1 + qr_prng_below(&all->prng, 12);
        for (size_t i = 0; i < burst; i++) {
            cluster_write(member, (char)('a' + c->asked % 26));
            cluster_run(c, (int)qr_prng_below(&all->prng, 3));
        }
        for (int patience = 0; c->answered < c->asked && patience < 4000; patience++)
            cluster_run(c, 1);
        QR_CHECK(c->answered == c->asked, "writes are answered");
        if (qr_prng_below(&all->prng, 6) == 0)
            restart(all, member);
    }
}

/* The victim follows, falls behind and comes back; now and then the leader goes, so that there are votes. */
static void among_three(campaign *all)
{
    cluster *c = all->live;
    for (int round = 0; round < 12 && goes_on(all); round++) {
        cluster_member *leader = cluster_leader(c);
        bool away = leader != all->victim && qr_prng_below(&all->prng, 3) == 0;
        all->victim->is_cut = away;
        cluster_write_many(c, leader, 'm', away ? 120 : 5);
        all->victim->is_cut = false;
        cluster_run(c, away ? 200 : 20);
        if (qr_prng_below(&all->prng, 3) == 0) {
            leader->is_cut = true;
            cluster_run(c, 300);
            leader->is_cut = false;
            cluster_run(c, 50);
        } else if (qr_prng_below(&all->prng, 4) == 0) {
            restart(all, all->victim);
        }
    }
}

static void run_script(campaign *all)
{
    bool is_alone = all->number % 2 == 0;
    size_t count = is_alone ? 1 : 3;
    fake_disk *disks[CLUSTER_NODES_MAX];
    for (size_t i = 0; i < count; i++)
        disks[i] = fake_disk_new();
    all->live = cluster_of(disks, count, INTERVAL);
    all->live->bug = all->bug;
    qr_prng_seed(&all->prng, all->number);
    memset(all->seen, 0, SEEN_ROOM * sizeof *all->seen);
    all->seen_count = 0;
    watch_disk(all, &all->live->members[count - 1]);
    for (size_t i = 0; i < count; i++) {
        const char *sentence;
        QR_CHECK(cluster_open(all->live, &all->live->members[i], &sentence) == QR_OK, "a new folder opens");
    }
    if (is_alone)
        alone(all);
    else
        among_three(all);
    cluster_free(all->live);
    all->scripts++;
}

static uint32_t bug_of(const char *name)
{
    for (uint32_t i = 0; i < sizeof bugs / sizeof *bugs; i++)
        if (strcmp(bugs[i], name) == 0)
            return i;
    fprintf(stderr, "crashstates: no planted bug is called %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    campaign all = {.wanted = 50000, .number = 1};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--states") == 0)
            all.wanted = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            all.number = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--bug") == 0)
            all.bug = bug_of(argv[i + 1]);
    }
    all.seen = qr_alloc_zero(SEEN_ROOM, sizeof *all.seen);
    for (; goes_on(&all); all.number++)
        run_script(&all);
    printf("%" PRIu64 " scripts, %" PRIu64 " operations, %" PRIu64 " states, %" PRIu64
           " of them distinct; %" PRIu64 " crashes of starts; %" PRIu64 " violations\n",
           all.scripts, all.points, all.tried, all.distinct, all.inner, all.violations);
    qr_free(all.seen);
    return all.violations > 0;
}
