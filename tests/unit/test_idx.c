/* idx files: every element type, compressed or not, and one line for each way in which they can be wrong. */
#include "check_main.h"
#include "files.h"

#include "data/format.h"
#include "data/idx.h"

#include <math.h>
#include <stdint.h>

#define BYTES(...) (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__})

static const struct {
    const unsigned char *bytes;
    size_t length;
    double values[2];
} every_type[] = {
    {BYTES(0, 0, 0x08, 1, 0, 0, 0, 2, 255, 1), {255, 1}},
    {BYTES(0, 0, 0x09, 1, 0, 0, 0, 2, 0xff, 0x80), {-1, -128}},
    {BYTES(0, 0, 0x0B, 1, 0, 0, 0, 2, 0x01, 0x02, 0xff, 0xfe), {258, -2}},
    {BYTES(0, 0, 0x0C, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xfd), {65536, -3}},
    {BYTES(0, 0, 0x0D, 1, 0, 0, 0, 2, 0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0), {1.5, -2}},
    {BYTES(0, 0, 0x0E, 1, 0, 0, 0, 2, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0), {1.5, -2}},
};

START_TEST(every_type_is_read)
{
    for (size_t i = 0; i < sizeof every_type / sizeof every_type[0]; i++) {
        struct idx_array array;
        struct error error = {0};

        ck_assert_msg(idx_parse(every_type[i].bytes, every_type[i].length, &array, &error) == CAIRN_OK, "%s",
                      error.message);
        ck_assert_uint_eq(array.count, 2);
        ck_assert_uint_eq(array.elements, 1);
        ck_assert_double_eq(idx_value(&array, 0, 0), every_type[i].values[0]);
        ck_assert_double_eq(idx_value(&array, 1, 0), every_type[i].values[1]);
        ck_assert_int_eq(idx_is_float(&array), i >= 4);
        idx_array_fini(&array);
    }
}
END_TEST

static const struct {
    const unsigned char *bytes;
    size_t length;
    enum status status;
    const char *message;
} broken[] = {
    {BYTES(0), CAIRN_CORRUPT, "truncated: 1 bytes"},
    {BYTES(0x89, 'P', 'N', 'G', 0), CAIRN_CORRUPT, "it begins with 89 50 4e 47"},
    {BYTES(0, 0, 0x0A, 1, 0, 0, 0, 1, 0), CAIRN_CORRUPT, "element type 0x0a is unknown"},
    {BYTES(0, 0, 0x08, 0), CAIRN_CORRUPT, "0 dimensions"},
    {BYTES(0, 0, 0x08, 9, 0, 0, 0, 1), CAIRN_CORRUPT, "9 dimensions"},
    {BYTES(0, 0, 0x08, 2, 0, 0, 0, 1, 0), CAIRN_CORRUPT, "truncated in the idx header"},
    {BYTES(0, 0, 0x08, 1, 0, 0, 0, 0), CAIRN_INVALID, "no elements"},
    {BYTES(0, 0, 0x08, 1, 0, 0, 0, 3, 1, 2), CAIRN_CORRUPT, "promises 3 bytes"},
    {BYTES(0, 0, 0x08, 1, 0, 0, 0, 1, 1, 2), CAIRN_CORRUPT, "follow after the idx array's end"},
    {BYTES(0, 0, 0x0E, 3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255), CAIRN_CORRUPT,
     "too large"},
    {BYTES(0, 0, 0x08, 2, 255, 255, 255, 255, 0, 255, 255, 255), CAIRN_CORRUPT, "promises"},
};

static void check_message(enum status status, enum status wanted, const struct error *error,
                          const char *message)
{
    ck_assert_msg(status == wanted && strstr(error->message, message) != NULL, "%d '%s' instead of %d '%s'",
                  status, error->message, wanted, message);
    ck_assert_ptr_null(strchr(error->message, '\n'));
}

