/* jute: the records of ZooKeeper's protocol, and the packets that carry them. Bytes in, bytes out.
 *
 * Every record is described once, below, as a list of fields; the struct and the table that serves decoding,
 * encoding and printing are made of that list. Knows shapes only: what a number or a path means, and whether
 * a text is UTF-8, is the door's business. Bytes after the last field of a record are left to the caller.
 *
 * All numbers are big-endian. Null and empty differ, for bytes, texts and vectors alike. */
#ifndef QR_WIRE_JUTE_H
#define QR_WIRE_JUTE_H

#include "base/base.h"

enum {
    QR_JUTE_PACKET_MAX = 0xfffff, /* bytes: the default of jute.maxbuffer */
    QR_JUTE_BODY_KEPT = 65536,    /* bytes of room a splitter keeps between two packets */
    QR_JUTE_ABSENT = -1,          /* of a TAIL: the byte was not sent */
    QR_JUTE_NULL = -1,            /* the count of a vector that is null */
    QR_JUTE_GROWTH = 16,          /* bytes of arena per byte of input, at most */
};

/* Bytes and texts are slices; .data == NULL is null, and an empty one points somewhere. */
extern const qr_slice qr_jute_empty;

/* A vector of records of one kind, which the kind of the field tells. .items is of the arena that decoded it,
 * or the caller's. */
typedef struct qr_jute_vector {
    const void *items; /* `count` structs of the item's record */
    int32_t count;     /* QR_JUTE_NULL: null */
} qr_jute_vector;

/* The lists: X(T, kind, member) for each field, in order; T is handed through, for what needs the type. */
#define QR_JUTE_STAT(X, T)                                                                                   \
    X(T, LONG, czxid)                                                                                        \
    X(T, LONG, mzxid)                                                                                        \
    X(T, LONG, ctime)                                                                                        \
    X(T, LONG, mtime)                                                                                        \
    X(T, INT, version)                                                                                       \
    X(T, INT, cversion)                                                                                      \
    X(T, INT, aversion)                                                                                      \
    X(T, LONG, ephemeral_owner)                                                                              \
    X(T, INT, data_length)                                                                                   \
    X(T, INT, num_children)                                                                                  \
    X(T, LONG, pzxid)

/* Items of vectors. */
#define QR_JUTE_NAME(X, T) X(T, TEXT, text)
#define QR_JUTE_ACL(X, T)                                                                                    \
    X(T, INT, perms)                                                                                         \
    X(T, TEXT, scheme)                                                                                       \
    X(T, TEXT, id)
#define QR_JUTE_USER(X, T)                                                                                   \
    X(T, TEXT, scheme)                                                                                       \
    X(T, TEXT, user)

/* Session and headers. Times in milliseconds. */
#define QR_JUTE_CONNECT_REQUEST(X, T)                                                                        \
    X(T, INT, protocol_version)                                                                              \
    X(T, LONG, last_zxid_seen)                                                                               \
    X(T, INT, timeout)                                                                                       \
    X(T, LONG, session_id)                                                                                   \
    X(T, BYTES, password)                                                                                    \
    X(T, TAIL, read_only)
#define QR_JUTE_CONNECT_REPLY(X, T)                                                                          \
    X(T, INT, protocol_version)                                                                              \
    X(T, INT, timeout)                                                                                       \
    X(T, LONG, session_id)                                                                                   \
    X(T, BYTES, password)                                                                                    \
    X(T, TAIL, read_only)
#define QR_JUTE_REQUEST_HEADER(X, T)                                                                         \
    X(T, INT, xid)                                                                                           \
    X(T, INT, type)
#define QR_JUTE_REPLY_HEADER(X, T)                                                                           \
    X(T, INT, xid)                                                                                           \
    X(T, LONG, zxid)                                                                                         \
    X(T, INT, err)
#define QR_JUTE_MULTI_HEADER(X, T)                                                                           \
    X(T, INT, type)                                                                                          \
    X(T, BOOL, done)                                                                                         \
    X(T, INT, err)
#define QR_JUTE_WATCHER_EVENT(X, T)                                                                          \
    X(T, INT, type)                                                                                          \
    X(T, INT, state)                                                                                         \
    X(T, TEXT, path)

