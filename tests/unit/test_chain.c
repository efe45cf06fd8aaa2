/* Chains of shards under random schedules: pushes in any order, messages that are lost, servers that die,
 * come back, are copied to and copied from, maps that each shard hears of at its own time, generations, and
 * jobs that go back to one. Every version that a client is shown is the one that an undisturbed job has, bit
 * for bit; none that it was shown is ever lost; what is committed can be gone back to. */
#include "chain_chance.h"
#include "check_main.h"
#include "must.h"

#define STEPS   14
#define EVERY   3
#define CHUNKS  4
#define LONG        RANDOM_CASES(800) /* steps of the play that has very many messages */
#define CASES       RANDOM_CASES(24)
#define ACTIONS 60000 /* in one step: so many are never needed */
#define CALM_AFTER  2000
#define CALM_ROUNDS 2
#define CALM_STEPS  8   /* one in so many, where there are absences */
#define NOTICES     100 /* one in so many actions is that the coordinator is away for somebody, or back */

/* A job in training: the rig, and what its one client knows. */
struct play {
    struct chain_rig *rig;
    uint32_t steps;
    float **history; /* [steps + 1]: the weights of each version */
    size_t floats;
    uint64_t step;                /* that the client is at */
    uint64_t weights[CHUNKS];     /* the newest version that it was shown */
    const char *client;           /* who pushes now */
    uint32_t answers_to_others;   /* values that others than the first client got */
    uint64_t metrics, validation; /* the same */
    uint32_t moves;               /* slots that were copied */
    bool has_absences;            /* generations are confirmed late, and nodes do not hear the coordinator */
    bool is_unheard;              /* the coordinator, by all: nothing is confirmed */
    bool gets_calm; /* in the midst of steps: these must then end, with nothing lost and nobody going back */
};

/* ---- what the client sees */

static double metric_of(uint64_t step, uint32_t table, uint32_t microbatch)
{
    return (double)(1 + step * 1000 + table * 100 + microbatch);
}

static void check_sums(const struct play *play, uint64_t version, uint32_t table, const double *sums)
{
    double expected = 0;

    (void)play;
    for (uint32_t i = 0; i < RIG_MICROBATCHES; i++)
        expected += metric_of(version - 1, table, i);
    ck_assert_double_eq(sums[0], expected);
}

static void check_weights(const struct play *play, uint64_t version, uint32_t chunk, const float *values)
{
    uint64_t begin, end;

    graph_chunk(play->rig->job->graph, chunk, &begin, &end);
    MUST_MSG(version <= play->steps, "version %llu", (unsigned long long)version);
    MUST_MSG(memcmp(values, play->history[version] + begin, (end - begin) * sizeof(float)) == 0,
             "chunk %u of version %llu has other bits", chunk, (unsigned long long)version);
}

static uint64_t *shown(struct play *play, uint32_t table, uint32_t chunk)
{
    if (table == TABLE_WEIGHTS)
        return &play->weights[chunk];
    return table == TABLE_METRICS ? &play->metrics : &play->validation;
}

static struct chain_slot *slot_of(const struct play *play, uint32_t table, uint32_t chunk)
{
    return chain_slot_of(play->rig, placement_slot(table, chunk, CHAIN_SLOTS));
}

static void on_reply(void *context, uint32_t node, const struct reply *reply)
{
    struct play *play = context;
    const struct data_header *header = &reply->header;

    if (header->incarnation != play->rig->incarnation)
        return;
    if (header->kind == DATA_REFUSED) { /* by one that is no head, or not yet, or was taken for dead */
        ck_assert_msg(header->refused != DATA_REFUSED_MALFORMED, "table %u step %llu: %s", header->table,
                      (unsigned long long)header->step, header->message);
        return;
    }
    for (uint32_t i = 0; i < header->payload_count; i++) {
        uint32_t chunk = header->payloads[i].chunk;
        uint64_t *newest = shown(play, header->table, chunk);
        const struct chain_slot *slot = slot_of(play, header->table, chunk);

        if (header->kind == DATA_VALUES && header->table == TABLE_WEIGHTS)
            check_weights(play, header->step, chunk, reply->payloads[i]->data);
        else if (header->kind == DATA_VALUES)
            check_sums(play, header->step, header->table, reply->payloads[i]->data);
        else if (slot->nodes[0] == node && play->rig->nodes[node].map_heard == play->rig->map_number)
            ck_assert_msg(header->step >= *newest, "version %llu was shown, the head has %llu",
                          (unsigned long long)*newest, (unsigned long long)header->step);
        play->answers_to_others +=
            header->kind == DATA_VALUES && memcmp(reply->client->name, "client", 6) != 0;
        if (header->kind == DATA_VALUES && header->step > *newest)
            *newest = header->step;
    }
}

