/* What do commits cost? Three questions about a dense model of 25 million float32 parameters:
 *
 * - step: how much longer training takes when each 50th step is committed. One client pushes all gradients
 * and gets all new weights, step after step, from two servers by turns: one that commits and one that never
 * does. A turn is 50 steps with one commit in its middle, so that the whole write falls within it.
 * - write: how fast a generation becomes durable, beside LMDB writing the same bytes as it does it best (a
 * writable map, reserved values, one synchronous commit), by turns; and the processor time of it, which is
 * what training has to share.
 * - load: how fast a generation is read back after a restart (opened, checked, summed, copied to where it is
 * used), beside LMDB opening its file and copying the same bytes out. From the page cache, and from the disk.
 */
#include "base/clock.h"
#include "arguments.h"
#include "cluster.h"
#include "figures.h"
#include "record.h"
#include "store/store.h"

#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FLOATS      ((uint64_t)4096 * 6104) /* 25.0 million */
#define EVERY       50                      /* steps a commit */
#define CHUNK_BYTES ((size_t)1 << 20)
#define KEEP        2 /* generations that are kept */
#define MIB         ((size_t)1 << 20)
#define PATH_BYTES  128

static const struct {
    const char *name, *text;
    uint32_t arrays; /* that a generation holds of each parameter */
} optimizers[] = {
    {"sgd", "sgd: {learning_rate: 0.01}", 1},
    {"momentum", "sgd: {learning_rate: 0.01, momentum: 0.9}", 2},
    {"adam", "adam: {learning_rate: 0.001}", 3},
};

#define OPTIMIZERS (sizeof(optimizers) / sizeof(optimizers[0]))

struct options {
    uint32_t repetitions;
    int optimizer; /* index, -1: momentum and adam */
    const char *transport;
    bool json, only_disk;
};

struct row {
    const char *optimizer;
    struct figure step_ms, plain_step_ms, step_ratio;
    struct figure write, raw_write, write_ratio;             /* GB/s */
    struct figure write_cpu, raw_write_cpu, write_cpu_ratio; /* s of processor time a GB */
    struct figure load, raw_load, load_ratio;                /* GB/s, from the page cache */
    struct figure cold_load, cold_raw_load, cold_load_ratio;
};

static void add_pair(struct figure *ours, struct figure *theirs, struct figure *ratio, double a, double b)
{
    figure_add(ours, a);
    figure_add(theirs, b);
    figure_add(ratio, a / b);
}

/* ---- steps with and without commits */

static enum status turn(struct crew *crew, uint32_t steps, double *step_ms, struct error *error)
{
    struct crew_times times;
    enum status status = crew_run(crew, steps, &times, error);

    *step_ms = times.seconds * 1e3 / steps;
    return status;
}

static enum status steps_measure(const struct options *options, size_t optimizer, struct row *row,
                                 struct error *error)
{
    struct cluster_params committing = {.pattern = CLUSTER_PUSH_PULL,
                                        .floats = FLOATS,
                                        .tables = 1,
                                        .optimizer = optimizers[optimizer].text,
                                        .commit_every = EVERY};
    struct cluster_params plain = committing;
    struct crew_params params = {options->transport, 1, 1, &cluster_roles, &committing};
    struct crew *crews[2] = {NULL, NULL};
    double ours = 0, theirs = 0;
    enum status status;

    plain.commit_every = 0;
    status = crew_start(&params, &crews[0], error);
    params.argument = &plain;
    if (status == CAIRN_OK)
        status = crew_start(&params, &crews[1], error);
    /* Two generations and a half: the file has its size, buffers are there, and commits come in mid-turn. */
    for (int i = 0; i < 2 && status == CAIRN_OK; i++)
        status = turn(crews[i], 2 * EVERY + EVERY / 2, &ours, error);
    for (uint32_t i = 0; i < options->repetitions && status == CAIRN_OK; i++) {
        status = turn(crews[i % 2], EVERY, i % 2 ? &theirs : &ours, error);
        if (status == CAIRN_OK)
            status = turn(crews[1 - i % 2], EVERY, i % 2 ? &ours : &theirs, error);
        if (status == CAIRN_OK)
            add_pair(&row->step_ms, &row->plain_step_ms, &row->step_ratio, ours, theirs);
    }
    crew_free(crews[0]);
    crew_free(crews[1]);
    return status;
}

