/* Going by another map of the slots while a job runs.
 *
 * Every shard hears of a map by itself, at its own time; what it says to its new neighbours before they have
 * heard is dropped there. So both ends begin: who has somebody new to copy to sends all there is, and who is
 * copied to asks for it. Those that have a slot keep their order, whoever of them leaves, and who is copied
 * to comes last (docs/design.md, section 4, chains): so what is before a shard, by whatever map, has the sums
 * that this one is told of. */
#include "shard_state.h"

#include <inttypes.h>

static uint32_t slot_of(const struct shard_job *job, uint32_t number, uint32_t chunk)
{
    return placement_slot(number, chunk, job->map->slot_count);
}

static struct slot_place place_of(const struct shard *shard, const struct shard_job *job, uint32_t number,
                                  uint32_t chunk)
{
    return slot_map_place(job->map, shard->owner.shard, slot_of(job, number, chunk));
}

/* Whether a shard that has a chunk is copied to all the same: it did not hear of maps in which it had left
 * the chain, and what it has is old. */
static bool is_copied_again(const struct chain_link *link, const struct slot_place *place)
{
    return place->is_copy && (!link->place.is_copy || link->place.copy_number != place->copy_number);
}

/* Takes a new place. Returns whether there is somebody new after it, to be copied to. */
static bool link_move(struct chain_link *link, const struct slot_place *place, uint64_t map)
{
    bool is_new = place->after != link->place.after ||
                  (place->after_is_copy &&
                   (!link->place.after_is_copy || link->place.copy_number != place->copy_number));

    if (place->before != link->place.before)
        link->before_since = map;
    if (is_new) {
        link->sent_version = link->after_version = 0;
        link->after_since = place->after_is_copy ? place->copy_number : map;
    }
    link->place = *place;
    return is_new && place->after_is_copy && !link->awaits;
}

#define MOVED "what was asked for lies on another shard now"

/* A head that is one no more has nobody to answer. */
static void clients_leave(struct shard *shard, struct shard_job *job, uint32_t number,
                          struct waiting_list *list)
{
    shard_refuse_waiting(shard, job, number, list, DATA_REFUSED_UNKNOWN, MOVED);
}

static void chunk_clients_leave(struct shard *shard, struct shard_job *job, uint32_t number,
                                struct dense_chunk *chunk)
{
    clients_leave(shard, job, number, &chunk->waiting);
    shard_refuse_updates(shard, job, chunk, DATA_REFUSED_UNKNOWN, MOVED);
}

static void chunk_leave(struct shard *shard, struct shard_job *job, uint32_t number,
                        struct dense_chunk *chunk)
{
    chunk_clients_leave(shard, job, number, chunk);
    commits_left(&job->commits, chunk);
    dense_chunk_remove(job->tables->items[number].dense, chunk);
}

static enum status chunk_come(struct shard *shard, struct shard_job *job, uint32_t number, uint32_t chunk,
                              struct error *error)
{
    struct slot_place place = place_of(shard, job, number, chunk);
    struct dense_chunk *added = NULL;
    enum status status;

    if (place.is_head)
        return error_set(error, CAIRN_INVALID, "shard %u was to have chunk %u of table %u, and does not",
                         shard->owner.shard, chunk, number);
    status = dense_chunk_add(job->tables->items[number].dense, chunk, 0, &added, error);
    if (status != CAIRN_OK)
        return status;
    added->link = (struct chain_link){.place = place, .awaits = true, .before_since = place.copy_number};
    shard_ask(shard, job, number, chunk, &added->link);
    return CAIRN_OK;
}

/* Whether a chunk awaits what the head of an incarnation that began in this chain has, and is not a copy. */
static bool has_own_record(const struct dense_chunk *chunk)
{
    return chunk->clocks && chunk->link.awaits && !chunk->link.place.is_copy;
}

static enum status chunk_move(struct shard *shard, struct shard_job *job, uint32_t number,
                              struct dense_chunk *chunk, const struct slot_place *place, struct error *error)
{
    bool is_behind_another = place->before != chunk->link.place.before;
    bool succeeds = place->is_head && has_own_record(chunk);
    bool is_copied = link_move(&chunk->link, place, job->map->number);

    if (succeeds)
        return shard_succeed_head(shard, job, chunk, error);
    if (!place->is_head)
        chunk_clients_leave(shard, job, number, chunk);
    if (is_behind_another && !chunk->link.awaits)
        shard_acknowledge(shard, job, number, chunk->number, &chunk->link, chunk->version);
    if (chunk->link.awaits)
        shard_ask(shard, job, number, chunk->number, &chunk->link);
    else if (is_copied)
        shard_snapshot_dense(shard, job, number, chunk);
    return CAIRN_OK;
}

