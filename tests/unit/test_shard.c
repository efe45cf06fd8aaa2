/* The shard's rules, without sockets: random schedules end in the reference's bits; every message out of turn
 * gets the answer that the rules give it. */
#include "check_main.h"
#include "math/philox.h"
#include "shard_fixture.h"

static const struct tree_node first_half = {0, 2}, second_half = {2, 5};

/* ---- random schedules */

struct deck {
    struct philox philox;
    uint32_t drawn;
};

/* A number below bound. */
static uint32_t draw(struct deck *deck, uint32_t bound)
{
    uint32_t counter[4] = {deck->drawn++, 0, 0, 0}, words[4];

    philox_words(deck->philox, counter, words);
    return words[0] % bound;
}

struct push {
    uint32_t worker, chunk;
    struct tree_node node;
};

/* All pushes of a step by workers with random spans, some of them twice, in random order. */
static size_t shuffle_pushes(struct deck *deck, const struct rig *rig, struct push *pushes)
{
    uint32_t workers = 1 + draw(deck, 6);
    size_t count = 0;

    for (uint32_t worker = 0; worker < workers; worker++) {
        struct tree_node nodes[TREE_COVER_MAX];
        uint32_t lo, hi, covers;

        placement_span(RIG_MICROBATCHES, workers, worker, &lo, &hi);
        if (draw(deck, 4) == 0 && lo > 0)
            lo--; /* a microbatch that another worker computes as well */
        covers = tree_cover(RIG_MICROBATCHES, lo, hi, nodes);
        for (uint32_t i = 0; i < covers; i++) {
            for (uint32_t chunk = 0; chunk < rig->job->graph->chunk_count; chunk++) {
                uint32_t copies = draw(deck, 5) == 0 ? 2 : 1;

                while (copies-- > 0)
                    pushes[count++] = (struct push){worker, chunk, nodes[i]};
            }
        }
    }
    for (size_t i = count; i > 1; i--) {
        size_t other = draw(deck, (uint32_t)i);
        struct push swapped = pushes[i - 1];

        pushes[i - 1] = pushes[other];
        pushes[other] = swapped;
    }
    return count;
}

/* Every subscriber of the step got version step + 1 of each chunk that it subscribed to. */
static void check_answers(struct rig *rig, const struct reference *reference, const struct push *pushes,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char client[16];
        unsigned found = 0;

        snprintf(client, sizeof(client), "w%u", pushes[i].worker);
        for (size_t j = 0; j < rig->reply_count; j++) {
            const struct rig_reply *reply = &rig->replies[j];

            ck_assert_int_eq(reply->header.kind, DATA_VALUES);
            ck_assert_uint_eq(reply->header.step, reference->version);
            for (uint32_t k = 0; strcmp(reply->client, client) == 0 && k < reply->header.payload_count; k++) {
                if (reply->header.payloads[k].chunk != pushes[i].chunk)
                    continue;
                rig_assert_chunk(reference, pushes[i].chunk, reply->payloads[k]->data);
                found++;
            }
        }
        ck_assert_uint_ge(found, 1);
    }
}

