/* One of several programs that train two sparse tables together: what test_sparse.py and test_kill_sparse.py
 * start.
 *
 *     sparse_program NAME SERVERS PART/PARTS STEPS OUTPUT [KEYS COMMIT_EVERY]
 *
 * Starts the job NAME or goes on with it, takes its part of the microbatches up to step STEPS and writes all
 * rows to OUTPUT. Gradients are a function of the rows that were pulled, the step and the microbatch: whoever
 * computes a microbatch comes to the same ones. */
#include "cairn.h"
#include "math/mix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TABLES       2
#define DIMENSION    8
#define KEYS         600 /* keys that there are, if it is not said */
#define KEYS_MAX     20000
#define OCCURRENCES  64 /* keys in a microbatch's gradients, some of them twice */
#define MICROBATCHES 6

struct program {
    cairn *connection;
    uint32_t begin, end; /* of the microbatches */
    uint32_t keys;       /* that there are */
    const char *commit_every;
    struct part {
        uint64_t keys[OCCURRENCES];
        float rows[OCCURRENCES][DIMENSION], gradients[OCCURRENCES][DIMENSION];
        cairn_handle *pull;
    } parts[TABLES][MICROBATCHES];
};

static void check(const struct program *program, enum cairn_status status)
{
    if (status == CAIRN_STATUS_OK)
        return;
    fprintf(stderr, "sparse_program: %s: %s\n", cairn_status_text(status),
            program->connection ? cairn_error_text(program->connection) : "");
    exit(1);
}

static uint64_t mix(uint64_t x)
{
    return mix64(x + MIX64_STEP);
}

/* Half of the keys are small numbers, half are any. */
static uint64_t key_of(uint32_t number)
{
    return number % 2 ? mix(number) : number;
}

static void start(struct program *program, const char *name, const char *servers)
{
    char cluster[64], train[128];

    snprintf(cluster, sizeof(cluster), "{servers: %s}", servers);
    snprintf(train, sizeof(train), "{microbatches: %d, commit_every: %s}", MICROBATCHES,
             program->commit_every);
    check(program, cairn_job_begin(program->connection, name));
    check(program, cairn_job_set(program->connection, "seed", "11"));
    check(program, cairn_job_set(program->connection, "train", train));
    check(program, cairn_job_set(program->connection, "cluster", cluster));
    check(program, cairn_job_sparse(program->connection, "late", DIMENSION,
                                    "{admit_after: 2, expire_after: 4, optimizer: {adagrad: {learning_rate: "
                                    "0.05}}, initializer: {random_normal: {stddev: 0.1}}}"));
    check(program, cairn_job_sparse(program->connection, "clipped", DIMENSION,
                                    "{optimizer: {adam: {learning_rate: 0.01, global_clipnorm: 0.5}}}"));
    check(program, cairn_job_start(program->connection, CAIRN_START_RESUME, 60000));
    check(program, cairn_set_span(program->connection, program->begin, program->end));
}

/* ---- a step */

static void part_pull(struct program *program, uint32_t table, uint32_t microbatch, uint64_t step)
{
    struct part *part = &program->parts[table][microbatch];
    uint64_t seed = mix((step * TABLES + table) * MICROBATCHES + microbatch);

    for (uint32_t i = 0; i < OCCURRENCES; i++)
        part->keys[i] =
            key_of((uint32_t)(mix(seed + i) >> 32) % (step % 3 ? program->keys : program->keys / 20));
    check(program, cairn_pull(cairn_table_at(program->connection, table), part->keys, OCCURRENCES,
                              part->rows[0], &part->pull));
}

static void part_push(struct program *program, uint32_t table, uint32_t microbatch)
{
    struct part *part = &program->parts[table][microbatch];
    const struct cairn_gradients gradients = {.begin = microbatch,
                                              .end = microbatch + 1,
                                              .samples = OCCURRENCES,
                                              .values = part->gradients[0],
                                              .keys = part->keys,
                                              .count = OCCURRENCES};

    check(program, cairn_wait(part->pull, -1));
    for (uint32_t i = 0; i < OCCURRENCES; i++) {
        for (uint32_t j = 0; j < DIMENSION; j++)
            part->gradients[i][j] =
                part->rows[i][j] + (float)(int32_t)(mix(part->keys[i] * DIMENSION + j) >> 32) * 0x1p-31f;
    }
    check(program, cairn_push(cairn_table_at(program->connection, table), &gradients, NULL));
}

static void step(struct program *program)
{
    uint64_t now = cairn_current_step(program->connection);
    cairn_handle *handle;

    for (uint32_t i = program->begin; i < program->end; i++) {
        for (uint32_t table = 0; table < TABLES; table++)
            part_pull(program, table, i, now);
    }
    for (uint32_t i = program->begin; i < program->end; i++) {
        for (uint32_t table = 0; table < TABLES; table++)
            part_push(program, table, i);
    }
    check(program, cairn_step(program->connection, &handle));
    check(program, cairn_wait(handle, -1));
}

/* ---- the end */

static void write_rows(struct program *program, const char *path)
{
    static uint64_t keys[KEYS_MAX];
    static float rows[KEYS_MAX][DIMENSION];
    FILE *file = fopen(path, "wb");
    size_t written = 0;

    for (uint32_t i = 0; i < program->keys; i++)
        keys[i] = key_of(i);
    for (uint32_t table = 0; table < TABLES; table++) {
        cairn_handle *handle;

        check(program,
              cairn_pull(cairn_table_at(program->connection, table), keys, program->keys, rows[0], &handle));
        check(program, cairn_wait(handle, -1));
        written += file ? fwrite(rows, sizeof(rows[0]), program->keys, file) : 0;
    }
    if (!file || fclose(file) != 0 || written != (size_t)TABLES * program->keys) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    static struct program program;
    unsigned part, parts;

    program.keys = argc == 8 ? (uint32_t)strtoul(argv[6], NULL, 10) : KEYS;
    program.commit_every = argc == 8 ? argv[7] : "1000000";
    if ((argc != 6 && argc != 8) || program.keys < 20 || program.keys > KEYS_MAX ||
        sscanf(argv[3], "%u/%u", &part, &parts) != 2 || parts == 0 || part >= parts) {
        fprintf(stderr, "usage: sparse_program NAME SERVERS PART/PARTS STEPS OUTPUT [KEYS COMMIT_EVERY]\n");
        return 2;
    }
    program.begin = MICROBATCHES * part / parts;
    program.end = MICROBATCHES * (part + 1) / parts;
    check(&program, cairn_connect(NULL, &program.connection));
    start(&program, argv[1], argv[2]);
    while (cairn_current_step(program.connection) < strtoull(argv[4], NULL, 10))
        step(&program);
    check(&program, cairn_commit(program.connection, 60000));
    write_rows(&program, argv[5]);
    printf("%s at step %" PRIu64 "\n", cairn_job_id(program.connection),
           cairn_current_step(program.connection));
    cairn_close(program.connection);
    return 0;
}
