/* Chaos: a server process under load is killed at random moments, again and again, and each time what it has
 * on disk is held against an undisturbed run's bits: every chunk's weights and optimizer slots are of one
 * step, the one that the coordinator recorded last. A save that mixed steps, or a lost one, cannot pass:
 * momentum and Adam's moments are functions of the step as the weights are, and the gradients differ from
 * step to step.
 *
 *     test_durability [--kills N] [--seed S]
 *
 * prints the seed; the same seed takes the same decisions (moments still depend on the machine). Each life
 * has two processes, which a parent without threads forks: a server of two shard threads, whose main thread
 * is coordinator as well and records on a page that outlives it, and three clients that push and pull without
 * pause. */
#include "check_main.h"
#include "kill_main.h"
#include "shard_fixture.h"

#include "net/actor.h"
#include "record.h"
#include "session.h"
#include "shard_actor.h"

#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <zmq.h>

#define SHARDS      2
#define CLIENTS     3
#define LONGEST_MS  1200 /* of a life, from the fork */
#define LAST_STEPS  10   /* that an undisturbed life commits at the end */
#define PATIENCE_MS 30000

/* Together the whole tree. */
static const struct tree_node client_nodes[CLIENTS] = {{0, 2}, {2, 3}, {3, 5}};

static struct {
    int kills; /* of each optimizer */
    uint64_t seed;
} options = {10, 0};

/* What the processes share; the coordinator's memory. */
struct board {
    _Atomic uint64_t committed; /* the job's committed step */
    _Atomic uint64_t served;    /* the version that the clients have */
    atomic_bool is_ending;      /* the server is about to be killed: what fails now is no news */
    sem_t serving, news;        /* news: a process has failed, or the wanted step is committed */
    uint64_t wanted;
    char endpoints[SHARDS][SHARD_ENDPOINT_BYTES];
    struct error failure;
};

struct drama {
    struct board *board;
    char directory[FOLDER_BYTES];
    const char *optimizer;
    uint64_t chance; /* state of the random numbers */
    uint64_t incarnation, step, commit_every;
    bool is_ahead;                 /* the last judgement saw a generation that was not the job's yet */
    struct assignment *assignment; /* of the first life: the reference's job */
    struct reference *reference;   /* at the committed step of the last judgement */
};

static uint64_t draw(struct drama *drama, uint64_t below)
{
    drama->chance ^= drama->chance << 13;
    drama->chance ^= drama->chance >> 7;
    drama->chance ^= drama->chance << 17;
    return (drama->chance >> 11) % below;
}

static struct assignment *assign(const struct drama *drama)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job_text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[SHARDS], *pointers[SHARDS];
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    struct assignment *assignment = NULL;
    struct error error;
    char text[1024];

    snprintf(
        text, sizeof(text),
        "name: kill\nseed: 3\nmodel:\n  input_shape: [250]\n  layers:\n    - dense: {units: 1000}\n"
        "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: train.csv}\n"
        "train: {steps: 1000000, batch_size: %d, microbatches: %d, optimizer: {%s}, commit_every: %" PRIu64
        "}\n",
        RIG_BATCH, RIG_MICROBATCHES, drama->optimizer, drama->commit_every);
    job_text.text = text;
    job_text.file_name = (char *)"kill.yaml";
    job_text.base_directory = (char *)"/";
    for (uint32_t i = 0; i < SHARDS; i++) {
        cairn__shard__init(&shards[i]);
        shards[i].server = (char *)"one";
        shards[i].index = i;
        pointers[i] = &shards[i];
    }
    placement_assign(slots, PLACEMENT_SLOTS_MIN, SHARDS);
    command.job = RIG_JOB;
    command.job_id = (char *)"kill-7";
    command.text = &job_text;
    command.n_shards = SHARDS;
    command.shards = pointers;
    command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    command.slot_shards = slots;
    ck_assert_msg(assignment_new(&command, "one", SHARDS, &assignment, &error) == CAIRN_OK, "%s",
                  error.message);
    return assignment;
}

