/* Keras's HDF5 model file (legacy whole-model format, version 2): what load_model opens.
 * model_config (JSON), training_config, keras_version, backend attributes; group model_weights with
 * layer_names and, a layer, weight_names and datasets in Keras's shapes. Written with libhdf5, JSON with
 * jansson. HDF5 is not thread-safe as Debian builds it: one thread of a process may be in here.
 * Source: Keras 2/3 saving/legacy/hdf5_format.py's file layout as documented; ../data notes on real files. */
#ifndef CAIRN_MODEL_FORMATS_H5_H
#define CAIRN_MODEL_FORMATS_H5_H

#include "base/status.h"
#include "model/graph.h"

#define H5_ARGUMENTS_MAX 16

enum h5_argument_kind { H5_NUMBER, H5_WHOLE, H5_BOOLEAN };

/* One member of a Keras config. */
struct h5_argument {
    const char *name;
    enum h5_argument_kind kind;
    double number; /* a boolean: 0 or 1 */
};

/* A Keras object: its class and config; texts are Keras's names. */
struct h5_object {
    const char *class_name;
    uint32_t argument_count;
    struct h5_argument arguments[H5_ARGUMENTS_MAX];
};

/* What training_config says besides the model. All pointers are borrowed. */
struct h5_training {
    struct h5_object optimizer; /* without its learning_rate */
    double learning_rate;       /* when schedule.class_name is NULL */
    struct h5_object schedule;  /* of the learning rate; class_name NULL: none */
    const uint64_t *boundaries; /* PiecewiseConstantDecay's */
    const double *values;
    uint32_t boundaries_count, values_count; /* 0: the schedule has no such lists */
};

/* Writes the model to `path` as base/new_file.h does: a failure leaves what was there. weights: the graph's
 * address space. training may be NULL. Errors: those of new_file: a line with the path. */
enum status h5_write(const char *path, const struct graph *graph, const char *model_name,
                     const float *weights, const struct h5_training *training,
                     struct error *error) MUST_CHECK;

/* Reads a model file written by Cairn or by Keras 2 or 3 (Sequential, or a functional chain, of the layer
 * types that Cairn has): spec, and weights laid out in the address space of graph_new(spec).
 * Owns: *spec (and its layers) and *weights are the caller's: h5_spec_free, free. When training_config is
 * missing, loss and metrics follow from the last layer: softmax and sigmoid mean a crossentropy and accuracy,
 * anything else the squared error. A final softmax/sigmoid with a crossentropy is turned into logits
 * (activation linear), which is the same model.
 * Errors: CAIRN_INVALID, CAIRN_CORRUPT, CAIRN_UNSUPPORTED naming the file and what in it. Every size and
 * string that libhdf5 gives is checked here; libhdf5 itself may still hang on a file made to harm it (1.10
 * does on some damaged heaps), so only files of trusted origin are to be opened. */
enum status h5_read(const char *path, struct model_spec **spec, float **weights,
                    struct error *error) MUST_CHECK;

/* As h5_read, from a file's bytes in memory; name is for messages. */
enum status h5_parse(const void *bytes, size_t length, const char *name, struct model_spec **spec,
                     float **weights, struct error *error) MUST_CHECK;

void h5_spec_free(struct model_spec *spec);

#endif
