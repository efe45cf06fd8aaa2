/* What does a whole sync step cost? All gradients of a model pushed, summed, applied, and all weights pulled,
 * for models of 1, 25 and 110 million float32 parameters, 1 to 4 workers, 1 and 2 servers: time, bytes,
 * processor time a GB and the servers' memory.
 *
 * Beside it the floor: what the machine cannot do in less. The bytes have to cross the transport, which raw
 * ZeroMQ does in the same turns with messages of CHUNK_BYTES; and memory has to be read and written for the
 * sums, the update and the workers' copies, which is computed from the speed of a plain triad measured in the
 * same run, on all cores. The floor is the longer of the two: they may overlap. */
#include "arguments.h"
#include "cluster.h"
#include "figures.h"
#include "raw_zeromq.h"

#include "base/clock.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN_SECONDS  0.5
#define CHUNK_BYTES  ((size_t)512 << 10)
#define TRIAD_FLOATS ((size_t)16 << 20)
#define TRIAD_RUNS   5
#define GB           1e9

static const uint64_t models[] = {1000000, 25000000, 110000000};
static const char optimizer[] = "sgd: {learning_rate: 0.01, momentum: 0.9}";

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct options {
    uint64_t floats; /* 0: all models; as the next two */
    uint32_t servers, workers;
    uint32_t repetitions;
    const char *transport;
    bool json;
};

struct row {
    uint64_t floats;
    uint32_t servers, workers;
    struct figure seconds, raw_seconds, ratio; /* of a step; to the floor */
    struct figure cpu;                         /* seconds a GB, all processes */
    uint64_t peak_bytes;                       /* of all servers */
};

struct machine {
    double triad; /* bytes a second, one core */
    long cores;
};

/* ---- limits */

/* Bytes a second of a[i] = b[i] + s * c[i], counting three floats an element. Owns nothing. */
static double triad_measure(void)
{
    float *memory = aligned_alloc(64, 3 * TRIAD_FLOATS * sizeof(float));
    struct figure figure = {0};

    if (!memory)
        return 0;
    for (size_t i = 0; i < 3 * TRIAD_FLOATS; i++)
        memory[i] = 1.0f;
    for (int run = 0; run < TRIAD_RUNS; run++) {
        float *a = memory, *b = memory + TRIAD_FLOATS, *c = memory + 2 * TRIAD_FLOATS;
        uint64_t began = clock_ns();

        for (size_t i = 0; i < TRIAD_FLOATS; i++)
            a[i] = b[i] + 0.5f * c[i];
        __asm__ volatile("" : : "r"(a) : "memory");
        figure_add(&figure, 3.0 * TRIAD_FLOATS * sizeof(float) / ((double)(clock_ns() - began) * 1e-9));
    }
    free(memory);
    return figure_most(&figure);
}

/* Bytes of memory that a step reads and writes at the least: each sum reads two arrays and writes one, the
 * update reads three and writes two, each worker's copy reads one and writes one. */
static double memory_bytes(const struct row *row)
{
    double arrays = 3.0 * (row->workers - 1) + 5.0 + 2.0 * row->workers;

    return arrays * (double)row->floats * sizeof(float);
}

static double floor_seconds(const struct row *row, const struct machine *machine, double raw_seconds)
{
    double memory = memory_bytes(row) / (machine->triad * (double)machine->cores);

    return raw_seconds > memory ? raw_seconds : memory;
}

/* Bytes that cross the transport in a step, both ways. */
static double wire_bytes(const struct row *row)
{
    return 2.0 * (double)row->floats * sizeof(float) * row->workers;
}

/* ---- measuring */

static enum status start(const struct row *row, const char *transport, const struct crew_roles *roles,
                         const void *argument, struct crew **crew, uint32_t *steps, struct error *error)
{
    const struct crew_params params = {transport, row->servers, row->workers, roles, argument};
    enum status status = crew_start(&params, crew, error);

    return status == CAIRN_OK ? crew_calibrate(*crew, RUN_SECONDS, steps, error) : status;
}

static void peaks_add(struct row *row, const struct crew *crew)
{
    row->peak_bytes = 0;
    for (uint32_t i = 0; i < row->servers; i++) {
        uint64_t peak = 0;

        crew_server_bytes(crew, i, &peak);
        row->peak_bytes += peak;
    }
}

/* Ours and raw ZeroMQ in turn. */
static enum status row_measure(struct row *row, const struct options *options, const struct machine *machine,
                               struct error *error)
{
    const struct cluster_params ours = {
        .pattern = CLUSTER_PUSH_PULL, .floats = row->floats, .tables = 1, .optimizer = optimizer};
    const struct raw_params raw = {RAW_PUSH_PULL, row->floats * sizeof(float), CHUNK_BYTES, 1};
    struct crew *our_crew = NULL, *raw_crew = NULL;
    struct crew_times times, raw_times;
    uint32_t our_steps = 0, raw_steps = 0;
    enum status status = start(row, options->transport, &raw_roles, &raw, &raw_crew, &raw_steps, error);

