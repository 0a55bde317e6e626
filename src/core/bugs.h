/* Planted bugs: deliberate breaches of one rule each, that the simulator must find (facts/reliability: "proof
 * that the campaign sees", whose rows the numbers are; 0: none of them). They exist only in builds with
 * -Dplanted_bugs=true; elsewhere QR_BUG() is the constant false and the compiler removes the branch. */
#ifndef QR_CORE_BUGS_H
#define QR_CORE_BUGS_H

/* row, name on the command line, what it breaks */
#define QR_BUG_LIST(X)                                                                                       \
    X(ACK_BEFORE_SYNC, 4, "acknowledge-before-sync",                                                         \
      "node tells the engine DURABLE when the write is submitted")                                           \
    X(VOTE_NOT_DURABLE, 3, "vote-not-durable", "raft grants a vote without waiting for its record")          \
    X(COMMIT_OLD_TERM, 2, "commit-old-term", "raft commits an entry of an older term by counting")           \
    X(NO_LOG_CHECK, 2, "no-log-check-on-vote", "raft votes for candidates with an older log")                \
    X(READ_NO_QUORUM, 10, "read-without-quorum", "raft answers READ without a round of a quorum")            \
    X(FORWARD_TWICE, 17, "forward-applied-twice", "node applies a command again that it has applied before") \
    X(TRUNCATE_ALWAYS, 6, "truncate-on-old-append", "raft truncates after the last entry of any append")     \
    X(COMMIT_UNMATCHED, 5, "commit-beyond-match",                                                            \
      "raft takes the leader's commit without bounding it by the match")                                     \
    X(VOTE_COUNTED_TWICE, 32, "vote-counted-twice", "raft counts votes instead of voters")                   \
    X(READ_BEFORE_NOOP, 11, "read-before-own-commit", "raft serves reads before committing in its own term") \
    X(READ_OLD_ROUND, 11, "read-confirmed-by-old-round",                                                     \
      "raft confirms reads with heartbeat answers of earlier rounds")                                        \
    X(STALE_RECORD, 19, "stale-record-accepted", "wal accepts records without checking position and chain")  \
    X(SYNC_ERROR_IGNORED, 20, "sync-error-ignored", "wal goes on after a failed sync")                       \
    X(MISSING_FOLDER_SYNC, 22, "folder-not-synced", "wal does not sync the folder after making a segment")   \
    X(LOST_TRUNCATION, 6, "prefix-not-checked", "raft appends without checking the previous entry's term")   \
    X(WALL_CLOCK_APPLY, 26, "apply-by-local-state", "tree applies with something only this replica knows")   \
    X(CHANGE_EARLY, 1, "change-before-commit",                                                               \
      "raft changes members before an entry of its term and the last change are committed")                  \
    X(JOINT_ONE_HALF, 1, "joint-in-one-half", "raft counts a joint configuration in its incoming half only") \
    X(LEARNER_COUNTED, 15, "learner-counted", "raft lets a learner's disk count for a voter's")              \
    X(CONFIG_NOT_RESTORED, 16, "members-not-restored",                                                       \
      "raft keeps the members of an entry that was cut off")                                                 \
    X(WIPED_VOTES, 31, "wiped-disk-votes", "raft lets a disk without a memory vote for the one it replaces") \
    X(STATE_DIVERGES, 26, "state-diverges",                                                                  \
      "node: the state of one member differs from entry 200 on; the oracle does not look, the members must") \
    X(CHECKPOINT_NO_ORIGINS, 8, "checkpoint-without-origins", "node leaves the origins out of a checkpoint") \
    X(CHECKPOINT_EARLY, 9, "log-released-early",                                                             \
      "node lets the log go when a checkpoint is begun, not when it is durable")                             \
    X(CHECKPOINT_OLDER, 7, "older-checkpoint-taken", "node takes a checkpoint that is older than its state") \
    X(CHECKPOINT_RETRY, 17, "request-in-checkpoint-repeated",                                                \
      "node tries requests again that may be in a checkpoint it was sent")                                   \
    X(LEASE_NO_EPOCH, 27, "lease-ended-by-old-leader",                                                       \
      "tree ends leases at the word of a leader of the past")                                                \
    X(LEASE_NO_QUORUM, 27, "renewal-without-quorum",                                                         \
      "node acknowledges a renewal without a round of a quorum")                                             \
    X(LEASE_FORGETS, 27, "renewals-forgotten", "node says that it has noted renewals, and has not")          \
    X(LEASE_BY_FOLLOWER, 27, "lease-ended-by-follower", "node proposes the end of leases while it follows")  \
    X(TOMBSTONE_LOST, 28, "tombstone-lost",                                                                  \
      "tree does not tell of a deletion at exactly the compacted revision")                                  \
    X(REVISION_SPLIT, 28, "revision-split", "tree ends a reading of events in the middle of a revision")     \
    X(WATCH_AHEAD, 28, "watch-progress-ahead",                                                               \
      "node reports a watcher's position ahead of events not handed out")                                    \
    X(WATCH_FUTURE, 28, "watch-start-ignored", "node gives a watcher with a future start older events")      \
    X(WATCH_REPEATS, 28, "watch-repeats-after-checkpoint",                                                   \
      "node goes on too early with its watchers after a received checkpoint")                                \
    X(WATCH_SKIPS, 28, "watch-skips-checkpoint",                                                             \
      "node does not tell its watchers what a received checkpoint brought")                                  \
    X(PAXOS_PROMISE_EARLY, 3, "paxos-promise-not-durable", "paxos promises before the promise is durable")   \
    X(PAXOS_PROMISE_FORGOTTEN, 3, "paxos-promise-forgotten",                                                 \
      "paxos does not know after a restart to whom it promised its ballot")                                  \
    X(PAXOS_ACCEPTED_FORGOTTEN, 3, "paxos-accepted-forgotten",                                               \
      "paxos does not tell after a restart what it had accepted before and not learned")                     \
    X(PAXOS_BELOW_PROMISE, 3, "paxos-accepts-below-promise", "paxos accepts in ballots below its promise")   \
    X(PAXOS_LOWER_ADOPTED, 2, "paxos-lower-ballot-adopted",                                                  \
      "paxos proposes the value of the lowest ballot that a quorum told")                                    \
    X(PAXOS_NOOP_OVER, 2, "paxos-noop-over-accepted",                                                        \
      "paxos proposes a no-op where a quorum told of a value")                                               \
    X(PAXOS_FEW_SLOTS, 2, "paxos-few-slots-prepared", "paxos does phase 1 for the first open slot alone")    \
    X(PAXOS_SMALL_QUORUM, 32, "paxos-quorum-off-by-one", "paxos counts an acceptor that has not accepted")   \
    X(PAXOS_OTHER_BALLOT, 2, "paxos-other-ballot-counted",                                                   \
      "paxos acknowledges what it has accepted in another ballot")                                           \
    X(PAXOS_CHOSEN_UNTAKEN, 5, "paxos-chosen-beyond-taken",                                                  \
      "paxos takes the leader's chosen index for slots it has from another ballot")                          \
    X(PAXOS_READ_UNCONFIRMED, 10, "paxos-read-unconfirmed", "paxos answers READ without a round")            \
    X(PAXOS_NO_WINDOW, 1, "paxos-no-window",                                                                 \
      "paxos proposes behind a change of members before it is chosen")                                       \
    X(LEVEL_EARLY, 26, "level-raised-early", "node raises the level before all members know it")             \
    X(LEVEL_NOT_SAVED, 8, "level-not-saved", "node leaves the level out of a checkpoint")                    \
    X(VOTE_FORGOTTEN, 3, "vote-forgotten", "raft does not know its vote any more after a restart")           \
    X(LEADER_UNPROTECTED, 12, "leader-not-protected", "raft votes against a leader that it hears")           \
    X(NO_PAUSE, 13, "no-pause-between-elections", "raft stands again at once where nobody has won")          \
    X(LEADS_ON, 15, "leads-after-removal", "raft goes on leading when its removal is committed")             \
    X(DAMAGE_CUT, 18, "damage-cut-as-torn", "wal takes a damaged record for one that was never durable")     \
    X(ENVELOPE_UNCHECKED, 19, "checksum-not-compared", "node takes messages that were damaged on their way") \
    X(MESSAGE_STORM, 23, "answers-cause-messages", "raft sends again whenever it is answered")               \
    X(CHECKPOINT_WITHHELD, 24, "checkpoint-not-sent", "raft does not offer its checkpoint to those behind")  \
    X(READ_COMPACTED, 29, "compacted-is-read", "tree reads what is compacted until it is freed here, too")   \
    X(ALARM_IGNORED, 26, "alarm-ignored", "tree lets the store grow while an alarm of no space stands")      \
    X(ALARM_NOT_SAVED, 8, "alarm-not-saved", "tree leaves alarms out of what it saves")                      \
    X(CHECK_IGNORED, 26, "check-ignored", "tree takes every check between operations for true")              \
    X(ACL_OUTLIVES_KEY, 26, "rights-outlive-key", "tree keeps the rights of a key that is gone")             \
    X(SESSION_OUTLIVES_LEASE, 27, "session-outlives-lease", "tree keeps the session of a lease that ended")  \
    X(UNDO_FORGETS, 26, "undo-forgets", "tree keeps what a command did before an operation of it failed")    \
    X(IMAGE_FORGETS, 26, "image-forgets", "raft leaves a vote out of the image for a black box")             \
    X(GROUP_STEALS_LOCKS, 17, "group-steals-locks", "group takes locks that somebody else holds")            \
    X(GROUP_DECIDES_BLIND, 17, "group-decides-blind",                                                        \
      "group commits without asking whether it still has its primary lock")                                  \
    X(GROUP_PUSH_BLIND, 17, "group-pushes-blind", "group ends a transaction that may be committed")          \
    X(GROUP_ASSUMES_ABORT, 17, "group-assumes-abort", "group deletes a lock whose transaction is undecided") \
    X(GROUP_FORGETS_EARLY, 17, "group-forgets-early",                                                        \
      "group deletes the record when one group has applied it")                                              \
    X(GROUP_APPLIES_BLIND, 17, "group-applies-blind",                                                        \
      "group applies a record without asking whether its locks are there")                                   \
    X(GROUP_NEVER_PUSHES, 17, "group-never-pushes", "group waits for a dead coordinator for ever")           \
    X(GROUP_GUESSES, 17, "group-guesses", "group says that a transaction is aborted when it does not know")  \
    X(GROUP_LOOKS_ONCE, 10, "group-looks-once", "group reads several groups without looking again")          \
    X(GROUP_READS_LOCKED, 10, "group-reads-locked", "group reads past the locks of others")                  \
    X(LEVEL_OF_PROPOSER, 26, "level-of-proposer", "node applies what a member behind proposed by old rules") \
    X(NUMBER_AGAIN, 0, "number-given-again", "tree numbers a key by the children that are there")            \
    X(DEPARTURE_UNCOUNTED, 0, "departure-not-counted", "tree does not count that a child has gone")          \
    X(EVENT_LATE, 28, "event-behind-answer", "door answers before it tells what the answer shows")           \
    X(WATCH_NOT_JUDGED, 28, "watch-dropped-at-reconnect",                                                    \
      "door sets watches anew without a look at what was missed")                                            \
    X(WATCH_LASTS_NOT, 28, "lasting-watch-ends", "door takes a persistent watch for one that tells once")    \
    X(ANY_PASSWORD, 0, "password-not-compared", "door lets a session go on without its password")            \
    X(EXPIRED_RESUMED, 27, "expired-session-resumed", "door attaches a session that has no record")          \
    X(LEFT_WRITES, 17, "left-connection-writes", "door lets a connection write that its session has left")   \
    X(CLOSE_LEAVES, 27, "closed-session-stays", "door answers the end of a session and lets it be")          \
    X(PACKETS_RENEW_NOT, 27, "packets-do-not-renew", "door renews no session")                               \
    X(READ_OVERTAKES, 10, "read-overtakes-write",                                                            \
      "door reads before earlier writes of the session are done")                                            \
    X(SYNC_LOCAL, 10, "sync-without-round", "door answers a sync from what is applied here")                 \
    X(RECALL_NOT, 17, "stale-write-overtaken", "door lets writes pass one that has to be judged anew")       \
    X(VERSION_IGNORED, 0, "version-ignored", "door writes whatever the version")                             \
    X(OWNER_FORGOTTEN, 27, "owner-forgotten", "door makes numbered ephemerals that hang on nothing")         \
    X(MULTI_PARTLY, 0, "multi-partly-applied", "door checks the first operation of several only")            \
    X(REAP_BLIND, 0, "reaps-what-has-changed", "door removes a container that has got a child meanwhile")

typedef enum qr_bug {
    QR_BUG_NONE,
#define QR_BUG_ENUM(name, row, text, what) QR_BUG_##name,
    QR_BUG_LIST(QR_BUG_ENUM)
#undef QR_BUG_ENUM
        QR_BUG_COUNT
} qr_bug;

#ifdef QR_PLANTED_BUGS
#define QR_BUG(configured, name) ((configured) == QR_BUG_##name)
#else
#define QR_BUG(configured, name) ((void)(configured), 0)
#endif

#endif
