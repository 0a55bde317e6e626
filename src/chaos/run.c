/* A run from beginning to end. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chaos/inside.h"

enum {
    TOLD_MS = 60000, /* patience with watchers in the end */
    LOOK_MS = 20,
    ENDPOINTS_MAX = 32,
};

static const struct {
    const char *name;
    int needs;
} faults[] = {
#define FAULT_ROW(id, name, what, needs) {name, needs},
    QR_CHAOS_FAULT_LIST(FAULT_ROW)
#undef FAULT_ROW
};

/* ------------------------------------------------------------------------- beginning ---- */

static bool open_ground(qr_chaos *c)
{
    const char *top = getenv("TMPDIR");
    top = top && *top ? top : "/tmp";
    c->folder = qr_arena_format(&c->words, "%s/quorate-chaos.XXXXXX", top);
    if (mkdtemp(c->folder) == NULL) {
        printf("quorate chaos: no folder can be made for it in %s: %s\n", top ? top : "/tmp",
               strerror(errno));
        return false;
    }
    c->history_path =
        c->options->history ? c->options->history : qr_arena_format(&c->words, "%s/history", c->folder);
    c->history = open(c->history_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (c->history < 0) {
        printf("quorate chaos: %s cannot be written: %s\n", c->history_path, strerror(errno));
        return false;
    }
    /* Keys of this run alone: the cluster may have others, and other runs. */
    c->prefix =
        qr_arena_format(&c->words, "chaos/%08" PRIx64 "%06x/", qr_chaos_now_us() & 0xffffffff, getpid());
    c->page = mmap(NULL, sizeof *c->page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    c->knock = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return c->page != MAP_FAILED && c->knock >= 0;
}

static bool wants_disks(const qr_chaos *c)
{
    return geteuid() == 0 && (c->options->faults[QR_CHAOS_FULL] || c->options->faults[QR_CHAOS_POWER]);
}

static bool make_places(qr_chaos *c)
{
    c->slot_count = c->options->members + 1;
    for (uint32_t i = 0; i < c->slot_count; i++) {
        qr_chaos_member_init(c, i);
        c->endpoints[i] = c->slots[i].endpoint;
        if (mkdir(c->slots[i].folder, 0700) != 0 || c->slots[i].proxy_port == 0)
            return false;
    }
    c->endpoint_count = c->slot_count;
    c->own_disks = wants_disks(c);
    for (uint32_t i = 0; i < c->slot_count && c->own_disks; i++)
        c->own_disks = qr_chaos_disk_make(&c->slots[i]);
    return true;
}

static bool start_cluster(qr_chaos *c)
{
    c->proxy = qr_chaos_fork(c, qr_chaos_proxy, 0);
    for (uint32_t i = 0; i < c->options->members; i++)
        c->slots[i].used = true;
    for (uint32_t i = 0; i < c->options->members; i++)
        if (!qr_chaos_member_start(c, &c->slots[i]))
            return false;
    return c->proxy > 0 && qr_chaos_cluster_wait_ready(c);
}

static bool use_endpoints(qr_chaos *c)
{
    char *list = qr_arena_format(&c->words, "%s", c->options->endpoints), *rest = list;
    for (char *one; (one = strsep(&rest, ",")) != NULL;)
        if (*one && c->endpoint_count < ENDPOINTS_MAX)
            c->endpoints[c->endpoint_count++] = one;
    return c->endpoint_count > 0;
}

/* Watches begin behind what is there now. */
static bool find_revision(qr_chaos *c)
{
    QrEtcdpb__RangeRequest request = QR_ETCDPB__RANGE_REQUEST__INIT;
    request.key = qr_chaos_key(c, 0, &c->arena);
    for (uint32_t i = 0; i < c->endpoint_count && c->begin_revision == 0; i++) {
        const void *answer = NULL;
        qr_chaos_line *l = qr_chaos_line_open(c->endpoints[i]);
        qr_chaos_outcome end =
            l ? qr_chaos_line_ask(l, "etcdserverpb.KV/Range", &request.base,
                                  &qr_etcdpb__range_response__descriptor, ASK_MS, &c->arena, &answer)
              : REFUSED;
        const QrEtcdpb__RangeResponse *range = answer;
        if (end == ANSWERED && range->header != NULL)
            c->begin_revision = (uint64_t)range->header->revision + 1;
        qr_chaos_line_close(l);
    }
    if (c->begin_revision == 0)
        printf("not ok chaos: no member answers\n");
    return c->begin_revision != 0;
}

static void start_clients(qr_chaos *c)
{
    for (uint32_t i = 0; i < WATCHERS; i++)
        c->watchers[i] = qr_chaos_fork(c, qr_chaos_watcher, i);
    for (uint32_t i = 0; i < c->options->clients; i++)
        c->clients[i] = qr_chaos_fork(c, qr_chaos_client, i);
}

/* --------------------------------------------------------------------------- faults ---- */

static bool is_possible(const qr_chaos *c, uint32_t fault)
{
    if (faults[fault].needs == QR_CHAOS_ROOT)
        return c->own_disks;
    return faults[fault].needs != QR_CHAOS_SHIM || c->options->shim != NULL;
}

/* Those that are wanted and possible here; the others are named. */
static uint32_t choose_faults(const qr_chaos *c, qr_chaos_fault *bag)
{
    uint32_t count = 0;
    for (uint32_t fault = 0; fault < QR_CHAOS_FAULT_COUNT; fault++) {
        if (!c->options->faults[fault])
            continue;
        if (is_possible(c, fault))
            bag[count++] = (qr_chaos_fault)fault;
        else
            printf("# left out: %s needs %s\n", faults[fault].name,
                   faults[fault].needs == QR_CHAOS_ROOT ? "root, loop devices and mkfs.ext4" : "--shim");
    }
    return count;
}

static void shuffle(qr_chaos *c, qr_chaos_fault *bag, uint32_t count)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t other = (uint32_t)qr_prng_below(&c->prng, i);
        qr_chaos_fault kept = bag[i - 1];
        bag[i - 1] = bag[other];
        bag[other] = kept;
    }
}