/* From memory, from a file and from a compressed file: the same line. */
START_TEST(broken_files_are_refused)
{
    const char *names[] = {"plain", "packed"};
    struct idx_array array;
    struct error error = {0};
    enum status status = idx_parse(broken[_i].bytes, broken[_i].length, &array, &error);

    check_message(status, broken[_i].status, &error, broken[_i].message);
    idx_array_fini(&array);
    files_write(names[0], broken[_i].bytes, broken[_i].length);
    files_write_gzip(names[1], broken[_i].bytes, broken[_i].length);
    for (int i = 0; i < 2; i++) {
        status = idx_load(files_path(names[i]), &array, &error);
        check_message(status, broken[_i].status, &error, broken[_i].message);
        check_message(status, broken[_i].status, &error, files_path(names[i]));
        idx_array_fini(&array);
    }
}
END_TEST

START_TEST(broken_ways_to_a_file)
{
    unsigned char bytes[4096] = {0, 0, 8, 1, 0, 0, 0x0f, 0xf8};
    struct idx_array array;
    struct error error = {0};
    char *path;
    FILE *file;

    for (size_t i = 8; i < sizeof bytes; i++) /* a Weyl sequence squared: nothing that zlib can shorten */
        bytes[i] = (unsigned char)(i * 2654435761u * (i * 2654435761u) >> 20);
    check_message(idx_load(files_path("none"), &array, &error), CAIRN_NOT_FOUND, &error, "none: cannot open");
    check_message(idx_load(files_folder, &array, &error), CAIRN_INVALID, &error, "not a regular file");
    path = files_write("empty", "", 0);
    check_message(idx_load(path, &array, &error), CAIRN_CORRUPT, &error, "the file is empty");
    path = files_write_gzip("packed", bytes, sizeof bytes);
    ck_assert_int_eq(idx_load(path, &array, &error), CAIRN_OK);
    ck_assert_mem_eq(array.values, bytes + 8, sizeof bytes - 8);
    idx_array_fini(&array);
    ck_assert_int_eq(truncate(path, 1500), 0);
    check_message(idx_load(path, &array, &error), CAIRN_CORRUPT, &error, "the gzip data end too early");
    idx_array_fini(&array);
    path = files_write_gzip("packed", bytes, sizeof bytes);
    file = fopen(path, "r+b");
    ck_assert_int_eq(fseek(file, -6, SEEK_END), 0);
    fputc(0x55, file);
    fclose(file);
    check_message(idx_load(path, &array, &error), CAIRN_CORRUPT, &error, "damaged gzip data");
    idx_array_fini(&array);
}
END_TEST

/* --- as a data set --- */

static const unsigned char images[] = {0, 0, 8, 3,   0, 0, 0, 3, 0, 0, 0, 2, 0,  0,
                                       0, 2, 0, 255, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1};

static struct data_source source_of(const void *features, size_t features_length, const void *label_bytes,
                                    size_t labels_length)
{
    return (struct data_source){.format = DATA_FORMAT_IDX,
                                .features = files_write("images", features, features_length),
                                .labels = files_write("labels", label_bytes, labels_length),
                                .scale = 1.0 / 255};
}

static const struct reader_wants four_to_three = {
    .input = {.rank = 3, .dim = {2, 2, 1}}, .target = TARGET_CLASS, .classes = 3};

START_TEST(samples_are_scaled_and_labelled)
{
    struct data_source source = source_of(images, sizeof images, labels, sizeof labels);
    struct reader *reader;
    float features[4];
    int32_t label;

    ck_assert_int_eq(idx_reader_open(&source, &four_to_three, &reader, NULL), CAIRN_OK);
    ck_assert_uint_eq(reader_count(reader), 3);
    reader_read(reader, 0, features, &label);
    ck_assert_float_eq(features[0], 0);
    ck_assert_float_eq(features[1], 1);
    ck_assert_float_eq(features[2], (float)(2 * (1.0 / 255)));
    ck_assert_int_eq(label, 2);
    reader_read(reader, 2, features, &label);
    ck_assert_float_eq(features[3], (float)(11 * (1.0 / 255)));
    ck_assert_int_eq(label, 1);
    reader_free(reader);
}
END_TEST

