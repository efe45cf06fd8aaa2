/* Rounds of measuring and exchanging. There is a sum for each parameter whose gradients are clipped, and in
 * lamb's round two for each; those of all parameters together are added up where global_clipnorm needs it. */
#include "norm_rounds.h"

#include <stdlib.h>
#include <string.h>

enum { SUM_WEIGHTS, SUM_UPDATE, TRUST_SUMS };

struct norm_rounds {
    const struct optimizer_spec *spec;
    const struct graph *graph;
    uint32_t parameter_count, parameter_sums; /* sums of each */
    uint32_t round_count;                     /* of a version */
    uint32_t reach;                           /* of the exchange */
    bool clips;
    uint64_t since; /* the number from which on all totals were known here */
    struct exchange *exchange;
    struct exact_sum *part; /* that is being measured, and the number of its first sum */
    uint32_t part_first;
    struct exchange_range *ranges; /* [piece_count] */
    float *scales, *trusts;        /* [parameter_count] */
};

/* ---- life */

/* The parameters that each chunk of a graph has segments of. */
static void ranges_of_chunks(struct norm_rounds *rounds, const struct norm_params *params)
{
    struct norms_segment segment = {0, 0, 0};

    for (uint32_t piece = 0; piece < params->piece_count; piece++) {
        uint64_t begin = (uint64_t)piece * params->chunk_floats, end = begin + params->chunk_floats;
        uint32_t first = UINT32_MAX;

        if (end > params->graph->floats)
            end = params->graph->floats;
        while (norms_next_segment(params->graph, end, &segment)) {
            if (first == UINT32_MAX)
                first = segment.parameter;
        }
        rounds->ranges[piece] = (struct exchange_range){
            first * rounds->parameter_sums, (segment.parameter + 1 - first) * rounds->parameter_sums};
    }
}

static void ranges_fill(struct norm_rounds *rounds, const struct norm_params *params)
{
    if (params->graph) {
        ranges_of_chunks(rounds, params);
        return;
    }
    for (uint32_t piece = 0; piece < params->piece_count; piece++)
        rounds->ranges[piece] = (struct exchange_range){0, rounds->parameter_sums};
}

static struct exchange *exchange_make(const struct norm_rounds *rounds, const struct norm_params *params)
{
    const struct exchange_params exchange = {
        .sum_count = rounds->parameter_count * rounds->parameter_sums,
        .piece_count = params->piece_count,
        .ranges = rounds->ranges,
        .reach = rounds->reach,
        .number = rounds->since,
    };

    return exchange_new(&exchange);
}

struct norm_rounds *norm_rounds_new(const struct norm_params *params, uint64_t version)
{
    struct norm_rounds *rounds = calloc(1, sizeof(*rounds));

    if (!rounds)
        return NULL;
    rounds->spec = params->spec;
    rounds->graph = params->graph;
    rounds->parameter_count = params->graph ? params->graph->parameter_count : 1;
    rounds->parameter_sums = params->spec->type == OPTIMIZER_LAMB ? TRUST_SUMS : 1;
    rounds->clips = params->spec->clipnorm > 0.0 || params->spec->global_clipnorm > 0.0;
    rounds->round_count = (rounds->clips ? 1 : 0) + (params->spec->type == OPTIMIZER_LAMB ? 1 : 0);
    BUG_IF(rounds->round_count == 0 || params->apart == 0);
    rounds->reach = params->apart * rounds->round_count;
    rounds->since = version * rounds->round_count;
    rounds->ranges = calloc(params->piece_count, sizeof(rounds->ranges[0]));
    rounds->scales = calloc(rounds->parameter_count, sizeof(rounds->scales[0]));
    rounds->trusts = calloc(rounds->parameter_count, sizeof(rounds->trusts[0]));
    if (rounds->ranges && rounds->scales && rounds->trusts) {
        ranges_fill(rounds, params);
        rounds->exchange = exchange_make(rounds, params);
    }
    if (!rounds->exchange) {
        norm_rounds_free(rounds);
        return NULL;
    }
    for (uint32_t i = 0; i < rounds->parameter_count; i++)
        rounds->scales[i] = rounds->trusts[i] = 1.0f;
    return rounds;
}