static void send_to_head(struct play *play, struct data_header *header, uint32_t chunk,
                         struct buffer *payload)
{
    uint32_t head = slot_of(play, header->table, chunk)->nodes[0];

    header->incarnation = play->rig->incarnation;
    if (chain_lives(play->rig, head))
        shard_handle(play->rig->nodes[head].shard, play->client, strlen(play->client), header, &payload);
    else
        buffer_unref(payload);
}

static void push_weights(struct play *play, uint32_t chunk, struct tree_node node)
{
    struct data_header header = rig_header(DATA_PUSH, 0, TABLE_WEIGHTS, play->step);
    uint64_t begin, end;
    struct buffer *payload;

    graph_chunk(play->rig->job->graph, chunk, &begin, &end);
    payload = buffer_new((end - begin) * sizeof(float));
    MUST(payload);
    rig_node_sum(play->step, node, begin, payload->data, end - begin);
    header.node = node;
    header.samples = rig_samples(node);
    header.subscribe = true;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){chunk, DATA_FLOAT32, payload->length_bytes};
    send_to_head(play, &header, chunk, payload);
}

static void push_sums(struct play *play, uint32_t table, struct tree_node node)
{
    struct data_header header = rig_header(DATA_PUSH, 0, table, play->step);
    struct buffer *payload = buffer_new(RIG_METRICS * sizeof(double));

    MUST(payload);
    memset(payload->data, 0, payload->length_bytes);
    for (uint32_t i = node.begin; i < node.end; i++)
        ((double *)payload->data)[0] += metric_of(play->step, table, i);
    header.node = node;
    header.samples = rig_samples(node);
    header.subscribe = true;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_FLOAT64, payload->length_bytes};
    send_to_head(play, &header, 0, payload);
}

static bool is_validated(uint64_t step)
{
    return step % 4 == 1;
}

static void push_something(struct play *play)
{
    struct tree_node nodes[TREE_COVER_MAX];
    uint32_t workers = 1 + chain_draw(play->rig, 4), lo, hi, what = chain_draw(play->rig, CHUNKS + 2);

    placement_span(RIG_MICROBATCHES, workers, chain_draw(play->rig, workers), &lo, &hi);
    for (uint32_t i = 0, count = tree_cover(RIG_MICROBATCHES, lo, hi, nodes); i < count; i++) {
        if (what < CHUNKS)
            push_weights(play, what, nodes[i]);
        else if (what == CHUNKS)
            push_sums(play, TABLE_METRICS, nodes[i]);
        else if (is_validated(play->step))
            push_sums(play, TABLE_VALIDATION, nodes[i]);
    }
}

/* Asks which version a head has. */
static void ask_newest(struct play *play, uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PULL, 0, TABLE_WEIGHTS, 0);

    header.newest = header.acknowledge = true;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){chunk, DATA_FLOAT32, 0};
    send_to_head(play, &header, chunk, NULL);
}

static bool step_has_ended(const struct play *play)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        if (play->weights[chunk] <= play->step)
            return false;
    }
    return play->metrics > play->step && (!is_validated(play->step) || play->validation > play->step);
}

/* ---- what happens */

