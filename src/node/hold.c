/* What nobody needs any more goes, a little each turn; and holds, which put it off (node.h). */
#include "node/internal.h"

void qr_node__retire(qr_node *node, qr_machine *machine)
{
    if (node->retired != NULL) /* no transfer is that fast unless the machine is small */
        node->retired->ops->free(node->retired);
    node->retired = machine->ops->retire != NULL ? machine : NULL;
    if (node->retired == NULL)
        machine->ops->free(machine);
}

uint64_t qr_node_hold(qr_node *node)
{
    if (node->hold.is_over)
        return 0;
    if (node->hold.count++ == 0)
        node->hold.until_ms = node->now_ms + QR_NODE_HOLD_MS;
    return node->hold.number;
}

bool qr_node_holds(const qr_node *node, uint64_t hold)
{
    return hold == node->hold.number;
}

void qr_node_let_go(qr_node *node, uint64_t hold)
{
    if (!qr_node_holds(node, hold))
        return;
    QR_ASSERT(node->hold.count > 0);
    node->hold.count--;
}

void qr_node__end_holds(qr_node *node)
{
    node->hold.number++;
    node->hold.count = 0;
}

void qr_node__free_some(qr_node *node)
{
    if (node->hold.count > 0 && node->now_ms >= node->hold.until_ms) {
        qr_node__end_holds(node);
        node->hold.is_over = true;
    }
    node->more_work = false;
    if (node->hold.count == 0) {
        node->more_work = node->machine->ops->work(node->machine, QR_NODE_WORK_BUDGET);
        node->hold.is_over = node->hold.is_over && node->more_work;
    }
    if (node->retired != NULL && !node->retired->ops->retire(node->retired, QR_NODE_RETIRE_BUDGET))
        node->retired = NULL;
    node->more_work = node->more_work || node->retired != NULL;
}
