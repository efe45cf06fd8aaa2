/* Questions to shards about large tables in little memory: exports while training goes on miss nothing,
 * statistics tell what is there, and expired rows leave memory and disk. */
#include "check_main.h"
#include "rows_disk_rig.h"

#define LITTLE_BYTES 1 /* of memory: the least that there is, 1024 rows a table */
#define STEPS        9
#define ADAM         "optimizer: {adam: {learning_rate: 0.01}}"
#define EXPIRING     "optimizer: adagrad, admit_after: 2, expire_after: 2"

/* What an export brought, by the index of a key (disk_key). */
struct harvest {
    uint64_t steps[DISK_KEYS]; /* + 1; 0: it did not come */
    float rows[DISK_KEYS][DISK_DIMENSION];
    uint32_t exports[DISK_KEYS]; /* the last that brought it, from 1 */
    uint32_t count, questions, export;
    uint64_t first_version;
};

static uint32_t index_of(uint64_t key)
{
    static uint64_t keys[DISK_KEYS];
    uint32_t i = key < DISK_KEYS ? (uint32_t)key : 1; /* those of odd numbers are mixed */

    if (key < DISK_KEYS && key % 2 == 0)
        return i;
    for (uint32_t at = 1; at < DISK_KEYS; at += 2) {
        if (keys[at] == 0)
            keys[at] = disk_key(at);
        if (keys[at] == key)
            return at;
    }
    ck_abort_msg("a key that there is not");
}

static void ask_export(struct disk_rig *rig, uint32_t shard, uint64_t since, uint64_t cursor)
{
    struct data_header header = disk_header(rig, DATA_EXPORT, DISK_SPARSE, since);
    struct buffer *payload = buffer_new(sizeof(cursor));

    memcpy(payload->data, &cursor, sizeof(cursor));
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){EXPORT_CURSOR, DATA_UINT64, sizeof(cursor)};
    shard_handle(rig->shards[shard], "server", 6, &header, &payload);
    MUST(rig->answers[shard].is_there);
    rig->answers[shard].is_there = false;
}

/* Takes the slice in hand; keys come once an export. */
static void take_slice(struct disk_rig *rig, uint32_t shard, uint64_t since, struct harvest *harvest)
{
    const struct disk_answer *answer = &rig->answers[shard];

    MUST(answer->kind == DATA_EXPORT);
    for (uint32_t i = 0; i < answer->count; i++) {
        uint32_t at = index_of(answer->keys[i]);

        MUST(disk_is_here(rig, shard, answer->keys[i]));
        MUST(harvest->exports[at] < harvest->export);
        harvest->exports[at] = harvest->export;
        MUST(answer->steps[i] >= since && answer->steps[i] < answer->version);
        harvest->steps[at] = answer->steps[i] + 1;
        memcpy(harvest->rows[at], answer->rows[i], sizeof(harvest->rows[at]));
        harvest->count++;
    }
    harvest->questions++;
}

/* An export of all shards; while it goes on, `*step` of them are taken: one every few slices, up to `until`.
 */
static void export_since(struct disk_rig *rig, uint64_t since, uint64_t *step, uint64_t until,
                         struct harvest *harvest)
{
    harvest->first_version = UINT64_MAX;
    harvest->export++;
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
        uint64_t cursor = 0;

        do {
            ask_export(rig, shard, since, cursor);
            take_slice(rig, shard, since, harvest);
            if (cursor == 0 && rig->answers[shard].version < harvest->first_version)
                harvest->first_version = rig->answers[shard].version;
            MUST(rig->answers[shard].cursor == 0 || rig->answers[shard].cursor > cursor);
            cursor = rig->answers[shard].cursor;
            if (*step < until)
                disk_step(rig, (*step)++);
        } while (cursor != 0);
    }
}

