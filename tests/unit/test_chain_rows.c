/* Chains of the slots of a sparse table under random schedules: programs that push and pull and attach again,
 * messages that are lost, servers that die, come back, are copied to and copied from, maps that each shard
 * hears of at its own time, generations, and jobs that go back to one. Every row of every version that a
 * program reads is the one that an undisturbed table has, bit for bit; no step that it has seen the end of
 * comes again. */
#include "chain_chance.h"
#include "check_main.h"
#include "plain_rows.h"

#define STEPS        14
#define EVERY        3
#define GROUPS       6
#define PROGRAMS     2
#define MICROBATCHES 4
#define SAMPLES      3
#define TABLE        TABLE_FIRST_USER
#define CASES        RANDOM_CASES(40)
#define ACTIONS      60000 /* in one step: so many are never needed */
#define PATIENCE     50    /* one in so many actions while heads do not answer is to ask them anew */
#define EVENTS       3000 /* actions in one step: then nothing happens any more that could end a standstill */

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
    float history[STEPS + 1][PLAIN_KEYS][PLAIN_DIMENSION];
    struct program programs[PROGRAMS];
    uint64_t ended; /* the newest step that anybody has seen the end of */
    uint32_t moves, attached, checked;
    uint32_t actions;  /* in the step in hand */
    uint64_t attempts; /* to attach, of all programs */
    /* What is being pulled: plain indices. */
    uint32_t pulled[PLAIN_KEYS], pulled_count;
};

/* ---- what programs are told */

static struct program *program_of(struct play *play, const struct client *client)
{
    return &play->programs[client->name[client->length - 1] - '0'];
}

static void check_rows(struct play *play, uint64_t version, const struct buffer *rows)
{
    MUST(version <= STEPS && rows->length_bytes == play->pulled_count * sizeof(play->history[0][0]));
    for (uint32_t i = 0; i < play->pulled_count; i++) {
        const float *row = (const float *)rows->data + (size_t)i * PLAIN_DIMENSION;

        if (memcmp(row, play->history[version][play->pulled[i]], PLAIN_DIMENSION * sizeof(float)) != 0)
            ck_abort_msg("key %u of version %llu is another row", play->pulled[i],
                         (unsigned long long)version);
    }
    play->checked += play->pulled_count;
}

static void on_reply(void *context, uint32_t node, const struct reply *reply)
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

static uint32_t group_of(uint64_t key)
{
    return placement_key_slot(key, CHAIN_SLOTS) % GROUPS;
}

static bool is_head_of(const struct program *program, uint32_t node)
{
    for (uint32_t group = 0; group < GROUPS; group++) {
        if (program->heads[group] == node)
            return true;
    }
    return false;
}

