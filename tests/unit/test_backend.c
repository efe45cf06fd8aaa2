/* Conformance: every kind of operation on `cpu` against `ref`, over shapes that fit vectors and shapes that
 * do not; and the promise of equal bits on every run, alone or beside another thread. */
#include "check_main.h"
#include "compute_support.h"

#include "compute/cpu/dropout_kernels.h"

#include <limits.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>

/* Normalised errors, by what computes: single precision sums of up to a few thousand terms; Winograd's
 * transformed ones lose about a digit. */
#define EXACT    0.0
#define CLOSE    1e-6
#define SUMS     4e-6
#define WINOGRAD 1e-5

/* --- specs --- */

struct image {
    uint32_t samples, height, width, channels;
};

/* A window over an image; outputs as Keras has them. */
static struct op_spec windowed(enum op_kind kind, struct image image, const uint32_t size[2],
                               const uint32_t strides[2], bool same, uint32_t channels)
{
    uint32_t input[2] = {image.height, image.width}, output[2], pad[2] = {0, 0};
    struct op_spec spec = {.kind = kind, .samples = image.samples, .training = true, .input_gradient = true};

    for (int axis = 0; axis < 2; axis++) {
        spec.kernel_size[axis] = size[axis];
        spec.strides[axis] = strides[axis];
        output[axis] = (input[axis] - size[axis]) / strides[axis] + 1;
        if (same) {
            output[axis] = (input[axis] + strides[axis] - 1) / strides[axis];
            uint32_t covered = (output[axis] - 1) * strides[axis] + size[axis];
            pad[axis] = covered > input[axis] ? (covered - input[axis]) / 2 : 0;
        }
    }
    spec.pad_top = pad[0];
    spec.pad_left = pad[1];
    spec.input = (struct shape){3, {image.height, image.width, image.channels}};
    spec.output = (struct shape){3, {output[0], output[1], channels}};
    return spec;
}

static struct op_spec same_shape(enum op_kind kind, uint32_t samples, struct shape shape)
{
    return (struct op_spec){.kind = kind,
                            .samples = samples,
                            .input = shape,
                            .output = shape,
                            .training = true,
                            .input_gradient = true};
}

/* --- running one operation on plain tensors, whatever layouts it wants --- */

struct tensors {
    uint64_t inputs, outputs, kernel, bias;
    float *x, *kernel_values, *bias_values, *dy;     /* given */
    float *y, *dx, *kernel_gradient, *bias_gradient; /* made */
};

static void tensors_init(struct tensors *tensors, const struct op_spec *spec)
{
    *tensors = (struct tensors){.inputs = spec->samples * shape_elements(&spec->input),
                                .outputs = spec->samples * shape_elements(&spec->output)};
    if (spec->kind == OP_CONV2D)
        tensors->kernel =
            (uint64_t)spec->kernel_size[0] * spec->kernel_size[1] * spec->input.dim[2] * spec->output.dim[2];
    if (spec->kind == OP_DENSE)
        tensors->kernel = (uint64_t)spec->input.dim[0] * spec->output.dim[0];
    tensors->bias = spec->use_bias ? spec->output.dim[spec->output.rank - 1] : 0;
    tensors->x = new_random(tensors->inputs, 1);
    tensors->kernel_values = new_random(tensors->kernel, 2);
    tensors->bias_values = new_random(tensors->bias, 3);
    tensors->dy = new_random(tensors->outputs, 4);
    tensors->y = new_floats(tensors->outputs);
    tensors->dx = new_floats(tensors->inputs);
    tensors->kernel_gradient = new_floats(tensors->kernel);
    tensors->bias_gradient = new_floats(tensors->bias);
}

static void tensors_fini(struct tensors *tensors)
{
    float *all[] = {tensors->x,  tensors->kernel_values,   tensors->bias_values,  tensors->dy, tensors->y,
                    tensors->dx, tensors->kernel_gradient, tensors->bias_gradient};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free(all[i]);
}

/* Copies values from one layout into another through an operation of the backend. */
static void convert(struct backend *backend, const struct op_spec *of, const struct shape *shape,
                    struct layout from_layout, const float *from, struct layout to_layout, float *to)
{
    struct op_spec spec = {.kind = OP_REORDER,
                           .samples = of->samples,
                           .input = *shape,
                           .output = *shape,
                           .input_layout = from_layout,
                           .output_layout = to_layout};
    struct op *op = NULL;
    struct op_run run = {.x = from, .y = to};