/* Bodies of requests. */
#define QR_JUTE_EMPTY(X, T)
#define QR_JUTE_CREATE(X, T)                                                                                 \
    X(T, TEXT, path)                                                                                         \
    X(T, BYTES, data)                                                                                        \
    X(T, ACLS, acl)                                                                                          \
    X(T, INT, flags)
#define QR_JUTE_CREATE_TTL(X, T)                                                                             \
    QR_JUTE_CREATE(X, T)                                                                                     \
    X(T, LONG, ttl)
#define QR_JUTE_PATH_VERSION(X, T) /* delete, check */                                                       \
    X(T, TEXT, path)                                                                                         \
    X(T, INT, version)
#define QR_JUTE_PATH_WATCH(X, T) /* exists, getData, getChildren, getChildren2 */                            \
    X(T, TEXT, path)                                                                                         \
    X(T, BOOL, watch)
#define QR_JUTE_SET_DATA(X, T)                                                                               \
    X(T, TEXT, path)                                                                                         \
    X(T, BYTES, data)                                                                                        \
    X(T, INT, version)
#define QR_JUTE_SET_ACL(X, T)                                                                                \
    X(T, TEXT, path)                                                                                         \
    X(T, ACLS, acl)                                                                                          \
    X(T, INT, version)
#define QR_JUTE_PATH(X, T)                                                                                   \
    X(T, TEXT, path) /* getACL, sync, getEphemerals, ...; also what create and sync answer */
#define QR_JUTE_RECONFIG(X, T)                                                                               \
    X(T, TEXT, joining)                                                                                      \
    X(T, TEXT, leaving)                                                                                      \
    X(T, TEXT, members)                                                                                      \
    X(T, LONG, config_id)
#define QR_JUTE_PATH_TYPE(X, T) /* checkWatches, removeWatches, addWatch */                                  \
    X(T, TEXT, path)                                                                                         \
    X(T, INT, type)
#define QR_JUTE_AUTH(X, T)                                                                                   \
    X(T, INT, type)                                                                                          \
    X(T, TEXT, scheme)                                                                                       \
    X(T, BYTES, auth)
#define QR_JUTE_TOKEN(X, T) X(T, BYTES, token) /* sasl, both ways */
#define QR_JUTE_SET_WATCHES(X, T)                                                                            \
    X(T, LONG, relative_zxid)                                                                                \
    X(T, TEXTS, data)                                                                                        \
    X(T, TEXTS, exist)                                                                                       \
    X(T, TEXTS, child)
#define QR_JUTE_SET_WATCHES2(X, T)                                                                           \
    QR_JUTE_SET_WATCHES(X, T)                                                                                \
    X(T, TEXTS, persistent)                                                                                  \
    X(T, TEXTS, recursive)

/* Bodies of replies. */
#define QR_JUTE_PATH_STAT(X, T)                                                                              \
    X(T, TEXT, path)                                                                                         \
    X(T, STAT, stat)
#define QR_JUTE_STAT_REPLY(X, T) X(T, STAT, stat)
#define QR_JUTE_DATA_REPLY(X, T)                                                                             \
    X(T, BYTES, data)                                                                                        \
    X(T, STAT, stat)
#define QR_JUTE_ACL_REPLY(X, T)                                                                              \
    X(T, ACLS, acl)                                                                                          \
    X(T, STAT, stat)
#define QR_JUTE_CHILDREN(X, T) X(T, TEXTS, children) /* getChildren; getEphemerals */
#define QR_JUTE_CHILDREN_STAT(X, T)                                                                          \
    X(T, TEXTS, children)                                                                                    \
    X(T, STAT, stat)
#define QR_JUTE_NUMBER(X, T) X(T, INT, number) /* getAllChildrenNumber; addWatch and an error in a multi */
#define QR_JUTE_USERS(X, T)  X(T, USERS, users)

