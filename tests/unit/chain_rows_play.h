/* Chains of the slots of a sparse table: programs that push and pull and attach again, and an undisturbed
 * table beside them. Every row of every version that a program reads is the one that this one has, bit for
 * bit; no step that it has seen the end of comes again. Test code only. */
#ifndef CAIRN_TESTS_CHAIN_ROWS_PLAY_H
#define CAIRN_TESTS_CHAIN_ROWS_PLAY_H

#include "chain_chance.h"
#include "plain_rows.h"

#define STEPS        14
#define EVERY        3
#define GROUPS       6
#define PROGRAMS     2
#define MICROBATCHES 4
#define TABLE        TABLE_FIRST_USER
#define ACTIONS      60000 /* in one step: so many are never needed */
#define PATIENCE     50    /* one in so many actions while heads do not answer is to ask them anew */

/* How many samples a microbatch has: fewer or more than in the step before. */
static inline uint64_t samples_of(uint64_t step)
{
    return 1 + 5 * step % 7;
}

/* One that pushes its half of the microbatches. */
struct program {
    char name[12];
    bool is_attached;
    uint64_t step, ended;
    uint64_t map;
    uint32_t heads[GROUPS];
    bool has_ended[CHAIN_NODES];                /* the step, as each shard has told */
    bool has_pushed[CHAIN_NODES][MICROBATCHES]; /* by itself */
    bool is_refused;                            /* by the shard in hand */
    uint64_t attempt;                           /* to attach; 0: none is under way */
    uint64_t ended_before;                      /* steps that anybody had seen the end of when it began */
    uint64_t answers[CHAIN_NODES];              /* the versions that heads told; UINT64_MAX: not yet */
};

struct play {
    struct chain_rig *rig;
    uint64_t seed;
    uint32_t steps;
    float (*history)[PLAIN_KEYS][PLAIN_DIMENSION]; /* [steps + 1] */
    struct program programs[PROGRAMS];
    uint64_t ended; /* the newest step that anybody has seen the end of */
    uint32_t moves, attached, checked;
    uint32_t actions;  /* in the step in hand */
    uint64_t attempts; /* to attach, of all programs */
    /* What is being pulled: plain indices. */
    uint32_t pulled[PLAIN_KEYS], pulled_count;
};

/* ---- what programs are told */

static inline struct program *program_of(struct play *play, const struct client *client)
{
    return &play->programs[client->name[client->length - 1] - '0'];
}

static inline void check_rows(struct play *play, uint64_t version, const struct buffer *rows)
{
    MUST(version <= play->steps && rows->length_bytes == play->pulled_count * sizeof(play->history[0][0]));
    for (uint32_t i = 0; i < play->pulled_count; i++) {
        const float *row = (const float *)rows->data + (size_t)i * PLAIN_DIMENSION;

        if (memcmp(row, play->history[version][play->pulled[i]], PLAIN_DIMENSION * sizeof(float)) != 0)
            ck_abort_msg("key %u of version %llu is another row", play->pulled[i],
                         (unsigned long long)version);
    }
    play->checked += play->pulled_count;
}

static inline void on_reply(void *context, uint32_t node, const struct reply *reply)
{
    struct play *play = context;
    const struct data_header *header = &reply->header;
    struct program *program = program_of(play, reply->client);

    if (header->incarnation != play->rig->incarnation)
        return;
    if (header->kind == DATA_REFUSED) {
        if (header->refused == DATA_REFUSED_MALFORMED || header->refused == DATA_REFUSED_LOST)
            ck_abort_msg("step %llu: %s", (unsigned long long)header->step, header->message);
        program->is_refused = true;
        program->is_attached = false;
        program->attempt = 0;
    } else if (header->kind == DATA_VALUES) {
        check_rows(play, header->step, reply->payloads[0]);
    } else {
        if (header->request == program->attempt)
            program->answers[node] = header->step;
        if (program->is_attached && header->step == program->step + 1)
            program->has_ended[node] = true;
    }
}

