/* The sampler: every training epoch goes through the set once, in parts that fit together. */
#include "check_main.h"
#include "data_jobs.h"

#include "data/sampler.h"

#include <string.h>

/* Goes through a training epoch part by part and counts each sample. */
static void check_epoch(struct sampler *sampler, uint64_t epoch, uint64_t *order)
{
    const struct job *job = sampler->job;
    uint8_t *seen = calloc(sampler->samples, 1);
    uint64_t position = 0;

    for (uint64_t s = 0; s < sampler->steps_per_epoch; s++) {
        uint32_t in_batch = 0;

        for (uint32_t m = 0; m < job->microbatches; m++) {
            struct sampler_range range = sampler_microbatch(sampler, epoch * sampler->steps_per_epoch + s, m);

            ck_assert_uint_eq(range.epoch, epoch);
            ck_assert_uint_eq(range.first, position);
            ck_assert_uint_eq(range.first_sample, in_batch);
            for (uint32_t i = 0; i < range.samples; i++) {
                uint64_t sample = sampler_sample(sampler, range.epoch, range.first + i);

                ck_assert_uint_lt(sample, sampler->samples);
                ck_assert_uint_eq(seen[sample]++, 0);
                order[position++] = sample;
            }
            in_batch += range.samples;
            ck_assert(range.batch_samples >= 1 && range.batch_samples <= job->batch_size);
            if (m + 1 == job->microbatches)
                ck_assert_uint_eq(in_batch, range.batch_samples);
        }
    }
    ck_assert_uint_eq(position, sampler->samples);
    free(seen);
}

START_TEST(each_epoch_is_the_whole_set)
{
    static const struct {
        uint64_t samples;
        uint32_t batch_size, microbatches;
    } rows[] = {{1, 1, 1}, {1, 32, 8}, {7, 3, 3}, {64, 64, 8}, {100, 13, 5}, {1000, 64, 7}, {1001, 1000, 4}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int shuffle = 0; shuffle < 2; shuffle++) {
            struct job job = data_job(rows[i].batch_size, rows[i].microbatches, shuffle);
            uint64_t *first = calloc(rows[i].samples, sizeof *first),
                     *second = calloc(rows[i].samples, sizeof *first);
            struct sampler sampler;

            ck_assert_int_eq(sampler_init(&sampler, &job, rows[i].samples, NULL), CAIRN_OK);
            check_epoch(&sampler, 0, first);
            check_epoch(&sampler, 5, second);
            if (!shuffle)
                for (uint64_t k = 0; k < rows[i].samples; k++)
                    ck_assert_uint_eq(first[k], k);
            if (rows[i].samples >= 64)
                ck_assert_int_eq(memcmp(first, second, rows[i].samples * sizeof *first) == 0, !shuffle);
            check_epoch(&sampler, 0, second);
            ck_assert_mem_eq(first, second, rows[i].samples * sizeof *first);
            sampler_fini(&sampler);
            free(first);
            free(second);
        }
    }
}
END_TEST

START_TEST(the_order_is_the_seed_s)
{
    struct job job = data_job(32, 8, true), other = job;
    struct sampler one, two;
    int same = 0;

    other.seed = 12;
    ck_assert_int_eq(sampler_init(&one, &job, 500, NULL), CAIRN_OK);
    ck_assert_int_eq(sampler_init(&two, &other, 500, NULL), CAIRN_OK);
    for (uint64_t i = 0; i < 500; i++)
        same += sampler_sample(&one, 0, i) == sampler_sample(&two, 0, i);
    ck_assert_int_lt(same, 20);
    /* What a model that was trained yesterday saw: a change here makes every resumed job another one. */
    ck_assert_uint_eq(sampler_sample(&one, 0, 0), 117);
    sampler_fini(&one);
    sampler_fini(&two);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("sampler");
    TCase *order = tcase_create("order");

    tcase_add_test(order, each_epoch_is_the_whole_set);
    tcase_add_test(order, the_order_is_the_seed_s);
    suite_add_tcase(suite, order);
    return suite;
}

CHECK_MAIN(make_suite)
