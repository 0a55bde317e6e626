/* The answers of the four-letter words, in the format of 3.8. */
#include <inttypes.h>

#include "door/zookeeper/figures.h"

enum { MASK_SIZE = 8 };

/* ------------------------------------------------------------------- connections ---- */

/* What a connection with a session has besides, from ",sid=" on. */
static void client_details(const qr__zk_connection *one, qr_buffer *out)
{
    const qr__zk_latency *latency = &one->latency;
    qr_buffer_format(out, ",sid=0x%" PRIx64 ",lop=%s,est=%" PRId64 ",to=%" PRIu32, (uint64_t)one->session,
                     qr__zk_op_name(one->last_type), one->opened_ms, one->timeout_ms);
    if (one->last_xid >= 0)
        qr_buffer_format(out, ",lcxid=0x%" PRIx32, (uint32_t)one->last_xid);
    qr_buffer_format(out,
                     ",lzxid=0x%" PRIx64 ",lresp=%" PRIu64 ",llat=%" PRIu64 ",minlat=%" PRIu64
                     ",avglat=%" PRIu64 ",maxlat=%" PRIu64,
                     (uint64_t)one->last_zxid, one->answered_ms, latency->last_ms, latency->min_ms,
                     latency->count ? latency->sum_ms / latency->count : 0, latency->max_ms);
}

static void clients(const qr_zookeeper_door *door, bool wide, qr_buffer *out)
{
    for (const qr__zk_connection *one = door->connections; one; one = one->next) {
        qr_buffer_format(out, " /%s[%d](queued=%zu,recved=%" PRIu64 ",sent=%" PRIu64, one->peer,
                         one->state == QR__ZK_ATTACHED, one->queued, one->received, one->sent);
        if (wide && one->state == QR__ZK_ATTACHED)
            client_details(one, out);
        qr_buffer_format(out, ")\n");
    }
    qr_buffer_format(out, "\n");
}

/* ------------------------------------------------------------------------ figures ---- */

static void server(const qr_zookeeper_door *door, const qr_node_status *status, bool with_clients,
                   qr_buffer *out)
{
    const struct qr__zk_counts *counts = &door->counts;
    char average[QR__ZK_AVERAGE_SIZE];
    qr__zk_average(&counts->all, average);
    qr_buffer_format(out, "Zookeeper version: " QR__ZK_VERSION "\n");
    if (with_clients) {
        qr_buffer_format(out, "Clients:\n");
        clients(door, false, out);
    }
    qr_buffer_format(out,
                     "Latency min/avg/max: %" PRIu64 "/%s/%" PRIu64 "\nReceived: %" PRIu64 "\nSent: %" PRIu64
                     "\nConnections: %zu\nOutstanding: %" PRIu64 "\nZxid: 0x%" PRIx64
                     "\nMode: %s\nNode count: %" PRIu64 "\n",
                     counts->all.min_ms, average, counts->all.max_ms, counts->received, counts->sent,
                     door->connection_count, door->outstanding, status->revision, qr__zk_mode(door, status),
                     qr__zk_node_count(door));
}

static const char *said(const qr__zk_figure *figure)
{
    return figure->text ? figure->text : figure->literal;
}

static void monitor_line(void *out, const qr__zk_figure *figure)
{
    qr_buffer_format(out, "zk_%s\t%s\n", figure->name, said(figure));
}

static void line(void *out, const qr__zk_figure *figure)
{
    qr_buffer_format(out, figure->is_whole ? "%s%s\n" : "%s=%s\n", figure->name, said(figure));
}

/* -------------------------------------------------------------------------- dump ---- */

typedef struct dump {
    qr_buffer *out;
    size_t count;
    int64_t owner; /* of the ephemeral that was told last; 0: there was none */
    qr_buffer text;
} dump;

static void dump_session(void *context, int64_t session, uint32_t timeout_ms)
{
    dump *all = context;
    all->count++;
    qr_buffer_format(&all->text, "0x%" PRIx64 "\t%" PRIu32 "ms\n", (uint64_t)session, timeout_ms);
}