    OK(backend->ops->plan(backend, &spec, &op, &support_error));
    run.scratch = host_allocate(op->scratch_bytes);
    OK(op->ops->forward(op, &run, &support_error));
    free(run.scratch);
    op_free(op);
}

/* Forward and, when planned with training, backward. */
static void run_op(struct backend *backend, const struct op_spec *spec, struct tensors *tensors)
{
    struct op *op = NULL;
    struct op_run run = {.kernel = tensors->kernel_values,
                         .bias = spec->use_bias ? tensors->bias_values : NULL,
                         .kernel_gradient = tensors->kernel_gradient,
                         .bias_gradient = tensors->bias_gradient,
                         .seed = 21,
                         .step = (UINT64_C(3) << 32) + 17,
                         .first_sample = 5};
    struct layout input = layout_plain(spec->samples, &spec->input);
    struct layout output = layout_plain(spec->samples, &spec->output);
    float *x, *dx;

    OK(backend->ops->plan(backend, spec, &op, &support_error));
    run.x = x = backend->ops->allocate(backend, op->input.bytes);
    run.dx = dx = backend->ops->allocate(backend, op->input.bytes);
    run.y = backend->ops->allocate(backend, op->output.bytes);
    run.dy = backend->ops->allocate(backend, op->output.bytes);
    run.saved = backend->ops->allocate(backend, op->saved_bytes);
    run.scratch = backend->ops->allocate(backend, op->scratch_bytes);
    convert(backend, spec, &spec->input, input, tensors->x, op->input, x);
    OK(op->ops->forward(op, &run, &support_error));
    convert(backend, spec, &spec->output, op->output, run.y, output, tensors->y);
    if (spec->training) {
        convert(backend, spec, &spec->output, output, tensors->dy, op->output, run.dy);
        OK(op->ops->backward(op, &run, &support_error));
    }
    if (spec->input_gradient)
        convert(backend, spec, &spec->input, op->input, dx, input, tensors->dx);
    backend->ops->release(backend, x);
    backend->ops->release(backend, dx);
    backend->ops->release(backend, run.y);
    backend->ops->release(backend, run.dy);
    backend->ops->release(backend, run.saved);
    backend->ops->release(backend, run.scratch);
    op_free(op);
}

static void expect_close(const char *what, const char *which, const float *expected, const float *got,
                         uint64_t count, double tolerance)
{
    double error = normalised_error(expected, got, count);

    ck_assert_msg(error <= tolerance, "%s: %s: normalised error %.2e, allowed %.2e", what, which, error,
                  tolerance);
}

/* --- equal bits: alone, again, and in two threads at once --- */

struct repetition {
    const struct op_spec *spec;
    struct tensors tensors;
};

static void *repeat(void *argument)
{
    struct repetition *repetition = argument;
    struct backend *backend = NULL;

    OK(backend_cpu_new(1, &backend, &support_error));
    run_op(backend, repetition->spec, &repetition->tensors);
    backend_free(backend);
    return NULL;
}

static void expect_same_bits(const char *what, const struct tensors *a, const struct tensors *b)
{
    ck_assert_msg(memcmp(a->y, b->y, a->outputs * sizeof(float)) == 0, "%s: y differs in bits", what);
    ck_assert_msg(memcmp(a->dx, b->dx, a->inputs * sizeof(float)) == 0, "%s: dx differs in bits", what);
    ck_assert_msg(memcmp(a->kernel_gradient, b->kernel_gradient, a->kernel * sizeof(float)) == 0,
                  "%s: the kernel gradient differs in bits", what);
    ck_assert_msg(memcmp(a->bias_gradient, b->bias_gradient, a->bias * sizeof(float)) == 0,
                  "%s: the bias gradient differs in bits", what);
}

static void check_repetition(const char *what, const struct op_spec *spec, const struct tensors *first)
{
    struct repetition two[2] = {{.spec = spec}, {.spec = spec}};
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        tensors_init(&two[i].tensors, spec);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, repeat, &two[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        expect_same_bits(what, first, &two[i].tensors);
        tensors_fini(&two[i].tensors);
    }
}

