/* Making a job's tables on one shard, and finding them. */
#include "tables.h"

#include "job/table_initial.h"

#include <stdlib.h>
#include <string.h>

/* In the store, the rows of a table's candidates have its number and this. */
#define CANDIDATES_NUMBER 0x10000u
/* Of a table's budget, what its candidates get: one part in so many. */
#define CANDIDATES_SHARE 8
#define ROWS_PATH_BYTES  4096

/* ---- making them */

/* The slot of a chunk of a table. */
static uint32_t slot_of(const struct slot_map *map, uint32_t number, uint32_t chunk)
{
    return placement_slot(number, chunk, map->slot_count);
}

/* The chunks of a table that lie on a shard, ascending. Owns: the caller, free(). NULL: out of memory. */
static uint32_t *chunks_here(const struct slot_map *map, uint32_t thread, uint32_t number,
                             uint32_t chunk_count, uint32_t *count)
{
    uint32_t *chunks = malloc(chunk_count * sizeof(chunks[0]));

    *count = 0;
    for (uint32_t chunk = 0; chunks && chunk < chunk_count; chunk++) {
        if (slot_map_place(map, thread, slot_of(map, number, chunk)).is_member)
            chunks[(*count)++] = chunk;
    }
    return chunks;
}

static enum status dense_here(struct tables *tables, uint32_t thread, const struct dense_params *params,
                              uint64_t version, struct error *error)
{
    uint32_t count = 0;
    uint32_t *chunks = chunks_here(tables->map, thread, params->number, params->chunk_count, &count);
    enum status status =
        chunks ? dense_table_new(params, chunks, count, version, &tables->items[params->number].dense, error)
               : error_set(error, CAIRN_NO_MEMORY, "out of memory");

    free(chunks);
    return status;
}

/* A model's weights and the sums of its metrics. */
static enum status model_tables(struct tables *tables, const struct assignment *assignment, uint32_t thread,
                                uint64_t version, struct error *error)
{
    const struct job *job = tables->job;
    const struct dense_params params = {.floats = job->graph->floats,
                                        .chunk_floats = job->graph->chunk_floats,
                                        .chunk_count = job->graph->chunk_count,
                                        .microbatches = job->microbatches,
                                        .optimizer = &job->optimizer,
                                        .graph = job->graph,
                                        .codec = &job->codec,
                                        .seed = job->seed,
                                        .number = TABLE_WEIGHTS,
                                        .has_clocks = job_is_throughput(job)};
    enum status status = dense_here(tables, thread, &params, version, error);

    for (uint32_t number = TABLE_METRICS; status == CAIRN_OK && number <= TABLE_VALIDATION; number++) {
        tables->items[number].sums = sum_table_new(assignment_metric_elements(assignment), job->microbatches,
                                                   number == TABLE_VALIDATION, version);
        if (!tables->items[number].sums)
            status = error_set(error, CAIRN_NO_MEMORY, "out of memory for a table");
    }
    return status;
}

/* The dense ones among a job's own tables, from number `first` on. */
static enum status dense_tables(struct tables *tables, uint32_t thread, uint32_t first, uint64_t version,
                                struct error *error)
{
    const struct job *job = tables->job;
    enum status status = CAIRN_OK;

    for (uint32_t number = first; number < tables->count && status == CAIRN_OK; number++) {
        const struct table_spec *spec = job_table(job, number);
        const struct dense_params params = {.floats = spec->size,
                                            .chunk_floats = table_chunk_floats(spec),
                                            .chunk_count = table_chunk_count(spec),
                                            .microbatches = job->microbatches,
                                            .optimizer = &spec->optimizer,
                                            .codec = &spec->codec,
                                            .seed = job->seed,
                                            .number = number};

        if (spec->kind == TABLE_KIND_DENSE)
            status = dense_here(tables, thread, &params, version, error);
    }
    return status;
}

/* Whether a table is sparse and may have rows here. */
static bool is_sparse_here(const struct job *job, const struct assignment *assignment, uint32_t thread,
                           uint32_t number)
{
    const struct table_spec *spec = job_table(job, number);

    return spec && spec->kind == TABLE_KIND_SPARSE && assignment_has_state(assignment, thread);
}

