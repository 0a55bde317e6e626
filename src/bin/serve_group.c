#include "bin/serve_group.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/join.h"

enum {
    LIST_MS = 1000, /* between two looks at the catalogue */
    GONE_MAX = QR_ETCD_LISTED_MAX,
};

static const char file_name[] = "members", file_name_new[] = "members.new";

/* ---- the file ---- */

static void set_name(char *into, const char *name)
{
    snprintf(into, QR_DISK_NAME_MAX, "%s", name);
}

/* Step by step, so that a crash leaves the old file or the new one: remove what a crash left over, make,
 * write and sync, rename, sync the folder. False: there is no such step. */
static bool prepare(qr_group_keeper *keeper, int step)
{
    static const qr_disk_kind kinds[] = {QR_DISK_REMOVE, QR_DISK_CREATE, QR_DISK_WRITE_SYNC, QR_DISK_RENAME,
                                         QR_DISK_SYNC_FOLDER};
    if (step > (int)(sizeof kinds / sizeof *kinds))
        return false;
    keeper->op = (qr_disk_op){.kind = kinds[step - 1], .lane = QR_LANE_BACKGROUND};
    if (keeper->op.kind != QR_DISK_SYNC_FOLDER)
        set_name(keeper->op.name, file_name_new);
    if (keeper->op.kind == QR_DISK_RENAME)
        set_name(keeper->op.name_to, file_name);
    if (keeper->op.kind == QR_DISK_WRITE_SYNC)
        keeper->op.bytes = qr_buffer_slice(&keeper->bytes);
    return true;
}

static bool went_well(const qr_disk_op *op)
{
    return op->status == QR_OK || (op->kind == QR_DISK_REMOVE && op->status == QR_E_NOT_FOUND);
}

static void encode(qr_group *group)
{
    qr_buffer_clear(&group->keeper.bytes);
    qr_roster_encode(&group->roster, &group->keeper.bytes);
}

static qr_status keep_at_once(qr_group *group)
{
    qr_group_keeper *keeper = &group->keeper;
    encode(group);
    for (int step = 1; prepare(keeper, step); step++) {
        group->disk->run(group->disk->self, &keeper->op);
        if (!went_well(&keeper->op))
            return keeper->op.status;
    }
    return QR_OK;
}

static void keep(qr_group *group);

static void on_kept(qr_disk_op *op)
{
    qr_group *group = op->owner;
    qr_group_keeper *keeper = &group->keeper;
    if (!went_well(op)) {
        qr_log(group->os, QR_LOG_WARN, "the list of members in the data folder cannot be written", "error",
               qr_status_sentence(op->status), NULL);
    } else if (prepare(keeper, ++keeper->step)) {
        keeper->op.done = on_kept;
        keeper->op.owner = group;
        group->disk->submit(group->disk->self, &keeper->op);
        return;
    }
    keeper->step = 0;
    if (keeper->again)
        keep(group);
    else if (group->roster.removed)
        group->ended(group->context);
}

static void keep(qr_group *group)
{
    qr_group_keeper *keeper = &group->keeper;
    keeper->again = keeper->step != 0;
    if (keeper->again)
        return;
    encode(group);
    keeper->step = 1;
    prepare(keeper, keeper->step);
    keeper->op.done = on_kept;
    keeper->op.owner = group;
    group->disk->submit(group->disk->self, &keeper->op);
}

static qr_status read_file(qr_group *group, qr_arena *arena, const char **sentence)
{
    uint8_t *bytes = qr_alloc(QR_ROSTER_SIZE_MAX + 1);
    qr_disk_op op = {.kind = QR_DISK_READ, .target = bytes, .size = QR_ROSTER_SIZE_MAX + 1};
    set_name(op.name, file_name);
    group->disk->run(group->disk->self, &op);
    qr_status status = op.status;
    if (status == QR_OK)
        status = qr_roster_decode(qr_slice_of(bytes, (size_t)op.got), &group->roster);
    qr_free(bytes);
    if (status != QR_OK && status != QR_E_NOT_FOUND)
        *sentence = qr_arena_format(arena, "the file %s, which says which member the folder belongs to: %s",
                                    file_name, qr_status_sentence(status));
    return status;
}