/* The rows that came are what a pull reads; how many did. */
static uint32_t check_rows(struct disk_rig *rig, uint64_t version, const struct harvest *harvest,
                           uint64_t least)
{
    uint32_t checked = 0;

    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
        uint32_t position = 0;

        disk_pull(rig, shard, version);
        MUST(rig->answers[shard].is_there);
        rig->answers[shard].is_there = false;
        for (uint32_t i = 0; i < DISK_KEYS; i++) {
            if (!disk_is_here(rig, shard, disk_key(i)))
                continue;
            if (harvest->steps[i] > least) {
                MUST(memcmp(harvest->rows[i], rig->answers[shard].rows[position], sizeof(harvest->rows[i])) ==
                     0);
                checked++;
            }
            position++;
        }
    }
    return checked;
}

static void ask_statistics(struct disk_rig *rig, uint32_t table, uint64_t sums[STATISTIC_COUNT])
{
    struct data_header header = disk_header(rig, DATA_STATISTICS, table, 0);

    memset(sums, 0, STATISTIC_COUNT * sizeof(sums[0]));
    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
        struct disk_answer *answer = &rig->answers[shard];

        if (table == DISK_DENSE && !disk_heads(rig, shard, table))
            continue;
        shard_handle(rig->shards[shard], "judge", 5, &header, NULL);
        MUST(answer->is_there && answer->kind == DATA_STATISTICS);
        answer->is_there = false;
        for (uint32_t i = 0; i < STATISTIC_COUNT; i++)
            sums[i] += answer->numbers[i];
    }
}

/* ---- exports */

START_TEST(exports_put_together_miss_nothing)
{
    static struct harvest harvest;
    struct disk_rig *rig = disk_rig_new((struct disk_setup){ADAM, 1000000, LITTLE_BYTES});
    uint64_t step = 0, since = 0, numbers[STATISTIC_COUNT];

    while (step < 3)
        disk_step(rig, step++);
    while (step < STEPS) { /* steps are taken while rows come */
        export_since(rig, since, &step, STEPS, &harvest);
        MUST(harvest.first_version >= since && harvest.first_version <= step);
        since = harvest.first_version;
    }
    export_since(rig, since, &step, STEPS, &harvest);
    ck_assert_uint_eq(harvest.first_version, STEPS);
    ask_statistics(rig, DISK_SPARSE, numbers);
    ck_assert_uint_eq(check_rows(rig, STEPS, &harvest, 0), numbers[STATISTIC_ROWS]);
    ck_assert_uint_gt(numbers[STATISTIC_ROWS], 4 * 1024); /* many more than are in memory */
    ck_assert_uint_gt(harvest.questions, 8);
    disk_rig_free(rig);
}
END_TEST

/* Rows that a pull no longer reads do not come; a slice is small whatever is asked. */
START_TEST(expired_rows_and_candidates_do_not_come)
{
    static struct harvest harvest;
    struct disk_rig *rig = disk_rig_new((struct disk_setup){EXPIRING, 1000000, 0});
    uint64_t step = 0;

    while (step < STEPS)
        disk_step(rig, step++);
    export_since(rig, 0, &step, STEPS, &harvest);
    ck_assert_uint_gt(harvest.count, 0);
    for (uint32_t i = 0; i < DISK_KEYS; i++)
        MUST(harvest.steps[i] == 0 || harvest.steps[i] - 1 + 2 >= STEPS);
    ck_assert_uint_eq(check_rows(rig, STEPS, &harvest, 0), harvest.count);
    disk_rig_free(rig);
}
END_TEST