void norm_rounds_free(struct norm_rounds *rounds)
{
    if (!rounds)
        return;
    exchange_free(rounds->exchange);
    free(rounds->ranges);
    free(rounds->scales);
    free(rounds->trusts);
    free(rounds);
}

/* ---- the round at hand */

static uint64_t number_of(const struct norm_rounds *rounds)
{
    return exchange_number(rounds->exchange);
}

static uint32_t round_of(const struct norm_rounds *rounds)
{
    return (uint32_t)(number_of(rounds) % rounds->round_count);
}

bool norm_rounds_ready(const struct norm_rounds *rounds, uint64_t version)
{
    return number_of(rounds) == (version + 1) * rounds->round_count &&
           rounds->since <= version * rounds->round_count;
}

bool norm_rounds_is_at(const struct norm_rounds *rounds, uint64_t version)
{
    return number_of(rounds) / rounds->round_count == version &&
           rounds->since <= version * rounds->round_count;
}

bool norm_rounds_is_trust(const struct norm_rounds *rounds)
{
    return round_of(rounds) == (rounds->clips ? 1 : 0);
}

bool norm_rounds_is_first(const struct norm_rounds *rounds)
{
    return round_of(rounds) == 0;
}

/* ---- measuring */

bool norm_rounds_segment(const struct norm_rounds *rounds, uint64_t end, struct norms_segment *segment)
{
    if (rounds->graph)
        return norms_next_segment(rounds->graph, end, segment);
    segment->begin = segment->end;
    segment->end = end;
    segment->parameter = 0;
    return segment->begin < end;
}

void norm_rounds_begin(struct norm_rounds *rounds, uint32_t piece)
{
    rounds->part = exchange_part(rounds->exchange, piece);
    rounds->part_first = rounds->ranges[piece].first;
}

static struct exact_sum *part_sums(struct norm_rounds *rounds, uint32_t parameter)
{
    return rounds->part + (parameter * rounds->parameter_sums - rounds->part_first);
}

void norm_rounds_add_gradient(struct norm_rounds *rounds, uint32_t parameter, double squares)
{
    exact_sum_add(part_sums(rounds, parameter), squares);
}

void norm_rounds_add_gradients(struct norm_rounds *rounds, uint32_t parameter,
                               const struct exact_sum *squares)
{
    exact_sum_merge(part_sums(rounds, parameter), squares);
}

void norm_rounds_add_trust(struct norm_rounds *rounds, uint32_t parameter,
                           const struct optimizer_squares *squares)
{
    struct exact_sum *sums = part_sums(rounds, parameter);

    exact_sum_add(&sums[SUM_WEIGHTS], squares->weights);
    exact_sum_add(&sums[SUM_UPDATE], squares->update);
}

void norm_rounds_give(struct norm_rounds *rounds)
{
    exchange_give(rounds->exchange);
}

/* ---- factors */

static void take_scales(struct norm_rounds *rounds, const struct exact_sum *totals)
{
    for (uint32_t i = 0; i < rounds->parameter_count; i++)
        rounds->scales[i] =
            norms_clip_scale(rounds->spec->clipnorm, exact_sum_value(&totals[i * rounds->parameter_sums]));
}

static void take_one_scale(struct norm_rounds *rounds, const struct exact_sum *totals)
{
    struct exact_sum all = totals[0];
    float scale;

    for (uint32_t i = 1; i < rounds->parameter_count; i++)
        exact_sum_merge(&all, &totals[i * rounds->parameter_sums]);
    scale = norms_clip_scale(rounds->spec->global_clipnorm, exact_sum_value(&all));
    for (uint32_t i = 0; i < rounds->parameter_count; i++)
        rounds->scales[i] = scale;
}

static void take_trusts(struct norm_rounds *rounds, const struct exact_sum *totals)
{
    for (uint32_t i = 0; i < rounds->parameter_count; i++)
        rounds->trusts[i] = norms_trust_ratio(exact_sum_value(&totals[TRUST_SUMS * i + SUM_WEIGHTS]),
                                              exact_sum_value(&totals[TRUST_SUMS * i + SUM_UPDATE]));
}

