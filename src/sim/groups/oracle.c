/* What must be true of transactions. The events of each group's tree are read, revision by revision, from
 * whichever replica has applied them first; each is one command of somebody's task, and is judged here by a
 * second, simpler account of what it may do. The order of decisions is the order of transactions. */
#include <inttypes.h>
#include <stdio.h>

#include "sim/groups/groups.h"

enum { BATCH_MAX = 64 };

static const char ID_FORMAT[] = "op-%08" PRIu64;

/* ------------------------------------------------------------------- names ---- */

qr_slice qr_sim_transfer_id(const qr_sim_transfer *transfer, qr_arena *arena)
{
    return qr_slice_text(qr_arena_format(arena, ID_FORMAT, transfer->number));
}

static qr_sim_transfer *transfer_of(qr_sim_groups *world, qr_slice id)
{
    uint64_t number = 0;
    for (size_t i = sizeof "op-" - 1; i < id.size; i++)
        number = number * 10 + (uint64_t)(id.data[i] - '0');
    bool good = number > 0 && number <= world->transfer_count;
    return good ? world->transfers[number - 1] : NULL;
}

qr_slice qr_sim_account_key(qr_sim_account account, qr_arena *arena)
{
    return qr_slice_text(qr_arena_format(arena, "account/%u", account.number));
}

/* QR_SIM_ACCOUNTS: none. */
static uint32_t account_of(qr_slice key)
{
    static const char prefix[] = "account/";
    size_t size = sizeof prefix - 1;
    if (key.size != size + 1 || !qr_slice_starts(key, qr_slice_text(prefix)))
        return QR_SIM_ACCOUNTS;
    return (uint32_t)(key.data[size] - '0');
}

qr_sim_balance qr_sim_balance_read(qr_slice value)
{
    qr_reader in = qr_reader_of(value);
    if (value.size == 0)
        return (qr_sim_balance){.amount = QR_SIM_OPENING};
    int64_t amount = (int64_t)qr_reader_u64(&in);
    return (qr_sim_balance){.amount = amount, .op = qr_reader_u64(&in)};
}

qr_slice qr_sim_balance_write(qr_sim_balance balance, qr_arena *arena)
{
    uint8_t *bytes = qr_arena_alloc(arena, 16);
    qr_store_u64(bytes, (uint64_t)balance.amount);
    qr_store_u64(bytes + 8, balance.op);
    return qr_slice_of(bytes, 16);
}

static bool is_equal(qr_sim_balance a, qr_sim_balance b)
{
    return a.amount == b.amount && a.op == b.op;
}

/* ---------------------------------------------------------------- versions ---- */

static size_t version_size(const qr_sim_groups *world)
{
    return (size_t)world->plan.groups * QR_SIM_ACCOUNTS;
}

static qr_sim_balance *version(const qr_sim_groups *world, uint64_t number)
{
    return &world->versions[number * version_size(world)];
}

static qr_sim_balance *balance_in(const qr_sim_groups *world, uint64_t number, qr_sim_account account)
{
    return &version(world, number)[account.group * QR_SIM_ACCOUNTS + account.number];
}

/* After version_count decisions; the newest is a copy of the one before until it is changed. */
static void new_version(qr_sim_groups *world)
{
    if (world->version_count + 1 >= world->version_room) {
        world->version_room = world->version_room ? world->version_room * 2 : 256;
        world->versions =
            qr_realloc(world->versions, world->version_room * version_size(world) * sizeof *world->versions);
    }
    world->version_count++;
    memcpy(version(world, world->version_count), version(world, world->version_count - 1),
           version_size(world) * sizeof *world->versions);
}

/* --------------------------------------------------------------- decisions ---- */

static const qr_group_write *write_to(const qr_group_record *record, qr_sim_account account,
                                      uint64_t *lock_revision)
{
    for (const qr_group_part *part = record->parts; part < record->parts + record->count; part++)
        for (size_t i = 0; part->group == account.group && i < part->count; i++)
            if (account_of(part->writes[i].key) == account.number) {
                *lock_revision = part->lock_revision;
                return &part->writes[i];
            }
    return NULL;
}

