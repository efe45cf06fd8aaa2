/* The parts of a good job file, which tests change. Test code only. */
#ifndef CAIRN_TESTS_GOOD_JOB_H
#define CAIRN_TESTS_GOOD_JOB_H

#include "job/job.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#define HEAD  "name: digits\n"
#define INPUT "model:\n  input_shape: [28, 28, 1]\n  layers:\n"
#define LAYERS                                                                                               \
    "    - conv2d: {filters: 8, kernel_size: 3, activation: relu}\n    - flatten\n    - dense: {units: "     \
    "10}\n"
#define LOSS  "  loss: sparse_categorical_crossentropy\n"
#define MODEL INPUT LAYERS LOSS
#define DATA  "data:\n  train: {format: idx, features: images, labels: labels}\n"
#define TRAIN "train: {epochs: 2, optimizer: adam}\n"
#define GOOD  HEAD MODEL DATA TRAIN

static inline struct job *load(const char *text)
{
    struct error error = {0};
    struct job *job;
    enum status status = job_load_text(text, strlen(text), "job.yaml", "/base", NULL, &job, &error);

    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    return job;
}

#endif
