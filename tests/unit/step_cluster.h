/* Step threads of several workers against real shard threads, in one process, and a coordinator's part played
 * by the test. Workers may come, go and be stopped at any moment. Test code only. */
#ifndef CAIRN_TESTS_STEP_CLUSTER_H
#define CAIRN_TESTS_STEP_CLUSTER_H

#include "assignment.h"
#include "check_main.h"
#include "compute/compute.h"
#include "shard.h"
#include "shard_actor.h"
#include "step.h"
#include "worker_fixture.h"

#include <stdlib.h>
#include <zmq.h>

#define NODES_MAX   8
#define DEADLINE_MS 60000

static inline enum status make_ref(unsigned threads, struct backend **out, struct error *error)
{
    (void)threads;
    return backend_ref_new(out, error);
}

/* What a worker has said so far. */
struct heard {
    uint64_t prepared, progressed, validated, reached, failed, troubles, not_finite; /* counts */
    uint64_t backup_microbatches;                                                    /* all that it told of */
    struct step_report last_trouble, prepared_report, last_progress, last_validation, end;
};

struct cluster {
    struct fixture fixture;
    void *context;
    uint32_t shard_count, worker_count;
    struct actor *shards[NODES_MAX];
    struct shard_actor_params shard_params[NODES_MAX];
    char endpoints[NODES_MAX][SHARD_ENDPOINT_BYTES];
    struct actor *workers[NODES_MAX];
    uint32_t patience_ms; /* of workers that are started from now on; 0: as ever */
    struct heard heard[NODES_MAX];
    char names[NODES_MAX][24];
    Cairn__PrepareCommand prepare, prepares[NODES_MAX]; /* the newest; as each worker was told */
    Cairn__JobText text;
    Cairn__Shard shard_messages[NODES_MAX], *shard_pointers[NODES_MAX];
    uint32_t slot_shards[PLACEMENT_SLOTS_MIN];
    Cairn__EpochCommand epoch;
    uint64_t epoch_number;
    char *worker_names[NODES_MAX];
    Cairn__Span spans[NODES_MAX], *span_pointers[NODES_MAX];
};

/* ---- shards */

static inline void start_shard(struct cluster *cluster, uint32_t index)
{
    static const char anywhere[SHARD_ENDPOINT_BYTES] = "tcp://127.0.0.1:*";
    struct shard_actor_params *params = &cluster->shard_params[index];
    struct error error = {.message = ""};

    params->owner = (struct job_store_owner){
        .data_directory = cluster->fixture.folder, .server = "server", .shard = index};
    memcpy(cluster->endpoints[index], params->bound[0] ? params->bound : anywhere, SHARD_ENDPOINT_BYTES);
    params->listen = cluster->endpoints[index]; /* a shard that is started again is where it was */
    ck_assert_msg(actor_start(cluster->context, "shard", shard_actor_run, params, &cluster->shards[index],
                              &error) == CAIRN_OK,
                  "%s", error.message);
}

/* Where the job lies: once, since workers read it from then on. */
static inline void describe_places(struct cluster *cluster)
{
    cairn__prepare_command__init(&cluster->prepare);
    cairn__job_text__init(&cluster->text);
    cluster->text.text = cluster->fixture.text;
    cluster->text.file_name = "job.yaml";
    cluster->text.base_directory = cluster->fixture.folder;
    for (uint32_t i = 0; i < cluster->shard_count; i++) {
        cairn__shard__init(&cluster->shard_messages[i]);
        cluster->shard_messages[i].server = "server";
        cluster->shard_messages[i].index = i;
        cluster->shard_messages[i].endpoint = cluster->shard_params[i].bound;
        cluster->shard_pointers[i] = &cluster->shard_messages[i];
    }
    placement_assign(cluster->slot_shards, PLACEMENT_SLOTS_MIN, cluster->shard_count);
    cluster->prepare.job = 1;
    cluster->prepare.job_id = "small-1";
    cluster->prepare.text = &cluster->text;
    cluster->prepare.n_shards = cluster->shard_count;
    cluster->prepare.shards = cluster->shard_pointers;
    cluster->prepare.n_slot_shards = PLACEMENT_SLOTS_MIN;
    cluster->prepare.slot_shards = cluster->slot_shards;
}

static inline void make_prepare(struct cluster *cluster, uint64_t incarnation, uint64_t step)
{
    if (cluster->prepare.n_shards == 0)
        describe_places(cluster);
    cluster->prepare.incarnation = incarnation;
    cluster->prepare.step = step;
}

