/* lab: protocols small enough to be read in one sitting, run message by message.
 *
 * A protocol is a table of functions over flat states: what a process knows is one plain struct without
 * pointers, a message is another. So a world - the states, and the messages under way - can be copied,
 * hashed and compared, and everything that may happen in it can be tried (explore.h). The frame knows who is
 * up, who is cut off from whom, and what is under way; it knows nothing of what the protocol is about.
 *
 * No clock: time passes when a schedule says so. What a process does by itself, on a timeout or a command, is
 * an event of its protocol. Nothing here is ever part of the product: the engines that serve clients stand in
 * other rooms, and one of them can be put on this stage as well (stage_raft.c).
 *
 * A protocol also has mistakes in it that can be switched on, as a parameter named `variant`: such a run has
 * to end in the property that the mistake breaks, which shows that the checks see. doc/design/lab.md. */
#ifndef QR_LAB_LAB_H
#define QR_LAB_LAB_H

#include "base/base.h"

enum {
    QR_LAB_PROCESSES_MAX = 1024,
    QR_LAB_ROLES_MAX = 4,
    QR_LAB_PARAMETERS_MAX = 12,
    QR_LAB_KINDS_MAX = 16,
    QR_LAB_MESSAGE_MAX = 2560, /* bytes of one message with its head */
    QR_LAB_PENDING_MAX = 100000,
    QR_LAB_NOBODY = 0xFFFF, /* as a process: none */
};

typedef struct qr_lab_world qr_lab_world;

/* What each message begins with. A protocol's message is a struct whose first member is this; bytes between
 * its fields have to be zero, since messages are compared as bytes (begin with qr_lab_message_of()). */
typedef struct qr_lab_message {
    uint16_t from, to;
    uint16_t kind; /* index into the protocol's kinds */
} qr_lab_message;

/* Words of a line of a scenario, borrowed from its text. */
typedef struct qr_lab_words {
    const qr_slice *list;
    size_t count;
} qr_lab_words;

typedef struct qr_lab_role {
    const char *name;          /* "acceptor"; NULL ends the list */
    const char *prefix;        /* "a": its processes are a1, a2, ... */
    uint16_t count, count_max; /* how many unless the scenario says so */
} qr_lab_role;

typedef struct qr_lab_parameter {
    const char *name;        /* NULL ends the list */
    const char *words;       /* "correct|amnesia": values 0, 1 by name; NULL: a number */
    int32_t value, min, max; /* value: unless the scenario says so */
    const char *what;        /* one line */
} qr_lab_parameter;

typedef struct qr_lab_event {
    const char *name; /* "propose"; NULL ends the list */
    const char *what; /* one line */
    /* Whether it can happen by itself: what explorations and random runs try. NULL: only when a schedule says
     * so. */
    bool (*enabled)(const qr_lab_world *world, unsigned self);
    /* false: these arguments make no sense (an exploration gives none). */
    bool (*run)(qr_lab_world *world, unsigned self, const qr_lab_words *arguments);
} qr_lab_event;

typedef struct qr_lab_protocol {
    const char *name, *title;
    qr_lab_role roles[QR_LAB_ROLES_MAX + 1]; /* processes are numbered through, in this order */
    const qr_lab_parameter *parameters;
    const qr_lab_event *events;
    const char *const *kinds; /* names of messages; NULL ends the list */
    size_t state_size, message_size;
    size_t shared_size; /* what an observer who sees everything writes down, for check(); may be 0 */
    bool ordered;       /* between two processes messages arrive in the order of sending */
    bool opaque;        /* states hold pointers: no exploration, and finish() frees them */
    /* States, shared and processes are zero. NULL, or why these members and parameters make no sense. */
    const char *(*start)(qr_lab_world *world);
    void (*receive)(qr_lab_world *world, unsigned self, const qr_lab_message *message);
    void (*crash)(qr_lab_world *world, unsigned self);   /* may be NULL */
    void (*restart)(qr_lab_world *world, unsigned self); /* forget what is not on disk; may be NULL */
    void (*describe)(const qr_lab_world *world, unsigned self, qr_buffer *out); /* the state, in words */
    void (*describe_message)(const qr_lab_world *world, const qr_lab_message *message, qr_buffer *out);
    const char *(*check)(const qr_lab_world *world); /* NULL, or the name of the property that is broken */
    /* How it stands, in one word without spaces: what explorations count. */
    void (*outcome)(const qr_lab_world *world, qr_buffer *out);
    /* The value of `name` at a process, or of the whole (QR_LAB_NOBODY), in one word; false: no such name. */
    bool (*observe)(const qr_lab_world *world, unsigned self, qr_slice name, qr_buffer *out);
    /* Equal for worlds that behave alike, say because equal processes changed places; NULL: for equal ones.
     */
    uint64_t (*fingerprint)(const qr_lab_world *world);
    /* Whether this message, under way, can never change anything again, in no future; explorations forget it
     * then. NULL: not known of any. */
    bool (*spent)(const qr_lab_world *world, const qr_lab_message *message);
    void (*finish)(qr_lab_world *world); /* may be NULL */
} qr_lab_protocol;

