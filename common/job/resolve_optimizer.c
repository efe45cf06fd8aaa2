/* resolve.h, an optimizer: for train.optimizer and for those of tables. */
#include "job/resolve.h"

#include <stdio.h>
#include <string.h>

struct place {
    struct resolve *resolve;
    char path[RESOLVE_PATH_MAX + 16]; /* of the optimizer's arguments */
};

static enum status wrong(const struct place *place, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A message about a key below the place: "file:line: PATH.KEY: ...". */
static enum status wrong(const struct place *place, const char *key, const char *format, ...)
{
    char path[sizeof(place->path) + 64], what[200];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    snprintf(path, sizeof(path), "%s.%s", place->path, key);
    return resolve_wrong(place->resolve, path, "%s", what);
}

static enum status check_pieces(const struct place *place, const struct schedule_spec *schedule)
{
    const char *key = "learning_rate.piecewise_constant_decay";

    if (schedule->values_count != schedule->boundaries_count + 1)
        return wrong(place, key, "%u values with %u boundaries, allowed: one value more than boundaries",
                     schedule->values_count, schedule->boundaries_count);
    for (uint32_t i = 1; i < schedule->boundaries_count; i++) {
        if (schedule->boundaries[i] <= schedule->boundaries[i - 1])
            return wrong(place, key, "boundary %llu after %llu, allowed: ascending boundaries",
                         (unsigned long long)schedule->boundaries[i],
                         (unsigned long long)schedule->boundaries[i - 1]);
    }
    return CAIRN_OK;
}

static enum status resolve_rate(const struct place *place, const struct form_rate *form,
                                struct optimizer_spec *spec)
{
    if (form->constant != NULL) {
        spec->learning_rate = *form->constant;
        return CAIRN_OK;
    }
    for (int type = 0; type < SCHEDULE_COUNT; type++) {
        if (form->of[type] == NULL)
            continue;
        spec->schedule = *form->of[type];
        spec->schedule.type = (enum schedule_type)type;
    }
    if (spec->schedule.warmup_steps != 0 && spec->schedule.warmup_target == 0)
        return wrong(place, "learning_rate.cosine_decay.warmup_steps",
                     "given without warmup_target, allowed: both or neither");
    if (spec->schedule.type == SCHEDULE_PIECEWISE_CONSTANT_DECAY)
        return check_pieces(place, &spec->schedule);
    return CAIRN_OK;
}

/* Keras takes one way of clipping at most. */
static enum status check_clipping(const struct place *place, const struct optimizer_spec *spec)
{
    const char *message = "given beside another, allowed: one of clipnorm, clipvalue and global_clipnorm";

    if (spec->global_clipnorm > 0 && (spec->clipnorm > 0 || spec->clipvalue > 0))
        return wrong(place, "global_clipnorm", "%s", message);
    if (spec->clipvalue > 0 && spec->clipnorm > 0)
        return wrong(place, "clipvalue", "%s", message);
    return CAIRN_OK;
}

enum status resolve_optimizer(struct resolve *resolve, const char *path, const struct form_optimizer *form,
                              struct optimizer_spec *optimizer)
{
    struct place place = {.resolve = resolve};
    const struct form_rate *rate = NULL;
    enum status status;

    for (int type = 0; type < OPTIMIZER_COUNT; type++) {
        if (form->of[type] == NULL)
            continue;
        *optimizer = form->of[type]->spec;
        optimizer->type = (enum optimizer_type)type;
        rate = &form->of[type]->learning_rate;
    }
    BUG_IF(rate == NULL);
    snprintf(place.path, sizeof(place.path), "%s.%s", path, optimizer_type_name(optimizer->type));
    status = resolve_rate(&place, rate, optimizer);
    return status == CAIRN_OK ? check_clipping(&place, optimizer) : status;
}
