/* Sparse tables on disk: rows are written while training goes on, hold it back only as far as they must, live
 * in little memory, and come back as the same bits after any end. */
#include "check_main.h"
#include "rows_disk_rig.h"

#define STEPS        14
#define LITTLE_BYTES 1 /* of memory: the least that there is, 1024 rows a table */

#define SHARED_STEPS 24
#define SHARED_BYTES                                                                                         \
    ((uint64_t)440 << 10) /* of memory: less than one job wants, enough for the least of two */

static const char *const tables[] = {
    "optimizer: {adam: {learning_rate: 0.01}}",
    "optimizer: adagrad, initializer: {random_uniform: {minval: -0.1}}, admit_after: 2, expire_after: 3",
    "optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}, admit_after: 3, expire_after: 6"};
#define TABLES ((int)(sizeof(tables) / sizeof(tables[0])))

static struct disk_setup setup(const char *arguments, uint32_t commit_every, uint64_t memory_bytes)
{
    return (struct disk_setup){arguments, commit_every, memory_bytes};
}

static void check_version(struct disk_rig *rig, uint64_t version, const uint64_t digests[])
{
    ck_assert_msg(disk_digest(rig, version) == digests[version], "version %u has other bits",
                  (unsigned)version);
}

/* ---- memory */

/* Most of what the table holds is not in memory. */
static void check_memory(const struct sparse_table *sparse)
{
    const struct rows *parts[] = {sparse->rows, sparse->candidates};
    uint64_t all = 0, evictions = 0, resident = 0;

    for (uint32_t i = 0; i < 2 && parts[i]; i++) {
        struct rows_facts facts;

        rows_facts(parts[i], &facts);
        ck_assert_uint_le(facts.resident, 1024);
        all += facts.rows;
        evictions += facts.evictions;
        resident += facts.resident;
    }
    ck_assert_uint_gt(all, resident);
    ck_assert_uint_gt(evictions, resident);
}

START_TEST(little_memory_changes_no_bit)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[_i], 4, LITTLE_BYTES));

    disk_history(tables[_i], STEPS, digests);
    for (uint64_t step = 0; step < STEPS; step++) {
        disk_step(rig, step);
        check_version(rig, step + 1, digests);
        check_version(rig, step, digests);
        if (step >= 4 && step % 4 == 1) /* two steps after the boundary */
            disk_commit(rig, step - 1);
    }
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        check_memory(disk_sparse(rig, shard));
    disk_restart(rig, 12);
    check_version(rig, 12, digests);
    disk_rig_free(rig);
}
END_TEST

/* What the rows of all jobs take on a shard. */
static uint64_t memory_taken(const struct disk_rig *rig, uint32_t shard)
{
    uint64_t bytes = 0;

    for (const struct shard_job *job = rig->shards[shard]->jobs; job; job = job->next) {
        const struct sparse_table *sparse = job->tables->items[DISK_SPARSE].sparse;
        const struct rows *parts[] = {sparse->rows, sparse->candidates};

        for (uint32_t i = 0; i < 2 && parts[i]; i++) {
            struct rows_facts facts;

            rows_facts(parts[i], &facts);
            bytes += facts.memory_bytes;
        }
    }
    return bytes;
}

static void check_memory_taken(const struct disk_rig *rig, uint64_t least, uint64_t most)
{
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
        ck_assert_uint_ge(memory_taken(rig, shard), least);
        ck_assert_uint_le(memory_taken(rig, shard), most);
    }
}

