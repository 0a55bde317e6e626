/* A small world for an engine alone, raft unless another is put in its place: disks that keep what was
 * synced, a network with delays and cuts, and the five safety properties of Raft's paper (figure 3) looked at
 * all the time (log matching only of what is committed, where an engine does not promise more). Pure and
 * deterministic: one seed, one run. */
#ifndef QR_TEST_RAFT_WORLD_H
#define QR_TEST_RAFT_WORLD_H

#include <stdio.h>

#include "core/bugs.h"
#include "core/engine.h"
#include "raft/message.h"
#include "raft/raft.h"

enum { WORLD_KINDS_MAX = 16 }; /* of messages */
enum { WORLD_MEMBERS_MAX = 12, WORLD_INDEX_MAX = 1 << 16, WORLD_READS_MAX = 1 << 15 };

/* Tests that are built for another engine as well say so with -DWORLD_ENGINE. */
#ifdef WORLD_ENGINE
extern const qr_engine_ops WORLD_ENGINE;
#else
#define WORLD_ENGINE qr_raft
#define WORLD_RAFT
#endif

typedef struct world_record {
    qr_buffer bytes;
    bool begins_segment; /* brief stands before it */
    qr_buffer brief;
    uint64_t ticket, index_first, index_last, due_ms;
} world_record;

typedef struct world_held {
    uint64_t after, to;
    qr_buffer bytes;
} world_held;

typedef struct world_member {
    uint64_t id;
    qr_engine *engine; /* NULL while crashed */
    qr_effects effects;
    qr_trace trace;
    FILE *story;
    bool untold;                /* an event came since the last TICK */
    uint64_t life, incarnation; /* the disk's */
    bool joins;           /* on a fresh disk it lists itself as a learner; else it is as in config.members */
    qr_members flags;     /* joins: what it was started with */
    uint32_t election_ms; /* patience of this one; 0 = as configured */
    /* disk */
    world_record *records;
    size_t record_count, record_room, durable_count;
    uint64_t durable_ticket;
    bool segment_wanted;
    uint64_t disk_ms; /* how long a record takes */
    world_held *held;
    size_t held_count, held_room;
    uint64_t checkpoint_index, checkpoint_term, checkpoint_chain;
    qr_buffer checkpoint_brief;
    /* the machine: a chain of hashes */
    uint64_t applied, applied_term, chain;
    uint64_t syncs; /* after which something more was durable */
    /* what the engine said last */
    qr_engine_role role;
    uint64_t term, leader;
    uint64_t refused_proposals, refused_reads, refused_handovers, refused_members, served_reads;
    qr_members members; /* the newest ones that it was told of as committed */
    qr_status refused_why;
    uint64_t fetches, checkpoints_sent;
    const char *halted;
    bool fetching;
    uint64_t fetch_from, fetch_to;
} world_member;

typedef struct world_message {
    uint64_t from, incarnation, to, due_ms, number;
    qr_buffer bytes;
} world_message;

typedef struct world {
    const qr_engine_ops *engine; /* of all members; may be set until the first one is started */
    uint64_t now_ms;
    uint32_t count;
    qr_prng prng;
    qr_engine_config config;
    world_member member[WORLD_MEMBERS_MAX + 1]; /* by id, from 1 */
    world_message *messages;
    size_t message_count, message_room;
    uint64_t message_number;
    bool cut[WORLD_MEMBERS_MAX + 1][WORLD_MEMBERS_MAX + 1]; /* [from][to] */
    uint64_t delay_min_ms, delay_max_ms;
    uint32_t loss_ppm, copy_ppm, late_ppm; /* late: by up to 2 s */
    uint64_t sent[WORLD_MEMBERS_MAX + 1][WORLD_MEMBERS_MAX + 1]
                 [WORLD_KINDS_MAX]; /* put on the wire, by kind */
    uint64_t agreed[WORLD_MEMBERS_MAX + 1]
                   [WORLD_MEMBERS_MAX + 1]; /* appends sent when the first was accepted */
    /* oracle */
    uint64_t committed_max;
    struct {
        uint64_t term, hash, chain;
        uint64_t state; /* of the commands alone, in order: equal on all engines */
    } committed[WORLD_INDEX_MAX];
    uint64_t leader_of_term[4096];
    uint64_t voted[WORLD_MEMBERS_MAX + 1][4096]; /* candidate that was given the vote, by voter and term */
    uint64_t read_floor[WORLD_READS_MAX]; /* by tag: what was committed when it began, + 1; 0 = answered */
    uint64_t read_at[WORLD_READS_MAX];    /* by tag: the answer, + 1 */
    uint64_t next_tag;
    const char *violation; /* NULL while all is well */
    char detail[256];
    uint64_t elections, steps, changes; /* changes: configurations committed */
    qr_members members;                 /* the newest committed ones */
    FILE *story;
} world;

world *world_new(uint32_t count, uint64_t seed); /* members 1..count, all voters, none started */
/* Members 1..voters are the cluster; the others up to count are not, and may be asked to join it. */
world *world_new_of(uint32_t voters, uint32_t count, uint64_t seed);
void world_free(world *w);
void world_boot(world *w, uint64_t id); /* the first time or again, from what its disk has */
void world_boot_all(world *w);
void world_crash(world *w, uint64_t id); /* loses what was not synced; its links break */
void world_step(world *w, uint64_t id, const qr_event *event);
void world_run(world *w, uint64_t ms);
/* Runs until what() holds; false after ms. */
bool world_until(world *w, uint64_t ms, bool (*what)(const world *w));
bool world_has_leader(
    const world *w);                /* one live leader that a quorum follows and whose no-op is committed */
bool world_is_even(const world *w); /* and everybody alive has committed and applied the same */
uint64_t world_leader(const world *w);  /* the live leader of the highest term; 0 = none */
void world_wipe(world *w, uint64_t id); /* a crash, and an empty disk of a newer incarnation */
void world_propose(world *w, uint64_t id, const char *text);
void world_change(world *w, uint64_t id, const qr_members *wanted);
uint64_t world_read(world *w, uint64_t id); /* the tag */
void world_link(world *w, uint64_t id, uint64_t peer, bool up);
void world_cut_both(world *w, uint64_t a, uint64_t b, bool cut);
void world_isolate(world *w, uint64_t id, bool cut);
void world_checkpoint(world *w, uint64_t id); /* own, at what is applied */
/* Before the first boot: the member wakes up with entries of these terms, in the given term. */
void world_preset(world *w, uint64_t id, const uint64_t *terms, size_t count, uint64_t term, uint64_t vote);
/* "1 1 2 3": terms of the log in memory, as far as it goes. */
const char *world_terms(const world *w, uint64_t id, qr_buffer *out);
void world_fail(world *w, const char *violation, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void world_check(world *w); /* log matching and the engines' own invariants; run by world_run now and then */

#endif