static void decide_account(qr_sim_groups *world, qr_sim_transfer *transfer, size_t i,
                           const qr_group_record *record)
{
    qr_sim_account account = transfer->accounts[i];
    const qr_group_write *write = write_to(record, account, &transfer->lock_revision[i]);
    if (write == NULL || write->changes != transfer->writes[i] ||
        (write->changes && !is_equal(qr_sim_balance_read(write->value), transfer->made[i])))
        qr_sim_groups_fail(world, "record-is-what-was-asked", "op-%" PRIu64 ", account %u of group %u",
                           transfer->number, account.number, account.group + 1);
    const qr_sim_ledger *ledger = &world->ledgers[account.group];
    if (ledger->accounts[account.number].holder != transfer->number ||
        ledger->accounts[account.number].revision != transfer->lock_revision[i])
        qr_sim_groups_fail(world, "locks-are-held-when-decided",
                           "op-%" PRIu64 " commits without the lock of account %u of group %u",
                           transfer->number, account.number, account.group + 1);
    qr_sim_balance *now = balance_in(world, world->version_count, account);
    if (!is_equal(*now, transfer->found[i]))
        qr_sim_groups_fail(world, "serializable",
                           "op-%" PRIu64 " commits upon %" PRId64 " of op-%" PRIu64
                           " in account %u of group %u, which holds %" PRId64 " of op-%" PRIu64,
                           transfer->number, transfer->found[i].amount, transfer->found[i].op, account.number,
                           account.group + 1, now->amount, now->op);
    if (transfer->writes[i])
        *now = transfer->made[i];
}

static void look_at_sum(qr_sim_groups *world)
{
    int64_t sum = 0;
    for (size_t i = 0; i < version_size(world); i++)
        sum += version(world, world->version_count)[i].amount;
    if (sum != (int64_t)version_size(world) * QR_SIM_OPENING)
        qr_sim_groups_fail(world, "sums-are-conserved", "%" PRId64 " after %" PRIu64 " decisions", sum,
                           world->version_count);
}

static void on_record(qr_sim_groups *world, qr_sim_transfer *transfer, const qr_kv_event *event)
{
    qr_group_record *record = qr_arena_zero(&world->arena, 1, sizeof *record);
    if (!qr_group_record_decode(event->kv.value, &world->arena, record)) {
        qr_sim_groups_fail(world, "record-is-what-was-asked", "op-%" PRIu64, transfer->number);
        return;
    }
    if (transfer->decided)
        qr_sim_groups_fail(world, "decided-once", "op-%" PRIu64 " is committed again", transfer->number);
    if (transfer->told == QR_GROUP_ABORTED)
        qr_sim_groups_fail(world, "aborted-is-aborted",
                           "op-%" PRIu64 " is committed, and its client was told that it is not",
                           transfer->number);
    transfer->decided = true;
    world->records++;
    new_version(world);
    for (size_t i = 0; i < transfer->count; i++)
        decide_account(world, transfer, i, record);
    look_at_sum(world);
    qr_sim_groups_tell(world, "op-%" PRIu64 " is decided: committed", transfer->number);
    qr_sim_groups_moment(world, transfer);
}

static void on_forgotten(qr_sim_groups *world, qr_sim_transfer *transfer)
{
    world->records--;
    transfer->forgotten = true;
    if (transfer->settled != transfer->count)
        qr_sim_groups_fail(world, "forgotten-when-applied",
                           "the record of op-%" PRIu64 " goes, and %zu of %zu accounts have it",
                           transfer->number, transfer->settled, transfer->count);
}

/* ------------------------------------------------------------------ events ---- */

/* The events of one revision of a group: one command. */
typedef struct batch {
    qr_sim_groups *world;
    uint32_t group;
    uint64_t revision;
    qr_kv_event events[BATCH_MAX];
    size_t count;
} batch;

