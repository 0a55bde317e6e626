/* Any bytes as a path: what is allowed has parents that are allowed, up to the root; and as a setting of
 * four-letter words. */
#include "door/zookeeper/four.h"
#include "door/zookeeper/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qr_slice path = qr_slice_of(data, size);
    if (qr_zookeeper_path_valid(path)) {
        while (path.size > 1) {
            qr_slice parent = qr_zookeeper_path_parent(path);
            QR_ASSERT(parent.size < path.size && qr_zookeeper_path_valid(parent));
            path = parent;
        }
    }
    qr_zookeeper_word_set allowed = qr_zookeeper_words_allowed(qr_slice_of(data, size));
    QR_ASSERT(allowed >> QR_ZOOKEEPER_WORD_COUNT == 0);
    return 0;
}
