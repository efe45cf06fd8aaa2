/* Chains of chunks with clocks, and workers that push to them, in the throughput modes. Each update has a
 * weight of its own in each chunk, so that the weights tell which ones were applied, and how often. Test code
 * only. */
#ifndef CAIRN_TESTS_CHAIN_UPDATES_PLAY_H
#define CAIRN_TESTS_CHAIN_UPDATES_PLAY_H

#include "chain_chance.h"
#include "must.h"

#define CHUNKS      4
#define HANDS_MAX   4
#define NUMBERS_MAX 56
#define STEPS_MAX   128
#define RATE        0.25f
#define SAMPLES     8
/* Ends in the middle of the fixture's line. */
#define PLAIN   "sgd: {learning_rate: 0.25}}, mode: ssp, staleness: 2, codec: {float32: {}"
#define TANGLED "adam: {learning_rate: 0.25}}, mode: async, staleness_damping: true, codec: {float32: {}"

enum { PUSHED = 1, ASKED_NEXT, LOOKED }; /* what a request is about */

/* Which updates: of a worker's step. */
struct account {
    bool has[CHUNKS][NUMBERS_MAX][STEPS_MAX];
};

struct hand { /* a worker */
    uint64_t number, first, step;
    bool is_given[CHUNKS], is_applied[CHUNKS];
};

struct play {
    struct chain_rig *rig;
    bool is_plain; /* the weights tell what was applied */
    struct hand hands[HANDS_MAX];
    uint32_t hand_count;
    uint64_t newest_number, epoch;
    struct roster *roster;             /* of the newest epoch */
    uint64_t epoch_heard[CHAIN_NODES]; /* the newest that a node was told */
    struct account told, asked, durable;
    uint64_t tag, asked_step; /* the newest generation of any incarnation; that which is under way, 0: none */
    bool is_asked[CHAIN_NODES];
    uint64_t next[CHUNKS], version[CHUNKS]; /* answers; UINT64_MAX: none came */
    float *seen[CHUNKS], *initial[CHUNKS];
    uint32_t copies, commits; /* that happened */
    uint64_t updates;         /* at the end */
};

/* ---- what clients see */

static inline struct chain_slot *slot_of(const struct play *play, uint32_t chunk)
{
    return chain_slot_of(play->rig, placement_slot(TABLE_WEIGHTS, chunk, CHAIN_SLOTS));
}

static inline uint32_t head_of(const struct play *play, uint32_t chunk)
{
    return slot_of(play, chunk)->nodes[0];
}

static inline uint64_t floats_of(const struct play *play, uint32_t chunk)
{
    uint64_t begin, end;

    graph_chunk(play->rig->job->graph, chunk, &begin, &end);
    return end - begin;
}

static inline struct hand *hand_of(struct play *play, uint64_t number)
{
    for (uint32_t i = 0; i < play->hand_count; i++) {
        if (play->hands[i].number == number)
            return &play->hands[i];
    }
    return NULL;
}

static inline void take_push(struct play *play, const struct reply *reply, uint32_t chunk)
{
    uint64_t step = reply->header.step, number;
    char name[16] = "";
    struct hand *hand;

    ck_assert_uint_lt(reply->client->length, sizeof(name));
    memcpy(name, reply->client->name, reply->client->length);
    number = strtoul(name, NULL, 10);
    hand = hand_of(play, number);

    ck_assert_uint_lt(number, NUMBERS_MAX);
    play->told.has[chunk][number][step - 1] = true;
    if (hand && step == hand->step + 1)
        *(reply->header.kind == DATA_VALUES ? &hand->is_given[chunk] : &hand->is_applied[chunk]) = true;
}

static inline void on_reply(void *context, uint32_t node, const struct reply *reply)
{
    struct play *play = context;
    const struct data_header *header = &reply->header;

    if (header->incarnation != play->rig->incarnation)
        return;
    if (header->kind == DATA_REFUSED) {
        /* Who is a head, by whatever map, has had what workers were told of. */
        ck_assert_msg(header->refused != DATA_REFUSED_MALFORMED &&
                          (header->refused != DATA_REFUSED_LOST ||
                           play->rig->nodes[node].map_heard < play->rig->map_number),
                      "%s", header->message);
        return;
    }
    for (uint32_t i = 0; i < header->payload_count; i++) {
        uint32_t chunk = header->payloads[i].chunk;

        if (header->request == PUSHED)
            take_push(play, reply, chunk);
        if (header->request == ASKED_NEXT)
            play->next[chunk] = header->step;
        if (header->request == LOOKED) {
            play->version[chunk] = header->step;
            memcpy(play->seen[chunk], reply->payloads[i]->data, header->payloads[i].length_bytes);
        }
    }
}

