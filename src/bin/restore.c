/* restore: a member's data folder out of a backup, for a new cluster. Every member of it is restored from the
 * same file with the same --initial-cluster, so all begin at the same index with the same state.
 *
 * The folder gets one file, a checkpoint that nobody's log has made: its brief names the new members, its
 * origins are empty (the requests of the old cluster are over), the old members' own entries are gone, and
 * its revision is far above the backup's with everything before it compacted. A start takes it as it would
 * take a leader's. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bin/bin.h"
#include "bin/serve.h"
#include "bin/snapshot_file.h"
#include "node/node.h"
#include "raft/raft.h"
#include "tree/tree.h"

enum { EXIT_RESTORED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define REVISION_BUMP                                                                                        \
    UINT64_C(1000000000) /* more than any client can have seen since the backup was made                     \
                          */
#define REVISION_MAX (UINT64_C(1) << 62)

static const char help[] =
    "NAME\n"
    "    quorate restore - make a member's data folder out of a backup\n\n"
    "SYNOPSIS\n"
    "    quorate restore FILE|FOLDER --data-dir DIR --name NAME --initial-cluster NAME=URL,...\n"
    "                    --initial-advertise-peer-urls URL --initial-cluster-token TEXT [--bump-revision "
    "N]\n\n"
    "DESCRIPTION\n"
    "    Begins a new cluster with the state in FILE, which 'quorate backup' or 'etcdctl snapshot save' has "
    "made\n"
    "    of a cluster of ours. Run it once for each member, with the same FILE, --initial-cluster, token "
    "and\n"
    "    bump; then start each with 'quorate serve' and the same flags. FILE is checked as a whole first. "
    "DIR\n"
    "    must be empty or missing.\n\n"
    "    When a quorum is lost for good: FOLDER is the data folder of a member that was stopped. Everything "
    "in\n"
    "    its checkpoint and its log is taken, also what it did not know to be committed. What the lost "
    "members had\n"
    "    acknowledged without it is gone. Make one folder of it and start it as a cluster of one, then add "
    "members;\n"
    "    or restore all members of the new cluster from the same FOLDER before any is started.\n\n"
    "    The new cluster has another identity than the old one, so it needs another token: a member of the\n"
    "    old cluster that is still alive can do no harm. The revision is raised far above that of the backup "
    "and\n"
    "    everything before is compacted: clients that have seen newer revisions than the backup's never see\n"
    "    time go back, and their watches are told that they have missed something.\n\n"
    "OPTIONS\n"
    "    --bump-revision N     (1000000000)\n        How far the revision is raised.\n"
    "    --name, --data-dir, --initial-cluster, --initial-cluster-token, --initial-advertise-peer-urls\n"
    "        As for 'quorate serve'; its other flags are taken and mean nothing here.\n"
    "    --help\n        Print this page and end.\n\n"
    "EXIT STATUS\n"
    "    0 restored, 1 it failed (DIR is as it was, but for unfinished files), 2 the command line is "
    "wrong.\n\n"
    "EXAMPLES\n"
    "    quorate restore today.backup --name a --data-dir /var/lib/quorate/a --initial-cluster-token "
    "second-life \\\n"
    "        --initial-cluster a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,c=http://10.0.0.3:2380 \\\n"
    "        --initial-advertise-peer-urls http://10.0.0.1:2380\n";

typedef struct restoring {
    qr_arena arena;
    qr_serve_config config;
    const char *path;
    uint64_t bump;
    qr_snapshot_file backup;
    qr_os *os;
    qr_disk disk, now;             /* the folder's; the same with operations that are over when submitted */
    qr_disk_op *over, **over_tail; /* whose done() is due */
    bool finished;
    qr_status status; /* of the file */
} restoring;

/* ---- a disk without a loop ---- */

static void submit_now(void *context, qr_disk_op *op)
{
    restoring *self = context;
    self->disk.run(self->disk.self, op);
    op->next = NULL;
    *self->over_tail = op;
    self->over_tail = &op->next;
}

static void tell_over(restoring *self)
{
    while (self->over) {
        qr_disk_op *op = self->over;
        self->over = op->next;
        if (self->over == NULL)
            self->over_tail = &self->over;
        op->done(op);
    }
}

