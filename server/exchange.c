/* Two rounds side by side: the one at hand and the next. */
#include "exchange.h"

#include <stdlib.h>
#include <string.h>

/* What has been heard of one exchange. */
struct round {
    struct exact_sum *totals; /* [sum_count] */
    bool *heard;              /* [shard_count] */
    uint32_t heard_count;
};

struct exchange {
    uint32_t sum_count, shard_count, position;
    bool *takes_part; /* [shard_count] */
    uint32_t part_count;
    uint64_t number;
    struct exact_sum *part, *before_part;
    struct round rounds[2]; /* of number and number + 1, by their lowest bit */
};

static bool round_init(struct round *round, const struct exchange *exchange)
{
    round->totals = calloc(exchange->sum_count, sizeof(round->totals[0]));
    round->heard = calloc(exchange->shard_count, sizeof(round->heard[0]));
    return round->totals && round->heard;
}

struct exchange *exchange_new(uint32_t sum_count, uint32_t shard_count, uint32_t position,
                              const bool *takes_part, uint64_t number)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    if (!exchange)
        return NULL;
    exchange->sum_count = sum_count;
    exchange->shard_count = shard_count;
    exchange->position = position;
    exchange->number = number;
    exchange->takes_part = calloc(shard_count, sizeof(exchange->takes_part[0]));
    for (uint32_t i = 0; exchange->takes_part && i < shard_count; i++) {
        exchange->takes_part[i] = takes_part[i];
        exchange->part_count += takes_part[i];
    }
    exchange->part = calloc(sum_count, sizeof(exchange->part[0]));
    exchange->before_part = calloc(sum_count, sizeof(exchange->part[0]));
    if (!exchange->takes_part || !exchange->part || !exchange->before_part ||
        !round_init(&exchange->rounds[0], exchange) || !round_init(&exchange->rounds[1], exchange)) {
        exchange_free(exchange);
        return NULL;
    }
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    if (!exchange)
        return;
    for (int i = 0; i < 2; i++) {
        free(exchange->rounds[i].totals);
        free(exchange->rounds[i].heard);
    }
    free(exchange->takes_part);
    free(exchange->part);
    free(exchange->before_part);
    free(exchange);
}

bool exchange_has(const struct exchange *exchange, uint32_t position)
{
    return position < exchange->shard_count && exchange->takes_part[position];
}

uint64_t exchange_number(const struct exchange *exchange)
{
    return exchange->number;
}

uint32_t exchange_sum_count(const struct exchange *exchange)
{
    return exchange->sum_count;
}

struct exact_sum *exchange_part(struct exchange *exchange)
{
    return exchange->part;
}

static void count_in(const struct exchange *exchange, struct round *round, uint32_t position,
                     const struct exact_sum *sums)
{
    if (round->heard[position])
        return;
    round->heard[position] = true;
    round->heard_count++;
    for (uint32_t i = 0; i < exchange->sum_count; i++)
        exact_sum_merge(&round->totals[i], &sums[i]);
}

void exchange_give(struct exchange *exchange)
{
    struct round *round = &exchange->rounds[exchange->number & 1];

    BUG_IF(round->heard[exchange->position]);
    for (uint32_t i = 0; i < exchange->sum_count; i++)
        exact_sum_settle(&exchange->part[i]);
    count_in(exchange, round, exchange->position, exchange->part);
}

enum status exchange_take(struct exchange *exchange, uint64_t number, uint32_t position,
                          const struct exact_sum *sums, bool *is_late, struct error *error)
{
    *is_late = false;
    if (!exchange_has(exchange, position) || position == exchange->position)
        return error_set(error, CAIRN_PROTOCOL, "sums of shard %u of %u", position, exchange->shard_count);
    if (number > exchange->number + 1)
        return error_set(error, CAIRN_PROTOCOL, "sums for exchange %llu, this shard is at %llu",
                         (unsigned long long)number, (unsigned long long)exchange->number);
    for (uint32_t i = 0; i < exchange->sum_count; i++) {
        if (!exact_sum_is_sound(&sums[i]))
            return error_set(error, CAIRN_PROTOCOL, "sums of shard %u that are no sums", position);
    }
    *is_late = number + 1 == exchange->number;
    if (number >= exchange->number)
        count_in(exchange, &exchange->rounds[number & 1], position, sums);
    return CAIRN_OK;
}

const struct exact_sum *exchange_before_part(const struct exchange *exchange)
{
    return exchange->before_part;
}

bool exchange_waits(const struct exchange *exchange)
{
    const struct round *round = &exchange->rounds[exchange->number & 1];

    return round->heard[exchange->position] && round->heard_count < exchange->part_count;
}

bool exchange_is_whole(const struct exchange *exchange)
{
    return exchange->rounds[exchange->number & 1].heard_count == exchange->part_count;
}

const struct exact_sum *exchange_total(const struct exchange *exchange)
{
    return exchange->rounds[exchange->number & 1].totals;
}

void exchange_next(struct exchange *exchange)
{
    struct round *round = &exchange->rounds[exchange->number & 1];

    BUG_IF(!exchange_is_whole(exchange));
    memset(round->totals, 0, exchange->sum_count * sizeof(round->totals[0]));
    memset(round->heard, 0, exchange->shard_count * sizeof(round->heard[0]));
    round->heard_count = 0;
    memcpy(exchange->before_part, exchange->part, exchange->sum_count * sizeof(exchange->part[0]));
    memset(exchange->part, 0, exchange->sum_count * sizeof(exchange->part[0]));
    exchange->number++;
}
