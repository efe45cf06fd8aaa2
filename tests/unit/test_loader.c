/* The loader: what takers get is what the sampler says, whatever the order, the depth and the number of
 * takers; closing wakes all who wait. Run under ThreadSanitizer as well. */
#include "check_main.h"
#include "data_jobs.h"

#include "data/loader.h"
#include "data/sampler.h"

#include <pthread.h>
#include <stdatomic.h>

struct setting {
    uint64_t samples;
    uint32_t batch_size, microbatches, span_begin, span_end, depth, takers;
    uint64_t first_step, final_step;
    bool backwards; /* takers go through a step's microbatches from last to first */
};

static const struct setting settings[] = {
    {100, 10, 5, 0, 5, 2, 1, 0, 40, false},   {100, 13, 5, 2, 3, 2, 1, 3, 60, false},
    {1000, 64, 8, 0, 8, 8, 2, 0, 100, false}, {1000, 64, 8, 0, 8, 2, 4, 10, 100, false},
    {1000, 64, 8, 0, 8, 3, 4, 10, 100, true}, {57, 50, 16, 3, 16, 6, 3, 0, 100, true},
    {500, 32, 32, 0, 32, 2, 8, 0, 50, true},  {3, 8, 8, 0, 8, 16, 3, 0, 30, false},
};

struct crowd {
    const struct setting *setting;
    const struct job *job;
    struct loader *loader;
    atomic_uint next_taker;
    atomic_ullong taken;
};

static void check_microbatch(struct sampler *sampler, const struct microbatch *microbatch, uint64_t step,
                             uint32_t index)
{
    struct sampler_range range = sampler_microbatch(sampler, step, index);

    ck_assert_uint_eq(microbatch->step, step);
    ck_assert_uint_eq(microbatch->index, index);
    ck_assert_uint_eq(microbatch->samples, range.samples);
    ck_assert_uint_eq(microbatch->first_sample, range.first_sample);
    ck_assert_uint_eq(microbatch->batch_samples, range.batch_samples);
    ck_assert_uint_eq((uintptr_t)microbatch->features % 64, 0);
    for (uint32_t i = 0; i < range.samples; i++) {
        uint64_t sample = sampler_sample(sampler, range.epoch, range.first + i);

        ck_assert(microbatch->features[2 * i] == (float)sample);
        ck_assert(microbatch->features[2 * i + 1] == (float)sample + 0.5f);
        ck_assert(((int32_t *)microbatch->targets)[i] == (int32_t)(sample % 10));
    }
}

/* Taker k of n takes every n-th microbatch of the span of every step. */
static void *take_share(void *context)
{
    struct crowd *crowd = context;
    const struct setting *setting = crowd->setting;
    uint32_t taker = atomic_fetch_add(&crowd->next_taker, 1), span = setting->span_end - setting->span_begin;
    struct sampler sampler;

    ck_assert_int_eq(sampler_init(&sampler, crowd->job, setting->samples, NULL), CAIRN_OK);
    for (uint64_t step = setting->first_step; step < setting->final_step; step++) {
        for (uint32_t i = 0; i < span; i++) {
            uint32_t index = setting->span_begin + (setting->backwards ? span - 1 - i : i);
            struct microbatch *microbatch;

            if (index % setting->takers != taker)
                continue;
            microbatch = loader_take(crowd->loader, step, index);
            ck_assert_ptr_nonnull(microbatch);
            check_microbatch(&sampler, microbatch, step, index);
            loader_give(crowd->loader, microbatch);
            atomic_fetch_add(&crowd->taken, 1);
        }
    }
    sampler_fini(&sampler);
    return NULL;
}

static struct loader *start(const struct setting *setting, const struct job *job, const struct reader *reader)
{
    struct loader_params params = {.job = job,
                                   .reader = reader,
                                   .wants = counting_wants,
                                   .first_step = setting->first_step,
                                   .final_step = setting->final_step,
                                   .span_begin = setting->span_begin,
                                   .span_end = setting->span_end,
                                   .depth = setting->depth};
    struct loader *loader;

    ck_assert_int_eq(loader_start(&params, &loader, NULL), CAIRN_OK);
    return loader;
}