/* Waits for a report of a shard. */
static inline void hear_shard(struct cluster *cluster, uint32_t index, enum shard_report_kind kind)
{
    zmq_pollitem_t item = {.socket = actor_pipe(cluster->shards[index]), .events = ZMQ_POLLIN};
    struct shard_report report;

    ck_assert_int_eq(zmq_poll(&item, 1, DEADLINE_MS), 1);
    ck_assert_int_eq(actor_hear(cluster->shards[index], &report, sizeof(report), NULL), CAIRN_OK);
    ck_assert_msg(report.kind == kind, "%s", report.message);
}

static inline void prepare_shards(struct cluster *cluster)
{
    struct assignment *assignment = NULL;
    struct error error = {.message = ""};

    ck_assert_msg(assignment_new(&cluster->prepare, "server", cluster->shard_count, &assignment, &error) ==
                      CAIRN_OK,
                  "%s", error.message);
    for (uint32_t i = 0; i < cluster->shard_count; i++) {
        struct shard_command command = {.kind = SHARD_COMMAND_PREPARE,
                                        .assignment = assignment_ref(assignment),
                                        .job = 1,
                                        .incarnation = cluster->prepare.incarnation,
                                        .step = cluster->prepare.step};

        ck_assert_int_eq(actor_tell(cluster->shards[i], &command, sizeof(command), NULL), CAIRN_OK);
        hear_shard(cluster, i, SHARD_PREPARED);
    }
    assignment_unref(assignment);
}

/* ---- workers */

static inline void start_worker(struct cluster *cluster, uint32_t index, uint32_t lanes, backend_maker *make)
{
    struct step_params params = {.prepare = &cluster->prepares[index],
                                 .worker_name = cluster->names[index],
                                 .lane_count = lanes,
                                 .make_backend = make,
                                 .patience_ms = cluster->patience_ms};

    cluster->prepares[index] = cluster->prepare;
    memset(&cluster->heard[index], 0, sizeof(cluster->heard[index]));
    snprintf(cluster->names[index], sizeof(cluster->names[index]), "worker-%u", index);
    ck_assert_int_eq(step_start(cluster->context, &params, &cluster->workers[index], NULL), CAIRN_OK);
}

static inline void start_workers(struct cluster *cluster, uint32_t count, uint32_t lanes, backend_maker *make)
{
    cluster->worker_count = count;
    for (uint32_t i = 0; i < count; i++)
        start_worker(cluster, i, lanes, make);
}

static inline void stop_worker(struct cluster *cluster, uint32_t index)
{
    actor_stop(cluster->workers[index]);
    cluster->workers[index] = NULL;
}

static inline void stop_workers(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->worker_count; i++)
        stop_worker(cluster, i);
    cluster->worker_count = 0;
}

static inline void keep_report(struct heard *heard, const struct step_report *report)
{
    switch (report->kind) {
    case STEP_TROUBLE:
        heard->troubles++;
        heard->last_trouble = *report;
        break;
    case STEP_NOT_FINITE:
        heard->not_finite++;
        heard->end = *report;
        break;
    case STEP_ENDED:
        break;
    case STEP_PREPARED:
        heard->prepared++;
        heard->prepared_report = *report;
        break;
    case STEP_PROGRESS:
        heard->progressed++;
        heard->backup_microbatches += report->figures.backup_microbatches;
        heard->last_progress = *report;
        break;
    case STEP_VALIDATED:
        heard->validated++;
        heard->last_validation = *report;
        break;
    case STEP_REACHED:
        heard->reached++;
        heard->end = *report;
        break;
    case STEP_FAILED:
        heard->failed++;
        heard->end = *report;
        break;
    }
}

/* Takes at most one report of each worker; false: there was none within timeout_ms. */
static inline bool hear_for(struct cluster *cluster, long timeout_ms)
{
    zmq_pollitem_t items[NODES_MAX];
    struct step_report report;
    int count = 0;

    for (uint32_t i = 0; i < cluster->worker_count; i++) {
        if (cluster->workers[i])
            items[count++] =
                (zmq_pollitem_t){.socket = actor_pipe(cluster->workers[i]), .events = ZMQ_POLLIN};
    }
    if (zmq_poll(items, count, timeout_ms) <= 0)
        return false;
    for (uint32_t i = 0; i < cluster->worker_count; i++) {
        if (cluster->workers[i] && actor_hear(cluster->workers[i], &report, sizeof(report), NULL) == CAIRN_OK)
            keep_report(&cluster->heard[i], &report);
    }
    return true;
}

/* Takes one more report of any worker. */
static inline void hear(struct cluster *cluster)
{
    ck_assert_msg(hear_for(cluster, DEADLINE_MS), "the workers say nothing");
}

static inline bool all_prepared(const struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->worker_count; i++) {
        if (cluster->heard[i].prepared + cluster->heard[i].failed == 0)
            return false;
    }
    return true;
}

static inline bool all_ended(const struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->worker_count; i++) {
        const struct heard *heard = &cluster->heard[i];

        if (heard->reached + heard->failed + heard->not_finite == 0)
            return false;
    }
    return true;
}