/* Round after round until the time is over: each kind once, in an order that is drawn anew. */
static bool break_things(qr_chaos *c)
{
    qr_chaos_fault bag[QR_CHAOS_FAULT_COUNT];
    uint32_t count = choose_faults(c, bag);
    uint64_t end_us = qr_chaos_now_us() + c->options->seconds * 1000000ULL;
    bool good = true;
    for (uint32_t i = 0; good && count > 0 && qr_chaos_now_us() < end_us && !qr_chaos_interrupted(); i++) {
        if (i % count == 0)
            shuffle(c, bag, count);
        qr_prng plan = c->prng; /* a round may draw more or less, as the leader happens to be */
        qr_prng_seed(&c->prng, c->options->seed + 1000003ULL * (i + 1));
        qr_buffer_clear(&c->told);
        qr_buffer_format(&c->told, "# %s", faults[bag[i % count]].name);
        good = qr_chaos_round(c, bag[i % count]);
        c->prng = plan;
    }
    for (uint64_t now_us; count == 0 && (now_us = qr_chaos_now_us()) < end_us && !qr_chaos_interrupted();)
        qr_chaos_sleep_ms((end_us - now_us) / 1000 + 1);
    return good;
}

/* ------------------------------------------------------------------------------ end ---- */

/* True: it has ended, well or not, or there never was one. */
static bool has_ended(pid_t *process, const char *what, uint32_t number, bool *good)
{
    int status = 0;
    if (*process > 0 && waitpid(*process, &status, WNOHANG) != *process)
        return false;
    if (status != 0) {
        printf("not ok chaos: %s %u has ended badly\n", what, number);
        *good = false;
    }
    *process = 0;
    return true;
}

