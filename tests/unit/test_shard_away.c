/* Generations while the coordinator comes and goes: random schedules of steps, captures, writes, messages
 * that are late or lost, absences that are noticed early, late or wrongly, and crashes, over shards of two
 * servers. Whatever happens, the job's committed step can be loaded on all shards, to the bit; and when
 * everybody is there the job goes on to later ones. */
#include "check_main.h"
#include "codec_rig.h"
#include "shard_state.h"
#include "tally.h"

#include <inttypes.h>

#define SHARDS       3 /* of which the last is a server's of its own */
#define SERVERS      2
#define SEEDS        RANDOM_CASES(10)
#define ACTIONS      1500
#define TABLES       2 /* a dense one and one of rows */
#define APART        5 /* steps that one may be ahead of the other */
#define STEPS_MAX    600
#define MESSAGES_MAX 256

enum message_kind { CONFIRM, FORGO, AWAY, BACK };

struct message {
    enum message_kind kind;
    uint64_t step;
};

struct queue {
    struct message items[MESSAGES_MAX];
    uint32_t count;
};

struct world {
    struct codec_rig *rig;
    struct chance chance;
    uint64_t seed, incarnation;
    struct codec_plain *at[STEPS_MAX]; /* what a step is by the definition, from the committed one on */
    uint64_t newest;                   /* of them */
    struct progress {
        uint64_t step;       /* that is being pushed */
        bool pushed[SHARDS]; /* to */
    } tables[TABLES];
    struct queue to_shard[SHARDS];        /* by its server */
    struct queue to_server[SERVERS];      /* by the coordinator */
    struct queue to_coordinator[SERVERS]; /* Committed, as CONFIRM */
    struct tallies *tallies[SERVERS];
    bool is_away[SERVERS];  /* the coordinator, as the server believes */
    bool is_there;          /* the coordinator */
    uint64_t committed;     /* its record */
    uint64_t told[SERVERS]; /* the newest generation that it was told of; 0: none */
    uint32_t crashes, absences, forgone;
};

static uint32_t server_of(uint32_t shard)
{
    return shard == SHARDS - 1 ? 1 : 0;
}

/* ---- messages */

static void put(struct queue *queue, enum message_kind kind, uint64_t step)
{
    MUST(queue->count < MESSAGES_MAX);
    queue->items[queue->count++] = (struct message){kind, step};
}

static bool take(struct queue *queue, struct message *message)
{
    if (queue->count == 0)
        return false;
    *message = queue->items[0];
    memmove(queue->items, queue->items + 1, --queue->count * sizeof(queue->items[0]));
    return true;
}

static void put_to_shards(struct world *world, uint32_t server, enum message_kind kind, uint64_t step)
{
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        if (server_of(shard) == server)
            put(&world->to_shard[shard], kind, step);
    }
}

/* ---- servers, as server.c has them */

static void on_committed(void *context, uint32_t shard, uint64_t step)
{
    struct world *world = context;
    uint32_t server = server_of(shard);
    const struct shard_report report = {.kind = SHARD_COMMITTED,
                                        .shard = shard,
                                        .job = CODEC_RIG_JOB,
                                        .incarnation = world->incarnation,
                                        .step = step};

    switch (tally_report(world->tallies[server], &report)) {
    case TALLY_COMMITTED:
        if (world->is_there)
            put(&world->to_coordinator[server], CONFIRM, step);
        break;
    case TALLY_WAITS:
        for (uint32_t other = 0; other < SHARDS; other++) {
            uint64_t passed;

            if (tally_takes_back(world->tallies[server], CODEC_RIG_JOB, other, &passed))
                put(&world->to_shard[other], FORGO, passed);
        }
        break;
    default:
        ck_abort_msg("seed %" PRIu64 ": a server of two minds", world->seed);
    }
}

