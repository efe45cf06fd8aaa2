/* Sparse gradients and tables by the book: plain arrays over a few keys, the tree's definition, one row after
 * another. What the real thing must equal to the bit. Test code only.
 *
 * The keys are PLAIN_KEYS numbers of any pattern (plain_key). Gradients are a function of (step, microbatch):
 * which keys it has, how often each and with what values. */
#ifndef CAIRN_TESTS_PLAIN_ROWS_H
#define CAIRN_TESTS_PLAIN_ROWS_H

#include "base/buffer.h"
#include "job/job.h"
#include "job/table_initial.h"
#include "math/exact_sum.h"
#include "math/tree.h"
#include "must.h"
#include "optimizers/norms.h"
#include "optimizers/optimizer.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN_KEYS      200
#define PLAIN_DIMENSION 5
#define PLAIN_PUSH_MAX  64 /* rows that a microbatch's gradients have at most */

static inline uint64_t plain_mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* A sequence of chance of a test's own. */
struct chance {
    uint64_t state;
};

static inline uint32_t draw(struct chance *chance, uint32_t bound)
{
    return (uint32_t)((plain_mix(chance->state++) >> 32) % bound);
}

/* Small numbers, large ones and what lies between. */
static inline uint64_t plain_key(uint32_t index)
{
    return index < 50 ? index : index < 60 ? UINT64_MAX - index : plain_mix(index);
}

/* ---- gradients */

struct plain_push {
    uint32_t count;
    uint32_t indices[PLAIN_PUSH_MAX]; /* of keys; some come more than once */
    float rows[PLAIN_PUSH_MAX][PLAIN_DIMENSION];
};

/* The gradients of a microbatch; some have none at all. */
static inline void plain_gradients(uint64_t seed, uint64_t step, uint32_t microbatch, struct plain_push *push)
{
    struct chance chance = {plain_mix(seed * 7919 + step * 4099 + microbatch)};
    uint32_t spread = draw(&chance, 3) == 0 ? 8 : PLAIN_KEYS;

    push->count = draw(&chance, 6) == 0 ? 0 : 1 + draw(&chance, PLAIN_PUSH_MAX);
    for (uint32_t i = 0; i < push->count; i++) {
        push->indices[i] = draw(&chance, spread);
        for (int j = 0; j < PLAIN_DIMENSION; j++)
            push->rows[i][j] = (float)(int32_t)(plain_mix(chance.state++) >> 32) * 0x1p-30f;
    }
}

/* Whether the node's sum of a step has the key, and what it is: by the definition, for one key alone. */
static inline bool plain_node_row(uint64_t seed, uint64_t step, struct tree_node node, uint32_t index,
                                  float row[PLAIN_DIMENSION])
{
    uint32_t middle = node.begin + (node.end - node.begin) / 2;
    float right[PLAIN_DIMENSION];
    bool has = false;

    if (node.end - node.begin == 1) {
        struct plain_push push;

        plain_gradients(seed, step, node.begin, &push);
        for (uint32_t i = 0; i < push.count; i++) {
            if (push.indices[i] != index)
                continue;
            for (int j = 0; j < PLAIN_DIMENSION; j++)
                row[j] = has ? row[j] + push.rows[i][j] : push.rows[i][j];
            has = true;
        }
        return has;
    }
    has = plain_node_row(seed, step, (struct tree_node){node.begin, middle}, index, row);
    if (!plain_node_row(seed, step, (struct tree_node){middle, node.end}, index, right))
        return has;
    for (int j = 0; j < PLAIN_DIMENSION; j++)
        row[j] = has ? row[j] + right[j] : right[j];
    return true;
}

/* What a client pushes for a node: a microbatch's gradients as they are, or a larger node's sums, of the keys
 * for which `wanted` (NULL: all) says so. *keys and *rows NULL when there are none. Returns their number.
 * Owns: the caller. */
static inline uint32_t plain_node_push(uint64_t seed, uint64_t step, struct tree_node node,
                                       bool (*wanted)(const void *context, uint64_t key), const void *context,
                                       struct buffer **keys, struct buffer **rows)
{
    static struct plain_push push;
    static uint64_t all_keys[PLAIN_KEYS + PLAIN_PUSH_MAX];
    static float all_rows[PLAIN_KEYS + PLAIN_PUSH_MAX][PLAIN_DIMENSION];
    uint32_t count = 0;

    if (node.end - node.begin == 1) {
        plain_gradients(seed, step, node.begin, &push);
        for (uint32_t i = 0; i < push.count; i++) {
            if (wanted && !wanted(context, plain_key(push.indices[i])))
                continue;
            all_keys[count] = plain_key(push.indices[i]);
            memcpy(all_rows[count++], push.rows[i], sizeof(push.rows[i]));
        }
    } else {
        for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
            if (wanted && !wanted(context, plain_key(i)))
                continue;
            all_keys[count] = plain_key(i);
            count += plain_node_row(seed, step, node, i, all_rows[count]);
        }
    }
    *keys = count ? buffer_new(count * sizeof(uint64_t)) : NULL;
    *rows = count ? buffer_new(count * sizeof(all_rows[0])) : NULL;
    if (count > 0) {
        MUST(*keys && *rows);
        memcpy((*keys)->data, all_keys, count * sizeof(uint64_t));
        memcpy((*rows)->data, all_rows, count * sizeof(all_rows[0]));
    }
    return count;
}

