/* A small job with data of its own in a temporary folder: a convolutional network over 6 x 6 images of three
 * kinds, whose parameters make several chunks. The last batch of a training epoch is so short that some of
 * its microbatches are empty, and the validation set does not divide evenly. */
#ifndef CAIRN_TESTS_WORKER_FIXTURE_H
#define CAIRN_TESTS_WORKER_FIXTURE_H

#include "check_main.h"
#include "folder.h"
#include "job/job.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FIXTURE_SIDE         6
#define FIXTURE_TRAINING     53 /* samples: 3 batches of 16 and one of 5 */
#define FIXTURE_VALIDATION   13
#define FIXTURE_MICROBATCHES 8
#define FIXTURE_STEPS        8 /* of two training epochs */

struct fixture {
    char folder[FOLDER_BYTES];
    char text[4096]; /* the job file */
};

static inline void fixture_big_endian(unsigned char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> (24 - 8 * i));
}

static inline void fixture_write(const struct fixture *fixture, const char *name, const unsigned char *bytes,
                                 size_t length)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", fixture->folder, name);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, length, file), length);
    fclose(file);
}

/* Class c is bright in rows 2c and 2c + 1. */
static inline void fixture_write_images(const struct fixture *fixture, const char *name, uint32_t count)
{
    unsigned char bytes[16 + 64 * FIXTURE_SIDE * FIXTURE_SIDE] = {0, 0, 8, 3};
    size_t length = 16;
    uint32_t noise = count;

    ck_assert_uint_le(count, 64);
    fixture_big_endian(bytes + 4, count);
    fixture_big_endian(bytes + 8, FIXTURE_SIDE);
    fixture_big_endian(bytes + 12, FIXTURE_SIDE);
    for (uint32_t i = 0; i < count * FIXTURE_SIDE * FIXTURE_SIDE; i++) {
        uint32_t row = i / FIXTURE_SIDE % FIXTURE_SIDE, sample = i / (FIXTURE_SIDE * FIXTURE_SIDE);

        noise = noise * 1664525u + 1013904223u;
        bytes[length++] = (unsigned char)((row / 2 == sample % 3 ? 128 : 0) + (noise >> 25));
    }
    fixture_write(fixture, name, bytes, length);
}

static inline void fixture_write_labels(const struct fixture *fixture, const char *name, uint32_t count)
{
    unsigned char bytes[8 + 64] = {0, 0, 8, 1};

    fixture_big_endian(bytes + 4, count);
    for (uint32_t i = 0; i < count; i++)
        bytes[8 + i] = (unsigned char)(i % 3);
    fixture_write(fixture, name, bytes, 8 + count);
}

/* Makes the folder, its data, and the job's text with an optimizer and more lines at its end. */
static inline void fixture_make(struct fixture *fixture, const char *optimizer, const char *more)
{
    folder_make(fixture->folder);
    fixture_write_images(fixture, "train-images", FIXTURE_TRAINING);
    fixture_write_labels(fixture, "train-labels", FIXTURE_TRAINING);
    fixture_write_images(fixture, "test-images", FIXTURE_VALIDATION);
    fixture_write_labels(fixture, "test-labels", FIXTURE_VALIDATION);
    snprintf(fixture->text, sizeof(fixture->text),
             "name: small\n"
             "seed: 3\n"
             "model:\n"
             "  input_shape: [6, 6, 1]\n"
             "  layers:\n"
             "    - conv2d: {filters: 4, kernel_size: 3, activation: relu}\n"
             "    - max_pooling2d: {pool_size: 2}\n"
             "    - dropout: {rate: 0.2}\n"
             "    - flatten\n"
             "    - dense: {units: 256, activation: relu}\n"
             "    - dense: {units: 256, activation: relu}\n"
             "    - dense: {units: 3}\n"
             "  loss: sparse_categorical_crossentropy\n"
             "  metrics: [accuracy]\n"
             "data:\n"
             "  train: {format: idx, features: train-images, labels: train-labels, scale: 1/255}\n"
             "  validation: {format: idx, features: test-images, labels: test-labels, scale: 1/255}\n"
             "train:\n"
             "  epochs: 2\n"
             "  batch_size: 16\n"
             "  microbatches: %d\n"
             "  commit_every: 1000000\n"
             "  optimizer: %s\n%s",
             FIXTURE_MICROBATCHES, optimizer, more);
}

static inline void fixture_remove(const struct fixture *fixture)
{
    folder_remove(fixture->folder);
}

static inline struct job *fixture_job(const struct fixture *fixture)
{
    static const struct job_overrides none;
    struct job *job = NULL;
    struct error error = {.message = ""};

    ck_assert_msg(job_load_text(fixture->text, strlen(fixture->text), "job.yaml", fixture->folder, &none,
                                &job, &error) == CAIRN_OK,
                  "%s", error.message);
    return job;
}

#endif