/* The protocols that there are; NULL ends the list. */
extern const qr_lab_protocol *const qr_lab_protocols[];
const qr_lab_protocol *qr_lab_protocol_find(qr_slice name); /* NULL: unknown */

/* What stays the same through all worlds of a run. */
typedef struct qr_lab_setting {
    const qr_lab_protocol *protocol;
    uint16_t counts[QR_LAB_ROLES_MAX];
    uint16_t count; /* of all processes */
    int32_t parameters[QR_LAB_PARAMETERS_MAX];
    uint64_t seed;
    /* What explorations and random runs may do besides delivering messages and events. */
    uint16_t crashes_max, drops_max, duplicates_max;
    uint8_t crash_roles; /* set of roles whose processes may crash; 0: all */
    bool restarts;
} qr_lab_setting;

/* What happens, as it happens, to who listens. */
typedef enum qr_lab_what {
    QR_LAB_EVENT,      /* text: its name and arguments */
    QR_LAB_SENT,       /* message */
    QR_LAB_DELIVERED,  /* message */
    QR_LAB_LOST,       /* message: its receiver is down */
    QR_LAB_DROPPED,    /* message */
    QR_LAB_DUPLICATED, /* message */
    QR_LAB_CRASHED,
    QR_LAB_RESTARTED,
    QR_LAB_PARTED, /* text */
    QR_LAB_HEALED,
    QR_LAB_SAID,     /* text: self finds something remarkable; or a note of the scenario (nobody) */
    QR_LAB_LOOKED,   /* text: a value that the scenario looks at */
    QR_LAB_STATE,    /* self's state after a step */
    QR_LAB_VIOLATED, /* text: the property */
} qr_lab_what;

typedef struct qr_lab_telling {
    qr_lab_what what;
    const qr_lab_world *world;
    uint16_t self;
    const qr_lab_message *message; /* borrowed for the call */
    const char *text;              /* borrowed for the call */
} qr_lab_telling;

typedef struct qr_lab_ear {
    void (*hear)(void *context, const qr_lab_telling *telling);
    void *context;
} qr_lab_ear;

typedef struct qr_lab_process {
    uint8_t down;
    uint8_t side; /* processes of different sides are cut off from each other; what is sent waits */
} qr_lab_process;

struct qr_lab_world {
    const qr_lab_setting *setting; /* borrowed */
    uint8_t *flat; /* owned: processes, states and shared, in one block that is compared as bytes */
    size_t flat_size;
    uint8_t *messages; /* owned: under way, in the order of sending */
    size_t message_count, message_room;
    uint16_t crashes, drops, duplicates; /* so far */
    const char *violation;               /* the first property that broke; NULL; static */
    /* Not part of what makes two worlds equal: */
    uint64_t steps;
    uint64_t sent[QR_LAB_KINDS_MAX];
    const qr_lab_ear *ear; /* may be NULL; borrowed */
    void *own;             /* an opaque protocol's; finish() frees it */
};

/* -------------------------------------------------- what protocols use ---- */

