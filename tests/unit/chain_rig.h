/* A cluster of servers of one shard each, without sockets or threads: the shards of a model's job in chains,
 * the messages between them on their way until somebody delivers them, and the part of the coordinator that
 * says who has what. Test code only.
 *
 * What of a message queue is lost, who dies, and when each shard hears of a new map, is the test's to choose.
 */
#ifndef CAIRN_TESTS_CHAIN_RIG_H
#define CAIRN_TESTS_CHAIN_RIG_H

#include "base/step_range.h"
#include "math/philox.h"
#include "must.h"
#include "shard_fixture.h"

#define CHAIN_NODES    5
#define CHAIN_PLACES   4 /* of a chain */
#define CHAIN_SAID_MAX 4096
#define CHAIN_WRITES   16
#define CHAIN_SLOTS    PLACEMENT_SLOTS_MIN
#define CHAIN_BROKEN   UINT32_MAX /* a connection that has: what comes by it comes late */

struct chain_said {
    uint32_t from, to;
    uint32_t connection; /* of those from one to the other, one after another */
    struct data_header header;
    struct buffer *payloads[WIRE_PAYLOADS_MAX];
};

/* A slot that has something in it. */
struct chain_slot {
    uint32_t slot;
    uint32_t nodes[CHAIN_PLACES]; /* SLOT_NOBODY: from there on nobody */
    uint64_t since[CHAIN_NODES];  /* each node that is in the chain is in generations of later steps */
    uint32_t copy;                /* whom it is being copied to; SLOT_NOBODY */
    uint64_t copy_number;
    bool begins_anew;               /* the copy does, with the next map: whom it came from is gone */
    uint32_t leaves;                /* who is to go when the others have what is committed; SLOT_NOBODY */
    uint32_t durable[CHAIN_PLACES]; /* who has it in the job's committed generation */
};

/* What became of the messages between shards. */
struct chain_traffic {
    uint64_t delivered, lost;
    uint64_t doubled;  /* said twice */
    uint64_t overtook; /* came before one that was said earlier, from the same shard to the same */
};

struct chain_rig;

struct chain_node {
    struct chain_rig *rig;
    uint32_t index;
    struct shard *shard; /* NULL: dead */
    char directory[FOLDER_BYTES];
    uint64_t committed; /* the newest generation that it has reported */
    bool is_deaf;       /* to the coordinator, and believes it away */
    bool is_lost;             /* taken for dead: it is told nothing before it has been released */
    struct step_range passed; /* the generations that it has gone over last */
    uint64_t map_heard; /* the number of the newest map that it has been given */
    struct generation *writes[CHAIN_WRITES];
    uint32_t write_count;
};

struct chain_rig {
    struct assignment *held; /* for the job that it has */
    const struct job *job;
    char text[1024];
    struct chain_node nodes[CHAIN_NODES];
    struct chain_slot *slots;
    uint32_t slot_count;
    uint32_t state_count; /* of the first slots: those that are in generations */
    uint32_t groups;      /* not 0: slot s of the map is as slots[s % groups] says */
    bool copied[CHAIN_SLOTS];
    uint32_t every; /* steps a generation */
    Cairn__Shard shards[CHAIN_NODES], *shard_pointers[CHAIN_NODES];
    char names[CHAIN_NODES][8], endpoints[CHAIN_NODES][16];
    struct chain_said said[CHAIN_SAID_MAX];
    uint32_t said_count;
    uint32_t connections[CHAIN_NODES][CHAIN_NODES]; /* from, to: the one of now */
    uint64_t incarnation, map_number, committed;
    struct step_range given_up; /* generations that will never be the job's */
    uint32_t passed;            /* reports of generations that were gone over */
    struct chain_traffic traffic;
    /* What the shards answered to the client. */
    void (*on_reply)(void *context, uint32_t node, const struct reply *reply);
    void *context;
    struct philox philox;
    uint32_t drawn;
};