START_TEST(random_schedules_give_the_references_bits)
{
    struct deck deck = {philox_for((uint64_t)_i, PHILOX_SYNTHETIC_DATA), 0};
    static const char *const optimizers[RIG_OPTIMIZER_COUNT] = RIG_OPTIMIZERS;
    struct rig *rig = rig_begin(optimizers[_i % RIG_OPTIMIZER_COUNT], 2);
    struct reference *reference = reference_new(rig->job);
    struct push *pushes = calloc(4096, sizeof(*pushes));

    for (uint64_t step = 0; step < 4; step++) {
        size_t count = shuffle_pushes(&deck, rig, pushes);

        for (size_t i = 0; i < count; i++) {
            char client[16];

            snprintf(client, sizeof(client), "w%u", pushes[i].worker);
            rig_push(rig, client, 1, step, pushes[i].node, pushes[i].chunk, true);
        }
        reference_step(reference);
        check_answers(rig, reference, pushes, count);
        rig_assert_weights(rig, 1, reference);
        if (rig->pending_count > 0 && draw(&deck, 2))
            rig_commit(rig, 1, rig->pending[0].generation->step);
    }
    free(pushes);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* ---- one message for several chunks */

START_TEST(chunks_that_come_together_leave_together)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct reference *reference = reference_new(rig->job);
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    struct buffer *payloads[2];
    uint32_t chunks[2] = {0, RIG_SHARDS}; /* both on shard 0 */

    header.node = rig_whole;
    header.samples = RIG_BATCH;
    header.subscribe = true;
    for (int i = 0; i < 2; i++) {
        payloads[i] = rig_node_buffer(rig, 0, rig_whole, chunks[i]);
        rig_add_chunk(rig, &header, chunks[i]);
    }
    for (int i = 0; i < 2; i++)
        rig_pull(rig, "idle", 1, 1, chunks[i], false);
    ck_assert_uint_eq(rig->reply_count, 0);
    rig_send(rig, 0, "busy", &header, payloads);
    reference_step(reference);
    ck_assert_uint_eq(rig->reply_count, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(rig->replies[i].client, i ? "busy" : "idle");
        ck_assert_uint_eq(rig->replies[i].header.payload_count, 2);
        for (int j = 0; j < 2; j++)
            rig_assert_chunk(reference, chunks[j], rig->replies[i].payloads[j]->data);
    }
    /* Both were sent from one buffer. */
    ck_assert_ptr_eq(rig->replies[0].payloads[0], rig->replies[1].payloads[0]);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* ---- versions */

START_TEST(a_resent_push_is_answered_and_changes_nothing)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct reference *reference = reference_new(rig->job);

    rig_push(rig, "a", 1, 0, first_half, 0, true);
    rig_push(rig, "a", 1, 0, first_half, 0, true);
    ck_assert_uint_eq(rig->reply_count, 0);
    rig_push(rig, "b", 1, 0, second_half, 0, true);
    reference_step(reference);
    ck_assert_uint_eq(rig->reply_count, 2); /* one each, although a subscribed twice */
    rig_forget_replies(rig);
    rig_push(rig, "b", 1, 0, second_half, 0, true);
    rig_assert_chunk(reference, 0, rig_values(rig, "b", 1, 0));
    rig_forget_replies(rig);
    rig_push(rig, "b", 1, 0, second_half, 0, false);
    ck_assert_uint_eq(rig->reply_count, 0);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(two_versions_are_kept)
{
    struct rig *rig = rig_begin(RIG_ADAM, 100);
    struct reference *reference = reference_new(rig->job), *older = reference_new(rig->job);

    for (uint64_t step = 0; step < 3; step++) {
        rig_step(rig, 1, step);
        reference_step(reference);
        if (step < 2)
            reference_step(older);
    }
    rig_pull(rig, "c", 1, 3, 1, false);
    rig_assert_chunk(reference, 1, rig_values(rig, "c", 3, 1));
    rig_forget_replies(rig);
    rig_pull(rig, "c", 1, 2, 1, false);
    rig_assert_chunk(older, 1, rig_values(rig, "c", 2, 1));
    rig_forget_replies(rig);
    rig_pull(rig, "c", 1, 1, 1, false);
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    rig_push(rig, "c", 1, 0, rig_whole, 1, true); /* version 1 is gone */
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    rig_push(rig, "c", 1, 1, rig_whole, 1, true); /* version 2 is there */
    rig_assert_chunk(older, 1, rig_values(rig, "c", 2, 1));
    reference_free(older);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* How clients that come to a running job find its step. */
START_TEST(the_newest_version_can_be_asked_for)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct reference *reference = reference_new(rig->job);
    struct data_header header = rig_header(DATA_PULL, 1, TABLE_WEIGHTS, 0);

    for (uint64_t step = 0; step < 2; step++) {
        rig_step(rig, 1, step);
        reference_step(reference);
    }
    rig_forget_replies(rig);
    header.newest = true;
    rig_add_chunk(rig, &header, 1);
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, 1), "c", &header, NULL);
    rig_assert_chunk(reference, 1, rig_values(rig, "c", 2, 1));
    rig_forget_replies(rig);
    header.acknowledge = true;
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, 1), "c", &header, NULL);
    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_int_eq(rig->replies[0].header.kind, DATA_APPLIED);
    ck_assert_uint_eq(rig->replies[0].header.step, 2);
    ck_assert_uint_eq(rig->replies[0].header.payloads[0].chunk, 1);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(the_future_waits_one_version_ahead)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct reference *reference = reference_new(rig->job);

    rig_pull(rig, "c", 1, 1, 2, false);
    ck_assert_uint_eq(rig->reply_count, 0);
    rig_pull(rig, "c", 1, 2, 2, false);
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    rig_push(rig, "c", 1, 1, rig_whole, 2, true);
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    rig_push(rig, "d", 1, 0, rig_whole, 2, false);
    reference_step(reference);
    rig_assert_chunk(reference, 2, rig_values(rig, "c", 1, 2));
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* ---- refusals */

