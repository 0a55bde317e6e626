/* A large range, in pieces.
 *
 *   read of the first piece --it is all, or small--> answered at once (kv.c)
 *     \--> measured, piece by piece --> its size is sent --> encoded, piece by piece, as the client takes it
 * --> end
 *
 * All pieces are read at the revision of the first one, which the node holds meanwhile (qr_node_hold): so the
 * two walks see the same keys, and other clients' writes go on between any two pieces. A message begins with
 * its size, therefore the walk before it; of the answer itself a connection has never more than
 * QR_ETCD_RANGE_UNSENT_MAX in memory. Pieces are local reads: the node serves them among its others, within
 * the budget of a turn.
 *
 * Ranges that are sorted, go down or have filters are answered in one piece, and so is all that goes through
 * the gateway. */
#include "door/etcd/door.h"
#include "door/etcd/translate.h"

enum {
    QR_ETCD_RANGE_KEYS = 1024,              /* of one piece */
    QR_ETCD_RANGE_BYTES = 256 * 1024,       /* of one piece, passed by one key at most */
    QR_ETCD_RANGE_WHOLE_MAX = 1024 * 1024,  /* bytes of an answer that is encoded at once */
    QR_ETCD_RANGE_UNSENT_MAX = 1024 * 1024, /* of pieces that are not drained, passed by one piece at most */
};

typedef struct qr_etcd_walk {
    qr_etcd_header header;
    uint64_t hold;
    uint64_t keys;  /* that the client is told */
    uint64_t count; /* that there are */
    uint64_t size;  /* bytes of them, as far as they are measured */
    uint64_t left;  /* keys still to come, in this walk of the two */
    bool sending;   /* the second one */
} qr_etcd_walk;

static bool can_go_on(const qr_etcd_call *call)
{
    const qr_range *range = &call->op.range;
    return call->line && call->transport->part_begin && range->span.kind != QR_SPAN_KEY &&
           range->sort == QR_SORT_KEY && range->order != QR_ORDER_DOWN && !range->count_only &&
           !qr_etcd_sorts_late(&call->range) && !range->mod_revision_min && !range->mod_revision_max &&
           !range->create_revision_min && !range->create_revision_max;
}

void qr_etcd_range_limit(qr_etcd_call *call)
{
    uint64_t *limit = &call->op.range.limit;
    if (can_go_on(call) && (*limit == 0 || *limit > QR_ETCD_RANGE_KEYS))
        *limit = QR_ETCD_RANGE_KEYS;
}

/* ---- the two walks ---- */

static void begin_walk(qr_etcd_call *call)
{
    qr_etcd_walk *walk = call->work;
    walk->left = walk->keys;
    call->query.scan.span = call->op.range.span;
    call->query.scan.bytes_max = walk->sending ? QR_ETCD_RANGE_BYTES : UINT64_MAX;
}

static void next_piece(qr_etcd_call *call)
{
    const qr_etcd_walk *walk = call->work;
    qr_scan *scan = &call->query.scan;
    scan->keys_max = walk->left < QR_ETCD_RANGE_KEYS ? walk->left : QR_ETCD_RANGE_KEYS;
    scan->is_held = qr_node_holds(call->door->config.node, walk->hold);
    qr_etcd_call_look(call, true);
}

static bool has_more(const qr_etcd_walk *walk)
{
    return walk->count > walk->keys;
}

static void measured(qr_etcd_call *call)
{
    qr_etcd_walk *walk = call->work;
    uint64_t size = walk->size + qr_etcd_range_frame_bytes(&walk->header, has_more(walk), walk->count);
    if (size > QR_ETCD_ANSWER_MAX) {
        qr_etcd_call_fail(call, QR_ETCD_E_ANSWER_TOO_LARGE);
        return;
    }
    walk->sending = true;
    call->transport->sized(call, (uint32_t)size);
    qr_etcd_encode_header(call->transport->part_begin(call), &walk->header);
    call->transport->part_end(call);
    begin_walk(call);
    next_piece(call);
}

static void send_piece(qr_etcd_call *call, const qr_scan_result *piece)
{
    const qr_etcd_walk *walk = call->work;
    qr_buffer *out = call->transport->part_begin(call);
    qr_etcd_encode_key_values(out, piece->kvs, piece->kv_count);
    if (walk->left == 0)
        qr_etcd_encode_range_tail(out, has_more(walk), walk->count);
    call->transport->part_end(call);
    qr_etcd_line_wake(call->line);
}

static void on_room(qr_etcd_call *call)
{
    if (call->transport->queued(call) >= QR_ETCD_RANGE_UNSENT_MAX)
        qr_etcd_call_await_room(call);
    else
        next_piece(call);
}

static void on_piece(qr_etcd_call *call, const qr_reply *reply)
{
    qr_etcd_walk *walk = call->work;
    const qr_scan_result *piece = reply->result;
    if (call->query.scan.is_held && !qr_node_holds(call->door->config.node, walk->hold)) {
        next_piece(call); /* the hold ended while the node had the question: what was needed may be gone */
        return;
    }
    QR_ASSERT(piece->kv_count <= walk->left);
    walk->left -= piece->kv_count;
    QR_ASSERT(walk->left == 0 || !piece->is_end);
    if (walk->sending)
        send_piece(call, piece);
    else
        walk->size += qr_etcd_key_values_bytes(piece->kvs, piece->kv_count);
    if (walk->left > 0) {
        call->query.scan.span.key = qr_arena_copy(&call->arena, piece->next);
        on_room(call);
    } else if (walk->sending) {
        qr_etcd_call_succeed(call);
    } else {
        measured(call);
    }
}

static void on_closed(qr_etcd_call *call)
{
    qr_etcd_walk *walk = call->work;
    qr_node_let_go(call->door->config.node, walk->hold);
}

static const qr_etcd_streaming streaming = {.once = true, .room = on_room, .closed = on_closed};

bool qr_etcd_range_goes_on(qr_etcd_call *call, const qr_reply *reply)
{
    const qr_txn_result *result = reply->result;
    const qr_op_result *range = &result->ops[0];
    uint64_t wanted = call->range.limit > 0 ? (uint64_t)call->range.limit : UINT64_MAX;
    uint64_t keys = wanted < range->count ? wanted : range->count;
    if (!call->transport || !can_go_on(call) ||
        (range->kv_count == keys && qr_etcd_operation_bytes(range) <= QR_ETCD_RANGE_WHOLE_MAX))
        return false;
    qr_etcd_walk *walk = call->work = qr_arena_zero(&call->arena, 1, sizeof *walk);
    walk->header = qr_etcd_call_header(call, result->revision, reply->term);
    walk->hold = qr_node_hold(call->door->config.node);
    walk->keys = keys;
    walk->count = range->count;
    uint64_t revision = call->op.range.revision;
    call->query = (qr_query){
        .kind = QR_QUERY_SCAN,
        .scan = {.revision = revision ? revision : result->revision, .keys_only = call->range.keys_only}};
    call->answer = on_piece;
    qr_etcd_call_stays(call, &streaming);
    qr_etcd_line_built(call, QR_ETCD_RANGE_UNSENT_MAX); /* its share, until the stream is over */
    begin_walk(call);
    next_piece(call);
    return true;
}
