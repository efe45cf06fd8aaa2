/* What does a codec cost a step, and on which links does it pay? Sync steps (push-pull) of one dense table,
 * by two clients on one server over TCP of this machine, whose speed is that of processors. Beside each codec
 * float32, in turn with it, repetition by repetition, so that a noisy machine disturbs both.
 *
 * The link at which both take equally long is what the bytes that a codec saves a client, there and back,
 * would take as much longer as the codec's steps are: on slower ones the codec pays. */
#include "arguments.h"
#include "cluster.h"
#include "codec/codec.h"
#include "figures.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOATS      ((uint64_t)4 << 20) /* 16 MiB */
#define CLIENTS     2
#define RUN_SECONDS 0.5

struct options {
    uint32_t repetitions;
    bool json;
};

/* The processes of one codec and what they did. */
struct side {
    struct crew *crew;
    uint32_t steps;
    struct figure step_ms, server_ms, client_ms; /* processor time a step: of the server, of a client */
};

struct row {
    enum codec_type codec;
    struct side coded, plain;
    struct figure ratio; /* of steps' times, of the same repetition */
};

static enum status side_start(struct side *side, const char *codec, struct error *error)
{
    const struct cluster_params cluster = {
        .pattern = CLUSTER_PUSH_PULL, .floats = FLOATS, .tables = 1, .codec = codec};
    const struct crew_params params = {"tcp", 1, CLIENTS, &cluster_roles, &cluster};
    enum status status = crew_start(&params, &side->crew, error);

    return status == CAIRN_OK ? crew_calibrate(side->crew, RUN_SECONDS, &side->steps, error) : status;
}

static enum status side_run(struct side *side, struct error *error)
{
    struct crew_times times;
    enum status status = crew_run(side->crew, side->steps, &times, error);

    if (status != CAIRN_OK)
        return status;
    figure_add(&side->step_ms, times.seconds / side->steps * 1e3);
    figure_add(&side->server_ms, times.server_cpu_seconds / side->steps * 1e3);
    figure_add(&side->client_ms, times.client_cpu_seconds / side->steps / CLIENTS * 1e3);
    return CAIRN_OK;
}

static double last(const struct figure *figure)
{
    return figure->samples[figure->count - 1];
}

static enum status row_measure(struct row *row, uint32_t repetitions, struct error *error)
{
    enum status status = side_start(&row->plain, NULL, error);

    if (status == CAIRN_OK)
        status = side_start(&row->coded, codec_name(row->codec), error);
    for (uint32_t i = 0; i < repetitions && status == CAIRN_OK; i++) {
        status = side_run(&row->plain, error);
        if (status == CAIRN_OK)
            status = side_run(&row->coded, error);
        if (status == CAIRN_OK)
            figure_add(&row->ratio, last(&row->coded.step_ms) / last(&row->plain.step_ms));
    }
    crew_free(row->plain.crew);
    crew_free(row->coded.crew);
    return status;
}

/* ---- bytes */

/* Of a client's gradients in a step. top_k: an index and a value for each that is sent. */
static double bytes_there(enum codec_type type)
{
    const struct codec_spec codec = codec_spec_default(type);

    return type == CODEC_TOP_K ? codec.share * (double)FLOATS * 8 : (double)codec_size_max(&codec, FLOATS);
}

static double bytes_back(enum codec_type type)
{
    return (double)FLOATS * (codec_carries_values(type) ? 2 : 4);
}

/* Gbit/s; 0: the codec's steps are no slower, so that it pays on any. */
static double equal_link(const struct row *row)
{
    double saved = bytes_there(CODEC_FLOAT32) + bytes_back(CODEC_FLOAT32) - bytes_there(row->codec) -
                   bytes_back(row->codec);
    double longer_ms = figure_median(&row->coded.step_ms) - figure_median(&row->plain.step_ms);

    return longer_ms > 0 ? saved * 8 / (longer_ms * 1e-3) * 1e-9 : 0;
}

/* ---- output */

static void print_text(const struct row *row)
{
    double link = equal_link(row);

    printf("%-8s  there %5.1f MB  back %5.1f MB   step %6.1f ms (%.1f to %.1f)   float32 %6.1f ms   ratio "
           "%.2f   |"
           "   server %5.1f ms (%.1f), client %5.1f ms (%.1f)   |   ",
           codec_name(row->codec), bytes_there(row->codec) * 1e-6, bytes_back(row->codec) * 1e-6,
           figure_median(&row->coded.step_ms), figure_least(&row->coded.step_ms),
           figure_most(&row->coded.step_ms), figure_median(&row->plain.step_ms), figure_median(&row->ratio),
           figure_median(&row->coded.server_ms), figure_median(&row->plain.server_ms),
           figure_median(&row->coded.client_ms), figure_median(&row->plain.client_ms));
    if (link > 0)
        printf("pays below %.1f Gbit/s\n", link);
    else
        printf("pays on any link\n");
}

static void print_side(const char *name, const struct side *side)
{
    printf("\"%s\": {\"step_ms\": %.2f, \"step_ms_min\": %.2f, \"step_ms_max\": %.2f, "
           "\"server_cpu_ms\": %.2f, \"client_cpu_ms\": %.2f}",
           name, figure_median(&side->step_ms), figure_least(&side->step_ms), figure_most(&side->step_ms),
           figure_median(&side->server_ms), figure_median(&side->client_ms));
}

static void print_json(const struct row *row, bool is_first)
{
    printf("%s\n  {\"codec\": \"%s\", \"bytes_there\": %.0f, \"bytes_back\": %.0f, ", is_first ? "" : ",",
           codec_name(row->codec), bytes_there(row->codec), bytes_back(row->codec));
    print_side("coded", &row->coded);
    printf(", ");
    print_side("float32", &row->plain);
    printf(", \"ratio\": %.3f, \"equal_link_gbit_s\": %.2f}", figure_median(&row->ratio), equal_link(row));
}

/* ---- the program */

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'n':
        options->repetitions = (uint32_t)argument_number(argument, FIGURE_SAMPLES_MAX, state);
        return 0;
    case 'j':
        options->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool measure_all(const struct options *options)
{
    struct error error = {.message = ""};

    for (int codec = CODEC_FLOAT16; codec < CODEC_COUNT; codec++) {
        struct row row = {.codec = (enum codec_type)codec};

        if (row_measure(&row, options->repetitions, &error) != CAIRN_OK) {
            fprintf(stderr, "bench_coded: %s\n", error.message);
            return false;
        }
        if (options->json)
            print_json(&row, codec == CODEC_FLOAT16);
        else
            print_text(&row);
        fflush(stdout);
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {{"repetitions", 'n', "N", 0, "Runs of each row (7)", 0},
                                                      {"json", 'j', NULL, 0, "One JSON object", 0},
                                                      {0}};
    static const struct argp argp = {
        argp_options, parse, NULL, "Measures steps of coded tables beside float32.", NULL, NULL, NULL};
    struct options options = {.repetitions = 7};
    bool good;

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    if (options.json)
        printf("{\"benchmark\": \"coded\", \"floats\": %llu, \"rows\": [", (unsigned long long)FLOATS);
    good = measure_all(&options);
    if (options.json)
        printf("\n]}\n");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