static void dump_ephemeral(void *context, int64_t owner, qr_slice path)
{
    dump *all = context;
    if (all->count == 0 || all->owner != owner) {
        all->count++;
        all->owner = owner;
        qr_buffer_format(&all->text, "0x%" PRIx64 ":\n", (uint64_t)owner);
    }
    qr_buffer_format(&all->text, "\t%.*s\n", (int)path.size, (const char *)path.data);
}

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* As Java prints a date, in UTC, after 1970: "Fri Nov 27 02:55:38 UTC 2026". */
static void date(int64_t wall_ms, qr_buffer *out)
{
    enum { DAY_S = 86400 };
    static const char days_of_week[] = "ThuFriSatSunMonTueWed"; /* 1970 began on a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t seconds = wall_ms > 0 ? wall_ms / 1000 : 0, days = seconds / DAY_S, year = 1970;
    int of_day = (int)(seconds % DAY_S), weekday = (int)(days % 7), month = 0;
    for (; days >= 365 + is_leap(year); year++)
        days -= 365 + is_leap(year);
    for (int length; days >= (length = lengths[month] + (month == 1 && is_leap(year))); month++)
        days -= length;
    qr_buffer_format(out, "%.3s %.3s %02d %02d:%02d:%02d UTC %" PRId64, days_of_week + 3 * weekday,
                     months + 3 * month, (int)days + 1, of_day / 3600, of_day / 60 % 60, of_day % 60, year);
}

static void dump_connections(const qr_zookeeper_door *door, qr_buffer *out)
{
    int64_t wall_ms = door->config.wall_ms ? door->config.wall_ms(door->config.context) : 0;
    qr_buffer_format(out, "Connections dump:\nConnections Sets (%zu)/(%zu):\n", door->connection_count,
                     door->connection_count);
    for (const qr__zk_connection *one = door->connections; one; one = one->next) {
        bool attached = one->state == QR__ZK_ATTACHED;
        uint64_t end_ms = attached ? one->renewed_ms + one->timeout_ms : one->deadline_ms;
        qr_buffer_format(out, "1 expire at ");
        date(wall_ms + (int64_t)(end_ms - door->now_ms), out);
        qr_buffer_format(out, ":\n\tip: /%s sessionId: 0x%" PRIx64 "\n", one->peer,
                         attached ? (uint64_t)one->session : 0);
    }
}

/* Sessions as a server tells them that does not lead: when one ends is known to the leader alone. */
static void dump_all(const qr_zookeeper_door *door, qr_buffer *out)
{
    dump sessions = {0}, ephemerals = {0};
    qr__zk_each_session(door, dump_session, &sessions);
    qr__zk_each_ephemeral(door, dump_ephemeral, &ephemerals);
    qr_buffer_format(out, "SessionTracker dump:\nGlobal Sessions(%zu):\n", sessions.count);
    qr_buffer_add_slice(out, qr_buffer_slice(&sessions.text));
    qr_buffer_format(out, "ephemeral nodes dump:\nSessions with Ephemerals (%zu):\n", ephemerals.count);
    qr_buffer_add_slice(out, qr_buffer_slice(&ephemerals.text));
    dump_connections(door, out);
    qr_buffer_free(&sessions.text);
    qr_buffer_free(&ephemerals.text);
}

/* ------------------------------------------------------------------------ watches ---- */

static void watch_summary(const qr_zookeeper_door *door, qr_buffer *out)
{
    size_t connections, paths;
    qr__zk_count_watching(door, &connections, &paths);
    qr_buffer_format(out, "%zu connections watching %zu paths\nTotal watches:%zu\n", connections, paths,
                     door->watches.of_data);
}

static void watches_by_session(const qr_zookeeper_door *door, qr_buffer *out)
{
    for (const qr__zk_connection *one = door->connections; one; one = one->next) {
        bool told = false;
        for (const qr__zk_watch *watch = one->watcher.watches; watch; watch = watch->watcher_next) {
            if (!qr__zk_is_of_data(watch->kinds))
                continue;
            if (!told)
                qr_buffer_format(out, "0x%" PRIx64 "\n", (uint64_t)one->session);
            told = true;
            qr_buffer_format(out, "\t%.*s\n", (int)watch->at->size, (const char *)watch->at->path);
        }
    }
    qr_buffer_format(out, "\n");
}

static void watches_by_path(const qr_zookeeper_door *door, qr_buffer *out)
{
    for (size_t i = 0; i < door->watches.bucket_count; i++) {
        for (const qr__zk_watched *at = door->watches.buckets[i]; at; at = at->next) {
            bool told = false;
            for (const qr__zk_watch *watch = at->watches; watch; watch = watch->next) {
                if (!qr__zk_is_of_data(watch->kinds))
                    continue;
                if (!told)
                    qr_buffer_format(out, "%.*s\n", (int)at->size, (const char *)at->path);
                told = true;
                qr_buffer_format(out, "\t0x%" PRIx64 "\n", (uint64_t)qr__zk_connection_of(watch)->session);
            }
        }
    }
    qr_buffer_format(out, "\n");
}

/* ------------------------------------------------------------------------- answers ---- */

/* What a server says that follows nobody and leads nobody; these it answers all the same. */
static bool answers_alone(qr_zookeeper_word word)
{
    return word == QR_ZOOKEEPER_WORD_ruok || word == QR_ZOOKEEPER_WORD_envi ||
           word == QR_ZOOKEEPER_WORD_isro || word == QR_ZOOKEEPER_WORD_gtmk;
}

static void answer(qr_zookeeper_door *door, qr_zookeeper_word word, qr_buffer *out)
{
    qr_node_status status;
    qr_node_status_of(door->config.node, &status);
    bool read_only = qr__zk_read_only(door, door->now_ms), serves = qr__zk_serves(door, &status);
    if (!serves && !answers_alone(word)) {
        qr_buffer_format(out, QR__ZK_NOT_SERVING "\n");
        return;
    }
    switch (word) {
    case QR_ZOOKEEPER_WORD_ruok: qr_buffer_format(out, "imok"); break;
    case QR_ZOOKEEPER_WORD_isro: qr_buffer_format(out, read_only ? "ro" : serves ? "rw" : "null"); break;
    case QR_ZOOKEEPER_WORD_srvr: server(door, &status, false, out); break;
    case QR_ZOOKEEPER_WORD_stat: server(door, &status, true, out); break;
    case QR_ZOOKEEPER_WORD_mntr: qr__zk_tell_monitor(door, monitor_line, out); break;
    case QR_ZOOKEEPER_WORD_conf: qr__zk_tell_settings(door, line, out); break;
    case QR_ZOOKEEPER_WORD_cons: clients(door, true, out); break;
    case QR_ZOOKEEPER_WORD_envi:
        qr_buffer_format(out, "Environment:\n");
        qr__zk_tell_environment(door, line, out);
        break;
    case QR_ZOOKEEPER_WORD_dirs:
        qr_buffer_format(out, "datadir_size: %" PRIu64 "\nlogdir_size: %" PRIu64 "\n",
                         status.checkpoint_bytes, status.log_bytes);
        break;
    case QR_ZOOKEEPER_WORD_wchs: watch_summary(door, out); break;
    case QR_ZOOKEEPER_WORD_wchc: watches_by_session(door, out); break;
    case QR_ZOOKEEPER_WORD_wchp: watches_by_path(door, out); break;
    case QR_ZOOKEEPER_WORD_dump: dump_all(door, out); break;
    case QR_ZOOKEEPER_WORD_gtmk: qr_buffer_format(out, "%" PRId64, door->trace_mask); break;
    case QR_ZOOKEEPER_WORD_hash:
        /* Of a position in the log, since it also has what moves no revision. */
        qr_buffer_format(out, "%" PRIx64 ": %" PRId64 "\n", status.applied_index, (int64_t)status.digest);
        break;
    case QR_ZOOKEEPER_WORD_crst:
        qr__zk_reset_connections(door);
        qr_buffer_format(out, "Connection stats reset.\n");
        break;
    case QR_ZOOKEEPER_WORD_srst:
        qr__zk_reset_counts(door);
        qr_buffer_format(out, "Server stats reset.\n");
        break;
    case QR_ZOOKEEPER_WORD_stmk: /* below */
    case QR_ZOOKEEPER_WORD_COUNT: break;
    }
}

/* The number behind stmk: eight bytes, which are gathered in the key, since there is no session. */
void qr__zk_take_mask(qr__zk_connection *connection, qr_slice *bytes)
{
    qr_buffer *mask = &connection->key;
    size_t missing = MASK_SIZE - mask->size, taken = bytes->size < missing ? bytes->size : missing;
    qr_buffer_add(mask, bytes->data, taken);
    *bytes = qr_slice_of(bytes->data + taken, bytes->size - taken);
    if (mask->size < MASK_SIZE)
        return;
    uint64_t number = 0;
    for (size_t i = 0; i < MASK_SIZE; i++)
        number = number << 8 | mask->data[i];
    connection->door->trace_mask = (int64_t)number;
    qr_buffer_format(&connection->out, "%" PRId64, connection->door->trace_mask);
    qr__zk_end(connection);
}

void qr__zk_answer_word(qr__zk_connection *connection, qr_slice letters, qr_slice *rest)
{
    qr_zookeeper_word word = qr_zookeeper_word_of(letters);
    connection->received++;
    connection->door->counts.received++;
    if (word == QR_ZOOKEEPER_WORD_stmk && qr_zookeeper_word_in(connection->door->config.words, word)) {
        connection->state = QR__ZK_MASKING;
        qr__zk_take_mask(connection, rest);
        return;
    }
    if (word == QR_ZOOKEEPER_WORD_COUNT) {
        qr__zk_end(connection);
        return;
    }
    if (!qr_zookeeper_word_in(connection->door->config.words, word))
        qr_buffer_format(&connection->out, "%.4s is not executed because it is not in the whitelist.\n",
                         (const char *)letters.data);
    else
        answer(connection->door, word, &connection->out);
    qr__zk_end(connection);
}
