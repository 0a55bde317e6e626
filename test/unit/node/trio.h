/* Up to five whole members in one test: the real engine and log over disks in memory, a machine that adds
 * up, a network that delivers everything at the next step, and a clock that the test moves. */
#ifndef TRIO_H
#define TRIO_H

#include "fake_disk.h"
#include "node/node.h"

enum { TRIO_MAX = 5, TRIO_ELECTION_MS = 500, TRIO_STEP_MS = 5, TRIO_MAIL_MAX = 4096 };

typedef struct adder { /* the machine: a rolling digest of all bodies */
    qr_machine base;
    uint64_t digest, count;
    bool goes_wrong; /* the next apply decides otherwise than everybody else's */
} adder;

typedef struct trio_letter {
    uint32_t from, to;
    qr_buffer bytes;
} trio_letter;

typedef struct trio trio;
typedef struct trio_member {
    trio *world;
    uint64_t id, incarnation;
    fake_disk *disk;
    qr_node *node; /* NULL: down */
    adder *machine;
    bool hangs; /* the disk does nothing */
    bool full;  /* the disk makes no new files */
    bool cut;   /* hears nobody, and nobody hears it */
} trio_member;

struct trio {
    uint32_t count;
    qr_machine *(*make_machine)(void); /* NULL: an adder */
    trio_member members[TRIO_MAX];
    trio_letter mail[TRIO_MAIL_MAX];
    size_t mail_count;
    uint64_t now_ms;
    uint64_t written, refused, failed; /* answers of writes: OK, refused by submit, anything else */
    qr_status status;                  /* the last one that was not OK */
    uint64_t read;                     /* reads answered OK */
    qr_arena arena;
};

trio *trio_new(uint32_t count);
trio *trio_new_with(uint32_t count, qr_machine *(*make_machine)(void));
void trio_free(trio *t);
void trio_boot(trio *t, uint32_t number);
void trio_stop(trio *t, uint32_t number); /* like kill: the disk keeps what it has */
void trio_step(trio *t);
void trio_run(trio *t, uint64_t ms);
int trio_leader(trio *t); /* number of the one who leads the newest term, or -1 */
int trio_wait_leader(trio *t);
void trio_write(trio *t, uint32_t number, size_t size);
/* Writes at the leader, `window` at a time, until so many more are acknowledged. */
void trio_write_many(trio *t, uint64_t count);
void trio_read(trio *t, uint32_t number, qr_request_kind kind);
qr_node_status trio_status(trio *t, uint32_t number);

#endif