/* Makes room for all tables of the job, with nothing in the new places. */
static enum status places_make(struct tables *tables, struct error *error)
{
    uint32_t count = TABLE_FIRST_USER + tables->job->table_count, before = tables->count;
    struct table *items = realloc(tables->items, count * sizeof(items[0]));

    if (!items)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    tables->items = items;
    for (; before < count; before++) {
        const struct table_spec *spec = job_table(tables->job, before);

        items[before] = (struct table){.first_version = spec ? spec->first_version : 0};
    }
    tables->count = count;
    return CAIRN_OK;
}

enum status tables_new(const struct assignment *assignment, uint32_t thread, uint64_t version,
                       struct tables **out, struct error *error)
{
    struct tables *tables = calloc(1, sizeof(*tables));
    enum status status;

    if (!tables)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    tables->job = assignment->job;
    tables->map = assignment->map;
    status = places_make(tables, error);
    if (status == CAIRN_OK && tables->job->graph)
        status = model_tables(tables, assignment, thread, version, error);
    if (status == CAIRN_OK)
        status = dense_tables(tables, thread, TABLE_FIRST_USER, version, error);
    if (status != CAIRN_OK) {
        tables_free(tables);
        return status;
    }
    *out = tables;
    return CAIRN_OK;
}

enum status tables_extend(struct tables *tables, const struct assignment *assignment, uint32_t thread,
                          uint64_t version, struct error *error)
{
    uint32_t first = tables->count;
    enum status status;

    tables->job = assignment->job;
    status = places_make(tables, error);
    if (status == CAIRN_OK)
        status = dense_tables(tables, thread, first, version, error);
    if (status != CAIRN_OK)
        return status;
    tables_initialize(tables, first, version);
    return CAIRN_OK;
}

/* ---- the rows of sparse tables */

/* Where rows that are asked for in one step of a table are kept: what is the same for all tables. */
struct rows_place {
    const struct job_store_owner *owner;
    uint64_t job;
    struct store *store;
    uint64_t budget_bytes; /* of a table's rows; 0: no bound */
    uint64_t version;
    bool is_new; /* the store need not have the table in hand */
    bool is_any; /* whatever it has of it will do */
};

/* Opens the rows of a number of the store, and brings them into memory as far as there is room. */
static enum status rows_open(const struct rows_place *place, uint32_t number, uint32_t floats,
                             uint64_t budget_bytes, struct rows **out, struct error *error)
{
    char swap[ROWS_PATH_BYTES];
    struct rows_options options = {.floats = floats,
                                   .budget_bytes = budget_bytes,
                                   .swap_directory = swap,
                                   .store = place->store,
                                   .table = number,
                                   .step = place->version,
                                   .is_new = place->is_new,
                                   .is_any = place->is_any};
    uint64_t bytes = 0;
    enum status status = job_store_swap_path(place->owner, place->job, number, swap, sizeof(swap), error);

    if (status == CAIRN_OK)
        status = rows_new(&options, out, error);
    if (status == CAIRN_OK && place->version > 0 && !place->is_any)
        status = rows_warm(*out, &bytes, error);
    return status;
}

/* Candidates take a fraction of what rows do, and have as much of the budget. */
static uint64_t candidates_budget(const struct table_spec *spec, uint64_t table_bytes)
{
    return spec->admit_after > 1 ? table_bytes / CANDIDATES_SHARE : 0;
}

static enum status sparse_open(struct tables *tables, uint32_t number, const struct rows_place *place,
                               struct error *error)
{
    const struct table_spec *spec = job_table(tables->job, number);
    uint64_t candidates_bytes = candidates_budget(spec, place->budget_bytes);
    struct rows *rows = NULL, *candidates = NULL;
    enum status status = rows_open(place, number, sparse_row_floats(spec),
                                   place->budget_bytes - candidates_bytes, &rows, error);

    if (status == CAIRN_OK && spec->admit_after > 1)
        status = rows_open(place, number + CANDIDATES_NUMBER, SPARSE_CANDIDATE_FLOATS, candidates_bytes,
                           &candidates, error);
    if (status == CAIRN_OK)
        return sparse_table_new(tables->job, number, rows, candidates, place->version,
                                &tables->items[number].sparse, error);
    rows_free(rows);
    rows_free(candidates);
    return error_prefix(error, status, "table %s", spec->name);
}

