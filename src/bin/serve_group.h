/* The group that a member belongs to, as the program sees it: which id is ours, where the others are, and
 * what becomes of that while members change.
 *
 * Addresses come from the catalogue where it has them, else from the roster in the data folder, else from the
 * flags; who is a member comes from the log alone. */
#ifndef QR_BIN_SERVE_GROUP_H
#define QR_BIN_SERVE_GROUP_H

#include "bin/roster.h"
#include "bin/serve.h"

typedef struct qr_group_keeper {
    qr_disk_op op; /* the step under way */
    int step;      /* of keeping the roster in the folder; 0 = none */
    bool again;    /* it has changed meanwhile */
    qr_buffer bytes;
} qr_group_keeper;

typedef struct qr_group {
    qr_os *os;
    qr_disk *disk;
    qr_serve_config *config;
    qr_node *node;       /* NULL before it is open */
    qr_etcd_door *door;  /* the same */
    qr_roster roster;    /* as it stands, or will stand, in the folder */
    qr_roster catalogue; /* as last listed, without those who are gone */
    uint64_t *gone;      /* ids that have started once and are in no configuration any more, as last listed */
    size_t gone_count;
    qr_group_keeper keeper;
    qr_roster named; /* members that are in no configuration here yet, by the word of others (serve_lost.c) */
    uint64_t look_ms;
    uint32_t leaderless_looks;
    size_t next_asked;
    bool links_due, list_due, peers_started;
    uint64_t list_ms;             /* next look at the catalogue */
    void (*ended)(void *context); /* this member was removed, and its folder says so */
    void *context;
} qr_group;

/* Finds out who we are: from the folder, from a running cluster, or from the flags, and sets config's
 * cluster, self and group. files: how many there are in the folder. On failure *sentence names the cause. */
qr_status qr_group_open(qr_group *group, qr_os *os, qr_disk *disk, qr_serve_config *config, size_t files,
                        qr_arena *arena, const char **sentence);
void qr_group_close(qr_group *group);

/* The others and their addresses, for qr_os_peers_start: at most QR_ROSTER_MAX. Borrows from the arena. */
size_t qr_group_peers(const qr_group *group, qr_os_peer *peers, qr_arena *arena);
const char *qr_group_name(const qr_group *group, uint64_t id); /* "?" */

/* What node, door and peers tell. */
void qr_group_reconfigured(qr_group *group, bool removed);
void qr_group_listed(qr_group *group, const qr_etcd_member *list, size_t count);
void qr_group_removed(qr_group *group, const char *sentence);
bool qr_group_was_removed(const qr_group *group, uint64_t id);
void qr_group_who(const qr_group *group, qr_buffer *out);
/* serve_lost.c: part of a turn. */
void qr_group_look_for_others(qr_group *group, uint64_t now_ms);
/* After each turn of the node. */
void qr_group_turn(qr_group *group, uint64_t now_ms);

#endif
