/* SHA-256 through libsodium. */
#include "base/hash.h"

#include <sodium/utils.h>

void hash_init(struct hash *hash)
{
    crypto_hash_sha256_init(&hash->state);
}

void hash_update(struct hash *hash, const void *bytes, size_t length)
{
    crypto_hash_sha256_update(&hash->state, bytes, length);
}

void hash_text(struct hash *hash, char text[HASH_TEXT_BYTES])
{
    unsigned char digest[HASH_BYTES];

    crypto_hash_sha256_final(&hash->state, digest);
    sodium_bin2hex(text, HASH_TEXT_BYTES, digest, sizeof(digest));
}
