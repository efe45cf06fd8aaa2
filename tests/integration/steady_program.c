/* One of several programs that train tables together and stay at it: when a server ends it attaches again and
 * goes on. What test_replicated_tables.py starts.
 *
 *     steady_program NAME CLUSTER PART/PARTS STEPS ADD_AT OUTPUT KIND
 *
 * Starts the job NAME on what CLUSTER says (the job file's words), or goes on with it, and takes its part of
 * the microbatches up to step STEPS; from step ADD_AT on there are two tables more. KIND is "dense", "sparse"
 * or "both": which tables there are. Gradients are a function of what was pulled, the step and the
 * microbatch. It writes all values to OUTPUT, and says how often it attached. A step that it has seen the end
 * of must never come again. */
#include "cairn.h"
#include "math/mix.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES_MAX   8
#define DIMENSION    8
#define SIZE         40000 /* floats of a dense table */
#define KEYS         3000  /* that there are */
#define OCCURRENCES  40    /* keys in a microbatch's gradients */
#define MICROBATCHES 6
#define PATIENCE_MS  60000

struct table {
    const char *name, *yaml;
    bool is_sparse, is_late;
};

static const struct table all_tables[] = {
    {"weights", "{initializer: glorot_uniform, optimizer: adam}", false, false},
    {"halves", "{codec: bfloat16, optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}}", false, false},
    {"rows", "{optimizer: {adagrad: {learning_rate: 0.05, clipnorm: 0.5}}}", true, false},
    {"fleeting",
     "{admit_after: 2, expire_after: 4, optimizer: adam, initializer: {random_normal: {stddev: 0.1}}}", true,
     false},
    {"late_weights", "{initializer: glorot_uniform, optimizer: {lamb: {clipnorm: 2.0}}}", false, true},
    {"late_rows",
     "{initializer: {random_normal: {stddev: 0.1}}, codec: bfloat16, optimizer: {adam: {global_clipnorm: "
     "1.0}}}",
     true, true},
};

struct program {
    const char *name, *cluster, *output;
    cairn *connection;
    uint32_t begin, end; /* of the microbatches */
    bool has_dense, has_sparse;
    uint64_t steps, add_at;
    uint64_t ended; /* steps that it has seen the end of */
    uint32_t attached;
    cairn_table *tables[TABLES_MAX]; /* NULL: not there, or not yet */
    uint64_t keys[TABLES_MAX][MICROBATCHES][OCCURRENCES];
    float rows[TABLES_MAX][MICROBATCHES][OCCURRENCES * DIMENSION];
    float dense[TABLES_MAX][SIZE];
    float gradients[TABLES_MAX][MICROBATCHES][SIZE];
};

#define TABLE_COUNT (sizeof(all_tables) / sizeof(all_tables[0]))

/* Leaves a function with what went wrong. */
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        enum cairn_status tried = (call);                                                                    \
        if (tried != CAIRN_STATUS_OK)                                                                        \
            return tried;                                                                                    \
    } while (0)

static uint64_t mix(uint64_t x)
{
    return mix64(x + MIX64_STEP);
}

static float noise(uint64_t seed)
{
    return (float)(int32_t)(mix(seed) >> 32) * 0x1p-31f;
}

static bool is_wanted(const struct program *program, uint32_t table)
{
    return all_tables[table].is_sparse ? program->has_sparse : program->has_dense;
}

/* ---- the job */

static enum cairn_status describe(struct program *program)
{
    TRY(cairn_job_begin(program->connection, program->name));
    TRY(cairn_job_set(program->connection, "seed", "5"));
    TRY(cairn_job_set(program->connection, "cluster", program->cluster));
    TRY(cairn_job_set(program->connection, "train", "{microbatches: 6, commit_every: 20}"));
    for (uint32_t i = 0; i < TABLE_COUNT; i++) {
        const struct table *table = &all_tables[i];

        if (!is_wanted(program, i) || table->is_late)
            continue;
        if (table->is_sparse)
            TRY(cairn_job_sparse(program->connection, table->name, DIMENSION, table->yaml));
        else
            TRY(cairn_job_dense(program->connection, table->name, SIZE, table->yaml));
    }
    return CAIRN_STATUS_OK;
}

