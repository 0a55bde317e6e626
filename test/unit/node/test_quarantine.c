/* A damaged log is put aside, and the member begins anew: as a learner in its own eyes, with a newer
 * incarnation, whatever moment a crash comes. doc/design/members.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "raft/raft.h"
#include "trio.h"

enum { SELF = 2, INCARNATION = 500 };

static qr_node_config config_of(const fake_disk *disk, uint32_t others)
{
    qr_node_config config = {
        .cluster = 7,
        .group = 1,
        .self = SELF,
        .incarnation = INCARNATION,
        .heartbeat_ms = 50,
        .election_ms = 500,
        .now_ms = 1,
        .segment_size = 64 * 1024,
        .disk = disk->disk,
    };
    qr_members_add(&config.members, (qr_member){.id = SELF, .role = QR_ROLE_VOTER});
    for (uint32_t i = 0; i < others; i++)
        qr_members_add(&config.members, (qr_member){.id = 3 + i, .role = QR_ROLE_VOTER});
    return config;
}

static uint8_t role_of(const qr_node_config *config)
{
    return qr_members_find(&config->members, SELF)->role;
}

/* A folder with the segments of a real log, the first of which is damaged. */
static fake_disk *damaged_folder(void)
{
    trio *t = trio_new(3);
    trio_wait_leader(t);
    for (int i = 0; i < 200; i++) {
        if (trio_leader(t) >= 0)
            trio_write(t, (uint32_t)trio_leader(t), 2000);
        trio_step(t);
    }
    trio_stop(t, 1); /* its member id is 2 */
    fake_disk *disk = fake_disk_clone(t->members[1].disk);
    trio_free(t);
    qr_buffer *first = fake_disk_file(disk, "0000000000000000.wal");
    assert_non_null(first);
    assert_non_null(fake_disk_file(disk, "0000000000000001.wal"));
    for (size_t i = 0; i < 64; i++)
        first->data[8192 + i] ^= 0x55;
    return disk;
}

static void all_of_the_log_is_put_aside(void **state)
{
    fake_disk *disk = damaged_folder();
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    qr_node_config config = config_of(disk, 2);
    config.incarnation = 1; /* the wall clock went back */
    assert_int_equal(qr_node_prepare(&config, true, &arena, &sentence), QR_OK);
    assert_int_equal(role_of(&config), QR_ROLE_VOTER);
    assert_int_equal(qr_node_put_aside(&config, &arena, &sentence), QR_OK);
    assert_int_equal(role_of(&config), QR_ROLE_LEARNER);
    assert_int_equal(config.incarnation, 101 + 1); /* above that of the damaged log */
    assert_null(fake_disk_file(disk, "0000000000000000.wal"));
    assert_null(fake_disk_file(disk, "0000000000000001.wal"));
    assert_non_null(fake_disk_file(disk, "damaged-0000000000000000.wal"));
    assert_non_null(fake_disk_file(disk, "damaged-0000000000000001.wal"));
    assert_non_null(fake_disk_file(disk, "damaged-done"));
    assert_null(fake_disk_file(disk, "damaged-begun"));
    qr_arena_free(&arena);
    fake_disk_free(disk);
}

/* The mark was made and not yet written when the power failed: the heads are still there to tell. */
static void an_empty_mark_is_completed(void **state)
{
    fake_disk *disk = damaged_folder();
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    qr_disk_op op = {.kind = QR_DISK_CREATE, .name = "damaged-begun"};
    disk->disk.run(disk->disk.self, &op);
    qr_node_config config = config_of(disk, 2);
    config.incarnation = 1; /* the wall clock went back */
    assert_int_equal(qr_node_prepare(&config, true, &arena, &sentence), QR_OK);
    assert_int_equal(role_of(&config), QR_ROLE_LEARNER);
    assert_int_equal(config.incarnation, 101 + 1);
    qr_arena_free(&arena);
    fake_disk_free(disk);
}

