/* How much of a job each server has, and whether a move of a slot would make that more even. Pure.
 *
 * Slots are not alike: some have chunks of weights, which may be of several tables and sizes, some only their
 * share of rows; and the head of a chain does more than the others, since it speaks to all clients. So
 * servers are compared in several measures, of which no sum is made: how many rows there are, or what a
 * client costs, the coordinator does not know. Measures are of what servers have in the first place of
 * chains, in the first two, and so on, and in all places: a copy comes last in its chain, so it may become a
 * head only by and by, when those before it leave, and each step on this way is to be a gain.
 *
 * How uneven servers are is the sum of the squares of what they have in each measure, in units of the mean. A
 * move that makes it less may make one measure worse for the sake of another, but such moves cannot go on for
 * ever. */
#ifndef CAIRN_COORDINATOR_CHAIN_BALANCE_H
#define CAIRN_COORDINATOR_CHAIN_BALANCE_H

#include "chain_view.h"

enum chain_content {
    CHAIN_CHUNKS, /* bytes of dense chunks in memory */
    CHAIN_ROWS,   /* slots that may have rows, 1 each: keys are spread evenly over them */
    CHAIN_EMPTY,  /* slots with nothing in them as yet, 1 each: copied to who has fewest, but not moved */
    CHAIN_CONTENTS
};

struct chain_share {
    double of[CHAIN_CONTENTS][CHAIN_WIDTH_MAX]; /* in the first 1, 2, ... places, and last in all of them */
};

struct chain_balance {
    uint32_t shard_count;
    uint32_t depths;         /* so many measures of each content, one for each replica */
    uint32_t *servers;       /* [shard_count], owned: the first shard of each one's server */
    struct chain_share *has; /* [shard_count], owned: of each shard */
    struct chain_share *all; /* [shard_count], owned: of the server whose first shard it is */
    struct chain_share mean; /* of the servers that stay */
    struct chain_slot_content {
        double of[CHAIN_CONTENTS];
    } * slots; /* owned */
};

/* Nobody has anything yet. staying: so many servers are to have all of it. false: out of memory, and there is
 * nothing to be finished. */
bool chain_balance_init(struct chain_balance *balance, const struct job_entry *entry, uint32_t staying);
void chain_balance_fini(struct chain_balance *balance);

/* A chain of so many shards gets a slot (sign 1) or loses it (-1), but for the one in the place `without`;
 * CHAIN_NOBODY: all of it. */
void chain_balance_add(struct chain_balance *balance, uint32_t slot, const uint32_t *chain, uint32_t length,
                       uint32_t without, int sign);

/* How much more uneven servers become, or shards, when a shard takes a slot too. */
double chain_balance_server_grows(const struct chain_balance *balance, uint32_t slot, uint32_t shard);
double chain_balance_shard_grows(const struct chain_balance *balance, uint32_t slot, uint32_t shard);

/* How much more uneven servers become, in each measure, when a shard of another server joins a slot's chain
 * (CHAIN_NOBODY: none does) and the one in a place leaves it. */
struct chain_share chain_balance_change(const struct chain_balance *balance, uint32_t slot,
                                        const uint32_t *chain, uint32_t length, uint32_t place, uint32_t to);
double chain_balance_sum(const struct chain_balance *balance, const struct chain_share *change);

#endif