/* Sends a push of one chunk after `change` has spoilt its header; it must be refused and change nothing. */
static void expect_refused_push(struct rig *rig, void (*change)(struct data_header *),
                                enum data_refused reason)
{
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    struct buffer *payload = rig_node_buffer(rig, 0, rig_whole, 0);

    header.node = rig_whole;
    header.samples = RIG_BATCH;
    header.subscribe = true;
    rig_add_chunk(rig, &header, 0);
    change(&header);
    buffer_ref(payload);
    rig_send(rig, 0, "c", &header, &payload);
    rig_expect_refusal(rig, reason);
    ck_assert(buffer_is_exclusive(payload));
    buffer_unref(payload);
}

static void other_job(struct data_header *header)
{
    header->job++;
}
static void older_incarnation(struct data_header *header)
{
    header->incarnation--;
}
static void newer_incarnation(struct data_header *header)
{
    header->incarnation++;
}
static void other_shards_chunk(struct data_header *header)
{
    header->payloads[0].chunk = 1;
}
static void far_chunk(struct data_header *header)
{
    header->payloads[0].chunk = UINT32_MAX;
}
static void far_table(struct data_header *header)
{
    header->table = 77;
}
static void other_shards_table(struct data_header *header)
{
    header->table = TABLE_METRICS; /* slot 1023: shard 0; validation: slot 1022, shard 2 */
    header->table = TABLE_VALIDATION;
}
static void other_length(struct data_header *header)
{
    header->payloads[0].length_bytes -= 4;
}
static void other_type(struct data_header *header)
{
    header->payloads[0].type = DATA_FLOAT64;
}
static void no_node(struct data_header *header)
{
    header->node = (struct tree_node){1, 3};
}
static void far_node(struct data_header *header)
{
    header->node = (struct tree_node){0, RIG_MICROBATCHES + 1};
}
static void too_many_samples(struct data_header *header)
{
    header->samples = RIG_BATCH + 1;
}
static void future_step(struct data_header *header)
{
    header->step = 1;
}
static void values_kind(struct data_header *header)
{
    header->kind = DATA_VALUES;
}

