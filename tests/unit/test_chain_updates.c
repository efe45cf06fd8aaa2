/* Chains of chunks with clocks, in the throughput modes, under random schedules: pushes that are repeated or
 * go to the wrong shard, messages that are lost, servers that die, come back, are copied to and copied from,
 * maps and epochs that each shard hears of at its own time, generations, and jobs that go back to one. Each
 * update has a weight of its own in each chunk, so that the weights tell which ones were applied, and how
 * often: those that a worker was told of once, the others once or never; and all replicas come to the same
 * bits. */
#include "chain_chance.h"
#include "check_main.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) /* one thread, and much slower */
#define PLAYS 6
#else
#define PLAYS 40
#endif
#define ACTIONS     3000
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

static struct chain_slot *slot_of(const struct play *play, uint32_t chunk)
{
    return chain_slot_of(play->rig, placement_slot(TABLE_WEIGHTS, chunk, CHAIN_SLOTS));
}

static uint32_t head_of(const struct play *play, uint32_t chunk)
{
    return slot_of(play, chunk)->nodes[0];
}

static uint64_t floats_of(const struct play *play, uint32_t chunk)
{
    uint64_t begin, end;

    graph_chunk(play->rig->job->graph, chunk, &begin, &end);
    return end - begin;
}

static struct hand *hand_of(struct play *play, uint64_t number)
{
    for (uint32_t i = 0; i < play->hand_count; i++) {
        if (play->hands[i].number == number)
            return &play->hands[i];
    }
    return NULL;
}

static void take_push(struct play *play, const struct reply *reply, uint32_t chunk)
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

static void on_reply(void *context, uint32_t node, const struct reply *reply)
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

static void send_to(struct play *play, uint32_t node, const char *client, struct data_header *header,
                    struct buffer *payload)
{
    header->incarnation = play->rig->incarnation;
    if (chain_lives(play->rig, node))
        shard_handle(play->rig->nodes[node].shard, client, strlen(client), header, &payload);
    else
        buffer_unref(payload);
}

static uint64_t place_of(uint64_t number, uint64_t step)
{
    return number * STEPS_MAX + step;
}

/* The gradients of a worker's step: of its own weight in the chunk; or of all, so that order counts. */
static struct buffer *gradients_of(const struct play *play, const struct hand *hand, uint32_t chunk)
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

static void push(struct play *play, uint32_t node, const struct hand *hand, uint32_t chunk)
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

static void ask_next(struct play *play, uint64_t number, uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PULL, 0, TABLE_WEIGHTS, 0);

    play->next[chunk] = UINT64_MAX;
    header.newest = header.acknowledge = true;
    header.worker = number;
    header.request = ASKED_NEXT;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){chunk, DATA_FLOAT32, 0};
    send_to(play, head_of(play, chunk), "who asks", &header, NULL);
}

/* Reads the newest weights of a chunk's head, and their version. */
static void look(struct play *play, uint32_t chunk)
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
static uint32_t count_applied(const struct play *play, uint32_t chunk, uint64_t number, uint64_t step)
{
    uint64_t place = place_of(number, step);

    return (uint32_t)((play->initial[chunk][place] - play->seen[chunk][place]) / RATE + 0.5f);
}

/* Every update that is in the account was applied, and none twice. known: becomes what was applied. */
static void check_chunk(struct play *play, uint32_t chunk, const struct account *account,
                        struct account *known)
{
    uint64_t total = 0;

    look(play, chunk);
    for (uint64_t number = 0; number < NUMBERS_MAX && play->is_plain; number++) {
        for (uint64_t step = 0; step < STEPS_MAX; step++) {
            uint32_t count = count_applied(play, chunk, number, step);

            ck_assert_msg(count <= 1 && (count == 1 || !account->has[chunk][number][step]),
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

static void make_epoch(struct play *play)
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

static void deliver_epoch(struct play *play, uint32_t node)
{
    if (!chain_lives(play->rig, node) || play->epoch_heard[node] == play->epoch)
        return;
    play->epoch_heard[node] = play->epoch;
    shard_begin_epoch(play->rig->nodes[node].shard, RIG_JOB, play->rig->incarnation, play->roster);
}

static void join(struct play *play)
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

static void leave(struct play *play, uint32_t who)
{
    if (play->hand_count > 1)
        play->hands[who] = play->hands[--play->hand_count];
}

/* A worker asks anew where it is, if all heads answer. */
static void synchronise(struct play *play, struct hand *hand)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        ask_next(play, hand->number, chunk);
        if (play->next[chunk] == UINT64_MAX)
            return;
        ck_assert_uint_ge(play->next[chunk], hand->first);
        for (uint64_t step = hand->first; step < STEPS_MAX && play->told.has[chunk][hand->number][step];
             step++)
            ck_assert_uint_gt(play->next[chunk], step);
        least = play->next[chunk] < least ? play->next[chunk] : least;
    }
    hand->step = least;
    memset(hand->is_given, 0, sizeof(hand->is_given));
    memset(hand->is_applied, 0, sizeof(hand->is_applied));
}

static bool is_done(const struct hand *hand)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        if (!hand->is_given[chunk] || !hand->is_applied[chunk])
            return false;
    }
    return true;
}

