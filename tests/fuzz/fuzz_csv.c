/* The csv decoder. The first byte chooses what the model wants and how the label is named. Beyond not
 * crashing: a refusal is one line that names the file, and every value of an accepted table is finite and in
 * its range. */
#include "data/csv_table.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>

static void check_table(const struct csv_table *table, const struct reader_wants *wants)
{
    REQUIRE(table->rows >= 1 && table->feature_columns == shape_elements(&wants->input));
    for (uint64_t i = 0; i < table->rows * table->feature_columns; i++)
        REQUIRE(isfinite(table->features[i]));
    for (uint64_t i = 0; i < table->rows * table->target_columns; i++) {
        if (wants->target == TARGET_CLASS)
            REQUIRE((uint32_t)((int32_t *)table->targets)[i] < wants->classes);
        else
            REQUIRE(isfinite(((float *)table->targets)[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const labels[] = {NULL, "kind", "0", "1"};
    uint8_t choice = size > 0 ? data[0] : 0;
    struct reader_wants wants = {.input = {.rank = 1, .dim = {1 + (choice >> 4 & 3)}},
                                 .target = choice & 1 ? TARGET_FLOAT : TARGET_CLASS,
                                 .classes = 3,
                                 .target_elements = 1 + (choice >> 6)};
    struct csv_options options = {
        .header = choice & 2, .label_column = labels[choice >> 2 & 3], .scale = 0.5, .wants = &wants};
    struct error error = {0};
    struct csv_table table;

    if (size == 0)
        return 0;
    if (csv_table_parse(data + 1, size - 1, "fuzz.csv", &options, &table, &error) == CAIRN_OK)
        check_table(&table, &wants);
    else
        REQUIRE(strncmp(error.message, "fuzz.csv:", 9) == 0 && strchr(error.message, '\n') == NULL);
    csv_table_fini(&table);
    return 0;
}