uint32_t tables_sparse_count(const struct assignment *assignment, uint32_t thread, uint32_t first)
{
    uint32_t end = TABLE_FIRST_USER + assignment->job->table_count, count = 0;

    for (uint32_t number = first; number < end; number++)
        count += is_sparse_here(assignment->job, assignment, thread, number);
    return count;
}

enum status tables_set_budget(const struct tables *tables, uint64_t table_bytes, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t number = 0; number < tables->count && status == CAIRN_OK; number++) {
        const struct sparse_table *sparse = tables->items[number].sparse;
        uint64_t candidates_bytes = sparse ? candidates_budget(sparse->spec, table_bytes) : 0;

        if (sparse)
            status = rows_set_budget(sparse->rows, table_bytes - candidates_bytes, error);
        if (status == CAIRN_OK && sparse && sparse->candidates)
            status = rows_set_budget(sparse->candidates, candidates_bytes, error);
        if (sparse)
            error_prefix(error, status, "table %s", sparse->spec->name);
    }
    return status;
}

enum status tables_open_rows(struct tables *tables, const struct assignment *assignment,
                             const struct job_store_owner *owner, struct store *store, uint64_t table_bytes,
                             uint64_t version, struct error *error)
{
    struct rows_place place = {.owner = owner,
                               .job = assignment->number,
                               .store = store,
                               .budget_bytes = table_bytes,
                               .version = version};
    enum status status = CAIRN_OK;

    for (uint32_t number = 0; number < tables->count && status == CAIRN_OK; number++) {
        if (tables->items[number].sparse || !is_sparse_here(tables->job, assignment, owner->shard, number))
            continue;
        place.is_new = tables_begins(tables, number, version);
        status = sparse_open(tables, number, &place, error);
        if (status == CAIRN_OK)
            tables->items[number].sparse->is_loaded = !place.is_new;
        if (status == CAIRN_OK &&
            (tables->items[number].sparse->rounds || slot_map_has_neighbours(tables->map, owner->shard)))
            status = error_set(
                error, sparse_table_use_chain(tables->items[number].sparse, tables->map, owner->shard),
                "out of memory for table %s", job_table(tables->job, number)->name);
    }
    return status;
}

enum status tables_open_blank(struct tables *tables, uint32_t number, uint64_t job,
                              const struct job_store_owner *owner, struct store *store, uint64_t table_bytes,
                              struct error *error)
{
    const struct rows_place place = {.owner = owner,
                                     .job = job,
                                     .store = store,
                                     .budget_bytes = table_bytes,
                                     .version = 1,
                                     .is_any = true};

    return sparse_open(tables, number, &place, error);
}

uint32_t tables_count_sparse(const struct tables *tables)
{
    uint32_t count = 0;

    for (uint32_t number = 0; number < tables->count; number++)
        count += tables->items[number].sparse != NULL;
    return count;
}

/* ---- use */

void tables_free(struct tables *tables)
{
    if (!tables)
        return;
    for (uint32_t i = 0; tables->items && i < tables->count; i++) {
        dense_table_free(tables->items[i].dense);
        sum_table_free(tables->items[i].sums);
        sparse_table_free(tables->items[i].sparse);
    }
    free(tables->items);
    free(tables);
}

static void dense_initialize(struct dense_table *dense, const struct job *job, uint32_t number)
{
    struct table_initial initial;

    if (number >= TABLE_FIRST_USER)
        table_initial_init(&initial, job_table(job, number), number, job->seed);
    for (uint32_t i = 0; i < dense->chunk_count; i++) {
        struct dense_chunk *chunk = dense->chunks[i];
        uint64_t end = chunk->begin + chunk->floats;

        if (number < TABLE_FIRST_USER)
            graph_initial_values(job->graph, job->seed, chunk->begin, end, chunk->current->data);
        else
            table_initial_values(&initial, chunk->begin, end, chunk->current->data);
    }
}

bool tables_begins(const struct tables *tables, uint32_t number, uint64_t version)
{
    return tables->items[number].first_version >= version;
}

void tables_initialize(struct tables *tables, uint32_t first, uint64_t version)
{
    for (uint32_t number = first; number < tables->count; number++) {
        if (tables->items[number].dense && tables_begins(tables, number, version))
            dense_initialize(tables->items[number].dense, tables->job, number);
    }
}