static enum status dense_move(struct shard *shard, struct shard_job *job, uint32_t number,
                              struct error *error)
{
    struct dense_table *dense = job->tables->items[number].dense;
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < dense->params.chunk_count && status == CAIRN_OK; i++) {
        struct dense_chunk *chunk = dense_find(dense, i);
        struct slot_place place = place_of(shard, job, number, i);

        if (chunk && (!place.is_member || is_copied_again(&chunk->link, &place))) {
            chunk_leave(shard, job, number, chunk);
            chunk = NULL;
        }
        if (place.is_member && chunk)
            status = chunk_move(shard, job, number, chunk, &place, error);
        else if (place.is_member)
            status = chunk_come(shard, job, number, i, error);
    }
    return status;
}

static enum status sums_move(struct shard *shard, struct shard_job *job, uint32_t number, struct error *error)
{
    struct sum_table *sums = job->tables->items[number].sums;
    struct slot_place place = place_of(shard, job, number, 0);
    bool comes = place.is_member && (!sums->link.place.is_member || is_copied_again(&sums->link, &place));
    bool is_behind_another = place.before != sums->link.place.before;
    bool is_copied = link_move(&sums->link, &place, job->map->number);

    if (comes && place.is_head)
        return error_set(error, CAIRN_INVALID, "shard %u was to have table %u, and does not",
                         shard->owner.shard, number);
    if (!place.is_head)
        clients_leave(shard, job, number, &sums->waiting);
    if (!place.is_member || comes)
        sum_clear(sums);
    if (comes)
        sums->link.before_since = place.copy_number;
    sums->link.awaits = comes || (sums->link.awaits && place.is_member);
    if (is_behind_another && place.is_member && !sums->link.awaits)
        shard_acknowledge(shard, job, number, 0, &sums->link, sum_table_version(sums));
    if (sums->link.awaits && place.is_member)
        shard_ask(shard, job, number, 0, &sums->link);
    else if (is_copied)
        shard_snapshot_sums(shard, job, number);
    return CAIRN_OK;
}

/* ---- what has been copied here */

/* Whether all of a slot is here; *newest: the newest version that chunks of it came with. */
static bool slot_is_whole(const struct shard_job *job, uint32_t slot, uint64_t *newest)
{
    *newest = 0;
    for (uint32_t number = 0; number < job->tables->count; number++) {
        const struct table *table = &job->tables->items[number];

        if (table->sums && slot_of(job, number, 0) == slot && table->sums->link.awaits)
            return false;
        if (table->sparse && table->sparse->chain) {
            const struct sparse_slot *rows = &table->sparse->chain->slots[slot];
            uint64_t since =
                rows->since > table->sparse->first_version ? rows->since : table->sparse->first_version;

            if (rows->awaits || sparse_slot_is_owed(rows))
                return false;
            *newest = since > *newest ? since : *newest;
        }
        for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++) {
            const struct dense_chunk *chunk = table->dense->chunks[i];

            if (slot_of(job, number, chunk->number) != slot)
                continue;
            if (chunk->link.awaits)
                return false;
            *newest = chunk->first_version > *newest ? chunk->first_version : *newest;
        }
    }
    return true;
}

void shard_report_copied(struct shard *shard, struct shard_job *job, uint32_t slot)
{
    uint64_t newest;

    if (slot_map_place(job->map, shard->owner.shard, slot).is_copy && slot_is_whole(job, slot, &newest))
        shard_tell(
            shard, job->assignment, job->incarnation,
            (struct shard_report){.kind = SHARD_COPIED,
                                  .holds_pieces = tables_have_pieces(job->tables),
                                  .step = newest,
                                  .slot = slot,
                                  .map = slot_map_place(job->map, shard->owner.shard, slot).copy_number,
                                  .position = job->map->positions[shard->owner.shard]});
}

/* ---- the command */

/* Sparse tables are told of the places that they have had, before they hear of others. */
static enum status chains_begin(const struct shard *shard, struct shard_job *job, struct error *error)
{
    for (uint32_t number = 0; number < job->tables->count; number++) {
        struct sparse_table *sparse = job->tables->items[number].sparse;

        if (!sparse || sparse->chain)
            continue;
        if (sparse_table_use_chain(sparse, job->map, shard->owner.shard) != CAIRN_OK)
            return error_set(error, CAIRN_NO_MEMORY, "out of memory for table %s", sparse->spec->name);
    }
    return CAIRN_OK;
}

/* Makes a sparse table of which slots come to this shard, the first ones. */
static enum status rows_come(struct shard *shard, struct shard_job *job, uint32_t number, struct error *error)
{
    enum status status = shard_memory_yield(shard, 1, error);
    struct sparse_table *sparse;