/* All goes back to the committed step, on whatever servers had it then. */
static void go_back(struct play *play)
{
    struct chain_rig *rig = play->rig;

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (!chain_lives(rig, node))
            chain_start(rig, node);
    }
    rig->incarnation++;
    rig->given_up = (struct step_range){0};
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        struct chain_slot *slot = &rig->slots[i];

        memcpy(slot->nodes, slot->durable, sizeof(slot->nodes));
        slot->copy = slot->leaves = SLOT_NOBODY;
        for (uint32_t node = 0; node < CHAIN_NODES; node++)
            slot->since[node] = rig->committed;
    }
    chain_prepare_all(rig);
    play->step = play->metrics = play->validation = rig->committed;
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        play->weights[chunk] = rig->committed;
}

static void something_happens(struct play *play)
{
    uint32_t what = chain_draw(play->rig, 40);

    if (what < 8)
        chance_kill(play->rig, chain_may_die);
    else if (what < 12)
        chance_lose(play->rig);
    else if (what < 20)
        (void)chance_start(play->rig);
    else if (what < 39)
        play->moves += chance_copy(play->rig, play->rig->slot_count);
    else if (!play->gets_calm)
        go_back(play);
}

/* Somebody notices that the coordinator is away, or believes so; or it is back. */
static void notice(struct play *play)
{
    uint32_t node = chain_draw(play->rig, CHAIN_NODES);

    if (chain_draw(play->rig, 4) == 0)
        play->is_unheard = !play->is_unheard;
    if (chain_lives(play->rig, node))
        chain_set_deaf(play->rig, node, chain_draw(play->rig, 2) == 0);
}

static void confirm(struct play *play)
{
    if (!play->is_unheard)
        chain_commit(play->rig);
}

static void act(struct play *play)
{
    struct chain_rig *rig = play->rig;
    uint32_t what = chain_draw(rig, 200);

    if (play->has_absences && chain_draw(rig, NOTICES) == 0)
        notice(play);
    if (what < 90 && rig->said_count > 0)
        chance_deliver(rig);
    else if (what < 160)
        push_something(play);
    else if (what < 175)
        chance_give_map(rig, chain_draw(rig, CHAIN_NODES));
    else if (what < 183)
        chance_write(rig);
    else if (what < 187)
        confirm(play);
    else if (what < 188)
        chance_break(rig);
    else if (what < 192)
        chance_nudge(rig, chain_draw(rig, CHAIN_NODES));
    else if (what < 196)
        ask_newest(play, chain_draw(rig, CHUNKS));
    else
        something_happens(play);
}

/* ---- plays */

static void play_init_steps(struct play *play, const char *optimizer, uint32_t places, uint64_t seed,
                            uint32_t every, uint32_t steps)
{
    struct reference *reference;

    memset(play, 0, sizeof(*play));
    play->steps = steps;
    play->client = "client";
    play->rig = chain_rig_new(optimizer, places, every, seed);
    play->rig->on_reply = on_reply;
    play->rig->context = play;
    play->rig->held = chain_assignment(play->rig, 0, true);
    play->rig->job = play->rig->held->job;
    ck_assert_uint_eq(play->rig->job->graph->chunk_count, CHUNKS);
    reference = reference_new(play->rig->job);
    play->floats = reference->floats;
    play->history = calloc(steps + 1, sizeof(play->history[0]));
    ck_assert_ptr_nonnull(play->history);
    for (uint32_t version = 0; version <= play->steps; version++) {
        play->history[version] = malloc(reference->floats * sizeof(float));
        ck_assert_ptr_nonnull(play->history[version]);
        memcpy(play->history[version], reference->weights, reference->floats * sizeof(float));
        if (version < play->steps)
            reference_step(reference);
    }
    reference_free(reference);
    chain_prepare_all(play->rig);
}

static void play_init(struct play *play, const char *optimizer, uint32_t places, uint64_t seed)
{
    play_init_steps(play, optimizer, places, seed, EVERY, STEPS);
}

static void play_fini(struct play *play)
{
    for (uint32_t version = 0; version <= play->steps; version++)
        free(play->history[version]);
    free(play->history);
    assignment_unref(play->rig->held);
    chain_rig_free(play->rig);
}