/* A child's end when something is wrong. */
static void report_end(struct board *board, const struct error *error)
{
    if (!atomic_load(&board->is_ending)) {
        board->failure = *error;
        sem_post(&board->news);
    }
    _exit(EXIT_FAILURE);
}

/* ---- the server's process, and the coordinator's part in it */

struct server {
    struct drama *drama;
    struct actor *shards[SHARDS];
    uint64_t written[SHARDS]; /* the newest step that the shard says is durable */
};

static void tell(struct server *server, uint32_t shard, struct shard_command command)
{
    struct error error;

    command.job = RIG_JOB;
    command.incarnation = server->drama->incarnation;
    if (actor_tell(server->shards[shard], &command, sizeof(command), &error) != CAIRN_OK)
        report_end(server->drama->board, &error);
}

static struct shard_report hear(struct server *server, uint32_t shard)
{
    struct shard_report report;
    struct error error;

    if (actor_hear(server->shards[shard], &report, sizeof(report), &error) != CAIRN_OK)
        report_end(server->drama->board, &error);
    if (report.kind == SHARD_FAILED) {
        error_set(&error, CAIRN_IO, "shard %u: %s", shard, report.message);
        report_end(server->drama->board, &error);
    }
    return report;
}

/* A shard has made a step durable: the job's step is the one that all have. */
static void shard_has_committed(struct server *server, uint32_t shard, uint64_t step)
{
    struct board *board = server->drama->board;

    server->written[shard] = step;
    for (uint32_t i = 0; i < SHARDS; i++) {
        if (server->written[i] != step)
            return;
    }
    atomic_store(&board->committed, step);
    if (board->wanted && step >= board->wanted)
        sem_post(&board->news);
    for (uint32_t i = 0; i < SHARDS; i++)
        tell(server, i, (struct shard_command){.kind = SHARD_COMMAND_COMMITTED, .step = step});
}

static void server_start(struct server *server, struct shard_actor_params params[SHARDS], void *context)
{
    struct assignment *assignment = assign(server->drama);
    zmq_pollitem_t item = {NULL, 0, ZMQ_POLLIN, 0};
    struct error error;

    for (uint32_t i = 0; i < SHARDS; i++) {
        params[i].owner = (struct job_store_owner){server->drama->directory, "one", i};
        params[i].listen = "tcp://127.0.0.1:0";
        if (actor_start(context, "shard", shard_actor_run, &params[i], &server->shards[i], &error) !=
            CAIRN_OK)
            report_end(server->drama->board, &error);
        snprintf(server->drama->board->endpoints[i], SHARD_ENDPOINT_BYTES, "%s", params[i].bound);
        tell(server, i,
             (struct shard_command){.kind = SHARD_COMMAND_PREPARE,
                                    .assignment = assignment_ref(assignment),
                                    .step = server->drama->step});
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        item.socket = actor_pipe(server->shards[i]);
        while (zmq_poll(&item, 1, -1) <= 0)
            ;
        hear(server, i);
    }
    sem_post(&server->drama->board->serving);
}

static void server_live(struct drama *drama)
{
    struct server server = {.drama = drama};
    struct shard_actor_params params[SHARDS];
    zmq_pollitem_t items[SHARDS];

    memset(params, 0, sizeof(params));
    server_start(&server, params, zmq_ctx_new());
    for (uint32_t i = 0; i < SHARDS; i++)
        items[i] = (zmq_pollitem_t){actor_pipe(server.shards[i]), 0, ZMQ_POLLIN, 0};
    for (;;) {
        if (zmq_poll(items, SHARDS, -1) <= 0)
            continue;
        for (uint32_t i = 0; i < SHARDS; i++) {
            if (items[i].revents)
                shard_has_committed(&server, i, hear(&server, i).step);
        }
    }
}

/* ---- the clients' process */

