/* Exchanges of sums: all who take part get the same totals, whoever gives a piece's part, how many do, and
 * whatever is late, early, lost for a while or said twice. */
#include "check_main.h"
#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#define SHARDS     4
#define PIECES     6
#define SUMS       5
#define KEPT       2
#define NUMBERS    200
#define TOLD_BYTES ((size_t)8192)

/* The last piece is none. */
static const struct exchange_range ranges[PIECES] = {{0, 1}, {0, 3}, {2, 1}, {2, 3}, {4, 1}, {0, 0}};
static uint64_t state = 5;

static uint32_t draw(uint32_t bound)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 33) % bound;
}

static struct exchange *new_at(uint64_t number)
{
    const struct exchange_params params = {SUMS, PIECES, ranges, KEPT, number};
    struct exchange *exchange = exchange_new(&params);

    ck_assert_ptr_nonnull(exchange);
    return exchange;
}

static double term(uint64_t number, uint32_t piece, uint32_t sum)
{
    return (double)(number * 977 + piece * 31 + sum + 1) * 0x1p-40;
}

static void check_totals(const struct exact_sum *totals, uint64_t number)
{
    for (uint32_t sum = 0; sum < SUMS; sum++) {
        double expected = 0;

        for (uint32_t piece = 0; piece < PIECES; piece++) {
            if (sum >= ranges[piece].first && sum < ranges[piece].first + ranges[piece].count)
                expected += term(number, piece, sum); /* exact: few bits */
        }
        ck_assert(exact_sum_value(&totals[sum]) == expected);
    }
}

static void give(struct exchange *exchange, uint32_t piece)
{
    struct exact_sum *sums = exchange_part(exchange, piece);

    for (uint32_t i = 0; i < ranges[piece].count; i++)
        exact_sum_add(&sums[i], term(exchange_number(exchange), piece, ranges[piece].first + i));
    exchange_give(exchange);
}

static void give_all(struct exchange *exchange)
{
    for (uint32_t piece = 0; piece + 1 < PIECES; piece++)
        give(exchange, piece);
}

static void take(struct exchange *exchange, uint64_t number, const void *told, size_t length)
{
    ck_assert_int_eq(exchange_take(exchange, number, told, length, NULL), CAIRN_OK);
}

/* Tells what was given, in messages of one part and more, of which some are lost. */
static void tell(const struct exchange *from, struct exchange *to)
{
    size_t at = 0, length;
    const void *told;

    while ((told = exchange_given(from, at, draw(2) ? 8 : TOLD_BYTES, &length)) && length > 0) {
        if (draw(4) > 0)
            take(to, exchange_number(from), told, length);
        at += length;
    }
}

/* Answers one who asks. */
static void answer(const struct exchange *from, struct exchange *to)
{
    uint64_t number = exchange_number(to);
    uint64_t told[TOLD_BYTES / sizeof(uint64_t)];

    if (draw(4) == 0)
        return;
    if (exchange_keeps(from, number)) {
        exchange_tell_total(from, number, told);
        take(to, number, told, exchange_total_bytes(from));
    } else {
        tell(from, to);
    }
}

static uint64_t least_number(struct exchange *const shards[SHARDS])
{
    uint64_t least = UINT64_MAX;

    for (uint32_t i = 0; i < SHARDS; i++) {
        if (exchange_number(shards[i]) < least)
            least = exchange_number(shards[i]);
    }
    return least;
}

