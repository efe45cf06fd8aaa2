/* Spans, slots and shards. */
#include "cluster/placement.h"

#include "check_main.h"

#include <string.h>

START_TEST(every_dense_chunk_has_a_slot_of_its_own)
{
    ck_assert_uint_eq(placement_slot_count(0), PLACEMENT_SLOTS_MIN);
    ck_assert_uint_eq(placement_slot_count(64), PLACEMENT_SLOTS_MIN);
    ck_assert_uint_eq(placement_slot_count(5000), 5000);
    for (uint32_t chunk = 0; chunk < 5000; chunk++)
        ck_assert_uint_eq(placement_slot(TABLE_WEIGHTS, chunk, 5000), chunk);
}
END_TEST

START_TEST(tables_begin_at_different_slots)
{
    uint32_t metrics = placement_slot(TABLE_METRICS, 0, PLACEMENT_SLOTS_MIN);
    uint32_t validation = placement_slot(TABLE_VALIDATION, 0, PLACEMENT_SLOTS_MIN);

    ck_assert_uint_lt(metrics, PLACEMENT_SLOTS_MIN);
    ck_assert_uint_lt(validation, PLACEMENT_SLOTS_MIN);
    ck_assert_uint_ne(metrics, validation);
    ck_assert_uint_gt(metrics, 900);
    ck_assert_uint_gt(validation, 900);
}
END_TEST

START_TEST(slots_stay_in_range_for_any_numbers)
{
    const uint32_t numbers[] = {0, 1, 2, 3, 1023, 1024, 1025, UINT32_MAX - 1, UINT32_MAX};

    for (int i = 0; i < 9; i++) {
        for (int j = 0; j < 9; j++) {
            for (int k = 1; k < 9; k++)
                ck_assert_uint_lt(placement_slot(numbers[i], numbers[j], numbers[k]), numbers[k]);
        }
    }
}
END_TEST

START_TEST(chunks_are_found_by_their_slots)
{
    const uint32_t tables[] = {0, 1, 2, 3, 258, 1500, 4000};

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (uint32_t chunk = 0; chunk < 1500; chunk++)
            ck_assert_uint_eq(placement_chunk(tables[i], placement_slot(tables[i], chunk, 1500), 1500),
                              chunk);
    }
    ck_assert_uint_eq(placement_chunk(UINT32_MAX, UINT32_MAX - 1, UINT32_MAX), UINT32_MAX - 1);
}
END_TEST

START_TEST(shards_have_as_many_slots_as_others)
{
    uint32_t slots[1500];

    for (uint32_t shards = 1; shards <= 40; shards++) {
        uint32_t counts[40] = {0};

        placement_assign(slots, 1500, shards);
        for (uint32_t slot = 0; slot < 1500; slot++) {
            ck_assert_uint_lt(slots[slot], shards);
            counts[slots[slot]]++;
        }
        for (uint32_t shard = 0; shard < shards; shard++) {
            ck_assert_uint_ge(counts[shard], 1500 / shards);
            ck_assert_uint_le(counts[shard], 1500 / shards + 1);
        }
    }
}
END_TEST