struct table *tables_find(const struct tables *tables, uint32_t number)
{
    struct table *table = number < tables->count ? &tables->items[number] : NULL;

    return table && (table->dense || table->sums || table->sparse) ? table : NULL;
}

bool tables_has_pieces_at(const struct tables *tables, uint32_t number, uint64_t step)
{
    return tables->items[number].first_version < step;
}

void tables_link(struct tables *tables, uint32_t thread)
{
    const struct slot_map *map = tables->map;

    for (uint32_t number = 0; number < tables->count; number++) {
        struct table *table = &tables->items[number];

        for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++) {
            struct dense_chunk *chunk = table->dense->chunks[i];

            chunk->link.place = slot_map_place(map, thread, slot_of(map, number, chunk->number));
        }
        if (table->sums)
            table->sums->link.place = slot_map_place(map, thread, slot_of(map, number, 0));
    }
}

uint32_t tables_pieces_at(const struct tables *tables, uint64_t step)
{
    uint32_t count = 0;

    for (uint32_t number = 0; number < tables->count; number++) {
        const struct table *table = &tables->items[number];

        if (!tables_has_pieces_at(tables, number, step))
            continue;
        count += table->sparse && sparse_is_expected(table->sparse, step);
        for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++)
            count += table->dense->chunks[i]->first_version < step && !table->dense->chunks[i]->link.awaits;
    }
    return count;
}

static bool is_piece_to_come(const struct dense_chunk *chunk)
{
    return chunk->link.awaits && !chunk->link.place.is_copy;
}

bool tables_have_pieces(const struct tables *tables)
{
    for (uint32_t number = 0; number < tables->count; number++) {
        const struct table *table = &tables->items[number];

        if (table->sparse && !sparse_is_blank(table->sparse))
            return true;
        for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++) {
            if (!table->dense->chunks[i]->link.awaits || is_piece_to_come(table->dense->chunks[i]))
                return true;
        }
    }
    return false;
}

bool tables_await_pieces(const struct tables *tables)
{
    for (uint32_t number = 0; number < tables->count; number++) {
        const struct dense_table *dense = tables->items[number].dense;

        for (uint32_t i = 0; dense && i < dense->chunk_count; i++) {
            if (is_piece_to_come(dense->chunks[i]))
                return true;
        }
    }
    return false;
}

uint64_t tables_newest(const struct tables *tables)
{
    uint64_t newest = 0;

    for (uint32_t number = 0; number < tables->count; number++) {
        const struct table *table = &tables->items[number];

        if (table->sparse && !sparse_is_blank(table->sparse) && table->sparse->version > newest)
            newest = table->sparse->version;
        for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++) {
            if (!table->dense->chunks[i]->link.awaits && table->dense->chunks[i]->version > newest)
                newest = table->dense->chunks[i]->version;
        }
    }
    return newest;
}

bool tables_can_end_at(const struct tables *tables, uint64_t version)
{
    for (uint32_t i = 0; i < tables->job->table_count && version > 0; i++) {
        const struct codec_spec *codec = &tables->job->tables[i].codec;

        if (codec->type == CODEC_TOP_K && !codec_sends_all(codec, version - 1))
            return false;
    }
    return true;
}

static bool chunks_are_at(const struct table *table, uint64_t version)
{
    for (uint32_t i = 0; table->dense && i < table->dense->chunk_count; i++) {
        if (!table->dense->chunks[i]->link.awaits && table->dense->chunks[i]->version != version)
            return false;
    }
    return true;
}

bool tables_all_at(const struct tables *tables, uint64_t version)
{
    for (uint32_t number = 0; number < tables->count; number++) {
        const struct table *table = &tables->items[number];

        if ((table->sparse && !sparse_is_blank(table->sparse) && table->sparse->version != version) ||
            !chunks_are_at(table, version))
            return false;
    }
    return true;
}

bool tables_come_to(const struct tables *tables, uint64_t version)
{
    for (uint32_t number = 0; number < tables->count; number++) {
        const struct sparse_table *sparse = tables->items[number].sparse;
        bool comes = !sparse || sparse_is_blank(sparse) || sparse->version == version ||
                     (sparse->chain && sparse->version + 1 == version && sparse_is_due(sparse));

        if (!comes || !chunks_are_at(&tables->items[number], version))
            return false;
    }
    return true;
}
