/* What a shard has on disk: generations hold training back only as far as they must; a run goes on from one
 * in the same bits; what is damaged or another's is refused. */
#include "check_main.h"
#include "shard_fixture.h"

#include <sys/stat.h>

/* ---- generations */

START_TEST(a_slow_writer_holds_training_back)
{
    struct rig *rig = rig_begin(RIG_ADAM, 1);
    struct reference *reference = reference_new(rig->job);

    for (uint64_t step = 0; step < 3; step++)
        rig_step(rig, 1, step);
    reference_step(reference);
    reference_step(reference);
    rig_assert_weights(rig, 1, reference); /* version 2, the third is held back */
    rig_pull(rig, "c", 1, 3, 0, false);
    ck_assert_uint_eq(rig->reply_count, 0);
    rig_push(rig, "d", 1, 2, rig_whole, 0, true); /* a resend while it is held back: dropped, waits */
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
    struct rig *rig = rig_begin(RIG_SGD, 100);

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
    struct rig *rig = rig_begin(RIG_SGD, 2);

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

static void set_away(struct rig *rig, bool is_away)
{
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_set_away(rig->shards[i], is_away);
}

static void expect_committed(struct rig *rig, uint64_t step)
{
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        ck_assert_uint_eq(rig_expect_report(rig, SHARD_COMMITTED).step, step);
    ck_assert_uint_eq(rig->report_count, 0);
}

/* Nobody says that a generation is the job's: steps go on all the same, and what is written next is the
 * newest that there is. When somebody is there again, steps wait again. */
START_TEST(an_absent_coordinator_holds_nobody_back)
{
    struct rig *rig = rig_begin(RIG_ADAM, 2);
    struct reference *reference = reference_new(rig->job);

    for (uint64_t step = 0; step < 6; step++)
        rig_step(rig, 1, step);
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS);
    expect_committed(rig, 2);
    rig_pull(rig, "c", 1, 6, 0, false); /* held back: the second generation waits for the first */
    ck_assert_uint_eq(rig->reply_count, 0);
    set_away(rig, true);
    ck_assert_uint_eq(rig->reply_count, 1);
    rig_forget_replies(rig);
    for (uint64_t step = 6; step < 11; step++)
        rig_step(rig, 1, step);
    ck_assert_uint_eq(rig->pending_count, 0); /* the one that is written may be the job's */
    for (uint64_t passed = 4; passed < 10; passed += 2) {
        for (uint32_t i = 0; i < RIG_SHARDS; i++) {
            struct shard_report report = rig_expect_report(rig, SHARD_PASSED);

            ck_assert_uint_eq(report.step, passed);
            ck_assert_uint_eq(report.after, 2);
        }
    }
    set_away(rig, false);
    rig_step(rig, 1, 11); /* to the next boundary */
    for (uint64_t step = 0; step < 11; step++)
        reference_step(reference);
    rig_assert_weights(rig, 1, reference);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_committed(rig->shards[i], RIG_JOB, 1, 2);
    reference_step(reference);
    rig_assert_weights(rig, 1, reference);
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS);
    expect_committed(rig, 10);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* A generation that some shard passed over: the next one goes over it, and not over the job's. */
START_TEST(a_generation_that_is_forgone_is_written_over)
{
    struct rig *rig = rig_begin(RIG_ADAM, 2);
    struct reference *reference = reference_new(rig->job);

    for (uint64_t step = 0; step < 2; step++) {
        rig_step(rig, 1, step);
        reference_step(reference);
    }
    rig_commit(rig, 1, 2);
    for (uint64_t step = 2; step < 6; step++)
        rig_step(rig, 1, step);
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS);
    expect_committed(rig, 4);
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        shard_forgo(rig->shards[i], RIG_JOB, 2,
                    4); /* not these: another incarnation, another step, another job */
        shard_forgo(rig->shards[i], RIG_JOB, 1, 2);
        shard_forgo(rig->shards[i], RIG_JOB, 1, 6);
        shard_forgo(rig->shards[i], RIG_JOB + 1, 1, 4);
    }
    ck_assert_uint_eq(rig->pending_count, 0);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_forgo(rig->shards[i], RIG_JOB, 1, 4);
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS);
    expect_committed(rig, 6);
    rig_stop_shards(rig);
    rig_start_shards(rig);
    rig_prepare(rig, 2, 2); /* which is there still */
    rig_assert_weights(rig, 2, reference);
    for (uint64_t step = 2; step < 6; step++) {
        rig_step(rig, 2, step);
        reference_step(reference);
    }
    rig_assert_weights(rig, 2, reference);
    reference_free(reference);
    rig_free(rig);
}
END_TEST

