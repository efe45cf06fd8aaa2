/* Tables that are added to a job while it runs: where they begin, what of them is durable, and that they come
 * to the same bits as tables that were there from the beginning. */
#include "check_main.h"
#include "rows_disk_rig.h"

#define STEPS 12
#define ADDED 5 /* the step that tables are added at */

static const char arguments[] =
    "optimizer: adagrad, initializer: {random_uniform: {minval: -0.1}}, admit_after: 2";

/* What the tables of the job's file, or those that were added, are at each version; with `steps` from `begin`
 * on. */
struct history {
    uint64_t own[STEPS + 1], added[STEPS + 1];
};

static void use_own(struct disk_rig *rig)
{
    rig->sparse = DISK_SPARSE;
    rig->dense = DISK_DENSE;
}

static void use_added(struct disk_rig *rig)
{
    rig->sparse = DISK_ADDED_SPARSE;
    rig->dense = DISK_ADDED_DENSE;
}

/* Nothing for either of the added tables in a step, as a client pushes that has nothing to add. */
static void push_nothing(struct disk_rig *rig, uint64_t step)
{
    const uint32_t tables[] = {DISK_ADDED_SPARSE, DISK_ADDED_DENSE};

    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
        for (uint32_t i = 0; i < 2; i++) {
            struct data_header header = disk_header(rig, DATA_PUSH, tables[i], step);
            struct buffer *none[2] = {NULL, NULL};

            if (i == 1 && !disk_heads(rig, shard, tables[i]))
                continue;
            header.node = (struct tree_node){0, DISK_MICROBATCHES};
            header.samples = 8;
            header.payload_count = i;
            header.payloads[0] = (struct data_payload){0, DATA_FLOAT32, 0};
            shard_handle(rig->shards[shard], "client", 6, &header, none);
            MUST(!rig->answers[shard].is_there);
        }
    }
}

static void both_step(struct disk_rig *rig, uint64_t step)
{
    use_own(rig);
    disk_step(rig, step);
    use_added(rig);
    disk_step(rig, step);
}

static void check_versions(struct disk_rig *rig, uint64_t version, const struct history *history)
{
    use_own(rig);
    ck_assert_msg(disk_digest(rig, version) == history->own[version], "own tables at version %u",
                  (unsigned)version);
    use_added(rig);
    ck_assert_msg(disk_digest(rig, version) == history->added[version], "added tables at version %u",
                  (unsigned)version);
}

static void hold(struct disk_rig *rig)
{
    rig->held = 0;
    rig->held_at = 0;
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_hold(rig->shards[shard], DISK_JOB, rig->incarnation);
    ck_assert_uint_eq(rig->held, DISK_SHARDS);
}

static void replace_assignment(struct disk_rig *rig, struct assignment *assignment)
{
    assignment_unref(rig->assignment);
    rig->assignment = assignment;
}

/* At the version that the shards are held at. */
static void extend(struct disk_rig *rig)
{
    struct assignment *wider = disk_assignment_with(&rig->setup, DISK_JOB, rig->held_at);

    rig->extended = 0;
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_extend(rig->shards[shard], wider, rig->incarnation, rig->held_at);
    ck_assert_msg(rig->extended == DISK_SHARDS, "%s", rig->message);
    replace_assignment(rig, wider);
}

static void go_on(struct disk_rig *rig)
{
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_go_on(rig->shards[shard], DISK_JOB, rig->incarnation);
}

static void add_tables(struct disk_rig *rig)
{
    hold(rig);
    extend(rig);
    go_on(rig);
}

static struct disk_rig *rig_new(uint32_t commit_every, uint64_t memory_bytes)
{
    return disk_rig_new((struct disk_setup){arguments, commit_every, memory_bytes});
}

/* A job that has had all tables from the beginning; to the added ones nothing is pushed before step ADDED. */
static void history_make(struct history *history)
{
    struct disk_rig *rig = disk_rig_make((struct disk_setup){arguments, 1000000, 0});

    replace_assignment(rig, disk_assignment_with(&rig->setup, DISK_JOB, 0));
    disk_start(rig);
    disk_prepare(rig, 0);
    for (uint64_t step = 0; step <= STEPS; step++) {
        use_own(rig);
        history->own[step] = disk_digest(rig, step);
        use_added(rig);
        history->added[step] = disk_digest(rig, step);
        if (step >= ADDED)
            both_step(rig, step);
        use_own(rig);
        if (step < ADDED) {
            disk_step(rig, step);
            push_nothing(rig, step);
        }
    }
    disk_rig_free(rig);
}