/* cpu against ref, with training and without, and the same bits on every run. */
static void check_op(const char *what, const struct op_spec *spec, double tolerance)
{
    struct backend *ref = NULL, *cpu = NULL;
    struct op_spec inference = *spec;
    struct tensors expected, got, inferred;

    OK(backend_ref_new(&ref, &support_error));
    OK(backend_cpu_new(1, &cpu, &support_error));
    tensors_init(&expected, spec);
    tensors_init(&got, spec);
    run_op(ref, spec, &expected);
    run_op(cpu, spec, &got);
    expect_close(what, "y", expected.y, got.y, got.outputs, tolerance);
    expect_close(what, "dx", expected.dx, got.dx, got.inputs, tolerance);
    expect_close(what, "kernel gradient", expected.kernel_gradient, got.kernel_gradient, got.kernel,
                 tolerance);
    expect_close(what, "bias gradient", expected.bias_gradient, got.bias_gradient, got.bias, tolerance);
    check_repetition(what, spec, &got);
    if (spec->kind != OP_DROPOUT) {
        inference.training = inference.input_gradient = false;
        tensors_init(&inferred, spec);
        run_op(cpu, &inference, &inferred);
        expect_close(what, "y without training", got.y, inferred.y, got.outputs, tolerance);
        tensors_fini(&inferred);
    }
    tensors_fini(&expected);
    tensors_fini(&got);
    backend_free(ref);
    backend_free(cpu);
}

/* --- one test a kind --- */

START_TEST(test_dense)
{
    static const uint32_t shapes[][3] = {{1, 1, 1},    {1, 7, 3},    {5, 33, 17},  {32, 784, 128},
                                         {3, 128, 10}, {64, 100, 1}, {16, 256, 64}};

    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        for (int variant = 0; variant < 4; variant++) {
            struct op_spec spec = {.kind = OP_DENSE,
                                   .samples = shapes[i][0],
                                   .input = {1, {shapes[i][1]}},
                                   .output = {1, {shapes[i][2]}},
                                   .training = true,
                                   .input_gradient = variant != 2,
                                   .use_bias = variant != 1,
                                   .activation = variant == 3 ? ACTIVATION_RELU : ACTIVATION_LINEAR};
            char what[64];

            snprintf(what, sizeof(what), "dense %u x %u to %u, variant %d", shapes[i][0], shapes[i][1],
                     shapes[i][2], variant);
            check_op(what, &spec, SUMS);
        }
    }
}
END_TEST

struct convolution {
    struct image image;
    uint32_t filters, size[2], strides[2];
    bool same;
    double tolerance;
};

static void check_convolution(const struct convolution *convolution, int variant)
{
    struct op_spec spec = windowed(OP_CONV2D, convolution->image, convolution->size, convolution->strides,
                                   convolution->same, convolution->filters);
    char what[128];

    spec.use_bias = variant != 1;
    spec.input_gradient = variant != 2;
    spec.activation = variant == 0 ? ACTIVATION_RELU : ACTIVATION_LINEAR;
    snprintf(what, sizeof(what), "conv2d %u x %ux%ux%u to %u, %ux%u/%ux%u%s, variant %d",
             convolution->image.samples, convolution->image.height, convolution->image.width,
             convolution->image.channels, convolution->filters, spec.kernel_size[0], spec.kernel_size[1],
             spec.strides[0], spec.strides[1], convolution->same ? " same" : "", variant);
    check_op(what, &spec, convolution->tolerance);
}

START_TEST(test_conv2d)
{
    static const struct convolution all[] = {
        {{1, 5, 5, 1}, 1, {3, 3}, {1, 1}, false, SUMS},
        {{4, 12, 12, 1}, 32, {3, 3}, {1, 1}, false, SUMS},
        {{4, 10, 10, 32}, 64, {3, 3}, {1, 1}, false, SUMS},
        {{8, 14, 14, 16}, 32, {3, 3}, {1, 1}, false, WINOGRAD},
        {{9, 13, 11, 32}, 48, {3, 3}, {1, 1}, true, WINOGRAD},
        {{2, 9, 7, 3}, 5, {3, 3}, {1, 1}, true, SUMS},
        {{3, 11, 8, 7}, 13, {5, 3}, {2, 1}, true, SUMS},
        {{2, 16, 16, 3}, 16, {7, 7}, {2, 2}, true, SUMS},
        {{2, 9, 9, 16}, 16, {1, 1}, {1, 1}, false, SUMS},
        {{2, 9, 9, 24}, 40, {1, 1}, {2, 2}, false, SUMS},
        {{1, 8, 8, 10}, 20, {2, 4}, {3, 2}, false, SUMS},
        {{2, 6, 6, 17}, 33, {3, 3}, {1, 1}, true, SUMS},
        {{3, 4, 4, 8}, 8, {4, 4}, {1, 1}, true, SUMS},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        for (int variant = 0; variant < 3; variant++)
            check_convolution(&all[i], variant);
    }
}
END_TEST

