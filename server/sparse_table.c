/* Sums, versions and the life of sparse rows. A row's floats are its weights, then its optimizer slots, each
 * [dimension]; a candidate's one float holds the bits of an integer, the count of steps that had its key. */
#include "sparse_table.h"

#include "base/floats.h"

#include <stdlib.h>
#include <string.h>

#define EXPIRE_ROWS_LEAST 64 /* rows a step that are looked at */
#define BLOCK_FLOATS      (ROWS_BLOCK_MAX * 8)

/* ---- the tree's payloads are sums */

static struct codec_node codec_at(const struct sparse_table *table, struct tree_node node)
{
    return codec_node_for(table->codec, table->seed, table->number, table->version, node);
}

static void *fold(void *context, struct tree_node node, void *left, void *right)
{
    struct sparse_table *table = context;
    struct codec_node codec;

    if (table->codec)
        codec = codec_at(table, node);
    if (sparse_sum_add(left, right, table->spec->dimension, table->codec ? &codec : NULL, &table->scratch) !=
        CAIRN_OK)
        table->is_out_of_memory = true;
    sparse_sum_free(right);
    return left;
}

static void drop(void *context, void *payload)
{
    (void)context;
    sparse_sum_free(payload);
}

static const struct tree_ops tree_ops = {fold, drop};

/* ---- life */

uint32_t sparse_row_floats(const struct table_spec *spec)
{
    return spec->dimension * (1 + optimizer_spec_slot_count(&spec->optimizer));
}

/* Rows that are updated together: what is worked on at once stays in the cache. */
static uint32_t block_rows(uint32_t dimension)
{
    uint32_t rows = BLOCK_FLOATS / dimension;

    return rows < 1 ? 1 : rows > ROWS_BLOCK_MAX ? ROWS_BLOCK_MAX : rows;
}

enum status sparse_table_new(const struct job *job, uint32_t number, struct rows *rows,
                             struct rows *candidates, uint64_t version, struct sparse_table **out,
                             struct error *error)
{
    const struct table_spec *spec = job_table(job, number);
    struct sparse_table *table = calloc(1, sizeof(*table));

    if (table) {
        table->block_rows = block_rows(spec->dimension);
        table->block_weights = malloc((size_t)table->block_rows * spec->dimension * sizeof(float));
        table->tree = tree_new(job->microbatches, &tree_ops, table);
    }
    if (!table || !table->tree || !table->block_weights) {
        sparse_table_free(table);
        rows_free(rows);
        rows_free(candidates);
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for table %s", spec->name);
    }
    table->spec = spec;
    table->codec = spec->codec.type == CODEC_FLOAT32 ? NULL : &spec->codec;
    table->seed = job->seed;
    table->number = number;
    table_initial_init(&table->initial, spec, number, job->seed);
    table->row_floats = sparse_row_floats(spec);
    for (uint32_t slot = 0; slot < optimizer_spec_slot_count(&spec->optimizer); slot++)
        table->slot_initial[slot] = optimizer_slot_initial(&spec->optimizer, slot);
    table->version = version;
    table->rows = rows;
    table->candidates = candidates;
    if (sparse_begin_norms(table, job_slot_count(job), version) != CAIRN_OK) {
        sparse_table_free(table);
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the norms of table %s", spec->name);
    }
    *out = table;
    return CAIRN_OK;
}

void sparse_table_free(struct sparse_table *table)
{
    if (!table)
        return;
    norm_rounds_free(table->rounds);
    free(table->squares);
    tree_free(table->tree);
    sparse_sum_free(table->sum);
    sparse_chain_free(table->chain);
    sparse_sum_free(table->before.sum);
    key_index_fini(&table->before.index);
    key_index_fini(&table->scratch);
    rows_free(table->rows);
    rows_free(table->candidates);
    free(table->block_weights);
    free(table);
}

/* ---- push */

/* Rounds what is the sum of several rows of one key (of others the rounding changes nothing), by chance of
 * its own: the rows were rounded by the node's, and what was just rounded up must not be so again. */
#define ROUND_DOUBLES (UINT32_C(1) << 31) /* no table has such a number */

static void round_doubles(const struct sparse_table *table, struct tree_node node, struct sparse_sum *sum)
{
    struct codec_node codec =
        codec_node_for(table->codec, table->seed, table->number | ROUND_DOUBLES, table->version, node);

    sparse_sum_round(sum, table->spec->dimension, &codec);
}

/* Leaves in a sum of what clients have pushed the keys whose slots' sums are not here yet: after a map a
 * shard may have those of some slots from before, and the head that was may still send others. Takes sum.
 * NULL: out of memory. */
static struct sparse_sum *open_keys(struct sparse_table *table, struct sparse_sum *sum)
{
    struct sparse_chain *chain = table->chain;
    struct sparse_sum *selected;
    uint32_t open, heads;

