/* A data set of two idx files: samples and their labels. Samples stay in memory in the file's own type (a
 * quarter of what floats would need) and are scaled when read; labels are checked and converted once. */
#include "data/format.h"
#include "data/idx.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct idx_reader {
    struct reader base;
    struct idx_array features;
    double scale;
    int32_t *classes; /* [count], TARGET_CLASS */
    float *targets;   /* [count, target_elements], TARGET_FLOAT */
    uint32_t target_elements;
};

#define SCALE_INTO(type)                                                                                     \
    do {                                                                                                     \
        const type *values = (const type *)array->values + first;                                            \
        for (uint64_t i = 0; i < array->elements; i++)                                                       \
            features[i] = (float)((double)values[i] * scale);                                                \
    } while (0)

/* One item, scaled in double so that every format rounds once. */
static void scale_item(const struct idx_array *array, uint64_t item, double scale, float *features)
{
    uint64_t first = item * array->elements;

    switch (array->type) {
    case IDX_UINT8:
        SCALE_INTO(uint8_t);
        break;
    case IDX_INT8:
        SCALE_INTO(int8_t);
        break;
    case IDX_INT16:
        SCALE_INTO(int16_t);
        break;
    case IDX_INT32:
        SCALE_INTO(int32_t);
        break;
    case IDX_FLOAT32:
        SCALE_INTO(float);
        break;
    case IDX_FLOAT64:
        SCALE_INTO(double);
        break;
    }
}

static void idx_reader_read(const struct reader *base, uint64_t index, float *features, void *target)
{
    const struct idx_reader *reader = (const struct idx_reader *)base;

    scale_item(&reader->features, index, reader->scale, features);
    if (reader->classes != NULL)
        *(int32_t *)target = reader->classes[index];
    else
        memcpy(target, reader->targets + index * reader->target_elements,
               reader->target_elements * sizeof *reader->targets);
}

static void idx_reader_free(struct reader *base)
{
    struct idx_reader *reader = (struct idx_reader *)base;

    idx_array_fini(&reader->features);
    free(reader->classes);
    free(reader->targets);
    free(reader);
}

static const struct reader_ops idx_reader_ops = {.read = idx_reader_read, .free = idx_reader_free};

/* Whether every element is a finite float once scaled; integers always are, at a sane scale. */
static enum status check_finite(const struct idx_array *array, double scale, const char *path,
                                struct error *error)
{
    for (uint64_t item = 0; item < array->count; item++)
        for (uint64_t element = 0; element < array->elements; element++)
            if (!isfinite((float)(idx_value(array, item, element) * scale)))
                return error_set(error, CAIRN_INVALID,
                                 "%s: element %llu of sample %llu is %g: not a finite float after scaling",
                                 path, (unsigned long long)element, (unsigned long long)item,
                                 idx_value(array, item, element));
    return CAIRN_OK;
}

static enum status load_features(struct idx_reader *reader, const struct data_source *source,
                                 const struct reader_wants *wants, struct error *error)
{
    uint64_t need = shape_elements(&wants->input);
    enum status status = idx_load(source->features, &reader->features, error);

    if (status != CAIRN_OK)
        return status;
    if (reader->features.elements != need)
        return error_set(error, CAIRN_INVALID, "%s: a sample has %llu elements, the model's input has %llu",
                         source->features, (unsigned long long)reader->features.elements,
                         (unsigned long long)need);
    reader->base.count = reader->features.count;
    reader->scale = source->scale;
    if (idx_is_float(&reader->features) || fabs(source->scale) > 1e28)
        return check_finite(&reader->features, source->scale, source->features, error);
    return CAIRN_OK;
}

static enum status convert_classes(struct idx_reader *reader, const struct idx_array *labels,
                                   const struct data_source *source, uint32_t classes, struct error *error)
{
    reader->classes = malloc(labels->count * sizeof *reader->classes);
    if (reader->classes == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", source->labels);
    for (uint64_t i = 0; i < labels->count; i++) {
        double value = idx_value(labels, i, 0);

        if (!(value >= 0 && value < classes) || value != floor(value))
            return error_set(error, CAIRN_INVALID,
                             "%s: label %g (of sample %llu) is not a class; the model has classes 0 to %u",
                             source->labels, value, (unsigned long long)i, classes - 1);
        reader->classes[i] = (int32_t)value;
    }
    return CAIRN_OK;
}

static enum status convert_targets(struct idx_reader *reader, const struct idx_array *labels,
                                   const struct data_source *source, struct error *error)
{
    enum status status = check_finite(labels, 1, source->labels, error);

    if (status != CAIRN_OK)
        return status;
    reader->target_elements = (uint32_t)labels->elements;
    reader->targets = calloc(labels->count, labels->elements * sizeof *reader->targets);
    if (reader->targets == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", source->labels);
    for (uint64_t i = 0; i < labels->count; i++)
        scale_item(labels, i, 1, reader->targets + i * labels->elements);
    return CAIRN_OK;
}

static enum status load_labels(struct idx_reader *reader, const struct data_source *source,
                               const struct reader_wants *wants, struct error *error)
{
    uint32_t need = wants->target == TARGET_CLASS ? 1 : wants->target_elements;
    struct idx_array labels;
    enum status status = idx_load(source->labels, &labels, error);

    if (status != CAIRN_OK)
        goto out;
    if (labels.count != reader->base.count)
        status = error_set(error, CAIRN_INVALID, "%s: %llu labels for the %llu samples in %s", source->labels,
                           (unsigned long long)labels.count, (unsigned long long)reader->base.count,
                           source->features);
    else if (labels.elements != need)
        status = error_set(error, CAIRN_INVALID, "%s: a label has %llu elements, the model's loss needs %u",
                           source->labels, (unsigned long long)labels.elements, need);
    else if (wants->target == TARGET_CLASS)
        status = convert_classes(reader, &labels, source, wants->classes, error);
    else
        status = convert_targets(reader, &labels, source, error);
out:
    idx_array_fini(&labels);
    return status;
}

enum status idx_reader_open(const struct data_source *source, const struct reader_wants *wants,
                            struct reader **out, struct error *error)
{
    struct idx_reader *reader;
    enum status status;

    if (source->features == NULL || source->labels == NULL)
        return error_set(error, CAIRN_INVALID, "idx data need two files: features and labels");
    reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    reader->base.ops = &idx_reader_ops;
    status = load_features(reader, source, wants, error);
    if (status == CAIRN_OK)
        status = load_labels(reader, source, wants, error);
    if (status != CAIRN_OK) {
        idx_reader_free(&reader->base);
        return status;
    }
    *out = &reader->base;
    return CAIRN_OK;
}
