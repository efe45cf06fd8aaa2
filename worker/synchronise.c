/* Plain comparisons of versions. */
#include "synchronise.h"

#include "cluster/placement.h"

#include <inttypes.h>
#include <stdlib.h>

#define NOT_TOLD UINT64_MAX

/* Steps whose sums are all made, though a validation may be missing; only one can be: who pushes for a step
 * has seen the one before end. */
enum status standing_of(const struct schedule *schedule, const struct versions *versions,
                        struct standing *standing, struct error *error)
{
    uint64_t summed = versions->weights < versions->metrics ? versions->weights : versions->metrics;

    if (summed < schedule->first_step || summed > schedule->final_step)
        return error_set(error, CAIRN_PROTOCOL,
                         "shards are at step %" PRIu64 " of a training from %" PRIu64 " to %" PRIu64, summed,
                         schedule->first_step, schedule->final_step);
    standing->step = summed;
    if (summed > schedule->first_step && schedule_validates(schedule, summed - 1) &&
        versions->validation < summed)
        standing->step--;
    standing->has_root = standing->step > schedule->first_step;
    standing->is_validated =
        schedule_validates(schedule, standing->step) && versions->validation > standing->step;
    return CAIRN_OK;
}

enum status synchronise_init(struct synchronise *synchronise, uint32_t chunk_count, struct error *error)
{
    *synchronise =
        (struct synchronise){.chunk_count = chunk_count,
                             .left = chunk_count + 2,
                             .versions = {.weights = NOT_TOLD, .metrics = NOT_TOLD, .validation = NOT_TOLD}};
    synchronise->chunks = malloc(chunk_count * sizeof(synchronise->chunks[0]));
    if (!synchronise->chunks)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for versions");
    for (uint32_t i = 0; i < chunk_count; i++)
        synchronise->chunks[i] = NOT_TOLD;
    return CAIRN_OK;
}

void synchronise_fini(struct synchronise *synchronise)
{
    free(synchronise->chunks);
    synchronise->chunks = NULL;
}

static uint64_t *place_of(struct synchronise *synchronise, uint32_t table, uint32_t chunk)
{
    if (table == TABLE_WEIGHTS)
        return chunk < synchronise->chunk_count ? &synchronise->chunks[chunk] : NULL;
    if (chunk != 0)
        return NULL;
    return table == TABLE_METRICS      ? &synchronise->versions.metrics
           : table == TABLE_VALIDATION ? &synchronise->versions.validation
                                       : NULL;
}

void synchronise_told(struct synchronise *synchronise, uint32_t table, uint32_t chunk, uint64_t version)
{
    uint64_t *place = place_of(synchronise, table, chunk);

    if (!place || *place != NOT_TOLD)
        return;
    *place = version;
    synchronise->left--;
    if (table == TABLE_WEIGHTS && version < synchronise->versions.weights)
        synchronise->versions.weights = version;
    if (table == TABLE_WEIGHTS && version > synchronise->weights_most)
        synchronise->weights_most = version;
}

bool synchronise_is_complete(const struct synchronise *synchronise)
{
    return synchronise->left == 0;
}

void synchronise_missing(const struct synchronise *synchronise, uint32_t *table, uint32_t *chunk)
{
    *table = synchronise->versions.metrics == NOT_TOLD ? TABLE_METRICS : TABLE_VALIDATION;
    *chunk = 0;
    for (uint32_t i = 0; i < synchronise->chunk_count; i++) {
        if (synchronise->chunks[i] == NOT_TOLD) {
            *table = TABLE_WEIGHTS;
            *chunk = i;
            return;
        }
    }
}
