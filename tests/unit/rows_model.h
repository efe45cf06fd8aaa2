/* A table of rows beside a plain array that says what must be in it. Test code only. */
#ifndef CAIRN_TESTS_ROWS_MODEL_H
#define CAIRN_TESTS_ROWS_MODEL_H

#include "folder.h"
#include "must.h"
#include "rows.h"
#include "rows_hash.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL_KEYS   12000u
#define MODEL_FLOATS 5u

struct model_row {
    float value; /* 0: there is no row; the row's floats are value, value + 1, ... */
    uint32_t used_step;
};

struct model {
    struct model_row rows[MODEL_KEYS];
    uint64_t step;
};

struct world {
    char directory[FOLDER_BYTES], swap[FOLDER_BYTES + 8];
    struct store *store;
    struct rows *rows;
    uint64_t budget_bytes;
    struct model now, committed, before; /* before: one generation before committed */
    struct model captured;
    struct rows_capture *capture;
    bool is_whole, is_writing, has_before;
    bool continues; /* the capture: over `before`, and not over `committed` */
    pthread_t writer;
    enum status written;
    struct error error;
    uint64_t chance;
};

static inline uint64_t world_chance(struct world *world, uint64_t below)
{
    world->chance += 0x9e3779b97f4a7c15u;
    return rows_hash(world->chance ^ 0x5555) % below;
}

/* Keys that are not dense, so that neighbours are missing. */
static inline uint64_t world_key(uint32_t number)
{
    return (uint64_t)number << 20 | 7;
}

static inline void world_open_rows(struct world *world, uint64_t step)
{
    struct rows_options options = {.floats = MODEL_FLOATS,
                                   .budget_bytes = world->budget_bytes,
                                   .swap_directory = world->swap,
                                   .store = world->store,
                                   .table = 3,
                                   .step = step};

    ck_assert_msg(rows_new(&options, &world->rows, &world->error) == CAIRN_OK, "%s", world->error.message);
}

/* has_store false: a table that is not durable. */
static inline void world_open(struct world *world, bool has_store, uint64_t budget_bytes, uint64_t seed)
{
    char path[FOLDER_BYTES + 8];

    memset(world, 0, sizeof(*world));
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0); /* hundreds of commits need no disk to wait for */
    folder_make(world->directory);
    snprintf(world->swap, sizeof(world->swap), "%s/swap", world->directory);
    snprintf(path, sizeof(path), "%s/store", world->directory);
    world->budget_bytes = budget_bytes;
    world->chance = seed;
    if (has_store)
        ck_assert_int_eq(store_open(path, (size_t)1 << 28, &world->store, &world->error), CAIRN_OK);
    world_open_rows(world, 0);
}

static inline void world_close(struct world *world)
{
    rows_free(world->rows);
    store_close(world->store);
    folder_remove(world->directory);
}

static inline void world_expect_row(const struct world *world, uint32_t number, const struct row *row)
{
    const struct model_row *model = &world->now.rows[number];

    if (model->value == 0) {
        MUST(row == NULL);
        return;
    }
    MUST(row != NULL);
    MUST(row->key == world_key(number));
    MUST(row->used_step == model->used_step);
    for (uint32_t i = 0; i < MODEL_FLOATS; i++)
        MUST(row->floats[i] == model->value + (float)i);
}

/* Some keys: near each other or all over. */
static inline uint32_t world_keys(struct world *world, uint32_t *numbers, uint64_t *keys)
{
    uint32_t count = (uint32_t)world_chance(world, ROWS_BLOCK_MAX + 1);
    uint32_t first = (uint32_t)world_chance(world, MODEL_KEYS);
    uint32_t stride = world_chance(world, 2) ? 1 : 7919; /* no factor in common with MODEL_KEYS */

    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = (first + i * stride) % MODEL_KEYS;
        keys[i] = world_key(numbers[i]);
    }
    return count;
}

static inline void world_find(struct world *world)
{
    uint32_t numbers[ROWS_BLOCK_MAX], count;
    uint64_t keys[ROWS_BLOCK_MAX] = {0};
    struct row *found[ROWS_BLOCK_MAX];

    count = world_keys(world, numbers, keys);
    if (count > 1)
        keys[count - 1] = keys[0], numbers[count - 1] = numbers[0];
    ck_assert_msg(rows_find(world->rows, keys, count, found, &world->error) == CAIRN_OK, "%s",
                  world->error.message);
    for (uint32_t i = 0; i < count; i++)
        world_expect_row(world, numbers[i], found[i]);
}

static inline void world_make(struct world *world)
{
    uint32_t numbers[ROWS_BLOCK_MAX], count;
    uint64_t keys[ROWS_BLOCK_MAX] = {0};
    struct row *made[ROWS_BLOCK_MAX];
    bool is_new[ROWS_BLOCK_MAX];

    count = world_keys(world, numbers, keys);
    ck_assert_msg(rows_make(world->rows, keys, count, made, is_new, &world->error) == CAIRN_OK, "%s",
                  world->error.message);
    for (uint32_t i = 0; i < count; i++) {
        struct model_row *model = &world->now.rows[numbers[i]];

        MUST(is_new[i] == (model->value == 0));
        if (is_new[i])
            MUST(made[i]->used_step == 0);
        else
            world_expect_row(world, numbers[i], made[i]);
        *model = (struct model_row){(float)(1 + world_chance(world, 1000000)), (uint32_t)world->now.step};
        made[i]->used_step = model->used_step;
        for (uint32_t j = 0; j < MODEL_FLOATS; j++)
            made[i]->floats[j] = model->value + (float)j;
    }
    world->now.step++;
}

