/* Where shards are: a list that grows when that changes, not with each epoch. */
#include "routes.h"

#include "check_main.h"

#include <stdio.h>
#include <string.h>

#define SHARDS 2
#define SLOTS  4

struct map {
    Cairn__EpochCommand epoch;
    Cairn__Shard shards[SHARDS], *pointers[SHARDS];
    char endpoints[SHARDS][32];
    uint32_t slot_shards[SLOTS];
};

static struct map map;
static struct routes *list;
static struct error error;

static void setup(void)
{
    cairn__epoch_command__init(&map.epoch);
    for (uint32_t i = 0; i < SHARDS; i++) {
        cairn__shard__init(&map.shards[i]);
        snprintf(map.endpoints[i], sizeof(map.endpoints[i]), "tcp://host:%u", i);
        map.shards[i].endpoint = map.endpoints[i];
        map.pointers[i] = &map.shards[i];
    }
    map.epoch.n_shards = SHARDS;
    map.epoch.shards = map.pointers;
    map.epoch.n_slot_shards = SLOTS;
    map.epoch.slot_shards = map.slot_shards;
}

static void teardown(void)
{
    routes_free(&list);
    ck_assert_ptr_null(list);
}

/* Takes the map as it is; the list has so many then, and the first is the map. */
static void take(uint32_t count)
{
    ck_assert_int_eq(routes_add(&list, &map.epoch, &error), CAIRN_OK);
    for (const struct routes *routes = list; routes; routes = routes->next)
        count--;
    ck_assert_uint_eq(count, 0);
    ck_assert_uint_eq(list->shard_count, map.epoch.n_shards);
    ck_assert_uint_eq(list->slot_count, map.epoch.n_slot_shards);
    for (size_t i = 0; i < map.epoch.n_shards; i++)
        ck_assert_str_eq(list->endpoints[i], map.endpoints[i]);
    ck_assert_int_eq(memcmp(list->slot_shards, map.slot_shards, map.epoch.n_slot_shards * sizeof(uint32_t)),
                     0);
}

START_TEST(an_epoch_that_changes_nothing_adds_nothing)
{
    const struct routes *first;

    take(1);
    first = list;
    for (int i = 0; i < 3; i++)
        take(1);
    ck_assert_ptr_eq(list, first);
}
END_TEST

START_TEST(each_change_adds_one)
{
    const struct routes *first;

    take(1);
    first = list;
    map.slot_shards[SLOTS - 1] = 1;
    take(2);
    take(2);
    strcpy(map.endpoints[SHARDS - 1], "tcp://host:9");
    take(3);
    map.epoch.n_shards--;
    take(4);
    map.epoch.n_slot_shards--;
    take(5);
    ck_assert_str_eq(first->endpoints[SHARDS - 1], "tcp://host:1"); /* somebody may read it still */
    ck_assert_uint_eq(first->slot_shards[SLOTS - 1], 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("routes");
    TCase *tests = tcase_create("routes");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, an_epoch_that_changes_nothing_adds_nothing);
    tcase_add_test(tests, each_change_adds_one);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