/* Runs `check` twice: on a plain layout, and on the one that a convolution would give. */
static void check_layouts(const char *what, struct op_spec *spec, double tolerance)
{
    const uint32_t one[2] = {1, 1};
    struct image image = {spec->samples, spec->input.dim[0], spec->input.dim[1], 16};
    struct op_spec before = windowed(OP_CONV2D, image, one, one, false, spec->input.dim[2]);
    struct backend *backend = NULL;
    struct op *op = NULL;

    spec->input_layout = layout_plain(spec->samples, &spec->input);
    check_op(what, spec, tolerance);
    OK(backend_cpu_new(1, &backend, &support_error));
    OK(backend->ops->plan(backend, &before, &op, &support_error));
    spec->input_layout = op->output;
    check_op(what, spec, tolerance);
    op_free(op);
    backend_free(backend);
}

START_TEST(test_pooling2d)
{
    static const struct convolution all[] = {
        {{1, 4, 4, 1}, 0, {2, 2}, {2, 2}, false, 0},    {{3, 24, 24, 64}, 0, {2, 2}, {2, 2}, false, 0},
        {{2, 7, 5, 3}, 0, {3, 2}, {2, 1}, true, 0},     {{2, 9, 9, 20}, 0, {3, 3}, {2, 2}, true, 0},
        {{4, 8, 8, 16}, 0, {3, 3}, {1, 1}, false, 0},   {{1, 6, 6, 10}, 0, {6, 6}, {1, 1}, false, 0},
        {{2, 11, 11, 33}, 0, {2, 2}, {3, 3}, false, 0},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const struct convolution *pooling = &all[i];
        struct op_spec spec = windowed(OP_MAX_POOLING2D, pooling->image, pooling->size, pooling->strides,
                                       pooling->same, pooling->image.channels);
        char what[64];

        snprintf(what, sizeof(what), "pooling %zu", i);
        check_layouts(what, &spec, CLOSE);
        spec.activation = ACTIVATION_RELU;
        check_layouts(what, &spec, CLOSE);
        spec.activation = ACTIVATION_LINEAR;
        spec.kind = OP_AVERAGE_POOLING2D;
        check_layouts(what, &spec, CLOSE);
    }
}
END_TEST

/* Where several are the largest, the first of them in the window gets the whole gradient. */
START_TEST(test_max_pooling2d_ties)
{
    const uint32_t size[2] = {2, 2};
    struct image image = {2, 4, 4, 16};
    struct op_spec spec = windowed(OP_MAX_POOLING2D, image, size, size, false, 16);
    struct backend *backends[2] = {NULL, NULL};

    OK(backend_ref_new(&backends[0], &support_error));
    OK(backend_cpu_new(1, &backends[1], &support_error));
    for (int b = 0; b < 2; b++) {
        struct tensors tensors;

        tensors_init(&tensors, &spec);
        memset(tensors.x, 0, tensors.inputs * sizeof(float));
        run_op(backends[b], &spec, &tensors);
        for (uint64_t i = 0; i < tensors.outputs; i++) {
            uint64_t channel = i % 16, column = i / 16 % 2, row = i / 32 % 2, sample = i / 64;
            uint64_t first = ((sample * 4 + 2 * row) * 4 + 2 * column) * 16 + channel;

            ck_assert_float_eq(tensors.dx[first], tensors.dy[i]);
            ck_assert_float_eq(tensors.dx[first + 16], 0);
        }
        tensors_fini(&tensors);
        backend_free(backends[b]);
    }
}
END_TEST