bool norm_rounds_settle(struct norm_rounds *rounds)
{
    const struct exact_sum *totals = exchange_total(rounds->exchange);

    if (!exchange_is_whole(rounds->exchange))
        return false;
    if (norm_rounds_is_trust(rounds))
        take_trusts(rounds, totals);
    else if (rounds->spec->clipnorm > 0.0)
        take_scales(rounds, totals);
    else
        take_one_scale(rounds, totals);
    exchange_next(rounds->exchange);
    return true;
}

struct exchange *norm_rounds_exchange(struct norm_rounds *rounds)
{
    return rounds->exchange;
}

float norm_rounds_scale(const struct norm_rounds *rounds, uint32_t parameter)
{
    return rounds->scales[parameter];
}

float norm_rounds_trust(const struct norm_rounds *rounds, uint32_t parameter)
{
    return rounds->trusts[parameter];
}

/* ---- what goes with a piece: of each exchange its number and then its total, as it is told */

static size_t known_bytes(const struct norm_rounds *rounds)
{
    return sizeof(uint64_t) + exchange_total_bytes(rounds->exchange);
}

/* The first exchange from which on all totals are kept. */
static uint64_t known_from(const struct norm_rounds *rounds)
{
    uint64_t number = number_of(rounds);

    while (number > 0 && exchange_keeps(rounds->exchange, number - 1))
        number--;
    return number;
}

size_t norm_rounds_known_bytes(const struct norm_rounds *rounds)
{
    return (size_t)(number_of(rounds) - known_from(rounds)) * known_bytes(rounds);
}

void norm_rounds_tell_known(const struct norm_rounds *rounds, void *known)
{
    uint64_t number = known_from(rounds);

    for (char *at = known; number < number_of(rounds); number++, at += known_bytes(rounds)) {
        *(uint64_t *)(void *)at = number;
        exchange_tell_total(rounds->exchange, number, at + sizeof(uint64_t));
    }
}

/* The number of one of them, and the next one; NULL: there are no more. */
static const uint64_t *known_next(const struct norm_rounds *rounds, const void *known, size_t length_bytes,
                                  size_t index)
{
    size_t at = index * known_bytes(rounds);

    return at < length_bytes ? (const uint64_t *)known + at / sizeof(uint64_t) : NULL;
}

bool norm_rounds_are_known(const struct norm_rounds *rounds, uint64_t version, const void *known,
                           size_t length_bytes)
{
    uint64_t begin = version * rounds->round_count, end = begin + rounds->round_count;
    const uint64_t *first = known;

    if (length_bytes % known_bytes(rounds) != 0 || length_bytes / known_bytes(rounds) > rounds->reach)
        return false;
    for (size_t i = 0; i * known_bytes(rounds) < length_bytes; i++) {
        const uint64_t *number = known_next(rounds, known, length_bytes, i);

        if (*number + rounds->reach < begin || *number >= end || *number != *first + i ||
            !exchange_is_total(rounds->exchange, number + 1))
            return false;
    }
    return true;
}

/* Goes on without the totals of what is passed over: the factors of its versions will not be known here. */
static bool skip(struct norm_rounds *rounds, uint64_t number)
{
    if (number <= number_of(rounds))
        return false;
    exchange_skip(rounds->exchange, number);
    rounds->since = number;
    return true;
}

bool norm_rounds_take_known(struct norm_rounds *rounds, uint64_t version, const void *known,
                            size_t length_bytes)
{
    const uint64_t *number;
    bool has_skipped = false;
    struct error error;

    for (size_t i = 0; (number = known_next(rounds, known, length_bytes, i)); i++) {
        has_skipped = skip(rounds, *number) || has_skipped;
        if (*number == number_of(rounds) &&
            exchange_take(rounds->exchange, *number, number + 1, exchange_total_bytes(rounds->exchange),
                          &error) == CAIRN_OK)
            norm_rounds_settle(rounds);
    }
    return skip(rounds, version * rounds->round_count) || has_skipped;
}
