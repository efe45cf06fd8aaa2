/* An embedding store: rows of floats by key, on servers that may have less memory than the rows take.
 *
 *     embeddings [-n NAME] [-k KEYS] [-s STEPS]
 *
 * Three sparse tables. `store` is put to and read from like a dictionary. `users` and `items` are trained:
 * how a user likes an item is the dot product of their rows, and made-up likings are what they learn. Start
 * servers with
 * `--memory 64M` or so and take many keys, to see rows go to disk and come back.
 *
 * Rows need not be made: a key that no update has named reads as its initial value. */
#include <cairn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DIMENSION 16
#define BATCH     4096 /* keys that go together */

struct program {
    cairn *connection;
    cairn_table *store, *users, *items;
    uint64_t keys;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Ends the program when a call has failed. */
static void check(const cairn *connection, enum cairn_status status)
{
    if (status == CAIRN_STATUS_OK)
        return;
    fprintf(stderr, "embeddings: %s: %s\n", cairn_status_text(status),
            connection ? cairn_error_text(connection) : "");
    exit(1);
}

static void start(struct program *program, const char *name)
{
    cairn *connection = program->connection;

    check(connection, cairn_job_begin(connection, name));
    /* With a learning rate of 1, an update takes exactly what was pushed off the row. */
    check(connection, cairn_job_sparse(connection, "store", DIMENSION,
                                       "{initializer: zeros, optimizer: {sgd: {learning_rate: 1.0}}}"));
    check(connection, cairn_job_sparse(connection, "users", DIMENSION,
                                       "{initializer: {random_uniform: {minval: -0.5, maxval: 0.5}},"
                                       " optimizer: {sgd: {learning_rate: 50.0}}}"));
    check(connection, cairn_job_sparse(connection, "items", DIMENSION,
                                       "{initializer: {random_uniform: {minval: -0.5, maxval: 0.5}},"
                                       " optimizer: {sgd: {learning_rate: 50.0}}}"));
    check(connection, cairn_job_start(connection, CAIRN_START_NEW, 30000));
    program->store = cairn_find_table(connection, "store");
    program->users = cairn_find_table(connection, "users");
    program->items = cairn_find_table(connection, "items");
}

static void read_rows(struct program *program, cairn_table *table, const uint64_t *keys, uint32_t count,
                      float *rows)
{
    cairn_handle *handle;

    check(program->connection, cairn_pull(table, keys, count, rows, &handle));
    check(program->connection, cairn_wait(handle, -1));
}

static void take_step(struct program *program)
{
    cairn_handle *handle;

    check(program->connection, cairn_step(program->connection, &handle));
    check(program->connection, cairn_wait(handle, -1));
}

/* Gives rows new values: pushes by how much they are to become less. rows is changed. */
static void put_rows(struct program *program, const uint64_t *keys, uint32_t count, float *rows)
{
    static float present[BATCH * DIMENSION];
    const struct cairn_gradients push = {.samples = 1, .values = rows, .keys = keys, .count = count};

    read_rows(program, program->store, keys, count, present);
    for (uint32_t i = 0; i < count * DIMENSION; i++)
        rows[i] = present[i] - rows[i];
    check(program->connection, cairn_push(program->store, &push, NULL));
    take_step(program);
}

/* ---- the store as a dictionary */

/* Keys are spread over all 64-bit numbers: they need be neither small nor dense. */
static uint64_t key_of(uint64_t number)
{
    return number * UINT64_C(0x9e3779b97f4a7c15);
}

static float value_of(uint64_t number, unsigned column)
{
    return (float)(number % 1000) + (float)column / 16.0f;
}

/* Numbers [first, first + count) as keys, and the rows that belong to them. */
static void fill(uint64_t first, uint32_t count, uint64_t *keys, float *rows)
{
    for (uint32_t i = 0; i < count; i++) {
        keys[i] = key_of(first + i);
        for (unsigned column = 0; column < DIMENSION; column++)
            rows[i * DIMENSION + column] = value_of(first + i, column);
    }
}

static uint32_t batch_at(const struct program *program, uint64_t first)
{
    return program->keys - first < BATCH ? (uint32_t)(program->keys - first) : BATCH;
}

/* Puts a row for each key and reads them back. Returns how many came back otherwise. */
static uint64_t put_and_read(struct program *program)
{
    static float wanted[BATCH * DIMENSION], rows[BATCH * DIMENSION];
    static uint64_t keys[BATCH];
    uint64_t wrong = 0;
    double began = now(), put;

    for (uint64_t first = 0; first < program->keys; first += BATCH) {
        fill(first, batch_at(program, first), keys, rows);
        put_rows(program, keys, batch_at(program, first), rows);
    }
    put = now();
    for (uint64_t first = 0; first < program->keys; first += BATCH) {
        uint32_t count = batch_at(program, first);

        fill(first, count, keys, wanted);
        read_rows(program, program->store, keys, count, rows);
        for (uint32_t i = 0; i < count; i++)
            wrong += memcmp(rows + i * DIMENSION, wanted + i * DIMENSION, DIMENSION * sizeof(float)) != 0;
    }
    printf("put %llu rows: %.0f rows/s; read them: %.0f rows/s; %llu came back changed\n",
           (unsigned long long)program->keys, (double)program->keys / (put - began),
           (double)program->keys / (now() - put), (unsigned long long)wrong);
    return wrong;
}

/* ---- training */

struct likings {
    uint64_t users[BATCH], items[BATCH];
    float user_rows[BATCH * DIMENSION], item_rows[BATCH * DIMENSION];
    float user_gradients[BATCH * DIMENSION], item_gradients[BATCH * DIMENSION];
};

/* The likings of a step: user 7 likes item 3 or does not, for ever. */
static void draw(struct likings *likings, uint64_t step)
{
    for (uint64_t i = 0; i < BATCH; i++) {
        uint64_t draw = key_of(step * BATCH + i + 1);

        likings->users[i] = (draw >> 40) % 200;
        likings->items[i] = (draw >> 20) % 200;
    }
}

static float liking(uint64_t user, uint64_t item)
{
    return (user + item) % 4 < 2 ? 1.0f : -1.0f;
}

/* The mean squared error of the likings, and gradients of half of it by both rows. */
static double compute(struct likings *likings)
{
    double sum = 0;

    for (unsigned i = 0; i < BATCH; i++) {
        const float *user = likings->user_rows + i * DIMENSION, *item = likings->item_rows + i * DIMENSION;
        float difference = -liking(likings->users[i], likings->items[i]);

        for (unsigned column = 0; column < DIMENSION; column++)
            difference += user[column] * item[column];
        for (unsigned column = 0; column < DIMENSION; column++) {
            likings->user_gradients[i * DIMENSION + column] = difference * item[column];
            likings->item_gradients[i * DIMENSION + column] = difference * user[column];
        }
        sum += (double)difference * (double)difference;
    }
    return sum / BATCH;
}

/* One step of training. Keys repeat within a batch: their gradients are added up. Returns the error before.
 */
static double train_step(struct program *program, struct likings *likings)
{
    const struct cairn_gradients users = {
        .samples = BATCH, .values = likings->user_gradients, .keys = likings->users, .count = BATCH};
    const struct cairn_gradients items = {
        .samples = BATCH, .values = likings->item_gradients, .keys = likings->items, .count = BATCH};
    cairn_handle *user_pull, *item_pull;
    double loss;

    draw(likings, cairn_current_step(program->connection));
    check(program->connection,
          cairn_pull(program->users, likings->users, BATCH, likings->user_rows, &user_pull));
    check(program->connection,
          cairn_pull(program->items, likings->items, BATCH, likings->item_rows, &item_pull));
    check(program->connection, cairn_wait(user_pull, -1));
    check(program->connection, cairn_wait(item_pull, -1));
    loss = compute(likings);
    check(program->connection, cairn_push(program->users, &users, NULL));
    check(program->connection, cairn_push(program->items, &items, NULL));
    take_step(program);
    return loss;
}

static void train(struct program *program, unsigned long steps)
{
    struct likings *likings = malloc(sizeof(*likings));
    double first = 0, last = 0, began = now();

    if (!likings) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    for (unsigned long i = 0; i < steps; i++) {
        last = train_step(program, likings);
        first = i == 0 ? last : first;
    }
    if (steps > 0)
        printf("trained %lu steps: mean squared error %.3f, then %.3f; %.0f likings/s\n", steps, first, last,
               (double)steps * BATCH / (now() - began));
    free(likings);
}

static int usage(void)
{
    fprintf(stderr, "usage: embeddings [-n NAME] [-k KEYS] [-s STEPS]\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *name = "embeddings";
    struct program program = {.keys = 100000};
    unsigned long steps = 200;
    enum cairn_status status;
    uint64_t wrong;
    int option;

    while ((option = getopt(argc, argv, "n:k:s:")) != -1) {
        if (option == 'n')
            name = optarg;
        else if (option == 'k')
            program.keys = strtoull(optarg, NULL, 10);
        else if (option == 's')
            steps = strtoul(optarg, NULL, 10);
        else
            return usage();
    }
    if (optind != argc)
        return usage();
    status = cairn_connect(NULL, &program.connection);
    check(program.connection, status);
    start(&program, name);
    wrong = put_and_read(&program);
    train(&program, steps);
    check(program.connection, cairn_job_stop(program.connection)); /* nobody else uses it */
    cairn_close(program.connection);
    return wrong == 0 ? 0 : 1;
}