/* ---- a generation's bytes */

struct model {
    uint32_t chunks, arrays;
    unsigned char *values; /* [arrays][chunks][CHUNK_BYTES] */
    unsigned char *loaded; /* the same */
};

static size_t model_bytes(const struct model *model)
{
    return (size_t)model->arrays * model->chunks * CHUNK_BYTES;
}

static enum status model_init(struct model *model, uint32_t arrays, struct error *error)
{
    model->arrays = arrays;
    model->chunks = (uint32_t)((FLOATS * sizeof(float) + CHUNK_BYTES - 1) / CHUNK_BYTES);
    model->values = malloc(model_bytes(model));
    model->loaded = malloc(model_bytes(model));
    if (!model->values || !model->loaded)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < model_bytes(model); i++)
        model->values[i] = (unsigned char)(i * 2654435761u >> 24);
    memset(model->loaded, 0, model_bytes(model));
    return CAIRN_OK;
}

static unsigned char *array_of(const struct model *model, unsigned char *base, uint32_t array, uint32_t chunk)
{
    return base + ((size_t)array * model->chunks + chunk) * CHUNK_BYTES;
}

/* ---- ours */

static enum status store_write_all(const struct model *model, struct store *store, uint64_t step,
                                   struct error *error)
{
    struct store_transaction *transaction;
    enum status status = store_begin_write(store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    for (uint32_t chunk = 0; chunk < model->chunks && status == CAIRN_OK; chunk++) {
        struct record record = {step, 0, chunk, model->arrays, CHUNK_BYTES, {NULL}};

        for (uint32_t i = 0; i < model->arrays; i++)
            record.values[i] = array_of(model, model->values, i, chunk);
        status = record_write(transaction, (uint32_t)(step % KEEP), &record, error);
    }
    if (status == CAIRN_OK)
        return store_commit(transaction, error);
    store_abort(transaction);
    return status;
}

static enum status store_load_all(const struct model *model, const char *directory, uint64_t step,
                                  struct error *error)
{
    struct store_transaction *transaction = NULL;
    struct store *store = NULL;
    enum status status = store_open(directory, MIB, &store, error);

    if (status == CAIRN_OK)
        status = store_begin_read(store, &transaction, error);
    for (uint32_t chunk = 0; chunk < model->chunks && status == CAIRN_OK; chunk++) {
        const struct record wanted = {step, 0, chunk, model->arrays, CHUNK_BYTES, {NULL}};
        void *arrays[RECORD_ARRAYS_MAX];

        for (uint32_t i = 0; i < model->arrays; i++)
            arrays[i] = array_of(model, model->loaded, i, chunk);
        status = record_load(transaction, &wanted, arrays, error);
    }
    store_abort(transaction);
    store_close(store);
    return status;
}

/* ---- LMDB alone */

static enum status raw_error(int code, struct error *error)
{
    return code ? error_set(error, CAIRN_IO, "LMDB: %s", mdb_strerror(code)) : CAIRN_OK;
}

static int raw_open(const char *directory, MDB_env **environment)
{
    int code = mdb_env_create(environment);

    if (code == 0)
        code = mdb_env_set_mapsize(*environment, (size_t)4 << 30);
    return code ? code : mdb_env_open(*environment, directory, MDB_WRITEMAP, 0666);
}

static enum status raw_write_all(const struct model *model, MDB_env *environment, uint64_t step,
                                 struct error *error)
{
    MDB_txn *transaction;
    MDB_dbi database;
    int code = mdb_txn_begin(environment, NULL, 0, &transaction);

    if (code == 0)
        code = mdb_dbi_open(transaction, NULL, MDB_INTEGERKEY, &database);
    for (uint32_t i = 0; i < model->arrays * model->chunks && code == 0; i++) {
        uint64_t number = (uint64_t)i * KEEP + step % KEEP;
        MDB_val key = {sizeof(number), &number}, room = {CHUNK_BYTES, NULL};

        code = mdb_put(transaction, database, &key, &room, MDB_RESERVE);
        if (code == 0)
            memcpy(room.mv_data, model->values + (size_t)i * CHUNK_BYTES, CHUNK_BYTES);
    }
    return raw_error(code ? code : mdb_txn_commit(transaction), error);
}

static enum status raw_load_all(const struct model *model, const char *directory, uint64_t step,
                                struct error *error)
{
    MDB_env *environment;
    MDB_txn *transaction;
    MDB_dbi database;
    int code = raw_open(directory, &environment);