/* The second job comes when the first has filled the memory, trains beside it, and goes before it. */
START_TEST(jobs_share_the_memory)
{
    uint64_t digests[SHARED_STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[0], 1000000, SHARED_BYTES));
    struct assignment *jobs[2] = {rig->assignment, disk_assignment(&rig->setup, DISK_JOB + 1)};
    uint64_t step = 0;

    disk_history(tables[0], SHARED_STEPS, digests);
    for (; step < SHARED_STEPS / 2; step++)
        disk_step(rig, step);
    check_memory_taken(rig, SHARED_BYTES * 3 / 4, SHARED_BYTES);
    rig->assignment = jobs[1];
    rig->incarnation--; /* the same for both jobs */
    disk_prepare(rig, 0);
    check_memory_taken(rig, 0, SHARED_BYTES);
    for (step = 0; step < SHARED_STEPS / 2; step++) {
        disk_step(rig, step);
        check_memory_taken(rig, 0, SHARED_BYTES);
    }
    for (; step < SHARED_STEPS - 4; step++) {
        for (uint32_t i = 0; i < 2; i++) {
            rig->assignment = jobs[i];
            disk_step(rig, step);
            check_version(rig, step + 1, digests);
        }
        check_memory_taken(rig, SHARED_BYTES * 3 / 4, SHARED_BYTES);
    }
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_release(rig->shards[shard], DISK_JOB + 1, rig->incarnation);
    check_memory_taken(rig, 0, SHARED_BYTES / 2);
    rig->assignment = jobs[0];
    for (; step < SHARED_STEPS; step++)
        disk_step(rig, step);
    check_version(rig, SHARED_STEPS, digests);
    check_memory_taken(rig, SHARED_BYTES * 3 / 4, SHARED_BYTES);
    assignment_unref(jobs[1]);
    disk_rig_free(rig);
}
END_TEST

/* Somebody who opens in vain leaves the others what they had. */
START_TEST(a_job_that_fails_to_open_gives_memory_back)
{
    struct disk_rig *rig = disk_rig_new(setup(tables[0], 1000000, SHARED_BYTES));
    struct assignment *other = disk_assignment(&rig->setup, DISK_JOB + 1);
    uint64_t step = 0;

    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_prepare(rig->shards[shard], other, rig->incarnation, 5); /* which it never wrote */
    ck_assert_uint_eq(rig->failed, DISK_SHARDS);
    for (; step < SHARED_STEPS; step++)
        disk_step(rig, step);
    check_memory_taken(rig, SHARED_BYTES * 3 / 4, SHARED_BYTES);
    assignment_unref(other);
    disk_rig_free(rig);
}
END_TEST

/* ---- recovery */

/* Random ends: each time some shards have written a generation more than the job has committed. */
START_TEST(any_end_is_gone_on_from_in_the_same_bits)
{
    const uint32_t every = 1 + (uint32_t)_i % 3;
    struct chance chance = {(uint64_t)_i};
    uint64_t digests[STEPS + 1], step = 0, committed = 0;
    struct disk_rig *rig = disk_rig_new(setup(tables[_i % TABLES], every, _i % 2 ? LITTLE_BYTES : 0));

    disk_history(tables[_i % TABLES], STEPS, digests);
    for (uint32_t ends = 0; step < STEPS;) {
        disk_step(rig, step++);
        check_version(rig, step, digests);
        if (step % every)
            continue;
        if (ends < 6 && draw(&chance, 2)) {
            disk_work(rig);
            if (draw(&chance, 3))
                disk_write(rig, draw(&chance, DISK_SHARDS));
            ends++;
            disk_restart(rig, committed);
            step = committed;
            check_version(rig, step, digests);
        } else {
            disk_commit(rig, committed = step);
        }
    }
    disk_restart(rig, committed);
    check_version(rig, committed, digests);
    disk_rig_free(rig);
}
END_TEST

/* The shards' versions are the job's; the rest must not be believed. */
START_TEST(a_state_two_generations_away_is_refused)
{
    struct disk_rig *rig = disk_rig_new(setup(tables[0], 1, 0));

    for (uint64_t step = 0; step < 3; step++) {
        disk_step(rig, step);
        disk_commit(rig, step + 1);
    }
    disk_stop(rig);
    disk_start(rig);
    shard_prepare(rig->shards[0], rig->assignment, ++rig->incarnation, 1);
    ck_assert_uint_eq(rig->failed, 1);
    ck_assert_msg(strstr(rig->message, "table rows") != NULL || strstr(rig->message, "step") != NULL, "%s",
                  rig->message);
    shard_prepare(rig->shards[0], rig->assignment, ++rig->incarnation, 4);
    ck_assert_uint_eq(rig->failed, 2);
    disk_prepare(rig, 3); /* what is right is still there */
    disk_rig_free(rig);
}
END_TEST

