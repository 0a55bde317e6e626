/* verify as a whole: a folder with a log and checkpoints, what is printed about it, and the exit status. */
#include "../wal/checkpoint_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bin/bin.h"

typedef struct scene {
    char folder[64];
    fake_disk *disk;
    harness *log;
    char output[64 * 1024];
} scene;

static const size_t sizes[] = {10, 20, 3000, 70000};

static scene *start(uint32_t records)
{
    scene *s = qr_alloc_zero(1, sizeof *s);
    strcpy(s->folder, "/tmp/quorate-verify-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    s->disk = fake_disk_new();
    s->log = qr_alloc(sizeof *s->log);
    harness_init(s->log, s->disk, 16 * 1024);
    assert_int_equal(harness_open(s->log), QR_OK);
    for (uint32_t i = 0; i < records; i++) {
        harness_append(s->log, 3);
        harness_settle(s->log);
    }
    harness_close(s->log);
    return s;
}

static void each_file(scene *s, void (*act)(const char *path, const qr_buffer *file))
{
    for (int i = 0; i < s->disk->now_count; i++) {
        char path[200];
        snprintf(path, sizeof path, "%s/%s", s->folder, s->disk->now[i].name);
        act(path, fake_disk_file(s->disk, s->disk->now[i].name));
    }
}

static void put_file(const char *path, const qr_buffer *file)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(file->data, 1, file->size, out), file->size);
    assert_int_equal(fclose(out), 0);
}

static void unlink_file(const char *path, const qr_buffer *file)
{
    (void)file;
    assert_int_equal(unlink(path), 0);
}

/* Columns may become wider without anything being wrong. */
static void squeeze(char *text)
{
    char *to = text;
    for (const char *at = text; *at; at++)
        if (*at != ' ' || at[1] != ' ')
            *to++ = *at;
    *to = 0;
}

/* Puts what the fake disk holds into the folder, runs the verb on it, and keeps what it prints. */
static int verify(scene *s, bool json)
{
    char path[100];
    each_file(s, put_file);
    snprintf(path, sizeof path, "%s.output", s->folder);
    fflush(stdout);
    int kept = dup(1);
    assert_true(kept >= 0 && freopen(path, "wb", stdout) != NULL);
    const char *words[] = {"verify", "-o", json ? "json" : "table", s->folder};
    int status = qr_verify_main(4, (char **)words);
    fflush(stdout);
    assert_true(dup2(kept, 1) == 1);
    close(kept);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    size_t size = fread(s->output, 1, sizeof s->output - 1, in);
    s->output[size] = 0;
    squeeze(s->output);
    fclose(in);
    unlink(path);
    each_file(s, unlink_file);
    return status;
}

static void expect(const scene *s, const char *text)
{
    if (strstr(s->output, text) == NULL)
        fail_msg("\"%s\" is not in:\n%s", text, s->output);
}

static void stop(scene *s)
{
    char path[100];
    snprintf(path, sizeof path, "%s/lock", s->folder);
    unlink(path);
    assert_int_equal(rmdir(s->folder), 0);
    fake_disk_free(s->disk);
    qr_free(s->log);
    qr_free(s);
}

static void make(scene *s, uint64_t index)
{
    const kit_plan plan = {.index = index, .seed = index, .count = 4, .sizes = sizes};
    assert_int_equal(kit_make(s->disk, &plan, NULL), QR_OK);
}

static void take_away(scene *s, const char *name)
{
    qr_disk_op op = {.kind = QR_DISK_REMOVE};
    snprintf(op.name, sizeof op.name, "%s", name);
    s->disk->disk.run(s->disk, &op);
    assert_int_equal(op.status, QR_OK);
}

static void test_sound(void **state)
{
    (void)state;
    scene *s = start(20);
    assert_int_equal(verify(s, false), 0);
    assert_null(strstr(s->output, "CHECKPOINT"));
    expect(s, "sound: segments 1, damaged 0, good records 20, entries 1..17");
    make(s, 5);
    make(s, 12);
    kit_put(s->disk, "checkpoint-000000000000000d.part", qr_slice_text("half"));
    kit_put(s->disk, "received-000000000000000e.part", qr_slice_text("half"));
    assert_int_equal(verify(s, false), 0);
    expect(s, "checkpoint-000000000000000c 12 5 81920 21 sound\n");
    expect(s, "checkpoint-000000000000000d.part 13 4 unfinished");
    expect(s, "received-000000000000000e.part ");
    expect(s, "checkpoints 2, damaged 0, newest sound index 12\nsound: segments 1,");
    assert_int_equal(verify(s, true), 0);
    expect(s, "\"checkpoint_index\":12,\"files\":[{");
    expect(s, "\"verdict\":\"sound\",\"index\":5,\"term\":5,\"revision\":15,\"digest\":\"");
    expect(s, "\"wall_ms\":-7,\"apply_version\":9,\"cluster\":\"b\",\"group\":22,\"member\":\"21\"");
    expect(s, "\"verdict\":\"unfinished\",\"index\":14}]}\n");
    stop(s);
}

