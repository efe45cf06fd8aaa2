/* How fast codecs are: float32 in (or out), GB/s of one thread, beside memcpy's of the same floats in the
 * same run. Chunk after chunk of a large array, as a client or a shard passes over them. */
#include "base/clock.h"
#include "codec/codec.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 101

enum work { COPY, ENCODE, LEAF, FEEDBACK, FOLD, DECODE, WORK_COUNT };

static const char *const work_names[WORK_COUNT] = {"copy", "encode", "leaf", "feedback", "fold", "decode"};

struct options {
    unsigned long chunk_floats, chunks, runs;
    int json;
};

/* One codec and its arrays: chunk after chunk. */
struct bench {
    const struct options *options;
    struct codec_spec spec;
    float *values, *other, *residual;
    unsigned char *bytes;
    size_t *lengths;     /* of the encoded chunks */
    size_t stride_bytes; /* from one encoded chunk to the next */
};

struct figure {
    double median, low, high; /* GB/s of float32 */
    double bytes_per_float;
};

static const struct bench_codec {
    const char *name;
    struct codec_spec spec;
} codecs[] = {
    {"float32", {.type = CODEC_FLOAT32}},
    {"float16", {.type = CODEC_FLOAT16}},
    {"float16 stochastic", {.type = CODEC_FLOAT16, .rounding = CODEC_STOCHASTIC}},
    {"bfloat16", {.type = CODEC_BFLOAT16}},
    {"bfloat16 stochastic", {.type = CODEC_BFLOAT16, .rounding = CODEC_STOCHASTIC}},
    {"int8", {.type = CODEC_INT8, .block = CODEC_BLOCK_DEFAULT}},
    {"int8 stochastic", {.type = CODEC_INT8, .block = CODEC_BLOCK_DEFAULT, .rounding = CODEC_STOCHASTIC}},
    {"top_k 0.01", {.type = CODEC_TOP_K, .share = 0.01}},
    {"top_k 0.001", {.type = CODEC_TOP_K, .share = 0.001}},
};

static int decode(struct bench *bench, size_t chunk)
{
    size_t floats = bench->options->chunk_floats;
    struct error error = {0};

    if (codec_decode(&bench->spec, bench->bytes + chunk * bench->stride_bytes, bench->lengths[chunk],
                     bench->other + chunk * floats, floats, &error) == CAIRN_OK)
        return 0;
    fprintf(stderr, "bench_codecs: %s\n", error.message);
    return -1;
}