START_TEST(chunks_are_cut_by_one_rule)
{
    const struct {
        uint64_t floats;
        uint32_t chunk;
    } cases[] = {
        {0, 16384},          {1, 16384},          {4 << 14, 16384},          {(4 << 14) + 1, 16400},
        {200000, 50000},     {4 << 16, 65536},    {(4 << 16) + 1, 65536},    {32 << 16, 65536},
        {(32 << 16) + 1, 65552}, {32u << 18, 262144}, {(32u << 18) + 1, 262144}, {UINT64_C(1) << 40, 262144},
        {UINT64_MAX, 262144}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_uint_eq(placement_chunk_floats(cases[i].floats), cases[i].chunk);
}
END_TEST

/* Rows lie where the numbers say: they must never change. */
START_TEST(keys_have_their_slots_for_ever)
{
    const struct {
        uint64_t key;
        uint32_t slots, slot;
    } cases[] = {{UINT64_C(0), 1024, 904},
                 {UINT64_C(1), 1024, 580},
                 {UINT64_C(2), 1024, 605},
                 {UINT64_C(3), 5000, 567},
                 {UINT64_C(12345678901234567), 1024, 747},
                 {UINT64_C(18446744073709551615), 1024, 915},
                 {UINT64_C(18446744073709551615), 1, 0},
                 {UINT64_C(9223372036854775808), 4194304, 1181616}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_uint_eq(placement_key_slot(cases[i].key, cases[i].slots), cases[i].slot);
}
END_TEST

/* The keys of a pattern: chi-square over 1024 slots, which has mean 1023 and deviation 45. */
static void assert_even(uint64_t first, uint64_t stride)
{
    static uint32_t counts[1024];
    double chi_square = 0;
    const int keys = 1 << 17;

    memset(counts, 0, sizeof(counts));
    for (int i = 0; i < keys; i++)
        counts[placement_key_slot(first + (uint64_t)i * stride, 1024)]++;
    for (int slot = 0; slot < 1024; slot++)
        chi_square += (counts[slot] - keys / 1024.0) * (counts[slot] - keys / 1024.0) / (keys / 1024.0);
    ck_assert_double_lt(chi_square, 1023 + 6 * 45);
}

START_TEST(keys_of_any_pattern_spread_evenly)
{
    const uint64_t strides[] = {1,
                                2,
                                3,
                                10,
                                64,
                                1000,
                                4096,
                                1u << 20,
                                UINT64_C(1) << 32,
                                UINT64_C(1) << 47,
                                UINT64_C(0x9e3779b97f4a7c15)};

    for (size_t i = 0; i < sizeof(strides) / sizeof(strides[0]); i++) {
        assert_even(0, strides[i]);
        assert_even(UINT64_C(1) << 63, strides[i]);
    }
}
END_TEST

static void assert_spans(uint32_t microbatches, uint32_t workers)
{
    uint32_t reached = 0;

    for (uint32_t i = 0; i < workers; i++) {
        uint32_t begin, end;

        placement_span(microbatches, workers, i, &begin, &end);
        ck_assert_uint_eq(begin, reached);
        ck_assert_uint_ge(end - begin, microbatches / workers);
        ck_assert_uint_le(end - begin, microbatches / workers + 1);
        reached = end;
    }
    ck_assert_uint_eq(reached, microbatches);
}

START_TEST(spans_cut_all_microbatches_evenly)
{
    for (uint32_t microbatches = 1; microbatches <= 70; microbatches++) {
        for (uint32_t workers = 1; workers <= 80; workers += 1 + workers / 10)
            assert_spans(microbatches, workers);
    }
    assert_spans(4096, 4095);
}
END_TEST

static void expect_spans(uint32_t microbatches, const double *weights, uint32_t workers, const uint32_t *sizes)
{
    uint32_t ends[8], begin = 0;

    placement_spans(microbatches, weights, workers, ends);
    for (uint32_t i = 0; i < workers; i++) {
        ck_assert_uint_eq(ends[i] - begin, sizes[i]);
        begin = ends[i];
    }
    ck_assert_uint_eq(begin, microbatches);
}

START_TEST(spans_are_as_the_speeds)
{
    expect_spans(8, (const double[]){1, 1}, 2, (const uint32_t[]){4, 4});
    expect_spans(8, (const double[]){1, 1, 1}, 3, (const uint32_t[]){3, 3, 2}); /* ties to the first */
    expect_spans(8, (const double[]){3, 1}, 2, (const uint32_t[]){6, 2});
    expect_spans(10, (const double[]){50, 25, 26}, 3, (const uint32_t[]){5, 2, 3}); /* 4.95, 2.48, 2.57 */
    expect_spans(8, (const double[]){1000, 1, 1}, 3, (const uint32_t[]){6, 1, 1});
    expect_spans(3, (const double[]){1e-300, 1e300, 1e-300}, 3, (const uint32_t[]){1, 1, 1});
    expect_spans(1, (const double[]){7}, 1, (const uint32_t[]){1});
}
END_TEST

START_TEST(spans_of_any_speeds_cover_all)
{
    uint64_t random = 1;

    for (int turn = 0; turn < 2000; turn++) {
        uint32_t workers = 1 + (uint32_t)(turn % 40), microbatches = workers + (uint32_t)(turn % 97);
        uint32_t ends[40], begin = 0;
        double weights[40];

        for (uint32_t i = 0; i < workers; i++)
            weights[i] = 1e-3 + (double)((random = mix64(random + MIX64_STEP)) >> 40);
        placement_spans(microbatches, weights, workers, ends);
        for (uint32_t i = 0; i < workers; i++) {
            if (ends[i] <= begin)
                ck_abort_msg("turn %d: worker %u has nothing", turn, i);
            begin = ends[i];
        }
        if (begin != microbatches)
            ck_abort_msg("turn %d: the spans end at %u of %u", turn, begin, microbatches);
    }
}
END_TEST

static Suite *placement_suite(void)
{
    Suite *suite = suite_create("placement");
    TCase *cases = tcase_create("placement");

    tcase_add_test(cases, every_dense_chunk_has_a_slot_of_its_own);
    tcase_add_test(cases, tables_begin_at_different_slots);
    tcase_add_test(cases, slots_stay_in_range_for_any_numbers);
    tcase_add_test(cases, chunks_are_found_by_their_slots);
    tcase_add_test(cases, shards_have_as_many_slots_as_others);
    tcase_add_test(cases, chunks_are_cut_by_one_rule);
    tcase_add_test(cases, keys_have_their_slots_for_ever);
    tcase_add_test(cases, keys_of_any_pattern_spread_evenly);
    tcase_add_test(cases, spans_cut_all_microbatches_evenly);
    tcase_add_test(cases, spans_are_as_the_speeds);
    tcase_add_test(cases, spans_of_any_speeds_cover_all);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(placement_suite)