static inline void tell(struct cluster *cluster, uint32_t worker, enum step_command_kind kind)
{
    static struct step_command command;

    memset(&command, 0, sizeof(command));
    command.kind = kind;
    if (kind == STEP_ORDERS)
        ck_assert_int_eq(orders_of(&cluster->epoch, cluster->names[worker], &command.orders, NULL), CAIRN_OK);
    ck_assert_int_eq(actor_tell(cluster->workers[worker], &command, sizeof(command), NULL), CAIRN_OK);
}

static inline void make_epoch(struct cluster *cluster, uint64_t first_step, uint64_t final_step,
                              const char *output)
{
    cairn__epoch_command__init(&cluster->epoch);
    cluster->epoch.job = 1;
    cluster->epoch.number = ++cluster->epoch_number;
    cluster->epoch.first_step = first_step;
    cluster->epoch.final_step = final_step;
    cluster->epoch.output = (char *)output;
    cluster->epoch.n_workers = cluster->epoch.n_spans = cluster->worker_count;
    cluster->epoch.workers = cluster->worker_names;
    cluster->epoch.spans = cluster->span_pointers;
    for (uint32_t i = 0; i < cluster->worker_count; i++) {
        cairn__span__init(&cluster->spans[i]);
        placement_span(FIXTURE_MICROBATCHES, cluster->worker_count, i, &cluster->spans[i].begin,
                       &cluster->spans[i].end);
        cluster->span_pointers[i] = &cluster->spans[i];
        cluster->worker_names[i] = cluster->names[i];
    }
}

static inline void begin_epoch(struct cluster *cluster, uint64_t first_step, uint64_t final_step,
                               const char *output)
{
    make_epoch(cluster, first_step, final_step, output);
    while (!all_prepared(cluster))
        hear(cluster);
    for (uint32_t i = 0; i < cluster->worker_count; i++)
        tell(cluster, i, STEP_ORDERS);
}

/* ---- clusters */

/* The length of the training, which the fixture's job has in training epochs. */
static inline void set_steps(struct cluster *cluster, unsigned steps)
{
    char *place = strstr(cluster->fixture.text, "epochs: 2\n"), text[16];

    if (!place)
        place = strstr(cluster->fixture.text, "steps: ");
    ck_assert_ptr_nonnull(place);
    snprintf(text, sizeof(text), "steps: %2u\n", steps);
    memcpy(place, text, strlen("epochs: 2\n"));
}

static inline void cluster_open(struct cluster *cluster, uint32_t shards, const char *optimizer,
                                const char *more)
{
    memset(cluster, 0, sizeof(*cluster));
    fixture_make(&cluster->fixture, optimizer, more);
    cluster->context = zmq_ctx_new();
    cluster->shard_count = shards;
    for (uint32_t i = 0; i < shards; i++)
        start_shard(cluster, i);
    make_prepare(cluster, 1, 0);
    prepare_shards(cluster);
}

static inline void cluster_close(struct cluster *cluster)
{
    stop_workers(cluster);
    for (uint32_t i = 0; i < cluster->shard_count; i++)
        actor_stop(cluster->shards[i]);
    zmq_ctx_term(cluster->context);
    fixture_remove(&cluster->fixture);
}

static inline void expect_end(const struct cluster *cluster, uint64_t step)
{
    for (uint32_t i = 0; i < cluster->worker_count; i++) {
        const struct heard *heard = &cluster->heard[i];

        ck_assert_msg(heard->reached == 1, "%s", heard->end.message);
        ck_assert_uint_eq(heard->end.figures.step, step);
        ck_assert_str_eq(heard->end.model_hash, cluster->heard[0].end.model_hash);
    }
}

static inline void train(struct cluster *cluster, uint64_t first_step, uint64_t final_step,
                         const char *output)
{
    begin_epoch(cluster, first_step, final_step, output);
    while (!all_ended(cluster))
        hear(cluster);
}

static inline void tell_shards(struct cluster *cluster, enum shard_command_kind kind, uint64_t step)
{
    const struct shard_command command = {
        .kind = kind, .job = 1, .incarnation = cluster->prepare.incarnation, .step = step};

    for (uint32_t i = 0; i < cluster->shard_count; i++)
        ck_assert_int_eq(actor_tell(cluster->shards[i], &command, sizeof(command), NULL), CAIRN_OK);
}

/* Makes a version durable, as at the end of a job. */
static inline void commit_shards(struct cluster *cluster, uint64_t step)
{
    tell_shards(cluster, SHARD_COMMAND_COMMIT, step);
    for (uint32_t i = 0; i < cluster->shard_count; i++)
        hear_shard(cluster, i, SHARD_COMMITTED);
    tell_shards(cluster, SHARD_COMMAND_COMMITTED, step);
}

#endif
