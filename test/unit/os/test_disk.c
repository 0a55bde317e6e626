/* The disk edge over real files: what it promises, what it refuses. */
#include "drive.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct world {
    qr_os *os;
    qr_disk disk;
    char *folder;
    qr_arena arena;
    size_t done;
    qr_disk_op *order[64]; /* in the order of completion */
} world;

static int set_up(void **state)
{
    world *w = qr_alloc_zero(1, sizeof *w);
    w->os = qr_os_new(&(qr_os_handlers){0}, w);
    w->folder = drive_folder();
    qr_arena_init(&w->arena);
    const char *sentence = "";
    assert_int_equal(qr_os_disk_open(w->os, w->folder, &w->disk, &w->arena, &sentence), QR_OK);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world *w = *state;
    qr_os_free(w->os);
    drive_remove(w->folder);
    qr_arena_free(&w->arena);
    qr_free(w);
    return 0;
}

static void on_done(qr_disk_op *op)
{
    world *w = op->owner;
    assert_true(w->done < 64);
    w->order[w->done++] = op;
}

static qr_disk_op make(world *w, qr_disk_kind kind, qr_disk_lane lane, const char *name)
{
    qr_disk_op op = {.kind = kind, .lane = lane, .done = on_done, .owner = w};
    snprintf(op.name, sizeof op.name, "%s", name);
    return op;
}

static qr_status run(world *w, qr_disk_kind kind, const char *name)
{
    qr_disk_op op = make(w, kind, QR_LANE_LOG, name);
    w->disk.run(w->disk.self, &op);
    return op.status;
}

static qr_status write_at(world *w, qr_disk_kind kind, const char *name, uint64_t offset, const char *text)
{
    qr_disk_op op = make(w, kind, QR_LANE_LOG, name);
    op.offset = offset;
    op.bytes = qr_slice_text(text);
    w->disk.run(w->disk.self, &op);
    return op.status;
}

static qr_status rename_to(world *w, const char *name, const char *name_to)
{
    qr_disk_op op = make(w, QR_DISK_RENAME, QR_LANE_LOG, name);
    snprintf(op.name_to, sizeof op.name_to, "%s", name_to);
    w->disk.run(w->disk.self, &op);
    return op.status;
}

static void expect_bytes(world *w, const char *name, uint64_t offset, const char *wanted, size_t size)
{
    char got[256];
    qr_disk_op op = make(w, QR_DISK_READ, QR_LANE_LOG, name);
    op.offset = offset;
    op.target = (uint8_t *)got;
    op.size = sizeof got;
    w->disk.run(w->disk.self, &op);
    assert_int_equal(op.status, QR_OK);
    assert_int_equal(op.got, size);
    assert_memory_equal(got, wanted, size);
}