START_TEST(bad_pushes_are_refused)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct reference *reference = reference_new(rig->job);
    static const struct {
        void (*change)(struct data_header *);
        enum data_refused reason;
    } cases[] = {
        {other_job, DATA_REFUSED_UNKNOWN},          {older_incarnation, DATA_REFUSED_STALE},
        {newer_incarnation, DATA_REFUSED_STALE},    {other_shards_chunk, DATA_REFUSED_UNKNOWN},
        {far_chunk, DATA_REFUSED_UNKNOWN},          {far_table, DATA_REFUSED_UNKNOWN},
        {other_shards_table, DATA_REFUSED_UNKNOWN}, {other_length, DATA_REFUSED_MALFORMED},
        {other_type, DATA_REFUSED_MALFORMED},       {no_node, DATA_REFUSED_MALFORMED},
        {far_node, DATA_REFUSED_MALFORMED},         {too_many_samples, DATA_REFUSED_MALFORMED},
        {future_step, DATA_REFUSED_MALFORMED},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_refused_push(rig, cases[i].change, cases[i].reason);
    rig_assert_weights(rig, 1, reference);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(other_bad_messages_are_refused)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct data_header header = rig_header(DATA_PULL, 1, TABLE_WEIGHTS, 0);

    rig_add_chunk(rig, &header, 0);
    values_kind(&header);
    rig_send(rig, 0, "c", &header, NULL);
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    shard_refuse(rig->shards[0], "c", 1, "what is this");
    ck_assert_str_eq(rig->replies[0].header.message, "what is this");
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    rig_pull(rig, "c", 2, 0, 0, false);
    rig_expect_refusal(rig, DATA_REFUSED_STALE);
    header = rig_header(DATA_PULL, 1, TABLE_WEIGHTS, 0);
    rig_add_chunk(rig, &header, 1); /* on shard 1 */
    rig_send(rig, 0, "c", &header, NULL);
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    rig_free(rig);
}
END_TEST

START_TEST(a_message_takes_effect_as_a_whole_or_not)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct reference *reference = reference_new(rig->job);
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    struct buffer *payloads[2] = {rig_node_buffer(rig, 0, rig_whole, 0),
                                  rig_node_buffer(rig, 0, rig_whole, 1)};

    header.node = rig_whole;
    header.samples = RIG_BATCH;
    rig_add_chunk(rig, &header, 0);
    rig_add_chunk(rig, &header, 1); /* not on shard 0 */
    rig_send(rig, 0, "c", &header, payloads);
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    rig_assert_weights(rig, 1, reference);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* ---- metrics and validation */

static void push_sums(struct rig *rig, const char *client, uint32_t table, uint64_t step,
                      struct tree_node node, double value, bool subscribe)
{
    struct data_header header = rig_header(DATA_PUSH, 1, table, step);
    struct buffer *payload = buffer_new(RIG_METRICS * sizeof(double));

    ck_assert_ptr_nonnull(payload);
    for (int i = 0; i < RIG_METRICS; i++)
        ((double *)payload->data)[i] = value * (i + 1);
    header.node = node;
    header.samples = rig_samples(node) * 1000; /* validation's are no batch's */
    header.subscribe = subscribe;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_FLOAT64, RIG_METRICS * sizeof(double)};
    rig_send(rig, rig_owner(rig, table, 0), client, &header, &payload);
}

static void pull_sums(struct rig *rig, const char *client, uint32_t table, uint64_t version)
{
    struct data_header header = rig_header(DATA_PULL, 1, table, version);

    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_FLOAT64, 0};
    rig_send(rig, rig_owner(rig, table, 0), client, &header, NULL);
}

/* The only reply has these sums; forgets it. */
static void expect_sums(struct rig *rig, const char *client, uint32_t table, uint64_t version, double value)
{
    const double *values;

    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_int_eq(rig->replies[0].header.kind, DATA_VALUES);
    ck_assert_str_eq(rig->replies[0].client, client);
    ck_assert_uint_eq(rig->replies[0].header.table, table);
    ck_assert_uint_eq(rig->replies[0].header.step, version);
    values = rig->replies[0].payloads[0]->data;
    for (int i = 0; i < RIG_METRICS; i++)
        ck_assert_double_eq(values[i], value * (i + 1));
    rig_forget_replies(rig);
}