/* A number below bound. */
static inline uint32_t chain_draw(struct chain_rig *rig, uint32_t bound)
{
    uint32_t counter[4] = {rig->drawn++, 0, 0, 0}, words[4];

    philox_words(rig->philox, counter, words);
    return words[0] % bound;
}

static inline bool chain_lives(const struct chain_rig *rig, uint32_t node)
{
    return rig->nodes[node].shard != NULL;
}

/* ---- events */

static inline void chain_on_reply(void *context, struct reply *reply)
{
    struct chain_node *node = context;

    node->rig->on_reply(node->rig->context, node->index, reply);
}

static inline struct chain_slot *chain_slot_of(struct chain_rig *rig, uint32_t slot)
{
    if (rig->groups > 0)
        return &rig->slots[slot % rig->groups];
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        if (rig->slots[i].slot == slot)
            return &rig->slots[i];
    }
    return NULL;
}

static inline void chain_copied(struct chain_rig *rig, const struct shard_report *report);

static inline void chain_on_report(void *context, const struct shard_report *report)
{
    struct chain_node *node = context;

    MUST_MSG(report->kind != SHARD_FAILED && report->kind != SHARD_REFUSED, "%s", report->message);
    if (report->incarnation != node->rig->incarnation)
        return;
    if (report->kind == SHARD_COMMITTED && report->step > node->committed)
        node->committed = report->step;
    if (report->kind == SHARD_COPIED)
        chain_copied(node->rig, report);
    if (report->kind == SHARD_PASSED) {
        node->passed = (struct step_range){report->after, report->step};
        node->rig->passed++;
    }
}

static inline void chain_on_write(void *context, struct generation *generation)
{
    struct chain_node *node = context;

    ck_assert_uint_lt(node->write_count, CHAIN_WRITES);
    node->writes[node->write_count++] = generation;
}

static inline void chain_on_tell(void *context, const struct shard_message *message)
{
    struct chain_node *node = context;
    struct chain_rig *rig = node->rig;
    struct chain_said *said = &rig->said[rig->said_count++];
    unsigned char packed[WIRE_HEADER_MAX];
    struct error error;

    MUST_MSG(rig->said_count <= CHAIN_SAID_MAX, "%u messages are on their way", (unsigned)rig->said_count);
    said->from = node->index;
    said->to = (uint32_t)strtoul(message->endpoint + strlen("shard:"), NULL, 10);
    said->connection = rig->connections[said->from][said->to];
    MUST_MSG(wire_data_unpack(packed, wire_data_pack(&message->header, packed), &said->header, &error) ==
                 CAIRN_OK,
             "%s", error.message);
    for (uint32_t i = 0; i < message->header.payload_count; i++)
        said->payloads[i] = message->payloads[i] ? buffer_ref(message->payloads[i]) : NULL;
}

static inline void chain_on_parted(void *context, uint64_t job)
{
    (void)context, (void)job;
}

/* ---- what is on its way */

/* The first message of a kind on its way from one node to another, which is to be there. */
static inline uint32_t chain_said_find(const struct chain_rig *rig, enum data_kind kind, uint32_t from,
                                       uint32_t to)
{
    uint32_t index = 0;

    while (index < rig->said_count && (rig->said[index].header.kind != kind ||
                                       rig->said[index].from != from || rig->said[index].to != to))
        index++;
    ck_assert_msg(index < rig->said_count, "nothing of kind %d from %u to %u", (int)kind, from, to);
    return index;
}

/* Takes a message out of the way that it is on; chain_said_put gives it back. */
static inline struct chain_said chain_said_hold(struct chain_rig *rig, uint32_t index)
{
    struct chain_said said = rig->said[index];

    memmove(&rig->said[index], &rig->said[index + 1], (--rig->said_count - index) * sizeof(said));
    return said;
}

