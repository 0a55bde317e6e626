/* status: telling what was found, to people and to programs. */
#include <inttypes.h>
#include <time.h>

#include "bin/client_status.h"

/* ---- telling people ---- */

/* Text of a peer's on a terminal: no control characters, neither those of ASCII nor the second set, which in
 * UTF-8 is C2 and a byte below A0. */
static const char *shown(qr_client_survey *all, const char *text)
{
    char *copy = qr_arena_format(&all->client->arena, "%s", *text ? text : "-");
    for (unsigned char *at = (unsigned char *)copy; *at; at++) {
        bool second_set = *at == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0;
        if (*at < 0x20 || *at == 0x7F || second_set)
            *at = '?';
        if (second_set)
            *++at = '?';
    }
    return copy;
}

static const char *role(const qr_client_report *one)
{
    if (!one->status)
        return one->learner ? "learner" : "-";
    return one->status->leader == one->id ? "leader"
           : one->status->islearner       ? "learner"
           : one->status->leader          ? "follower"
                                          : "no leader";
}

static const char *size_text(qr_arena *arena, int64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    size_t unit = 0;
    while (size >= 1024 && unit < 4) {
        size /= 1024;
        unit++;
    }
    return qr_arena_format(arena, unit && size < 100 ? "%.1f %s" : "%.0f %s", size, units[unit]);
}

enum { COLUMNS = 11 };

static void fill_row(qr_client_survey *all, const qr_client_report *one, const char **cells)
{
    const QrEtcdpb__StatusResponse *status = one->status;
    qr_arena *arena = &all->client->arena;
    cells[0] = shown(all, one->name);
    cells[1] = one->id ? qr_arena_format(arena, "%" PRIx64, one->id) : "-";
    cells[2] = role(one);
    cells[3] = status ? "alive" : "unreachable";
    cells[4] = status ? shown(all, status->version) : "-";
    cells[5] = status ? qr_arena_format(arena, "%" PRIu64, status->raftterm) : "-";
    cells[6] = status ? qr_arena_format(arena, "%" PRIu64, status->raftappliedindex) : "-";
    cells[7] = status ? qr_arena_format(arena, "%" PRIu64, qr_client_survey_lag(all, status)) : "-";
    cells[8] = status ? size_text(arena, status->dbsize) : "-";
    cells[9] = status ? qr_arena_format(arena, "%.1f ms", one->round_trip_ms) : "-";
    cells[10] = shown(all, one->endpoint);
}

static void print_table(qr_client_survey *all)
{
    static const char *const titles[COLUMNS] = {"MEMBER",  "ID",  "ROLE",    "STATE", "VERSION", "TERM",
                                                "APPLIED", "LAG", "DB SIZE", "TIME",  "ENDPOINT"};
    const char **cells = qr_arena_zero(&all->client->arena, (all->count + 1) * COLUMNS, sizeof *cells);
    memcpy(cells, titles, sizeof titles);
    for (size_t i = 0; i < all->count; i++)
        fill_row(all, &all->list[i], &cells[(i + 1) * COLUMNS]);
    qr_client_print_table(all->client, cells, all->count + 1, COLUMNS);
}

static const char *name_of(qr_client_survey *all, uint64_t id)
{
    const qr_client_report *one = qr_client_survey_find(all, id);
    return one && *one->name ? shown(all, one->name) : qr_arena_format(&all->client->arena, "%" PRIx64, id);
}

/* ---- disk, history, transfers ---- */

enum { MORE_COLUMNS = 11 };

static const char *age_text(qr_arena *arena, int64_t since_ms)
{
    int64_t seconds = (int64_t)time(NULL) - since_ms / 1000;
    if (seconds < 0)
        seconds = 0;
    if (seconds < 120)
        return qr_arena_format(arena, "%" PRId64 " s ago", seconds);
    if (seconds < 7200)
        return qr_arena_format(arena, "%" PRId64 " min ago", seconds / 60);
    return qr_arena_format(arena, "%" PRId64 " h ago", seconds / 3600);
}

static const char *checkpoint_text(qr_arena *arena, const QrEtcdpb__MemberStatusResponse *more)
{
    const char *next = more->checkpoint_running ? ", next being made" : "";
    if (!more->checkpoint_index)
        return qr_arena_format(arena, "none%s", next);
    return qr_arena_format(arena, "%s at %" PRIu64 ", %s%s",
                           size_text(arena, (int64_t)more->checkpoint_bytes), more->checkpoint_index,
                           age_text(arena, more->checkpoint_ms), next);
}

