/* Private to src/sim: what a disk is made of. disk.c is the disk as it should be, rot.c what goes bad on it.
 */
#ifndef QR_SIM_DISK_INSIDE_H
#define QR_SIM_DISK_INSIDE_H

#include "sim/disk.h"

typedef struct sim_write {
    uint64_t offset;
    size_t size;
    uint8_t *bytes; /* owned */
    bool doomed;    /* a failed sync: a later sync does not make it durable */
} sim_write;

typedef struct sim_image {
    uint8_t *data; /* owned */
    size_t size, room;
} sim_image;

typedef struct sim_file {
    sim_image current, durable;
    sim_write *writes; /* not synced, oldest first; owned */
    size_t write_count, write_room;
    sim_write synced; /* the newest of those that were; owned */
    uint64_t proved;  /* of a segment: where its newest append begins. All before it is known to be durable */
    struct {
        uint64_t from, to; /* cannot be read; from == to: nothing */
    } hole;
    sim_write undo[2]; /* what a write that went astray has spoilt, as it should be; owned */
    size_t undo_count;
    bool seen; /* scratch of the collector */
} sim_file;

typedef struct sim_name {
    char name[QR_DISK_NAME_MAX];
    sim_file *file;
} sim_name;

typedef struct sim_folder {
    sim_name *list; /* in order of name; owned */
    size_t count, room;
} sim_folder;

typedef struct sim_change {
    qr_disk_kind kind;
    char name[QR_DISK_NAME_MAX], name_to[QR_DISK_NAME_MAX];
    sim_file *file;
} sim_change;

struct qr_sim_disk {
    qr_sim_disk_config config;
    qr_sim_disk_faults faults;
    qr_prng prng;
    sim_file **files; /* all of them; owned */
    size_t file_count, file_room;
    sim_folder current, durable;
    sim_change *changes; /* of the folder, not synced, oldest first; owned */
    size_t change_count, change_room;
    qr_disk_op *head[QR_LANE_COUNT], *tail[QR_LANE_COUNT];
    qr_disk_op *busy;
    bool dead, failed;
    uint64_t operations;
    uint64_t row; /* of those that were done without a break since it last rested */
};

/* disk.c */
void qr_sim_image_write(sim_image *image, uint64_t offset, const uint8_t *bytes, size_t size);

/* rot.c */
bool qr_sim_rot_is_segment(const char *name);
/* The sync of this operation lies: what it makes durable now goes astray. */
bool qr_sim_rot_lies(qr_sim_disk *disk, const qr_disk_op *op);
/* file->writes are about to become durable: keeps in *old what stands where some of them belong; and when
 * they are, sends that part astray. */
void qr_sim_rot_before_lie(qr_sim_disk *disk, const sim_file *file, sim_write *old);
void qr_sim_rot_lie(qr_sim_disk *disk, sim_file *file, sim_write *old);
/* An append was made durable: nothing before it is in doubt any more. */
void qr_sim_rot_appended(sim_file *file, uint64_t offset);
bool qr_sim_rot_hides(const sim_file *file, uint64_t offset, uint64_t size);
/* A crash: who starts next could not tell an append that went astray from one that was under way. */
void qr_sim_rot_crash(qr_sim_disk *disk);
void qr_sim_rot_free(sim_file *file);

#endif