struct puller {
    struct session *session;
    struct buffer *gradients; /* of the step that it pushes next */
    uint64_t version;         /* that it waits for */
    uint32_t left;            /* chunks of it that have not come */
};

static void on_values(void *context, uint32_t table, uint32_t chunk, uint64_t version, const void *values,
                      size_t elements)
{
    struct puller *client = context;

    (void)table, (void)chunk, (void)values, (void)elements;
    client->left -= version == client->version;
}

static void clients_connect(struct drama *drama, const struct assignment *assignment,
                            struct puller clients[CLIENTS])
{
    const struct graph *graph = assignment->job->graph;
    const struct session_table weights =
        session_dense_table(graph->floats, graph->chunk_floats, graph->chunk_count);
    const char *endpoints[SHARDS];
    struct session_params params = {.job = RIG_JOB,
                                    .incarnation = drama->incarnation,
                                    .shard_count = SHARDS,
                                    .endpoints = endpoints,
                                    .slot_count = assignment->map->slot_count,
                                    .slot_shards = assignment->map->slot_shards,
                                    .table_count = 1,
                                    .tables = &weights};
    void *context = zmq_ctx_new();
    struct error error;

    for (uint32_t i = 0; i < SHARDS; i++)
        endpoints[i] = drama->board->endpoints[i];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct session_events events = {.values = on_values, .context = &clients[i]};

        if (session_new(context, &params, &events, &clients[i].session, &error) != CAIRN_OK)
            report_end(drama->board, &error);
    }
}

/* Makes the client's part of a step's gradients. */
static void puller_prepare(struct drama *drama, const struct graph *graph, struct puller *client,
                           struct tree_node node, uint64_t step)
{
    struct error error = {.status = CAIRN_NO_MEMORY, .message = "out of memory"};

    client->gradients = buffer_new(graph->floats * sizeof(float));
    if (!client->gradients)
        report_end(drama->board, &error);
    rig_node_sum(step, node, 0, client->gradients->data, graph->floats);
}

/* Pushes them and asks for what becomes of them. */
static void puller_push(struct drama *drama, const struct graph *graph, struct puller *client,
                        struct tree_node node, uint64_t step)
{
    struct session_push push = {.table = TABLE_WEIGHTS,
                                .step = step,
                                .node = node,
                                .samples = rig_samples(node),
                                .chunk_count = graph->chunk_count,
                                .buffer = client->gradients,
                                .subscribe = true};
    struct error error;

    client->version = step + 1;
    client->left = graph->chunk_count;
    if (session_push(client->session, &push, &error) != CAIRN_OK)
        report_end(drama->board, &error);
    buffer_unref(client->gradients);
}

/* Waits for what the client has asked for. */
static void puller_wait(struct drama *drama, struct puller *client)
{
    zmq_pollitem_t items[2 * SHARDS];
    size_t count;
    void *const *sockets = session_sockets(client->session, &count);
    struct error error;

    for (size_t i = 0; i < count; i++)
        items[i] = (zmq_pollitem_t){sockets[i], 0, ZMQ_POLLIN, 0};
    while (client->left > 0) {
        zmq_poll(items, (int)count, -1);
        if (session_poll(client->session, &error) != CAIRN_OK)
            report_end(drama->board, &error);
    }
}

static void clients_live(struct drama *drama)
{
    struct assignment *assignment = assign(drama);
    const struct graph *graph = assignment->job->graph;
    struct puller clients[CLIENTS];

    memset(clients, 0, sizeof(clients));
    while (sem_wait(&drama->board->serving) != 0)
        ;
    clients_connect(drama, assignment, clients);
    for (uint32_t i = 0; i < CLIENTS; i++)
        puller_prepare(drama, graph, &clients[i], client_nodes[i], drama->step);
    for (uint64_t step = drama->step;; step++) {
        for (uint32_t i = 0; i < CLIENTS; i++)
            puller_push(drama, graph, &clients[i], client_nodes[i], step);
        for (uint32_t i = 0; i < CLIENTS; i++) /* so that one step follows close upon the other */
            puller_prepare(drama, graph, &clients[i], client_nodes[i], step + 1);
        for (uint32_t i = 0; i < CLIENTS; i++)
            puller_wait(drama, &clients[i]);
        atomic_store(&drama->board->served, step + 1);
    }
}