/* Nothing is lost any more, and everybody hears of everything. */
static void settle(struct play *play)
{
    for (uint32_t round = 0; round < 4; round++) {
        chain_give_maps(play->rig);
        for (uint32_t node = 0; node < CHAIN_NODES; node++) {
            if (chain_lives(play->rig, node))
                chain_set_deaf(play->rig, node, false);
            chance_nudge(play->rig, node);
            while (chain_lives(play->rig, node) && play->rig->nodes[node].write_count > 0)
                chain_write(play->rig, node);
        }
        chain_deliver_all(play->rig);
        chain_commit(play->rig);
    }
}

static void check_head(struct play *play, uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PULL, 0, TABLE_WEIGHTS, play->step);

    play->weights[chunk] = 0;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){chunk, DATA_FLOAT32, 0};
    send_to_head(play, &header, chunk, NULL);
    ck_assert_uint_eq(play->weights[chunk], play->step);
}

static void check_heads(struct play *play)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        check_head(play, chunk);
}

/* Every node of every chain has the last version: each becomes the head and shows it. */
static void check_all_replicas(struct play *play)
{
    for (uint32_t turn = 0; turn < CHAIN_PLACES; turn++) {
        check_heads(play);
        for (uint32_t i = 0; i < play->rig->slot_count; i++) {
            if (chain_length(&play->rig->slots[i]) > 1)
                chain_remove(&play->rig->slots[i], play->rig->slots[i].nodes[0]);
        }
        chain_map_changed(play->rig);
        settle(play);
    }
    check_heads(play);
}

static void push_all(struct play *play)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
        push_weights(play, chunk, rig_whole);
    push_sums(play, TABLE_METRICS, rig_whole);
    if (is_validated(play->step))
        push_sums(play, TABLE_VALIDATION, rig_whole);
}

/* Nothing happens any more but what the step in hand needs: so it ends. */
static void get_calm(struct play *play)
{
    for (uint32_t round = 0; round < CALM_ROUNDS; round++) {
        settle(play);
        push_all(play);
    }
    settle(play);
    ck_assert_msg(step_has_ended(play), "step %llu is stuck", (unsigned long long)play->step);
}

static void play_all(struct play *play)
{
    while (play->step < play->steps) {
        uint64_t step = play->step;
        bool gets_calm = play->has_absences ? chain_draw(play->rig, CALM_STEPS) == 0 : play->gets_calm;
        uint32_t actions = 0, most = gets_calm ? chain_draw(play->rig, CALM_AFTER) : ACTIONS;

        while (!step_has_ended(play) && actions++ < most)
            act(play);
        if (gets_calm)
            get_calm(play);
        ck_assert_msg(actions < ACTIONS, "step %llu does not end", (unsigned long long)step);
        play->step++;
    }
    settle(play);
    check_all_replicas(play);
}

static const char *const optimizers[] = RIG_OPTIMIZERS;
static const char *const norm_optimizers[] = RIG_NORM_OPTIMIZERS;

START_TEST(whatever_happens_the_bits_are_the_same)
{
    struct play play;

    play_init(&play, optimizers[_i % RIG_OPTIMIZER_COUNT], 1 + (uint32_t)_i % 3, (uint64_t)_i + 1);
    play_all(&play);
    ck_assert_uint_gt(play.moves, 0);
    play_fini(&play);
}
END_TEST

START_TEST(ten_thousand_messages_change_no_bit)
{
    struct play play;

    play_init_steps(&play, RIG_ADAM, 3, 7, EVERY, LONG);
    play_all(&play);
    chance_tell(play.rig, "weights");
    play_fini(&play);
}
END_TEST

START_TEST(norms_are_of_all_chunks_wherever_they_are)
{
    struct play play;

    play_init(&play, norm_optimizers[_i % RIG_NORM_OPTIMIZER_COUNT], 1 + (uint32_t)_i % 3,
              (uint64_t)_i + 1000);
    play.gets_calm = _i % 3 > 0;
    play_all(&play);
    ck_assert(play.gets_calm || play.moves > 0);
    play_fini(&play);
}
END_TEST

