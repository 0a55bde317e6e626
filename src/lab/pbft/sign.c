/* Ed25519 by libsodium. Its signatures are a function of key and content, so a replica keeps one bit for each
 * signature that it has verified and not its 64 bytes: where it sends proofs on, they are written out again
 * from the signer's key. Nobody does that for a bit that it does not have; what a liar forges is signed with
 * its own key or with noise. */
#include <sodium.h>

#include "lab/pbft/pbft.h"

void qr_pbft_make_keys(qr_lab_world *world)
{
    qr_pbft_shared *all = qr_lab_shared(world);
    for (unsigned i = 0; i < world->setting->count; i++) {
        uint64_t root[2] = {world->setting->seed, i};
        uint8_t seed[crypto_sign_SEEDBYTES];
        crypto_generichash(seed, sizeof seed, (const uint8_t *)root, sizeof root, NULL, 0);
        bool client_role = qr_lab_role_of(world, i) == CLIENT;
        uint8_t *secret = client_role ? ((qr_pbft_client *)qr_lab_state(world, i))->secret
                                      : ((qr_pbft_replica *)qr_lab_state(world, i))->secret;
        crypto_sign_seed_keypair(all->publics[i], secret, seed);
    }
}

qr_pbft_signature qr_pbft_sign(const qr_lab_world *world, qr_pbft_content content)
{
    bool client_role = qr_lab_role_of(world, content.signer) == CLIENT;
    const uint8_t *secret = client_role
                                ? ((const qr_pbft_client *)qr_lab_state(world, content.signer))->secret
                                : ((const qr_pbft_replica *)qr_lab_state(world, content.signer))->secret;
    qr_pbft_signature made;
    crypto_sign_detached(made.bytes, NULL, (const uint8_t *)&content, sizeof content, secret);
    return made;
}

bool qr_pbft_signed(const qr_lab_world *world, qr_pbft_content content, const qr_pbft_signature *signature)
{
    const qr_pbft_shared *all = qr_lab_shared(world);
    return content.signer < world->setting->count &&
           (qr_pbft_variant(world) == UNSIGNED ||
            crypto_sign_verify_detached(signature->bytes, (const uint8_t *)&content, sizeof content,
                                        all->publics[content.signer]) == 0);
}

/* Eight bytes of a cryptographic digest: enough for the few states of a laboratory. */
uint64_t qr_pbft_digest(const void *bytes, size_t size)
{
    uint8_t hash[crypto_generichash_BYTES_MIN];
    uint64_t digest = 0;
    crypto_generichash(hash, sizeof hash, bytes, size, NULL, 0);
    for (unsigned i = 0; i < 8; i++)
        digest = digest << 8 | hash[i];
    return digest;
}

qr_pbft_content qr_pbft_vote_content(unsigned kind, unsigned signer, unsigned view, unsigned number,
                                     qr_pbft_request request)
{
    return (qr_pbft_content){.kind = (uint8_t)kind,
                             .signer = (uint8_t)signer,
                             .view = (uint16_t)view,
                             .number = (uint16_t)number,
                             .request = request};
}

qr_pbft_content qr_pbft_checkpoint_content(unsigned signer, unsigned number, uint64_t digest)
{
    return (qr_pbft_content){
        .kind = CHECKPOINT, .signer = (uint8_t)signer, .number = (uint16_t)number, .digest = digest};
}

void qr_pbft_seal(const qr_lab_world *world, qr_pbft_message *m)
{
    m->content.kind = (uint8_t)m->head.kind;
    m->content.signer = (uint8_t)m->head.from;
    if (m->head.kind == VIEW_CHANGE || m->head.kind == NEW_VIEW || m->head.kind == STATE)
        m->content.digest = qr_pbft_digest(&m->body, sizeof m->body);
    m->own = qr_pbft_sign(world, m->content);
}
