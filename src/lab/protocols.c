#include "lab/protocols.h"

const qr_lab_protocol *const qr_lab_protocols[] = {
    &qr_lab_benor,     &qr_lab_commit,   &qr_lab_counter, &qr_lab_detectors,
    &qr_lab_elect,     &qr_lab_generals, &qr_lab_groups,  &qr_lab_lock,
    &qr_lab_paxos,     &qr_lab_pbft,     &qr_lab_raft,    &qr_lab_recipe,
    &qr_lab_registers, &qr_lab_sites,    &qr_lab_txn,     NULL,
};

const qr_lab_protocol *qr_lab_protocol_find(qr_slice name)
{
    for (size_t i = 0; qr_lab_protocols[i]; i++)
        if (qr_lab_word_is(name, qr_lab_protocols[i]->name))
            return qr_lab_protocols[i];
    return NULL;
}