static inline void send_to(struct play *play, uint32_t node, const char *client, struct data_header *header,
                           struct buffer *payload)
{
    header->incarnation = play->rig->incarnation;
    if (chain_lives(play->rig, node))
        shard_handle(play->rig->nodes[node].shard, client, strlen(client), header, &payload);
    else
        buffer_unref(payload);
}

static inline uint64_t place_of(uint64_t number, uint64_t step)
{
    return number * STEPS_MAX + step;
}

/* The gradients of a worker's step: of its own weight in the chunk; or of all, so that order counts. */
static inline struct buffer *gradients_of(const struct play *play, const struct hand *hand, uint32_t chunk)
{
    uint64_t floats = floats_of(play, chunk);
    struct buffer *payload = buffer_new(floats * sizeof(float));
    float *values = payload ? payload->data : NULL;

    ck_assert_ptr_nonnull(payload);
    ck_assert_uint_lt(place_of(hand->number, hand->step), floats);
    memset(values, 0, payload->length_bytes);
    for (uint64_t i = 0; i < floats && !play->is_plain; i++)
        values[i] = (float)((hand->number * 31 + hand->step * 7 + i) % 13) - 6;
    values[place_of(hand->number, hand->step)] = SAMPLES;
    return payload;
}

static inline void push(struct play *play, uint32_t node, const struct hand *hand, uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PUSH, 0, TABLE_WEIGHTS, hand->step);
    struct buffer *payload = gradients_of(play, hand, chunk);
    char client[16];

    snprintf(client, sizeof(client), "%u", (unsigned)hand->number);
    header.node = rig_whole;
    header.samples = SAMPLES;
    header.worker = hand->number;
    header.request = PUSHED;
    header.subscribe = header.acknowledge = true;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){chunk, DATA_FLOAT32, payload->length_bytes};
    send_to(play, node, client, &header, payload);
}

/* Reads the newest weights of a chunk's head, and their version. */
static inline void look(struct play *play, uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PULL, 0, TABLE_WEIGHTS, 0);

    play->version[chunk] = UINT64_MAX;
    header.newest = true;
    header.request = LOOKED;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){chunk, DATA_FLOAT32, 0};
    send_to(play, head_of(play, chunk), "who looks", &header, NULL);
    ck_assert_uint_ne(play->version[chunk], UINT64_MAX);
}

/* How often the update of a worker's step was applied to the chunk that was looked at. */
static inline uint32_t count_applied(const struct play *play, uint32_t chunk, uint64_t number, uint64_t step)
{
    uint64_t place = place_of(number, step);

    return (uint32_t)((play->initial[chunk][place] - play->seen[chunk][place]) / RATE + 0.5f);
}

/* Every update that is in the account was applied, and none twice. known: becomes what was applied. */
static inline void check_chunk(struct play *play, uint32_t chunk, const struct account *account,
                               struct account *known)
{
    uint64_t total = 0;

    look(play, chunk);
    for (uint64_t number = 0; number < NUMBERS_MAX && play->is_plain; number++) {
        for (uint64_t step = 0; step < STEPS_MAX; step++) {
            uint32_t count = count_applied(play, chunk, number, step);

            MUST_MSG(count <= 1 && (count == 1 || !account->has[chunk][number][step]),
                     "step %u of worker %u was applied %u times to chunk %u", (unsigned)step,
                     (unsigned)number, count, chunk);
            if (known)
                known->has[chunk][number][step] = count == 1;
            total += count;
        }
    }
    if (play->is_plain)
        ck_assert_uint_eq(play->version[chunk], total);
}

/* ---- workers */