static void test_write_and_read_back(void **state)
{
    world *w = *state;
    assert_int_equal(run(w, QR_DISK_CREATE, "log-1"), QR_OK);
    assert_int_equal(run(w, QR_DISK_CREATE, "log-1"), QR_E_EXISTS);
    assert_int_equal(write_at(w, QR_DISK_WRITE, "log-1", 0, "hello"), QR_OK);
    assert_int_equal(write_at(w, QR_DISK_WRITE_SYNC, "log-1", 7, "world"), QR_OK);
    expect_bytes(w, "log-1", 0, "hello\0\0world", 12);
    expect_bytes(w, "log-1", 5, "\0\0world", 7);
    expect_bytes(w, "log-1", 12, "", 0);
    assert_int_equal(run(w, QR_DISK_SYNC, "log-1"), QR_OK);
    assert_int_equal(run(w, QR_DISK_SYNC_FOLDER, ""), QR_OK);
    struct stat about;
    assert_int_equal(stat(qr_arena_format(&w->arena, "%s/log-1", w->folder), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void test_reserve(void **state)
{
    world *w = *state;
    qr_disk_op op = make(w, QR_DISK_RESERVE, QR_LANE_LOG, "log-1");
    op.size = 1024 * 1024;
    w->disk.run(w->disk.self, &op);
    assert_int_equal(op.status, QR_E_NOT_FOUND);
    assert_int_equal(run(w, QR_DISK_CREATE, "log-1"), QR_OK);
    w->disk.run(w->disk.self, &op);
    if (op.status == QR_E_UNSUPPORTED) /* by the file system of the temporary folder */
        return;
    assert_int_equal(op.status, QR_OK);
    struct stat about;
    assert_int_equal(stat(qr_arena_format(&w->arena, "%s/log-1", w->folder), &about), 0);
    assert_int_equal(about.st_size, 1024 * 1024);
    assert_true(about.st_blocks * 512 >= 1024 * 1024);
    assert_int_equal(write_at(w, QR_DISK_WRITE_SYNC, "log-1", 1024 * 1024 - 5, "world"), QR_OK);
    expect_bytes(w, "log-1", 1024 * 1024 - 8, "\0\0\0world", 8);
}

static void test_missing_files(void **state)
{
    world *w = *state;
    assert_int_equal(write_at(w, QR_DISK_WRITE, "none", 0, "x"), QR_E_NOT_FOUND);
    assert_int_equal(run(w, QR_DISK_SYNC, "none"), QR_E_NOT_FOUND);
    assert_int_equal(run(w, QR_DISK_READ, "none"), QR_E_NOT_FOUND);
    assert_int_equal(run(w, QR_DISK_REMOVE, "none"), QR_E_NOT_FOUND);
    assert_int_equal(rename_to(w, "none", "other"), QR_E_NOT_FOUND);
}

/* A cached descriptor must not outlive the name it was opened by. */
static void test_rename_and_remove_forget_descriptors(void **state)
{
    world *w = *state;
    run(w, QR_DISK_CREATE, "a");
    run(w, QR_DISK_CREATE, "b");
    write_at(w, QR_DISK_WRITE, "a", 0, "from a");
    write_at(w, QR_DISK_WRITE, "b", 0, "from b");
    assert_int_equal(rename_to(w, "a", "b"), QR_OK);
    expect_bytes(w, "b", 0, "from a", 6);
    assert_int_equal(write_at(w, QR_DISK_WRITE, "a", 0, "x"), QR_E_NOT_FOUND);
    assert_int_equal(run(w, QR_DISK_REMOVE, "b"), QR_OK);
    assert_int_equal(run(w, QR_DISK_READ, "b"), QR_E_NOT_FOUND);
    assert_int_equal(run(w, QR_DISK_CREATE, "b"), QR_OK);
    expect_bytes(w, "b", 0, "", 0);
}

static off_t size_of(int descriptor)
{
    struct stat about;
    assert_int_equal(fstat(descriptor, &about), 0);
    return about.st_size;
}

static bool is_released(void *context)
{
    return size_of(*(const int *)context) <= 1024 * 1024;
}

/* A large file loses its name at once and its bytes by and by; whoever has another name for it keeps them. */
static void test_space_goes_back_in_steps(void **state)
{
    world *w = *state;
    static const char *const names[] = {"large", "linked"};
    enum { SIZE = 4 * 1024 * 1024 };
    int watched[2];
    for (int i = 0; i < 2; i++) {
        const char *path = qr_arena_format(&w->arena, "%s/%s", w->folder, names[i]);
        assert_int_equal(run(w, QR_DISK_CREATE, names[i]), QR_OK);
        assert_int_equal(write_at(w, QR_DISK_WRITE_SYNC, names[i], SIZE - 1, "x"), QR_OK);
        watched[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (i == 1)
            assert_int_equal(link(path, qr_arena_format(&w->arena, "%s/kept", w->folder)), 0);
    }
    assert_int_equal(run(w, QR_DISK_REMOVE, "linked"), QR_OK);
    assert_int_equal(run(w, QR_DISK_REMOVE, "large"), QR_OK);
    assert_int_equal(run(w, QR_DISK_READ, "large"), QR_E_NOT_FOUND);
    assert_int_equal(size_of(watched[0]), SIZE); /* the disk thread has not been woken */
    qr_disk_op op = make(w, QR_DISK_SYNC_FOLDER, QR_LANE_LOG, "");
    w->disk.submit(w->disk.self, &op);
    drive_until(&w->os, 1, is_released, &watched[0], "the space is given back");
    assert_int_equal(size_of(watched[1]), SIZE);
    close(watched[0]);
    close(watched[1]);
}

/* More files than descriptors are kept: each still has its own bytes. */
static void test_many_files(void **state)
{
    world *w = *state;
    char name[32], text[32];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "file-%03d", i);
        assert_int_equal(run(w, QR_DISK_CREATE, name), QR_OK);
    }
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "file-%03d", i * 7 % 100);
        assert_int_equal(write_at(w, QR_DISK_WRITE, name, 0, name), QR_OK);
    }
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "file-%03d", i);
        expect_bytes(w, text, 0, text, 8);
    }
}