START_TEST(float_targets)
{
    static const unsigned char targets[] = {0, 0, 0x0B, 2,    0, 0, 0, 3, 0, 0, 0,    2,
                                            0, 1, 0xff, 0xff, 0, 3, 0, 4, 0, 5, 0x7f, 0xff};
    struct data_source source = source_of(images, sizeof images, targets, sizeof targets);
    struct reader_wants wants = {.input = four_to_three.input, .target = TARGET_FLOAT, .target_elements = 2};
    struct reader *reader;
    float features[4], target[2];
    struct error error = {0};

    ck_assert_int_eq(idx_reader_open(&source, &wants, &reader, NULL), CAIRN_OK);
    reader_read(reader, 0, features, target);
    ck_assert_float_eq(target[0], 1);
    ck_assert_float_eq(target[1], -1);
    reader_read(reader, 2, features, target);
    ck_assert_float_eq(target[1], 32767);
    reader_free(reader);
    wants.target_elements = 1;
    check_message(idx_reader_open(&source, &wants, &reader, &error), CAIRN_INVALID, &error,
                  "a label has 2 elements, the model's loss needs 1");
}
END_TEST

START_TEST(sets_that_do_not_fit_the_model)
{
    static const unsigned char few[] = {0, 0, 8, 1, 0, 0, 0, 2, 0, 1};
    static const unsigned char negative[] = {0, 0, 9, 1, 0, 0, 0, 3, 0, 1, 0xff};
    static const unsigned char half[] = {0, 0, 0x0D, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0x3f, 0, 0, 0, 0, 0, 0, 0};
    static const unsigned char infinite[] = {0, 0, 0x0D, 2, 0, 0, 0, 3, 0,    0,    0, 1,
                                             0, 0, 0,    0, 0, 0, 0, 0, 0x7f, 0x80, 0, 0};
    struct reader_wants wants = four_to_three;
    struct data_source source = source_of(images, sizeof images, few, sizeof few);
    struct reader *reader;
    struct error error = {0};

    check_message(idx_reader_open(&source, &wants, &reader, &error), CAIRN_INVALID, &error,
                  "2 labels for the 3 samples");
    source = source_of(images, sizeof images, negative, sizeof negative);
    check_message(idx_reader_open(&source, &wants, &reader, &error), CAIRN_INVALID, &error,
                  "label -1 (of sample 2) is not a class; the model has classes 0 to 2");
    source = source_of(images, sizeof images, half, sizeof half);
    check_message(idx_reader_open(&source, &wants, &reader, &error), CAIRN_INVALID, &error, "label 0.5");
    source = source_of(images, sizeof images, labels, sizeof labels);
    wants.classes = 2;
    check_message(idx_reader_open(&source, &wants, &reader, &error), CAIRN_INVALID, &error,
                  "label 2 (of sample 0) is not a class; the model has classes 0 to 1");
    wants.input.dim[0] = 3;
    check_message(idx_reader_open(&source, &wants, &reader, &error), CAIRN_INVALID, &error,
                  "a sample has 4 elements, the model's input has 6");
    source = source_of(infinite, sizeof infinite, labels, sizeof labels);
    wants.input = (struct shape){.rank = 1, .dim = {1}};
    check_message(idx_reader_open(&source, &wants, &reader, &error), CAIRN_INVALID, &error,
                  "element 0 of sample 2 is inf");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("idx");
    TCase *format = tcase_create("format"), *set = tcase_create("data set");

    tcase_add_checked_fixture(format, files_init, files_fini);
    tcase_add_test(format, every_type_is_read);
    tcase_add_loop_test(format, broken_files_are_refused, 0, sizeof broken / sizeof broken[0]);
    tcase_add_test(format, broken_ways_to_a_file);
    suite_add_tcase(suite, format);
    tcase_add_checked_fixture(set, files_init, files_fini);
    tcase_add_test(set, samples_are_scaled_and_labelled);
    tcase_add_test(set, float_targets);
    tcase_add_test(set, sets_that_do_not_fit_the_model);
    suite_add_tcase(suite, set);
    return suite;
}

CHECK_MAIN(make_suite)