/* ---- the judge */

/* Whether a chunk has a record of a step that never became the job's. */
static bool chunk_is_ahead(const struct drama *drama, struct store_transaction *transaction, uint32_t chunk)
{
    bool is_ahead = false;

    for (uint32_t place = 0; place < RECORD_PLACES; place++) {
        uint64_t step;

        if (record_tag(transaction, TABLE_WEIGHTS, chunk, place, &step))
            is_ahead = is_ahead || step > drama->step;
    }
    return is_ahead;
}

/* A chunk's record of the committed step is the reference's, in weights and slots. */
static void judge_chunk(const struct drama *drama, struct store_transaction *transaction, uint32_t chunk)
{
    const struct reference *reference = drama->reference;
    struct record record;
    struct error error;
    uint64_t begin, end;

    ck_assert_msg(record_find(transaction, TABLE_WEIGHTS, chunk, drama->step, &record, &error) == CAIRN_OK,
                  "%s", error.message);
    graph_chunk(reference->job->graph, chunk, &begin, &end);
    ck_assert_uint_eq(record.array_bytes, (end - begin) * sizeof(float));
    ck_assert_msg(memcmp(record.values[0], reference->weights + begin, record.array_bytes) == 0,
                  "the weights of chunk %u are not of step %" PRIu64, chunk, drama->step);
    ck_assert_uint_ge(record.arrays, 2);
    for (uint32_t i = 1; i < record.arrays; i++)
        ck_assert_msg(memcmp(record.values[i], reference->slots[i - 1] + begin, record.array_bytes) == 0,
                      "slot %u of chunk %u is not of step %" PRIu64, i, chunk, drama->step);
}

/* All that is on disk of the job's committed step is the undisturbed run's. */
static void judge(struct drama *drama, const struct assignment *assignment)
{
    const struct slot_map *map = assignment->map;
    uint64_t committed = atomic_load(&drama->board->committed);

    ck_assert_uint_ge(committed, drama->step);
    drama->step = committed;
    drama->is_ahead = false;
    while (drama->reference->version < committed)
        reference_step(drama->reference);
    for (uint32_t shard = 0; shard < SHARDS && committed > 0; shard++) {
        const struct job_store_owner owner = {drama->directory, "one", shard};
        struct store_transaction *transaction;
        struct store *store;
        struct error error;

        ck_assert_msg(job_store_resume(&owner, assignment, 0, &store, &error) == CAIRN_OK, "%s",
                      error.message);
        ck_assert_int_eq(store_begin_read(store, &transaction, &error), CAIRN_OK);
        for (uint32_t chunk = 0; chunk < assignment->job->graph->chunk_count; chunk++) {
            if (slot_map_head(map, placement_slot(TABLE_WEIGHTS, chunk, map->slot_count)) != shard)
                continue;
            judge_chunk(drama, transaction, chunk);
            drama->is_ahead = drama->is_ahead || chunk_is_ahead(drama, transaction, chunk);
        }
        store_abort(transaction);
        store_close(store);
    }
}

/* ---- lives */

static pid_t process_start(struct drama *drama, void (*live)(struct drama *))
{
    pid_t process = fork();

    ck_assert_int_ge(process, 0);
    if (process == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        live(drama);
        _exit(EXIT_FAILURE);
    }
    return process;
}