    sparse_chain_count(chain, table->version, &open, &heads);
    if (open == heads)
        return sum;
    for (uint32_t slot = 0; slot < chain->slot_count; slot++)
        chain->marks[slot] = sparse_chain_is_open(chain, slot, table->version);
    selected = sparse_chain_select(chain, sum, chain->marks);
    sparse_sum_free(sum);
    return selected;
}

/* The step's sum of what clients have pushed is whole. Of slots that were open when some of it was pushed,
 * the whole sums may have come since. */
static enum status root_take(struct sparse_table *table)
{
    uint64_t samples;
    struct sparse_sum *sum = tree_take_root(table->tree, &samples);

    if (table->chain)
        sum = open_keys(table, sum);
    if (!sum)
        return CAIRN_NO_MEMORY;
    if (table->chain)
        return sparse_chain_take_own(table->chain, table->version, sum, samples);
    table->sum = sum;
    table->sum_samples = samples;
    return CAIRN_OK;
}

enum status sparse_push(struct sparse_table *table, struct tree_node node, struct buffer *keys,
                        struct buffer *values, uint64_t samples, bool *is_whole)
{
    uint32_t open = 0, heads = 0;
    struct sparse_sum *sum;

    *is_whole = false;
    if (table->chain)
        sparse_chain_count(table->chain, table->version, &open, &heads);
    if (table->sum || (table->chain && open == 0) || tree_covers(table->tree, node)) {
        buffer_unref(values);
        return CAIRN_OK;
    }
    sum = sparse_sum_new(table->spec->dimension, keys, values, &table->scratch);
    if (!sum)
        return CAIRN_NO_MEMORY;
    if (table->codec && keys && sum->count < keys->length_bytes / sizeof(uint64_t))
        round_doubles(table, node, sum);
    if (open < heads)
        sum = open_keys(table, sum);
    if (!sum)
        return CAIRN_NO_MEMORY;
    *is_whole = tree_add(table->tree, node, sum, samples) == TREE_ROOT;
    if (table->is_out_of_memory)
        return CAIRN_NO_MEMORY;
    return *is_whole ? root_take(table) : CAIRN_OK;
}

bool sparse_is_due(const struct sparse_table *table)
{
    if (!table->chain)
        return table->sum != NULL;
    return sparse_chain_is_whole(table->chain, table->version) &&
           (!table->rounds || norm_rounds_ready(table->rounds, table->version));
}

/* ---- update */

/* Whether a row that was last used in step `used` is there for step or version `step` >= used. */
static bool is_alive(const struct sparse_table *table, uint32_t used, uint64_t step)
{
    return table->spec->expire_after == 0 || step - used <= table->spec->expire_after;
}

static void initial_weights(const struct sparse_table *table, uint64_t key, float *weights)
{
    table_initial_row(&table->initial, key, weights);
}

static void row_begin(const struct sparse_table *table, struct row *row)
{
    uint32_t dimension = table->spec->dimension;

    initial_weights(table, row->key, row->floats);
    for (uint32_t i = dimension; i < table->row_floats; i++)
        row->floats[i] = table->slot_initial[i / dimension - 1];
}

/* The part of a step's sum that is updated together: its keys from `begin` on, or of these, when the table
 * admits late, those that have a row. */
struct block {
    uint32_t begin, count;
    const uint64_t *keys;
    uint32_t positions[ROWS_BLOCK_MAX]; /* in the sum; filled when the table admits late */
    uint64_t admitted[ROWS_BLOCK_MAX];
};

static float *sum_row_at(const struct sparse_table *table, uint32_t position)
{
    return sparse_sum_values(table->sum) + (size_t)position * table->spec->dimension;
}

static uint32_t block_position(const struct sparse_table *table, const struct block *block, uint32_t index)
{
    return table->candidates ? block->positions[index] : block->begin + index;
}

/* Counts a key that has no row; whether it has earned one. */
static enum status candidate_count(struct sparse_table *table, uint64_t key, bool *earned,
                                   struct error *error)
{
    struct row *row;
    uint32_t count = 0;
    bool is_new;
    enum status status = rows_make(table->candidates, &key, 1, &row, &is_new, error);

    if (status != CAIRN_OK)
        return status;
    table->rows_made += is_new;
    if (!is_new && is_alive(table, row->used_step, table->version))
        memcpy(&count, row->floats, sizeof(count));
    count++;
    memcpy(row->floats, &count, sizeof(count));
    row->used_step = (uint32_t)table->version;
    *earned = count >= table->spec->admit_after;
    return *earned ? rows_remove(table->candidates, &key, 1, error) : CAIRN_OK;
}

/* Leaves in the block the keys that have a row or have earned one. The others read as their initial values
 * before and after the step: these take the place of their gradients. */