static inline void world_remove(struct world *world)
{
    uint32_t numbers[ROWS_BLOCK_MAX], count;
    uint64_t keys[ROWS_BLOCK_MAX] = {0};

    count = world_keys(world, numbers, keys);
    if (count > 1)
        keys[count - 1] = keys[0], numbers[count - 1] = numbers[0];
    ck_assert_msg(rows_remove(world->rows, keys, count, &world->error) == CAIRN_OK, "%s",
                  world->error.message);
    for (uint32_t i = 0; i < count; i++)
        world->now.rows[numbers[i]].value = 0;
}

/* Expires the whole table, in slices. */
static inline void world_expire(struct world *world)
{
    uint32_t before = (uint32_t)(world->now.step - world->now.step / 4), slices = 0;

    for (struct rows_facts facts = {0}; slices < 400; slices++) {
        rows_facts(world->rows, &facts);
        ck_assert_msg(rows_expire(world->rows, before, 1 + (uint32_t)facts.rows / 50, &world->error) ==
                          CAIRN_OK,
                      "%s", world->error.message);
    }
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        if (world->now.rows[i].used_step < before)
            world->now.rows[i].value = 0;
    }
}

struct world_visit {
    struct world *world;
    unsigned char *seen; /* [MODEL_KEYS] */
};

static inline enum status world_visit_row(void *context, const struct row *row, struct error *error)
{
    struct world_visit *visit = context;
    uint32_t number = (uint32_t)(row->key >> 20);

    (void)error;
    MUST(number < MODEL_KEYS);
    world_expect_row(visit->world, number, row);
    MUST(visit->seen[number]++ == 0);
    return CAIRN_OK;
}

/* Scans all rows, with look-ups that move them between the slices. */
static inline void world_scan(struct world *world)
{
    uint32_t since = (uint32_t)world_chance(world, world->now.step + 1);
    struct world_visit visit = {world, calloc(MODEL_KEYS, 1)};
    struct rows_scan scan = {0, false};
    struct rows_facts facts;
    uint64_t present = 0;

    ck_assert_ptr_nonnull(visit.seen);
    while (!scan.is_done) {
        ck_assert_msg(rows_scan(world->rows, &scan, since, 1000, world_visit_row, &visit, &world->error) ==
                          CAIRN_OK,
                      "%s", world->error.message);
        world_find(world);
    }
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        const struct model_row *row = &world->now.rows[i];

        present += row->value != 0;
        MUST(visit.seen[i] == (row->value != 0 && row->used_step >= since));
    }
    rows_facts(world->rows, &facts);
    ck_assert_uint_eq(facts.rows, present);
    free(visit.seen);
}

/* --- generations --- */

static inline void world_capture(struct world *world)
{
    world->captured = world->now;
    ck_assert_msg(rows_capture(world->rows, world->now.step, &world->capture, &world->error) == CAIRN_OK,
                  "%s", world->error.message);
    world->is_whole = false;
}

static inline void world_capture_more(struct world *world, uint32_t most)
{
    ck_assert_int_eq(rows_capture_more(world->rows, world->capture, most, &world->is_whole, &world->error),
                     CAIRN_OK);
}

static inline void *world_write(void *argument)
{
    struct world *world = argument;
    struct store_transaction *transaction;

    world->written = store_begin_write(world->store, &transaction, &world->error);
    if (world->written != CAIRN_OK)
        return NULL;
    world->written =
        rows_capture_write(world->capture, transaction,
                           world->continues ? world->before.step : world->committed.step, &world->error);
    if (world->written == CAIRN_OK)
        world->written = store_commit(transaction, &world->error);
    else
        store_abort(transaction);
    return NULL;
}

/* Sometimes the newest generation turns out to be one that is not to be gone back to. */
static inline void world_write_begin(struct world *world)
{
    world->continues = world->has_before && world_chance(world, 3) == 0;
    world->is_writing = true;
    ck_assert_int_eq(pthread_create(&world->writer, NULL, world_write, world), 0);
}

static inline void world_write_end(struct world *world)
{
    ck_assert_int_eq(pthread_join(world->writer, NULL), 0);
    ck_assert_msg(world->written == CAIRN_OK, "%s", world->error.message);
    world->is_writing = false;
    rows_captured(world->rows, world->capture, true);
    world->capture = NULL;
    if (!world->continues)
        world->before = world->committed;
    world->committed = world->captured;
    world->has_before = true;
}

static inline void world_generation(struct world *world)
{
    world_capture(world);
    while (!world->is_whole)
        world_capture_more(world, 1000);
    world_write_begin(world);
    world_write_end(world);
}

/* Ends the process, as it were, and starts again from the last generation or the one before. */
static inline void world_restart(struct world *world, bool goes_back)
{
    if (world->is_writing)
        world_write_end(world);
    if (world->capture)
        rows_captured(world->rows, world->capture, false);
    world->capture = NULL;
    rows_free(world->rows);
    if (goes_back && world->has_before)
        world->committed = world->before;
    world->has_before = false;
    world->now = world->committed;
    world_open_rows(world, world->committed.step);
}

#endif
