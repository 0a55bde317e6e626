/* Scheduled backups of a member: `quorate backup` of itself, run as a program of its own, so that reading the
 * copy back and checking it costs this member neither time nor memory. */
#ifndef QR_BIN_SERVE_BACKUP_H
#define QR_BIN_SERVE_BACKUP_H

#include "bin/serve.h"

typedef struct qr_serve_backups qr_serve_backups;

/* NULL: --backup-dir is not set. Both are borrowed for life. */
qr_serve_backups *qr_serve_backups_new(qr_os *os, const qr_serve_config *config);
/* Once in a while, when this member serves. The first one is due at once if the folder holds none of this
 * member's, else an interval after the newest. */
void qr_serve_backups_look(qr_serve_backups *backups, int64_t wall_ms);
void qr_serve_backups_free(qr_serve_backups *backups);

#endif