/* ---- who we are ---- */

static void from_flags(qr_group *group)
{
    const qr_serve_config *config = group->config;
    group->roster.cluster = config->cluster;
    group->roster.self = config->self;
    for (size_t i = 0; i < config->member_count; i++)
        qr_roster_add(&group->roster, &config->members[i]);
}

static uint64_t clock_ms(void *context)
{
    return (uint64_t)qr_os_wall_ms();
}

static qr_status from_cluster(qr_group *group, qr_arena *arena, const char **sentence)
{
    const qr_serve_config *config = group->config;
    const char *urls[QR_MEMBERS_MAX * QR_ETCD_URLS_MAX], *self[QR_ETCD_URLS_MAX];
    size_t count = 0, self_count = config->advertise_peer.count;
    for (size_t i = 0; i < self_count; i++)
        self[i] = config->advertise_peer.list[i].text;
    for (size_t i = 0; i < config->member_count; i++)
        for (size_t j = 0; config->members[i].id != config->self && j < config->members[i].peer_url_count;
             j++)
            urls[count++] = config->members[i].peer_urls[j];
    return qr_join_find(urls, count, self, self_count, clock_ms, NULL, &group->roster, arena, sentence);
}

/* A joiner is a learner in its own eyes, among voters, until its log says more. Alone it is a learner beside
 * nobody: whatever has become of its log, it never makes a cluster of its own. */
static void see_as_joiner(qr_group *group)
{
    qr_serve_config *config = group->config;
    config->group = (qr_members){0};
    qr_members_add(&config->group, (qr_member){.id = config->self, .role = QR_ROLE_LEARNER});
    for (size_t i = 0; i < group->roster.count && config->group.count < QR_MEMBERS_MAX; i++)
        qr_members_add(&config->group, (qr_member){.id = group->roster.list[i].id, .role = QR_ROLE_VOTER});
    if (config->group.count == 1)
        qr_members_add(&config->group, (qr_member){.id = config->self ^ 1, .role = QR_ROLE_VOTER});
}

/* Flags with which somebody has mistaken the folder. The members that they list may have changed since the
 * folder was made, but hardly all of them at once; another token makes other ids of all. */
static const char *mistaken(const qr_group *group, qr_arena *arena)
{
    const qr_serve_config *config = group->config;
    const qr_etcd_member *self = qr_roster_find(&group->roster, group->roster.self);
    if (self != NULL && self->name[0] != 0 && strcmp(self->name, config->name) != 0)
        return qr_arena_format(arena, "the data folder %s belongs to member %s, and --name is %s",
                               config->data_dir, self->name, config->name);
    bool common = group->roster.joined || config->existing;
    for (size_t i = 0; i < config->member_count && !common; i++)
        common = qr_roster_find(&group->roster, config->members[i].id) != NULL;
    return common
               ? NULL
               : qr_arena_format(arena,
                                 "the data folder %s belongs to another cluster: --initial-cluster and "
                                 "--initial-cluster-token name none of its members. If all have moved since, "
                                 "--initial-cluster-state existing takes them from the folder",
                                 config->data_dir);
}

static void adopt(qr_group *group)
{
    qr_serve_config *config = group->config;
    config->cluster = group->roster.cluster;
    config->self = group->roster.self;
    if (group->roster.joined || qr_members_find(&config->group, config->self) == NULL)
        see_as_joiner(group);
}