static void count_file(void *context, const char *name, uint64_t size)
{
    ++*(size_t *)context;
}

static const char *open_folder(restoring *self)
{
    const qr_os_handlers handlers = {0};
    const char *sentence = NULL;
    self->os = qr_os_new(&handlers, self);
    if (qr_os_disk_open(self->os, self->config.data_dir, &self->disk, &self->arena, &sentence) != QR_OK)
        return sentence;
    size_t files = 0;
    if (self->disk.list(self->disk.self, count_file, &files) != QR_OK)
        return qr_arena_format(&self->arena, "the folder %s cannot be read", self->config.data_dir);
    if (files > 0)
        return qr_arena_format(&self->arena, "the folder %s is not empty", self->config.data_dir);
    self->now = (qr_disk){.self = self, .submit = submit_now};
    self->over_tail = &self->over;
    return NULL;
}

/* ---- the state ---- */

/* What the members of the old cluster said of themselves. */
static void forget_members(qr_machine *machine, qr_checkpoint_about *about)
{
    const qr_op everything = {.kind = QR_OP_DELETE,
                              .del = {.span = {.kind = QR_SPAN_FROM, .space = QR_SPACE_CATALOGUE}}};
    const qr_txn txn = {.then_ops = &everything, .then_count = 1};
    qr_buffer body;
    qr_arena arena;
    qr_buffer_init(&body);
    qr_arena_init(&arena);
    qr_body_encode_txn(&txn, &body);
    const qr_command command = {
        .apply_version = about->apply_version, .stamp_ms = about->wall_ms, .body = qr_buffer_slice(&body)};
    const void *result;
    about->index++;
    QR_CHECK(machine->ops->apply(machine, about->index, &command, &arena, &result) == QR_OK,
             "a deletion that asks for nothing is always possible");
    qr_arena_free(&arena);
    qr_buffer_free(&body);
}

static const char *begin_anew(restoring *self)
{
    qr_machine *machine = self->backup.machine;
    qr_checkpoint_about *about = &self->backup.about;
    if (about->cluster == self->config.cluster)
        return "the new cluster would have the identity of the old one: give it another "
               "--initial-cluster-token";
    forget_members(machine, about);
    uint64_t revision = machine->ops->revision(machine);
    if (self->bump > REVISION_MAX - revision)
        return "--bump-revision is too large";
    QR_CHECK(qr_tree_advance(machine, revision + self->bump) == QR_OK, "the revision goes up");
    const qr_origins none = {0};
    about->cluster = self->config.cluster;
    about->group = 1;
    about->member = about->incarnation = 0; /* no member has made it */
    about->digest = qr_state_digest(machine->ops->digest(machine), &none, about->apply_version);
    about->revision = machine->ops->revision(machine);
    return NULL;
}

/* ---- the file ---- */

static void on_done(void *context, qr_status status, uint64_t bytes)
{
    restoring *self = context;
    self->finished = true;
    self->status = status;
}

static void on_ready(void *context) {}

static void add_state(restoring *self, qr_checkpoint_writer *writer)
{
    qr_machine *machine = self->backup.machine;
    const qr_origins none = {0};
    qr_buffer chunk;
    qr_buffer_init(&chunk);
    qr_node_found(&qr_raft, &self->config.group, &chunk);
    qr_checkpoint_add(writer, QR_CHECKPOINT_BRIEF, qr_buffer_slice(&chunk));
    qr_buffer_clear(&chunk);
    qr_origins_encode(&none, &chunk);
    qr_checkpoint_add(writer, QR_CHECKPOINT_ORIGINS, qr_buffer_slice(&chunk));
    QR_CHECK(machine->ops->save_begin(machine) == QR_OK, "nobody else is saving");
    for (bool done = false; !done && !self->finished;) {
        qr_buffer_clear(&chunk);
        machine->ops->save_next(machine, QR_CHECKPOINT_BLOCK, &chunk, &done);
        qr_checkpoint_add(writer, QR_CHECKPOINT_MACHINE, qr_buffer_slice(&chunk));
        tell_over(self);
    }
    machine->ops->save_end(machine);
    qr_buffer_free(&chunk);
}

