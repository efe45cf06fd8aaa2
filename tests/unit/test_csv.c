/* Comma-separated files: what is read, and the one line for each way in which they can be wrong. */
#include "check_main.h"
#include "files.h"

#include "data/csv_table.h"
#include "data/format.h"

#include <stdint.h>

static const struct reader_wants two_to_three = {
    .input = {.rank = 1, .dim = {2}}, .target = TARGET_CLASS, .classes = 3};

static enum status parse(const char *text, bool header, const char *label_column,
                         const struct reader_wants *wants, struct csv_table *table, struct error *error)
{
    struct csv_options options = {
        .header = header, .label_column = label_column, .scale = 0.5, .wants = wants};

    *error = (struct error){0};
    return csv_table_parse(text, strlen(text), "data.csv", &options, table, error);
}

static const struct {
    const char *text;
    bool header;
    const char *label_column;
} sound[] = {
    {"a,b,kind\n2,4,1\n-6,8e0,2\n", true, NULL},
    {"a,b,kind\r\n2,4,1\r\n-6,8,2\r\n", true, NULL},
    {"a,b,kind\n2,4,1\n-6,8,2", true, "kind"},
    {"kind,a,b\n1,2,4\n2,-6,8\n", true, "kind"},
    {"a,kind,b\n\n2,1,4\n\n\n-6,2,8\n\n", true, "1"},
    {"2,4,1\n-6,8,2\n", false, NULL},
    {"1,2,4\n2,-6,8\n", false, "0"},
    {"\xef\xbb\xbf"
     "a,b,kind\n 2 ,\t4, 1\n\"-6\",\" 8 \",2\n",
     true, "kind"},
    {"\"a \"\"x\"\"\",\"b,c\",\"the\nkind\"\n2,4,1\n-6,8,2.0\n", true, "the\nkind"},
};

START_TEST(rows_are_read)
{
    struct csv_table table;
    struct error error;

    ck_assert_msg(parse(sound[_i].text, sound[_i].header, sound[_i].label_column, &two_to_three, &table,
                        &error) == CAIRN_OK,
                  "%s", error.message);
    ck_assert_uint_eq(table.rows, 2);
    ck_assert_uint_eq(table.feature_columns, 2);
    ck_assert_float_eq(table.features[0], 1);
    ck_assert_float_eq(table.features[1], 2);
    ck_assert_float_eq(table.features[2], -3);
    ck_assert_float_eq(table.features[3], 4);
    ck_assert_int_eq(((int32_t *)table.targets)[0], 1);
    ck_assert_int_eq(((int32_t *)table.targets)[1], 2);
    csv_table_fini(&table);
}
END_TEST

static const struct {
    const char *text;
    bool header;
    const char *label_column, *message;
} broken[] = {
    {"", true, NULL, "data.csv: the file is empty"},
    {"\n\n", true, NULL, "data.csv: no rows of data"},
    {"a,b,kind\n", true, NULL, "data.csv: no rows of data"},
    {"a,b,kind\n2,4,1\n2,abc,1\n", true, NULL, "data.csv:3: column b: 'abc' is not a number"},
    {"a,b,kind\n2,4,1\n\n2,4x,1\n", true, NULL, "data.csv:4: column b: '4x' is not a number"},
    {"2,4,1\n2,abc,1\n", false, NULL, "data.csv:2: column 1: 'abc' is not a number"},
    {"a,b,kind\n2,,1\n", true, NULL, "data.csv:2: column b: the cell is empty"},
    {"a,b,kind\n2,nan,1\n", true, NULL, "data.csv:2: column b: 'nan' is not a finite number"},
    {"a,b,kind\n2,-inf,1\n", true, NULL, "'-inf' is not a finite number"},
    {"a,b,kind\n2,1e999,1\n", true, NULL, "'1e999' is not a finite number"},
    {"a,b,kind\n2,1e300,1\n", true, NULL, "column b: 5e+299 is outside the range of a float"},
    {"a,b,kind\n2,0x10,1\n", true, NULL, "'0x10' is not a number"},
    {"a,b,kind\n2,4\n", true, NULL, "data.csv:2: 2 cells, the rows before have 3"},
    {"a,b,kind\n2,4,1,5,6\n", true, NULL, "data.csv:2: 5 cells, the rows before have 3"},
    {"a,b,kind\n2,4,3\n", true, NULL,
     "data.csv:2: column kind: 3 is not a class; the model has classes 0 to 2"},
    {"a,b,kind\n2,4,-1\n", true, NULL, "-1 is not a class"},
    {"a,b,kind\n2,4,1.5\n", true, NULL, "1.5 is not a class"},
    {"a,b,kind\n2,4,1\n", true, "kin", "data.csv:1: no column is called 'kin'; did you mean 'kind'?"},
    {"a,b,kind\n2,4,1\n", true, "something",
     "no column is called 'something'; the first of the 3 columns is 'a'"},
    {"a,b,kind\n2,4,1\n", true, "3", "label_column 3: the columns are 0 to 2"},
    {"2,4,1\n", false, "kind", "without a header it is a column's index, 0 to 2"},
    {"a,kind\n2,1\n", true, NULL,
     "2 columns less 1 for the target leave 1 features, the model's input has 2"},
    {"kind\n2\n", true, NULL, "1 columns"},
    {"a,b,kind\n2,4,\"1\n", true, NULL, "the file ends within quotes"},
    {"a,b,kind\n2,4,1\"1\n", true, NULL, "data.csv:2: a quote"},
    {"a,b,kind\n2,4,\"1\"1\n", true, NULL, "data.csv:2: a quote"},
    {"a,b,kind\n2,\"4\n\n5\",1\n", true, NULL, "data.csv:4: column b: '4??5' is not a number"},
    {"a,b,kind\n2,this is a text that goes on and on and on and on,1\n", true, NULL,
     "'this is a text that goes on and on and o...' is not a number"},
};