#define QR_JUTE_RECORDS(X)                                                                                   \
    X(stat, STAT)                                                                                            \
    X(name, NAME)                                                                                            \
    X(acl, ACL)                                                                                              \
    X(user, USER)                                                                                            \
    X(connect_request, CONNECT_REQUEST)                                                                      \
    X(connect_reply, CONNECT_REPLY)                                                                          \
    X(request_header, REQUEST_HEADER)                                                                        \
    X(reply_header, REPLY_HEADER)                                                                            \
    X(multi_header, MULTI_HEADER)                                                                            \
    X(watcher_event, WATCHER_EVENT)                                                                          \
    X(create, CREATE)                                                                                        \
    X(create_ttl, CREATE_TTL)                                                                                \
    X(path_version, PATH_VERSION)                                                                            \
    X(path_watch, PATH_WATCH)                                                                                \
    X(set_data, SET_DATA)                                                                                    \
    X(set_acl, SET_ACL)                                                                                      \
    X(path, PATH)                                                                                            \
    X(reconfig, RECONFIG)                                                                                    \
    X(path_type, PATH_TYPE)                                                                                  \
    X(auth, AUTH)                                                                                            \
    X(token, TOKEN)                                                                                          \
    X(set_watches, SET_WATCHES)                                                                              \
    X(set_watches2, SET_WATCHES2)                                                                            \
    X(path_stat, PATH_STAT)                                                                                  \
    X(stat_reply, STAT_REPLY)                                                                                \
    X(data_reply, DATA_REPLY)                                                                                \
    X(acl_reply, ACL_REPLY)                                                                                  \
    X(children, CHILDREN)                                                                                    \
    X(children_stat, CHILDREN_STAT)                                                                          \
    X(number, NUMBER)                                                                                        \
    X(users, USERS)

/* number, name, record of the request, record of the reply. A multi is a run of items (qr_jute_multi_next)
 * both ways: its records are empty here. */
#define QR_JUTE_OPS(X)                                                                                       \
    X(1, CREATE, create, path)                                                                               \
    X(2, DELETE, path_version, empty)                                                                        \
    X(3, EXISTS, path_watch, stat_reply)                                                                     \
    X(4, GET_DATA, path_watch, data_reply)                                                                   \
    X(5, SET_DATA, set_data, stat_reply)                                                                     \
    X(6, GET_ACL, path, acl_reply)                                                                           \
    X(7, SET_ACL, set_acl, stat_reply)                                                                       \
    X(8, GET_CHILDREN, path_watch, children)                                                                 \
    X(9, SYNC, path, path)                                                                                   \
    X(11, PING, empty, empty)                                                                                \
    X(12, GET_CHILDREN2, path_watch, children_stat)                                                          \
    X(13, CHECK, path_version, empty)                                                                        \
    X(14, MULTI, empty, empty)                                                                               \
    X(15, CREATE2, create, path_stat)                                                                        \
    X(16, RECONFIG, reconfig, data_reply)                                                                    \
    X(17, CHECK_WATCHES, path_type, empty)                                                                   \
    X(18, REMOVE_WATCHES, path_type, empty)                                                                  \
    X(19, CREATE_CONTAINER, create, path_stat)                                                               \
    X(21, CREATE_TTL, create_ttl, path_stat)                                                                 \
    X(22, MULTI_READ, empty, empty)                                                                          \
    X(100, AUTH, auth, empty)                                                                                \
    X(101, SET_WATCHES, set_watches, empty)                                                                  \
    X(102, SASL, token, token)                                                                               \
    X(103, GET_EPHEMERALS, path, children)                                                                   \
    X(104, GET_ALL_CHILDREN_NUMBER, path, number)                                                            \
    X(105, SET_WATCHES2, set_watches2, empty)                                                                \
    X(106, ADD_WATCH, path_type, number)                                                                     \
    X(107, WHO_AM_I, empty, users)                                                                           \
    X(-11, CLOSE_SESSION, empty, empty)

typedef enum qr_jute_op_type {
#define QR_JUTE_OP_ENUM(number, name, request, reply) QR_JUTE_OP_##name = (number),
    QR_JUTE_OPS(QR_JUTE_OP_ENUM)
#undef QR_JUTE_OP_ENUM
        QR_JUTE_OP_ERROR = -1, /* an item of a multi's answer that is an error */
} qr_jute_op_type;

#define QR_JUTE_TYPE_INT                int32_t
#define QR_JUTE_TYPE_LONG               int64_t
#define QR_JUTE_TYPE_BOOL               bool
#define QR_JUTE_TYPE_TAIL               int8_t /* a bool as the last byte, or QR_JUTE_ABSENT */
#define QR_JUTE_TYPE_BYTES              qr_slice
#define QR_JUTE_TYPE_TEXT               qr_slice
#define QR_JUTE_TYPE_STAT               qr_jute_stat
#define QR_JUTE_TYPE_ACLS               qr_jute_vector /* of qr_jute_acl */
#define QR_JUTE_TYPE_TEXTS              qr_jute_vector /* of qr_jute_name */
#define QR_JUTE_TYPE_USERS              qr_jute_vector /* of qr_jute_user */
#define QR_JUTE_MEMBER(T, kind, member) QR_JUTE_TYPE_##kind member;

