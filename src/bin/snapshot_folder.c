/* A stopped member's folder in place of a backup file: for when a quorum is lost for good. */
#include <string.h>

#include "bin/bin.h"
#include "bin/snapshot_file.h"
#include "node/node.h"
#include "os/os.h"
#include "raft/raft.h"
#include "tree/tree.h"
#include "wal/wal.h"

typedef struct owner { /* of the log: whose folder it is */
    bool known;
    uint64_t cluster, group, member, incarnation;
} owner;

static void visit(void *context, const qr_wal_report *report)
{
    owner *whose = context;
    if (!report->has_head || whose->known)
        return;
    *whose = (owner){.known = true,
                     .cluster = report->cluster,
                     .group = report->group,
                     .member = report->member,
                     .incarnation = report->incarnation};
}

static qr_machine *new_tree(void *context)
{
    return qr_tree_open(&(qr_tree_config){0});
}

static const char *salvage(const qr_disk *disk, qr_arena *arena, qr_snapshot_file *loaded)
{
    owner whose = {0};
    const char *sentence = NULL;
    qr_status status = qr_wal_inspect(disk, visit, &whose, arena, &sentence);
    if (!whose.known)
        return sentence ? sentence : qr_status_sentence(status);
    qr_node_config config = {
        .cluster = whose.cluster,
        .group = whose.group,
        .self = whose.member,
        .incarnation = whose.incarnation,
        .heartbeat_ms = 100,
        .election_ms = 1000,
        .now_ms = 1,
        .wall_ms = qr_os_wall_ms(),
        .engine = &qr_raft,
        .machine = new_tree(NULL),
        .apply_knows = qr_bin_apply_knows,
        .new_machine = new_tree,
        .disk = *disk,
    };
    qr_members_add(&config.members, (qr_member){.id = whose.member, .role = QR_ROLE_VOTER});
    qr_node_salvaged found;
    status = qr_node_salvage(&config, arena, &found, &sentence);
    if (status != QR_OK)
        return sentence ? sentence : qr_status_sentence(status);
    loaded->machine = found.machine;
    loaded->entries = found.entries;
    loaded->about = (qr_checkpoint_about){.cluster = whose.cluster,
                                          .group = whose.group,
                                          .member = whose.member,
                                          .incarnation = whose.incarnation,
                                          .index = found.index,
                                          .term = found.term,
                                          .apply_version = found.level,
                                          .revision = found.machine->ops->revision(found.machine),
                                          .wall_ms = config.wall_ms};
    return NULL;
}

const char *qr_snapshot_folder_load(const char *path, qr_arena *arena, qr_snapshot_file *loaded)
{
    const qr_os_handlers handlers = {0};
    const char *sentence = NULL;
    qr_disk disk;
    *loaded = (qr_snapshot_file){0};
    qr_os *os = qr_os_new(&handlers, NULL);
    if (qr_os_disk_open(os, path, &disk, arena, &sentence) == QR_OK)
        sentence = salvage(&disk, arena, loaded);
    qr_os_free(os);
    return sentence ? qr_arena_format(arena, "%s: %s", path, sentence) : NULL;
}
