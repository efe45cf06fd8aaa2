/* What an update that needs norms over whole parameters (clipping by norm, lamb) goes through before it is
 * applied, on one shard: rounds of measuring pieces of a table and exchanging sums with the other shards.
 *
 * Clipping takes a round that measures gradients, lamb one that measures weights and updates; who does both
 * takes both, in this order. A piece is a dense chunk, or the rows of a sparse table in a slot. When
 * all pieces' parts are there, whoever has measured them, the next round begins or the version's factors are
 * known. These stay until the first round of the next version has ended, which whoever goes through the
 * rounds sees to that it is not before this version's update was made here. Exchanges are numbered on through
 * all versions: a version's are version * rounds and following. Knows nothing of buffers, messages or chains.
 * One thread an object. */
#ifndef CAIRN_SERVER_NORM_ROUNDS_H
#define CAIRN_SERVER_NORM_ROUNDS_H

#include "exchange.h"
#include "model/graph.h"
#include "optimizers/norms.h"
#include "optimizers/optimizer.h"

#include <stdbool.h>
#include <stdint.h>

struct norm_params {
    const struct optimizer_spec *spec; /* borrowed; optimizer_spec_needs_norms */
    const struct graph *graph;         /* borrowed: the table's parameters; NULL: it is one */
    uint32_t piece_count;
    uint32_t chunk_floats; /* of all pieces but the last, of a graph's floats */
    uint32_t apart;        /* versions that shards can be apart, above 0 */
};

struct norm_rounds;

/* For a table at `version`. NULL: out of memory. Owns: the caller. */
struct norm_rounds *norm_rounds_new(const struct norm_params *params, uint64_t version);
void norm_rounds_free(struct norm_rounds *rounds);

/* Whether the factors of `version`'s update are known; whether the round at hand is one of it. Any version:
 * of others than those that shards are at neither is true. */
bool norm_rounds_ready(const struct norm_rounds *rounds, uint64_t version);
bool norm_rounds_is_at(const struct norm_rounds *rounds, uint64_t version);

/* Whether the round at hand is the one for lamb's trust ratio, or the first of a version. */
bool norm_rounds_is_trust(const struct norm_rounds *rounds);
bool norm_rounds_is_first(const struct norm_rounds *rounds);

/* The next segment of [segment->end, end), as norms_next_segment. */
bool norm_rounds_segment(const struct norm_rounds *rounds, uint64_t end, struct norms_segment *segment);

/* Begins a piece's part, which was not given in this round; adds to it what was measured of a parameter of
 * the piece; and ends it: it is whole. */
void norm_rounds_begin(struct norm_rounds *rounds, uint32_t piece);
void norm_rounds_add_gradient(struct norm_rounds *rounds, uint32_t parameter, double squares);
void norm_rounds_add_gradients(struct norm_rounds *rounds, uint32_t parameter,
                               const struct exact_sum *squares);
void norm_rounds_add_trust(struct norm_rounds *rounds, uint32_t parameter,
                           const struct optimizer_squares *squares);
void norm_rounds_give(struct norm_rounds *rounds);

/* Ends the round if all parts are there; true: it has ended. With a version's last round its factors are
 * known, and the round at hand is the first of the next. */
bool norm_rounds_settle(struct norm_rounds *rounds);

/* The exchange: what is given is sent, and what comes is its. */
struct exchange *norm_rounds_exchange(struct norm_rounds *rounds);

/* ---- a piece that comes from another shard brings what that one knew
 *
 * A piece at version v was made with the totals of v - 1, and nobody but those who have a piece at v may know
 * these. So they go with it: whoever has a piece can tell those who are behind what they need.
 */

/* How many bytes the totals are that a piece of here is to be given, and these. */
size_t norm_rounds_known_bytes(const struct norm_rounds *rounds);
void norm_rounds_tell_known(const struct norm_rounds *rounds, void *known);

/* Whether foreign bytes are such totals, for a piece at `version`; aligned for uint64. */
bool norm_rounds_are_known(const struct norm_rounds *rounds, uint64_t version, const void *known,
                           size_t length_bytes);

/* Takes them; what they are of may be known here too. True: rounds were passed over that nobody here needs
 * now, and of the one at hand parts may have been told to others already. */
bool norm_rounds_take_known(struct norm_rounds *rounds, uint64_t version, const void *known,
                            size_t length_bytes);

/* The factors of an update of a parameter (optimizer_update's), once ready. */
float norm_rounds_scale(const struct norm_rounds *rounds, uint32_t parameter);
float norm_rounds_trust(const struct norm_rounds *rounds, uint32_t parameter);

#endif