    if (status == CAIRN_OK)
        status = start(row, options->transport, &cluster_roles, &ours, &our_crew, &our_steps, error);
    for (uint32_t i = 0; i < options->repetitions && status == CAIRN_OK; i++) {
        status = crew_run(raw_crew, raw_steps, &raw_times, error);
        if (status == CAIRN_OK)
            status = crew_run(our_crew, our_steps, &times, error);
        if (status != CAIRN_OK)
            break;
        figure_add(&row->raw_seconds, raw_times.seconds / raw_steps);
        figure_add(&row->seconds, times.seconds / our_steps);
        figure_add(&row->ratio,
                   times.seconds / our_steps / floor_seconds(row, machine, raw_times.seconds / raw_steps));
        figure_add(&row->cpu, (times.server_cpu_seconds + times.client_cpu_seconds) /
                                  (wire_bytes(row) * our_steps / GB));
    }
    if (status == CAIRN_OK)
        peaks_add(row, our_crew);
    crew_free(raw_crew);
    crew_free(our_crew);
    return status;
}

/* ---- output */

static void print_text(const struct row *row)
{
    printf("%11" PRIu64 " %3u %3u  %9.2f (%8.2f to %8.2f)  %9.2f  %5.2f  %8.3f  %8.2f  %7.0f\n", row->floats,
           row->servers, row->workers, 1e3 * figure_median(&row->seconds), 1e3 * figure_least(&row->seconds),
           1e3 * figure_most(&row->seconds), 1e3 * figure_median(&row->raw_seconds),
           figure_median(&row->ratio), wire_bytes(row) / GB, figure_median(&row->cpu),
           (double)row->peak_bytes / (1 << 20));
}

static void print_json(const struct row *row, bool is_first)
{
    printf("%s\n  {\"parameters\": %" PRIu64
           ", \"servers\": %u, \"workers\": %u, \"step_seconds\": {\"median\": "
           "%.6f, \"min\": %.6f, \"max\": %.6f}, \"raw_zeromq_seconds\": %.6f, \"ratio_to_floor\": %.3f, "
           "\"wire_bytes\": %.0f, \"cpu_seconds_a_gb\": %.3f, \"servers_peak_bytes\": %" PRIu64 "}",
           is_first ? "" : ",", row->floats, row->servers, row->workers, figure_median(&row->seconds),
           figure_least(&row->seconds), figure_most(&row->seconds), figure_median(&row->raw_seconds),
           figure_median(&row->ratio), wire_bytes(row), figure_median(&row->cpu), row->peak_bytes);
}

/* ---- the program */

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'f':
        options->floats = argument_number(argument, 1000000000, state);
        return 0;
    case 's':
        options->servers = (uint32_t)argument_number(argument, CREW_SERVERS_MAX, state);
        return 0;
    case 'w':
        options->workers = (uint32_t)argument_number(argument, CREW_CLIENTS_MAX, state);
        return 0;
    case 'n':
        options->repetitions = (uint32_t)argument_number(argument, FIGURE_SAMPLES_MAX, state);
        return 0;
    case 't':
        options->transport = argument_transport(argument, state);
        return 0;
    case 'j':
        options->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool measure(struct row row, const struct options *options, const struct machine *machine,
                    bool *is_first)
{
    struct error error = {.message = ""};

    if (row_measure(&row, options, machine, &error) != CAIRN_OK) {
        fprintf(stderr, "bench_step: %s\n", error.message);
        return false;
    }
    if (options->json)
        print_json(&row, *is_first);
    else
        print_text(&row);
    fflush(stdout);
    *is_first = false;
    return true;
}

static bool measure_all(const struct options *options, const struct machine *machine)
{
    bool is_first = true;

    for (uint32_t i = 0; i < COUNT(models) * 8; i++) {
        const struct row row = {.floats = options->floats ? options->floats : models[i / 8],
                                .servers = 1 + i / 4 % 2,
                                .workers = 1 + i % 4};

        if ((options->servers && row.servers != options->servers) ||
            (options->workers && row.workers != options->workers) || (options->floats && i >= 8))
            continue;
        if (!measure(row, options, machine, &is_first))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"floats", 'f', "N", 0, "Only a model of so many parameters", 0},
        {"servers", 's', "1|2", 0, "Only so many servers", 0},
        {"workers", 'w', "1..4", 0, "Only so many workers", 0},
        {"repetitions", 'n', "N", 0, "Turns of each row (5)", 0},
        {"transport", 't', "tcp|ipc", 0, "Over this one (tcp)", 0},
        {"json", 'j', NULL, 0, "One JSON object", 0},
        {0}};
    static const struct argp argp = {
        argp_options, parse, NULL, "Measures whole sync steps beside what the machine can do.",
        NULL,         NULL,  NULL};
    struct options options = {.repetitions = 5, .transport = "tcp"};
    struct machine machine;
    bool good;

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    machine = (struct machine){triad_measure(), sysconf(_SC_NPROCESSORS_ONLN)};
    if (machine.triad <= 0 || machine.cores < 1) {
        fprintf(stderr, "bench_step: out of memory\n");
        return EXIT_FAILURE;
    }
    if (options.json)
        printf("{\"benchmark\": \"step\", \"triad_bytes_a_second\": %.0f, \"cores\": %ld, \"rows\": [",
               machine.triad, machine.cores);
    else
        printf("momentum over %s; a plain triad moves %.1f GB/s on one of %ld cores\n%11s %3s %3s  %31s  %9s "
               " %5s  "
               "%8s  %8s  %7s\n",
               options.transport, machine.triad / GB, machine.cores, "parameters", "srv", "wrk",
               "ms a step (least to most)", "raw, ms", "ratio", "GB wire", "CPU s/GB", "peak MiB");
    good = measure_all(&options, &machine);
    if (options.json)
        printf("\n]}\n");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