static void an_older_set_makes_room(void **state)
{
    fake_disk *disk = damaged_folder();
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    qr_disk_op op = {.kind = QR_DISK_CREATE, .name = "damaged-00000000000000aa.wal"};
    disk->disk.run(disk->disk.self, &op);
    qr_node_config config = config_of(disk, 2);
    assert_int_equal(qr_node_put_aside(&config, &arena, &sentence), QR_OK);
    assert_null(fake_disk_file(disk, "damaged-00000000000000aa.wal"));
    assert_non_null(fake_disk_file(disk, "damaged-0000000000000000.wal"));
    qr_arena_free(&arena);
    fake_disk_free(disk);
}

static void a_member_without_others_keeps_its_log(void **state)
{
    fake_disk *disk = damaged_folder();
    qr_arena arena;
    qr_arena_init(&arena);
    const char *sentence;
    qr_node_config config = config_of(disk, 0);
    uint64_t before = fake_disk_digest(disk);
    assert_int_equal(qr_node_put_aside(&config, &arena, &sentence), QR_E_CORRUPT);
    assert_string_equal(sentence, "there is no other member to get the lost entries from");
    assert_int_equal(fake_disk_digest(disk), before);
    qr_arena_free(&arena);
    fake_disk_free(disk);
}

/* ------------------------------------------------------------------- crashes ---- */

typedef struct fuse {
    uint64_t left; /* operations that are done before the power fails */
} fuse;

static qr_status burn(void *context, const qr_disk_op *op)
{
    fuse *f = context;
    if (f->left == 0)
        return QR_E_IO;
    f->left--;
    return QR_OK;
}

/* Opens like bin/serve: a new member may come out of it, or one with its old log, but never one that votes
 * without it. */
static bool start_again(fake_disk *disk, qr_node_config *config, qr_arena *arena)
{
    const char *sentence;
    *config = config_of(disk, 2);
    assert_int_equal(qr_node_prepare(config, true, arena, &sentence), QR_OK);
    bool whole_log = fake_disk_file(disk, "0000000000000000.wal") != NULL &&
                     fake_disk_file(disk, "0000000000000001.wal") != NULL;
    bool no_log = fake_disk_file(disk, "0000000000000000.wal") == NULL &&
                  fake_disk_file(disk, "0000000000000001.wal") == NULL;
    assert_true(whole_log != no_log);
    assert_int_equal(role_of(config), no_log ? QR_ROLE_LEARNER : QR_ROLE_VOTER);
    return no_log;
}

static void a_crash_at_any_point_is_gone_on_from(void **state)
{
    fake_disk *damaged = damaged_folder();
    qr_prng prng;
    qr_prng_seed(&prng, 3);
    int fresh = 0, old = 0;
    bool done = false;
    for (uint64_t point = 0; !done; point++) {
        for (int how = CRASH_KEEP_ALL; how <= CRASH_RANDOM; how++) {
            fake_disk *disk = fake_disk_clone(damaged);
            qr_arena arena;
            qr_arena_init(&arena);
            const char *sentence;
            fuse f = {.left = point};
            disk->before = burn;
            disk->context = &f;
            qr_node_config config = config_of(disk, 2);
            done = qr_node_put_aside(&config, &arena, &sentence) == QR_OK;
            disk->before = NULL;
            fake_disk_crash(disk, (fake_crash)how, &prng);
            bool is_fresh = start_again(disk, &config, &arena);
            fresh += is_fresh;
            old += !is_fresh;
            if (done) {
                assert_true(is_fresh);
                assert_true(config.incarnation > 101);
            }
            qr_arena_free(&arena);
            fake_disk_free(disk);
        }
    }
    assert_true(fresh > 5 && old > 5);
    fake_disk_free(damaged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_the_log_is_put_aside),
        cmocka_unit_test(an_empty_mark_is_completed),
        cmocka_unit_test(an_older_set_makes_room),
        cmocka_unit_test(a_member_without_others_keeps_its_log),
        cmocka_unit_test(a_crash_at_any_point_is_gone_on_from),
    };
    return cmocka_run_group_tests_name("quarantine", tests, NULL, NULL);
}