static void server_hear(struct world *world, uint32_t server)
{
    struct message message;

    if (!take(&world->to_server[server], &message))
        return;
    if (message.kind == CONFIRM)
        tally_confirm(world->tallies[server], CODEC_RIG_JOB, world->incarnation, message.step);
    else
        tally_forgo(world->tallies[server], CODEC_RIG_JOB, world->incarnation, message.step);
    put_to_shards(world, server, message.kind, message.step);
}

static void notice(struct world *world, uint32_t server, bool is_away)
{
    if (world->is_away[server] != is_away)
        put_to_shards(world, server, is_away ? AWAY : BACK, 0);
    world->is_away[server] = is_away;
}

static void shard_hear(struct world *world, uint32_t shard)
{
    struct shard *heard = world->rig->shards[shard];
    const struct shard_job *job = shard_find(heard, CODEC_RIG_JOB);
    struct message message;

    if (!take(&world->to_shard[shard], &message))
        return;
    if (message.kind == CONFIRM) {
        shard_committed(heard, CODEC_RIG_JOB, world->incarnation, message.step);
    } else if (message.kind == FORGO) {
        uint32_t count = job->commits.count;

        MUST(message.step != world->committed);
        shard_forgo(heard, CODEC_RIG_JOB, world->incarnation, message.step);
        world->forgone += job->commits.count < count;
    } else {
        shard_set_away(heard, message.kind == AWAY);
    }
}

/* ---- the coordinator, as the contract between the two has it */

/* All hold a later generation: it is the job's. Some hold an earlier one than others: it will never be. */
static void coordinator_judge(struct world *world)
{
    uint64_t newest = 0, oldest = UINT64_MAX;

    for (uint32_t server = 0; server < SERVERS; server++) {
        newest = world->told[server] > newest ? world->told[server] : newest;
        oldest = world->told[server] < oldest ? world->told[server] : oldest;
    }
    if (newest == oldest && newest > world->committed) {
        world->committed = newest;
        for (uint32_t server = 0; server < SERVERS; server++)
            put(&world->to_server[server], CONFIRM, newest);
    }
    for (uint32_t server = 0; server < SERVERS; server++) {
        if (world->told[server] <= world->committed || world->told[server] == newest)
            continue;
        put(&world->to_server[server], FORGO, world->told[server]);
        world->told[server] = 0;
    }
}

static void coordinator_hear(struct world *world, uint32_t server)
{
    struct message message;

    if (!world->is_there || !take(&world->to_coordinator[server], &message))
        return;
    world->told[server] = message.step > world->told[server] ? message.step : world->told[server];
    coordinator_judge(world);
}

/* Some of what it has said is still on its way. */
static void coordinator_dies(struct world *world)
{
    world->is_there = false;
    world->absences++;
    for (uint32_t server = 0; server < SERVERS; server++) {
        world->to_coordinator[server].count = 0;
        world->to_server[server].count = draw(&world->chance, world->to_server[server].count + 1);
        world->told[server] = 0;
    }
}

static void tell_standing(void *context, const struct tally_standing *standing)
{
    MUST(standing->is_prepared);
    if (standing->durable_step > 0)
        put(context, CONFIRM, standing->durable_step);
}

/* A server registers again: it repeats what stands, and hears what the record has. */
static void register_again(struct world *world, uint32_t server)
{
    world->to_server[server].count = world->to_coordinator[server].count = 0;
    tally_visit(world->tallies[server], tell_standing, &world->to_coordinator[server]);
    if (world->committed > 0)
        put(&world->to_server[server], CONFIRM, world->committed);
    notice(world, server, false);
}

static void coordinator_returns(struct world *world)
{
    world->is_there = true;
    for (uint32_t server = 0; server < SERVERS; server++)
        register_again(world, server);
}

/* ---- shards and steps */

static void tallies_begin(struct world *world)
{
    for (uint32_t server = 0; server < SERVERS; server++) {
        uint32_t shards = server == 0 ? SHARDS - 1 : 1;

        MUST(tally_begin(world->tallies[server], CODEC_RIG_JOB, world->incarnation, world->committed,
                         shards) == CAIRN_OK);
    }
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        const struct shard_report report = {.kind = SHARD_PREPARED,
                                            .shard = shard,
                                            .holds_pieces = true,
                                            .job = CODEC_RIG_JOB,
                                            .incarnation = world->incarnation};

        tally_report(world->tallies[server_of(shard)], &report);
    }
}