static int work_on_chunk(struct bench *bench, enum work work, size_t chunk)
{
    size_t floats = bench->options->chunk_floats;
    struct codec_node node = codec_node_for(&bench->spec, 1, 0, 7, (struct tree_node){0, 1});
    float *values = bench->values + chunk * floats, *other = bench->other + chunk * floats;
    float *residual = work == FEEDBACK ? bench->residual + chunk * floats : NULL;
    unsigned char *bytes = bench->bytes + chunk * bench->stride_bytes;

    node.array = chunk;
    if (work == COPY)
        memcpy(other, values, floats * sizeof(float));
    else if (work == ENCODE)
        bench->lengths[chunk] = codec_encode(&bench->spec, values, floats, bytes);
    else if (work == LEAF || work == FEEDBACK)
        bench->lengths[chunk] = codec_encode_leaf(&node, values, residual, floats, bytes);
    else if (work == FOLD)
        codec_fold(&node, other, values, floats);
    else
        return decode(bench, chunk);
    return 0;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static int measure(struct bench *bench, enum work work, struct figure *figure)
{
    size_t chunks = bench->options->chunks, runs = bench->options->runs, sent = 0;
    double rates[RUNS_MAX], gigabytes = 4e-9 * (double)(chunks * bench->options->chunk_floats);

    for (size_t run = 0; run <= runs; run++) {
        uint64_t begin = clock_ns();

        for (size_t chunk = 0; chunk < chunks; chunk++) {
            if (work_on_chunk(bench, work, chunk) != 0)
                return -1;
        }
        if (run > 0) /* the first one touches the memory */
            rates[run - 1] = gigabytes / (1e-9 * (double)(clock_ns() - begin));
    }
    for (size_t chunk = 0; chunk < chunks; chunk++)
        sent += bench->lengths[chunk];
    qsort(rates, runs, sizeof(*rates), compare);
    *figure = (struct figure){rates[runs / 2], rates[0], rates[runs - 1],
                              (double)sent / (double)(chunks * bench->options->chunk_floats)};
    return 0;
}

static void print_figure(const struct options *options, const char *codec, enum work work,
                         struct figure figure, double copy)
{
    static int printed;

    if (options->json)
        printf("%s{\"codec\": \"%s\", \"work\": \"%s\", \"gb_per_s\": %.3f, \"min\": %.3f, \"max\": %.3f, "
               "\"memcpy_gb_per_s\": %.3f, \"share_of_memcpy\": %.3f, \"bytes_per_float\": %.4f}",
               printed++ ? ", " : "", codec, work_names[work], figure.median, figure.low, figure.high, copy,
               figure.median / copy, figure.bytes_per_float);
    else
        printf("%-20s %-9s %7.2f (%.2f to %.2f) %7.2f %7.2f %10.3f\n", codec, work_names[work], figure.median,
               figure.low, figure.high, copy, figure.median / copy, figure.bytes_per_float);
}

static int run_codec(struct bench *bench, const struct bench_codec *codec)
{
    struct figure copy, figure;

    bench->spec = codec->spec;
    bench->stride_bytes = (codec_size_max(&bench->spec, bench->options->chunk_floats) + 63) / 64 * 64;
    for (int work = ENCODE; work < WORK_COUNT; work++) {
        if (measure(bench, COPY, &copy) != 0)
            return -1;
        if (work == DECODE) { /* what a leaf sends */
            if (measure(bench, LEAF, &figure) != 0)
                return -1;
        }
        if (measure(bench, (enum work)work, &figure) != 0)
            return -1;
        print_figure(bench->options, codec->name, (enum work)work, figure, copy.median);
    }
    return 0;
}

/* Sums of uniform numbers: near enough to the bell that gradients have. */
static void fill(float *values, size_t count)
{
    struct philox philox = philox_for(1, PHILOX_SYNTHETIC_DATA);

    for (size_t i = 0; i < count; i++) {
        uint32_t counter[4] = {(uint32_t)i, 0, 0, 0}, words[4];

        philox_words(philox, counter, words);
        values[i] = 0.01f * (philox_unit_float(words[0]) + philox_unit_float(words[1]) +
                             philox_unit_float(words[2]) + philox_unit_float(words[3]) - 2.0f);
    }
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    if (key == 'c')
        options->chunk_floats = strtoul(argument, NULL, 10) * 1024 / sizeof(float);
    else if (key == 'n')
        options->chunks = strtoul(argument, NULL, 10);
    else if (key == 'r')
        options->runs = strtoul(argument, NULL, 10);
    else if (key == 'j')
        options->json = 1;
    else
        return ARGP_ERR_UNKNOWN;
    if (options->chunk_floats < 64 || options->chunk_floats > 1u << 28 || options->chunks < 1 ||
        options->chunks > 1u << 16 || options->runs < 1 || options->runs > RUNS_MAX)
        argp_error(state, "a number is out of bounds");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"chunk", 'c', "KIB", 0, "KiB of floats a chunk (1024)", 0},
        {"chunks", 'n', "N", 0, "Chunks; 64 MiB of them are beyond any cache (64)", 0},
        {"runs", 'r', "N", 0, "Runs, of which the median is shown (11)", 0},
        {"json", 'j', NULL, 0, "Print one JSON object", 0},
        {0}};
    static const struct argp argp = {argp_options, parse, NULL, "Measures how fast codecs encode and decode.",
                                     NULL,         NULL,  NULL};
    struct options options = {.chunk_floats = 1u << 18, .chunks = 64, .runs = 11};
    struct bench bench = {.options = &options};
    size_t floats;
    int failed = 0;

    (void)argp_parse(&argp, argc, argv, 0, NULL, &options);
    floats = options.chunk_floats * options.chunks;
    bench.values = calloc(floats, sizeof(float));
    bench.other = calloc(floats, sizeof(float));
    bench.residual = calloc(floats, sizeof(float));
    bench.bytes = calloc(floats + options.chunks * 32, sizeof(float));
    bench.lengths = calloc(options.chunks, sizeof(size_t));
    if (bench.values == NULL || bench.other == NULL || bench.residual == NULL || bench.bytes == NULL ||
        bench.lengths == NULL) {
        fprintf(stderr, "bench_codecs: out of memory\n");
        return EXIT_FAILURE;
    }
    fill(bench.values, floats);
    if (options.json)
        printf("{\"bench\": \"codecs\", \"chunk_bytes\": %zu, \"chunks\": %lu, \"runs\": %lu, \"figures\": [",
               options.chunk_floats * sizeof(float), options.chunks, options.runs);
    else
        printf("%-20s %-9s %7s %24s %7s %10s\n", "codec", "work", "GB/s", "memcpy", "share", "bytes/float");
    for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]) && failed == 0; i++)
        failed = run_codec(&bench, &codecs[i]);
    if (options.json)
        printf("]}\n");
    free(bench.values);
    free(bench.other);
    free(bench.residual);
    free(bench.bytes);
    free(bench.lengths);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
