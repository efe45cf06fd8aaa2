/* Dropout on plain tensors, whose order its draws are counted in (compute/dropout.h). Forward saves what it
 * kept, one byte an element: that is cheaper than to draw twice.
 *
 * x, y [samples, shape], saved [samples * elements] bytes. */
#include "compute/dropout.h"

#include "compute/cpu/cpu.h"
#include "compute/cpu/vector.h"

#include <stdlib.h>
#include <string.h>

/* Philox's words of DROPOUT_COUNTERS counters side by side, as philox_words gives them one by one: words[w]
 * holds word w of each. */
#define PHILOX_ROUNDS 10

struct counters {
    uint32_t word[4][DROPOUT_COUNTERS];
};

/* kept[64] for the block whose first counter is `first`. */
static inline __attribute__((always_inline)) void
draw_block(const struct dropout_stream *stream, uint32_t first, uint32_t threshold, uint8_t *restrict kept)
{
    struct counters x;
    uint32_t key_0 = stream->philox.key[0], key_1 = stream->philox.key[1];

    for (uint32_t i = 0; i < DROPOUT_COUNTERS; i++) {
        x.word[0][i] = first + i;
        x.word[1][i] = stream->counter[1];
        x.word[2][i] = stream->counter[2];
        x.word[3][i] = stream->counter[3];
    }
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        for (uint32_t i = 0; i < DROPOUT_COUNTERS; i++) {
            uint64_t product_0 = (uint64_t)0xd2511f53u * x.word[0][i];
            uint64_t product_1 = (uint64_t)0xcd9e8d57u * x.word[2][i];

            x.word[0][i] = (uint32_t)(product_1 >> 32) ^ x.word[1][i] ^ key_0;
            x.word[1][i] = (uint32_t)product_1;
            x.word[2][i] = (uint32_t)(product_0 >> 32) ^ x.word[3][i] ^ key_1;
            x.word[3][i] = (uint32_t)product_0;
        }
        key_0 += 0x9e3779b9u;
        key_1 += 0xbb67ae85u;
    }
    for (uint32_t word = 0; word < 4; word++) {
        for (uint32_t i = 0; i < DROPOUT_COUNTERS; i++)
            kept[word * DROPOUT_COUNTERS + i] = x.word[word][i] >= threshold;
    }
}

/* kept[elements] of one sample; the last block may be cut. */
VECTORED static void draw(const struct dropout_stream *stream, uint32_t threshold, uint8_t *kept,
                          uint64_t elements)
{
    uint64_t block = 0, blocks = elements / DROPOUT_BLOCK;
    uint8_t last[DROPOUT_BLOCK];

    for (; block < blocks; block++)
        draw_block(stream, (uint32_t)(block * DROPOUT_COUNTERS), threshold, kept + block * DROPOUT_BLOCK);
    if (elements % DROPOUT_BLOCK != 0) {
        draw_block(stream, (uint32_t)(block * DROPOUT_COUNTERS), threshold, last);
        memcpy(kept + block * DROPOUT_BLOCK, last, elements % DROPOUT_BLOCK);
    }
}

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    uint64_t elements = shape_elements(&op->spec.input);
    uint8_t *kept = run->saved;

    (void)error;
    if (run->evaluate) {
        memcpy(run->y, run->x, op->input.bytes);
        return CAIRN_OK;
    }
    for (uint32_t sample = 0; sample < op->spec.samples; sample++) {
        struct dropout_stream stream =
            dropout_stream_for(run->seed, run->step, op->spec.layer, run->first_sample + sample);

        draw(&stream, dropout_threshold(op->spec.rate), kept + sample * elements, elements);
    }
    cpu_scale_kept(run->y, run->x, kept, 1 / (1 - op->spec.rate), op->spec.samples * elements);
    return CAIRN_OK;
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    (void)error;
    if (op->spec.input_gradient)
        cpu_scale_kept(run->dx, run->dy, run->saved, 1 / (1 - op->spec.rate),
                       op->spec.samples * shape_elements(&op->spec.input));
    return CAIRN_OK;
}

static void free_op(struct op *op)
{
    free(op);
}

enum status cpu_plan_dropout(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                             struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    struct cpu_op *op = cpu_op_new(sizeof(*op), backend, spec, &ops);

    if (op == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    op->base.saved_bytes = spec->training ? spec->samples * shape_elements(&spec->input) : 0;
    *out = &op->base;
    return CAIRN_OK;
}