static const char *write_file(restoring *self)
{
    qr_checkpoint_writer *writer =
        qr_checkpoint_begin(&self->now, &self->backup.about, on_done, on_ready, self);
    add_state(self, writer);
    if (!self->finished)
        qr_checkpoint_finish(writer);
    tell_over(self);
    QR_CHECK(self->finished, "a disk that never waits finishes");
    return self->status == QR_OK ? NULL : qr_status_sentence(self->status);
}

/* ---- the command line ---- */

/* Is the word no flag, and no value of the flag before it? */
static bool is_free(char **argv, int at)
{
    bool behind_flag = at > 1 && argv[at - 1][0] == '-' && !strchr(argv[at - 1], '=');
    return argv[at][0] != '-' && !behind_flag;
}

/* Takes what is restore's own out of argv; the rest is serve's. */
static const char *take_own(restoring *self, int *argc, char **argv)
{
    int kept = 1;
    self->bump = REVISION_BUMP;
    for (int i = 1; i < *argc; i++) {
        const char *word = argv[i] + strspn(argv[i], "-"), *value = NULL;
        bool bump = argv[i][0] == '-' && strncmp(word, "bump-revision", 13) == 0;
        if (bump && word[13] == '=')
            value = word + 14;
        else if (bump && word[13] == 0)
            value = i + 1 < *argc ? argv[++i] : "";
        if (value) {
            char *end;
            self->bump = strtoull(value, &end, 10);
            if (end == value || *end || value[0] == '-')
                return qr_arena_format(&self->arena, "--bump-revision takes a number, not \"%s\"", value);
        } else if (!self->path && is_free(argv, i)) {
            self->path = argv[i];
        } else {
            argv[kept++] = argv[i];
        }
    }
    *argc = kept;
    return self->path ? NULL : "which file? It stands first, or behind a flag with its value";
}

static const char *restore(restoring *self)
{
    struct stat about;
    bool is_folder = stat(self->path, &about) == 0 && S_ISDIR(about.st_mode);
    const char *sentence = is_folder ? qr_snapshot_folder_load(self->path, &self->arena, &self->backup)
                                     : qr_snapshot_file_load(self->path, &self->arena, &self->backup);
    if (!sentence)
        sentence = begin_anew(self);
    if (!sentence)
        sentence = open_folder(self);
    return sentence ? sentence : write_file(self);
}

static void report(const restoring *self)
{
    qr_tree_status tree = qr_snapshot_file_status(&self->backup);
    printf("restored %" PRIu64 " keys into %s: index %" PRIu64 ", revision %" PRIu64
           " (everything before is compacted)\n",
           tree.keys, self->config.data_dir, self->backup.about.index, tree.revision);
}

static int run(restoring *self, int argc, char **argv)
{
    char *no_environment[] = {NULL};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return EXIT_RESTORED;
        }
    const char *sentence = take_own(self, &argc, argv);
    if (!sentence) {
        qr_flags flags = qr_serve_flags();
        qr_status status = qr_flags_parse(&flags, argc, argv, no_environment, &self->arena, &sentence);
        if (status == QR_OK)
            status = qr_serve_configure(&flags, &self->arena, &self->config, &sentence);
        if (status == QR_OK)
            sentence = NULL;
    }
    if (sentence) {
        fprintf(stderr, "quorate restore: %s\nTry 'quorate restore --help'.\n", sentence);
        return EXIT_USAGE;
    }
    sentence = restore(self);
    if (sentence)
        fprintf(stderr, "quorate restore: %s\n", sentence);
    else
        report(self);
    return sentence ? EXIT_FAILED : EXIT_RESTORED;
}

int qr_restore_main(int argc, char **argv)
{
    restoring *self = qr_alloc_zero(1, sizeof *self);
    qr_arena_init(&self->arena);
    int exit_status = run(self, argc, argv);
    if (self->backup.machine)
        self->backup.machine->ops->free(self->backup.machine);
    if (self->os)
        qr_os_free(self->os);
    qr_arena_free(&self->arena);
    qr_free(self);
    return exit_status;
}
