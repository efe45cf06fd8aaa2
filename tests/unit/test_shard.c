/* The shard's rules, without sockets: random schedules end in the reference's bits; every message out of turn
 * gets the answer that the rules give it; generations hold training back only as far as they must. */
#include "check_main.h"
#include "math/philox.h"
#include "shard_fixture.h"

#define SGD  "sgd: {learning_rate: 0.05, momentum: 0.9}"
#define ADAM "adam: {learning_rate: 0.01}"

static const struct tree_node whole = {0, RIG_MICROBATCHES};
static const struct tree_node first_half = {0, 2}, second_half = {2, 5};

static struct rig *begin(const char *optimizer, uint32_t commit_every)
{
    struct rig *rig = rig_new(optimizer, commit_every);

    rig_prepare(rig, 1, 0);
    return rig;
}

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
    struct rig *rig = begin(_i % 2 ? ADAM : SGD, 2);
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
    struct rig *rig = begin(SGD, 100);
    struct reference *reference = reference_new(rig->job);
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    struct buffer *payloads[2];
    uint32_t chunks[2] = {0, RIG_SHARDS}; /* both on shard 0 */

    header.node = whole;
    header.samples = RIG_BATCH;
    header.subscribe = true;
    for (int i = 0; i < 2; i++) {
        payloads[i] = rig_node_buffer(rig, 0, whole, chunks[i]);
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
    struct rig *rig = begin(SGD, 100);
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
    struct rig *rig = begin(ADAM, 100);
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
    rig_expect_refusal(rig, DATA_REFUSED_STALE);
    rig_push(rig, "c", 1, 0, whole, 1, true); /* version 1 is gone */
    rig_expect_refusal(rig, DATA_REFUSED_STALE);
    rig_push(rig, "c", 1, 1, whole, 1, true); /* version 2 is there */
    rig_assert_chunk(older, 1, rig_values(rig, "c", 2, 1));
    reference_free(older);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(the_future_waits_one_version_ahead)
{
    struct rig *rig = begin(SGD, 100);
    struct reference *reference = reference_new(rig->job);

    rig_pull(rig, "c", 1, 1, 2, false);
    ck_assert_uint_eq(rig->reply_count, 0);
    rig_pull(rig, "c", 1, 2, 2, false);
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    rig_push(rig, "c", 1, 1, whole, 2, true);
    rig_expect_refusal(rig, DATA_REFUSED_MALFORMED);
    rig_push(rig, "d", 1, 0, whole, 2, false);
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
    struct buffer *payload = rig_node_buffer(rig, 0, whole, 0);

    header.node = whole;
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
    struct rig *rig = begin(SGD, 100);
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
    struct rig *rig = begin(SGD, 100);
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
    struct rig *rig = begin(SGD, 100);
    struct reference *reference = reference_new(rig->job);
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    struct buffer *payloads[2] = {rig_node_buffer(rig, 0, whole, 0), rig_node_buffer(rig, 0, whole, 1)};

    header.node = whole;
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
    struct rig *rig = begin(SGD, 100);

    pull_sums(rig, "idle", TABLE_METRICS, 0); /* there is none before the first step */
    rig_expect_refusal(rig, DATA_REFUSED_STALE);
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
    rig_expect_refusal(rig, DATA_REFUSED_STALE);
    rig_free(rig);
}
END_TEST

START_TEST(validation_may_skip_steps)
{
    struct rig *rig = begin(SGD, 100);

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
    push_sums(rig, "a", TABLE_VALIDATION, 800, whole, 4, false);
    rig_expect_refusal(rig, DATA_REFUSED_STALE); /* 600 was skipped */
    push_sums(rig, "a", TABLE_VALIDATION, 800, whole, 4, true);
    expect_sums(rig, "a", TABLE_VALIDATION, 801, 4);
    pull_sums(rig, "late", TABLE_VALIDATION, 401);
    expect_sums(rig, "late", TABLE_VALIDATION, 401, 3);
    rig_free(rig);
}
END_TEST

/* ---- generations */

START_TEST(a_slow_writer_holds_training_back)
{
    struct rig *rig = begin(ADAM, 1);
    struct reference *reference = reference_new(rig->job);

    for (uint64_t step = 0; step < 3; step++)
        rig_step(rig, 1, step);
    reference_step(reference);
    reference_step(reference);
    rig_assert_weights(rig, 1, reference); /* version 2, the third is held back */
    rig_pull(rig, "c", 1, 3, 0, false);
    ck_assert_uint_eq(rig->reply_count, 0);
    rig_push(rig, "d", 1, 2, whole, 0, true); /* a resend while it is held back: dropped, waits */
    ck_assert_uint_eq(rig->reply_count, 0);
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS); /* generation 1 is written, but not the job's yet */
    ck_assert_uint_eq(rig->reply_count, 0);
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        ck_assert_uint_eq(rig_expect_report(rig, SHARD_COMMITTED).step, 1);
        shard_committed(rig->shards[i], RIG_JOB, 1, 1);
    }
    ck_assert_uint_eq(rig->reply_count, 2);
    ck_assert_uint_eq(rig->pending_count, RIG_SHARDS); /* generation 2 */
    reference_step(reference);
    rig_assert_weights(rig, 1, reference);
    rig_commit(rig, 1, 2);
    rig_commit(rig, 1, 3);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(a_commit_is_written_when_asked)
{
    struct rig *rig = begin(SGD, 100);

    rig_step(rig, 1, 0);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_commit(rig->shards[i], RIG_JOB, 1, 1);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_commit(rig->shards[i], RIG_JOB, 1, 1); /* again, while it is under way */
    rig_commit(rig, 1, 1);
    shard_commit(rig->shards[0], RIG_JOB, 1, 1); /* again, when it is done */
    ck_assert_uint_eq(rig_expect_report(rig, SHARD_COMMITTED).step, 1);
    shard_commit(rig->shards[0], RIG_JOB, 2, 1); /* another incarnation, another job: ignored */
    shard_commit(rig->shards[0], RIG_JOB + 1, 1, 1);
    ck_assert_uint_eq(rig->report_count, 0);
    shard_commit(rig->shards[0], RIG_JOB, 1, 5);
    rig_expect_report(rig, SHARD_FAILED);
    rig_free(rig);
}
END_TEST

