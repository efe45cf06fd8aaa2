/* Reading what a PrepareCommand asks of a server. */
#include "check_main.h"
#include "shard_fixture.h"

#define THREADS 2

/* A command for three shards: two on "one", one on "two". */
struct order {
    Cairn__PrepareCommand command;
    Cairn__JobText text;
    Cairn__Shard shards[3], *pointers[3];
    uint32_t slots[PLACEMENT_SLOTS_MIN];
};

static void order_init(struct order *order)
{
    cairn__prepare_command__init(&order->command);
    cairn__job_text__init(&order->text);
    order->text.text = (char *)rig_job_text("sgd: {learning_rate: 0.1}", 10, 1);
    order->text.file_name = "fixture.yaml";
    order->text.base_directory = "/";
    for (uint32_t i = 0; i < 3; i++) {
        cairn__shard__init(&order->shards[i]);
        order->shards[i].server = i < 2 ? "one" : "two";
        order->shards[i].index = i % 2;
        order->pointers[i] = &order->shards[i];
    }
    placement_assign(order->slots, PLACEMENT_SLOTS_MIN, 3);
    order->command.job = 9;
    order->command.job_id = "fixture-9";
    order->command.text = &order->text;
    order->command.n_shards = 3;
    order->command.shards = order->pointers;
    order->command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    order->command.slot_shards = order->slots;
}

static bool has(const struct assignment *assignment, uint32_t thread, uint32_t table, uint32_t chunk)
{
    const struct slot_map *map = assignment->map;

    return slot_map_place(map, thread, placement_slot(table, chunk, map->slot_count)).is_member;
}

START_TEST(each_thread_has_its_chunks)
{
    struct order order;
    struct assignment *one = NULL, *two = NULL;
    struct error error;

    order_init(&order);
    ck_assert_int_eq(assignment_new(&order.command, "one", THREADS, &one, &error), CAIRN_OK);
    ck_assert_int_eq(assignment_new(&order.command, "two", THREADS, &two, &error), CAIRN_OK);
    ck_assert(slot_map_takes_part(one->map, 0) && slot_map_takes_part(one->map, 1));
    ck_assert(slot_map_takes_part(two->map, 0) && !slot_map_takes_part(two->map, 1));
    for (uint32_t table = 0; table < TABLE_COUNT; table++) {
        for (uint32_t chunk = 0; chunk < (table ? 1 : one->job->graph->chunk_count); chunk++) {
            int owners = has(one, 0, table, chunk) + has(one, 1, table, chunk) + has(two, 0, table, chunk);

            ck_assert_int_eq(owners, 1);
            ck_assert(!has(two, 1, table, chunk));
        }
    }
    ck_assert_uint_eq(assignment_metric_elements(one), RIG_METRICS);
    ck_assert_str_eq(one->digest, two->digest);
    assignment_unref(assignment_ref(one));
    assignment_unref(one);
    assignment_unref(two);
    assignment_unref(NULL);
}
END_TEST

static const char tables_text[] = "name: x\ntables:\n  - dense: {name: a, size: 5000}\n"
                                  "  - sparse: {name: b, dimension: 3}\ntrain: {optimizer: sgd}\n";

