/* One of several programs that train tables together, of which some are added on the way: what
 * test_add_tables.py and test_kill_growing.py start.
 *
 *     growing_program NAME SERVERS PART/PARTS STEPS ADD_AT OUTPUT [ahead]
 *
 * Starts the job NAME with a sparse table and a dense one, or goes on with it, and takes its part of the
 * microbatches up to step STEPS. At step ADD_AT it adds one of each; ADD_AT "-": it knows nothing of them.
 * Only the first two microbatches, of six, have gradients for what was added, so that a program with the
 * others need not know. Gradients are a function of what was pulled, the step and the microbatch. It writes
 * all values of all tables that it knows to OUTPUT. ahead: it does not wait for its steps. */
#include "cairn.h"
#include "math/mix.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OWN          2 /* tables from the beginning: sparse, dense */
#define TABLES       4 /* and with those that were added, sparse, dense */
#define DIMENSION    8
#define SIZE         3000 /* floats of a dense table */
#define KEYS         3000 /* that there are */
#define OCCURRENCES  40   /* keys in a microbatch's gradients */
#define MICROBATCHES 6
#define ADDED_FOR    2 /* microbatches that have gradients for what was added */
#define PATIENCE_MS  60000

struct program {
    cairn *connection;
    uint32_t begin, end; /* of the microbatches */
    bool adds, is_ahead;
    uint64_t add_at;
    uint64_t keys[TABLES][MICROBATCHES][OCCURRENCES];
    float rows[TABLES][MICROBATCHES][OCCURRENCES * DIMENSION];
    float dense[TABLES][SIZE];
    float gradients[TABLES][MICROBATCHES][SIZE];
};

static void check(const struct program *program, enum cairn_status status)
{
    if (status == CAIRN_STATUS_OK)
        return;
    fprintf(stderr, "growing_program: %s: %s\n", cairn_status_text(status),
            program->connection ? cairn_error_text(program->connection) : "");
    exit(1);
}

static uint64_t mix(uint64_t x)
{
    return mix64(x + MIX64_STEP);
}

static float noise(uint64_t seed)
{
    return (float)(int32_t)(mix(seed) >> 32) * 0x1p-31f;
}

static bool is_sparse(uint32_t table)
{
    return table % 2 == 0;
}

/* ---- the job */

static void start(struct program *program, const char *name, const char *servers)
{
    char cluster[64];

    snprintf(cluster, sizeof(cluster), "{servers: %s}", servers);
    check(program, cairn_job_begin(program->connection, name));
    check(program, cairn_job_set(program->connection, "seed", "5"));
    check(program, cairn_job_set(program->connection, "cluster", cluster));
    check(program,
          cairn_job_set(program->connection, "train", "{microbatches: 6, commit_every: 4, optimizer: adam}"));
    check(program, cairn_job_sparse(program->connection, "rows", DIMENSION,
                                    "{optimizer: {adagrad: {learning_rate: 0.05}}}"));
    check(program, cairn_job_dense(program->connection, "weights", SIZE, NULL));
    check(program, cairn_job_start(program->connection, CAIRN_START_RESUME, PATIENCE_MS));
    check(program, cairn_set_span(program->connection, program->begin, program->end));
}

/* Again after each start: those that are there are found. */
static void add(struct program *program)
{
    cairn_table *table;

    check(program, cairn_add_sparse(program->connection, "late_rows", DIMENSION,
                                    "{initializer: {random_normal: {stddev: 0.1}}, codec: bfloat16}",
                                    PATIENCE_MS, &table));
    check(program, cairn_add_dense(program->connection, "late_weights", SIZE,
                                   "{initializer: glorot_uniform, optimizer: {sgd: {learning_rate: 0.1}}}",
                                   PATIENCE_MS, &table));
}

/* ---- a step */

static void pull(struct program *program, uint32_t table, uint32_t microbatch, uint64_t step,
                 cairn_handle **handle)
{
    uint64_t *keys = program->keys[table][microbatch];
    cairn_table *one = cairn_table_at(program->connection, table);

    for (uint32_t i = 0; i < OCCURRENCES; i++)
        keys[i] = mix((step * TABLES + table) * MICROBATCHES + microbatch + i * 1000003) % KEYS;
    if (is_sparse(table))
        check(program, cairn_pull(one, keys, OCCURRENCES, program->rows[table][microbatch], handle));
    else
        check(program, cairn_pull(one, NULL, 0, program->dense[table], handle));
}

