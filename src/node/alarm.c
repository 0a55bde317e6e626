/* What a member finds wrong with itself or another one, as records of the machine: all members list them, and
 * they stay until somebody clears them. doc/design/alarms.md.
 *
 * A record is asked for like any write, by way of the ring. What lasts is looked at again once a second, so
 * that an alarm that was cleared comes back with its cause. */
#include "core/txn.h"
#include "node/internal.h"

enum { EVERY_MS = 1000 };

static bool lacks(const qr_node *node, const qr_alarm *alarm)
{
    return node->level >= QR_LEVEL_ALARMS && node->machine->ops->has_alarm != NULL &&
           !node->machine->ops->has_alarm(node->machine, alarm->member, alarm->kind, !alarm->noted);
}

/* A full disk, or a state that differs, is that of one member, and the others go on: such an alarm is only
 * noted. Of a divergent member, which halts, the leader speaks for all. A leader without space can add
 * nothing to its log; it is about to be a follower. While states are disputed nothing is written. */
static bool find_cause(const qr_node *node, qr_alarm *alarm)
{
    uint64_t index;
    *alarm = (qr_alarm){.member = node->config.self, .kind = QR_ALARM_NO_SPACE, .noted = true};
    bool speaks = node->no_space;
    if (node->role == QR_LEADER) {
        *alarm =
            (qr_alarm){.member = qr_health__divergent(node, &index), .kind = QR_ALARM_CORRUPT, .noted = true};
        speaks = !node->no_space && alarm->member != 0;
    }
    return speaks && !node->health.corrupt && lacks(node, alarm);
}

/* It is the member's word, whatever made it speak: no principal. */
static qr_status ask(qr_node *node, const qr_alarm *alarm, uint64_t deadline_ms, qr_status refusal,
                     void (*done)(void *, const qr_reply *), void *owner)
{
    qr_alarm_act act = alarm->noted ? QR_ALARM_NOTE : QR_ALARM_RAISE;
    qr_buffer bytes;
    qr_buffer_init(&bytes);
    qr_body_encode(&(qr_body){.kind = QR_BODY_ALARM, .alarm_act = act, .alarm = *alarm}, &bytes);
    qr_request own = {
        .kind = QR_REQUEST_WRITE, .body = qr_buffer_slice(&bytes), .done = done, .owner = owner};
    qr_status status = qr_pending__add_refused(node, &own, deadline_ms, refusal);
    qr_buffer_free(&bytes);
    return status;
}

qr_status qr_alarm__refuse(qr_node *node, const qr_request *request, uint64_t deadline_ms)
{
    qr_alarm alarm = {.member = node->config.self, .kind = QR_ALARM_NO_SPACE};
    if (!lacks(node, &alarm))
        return QR_E_QUOTA;
    return ask(node, &alarm, deadline_ms, QR_E_QUOTA, request->done, request->owner);
}

static void on_noted(void *owner, const qr_reply *reply)
{
    qr_node *node = owner;
    (void)reply;
    node->alarms.asked = false;
    node->alarms.next_ms = node->now_ms + EVERY_MS;
}

void qr_alarm__turn(qr_node *node)
{
    qr_alarm alarm;
    if (node->alarms.asked || node->now_ms < node->alarms.next_ms || !find_cause(node, &alarm))
        return;
    uint64_t deadline_ms = node->now_ms + node->config.request_ms;
    node->alarms.asked = ask(node, &alarm, deadline_ms, QR_OK, on_noted, node) == QR_OK;
    node->alarms.next_ms = node->now_ms + EVERY_MS;
}

uint64_t qr_alarm__wake_ms(const qr_node *node)
{
    qr_alarm alarm;
    return !node->alarms.asked && find_cause(node, &alarm) ? node->alarms.next_ms : UINT64_MAX;
}