static void visit(void *context, const char *name, uint64_t size)
{
    qr_buffer *out = context;
    qr_buffer_format(out, "%s:%d ", name, (int)size);
}

static void test_list(void **state)
{
    world *w = *state;
    run(w, QR_DISK_CREATE, "b");
    run(w, QR_DISK_CREATE, "a.2");
    run(w, QR_DISK_CREATE, "a.1");
    write_at(w, QR_DISK_WRITE, "b", 0, "1234");
    mkdir(qr_arena_format(&w->arena, "%s/folder", w->folder), 0700);
    assert_int_equal(symlink("b", qr_arena_format(&w->arena, "%s/link", w->folder)), 0);
    qr_buffer out;
    qr_buffer_init(&out);
    assert_int_equal(w->disk.list(w->disk.self, visit, &out), QR_OK);
    qr_buffer_u8(&out, 0);
    assert_string_equal((char *)out.data, "a.1:0 a.2:0 b:4 ");
    qr_buffer_free(&out);
    /* A link is followed neither for reading nor for writing. */
    assert_int_equal(run(w, QR_DISK_READ, "link"), QR_E_IO);
}

static bool all_done(void *context)
{
    const world *w = context;
    return w->done == 41;
}

/* Everything submitted before the thread can look: the log lane goes first, each lane in order, and a failure
 * is told. */
static void test_lanes(void **state)
{
    world *w = *state;
    run(w, QR_DISK_CREATE, "log");
    run(w, QR_DISK_CREATE, "back");
    qr_disk_op ops[41];
    char texts[41][12];
    ops[0] = make(w, QR_DISK_WRITE, QR_LANE_BACKGROUND, "none");
    ops[0].bytes = qr_slice_text("x");
    for (int i = 1; i < 41; i++) {
        bool log = i % 2 == 0;
        snprintf(texts[i], sizeof texts[i], "%03d", i);
        ops[i] = make(w, QR_DISK_WRITE_SYNC, log ? QR_LANE_LOG : QR_LANE_BACKGROUND, log ? "log" : "back");
        ops[i].bytes = qr_slice_text(texts[i]);
    }
    for (int i = 0; i < 41; i++)
        w->disk.submit(w->disk.self, &ops[i]);
    assert_int_equal(w->done, 0); /* never from inside submit */
    assert_false(qr_os_disks_idle(w->os));
    drive_until(&w->os, 1, all_done, w, "41 operations");
    assert_true(qr_os_disks_idle(w->os));
    qr_disk_op *last[QR_LANE_COUNT] = {0};
    for (size_t i = 0; i < w->done; i++) {
        qr_disk_op *op = w->order[i];
        assert_int_equal(op->status, op == &ops[0] ? QR_E_NOT_FOUND : QR_OK);
        assert_true(last[op->lane] == NULL || last[op->lane] < op);
        last[op->lane] = op;
    }
    expect_bytes(w, "log", 0, "040", 3);
    expect_bytes(w, "back", 0, "039", 3);
}