START_TEST(an_asked_commit_waits_its_turn)
{
    struct rig *rig = begin(SGD, 2);

    for (uint64_t step = 0; step < 5; step++)
        rig_step(rig, 1, step);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_commit(rig->shards[i], RIG_JOB, 1, 5);
    rig_commit(rig, 1, 2);
    rig_commit(rig, 1, 4);
    rig_commit(rig, 1, 5);
    ck_assert_uint_eq(rig->pending_count, 0);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_committed(rig->shards[i], RIG_JOB, 1, 5); /* told twice */
    rig_free(rig);
}
END_TEST

START_TEST(a_failed_write_fails_the_job_and_holds_nobody_back)
{
    struct rig *rig = begin(SGD, 1);
    struct error error;
    uint32_t shard, chunk = 0;

    for (uint64_t step = 0; step < 3; step++)
        rig_step(rig, 1, step);
    shard = rig->pending[0].shard;
    while (rig_owner(rig, TABLE_WEIGHTS, chunk) != shard)
        chunk++;
    error_set(&error, CAIRN_FULL, "the disk is full");
    shard_written(rig->shards[shard], rig->pending[0].generation, CAIRN_FULL, &error);
    ck_assert_str_eq(rig_expect_report(rig, SHARD_FAILED).message, "the disk is full");
    rig_pull(rig, "c", 1, 3, chunk, false);
    ck_assert_ptr_nonnull(rig_values(rig, "c", 3, chunk));
    rig_forget_replies(rig);
    shard_commit(rig->shards[shard], RIG_JOB, 1, 3); /* reported once */
    ck_assert_uint_eq(rig->report_count, 0);
    rig_free(rig);
}
END_TEST

/* ---- resume */

