/* A window of exchanges: those that are kept, the one at hand and those after it. What is told is a row of
 * parts: a number of a piece and its sums; the number after the last piece's stands for all, and is a total.
 */
#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#define SUM_WORDS (sizeof(struct exact_sum) / sizeof(uint64_t))

/* What has been heard of one exchange. */
struct round {
    struct exact_sum *totals; /* [sum_count] */
    bool *heard;              /* [piece_count] */
    uint32_t heard_count;     /* part_count: it is whole */
};

struct exchange {
    uint32_t sum_count, piece_count, part_count, reach;
    struct exchange_range *ranges; /* [piece_count] */
    uint64_t number;
    struct round *rounds; /* [window]: by number modulo that */
    uint64_t *given;      /* as it is told */
    size_t given_words, told_words;
    bool *has_given; /* [piece_count] */
    uint32_t open;   /* the piece whose part is being added to */
};

static size_t part_words(uint32_t sums)
{
    return 1 + sums * SUM_WORDS;
}

static uint32_t window(const struct exchange *exchange)
{
    return 2 * exchange->reach + 1;
}

static struct round *round_of(const struct exchange *exchange, uint64_t number)
{
    return &exchange->rounds[number % window(exchange)];
}

/* ---- life */

static bool round_init(struct round *round, const struct exchange *exchange)
{
    round->totals = calloc(exchange->sum_count, sizeof(round->totals[0]));
    round->heard = calloc(exchange->piece_count, sizeof(round->heard[0]));
    return round->totals && round->heard;
}

static bool rounds_make(struct exchange *exchange)
{
    bool is_whole;

    exchange->rounds = calloc(window(exchange), sizeof(exchange->rounds[0]));
    is_whole = exchange->rounds != NULL;
    for (uint32_t i = 0; is_whole && i < window(exchange); i++)
        is_whole = round_init(&exchange->rounds[i], exchange);
    return is_whole;
}

/* The ranges, and room for a part of each piece. */
static bool parts_make(struct exchange *exchange, const struct exchange_range *ranges)
{
    size_t words = 0;

    exchange->ranges = calloc(exchange->piece_count, sizeof(ranges[0]));
    exchange->has_given = calloc(exchange->piece_count, sizeof(exchange->has_given[0]));
    if (!exchange->ranges || !exchange->has_given)
        return false;
    for (uint32_t piece = 0; piece < exchange->piece_count; piece++) {
        exchange->ranges[piece] = ranges[piece];
        exchange->part_count += ranges[piece].count > 0;
        words += part_words(ranges[piece].count);
    }
    exchange->given = malloc(words * sizeof(exchange->given[0]));
    return exchange->given != NULL;
}

struct exchange *exchange_new(const struct exchange_params *params)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    if (!exchange)
        return NULL;
    exchange->sum_count = params->sum_count;
    exchange->piece_count = params->piece_count;
    exchange->reach = params->reach;
    exchange->number = params->number;
    if (!parts_make(exchange, params->ranges) || !rounds_make(exchange)) {
        exchange_free(exchange);
        return NULL;
    }
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (!exchange)
        return;
    for (uint32_t i = 0; exchange->rounds && i < window(exchange); i++) {
        free(exchange->rounds[i].totals);
        free(exchange->rounds[i].heard);
    }
    free(exchange->rounds);
    free(exchange->ranges);
    free(exchange->given);
    free(exchange->has_given);
    free(exchange);
}

uint64_t exchange_number(const struct exchange *exchange)
{
    return exchange->number;
}

/* ---- parts */

static bool is_whole(const struct exchange *exchange, const struct round *round)
{
    return round->heard_count == exchange->part_count;
}

static void count_in(const struct exchange *exchange, struct round *round, uint32_t piece,
                     const struct exact_sum *sums)
{
    const struct exchange_range *range = &exchange->ranges[piece];

    if (round->heard[piece])
        return;
    round->heard[piece] = true;
    round->heard_count++;
    for (uint32_t i = 0; i < range->count; i++)
        exact_sum_merge(&round->totals[range->first + i], &sums[i]);
}

static void count_all(const struct exchange *exchange, struct round *round, const struct exact_sum *totals)
{
    if (is_whole(exchange, round))
        return;
    memset(round->heard, true, exchange->piece_count * sizeof(round->heard[0]));
    round->heard_count = exchange->part_count;
    memcpy(round->totals, totals, exchange->sum_count * sizeof(totals[0]));
}

bool exchange_has_given(const struct exchange *exchange, uint32_t piece)
{
    return exchange->has_given[piece];
}

struct exact_sum *exchange_part(struct exchange *exchange, uint32_t piece)
{
    uint64_t *part = exchange->given + exchange->given_words;
    struct exact_sum *sums = (struct exact_sum *)(part + 1);

    BUG_IF(exchange->has_given[piece] || exchange->ranges[piece].count == 0);
    exchange->open = piece;
    *part = piece;
    memset(sums, 0, exchange->ranges[piece].count * sizeof(*sums));
    return sums;
}

void exchange_give(struct exchange *exchange)
{
    uint32_t piece = exchange->open, count = exchange->ranges[piece].count;
    struct exact_sum *sums = (struct exact_sum *)(exchange->given + exchange->given_words + 1);

    BUG_IF(exchange->has_given[piece]);
    for (uint32_t i = 0; i < count; i++)
        exact_sum_settle(&sums[i]);
    exchange->has_given[piece] = true;
    exchange->given_words += part_words(count);
    count_in(exchange, round_of(exchange, exchange->number), piece, sums);
}