static enum cairn_status add(struct program *program, uint32_t index)
{
    const struct table *table = &all_tables[index];

    return table->is_sparse ? cairn_add_sparse(program->connection, table->name, DIMENSION, table->yaml,
                                               PATIENCE_MS, &program->tables[index])
                            : cairn_add_dense(program->connection, table->name, SIZE, table->yaml,
                                              PATIENCE_MS, &program->tables[index]);
}

static enum cairn_status attach(struct program *program)
{
    memset(program->tables, 0, sizeof(program->tables));
    TRY(cairn_connect(NULL, &program->connection));
    TRY(describe(program));
    TRY(cairn_job_start(program->connection, CAIRN_START_RESUME, PATIENCE_MS));
    TRY(cairn_set_span(program->connection, program->begin, program->end));
    for (uint32_t i = 0; i < TABLE_COUNT; i++)
        program->tables[i] = cairn_find_table(program->connection, all_tables[i].name);
    program->attached++;
    if (cairn_current_step(program->connection) >= program->ended)
        return CAIRN_STATUS_OK;
    fprintf(stderr, "steady_program: step %" PRIu64 " comes again, %" PRIu64 " had ended\n",
            cairn_current_step(program->connection), program->ended);
    exit(1);
}

/* ---- a step */

static enum cairn_status pull(struct program *program, uint32_t table, uint32_t microbatch, uint64_t step,
                              cairn_handle **handle)
{
    uint64_t *keys = program->keys[table][microbatch];

    for (uint32_t i = 0; i < OCCURRENCES; i++)
        keys[i] = mix((step * TABLES_MAX + table) * MICROBATCHES + microbatch + i * 1000003) %
                  (step % 3 ? KEYS : KEYS / 30);
    return all_tables[table].is_sparse
               ? cairn_pull(program->tables[table], keys, OCCURRENCES, program->rows[table][microbatch],
                            handle)
               : cairn_pull(program->tables[table], NULL, 0, program->dense[table], handle);
}

static enum cairn_status push(struct program *program, uint32_t table, uint32_t microbatch, uint64_t step)
{
    bool is_sparse = all_tables[table].is_sparse;
    float *gradients = program->gradients[table][microbatch];
    uint32_t floats = is_sparse ? OCCURRENCES * DIMENSION : SIZE;
    const float *values = is_sparse ? program->rows[table][microbatch] : program->dense[table];
    const struct cairn_gradients what = {.begin = microbatch,
                                         .end = microbatch + 1,
                                         .samples = 4,
                                         .values = gradients,
                                         .keys = is_sparse ? program->keys[table][microbatch] : NULL,
                                         .count = is_sparse ? OCCURRENCES : 0};

    for (uint32_t i = 0; i < floats; i++)
        gradients[i] =
            values[i] + noise(((step * TABLES_MAX + table) * MICROBATCHES + microbatch) * SIZE + i % 1000);
    return cairn_push(program->tables[table], &what, NULL);
}

/* The added tables have gradients in steps that all programs know them in. */
static bool has_gradients(const struct program *program, uint32_t table, uint64_t step)
{
    return program->tables[table] && (!all_tables[table].is_late || step >= program->add_at);
}

static enum cairn_status step(struct program *program)
{
    uint64_t now = cairn_current_step(program->connection);
    cairn_handle *handles[TABLES_MAX][MICROBATCHES] = {{NULL}}, *end;

    for (uint32_t table = 0; table < TABLE_COUNT; table++) {
        if (is_wanted(program, table) && all_tables[table].is_late && now >= program->add_at &&
            !program->tables[table])
            TRY(add(program, table));
    }
    for (uint32_t i = program->begin; i < program->end; i++) {
        for (uint32_t table = 0; table < TABLE_COUNT; table++) {
            if (has_gradients(program, table, now))
                TRY(pull(program, table, i, now, &handles[table][i]));
        }
    }
    for (uint32_t i = program->begin; i < program->end; i++) {
        for (uint32_t table = 0; table < TABLE_COUNT; table++) {
            if (handles[table][i])
                TRY(cairn_wait(handles[table][i], PATIENCE_MS));
        }
    }
    for (uint32_t i = program->begin; i < program->end; i++) {
        for (uint32_t table = 0; table < TABLE_COUNT; table++) {
            if (handles[table][i])
                TRY(push(program, table, i, now));
        }
    }
    TRY(cairn_step(program->connection, &end));
    TRY(cairn_wait(end, PATIENCE_MS));
    program->ended = now + 1;
    return CAIRN_STATUS_OK;
}