static const qr_kv_event *put_of(const batch *b, uint32_t account)
{
    for (size_t i = 0; i < b->count; i++)
        if (!b->events[i].deleted && account_of(b->events[i].kv.key) == account)
            return &b->events[i];
    return NULL;
}

static size_t index_of(const qr_sim_transfer *transfer, qr_sim_account account)
{
    size_t i = 0;
    while (i < transfer->count &&
           (transfer->accounts[i].group != account.group || transfer->accounts[i].number != account.number))
        i++;
    return i;
}

static void on_locked(const batch *b, uint32_t account, const qr_kv_event *event)
{
    qr_sim_groups *world = b->world;
    qr_sim_ledger *ledger = &world->ledgers[b->group];
    qr_group_lock lock;
    qr_sim_transfer *transfer =
        qr_group_lock_decode(event->kv.value, &lock) ? transfer_of(world, lock.id) : NULL;
    if (transfer == NULL || index_of(transfer, (qr_sim_account){b->group, account}) == transfer->count)
        qr_sim_groups_fail(world, "locks-are-asked-for", "account %u of group %u", account, b->group + 1);
    if (ledger->accounts[account].holder != 0)
        qr_sim_groups_fail(world, "one-holder-a-lock",
                           "account %u of group %u is taken from op-%" PRIu64 " by %.*s", account,
                           b->group + 1, ledger->accounts[account].holder, (int)lock.id.size,
                           (const char *)lock.id.data);
    ledger->accounts[account].holder = transfer != NULL ? transfer->number : 0;
    ledger->accounts[account].revision = b->revision;
    if (transfer == NULL)
        return;
    qr_sim_groups_tell(world, "group %u: op-%" PRIu64 " locks account %u at revision %" PRIu64, b->group + 1,
                       transfer->number, account, b->revision);
    qr_sim_groups_moment(world, transfer);
}

/* Its value comes with it, if that is how it was decided, or not. */
static void on_unlocked(const batch *b, uint32_t account)
{
    qr_sim_groups *world = b->world;
    qr_sim_ledger *ledger = &world->ledgers[b->group];
    uint64_t holder = ledger->accounts[account].holder, taken = ledger->accounts[account].revision;
    const qr_kv_event *put = put_of(b, account);
    ledger->accounts[account].holder = 0;
    if (holder == 0)
        return;
    qr_sim_transfer *transfer = world->transfers[holder - 1];
    size_t i = index_of(transfer, (qr_sim_account){b->group, account});
    bool decided = transfer->decided && transfer->lock_revision[i] == taken;
    if (decided && transfer->writes[i] != (put != NULL))
        qr_sim_groups_fail(world, "no-split-decision",
                           "op-%" PRIu64 " is committed, and aborted in account %u of group %u",
                           transfer->number, account, b->group + 1);
    transfer->settled += decided;
    qr_sim_groups_tell(world, "group %u: op-%" PRIu64 " leaves account %u%s", b->group + 1, transfer->number,
                       account, put != NULL ? " with its value" : "");
    qr_sim_groups_moment(world, transfer);
}

static void on_value(const batch *b, uint32_t account, const qr_kv_event *event, uint64_t holder,
                     uint64_t taken)
{
    qr_sim_groups *world = b->world;
    qr_sim_balance value = qr_sim_balance_read(event->kv.value);
    const qr_sim_transfer *transfer = holder ? world->transfers[holder - 1] : NULL;
    size_t i = holder ? index_of(transfer, (qr_sim_account){b->group, account}) : 0;
    if (transfer == NULL || !transfer->decided || transfer->lock_revision[i] != taken ||
        !is_equal(value, transfer->made[i]))
        qr_sim_groups_fail(world, "only-the-committed-is-written",
                           "op-%" PRIu64 " writes account %u of group %u, whose lock op-%" PRIu64 " has",
                           value.op, account, b->group + 1, holder);
    world->ledgers[b->group].accounts[account].value = value;
}