    if (code == 0)
        code = mdb_txn_begin(environment, NULL, MDB_RDONLY, &transaction);
    if (code == 0)
        code = mdb_dbi_open(transaction, NULL, 0, &database);
    for (uint32_t i = 0; i < model->arrays * model->chunks && code == 0; i++) {
        uint64_t number = (uint64_t)i * KEEP + step % KEEP;
        MDB_val key = {sizeof(number), &number}, value;

        code = mdb_get(transaction, database, &key, &value);
        if (code == 0)
            memcpy(model->loaded + (size_t)i * CHUNK_BYTES, value.mv_data, CHUNK_BYTES);
    }
    if (code == 0)
        mdb_txn_abort(transaction);
    mdb_env_close(environment);
    return raw_error(code, error);
}

/* ---- writing and loading by turns */

struct disk {
    char directory[PATH_BYTES], ours[PATH_BYTES + 16], raw[PATH_BYTES + 16];
    struct store *store;
    MDB_env *environment;
    uint64_t step;
};

static enum status disk_init(struct disk *disk, struct error *error)
{
    const char *parent = getenv("TMPDIR");

    snprintf(disk->directory, sizeof(disk->directory), "%.64s/cairn-bench-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(disk->directory))
        return error_system(error, errno, "cannot make a directory");
    snprintf(disk->ours, sizeof(disk->ours), "%s/ours", disk->directory);
    snprintf(disk->raw, sizeof(disk->raw), "%s/raw", disk->directory);
    if (mkdir(disk->raw, 0777) != 0)
        return error_system(error, errno, "cannot make a directory");
    return CAIRN_OK;
}

static void folder_clear(const char *directory)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "lock"};
    char path[PATH_BYTES + 32];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

static void disk_fini(struct disk *disk)
{
    store_close(disk->store);
    if (disk->environment)
        mdb_env_close(disk->environment);
    folder_clear(disk->ours);
    folder_clear(disk->raw);
    rmdir(disk->directory);
}

/* Nanoseconds of processor time of this process, and of the clock. */
struct moment {
    double cpu_ns, clock_ns;
};

static struct moment moment_now(void)
{
    struct timespec cpu;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct moment){(double)cpu.tv_sec * 1e9 + (double)cpu.tv_nsec, (double)clock_ns()};
}

/* GB/s, and seconds of processor time a GB. */
struct speed {
    double rate, cpu;
};

static struct speed speed_since(struct moment begin, const struct model *model)
{
    struct moment now = moment_now();
    double bytes = (double)model_bytes(model);

    return (struct speed){bytes / (now.clock_ns - begin.clock_ns), (now.cpu_ns - begin.cpu_ns) / bytes};
}

static enum status writes_turn(const struct model *model, struct disk *disk, struct speed *ours,
                               struct speed *raw, struct error *error)
{
    struct moment begin = moment_now();
    enum status status = store_write_all(model, disk->store, ++disk->step, error);

    *ours = speed_since(begin, model);
    begin = moment_now();
    if (status == CAIRN_OK)
        status = raw_write_all(model, disk->environment, disk->step, error);
    *raw = speed_since(begin, model);
    return status;
}

static enum status writes_measure(const struct options *options, const struct model *model, struct disk *disk,
                                  struct row *row, struct error *error)
{
    struct speed ours, raw;
    enum status status = store_open(disk->ours, MIB, &disk->store, error);

    if (status == CAIRN_OK)
        status = raw_error(raw_open(disk->raw, &disk->environment), error);
    for (int i = 0; i < KEEP + 2 && status == CAIRN_OK; i++) /* until no write makes the file grow */
        status = writes_turn(model, disk, &ours, &raw, error);
    for (uint32_t i = 0; i < options->repetitions && status == CAIRN_OK; i++) {
        status = writes_turn(model, disk, &ours, &raw, error);
        if (status != CAIRN_OK)
            break;
        add_pair(&row->write, &row->raw_write, &row->write_ratio, ours.rate, raw.rate);
        add_pair(&row->write_cpu, &row->raw_write_cpu, &row->write_cpu_ratio, ours.cpu, raw.cpu);
    }
    store_close(disk->store);
    disk->store = NULL;
    if (disk->environment)
        mdb_env_close(disk->environment);
    disk->environment = NULL;
    return status;
}