qr_status qr_group_open(qr_group *group, qr_os *os, qr_disk *disk, qr_serve_config *config, size_t files,
                        qr_arena *arena, const char **sentence)
{
    group->os = os;
    group->disk = disk;
    group->config = config;
    qr_roster_init(&group->roster);
    qr_roster_init(&group->catalogue);
    qr_roster_init(&group->named);
    qr_status status = read_file(group, arena, sentence);
    if (status == QR_OK && group->roster.removed) {
        *sentence =
            qr_arena_format(arena,
                            "member %" PRIx64 ", whose data is in %s, was removed from cluster %" PRIx64
                            "; a new member needs another folder, or this one emptied, and 'member add'",
                            group->roster.self, config->data_dir, group->roster.cluster);
        return QR_E_FOREIGN;
    }
    if (status == QR_OK && (*sentence = mistaken(group, arena)) != NULL)
        return QR_E_FOREIGN;
    if (status == QR_E_NOT_FOUND) {
        status = QR_OK;
        if (config->existing && files == 0)
            status = from_cluster(group, arena, sentence);
        else
            from_flags(group);
        if (status == QR_OK && (status = keep_at_once(group)) != QR_OK)
            *sentence = qr_arena_format(arena, "the file %s cannot be written: %s", file_name,
                                        qr_status_sentence(status));
    }
    if (status == QR_OK)
        adopt(group);
    return status;
}

void qr_group_close(qr_group *group)
{
    if (group->config == NULL)
        return;
    qr_roster_free(&group->roster);
    qr_roster_free(&group->catalogue);
    qr_roster_free(&group->named);
    qr_buffer_free(&group->keeper.bytes);
    qr_free(group->gone);
}

/* ---- where the others are ---- */

size_t qr_group_peers(const qr_group *group, qr_os_peer *peers, qr_arena *arena)
{
    size_t count = 0;
    for (size_t i = 0; i < group->roster.count; i++) {
        const qr_etcd_member *member = &group->roster.list[i];
        qr_os_peer *peer = &peers[count];
        const char *sentence;
        if (member->id == group->roster.self || member->peer_url_count == 0)
            continue;
        if (qr_os_parse_url(member->peer_urls[0], arena, &peer->host, &peer->port, &sentence) != QR_OK) {
            qr_log(group->os, QR_LOG_WARN, "a member's peer URL is of no use here", "name", member->name,
                   "error", sentence, NULL);
            continue;
        }
        peer->id = member->id;
        count++;
    }
    return count;
}

const char *qr_group_name(const qr_group *group, uint64_t id)
{
    const qr_etcd_member *member = qr_roster_find(&group->roster, id);
    return member && member->name[0] ? member->name : "?";
}

/* One member more, with what is known best of it. */
static void add_known(const qr_group *group, uint64_t id, qr_roster *roster)
{
    const qr_serve_config *config = group->config;
    if (qr_roster_find(roster, id) != NULL)
        return;
    qr_etcd_member known = {.id = id, .name = ""};
    const qr_etcd_member *sources[3] = {qr_roster_find(&group->catalogue, id),
                                        qr_roster_find(&group->roster, id), NULL};
    for (size_t i = 0; i < config->member_count; i++)
        if (config->members[i].id == id)
            sources[2] = &config->members[i];
    for (size_t i = 0; i < 3; i++) {
        if (sources[i] == NULL)
            continue;
        if (known.name[0] == 0)
            known.name = sources[i]->name;
        if (known.peer_url_count > 0)
            continue;
        known.peer_url_count = sources[i]->peer_url_count;
        memcpy(known.peer_urls, sources[i]->peer_urls, sizeof known.peer_urls);
    }
    qr_roster_add(roster, &known);
}

/* Everyone in the configuration in force and in the one that was applied: whoever is being removed is a peer
 * until that is certain. While a member still applies its log it goes through configurations of the past, in
 * which those who send it that log may be missing: until it is through, nobody leaves. A long past has more
 * members than there is room for, so who leads and who has called comes before them. */
