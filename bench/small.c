/* How fast are small requests? Push-pull of one 4 KiB table: the round trip with one under way, and requests
 * a second with several tables under way. Beside it raw ZeroMQ with messages of the same size, in turn with
 * it, repetition by repetition, so that a noisy machine disturbs both. */
#include "arguments.h"
#include "cluster.h"
#include "figures.h"
#include "raw_zeromq.h"

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLOATS      1024 /* 4 KiB */
#define WINDOW      8
#define RUN_SECONDS 0.3

struct options {
    const char *transport; /* NULL: both */
    uint32_t repetitions;
    bool json;
};

/* One kind of processes and what they did. */
struct side {
    struct crew *crew;
    uint32_t steps;
    struct figure rate, step_us;
};

struct row {
    const char *transport;
    uint32_t window;
    struct side ours, raw;
    struct figure rate_ratio, step_ratio; /* ours to raw's, of the same repetition */
};

static enum status side_start(struct side *side, const char *transport, const struct crew_roles *roles,
                              const void *argument, struct error *error)
{
    const struct crew_params params = {transport, 1, 1, roles, argument};
    enum status status = crew_start(&params, &side->crew, error);

    return status == CAIRN_OK ? crew_calibrate(side->crew, RUN_SECONDS, &side->steps, error) : status;
}

static enum status side_run(struct side *side, struct error *error)
{
    struct crew_times times;
    enum status status = crew_run(side->crew, side->steps, &times, error);

    if (status != CAIRN_OK)
        return status;
    figure_add(&side->rate, side->steps / times.seconds);
    figure_add(&side->step_us, times.step_seconds * 1e6);
    return CAIRN_OK;
}

static double last(const struct figure *figure)
{
    return figure->samples[figure->count - 1];
}

static enum status row_measure(struct row *row, uint32_t repetitions, struct error *error)
{
    const struct raw_params raw = {RAW_PUSH_PULL, FLOATS * sizeof(float), FLOATS * sizeof(float),
                                   row->window};
    const struct cluster_params ours = {
        .pattern = CLUSTER_PUSH_PULL, .floats = FLOATS, .tables = row->window};
    enum status status = side_start(&row->raw, row->transport, &raw_roles, &raw, error);

    if (status == CAIRN_OK)
        status = side_start(&row->ours, row->transport, &cluster_roles, &ours, error);
    for (uint32_t i = 0; i < repetitions && status == CAIRN_OK; i++) {
        status = side_run(&row->raw, error);
        if (status == CAIRN_OK)
            status = side_run(&row->ours, error);
        if (status != CAIRN_OK)
            break;
        figure_add(&row->rate_ratio, last(&row->ours.rate) / last(&row->raw.rate));
        figure_add(&row->step_ratio, last(&row->ours.step_us) / last(&row->raw.step_us));
    }
    crew_free(row->raw.crew);
    crew_free(row->ours.crew);
    return status;
}

/* ---- output */

static void print_text(const struct row *row)
{
    printf("%-4s window %u   p50 %6.1f us (%.1f to %.1f)   raw %6.1f us   ratio %.2f   |   "
           "%6.1f k/s (%.1f to %.1f)   raw %6.1f k/s   ratio %.2f\n",
           row->transport, row->window, figure_median(&row->ours.step_us), figure_least(&row->ours.step_us),
           figure_most(&row->ours.step_us), figure_median(&row->raw.step_us), figure_median(&row->step_ratio),
           figure_median(&row->ours.rate) / 1e3, figure_least(&row->ours.rate) / 1e3,
           figure_most(&row->ours.rate) / 1e3, figure_median(&row->raw.rate) / 1e3,
           figure_median(&row->rate_ratio));
}

static void print_side(const char *name, const struct side *side)
{
    printf("\"%s\": {\"p50_us\": %.2f, \"p50_us_min\": %.2f, \"p50_us_max\": %.2f, \"per_second\": %.0f, "
           "\"per_second_min\": %.0f, \"per_second_max\": %.0f}",
           name, figure_median(&side->step_us), figure_least(&side->step_us), figure_most(&side->step_us),
           figure_median(&side->rate), figure_least(&side->rate), figure_most(&side->rate));
}

static void print_json(const struct row *row, bool is_first)
{
    printf("%s\n  {\"transport\": \"%s\", \"window\": %u, ", is_first ? "" : ",", row->transport,
           row->window);
    print_side("cairn", &row->ours);
    printf(", ");
    print_side("raw_zeromq", &row->raw);
    printf(", \"p50_ratio\": %.3f, \"rate_ratio\": %.3f}", figure_median(&row->step_ratio),
           figure_median(&row->rate_ratio));
}

/* ---- the program */

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 't':
        options->transport = argument_transport(argument, state);
        return 0;
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
    static const char *const transports[] = {"tcp", "ipc"};
    static const uint32_t windows[] = {1, WINDOW};
    bool is_first = true;
    struct error error = {.message = ""};

    for (int i = 0; i < 4; i++) {
        struct row row = {.transport = transports[i / 2], .window = windows[i % 2]};

        if (options->transport && strcmp(options->transport, row.transport) != 0)
            continue;
        if (row_measure(&row, options->repetitions, &error) != CAIRN_OK) {
            fprintf(stderr, "bench_small: %s\n", error.message);
            return false;
        }
        if (options->json)
            print_json(&row, is_first);
        else
            print_text(&row);
        fflush(stdout);
        is_first = false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {{"transport", 't', "tcp|ipc", 0, "Only this one", 0},
                                                      {"repetitions", 'n', "N", 0, "Runs of each row (9)", 0},
                                                      {"json", 'j', NULL, 0, "One JSON object", 0},
                                                      {0}};
    static const struct argp argp = {
        argp_options, parse, NULL, "Measures small push-pulls (4 KiB) beside raw ZeroMQ.", NULL, NULL, NULL};
    struct options options = {.repetitions = 9};
    bool good;

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    if (options.json)
        printf("{\"benchmark\": \"small\", \"bytes\": %d, \"rows\": [", (int)(FLOATS * sizeof(float)));
    good = measure_all(&options);
    if (options.json)
        printf("\n]}\n");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