/* ---- a table */

struct plain_row {
    bool is_there;
    uint64_t used_step;
    float floats[(1 + OPTIMIZER_SLOTS_MAX) * PLAIN_DIMENSION];
    uint64_t sights, sighted_step; /* of a candidate; 0: it is none */
};

struct plain_table {
    const struct job *job;
    const struct table_spec *spec;
    uint64_t seed; /* of the gradients */
    uint32_t slot_count;
    struct table_initial initial;
    uint64_t version;
    struct plain_row rows[PLAIN_KEYS];
    float weights[2][PLAIN_KEYS][PLAIN_DIMENSION]; /* as version % 2 reads */
};

static inline bool plain_is_alive(const struct plain_table *table, uint64_t used, uint64_t step)
{
    return table->spec->expire_after == 0 || step - used <= table->spec->expire_after;
}

static inline void plain_read_all(struct plain_table *table)
{
    for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
        const struct plain_row *row = &table->rows[i];
        float *weights = table->weights[table->version % 2][i];

        if (row->is_there && plain_is_alive(table, row->used_step, table->version))
            memcpy(weights, row->floats, PLAIN_DIMENSION * sizeof(float));
        else
            table_initial_row(&table->initial, plain_key(i), weights);
    }
}

static inline struct plain_table *plain_table_new(const struct job *job, uint32_t number, uint64_t seed)
{
    struct plain_table *table = calloc(1, sizeof(*table));

    ck_assert_ptr_nonnull(table);
    table->job = job;
    table->spec = job_table(job, number);
    ck_assert_uint_eq(table->spec->dimension, PLAIN_DIMENSION);
    table->seed = seed;
    table->slot_count = optimizer_spec_slot_count(&table->spec->optimizer);
    table_initial_init(&table->initial, table->spec, number, job->seed);
    plain_read_all(table);
    return table;
}

/* Whether a key that is in the step's sum has a row for it. */
static inline bool plain_admit(struct plain_table *table, struct plain_row *row)
{
    if (row->is_there && plain_is_alive(table, row->used_step, table->version))
        return true;
    row->is_there = false;
    if (table->spec->admit_after <= 1)
        return true;
    if (row->sights > 0 && !plain_is_alive(table, row->sighted_step, table->version))
        row->sights = 0;
    row->sighted_step = table->version;
    if (++row->sights < table->spec->admit_after)
        return false;
    row->sights = 0;
    return true;
}

static inline void plain_begin(const struct plain_table *table, struct plain_row *row, uint64_t key)
{
    table_initial_row(&table->initial, key, row->floats);
    for (uint32_t slot = 0; slot < table->slot_count; slot++) {
        for (int i = 0; i < PLAIN_DIMENSION; i++)
            row->floats[(slot + 1) * PLAIN_DIMENSION + (uint32_t)i] =
                optimizer_slot_initial(&table->spec->optimizer, slot);
    }
    row->is_there = true;
}

/* What the whole step's gradients are clipped by. */
static inline float plain_scale(const struct plain_table *table, uint64_t samples)
{
    const struct optimizer_spec *spec = &table->spec->optimizer;
    struct exact_sum squares = {0};
    float sums[PLAIN_DIMENSION];

    if (!optimizer_spec_needs_norms(spec))
        return 1;
    for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
        if (plain_node_row(table->seed, table->version, (struct tree_node){0, table->job->microbatches}, i,
                           sums))
            exact_sum_add(&squares,
                          norms_gradient_squares(sums, samples ? (float)samples : 1.0f, PLAIN_DIMENSION));
    }
    return norms_clip_scale(spec->clipnorm > 0 ? spec->clipnorm : spec->global_clipnorm,
                            exact_sum_value(&squares));
}

static inline void plain_apply(const struct plain_table *table, struct plain_row *row, const float *sums,
                               uint64_t samples, float scale)
{
    struct optimizer_step step;
    struct optimizer_update update = {.sums = sums,
                                      .samples = samples ? (float)samples : 1.0f,
                                      .scale = scale,
                                      .weights = row->floats,
                                      .next_weights = row->floats,
                                      .count = PLAIN_DIMENSION};

    for (int i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        update.slots[i] = update.next_slots[i] = row->floats + (i + 1) * PLAIN_DIMENSION;
    optimizer_prepare(&table->spec->optimizer, table->version + 1, &step);
    optimizer_apply(&step, &update);
}

/* Goes on to the next version. samples: of the whole step. */
static inline void plain_step(struct plain_table *table, uint64_t samples)
{
    float scale = plain_scale(table, samples);

    for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
        struct plain_row *row = &table->rows[i];
        float sums[PLAIN_DIMENSION];

        if (!plain_node_row(table->seed, table->version, (struct tree_node){0, table->job->microbatches}, i,
                            sums) ||
            !plain_admit(table, row))
            continue;
        if (!row->is_there)
            plain_begin(table, row, plain_key(i));
        row->used_step = table->version;
        plain_apply(table, row, sums, samples, scale);
    }
    table->version++;
    plain_read_all(table);
}

static inline const float *plain_weights(const struct plain_table *table, uint64_t version, uint32_t index)
{
    return table->weights[version % 2][index];
}

#endif
