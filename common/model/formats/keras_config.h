/* Keras's JSON descriptions of a model and of its training, as its HDF5 files carry them: model_config and
 * training_config. Written in the form of Keras 2, which Keras 3 reads as well; read in both forms.
 *
 * Knows nothing of HDF5 or weights. Any thread. Source: Keras's get_config methods as documented, and real
 * files of versions 2.2, 2.3, 3.4 and 3.15. */
#ifndef CAIRN_MODEL_FORMATS_KERAS_CONFIG_H
#define CAIRN_MODEL_FORMATS_KERAS_CONFIG_H

#include "base/status.h"
#include "model/formats/h5.h"
#include "model/graph.h"

#include <stddef.h>

/* The graph's model as a Sequential. Owns: the caller, free(); NULL: out of memory. */
char *keras_model_config(const struct graph *graph, const char *model_name);

/* Optimizer, loss (on logits for the crossentropies) and metrics, for load_model's compile=True.
 * Owns: the caller, free(); NULL: out of memory, or a number that JSON cannot say (NaN). */
char *keras_training_config(const struct model_spec *spec, const struct h5_training *training);

/* One text out of a foreign file; text NULL: it is not there. */
struct keras_text {
    const char *text;
    size_t length;
};

/* The spec of a Sequential or of a functional chain; what is assumed and changed is said at h5_read.
 * Owns: the caller, h5_spec_free. The result still needs graph_new's checks.
 * Errors: CAIRN_CORRUPT (not JSON), INVALID (a member is missing or of a wrong kind), UNSUPPORTED (a layer,
 * argument or loss that Cairn does not have): one line that names the layer and the member. */
enum status keras_config_parse(struct keras_text model_config, struct keras_text training_config,
                               struct model_spec **out, struct error *error) MUST_CHECK;

#endif
