/* The optimizers against Keras's formulas (tests/oracle), and bits that do not depend on how they are called.
 */
#include "check_main.h"
#include "optimizers/optimizer.h"

#include <math.h>
#include <string.h>

#include "optimizers.h" /* the oracle's table */

#define ODD_COUNT 1003 /* no multiple of any vector width */
#define CASES     ((int)(sizeof(oracle_cases) / sizeof(oracle_cases[0])))

/* The state of one run: two of each array, so that next ones are apart from the old. */
struct run {
    float sums[ODD_COUNT], weights[2][ODD_COUNT], slots[OPTIMIZER_SLOTS_MAX][2][ODD_COUNT];
};

static struct run *run_new(void)
{
    struct run *run = calloc(1, sizeof(*run));

    ck_assert_ptr_nonnull(run);
    return run;
}

/* Elements [begin, begin + count) by update `number`, from arrays [0] to arrays [1]. */
static struct optimizer_update update_of(struct run *run, uint64_t number, float samples, size_t begin,
                                         size_t count)
{
    struct optimizer_update update = {number,
                                      run->sums + begin,
                                      samples,
                                      run->weights[0] + begin,
                                      run->weights[1] + begin,
                                      {run->slots[0][0] + begin, run->slots[1][0] + begin},
                                      {run->slots[0][1] + begin, run->slots[1][1] + begin},
                                      count};
    return update;
}

static void run_turn(struct run *run)
{
    memcpy(run->weights[0], run->weights[1], sizeof(run->weights[0]));
    for (int i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        memcpy(run->slots[i][0], run->slots[i][1], sizeof(run->slots[i][0]));
}

START_TEST(a_hundred_updates_match_keras)
{
    const struct oracle_case *expected = &oracle_cases[_i];
    const struct optimizer *optimizer = optimizer_find(expected->spec.type);
    struct run *run = run_new();

    for (int i = 0; i < ORACLE_ELEMENTS; i++)
        run->weights[0][i] = (float)(i + 1) / 4;
    for (int number = 1; number <= ORACLE_UPDATES; number++) {
        struct optimizer_update update = update_of(run, (uint64_t)number, ORACLE_SAMPLES, 0, ORACLE_ELEMENTS);

        for (int i = 0; i < ORACLE_ELEMENTS; i++)
            run->sums[i] = (float)((i * 7919 + number * 104729 + 13) % 2003 - 900) / 64;
        optimizer->apply(&expected->spec, &update);
        run_turn(run);
    }
    for (int i = 0; i < ORACLE_ELEMENTS; i++)
        ck_assert_msg(fabs(run->weights[0][i] / expected->weights[i] - 1) < 1e-6, "%s: [%d] %.9g, not %.9g",
                      expected->name, i, run->weights[0][i], expected->weights[i]);
    free(run);
}
END_TEST

static void fill(struct run *run)
{
    for (int i = 0; i < ODD_COUNT; i++) {
        run->sums[i] = (float)((i * 7919) % 2003 - 900) / 3;
        run->weights[0][i] = (float)((i * 104729) % 4001 - 2000) / 7;
        run->slots[0][0][i] = (float)((i * 31) % 101 - 50) / 9;
        run->slots[1][0][i] = (float)((i * 37) % 103) / 11;
    }
}

START_TEST(bits_do_not_depend_on_how_elements_are_grouped)
{
    const struct optimizer_spec *spec = &oracle_cases[_i].spec;
    const struct optimizer *optimizer = optimizer_find(spec->type);
    struct run *whole = run_new(), *single = run_new();
    struct optimizer_update update = update_of(whole, 3, 96, 0, ODD_COUNT);

    fill(whole);
    fill(single);
    optimizer->apply(spec, &update);
    for (size_t i = 0; i < ODD_COUNT; i++) {
        update = update_of(single, 3, 96, i, 1);
        optimizer->apply(spec, &update);
    }
    ck_assert_mem_eq(whole, single, sizeof(*whole));
    free(whole);
    free(single);
}
END_TEST

START_TEST(slots_may_be_updated_in_place)
{
    const struct optimizer_spec *spec = &oracle_cases[_i].spec;
    const struct optimizer *optimizer = optimizer_find(spec->type);
    struct run *apart = run_new(), *place = run_new();
    struct optimizer_update update = update_of(apart, 3, 96, 0, ODD_COUNT);

    fill(apart);
    fill(place);
    optimizer->apply(spec, &update);
    update = update_of(place, 3, 96, 0, ODD_COUNT);
    for (uint32_t i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        update.next_slots[i] = place->slots[i][0];
    optimizer->apply(spec, &update);
    ck_assert_mem_eq(apart->weights[1], place->weights[1], sizeof(apart->weights[1]));
    for (uint32_t i = 0; i < optimizer->slot_count(spec); i++)
        ck_assert_mem_eq(apart->slots[i][1], place->slots[i][0], sizeof(place->slots[i][0]));
    free(apart);
    free(place);
}
END_TEST

START_TEST(gaps_stay_zero)
{
    const struct optimizer_spec *spec = &oracle_cases[_i].spec;
    const struct optimizer *optimizer = optimizer_find(spec->type);
    struct run *run = run_new(), *zeros = run_new();

    for (uint64_t number = 1; number <= 3; number++) {
        struct optimizer_update update = update_of(run, number, 1, 0, ODD_COUNT);

        optimizer->apply(spec, &update);
        run_turn(run);
    }
    ck_assert_mem_eq(run->weights, zeros->weights, sizeof(run->weights));
    free(run);
    free(zeros);
}
END_TEST

START_TEST(the_registry_knows_every_type)
{
    struct optimizer_spec plain = {.type = OPTIMIZER_SGD}, moving = {.type = OPTIMIZER_SGD, .momentum = 0.5};

    for (int type = 0; type < OPTIMIZER_COUNT; type++)
        ck_assert_int_eq(optimizer_find((enum optimizer_type)type)->type, type);
    ck_assert_ptr_null(optimizer_find(OPTIMIZER_COUNT));
    ck_assert_uint_eq(optimizer_sgd.slot_count(&plain), 0);
    ck_assert_uint_eq(optimizer_sgd.slot_count(&moving), 1);
    ck_assert_uint_eq(optimizer_adam.slot_count(&plain), 2);
}
END_TEST

static Suite *optimizers_suite(void)
{
    Suite *suite = suite_create("optimizers");
    TCase *tests = tcase_create("optimizers");

    tcase_add_loop_test(tests, a_hundred_updates_match_keras, 0, CASES);
    tcase_add_loop_test(tests, bits_do_not_depend_on_how_elements_are_grouped, 0, CASES);
    tcase_add_loop_test(tests, slots_may_be_updated_in_place, 0, CASES);
    tcase_add_loop_test(tests, gaps_stay_zero, 0, CASES);
    tcase_add_test(tests, the_registry_knows_every_type);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(optimizers_suite)
