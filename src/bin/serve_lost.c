/* A member that nobody leads may have been away while others came: it refuses them as unknown, and if one of
 * them leads it would hear nothing. So it asks those that it knows who belongs to the cluster, as a joiner
 * does, one after the other, and lets in whom they name. They decide nothing here: who is a member comes from
 * the log, once it has come through these connections. */
#include <inttypes.h>
#include <stdio.h>

#include "bin/join.h"
#include "bin/serve_group.h"

enum {
    LOOK_MS = 1000,
    PATIENCE_LOOKS = 3, /* without a leader: an election takes less */
    ASK_MS = 100,       /* the loop stands still meanwhile; nobody leads, so little is missed */
};

/* A peer URL of another member; each time the next one. NULL: there is none. */
static const char *next_url(qr_group *group)
{
    for (size_t tried = 0; tried < group->roster.count; tried++) {
        const qr_etcd_member *member = &group->roster.list[group->next_asked++ % group->roster.count];
        if (member->id != group->roster.self && member->peer_url_count > 0)
            return member->peer_urls[0];
    }
    return NULL;
}

static void forget(qr_group *group)
{
    qr_roster_free(&group->named);
    qr_roster_init(&group->named);
    group->links_due = true;
}

static void ask(qr_group *group)
{
    qr_arena arena;
    qr_arena_init(&arena);
    qr_roster *found = qr_alloc(sizeof *found);
    qr_roster_init(found);
    const char *url = next_url(group), *sentence;
    if (url != NULL && qr_join_ask(url, ASK_MS, found, &arena, &sentence) == QR_OK &&
        found->cluster == group->roster.cluster) {
        forget(group);
        for (size_t i = 0; i < found->count; i++) {
            if (qr_roster_find(&group->roster, found->list[i].id) != NULL)
                continue;
            char id[24];
            snprintf(id, sizeof id, "%" PRIx64, found->list[i].id);
            qr_log(group->os, QR_LOG_INFO, "learned of a member that came while this one was away", "member",
                   id, "from", url, NULL);
            qr_roster_add(&group->named, &found->list[i]);
        }
    }
    qr_roster_free(found);
    qr_free(found);
    qr_arena_free(&arena);
}

void qr_group_look_for_others(qr_group *group, uint64_t now_ms)
{
    if (now_ms < group->look_ms || !group->peers_started)
        return;
    group->look_ms = now_ms + LOOK_MS;
    qr_node_status status;
    qr_node_status_of(group->node, &status);
    uint64_t leader = status.engine.leader;
    if (leader == 0) {
        if (++group->leaderless_looks >= PATIENCE_LOOKS)
            ask(group);
        return;
    }
    group->leaderless_looks = 0;
    if (group->named.count > 0 && qr_members_find(&status.engine.members, leader) != NULL)
        forget(group); /* the log has come as far as the leader's own coming */
}
