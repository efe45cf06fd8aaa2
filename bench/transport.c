/* How near the wire is the data plane? Push, pull and push-pull of one dense parameter array of 4 KiB to 64
 * MiB, in GB/s each way, summed over the workers; over tcp and ipc, with 1 and 2 servers and workers, and
 * with one array or several under way (window).
 *
 * Beside each figure raw ZeroMQ carries the same bytes by as many processes, with the whole array in one
 * message and at its best chunk size, which is looked for first. Ours and raw take turns, repetition by
 * repetition, so that a noisy machine disturbs both; the ratio is that of the turns. */
#include "arguments.h"
#include "cluster.h"
#include "figures.h"
#include "raw_zeromq.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_SECONDS   0.2
#define SCOUT_SECONDS 0.05 /* of the search for the best chunk size */
#define SCOUT_RUNS    3
#define WINDOW        8
#define WINDOW_LARGE                                                                                         \
    4 /* for arrays of LARGE_BYTES: 8 of them would be a matter of memory, not of transport */
#define LARGE_BYTES ((uint64_t)64 << 20)

static const uint64_t sizes[] = {4096, 65536, 1 << 20, 16 << 20, LARGE_BYTES};
static const size_t chunk_sizes[] = {128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20};
static const char *const pattern_names[] = {"push", "pull", "push-pull"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct options {
    const char *transport; /* NULL: both */
    uint64_t bytes;        /* 0: all sizes; as the next four */
    uint32_t servers, workers, window;
    int pattern; /* -1: all */
    uint32_t repetitions;
    bool json;
};

struct row {
    const char *transport;
    uint64_t bytes;
    uint32_t servers, workers, window;
    int pattern;
    size_t best_chunk;                  /* of raw ZeroMQ, in bytes */
    struct figure ours, raw, raw_whole; /* GB/s each way */
    struct figure ratio;                /* ours to raw at its best, turn by turn */
};

/* ---- measuring */

static enum status start(const struct row *row, const struct crew_roles *roles, const void *argument,
                         double seconds, struct crew **crew, uint32_t *steps, struct error *error)
{
    const struct crew_params params = {row->transport, row->servers, row->workers, roles, argument};
    enum status status = crew_start(&params, crew, error);

    return status == CAIRN_OK ? crew_calibrate(*crew, seconds, steps, error) : status;
}

/* One run: adds its GB/s each way. */
static enum status turn(const struct row *row, struct crew *crew, uint32_t steps, struct figure *figure,
                        struct error *error)
{
    struct crew_times times;
    enum status status = crew_run(crew, steps, &times, error);

    if (status == CAIRN_OK)
        figure_add(figure, (double)row->bytes * steps * row->workers / times.seconds * 1e-9);
    return status;
}

static struct raw_params raw_of(const struct row *row, size_t chunk)
{
    return (struct raw_params){(enum raw_pattern)row->pattern, row->bytes, chunk, row->window};
}

/* Raw ZeroMQ's rate with messages of `chunk` bytes. */
static enum status scout(const struct row *row, size_t chunk, struct figure *figure, struct error *error)
{
    const struct raw_params params = raw_of(row, chunk);
    struct crew *crew = NULL;
    uint32_t steps = 0;
    enum status status = start(row, &raw_roles, &params, SCOUT_SECONDS, &crew, &steps, error);

    for (int i = 0; i < SCOUT_RUNS && status == CAIRN_OK; i++)
        status = turn(row, crew, steps, figure, error);
    crew_free(crew);
    return status;
}

/* Also measures the array in one message. A best size that is known already is kept. */
static enum status best_chunk_find(struct row *row, struct error *error)
{
    enum status status = scout(row, row->bytes, &row->raw_whole, error);
    double best = figure_median(&row->raw_whole);

    if (row->best_chunk > 0)
        return status;
    row->best_chunk = row->bytes;
    for (size_t i = 0; i < COUNT(chunk_sizes) && status == CAIRN_OK; i++) {
        struct figure figure = {0};

        if (chunk_sizes[i] >= row->bytes)
            break;
        status = scout(row, chunk_sizes[i], &figure, error);
        if (figure_median(&figure) > best) {
            best = figure_median(&figure);
            row->best_chunk = chunk_sizes[i];
        }
    }
    return status;
}

static enum status row_measure(struct row *row, uint32_t repetitions, struct error *error)
{
    const struct cluster_params ours = {.pattern = (enum cluster_pattern)row->pattern,
                                        .floats = row->bytes / sizeof(float),
                                        .tables = row->window};
    struct crew *raw_crew = NULL, *our_crew = NULL;
    struct raw_params raw;
    uint32_t raw_steps = 0, our_steps = 0;
    enum status status = best_chunk_find(row, error);

    raw = raw_of(row, row->best_chunk);
    if (status == CAIRN_OK)
        status = start(row, &raw_roles, &raw, RUN_SECONDS, &raw_crew, &raw_steps, error);
    if (status == CAIRN_OK)
        status = start(row, &cluster_roles, &ours, RUN_SECONDS, &our_crew, &our_steps, error);
    for (uint32_t i = 0; i < repetitions && status == CAIRN_OK; i++) {
        status = turn(row, raw_crew, raw_steps, &row->raw, error);
        if (status == CAIRN_OK)
            status = turn(row, our_crew, our_steps, &row->ours, error);
        if (status == CAIRN_OK)
            figure_add(&row->ratio, row->ours.samples[i] / row->raw.samples[i]);
    }
    crew_free(raw_crew);
    crew_free(our_crew);
    return status;
}

/* ---- output */

static void print_head(void)
{
    printf(
        "GB/s each way, all workers together: median (least to most); raw ZeroMQ at its best chunk size and "
        "with one message\n%-9s %9s %4s %3s %3s %3s  %24s  %24s %7s  %9s  %5s\n",
        "pattern", "bytes", "", "srv", "wrk", "win", "cairn", "raw, best chunk", "KiB", "raw, one", "ratio");
}

static void print_text(const struct row *row)
{
    printf("%-9s %9" PRIu64
           " %4s %3u %3u %3u  %7.3f (%6.3f to %6.3f)  %7.3f (%6.3f to %6.3f) %7zu  %9.3f  %5.2f\n",
           pattern_names[row->pattern], row->bytes, row->transport, row->servers, row->workers, row->window,
           figure_median(&row->ours), figure_least(&row->ours), figure_most(&row->ours),
           figure_median(&row->raw), figure_least(&row->raw), figure_most(&row->raw), row->best_chunk / 1024,
           figure_median(&row->raw_whole), figure_median(&row->ratio));
}

static void print_figure(const char *name, const struct figure *figure)
{
    printf("\"%s\": {\"median\": %.4f, \"min\": %.4f, \"max\": %.4f}, ", name, figure_median(figure),
           figure_least(figure), figure_most(figure));
}

static void print_json(const struct row *row, bool is_first)
{
    printf("%s\n  {\"pattern\": \"%s\", \"bytes\": %" PRIu64 ", \"transport\": \"%s\", \"servers\": %u, "
           "\"workers\": %u, \"window\": %u, ",
           is_first ? "" : ",", pattern_names[row->pattern], row->bytes, row->transport, row->servers,
           row->workers, row->window);
    print_figure("cairn", &row->ours);
    print_figure("raw_zeromq_best_chunk", &row->raw);
    print_figure("raw_zeromq_one_message", &row->raw_whole);
    print_figure("ratio", &row->ratio);
    printf("\"best_chunk_bytes\": %zu}", row->best_chunk);
}

/* ---- the program */

static int pattern_of(const char *text, struct argp_state *state)
{
    for (int i = 0; i < (int)COUNT(pattern_names); i++) {
        if (strcmp(text, pattern_names[i]) == 0)
            return i;
    }
    argp_error(state, "a pattern is push, pull or push-pull");
    return -1;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 't':
        options->transport = argument_transport(argument, state);
        return 0;
    case 'b':
        options->bytes = argument_number(argument, 1u << 30, state) / 4096 * 4096;
        return 0;
    case 's':
        options->servers = (uint32_t)argument_number(argument, CREW_SERVERS_MAX, state);
        return 0;
    case 'w':
        options->workers = (uint32_t)argument_number(argument, CREW_SERVERS_MAX, state);
        return 0;
    case 'i':
        options->window = (uint32_t)argument_number(argument, 64, state);
        return 0;
    case 'p':
        options->pattern = pattern_of(argument, state);
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

struct program {
    const struct options *options;
    bool has_printed;
};

static bool measure(struct program *program, struct row *row)
{
    struct error error = {.message = ""};

    row->ours = row->raw = row->raw_whole = row->ratio = (struct figure){0};
    if (row_measure(row, program->options->repetitions, &error) != CAIRN_OK) {
        fprintf(stderr, "bench_transport: %s\n", error.message);
        return false;
    }
    if (program->options->json)
        print_json(row, !program->has_printed);
    else
        print_text(row);
    fflush(stdout);
    program->has_printed = true;
    return true;
}

/* All patterns and windows of one size on one cluster. */
static bool measure_cluster(struct program *program, struct row row)
{
    const struct options *options = program->options;
    uint32_t windows[] = {1, row.bytes >= LARGE_BYTES ? WINDOW_LARGE : WINDOW};

    for (row.pattern = 0; row.pattern < (int)COUNT(pattern_names); row.pattern++) {
        row.best_chunk = 0; /* that of one window does for the others */
        for (size_t i = 0; i < COUNT(windows); i++) {
            row.window = options->window ? options->window : windows[i];
            if ((options->pattern < 0 || options->pattern == row.pattern) && !measure(program, &row))
                return false;
            if (options->window)
                break;
        }
    }
    return true;
}

/* All sizes on one cluster. */
static bool measure_sizes(struct program *program, struct row row)
{
    if (program->options->bytes > 0) {
        row.bytes = program->options->bytes;
        return measure_cluster(program, row);
    }
    for (size_t i = 0; i < COUNT(sizes); i++) {
        row.bytes = sizes[i];
        if (!measure_cluster(program, row))
            return false;
    }
    return true;
}

static bool measure_all(struct program *program)
{
    static const char *const transports[] = {"tcp", "ipc"};
    const struct options *options = program->options;

    for (uint32_t i = 0; i < 8; i++) {
        struct row row = {.transport = transports[i / 4], .servers = 1 + i / 2 % 2, .workers = 1 + i % 2};

        if ((options->transport && strcmp(options->transport, row.transport) != 0) ||
            (options->servers && options->servers != row.servers) ||
            (options->workers && options->workers != row.workers))
            continue;
        if (!measure_sizes(program, row))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"transport", 't', "tcp|ipc", 0, "Only this one", 0},
        {"bytes", 'b', "N", 0, "Only arrays of this size (a multiple of 4096)", 0},
        {"servers", 's', "1|2", 0, "Only so many servers", 0},
        {"workers", 'w', "1|2", 0, "Only so many workers", 0},
        {"window", 'i', "N", 0, "Only so many arrays under way (1 and 8; at 64 MiB 1 and 4)", 0},
        {"pattern", 'p', "push|pull|push-pull", 0, "Only this one", 0},
        {"repetitions", 'n', "N", 0, "Turns of each row (5)", 0},
        {"json", 'j', NULL, 0, "One JSON object", 0},
        {0}};
    static const struct argp argp = {
        argp_options, parse, NULL, "Measures dense pushes and pulls beside raw ZeroMQ.", NULL, NULL, NULL};
    struct options options = {.pattern = -1, .repetitions = 5};
    struct program program = {&options, false};
    bool good;

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    if (options.json)
        printf("{\"benchmark\": \"transport\", \"unit\": \"GB/s each way\", \"rows\": [");
    else
        print_head();
    good = measure_all(&program);
    if (options.json)
        printf("\n]}\n");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