START_TEST(test_activation)
{
    static const struct shape shapes[] = {{3, {5, 4, 16}}, {3, {3, 3, 10}}, {3, {7, 5, 1}}};

    for (int activation = 0; activation < ACTIVATION_COUNT; activation++) {
        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
            struct op_spec spec = same_shape(OP_ACTIVATION, 3, shapes[i]);

            spec.activation = (enum activation)activation;
            check_layouts(activation_name(spec.activation), &spec, SUMS);
        }
        for (uint32_t rank = 1; rank <= MODEL_RANK_MAX; rank++) {
            struct op_spec spec = same_shape(OP_ACTIVATION, 4, (struct shape){rank, {3, 5, 2, 4}});

            spec.activation = (enum activation)activation;
            check_op(activation_name(spec.activation), &spec, SUMS);
        }
    }
}
END_TEST

/* Extreme inputs neither overflow nor make a NaN. */
START_TEST(test_softmax_of_large_numbers)
{
    struct op_spec spec = same_shape(OP_ACTIVATION, 2, (struct shape){1, {5}});
    struct backend *backends[2] = {NULL, NULL};

    spec.activation = ACTIVATION_SOFTMAX;
    OK(backend_ref_new(&backends[0], &support_error));
    OK(backend_cpu_new(1, &backends[1], &support_error));
    for (int b = 0; b < 2; b++) {
        struct tensors tensors;

        tensors_init(&tensors, &spec);
        for (uint64_t i = 0; i < tensors.inputs; i++)
            tensors.x[i] *= 1e5f;
        run_op(backends[b], &spec, &tensors);
        for (int row = 0; row < 2; row++) {
            double sum = 0;

            for (int i = 0; i < 5; i++)
                sum += tensors.y[row * 5 + i];
            ck_assert_double_eq_tol(sum, 1, 1e-6);
        }
        tensors_fini(&tensors);
        backend_free(backends[b]);
    }
}
END_TEST

START_TEST(test_dropout)
{
    static const uint32_t elements[] = {1, 15, 63, 64, 65, 1000, 9216};
    static const float rates[] = {0.25f, 0.5f, 0.1f, 0.999f};

    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        for (size_t j = 0; j < sizeof(rates) / sizeof(rates[0]); j++) {
            struct op_spec spec = same_shape(OP_DROPOUT, 3, (struct shape){1, {elements[i]}});
            char what[64];

            spec.rate = rates[j];
            spec.layer = 500;
            snprintf(what, sizeof(what), "dropout of %u at %g", elements[i], (double)rates[j]);
            check_op(what, &spec, EXACT);
        }
    }
}
END_TEST

/* The share that is kept, and the scale, are what was asked for. */
START_TEST(test_dropout_keeps_its_share)
{
    struct op_spec spec = same_shape(OP_DROPOUT, 4, (struct shape){1, {50000}});
    struct backend *backend = NULL;
    struct tensors tensors;
    uint64_t kept = 0;

    spec.rate = 0.3f;
    OK(backend_cpu_new(1, &backend, &support_error));
    tensors_init(&tensors, &spec);
    for (uint64_t i = 0; i < tensors.inputs; i++)
        tensors.x[i] = 1;
    run_op(backend, &spec, &tensors);
    for (uint64_t i = 0; i < tensors.outputs; i++) {
        ck_assert(tensors.y[i] == 0 || tensors.y[i] == 1 / (1 - 0.3f));
        kept += tensors.y[i] != 0;
    }
    ck_assert_double_eq_tol((double)kept / (double)tensors.outputs, 0.7, 0.005); /* 5 standard deviations */
    ck_assert(memcmp(tensors.y, tensors.y + 50000, 50000 * sizeof(float)) != 0);
    tensors_fini(&tensors);
    backend_free(backend);
}
END_TEST

/* Each machine's loops draw what philox_words draws one by one. */
START_TEST(test_dropout_kernels)
{
    enum { BLOCKS = 33 };
    const struct dropout_kernels *all[] = {dropout_kernels_plain(), dropout_kernels_best()};
    struct dropout_stream stream = dropout_stream_for(9, UINT64_C(0x123456789a), 3, 77);
    uint32_t threshold = dropout_threshold(0.4f);

    for (size_t k = 0; k < 2; k++) {
        uint64_t kept[BLOCKS];

        all[k]->draw(&stream, threshold, kept, BLOCKS);
        for (uint32_t i = 0; i < BLOCKS * DROPOUT_BLOCK; i++) {
            uint32_t counter[4] = {i / DROPOUT_BLOCK * DROPOUT_COUNTERS + i % DROPOUT_COUNTERS,
                                   stream.counter[1], stream.counter[2], stream.counter[3]};
            uint32_t words[4];

            philox_words(stream.philox, counter, words);
            ck_assert_int_eq(kept[i / DROPOUT_BLOCK] >> i % DROPOUT_BLOCK & 1,
                             philox_unit_float(words[i % DROPOUT_BLOCK / DROPOUT_COUNTERS]) >= 0.4f);
        }
    }
}
END_TEST