/* A chain: each completion submits the next. The loop must not block in between, nor lose the last one when
 * stopping. */
static void chain(qr_disk_op *op)
{
    world *w = op->owner;
    assert_int_equal(op->status, QR_OK);
    if (++w->done < 50) {
        op->offset += 512;
        w->disk.submit(w->disk.self, op);
    } else {
        qr_os_stop(w->os);
    }
}

static void test_chain_and_run(void **state)
{
    world *w = *state;
    run(w, QR_DISK_CREATE, "log");
    uint8_t *block = qr_alloc_zero(512, 1);
    qr_disk_op op = make(w, QR_DISK_WRITE_SYNC, QR_LANE_LOG, "log");
    op.done = chain;
    op.bytes = qr_slice_of(block, 512);
    w->disk.submit(w->disk.self, &op);
    qr_os_run(w->os);
    assert_int_equal(w->done, 50);
    assert_true(qr_os_disks_idle(w->os));
    qr_free(block);
}

/* run() of one thread beside submit() of the other: the table of descriptors is shared. */
static void test_run_beside_the_thread(void **state)
{
    world *w = *state;
    char name[32];
    qr_disk_op ops[41];
    for (int i = 0; i < 41; i++) {
        snprintf(name, sizeof name, "own-%d", i);
        ops[i] = make(w, QR_DISK_CREATE, i % 2 ? QR_LANE_LOG : QR_LANE_BACKGROUND, name);
        w->disk.submit(w->disk.self, &ops[i]);
        snprintf(name, sizeof name, "run-%d", i);
        assert_int_equal(run(w, QR_DISK_CREATE, name), QR_OK);
        assert_int_equal(write_at(w, QR_DISK_WRITE, name, 0, name), QR_OK);
    }
    drive_until(&w->os, 1, all_done, w, "41 files made");
    for (int i = 0; i < 41; i++)
        assert_int_equal(ops[i].status, QR_OK);
}

/* A full disk is NO_SPACE in CREATE and in writing; what was written before can still be synced. Needs a
 * small file system of its own, which only root can mount; elsewhere the test is skipped. */
static void fill_up(world *w)
{
    uint8_t *block = qr_alloc_zero(64 * 1024, 1);
    qr_status status = run(w, QR_DISK_CREATE, "log");
    qr_disk_op op = make(w, QR_DISK_WRITE, QR_LANE_BACKGROUND, "log");
    op.bytes = qr_slice_of(block, 64 * 1024);
    for (int i = 0; i < 64 && status == QR_OK; i++) {
        op.offset = (uint64_t)i * op.bytes.size;
        w->disk.run(w->disk.self, &op);
        status = op.status;
    }
    assert_int_equal(status, QR_E_NO_SPACE);
    op.kind = QR_DISK_WRITE_SYNC;
    w->disk.run(w->disk.self, &op);
    assert_int_equal(op.status, QR_E_NO_SPACE);
    assert_int_equal(run(w, QR_DISK_SYNC, "log"), QR_OK);
    int created = 0;
    char name[32];
    for (status = QR_OK; status == QR_OK && created < 1000; created++) {
        snprintf(name, sizeof name, "file-%d", created);
        status = run(w, QR_DISK_CREATE, name);
    }
    assert_int_equal(status, QR_E_NO_SPACE);
    qr_free(block);
}

static void test_full_disk(void **state)
{
    world *w = *state;
    char *small = qr_arena_format(&w->arena, "%s/small", w->folder);
    mkdir(small, 0700);
    if (mount("none", small, "tmpfs", 0, "size=256k,nr_inodes=64,mode=0700") != 0) {
        rmdir(small);
        skip();
    }
    world full = {.os = qr_os_new(&(qr_os_handlers){0}, NULL)};
    const char *sentence = "";
    qr_status status = qr_os_disk_open(full.os, small, &full.disk, &w->arena, &sentence);
    if (status == QR_OK)
        fill_up(&full);
    qr_os_free(full.os);
    assert_int_equal(umount(small), 0);
    rmdir(small);
    assert_int_equal(status, QR_OK);
}