START_TEST(metrics_are_sums_of_each_step)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);

    pull_sums(rig, "idle", TABLE_METRICS, 0); /* there is none before the first step */
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    pull_sums(rig, "idle", TABLE_METRICS, 2);
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    for (uint64_t step = 0; step < 3; step++) {
        push_sums(rig, "a", TABLE_METRICS, step, first_half, 0.125 * (double)step, true);
        push_sums(rig, "b", TABLE_METRICS, step + 1, second_half, 1, false);
        rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
        push_sums(rig, "b", TABLE_METRICS, step, second_half, 1, false);
        expect_sums(rig, "a", TABLE_METRICS, step + 1, 0.125 * (double)step + 1);
    }
    pull_sums(rig, "c", TABLE_METRICS, 2);
    expect_sums(rig, "c", TABLE_METRICS, 2, 1.125);
    push_sums(rig, "c", TABLE_METRICS, 1, second_half, 5, true); /* late: dropped and answered */
    expect_sums(rig, "c", TABLE_METRICS, 2, 1.125);
    pull_sums(rig, "c", TABLE_METRICS, 1);
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    rig_free(rig);
}
END_TEST

START_TEST(validation_may_skip_steps)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);

    pull_sums(rig, "idle", TABLE_VALIDATION, 401);
    push_sums(rig, "a", TABLE_VALIDATION, 400, first_half, 1, true);
    push_sums(rig, "a", TABLE_VALIDATION, 500, first_half, 9, false); /* 400 is not done */
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    push_sums(rig, "b", TABLE_VALIDATION, 400, second_half, 2, false);
    ck_assert_uint_eq(rig->reply_count, 2);
    rig_forget_replies(rig);
    pull_sums(rig, "late", TABLE_VALIDATION, 401);
    expect_sums(rig, "late", TABLE_VALIDATION, 401, 3);
    pull_sums(rig, "lost", TABLE_VALIDATION, 600);
    push_sums(rig, "a", TABLE_VALIDATION, 800, rig_whole, 4, false);
    rig_expect_refusal(rig, DATA_REFUSED_PASSED); /* 600 was skipped */
    push_sums(rig, "a", TABLE_VALIDATION, 800, rig_whole, 4, true);
    expect_sums(rig, "a", TABLE_VALIDATION, 801, 4);
    pull_sums(rig, "late", TABLE_VALIDATION, 401);
    expect_sums(rig, "late", TABLE_VALIDATION, 401, 3);
    rig_free(rig);
}
END_TEST

/* Asks a table of sums which version is its newest; the only answer tells this one. */
static void expect_sums_at(struct rig *rig, uint32_t table, uint64_t version)
{
    struct data_header header = rig_header(DATA_PULL, 1, table, 0);

    header.newest = header.acknowledge = true;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){.chunk = 0, .type = DATA_FLOAT64};
    rig_forget_replies(rig);
    rig_send(rig, rig_owner(rig, table, 0), "c", &header, NULL);
    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_int_eq(rig->replies[0].header.kind, DATA_APPLIED);
    ck_assert_uint_eq(rig->replies[0].header.table, table);
    ck_assert_uint_eq(rig->replies[0].header.step, version);
    rig_forget_replies(rig);
}

/* How a worker that comes to a training finds the step that has not ended. */
START_TEST(the_newest_version_of_sums_is_told)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct data_header header = rig_header(DATA_PULL, 1, TABLE_METRICS, 0);

    expect_sums_at(rig, TABLE_METRICS, 0); /* where there is no version of them yet */
    push_sums(rig, "a", TABLE_METRICS, 0, rig_whole, 1, false);
    push_sums(rig, "a", TABLE_METRICS, 1, first_half, 1, false);
    expect_sums_at(rig, TABLE_METRICS, 1);
    expect_sums_at(rig, TABLE_VALIDATION, 0);
    push_sums(rig, "a", TABLE_VALIDATION, 400, first_half, 1, false);
    expect_sums_at(rig, TABLE_VALIDATION, 400); /* the step in hand */
    push_sums(rig, "a", TABLE_VALIDATION, 400, second_half, 1, false);
    expect_sums_at(rig, TABLE_VALIDATION, 401);
    header.newest = true; /* but not pulled */
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){.chunk = 0, .type = DATA_FLOAT64};
    rig_send(rig, rig_owner(rig, TABLE_METRICS, 0), "c", &header, NULL);
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    rig_free(rig);
}
END_TEST

