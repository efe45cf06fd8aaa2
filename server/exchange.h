/* What shards tell each other before an update that needs sums over all of a table (norms): each gives its
 * part, and has the total when all parts are there.
 *
 * Exchanges of a table are numbered; all shards go through them in step, and none begins exchange n + 1
 * before it has all parts of n. So a part that comes is of the exchange at hand, of the next, or old. Parts
 * are exact sums, whose order does not matter. Pure logic: it sends nothing. One thread an object. */
#ifndef CAIRN_SERVER_EXCHANGE_H
#define CAIRN_SERVER_EXCHANGE_H

#include "base/status.h"
#include "math/exact_sum.h"

#include <stdbool.h>
#include <stdint.h>

struct exchange;

/* Of `sum_count` sums between those of `shard_count` shards that take part, of which this is `position`;
 * `number` is the first. NULL: out of memory. Owns: the caller. */
struct exchange *exchange_new(uint32_t sum_count, uint32_t shard_count, uint32_t position,
                              const bool *takes_part, uint64_t number);
void exchange_free(struct exchange *exchange);

/* Whether a shard takes part. */
bool exchange_has(const struct exchange *exchange, uint32_t position);

/* The exchange at hand, how many sums a part has, and this shard's part of it, to be added to; [sum_count].
 */
uint64_t exchange_number(const struct exchange *exchange);
uint32_t exchange_sum_count(const struct exchange *exchange);
struct exact_sum *exchange_part(struct exchange *exchange);

/* This shard's part is whole: settles it, for sending, and counts it in. Once an exchange. */
void exchange_give(struct exchange *exchange);

/* Counts a peer's part in; parts that were heard, or are of an older exchange, are dropped. *is_late: it is
 * of the exchange before, so its sender may be waiting for exchange_before_part. sums: [sum_count], foreign.
 * Errors: CAIRN_PROTOCOL: a part that cannot be; nothing has changed. */
enum status exchange_take(struct exchange *exchange, uint64_t number, uint32_t position,
                          const struct exact_sum *sums, bool *is_late, struct error *error) MUST_CHECK;

/* This shard's part of the exchange before the one at hand; [sum_count]. */
const struct exact_sum *exchange_before_part(const struct exchange *exchange);

/* Whether this shard has given its part and waits for others. */
bool exchange_waits(const struct exchange *exchange);

/* Whether all parts of the exchange at hand are there, and their total then; [sum_count]. */
bool exchange_is_whole(const struct exchange *exchange);
const struct exact_sum *exchange_total(const struct exchange *exchange);

/* Goes on to the next exchange, once this one is whole. */
void exchange_next(struct exchange *exchange);

#endif