/* ---- what programs do */

static inline uint32_t group_of(uint64_t key)
{
    return placement_key_slot(key, CHAIN_SLOTS) % GROUPS;
}

static inline bool is_head_of(const struct program *program, uint32_t node)
{
    for (uint32_t group = 0; group < GROUPS; group++) {
        if (program->heads[group] == node)
            return true;
    }
    return false;
}

static inline void send(struct play *play, struct program *program, uint32_t node, struct data_header *header,
                        struct buffer *const payloads[])
{
    header->job = RIG_JOB;
    header->table = TABLE;
    header->incarnation = play->rig->incarnation;
    header->map = program->map;
    program->is_refused = false;
    if (chain_lives(play->rig, node)) {
        shard_handle(play->rig->nodes[node].shard, program->name, strlen(program->name), header, payloads);
        return;
    }
    for (uint32_t i = 0; i < header->payload_count; i++)
        buffer_unref(payloads[i]);
    program->is_attached = false; /* the connection breaks */
    program->attempt = 0;
}

struct wanted {
    const struct program *program;
    uint32_t node;
};

static inline bool is_there(const void *context, uint64_t key)
{
    const struct wanted *wanted = context;

    return wanted->program->heads[group_of(key)] == wanted->node;
}

static inline void push(struct play *play, struct program *program, uint32_t node, uint32_t microbatch)
{
    struct data_header header = {.kind = DATA_PUSH,
                                 .step = program->step,
                                 .node = {microbatch, microbatch + 1},
                                 .samples = samples_of(program->step),
                                 .acknowledge = true};
    const struct wanted wanted = {program, node};
    struct buffer *payloads[2];

    if (plain_node_push(play->seed, program->step, header.node, is_there, &wanted, &payloads[0],
                        &payloads[1]) > 0) {
        header.payload_count = 2;
        header.payloads[0] = (struct data_payload){0, DATA_UINT64, payloads[0]->length_bytes};
        header.payloads[1] = (struct data_payload){1, DATA_FLOAT32, payloads[1]->length_bytes};
    }
    send(play, program, node, &header, payloads);
}

/* Reads all rows of the program's version that lie on a shard. */
static inline void pull(struct play *play, struct program *program, uint32_t node)
{
    struct data_header header = {.kind = DATA_PULL, .step = program->step, .payload_count = 1};
    struct buffer *keys = buffer_new(PLAIN_KEYS * sizeof(uint64_t));

    MUST(keys);
    play->pulled_count = 0;
    for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
        if (program->heads[group_of(plain_key(i))] != node)
            continue;
        ((uint64_t *)keys->data)[play->pulled_count] = plain_key(i);
        play->pulled[play->pulled_count++] = i;
    }
    keys->length_bytes = play->pulled_count * sizeof(uint64_t);
    header.payloads[0] = (struct data_payload){0, DATA_UINT64, keys->length_bytes};
    if (play->pulled_count > 0)
        send(play, program, node, &header, &keys);
    else
        buffer_unref(keys);
}

/* Asks the heads of now for the step that the table is at; false: one of them will not say. */
static inline bool ask_all(struct play *play, struct program *program)
{
    program->attempt = ++play->attempts;
    program->ended_before = play->ended;
    program->map = play->rig->map_number;
    memset(program->answers, 0xff, sizeof(program->answers));
    for (uint32_t group = 0; group < GROUPS; group++)
        program->heads[group] = play->rig->slots[group].nodes[0];
    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        struct data_header header = {
            .kind = DATA_PULL, .newest = true, .acknowledge = true, .request = program->attempt};

        if (!is_head_of(program, node))
            continue;
        send(play, program, node, &header, NULL);
        if (program->is_refused || !chain_lives(play->rig, node))
            return false;
    }
    return true;
}