/* It comes now, by a connection that has broken. */
static inline void chain_deliver(struct chain_rig *rig, uint32_t index);
static inline void chain_said_put(struct chain_rig *rig, const struct chain_said *said)
{
    rig->said[rig->said_count] = *said;
    rig->said[rig->said_count].connection = CHAIN_BROKEN;
    chain_deliver(rig, rig->said_count++);
}

static inline void chain_said_drop(struct chain_rig *rig, uint32_t index)
{
    struct chain_said *said = &rig->said[index];

    for (uint32_t i = 0; i < said->header.payload_count; i++)
        buffer_unref(said->payloads[i]);
    memmove(said, said + 1, (--rig->said_count - index) * sizeof(*said));
}

/* As it would come by a socket: memory of the receiver's own. */
static inline struct buffer *chain_received(const struct buffer *sent)
{
    struct buffer *copy = buffer_new(sent->length_bytes);

    MUST(copy);
    memcpy(copy->data, sent->data, sent->length_bytes);
    return copy;
}

/* Whether something is on its way that was said before said[index], by the same shard to the same. */
static inline bool chain_overtakes(const struct chain_rig *rig, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (rig->said[i].from == rig->said[index].from && rig->said[i].to == rig->said[index].to)
            return true;
    }
    return false;
}

/* Delivers the oldest message of the connection that said[index] is in. */
static inline void chain_deliver(struct chain_rig *rig, uint32_t index)
{
    struct buffer *payloads[WIRE_PAYLOADS_MAX];
    struct data_header header;
    uint32_t to = rig->said[index].to, from = rig->said[index].from, connection = rig->said[index].connection;

    for (index = 0; rig->said[index].to != to || rig->said[index].from != from ||
                    rig->said[index].connection != connection;
         index++)
        ;
    rig->traffic.overtook += chain_lives(rig, to) && chain_overtakes(rig, index);
    header = rig->said[index].header;
    for (uint32_t i = 0; i < header.payload_count; i++)
        payloads[i] = rig->said[index].payloads[i] ? chain_received(rig->said[index].payloads[i]) : NULL;
    chain_said_drop(rig, index);
    if (chain_lives(rig, to)) {
        rig->traffic.delivered++;
        shard_handle(rig->nodes[to].shard, "a shard", 7, &header, payloads);
        return;
    }
    rig->traffic.lost++;
    for (uint32_t i = 0; i < header.payload_count; i++)
        buffer_unref(payloads[i]);
}

/* A connection breaks: all that is on its way by it is lost. */
static inline void chain_break(struct chain_rig *rig, uint32_t from, uint32_t to)
{
    for (uint32_t i = rig->said_count; i > 0; i--) {
        if (rig->said[i - 1].from != from || rig->said[i - 1].to != to)
            continue;
        rig->traffic.lost++;
        chain_said_drop(rig, i - 1);
    }
}

/* A connection breaks, and what is on its way by it comes later than what is said from now on. */
static inline void chain_reconnect(struct chain_rig *rig, uint32_t from, uint32_t to)
{
    rig->connections[from][to]++;
}

/* A message on its way is said once more, the last of a connection. */
static inline void chain_say_again(struct chain_rig *rig, uint32_t index, uint32_t connection)
{
    struct chain_said *again = &rig->said[rig->said_count++];

    MUST_MSG(rig->said_count <= CHAIN_SAID_MAX, "%u messages are on their way", (unsigned)rig->said_count);
    *again = rig->said[index];
    again->connection = connection;
    for (uint32_t i = 0; i < again->header.payload_count; i++) {
        if (again->payloads[i])
            buffer_ref(again->payloads[i]);
    }
    rig->traffic.doubled++;
}

/* Whether a message is in a connection that has broken. */
static inline bool chain_is_late(const struct chain_rig *rig, uint32_t index)
{
    const struct chain_said *said = &rig->said[index];

    return said->connection != rig->connections[said->from][said->to];
}