static void write_one(struct world *world, uint32_t shard)
{
    struct generation *generation = world->rig->pending[shard];
    struct error error;

    if (!generation)
        return;
    world->rig->pending[shard] = NULL;
    ck_assert_msg(generation_write(generation, &error) == CAIRN_OK, "seed %" PRIu64 ": %s", world->seed,
                  error.message);
    shard_written(world->rig->shards[shard], generation, CAIRN_OK, NULL);
}

/* Whether all that a shard has of a table is at a version. */
static bool is_at(const struct world *world, uint32_t shard, uint32_t number, uint64_t version)
{
    const struct shard_job *job = shard_find(world->rig->shards[shard], CODEC_RIG_JOB);
    const struct table *table = &job->tables->items[TABLE_FIRST_USER + number];

    for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++) {
        if (table->dense->chunks[i]->version != version)
            return false;
    }
    return !table->sparse || table->sparse->version == version;
}

/* Makes the step after the newest one by the definition. */
static void plain_append(struct world *world)
{
    struct codec_plain *next = malloc(sizeof(*next));

    MUST(next && world->newest + 1 < STEPS_MAX);
    memcpy(next, world->at[world->newest], sizeof(*next));
    codec_plain_step(world->rig, next);
    world->at[++world->newest] = next;
}

static void push_table(struct world *world, uint32_t shard, uint32_t number)
{
    const struct tree_node root = {0, CODEC_RIG_MICROBATCHES};
    struct codec_rig *rig = world->rig;
    uint64_t step = world->tables[number].step;

    if (CODEC_RIG_DENSE != TABLE_FIRST_USER + number) {
        codec_push_rows(rig, world->incarnation, step, root, shard);
        return;
    }
    for (uint32_t chunk = 0; chunk < rig->chunk_count; chunk++) {
        if (codec_owner(rig, chunk) == shard)
            codec_push_chunk(rig, world->at[step], world->incarnation, root, chunk);
    }
}

/* Pushes a table's step in hand to a shard; when all shards have ended it, the next one may begin. */
static void push_to(struct world *world, uint32_t shard, uint32_t number)
{
    struct progress *progress = &world->tables[number];

    if (!progress->pushed[shard])
        push_table(world, shard, number);
    progress->pushed[shard] = true;
    for (uint32_t i = 0; i < SHARDS; i++) {
        if (!progress->pushed[i] || !is_at(world, i, number, progress->step + 1))
            return;
    }
    if (progress->step >= world->tables[1 - number].step + APART)
        return;
    progress->step++;
    memset(progress->pushed, 0, sizeof(progress->pushed));
    if (progress->step > world->newest)
        plain_append(world);
}

static void push_to_some(struct world *world, uint32_t number)
{
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        if (draw(&world->chance, 4) > 0)
            push_to(world, shard, number);
    }
}

/* Forgets what the job has left behind for good. */
static void plain_prune(struct world *world)
{
    for (uint64_t step = 0; step < world->committed; step++) {
        free(world->at[step]);
        world->at[step] = NULL;
    }
}

/* All servers end, at any moment; the job goes on from its committed step. */
static void crash(struct world *world)
{
    struct codec_rig *rig = world->rig;

    codec_rig_stop(rig);
    for (uint64_t step = world->committed + 1; step <= world->newest; step++) {
        free(world->at[step]);
        world->at[step] = NULL;
    }
    world->newest = world->committed;
    for (uint32_t number = 0; number < TABLES; number++)
        world->tables[number] = (struct progress){.step = world->committed};
    world->incarnation++;
    world->crashes++;
    memset(world->to_shard, 0, sizeof(world->to_shard));
    memset(world->to_server, 0, sizeof(world->to_server));
    memset(world->to_coordinator, 0, sizeof(world->to_coordinator));
    memset(world->told, 0, sizeof(world->told));
    memset(world->is_away, 0, sizeof(world->is_away));
    world->is_there = true;
    codec_rig_start(rig, world->incarnation, world->committed);
    tallies_begin(world);
    codec_check_all(rig, world->incarnation, world->at[world->committed]);
    codec_rig_forget(rig);
}

