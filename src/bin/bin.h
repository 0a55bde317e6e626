/* bin: main programs. Wiring and flags, nothing else. Each verb of the binary is one function here; main.c
 * looks it up. */
#ifndef QR_BIN_BIN_H
#define QR_BIN_BIN_H

#include <stdint.h>

/* The newest apply version that this program knows: less than the rooms below it do in the one that is built
 * for tests of upgrades. */
extern const uint16_t qr_bin_apply_knows;

/* argv[0] is the verb. Each returns the exit status and has its own --help. */
int qr_serve_main(int argc, char **argv);     /* serve: one member; also when called under the name etcd */
int qr_zookeeper_main(int argc, char **argv); /* zookeeper: one member, described by a zoo.cfg */
int qr_local_main(int argc, char **argv);     /* local: N members on this machine, in the foreground */
int qr_client_main(int argc, char **argv);    /* put get del txn compact status member */
int qr_simulate_main(int argc, char **argv);  /* sim */
int qr_restore_main(int argc, char **argv);   /* restore: a data folder out of a backup */
int qr_chaos_main(int argc, char **argv);     /* chaos: real processes under faults, and judges */
int qr_scenario_main(int argc, char **argv);  /* scenario: algorithms, run and told */
int qr_verify_main(int argc, char **argv);    /* verify: the files of a stopped member */
int qr_replay_main(int argc, char **argv);    /* replay: what black boxes have recorded */

#endif