static inline void chain_deliver_all(struct chain_rig *rig)
{
    while (rig->said_count > 0)
        chain_deliver(rig, 0);
}

/* ---- who has what */

static inline uint32_t chain_length(const struct chain_slot *slot)
{
    uint32_t length = 0;

    while (length < CHAIN_PLACES && slot->nodes[length] != SLOT_NOBODY)
        length++;
    return length;
}

static inline bool chain_has(const struct chain_slot *slot, uint32_t node)
{
    for (uint32_t i = 0; i < CHAIN_PLACES; i++) {
        if (slot->nodes[i] == node)
            return true;
    }
    return false;
}

static inline void chain_remove(struct chain_slot *slot, uint32_t node)
{
    uint32_t kept = 0, length = chain_length(slot);
    uint32_t last = length > 0 ? slot->nodes[length - 1] : SLOT_NOBODY;

    for (uint32_t i = 0; i < CHAIN_PLACES; i++) {
        if (slot->nodes[i] != node)
            slot->nodes[kept++] = slot->nodes[i];
    }
    while (kept < CHAIN_PLACES)
        slot->nodes[kept++] = SLOT_NOBODY;
    slot->begins_anew = slot->begins_anew || (kept > 0 && last == node);
    if (slot->copy == node)
        slot->copy = SLOT_NOBODY;
    if (slot->leaves == node)
        slot->leaves = SLOT_NOBODY;
}

/* The slots as commands have them: those without anything in them lie on any node that lives. */
static inline void chain_fill(const struct chain_rig *rig, bool durable,
                              uint32_t places[CHAIN_SLOTS * CHAIN_PLACES])
{
    uint32_t any = 0;

    while (!chain_lives(rig, any))
        any++;
    for (uint32_t i = 0; i < CHAIN_SLOTS * CHAIN_PLACES; i++)
        places[i] = i % CHAIN_PLACES == 0 ? any : SLOT_NOBODY;
    for (uint32_t i = 0; i < (rig->groups ? CHAIN_SLOTS : rig->slot_count); i++) {
        const struct chain_slot *slot = &rig->slots[rig->groups ? i % rig->groups : i];

        memcpy(&places[(rig->groups ? i : slot->slot) * CHAIN_PLACES], durable ? slot->durable : slot->nodes,
               CHAIN_PLACES * sizeof(places[0]));
    }
}

/* A server that was taken for dead is heard of again: it is released from what it has, and prepared as one
 * that comes. */
static inline void chain_node_prepare(struct chain_rig *rig, uint32_t node, bool durable);
static inline void chain_take_back(struct chain_rig *rig, uint32_t node)
{
    if (!rig->nodes[node].is_lost)
        return;
    shard_release(rig->nodes[node].shard, RIG_JOB, rig->incarnation);
    chain_node_prepare(rig, node, false);
}

/* Gives a node the map as it is now. */
static inline void chain_give_map(struct chain_rig *rig, uint32_t node)
{
    static uint32_t places[CHAIN_SLOTS * CHAIN_PLACES];
    static Cairn__SlotCopy copies[CHAIN_SLOTS], *pointers[CHAIN_SLOTS];
    struct slot_map_params params = {.number = rig->map_number,
                                     .shards = rig->shard_pointers,
                                     .shard_count = CHAIN_NODES,
                                     .slot_shards = places,
                                     .place_count = CHAIN_SLOTS * CHAIN_PLACES,
                                     .replicas = CHAIN_PLACES,
                                     .copies = pointers};
    struct slot_map *map = NULL;
    struct error error;

    chain_fill(rig, false, places);
    for (uint32_t i = 0; i < (rig->groups ? CHAIN_SLOTS : rig->slot_count); i++) {
        const struct chain_slot *slot = &rig->slots[rig->groups ? i % rig->groups : i];

        if (slot->copy == SLOT_NOBODY)
            continue;
        cairn__slot_copy__init(&copies[params.copy_count]);
        copies[params.copy_count].slot = rig->groups ? i : slot->slot;
        copies[params.copy_count].shard = slot->copy;
        copies[params.copy_count].number = slot->copy_number;
        pointers[params.copy_count] = &copies[params.copy_count];
        params.copy_count++;
    }
    MUST_MSG(slot_map_new(&params, rig->names[node], 1, CHAIN_SLOTS, &map, &error) == CAIRN_OK, "%s",
             error.message);
    chain_take_back(rig, node);
    rig->nodes[node].map_heard = rig->map_number;
    shard_map(rig->nodes[node].shard, RIG_JOB, rig->incarnation, map);
    slot_map_unref(map);
}