/* Whoever asked for a generation waits for it: no later one does. */
START_TEST(a_generation_that_was_asked_for_is_not_dropped)
{
    struct rig *rig = rig_begin(RIG_SGD, 2);

    for (uint64_t step = 0; step < 3; step++)
        rig_step(rig, 1, step);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_commit(rig->shards[i], RIG_JOB, 1, 3);
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS);
    expect_committed(rig, 2);
    set_away(rig, true);
    rig_step(rig, 1, 3);
    rig_pull(rig, "c", 1, 4, 0, false);
    ck_assert_uint_eq(rig->reply_count, 0);
    set_away(rig, false);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_committed(rig->shards[i], RIG_JOB, 1, 2);
    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS);
    expect_committed(rig, 3);
    rig_free(rig);
}
END_TEST

START_TEST(a_failed_write_fails_the_job_and_holds_nobody_back)
{
    struct rig *rig = rig_begin(RIG_SGD, 1);
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
    static const char *const optimizers[RIG_OPTIMIZER_COUNT] = RIG_OPTIMIZERS;
    struct rig *rig = rig_begin(optimizers[_i], 2);
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
    struct rig *rig = rig_begin(RIG_SGD, 4);
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
    struct rig *rig = rig_begin(RIG_SGD, 2);
    struct assignment *changed = rig_assignment(rig_job_text(RIG_SGD, 2, 12), "fixture-7");
    struct assignment *renamed = rig_assignment(rig_job_text(RIG_SGD, 2, 11), "other-7");

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
    struct rig *rig = rig_new(RIG_SGD, 2);

    shard_prepare(rig->shards[0], rig->assignment, 1, 2);
    rig_expect_report(rig, SHARD_FAILED);
    rig_free(rig);
}
END_TEST

START_TEST(beginning_anew_removes_old_state)
{
    struct rig *rig = rig_begin(RIG_SGD, 2);
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

/* ---- committed pulls */

START_TEST(committed_pulls_are_answered_from_disk)
{
    struct rig *rig = rig_begin(RIG_ADAM, 2);
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
        rig_expect_refusal(rig, DATA_REFUSED_PASSED);
        rig_stop_shards(rig); /* then by a server that was started again */
        rig_start_shards(rig);
    }
    reference_free(reference);
    rig_free(rig);
}
END_TEST

START_TEST(committed_pulls_that_cannot_be_answered_are_refused)
{
    struct rig *rig = rig_new(RIG_SGD, 2);
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
    struct rig *rig = rig_begin(RIG_SGD, 1);

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
    struct rig *rig = rig_begin(RIG_SGD, 1);

    rig_step(rig, 1, 0);
    rig_commit(rig, 1, 1);
    rig_stop_shards(rig);
    return rig;
}

START_TEST(a_survey_counts_what_is_there)
{
    struct rig *rig = begin_and_commit();
    struct job_store_survey survey = job_store_survey(rig->directory);

    ck_assert_uint_eq(survey.jobs, 1);
    ck_assert_uint_eq(survey.stores, RIG_SHARDS);
    ck_assert_uint_ge(survey.bytes, rig->job->graph->floats * sizeof(float));
    survey = job_store_survey("/nowhere");
    ck_assert_uint_eq(survey.jobs, 0);
    rig_free(rig);
}
END_TEST

/* ---- removing */

static char *path_in(const struct rig *rig, const char *name)
{
    static char path[FOLDER_BYTES + 64];

    snprintf(path, sizeof(path), "%s/%s", rig->directory, name);
    return path;
}

static bool is_there(const struct rig *rig, const char *name)
{
    struct stat facts;

    return lstat(path_in(rig, name), &facts) == 0;
}

static void make_file(const struct rig *rig, const char *name)
{
    FILE *file = fopen(path_in(rig, name), "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fclose(file), 0);
}

/* Every shard lets go of the job, and nothing is in the way. */
static void part_all(struct rig *rig, uint64_t job)
{
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        struct shard_report report;

        shard_remove(rig->shards[i], job);
        report = rig_expect_report(rig, SHARD_REMOVED);
        ck_assert_str_eq(report.message, "");
        ck_assert_uint_eq(report.job, job);
        ck_assert_uint_eq(report.shard, i);
    }
}

static void remove_rest(const struct rig *rig, uint64_t job)
{
    struct error error = {.message = ""};
    enum status status = job_store_remove(rig->directory, job, &error);

    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
}