static void gather(const qr_group *group, qr_roster *roster)
{
    qr_node_status status;
    qr_node_status_of(group->node, &status);
    const qr_members *members = &status.engine.members, *applied = qr_node_members_applied(group->node);
    roster->cluster = group->roster.cluster;
    roster->self = group->roster.self;
    roster->joined = group->roster.joined;
    roster->removed = group->roster.removed;
    for (uint32_t i = 0; i < members->count; i++)
        add_known(group, members->list[i].id, roster);
    for (uint32_t i = 0; applied != NULL && i < applied->count; i++)
        add_known(group, applied->list[i].id, roster);
    if (status.engine.leader)
        add_known(group, status.engine.leader, roster);
    for (size_t i = 0; i < group->named.count; i++)
        if (qr_roster_find(roster, group->named.list[i].id) == NULL)
            qr_roster_add(roster, &group->named.list[i]);
    for (size_t i = 0; applied == NULL && i < group->roster.count; i++)
        add_known(group, group->roster.list[i].id, roster);
}

static void update_links(qr_group *group)
{
    qr_roster *fresh = qr_alloc(sizeof *fresh);
    qr_roster_init(fresh);
    gather(group, fresh);
    if (qr_roster_equal(fresh, &group->roster)) {
        qr_roster_free(fresh);
        qr_free(fresh);
        return;
    }
    qr_roster_free(&group->roster);
    group->roster = *fresh;
    qr_free(fresh);
    qr_arena arena;
    qr_arena_init(&arena);
    qr_os_peer peers[QR_ROSTER_MAX];
    size_t count = qr_group_peers(group, peers, &arena);
    qr_os_peers_update(group->os, peers, count);
    qr_arena_free(&arena);
    keep(group);
}

/* ---- what others tell ---- */

void qr_group_reconfigured(qr_group *group, bool removed)
{
    group->links_due = group->list_due = true;
    if (removed)
        qr_group_removed(group, "its removal was committed");
}

void qr_group_listed(qr_group *group, const qr_etcd_member *list, size_t count)
{
    qr_node_status status;
    qr_node_status_of(group->node, &status);
    const qr_members *members = &status.engine.members, *applied = qr_node_members_applied(group->node);
    qr_roster_free(&group->catalogue);
    qr_roster_init(&group->catalogue);
    group->gone = qr_realloc(group->gone, (count + 1) * sizeof *group->gone);
    group->gone_count = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t id = list[i].id;
        bool belongs = qr_members_find(members, id) || (applied && qr_members_find(applied, id));
        if (belongs)
            qr_roster_add(&group->catalogue, &list[i]);
        else if (applied != NULL && list[i].name[0] != 0) /* it started once, so it was a member once */
            group->gone[group->gone_count++] = id;
    }
    group->links_due = true;
}

void qr_group_removed(qr_group *group, const char *sentence)
{
    if (group->roster.removed)
        return;
    char id[24];
    snprintf(id, sizeof id, "%" PRIx64, group->roster.self);
    qr_log(group->os, QR_LOG_ERROR,
           "this member was removed from the cluster; it ends, and so does the use of its data folder",
           "local-member-id", id, "sentence", sentence, NULL);
    group->roster.removed = true;
    keep(group);
}

bool qr_group_was_removed(const qr_group *group, uint64_t id)
{
    for (size_t i = 0; i < group->gone_count; i++)
        if (group->gone[i] == id)
            return true;
    return false;
}

void qr_group_who(const qr_group *group, qr_buffer *out)
{
    if (group->node == NULL || qr_node_members_applied(group->node) == NULL || group->roster.removed)
        return;
    qr_roster *roster = qr_alloc(sizeof *roster);
    qr_roster_init(roster);
    gather(group, roster);
    roster->joined = false;
    qr_roster_encode(roster, out);
    qr_roster_free(roster);
    qr_free(roster);
}

void qr_group_turn(qr_group *group, uint64_t now_ms)
{
    if (now_ms >= group->list_ms)
        group->list_due = true;
    if (group->list_due) {
        group->list_due = false;
        group->list_ms = now_ms + LIST_MS;
        qr_etcd_door_list(group->door);
    }
    qr_group_look_for_others(group, now_ms);
    if (group->links_due && group->peers_started) {
        group->links_due = false;
        update_links(group);
    }
}