/* Each ends with its operation. */
static bool wait_for_clients(qr_chaos *c)
{
    bool good = true;
    atomic_store(&c->page->stopping, true);
    for (uint32_t i = 0; i < c->options->clients; i++)
        while (!has_ended(&c->clients[i], "client", i, &good))
            qr_chaos_sleep_ms(LOOK_MS);
    return good;
}

/* They end when they were told everything. */
static bool wait_for_watchers(qr_chaos *c)
{
    uint64_t deadline_us = qr_chaos_now_us() + TOLD_MS * 1000ULL;
    bool good = true;
    for (uint32_t i = 0; i < WATCHERS; i++) {
        while (!has_ended(&c->watchers[i], "watcher", i, &good) && qr_chaos_now_us() < deadline_us)
            qr_chaos_sleep_ms(LOOK_MS);
        if (c->watchers[i] == 0)
            continue;
        kill(c->watchers[i], SIGKILL);
        waitpid(c->watchers[i], NULL, 0);
        printf("not ok chaos: watcher %u is not told everything within %d s\n", i, TOLD_MS / 1000);
        good = false;
    }
    return good;
}

/* In somebody else's cluster nothing is left behind. */
static void remove_keys(qr_chaos *c)
{
    QrEtcdpb__DeleteRangeRequest request = QR_ETCDPB__DELETE_RANGE_REQUEST__INIT;
    request.key = qr_chaos_key(c, 0, &c->arena);
    request.range_end = qr_chaos_key(c, (uint64_t)KEY_SLOTS * KEY_STRIDE, &c->arena);
    const void *answer;
    qr_chaos_line *l = qr_chaos_line_open(c->endpoints[0]);
    if (l == NULL || qr_chaos_line_ask(l, "etcdserverpb.KV/DeleteRange", &request.base,
                                       &qr_etcdpb__delete_range_response__descriptor, 10 * ASK_MS, &c->arena,
                                       &answer) != ANSWERED)
        printf("# the keys %s* are left there\n", c->prefix);
    qr_chaos_line_close(l);
}

static void close_ground(qr_chaos *c, bool good)
{
    for (uint32_t i = 0; i < c->slot_count; i++)
        qr_chaos_member_end(&c->slots[i], SIGKILL);
    if (c->proxy > 0) {
        kill(c->proxy, SIGKILL);
        waitpid(c->proxy, NULL, 0);
    }
    for (uint32_t i = 0; i < c->slot_count; i++)
        qr_chaos_disk_unmount(&c->slots[i]);
    if (good)
        qr_chaos_remove_tree(c->folder);
    else
        printf("what is left, with the logs of the members: %s\n", c->folder);
}

static bool run(qr_chaos *c)
{
    bool good = find_revision(c);
    if (good) {
        start_clients(c);
        good = break_things(c);
        good = wait_for_clients(c) && good;
        good = good && qr_chaos_ask_all(c);
        if (!good)
            atomic_store(&c->page->until, 1); /* no more is to be expected */
        good = wait_for_watchers(c) && good;
        if (c->options->endpoints != NULL)
            remove_keys(c);
    }
    return qr_chaos_verdict(c->history_path) && good;
}

int qr_chaos_run(const qr_chaos_options *options)
{
    qr_chaos *c = qr_alloc_zero(1, sizeof *c);
    c->options = options;
    qr_prng_seed(&c->prng, options->seed);
    qr_prng_seed(&c->port_prng, qr_chaos_now_us());
    qr_buffer_init(&c->told);
    qr_arena_init(&c->arena);
    qr_arena_init(&c->words);
    qr_chaos_catch_signals();
    printf("# seed %" PRIu64 "\n", options->seed);
    int status = 2;
    if (open_ground(c) && (options->endpoints ? use_endpoints(c) : make_places(c))) {
        bool good = options->endpoints != NULL || start_cluster(c);
        good = good && run(c);
        close_ground(c, good);
        printf("%s\n", good ? "nothing was found" : "see above");
        status = good ? 0 : 1;
    }
    qr_arena_free(&c->arena);
    qr_arena_free(&c->words);
    qr_buffer_free(&c->told);
    qr_free(c);
    return status;
}