/* Takes a file out of the page cache, as far as the system does it. */
static void forget(const char *directory)
{
    char path[PATH_BYTES + 32];
    int file;

    snprintf(path, sizeof(path), "%s/data.mdb", directory);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    fdatasync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
}

static enum status loads_turn(const struct model *model, const struct disk *disk, double *ours, double *raw,
                              struct error *error)
{
    uint64_t begin = clock_ns();
    enum status status = store_load_all(model, disk->ours, disk->step, error);

    *ours = (double)model_bytes(model) / (double)(clock_ns() - begin);
    if (status == CAIRN_OK && memcmp(model->loaded, model->values, model_bytes(model)) != 0)
        status = error_set(error, CAIRN_CORRUPT, "what was loaded is not what was written");
    begin = clock_ns();
    if (status == CAIRN_OK)
        status = raw_load_all(model, disk->raw, disk->step, error);
    *raw = (double)model_bytes(model) / (double)(clock_ns() - begin);
    return status;
}

static enum status loads_measure(const struct options *options, const struct model *model,
                                 const struct disk *disk, struct row *row, struct error *error)
{
    double ours, raw;
    enum status status = loads_turn(model, disk, &ours, &raw, error);

    for (uint32_t i = 0; i < options->repetitions && status == CAIRN_OK; i++) {
        status = loads_turn(model, disk, &ours, &raw, error);
        if (status == CAIRN_OK)
            add_pair(&row->load, &row->raw_load, &row->load_ratio, ours, raw);
    }
    for (uint32_t i = 0; i < options->repetitions && status == CAIRN_OK; i++) {
        forget(disk->ours);
        forget(disk->raw);
        status = loads_turn(model, disk, &ours, &raw, error);
        if (status == CAIRN_OK)
            add_pair(&row->cold_load, &row->cold_raw_load, &row->cold_load_ratio, ours, raw);
    }
    return status;
}

static enum status disk_measure(const struct options *options, size_t optimizer, struct row *row,
                                struct error *error)
{
    struct model model = {.values = NULL};
    struct disk disk = {.step = 0};
    enum status status = model_init(&model, optimizers[optimizer].arrays, error);

    if (status == CAIRN_OK)
        status = disk_init(&disk, error);
    if (status == CAIRN_OK)
        status = writes_measure(options, &model, &disk, row, error);
    if (status == CAIRN_OK)
        status = loads_measure(options, &model, &disk, row, error);
    disk_fini(&disk);
    free(model.values);
    free(model.loaded);
    return status;
}

/* ---- output */

static void print_line(const char *what, const char *unit, const struct figure *ours, const char *name,
                       const struct figure *theirs, const struct figure *ratio)
{
    if (ours->count == 0)
        return;
    printf("  %-18s %8.2f (%.2f to %.2f) %s; %s %8.2f (%.2f to %.2f); ratio %.3f (%.3f to %.3f)\n", what,
           figure_median(ours), figure_least(ours), figure_most(ours), unit, name, figure_median(theirs),
           figure_least(theirs), figure_most(theirs), figure_median(ratio), figure_least(ratio),
           figure_most(ratio));
}

static void print_text(const struct row *row)
{
    printf("%s, 25.0 M parameters, medians (least to most):\n", row->optimizer);
    print_line("step, commit/50", "ms", &row->step_ms, "never", &row->plain_step_ms, &row->step_ratio);
    print_line("write, durable", "GB/s", &row->write, "LMDB", &row->raw_write, &row->write_ratio);
    print_line("write, processor", "s/GB", &row->write_cpu, "LMDB", &row->raw_write_cpu,
               &row->write_cpu_ratio);
    print_line("load, cached", "GB/s", &row->load, "LMDB", &row->raw_load, &row->load_ratio);
    print_line("load, from disk", "GB/s", &row->cold_load, "LMDB", &row->cold_raw_load,
               &row->cold_load_ratio);
}