START_TEST(tables_are_shared_out)
{
    struct order order;
    struct assignment *one = NULL, *two = NULL;
    struct error error;
    uint64_t own[2];
    uint32_t rows[3] = {0};

    order_init(&order);
    order.text.text = (char *)tables_text;
    ck_assert_int_eq(assignment_new(&order.command, "one", THREADS, &one, &error), CAIRN_OK);
    ck_assert_int_eq(assignment_new(&order.command, "two", THREADS, &two, &error), CAIRN_OK);
    for (uint32_t chunk = 0; chunk < 2; chunk++)
        ck_assert_int_eq(has(one, 0, TABLE_FIRST_USER, chunk) + has(one, 1, TABLE_FIRST_USER, chunk) +
                             has(two, 0, TABLE_FIRST_USER, chunk),
                         1);
    for (uint64_t key = 0; key < 3000; key++) {
        bool owners[] = {slot_map_heads_keys(one->map, 0, &key, 1), slot_map_heads_keys(one->map, 1, &key, 1),
                         slot_map_heads_keys(two->map, 0, &key, 1)};

        ck_assert_int_eq(owners[0] + owners[1] + owners[2], 1);
        for (int i = 0; i < 3; i++)
            rows[i] += owners[i];
        ck_assert(!slot_map_heads_keys(two->map, 1, &key, 1));
        own[key % 2] = owners[0] ? key : own[key % 2];
    }
    ck_assert(slot_map_heads_keys(one->map, 0, own, 2) && !slot_map_heads_keys(one->map, 1, own, 2));
    own[0] = own[1] + 1;
    while (slot_map_heads_keys(one->map, 0, own, 1))
        own[0]++;
    ck_assert(!slot_map_heads_keys(one->map, 0, own, 2));
    for (int i = 0; i < 3; i++) /* six standard errors */
        ck_assert(rows[i] > 845 && rows[i] < 1155);
    assignment_unref(one);
    assignment_unref(two);
}
END_TEST

START_TEST(only_threads_with_state_make_generations)
{
    struct order order;
    struct assignment *one = NULL, *two = NULL;
    struct error error;

    order_init(&order);
    order.text.text = (char *)tables_text; /* rows are everywhere */
    ck_assert_int_eq(assignment_new(&order.command, "one", THREADS, &one, &error), CAIRN_OK);
    ck_assert(assignment_has_state(one, 0) && assignment_has_state(one, 1));
    assignment_unref(one);
    order.text.text = "name: x\ntables: [dense: {name: a, size: 1}]\ntrain: {optimizer: sgd}\n";
    ck_assert_int_eq(assignment_new(&order.command, "one", THREADS, &one, &error), CAIRN_OK);
    ck_assert_int_eq(assignment_new(&order.command, "two", THREADS, &two, &error), CAIRN_OK);
    ck_assert_int_eq(
        assignment_has_state(one, 0) + assignment_has_state(one, 1) + assignment_has_state(two, 0), 1);
    ck_assert(!assignment_has_state(two, 1));
    assignment_unref(one);
    assignment_unref(two);
}
END_TEST

static void expect_refused(const struct order *order, const char *words)
{
    struct assignment *assignment = NULL;
    struct error error;

    ck_assert_int_eq(assignment_new(&order->command, "one", THREADS, &assignment, &error), CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, words) != NULL, "%s", error.message);
    ck_assert_ptr_null(assignment);
}

START_TEST(commands_that_cannot_be_are_refused)
{
    struct order order;

    order_init(&order);
    order.command.text = NULL;
    expect_refused(&order, "text");
    order_init(&order);
    order.text.text = "name: x";
    expect_refused(&order, "fixture.yaml");
    order_init(&order);
    order.command.n_slot_shards--;
    expect_refused(&order, "slots");
    order_init(&order);
    order.slots[1000] = 3;
    expect_refused(&order, "slot 1000");
    order_init(&order);
    order.shards[1].index = THREADS;
    expect_refused(&order, "shard thread 2");
    order_init(&order);
    order.text.text =
        "name: x\nmodel:\n  input_shape: [10]\n  layers:\n    - activation: {activation: relu}\n"
        "  loss: sparse_categorical_crossentropy\n"
        "data:\n  train: {format: csv, path: t.csv}\ntrain: {steps: 1, batch_size: 4, optimizer: sgd}\n";
    expect_refused(&order, "no parameters");
}
END_TEST

static Suite *assignment_suite(void)
{
    Suite *suite = suite_create("assignment");
    TCase *tests = tcase_create("assignment");

    tcase_add_test(tests, each_thread_has_its_chunks);
    tcase_add_test(tests, tables_are_shared_out);
    tcase_add_test(tests, only_threads_with_state_make_generations);
    tcase_add_test(tests, commands_that_cannot_be_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(assignment_suite)
