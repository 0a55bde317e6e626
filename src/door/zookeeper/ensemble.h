/* ensemble: which server of ZooKeeper's dynamic configuration each member is, and where its clients reach it.
 * One record of the cluster's (doc/formats/ensemble.md); /zookeeper/config is made of it. Who is a member is
 * said by the log, and where the others reach it by the catalogue: this follows both. */
#ifndef QR_DOOR_ZOOKEEPER_ENSEMBLE_H
#define QR_DOOR_ZOOKEEPER_ENSEMBLE_H

#include "core/catalogue.h"
#include "door/zookeeper/conf.h"
#include "node/node.h"

enum { QR_ZOOKEEPER_ENSEMBLE_FORMAT = 1 };

typedef struct qr_zookeeper_ensemble { /* texts are the arena's */
    uint64_t version;                  /* how often it was written; 0: there is none yet */
    uint64_t revision;                 /* of the store, when it was written last */
    bool is_newer;                     /* than we are: the record is not to be written */
    int64_t written_ms;                /* wall clock */
    struct qr_zookeeper_seat {
        uint64_t member;
        qr_zookeeper_server server;
    } seats[QR_MEMBERS_MAX]; /* by number, each number and member once */
    size_t count;
} qr_zookeeper_ensemble;

void qr_zookeeper_ensemble_encode(const qr_zookeeper_ensemble *ensemble, qr_buffer *out);
/* Seats only. INVALID; BAD_VERSION: written by a newer member. Then there are none. */
qr_status qr_zookeeper_ensemble_decode(qr_slice bytes, qr_arena *arena, qr_zookeeper_ensemble *ensemble);
/* The data of /zookeeper/config. */
qr_slice qr_zookeeper_ensemble_text(const qr_zookeeper_ensemble *ensemble, qr_arena *arena);

/* NULL: nobody has it. */
struct qr_zookeeper_seat *qr_zookeeper_seat_of(qr_zookeeper_ensemble *ensemble, uint64_t member);
struct qr_zookeeper_seat *qr_zookeeper_seat_numbered(qr_zookeeper_ensemble *ensemble, uint32_t number);
/* A seat that has only these; a number that is taken, or 0, is replaced by the least free one. NULL: there is
 * no room. */
struct qr_zookeeper_seat *qr_zookeeper_seat_add(qr_zookeeper_ensemble *ensemble, uint64_t member,
                                                uint32_t number);
void qr_zookeeper_seat_remove(qr_zookeeper_ensemble *ensemble, struct qr_zookeeper_seat *seat);

/* What a change of members asks for, as ZooKeeper's clients say it: members that shall be as they are here,
 * and numbers that shall go. */
typedef struct qr_zookeeper_wishes {
    qr_zookeeper_server joining[QR_MEMBERS_MAX];
    uint32_t leaving[QR_MEMBERS_MAX]; /* numbers; those that nobody has are left out */
    size_t joining_count, leaving_count;
    bool too_much; /* what makes sense, but cannot be done here: numbers beyond QR_ZOOKEEPER_SERVER_ID_MAX */
} qr_zookeeper_wishes;

/* An error as ReplyHeader.err; 0: none. `members`, if it is not null, says all that shall be members then;
 * else `joining` ("server.N=...,...") and `leaving` ("N,...") say what changes; each may be null. */
int32_t qr_zookeeper_wishes_read(const qr_zookeeper_ensemble *ensemble, qr_slice joining, qr_slice leaving,
                                 qr_slice members, qr_arena *arena, qr_zookeeper_wishes *wishes);

#endif