static void print_figure(const char *name, const struct figure *figure, bool is_last)
{
    printf("\"%s\": {\"median\": %.4f, \"min\": %.4f, \"max\": %.4f}%s", name, figure_median(figure),
           figure_least(figure), figure_most(figure), is_last ? "}" : ", ");
}

static void print_json(const struct row *row, bool is_first)
{
    printf("%s\n  {\"optimizer\": \"%s\", \"parameters\": %" PRIu64 ", \"commit_every\": %d, ",
           is_first ? "" : ",", row->optimizer, FLOATS, EVERY);
    print_figure("step_ms", &row->step_ms, false);
    print_figure("step_never_ms", &row->plain_step_ms, false);
    print_figure("step_ratio", &row->step_ratio, false);
    print_figure("write_gb_per_s", &row->write, false);
    print_figure("lmdb_write_gb_per_s", &row->raw_write, false);
    print_figure("write_ratio", &row->write_ratio, false);
    print_figure("write_cpu_s_per_gb", &row->write_cpu, false);
    print_figure("lmdb_write_cpu_s_per_gb", &row->raw_write_cpu, false);
    print_figure("write_cpu_ratio", &row->write_cpu_ratio, false);
    print_figure("load_gb_per_s", &row->load, false);
    print_figure("lmdb_load_gb_per_s", &row->raw_load, false);
    print_figure("load_ratio", &row->load_ratio, false);
    print_figure("cold_load_gb_per_s", &row->cold_load, false);
    print_figure("lmdb_cold_load_gb_per_s", &row->cold_raw_load, false);
    print_figure("cold_load_ratio", &row->cold_load_ratio, true);
}

/* ---- the program */

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'n':
        options->repetitions = (uint32_t)argument_number(argument, FIGURE_SAMPLES_MAX, state);
        return 0;
    case 'o':
        for (options->optimizer = 0; options->optimizer < (int)OPTIMIZERS; options->optimizer++) {
            if (strcmp(optimizers[options->optimizer].name, argument) == 0)
                return 0;
        }
        argp_error(state, "an optimizer is sgd, momentum or adam");
        return 0;
    case 't':
        options->transport = argument_transport(argument, state);
        return 0;
    case 'd':
        options->only_disk = true;
        return 0;
    case 'j':
        options->json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static enum status measure(const struct options *options, size_t optimizer, struct row *row,
                           struct error *error)
{
    enum status status = CAIRN_OK;

    row->optimizer = optimizers[optimizer].name;
    if (!options->only_disk)
        status = steps_measure(options, optimizer, row, error);
    return status == CAIRN_OK ? disk_measure(options, optimizer, row, error) : status;
}

int main(int argc, char **argv)
{
    static const struct argp_option argp_options[] = {
        {"repetitions", 'n', "N", 0, "Turns of each figure (9)", 0},
        {"optimizer", 'o', "sgd|momentum|adam", 0, "Only this one (momentum and adam)", 0},
        {"transport", 't', "tcp|ipc", 0, "Of the steps (tcp)", 0},
        {"disk", 'd', NULL, 0, "Only writing and loading, no steps", 0},
        {"json", 'j', NULL, 0, "One JSON object", 0},
        {0}};
    static const struct argp argp = {argp_options, parse, NULL, "Measures what commits cost.",
                                     NULL,         NULL,  NULL};
    struct options options = {.repetitions = 9, .optimizer = -1, .transport = "tcp"};
    struct error error = {.message = ""};
    enum status status = CAIRN_OK;
    bool is_first = true;

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_FAILURE;
    if (options.json)
        printf("{\"benchmark\": \"commit\", \"rows\": [");
    for (size_t i = 0; i < OPTIMIZERS && status == CAIRN_OK; i++) {
        struct row row = {.optimizer = NULL};

        if (options.optimizer >= 0 ? options.optimizer != (int)i : i == 0)
            continue;
        status = measure(&options, i, &row, &error);
        if (status == CAIRN_OK && options.json)
            print_json(&row, is_first);
        else if (status == CAIRN_OK)
            print_text(&row);
        fflush(stdout);
        is_first = false;
    }
    if (options.json)
        printf("\n]}\n");
    if (status != CAIRN_OK)
        fprintf(stderr, "bench_commit: %s\n", error.message);
    return status == CAIRN_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