START_TEST(a_resumed_run_ends_in_the_same_bits)
{
    struct rig *rig = begin(_i ? ADAM : SGD, 2);
    struct reference *reference = reference_new(rig->job);

    for (uint64_t step = 0; step < 4; step++) {
        rig_step(rig, 1, step);
        if (step % 2)
            rig_commit(rig, 1, step + 1);
    }
    for (uint64_t step = 4; step < 6; step++)
        rig_step(rig, 1, step);
    rig_write(rig); /* generation 6 is written, but never the job's */
    rig->report_count = 0;
    rig_stop_shards(rig);
    rig_start_shards(rig);
    rig_prepare(rig, 2, 4);
    for (uint64_t step = 4; step < 7; step++) {
        rig_step(rig, 2, step);
        if (step == 5)
            rig_commit(rig, 2, 6);
    }
    for (uint64_t step = 0; step < 7; step++)
        reference_step(reference);
    rig_assert_weights(rig, 2, reference);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* A generation of a rolled-back run must not crowd out the committed one. */
START_TEST(the_committed_generation_is_never_overwritten)
{
    struct rig *rig = begin(SGD, 4);
    struct reference *reference = reference_new(rig->job);
    struct error error;

    for (uint64_t step = 0; step < 8; step++) {
        rig_step(rig, 1, step);
        if (step == 3)
            rig_commit(rig, 1, 4);
    }
    rig_write(rig); /* 8, from a future that will not be */
    rig->report_count = 0;
    rig_prepare(rig, 2, 4);
    rig_step(rig, 2, 4);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_commit(rig->shards[i], RIG_JOB, 2, 5);
    for (size_t i = 0; i < rig->pending_count; i++)
        ck_assert_int_eq(generation_write(rig->pending[i].generation, &error), CAIRN_OK);
    rig->report_count = 0;
    rig_stop_shards(rig); /* before generation 5 became the job's */
    rig_start_shards(rig);
    rig_prepare(rig, 3, 4);
    for (uint64_t step = 0; step < 4; step++)
        reference_step(reference);
    rig_assert_weights(rig, 3, reference);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(states_that_do_not_fit_are_refused)
{
    struct rig *rig = begin(SGD, 2);
    struct assignment *changed = rig_assignment(rig_job_text(SGD, 2, 12), "fixture-7");
    struct assignment *renamed = rig_assignment(rig_job_text(SGD, 2, 11), "other-7");

    rig_step(rig, 1, 0);
    rig_step(rig, 1, 1);
    rig_commit(rig, 1, 2);
    shard_prepare(rig->shards[0], changed, 2, 2);
    ck_assert_ptr_nonnull(strstr(rig_expect_report(rig, SHARD_FAILED).message, "has changed"));
    shard_prepare(rig->shards[0], renamed, 2, 2);
    ck_assert_ptr_nonnull(strstr(rig_expect_report(rig, SHARD_FAILED).message, "other-7"));
    shard_prepare(rig->shards[0], rig->assignment, 2, 3);
    ck_assert_ptr_nonnull(strstr(rig_expect_report(rig, SHARD_FAILED).message, "step 3"));
    shard_prepare(rig->shards[0], rig->assignment, 2, 2); /* and the state is as it was */
    rig_expect_report(rig, SHARD_PREPARED);
    shard_prepare(rig->shards[0], rig->assignment, 1, 2);
    ck_assert_ptr_nonnull(strstr(rig_expect_report(rig, SHARD_FAILED).message, "incarnation 2"));
    assignment_unref(changed);
    assignment_unref(renamed);
    rig_free(rig);
}
END_TEST

START_TEST(a_job_that_never_was_cannot_go_on)
{
    struct rig *rig = rig_new(SGD, 2);

    shard_prepare(rig->shards[0], rig->assignment, 1, 2);
    rig_expect_report(rig, SHARD_FAILED);
    rig_free(rig);
}
END_TEST

START_TEST(beginning_anew_removes_old_state)
{
    struct rig *rig = begin(SGD, 2);
    struct reference *reference = reference_new(rig->job);

    rig_step(rig, 1, 0);
    rig_step(rig, 1, 1);
    rig_commit(rig, 1, 2);
    rig_prepare(rig, 2, 0);
    rig_assert_weights(rig, 2, reference);
    shard_prepare(rig->shards[0], rig->assignment, 3, 2);
    rig_expect_report(rig, SHARD_FAILED);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* ---- release, replacement */

START_TEST(a_release_refuses_those_who_wait)
{
    struct rig *rig = begin(SGD, 100);

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
    struct rig *rig = begin(SGD, 2);
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
    struct rig *rig = begin(SGD, 1);

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

/* ---- committed pulls */

START_TEST(committed_pulls_are_answered_from_disk)
{
    struct rig *rig = begin(ADAM, 2);
    struct reference *reference = reference_new(rig->job);

    for (uint64_t step = 0; step < 5; step++) {
        rig_step(rig, 1, step);
        if (step < 4)
            reference_step(reference);
        if (step % 2)
            rig_commit(rig, 1, step + 1);
    }
    for (int live = 1; live >= 0; live--) {
        for (uint32_t chunk = 0; chunk < rig->job->graph->chunk_count; chunk++) {
            rig_pull(rig, "c", 99, 4, chunk, true);
            rig_assert_chunk(reference, chunk, rig_values(rig, "c", 4, chunk));
            rig_forget_replies(rig);
        }
        rig_pull(rig, "c", 1, 2, 0, true);
        ck_assert_ptr_nonnull(rig_values(rig, "c", 2, 0));
        rig_forget_replies(rig);
        rig_pull(rig, "c", 1, 5, 0, true);
        rig_expect_refusal(rig, DATA_REFUSED_STALE);
        rig_stop_shards(rig); /* then by a server that was started again */
        rig_start_shards(rig);
    }
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(committed_pulls_that_cannot_be_answered_are_refused)
{
    struct rig *rig = rig_new(SGD, 2);
    struct data_header header = rig_header(DATA_PULL, 1, TABLE_METRICS, 2);

    rig_pull(rig, "c", 1, 2, 0, true); /* no such job */
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    header.committed = true;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_FLOAT64, 0};
    rig_send(rig, 0, "c", &header, NULL);
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    rig_free(rig);
}
END_TEST

START_TEST(an_archive_is_let_go_when_its_job_begins_again)
{
    struct rig *rig = begin(SGD, 1);

    rig_step(rig, 1, 0);
    rig_commit(rig, 1, 1);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_release(rig->shards[i], RIG_JOB, 1);
    rig_pull(rig, "c", 1, 1, 0, true);
    ck_assert_ptr_nonnull(rig_values(rig, "c", 1, 0));
    rig_forget_replies(rig);
    rig_prepare(rig, 2, 1);
    rig_pull(rig, "c", 2, 1, 0, false);
    ck_assert_ptr_nonnull(rig_values(rig, "c", 1, 0));
    rig_free(rig);
}
END_TEST

/* Opens shard 0's store of the job, puts a value under a key, closes it. The shards must be stopped. */
static void spoil(const struct rig *rig, const void *key, size_t key_bytes, const void *value,
                  size_t value_bytes)
{
    char path[128];
    struct store *store;
    struct store_transaction *transaction;
    struct error error;

    snprintf(path, sizeof(path), "%s/jobs/%d/shard-0", rig->directory, RIG_JOB);
    ck_assert_msg(store_open(path, 0, &store, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_int_eq(store_begin_write(store, &transaction, &error), CAIRN_OK);
    ck_assert_int_eq(store_put(transaction, key, key_bytes, value, value_bytes, &error), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, &error), CAIRN_OK);
    store_close(store);
}

static struct rig *begin_and_commit(void)
{
    struct rig *rig = begin(SGD, 1);

    rig_step(rig, 1, 0);
    rig_commit(rig, 1, 1);
    rig_stop_shards(rig);
    return rig;
}

START_TEST(a_spoilt_record_is_told)
{
    struct rig *rig = begin_and_commit();

    spoil(rig, "c\0\0\0\0\0\0", 7, "torn", 4);
    rig_start_shards(rig);
    rig_pull(rig, "c", 1, 1, 0, true);
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    shard_prepare(rig->shards[0], rig->assignment, 2, 1);
    ck_assert_ptr_nonnull(strstr(rig_expect_report(rig, SHARD_FAILED).message, "chunk 0"));
    rig_free(rig);
}
END_TEST

START_TEST(a_spoilt_store_is_told)
{
    static const struct {
        size_t bytes;
        const char *record, *words;
    } cases[] = {
        {2, "\xff\xff", "cannot be read"},          {2, "\x08\x63", "format 99"},
        {4, "\x08\x01\x10\x08", "of job 8"},        {4, "\x08\x01\x10\x07", "server"},
        {9, "\x08\x01\x10\x07\x2a\x03one", "job "},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig *rig = begin_and_commit();
        const char *message;

        spoil(rig, "shard", 5, cases[i].record, cases[i].bytes);
        rig_start_shards(rig);
        shard_prepare(rig->shards[0], rig->assignment, 2, 1);
        message = rig->reports[0].message;
        ck_assert_msg(strstr(message, cases[i].words) != NULL, "%s", message);
        rig_expect_report(rig, SHARD_FAILED);
        if (i < 4) {
            rig_pull(rig, "c", 1, 1, 0, true);
            rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
        }
        rig_free(rig);
    }
}
END_TEST

START_TEST(an_empty_store_holds_no_state)
{
    struct rig *rig = rig_new(SGD, 1);

    spoil(rig, "other", 5, "", 0);
    shard_prepare(rig->shards[0], rig->assignment, 1, 1);
    ck_assert_ptr_nonnull(strstr(rig_expect_report(rig, SHARD_FAILED).message, "no state"));
    rig_free(rig);
}
END_TEST

START_TEST(more_clients_than_can_be_kept_are_passed_over)
{
    struct rig *rig = begin(SGD, 100);
    struct data_header header = rig_header(DATA_PULL, 1, TABLE_WEIGHTS, 1);
    struct buffer *payload = rig_node_buffer(rig, 0, whole, 0);

    rig_add_chunk(rig, &header, 0);
    for (uint32_t i = 0; i < SUBSCRIBERS_MAX; i++)
        shard_handle(rig->shards[0], &i, sizeof(i), &header, NULL);
    rig_send(rig, 0, "late", &header, NULL);
    shard_refuse(rig->shards[0], "late", 4, "what is this");
    header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    header.node = whole;
    rig_add_chunk(rig, &header, 0);
    buffer_ref(payload);
    rig_send(rig, 0, "late", &header, &payload);
    ck_assert(buffer_is_exclusive(payload));
    buffer_unref(payload);
    ck_assert_uint_eq(rig->reply_count, 0);
    rig_free(rig);
}
END_TEST

static Suite *shard_suite(void)
{
    Suite *suite = suite_create("shard");
    TCase *tests = tcase_create("shard");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, random_schedules_give_the_references_bits, 0, 60);
    tcase_add_test(tests, chunks_that_come_together_leave_together);
    tcase_add_test(tests, a_resent_push_is_answered_and_changes_nothing);
    tcase_add_test(tests, two_versions_are_kept);
    tcase_add_test(tests, the_future_waits_one_version_ahead);
    tcase_add_test(tests, bad_pushes_are_refused);
    tcase_add_test(tests, other_bad_messages_are_refused);
    tcase_add_test(tests, a_message_takes_effect_as_a_whole_or_not);
    tcase_add_test(tests, metrics_are_sums_of_each_step);
    tcase_add_test(tests, validation_may_skip_steps);
    tcase_add_test(tests, a_slow_writer_holds_training_back);
    tcase_add_test(tests, a_commit_is_written_when_asked);
    tcase_add_test(tests, an_asked_commit_waits_its_turn);
    tcase_add_test(tests, a_failed_write_fails_the_job_and_holds_nobody_back);
    tcase_add_loop_test(tests, a_resumed_run_ends_in_the_same_bits, 0, 2);
    tcase_add_test(tests, the_committed_generation_is_never_overwritten);
    tcase_add_test(tests, states_that_do_not_fit_are_refused);
    tcase_add_test(tests, a_job_that_never_was_cannot_go_on);
    tcase_add_test(tests, beginning_anew_removes_old_state);
    tcase_add_test(tests, a_release_refuses_those_who_wait);
    tcase_add_test(tests, a_new_incarnation_waits_for_the_old_ones_write);
    tcase_add_test(tests, a_release_waits_for_the_write);
    tcase_add_test(tests, committed_pulls_are_answered_from_disk);
    tcase_add_test(tests, committed_pulls_that_cannot_be_answered_are_refused);
    tcase_add_test(tests, an_archive_is_let_go_when_its_job_begins_again);
    tcase_add_test(tests, a_spoilt_record_is_told);
    tcase_add_test(tests, a_spoilt_store_is_told);
    tcase_add_test(tests, an_empty_store_holds_no_state);
    tcase_add_test(tests, more_clients_than_can_be_kept_are_passed_over);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(shard_suite)