/* Waits for news, at most so long; whether there were any. */
static bool await_news(struct board *board, uint64_t wait_us)
{
    struct timespec deadline;
    int result;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_nsec += (long)(wait_us % 1000000) * 1000;
    deadline.tv_sec += (time_t)(wait_us / 1000000) + deadline.tv_nsec / 1000000000;
    deadline.tv_nsec %= 1000000000;
    while ((result = sem_timedwait(&board->news, &deadline)) != 0 && errno == EINTR)
        ;
    return result == 0;
}

static void kill_now(pid_t process)
{
    int result;

    ck_assert_int_eq(kill(process, SIGKILL), 0);
    ck_assert_int_eq(waitpid(process, &result, 0), process);
    ck_assert_msg(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL, "a process ended by itself: %x",
                  result);
}

/* One life from the committed step on. wanted 0: it is killed at a random moment, else when that step is
 * committed. */
static void live(struct drama *drama, uint64_t wanted)
{
    struct board *board = drama->board;
    uint64_t wait_us = wanted ? PATIENCE_MS * 1000 : draw(drama, (1 + draw(drama, LONGEST_MS)) * 1000);
    struct assignment *assignment;
    pid_t server, clients;
    bool has_news;
    int result;

    drama->incarnation++;
    drama->commit_every = 1 + draw(drama, 3);
    board->wanted = wanted;
    atomic_store(&board->is_ending, false);
    ck_assert_int_eq(sem_init(&board->serving, 1, 0), 0);
    ck_assert_int_eq(sem_init(&board->news, 1, 0), 0);
    server = process_start(drama, server_live);
    clients = process_start(drama, clients_live);
    has_news = await_news(board, wait_us);
    atomic_store(&board->is_ending, true);
    ck_assert_msg(board->failure.status == CAIRN_OK, "%s", board->failure.message);
    ck_assert_int_eq(has_news, wanted > 0);
    kill_now(server);
    kill(clients, SIGKILL);
    ck_assert_int_eq(waitpid(clients, &result, 0), clients);
    ck_assert_msg(board->failure.status == CAIRN_OK, "%s", board->failure.message);
    assignment = assign(drama);
    judge(drama, assignment);
    assignment_unref(assignment);
}

static void drama_init(struct drama *drama, const char *optimizer)
{
    memset(drama, 0, sizeof(*drama));
    drama->board =
        mmap(NULL, sizeof(*drama->board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(drama->board, MAP_FAILED);
    folder_make(drama->directory);
    drama->optimizer = optimizer;
    drama->commit_every = 1;
    drama->chance = options.seed * UINT64_C(0x9e3779b97f4a7c15) + 88172645463325252u;
    drama->assignment = assign(drama);
    drama->reference = reference_new(drama->assignment->job);
}

START_TEST(no_committed_generation_is_lost)
{
    struct drama drama;
    uint64_t progress = 0, served = 0, ahead = 0;

    drama_init(&drama, _i ? RIG_ADAM : RIG_SGD);
    for (int i = 0; i < options.kills; i++) {
        uint64_t before = drama.step;

        atomic_store(&drama.board->served, 0);
        live(&drama, 0);
        progress += drama.step > before;
        ahead += drama.is_ahead;
        served += atomic_load(&drama.board->served) > 0;
    }
    live(&drama, drama.step + LAST_STEPS);
    printf("%s: %d kills, %" PRIu64 " while clients trained, %" PRIu64 " after a commit, %" PRIu64
           " when a shard was ahead of the job; step %" PRIu64 "\n",
           drama.optimizer, options.kills, served, progress, ahead, drama.step);
    reference_free(drama.reference);
    assignment_unref(drama.assignment);
    munmap(drama.board, sizeof(*drama.board));
    folder_remove(drama.directory);
}
END_TEST

/* ---- the program */

int main(int count, char **arguments)
{
    struct kill_program program = {"durability",
                                   no_committed_generation_is_lost,
                                   2,
                                   "half of them of each optimizer",
                                   60,
                                   5.0,
                                   &options.kills,
                                   &options.seed};

    return kill_main(count, arguments, &program);
}
