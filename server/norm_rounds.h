/* What an update that needs norms over whole parameters (clipping by norm, lamb) goes through before it is
 * applied, on one shard: rounds of measuring its pieces of a table and exchanging sums with the other shards.
 *
 * Clipping takes a round that measures gradients, lamb one that measures weights and updates; who does both
 * takes both, in this order. A piece (a dense chunk, or all rows of a sparse table) is measured once a round;
 * when all of this shard's are, its part can be sent; when all shards' parts are there, the next round begins
 * or the version's factors are known. They stay until the first piece of the next version is measured, which
 * cannot be before all pieces have been updated. Knows nothing of buffers or messages. One thread an object.
 */
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
    uint32_t shard_count, position;
    const bool *takes_part; /* [shard_count]: shards that have pieces of the table */
    uint32_t pieces;        /* of this shard */
};

struct norm_rounds;

/* For a table at `version`. NULL: out of memory. Owns: the caller. */
struct norm_rounds *norm_rounds_new(const struct norm_params *params, uint64_t version);
void norm_rounds_free(struct norm_rounds *rounds);

/* Whether the factors of `version`'s update are known; whether those of the version at hand are. */
bool norm_rounds_ready(const struct norm_rounds *rounds, uint64_t version);
bool norm_rounds_is_ready(const struct norm_rounds *rounds);

/* Begins the rounds of `version`, unless they have begun. The factors of the version before are gone. */
void norm_rounds_begin(struct norm_rounds *rounds, uint64_t version);

/* The round at hand, from 0, and whether it is the one for lamb's trust ratio. Not when ready. */
uint32_t norm_rounds_round(const struct norm_rounds *rounds);
bool norm_rounds_is_trust(const struct norm_rounds *rounds);

/* The next segment of [segment->end, end), as norms_next_segment. */
bool norm_rounds_segment(const struct norm_rounds *rounds, uint64_t end, struct norms_segment *segment);

/* Adds what was measured of a parameter to this shard's part. */
void norm_rounds_add_gradient(struct norm_rounds *rounds, uint32_t parameter, double squares);
void norm_rounds_add_trust(struct norm_rounds *rounds, uint32_t parameter,
                           const struct optimizer_squares *squares);

/* A piece is measured; true: it was the last, and the part is whole: send it. */
bool norm_rounds_measured(struct norm_rounds *rounds);

/* Ends the round if all parts are there; true: it has ended (look whether the factors are ready). */
bool norm_rounds_settle(struct norm_rounds *rounds);

/* The exchange: its part is what is sent, and parts that come are its. */
struct exchange *norm_rounds_exchange(struct norm_rounds *rounds);

/* The factors of an update of a parameter (optimizer_update's), once ready. */
float norm_rounds_scale(const struct norm_rounds *rounds, uint32_t parameter);
float norm_rounds_trust(const struct norm_rounds *rounds, uint32_t parameter);

#endif