static const char *sync_text(qr_arena *arena, const QrEtcdpb__MemberStatusResponse *more)
{
    if (more->sync_p99_us == 0)
        return "ok";
    return qr_arena_format(arena, "ok, p99 %.4g ms", (double)more->sync_p99_us / 1e3);
}

static const char *watches_text(qr_arena *arena, const QrEtcdpb__MemberStatusResponse *more)
{
    if (more->watchers_slow == 0)
        return qr_arena_format(arena, "%" PRIu64, more->watchers);
    return qr_arena_format(arena, "%" PRIu64 ", %" PRIu64 " behind by %" PRIu64, more->watchers,
                           more->watchers_slow, more->watch_lag);
}

static const char *transfer_text(qr_client_survey *all, const QrEtcdpb__Transfer *transfer, const char *which)
{
    uint64_t percent = transfer->size ? transfer->bytes * 100 / transfer->size : 0;
    return qr_arena_format(&all->client->arena, "%s %s: %" PRIu64 " %% of %s", which,
                           name_of(all, transfer->peer), percent,
                           size_text(&all->client->arena, (int64_t)transfer->size));
}

static void fill_more(qr_client_survey *all, const qr_client_report *one, const char **cells)
{
    const QrEtcdpb__MemberStatusResponse *more = one->more;
    qr_arena *arena = &all->client->arena;
    cells[0] = shown(all, one->name);
    cells[1] = qr_arena_format(arena, "%" PRIu64, more->keys);
    cells[2] = size_text(arena, (int64_t)more->live_bytes);
    cells[3] = qr_arena_format(arena, "%" PRId64 " to %" PRId64, more->compacted_revision,
                               more->header ? more->header->revision : 0);
    cells[4] = size_text(arena, (int64_t)more->history_bytes);
    cells[5] = size_text(arena, (int64_t)more->log_bytes);
    cells[6] = checkpoint_text(arena, more);
    cells[7] = more->disk_full   ? "full"
               : more->disk_slow ? qr_arena_format(arena, "slow, %" PRIu64 " ms", more->oldest_sync_ms)
                                 : sync_text(arena, more);
    cells[8] = more->receiving ? transfer_text(all, more->receiving, "from")
               : more->sending ? transfer_text(all, more->sending, "to")
                               : "-";
    cells[9] = more->feature_level == more->feature_level_knows
                   ? qr_arena_format(arena, "%" PRIu32, more->feature_level)
                   : qr_arena_format(arena, "%" PRIu32 ", knows %" PRIu32, more->feature_level,
                                     more->feature_level_knows);
    cells[10] = watches_text(arena, more);
}

/* What only our members tell. */
static void print_more(qr_client_survey *all)
{
    static const char *const titles[MORE_COLUMNS] = {"MEMBER",   "KEYS",  "LIVE",       "REVISIONS",
                                                     "HISTORY",  "LOG",   "CHECKPOINT", "DISK",
                                                     "TRANSFER", "LEVEL", "WATCHES"};
    const char **cells = qr_arena_zero(&all->client->arena, (all->count + 1) * MORE_COLUMNS, sizeof *cells);
    size_t rows = 1;
    memcpy(cells, titles, sizeof titles);
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].more)
            fill_more(all, &all->list[i], &cells[rows++ * MORE_COLUMNS]);
    if (rows == 1)
        return;
    qr_buffer_u8(&all->client->out, '\n');
    qr_client_print_table(all->client, cells, rows, MORE_COLUMNS);
}

static void print_quorum(qr_client_survey *all, qr_buffer *out)
{
    qr_buffer_format(out, "quorum: ");
    if (!all->complete)
        qr_buffer_format(out, "unknown, since nobody told the members of the cluster\n");
    else if (all->alive < qr_client_survey_needed(all))
        qr_buffer_format(out, "lost: %zu of %zu alive, %zu are needed\n", all->alive, all->voters,
                         qr_client_survey_needed(all));
    else
        qr_buffer_format(out, "%zu of %zu alive, may lose %zu more\n", all->alive, all->voters,
                         all->alive - qr_client_survey_needed(all));
}