START_TEST(a_job_begins_anew_where_another_was)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[_i], 2, LITTLE_BYTES));

    disk_history(tables[_i], STEPS, digests);
    for (uint64_t step = 0; step < 5; step++) {
        disk_step(rig, step);
        if (step % 2)
            disk_commit(rig, step + 1);
    }
    disk_prepare(rig, 0); /* beside the live one */
    check_version(rig, 0, digests);
    for (uint64_t step = 0; step < 3; step++)
        disk_step(rig, step);
    disk_work(rig);
    disk_write(rig, 1); /* but not the other */
    disk_stop(rig);
    disk_start(rig);
    disk_prepare(rig, 0);
    for (uint64_t step = 0; step < 4; step++) {
        check_version(rig, step, digests);
        disk_step(rig, step);
        if (step == 2)
            disk_commit(rig, 2);
    }
    disk_commit(rig, 4);
    disk_restart(rig, 4);
    check_version(rig, 4, digests);
    disk_rig_free(rig);
}
END_TEST

/* ---- pushes while rows are copied */

/* All of a step, without a moment for other work. */
static void push_all(struct disk_rig *rig, uint64_t step)
{
    for (uint32_t microbatch = 0; microbatch < DISK_MICROBATCHES; microbatch++) {
        for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
            disk_push_rows(rig, shard, step, microbatch);
            disk_push_dense(rig, shard, step, microbatch);
        }
    }
}

/* A generation is the boundary's version, though it is copied in slices and rows change before, between and
 * after these. */
START_TEST(rows_change_while_they_are_copied)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[0], 12, _i ? LITTLE_BYTES : 0));
    uint32_t slices = 1;

    disk_history(tables[0], STEPS, digests);
    for (uint64_t step = 0; step < 13; step++)
        push_all(rig, step);
    ck_assert(shard_work(rig->shards[0]) && shard_work(rig->shards[1]));
    push_all(rig, 13);
    while (shard_work(rig->shards[0]))
        slices++;
    ck_assert_uint_gt(slices, _i ? 0 : 1);
    disk_commit(rig, 12);
    check_version(rig, 14, digests);
    disk_restart(rig, 12);
    check_version(rig, 12, digests);
    for (uint64_t step = 12; step < 14; step++)
        push_all(rig, step);
    check_version(rig, 14, digests);
    disk_rig_free(rig);
}
END_TEST

/* ---- the end of a generation that is under way */

START_TEST(a_new_incarnation_waits_for_the_writer)
{
    uint64_t digests[5];
    struct disk_rig *rig = disk_rig_new(setup(tables[1], 2, LITTLE_BYTES));

    disk_history(tables[1], 4, digests);
    for (uint64_t step = 0; step < 2; step++)
        disk_step(rig, step);
    disk_commit(rig, 2);
    for (uint64_t step = 2; step < 4; step++)
        disk_step(rig, step);
    disk_work(rig);
    rig->incarnation++;
    rig->prepared = 0;
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_prepare(rig->shards[shard], rig->assignment, rig->incarnation, 2);
    ck_assert_uint_eq(rig->prepared, 0);
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        MUST(disk_write(rig, shard));
    ck_assert_uint_eq(rig->prepared, DISK_SHARDS);
    check_version(rig, 2, digests);
    for (uint64_t step = 2; step < 4; step++)
        disk_step(rig, step);
    disk_commit(rig, 4);
    check_version(rig, 4, digests);
    disk_rig_free(rig);
}
END_TEST

