/* Every block of every file of one of three members is damaged in turn, in every way; then it starts among
 * the others. Nothing may be lost, and it has to come back whole. doc/design/checkpoints.md, members.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cluster.h"

enum { MEMBERS = 3, STRUCK = 2, INTERVAL = 8 * 1024, BLOCK = 512, WRITES = 400, PATIENCE = 20000 };

typedef enum damage { FLIP, ZERO, UNREADABLE, DAMAGES } damage;

typedef struct folders { /* of the members when all of them have stopped */
    fake_disk *disks[MEMBERS];
    char *text; /* what all of them have applied; owned */
} folders;

typedef struct place {
    const char *name; /* NULL: nothing is unreadable any more */
    uint64_t offset;
} place;

typedef struct tally {
    size_t tried, put_aside,
        older; /* and what became of it: began anew, started from the checkpoint before */
} tally;

/* ----------------------------------------------------------------- the folders ---- */

static folders make_folders(void)
{
    folders f;
    cluster *c = cluster_new(MEMBERS, INTERVAL);
    cluster_member *leader = cluster_leader(c);
    for (int i = 0; i < WRITES; i++)
        cluster_write_many(c, leader, (char)('a' + i % 26), 1);
    cluster_run(c, 200);
    f.text = qr_alloc(WRITES + 1);
    memcpy(f.text, cluster_text(leader), WRITES + 1);
    for (size_t i = 0; i < MEMBERS; i++) {
        cluster_stop(c, &c->members[i]);
        f.disks[i] = fake_disk_clone(c->members[i].disk);
    }
    cluster_free(c);
    return f;
}

static void free_folders(folders *f)
{
    for (size_t i = 0; i < MEMBERS; i++)
        fake_disk_free(f->disks[i]);
    qr_free(f->text);
}

static cluster *copy_of(const folders *f)
{
    fake_disk *disks[MEMBERS];
    for (size_t i = 0; i < MEMBERS; i++)
        disks[i] = fake_disk_clone(f->disks[i]);
    return cluster_of(disks, MEMBERS, INTERVAL);
}

/* ------------------------------------------------------------------ the damage ---- */

static qr_status refuse(void *context, const qr_disk_op *op)
{
    place *hole = context;
    if (hole->name == NULL || strcmp(op->name, hole->name) != 0)
        return QR_OK;
    bool overlaps = op->offset < hole->offset + BLOCK && op->offset + op->size > hole->offset;
    if (op->kind == QR_DISK_READ && overlaps)
        return QR_E_IO;
    if (op->kind == QR_DISK_REMOVE || op->kind == QR_DISK_RENAME)
        hole->name = NULL;
    return QR_OK;
}

static void strike(fake_disk *disk, damage how, place *at)
{
    qr_buffer *file = fake_disk_file(disk, at->name);
    size_t left = file->size - (size_t)at->offset, size = left < BLOCK ? left : BLOCK;
    if (how == FLIP)
        file->data[at->offset + size / 2] ^= 0x04;
    else if (how == ZERO)
        memset(file->data + at->offset, 0, size);
    else {
        disk->before = refuse;
        disk->context = at;
    }
}

/* ----------------------------------------------------------------- coming back ---- */

static bool is_whole(cluster *c, const char *text)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        cluster_member *member = &c->members[i];
        qr_node_status status = cluster_status(member);
        assert_false(status.halted);
        for (uint32_t n = 0; n < status.engine.members.count; n++)
            if (status.engine.members.list[n].role != QR_ROLE_VOTER)
                return false;
        if (strcmp(cluster_text(member), text) != 0)
            return false;
    }
    return true;
}

static void try_place(const folders *f, damage how, const char *name, uint64_t offset, tally *t)
{
    cluster *c = copy_of(f);
    place at = {.name = name, .offset = offset};
    strike(c->members[STRUCK].disk, how, &at);
    for (size_t i = 0; i < MEMBERS; i++) {
        const char *sentence = NULL;
        bool put_aside = false;
        qr_status status = cluster_repair(c, &c->members[i], &put_aside, &sentence);
        if (status != QR_OK)
            print_error("%s, byte %llu, damage %d: %s\n", name, (unsigned long long)offset, how, sentence);
        assert_int_equal(status, QR_OK);
        assert_true(!put_aside || i == STRUCK);
        t->put_aside += put_aside;
    }
    t->tried++;
    t->older += cluster_status(&c->members[STRUCK]).checkpoint_damaged != 0;
    int turns = 0;
    for (; turns < PATIENCE && !is_whole(c, f->text); turns += 10)
        cluster_run(c, 10);
    if (turns >= PATIENCE)
        print_error("%s, byte %llu, damage %d: it does not come back\n", name, (unsigned long long)offset,
                    how);
    assert_true(turns < PATIENCE);
    cluster_free(c);
}

static void every_block_in_every_way(void **state)
{
    folders f = make_folders();
    const fake_disk *disk = f.disks[STRUCK];
    tally t = {0};
    size_t segments = 0, checkpoints = 0;
    for (int i = 0; i < disk->now_count; i++) {
        if (disk->now[i].file < 0)
            continue;
        const char *name = disk->now[i].name;
        segments += strstr(name, ".wal") != NULL && strncmp(name, "spare-", 6) != 0;
        checkpoints += strncmp(name, "checkpoint-", 11) == 0;
        size_t size = fake_disk_file(f.disks[STRUCK], name)->size;
        for (uint64_t offset = 0; offset < size; offset += BLOCK)
            for (int how = 0; how < DAMAGES; how++)
                try_place(&f, (damage)how, name, offset, &t);
    }
    print_message("%zu places: %zu logs put aside, %zu starts from the checkpoint before\n", t.tried,
                  t.put_aside, t.older);
    assert_true(segments > 1 && t.put_aside > 0 && t.older > 0);
    assert_int_equal(checkpoints, 2);
    free_folders(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_in_every_way),
    };
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
