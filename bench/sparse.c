/* How many rows a second? Push, pull and push-pull of a sparse table, 16 floats a row, in batches of random
 * keys over 1 and 50 million rows, over tcp, one server and one client process, with one batch or four under
 * way (window); sgd and adagrad applied by the server. A batch's keys are distinct and ascend, as ps-lite
 * demands of its callers, or come as they fall, doubles among them.
 *
 * Beside each figure: ps-lite's as recorded on a machine of this kind (1 million rows, no optimizer), raw
 * ZeroMQ carrying the same bytes in the same run, in one message a batch or in pieces of 1 MiB, whichever is
 * faster, and the hash table alone, without messages, one thread. Ours and raw take turns, repetition by
 * repetition, so that a noisy machine disturbs both. */
#include "arguments.h"
#include "figures.h"
#include "raw_zeromq.h"
#include "row_cluster.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RUN_SECONDS   0.3
#define SCOUT_SECONDS 0.1
#define PIECE_BYTES   ((size_t)1 << 20)
#define ROW_BYTES     (ROW_FLOATS * sizeof(float))
#define TOGETHER      (sizeof(uint64_t) + ROW_BYTES) /* key and row */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const pattern_names[] = {"push", "pull", "push-pull"};
static const uint32_t table_rows[] = {1000000, 50000000};
static const uint32_t batches[] = {1000, 10000, 100000};
static const uint32_t windows[] = {1, 4};

static const struct {
    const char *name, *text;
    uint32_t slots;
} optimizers[] = {{"sgd", "sgd: {learning_rate: 0.01}", 0}, {"adagrad", "adagrad: {learning_rate: 0.01}", 1}};

/* ps-lite's million keys a second as recorded: [pattern][batch][window]. */
static const double recorded[3][3][2] = {{{2.1, 3.2}, {3.8, 3.7}, {4.1, 4.5}},
                                         {{3.5, 9.1}, {8.1, 13.0}, {9.9, 13.4}},
                                         {{2.0, 3.2}, {3.1, 3.4}, {2.8, 3.4}}};

struct options {
    uint64_t rows; /* 0: all; as the next two */
    uint32_t batch, window;
    int pattern, optimizer; /* -1: all */
    uint32_t repetitions;
    bool any_order, alone, json;
};

struct cell {
    uint64_t rows;
    uint32_t optimizer, pattern, batch, window; /* the last three: indices */
    struct figure ours, raw, alone;             /* million rows a second */
    struct figure server_ns, client_ns;         /* of processor time a row */
    struct figure ratio;                        /* ours to raw, turn by turn */
};

struct program {
    const struct options *options;
    struct row_cell *shared;
    bool has_printed;
};

/* ---- measuring */

static enum status turn(struct crew *crew, uint32_t steps, uint32_t batch, struct figure *figure,
                        struct error *error)
{
    struct crew_times times;
    enum status status = crew_run(crew, steps, &times, error);

    if (status == CAIRN_OK)
        figure_add(figure, (double)batch * steps / times.seconds * 1e-6);
    return status;
}

static enum status raw_start(const struct raw_params *params, struct crew **crew, uint32_t *steps,
                             double seconds, struct error *error)
{
    const struct crew_params crew_params = {"tcp", 1, 1, &raw_roles, params};
    enum status status = crew_start(&crew_params, crew, error);

    return status == CAIRN_OK ? crew_calibrate(*crew, seconds, steps, error) : status;
}

/* The better of one message a batch and pieces. */
static enum status raw_choose(struct raw_params *params, uint32_t batch, struct error *error)
{
    size_t chosen = params->message_bytes;
    double best = 0;
    enum status status = CAIRN_OK;

