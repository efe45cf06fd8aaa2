/* A data set in one comma-separated file: csv_table.h with the readers' interface around it. */
#include "data/csv_table.h"
#include "data/format.h"

#include <stdlib.h>
#include <string.h>

struct csv_reader {
    struct reader base;
    struct csv_table table;
};

static void csv_reader_read(const struct reader *base, uint64_t index, float *features, void *target)
{
    const struct csv_table *table = &((const struct csv_reader *)base)->table;

    memcpy(features, table->features + index * table->feature_columns,
           table->feature_columns * sizeof *table->features);
    memcpy(target, (const float *)table->targets + index * table->target_columns,
           table->target_columns * sizeof(float));
}

static void csv_reader_free(struct reader *base)
{
    struct csv_reader *reader = (struct csv_reader *)base;

    csv_table_fini(&reader->table);
    free(reader);
}

static const struct reader_ops csv_reader_ops = {.read = csv_reader_read, .free = csv_reader_free};

enum status csv_reader_open(const struct data_source *source, const struct reader_wants *wants,
                            struct reader **out, struct error *error)
{
    struct csv_options options = {.header = source->header,
                                  .label_column = source->label_column,
                                  .scale = source->scale,
                                  .wants = wants};
    struct csv_reader *reader;
    enum status status;

    if (source->features == NULL)
        return error_set(error, CAIRN_INVALID, "csv data need a file");
    reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    reader->base.ops = &csv_reader_ops;
    status = csv_table_load(source->features, &options, &reader->table, error);
    reader->base.count = reader->table.rows;
    if (status != CAIRN_OK) {
        csv_reader_free(&reader->base);
        return status;
    }
    *out = &reader->base;
    return CAIRN_OK;
}