/* A worker goes on, or pushes a chunk of its step: now and then to one that is no head. */
static void work(struct play *play, struct hand *hand)
{
    uint32_t chunk = chain_draw(play->rig, CHUNKS), node = head_of(play, chunk);

    if (is_done(hand)) {
        if (hand->step + 1 == STEPS_MAX)
            return;
        hand->step++;
        memset(hand->is_given, 0, sizeof(hand->is_given));
        memset(hand->is_applied, 0, sizeof(hand->is_applied));
    }
    push(play, chain_draw(play->rig, 10) == 0 ? chain_draw(play->rig, CHAIN_NODES) : node, hand, chunk);
}

/* ---- generations: what a coordinator does */

static uint32_t count_holders(const struct chain_slot *slot, uint64_t step)
{
    uint32_t count = 0;

    for (uint32_t node = 0; node < CHAIN_NODES; node++)
        count += chain_holds(slot, node, step);
    return count;
}

static void ask_generation(struct play *play)
{
    if (play->asked_step > 0)
        return;
    play->asked_step = ++play->tag;
    play->asked = play->told;
    memset(play->is_asked, 0, sizeof(play->is_asked));
}

static void deliver_ask(struct play *play, uint32_t node)
{
    if (play->asked_step == 0 || play->is_asked[node] || !chain_lives(play->rig, node))
        return;
    play->is_asked[node] = true;
    shard_commit(play->rig->nodes[node].shard, RIG_JOB, play->rig->incarnation, play->asked_step);
}

/* Nobody that lives has all of a generation. */
static void give_up_generation(struct play *play)
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

static void commit_now(struct play *play)
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

static void commit_if_made(struct play *play)
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

static bool may_die(const struct chain_rig *rig, uint32_t dies)
{
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        uint32_t left = 0;

        for (uint32_t node = 0; node < CHAIN_NODES; node++)
            left += node != dies && chain_lives(rig, node) && chain_has(&rig->slots[i], node);
        if (left == 0)
            return false;
    }
    return true;
}

static void start_somebody(struct play *play)
{
    uint32_t node = chance_start(play->rig);

    if (node == CHAIN_NODES)
        return;
    play->epoch_heard[node] = 0;
    play->is_asked[node] = false;
}

/* Whether what a chunk's head has after going back stays: no other one may go on from its own record instead,
 * which has what is durable and perhaps not the same of what came later. */
static bool is_alone(const struct play *play, uint32_t chunk)
{
    return chain_length(slot_of(play, chunk)) == 1;
}

/* All goes back to the committed step, on whatever servers had it then; workers get new numbers. */
static void go_back(struct play *play)
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

static void something_happens(struct play *play)
{
    uint32_t what = chain_draw(play->rig, 100);

    if (what < 25)
        chance_kill(play->rig, may_die);
    else if (what < 45)
        start_somebody(play);
    else if (what < 80)
        play->copies += chance_copy(play->rig, play->rig->slot_count);
    else if (what < 88)
        join(play);
    else if (what < 98)
        leave(play, chain_draw(play->rig, play->hand_count));
    else if (play->newest_number + HANDS_MAX < NUMBERS_MAX - HANDS_MAX)
        go_back(play);
    if (what >= 80)
        make_epoch(play);
}

static void write_what_is_due(struct play *play, uint32_t node)
{
    if (chain_lives(play->rig, node) && play->rig->nodes[node].write_count > 0)
        chain_write(play->rig, node);
}

