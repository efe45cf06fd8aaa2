/* SHA-256 (FIPS 180-4, through libsodium) of a stream of bytes: model hashes, job digests. */
#ifndef CAIRN_BASE_HASH_H
#define CAIRN_BASE_HASH_H

#include "base/status.h"

#include <sodium/crypto_hash_sha256.h>
#include <stddef.h>

#define HASH_BYTES      32
#define HASH_TEXT_BYTES 65 /* 64 lower-case hexadecimal digits and the end */

struct hash {
    crypto_hash_sha256_state state;
};

/* Starts a hash. Any thread, one thread an object, as for the other two. */
void hash_init(struct hash *hash);

/* Takes in length bytes. */
void hash_update(struct hash *hash, const void *bytes, size_t length);

/* Ends the hash and writes it as text. The object must be started again before more use. */
void hash_text(struct hash *hash, char text[HASH_TEXT_BYTES]);

#endif