/* Generations are gone over here and not there, whoever dies or is copied to then; no step hangs on that, and
 * what is the job's can be gone back to. */
START_TEST(a_coordinator_that_is_away_stops_no_step)
{
    struct play play;

    play_init_steps(&play, optimizers[_i % RIG_OPTIMIZER_COUNT], 1 + (uint32_t)_i % 3, (uint64_t)_i + 2000, 1,
                    STEPS);
    play.has_absences = true;
    play_all(&play);
    ck_assert_uint_gt(play.rig->passed, 0);
    play_fini(&play);
}
END_TEST

/* A whole step of a chunk by one client. */
static void whole_step(struct play *play, uint64_t step, uint32_t chunk)
{
    play->step = step;
    push_weights(play, chunk, rig_whole);
    chain_deliver_all(play->rig);
    ck_assert_uint_eq(play->weights[chunk], step + 1);
}

/* What comes to a shard before a boundary, but after the shard has given its generation of that to the
 * writer, is in the next one. */
START_TEST(who_comes_late_is_in_the_next_generation)
{
    struct play play;
    struct chain_slot *slot;
    struct chain_node *late;

    play_init(&play, RIG_ADAM, 1, 1);
    slot = &play.rig->slots[0];
    late = &play.rig->nodes[play.rig->slots[1].nodes[0]];
    whole_step(&play, 0, 0);
    whole_step(&play, 1, 0);
    for (uint64_t step = 0; step < 3; step++)
        whole_step(&play, step, 1);
    ck_assert_uint_eq(late->write_count, 1);
    slot->copy = late->index;
    chain_map_changed(play.rig);
    slot->copy_number = play.rig->map_number;
    chain_give_maps(play.rig);
    chain_deliver_all(play.rig);
    ck_assert_uint_eq(slot->copy, SLOT_NOBODY);
    ck_assert_uint_eq(slot->since[late->index], 3); /* it came with version 2 */
    chain_give_maps(play.rig);
    whole_step(&play, 2, 0);
    ck_assert_uint_eq(late->writes[0]->held, 1);
    chain_write(play.rig, late->index);
    ck_assert_uint_eq(late->committed, 3);
    shard_committed(late->shard, RIG_JOB, 1, 3);
    for (uint64_t step = 3; step < 6; step++) {
        whole_step(&play, step, 0);
        whole_step(&play, step, 1);
    }
    ck_assert_uint_eq(late->write_count, 1);
    ck_assert_uint_eq(late->writes[0]->held, 2);
    chain_write(play.rig, late->index);
    play_fini(&play);
}
END_TEST

/* A copy of a chunk that goes away is missed by no generation. */
START_TEST(who_leaves_is_in_no_generation)
{
    struct play play;
    struct chain_slot *slot;
    struct chain_node *left;

    play_init(&play, RIG_SGD, 2, 1);
    slot = &play.rig->slots[0];
    left = &play.rig->nodes[slot->nodes[1]]; /* the head of slot 1 */
    for (uint64_t step = 0; step < 3; step++)
        whole_step(&play, step, 1);
    ck_assert_uint_eq(left->write_count, 0); /* slot 0 is still to come */
    chain_remove(slot, left->index);
    chain_map_changed(play.rig);
    chain_give_maps(play.rig);
    ck_assert_uint_eq(left->write_count, 1);
    ck_assert_uint_eq(left->writes[0]->held, 1);
    while (left->write_count > 0)
        chain_write(play.rig, left->index);
    play_fini(&play);
}
END_TEST

/* The first message of a kind that is on its way. */
static struct chain_said *said_of(struct play *play, enum data_kind kind)
{
    uint32_t index = 0;

    while (index < play->rig->said_count && play->rig->said[index].header.kind != kind)
        index++;
    ck_assert_uint_lt(index, play->rig->said_count);
    return &play->rig->said[index];
}