static void act(struct play *play)
{
    struct chain_rig *rig = play->rig;
    uint32_t what = chain_draw(rig, 200), node = chain_draw(rig, CHAIN_NODES);
    struct hand *hand = &play->hands[chain_draw(rig, play->hand_count)];

    if (what < 80 && rig->said_count > 0)
        chance_deliver(rig);
    else if (what < 140)
        work(play, hand);
    else if (what < 156)
        chance_give_map(play->rig, node);
    else if (what < 164)
        deliver_epoch(play, node);
    else if (what < 168)
        write_what_is_due(play, node);
    else if (what < 172)
        deliver_ask(play, node);
    else if (what < 175)
        commit_if_made(play);
    else if (what < 177)
        ask_generation(play);
    else if (what < 179)
        chain_break(rig, node, chain_draw(rig, CHAIN_NODES));
    else if (what < 186)
        chance_nudge(play->rig, node);
    else if (what < 192)
        synchronise(play, hand);
    else
        something_happens(play);
}

/* ---- plays */

static void play_init(struct play *play, bool is_plain, uint32_t places, uint64_t seed)
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

static void play_fini(struct play *play)
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
static void settle(struct play *play)
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
static void check_all_replicas(struct play *play)
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

/* The job is not stuck: everybody goes on, the slowest as well. */
static void check_progress(struct play *play)
{
    for (uint32_t i = play->hand_count; i > 0; i--) {
        if (play->hands[i - 1].step > STEPS_MAX - 40)
            leave(play, i - 1);
    }
    if (play->hands[0].step > STEPS_MAX - 40) { /* the only one */
        ck_assert_uint_lt(++play->newest_number, NUMBERS_MAX);
        play->hands[0] = (struct hand){.number = play->newest_number};
    }
    make_epoch(play);
    settle(play);
    for (uint32_t i = 0; i < play->hand_count; i++) {
        struct hand *hand = &play->hands[i];
        uint64_t goal = hand->step + 1;

        for (uint32_t turn = 0; hand->step < goal; turn++) {
            ck_assert_msg(turn < 4000, "worker %u is stuck at step %u", (unsigned)hand->number,
                          (unsigned)hand->step);
            for (uint32_t other = 0; other < play->hand_count; other++)
                work(play, &play->hands[other]);
            chain_deliver_all(play->rig);
        }
    }
}

START_TEST(no_update_is_lost_or_doubled)
{
    struct play *play = malloc(sizeof(*play));

    ck_assert_ptr_nonnull(play);
    play_init(play, _i % 4 != 3, 1 + (uint32_t)_i % 3, (uint64_t)_i + 1);
    for (uint32_t i = 0; i < ACTIONS; i++)
        act(play);
    settle(play);
    check_progress(play);
    settle(play);
    check_all_replicas(play);
    ck_assert_uint_gt(play->copies, 0);
    ck_assert_uint_gt(play->updates, 0);
    play_fini(play);
}
END_TEST

/* ---- rules */

/* A job whose slots lie in chains of so many nodes, slot 0 on those from 0 on; all know the first epoch. */
static struct play *play_new(uint32_t places)
{
    struct play *play = malloc(sizeof(*play));

    ck_assert_ptr_nonnull(play);
    play_init(play, true, places, 1);
    for (uint32_t node = 0; node < CHAIN_NODES; node++)
        deliver_epoch(play, node);
    return play;
}

/* The first worker pushes chunk 0 of a step to a node. */
static void push_step(struct play *play, uint32_t node, uint64_t step)
{
    play->hands[0].step = step;
    push(play, node, &play->hands[0], 0);
}

static bool is_told(const struct play *play, uint64_t step)
{
    return play->told.has[0][play->hands[0].number][step];
}

/* Slot 0 is copied to a node by a new map, of which nobody has heard yet. */
static void copy_to(struct play *play, uint32_t node)
{
    chain_map_changed(play->rig);
    play->rig->slots[0].copy = node;
    play->rig->slots[0].copy_number = play->rig->map_number;
}

static void take_out(struct play *play, uint32_t node)
{
    chain_remove(&play->rig->slots[0], node);
    chain_map_changed(play->rig);
}

/* Delivers the oldest message from a node to another; there must be one. */
static void deliver(struct play *play, uint32_t from, uint32_t to)
{
    uint32_t index = 0;

    while (index < play->rig->said_count &&
           (play->rig->said[index].from != from || play->rig->said[index].to != to))
        index++;
    ck_assert_uint_lt(index, play->rig->said_count);
    chain_deliver(play->rig, index);
}

START_TEST(an_update_is_told_when_all_have_it)
{
    struct play *play = play_new(3);

    push_step(play, 0, 0);
    deliver(play, 0, 1);
    deliver(play, 1, 2);
    deliver(play, 2, 1);
    ck_assert(!is_told(play, 0));
    deliver(play, 1, 0);
    ck_assert(is_told(play, 0));
    check_all_replicas(play);
    play_fini(play);
}
END_TEST

