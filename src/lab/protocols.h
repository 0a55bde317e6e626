/* protocols: one table each; the list of them is in protocols.c. */
#ifndef QR_LAB_PROTOCOLS_H
#define QR_LAB_PROTOCOLS_H

#include "lab/lab.h"

extern const qr_lab_protocol qr_lab_benor;
extern const qr_lab_protocol qr_lab_commit;
extern const qr_lab_protocol qr_lab_counter;
extern const qr_lab_protocol qr_lab_detectors;
extern const qr_lab_protocol qr_lab_elect;
extern const qr_lab_protocol qr_lab_generals;
extern const qr_lab_protocol qr_lab_groups;
extern const qr_lab_protocol qr_lab_lock;
extern const qr_lab_protocol qr_lab_paxos;
extern const qr_lab_protocol qr_lab_pbft;
extern const qr_lab_protocol qr_lab_raft;
extern const qr_lab_protocol qr_lab_recipe;
extern const qr_lab_protocol qr_lab_registers;
extern const qr_lab_protocol qr_lab_sites;
extern const qr_lab_protocol qr_lab_txn;

#endif