/* Whose a piece is changes all the time, and some know it late: so two may give its part. */
START_TEST(all_get_the_same_totals)
{
    struct exchange *shards[SHARDS];
    uint32_t owners[PIECES] = {0}, next = 0;

    for (uint32_t i = 0; i < SHARDS; i++)
        shards[i] = new_at(0);
    while (least_number(shards) < NUMBERS) {
        uint32_t from = draw(SHARDS), to = (from + 1 + draw(SHARDS - 1)) % SHARDS, piece = draw(PIECES - 1);
        struct exchange *exchange = shards[from];

        if (draw(20) == 0)
            owners[draw(PIECES)] = next++ % SHARDS;
        if (exchange_is_whole(exchange)) {
            check_totals(exchange_total(exchange), exchange_number(exchange));
            exchange_next(exchange);
        } else if ((owners[piece] == from || draw(50) == 0) && !exchange_has_given(exchange, piece) &&
                   exchange_number(exchange) < least_number(shards) + KEPT) {
            give(exchange, piece);
        } else if (draw(2)) {
            tell(exchange, shards[to]);
        } else {
            answer(shards[to], exchange);
        }
    }
    for (uint32_t i = 0; i < SHARDS; i++)
        exchange_free(shards[i]);
}
END_TEST

START_TEST(who_has_all_pieces_is_whole)
{
    struct exchange *exchange = new_at(7);

    give_all(exchange);
    ck_assert(exchange_is_whole(exchange));
    check_totals(exchange_total(exchange), 7);
    exchange_next(exchange);
    ck_assert_uint_eq(exchange_number(exchange), 8);
    ck_assert(!exchange_is_whole(exchange));
    ck_assert(!exchange_has_given(exchange, 0));
    exchange_free(exchange);
    exchange_free(NULL);
}
END_TEST

START_TEST(totals_are_kept_for_a_while)
{
    struct exchange *exchange = new_at(3), *behind = new_at(4);
    uint64_t told[TOLD_BYTES / sizeof(uint64_t)];

    for (uint64_t number = 3; number < 6; number++) {
        give_all(exchange);
        exchange_next(exchange);
    }
    ck_assert(!exchange_keeps(exchange, 3));
    ck_assert(exchange_keeps(exchange, 4) && exchange_keeps(exchange, 5));
    ck_assert(!exchange_keeps(exchange, 6) && !exchange_keeps(exchange, 7));
    exchange_tell_total(exchange, 4, told);
    ck_assert(exchange_is_total(behind, told));
    take(behind, 4, told, exchange_total_bytes(exchange));
    ck_assert(exchange_is_whole(behind));
    check_totals(exchange_total(behind), 4);
    exchange_free(exchange);
    exchange_free(behind);
}
END_TEST

/* Who is behind counts what those who are ahead tell of all exchanges that are kept for it, and no more. */
START_TEST(what_comes_early_counts)
{
    struct exchange *behind = new_at(3);

    for (uint64_t number = 4; number <= 4 + KEPT; number++) {
        struct exchange *ahead = new_at(number);
        size_t length;
        const void *told;

        give_all(ahead);
        told = exchange_given(ahead, 0, TOLD_BYTES, &length);
        take(behind, number, told, length);
        exchange_free(ahead);
    }
    give_all(behind);
    for (uint64_t number = 3; number <= 3 + KEPT; number++) {
        ck_assert(exchange_is_whole(behind));
        check_totals(exchange_total(behind), number);
        exchange_next(behind);
    }
    ck_assert(!exchange_is_whole(behind));
    exchange_free(behind);
}
END_TEST

/* What is passed over is not known, but what has come early is. */
START_TEST(who_skips_keeps_what_came_early)
{
    struct exchange *exchange = new_at(3), *ahead = new_at(4);
    size_t length;
    const void *told;

    give(exchange, 0);
    give_all(ahead);
    told = exchange_given(ahead, 0, TOLD_BYTES, &length);
    take(exchange, 4, told, length);
    exchange_skip(exchange, 4);
    ck_assert(!exchange_keeps(exchange, 3));
    ck_assert(exchange_is_whole(exchange));
    check_totals(exchange_total(exchange), 4);
    exchange_skip(exchange, 1000);
    ck_assert(!exchange_is_whole(exchange) && !exchange_keeps(exchange, 999));
    give_all(exchange);
    check_totals(exchange_total(exchange), 1000);
    exchange_free(exchange);
    exchange_free(ahead);
}
END_TEST