/* It is on its way when it is pushed again: one update, of which both hear. */
START_TEST(what_is_on_its_way_is_not_doubled)
{
    struct play *play = play_new(2);

    push_step(play, 0, 0);
    push_step(play, 0, 0);
    ck_assert_uint_eq(play->rig->said_count, 1);
    chain_deliver_all(play->rig);
    ck_assert(is_told(play, 0));
    push_step(play, 0, 0); /* and when it is there */
    ck_assert_uint_eq(play->rig->said_count, 0);
    check_all_replicas(play);
    ck_assert_uint_eq(play->version[0], 1);
    play_fini(play);
}
END_TEST

/* Who believes to be the head still has the same push sent to another one; it is applied once. */
START_TEST(an_old_head_changes_nothing)
{
    struct play *play = play_new(3);

    take_out(play, 0);
    chance_give_map(play->rig, 1);
    chance_give_map(play->rig, 2);
    push_step(play, 1, 0);
    push_step(play, 0, 0);
    deliver(play, 0, 1);
    ck_assert(!is_told(play, 0));
    chain_deliver_all(play->rig);
    ck_assert(is_told(play, 0));
    check_all_replicas(play);
    ck_assert_uint_eq(play->version[0], 1);
    play_fini(play);
}
END_TEST

/* What a shard said before it left the chain is not taken for what it says when it is copied to again. */
START_TEST(an_old_acknowledgement_is_none)
{
    struct play *play = play_new(2);

    push_step(play, 0, 0);
    deliver(play, 0, 1);
    take_out(play, 1); /* of which nobody hears */
    copy_to(play, 1);
    chance_give_map(play->rig, 0);
    chance_give_map(play->rig, 1);
    deliver(play, 1, 0);
    ck_assert(!is_told(play, 0));
    deliver(play, 0, 1); /* the snapshot; what follows is lost */
    ck_assert(chain_has(&play->rig->slots[0], 1));
    chain_break(play->rig, 0, 1);
    settle(play);
    ck_assert(is_told(play, 0));
    check_all_replicas(play);
    play_fini(play);
}
END_TEST

START_TEST(an_old_snapshot_is_none)
{
    struct play *play = play_new(1);

    copy_to(play, 1);
    chance_give_map(play->rig, 0);
    take_out(play, 1);
    chance_give_map(play->rig, 0);
    push_step(play, 0, 0);
    copy_to(play, 1);
    chance_give_map(play->rig, 0);
    chance_give_map(play->rig, 1);
    push_step(play, 0, 1);
    chain_deliver_all(play->rig);
    settle(play);
    ck_assert(is_told(play, 0) && is_told(play, 1));
    check_all_replicas(play);
    play_fini(play);
}
END_TEST

/* Whoever comes to be the head knows the workers, before another epoch tells of them. */
START_TEST(a_copy_knows_who_is_live)
{
    struct play *play = play_new(1);

    push_step(play, 0, 0);
    copy_to(play, 1);
    chain_give_maps(play->rig);
    chain_deliver_all(play->rig);
    take_out(play, 0);
    chain_give_maps(play->rig);
    push_step(play, 1, 1);
    ck_assert(is_told(play, 1));
    play_fini(play);
}
END_TEST

/* Both hear of a map at their own time, and nobody waits for half a second. */
START_TEST(who_is_behind_another_says_so)
{
    for (uint32_t first = 0; first <= 2; first += 2) {
        struct play *play = play_new(3);

        push_step(play, 0, 0);
        take_out(play, 1);
        chain_break(play->rig, 0, 1);
        chance_give_map(play->rig, first);
        chain_deliver_all(play->rig);
        ck_assert(!is_told(play, 0));
        chance_give_map(play->rig, 2 - first);
        chain_deliver_all(play->rig);
        ck_assert(is_told(play, 0));
        play_fini(play);
    }
}
END_TEST

/* Of generations that were asked for before it came a copy is none, and of all later ones. */
START_TEST(a_copy_is_in_later_generations)
{
    struct play *play = play_new(1);
    struct chain_node *late = &play->rig->nodes[4]; /* it has none of the chunks */

    for (uint64_t step = 0; step < 5; step++)
        push_step(play, 0, step);
    ask_generation(play);
    deliver_ask(play, 4);
    ck_assert_uint_eq(late->committed, 1);
    copy_to(play, 4);
    chain_give_maps(play->rig);
    chain_deliver_all(play->rig);
    ck_assert_uint_eq(play->rig->slots[0].since[4], 1);
    settle(play);
    ck_assert_uint_eq(play->commits, 1);
    ask_generation(play);
    deliver_ask(play, 4);
    ck_assert_uint_eq(late->write_count, 1);
    ck_assert_uint_eq(late->writes[0]->captured, 1);
    settle(play);
    ck_assert_uint_eq(play->commits, 2);
    take_out(play, 0);
    settle(play);
    go_back(play);
    play_fini(play);
}
END_TEST

