/* address: internet addresses as lists of rights name them, "127.0.0.1", "10.0.0.0/8", "fe80::/10". */
#ifndef QR_DOOR_ZOOKEEPER_ADDRESS_H
#define QR_DOOR_ZOOKEEPER_ADDRESS_H

#include "base/base.h"

typedef struct qr__zk_address {
    uint8_t bytes[16];
    uint32_t size; /* 4 or 16; 0: no address */
    uint32_t bits; /* that count */
} qr__zk_address;

qr__zk_address qr__zk_address_of(qr_slice text);
bool qr__zk_address_within(qr_slice address, qr_slice range); /* false too if one of them is none */

#endif
