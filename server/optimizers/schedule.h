/* Learning-rate schedules, as Keras's of the same names: the rate is a function of the step alone, to the
 * same bits on every machine. Pure; any thread. */
#ifndef CAIRN_SERVER_OPTIMIZERS_SCHEDULE_H
#define CAIRN_SERVER_OPTIMIZERS_SCHEDULE_H

#include "job/optimizer_spec.h"

/* The learning rate of step `step`, 0 being the first. */
double schedule_learning_rate(const struct optimizer_spec *spec, uint64_t step);

#endif