    for (int i = 0; i < (params->step_bytes > PIECE_BYTES ? 2 : 1) && status == CAIRN_OK; i++) {
        struct figure figure = {0};
        struct crew *crew = NULL;
        uint32_t steps = 0;

        params->message_bytes = i ? PIECE_BYTES : params->step_bytes;
        status = raw_start(params, &crew, &steps, SCOUT_SECONDS, error);
        for (int j = 0; j < 3 && status == CAIRN_OK; j++)
            status = turn(crew, steps, batch, &figure, error);
        crew_free(crew);
        if (figure_median(&figure) > best) {
            best = figure_median(&figure);
            chosen = params->message_bytes;
        }
    }
    params->message_bytes = chosen;
    return status;
}

static enum status our_turn(struct crew *crew, uint32_t steps, struct cell *cell, struct error *error)
{
    double rows = (double)batches[cell->batch] * steps;
    struct crew_times times;
    enum status status = crew_run(crew, steps, &times, error);

    if (status != CAIRN_OK)
        return status;
    figure_add(&cell->ours, rows / times.seconds * 1e-6);
    figure_add(&cell->server_ns, times.server_cpu_seconds / rows * 1e9);
    figure_add(&cell->client_ns, times.client_cpu_seconds / rows * 1e9);
    return CAIRN_OK;
}

static enum status cell_measure(struct program *program, struct cell *cell, struct crew *ours,
                                struct error *error)
{
    struct raw_params params = {.pattern = (enum raw_pattern)cell->pattern,
                                .step_bytes = batches[cell->batch] * TOGETHER,
                                .window = windows[cell->window]};
    struct crew *raw = NULL;
    uint32_t raw_steps = 0, our_steps = 0;
    enum status status = CAIRN_OK;

    if (!program->options->alone)
        status = raw_choose(&params, batches[cell->batch], error);
    if (status == CAIRN_OK && !program->options->alone)
        status = raw_start(&params, &raw, &raw_steps, RUN_SECONDS, error);
    if (status == CAIRN_OK)
        status = crew_calibrate(ours, RUN_SECONDS, &our_steps, error);
    for (uint32_t i = 0; i < program->options->repetitions && status == CAIRN_OK; i++) {
        if (raw)
            status = turn(raw, raw_steps, batches[cell->batch], &cell->raw, error);
        if (status == CAIRN_OK)
            status = our_turn(ours, our_steps, cell, error);
        if (status == CAIRN_OK && raw)
            figure_add(&cell->ratio, cell->ours.samples[i] / cell->raw.samples[i]);
    }
    crew_free(raw);
    return status;
}

/* ---- output */

static double over_recorded(const struct cell *cell)
{
    return figure_median(&cell->ours) / recorded[cell->pattern][cell->batch][cell->window];
}

static void print_head(void)
{
    printf("Million rows a second, 16 floats each: median (least to most); processor time a row, in ns\n"
           "%-9s %9s %-8s %7s %3s  %22s  %8s %6s  %7s %7s  %9s %6s  %8s\n",
           "pattern", "rows", "", "batch", "win", "cairn", "ps-lite", "times", "server", "client", "raw",
           "ratio", "table");
}

static void print_text(const struct cell *cell)
{
    printf("%-9s %9" PRIu64 " %-8s %7u %3u  %6.2f (%5.2f to %5.2f)  %8.1f %6.2f  %7.1f %7.1f  %9.2f "
           "%6.2f  %8.2f\n",
           pattern_names[cell->pattern], cell->rows, optimizers[cell->optimizer].name, batches[cell->batch],
           windows[cell->window], figure_median(&cell->ours), figure_least(&cell->ours),
           figure_most(&cell->ours), recorded[cell->pattern][cell->batch][cell->window], over_recorded(cell),
           figure_median(&cell->server_ns), figure_median(&cell->client_ns), figure_median(&cell->raw),
           figure_median(&cell->ratio), figure_median(&cell->alone));
}

static void print_figure(const char *name, const struct figure *figure)
{
    printf("\"%s\": {\"median\": %.4f, \"min\": %.4f, \"max\": %.4f}, ", name, figure_median(figure),
           figure_least(figure), figure_most(figure));
}