/* Beyond the greatest file the kernel allows: an error that is not a lack of space. */
static void test_write_error_is_io(void **state)
{
    world *w = *state;
    run(w, QR_DISK_CREATE, "log");
    assert_int_equal(write_at(w, QR_DISK_WRITE, "log", UINT64_MAX / 2, "x"), QR_E_IO);
    assert_int_equal(write_at(w, QR_DISK_WRITE_SYNC, "log", UINT64_MAX / 2, "x"), QR_E_IO);
}

static void test_folder_refusals(void **state)
{
    world *w = *state;
    const char *sentence = NULL;
    qr_disk disk;
    char *wide = qr_arena_format(&w->arena, "%s/wide", w->folder);
    mkdir(wide, 0755);
    chmod(wide, 0755);
    assert_int_equal(qr_os_disk_open(w->os, wide, &disk, &w->arena, &sentence), QR_E_PERMISSION);
    assert_non_null(strstr(sentence, "(mode 0755)"));
    assert_non_null(strstr(sentence, "chmod 700"));
    chmod(wide, 0710);
    assert_int_equal(qr_os_disk_open(w->os, wide, &disk, &w->arena, &sentence), QR_E_PERMISSION);
    rmdir(wide);
    /* The lock: a second opener is told which process holds it. */
    assert_int_equal(qr_os_disk_open(w->os, w->folder, &disk, &w->arena, &sentence), QR_E_BUSY);
    assert_non_null(strstr(sentence, qr_arena_format(&w->arena, "(%d)", (int)getpid())));
    /* A file where a folder should be. */
    run(w, QR_DISK_CREATE, "file");
    char *file = qr_arena_format(&w->arena, "%s/file", w->folder);
    assert_int_equal(qr_os_disk_open(w->os, file, &disk, &w->arena, &sentence), QR_E_IO);
    assert_int_equal(qr_os_disk_open(w->os, "", &disk, &w->arena, &sentence), QR_E_INVALID);
    if (geteuid() == 0) {
        char *other = qr_arena_format(&w->arena, "%s/other", w->folder);
        mkdir(other, 0700);
        assert_int_equal(chown(other, 12345, 12345), 0);
        assert_int_equal(qr_os_disk_open(w->os, other, &disk, &w->arena, &sentence), QR_E_PERMISSION);
        assert_non_null(strstr(sentence, "12345"));
        rmdir(other);
    }
}

static void test_folder_is_made_with_parents(void **state)
{
    world *w = *state;
    const char *sentence = NULL;
    char *deep = qr_arena_format(&w->arena, "%s/x/y/z", w->folder);
    qr_os *os = qr_os_new(&(qr_os_handlers){0}, NULL);
    qr_disk disk;
    assert_int_equal(qr_os_disk_open(os, deep, &disk, &w->arena, &sentence), QR_OK);
    struct stat about;
    assert_int_equal(stat(deep, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    qr_os_free(os);
    unlink(qr_arena_format(&w->arena, "%s/x/y/z/lock", w->folder));
    assert_int_equal(rmdir(deep), 0);
    rmdir(qr_arena_format(&w->arena, "%s/x/y", w->folder));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_write_and_read_back),
        CASE(test_reserve),
        CASE(test_missing_files),
        CASE(test_space_goes_back_in_steps),
        CASE(test_rename_and_remove_forget_descriptors),
        CASE(test_many_files),
        CASE(test_list),
        CASE(test_lanes),
        CASE(test_chain_and_run),
        CASE(test_run_beside_the_thread),
        CASE(test_full_disk),
        CASE(test_write_error_is_io),
        CASE(test_folder_refusals),
        CASE(test_folder_is_made_with_parents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