/* The oldest version that heads have told; UINT64_MAX: some have not answered yet. */
static inline uint64_t oldest_answer(const struct program *program)
{
    uint64_t oldest = UINT64_MAX;

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (!is_head_of(program, node))
            continue;
        if (program->answers[node] == UINT64_MAX)
            return UINT64_MAX;
        oldest = program->answers[node] < oldest ? program->answers[node] : oldest;
    }
    return oldest;
}

/* Goes on to find the heads of now, and the step that the table is at; at times it loses patience. */
static inline void attach(struct play *play, struct program *program)
{
    uint64_t oldest;

    if ((program->attempt == 0 || chain_draw(play->rig, PATIENCE) == 0) && !ask_all(play, program))
        program->attempt = 0;
    oldest = oldest_answer(program);
    if (program->attempt == 0 || oldest == UINT64_MAX)
        return;
    if (oldest < program->ended_before)
        ck_abort_msg("step %llu comes again, %llu had ended", (unsigned long long)oldest,
                     (unsigned long long)program->ended_before);
    program->attempt = 0;
    program->is_attached = true;
    program->step = program->ended = oldest;
    play->ended = oldest > play->ended ? oldest : play->ended;
    memset(program->has_ended, 0, sizeof(program->has_ended));
    memset(program->has_pushed, 0, sizeof(program->has_pushed));
    play->attached++;
    for (uint32_t node = 0; node < CHAIN_NODES && program->is_attached; node++) {
        if (is_head_of(program, node))
            pull(play, program, node);
    }
}

/* The end of a step, when all heads have told it. */
static inline void end_step(struct play *play, struct program *program)
{
    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (is_head_of(program, node) && !program->has_ended[node])
            return;
    }
    program->ended = ++program->step;
    play->ended = program->ended > play->ended ? program->ended : play->ended;
    memset(program->has_ended, 0, sizeof(program->has_ended));
    memset(program->has_pushed, 0, sizeof(program->has_pushed));
}

static inline void program_acts(struct play *play)
{
    uint32_t number = chain_draw(play->rig, PROGRAMS), node = chain_draw(play->rig, CHAIN_NODES);
    struct program *program = &play->programs[number];
    uint32_t microbatch = number * (MICROBATCHES / PROGRAMS) + chain_draw(play->rig, MICROBATCHES / PROGRAMS);

    if (!program->is_attached) {
        attach(play, program);
        return;
    }
    end_step(play, program);
    if (program->step >= play->steps || !is_head_of(program, node))
        return;
    if (chain_draw(play->rig, 8) == 0)
        pull(play, program, node);
    else if (!program->has_pushed[node][microbatch] || chain_draw(play->rig, 10) == 0) {
        program->has_pushed[node][microbatch] = true;
        push(play, program, node, microbatch);
    }
}

/* ---- plays */

static inline const char *job_text(const char *arguments)
{
    static char text[512];

    snprintf(text, sizeof(text),
             "name: rows\nseed: 5\ntables:\n  - sparse: {name: t, dimension: %d, %s}\n"
             "train: {optimizer: sgd, microbatches: %d, commit_every: %d}\n"
             "cluster: {servers: 4, replicas: 2}\n",
             PLAIN_DIMENSION, arguments, MICROBATCHES, EVERY);
    return text;
}

static inline void history_make(struct play *play)
{
    struct plain_table *plain = plain_table_new(play->rig->job, TABLE, play->seed);

    play->history = calloc(play->steps + 1, sizeof(play->history[0]));
    MUST(play->history);
    memcpy(play->history[0], plain->weights[0], sizeof(play->history[0]));
    for (uint32_t step = 1; step <= play->steps; step++) {
        plain_step(plain, MICROBATCHES * samples_of(step - 1));
        memcpy(play->history[step], plain->weights[step % 2], sizeof(play->history[0]));
    }
    free(plain);
}

