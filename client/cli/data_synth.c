/* cairn data: makes data sets. One so far: `cairn data synth digits`, in idx files with MNIST's names. */
#include "command.h"
#include "commands.h"
#include "synth_digits.h"

#include "base/new_file.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Test samples are numbered from here, so that the test set does not depend on how many there are to train.
 */
#define FIRST_TEST_SAMPLE (UINT64_C(1) << 32)
#define SAMPLES_MAX       10000000

struct digits_settings {
    const char *output;
    int64_t train, test, seed, json;
};

static const struct setting rows[] = {
    {.name = "output",
     .letter = 'o',
     .type = SETTING_TEXT,
     .required = 1,
     .value_name = "DIR",
     .help = "where the four files go; made when it is not there",
     .offset = offsetof(struct digits_settings, output)},
    {.name = "train",
     .type = SETTING_INTEGER,
     .fallback = "60000",
     .minimum = 1,
     .maximum = SAMPLES_MAX,
     .value_name = "N",
     .help = "images to train on",
     .offset = offsetof(struct digits_settings, train)},
    {.name = "test",
     .type = SETTING_INTEGER,
     .fallback = "10000",
     .minimum = 1,
     .maximum = SAMPLES_MAX,
     .value_name = "N",
     .help = "images to test on",
     .offset = offsetof(struct digits_settings, test)},
    {.name = "seed",
     .type = SETTING_INTEGER,
     .fallback = "0",
     .minimum = 0,
     .maximum = INT64_MAX,
     .value_name = "S",
     .help = "another seed gives other images",
     .offset = offsetof(struct digits_settings, seed)},
    SETTING_ROW_JSON(struct digits_settings),
};

static const struct settings_table table = {
    "cairn data synth digits",
    "Draws 28x28 images of digits and writes them as idx files with MNIST's names. "
    "The same seed gives the same files.",
    rows, sizeof(rows) / sizeof(rows[0])};

/* Makes a folder and those above it. */
static enum status make_folder(const char *path, struct error *error)
{
    char *part = strdup(path);
    enum status status = CAIRN_OK;

    if (part == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (char *slash = part; slash != NULL && status == CAIRN_OK;) {
        slash = strchr(slash + 1, '/');
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            status = error_system(error, errno, "cannot make %s", part);
        if (slash != NULL)
            *slash = '/';
    }
    free(part);
    return status;
}

static enum status open_file(struct new_file *new_file, const char *folder, const char *set, const char *what,
                             struct error *error)
{
    char path[NEW_FILE_PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/%s-%s-ubyte", folder, set, what);

    if (length < 0 || length >= NEW_FILE_PATH_BYTES)
        return error_set(error, CAIRN_INVALID, "the path is too long: %.100s...", folder);
    return new_file_open(new_file, path, error);
}

/* The header of unsigned bytes with `rank` dimensions. */
static enum status write_header(struct new_file *new_file, uint32_t rank, const uint32_t *dimensions,
                                struct error *error)
{
    uint32_t header[4] = {htobe32(0x00000800 | rank)};

    for (uint32_t i = 0; i < rank; i++)
        header[1 + i] = htobe32(dimensions[i]);
    return new_file_write(new_file, header, (1 + rank) * sizeof header[0], error);
}

/* Draws `count` samples from number `first` into the images file; labels[count]. */
static enum status write_images(struct new_file *new_file, uint64_t seed, uint64_t first, uint32_t count,
                                uint8_t *labels, struct error *error)
{
    uint32_t dimensions[3] = {count, SYNTH_DIGITS_SIDE, SYNTH_DIGITS_SIDE};
    uint8_t pixels[SYNTH_DIGITS_PIXELS];
    enum status status = write_header(new_file, 3, dimensions, error);

    for (uint32_t i = 0; i < count && status == CAIRN_OK; i++) {
        labels[i] = synth_digits_draw(seed, first + i, pixels);
        status = new_file_write(new_file, pixels, sizeof pixels, error);
    }
    return status;
}

/* The two files of one set. Both are whole before one of them gets its name. */
static enum status write_set(const char *folder, const char *set, uint64_t seed, uint64_t first,
                             uint32_t count, struct error *error)
{
    struct new_file images = {0}, labels = {0};
    uint8_t *classes = malloc(count);
    enum status status;

    if (classes == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = open_file(&images, folder, set, "images-idx3", error);
    if (status == CAIRN_OK)
        status = open_file(&labels, folder, set, "labels-idx1", error);
    if (status == CAIRN_OK)
        status = write_images(&images, seed, first, count, classes, error);
    if (status == CAIRN_OK)
        status = write_header(&labels, 1, &count, error);
    if (status == CAIRN_OK)
        status = new_file_write(&labels, classes, count, error);
    if (status == CAIRN_OK)
        status = new_file_finish(&images, error);
    if (status == CAIRN_OK)
        status = new_file_finish(&labels, error);
    new_file_fini(&images);
    new_file_fini(&labels);
    free(classes);
    return status;
}

static int report(const struct digits_settings *settings)
{
    if (settings->json)
        return command_print_json(json_pack("{s:s, s:I, s:I, s:I}", "output", settings->output, "train",
                                            (json_int_t)settings->train, "test", (json_int_t)settings->test,
                                            "seed", (json_int_t)settings->seed))
                   ? EXIT_DONE
                   : EXIT_FAILED;
    printf("%s: %" PRId64 " images to train on and %" PRId64 " to test on, seed %" PRId64 "\n",
           settings->output, settings->train, settings->test, settings->seed);
    return EXIT_DONE;
}

static int synth_digits(int argc, char **argv)
{
    struct digits_settings settings;
    struct error error;
    enum status status;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    status = make_folder(settings.output, &error);
    if (status == CAIRN_OK)
        status =
            write_set(settings.output, "train", (uint64_t)settings.seed, 0, (uint32_t)settings.train, &error);
    if (status == CAIRN_OK)
        status = write_set(settings.output, "t10k", (uint64_t)settings.seed, FIRST_TEST_SAMPLE,
                           (uint32_t)settings.test, &error);
    if (status != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    return report(&settings);
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int command_data(int argc, char **argv)
{
    static const char usage[] = "Usage: cairn data synth digits --output DIR [options]\n\n"
                                "Makes data sets. \"cairn data synth digits --help\" shows the options.\n";
    struct error error;

    if (argc >= 3 && strcmp(argv[1], "synth") == 0 && strcmp(argv[2], "digits") == 0)
        return synth_digits(argc - 2, argv + 2);
    if (argc >= 2 && (is_help(argv[1]) || (argc >= 3 && strcmp(argv[1], "synth") == 0 && is_help(argv[2])))) {
        fputs(usage, stdout);
        return EXIT_DONE;
    }
    if (argc >= 2 && strcmp(argv[1], "synth") != 0)
        (void)error_set(&error, CAIRN_INVALID, "\"%.64s\" is not known; allowed: synth digits", argv[1]);
    else if (argc >= 3)
        (void)error_set(&error, CAIRN_INVALID, "there is no set \"%.64s\" to draw; allowed: digits", argv[2]);
    else
        (void)error_set(&error, CAIRN_INVALID, "say what to make: cairn data synth digits --output DIR");
    return command_fail("cairn data", EXIT_USAGE, &error);
}