/* Released with rows half copied. */
START_TEST(a_job_may_end_within_a_capture)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[0], 2, 0));

    disk_history(tables[0], STEPS, digests);
    disk_step(rig, 0);
    for (uint32_t microbatch = 0; microbatch < DISK_MICROBATCHES; microbatch++) {
        disk_push_rows(rig, 0, 1, microbatch);
        disk_push_dense(rig, 0, 1, microbatch);
    }
    ck_assert_ptr_null(rig->pending[0]); /* it is still to be copied */
    shard_release(rig->shards[0], DISK_JOB, rig->incarnation);
    ck_assert(!shard_work(rig->shards[0]));
    disk_restart(rig, 0);
    check_version(rig, 0, digests);
    disk_rig_free(rig);
}
END_TEST

START_TEST(a_failed_write_fails_the_job_but_not_its_rows)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[_i], 2, LITTLE_BYTES));
    struct generation *generation;
    struct error error;

    disk_history(tables[_i], STEPS, digests);
    for (uint64_t step = 0; step < 2; step++)
        disk_step(rig, step);
    disk_commit(rig, 2);
    for (uint64_t step = 2; step < 5; step++)
        disk_step(rig, step);
    disk_work(rig);
    MUST(disk_write(rig, 1));
    generation = rig->pending[0];
    MUST(generation);
    rig->pending[0] = NULL;
    error_set(&error, CAIRN_FULL, "the disk is full");
    shard_written(rig->shards[0], generation, CAIRN_FULL, &error);
    ck_assert_uint_eq(rig->failed, 1);
    ck_assert_str_eq(rig->message, "the disk is full");
    check_version(rig, 5, digests); /* what there is can still be read */
    disk_step(rig, 5);
    disk_work(rig);
    ck_assert_ptr_null(rig->pending[0]); /* but nothing more is made durable */
    ck_assert_uint_eq(rig->failed, 1);
    disk_restart(rig, 2);
    check_version(rig, 2, digests);
    for (uint64_t step = 2; step < 4; step++)
        disk_step(rig, step);
    disk_commit(rig, 4);
    disk_restart(rig, 4);
    check_version(rig, 4, digests);
    disk_rig_free(rig);
}
END_TEST

/* ---- back-pressure */

START_TEST(rows_that_are_held_hold_the_next_boundary_back)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[1], 2, LITTLE_BYTES));

    disk_history(tables[1], STEPS, digests);
    for (uint64_t step = 0; step < 4; step++) /* the fourth would make version 4 */
        disk_step(rig, step);
    disk_work(rig);
    ck_assert_uint_eq(disk_sparse(rig, 0)->version, 3);
    check_version(rig, 3, digests);
    disk_pull(rig, 0, 4);
    disk_pull(rig, 1, 4);
    MUST(!rig->answers[0].is_there && !rig->answers[1].is_there);
    MUST(disk_write(rig, 0));
    MUST(rig->answers[0].is_there && rig->answers[0].version == 4);
    MUST(!rig->answers[1].is_there);
    MUST(disk_write(rig, 1));
    MUST(rig->answers[1].is_there);
    rig->answers[0].is_there = rig->answers[1].is_there = false;
    disk_work(rig);
    ck_assert_ptr_null(rig->pending[0]); /* 2 is not yet the job's */
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_committed(rig->shards[shard], DISK_JOB, rig->incarnation, 2);
    disk_step(rig, 4);
    disk_commit(rig, 4);
    check_version(rig, 5, digests);
    disk_restart(rig, 4);
    check_version(rig, 4, digests);
    disk_rig_free(rig);
}
END_TEST

/* ---- commits that are asked for */

static void ask(struct disk_rig *rig, uint64_t step)
{
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_commit(rig->shards[shard], DISK_JOB, rig->incarnation, step);
}