/* A copy begins, or begins anew, with the newest map. */
static inline void chain_copy_number(struct chain_rig *rig, struct chain_slot *slot)
{
    for (uint32_t i = (uint32_t)(slot - rig->slots); rig->groups > 0 && i < CHAIN_SLOTS; i += rig->groups)
        rig->copied[i] = false;
    slot->copy_number = rig->map_number;
}

/* There is a new map, of which nobody has heard yet. */
static inline void chain_map_changed(struct chain_rig *rig)
{
    rig->map_number++;
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        if (rig->slots[i].begins_anew && rig->slots[i].copy != SLOT_NOBODY)
            chain_copy_number(rig, &rig->slots[i]);
        rig->slots[i].begins_anew = false;
    }
}

static inline void chain_give_maps(struct chain_rig *rig)
{
    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (chain_lives(rig, node))
            chain_give_map(rig, node);
    }
}

/* Whether all slots of the map that a slot here stands for have been copied. */
static inline bool chain_all_copied(struct chain_rig *rig, const struct chain_slot *slot, uint32_t reported)
{
    uint32_t first = (uint32_t)(slot - rig->slots);

    if (rig->groups == 0)
        return true;
    rig->copied[reported] = true;
    for (uint32_t i = first; i < CHAIN_SLOTS; i += rig->groups) {
        if (!rig->copied[i])
            return false;
    }
    return true;
}

/* A slot begins to be copied. */
static inline void chain_copy_begin(struct chain_rig *rig, struct chain_slot *slot, uint32_t node)
{
    slot->copy = node;
    slot->since[node] = 0;
    rig->map_number++;
    slot->begins_anew = false;
    chain_copy_number(rig, slot);
}

/* A copy is whole: it comes into the chain, last. */
static inline void chain_copied(struct chain_rig *rig, const struct shard_report *report)
{
    struct chain_slot *slot = chain_slot_of(rig, report->slot);

    if (!slot || slot->copy != report->position || slot->copy_number != report->map)
        return;
    if (report->step > slot->since[report->position])
        slot->since[report->position] = report->step;
    if (!chain_all_copied(rig, slot, report->slot))
        return;
    slot->copy = SLOT_NOBODY;
    slot->nodes[chain_length(slot)] = report->position;
    chain_map_changed(rig);
}

/* ---- generations: what a coordinator does, as its commits.c has it */

/* Whether a node of a slot's chain has it in its generation of a step. */
static inline bool chain_holds(const struct chain_slot *slot, uint32_t node, uint64_t step)
{
    return chain_has(slot, node) && slot->since[node] < step;
}

static inline bool chain_slot_is_durable(const struct chain_rig *rig, const struct chain_slot *slot,
                                         uint64_t step)
{
    uint32_t has = 0;

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (chain_holds(slot, node, step) && rig->nodes[node].committed != step)
            return false;
        has += chain_holds(slot, node, step);
    }
    return has > 0;
}