static void send(struct play *play, struct program *program, uint32_t node, struct data_header *header,
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

static bool is_there(const void *context, uint64_t key)
{
    const struct wanted *wanted = context;

    return wanted->program->heads[group_of(key)] == wanted->node;
}

static void push(struct play *play, struct program *program, uint32_t node, uint32_t microbatch)
{
    struct data_header header = {.kind = DATA_PUSH,
                                 .step = program->step,
                                 .node = {microbatch, microbatch + 1},
                                 .samples = SAMPLES,
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
static void pull(struct play *play, struct program *program, uint32_t node)
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
static bool ask_all(struct play *play, struct program *program)
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
static uint64_t oldest_answer(const struct program *program)
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
static void attach(struct play *play, struct program *program)
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
static void end_step(struct play *play, struct program *program)
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

static void program_acts(struct play *play)
{
    uint32_t number = chain_draw(play->rig, PROGRAMS), node = chain_draw(play->rig, CHAIN_NODES);
    struct program *program = &play->programs[number];
    uint32_t microbatch = number * (MICROBATCHES / PROGRAMS) + chain_draw(play->rig, MICROBATCHES / PROGRAMS);

    if (!program->is_attached) {
        attach(play, program);
        return;
    }
    end_step(play, program);
    if (program->step >= STEPS || !is_head_of(program, node))
        return;
    if (chain_draw(play->rig, 8) == 0)
        pull(play, program, node);
    else if (!program->has_pushed[node][microbatch] || chain_draw(play->rig, 10) == 0) {
        program->has_pushed[node][microbatch] = true;
        push(play, program, node, microbatch);
    }
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
    rig->map_number = 0;
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        struct chain_slot *slot = &rig->slots[i];

        memcpy(slot->nodes, slot->durable, sizeof(slot->nodes));
        slot->copy = slot->leaves = SLOT_NOBODY;
        for (uint32_t node = 0; node < CHAIN_NODES; node++)
            slot->since[node] = rig->committed > 0 ? rig->committed - 1 : 0;
    }
    chain_prepare_all(rig);
    play->ended = rig->committed;
    for (uint32_t i = 0; i < PROGRAMS; i++) {
        play->programs[i].is_attached = false;
        play->programs[i].attempt = 0;
        play->programs[i].ended = rig->committed;
    }
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
        play->moves += chance_copy(play->rig, GROUPS);
    else
        go_back(play);
}

static void act(struct play *play)
{
    struct chain_rig *rig = play->rig;
    uint32_t what = chain_draw(rig, 200);

    if (what < 90 && rig->said_count > 0)
        chance_deliver(rig);
    else if (what < 160)
        program_acts(play);
    else if (what < 175)
        chance_give_map(rig, chain_draw(rig, CHAIN_NODES));
    else if (what < 186)
        chance_write(rig);
    else if (what < 189)
        chain_commit(rig);
    else if (what < 190)
        chance_break(rig);
    else if (what < 194)
        chance_nudge(rig, chain_draw(rig, CHAIN_NODES));
    else if (what < 197 && play->actions < EVENTS)
        something_happens(play);
}

/* ---- plays */

static const char *job_text(const char *arguments)
{
    static char text[512];

    snprintf(text, sizeof(text),
             "name: rows\nseed: 5\ntables:\n  - sparse: {name: t, dimension: %d, %s}\n"
             "train: {optimizer: sgd, microbatches: %d, commit_every: %d}\n"
             "cluster: {servers: 4, replicas: 2}\n",
             PLAIN_DIMENSION, arguments, MICROBATCHES, EVERY);
    return text;
}

static void history_make(struct play *play)
{
    struct plain_table *plain = plain_table_new(play->rig->job, TABLE, play->seed);

    memcpy(play->history[0], plain->weights[0], sizeof(play->history[0]));
    for (uint32_t step = 1; step <= STEPS; step++) {
        plain_step(plain, MICROBATCHES * SAMPLES);
        memcpy(play->history[step], plain->weights[step % 2], sizeof(play->history[0]));
    }
    free(plain);
}

static struct play *play_new(const char *arguments, uint32_t places, uint64_t seed)
{
    struct play *play = calloc(1, sizeof(*play));
    struct chain_rig *rig;

    MUST(play);
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

static void play_free(struct play *play)
{
    assignment_unref(play->rig->held);
    chain_rig_free(play->rig);
    free(play);
}

/* Nothing is lost any more, and everybody hears of everything. */
static void settle(struct play *play)
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
static void check_all_replicas(struct play *play)
{
    for (uint32_t turn = 0; turn < CHAIN_PLACES; turn++) {
        play->programs[0].is_attached = false;
        attach(play, &play->programs[0]);
        MUST(play->programs[0].is_attached && play->programs[0].step == STEPS);
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

static bool all_at(const struct play *play, uint64_t step)
{
    for (uint32_t i = 0; i < PROGRAMS; i++) {
        if (play->programs[i].ended < step)
            return false;
    }
    return true;
}

static void play_all(struct play *play)
{
    for (uint64_t step = 1; step <= STEPS; step++) {
        play->actions = 0;
        while (!all_at(play, step) && play->actions++ < ACTIONS)
            act(play);
        if (play->actions >= ACTIONS)
            ck_abort_msg("step %llu does not end", (unsigned long long)step);
    }
    settle(play);
    check_all_replicas(play);
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

START_TEST(whatever_happens_the_rows_are_the_same)
{
    struct play *play = play_new(kinds[(size_t)_i % KINDS], 1 + (uint32_t)_i % 3, (uint64_t)_i + 1);

    play_all(play);
    MUST(play->moves > 0 && play->attached > PROGRAMS && play->checked > 0);
    play_free(play);
}
END_TEST

/* ---- single events */

/* Nothing is lost, and programs act until a step has ended for all. */
static void plain_steps(struct play *play, uint64_t step)
{
    for (uint32_t actions = 0; !all_at(play, step); actions++) {
        MUST(actions < ACTIONS);
        program_acts(play);
        chain_deliver_all(play->rig);
        if (actions % 32 == 0)
            settle(play);
    }
}

/* The rest of the steps, with nothing happening any more; then all replicas have all. */
static void play_out(struct play *play)
{
    plain_steps(play, STEPS);
    settle(play);
    check_all_replicas(play);
    play_free(play);
}

/* A shard that is in the midst of a copy loses another slot, and with it its rows: none of those that the
 * copy has brought are missing in the end. */
START_TEST(a_slot_that_leaves_takes_nothing_of_a_copy_along)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[3]; /* of nodes 3 and 4 */

    plain_steps(play, 3);
    chain_copy_begin(rig, slot, 0);
    chain_give_maps(rig);
    chain_deliver(rig, chain_said_find(rig, DATA_ASK, 0, 4));
    chain_deliver(rig, chain_said_find(rig, DATA_SNAPSHOT, 4, 0)); /* its first part */
    MUST(slot->copy == 0);
    chain_remove(&rig->slots[4], 0); /* of nodes 4 and 0 */
    chain_map_changed(rig);
    chain_give_maps(rig);
    settle(play);
    MUST(slot->copy == SLOT_NOBODY && chain_has(slot, 0));
    play_out(play);
}
END_TEST

/* A part of a copy that was given up comes to a shard without anything, when it is copied to anew. It is
 * dropped; and if it were not, as one that claims to be of the new copy, the copy would begin anew. */
START_TEST(a_part_of_an_older_copy_does_no_harm)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[2]; /* of nodes 2 and 3 */
    struct chain_said late;

    plain_steps(play, 3);
    chain_lose(rig, 4);
    settle(play);
    chain_copy_begin(rig, slot, 4);
    chain_give_maps(rig);
    chain_deliver(rig, chain_said_find(rig, DATA_ASK, 4, 3));
    late = chain_said_hold(rig, chain_said_find(rig, DATA_SNAPSHOT, 3, 4));
    chain_remove(slot, 4);
    chain_map_changed(rig);
    settle(play);
    plain_steps(play, 5);
    chain_copy_begin(rig, slot, 4);
    chain_give_maps(rig);
    if (_i == 1)
        late.header.map = rig->map_number;
    chain_said_put(rig, &late);
    settle(play);
    MUST(slot->copy == SLOT_NOBODY && chain_has(slot, 4));
    play_out(play);
}
END_TEST

/* Nothing is lost, but nobody hears of a new map. */
static void acts_by_this_map(struct play *play)
{
    for (uint32_t actions = 0; actions < 200; actions++) {
        program_acts(play);
        chain_deliver_all(play->rig);
        chance_write(play->rig);
        if (actions % 10 == 0)
            chain_commit(play->rig);
    }
}

/* A question for a part of a copy that is over comes late: before its end is known to who gave the parts, or
 * after; or it is of an older version, which who asked has left since. */
START_TEST(a_late_question_begins_no_copy)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[2]; /* of nodes 2 and 3 */
    struct chain_said late;

    plain_steps(play, 3);
    chain_copy_begin(rig, slot, 0);
    chain_give_maps(rig);
    shard_nudge(rig->nodes[0].shard); /* it asks twice */
    late = chain_said_hold(rig, chain_said_find(rig, DATA_ASK, 0, 3));
    while (slot->copy != SLOT_NOBODY) {
        chain_deliver(rig, chain_said_find(rig, DATA_ASK, 0, 3));
        chain_deliver(rig, chain_said_find(rig, DATA_SNAPSHOT, 3, 0));
    }
    if (_i == 2)
        late.header.step--;
    if (_i != 1)
        chain_said_put(rig, &late);
    acts_by_this_map(play);
    if (_i == 1)
        chain_said_put(rig, &late);
    acts_by_this_map(play);
    settle(play);
    MUST(chain_has(slot, 0));
    play_out(play);
}
END_TEST

/* Who is copied to asks before who is asked has heard of the copy: it is answered as soon as that one has,
 * and need not ask again, half a second later. */
START_TEST(a_question_that_comes_before_the_map_is_answered)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[2]; /* of nodes 2 and 3 */

    plain_steps(play, 3);
    if (_i == 1) { /* who is copied to has nothing yet */
        chain_lose(rig, 0);
        settle(play);
    }
    chain_copy_begin(rig, slot, 0);
    chain_give_map(rig, 0);
    chain_deliver_all(rig);
    MUST(slot->copy == 0);
    chain_give_map(rig, 3);
    chain_deliver_all(rig);
    MUST(slot->copy == SLOT_NOBODY && chain_has(slot, 0));
    settle(play);
    play_out(play);
}
END_TEST

/* ---- norms */

/* All that is on its way comes, but for what a node is told of norms: that is lost. */
static void deliver_but_parts(struct chain_rig *rig, uint32_t node)
{
    while (rig->said_count > 0) {
        if (rig->said[0].to == node && rig->said[0].header.kind == DATA_PART)
            chain_said_drop(rig, 0);
        else
            chain_deliver(rig, 0);
    }
}

static void goes_from(struct play *play, uint32_t group, uint32_t node)
{
    chain_remove(&play->rig->slots[group], node);
    chain_map_changed(play->rig);
}

/* A step ends for all, but a shard that is the head of nothing has not heard what it needs for it; then all
 * those die that have: what they had is on one that was given it when it was made. That one knows the
 * factors. */
START_TEST(a_copy_brings_the_norms_that_others_need)
{
    struct play *play = play_new(kinds[3], 2, 1);
    struct chain_rig *rig = play->rig;

    goes_from(play, 1, 1); /* so 1 only follows 0, in two groups, */
    goes_from(play, 2, 3);
    goes_from(play, 3, 3); /* 3 has nothing, */
    goes_from(play, 4, 0); /* and 2 and 4 have the rest alone */
    settle(play);
    plain_steps(play, 4);
    settle(play);
    while (!all_at(play, 5)) {
        program_acts(play);
        deliver_but_parts(rig, 1);
    }
    for (uint32_t group = 1; group <= 4; group++)
        chain_copy_begin(rig, &rig->slots[group], 3);
    for (uint32_t turn = 0; turn < 2; turn++) {
        chain_give_maps(rig);
        deliver_but_parts(rig, 1);
    }
    for (uint32_t group = 1; group <= 4; group++)
        MUST(chain_has(&rig->slots[group], 3));
    chain_kill(rig, 0);
    chain_kill(rig, 2);
    chain_kill(rig, 4);
    settle(play);
    play_out(play);
}
END_TEST

/* One that is the head of nothing hears nothing of norms, while others are ahead by as much as they can be.
 */
START_TEST(who_is_far_behind_is_told_the_norms)
{
    struct play *play = play_new(kinds[3], 2, 1);

    goes_from(play, 1, 1); /* so 1 only follows 0 */
    settle(play);
    plain_steps(play, 4);
    settle(play);
    for (uint32_t actions = 0; actions < ACTIONS / 20; actions++) {
        program_acts(play);
        deliver_but_parts(play->rig, 1);
    }
    MUST(all_at(play, 5) && !all_at(play, 6));
    play_out(play);
}
END_TEST

/* The others go on while a generation of one that is the head of nothing is not written: it hears all of the
 * next step's norms before it has made the update that the last ones are for. */
START_TEST(a_shard_that_is_held_back_keeps_its_factors)
{
    struct play *play = play_new(kinds[3 + _i], 2, 1);
    struct chain_rig *rig = play->rig;

    goes_from(play, 4, 4); /* so 4 only follows 3 */
    settle(play);
    for (uint32_t actions = 0; actions < ACTIONS / 20; actions++) {
        program_acts(play);
        chain_deliver_all(rig);
        for (uint32_t node = 0; node < 4; node++) {
            while (shard_work(rig->nodes[node].shard))
                ;
            while (rig->nodes[node].write_count > 0)
                chain_write(rig, node);
        }
        chain_commit(rig);
    }
    MUST(all_at(play, 2 * EVERY) && !all_at(play, 2 * EVERY + 1));
    settle(play);
    play_out(play);
}
END_TEST

/* What goes one way stays on its way; all else comes. */
static void deliver_all_but(struct chain_rig *rig, uint32_t from, uint32_t to)
{
    uint32_t index = 0;

    while (index < rig->said_count) {
        if (rig->said[index].from == from && rig->said[index].to == to) {
            index++;
        } else {
            chain_deliver(rig, index);
            index = 0;
        }
    }
}

/* Programs act until a step has ended for all; nothing is written, and what goes one way stays on its way. */
static void steps_but(struct play *play, uint64_t step, uint32_t from, uint32_t to)
{
    for (uint32_t actions = 0; !all_at(play, step); actions++) {
        MUST(actions < ACTIONS);
        program_acts(play);
        deliver_all_but(play->rig, from, to);
    }
}

/* Slots 0 and 5 of nodes 0 and 1, slot 3 of 3 and 4, the others of 0 and 2: so 1 and 4 are heads of nothing.
 */
static struct play *play_with_followers(void)
{
    static const uint32_t nodes[GROUPS][2] = {{0, 1}, {0, 2}, {0, 2}, {3, 4}, {0, 2}, {0, 1}};
    struct play *play = play_new(kinds[0], 2, 1);

    for (uint32_t i = 0; i < GROUPS; i++) {
        memcpy(play->rig->slots[i].nodes, nodes[i], sizeof(nodes[i]));
        memcpy(play->rig->slots[i].durable, nodes[i], sizeof(nodes[i]));
    }
    chain_prepare_all(play->rig);
    plain_steps(play, 4);
    settle(play);
    return play;
}

/* Node 0 dies, and node 1 is its heir, which is held back at an older version than was seen. A program that
 * attaches is told nothing until that is there, or cannot be: then the version that it is to be told. */
static void attach_after_death(struct play *play, uint64_t version)
{
    struct program *program = &play->programs[0];
    struct chain_rig *rig = play->rig;

    chain_kill(rig, 0);
    chain_give_maps(rig);
    program->is_attached = false;
    attach(play, program);
    MUST(!program->is_attached && program->attempt > 0 && program->answers[1] == UINT64_MAX);
    settle(play);
    MUST(program->answers[1] == version);
    attach(play, program);
    MUST(program->is_attached && program->step == version);
    play_out(play);
}

/* Slot 3 is being copied from node 4 to node 1: both stand still. */
static struct play *play_with_a_copy(void)
{
    struct play *play = play_with_followers();
    struct chain_rig *rig = play->rig;

    chain_copy_begin(rig, &rig->slots[3], 1);
    chain_give_maps(rig);
    chain_deliver(rig, chain_said_find(rig, DATA_ASK, 1, 4));
    return play;
}

/* Who has seen the end of a step attaches when the heir of a head awaits a copy of another slot. */
START_TEST(a_head_in_the_midst_of_a_copy_tells_no_step_that_has_ended)
{
    struct play *play = play_with_a_copy();

    steps_but(play, 5, 4, 1);
    attach_after_death(play, 5);
}
END_TEST

/* All has been pushed to the head that dies, and nothing to the others: they wait for it. */
START_TEST(a_head_in_the_midst_of_a_copy_tells_the_step_that_others_wait_in)
{
    struct play *play = play_with_a_copy();

    for (uint32_t microbatch = 0; microbatch < MICROBATCHES; microbatch++)
        push(play, &play->programs[0], 0, microbatch);
    deliver_all_but(play->rig, 4, 1);
    attach_after_death(play, 4);
}
END_TEST

/* The same when it awaits its disk: the rows of the generation of step 6 are still to be written, and those
 * of step 9 are due. */
START_TEST(a_head_that_awaits_its_disk_tells_no_step_that_has_ended)
{
    struct play *play = play_with_followers();

    steps_but(play, 8, SLOT_NOBODY, SLOT_NOBODY);
    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        while (shard_work(play->rig->nodes[node].shard))
            ;
        while (node != 1 && play->rig->nodes[node].write_count > 0)
            chain_write(play->rig, node);
    }
    steps_but(play, 9, SLOT_NOBODY, SLOT_NOBODY);
    attach_after_death(play, 9);
}
END_TEST

/* Who is copied from has a sum of which it has told already, and dies before it can send it on. The copy is
 * not whole without it: nobody has that sum then. */
START_TEST(a_copy_is_whole_with_the_sum_that_was_told_of)
{
    struct play *play = play_with_a_copy();
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[3];

    steps_but(play, 5, 4, 1);
    while (rig->said_count > 0) { /* nothing of sums comes to node 1 any more */
        uint32_t index = rig->said_count - 1;
        bool is_copy =
            rig->said[index].header.kind == DATA_ASK || rig->said[index].header.kind == DATA_SNAPSHOT;

        if (is_copy &&
            rig->said[index].connection == rig->connections[rig->said[index].from][rig->said[index].to])
            chain_deliver(rig, index);
        else
            chain_said_drop(rig, index);
    }
    chain_kill(rig, 4);
    chain_give_maps(rig);
    settle(play);
    MUST(slot->copy == SLOT_NOBODY && chain_has(slot, 1));
    play_out(play);
}
END_TEST

/* A server has died and come back, and something is being copied to it: a program that still takes it for a
 * head, and has nothing to push to it, is told that it is none. */
START_TEST(who_has_come_back_is_not_pushed_to_by_an_older_map)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct program *program = &play->programs[0];
    struct data_header header = {.kind = DATA_PUSH, .node = {0, 1}, .samples = SAMPLES, .acknowledge = true};

    plain_steps(play, 3);
    chain_kill(rig, 0);
    chain_start(rig, 0);
    chain_node_prepare(rig, 0, false);
    chain_copy_begin(rig, &rig->slots[2], 0);
    chain_give_maps(rig);
    header.step = program->step;
    send(play, program, 0, &header, NULL);
    MUST(program->is_refused && !program->is_attached);
    settle(play);
    play_out(play);
}
END_TEST