#define QR_JUTE_STRUCT(name, fields)                                                                         \
    typedef struct qr_jute_##name {                                                                          \
        QR_JUTE_##fields(QR_JUTE_MEMBER, )                                                                   \
    } qr_jute_##name;
QR_JUTE_RECORDS(QR_JUTE_STRUCT)
#undef QR_JUTE_STRUCT

typedef struct qr_jute_record qr_jute_record; /* the table of one record's fields */
#define QR_JUTE_EXTERN(name, fields) extern const qr_jute_record qr_jute_record_##name;
QR_JUTE_RECORDS(QR_JUTE_EXTERN)
#undef QR_JUTE_EXTERN
extern const qr_jute_record qr_jute_record_empty;

/* The record of an operation's request or reply. NULL: no client sends such a number. */
const qr_jute_record *qr_jute_request_of(int32_t type);
const qr_jute_record *qr_jute_reply_of(int32_t type);
size_t qr_jute_record_size(const qr_jute_record *record); /* of its struct; 0: the empty one */

/* `value` is the struct of that record. What is decoded borrows from the reader's bytes; items of vectors are
 * of the arena, and their number is checked against the bytes left before memory is taken. QR_E_INVALID: too
 * short, or a negative length that is not null. */
qr_status qr_jute_decode(const qr_jute_record *record, qr_reader *reader, qr_arena *arena, void *value);
void qr_jute_encode(const qr_jute_record *record, const void *value, qr_buffer *out); /* appends */
/* Appends "{path=/a watch=0}" for people; bytes that do not print are escaped. */
void qr_jute_print(const qr_jute_record *record, const void *value, qr_buffer *out);

/* One item of a multi or multiRead. .value lies in the arena; NULL for the item that ends the run
 * (.header.done) and for an empty record. */
typedef struct qr_jute_multi_item {
    qr_jute_multi_header header;
    const qr_jute_record *record;
    void *value;
} qr_jute_multi_item;
/* `answers`: the items of a reply, else of a request. QR_E_UNSUPPORTED: a type that has no place here. */
qr_status qr_jute_multi_next(qr_reader *reader, qr_arena *arena, bool answers, qr_jute_multi_item *item);
void qr_jute_multi_add(qr_buffer *out, int32_t type, int32_t err, const qr_jute_record *record,
                       const void *value);
void qr_jute_multi_end(qr_buffer *out);

/* Leaves room for a packet's length; qr_jute_packet_end writes it. Returns the place that the latter wants.
 */
size_t qr_jute_packet_begin(qr_buffer *out);
void qr_jute_packet_end(qr_buffer *out, size_t begin);

typedef enum qr_jute_split {
    QR_JUTE_SPLIT_NOTHING, /* all input is consumed, no packet is complete */
    QR_JUTE_SPLIT_PACKET,  /* one packet; there may be more in the input */
    QR_JUTE_SPLIT_WORD,    /* the first four bytes are lower-case letters: a four-letter word, no length */
    QR_JUTE_SPLIT_INVALID, /* the length is negative or above the bound; nothing was allocated */
} qr_jute_split;

/* Cuts a connection's bytes, arriving in pieces of any size, into packets. A packet that lies in one piece is
 * not copied. Zeroed at the start; after WORD or INVALID nothing more can be read. */
typedef struct qr_jute_splitter {
    uint8_t head[4];
    uint8_t head_size; /* bytes of the length that have arrived */
    bool started;      /* a length was read: no word can come any more */
    bool handed_over;  /* .body was given to the caller and is emptied by the next call */
    qr_buffer body;    /* grows as bytes arrive, never ahead of them because of an announced length */
} qr_jute_splitter;

/* Consumes from the front of *input. *packet (of WORD: the four letters) is borrowed until the next call on
 * this splitter or the end of the input's life, whichever comes first. `packet_max` in bytes, below 2^24. */
qr_jute_split qr_jute_splitter_next(qr_jute_splitter *splitter, qr_slice *input, uint32_t packet_max,
                                    qr_slice *packet);
void qr_jute_splitter_free(qr_jute_splitter *splitter);

#endif