START_TEST(a_question_that_makes_no_sense_is_refused)
{
    struct disk_rig *rig = disk_rig_new((struct disk_setup){ADAM, 1000000, 0});
    uint32_t shard = 0;

    disk_step(rig, 0);
    while (!disk_heads(rig, shard, DISK_DENSE))
        shard++;
    for (int i = 0; i < 6; i++) {
        struct data_header header = disk_header(rig, DATA_EXPORT, DISK_SPARSE, 0);
        struct disk_answer *answer = &rig->answers[shard];
        struct buffer *payloads[2] = {buffer_new(16), buffer_new(8)};

        memset(payloads[0]->data, 0, 16);
        payloads[0]->length_bytes = 8;
        header.payload_count = 1;
        header.payloads[0] = (struct data_payload){EXPORT_CURSOR, DATA_UINT64, 8};
        header.payloads[1] = (struct data_payload){1, DATA_UINT64, 8};
        if (i == 0) {
            header.table = DISK_DENSE;
        } else if (i == 1) {
            header.payload_count = 2;
        } else if (i == 2) {
            header.payloads[0].type = DATA_FLOAT64;
        } else if (i == 3) {
            header.payloads[0].length_bytes = payloads[0]->length_bytes = 16;
        } else if (i == 4) {
            header.table = DISK_DENSE + 1;
        } else {
            header.incarnation = 9;
        }
        if (i != 1)
            buffer_unref(payloads[1]);
        shard_handle(rig->shards[shard], "server", 6, &header, payloads);
        MUST(answer->is_there && answer->kind == DATA_REFUSED);
        answer->is_there = false;
        ck_assert_int_eq(answer->refused, i == 5   ? DATA_REFUSED_STALE
                                          : i == 4 ? DATA_REFUSED_UNKNOWN
                                                   : DATA_REFUSED_MALFORMED);
    }
    ask_export(rig, shard, UINT64_C(1) << 40, 0); /* a step that no row can tell */
    MUST(rig->answers[shard].kind == DATA_EXPORT && rig->answers[shard].count == 0);
    ask_export(rig, shard, 0, UINT64_MAX); /* the last place there is */
    MUST(rig->answers[shard].kind == DATA_EXPORT && rig->answers[shard].cursor == 0);
    ck_assert_uint_eq(rig->failed, 0);
    disk_rig_free(rig);
}
END_TEST

/* ---- statistics */

START_TEST(numbers_tell_what_is_there)
{
    struct disk_rig *rig = disk_rig_new((struct disk_setup){ADAM ", admit_after: 2", 5, LITTLE_BYTES});
    uint64_t numbers[STATISTIC_COUNT], again[STATISTIC_COUNT];

    ask_statistics(rig, DISK_SPARSE, numbers);
    ck_assert_uint_eq(numbers[STATISTIC_ROWS] + numbers[STATISTIC_CANDIDATES], 0);
    for (uint64_t step = 0; step < 5; step++)
        disk_step(rig, step);
    ask_statistics(rig, DISK_SPARSE, numbers);
    ck_assert_uint_gt(numbers[STATISTIC_ROWS], DISK_HOT_KEYS);
    ck_assert_uint_gt(numbers[STATISTIC_CANDIDATES], numbers[STATISTIC_ROWS]);
    ck_assert_uint_le(numbers[STATISTIC_RESIDENT_ROWS], numbers[STATISTIC_ROWS]);
    ck_assert_uint_gt(numbers[STATISTIC_EVICTIONS], 0);
    ck_assert_uint_gt(numbers[STATISTIC_SWAP_BYTES], 0);
    ck_assert_uint_gt(numbers[STATISTIC_HITS], 0);
    ck_assert_uint_gt(numbers[STATISTIC_MEMORY_BYTES],
                      numbers[STATISTIC_RESIDENT_ROWS] * 3 * DISK_DIMENSION * sizeof(float));
    ask_statistics(rig, DISK_DENSE, numbers);
    ck_assert_uint_eq(numbers[STATISTIC_MEMORY_BYTES], 4 * DISK_DENSE_FLOATS * sizeof(float)); /* adam */
    ask_statistics(rig, DISK_SPARSE, numbers);
    disk_commit(rig, 5);
    disk_restart(rig, 5);
    for (int i = 0; i < 2; i++) { /* it is gone over once */
        ask_statistics(rig, DISK_SPARSE, again);
        ck_assert_uint_eq(again[STATISTIC_ROWS], numbers[STATISTIC_ROWS]);
        ck_assert_uint_eq(again[STATISTIC_CANDIDATES], numbers[STATISTIC_CANDIDATES]);
        ck_assert(!disk_sparse(rig, 0)->is_loaded && !disk_sparse(rig, 1)->is_loaded);
    }
    disk_rig_free(rig);
}
END_TEST

/* ---- after going back */

/* All slots lie on the first shard. */
static void put_all_on_the_first(const struct slot_map *map)
{
    for (uint32_t place = 0; place < map->slot_count * map->replicas; place++)
        map->slot_shards[place] = 0;
}

