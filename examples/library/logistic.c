/* Logistic regression by hand, on any number of processes.
 *
 *     logistic [-n NAME] [-c SERVERS] [-p PART/PARTS] [-s STEPS] [-o WEIGHTS] TRAIN TEST
 *
 * TRAIN and TEST are LIBSVM files with labels -1 and 1, such as a9a and a9a.t. Start it once, or as several
 * processes, each with its part of every batch: `logistic -p 0/2 ...` and `logistic -p 1/2 ...`. The weights
 * come out the same, bit for bit: compare what -o writes.
 *
 * The weights are one dense table on the servers. Each step, all processes
 *   1. pull the weights,
 *   2. compute gradients of the microbatches in their part of the batch, and push them,
 *   3. take a step: the servers add all gradients up, divide by the samples and apply the optimizer. */
#include <cairn.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MICROBATCHES   8
#define PER_MICROBATCH 128 /* samples */
#define FEATURES       123 /* of a9a; the weight after the last one is the bias */
#define WEIGHTS        (FEATURES + 1)

/* ---- data: sample i has features [begin[i], begin[i + 1]) */

struct data {
    size_t samples, features;
    float *labels;
    size_t *begin;
    int *index; /* from 0 */
    float *value;
};

/* Makes room for element `count`: the memory doubles each time that count comes to a power of two. */
static void *grown(void *memory, size_t count, size_t element_bytes)
{
    if (count & (count - 1))
        return memory;
    memory = realloc(memory, (count ? 2 * count : 1) * element_bytes);
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

/* Adds one line, "LABEL INDEX:VALUE INDEX:VALUE ...". Returns whether it was one. */
static int add_line(struct data *data, char *line)
{
    char *at, *end;

    data->labels = grown(data->labels, data->samples, sizeof(float));
    data->begin = grown(data->begin, data->samples + 1, sizeof(size_t));
    data->begin[data->samples] = data->features;
    data->labels[data->samples] = strtof(line, &at) > 0 ? 1.0f : 0.0f;
    if (at == line)
        return 0;
    for (;;) {
        long index = strtol(at, &end, 10);

        if (end == at)
            break;
        if (*end != ':' || index < 1 || index > FEATURES)
            return 0;
        data->index = grown(data->index, data->features, sizeof(int));
        data->value = grown(data->value, data->features, sizeof(float));
        data->index[data->features] = (int)index - 1;
        data->value[data->features++] = strtof(end + 1, &at);
    }
    data->begin[++data->samples] = data->features;
    return 1;
}

static void read_data(struct data *data, const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;

    if (!file) {
        perror(path);
        exit(1);
    }
    while (getline(&line, &size, file) > 0) {
        if (!add_line(data, line)) {
            fprintf(stderr, "%s: line %zu is not LIBSVM's with %d features\n", path, data->samples + 1,
                    FEATURES);
            exit(1);
        }
    }
    free(line);
    fclose(file);
    if (data->samples == 0) {
        fprintf(stderr, "%s: it is empty\n", path);
        exit(1);
    }
}

static void free_data(struct data *data)
{
    free(data->labels);
    free(data->begin);
    free(data->index);
    free(data->value);
}

/* ---- the model */

/* The probability that sample i is of class 1. */
static float predict(const float *weights, const struct data *data, size_t i)
{
    float sum = weights[FEATURES];

    for (size_t j = data->begin[i]; j < data->begin[i + 1]; j++)
        sum += weights[data->index[j]] * data->value[j];
    return 1.0f / (1.0f + expf(-sum));
}

/* The sum of gradients over one microbatch of a step. Which samples those are depends on the numbers alone,
 * not on who computes. */
static void add_gradients(const float *weights, const struct data *data, uint64_t step, unsigned microbatch,
                          float *gradients)
{
    uint64_t first = (step * MICROBATCHES + microbatch) * PER_MICROBATCH;

    memset(gradients, 0, WEIGHTS * sizeof(float));
    for (unsigned n = 0; n < PER_MICROBATCH; n++) {
        size_t i = (first + n) % data->samples;
        float difference = predict(weights, data, i) - data->labels[i];

        for (size_t j = data->begin[i]; j < data->begin[i + 1]; j++)
            gradients[data->index[j]] += difference * data->value[j];
        gradients[FEATURES] += difference;
    }
}

static double accuracy(const float *weights, const struct data *data)
{
    size_t right = 0;

    for (size_t i = 0; i < data->samples; i++)
        right += (predict(weights, data, i) > 0.5f) == (data->labels[i] > 0.5f);
    return (double)right / (double)data->samples;
}

/* ---- the servers */

/* Ends the program when a call has failed. */
static void check(const cairn *connection, enum cairn_status status)
{
    if (status == CAIRN_STATUS_OK)
        return;
    fprintf(stderr, "logistic: %s: %s\n", cairn_status_text(status),
            connection ? cairn_error_text(connection) : "");
    exit(1);
}

/* Makes the job, or joins it when another process was first. */
static cairn_table *start(cairn *connection, const char *name, unsigned servers)
{
    char train[64], cluster[64];

    snprintf(train, sizeof(train), "{microbatches: %d, commit_every: 100}", MICROBATCHES);
    snprintf(cluster, sizeof(cluster), "{servers: %u}", servers);
    check(connection, cairn_job_begin(connection, name));
    check(connection, cairn_job_set(connection, "train", train));
    check(connection, cairn_job_set(connection, "cluster", cluster));
    check(connection, cairn_job_dense(connection, "weights", WEIGHTS,
                                      "{initializer: zeros, optimizer: {sgd: {learning_rate: 0.5}}}"));
    check(connection, cairn_job_start(connection, CAIRN_START_RESUME, 30000));
    return cairn_find_table(connection, "weights");
}

static void pull(cairn *connection, cairn_table *table, float *weights)
{
    cairn_handle *handle;

    check(connection, cairn_pull(table, NULL, 0, weights, &handle));
    check(connection, cairn_wait(handle, -1));
}

/* One step of microbatches [begin, end). */
static void take_step(cairn *connection, cairn_table *table, const struct data *data, unsigned begin,
                      unsigned end)
{
    float weights[WEIGHTS], gradients[MICROBATCHES][WEIGHTS];
    cairn_handle *handle;

    pull(connection, table, weights);
    for (unsigned m = begin; m < end; m++) {
        struct cairn_gradients push = {
            .begin = m, .end = m + 1, .samples = PER_MICROBATCH, .values = gradients[m]};

        add_gradients(weights, data, cairn_current_step(connection), m, gradients[m]);
        check(connection, cairn_push(table, &push, NULL)); /* goes while the next one is computed */
    }
    check(connection, cairn_step(connection, &handle));
    check(connection, cairn_wait(handle, -1)); /* gradients[] is ours again */
}

static void write_weights(const char *path, const float *weights)
{
    FILE *file = fopen(path, "wb");

    if (!file || fwrite(weights, sizeof(float), WEIGHTS, file) != WEIGHTS || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static int usage(void)
{
    fprintf(stderr,
            "usage: logistic [-n NAME] [-c SERVERS] [-p PART/PARTS] [-s STEPS] [-o WEIGHTS] TRAIN TEST\n");
    return 2;
}

int main(int argc, char **argv)
{
    const char *name = "logistic", *output = NULL;
    unsigned part = 0, parts = 1, servers = 1;
    unsigned long steps = 400;
    struct data train = {0}, test = {0};
    float weights[WEIGHTS];
    cairn *connection;
    cairn_table *table;
    enum cairn_status status;
    int option;

    while ((option = getopt(argc, argv, "n:c:p:s:o:")) != -1) {
        if (option == 'n')
            name = optarg;
        else if (option == 'c')
            servers = (unsigned)strtoul(optarg, NULL, 10);
        else if (option == 's')
            steps = strtoul(optarg, NULL, 10);
        else if (option == 'o')
            output = optarg;
        else if (option != 'p' || sscanf(optarg, "%u/%u", &part, &parts) != 2)
            return usage();
    }
    if (argc - optind != 2 || part >= parts || parts > MICROBATCHES)
        return usage();
    read_data(&train, argv[optind]);
    read_data(&test, argv[optind + 1]);

    status = cairn_connect(NULL, &connection); /* where $CAIRN_COORDINATOR says */
    check(connection, status);
    table = start(connection, name, servers);
    check(connection,
          cairn_set_span(connection, MICROBATCHES * part / parts, MICROBATCHES * (part + 1) / parts));
    printf("%s: from step %llu\n", cairn_job_id(connection),
           (unsigned long long)cairn_current_step(connection));

    while (cairn_current_step(connection) < steps)
        take_step(connection, table, &train, MICROBATCHES * part / parts, MICROBATCHES * (part + 1) / parts);
    check(connection, cairn_commit(connection, 30000)); /* durable: a later start goes on from here */

    pull(connection, table, weights);
    printf("step %llu: accuracy %.4f, on the training data %.4f\n",
           (unsigned long long)cairn_current_step(connection), accuracy(weights, &test),
           accuracy(weights, &train));
    if (output)
        write_weights(output, weights);
    cairn_close(connection);
    free_data(&train);
    free_data(&test);
    return 0;
}