static void print_json(const struct cell *cell, bool is_first)
{
    printf("%s\n  {\"pattern\": \"%s\", \"rows\": %" PRIu64
           ", \"optimizer\": \"%s\", \"batch\": %u, \"window\": %u, ",
           is_first ? "" : ",", pattern_names[cell->pattern], cell->rows, optimizers[cell->optimizer].name,
           batches[cell->batch], windows[cell->window]);
    print_figure("cairn", &cell->ours);
    print_figure("server_cpu_ns_a_row", &cell->server_ns);
    print_figure("client_cpu_ns_a_row", &cell->client_ns);
    print_figure("raw_zeromq", &cell->raw);
    print_figure("ratio", &cell->ratio);
    print_figure("table_alone", &cell->alone);
    printf("\"ps_lite_recorded\": %.1f, \"over_ps_lite\": %.3f}",
           recorded[cell->pattern][cell->batch][cell->window], over_recorded(cell));
}

/* ---- the program */

static bool is_wanted(const struct options *options, const struct cell *cell)
{
    return (options->pattern < 0 || (uint32_t)options->pattern == cell->pattern) &&
           (options->batch == 0 || options->batch == batches[cell->batch]) &&
           (options->window == 0 || options->window == windows[cell->window]);
}

static void cell_print(struct program *program, const struct cell *cell)
{
    if (program->options->json)
        print_json(cell, !program->has_printed);
    else
        print_text(cell);
    fflush(stdout);
    program->has_printed = true;
}

#define CELLS (COUNT(pattern_names) * COUNT(batches) * COUNT(windows))

/* The cell of an index below CELLS; it becomes what runs do. */
static struct cell cell_enter(struct program *program, uint64_t rows, uint32_t optimizer, uint32_t index)
{
    struct cell cell = {.rows = rows, .optimizer = optimizer};

    cell.window = index % COUNT(windows);
    cell.batch = index / COUNT(windows) % COUNT(batches);
    cell.pattern = index / (COUNT(windows) * COUNT(batches));
    *program->shared =
        (struct row_cell){(enum row_pattern)cell.pattern, batches[cell.batch], windows[cell.window]};
    return cell;
}

static enum status crew_of(const struct row_params *params, bool alone, struct crew **crew,
                           struct error *error)
{
    const struct crew_params crew_params = {"tcp", alone ? 0 : 1, 1,
                                            alone ? &row_table_roles : &row_cluster_roles, params};

    return crew_start(&crew_params, crew, error);
}

/* The table alone in all cells; then it is gone, since two would be too large. */
static enum status measure_alone(struct program *program, const struct row_params *params, uint32_t optimizer,
                                 struct figure *figures, struct error *error)
{
    struct crew *crew = NULL;
    uint32_t steps = 0;
    enum status status = crew_of(params, true, &crew, error);

    for (uint32_t i = 0; i < CELLS && status == CAIRN_OK; i++) {
        struct cell cell = cell_enter(program, params->rows, optimizer, i);

        if (!is_wanted(program->options, &cell))
            continue;
        status = crew_calibrate(crew, SCOUT_SECONDS, &steps, error);
        for (int j = 0; j < 3 && status == CAIRN_OK; j++)
            status = turn(crew, steps, batches[cell.batch], &figures[i], error);
    }
    crew_free(crew);
    return status;
}

static enum status measure_table(struct program *program, uint64_t rows, uint32_t optimizer,
                                 struct error *error)
{
    const struct row_params params = {.rows = rows,
                                      .ascend = !program->options->any_order,
                                      .optimizer = optimizers[optimizer].text,
                                      .slots = optimizers[optimizer].slots,
                                      .cell = program->shared};
    struct figure alone[CELLS] = {{0}};
    struct crew *crew = NULL;
    enum status status = CAIRN_OK;

    if (!program->options->alone)
        status = measure_alone(program, &params, optimizer, alone, error);
    if (status == CAIRN_OK)
        status = crew_of(&params, false, &crew, error);
    for (uint32_t i = 0; i < CELLS && status == CAIRN_OK; i++) {
        struct cell cell = cell_enter(program, rows, optimizer, i);

        if (!is_wanted(program->options, &cell))
            continue;
        cell.alone = alone[i];
        status = cell_measure(program, &cell, crew, error);
        if (status == CAIRN_OK)
            cell_print(program, &cell);
    }
    crew_free(crew);
    return status;
}

