/* The parts of reading Keras's JSON: checked members, the order of layers, and the loss. Inside formats/
 * only. All JSON here is foreign: a missing member or one of another kind gives an error, never a crash. */
#ifndef CAIRN_MODEL_FORMATS_KERAS_JSON_H
#define CAIRN_MODEL_FORMATS_KERAS_JSON_H

#include "base/status.h"
#include "model/spec.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A whole number from 1 to UINT32_MAX. Errors: CAIRN_INVALID. */
enum status keras_json_whole(const json_t *value, uint32_t *out, struct error *error) MUST_CHECK;

/* Member `key` as such a number. Errors name the key. */
enum status keras_json_count(const json_t *object, const char *key, uint32_t *out,
                             struct error *error) MUST_CHECK;

/* Member `key` as two of them: [a, b], or a for [a, a]. */
enum status keras_json_pair(const json_t *object, const char *key, uint32_t out[2],
                            struct error *error) MUST_CHECK;

/* The class_name of a serialised object; "" when there is none. Borrowed. */
const char *keras_json_class(const json_t *object);

/* Whether a class or function name ("GlorotUniform", "glorot_uniform") means the same as `name` (in lower
 * case with underscores). */
bool keras_json_same_name(const char *class, const char *name);

/* Replaces control characters in a message, as foreign text may be in it, so that it stays one line. NULL is
 * allowed. */
void keras_json_one_line(struct error *error);

/* The layers of a model from the input to the output, without the input layer. */
struct keras_chain {
    const json_t *input_shape; /* [batch, ...]; NULL: not said. All borrowed from the JSON */
    const json_t *layers[MODEL_LAYERS_MAX];
    uint32_t count; /* at least 1 */
};

/* Orders the layers of a Sequential or a functional model.
 * Errors: CAIRN_UNSUPPORTED: branches, several inputs or outputs, nested models; INVALID. */
enum status keras_chain_read(const json_t *model, struct keras_chain *chain, struct error *error) MUST_CHECK;

/* Sets the spec's loss and metrics from training_config (NULL: from the last layer), and makes a final
 * softmax or sigmoid linear where the loss is a crossentropy. Errors: CAIRN_UNSUPPORTED, INVALID. */
enum status keras_training_read(const json_t *training, struct model_spec *spec,
                                struct error *error) MUST_CHECK;

#endif
