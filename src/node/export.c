/* Copies of the state for someone outside, and the brief that a new group starts from.
 *
 * A copy is a checkpoint file that is kept until its reader is done: the newest one if nothing was applied
 * since it was made, else one that is made for the purpose. So a reader may be as slow as it likes, and holds
 * up neither applying nor freeing; what it costs is the disk space of one file. */
#include "node/internal.h"

struct qr_node_export {
    qr_node *node;   /* NULL: it is gone */
    uint64_t wanted; /* the entry that must be inside */
    qr_kept file;    /* index 0: not there yet */
    qr_checkpoint_fetcher *fetcher;
    void (*ready)(void *owner, qr_status status, uint64_t index, uint64_t size); /* NULL: was told */
    void (*done)(void *owner, qr_status status, qr_slice bytes); /* NULL: no read is under way */
    void *owner;
};

qr_node_export *
qr_node_export_begin(qr_node *node,
                     void (*ready)(void *owner, qr_status status, uint64_t index, uint64_t size), void *owner)
{
    if (node->halted || node->machine->ops->save_begin == NULL)
        return NULL;
    for (size_t i = 0; i < QR_NODE_EXPORTS_MAX; i++) {
        if (node->exports[i] != NULL)
            continue;
        qr_node_export *export = qr_alloc_zero(1, sizeof *export);
        export->node = node;
        export->wanted = node->applied_index ? node->applied_index : 1;
        export->ready = ready;
        export->owner = owner;
        node->exports[i] = export;
        qr_node__wake(node);
        return export;
    }
    return NULL;
}

static void tell_ready(qr_node_export *export, qr_status status)
{
    void (*ready)(void *, qr_status, uint64_t, uint64_t) = export->ready;
    export->ready = NULL;
    ready(export->owner, status, export->file.index, export->file.size);
}

static void tell_done(qr_node_export *export, qr_status status, qr_slice bytes)
{
    void (*done)(void *, qr_status, qr_slice) = export->done;
    export->done = NULL;
    done(export->owner, status, bytes);
}

static void on_read(void *context, qr_status status, uint64_t offset, qr_slice bytes)
{
    tell_done(context, status, bytes);
}

void qr_node_export_read(qr_node_export *export, uint64_t offset, size_t size,
                         void (*done)(void *owner, qr_status status, qr_slice bytes))
{
    QR_ASSERT(export->node != NULL && export->fetcher != NULL && export->done == NULL);
    QR_ASSERT(size <= QR_NODE_EXPORT_READ_MAX);
    export->done = done;
    qr_checkpoint_fetch(export->fetcher, offset, size, on_read, export);
}

void qr_node_export_end(qr_node_export *export)
{
    qr_node *node = export->node;
    for (size_t i = 0; node != NULL && i < QR_NODE_EXPORTS_MAX; i++)
        if (node->exports[i] == export)
            node->exports[i] = NULL;
    if (export->fetcher != NULL)
        qr_checkpoint_fetcher_free(export->fetcher);
    if (node != NULL)
        qr_node__wake(node); /* its file may go */
    qr_free(export);
}

bool qr_export__uses(const qr_node *node, uint64_t index)
{
    for (size_t i = 0; i < QR_NODE_EXPORTS_MAX; i++)
        if (node->exports[i] != NULL && node->exports[i]->file.index == index)
            return true;
    return false;
}

void qr_export__turn(qr_node *node)
{
    for (size_t i = 0; i < QR_NODE_EXPORTS_MAX; i++) {
        qr_node_export *export = node->exports[i];
        if (export == NULL || export->ready == NULL)
            continue;
        if (node->keeper.newest.index < export->wanted) {
            node->keeper.forced = true;
            continue;
        }
        char name[QR_DISK_NAME_MAX];
        export->file = node->keeper.newest;
        qr_keeper__name(export->file.index, name);
        export->fetcher = qr_checkpoint_fetcher_new(&node->config.disk, name);
        tell_ready(export, QR_OK);
    }
}

void qr_export__failed(qr_node *node, qr_status status)
{
    for (size_t i = 0; i < QR_NODE_EXPORTS_MAX; i++)
        if (node->exports[i] != NULL && node->exports[i]->ready != NULL)
            tell_ready(node->exports[i], status);
}

void qr_export__free(qr_node *node)
{
    for (size_t i = 0; i < QR_NODE_EXPORTS_MAX; i++) {
        qr_node_export *export = node->exports[i];
        if (export == NULL)
            continue;
        node->exports[i] = NULL;
        export->node = NULL;
        if (export->fetcher != NULL)
            qr_checkpoint_fetcher_drop(export->fetcher);
        export->fetcher = NULL;
        if (export->ready != NULL)
            tell_ready(export, QR_E_STOPPED);
        else if (export->done != NULL)
            tell_done(export, QR_E_STOPPED, qr_slice_of(NULL, 0));
    }
}

void qr_node_found(const qr_engine_ops *ops, const qr_members *members, qr_buffer *out)
{
    const qr_engine_config config = {
        .self = members->list[0].id, .heartbeat_ms = 1, .election_ms = 2, .members = *members};
    qr_engine *engine = ops->open(&config);
    qr_recover__brief_head(out, 0, 0);
    ops->brief(engine, out);
    ops->free(engine);
}