static void judge(batch *b)
{
    qr_sim_groups *world = b->world;
    qr_sim_ledger *ledger = &world->ledgers[b->group];
    qr_slice key, id;
    for (size_t i = 0; i < b->count; i++) { /* before the locks go */
        uint32_t account = account_of(b->events[i].kv.key);
        if (account < QR_SIM_ACCOUNTS)
            on_value(b, account, &b->events[i], ledger->accounts[account].holder,
                     ledger->accounts[account].revision);
    }
    for (size_t i = 0; i < b->count; i++) {
        const qr_kv_event *event = &b->events[i];
        qr_sim_transfer *transfer = NULL;
        if (qr_group_is_lock(event->kv.key, &key)) {
            uint32_t account = account_of(key);
            if (event->deleted)
                on_unlocked(b, account);
            else
                on_locked(b, account, event);
        } else if (qr_group_is_record(event->kv.key, &id) && (transfer = transfer_of(world, id)) != NULL) {
            if (event->deleted)
                on_forgotten(world, transfer);
            else
                on_record(world, transfer, event);
        }
    }
    b->count = 0;
    qr_arena_reset(&world->arena);
}

static void on_event(void *context, const qr_kv_event *event)
{
    batch *b = context;
    qr_sim_groups *world = b->world;
    if (b->count > 0 && event->kv.mod_revision != b->revision)
        judge(b);
    b->revision = event->kv.mod_revision;
    if (b->count == BATCH_MAX) {
        qr_sim_groups_fail(world, "record-is-what-was-asked", "a command with too many changes");
        return;
    }
    b->events[b->count] = *event;
    b->events[b->count].kv.key = qr_arena_copy(&world->arena, event->kv.key);
    b->events[b->count++].kv.value = qr_arena_copy(&world->arena, event->kv.value);
}

void qr_sim_ledger_look(qr_sim_replica *replica)
{
    qr_sim_groups *world = replica->host->world;
    qr_sim_ledger *ledger = &world->ledgers[replica->group];
    const qr_machine *machine = qr_node_machine(replica->node);
    if (machine->ops->revision(machine) <= ledger->known)
        return;
    batch b = {.world = world, .group = replica->group};
    qr_events_query query = {.span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_KEYS},
                             .from = ledger->known + 1,
                             .bytes_max = SIZE_MAX,
                             .look_max = SIZE_MAX,
                             .tell = on_event,
                             .context = &b};
    qr_events_result result;
    qr_status status = qr_node_look_events(replica->node, &query, &result);
    if (status != QR_OK)
        return; /* not back yet where it was */
    if (b.count > 0)
        judge(&b);
    ledger->known = result.next - 1;
}

/* ----------------------------------------------------------------- answers ---- */

qr_sim_transfer *qr_sim_transfer_new(qr_sim_groups *world)
{
    if (world->transfer_count == world->transfer_room) {
        world->transfer_room = world->transfer_room ? world->transfer_room * 2 : 256;
        world->transfers = qr_realloc(world->transfers, world->transfer_room * sizeof *world->transfers);
    }
    qr_sim_transfer *transfer = qr_alloc_zero(1, sizeof *transfer);
    transfer->number = world->transfer_count + 1;
    transfer->begun_version = world->version_count;
    return world->transfers[world->transfer_count++] = transfer;
}

static bool fits(const qr_sim_groups *world, const qr_sim_transfer *transfer, uint64_t number)
{
    for (size_t i = 0; i < transfer->count; i++)
        if (!is_equal(*balance_in(world, number, transfer->accounts[i]), transfer->found[i]))
            return false;
    return true;
}

/* All that was read stood there together at some moment since it was asked for. */
static void judge_read(qr_sim_groups *world, const qr_sim_transfer *transfer)
{
    world->report->reads_checked++;
    for (uint64_t number = transfer->begun_version; number <= world->version_count; number++)
        if (fits(world, transfer, number))
            return;
    qr_sim_groups_fail(world, "reads-are-of-one-moment",
                       "op-%" PRIu64 " has read what never stood together after decisions %" PRIu64
                       " to %" PRIu64,
                       transfer->number, transfer->begun_version, world->version_count);
}

