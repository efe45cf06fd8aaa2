/* Dropout, each element's draw by itself (compute/dropout.h says which). Backward draws again. */
#include "compute/dropout.h"

#include "compute/ref/ref.h"

#include <string.h>

static bool kept(const struct dropout_stream *stream, uint64_t element, float rate)
{
    uint64_t block = element / DROPOUT_BLOCK, within = element % DROPOUT_BLOCK;
    uint32_t counter[4] = {(uint32_t)(block * DROPOUT_COUNTERS + within % DROPOUT_COUNTERS),
                           stream->counter[1], stream->counter[2], stream->counter[3]};
    uint32_t words[4];

    philox_words(stream->philox, counter, words);
    return philox_unit_float(words[within / DROPOUT_COUNTERS]) >= rate;
}

/* to = from where kept, scaled */
static void apply(const struct op_spec *spec, const struct op_run *run, const float *from, float *to)
{
    uint64_t elements = shape_elements(&spec->input);
    float scale = 1 / (1 - spec->rate);

    for (uint32_t sample = 0; sample < spec->samples; sample++) {
        struct dropout_stream stream =
            dropout_stream_for(run->seed, run->step, spec->layer, run->first_sample + sample);

        for (uint64_t i = sample * elements; i < (sample + 1) * elements; i++)
            to[i] = kept(&stream, i - sample * elements, spec->rate) ? from[i] * scale : 0;
    }
}

static void forward(const struct op_spec *spec, const struct op_run *run)
{
    if (run->evaluate)
        memcpy(run->y, run->x, ref_inputs(spec) * sizeof(float));
    else
        apply(spec, run, run->x, run->y);
}

static void backward(const struct op_spec *spec, const struct op_run *run)
{
    if (spec->input_gradient)
        apply(spec, run, run->dy, run->dx);
}

const struct ref_kernel ref_dropout = {forward, backward, NULL};