static Suite *chain_rows_suite(void)
{
    Suite *suite = suite_create("chain_rows");
    TCase *tests = tcase_create("chain_rows"), *events = tcase_create("events");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, whatever_happens_the_rows_are_the_same, 0, CASES);
    tcase_add_test(events, a_slot_that_leaves_takes_nothing_of_a_copy_along);
    tcase_add_loop_test(events, a_part_of_an_older_copy_does_no_harm, 0, 2);
    tcase_add_loop_test(events, a_late_question_begins_no_copy, 0, 3);
    tcase_add_loop_test(events, a_question_that_comes_before_the_map_is_answered, 0, 2);
    tcase_add_test(events, a_copy_brings_the_norms_that_others_need);
    tcase_add_test(events, who_is_far_behind_is_told_the_norms);
    tcase_add_loop_test(events, a_shard_that_is_held_back_keeps_its_factors, 0, 2);
    tcase_add_test(events, a_head_in_the_midst_of_a_copy_tells_no_step_that_has_ended);
    tcase_add_test(events, a_head_in_the_midst_of_a_copy_tells_the_step_that_others_wait_in);
    tcase_add_test(events, a_head_that_awaits_its_disk_tells_no_step_that_has_ended);
    tcase_add_test(events, who_has_come_back_is_not_pushed_to_by_an_older_map);
    tcase_add_test(events, a_copy_is_whole_with_the_sum_that_was_told_of);
    suite_add_tcase(suite, events);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(chain_rows_suite)