/* ---- what comes twice */

/* A push of a node of one chunk by a worker, one element changed by `error`. */
static void push_wrong(struct rig *rig, uint64_t worker, uint64_t step, struct tree_node node, uint32_t chunk,
                       float error)
{
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, step);
    struct buffer *payload = rig_node_buffer(rig, step, node, chunk);

    ((float *)payload->data)[17] += error;
    header.node = node;
    header.samples = rig_samples(node);
    header.worker = worker;
    rig_add_chunk(rig, &header, chunk);
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, chunk), "w", &header, &payload);
}

/* The only report tells of this node. */
static void expect_divergence(struct rig *rig, uint64_t step, uint32_t table, uint32_t chunk,
                              struct tree_node node, uint64_t worker)
{
    const struct shard_report report = rig_expect_report(rig, SHARD_DIVERGED);

    ck_assert_uint_eq(rig->report_count, 0);
    ck_assert_uint_eq(report.job, RIG_JOB);
    ck_assert_uint_eq(report.incarnation, 1);
    ck_assert_uint_eq(report.step, step);
    ck_assert_uint_eq(report.divergence.table, table);
    ck_assert_uint_eq(report.divergence.chunk, chunk);
    ck_assert_uint_eq(report.divergence.node.begin, node.begin);
    ck_assert_uint_eq(report.divergence.node.end, node.end);
    ck_assert_uint_eq(report.divergence.worker, worker);
}

/* In each step a chunk of sixteen is compared; whatever differs, what came first counts. */
START_TEST(gradients_that_come_twice_are_compared)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct reference *reference = reference_new(rig->job);

    for (uint64_t step = 0; step < 17; step++) {
        bool is_compared = step % 16 == 0; /* of chunk 0 */

        push_wrong(rig, 1, step, first_half, 0, 0);
        push_wrong(rig, 2, step, first_half, 0, 0);
        ck_assert_uint_eq(rig->report_count, 0);
        push_wrong(rig, 3, step, first_half, 0, 1);
        if (is_compared)
            expect_divergence(rig, step, TABLE_WEIGHTS, 0, first_half, 3);
        push_wrong(rig, 1, step, second_half, 0, 0); /* the step ends */
        push_wrong(rig, 4, step, second_half, 0, 1);
        if (is_compared)
            expect_divergence(rig, step, TABLE_WEIGHTS, 0, second_half, 4);
        ck_assert_uint_eq(rig->report_count, 0);
        for (uint32_t chunk = 1; chunk < rig->job->graph->chunk_count; chunk++)
            rig_push(rig, "solo", 1, step, rig_whole, chunk, false);
        reference_step(reference);
    }
    push_wrong(rig, 5, 16, second_half, 0, 1); /* late by less than a step */
    expect_divergence(rig, 16, TABLE_WEIGHTS, 0, second_half, 5);
    rig_assert_weights(rig, 1, reference);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* Metrics in every step, but for who votes to stop. */
