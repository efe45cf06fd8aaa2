/* Where a shard is in the chains of a map. */
#include "check_main.h"

#include "slot_map.h"

#include <string.h>

#define SHARDS  4
#define THREADS 2
#define SLOTS   4

/* Four shards of servers "one" and "two"; chains of up to two. */
struct chart {
    Cairn__Shard shards[SHARDS], *pointers[SHARDS];
    Cairn__SlotCopy copies[2], *copy_pointers[2];
    uint32_t slots[2 * SLOTS];
    struct slot_map_params params;
};

static void chart_init(struct chart *chart)
{
    static const uint32_t slots[2 * SLOTS] = {0, 2, 3, 1, 2, SLOT_NOBODY, 1, 0};

    for (uint32_t i = 0; i < SHARDS; i++) {
        cairn__shard__init(&chart->shards[i]);
        chart->shards[i].server = (char *)(i < 2 ? "one" : "two");
        chart->shards[i].index = i % 2;
        chart->shards[i].endpoint = (char *)(i < 2 ? "ipc://one" : "ipc://two");
        chart->pointers[i] = &chart->shards[i];
    }
    for (uint32_t i = 0; i < 2; i++) {
        cairn__slot_copy__init(&chart->copies[i]);
        chart->copy_pointers[i] = &chart->copies[i];
    }
    chart->copies[0] = (Cairn__SlotCopy){chart->copies[0].base, 0, 1, 3};
    chart->copies[1] = (Cairn__SlotCopy){chart->copies[1].base, 2, 0, 2};
    memcpy(chart->slots, slots, sizeof(slots));
    chart->params = (struct slot_map_params){.number = 3,
                                             .shards = chart->pointers,
                                             .shard_count = SHARDS,
                                             .slot_shards = chart->slots,
                                             .place_count = 2 * SLOTS,
                                             .replicas = 2,
                                             .copies = chart->copy_pointers,
                                             .copy_count = 2};
}

static struct slot_map *map_of(const struct chart *chart, const char *server)
{
    struct slot_map *map = NULL;
    struct error error = {.message = ""};

    ck_assert_msg(slot_map_new(&chart->params, server, THREADS, SLOTS, &map, &error) == CAIRN_OK, "%s",
                  error.message);
    return map;
}

START_TEST(neighbours_see_each_other)
{
    struct chart chart;
    struct slot_map *one, *two;
    struct slot_place place;

    chart_init(&chart);
    one = map_of(&chart, "one");
    two = map_of(&chart, "two");
    place = slot_map_place(one, 0, 0);
    ck_assert(place.is_member && place.is_head && !place.is_copy && !place.after_is_copy);
    ck_assert(place.before == SLOT_NOBODY && place.after == 2);
    place = slot_map_place(two, 0, 0);
    ck_assert(place.is_member && !place.is_head && !place.is_copy && place.after_is_copy);
    ck_assert(place.before == 0 && place.after == 1 && place.copy_number == 3);
    place = slot_map_place(one, 1, 0);
    ck_assert(place.is_member && !place.is_head && place.is_copy);
    ck_assert(place.before == 2 && place.after == SLOT_NOBODY);
    ck_assert(!slot_map_place(two, 1, 0).is_member);
    slot_map_unref(one);
    slot_map_unref(two);
}
END_TEST

START_TEST(a_chain_may_be_shorter)
{
    struct chart chart;
    struct slot_map *one, *two;
    struct slot_place place;

    chart_init(&chart);
    one = map_of(&chart, "one");
    two = map_of(&chart, "two");
    place = slot_map_place(two, 0, 2);
    ck_assert(place.is_head && place.after == 0 && place.after_is_copy && place.before == SLOT_NOBODY);
    place = slot_map_place(one, 0, 2);
    ck_assert(place.is_copy && place.is_member && !place.is_head && place.before == 2 &&
              place.copy_number == 2);
    ck_assert_uint_eq(slot_map_head(one, 2), 2);
    ck_assert_uint_eq(slot_map_head(one, 3), 1);
    slot_map_unref(one);
    slot_map_unref(two);
}
END_TEST

START_TEST(who_takes_no_part_has_nothing)
{
    struct chart chart;
    struct slot_map *map;

    chart_init(&chart);
    map = map_of(&chart, "three");
    ck_assert(!slot_map_takes_part(map, 0) && !slot_map_takes_part(map, 1));
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        ck_assert(!slot_map_place(map, 0, slot).is_member && !slot_map_place(map, 1, slot).is_head);
    slot_map_unref(map);
}
END_TEST

static void expect_refused(const struct chart *chart, const char *words)
{
    struct slot_map *map = NULL;
    struct error error;

    ck_assert_int_eq(slot_map_new(&chart->params, "one", THREADS, SLOTS, &map, &error), CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, words) != NULL, "%s", error.message);
    ck_assert_ptr_null(map);
}

START_TEST(maps_of_something_else_are_refused)
{
    struct chart chart;

    chart_init(&chart);
    chart.params.place_count--;
    expect_refused(&chart, "slots");
    chart_init(&chart);
    chart.slots[5] = SHARDS;
    expect_refused(&chart, "slot 2");
    chart_init(&chart);
    chart.copies[0].slot = SLOTS;
    expect_refused(&chart, "slot 4");
    chart_init(&chart);
    chart.shards[0].index = THREADS;
    expect_refused(&chart, "shard thread 2");
}
END_TEST

static Suite *slot_map_suite(void)
{
    Suite *suite = suite_create("slot_map");
    TCase *tests = tcase_create("slot_map");

    tcase_add_test(tests, neighbours_see_each_other);
    tcase_add_test(tests, a_chain_may_be_shorter);
    tcase_add_test(tests, who_takes_no_part_has_nothing);
    tcase_add_test(tests, maps_of_something_else_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(slot_map_suite)