/* ---- adding */

START_TEST(tables_begin_where_the_job_is)
{
    struct history history;
    struct disk_rig *rig = rig_new(1000000, _i ? 1 : 0);

    history_make(&history);
    for (uint64_t step = 0; step < ADDED; step++)
        disk_step(rig, step);
    add_tables(rig);
    ck_assert_uint_eq(rig->held_at, ADDED);
    check_versions(rig, ADDED, &history);
    for (uint64_t step = ADDED; step < STEPS; step++) {
        both_step(rig, step);
        check_versions(rig, step + 1, &history);
    }
    disk_rig_free(rig);
}
END_TEST

/* Pushes are taken, but nothing goes on before all shards may. */
START_TEST(a_held_job_stands_still)
{
    struct history history;
    struct disk_rig *rig = rig_new(1000000, 0);

    history_make(&history);
    for (uint64_t step = 0; step < ADDED; step++)
        disk_step(rig, step);
    hold(rig);
    disk_step(rig, ADDED);
    disk_pull(rig, 0, ADDED + 1);
    MUST(!rig->answers[0].is_there);
    ck_assert(disk_digest(rig, ADDED) == history.own[ADDED]);
    ck_assert_uint_eq(rig->answers[1].tables, 0);
    extend(rig);
    MUST(!rig->answers[0].is_there);
    ck_assert_uint_eq(disk_sparse(rig, 0)->version, ADDED);
    use_added(rig);
    ck_assert(disk_digest(rig, ADDED) == history.added[ADDED]);
    go_on(rig);
    MUST(rig->answers[0].is_there && rig->answers[0].version == ADDED + 1);
    ck_assert_uint_eq(rig->answers[0].tables, 4); /* now clients know */
    rig->answers[0].is_there = false;
    disk_step(rig, ADDED);
    check_versions(rig, ADDED + 1, &history);
    disk_rig_free(rig);
}
END_TEST

/* One shard was a step ahead: the tables begin there, and the other catches up. */
START_TEST(the_furthest_shard_decides)
{
    struct history history;
    struct disk_rig *rig = rig_new(1000000, 0);

    history_make(&history);
    for (uint64_t step = 0; step < ADDED - 1; step++)
        disk_step(rig, step);
    for (uint32_t microbatch = 0; microbatch < DISK_MICROBATCHES; microbatch++) {
        disk_push_rows(rig, 1, ADDED - 1, microbatch);
        disk_push_dense(rig, 1, ADDED - 1, microbatch);
    }
    add_tables(rig);
    ck_assert_uint_eq(rig->held_at, ADDED);
    for (uint32_t microbatch = 0; microbatch < DISK_MICROBATCHES; microbatch++) {
        disk_push_rows(rig, 0, ADDED - 1, microbatch);
        disk_push_dense(rig, 0, ADDED - 1, microbatch);
    }
    check_versions(rig, ADDED, &history);
    both_step(rig, ADDED);
    check_versions(rig, ADDED + 1, &history);
    disk_rig_free(rig);
}
END_TEST

static void expect_refusal(struct disk_rig *rig, struct assignment *assignment, uint64_t step,
                           const char *message)
{
    rig->failed = 0;
    shard_extend(rig->shards[0], assignment, rig->incarnation, step);
    ck_assert_uint_eq(rig->failed, 1);
    ck_assert_msg(strstr(rig->message, message) != NULL, "%s", rig->message);
    assignment_unref(assignment);
}

START_TEST(what_contradicts_the_job_fails_it)
{
    static const struct {
        uint64_t held, first_version, step;
        const char *arguments, *message;
    } wrong[] = {{0, 3, 3, arguments, "some are past it"},
                 {1, 2, 2, arguments, "some are past it"},
                 {1, 2, 3, arguments, "does not begin at step 3"},
                 {1, 3, 3, "optimizer: sgd", "not what it was"}};
    struct disk_rig *rig = rig_new(1000000, 0);
    const struct disk_setup setup = {wrong[_i].arguments, 1000000, 0};

    for (uint64_t step = 0; step < 3; step++)
        disk_step(rig, step);
    if (wrong[_i].held)
        hold(rig);
    shard_extend(rig->shards[0], rig->assignment, rig->incarnation - 1,
                 3); /* of an older incarnation: nothing */
    ck_assert_uint_eq(rig->failed, 0);
    expect_refusal(rig, disk_assignment_with(&setup, DISK_JOB, wrong[_i].first_version), wrong[_i].step,
                   wrong[_i].message);
    disk_rig_free(rig);
}
END_TEST