static inline struct play *play_new_steps(const char *arguments, uint32_t places, uint64_t seed,
                                          uint32_t steps)
{
    struct play *play = calloc(1, sizeof(*play));
    struct chain_rig *rig;

    MUST(play);
    play->steps = steps;
    play->seed = seed;
    play->rig = rig = chain_rig_begin(job_text(arguments), EVERY, seed);
    rig->groups = rig->slot_count = rig->state_count = GROUPS;
    for (uint32_t i = 0; i < GROUPS; i++) {
        struct chain_slot *slot = &rig->slots[i];

        slot->copy = slot->leaves = SLOT_NOBODY;
        for (uint32_t place = 0; place < CHAIN_PLACES; place++)
            slot->nodes[place] = place < places ? (i + place) % CHAIN_NODES : SLOT_NOBODY;
        memcpy(slot->durable, slot->nodes, sizeof(slot->durable));
    }
    rig->on_reply = on_reply;
    rig->context = play;
    rig->held = chain_assignment(rig, 0, true);
    rig->job = rig->held->job;
    history_make(play);
    for (uint32_t i = 0; i < PROGRAMS; i++)
        snprintf(play->programs[i].name, sizeof(play->programs[i].name), "program%u", i);
    chain_prepare_all(rig);
    return play;
}

static inline struct play *play_new(const char *arguments, uint32_t places, uint64_t seed)
{
    return play_new_steps(arguments, places, seed, STEPS);
}

static inline void play_free(struct play *play)
{
    free(play->history);
    assignment_unref(play->rig->held);
    chain_rig_free(play->rig);
    free(play);
}

/* Nothing is lost any more, and everybody hears of everything. */
static inline void settle(struct play *play)
{
    for (uint32_t round = 0; round < 12; round++) {
        chain_give_maps(play->rig);
        for (uint32_t node = 0; node < CHAIN_NODES; node++) {
            chance_nudge(play->rig, node);
            while (chain_lives(play->rig, node) && shard_work(play->rig->nodes[node].shard))
                ;
            while (chain_lives(play->rig, node) && play->rig->nodes[node].write_count > 0)
                chain_write(play->rig, node);
        }
        chain_deliver_all(play->rig);
        chain_commit(play->rig);
    }
}

/* Every node of every chain has the last version: each becomes the head and shows it, and the one before. */
static inline void check_all_replicas(struct play *play)
{
    for (uint32_t turn = 0; turn < CHAIN_PLACES; turn++) {
        play->programs[0].is_attached = false;
        attach(play, &play->programs[0]);
        MUST(play->programs[0].is_attached && play->programs[0].step == play->steps);
        play->programs[0].step--;
        for (uint32_t node = 0; node < CHAIN_NODES; node++) {
            if (is_head_of(&play->programs[0], node))
                pull(play, &play->programs[0], node);
        }
        for (uint32_t i = 0; i < GROUPS; i++) {
            if (chain_length(&play->rig->slots[i]) > 1)
                chain_remove(&play->rig->slots[i], play->rig->slots[i].nodes[0]);
        }
        chain_map_changed(play->rig);
        settle(play);
    }
}

static inline bool all_at(const struct play *play, uint64_t step)
{
    for (uint32_t i = 0; i < PROGRAMS; i++) {
        if (play->programs[i].ended < step)
            return false;
    }
    return true;
}

static const char *const kinds[] = {
    "optimizer: {adagrad: {learning_rate: 0.1}}",
    "optimizer: adam, admit_after: 2, expire_after: 3, initializer: {random_normal: {stddev: 0.1}}",
    "optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}, expire_after: 2, initializer: {random_normal: "
    "{stddev: 1}}",
    "optimizer: {adam: {clipnorm: 0.5}}, expire_after: 4",
    "optimizer: {sgd: {learning_rate: 0.3, momentum: 0.5, global_clipnorm: 2}}, admit_after: 2",
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

#endif
