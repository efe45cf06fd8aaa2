/* What happens by chance to the nodes of a chain rig and to their messages, as the plays of weights, rows and
 * updates all have it: these are lost, come twice and overtake each other. Each draws first and may find that
 * nothing can be done. Test code only. */
#ifndef CAIRN_TESTS_CHAIN_CHANCE_H
#define CAIRN_TESTS_CHAIN_CHANCE_H

#include "chain_rig.h"
#include "check_main.h"

#include <inttypes.h>

/* A server that may die does. */
static inline void chance_kill(struct chain_rig *rig,
                               bool (*may_die)(const struct chain_rig *rig, uint32_t node))
{
    uint32_t node = chain_draw(rig, CHAIN_NODES);

    if (chain_lives(rig, node) && may_die(rig, node))
        chain_kill(rig, node);
}

/* One that may die is taken for dead. */
static inline void chance_lose(struct chain_rig *rig)
{
    uint32_t node = chain_draw(rig, CHAIN_NODES);

    if (chain_lives(rig, node) && chain_may_die(rig, node))
        chain_lose(rig, node);
}

/* A server that was dead starts: it has nothing, but for what is on its disk. Which; CHAIN_NODES: none. */
static inline uint32_t chance_start(struct chain_rig *rig)
{
    uint32_t node = chain_draw(rig, CHAIN_NODES);

    if (chain_lives(rig, node))
        return CHAIN_NODES;
    chain_start(rig, node);
    chain_node_prepare(rig, node, false);
    return node;
}

/* A fresh replica, or a slot that goes from one node to another; of the first slots. False: none. */
static inline bool chance_copy(struct chain_rig *rig, uint32_t slots)
{
    struct chain_slot *slot = &rig->slots[chain_draw(rig, slots)];
    uint32_t node = chain_draw(rig, CHAIN_NODES);

    if (slot->copy != SLOT_NOBODY || chain_has(slot, node) || !chain_is_known(rig, node) ||
        chain_length(slot) == CHAIN_PLACES)
        return false;
    chain_copy_begin(rig, slot, node);
    if (slot->leaves == SLOT_NOBODY && chain_draw(rig, 2) == 0)
        slot->leaves = slot->nodes[chain_draw(rig, chain_length(slot))];
    return true;
}

#define CHANCE_LATE 30 /* what is late has so many times the time of other messages */

#define CHANCE_TWICE 4 /* one in so many messages is said once more before it comes */

/* A shard that has waited long says all again. TCP brings nothing twice, so two of a message come about in
 * two ways: both by the connection of now, with what was said in between; or the second by that one and the
 * first, later, by one that has broken. The second is a copy of the first here: a shard that has heard of a
 * newer map since would say it by that one, but then it would be a message like any other. */
static inline void chance_say_again(struct chain_rig *rig, uint32_t index)
{
    const struct chain_said *said = &rig->said[index];
    uint32_t now = rig->connections[said->from][said->to];

    chain_say_again(rig, index, chain_draw(rig, 2) == 0 ? now : CHAIN_BROKEN);
}

/* Something that is on its way comes. */
static inline void chance_deliver(struct chain_rig *rig)
{
    uint32_t index = chain_draw(rig, rig->said_count);

    if (chain_is_late(rig, index) && chain_draw(rig, CHANCE_LATE) > 0)
        return;
    if (chain_draw(rig, CHANCE_TWICE) == 0)
        chance_say_again(rig, index);
    chain_deliver(rig, index);
}

/* A connection breaks by which something is on its way: all of that is lost, or late. */
static inline void chance_break(struct chain_rig *rig)
{
    uint32_t index = chain_draw(rig, rig->said_count ? rig->said_count : 1);
    uint32_t from = rig->said[index].from, to = rig->said[index].to;

    if (chain_draw(rig, 2) == 0)
        chain_break(rig, from, to);
    else
        chain_reconnect(rig, from, to);
}

#define CHANCE_MESSAGES RANDOM_CASES(10000) /* that a long play delivers at least */

/* What became of the messages of a long play. */
static inline void chance_tell(const struct chain_rig *rig, const char *of)
{
    const struct chain_traffic *traffic = &rig->traffic;

    printf("messages of %s: %" PRIu64 " delivered, %" PRIu64 " lost, %" PRIu64 " said twice, %" PRIu64
           " overtook others\n",
           of, traffic->delivered, traffic->lost, traffic->doubled, traffic->overtook);
    fflush(stdout);
    MUST(traffic->delivered >= CHANCE_MESSAGES);
    MUST(traffic->lost > 0 && traffic->doubled > 0 && traffic->overtook > 0);
}

static inline void chance_write(struct chain_rig *rig)
{
    uint32_t node = chain_draw(rig, CHAIN_NODES);

    if (!chain_lives(rig, node))
        return;
    shard_work(rig->nodes[node].shard);
    if (rig->nodes[node].write_count > 0)
        chain_write(rig, node);
}

/* A node that lives hears of the newest map. */
static inline void chance_give_map(struct chain_rig *rig, uint32_t node)
{
    if (chain_lives(rig, node) && rig->nodes[node].map_heard < rig->map_number)
        chain_give_map(rig, node);
}

static inline void chance_nudge(struct chain_rig *rig, uint32_t node)
{
    if (chain_lives(rig, node) && shard_waits(rig->nodes[node].shard))
        shard_nudge(rig->nodes[node].shard);
}

#endif