/* Who is to leave a chain does so when another one has what is committed. */
static inline void chain_leave(struct chain_rig *rig, struct chain_slot *slot)
{
    for (uint32_t node = 0; node < CHAIN_NODES && slot->leaves != SLOT_NOBODY; node++) {
        if (node != slot->leaves && chain_holds(slot, node, rig->committed)) {
            chain_remove(slot, slot->leaves);
            chain_map_changed(rig);
        }
    }
}

static inline bool chain_is_durable(const struct chain_rig *rig, uint64_t step)
{
    for (uint32_t i = 0; i < rig->state_count; i++) {
        if (!chain_slot_is_durable(rig, &rig->slots[i], step))
            return false;
    }
    return true;
}

/* Whether the coordinator knows a node to be alive. */
static inline bool chain_is_known(const struct chain_rig *rig, uint32_t node)
{
    return chain_lives(rig, node) && !rig->nodes[node].is_lost;
}

/* Whether a node hears what the coordinator says. */
static inline bool chain_hears(const struct chain_rig *rig, uint32_t node)
{
    return chain_is_known(rig, node) && !rig->nodes[node].is_deaf;
}

/* A node hears the coordinator no more, or again: then first what is the job's. */
static inline void chain_set_deaf(struct chain_rig *rig, uint32_t node, bool is_deaf)
{
    struct chain_node *at = &rig->nodes[node];

    if (at->is_deaf && !is_deaf && !at->is_lost)
        shard_committed(at->shard, RIG_JOB, rig->incarnation, rig->committed);
    at->is_deaf = is_deaf;
    shard_set_away(at->shard, is_deaf);
}

static inline void chain_make_the_jobs(struct chain_rig *rig, uint64_t step)
{
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        struct chain_slot *slot = &rig->slots[i];
        uint32_t count = 0;

        for (uint32_t at = 0; at < chain_length(slot) && i < rig->state_count; at++) {
            if (chain_holds(slot, slot->nodes[at], step))
                slot->durable[count++] = slot->nodes[at];
        }
        while (count < CHAIN_PLACES && i < rig->state_count)
            slot->durable[count++] = SLOT_NOBODY;
    }
    rig->committed = step;
    for (uint32_t i = 0; i < rig->slot_count; i++)
        chain_leave(rig, &rig->slots[i]);
    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (chain_hears(rig, node))
            shard_committed(rig->nodes[node].shard, RIG_JOB, rig->incarnation, step);
    }
}

static inline bool chain_is_given_up(const struct chain_rig *rig, uint64_t step)
{
    return step_range_has(rig->given_up, step);
}

/* The newest that somebody has, and that may be the job's if it is to. */
static inline uint64_t chain_newest(const struct chain_rig *rig, bool may_be_the_jobs)
{
    uint64_t newest = rig->committed;

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        uint64_t step = rig->nodes[node].committed;

        if (chain_is_known(rig, node) && step > newest && !(may_be_the_jobs && chain_is_given_up(rig, step)))
            newest = step;
    }
    return newest;
}

/* Whether a node has something in the generation of a step. */
static inline bool chain_takes_part(const struct chain_rig *rig, uint32_t node, uint64_t step)
{
    for (uint32_t i = 0; i < rig->state_count; i++) {
        if (chain_holds(&rig->slots[i], node, step))
            return true;
    }
    return false;
}

/* A node that waits for what will not be the job's goes on. */
static inline void chain_forgo(struct chain_rig *rig)
{
    uint64_t newest = chain_newest(rig, false);

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        struct chain_node *at = &rig->nodes[node];

        if (!chain_is_known(rig, node) || at->committed <= rig->committed)
            continue;
        if (at->committed < newest && chain_takes_part(rig, node, newest))
            step_range_add(&rig->given_up, (struct step_range){at->committed - 1, at->committed},
                           rig->committed);
        if (chain_hears(rig, node) &&
            (chain_is_given_up(rig, at->committed) || !chain_takes_part(rig, node, at->committed)))
            shard_forgo(at->shard, RIG_JOB, rig->incarnation, at->committed);
    }
}

