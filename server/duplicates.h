/* Whether sums that come twice are the same: a checksum of what came for each tree node of the step in hand
 * and of the one before, by place (a chunk of a dense table, a table of sums).
 *
 * A node that came already is dropped, whoever sends it, since it must be the same bits; that is what makes
 * the model independent of who computes what. Here it is seen when it is not so: by a machine that computes
 * otherwise, or wrongly. Memory is bounded: of a place so many nodes a step, the later ones are not compared.
 * Knows nothing of tables, messages or reports. One thread an object. */
#ifndef CAIRN_SERVER_DUPLICATES_H
#define CAIRN_SERVER_DUPLICATES_H

#include "math/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nodes of a step that are remembered at a place: workers push few each, the cover of their spans. */
#define DUPLICATES_NODES_MAX 256u

struct duplicates;

/* For so many places. Owns: the caller. NULL: out of memory. */
struct duplicates *duplicates_new(uint32_t places);
void duplicates_free(struct duplicates *duplicates);

/* Notes the checksum of what came for a node of a step at a place, and whether it is as the one that came
 * first: false, it differs, and the first stays. Of steps older than the two newest nothing is known; nor is
 * it when there is no memory. */
bool duplicates_agree(struct duplicates *duplicates, uint32_t place, uint64_t step, struct tree_node node,
                      uint64_t checksum);

#endif