/* ---- schedules */

static void act(struct world *world)
{
    uint32_t shard = draw(&world->chance, SHARDS), server = draw(&world->chance, SERVERS);
    uint32_t action = draw(&world->chance, 200);

    if (action < 90)
        push_to_some(world, draw(&world->chance, TABLES));
    else if (action < 110)
        (void)shard_work(world->rig->shards[shard]);
    else if (action < 130)
        write_one(world, shard);
    else if (action < 155)
        shard_hear(world, shard);
    else if (action < 170)
        server_hear(world, server);
    else if (action < 180)
        coordinator_hear(world, server);
    else if (action < 186)
        notice(world, server, !world->is_there || draw(&world->chance, 2) == 0);
    else if (action < 189 && world->is_there)
        coordinator_dies(world);
    else if (action < 191 && !world->is_there)
        coordinator_returns(world);
    else if (action < 196 && world->is_there)
        register_again(world, server);
    else if (action == 199 && draw(&world->chance, 2) == 0)
        crash(world);
}

/* Everybody is there, and hears all: the job gets to later generations. */
static void settle(struct world *world)
{
    uint64_t before = world->committed;

    if (!world->is_there)
        coordinator_returns(world);
    for (uint32_t server = 0; server < SERVERS; server++)
        notice(world, server, false);
    for (uint32_t round = 0; round < 200 && world->committed < before + 12; round++) {
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            for (uint32_t number = 0; number < TABLES; number++)
                push_to(world, shard, number);
            while (shard_work(world->rig->shards[shard]))
                ;
            write_one(world, shard);
            while (world->to_shard[shard].count > 0)
                shard_hear(world, shard);
        }
        for (uint32_t server = 0; server < SERVERS; server++) {
            while (world->to_coordinator[server].count > 0)
                coordinator_hear(world, server);
            while (world->to_server[server].count > 0)
                server_hear(world, server);
        }
    }
    ck_assert_msg(world->committed >= before + 12,
                  "seed %" PRIu64 ": from step %" PRIu64 " the job came no further than %" PRIu64,
                  world->seed, before, world->committed);
}

static void world_open(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->seed = seed;
    world->chance = (struct chance){seed << 32};
    world->incarnation = 1;
    world->is_there = true;
    world->rig = codec_rig_new(SHARDS, "float32", true, 2 + (uint32_t)(seed % 2));
    world->rig->on_committed = on_committed;
    world->rig->context = world;
    world->at[0] = codec_plain_new(world->rig);
    for (uint32_t server = 0; server < SERVERS; server++) {
        world->tallies[server] = tallies_new(SHARDS);
        ck_assert_ptr_nonnull(world->tallies[server]);
    }
    tallies_begin(world);
}

static void world_close(struct world *world)
{
    for (uint64_t step = 0; step < STEPS_MAX; step++)
        free(world->at[step]);
    for (uint32_t server = 0; server < SERVERS; server++)
        tallies_free(world->tallies[server]);
    codec_rig_free(world->rig);
}

START_TEST(the_committed_step_can_always_be_loaded)
{
    static struct world world;

    world_open(&world, (uint64_t)_i + 1);
    for (int i = 0; i < ACTIONS; i++) {
        act(&world);
        codec_rig_forget(world.rig);
        if (i % 50 == 0)
            plain_prune(&world);
    }
    settle(&world);
    crash(&world); /* and all is as it was when it was committed */
    world_close(&world);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard_away");
    TCase *tests = tcase_create("shard_away");

    tcase_add_loop_test(tests, the_committed_step_can_always_be_loaded, 0, SEEDS);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
