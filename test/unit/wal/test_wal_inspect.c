/* Inspecting says of every segment what opening would find, and writes nothing. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

#include "wal/inside.h"

typedef struct findings {
    qr_wal_report reports[64];
    size_t count;
    qr_status status;
    char sentence[256];
} findings;

static void on_report(void *context, const qr_wal_report *report)
{
    findings *f = context;
    assert_true(f->count < 64);
    f->reports[f->count] = *report;
    f->reports[f->count++].what = NULL; /* the arena's, which is gone when they are looked at */
}

static qr_status only_reads(void *context, const qr_disk_op *op)
{
    (void)context;
    assert_int_equal(op->kind, QR_DISK_READ);
    return QR_OK;
}

static void inspect(fake_disk *disk, findings *f)
{
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    memset(f, 0, sizeof *f);
    uint64_t digest = fake_disk_digest(disk);
    disk->before = only_reads;
    f->status = qr_wal_inspect(&disk->disk, on_report, f, &arena, &sentence);
    disk->before = NULL;
    assert_true(fake_disk_digest(disk) == digest);
    assert_true((sentence == NULL) == (f->status == QR_OK));
    snprintf(f->sentence, sizeof f->sentence, "%s", sentence ? sentence : "");
    qr_arena_free(&arena);
}

static harness *start(uint32_t records)
{
    harness *h = qr_alloc(sizeof *h);
    harness_init(h, fake_disk_new(), 16 * 1024);
    h->where = "inspect";
    DEMAND(h, harness_open(h) == QR_OK);
    for (uint32_t i = 0; i < records; i++) {
        harness_append(h, 3);
        if (i % 2)
            harness_settle(h);
    }
    harness_settle(h);
    return h;
}

static void stop(harness *h)
{
    harness_close(h);
    fake_disk_free(h->disk);
    qr_free(h);
}

static void make_file(fake_disk *disk, const char *name)
{
    qr_disk_op op = {.kind = QR_DISK_CREATE};
    snprintf(op.name, sizeof op.name, "%s", name);
    disk->disk.run(disk, &op);
    assert_int_equal(op.status, QR_OK);
}

static void test_sound(void **state)
{
    (void)state;
    harness *h = start(200);
    qr_wal_status facts;
    qr_wal_status_of(h->wal, &facts);
    harness_close(h);
    make_file(h->disk, "checkpoint-1");
    make_file(h->disk, "checkpoint-0000000000000001"); /* these two are for others to judge */
    make_file(h->disk, "received-0000000000000001.part");
    findings f;
    inspect(h->disk, &f);
    assert_int_equal(f.status, QR_OK);
    assert_int_equal(f.count, facts.segments + facts.spare + 1);
    uint64_t records = 0, last = 0;
    for (size_t i = 0; i < facts.segments; i++) {
        const qr_wal_report *r = &f.reports[i];
        assert_int_equal(r->verdict, QR_WAL_SOUND);
        assert_true(r->has_head && r->cluster == 11 && r->group == 22 && r->member == 33);
        assert_true(r->incarnation == 44 && r->segment_size == 16 * 1024 && r->records > 0);
        if (i > 0)
            assert_int_equal(r->sequence, r[-1].sequence + r[-1].span);
        assert_int_equal(r->index_first, last + 1);
        last = r->index_last;
        records += r->records;
    }
    assert_int_equal(records, 200);
    assert_int_equal(last, harness_entry(199));
    assert_int_equal(f.reports[0].first_position, facts.first_position);
    assert_int_equal(f.reports[facts.segments - 1].next_position, facts.next_position);
    assert_int_equal(f.reports[facts.segments].verdict, QR_WAL_SPARE);
    assert_int_equal(f.reports[f.count - 1].verdict, QR_WAL_STRANGER);
    assert_string_equal(f.reports[f.count - 1].name, "checkpoint-1");
    stop(h);
}

static void test_empty_folder(void **state)
{
    (void)state;
    fake_disk *disk = fake_disk_new();
    findings f;
    inspect(disk, &f);
    assert_int_equal(f.status, QR_E_NOT_FOUND);
    assert_int_equal(f.count, 0);
    make_file(disk, "notes.txt");
    inspect(disk, &f);
    assert_int_equal(f.status, QR_E_NOT_FOUND);
    assert_int_equal(f.count, 1);
    fake_disk_free(disk);
}

static void test_torn_tail(void **state)
{
    (void)state;
    harness *h = start(10);
    qr_wal_status facts;
    qr_wal_status_of(h->wal, &facts);
    harness_append_many(h, 3, 9);
    uint64_t end = h->model.end[12];
    harness_settle(h);
    harness_close(h);
    fake_disk_file(h->disk, "0000000000000000.wal")->data[facts.next_position + 60] ^= 1;
    findings f;
    inspect(h->disk, &f);
    assert_int_equal(f.status, QR_OK);
    assert_int_equal(f.reports[0].verdict, QR_WAL_TORN);
    assert_int_equal(f.reports[0].position, facts.next_position);
    assert_int_equal(f.reports[0].next_position, facts.next_position);
    assert_int_equal(f.reports[0].torn, end - facts.next_position);
    assert_int_equal(f.reports[0].records, 10);
    /* The same with a later flush behind it, which proves that it had been durable. */
    fake_disk_file(h->disk, "0000000000000000.wal")->data[facts.next_position + 60] ^= 1;
    assert_int_equal(harness_open(h), QR_OK);
    harness_append(h, 9);
    harness_settle(h);
    harness_close(h);
    fake_disk_file(h->disk, "0000000000000000.wal")->data[facts.next_position + 60] ^= 1;
    inspect(h->disk, &f);
    assert_int_equal(f.reports[0].verdict, QR_WAL_DAMAGED);
    assert_int_equal(f.reports[0].status, QR_E_CORRUPT);
    assert_int_equal(f.reports[0].position, facts.next_position);
    stop(h);
}

