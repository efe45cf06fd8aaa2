/* Exchanges between shards: all get the same totals, whatever is late, early, lost for a while or said twice.
 */
#include "check_main.h"
#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#define SHARDS  4
#define SUMS    3
#define NUMBERS 200

static const bool all[SHARDS] = {true, true, true, true}, alone[SHARDS] = {true};
static uint64_t state = 5;

static uint32_t draw(uint32_t bound)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % bound;
}

static double term(uint64_t number, uint32_t position, uint32_t sum)
{
    return (double)(number * 977 + position * 31 + sum + 1) * 0x1p-40;
}

static double expected(uint64_t number, uint32_t sum)
{
    double total = 0;

    for (uint32_t position = 0; position < SHARDS; position++)
        total += term(number, position, sum); /* exact: few bits */
    return total;
}

/* What a shard has sent, for delivery at any time. */
struct sent {
    uint64_t number;
    uint32_t from;
    struct exact_sum sums[SUMS];
};

static void give(struct exchange *exchange, uint32_t position, struct sent *sent)
{
    for (uint32_t i = 0; i < SUMS; i++)
        exact_sum_add(&exchange_part(exchange)[i], term(exchange_number(exchange), position, i));
    exchange_give(exchange);
    sent->number = exchange_number(exchange);
    sent->from = position;
    memcpy(sent->sums, exchange_part(exchange), sizeof(sent->sums));
}

/* Delivers a message, perhaps; a late one is answered, perhaps. */
static void deliver(struct exchange *const shards[SHARDS], uint32_t to, const struct sent *sent)
{
    bool is_late;

    if (draw(4) == 0)
        return;
    ck_assert_int_eq(exchange_take(shards[to], sent->number, sent->from, sent->sums, &is_late, NULL),
                     CAIRN_OK);
    if (is_late && draw(4) != 0)
        ck_assert_int_eq(exchange_take(shards[sent->from], sent->number, to, exchange_before_part(shards[to]),
                                       &is_late, NULL),
                         CAIRN_OK);
}

/* Each shard gives its part as soon as it may and says it again while it waits; of what is said a quarter is
 * lost. */
START_TEST(all_shards_get_the_same_totals)
{
    struct exchange *shards[SHARDS];
    struct sent sent[SHARDS];
    uint64_t done = 0;

    for (uint32_t i = 0; i < SHARDS; i++)
        shards[i] = exchange_new(SUMS, SHARDS, i, all, 0);
    while (done < SHARDS * (uint64_t)NUMBERS) {
        uint32_t from = draw(SHARDS), to = draw(SHARDS);
        struct exchange *exchange = shards[from];

        if (exchange_number(exchange) == NUMBERS)
            continue;
        if (exchange_is_whole(exchange)) {
            for (uint32_t i = 0; i < SUMS; i++)
                ck_assert(exact_sum_value(&exchange_total(exchange)[i]) ==
                          expected(exchange_number(exchange), i));
            exchange_next(exchange);
            done++;
        } else if (!exchange_waits(exchange)) {
            give(exchange, from, &sent[from]);
        } else if (from != to) {
            deliver(shards, to, &sent[from]);
        }
    }
    for (uint32_t i = 0; i < SHARDS; i++)
        exchange_free(shards[i]);
}
END_TEST

START_TEST(who_is_alone_is_whole)
{
    struct exchange *exchange = exchange_new(SUMS, SHARDS, 0, alone, 7);

    ck_assert(!exchange_is_whole(exchange));
    exact_sum_add(exchange_part(exchange), 2.0);
    exchange_give(exchange);
    ck_assert(exchange_is_whole(exchange));
    ck_assert(exact_sum_value(exchange_total(exchange)) == 2.0);
    exchange_next(exchange);
    ck_assert_uint_eq(exchange_number(exchange), 8);
    ck_assert(!exchange_is_whole(exchange));
    exchange_free(exchange);
    exchange_free(NULL);
}
END_TEST

START_TEST(foreign_parts_are_refused)
{
    struct exchange *exchange = exchange_new(SUMS, SHARDS, 1, all, 5);
    struct exact_sum sums[SUMS] = {{.foreign = 0}};
    struct error error;
    bool is_late;

    ck_assert_int_eq(exchange_take(exchange, 5, SHARDS, sums, &is_late, &error), CAIRN_PROTOCOL);
    ck_assert_int_eq(exchange_take(exchange, 5, 1, sums, &is_late, &error), CAIRN_PROTOCOL);
    ck_assert_int_eq(exchange_take(exchange, 7, 0, sums, &is_late, &error), CAIRN_PROTOCOL);
    sums[2].limbs[0] = -5;
    ck_assert_int_eq(exchange_take(exchange, 5, 0, sums, &is_late, &error), CAIRN_PROTOCOL);
    sums[2].limbs[0] = 5;
    ck_assert_int_eq(exchange_take(exchange, 5, 0, sums, &is_late, &error), CAIRN_OK);
    ck_assert_int_eq(exchange_take(exchange, 4, 0, sums, &is_late, &error), CAIRN_OK); /* old */
    ck_assert(is_late);
    exchange_free(exchange);
}
END_TEST

static Suite *exchange_suite(void)
{
    Suite *suite = suite_create("exchange");
    TCase *tests = tcase_create("exchange");

    tcase_add_test(tests, all_shards_get_the_same_totals);
    tcase_add_test(tests, who_is_alone_is_whole);
    tcase_add_test(tests, foreign_parts_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(exchange_suite)