/* There and back again gives every element, from and to layouts with padding. */
START_TEST(test_reorder)
{
    static const uint32_t channels[] = {1, 3, 16, 17, 40};
    const uint32_t one[2] = {1, 1};
    struct backend *backend = NULL;

    OK(backend_cpu_new(1, &backend, &support_error));
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        struct image image = {3, 5, 6, 16};
        struct op_spec before = windowed(OP_CONV2D, image, one, one, false, channels[i]);
        struct shape shape = before.output;
        uint64_t count = 3 * shape_elements(&shape);
        float *from = new_random(count, 5), *back = new_floats(count), *native;
        struct op *op = NULL;

        OK(backend->ops->plan(backend, &before, &op, &support_error));
        native = backend->ops->allocate(backend, op->output.bytes);
        convert(backend, &before, &shape, layout_plain(3, &shape), from, op->output, native);
        convert(backend, &before, &shape, op->output, native, layout_plain(3, &shape), back);
        ck_assert_mem_eq(from, back, count * sizeof(float));
        backend->ops->release(backend, native);
        free(from);
        free(back);
        op_free(op);
    }
    backend_free(backend);
}
END_TEST

/* In the place of dnnl_primitive_desc_create: see CMakeLists.txt. What it says of Winograd's algorithm;
 * dnnl_success: what it has to say. */
static dnnl_status_t winograd_answer = dnnl_success;

dnnl_status_t __real_dnnl_primitive_desc_create(dnnl_primitive_desc_t *out, const_dnnl_op_desc_t desc,
                                                const_dnnl_primitive_attr_t attributes, dnnl_engine_t engine,
                                                const_dnnl_primitive_desc_t forward);
dnnl_status_t __wrap_dnnl_primitive_desc_create(dnnl_primitive_desc_t *out, const_dnnl_op_desc_t desc,
                                                const_dnnl_primitive_attr_t attributes, dnnl_engine_t engine,
                                                const_dnnl_primitive_desc_t forward);

dnnl_status_t __wrap_dnnl_primitive_desc_create(dnnl_primitive_desc_t *out, const_dnnl_op_desc_t desc,
                                                const_dnnl_primitive_attr_t attributes, dnnl_engine_t engine,
                                                const_dnnl_primitive_desc_t forward)
{
    const dnnl_convolution_desc_t *convolution = desc;

    if (winograd_answer != dnnl_success && convolution->primitive_kind == dnnl_convolution &&
        convolution->alg_kind == dnnl_convolution_winograd)
        return winograd_answer;
    return __real_dnnl_primitive_desc_create(out, desc, attributes, engine, forward);
}

/* Where there is no such kernel another computes; where there was none for now, another would be other bits.
 */
START_TEST(test_algorithms)
{
    static const struct {
        dnnl_status_t answer;
        enum status status;
    } cases[] = {{dnnl_unimplemented, CAIRN_OK},
                 {dnnl_out_of_memory, CAIRN_NO_MEMORY},
                 {dnnl_runtime_error, CAIRN_IO}};
    const uint32_t size[2] = {3, 3}, strides[2] = {1, 1};
    struct op_spec spec = windowed(OP_CONV2D, (struct image){8, 14, 14, 16}, size, strides, false, 32);
    struct backend *cpu = NULL;
    struct error error;
    struct op *op;

    OK(backend_cpu_new(1, &cpu, &support_error));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        winograd_answer = cases[i].answer;
        ck_assert_int_eq(cpu->ops->plan(cpu, &spec, &op, &error), cases[i].status);
        op_free(op);
    }
    backend_free(cpu);
}
END_TEST

