/* Any bytes as the data of zookeeper_limits, and as the path of a quota's node. */
#include "door/zookeeper/quota.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_zookeeper_limits limits;
    if (qr_zookeeper_limits_read(qr_slice_of(data, size), &limits) == QR_OK)
        QR_ASSERT(limits.count >= -1 && limits.bytes >= -1 && limits.count_hard >= -1 &&
                  limits.bytes_hard >= -1);
    qr_slice of;
    if (qr_zookeeper_quota_is_stats(qr_slice_of(data, size), &of))
        QR_ASSERT(of.size > 1 && of.size < size && of.data[0] == '/');
    return 0;
}
