#include "wire/sha256.h"

#include <openssl/evp.h>

static EVP_MD_CTX *context_of(qr_sha256 *sum)
{
    return (EVP_MD_CTX *)sum;
}

qr_sha256 *qr_sha256_new(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    QR_CHECK(context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1, "SHA-256 is not available");
    return (qr_sha256 *)context;
}

void qr_sha256_add(qr_sha256 *sum, qr_slice bytes)
{
    QR_CHECK(EVP_DigestUpdate(context_of(sum), bytes.data, bytes.size) == 1, "SHA-256 failed");
}

void qr_sha256_end(qr_sha256 *sum, uint8_t digest[QR_SHA256_SIZE])
{
    QR_CHECK(EVP_DigestFinal_ex(context_of(sum), digest, NULL) == 1, "SHA-256 failed");
}

void qr_sha256_free(qr_sha256 *sum)
{
    EVP_MD_CTX_free(context_of(sum));
}

void qr_sha1(qr_slice bytes, uint8_t digest[QR_SHA1_SIZE])
{
    QR_CHECK(EVP_Digest(bytes.data, bytes.size, digest, NULL, EVP_sha1(), NULL) == 1, "SHA-1 failed");
}