const void *exchange_given(const struct exchange *exchange, size_t at, size_t most_bytes,
                           size_t *length_bytes)
{
    size_t begin = at / sizeof(uint64_t), end = begin;

    while (end < exchange->given_words) {
        size_t words = part_words(exchange->ranges[exchange->given[end]].count);

        if (end > begin && (end + words - begin) * sizeof(uint64_t) > most_bytes)
            break;
        end += words;
    }
    *length_bytes = (end - begin) * sizeof(uint64_t);
    return exchange->given + begin;
}

size_t exchange_untold(const struct exchange *exchange)
{
    return exchange->told_words * sizeof(uint64_t);
}

void exchange_mark_told(struct exchange *exchange)
{
    exchange->told_words = exchange->given_words;
}

/* ---- what others tell */

/* How many sums a part has; 0: there is no such piece. */
static uint32_t sums_of(const struct exchange *exchange, uint64_t piece)
{
    if (piece == exchange->piece_count)
        return exchange->sum_count;
    return piece < exchange->piece_count ? exchange->ranges[piece].count : 0;
}

static bool are_sound(const struct exact_sum *sums, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!exact_sum_is_sound(&sums[i]))
            return false;
    }
    return true;
}

static enum status check(const struct exchange *exchange, const uint64_t *told, size_t words,
                         struct error *error)
{
    for (size_t at = 0; at < words;) {
        uint32_t count = sums_of(exchange, told[at]);

        if (count == 0 || words - at < part_words(count))
            return error_set(error, CAIRN_PROTOCOL, "sums of no piece of the table, or not all of them");
        if (!are_sound((const struct exact_sum *)(told + at + 1), count))
            return error_set(error, CAIRN_PROTOCOL, "sums that are no sums");
        at += part_words(count);
    }
    return CAIRN_OK;
}

enum status exchange_take(struct exchange *exchange, uint64_t number, const void *told, size_t length_bytes,
                          struct error *error)
{
    const uint64_t *parts = told;
    size_t words = length_bytes / sizeof(uint64_t);
    struct round *round = round_of(exchange, number);
    enum status status;

    if (length_bytes % sizeof(uint64_t) != 0)
        return error_set(error, CAIRN_PROTOCOL, "sums of %zu bytes", length_bytes);
    status = check(exchange, parts, words, error);
    if (status != CAIRN_OK || number < exchange->number || number - exchange->number > exchange->reach)
        return status;
    for (size_t at = 0; at < words; at += part_words(sums_of(exchange, parts[at]))) {
        const struct exact_sum *sums = (const struct exact_sum *)(parts + at + 1);

        if (parts[at] == exchange->piece_count)
            count_all(exchange, round, sums);
        else
            count_in(exchange, round, (uint32_t)parts[at], sums);
    }
    return CAIRN_OK;
}

bool exchange_keeps(const struct exchange *exchange, uint64_t number)
{
    return number < exchange->number && exchange->number - number <= exchange->reach &&
           is_whole(exchange, round_of(exchange, number));
}

size_t exchange_total_bytes(const struct exchange *exchange)
{
    return part_words(exchange->sum_count) * sizeof(uint64_t);
}

void exchange_tell_total(const struct exchange *exchange, uint64_t number, void *told)
{
    uint64_t *part = told;
    struct exact_sum *sums = (struct exact_sum *)(part + 1);

    BUG_IF(!exchange_keeps(exchange, number));
    *part = exchange->piece_count;
    memcpy(sums, round_of(exchange, number)->totals, exchange->sum_count * sizeof(*sums));
    for (uint32_t i = 0; i < exchange->sum_count; i++)
        exact_sum_settle(&sums[i]);
}

bool exchange_is_total(const struct exchange *exchange, const void *told)
{
    const uint64_t *part = told;

    return *part == exchange->piece_count &&
           are_sound((const struct exact_sum *)(part + 1), exchange->sum_count);
}

/* ---- going on */

bool exchange_is_whole(const struct exchange *exchange)
{
    return is_whole(exchange, round_of(exchange, exchange->number));
}

const struct exact_sum *exchange_total(const struct exchange *exchange)
{
    return round_of(exchange, exchange->number)->totals;
}

static void round_clear(const struct exchange *exchange, struct round *round)
{
    memset(round->totals, 0, exchange->sum_count * sizeof(round->totals[0]));
    memset(round->heard, 0, exchange->piece_count * sizeof(round->heard[0]));
    round->heard_count = 0;
}

static void step_on(struct exchange *exchange)
{
    exchange->number++;
    round_clear(exchange, round_of(exchange, exchange->number + exchange->reach));
    memset(exchange->has_given, 0, exchange->piece_count * sizeof(exchange->has_given[0]));
    exchange->given_words = exchange->told_words = 0;
}

void exchange_next(struct exchange *exchange)
{
    BUG_IF(!exchange_is_whole(exchange));
    step_on(exchange);
}

void exchange_skip(struct exchange *exchange, uint64_t number)
{
    BUG_IF(number < exchange->number);
    if (number - exchange->number > window(exchange))
        exchange->number = number - window(exchange);
    while (exchange->number < number)
        step_on(exchange);
}