START_TEST(metrics_that_come_twice_are_compared)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_METRICS, 0);

    for (header.step = 0; header.step < 3; header.step++) {
        static const double values[][RIG_METRICS] = {{0, 1, 2, 3}, {1, 1, 2, 3}, {0, 1, 2.5, 3}};

        for (uint64_t i = 0; i < 3; i++) {
            struct buffer *payload = buffer_new(sizeof(values[i]));

            ck_assert_ptr_nonnull(payload);
            memcpy(payload->data, values[i], sizeof(values[i]));
            header.node = first_half;
            header.worker = i;
            header.payload_count = 1;
            header.payloads[0] = (struct data_payload){0, DATA_FLOAT64, sizeof(values[i])};
            ck_assert_uint_eq(rig->report_count, 0);
            rig_send(rig, rig_owner(rig, TABLE_METRICS, 0), "c", &header, &payload);
        }
        expect_divergence(rig, header.step, TABLE_METRICS, 0, first_half, 2);
        push_sums(rig, "a", TABLE_METRICS, header.step, second_half, 1, false);
    }
    push_sums(rig, "a", TABLE_VALIDATION, 8, first_half, 1, false);
    push_sums(rig, "a", TABLE_VALIDATION, 8, first_half, 1, false);
    ck_assert_uint_eq(rig->report_count, 0);
    push_sums(rig, "a", TABLE_VALIDATION, 8, first_half, 2, false);
    expect_divergence(rig, 8, TABLE_VALIDATION, 0, first_half, 0);
    rig_free(rig);
}
END_TEST

/* ---- release, replacement */

START_TEST(a_release_refuses_those_who_wait)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);

    rig_pull(rig, "c", 1, 1, 0, false);
    shard_release(rig->shards[0], RIG_JOB, 0); /* an older incarnation's */
    ck_assert_uint_eq(rig->reply_count, 0);
    shard_release(rig->shards[0], RIG_JOB, 1);
    rig_expect_refusal(rig, DATA_REFUSED_STALE);
    rig_pull(rig, "c", 1, 0, 0, false);
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    shard_release(rig->shards[0], RIG_JOB, 1);
    pull_sums(rig, "m", TABLE_METRICS, 1); /* on shard 0 as well */
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    pull_sums(rig, "m", TABLE_VALIDATION, 1); /* not on shard 0 */
    shard_prepare(rig->shards[rig_owner(rig, TABLE_VALIDATION, 0)], rig->assignment, 2, 0);
    rig_expect_refusal(rig, DATA_REFUSED_STALE);
    rig_free(rig);
}
END_TEST

START_TEST(a_new_incarnation_waits_for_the_old_ones_write)
{
    struct rig *rig = rig_begin(RIG_SGD, 2);
    struct reference *reference = reference_new(rig->job);

    rig_step(rig, 1, 0);
    rig_step(rig, 1, 1);
    rig_commit(rig, 1, 2);
    rig_step(rig, 1, 2);
    rig_step(rig, 1, 3);
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        shard_prepare(rig->shards[i], rig->assignment, 2, 2);
        shard_prepare(rig->shards[i], rig->assignment, 3, 2); /* and another, which counts */
        shard_release(rig->shards[i], RIG_JOB, 1);            /* late: not meant for it */
    }
    ck_assert_uint_eq(rig->report_count, 0);
    rig_write(rig);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        ck_assert_uint_eq(rig_expect_report(rig, SHARD_PREPARED).incarnation, 3);
    reference_step(reference);
    reference_step(reference);
    rig_assert_weights(rig, 3, reference);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(a_release_waits_for_the_write)
{
    struct rig *rig = rig_begin(RIG_SGD, 1);

    rig_step(rig, 1, 0);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_release(rig->shards[i], RIG_JOB, 1);
    rig_pull(rig, "c", 1, 0, 0, false);
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    rig_write(rig);
    ck_assert_uint_eq(rig->report_count, 0);
    rig_pull(rig, "c", 1, 1, 0, true); /* it is on disk all the same */
    ck_assert_ptr_nonnull(rig_values(rig, "c", 1, 0));
    rig_free(rig);
}
END_TEST

/* ---- clients */