static inline void chain_commit(struct chain_rig *rig)
{
    uint64_t step;

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (chain_is_known(rig, node))
            step_range_add(&rig->given_up, rig->nodes[node].passed, rig->committed);
    }
    step = chain_newest(rig, true);
    if (step > rig->committed && chain_is_durable(rig, step))
        chain_make_the_jobs(rig, step);
    else
        chain_forgo(rig);
}

/* Whether each slot would still have somebody with all there is, and the next generations somebody to write
 * them. */
static inline bool chain_may_die(const struct chain_rig *rig, uint32_t dies)
{
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        const struct chain_slot *slot = &rig->slots[i];
        uint32_t left = 0, first = 0, second = 0;

        for (uint32_t node = 0; node < CHAIN_NODES; node++) {
            if (node == dies || !chain_lives(rig, node))
                continue;
            left += chain_has(slot, node);
            first += chain_holds(slot, node, rig->committed + rig->every);
            second += chain_holds(slot, node, rig->committed + 2 * rig->every);
        }
        if (left == 0 || (i < rig->state_count && (first == 0 || second == 0)))
            return false;
    }
    return true;
}

/* ---- life */

static inline struct assignment *chain_assignment(struct chain_rig *rig, uint32_t node, bool durable)
{
    static uint32_t places[CHAIN_SLOTS * CHAIN_PLACES];
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    struct assignment *assignment = NULL;
    struct error error;

    text.text = rig->text;
    text.file_name = (char *)"fixture.yaml";
    text.base_directory = (char *)"/";
    chain_fill(rig, durable, places);
    command.job = RIG_JOB;
    command.job_id = (char *)"fixture-7";
    command.text = &text;
    command.n_shards = CHAIN_NODES;
    command.shards = rig->shard_pointers;
    command.n_slot_shards = CHAIN_SLOTS * CHAIN_PLACES;
    command.slot_shards = places;
    command.replicas = CHAIN_PLACES;
    ck_assert_msg(assignment_new(&command, rig->names[node], 1, &assignment, &error) == CAIRN_OK, "%s",
                  error.message);
    return assignment;
}

static inline void chain_write(struct chain_rig *rig, uint32_t node)
{
    struct chain_node *at = &rig->nodes[node];
    struct generation *generation = at->writes[0];
    struct error error;
    enum status status;

    memmove(at->writes, at->writes + 1, --at->write_count * sizeof(at->writes[0]));
    status = generation_write(generation, &error);
    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    shard_written(at->shard, generation, status, &error);
}

/* At the committed step; durable: with what was committed then, else with the slots as they are now. */
static inline void chain_node_prepare(struct chain_rig *rig, uint32_t node, bool durable)
{
    struct assignment *assignment = chain_assignment(rig, node, durable);

    rig->nodes[node].committed = rig->committed;
    rig->nodes[node].passed = (struct step_range){0};
    rig->nodes[node].map_heard = 0;
    rig->nodes[node].is_lost = false;
    shard_prepare(rig->nodes[node].shard, assignment, rig->incarnation, rig->committed);
    while (rig->nodes[node].write_count > 0) /* of the incarnation before */
        chain_write(rig, node);
    assignment_unref(assignment);
}

/* Starts a server, on its directory as it is. */
static inline void chain_start(struct chain_rig *rig, uint32_t node)
{
    struct chain_node *at = &rig->nodes[node];
    struct job_store_owner owner = {at->directory, rig->names[node], 0};
    struct shard_events events = {chain_on_reply, chain_on_report, chain_on_write,
                                  chain_on_tell,  chain_on_parted, at};

    at->shard = shard_new(&owner, 0, &events);
    at->write_count = 0;
    at->is_deaf = at->is_lost = false;
    ck_assert_ptr_nonnull(at->shard);
}