static enum status measure_all(struct program *program, struct error *error)
{
    const struct options *options = program->options;
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < COUNT(table_rows) * COUNT(optimizers) && status == CAIRN_OK; i++) {
        uint64_t rows = table_rows[i / COUNT(optimizers)];
        uint32_t optimizer = i % COUNT(optimizers);

        if ((options->rows == 0 || options->rows == rows) &&
            (options->optimizer < 0 || (uint32_t)options->optimizer == optimizer))
            status = measure_table(program, rows, optimizer, error);
    }
    return status;
}

/* A number of a list. */
static uint32_t one_of(const char *text, const uint32_t *allowed, size_t count, struct argp_state *state)
{
    uint32_t value = (uint32_t)argument_number(text, UINT32_MAX, state);

    for (size_t i = 0; i < count; i++) {
        if (allowed[i] == value)
            return value;
    }
    argp_error(state, "%s is not one of the numbers that are measured", text);
    return 0;
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'r':
        options->rows = one_of(argument, table_rows, COUNT(table_rows), state);
        return 0;
    case 'b':
        options->batch = one_of(argument, batches, COUNT(batches), state);
        return 0;
    case 'i':
        options->window = one_of(argument, windows, COUNT(windows), state);
        return 0;
    case 'n':
        options->repetitions = (uint32_t)argument_number(argument, FIGURE_SAMPLES_MAX, state);
        return 0;
    case 'p':
        for (options->pattern = 0; options->pattern < (int)COUNT(pattern_names); options->pattern++) {
            if (strcmp(argument, pattern_names[options->pattern]) == 0)
                return 0;
        }
        argp_error(state, "a pattern is push, pull or push-pull");
        return EINVAL;
    case 'o':
        options->optimizer = strcmp(argument, "adagrad") == 0;
        return 0;
    case 'k':
        options->any_order = strcmp(argument, "any") == 0;
        if (!options->any_order && strcmp(argument, "ascending") != 0)
            argp_error(state, "keys are ascending or any");
        return 0;
    case 'a':
        options->alone = true;
        return 0;
    case 'j':
        options->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"rows", 'r', "1000000|50000000", 0, "Only tables of this size", 0},
        {"optimizer", 'o', "sgd|adagrad", 0, "Only this one", 0},
        {"pattern", 'p', "push|pull|push-pull", 0, "Only this one", 0},
        {"batch", 'b', "1000|10000|100000", 0, "Only batches of so many keys", 0},
        {"keys", 'k', "ascending|any", 0, "Order of a batch's keys (ascending, without doubles)", 0},
        {"window", 'i', "1|4", 0, "Only so many batches under way", 0},
        {"repetitions", 'n', "N", 0, "Turns of each row (5)", 0},
        {"alone", 'a', NULL, 0, "Without the limits beside it", 0},
        {"json", 'j', NULL, 0, "One JSON object", 0},
        {0}};
    static const struct argp argp = {
        argp_options, parse, NULL, "Measures pushes and pulls of sparse rows beside their limits.",
        NULL,         NULL,  NULL};
    struct options options = {.pattern = -1, .optimizer = -1, .repetitions = 5};
    struct program program = {.options = &options};
    struct error error = {.message = ""};
    enum status status;

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    program.shared =
        mmap(NULL, sizeof(*program.shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (program.shared == MAP_FAILED) {
        fprintf(stderr, "bench_sparse: no memory to share\n");
        return EXIT_FAILURE;
    }
    if (options.json)
        printf("{\"benchmark\": \"sparse\", \"unit\": \"million rows/s\", \"rows\": [");
    else
        print_head();
    status = measure_all(&program, &error);
    if (options.json)
        printf("\n]}\n");
    if (status != CAIRN_OK)
        fprintf(stderr, "bench_sparse: %s\n", error.message);
    return status == CAIRN_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
