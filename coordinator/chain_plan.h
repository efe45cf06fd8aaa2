/* Which slot is copied next and where, and who leaves a chain: rules over a job's map and its servers.
 * Pure. */
#ifndef CAIRN_COORDINATOR_CHAIN_PLAN_H
#define CAIRN_COORDINATOR_CHAIN_PLAN_H

#include "chain_balance.h"
#include "chain_view.h"
#include "jobs.h"

/* What servers have now, and will have when those have left that chains can do without. */
struct chain_plan {
    struct chain_shard {
        bool may_take; /* its server is prepared and stays */
        bool leaves;   /* its server is gone, to end, or one too many */
    } * shards;        /* [shard_count], owned */
    uint32_t shard_count;
    struct chain_balance balance;
    uint32_t *victims; /* [slots], owned: the place of who leaves a chain that is too long; CHAIN_NOBODY */
};

bool chain_plan_init(struct turn *turn, const struct job_entry *entry, struct chain_plan *plan);
void chain_plan_fini(struct chain_plan *plan);

/* Whether somebody may leave, and whether it is this one. */
bool chain_plan_has_leavers(const struct chain_plan *plan, const struct job_entry *entry);
bool chain_plan_leaves(const struct chain_plan *plan, const struct job_entry *entry, uint32_t slot,
                       uint32_t place);

/* Whether of every chain that is too long somebody may leave now. */
bool chain_plan_all_leave(const struct chain_plan *plan, const struct job_entry *entry);

/* A shard that slots with nothing in them can be on; CHAIN_NOBODY: there is none yet. */
uint32_t chain_plan_anybody(const struct chain_plan *plan);

/* The next copy; false: all is as it should be. */
bool chain_plan_copy(const struct chain_plan *plan, const struct job_entry *entry, uint32_t *slot,
                     uint32_t *shard);

/* The copy is under way: what servers will have once it is whole and who can be done without has left. */
void chain_plan_add(struct chain_plan *plan, const struct job_entry *entry, uint32_t slot, uint32_t shard);

/* How many of the shards of a slot stay, of the slot with fewest. */
uint32_t chain_plan_fewest(const struct chain_plan *plan, const struct job_entry *entry);

#endif