static inline void make_epoch(struct play *play)
{
    struct roster *roster = malloc(sizeof(*roster) + HANDS_MAX * sizeof(roster->workers[0]));

    ck_assert_ptr_nonnull(roster);
    roster->number = ++play->epoch;
    roster->count = play->hand_count;
    for (uint32_t i = 0; i < play->hand_count; i++)
        roster->workers[i] = (struct clock_start){play->hands[i].number, play->hands[i].first};
    free(play->roster);
    play->roster = roster;
}

static inline void deliver_epoch(struct play *play, uint32_t node)
{
    if (!chain_lives(play->rig, node) || play->epoch_heard[node] == play->epoch)
        return;
    play->epoch_heard[node] = play->epoch;
    shard_begin_epoch(play->rig->nodes[node].shard, RIG_JOB, play->rig->incarnation, play->roster);
}

static inline void join(struct play *play)
{
    uint64_t step = 0;

    if (play->hand_count == HANDS_MAX || play->newest_number + 1 == NUMBERS_MAX)
        return;
    for (uint32_t i = 0; i < play->hand_count; i++)
        step = play->hands[i].step > step ? play->hands[i].step : step;
    play->newest_number++;
    play->hands[play->hand_count++] =
        (struct hand){.number = play->newest_number, .first = step, .step = step};
}

/* ---- generations: what a coordinator does */

static inline uint32_t count_holders(const struct chain_slot *slot, uint64_t step)
{
    uint32_t count = 0;

    for (uint32_t node = 0; node < CHAIN_NODES; node++)
        count += chain_holds(slot, node, step);
    return count;
}

static inline void ask_generation(struct play *play)
{
    if (play->asked_step > 0)
        return;
    play->asked_step = ++play->tag;
    play->asked = play->told;
    memset(play->is_asked, 0, sizeof(play->is_asked));
}

static inline void deliver_ask(struct play *play, uint32_t node)
{
    if (play->asked_step == 0 || play->is_asked[node] || !chain_lives(play->rig, node))
        return;
    play->is_asked[node] = true;
    shard_commit(play->rig->nodes[node].shard, RIG_JOB, play->rig->incarnation, play->asked_step);
}

/* Nobody that lives has all of a generation. */
static inline void give_up_generation(struct play *play)
{
    struct chain_rig *rig = play->rig;

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (!chain_lives(rig, node) || !play->is_asked[node] ||
            rig->nodes[node].committed != play->asked_step)
            continue;
        rig->nodes[node].committed = rig->committed;
        shard_forgo(rig->nodes[node].shard, RIG_JOB, rig->incarnation, play->asked_step);
    }
    play->asked_step = 0;
}

static inline void commit_now(struct play *play)
{
    struct chain_rig *rig = play->rig;

    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        struct chain_slot *slot = slot_of(play, chunk);
        uint32_t count = 0;

        for (uint32_t at = 0; at < chain_length(slot); at++) {
            if (chain_holds(slot, slot->nodes[at], play->asked_step))
                slot->durable[count++] = slot->nodes[at];
        }
        while (count < CHAIN_PLACES)
            slot->durable[count++] = SLOT_NOBODY;
    }
    rig->committed = play->asked_step;
    play->durable = play->asked;
    play->asked_step = 0;
    play->commits++;
    for (uint32_t i = 0; i < rig->slot_count; i++)
        chain_leave(rig, &rig->slots[i]);
    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (chain_lives(rig, node))
            shard_committed(rig->nodes[node].shard, RIG_JOB, rig->incarnation, rig->committed);
    }
}

static inline void commit_if_made(struct play *play)
{
    uint64_t step = play->asked_step;

    if (step == 0)
        return;
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        const struct chain_slot *slot = slot_of(play, chunk);

        if (count_holders(slot, step) == 0) {
            give_up_generation(play);
            return;
        }
        for (uint32_t node = 0; node < CHAIN_NODES; node++) {
            if (chain_holds(slot, node, step) && play->rig->nodes[node].committed < step)
                return;
        }
    }
    commit_now(play);
}

/* ---- what happens */

/* Whether what a chunk's head has after going back stays: no other one may go on from its own record instead,
 * which has what is durable and perhaps not the same of what came later. */