/* Totals of norms that cannot be those of a copy's version: the copy is dropped, and asked for once more. */
START_TEST(a_copy_with_foreign_totals_is_dropped)
{
    struct play play;
    struct chain_slot *slot;
    struct chain_said *snapshot;
    uint64_t *known;

    play_init(&play, norm_optimizers[0], 1, 1);
    for (uint64_t step = 0; step < 2; step++) {
        play.step = step;
        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
            push_weights(&play, chunk, rig_whole);
        chain_deliver_all(play.rig);
    }
    slot = &play.rig->slots[0];
    slot->copy = CHAIN_NODES - 1;
    chain_map_changed(play.rig);
    slot->copy_number = play.rig->map_number;
    chain_give_map(play.rig, slot->nodes[0]);
    chain_give_map(play.rig, slot->copy);
    snapshot = said_of(&play, DATA_SNAPSHOT);
    known = snapshot->payloads[snapshot->header.payload_count - 1]->data;
    ck_assert_uint_eq(known[0], 1); /* of the update that made version 2 */
    known[0] = 5;
    for (uint32_t node = 0; node < CHAIN_NODES; node++)
        chain_break(play.rig, slot->copy, node); /* it has asked as well */
    chain_deliver_all(play.rig);
    ck_assert_uint_eq(slot->copy, CHAIN_NODES - 1);
    ck_assert(shard_waits(play.rig->nodes[slot->copy].shard));
    shard_nudge(play.rig->nodes[slot->copy].shard);
    chain_deliver_all(play.rig);
    ck_assert_uint_eq(slot->copy, SLOT_NOBODY);
    play_fini(&play);
}
END_TEST

/* Who pushes what is summed, and not on all of the chain yet, hears of it all the same; of weights and of
 * sums. */
START_TEST(who_pushes_again_meanwhile_is_answered)
{
    struct play play;

    play_init(&play, RIG_SGD, 2, 1);
    chain_give_maps(play.rig);
    push_weights(&play, 0, rig_whole);
    push_sums(&play, TABLE_METRICS, rig_whole);
    chain_deliver_all(play.rig);
    ck_assert_uint_eq(play.weights[0], 1);
    ck_assert_uint_eq(play.metrics, 1);
    play.step = 1;
    push_weights(&play, 0, rig_whole);
    push_sums(&play, TABLE_METRICS, rig_whole);
    ck_assert_uint_eq(play.weights[0], 1);
    ck_assert_uint_eq(play.metrics, 1);
    play.client = "another";
    push_weights(&play, 0, rig_whole);
    push_sums(&play, TABLE_METRICS, rig_whole);
    chain_deliver_all(play.rig);
    ck_assert_uint_eq(play.weights[0], 2);
    ck_assert_uint_eq(play.metrics, 2);
    ck_assert_uint_eq(play.answers_to_others, 2);
    play_fini(&play);
}
END_TEST

/* A slot begins to be copied, and its head hears of that. */
static void copy_to(struct play *play, struct chain_slot *slot, uint32_t node)
{
    chain_copy_begin(play->rig, slot, node);
    chain_give_map(play->rig, slot->nodes[0]);
}

/* One more step of a chunk ends, though everything may have to be said again; who was copied to has it too.
 */
static void step_ends_on_copy(struct play *play, uint64_t step, uint32_t chunk)
{
    struct chain_slot *slot = slot_of(play, TABLE_WEIGHTS, chunk);

    play->step = step;
    push_weights(play, chunk, rig_whole);
    settle(play);
    settle(play);
    ck_assert_uint_eq(play->weights[chunk], step + 1);
    ck_assert_uint_eq(slot->copy, SLOT_NOBODY);
    ck_assert_uint_eq(chain_length(slot), 2);
    chain_remove(slot, slot->nodes[0]);
    chain_map_changed(play->rig);
    settle(play);
    play->step++;
    check_head(play, chunk);
}