static enum status block_admit(struct sparse_table *table, struct block *block, struct error *error)
{
    struct row *rows[ROWS_BLOCK_MAX];
    bool there[ROWS_BLOCK_MAX];
    uint32_t admitted = 0;
    enum status status = rows_find(table->rows, block->keys, block->count, rows, error);

    for (uint32_t i = 0; status == CAIRN_OK && i < block->count; i++)
        there[i] = rows[i] && is_alive(table, rows[i]->used_step, table->version);
    for (uint32_t i = 0; status == CAIRN_OK && i < block->count; i++) {
        if (!there[i])
            status = candidate_count(table, block->keys[i], &there[i], error);
        if (status == CAIRN_OK && there[i]) {
            block->admitted[admitted] = block->keys[i];
            block->positions[admitted++] = block->begin + i;
        } else {
            initial_weights(table, block->keys[i], sum_row_at(table, block->begin + i));
        }
    }
    block->keys = block->admitted;
    block->count = admitted;
    return status;
}

/* The rows' gradients are those of the block's keys from `first` on, side by side. */
static void run_apply(const struct sparse_table *table, const struct block *block, uint32_t first,
                      uint32_t count, float *const floats[])
{
    const struct optimizer_rows update = {
        .rows = floats + first,
        .sums = sum_row_at(table, block_position(table, block, first)),
        .samples = table->sum_samples ? (float)table->sum_samples : 1.0f,
        .scale = table->rounds ? norm_rounds_scale(table->rounds, 0) : 1.0f,
        .dimension = table->spec->dimension,
        .count = count,
    };

    optimizer_apply_rows(&table->step, &update);
}

/* Keys that were not admitted leave gaps between the gradients. */
static void block_apply(const struct sparse_table *table, const struct block *block, float *const floats[])
{
    uint32_t first = 0;

    if (!table->candidates) {
        run_apply(table, block, 0, block->count, floats);
        return;
    }
    for (uint32_t i = 0; i < block->count; i++) {
        if (i + 1 < block->count && block->positions[i + 1] == block->positions[i] + 1)
            continue;
        run_apply(table, block, first, i + 1 - first, floats);
        first = i + 1;
    }
}

/* Updates the block's rows. Then the weights from before take the place of the gradients. */
static enum status block_update(struct sparse_table *table, struct block *block, struct error *error)
{
    uint32_t dimension = table->spec->dimension;
    struct row *rows[ROWS_BLOCK_MAX];
    float *floats[ROWS_BLOCK_MAX], *before = table->block_weights;
    bool is_new[ROWS_BLOCK_MAX];
    enum status status = table->candidates ? block_admit(table, block, error) : CAIRN_OK;

    if (status == CAIRN_OK)
        status = rows_make(table->rows, block->keys, block->count, rows, is_new, error);
    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i < block->count; i++) {
        table->rows_made += is_new[i];
        if (is_new[i] || !is_alive(table, rows[i]->used_step, table->version))
            row_begin(table, rows[i]);
        rows[i]->used_step = (uint32_t)table->version;
        floats[i] = rows[i]->floats;
        floats_copy(before + (size_t)i * dimension, floats[i], dimension);
    }
    block_apply(table, block, floats);
    for (uint32_t i = 0; i < block->count; i++)
        floats_copy(sum_row_at(table, block_position(table, block, i)), before + (size_t)i * dimension,
                    dimension);
    return CAIRN_OK;
}

static enum status all_update(struct sparse_table *table, struct error *error)
{
    struct block block;
    enum status status = CAIRN_OK;

    optimizer_prepare(&table->spec->optimizer, table->version + 1, &table->step);
    for (uint32_t begin = 0; begin < table->sum->count && status == CAIRN_OK; begin += table->block_rows) {
        uint32_t left = table->sum->count - begin;

        block.begin = begin;
        block.count = left < table->block_rows ? left : table->block_rows;
        block.keys = sparse_sum_keys(table->sum) + begin;
        status = block_update(table, &block, error);
    }
    return status;
}

/* Removes rows that neither version reads any more. Rows are looked at in turn, twice as many as the step has
 * made: so a table never has much more than twice the rows that live. */
static enum status all_expire(struct sparse_table *table, struct error *error)
{
    uint64_t before = table->version - table->spec->expire_after;
    uint32_t most = 2 * table->rows_made + EXPIRE_ROWS_LEAST;
    enum status status = CAIRN_OK;

    table->rows_made = 0;
    if (table->spec->expire_after == 0 || table->version <= table->spec->expire_after)
        return CAIRN_OK;
    status = rows_expire(table->rows, (uint32_t)before, most, error);
    if (status == CAIRN_OK && table->candidates)
        status = rows_expire(table->candidates, (uint32_t)before, most, error);
    return status;
}

