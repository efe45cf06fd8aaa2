/* Rounds of measuring and exchanging. A part has a sum for each parameter whose gradients are clipped (one
 * for all under global_clipnorm), and in lamb's round two for each. */
#include "norm_rounds.h"

#include <stdlib.h>
#include <string.h>

enum { SUM_WEIGHTS, SUM_UPDATE, TRUST_SUMS };

struct norm_rounds {
    const struct optimizer_spec *spec;
    const struct graph *graph;
    uint32_t parameter_count, pieces;
    uint32_t round_count, round; /* round == round_count: ready */
    bool clips;
    uint32_t measured; /* pieces in this round */
    uint64_t version;
    struct exchange *exchange;
    float *scales, *trusts; /* [parameter_count] */
};

static bool clips_each(const struct optimizer_spec *spec)
{
    return spec->clipnorm > 0.0;
}

static uint32_t sums_of(const struct norm_rounds *rounds)
{
    return rounds->spec->type == OPTIMIZER_LAMB ? TRUST_SUMS * rounds->parameter_count
                                                : rounds->parameter_count;
}

static void factors_reset(struct norm_rounds *rounds)
{
    for (uint32_t i = 0; i < rounds->parameter_count; i++)
        rounds->scales[i] = rounds->trusts[i] = 1.0f;
}

struct norm_rounds *norm_rounds_new(const struct norm_params *params, uint64_t version)
{
    struct norm_rounds *rounds = calloc(1, sizeof(*rounds));

    if (!rounds)
        return NULL;
    rounds->spec = params->spec;
    rounds->graph = params->graph;
    rounds->parameter_count = params->graph ? params->graph->parameter_count : 1;
    rounds->pieces = params->pieces;
    rounds->clips = clips_each(params->spec) || params->spec->global_clipnorm > 0.0;
    rounds->round_count = (rounds->clips ? 1 : 0) + (params->spec->type == OPTIMIZER_LAMB ? 1 : 0);
    rounds->version = version;
    BUG_IF(rounds->round_count == 0);
    rounds->exchange = exchange_new(sums_of(rounds), params->shard_count, params->position,
                                    params->takes_part, version * rounds->round_count);
    rounds->scales = calloc(rounds->parameter_count, sizeof(rounds->scales[0]));
    rounds->trusts = calloc(rounds->parameter_count, sizeof(rounds->trusts[0]));
    if (!rounds->exchange || !rounds->scales || !rounds->trusts) {
        norm_rounds_free(rounds);
        return NULL;
    }
    factors_reset(rounds);
    return rounds;
}

void norm_rounds_free(struct norm_rounds *rounds)
{
    if (!rounds)
        return;
    exchange_free(rounds->exchange);
    free(rounds->scales);
    free(rounds->trusts);
    free(rounds);
}

bool norm_rounds_ready(const struct norm_rounds *rounds, uint64_t version)
{
    return rounds->version == version && rounds->round == rounds->round_count;
}

bool norm_rounds_is_ready(const struct norm_rounds *rounds)
{
    return rounds->round == rounds->round_count;
}

void norm_rounds_begin(struct norm_rounds *rounds, uint64_t version)
{
    if (rounds->version == version)
        return;
    BUG_IF(version != rounds->version + 1 || rounds->round != rounds->round_count);
    rounds->version = version;
    rounds->round = 0;
    factors_reset(rounds);
}

uint32_t norm_rounds_round(const struct norm_rounds *rounds)
{
    return rounds->round;
}

bool norm_rounds_is_trust(const struct norm_rounds *rounds)
{
    return rounds->round == (rounds->clips ? 1 : 0);
}

bool norm_rounds_segment(const struct norm_rounds *rounds, uint64_t end, struct norms_segment *segment)
{
    if (rounds->graph)
        return norms_next_segment(rounds->graph, end, segment);
    segment->begin = segment->end;
    segment->end = end;
    segment->parameter = 0;
    return segment->begin < end;
}

void norm_rounds_add_gradient(struct norm_rounds *rounds, uint32_t parameter, double squares)
{
    exact_sum_add(&exchange_part(rounds->exchange)[clips_each(rounds->spec) ? parameter : 0], squares);
}

void norm_rounds_add_trust(struct norm_rounds *rounds, uint32_t parameter,
                           const struct optimizer_squares *squares)
{
    struct exact_sum *sums = &exchange_part(rounds->exchange)[TRUST_SUMS * parameter];

    exact_sum_add(&sums[SUM_WEIGHTS], squares->weights);
    exact_sum_add(&sums[SUM_UPDATE], squares->update);
}

bool norm_rounds_measured(struct norm_rounds *rounds)
{
    if (++rounds->measured < rounds->pieces)
        return false;
    rounds->measured = 0;
    exchange_give(rounds->exchange);
    return true;
}

static void take_scales(struct norm_rounds *rounds, const struct exact_sum *totals)
{
    double limit = clips_each(rounds->spec) ? rounds->spec->clipnorm : rounds->spec->global_clipnorm;

    for (uint32_t i = 0; i < rounds->parameter_count; i++)
        rounds->scales[i] =
            norms_clip_scale(limit, exact_sum_value(&totals[clips_each(rounds->spec) ? i : 0]));
}

static void take_trusts(struct norm_rounds *rounds, const struct exact_sum *totals)
{
    for (uint32_t i = 0; i < rounds->parameter_count; i++)
        rounds->trusts[i] = norms_trust_ratio(exact_sum_value(&totals[TRUST_SUMS * i + SUM_WEIGHTS]),
                                              exact_sum_value(&totals[TRUST_SUMS * i + SUM_UPDATE]));
}

bool norm_rounds_settle(struct norm_rounds *rounds)
{
    if (rounds->round == rounds->round_count || !exchange_is_whole(rounds->exchange))
        return false;
    if (norm_rounds_is_trust(rounds))
        take_trusts(rounds, exchange_total(rounds->exchange));
    else
        take_scales(rounds, exchange_total(rounds->exchange));
    exchange_next(rounds->exchange);
    rounds->round++;
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