START_TEST(broken_files_are_refused)
{
    struct csv_table table;
    struct error error;
    enum status status =
        parse(broken[_i].text, broken[_i].header, broken[_i].label_column, &two_to_three, &table, &error);

    ck_assert_msg(status == CAIRN_INVALID && strstr(error.message, broken[_i].message) != NULL,
                  "%d '%s' instead of '%s'", status, error.message, broken[_i].message);
    csv_table_fini(&table);
}
END_TEST

START_TEST(a_missing_quote_is_found_early)
{
    struct csv_options options = {.header = false, .scale = 1, .wants = &two_to_three};
    size_t length = 1u << 20;
    char *text = malloc(length);
    struct csv_table table;
    struct error error = {0};

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < length; i++)
        text[i] = "1,2,0\n"[i % 6];
    text[6] = '"';
    ck_assert_int_eq(csv_table_parse(text, length, "data.csv", &options, &table, &error), CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, "is a closing quote missing?") != NULL, "%s", error.message);
    csv_table_fini(&table);
    free(text);
}
END_TEST

START_TEST(several_targets)
{
    struct reader_wants wants = {
        .input = {.rank = 1, .dim = {1}}, .target = TARGET_FLOAT, .target_elements = 2};
    struct csv_table table;
    struct error error;

    ck_assert_int_eq(parse("x,y,z\n2,0.5,-1\n", true, NULL, &wants, &table, &error), CAIRN_OK);
    ck_assert_float_eq(table.features[0], 1);
    ck_assert_float_eq(((float *)table.targets)[0], 0.5f);
    ck_assert_float_eq(((float *)table.targets)[1], -1);
    csv_table_fini(&table);
    ck_assert_int_eq(parse("x,y,z\n2,0.5,-1\n", true, "x", &wants, &table, &error), CAIRN_OK);
    ck_assert_float_eq(table.features[0], -0.5f);
    csv_table_fini(&table);
    ck_assert_int_eq(parse("x,y,z\n2,0.5,-1\n", true, "z", &wants, &table, &error), CAIRN_INVALID);
    ck_assert_msg(strstr(error.message, "do not fit between column 2 and the last, 2") != NULL, "%s",
                  error.message);
    csv_table_fini(&table);
}
END_TEST

/* Larger than one block of reading, with lines across the blocks' edges, plain and compressed. */
START_TEST(long_files)
{
    enum { ROWS = 40000 };
    size_t capacity = 64 * ROWS, length = 0;
    char *text = malloc(capacity);
    struct data_source source = {.format = DATA_FORMAT_CSV, .scale = 1};

    ck_assert_ptr_nonnull(text);
    for (int i = 0; i < ROWS; i++)
        length += (size_t)snprintf(text + length, capacity - length, "%d,-%d.25,%d\n", i, i, i % 3);
    for (int packed = 0; packed < 2; packed++) {
        struct reader *reader;
        float features[2];
        int32_t label;

        source.features =
            packed ? files_write_gzip("a.csv.gz", text, length) : files_write("a.csv", text, length);
        ck_assert_int_eq(csv_reader_open(&source, &two_to_three, &reader, NULL), CAIRN_OK);
        ck_assert_uint_eq(reader_count(reader), ROWS);
        for (int i = 0; i < ROWS; i++) {
            reader_read(reader, (uint64_t)i, features, &label);
            ck_assert(features[0] == (float)i && features[1] == (float)-(i + 0.25) && label == i % 3);
        }
        reader_free(reader);
    }
    free(text);
}
END_TEST

START_TEST(missing_and_damaged_files)
{
    struct data_source source = {.format = DATA_FORMAT_CSV, .header = true, .scale = 1};
    struct error error = {0};
    struct reader *reader;
    char text[2000];

    source.features = files_path("none.csv");
    ck_assert_int_eq(csv_reader_open(&source, &two_to_three, &reader, &error), CAIRN_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.message, "none.csv: cannot open"));
    source.features = files_folder;
    ck_assert_int_eq(csv_reader_open(&source, &two_to_three, &reader, &error), CAIRN_INVALID);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "0123456789,\n"[i * 2654435761u % 12];
    source.features = files_write_gzip("cut.gz", text, sizeof text);
    ck_assert_int_eq(truncate(source.features, 30), 0);
    ck_assert_int_eq(csv_reader_open(&source, &two_to_three, &reader, &error), CAIRN_CORRUPT);
    ck_assert_msg(strstr(error.message, "cut.gz: truncated") != NULL, "%s", error.message);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("csv");
    TCase *table = tcase_create("table"), *files = tcase_create("files");

    tcase_add_loop_test(table, rows_are_read, 0, sizeof sound / sizeof sound[0]);
    tcase_add_loop_test(table, broken_files_are_refused, 0, sizeof broken / sizeof broken[0]);
    tcase_add_test(table, a_missing_quote_is_found_early);
    tcase_add_test(table, several_targets);
    suite_add_tcase(suite, table);
    tcase_add_checked_fixture(files, files_init, files_fini);
    tcase_add_test(files, long_files);
    tcase_add_test(files, missing_and_damaged_files);
    suite_add_tcase(suite, files);
    return suite;
}

CHECK_MAIN(make_suite)