/* A server dies; whatever it had said may have been heard, or not. */
static inline void chain_kill(struct chain_rig *rig, uint32_t node)
{
    shard_free(rig->nodes[node].shard);
    rig->nodes[node].shard = NULL;
    rig->nodes[node].write_count = 0;
    for (uint32_t other = 0; other < CHAIN_NODES; other++) {
        if (chain_draw(rig, 2) == 0)
            chain_break(rig, node, other);
        chain_break(rig, other, node);
    }
    for (uint32_t i = 0; i < rig->slot_count; i++)
        chain_remove(&rig->slots[i], node);
    chain_map_changed(rig);
}

/* A server is taken for dead: it has nothing any more, and hears of that when it would hear of a map. */
static inline void chain_lose(struct chain_rig *rig, uint32_t node)
{
    rig->nodes[node].is_lost = true;
    for (uint32_t i = 0; i < rig->slot_count; i++)
        chain_remove(&rig->slots[i], node);
    chain_map_changed(rig);
}

/* Servers, and no slots yet. */
static inline struct chain_rig *chain_rig_begin(const char *text, uint32_t commit_every, uint64_t seed)
{
    struct chain_rig *rig = calloc(1, sizeof(*rig));

    ck_assert_ptr_nonnull(rig);
    rig->philox = philox_for(seed, PHILOX_SYNTHETIC_DATA);
    rig->incarnation = 1;
    rig->every = commit_every;
    snprintf(rig->text, sizeof(rig->text), "%s", text);
    for (uint32_t i = 0; i < CHAIN_NODES; i++) {
        cairn__shard__init(&rig->shards[i]);
        snprintf(rig->names[i], sizeof(rig->names[i]), "n%u", i);
        snprintf(rig->endpoints[i], sizeof(rig->endpoints[i]), "shard:%u", i);
        rig->shards[i].server = rig->names[i];
        rig->shards[i].endpoint = rig->endpoints[i];
        rig->shard_pointers[i] = &rig->shards[i];
        rig->nodes[i].rig = rig;
        rig->nodes[i].index = i;
        folder_make(rig->nodes[i].directory);
        chain_start(rig, i);
    }
    rig->slots = calloc(16, sizeof(rig->slots[0]));
    ck_assert_ptr_nonnull(rig->slots);
    return rig;
}

/* A job of a model of four chunks, whose slots lie in chains of up to `places` nodes. */
static inline struct chain_rig *chain_rig_new(const char *optimizer, uint32_t places, uint32_t commit_every,
                                              uint64_t seed)
{
    struct chain_rig *rig = chain_rig_begin(rig_job_text(optimizer, commit_every, 11), commit_every, seed);
    uint32_t chunks;

    chunks = rig->state_count = 4;
    for (uint32_t i = 0; i < chunks + 2; i++) {
        struct chain_slot *slot = &rig->slots[rig->slot_count++];

        slot->slot = i < chunks ? i : placement_slot(i - chunks + TABLE_METRICS, 0, CHAIN_SLOTS);
        slot->copy = slot->leaves = SLOT_NOBODY;
        for (uint32_t place = 0; place < CHAIN_PLACES; place++)
            slot->nodes[place] = place < places ? (i + place) % CHAIN_NODES : SLOT_NOBODY;
        memcpy(slot->durable, slot->nodes, sizeof(slot->durable));
    }
    return rig;
}

static inline void chain_prepare_all(struct chain_rig *rig)
{
    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (chain_lives(rig, node))
            chain_node_prepare(rig, node, true);
    }
}

static inline void chain_rig_free(struct chain_rig *rig)
{
    while (rig->said_count > 0)
        chain_said_drop(rig, rig->said_count - 1);
    for (uint32_t i = 0; i < CHAIN_NODES; i++) {
        if (chain_lives(rig, i))
            shard_free(rig->nodes[i].shard);
        folder_remove(rig->nodes[i].directory);
    }
    free(rig->slots);
    free(rig);
}

#endif