START_TEST(more_clients_than_can_be_kept_are_passed_over)
{
    struct buffer *const none = NULL;
    struct rig *rig = rig_begin(RIG_SGD, 100);
    struct data_header header = rig_header(DATA_PULL, 1, TABLE_WEIGHTS, 1);
    struct buffer *payload = rig_node_buffer(rig, 0, rig_whole, 0);

    rig_add_chunk(rig, &header, 0);
    for (uint32_t i = 0; i < SUBSCRIBERS_MAX; i++)
        shard_handle(rig->shards[0], &i, sizeof(i), &header, &none);
    rig_send(rig, 0, "late", &header, NULL);
    shard_refuse(rig->shards[0], "late", 4, "what is this");
    header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    header.node = rig_whole;
    rig_add_chunk(rig, &header, 0);
    buffer_ref(payload);
    rig_send(rig, 0, "late", &header, &payload);
    ck_assert(buffer_is_exclusive(payload));
    buffer_unref(payload);
    ck_assert_uint_eq(rig->reply_count, 0);
    rig_free(rig);
}
END_TEST

START_TEST(what_the_shard_keeps_and_what_clients_lost)
{
    struct rig *rig = rig_begin(RIG_SGD, 1000);
    struct shard *shard = rig->shards[rig_owner(rig, TABLE_WEIGHTS, 0)];
    struct reply_subject subject = {RIG_JOB, 1, TABLE_WEIGHTS, 0, 5};

    for (uint64_t step = 0; step < 3; step++)
        rig_step(rig, 1, step);
    for (subject.version = 0; subject.version <= 4; subject.version++)
        ck_assert_int_eq(shard_keeps(shard, &subject, 0), subject.version == 2 || subject.version == 3);
    subject.version = 3;
    ck_assert(!shard_keeps(shard, &subject, 9999));
    subject.incarnation = 2;
    ck_assert(!shard_keeps(shard, &subject, 0));
    subject = (struct reply_subject){RIG_JOB + 1, 1, TABLE_WEIGHTS, 3, 5};
    ck_assert(!shard_keeps(shard, &subject, 0));
    subject = (struct reply_subject){RIG_JOB, 1, 77, 3, 5};
    ck_assert(!shard_keeps(shard, &subject, 0));
    rig_forget_replies(rig);
    subject = (struct reply_subject){RIG_JOB, 1, TABLE_WEIGHTS, 2, 5};
    shard_tell_loss(shard, "slow", 4, &subject);
    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_str_eq(rig->replies[0].client, "slow");
    ck_assert_uint_eq(rig->replies[0].header.step, 2);
    ck_assert_uint_eq(rig->replies[0].header.request, 5);
    rig_expect_refusal(rig, DATA_REFUSED_LOST);
    rig_free(rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard");
    TCase *tests = tcase_create("shard");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, random_schedules_give_the_references_bits, 0, RANDOM_CASES(60));
    tcase_add_test(tests, chunks_that_come_together_leave_together);
    tcase_add_test(tests, a_resent_push_is_answered_and_changes_nothing);
    tcase_add_test(tests, two_versions_are_kept);
    tcase_add_test(tests, the_future_waits_one_version_ahead);
    tcase_add_test(tests, the_newest_version_can_be_asked_for);
    tcase_add_test(tests, bad_pushes_are_refused);
    tcase_add_test(tests, other_bad_messages_are_refused);
    tcase_add_test(tests, a_message_takes_effect_as_a_whole_or_not);
    tcase_add_test(tests, metrics_are_sums_of_each_step);
    tcase_add_test(tests, validation_may_skip_steps);
    tcase_add_test(tests, the_newest_version_of_sums_is_told);
    tcase_add_test(tests, gradients_that_come_twice_are_compared);
    tcase_add_test(tests, metrics_that_come_twice_are_compared);
    tcase_add_test(tests, a_release_refuses_those_who_wait);
    tcase_add_test(tests, a_new_incarnation_waits_for_the_old_ones_write);
    tcase_add_test(tests, a_release_waits_for_the_write);
    tcase_add_test(tests, what_the_shard_keeps_and_what_clients_lost);
    tcase_add_test(tests, more_clients_than_can_be_kept_are_passed_over);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