static void print_leader(qr_client_survey *all, qr_buffer *out)
{
    const qr_client_report *leader = qr_client_survey_find(all, all->leader);
    if (all->leader)
        qr_buffer_format(out, "leader: %s, term %" PRIu64 "%s\n", name_of(all, all->leader), all->term,
                         leader && leader->status ? "" : ", does not answer here");
    else
        qr_buffer_format(out, "leader: none is known\n");
}

static void print_alarms(qr_client_survey *all, qr_buffer *out)
{
    qr_buffer_format(out, "alarms:%s", !all->alarms ? " unknown" : all->alarms->n_alarms ? "" : " none");
    for (size_t i = 0; all->alarms && i < all->alarms->n_alarms; i++)
        qr_buffer_format(out, "%s %s on %s", i ? "," : "", qr_client_alarm_name(all->alarms->alarms[i]),
                         name_of(all, all->alarms->alarms[i]->memberid));
    qr_buffer_u8(out, '\n');
}

void qr_client_status_for_people(qr_client_survey *all)
{
    qr_buffer *out = &all->client->out;
    if (all->count)
        print_table(all);
    print_more(all);
    if (!all->client->options.only) {
        qr_buffer_u8(out, '\n');
        print_quorum(all, out);
        print_leader(all, out);
        print_alarms(all, out);
    }
    for (size_t i = 0; i < all->count; i++)
        if (all->list[i].trouble)
            fprintf(stderr, "quorate: %s%s%s\n", *all->list[i].name ? shown(all, all->list[i].name) : "",
                    *all->list[i].name ? ": " : "", shown(all, all->list[i].trouble));
}

/* ---- telling programs ---- */

static void json_field(qr_buffer *out, const char *name, const char *text)
{
    qr_buffer_format(out, "\"%s\":", name);
    qr_client_json_text(out, text);
    qr_buffer_u8(out, ',');
}

static void json_report(qr_client_survey *all, const qr_client_report *one, qr_buffer *out)
{
    qr_buffer_u8(out, '{');
    json_field(out, "name", one->name);
    qr_buffer_format(out, "\"id\":\"%" PRIx64 "\",", one->id);
    json_field(out, "role", one->status ? role(one) : "");
    json_field(out, "endpoint", one->endpoint);
    json_field(out, "trouble", one->trouble ? one->trouble : "");
    qr_buffer_format(out, "\"learner\":%s,\"reachable\":%s", one->learner ? "true" : "false",
                     one->status ? "true" : "false");
    if (one->status) {
        qr_buffer_format(out, ",\"round_trip_ms\":%.3f,\"lag\":%" PRIu64 ",\"status\":", one->round_trip_ms,
                         qr_client_survey_lag(all, one->status));
        qr_client_print_json(all->client, &one->status->base);
    }
    if (one->more) {
        qr_buffer_format(out, ",\"member_status\":");
        qr_client_print_json(all->client, &one->more->base);
    }
    qr_buffer_u8(out, '}');
}

void qr_client_status_for_programs(qr_client_survey *all, qr_client_health health)
{
    static const char *const healths[] = {"ok", "degraded", "no quorum"};
    qr_buffer *out = &all->client->out;
    qr_buffer_u8(out, '{');
    json_field(out, "health", healths[health]);
    if (all->complete)
        qr_buffer_format(out, "\"quorum\":{\"voters\":%zu,\"alive\":%zu,\"needed\":%zu,\"may_lose\":%zu},",
                         all->voters, all->alive, qr_client_survey_needed(all),
                         all->alive > qr_client_survey_needed(all) ? all->alive - qr_client_survey_needed(all)
                                                                   : 0);
    qr_buffer_format(out, "\"leader\":\"%" PRIx64 "\",\"term\":%" PRIu64 ",\"alarms\":[", all->leader,
                     all->term);
    for (size_t i = 0; all->alarms && i < all->alarms->n_alarms; i++)
        qr_buffer_format(out, "%s{\"member\":\"%" PRIx64 "\",\"alarm\":\"%s\"}", i ? "," : "",
                         all->alarms->alarms[i]->memberid, qr_client_alarm_name(all->alarms->alarms[i]));
    qr_buffer_format(out, "],\"members\":[");
    for (size_t i = 0; i < all->count; i++) {
        if (i)
            qr_buffer_u8(out, ',');
        json_report(all, &all->list[i], out);
    }
    qr_buffer_format(out, "]}\n");
}