/* A generation that waits for the one before has what was captured, whatever leaves meanwhile. */
START_TEST(who_leaves_is_in_what_was_captured)
{
    struct play *play = play_new(2);
    struct chain_node *second = &play->rig->nodes[1];

    shard_commit(second->shard, RIG_JOB, 1, 1);
    chain_write(play->rig, 1);
    shard_commit(second->shard, RIG_JOB, 1, 2);
    ck_assert_uint_eq(second->write_count, 0);
    take_out(play, 1);
    chance_give_map(play->rig, 1);
    shard_committed(second->shard, RIG_JOB, 1, 1);
    ck_assert_uint_eq(second->write_count, 1);
    chain_write(play->rig, 1);
    ck_assert_uint_eq(second->committed, 2);
    play_fini(play);
}
END_TEST

/* After going back all have what the head had, and nothing is durable before. */
START_TEST(a_generation_waits_for_what_heads_have)
{
    struct play *play = play_new(2);
    struct chain_node *second = &play->rig->nodes[1];

    push_step(play, 0, 0);
    deliver(play, 0, 1);
    ask_generation(play);
    deliver_ask(play, 0); /* without the update */
    deliver_ask(play, 1); /* with it */
    settle(play);
    ck_assert_uint_eq(play->commits, 1);
    ck_assert(is_told(play, 0));
    go_back(play);
    look(play, 0);
    ck_assert_uint_eq(play->version[0], 0);
    ask_generation(play);
    deliver_ask(play, 1);
    ck_assert_uint_eq(second->committed, 1);
    ck_assert_uint_eq(second->write_count, 0);
    chain_deliver_all(play->rig);
    ck_assert_uint_eq(second->write_count, 1);
    settle(play);
    check_all_replicas(play);
    play_fini(play);
}
END_TEST

/* It dies before anybody has what it has: the next one goes on from its own record, and others from that. */
START_TEST(a_head_that_dies_at_once_is_succeeded)
{
    struct play *play = play_new(3);

    push_step(play, 0, 0);
    deliver(play, 0, 1);
    deliver(play, 1, 2);
    deliver(play, 2, 1);
    ask_generation(play);
    for (uint32_t node = 0; node < CHAIN_NODES; node++)
        deliver_ask(play, node); /* without the update at 0, with it at 1 and 2 */
    settle(play);
    ck_assert_uint_eq(play->commits, 1);
    go_back(play);
    look(play, 0);
    ck_assert_uint_eq(play->version[0], 0);
    chain_break(play->rig, 0, 1);
    chain_kill(play->rig, 0);
    settle(play);
    look(play, 0);
    ck_assert_uint_eq(play->version[0], 1);
    push_step(play, 1, 0);
    chain_deliver_all(play->rig);
    ck_assert(is_told(play, 0));
    ask_generation(play);
    settle(play);
    ck_assert_uint_eq(play->commits, 2);
    check_all_replicas(play);
    ck_assert_uint_eq(play->version[0], 2);
    play_fini(play);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("chain_updates");
    TCase *rules = tcase_create("rules"), *plays = tcase_create("plays");

    tcase_add_test(rules, an_update_is_told_when_all_have_it);
    tcase_add_test(rules, what_is_on_its_way_is_not_doubled);
    tcase_add_test(rules, an_old_head_changes_nothing);
    tcase_add_test(rules, an_old_acknowledgement_is_none);
    tcase_add_test(rules, an_old_snapshot_is_none);
    tcase_add_test(rules, a_copy_knows_who_is_live);
    tcase_add_test(rules, who_is_behind_another_says_so);
    tcase_add_test(rules, a_copy_is_in_later_generations);
    tcase_add_test(rules, who_leaves_is_in_what_was_captured);
    tcase_add_test(rules, a_generation_waits_for_what_heads_have);
    tcase_add_test(rules, a_head_that_dies_at_once_is_succeeded);
    suite_add_tcase(suite, rules);

    tcase_set_timeout(plays, 60);
    tcase_add_loop_test(plays, no_update_is_lost_or_doubled, 0, PLAYS);
    suite_add_tcase(suite, plays);
    return suite;
}

CHECK_MAIN(make_suite)