qr_lab_process *qr_lab_process_of(const qr_lab_world *world, unsigned self);
void *qr_lab_state(const qr_lab_world *world, unsigned self); /* the protocol's struct */
void *qr_lab_shared(const qr_lab_world *world);
int32_t qr_lab_parameter_of(const qr_lab_world *world, unsigned number);
unsigned qr_lab_role_of(const qr_lab_world *world, unsigned self); /* index into roles */
unsigned qr_lab_first(const qr_lab_world *world, unsigned role);   /* the first process of a role */
unsigned qr_lab_count(const qr_lab_world *world, unsigned role);   /* how many processes it has */
bool qr_lab_up(const qr_lab_world *world, unsigned self);

/* The i-th message under way, and a zeroed message's head filled in. `message` has message_size bytes. */
qr_lab_message *qr_lab_pending(const qr_lab_world *world, size_t i);
void qr_lab_message_of(const qr_lab_world *world, qr_lab_message *message, unsigned kind, unsigned from);
void qr_lab_send(qr_lab_world *world, qr_lab_message *message, unsigned to);        /* copied */
void qr_lab_send_role(qr_lab_world *world, qr_lab_message *message, unsigned role); /* to each but itself */
void qr_lab_say(qr_lab_world *world, unsigned self, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

typedef struct qr_lab_name {
    char text[24];
} qr_lab_name;
qr_lab_name qr_lab_name_of(const qr_lab_world *world, unsigned self); /* "a3" */

/* A set of up to 32 processes of one role, bit i is its i-th. */
static inline unsigned qr_lab_set_size(uint32_t set)
{
    return (unsigned)__builtin_popcount(set);
}

bool qr_lab_number(qr_slice word, int64_t *number); /* decimal, maybe with a sign; all of the word */
bool qr_lab_word_is(qr_slice word, const char *text);

/* ------------------------------------------------ what drives a world ---- */

/* NULL, or why not (static). The setting must live as long as the world. */
const char *qr_lab_world_init(qr_lab_world *world, const qr_lab_setting *setting, const qr_lab_ear *ear);
void qr_lab_world_free(qr_lab_world *world);
void qr_lab_world_copy(qr_lab_world *target, const qr_lab_world *source); /* both of one setting */
uint64_t qr_lab_world_fingerprint(const qr_lab_world *world);
/* For fingerprints of protocols: of one message, 0 where it is from and to nobody in particular. */
uint64_t qr_lab_message_hash(const qr_lab_world *world, const qr_lab_message *message);
/* The first and the last process that bear this name, "a3", or the role's prefix with a star, "a*"; false:
 * none. */
bool qr_lab_processes(const qr_lab_setting *setting, qr_slice name, unsigned *first, unsigned *last);

void qr_lab_forget_spent(qr_lab_world *world); /* messages under way */
bool qr_lab_deliverable(const qr_lab_world *world, size_t i);
void qr_lab_deliver(qr_lab_world *world, size_t i);
void qr_lab_drop(qr_lab_world *world, size_t i);
void qr_lab_duplicate(qr_lab_world *world, size_t i);
void qr_lab_crash(qr_lab_world *world, unsigned self);                         /* it is up */
void qr_lab_restart(qr_lab_world *world, unsigned self);                       /* it is down */
void qr_lab_part(qr_lab_world *world, const uint8_t *sides, const char *text); /* of every process */
void qr_lab_heal(qr_lab_world *world);
bool qr_lab_fire(qr_lab_world *world, unsigned self, const qr_lab_event *event,
                 const qr_lab_words *arguments); /* it is up */

/* Everything that can happen next, numbered from 0: deliveries, then drops and copies as far as the setting
 * allows, then each process's events, crash or restart. Equal messages count once. */
typedef enum qr_lab_act {
    QR_LAB_DELIVER,
    QR_LAB_DROP,
    QR_LAB_DUPLICATE,
    QR_LAB_FIRE,
    QR_LAB_CRASH,
    QR_LAB_RESTART
} qr_lab_act;

typedef struct qr_lab_choice {
    qr_lab_act act;
    uint32_t which; /* message or process */
    uint32_t event;
} qr_lab_choice;

typedef struct qr_lab_choices {
    qr_lab_choice *list; /* owned; begin with zeroes, end with qr_free() */
    size_t count, room;
} qr_lab_choices;

void qr_lab_choices_of(const qr_lab_world *world, qr_lab_choices *choices);
void qr_lab_choose(qr_lab_world *world, const qr_lab_choice *choice);

#endif
