/* Sums over all of a table, which an update that needs norms waits for: each piece of the table gives a part,
 * and the total is there when all parts are.
 *
 * A part is named by its piece, not by who gives it: whoever measures a piece in an exchange finds the same
 * bits, so it may be given by several and heard any number of times, and counts once. Parts and totals are
 * exact sums, whose order does not matter. A part has only those sums that its piece adds to.
 *
 * Exchanges of a table are numbered; nobody goes on to n + 1 before all parts of n are there, or their total
 * is. The totals of the last few exchanges are kept for those who are behind, and parts of the next few that
 * come early are counted. Pure logic: it sends nothing and knows no shards. One thread an object. */
#ifndef CAIRN_SERVER_EXCHANGE_H
#define CAIRN_SERVER_EXCHANGE_H

#include "base/status.h"
#include "math/exact_sum.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which of the sums a piece adds to. */
struct exchange_range {
    uint32_t first, count; /* count 0: it gives no part */
};

struct exchange_params {
    uint32_t sum_count, piece_count;
    const struct exchange_range *ranges; /* [piece_count]; borrowed for the call */
    uint32_t reach;  /* exchanges before the one at hand that are kept, and after it that count; above 0 */
    uint64_t number; /* the first one */
};

struct exchange;

/* NULL: out of memory. Owns: the caller. */
struct exchange *exchange_new(const struct exchange_params *params);
void exchange_free(struct exchange *exchange);

/* The exchange at hand. */
uint64_t exchange_number(const struct exchange *exchange);

/* ---- parts of pieces that were measured here */

/* Whether a piece's part of the exchange at hand was given here. */
bool exchange_has_given(const struct exchange *exchange, uint32_t piece);

/* Begins a part that was not given yet: its sums, zero, to be added to; [its range's count]. Then
 * exchange_give: it is whole, and counts. */
struct exact_sum *exchange_part(struct exchange *exchange, uint32_t piece);
void exchange_give(struct exchange *exchange);

/* The parts that were given here, as they are told to others, from byte `at` on: at most about so many bytes,
 * whole parts. *length_bytes 0: there are no more. Borrowed. */
const void *exchange_given(const struct exchange *exchange, size_t at, size_t most_bytes,
                           size_t *length_bytes);

/* From which byte of these on nothing has been told yet; and that it is, all that there is now. */
size_t exchange_untold(const struct exchange *exchange);
void exchange_mark_told(struct exchange *exchange);

/* ---- what others tell */

/* Counts in what another shard tells of an exchange, parts or a total: what is known, or of an exchange that
 * is neither at hand nor one of the next few, is dropped. told: aligned for uint64, foreign.
 * Errors: CAIRN_PROTOCOL: it cannot be; nothing has changed. */
enum status exchange_take(struct exchange *exchange, uint64_t number, const void *told, size_t length_bytes,
                          struct error *error) MUST_CHECK;

/* Whether the total of an exchange before the one at hand is kept; how many bytes it takes as it is told to
 * who is at that exchange, and these; and whether foreign bytes, so many, are some exchange's total. */
bool exchange_keeps(const struct exchange *exchange, uint64_t number);
size_t exchange_total_bytes(const struct exchange *exchange);
void exchange_tell_total(const struct exchange *exchange, uint64_t number, void *told);
bool exchange_is_total(const struct exchange *exchange, const void *told);

/* ---- going on */

/* Whether all parts of the exchange at hand are there, and their total then; [sum_count]. */
bool exchange_is_whole(const struct exchange *exchange);
const struct exact_sum *exchange_total(const struct exchange *exchange);

/* Goes on to the next exchange, once this one is whole. */
void exchange_next(struct exchange *exchange);

/* Goes on to a later exchange without the totals of those before. */
void exchange_skip(struct exchange *exchange, uint64_t number);

#endif