static inline bool is_alone(const struct play *play, uint32_t chunk)
{
    return chain_length(slot_of(play, chunk)) == 1;
}

/* All goes back to the committed step, on whatever servers had it then; workers get new numbers. */
static inline void go_back(struct play *play)
{
    struct chain_rig *rig = play->rig;
    uint32_t hands = play->hand_count;

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (!chain_lives(rig, node))
            chain_start(rig, node);
    }
    rig->incarnation++;
    rig->map_number = 0;
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        struct chain_slot *slot = &rig->slots[i];

        memcpy(slot->nodes, slot->durable, sizeof(slot->nodes));
        slot->copy = slot->leaves = SLOT_NOBODY;
        for (uint32_t node = 0; node < CHAIN_NODES; node++)
            slot->since[node] = rig->committed;
    }
    chain_prepare_all(rig);
    play->told = play->durable;
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        check_chunk(play, chunk, &play->durable, is_alone(play, chunk) ? &play->told : NULL);
    play->asked_step = 0;
    play->hand_count = 0;
    memset(play->epoch_heard, 0, sizeof(play->epoch_heard));
    for (uint32_t i = 0; i < hands; i++)
        join(play);
    make_epoch(play);
}

/* ---- plays */

static inline void play_init(struct play *play, bool is_plain, uint32_t places, uint64_t seed)
{
    uint64_t begin, end;

    memset(play, 0, sizeof(*play));
    play->is_plain = is_plain;
    play->rig = chain_rig_new(is_plain ? PLAIN : TANGLED, places, 100, seed);
    play->rig->on_reply = on_reply;
    play->rig->context = play;
    play->rig->held = chain_assignment(play->rig, 0, true);
    play->rig->job = play->rig->held->job;
    ck_assert_uint_eq(play->rig->job->graph->chunk_count, CHUNKS);
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        play->seen[chunk] = malloc(floats_of(play, chunk) * sizeof(float));
        play->initial[chunk] = malloc(floats_of(play, chunk) * sizeof(float));
        ck_assert(play->seen[chunk] && play->initial[chunk]);
        graph_chunk(play->rig->job->graph, chunk, &begin, &end);
        graph_initial_values(play->rig->job->graph, play->rig->job->seed, begin, end, play->initial[chunk]);
    }
    chain_prepare_all(play->rig);
    join(play);
    join(play);
    make_epoch(play);
}

static inline void play_fini(struct play *play)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        free(play->seen[chunk]);
        free(play->initial[chunk]);
    }
    free(play->roster);
    assignment_unref(play->rig->held);
    chain_rig_free(play->rig);
    free(play);
}

/* Nothing is lost any more, and everybody hears of everything. */
static inline void settle(struct play *play)
{
    for (uint32_t round = 0; round < 6; round++) {
        for (uint32_t node = 0; node < CHAIN_NODES; node++) {
            chance_give_map(play->rig, node);
            deliver_epoch(play, node);
            deliver_ask(play, node);
            chance_nudge(play->rig, node);
            while (chain_lives(play->rig, node) && play->rig->nodes[node].write_count > 0)
                chain_write(play->rig, node);
        }
        chain_deliver_all(play->rig);
        commit_if_made(play);
    }
}

/* Every node of every chain comes to be the head, and has what the one before it had. */
static inline void check_all_replicas(struct play *play)
{
    for (uint32_t turn = 0; turn < CHAIN_PLACES; turn++) {
        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
            struct chain_slot *slot = slot_of(play, chunk);
            size_t bytes = floats_of(play, chunk) * sizeof(float);
            float *before = malloc(bytes);
            uint64_t version;

            ck_assert_ptr_nonnull(before);
            check_chunk(play, chunk, &play->told, NULL);
            version = play->version[chunk];
            memcpy(before, play->seen[chunk], bytes);
            if (chain_length(slot) > 1)
                chain_remove(slot, slot->nodes[0]);
            chain_map_changed(play->rig);
            settle(play);
            check_chunk(play, chunk, &play->told, NULL);
            ck_assert_uint_eq(play->version[chunk], version);
            ck_assert_mem_eq(play->seen[chunk], before, bytes);
            play->updates += turn == 0 ? version : 0;
            free(before);
        }
    }
}

#endif