/* A snapshot of a copy that was given up comes when another copy to the same shard has begun. */
START_TEST(a_snapshot_of_an_older_copy_is_dropped)
{
    struct play play;
    struct chain_slot *slot;
    struct chain_said late;

    play_init(&play, RIG_SGD, 1, 1);
    slot = &play.rig->slots[0];
    whole_step(&play, 0, 0);
    copy_to(&play, slot, 4);
    late = chain_said_hold(play.rig, chain_said_find(play.rig, DATA_SNAPSHOT, 0, 4));
    chain_remove(slot, 4);
    chain_map_changed(play.rig);
    chain_give_map(play.rig, 0);
    whole_step(&play, 1, 0);
    whole_step(&play, 2, 0);
    copy_to(&play, slot, 4);
    chain_give_map(play.rig, 4);
    chain_said_put(play.rig, &late);
    step_ends_on_copy(&play, 3, 0);
    play_fini(&play);
}
END_TEST

/* What the one after has said comes when it is to be copied to anew, and has nothing. */
START_TEST(what_was_taken_before_another_copy_does_not_count)
{
    struct play play;
    struct chain_slot *slot;
    struct chain_said late;

    play_init(&play, RIG_SGD, 2, 1);
    slot = &play.rig->slots[0]; /* of nodes 0 and 1 */
    whole_step(&play, 0, 0);
    play.step = 1;
    push_weights(&play, 0, rig_whole);
    chain_deliver(play.rig, chain_said_find(play.rig, DATA_UPDATE, 0, 1));
    late = chain_said_hold(play.rig, chain_said_find(play.rig, DATA_TAKEN, 1, 0));
    chain_remove(slot, 1);
    chain_map_changed(play.rig); /* nobody hears of that map */
    copy_to(&play, slot, 1);
    chain_give_map(play.rig, 1);
    chain_said_put(play.rig, &late);
    ck_assert_uint_eq(play.weights[0], 1);
    settle(&play);
    settle(&play);
    ck_assert_uint_eq(play.weights[0], 2);
    step_ends_on_copy(&play, 2, 0);
    play_fini(&play);
}
END_TEST

/* Who took a sum, and has then come behind another shard than it knew of, says so by itself. */
START_TEST(who_comes_behind_another_says_what_it_has)
{
    struct play play;
    struct chain_slot *slot;

    play_init(&play, RIG_SGD, 3, 1);
    slot = &play.rig->slots[0]; /* of nodes 0, 1 and 2 */
    whole_step(&play, 0, 0);
    chain_remove(slot, 1);
    chain_map_changed(play.rig);
    chain_give_map(play.rig, 0);
    play.step = 1;
    push_weights(&play, 0, rig_whole);
    chain_deliver_all(play.rig);
    ck_assert_uint_eq(play.weights[0], 1);
    chain_give_map(play.rig, 2);
    chain_deliver_all(play.rig);
    ck_assert_uint_eq(play.weights[0], 2);
    play_fini(&play);
}
END_TEST

static Suite *chain_suite(void)
{
    Suite *suite = suite_create("chain");
    TCase *tests = tcase_create("chain"), *messages = tcase_create("messages");

    tcase_add_loop_test(tests, whatever_happens_the_bits_are_the_same, 0, CASES);
    tcase_add_loop_test(tests, norms_are_of_all_chunks_wherever_they_are, 0, CASES);
    tcase_add_loop_test(tests, a_coordinator_that_is_away_stops_no_step, 0, CASES);
    tcase_add_test(tests, who_comes_late_is_in_the_next_generation);
    tcase_add_test(tests, who_leaves_is_in_no_generation);
    tcase_add_test(tests, who_pushes_again_meanwhile_is_answered);
    tcase_add_test(tests, a_copy_with_foreign_totals_is_dropped);
    tcase_add_test(tests, a_snapshot_of_an_older_copy_is_dropped);
    tcase_add_test(tests, what_was_taken_before_another_copy_does_not_count);
    tcase_add_test(tests, who_comes_behind_another_says_what_it_has);
    tcase_set_timeout(messages, 300);
    tcase_add_test(messages, ten_thousand_messages_change_no_bit);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, messages);
    return suite;
}

CHECK_MAIN(chain_suite)