START_TEST(takers_get_what_the_sampler_says)
{
    const struct setting *setting = &settings[_i];
    struct job job = data_job(setting->batch_size, setting->microbatches, true);
    struct reader reader = counting_reader(setting->samples);
    struct crowd crowd = {.setting = setting, .job = &job, .loader = start(setting, &job, &reader)};
    pthread_t threads[8];

    for (uint32_t i = 0; i < setting->takers; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_share, &crowd), 0);
    for (uint32_t i = 0; i < setting->takers; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&crowd.taken), (setting->final_step - setting->first_step) *
                                                     (setting->span_end - setting->span_begin));
    loader_stop(crowd.loader);
}
END_TEST

/* The same microbatch may be taken again, and a step may be gone back to. */
START_TEST(any_order_is_served)
{
    static const struct setting setting = {200, 20, 4, 0, 4, 2, 1, 0, 100, false};
    static const uint64_t steps[] = {0, 50, 3, 3, 99, 0};
    struct job job = data_job(setting.batch_size, setting.microbatches, true);
    struct reader reader = counting_reader(setting.samples);
    struct loader *loader = start(&setting, &job, &reader);
    struct sampler sampler;

    ck_assert_int_eq(sampler_init(&sampler, &job, setting.samples, NULL), CAIRN_OK);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct microbatch *microbatch = loader_take(loader, steps[i], (uint32_t)i % 4);

        check_microbatch(&sampler, microbatch, steps[i], (uint32_t)i % 4);
        loader_give(loader, microbatch);
    }
    sampler_fini(&sampler);
    loader_stop(loader);
}
END_TEST

static void *take_of_step_1(void *context)
{
    struct crowd *crowd = context;

    return loader_take(crowd->loader, 1, atomic_fetch_add(&crowd->next_taker, 1));
}

/* Both slots are held here, so nobody else gets anything before the loader is closed. */
static void close_on_waiters(const struct setting *setting, int round)
{
    struct job job = data_job(setting->batch_size, setting->microbatches, false);
    struct reader reader = counting_reader(setting->samples);
    struct crowd crowd = {.setting = setting, .job = &job, .loader = start(setting, &job, &reader)};
    struct microbatch *held[2] = {loader_take(crowd.loader, 0, 0), loader_take(crowd.loader, 0, 1)};
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_of_step_1, &crowd), 0);
    for (int i = 0; i < round; i++)
        sched_yield();
    loader_close(crowd.loader);
    loader_close(crowd.loader);
    for (int i = 0; i < 4; i++) {
        void *result;

        pthread_join(threads[i], &result);
        ck_assert_ptr_null(result);
    }
    loader_give(crowd.loader, held[0]);
    loader_give(crowd.loader, held[1]);
    ck_assert_ptr_null(loader_take(crowd.loader, 0, 0));
    loader_stop(crowd.loader);
}

START_TEST(closing_wakes_all)
{
    static const struct setting setting = {100, 8, 4, 0, 4, 2, 4, 0, 9, false};

    for (int round = 0; round < 40; round++)
        close_on_waiters(&setting, round);
    loader_stop(NULL);
}
END_TEST

/* Stopping right after the start, while the thread fills or waits. */
START_TEST(stopping_at_any_time)
{
    static const struct setting setting = {5000, 256, 4, 0, 4, 4, 1, 0, 1000, false};
    struct job job = data_job(setting.batch_size, setting.microbatches, true);
    struct reader reader = counting_reader(setting.samples);

    for (int i = 0; i < 50; i++) {
        struct loader *loader = start(&setting, &job, &reader);

        if (i % 2 == 1)
            loader_give(loader, loader_take(loader, 0, 3));
        loader_stop(loader);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("loader");
    TCase *takers = tcase_create("takers");

    tcase_add_loop_test(takers, takers_get_what_the_sampler_says, 0, sizeof settings / sizeof settings[0]);
    tcase_add_test(takers, any_order_is_served);
    tcase_add_test(takers, closing_wakes_all);
    tcase_add_test(takers, stopping_at_any_time);
    tcase_set_timeout(takers, 60);
    suite_add_tcase(suite, takers);
    return suite;
}

CHECK_MAIN(make_suite)