    if (status == CAIRN_OK)
        status = tables_open_blank(job->tables, number, job->assignment->number, &shard->owner, job->store,
                                   shard_memory_share(shard, 1), error);
    if (status != CAIRN_OK)
        return status;
    sparse = job->tables->items[number].sparse;
    sparse->chain = sparse_chain_new(job->map->slot_count, sparse->spec->dimension, 0);
    if (!sparse->chain)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for table %s", sparse->spec->name);
    for (uint32_t slot = 0; slot < job->map->slot_count; slot++)
        sparse->chain->slots[slot].is_dirty = true;
    sparse->heads_since = job->map->number; /* it is the head of none of them */
    return CAIRN_OK;
}

static bool has_slots(const struct shard *shard, const struct shard_job *job)
{
    for (uint32_t slot = 0; slot < job->map->slot_count; slot++) {
        if (slot_map_place(job->map, shard->owner.shard, slot).is_member)
            return true;
    }
    return false;
}

/* What clients have pushed to a table that now serves other slots may lack keys of these, and what they wait
 * for may be elsewhere: all of them are to push again. */
static enum status rows_move(struct shard *shard, struct shard_job *job, uint32_t number, struct error *error)
{
    const struct table_spec *spec = job_table(job->tables->job, number);
    struct sparse_table *sparse = job->tables->items[number].sparse;
    struct sparse_moved moved;
    bool was_blank = !sparse || sparse_is_blank(sparse);
    enum status status = CAIRN_OK;

    if (!spec || spec->kind != TABLE_KIND_SPARSE || (!sparse && !has_slots(shard, job)))
        return CAIRN_OK;
    if (!sparse)
        status = rows_come(shard, job, number, error);
    sparse = job->tables->items[number].sparse;
    if (status == CAIRN_OK)
        status = sparse_table_place(sparse, job->map, shard->owner.shard, &moved, error);
    if (status != CAIRN_OK)
        return status;
    shard_copy_recall(sparse, job->map->number);
    if (!was_blank && sparse_is_blank(sparse))
        commits_rows_left(&job->commits, sparse->first_version, sparse->version);
    if (moved.serves) {
        sparse->heads_since = job->map->number;
        clients_leave(shard, job, number, &sparse->waiting);
        clients_leave(shard, job, number, &sparse->asking);
    }
    shard_ask_rows(shard, job, number);
    return CAIRN_OK;
}

static enum status tables_move(struct shard *shard, struct shard_job *job, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t number = 0; number < job->tables->count && status == CAIRN_OK; number++) {
        if (job->tables->items[number].dense)
            status = dense_move(shard, job, number, error);
        if (status == CAIRN_OK && job->tables->items[number].sums)
            status = sums_move(shard, job, number, error);
        if (status == CAIRN_OK)
            status = rows_move(shard, job, number, error);
    }
    return status;
}

/* A job's slots are as many as ever, and its shards keep their places; there may be more of them. */
static enum status check_map(const struct shard *shard, const struct shard_job *job,
                             const struct slot_map *map, struct error *error)
{
    const struct slot_map *before = job->map;

    if (map->slot_count != before->slot_count || map->shard_count < before->shard_count ||
        map->positions[shard->owner.shard] != before->positions[shard->owner.shard])
        return error_set(error, CAIRN_INVALID, "map %" PRIu64 " is not of the job's slots and shards",
                         map->number);
    return CAIRN_OK;
}

static enum status map_take(struct shard *shard, struct shard_job *job, struct slot_map *map,
                            struct error *error)
{
    enum status status = check_map(shard, job, map, error);

    if (status == CAIRN_OK)
        status = chains_begin(shard, job, error);
    if (status != CAIRN_OK)
        return status;
    slot_map_unref(job->map);
    job->map = slot_map_ref(map);
    job->tables->map = job->map;
    job->has_chains = slot_map_has_neighbours(job->map, shard->owner.shard);
    return tables_move(shard, job, error);
}

void shard_map(struct shard *shard, uint64_t number, uint64_t incarnation, struct slot_map *map)
{
    struct shard_job *job = shard_find_incarnation(shard, number, incarnation);
    struct error error;

    if (!job)
        return;
    shard_chains_flush(shard);
    if (map->number > job->map->number && map_take(shard, job, map, &error) != CAIRN_OK) {
        shard_abandon(shard, job, &error);
        shard_flush(shard);
        return;
    }
    shard_tell(shard, job->assignment, incarnation,
               (struct shard_report){.kind = SHARD_MAPPED,
                                     .holds_pieces = tables_have_pieces(job->tables),
                                     .step = job_is_throughput(job->assignment->job)
                                                 ? job->commits.newest_step
                                                 : tables_newest(job->tables),
                                     .map = job->map->number});
    for (uint32_t slot = 0; slot < job->map->slot_count; slot++)
        shard_report_copied(shard, job, slot);
    shard_advance_all(shard, job);
    shard_norms_moved(shard, job);
    shard_flush(shard);
}