START_TEST(what_was_told_is_known)
{
    struct exchange *exchange = new_at(0);
    size_t length;

    ck_assert_uint_eq(exchange_untold(exchange), 0);
    give(exchange, 1);
    exchange_mark_told(exchange);
    give(exchange, 0);
    exchange_given(exchange, exchange_untold(exchange), TOLD_BYTES, &length);
    ck_assert_uint_eq(length, sizeof(uint64_t) + sizeof(struct exact_sum));
    exchange_mark_told(exchange);
    exchange_given(exchange, exchange_untold(exchange), TOLD_BYTES, &length);
    ck_assert_uint_eq(length, 0);
    exchange_free(exchange);
}
END_TEST

START_TEST(foreign_parts_are_refused)
{
    struct exchange *exchange = new_at(5), *other = new_at(5);
    uint64_t told[TOLD_BYTES / sizeof(uint64_t)];
    size_t length, one = sizeof(uint64_t) + sizeof(struct exact_sum);
    struct error error;

    give(other, 0);
    give(other, 2);
    memcpy(told, exchange_given(other, 0, TOLD_BYTES, &length), TOLD_BYTES / 8);
    ck_assert_uint_eq(length, 2 * one);
    ck_assert_int_eq(exchange_take(exchange, 5, told, length - 4, &error), CAIRN_PROTOCOL);
    ck_assert_int_eq(exchange_take(exchange, 5, told, length - 8, &error), CAIRN_PROTOCOL);
    ck_assert_int_eq(exchange_take(exchange, 5, told, 8, &error), CAIRN_PROTOCOL);
    told[one / 8] = PIECES; /* a total, which has more sums */
    ck_assert_int_eq(exchange_take(exchange, 5, told, length, &error), CAIRN_PROTOCOL);
    told[one / 8] = PIECES - 1;
    ck_assert_int_eq(exchange_take(exchange, 5, told, length, &error), CAIRN_PROTOCOL);
    told[one / 8] = PIECES + 1;
    ck_assert_int_eq(exchange_take(exchange, 5, told, length, &error), CAIRN_PROTOCOL);
    told[one / 8] = UINT64_C(1) << 32 | 2;
    ck_assert_int_eq(exchange_take(exchange, 5, told, length, &error), CAIRN_PROTOCOL);
    told[one / 8] = 2;
    told[one / 8 + 1] = UINT64_MAX; /* a limb below zero */
    ck_assert_int_eq(exchange_take(exchange, 5, told, length, &error), CAIRN_PROTOCOL);
    give(exchange, 1);
    give(exchange, 3);
    give(exchange, 4);
    give(exchange, 2);
    ck_assert(!exchange_is_whole(exchange)); /* nothing of the messages was taken */
    told[one / 8 + 1] = 0;
    take(exchange, 4, told, one); /* old */
    take(exchange, 7, told, one); /* far ahead */
    take(exchange, UINT64_MAX, told, one);
    ck_assert(!exchange_is_whole(exchange));
    take(exchange, 5, told, one);
    ck_assert(exchange_is_whole(exchange));
    check_totals(exchange_total(exchange), 5);
    exchange_free(exchange);
    exchange_free(other);
}
END_TEST

static Suite *exchange_suite(void)
{
    Suite *suite = suite_create("exchange");
    TCase *tests = tcase_create("exchange");

    tcase_add_test(tests, all_get_the_same_totals);
    tcase_add_test(tests, who_has_all_pieces_is_whole);
    tcase_add_test(tests, totals_are_kept_for_a_while);
    tcase_add_test(tests, what_comes_early_counts);
    tcase_add_test(tests, who_skips_keeps_what_came_early);
    tcase_add_test(tests, what_was_told_is_known);
    tcase_add_test(tests, foreign_parts_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(exchange_suite)
