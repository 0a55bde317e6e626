#include "bin/join.h"

#include <unistd.h>

#include "os/dial.h"
#include "os/frames.h"

enum { PAUSE_MS = 200 };

/* ---- one question ---- */

/* Receives until the answer is whole. NULL, or a sentence. */
static const char *receive(qr_dial *dial, uint64_t timeout_ms, qr_buffer *got, qr_os_hello *hello,
                           qr_slice *payload)
{
    for (;;) {
        if (got->size >= QR_OS_HELLO_SIZE) {
            if (qr_os_hello_decode(got->data, hello) != QR_OK)
                return "what answers there is no peer port of ours";
            size_t used;
            qr_slice rest = qr_slice_of(got->data + QR_OS_HELLO_SIZE, got->size - QR_OS_HELLO_SIZE);
            qr_status status = qr_os_frame_take(rest, QR_OS_WHO_MAX, payload, &used);
            if (status == QR_OK)
                return NULL;
            if (status != QR_E_BUSY)
                return "its answer is damaged";
        }
        qr_status status = qr_dial_receive(dial, got, timeout_ms);
        if (status == QR_E_TIMEOUT)
            return "no answer in time";
        if (status != QR_OK)
            return "the connection was closed before an answer came";
    }
}

static const char *understand(const qr_os_hello *hello, qr_slice payload, qr_roster *roster, qr_arena *arena)
{
    if (hello->answer != QR_OS_ACCEPTS) {
        char *text = qr_arena_text(arena, payload);
        for (char *at = text; *at; at++)
            *at = *at >= ' ' && *at < 0x7F ? *at : '?';
        return text;
    }
    if (qr_roster_decode(payload, roster) != QR_OK)
        return "its list of members cannot be read";
    return roster->cluster == hello->cluster && roster->self == hello->from
               ? NULL
               : "its list of members is of another cluster";
}

qr_status qr_join_ask(const char *url, uint64_t timeout_ms, qr_roster *roster, qr_arena *arena,
                      const char **sentence)
{
    *sentence = NULL;
    qr_dial *dial = qr_dial_open(url, timeout_ms, arena, sentence);
    if (dial == NULL)
        return QR_E_IO;
    const qr_os_hello ask = {.version = QR_OS_PEER_FORMAT, .answer = QR_OS_WHO};
    uint8_t bytes[QR_OS_HELLO_SIZE];
    qr_os_hello_encode(&ask, bytes);
    qr_buffer got;
    qr_buffer_init(&got);
    qr_os_hello hello;
    qr_slice payload;
    if (qr_dial_send(dial, qr_slice_of(bytes, sizeof bytes)) != QR_OK)
        *sentence = "the question cannot be sent";
    else
        *sentence = receive(dial, timeout_ms, &got, &hello, &payload);
    if (*sentence == NULL)
        *sentence = understand(&hello, payload, roster, arena);
    if (*sentence != NULL)
        *sentence = qr_arena_format(arena, "%s: %s", url, *sentence);
    qr_buffer_free(&got);
    qr_dial_close(dial);
    return *sentence == NULL ? QR_OK : QR_E_IO;
}

/* ---- the search ---- */

static bool are_urls_of(const qr_etcd_member *member, const char *const *urls, size_t count)
{
    size_t met = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < member->peer_url_count; j++)
            met += strcmp(urls[i], member->peer_urls[j]) == 0;
    return met == count && member->peer_url_count == count;
}

const qr_etcd_member *qr_join_self(const qr_roster *roster, const char *const *urls, size_t count)
{
    for (size_t i = 0; i < roster->count; i++)
        if (are_urls_of(&roster->list[i], urls, count))
            return &roster->list[i];
    return NULL;
}

static const char *tell_list(const qr_roster *roster, qr_arena *arena)
{
    const char *text = "";
    for (size_t i = 0; i < roster->count; i++)
        for (size_t j = 0; j < roster->list[i].peer_url_count; j++)
            text = qr_arena_format(arena, "%s%s%s", text, *text ? ", " : "", roster->list[i].peer_urls[j]);
    return text;
}

qr_status qr_join_find(const char *const *urls, size_t url_count, const char *const *self, size_t self_count,
                       uint64_t (*now_ms)(void *context), void *context, qr_roster *roster, qr_arena *arena,
                       const char **sentence)
{
    uint64_t end_ms = now_ms(context) + QR_JOIN_PATIENCE_MS;
    const char *trouble = "--initial-cluster names no other member", *absent = NULL;
    for (bool again = url_count > 0; again;) {
        for (size_t i = 0; i < url_count && now_ms(context) < end_ms; i++) {
            qr_roster_free(roster);
            qr_roster_init(roster);
            if (qr_join_ask(urls[i], QR_JOIN_ASK_MS, roster, arena, &trouble) != QR_OK)
                continue;
            const qr_etcd_member *found = qr_join_self(roster, self, self_count);
            if (found != NULL) {
                roster->self = found->id;
                roster->joined = true;
                return QR_OK;
            }
            absent =
                qr_arena_format(arena, "%s lists these peer URLs: %s", urls[i], tell_list(roster, arena));
        }
        again = now_ms(context) + PAUSE_MS < end_ms;
        if (again)
            usleep(PAUSE_MS * 1000);
    }
    if (absent != NULL) {
        *sentence =
            qr_arena_format(arena,
                            "the cluster does not know a member at --initial-advertise-peer-urls; run "
                            "'member add' with exactly these URLs first (%s)",
                            absent);
        return QR_E_NOT_FOUND;
    }
    *sentence = qr_arena_format(
        arena, "no member named in --initial-cluster could be asked; the last one: %s", trouble);
    return QR_E_IO;
}
