/* Rows that do not fit in memory, and generations: random operations agree with a plain array, whatever the
 * budget. */
#include "check_main.h"
#include "rows_model.h"

#define TINY_BUDGET ((uint64_t)64 << 10) /* the least: two blocks of rows */

#define CHUNK_ENDS (3 << 20) /* of a table that began without a budget: a huge page, and flags */

static struct world world; /* large */

static void operation(struct world *w)
{
    switch (world_chance(w, 12)) {
    case 0:
    case 1:
    case 2:
        world_find(w);
        break;
    case 3:
        world_remove(w);
        break;
    default:
        world_make(w);
    }
    if (world_chance(w, 60) == 0)
        world_expire(w);
    if (world_chance(w, 60) == 0)
        world_scan(w);
}

START_TEST(a_table_without_a_store_keeps_all_rows)
{
    static const uint64_t budgets[] = {0, TINY_BUDGET, 300 << 10};
    struct rows_facts facts;

    world_open(&world, false, budgets[_i], 11 + (uint64_t)_i);
    for (uint32_t round = 0; round < 400; round++)
        operation(&world);
    world_scan(&world);
    rows_facts(world.rows, &facts);
    ck_assert_uint_eq(facts.evictions > 0, budgets[_i] > 0);
    if (budgets[_i] > TINY_BUDGET)
        ck_assert_uint_le(facts.memory_bytes, budgets[_i]);
    world_close(&world);
}
END_TEST

/* One thing that may happen to a generation that is under way, or the beginning of one. */
static void generation_step(struct world *w)
{
    uint64_t what = world_chance(w, 4);

    if (!w->capture) {
        world_capture(w);
    } else if (w->is_writing) {
        world_write_end(w);
    } else if (!w->is_whole && what < 3) {
        world_capture_more(w, (uint32_t)world_chance(w, 1500));
    } else if (!w->is_whole || what == 0) {
        rows_captured(w->rows, w->capture, false); /* it fails */
        w->capture = NULL;
    } else {
        world_write_begin(w);
    }
}

START_TEST(a_durable_table_keeps_all_rows)
{
    static const uint64_t budgets[] = {0, TINY_BUDGET, 300 << 10};

    world_open(&world, true, budgets[_i % 3], 100 + (uint64_t)_i);
    for (uint32_t round = 0; round < 700; round++) {
        operation(&world);
        if (world_chance(&world, 25) == 0)
            ck_assert_int_eq(rows_set_budget(world.rows, budgets[world_chance(&world, 3)], NULL), CAIRN_OK);
        if (world_chance(&world, 8) == 0)
            generation_step(&world);
        if (world_chance(&world, 100) == 0)
            world_restart(&world, world_chance(&world, 2));
    }
    world_restart(&world, false);
    world_scan(&world);
    world_close(&world);
}
END_TEST

START_TEST(a_written_generation_is_found_again)
{
    struct rows_facts facts;
    uint64_t bytes;

    world_open(&world, true, 0, 7);
    for (uint32_t i = 0; i < 40; i++)
        world_make(&world);
    world_generation(&world);
    world_restart(&world, false);
    ck_assert_int_eq(rows_warm(world.rows, &bytes, NULL), CAIRN_OK);
    rows_facts(world.rows, &facts);
    ck_assert_uint_eq(facts.resident, facts.rows);
    ck_assert_uint_ge(bytes, facts.rows * MODEL_FLOATS * sizeof(float));
    world_scan(&world);
    world_make(&world);
    world_generation(&world); /* over the one that was found */
    world_restart(&world, true);
    world_scan(&world);
    world_close(&world);
}
END_TEST

/* The job has gone on to a generation that the table is not in. */
static void job_goes_on(struct world *w)
{
    w->now.step += 5;
    w->committed = w->now;
    w->has_before = false;
}

/* A table that was away comes back when a generation from before is with the writer, for the first time or
 * the second; or when it has come back one fails. The next one goes over whatever the store has. */
START_TEST(a_table_stays_loose_until_a_generation_of_it_is_written)
{
    world_open(&world, true, 0, 10);
    world_make(&world);
    world_generation(&world);
    world.has_before = false;
    world_make(&world);
    if (_i > 0)
        rows_loosen(world.rows);
    world_capture(&world);
    while (!world.is_whole)
        world_capture_more(&world, 1000);
    if (_i == 2) {
        rows_captured(world.rows, world.capture, false);
        world.capture = NULL;
    } else {
        world_write_begin(&world);
        rows_loosen(world.rows);
        world_write_end(&world);
    }
    job_goes_on(&world);
    world_make(&world);
    world_generation(&world);
    world_restart(&world, false);
    world_scan(&world);
    world_close(&world);
}
END_TEST

START_TEST(warming_stops_at_the_budget)
{
    struct rows_facts facts;
    uint64_t bytes;

    world_open(&world, true, 300 << 10, 8);
    for (uint32_t i = 0; i < 60; i++)
        world_make(&world);
    world_generation(&world);
    world_restart(&world, false);
    ck_assert_int_eq(rows_warm(world.rows, &bytes, NULL), CAIRN_OK);
    rows_facts(world.rows, &facts);
    ck_assert_uint_gt(facts.resident, 1000);
    ck_assert_uint_lt(facts.resident, facts.rows);
    ck_assert_uint_le(facts.memory_bytes, 300 << 10);
    for (uint32_t i = 0; i < 20; i++)
        world_find(&world);
    world_scan(&world);
    world_close(&world);
}
END_TEST

START_TEST(a_smaller_budget_makes_rows_leave)
{
    static const uint64_t before[] = {0, 1 << 20};
    struct rows_facts facts;

    world_open(&world, false, before[_i], 9);
    for (uint32_t i = 0; i < 60; i++)
        world_make(&world);
    rows_facts(world.rows, &facts);
    ck_assert_uint_gt(facts.memory_bytes, 400 << 10);
    ck_assert_int_eq(rows_set_budget(world.rows, 200 << 10, NULL), CAIRN_OK);
    rows_facts(world.rows, &facts);
    ck_assert_uint_lt(facts.resident, 5000);
    ck_assert_uint_gt(facts.swap_bytes, 0);
    ck_assert_uint_le(facts.memory_bytes, (200 << 10) + (_i ? 0 : CHUNK_ENDS));
    world_scan(&world);
    ck_assert_int_eq(rows_set_budget(world.rows, 0, NULL), CAIRN_OK);
    for (uint32_t i = 0; i < 60; i++)
        world_make(&world);
    world_scan(&world);
    world_close(&world);
}
END_TEST

static Suite *rows_cold_suite(void)
{
    Suite *suite = suite_create("rows_cold");
    TCase *tests = tcase_create("rows_cold");

    tcase_set_timeout(tests, 100);
    tcase_add_loop_test(tests, a_table_without_a_store_keeps_all_rows, 0, 3);
    tcase_add_loop_test(tests, a_durable_table_keeps_all_rows, 0, 4);
    tcase_add_test(tests, a_written_generation_is_found_again);
    tcase_add_loop_test(tests, a_table_stays_loose_until_a_generation_of_it_is_written, 0, 3);
    tcase_add_test(tests, warming_stops_at_the_budget);
    tcase_add_loop_test(tests, a_smaller_budget_makes_rows_leave, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(rows_cold_suite)