/* Damage in one segment hides nothing of the others. */
static void test_damaged_middle(void **state)
{
    (void)state;
    harness *h = start(200);
    harness_close(h);
    findings good, f;
    inspect(h->disk, &good);
    qr_buffer *file = fake_disk_file(h->disk, "0000000000000001.wal");
    uint64_t place = 16 * 1024, at = good.reports[1].first_position + 60 - place;
    assert_true(good.reports[2].verdict == QR_WAL_SOUND && good.reports[2].has_head);
    for (int what = 0; what < 4; what++) {
        uint64_t where = what == 0   ? at
                         : what == 1 ? 20
                         : what == 2 ? 120
                                     : good.reports[1].next_position - 1 - place;
        file->data[where] ^= 1;
        inspect(h->disk, &f);
        assert_int_equal(f.status, QR_OK);
        assert_int_equal(f.count, good.count);
        assert_int_equal(f.reports[1].verdict, QR_WAL_DAMAGED);
        assert_int_equal(f.reports[1].status, QR_E_CORRUPT);
        assert_true(f.reports[1].records < good.reports[1].records);
        assert_int_equal(f.reports[1].has_head, what != 1);
        if (what == 0)
            assert_int_equal(f.reports[1].position, good.reports[1].first_position);
        for (size_t i = 0; i < f.count; i++)
            if (i != 1)
                assert_memory_equal(&f.reports[i], &good.reports[i], sizeof f.reports[i]);
        assert_int_equal(harness_open(h), QR_E_CORRUPT);
        file->data[where] ^= 1;
    }
    assert_int_equal(harness_open(h), QR_OK);
    stop(h);
}

/* Without the head behind it a segment's end is not known; yet only the last one may be torn. */
static void test_no_tail_is_torn_in_the_middle(void **state)
{
    (void)state;
    harness *h = start(200);
    harness_close(h);
    findings good, f;
    inspect(h->disk, &good);
    fake_disk_file(h->disk, "0000000000000001.wal")->data[20] ^= 1;
    inspect(h->disk, &f);
    assert_memory_equal(&f.reports[0], &good.reports[0], sizeof f.reports[0]);
    fake_disk_file(h->disk, "0000000000000000.wal")->data[good.reports[0].next_position - 1] ^= 1;
    inspect(h->disk, &f);
    assert_int_equal(f.reports[0].verdict, QR_WAL_DAMAGED);
    assert_int_equal(f.reports[0].records, good.reports[0].records - 1);
    assert_int_equal(f.reports[0].position, f.reports[0].next_position);
    stop(h);
}

static void patch_head(qr_buffer *file, size_t at, uint64_t value)
{
    qr_store_u64(file->data + at, value);
    qr_store_u64(file->data + 104, qr_hash(qr_slice_of(file->data, 104), 0x77616c31));
}

static void test_foreign_missing_and_newer(void **state)
{
    (void)state;
    harness *h = start(200);
    harness_close(h);
    findings f;
    fake_disk *good = h->disk, *disk = fake_disk_clone(good);
    patch_head(fake_disk_file(disk, "0000000000000001.wal"), 16, 12); /* cluster */
    inspect(disk, &f);
    assert_int_equal(f.status, QR_OK);
    assert_int_equal(f.reports[0].verdict, QR_WAL_SOUND);
    assert_int_equal(f.reports[1].verdict, QR_WAL_DAMAGED);
    assert_int_equal(f.reports[1].status, QR_E_FOREIGN);
    assert_int_equal(f.reports[1].cluster, 12);
    fake_disk_free(disk);

    disk = fake_disk_clone(good);
    qr_disk_op op = {.kind = QR_DISK_REMOVE, .name = "0000000000000001.wal"};
    disk->disk.run(disk, &op);
    inspect(disk, &f);
    assert_int_equal(f.reports[0].verdict, QR_WAL_SOUND);
    assert_int_equal(f.reports[1].sequence, 2);
    assert_int_equal(f.reports[1].verdict, QR_WAL_DAMAGED); /* the one before it is missing */
    assert_true(f.reports[1].records > 0);                  /* looked at nevertheless */
    fake_disk_free(disk);

    disk = fake_disk_clone(good);
    qr_buffer *file = fake_disk_file(disk, "0000000000000001.wal");
    qr_store_u32(file->data + 8, WAL_VERSION + 1);
    patch_head(file, 16, 11);
    inspect(disk, &f);
    assert_int_equal(f.status, QR_E_BAD_VERSION);
    assert_non_null(strstr(f.sentence, "newer version"));
    assert_int_equal(f.reports[0].verdict, QR_WAL_SOUND);
    assert_int_equal(f.reports[1].verdict, QR_WAL_UNCHECKED);
    fake_disk_free(disk);
    stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_empty_folder),
        cmocka_unit_test(test_torn_tail),
        cmocka_unit_test(test_damaged_middle),
        cmocka_unit_test(test_no_tail_is_torn_in_the_middle),
        cmocka_unit_test(test_foreign_missing_and_newer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