/* ---- durability */

/* The generation of the step that tables begin at, captured before or after they came, has nothing of them.
 */
START_TEST(the_first_generation_is_the_next_one)
{
    struct history history;
    struct disk_rig *rig = rig_new(ADDED, 1);

    history_make(&history);
    for (uint64_t step = 0; step < ADDED; step++)
        disk_step(rig, step);
    if (_i)
        disk_commit(rig, ADDED); /* else it is under way */
    add_tables(rig);
    if (!_i)
        disk_commit(rig, ADDED);
    for (uint64_t step = ADDED; step < ADDED + 2; step++)
        both_step(rig, step);
    disk_restart(rig, ADDED); /* the record says that they begin there */
    check_versions(rig, ADDED, &history);
    for (uint64_t step = ADDED; step < 2 * ADDED; step++)
        both_step(rig, step);
    disk_work(rig);
    MUST(disk_write(rig, 0)); /* one shard has the generation that the job has not */
    disk_restart(rig, ADDED);
    check_versions(rig, ADDED, &history);
    for (uint64_t step = ADDED; step < 2 * ADDED; step++)
        both_step(rig, step);
    disk_commit(rig, 2 * ADDED);
    disk_restart(rig, 2 * ADDED);
    check_versions(rig, 2 * ADDED, &history);
    both_step(rig, 2 * ADDED);
    check_versions(rig, 2 * ADDED + 1, &history);
    disk_rig_free(rig);
}
END_TEST

/* A job that goes back to a step before its tables came has them there, with their initial values. */
START_TEST(tables_stay_when_the_job_goes_back)
{
    struct history history;
    struct disk_rig *rig = rig_new(3, 1);

    history_make(&history);
    for (uint64_t step = 0; step < ADDED; step++) {
        disk_step(rig, step);
        if (step == 2)
            disk_commit(rig, 3);
    }
    add_tables(rig);
    both_step(rig, ADDED); /* to version 6, a boundary */
    disk_work(rig);
    MUST(disk_write(rig, 1));
    replace_assignment(rig, disk_assignment_with(&rig->setup, DISK_JOB, 3));
    disk_restart(rig, 3);
    check_versions(rig, 3, &history);
    for (uint64_t step = 3; step < ADDED; step++) {
        use_own(rig);
        disk_step(rig, step);
        push_nothing(rig, step);
        check_versions(rig, step + 1, &history);
    }
    both_step(rig, ADDED);
    disk_commit(rig, ADDED + 1);
    disk_restart(rig, ADDED + 1);
    check_versions(rig, ADDED + 1, &history);
    disk_rig_free(rig);
}
END_TEST

START_TEST(commits_that_are_asked_for_have_what_is_there)
{
    struct history history;
    struct disk_rig *rig = rig_new(1000000, 0);

    history_make(&history);
    for (uint64_t step = 0; step < ADDED; step++)
        disk_step(rig, step);
    add_tables(rig);
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_commit(rig->shards[shard], DISK_JOB, rig->incarnation, ADDED);
    disk_commit(rig, ADDED);
    both_step(rig, ADDED);
    use_own(rig);
    disk_step(rig, ADDED + 1); /* the added ones are behind */
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_commit(rig->shards[shard], DISK_JOB, rig->incarnation, ADDED + 2);
    ck_assert_uint_eq(rig->refused, DISK_SHARDS);
    use_added(rig);
    disk_step(rig, ADDED + 1);
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++)
        shard_commit(rig->shards[shard], DISK_JOB, rig->incarnation, ADDED + 2);
    disk_commit(rig, ADDED + 2);
    disk_restart(rig, ADDED + 2);
    check_versions(rig, ADDED + 2, &history);
    disk_rig_free(rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard_extend");
    TCase *tests = tcase_create("shard_extend");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, tables_begin_where_the_job_is, 0, 2);
    tcase_add_test(tests, a_held_job_stands_still);
    tcase_add_test(tests, the_furthest_shard_decides);
    tcase_add_loop_test(tests, what_contradicts_the_job_fails_it, 0, 4);
    tcase_add_loop_test(tests, the_first_generation_is_the_next_one, 0, 2);
    tcase_add_test(tests, tables_stay_when_the_job_goes_back);
    tcase_add_test(tests, commits_that_are_asked_for_have_what_is_there);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