/* ---- the end */

static enum cairn_status write_values(struct program *program)
{
    static uint64_t keys[KEYS];
    static float rows[KEYS][DIMENSION];
    FILE *file = fopen(program->output, "wb");
    bool is_written = file != NULL;

    for (uint32_t i = 0; i < KEYS; i++)
        keys[i] = i;
    for (uint32_t i = 0; i < TABLE_COUNT; i++) {
        bool has_rows = all_tables[i].is_sparse;
        cairn_table *table = cairn_find_table(program->connection, all_tables[i].name);
        cairn_handle *handle;
        enum cairn_status status;

        if (!table)
            continue;
        status = cairn_pull(table, has_rows ? keys : NULL, has_rows ? KEYS : 0,
                            has_rows ? rows[0] : program->dense[0], &handle);
        if (status == CAIRN_STATUS_OK)
            status = cairn_wait(handle, PATIENCE_MS);
        if (status != CAIRN_STATUS_OK) {
            if (file)
                fclose(file);
            return status;
        }
        is_written =
            is_written && (has_rows ? fwrite(rows, sizeof(rows), 1, file)
                                    : fwrite(program->dense[0], sizeof(program->dense[0]), 1, file)) == 1;
    }
    if (!file || fclose(file) != 0 || !is_written) {
        perror(program->output);
        exit(1);
    }
    return CAIRN_STATUS_OK;
}

/* Until something breaks, or all is done. */
static enum cairn_status work(struct program *program)
{
    TRY(attach(program));
    while (cairn_current_step(program->connection) < program->steps)
        TRY(step(program));
    TRY(cairn_commit(program->connection, PATIENCE_MS));
    return write_values(program);
}

/* Whether attaching again helps. */
static bool may_go_on(enum cairn_status status)
{
    return status == CAIRN_STATUS_IO || status == CAIRN_STATUS_NOT_FOUND || status == CAIRN_STATUS_STALE;
}

int main(int argc, char **argv)
{
    static struct program program;
    enum cairn_status status;
    unsigned part, parts;

    if (argc != 8 || sscanf(argv[3], "%u/%u", &part, &parts) != 2 || parts == 0 || part >= parts) {
        fprintf(stderr, "usage: steady_program NAME CLUSTER PART/PARTS STEPS ADD_AT OUTPUT KIND\n");
        return 2;
    }
    program.name = argv[1];
    program.cluster = argv[2];
    program.begin = MICROBATCHES * part / parts;
    program.end = MICROBATCHES * (part + 1) / parts;
    program.steps = strtoull(argv[4], NULL, 10);
    program.add_at = strtoull(argv[5], NULL, 10);
    program.output = argv[6];
    program.has_dense = strcmp(argv[7], "sparse") != 0;
    program.has_sparse = strcmp(argv[7], "dense") != 0;
    while ((status = work(&program)) != CAIRN_STATUS_OK && may_go_on(status)) {
        fprintf(stderr, "steady_program: after step %" PRIu64 ": %s\n", program.ended,
                cairn_error_text(program.connection));
        cairn_close(program.connection);
    }
    if (status != CAIRN_STATUS_OK) {
        fprintf(stderr, "steady_program: %s: %s\n", cairn_status_text(status),
                program.connection ? cairn_error_text(program.connection) : "");
        return 1;
    }
    printf("%s at step %" PRIu64 ", attached %" PRIu32 " times\n", cairn_job_id(program.connection),
           cairn_current_step(program.connection), program.attached);
    cairn_close(program.connection);
    return 0;
}