void qr_sim_transfer_told(qr_sim_groups *world, qr_sim_transfer *transfer, qr_group_state state)
{
    static const char *const words[] = {"", "", "committed", "aborted", "unknown"};
    transfer->told = state;
    qr_sim_groups_mix(world, transfer->number ^ (uint64_t)state << 56);
    bool has_read = transfer->reads && state == QR_GROUP_COMMITTED;
    qr_sim_groups_tell(world, "op-%" PRIu64 " is told: %s", transfer->number,
                       has_read ? "what it has read" : words[state]);
    if (transfer->reads) {
        if (has_read)
            judge_read(world, transfer);
        return;
    }
    world->report->writes_acked += state == QR_GROUP_COMMITTED;
    world->report->writes_unknown += state == QR_GROUP_UNKNOWN;
    world->report->aborted += state == QR_GROUP_ABORTED;
    if (state == QR_GROUP_COMMITTED && !transfer->decided)
        qr_sim_groups_fail(world, "committed-is-committed",
                           "op-%" PRIu64 " is not decided, and its client was told that it is committed",
                           transfer->number);
    if (state == QR_GROUP_ABORTED && transfer->decided)
        qr_sim_groups_fail(world, "aborted-is-aborted",
                           "op-%" PRIu64 " is committed, and its client is told that it is not",
                           transfer->number);
}

/* --------------------------------------------------------------------- end ---- */

const char *qr_sim_ledgers_left(const qr_sim_groups *world, char *text, size_t size)
{
    for (uint32_t g = 0; g < world->plan.groups; g++)
        for (uint32_t a = 0; a < QR_SIM_ACCOUNTS; a++)
            if (world->ledgers[g].accounts[a].holder != 0) {
                snprintf(text, size, "op-%" PRIu64 " holds account %u of group %u",
                         world->ledgers[g].accounts[a].holder, a, g + 1);
                return text;
            }
    if (world->records == 0)
        return NULL;
    snprintf(text, size, "%" PRIu64 " records stand", world->records);
    return text;
}

void qr_sim_ledgers_final(qr_sim_groups *world)
{
    for (uint64_t i = 0; i < world->transfer_count; i++) {
        const qr_sim_transfer *transfer = world->transfers[i];
        if (transfer->decided && (!transfer->forgotten || transfer->settled != transfer->count))
            qr_sim_groups_fail(world, "committed-is-applied",
                               "op-%" PRIu64 " has reached %zu of %zu accounts", transfer->number,
                               transfer->settled, transfer->count);
    }
    for (uint32_t g = 0; g < world->plan.groups; g++)
        for (uint32_t a = 0; a < QR_SIM_ACCOUNTS; a++)
            if (!is_equal(world->ledgers[g].accounts[a].value,
                          *balance_in(world, world->version_count, (qr_sim_account){g, a})))
                qr_sim_groups_fail(world, "committed-is-applied", "account %u of group %u holds %" PRId64, a,
                                   g + 1, world->ledgers[g].accounts[a].value.amount);
}

void qr_sim_ledgers_init(qr_sim_groups *world)
{
    world->ledgers = qr_alloc_zero(world->plan.groups, sizeof *world->ledgers);
    world->version_room = 256;
    world->versions = qr_alloc_zero(world->version_room * version_size(world), sizeof *world->versions);
    for (size_t i = 0; i < version_size(world); i++)
        world->versions[i].amount = QR_SIM_OPENING;
    for (uint32_t g = 0; g < world->plan.groups; g++)
        for (uint32_t a = 0; a < QR_SIM_ACCOUNTS; a++)
            world->ledgers[g].accounts[a].value.amount = QR_SIM_OPENING;
    qr_arena_init(&world->arena);
}

void qr_sim_ledgers_free(qr_sim_groups *world)
{
    for (uint64_t i = 0; i < world->transfer_count; i++)
        qr_free(world->transfers[i]);
    qr_free(world->transfers);
    qr_free(world->ledgers);
    qr_free(world->versions);
    qr_arena_free(&world->arena);
}