/* As a server does it, with the store open for exports as often as not. */
START_TEST(a_deleted_job_leaves_nothing)
{
    struct rig *rig = begin_and_commit();

    rig_start_shards(rig);
    ck_assert_int_eq(mkdir(path_in(rig, "jobs/77"), 0777), 0); /* others' */
    make_file(rig, "jobs/77/kept");
    make_file(rig, "jobs/kept");
    ck_assert_int_eq(mkdir(path_in(rig, "jobs/7/shard-9"), 0777), 0); /* there were more shards once */
    make_file(rig, "jobs/7/shard-9/data.mdb");
    if (_i == 1) {
        for (uint32_t chunk = 0; chunk < rig->job->graph->chunk_count; chunk++) {
            rig_pull(rig, "c", 1, 1, chunk, true);
            ck_assert_ptr_nonnull(rig_values(rig, "c", 1, chunk));
            rig_forget_replies(rig);
        }
    }
    part_all(rig, RIG_JOB);
    ck_assert(!is_there(rig, "jobs/7/shard-0") && !is_there(rig, "jobs/7/shard-2"));
    ck_assert(is_there(rig, "jobs/7/shard-9"));
    remove_rest(rig, RIG_JOB);
    ck_assert(!is_there(rig, "jobs/7"));
    ck_assert(is_there(rig, "jobs/77/kept") && is_there(rig, "jobs/kept"));
    rig_pull(rig, "c", 1, 1, 0, true);
    rig_expect_refusal(rig, DATA_REFUSED_UNKNOWN);
    ck_assert(!is_there(rig, "jobs/7")); /* who asks does not make it anew */
    part_all(rig, RIG_JOB);              /* told again */
    remove_rest(rig, RIG_JOB);
    rig_free(rig);
}
END_TEST

START_TEST(another_jobs_open_store_stays_open)
{
    struct rig *rig = begin_and_commit();

    rig_start_shards(rig);
    rig_pull(rig, "c", 1, 1, 0, true);
    rig_forget_replies(rig);
    part_all(rig, RIG_JOB + 1);
    remove_rest(rig, RIG_JOB + 1);
    rig_pull(rig, "c", 1, 1, 0, true);
    ck_assert_ptr_nonnull(rig_values(rig, "c", 1, 0));
    rig_free(rig);
}
END_TEST

/* The coordinator has released it before it says so; whatever is still live goes with the rest. */
START_TEST(what_is_written_is_waited_for_and_removed)
{
    struct rig *rig = rig_begin(RIG_SGD, 1);

    rig_step(rig, 1, 0);
    ck_assert_uint_eq(rig->pending_count, RIG_SHARDS);
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        if (_i == 0)
            shard_release(rig->shards[i], RIG_JOB, 1);
        shard_remove(rig->shards[i], RIG_JOB);
        shard_remove(rig->shards[i], RIG_JOB); /* told twice */
    }
    ck_assert_uint_eq(rig->report_count, 0);
    ck_assert(is_there(rig, "jobs/7/shard-0/data.mdb"));
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        ck_assert_str_eq(rig_expect_report(rig, SHARD_REMOVED).message, "");
    ck_assert_uint_eq(rig->report_count, 0);
    remove_rest(rig, RIG_JOB);
    ck_assert(!is_there(rig, "jobs/7"));
    rig_free(rig);
}
END_TEST

START_TEST(removals_follow_no_links)
{
    struct rig *rig = begin_and_commit();

    ck_assert_int_eq(mkdir(path_in(rig, "elsewhere"), 0777), 0);
    make_file(rig, "elsewhere/kept");
    ck_assert_int_eq(symlink("../../../elsewhere", path_in(rig, "jobs/7/shard-0/link")), 0);
    ck_assert_int_eq(symlink("../../elsewhere", path_in(rig, "jobs/7/shard-8")), 0);
    ck_assert_int_eq(symlink("../elsewhere", path_in(rig, "jobs/8")), 0);
    rig_start_shards(rig);
    part_all(rig, RIG_JOB);
    remove_rest(rig, RIG_JOB);
    part_all(rig, 8);
    remove_rest(rig, 8);
    ck_assert(!is_there(rig, "jobs/7") && !is_there(rig, "jobs/8"));
    ck_assert(is_there(rig, "elsewhere/kept"));
    rig_free(rig);
}
END_TEST

