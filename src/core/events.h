/* events: what happened to the keys of a span from a revision on, as a machine's history tells it. A reader
 * keeps nothing but the revision it has come to; there are no queues. doc/design/watches.md has the reasons.
 */
#ifndef QR_CORE_EVENTS_H
#define QR_CORE_EVENTS_H

#include "core/txn.h"

typedef struct qr_kv_event {
    qr_key_value kv;       /* deleted: nothing but key and mod_revision */
    qr_key_value previous; /* the key as it was right before kv.mod_revision */
    bool deleted;
    bool has_previous; /* it is wanted, there was one, and it was not compacted */
    /* How many of the directories above the key got a child or lost one by it: 1 is the nearest; more, if
     * those between came or went with it. 0 when the key is no valid path, or was there (or stays there) all
     * the same, for something below it. */
    uint8_t levels;
} qr_kv_event;

typedef struct qr_events_query {
    qr_span span;  /* in QR_SPACE_KEYS: only that space has a history */
    uint64_t from; /* revision of the first event to be told */
    bool skip_puts, skip_deletes, want_previous;
    /* Each ends the reading at the end of the revision in which it is reached: a revision is told whole or
     * not at all, however large it is. */
    size_t bytes_max; /* about, of keys and values told */
    size_t look_max;  /* events looked at, also in vain: what a call may cost */
    void (*tell)(void *context, const qr_kv_event *event); /* in order; borrowed for the call */
    void *context;
} qr_events_query;

typedef struct qr_events_result {
    uint64_t next;          /* every event before this revision was told */
    uint64_t revision;      /* of the machine; next == revision + 1: that was all there is */
    uint64_t compacted;     /* no event before it can be told */
    uint64_t looked, bytes; /* events looked at; bytes of keys and values told */
} qr_events_result;

#endif