static void test_damaged(void **state)
{
    (void)state;
    scene *s = start(20);
    make(s, 5);
    make(s, 12);
    fake_disk_file(s->disk, "checkpoint-0000000000000005")->data[70000] ^= 1;
    assert_int_equal(verify(s, false), 1);
    expect(s, "21 damaged at block 2, position 69632: the block is damaged");
    expect(s, "checkpoints 2, damaged 1, newest sound index 12\ndamaged: segments 1, damaged 0,");
    assert_int_equal(verify(s, true), 1);
    expect(s, "\"result\":\"damaged\"");
    expect(s, "\"block\":2,\"position\":69632,\"index\":5,\"term\":5");
    /* The log is as it should be, and begins with the first entry: nothing is lost. */
    fake_disk_file(s->disk, "checkpoint-000000000000000c")->data[20] ^= 1;
    assert_int_equal(verify(s, false), 1);
    expect(s, "81920 damaged at block 0, position 0: its header is damaged");
    expect(s, "checkpoints 2, damaged 2, newest sound index none\n");
    assert_null(strstr(s->output, "gap"));
    stop(s);
}

static void test_newer_and_foreign(void **state)
{
    (void)state;
    scene *s = start(20);
    make(s, 5);
    qr_buffer *file = fake_disk_file(s->disk, "checkpoint-0000000000000005");
    qr_store_u32(file->data + 8, CHECKPOINT_VERSION + 1);
    qr_store_u64(file->data + 104, qr_hash(qr_slice_of(file->data, 104), 0x636b7031));
    assert_int_equal(verify(s, false), 2);
    expect(s, "newer version: it was written by a newer version");
    expect(s, "\nunchecked: segments 1");
    assert_int_equal(verify(s, true), 2);
    expect(s, "\"result\":\"unchecked\",\"sentence\":\"checkpoint file checkpoint-0000000000000005, block 0");
    take_away(s, "checkpoint-0000000000000005");
    qr_checkpoint_about about = kit_about(5, 1);
    about.cluster = 12;
    kit_forge(s->disk, "checkpoint-0000000000000005", &about, qr_slice_text(""), NULL);
    assert_int_equal(verify(s, false), 1);
    expect(s, "damaged at block 0, position 0: it belongs to another cluster");
    stop(s);
}

/* The log's oldest segments are gone: a checkpoint has to stand for them. */
static void test_gap(void **state)
{
    (void)state;
    scene *s = start(200);
    take_away(s, "0000000000000000.wal");
    assert_int_equal(verify(s, true), 1);
    const char *text = strstr(s->output, "\"index_first\":");
    assert_non_null(text);
    uint64_t first = strtoull(text + strlen("\"index_first\":"), NULL, 10);
    char wanted[100];
    assert_true(first > 10);
    snprintf(wanted, sizeof wanted, "\"gap_first\":1,\"gap_last\":%" PRIu64 ",", first - 1);
    expect(s, wanted);
    make(s, first - 2);
    assert_int_equal(verify(s, false), 1);
    snprintf(wanted, sizeof wanted, "gap: entries %" PRIu64 "..%" PRIu64 " are neither", first - 1,
             first - 1);
    expect(s, wanted);
    make(s, first - 1);
    assert_int_equal(verify(s, false), 0);
    assert_null(strstr(s->output, "gap"));
    /* Damaged, it stands for nothing; of a newer version, nobody knows. */
    char name[QR_DISK_NAME_MAX];
    kit_name(first - 1, name);
    fake_disk_file(s->disk, name)->data[5000] ^= 1;
    assert_int_equal(verify(s, false), 1);
    expect(s, wanted);
    qr_buffer *file = fake_disk_file(s->disk, name);
    qr_store_u32(file->data + 8, CHECKPOINT_VERSION + 1);
    qr_store_u64(file->data + 104, qr_hash(qr_slice_of(file->data, 104), 0x636b7031));
    assert_int_equal(verify(s, false), 2);
    assert_null(strstr(s->output, "gap"));
    stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_newer_and_foreign),
        cmocka_unit_test(test_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