/* A coordinator that had lost its directory gave the number again before all of an older job was removed. */
START_TEST(what_an_older_job_left_is_in_nobodys_way)
{
    struct rig *rig = begin_and_commit();

    rig_start_shards(rig);
    ck_assert_int_eq(mkdir(path_in(rig, "jobs/7/.shard-1"), 0777), 0);
    make_file(rig, "jobs/7/.shard-1/data.mdb");
    part_all(rig, RIG_JOB);
    remove_rest(rig, RIG_JOB);
    ck_assert(!is_there(rig, "jobs/7"));
    rig_free(rig);
}
END_TEST

/* As a crash in the midst leaves it: some shards have let go of it, and some files are gone. */
START_TEST(a_removal_goes_on_where_it_ended)
{
    struct rig *rig = begin_and_commit();

    rig_start_shards(rig);
    shard_remove(rig->shards[0], RIG_JOB);
    shard_remove(rig->shards[1], RIG_JOB);
    rig_expect_report(rig, SHARD_REMOVED);
    rig_expect_report(rig, SHARD_REMOVED);
    ck_assert_int_eq(unlink(path_in(rig, "jobs/7/.shard-0/data.mdb")), 0);
    ck_assert_uint_eq(job_store_survey(rig->directory).stores, RIG_SHARDS - 2);
    rig_stop_shards(rig);
    rig_start_shards(rig);
    part_all(rig, RIG_JOB);
    remove_rest(rig, RIG_JOB);
    ck_assert(!is_there(rig, "jobs/7"));
    rig_free(rig);
}
END_TEST

START_TEST(what_cannot_be_removed_is_told)
{
    struct rig *rig = rig_new(RIG_SGD, 1);
    struct error error;

    make_file(rig, "jobs"); /* where a directory should be */
    shard_remove(rig->shards[0], RIG_JOB);
    ck_assert_ptr_nonnull(
        strstr(rig_expect_report(rig, SHARD_REMOVED).message, "jobs/7: cannot be removed: Not a directory"));
    ck_assert_int_eq(job_store_remove(rig->directory, RIG_JOB, &error), CAIRN_IO);
    rig_free(rig);
}
END_TEST

/* ---- what is damaged */

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
    struct rig *rig = rig_new(RIG_SGD, 1);

    spoil(rig, "other", 5, "", 0);
    shard_prepare(rig->shards[0], rig->assignment, 1, 1);
    ck_assert_ptr_nonnull(strstr(rig_expect_report(rig, SHARD_FAILED).message, "no state"));
    rig_free(rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard_disk");
    TCase *tests = tcase_create("shard_disk");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_slow_writer_holds_training_back);
    tcase_add_test(tests, a_commit_is_written_when_asked);
    tcase_add_test(tests, an_asked_commit_waits_its_turn);
    tcase_add_test(tests, an_absent_coordinator_holds_nobody_back);
    tcase_add_test(tests, a_generation_that_is_forgone_is_written_over);
    tcase_add_test(tests, a_generation_that_was_asked_for_is_not_dropped);
    tcase_add_test(tests, a_failed_write_fails_the_job_and_holds_nobody_back);
    tcase_add_loop_test(tests, a_resumed_run_ends_in_the_same_bits, 0, RIG_OPTIMIZER_COUNT);
    tcase_add_test(tests, the_committed_generation_is_never_overwritten);
    tcase_add_test(tests, states_that_do_not_fit_are_refused);
    tcase_add_test(tests, a_job_that_never_was_cannot_go_on);
    tcase_add_test(tests, beginning_anew_removes_old_state);
    tcase_add_test(tests, committed_pulls_are_answered_from_disk);
    tcase_add_test(tests, committed_pulls_that_cannot_be_answered_are_refused);
    tcase_add_test(tests, an_archive_is_let_go_when_its_job_begins_again);
    tcase_add_test(tests, a_survey_counts_what_is_there);
    tcase_add_loop_test(tests, a_deleted_job_leaves_nothing, 0, 2);
    tcase_add_test(tests, another_jobs_open_store_stays_open);
    tcase_add_loop_test(tests, what_is_written_is_waited_for_and_removed, 0, 2);
    tcase_add_test(tests, removals_follow_no_links);
    tcase_add_test(tests, a_removal_goes_on_where_it_ended);
    tcase_add_test(tests, what_an_older_job_left_is_in_nobodys_way);
    tcase_add_test(tests, what_cannot_be_removed_is_told);
    tcase_add_test(tests, a_spoilt_record_is_told);
    tcase_add_test(tests, a_spoilt_store_is_told);
    tcase_add_test(tests, an_empty_store_holds_no_state);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