/* The step's whole sum in one: what is here in pieces. */
static enum status sum_make(struct sparse_table *table, struct error *error)
{
    if (table->version >= UINT32_MAX)
        return error_set(error, CAIRN_FULL, "step %u has come, the last one that rows can tell", UINT32_MAX);
    if (table->chain)
        table->sum = sparse_chain_join(table->chain, &table->sum_samples);
    return table->sum ? CAIRN_OK : error_set(error, CAIRN_NO_MEMORY, "out of memory for a step's sum");
}

enum status sparse_update(struct sparse_table *table, struct error *error)
{
    enum status status = sum_make(table, error);

    if (status == CAIRN_OK)
        status = all_update(table, error);
    if (status == CAIRN_OK)
        status = all_expire(table, error);
    if (status != CAIRN_OK) {
        table->is_torn = true;
        return error_prefix(error, status, "table %s", table->spec->name);
    }
    if (table->chain) /* sums from elsewhere may have made it whole */
        tree_clear(table->tree);
    sparse_sum_free(table->before.sum);
    table->before.sum = table->sum;
    table->before.is_known = true;
    table->before.is_indexed = false;
    table->sum = NULL;
    table->version++;
    return CAIRN_OK;
}

/* ---- reading */

bool sparse_keeps(const struct sparse_table *table, uint64_t version)
{
    return !table->is_torn &&
           (version == table->version || (version + 1 == table->version && table->before.is_known));
}

static enum status before_index(struct sparse_before *before)
{
    const uint64_t *keys = sparse_sum_keys(before->sum);

    if (before->is_indexed)
        return CAIRN_OK;
    if (key_index_reset(&before->index, before->sum->count) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    for (uint32_t i = 0; i < before->sum->count; i++)
        key_index_put(&before->index, keys, keys[i], key_index_hash(keys[i]), i);
    before->is_indexed = true;
    return CAIRN_OK;
}

static enum status block_read(struct sparse_table *table, uint64_t version, const uint64_t *keys,
                              uint32_t count, float *weights, struct error *error)
{
    uint32_t dimension = table->spec->dimension;
    struct row *rows[ROWS_BLOCK_MAX];
    enum status status = rows_find(table->rows, keys, count, rows, error);

    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i < count; i++, weights += dimension) {
        if (rows[i] && is_alive(table, rows[i]->used_step, version))
            floats_copy(weights, rows[i]->floats, dimension);
        else
            initial_weights(table, keys[i], weights);
    }
    return CAIRN_OK;
}

/* Puts what step version - 1 changed back to what it was before. */
static enum status read_before(struct sparse_table *table, const uint64_t *keys, size_t count, float *weights)
{
    struct sparse_before *before = &table->before;
    uint32_t dimension = table->spec->dimension;

    if (before_index(before) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        uint32_t position =
            key_index_find(&before->index, sparse_sum_keys(before->sum), keys[i], key_index_hash(keys[i]));

        if (position != KEY_INDEX_NONE)
            floats_copy(weights + i * dimension,
                        sparse_sum_values(before->sum) + (size_t)position * dimension, dimension);
    }
    return CAIRN_OK;
}

enum status sparse_read(struct sparse_table *table, uint64_t version, const uint64_t *keys, size_t count,
                        float *weights, struct error *error)
{
    enum status status = CAIRN_OK;

    BUG_IF(!sparse_keeps(table, version));
    for (size_t begin = 0; begin < count && status == CAIRN_OK; begin += ROWS_BLOCK_MAX) {
        uint32_t some = count - begin < ROWS_BLOCK_MAX ? (uint32_t)(count - begin) : ROWS_BLOCK_MAX;

        status =
            block_read(table, version, keys + begin, some, weights + begin * table->spec->dimension, error);
    }
    if (status == CAIRN_OK && version < table->version)
        status = error_set(error, read_before(table, keys, count, weights), "out of memory");
    return status;
}

/* ---- scans */

struct visit {
    const struct sparse_table *table;
    rows_visit *visit;
    void *context;
};

static enum status visit_alive(void *context, const struct row *row, struct error *error)
{
    const struct visit *visit = context;

    return is_alive(visit->table, row->used_step, visit->table->version)
               ? visit->visit(visit->context, row, error)
               : CAIRN_OK;
}

enum status sparse_scan(struct sparse_table *table, struct rows_scan *scan, uint64_t since, uint32_t most,
                        rows_visit *visit, void *context, struct error *error)
{
    struct visit alive = {table, visit, context};

    if (table->is_torn)
        return error_set(error, CAIRN_INVALID, "an update of table %s has failed", table->spec->name);
    return rows_scan(table->rows, scan, since < UINT32_MAX ? (uint32_t)since : UINT32_MAX, most, visit_alive,
                     &alive, error);
}