/* More threads are another function in bits, but the same one in numbers. */
START_TEST(test_threads)
{
    const uint32_t size[2] = {3, 3}, strides[2] = {1, 1};
    struct image image = {8, 12, 12, 16};
    struct op_spec spec = windowed(OP_CONV2D, image, size, strides, false, 32);
    struct backend *ref = NULL, *cpu = NULL;
    struct tensors expected, got, again;

    OK(backend_ref_new(&ref, &support_error));
    OK(backend_cpu_new(2, &cpu, &support_error));
    tensors_init(&expected, &spec);
    tensors_init(&got, &spec);
    tensors_init(&again, &spec);
    run_op(ref, &spec, &expected);
    run_op(cpu, &spec, &got);
    run_op(cpu, &spec, &again);
    expect_close("two threads", "kernel gradient", expected.kernel_gradient, got.kernel_gradient, got.kernel,
                 WINOGRAD);
    expect_same_bits("two threads", &got, &again);
    tensors_fini(&expected);
    tensors_fini(&got);
    tensors_fini(&again);
    backend_free(ref);
    backend_free(cpu);
}
END_TEST

/* What the environment can ask of OpenMP, each of which makes for fewer threads than are there. */
static void ask_for_fewer(int way)
{
    omp_set_dynamic(way == 0);
    omp_set_max_active_levels(way == 1 ? 0 : 1);
}

START_TEST(test_threads_are_as_many_as_planned)
{
    const uint32_t size[2] = {3, 3}, strides[2] = {1, 1};
    const unsigned threads = (unsigned)omp_get_num_procs() + 1; /* "dynamic" makes no more than that */
    struct op_spec spec = windowed(OP_CONV2D, (struct image){8, 12, 12, 16}, size, strides, false, 32);
    struct backend *cpu = NULL;
    struct tensors expected, got;

    OK(backend_cpu_new(threads, &cpu, &support_error));
    tensors_init(&expected, &spec);
    run_op(cpu, &spec, &expected);
    for (int way = 0; way < 2; way++) {
        tensors_init(&got, &spec);
        ask_for_fewer(way);
        run_op(cpu, &spec, &got);
        expect_same_bits(way == 0 ? "dynamic" : "no levels", &expected, &got);
        tensors_fini(&got);
    }
    tensors_fini(&expected);
    backend_free(cpu);
}
END_TEST

/* In the place of omp_get_thread_limit: see CMakeLists.txt. The environment's, which is read once. */
static int thread_limit = INT_MAX;

int __wrap_omp_get_thread_limit(void);
int __wrap_omp_get_thread_limit(void)
{
    return thread_limit;
}

START_TEST(test_a_limit_of_threads)
{
    struct backend *backend = NULL;
    struct error error;

    thread_limit = 2;
    ck_assert_int_eq(backend_cpu_new(3, &backend, &error), CAIRN_INVALID);
    ck_assert_ptr_null(backend);
    ck_assert_ptr_nonnull(strstr(error.message, "OMP_THREAD_LIMIT"));
    OK(backend_cpu_new(2, &backend, &support_error));
    backend_free(backend);
}
END_TEST

START_TEST(test_refusals)
{
    struct backend *backend = NULL;
    struct error error;

    ck_assert_int_eq(backend_cpu_new(0, &backend, &error), CAIRN_INVALID);
    ck_assert_ptr_null(backend);
    backend_free(NULL);
    op_free(NULL);
    ck_assert_ptr_null(host_allocate(SIZE_MAX - 8));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("backend");
    TCase *operations = tcase_create("operations"), *others = tcase_create("others");

    tcase_set_timeout(operations, 60);
    tcase_add_test(operations, test_dense);
    tcase_add_test(operations, test_conv2d);
    tcase_add_test(operations, test_pooling2d);
    tcase_add_test(operations, test_max_pooling2d_ties);
    tcase_add_test(operations, test_activation);
    tcase_add_test(operations, test_softmax_of_large_numbers);
    tcase_add_test(operations, test_dropout);
    tcase_add_test(operations, test_reorder);
    tcase_add_test(others, test_dropout_keeps_its_share);
    tcase_add_test(others, test_dropout_kernels);
    tcase_add_test(others, test_algorithms);
    tcase_add_test(others, test_threads);
    tcase_add_test(others, test_threads_are_as_many_as_planned);
    tcase_add_test(others, test_a_limit_of_threads);
    tcase_add_test(others, test_refusals);
    suite_add_tcase(suite, operations);
    suite_add_tcase(suite, others);
    return suite;
}

CHECK_MAIN(make_suite)