/* A generation has rows of slots that a job is to have elsewhere when it goes on from it, as copies of them
 * were not whole yet: nobody is told of them. */
START_TEST(rows_that_are_another_shards_are_not_told)
{
    struct disk_rig *rig = disk_rig_make((struct disk_setup){ADAM ", admit_after: 2", 2, 0});
    struct harvest *harvest = calloc(1, sizeof(*harvest));
    struct data_header header;
    uint64_t cursor = 0, all;

    ck_assert_ptr_nonnull(harvest);
    put_all_on_the_first(rig->assignment->map);
    disk_start(rig);
    disk_prepare(rig, 0);
    for (uint64_t step = 0; step < 2; step++) {
        for (uint32_t microbatch = 0; microbatch < DISK_MICROBATCHES; microbatch++) {
            disk_push_rows(rig, 0, step, microbatch);
            disk_push_dense(rig, 0, step, microbatch);
        }
    }
    disk_work(rig);
    MUST(disk_write(rig, 0));
    header = disk_header(rig, DATA_STATISTICS, DISK_SPARSE, 0);
    shard_handle(rig->shards[0], "judge", 5, &header, NULL);
    all = rig->answers[0].numbers[STATISTIC_ROWS] + rig->answers[0].numbers[STATISTIC_CANDIDATES];
    disk_stop(rig);
    assignment_unref(rig->assignment);
    rig->assignment = disk_assignment(&rig->setup, DISK_JOB);
    disk_start(rig);
    shard_prepare(rig->shards[0], rig->assignment, ++rig->incarnation, 2);
    ck_assert_uint_eq(rig->failed, 0);
    harvest->export = 1;
    do {
        ask_export(rig, 0, 0, cursor);
        take_slice(rig, 0, 0, harvest);
        cursor = rig->answers[0].cursor;
    } while (cursor != 0);
    ck_assert_uint_gt(harvest->count, 0);
    header = disk_header(rig, DATA_STATISTICS, DISK_SPARSE, 0);
    for (int i = 0; i < 2; i++) {
        rig->answers[0].is_there = false;
        shard_handle(rig->shards[0], "judge", 5, &header, NULL);
        ck_assert_uint_eq(rig->answers[0].numbers[STATISTIC_ROWS], harvest->count);
        ck_assert_uint_gt(all, harvest->count + rig->answers[0].numbers[STATISTIC_CANDIDATES]);
    }
    free(harvest);
    disk_rig_free(rig);
}
END_TEST

/* ---- expiry */

/* In little memory as well: a table keeps a few times what lives, whatever came and went, and a restart
 * brings none of it back. */
START_TEST(expired_rows_leave_memory_and_disk)
{
    struct disk_rig *rig =
        disk_rig_new((struct disk_setup){"optimizer: adagrad, expire_after: 2", 10, _i ? LITTLE_BYTES : 0});
    uint64_t numbers[STATISTIC_COUNT], digest;
    const uint64_t rows_a_step = DISK_MICROBATCHES * DISK_PUSH_ROWS; /* at most */

    for (uint64_t step = 0; step < 40; step++) {
        disk_step(rig, step);
        if (step % 10 == 9)
            disk_commit(rig, step + 1);
    }
    ask_statistics(rig, DISK_SPARSE, numbers);
    ck_assert_msg(numbers[STATISTIC_ROWS] < 3 * 3 * rows_a_step, "%llu rows",
                  (unsigned long long)numbers[STATISTIC_ROWS]);
    digest = disk_digest(rig, 40);
    disk_restart(rig, 40);
    ck_assert(disk_digest(rig, 40) == digest);
    disk_rig_free(rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard_questions");
    TCase *tests = tcase_create("shard_questions");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, exports_put_together_miss_nothing);
    tcase_add_test(tests, expired_rows_and_candidates_do_not_come);
    tcase_add_test(tests, a_question_that_makes_no_sense_is_refused);
    tcase_add_test(tests, numbers_tell_what_is_there);
    tcase_add_test(tests, rows_that_are_another_shards_are_not_told);
    tcase_add_loop_test(tests, expired_rows_leave_memory_and_disk, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