static void push(struct program *program, uint32_t table, uint32_t microbatch, uint64_t step)
{
    float *gradients = program->gradients[table][microbatch];
    uint32_t floats = is_sparse(table) ? OCCURRENCES * DIMENSION : SIZE;
    const float *values = is_sparse(table) ? program->rows[table][microbatch] : program->dense[table];
    const struct cairn_gradients what = {.begin = microbatch,
                                         .end = microbatch + 1,
                                         .samples = 4,
                                         .values = gradients,
                                         .keys = is_sparse(table) ? program->keys[table][microbatch] : NULL,
                                         .count = is_sparse(table) ? OCCURRENCES : 0};

    for (uint32_t i = 0; i < floats; i++)
        gradients[i] = values[i] + noise(((step * TABLES + table) * MICROBATCHES + microbatch) * SIZE + i);
    check(program, cairn_push(cairn_table_at(program->connection, table), &what, NULL));
}

/* Whether this program has gradients of a microbatch for a table at a step. */
static bool has_gradients(const struct program *program, uint32_t table, uint32_t microbatch, uint64_t step)
{
    return table < OWN || (program->adds && step >= program->add_at && microbatch < ADDED_FOR);
}

static void step(struct program *program)
{
    uint64_t now = cairn_current_step(program->connection);
    cairn_handle *handles[TABLES][MICROBATCHES] = {{NULL}}, *end;

    for (uint32_t i = program->begin; i < program->end; i++) {
        for (uint32_t table = 0; table < TABLES; table++) {
            if (has_gradients(program, table, i, now))
                pull(program, table, i, now, &handles[table][i]);
        }
    }
    for (uint32_t i = program->begin; i < program->end; i++) {
        for (uint32_t table = 0; table < TABLES; table++) {
            if (handles[table][i])
                check(program, cairn_wait(handles[table][i], PATIENCE_MS));
        }
    }
    for (uint32_t i = program->begin; i < program->end; i++) {
        for (uint32_t table = 0; table < TABLES; table++) {
            if (has_gradients(program, table, i, now))
                push(program, table, i, now);
        }
    }
    check(program, cairn_step(program->connection, &end));
    check(program, cairn_wait(end, PATIENCE_MS));
}

/* Steps without gradients, begun as fast as it goes. */
static void run_ahead(struct program *program, uint64_t steps)
{
    cairn_handle *end = NULL;

    while (cairn_current_step(program->connection) < steps)
        check(program, cairn_step(program->connection,
                                  cairn_current_step(program->connection) + 1 == steps ? &end : NULL));
    if (end)
        check(program, cairn_wait(end, -1));
}

/* ---- the end */

static void write_values(struct program *program, const char *path)
{
    static uint64_t keys[KEYS];
    static float rows[KEYS][DIMENSION];
    FILE *file = fopen(path, "wb");
    bool is_written = file != NULL;
    cairn_table *table;

    for (uint32_t i = 0; i < KEYS; i++)
        keys[i] = i;
    for (uint32_t i = 0; (table = cairn_table_at(program->connection, i)); i++) {
        bool has_rows = cairn_table_dimension(table) > 0;
        cairn_handle *handle;

        check(program, cairn_pull(table, has_rows ? keys : NULL, has_rows ? KEYS : 0,
                                  has_rows ? rows[0] : program->dense[0], &handle));
        check(program, cairn_wait(handle, PATIENCE_MS));
        is_written =
            is_written && (has_rows ? fwrite(rows, sizeof(rows), 1, file)
                                    : fwrite(program->dense[0], sizeof(program->dense[0]), 1, file)) == 1;
    }
    if (!file || fclose(file) != 0 || !is_written) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static struct program program;
    unsigned part, parts;
    uint64_t steps;

    if (argc < 7 || sscanf(argv[3], "%u/%u", &part, &parts) != 2 || parts == 0 || part >= parts) {
        fprintf(stderr, "usage: growing_program NAME SERVERS PART/PARTS STEPS ADD_AT OUTPUT [ahead]\n");
        return 2;
    }
    program.begin = MICROBATCHES * part / parts;
    program.end = MICROBATCHES * (part + 1) / parts;
    program.adds = strcmp(argv[5], "-") != 0;
    program.add_at = strtoull(argv[5], NULL, 10);
    steps = strtoull(argv[4], NULL, 10);
    check(&program, cairn_connect(NULL, &program.connection));
    start(&program, argv[1], argv[2]);
    if (argc > 7)
        run_ahead(&program, steps);
    for (bool has_added = false; cairn_current_step(program.connection) < steps; step(&program)) {
        if (program.adds && !has_added && cairn_current_step(program.connection) >= program.add_at) {
            add(&program);
            has_added = true;
        }
    }
    check(&program, cairn_commit(program.connection, PATIENCE_MS));
    write_values(&program, argv[6]);
    printf("%s at step %" PRIu64 "\n", cairn_job_id(program.connection),
           cairn_current_step(program.connection));
    cairn_close(program.connection);
    return 0;
}
