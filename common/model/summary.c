/* The table of a model's layers, as Keras's Model.summary prints it. */
#include "model/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_TEXT_MAX 32
#define CELL_MAX        160

struct columns {
    int name, shape, parameters; /* widths */
};

/* 1199882 as 1,199,882 */
static const char *grouped(uint64_t number, char text[NUMBER_TEXT_MAX])
{
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, number), at = 0;

    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

/* The memory of so many floats, in Keras's units (of 1024). */
static const char *memory_text(uint64_t floats, char text[NUMBER_TEXT_MAX])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double size = (double)floats * sizeof(float);
    size_t unit = 0;

    while (size >= 1024.0 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        size /= 1024.0;
        unit++;
    }
    snprintf(text, NUMBER_TEXT_MAX, "%.2f %s", size, units[unit]);
    return text;
}

static void name_cell(const struct graph_layer *layer, char cell[CELL_MAX])
{
    snprintf(cell, CELL_MAX, "%s (%s)", layer->spec->name, layer_class_name(layer->spec->type));
}

/* "(None, 26, 26, 32)": None stands for the samples. */
static void shape_cell(const struct graph_layer *layer, char cell[CELL_MAX])
{
    int length = snprintf(cell, CELL_MAX, "(None");

    for (uint32_t i = 0; i < layer->output.rank; i++)
        length += snprintf(cell + length, CELL_MAX - (size_t)length, ", %u", layer->output.dim[i]);
    snprintf(cell + length, CELL_MAX - (size_t)length, ")");
}

static uint64_t layer_elements(const struct graph *graph, const struct graph_layer *layer)
{
    uint64_t elements = 0;

    for (uint32_t i = 0; i < layer->parameter_count; i++)
        elements += graph->parameters[layer->first_parameter + i].elements;
    return elements;
}

static void widen(int *width, const char *cell)
{
    int length = (int)strlen(cell);

    if (length > *width)
        *width = length;
}

static struct columns measure(const struct graph *graph)
{
    struct columns columns = {28, 24, 12};
    char cell[CELL_MAX], number[NUMBER_TEXT_MAX];

    for (uint32_t i = 0; i < graph->layer_count; i++) {
        name_cell(&graph->layers[i], cell);
        widen(&columns.name, cell);
        shape_cell(&graph->layers[i], cell);
        widen(&columns.shape, cell);
        widen(&columns.parameters, grouped(layer_elements(graph, &graph->layers[i]), number));
    }
    return columns;
}

static void print_rule(FILE *file, const struct columns *columns, char sign)
{
    for (int i = 0; i < columns->name + columns->shape + columns->parameters + 6; i++)
        fputc(sign, file);
    fputc('\n', file);
}

static void print_row(FILE *file, const struct columns *columns, const char *name, const char *shape,
                      const char *parameters)
{
    fprintf(file, " %-*s  %-*s  %*s\n", columns->name, name, columns->shape, shape, columns->parameters,
            parameters);
}

static void print_total(FILE *file, const char *what, uint64_t elements)
{
    char number[NUMBER_TEXT_MAX], memory[NUMBER_TEXT_MAX];

    fprintf(file, "%s params: %s (%s)\n", what, grouped(elements, number), memory_text(elements, memory));
}

void graph_print_summary(const struct graph *graph, const char *model_name, FILE *file)
{
    struct columns columns = measure(graph);
    char name[CELL_MAX], shape[CELL_MAX], number[NUMBER_TEXT_MAX];

    fprintf(file, "Model: \"%s\"\n", model_name);
    print_rule(file, &columns, '_');
    print_row(file, &columns, "Layer (type)", "Output Shape", "Param #");
    print_rule(file, &columns, '=');
    for (uint32_t i = 0; i < graph->layer_count; i++) {
        const struct graph_layer *layer = &graph->layers[i];

        name_cell(layer, name);
        shape_cell(layer, shape);
        print_row(file, &columns, name, shape, grouped(layer_elements(graph, layer), number));
    }
    print_rule(file, &columns, '=');
    print_total(file, "Total", graph->trainable);
    print_total(file, "Trainable", graph->trainable);
    print_total(file, "Non-trainable", 0);
    print_rule(file, &columns, '_');
}
