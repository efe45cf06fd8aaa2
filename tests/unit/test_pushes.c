/* Which chunks are due when, against a plain model of "the layer that it begins in is complete". */
#include "check_main.h"
#include "pushes.h"

#include <string.h>

#define LAYERS 5
#define CHUNKS 7
#define COVERS 3

/* Chunks of 64 floats: layers within a chunk, over several, and one without parameters. None begins in the
 * third and the fourth. */
static const struct graph_layer layers[LAYERS] = {
    {.parameter_begin = 0, .parameter_end = 32},    {.parameter_begin = 32, .parameter_end = 160},
    {.parameter_begin = 160, .parameter_end = 160}, {.parameter_begin = 160, .parameter_end = 176},
    {.parameter_begin = 176, .parameter_end = 400},
};
static const struct graph graph = {.layer_count = LAYERS,
                                   .layers = (struct graph_layer *)layers,
                                   .floats = 400,
                                   .chunk_floats = 64,
                                   .chunk_count = CHUNKS};

struct model {
    bool done[COVERS][LAYERS];
    bool pushed[COVERS][CHUNKS];
};

static bool is_ready(const struct model *model, uint32_t cover, uint32_t chunk)
{
    for (uint32_t i = 0; i < LAYERS; i++) {
        if (layers[i].parameter_begin <= chunk * 64 && chunk * 64 < layers[i].parameter_end)
            return model->done[cover][i];
    }
    return false;
}

static uint32_t times_pushed(const struct model *model, uint32_t chunk)
{
    uint32_t count = 0;

    for (uint32_t cover = 0; cover < COVERS; cover++)
        count += model->pushed[cover][chunk];
    return count;
}

/* Takes what is due; whether that is right. */
static bool due_is_right(struct model *model, const struct due *due)
{
    bool right = due->chunk_count > 0, all = true;

    for (uint32_t i = due->first_chunk; i < due->first_chunk + due->chunk_count; i++) {
        right = right && is_ready(model, due->cover, i) && !model->pushed[due->cover][i] &&
                due->subscribe == (times_pushed(model, i) == COVERS - 1);
        model->pushed[due->cover][i] = true;
    }
    for (uint32_t i = 0; i < CHUNKS; i++)
        all = all && model->pushed[due->cover][i];
    return right && due->last == all;
}

static void take_all(struct pushes *pushes, struct model *model)
{
    bool right = true;
    struct due due;

    while (pushes_next(pushes, &due))
        right = due_is_right(model, &due) && right;
    for (uint32_t cover = 0; cover < COVERS; cover++) {
        for (uint32_t i = 0; i < CHUNKS; i++)
            right = right && model->pushed[cover][i] == is_ready(model, cover, i);
    }
    ck_assert(right);
}

static void run_step(struct pushes *pushes, unsigned *seed)
{
    struct model model = {{{false}}, {{false}}};
    uint32_t left = COVERS * (LAYERS - 2);

    while (left > 0) {
        uint32_t cover = (uint32_t)rand_r(seed) % COVERS, layer = (uint32_t)rand_r(seed) % LAYERS;

        if (layer == 2 || layer == 3 || model.done[cover][layer])
            continue;
        model.done[cover][layer] = true;
        left--;
        pushes_layer_done(pushes, cover, layer);
        if (rand_r(seed) % 3 > 0 || left == 0)
            take_all(pushes, &model);
    }
}

START_TEST(chunks_go_when_their_layers_are_complete)
{
    struct pushes *pushes = pushes_new(&graph, COVERS);
    unsigned seed = 1;

    ck_assert_ptr_nonnull(pushes);
    for (int step = 0; step < 1000; step++)
        run_step(pushes, &seed);
    pushes_free(pushes);
}
END_TEST

START_TEST(neighbours_go_together)
{
    struct pushes *pushes = pushes_new(&graph, 1);
    struct due due;

    pushes_layer_done(pushes, 0, 4);
    ck_assert(pushes_next(pushes, &due));
    ck_assert_uint_eq(due.first_chunk, 3);
    ck_assert_uint_eq(due.chunk_count, 4);
    ck_assert(due.subscribe && !due.last);
    ck_assert(!pushes_next(pushes, &due));
    pushes_layer_done(pushes, 0, 1);
    ck_assert(pushes_next(pushes, &due));
    ck_assert_uint_eq(due.first_chunk, 1);
    ck_assert_uint_eq(due.chunk_count, 2);
    pushes_layer_done(pushes, 0, 0);
    ck_assert(pushes_next(pushes, &due));
    ck_assert_uint_eq(due.first_chunk, 0);
    ck_assert(due.last);
    ck_assert(!pushes_next(pushes, &due));
    pushes_free(pushes);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pushes");
    TCase *test = tcase_create("pushes");

    tcase_add_test(test, chunks_go_when_their_layers_are_complete);
    tcase_add_test(test, neighbours_go_together);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