START_TEST(a_commit_is_written_when_asked_for)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[_i], 1000000, LITTLE_BYTES));

    disk_history(tables[_i], STEPS, digests);
    disk_step(rig, 0);
    ask(rig, 1);
    ask(rig, 1); /* again, while it is under way */
    disk_work(rig);
    disk_step(rig, 1);
    ask(rig, 2); /* while the writer has the one before */
    disk_commit(rig, 1);
    disk_commit(rig, 2);
    ask(rig, 2);
    ck_assert_uint_eq(rig->refused + rig->failed, 0);
    disk_step(rig, 2);
    disk_restart(rig, 2);
    check_version(rig, 2, digests);
    disk_step(rig, 2);
    check_version(rig, 3, digests);
    disk_rig_free(rig);
}
END_TEST

/* The tables moved on before there was room. */
START_TEST(a_commit_that_came_too_late_is_refused)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[0], 1000000, 0));

    disk_history(tables[0], STEPS, digests);
    disk_step(rig, 0);
    ask(rig, 1);
    disk_work(rig);
    disk_step(rig, 1);
    ask(rig, 2);
    disk_step(rig, 2);
    disk_commit(rig, 1);
    ck_assert_uint_eq(rig->refused, DISK_SHARDS);
    disk_work(rig);
    ck_assert_ptr_null(rig->pending[0]);
    ask(rig, 7); /* which nobody is at */
    ck_assert_uint_eq(rig->refused, 2 * DISK_SHARDS);
    ask(rig, 3);
    disk_commit(rig, 3);
    disk_restart(rig, 3);
    check_version(rig, 3, digests);
    disk_rig_free(rig);
}
END_TEST

/* The job has a generation before this shard has written it, as others count in it. */
START_TEST(a_commit_does_not_wait_for_what_is_the_jobs)
{
    uint64_t digests[STEPS + 1];
    struct disk_rig *rig = disk_rig_new(setup(tables[_i], 1000000, 0));

    disk_history(tables[_i], STEPS, digests);
    disk_step(rig, 0);
    ask(rig, 1);
    disk_work(rig);
    disk_step(rig, 1);
    ask(rig, 2);
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
        shard_committed(rig->shards[shard], DISK_JOB, rig->incarnation, 1);
        MUST(disk_write(rig, shard));
    }
    disk_commit(rig, 2);
    disk_step(rig, 2);
    ask(rig, 3);
    disk_work(rig);
    disk_step(rig, 3);
    ask(rig, 4);
    disk_step(rig, 4); /* beyond it, before there is room */
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
        shard_committed(rig->shards[shard], DISK_JOB, rig->incarnation, 3);
        MUST(disk_write(rig, shard));
    }
    ck_assert_uint_eq(rig->refused, DISK_SHARDS);
    disk_restart(rig, 3);
    check_version(rig, 3, digests);
    disk_rig_free(rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard_rows_disk");
    TCase *tests = tcase_create("shard_rows_disk");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, little_memory_changes_no_bit, 0, TABLES);
    tcase_add_test(tests, jobs_share_the_memory);
    tcase_add_test(tests, a_job_that_fails_to_open_gives_memory_back);
    tcase_add_loop_test(tests, any_end_is_gone_on_from_in_the_same_bits, 0, 12);
    tcase_add_test(tests, a_state_two_generations_away_is_refused);
    tcase_add_loop_test(tests, a_job_begins_anew_where_another_was, 0, TABLES);
    tcase_add_loop_test(tests, rows_change_while_they_are_copied, 0, 2);
    tcase_add_test(tests, a_new_incarnation_waits_for_the_writer);
    tcase_add_test(tests, a_job_may_end_within_a_capture);
    tcase_add_loop_test(tests, a_failed_write_fails_the_job_but_not_its_rows, 0, TABLES);
    tcase_add_test(tests, rows_that_are_held_hold_the_next_boundary_back);
    tcase_add_loop_test(tests, a_commit_is_written_when_asked_for, 0, TABLES);
    tcase_add_test(tests, a_commit_that_came_too_late_is_refused);
    tcase_add_loop_test(tests, a_commit_does_not_wait_for_what_is_the_jobs, 0, TABLES);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
